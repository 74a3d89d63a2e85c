//! Zoho's time, as its answers tell it.
//!
//! Each answer has a `Date`, of whole seconds, and was written somewhere between the sending of the
//! request and its own arrival: that bounds Zoho's time. Between answers Zoho's time is counted
//! with the monotonic clock, so that a step of the wall clock moves nothing. An answer that agrees
//! with what is known changes nothing either. One that is off by no more than its `Date` leaves
//! open moves the time to the nearer of its bounds, which is no further than it must: else what
//! came later could count as earlier, where both lie in one second. Within that second the time
//! may stand still. Otherwise the middle of the bounds is taken.
//!
//! One server's clock may be off by years. A correction of more than an hour is followed only when
//! the token endpoint, another server of Zoho's, says the same; where the two disagree, the token
//! endpoint's time is kept.

use std::time::Duration;

use crate::model::exchange::Response;
use crate::model::time::{Times, Timestamp, after, before, span};

/// Zoho's clock, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ZohoTime {
    /// Zoho's time at one instant of the monotonic clock.
    anchor: Option<(Duration, Timestamp)>,
    /// How far Zoho's clock was ahead of ours when it was last heard of.
    skew_ms: Option<i64>,
    /// The time of the token endpoint, at one instant of the monotonic clock.
    second: Option<(Duration, Timestamp)>,
    /// The time of the API, while it would be too large a correction to follow.
    doubted: Option<(Duration, Timestamp)>,
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
        let Some(date) = date(response) else { return };
        let earliest = date;
        let latest = after(after(date, DATE_PRECISION), elapsed.saturating_sub(sent));
        let known = self.anchor.map(|anchor| at(anchor, elapsed));
        let nearest = known
            .map(|known| (known, known.clamp(earliest, latest)))
            .filter(|(known, nearest)| distance(*known, *nearest) <= DATE_PRECISION);
        let middle = after(earliest, span(earliest, latest) / 2);
        let told = nearest.map_or(middle, |(_, nearest)| nearest);
        let agrees = known == Some(told);
        self.doubted = None;
        if !agrees && is_far(told, self.at(elapsed, now)) {
            self.doubted = Some((elapsed, told));
            return self.settle(elapsed, now);
        }
        if !agrees {
            self.anchor = Some((elapsed, told));
        }
        self.skew_ms = Some(told.as_millisecond() - now.as_millisecond());
    }

    /// Takes an answer of the token endpoint in, there at `elapsed`.
    pub(super) fn hear_second(&mut self, response: &Response, elapsed: Duration, now: Timestamp) {
        let Some(date) = date(response) else { return };
        self.second = Some((elapsed, date));
        self.settle(elapsed, now);
    }

    /// Follows the API's time, although no second source was heard.
    pub(super) fn follow_unchecked(&mut self, elapsed: Duration, now: Timestamp) {
        let Some(doubted) = self.doubted.take() else { return };
        self.anchor = Some(doubted);
        self.skew_ms = Some(at(doubted, elapsed).as_millisecond() - now.as_millisecond());
    }

    /// True when the API's time is doubted and no second source was heard.
    pub(super) fn needs_a_second(&self) -> bool {
        self.doubted.is_some() && self.second.is_none()
    }

    /// By how much the API's clock is off, in seconds, while it is not followed.
    pub(super) fn not_followed(&self, elapsed: Duration) -> Option<i64> {
        let (doubted, second) = (self.doubted?, self.second?);
        Some(at(doubted, elapsed).as_second() - at(second, elapsed).as_second())
    }

    /// Once both were heard: the API's time where they agree, else the token endpoint's.
    fn settle(&mut self, elapsed: Duration, now: Timestamp) {
        let (Some(doubted), Some(second)) = (self.doubted, self.second) else { return };
        let agree = !is_far(at(doubted, elapsed), at(second, elapsed));
        if agree {
            self.doubted = None;
        }
        let anchor = if agree { doubted } else { second };
        self.anchor = Some(anchor);
        self.skew_ms = Some(at(anchor, elapsed).as_millisecond() - now.as_millisecond());
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

fn date(response: &Response) -> Option<Timestamp> {
    Some(jiff::fmt::rfc2822::parse(response.header("date")?).ok()?.timestamp())
}

fn is_far(one: Timestamp, other: Timestamp) -> bool {
    distance(one, other) > CORRECTION_MAX
}

fn distance(one: Timestamp, other: Timestamp) -> Duration {
    span(one, other).max(span(other, one))
}

/// A `Date` leaves this much open.
const DATE_PRECISION: Duration = Duration::from_secs(1);

/// A larger correction needs a second source.
const CORRECTION_MAX: Duration = Duration::from_secs(60 * 60);

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
    fn two_answers_of_one_second_keep_their_order() {
        const MS: Duration = Duration::from_millis(1);
        for (first, second) in [(0, 800), (100, 999), (500, 501)] {
            let mut time = ZohoTime::default();
            time.hear(&dated(1000), first * MS, first * MS, instant(0));
            let before = time.at(first * MS, instant(0));
            time.hear(&dated(1000), second * MS, second * MS, instant(0));
            let behind = time.at(second * MS, instant(0));
            assert!(before < behind, "{first} {second}: {before} {behind}");
            assert!(behind <= instant(1001));
            time.hear(&dated(1000), second * MS, second * MS, instant(0));
            assert_eq!(
                time.at(second * MS, instant(0)),
                behind,
                "the same once more moves nothing"
            );
        }
    }

    #[test]
    fn the_time_stands_still_at_the_end_of_a_second_and_never_goes_back() {
        const MS: Duration = Duration::from_millis(1);
        let mut time = ZohoTime::default();
        let mut last = instant(0);
        for tenth in 0..30 {
            let now = tenth * 100 * MS;
            time.hear(&dated(1000 + i64::from(tenth) / 10), now, now, instant(0));
            let told = time.at(now, instant(0));
            assert!(told >= last, "{tenth}: {told} follows {last}");
            last = told;
        }
        assert_eq!(last, instant(1003), "a tenth of a second ahead, as Zoho may be");
    }

    #[test]
    fn a_correction_that_cannot_be_checked_is_followed() {
        let (now, day) = (instant(2_000_000_000), 86_400);
        let mut time = ZohoTime::default();
        time.hear(&dated(now.as_second() + day), S, S, now);
        assert!(time.needs_a_second() && time.skew_ms().is_none());
        time.follow_unchecked(S, now);
        assert!(!time.needs_a_second());
        assert!(time.skew_ms().is_some_and(|skew| skew > 86_000_000));
    }

    #[test]
    fn a_correction_of_more_than_an_hour_needs_a_second_source() {
        let (now, year) = (instant(2_000_000_000), 365 * 24 * 3600);
        let mut time = ZohoTime::default();
        time.hear(&dated(now.as_second() - year), S, S, now);
        assert_eq!((time.at(S, now), time.skew_ms()), (now, None));
        assert!(time.needs_a_second());
        time.hear_second(&dated(now.as_second()), 2 * S, now);
        assert_eq!((time.at(2 * S, now), time.skew_ms()), (now, Some(0)));
        assert!(!time.needs_a_second());
        assert_eq!(time.not_followed(2 * S), Some(1 - year));
        time.hear(&dated(now.as_second() - year), 3 * S, 3 * S, now);
        assert_eq!(time.at(3 * S, now).as_second(), now.as_second() + 1);
    }

    #[test]
    fn a_correction_that_both_servers_ask_for_is_followed_in_either_order() {
        for second_first in [true, false] {
            let mut time = ZohoTime::default();
            let (booted, date) = (instant(100), dated(2_000_000_000));
            if second_first {
                time.hear_second(&date, S, booted);
            }
            time.hear(&date, S, S, booted);
            if !second_first {
                time.hear_second(&date, S, booted);
            }
            let middle = time.at(S, booted).as_millisecond();
            assert_eq!(middle, 2_000_000_000_500, "{second_first}: the API's bounds are narrower");
            assert_eq!(time.not_followed(S), None);
        }
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
