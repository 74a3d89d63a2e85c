//! The command line, with a daemon and without one.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::{channel, url};
use super::place::{Place, Ran};
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
        let plan = place.verb(&["plan"]);
        assert_eq!(plan.code, 2, "{plan:#?}");
        let told = "2 removals held back; `channelkeeper apply --allow-removals` does that too";
        assert!(plan.out.contains(told) && !plan.out.contains("\nnothing to do"), "{plan:#?}");
        if with_daemon {
            let status = place.verb(&["status"]).out;
            assert_eq!(status.matches("--allow-removals").count(), 1, "{status}");
            assert!(status.contains("(orders-3, orders-4)"), "{status}");
        }

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
        if let Some(daemon) = daemon {
            let log = daemon.stop();
            let warned = log
                .iter()
                .filter(|line| line.contains("too many channels would be disabled"))
                .count();
            // Two of four, twice, and then all.
            assert_eq!(warned, 3, "{log:#?}");
        }
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
    let text = place.verb(&["status"]).out;
    assert!(text.contains("no daemon is running: nothing is renewed (next renewal of "), "{text}");
    assert!(text.contains("the next look is not known"), "{text}");
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

#[test]
fn apply_says_what_was_done_and_what_was_refused_with_a_daemon_and_without_one() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        let (one, two) = (channel("one", 101, &["Deals.all"]), channel("two", 102, &["Deals.all"]));
        let place = Place::new(&(zoho.account().to_owned() + &one));
        place.done(&["apply"]);
        let daemon = with_daemon.then(|| Daemon::start(&place));
        let done = |ran: &Ran| -> Vec<[String; 3]> {
            let json = ran.json();
            let done = json[0]["done"].as_array().unwrap_or_else(|| panic!("{json:#}"));
            let word = |step: &Value, key: &str| step[key].as_str().unwrap().to_owned();
            let words = |step: &Value| ["channel", "step", "outcome"].map(|key| word(step, key));
            done.iter().map(words).collect()
        };

        // An enable.
        place.write(&(zoho.account().to_owned() + &one + &two));
        let enabled = place.done(&["apply", "--json"]);
        assert_eq!(done(&enabled), [["two", "enable", "done"]], "{with_daemon}: {enabled:#?}");

        // A repair, by the name of its plan.
        let changed = channel("two", 102, &["Deals.all", "Calls.all"]);
        place.write(&(zoho.account().to_owned() + &one + &changed));
        let plan = place.verb(&["plan", "--json"]).json();
        let repaired = place.done(&["apply", "--plan", plan["checksum"].as_str().unwrap()]);
        let lines: Vec<&str> = repaired.out.lines().collect();
        assert_eq!(lines[0], "account sim1: 1 step done", "{with_daemon}: {repaired:#?}");
        assert!(lines[1].starts_with("  done     update two (drift"), "{repaired:#?}");

        // A refusal.
        let refused = channel("three", 103, &["Meetings.all"]);
        place.write(&(zoho.account().to_owned() + &one + &changed + &refused));
        let refused = place.verb(&["apply", "--json"]);
        assert_eq!(refused.code, 1, "{refused:#?}");
        assert!(
            done(&refused).contains(&["three", "enable", "refused"].map(str::to_owned)),
            "{refused:#?}"
        );

        // A disable.
        place.write(&(zoho.account().to_owned() + &one));
        let disabled = place.done(&["apply", "--allow-removals"]);
        assert!(
            disabled.out.contains("  done     disable two (retired)"),
            "{with_daemon}: {disabled:#?}"
        );
        let nothing = place.done(&["apply"]);
        assert!(nothing.out.starts_with("account sim1: nothing to do"), "{nothing:#?}");
        daemon.map(Daemon::stop);
    }
}

#[test]
fn resume_says_what_it_resumed_or_that_nothing_was_paused() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        let place = Place::new(&(zoho.account().to_owned() + &channel("one", 101, &["Deals.all"])));
        place.done(&["apply"]);
        let daemon = with_daemon.then(|| Daemon::start(&place));
        let nothing = place.done(&["resume"]).out;
        assert!(nothing.starts_with("nothing was paused"), "{nothing}");
        place.done(&["pause", "one"]);
        let resumed = place.done(&["resume", "one"]).out;
        assert!(resumed.starts_with("channel sim1/one is resumed"), "{resumed}");
        place.done(&["pause", "sim1"]);
        let resumed = place.done(&["resume", "--json"]).json();
        assert_eq!(resumed["resumed"], json!(["sim1"]), "{resumed:#}");
        daemon.map(Daemon::stop);
    }
}

#[test]
fn a_slip_in_a_name_is_answered_with_the_one_that_is_near() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        let place =
            Place::new(&(zoho.account().to_owned() + &channel("orders", 101, &["Deals.all"])));
        place.done(&["apply"]);
        let daemon = with_daemon.then(|| Daemon::start(&place));
        for args in [
            &["renew", "ordres"][..],
            &["renew", "sim1/ordres"],
            &["adopt", "ordres"],
            &["explain", "ordres"],
            &["pause", "ordres"],
            &["resume", "sim1/ordres"],
            &["gaps", "--channel", "ordres"],
            &["gaps", "ack", "ordres"],
        ] {
            let ran = place.verb(args);
            assert_eq!(ran.code, 1, "{args:?}: {ran:#?}");
            assert!(ran.err.contains("did you mean orders?"), "{args:?}: {ran:#?}");
        }
        let ran = place.verb(&["plan", "--account", "smi1"]);
        assert!(ran.err.contains("did you mean sim1?"), "{ran:#?}");
        place.done(&["renew", "sim1/orders"]);
        daemon.map(Daemon::stop);
    }
}

#[test]
fn a_shell_without_the_secrets_asks_the_daemon_that_has_them() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    // A secret that is fetched would be waited for: nobody writes into this pipe.
    let pipe = place.path().join("secret");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let account = zoho.account();
    let secret = account.lines().find(|line| line.starts_with("client_secret")).unwrap();
    let piped = format!("client_secret = {{ file = {:?} }}", pipe.display().to_string());
    place.write(&account.replace(secret, &piped));
    for verb in ["status", "gaps"] {
        let ran = place.done(&[verb]);
        assert_eq!(ran.err, "", "{verb}: {ran:#?}");
    }
    fs::remove_file(place.config()).unwrap();
    assert_eq!(place.done(&["status"]).err, "");
    daemon.stop();
}

#[test]
fn a_daemon_that_is_stopped_is_not_waited_for() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    daemon.signal(Signal::STOP);
    std::thread::scope(|scope| {
        for verb in ["status", "plan", "gaps", "apply"] {
            let place = &place;
            scope.spawn(move || {
                let ran = place.verb(&[verb]);
                assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{verb}: {ran:#?}");
                assert!(ran.err.contains("did not answer within 5 seconds"), "{verb}: {ran:#?}");
            });
        }
    });
    daemon.signal(Signal::CONT);
    place.done(&["status"]);
    daemon.stop();
}

#[test]
fn a_field_that_is_null_is_refused_by_every_verb_of_the_socket() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    let writes = zoho.writes();
    for (path, field) in [
        ("/renew", "channel"),
        ("/renew", "account"),
        ("/plan", "account"),
        ("/apply", "plan"),
        ("/explain", "channel"),
        ("/adopt", "channel"),
        ("/pause", "target"),
        ("/resume", "target"),
        ("/gaps/ack", "until"),
    ] {
        let body = format!("{{\"{field}\": null}}");
        let answer = posted(&place, path, &body);
        assert!(answer.starts_with("HTTP/1.1 400"), "{path} {body}: {answer}");
        assert!(answer.contains(&format!("{field} is null")), "{path} {body}: {answer}");
    }
    let nested = posted(&place, "/apply", r#"{"which": {"account": null}}"#);
    assert!(nested.contains("which.account is null"), "{nested}");
    assert_eq!(zoho.writes(), writes);
    daemon.stop();
}

/// A request over the control socket, as a script may write it.
fn posted(place: &Place, path: &str, body: &str) -> String {
    let mut socket = UnixStream::connect(place.state().join("control.sock")).unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: daemon\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + body).as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// The modes of a directory and everything below it; the path of a directory ends with a slash.
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
