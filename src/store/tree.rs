//! Reading and writing one tree: values as JSON, batches bounded, errors that name the key.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most entries in one batch (measured: sled's memory grows with the size of a batch, and not with their number).
pub const BATCH_MAX: usize = 200;

/// The store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// sled says no: the disk is full, or broken, or read-only.
    #[error("the store could not {doing}")]
    Sled {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: sled::Error,
    },
    /// A value is not what it should be.
    #[error("the store holds a value that cannot be read, {tree}/{key}: {why}")]
    Value {
        /// The tree.
        tree: &'static str,
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

/// One tree with its name.
#[derive(Clone)]
pub(super) struct Tree {
    name: &'static str,
    tree: sled::Tree,
}

impl Tree {
    pub(super) fn open(db: &sled::Db, name: &'static str) -> Result<Tree, StoreError> {
        let tree = db.open_tree(name).map_err(|source| StoreError::Sled { doing: "open a tree", source })?;
        Ok(Tree { name, tree })
    }

    pub(super) fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let value = self.tree.get(key).map_err(|source| StoreError::Sled { doing: "read", source })?;
        value.map(|bytes| self.parse(key.as_bytes(), &bytes)).transpose()
    }

    /// Every entry whose key begins so, in the order of keys.
    pub(super) fn scan<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        let mut entries = Vec::new();
        for entry in self.tree.scan_prefix(prefix) {
            let (key, bytes) = entry.map_err(|source| StoreError::Sled { doing: "scan", source })?;
            let value = self.parse(&key, &bytes)?;
            entries.push((key.to_vec(), value));
        }
        Ok(entries)
    }

    /// Every entry whose key begins so, as it was written: its key after that and its text.
    pub(super) fn texts(&self, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let entries = self.tree.scan_prefix(prefix).map(|entry| {
            let (key, bytes) = entry.map_err(|source| StoreError::Sled { doing: "scan", source })?;
            Ok((text(&key[prefix.len()..]), text(&bytes)))
        });
        entries.collect()
    }

    /// Reads every entry, and keeps none; each has to belong where it is.
    pub(super) fn check<T: DeserializeOwned>(&self, belongs: fn(&T, &str) -> bool) -> Result<(), StoreError> {
        for entry in self.tree.iter() {
            let (key, bytes) = entry.map_err(|source| StoreError::Sled { doing: "scan", source })?;
            let value: T = self.parse(&key, &bytes)?;
            let key = String::from_utf8_lossy(&key);
            if !belongs(&value, &key) {
                return Err(self.bad(&key, &"it belongs under another key"));
            }
        }
        Ok(())
    }

    /// The keys that begin so.
    pub(super) fn keys(&self, prefix: &str) -> Result<Vec<sled::IVec>, StoreError> {
        let keys = self.tree.scan_prefix(prefix).keys();
        keys.collect::<Result<_, _>>().map_err(|source| StoreError::Sled { doing: "scan", source })
    }

    /// Sets and removes (`None`) entries, in batches, and flushes.
    pub(super) fn write<T: Serialize>(&self, entries: &[(String, Option<T>)]) -> Result<(), StoreError> {
        for chunk in entries.chunks(BATCH_MAX) {
            let mut batch = sled::Batch::default();
            for (key, value) in chunk {
                match value {
                    Some(value) => batch.insert(key.as_bytes(), self.json(key, value)?),
                    None => batch.remove(key.as_bytes()),
                }
            }
            self.tree.apply_batch(batch).map_err(|source| StoreError::Sled { doing: "write", source })?;
            self.flush()?;
        }
        Ok(())
    }

    /// Removes keys, in batches, and flushes.
    pub(super) fn remove(&self, keys: &[sled::IVec]) -> Result<(), StoreError> {
        for chunk in keys.chunks(BATCH_MAX) {
            let mut batch = sled::Batch::default();
            chunk.iter().for_each(|key| batch.remove(key));
            self.tree.apply_batch(batch).map_err(|source| StoreError::Sled { doing: "write", source })?;
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.tree.flush().map_err(|source| StoreError::Sled { doing: "flush", source })?;
        Ok(())
    }

    fn parse<T: DeserializeOwned>(&self, key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(bytes).map_err(|error| self.bad(&String::from_utf8_lossy(key), &error))
    }

    fn json<T: Serialize>(&self, key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(value).map_err(|error| self.bad(key, &error))
    }

    pub(super) fn bad(&self, key: &str, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Value { tree: self.name, key: key.to_owned(), why: why.to_string() }
    }
}
