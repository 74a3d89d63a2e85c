//! Acknowledgements in the store: the tree `acks`, with a shape of its own.
//!
//! They lie beside the ledgers and not in them: a pass holds the ledgers of its account while it
//! runs and writes them back, and what somebody says meanwhile must not be lost. They go with their
//! ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::coverage::Acks;
use crate::coverage::ack::{Ack, Note};
use crate::model::channel::{AccountName, ChannelId};
use crate::model::events::Operation;
use crate::model::time::Timestamp;

use super::database::Store;
use super::keys;
use super::tree::StoreError;
use super::value::as_text;

impl Store {
    /// The acknowledgements of one channel.
    pub fn acks(&self, account: &AccountName, id: ChannelId) -> Result<Acks, StoreError> {
        let value: Option<AcksValue> = self.acks.read(&keys::record(account, id))?;
        Ok(value.map(AcksValue::into_acks).unwrap_or_default())
    }

    /// Sets what was acknowledged of channels of one account, and flushes.
    pub async fn write_acks(
        &self,
        account: &AccountName,
        changes: &BTreeMap<ChannelId, Acks>,
    ) -> Result<(), StoreError> {
        let entry = |(id, acks): (&ChannelId, &Acks)| {
            (keys::record(account, *id), Some(AcksValue::of(*id, acks)))
        };
        self.acks.set(changes.iter().map(entry))?;
        self.settle(account).await
    }

    /// Forgets what was acknowledged of channels whose ledgers go. They are flushed with them.
    pub(super) fn forget_acks(
        &self,
        account: &AccountName,
        ids: impl Iterator<Item = ChannelId>,
    ) -> Result<(), StoreError> {
        let mut gone = Vec::new();
        for id in ids {
            gone.extend(self.acks.keys(&keys::record(account, id))?);
        }
        self.acks.remove(gone)
    }
}

/// Reads all of it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    store.acks.check::<AcksValue>(|acks, key| keys::is_of(key, acks.id))
}

#[derive(Serialize, Deserialize)]
struct AcksValue {
    id: ChannelId,
    acks: Vec<AckValue>,
}

#[derive(Serialize, Deserialize)]
struct AckValue {
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<NoteValue>,
    ends: Vec<EndValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reception: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct NoteValue(#[serde(with = "as_text")] Note);

#[derive(Serialize, Deserialize)]
struct EndValue {
    module: String,
    operation: Operation,
    end: Timestamp,
}

impl AcksValue {
    fn of(id: ChannelId, acks: &Acks) -> AcksValue {
        let Acks(acks) = acks;
        AcksValue { id, acks: acks.iter().map(AckValue::of).collect() }
    }

    fn into_acks(self) -> Acks {
        let AcksValue { id: _, acks } = self;
        Acks(acks.into_iter().map(AckValue::into_ack).collect())
    }
}

impl AckValue {
    fn of(ack: &Ack) -> AckValue {
        let Ack { at, note, ends, reception } = ack.clone();
        let end = |((module, operation), end)| EndValue { module, operation, end };
        AckValue {
            at,
            note: note.map(NoteValue),
            ends: ends.into_iter().map(end).collect(),
            reception,
        }
    }

    fn into_ack(self) -> Ack {
        let AckValue { at, note, ends, reception } = self;
        let end = |EndValue { module, operation, end }: EndValue| ((module, operation), end);
        Ack {
            at,
            note: note.map(|NoteValue(note)| note),
            ends: ends.into_iter().map(end).collect(),
            reception,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acks() -> Acks {
        let end = "2026-01-01T01:00:00Z".parse().unwrap();
        let ends = [(("Deals".to_owned(), Operation::Edit), end)].into();
        Acks(vec![Ack {
            at: "2026-01-02T00:00:00Z".parse().unwrap(),
            note: "fetched".parse().ok(),
            ends,
            reception: None,
        }])
    }

    #[test]
    fn acknowledgements_are_read_and_written() {
        let stored = r#"{"id":"7","acks":[{"at":"2026-01-02T00:00:00Z","note":"fetched",
            "ends":[{"module":"Deals","operation":"edit","end":"2026-01-01T01:00:00Z"}]}]}"#;
        let stored: serde_json::Value = serde_json::from_str(stored).unwrap();
        let value: AcksValue = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(value.into_acks(), acks());
        let id = ChannelId::new(7).unwrap();
        assert_eq!(serde_json::to_value(AcksValue::of(id, &acks())).unwrap(), stored);
    }

    #[tokio::test]
    async fn acknowledgements_are_kept_by_channel_and_go_with_their_ledger() {
        let store = Store::temporary().unwrap();
        let account: AccountName = "acme".parse().unwrap();
        let (one, other) = (ChannelId::new(7).unwrap(), ChannelId::new(8).unwrap());
        store.write_acks(&account, &[(one, acks()), (other, acks())].into()).await.unwrap();
        store.write_ledgers(&account, &[(one, None)]).await.unwrap();
        assert_eq!(store.acks(&account, one).unwrap(), Acks::default());
        assert_eq!(store.acks(&account, other).unwrap(), acks());
    }
}
