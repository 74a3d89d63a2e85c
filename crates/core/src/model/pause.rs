//! A pause: for a while the operator wants nothing written, and everything looked at and told as
//! ever.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::channel::ChannelId;
use super::time::Timestamp;

/// The pauses of an account.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pauses {
    /// All of it.
    pub account: Option<Pause>,
    /// Single channels.
    pub channels: BTreeMap<ChannelId, Pause>,
}

/// One pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When it was asked for, by the local clock.
    pub at: Timestamp,
    /// When it ends; `None` when it lasts until somebody ends it.
    pub until: Option<Timestamp>,
}

impl Pause {
    /// True when the pause holds at `now`. A pause from the future was written down while the clock
    /// was wrong, and holds nothing.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.at <= now && self.until.is_none_or(|until| until > now)
    }

    /// The one of two that lasts longer.
    fn longer(self, other: Pause) -> Pause {
        match (self.until, other.until) {
            (None, _) => self,
            (_, None) => other,
            (Some(one), Some(another)) => {
                if one >= another {
                    self
                } else {
                    other
                }
            }
        }
    }
}

impl Pauses {
    /// The pause of a channel, its own or its account's, whichever lasts longer.
    pub fn of(&self, channel: ChannelId, now: Timestamp) -> Option<Pause> {
        let own = self.channels.get(&channel).copied();
        let both = [self.account, own].into_iter().flatten().filter(|pause| pause.holds(now));
        both.reduce(Pause::longer)
    }

    /// Without those that are over.
    #[must_use]
    pub fn still_held(mut self, now: Timestamp) -> Pauses {
        let is_over = |pause: &Pause| pause.until.is_some_and(|until| until <= now);
        self.account = self.account.filter(|pause| !is_over(pause));
        self.channels.retain(|_, pause| !is_over(pause));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_pause_counts_and_one_from_the_future_does_not() {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let pause = |from, until| Pause { at: at(from), until };
        let id = ChannelId::new(1).unwrap();
        let mut pauses = Pauses {
            account: Some(pause(0, Some(at(2)))),
            channels: [(id, pause(0, Some(at(3))))].into(),
        };
        assert_eq!(pauses.of(id, at(1)).and_then(|pause| pause.until), Some(at(3)));
        assert_eq!(pauses.of(id, at(3)), None);
        assert_eq!(pauses.clone().still_held(at(2)).account, None);
        pauses.account = Some(pause(0, None));
        assert_eq!(pauses.of(id, at(1)).map(|pause| pause.until), Some(None));
        assert_eq!(
            Pauses { account: Some(pause(5, None)), ..Pauses::default() }.of(id, at(1)),
            None
        );
    }
}
