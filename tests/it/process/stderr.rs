//! A stderr that is broken, or that nobody reads: the daemon loses its log and nothing else.

use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::daemon::run;
use super::declared::AUDIT_ALWAYS;
use super::http;
use super::place::Place;
use super::simulator::Simulator;
use super::waiting::until;

/// A daemon whose log goes into a pipe; it is killed with this value.
struct Piped {
    child: Child,
    http: String,
    /// Nobody reads it after the daemon's start.
    reader: Option<BufReader<PipeReader>>,
}

impl Piped {
    /// Starts one and reads its log until every account has been looked at, and no further.
    fn start(mut command: Command) -> Piped {
        let (reader, writer) = pipe().unwrap();
        let mut reader = BufReader::new(reader);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).spawn().unwrap();
        // It holds the other end of the pipe, so that without this nobody would see its end.
        drop(command);
        let mut http = None;
        loop {
            let mut line = String::new();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "it ended before it had started");
            let line: Value = serde_json::from_str(&line).unwrap();
            match line["message"].as_str() {
                Some("health endpoints are open") => {
                    http = line["address"].as_str().map(str::to_owned)
                }
                Some("every account has been looked at") => break,
                Some(_) | None => {}
            }
        }
        Piped { child, http: http.unwrap(), reader: Some(reader) }
    }

    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> f64 {
        let scrape = http::get(&self.http, "/metrics").body;
        let line = scrape.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in\n{scrape}")).parse().unwrap()
    }

    fn lines_lost(&self) -> f64 {
        self.metric("channelkeeper_log_lines_lost_total")
    }

    fn is_live(&self) -> bool {
        http::get(&self.http, "/livez").status == 200
    }

    /// The words of what health has to say.
    fn reasons(&self) -> Vec<String> {
        let health = http::get(&self.http, "/healthz").json();
        let words = health["reasons"].as_array().unwrap().iter().map(|reason| &reason["word"]);
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    }

    /// Stops it as an operator does; the exit code.
    fn stop(mut self) -> Option<i32> {
        end(&mut self.child)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// TERM, and the exit code.
#[track_caller]
fn end(child: &mut Child) -> Option<i32> {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
    let mut ended = None;
    until("it has ended", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    ended.unwrap().code()
}

/// Three lives of a day, each moved on by thirteen hours at once.
#[track_caller]
fn renewals_go_on(zoho: &Simulator, channels: u64, daemon: &Piped) {
    for life in 1..=3 {
        zoho.tell("POST", "/_sim/clock", &json!({"advance": "13h"}));
        until("everything is renewed", || renewed(zoho) == life * channels);
        assert!(daemon.is_live(), "whoever restarts it has to be answered");
    }
}

fn renewed(zoho: &Simulator) -> u64 {
    let Value::Object(orgs) = zoho.counters_by_org() else { panic!("no orgs") };
    orgs.values().filter_map(|org| org["channels_reenabled"].as_u64()).sum()
}

#[test]
fn whoever_reads_the_log_may_end_and_the_daemon_goes_on() {
    let zoho = Simulator::start();
    let place = Place::new(&(zoho.config.clone() + AUDIT_ALWAYS));
    let mut daemon = Piped::start(run(&place));
    assert_eq!(daemon.lines_lost(), 0.0);
    assert_eq!(daemon.reasons(), Vec::<String>::new());
    daemon.reader = None;
    renewals_go_on(&zoho, 4, &daemon);
    until("what is lost is counted", || daemon.lines_lost() > 0.0);
    until("health says so", || daemon.reasons().contains(&"log-lost".to_owned()));
    assert_eq!(daemon.stop(), Some(0));
}

/// Twenty accounts are looked at in every second, and each byte of that is told at the finest
/// level.
#[test]
fn a_storm_of_log_lines_into_a_pipe_that_nobody_reads_holds_nothing_up() {
    let zoho = Simulator::with(20, 80);
    let place = Place::new(&(zoho.config.clone() + AUDIT_ALWAYS)).with_env("RUST_LOG", "trace");
    let daemon = Piped::start(run(&place));
    until("lines are lost", || daemon.lines_lost() > 1000.0);
    renewals_go_on(&zoho, 80, &daemon);
    until("health says so", || daemon.reasons().contains(&"log-lost".to_owned()));
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_reader_that_was_slow_is_told_how_many_lines_it_missed() {
    let zoho = Simulator::with(20, 80);
    let place = Place::new(&(zoho.config.clone() + AUDIT_ALWAYS)).with_env("RUST_LOG", "trace");
    let mut daemon = Piped::start(run(&place));
    until("lines are lost", || daemon.lines_lost() > 0.0);
    let mut reader = daemon.reader.take().unwrap();
    let told = loop {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "nothing is said of it");
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "log lines were lost, because the reader of stderr was too slow" {
            break line;
        }
    };
    assert!(told["lines"].as_u64().unwrap() > 0, "{told}");
    assert_eq!(daemon.stop(), Some(0));
}

/// A pipe whose reader is gone before it starts, a closed one, and a device that is full.
#[test]
fn a_daemon_that_begins_with_a_broken_stderr_runs_as_any_other() {
    for broken in ["2> >(:)", "2>&-", "2>/dev/full"] {
        let zoho = Simulator::start();
        let place = Place::new(&zoho.config);
        let inner = run(&place);
        let mut command = Command::new("bash");
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg("-c").arg(format!("exec \"$0\" \"$@\" {broken}"));
        command.arg(inner.get_program()).args(inner.get_args());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        until("everything is covered", || {
            assert_eq!(child.try_wait().unwrap(), None, "{broken}: it ended by itself");
            zoho.channels().len() == 4
        });
        assert_eq!(end(&mut child), Some(0), "{broken}");
    }
}

/// A command's messages reach their reader, however slow, and are whole at the end.
#[test]
fn a_command_s_own_errors_are_whole_before_it_ends_and_a_reader_that_is_gone_changes_no_exit_code()
{
    let problems = 2000;
    let config = "[[channels]]\n".repeat(problems);
    let place = Place::new(&config);
    let ran = place.verb(&["run"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err.trim_end().ends_with("the store holds no earlier state to go on with"),
        "{}",
        ran.err
    );
    for verb in ["check", "run", "plan"] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut command = place.command(&[verb]);
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer).status();
        assert_eq!(ended.unwrap().code(), Some(3), "{verb}");
    }
}
