//! A disk that takes nothing more: played with the limit of a process on the size of its files.

use std::process::Command;

use rustix::process::{Resource, Rlimit, prlimit};

use super::daemon::{Daemon, run};
use super::place::{Place, ran};
use super::simulator::Simulator;

#[test]
fn a_daemon_whose_disk_is_full_renews_from_memory_says_so_and_writes_it_all_at_its_stop() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let mut daemon = Daemon::spawn_by(in_shell("trap '' XFSZ", &run(&place)));
    daemon.hears("every account has been looked at");
    let before = zoho.counters()["channels_reenabled"].clone();
    assert_eq!(before, 0);

    limit_files(&daemon, Some(0));
    let renewed = place.verb(&["renew"]);
    assert_eq!(renewed.code, 1, "{renewed:#?}");
    assert!(renewed.err.contains("channels are held from memory"), "{renewed:#?}");
    assert_eq!(zoho.counters()["channels_reenabled"], 4, "they are renewed all the same");
    daemon.hears("the store cannot be written, so channels are held from memory");
    let health = daemon.get("/healthz");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (503, &"failing".into()),
        "{}",
        health.body
    );
    assert!(
        health.body.contains("make room or mend the disk of the state directory"),
        "{}",
        health.body
    );

    limit_files(&daemon, None);
    let log = daemon.stop();
    assert!(
        log.iter().any(|line| line.contains("the store is written to its disk again")),
        "{}",
        log.join("\n")
    );
    let writes = zoho.writes();
    let daemon = Daemon::start(&place);
    assert_eq!(zoho.writes(), writes, "the renewals that were asked for are remembered as granted");
    assert_eq!(daemon.get("/healthz").json()["status"], "ok");
    daemon.stop();
}

#[test]
fn a_daemon_that_finds_its_disk_full_at_the_start_says_what_and_where_and_asks_for_no_token() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let ran = ran(in_shell("trap '' XFSZ; ulimit -f 0", &run(&place)));
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(
        ran.err.contains("on a disk with room") && ran.err.contains("File too large"),
        "{ran:#?}"
    );
    assert_eq!(zoho.requests(), 0);
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named_with_the_remedy_and_no_token_is_asked_for() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    std::fs::write(place.state(), "a file is in the way").unwrap();
    let ran = place.verb(&["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    for said in [
        place.state().to_str().unwrap(),
        "the state directory cannot be used",
        "--state-dir",
        "(os error",
    ] {
        assert!(ran.err.contains(said), "no {said:?}: {ran:#?}");
    }
    assert_eq!(zoho.requests(), 0);
}

/// The command, in a shell that does this first. The signal that comes with a write over the limit
/// kills, unless it is ignored: then the write is an error.
fn in_shell(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{first}; exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// From now on a file of the daemon's may be this large.
fn limit_files(daemon: &Daemon, bytes: Option<u64>) {
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Some(daemon.pid()), Resource::Fsize, limit).unwrap();
}
