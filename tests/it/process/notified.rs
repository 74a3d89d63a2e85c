//! The real binary's messages to systemd over a real socket. That a loop that stands still is not
//! told of is shown on virtual time, in `tests/it/watchdog.rs`.

use rustix::process::Signal;
use serde_json::json;

use super::daemon::{Daemon, run};
use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;
use super::systemd::Systemd;

#[test]
fn ready_is_told_when_everything_was_looked_at_and_not_before_though_the_config_is_read_again_meanwhile()
 {
    let zoho = Simulator::start();
    zoho.fault(&json!({"kind": {"delay": {"by": "1s"}}, "times": 1}));
    let place = Place::new(&zoho.config);
    let mut systemd = Systemd::in_folder(place.path());
    let mut daemon = Daemon::spawn_by(systemd.tells(run(&place), None));
    daemon.signal(Signal::HUP);
    let first = systemd.hears(|message| message.starts_with("STATUS="));
    assert_eq!(first, "STATUS=0 of 1 accounts have been looked at; degraded: first-pass\n");
    systemd.hears(|message| message == "READY=1\n");
    let before: Vec<&String> =
        systemd.heard.iter().filter(|message| message.contains("RELOADING")).collect();
    assert!(before.is_empty(), "{:#?}", systemd.heard);
    daemon.hears("every account has been looked at");
    assert!(
        daemon.log.iter().any(|line| line.contains("the config was read again")),
        "{:#?}",
        daemon.log
    );
    let status = systemd.told();
    assert!(status.starts_with("STATUS=4 channels, covered until 20"), "{status}");
    assert!(status.ends_with("Z even if nothing succeeds any more\n"), "{status}");
    daemon.stop();
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end_and_the_line_says_what_came_of_it() {
    let zoho = Simulator::start();
    let good = zoho.account().to_owned() + &channel("orders", 101, &["Deals.all"]);
    let place = Place::new(&good);
    let mut systemd = Systemd::in_folder(place.path());
    let daemon = Daemon::spawn_by(systemd.tells(run(&place), None));
    systemd.hears(|message| message.starts_with("STATUS=1 channels, covered"));

    for (config, line) in [
        (
            good.clone() + &channel("more", 102, &["Leads.create"]),
            "STATUS=2 channels, covered until ",
        ),
        ("this is no config".to_owned(), "even if nothing succeeds any more; degraded: config\n"),
        (good, "STATUS=1 channels, covered until "),
    ] {
        place.write(&config);
        daemon.signal(Signal::HUP);
        let begins = systemd.hears(|message| message.starts_with("RELOADING=1\n"));
        let at = begins.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(at.trim_end().parse::<u64>().unwrap() > 0, "{begins}");
        systemd.hears(|message| message == "READY=1\n");
        systemd.hears(|message| message.starts_with("STATUS=") && message.contains(line));
    }
    let last = systemd.heard.last().unwrap();
    assert!(!last.contains("degraded"), "{last}");
    daemon.stop();
}

#[test]
fn the_watchdog_is_told_until_the_end_and_the_stop_is_told() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let mut systemd = Systemd::in_folder(place.path());
    let mut daemon = Daemon::spawn_by(systemd.tells(run(&place), Some(400_000)));
    // The line of a daemon that starts may come before or after.
    let turned = systemd.hears(|message| !message.starts_with("STATUS=0 of 1 accounts"));
    assert_eq!(
        turned, "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=300000000\n",
        "the loop's first turn, while it starts"
    );
    daemon.hears("every account has been looked at");
    systemd.hears(|message| message.starts_with("STATUS=4 channels"));
    for _ in 0..5 {
        assert_eq!(
            systemd.next(),
            "WATCHDOG=1\n",
            "nothing happens, and the loop turns all the same"
        );
    }

    // A call that is waited for at the stop: the loop waits, and is alive.
    zoho.fault(&json!({"method": "POST", "kind": {"delay": {"by": "3s"}}}));
    let writes = zoho.writes();
    place.write(&(zoho.config.clone() + &channel("more", 102, &["Leads.create"])));
    daemon.signal(Signal::HUP);
    daemon.until("a POST is under way", |_| zoho.writes() > writes);
    daemon.signal(Signal::TERM);
    systemd.hears(|message| message.starts_with("STOPPING=1\nSTATUS=stopping: "));
    for _ in 0..2 {
        systemd.hears(|message| message == "WATCHDOG=1\n");
    }
    let (code, log) = daemon.ends();
    assert_eq!(code, Some(0), "{log:#?}");
}

#[test]
fn a_systemd_that_hears_nothing_holds_nothing_up() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let systemd = Systemd::in_folder(place.path());
    systemd.is_deaf();
    let daemon = Daemon::spawn_by(systemd.tells(run(&place), Some(400_000)));
    place.done(&["renew"]);
    assert_eq!(zoho.channels().len(), 4);
    daemon.stop();
}

#[test]
fn a_watchdog_of_another_process_and_no_socket_at_all_are_told_nothing() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let mut systemd = Systemd::in_folder(place.path());
    let mut command = systemd.tells(run(&place), Some(400_000));
    command.env("WATCHDOG_PID", "1");
    let mut daemon = Daemon::spawn_by(command);
    daemon.hears("every account has been looked at");
    systemd.hears(|message| message.starts_with("STATUS=4 channels"));
    daemon.stop();
    assert!(
        !systemd.rest().concat().contains("WATCHDOG")
            && !systemd.heard.concat().contains("WATCHDOG")
    );
    Daemon::start(&place).stop();
}
