//! The gate: the layout of accounts that everybody may write.
//!
//! It stands in the engine as `meta/schema`. Each member says with its beats which layouts it
//! reads. Whoever owns the work of the whole fleet raises the gate to the newest one that all
//! members have named for [`NAMED_FOR`]. So whoever updates the machines one by one can put the
//! former release back on any of them until then.
//!
//! | | |
//! | --- | --- |
//! | it never falls | it is raised under a guard of its revision, and to something higher |
//! | it is not raised over a member that joins | a member joins under a guard of its revision: one that looked before it was raised looks again |
//! | whoever does not read it | does not join, or leaves, and says so |
//! | a member that does not read it and does not know of it | is not counted when owners are computed |
//!
//! Time counts while somebody looks: whoever becomes the one who raises begins with what he saw.

use std::time::Duration;

use crate::engine::{Entry, Revision};
use crate::model::cluster::Layouts;

use super::members::{GAP_MAX, Members};

/// A layout is written once every member has named it for so long.
pub(super) const NAMED_FOR: Duration = Duration::from_secs(600);

/// The gate, as it was read last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gate {
    /// The layout; `None` where there is none yet.
    layout: Option<u32>,
    /// When it was written.
    pub(super) modified: Revision,
    next: Option<Next>,
    looked: Option<Duration>,
}

/// A newer layout that all members read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Next {
    layout: u32,
    /// For how long they were seen to say so.
    named: Duration,
}

impl Gate {
    /// Takes what a look showed.
    pub(super) fn look(&mut self, entry: Option<&Entry>, members: &Members, now: Duration) {
        let gap = self.looked.map_or(Duration::ZERO, |looked| now.saturating_sub(looked));
        self.layout = entry.map(|entry| layout_in(&entry.value));
        self.modified = entry.map_or(Revision::default(), |entry| entry.modified);
        self.looked = Some(now);
        let newest = common(members).filter(|newest| self.layout.is_some_and(|it| it < *newest));
        self.next = newest.map(|layout| {
            let known = self.next.filter(|next| next.layout == layout);
            let named = known.map_or(Duration::ZERO, |next| next.named + gap.min(GAP_MAX));
            Next { layout, named }
        });
    }

    /// The layout that everybody may write.
    pub(super) fn layout(&self) -> Option<u32> {
        self.layout
    }

    /// True when these read what may be written.
    pub(super) fn is_open_to(&self, layouts: Layouts) -> bool {
        self.layout.is_none_or(|layout| layouts.read(layout))
    }

    /// The layout to which it is to be raised.
    pub(super) fn due(&self) -> Option<u32> {
        self.next.filter(|next| next.named >= NAMED_FOR).map(|next| next.layout)
    }
}

/// The newest layout that all members read; nothing when one of them cannot be understood.
fn common(members: &Members) -> Option<u32> {
    let newest = members.iter().map(|(_, member)| Some(member.card.as_ref()?.layouts.newest));
    newest.collect::<Option<Vec<u32>>>()?.into_iter().min()
}

/// A value that cannot be read is one of a later release.
fn layout_in(value: &[u8]) -> u32 {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Card, Keys, MemberId};
    use super::*;

    #[test]
    fn a_layout_is_due_once_all_have_named_it_for_ten_minutes() {
        let mut play = Play::new("1");
        play.looks(0, 600, &[2, 2, 3]);
        assert_eq!(play.gate.due(), Some(2));
        assert_eq!(play.gate.layout(), Some(1));
        play.entry = Some(entry("2"));
        play.looks(600, 602, &[2, 2, 3]);
        assert_eq!((play.gate.due(), play.gate.layout()), (None, Some(2)));
    }

    #[test]
    fn whoever_does_not_name_it_begins_the_ten_minutes_anew() {
        let mut play = Play::new("1");
        play.looks(0, 599, &[2, 2]);
        assert_eq!(play.gate.due(), None);
        play.looks(599, 600, &[2, 2, 1]);
        play.looks(600, 1199, &[2, 2]);
        assert_eq!(play.gate.due(), None);
        play.looks(1199, 1201, &[2, 2]);
        assert_eq!(play.gate.due(), Some(2));
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut play = Play::new("1");
        play.looks(0, 10, &[2, 2]);
        play.looks(3600, 3610, &[2, 2]);
        assert_eq!(play.gate.due(), None);
    }

    #[test]
    fn without_a_gate_or_with_one_that_is_as_high_nothing_is_raised() {
        for (gate, newest) in [(None, 2), (Some("2"), 2), (Some("3"), 2), (Some("x"), 2)] {
            let mut play = Play::new("1");
            play.entry = gate.map(entry);
            play.looks(0, 700, &[newest, newest]);
            assert_eq!(play.gate.due(), None, "{gate:?}");
        }
    }

    #[test]
    fn it_is_open_to_whoever_reads_what_may_be_written() {
        for (gate, is_open) in [("1", true), ("2", true), ("3", false), ("x", false), ("0", false)]
        {
            let mut play = Play::new(gate);
            play.looks(0, 1, &[2]);
            assert_eq!(play.gate.is_open_to(Layouts { oldest: 1, newest: 2 }), is_open, "{gate}");
        }
        assert!(Gate::default().is_open_to(Layouts::OWN));
    }

    #[test]
    fn a_member_whose_words_cannot_be_read_keeps_it_where_it_is() {
        let mut play = Play::new("1");
        play.looks(0, 700, &[2, UNREADABLE, 2]);
        assert_eq!(play.gate.due(), None);
    }

    /// In the place of the newest layout that a member reads.
    const UNREADABLE: u32 = 0;

    struct Play {
        gate: Gate,
        entry: Option<Entry>,
    }

    impl Play {
        fn new(gate: &str) -> Play {
            Play { gate: Gate::default(), entry: Some(entry(gate)) }
        }

        /// A look each second, at members that read up to these.
        fn looks(&mut self, from: u64, to: u64, newest: &[u32]) {
            let keys = Keys::new("t");
            let member = |(number, newest): (usize, &u32)| {
                let id = MemberId { node: format!("n{number}"), boot: "0".to_owned() };
                let layouts = Layouts { oldest: 1, newest: *newest };
                let card = Card { layouts, ..Card::default() };
                let value = if *newest == UNREADABLE { b"?".to_vec() } else { card.to_bytes() };
                let (created, modified) = (Revision(1), Revision(1));
                Entry { key: keys.member(&id), value, created, modified }
            };
            let entries: Vec<Entry> = newest.iter().enumerate().map(member).collect();
            for second in from..=to {
                let (mut members, now) = (Members::default(), Duration::from_secs(second));
                members.look(&keys, &entries, Revision(9), now);
                self.gate.look(self.entry.as_ref(), &members, now);
            }
        }
    }

    fn entry(value: &str) -> Entry {
        let (created, modified) = (Revision(1), Revision(1));
        let (key, value) = (Keys::new("t").schema(), value.as_bytes().to_vec());
        Entry { key, value, created, modified }
    }
}
