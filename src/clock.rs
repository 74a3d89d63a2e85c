//! The clock: the only file that reads one.
//!
//! Everything else is given `now`. [`SystemClock`] is the machine's wall clock. [`VirtualClock`]
//! starts at a chosen instant, may run faster than the world (the demo), and can be stepped (the
//! tests of clock trouble). It follows tokio's paused time, so that a test of three days takes
//! milliseconds and nothing in it sleeps. [`PacedClock`] is the machine's clock run faster, so that
//! processes which are told the same [`Pace`] agree about the time.
//!
//! A sleep towards a wall-clock deadline must never be longer than [`LOOK_AT_CLOCK`]: timers use
//! the monotonic clock, which stands still while the machine sleeps and knows nothing of a step.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::model::time::{Timestamp, after, before, span};

/// The longest sleep before wall time is read again.
pub const LOOK_AT_CLOCK: Duration = Duration::from_secs(30);

/// A sleep to be awaited.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Tells the time and waits.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Wall time, UTC. It may jump in both directions.
    fn now(&self) -> Timestamp;
    /// Time since some fixed instant, for "how long did it take". It never jumps, and may stand
    /// still while the machine sleeps.
    fn elapsed(&self) -> Duration;
    /// Time since some fixed instant that goes on while the machine sleeps. It never jumps. Between
    /// two readings lies how old something has become, whatever happened to the process meanwhile.
    fn boot(&self) -> Duration;
    /// Waits for this much of the clock's time.
    fn sleep(&self, length: Duration) -> Sleep<'_>;
    /// True when whoever reads the machine's own clock may time things for this one.
    fn is_the_machines(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// Begins counting [`Clock::elapsed`].
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    pub fn new() -> SystemClock {
        SystemClock { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn boot(&self) -> Duration {
        let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(boot).unwrap_or_default()
    }

    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    fn sleep(&self, length: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(length))
    }

    fn is_the_machines(&self) -> bool {
        true
    }
}

/// A clock that starts where it is told, runs at a chosen speed, and can be stepped.
#[derive(Debug)]
pub struct VirtualClock {
    origin: tokio::time::Instant,
    start: Timestamp,
    speed: u32,
    stepped_ms: AtomicI64,
}

impl VirtualClock {
    /// Starts at `start` and runs `speed` times as fast as tokio's time. Speeds below one are one.
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    pub fn new(start: Timestamp, speed: u32) -> VirtualClock {
        let origin = tokio::time::Instant::now();
        VirtualClock { origin, start, speed: speed.max(1), stepped_ms: AtomicI64::new(0) }
    }

    /// Moves wall time by so many milliseconds, and the monotonic clock not at all.
    pub fn step(&self, milliseconds: i64) {
        self.stepped_ms.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let stepped = self.stepped_ms.load(Ordering::Relaxed);
        let step = Duration::from_millis(stepped.unsigned_abs());
        let base = after(self.start, self.elapsed());
        if stepped < 0 { before(base, step) } else { after(base, step) }
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed() * self.speed
    }

    fn boot(&self) -> Duration {
        self.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    fn sleep(&self, length: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(length / self.speed))
    }
}

/// From which instant on a clock runs how many times as fast as the world. As text:
/// `60@2026-01-01T00:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many times as fast.
    pub speed: u32,
    /// The instant, in the world's time and in the clock's.
    pub since: Timestamp,
}

impl Pace {
    /// The time that the clock shows at an instant of the world.
    pub fn shown(self, world: Timestamp) -> Timestamp {
        if world <= self.since {
            world
        } else {
            after(self.since, span(self.since, world).saturating_mul(self.speed))
        }
    }
}

impl FromStr for Pace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Pace, &'static str> {
        let parsed = text
            .split_once('@')
            .and_then(|(speed, since)| Some((speed.parse().ok()?, since.parse().ok()?)));
        let (speed, since) =
            parsed.ok_or("written SPEED@INSTANT, as in 60@2026-01-01T00:00:00Z")?;
        if speed == 0 {
            Err("a clock that stands still is none")
        } else {
            Ok(Pace { speed, since })
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.speed, self.since)
    }
}

/// The machine's clock at a pace: for measurements of days, against a simulator of the same pace.
#[derive(Debug)]
pub struct PacedClock {
    inner: SystemClock,
    pace: Pace,
}

impl PacedClock {
    /// Begins counting [`Clock::elapsed`].
    pub fn new(pace: Pace) -> PacedClock {
        PacedClock { inner: SystemClock::new(), pace }
    }
}

impl Clock for PacedClock {
    fn now(&self) -> Timestamp {
        self.pace.shown(self.inner.now())
    }

    fn elapsed(&self) -> Duration {
        self.inner.elapsed().saturating_mul(self.pace.speed)
    }

    fn boot(&self) -> Duration {
        self.inner.boot().saturating_mul(self.pace.speed)
    }

    fn sleep(&self, length: Duration) -> Sleep<'_> {
        self.inner.sleep(length / self.pace.speed)
    }

    // Measurements give the audit an expression that comes out right at their pace.
    fn is_the_machines(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_shows_the_same_time_to_whoever_is_told_it() {
        let pace: Pace = "60@2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(pace.to_string().parse(), Ok(pace));
        let shown = |world: &str| pace.shown(world.parse().unwrap()).to_string();
        assert_eq!(shown("2025-12-31T23:00:00Z"), "2025-12-31T23:00:00Z");
        assert_eq!(shown("2026-01-01T00:01:00Z"), "2026-01-01T01:00:00Z");
        for bad in ["60", "0@2026-01-01T00:00:00Z", "fast@2026-01-01T00:00:00Z", "60@soon"] {
            assert!(bad.parse::<Pace>().is_err(), "{bad}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_virtual_clock_runs_at_its_speed_and_steps_both_ways() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = VirtualClock::new(start, 60);
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.now().duration_since(start).as_secs(), 3600);
        clock.step(-7_200_000);
        assert_eq!(clock.now().to_string(), "2025-12-31T23:00:00Z");
        assert_eq!(clock.elapsed().as_secs(), 3600);
    }
}
