//! The lives of records: creation, edits, the recycle bin and the way back, conversion. Some changes
//! wait until a client has read a page.

use jiff::Timestamp;

use super::super::change::{Change, Delivery};
use super::super::state::Zoho;
use super::knobs::RecordKnobs;
use super::missed::{Missed, Why};
use super::store::{Id, Records, Values};
use crate::model::events::Operation;

impl Zoho {
    /// Deletes records for good, out of the recycle bin or past it. Those that were not in it are
    /// deleted with everything that follows from that.
    pub fn purge(&mut self, org: &str, module: &str, ids: &[u64], now: Timestamp) -> Vec<Delivery> {
        let at = self.knobs.records.cut(now);
        let is_there = |zoho: &Zoho, id: &u64| zoho.holds(org, module, *id);
        let there: Vec<u64> = ids.iter().copied().filter(|id| is_there(self, id)).collect();
        let deliveries = if there.is_empty() {
            Vec::new()
        } else {
            self.record_changed(org, &Change::of(module, Operation::Delete, &there), now)
        };
        if let Some(state) = self.orgs.get_mut(org) {
            let module = state.records.module_mut(module);
            ids.iter().for_each(|id| module.purge(*id, at));
        }
        deliveries
    }

    /// Brings records back from the recycle bin; those that are not in it stay where they are.
    pub fn restore(
        &mut self,
        org: &str,
        module: &str,
        ids: &[u64],
        now: Timestamp,
    ) -> Vec<Delivery> {
        let (touched, notifies) = {
            let knobs = &self.knobs.records;
            (knobs.restore_modifies.then(|| knobs.cut(now)), knobs.restore_notifies)
        };
        let Some(state) = self.orgs.get_mut(org) else { return Vec::new() };
        let records = state.records.module_mut(module);
        let back: Vec<u64> =
            ids.iter().copied().filter(|id| records.restore(*id, touched)).collect();
        self.notify(org, module, notifies, &back, now)
    }

    /// Converts leads.
    pub fn convert(
        &mut self,
        org: &str,
        module: &str,
        ids: &[u64],
        now: Timestamp,
    ) -> Vec<Delivery> {
        let at = self.knobs.records.cut(now);
        let notifies = self.knobs.records.convert_notifies;
        let Some(state) = self.orgs.get_mut(org) else { return Vec::new() };
        let records = state.records.module_mut(module);
        ids.iter().for_each(|id| records.convert(*id, at));
        self.notify(org, module, notifies, ids, now)
    }

    /// Lets a change happen right after the next page of records that a client of this org is
    /// given, one page for each change. Its deliveries are in [`Zoho::take_deliveries`].
    pub fn after_next_page(&mut self, org: &str, change: Change) {
        if self.after_pages.len() < AFTER_PAGES_MAX {
            self.after_pages.push_back((org.to_owned(), change));
        }
    }

    /// The deliveries of changes that happened after a page.
    pub fn take_deliveries(&mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries_due)
    }

    /// An id that no record of an org has had.
    pub fn fresh_id(&mut self, org: &str) -> Option<u64> {
        let state = self.orgs.get_mut(org)?;
        Some(state.records.fresh_ids(&state.digits, 1))
    }

    /// True when a record is there and not deleted.
    pub fn holds(&self, org: &str, module: &str, id: u64) -> bool {
        let state = self.orgs.get(org);
        state.is_some_and(|state| state.records.module(module).rows.contains_key(&id))
    }

    /// The times of a record by which lists tell what happened to it.
    pub fn times(&self, org: &str, module: &str, id: u64) -> Option<Times> {
        let module = self.orgs.get(org)?.records.module(module);
        let deleted = module.deleted.get(&id);
        let record = module.rows.get(&id).or_else(|| deleted.map(|deleted| deleted.record()))?;
        let (created, modified) = (record.created, record.modified);
        Some(Times { created, modified, deleted: deleted.map(|deleted| deleted.at) })
    }

    /// A page was given: the first change that waited for it happens.
    pub(crate) fn page_given(&mut self, org: &str, now: Timestamp) {
        let waiting = self.after_pages.iter().position(|(name, _)| name == org);
        if let Some((_, change)) = waiting.and_then(|at| self.after_pages.remove(at)) {
            let deliveries = self.record_changed(org, &change, now);
            self.deliveries_due.extend(deliveries);
            self.deliveries_due.truncate(DELIVERIES_DUE_MAX);
        }
    }

    /// The notifications that an org's receivers never got, in the order of the changes.
    pub fn missed(&self, org: &str) -> &[Missed] {
        self.orgs.get(org).map(|state| state.missed.lines()).unwrap_or_default()
    }

    /// Takes note that no receiver took this delivery, which Zoho does not make again.
    pub fn undelivered(&mut self, delivery: &Delivery) {
        let Some(state) = self.orgs.get_mut(&delivery.org) else { return };
        let Ok(channel) = delivery.channel.parse() else { return };
        let event = (delivery.module.as_str(), delivery.operation);
        let ids = delivery.ids.iter().filter_map(|id| id.parse().ok());
        state.missed.note_all(channel, event, ids, (delivery.at, Why::Undeliverable));
    }

    /// Tells of records that the store has changed already.
    fn notify(
        &mut self,
        org: &str,
        module: &str,
        operation: Option<Operation>,
        ids: &[u64],
        now: Timestamp,
    ) -> Vec<Delivery> {
        match operation {
            Some(operation) if !ids.is_empty() => {
                self.deliver(org, &Change::of(module, operation, ids), now)
            }
            Some(_) | None => Vec::new(),
        }
    }
}

/// The times of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Its `Created_Time`.
    pub created: Timestamp,
    /// Its `Modified_Time`.
    pub modified: Timestamp,
    /// When it went to the recycle bin; none when it is there.
    pub deleted: Option<Timestamp>,
}

impl Records {
    /// Keeps what a change leaves behind.
    pub(crate) fn apply(&mut self, change: &Change, knobs: &RecordKnobs, now: Timestamp) {
        let at = knobs.cut(now);
        let module = self.module_mut(&change.module);
        for (id, values) in &change.records {
            let Ok(id) = id.parse::<Id>() else { continue };
            if change.related {
                module.ensure(id, at);
                if knobs.related_modifies {
                    module.edit(id, Values::new(), at);
                }
                continue;
            }
            match change.operation {
                Operation::Create => module.create(id, values.clone(), at),
                Operation::Edit => module.edit(id, values.clone(), at),
                Operation::Delete => module.delete(id, at),
            }
        }
    }
}

/// Changes that wait for a page.
const AFTER_PAGES_MAX: usize = 100_000;
/// Deliveries that nobody has asked for yet.
const DELIVERIES_DUE_MAX: usize = 100_000;
