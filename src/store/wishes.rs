//! The wishes of people: the tree `asked`, one value for each account.
//!
//! Commands alone write here, each change whole and with none of another's in between. Passes read.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::channel::{AccountName, ChannelId};
use crate::model::desired::Desired;
use crate::model::secret::Fingerprint;
use crate::model::time::Timestamp;
use crate::model::wishes::{Renewals, Wishes};

use super::database::Store;
use super::tree::StoreError;

impl Store {
    /// The wishes for an account.
    pub fn wishes(&self, account: &AccountName) -> Result<Wishes, StoreError> {
        Ok(self.asked.read(account.as_str())?.unwrap_or_default())
    }

    /// Changes what is asked for of an account, and flushes.
    pub async fn ask(
        &self,
        account: &AccountName,
        change: impl FnOnce(&mut Wishes),
    ) -> Result<(), StoreError> {
        self.try_ask(account, |wishes| {
            change(wishes);
            Ok(())
        })
        .await
    }

    /// Asks for a renewal of one channel, or of all of them.
    pub async fn ask_renewal(
        &self,
        account: &AccountName,
        only: Option<ChannelId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.try_ask(account, |wishes| {
            let Some(only) = only else {
                wishes.renewals = Renewals { account: Some(now), channels: BTreeMap::new() };
                return Ok(());
            };
            let mut channels = std::mem::take(&mut wishes.renewals.channels);
            channels.insert(only, now);
            // A channel that is gone has nothing to be renewed.
            for (id, at) in channels {
                if self.is_recorded(account, id)? {
                    wishes.renewals.channels.insert(id, at);
                }
            }
            Ok(())
        })
        .await
    }

    /// Allows these channels to be disabled, with those that were allowed before and are not
    /// disabled yet. One that is declared by now is left out: it is not to be removed.
    pub async fn allow_removals(
        &self,
        account: &AccountName,
        ids: BTreeSet<ChannelId>,
    ) -> Result<(), StoreError> {
        self.try_ask(account, |wishes| {
            let mut allowed = BTreeSet::new();
            for id in std::mem::take(&mut wishes.removals).into_iter().chain(ids) {
                if self.is_recorded(account, id)? && !self.is_declared(account, id)? {
                    allowed.insert(id);
                }
            }
            wishes.removals = allowed;
            Ok(())
        })
        .await
    }

    /// Makes a declared channel ours that delivers to `notify_url`.
    pub async fn adopt(
        &self,
        account: &AccountName,
        id: ChannelId,
        notify_url: Fingerprint,
    ) -> Result<(), StoreError> {
        self.try_ask(account, |wishes| {
            if self.is_declared(account, id)? {
                wishes.adoptions.insert(id, notify_url);
            }
            Ok(())
        })
        .await
    }

    /// Takes back what was asked for and is over now that this is declared.
    pub(super) async fn declare_wishes(&self, desired: &Desired) -> Result<(), StoreError> {
        for (name, account) in &desired.accounts {
            if self.asked.has(name.as_str())? {
                let declare =
                    |wishes: &mut Wishes| wishes.declare(|id| account.specs.contains_key(&id));
                match self.ask(name, declare).await {
                    // Another machine has the account, and its wishes; or the engine is told later.
                    Ok(()) | Err(StoreError::Fenced { .. } | StoreError::Unwritten { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    async fn try_ask(
        &self,
        account: &AccountName,
        change: impl FnOnce(&mut Wishes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.asked.update(account.as_str(), |wishes: Option<Wishes>| {
            let mut wishes = wishes.unwrap_or_default();
            change(&mut wishes)?;
            Ok((wishes != Wishes::default()).then_some(wishes))
        })?;
        self.settle(account).await
    }
}

/// Reads all of it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    store.asked.check::<Wishes>(|_, _| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pause::Pause;
    use crate::testing::{acme, id, record, spec};

    /// A store in which these are recorded.
    async fn recorded(numbers: &[i64]) -> Store {
        let store = Store::temporary().unwrap();
        let recorded = |number: &i64| (id(*number), Some(record(&spec(*number))));
        store.write_records(&acme(), &numbers.iter().map(recorded).collect()).await.unwrap();
        store
    }

    #[tokio::test]
    async fn wishes_are_kept_by_account_and_gone_when_all_are_taken_back() {
        let store = Store::temporary().unwrap();
        let pause = Pause { at: Timestamp::UNIX_EPOCH, until: None };
        store.ask(&acme(), |wishes| wishes.pauses.account = Some(pause)).await.unwrap();
        assert_eq!(store.wishes(&acme()).unwrap().pauses.account, Some(pause));
        assert_eq!(store.wishes(&"acme2".parse().unwrap()).unwrap(), Wishes::default());
        store.ask(&acme(), |wishes| wishes.pauses.account = None).await.unwrap();
        assert!(!store.asked.has("acme").unwrap());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn commands_that_come_at_once_are_all_kept() {
        let store = Store::temporary().unwrap();
        let mut hands = tokio::task::JoinSet::new();
        for hand in 0..4 {
            let store = store.clone();
            hands.spawn(async move {
                for number in 1..=50 {
                    let channel = id(hand * 50 + number);
                    let pause = Pause { at: Timestamp::UNIX_EPOCH, until: None };
                    let ask = |wishes: &mut Wishes| {
                        wishes.pauses.channels.insert(channel, pause);
                    };
                    store.ask(&acme(), ask).await.unwrap();
                }
            });
        }
        hands.join_all().await;
        assert_eq!(store.wishes(&acme()).unwrap().pauses.channels.len(), 200);
    }

    #[tokio::test]
    async fn removals_are_allowed_until_they_are_done() {
        let store = recorded(&[1, 2]).await;
        store.allow_removals(&acme(), [id(1), id(3)].into()).await.unwrap();
        assert_eq!(store.wishes(&acme()).unwrap().removals, [id(1)].into(), "3 is not ours");
        store.write_records(&acme(), &[(id(1), None)].into()).await.unwrap();
        store.allow_removals(&acme(), [id(2)].into()).await.unwrap();
        assert_eq!(store.wishes(&acme()).unwrap().removals, [id(2)].into());
    }

    #[tokio::test]
    async fn a_renewal_of_the_account_takes_the_place_of_those_of_its_channels() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let store = recorded(&[1]).await;
        store.ask_renewal(&acme(), Some(id(1)), at(1)).await.unwrap();
        store.ask_renewal(&acme(), Some(id(2)), at(2)).await.unwrap();
        let renewals = store.wishes(&acme()).unwrap().renewals;
        assert_eq!(renewals, Renewals { account: None, channels: [(id(1), at(1))].into() });
        store.ask_renewal(&acme(), None, at(3)).await.unwrap();
        let renewals = store.wishes(&acme()).unwrap().renewals;
        assert_eq!(renewals, Renewals { account: Some(at(3)), channels: BTreeMap::new() });
    }

    #[test]
    fn the_stored_shape_is_read_and_written() {
        let text = concat!(
            r#"{"pauses":{"account":null,"channels":{"7":{"at":"2026-01-01T00:00:00Z","until":null}}},"#,
            r#""renewals":{"account":"2026-01-01T00:00:00Z","channels":{"7":"2026-01-01T00:00:00Z"}},"#,
            r#""removals":["8"],"adoptions":{"9":18446744073709551615}}"#
        );
        let wishes: Wishes = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&wishes).unwrap(), text);
    }
}
