//! Two daemons and a real etcd: one is killed, and the other serves its accounts.

use serde_json::Value;

use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;
use crate::etcd::server::{Server, installed};

#[test]
fn the_accounts_of_a_killed_daemon_are_served_by_the_other_and_nothing_is_enabled_twice() {
    let Some(program) = installed() else { return };
    let etcd = Server::one(&program, &[]);
    let zoho = Simulator::with(ACCOUNTS, 2 * ACCOUNTS);
    let [here, there] = ["here", "there"].map(|node| Place::new(&config(&zoho, &etcd, node)));
    let mut one = Daemon::start(&here);
    until_served(&mut one, &here, |count| count == ACCOUNTS);
    assert_eq!(created(&zoho), 2 * ACCOUNTS);
    let mut two = Daemon::start(&there);
    two.hears("accounts are taken over");
    until_served(&mut one, &here, |count| count < ACCOUNTS);
    one.kill();
    two.hears("accounts are taken over");
    until_served(&mut two, &there, |count| count == ACCOUNTS);
    assert_eq!(created(&zoho), 2 * ACCOUNTS);
    assert!(here.state().join("cluster").exists(), "the name of the data is noted");
    two.stop();
}

/// Looks on until the number of accounts that a daemon has looked at is as it should be.
#[track_caller]
fn until_served(daemon: &mut Daemon, place: &Place, is_so: impl Fn(usize) -> bool) {
    daemon.until("its number of accounts is right", |_| {
        let status: Value = place.verb(&["status", "--json"]).json();
        let accounts = status["accounts"].as_array().unwrap();
        let looked_at = accounts.iter().filter(|it| !it["pass"]["looked_at"].is_null());
        accounts.len() == looked_at.clone().count() && is_so(accounts.len())
    });
}

/// The channels that were ever created, in all orgs.
fn created(zoho: &Simulator) -> usize {
    let Value::Object(orgs) = zoho.counters_by_org() else { panic!("no orgs") };
    let created = orgs.values().map(|org| org["channels_created"].as_u64().unwrap());
    created.sum::<u64>() as usize
}

fn config(zoho: &Simulator, etcd: &Server, node: &str) -> String {
    let engine = &etcd.endpoints()[0];
    let cluster =
        format!("[cluster]\nname = \"test\"\nengine = [\"{engine}\"]\nnode = \"{node}\"\n");
    format!("{}\n{cluster}", zoho.config)
}

const ACCOUNTS: usize = 8;
