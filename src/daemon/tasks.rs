//! Named tasks: a table of what runs, spawned as one and joined as one.
//!
//! A task that ends by itself ends the process, so each has a name to end it under. The table is
//! made in [`super::assembly`]; whoever spawns it holds all of it and detaches nothing.

use std::future::Future;
use std::pin::Pin;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::cluster::node::NodeError;

use super::cron::CronError;
use super::scheduler::PassDied;

/// One row of the table.
pub struct Task {
    name: &'static str,
    work: Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>,
}

/// The reason why a task ended that should not have.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A pass died.
    #[error("the daemon cannot go on")]
    Died(#[from] PassDied),
    /// The audit cannot be scheduled.
    #[error("the audit cannot be scheduled")]
    Cron(#[from] CronError),
    /// It is no member of its cluster any more.
    #[error("the member of the cluster broke off")]
    Member(#[from] NodeError),
    /// It ended by itself.
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

/// The two steps of stopping.
#[derive(Clone, Default)]
pub struct Stop {
    /// No new pass is begun.
    pub asked: CancellationToken,
    /// The last pass has ended, and everybody else ends too.
    pub closing: CancellationToken,
}

/// Tasks that run.
pub struct Tasks(JoinSet<(&'static str, Result<(), TaskError>)>);

impl Task {
    /// A task that ends when it is told to.
    pub fn new(name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> Task {
        Task::fallible(name, async {
            work.await;
            Ok(())
        })
    }

    /// A task that can also fail.
    pub fn fallible(
        name: &'static str,
        work: impl Future<Output = Result<(), TaskError>> + Send + 'static,
    ) -> Task {
        Task { name, work: Box::pin(work) }
    }
}

impl Tasks {
    /// Spawns them all.
    pub fn spawn(table: impl IntoIterator<Item = Task>) -> Tasks {
        Tasks(
            table
                .into_iter()
                .map(|Task { name, work }| async move { (name, work.await) })
                .collect(),
        )
    }

    /// Returns when one ends by itself, which is a failure.
    pub async fn failed(&mut self) -> TaskError {
        match self.0.join_next().await {
            Some(Ok((_, Err(error)))) => error,
            Some(Ok((name, Ok(())))) => TaskError::Ended(name),
            Some(Err(error)) => died(error),
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended, as they were told to. The first failure is the error.
    ///
    /// # Errors
    /// When one failed or panicked.
    pub async fn joined(&mut self) -> Result<(), TaskError> {
        let mut result = Ok(());
        while let Some(ended) = self.0.join_next().await {
            result = result.and(ended.map_err(died).and_then(|(_, ended)| ended));
        }
        result
    }

    /// Drops all of them where they stand.
    ///
    /// # Errors
    /// When one had panicked.
    pub async fn dropped(mut self) -> Result<(), TaskError> {
        self.0.abort_all();
        let mut result = Ok(());
        while let Some(ended) = self.0.join_next().await {
            let panicked = ended.err().filter(JoinError::is_panic);
            result = result.and(panicked.map_or(Ok(()), |error| Err(died(error))));
        }
        result
    }
}

fn died(error: JoinError) -> TaskError {
    PassDied(error).into()
}
