//! The scheduler's side of sharing: accounts come and go while it turns.
//!
//! An account that comes keeps the time of its next look, where its last holder left it at rest and
//! sent nothing since: a machine that dies makes no herd of looks. Any other is looked at at once,
//! and once more when a call that its last holder sent at the very end can have no effect any more:
//! whatever such a call did, that look finds it.
//!
//! An account that goes keeps the pass that is under way, unless it is lost: then nothing of that
//! pass can be written down, so no further step of it is begun. Whoever lets accounts go is told
//! of each when nothing of it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::daemon::fleet::Fleet;
use crate::expose::overview::{ClusterState, Overview};
use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, after};
use crate::plan::step::{Cause, Held};
use crate::reconcile::report::{self, AccountReport};
use crate::store::{Sealer, Store, StoreError};

use super::{Message, Scheduler, Slot, chain, first_emergency};

/// The accounts that go.
pub struct Going {
    /// Which.
    pub accounts: Vec<AccountName>,
    /// True when another machine holds them already, or may.
    pub are_lost: bool,
    /// Told of each of them when nothing of it runs.
    pub gone: mpsc::UnboundedSender<AccountName>,
}

/// An account that has come, with what is known of it already.
type Incoming = (AccountName, Option<Arc<AccountReport>>);

/// A pass that goes on for an account that is held no longer.
pub(super) struct Leaving {
    gone: mpsc::UnboundedSender<AccountName>,
}

impl Scheduler {
    /// The fleet that is held of one that was declared.
    pub(super) fn held_of(&self, declared: Arc<Fleet>) -> Arc<Fleet> {
        let Some(held) = &self.held else { return declared };
        let former = self.fleet.borrow().clone();
        match declared.holding(held, &self.means, &former) {
            Ok(fleet) => Arc::new(fleet),
            Err(error) => {
                error!(error = chain(&error), "the accounts cannot be held");
                former
            }
        }
    }

    /// The fleet stays, and as much of it is held as is to be held.
    fn hold_of_the_same(&self) -> Arc<Fleet> {
        let declared = self.fleet.borrow().clone();
        let fleet = self.held_of(declared);
        self.fleet.send_replace(fleet.clone());
        fleet
    }

    /// The loop has ended, and with it every pass: whoever let accounts go meanwhile is told so.
    pub(super) fn let_go_of_the_rest(&mut self) {
        self.inbox.close();
        while let Ok(message) = self.inbox.try_recv() {
            if let Message::LetGo(going) = message {
                self.let_go(going);
            }
        }
    }

    /// These are held from here on: the store has them.
    pub(super) fn gain(&mut self, accounts: Vec<AccountName>) {
        let Some(held) = &mut self.held else { return };
        held.extend(accounts.iter().cloned());
        let fleet = self.hold_of_the_same();
        let come = accounts.into_iter().filter(|name| fleet.subjects.contains_key(name));
        let come: Vec<AccountName> = come.collect();
        let reports: Vec<_> = come.into_iter().map(|name| self.take_in(name, &fleet)).collect();
        self.publish(|overview| {
            for (name, report) in reports {
                let entry = overview.accounts.entry(name).or_default();
                *entry = report.or(entry.take());
            }
            show_elsewhere(overview, &fleet);
        });
    }

    /// A slot for an account that has come. One that was left at rest keeps its time, so that those
    /// of a machine that died are not all looked at at once; any other is due now.
    fn take_in(&mut self, name: AccountName, fleet: &Fleet) -> Incoming {
        let now = self.clock.now();
        let report = self.left_at_rest(&name, fleet, now);
        let emergency_at = match &report {
            Some(report) => report.channels.values().filter_map(|it| it.emergency_at).min(),
            None => self.emergency_of(&name),
        };
        let slot = self.slots.entry(name.clone()).or_default();
        (slot.emergency_at, slot.leaving) = (emergency_at, None);
        slot.looks_again = report.is_none();
        let Some(report) = report else {
            self.wake(&name, TAKEN_OVER, None);
            return (name, None);
        };
        slot.why = "timer".to_owned();
        (slot.due, slot.planned_at) = (Some(report.next_wake), Some(report.next_wake));
        self.queue.put(&name, slot.wait(report.next_wake));
        self.store.rest(&name);
        (name, Some(Arc::new(report)))
    }

    /// The memory of an account that its last owner left at rest, when no audit was due since.
    fn left_at_rest(
        &self,
        name: &AccountName,
        fleet: &Fleet,
        now: Timestamp,
    ) -> Option<AccountReport> {
        let subject = fleet.subjects.get(name)?;
        let report = report::at_rest(subject, &self.store, now).unwrap_or_else(|error| {
            warn!(account = %name, error = chain(&error), "the memory of an account cannot be read, so it is looked at");
            None
        })?;
        let audit = self.overview.borrow().next_audit(report.at);
        Some(report).filter(|_| audit.is_none_or(|audit| audit > now))
    }

    /// These are held no longer.
    pub(super) fn let_go(&mut self, going: Going) {
        let Going { accounts, are_lost, gone } = going;
        let Some(held) = &mut self.held else { return };
        let names: BTreeSet<AccountName> = accounts.into_iter().collect();
        held.retain(|name| !names.contains(name));
        let fleet = self.hold_of_the_same();
        self.queue.retain(|name| !names.contains(name));
        for name in &names {
            match self.slots.get_mut(name).filter(|slot| slot.running) {
                Some(slot) => {
                    slot.leaving = Some(Leaving { gone: gone.clone() });
                    if are_lost {
                        slot.stop.cancel();
                    }
                }
                None => {
                    self.slots.remove(name);
                    // Whoever asked may have gone.
                    let _heard = gone.send(name.clone());
                }
            }
        }
        self.publish(|overview| {
            overview.accounts.retain(|name, _| !names.contains(name));
            overview.tallies.retain(|name, _| !names.contains(name));
            overview.recoveries.retain(|name, _| !names.contains(name));
            show_elsewhere(overview, &fleet);
        });
    }

    /// These are looked at as if they were taken over: at once, and when nothing can come any more.
    pub(super) fn sent_late(&mut self, accounts: &[AccountName]) {
        for name in accounts {
            if let Some(slot) = self.slots.get_mut(name) {
                slot.looks_again = true;
                warn!(account = %name, "a machine that served the account before may have sent something late, so it is looked at");
                self.wake(name, SENT_LATE, None);
            }
        }
    }

    /// The machines that share the accounts look so. Once the engine answers again, whatever waited
    /// for it is done, or written.
    pub(super) fn clustered(&mut self, state: ClusterState) {
        let overview = self.overview.borrow().clone();
        let known = overview.cluster.as_ref();
        let was_active = known.is_none_or(|known| known.is_active);
        let emergency = known.and_then(|known| known.emergency).filter(|_| !state.is_active);
        if state.is_active && !was_active {
            let held = self.slots.keys().filter(|name| self.waits_for_engine(&overview, name));
            for name in held.cloned().collect::<Vec<_>>() {
                self.wake(&name, ENGINE_BACK, None);
            }
        }
        let fleet = self.fleet.borrow().clone();
        self.publish(|overview| {
            overview.cluster = Some(ClusterState { emergency, ..state });
            show_elsewhere(overview, &fleet);
        });
    }

    fn waits_for_engine(&self, overview: &Overview, name: &AccountName) -> bool {
        let report = overview.accounts.get(name).and_then(Option::as_ref);
        let is_held = |held: &Held| matches!(held.cause, Cause::NoEngine { .. });
        report.is_some_and(|report| report.after.held.iter().any(is_held))
            || self.store.is_behind(name)
    }

    /// Tells that the pass of an account that is held no longer has ended.
    pub(super) fn left(&self, account: &AccountName, slot: &Slot) {
        if let Some(Leaving { gone }) = &slot.leaving {
            // Whoever asked may have gone.
            let _heard = gone.send(account.clone());
        }
    }

    fn emergency_of(&self, account: &AccountName) -> Option<Timestamp> {
        let records = self.store.records(account).unwrap_or_default();
        first_emergency(records.values().filter_map(|record| record.grant))
    }

    /// When an account is looked at again after this pass.
    pub(super) fn next_look(&mut self, report: &AccountReport) -> Timestamp {
        let slot = self.slots.get_mut(&report.account);
        let looks_again = slot.is_some_and(|slot| std::mem::take(&mut slot.looks_again));
        let next = report.next_wake;
        if looks_again { next.min(after(report.at, LATE_CALL_OVER)) } else { next }
    }

    /// True when a pass could write nothing because the account may be another machine's by now, or
    /// because the engine does not answer. Neither is the store's failure.
    pub(super) fn given_up(&self, account: &AccountName, error: &StoreError) -> bool {
        let is_held = self.held.as_ref().is_none_or(|held| held.contains(account));
        matches!(error, StoreError::Fenced { .. } | StoreError::Unwritten { .. }) || !is_held
    }
}

/// Shows the accounts that are not held here. One that cannot be worked on here is no trouble of
/// the fleet while another machine serves it.
pub(super) fn show_elsewhere(overview: &mut Overview, fleet: &Fleet) {
    let cluster = overview.cluster.as_ref();
    let is_served =
        |name: &&AccountName| cluster.is_some_and(|cluster| cluster.unfit.contains_key(*name));
    let (served, unusable): (BTreeMap<_, _>, BTreeMap<_, _>) =
        fleet.unusable.clone().into_iter().partition(|(name, _)| is_served(&name));
    overview.elsewhere = fleet.elsewhere.len() + served.len();
    overview.unusable = unusable;
}

/// The secret part of an account in the engine is sealed by its credentials. Nothing happens where
/// accounts live in a database.
pub(super) async fn reseal(store: &Store, former: &Fleet, fleet: &Fleet) {
    for (name, subject) in &fleet.subjects {
        let credentials = &subject.desired.account.credentials;
        let known = former.subjects.get(name).map(|known| &known.desired.account.credentials);
        if known.is_some_and(|known| known != credentials) {
            // One that is held no longer is taken by the credentials of then.
            let _held = store.reseal(name, Sealer::of(credentials)).await;
        }
    }
}

const TAKEN_OVER: &str = "taken over";
const SENT_LATE: &str = "sent late";
const ENGINE_BACK: &str = "the engine answers again";
/// A call that was under way when its sender was stopped has had its effect after the time-out of a
/// request, and after the pause of a stopped process that was noticed.
const LATE_CALL_OVER: Duration = Duration::from_secs(35);
