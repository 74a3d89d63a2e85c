//! The wishes of people, which passes carry out: a pause, a renewal, removals, an adoption, and
//! that vanished channels may be enabled.
//!
//! A wish is written by a command and only read by a pass, which therefore can lose none. So a pass
//! does not cross out what it has done: it writes down what it answered, in the record, and the
//! plan compares. The config ends a wish that has no answer. An allowed removal ends when its
//! channel is declared again; an adoption ends when its channel is no longer declared.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::channel::ChannelId;
use super::pause::Pauses;
use super::record::Record;
use super::secret::Fingerprint;
use super::time::Timestamp;

/// All wishes for one account.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wishes {
    /// The account and the channels that are not to be written for a while.
    pub pauses: Pauses,
    /// The renewals that were asked for.
    pub renewals: Renewals,
    /// Channels that may be disabled although they are many.
    pub removals: BTreeSet<ChannelId>,
    /// Channels that are to become ours, with the `notify_url` that they had at Zoho.
    pub adoptions: BTreeMap<ChannelId, Fingerprint>,
    /// Channels that may be enabled although they are gone with all others, with the expiry of the
    /// grant that ran: another grant ends the wish.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vanished: BTreeMap<ChannelId, Timestamp>,
    /// The wishes about recoveries.
    #[serde(default, skip_serializing_if = "Recoveries::is_empty")]
    pub recoveries: Recoveries,
}

/// The fates chosen for recoveries, by their number in the account, and those asked for by
/// hand.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recoveries {
    /// Those that may be handed over although they are held.
    pub released: BTreeSet<u64>,
    /// Those that are to be given up.
    pub abandoned: BTreeSet<u64>,
    /// Stretches of channels that are to be recovered as if they were gaps.
    pub asked: Vec<AskedStretch>,
}

/// A stretch of one channel that somebody wants to be recovered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedStretch {
    /// The channel.
    pub channel: ChannelId,
    /// The beginning, in Zoho's time.
    pub from: Timestamp,
    /// Up to here.
    pub to: Timestamp,
    /// When it was asked for; it tells wishes apart.
    pub at: Timestamp,
    /// True when it is counted only, and then waits.
    #[serde(default)]
    pub plan: bool,
}

impl Recoveries {
    fn is_empty(&self) -> bool {
        *self == Recoveries::default()
    }
}

/// When a renewal was last asked for, by the local clock.
///
/// A wish for the whole account takes the place of those for its channels, so the one for a channel
/// is always the later one.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Renewals {
    /// The time of a wish for every channel of the account.
    pub account: Option<Timestamp>,
    /// The times of wishes for single channels.
    pub channels: BTreeMap<ChannelId, Timestamp>,
}

impl Wishes {
    /// The renewal that this channel was asked for and has not had. Wishes are told apart and not
    /// put in order: a clock may be set back, and what was asked for counts all the same.
    pub fn renewal(&self, record: &Record) -> Option<Timestamp> {
        let asked = self.renewals.of(record.id)?;
        (record.renewal_answered != Some(asked)).then_some(asked)
    }

    /// Changes the wishes to those left once these channels are the account's declared ones.
    pub fn declare(&mut self, is_declared: impl Fn(ChannelId) -> bool) {
        self.removals.retain(|id| !is_declared(*id));
        self.adoptions.retain(|id, _| is_declared(*id));
        self.vanished.retain(|id, _| is_declared(*id));
    }
}

impl Renewals {
    /// The last wish that is about this channel.
    pub fn of(&self, id: ChannelId) -> Option<Timestamp> {
        self.channels.get(&id).copied().or(self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{id, record, spec};

    #[test]
    fn a_renewal_counts_until_this_very_wish_was_answered() {
        let at = |hour: i64| Timestamp::from_second(hour * 3600).unwrap();
        let mut record = record(&spec(1));
        let mut wishes = Wishes::default();
        assert_eq!(wishes.renewal(&record), None);
        wishes.renewals.channels = [(id(1), at(5))].into();
        assert_eq!(wishes.renewal(&record), Some(at(5)));
        record.renewal_answered = Some(at(5));
        assert_eq!(wishes.renewal(&record), None);
        wishes.renewals = Renewals { account: Some(at(6)), channels: BTreeMap::new() };
        assert_eq!(wishes.renewal(&record), Some(at(6)));
        record.renewal_answered = Some(at(6));
        wishes.renewals.channels = [(id(1), at(4))].into();
        assert_eq!(wishes.renewal(&record), Some(at(4)), "asked for after a clock was set back");
    }

    #[test]
    fn the_config_ends_what_no_pass_can_answer() {
        let all = [id(1), id(2)];
        let mut wishes = Wishes {
            pauses: Pauses::default(),
            renewals: Renewals::default(),
            removals: all.into(),
            adoptions: all.map(|id| (id, Fingerprint(7))).into(),
            vanished: all.map(|id| (id, Timestamp::UNIX_EPOCH)).into(),
            recoveries: Recoveries::default(),
        };
        wishes.declare(|declared| declared == id(1));
        assert_eq!(wishes.removals, [id(2)].into());
        assert_eq!(wishes.adoptions, [(id(1), Fingerprint(7))].into());
        assert_eq!(wishes.vanished, [(id(1), Timestamp::UNIX_EPOCH)].into());
    }
}
