//! A call for records: who may make it, what it costs, and who answers it.
//!
//! The order is that of the watch API: the path (404), the access token and its scope (401), how
//! many calls (429), then the module (400, 403). A list costs one credit, the deleted two (v8 *API
//! Limits*).

use jiff::Timestamp;
use serde_json::json;

use super::super::knobs::Knobs;
use super::super::oauth::{self, Bearer};
use super::super::orgs::Orgs;
use super::super::reply::{bare, throttled, url_pattern};
use super::route::{Route, Target};
use super::row::View;
use super::store::Records;
use super::{deleted, list, scopes};
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;

/// The answer to a call for records.
pub(crate) fn answer(
    orgs: &mut Orgs,
    knobs: &Knobs,
    request: &Request,
    now: Timestamp,
) -> Response {
    let Some(route) = Route::of(&request.path) else { return url_pattern() };
    if request.method != route.target.method() {
        let message = "The http request method type is not a valid one";
        return bare(knobs.bad_method_status, "INVALID_REQUEST_METHOD", message, &json!({}));
    }
    let Some(bearer) = Bearer::of(orgs, request, now) else { return oauth::invalid_token(knobs) };
    if let Some(refused) = refused(&bearer, request, &route, knobs) {
        return refused;
    }
    let (org, product) = (bearer.org.as_str(), bearer.product);
    let Some(state) = orgs.get_mut(org) else { return oauth::invalid_token(knobs) };
    let cost = cost(&route.target);
    let (headers, within) = state.spend(request, cost, knobs, now);
    if !within {
        return throttled(knobs);
    }
    state.counters.read_credits += cost;
    let version = route.version;
    let view = View { org, knobs, product, version, digits: &state.digits, now };
    let refused = route.target.module().and_then(|name| unreadable(name, product, knobs));
    let mut response =
        refused.unwrap_or_else(|| answered(&state.records, &route.target, request, &view));
    response.headers.extend(headers);
    response
}

fn answered(records: &Records, target: &Target, request: &Request, view: &View<'_>) -> Response {
    match target {
        Target::List(name) => list::list(records.module(name), name, request, view),
        Target::One(name, id) => list::one(records.module(name), (name, id), request, view),
        Target::Deleted(name) => deleted::list(records.module(name), name, request, view),
    }
}

/// The refusal of a call whose path is not the product's, or whose token has no scope for it.
fn refused(bearer: &Bearer, request: &Request, route: &Route, knobs: &Knobs) -> Option<Response> {
    let (product, version) = (bearer.product, route.version);
    let is_own = request.path.starts_with(&format!("{}/", product.api_path(version)));
    if !is_own || !product.has(version) {
        return Some(url_pattern());
    }
    let suffices = scopes::suffice(&bearer.scopes, &route.target, product, knobs);
    (!suffices).then(oauth::scope_mismatch)
}

/// The refusal of a module that cannot be read.
pub(crate) fn unreadable(module: &str, product: Product, knobs: &Knobs) -> Option<Response> {
    if !knobs.watches(product, module) || module == "users" {
        let message = "the module name given seems to be invalid";
        return Some(bare(400, "INVALID_MODULE", message, &json!({})));
    }
    if knobs.records.forbidden_modules.contains(module) {
        let details = json!({ "permissions": [format!("Crm_Implied_View_{module}")] });
        return Some(bare(403, "NO_PERMISSION", "permission denied", &details));
    }
    None
}

fn cost(target: &Target) -> u64 {
    match target {
        Target::List(_) | Target::One(..) => 1,
        Target::Deleted(_) => 2,
    }
}
