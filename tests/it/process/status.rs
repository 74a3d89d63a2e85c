//! `status`: the part that is asked for, on a pipe and on a terminal.

use serde_json::Value;

use super::daemon::Daemon;
use super::declared::channel;
use super::place::Place;
use super::pty::{AtTerminal, INTERRUPT};
use super::simulator::Simulator;

/// The channels of a status, as `ACCOUNT/CHANNEL`.
fn names(status: &Value) -> Vec<String> {
    let accounts = status["accounts"].as_array().unwrap().iter();
    let names = accounts.flat_map(|account| {
        let channels = account["channels"].as_array().unwrap().iter();
        channels.map(|channel| format!("{}/{}", account["name"], channel["name"]).replace('"', ""))
    });
    names.collect()
}

#[test]
fn names_accounts_and_states_choose_and_the_exit_code_is_that_of_what_is_chosen() {
    let zoho = Simulator::with(2, 4);
    let place = Place::new(&zoho.config);
    place.done(&["apply"]);
    let _daemon = Daemon::start(&place);
    let chosen = |args: &[&str]| names(&place.done(&[&["status", "--json"], args].concat()).json());
    let all = chosen(&[]);
    assert_eq!(all.len(), 4, "{all:?}");
    let of_one: Vec<String> =
        all.iter().filter(|name| name.starts_with("sim1/")).cloned().collect();
    assert_eq!(chosen(&["--account", "sim1"]), of_one);
    assert_eq!(chosen(&["sim1"]), of_one);
    assert_eq!(chosen(&[&of_one[0]]), of_one[..1]);
    assert_eq!(chosen(&["--state", "covered"]), all);
    assert!(chosen(&["--not-covered"]).is_empty());
    assert!(chosen(&["--state", "drifted,uncovered"]).is_empty());
    let none = place.done(&["status", "--not-covered"]).out;
    assert!(none.ends_with("\nno channel fits that choice\n"), "{none}");
    for (args, words) in [
        (&["sim3"][..], "no account and no channel is named sim3; did you mean sim"),
        (&["sim1/deals-2"], "no account and no channel is named sim1/deals-2; did you mean"),
        (&["smi1/deals-1"], "no account is named smi1; did you mean sim1?"),
        (&["--account", "sim"], "no account is named sim; did you mean sim1?"),
        (&["--state", "fine"], "possible values: covered, unverified, drifted, uncovered"),
    ] {
        let ran = place.verb(&[&["status"], args].concat());
        assert!(ran.code == 1 && ran.err.contains(words), "{args:?}: {ran:#?}");
    }
}

#[test]
fn a_channel_that_is_well_exits_well_beside_one_that_is_not() {
    let zoho = Simulator::start();
    let channels =
        channel("good", 101, &["Deals.all"]) + &channel("bad", 102, &["Meetings.create"]);
    let place = Place::new(&(zoho.account().to_owned() + &channels));
    let _daemon = Daemon::start(&place);
    assert_eq!(place.verb(&["status"]).code, 1);
    let good = place.done(&["status", "good"]).out;
    assert!(good.contains("health is ok") && !good.contains("rejected"), "{good}");
    let bad = place.verb(&["status", "--not-covered"]);
    assert!(bad.code == 1 && bad.out.contains("bad") && !bad.out.contains("  good"), "{bad:#?}");
}

#[test]
fn a_terminal_is_drawn_again_until_ctrl_c_and_a_pipe_is_refused() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let refused = place.verb(&["status", "--watch"]);
    assert!(
        refused.code == 1 && refused.err.contains("--watch draws on a terminal"),
        "{refused:#?}"
    );
    let alone = AtTerminal::run(&place, 80, "$CK status --watch").ended();
    assert!(alone.0 == 1 && alone.1.contains("no daemon is running in"), "{alone:?}");

    let daemon = Daemon::start(&place);
    let mut screen = AtTerminal::run(&place, 80, "$CK status --watch");
    screen.until("Ctrl-C ends");
    assert!(screen.seen.contains("everything is covered until"), "{:?}", screen.seen);
    daemon.stop();
    screen.until("no daemon is running; it is waited for");
    let _daemon = Daemon::start(&place);
    screen.seen.clear();
    screen.until("everything is covered until");
    screen.keys(INTERRUPT);
    let (code, seen) = screen.ended();
    assert_eq!(code, 0, "{seen:?}");
    assert!(seen.ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{seen:?}");
}

#[test]
fn lines_on_a_terminal_are_as_wide_as_it_is_and_coloured_unless_that_is_unwanted() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let _daemon = Daemon::start(&place);
    let (code, plain) = AtTerminal::run(&place, 60, "NO_COLOR=1 $CK status").ended();
    assert_eq!(code, 0, "{plain}");
    assert!(
        plain.lines().all(|line| line.chars().count() <= 60) && !plain.contains('\u{1b}'),
        "{plain}"
    );
    let (_, coloured) = AtTerminal::run(&place, 60, "$CK status").ended();
    assert!(coloured.contains("\u{1b}[32mcovered\u{1b}[0m"), "{coloured:?}");
    assert!(!place.done(&["status"]).out.contains('\u{1b}'));
    let forced = Place::new(&zoho.config).with_env("CLICOLOR_FORCE", "1");
    assert!(forced.verb(&["status"]).out.contains('\u{1b}'));
}
