//! The command line, with a daemon and without one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use super::daemon::Daemon;
use super::declared::{channel, url};
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn removing_too_much_is_held_until_it_is_allowed() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        let channels =
            [1, 2, 3, 4].map(|n| channel(&format!("orders-{n}"), 100 + n, &["Deals.all"]));
        let place = Place::new(&(zoho.account().to_owned() + &channels.concat()));
        place.done(&["apply"]);
        let daemon = with_daemon.then(|| Daemon::start(&place));
        place.write(&(zoho.account().to_owned() + &channels[..2].concat()));

        let held = place.verb(&["apply"]);
        assert_eq!(held.code, 1, "{held:#?}");
        assert!(held.out.contains("channelkeeper apply --allow-removals"), "{held:#?}");
        assert_eq!(zoho.channels().len(), 4);

        place.done(&["apply", "--allow-removals"]);
        assert_eq!(zoho.channels().into_keys().collect::<Vec<_>>(), ["101", "102"]);
        place.done(&["plan"]);

        // It was allowed once: the same removals are held again when they come again.
        place.write(&(zoho.account().to_owned() + &channels.concat()));
        place.done(&["apply"]);
        place.write(&(zoho.account().to_owned() + &channels[..2].concat()));
        assert_eq!(place.verb(&["apply"]).code, 1);
        assert_eq!(zoho.channels().len(), 4);
        place.done(&["apply", "--allow-removals"]);

        place.write(zoho.account());
        assert_ne!(place.verb(&["apply"]).code, 0);
        assert_eq!(zoho.channels().len(), 2, "an empty config disables nothing");
        daemon.map(Daemon::stop);
    }
}

#[test]
fn removing_one_of_many_needs_no_word() {
    let zoho = Simulator::start();
    let channels = [1, 2, 3, 4].map(|n| channel(&format!("orders-{n}"), 100 + n, &["Deals.all"]));
    let place = Place::new(&(zoho.account().to_owned() + &channels.concat()));
    place.done(&["apply"]);
    place.write(&(zoho.account().to_owned() + &channels[..3].concat()));
    place.done(&["apply"]);
    assert_eq!(zoho.channels().into_keys().collect::<Vec<_>>(), ["101", "102", "103"]);
}

#[test]
fn adopting_resolves_a_conflict() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        zoho.hand(&json!({"create": {
            "channel": 101, "events": ["Calls.all"], "notify_url": "https://other.example.com/", "token": null,
            "expiry": "2100-01-01T00:00:00Z",
        }}));
        let place =
            Place::new(&(zoho.account().to_owned() + &channel("orders", 101, &["Deals.all"])));
        let daemon = with_daemon.then(|| Daemon::start(&place));
        let before = zoho.channels();
        let applied = place.verb(&["apply"]);
        assert_eq!(applied.code, 1, "{applied:#?}");
        assert!(
            applied.out.contains("conflict") && applied.out.contains("channelkeeper adopt"),
            "{applied:#?}"
        );
        assert_eq!(zoho.channels(), before);
        assert_eq!(zoho.writes(), 0);

        place.done(&["adopt", "orders"]);
        let after = &zoho.channels()["101"];
        assert_eq!(
            (&after["notify_url"], &after["events"]),
            (&json!(url("orders")), &json!(["Deals.all"]))
        );
        place.done(&["plan"]);
        assert_eq!(place.verb(&["adopt", "nobody"]).code, 1);
        daemon.map(Daemon::stop);
    }
}

#[test]
fn renewing_gives_one_channel_a_new_expiry() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        let declared = channel("one", 101, &["Deals.all"]) + &channel("other", 102, &["Deals.all"]);
        let place = Place::new(&(zoho.account().to_owned() + &declared));
        place.done(&["apply"]);
        let daemon = with_daemon.then(|| Daemon::start(&place));
        let before = zoho.channels();
        zoho.tell("POST", "/_sim/clock", &json!({"advance": "10m"}));
        let renewed = place.done(&["renew", "one", "--json"]).json();
        assert_eq!(renewed[0]["done"][0]["reason"], "asked", "{renewed:#}");
        let after = zoho.channels();
        assert!(
            after["101"]["channel_expiry"].as_str() > before["101"]["channel_expiry"].as_str(),
            "{after:?}"
        );
        assert_eq!(zoho.counters()["channels_created"], 2);
        assert_eq!(place.verb(&["renew", "nobody"]).code, 1);
        daemon.map(Daemon::stop);
    }
}

#[test]
fn a_second_daemon_says_that_the_state_directory_is_in_use() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    let second = place.verb(&["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 1, "{second:#?}");
    assert!(
        second.err.contains("another channelkeeper is using this state directory"),
        "{second:#?}"
    );
    place.done(&["status"]);
    daemon.stop();
}

#[test]
fn the_state_directory_is_for_its_owner_alone() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    let modes = modes(&place.state());
    for (path, mode) in &modes {
        let wanted = match path.as_str() {
            "control.sock" => 0o660,
            _ if path.ends_with('/') => 0o700,
            _ => 0o600,
        };
        assert_eq!(*mode, wanted, "{path} is {mode:o}");
    }
    assert!(modes.len() > 3, "{modes:?}");
    daemon.stop();
}

#[test]
fn what_a_killed_daemon_left_behind_stops_no_verb() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    Daemon::start(&place).kill();
    assert!(place.state().join("control.sock").exists());
    place.done(&["plan"]);
    let status = place.verb(&["status", "--json"]);
    assert_eq!(status.code, 1, "nothing is renewed: {status:#?}");
    assert!(status.out.contains("no daemon is running, so nothing is renewed"), "{status:#?}");
    let status = status.json();
    assert_eq!(status["accounts"][0]["channels"].as_array().map(Vec::len), Some(4), "{status:#}");
    Daemon::start(&place).stop();
}

#[test]
fn a_mistake_on_the_command_line_is_told_on_stderr_with_exit_code_1() {
    let place = Place::new("");
    for args in
        [&["frobnicate"][..], &["plan", "--frobnicate"], &["adopt"], &["demo", "--speed", "0"]]
    {
        let ran = place.verb(args);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{args:?}: {ran:#?}");
        assert!(ran.err.starts_with("error: "), "{ran:#?}");
    }
}

#[test]
fn a_config_that_cannot_be_used_is_exit_code_3_for_every_verb_that_reads_it() {
    let place = Place::new("[accounts.a]\nclient_id = 7\n");
    let renamed = Place::new("");
    fs::remove_file(renamed.config()).unwrap();
    for verb in [
        &["run"][..],
        &["check"],
        &["plan"],
        &["apply"],
        &["status"],
        &["gaps"],
        &["gaps", "ack", "x"],
        &["renew"],
        &["adopt", "x"],
    ] {
        let ran = place.verb(verb);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{verb:?}: {ran:#?}");
        assert!(ran.err.contains("config.toml:2:"), "{verb:?}: {ran:#?}");
        let ran = renamed.verb(verb);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{verb:?}: {ran:#?}");
    }
}

#[test]
fn a_zoho_that_does_not_answer_is_exit_code_1_and_leaves_everything_as_it_is() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    place.done(&["apply"]);
    let writes = zoho.writes();
    zoho.fault(&json!({"kind": "server_error_html"}));
    for verb in ["plan", "apply"] {
        let ran = place.verb(&[verb]);
        assert_eq!(ran.code, 1, "{verb}: {ran:#?}");
    }
    assert_eq!(zoho.writes(), writes);
}

/// Of everything below a directory, and of itself; the path of a directory ends with a slash.
fn modes(dir: &Path) -> Vec<(String, u32)> {
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut found = vec![("/".to_owned(), mode(dir))];
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(
                modes(&path).into_iter().map(|(below, mode)| (format!("{name}/{below}"), mode)),
            );
        } else {
            found.push((name, mode(&path)));
        }
    }
    found
}
