//! Arithmetic on instants that cannot panic and cannot go negative.
//!
//! Every instant is wall time in UTC ([`jiff::Timestamp`]); every length is a [`Duration`]. A
//! difference that would be negative is zero, a sum that would leave the calendar is its end: a
//! decision made from odd facts is then merely conservative.

use std::time::Duration;

pub use jiff::Timestamp;

/// `length` after `instant`.
pub fn after(instant: Timestamp, length: Duration) -> Timestamp {
    instant.checked_add(length).unwrap_or(Timestamp::MAX)
}

/// `length` before `instant`.
pub fn before(instant: Timestamp, length: Duration) -> Timestamp {
    instant.checked_sub(length).unwrap_or(Timestamp::MIN)
}

/// From `from` to `to`, zero when `to` is not later.
pub fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// The first of the instants that there are.
pub fn earliest(instants: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    instants.into_iter().flatten().min()
}

/// `instant` without its fraction of a second: Zoho's expiries carry none (pd refuses them, see the
/// API notes).
pub fn whole_seconds(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

/// True when two of Zoho's expiries are the same. They carry whole seconds, so a second of
/// difference is rounding.
pub fn is_same_second(one: Timestamp, other: Timestamp) -> bool {
    one.duration_since(other).unsigned_abs() <= Duration::from_secs(1)
}

/// Returns whether what is remembered from `at` still counts. A memory from the future was written
/// down while the clock was wrong, and does not count.
pub(crate) fn is_recent(at: Timestamp, kept_for: Duration, now: Timestamp) -> bool {
    at <= now && now < after(at, kept_for)
}

/// When an exchange with Zoho took place, in Zoho's time: what it did, it did in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was sent.
    pub sent: Timestamp,
    /// When its answer was there, or was not waited for any longer.
    pub received: Timestamp,
}

/// A length as people write it, cut to two neighbouring units: "11h 58m", "45s", "3d".
pub fn brief(length: Duration) -> String {
    let seconds = length.as_secs();
    let units = [
        ("d", seconds / 86_400),
        ("h", seconds / 3600 % 24),
        ("m", seconds / 60 % 60),
        ("s", seconds % 60),
    ];
    let Some(first) = units.iter().position(|(_, count)| *count > 0) else {
        return "0s".to_owned();
    };
    let shown = units.iter().skip(first).take(2).filter(|(_, count)| *count > 0);
    shown.map(|(unit, count)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_never_go_negative_and_sums_never_leave_the_calendar() {
        let noon: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        assert_eq!(span(noon, before(noon, Duration::from_secs(5))), Duration::ZERO);
        assert_eq!(span(noon, after(noon, Duration::from_secs(5))), Duration::from_secs(5));
        assert_eq!(after(noon, Duration::MAX), Timestamp::MAX);
        assert_eq!(before(noon, Duration::MAX), Timestamp::MIN);
    }

    #[test]
    fn a_length_is_cut_to_two_neighbouring_units() {
        assert_eq!(brief(Duration::from_secs(86_407)), "1d");
        assert_eq!(brief(Duration::from_secs(90_000)), "1d 1h");
        assert_eq!(brief(Duration::from_secs(86_399)), "23h 59m");
        assert_eq!(brief(Duration::from_millis(45_900)), "45s");
        assert_eq!(brief(Duration::ZERO), "0s");
    }
}
