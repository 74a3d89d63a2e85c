//! Who is to own what: rendezvous hashing.
//!
//! Each member has a weight for each charge, and the heaviest that is fit has it. Every member
//! computes that by itself and comes to the same result, because it depends on names alone. When
//! one goes, its charges alone move; one that comes takes for itself and moves nothing else.
//!
//! The weights are part of the protocol: members of two releases have to agree about them.

use crate::engine::Revision;

use super::charge::Charge;
use super::keys::{MemberId, Unfit};

/// A member that may be given something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Which member.
    pub(super) id: MemberId,
    /// When its key was created.
    pub(super) created: Revision,
    /// The accounts that it cannot serve.
    pub(super) unfit: Unfit,
}

/// Who is to own this, if anybody can. Of two members that weigh the same, as two of one node do,
/// the later one has it.
pub(super) fn owner<'a>(charge: &Charge, candidates: &'a [Candidate]) -> Option<&'a MemberId> {
    let fit = candidates.iter().filter(|candidate| candidate.unfit.leaves(charge));
    let weighed = fit.map(|it| (weight(&it.id.node, charge.as_str()), it.created, &it.id));
    weighed.max().map(|(_, _, id)| id)
}

/// FNV-1a over both names, then the finalizer of `MurmurHash3`, without which names that differ in
/// their last letter only would have like weights.
fn weight(node: &str, charge: &str) -> u64 {
    let bytes = node.bytes().chain([SEPARATOR]).chain(charge.bytes());
    let hash =
        bytes.fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// It is in no name.
const SEPARATOR: u8 = 0xff;
/// <http://www.isthe.com/chongo/tech/comp/fnv/>, 64 bits.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_names_have_the_same_owner_in_every_release() {
        let members = ["a", "b", "c"].map(candidate);
        let owners: Vec<String> = ["acme", "acme-2", "beta", "@fleet", "zeta", "x"]
            .map(|charge| owner(&charge.parse().unwrap(), &members).unwrap().node.clone())
            .to_vec();
        expect_test::expect!["a c a b a a"].assert_eq(&owners.join(" "));
    }

    #[test]
    fn ten_thousand_are_spread_evenly_over_three() {
        let members = ["host-1", "host-2", "host-3"].map(candidate);
        let mut counts: BTreeMap<&MemberId, usize> = BTreeMap::new();
        for charge in charges(10_000) {
            *counts.entry(owner(&charge, &members).unwrap()).or_default() += 1;
        }
        // Four standard deviations.
        assert!(counts.values().all(|count| count.abs_diff(3333) < 190), "{counts:?}");
    }

    #[test]
    fn nobody_is_given_what_it_cannot_serve() {
        let mut members = ["a", "b"].map(candidate).to_vec();
        let charge: Charge = "acme".parse().unwrap();
        let first = owner(&charge, &members).unwrap().clone();
        let unfit = Unfit::of(BTreeSet::from([charge.account().unwrap().clone()]));
        for member in members.iter_mut().filter(|member| member.id == first) {
            member.unfit = unfit.clone();
        }
        assert_ne!(owner(&charge, &members), Some(&first));
        for member in &mut members {
            member.unfit = unfit.clone();
        }
        assert_eq!(owner(&charge, &members), None);
        assert!(owner(&Charge::Fleet, &members).is_some());
    }

    #[test]
    fn a_later_process_of_a_node_takes_the_place_of_the_earlier_one() {
        let member = |boot: &str, created| {
            let id = MemberId { node: "a".to_owned(), boot: boot.to_owned() };
            Candidate { id, created: Revision(created), unfit: Unfit::default() }
        };
        let members = [member("1", 9), member("2", 5)];
        assert!(charges(50).all(|charge| owner(&charge, &members) == Some(&members[0].id)));
    }

    proptest! {
        #[test]
        fn a_loss_moves_what_the_lost_one_had_and_a_joiner_takes_for_itself_alone(
            nodes in proptest::collection::btree_set("[a-z]{1,6}", 2..6),
            which in any::<prop::sample::Index>(),
        ) {
            let all: Vec<Candidate> = nodes.iter().map(|node| candidate(node)).collect();
            let gone = which.get(&all).id.clone();
            let rest: Vec<Candidate> = all.iter().filter(|it| it.id != gone).cloned().collect();
            for charge in charges(200) {
                let (before, after) = (owner(&charge, &all), owner(&charge, &rest));
                prop_assert!(before == after || before == Some(&gone));
            }
        }
    }

    fn candidate(node: &str) -> Candidate {
        let id = MemberId { node: node.to_owned(), boot: "0".to_owned() };
        Candidate { id, created: Revision(1), unfit: Unfit::default() }
    }

    fn charges(count: usize) -> impl Iterator<Item = Charge> {
        (0..count).map(|number| format!("org-{number}").parse().unwrap())
    }
}
