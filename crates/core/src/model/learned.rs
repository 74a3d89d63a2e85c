//! The limits that an account's own replies taught: they are smaller than Zoho's documents say.
//!
//! A lesson outranks the config where it is the smaller of the two, and is shown as a warning. It
//! is forgotten after a while, or when the config changes, so that a mended account recovers by
//! itself. A lesson from the future was written down while the clock was wrong, and does not count.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::Policy;
use super::time::{Timestamp, after, is_recent};
use super::version::{DAY, WEEK};

/// The lessons of one account.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// The longest life that is to be had, where it is less than the config says.
    pub lifetime: Option<LifetimeLearned>,
    /// When POST of a live channel was last refused because it is live.
    pub post_refused: Option<Timestamp>,
    /// The most channels in one write, where it is less than the config says.
    pub batch: Option<BatchLearned>,
    /// Batch after batch was refused as a whole, whatever was in it.
    pub refusing: Option<Refusing>,
    /// Every channel was asked for by itself and forbidden alike; from the last time that it was.
    pub forbidden: Option<Refusing>,
    /// The scopes that the token lacks, for which something else is done.
    pub unscoped: BTreeMap<Scope, Unscoped>,
    /// Attempts to mend short grants, counted by the day.
    pub short_grants: Attempts,
}

/// A scope without which everything else goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// PATCH: a channel is changed by POST instead.
    Update,
    /// DELETE: a channel that is not declared any more ends by itself.
    Delete,
}

/// The last time that a scope was missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unscoped {
    /// Which scope it is, and what follows.
    pub said: String,
    /// When.
    pub at: Timestamp,
}

/// The longest life that an account grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifetimeLearned {
    /// This much.
    pub max: Duration,
    /// The life asked for when it was learned.
    pub asked: Duration,
    /// The life granted instead.
    pub granted: Duration,
    /// The maximum that the config gave then.
    pub configured: Duration,
    /// The time of the lesson.
    pub at: Timestamp,
}

/// The most channels that an account takes in one write: it is known once `refused` is one more
/// than `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchLearned {
    /// The number that was accepted.
    pub max: usize,
    /// The number that was refused for being too many.
    pub refused: usize,
    /// The maximum that the config gave then.
    pub configured: usize,
    /// The time of the lesson.
    pub at: Timestamp,
}

/// An account that refuses every batch with one and the same code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusing {
    /// Zoho's code.
    pub code: String,
    /// When it did, and its wait began.
    pub at: Timestamp,
}

/// Attempts since the first one of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attempts {
    /// How many.
    pub count: u32,
    /// The first of them.
    pub since: Option<Timestamp>,
}

impl Learned {
    /// The longest life that may be asked for, by config and by what was learned.
    pub fn lifetime_max(&self, policy: &Policy, now: Timestamp) -> Duration {
        let learned = self.lifetime.filter(|learned| learned.holds(policy, now));
        learned.map_or(policy.lifetime_max, |learned| learned.max.min(policy.lifetime_max))
    }

    /// The most channels in one write, by config and by what was learned. Where that is not known
    /// to the channel, half way between what was accepted and what was refused: the next write
    /// tells.
    pub fn batch_max(&self, policy: &Policy, now: Timestamp) -> usize {
        let learned = self.batch.filter(|batch| batch.holds(policy, now));
        let learned = learned.map(|batch| half_way(batch.max, batch.refused).min(policy.batch_max));
        learned.unwrap_or(policy.batch_max).max(1)
    }

    /// The rules, cut down to what is to be had.
    pub fn within(&self, policy: &Policy, now: Timestamp) -> Policy {
        let (lifetime_max, batch_max) =
            (self.lifetime_max(policy, now), self.batch_max(policy, now));
        Policy { lifetime_max, batch_max, ..policy.clone() }
    }

    /// The scope that is known to be missing. It is asked for again after a quarter of a day, and
    /// at once with other credentials.
    pub fn lacks(&self, scope: Scope, now: Timestamp) -> Option<&Unscoped> {
        self.unscoped.get(&scope).filter(|unscoped| is_recent(unscoped.at, UNSCOPED_KEPT, now))
    }

    /// Returns whether a try asks for one channel first, because every one was forbidden lately.
    pub fn is_probed(&self, now: Timestamp) -> bool {
        self.forbidden.as_ref().is_some_and(|it| is_recent(it.at, FORBIDDEN_KEPT, now))
    }

    /// The lessons that still hold once the account has other credentials.
    #[must_use]
    pub fn with_other_credentials(self) -> Learned {
        Learned { forbidden: None, unscoped: BTreeMap::new(), ..self }
    }

    /// Returns whether live channels are given a new life by PUT, because POST of them is refused.
    pub fn renews_by_put(&self, now: Timestamp) -> bool {
        self.post_refused.is_some_and(|at| is_recent(at, WEEK, now))
    }
}

impl LifetimeLearned {
    /// Returns whether it still counts: for a week, and while the config says the same maximum.
    pub fn holds(&self, policy: &Policy, now: Timestamp) -> bool {
        self.configured == policy.lifetime_max && is_recent(self.at, WEEK, now)
    }
}

impl BatchLearned {
    /// Returns whether it still counts: for a week, and while the config says the same maximum.
    pub fn holds(&self, policy: &Policy, now: Timestamp) -> bool {
        self.configured == policy.batch_max && is_recent(self.at, WEEK, now)
    }
}

impl Unscoped {
    /// When the scope is asked for again.
    pub fn until(&self) -> Timestamp {
        after(self.at, UNSCOPED_KEPT)
    }
}

/// A missing scope is asked for again after this time.
const UNSCOPED_KEPT: Duration = Duration::from_secs(6 * 60 * 60);
/// While every channel is forbidden, each is asked for by itself this often.
const FORBIDDEN_KEPT: Duration = Duration::from_secs(60 * 60);

/// The size to try between one that was accepted and one that was refused; the accepted one when
/// there is none between.
pub const fn half_way(accepted: usize, refused: usize) -> usize {
    accepted + refused.saturating_sub(accepted) / 2
}

impl Attempts {
    /// How many there were within a day.
    pub fn today(&self, now: Timestamp) -> u32 {
        self.since.filter(|since| is_recent(*since, DAY, now)).map_or(0, |_| self.count)
    }

    /// One more.
    #[must_use]
    pub fn again(&self, now: Timestamp) -> Attempts {
        match self.today(now) {
            0 => Attempts { count: 1, since: Some(now) },
            count => Attempts { count: count.saturating_add(1), since: self.since },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{hours, policy};

    #[test]
    fn a_lesson_is_forgotten_after_a_while_and_when_the_config_changes() {
        let policy = policy();
        let lesson = |max| LifetimeLearned {
            max,
            asked: WEEK,
            granted: DAY / 24,
            configured: WEEK,
            at: hours(0),
        };
        let learned = |max| Learned { lifetime: Some(lesson(max)), ..Learned::default() };
        assert_eq!(learned(DAY).lifetime_max(&policy, after(hours(0), DAY * 6)), DAY);
        assert_eq!(learned(DAY).lifetime_max(&policy, after(hours(0), WEEK)), WEEK);
        assert_eq!(
            learned(DAY).lifetime_max(&policy, hours(0) - jiff::SignedDuration::from_secs(1)),
            WEEK
        );
        let changed = Policy { lifetime_max: DAY * 3, ..policy };
        assert_eq!(learned(DAY).lifetime_max(&changed, hours(0)), DAY * 3);
    }

    #[test]
    fn attempts_count_by_the_day() {
        let twice = Attempts::default().again(hours(0)).again(after(hours(0), DAY / 2));
        assert_eq!(twice.today(after(hours(0), DAY / 2)), 2);
        assert_eq!(twice.today(after(hours(0), DAY)), 0);
        assert_eq!(twice.again(after(hours(0), DAY)).count, 1);
    }
}
