//! A call for records, or for what a client asks beside them: who may make it, what it costs, and
//! who answers it.
//!
//! The order is that of the watch API: the path (404), the access token and its scope (401), how
//! many calls (429), then the module (400, 403). A call costs one credit, but the deleted cost two,
//! and a query one to three (v8 *API Limits*).

use jiff::Timestamp;
use serde_json::json;

use super::super::knobs::Knobs;
use super::super::oauth::{self, Bearer};
use super::super::orgs::Orgs;
use super::super::reply::{bare, throttled, url_pattern};
use super::coql::CoqlQuery;
use super::route::{Route, Target};
use super::row::View;
use super::store::Records;
use super::users::{self, USERS};
use super::{company, deleted, fields, list, modules, scopes};
use crate::model::exchange::{Request, Response};
use crate::model::version::ApiVersion;

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
    let query = (route.target == Target::Coql)
        .then(|| CoqlQuery::of(request, bearer.product, route.version, &knobs.records));
    let task = ReadTask { version: route.version, target: route.target, query };
    if let Some(refused) = task.refused(&bearer, request, knobs) {
        return refused;
    }
    let (org, product) = (bearer.org.as_str(), bearer.product);
    let Some(state) = orgs.get_mut(org) else { return oauth::invalid_token(knobs) };
    let (headers, within) = state.spend(request, task.credits(), knobs, now);
    if !within {
        return throttled(knobs);
    }
    state.counters.read_credits += task.credits();
    let version = task.version;
    let view = View { org, knobs, product, version, digits: &state.digits, now };
    let mut response = task.answered(&state.records, request, &view);
    response.headers.extend(headers);
    response
}

/// A call that was understood, as far as its path goes.
struct ReadTask {
    version: ApiVersion,
    target: Target,
    /// The query, if it is one; or the refusal of its text.
    query: Option<Result<CoqlQuery, Response>>,
}

impl ReadTask {
    /// The refusal of a call whose path is not the product's, or whose token has no scope for it.
    fn refused(&self, bearer: &Bearer, request: &Request, knobs: &Knobs) -> Option<Response> {
        let (product, version) = (bearer.product, self.version);
        let is_own = request.path.starts_with(&format!("{}/", product.api_path(version)));
        let is_there = self.query.is_none() || product.traits().coql;
        if !is_own || !is_there || !product.has(version) {
            return Some(url_pattern());
        }
        let held = bearer.scopes.as_slice();
        let suffices = scopes::suffice(held, &self.target, product, knobs)
            && self.module().is_none_or(|module| scopes::reads(held, module, product, knobs));
        (!suffices).then(oauth::scope_mismatch)
    }

    /// The module whose records it reads.
    fn module(&self) -> Option<&str> {
        match &self.query {
            Some(Ok(query)) => Some(&query.module),
            Some(Err(_)) | None => self.target.module(),
        }
    }

    fn credits(&self) -> u64 {
        match (&self.target, &self.query) {
            (Target::Deleted(_), _) => 2,
            (_, Some(Ok(query))) => query.credits(),
            _ => 1,
        }
    }

    fn answered(&self, records: &Records, request: &Request, view: &View<'_>) -> Response {
        let message = if self.query.is_some() {
            "the given module is not supported in api"
        } else {
            "the module name given seems to be invalid"
        };
        let refused = self.module().and_then(|name| unreadable(name, message, view));
        if let Some(refused) = refused {
            return refused;
        }
        match (&self.target, &self.query) {
            (_, Some(Ok(query))) => query.answer(records.module(&query.module), view),
            (_, Some(Err(refused))) => refused.clone(),
            (Target::List(name), _) => list::list(records.module(name), name, request, view),
            (Target::One(name, id), _) => {
                list::one(records.module(name), (name, id), request, view)
            }
            (Target::Deleted(name), _) => deleted::list(records.module(name), name, request, view),
            (Target::Users, _) => users::list(records.module(USERS), request, view),
            (Target::User(id), _) => users::one(records.module(USERS), id, view),
            (Target::Company, _) => company::show(view),
            (Target::Modules, _) => modules::list(records, request, view),
            (Target::Fields, _) => fields::list(records, request, view),
            (Target::Coql, None) => url_pattern(),
        }
    }
}

/// The refusal of a module that cannot be read; users have a path of their own.
fn unreadable(module: &str, message: &str, view: &View<'_>) -> Option<Response> {
    if module == USERS {
        return Some(bare(400, "INVALID_MODULE", message, &json!({})));
    }
    modules::unknown(module, message, view)
}

#[cfg(test)]
mod tests;
