//! The token that leads to the next page of a list.
//!
//! It is good for a day, and for the very call that it came from: org, path, parameters and header.
//! It carries all of that itself, with a checksum, so that nothing has to be kept.

use jiff::Timestamp;
use serde_json::json;

use super::super::knobs::Knobs;
use super::super::reply::{INVALID, bare};
use super::row::View;
use crate::model::exchange::{Request, Response};
use crate::model::secret::Fingerprint;
use crate::model::time;

/// The place in a list where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Behind so many rows.
    Offset(usize),
    /// Behind the row with this key.
    After(Key),
}

/// The order of rows; the id decides between rows of the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) time: Timestamp,
    pub(crate) id: u64,
}

/// A page token, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageToken {
    /// Rows that were given before.
    pub(crate) served: usize,
    pub(crate) place: Place,
    issued: Timestamp,
    bound: u64,
}

impl PageToken {
    /// The token that a call is answered with.
    pub(crate) fn of(request: &Request, view: &View<'_>, served: usize, place: Place) -> PageToken {
        PageToken { served, place, issued: view.now, bound: bound(request, view) }
    }

    /// The token that a call came with, if it is good for it.
    pub(crate) fn read(
        text: &str,
        request: &Request,
        view: &View<'_>,
    ) -> Result<PageToken, Response> {
        let token = PageToken::parse(text).ok_or_else(|| {
            bare(400, "INVALID_DATA", INVALID, &json!({ "param_name": "page_token" }))
        })?;
        if token.bound != bound(request, view) {
            let message = "The given page token does not belong to this request";
            let details = json!({ "param_name": "page_token" });
            return Err(bare(400, "TOKEN_BOUND_DATA_MISMATCH", message, &details));
        }
        if token.expires(view.knobs) <= view.now {
            let details = json!({ "param_name": "page_token" });
            return Err(bare(400, "EXPIRED_VALUE", "The given page token is expired", &details));
        }
        Ok(token)
    }

    /// When it is good no longer.
    pub(crate) fn expires(&self, knobs: &Knobs) -> Timestamp {
        time::after(self.issued, knobs.records.page_token_life.0)
    }

    /// As it stands in a URL.
    pub(crate) fn text(&self) -> String {
        let body = self.body();
        format!("{body}{SEPARATOR}{}", Fingerprint::of(&[SEAL, &body]))
    }

    fn body(&self) -> String {
        let PageToken { served, place, issued, bound } = self;
        let issued = issued.as_nanosecond();
        match place {
            Place::Offset(rows) => format!("o_{served}_{issued}_{bound}_{rows}_0"),
            Place::After(Key { time, id }) => {
                format!("k_{served}_{issued}_{bound}_{}_{id}", time.as_nanosecond())
            }
        }
    }

    fn parse(text: &str) -> Option<PageToken> {
        let (body, seal) = text.rsplit_once(SEPARATOR)?;
        if Fingerprint::of(&[SEAL, body]).to_string() != seal {
            return None;
        }
        let parts: Vec<&str> = body.split(SEPARATOR).collect();
        let [kind, served, issued, bound, first, second] = parts.as_slice() else { return None };
        let instant = |text: &str| Timestamp::from_nanosecond(text.parse().ok()?).ok();
        let place = match *kind {
            "o" => Place::Offset(first.parse().ok()?),
            _ => Place::After(Key { time: instant(first)?, id: second.parse().ok()? }),
        };
        Some(PageToken {
            served: served.parse().ok()?,
            place,
            issued: instant(issued)?,
            bound: bound.parse().ok()?,
        })
    }
}

/// The parts of a call that a token is bound to.
fn bound(request: &Request, view: &View<'_>) -> u64 {
    let mut parts = vec![view.org, &request.path];
    parts.extend(request.header("if-modified-since"));
    let free = ["page_token", "page"];
    let mut query: Vec<_> =
        request.query.iter().filter(|(key, _)| !free.contains(&key.as_str())).collect();
    query.sort();
    for (key, value) in query {
        parts.extend([key.as_str(), value.as_str()]);
    }
    Fingerprint::of(&parts).0
}

const SEPARATOR: char = '_';
const SEAL: &str = "page token";
