//! From records that change while they are read to deliveries, against what is true of them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::classify::MissedChanges;
use super::freeze::freeze;
use super::read::{Doubt, Read};
use super::recovery::Lost;
use crate::model::events::Operation;
use crate::model::records::{List, Place, RecordRow, RecordsAsk, RecordsPage};
use crate::model::time::Timestamp;

const PAGE: usize = 5;
const GAP: (i64, i64) = (100, 200);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Zoho, as far as it matters here: records with their times, and where its answers may differ.
#[derive(Clone, Debug)]
struct Zoho {
    /// Created, changed, deleted.
    records: Vec<(i64, i64, Option<i64>)>,
    /// The header includes its own second.
    inclusive: bool,
    /// A token is a key, and an offset otherwise.
    by_key: bool,
}

impl Zoho {
    fn answer(&self, ask: &RecordsAsk) -> RecordsPage {
        let floor = ask.since.as_second() + i64::from(!self.inclusive);
        let mut rows: Vec<RecordRow> = self
            .records
            .iter()
            .enumerate()
            .filter_map(|(id, record)| {
                let row = |at_second, created: Option<i64>| RecordRow {
                    id: format!("{id:03}"),
                    at: at(at_second),
                    created: created.map(at),
                };
                match (ask.list, record) {
                    (List::Changed, (created, changed, None)) => {
                        Some(row(*changed, Some(*created)))
                    }
                    (List::Deleted, (_, _, Some(deleted))) => Some(row(*deleted, None)),
                    (List::Changed, (_, _, Some(_))) | (List::Deleted, (_, _, None)) => None,
                }
            })
            .filter(|row| row.at.as_second() >= floor)
            .collect();
        rows.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        let from = match &ask.place {
            Place::Page(page) => (*page as usize - 1) * PAGE,
            Place::Token(token) if self.by_key => {
                let (second, id) = token.split_once(' ').unwrap();
                let key = (at(second.parse().unwrap()), id.to_owned());
                rows.iter().take_while(|row| (row.at, row.id.clone()) <= key).count()
            }
            Place::Token(token) => token.parse().unwrap(),
        };
        let page: Vec<RecordRow> = rows.iter().skip(from).take(PAGE).cloned().collect();
        let token = match page.last() {
            Some(last) if self.by_key => Some(format!("{} {}", last.at.as_second(), last.id)),
            _ => Some((from + PAGE).to_string()),
        };
        RecordsPage { more: rows.len() > from + PAGE, rows: page, token }
    }
}

fn gaps() -> [Lost; 3] {
    let (from, to) = (at(GAP.0), at(GAP.1));
    Operation::ALL.map(|operation| Lost { operation, from, to, kind: None, cause: None })
}

type Found = BTreeMap<Operation, BTreeSet<usize>>;

/// Reads everything; before each page but the first, something is edited or deleted.
fn found(mut zoho: Zoho, meanwhile: &[(usize, bool)]) -> (Found, Read, Zoho) {
    let mut read = Read::new("Deals".into(), vec![1], at(GAP.0), (true, true), at(1000));
    let (mut missed, mut now, mut edits) = (MissedChanges::default(), 1000, meanwhile.iter());
    while let Some(ask) = read.next() {
        let page = zoho.answer(&ask);
        let (next, list, rows) = read.take(page);
        rows.iter().for_each(|row| missed.take(&gaps(), list, row));
        read = next;
        now += 1;
        if let Some((which, deletes)) = edits.next() {
            let index = which % zoho.records.len();
            match (&mut zoho.records[index], deletes) {
                ((_, _, deleted @ None), true) => *deleted = Some(now),
                ((_, changed, None), false) => *changed = now,
                ((_, _, Some(_)), _) => {}
            }
        }
        assert!(now < 10_000, "it ends");
    }
    let (_, deliveries) = freeze(missed, at(now));
    let mut found = Found::new();
    for delivery in deliveries {
        for id in delivery.ids {
            let is_new = found.entry(delivery.operation).or_default().insert(id.parse().unwrap());
            assert!(is_new, "each record once for each operation");
        }
    }
    (found, read, zoho)
}

fn record() -> impl Strategy<Value = (i64, i64, Option<i64>)> {
    let instant = || prop_oneof![95_i64..105, 150_i64..153, 195_i64..206, 0_i64..400];
    (instant(), instant(), proptest::option::weighted(0.2, 90_i64..400))
        .prop_map(|(one, other, deleted)| (one.min(other), one.max(other), deleted))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_record_whose_times_show_it_comes_out_and_none_that_was_covered(
        records in proptest::collection::vec(record(), 1..60),
        meanwhile in proptest::collection::vec((0_usize..60, proptest::bool::weighted(0.2)), 0..30),
        inclusive: bool,
        by_key: bool,
    ) {
        let begins = Zoho { records, inclusive, by_key };
        let (found, read, ends) = found(begins.clone(), &meanwhile);
        let has = |operation, id: &usize| found.get(&operation).is_some_and(|ids| ids.contains(id));
        let is_certain = by_key || !read.doubts.contains(&Doubt::Crowded);
        for (id, (created, changed, deleted)) in ends.records.iter().enumerate() {
            let in_gap = |second: i64| (GAP.0..GAP.1).contains(&second);
            let beside = |second: i64| (GAP.0..=GAP.1).contains(&second);
            if is_certain && deleted.is_none() {
                if in_gap(*created) {
                    prop_assert!(has(Operation::Create, &id), "{id} was created in it");
                }
                // An edit after reading began was delivered live.
                let changed = begins.records[id].1;
                if *created < changed && changed >= GAP.0 && *created < GAP.1 {
                    prop_assert!(has(Operation::Edit, &id), "{id} was changed since then");
                }
            }
            if deleted.is_some_and(in_gap) {
                prop_assert!(has(Operation::Delete, &id), "{id} was deleted in it");
            }
            let first = begins.records[id];
            prop_assert!(!has(Operation::Create, &id) || beside(*created), "{id}");
            prop_assert!(!has(Operation::Edit, &id) || (*created <= GAP.1 && *changed >= GAP.0), "{id} {first:?}");
            prop_assert!(!has(Operation::Delete, &id) || deleted.is_some_and(beside), "{id}");
        }
    }
}
