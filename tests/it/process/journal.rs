//! The log as the journal gets it: one line an entry, its priority in front, and no time of its
//! own.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::declared::channel;
use super::http::PATIENCE;
use super::place::Place;
use super::simulator::Simulator;
use super::systemd::Systemd;

/// Sends stderr to a file, and says that this is the journal.
fn to_journal(place: &Place, mut command: Command) -> Command {
    let file = File::create(place.path().join("journal")).unwrap();
    let about = file.metadata().unwrap();
    command.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino())).stderr(file);
    command
}

fn lines(place: &Place) -> Vec<String> {
    fs::read_to_string(place.path().join("journal")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn every_line_has_a_priority_and_a_step_names_its_account_channel_and_end() {
    let zoho = Simulator::start();
    let good = zoho.account().to_owned() + &channel("orders", 101, &["Deals.all"]);
    let place = Place::new(&good);
    let mut systemd = Systemd::in_folder(place.path());
    let command = systemd.tells(place.command(&["run", "--listen", "127.0.0.1:0"]), None);
    let mut child = to_journal(&place, command).stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    systemd.hears(|message| message.starts_with("STATUS=1 channels"));
    place.write("this is no config");
    kill_process(pid, Signal::HUP).unwrap();
    systemd.hears(|message| message.contains("degraded"));
    kill_process(pid, Signal::TERM).unwrap();
    systemd.hears(|message| message.starts_with("STOPPING=1"));
    assert!(child.wait().unwrap().success());

    let lines = lines(&place);
    let known = ["<3>ERROR ", "<4> WARN ", "<6> INFO "];
    for line in &lines {
        assert!(known.iter().any(|priority| line.starts_with(priority)), "{line}");
    }
    let line_of = |message: &str| lines.iter().find(|line| line.contains(message)).unwrap();
    let granted = line_of("INFO step done, granted");
    for field in [" account=sim1 ", " channel=orders ", " step=\"enable (missing)\"", " expiry=20"]
    {
        assert!(granted.contains(field), "no {field} in {granted}");
    }
    assert!(line_of("the config is not used; the last good one stays in force").starts_with("<3>"));
    assert!(line_of("every account has been looked at").starts_with("<6>"));
}

#[test]
fn what_ends_a_daemon_is_an_error_of_the_journal_and_of_no_other_stderr() {
    let place = Place::new("this is no config");
    let command = to_journal(&place, place.command(&["run", "--listen", "127.0.0.1:0"]));
    let code =
        assert_cmd::Command::from_std(command).timeout(PATIENCE).output().unwrap().status.code();
    // assert_cmd has taken stderr away from the journal, and the daemon has noticed.
    assert_eq!((code, lines(&place)), (Some(3), Vec::new()));

    let mut command = to_journal(&place, place.command(&["run", "--listen", "127.0.0.1:0"]));
    assert_eq!(command.stdout(Stdio::null()).status().unwrap().code(), Some(3));
    let lines = lines(&place);
    assert!(lines.len() > 2 && lines.iter().all(|line| line.starts_with("<3>")), "{lines:#?}");
    assert!(
        lines.concat().contains("the store holds no earlier state to go on with"),
        "{lines:#?}"
    );
}
