//! A plan looks and changes nothing.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn a_plan_needs_no_store_and_no_daemon_leaves_nothing_behind_and_says_by_its_exit_code_what_is_pending()
 {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    assert_eq!(place.verb(&["plan"]).code, 2);
    assert_eq!(zoho.writes(), 0);
    assert!(!place.state().exists());
    place.done(&["apply"]);
    let writes = zoho.writes();
    let plan = place.done(&["plan"]);
    let lines: Vec<&str> = plan.out.lines().collect();
    assert_eq!(
        (lines[0], lines[2]),
        ("account sim1: nothing to do, 4 channels are as declared", "nothing to do")
    );
    assert!(
        lines[1].starts_with("  sim1: about ") && lines[1].contains(" calls a day: "),
        "{}",
        lines[1]
    );
    assert_eq!(zoho.writes(), writes);
}

#[test]
fn plans_without_a_store_share_a_token_in_the_cache_of_the_user() {
    let zoho = Simulator::start();
    let cache = tempfile::tempdir().unwrap();
    let place =
        Place::new(&zoho.config).with_env("XDG_CACHE_HOME", cache.path().display().to_string());
    for _ in 0..12 {
        assert_eq!(place.verb(&["plan"]).code, 2);
    }
    assert_eq!(zoho.counters()["tokens_issued"], 1);
    assert!(!place.state().exists());
    let mut folders = vec![cache.path().join("channelkeeper")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let (path, metadata) =
                entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            let is_private = metadata.permissions().mode() & 0o077 == 0;
            assert!(is_private, "{} is open to others", path.display());
            folders.extend(metadata.is_dir().then_some(path));
        }
    }
}

#[test]
fn the_text_of_a_plan_and_its_json_say_the_same() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let (text, json) = (place.verb(&["plan"]).out, place.verb(&["plan", "--json"]).json());
    let steps = json["accounts"][0]["steps"].as_array().unwrap();
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("  + ")).collect();
    assert_eq!((steps.len(), told.len()), (4, 4), "{text}\n{json:#}");
    let renewals = json["accounts"][0]["calls"]["renewals"].as_f64().unwrap();
    assert!(text.contains(&format!("{renewals:.1} renewals")), "{text}\n{json:#}");
    for (step, line) in steps.iter().zip(told) {
        for field in ["step", "channel", "reason"] {
            assert!(line.contains(step[field].as_str().unwrap()), "{field}: {line}\n{step:#}");
        }
    }
}

#[test]
fn with_a_daemon_running_a_plan_is_of_the_edited_file_and_puts_nothing_in_force() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let mut daemon = Daemon::start(&place);
    let writes = zoho.writes();
    let edited = zoho.config.replace("\"Leads.create\"", "\"Leads.create\", \"Leads.edit\"");
    place.write(
        &(edited
            + &channel("new", 101, &["Calls.all"])
                .replace("\nevents", "\naccount = \"sim1\"\nevents")),
    );

    let plan = place.verb(&["plan", "--json"]);
    assert_eq!(plan.code, 2, "{plan:#?}");
    let plan = plan.json();
    let mut steps: Vec<(&Value, &Value, &Value)> = Vec::new();
    for step in plan["accounts"][0]["steps"].as_array().unwrap() {
        steps.push((&step["channel"], &step["reason"], &step["drift"]));
    }
    let (none, missing) = (Value::Null, json!(["events: missing Leads.edit"]));
    let expected =
        [(&json!("new"), &json!("missing"), &none), (&json!("leads-3"), &json!("drift"), &missing)];
    assert_eq!(steps, expected);
    assert_eq!(zoho.writes(), writes);
    let status = daemon.get("/api/v1/status").json();
    assert_eq!(status["accounts"][0]["channels"].as_array().map(Vec::len), Some(4), "{status:#}");

    place.done(&["apply"]);
    daemon.hears("the config was read again and is in force");
    assert_eq!(place.done(&["plan", "--json"]).json()["accounts"][0]["kept"], 5);
    daemon.stop();
}

#[test]
fn apply_does_the_plan_that_was_looked_at_and_no_other() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        let place = Place::new(&(zoho.account().to_owned() + &channel("one", 101, &["Deals.all"])));
        place.done(&["apply"]);
        let daemon = with_daemon.then(|| Daemon::start(&place));
        place.write(
            &(zoho.account().to_owned() + &channel("one", 101, &["Deals.all", "Leads.create"])),
        );
        let looked_at = checksum(&place);
        assert_eq!(
            checksum(&place),
            looked_at,
            "the same plan a moment later has the same checksum"
        );

        place.write(
            &(zoho.account().to_owned() + &channel("one", 101, &["Deals.all", "Leads.edit"])),
        );
        let writes = zoho.writes();
        let refused = place.verb(&["apply", "--plan", &looked_at]);
        assert_eq!((refused.code, zoho.writes()), (1, writes), "{refused:#?}");
        let made = checksum(&place);
        for word in [&looked_at, &made, "channelkeeper plan"] {
            assert!(refused.err.contains(word), "{word}: {refused:#?}");
        }
        assert_eq!(zoho.channels()["101"]["events"], json!(["Deals.all"]));

        place.done(&["apply", "--plan", &made]);
        assert_eq!(zoho.channels()["101"]["events"], json!(["Deals.all", "Leads.edit"]));
        let nothing = place.done(&["plan", "--json"]).json();
        place.done(&["apply", "--plan", nothing["checksum"].as_str().unwrap()]);
        assert_eq!(
            place.verb(&["apply", "--plan", &made]).code,
            1,
            "it is done, so it is not what is left to do"
        );
        assert_eq!(place.verb(&["apply", "--plan", &made, "--allow-removals"]).code, 1);
        daemon.map(Daemon::stop);
    }
}

/// The checksum of the plan at this instant, from the text. The JSON has to say the same.
fn checksum(place: &Place) -> String {
    let (text, json) = (place.verb(&["plan"]).out, place.verb(&["plan", "--json"]).json());
    let checksum = json["checksum"].as_str().unwrap().to_owned();
    assert!(text.contains(&format!("channelkeeper apply --plan {checksum}")), "{text}");
    checksum
}

#[test]
fn a_channel_of_ours_is_explained_by_its_id_whichever_account_has_it() {
    let zoho = Simulator::with(2, 2);
    let place = Place::new(&zoho.config);
    place.done(&["apply"]);
    for (org, channels) in zoho.channels_by_org() {
        for id in channels.keys() {
            let told = place.done(&["explain", id, "--json"]).json();
            assert_eq!(told["account"], org, "{id}: {told}");
        }
    }
    let stranger = place.verb(&["explain", "7"]);
    assert_eq!(stranger.code, 1, "its account is not clear: {stranger:#?}");
}

#[test]
fn a_channel_is_explained_with_a_daemon_and_without_one_in_text_and_as_json() {
    let zoho = Simulator::start();
    let place = Place::new(&(zoho.account().to_owned() + &channel("one", 101, &["Deals.all"])));
    assert_eq!(place.done(&["explain", "one", "--json"]).json()["row"]["then"], "Enable (Missing)");
    place.done(&["apply"]);
    zoho.hand(&json!({"create": {
        "channel": 7, "events": ["Calls.all"], "notify_url": "https://other.example.com/", "token": null,
        "expiry": "2100-01-01T00:00:00Z",
    }}));
    let writes = zoho.writes();
    for with_daemon in [false, true] {
        let daemon = with_daemon.then(|| Daemon::start(&place));
        for name in ["one", "sim1/one", "sim1/101", "101"] {
            let told = place.done(&["explain", name, "--json"]).json();
            assert_eq!((&told["channel"], &told["id"]), (&json!("one"), &json!("101")), "{told:#}");
            assert_eq!(
                (&told["observed"]["look"], &told["renewal"]["age"]),
                (&json!("seen"), &json!("fresh"))
            );
            assert!(told["slack"]["failed_passes"].as_u64().unwrap() > 10, "{told:#}");
        }
        let text = place.done(&["explain", "one"]).out;
        for word in [
            "declared  Deals.all",
            "row       it is declared, and ours; at Zoho: there as declared",
            "decision  nothing is done",
            "renewal   fresh",
            "slack ",
        ] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("token-one"), "{text}");
        assert!(place.done(&["explain", "7"]).out.contains("it is not ours"));
        for nobody in ["nobody", "sim1/nobody", "sim9/one"] {
            assert_eq!(place.verb(&["explain", nobody]).code, 1);
        }
        daemon.map(Daemon::stop);
    }
    assert_eq!(zoho.writes(), writes);
}
