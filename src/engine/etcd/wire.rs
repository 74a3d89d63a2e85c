//! etcd's JSON, as its gateway reads and writes it
//! (<https://etcd.io/docs/v3.4/dev-guide/apispec/swagger/rpc.swagger.json>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::super::{Change, Entry, Guard, Revision, Selection};
use crate::model::secret::Secret;

/// A transaction, to be sent.
#[derive(Default)]
pub(super) struct Txn {
    compare: Vec<Value>,
    success: Vec<Value>,
    failure: Vec<Value>,
}

impl Txn {
    /// One that reads the first keys of each range, at a revision or at the latest.
    pub(super) fn reads(ranges: &[Range], limit: usize, at: Option<Revision>) -> Txn {
        let success = ranges.iter().map(|range| range.asked(limit, at)).collect();
        Txn { success, ..Txn::default() }
    }

    /// One that changes something if every guard holds.
    pub(super) fn writes(guards: &[Guard], changes: &[Change]) -> Txn {
        let compare = guards.iter().map(compared).collect();
        // A transaction without operations would be answered from what one machine happens to know.
        let read = || guards.first().map(|guard| Range::key(guard.key()).asked(1, None));
        if changes.is_empty() {
            let (success, failure) = (read().into_iter().collect(), read().into_iter().collect());
            return Txn { compare, success, failure };
        }
        Txn { compare, success: changes.iter().map(changed).collect(), failure: Vec::new() }
    }

    /// As it is sent.
    pub(super) fn into_body(self) -> Vec<u8> {
        let Txn { compare, success, failure } = self;
        let body = json!({ "compare": compare, "success": success, "failure": failure });
        body.to_string().into_bytes()
    }
}

/// Keys to be read: from one on, to before another.
#[derive(Clone)]
pub(super) struct Range {
    from: Vec<u8>,
    /// Empty: the one key.
    to: Vec<u8>,
    is_without_values: bool,
}

impl Range {
    /// The keys that a selection is about.
    pub(super) fn of(selection: &Selection) -> Range {
        match selection {
            Selection::Key(key) => Range { is_without_values: false, ..Range::key(key) },
            Selection::Prefix(prefix) => {
                Range { is_without_values: false, ..Range::prefix(prefix) }
            }
            Selection::KeysOf(prefix) => Range::prefix(prefix),
        }
    }

    fn key(key: &str) -> Range {
        Range { from: key.as_bytes().to_vec(), to: Vec::new(), is_without_values: true }
    }

    /// All that begins with this, without values. A prefix ends before the same one with its last
    /// byte higher by one; no byte of UTF-8 is the highest.
    pub(super) fn prefix(prefix: &str) -> Range {
        let mut to = prefix.as_bytes().to_vec();
        match to.last_mut() {
            Some(last) => *last += 1,
            // From the lowest key on, and no end.
            None => return Range { from: vec![0], to: vec![0], is_without_values: true },
        }
        Range { from: prefix.as_bytes().to_vec(), to, is_without_values: true }
    }

    /// The rest behind a page of it.
    pub(super) fn behind(self, page: &Found) -> Option<Range> {
        let last = page.kvs.last().filter(|_| page.more)?;
        let from = [last.key.as_slice(), &[0]].concat();
        Some(Range { from, ..self })
    }

    /// As a watch asks for it.
    pub(super) fn watched(&self, from: Option<Revision>) -> Vec<u8> {
        let mut create = json!({
            "key": STANDARD.encode(&self.from),
            "range_end": STANDARD.encode(&self.to),
            "fragment": true,
        });
        if let Some(Revision(from)) = from {
            create["start_revision"] = from.to_string().into();
        }
        json!({ "create_request": create }).to_string().into_bytes()
    }

    fn asked(&self, limit: usize, at: Option<Revision>) -> Value {
        let mut range = json!({ "key": STANDARD.encode(&self.from) });
        if !self.to.is_empty() {
            range["range_end"] = STANDARD.encode(&self.to).into();
            range["limit"] = limit.to_string().into();
        }
        if self.is_without_values {
            range["keys_only"] = true.into();
        }
        if let Some(Revision(at)) = at {
            range["revision"] = at.to_string().into();
        }
        json!({ "request_range": range })
    }
}

fn compared(guard: &Guard) -> Value {
    let (target, field, result, revision) = match guard {
        Guard::ModifiedAt(_, revision) => ("MOD", "mod_revision", "EQUAL", revision),
        Guard::CreatedAt(_, revision) => ("CREATE", "create_revision", "EQUAL", revision),
        Guard::NotCreatedAt(_, revision) => ("CREATE", "create_revision", "NOT_EQUAL", revision),
    };
    let key = STANDARD.encode(guard.key());
    json!({ "key": key, "target": target, "result": result, field: revision.0.to_string() })
}

fn changed(change: &Change) -> Value {
    match change {
        Change::Put(key, value) => {
            json!({ "request_put": { "key": STANDARD.encode(key), "value": STANDARD.encode(value) } })
        }
        Change::Delete(key) => json!({ "request_delete_range": { "key": STANDARD.encode(key) } }),
    }
}

/// The body of a login.
pub(super) fn login(user: &str, password: &Secret) -> Vec<u8> {
    json!({ "name": user, "password": password.expose() }).to_string().into_bytes()
}

/// etcd's words in an error: `error` before 3.5, `message` since.
pub(super) fn said(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: Option<String>,
        message: Option<String>,
    }
    let Refusal { error, message } = serde_json::from_slice(body).ok()?;
    error.or(message)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) revision: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct TxnReply {
    pub(super) header: Header,
    /// Left out when it is false.
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    pub(super) responses: Vec<Answered>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Answered {
    pub(super) response_range: Option<Found>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Found {
    pub(super) kvs: Vec<KeyValue>,
    pub(super) more: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    #[serde(deserialize_with = "bytes")]
    pub(super) key: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    pub(super) value: Vec<u8>,
    #[serde(deserialize_with = "number")]
    pub(super) create_revision: i64,
    #[serde(deserialize_with = "number")]
    pub(super) mod_revision: i64,
}

impl KeyValue {
    /// Nothing for a key that is no text: it is none of ours.
    pub(super) fn into_entry(self) -> Option<Entry> {
        let KeyValue { key, value, create_revision, mod_revision } = self;
        let (created, modified) = (Revision(create_revision), Revision(mod_revision));
        Some(Entry { key: String::from_utf8(key).ok()?, value, created, modified })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Authenticated {
    pub(super) token: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default, rename = "dbSize", deserialize_with = "number")]
    pub(super) db_size: u64,
    /// From 3.6 on.
    #[serde(default, rename = "dbSizeQuota", deserialize_with = "number")]
    pub(super) db_size_quota: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Alarms {
    #[serde(default)]
    pub(super) alarms: Vec<Alarm>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Alarm {
    pub(super) alarm: String,
}

/// One line of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) result: Option<Watched>,
    pub(super) error: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Watched {
    pub(super) header: Header,
    pub(super) created: bool,
    pub(super) canceled: bool,
    #[serde(deserialize_with = "number")]
    pub(super) compact_revision: i64,
    /// More of the same revision follows.
    pub(super) fragment: bool,
    pub(super) events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub(super) kv: KeyValue,
}

/// The text of an error in a watch.
pub(super) fn said_in_watch(error: &Value) -> String {
    let text = error.get("message").or(error.get("error")).and_then(Value::as_str);
    text.unwrap_or("an error without words").to_owned()
}

/// A 64-bit number, which JSON has as a string.
fn number<'de, D: Deserializer<'de>, T>(from: D) -> Result<T, D::Error>
where
    T: std::str::FromStr + TryFrom<i64>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Text(String),
        Number(i64),
    }
    let bad = || serde::de::Error::custom("no number");
    match Given::deserialize(from)? {
        Given::Text(text) => text.parse().map_err(|_| bad()),
        Given::Number(number) => T::try_from(number).map_err(|_| bad()),
    }
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
}
