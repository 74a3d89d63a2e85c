//! A channel as the simulator stores it, and a module as Zoho numbers it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::knobs::Knobs;
use crate::model::events::{Events, Operation};
use crate::model::product::Product;
use crate::model::secret::Fingerprint;

/// One channel of one org.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// Its id: a positive signed 64-bit integer.
    pub id: i64,
    /// The events that it covers, `.all` expanded.
    pub events: Events,
    /// The URL that deliveries go to.
    pub notify_url: String,
    /// The token that deliveries carry as proof.
    pub token: Option<String>,
    /// The end: at this instant it is dead.
    pub expiry: Timestamp,
    /// True when changes of related records are delivered too.
    pub related: bool,
    /// True when deliveries carry the new values.
    pub affected_values: bool,
    /// `notification_condition` as it was sent, checked.
    pub condition: Option<Value>,
}

impl Channel {
    /// Everything of it, for the admin API.
    pub fn to_json(&self, knobs: &Knobs, now: Timestamp) -> Value {
        json!({
            "channel_id": self.id.to_string(),
            "events": self.events.to_wire(),
            "notify_url": self.notify_url,
            "token": self.token,
            "channel_expiry": knobs.echo(self.expiry),
            "live": self.expiry > now,
            "notify_on_related_action": self.related,
            "return_affected_field_values": self.affected_values,
            "notification_condition": self.condition,
        })
    }
}

/// The events of one module as a GET lists them: edit, create, delete.
pub(crate) fn listed(events: &Events, module: &str) -> Vec<String> {
    let held = events.of(module);
    [Operation::Edit, Operation::Create, Operation::Delete]
        .into_iter()
        .filter(|operation| held.contains(*operation))
        .map(|operation| format!("{module}.{}", operation.as_str()))
        .collect()
}

/// A module's id: digits, the same every time. The three of Kaizen #14 have the ids printed there.
pub(crate) fn module_id(module: &str) -> String {
    module_id_in(ORG_DIGITS, module)
}

/// The same in an org whose ids begin otherwise.
pub(crate) fn module_id_in(digits: &str, module: &str) -> String {
    let low = match module {
        "Leads" => 2175,
        "Accounts" => 2177,
        "Contacts" => 2179,
        "Deals" | "Pipelines" => 2181,
        other => 10_000 + Fingerprint::of(&["module", other]).0 % 900_000,
    };
    format!("{digits}{low:012}")
}

/// A positive signed 64-bit integer, as a number or as digits in a string.
pub(crate) fn parse_id(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| parse_digits(value.as_str()?)).filter(|id| *id > 0)
}

/// Digits only: no sign, no space.
pub(crate) fn parse_digits(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// How the ids of an org begin, as in the documents.
pub(crate) const ORG_DIGITS: &str = "3652397";

/// `resource_uri`: `{base}/crm/v2/{Module}`.
pub(crate) fn module_uri(base: &str, product: Product, knobs: &Knobs, module: &str) -> String {
    let version = match product {
        Product::Bigin => &knobs.bigin_resource_version,
        Product::Crm | Product::Recruit | Product::Vertical => &knobs.resource_version,
    };
    format!("{base}/{}/{version}/{module}", product.traits().path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_ids_are_those_of_the_documents() {
        assert_eq!(module_id("Contacts"), "3652397000000002179");
        assert_eq!(module_id("Quotes").len(), 19);
        assert_ne!(module_id("Quotes"), module_id("Invoices"));
    }

    #[test]
    fn all_is_listed_as_edit_create_delete() {
        let events: Events = ["Deals.all", "Leads.create"].into_iter().collect();
        assert_eq!(listed(&events, "Deals"), ["Deals.edit", "Deals.create", "Deals.delete"]);
        assert_eq!(listed(&events, "Leads"), ["Leads.create"]);
    }
}
