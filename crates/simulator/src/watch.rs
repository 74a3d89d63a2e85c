//! The writes: POST enables, PUT replaces, PATCH changes a part or takes events away, DELETE
//! disables.
//!
//! One item of the reply for each of the request, in order, each judged by itself. 201 or 200 when
//! all are good, 207 when some are, 400 when none is; the body has the same shape in all of them.
//! A fault of the call as a whole comes bare.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::channel::{Channel, module_id_in, module_uri, parse_digits};
use super::expiry;
use super::faults::Fault;
use super::item::{Asked, WriteItem};
use super::knobs::{
    Knobs, MissingEvent, PatchEvents, PatchExpiry, PatchToken, PostConflict, PostLive,
};
use super::operation::{WatchOperation, Write};
use super::org::OrgState;
use super::reply::{INVALID, MISSING, about, bare, error, json_response};
use crate::model::events::Events;
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;

/// POST, PUT or PATCH.
pub(crate) fn write(
    state: &mut OrgState,
    operation: WatchOperation,
    request: &Request,
    write: &Write<'_>,
) -> Response {
    let items = match batch(request, write.knobs.batch_max) {
        Ok(items) => items,
        Err(response) => return response,
    };
    let items = items.iter().enumerate().map(|(index, value)| WriteItem { value, index, write });
    let items: Vec<WriteItem<'_>> = items.collect();
    if items.iter().any(WriteItem::refuses_all) {
        return bare(400, "INVALID_DATA", INVALID, &json!({ "api_name": "channel_expiry" }));
    }
    let mut replies = Vec::new();
    for item in items {
        let reply = match operation {
            WatchOperation::Enable => enable(state, &item),
            WatchOperation::Replace => replace(state, &item),
            WatchOperation::Patch | WatchOperation::List | WatchOperation::Disable => {
                patch(state, &item)
            }
        };
        replies.push(reply);
    }
    let good = if operation == WatchOperation::Enable { 201 } else { 200 };
    let statuses = Statuses::of(good, write.knobs.all_bad_status, write.knobs);
    respond(state, replies, &statuses)
}

/// DELETE.
pub(crate) fn disable(state: &mut OrgState, request: &Request, write: &Write<'_>) -> Response {
    let Some(ids) = request.param("channel_ids").filter(|ids| !ids.is_empty()) else {
        let details = json!({ "param_name": "channel_ids", "param": "channel_ids" });
        return bare(
            400,
            "REQUIRED_PARAM_MISSING",
            "One of the expected parameter is missing",
            &details,
        );
    };
    if let Some(max) = write.knobs.channel_ids_max.filter(|max| ids.len() > *max) {
        let details = json!({ "param_name": "channel_ids", "maximum_length": max });
        return bare(400, "INVALID_DATA", INVALID, &details);
    }
    let replies = ids.split(',').flat_map(|id| disable_one(state, id.trim(), write)).collect();
    let all_bad = write.knobs.disable_all_bad_status(write.product);
    respond(state, replies, &Statuses::of(200, all_bad, write.knobs))
}

type WatchReply = Result<Value, Value>;

fn batch(request: &Request, max: usize) -> Result<Vec<Value>, Response> {
    let Ok(mut body) = serde_json::from_slice::<Value>(&request.body) else {
        return Err(bare(
            400,
            "INVALID_DATA",
            INVALID,
            &json!({ "expected_data_type": "jsonobject" }),
        ));
    };
    let watch = match body.get_mut("watch").map(Value::take) {
        None | Some(Value::Null) => {
            return Err(bare(400, "MANDATORY_NOT_FOUND", MISSING, &json!({ "api_name": "watch" })));
        }
        Some(Value::Array(items)) => items,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            let details = json!({ "api_name": "watch", "expected_data_type": "jsonarray" });
            return Err(bare(400, "INVALID_DATA", INVALID, &details));
        }
    };
    if watch.is_empty() || watch.len() > max {
        let details = json!({ "api_name": "watch", "json_path": "$.watch", "maximum_length": max });
        return Err(bare(400, "INVALID_DATA", INVALID, &details));
    }
    Ok(watch)
}

/// The status of a reply, by how many of its items are good.
struct Statuses {
    all_good: u16,
    partly_bad: u16,
    all_bad: u16,
}

impl Statuses {
    fn of(all_good: u16, all_bad: u16, knobs: &Knobs) -> Statuses {
        Statuses { all_good, partly_bad: knobs.partly_bad_status, all_bad }
    }
}

fn respond(state: &mut OrgState, replies: Vec<WatchReply>, statuses: &Statuses) -> Response {
    let failed = replies.iter().filter(|reply| reply.is_err()).count();
    let status = match failed {
        0 => statuses.all_good,
        _ if failed == replies.len() => statuses.all_bad,
        _ => statuses.partly_bad,
    };
    let mut items = Vec::new();
    for reply in replies {
        match reply {
            Ok(item) => {
                state.counters.items_ok += 1;
                items.push(item);
            }
            Err(item) => {
                let code = item["code"].as_str().unwrap_or_default().to_owned();
                *state.counters.items_refused.entry(code).or_default() += 1;
                items.push(item);
            }
        }
    }
    json_response(status, &json!({ "watch": items }))
}

fn enable(state: &mut OrgState, item: &WriteItem<'_>) -> WatchReply {
    let asked = item.read(&["channel_id", "events", "notify_url"])?;
    let write = item.write;
    write.check_faults(asked.channel_id, asked.events.as_ref())?;
    let live = state.live(asked.channel_id, write.now).cloned();
    match (&live, write.knobs.post_conflict) {
        (None, _) | (Some(_), PostConflict::None) => {}
        (Some(_), PostConflict::DuplicateData) => {
            return Err(conflict(item, "DUPLICATE_DATA", "duplicate data"));
        }
        (Some(_), PostConflict::AlreadyUsed) => {
            return Err(conflict(item, "ALREADY_USED", "already used"));
        }
    }
    if live.is_none() {
        state.check_room(write)?;
    }
    if live.is_some() {
        state.counters.channels_reenabled += 1;
    } else {
        state.counters.channels_created += 1;
    }
    let kept = live.filter(|_| write.knobs.post == PostLive::Merge);
    let channel = merged(kept, asked, PatchEvents::Add, write);
    state.put(channel.clone(), write.now);
    Ok(write.subscribed(&channel, SUBSCRIBED))
}

fn replace(state: &mut OrgState, item: &WriteItem<'_>) -> WatchReply {
    let asked = item.read(&["channel_id", "events", "notify_url"])?;
    let write = item.write;
    write.check_faults(asked.channel_id, asked.events.as_ref())?;
    state.live(asked.channel_id, write.now).ok_or_else(not_subscribed)?;
    let channel = merged(None, asked, PatchEvents::Replace, write);
    state.put(channel.clone(), write.now);
    Ok(write.subscribed(&channel, SUBSCRIBED))
}

fn patch(state: &mut OrgState, item: &WriteItem<'_>) -> WatchReply {
    let (knobs, write) = (item.write.knobs, item.write);
    let mut mandatory = vec!["channel_id"];
    let deletes = item.value.is_object() && item.deletes_events()?;
    if knobs.patch_needs_events || deletes {
        mandatory.push("events");
    }
    if knobs.patch_needs_notify_url && !deletes {
        mandatory.push("notify_url");
    }
    let asked = item.read(&mandatory)?;
    write.check_faults(asked.channel_id, asked.events.as_ref())?;
    let mut channel =
        state.live(asked.channel_id, write.now).cloned().ok_or_else(not_subscribed)?;
    if asked.delete_events {
        return drop_events(state, channel, &asked.events.unwrap_or_default(), item);
    }
    if knobs.patch == PatchToken::NullsToken {
        channel.token = None;
    }
    let mut channel = merged(Some(channel), asked, knobs.patch_events, write);
    if item.key("channel_expiry").is_none() && knobs.patch_expiry == PatchExpiry::OneHour {
        channel.expiry = expiry::fallback(write.product, knobs, write.now);
    }
    state.put(channel.clone(), write.now);
    Ok(write.subscribed(&channel, UPDATED))
}

fn drop_events(
    state: &mut OrgState,
    mut channel: Channel,
    events: &Events,
    item: &WriteItem<'_>,
) -> WatchReply {
    let write = item.write;
    if write.knobs.delete_missing_event == MissingEvent::InvalidData
        && !events.minus(&channel.events).is_empty()
    {
        let details = about("events", &item.path("events"));
        return Err(error("INVALID_DATA", INVALID, &details));
    }
    channel.events = channel.events.minus(events);
    let id = channel.id;
    if channel.events.is_empty() {
        state.take(id, write.now);
    } else {
        state.put(channel, write.now);
    }
    let entry = |(module, _)| write.resource(module, id);
    Ok(success(&json!({ "events": events.iter().map(entry).collect::<Vec<_>>() }), REMOVED))
}

fn disable_one(state: &mut OrgState, text: &str, write: &Write<'_>) -> Vec<WatchReply> {
    let Some(id) = parse_digits(text).filter(|id| *id > 0) else {
        let details = json!({ "api_name": "channel_ids", "expected_data_type": "long" });
        return vec![Err(error("INVALID_DATA", INVALID, &details))];
    };
    if let Err(refused) = write.check_faults(id, None) {
        return vec![Err(refused)];
    }
    if state.live(id, write.now).is_none() {
        return vec![Err(not_subscribed())];
    }
    state.counters.channels_deleted += 1;
    let taken = state.take(id, write.now);
    let events = taken.map(|channel| channel.events).unwrap_or_default();
    let item = |(module, _)| {
        let mut details = write.resource(module, id);
        if let Some(details) = details.as_object_mut() {
            details.remove("resource_name");
        }
        Ok(success(&details, UNSUBSCRIBED))
    };
    events.iter().map(item).collect()
}

impl OrgState {
    /// LIMIT_REACHED when the knob allows no further channel.
    fn check_room(&self, write: &Write<'_>) -> Result<(), Value> {
        let Some(max) = write.knobs.channels_max else { return Ok(()) };
        let live = self.channels.values().filter(|channel| channel.expiry > write.now).count();
        if live < max {
            Ok(())
        } else {
            Err(error("LIMIT_REACHED", "limit reached", &json!({ "limit": max })))
        }
    }
}

/// The channel made from the kept fields and the asked ones. A field that is neither gets its
/// default.
fn merged(kept: Option<Channel>, asked: Asked, events: PatchEvents, write: &Write<'_>) -> Channel {
    let granted = write.granted(asked.expiry);
    let Some(mut channel) = kept else {
        return Channel {
            id: asked.channel_id,
            events: asked.events.unwrap_or_default(),
            notify_url: asked.notify_url.unwrap_or_default(),
            token: asked.token,
            expiry: granted,
            related: asked.related.unwrap_or(write.product != Product::Bigin),
            affected_values: asked.affected_values.unwrap_or(false),
            condition: asked.condition,
        };
    };
    if let Some(given) = asked.events {
        if events == PatchEvents::Replace {
            channel.events = Events::default();
        }
        given.iter().for_each(|(module, operations)| channel.events.insert(module, operations));
    }
    if asked.expiry.is_some() {
        channel.expiry = granted;
    }
    channel.notify_url = asked.notify_url.unwrap_or(channel.notify_url);
    channel.token = asked.token.or(channel.token);
    channel.related = asked.related.unwrap_or(channel.related);
    channel.affected_values = asked.affected_values.unwrap_or(channel.affected_values);
    channel.condition = asked.condition.or(channel.condition);
    channel
}

impl Write<'_> {
    fn granted(&self, asked: Option<Timestamp>) -> Timestamp {
        if self.faults.contains(&Fault::ShortGrant) {
            return expiry::fallback(self.product, self.knobs, self.now);
        }
        expiry::granted(asked, self)
    }

    /// The error of the first fault that is about this channel or one of its modules.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are not about one item")]
    fn check_faults(&self, id: i64, events: Option<&Events>) -> Result<(), Value> {
        for fault in self.faults {
            match fault {
                Fault::RefuseChannel { channel, code, details } if *channel == id.to_string() => {
                    return Err(error(code, INVALID, details));
                }
                Fault::RefuseModule { module, code, details }
                    if events.is_some_and(|events| !events.of(module).is_empty()) =>
                {
                    return Err(error(code, INVALID, details));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn subscribed(&self, channel: &Channel, message: &str) -> Value {
        let entry = |(module, _)| {
            let mut entry = self.resource(module, channel.id);
            entry["channel_expiry"] = json!(self.knobs.echo(channel.expiry));
            entry
        };
        success(&json!({ "events": channel.events.iter().map(entry).collect::<Vec<_>>() }), message)
    }

    fn resource(&self, module: &str, id: i64) -> Value {
        json!({
            "resource_uri": module_uri(self.base, self.product, self.knobs, module),
            "resource_id": module_id_in(self.digits, module),
            "resource_name": module,
            "channel_id": id.to_string(),
        })
    }
}

fn success(details: &Value, message: &str) -> Value {
    json!({ "code": "SUCCESS", "details": details, "message": message, "status": "success" })
}

fn conflict(item: &WriteItem<'_>, code: &str, message: &str) -> Value {
    error(code, message, &about("channel_id", &item.path("channel_id")))
}

/// Word for word as a real v8 PATCH of an expired channel was answered.
fn not_subscribed() -> Value {
    error("NOT_SUBSCRIBED", "Not subscribed for actions-watch of the given channel", &json!({}))
}

const SUBSCRIBED: &str = "Successfully subscribed for actions-watch of the given module";
const UPDATED: &str = "Successfully updated the subscribe details";
const REMOVED: &str = "Successfully removed the subscribe details";
const UNSUBSCRIBED: &str = "Successfully un-subscribed from actions-watch";

#[cfg(test)]
mod tests;
