//! What the alert webhook was last told: one value in `meta`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::alert_state::AlertState;
use crate::model::time::Timestamp;

use super::open::Store;
use super::tree::StoreError;

impl Store {
    /// What was last told and is not over.
    pub fn told(&self) -> Result<Option<AlertState>, StoreError> {
        let value: Option<AlertStateValue> = self.meta.read(TOLD)?;
        Ok(value.map(AlertStateValue::into_told))
    }

    /// Keeps it, and flushes; `None` when all is told to be well.
    pub fn write_told(&self, told: Option<&AlertState>) -> Result<(), StoreError> {
        self.meta.write([(TOLD.to_owned(), told.map(AlertStateValue::of))])
    }
}

/// Reads it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    let _: Option<AlertStateValue> = store.meta.read(TOLD)?;
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct AlertStateValue {
    v: u32,
    at: Timestamp,
    bad_since: Timestamp,
    topics: BTreeMap<String, Timestamp>,
}

impl AlertStateValue {
    fn of(told: &AlertState) -> AlertStateValue {
        let AlertState { at, bad_since, topics } = told.clone();
        AlertStateValue { v: V, at, bad_since, topics }
    }

    fn into_told(self) -> AlertState {
        let AlertStateValue { v: _, at, bad_since, topics } = self;
        AlertState { at, bad_since, topics }
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
        let told = AlertState {
            at: at("2026-01-01T00:10:00Z"),
            bad_since: at("2026-01-01T00:00:00Z"),
            topics,
        };
        assert_eq!(open().told().unwrap(), None);
        open().write_told(Some(&told)).unwrap();
        assert_eq!(open().told().unwrap(), Some(told));
        open().write_told(None).unwrap();
        assert_eq!(open().told().unwrap(), None);
    }

    #[test]
    fn the_first_shape_is_still_read() {
        let text = r#"{"v":1,"at":"2026-01-01T00:10:00Z","bad_since":"2026-01-01T00:00:00Z","topics":{"skew/acme":"2026-01-01T00:00:00Z"}}"#;
        let value: AlertStateValue = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }
}
