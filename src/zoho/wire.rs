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
use std::sync::Arc;

use jiff::tz::Offset;
use serde::de::Error;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json_borrow::{ObjectAsVec, Value};

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
    let channels: Vec<serde_json::Value> = removals
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
    notification_condition: Vec<serde_json::Value>,
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
fn condition(condition: &Condition) -> serde_json::Value {
    let Condition { module, selection } = condition;
    json!({
        "type": "field_selection",
        "module": { "api_name": module },
        "field_selection": tree(selection),
    })
}

fn tree(selection: &Selection) -> serde_json::Value {
    match selection {
        Selection::Field(field) => json!({ "field": { "api_name": field } }),
        Selection::Group(group) => pairs(group),
    }
}

fn pairs(group: &Group) -> serde_json::Value {
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
    let reply: Value<'_> = serde_json::from_slice(body)?;
    let watch = rows_of(&reply)?;
    let count = watch.len();
    let (mut rows, mut strangers) = (Vec::with_capacity(count), Vec::new());
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    let mut names = Names::default();
    for row in watch {
        match read_row(row, &mut names) {
            Some(of_row) => rows.extend(of_row),
            None => strangers.push(read_stranger(row)),
        }
        // Most rows are about the same few modules.
        if let Some((name, id)) = read_module(row)
            && modules.get(name).is_none_or(|known| known != id)
        {
            modules.insert(name.to_owned(), id.to_owned());
        }
    }
    let said = at(&reply, "info").and_then(|info| at(info, "more_records")?.as_bool());
    Ok(Page { rows, strangers, modules, count, more: said.unwrap_or(count >= PAGE_ROWS) })
}

/// The API names in a list of modules (v8 *Modules API*).
pub fn read_modules_list(body: &[u8]) -> Result<BTreeSet<String>, serde_json::Error> {
    let reply: ModulesReply = serde_json::from_slice(body)?;
    let name = |module: &serde_json::Value| module.get("api_name")?.as_str().map(str::to_owned);
    Ok(reply.modules.iter().filter_map(name).collect())
}

#[derive(Deserialize)]
struct ModulesReply {
    modules: Vec<serde_json::Value>,
}

/// The module of a row, with its id in this org.
fn read_module<'a>(row: &'a Value<'_>) -> Option<(&'a str, &'a str)> {
    let (name, id) = (text_at(row, "resource_name")?, text_at(row, "resource_id")?);
    let fits = !id.is_empty() && id.len() <= ID_MAX && name.len() <= ID_MAX;
    fits.then_some((name, id))
}

/// A row without an id that can be declared.
fn read_stranger(row: &Value<'_>) -> Stranger {
    let text = |value: &Value<'_>| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let id = at(row, "channel_id").map_or_else(|| "null".to_owned(), text);
    let events = list_at(row, "events").iter().take(EVENTS_MAX);
    Stranger { id, events: events.map(text).collect() }
}

/// The value under a key; `None` when there is no such key.
fn at<'a, 'b>(value: &'a Value<'b>, key: &str) -> Option<&'a Value<'b>> {
    value.as_object()?.get(key)
}

fn text_at<'a>(value: &'a Value<'_>, key: &str) -> Option<&'a str> {
    at(value, key)?.as_str()
}

/// The list under a key; an empty one when there is none.
fn list_at<'a, 'b>(value: &'a Value<'b>, key: &str) -> &'a [Value<'b>] {
    at(value, key).and_then(Value::as_array).unwrap_or_default()
}

/// The tokens of one page, one for each row that has one. [`read_page`] keeps only their
/// fingerprints.
///
/// # Errors
/// When the body is no page.
pub fn read_tokens(body: &[u8]) -> Result<Vec<(ChannelId, Secret)>, serde_json::Error> {
    let reply: Value<'_> = serde_json::from_slice(body)?;
    let token = |row: &Value<'_>| {
        let text = text_at(row, "token").filter(|text| !text.is_empty())?;
        Some((read_id(at(row, "channel_id")?)?, Secret::new(text)))
    };
    Ok(rows_of(&reply)?.iter().filter_map(token).collect())
}

/// The rows of a list.
fn rows_of<'a, 'b>(reply: &'a Value<'b>) -> Result<&'a [Value<'b>], serde_json::Error> {
    let watch = at(reply, "watch").ok_or_else(|| serde_json::Error::missing_field("watch"))?;
    watch.as_array().ok_or_else(|| serde_json::Error::custom("`watch` is no list"))
}

/// One row a module: a row names its events with their modules, and is normally about one.
fn read_row<'a>(
    row: &Value<'_>,
    names: &'a mut Names,
) -> Option<impl Iterator<Item = Row> + use<'a>> {
    let id = at(row, "channel_id").and_then(read_id)?;
    let flag = |key: &str| at(row, key).and_then(Value::as_bool);
    let notify_url = text_at(row, "notify_url").map(NotifyUrl::new);
    let expiry = text_at(row, "channel_expiry").and_then(|text| text.parse().ok());
    let token = read_token(at(row, "token"));
    let mut odd = Vec::new();
    let conditions = match at(row, "notification_condition") {
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
    if at(row, "fields").is_some_and(is_said) {
        odd.push(Oddity::Fields);
    }
    let (modules, is_known) = read_modules(list_at(row, "events"), names);
    if !is_known {
        odd.push(Oddity::Event);
    }
    let (related, values) =
        (flag("notify_on_related_action"), flag("return_affected_field_values"));
    Some(modules.into_iter().map(move |(module, operations)| Row {
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
    }))
}

/// True when a key holds anything.
fn is_said(value: &Value<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Str(_) => true,
    }
}

fn read_token(token: Option<&Value<'_>>) -> TokenSeen {
    match token {
        None => TokenSeen::Unsaid,
        Some(Value::Null) => TokenSeen::Null,
        Some(Value::Str(text)) if text.is_empty() => TokenSeen::Null,
        Some(Value::Str(text)) => TokenSeen::Set(Secret::fingerprint_of(text)),
        Some(other) => TokenSeen::Set(Secret::fingerprint_of(&other.to_string())),
    }
}

/// The operations of each module, by name, and whether each event could be read. A row that names
/// none is a row all the same.
fn read_modules(events: &[Value<'_>], names: &mut Names) -> (Vec<(Arc<str>, Operations)>, bool) {
    let (mut modules, mut is_known) = (Vec::<(Arc<str>, Operations)>::with_capacity(1), true);
    for event in events {
        let Some((module, operations)) = event.as_str().and_then(|it| Events::parse(it).ok())
        else {
            is_known = false;
            continue;
        };
        match modules.binary_search_by(|(held, _)| (**held).cmp(module)) {
            Ok(place) => modules[place].1 = modules[place].1.union(operations),
            Err(place) => modules.insert(place, (names.shared(module), operations)),
        }
    }
    if modules.is_empty() {
        modules.push((names.shared(""), Operations::default()));
    }
    (modules, is_known)
}

/// The names of the modules of one page, each once.
#[derive(Default)]
struct Names(BTreeSet<Arc<str>>);

impl Names {
    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return known.clone();
        }
        let new: Arc<str> = name.into();
        self.0.insert(new.clone());
        new
    }
}

fn read_conditions(value: &Value<'_>) -> Result<Vec<Condition>, Oddity> {
    let items = value.as_array().ok_or(Oddity::Condition)?;
    let conditions: BTreeSet<Condition> =
        items.iter().map(read_condition).collect::<Result<_, _>>()?;
    Ok(conditions.into_iter().collect())
}

fn read_condition(value: &Value<'_>) -> Result<Condition, Oddity> {
    let module = at(value, "module").ok_or(Oddity::Condition)?;
    let module = read_api_name(module, Oddity::ModuleById)?;
    let selection = at(value, "field_selection").ok_or(Oddity::Condition)?;
    Ok(Condition { module, selection: read_selection(selection, 0)? })
}

/// A leaf or a branch of a condition's tree. In replies a leaf also carries `group_operator: null,
/// group: null`.
fn read_selection(node: &Value<'_>, depth: usize) -> Result<Selection, Oddity> {
    const DEPTH_MAX: usize = 32;
    if depth > DEPTH_MAX {
        return Err(Oddity::Condition);
    }
    let Some(group) = at(node, "group").and_then(Value::as_array) else {
        let field = at(node, "field").unwrap_or(node);
        return read_api_name(field, Oddity::FieldById).map(Selection::Field);
    };
    let operator = text_at(node, "group_operator").and_then(Match::of_wire);
    let matching = match operator {
        Some(matching) => matching,
        None if group.len() == 1 => Match::Any,
        None => return Err(Oddity::Condition),
    };
    let entries: Vec<Selection> =
        group.iter().map(|entry| read_selection(entry, depth + 1)).collect::<Result<_, _>>()?;
    Selection::group(matching, entries).ok_or(Oddity::Condition)
}

fn read_api_name(value: &Value<'_>, by_id: Oddity) -> Result<String, Oddity> {
    match text_at(value, "api_name") {
        Some(name) => Ok(name.to_owned()),
        None if at(value, "id").is_some_and(is_said) => Err(by_id),
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
    let value: Value<'_> =
        serde_json::from_slice(body).map_err(|error| veil.words(&error.to_string()))?;
    if let Some(items) = at(&value, "watch").and_then(Value::as_array) {
        return Ok(WriteAnswer::Items(items.iter().map(|item| read_item(item, veil)).collect()));
    }
    if text_at(&value, "code") == Some("SUCCESS") {
        return Ok(WriteAnswer::BareSuccess);
    }
    if at(&value, "code").is_some() || at(&value, "error").is_some() {
        return Ok(WriteAnswer::Bare(read_refused(&value, veil)));
    }
    Err("it has neither `watch` nor `code`".to_owned())
}

fn read_item(item: &Value<'_>, veil: &Veil) -> Item {
    let details = at(item, "details").unwrap_or(&Value::Null);
    let events = list_at(details, "events");
    let named = at(details, "channel_id").or_else(|| at(events.first()?, "channel_id"));
    let id = named.and_then(read_id);
    let expiries = events.iter().filter_map(|event| text_at(event, "channel_expiry")?.parse().ok());
    let verdict = match (text_at(item, "code"), text_at(item, "status")) {
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

fn read_refused(value: &Value<'_>, veil: &Veil) -> Refused {
    let text = |key: &str| text_at(value, key);
    let code = text("code").or_else(|| text("error")).unwrap_or("UNKNOWN").to_owned();
    let message = text("message").or_else(|| text("error_description")).unwrap_or("no message");
    let details = at(value, "details").and_then(Value::as_object);
    let mut details = details.map(owned).unwrap_or_default();
    // A channel that is quoted whole brings its token, which this process may never have sent.
    details.remove("token");
    // The path is told beside the message, by what stands there.
    let json_path = details.remove("json_path");
    let json_path = json_path.as_ref().and_then(serde_json::Value::as_str);
    let json_path = json_path.map(|path| veil.words(path));
    let message = if details.is_empty() {
        message.to_owned()
    } else {
        format!("{message} {}", serde_json::Value::Object(details))
    };
    Refused { code: veil.words(&code), message: veil.words(&message), json_path }
}

fn owned(object: &ObjectAsVec<'_>) -> serde_json::Map<String, serde_json::Value> {
    object.iter().map(|(key, value)| (key.to_owned(), value.clone().into())).collect()
}

fn read_id(value: &Value<'_>) -> Option<ChannelId> {
    match value {
        Value::Str(text) => text.parse().ok(),
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
