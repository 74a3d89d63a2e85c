//! From one machine to many and back, over a real etcd: `cluster import` and `cluster export`.

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::place::{Place, Ran};
use super::simulator::Simulator;
use crate::etcd::server::{Server, installed};

#[test]
fn what_one_machine_knows_goes_to_many_and_comes_back_to_another_without_a_write_at_zoho() {
    let Some(program) = installed() else { return };
    let etcd = Server::one(&program, &[]);
    let zoho = Simulator::with(ACCOUNTS, 4 * ACCOUNTS);
    let one = Place::new(&zoho.config);
    let gaps = lived_alone(&zoho, &one);
    let written = writes(&zoho);

    let refused = one.verb(&["cluster", "import"]);
    assert_eq!((refused.code, refused.out.as_str()), (3, ""), "{refused:?}");
    assert!(refused.err.contains("the config has no [cluster]"), "{refused:?}");
    one.write(&shared(&zoho, &etcd, "one"));
    let plan = one.done(&["cluster", "import", "--dry-run"]).out;
    assert!(plan.contains("sim1  would move: 4 channels, 4 ledgers, "), "{plan}");
    let done = one.done(&["cluster", "import"]).out;
    assert!(done.contains("3 accounts brought into the engine: 12 channels, 12 ledgers"), "{done}");
    let again = one.done(&["cluster", "import", "--json"]).json();
    let fates = again["accounts"].as_array().unwrap().iter().map(|it| &it["fate"]);
    assert!(fates.into_iter().all(|fate| fate == "is_there"), "{again:#}");

    let two = Place::new(&shared(&zoho, &etcd, "two"));
    let mut daemons = [&one, &two].map(Daemon::start);
    daemons[0]
        .until("each serves accounts", |_| [&one, &two].iter().all(|place| serves(place) > 0));
    for place in [&one, &two] {
        let refused = place.verb(&["cluster", "export"]);
        assert!(refused.err.contains("a daemon is running in "), "{refused:?}");
    }
    let three = Place::new(&shared(&zoho, &etcd, "three"));
    let refused = three.verb(&["cluster", "export"]);
    assert!(refused.code == 1 && refused.err.contains(" still beats: stop the daemon"));
    daemons.into_iter().for_each(|daemon| drop(daemon.stop()));

    let done = three.done(&["cluster", "export"]).out;
    assert!(done.contains("3 accounts brought into this state directory: 12 channels"), "{done}");
    three.write(&zoho.config);
    assert_eq!(gaps_of(&three), gaps, "the ledgers and what was said of them");
    let daemon = Daemon::start(&three);
    assert_eq!(gaps_of(&three), gaps, "nothing is unknown of the time between");
    daemon.stop();
    assert_eq!(writes(&zoho), written);
}

#[test]
fn an_import_that_was_killed_at_any_point_is_begun_again_and_ends_with_everything() {
    let Some(program) = installed() else { return };
    let etcd = Server::one(&program, &[]);
    let zoho = Simulator::with(ACCOUNTS, 4 * ACCOUNTS);
    let place = Place::new(&zoho.config);
    let gaps = lived_alone(&zoho, &place);
    place.write(&shared(&zoho, &etcd, "one"));
    let there = Place::new(&shared(&zoho, &etcd, "two"));
    for (from, verb) in [(&place, "import"), (&there, "export")] {
        for turn in 0..KILLS {
            let mut child = from.command(&["cluster", verb]);
            child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut child = child.spawn().unwrap();
            // Each is killed a little later in its life.
            std::thread::park_timeout(std::time::Duration::from_millis(15 * turn));
            let _ended = child.kill();
            child.wait().unwrap();
        }
        from.done(&["cluster", verb]);
    }
    there.write(&zoho.config);
    assert_eq!(gaps_of(&there), gaps);
}

/// A daemon alone has enabled the channels; each was gone once, and one gap is acknowledged.
/// Returns all gaps.
fn lived_alone(zoho: &Simulator, place: &Place) -> Value {
    place.done(&["apply"]);
    zoho.tell("POST", "/_sim/clock", &json!({"advance": "10s"}));
    for (org, channels) in zoho.channels_by_org() {
        for id in channels.keys() {
            let channel = id.parse::<i64>().unwrap();
            zoho.hand_in(&org, &json!({"delete": {"channel": channel}}));
        }
    }
    place.done(&["apply"]);
    let gaps = gaps_of(place);
    let first = gaps[0].clone();
    let name = |key: &str| first[key].as_str().unwrap().to_owned();
    let full = format!("{}/{}", name("account"), name("channel"));
    place.done(&["gaps", "ack", &full, "--note", "fetched by hand"]);
    gaps_of(place)
}

fn gaps_of(place: &Place) -> Value {
    let Ran { out, .. } = place.done(&["gaps", "--all", "--json"]);
    let gaps: Value = serde_json::from_str(&out).unwrap();
    assert!(gaps.as_array().unwrap().len() >= 4 * ACCOUNTS, "{gaps:#}");
    gaps
}

fn shared(zoho: &Simulator, etcd: &Server, node: &str) -> String {
    let engine = &etcd.endpoints()[0];
    let cluster = "[cluster]\nname = \"test\"\n";
    format!("{}\n{cluster}engine = [\"{engine}\"]\nnode = \"{node}\"\n", zoho.config)
}

fn serves(place: &Place) -> u64 {
    let status = place.verb(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status.out).unwrap_or_default();
    status["accounts"].as_array().map_or(0, |accounts| accounts.len() as u64)
}

fn writes(zoho: &Simulator) -> u64 {
    let orgs = zoho.counters_by_org();
    orgs.as_object().unwrap().values().map(|org| org["writes"].as_u64().unwrap()).sum()
}

const ACCOUNTS: usize = 3;
const KILLS: u64 = 8;
