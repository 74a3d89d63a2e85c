//! Hands over what was missed: reads what changed in a gap, and posts it to the receiver as Zoho
//! would have. Off unless `[backfill]` says otherwise.
//!
//! A task of its own, as canaries are: no pass waits for it, and it waits for the calls of passes.
//! All that it knows is in the store, so that each turn begins anew from there, after a crash as
//! well. A turn has three parts:
//!
//! - `made`: gaps that are due become recoveries, and what people asked for is done;
//! - `reading`: one page after the other of one module of each account, within its credits;
//! - `handing`: one delivery after the other to each URL, as fast as the rule allows.
//!
//! A module is read completely before anything of it is handed over. So there is a count before
//! anything floods a receiver, and a receiver's own writing cannot feed the reading.
//!
//! An account rests once nothing of it is open, and no gap is about to be due. It is looked at
//! again when something is asked for, when another config is in force, and, where it has a rule,
//! after its next pass: only passes write gaps. While all rest, the task waits for that alone.
//!
//! Each turn publishes how recoveries stand, and one that ends, or comes to wait for a person,
//! wakes its account. While the disk fails nothing is done: a place that is in memory only would be
//! begun again.
//!
//! Deliberately absent: every decision about gaps, rows, deliveries and waits
//! ([`crate::backfill`]).

mod handing;
mod made;
mod reading;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::backfill::{Recovery, Standing, State};
use crate::clock::{Clock, LOOK_AT_CLOCK};
use crate::expose::overview::Overview;
use crate::model::backfill::{BackfillMode, BackfillRule};
use crate::model::channel::{AccountName, Spec};
use crate::model::secret::Fingerprint;
use crate::reconcile::subject::Subject;
use crate::store::{Store, StoreError};
use crate::zoho::transport::Transport;

use self::made::Open;
use super::fleet::Fleet;
use super::scheduler::{Links, Wakes, chain};

/// The task.
#[derive(Clone)]
pub(crate) struct Backfill {
    wakes: Wakes,
    overview: watch::Receiver<Arc<Overview>>,
    fleet: watch::Receiver<Arc<Fleet>>,
    asked: Arc<Notify>,
    clock: Arc<dyn Clock>,
    receivers: Arc<dyn Transport>,
    store: Store,
    /// Until when an account is left alone, as [`Clock::elapsed`] tells it: Zoho did not answer.
    left_alone: Arc<Mutex<BTreeMap<AccountName, Duration>>>,
}

/// How long until there may be something to do again.
type Rest = Duration;

/// The accounts that rest, with the passes that they had had by then.
type Resting = BTreeMap<AccountName, u64>;

impl Backfill {
    /// The task of this daemon.
    pub(crate) fn new(
        links: &Links,
        clock: Arc<dyn Clock>,
        receivers: Arc<dyn Transport>,
        store: Store,
    ) -> Backfill {
        let Links { wakes, overview, fleet, asked, pulse: _, window: _ } = links.clone();
        let left_alone = Arc::default();
        Backfill { wakes, overview, fleet, asked, clock, receivers, store, left_alone }
    }

    /// Recovers until `closing`.
    pub(crate) async fn run(mut self, closing: CancellationToken) {
        let turns = async {
            let mut resting = Resting::new();
            let (mut wait, mut has_rules) = (Some(Duration::ZERO), false);
            loop {
                let waited = async {
                    match wait {
                        Some(wait) => self.clock.sleep(wait).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    changed = self.fleet.changed() => match changed {
                        Ok(()) => resting.clear(),
                        Err(_) => std::future::pending().await,
                    },
                    () = self.asked.notified() => resting.clear(),
                    // Passes come in crowds, and no gap of theirs is due for a minute.
                    Ok(()) = self.overview.changed(), if wait.is_none() => {
                        wait = has_rules.then_some(LOOK_AT_CLOCK);
                        continue;
                    }
                    () = waited => {}
                }
                let fleet = self.fleet.borrow_and_update().clone();
                has_rules = fleet.subjects.values().any(|subject| has_rule(subject));
                wait = self.turn(&fleet, &mut resting).await;
            }
        };
        tokio::select! {
            () = closing.cancelled() => {}
            () = turns => {}
        }
    }

    /// Everything that can be done, for about [`TURN`], of accounts that do not rest. No wait is an
    /// answer: all of them do.
    async fn turn(&self, fleet: &Fleet, resting: &mut Resting) -> Option<Rest> {
        if self.store.trouble().is_some() {
            return Some(LOOK_AT_CLOCK);
        }
        let mut at_work: JoinSet<Result<Rest, StoreError>> = JoinSet::new();
        let mut by_url: BTreeMap<Fingerprint, Vec<(Arc<Subject>, Recovery)>> = BTreeMap::new();
        let passes = self.passes();
        let is_awake = |one: &&Arc<Subject>, resting: &Resting| {
            let rested = resting.get(one.name());
            rested.is_none_or(|rested| has_rule(one) && *rested != of(&passes, one))
        };
        let awake: Vec<_> = fleet.subjects.values().filter(|one| is_awake(one, resting)).collect();
        for subject in &awake {
            resting.remove(subject.name());
            let Open { recoveries: open, is_settling } = match self.open(subject).await {
                Ok(open) => open,
                Err(error) => {
                    warn!(error = chain(&error), "what was missed cannot be looked after");
                    continue;
                }
            };
            if open.is_empty() && !is_settling {
                resting.insert(subject.name().clone(), of(&passes, subject));
            }
            if open.iter().any(|recovery| recovery.state == State::Reading) {
                let (task, subject) = (self.clone(), Arc::clone(subject));
                at_work.spawn(async move { task.read(&subject).await });
            }
            for recovery in open.into_iter().filter(|one| one.state == State::Handing) {
                let of_url = by_url.entry(recovery.notify_url).or_default();
                of_url.push((Arc::clone(subject), recovery));
            }
        }
        for queue in by_url.into_values() {
            let task = self.clone();
            at_work.spawn(async move { task.hand_over(queue).await });
        }
        let wait = shortest_wait(at_work).await;
        awake.iter().any(|one| !resting.contains_key(one.name())).then_some(wait)
    }

    /// The passes that each account has had.
    fn passes(&self) -> BTreeMap<AccountName, u64> {
        let overview = self.overview.borrow();
        overview.tallies.iter().map(|(account, tally)| (account.clone(), tally.passes)).collect()
    }

    /// Does `work` of one account for about [`TURN`] at most, until it says how long to wait.
    async fn while_there_is_time<F>(&self, mut work: impl FnMut() -> F) -> Result<Rest, StoreError>
    where
        F: Future<Output = Result<Option<Rest>, StoreError>>,
    {
        let begun = self.clock.elapsed();
        while self.clock.elapsed().saturating_sub(begun) < TURN {
            if let Some(wait) = work().await? {
                return Ok(wait);
            }
        }
        Ok(Duration::ZERO)
    }

    /// Writes how far recoveries of an account have come, and wakes it when one has ended, or
    /// waits.
    async fn news(&self, account: &AccountName, recoveries: &[Recovery]) -> Result<(), StoreError> {
        if !recoveries.is_empty() {
            self.store.write_recoveries(account, recoveries).await?;
            self.wakes.wake(Some(account.clone()), "backfill").await;
        }
        Ok(())
    }

    /// Publishes how the recoveries of an account stand, when that is new.
    async fn publish(&self, subject: &Subject, known: &[Recovery]) {
        let (account, standing) = (subject.name(), Standing::of(known));
        let is_new = self.overview.borrow().recoveries.get(account) != Some(&standing);
        if is_new && (!known.is_empty() || has_rule(subject)) {
            self.wakes.tell_recoveries(account.clone(), standing).await;
        }
    }

    fn leave_alone(&self, account: &AccountName, wait: Duration) {
        let until = self.clock.elapsed() + wait;
        let mut left_alone = self.left_alone.lock().unwrap_or_else(PoisonError::into_inner);
        left_alone.insert(account.clone(), until);
    }

    /// How long the account is still left alone.
    fn is_left_alone(&self, account: &AccountName) -> Option<Rest> {
        let left_alone = self.left_alone.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = left_alone.get(account)?.saturating_sub(self.clock.elapsed());
        (!wait.is_zero()).then_some(wait)
    }
}

fn of(passes: &BTreeMap<AccountName, u64>, subject: &Subject) -> u64 {
    passes.get(subject.name()).copied().unwrap_or_default()
}

fn has_rule(subject: &Subject) -> bool {
    subject.desired.specs.values().any(|spec| spec.backfill.is_some())
}

/// The rule that a recovery goes by; none while its channel's events are not handed over. One that
/// somebody asked for needs none.
fn rule_of(spec: &Spec, recovery: &Recovery) -> Option<BackfillRule> {
    spec.backfill.or_else(|| recovery.asked.map(|_| BackfillRule::new(BackfillMode::On)))
}

async fn shortest_wait(mut at_work: JoinSet<Result<Rest, StoreError>>) -> Rest {
    let mut shortest = LOOK_AT_CLOCK;
    while let Some(ended) = at_work.join_next().await {
        match ended {
            Ok(Ok(wait)) => shortest = shortest.min(wait),
            Ok(Err(error)) => warn!(error = chain(&error), "a recovery cannot be kept"),
            Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
            Err(_) => {}
        }
    }
    shortest
}

/// How long reading and handing over go on before the next turn looks at everything anew.
const TURN: Duration = Duration::from_secs(20);
