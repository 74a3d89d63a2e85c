//! The audit: at each tick of a cron expression every account is woken to look for drift, unless
//! its credits are low.
//!
//! Renewal never depends on it. What a tick does is one wake, [`Wakes::audit`], whoever ticks: on
//! the machine's clock the cron crate, and on any other clock (of a demo, a rehearsal, a test) a
//! task that reads the ticks from the same expression. The cron crate starts a job again while its
//! last run is still going, and does not wait for jobs when it stops: so the body of the job only
//! sends.

use std::sync::Arc;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::TimeZone;
use tokio::task::JoinSet;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::clock::{Clock, LOOK_AT_CLOCK};
use crate::model::time::{Timestamp, after, span, whole_seconds};

use super::scheduler::{Links, Wakes, chain};

/// The audit cannot be scheduled.
#[derive(Debug, thiserror::Error)]
#[error("audit = \"{expression}\" cannot be scheduled")]
pub struct CronError {
    expression: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Ticks as the settings in force say, until `stop`.
///
/// # Errors
/// When it cannot begin. A later expression that cannot be scheduled leaves the former in force.
pub async fn run(
    links: Links,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), CronError> {
    let mut fleet = links.fleet.clone();
    let mut expression = fleet.borrow_and_update().settings.audit.clone();
    let mut ticking = Ticking::start(&expression, &links.wakes, &clock).await?;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            // Once it cannot change any more, the daemon is stopping.
            Ok(()) = fleet.changed() => {}
        }
        let next = fleet.borrow_and_update().settings.audit.clone();
        if next == expression {
            continue;
        }
        match Ticking::start(&next, &links.wakes, &clock).await {
            Ok(started) => std::mem::replace(&mut ticking, started).stop().await,
            Err(error) => error!(error = chain(&error), "the audit goes on at its old times"),
        }
        expression = next;
    }
    ticking.stop().await;
    Ok(())
}

/// Who ticks.
enum Ticking {
    /// The cron crate, by the machine's clock.
    Machine(JobScheduler),
    /// A task, by the daemon's clock. It ends with this value.
    Own(JoinSet<()>),
}

impl Ticking {
    /// Six fields, in UTC.
    async fn start(
        expression: &str,
        wakes: &Wakes,
        clock: &Arc<dyn Clock>,
    ) -> Result<Ticking, CronError> {
        let (wakes, clock) = (wakes.clone(), clock.clone());
        let failed = |source| CronError { expression: expression.to_owned(), source };
        if clock.is_the_machines() {
            let cron = start_cron(expression, wakes).await;
            return cron.map(Ticking::Machine).map_err(|error| failed(Box::new(error)));
        }
        let ticks = Ticks::new(expression).map_err(|error| failed(Box::new(error)))?;
        let mut task = JoinSet::new();
        task.spawn(async move { tick(&ticks, &wakes, &*clock).await });
        Ok(Ticking::Own(task))
    }

    async fn stop(self) {
        match self {
            Ticking::Machine(mut cron) => {
                if let Err(error) = cron.shutdown().await {
                    debug!(%error, "the cron did not stop cleanly");
                }
            }
            Ticking::Own(mut task) => task.shutdown().await,
        }
    }
}

async fn start_cron(expression: &str, wakes: Wakes) -> Result<JobScheduler, JobSchedulerError> {
    let cron = JobScheduler::new().await?;
    let job = Job::new_async(expression, move |_, _| {
        let wakes = wakes.clone();
        Box::pin(async move { wakes.audit().await })
    });
    cron.add(job?).await?;
    cron.start().await?;
    Ok(cron)
}

/// For as long as there is a next tick. A clock that is set back ticks anew.
async fn tick(ticks: &Ticks, wakes: &Wakes, clock: &dyn Clock) {
    let mut seen = clock.now();
    let mut next = ticks.next_after(seen);
    while let Some(tick) = next {
        clock.sleep(span(clock.now(), tick).min(LOOK_AT_CLOCK)).await;
        let now = clock.now();
        if now >= tick {
            wakes.audit().await;
        }
        if now >= tick || now < seen {
            next = ticks.next_after(now);
        }
        seen = now;
    }
}

/// An expression that ticks.
struct Ticks(Cron);

impl Ticks {
    fn new(expression: &str) -> Result<Ticks, croner::errors::CronError> {
        let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
        parser.parse(expression).map(Ticks)
    }

    /// The first tick after `instant`; `None` when there is none within a year.
    fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
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
}
