//! Two daemons, a real etcd, and one config for both.

use rustix::process::Signal;

use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;
use crate::etcd::server::{Server, installed};

#[test]
fn a_config_that_is_reloaded_at_one_machine_is_in_force_at_both_and_an_old_one_flaps_nowhere() {
    let Some(program) = installed() else { return };
    let etcd = Server::one(&program, &[]);
    let zoho = Simulator::with(2, 4);
    let of = |node: &str| {
        let engine = &etcd.endpoints()[0];
        let cluster = "[cluster]\nname = \"test\"\n";
        format!("{}\n{cluster}engine = [\"{engine}\"]\nnode = \"{node}\"\n", zoho.config)
    };
    let later = |node: &str| of(node).replace("[cluster]", &format!("{LATER}\n[cluster]"));
    let [here, there] = ["here", "there"].map(|node| Place::new(&of(node)));
    let mut one = Daemon::start(&here);
    let mut two = Daemon::start(&there);
    until_declared(&mut one, &zoho, 4);

    here.write(&later("here"));
    one.signal(Signal::HUP);
    two.hears("the config of another machine is put in force");
    until_declared(&mut one, &zoho, 5);

    two.stop();
    let alone = there.verb(&["status"]);
    assert_eq!((alone.code, alone.out.as_str()), (1, ""), "it claims no gap: {alone:?}");
    assert!(alone.err.contains("no daemon runs here"), "{alone:?}");
    let mut two = Daemon::start(&there);
    two.until("it follows", |two| two.has_said("the config of another machine is put in force"));
    let status = there.verb(&["status"]).out;
    assert!(status.contains("the file was in force 1 generation ago"), "{status}");
    let reload = there.verb(&["reload"]);
    assert_eq!(reload.code, 3, "{reload:?}");
    assert!(reload.err.contains("channelkeeper apply --rollback"), "{reload:?}");
    until_declared(&mut one, &zoho, 5);

    there.verb(&["apply", "--rollback"]);
    one.hears("the config of another machine is put in force");
    until_declared(&mut one, &zoho, 4);
    assert_eq!(zoho.counters()["channels_created"], 3, "each of sim1 was enabled once");
    one.stop();
    two.stop();
}

/// Looks on until so many channels are at Zoho.
#[track_caller]
fn until_declared(daemon: &mut Daemon, zoho: &Simulator, count: usize) {
    daemon.until("the declared channels are at Zoho", |_| {
        zoho.channels_by_org().values().map(|channels| channels.len()).sum::<usize>() == count
    });
}

const LATER: &str = "[[channels]]\nname = \"later\"\naccount = \"sim1\"\nevents = [\"Leads.create\"]\n\
                     notify_url = \"https://hooks.example.com/later\"\n";
