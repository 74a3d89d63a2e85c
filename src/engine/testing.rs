//! An engine as simple as can be: for tests of those who speak to one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::mpsc;

use super::{
    Asked, Change, Committed, Engine, EngineError, EngineStatus, Entry, Guard, Hint, Revision,
    Selection, Snapshot,
};

/// Values by key, and the revision.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<(i64, BTreeMap<String, Entry>)>);

impl Engine for Shelf {
    fn range(&self, selections: Vec<Selection>) -> Asked<'_, Snapshot> {
        let shelf = self.0.lock().unwrap();
        let is_meant = |key: &String| {
            selections.iter().any(|selection| match selection {
                Selection::Key(one) => key == one,
                Selection::Prefix(prefix) | Selection::KeysOf(prefix) => key.starts_with(prefix),
            })
        };
        let entries = shelf.1.values().filter(|entry| is_meant(&entry.key)).cloned().collect();
        Box::pin(std::future::ready(Ok(Snapshot { entries, revision: Revision(shelf.0) })))
    }

    fn commit(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Asked<'_, Committed> {
        let mut shelf = self.0.lock().unwrap();
        let (revision, entries) = &mut *shelf;
        if !guards.iter().all(|guard| guard.holds(entries.get(guard.key()))) {
            return Box::pin(std::future::ready(Ok(Committed::Refused)));
        }
        *revision += 1;
        let modified = Revision(*revision);
        for change in changes {
            match change {
                Change::Put(key, value) => {
                    let created = entries.get(&key).map_or(modified, |entry| entry.created);
                    entries.insert(key.clone(), Entry { key, value, created, modified });
                }
                Change::Delete(key) => drop(entries.remove(&key)),
            }
        }
        Box::pin(std::future::ready(Ok(Committed::Done(modified))))
    }

    fn watch(&self, _prefix: String) -> mpsc::Receiver<Hint> {
        mpsc::channel(1).1
    }

    fn status(&self) -> Asked<'_, EngineStatus> {
        Box::pin(std::future::ready(Err(EngineError::Unable("it is a shelf".to_owned()))))
    }
}

impl Shelf {
    /// How many commits were applied.
    pub(crate) fn commits(&self) -> i64 {
        self.0.lock().unwrap().0
    }

    /// Writes a key anew, and says how to see that it is as it is.
    pub(crate) fn claim(&self, key: &str) -> Guard {
        let mut shelf = self.0.lock().unwrap();
        shelf.0 += 1;
        let at = Revision(shelf.0);
        let entry = Entry { key: key.to_owned(), value: Vec::new(), created: at, modified: at };
        shelf.1.insert(key.to_owned(), entry);
        Guard::ModifiedAt(key.to_owned(), at)
    }
}
