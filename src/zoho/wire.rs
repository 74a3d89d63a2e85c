//! The bodies of the watch resource, in both directions.
//!
//! Out: the whole channel with every write, because a PATCH without `token` wipes it and one without `events` fails
//! (seen in production on v2, see the API notes); the expiry in whole seconds with a numeric offset; ids as strings.
//!
//! In: rows and items are read leniently (unknown keys are passed over, an id may be a string or a number) and judged
//! strictly: an item counts by its own status and never by the HTTP status of the reply.

use std::collections::BTreeMap;

use jiff::tz::Offset;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::model::channel::{Ask, ChannelId, NotifyUrl};
use crate::model::condition::{Condition, Match, Seen};
use crate::model::events::{Events, Operations};
use crate::model::observed::{Row, TokenSeen};
use crate::model::secret::Secret;
use crate::model::time::Timestamp;
use crate::model::version::Limits;

/// `{"watch": [..]}` for POST, PUT and PATCH.
pub fn write_body(asks: &[&Ask], limits: Limits) -> Vec<u8> {
    let channels: Vec<Value> = asks.iter().map(|ask| channel(ask, limits)).collect();
    bytes(&json!({ "watch": channels }))
}

/// `{"watch": [..]}` for PATCH with `_delete_events`.
pub fn remove_events_body(removals: &[(ChannelId, &Events)]) -> Vec<u8> {
    let channels: Vec<Value> = removals
        .iter()
        .map(|(id, events)| json!({ "channel_id": id.to_string(), "events": events.to_wire(), "_delete_events": true }))
        .collect();
    bytes(&json!({ "watch": channels }))
}

fn channel(ask: &Ask, limits: Limits) -> Value {
    let spec = &ask.spec;
    let mut body = Map::new();
    body.insert("channel_id".to_owned(), json!(spec.id.to_string()));
    body.insert("events".to_owned(), json!(spec.events.to_wire()));
    body.insert("notify_url".to_owned(), json!(spec.notify_url.full()));
    body.insert("channel_expiry".to_owned(), json!(ask.expiry.display_with_offset(Offset::UTC).to_string()));
    body.insert("notify_on_related_action".to_owned(), json!(spec.notify_on_related_action));
    if let Some(token) = &spec.token {
        body.insert("token".to_owned(), json!(token.expose()));
    }
    if limits.affected_values {
        body.insert("return_affected_field_values".to_owned(), json!(spec.return_affected_field_values));
    }
    if limits.conditions && !spec.conditions.is_empty() {
        let conditions: Vec<Value> = spec.conditions.iter().map(condition).collect();
        body.insert("notification_condition".to_owned(), json!(conditions));
    }
    Value::Object(body)
}

/// A condition as a tree whose groups hold at most two entries (v7 *Enable Notifications*).
fn condition(condition: &Condition) -> Value {
    let fields: Vec<Value> = condition.fields.iter().map(|field| json!({ "field": { "api_name": field } })).collect();
    json!({
        "type": "field_selection",
        "module": { "api_name": condition.module },
        "field_selection": tree(&fields, condition.matching.as_wire()),
    })
}

fn tree(fields: &[Value], operator: &str) -> Value {
    match fields {
        [] => Value::Null,
        [one] => one.clone(),
        [first, rest @ ..] => json!({ "group_operator": operator, "group": [first, tree(rest, operator)] }),
    }
}

/// One page of Zoho's list.
#[derive(Debug, Default)]
pub struct Page {
    /// Its rows, less those that have no readable channel id: they cannot be ours.
    pub rows: Vec<Row>,
    /// How many rows there were.
    pub count: usize,
    /// Whether another page follows.
    pub more: bool,
}

/// Reads one page.
pub fn read_page(body: &[u8]) -> Result<Page, serde_json::Error> {
    let reply: ListReply = serde_json::from_slice(body)?;
    let count = reply.watch.len();
    let rows = reply.watch.into_iter().filter_map(WireRow::into_row).flatten().collect();
    Ok(Page { rows, count, more: reply.info.is_some_and(|info| info.more_records) })
}

#[derive(Deserialize)]
struct ListReply {
    watch: Vec<WireRow>,
    info: Option<Info>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    more_records: bool,
}

#[derive(Deserialize)]
struct WireRow {
    #[serde(default, deserialize_with = "lenient_id")]
    channel_id: Option<ChannelId>,
    #[serde(default)]
    events: Option<Vec<String>>,
    notify_url: Option<String>,
    #[serde(default, deserialize_with = "present")]
    token: Option<Option<String>>,
    channel_expiry: Option<String>,
    notify_on_related_action: Option<bool>,
    return_affected_field_values: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    notification_condition: Option<Option<Value>>,
}

impl WireRow {
    /// One row a module: a row names its events with their modules, and is normally about one.
    fn into_row(self) -> Option<Vec<Row>> {
        let id = self.channel_id?;
        let notify_url = self.notify_url.as_deref().map(NotifyUrl::new);
        let token = match self.token {
            None => TokenSeen::Unsaid,
            Some(None) => TokenSeen::Null,
            Some(Some(token)) if token.is_empty() => TokenSeen::Null,
            Some(Some(token)) => TokenSeen::Set(Secret::new(token).fingerprint()),
        };
        let conditions = match self.notification_condition {
            None => Seen::Unsaid,
            Some(None) => Seen::Known(Vec::new()),
            Some(Some(value)) => read_conditions(&value),
        };
        let expiry = self.channel_expiry.and_then(|text| text.parse().ok());
        let mut modules: BTreeMap<String, Operations> = BTreeMap::new();
        for (module, operations) in self.events.iter().flatten().filter_map(|event| Events::parse(event).ok()) {
            let held = modules.entry(module).or_default();
            *held = held.union(operations);
        }
        if modules.is_empty() {
            modules.insert(String::new(), Operations::default());
        }
        let rows = modules.into_iter().map(|(module, operations)| Row {
            id,
            module,
            operations,
            notify_url: notify_url.clone(),
            token,
            expiry,
            notify_on_related_action: self.notify_on_related_action,
            return_affected_field_values: self.return_affected_field_values,
            conditions: conditions.clone(),
        });
        Some(rows.collect())
    }
}

fn read_conditions(value: &Value) -> Seen {
    let Some(items) = value.as_array() else { return Seen::Opaque };
    match items.iter().map(read_condition).collect::<Option<Vec<Condition>>>() {
        Some(mut conditions) => {
            conditions.sort();
            Seen::Known(conditions)
        }
        None => Seen::Opaque,
    }
}

fn read_condition(value: &Value) -> Option<Condition> {
    let module = value.pointer("/module/api_name")?.as_str()?.to_owned();
    let mut fields = std::collections::BTreeSet::new();
    let mut operators = std::collections::BTreeSet::new();
    flatten(value.get("field_selection")?, &mut fields, &mut operators, 0)?;
    let matching = match operators.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["or"] => Match::Any,
        ["and"] => Match::All,
        _ => return None,
    };
    Some(Condition { module, matching, fields }.normal())
}

/// Leaves and operators of a condition's tree. In replies a leaf also carries `group_operator: null, group: null`.
fn flatten(
    node: &Value,
    fields: &mut std::collections::BTreeSet<String>,
    operators: &mut std::collections::BTreeSet<String>,
    depth: usize,
) -> Option<()> {
    const DEPTH_MAX: usize = 32;
    if depth > DEPTH_MAX {
        return None;
    }
    if let Some(group) = node.get("group").and_then(Value::as_array) {
        operators.insert(node.get("group_operator")?.as_str()?.to_ascii_lowercase());
        return group.iter().try_for_each(|child| flatten(child, fields, operators, depth + 1));
    }
    let field = node.get("field").unwrap_or(node);
    fields.insert(field.get("api_name")?.as_str()?.to_owned());
    Some(())
}

/// One item of the answer to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The channel, where the item names it.
    pub id: Option<ChannelId>,
    /// What became of it.
    pub result: Result<Accepted, Refused>,
}

/// An item that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// The earliest expiry that its modules were given, where the item says one.
    pub expiry: Option<Timestamp>,
}

/// An item, or a whole reply, that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Zoho's code.
    pub code: String,
    /// Zoho's message, with its details where there are any, bounded.
    pub message: String,
    /// Where in the request, as `$.watch[1].events[0]`.
    pub json_path: Option<String>,
}

/// What the body of an answer to a write is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has `watch`: one item a channel, in request order; on DELETE one a (channel, module).
    Items(Vec<Item>),
    /// It is a bare error.
    Bare(Refused),
}

/// Reads the answer to a write, whatever its HTTP status.
pub fn read_answer(body: &[u8]) -> Result<Answer, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if let Some(items) = value.get("watch").and_then(Value::as_array) {
        return Ok(Answer::Items(items.iter().map(read_item).collect()));
    }
    if value.get("code").is_some() || value.get("error").is_some() {
        return Ok(Answer::Bare(read_refused(&value)));
    }
    Err("it has neither `watch` nor `code`".to_owned())
}

fn read_item(item: &Value) -> Item {
    let events: &[Value] = item.pointer("/details/events").and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let named = item.pointer("/details/channel_id").or_else(|| events.first()?.get("channel_id"));
    let id = named.and_then(read_id);
    let accepted = item.get("status").and_then(Value::as_str) == Some("success")
        || item.get("code").and_then(Value::as_str) == Some("SUCCESS");
    if !accepted {
        return Item { id, result: Err(read_refused(item)) };
    }
    let expiries = events.iter().filter_map(|event| event.get("channel_expiry")?.as_str()?.parse().ok());
    Item { id, result: Ok(Accepted { expiry: expiries.min() }) }
}

fn read_refused(value: &Value) -> Refused {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let code = text("code").or_else(|| text("error")).unwrap_or("UNKNOWN").to_owned();
    let message = text("message").or_else(|| text("error_description")).unwrap_or("no message");
    let details = value.get("details").and_then(Value::as_object).filter(|details| !details.is_empty());
    let json_path = details.and_then(|details| details.get("json_path")?.as_str()).map(str::to_owned);
    let message = match details {
        Some(details) => format!("{message} {}", Value::Object(details.clone())),
        None => message.to_owned(),
    };
    Refused { code: bounded(&code), message: bounded(&message), json_path: json_path.map(|path| bounded(&path)) }
}

/// What Zoho said, cut to a length that fits a log line, and without control characters.
pub fn bounded(text: &str) -> String {
    const MAX: usize = 300;
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut cut: String = clean.clone().take(MAX).collect();
    if clean.count() > MAX {
        cut.push_str("...");
    }
    cut
}

fn read_id(value: &Value) -> Option<ChannelId> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => ChannelId::new(number.as_i64()?).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn lenient_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ChannelId>, D::Error> {
    Ok(read_id(&Value::deserialize(deserializer)?))
}

/// Tells a key that is null from one that is not there.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}
