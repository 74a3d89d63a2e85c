//! The recoveries of an account, counted: for status, metrics and health.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::channel::ChannelName;

use super::recovery::{HeldFor, Recovery, State};

/// How the recoveries stand that an account remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// How many are in each state, by its word; every state is there.
    pub states: BTreeMap<Cow<'static, str>, usize>,
    /// Records that receivers took.
    pub taken: u64,
    /// Records that are counted and may still be taken.
    pub waiting: u64,
    /// Records that no receiver will get: it refused them, or the recovery was given up.
    pub lost: u64,
    /// Those that wait for a person who has not been told, by number; at most [`STUCK_MAX`].
    pub stuck: Vec<Stuck>,
}

/// A recovery that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Its number.
    pub number: u64,
    /// The channel's name.
    pub name: ChannelName,
    /// The reason.
    pub why: StuckWhy,
}

/// The reason why a recovery waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StuckWhy {
    /// It has more records than the config lets pass: so many.
    Most(u64),
    /// Zoho does not let it be read; its words.
    Unreadable(String),
}

impl Default for Standing {
    fn default() -> Standing {
        Standing {
            states: State::WORDS.map(|word| (word.into(), 0)).into(),
            taken: 0,
            waiting: 0,
            lost: 0,
            stuck: Vec::new(),
        }
    }
}

impl Standing {
    /// The count of these recoveries.
    pub fn of(recoveries: &[Recovery]) -> Standing {
        recoveries.iter().fold(Standing::default(), Standing::and)
    }

    /// Returns whether there is no recovery.
    pub fn is_empty(&self) -> bool {
        self.states.values().all(|number| *number == 0)
    }

    fn and(mut self, recovery: &Recovery) -> Standing {
        let Recovery { number, name, state, frozen, progress, .. } = recovery;
        let records = frozen.map_or(0, |frozen| frozen.records());
        let left = records.saturating_sub(progress.taken + progress.aside);
        *self.states.entry(state.word().into()).or_default() += 1;
        self.taken += progress.taken;
        self.lost += progress.aside;
        match state {
            State::Abandoned { .. } => self.lost += left,
            State::Done { .. } => {}
            State::Reading | State::Unreadable { .. } | State::Held(_) | State::Handing => {
                self.waiting += left;
            }
        }
        let why = match state {
            State::Held(HeldFor::Most) => Some(StuckWhy::Most(records)),
            State::Unreadable { why, .. } => Some(StuckWhy::Unreadable(why.clone())),
            // The mode says so, or whoever asked for it.
            State::Held(HeldFor::Plan) => None,
            State::Reading | State::Handing | State::Done { .. } | State::Abandoned { .. } => None,
        };
        if let Some(why) = why.filter(|_| self.stuck.len() < STUCK_MAX) {
            self.stuck.push(Stuck { number: *number, name: name.clone(), why });
        }
        self
    }
}

/// Recoveries of an account that are named because they wait for a person.
pub const STUCK_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::pace::HandingProgress;
    use crate::backfill::recovery::Frozen;
    use crate::model::secret::Fingerprint;
    use crate::testing;

    fn recovery(number: u64, state: State, taken: u64, aside: u64) -> Recovery {
        let at = testing::hours(1);
        Recovery {
            number,
            channel: testing::id(1),
            name: testing::name(1),
            module: "Deals".to_owned(),
            notify_url: Fingerprint(9),
            gaps: Vec::new(),
            asked: None,
            planned: false,
            state,
            frozen: Some(Frozen { at, deliveries: 1, inserts: 1, updates: 8, deletes: 1 }),
            progress: HandingProgress { taken, aside, ..HandingProgress::default() },
            credits: 0,
            doubts: Default::default(),
        }
    }

    #[test]
    fn each_record_is_taken_or_waits_or_is_lost() {
        let at = testing::hours(2);
        let why = "the receiver is gone".to_owned();
        let all = [
            recovery(1, State::Done { at }, 9, 1),
            recovery(2, State::Abandoned { why, at }, 4, 0),
            recovery(3, State::Handing, 5, 2),
            recovery(4, State::Held(HeldFor::Plan), 0, 0),
        ];
        let standing = Standing::of(&all);
        assert_eq!((standing.taken, standing.waiting, standing.lost), (18, 13, 9));
        assert_eq!(18 + 13 + 9, 10 * all.len());
        assert_eq!(standing.states.len(), State::WORDS.len());
        assert_eq!(standing.states.values().sum::<usize>(), all.len());
        assert!(standing.stuck.is_empty(), "a plan waits because it was asked to");
        assert!(!standing.is_empty() && Standing::default().is_empty());
    }

    #[test]
    fn whoever_waits_for_a_person_is_named_the_first_of_them() {
        let unreadable = || State::Unreadable {
            why: "no scope".to_owned(),
            at: testing::hours(1),
            credentials: Fingerprint(1),
        };
        let mut all = vec![recovery(7, State::Held(HeldFor::Most), 0, 0)];
        all.extend((8..40).map(|number| recovery(number, unreadable(), 0, 0)));
        let standing = Standing::of(&all);
        assert_eq!(standing.stuck.len(), STUCK_MAX);
        assert_eq!((standing.stuck[0].number, &standing.stuck[0].why), (7, &StuckWhy::Most(10)));
        assert_eq!(standing.stuck[1].why, StuckWhy::Unreadable("no scope".to_owned()));
        assert_eq!(standing.states["unreadable"], 32);
    }
}
