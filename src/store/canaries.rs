//! The fate of canaries, in the store: the tree `canaries`, by account and `notify_url`.
//!
//! The URL is there as its fingerprint. The task that sends them is the only one that writes here;
//! passes read.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::canary::Canaries;
use crate::model::channel::AccountName;
use crate::model::secret::Fingerprint;

use super::database::Store;
use super::keys;
use super::tree::StoreError;

impl Store {
    /// The fate of an account's canaries, by the URL they went to.
    pub fn canaries(
        &self,
        account: &AccountName,
    ) -> Result<BTreeMap<Fingerprint, Canaries>, StoreError> {
        let entries: Vec<(Vec<u8>, Canaries)> = self.canaries.scan(&keys::records_of(account))?;
        Ok(entries.into_iter().map(|(_, canaries)| (canaries.notify_url, canaries)).collect())
    }

    /// The accounts that have an entry.
    pub fn canary_accounts(&self) -> Result<BTreeSet<AccountName>, StoreError> {
        Ok(self.canaries.keys("")?.iter().filter_map(|key| keys::account_of(key)).collect())
    }

    /// Sets and removes (`None`) what became of an account's canaries, and flushes.
    pub async fn write_canaries(
        &self,
        account: &AccountName,
        changes: &BTreeMap<Fingerprint, Option<Canaries>>,
    ) -> Result<(), StoreError> {
        let changes = changes.iter();
        let entry = |(url, canaries): (&Fingerprint, _)| {
            (keys::canaries(account, *url), Option::as_ref(canaries))
        };
        self.canaries.set(changes.map(entry))?;
        self.settle(account).await
    }
}

/// Reads all of it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    store.canaries.check::<Canaries>(|value, key| {
        keys::account_of(key.as_bytes())
            .is_some_and(|account| keys::canaries(&account, value.notify_url) == key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn canaries_are_read_and_written_and_kept_by_account() {
        let text = concat!(
            r#"{"notify_url":18446744073709551615,"sent_at":"2026-01-01T03:00:00Z","#,
            r#""accepted_at":"2026-01-01T02:00:00Z","refused":{"first":"2026-01-01T03:00:00Z","#,
            r#""last":"2026-01-01T03:00:00Z","times":1,"why":"HTTP 500"},"outages":[{"accepted":null,"#,
            r#""first":"2026-01-01T00:00:00Z","last":"2026-01-01T01:00:00Z","over":"2026-01-01T02:00:00Z"}]}"#
        );
        let canaries: Canaries = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&canaries).unwrap(), text);

        let (store, acme) = (Store::temporary().unwrap(), "acme".parse().unwrap());
        store
            .write_canaries(&acme, &[(canaries.notify_url, Some(canaries.clone()))].into())
            .await
            .unwrap();
        assert_eq!(
            store.canaries(&acme).unwrap(),
            [(canaries.notify_url, canaries.clone())].into()
        );
        assert_eq!(store.canary_accounts().unwrap(), [acme.clone()].into());
        assert!(store.canaries(&"acme2".parse().unwrap()).unwrap().is_empty());
        super::verify(&store).unwrap();
        store.write_canaries(&acme, &[(canaries.notify_url, None)].into()).await.unwrap();
        assert!(store.canary_accounts().unwrap().is_empty());
    }
}
