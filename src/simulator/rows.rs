//! GET: one row for each channel and module, in pages.
//!
//! `count` and the page size count rows, so a channel may straddle two pages (v7 *Get Notification Details*: its sample
//! has three rows for two channels). An empty list is a 204 without a body.

use serde_json::{Value, json};

use super::channel::{Channel, listed, module_id, module_uri};
use super::condition;
use super::faults::Fault;
use super::item::parse_digits;
use super::org::OrgState;
use super::reply::{INVALID, bare, json_response};
use super::watch::Write;
use crate::model::exchange::{Request, Response};
use crate::model::time;

/// The list that a GET asks for.
pub(crate) fn list(state: &OrgState, request: &Request, write: &Write<'_>) -> Response {
    let filter = match Filter::of(request, write) {
        Ok(filter) => filter,
        Err(response) => return response,
    };
    let rows: Vec<Value> = state.channels.values().flat_map(|channel| filter.rows(channel, write)).collect();
    let skipped = filter.page.saturating_sub(1).saturating_mul(filter.per_page);
    let page: Vec<&Value> = rows.iter().skip(skipped).take(filter.per_page).collect();
    if page.is_empty() && write.knobs.empty_list_status == 204 {
        return Response::empty(204);
    }
    let info = json!({
        "per_page": filter.per_page,
        "count": page.len(),
        "page": filter.page,
        "more_records": rows.len() > skipped.saturating_add(page.len()),
    });
    json_response(200, &json!({ "watch": page, "info": info }))
}

struct Filter {
    channel: Option<i64>,
    module: Option<String>,
    page: usize,
    per_page: usize,
}

impl Filter {
    fn of(request: &Request, write: &Write<'_>) -> Result<Filter, Response> {
        let number = |name: &str, default: usize| match request.param(name) {
            None => Ok(default),
            Some(text) => text.parse().ok().filter(|n| *n > 0).ok_or_else(|| mistyped(name)),
        };
        let page_max = write.knobs.page_max;
        let channel = match request.param("channel_id") {
            None => None,
            Some(text) => Some(parse_digits(text).ok_or_else(|| mistyped("channel_id"))?),
        };
        let module = request.param("module").map(str::to_owned);
        if module.as_ref().is_some_and(|module| !write.knobs.watches(module)) {
            return Err(bare(400, "INVALID_MODULE", "the module name given seems to be invalid", &json!({})));
        }
        let per_page = number("per_page", page_max)?.min(page_max);
        Ok(Filter { channel, module, page: number("page", 1)?, per_page })
    }

    fn rows(&self, channel: &Channel, write: &Write<'_>) -> Vec<Value> {
        if self.channel.is_some_and(|id| id != channel.id) || !shown(channel, write) {
            return Vec::new();
        }
        let modules = channel.events.iter().map(|(module, _)| module);
        let wanted = modules.filter(|module| self.module.as_ref().is_none_or(|wanted| wanted == module));
        wanted.map(|module| row(channel, module, write)).collect()
    }
}

fn shown(channel: &Channel, write: &Write<'_>) -> bool {
    let omitted = |fault: &Fault| matches!(fault, Fault::ListOmits { channel: id } if *id == channel.id.to_string());
    let until = time::after(channel.expiry, write.knobs.expired_shown.0);
    !write.faults.iter().any(omitted) && (until > write.now || write.faults.contains(&Fault::ListShowsExpired))
}

fn row(channel: &Channel, module: &str, write: &Write<'_>) -> Value {
    json!({
        "notify_on_related_action": channel.related,
        "channel_expiry": write.knobs.echo(channel.expiry),
        "return_affected_field_values": channel.affected_values,
        "resource_uri": module_uri(write.base, write.knobs, module),
        "resource_id": module_id(module),
        "notify_url": channel.notify_url,
        "resource_name": module,
        "fields": null,
        "notification_condition": condition::listed(channel.condition.as_ref()),
        "channel_id": channel.id.to_string(),
        "events": listed(&channel.events, module),
        "token": channel.token,
    })
}

fn mistyped(param: &str) -> Response {
    bare(400, "INVALID_DATA", INVALID, &json!({ "param_name": param, "expected_data_type": "long" }))
}
