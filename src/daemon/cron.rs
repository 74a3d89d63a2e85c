//! The audit: at each tick of a cron expression every account is woken to look for drift, unless
//! its credits are low.
//!
//! Renewal never depends on it. What a tick does is one wake, [`Wakes::audit`], whoever ticks: on
//! the machine's clock the cron crate, and on any other clock (of a demo, a rehearsal, a test) a
//! task that reads the ticks from the same expression. The cron crate starts a job again while its
//! last run is still going, and does not wait for jobs when it stops: so the body of the job only
//! sends.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::clock::{Clock, LOOK_AT_CLOCK};
use crate::expose::audit::Ticks;
use crate::model::time::span;

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
pub(crate) async fn run(
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
