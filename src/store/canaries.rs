//! What became of canaries, in the store: the tree `canaries`, by account and `notify_url`.
//!
//! The URL is there as its fingerprint. The task that sends them is the only one that writes here;
//! passes read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::canary::{Canaries, Outage, Refused};
use crate::model::channel::AccountName;
use crate::model::secret::Fingerprint;
use crate::model::time::Timestamp;

use super::keys;
use super::open::Store;
use super::tree::StoreError;

impl Store {
    /// What became of an account's canaries, by where they went.
    pub fn canaries(
        &self,
        account: &AccountName,
    ) -> Result<BTreeMap<Fingerprint, Canaries>, StoreError> {
        let entries: Vec<(Vec<u8>, CanariesValue)> =
            self.canaries.scan(&keys::records_of(account))?;
        let canaries = entries.into_iter().map(|(_, value)| value.into_canaries());
        Ok(canaries.map(|canaries| (canaries.notify_url, canaries)).collect())
    }

    /// The accounts of which there is anything.
    pub fn canary_accounts(&self) -> Result<BTreeSet<AccountName>, StoreError> {
        Ok(self.canaries.keys("")?.iter().filter_map(|key| keys::account_of(key)).collect())
    }

    /// Sets and removes (`None`) what became of an account's canaries, and flushes.
    pub fn write_canaries(
        &self,
        account: &AccountName,
        changes: &BTreeMap<Fingerprint, Option<Canaries>>,
    ) -> Result<(), StoreError> {
        let entry = |(url, canaries): (&Fingerprint, &Option<Canaries>)| {
            (keys::canaries(account, *url), canaries.as_ref().map(CanariesValue::of))
        };
        self.canaries.write(changes.iter().map(entry))
    }
}

/// Reads all of it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    store.canaries.check::<CanariesValue>(|value, key| {
        keys::account_of(key.as_bytes())
            .is_some_and(|account| keys::canaries(&account, Fingerprint(value.notify_url)) == key)
    })
}

#[derive(Serialize, Deserialize)]
struct CanariesValue {
    v: u32,
    notify_url: u64,
    sent_at: Timestamp,
    accepted_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<RefusedValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outages: Vec<OutageValue>,
}

#[derive(Serialize, Deserialize)]
struct RefusedValue {
    first: Timestamp,
    last: Timestamp,
    times: u32,
    why: String,
}

#[derive(Serialize, Deserialize)]
struct OutageValue {
    accepted: Option<Timestamp>,
    first: Timestamp,
    last: Timestamp,
    over: Timestamp,
}

impl CanariesValue {
    fn of(canaries: &Canaries) -> CanariesValue {
        let Canaries { notify_url, sent_at, accepted_at, refused, outages } = canaries.clone();
        let refused = refused.map(|Refused { first, last, times, why }| RefusedValue {
            first,
            last,
            times,
            why,
        });
        let outage =
            |Outage { accepted, first, last, over }| OutageValue { accepted, first, last, over };
        let outages = outages.into_iter().map(outage).collect();
        CanariesValue { v: V, notify_url: notify_url.0, sent_at, accepted_at, refused, outages }
    }

    fn into_canaries(self) -> Canaries {
        let CanariesValue { v: _, notify_url, sent_at, accepted_at, refused, outages } = self;
        let refused = refused.map(|RefusedValue { first, last, times, why }| Refused {
            first,
            last,
            times,
            why,
        });
        let outage =
            |OutageValue { accepted, first, last, over }| Outage { accepted, first, last, over };
        let outages = outages.into_iter().map(outage).collect();
        Canaries { notify_url: Fingerprint(notify_url), sent_at, accepted_at, refused, outages }
    }
}

const V: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_of_layout_1_are_read_and_written_and_kept_by_account() {
        let text = concat!(
            r#"{"v":1,"notify_url":18446744073709551615,"sent_at":"2026-01-01T03:00:00Z","#,
            r#""accepted_at":"2026-01-01T02:00:00Z","refused":{"first":"2026-01-01T03:00:00Z","#,
            r#""last":"2026-01-01T03:00:00Z","times":1,"why":"HTTP 500"},"outages":[{"accepted":null,"#,
            r#""first":"2026-01-01T00:00:00Z","last":"2026-01-01T01:00:00Z","over":"2026-01-01T02:00:00Z"}]}"#
        );
        let value: CanariesValue = serde_json::from_str(text).unwrap();
        let canaries = value.into_canaries();
        assert_eq!(serde_json::to_string(&CanariesValue::of(&canaries)).unwrap(), text);

        let (store, acme) = (Store::temporary().unwrap(), "acme".parse().unwrap());
        store
            .write_canaries(&acme, &[(canaries.notify_url, Some(canaries.clone()))].into())
            .unwrap();
        assert_eq!(
            store.canaries(&acme).unwrap(),
            [(canaries.notify_url, canaries.clone())].into()
        );
        assert_eq!(store.canary_accounts().unwrap(), [acme.clone()].into());
        assert!(store.canaries(&"acme2".parse().unwrap()).unwrap().is_empty());
        super::verify(&store).unwrap();
        store.write_canaries(&acme, &[(canaries.notify_url, None)].into()).unwrap();
        assert!(store.canary_accounts().unwrap().is_empty());
    }
}
