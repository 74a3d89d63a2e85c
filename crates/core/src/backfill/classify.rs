//! Which operations of which records were missed, by their times.
//!
//! | seen | missed, where the operation has a gap |
//! | --- | --- |
//! | `Created_Time` in it | the creation |
//! | `Modified_Time` at its beginning or later, created before its end and before that time | an edit, as it seems |
//! | `deleted_time` in it | the deletion |
//!
//! Zoho's times are whole seconds, so a gap is widened to them. A record that was edited after the
//! gap may have been edited in it too: it counts. A record that is among those that are there comes
//! with its last time; one that was read several times comes once.

use std::collections::BTreeMap;

use crate::model::events::Operation;
use crate::model::records::{List, RecordRow};
use crate::model::time::{Timestamp, whole_seconds};

use super::read::end_of_second;
use super::recovery::Lost;

/// Missed changes: by operation, the records with the time of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MissedChanges {
    /// By operation and id.
    found: BTreeMap<(Operation, String), Timestamp>,
    /// True when a row did not say when its record was created.
    pub undated: bool,
}

impl MissedChanges {
    /// Takes in one row of one of the lists.
    pub fn take(&mut self, gaps: &[Lost], list: List, row: &RecordRow) {
        match list {
            List::Changed => self.take_changed(gaps, row),
            List::Deleted => {
                if gaps.iter().any(|gap| gap.operation == Operation::Delete && holds(gap, row.at)) {
                    self.add(Operation::Delete, row, row.at);
                }
            }
        }
    }

    fn take_changed(&mut self, gaps: &[Lost], row: &RecordRow) {
        self.undated |= row.created.is_none();
        let created = row.created.unwrap_or(Timestamp::MIN);
        let is_created = |gap: &Lost| gap.operation == Operation::Create && holds(gap, created);
        let is_edited = |gap: &Lost| {
            gap.operation == Operation::Edit
                && created < row.at
                && created <= end_of_second(gap.to)
                && whole_seconds(gap.from) <= row.at
        };
        if gaps.iter().any(is_created) {
            self.add(Operation::Create, row, created);
        }
        if gaps.iter().any(is_edited) {
            self.add(Operation::Edit, row, row.at);
        }
    }

    fn add(&mut self, operation: Operation, row: &RecordRow, at: Timestamp) {
        let held = self.found.entry((operation, row.id.clone())).or_insert(at);
        *held = at.max(*held);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.found.len() as u64
    }

    /// The records of one operation, the oldest change first.
    pub(super) fn of(self) -> BTreeMap<Operation, Vec<String>> {
        let mut by_operation: BTreeMap<Operation, Vec<(Timestamp, String)>> = BTreeMap::new();
        for ((operation, id), at) in self.found {
            by_operation.entry(operation).or_default().push((at, id));
        }
        let sorted = |mut all: Vec<(Timestamp, String)>| {
            all.sort_unstable();
            all.into_iter().map(|(_, id)| id).collect()
        };
        by_operation.into_iter().map(|(operation, all)| (operation, sorted(all))).collect()
    }
}

fn holds(gap: &Lost, at: Timestamp) -> bool {
    whole_seconds(gap.from) <= at && at <= end_of_second(gap.to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn gap(operation: Operation) -> Lost {
        let from = Timestamp::from_millisecond(100_500).unwrap();
        let to = Timestamp::from_millisecond(199_500).unwrap();
        Lost { operation, from, to, kind: None, cause: None }
    }

    /// The operations that are missed of a record (created, changed), by the gaps of these.
    fn missed(operations: &[Operation], created: i64, changed: i64) -> Vec<&'static str> {
        let gaps: Vec<Lost> = operations.iter().copied().map(gap).collect();
        let row = RecordRow { id: "1".to_owned(), at: at(changed), created: Some(at(created)) };
        let mut missed = MissedChanges::default();
        missed.take(&gaps, List::Changed, &row);
        missed.found.keys().map(|(operation, _)| operation.delivered_as()).collect()
    }

    #[test]
    fn a_row_tells_by_its_times_what_was_missed() {
        let all = &Operation::ALL;
        let rows: [(i64, i64, &[&str]); 9] = [
            (99, 99, &[]),
            (100, 100, &["insert"]),
            (150, 150, &["insert"]),
            (150, 160, &["insert", "update"]),
            (200, 200, &["insert"]),
            (201, 300, &[]),
            (50, 99, &[]),
            (50, 100, &["update"]),
            (50, 5000, &["update"]),
        ];
        for (created, changed, expected) in rows {
            assert_eq!(missed(all, created, changed), expected, "{created} {changed}");
        }
    }

    #[test]
    fn an_operation_without_a_gap_was_not_missed() {
        assert_eq!(missed(&[Operation::Create], 150, 160), ["insert"]);
        assert_eq!(missed(&[Operation::Edit], 150, 160), ["update"]);
        assert!(missed(&[Operation::Delete], 150, 160).is_empty());
    }

    #[test]
    fn a_deletion_counts_by_its_own_time_and_once() {
        let (mut missed, gaps) = (MissedChanges::default(), [gap(Operation::Delete)]);
        for (id, second) in [("1", 99), ("2", 150), ("2", 150), ("3", 201)] {
            let row = RecordRow { id: id.to_owned(), at: at(second), created: None };
            missed.take(&gaps, List::Deleted, &row);
        }
        assert_eq!(missed.of(), [(Operation::Delete, vec!["2".to_owned()])].into());
    }

    #[test]
    fn a_record_without_a_creation_time_is_an_update_and_that_is_said() {
        let (mut missed, gaps) = (MissedChanges::default(), Operation::ALL.map(gap));
        missed.take(
            &gaps,
            List::Changed,
            &RecordRow { id: "1".into(), at: at(150), created: None },
        );
        assert!(missed.undated);
        assert_eq!(missed.of(), [(Operation::Edit, vec!["1".to_owned()])].into());
    }
}
