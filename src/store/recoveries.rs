//! Recoveries in the store: five trees, all written by the task that recovers and by nobody else.
//!
//! | tree | key | value |
//! | --- | --- | --- |
//! | `recoveries` | `ACCOUNT/NUMBER` | one recovery |
//! | `items` | `ACCOUNT/NUMBER/PLACE` | one of its frozen deliveries |
//! | `reads` | `ACCOUNT` | the reading that is under way, and the credits of the day |
//! | `rows` | `ACCOUNT/PAGE` | a page of that reading |
//! | `rules` | `ACCOUNT` | since when missed events of its channels are handed over |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::backfill::Recovery;
use crate::backfill::delivery::Delivery;
use crate::backfill::read::Read;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::records::{List, RecordRow};
use crate::model::time::Timestamp;

use super::database::Store;
use super::keys;
use super::tree::{StoreError, Tree};

/// The reading of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The module that is read.
    pub read: Option<Read>,
    /// When the count of credits began, by the local clock.
    pub counted_from: Option<Timestamp>,
    /// API credits that reading took since then.
    pub credits: u64,
}

/// A page of a reading: the rows that were not known before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsKept {
    /// Which list they are from.
    pub list: List,
    /// The rows.
    pub rows: Vec<RecordRow>,
}

impl Store {
    /// The recoveries of an account, by number.
    pub fn recoveries(&self, account: &AccountName) -> Result<Vec<Recovery>, StoreError> {
        let entries = self.recoveries.scan(&keys::records_of(account))?;
        Ok(entries.into_iter().map(|(_, recovery)| recovery).collect())
    }

    /// The accounts that have recoveries.
    pub fn recovery_accounts(&self) -> Result<BTreeSet<AccountName>, StoreError> {
        Ok(self.recoveries.keys("")?.iter().filter_map(|key| keys::account_of(key)).collect())
    }

    /// Sets recoveries of an account, and flushes.
    pub async fn write_recoveries(
        &self,
        account: &AccountName,
        recoveries: &[Recovery],
    ) -> Result<(), StoreError> {
        let entry = |one: &Recovery| (keys::recovery(account, one.number), Some(one.clone()));
        self.recoveries.set(recoveries.iter().map(entry))?;
        self.settle(account).await
    }

    /// Forgets recoveries of an account.
    pub async fn forget_recoveries(
        &self,
        account: &AccountName,
        numbers: impl Iterator<Item = u64>,
    ) -> Result<(), StoreError> {
        let gone = numbers.map(|it| keys::recovery(account, it).into_bytes());
        self.drop_keys(account, &self.recoveries, gone.collect()).await
    }

    /// Keeps deliveries of a recovery, of which the first has this place. They go before the
    /// recovery that is frozen, and its write flushes them too: so a frozen recovery has its
    /// deliveries.
    pub fn keep_deliveries(
        &self,
        account: &AccountName,
        number: u64,
        first: u64,
        deliveries: &[Delivery],
    ) -> Result<(), StoreError> {
        let entry = |(place, delivery)| (keys::item(account, number, place), Some(delivery));
        self.items.set((first..).zip(deliveries).map(entry))
    }

    /// One delivery of a recovery.
    pub fn delivery(
        &self,
        account: &AccountName,
        number: u64,
        place: u32,
    ) -> Result<Option<Delivery>, StoreError> {
        self.items.read(&keys::item(account, number, u64::from(place)))
    }

    /// Drops the deliveries of a recovery.
    pub async fn drop_deliveries(
        &self,
        account: &AccountName,
        number: u64,
    ) -> Result<(), StoreError> {
        let gone = self.items.keys(&format!("{}/", keys::recovery(account, number)))?;
        self.drop_keys(account, &self.items, gone).await
    }

    async fn drop_keys(
        &self,
        account: &AccountName,
        tree: &Tree,
        gone: Vec<Vec<u8>>,
    ) -> Result<(), StoreError> {
        if gone.is_empty() {
            return Ok(());
        }
        tree.remove(gone)?;
        self.settle(account).await
    }

    /// The readings of an account, and their cost.
    pub fn reading(&self, account: &AccountName) -> Result<Reading, StoreError> {
        Ok(self.reads.read(account.as_str())?.unwrap_or_default())
    }

    /// Sets how far reading has come, after the rows of its last page, which go first: a crash in
    /// between reads that page again.
    pub async fn write_reading(
        &self,
        account: &AccountName,
        reading: &Reading,
        page: Option<(u32, RowsKept)>,
    ) -> Result<(), StoreError> {
        let page = page.map(|(number, kept)| (keys::rows(account, number), Some(kept)));
        self.rows.set(page)?;
        self.reads.set([(account.to_string(), Some(reading))])?;
        self.settle(account).await
    }

    /// One page of the reading that is under way, from 1 on.
    pub fn page(&self, account: &AccountName, number: u32) -> Result<Option<RowsKept>, StoreError> {
        self.rows.read(&keys::rows(account, number))
    }

    /// Ends a reading: its place first, so that no place is without its rows.
    pub async fn end_reading(
        &self,
        account: &AccountName,
        reading: &Reading,
    ) -> Result<(), StoreError> {
        self.reads.set([(account.to_string(), Some(reading))])?;
        self.settle(account).await?;
        let gone = self.rows.keys(&keys::records_of(account))?;
        self.drop_keys(account, &self.rows, gone).await
    }

    /// Since when missed events of an account's channels are handed over, in Zoho's time.
    pub fn backfilled_since(
        &self,
        account: &AccountName,
    ) -> Result<BTreeMap<ChannelId, Timestamp>, StoreError> {
        let rules: Option<RulesValue> = self.rules.read(account.as_str())?;
        let rules = rules.map(|RulesValue { since }| since).unwrap_or_default();
        Ok(rules.into_iter().map(|SinceValue { channel, at }| (channel, at)).collect())
    }

    /// Sets that, and flushes.
    pub async fn write_backfilled_since(
        &self,
        account: &AccountName,
        since: &BTreeMap<ChannelId, Timestamp>,
    ) -> Result<(), StoreError> {
        let since = since.iter().map(|(id, at)| SinceValue { channel: *id, at: *at }).collect();
        self.rules.set([(account.to_string(), Some(RulesValue { since }))])?;
        self.settle(account).await
    }
}

#[derive(Serialize, Deserialize)]
struct RulesValue {
    since: Vec<SinceValue>,
}

#[derive(Serialize, Deserialize)]
struct SinceValue {
    channel: ChannelId,
    at: Timestamp,
}

/// Reads all of it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    store.recoveries.check::<Recovery>(|recovery, key| {
        keys::account_of(key.as_bytes())
            .is_some_and(|account| keys::recovery(&account, recovery.number) == key)
    })?;
    store.items.check::<Delivery>(|_, _| true)?;
    store.reads.check::<Reading>(|_, _| true)?;
    store.rows.check::<RowsKept>(|_, _| true)?;
    store.rules.check::<RulesValue>(|_, _| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::classify::MissedChanges;
    use crate::backfill::freeze::freeze;
    use crate::backfill::pace::ReceiverAnswer;
    use crate::backfill::read::Doubt;
    use crate::backfill::{Lost, State};
    use crate::coverage::gap::{GapCause, GapKind};
    use crate::model::events::Operation;
    use crate::model::secret::Fingerprint;
    use crate::testing;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn row(id: i64) -> RecordRow {
        RecordRow { id: id.to_string(), at: at(150 + id), created: Some(at(0)) }
    }

    fn recovery(number: u64) -> Recovery {
        let lost = Lost {
            operation: Operation::Edit,
            from: at(100),
            to: at(200),
            kind: Some(GapKind::Uncovered),
            cause: Some(GapCause::Expired),
        };
        Recovery {
            number,
            channel: testing::id(1),
            name: testing::name(1),
            module: "Deals".to_owned(),
            notify_url: Fingerprint(9),
            gaps: vec![lost],
            asked: Some(at(7)),
            planned: false,
            state: State::Reading,
            frozen: None,
            progress: Default::default(),
            credits: 3,
            doubts: [Doubt::Crowded].into(),
        }
    }

    #[tokio::test]
    async fn a_frozen_recovery_has_its_deliveries_until_they_are_dropped() {
        let (store, acme) = (Store::temporary().unwrap(), testing::acme());
        let (mut recovery, mut missed) = (recovery(7), MissedChanges::default());
        (0..120).for_each(|id| missed.take(&recovery.gaps, List::Changed, &row(id % 40)));
        let (frozen, deliveries) = freeze(missed, at(300));
        (recovery.frozen, recovery.state) = (Some(frozen), State::Handing);
        let progress = std::mem::take(&mut recovery.progress);
        recovery.progress =
            progress.answered(&deliveries[0], &ReceiverAnswer::of(422, None), at(301));
        for frozen in [&recovery, &super::tests::recovery(70)] {
            store.keep_deliveries(&acme, frozen.number, 0, &deliveries).unwrap();
            store.write_recoveries(&acme, std::slice::from_ref(frozen)).await.unwrap();
        }
        assert_eq!(store.recoveries(&acme).unwrap()[0], recovery);
        assert_eq!(store.delivery(&acme, 7, 0).unwrap().as_ref(), deliveries.first());
        assert_eq!(store.recovery_accounts().unwrap(), [acme.clone()].into());
        verify(&store).unwrap();
        store.drop_deliveries(&acme, 7).await.unwrap();
        assert_eq!(store.delivery(&acme, 7, 0).unwrap(), None);
        assert!(store.delivery(&acme, 70, 0).unwrap().is_some(), "those of another one stay");
        store.forget_recoveries(&acme, [7].into_iter()).await.unwrap();
        assert_eq!(store.recoveries(&acme).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_reading_goes_with_its_pages() {
        let (store, acme) = (Store::temporary().unwrap(), testing::acme());
        let mut reading = Reading::default();
        let read = Read::new("Deals".into(), vec![7], at(100), (true, true), at(300));
        reading.read = Some(Read { pages: 2, ..read });
        for number in [1, 2, 2] {
            let kept = RowsKept { list: List::Changed, rows: vec![row(i64::from(number))] };
            store.write_reading(&acme, &reading, Some((number, kept))).await.unwrap();
        }
        assert_eq!(store.reading(&acme).unwrap(), reading);
        let page = |number| store.page(&acme, number).unwrap().map(|page| page.rows);
        assert_eq!([page(1), page(2), page(3)], [Some(vec![row(1)]), Some(vec![row(2)]), None]);
        verify(&store).unwrap();
        store.end_reading(&acme, &Reading::default()).await.unwrap();
        assert_eq!([page(1), page(2)], [None, None]);
    }

    #[tokio::test]
    async fn since_when_channels_are_backfilled_is_kept() {
        let (store, acme) = (Store::temporary().unwrap(), testing::acme());
        let since: BTreeMap<_, _> = [(testing::id(1), at(5))].into();
        store.write_backfilled_since(&acme, &since).await.unwrap();
        assert_eq!(store.backfilled_since(&acme).unwrap(), since);
        verify(&store).unwrap();
    }
}
