//! `GET /settings/modules`: the modules of an org (v2 to v8 *Modules Metadata*).
//!
//! They are those of the product, those that the knob adds, and each that a record was ever in.
//! Nothing changes them, so that with `If-Modified-Since` there is nothing to list.

use serde_json::{Value, json};

use super::super::channel::module_id_in;
use super::super::reply::{bare, json_response};
use super::row::View;
use super::store::Records;
use super::users::USERS;
use crate::model::exchange::{Request, Response};

/// The list that a GET asks for.
pub(crate) fn list(records: &Records, request: &Request, view: &View<'_>) -> Response {
    if request.header("if-modified-since").is_some() {
        return Response::empty(304);
    }
    let of_product = || view.product.traits().modules.iter().map(|name| (*name).to_owned());
    let mut known: Vec<String> =
        if view.product.is_crm() { view.knobs.modules.clone() } else { of_product().collect() };
    for (name, _) in records.modules() {
        if !known.iter().any(|known| known == name) {
            known.push(name.to_owned());
        }
    }
    let modules: Vec<Value> = known.iter().map(|name| row(name, view)).collect();
    json_response(200, &json!({ "modules": modules }))
}

/// The refusal of a module that is not there, or that the user may not see.
pub(super) fn unknown(module: &str, message: &str, view: &View<'_>) -> Option<Response> {
    if !view.knobs.watches(view.product, module) {
        return Some(bare(400, "INVALID_MODULE", message, &json!({})));
    }
    if view.knobs.records.forbidden_modules.contains(module) {
        let details = json!({ "permissions": [format!("Crm_Implied_View_{module}")] });
        return Some(bare(403, "NO_PERMISSION", "permission denied", &details));
    }
    None
}

fn row(name: &str, view: &View<'_>) -> Value {
    // Names of Zoho's newer modules and fields end so; those of customers cannot.
    let is_zohos = name.ends_with("__s") || name == USERS;
    let is_own = is_zohos || view.product.traits().modules.contains(&name);
    let label = name.trim_end_matches("__s").replace('_', " ");
    json!({
        "id": module_id_in(view.digits, name),
        "api_name": name,
        "module_name": name,
        "plural_label": label,
        "singular_label": label.trim_end_matches('s'),
        "generated_type": if is_own { "default" } else { "custom" },
        "api_supported": true,
        "visible": true,
        "viewable": true,
        "modified_time": null,
    })
}
