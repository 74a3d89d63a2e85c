//! Starting, dying, starting again, and starting with nothing remembered.

use serde_json::json;

use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn the_printed_config_enables_every_channel_and_a_killed_daemon_comes_back_without_a_write() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    let enabled = zoho.channels();
    let urls: Vec<_> =
        enabled.values().map(|channel| channel["notify_url"].as_str().unwrap()).collect();
    for name in ["deals-1", "contacts-2", "leads-3", "orders-4"] {
        assert!(urls.contains(&format!("https://hooks.example.com/{name}").as_str()), "{urls:?}");
    }
    let writes = zoho.writes();
    daemon.kill();

    let daemon = Daemon::start(&place);
    assert_eq!(zoho.writes(), writes);
    assert_eq!(zoho.channels(), enabled);
    assert_eq!(daemon.get("/healthz").json()["status"], "ok");
    daemon.stop();
}

#[test]
fn without_its_store_it_takes_over_its_own_creates_nothing_twice_and_leaves_the_foreign_alone() {
    let zoho = Simulator::start();
    zoho.hand(&json!({"create": {
        "channel": 7, "events": ["Calls.all"], "notify_url": "https://other.example.com/", "token": "theirs",
        "expiry": "2100-01-01T00:00:00Z",
    }}));
    let place = Place::new(&zoho.config);
    Daemon::start(&place).kill();
    let before = zoho.channels();
    assert_eq!(before.len(), 5);
    std::fs::remove_dir_all(place.state()).unwrap();

    let daemon = Daemon::start(&place);
    assert_eq!(zoho.channels().len(), 5);
    assert_eq!(zoho.channels()["7"], before["7"]);
    assert_eq!(zoho.counters()["channels_created"], 4);
    assert_eq!(zoho.counters()["channels_deleted"], 0);
    let status = daemon.get("/api/v1/status").json();
    assert_eq!(status["accounts"][0]["counts"]["covered"], 4, "{status:#}");
    assert_eq!(status["accounts"][0]["foreign_ids"], json!(["7"]));
    let plan = place.done(&["plan", "--json"]).json();
    assert_eq!(
        (&plan["accounts"][0]["kept"], &plan["accounts"][0]["foreign"]),
        (&json!(4), &json!(["7"]))
    );
    daemon.stop();
}
