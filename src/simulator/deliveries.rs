//! What Zoho would post to whom when records change.
//!
//! The body is that of the v7 and v8 pages and of captured traffic: `operation` is `insert`, `update` or `delete` although
//! events are named otherwise, `channel_id` is a string, `token` is null when there is none, `affected_fields` is empty
//! for inserts, `affected_values` is there when the channel asked for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::channel::{Channel, module_uri};
use super::condition;
use super::form;
use super::knobs::Knobs;
use super::state::Zoho;
use crate::model::events::Operation;

/// Something that happened to records of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The module's API name.
    pub module: String,
    /// What happened.
    pub operation: Operation,
    /// The records, each with its changed fields and their new values.
    pub records: BTreeMap<String, BTreeMap<String, Value>>,
    /// Whether it only happened to a related record: then it goes to channels with `notify_on_related_action` alone.
    pub related: bool,
}

/// One POST that Zoho makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The org whose records changed.
    pub org: String,
    /// The channel's id.
    pub channel: String,
    /// Where it goes.
    pub notify_url: String,
    /// Its JSON body.
    pub body: Value,
}

impl Zoho {
    /// The deliveries that a change leads to at this instant, by channel id; lost, doubled and turned around as the knobs
    /// say.
    pub fn record_changed(&mut self, org: &str, change: &Change, now: Timestamp) -> Vec<Delivery> {
        let (knobs, made) = (&self.knobs, &mut self.deliveries_made);
        let Some(state) = self.orgs.get(org) else { return Vec::new() };
        let mut deliveries = Vec::new();
        for channel in state.channels.values().filter(|channel| listens(channel, change, now)) {
            *made += 1;
            let copies = copies(*made, knobs);
            let delivery = Delivery {
                org: org.to_owned(),
                channel: channel.id.to_string(),
                notify_url: channel.notify_url.clone(),
                body: body(channel, change, knobs, now),
            };
            deliveries.extend(std::iter::repeat_n(delivery, copies));
        }
        if knobs.deliveries_reversed {
            deliveries.reverse();
        }
        deliveries
    }
}

fn listens(channel: &Channel, change: &Change, now: Timestamp) -> bool {
    let fields: BTreeSet<&str> = change.records.values().flat_map(|fields| fields.keys().map(String::as_str)).collect();
    channel.expiry > now
        && channel.events.of(&change.module).contains(change.operation)
        && (!change.related || channel.related)
        && (change.operation != Operation::Edit
            || condition::passes(channel.condition.as_ref(), &change.module, &fields))
}

fn copies(serial: u64, knobs: &Knobs) -> usize {
    let hits = |every: u64| every > 0 && serial.is_multiple_of(every);
    match (hits(knobs.deliveries_drop_every), hits(knobs.deliveries_duplicate_every)) {
        (true, _) => 0,
        (false, true) => 2,
        (false, false) => 1,
    }
}

fn body(channel: &Channel, change: &Change, knobs: &Knobs, now: Timestamp) -> Value {
    let ids: Vec<&String> = change.records.keys().collect();
    let changed = |(id, fields): (&String, &BTreeMap<String, Value>)| {
        let names: Vec<&String> = fields.keys().collect();
        Value::Object(Map::from_iter([(id.clone(), json!(names))]))
    };
    let affected: Vec<Value> = match change.operation {
        Operation::Create => Vec::new(),
        Operation::Edit | Operation::Delete => change.records.iter().map(changed).collect(),
    };
    let query: Map<String, Value> =
        form::pairs(form::query_of(&channel.notify_url)).into_iter().map(|(key, value)| (key, json!(value))).collect();
    let mut body = json!({
        "server_time": now.as_millisecond(),
        "query_params": query,
        "module": change.module,
        "resource_uri": module_uri("https://www.zohoapis.com", knobs, &change.module),
        "ids": ids,
        "affected_fields": affected,
        "operation": change.operation.delivered_as(),
        "channel_id": channel.id.to_string(),
        "token": channel.token,
    });
    if channel.affected_values {
        let values = |(id, fields)| json!({ "record_id": id, "values": fields });
        body["affected_values"] = change.records.iter().map(values).collect();
    }
    body
}

/// A change as the admin API takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawChange {
    pub(crate) org: Option<String>,
    module: String,
    operation: String,
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    values: BTreeMap<String, Value>,
    #[serde(default)]
    related: bool,
}

impl RawChange {
    /// The change, or what is wrong with it.
    pub(crate) fn parse(self) -> Result<Change, String> {
        let operation = Operation::ALL
            .into_iter()
            .find(|operation| operation.as_str() == self.operation)
            .ok_or_else(|| format!("operation: \"{}\" is none of create, edit, delete", self.operation))?;
        if self.ids.is_empty() {
            return Err("ids: name at least one record".to_owned());
        }
        let records = self.ids.into_iter().map(|id| (id, self.values.clone())).collect();
        Ok(Change { module: self.module, operation, records, related: self.related })
    }
}
