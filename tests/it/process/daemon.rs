//! The daemon as a process: its log is how a test learns that something happened.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::http::{self, Answer, PATIENCE};
use super::place::Place;

/// A running daemon; it is killed with this value.
pub(super) struct Daemon {
    child: Child,
    pid: Pid,
    lines: Receiver<String>,
    /// Every line of the log that was read so far.
    pub(super) log: Vec<String>,
    http: String,
}

impl Daemon {
    /// Starts one and waits until every account has been looked at.
    #[track_caller]
    pub(super) fn start(place: &Place) -> Daemon {
        let mut daemon = Daemon::spawn(place);
        daemon.hears("every account has been looked at");
        daemon
    }

    /// Starts one and waits until its health endpoints are open.
    #[track_caller]
    pub(super) fn spawn(place: &Place) -> Daemon {
        Daemon::spawn_by(run(place))
    }

    /// The same, by a command that comes to the same.
    #[track_caller]
    pub(super) fn spawn_by(command: Command) -> Daemon {
        Daemon::spawn_on(command, Stdio::null())
    }

    /// The same, with this as its stdin.
    #[track_caller]
    pub(super) fn spawn_on(command: Command, stdin: impl Into<Stdio>) -> Daemon {
        let mut daemon = Daemon::begin_on(command, stdin);
        let opened = daemon.hears("health endpoints are open");
        daemon.http = opened["address"].as_str().unwrap().to_owned();
        daemon
    }

    /// Starts one and waits for nothing.
    pub(super) fn begin(place: &Place) -> Daemon {
        Daemon::begin_on(run(place), Stdio::null())
    }

    /// Starts one by a command, with this as its stdin, and waits for nothing.
    pub(super) fn begin_on(mut command: Command, stdin: impl Into<Stdio>) -> Daemon {
        let mut child =
            command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        // It ends with the pipe, which ends with the daemon.
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let pid = Pid::from_child(&child);
        Daemon { child, pid, lines, log: Vec::new(), http: String::new() }
    }

    /// Reads what is in the log by now. Fails when the daemon has ended.
    #[track_caller]
    pub(super) fn read_on(&mut self) {
        loop {
            match self.lines.try_recv() {
                Ok(line) => self.log.push(line),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    panic!("it ended by itself:\n{}", self.log.join("\n"))
                }
            }
        }
    }

    /// Reads the log up to the next line with this message.
    #[track_caller]
    pub(super) fn hears(&mut self, message: &str) -> Value {
        self.hears_that(message, |line| line["message"] == message)
    }

    /// True when the daemon said it already, also while it started.
    pub(super) fn has_said(&self, message: &str) -> bool {
        let is_it = |line: &String| {
            serde_json::from_str(line).is_ok_and(|line: Value| line["message"] == message)
        };
        self.log.iter().any(is_it)
    }

    /// Reads the log up to the next line that `is_it`.
    #[track_caller]
    pub(super) fn hears_that(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let parsed = serde_json::from_str(&line).unwrap_or(Value::Null);
                    self.log.push(line);
                    if is_it(&parsed) {
                        return parsed;
                    }
                }
                Err(why) => panic!("no {what:?} in the log ({why}):\n{}", self.log.join("\n")),
            }
        }
    }

    /// Reads the log until something is true that the log does not tell.
    #[track_caller]
    pub(super) fn until(&mut self, what: &str, is_so: impl Fn(&Daemon) -> bool) {
        for _ in 0..LOOKS_MAX {
            if is_so(self) {
                return;
            }
            self.log.extend(self.lines.recv_timeout(BETWEEN_LOOKS));
        }
        panic!("it never came about that {what}:\n{}", self.log.join("\n"));
    }

    /// Where its health endpoints are: `127.0.0.1:PORT`.
    pub(super) fn listens(&self) -> &str {
        &self.http
    }

    /// Asks the health endpoints.
    pub(super) fn get(&self, path: &str) -> Answer {
        http::get(&self.http, path)
    }

    /// Its process.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Signals are for this process, which the one that was started has started.
    pub(super) fn is_process(&mut self, pid: Pid) {
        self.pid = pid;
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end: the exit code, nothing when a signal killed it, and the whole log.
    #[track_caller]
    pub(super) fn ends(mut self) -> (Option<i32>, Vec<String>) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.log.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end:\n{}", self.log.join("\n"))
                }
            }
        }
        let code = self.child.wait().unwrap().code();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        assert_eq!(stdout, "", "the daemon has no result to print");
        (code, std::mem::take(&mut self.log))
    }

    /// Stops it as an operator does.
    #[track_caller]
    pub(super) fn stop(self) -> Vec<String> {
        self.signal(Signal::TERM);
        let (code, log) = self.ends();
        assert_eq!(code, Some(0), "{}", log.join("\n"));
        log
    }

    /// Kills it as the kernel does.
    pub(super) fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.ends().0, None);
    }
}

/// The command that runs one.
pub(super) fn run(place: &Place) -> Command {
    place.command(&["--log-format", "json", "run", "--listen", "127.0.0.1:0"])
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
const LOOKS_MAX: usize = 3000;
