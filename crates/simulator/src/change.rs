//! A change of records, and the post that tells a channel's receiver of it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::events::Operation;

/// Something that happened to records of one module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The module's API name.
    pub module: String,
    /// The operation that happened.
    pub operation: Operation,
    /// The records, each with its changed fields and their new values.
    pub records: BTreeMap<String, BTreeMap<String, Value>>,
    /// True when it only happened to a related record: then it goes to channels with
    /// `notify_on_related_action` alone.
    pub related: bool,
}

/// One POST that Zoho makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The org whose records changed.
    pub org: String,
    /// The channel's id.
    pub channel: String,
    /// The URL that it goes to.
    pub notify_url: String,
    /// The module whose records changed.
    pub module: String,
    /// The operation that happened.
    pub operation: Operation,
    /// The records.
    pub ids: Vec<String>,
    /// When it is made.
    pub at: Timestamp,
    /// Its JSON body.
    pub body: Value,
}

impl Change {
    /// A change of these records, of no field in particular.
    pub fn of(module: &str, operation: Operation, ids: &[u64]) -> Change {
        let records = ids.iter().map(|id| (id.to_string(), BTreeMap::new())).collect();
        Change { module: module.to_owned(), operation, records, related: false }
    }

    /// The same with the new value of a field.
    #[must_use]
    pub fn with(mut self, field: &str, value: &str) -> Change {
        for values in self.records.values_mut() {
            values.insert(field.to_owned(), json!(value));
        }
        self
    }

    /// The records by number; an id that is none is delivered and not kept.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.records.keys().filter_map(|id| id.parse().ok())
    }
}
