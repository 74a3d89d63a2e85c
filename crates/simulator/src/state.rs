//! The simulator itself: a request and a `now` in, an answer out.
//!
//! In this order, as far as real traffic shows one: the path (404), the access token and its scope
//! (401), how many calls (429), then the operation. Faults come before all of it, or are laid over
//! what came of it; then comes the gateway, which counts the calls of all orgs.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use jiff::Timestamp;
use serde_json::json;

use super::change::{Change, Delivery};
use super::channel::Channel;
use super::counters::Counters;
use super::device;
use super::faults::{self, Call, Endpoint, Fault, Faults, Rule};
use super::gateway::Gateway;
use super::knobs::{BadKnob, Knobs};
use super::mishap;
use super::oauth::{self, Bearer};
use super::operation::{WatchOperation, Write};
use super::org::{Org, OrgState};
use super::orgs::Orgs;
use super::records::read;
use super::records::route::Route;
use super::reply::{Reply, TimedReply, bare, throttled, url_pattern};
use super::rows;
use super::truth::Covered;
use super::watch;
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;

/// An in-memory Zoho with any number of orgs.
#[derive(Debug)]
pub struct Zoho {
    pub(crate) knobs: Knobs,
    pub(crate) orgs: Orgs,
    pub(crate) faults: Faults,
    gateway: Gateway,
    pub(crate) deliveries_made: u64,
    pub(crate) deliveries_due: Vec<Delivery>,
    /// Changes that wait until a client of the org has read a page of records.
    pub(crate) after_pages: VecDeque<(String, Change)>,
    listener: Option<Listener>,
}

/// A call and its reply, as [`Zoho::listen`]'s listener gets it.
#[derive(Debug)]
pub struct Heard<'a> {
    /// The org, if the call said which.
    pub org: Option<&'a str>,
    /// The request.
    pub request: &'a Request,
    /// The reply to it.
    pub reply: &'a Reply,
    /// When, by the simulator's clock.
    pub at: Timestamp,
}

/// Told of every call.
struct Listener(Box<dyn FnMut(Heard<'_>) + Send>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Zoho {
    /// A simulator with no org.
    pub fn new(knobs: Knobs) -> Zoho {
        Zoho {
            knobs,
            orgs: Orgs::default(),
            faults: Faults::default(),
            gateway: Gateway::default(),
            deliveries_made: 0,
            deliveries_due: Vec::new(),
            after_pages: VecDeque::new(),
            listener: None,
        }
    }

    /// Adds an org, in the place of one of the same name.
    pub fn add_org(&mut self, org: Org) {
        self.orgs.add(org);
    }

    /// Tells `listener` of every call from here on, as it is answered.
    pub fn listen(&mut self, listener: impl FnMut(Heard<'_>) + Send + 'static) {
        self.listener = Some(Listener(Box::new(listener)));
    }

    /// Zoho's answer to this request at this instant.
    pub fn answer(&mut self, request: &Request, now: Timestamp) -> TimedReply {
        if request.path == device::PAGE {
            let page = device::page(&mut self.orgs, request, now);
            return mishap::laid_over(Reply::Response(page), &[], now);
        }
        let Some(endpoint) = endpoint_of(&request.path) else {
            return mishap::laid_over(Reply::Response(url_pattern()), &[], now);
        };
        let call = Call::of(request, endpoint, self.org_of(request, endpoint));
        let struck = self.faults.strike(&call, now);
        let reply = match faults::taking_all(&struck) {
            Some(fault) => mishap::instead(fault, &self.knobs),
            None if !self.gateway.lets_through(self.knobs.calls_per_second_max, now) => {
                Reply::Response(throttled(&self.knobs))
            }
            None => Reply::Response(self.respond(request, endpoint, &struck, now)),
        };
        let answer = mishap::laid_over(reply, &struck, now);
        self.count(&call, request, &answer.reply);
        if let Some(Listener(listener)) = &mut self.listener {
            listener(Heard { org: call.org.as_deref(), request, reply: &answer.reply, at: now });
        }
        if let Some(org) = call.org.filter(|_| gives_page(request, &answer.reply)) {
            self.page_given(&org, now);
        }
        answer
    }

    /// Notes that a call is under way, so that calls at once can be counted; gives the org that
    /// [`Zoho::leave`] wants to hear when the call is over. A caller that makes one call at a
    /// time need not do this.
    pub fn enter(&mut self, request: &Request) -> Option<String> {
        let endpoint = endpoint_of(&request.path).filter(|at| *at != Endpoint::Token)?;
        let name = self.org_of(request, endpoint)?;
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

    /// The calls that an org was asked.
    pub fn counters(&self, org: &str) -> Option<&Counters> {
        self.orgs.get(org).map(|state| &state.counters)
    }

    /// The credits that an org has left.
    pub fn credits_left(&mut self, org: &str, now: Timestamp) -> Option<u64> {
        let state = self.orgs.get_mut(org)?;
        Some(state.org.credits_per_day(&self.knobs).saturating_sub(state.credits.used(now)))
    }

    /// When changes in an org would have been delivered, and where to.
    pub fn truth(&self, org: &str) -> Vec<Covered> {
        self.orgs.get(org).map(|state| state.ledger.all()).unwrap_or_default()
    }

    fn org_of(&self, request: &Request, endpoint: Endpoint) -> Option<String> {
        match endpoint {
            Endpoint::Watch | Endpoint::Records => {
                let token = oauth::bearer(request)?;
                let state = self.orgs.of_token(token)?;
                state
                    .tokens
                    .iter()
                    .any(|known| known.value == token)
                    .then(|| state.org.name.clone())
            }
            Endpoint::Token => self.orgs.name_of_client(&faults::client_id(request)?).cloned(),
        }
    }

    fn respond(
        &mut self,
        request: &Request,
        endpoint: Endpoint,
        faults: &[Fault],
        now: Timestamp,
    ) -> Response {
        let (orgs, knobs) = (&mut self.orgs, &self.knobs);
        match (endpoint, request.path.as_str()) {
            (Endpoint::Token, DEVICE_CODE) => device::begin(orgs, knobs, request, now),
            (Endpoint::Token, DEVICE_TOKEN) => device::poll(orgs, knobs, request, now),
            (Endpoint::Token, REVOKE) => device::revoke(orgs, request),
            (Endpoint::Token, _) => oauth::token(orgs, knobs, request, now),
            (Endpoint::Records, _) => read::answer(orgs, knobs, request, now),
            (Endpoint::Watch, _) => self.watched(request, faults, now),
        }
    }

    /// A call of the watch path.
    fn watched(&mut self, request: &Request, faults: &[Fault], now: Timestamp) -> Response {
        let knobs = &self.knobs;
        let Some((_, version)) = Product::of_watch_path(&request.path) else {
            return url_pattern();
        };
        let Some(operation) = WatchOperation::of(request.method) else {
            let message = "The http request method type is not a valid one";
            return bare(knobs.bad_method_status, "INVALID_REQUEST_METHOD", message, &json!({}));
        };
        let Some(bearer) = Bearer::of(&self.orgs, request, now) else {
            return oauth::invalid_token(knobs);
        };
        if !bearer.may(operation) {
            return oauth::scope_mismatch();
        }
        let Some(state) = self.orgs.get_mut(&bearer.org) else {
            return oauth::invalid_token(knobs);
        };
        let product = bearer.product;
        if request.path != format!("{}/actions/watch", product.api_path(version))
            || !product.has(version)
        {
            return url_pattern();
        }
        let (headers, within) = state.spend(request, 1, knobs, now);
        if !within {
            return throttled(knobs);
        }
        state.forget_expired(now);
        let (digits, base) = (state.digits.clone(), &request.base);
        let write = Write { knobs, product, version, base, digits: &digits, faults, now };
        let mut response = match operation {
            WatchOperation::List => rows::list(state, request, &write),
            WatchOperation::Enable | WatchOperation::Replace | WatchOperation::Patch => {
                watch::write(state, operation, request, &write)
            }
            WatchOperation::Disable => watch::disable(state, request, &write),
        };
        response.headers.extend(headers);
        response
    }

    fn count(&mut self, call: &Call, request: &Request, reply: &Reply) {
        let Some(state) = call.org.as_ref().and_then(|name| self.orgs.get_mut(name)) else {
            return;
        };
        let counters = &mut state.counters;
        match call.endpoint {
            Endpoint::Watch => {
                counters.called(request.method);
                *counters.outcomes.entry(reply.outcome()).or_default() += 1;
            }
            Endpoint::Records => {
                let route = Route::of(&request.path);
                *counters
                    .reads
                    .entry(route.map_or("other", |route| route.target.name()))
                    .or_default() += 1;
                *counters.read_outcomes.entry(reply.outcome()).or_default() += 1;
            }
            Endpoint::Token => *counters.token_outcomes.entry(reply.outcome()).or_default() += 1,
        }
    }
}

impl OrgState {
    /// Counts a call against the quotas: the headers that say so, and whether it is within them. A
    /// call that is refused costs nothing; no source says.
    pub(crate) fn spend(
        &mut self,
        request: &Request,
        credits: u64,
        knobs: &Knobs,
        now: Timestamp,
    ) -> (Vec<(String, String)>, bool) {
        let mut headers =
            vec![("x-accesstoken-reset".to_owned(), oauth::ends(self, request, knobs))];
        let allowed = self.org.credits_per_day(knobs);
        let gone = self.credits.used(now) >= allowed;
        if gone || self.in_flight > self.org.concurrency_max(knobs) {
            self.counters.throttled += 1;
            self.counters.out_of_credits += u64::from(gone);
            return (headers, false);
        }
        let used = self.credits.spend(credits, now);
        let is_named = self.org.product != Product::Recruit || knobs.recruit_credits_header;
        if is_named && used * 2 > allowed {
            let left = allowed.saturating_sub(used);
            headers.push(("x-api-credits-remaining".to_owned(), left.to_string()));
        }
        (headers, true)
    }
}

/// True when this reply is a page of records.
fn gives_page(request: &Request, reply: &Reply) -> bool {
    reply.response().is_some_and(|response| response.status == 200)
        && Route::of(&request.path).is_some_and(|route| route.target.has_pages())
}

fn endpoint_of(path: &str) -> Option<Endpoint> {
    match path {
        TOKEN | DEVICE_CODE | DEVICE_TOKEN | REVOKE => Some(Endpoint::Token),
        _ if Product::of_watch_path(path).is_some() => Some(Endpoint::Watch),
        _ => Route::of(path).map(|_| Endpoint::Records),
    }
}

const TOKEN: &str = "/oauth/v2/token";
const DEVICE_CODE: &str = "/oauth/v3/device/code";
const DEVICE_TOKEN: &str = "/oauth/v3/device/token";
const REVOKE: &str = "/oauth/v2/token/revoke";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;

    use super::super::knobs::ThrottledCode;
    use super::super::testing::{World, body, channel};
    use super::*;

    fn world() -> World {
        World::new(Knobs::default())
    }

    #[test]
    fn only_the_watch_path_of_eight_versions_is_there() {
        let mut world = world();
        for version in ["v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8"] {
            world.version = version;
            assert_eq!(world.send("GET", &[], &Value::Null).status, 204, "{version}");
        }
        world.version = "v9";
        let response = world.send("GET", &[], &Value::Null);
        assert_eq!(
            (response.status, &body(&response)["code"]),
            (404, &json!("INVALID_URL_PATTERN"))
        );
        world.version = "v8";
        assert_eq!(world.send("HEAD", &[], &Value::Null).status, 405);
    }

    #[test]
    fn every_response_says_when_it_was_made() {
        let mut world = world();
        for response in [
            world.send("GET", &[], &Value::Null),
            world.send("HEAD", &[], &Value::Null),
            world.token_call(""),
        ] {
            assert_eq!(response.header("date"), Some("Mon, 23 Nov 2026 16:00:00 GMT"));
        }
    }

    #[test]
    fn each_org_has_its_own_channels() {
        let mut world = world();
        world.zoho.add_org(Org::new("b"));
        world.write("POST", &[channel("1", &["Deals.all"])]);
        let reply = world.token_call(
            "refresh_token=1000.refresh-b&client_id=1000.SIMB&client_secret=secret-b&grant_type=refresh_token",
        );
        world.access_token = body(&reply)["access_token"].as_str().unwrap().to_owned();
        assert!(world.rows().is_empty());
        assert_eq!(world.zoho.channels("a", world.now).len(), 1);
    }

    #[test]
    fn the_official_python_sdk_is_served_without_a_content_type() {
        let mut world = world();
        let sdk = "Linux/6.1.0/python-8.0/3.11.7:7.0.0";
        let sent = r#"{"watch": [{"notify_on_related_action": false, "notify_url": "https://example.com/hook", "token": "tok-1", "return_affected_field_values": true, "channel_expiry": "2030-01-02T05:00:00+00:00", "channel_id": "1000000068001", "events": ["Leads.all", "Contacts.create"]}, {"notify_url": "https://example.com/hook", "channel_id": 1000000068002, "events": ["Deals.edit"]}]}"#;
        let mut request = world.request("POST", &[], &Value::Null);
        request.headers.push(("x-zoho-sdk".to_owned(), sdk.to_owned()));
        request.body = sent.as_bytes().to_vec();
        let answer = world.answer(&request);
        let items = body(answer.reply.response().unwrap())["watch"].clone();
        assert_eq!(items[0]["details"]["events"][0]["channel_expiry"], "2026-11-23T09:00:00-08:00");
        let query = [
            ("page", "1"),
            ("per_page", "200"),
            ("channel_id", "1000000068001"),
            ("module", "Leads"),
        ];
        let listed = body(&world.send("GET", &query, &Value::Null));
        assert_eq!(
            (&listed["info"]["count"], &listed["watch"][0]["token"]),
            (&json!(1), &json!("tok-1"))
        );
        let dropped = json!({"_delete_events": true, "channel_id": "1000000068001", "events": ["Contacts.create"]});
        assert_eq!(world.write("PATCH", &[dropped]).0, 200);
        let gone =
            world.send("DELETE", &[("channel_ids", "1000000068001,1000000068002")], &Value::Null);
        assert_eq!((gone.status, body(&gone)["watch"].as_array().unwrap().len()), (200, 2));
    }

    #[test]
    fn credits_run_out_and_are_named_past_half() {
        let mut world =
            World::with_org(Knobs::default(), Org { credits: Some(4), ..Org::new("a") });
        let seen: Vec<_> = (0..5)
            .map(|_| world.send("GET", &[], &Value::Null))
            .map(|response| {
                (response.status, response.header("x-api-credits-remaining").map(str::to_owned))
            })
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            seen,
            [(204, None), (204, None), (204, some("1")), (204, some("0")), (429, None)]
        );
    }

    #[test]
    fn too_many_calls_at_once_are_throttled_as_the_knobs_say() {
        let knobs = Knobs {
            throttled_code: ThrottledCode::RateLimitExceeded,
            retry_after_secs: Some(30),
            ..Knobs::default()
        };
        let mut world = World::with_org(knobs, Org { concurrency: Some(1), ..Org::new("a") });
        let request = world.request("GET", &[], &Value::Null);
        assert_eq!(world.zoho.enter(&request), Some("a".to_owned()));
        assert_eq!(world.send("GET", &[], &Value::Null).status, 204);
        world.zoho.enter(&request);
        let response = world.send("GET", &[], &Value::Null);
        assert_eq!((response.status, response.header("retry-after")), (429, Some("30")));
        assert_eq!(body(&response)["code"], "RATE_LIMIT_EXCEEDED");
        world.zoho.leave("a");
        assert_eq!(world.send("GET", &[], &Value::Null).status, 204);
    }

    #[test]
    fn too_many_calls_of_an_address_in_a_second_are_throttled_tokens_too() {
        let knobs = Knobs { calls_per_second_max: Some(2), ..Knobs::default() };
        let mut world = World::with_org(knobs, Org::new("a"));
        world.pass(2);
        let get = |world: &mut World| world.send("GET", &[], &Value::Null).status;
        assert_eq!([(); 3].map(|()| get(&mut world)), [204, 204, 429]);
        assert_eq!(world.token_call("").status, 429);
        world.pass(1);
        assert_eq!(get(&mut world), 204);
    }

    #[test]
    fn faults_that_take_the_whole_call_apply_nothing() {
        let table = [
            (Fault::ServerErrorJson, 500),
            (Fault::ServerErrorHtml, 500),
            (Fault::Unavailable, 503),
            (Fault::TooManyRequests, 429),
            (Fault::InvalidToken, 401),
            (Fault::ScopeMismatch, 401),
            (Fault::Forbidden, 403),
            (Fault::NotFound, 404),
        ];
        for (fault, status) in table {
            let mut world = world();
            world.fault(fault.clone());
            assert_eq!(
                world.send("POST", &[], &json!({"watch": [channel("1", &["Deals.all"])]})).status,
                status
            );
            assert!(world.rows().is_empty(), "{fault:?}");
            assert_eq!(world.zoho.faults_applied()[&fault.name()], 1);
        }
    }

    #[test]
    fn a_lost_connection_may_or_may_not_have_applied_the_call() {
        let table = [
            (Fault::ResetBefore, Reply::Reset, 0),
            (Fault::ResetAfter, Reply::Reset, 1),
            (Fault::HangBefore, Reply::Hang, 0),
            (Fault::HangAfter, Reply::Hang, 1),
            (Fault::Refused, Reply::Refused, 0),
        ];
        for (fault, reply, rows) in table {
            let mut world = world();
            world.fault(fault.clone());
            let request =
                world.request("POST", &[], &json!({"watch": [channel("1", &["Deals.all"])]}));
            assert_eq!(world.answer(&request).reply, reply);
            assert_eq!(world.rows().len(), rows, "{fault:?}");
        }
    }

    #[test]
    fn a_reply_can_be_spoiled_after_everything_was_applied() {
        let posted = json!({"watch": [channel("1", &["Deals.all"]), channel("2", &["Deals.all"])]});
        let mut world = world();
        let mut items_with = |fault: Fault| {
            world.fault(fault);
            let items = body(&world.send("POST", &[], &posted))["watch"].clone();
            items.as_array().unwrap().clone()
        };
        assert_eq!(items_with(Fault::ItemMissing).len(), 1);
        assert_eq!(items_with(Fault::ItemsReordered)[0]["details"]["events"][0]["channel_id"], "2");
        assert_eq!(
            items_with(Fault::UnknownItemCode { code: "SOLAR_FLARE".to_owned() })[0]["code"],
            "SOLAR_FLARE"
        );
        assert_eq!(world.rows().len(), 2);
    }

    #[test]
    fn a_body_can_be_cut_bloated_mistyped_or_late() {
        let mut world = world();
        let request = world.request("POST", &[], &json!({"watch": [channel("1", &["Deals.all"])]}));
        world.fault(Fault::Truncated { keep: 10 });
        assert!(matches!(world.answer(&request).reply, Reply::Truncated(_, 10)));
        world.fault(Fault::Oversized { mib: 2 });
        assert_eq!(world.answer(&request).reply.response().unwrap().body.len(), 2 * 1024 * 1024);
        world.fault(Fault::ContentType { value: "text/plain".to_owned() });
        assert_eq!(
            world.answer(&request).reply.response().unwrap().header("content-type"),
            Some("text/plain")
        );
        world.fault(Fault::Delay { by: super::super::knobs::Length(Duration::from_secs(5)) });
        let answer = world.answer(&request);
        assert_eq!(
            (answer.delay, answer.reply.response().unwrap().status),
            (Duration::from_secs(5), 201)
        );
    }

    #[test]
    fn the_same_calls_give_the_same_answers() {
        let run = || {
            let mut world = world();
            let first = world.send("POST", &[], &json!({"watch": [channel("1", &["Deals.all"])]}));
            (first, world.access_token)
        };
        assert!(run() == run());
    }

    #[test]
    fn calls_and_outcomes_are_counted() {
        let mut world = world();
        world.write("POST", &[channel("1", &["Deals.all"]), channel("2", &["Meetings.all"])]);
        world.rows();
        world.fault(Fault::ResetAfter);
        let request = world.request("DELETE", &[("channel_ids", "1")], &Value::Null);
        world.answer(&request);
        let counters = world.zoho.counters("a").unwrap();
        assert_eq!(
            json!(counters),
            json!({
                "calls": {"DELETE": 1, "GET": 1, "POST": 1},
                "outcomes": {"200": 1, "207": 1, "reset": 1},
                "token_outcomes": {"200": 1},
                "reads": {}, "read_outcomes": {}, "read_credits": 0,
                "writes": 2,
                "tokens_issued": 1,
                "channels_created": 1,
                "channels_reenabled": 0,
                "channels_deleted": 1,
                "items_ok": 2,
                "items_refused": {"INVALID_DATA": 1},
                "throttled": 0, "out_of_credits": 0,
                "in_flight_max": 0,
            })
        );
    }
}
