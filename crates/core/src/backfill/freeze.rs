//! Deliveries, frozen: every byte of each is settled before the first is sent.
//!
//! Creations come first, then edits, then deletions, each the oldest first, at most [`IDS_MAX`]
//! records in one delivery. So a creation always comes before an edit of the same record, and
//! deliveries are as full, and as few, as they can be.
//!
//! The body is Zoho's own shape. Nothing in it is invented: no field is said to be affected, and no
//! key is added at the top, where strict parsers refuse what they do not know. Its mark is an entry
//! of `query_params`, a free map in Zoho's shape too. A retry says the same again byte for byte, so
//! the key that receivers drop doubles by makes it harmless; only a token that rotated meanwhile
//! differs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::channel::{AccountName, Spec};
use crate::model::events::Operation;
use crate::model::secret::{Fingerprint, Secret};
use crate::model::time::Timestamp;

use super::classify::MissedChanges;
use super::delivery::{Delivery, Part};
use super::recovery::{Frozen, Recovery};

/// The deliveries of what was missed, frozen at `at`.
pub fn freeze(missed: MissedChanges, at: Timestamp) -> (Frozen, Vec<Delivery>) {
    let by_operation = missed.of();
    let count = |operation| by_operation.get(&operation).map_or(0, |ids| ids.len() as u64);
    let (inserts, updates, deletes) =
        (count(Operation::Create), count(Operation::Edit), count(Operation::Delete));
    let mut deliveries = Vec::new();
    for (operation, ids) in &by_operation {
        for ids in ids.chunks(IDS_MAX) {
            deliveries.push(Delivery { operation: *operation, ids: ids.to_vec() });
        }
    }
    let count = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
    (Frozen { at, deliveries: count, inserts, updates, deletes }, deliveries)
}

/// The name of one delivery, or of a part of it: the same on every try, and another for every
/// other.
pub fn name(account: &AccountName, recovery: &Recovery, part: Part) -> String {
    let of = Fingerprint::of(&[
        "recovery",
        account.as_str(),
        &recovery.channel.to_string(),
        &recovery.number.to_string(),
        &recovery.frozen.map_or(0, |frozen| frozen.at.as_millisecond()).to_string(),
    ]);
    let Part { delivery, from, to } = part;
    format!("{:016x}-{delivery}.{from}-{to}", of.0)
}

/// The body of a part of a delivery, in the name of a channel as it is declared at this time.
pub fn body(
    (spec, base): (&Spec, &str),
    recovery: &Recovery,
    (delivery, part): (&Delivery, Part),
    (name, params): (&str, Map<String, Value>),
) -> Vec<u8> {
    let ids = delivery.ids.get(part.from..part.to).unwrap_or_default();
    let mut params = params;
    params.insert(MARK.to_owned(), json!(name));
    let body: BTreeMap<&str, Value> = [
        ("module", json!(recovery.module)),
        ("operation", json!(delivery.operation.delivered_as())),
        ("channel_id", json!(spec.id.to_string())),
        ("token", json!(spec.token.as_ref().map(Secret::expose))),
        ("ids", json!(ids)),
        ("server_time", json!(recovery.frozen.map(|frozen| frozen.at.as_millisecond()))),
        ("affected_fields", json!([])),
        ("query_params", Value::Object(params)),
        ("resource_uri", json!(format!("{base}/{}", recovery.module))),
    ]
    .into();
    serde_json::to_vec(&body).unwrap_or_default()
}

/// The header that marks a recovered delivery, with its name.
pub const HEADER: &str = "x-channelkeeper-recovered";
/// The entry of `query_params` that marks one.
pub const MARK: &str = "channelkeeper_recovered";
/// Records in one delivery.
pub const IDS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::recovery::{Lost, State};
    use crate::model::records::{List, RecordRow};
    use crate::testing;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn missed(count: u32) -> MissedChanges {
        let gaps = Operation::ALL.map(|operation| Lost {
            operation,
            from: at(0),
            to: at(1_000_000),
            kind: None,
            cause: None,
        });
        let mut missed = MissedChanges::default();
        for id in 0..count {
            // The newest first: the order of reading is not that of handing over.
            let created = i64::from(count - id);
            let row =
                RecordRow { id: id.to_string(), at: at(created + 5), created: Some(at(created)) };
            missed.take(&gaps, List::Changed, &row);
        }
        missed
    }

    fn recovery() -> Recovery {
        let (frozen, _) = freeze(missed(3), at(1000));
        Recovery {
            number: 7,
            channel: testing::id(1),
            name: testing::name(1),
            module: "Deals".to_owned(),
            notify_url: Fingerprint(1),
            gaps: Vec::new(),
            asked: None,
            planned: false,
            state: State::Handing,
            frozen: Some(frozen),
            progress: Default::default(),
            credits: 0,
            doubts: Default::default(),
        }
    }

    #[test]
    fn creations_come_first_and_the_oldest_of_each_operation_before_the_others() {
        let (frozen, deliveries) = freeze(missed(120), at(1000));
        assert_eq!((frozen.deliveries, frozen.inserts, frozen.updates), (6, 120, 120));
        let shape: Vec<_> = deliveries.iter().map(|one| (one.operation, one.ids.len())).collect();
        let of = |operation| [(operation, 50), (operation, 50), (operation, 20)];
        assert_eq!(shape, [of(Operation::Create), of(Operation::Edit)].concat());
        assert_eq!(deliveries[0].ids[..2], ["119", "118"]);
    }

    #[test]
    fn a_body_is_zohos_shape_and_the_same_on_each_try() {
        let (recovery, delivery) = (
            recovery(),
            Delivery { operation: Operation::Edit, ids: vec!["4".into(), "5".into()] },
        );
        let whole = Part { delivery: 0, from: 0, to: 2 };
        let name = name(&testing::acme(), &recovery, whole);
        let params = || [("a".to_owned(), json!("b"))].into_iter().collect();
        let spec = testing::spec(1);
        let base = "https://www.zohoapis.eu/crm/v8";
        let said = || body((&spec, base), &recovery, (&delivery, whole), (&name, params()));
        assert_eq!(said(), said());
        let read: Value = serde_json::from_slice(&said()).unwrap();
        let expected = json!({
            "module": "Deals", "operation": "update", "channel_id": "1", "token": "s3cret",
            "ids": ["4", "5"], "server_time": 1_000_000, "affected_fields": [],
            "query_params": {"a": "b", "channelkeeper_recovered": name},
            "resource_uri": "https://www.zohoapis.eu/crm/v8/Deals",
        });
        assert_eq!(read, expected);
    }

    /// Zoho's own keys and no other, as a typed receiver may insist on.
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is the reading that counts")]
    struct StrictBody {
        server_time: i64,
        query_params: BTreeMap<String, String>,
        module: String,
        resource_uri: String,
        ids: Vec<String>,
        affected_fields: Vec<Value>,
        operation: String,
        channel_id: String,
        token: Option<String>,
    }

    #[test]
    fn a_parser_that_takes_no_key_beside_zohos_takes_the_mark() {
        let recovery = recovery();
        let delivery = Delivery { operation: Operation::Delete, ids: vec!["4".into()] };
        let part = Part { delivery: 0, from: 0, to: 1 };
        let name = name(&testing::acme(), &recovery, part);
        let spec = testing::spec(1);
        let base = "https://www.zohoapis.eu/crm/v8";
        let bytes = body((&spec, base), &recovery, (&delivery, part), (&name, Map::new()));
        let read: StrictBody = serde_json::from_slice(&bytes).expect("it has Zoho's keys alone");
        assert_eq!(read.query_params[MARK], name);
    }

    #[test]
    fn each_part_and_each_recovery_has_a_name_of_its_own() {
        let (one, mut other) = (recovery(), recovery());
        other.number = 8;
        let acme = testing::acme();
        let part = |delivery, from, to| Part { delivery, from, to };
        let names = [
            name(&acme, &one, part(0, 0, 50)),
            name(&acme, &one, part(0, 0, 25)),
            name(&acme, &one, part(1, 0, 50)),
            name(&acme, &other, part(0, 0, 50)),
            name(&testing::account("globex"), &one, part(0, 0, 50)),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }
}
