//! The audit: at each tick of a cron expression every account is woken to look for drift, unless
//! its credits are low.
//!
//! Renewal never depends on it. The job's body sends one wake and returns, because the cron crate
//! starts a job again while its last run is still going, and does not wait for jobs when it stops.

use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use super::scheduler::Wakes;

/// A running cron.
pub struct Audits {
    scheduler: JobScheduler,
}

/// The audit cannot be scheduled.
#[derive(Debug, thiserror::Error)]
#[error("audit = \"{expression}\" cannot be scheduled")]
pub struct CronError {
    expression: String,
    source: JobSchedulerError,
}

impl Audits {
    /// Wakes everything at each tick of a six-field expression, in UTC.
    pub async fn start(expression: &str, wakes: Wakes) -> Result<Audits, CronError> {
        let failed = |source| CronError { expression: expression.to_owned(), source };
        let scheduler = JobScheduler::new().await.map_err(failed)?;
        let job = Job::new_async(expression, move |_, _| {
            let wakes = wakes.clone();
            Box::pin(async move { wakes.audit().await })
        });
        scheduler.add(job.map_err(failed)?).await.map_err(failed)?;
        scheduler.start().await.map_err(failed)?;
        Ok(Audits { scheduler })
    }

    /// Stops ticking.
    pub async fn stop(mut self) {
        if let Err(error) = self.scheduler.shutdown().await {
            tracing::debug!(%error, "the cron did not stop cleanly");
        }
    }
}
