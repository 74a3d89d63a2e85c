//! Zoho's time, as its answers tell it.
//!
//! Each answer has a `Date`, of whole seconds, and was written somewhere between the sending of the
//! request and its own arrival: that bounds Zoho's time. Between answers Zoho's time is counted
//! with the monotonic clock, so that a step of the wall clock moves nothing. An answer that agrees
//! with what is known changes nothing either; otherwise the middle of its bounds is taken.

use std::time::Duration;

use crate::model::exchange::Response;
use crate::model::time::{Times, Timestamp, after, before};

/// What is known of Zoho's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ZohoTime {
    /// Zoho's time at one instant of the monotonic clock.
    anchor: Option<(Duration, Timestamp)>,
    /// How far Zoho's clock was ahead of ours when it was last heard of.
    skew_ms: Option<i64>,
}

impl ZohoTime {
    /// Takes a skew that was measured earlier, by another process perhaps, when nothing is known
    /// yet.
    pub(super) fn assume(&mut self, skew_ms: i64, elapsed: Duration, now: Timestamp) {
        if self.anchor.is_none() {
            self.anchor = Some((elapsed, shifted(now, skew_ms)));
        }
    }

    /// Takes an answer in: sent at `sent` of the monotonic clock, there at `elapsed`, when the wall
    /// clock showed `now`.
    pub(super) fn hear(
        &mut self,
        response: &Response,
        sent: Duration,
        elapsed: Duration,
        now: Timestamp,
    ) {
        let date = response.header("date").and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
        let Some(date) = date.map(|date| date.timestamp()) else { return };
        let earliest = date;
        let latest = after(after(date, Duration::from_secs(1)), elapsed.saturating_sub(sent));
        let agrees = self
            .anchor
            .map(|anchor| at(anchor, elapsed))
            .filter(|told| (earliest..=latest).contains(told));
        let told = agrees
            .unwrap_or_else(|| after(earliest, crate::model::time::span(earliest, latest) / 2));
        if agrees.is_none() {
            self.anchor = Some((elapsed, told));
        }
        self.skew_ms = Some(told.as_millisecond() - now.as_millisecond());
    }

    /// Zoho's time when the monotonic clock showed `elapsed`; the wall clock's, as long as nothing
    /// else is known.
    pub(super) fn at(&self, elapsed: Duration, now: Timestamp) -> Timestamp {
        self.anchor.map_or(now, |anchor| at(anchor, elapsed))
    }

    /// From `sent` to `elapsed` of the monotonic clock, in Zoho's time.
    pub(super) fn times(&self, sent: Duration, elapsed: Duration, now: Timestamp) -> Times {
        let received = self.at(elapsed, now);
        Times { sent: before(received, elapsed.saturating_sub(sent)), received }
    }

    /// How far Zoho's clock was ahead of ours at the last answer, in milliseconds.
    pub(super) fn skew_ms(&self) -> Option<i64> {
        self.skew_ms
    }
}

fn at((then, told): (Duration, Timestamp), elapsed: Duration) -> Timestamp {
    if elapsed >= then { after(told, elapsed - then) } else { before(told, then - elapsed) }
}

fn shifted(instant: Timestamp, milliseconds: i64) -> Timestamp {
    let length = Duration::from_millis(milliseconds.unsigned_abs());
    if milliseconds < 0 { before(instant, length) } else { after(instant, length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn instant(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn dated(second: i64) -> Response {
        let date = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&instant(second))
            .unwrap();
        Response { headers: vec![("date".to_owned(), date)], ..Response::empty(503) }
    }

    #[test]
    fn the_first_answer_sets_it_and_one_that_agrees_leaves_it() {
        let mut time = ZohoTime::default();
        time.hear(&dated(1000), 10 * S, 10 * S, instant(500));
        assert_eq!(time.at(10 * S, instant(0)).as_millisecond(), 1_000_500);
        assert_eq!(time.skew_ms(), Some(500_500));
        time.hear(&dated(1001), 11 * S, 11 * S, instant(501));
        assert_eq!(time.at(11 * S, instant(0)).as_millisecond(), 1_001_500);
    }

    #[test]
    fn an_answer_that_took_long_says_little_and_moves_nothing() {
        let mut time = ZohoTime::default();
        time.hear(&dated(1000), 10 * S, 10 * S, instant(500));
        time.hear(&dated(1002), 12 * S, 32 * S, instant(522));
        assert_eq!(time.at(32 * S, instant(0)).as_millisecond(), 1_022_500);
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_the_skew_and_not_the_time() {
        let mut time = ZohoTime::default();
        time.hear(&dated(1000), 10 * S, 10 * S, instant(1000));
        let times = time.times(20 * S, 25 * S, instant(9_000_000));
        assert_eq!(
            (times.sent.as_millisecond(), times.received.as_millisecond()),
            (1_010_500, 1_015_500)
        );
        time.hear(&dated(1016), 26 * S, 26 * S, instant(9_000_000));
        assert_eq!(time.skew_ms(), Some(1_016_500 - 9_000_000_000));
    }

    #[test]
    fn a_clock_of_zohos_that_was_wrong_is_followed() {
        let mut time = ZohoTime::default();
        time.assume(60_000, S, instant(1000));
        assert_eq!(time.at(S, instant(0)), instant(1060));
        time.hear(&dated(2000), 2 * S, 2 * S, instant(1001));
        assert_eq!(time.at(2 * S, instant(0)).as_second(), 2000);
        time.assume(0, 3 * S, instant(1002));
        assert_eq!(
            time.at(3 * S, instant(0)).as_second(),
            2001,
            "an earlier skew is worth less than an answer"
        );
    }
}
