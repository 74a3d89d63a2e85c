//! Canaries tell if a receiver takes deliveries: the gaps of a channel that is covered.
//!
//! Beside the tracks and not in them: a channel may lapse while its receiver is down, and each of
//! the two ends by itself. A canary's answer holds at an instant only, so this much is known about
//! an outage:
//!
//! | between | then |
//! | --- | --- |
//! | the last that was accepted, and the first that was refused | Unknown |
//! | the first and the last that were refused | Undeliverable |
//! | the last that was refused, and the first that was accepted | Unknown |
//!
//! While it lasts it is Undeliverable up to now. When none was ever accepted it begins with the
//! first refusal. When nobody asks any more (canaries are turned off, the channel is declared no
//! longer or delivers elsewhere), it ends with that.

use serde::{Deserialize, Serialize};

use crate::model::canary::{Canaries, CanaryOutage, CanaryRefused};
use crate::model::time::Timestamp;

use super::gap::{GapCause, GapKind};
use super::track::{GAPS_MAX, Open, Stretch};

/// The gaps that canaries found at the URL a channel delivers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reception {
    /// Gaps that have ended, oldest first; they do not overlap. At most [`GAPS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Stretch>,
    /// The one that has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
}

/// A stretch whose end may be to come.
pub(super) type OpenSpan = (Timestamp, Option<Timestamp>);

impl Reception {
    /// Returns whether nothing was ever told.
    pub(super) fn is_empty(&self) -> bool {
        self.gaps.is_empty() && self.open.is_none()
    }

    /// Takes in what is known at `at` of a URL that is this channel's since `since`. Hearing the
    /// same twice changes nothing. Returns whether anything changed.
    pub(super) fn hear(
        &mut self,
        canaries: Option<&Canaries>,
        since: Timestamp,
        at: Timestamp,
    ) -> bool {
        let before = self.clone();
        for CanaryOutage { accepted, first, last, over } in
            canaries.iter().flat_map(|canaries| &canaries.outages).copied()
        {
            self.open.take_if(|open| open.from <= over);
            self.add(since, accepted.unwrap_or(first), first, GapKind::Unknown);
            self.add(since, first, last, GapKind::Undeliverable);
            self.add(since, last, over, GapKind::Unknown);
        }
        match canaries.and_then(Canaries::refusing) {
            Some(CanaryRefused { first, .. }) if self.open.is_none() => {
                let accepted = canaries.and_then(|canaries| canaries.accepted_at);
                self.add(since, accepted.unwrap_or(*first), *first, GapKind::Unknown);
                let from = self.floor(since).max(*first);
                self.open = Some(Open {
                    from,
                    kind: GapKind::Undeliverable,
                    cause: GapCause::CanaryRefused,
                });
            }
            Some(_) => {}
            None => self.end(at),
        }
        *self != before
    }

    /// Nobody asks any more.
    pub(super) fn end(&mut self, at: Timestamp) {
        if let Some(open) = self.open.take() {
            self.add(open.from, open.from, at, open.kind);
        }
    }

    /// The parts of these gaps that lie in an event's life and in none of the event's own gaps,
    /// which are sorted.
    pub(super) fn beside(&self, life: OpenSpan, own: &[OpenSpan]) -> Vec<(OpenSpan, GapKind)> {
        let ended = self.gaps.iter().map(|gap| ((gap.from, Some(gap.to)), gap.kind));
        let all = ended.chain(self.open.map(|open| ((open.from, None), open.kind)));
        all.flat_map(|(span, kind)| {
            minus(both(span, life), own).into_iter().map(move |span| (span, kind))
        })
        .collect()
    }

    fn floor(&self, since: Timestamp) -> Timestamp {
        self.gaps.last().map_or(since, |last| last.to.max(since))
    }

    /// Behind what is there only: whatever is heard again is there.
    fn add(&mut self, since: Timestamp, from: Timestamp, to: Timestamp, kind: GapKind) {
        let from = from.max(self.floor(since));
        if from >= to {
            return;
        }
        self.gaps.push(Stretch { from, to, kind, cause: GapCause::CanaryRefused });
        if self.gaps.len() > GAPS_MAX {
            let first = self.gaps.remove(0);
            if let Some(second) = self.gaps.first_mut() {
                *second = Stretch { from: first.from, kind: GapKind::Unknown, ..*second };
            }
        }
    }
}

fn both(one: OpenSpan, other: OpenSpan) -> OpenSpan {
    let to = match (one.1, other.1) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    (one.0.max(other.0), to)
}

fn minus((mut from, to): OpenSpan, holes: &[OpenSpan]) -> Vec<OpenSpan> {
    let mut left = Vec::new();
    for (hole_from, hole_to) in holes {
        if hole_to.is_some_and(|hole_to| hole_to <= from) || to.is_some_and(|to| *hole_from >= to) {
            continue;
        }
        if *hole_from > from {
            left.push((from, Some(*hole_from)));
        }
        match hole_to {
            Some(hole_to) => from = *hole_to,
            None => return left,
        }
    }
    if to.is_none_or(|to| from < to) {
        left.push((from, to));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Ledger;
    use super::super::rules::{Told, at, spec};
    use super::super::track::Track;
    use super::super::{Acks, Gap};
    use super::*;
    use crate::model::secret::Fingerprint;

    const DAY: i64 = 86_400;

    fn asked(accepted: Option<i64>) -> Canaries {
        let mut canaries = Canaries::new(Fingerprint(1), at(0));
        if let Some(second) = accepted {
            canaries.accepted(at(second));
        }
        canaries
    }

    fn refused(canaries: &mut Canaries, seconds: &[i64]) {
        for second in seconds {
            canaries.refused(at(*second), "HTTP 500".to_owned());
        }
    }

    fn check(ledger: &Ledger, now: i64, expected: &[&str]) {
        let line = |gap: Gap| {
            let to = gap.to.map_or("open".to_owned(), |to| to.as_second().to_string());
            format!("{}..{to} {} {}", gap.from.as_second(), gap.kind.word(), gap.cause.word())
        };
        let found: Vec<String> = ledger.gaps(at(now)).into_iter().map(line).collect();
        assert_eq!(found, expected);
    }

    /// Enabled from 0 on.
    fn covered() -> Ledger {
        let mut told = Told::new(&["Deals.edit"]);
        told.look(0, None);
        told.granted(0, 0, DAY);
        told.ledger
    }

    #[test]
    fn an_outage_is_undeliverable_between_its_refusals_and_unknown_around_them() {
        let (mut ledger, mut canaries) = (covered(), asked(Some(100)));
        assert!(!ledger.hear(Some(&canaries), at(150)));
        refused(&mut canaries, &[200]);
        assert!(!ledger.hear(Some(&canaries), at(250)), "one alone says little");
        refused(&mut canaries, &[300, 400]);
        assert!(ledger.hear(Some(&canaries), at(450)));
        assert!(!ledger.hear(Some(&canaries), at(460)), "what is known is not told anew");
        check(
            &ledger,
            460,
            &["100..200 unknown canary-refused", "200..open undeliverable canary-refused"],
        );
        canaries.accepted(at(500));
        assert!(ledger.hear(Some(&canaries), at(550)) && !ledger.hear(Some(&canaries), at(560)));
        let outage = [
            "100..200 unknown canary-refused",
            "200..400 undeliverable canary-refused",
            "400..500 unknown canary-refused",
        ];
        check(&ledger, 560, &outage);
    }

    #[test]
    fn an_outage_that_no_pass_saw_is_the_same_and_one_without_a_canary_before_it_begins_with_its_first_refusal()
     {
        let (mut ledger, mut canaries) = (covered(), asked(None));
        refused(&mut canaries, &[200, 300]);
        canaries.accepted(at(400));
        assert!(ledger.hear(Some(&canaries), at(450)));
        check(
            &ledger,
            460,
            &["200..300 undeliverable canary-refused", "300..400 unknown canary-refused"],
        );
    }

    #[test]
    fn it_ends_when_nobody_asks_any_more_and_begins_with_the_declaration_at_the_earliest() {
        let (mut ledger, mut canaries) = (covered(), asked(Some(100)));
        refused(&mut canaries, &[200, 300]);
        ledger.hear(Some(&canaries), at(350));
        assert!(ledger.hear(None, at(400)));
        check(
            &ledger,
            460,
            &["100..200 unknown canary-refused", "200..400 undeliverable canary-refused"],
        );

        let mut late = Ledger::new(&spec(&["Deals.edit"], "u"), at(250));
        late.tracks.iter_mut().for_each(|track| track.open = None);
        late.hear(Some(&canaries), at(350));
        check(&late, 460, &["250..open undeliverable canary-refused"]);
        late.retire(at(360), None);
        check(&late, 460, &["250..360 undeliverable canary-refused"]);
        assert!(!late.hear(Some(&canaries), at(400)), "what is not declared is not missed");
        late.declare(&spec(&["Deals.edit"], "u"), at(500), None);
        late.tracks.iter_mut().for_each(|track| track.open = None);
        check(&late, 600, &["250..360 undeliverable canary-refused"]);
    }

    #[test]
    fn another_url_leaves_it_behind() {
        let (mut ledger, mut canaries) = (covered(), asked(Some(100)));
        refused(&mut canaries, &[200, 300]);
        ledger.hear(Some(&canaries), at(350));
        ledger.declare(&spec(&["Deals.edit"], "v"), at(400), None);
        ledger.tracks.iter_mut().for_each(|track| track.open = None);
        ledger.hear(None, at(500));
        check(
            &ledger,
            600,
            &["100..200 unknown canary-refused", "200..400 undeliverable canary-refused"],
        );
    }

    #[test]
    fn what_is_not_covered_is_said_once() {
        let (mut ledger, mut canaries) = (covered(), asked(Some(100)));
        refused(&mut canaries, &[200, 500]);
        ledger.hear(Some(&canaries), at(550));
        let stretch = Stretch {
            from: at(150),
            to: at(300),
            kind: GapKind::Uncovered,
            cause: GapCause::Absent,
        };
        ledger.tracks[0].add(stretch);
        let expected = [
            "150..300 uncovered absent",
            "100..150 unknown canary-refused",
            "300..open undeliverable canary-refused",
        ];
        check(&ledger, 600, &expected);
        ledger.expiry = Some(at(550));
        let gaps = ledger.gaps(at(600));
        assert!(
            gaps.iter().any(|gap| gap.kind == GapKind::Undeliverable && gap.to == Some(at(550))),
            "{gaps:?}"
        );
    }

    #[test]
    fn it_is_acknowledged_by_itself() {
        let (mut ledger, mut canaries, mut acks) = (covered(), asked(Some(100)), Acks::default());
        let left = |ledger: &Ledger, acks: &Acks| {
            ledger.gaps(at(9000)).iter().filter(|gap| acks.place_of(gap).is_none()).count()
        };
        ledger.tracks[0].add(Stretch {
            from: at(7000),
            to: at(8000),
            kind: GapKind::Uncovered,
            cause: GapCause::Absent,
        });
        assert!(acks.acknowledge(&ledger, None, at(8500), None));
        refused(&mut canaries, &[200, 300]);
        ledger.hear(Some(&canaries), at(350));
        assert_eq!(
            left(&ledger, &acks),
            3,
            "what is found later is not acknowledged, although it is older"
        );
        canaries.accepted(at(400));
        ledger.hear(Some(&canaries), at(450));
        assert!(acks.acknowledge(&ledger, None, at(8600), None));
        assert_eq!(left(&ledger, &acks), 0);
        assert!(!acks.acknowledge(&ledger, None, at(8700), None));
        refused(&mut canaries, &[500, 600]);
        canaries.accepted(at(700));
        ledger.hear(Some(&canaries), at(750));
        assert!(acks.acknowledge(&ledger, None, at(8800), None), "a second outage");
        assert_eq!(left(&ledger, &acks), 0);
    }

    #[test]
    fn it_is_stored_while_it_is_open_and_when_it_has_ended() {
        let (mut ledger, mut canaries) = (covered(), asked(Some(100)));
        let stored = |ledger: &Ledger| -> Ledger {
            serde_json::from_str(&serde_json::to_string(ledger).unwrap()).unwrap()
        };
        refused(&mut canaries, &[200, 300]);
        for accepts in [false, true] {
            if accepts {
                canaries.accepted(at(400));
            }
            ledger.hear(Some(&canaries), at(450));
            assert_eq!(ledger.reception.open.is_none(), accepts);
            assert_eq!(stored(&ledger), ledger);
        }
        let mut unheard = covered();
        unheard.reception.open = Some(Open {
            from: at(1),
            kind: GapKind::Undeliverable,
            cause: GapCause::CanaryRefused,
        });
        assert_eq!(stored(&unheard), unheard, "no gap of it has ended yet");
    }

    #[test]
    fn gaps_are_bounded_and_none_is_forgotten() {
        let mut reception = Reception::default();
        for n in 0..1000 {
            reception.add(at(0), at(n * 10), at(n * 10 + 5), GapKind::Undeliverable);
        }
        assert_eq!((reception.gaps.len(), reception.gaps[0].from), (GAPS_MAX, at(0)));
        let track = Track::new("Deals".into(), crate::model::events::Operation::Edit, at(0));
        assert_eq!(reception.beside((track.since, track.until), &[]).len(), GAPS_MAX);
    }
}
