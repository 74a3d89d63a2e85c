//! The local clock is not Zoho's.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;

/// One second too much is no error at Zoho: it gives one hour.
#[test]
fn asking_for_the_longest_life_two_minutes_ahead_of_zoho_gets_the_longest_life() {
    for (version, lifetime, longest) in [
        ("v8", "7d", SignedDuration::from_hours(168)),
        ("v3", "1d", SignedDuration::from_hours(24)),
    ] {
        let zoho = Simulator::start();
        set_back(&zoho, SignedDuration::from_mins(2));
        let config = zoho.account().replace("\"v8\"", &format!("\"{version}\""))
            + &channel("orders", 101, &["Deals.all"]);
        let place = Place::new(&(config + &format!("lifetime = \"{lifetime}\"\n")));
        let before = now(&zoho);
        place.done(&["apply"]);
        let granted = zoho.channels()["101"]["channel_expiry"]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .unwrap();
        let life = granted.duration_since(before);
        let missing = longest - life;
        assert!(missing < SignedDuration::from_mins(1), "{version}: {life} granted");
        place.done(&["plan"]);
    }
}

/// An org may grant less than the documents say of its version. Everybody is granted one day.
#[test]
fn a_day_is_granted_in_full_where_a_day_is_the_longest_and_the_config_does_not_know() {
    let zoho = Simulator::start();
    zoho.tell("PATCH", "/_sim/knobs", &json!({"version_limits": {"v8": "1d"}}));
    set_back(&zoho, SignedDuration::from_mins(2));
    let place = Place::new(&(zoho.account().to_owned() + &channel("orders", 101, &["Deals.all"])));
    let before = now(&zoho);
    place.done(&["apply"]);
    let granted =
        zoho.channels()["101"]["channel_expiry"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let life = granted.duration_since(before);
    assert!(life > SignedDuration::from_hours(23), "{life} granted");
}

fn now(zoho: &Simulator) -> Timestamp {
    zoho.see("/_sim/clock")["now"].as_str().unwrap().parse().unwrap()
}

fn set_back(zoho: &Simulator, by: SignedDuration) {
    zoho.tell("POST", "/_sim/clock", &json!({"set": now(zoho) - by}));
}
