//! The admin calls, which Zoho does not have: looking in, moving the clock, and making trouble,
//! over JSON under `/_sim/`.
//!
//! | call | does |
//! | --- | --- |
//! | `GET /_sim/state` | orgs, their product, credentials and channels, the faults in force |
//! | `GET /_sim/counters`, `GET /_sim/truth` | what was asked; when changes would have been delivered |
//! | `POST /_sim/records` | `{"org", "module", "operation", "ids", "values"}`: records change, deliveries follow |
//! | `POST /_sim/records/bulk` | a [`Bulk`](crate::Bulk): many records change, in the past |
//! | `GET /_sim/records`, `GET /_sim/missed` | how many there are; which notifications nobody got |
//! | `POST /_sim/scopes` | `{"org", "scopes"}`: the scopes of tokens from here on |
//! | `POST /_sim/hands` | `{"org", "hand": {"delete": {"channel": 7}}}`: somebody else does something |
//! | `POST /_sim/faults`, `DELETE /_sim/faults` | adds one rule or a list of them; takes all away |
//! | `POST /_sim/codes` | `{"org"}`: makes a grant code |
//! | `POST /_sim/revoke` | `{"org", "refresh_token"}`: a refresh token is good no more |
//! | `POST /_sim/clock`, `GET /_sim/clock` | `{"advance": "10h"}` or `{"set": "2026-01-01T00:00:00Z"}` |
//! | `GET /_sim/knobs`, `PATCH /_sim/knobs` | how it behaves; some other way from here on |
//!
//! `org` may be left out when there is but one.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::change::Delivery;
use super::faults::Rule;
use super::hands::Hand;
use super::knobs::{Knobs, Length};
use super::org::OrgState;
use super::records::verbs::{RawBulk, RawChange};
use super::state::Zoho;
use crate::model::time;

/// A call of the admin API.
#[derive(Clone, Copy, Debug)]
pub struct AdminCall<'a> {
    /// The HTTP method.
    pub method: &'a str,
    /// The path, from `/_sim/` on.
    pub path: &'a str,
    /// The JSON body, or nothing.
    pub body: &'a [u8],
}

/// The outcome of an admin call.
#[derive(Debug)]
pub struct AdminReply {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
    /// Deliveries to be posted now.
    pub deliveries: Vec<Delivery>,
}

impl Zoho {
    /// Answers an admin call; `clock` is by how much the simulator's clock is ahead, `now` what it
    /// shows.
    pub fn admin(
        &mut self,
        call: AdminCall<'_>,
        clock: &mut SignedDuration,
        now: Timestamp,
    ) -> AdminReply {
        let AdminCall { method, path, body } = call;
        let done = match (method, path) {
            ("GET", "/_sim/state") => Ok(self.state_json(now)),
            ("GET", "/_sim/counters") => Ok(self.counters_json()),
            ("GET", "/_sim/truth") => Ok(self.by_org(|state| json!(state.ledger.all()))),
            ("GET", "/_sim/knobs") => Ok(json!(self.knobs)),
            ("GET", "/_sim/clock") => Ok(json!({ "now": now })),
            ("PATCH", "/_sim/knobs") => self.patch_knobs(body),
            ("POST", "/_sim/clock") => move_clock(body, clock, now),
            ("POST", "/_sim/faults") => self.add_faults(body),
            ("DELETE", "/_sim/faults") => {
                self.clear_faults();
                Ok(json!({}))
            }
            ("POST", "/_sim/hands") => self.lend_hand(body, now),
            ("POST", "/_sim/codes") => self.make_code(body, now),
            ("POST", "/_sim/revoke") => self.revoke_token(body),
            ("GET", "/_sim/records") => Ok(self.by_org(OrgState::records_json)),
            ("GET", "/_sim/missed") => Ok(self.by_org(OrgState::missed_json)),
            ("POST", "/_sim/records/bulk") => self.change_many(body, now),
            ("POST", "/_sim/scopes") => self.set_scopes_to(body),
            ("POST" | "PATCH" | "DELETE", "/_sim/records") => {
                match self.change_records(method, body, now) {
                    Ok((body, deliveries)) => return AdminReply { status: 200, body, deliveries },
                    Err(error) => Err(error),
                }
            }
            _ => return outcome(404, json!({ "error": format!("no {method} {path}") })),
        };
        match done {
            Ok(body) => outcome(200, body),
            Err(error) => outcome(400, json!({ "error": error })),
        }
    }

    fn state_json(&self, now: Timestamp) -> Value {
        let orgs = self.by_org(|state| {
            let channels = state.channels.values().map(|channel| channel.to_json(&self.knobs, now));
            json!({
                "product": state.org.product.as_str(),
                "api_version": state.org.product.traits().version_default.as_str(),
                "portal": state.org.portal(),
                "client_id": state.org.client_id,
                "client_secret": state.org.client_secret,
                "refresh_tokens": state.refresh_tokens,
                "scopes": state.org.scopes,
                "live_access_tokens": state.tokens.iter().filter(|token| token.expires > now).count(),
                "channels": channels.collect::<Vec<_>>(),
            })
        });
        json!({ "now": now, "orgs": orgs, "faults": self.faults.rules().collect::<Vec<_>>() })
    }

    fn counters_json(&self) -> Value {
        json!({ "orgs": self.by_org(|state| json!(state.counters)), "faults": self.faults_applied() })
    }

    fn by_org(&self, of: impl Fn(&OrgState) -> Value) -> Value {
        Value::Object(self.orgs.values().map(|state| (state.org.name.clone(), of(state))).collect())
    }

    fn patch_knobs(&mut self, body: &[u8]) -> Result<Value, String> {
        let mut value = json!(self.knobs);
        for (key, knob) in parsed::<Map<String, Value>>(body)? {
            match knob.as_object().filter(|_| key == "records") {
                Some(of_records) => {
                    for (name, knob) in of_records {
                        value[&key][name] = knob.clone();
                    }
                }
                None => value[key] = knob,
            }
        }
        let knobs: Knobs = serde_json::from_value(value).map_err(|error| error.to_string())?;
        self.set_knobs(knobs).map_err(|error| error.to_string())?;
        Ok(json!(self.knobs))
    }

    fn add_faults(&mut self, body: &[u8]) -> Result<Value, String> {
        let given = parsed::<Value>(body)?;
        let rules = if let Value::Array(rules) = given { rules } else { vec![given] };
        let rules: Result<Vec<Rule>, _> = rules.into_iter().map(serde_json::from_value).collect();
        for rule in rules.map_err(|error| error.to_string())? {
            self.add_fault(rule);
        }
        Ok(json!({ "faults": self.faults.rules().collect::<Vec<_>>() }))
    }

    fn lend_hand(&mut self, body: &[u8], now: Timestamp) -> Result<Value, String> {
        let Lent { org, hand } = parsed(body)?;
        let org = self.org_or_only(org)?;
        self.hand(&org, &hand, now).map_err(|error| error.to_string())?;
        Ok(json!({}))
    }

    fn make_code(&mut self, body: &[u8], now: Timestamp) -> Result<Value, String> {
        let Named { org, refresh_token: _ } = parsed(body)?;
        let org = self.org_or_only(org)?;
        Ok(json!({ "code": self.grant_code(&org, now) }))
    }

    fn revoke_token(&mut self, body: &[u8]) -> Result<Value, String> {
        let Named { org, refresh_token } = parsed(body)?;
        let org = self.org_or_only(org)?;
        let token = refresh_token.ok_or("refresh_token: say which")?;
        self.revoke(&org, &token);
        Ok(json!({}))
    }

    fn change_records(
        &mut self,
        method: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(Value, Vec<Delivery>), String> {
        let raw: RawChange = parsed(body)?;
        let org = self.org_or_only(raw.org.clone())?;
        self.carry_out(&org, method, raw, now)
    }

    fn change_many(&mut self, body: &[u8], now: Timestamp) -> Result<Value, String> {
        let RawBulk { org, bulk } = parsed(body)?;
        let org = self.org_or_only(org)?;
        self.bulk(&org, &bulk, now).map(|done| json!(done)).map_err(|error| error.to_string())
    }

    fn set_scopes_to(&mut self, body: &[u8]) -> Result<Value, String> {
        let Scoped { org, scopes } = parsed(body)?;
        let org = self.org_or_only(org)?;
        self.set_scopes(&org, &scopes);
        Ok(json!({ "scopes": scopes }))
    }

    fn org_or_only(&self, name: Option<String>) -> Result<String, String> {
        let mut names = self.orgs.values().map(|state| &state.org.name);
        match (name, names.next(), names.next()) {
            (Some(name), _, _) if self.orgs.get(&name).is_some() => Ok(name),
            (Some(name), _, _) => Err(format!("no org \"{name}\"")),
            (None, Some(only), None) => Ok(only.clone()),
            (None, _, _) => Err("org: say which".to_owned()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lent {
    org: Option<String>,
    hand: Hand,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    org: Option<String>,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scoped {
    org: Option<String>,
    scopes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Move {
    Advance(Length),
    Set(Timestamp),
}

fn move_clock(body: &[u8], clock: &mut SignedDuration, now: Timestamp) -> Result<Value, String> {
    let to = match parsed(body)? {
        Move::Advance(by) => time::after(now, by.0),
        Move::Set(to) => to,
    };
    *clock = clock.saturating_add(to.duration_since(now));
    Ok(json!({ "now": to }))
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn outcome(status: u16, body: Value) -> AdminReply {
    AdminReply { status, body, deliveries: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::super::org::Org;
    use super::super::testing::{World, channel};
    use super::*;

    fn call(world: &mut World, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut clock = SignedDuration::ZERO;
        let body = body.to_string();
        let call = AdminCall { method, path, body: body.as_bytes() };
        let outcome = world.zoho.admin(call, &mut clock, world.now);
        (outcome.status, outcome.body)
    }

    #[test]
    fn looking_in_shows_channels_counts_and_truth() {
        let mut world = World::new(Knobs::default());
        world.write("POST", &[channel("7", &["Deals.create"])]);
        let (_, state) = call(&mut world, "GET", "/_sim/state", &Value::Null);
        assert_eq!(state["orgs"]["a"]["channels"][0]["events"], json!(["Deals.create"]));
        let (_, counters) = call(&mut world, "GET", "/_sim/counters", &Value::Null);
        assert_eq!(counters["orgs"]["a"]["writes"], 1);
        let (_, truth) = call(&mut world, "GET", "/_sim/truth", &Value::Null);
        assert_eq!(truth["a"][0]["to"], "2026-11-23T17:00:00Z");
    }

    #[test]
    fn looking_in_shows_the_product_of_each_org() {
        for (product, version, portal) in [
            ("crm", "v8", Value::Null),
            ("bigin", "v2", Value::Null),
            ("vertical", "v6", json!("a")),
        ] {
            let org = Org::of(product.parse().unwrap(), "a");
            let mut world = World::with_org(Knobs::default(), org);
            let (_, state) = call(&mut world, "GET", "/_sim/state", &Value::Null);
            let org = &state["orgs"]["a"];
            assert_eq!((&org["product"], &org["api_version"]), (&json!(product), &json!(version)));
            assert_eq!(org["portal"], portal, "{product}");
        }
    }

    #[test]
    fn what_cannot_be_done_says_why() {
        let mut world = World::new(Knobs::default());
        let table = [
            (
                "POST",
                "/_sim/hands",
                json!({"hand": {"delete": {"channel": 7}}}),
                "no live channel 7",
            ),
            (
                "POST",
                "/_sim/hands",
                json!({"org": "x", "hand": {"delete": {"channel": 7}}}),
                "no org \"x\"",
            ),
            (
                "POST",
                "/_sim/records",
                json!({"module": "Deals", "operation": "update"}),
                "is none of create",
            ),
            (
                "POST",
                "/_sim/records",
                json!({"module": "Deals", "operation": "edit"}),
                "at least one record",
            ),
            ("POST", "/_sim/faults", json!({"kind": "gremlins"}), "unknown variant `gremlins`"),
            ("POST", "/_sim/clock", json!({"advance": "soon"}), "expected number"),
            ("PATCH", "/_sim/knobs", json!({"zone": "Mars"}), "zone: \"Mars\""),
            ("PATCH", "/_sim/knobs", json!({"zoned": "UTC"}), "unknown field `zoned`"),
            ("POST", "/_sim/revoke", json!({}), "refresh_token: say which"),
        ];
        for (method, path, body, why) in table {
            let (status, reply) = call(&mut world, method, path, &body);
            let error = reply["error"].as_str().unwrap_or_default().to_owned();
            assert!(status == 400 && error.contains(why), "{path}: {status} {error}");
        }
        assert_eq!(call(&mut world, "GET", "/_sim/nothing", &Value::Null).0, 404);
    }

    #[test]
    fn the_clock_is_moved_or_set() {
        let mut world = World::new(Knobs::default());
        let mut clock = SignedDuration::ZERO;
        let now = world.now;
        let (method, path) = ("POST", "/_sim/clock");
        let call = |body| AdminCall { method, path, body };
        let moved = world.zoho.admin(call(br#"{"advance": "10h"}"#), &mut clock, now);
        assert_eq!((moved.body, clock.as_hours()), (json!({"now": "2026-11-24T02:00:00Z"}), 10));
        let set = br#"{"set": "2026-11-23T15:00:00Z"}"#;
        world.zoho.admin(call(set), &mut clock, now);
        assert_eq!(clock.as_hours(), 9);
    }

    #[test]
    fn trouble_is_made_and_ended() {
        let mut world = World::new(Knobs::default());
        let rules =
            json!([{"kind": "server_error_json"}, {"kind": {"list_omits": {"channel": "7"}}}]);
        assert_eq!(call(&mut world, "POST", "/_sim/faults", &rules).0, 200);
        assert_eq!(world.send("GET", &[], &Value::Null).status, 500);
        call(&mut world, "DELETE", "/_sim/faults", &Value::Null);
        assert_eq!(world.send("GET", &[], &Value::Null).status, 204);
        let (status, knobs) =
            call(&mut world, "PATCH", "/_sim/knobs", &json!({"batch_max": 1, "zone": "UTC"}));
        assert_eq!((status, &knobs["batch_max"]), (200, &json!(1)));
        let (_, code) = call(&mut world, "POST", "/_sim/codes", &json!({}));
        assert!(code["code"].is_string());
    }
}
