//! Layout 2 to 3: the entries of the large trees go in leaves ([`super::super::disk`]).
//!
//! | was | is |
//! | --- | --- |
//! | an entry of `desired`, `records`, `ledger` | a line of a leaf of that tree |
//! | `over` in `meta/desired`, over what the entries say | over their bytes |
//!
//! Every other entry keeps its key and its value, to the last byte. A desired state that is not
//! what was written keeps its number, which fits nothing.

use serde_json::Value;

use super::super::disk;
use super::Entries;
use crate::model::secret::FingerprintParts;
use crate::store::tree::TreeEntries;

/// Brings every entry from layout 2 to layout 3.
pub(super) fn step(mut entries: Entries) -> Result<Entries, String> {
    count_bytes(&mut entries)?;
    for name in IN_LEAVES {
        if let Some(tree) = entries.get_mut(name.as_bytes()) {
            let packed = disk::in_leaves(tree);
            *tree = packed.map_err(|key| format!("{name}/{key} is no JSON in one line"))?;
        }
    }
    Ok(entries)
}

/// Sets the number over the desired state.
fn count_bytes(entries: &mut Entries) -> Result<(), String> {
    let desired = entries.get("desired".as_bytes()).cloned().unwrap_or_default();
    let current = entries.get_mut("meta".as_bytes()).and_then(|meta| meta.get_mut(CURRENT));
    let Some(current) = current else { return Ok(()) };
    let bad = |error: serde_json::Error| format!("meta/desired: {error}");
    let mut value: Value = serde_json::from_slice(current).map_err(bad)?;
    let generation = value["generation"].as_u64().ok_or("meta/desired has no generation")?;
    let said = |bytes: &[u8]| serde_json::from_slice(bytes).map(|value: Value| value.to_string());
    let before = over(generation, &desired, |bytes| said(bytes).unwrap_or_default());
    if value["over"] == before {
        value["over"] =
            over(generation, &desired, |bytes| String::from_utf8_lossy(bytes).into_owned()).into();
        *current = value.to_string().into_bytes();
    }
    Ok(())
}

/// The fingerprint of the entries of a generation, each as this says.
fn over(generation: u64, desired: &TreeEntries, text: impl Fn(&[u8]) -> String) -> u64 {
    let (prefix, mut over) = (format!("{generation:020}/"), FingerprintParts::default());
    for (key, bytes) in desired {
        if let Some(key) = String::from_utf8_lossy(key).strip_prefix(&prefix) {
            over.add(&format!("{key} {}", text(bytes)));
        }
    }
    over.finish().0
}

const CURRENT: &[u8] = b"desired";
/// The trees that lie in leaves in layout 3.
const IN_LEAVES: [&str; 3] = ["desired", "records", "ledger"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_of_large_trees_go_in_leaves_and_others_stay() {
        let tree = |keys: &[&str]| -> TreeEntries {
            keys.iter().map(|key| (key.as_bytes().to_vec(), b"{}".to_vec())).collect()
        };
        let small = ("acks".into(), tree(&["a/1", "a/2"]));
        let before: Entries =
            [small.clone(), ("records".into(), tree(&["a-b/1", "a/1", "a/2", "b/1"]))].into();
        let after = step(before).unwrap();
        assert_eq!(after.get("acks".as_bytes()), Some(&small.1));
        let leaves: Vec<_> = after["records".as_bytes()].keys().cloned().collect();
        assert_eq!(leaves, [&b"a-b/"[..], b"a/", b"b/"]);
    }

    #[test]
    fn a_value_of_two_lines_is_none_that_was_written() {
        let two = [(b"a/1".to_vec(), b"{\n}".to_vec())].into();
        let said = step([(b"records".to_vec(), two)].into()).unwrap_err();
        assert_eq!(said, "records/a/1 is no JSON in one line");
    }
}
