//! The watchdog: whoever restarts what stands still is told that the loop turns.
//!
//! Only the scheduler's loop has one, and it tells at its own turns. No task beside the loop does,
//! because that would go on telling while the loop stands still and nothing is renewed.

use std::fmt;
use std::time::Duration;

/// Told by the loop that it turns.
pub struct Watchdog {
    /// Told again when this has passed, at the next turn; and the loop rests no longer.
    rest: Duration,
    told: Option<Duration>,
    tell: Box<dyn Fn() + Send>,
}

impl Watchdog {
    /// While the loop turns, `tell` is called at least once in each `within`, and not more than
    /// twice as often.
    pub fn new(within: Duration, tell: impl Fn() + Send + 'static) -> Watchdog {
        Watchdog { rest: (within / 2).max(REST_MIN), told: None, tell: Box::new(tell) }
    }

    /// The longest that the loop may rest between two turns.
    pub(super) const fn rest(&self) -> Duration {
        self.rest
    }

    /// The loop turns, at this time of the monotonic clock.
    pub(super) fn turned(&mut self, elapsed: Duration) {
        if self.told.is_none_or(|told| elapsed.saturating_sub(told) >= self.rest) {
            self.told = Some(elapsed);
            (self.tell)();
        }
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog")
            .field("rest", &self.rest)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// A watchdog that wants to hear of it more often makes nobody spin.
const REST_MIN: Duration = Duration::from_millis(10);
