//! The command of `[hooks]`: a real script, which takes events, hangs, fails, or is not there.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel};
use super::place::Place;
use super::simulator::Simulator;

/// A place whose config runs a script for every event, and whose channel is enabled already: the
/// first enabling ends a gap, of which hooks hear when they begin in the middle of it. `@` in the
/// script is the place's folder.
fn place(zoho: &Simulator, script: &str, more: &str) -> (Place, String) {
    let place = Place::new("");
    let folder = place.path().display().to_string();
    let file = place.path().join("hook.sh");
    std::fs::write(&file, script.replace('@', &folder)).unwrap();
    let hooks = format!(
        "\n[hooks]\non = [\"renewed\", \"gap-begun\", \"gap-ended\", \"config-changed\"]\n\
         run = [\"/bin/sh\", \"{}\"]\n{more}\n",
        file.display()
    );
    let config =
        zoho.account().to_owned() + AUDIT_ALWAYS + &hooks + &channel("orders", 101, &["Deals.all"]);
    place.write(&config);
    place.done(&["apply"]);
    (place, config)
}

fn told(place: &Place) -> PathBuf {
    place.path().join("told")
}

fn events(place: &Place) -> Vec<Value> {
    let text = std::fs::read_to_string(told(place)).unwrap_or_default();
    // The last line may be being written.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn a_script_is_given_each_event_on_its_standard_input() {
    let zoho = Simulator::start();
    let (place, config) = place(&zoho, "cat >> @/told\n", "");
    let mut daemon = Daemon::start(&place);
    place.done(&["renew"]);
    daemon.until("the renewal is told", |_| !events(&place).is_empty());
    let event = events(&place).remove(0);
    assert_eq!((&event["event"], &event["account"]), (&json!("renewed"), &json!("sim1")));
    assert_eq!(event["channels"][0]["name"], "orders");
    assert_eq!(event["channels"][0]["step"], "enable (asked)");
    assert!(event["channels"][0]["expiry"].is_string(), "{event}");

    place.write(&(config + "# another\n"));
    daemon.signal(Signal::HUP);
    daemon.until("the config is told", |_| events(&place).len() == 2);
    let event = events(&place).remove(1);
    assert_eq!(event["event"], "config-changed");
    assert_eq!(event["config"]["file"], place.config().display().to_string());

    zoho.hand(&json!({"remove_event": {"channel": 101, "event": "Deals.edit"}}));
    daemon.until("the gap is told", |_| events(&place).len() == 4);
    let kinds: Vec<Value> = events(&place).iter().map(|event| event["event"].clone()).collect();
    assert_eq!(kinds[2..], [json!("gap-begun"), json!("gap-ended")]);
    let line = "channelkeeper_hook_runs_total{way=\"command\",result=\"done\"} 4.0";
    daemon.until(line, |daemon| daemon.get("/metrics").body.contains(line));
    daemon.stop();
}

#[test]
fn a_script_that_fails_is_told_of_with_its_last_line_until_one_succeeds() {
    let zoho = Simulator::start();
    let script =
        "cat > /dev/null\nif [ -e @/good ]; then exit 0; fi\necho no receiver >&2\nexit 7\n";
    let (place, _) = place(&zoho, script, "");
    let mut daemon = Daemon::start(&place);
    place.done(&["renew"]);
    let failed = daemon.hears("a hook failed");
    assert_eq!(
        (&failed["way"], &failed["event"], &failed["result"], &failed["why"]),
        (
            &json!("command"),
            &json!("renewed"),
            &json!("failed"),
            &json!("exit code 7: no receiver")
        )
    );
    let noted = |daemon: &Daemon| daemon.get("/healthz").body.contains("exit code 7: no receiver");
    daemon.until("health notes it", noted);
    std::fs::write(place.path().join("good"), "").unwrap();
    place.done(&["renew"]);
    daemon.until("health is good again", |daemon| !noted(daemon));
    daemon.stop();
}

#[test]
fn a_script_that_hangs_is_killed_and_delays_neither_a_repair_nor_the_end() {
    let zoho = Simulator::start();
    let (place, _) = place(&zoho, "sleep 1000\n", "timeout = \"1s\"");
    let mut daemon = Daemon::start(&place);
    place.done(&["renew"]);
    zoho.hand(&json!({"remove_event": {"channel": 101, "event": "Deals.edit"}}));
    daemon.hears_that("repair", |line| line["step"] == "update (drift)");
    let failed = daemon.hears("a hook failed");
    assert_eq!(
        (&failed["result"], &failed["why"]),
        (&json!("timed-out"), &json!("killed after 1 s"))
    );
    daemon.stop();
}

#[test]
fn a_program_that_is_not_there_is_a_warning_of_check_and_a_failure_of_each_event() {
    let zoho = Simulator::start();
    let (place, config) = place(&zoho, "", "");
    place.write(&config.replace("\"/bin/sh\"", "\"/nonexistent/told\""));
    let checked = place.done(&["check"]);
    assert!(checked.err.contains("there is no such program on this machine"), "{checked:#?}");
    let mut daemon = Daemon::start(&place);
    place.done(&["renew"]);
    let failed = daemon.hears("a hook failed");
    assert_eq!(failed["result"], "absent");
    daemon.stop();
}
