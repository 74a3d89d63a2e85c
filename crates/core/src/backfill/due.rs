//! Which gaps of a ledger make a recovery, and when.
//!
//! | a gap | |
//! | --- | --- |
//! | that is open, or was until a minute ago | waits: Zoho's list may be behind |
//! | of an event that has another gap, which is open | waits for that one |
//! | of a kind that the rule leaves out | is left |
//! | that ended before the rule was first in force | is left |
//! | of an event that is declared no longer, or of another URL | is left |
//! | of users | is left: they are no records |
//! | that an earlier recovery had | is left; what it has grown by since is taken |
//!
//! The last row needs one instant for each event, as acknowledgements do
//! ([`crate::coverage::ack`]): whatever the ledger finds later ends later.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::coverage::gap::{Gap, GapCause, GapKind};
use crate::coverage::ledger::Ledger;
use crate::model::backfill::{BackfillRule, Kinds};
use crate::model::channel::Spec;
use crate::model::time::{Timestamp, after};

use super::recovery::{Lost, Recovery};

/// The gaps of one channel that are due at `now`, in Zoho's time, by module. `known` are the
/// recoveries that the channel has; `since` is when its rule was first in force.
pub fn due(
    ledger: &Ledger,
    (spec, rule): (&Spec, &BackfillRule),
    known: &[Recovery],
    since: Timestamp,
    now: Timestamp,
) -> BTreeMap<String, Vec<Lost>> {
    let mut due: BTreeMap<String, Vec<Lost>> = BTreeMap::new();
    if ledger.notify_url != spec.notify_url.fingerprint() {
        return due;
    }
    let gaps = ledger.gaps(now);
    let is_settled = |gap: &&Gap| {
        let same = |other: &&Gap| other.module == gap.module && other.operation == gap.operation;
        gaps.iter().filter(same).all(|gap| gap.to.is_some_and(|to| after(to, SETTLED) <= now))
    };
    let is_meant = |gap: &&Gap| {
        spec.events.of(&gap.module).contains(gap.operation)
            && !gap.module.eq_ignore_ascii_case("users")
            && is_of(rule.kinds, gap.kind)
    };
    for gap in gaps.iter().filter(is_meant).filter(is_settled) {
        let Some(to) = gap.to else { continue };
        let taken = taken(known, gap);
        if to > since && taken.is_none_or(|taken| to > taken) {
            let from = taken.map_or(gap.from, |taken| taken.max(gap.from));
            let Gap { module, operation, kind, cause, .. } = gap.clone();
            let lost = Lost { operation, from, to, kind: Some(kind), cause: Some(cause) };
            due.entry(module).or_default().push(lost);
        }
    }
    due
}

/// Returns whether a gap ended so lately that it is due by the passing of time alone.
pub fn is_settling(ledger: &Ledger, now: Timestamp) -> bool {
    ledger.gaps(now).iter().any(|gap| gap.to.is_some_and(|to| after(to, SETTLED) > now))
}

/// Up to where earlier recoveries had the gaps of this event that were found in the same way.
fn taken(known: &[Recovery], gap: &Gap) -> Option<Timestamp> {
    let is_by_canary = |cause: Option<GapCause>| cause == Some(GapCause::CanaryRefused);
    let of_module = known.iter().filter(|one| one.module == gap.module && one.asked.is_none());
    let same = of_module.flat_map(|one| &one.gaps).filter(|lost| {
        lost.operation == gap.operation && is_by_canary(lost.cause) == is_by_canary(Some(gap.cause))
    });
    same.map(|lost| lost.to).max()
}

const fn is_of(kinds: Kinds, kind: GapKind) -> bool {
    match kind {
        GapKind::Uncovered => kinds.uncovered,
        GapKind::Undeliverable => kinds.undeliverable,
        GapKind::Unknown => kinds.unknown,
    }
}

/// How long an event has to be covered again before its gap is read: a list may be a moment behind
/// what was written.
pub const SETTLED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::backfill::recovery::State;
    use crate::coverage::track::{Open, Stretch};
    use crate::model::backfill::BackfillMode;
    use crate::model::channel::NotifyUrl;
    use crate::model::events::Operation;
    use crate::testing;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn spec() -> Spec {
        Spec { events: testing::events(&["Deals.all", "users.edit"]), ..testing::spec(1) }
    }

    /// A ledger whose tracks are covered from 0 on, but for these gaps of `Deals.edit`.
    fn ledger(gaps: &[(i64, i64)]) -> Ledger {
        let mut ledger = Ledger::new(&spec(), at(0));
        for track in &mut ledger.tracks {
            track.open = None;
            if track.operation == Operation::Edit {
                for (from, to) in gaps {
                    track.add(Stretch {
                        from: at(*from),
                        to: at(*to),
                        kind: GapKind::Uncovered,
                        cause: GapCause::Expired,
                    });
                }
            }
        }
        ledger
    }

    fn found(ledger: &Ledger, known: &[Recovery], now: i64) -> Vec<(i64, i64)> {
        found_by(&BackfillRule::new(BackfillMode::On), ledger, (known, 0), now)
    }

    fn found_by(
        rule: &BackfillRule,
        ledger: &Ledger,
        (known, since): (&[Recovery], i64),
        now: i64,
    ) -> Vec<(i64, i64)> {
        let due = due(ledger, (&spec(), rule), known, at(since), at(now));
        assert!(due.keys().all(|module| module == "Deals"), "{due:?}");
        let lost = due.into_values().flatten();
        lost.map(|lost| (lost.from.as_second(), lost.to.as_second())).collect()
    }

    fn recovery(ledger: &Ledger, asked: Option<i64>, now: i64) -> Recovery {
        let due = due(ledger, (&spec(), &BackfillRule::new(BackfillMode::On)), &[], at(0), at(now));
        Recovery {
            number: 1,
            channel: ledger.id,
            name: ledger.name.clone(),
            module: "Deals".to_owned(),
            notify_url: ledger.notify_url,
            gaps: due.into_values().flatten().collect(),
            asked: asked.map(at),
            planned: false,
            state: State::Reading,
            frozen: None,
            progress: Default::default(),
            credits: 0,
            doubts: BTreeSet::new(),
        }
    }

    #[test]
    fn a_gap_is_due_a_minute_after_it_ended() {
        let ledger = ledger(&[(100, 200)]);
        assert_eq!(found(&ledger, &[], 259), []);
        assert!(is_settling(&ledger, at(259)));
        assert_eq!(found(&ledger, &[], 260), [(100, 200)]);
        assert!(!is_settling(&ledger, at(260)));
    }

    #[test]
    fn an_event_that_is_uncovered_now_waits_and_the_others_of_its_module_do_not() {
        let mut ledger = ledger(&[(100, 200)]);
        let open = Open { from: at(250), kind: GapKind::Uncovered, cause: GapCause::Absent };
        for track in &mut ledger.tracks {
            match track.operation {
                Operation::Edit => track.open = Some(open),
                Operation::Create => track.add(Stretch { to: at(210), ..open_until(150) }),
                Operation::Delete => {}
            }
        }
        assert_eq!(found(&ledger, &[], 1000), [(150, 210)]);
    }

    fn open_until(from: i64) -> Stretch {
        let (kind, cause) = (GapKind::Unknown, GapCause::Unseen);
        Stretch { from: at(from), to: at(from), kind, cause }
    }

    #[test]
    fn a_gap_is_taken_once_and_what_it_grows_by_is_taken_then() {
        let known = [recovery(&ledger(&[(100, 200)]), None, 1000)];
        assert_eq!(found(&ledger(&[(100, 200)]), &known, 1000), []);
        assert_eq!(
            found(&ledger(&[(100, 300), (400, 500)]), &known, 1000),
            [(200, 300), (400, 500)]
        );
        let by_hand = [recovery(&ledger(&[(100, 200)]), Some(900), 1000)];
        assert_eq!(found(&ledger(&[(100, 200)]), &by_hand, 1000), [(100, 200)]);
    }

    #[test]
    fn what_ended_before_the_rule_and_what_it_leaves_out_are_left() {
        let (ledger, rule) =
            (ledger(&[(100, 200), (300, 400)]), BackfillRule::new(BackfillMode::Plan));
        assert_eq!(found_by(&rule, &ledger, (&[], 200), 1000), [(300, 400)]);
        assert_eq!(found_by(&rule, &ledger, (&[], 350), 1000), [(300, 400)]);
        let rule = BackfillRule { kinds: Kinds { uncovered: false, ..Kinds::ALL }, ..rule };
        assert_eq!(found_by(&rule, &ledger, (&[], 0), 1000), []);
    }

    #[test]
    fn a_gap_of_another_url_and_of_what_is_not_declared_is_left() {
        let moved = Spec { notify_url: NotifyUrl::new("https://other.example.com"), ..spec() };
        let fewer = Spec { events: testing::events(&["Deals.create"]), ..spec() };
        for spec in [moved, fewer] {
            let rule = BackfillRule::new(BackfillMode::On);
            assert!(due(&ledger(&[(1, 2)]), (&spec, &rule), &[], at(0), at(1000)).is_empty());
        }
    }

    #[test]
    fn users_are_no_records() {
        let mut ledger = ledger(&[]);
        for track in ledger.tracks.iter_mut().filter(|track| track.module == "users") {
            track.add(Stretch { to: at(210), ..open_until(150) });
        }
        assert_eq!(found(&ledger, &[], 1000), []);
    }
}
