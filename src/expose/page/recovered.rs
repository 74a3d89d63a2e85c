//! The recoveries that fill a gap, in sentences beside it.

use crate::backfill::{HeldFor, Recovery, State};
use crate::coverage::render::GapView;
use crate::model::events::Events;

use super::super::health::counted;
use super::super::one_line::line;

/// A sentence or two for each recovery that fills the gap, the latest first, at most
/// [`RECOVERIES_MAX`].
pub(super) fn beside(gap: &GapView, recoveries: &[Recovery]) -> Vec<String> {
    let events: Events = gap.events.iter().map(String::as_str).collect();
    let filling = recoveries.iter().rev().filter(|one| one.fills(&events, gap.from, gap.to));
    filling.take(RECOVERIES_MAX).map(|one| line(&sentences(&gap.account, one))).collect()
}

fn sentences(account: &str, recovery: &Recovery) -> String {
    let Recovery { number, state, frozen, progress, doubts, .. } = recovery;
    let id = format!("{account}/{number}");
    let (records, taken) = (frozen.map_or(0, |frozen| frozen.records()), progress.taken);
    let release = format!("`channelkeeper backfill release {id}` hands them over");
    let mut text = match state {
        State::Reading => format!("Recovery {id}: the daemon reads what was missed."),
        State::Unreadable { why, .. } => format!("Recovery {id} cannot be read: {why}."),
        State::Held(HeldFor::Plan) => {
            format!("Recovery {id}: {} wait as planned; {release}.", counted_records(records))
        }
        State::Held(HeldFor::Most) => format!(
            "Recovery {id}: {} wait, more than [backfill] most lets pass; {release}.",
            counted_records(records)
        ),
        State::Handing => {
            let why = progress.trouble.as_ref();
            let why = why.map(|why| format!("; the last was not taken: {why}"));
            format!(
                "Recovery {id}: {taken} of {} are handed over{}.",
                counted_records(records),
                why.unwrap_or_default()
            )
        }
        State::Done { at } if records == 0 => {
            format!("Recovery {id}: no record was missed, as was read at {at:.0}.")
        }
        State::Done { at } => {
            format!("Recovery {id}: {} recovered at {at:.0}.", counted_records(taken))
        }
        State::Abandoned { why, at } => format!(
            "Recovery {id} was given up at {at:.0} with {taken} of {} handed over: {why}.",
            counted_records(records)
        ),
    };
    if progress.aside > 0 {
        let (aside, ids) = (counted_records(progress.aside), progress.aside_ids.join(", "));
        text += &format!(" Set aside, as the receiver refuses it: {aside} ({ids}).");
    }
    for doubt in doubts {
        text += &format!(" Not certain: {}.", doubt.words());
    }
    text
}

fn counted_records(number: u64) -> String {
    counted(usize::try_from(number).unwrap_or(usize::MAX), "record")
}

/// Recoveries that a gap names.
const RECOVERIES_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::Lost;
    use crate::backfill::pace::HandingProgress;
    use crate::backfill::recovery::Frozen;
    use crate::model::events::Operation;
    use crate::model::secret::Fingerprint;
    use crate::model::time::Timestamp;
    use crate::testing::{self, minutes};

    fn recovery(state: State, taken: u64) -> Recovery {
        let lost = |operation| Lost {
            operation,
            from: minutes(10),
            to: minutes(20),
            kind: None,
            cause: None,
        };
        let at = minutes(30);
        Recovery {
            number: 7,
            channel: testing::id(1),
            name: testing::name(1),
            module: "Deals".to_owned(),
            notify_url: Fingerprint(9),
            gaps: vec![lost(Operation::Create), lost(Operation::Edit)],
            asked: None,
            planned: false,
            state,
            frozen: Some(Frozen { at, deliveries: 1, inserts: 1, updates: 40, deletes: 0 }),
            progress: HandingProgress { taken, ..HandingProgress::default() },
            credits: 0,
            doubts: Default::default(),
        }
    }

    fn gap(events: &[&str], from: Timestamp, to: Option<Timestamp>) -> GapView {
        GapView {
            account: "acme".to_owned(),
            channel: "c1".to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            from,
            to,
            seconds: 0,
            kind: "uncovered".to_owned(),
            cause: "expired".to_owned(),
            acknowledged: None,
        }
    }

    #[test]
    fn a_gap_says_what_was_recovered_what_waits_and_what_could_not_be() {
        let at = minutes(60);
        let said = |recovery: Recovery| {
            beside(&gap(&["Deals.edit"], minutes(12), None), &[recovery]).join("|")
        };
        assert_eq!(
            said(recovery(State::Done { at }, 41)),
            "Recovery acme/7: 41 records recovered at 2026-01-01T01:00:00Z."
        );
        let mut aside = recovery(State::Done { at }, 40);
        (aside.progress.aside, aside.progress.aside_ids) = (1, vec!["update 17".to_owned()]);
        assert!(
            said(aside).ends_with(" Set aside, as the receiver refuses it: 1 record (update 17).")
        );
        assert_eq!(
            said(recovery(State::Held(HeldFor::Most), 0)),
            "Recovery acme/7: 41 records wait, more than [backfill] most lets pass; \
             `channelkeeper backfill release acme/7` hands them over."
        );
        let mut busy = recovery(State::Handing, 10);
        busy.progress.trouble = Some("HTTP 503".to_owned());
        assert_eq!(
            said(busy),
            "Recovery acme/7: 10 of 41 records are handed over; the last was not taken: HTTP 503."
        );
        let why = "the receiver says that it is gone (410)".to_owned();
        assert_eq!(
            said(recovery(State::Abandoned { why, at }, 5)),
            "Recovery acme/7 was given up at 2026-01-01T01:00:00Z with 5 of 41 records handed \
             over: the receiver says that it is gone (410)."
        );
    }

    #[test]
    fn a_recovery_stands_beside_the_gaps_that_it_fills_alone() {
        let is_beside = |events: &[&str], from, to: Option<u64>| {
            let gap = gap(events, minutes(from), to.map(minutes));
            !beside(&gap, &[recovery(State::Reading, 0)]).is_empty()
        };
        assert!(is_beside(&["Deals.all"], 15, Some(40)));
        assert!(!is_beside(&["Deals.delete"], 15, Some(40)));
        assert!(!is_beside(&["Leads.edit"], 15, Some(40)));
        assert!(!is_beside(&["Deals.edit"], 20, None));
        assert!(!is_beside(&["Deals.edit"], 5, Some(10)));
    }
}
