//! `GET /settings/fields?module=...`: the fields of a module (v2 to v8 *Fields Metadata*).
//!
//! A module has the fields of every record here, and those that a test ever gave a value of. Zoho's
//! SDKs ask before the first record of a module, to know how to read each value.

use serde_json::{Value, json};

use super::super::reply::{bare, json_response};
use super::field_kind::FieldKind;
use super::modules::unknown;
use super::row::{OWNER, View, name_field};
use super::store::{Module, Records};
use crate::model::exchange::{Request, Response};
use crate::model::secret::Fingerprint;

/// The list that a GET asks for.
pub(crate) fn list(records: &Records, request: &Request, view: &View<'_>) -> Response {
    let Some(module) = request.param("module").filter(|module| !module.is_empty()) else {
        let message = "One of the expected parameter is missing";
        let details = json!({ "param_name": "module", "param": "module" });
        return bare(400, "REQUIRED_PARAM_MISSING", message, &details);
    };
    if let Some(refused) = unknown(module, "the module name given seems to be invalid", view) {
        return refused;
    }
    let fields = of(module, records.module(module));
    let shown = fields.into_iter().filter(|(name, _)| !view.knobs.records.hides(module, name));
    let rows: Vec<Value> = shown.map(|field| row(module, field, view)).collect();
    json_response(200, &json!({ "fields": rows }))
}

fn of<'a>(module: &'a str, held: &'a Module) -> Vec<(&'a str, FieldKind)> {
    let mut fields = vec![
        (OWNER, FieldKind::User),
        (name_field(module), FieldKind::Text),
        ("Created_By", FieldKind::User),
        ("Modified_By", FieldKind::User),
        ("Created_Time", FieldKind::Time),
        ("Modified_Time", FieldKind::Time),
    ];
    if module == "Leads" {
        fields.push(("Converted__s", FieldKind::Truth));
    }
    for (name, kind) in &held.fields {
        if !fields.iter().any(|(known, _)| known == name) {
            fields.push((name, *kind));
        }
    }
    fields
}

fn row(module: &str, (name, kind): (&str, FieldKind), view: &View<'_>) -> Value {
    let (data_type, json_type) = kind.words();
    let low = FIRST_FIELD + Fingerprint::of(&["field", module, name]).0 % FIELDS;
    let label = name.trim_end_matches("__s").replace('_', " ");
    let is_name = name == name_field(module);
    json!({
        "id": format!("{}{low:012}", view.digits),
        "api_name": name,
        "field_label": label,
        "display_label": label,
        "data_type": data_type,
        "json_type": json_type,
        "length": 255,
        "type": "used",
        "visible": true,
        "read_only": false,
        "field_read_only": matches!(kind, FieldKind::Time),
        "custom_field": false,
        "system_mandatory": is_name,
        "created_source": "default",
        "lookup": {},
        "multiselectlookup": {},
        "pick_list_values": [],
        "unique": {},
        "formula": {},
        "currency": {},
        "auto_number": {},
    })
}

/// Ids of fields lie above those of modules.
const FIRST_FIELD: u64 = 1_000_000;
const FIELDS: u64 = 90_000_000;

#[cfg(test)]
mod tests;
