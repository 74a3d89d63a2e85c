//! Trouble on request: rules that say which calls go wrong, and how.
//!
//! Rules are asked in order. The first that applies and takes the whole call (a status, a reset
//! before anything is applied) has it alone; all others that apply act together. A rule looks only
//! at calls that its fault bears on: one that refuses channel 7 lets every call pass that does not
//! name channel 7, and neither skips nor spends on it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::form;
use super::knobs::Length;
use crate::model::exchange::Request;

/// When something goes wrong, and what. Whatever is left out matches everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Only calls of this org.
    #[serde(default)]
    pub org: Option<String>,
    /// Only this method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only this endpoint. Left out: watch calls, and token calls for the two faults that are
    /// about tokens.
    #[serde(default)]
    pub path: Option<Endpoint>,
    /// How many matching calls pass first.
    #[serde(default)]
    pub after: u32,
    /// How many calls it hits then; left out, all of them.
    #[serde(default)]
    pub times: Option<u32>,
    /// Not before this instant.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// Not at or after this instant.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// The fault.
    pub kind: Fault,
}

impl Rule {
    /// A rule that hits every call that this fault can hit.
    pub fn always(kind: Fault) -> Rule {
        Rule {
            org: None,
            method: None,
            path: None,
            after: 0,
            times: None,
            from: None,
            until: None,
            kind,
        }
    }

    /// A rule that hits the next such call only.
    pub fn once(kind: Fault) -> Rule {
        Rule { times: Some(1), ..Rule::always(kind) }
    }
}

/// One of the three endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/oauth/v2/token` and `/oauth/v3/device/`: what gives tokens out and takes them back.
    Token,
    /// `/crm/{version}/actions/watch`.
    Watch,
    /// `/crm/{version}/{Module}` and all else that is read: queries, users, modules and fields.
    Records,
}

/// A fault of a call. In JSON a name (`"reset_after"`), or a name with its values (`{"delay":
/// {"by": "5s"}}`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// 500 with a JSON error.
    ServerErrorJson,
    /// 500 with a page of HTML.
    ServerErrorHtml,
    /// 503 with a JSON error.
    Unavailable,
    /// 429 as the knobs have it.
    TooManyRequests,
    /// 401 INVALID_TOKEN, whatever token was sent.
    InvalidToken,
    /// 401 OAUTH_SCOPE_MISMATCH.
    ScopeMismatch,
    /// 403 NO_PERMISSION.
    Forbidden,
    /// 404 INVALID_URL_PATTERN.
    NotFound,
    /// The connection is refused.
    Refused,
    /// The connection is reset and nothing was applied.
    ResetBefore,
    /// Everything is applied, then the connection is reset: a success whose reply is lost.
    ResetAfter,
    /// Nothing is applied and nothing is ever answered.
    HangBefore,
    /// Everything is applied and nothing is ever answered.
    HangAfter,
    /// The answer takes this long.
    Delay {
        /// How long.
        by: Length,
    },
    /// The body breaks off.
    Truncated {
        /// Bytes that still arrive.
        keep: usize,
    },
    /// The body is longer than anyone should read.
    Oversized {
        /// Its size in MiB, at most 256.
        mib: usize,
    },
    /// The body is right, its type is not.
    ContentType {
        /// The value of `Content-Type`.
        value: String,
    },
    /// The last item of `watch` is missing from the reply.
    ItemMissing,
    /// The items of `watch` come in reverse.
    ItemsReordered,
    /// The first item of `watch` has a code that nobody documented, though it was applied.
    UnknownItemCode {
        /// The code.
        code: String,
    },
    /// A GET leaves this channel out.
    ListOmits {
        /// The channel's id.
        channel: String,
    },
    /// A GET shows expired channels of the last week as well.
    ListShowsExpired,
    /// Whatever is asked, one hour is granted.
    ShortGrant,
    /// Writes of a channel that asks for more life than this are refused for it, and not cut.
    RefuseExpiry {
        /// The longest life that is granted.
        over: Length,
    },
    /// Writes of this channel are refused.
    RefuseChannel {
        /// The channel's id.
        channel: String,
        /// The item's code.
        code: String,
        /// The item's details.
        #[serde(default = "no_details")]
        details: Value,
    },
    /// Writes of channels with events of this module are refused.
    RefuseModule {
        /// The module's API name.
        module: String,
        /// The item's code.
        code: String,
        /// The item's details.
        #[serde(default = "no_details")]
        details: Value,
    },
    /// A write that holds this channel is refused as a whole, with a bare 400.
    RefuseBatchWith {
        /// The channel's id.
        channel: String,
    },
    /// A write that holds a channel with events of this module is refused as a whole, with a bare
    /// 403 NO_PERMISSION: the user of the grant may not see the module.
    ForbidModule {
        /// The module's API name.
        module: String,
    },
    /// An OAuth error inside a 200.
    OauthError {
        /// Its name, such as `invalid_code`.
        error: String,
    },
    /// `Access Denied`: too many token requests.
    TokenThrottled,
}

impl Fault {
    /// Under which name it is counted: the one it has in JSON.
    pub fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(name)) => name,
            Ok(Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) | Err(_) => {
                "unknown".to_owned()
            }
        }
    }

    /// Returns whether it has a call for itself, so that nothing is applied.
    pub(crate) fn takes_all(&self) -> bool {
        matches!(
            self,
            Fault::ServerErrorJson
                | Fault::ServerErrorHtml
                | Fault::Unavailable
                | Fault::TooManyRequests
                | Fault::InvalidToken
                | Fault::ScopeMismatch
                | Fault::Forbidden
                | Fault::NotFound
                | Fault::Refused
                | Fault::ResetBefore
                | Fault::HangBefore
                | Fault::RefuseBatchWith { .. }
                | Fault::ForbidModule { .. }
                | Fault::OauthError { .. }
                | Fault::TokenThrottled
        )
    }

    fn endpoint(&self) -> Endpoint {
        let of_tokens = matches!(self, Fault::OauthError { .. } | Fault::TokenThrottled);
        if of_tokens { Endpoint::Token } else { Endpoint::Watch }
    }

    /// Returns whether it can do anything to this call.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others bear on every call")]
    fn bears_on(&self, call: &Call) -> bool {
        let lists = call.method == "GET";
        match self {
            Fault::ListOmits { .. } | Fault::ListShowsExpired => lists,
            Fault::ShortGrant | Fault::RefuseExpiry { .. } => {
                matches!(call.method, "POST" | "PUT" | "PATCH")
            }
            Fault::ItemMissing | Fault::ItemsReordered | Fault::UnknownItemCode { .. } => {
                call.endpoint == Endpoint::Watch
            }
            Fault::RefuseChannel { channel, .. } | Fault::RefuseBatchWith { channel } => {
                !lists && call.channels.contains(channel)
            }
            Fault::RefuseModule { module, .. } | Fault::ForbidModule { module } => {
                !lists && call.modules.contains(module)
            }
            _ => true,
        }
    }
}

fn no_details() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The parts of a request that rules look at.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) org: Option<String>,
    pub(crate) endpoint: Endpoint,
    method: &'static str,
    channels: BTreeSet<String>,
    modules: BTreeSet<String>,
}

impl Call {
    pub(crate) fn of(request: &Request, endpoint: Endpoint, org: Option<String>) -> Call {
        let mut call = Call {
            org,
            endpoint,
            method: request.method,
            channels: BTreeSet::new(),
            modules: BTreeSet::new(),
        };
        let ids = request.param("channel_ids").unwrap_or_default();
        call.channels.extend(ids.split(',').map(|id| id.trim().to_owned()));
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        for item in body["watch"].as_array().into_iter().flatten() {
            let id = &item["channel_id"];
            call.channels.extend(
                id.as_str().map(str::to_owned).or_else(|| id.as_i64().map(|id| id.to_string())),
            );
            let events = item["events"].as_array().into_iter().flatten().filter_map(Value::as_str);
            call.modules
                .extend(events.filter_map(|event| Some(event.rsplit_once('.')?.0.to_owned())));
        }
        call
    }
}

/// The rules in force, with what each has done.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Armed>,
    applied: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Armed {
    rule: Rule,
    seen: u32,
    applied: u32,
}

impl Faults {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.push(Armed { rule, seen: 0, applied: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().map(|armed| &armed.rule)
    }

    pub(crate) fn applied(&self) -> &BTreeMap<String, u64> {
        &self.applied
    }

    /// The faults of this call: one fault that takes it all, or any number of others.
    pub(crate) fn strike(&mut self, call: &Call, now: Timestamp) -> Vec<Fault> {
        let mut struck = Vec::new();
        for armed in &mut self.rules {
            if !armed.matches(call, now) || !armed.is_due() {
                continue;
            }
            armed.applied += 1;
            *self.applied.entry(armed.rule.kind.name()).or_default() += 1;
            let takes_all = armed.rule.kind.takes_all();
            struck.push(armed.rule.kind.clone());
            if takes_all {
                break;
            }
        }
        struck
    }
}

impl Armed {
    fn matches(&self, call: &Call, now: Timestamp) -> bool {
        let rule = &self.rule;
        rule.path.unwrap_or(rule.kind.endpoint()) == call.endpoint
            && (rule.org.is_none() || rule.org == call.org)
            && rule.method.as_deref().is_none_or(|method| method.eq_ignore_ascii_case(call.method))
            && rule.from.is_none_or(|from| from <= now)
            && rule.until.is_none_or(|until| now < until)
            && rule.kind.bears_on(call)
    }

    /// Counts a matching call; whether it is this one's turn.
    fn is_due(&mut self) -> bool {
        self.seen = self.seen.saturating_add(1);
        self.seen > self.rule.after && self.rule.times.is_none_or(|times| self.applied < times)
    }
}

/// The first fault that takes the call, or none.
pub(crate) fn taking_all(faults: &[Fault]) -> Option<&Fault> {
    faults.iter().find(|fault| fault.takes_all())
}

/// The client that a token request says it is.
pub(crate) fn client_id(request: &Request) -> Option<String> {
    let body = form::of(request);
    let given = body.into_iter().find(|(key, _)| key == "client_id").map(|(_, value)| value);
    given.or_else(|| request.param("client_id").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &'static str, channel: &str) -> Call {
        let body = serde_json::json!({"watch": [{"channel_id": channel, "events": ["Deals.all"]}]});
        let request = Request {
            method,
            base: String::new(),
            path: String::new(),
            query: Vec::new(),
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        };
        Call::of(&request, Endpoint::Watch, Some("a".to_owned()))
    }

    fn second(at: i64) -> Timestamp {
        Timestamp::from_second(at).unwrap()
    }

    #[test]
    fn a_rule_waits_then_hits_then_is_spent() {
        let mut faults = Faults::default();
        faults.add(Rule { after: 1, times: Some(2), ..Rule::always(Fault::ServerErrorJson) });
        let hits: Vec<_> =
            (0..5).map(|n| faults.strike(&call("GET", "1"), second(n)).len()).collect();
        assert_eq!(hits, [0, 1, 1, 0, 0]);
        assert_eq!(faults.applied()["server_error_json"], 2);
    }

    #[test]
    fn a_rule_keeps_to_its_hours_its_org_and_its_method() {
        let mut faults = Faults::default();
        faults.add(Rule {
            from: Some(second(10)),
            until: Some(second(20)),
            ..Rule::always(Fault::Refused)
        });
        faults.add(Rule { org: Some("b".to_owned()), ..Rule::always(Fault::NotFound) });
        faults.add(Rule { method: Some("post".to_owned()), ..Rule::always(Fault::Forbidden) });
        assert_eq!(faults.strike(&call("GET", "1"), second(9)), []);
        assert_eq!(faults.strike(&call("GET", "1"), second(10)), [Fault::Refused]);
        assert_eq!(faults.strike(&call("POST", "1"), second(20)), [Fault::Forbidden]);
    }

    #[test]
    fn a_fault_about_one_channel_neither_hits_nor_spends_on_others() {
        let mut faults = Faults::default();
        faults.add(Rule::once(Fault::RefuseBatchWith { channel: "7".to_owned() }));
        assert_eq!(faults.strike(&call("POST", "8"), second(0)), []);
        assert_eq!(faults.strike(&call("POST", "7"), second(0)).len(), 1);
        assert_eq!(faults.strike(&call("POST", "7"), second(0)), []);
    }

    #[test]
    fn gentle_faults_act_together_and_token_faults_leave_watch_calls_alone() {
        let mut faults = Faults::default();
        faults.add(Rule::always(Fault::ShortGrant));
        faults.add(Rule::always(Fault::TokenThrottled));
        faults.add(Rule::always(Fault::ItemMissing));
        assert_eq!(
            faults.strike(&call("POST", "1"), second(0)),
            [Fault::ShortGrant, Fault::ItemMissing]
        );
    }

    #[test]
    fn rules_read_from_json() {
        let rule: Rule =
            serde_json::from_str(r#"{"times": 2, "kind": {"delay": {"by": "5s"}}}"#).unwrap();
        assert_eq!(rule.kind.name(), "delay");
        let rule: Rule =
            serde_json::from_str(r#"{"path": "token", "kind": "reset_after"}"#).unwrap();
        assert_eq!((rule.path, rule.kind), (Some(Endpoint::Token), Fault::ResetAfter));
        assert!(serde_json::from_str::<Rule>(r#"{"kind": "gremlins"}"#).is_err());
    }
}
