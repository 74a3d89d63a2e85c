//! `/_sim/records`: what a test says of records.
//!
//! A change is made by POST with its `operation`; PATCH is short for `edit` and DELETE for `delete`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::change::{Change, Delivery};
use super::super::org::OrgState;
use super::super::state::Zoho;
use super::bulk::Bulk;
use crate::model::events::Operation;

/// A change as the admin API takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawChange {
    pub(crate) org: Option<String>,
    module: String,
    operation: Option<String>,
    /// Left out for a creation: an id that no record had.
    #[serde(default)]
    ids: Vec<String>,
    #[serde(default)]
    values: BTreeMap<String, Value>,
    #[serde(default)]
    related: bool,
    #[serde(default)]
    when: RecordWhen,
}

/// A bulk as the admin API takes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RawBulk {
    pub(crate) org: Option<String>,
    #[serde(flatten)]
    pub(crate) bulk: Bulk,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordWhen {
    #[default]
    Now,
    /// After the next page of records that a client reads.
    AfterPage,
}

enum RecordVerb {
    Change(Operation),
    Purge,
    Restore,
    Convert,
}

impl Zoho {
    /// Carries out what a test says, in this org.
    pub(crate) fn carry_out(
        &mut self,
        org: &str,
        method: &str,
        raw: RawChange,
        now: Timestamp,
    ) -> Result<(Value, Vec<Delivery>), String> {
        let RawChange { org: _, module, operation, mut ids, values, related, when } = raw;
        let verb = RecordVerb::of(method, operation.as_deref())?;
        if ids.is_empty() && matches!(verb, RecordVerb::Change(Operation::Create)) {
            ids.extend(self.fresh_id(org).map(|id| id.to_string()));
        }
        if ids.is_empty() {
            return Err("ids: name at least one record".to_owned());
        }
        let numbers: Result<Vec<u64>, _> = ids.iter().map(|id| number(id)).collect();
        let numbers = numbers?;
        let told = json!({ "ids": ids });
        let deliveries = match verb {
            RecordVerb::Change(operation) => {
                let records = ids.into_iter().map(|id| (id, values.clone())).collect();
                let change = Change { module, operation, records, related };
                match when {
                    RecordWhen::Now => self.record_changed(org, &change, now),
                    RecordWhen::AfterPage => {
                        self.after_next_page(org, change);
                        Vec::new()
                    }
                }
            }
            _ if when == RecordWhen::AfterPage => {
                return Err("when: only create, edit and delete wait for a page".to_owned());
            }
            RecordVerb::Purge => self.purge(org, &module, &numbers, now),
            RecordVerb::Restore => self.restore(org, &module, &numbers, now),
            RecordVerb::Convert => self.convert(org, &module, &numbers, now),
        };
        Ok((told, deliveries))
    }
}

impl OrgState {
    /// How many records there are of each module.
    pub(crate) fn records_json(&self) -> Value {
        let modules = self.records.modules().map(|(name, module)| {
            let counts = json!({ "records": module.rows.len(), "deleted": module.deleted.len() });
            (name.to_owned(), counts)
        });
        Value::Object(modules.collect::<Map<_, _>>())
    }

    /// The notifications that nobody got.
    pub(crate) fn missed_json(&self) -> Value {
        self.missed.lines().iter().map(super::missed::Missed::to_json).collect()
    }
}

impl RecordVerb {
    fn of(method: &str, operation: Option<&str>) -> Result<RecordVerb, String> {
        match (operation, method) {
            (None, "PATCH") => Ok(RecordVerb::Change(Operation::Edit)),
            (None, "DELETE") => Ok(RecordVerb::Change(Operation::Delete)),
            (Some("purge"), _) => Ok(RecordVerb::Purge),
            (Some("restore"), _) => Ok(RecordVerb::Restore),
            (Some("convert"), _) => Ok(RecordVerb::Convert),
            (operation, _) => {
                let given = operation.unwrap_or_default();
                let known = Operation::ALL.into_iter().find(|known| known.as_str() == given);
                known.map(RecordVerb::Change).ok_or_else(|| {
                    format!(
                        "operation: \"{given}\" is none of create, edit, delete, purge, restore, \
                         convert"
                    )
                })
            }
        }
    }
}

fn number(id: &str) -> Result<u64, String> {
    id.parse().map_err(|_| format!("ids: \"{id}\" is no number"))
}
