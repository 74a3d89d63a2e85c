//! Gaps that somebody has seen to, or will not: acknowledged ones. They stay in the ledger, and are
//! not held up any more.
//!
//! An acknowledgement keeps one instant for each event: the end of the last gap that had ended when
//! it was given. That names exactly the gaps that were there. A track adds behind its last gap only
//! ([`super::track::Track::add`]), so whatever is found later, even of the past, ends later. A gap
//! that is still open cannot be acknowledged, and one that grew since it was is not any more.
//!
//! An acknowledgement deliberately has no effect on what is counted. Uncovered seconds stay
//! uncovered.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::model::events::Operation;
use crate::model::sanitize::is_foul;
use crate::model::time::Timestamp;

use super::gap::{Gap, GapCause};
use super::ledger::Ledger;

/// The acknowledgements of one channel, oldest first; at most [`ACKS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acks(pub Vec<Ack>);

/// One word of somebody's about one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// When it was said, in Zoho's time.
    pub at: Timestamp,
    /// The words of the person who acknowledged.
    pub note: Option<Note>,
    /// For each event the end of its last gap that is acknowledged.
    pub ends: BTreeMap<(String, Operation), Timestamp>,
    /// The end of the last acknowledged stretch that was covered and not deliverable; it is kept
    /// once for all events.
    pub reception: Option<Timestamp>,
}

/// One line of at most [`NOTE_MAX`] characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

/// A text that is no note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a note is one line of 1 to {NOTE_MAX} characters, none of which controls a terminal")]
pub struct BadNote;

impl Acks {
    /// Which of them a gap is acknowledged by, by its place.
    pub fn place_of(&self, gap: &Gap) -> Option<usize> {
        let to = gap.to?;
        let event = (gap.module.clone(), gap.operation);
        let end = |ack: &Ack| {
            let of_event = || ack.ends.get(&event).copied();
            if gap.cause == GapCause::CanaryRefused { ack.reception } else { of_event() }
        };
        self.0.iter().position(|ack| end(ack).is_some_and(|end| to <= end))
    }

    /// Acknowledges every gap of a ledger that has ended, by `until` if there is one. Returns
    /// whether there was any that was not acknowledged yet.
    pub fn acknowledge(
        &mut self,
        ledger: &Ledger,
        until: Option<Timestamp>,
        at: Timestamp,
        note: Option<Note>,
    ) -> bool {
        let mut ends: BTreeMap<(String, Operation), Timestamp> = BTreeMap::new();
        for track in &ledger.tracks {
            let ended = track
                .gaps
                .iter()
                .map(|gap| gap.to)
                .filter(|to| until.is_none_or(|until| *to <= until));
            let event = (track.module.clone(), track.operation);
            let known = self.0.iter().filter_map(|ack| ack.ends.get(&event)).max();
            if let Some(end) = ended.max().filter(|end| known.is_none_or(|known| end > known)) {
                let later = ends.entry(event).or_insert(end);
                *later = end.max(*later);
            }
        }
        let ended = ledger
            .reception
            .gaps
            .iter()
            .map(|gap| gap.to)
            .filter(|to| until.is_none_or(|until| *to <= until));
        let known = self.0.iter().filter_map(|ack| ack.reception).max();
        let reception = ended.max().filter(|end| known.is_none_or(|known| *end > known));
        let any = !ends.is_empty() || reception.is_some();
        if any {
            self.0.push(Ack { at, note, ends, reception });
        }
        if self.0.len() > ACKS_MAX {
            self.merge_oldest();
        }
        any
    }

    /// The two oldest become one, with the words of the later.
    fn merge_oldest(&mut self) {
        let first = self.0.remove(0);
        if let Some(second) = self.0.first_mut() {
            for (event, end) in first.ends {
                let later = second.ends.entry(event).or_insert(end);
                *later = end.max(*later);
            }
            second.reception = second.reception.max(first.reception);
        }
    }
}

impl FromStr for Note {
    type Err = BadNote;

    fn from_str(text: &str) -> Result<Note, BadNote> {
        let text = text.trim();
        let fits = (1..=NOTE_MAX).contains(&text.chars().count());
        if fits && !text.contains(is_foul) { Ok(Note(text.to_owned())) } else { Err(BadNote) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Kept of one channel. When there are more, the two oldest become one.
pub const ACKS_MAX: usize = 32;
/// The most characters of a note.
pub const NOTE_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::gap::GapKind;
    use super::super::rules::{at, spec};
    use super::super::track::{Open, Stretch};
    use super::*;

    /// A channel of two events, the first with these gaps.
    fn ledger(gaps: &[(i64, i64)]) -> Ledger {
        let mut ledger = Ledger::new(&spec(&["Deals.edit", "Leads.create"], "u"), at(0));
        ledger.tracks.iter_mut().for_each(|track| track.open = None);
        for (from, to) in gaps {
            add(&mut ledger, 0, (*from, *to));
        }
        ledger
    }

    fn add(ledger: &mut Ledger, track: usize, (from, to): (i64, i64)) {
        ledger.tracks[track].add(Stretch {
            from: at(from),
            to: at(to),
            kind: GapKind::Uncovered,
            cause: GapCause::Absent,
        });
    }

    fn said(acks: &mut Acks, ledger: &Ledger, until: Option<i64>, second: i64) -> bool {
        acks.acknowledge(ledger, until.map(at), at(second), None)
    }

    /// The gaps that are acknowledged, by their beginnings.
    fn acknowledged(acks: &Acks, ledger: &Ledger) -> Vec<i64> {
        let gaps = ledger.gaps(at(10_000)).into_iter().filter(|gap| acks.place_of(gap).is_some());
        gaps.map(|gap| gap.from.as_second()).collect()
    }

    #[test]
    fn what_was_there_is_acknowledged_and_what_comes_later_is_not() {
        let (mut acks, mut ledger) = (Acks::default(), ledger(&[(10, 20), (30, 40)]));
        assert!(said(&mut acks, &ledger, None, 50));
        assert_eq!(acknowledged(&acks, &ledger), [10, 30]);
        add(&mut ledger, 0, (60, 70));
        assert_eq!(acknowledged(&acks, &ledger), [10, 30]);
        assert!(
            !said(&mut Acks(acks.0.clone()), &self::ledger(&[(10, 20)]), None, 80),
            "nothing is new in it"
        );
    }

    #[test]
    fn a_gap_of_another_event_that_is_found_later_is_not_acknowledged_even_if_it_is_older() {
        let (mut acks, mut ledger) = (Acks::default(), ledger(&[(10, 40)]));
        said(&mut acks, &ledger, None, 50);
        add(&mut ledger, 1, (20, 30));
        assert_eq!(acknowledged(&acks, &ledger), [10]);
    }

    #[test]
    fn an_open_gap_is_not_acknowledged_and_one_that_goes_on_is_not_any_more() {
        let (mut acks, mut ledger) = (Acks::default(), ledger(&[(10, 20)]));
        ledger.tracks[1].open =
            Some(Open { from: at(5), kind: GapKind::Unknown, cause: GapCause::Unseen });
        said(&mut acks, &ledger, None, 50);
        assert_eq!(acknowledged(&acks, &ledger), [10]);
        add(&mut ledger, 0, (20, 60));
        assert_eq!(acknowledged(&acks, &ledger), Vec::<i64>::new());
    }

    #[test]
    fn until_leaves_what_ended_later() {
        let (mut acks, ledger) = (Acks::default(), ledger(&[(10, 20), (30, 40)]));
        assert!(!said(&mut acks, &ledger, Some(19), 50));
        assert!(said(&mut acks, &ledger, Some(39), 50));
        assert_eq!(acknowledged(&acks, &ledger), [10]);
        assert!(said(&mut acks, &ledger, None, 51));
        assert_eq!(acknowledged(&acks, &ledger), [10, 30]);
        assert_eq!(acks.0.len(), 2, "each gap keeps the word that was said of it");
    }

    #[test]
    fn words_are_bounded_and_forget_no_gap() {
        let (mut acks, mut ledger) = (Acks::default(), ledger(&[]));
        for n in 0..50 {
            add(&mut ledger, 0, (100 * n, 100 * n + 50));
            assert!(said(&mut acks, &ledger, None, 100 * n + 60));
        }
        assert_eq!(acks.0.len(), ACKS_MAX);
        assert_eq!(acknowledged(&acks, &ledger).len(), 50);
    }

    #[test]
    fn a_note_is_one_clean_line() {
        assert_eq!(" fetched by hand ".parse::<Note>().unwrap().to_string(), "fetched by hand");
        for bad in ["", "  ", "a\nb", "\u{1b}[31m", "\u{202e}", &"x".repeat(NOTE_MAX + 1)] {
            assert_eq!(bad.parse::<Note>(), Err(BadNote), "{bad:?}");
        }
    }
}
