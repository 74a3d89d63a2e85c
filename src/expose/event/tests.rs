//! Each gap begins once and ends once, whatever else becomes known of it.

use std::slice::from_ref;

use super::*;
use crate::coverage::GapKind;
use crate::expose::testing::{hours, minutes};
use crate::model::events::Operation;

fn gap(from: u64, to: Option<u64>, kind: GapKind, cause: GapCause) -> Gap {
    let (from, to) = (minutes(from), to.map(minutes));
    Gap { module: "Deals".to_owned(), operation: Operation::Edit, from, to, kind, cause }
}

fn told(former: &[Gap], latter: &[Gap]) -> (usize, Vec<(Timestamp, Option<Timestamp>)>) {
    let ended = ended_of(former, latter);
    (begun_of(former, latter).len(), ended.iter().map(|gap| (gap.from, gap.to)).collect())
}

#[test]
fn a_gap_begins_when_it_is_first_seen_and_ends_when_it_first_has_an_end() {
    let open = gap(10, None, GapKind::Unknown, GapCause::Absent);
    let surer = gap(10, None, GapKind::Uncovered, GapCause::Expired);
    let over = gap(10, Some(20), GapKind::Uncovered, GapCause::Expired);
    let story: [&[Gap]; 5] = [&[], &[open], &[surer], from_ref(&over), from_ref(&over)];
    let steps: Vec<_> = story.windows(2).map(|pair| told(pair[0], pair[1])).collect();
    let end = (minutes(10), Some(minutes(20)));
    assert_eq!(steps, [(1, vec![]), (0, vec![]), (0, vec![end]), (0, vec![])]);
}

#[test]
fn a_gap_that_was_over_when_it_was_found_begins_and_ends_at_once() {
    let over = gap(10, Some(20), GapKind::Unknown, GapCause::EventMissing);
    assert_eq!(told(&[], &[over]), (1, vec![(minutes(10), Some(minutes(20)))]));
}

#[test]
fn a_gap_that_turns_out_to_have_been_none_ends_where_it_began() {
    let open = gap(10, None, GapKind::Unknown, GapCause::UnsureWrite);
    assert_eq!(told(&[open], &[]), (0, vec![(minutes(10), Some(minutes(10)))]));
}

#[test]
fn gaps_that_the_ledger_puts_together_are_told_no_second_time() {
    let one = gap(10, Some(20), GapKind::Uncovered, GapCause::Expired);
    let other = gap(30, Some(40), GapKind::Uncovered, GapCause::Expired);
    let merged = gap(10, Some(40), GapKind::Unknown, GapCause::Merged);
    assert_eq!(told(&[one, other], &[merged]), (0, vec![]));
}

#[test]
fn the_first_config_is_no_change_and_the_same_again_is_none() {
    let mut seen = EventsSeen::default();
    let mut hear = |hash| seen.config("c.toml", hash, hours(1));
    assert_eq!((hear(None), hear(Some("a")), hear(Some("a"))), (None, None, None));
    let event = hear(Some("b")).unwrap();
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        r#"{"event":"config-changed","at":"2026-01-01T01:00:00Z","config":{"file":"c.toml","hash":"b"}}"#
    );
    assert_eq!(hear(None), None, "the last good state of the store is no other config");
}
