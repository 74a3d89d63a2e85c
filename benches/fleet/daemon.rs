//! The real binary, as a process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use channelkeeper::clock::Pace;

use super::Args;
use super::process::{Descriptors, Process};
use super::world::{Place, World};

/// A daemon that runs; it is killed when this is dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) process: Process,
    pub(crate) said: Arc<Said>,
    /// When it was started, by the world's monotonic clock.
    pub(crate) begun: Duration,
    /// The most that it was seen to have open.
    pub(crate) descriptors: Descriptors,
    checks: u32,
}

/// The facts that its log tells.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) ready: AtomicBool,
    pub(crate) bytes: AtomicU64,
    pub(crate) jumps: AtomicU64,
    pub(crate) warnings: AtomicU64,
    /// The last line.
    pub(crate) last: Mutex<String>,
}

impl Daemon {
    pub(crate) fn start(
        args: &Args,
        world: &World,
        place: &Place,
        pace: Option<Pace>,
    ) -> anyhow::Result<Daemon> {
        let mut command = Command::new(&args.binary);
        command
            .arg("--config")
            .arg(place.file("config.toml"))
            .arg("--state-dir")
            .arg(place.file("state"))
            .args(["--log-format", "json", "run", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(pace) = pace {
            command.args(["--pace", &pace.to_string()]);
        }
        let begun = elapsed(world);
        let mut child =
            command.spawn().with_context(|| format!("{} cannot be run", args.binary.display()))?;
        let said = Arc::new(Said::default());
        let log = BufReader::new(child.stderr.take().context("it has no log")?);
        let (hears, keep) = (said.clone(), place.file("log"));
        std::thread::spawn(move || hears.hear(log, &keep));
        let process = Process(child.id());
        Ok(Daemon { process, child, said, begun, descriptors: Descriptors::default(), checks: 0 })
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.said.ready.load(Ordering::Relaxed)
    }

    /// Fails when it has ended.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => {
                // To count thousands of them takes a while.
                if self.checks.is_multiple_of(COUNTED_EVERY) {
                    self.descriptors = self.descriptors.max(self.process.descriptors()?);
                }
                self.checks += 1;
                Ok(())
            }
            Some(status) => {
                // A thread of its own hears what it says at the very end.
                let last = self.said.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
                anyhow::bail!("the daemon ended with {status}: {last}")
            }
        }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the daemon stopped with {status}");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, which is what is wanted.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}

impl Said {
    /// Reads its log to the end; what may be trouble is kept.
    fn hear(&self, mut log: impl BufRead, keep: &Path) {
        let mut line = String::new();
        while log.read_line(&mut line).is_ok_and(|length| length > 0) {
            self.bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
            if line.contains("every account has been looked at") {
                self.ready.store(true, Ordering::Relaxed);
            }
            if line.contains("the wall clock jumped") {
                self.jumps.fetch_add(1, Ordering::Relaxed);
            }
            if line.contains("\"WARN\"") || line.contains("\"ERROR\"") {
                self.warnings.fetch_add(1, Ordering::Relaxed);
                // It is for whoever looks into it; without it the figures are as good.
                let _kept = std::fs::write(keep, &line);
            }
            self.last.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&line);
            line.clear();
        }
    }
}

/// Checks from one count of the descriptors to the next.
const COUNTED_EVERY: u32 = 10;

pub(crate) fn elapsed(world: &World) -> Duration {
    channelkeeper::clock::Clock::elapsed(&world.clock)
}
