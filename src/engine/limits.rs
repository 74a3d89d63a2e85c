//! The rules that all engines have in common: requests that none of them takes, and selections that
//! overlap.
//!
//! A request that is too large is found before anything is sent, so nothing of it is applied.

use std::collections::{BTreeMap, BTreeSet};

use super::{COMMIT_BYTES_MAX, Change, EngineError, Entry, Guard, OPERATIONS_MAX, Selection};

/// Checks what is to be read.
pub(super) fn check_range(selections: &[Selection]) -> Result<(), EngineError> {
    if selections.is_empty() {
        return unable("there is nothing to read".to_owned());
    }
    at_most("selections", selections.len())
}

/// Checks a commit.
pub(super) fn check_commit(guards: &[Guard], changes: &[Change]) -> Result<(), EngineError> {
    if guards.is_empty() && changes.is_empty() {
        return unable("there is nothing to commit".to_owned());
    }
    at_most("guards", guards.len())?;
    at_most("changes", changes.len())?;
    let mut keys = BTreeSet::new();
    let mut bytes: usize = guards.iter().map(|guard| guard.key().len()).sum();
    for change in changes {
        let (Change::Put(key, _) | Change::Delete(key)) = change;
        if key.is_empty() {
            return unable("a change without a key".to_owned());
        }
        if !keys.insert(key) {
            return unable(format!("two changes of the key {key}"));
        }
        bytes += key.len();
        if let Change::Put(_, value) = change {
            bytes += value.len();
        }
    }
    if bytes > COMMIT_BYTES_MAX {
        return unable(format!("a commit of {bytes} bytes; at most {COMMIT_BYTES_MAX} are taken"));
    }
    Ok(())
}

/// Takes in what was read. Where selections overlap, the entry with its value stays.
pub(super) fn put_once<K: Ord>(found: &mut BTreeMap<K, Entry>, key: K, entry: Entry) {
    let is_better = |held: &Entry| held.value.is_empty();
    if found.get(&key).is_none_or(is_better) {
        found.insert(key, entry);
    }
}

fn at_most(kind: &str, count: usize) -> Result<(), EngineError> {
    if count > OPERATIONS_MAX {
        return unable(format!(
            "{count} {kind} in one request; at most {OPERATIONS_MAX} are taken"
        ));
    }
    Ok(())
}

fn unable<T>(why: String) -> Result<T, EngineError> {
    Err(EngineError::Unable(why))
}
