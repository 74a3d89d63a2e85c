//! Who owns what, as the claims were read, and what we hold ourselves.
//!
//! A claim is ours when a commit of ours put it there and was answered. One that names us and is
//! not held, because an answer was lost or because it was released, is never taken as it is: it is
//! deleted, or claimed by another commit. So a request that comes late finds a revision that it
//! does not know, and is refused.
//!
//! | the claim | and we | then |
//! | --- | --- | --- |
//! | is free, or its owner's membership has ended | are to own it | it is claimed |
//! | is ours and not held | are to own it | it is claimed anew |
//! | is ours and not held | are not | it is deleted |
//! | is ours and held | are not | the daemon is asked to let go |
//! | was written by somebody else | hold it | it is lost |
//! | cannot be read | | it is left alone |

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Change, Entry, Guard, Revision};

use super::charge::Charge;
use super::keys::{Claim, Keys, MemberId};
use super::members::Members;

/// The most charges of one commit: its guards, at most two each and one beside, stay below
/// [`crate::engine::OPERATIONS_MAX`].
pub(super) const A_COMMIT: usize = 30;

/// Whose a claim is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// There is no such key.
    Nobody,
    /// That membership's.
    Member(Claim),
    /// Its value cannot be read: it is of a later release.
    Unreadable,
}

/// A claim as it was last heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Heard {
    owner: Owner,
    /// When it was last written; 0 when it is not there.
    modified: Revision,
    /// The revision at which this was so.
    as_of: Revision,
}

/// A claim that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    epoch: Revision,
    /// The daemon was asked to let go of it.
    leaving: bool,
}

/// Our membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Me {
    /// Our id.
    pub(super) id: MemberId,
    /// When our key was created.
    pub(super) membership: Revision,
}

/// A charge that a commit is to claim or to delete, as its claim is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Which.
    pub(super) charge: Charge,
    /// Its claim's revision.
    pub(super) modified: Revision,
    /// Whose membership has to have ended.
    pub(super) former: Option<Claim>,
}

/// All claims.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    heard: BTreeMap<Charge, Heard>,
    held: BTreeMap<Charge, Held>,
    /// A commit for these is under way.
    busy: BTreeSet<Charge>,
    /// All of them were read once.
    read: bool,
}

impl Claims {
    /// Takes what a read of all claims showed, and says what was lost.
    pub(super) fn read_all(
        &mut self,
        keys: &Keys,
        entries: &[Entry],
        revision: Revision,
    ) -> Vec<Charge> {
        let mut found: BTreeMap<Charge, Heard> = entries
            .iter()
            .filter_map(|entry| Some((keys.charge_of(&entry.key)?, Heard::of(entry, revision))))
            .collect();
        let absent = self.heard.keys().filter(|charge| !found.contains_key(charge)).cloned();
        let absent: Vec<Charge> = absent.collect();
        found.extend(absent.into_iter().map(|charge| (charge, Heard::nothing(revision))));
        self.read = true;
        let lost = self.hear(found);
        let is_free = |heard: &Heard| heard.owner == Owner::Nobody && heard.as_of <= revision;
        self.heard.retain(|_, heard| !is_free(heard));
        lost
    }

    /// Takes what a read of some claims showed, and says what was lost.
    pub(super) fn read_some(
        &mut self,
        keys: &Keys,
        asked: &BTreeSet<Charge>,
        entries: &[Entry],
        revision: Revision,
    ) -> Vec<Charge> {
        let mut found: BTreeMap<Charge, Heard> =
            asked.iter().map(|charge| (charge.clone(), Heard::nothing(revision))).collect();
        found.extend(
            entries.iter().filter_map(|entry| {
                Some((keys.charge_of(&entry.key)?, Heard::of(entry, revision)))
            }),
        );
        self.hear(found)
    }

    /// A read that was overtaken by an answer to a commit changes nothing.
    fn hear(&mut self, found: BTreeMap<Charge, Heard>) -> Vec<Charge> {
        let mut lost = Vec::new();
        for (charge, heard) in found {
            if self.heard.get(&charge).is_some_and(|known| known.as_of > heard.as_of) {
                continue;
            }
            if self.held.get(&charge).is_some_and(|held| held.epoch != heard.modified) {
                self.held.remove(&charge);
                lost.push(charge.clone());
            }
            self.heard.insert(charge, heard);
        }
        lost
    }

    /// True when a hint at this revision says something that is not known.
    pub(super) fn is_news(&self, charge: &Charge, revision: Revision) -> bool {
        self.heard.get(charge).is_none_or(|heard| heard.as_of < revision)
    }

    /// The claims to make, of those that we are to own.
    pub(super) fn to_take(
        &self,
        mine: &BTreeSet<Charge>,
        me: &Me,
        members: &Members,
    ) -> Vec<Known> {
        let open = mine.iter().filter(|charge| self.read && self.is_open(charge));
        let known = open.filter_map(|charge| {
            let nothing = Heard::nothing(Revision(0));
            let heard = self.heard.get(charge).unwrap_or(&nothing);
            let former = match &heard.owner {
                Owner::Nobody => None,
                Owner::Member(claim) if me.made(claim) => None,
                Owner::Member(claim) if members.ended(&claim.member, claim.began()) => Some(claim),
                Owner::Member(_) | Owner::Unreadable => return None,
            };
            let (charge, modified) = (charge.clone(), heard.modified);
            Some(Known { charge, modified, former: former.cloned() })
        });
        known.collect()
    }

    /// The claims that are ours, that nobody holds, and that are not for us.
    pub(super) fn to_delete(&self, mine: &BTreeSet<Charge>, me: &Me) -> Vec<Known> {
        let strays = self.heard.iter().filter(|(charge, heard)| {
            let ours = matches!(&heard.owner, Owner::Member(claim) if me.made(claim));
            ours && self.is_open(charge) && !mine.contains(charge)
        });
        let known = strays.map(|(charge, heard)| Known {
            charge: charge.clone(),
            modified: heard.modified,
            former: None,
        });
        known.collect()
    }

    /// The charges that are held and not for us, as far as the daemon was not asked yet to let go
    /// of it.
    pub(super) fn to_lose(&self, mine: &BTreeSet<Charge>) -> Vec<Charge> {
        let not_ours = |(charge, held): &(&Charge, &Held)| !held.leaving && !mine.contains(charge);
        self.held.iter().filter(not_ours).map(|(charge, _)| charge.clone()).collect()
    }

    /// Neither held nor in a commit.
    fn is_open(&self, charge: &Charge) -> bool {
        !self.held.contains_key(charge) && !self.busy.contains(charge)
    }

    /// A commit for these is on its way.
    pub(super) fn begin(&mut self, batch: &[Known]) {
        self.busy.extend(batch.iter().map(|known| known.charge.clone()));
    }

    /// The commit has ended, somehow.
    pub(super) fn end(&mut self, batch: &[Known]) {
        for known in batch {
            self.busy.remove(&known.charge);
        }
    }

    /// The engine has answered that we own these.
    pub(super) fn taken(&mut self, batch: &[Known], me: &Me, epoch: Revision) {
        for Known { charge, .. } in batch {
            let owner = Owner::Member(me.claim());
            let heard = Heard { owner, modified: epoch, as_of: epoch };
            self.heard.insert(charge.clone(), heard);
            self.held.insert(charge.clone(), Held { epoch, leaving: false });
        }
    }

    /// The engine has answered that these claims are gone.
    pub(super) fn deleted(&mut self, batch: &[Known], revision: Revision) {
        for Known { charge, .. } in batch {
            self.heard.insert(charge.clone(), Heard::nothing(revision));
        }
    }

    /// The daemon is asked to let go of these.
    pub(super) fn ask(&mut self, charges: &[Charge]) {
        for charge in charges {
            if let Some(held) = self.held.get_mut(charge) {
                held.leaving = true;
            }
        }
    }

    /// The daemon has let go of the claim of this epoch. False: it was not asked to.
    pub(super) fn released(&mut self, charge: &Charge, epoch: Revision) -> bool {
        let asked = Held { epoch, leaving: true };
        let is_it = self.held.get(charge) == Some(&asked);
        if is_it {
            self.held.remove(charge);
        }
        is_it
    }

    /// True when it is ours and is to stay so.
    pub(super) fn holds(&self, charge: &Charge) -> bool {
        self.held.get(charge).is_some_and(|held| !held.leaving)
    }

    /// The epoch of what is ours and is to stay so.
    pub(super) fn epoch(&self, charge: &Charge) -> Option<Revision> {
        self.held.get(charge).filter(|held| !held.leaving).map(|held| held.epoch)
    }

    /// Forgets everything, and says what was held.
    pub(super) fn drop_all(&mut self) -> Vec<Charge> {
        std::mem::take(self).held.into_keys().collect()
    }

    /// True when nothing is held, and no commit is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.busy.is_empty()
    }

    /// Whose claim it is, as far as it is known.
    pub(super) fn owner(&self, charge: &Charge) -> &Owner {
        self.heard.get(charge).map_or(&Owner::Nobody, |heard| &heard.owner)
    }
}

/// The commit that claims these.
pub(super) fn taking(keys: &Keys, me: &Me, batch: &[Known]) -> (Vec<Guard>, Vec<Change>) {
    let mut guards = vec![Guard::CreatedAt(keys.member(&me.id), me.membership)];
    for Known { charge, modified, former } in batch {
        guards.push(Guard::ModifiedAt(keys.claim(charge), *modified));
        let ended = former
            .as_ref()
            .map(|claim| Guard::NotCreatedAt(keys.member(&claim.member), claim.began()));
        guards.extend(ended.filter(|guard| !guards.contains(guard)));
    }
    let value = me.claim().to_bytes();
    let put = |known: &Known| Change::Put(keys.claim(&known.charge), value.clone());
    (guards, batch.iter().map(put).collect())
}

/// The commit that deletes these.
pub(super) fn deleting(keys: &Keys, batch: &[Known]) -> (Vec<Guard>, Vec<Change>) {
    let guard = |it: &Known| Guard::ModifiedAt(keys.claim(&it.charge), it.modified);
    let delete = |it: &Known| Change::Delete(keys.claim(&it.charge));
    (batch.iter().map(guard).collect(), batch.iter().map(delete).collect())
}

impl Me {
    fn claim(&self) -> Claim {
        Claim { member: self.id.clone(), membership: self.membership.0 }
    }

    fn made(&self, claim: &Claim) -> bool {
        claim.member == self.id && claim.began() == self.membership
    }
}

impl Claim {
    /// When the membership that made it began.
    pub(super) fn began(&self) -> Revision {
        Revision(self.membership)
    }
}

impl Heard {
    fn of(entry: &Entry, as_of: Revision) -> Heard {
        let owner = serde_json::from_slice(&entry.value);
        let owner = owner.map_or(Owner::Unreadable, Owner::Member);
        Heard { owner, modified: entry.modified, as_of }
    }

    fn nothing(as_of: Revision) -> Heard {
        Heard { owner: Owner::Nobody, modified: Revision(0), as_of }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::engine::OPERATIONS_MAX;

    use super::super::keys::Card;
    use super::*;

    #[test]
    fn free_claims_and_those_of_the_dead_are_taken_and_others_are_not() {
        let world = World::new(&[
            ("free", None),
            ("dead", Some(claim("x", 3))),
            ("former", Some(claim("me", 4))),
            ("stray", Some(claim("me", 5))),
            ("living", Some(claim("b", 6))),
            ("unknown", Some(claim("later", 101))),
        ]);
        let taken = world.claims.to_take(&world.all(), &me(), &world.members);
        let taken: Vec<String> = taken
            .iter()
            .map(|it| {
                let former = it.former.as_ref().map(|it| it.member.to_string());
                format!("{} {} {}", it.charge, it.modified.0, former.unwrap_or_default())
            })
            .collect();
        expect_test::expect![["dead 10 x-0, former 10 me-0, free 0 , stray 10 "]]
            .assert_eq(&taken.join(", "));
    }

    #[test]
    fn nothing_is_taken_before_all_claims_were_read() {
        let mine = BTreeSet::from([charge("acme")]);
        let world = World::new(&[]);
        assert_eq!(Claims::default().to_take(&mine, &me(), &world.members), []);
        assert_eq!(world.claims.to_take(&mine, &me(), &world.members).len(), 1);
    }

    #[test]
    fn a_stray_that_is_for_another_is_deleted_and_one_that_is_held_is_asked_for() {
        let mut world = World::new(&[("acme", Some(claim("me", 5)))]);
        let nobody = BTreeSet::new();
        let strays = world.claims.to_delete(&nobody, &me());
        assert_eq!(strays, [known("acme", 10)]);
        assert_eq!(world.claims.to_delete(&world.all(), &me()), []);
        world.claims.taken(&strays, &me(), Revision(20));
        assert_eq!(world.claims.to_delete(&nobody, &me()), []);
        assert_eq!(world.claims.to_lose(&nobody), [charge("acme")]);
        assert_eq!(world.claims.to_lose(&world.all()), []);
        world.claims.ask(&[charge("acme")]);
        assert_eq!(world.claims.to_lose(&nobody), []);
        assert!(!world.claims.released(&charge("acme"), Revision(10)), "of an earlier claim");
        assert!(world.claims.released(&charge("acme"), Revision(20)));
        assert_eq!(world.claims.to_delete(&nobody, &me()), [known("acme", 20)]);
    }

    #[test]
    fn a_claim_that_was_written_since_is_lost_and_a_read_that_was_overtaken_takes_nothing() {
        let mut world = World::new(&[]);
        world.claims.taken(&[known("acme", 0)], &me(), Revision(120));
        assert!(world.read(100, &[]).is_empty(), "it was read before the commit");
        assert!(world.read(125, &[("acme", 120, claim("me", 5))]).is_empty());
        assert_eq!(world.read(130, &[("acme", 126, claim("b", 6))]), [charge("acme")]);
        world.claims.taken(&[known("acme", 126)], &me(), Revision(140));
        assert_eq!(world.read(150, &[]), [charge("acme")], "deleted by somebody");
    }

    #[test]
    fn nothing_is_claimed_twice_at_once() {
        let mut world = World::new(&[("acme", None)]);
        let take = world.claims.to_take(&world.all(), &me(), &world.members);
        world.claims.begin(&take);
        assert_eq!(world.claims.to_take(&world.all(), &me(), &world.members), []);
        assert!(!world.claims.is_idle());
        world.claims.end(&take);
        assert_eq!(world.claims.to_take(&world.all(), &me(), &world.members), take);
    }

    #[test]
    fn a_commit_has_a_guard_for_us_for_each_claim_and_for_each_former_owner() {
        let batch: Vec<Known> = (0..A_COMMIT)
            .map(|number| Known {
                former: Some(claim(&format!("x{number}"), 3)),
                ..known(&format!("a{number}"), 10)
            })
            .collect();
        let (guards, changes) = taking(&keys(), &me(), &batch);
        assert_eq!((guards.len(), changes.len()), (1 + 2 * A_COMMIT, A_COMMIT));
        assert!(guards.len() <= OPERATIONS_MAX);
        let of_one = |former: Claim| {
            let known = Known { former: Some(former), ..known("acme", 10) };
            taking(&keys(), &me(), &[known.clone(), known]).0
        };
        let guards = of_one(claim("x", 3));
        assert_eq!(
            guards,
            [
                Guard::CreatedAt(keys().member(&me().id), Revision(5)),
                Guard::ModifiedAt(keys().claim(&charge("acme")), Revision(10)),
                Guard::NotCreatedAt(keys().member(&id("x")), Revision(3)),
                Guard::ModifiedAt(keys().claim(&charge("acme")), Revision(10)),
            ]
        );
    }

    /// Members `me` (5) and `b` (6), looked at when the engine was at 100, and these claims, each
    /// written at 10.
    struct World {
        members: Members,
        claims: Claims,
        named: Vec<Charge>,
    }

    impl World {
        fn new(claims: &[(&str, Option<Claim>)]) -> World {
            let member = |node: &str, created| Entry {
                key: keys().member(&id(node)),
                value: Card::default().to_bytes(),
                created: Revision(created),
                modified: Revision(created),
            };
            let mut members = Members::default();
            let entries = [member("me", 5), member("b", 6)];
            members.look(&keys(), &entries, Revision(100), Duration::ZERO);
            let named = claims.iter().map(|(name, _)| charge(name)).collect();
            let mut world = World { members, claims: Claims::default(), named };
            let there = claims.iter().filter_map(|(name, claim)| Some((*name, 10, claim.clone()?)));
            let there: Vec<(&str, i64, Claim)> = there.collect();
            world.read(100, &there);
            world
        }

        fn read(&mut self, revision: i64, claims: &[(&str, i64, Claim)]) -> Vec<Charge> {
            let entries = claims.iter().map(|(name, modified, claim)| Entry {
                key: keys().claim(&charge(name)),
                value: claim.to_bytes(),
                created: Revision(1),
                modified: Revision(*modified),
            });
            let entries: Vec<Entry> = entries.collect();
            self.claims.read_all(&keys(), &entries, Revision(revision))
        }

        fn all(&self) -> BTreeSet<Charge> {
            self.named.iter().cloned().collect()
        }
    }

    fn keys() -> Keys {
        Keys::new("prod")
    }

    fn me() -> Me {
        Me { id: id("me"), membership: Revision(5) }
    }

    fn id(node: &str) -> MemberId {
        MemberId { node: node.to_owned(), boot: "0".to_owned() }
    }

    fn claim(node: &str, membership: i64) -> Claim {
        Claim { member: id(node), membership }
    }

    fn charge(name: &str) -> Charge {
        name.parse().unwrap()
    }

    fn known(name: &str, modified: i64) -> Known {
        Known { charge: charge(name), modified: Revision(modified), former: None }
    }
}
