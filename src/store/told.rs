//! What the alert webhook was last told: one value in `meta`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;
use crate::model::told::Told;

use super::open::Store;
use super::tree::StoreError;

impl Store {
    /// What was last told and is not over.
    pub fn told(&self) -> Result<Option<Told>, StoreError> {
        let value: Option<ToldValue> = self.meta.read(TOLD)?;
        Ok(value.map(ToldValue::into_told))
    }

    /// Keeps it, and flushes; `None` when all is told to be well.
    pub fn write_told(&self, told: Option<&Told>) -> Result<(), StoreError> {
        self.meta.write([(TOLD.to_owned(), told.map(ToldValue::of))])
    }
}

/// Reads it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    let _: Option<ToldValue> = store.meta.read(TOLD)?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct ToldValue {
    v: u32,
    at: Timestamp,
    bad_since: Timestamp,
    topics: BTreeMap<String, Timestamp>,
}

impl ToldValue {
    fn of(told: &Told) -> ToldValue {
        let Told { at, bad_since, topics } = told.clone();
        ToldValue { v: V, at, bad_since, topics }
    }

    fn into_told(self) -> Told {
        let ToldValue { v: _, at, bad_since, topics } = self;
        Told { at, bad_since, topics }
    }
}

const TOLD: &str = "told";
const V: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_comes_back_and_can_be_taken_away() {
        let dir = tempfile::tempdir().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let open = || Store::open(dir.path(), at("2026-01-01T00:00:00Z")).unwrap().store;
        let topics = [("uncovered/acme/c1".to_owned(), at("2026-01-01T00:00:00Z"))].into();
        let told =
            Told { at: at("2026-01-01T00:10:00Z"), bad_since: at("2026-01-01T00:00:00Z"), topics };
        assert_eq!(open().told().unwrap(), None);
        open().write_told(Some(&told)).unwrap();
        assert_eq!(open().told().unwrap(), Some(told));
        open().write_told(None).unwrap();
        assert_eq!(open().told().unwrap(), None);
    }

    #[test]
    fn the_first_shape_is_still_read() {
        let text = r#"{"v":1,"at":"2026-01-01T00:10:00Z","bad_since":"2026-01-01T00:00:00Z","topics":{"skew/acme":"2026-01-01T00:00:00Z"}}"#;
        let value: ToldValue = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }
}
