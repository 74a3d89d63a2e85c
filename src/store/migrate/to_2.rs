//! Layout 1 to 2: what people asked for moves from the values that passes write into the tree
//! `asked`.
//!
//! | was | is |
//! | --- | --- |
//! | `paused` in `accounts/NAME` | `pauses` in `asked/NAME` |
//! | `removable` there, numbers | `removals`, text |
//! | `renewal_asked` in `records/NAME/ID` | `renewals.channels.ID` |
//! | `v` in every value | gone: the layout's number says it |
//! | `learned.batch` of an account without `refused` | with it |
//!
//! The desired state stays as it was, to the last byte. Shapes of layout 1 are known here alone, as
//! JSON: the types of this release go on.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Entries;

/// Brings every entry from layout 1 to layout 2.
pub(super) fn step(mut entries: Entries) -> Result<Entries, String> {
    let mut asked: BTreeMap<Vec<u8>, FormerWishes> = BTreeMap::new();
    for (name, value) in tree(&mut entries, "accounts") {
        rewrite("accounts", name, value, |state| {
            let mut wishes = FormerWishes::default();
            complete_batch(state);
            if let Some(pauses) = state.remove("paused") {
                wishes.pauses = pauses;
            }
            if let Some(Value::Array(removable)) = state.remove("removable") {
                wishes.removals = removable.iter().map(Value::to_string).collect();
            }
            asked.insert(name.clone(), wishes);
        })?;
    }
    for (key, value) in tree(&mut entries, "records") {
        rewrite("records", key, value, |record| {
            let renewal = record.remove("renewal_asked").filter(|at| !at.is_null());
            let id = record.get("id").and_then(Value::as_str).map(str::to_owned);
            let account = key.split(|byte| *byte == b'/').next().unwrap_or_default();
            if let (Some(renewal), Some(id)) = (renewal, id) {
                asked.entry(account.to_vec()).or_default().renewals.insert(id, renewal);
            }
        })?;
    }
    for name in VERSIONED {
        for (key, value) in tree(&mut entries, name) {
            // `meta` holds a number too.
            if value.first() == Some(&b'{') {
                rewrite(name, key, value, |value| drop(value.remove("v")))?;
            }
        }
    }
    let asked = asked.into_iter().filter_map(|(name, wishes)| Some((name, wishes.into_value()?)));
    let asked = asked.collect();
    entries.insert(b"asked".to_vec(), asked);
    Ok(entries)
}

/// A batch that was learned before its second number was kept: known to the channel.
fn complete_batch(state: &mut Map<String, Value>) {
    let batch = state.get_mut("learned").and_then(|learned| learned.get_mut("batch"));
    if let Some(Value::Object(batch)) = batch {
        let is_known = batch.get("refused").is_some_and(|refused| !refused.is_null());
        if let Some(max) = batch.get("max").and_then(Value::as_u64).filter(|_| !is_known) {
            batch.insert("refused".to_owned(), json!(max.saturating_add(1)));
        }
    }
}

/// The trees whose values had a version of their own.
const VERSIONED: [&str; 7] =
    ["meta", "records", "accounts", "tokens", "ledger", "acks", "canaries"];

fn tree<'a>(
    entries: &'a mut Entries,
    name: &str,
) -> impl Iterator<Item = (&'a Vec<u8>, &'a mut Vec<u8>)> {
    entries.get_mut(name.as_bytes()).into_iter().flatten()
}

/// Changes one value, which is an object.
fn rewrite(
    tree: &str,
    key: &[u8],
    bytes: &mut Vec<u8>,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<(), String> {
    let bad = |why: serde_json::Error| format!("{tree}/{}: {why}", String::from_utf8_lossy(key));
    let mut object: Map<String, Value> = serde_json::from_slice(bytes).map_err(bad)?;
    change(&mut object);
    *bytes = serde_json::to_vec(&object).map_err(bad)?;
    Ok(())
}

/// The wishes that layout 1 stored.
#[derive(Default)]
struct FormerWishes {
    pauses: Value,
    removals: Vec<String>,
    renewals: Map<String, Value>,
}

impl FormerWishes {
    /// The value of `asked`, unless nothing was asked for.
    fn into_value(self) -> Option<Vec<u8>> {
        let FormerWishes { pauses, removals, renewals } = self;
        let no_pauses = json!({ "account": null, "channels": {} });
        let pauses = if pauses.is_null() { no_pauses.clone() } else { pauses };
        if pauses == no_pauses && removals.is_empty() && renewals.is_empty() {
            return None;
        }
        let renewals = json!({ "account": null, "channels": renewals });
        let value = json!({
            "pauses": pauses, "renewals": renewals, "removals": removals, "adoptions": {},
        });
        Some(value.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tree of entries, as text.
    fn tree_of(entries: &[(&str, &str)]) -> BTreeMap<Vec<u8>, Vec<u8>> {
        entries
            .iter()
            .map(|(key, value)| (key.as_bytes().into(), value.as_bytes().into()))
            .collect()
    }

    fn value(entries: &Entries, tree: &str, key: &str) -> Value {
        serde_json::from_slice(&entries[tree.as_bytes()][key.as_bytes()]).unwrap()
    }

    const RECORD: &str = r#"{"v":1,"id":"7","name":"c7","notify_url":18446744073709551615,"grant":null,
        "refusal":null,"repairs":null,"renewal_asked":"2026-01-01T00:00:00Z","last":null}"#;

    #[test]
    fn what_was_asked_for_moves_into_a_tree_of_its_own() {
        let account = r#"{"v":1,"skew_ms":5,"removable":[7,8],
            "paused":{"account":{"at":"2026-01-01T00:00:00Z","until":null},"channels":{}}}"#;
        let other =
            r#"{"v":1,"skew_ms":null,"removable":[],"paused":{"account":null,"channels":{}}}"#;
        let before: Entries = [
            (b"accounts".to_vec(), tree_of(&[("acme", account), ("other", other)])),
            (b"records".to_vec(), tree_of(&[("acme/0000000000000000007", RECORD)])),
            (b"tokens".to_vec(), tree_of(&[("acme", r#"{"v":1,"access":null}"#)])),
            (b"meta".to_vec(), tree_of(&[("schema", "1"), ("told", r#"{"v":1,"topics":{}}"#)])),
            (b"desired".to_vec(), tree_of(&[("settings", "left { as it was")])),
        ]
        .into();
        let after = step(before.clone()).unwrap();
        assert_eq!(
            value(&after, "asked", "acme"),
            json!({
                "pauses": { "account": { "at": "2026-01-01T00:00:00Z", "until": null }, "channels": {} },
                "renewals": { "account": null, "channels": { "7": "2026-01-01T00:00:00Z" } },
                "removals": ["7", "8"],
                "adoptions": {},
            })
        );
        assert_eq!(after[b"asked".as_slice()].len(), 1, "nothing was asked of the other account");
        assert_eq!(value(&after, "accounts", "acme"), json!({ "skew_ms": 5 }));
        assert_eq!(value(&after, "tokens", "acme"), json!({ "access": null }));
        assert_eq!(value(&after, "meta", "told"), json!({ "topics": {} }));
        assert_eq!(value(&after, "meta", "schema"), json!(1), "the opener writes it");
        let record = value(&after, "records", "acme/0000000000000000007");
        assert_eq!(record["notify_url"], json!(u64::MAX));
        assert_eq!(record.get("renewal_asked"), None);
        assert_eq!(after[b"desired".as_slice()], before[b"desired".as_slice()]);
    }

    #[test]
    fn an_account_that_only_a_record_speaks_of_keeps_its_wish() {
        let records = tree_of(&[("acme/0000000000000000007", RECORD)]);
        let after = step([(b"records".to_vec(), records)].into()).unwrap();
        assert_eq!(
            value(&after, "asked", "acme")["renewals"]["channels"]["7"],
            "2026-01-01T00:00:00Z"
        );
    }

    #[test]
    fn a_batch_that_was_learned_early_is_known_to_the_channel() {
        let refused = |batch: &str| {
            let account = format!(r#"{{"learned":{{"batch":{batch}}}}}"#);
            let accounts = tree_of(&[("acme", &account)]);
            let after = step([(b"accounts".to_vec(), accounts)].into()).unwrap();
            value(&after, "accounts", "acme")["learned"]["batch"]["refused"].clone()
        };
        assert_eq!(refused(r#"{"max":6}"#), json!(7));
        assert_eq!(refused(r#"{"max":6,"refused":null}"#), json!(7));
        assert_eq!(refused(r#"{"max":6,"refused":12}"#), json!(12));
    }

    #[test]
    fn a_value_that_is_no_object_is_named() {
        let error = step([(b"accounts".to_vec(), tree_of(&[("acme", "[]")]))].into()).unwrap_err();
        assert!(error.starts_with("accounts/acme: "), "{error}");
    }
}
