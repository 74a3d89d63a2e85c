//! The posts that Zoho would send when records change, and their receivers.
//!
//! The body is that of the v7 and v8 pages and of captured traffic: `operation` is `insert`,
//! `update` or `delete` although events are named otherwise, `channel_id` is a string, `token` is
//! null when there is none, `affected_fields` is empty for inserts, `affected_values` is there when
//! the channel asked for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::change::{Change, Delivery};
use super::channel::{Channel, module_uri};
use super::condition;
use super::form;
use super::knobs::{DeliveredWords, Knobs};
use super::records::missed::Why;
use super::state::Zoho;
use crate::model::events::Operation;
use crate::model::product::Product;

impl Zoho {
    /// Keeps what a change leaves behind, and gives the deliveries that it leads to at this
    /// instant, by channel id; lost, doubled and turned around as the knobs say. What a channel
    /// does not tell of that covered the event before is [`missed`](Zoho::missed).
    pub fn record_changed(&mut self, org: &str, change: &Change, now: Timestamp) -> Vec<Delivery> {
        if let Some(state) = self.orgs.get_mut(org) {
            state.records.apply(change, &self.knobs.records, now);
        }
        self.deliver(org, change, now)
    }

    /// The deliveries of a change that is kept already.
    pub(crate) fn deliver(&mut self, org: &str, change: &Change, now: Timestamp) -> Vec<Delivery> {
        let (knobs, made) = (&self.knobs, &mut self.deliveries_made);
        let Some(state) = self.orgs.get_mut(org) else { return Vec::new() };
        let base = "https://www.zohoapis.com";
        let product = state.org.product;
        let words = Words {
            resource_uri: &module_uri(base, product, knobs, &change.module),
            operation: operation(product, change.operation, knobs),
        };
        let event = (change.module.as_str(), change.operation);
        let mut deliveries = Vec::new();
        for (id, taken) in state.subscribers.of(event.0, event.1) {
            let why = match outlet(state.channels.get(&id), taken, change, now) {
                Outlet::NotMeant => continue,
                Outlet::Shut(why) => why,
                Outlet::Open(channel) => {
                    *made += 1;
                    let copies = copies(*made, knobs);
                    let delivery = delivery(org, channel, change, &words, now);
                    deliveries.extend(std::iter::repeat_n(delivery, copies));
                    if copies > 0 {
                        continue;
                    }
                    Why::Lost
                }
            };
            state.missed.note_all(id, event, change.ids(), (now, why));
        }
        if knobs.deliveries_reversed {
            deliveries.reverse();
        }
        deliveries
    }
}

/// The answer of a channel that covered an event once to a change.
enum Outlet<'a> {
    /// A delivery.
    Open(&'a Channel),
    /// Nothing, though it was meant to.
    Shut(Why),
    /// Nothing: it is not meant to tell of changes of related records.
    NotMeant,
}

fn outlet<'a>(
    channel: Option<&'a Channel>,
    taken: bool,
    change: &Change,
    now: Timestamp,
) -> Outlet<'a> {
    let Some(channel) = channel.filter(|_| !taken) else {
        return Outlet::Shut(if taken { Why::Removed } else { Why::Lapsed });
    };
    if change.related && !channel.related {
        return Outlet::NotMeant;
    }
    let fields: BTreeSet<&str> =
        change.records.values().flat_map(|fields| fields.keys().map(String::as_str)).collect();
    let condition = channel.condition.as_ref();
    if change.operation == Operation::Edit && !condition::passes(condition, &change.module, &fields)
    {
        return Outlet::Shut(Why::Filtered);
    }
    if channel.expiry > now { Outlet::Open(channel) } else { Outlet::Shut(Why::Lapsed) }
}

fn copies(serial: u64, knobs: &Knobs) -> usize {
    let hits = |every: u64| every > 0 && serial.is_multiple_of(every);
    match (hits(knobs.deliveries_drop_every), hits(knobs.deliveries_duplicate_every)) {
        (true, _) => 0,
        (false, true) => 2,
        (false, false) => 1,
    }
}

/// The words of a body that depend on the product and on a knob.
struct Words<'a> {
    resource_uri: &'a str,
    operation: &'static str,
}

fn delivery(
    org: &str,
    channel: &Channel,
    change: &Change,
    words: &Words<'_>,
    now: Timestamp,
) -> Delivery {
    Delivery {
        org: org.to_owned(),
        channel: channel.id.to_string(),
        notify_url: channel.notify_url.clone(),
        module: change.module.clone(),
        operation: change.operation,
        ids: change.records.keys().cloned().collect(),
        at: now,
        body: body(channel, change, words, now),
    }
}

fn body(channel: &Channel, change: &Change, words: &Words<'_>, now: Timestamp) -> Value {
    let ids: Vec<&String> = change.records.keys().collect();
    let changed = |(id, fields): (&String, &BTreeMap<String, Value>)| {
        let names: Vec<&String> = fields.keys().collect();
        Value::Object(Map::from_iter([(id.clone(), json!(names))]))
    };
    let affected: Vec<Value> = match change.operation {
        Operation::Create => Vec::new(),
        Operation::Edit | Operation::Delete => change.records.iter().map(changed).collect(),
    };
    let query: Map<String, Value> = form::pairs(form::query_of(&channel.notify_url))
        .into_iter()
        .map(|(key, value)| (key, json!(value)))
        .collect();
    let mut body = json!({
        "server_time": now.as_millisecond(),
        "query_params": query,
        "module": change.module,
        "resource_uri": words.resource_uri,
        "ids": ids,
        "affected_fields": affected,
        "operation": words.operation,
        "channel_id": channel.id.to_string(),
        "token": channel.token,
    });
    if channel.affected_values {
        let values = |(id, fields)| json!({ "record_id": id, "values": fields });
        body["affected_values"] = change.records.iter().map(values).collect();
    }
    body
}

fn operation(product: Product, operation: Operation, knobs: &Knobs) -> &'static str {
    match knobs.recruit_operations {
        DeliveredWords::CreateEdit if product == Product::Recruit => operation.as_str(),
        DeliveredWords::CreateEdit | DeliveredWords::InsertUpdate => operation.delivered_as(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, channel};
    use super::*;

    fn change(operation: Operation) -> Change {
        let fields = BTreeMap::from([("Stage".to_owned(), json!("Closed Won"))]);
        let records = BTreeMap::from([("3652397000001565035".to_owned(), fields)]);
        Change { module: "Deals".to_owned(), operation, records, related: false }
    }

    fn world(knobs: Knobs) -> World {
        let mut world = World::new(knobs);
        let mut second = channel("2", &["Deals.edit"]);
        second["return_affected_field_values"] = json!(true);
        second["notify_on_related_action"] = json!(false);
        second["token"] = Value::Null;
        assert_eq!(world.write("POST", &[channel("1", &["Deals.all"]), second]).0, 201);
        world
    }

    fn channels(deliveries: &[Delivery]) -> Vec<&str> {
        deliveries.iter().map(|delivery| delivery.channel.as_str()).collect()
    }

    #[test]
    fn an_insert_is_delivered_as_documented() {
        let mut world = world(Knobs::default());
        let deliveries = world.zoho.record_changed("a", &change(Operation::Create), world.now);
        assert_eq!(deliveries.len(), 1);
        assert_eq!(deliveries[0].notify_url, "https://hooks.test/zoho?k=v");
        assert_eq!(
            deliveries[0].body,
            json!({
                "server_time": 1_795_449_600_000_i64,
                "query_params": {"k": "v"},
                "module": "Deals",
                "resource_uri": "https://www.zohoapis.com/crm/v2/Deals",
                "ids": ["3652397000001565035"],
                "affected_fields": [],
                "operation": "insert",
                "channel_id": "1",
                "token": "t0",
            })
        );
    }

    #[test]
    fn an_update_names_fields_and_on_request_values() {
        let mut world = world(Knobs::default());
        let deliveries = world.zoho.record_changed("a", &change(Operation::Edit), world.now);
        assert_eq!(channels(&deliveries), ["1", "2"]);
        let body = &deliveries[1].body;
        assert_eq!((&body["operation"], &body["token"]), (&json!("update"), &Value::Null));
        assert_eq!(body["affected_fields"], json!([{"3652397000001565035": ["Stage"]}]));
        let values =
            json!([{"record_id": "3652397000001565035", "values": {"Stage": "Closed Won"}}]);
        assert_eq!(body["affected_values"], values);
        assert_eq!(deliveries[0].body.get("affected_values"), None);
    }

    #[test]
    fn related_changes_go_to_those_who_want_them_and_nothing_to_the_dead() {
        let mut world = world(Knobs::default());
        let related = Change { related: true, ..change(Operation::Edit) };
        assert_eq!(channels(&world.zoho.record_changed("a", &related, world.now)), ["1"]);
        world.pass(3600);
        assert!(world.zoho.record_changed("a", &related, world.now).is_empty());
    }

    #[test]
    fn deliveries_can_be_lost_doubled_and_turned_around() {
        let table = [
            (Knobs { deliveries_drop_every: 2, ..Knobs::default() }, vec!["1"]),
            (Knobs { deliveries_duplicate_every: 2, ..Knobs::default() }, vec!["1", "2", "2"]),
            (Knobs { deliveries_reversed: true, ..Knobs::default() }, vec!["2", "1"]),
        ];
        for (knobs, expected) in table {
            let mut world = world(knobs);
            assert_eq!(
                channels(&world.zoho.record_changed("a", &change(Operation::Edit), world.now)),
                expected
            );
        }
    }

    #[test]
    fn a_condition_holds_back_edits_of_other_fields() {
        let mut world = World::new(Knobs::default());
        let leaf = |name: &str| json!({"field": {"api_name": name}});
        let selection = json!({"group_operator": "and", "group": [leaf("Stage"), leaf("Amount")]});
        let mut item = channel("1", &["Deals.all"]);
        item["notification_condition"] = json!([{"type": "field_selection", "module": {"api_name": "Deals"}, "field_selection": selection}]);
        assert_eq!(world.write("POST", &[item]).0, 201);
        assert_eq!(world.zoho.record_changed("a", &change(Operation::Edit), world.now), []);
        assert_eq!(world.zoho.record_changed("a", &change(Operation::Delete), world.now).len(), 1);
        let group = &world.rows()[0]["notification_condition"][0]["field_selection"]["group"];
        assert_eq!(
            group[0],
            json!({"field": {"api_name": "Stage"}, "group_operator": null, "group": null})
        );
    }
}
