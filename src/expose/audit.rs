//! When audits are: the ticks of a cron expression of six fields, in UTC.

use std::time::Duration;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;

use crate::model::time::{Timestamp, after, span, whole_seconds};

/// An expression that ticks.
#[derive(Clone, Debug)]
pub(crate) struct Ticks(Cron);

impl Ticks {
    /// The ticks of an expression.
    ///
    /// # Errors
    /// When it is none.
    pub(crate) fn new(expression: &str) -> Result<Ticks, CronError> {
        let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
        parser.parse(expression).map(Ticks)
    }

    /// The first tick after `instant`; `None` when there is none within a year.
    pub(crate) fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let mut at = after(whole_seconds(instant), SECOND);
        while span(instant, at) < YEAR {
            let second = at.as_second();
            let skip = match self.mismatch(at) {
                None => return Some(at),
                Some(unit) => unit - second.rem_euclid(unit),
            };
            at = after(at, Duration::from_secs(skip.unsigned_abs()));
        }
        None
    }

    /// The seconds of the largest unit that does not fit: nothing of that day, hour, minute or
    /// second does.
    fn mismatch(&self, at: Timestamp) -> Option<i64> {
        let (date, time) = {
            let at = at.to_zoned(TimeZone::UTC);
            (at.date(), at.time())
        };
        let (year, month, day) =
            (i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs());
        let (hour, minute, second) = (
            time.hour().unsigned_abs(),
            time.minute().unsigned_abs(),
            time.second().unsigned_abs(),
        );
        let pattern = &self.0.pattern;
        let month_fits = pattern
            .year_match(year)
            .and_then(|fits| Ok(fits && pattern.month_match(month.into())?));
        let day_fits = month_fits
            .and_then(|fits| Ok(fits && pattern.day_match(year, month.into(), day.into())?));
        let units = [
            (day_fits, 86_400),
            (pattern.hour_match(hour.into()), 3600),
            (pattern.minute_match(minute.into()), 60),
            (pattern.second_match(second.into()), 1),
        ];
        units.into_iter().find(|(fits, _)| !matches!(fits, Ok(true))).map(|(_, unit)| unit)
    }
}

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expose::overview::{LoopAge, Overview};
    use crate::expose::status::StatusView;
    use crate::expose::testing::{change, converged, hold, rejected};
    use crate::plan::credits::Credits;
    use crate::plan::step::Cause;

    #[test]
    fn ticks_are_those_of_the_expression() {
        let first = |expression: &str| -> Vec<String> {
            let ticks = Ticks::new(expression).unwrap();
            let mut at: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
            let mut next = || {
                at = ticks.next_after(at)?;
                Some(at.to_string())
            };
            (0..3).filter_map(|_| next()).collect()
        };
        assert_eq!(
            first("0 */15 * * * *"),
            ["2026-01-05T00:15:00Z", "2026-01-05T00:30:00Z", "2026-01-05T00:45:00Z"]
        );
        assert_eq!(
            first("30 5 3 * * SUN"),
            ["2026-01-11T03:05:30Z", "2026-01-18T03:05:30Z", "2026-01-25T03:05:30Z"]
        );
        assert_eq!(first("0 0 0 29 2 *"), [""; 0]);
    }

    #[test]
    fn the_status_names_the_next_renewal_and_the_next_look_of_a_daemon() {
        let overview = converged(2);
        let line = |overview: &Overview, loop_age, minutes: u64| {
            let now = after(overview.started_at, Duration::from_secs(60 * minutes));
            let status = StatusView::of(overview, loop_age, now);
            status
                .to_text(&crate::expose::status::Layout::PLAIN)
                .lines()
                .find(|line| line.starts_with("account"))
                .unwrap()
                .to_owned()
        };
        let turning = LoopAge(Duration::ZERO);
        let text = line(&overview, turning, 1);
        assert!(text.ends_with("next renewal of c1 in 11h 59m, next look in 14m"), "{text}");
        let text = line(&overview, turning, 12 * 60);
        assert!(text.ends_with("next renewal of c1 is due, next look is due"), "{text}");

        let mut poor = converged(2);
        change(&mut poor, |report| report.credits = Some(tight()));
        let text = line(&poor, turning, 1);
        assert!(text.contains("next look in 11h 59m"), "audits are left out: {text}");
    }

    #[test]
    fn a_channel_that_is_not_renewed_is_not_the_next_renewal() {
        let next = |overview: &Overview| {
            let status = StatusView::of(overview, LoopAge(Duration::ZERO), overview.started_at);
            let pass = status.accounts[0].pass.clone();
            pass.and_then(|pass| pass.next_renewal).map(|next| next.channel)
        };
        let mut overview = converged(2);
        hold(&mut overview, 1, Cause::Paused { step: None });
        assert_eq!(next(&overview).as_deref(), Some("c2"));
        hold(&mut overview, 2, rejected());
        assert_eq!(next(&overview), None);
    }

    #[test]
    fn without_a_daemon_the_status_names_no_next_look() {
        let mut overview = converged(2);
        change(&mut overview, |report| "none".clone_into(&mut report.wake));
        let now = after(overview.started_at, Duration::from_secs(60));
        let status = StatusView::of(&overview, LoopAge::NO_LOOP, now);
        let pass = status.accounts[0].pass.clone().unwrap();
        assert_eq!((status.next_audit, pass.next_look), (None, None));
        assert!(
            status.to_text(&crate::expose::status::Layout::PLAIN).contains(
                "no daemon is running: nothing is renewed (next renewal of c1 in 11h 59m), and the \
                 next look is not known"
            ),
            "{}",
            status.to_text(&crate::expose::status::Layout::PLAIN)
        );
    }

    /// Credits so few that audits are left out.
    fn tight() -> Credits {
        let told_at = converged(1).started_at;
        let until = after(told_at, Duration::from_secs(86_400));
        Credits { remaining: 5, told_at, until, reserve: 1000, per_day: None }
    }
}
