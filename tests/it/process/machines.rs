//! `cluster status` and `cluster evict`, over a real etcd.

use serde_json::Value;

use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;
use crate::etcd::server::{Server, installed};

#[test]
fn a_machine_that_is_put_out_gives_its_accounts_to_the_other_until_it_is_taken_back() {
    let Some(program) = installed() else { return };
    let etcd = Server::one(&program, &[]);
    let zoho = Simulator::with(ACCOUNTS, 2 * ACCOUNTS);
    let [here, there] = ["here", "there"].map(|node| Place::new(&config(&zoho, &etcd, node)));
    let mut one = Daemon::start(&here);
    let two = Daemon::start(&there);
    until_shared(&mut one, &here, |shares| shares.iter().all(|share| *share > 0));
    let text = here.done(&["cluster", "status"]).out;
    assert!(text.starts_with("cluster test: here serves accounts\nengine: etcd 3."), "{text}");
    assert!(text.contains("there    serves"), "{text}");

    let enabled = zoho.counters()["channels_created"].clone();
    let out = there.done(&["cluster", "evict", "here"]).out;
    assert!(out.starts_with("here is put out, and serves nothing until "), "{out}");
    until_shared(&mut one, &here, |shares| shares == [0, ACCOUNTS]);
    let text = here.done(&["cluster", "status"]).out;
    assert!(text.contains("here     is put out"), "{text}");
    assert!(text.contains(", by there; `channelkeeper cluster evict --undo here` takes it back"));
    let status = here.verb(&["status"]);
    assert!(status.out.contains("here is put out, and serves nothing"), "{status:?}");
    let refused = here.verb(&["cluster", "evict", "there"]);
    assert!(refused.code == 1 && refused.err.contains("there is the last machine"), "{refused:?}");
    let unknown = here.verb(&["cluster", "evict", "nowhere"]);
    assert!(unknown.err.contains("no machine nowhere; those of the cluster are here, there"));

    let back = here.done(&["cluster", "evict", "--undo", "here", "--json"]).json();
    assert_eq!(back["is_out"], Value::Bool(false));
    until_shared(&mut one, &here, |shares| shares.iter().all(|share| *share > 0));
    assert_eq!(zoho.counters()["channels_created"], enabled, "nothing was enabled twice");
    two.stop();
    one.stop();
}

#[test]
fn without_a_daemon_or_a_cluster_the_verb_says_so() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let ran = place.verb(&["cluster", "status"]);
    assert!(ran.code == 1 && ran.err.contains("no daemon is running in "), "{ran:?}");
    let daemon = Daemon::start(&place);
    let ran = place.verb(&["cluster", "status"]);
    assert!(ran.code == 1 && ran.err.contains("shares its accounts with no other"), "{ran:?}");
    daemon.stop();
}

/// Looks on until the numbers of accounts of both machines are as they should be.
#[track_caller]
fn until_shared(daemon: &mut Daemon, place: &Place, is_so: impl Fn(&[usize]) -> bool) {
    daemon.until("the shares are right", |_| {
        let ran = place.verb(&["cluster", "status", "--json"]);
        let Ok(status) = serde_json::from_str::<Value>(&ran.out) else { return false };
        let machines = status["machines"].as_array().unwrap().iter();
        let shares = machines.map(|one| one["accounts"].as_u64().unwrap() as usize);
        let shares: Vec<usize> = shares.collect();
        shares.len() == 2 && shares.iter().sum::<usize>() == ACCOUNTS && is_so(&shares)
    });
}

fn config(zoho: &Simulator, etcd: &Server, node: &str) -> String {
    let engine = &etcd.endpoints()[0];
    let cluster =
        format!("[cluster]\nname = \"test\"\nengine = [\"{engine}\"]\nnode = \"{node}\"\n");
    format!("{}\n{cluster}", zoho.config)
}

const ACCOUNTS: usize = 8;
