//! The news in a reply beside its items: by its status, its headers and its words.
//!
//! The status is read before the body, and the body for its words only. Every word of it has passed
//! the [veil](super::veil).

use std::time::Duration;

use crate::model::credits::CreditsNews;
use crate::model::exchange::Response;
use crate::model::time::{Timestamp, span};

use super::error::{Error, Kind};
use super::veil::Veil;
use super::wire::{self, Refused, WriteAnswer};

/// A dead token, told from a missing scope, which a new token does not mend.
pub(super) fn is_invalid_token(response: &Response) -> bool {
    let scope = ["OAUTH_SCOPE_MISMATCH", "AUTHORIZATION_FAILED"];
    response.status == 401
        && error_of(response, &Veil::default())
            .is_none_or(|refused| !scope.contains(&refused.code.as_str()))
}

fn error_of(response: &Response, veil: &Veil) -> Option<Refused> {
    match wire::read_answer(&response.body, veil) {
        Ok(WriteAnswer::Bare(refused)) => Some(refused),
        Ok(WriteAnswer::Items(_) | WriteAnswer::BareSuccess) | Err(_) => None,
    }
}

/// The error of a response that says no by its status; the body is read for its words only.
pub(super) fn status_error(
    operation: &'static str,
    writing: bool,
    response: &Response,
    veil: &Veil,
) -> Error {
    let refused = error_of(response, veil).unwrap_or_else(|| Refused {
        code: String::new(),
        message: words(response, veil),
        json_path: None,
    });
    refused_error(operation, writing, response, refused)
}

/// The words for people about a response without a code of Zoho's.
fn words(response: &Response, veil: &Veil) -> String {
    if response.status / 100 == 3 {
        let host = response.header("location").and_then(|location| {
            let after = location.split_once("://")?.1;
            after.split(['/', '?', '#']).next()?.rsplit('@').next()
        });
        let to = host.map_or("elsewhere".to_owned(), |host| format!("to {}", veil.words(host)));
        return format!("it redirects {to}, and the API does not: data_center or api_url is wrong");
    }
    if is_page(response) { A_PAGE.to_owned() } else { veil.beginning(&response.body) }
}

/// True when a web page came where JSON was expected.
pub(super) fn is_page(response: &Response) -> bool {
    response.header("content-type").is_some_and(|kind| kind.trim_start().starts_with("text/html"))
        || response.body.trim_ascii_start().starts_with(b"<")
}

pub(super) fn refused_error(
    operation: &'static str,
    writing: bool,
    response: &Response,
    refused: Refused,
) -> Error {
    let Refused { code, message, json_path } = refused;
    let kind = Kind::Refused {
        status: response.status,
        code: Some(code).filter(|code| !code.is_empty()),
        message,
        json_path,
        retry_after: retry_after(response),
    };
    Error { operation, writing, kind }
}

/// `Retry-After` in seconds, or as a date, which counts from the reply's own `Date`.
fn retry_after(response: &Response) -> Option<Duration> {
    let asked = response.header("retry-after")?.trim();
    let wait = match asked.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => span(date(response.header("date")?)?, date(asked)?),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The news about credits in a response, if it has any. `X-API-CREDITS-REMAINING` appears only once
/// half of the day's credits are used. A call that was served without it therefore says that more
/// than half are left.
pub(super) fn credits_news(response: &Response) -> Option<CreditsNews> {
    let Some(said) = response.header("x-api-credits-remaining") else {
        return (response.status / 100 == 2).then_some(CreditsNews::Plenty);
    };
    said.trim().parse().ok().map(CreditsNews::Left)
}

fn date(text: &str) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}

/// A page; 204 is an empty one. A body that should be there and is not is no list: nothing may be
/// taken to be absent.
pub(super) fn read_list(response: &Response, veil: &Veil) -> Result<wire::Page, Error> {
    if response.status == 204 {
        return Ok(wire::Page::default());
    }
    if response.status != 200 {
        return Err(status_error("list", false, response, veil));
    }
    match wire::read_page(&response.body) {
        Ok(page) => Ok(page),
        Err(_) if error_of(response, veil).is_some() => {
            Err(status_error("list", false, response, veil))
        }
        Err(_) if is_page(response) => Err(unreadable_list(response, A_PAGE)),
        Err(error) => Err(unreadable_list(response, &veil.words(&error.to_string()))),
    }
}

pub(super) fn unreadable_list(response: &Response, why: &str) -> Error {
    let kind = Kind::Unreadable { status: response.status, why: why.to_owned() };
    Error { operation: "list", writing: false, kind }
}

/// A page of a proxy, a login or a wrong host.
pub(super) const A_PAGE: &str =
    "a web page came instead of JSON, so a proxy or a wrong host answered";
/// The longest wait that Zoho is believed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        let wait = |asked: &str, date: Option<&str>| {
            let mut headers = vec![("retry-after".to_owned(), asked.to_owned())];
            headers.extend(date.map(|date| ("date".to_owned(), date.to_owned())));
            retry_after(&Response { status: 429, headers, body: Vec::new() })
                .map(|wait| wait.as_secs())
        };
        let date = Some("Mon, 23 Nov 2026 16:00:00 GMT");
        assert_eq!(wait(" 120 ", None), Some(120));
        assert_eq!(wait("99999999999", None), Some(86_400));
        assert_eq!(wait("Mon, 23 Nov 2026 16:01:30 GMT", date), Some(90));
        assert_eq!(wait("Mon, 23 Nov 2026 15:00:00 GMT", date), Some(0));
        assert_eq!(wait("Mon, 23 Nov 2026 16:01:30 GMT", None), None);
        assert_eq!(wait("soon", date), None);
    }
}
