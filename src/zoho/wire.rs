//! The bodies of the watch resource, in both directions.
//!
//! Out: the whole channel with every write, because a PATCH without `token` wipes it and one
//! without `events` fails (seen in production on v2, see the API notes); the expiry in whole
//! seconds with a numeric offset; ids as strings.
//!
//! In: rows and items are read leniently: unknown keys are passed over, and an id may be a string
//! or a number. They are judged strictly: an item counts by its own status and never by the HTTP
//! status of the reply.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::Offset;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::model::channel::{Ask, ChannelId, NotifyUrl};
use crate::model::condition::{Condition, Group, Match, Seen, Selection};
use crate::model::events::{Events, Operations};
use crate::model::observed::{Row, Stranger, TokenSeen};
use crate::model::oddity::Oddity;
use crate::model::secret::Secret;
use crate::model::time::Timestamp;
use crate::model::version::{Limits, PAGE_ROWS};

use super::veil::Veil;

/// `{"watch": [..]}` for POST, PUT and PATCH.
pub fn write_body(asks: &[&Ask], limits: Limits) -> Vec<u8> {
    bytes(&WriteBody { watch: asks.iter().map(|ask| ChannelBody::of(ask, limits)).collect() })
}

/// `{"watch": [..]}` for PATCH with `_delete_events`.
pub fn remove_events_body(removals: &[(ChannelId, &Events)]) -> Vec<u8> {
    let channels: Vec<Value> = removals
        .iter()
        .map(|(id, events)| json!({ "channel_id": id.to_string(), "events": events.to_wire(), "_delete_events": true }))
        .collect();
    bytes(&json!({ "watch": channels }))
}

#[derive(Serialize)]
struct WriteBody<'a> {
    watch: Vec<ChannelBody<'a>>,
}

#[derive(Serialize)]
struct ChannelBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_expiry: Option<String>,
    channel_id: String,
    events: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notification_condition: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify_on_related_action: Option<bool>,
    notify_url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_affected_field_values: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl ChannelBody<'_> {
    fn of(ask: &Ask, limits: Limits) -> ChannelBody<'_> {
        let spec = &ask.spec;
        let conditions = if limits.conditions { spec.conditions.as_slice() } else { &[] };
        ChannelBody {
            channel_expiry: (!ask.is_unsaid)
                .then(|| ask.expiry.display_with_offset(Offset::UTC).to_string()),
            channel_id: spec.id.to_string(),
            events: ask.events().to_wire(),
            notification_condition: conditions.iter().map(condition).collect(),
            notify_on_related_action: limits
                .related_actions
                .then_some(spec.notify_on_related_action),
            notify_url: spec.notify_url.full(),
            return_affected_field_values: limits
                .affected_values
                .then_some(spec.return_affected_field_values),
            token: spec.token.as_ref().map(Secret::expose),
        }
    }
}

/// A condition as a tree whose groups hold at most two entries (v7 *Enable Notifications*).
fn condition(condition: &Condition) -> Value {
    let Condition { module, selection } = condition;
    json!({
        "type": "field_selection",
        "module": { "api_name": module },
        "field_selection": tree(selection),
    })
}

fn tree(selection: &Selection) -> Value {
    match selection {
        Selection::Field(field) => json!({ "field": { "api_name": field } }),
        Selection::Group(group) => pairs(group),
    }
}

fn pairs(group: &Group) -> Value {
    let operator = group.matching().as_wire();
    let pair = |rest, first| json!({ "group_operator": operator, "group": [first, rest] });
    group.entries().iter().map(tree).rev().reduce(pair).unwrap_or_default()
}

/// One page of Zoho's list.
#[derive(Debug, Default)]
pub struct Page {
    /// Its rows, less those that have no readable channel id.
    pub rows: Vec<Row>,
    /// The rows without a readable channel id: they cannot be ours.
    pub strangers: Vec<Stranger>,
    /// The ids of the modules that its rows are about, by API name.
    pub modules: BTreeMap<String, String>,
    /// How many rows there were.
    pub count: usize,
    /// True when another page follows. A full page that does not say is taken to be followed by
    /// one.
    pub more: bool,
}

/// Reads one page. A row in which something is odd is read for the rest: one foreign row must not
/// hide all others.
pub fn read_page(body: &[u8]) -> Result<Page, serde_json::Error> {
    let reply: ListReply = serde_json::from_slice(body)?;
    let count = reply.watch.len();
    let rows = reply.watch.iter().filter_map(read_row).flatten().collect();
    let strangers = reply.watch.iter().filter_map(read_stranger).collect();
    let said = reply.info.as_ref().and_then(|info| info.get("more_records")?.as_bool());
    let modules = reply.watch.iter().filter_map(read_module).collect();
    Ok(Page { rows, strangers, modules, count, more: said.unwrap_or(count >= PAGE_ROWS) })
}

/// The API names in a list of modules (v8 *Modules API*).
pub fn read_modules_list(body: &[u8]) -> Result<BTreeSet<String>, serde_json::Error> {
    let reply: ModulesReply = serde_json::from_slice(body)?;
    let name = |module: &Value| module.get("api_name")?.as_str().map(str::to_owned);
    Ok(reply.modules.iter().filter_map(name).collect())
}

#[derive(Deserialize)]
struct ModulesReply {
    modules: Vec<Value>,
}

/// The module of a row, with its id in this org.
fn read_module(row: &Value) -> Option<(String, String)> {
    let text = |key: &str| row.get(key).and_then(Value::as_str);
    let (name, id) = (text("resource_name")?, text("resource_id")?);
    let fits = !id.is_empty() && id.len() <= ID_MAX && name.len() <= ID_MAX;
    fits.then(|| (name.to_owned(), id.to_owned()))
}

fn read_stranger(row: &Value) -> Option<Stranger> {
    let id = row.get("channel_id").unwrap_or(&Value::Null);
    if read_id(id).is_some() {
        return None;
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let events = row.get("events").and_then(Value::as_array).into_iter().flatten();
    Some(Stranger { id: text(id), events: events.take(EVENTS_MAX).map(text).collect() })
}

/// The tokens of one page, one for each row that has one. [`read_page`] keeps only their
/// fingerprints.
///
/// # Errors
/// When the body is no page.
pub fn read_tokens(body: &[u8]) -> Result<Vec<(ChannelId, Secret)>, serde_json::Error> {
    let reply: ListReply = serde_json::from_slice(body)?;
    let token = |row: &Value| {
        let text = row.get("token")?.as_str().filter(|text| !text.is_empty())?;
        Some((read_id(row.get("channel_id")?)?, Secret::new(text)))
    };
    Ok(reply.watch.iter().filter_map(token).collect())
}

#[derive(Deserialize)]
struct ListReply {
    watch: Vec<Value>,
    info: Option<Value>,
}

/// One row a module: a row names its events with their modules, and is normally about one.
fn read_row(row: &Value) -> Option<Vec<Row>> {
    let id = row.get("channel_id").and_then(read_id)?;
    let text = |key: &str| row.get(key).and_then(Value::as_str);
    let flag = |key: &str| row.get(key).and_then(Value::as_bool);
    let notify_url = text("notify_url").map(NotifyUrl::new);
    let expiry = text("channel_expiry").and_then(|text| text.parse().ok());
    let token = read_token(row.get("token"));
    let mut odd = Vec::new();
    let conditions = match row.get("notification_condition") {
        None => Seen::Unsaid,
        Some(Value::Null) => Seen::Known(Vec::new()),
        Some(value) => read_conditions(value).map_or_else(
            |why| {
                odd.push(why);
                Seen::Opaque
            },
            Seen::Known,
        ),
    };
    if row.get("fields").is_some_and(is_said) {
        odd.push(Oddity::Fields);
    }
    if has_unknown_event(row.get("events")) {
        odd.push(Oddity::Event);
    }
    let (related, values) =
        (flag("notify_on_related_action"), flag("return_affected_field_values"));
    let rows = read_modules(row.get("events")).into_iter().map(|(module, operations)| Row {
        id,
        module,
        operations,
        notify_url: notify_url.clone(),
        token,
        expiry,
        notify_on_related_action: related,
        return_affected_field_values: values,
        conditions: conditions.clone(),
        odd: odd.clone(),
    });
    Some(rows.collect())
}

/// True when a key holds anything.
fn is_said(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn has_unknown_event(events: Option<&Value>) -> bool {
    let mut events = events.and_then(Value::as_array).into_iter().flatten();
    events.any(|event| event.as_str().is_none_or(|text| Events::parse(text).is_err()))
}

fn read_token(token: Option<&Value>) -> TokenSeen {
    match token {
        None => TokenSeen::Unsaid,
        Some(Value::Null) => TokenSeen::Null,
        Some(Value::String(text)) if text.is_empty() => TokenSeen::Null,
        Some(Value::String(text)) => TokenSeen::Set(Secret::new(text.as_str()).fingerprint()),
        Some(other) => TokenSeen::Set(Secret::new(other.to_string()).fingerprint()),
    }
}

/// The operations of each module; a row that names none is a row all the same.
fn read_modules(events: Option<&Value>) -> BTreeMap<String, Operations> {
    let mut modules: BTreeMap<String, Operations> = BTreeMap::new();
    let events = events.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for (module, operations) in events.filter_map(|event| Events::parse(event).ok()) {
        let held = modules.entry(module).or_default();
        *held = held.union(operations);
    }
    if modules.is_empty() {
        modules.insert(String::new(), Operations::default());
    }
    modules
}

fn read_conditions(value: &Value) -> Result<Vec<Condition>, Oddity> {
    let items = value.as_array().ok_or(Oddity::Condition)?;
    let conditions: BTreeSet<Condition> =
        items.iter().map(read_condition).collect::<Result<_, _>>()?;
    Ok(conditions.into_iter().collect())
}

fn read_condition(value: &Value) -> Result<Condition, Oddity> {
    let module = value.get("module").ok_or(Oddity::Condition)?;
    let module = read_api_name(module, Oddity::ModuleById)?;
    let selection = value.get("field_selection").ok_or(Oddity::Condition)?;
    Ok(Condition { module, selection: read_selection(selection, 0)? })
}

/// A leaf or a branch of a condition's tree. In replies a leaf also carries `group_operator: null,
/// group: null`.
fn read_selection(node: &Value, depth: usize) -> Result<Selection, Oddity> {
    const DEPTH_MAX: usize = 32;
    if depth > DEPTH_MAX {
        return Err(Oddity::Condition);
    }
    let Some(group) = node.get("group").and_then(Value::as_array) else {
        let field = node.get("field").unwrap_or(node);
        return read_api_name(field, Oddity::FieldById).map(Selection::Field);
    };
    let operator = node.get("group_operator").and_then(Value::as_str).and_then(Match::of_wire);
    let matching = match operator {
        Some(matching) => matching,
        None if group.len() == 1 => Match::Any,
        None => return Err(Oddity::Condition),
    };
    let entries: Vec<Selection> =
        group.iter().map(|entry| read_selection(entry, depth + 1)).collect::<Result<_, _>>()?;
    Selection::group(matching, entries).ok_or(Oddity::Condition)
}

fn read_api_name(value: &Value, by_id: Oddity) -> Result<String, Oddity> {
    match value.get("api_name").and_then(Value::as_str) {
        Some(name) => Ok(name.to_owned()),
        None if value.get("id").is_some_and(is_said) => Err(by_id),
        None => Err(Oddity::Condition),
    }
}

/// One item of the answer to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The channel, where the item names it.
    pub id: Option<ChannelId>,
    /// The verdict on it.
    pub verdict: ItemVerdict,
}

/// Zoho's verdict on one channel of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemVerdict {
    /// Accepted, with the earliest expiry that its modules were given, where the reply says one.
    Accepted(Option<Timestamp>),
    /// Refused.
    Refused(Refused),
    /// The reply does not say, or says both.
    Unsure(String),
}

/// An item, or a whole reply, that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Zoho's code.
    pub code: String,
    /// Zoho's message, with its details where there are any, bounded.
    pub message: String,
    /// The place in the request, as `$.watch[1].events[0]`.
    pub json_path: Option<String>,
}

/// The body of an answer to a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteAnswer {
    /// It has `watch`: one item a channel, in request order; on DELETE one a (channel, module).
    Items(Vec<Item>),
    /// It is a bare error.
    Bare(Refused),
    /// It is a bare success, which names no channel: nobody can say what became of any.
    BareSuccess,
}

/// Reads the answer to a write, whatever its HTTP status.
///
/// # Errors
/// The reason why it is no answer, in words that the veil has seen.
pub fn read_answer(body: &[u8], veil: &Veil) -> Result<WriteAnswer, String> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| veil.words(&error.to_string()))?;
    if let Some(items) = value.get("watch").and_then(Value::as_array) {
        return Ok(WriteAnswer::Items(items.iter().map(|item| read_item(item, veil)).collect()));
    }
    if value.get("code").and_then(Value::as_str) == Some("SUCCESS") {
        return Ok(WriteAnswer::BareSuccess);
    }
    if value.get("code").is_some() || value.get("error").is_some() {
        return Ok(WriteAnswer::Bare(read_refused(&value, veil)));
    }
    Err("it has neither `watch` nor `code`".to_owned())
}

fn read_item(item: &Value, veil: &Veil) -> Item {
    let events: &[Value] =
        item.pointer("/details/events").and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let named = item.pointer("/details/channel_id").or_else(|| events.first()?.get("channel_id"));
    let id = named.and_then(read_id);
    let expiries =
        events.iter().filter_map(|event| event.get("channel_expiry")?.as_str()?.parse().ok());
    let text = |key: &str| item.get(key).and_then(Value::as_str);
    let verdict = match (text("code"), text("status")) {
        (Some("SUCCESS"), Some("success") | None) | (None, Some("success")) => {
            ItemVerdict::Accepted(expiries.min())
        }
        (Some("SUCCESS"), Some(_)) | (Some(_), Some("success")) => {
            ItemVerdict::Unsure("its item in the reply contradicts itself".to_owned())
        }
        (None, None) => {
            ItemVerdict::Unsure("its item in the reply has neither code nor status".to_owned())
        }
        (Some(_), _) | (None, Some(_)) => ItemVerdict::Refused(read_refused(item, veil)),
    };
    Item { id, verdict }
}

fn read_refused(value: &Value, veil: &Veil) -> Refused {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let code = text("code").or_else(|| text("error")).unwrap_or("UNKNOWN").to_owned();
    let message = text("message").or_else(|| text("error_description")).unwrap_or("no message");
    let mut details = value.get("details").and_then(Value::as_object).cloned().unwrap_or_default();
    // A channel that is quoted whole brings its token, which this process may never have sent.
    details.remove("token");
    // The path is told beside the message, by what stands there.
    let json_path = details.remove("json_path");
    let json_path = json_path.as_ref().and_then(Value::as_str).map(|path| veil.words(path));
    let message = if details.is_empty() {
        message.to_owned()
    } else {
        format!("{message} {}", Value::Object(details))
    };
    Refused { code: veil.words(&code), message: veil.words(&message), json_path }
}

fn read_id(value: &Value) -> Option<ChannelId> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => ChannelId::new(number.as_i64()?).ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The longest name or id of a module that is remembered.
const ID_MAX: usize = 64;
/// Events of a stranger that are told.
const EVENTS_MAX: usize = 50;

/// Texts, numbers, flags and lists under keys that are text: that always serialises.
fn bytes(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).unwrap_or_default()
}

#[cfg(test)]
mod tests;
