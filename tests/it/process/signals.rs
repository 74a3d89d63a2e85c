//! TERM drains, a second signal does not wait.

use rustix::process::Signal;
use serde_json::json;

use super::daemon::Daemon;
use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn term_lets_the_write_under_way_end_and_the_next_start_knows_of_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let zoho = Simulator::start();
        zoho.fault(&json!({"method": "POST", "kind": {"delay": {"by": "500ms"}}}));
        let place = Place::new(&zoho.config);
        let mut daemon = Daemon::spawn(&place);
        daemon.until("a POST is under way", |_| zoho.writes() == 1);
        daemon.signal(signal);
        let (code, log) = daemon.ends();
        assert_eq!(code, Some(0), "{log:#?}");
        assert_eq!(
            log.iter().filter(|line| line.contains("step done, granted")).count(),
            4,
            "{log:#?}"
        );
        Daemon::start(&place).stop();
        assert_eq!(zoho.writes(), 1);
    }
}

/// The call would hang for five minutes, which is more than any wait of these tests.
#[test]
fn a_second_signal_does_not_wait_for_the_call_under_way() {
    let zoho = Simulator::start();
    zoho.fault(&json!({"kind": "hang_before"}));
    let place = Place::new(&(zoho.config.clone() + "\n[client]\nrequest_timeout = \"5m\"\n"));
    let mut daemon = Daemon::spawn(&place);
    daemon.until("a call hangs", |_| zoho.see("/_sim/counters")["faults"]["hang_before"] == 1);
    daemon.signal(Signal::TERM);
    daemon.hears("stopping; a second signal does not wait");
    // Signals that come together are one, so that it takes a moment until one is the second.
    daemon.until("the second signal is heard", |daemon| {
        daemon.signal(Signal::TERM);
        daemon.has_said("stopped at once: the next start finds out how the call under way ended")
    });
    let (code, log) = daemon.ends();
    assert_eq!(code, Some(0), "what was stopped is not to be started again: {log:#?}");
}

#[test]
fn two_signals_at_once_let_the_write_under_way_end() {
    for _ in 0..5 {
        let zoho = Simulator::start();
        zoho.fault(&json!({"method": "POST", "kind": {"delay": {"by": "700ms"}}}));
        let place = Place::new(&zoho.config);
        let mut daemon = Daemon::spawn(&place);
        daemon.until("a POST is under way", |_| zoho.writes() == 1);
        daemon.signal(Signal::TERM);
        daemon.signal(Signal::INT);
        let (code, log) = daemon.ends();
        assert_eq!(code, Some(0), "{log:#?}");
        let granted = log.iter().filter(|line| line.contains("step done, granted")).count();
        assert_eq!(granted, 4, "{log:#?}");
    }
}

#[test]
fn a_reload_asked_for_while_it_starts_does_not_kill_it() {
    let zoho = Simulator::start();
    let place = Place::new(&(zoho.account().to_owned() + &channel("orders", 101, &["Deals.all"])));
    let mut daemon = Daemon::spawn(&place);
    daemon.signal(Signal::HUP);
    daemon.hears("the config was read again and is in force");
    daemon.stop();
}
