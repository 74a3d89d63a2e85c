//! The metrics that the daemon exports, against those that the rules and the dashboard ask for.

use std::collections::BTreeSet;

use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn whatever_the_rules_and_the_dashboard_ask_for_is_exported() {
    let zoho = Simulator::start();
    // Nobody listens there any more; that it was tried is a metric.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new(&format!(
        "{}\n[alerts]\nheartbeat = \"http://{nobody}/\"\n[backfill]\nmode = \"plan\"\n",
        zoho.config
    ));
    let mut daemon = Daemon::start(&place);
    daemon.until("a heartbeat was tried and recoveries were counted", |daemon| {
        let scrape = daemon.get("/metrics").body;
        scrape.contains("channelkeeper_messages_ok") && scrape.contains("channelkeeper_recoveries")
    });
    let scrape = daemon.get("/metrics").body;
    let exported: BTreeSet<&str> =
        scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for (what, text) in [
        ("rules", include_str!("../../../docs/monitoring/channelkeeper.rules.yml")),
        (
            "tests of the rules",
            include_str!("../../../docs/monitoring/channelkeeper.rules.test.yml"),
        ),
        ("dashboard", include_str!("../../../docs/monitoring/channelkeeper.dashboard.json")),
    ] {
        let asked = names(text);
        assert!(asked.len() > 10, "only {asked:?} found in the {what}");
        let missing: Vec<&&str> = asked.iter().filter(|name| !exported.contains(**name)).collect();
        assert!(missing.is_empty(), "the {what}: {missing:?} not in\n{scrape}");
    }
    daemon.stop();
}

#[test]
fn the_hash_of_the_config_is_that_of_its_files() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    let scrape = daemon.get("/metrics").body;
    let output = std::process::Command::new("sha256sum").arg(place.config()).output().unwrap();
    let expected = format!(
        "channelkeeper_config_info{{hash=\"{}\"}} 1",
        &String::from_utf8(output.stdout).unwrap()[..16]
    );
    assert!(scrape.lines().any(|line| line == expected), "no {expected} in\n{scrape}");
    daemon.stop();
}

/// The metrics that are named; of a histogram the family.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c)).filter(|word| word.starts_with("channelkeeper_"));
    words.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}
