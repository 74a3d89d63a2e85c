//! GET: one row for each channel and module, in pages.
//!
//! `count` and the page size count rows, so a channel may straddle two pages (v7 *Get Notification
//! Details*: its sample has three rows for two channels). An empty list is a 204 without a body.

use serde_json::{Value, json};

use super::channel::{Channel, listed, module_id_in, module_uri, parse_digits};
use super::condition;
use super::faults::Fault;
use super::operation::Write;
use super::org::OrgState;
use super::reply::{INVALID, bare, json_response};
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;
use crate::model::time;

/// The list that a GET asks for.
pub(crate) fn list(state: &OrgState, request: &Request, write: &Write<'_>) -> Response {
    let filter = match Filter::of(request, write) {
        Ok(filter) => filter,
        Err(response) => return response,
    };
    let mut rows = filter.rows(state, write);
    let skipped = filter.page.saturating_sub(1).saturating_mul(filter.per_page);
    let page = rows.by_ref().skip(skipped).take(filter.per_page);
    let page: Vec<Value> = page.map(|(channel, module)| row(channel, module, write)).collect();
    if page.is_empty() && write.knobs.empty_list_status == 204 {
        return Response::empty(204);
    }
    let info = json!({
        "per_page": filter.per_page,
        "count": page.len(),
        "page": filter.page,
        "more_records": rows.next().is_some(),
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
        if module.as_ref().is_some_and(|module| !write.knobs.watches(write.product, module)) {
            return Err(bare(
                400,
                "INVALID_MODULE",
                "the module name given seems to be invalid",
                &json!({}),
            ));
        }
        let per_page = number("per_page", page_max)?.min(page_max);
        Ok(Filter { channel, module, page: number("page", 1)?, per_page })
    }

    /// The entries of the list: all are counted, and only those of the page become rows.
    fn rows<'a>(
        &'a self,
        state: &'a OrgState,
        write: &'a Write<'_>,
    ) -> impl Iterator<Item = (&'a Channel, &'a str)> {
        let is_asked_for = |channel: &&Channel| {
            self.channel.is_none_or(|id| id == channel.id)
                && shown(channel, write)
                && !lags(state, channel, write)
        };
        let modules =
            |channel: &'a Channel| channel.events.iter().map(move |(module, _)| (channel, module));
        let is_wanted = |module: &str| self.module.as_ref().is_none_or(|wanted| wanted == module);
        let channels = state.channels.values().filter(is_asked_for).flat_map(modules);
        channels.filter(move |(_, module)| is_wanted(module))
    }
}

fn shown(channel: &Channel, write: &Write<'_>) -> bool {
    let omitted = |fault: &Fault| matches!(fault, Fault::ListOmits { channel: id } if *id == channel.id.to_string());
    let until = time::after(channel.expiry, write.knobs.expired_shown.0);
    !write.faults.iter().any(omitted)
        && (until > write.now || write.faults.contains(&Fault::ListShowsExpired))
}

/// True while lists do not show it yet.
fn lags(state: &OrgState, channel: &Channel, write: &Write<'_>) -> bool {
    let made = state.made_at.get(&channel.id);
    made.is_some_and(|made| write.now < time::after(*made, write.knobs.list_lag.0))
}

fn row(channel: &Channel, module: &str, write: &Write<'_>) -> Value {
    let mut row = json!({
        "notify_on_related_action": channel.related,
        "channel_expiry": write.knobs.echo(channel.expiry),
        "return_affected_field_values": channel.affected_values,
        "resource_uri": module_uri(write.base, write.product, write.knobs, module),
        "resource_id": module_id_in(write.digits, module),
        "notify_url": channel.notify_url,
        "resource_name": module,
        "fields": null,
        "notification_condition": condition::listed(channel.condition.as_ref()),
        "channel_id": channel.id.to_string(),
        "events": listed(&channel.events, module),
        "token": channel.token,
    });
    // Recorded rows of Bigin lack the key.
    if write.product == Product::Bigin
        && let Some(row) = row.as_object_mut()
    {
        row.remove("notification_condition");
    }
    row
}

fn mistyped(param: &str) -> Response {
    bare(
        400,
        "INVALID_DATA",
        INVALID,
        &json!({ "param_name": param, "expected_data_type": "long" }),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::knobs::Length;
    use super::super::testing::{REFRESH, World, body, channel};
    use super::super::{Fault, Knobs};
    use super::*;

    fn two_channels() -> World {
        let mut world = World::new(Knobs::default());
        let channels = [
            channel("10000", &["Contacts.all", "Deals.create"]),
            channel("9007199254740993", &["Leads.edit"]),
        ];
        assert_eq!(world.write("POST", &channels).0, 201);
        world
    }

    #[test]
    fn a_row_is_a_channel_and_a_module() {
        let mut world = two_channels();
        let page = body(&world.send("GET", &[], &Value::Null));
        assert_eq!(
            page["info"],
            json!({"per_page": 200, "count": 3, "page": 1, "more_records": false})
        );
        let expected = json!({
            "notify_on_related_action": true,
            "channel_expiry": "2026-11-23T09:00:00-08:00",
            "return_affected_field_values": false,
            "resource_uri": "https://www.zohoapis.test/crm/v2/Contacts",
            "resource_id": "3652397000000002179",
            "notify_url": "https://hooks.test/zoho?k=v",
            "resource_name": "Contacts",
            "fields": null,
            "notification_condition": null,
            "channel_id": "10000",
            "events": ["Contacts.edit", "Contacts.create", "Contacts.delete"],
            "token": "t0",
        });
        assert_eq!(page["watch"][0], expected);
        assert_eq!(page["watch"][2]["channel_id"], "9007199254740993");
    }

    #[test]
    fn pages_count_rows_and_are_capped_at_200() {
        let mut world = two_channels();
        let page = body(&world.send("GET", &[("page", "1"), ("per_page", "1")], &Value::Null));
        assert_eq!(
            page["info"],
            json!({"per_page": 1, "count": 1, "page": 1, "more_records": true})
        );
        let page = body(&world.send("GET", &[("page", "2"), ("per_page", "2")], &Value::Null));
        assert_eq!(
            page["info"],
            json!({"per_page": 2, "count": 1, "page": 2, "more_records": false})
        );
        let page = body(&world.send("GET", &[("per_page", "999")], &Value::Null));
        assert_eq!(page["info"]["per_page"], 200);
        assert_eq!(
            world.send("GET", &[("page", "18446744073709551615")], &Value::Null).status,
            204
        );
    }

    #[test]
    fn filters_narrow_and_nonsense_is_refused() {
        let mut world = two_channels();
        type Row<'a> = (&'a [(&'a str, &'a str)], u16, usize);
        let table: [Row<'_>; 6] = [
            (&[("channel_id", "10000")], 200, 2),
            (&[("module", "Deals")], 200, 1),
            (&[("channel_id", "9007199254740993"), ("module", "Deals")], 204, 0),
            (&[("channel_id", "x")], 400, 0),
            (&[("page", "0")], 400, 0),
            (&[("module", "Meetings")], 400, 0),
        ];
        for (query, status, count) in table {
            let response = world.send("GET", query, &Value::Null);
            assert_eq!(response.status, status, "{query:?}");
            if status == 200 {
                assert_eq!(body(&response)["info"]["count"], count, "{query:?}");
            }
        }
    }

    #[test]
    fn an_empty_list_is_a_204_without_a_body_unless_the_knob_says_200() {
        let empty = World::new(Knobs::default()).send("GET", &[], &Value::Null);
        assert_eq!((empty.status, empty.body.len(), empty.header("content-type")), (204, 0, None));
        let empty = World::new(Knobs { empty_list_status: 200, ..Knobs::default() }).send(
            "GET",
            &[],
            &Value::Null,
        );
        assert_eq!((empty.status, &body(&empty)["watch"]), (200, &json!([])));
    }

    #[test]
    fn an_expired_channel_is_gone_unless_knob_or_fault_shows_it() {
        let mut world = two_channels();
        world.pass(3599);
        assert_eq!(world.rows().len(), 3);
        world.pass(1);
        world.access_token =
            body(&world.token_call(REFRESH))["access_token"].as_str().unwrap().to_owned();
        assert_eq!(world.rows().len(), 0);
        world.fault(Fault::ListShowsExpired);
        assert_eq!(world.rows().len(), 3);
        let shown = Knobs { expired_shown: Length(Duration::from_secs(600)), ..Knobs::default() };
        world.zoho.set_knobs(shown).unwrap();
        assert_eq!(world.rows().len(), 3);
        world.pass(600);
        assert_eq!(world.rows().len(), 0);
    }

    #[test]
    fn a_list_can_be_made_to_leave_a_channel_out() {
        let mut world = two_channels();
        world.fault(Fault::ListOmits { channel: "10000".to_owned() });
        assert_eq!(world.rows().len(), 1);
        assert_eq!(world.rows().len(), 3);
    }
}
