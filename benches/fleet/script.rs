//! The log of requests, as the simulator heard them: counted, judged, and kept to be sent again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use channelkeeper::model::channel::AccountName;
use channelkeeper::model::time::{Timestamp, span};
use channelkeeper::plan::renewal::{Life, Phase};
use channelkeeper::simulator::Heard;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One request, with what is needed to judge it and to send it again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// When it was answered, by the simulator's clock.
    pub(crate) at: Timestamp,
    pub(crate) org: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: String,
    /// The status of the answer.
    pub(crate) status: Option<u16>,
}

impl Call {
    pub(crate) fn of(heard: &Heard<'_>) -> Call {
        let Heard { org, request, reply, at } = heard;
        Call {
            at: *at,
            org: org.unwrap_or_default().to_owned(),
            method: request.method.to_owned(),
            path: request.path.clone(),
            query: request.query.clone(),
            body: String::from_utf8_lossy(&request.body).into_owned(),
            status: reply.response().map(|response| response.status),
        }
    }

    /// True when an access token is asked for.
    pub(crate) fn is_for_token(&self) -> bool {
        self.path.starts_with("/oauth/")
    }

    /// True when it was accepted.
    pub(crate) fn is_good(&self) -> bool {
        self.status.is_some_and(|status| status < 300)
    }

    /// True when channels are written.
    pub(crate) fn is_write(&self) -> bool {
        !self.is_for_token() && self.method != "GET"
    }

    /// True when it asks for the first page of a list.
    pub(crate) fn begins_look(&self) -> bool {
        let is_later = |(key, value): &(String, String)| key == "page" && value != "1";
        self.method == "GET" && !self.query.iter().any(is_later)
    }

    /// The channels that it gives a life or changes, with the expiry that it asks for.
    pub(crate) fn channels(&self) -> Vec<(i64, Option<Timestamp>)> {
        if !self.is_write() || self.body.is_empty() {
            return Vec::new();
        }
        let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let items = body["watch"].as_array().cloned().unwrap_or_default();
        let id = |item: &Value| {
            item["channel_id"].as_i64().or_else(|| item["channel_id"].as_str()?.parse().ok())
        };
        let expiry = |item: &Value| item["channel_expiry"].as_str()?.parse().ok();
        items.iter().filter_map(|item| Some((id(item)?, expiry(item)))).collect()
    }
}

/// How many calls of each method; token requests as `token`.
pub(crate) fn by_method(calls: &[Call]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for call in calls {
        let method = if call.is_for_token() { "token" } else { &call.method };
        *counts.entry(method.to_owned()).or_default() += 1;
    }
    counts
}

/// The lives of channels, as they were asked for and granted so far.
#[derive(Debug, Default)]
pub(crate) struct Lives(HashMap<i64, (Timestamp, Timestamp)>);

/// Renewals beside when they were due.
#[derive(Clone, Debug, Default)]
pub(crate) struct Renewals {
    /// How late those that were due came, by the clock at its pace.
    pub(crate) late: Vec<Duration>,
    /// Those that came before they were due, along with others.
    pub(crate) early: u64,
}

impl Lives {
    /// Takes in more calls, and says of those that renew how late they were.
    pub(crate) fn renewals(&mut self, calls: &[Call]) -> Renewals {
        let mut renewals = Renewals::default();
        for call in calls.iter().filter(|call| call.is_good()) {
            let Ok(account) = call.org.parse::<AccountName>() else { continue };
            let phase = Phase::of(&account);
            for (id, expiry) in call.channels() {
                let Some(expiry) = expiry else { continue };
                let former = self.0.get(&id).copied().filter(|(_, former)| *former > call.at);
                // A repair leaves the expiry as it is, and so the life.
                if former.is_some_and(|(_, former)| former == expiry) {
                    continue;
                }
                if let Some((from, until)) = former.filter(|_| call.method != "PATCH") {
                    let life = Life { length: span(from, until), expiry: until };
                    let due = life.due_at(None, phase);
                    if call.at < due {
                        renewals.early += 1;
                    } else {
                        renewals.late.push(span(due, call.at));
                    }
                }
                self.0.insert(id, (call.at, expiry));
            }
        }
        renewals.late.sort_unstable();
        renewals
    }
}
