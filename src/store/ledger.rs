//! Coverage ledgers in the store: the tree `ledger`.
//!
//! A ledger outlives its channel's record, because what was missed is asked for later. Those of
//! channels that are declared no longer are bounded: the longest closed go first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::coverage::ledger::Ledger;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::time::{Timestamp, span};

use super::database::Store;
use super::keys;
use super::tree::StoreError;
use super::unwritten::PassTree;

impl Store {
    /// The ledger of one channel.
    pub fn ledger(
        &self,
        account: &AccountName,
        id: ChannelId,
    ) -> Result<Option<Ledger>, StoreError> {
        self.hand_over_of(PassTree::Ledgers, account);
        self.ledgers.read(&keys::record(account, id))
    }

    /// The ledgers of one account, also of channels that are declared no longer.
    pub fn ledgers(
        &self,
        account: &AccountName,
    ) -> Result<BTreeMap<ChannelId, Ledger>, StoreError> {
        self.hand_over_of(PassTree::Ledgers, account);
        let entries: Vec<(Vec<u8>, Ledger)> = self.ledgers.scan(&keys::records_of(account))?;
        Ok(entries.into_iter().map(|(_, ledger)| (ledger.id, ledger)).collect())
    }

    /// The accounts that have ledgers: also those that are declared no longer.
    pub fn ledger_accounts(&self) -> Result<BTreeSet<AccountName>, StoreError> {
        self.hand_over()?;
        let (mut names, mut from) = (BTreeSet::new(), Vec::new());
        while let Some(key) = self.ledgers.first_key_from(&from)? {
            from = keys::after_account_of(&key);
            names.extend(keys::account_of(&key));
        }
        Ok(names)
    }

    /// Sets and removes (`None`) ledgers of one account, and flushes.
    pub async fn write_ledgers(
        &self,
        account: &AccountName,
        changes: &[(ChannelId, Option<&Ledger>)],
    ) -> Result<(), StoreError> {
        self.set_ledgers(account, changes)?;
        self.commit(account).await
    }

    /// The same without the flush.
    pub(super) fn set_ledgers(
        &self,
        account: &AccountName,
        changes: &[(ChannelId, Option<&Ledger>)],
    ) -> Result<(), StoreError> {
        // Before the ledger: the other way round a crash would leave them for good.
        self.forget_acks(
            account,
            changes.iter().filter(|(_, ledger)| ledger.is_none()).map(|(id, _)| *id),
        )?;
        let entry = |(id, ledger): &(ChannelId, _)| (keys::record(account, *id), *ledger);
        self.put_off(PassTree::Ledgers, changes.iter().map(entry))
    }
}

/// Which ledgers of closed channels are too old, or too many, at `now`.
pub(crate) fn outdated(ledgers: &BTreeMap<ChannelId, Ledger>, now: Timestamp) -> Vec<ChannelId> {
    let closed = ledgers.values().filter_map(|ledger| Some((ledger.closed_at()?, ledger.id)));
    let mut closed: Vec<(Timestamp, ChannelId)> = closed.collect();
    closed.sort_unstable();
    let excess = closed.len().saturating_sub(CLOSED_MAX);
    let is_out = |(place, (at, _)): &(usize, (Timestamp, ChannelId))| {
        *place < excess || span(*at, now) > CLOSED_AGE_MAX
    };
    closed.into_iter().enumerate().filter(is_out).map(|(_, (_, id))| id).collect()
}

/// Reads all of it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    store.ledgers.check::<Ledger>(|ledger, key| keys::is_of(key, ledger.id))
}

/// Ledgers kept of one account's channels that are declared no longer.
pub(crate) const CLOSED_MAX: usize = 1000;
/// How long such a ledger is kept: what was missed is still of interest to whoever closes the year.
pub(crate) const CLOSED_AGE_MAX: Duration = Duration::from_secs(400 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::gap::{GapCause, GapKind};
    use crate::coverage::reception::Reception;
    use crate::coverage::track::{Open, Stretch, Track, UnsureWrites};
    use crate::model::events::Operation;
    use crate::model::secret::Fingerprint;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + hour * 3600).unwrap()
    }

    fn full(id: i64) -> Ledger {
        Ledger {
            id: ChannelId::new(id).unwrap(),
            name: "deal-sync".parse().unwrap(),
            notify_url: Fingerprint(u64::MAX),
            expiry: Some(at(24)),
            sure: at(2),
            doubt: Some(UnsureWrites { since: at(3), first: at(27), last: at(28) }),
            tracks: vec![Track {
                module: "Deals".into(),
                operation: Operation::Edit,
                since: at(0),
                until: Some(at(9)),
                gaps: vec![Stretch {
                    from: at(0),
                    to: at(1),
                    kind: GapKind::Uncovered,
                    cause: GapCause::NotEnabled,
                }],
                open: Some(Open {
                    from: at(5),
                    kind: GapKind::Unknown,
                    cause: GapCause::UnsureWrite,
                }),
            }],
            reception: Reception {
                gaps: vec![Stretch {
                    from: at(6),
                    to: at(7),
                    kind: GapKind::Unknown,
                    cause: GapCause::CanaryRefused,
                }],
                open: Some(Open {
                    from: at(7),
                    kind: GapKind::Undeliverable,
                    cause: GapCause::CanaryRefused,
                }),
            },
        }
    }

    #[test]
    fn a_ledger_is_read_and_written() {
        let stored = r#"{"id":"1000000068001","name":"deal-sync","notify_url":18446744073709551615,
            "expiry":"2026-01-02T00:00:00Z","sure":"2026-01-01T02:00:00Z",
            "doubt":{"since":"2026-01-01T03:00:00Z","first":"2026-01-02T03:00:00Z","last":"2026-01-02T04:00:00Z"},
            "tracks":[{"module":"Deals","operation":"edit","since":"2026-01-01T00:00:00Z","until":"2026-01-01T09:00:00Z",
                "gaps":[{"from":"2026-01-01T00:00:00Z","to":"2026-01-01T01:00:00Z","kind":"uncovered",
                    "cause":"not-enabled"}],
                "open":{"from":"2026-01-01T05:00:00Z","kind":"unknown","cause":"unsure-write"}}],
            "reception":{"gaps":[{"from":"2026-01-01T06:00:00Z","to":"2026-01-01T07:00:00Z","kind":"unknown",
                    "cause":"canary-refused"}],
                "open":{"from":"2026-01-01T07:00:00Z","kind":"undeliverable","cause":"canary-refused"}}}"#;
        let ledger: Ledger = serde_json::from_str(stored).unwrap();
        assert_eq!(ledger, full(1_000_000_068_001));
        let written = serde_json::to_string(&ledger).unwrap();
        let stored: serde_json::Value = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), stored);
    }

    #[test]
    fn every_word_is_stored_as_it_is_shown() {
        for cause in GapCause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.word());
        }
        for kind in GapKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
    }

    #[tokio::test]
    async fn ledgers_are_kept_by_account_and_channel_until_they_are_removed() {
        let store = Store::temporary().unwrap();
        let (acme, globex): (AccountName, AccountName) =
            ("acme".parse().unwrap(), "globex".parse().unwrap());
        store.write_ledgers(&acme, &[(full(7).id, Some(&full(7)))]).await.unwrap();
        assert_eq!(store.ledger(&acme, full(7).id).unwrap(), Some(full(7)));
        assert_eq!(store.ledgers(&acme).unwrap(), [(full(7).id, full(7))].into());
        assert!(store.ledgers(&globex).unwrap().is_empty());
        store.write_ledgers(&acme, &[(full(7).id, None)]).await.unwrap();
        assert_eq!(store.ledger(&acme, full(7).id).unwrap(), None);
    }

    #[test]
    fn ledgers_of_channels_declared_no_longer_are_bounded_in_number_and_age() {
        let closed = |id: i64, hour: i64| {
            let mut ledger = full(id);
            ledger.tracks[0].until = Some(at(hour));
            (ledger.id, ledger)
        };
        let mut ledgers: BTreeMap<ChannelId, Ledger> =
            (1..=1002).map(|id| closed(id, id)).collect();
        let ids = |ids: Vec<ChannelId>| ids.iter().map(|id| id.number()).collect::<Vec<_>>();
        assert_eq!(ids(outdated(&ledgers, at(1002))), [1, 2]);
        ledgers.retain(|id, _| id.number() < 10);
        assert_eq!(ids(outdated(&ledgers, at(400 * 24 + 3))), [1, 2]);
        ledgers.values_mut().for_each(|ledger| ledger.tracks[0].until = None);
        assert_eq!(outdated(&ledgers, at(400 * 24 * 2)), [], "what is declared is kept");
    }
}
