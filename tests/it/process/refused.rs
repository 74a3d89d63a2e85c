//! One channel that Zoho refuses costs its neighbours nothing.

use super::daemon::Daemon;
use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn of_fifty_channels_one_is_refused_and_forty_nine_are_enabled() {
    let zoho = Simulator::start();
    let good: String =
        (1..50).map(|n| channel(&format!("good-{n}"), 1000 + n, &["Deals.all"])).collect();
    let config = zoho.account().to_owned() + &good + &channel("bad", 2000, &["Meetings.create"]);
    let at = config.lines().position(|line| line.contains("Meetings.create")).unwrap() + 1;
    let place = Place::new(&config);
    let mut daemon = Daemon::start(&place);
    assert_eq!(zoho.channels().len(), 49);
    let refused: Vec<String> =
        daemon.log.iter().filter(|line| line.contains("step refused")).cloned().collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    let line: serde_json::Value = serde_json::from_str(&refused[0]).unwrap();
    assert_eq!(
        (&line["message"], &line["channel"]),
        (&"step refused".into(), &"bad".into()),
        "{line}"
    );

    let health = daemon.get("/healthz");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (503, &"failing".into()),
        "{}",
        health.body
    );
    assert_eq!(daemon.get("/healthz?strict").status, 503);
    assert_eq!(daemon.get("/livez").status, 200);
    assert_eq!(daemon.get("/readyz").status, 200);
    assert_eq!(daemon.get("/healthz/channels/good-1").status, 200);
    assert_eq!(daemon.get("/healthz/channels/bad").status, 503);
    let status = daemon.get("/api/v1/status").json();
    assert_eq!(status["accounts"][0]["counts"]["covered"], 49, "{status:#}");
    let (status, explained) = (place.verb(&["status"]).out, place.verb(&["explain", "bad"]).out);
    for told in [health.body, status, explained, refused.concat(), place.verb(&["apply"]).out] {
        for word in
            ["bad", "INVALID_DATA", "the event Meetings.create", &format!("config.toml:{at}")]
        {
            assert!(told.contains(word), "no {word} in {told}");
        }
    }

    place.write(&(zoho.account().to_owned() + &good + &channel("bad", 2000, &["Calls.create"])));
    daemon.signal(rustix::process::Signal::HUP);
    daemon.hears_that("grant of what was refused", |line| {
        line["channel"] == "bad" && line["expiry"].is_string()
    });
    daemon.stop();
}
