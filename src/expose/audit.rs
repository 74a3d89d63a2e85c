//! When audits are: the ticks of a cron expression of six fields, in UTC.

use std::time::Duration;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;

use crate::model::time::{Timestamp, after, span, whole_seconds};

/// An expression that ticks.
#[derive(Clone, Debug)]
pub struct Ticks(Cron);

impl Ticks {
    /// Of an expression.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(expression: &str) -> Result<Ticks, CronError> {
        let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
        parser.parse(expression).map(Ticks)
    }

    /// The first tick after `instant`; `None` when there is none within a year.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
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
    use crate::expose::overview::LoopAge;
    use crate::expose::status::StatusView;
    use crate::expose::testing::converged;

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
    fn the_status_names_the_next_renewal_and_the_next_audit_of_a_daemon() {
        let overview = converged(2);
        let now = after(overview.started_at, Duration::from_secs(60));
        let status = |loop_age| StatusView::of(&overview, loop_age, now);
        let running = status(LoopAge(Duration::ZERO));
        let quarter = after(overview.started_at, Duration::from_secs(15 * 60));
        assert_eq!(running.next_audit, Some(quarter));
        let pass = running.accounts[0].pass.as_ref().unwrap();
        let dues = running.accounts[0].channels.iter().map(|channel| channel.due_at);
        assert_eq!(pass.next_renewal, dues.min().flatten());
        assert!(pass.next_renewal > running.next_audit);
        assert_eq!(status(LoopAge::NO_LOOP).next_audit, None);
    }
}
