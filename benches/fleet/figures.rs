//! The figures of a measurement.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::baseline::Raw;
use super::process::{Descriptors, Taken};
use super::script::Renewals;

/// All phases at one size.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) accounts: usize,
    /// How many each account has.
    pub(crate) channels: usize,
    pub(crate) phases: Vec<Measured>,
}

/// One phase.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Measured {
    pub(crate) phase: String,
    pub(crate) real: Duration,
    /// By the clock, which may be at a pace.
    pub(crate) shown: Duration,
    pub(crate) taken: Taken,
    pub(crate) peak: u64,
    pub(crate) resident: u64,
    pub(crate) descriptors: Descriptors,
    pub(crate) store: u64,
    pub(crate) store_grown: Option<i64>,
    /// Bytes of log.
    pub(crate) log: u64,
    /// How often the daemon took a pause of its process for a step of the clock: at a pace a few
    /// milliseconds are seconds.
    pub(crate) jumps: u64,
    pub(crate) calls: BTreeMap<String, u64>,
    pub(crate) floor_writes: Option<f64>,
    pub(crate) floor_reads: Option<f64>,
    pub(crate) floor_tokens: Option<f64>,
    pub(crate) lateness: Option<Lateness>,
    pub(crate) baseline: Option<Raw>,
    pub(crate) notes: Vec<(String, String)>,
    /// The laws that hold of any run, each with true when it held.
    pub(crate) laws: Vec<(String, bool)>,
}

/// How late renewals were, in real time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Lateness {
    pub(crate) due: usize,
    pub(crate) early: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Lateness {
    pub(crate) fn of(renewals: &Renewals, speed: u32) -> Lateness {
        let Renewals { late, early } = renewals;
        let at = |share: usize| {
            late.get(late.len().saturating_sub(1) * share / 100).copied().unwrap_or_default()
                / speed
        };
        Lateness { due: late.len(), early: *early, p50: at(50), p99: at(99), max: at(100) }
    }
}

impl Measured {
    /// Says something of this phase only.
    pub(crate) fn note(&mut self, what: &str, value: &dyn Shown) {
        self.notes.push((what.to_owned(), value.shown()));
    }

    /// Notes a law that holds of any run.
    pub(crate) fn must(&mut self, what: &str, holds: bool) {
        self.laws.push((what.to_owned(), holds));
    }

    pub(crate) fn writes(&self) -> u64 {
        self.calls
            .iter()
            .filter(|(method, _)| !["GET", "token"].contains(&method.as_str()))
            .map(|(_, calls)| calls)
            .sum()
    }

    pub(crate) fn reads(&self) -> u64 {
        self.calls.get("GET").copied().unwrap_or_default()
    }

    fn to_text(&self, channels: usize) -> String {
        let mut text = format!("{}\n", self.phase);
        let mut line = |what: &str, value: String| {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "  {what:<22} {value}");
        };
        line("real time", self.real.shown());
        if self.shown > self.real * 2 {
            line("by the clock", self.shown.shown());
        }
        let core = self.taken.cpu.as_secs_f64() / self.real.as_secs_f64().max(f64::EPSILON);
        line("CPU", format!("{} ({:.2} % of a core)", self.taken.cpu.shown(), core * 100.0));
        line(
            "wake-ups",
            format!("{:.1} a second", self.taken.wakeups as f64 / self.real.as_secs_f64()),
        );
        let of_channel = self.peak as f64 / 1000.0 / channels.max(1) as f64;
        line(
            "memory",
            format!(
                "peak {}, then {} ({of_channel:.2} kB a channel)",
                bytes(self.peak),
                bytes(self.resident)
            ),
        );
        let Descriptors { all, sockets } = self.descriptors;
        line("open at most", format!("{all} descriptors, {sockets} of them sockets"));
        let grown = self
            .store_grown
            .map(|grown| format!(", {grown:+} bytes in this phase"))
            .unwrap_or_default();
        line(
            "disk",
            format!(
                "{} written, {} by the kernel's count, store {}{grown}",
                bytes(self.taken.wrote.saturating_sub(self.log)),
                bytes(self.taken.written),
                bytes(self.store)
            ),
        );
        line("log", bytes(self.log));
        let calls: Vec<String> =
            self.calls.iter().map(|(method, calls)| format!("{calls} {method}")).collect();
        line("calls", if calls.is_empty() { "none".to_owned() } else { calls.join(", ") });
        let floors = [
            ("writes / floor", self.writes(), self.floor_writes),
            ("reads / floor", self.reads(), self.floor_reads),
            (
                "tokens / floor",
                self.calls.get("token").copied().unwrap_or_default(),
                self.floor_tokens,
            ),
        ];
        for (what, calls, floor) in floors {
            if let Some(floor) = floor {
                let ratio = if floor > 0.0 {
                    format!(" = {:.3}", calls as f64 / floor)
                } else {
                    String::new()
                };
                line(what, format!("{calls} / {floor:.1}{ratio}"));
            }
        }
        if let Some(Lateness { due, early, p50, p99, max }) = self.lateness {
            let late = format!("p50 {}, p99 {}, max {}", p50.shown(), p99.shown(), max.shown());
            line(
                "renewals late by",
                format!("{late} (real; {due} were due, {early} came along early)"),
            );
        }
        if let Some(raw) = &self.baseline {
            line("raw baseline", format!("wall {}", beside(self.real, raw.wall)));
            line("", format!("CPU {}", beside(self.taken.cpu, raw.taken.cpu)));
        }
        if self.jumps > 0 {
            line("clock", format!("seen to jump {} times", self.jumps));
        }
        self.notes.iter().for_each(|(what, value)| line(&format!("{what}:"), value.clone()));
        self.laws
            .iter()
            .for_each(|(what, holds)| line(if *holds { "holds" } else { "FAILS" }, what.clone()));
        text
    }
}

impl Figures {
    pub(crate) fn to_text(&self) -> String {
        let total = self.accounts * self.channels;
        let head =
            format!("{} accounts of {} channels: {total} channels\n", self.accounts, self.channels);
        let phases: Vec<String> = self.phases.iter().map(|phase| phase.to_text(total)).collect();
        format!("{head}\n{}", phases.join("\n"))
    }

    /// Fails when something does not hold that has to hold of any run, however slow the machine.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let laws =
            self.phases.iter().flat_map(|phase| phase.laws.iter().map(|law| (&phase.phase, law)));
        let broken: Vec<String> = laws
            .filter(|(_, (_, holds))| !holds)
            .map(|(phase, (what, _))| format!("{phase}: {what}"))
            .collect();
        anyhow::ensure!(broken.is_empty(), "this does not hold: {}", broken.join("; "));
        Ok(())
    }

    pub(crate) fn phase(&self, name: &str) -> Option<&Measured> {
        self.phases.iter().find(|phase| phase.phase == name)
    }
}

/// A value as it is shown to people.
pub(crate) trait Shown {
    fn shown(&self) -> String;
}

impl Shown for Duration {
    fn shown(&self) -> String {
        match self.as_secs_f64() {
            seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1000.0),
            seconds if seconds < 120.0 => format!("{seconds:.2} s"),
            seconds if seconds < 7200.0 => format!("{:.1} min", seconds / 60.0),
            seconds => format!("{:.1} h", seconds / 3600.0),
        }
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for usize {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for f64 {
    fn shown(&self) -> String {
        format!("{self:.1}")
    }
}

/// A time of the baseline, and the daemon's as so many times that, where it is long enough to be
/// told from nothing.
fn beside(own: Duration, raw: Duration) -> String {
    let ratio = own.as_secs_f64() / raw.as_secs_f64().max(f64::EPSILON);
    let ratio =
        if raw < TELLING { String::new() } else { format!(" (the daemon: {ratio:.2} times that)") };
    format!("{}{ratio}", raw.shown())
}

/// `/proc` counts hundredths of a second.
const TELLING: Duration = Duration::from_millis(100);

fn bytes(count: u64) -> String {
    match count as f64 {
        count if count < 10_000.0 => format!("{count} B"),
        count if count < 10_000_000.0 => format!("{:.0} kB", count / 1000.0),
        count => format!("{:.1} MB", count / 1_000_000.0),
    }
}
