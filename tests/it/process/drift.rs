//! An edit by somebody else at Zoho is named by the plan and put right.

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel};
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn a_plan_names_exactly_the_fields_that_were_edited_and_apply_puts_them_right() {
    let zoho = Simulator::start();
    let declared = [
        channel("event-removed", 101, &["Deals.all"]),
        channel("event-added", 102, &["Contacts.create"]),
        channel("token-changed", 103, &["Deals.all"]),
        channel("url-changed", 104, &["Leads.create", "Leads.edit"]),
        channel("module-dropped", 105, &["Leads.create", "Calls.all"]),
        channel("untouched", 106, &["Deals.all"]),
    ];
    let place = Place::new(&(zoho.account().to_owned() + &declared.concat()));
    place.done(&["apply"]);
    let as_declared = zoho.channels();
    assert_eq!(place.done(&["plan", "--json"]).json()["accounts"][0]["kept"], 6);

    zoho.hand(&json!({"remove_event": {"channel": 101, "event": "Deals.edit"}}));
    zoho.hand(&json!({"add_event": {"channel": 102, "event": "Contacts.delete"}}));
    zoho.hand(&json!({"set_token": {"channel": 103, "token": "an intruder's"}}));
    zoho.hand(
        &json!({"set_notify_url": {"channel": 104, "notify_url": "https://intruder.example.com/"}}),
    );
    zoho.hand(&json!({"drop_module": {"channel": 105, "module": "Calls"}}));

    let plan = place.verb(&["plan", "--json"]);
    assert_eq!(plan.code, 2, "{plan:#?}");
    let plan = plan.json();
    let mut named: Vec<(&Value, &Value)> = Vec::new();
    for step in plan["accounts"][0]["steps"].as_array().unwrap() {
        assert_eq!(step["reason"], "drift", "{step}");
        named.push((&step["channel"], &step["drift"]));
    }
    named.sort_by_key(|(channel, _)| channel.as_str());
    let expected = [
        ("event-added", "events: extra Contacts.delete"),
        ("event-removed", "events: missing Deals.edit"),
        ("module-dropped", "events: missing Calls.all"),
        ("token-changed", "token: another one instead of the declared one"),
        (
            "url-changed",
            "notify_url: https://intruder.example.com/ instead of https://hooks.example.com/url-changed",
        ),
    ];
    let expected: Vec<(Value, Value)> =
        expected.map(|(name, drift)| (json!(name), json!([drift]))).into();
    assert_eq!(named, expected.iter().map(|(name, drift)| (name, drift)).collect::<Vec<_>>());

    place.done(&["apply"]);
    assert_eq!(place.done(&["plan", "--json"]).json()["accounts"][0]["kept"], 6);
    let repaired = zoho.channels();
    for (id, channel) in &as_declared {
        for field in ["events", "notify_url", "token"] {
            assert_eq!(repaired[id][field], channel[field], "{field} of {id}");
        }
    }
}

#[test]
fn the_next_audit_repairs_what_was_edited() {
    let zoho = Simulator::start();
    let declared = channel("orders", 101, &["Deals.all", "Contacts.create"]);
    let place = Place::new(&(zoho.account().to_owned() + AUDIT_ALWAYS + &declared));
    let mut daemon = Daemon::start(&place);
    zoho.hand(&json!({"drop_module": {"channel": 101, "module": "Deals"}}));
    let repaired = daemon.hears_that("step for the drift", |line| line["step"] == "update (drift)");
    assert_eq!(repaired["channel"], "orders");
    assert_eq!(zoho.channels()["101"]["events"], json!(["Contacts.create", "Deals.all"]));
    zoho.hand(&json!({"delete": {"channel": 101}}));
    let again =
        daemon.hears_that("step for the deletion", |line| line["step"] == "enable (missing)");
    assert_eq!(again["channel"], "orders");
    assert!(zoho.channels().contains_key("101"));
    daemon.stop();
}

/// `.all` comes back as create, edit and delete; 70 channels of 3 modules are 210 rows. A page
/// holds 200, so that the 67th channel is cut in two.
#[test]
fn all_never_drifts_and_a_channel_cut_by_a_page_is_read_whole() {
    let zoho = Simulator::start();
    let events = ["Deals.all", "Contacts.create", "Leads.edit"];
    let declared: String =
        (1..=70).map(|n| channel(&format!("many-{n}"), 1000 + n, &events)).collect();
    let place = Place::new(&(zoho.account().to_owned() + &declared));
    place.done(&["apply"]);
    let looks = || zoho.counters()["calls"]["GET"].as_u64().unwrap();
    let before = looks();
    assert_eq!(place.done(&["plan", "--json"]).json()["accounts"][0]["kept"], 70);
    assert_eq!(looks() - before, 2);
    zoho.tell("PATCH", "/_sim/knobs", &json!({"page_max": 10}));
    assert_eq!(place.done(&["plan", "--json"]).json()["accounts"][0]["kept"], 70);
}
