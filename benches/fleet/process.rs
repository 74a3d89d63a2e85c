//! The cost of a process, as `/proc` tells it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// A process that can be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

/// The cost of a process so far.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// Time on a core, in user and kernel mode.
    pub(crate) cpu: Duration,
    /// Bytes that the kernel counts as sent to the disk: of all pages that were touched.
    pub(crate) written: u64,
    /// Bytes that it wrote into files, which its log is one of.
    pub(crate) wrote: u64,
    /// Times that one of its threads waited and was woken.
    pub(crate) wakeups: u64,
}

/// Descriptors that a process has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Descriptors {
    pub(crate) all: usize,
    pub(crate) sockets: usize,
}

impl Taken {
    /// The cost since then.
    pub(crate) fn since(self, earlier: Taken) -> Taken {
        Taken {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            written: self.written.saturating_sub(earlier.written),
            wrote: self.wrote.saturating_sub(earlier.wrote),
            wakeups: self.wakeups.saturating_sub(earlier.wakeups),
        }
    }
}

impl Process {
    /// Its cost so far.
    pub(crate) fn taken(self) -> anyhow::Result<Taken> {
        Ok(Taken {
            cpu: self.cpu()?,
            written: self.field("io", "write_bytes")?,
            wrote: self.field("io", "wchar")?,
            wakeups: self.wakeups()?,
        })
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(self) -> anyhow::Result<u64> {
        Ok(self.field("status", "VmRSS")? * 1024)
    }

    /// The most resident memory since [`Process::forget_peak`], in bytes.
    pub(crate) fn peak(self) -> anyhow::Result<u64> {
        Ok(self.field("status", "VmHWM")? * 1024)
    }

    /// Counts the peak anew.
    pub(crate) fn forget_peak(self) -> anyhow::Result<()> {
        std::fs::write(self.file("clear_refs"), "5").context("the peak of memory cannot be reset")
    }

    /// How many descriptors it has open, and how many of them are sockets.
    pub(crate) fn descriptors(self) -> anyhow::Result<Descriptors> {
        let mut open = Descriptors::default();
        for entry in std::fs::read_dir(self.file("fd"))? {
            // One may have been closed since it was listed.
            let Ok(leads_to) = std::fs::read_link(entry?.path()) else { continue };
            open.all += 1;
            open.sockets += usize::from(leads_to.to_string_lossy().starts_with("socket:"));
        }
        Ok(open)
    }

    /// From `/proc/PID/stat`, behind the name, which may hold anything.
    fn cpu(self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(self.file("stat"))?;
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let ticks = behind.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.sum::<Result<u64, _>>()?;
        Ok(Duration::from_secs(ticks) / TICKS_PER_SECOND)
    }

    fn wakeups(self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir(self.file("task"))? {
            // A thread may have ended since it was listed.
            let Ok(status) = std::fs::read_to_string(task?.path().join("status")) else { continue };
            sum += field_of(&status, "voluntary_ctxt_switches").unwrap_or_default();
        }
        Ok(sum)
    }

    fn field(self, file: &str, name: &str) -> anyhow::Result<u64> {
        let text = std::fs::read_to_string(self.file(file))?;
        field_of(&text, name).with_context(|| format!("/proc/{}/{file} has no {name}", self.0))
    }

    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }
}

fn field_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// `USER_HZ`, which is 100 on every Linux that this is built for.
const TICKS_PER_SECOND: u32 = 100;
