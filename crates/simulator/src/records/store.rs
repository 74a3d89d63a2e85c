//! The records of one org, by module: those that are there, and those that were deleted.
//!
//! A record of which only an edit or a deletion is told was there before: it is taken to be a year
//! old. The indexes by time make a page of 200 cheap among 200,000 records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::field_kind::FieldKind;
use super::knobs::RecordKnobs;
use crate::model::time;

/// A record's id.
pub(crate) type Id = u64;

/// Field values by API name.
pub(crate) type Values = BTreeMap<String, Value>;

/// The records of one org.
#[derive(Debug, Default)]
pub(crate) struct Records {
    modules: BTreeMap<String, Module>,
    /// Stands for every module that nothing ever was in.
    empty: Module,
    made: u64,
}

/// The records of one module.
#[derive(Debug, Default)]
pub(crate) struct Module {
    pub(crate) rows: BTreeMap<Id, Record>,
    pub(crate) by_modified: BTreeSet<(Timestamp, Id)>,
    pub(crate) deleted: BTreeMap<Id, Deleted>,
    pub(crate) by_deleted: BTreeSet<(Timestamp, Id)>,
    /// The fields that any record was ever given a value of, each with the kind of the last.
    pub(crate) fields: BTreeMap<String, FieldKind>,
}

/// A record that is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) created: Timestamp,
    pub(crate) modified: Timestamp,
    pub(crate) converted: bool,
    /// Boxed, because most of a large module has none.
    values: Option<Box<Values>>,
}

/// A record that was deleted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Deleted {
    record: Record,
    pub(crate) at: Timestamp,
    purged: Option<Timestamp>,
}

/// Where a deleted record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// In the recycle bin.
    Recycle,
    /// Deleted for good at this time, and still listed.
    Permanent(Timestamp),
}

impl Records {
    /// A module.
    pub(crate) fn module(&self, name: &str) -> &Module {
        self.modules.get(name).unwrap_or(&self.empty)
    }

    /// A module, to be changed.
    pub(crate) fn module_mut(&mut self, name: &str) -> &mut Module {
        self.modules.entry(name.to_owned()).or_default()
    }

    /// Modules by name, with what is in them.
    pub(crate) fn modules(&self) -> impl Iterator<Item = (&str, &Module)> {
        self.modules.iter().map(|(name, module)| (name.as_str(), module))
    }

    /// So many ids that no record had, the first of them; they begin as all ids of the org do.
    pub(crate) fn fresh_ids(&mut self, digits: &str, count: u64) -> Id {
        let first = self.made + 1;
        self.made += count;
        let org: u64 = digits.parse().unwrap_or_default();
        org.saturating_mul(ORG_ROOM).saturating_add(FIRST_RECORD).saturating_add(first)
    }
}

impl Module {
    /// A record comes into being.
    pub(crate) fn create(&mut self, id: Id, values: Values, at: Timestamp) {
        self.take_deleted(id);
        self.know(&values);
        self.put(id, Record { created: at, modified: at, converted: false, values: boxed(values) });
    }

    /// A record gets these values, and its `Modified_Time` moves.
    pub(crate) fn edit(&mut self, id: Id, values: Values, at: Timestamp) {
        let mut record = self.taken(id, at);
        record.modified = at;
        self.know(&values);
        match &mut record.values {
            Some(held) => held.extend(values),
            none => *none = boxed(values),
        }
        self.put(id, record);
    }

    /// A record that nothing is kept of is here from now on, as it was before.
    pub(crate) fn ensure(&mut self, id: Id, at: Timestamp) {
        if !self.rows.contains_key(&id) {
            let record = self.taken(id, at);
            self.put(id, record);
        }
    }

    /// A record goes to the recycle bin.
    pub(crate) fn delete(&mut self, id: Id, at: Timestamp) {
        let record = self.taken(id, at);
        self.by_deleted.insert((at, id));
        self.deleted.insert(id, Deleted { record, at, purged: None });
    }

    /// A record in the bin is deleted for good; one that is not yet in it goes all the way.
    pub(crate) fn purge(&mut self, id: Id, at: Timestamp) {
        if self.rows.contains_key(&id) {
            self.delete(id, at);
        }
        if let Some(deleted) = self.deleted.get_mut(&id) {
            deleted.purged = deleted.purged.or(Some(at));
        }
    }

    /// A record comes back from the bin, if it is in it; `touched` is its `Modified_Time` then.
    pub(crate) fn restore(&mut self, id: Id, touched: Option<Timestamp>) -> bool {
        if self.deleted.get(&id).is_none_or(|deleted| deleted.purged.is_some()) {
            return false;
        }
        let Some(deleted) = self.take_deleted(id) else { return false };
        let modified = touched.unwrap_or(deleted.record.modified);
        self.put(id, Record { modified, ..deleted.record });
        true
    }

    /// A lead is converted.
    pub(crate) fn convert(&mut self, id: Id, at: Timestamp) {
        let record = self.taken(id, at);
        self.put(id, Record { converted: true, modified: at, ..record });
    }

    fn know(&mut self, values: &Values) {
        for (field, value) in values {
            if let Some(kind) = FieldKind::of(value) {
                self.fields.insert(field.clone(), kind);
            }
        }
    }

    fn put(&mut self, id: Id, record: Record) {
        self.by_modified.insert((record.modified, id));
        if let Some(before) = self.rows.insert(id, record)
            && self.rows.get(&id).is_some_and(|record| record.modified != before.modified)
        {
            self.by_modified.remove(&(before.modified, id));
        }
    }

    /// Takes a record out, wherever it is; one that is nowhere was there for a year.
    fn taken(&mut self, id: Id, at: Timestamp) -> Record {
        if let Some(record) = self.rows.remove(&id) {
            self.by_modified.remove(&(record.modified, id));
            return record;
        }
        let born = time::before(at, AGE_OF_THE_UNKNOWN);
        let unknown = Record { created: born, modified: born, converted: false, values: None };
        self.take_deleted(id).map_or(unknown, |deleted| deleted.record)
    }

    fn take_deleted(&mut self, id: Id) -> Option<Deleted> {
        let deleted = self.deleted.remove(&id)?;
        self.by_deleted.remove(&(deleted.at, id));
        Some(deleted)
    }
}

impl Record {
    /// The value of a field that was ever given one.
    pub(crate) fn value(&self, field: &str) -> Option<&Value> {
        self.values.as_ref()?.get(field)
    }

    /// The fields that were ever given a value.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &str> {
        self.values.iter().flat_map(|values| values.keys().map(String::as_str))
    }
}

impl Deleted {
    /// The record that it was.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Where it is at this time; `None` when it is listed nowhere any more.
    pub(crate) fn standing(&self, knobs: &RecordKnobs, now: Timestamp) -> Option<Standing> {
        let by_itself = time::after(self.at, knobs.recycle_kept.0);
        let purged = self.purged.map_or(by_itself, |purged| purged.min(by_itself));
        if purged > now {
            return Some(Standing::Recycle);
        }
        (time::after(purged, knobs.permanent_kept.0) > now).then_some(Standing::Permanent(purged))
    }
}

fn boxed(values: Values) -> Option<Box<Values>> {
    (!values.is_empty()).then(|| Box::new(values))
}

const AGE_OF_THE_UNKNOWN: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// An org's digits stand before twelve others.
const ORG_ROOM: u64 = 1_000_000_000_000;
/// Where ids of records begin in an org: modules have lower ones.
const FIRST_RECORD: u64 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn none() -> Values {
        Values::new()
    }

    #[test]
    fn a_record_keeps_its_creation_through_edits_the_bin_and_back() {
        let mut module = Module::default();
        module.create(7, none(), at(10));
        module.edit(7, none(), at(20));
        module.delete(7, at(30));
        assert!(module.rows.is_empty() && module.by_modified.is_empty());
        assert!(module.restore(7, None));
        assert_eq!((module.rows[&7].created, module.rows[&7].modified), (at(10), at(20)));
        assert!(module.deleted.is_empty() && module.by_deleted.is_empty());
        assert_eq!(module.by_modified, BTreeSet::from([(at(20), 7)]));
    }

    #[test]
    fn a_record_that_only_an_edit_is_told_of_is_a_year_old() {
        let mut module = Module::default();
        module.edit(7, none(), at(400 * 86_400));
        assert_eq!(module.rows[&7].created, at(35 * 86_400));
        assert_eq!(module.rows[&7].modified, at(400 * 86_400));
    }

    #[test]
    fn the_bin_keeps_for_sixty_days_and_a_purged_record_is_listed_for_another_hundred_and_twenty() {
        let knobs = RecordKnobs::default();
        let mut module = Module::default();
        module.delete(1, at(0));
        module.delete(2, at(0));
        module.purge(2, at(86_400));
        let standing = |id: Id, day: i64| module.deleted[&id].standing(&knobs, at(day * 86_400));
        assert_eq!(standing(1, 59), Some(Standing::Recycle));
        assert_eq!(standing(1, 60), Some(Standing::Permanent(at(60 * 86_400))));
        assert_eq!(standing(1, 180), None);
        assert_eq!(standing(2, 0), Some(Standing::Recycle));
        assert_eq!(standing(2, 120), Some(Standing::Permanent(at(86_400))));
        assert_eq!(standing(2, 121), None);
        assert!(!module.restore(2, None), "purged for good");
    }

    #[test]
    fn the_index_by_time_follows_every_change() {
        let mut module = Module::default();
        for step in 0..200_u64 {
            let (id, now) = (step * 7 % 13, at(1_000 + step.cast_signed()));
            match step % 5 {
                0 | 1 => module.edit(id, none(), now),
                2 => module.create(id, none(), now),
                3 => module.delete(id, now),
                _ => drop(module.restore(id, Some(now))),
            }
            let indexed: BTreeSet<_> =
                module.rows.iter().map(|(id, record)| (record.modified, *id)).collect();
            assert_eq!(module.by_modified, indexed, "step {step}");
            let indexed: BTreeSet<_> =
                module.deleted.iter().map(|(id, deleted)| (deleted.at, *id)).collect();
            assert_eq!(module.by_deleted, indexed, "step {step}");
        }
    }

    #[test]
    fn fresh_ids_are_the_org_s_and_none_comes_twice() {
        let mut records = Records::default();
        assert_eq!(records.fresh_ids("3652397", 2), 3_652_397_000_100_000_001);
        assert_eq!(records.fresh_ids("3652397", 1), 3_652_397_000_100_000_003);
    }
}
