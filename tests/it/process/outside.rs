//! The view from outside: gaps and their acknowledgements, the status file, and the probe that
//! judges it elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn gaps_come_with_what_finds_them_and_are_held_up_until_they_are_acknowledged() {
    for with_daemon in [false, true] {
        let zoho = Simulator::start();
        let place = Place::new(&zoho.config);
        place.done(&["apply"]);
        place.done(&["gaps", "--exit-code"]);
        // Zoho's time is known to a second: a channel that goes so soon was never there.
        zoho.tell("POST", "/_sim/clock", &json!({"advance": "10s"}));
        // Somebody deletes them all, and the next look finds that out: each has a gap of a moment.
        for id in zoho.channels().keys() {
            zoho.hand(&json!({"delete": {"channel": id.parse::<i64>().unwrap()}}));
        }
        place.done(&["apply"]);
        let daemon = with_daemon.then(|| Daemon::start(&place));
        let gaps = place.done(&["gaps", "--json"]).json();
        let gaps = gaps.as_array().unwrap();
        assert!(gaps.len() >= 4, "{gaps:#?}");
        for gap in gaps {
            assert_eq!(gap["acknowledged"], Value::Null);
            let url = gap["backfill"]["requests"][0]["url"].as_str().unwrap();
            assert!(url.contains("/crm/v"), "{url}");
        }
        assert_eq!(place.verb(&["gaps", "--exit-code"]).code, 2);
        let (account, channel) =
            (gaps[0]["account"].as_str().unwrap(), gaps[0]["channel"].as_str().unwrap());
        let full = format!("{account}/{channel}");

        let acked =
            place.done(&["gaps", "ack", &full, "--note", "fetched by hand", "--json"]).json();
        assert_eq!(
            (&acked[0]["channel"], &acked[0]["left"]),
            (&json!(channel), &json!(0)),
            "{acked:#}"
        );
        let one = place.done(&["gaps", "--channel", &full, "--json"]).json();
        assert_eq!(one[0]["acknowledged"]["note"], "fetched by hand");
        let one = place.done(&["gaps", "--channel", channel]);
        assert!(one.out.starts_with("no gaps, and "), "{one:#?}");
        let one = place.done(&["gaps", "--channel", channel, "--all"]);
        assert!(
            one.out.contains(": fetched by hand") && one.out.contains("If-Modified-Since: "),
            "{one:#?}"
        );
        assert_eq!(
            place.verb(&["gaps", "--exit-code"]).code,
            2,
            "the other channels are not acknowledged"
        );
        assert_eq!(
            place.done(&["gaps", "ack", channel]).out,
            "there is no gap left to acknowledge\n"
        );

        place.done(&["gaps", "ack", "--all", "--until", "1h"]);
        assert_eq!(place.verb(&["gaps", "--exit-code"]).code, 2, "they had not ended an hour ago");
        place.done(&["gaps", "ack", "--all"]);
        place.done(&["gaps", "--exit-code"]);
        for wrong in [
            &["gaps", "ack"][..],
            &["gaps", "ack", "nobody"],
            &["gaps", "ack", &full, "--note", "a\nb"],
        ] {
            let wrong = place.verb(wrong);
            assert_eq!((wrong.code, wrong.out.as_str()), (1, ""), "{wrong:#?}");
        }
        daemon.map(Daemon::stop);
        place.done(&["gaps", "--exit-code"]);
    }
}

#[test]
fn the_status_file_is_judged_elsewhere_and_grows_stale_with_its_daemon() {
    let zoho = Simulator::start();
    let place =
        Place::new(&format!("{}\n[daemon]\nstatus_file = \"out/status.json\"\n", zoho.config));
    fs::create_dir(place.path().join("out")).unwrap();
    let file = place.path().join("out/status.json");
    let elsewhere = Place::new("this is no config");
    let probe = |args: &[&str]| {
        elsewhere.verb(&[&["probe", "--file", file.to_str().unwrap()], args].concat())
    };
    assert_eq!(probe(&[]).code, 3, "there is none yet");

    let mut daemon = Daemon::start(&place);
    let guarantees =
        || fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    daemon.until("the file guarantees something", |_| {
        guarantees().is_some_and(|it| it["guaranteed_until"].is_string())
    });
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    let ok = probe(&[]);
    assert_eq!((ok.code, ok.err.as_str()), (0, ""), "{ok:#?}");
    assert!(ok.out.starts_with("CHANNELKEEPER OK - everything is covered until "), "{ok:#?}");
    assert_eq!(probe(&["--warning", "2d"]).code, 1);
    assert_eq!(probe(&["--critical", "2d"]).code, 2);
    assert_eq!(probe(&["--json"]).json()["grade"], "OK");

    daemon.stop();
    let whole = fs::read_to_string(&file).unwrap();
    let mut summary: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(summary["stopping"], true);
    assert!(!whole.contains("hooks.example.com") && !whole.contains("token"), "{whole}");
    summary["written_at"] = json!("2026-01-01T00:00:00Z");
    for (content, code, says) in [
        (summary.to_string(), 2, "CRITICAL - last heard of "),
        (whole.replacen("\"schema\": 1", "\"schema\": 2", 1), 3, "UNKNOWN - "),
        (whole[..whole.len() / 2].to_owned(), 3, "UNKNOWN - "),
        (String::new(), 3, "UNKNOWN - "),
    ] {
        fs::write(&file, &content).unwrap();
        let judged = probe(&[]);
        assert_eq!((judged.code, judged.err.as_str()), (code, ""), "{judged:#?}");
        assert!(judged.out.starts_with(&format!("CHANNELKEEPER {says}")), "{judged:#?}");
    }
}

#[test]
fn a_daemon_is_probed_over_its_socket_and_over_http() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    assert_eq!(place.verb(&["probe"]).code, 2, "no daemon is running");
    let daemon = Daemon::start(&place);
    place.done(&["probe"]);
    place.write("this is no config");
    place.done(&["probe"]);
    let url = format!("http://{}", daemon.listens());
    place.done(&["probe", "--url", &url]);
    place.done(&["probe", "--url", &format!("{url}/api/v1/summary")]);
    assert_eq!(place.verb(&["probe", "--url", &format!("{url}/livez")]).code, 3);
    assert_eq!(place.verb(&["probe", "--url", &format!("{url}/nowhere")]).code, 3);
    daemon.stop();
    let (gone, silent) = (place.verb(&["probe"]), place.verb(&["probe", "--url", &url]));
    assert_eq!((gone.code, silent.code), (2, 3), "{gone:#?} {silent:#?}");
    assert!(gone.out.contains("no daemon is running, so nothing is renewed"), "{gone:#?}");
    let misused = place.verb(&["probe", "--frobnicate"]);
    assert_eq!(misused.code, 3, "{misused:#?}");
    assert!(misused.out.starts_with("CHANNELKEEPER UNKNOWN - "), "{misused:#?}");
}

#[test]
fn a_status_file_that_cannot_be_written_is_told_and_stands_in_no_renewal_s_way() {
    let zoho = Simulator::start();
    let place =
        Place::new(&format!("{}\n[daemon]\nstatus_file = \"out/status.json\"\n", zoho.config));
    let mut daemon = Daemon::start(&place);
    if !daemon.log.iter().any(|line| line.contains("the status file cannot be written")) {
        daemon.hears("the status file cannot be written");
    }
    place.done(&["renew"]);
    assert_eq!(zoho.counters()["channels_reenabled"], 4);
    let health = daemon.get("/healthz");
    assert_eq!(
        (health.status, &health.json()["reasons"][0]["word"]),
        (200, &json!("status-file")),
        "{}",
        health.body
    );
    fs::create_dir(place.path().join("out")).unwrap();
    place.done(&["renew"]);
    daemon.hears("the status file is written again");
    // The loop hears of it by a message, so a moment later.
    daemon.until("health is ok", |daemon| daemon.get("/healthz").json()["status"] == "ok");
    daemon.stop();
}
