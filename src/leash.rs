//! The leash: until when a process may write at Zoho.
//!
//! Where several machines share accounts, a process that was stopped and goes on may belong to
//! nobody any more. Before each write it looks at its leash, and what is under way when the leash
//! ends is dropped. A daemon on one machine has no leash.
//!
//! Times are of the clock that goes on while the machine sleeps ([`Clock::boot`]), so neither a
//! suspended machine nor a step of the wall clock makes a leash longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// Shared by whoever sets it and whoever looks at it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leash {
    clock: Arc<dyn Clock>,
    /// Milliseconds of [`Clock::boot`].
    ends: Arc<AtomicU64>,
}

impl Leash {
    /// One that has ended.
    pub fn new(clock: Arc<dyn Clock>) -> Leash {
        Leash { clock, ends: Arc::default() }
    }

    /// Sets its end, by [`Clock::boot`].
    pub fn set(&self, ends: Duration) {
        self.ends.store(millis(ends), Ordering::SeqCst);
    }

    /// How much is left of it; nothing when it has ended.
    pub fn left(&self) -> Duration {
        let ends = Duration::from_millis(self.ends.load(Ordering::SeqCst));
        ends.saturating_sub(self.clock.boot())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
