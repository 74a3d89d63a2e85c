//! A set that nearly always has one member.
//!
//! All rows of a channel give the same value for one field, unless they disagree. A tree would take
//! some hundred bytes for that one value; this set takes no extra memory.

use std::collections::BTreeSet;
use std::fmt;

/// A sorted set. One member needs no allocation.
#[derive(Clone, PartialEq, Eq)]
pub struct SmallSet<T>(Members<T>);

#[derive(Clone, PartialEq, Eq)]
enum Members<T> {
    AtMostOne(Option<T>),
    /// Two at least, so that equal sets are equal.
    More(BTreeSet<T>),
}

impl<T: Ord> SmallSet<T> {
    /// Adds a member, unless it is in already.
    pub fn insert(&mut self, member: T) {
        match &mut self.0 {
            Members::More(members) => {
                members.insert(member);
            }
            Members::AtMostOne(held) => match held.take() {
                Some(first) if first != member => self.0 = Members::More([first, member].into()),
                _ => *held = Some(member),
            },
        }
    }
}

impl<T> SmallSet<T> {
    /// The members, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let (one, more) = match &self.0 {
            Members::AtMostOne(one) => (one, None),
            Members::More(members) => (&None, Some(members)),
        };
        one.iter().chain(more.into_iter().flatten())
    }

    /// The member, when there is just one.
    pub const fn only(&self) -> Option<&T> {
        match &self.0 {
            Members::AtMostOne(one) => one.as_ref(),
            Members::More(_) => None,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<T> Default for SmallSet<T> {
    fn default() -> SmallSet<T> {
        SmallSet(Members::AtMostOne(None))
    }
}

impl<T: fmt::Debug> fmt::Debug for SmallSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Ord> Extend<T> for SmallSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, members: I) {
        members.into_iter().for_each(|member| self.insert(member));
    }
}

impl<T: Ord> FromIterator<T> for SmallSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> SmallSet<T> {
        let mut few = SmallSet::default();
        few.extend(members);
        few
    }
}

impl<T: Ord, const N: usize> From<[T; N]> for SmallSet<T> {
    fn from(members: [T; N]) -> SmallSet<T> {
        members.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_sorted_set(members: Vec<u8>, others: Vec<u8>) {
            let (few, set): (SmallSet<u8>, BTreeSet<u8>) = (members.iter().copied().collect(), members.into_iter().collect());
            prop_assert_eq!(few.iter().collect::<Vec<_>>(), set.iter().collect::<Vec<_>>());
            prop_assert_eq!((few.len(), few.is_empty()), (set.len(), set.is_empty()));
            prop_assert_eq!(format!("{few:?}"), format!("{set:?}"));
            let (few_others, set_others): (SmallSet<u8>, BTreeSet<u8>) = (others.iter().copied().collect(), others.into_iter().collect());
            prop_assert_eq!(few == few_others, set == set_others);
        }
    }

    #[test]
    fn what_is_said_twice_is_one() {
        assert_eq!(SmallSet::from([1, 1]), SmallSet::from([1]));
        assert_eq!(SmallSet::from([2, 1, 2]), SmallSet::from([1, 2]));
    }
}
