//! The others, as their keys were read: who is there, and who may be evicted.
//!
//! A member is judged by how long its key was *watched* and did not change, on our own clock. Time
//! in which nobody watched does not count: whoever stood still counts anew, and between two looks
//! at most [`GAP_MAX`] counts. So a member is not evicted for an outage of the engine that all had.
//!
//! That is for the sake of calm. Safety rests on the guard of the eviction, which names the
//! revision that was seen: a member that beat after all is not evicted.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{Entry, Revision};

use super::assign::Candidate;
use super::keys::{Card, Keys, MemberId, Out};

/// Members are read so often.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Whoever was watched for so long and did not change is evicted: half a second after the
/// member's own deadline at the earliest.
pub(super) const UNCHANGED_MAX: Duration = Duration::from_millis(8250);
/// Looks are a second apart. A member that stood still for longer than this, or could not look,
/// knows nothing of the time between.
pub(super) const GAP_MAX: Duration = Duration::from_millis(1500);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its words about itself. `None`: in a way that this release cannot read.
    pub(super) card: Option<Card>,
    /// When its key was created.
    pub(super) created: Revision,
    /// When it was last written.
    pub(super) modified: Revision,
    /// When we last saw it change, on our own clock.
    pub(super) changed: Duration,
    /// How long it was watched since and did not change.
    unchanged: Duration,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    all: BTreeMap<MemberId, Member>,
    revision: Revision,
    looked: Option<Duration>,
}

impl Members {
    /// Takes what a look showed. Keys that are no member's are passed over. True: somebody came or
    /// went.
    pub(super) fn look(
        &mut self,
        keys: &Keys,
        entries: &[Entry],
        revision: Revision,
        now: Duration,
    ) -> bool {
        let gap = self.looked.map_or(Duration::ZERO, |looked| now.saturating_sub(looked));
        let watched = gap.min(GAP_MAX);
        let read = entries.iter().filter_map(|entry| {
            let id = keys.member_of(&entry.key)?;
            let known = self.all.get(&id).filter(|known| known.modified == entry.modified);
            let member = match known {
                Some(known) => Member { unchanged: known.unchanged + watched, ..known.clone() },
                None => Member::of(entry, now),
            };
            Some((id, member))
        });
        let all: BTreeMap<MemberId, Member> = read.collect();
        let memberships = |all: &BTreeMap<MemberId, Member>| -> Vec<(MemberId, Revision)> {
            all.iter().map(|(id, member)| (id.clone(), member.created)).collect()
        };
        let moved = memberships(&all) != memberships(&self.all);
        (self.all, self.revision, self.looked) = (all, revision, Some(now));
        moved
    }

    /// We stood still: all are counted anew.
    pub(super) fn stood_still(&mut self) {
        self.looked = None;
        for member in self.all.values_mut() {
            member.unchanged = Duration::ZERO;
        }
    }

    /// Who may be evicted, with the revision of its key that has to hold then.
    pub(super) fn evictable(&self, me: &MemberId) -> Vec<(MemberId, Revision)> {
        let dead = |(id, it): &(&MemberId, &Member)| *id != me && it.unchanged >= UNCHANGED_MAX;
        self.all.iter().filter(dead).map(|(id, it)| (id.clone(), it.modified)).collect()
    }

    /// The engine has answered that this member's key is gone.
    pub(super) fn gone(&mut self, id: &MemberId, revision: Revision) {
        self.all.remove(id);
        self.revision = self.revision.max(revision);
    }

    /// Whoever may be given something: settled, not draining, not put out, and able to read this
    /// layout. Where nobody else is left, those that are put out serve all the same.
    pub(super) fn candidates(
        &self,
        outs: &BTreeMap<String, Out>,
        layout: Option<u32>,
    ) -> Vec<Candidate> {
        let mut candidates = self.settled(layout);
        if candidates.iter().any(|it| !outs.contains_key(&it.id.node)) {
            candidates.retain(|it| !outs.contains_key(&it.id.node));
        }
        candidates
    }

    fn settled(&self, layout: Option<u32>) -> Vec<Candidate> {
        let given = self.all.iter().filter_map(|(id, member)| {
            let card = member.card.as_ref().filter(|card| card.settled && !card.draining)?;
            let reads = layout.is_none_or(|layout| card.layouts.read(layout));
            let card = Some(card).filter(|_| reads)?;
            let (created, unfit) = (member.created, card.unfit.clone());
            Some(Candidate { id: id.clone(), created, unfit })
        });
        given.collect()
    }

    /// True when this membership is known to have ended. One that began after our look may be new
    /// to us.
    pub(super) fn ended(&self, id: &MemberId, membership: Revision) -> bool {
        let lives = self.get(id).is_some_and(|member| member.created == membership);
        !lives && membership <= self.revision
    }

    /// One of them.
    pub(super) fn get(&self, id: &MemberId) -> Option<&Member> {
        self.all.get(id)
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&MemberId, &Member)> {
        self.all.iter()
    }
}

impl Member {
    fn of(entry: &Entry, now: Duration) -> Member {
        Member {
            card: serde_json::from_slice(&entry.value).ok(),
            created: entry.created,
            modified: entry.modified,
            changed: now,
            unchanged: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::model::cluster::Layouts;

    use super::*;

    #[test]
    fn whoever_was_watched_for_eight_seconds_and_did_not_change_may_be_evicted() {
        let mut world = World::default();
        world.looks(0, 8000, 1000);
        assert_eq!(world.evictable(), []);
        world.look(8250);
        assert_eq!(world.evictable(), [(id("b"), Revision(5))]);
        assert_eq!(world.members.evictable(&id("b")), [(id("a"), Revision(5))]);
        // A beat at the last moment.
        world.modified = 9;
        world.look(8300);
        assert_eq!(world.evictable(), []);
        world.looks(9300, 15_300, 1000);
        assert_eq!(world.evictable(), []);
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut world = World::default();
        world.looks(0, 3000, 1000);
        // The engine was away for a minute.
        world.look(63_000);
        assert_eq!(world.evictable(), []);
        world.looks(64_000, 66_000, 1000);
        assert_eq!(world.evictable(), [], "three seconds, one and a half, and three");
        world.look(67_000);
        assert_eq!(world.evictable().len(), 1);
    }

    #[test]
    fn whoever_stood_still_counts_anew() {
        let mut world = World::default();
        world.looks(0, 8000, 1000);
        world.members.stood_still();
        world.looks(9000, 17_000, 1000);
        assert_eq!(world.evictable(), []);
        world.look(17_250);
        assert_eq!(world.evictable().len(), 1);
    }

    #[test]
    fn a_membership_that_is_newer_than_the_look_has_not_ended() {
        let mut world = World::default();
        world.look(0);
        assert!(!world.members.ended(&id("b"), Revision(2)));
        assert!(world.members.ended(&id("b"), Revision(1)), "it was created anew");
        assert!(world.members.ended(&id("x"), Revision(100)));
        assert!(!world.members.ended(&id("x"), Revision(101)));
        world.members.gone(&id("b"), Revision(102));
        assert!(world.members.ended(&id("b"), Revision(2)));
    }

    #[test]
    fn joining_and_draining_members_are_given_nothing() {
        let card = |settled, draining| Card { settled, draining, ..Card::default() };
        for (card, given) in [
            (Some(card(true, false)), 1),
            (Some(card(false, false)), 0),
            (Some(card(true, true)), 0),
            (None, 0),
        ] {
            let mut members = Members::default();
            let value = card.as_ref().map_or(b"?".to_vec(), Card::to_bytes);
            members.look(&keys(), &[entry("a", value, 5)], Revision(9), Duration::ZERO);
            assert_eq!(members.candidates(&BTreeMap::new(), None).len(), given, "{card:?}");
        }
    }

    #[test]
    fn whoever_does_not_read_what_may_be_written_is_given_nothing() {
        let layouts = Layouts { oldest: 2, newest: 3 };
        let card = Card { settled: true, layouts, ..Card::default() };
        let mut members = Members::default();
        members.look(&keys(), &[entry("a", card.to_bytes(), 5)], Revision(9), Duration::ZERO);
        for (layout, given) in [(None, 1), (Some(1), 0), (Some(2), 1), (Some(3), 1), (Some(4), 0)] {
            let candidates = members.candidates(&BTreeMap::new(), layout);
            assert_eq!(candidates.len(), given, "{layout:?}");
        }
    }

    #[test]
    fn whoever_is_put_out_is_given_nothing_unless_nobody_else_is_left() {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let out = |node: &str| (node.to_owned(), Out { by: "c".to_owned(), at });
        let card = Card { settled: true, ..Card::default() }.to_bytes();
        let mut members = Members::default();
        let entries = ["a", "b"].map(|node| entry(node, card.clone(), 5));
        members.look(&keys(), &entries, Revision(9), Duration::ZERO);
        for (outs, given) in [
            (vec![], "a-0 b-0"),
            (vec![out("a")], "b-0"),
            (vec![out("a"), out("b")], "a-0 b-0"),
            (vec![out("x")], "a-0 b-0"),
        ] {
            let outs: BTreeMap<String, Out> = outs.into_iter().collect();
            let candidates = members.candidates(&outs, None).into_iter();
            let names: Vec<String> = candidates.map(|it| it.id.to_string()).collect();
            assert_eq!(names.join(" "), given, "{outs:?}");
        }
    }

    struct World {
        members: Members,
        modified: i64,
    }

    impl Default for World {
        fn default() -> World {
            World { members: Members::default(), modified: 5 }
        }
    }

    impl World {
        fn look(&mut self, millis: u64) {
            let value = Card::default().to_bytes();
            let entries = ["a", "b"].map(|node| entry(node, value.clone(), self.modified));
            let now = Duration::from_millis(millis);
            self.members.look(&keys(), &entries, Revision(100), now);
        }

        fn looks(&mut self, from: u64, to: u64, step: usize) {
            for millis in (from..=to).step_by(step) {
                self.look(millis);
            }
        }

        fn evictable(&self) -> Vec<(MemberId, Revision)> {
            self.members.evictable(&id("a"))
        }
    }

    fn keys() -> Keys {
        Keys::new("prod")
    }

    fn id(node: &str) -> MemberId {
        MemberId { node: node.to_owned(), boot: "0".to_owned() }
    }

    fn entry(node: &str, value: Vec<u8>, modified: i64) -> Entry {
        let (created, modified) = (Revision(2), Revision(modified));
        Entry { key: keys().member(&id(node)), value, created, modified }
    }
}
