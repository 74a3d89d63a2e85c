//! Our own beat: how long we may still write.
//!
//! The deadline goes by when a beat was *sent*, not by when its answer came: the others count from
//! a moment after it. Nothing but an answer moves it.

use std::time::Duration;

/// How often a member beats. Three are answered within one deadline, so one that is lost does no
/// harm.
pub(super) const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A beat that was answered lets its member write for so long from when it was sent. The others
/// evict half a second later ([`super::members::UNCHANGED_MAX`]), which is 6 % of it: two clocks
/// may differ in their rate by that much, and in what they show by anything.
pub(super) const DEADLINE: Duration = Duration::from_millis(7750);
/// A write needs so much time left: an exchange with Zoho mostly takes less.
pub(super) const LEFT_MIN: Duration = Duration::from_millis(2500);
/// A member whose last answered beat is older than two beats is degraded.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(4);

/// How it stands with our own beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// The last answered beat is fresh.
    Steady,
    /// It is older than it should be.
    Slow,
    /// Too little time is left to begin a write.
    Suspended,
}

/// The knowledge of our own beats, by the clock that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    /// When the last beat that was answered was sent.
    sent: Option<Duration>,
}

impl Pulse {
    /// A beat that was sent then was answered. Answers may come out of order.
    pub(super) fn answered(&mut self, sent: Duration) {
        self.sent = self.sent.max(Some(sent));
    }

    /// Until when we may write.
    pub(super) fn deadline(&self) -> Duration {
        self.sent.map_or(Duration::ZERO, |sent| sent + DEADLINE)
    }

    /// How it stands at this instant.
    pub(super) fn rhythm(&self, now: Duration) -> Rhythm {
        let left = self.deadline().saturating_sub(now);
        match self.sent {
            Some(sent) if left >= LEFT_MIN && now.saturating_sub(sent) > SLOW_AFTER => Rhythm::Slow,
            Some(_) if left >= LEFT_MIN => Rhythm::Steady,
            Some(_) | None => Rhythm::Suspended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_goes_by_when_the_last_answered_beat_was_sent() {
        let at = Duration::from_millis;
        let mut pulse = Pulse::default();
        assert_eq!((pulse.deadline(), pulse.rhythm(at(0))), (Duration::ZERO, Rhythm::Suspended));
        pulse.answered(at(10_000));
        // An answer that was overtaken takes nothing back.
        pulse.answered(at(8_000));
        assert_eq!(pulse.deadline(), at(17_750));
        for (now, rhythm) in [
            (10_000, Rhythm::Steady),
            (14_000, Rhythm::Steady),
            (14_001, Rhythm::Slow),
            (15_250, Rhythm::Slow),
            (15_251, Rhythm::Suspended),
            (60_000, Rhythm::Suspended),
        ] {
            assert_eq!(pulse.rhythm(at(now)), rhythm, "{now}");
        }
    }
}
