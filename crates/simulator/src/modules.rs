//! `GET /settings/modules`: the modules of an org.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::knobs::Knobs;
use super::oauth::{Bearer, invalid_token, scope_mismatch};
use super::orgs::Orgs;
use super::reply::json_response;
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;

/// Returns whether this is the path of the list.
pub(crate) fn is_path(path: &str) -> bool {
    let api = path.strip_prefix('/').and_then(|path| path.strip_suffix("/settings/modules"));
    api.and_then(Product::of_api_path).is_some()
}

/// The list that a GET asks for.
pub(crate) fn list(orgs: &Orgs, knobs: &Knobs, request: &Request, now: Timestamp) -> Response {
    let Some(bearer) = Bearer::of(orgs, request, now) else { return invalid_token(knobs) };
    if !knobs.modules_scope && !bearer.may_list_modules() {
        return scope_mismatch();
    }
    let module =
        |name: &String| json!({ "api_name": name, "module_name": name, "api_supported": true });
    let of_product = bearer.product.traits().modules.iter().map(|name| (*name).to_owned());
    let known: Vec<String> =
        if bearer.product.is_crm() { knobs.modules.to_vec() } else { of_product.collect() };
    let modules: Vec<Value> = known.iter().map(module).collect();
    json_response(200, &json!({ "modules": modules }))
}
