//! The simulator itself: a request and a `now` in, an answer out.
//!
//! In this order, as far as real traffic shows one: the path (404), the access token and its scope (401), how many calls
//! (429), then the operation. Faults come before all of it, or are laid over what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::channel::Channel;
use super::counters::Counters;
use super::faults::{self, Call, Endpoint, Fault, Faults, Rule};
use super::knobs::{BadKnob, Knobs};
use super::oauth;
use super::org::{Org, OrgState};
use super::reply::{Answer, Reply, bare, http_date, json_response};
use super::rows;
use super::truth::Covered;
use super::watch::{self, Write};
use crate::model::exchange::{Request, Response};
use crate::model::version::ApiVersion;

/// An in-memory Zoho with any number of orgs.
#[derive(Debug)]
pub struct Zoho {
    pub(crate) knobs: Knobs,
    pub(crate) orgs: BTreeMap<String, OrgState>,
    pub(crate) faults: Faults,
    pub(crate) deliveries_made: u64,
}

impl Zoho {
    /// With no org yet.
    pub fn new(knobs: Knobs) -> Zoho {
        Zoho { knobs, orgs: BTreeMap::new(), faults: Faults::default(), deliveries_made: 0 }
    }

    /// Adds an org, in the place of one of the same name.
    pub fn add_org(&mut self, org: Org) {
        self.orgs.insert(org.name.clone(), OrgState::new(org));
    }

    /// What Zoho answers to this request at this instant.
    pub fn answer(&mut self, request: &Request, now: Timestamp) -> Answer {
        let Some(endpoint) = endpoint_of(&request.path) else {
            return Answer { reply: Reply::Response(dated(url_pattern(), now)), delay: Duration::ZERO };
        };
        let call = Call::of(request, endpoint, self.org_of(request, endpoint));
        let struck = self.faults.strike(&call, now);
        let reply = match faults::taking_all(&struck) {
            Some(fault) => self.failed(fault),
            None => Reply::Response(self.respond(request, endpoint, &struck, now)),
        };
        let answer = self.overlaid(reply, &struck, now);
        self.count(&call, request.method, &answer.reply);
        answer
    }

    /// Notes that a call is under way, so that calls at once can be counted; gives the org that [`Zoho::leave`] wants
    /// to hear when the call is over. A caller that makes one call at a time need not do this.
    pub fn enter(&mut self, request: &Request) -> Option<String> {
        endpoint_of(&request.path).filter(|endpoint| *endpoint == Endpoint::Watch)?;
        let name = self.org_of(request, Endpoint::Watch)?;
        let state = self.orgs.get_mut(&name)?;
        state.in_flight += 1;
        state.counters.in_flight_max = state.counters.in_flight_max.max(state.in_flight);
        Some(name)
    }

    /// Notes that a call of this org is over.
    pub fn leave(&mut self, org: &str) {
        if let Some(state) = self.orgs.get_mut(org) {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
    }

    /// How it behaves.
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// Lets it behave otherwise from here on.
    pub fn set_knobs(&mut self, knobs: Knobs) -> Result<(), BadKnob> {
        knobs.check()?;
        self.knobs = knobs;
        Ok(())
    }

    /// Adds a fault rule behind those that are there.
    pub fn add_fault(&mut self, rule: Rule) {
        self.faults.add(rule);
    }

    /// Takes all fault rules away; what they did stays counted.
    pub fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// How often each kind of fault was applied.
    pub fn faults_applied(&self) -> &BTreeMap<String, u64> {
        self.faults.applied()
    }

    /// The orgs.
    pub fn orgs(&self) -> impl Iterator<Item = &Org> {
        self.orgs.values().map(|state| &state.org)
    }

    /// The channels of an org that are live, by id.
    pub fn channels(&self, org: &str, now: Timestamp) -> Vec<&Channel> {
        let channels = self.orgs.get(org).into_iter().flat_map(|state| state.channels.values());
        channels.filter(|channel| channel.expiry > now).collect()
    }

    /// What was asked of an org.
    pub fn counters(&self, org: &str) -> Option<&Counters> {
        self.orgs.get(org).map(|state| &state.counters)
    }

    /// When changes in an org would have been delivered, and where to.
    pub fn truth(&self, org: &str) -> Vec<Covered> {
        self.orgs.get(org).map(|state| state.ledger.all()).unwrap_or_default()
    }

    fn org_of(&self, request: &Request, endpoint: Endpoint) -> Option<String> {
        match endpoint {
            Endpoint::Watch => {
                let token = oauth::bearer(request)?;
                let holds = |state: &&OrgState| state.tokens.iter().any(|known| known.value == token);
                self.orgs.values().find(holds).map(|state| state.org.name.clone())
            }
            Endpoint::Token => {
                let client = faults::client_id(request)?;
                self.orgs.values().find(|state| state.org.client_id == client).map(|state| state.org.name.clone())
            }
        }
    }

    fn respond(&mut self, request: &Request, endpoint: Endpoint, faults: &[Fault], now: Timestamp) -> Response {
        if endpoint == Endpoint::Token {
            return oauth::token(self, request, now);
        }
        let Some(version) = version_of(&request.path) else { return url_pattern() };
        let Some(operation) = Operation::of(request.method) else {
            let message = "The http request method type is not a valid one";
            return bare(self.knobs.bad_method_status, "INVALID_REQUEST_METHOD", message, &json!({}));
        };
        let name = match oauth::admitted(self, request, operation, now) {
            Ok(name) => name,
            Err(response) => return response,
        };
        let Some(state) = self.orgs.get_mut(&name) else { return oauth::invalid_token() };
        let mut headers = vec![("x-accesstoken-reset".to_owned(), oauth::ends(state, request, &self.knobs))];
        let used = state.credits.spend(now);
        let allowed = state.org.credits_per_day();
        if used > allowed || state.in_flight > state.org.concurrency_max() {
            state.counters.throttled += 1;
            return throttled(&self.knobs);
        }
        if used * 2 > allowed {
            headers.push(("x-api-credits-remaining".to_owned(), (allowed - used).to_string()));
        }
        state.forget_expired(now);
        let write = Write { knobs: &self.knobs, version, base: &request.base, faults, now };
        let mut response = match operation {
            Operation::List => rows::list(state, request, &write),
            Operation::Enable | Operation::Replace | Operation::Patch => {
                watch::write(state, operation, request, &write)
            }
            Operation::Disable => watch::disable(state, request, &write),
        };
        response.headers.append(&mut headers);
        response
    }

    /// The reply of a fault that has the call for itself.
    fn failed(&self, fault: &Fault) -> Reply {
        let none = json!({});
        let response = match fault {
            Fault::ServerErrorHtml => html_error(),
            Fault::Unavailable => bare(503, "SERVICE_UNAVAILABLE", "Service unavailable.", &none),
            Fault::TooManyRequests => throttled(&self.knobs),
            Fault::InvalidToken => oauth::invalid_token(),
            Fault::ScopeMismatch => oauth::scope_mismatch(),
            Fault::Forbidden => {
                let details = json!({ "permissions": ["Crm_Implied_Api_Access"] });
                bare(403, "NO_PERMISSION", "permission denied", &details)
            }
            Fault::NotFound => url_pattern(),
            Fault::Refused => return Reply::Refused,
            Fault::ResetBefore => return Reply::Reset,
            Fault::HangBefore => return Reply::Hang,
            Fault::RefuseBatchWith { .. } => bare(400, "INVALID_DATA", "invalid data", &json!({ "api_name": "watch" })),
            Fault::OauthError { error } => json_response(200, &json!({ "error": error })),
            Fault::TokenThrottled => oauth::access_denied(),
            _ => bare(500, "INTERNAL_ERROR", "Internal server error occurred.", &none),
        };
        Reply::Response(response)
    }

    /// The reply with what the other faults do to it.
    fn overlaid(&self, reply: Reply, faults: &[Fault], now: Timestamp) -> Answer {
        let mut answer = Answer { reply, delay: Duration::ZERO };
        if let Reply::Response(response) = &mut answer.reply {
            for fault in faults {
                spoil(response, fault);
            }
            *response = dated(std::mem::replace(response, Response::empty(0)), now);
        }
        for fault in faults {
            match (fault, &answer.reply) {
                (Fault::Delay { by }, _) => answer.delay += by.0,
                (Fault::ResetAfter, _) => answer.reply = Reply::Reset,
                (Fault::HangAfter, _) => answer.reply = Reply::Hang,
                (Fault::Truncated { keep }, Reply::Response(response)) => {
                    answer.reply = Reply::Truncated(response.clone(), *keep);
                }
                _ => {}
            }
        }
        answer
    }

    fn count(&mut self, call: &Call, method: &'static str, reply: &Reply) {
        let Some(state) = call.org.as_ref().and_then(|name| self.orgs.get_mut(name)) else { return };
        let counters = &mut state.counters;
        match call.endpoint {
            Endpoint::Watch => {
                counters.called(method);
                *counters.outcomes.entry(reply.outcome()).or_default() += 1;
            }
            Endpoint::Token => *counters.token_outcomes.entry(reply.outcome()).or_default() += 1,
        }
    }
}

/// What a method asks of the watch path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    List,
    Enable,
    Replace,
    Patch,
    Disable,
}

impl Operation {
    fn of(method: &str) -> Option<Operation> {
        match method {
            "GET" => Some(Operation::List),
            "POST" => Some(Operation::Enable),
            "PUT" => Some(Operation::Replace),
            "PATCH" => Some(Operation::Patch),
            "DELETE" => Some(Operation::Disable),
            _ => None,
        }
    }
}

/// Changes a response as a fault says that leaves it a response.
fn spoil(response: &mut Response, fault: &Fault) {
    match fault {
        Fault::ContentType { value } => {
            response.headers.retain(|(name, _)| name != "content-type");
            response.headers.push(("content-type".to_owned(), value.clone()));
        }
        Fault::Oversized { mib } => response.body = vec![b' '; mib * 1024 * 1024],
        Fault::ItemMissing => edit_items(response, |items| {
            items.pop();
        }),
        Fault::ItemsReordered => edit_items(response, |items| items.reverse()),
        Fault::UnknownItemCode { code } => edit_items(response, |items| {
            if let Some(first) = items.first_mut() {
                first["code"] = json!(code);
                first["status"] = json!("error");
            }
        }),
        _ => {}
    }
}

fn edit_items(response: &mut Response, edit: impl FnOnce(&mut Vec<Value>)) {
    let Ok(mut body) = serde_json::from_slice::<Value>(&response.body) else { return };
    let Some(items) = body.get_mut("watch").and_then(Value::as_array_mut) else { return };
    edit(items);
    response.body = body.to_string().into_bytes();
}

fn dated(mut response: Response, now: Timestamp) -> Response {
    response.headers.push(("date".to_owned(), http_date(now)));
    response
}

fn url_pattern() -> Response {
    let message = "Please check if the URL trying to access is a correct one";
    bare(404, "INVALID_URL_PATTERN", message, &json!({}))
}

fn throttled(knobs: &Knobs) -> Response {
    let message = "Too many requests. Please try again later.";
    let mut response = bare(429, knobs.throttled_code.as_str(), message, &json!({}));
    if let Some(seconds) = knobs.retry_after_secs {
        response.headers.push(("retry-after".to_owned(), seconds.to_string()));
    }
    response
}

fn html_error() -> Response {
    let body = "<html><head><title>Zoho</title></head><body><h1>Internal Server Error</h1></body></html>";
    let headers = vec![("content-type".to_owned(), "text/html;charset=UTF-8".to_owned())];
    Response { status: 500, headers, body: body.as_bytes().to_vec() }
}

fn endpoint_of(path: &str) -> Option<Endpoint> {
    match path {
        "/oauth/v2/token" => Some(Endpoint::Token),
        _ => version_of(path).map(|_| Endpoint::Watch),
    }
}

fn version_of(path: &str) -> Option<ApiVersion> {
    path.strip_prefix("/crm/")?.strip_suffix("/actions/watch")?.parse().ok()
}
