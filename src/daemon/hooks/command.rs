//! One run of the command of `[hooks]`: no shell, an empty environment but for what is said here, a
//! bounded time, and nothing left behind.
//!
//! The event goes to its standard input, which it need not read; its standard output goes nowhere;
//! of its standard error the last line is kept for the log. It runs in a process group of its own,
//! which is killed whole when its time is over, and also when the command has ended and left
//! something behind. What leaves that group is not found.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use crate::clock::Clock;
use crate::expose::one_line;
use crate::expose::overview::HookResult;
use crate::model::hooks::HookEvent;

/// The reason why a command did not take an event.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There is no such program, or it may not be run.
    #[error("{program} cannot be run: {source}")]
    Absent {
        /// Which.
        program: String,
        /// The error of the system.
        source: io::Error,
    },
    /// It says so.
    #[error("{how}{}", after_colon(.said))]
    Failed {
        /// Its exit code, or the signal that ended it.
        how: String,
        /// Its last line.
        said: String,
    },
    /// It took too long and was killed.
    #[error("killed after {} s{}", .after.as_secs(), after_colon(.said))]
    TimedOut {
        /// The time that it had.
        after: Duration,
        /// Its last line.
        said: String,
    },
}

/// Runs it with an event.
///
/// # Errors
/// When it cannot be run, fails, or takes too long.
pub(super) async fn run(
    command: &[String],
    event: HookEvent,
    body: &str,
    timeout: Duration,
    clock: &dyn Clock,
) -> Result<(), Failure> {
    let program = command.first().cloned().unwrap_or_default();
    let absent = |source| Failure::Absent { program: program.clone(), source };
    let mut group = ProcessGroup(started(command, event).map_err(absent)?);
    let (mut stdin, mut stderr) = pipes(&mut group.0).map_err(absent)?;
    let talking = async {
        // Whoever does not read its input is done with it.
        let _unread = stdin.write_all(body.as_bytes()).await.is_err();
        drop(stdin);
        stderr.read_on().await;
        std::future::pending::<()>().await
    };
    let in_time = tokio::select! {
        biased;
        () = group.ended(clock) => true,
        () = clock.sleep(timeout) => false,
        () = talking => false,
    };
    group.kill();
    stderr.read_rest();
    let said = stderr.last_line();
    let status = group.reaped(clock).await;
    match status {
        _ if !in_time => Err(Failure::TimedOut { after: timeout, said }),
        Some(status) if status.success() => Ok(()),
        status => Err(Failure::Failed { how: ending(status), said }),
    }
}

fn started(command: &[String], event: HookEvent) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::NotFound)?;
    // The daemon's own environment may hold secrets.
    Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("CHANNELKEEPER_EVENT", event.word())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

fn pipes(child: &mut Child) -> io::Result<(pipe::Sender, Stderr)> {
    let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
    let stdin: OwnedFd = child.stdin.take().ok_or_else(closed)?.into();
    let stderr: OwnedFd = child.stderr.take().ok_or_else(closed)?.into();
    let pipe = pipe::Receiver::from_owned_fd(stderr)?;
    Ok((pipe::Sender::from_owned_fd(stdin)?, Stderr { pipe, kept: Vec::new() }))
}

/// A command, with everything that it started and that has not left its group.
struct ProcessGroup(Child);

impl ProcessGroup {
    /// Returns when the command has ended. It is not reaped, so that its number is still its own.
    async fn ended(&self, clock: &dyn Clock) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while matches!(waitid(WaitId::Pid(self.id()), options), Ok(None)) {
            clock.sleep(POLL).await;
        }
    }

    fn kill(&self) {
        // There may be nobody left.
        let _gone = kill_process_group(self.id(), Signal::KILL).is_err();
    }

    /// The end of the command. One that the system does not let go of is left to it.
    async fn reaped(&mut self, clock: &dyn Clock) -> Option<ExitStatus> {
        for _ in 0..REAPS_MAX {
            match self.0.try_wait() {
                Ok(None) => clock.sleep(POLL).await,
                Ok(ended) => return ended,
                Err(_) => return None,
            }
        }
        None
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for ProcessGroup {
    /// The daemon stops, or the command has ended: then this finds nothing.
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

/// The end of what a command writes to its standard error.
struct Stderr {
    pipe: pipe::Receiver,
    kept: Vec<u8>,
}

impl Stderr {
    /// Reads until there can be no more.
    async fn read_on(&mut self) {
        while self.pipe.readable().await.is_ok() {
            let mut piece = [0; KEPT_MAX];
            match self.pipe.try_read(&mut piece) {
                Ok(0) => return,
                Ok(length) => self.keep(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Reads what is there, for at most as much as a pipe holds. The runtime need not have noticed
    /// that there is anything.
    fn read_rest(&mut self) {
        for _ in 0..PIPE_READS {
            let mut piece = [0; KEPT_MAX];
            match rustix::io::read(&self.pipe, &mut piece) {
                Ok(0) | Err(_) => return,
                Ok(length) => self.keep(&piece[..length]),
            }
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        self.kept.extend_from_slice(piece);
        let excess = self.kept.len().saturating_sub(KEPT_MAX);
        self.kept.drain(..excess);
    }

    /// The last line with anything on it, fit to be shown.
    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.kept);
        let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
        one_line::line(last.unwrap_or_default())
    }
}

impl Failure {
    /// Its word for the metrics.
    pub(super) fn result(&self) -> HookResult {
        match self {
            Failure::Absent { .. } => HookResult::Absent,
            Failure::Failed { .. } => HookResult::Failed,
            Failure::TimedOut { .. } => HookResult::TimedOut,
        }
    }
}

fn ending(status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return "it does not end".to_owned() };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// Where a hook finds other programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// From one look whether the command has ended to the next.
const POLL: Duration = Duration::from_millis(20);
/// How often a killed command is waited for.
const REAPS_MAX: usize = 250;
/// How much of standard error is kept.
const KEPT_MAX: usize = 4096;
/// A pipe holds 64 KiB.
const PIPE_READS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    async fn sh(script: &str, timeout: Duration) -> Result<(), String> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let (body, clock) = ("{\"event\":\"renewed\"}\n", SystemClock::new());
        let ended = run(&command, HookEvent::Renewed, body, timeout, &clock).await;
        ended.map_err(|failure| format!("{}: {failure}", failure.result().word()))
    }

    #[tokio::test]
    async fn the_event_is_on_standard_input_and_the_environment_is_nearly_empty() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("told");
        let script = format!("cat > {0} && env >> {0}", file.display());
        assert_eq!(sh(&script, PATIENCE).await, Ok(()));
        let told = std::fs::read_to_string(file).unwrap();
        let mut lines: Vec<&str> = told.lines().collect();
        lines.retain(|line| {
            !["PWD=", "SHLVL=", "_=", "OLDPWD="].iter().any(|own| line.starts_with(own))
        });
        lines.sort_unstable();
        assert_eq!(
            lines,
            ["CHANNELKEEPER_EVENT=renewed", &format!("PATH={PATH}"), "{\"event\":\"renewed\"}"]
        );
    }

    #[tokio::test]
    async fn a_failure_is_told_with_the_last_line_of_standard_error() {
        let script = "echo first >&2; printf 'last \\033[31mline\\n\\n' >&2; exit 3";
        let failed = "failed: exit code 3: last  [31mline";
        assert_eq!(sh(script, PATIENCE).await, Err(failed.to_owned()));
        assert_eq!(sh("kill -9 $$", PATIENCE).await, Err("failed: ended by signal 9".to_owned()));
        let flood = "i=0; while [ $i -lt 20000 ]; do echo 0123456789 >&2; i=$((i+1)); done; echo end >&2; exit 1";
        assert_eq!(sh(flood, PATIENCE).await, Err("failed: exit code 1: end".to_owned()));
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo waiting >&2; wait", pid.display());
        let ended = sh(&script, Duration::from_millis(500)).await;
        assert_eq!(ended, Err("timed-out: killed after 0 s: waiting".to_owned()));
        let child: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        is_gone(Pid::from_raw(child).unwrap()).await;
        // And what one that has ended left behind.
        let script = format!("sleep 1000 & echo $! > {}", pid.display());
        assert_eq!(sh(&script, PATIENCE).await, Ok(()));
        let child: i32 = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        is_gone(Pid::from_raw(child).unwrap()).await;
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told_as_such() {
        let command = ["/nonexistent/told".to_owned()];
        let clock = SystemClock::new();
        let failure = run(&command, HookEvent::Refused, "", PATIENCE, &clock).await.unwrap_err();
        assert_eq!(failure.result(), HookResult::Absent);
        assert!(failure.to_string().starts_with("/nonexistent/told cannot be run: No such file"));
    }

    /// Killed processes are reaped by init, in its own time; a zombie is gone for all that counts.
    async fn is_gone(pid: Pid) {
        let clock = SystemClock::new();
        let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        for _ in 0..500 {
            if !lives() {
                return;
            }
            clock.sleep(POLL).await;
        }
        panic!("{pid:?} lives on");
    }

    const PATIENCE: Duration = Duration::from_secs(60);
}
