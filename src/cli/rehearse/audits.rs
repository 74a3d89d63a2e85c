//! The audit on virtual time. The daemon's own cron knows only the world's clock; the expression
//! and its parser are the same, and when it ticks is read from the parsed pattern.

use std::time::Duration;

use croner::parser::{CronParser, Seconds};
use croner::{Cron, errors::CronError};
use jiff::tz::TimeZone;

use crate::model::time::{Timestamp, after, span, whole_seconds};

/// An expression that ticks.
#[derive(Clone, Debug)]
pub(super) struct Audits(Cron);

impl Audits {
    /// The audits of the six fields of `audit`.
    pub(super) fn new(expression: &str) -> Result<Audits, CronError> {
        CronParser::builder()
            .seconds(Seconds::Required)
            .dom_and_dow(true)
            .build()
            .parse(expression)
            .map(Audits)
    }

    /// The first tick after `instant`; `None` when there is none within a year.
    pub(super) fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
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

    #[test]
    fn ticks_are_those_of_the_expression() {
        let ticks = |expression: &str| -> Vec<String> {
            let audits = Audits::new(expression).unwrap();
            let mut at: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
            let mut next = || {
                at = audits.next_after(at)?;
                Some(at.to_string())
            };
            (0..3).filter_map(|_| next()).collect()
        };
        assert_eq!(
            ticks("0 */15 * * * *"),
            ["2026-01-05T00:15:00Z", "2026-01-05T00:30:00Z", "2026-01-05T00:45:00Z"]
        );
        assert_eq!(
            ticks("30 5 3 * * SUN"),
            ["2026-01-11T03:05:30Z", "2026-01-18T03:05:30Z", "2026-01-25T03:05:30Z"]
        );
        assert_eq!(ticks("0 0 0 29 2 *"), [""; 0]);
    }
}
