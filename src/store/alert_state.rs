//! The last message to the alert webhook: one value in `meta`.

use crate::model::alert_state::AlertState;

use super::database::Store;
use super::tree::StoreError;

impl Store {
    /// The last message, while its trouble is not over.
    pub fn told(&self) -> Result<Option<AlertState>, StoreError> {
        self.meta.read(TOLD)
    }

    /// Keeps it, and flushes; `None` when all is told to be well.
    pub async fn write_told(&self, told: Option<&AlertState>) -> Result<(), StoreError> {
        self.meta.write([(TOLD.to_owned(), told)])
    }
}

/// Reads it once.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    let _: Option<AlertState> = store.meta.read(TOLD)?;
    Ok(())
}

const TOLD: &str = "told";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    #[tokio::test]
    async fn what_was_told_comes_back_and_can_be_taken_away() {
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
        open().write_told(Some(&told)).await.unwrap();
        assert_eq!(open().told().unwrap(), Some(told));
        open().write_told(None).await.unwrap();
        assert_eq!(open().told().unwrap(), None);
    }

    #[test]
    fn the_stored_shape_is_read_and_written() {
        let text = r#"{"at":"2026-01-01T00:10:00Z","bad_since":"2026-01-01T00:00:00Z","topics":{"skew/acme":"2026-01-01T00:00:00Z"}}"#;
        let value: AlertState = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
    }
}
