//! A pause: nothing is written, everything is told, and it ends.

use serde_json::json;

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel};
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn nothing_is_written_while_an_account_is_paused_and_what_waited_is_done_afterwards() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        let declared = channel("one", 101, &["Deals.all"]) + &channel("two", 102, &["Deals.all"]);
        let place = Place::new(&(zoho.account().to_owned() + AUDIT_ALWAYS + &declared));
        place.done(&["apply"]);
        let daemon = with_daemon.then(|| Daemon::start(&place));
        let paused = place.done(&["pause", "sim1", "--for", "2h", "--json"]).json();
        assert_eq!(
            (&paused[0]["account"], &paused[0]["channel"]),
            (&json!("sim1"), &json!(null)),
            "{paused:#}"
        );
        assert!(
            paused[0]["covered_until"].is_string() && paused[0]["lapse"] == json!([]),
            "{paused:#}"
        );
        let text = place.done(&["pause", "sim1", "--until-resumed"]).out;
        assert!(
            text.contains("until it is resumed") && text.contains("2 channels may lapse"),
            "{text}"
        );

        zoho.hand(&json!({"delete": {"channel": 101}}));
        let writes = zoho.writes();
        let plan = place.done(&["plan", "--json"]).json();
        assert_eq!(plan["accounts"][0]["held"][1]["cause"], "paused", "{plan:#}");
        place.done(&["apply"]);
        place.done(&["renew", "two"]);
        assert_eq!(zoho.writes(), writes);
        if let Some(daemon) = &daemon {
            let health = daemon.get("/healthz");
            assert!(health.body.contains("2 channels paused until resumed"), "{health:#?}");
        }
        place.done(&["resume", "sim1"]);
        assert_eq!(zoho.channels().into_keys().collect::<Vec<_>>(), ["101", "102"]);
        assert!(zoho.writes() > writes);
        place.done(&["plan"]);
        daemon.map(Daemon::stop);
    }
}

#[test]
fn a_pause_of_one_channel_outlives_the_daemon_and_leaves_the_others_alone() {
    let zoho = Simulator::start();
    let declared = channel("one", 101, &["Deals.all"]) + &channel("two", 102, &["Deals.all"]);
    let place = Place::new(&(zoho.account().to_owned() + &declared));
    place.done(&["apply"]);
    let daemon = Daemon::start(&place);
    place.done(&["pause", "sim1/one"]);
    daemon.stop();
    let daemon = Daemon::start(&place);
    for id in [101, 102] {
        zoho.hand(&json!({"delete": {"channel": id}}));
    }
    place.done(&["apply"]);
    assert_eq!(zoho.channels().into_keys().collect::<Vec<_>>(), ["102"]);
    place.done(&["resume"]);
    assert_eq!(zoho.channels().into_keys().collect::<Vec<_>>(), ["101", "102"]);
    for bad in [
        &["pause", "nobody"][..],
        &["pause", "one", "--for", "9d"],
        &["pause", "--for", "1h", "--until-resumed"],
    ] {
        assert_eq!(place.verb(bad).code, 1, "{bad:?}");
    }
    daemon.stop();
}
