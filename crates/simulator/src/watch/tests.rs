//! Tables of requests and replies; the bodies are those of the documents and of captured traffic.

use serde_json::{Value, json};

use super::super::knobs::{
    Length, MissingEvent, PatchEvents, PatchExpiry, PatchToken, PostConflict, PostLive,
    UndocumentedKeys,
};
use super::super::testing::{World, body, channel};
use super::super::{Fault, Knobs, Org};
use crate::model::product::Product;

const DAY: i64 = 86_400;

fn world() -> World {
    World::new(Knobs::default())
}

/// A world with channel 7 on `Deals.all` and `Leads.create`, live for a day.
fn with_seven(knobs: Knobs) -> World {
    let mut world = World::new(knobs);
    let mut seven = channel("7", &["Deals.all", "Leads.create"]);
    seven["channel_expiry"] = json!(world.ahead(DAY));
    assert_eq!(world.write("POST", &[seven]).0, 201);
    world
}

fn row_of<'a>(rows: &'a [Value], module: &str) -> &'a Value {
    rows.iter().find(|row| row["resource_name"] == module).expect("a row of this module")
}

/// As recorded on 2026-10-09 (NangoHQ/integration-templates, `integrations/zoho-bigin`), less the
/// digits of the org.
#[test]
fn bigin_is_answered_as_recorded() {
    let knobs = Knobs { zone: "+03:00".to_owned(), ..Knobs::default() };
    let mut world = World::with_org(knobs, Org::of(Product::Bigin, "a"));
    world.version = "v2";
    let sent = json!({
        "channel_id": "90210",
        "events": ["Contacts.create"],
        "notify_url": "https://example.com/webhook",
    });
    let (status, items) = world.write("POST", &[sent]);
    let uri = "https://www.zohoapis.test/bigin/v1/Contacts";
    let granted = "2026-11-23T21:00:00+03:00";
    assert_eq!(status, 201);
    assert_eq!(
        items[0],
        json!({
            "code": "SUCCESS",
            "details": { "events": [{
                "channel_expiry": granted,
                "resource_uri": uri,
                "resource_id": "3652397000000002179",
                "resource_name": "Contacts",
                "channel_id": "90210",
            }] },
            "message": "Successfully subscribed for actions-watch of the given module",
            "status": "success",
        })
    );
    let listed = json!({
        "notify_on_related_action": false,
        "channel_expiry": granted,
        "return_affected_field_values": false,
        "resource_uri": uri,
        "resource_id": "3652397000000002179",
        "notify_url": "https://example.com/webhook",
        "resource_name": "Contacts",
        "fields": null,
        "channel_id": "90210",
        "events": ["Contacts.create"],
        "token": null,
    });
    assert_eq!(world.rows(), [listed]);
    let unknown = world.send("DELETE", &[("channel_ids", "7")], &Value::Null);
    assert_eq!(
        (unknown.status, &body(&unknown)["watch"][0]["code"]),
        (202, &json!("NOT_SUBSCRIBED"))
    );
    let (status, items) = world.write("POST", &[channel("8", &["Deals.create"])]);
    assert_eq!((status, &items[0]["code"]), (400, &json!("INVALID_DATA")));
    world.version = "v8";
    assert_eq!(world.send("GET", &[], &Value::Null).status, 404);
}

#[test]
fn a_key_that_no_source_shows_is_ignored_or_refused() {
    for (undocumented_keys, status) in
        [(UndocumentedKeys::Ignored, 201), (UndocumentedKeys::Refused, 400)]
    {
        let knobs = Knobs { undocumented_keys, ..Knobs::default() };
        let mut world = World::with_org(knobs, Org::of(Product::Bigin, "a"));
        world.version = "v2";
        let mut sent = channel("7", &["Contacts.create"]);
        assert_eq!(world.write("POST", &[sent.clone()]).0, 201);
        sent["return_affected_field_values"] = json!(true);
        let (written, items) = world.write("POST", &[sent]);
        assert_eq!(written, status, "{items:?}");
    }
}

#[test]
fn a_list_that_lags_shows_a_channel_late_and_a_renewed_one_at_once() {
    let list_lag = Length(std::time::Duration::from_secs(5));
    let mut world = World::new(Knobs { list_lag, ..Knobs::default() });
    world.write("POST", &[channel("7", &["Deals.all"])]);
    assert!(world.send("GET", &[], &Value::Null).body.is_empty());
    world.pass(5);
    assert_eq!(world.rows().len(), 1);
    world.write("POST", &[channel("7", &["Deals.all"])]);
    assert_eq!(world.rows().len(), 1);
}

#[test]
fn an_org_answers_to_tokens_and_on_paths_of_its_product_alone() {
    let mut world = World::with_org(Knobs::default(), Org::of(Product::Recruit, "a"));
    world.version = "v2";
    assert_eq!(world.send("GET", &[], &Value::Null).status, 204);
    let mut request = world.request("GET", &[], &Value::Null);
    request.path = "/crm/v2/actions/watch".to_owned();
    assert_eq!(world.answer(&request).reply.response().unwrap().status, 404);
    let scopes = vec!["ZohoCRM.notifications.ALL".to_owned()];
    let org = Org { scopes, ..Org::of(Product::Recruit, "a") };
    let mut world = World::with_org(Knobs::default(), org);
    world.version = "v2";
    assert_eq!(world.send("GET", &[], &Value::Null).status, 401);
}

#[test]
fn the_sample_of_kaizen_14_is_answered_as_printed_there() {
    let mut world = world();
    let item = json!({
        "channel_id": "10000007828",
        "events": ["Contacts.create", "Accounts.edit", "Deals.create"],
        "channel_expiry": world.ahead(DAY),
        "token": "contacts_and_deals7828",
        "notify_url": "https://hooks.test/n",
    });
    let (status, items) = world.write("POST", &[item]);
    let entry = |module: &str, id: &str| {
        json!({
            "channel_expiry": "2026-11-24T08:00:00-08:00",
            "resource_uri": format!("https://www.zohoapis.test/crm/v2/{module}"),
            "resource_id": id,
            "resource_name": module,
            "channel_id": "10000007828",
        })
    };
    let expected = json!({
        "code": "SUCCESS",
        "details": {"events": [
            entry("Accounts", "3652397000000002177"),
            entry("Contacts", "3652397000000002179"),
            entry("Deals", "3652397000000002181"),
        ]},
        "message": "Successfully subscribed for actions-watch of the given module",
        "status": "success",
    });
    assert_eq!((status, items), (201, vec![expected]));
}

#[test]
fn one_second_over_the_maximum_of_each_version_gives_one_hour_and_success() {
    let table = [
        ("v2", DAY),
        ("v2.1", DAY),
        ("v3", DAY),
        ("v4", 7 * DAY),
        ("v6", 7 * DAY),
        ("v8", 7 * DAY),
    ];
    for (version, max) in table {
        for (asked, hours) in [(max, max / 3600), (max + 1, 1)] {
            let mut world = world();
            world.version = version;
            let mut item = channel("1", &["Deals.all"]);
            item["channel_expiry"] = json!(world.ahead(asked));
            let (status, items) = world.write("POST", &[item]);
            let echoed: jiff::Timestamp = items[0]["details"]["events"][0]["channel_expiry"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(
                (status, echoed.duration_since(world.now).as_hours()),
                (201, hours),
                "{version} {asked}"
            );
        }
    }
}

#[test]
fn items_answer_in_order_and_good_with_bad_is_a_207() {
    let mut world = world();
    let mut nameless = channel("1", &["Deals.all"]);
    nameless.as_object_mut().unwrap().remove("channel_id");
    let (status, items) = world.write(
        "POST",
        &[channel("1", &["Deals.all"]), nameless.clone(), channel("3", &["Leads.edit"])],
    );
    assert_eq!(status, 207);
    assert_eq!(
        items.iter().map(|item| item["code"].as_str().unwrap()).collect::<Vec<_>>(),
        ["SUCCESS", "MANDATORY_NOT_FOUND", "SUCCESS"]
    );
    assert_eq!(
        items[1],
        json!({
            "code": "MANDATORY_NOT_FOUND",
            "details": {"api_name": "channel_id", "json_path": "$.watch[1].channel_id"},
            "message": "required field not found",
            "status": "error",
        })
    );
    assert_eq!(world.write("POST", &[nameless]).0, 400);
}

#[test]
fn statuses_of_failed_items_are_knobs() {
    let mut world =
        World::new(Knobs { all_bad_status: 202, partly_bad_status: 202, ..Knobs::default() });
    let bad = channel("1", &["Meetings.all"]);
    assert_eq!(world.write("POST", std::slice::from_ref(&bad)).0, 202);
    assert_eq!(world.write("POST", &[bad, channel("2", &["Deals.all"])]).0, 202);
}

/// An expiry in the past and a raw space in a URL: a reply kept in Zoho's own Postman collection
/// (v2.1). Ids of another org in a condition: a public v6 run.
#[test]
fn what_zoho_was_seen_to_grant_is_granted() {
    let mut past = channel("1", &["Contacts.create"]);
    past["channel_expiry"] = json!("2018-02-02T10:30:00+05:30");
    past["notify_url"] = json!("https://www.example.com/callback?authorization=Zoho-oauthtoken 1");
    let mut ids = channel("2", &["Deals.all"]);
    let field = json!({"field": {"api_name": "Stage", "id": "554023000000000525"}});
    ids["notification_condition"] = json!([{
        "type": "field_selection",
        "module": {"api_name": "Deals", "id": "554023000000000131"},
        "field_selection": field,
    }]);
    let custom = channel("3", &["BTEC_Teachers.create"]);
    let mut world = world();
    let (status, items) = world.write("POST", &[past, ids, custom]);
    assert_eq!(status, 201, "{items:?}");
    let hour = world
        .zoho
        .knobs
        .echo(crate::model::time::after(world.now, std::time::Duration::from_secs(3600)));
    assert_eq!(items[0]["details"]["events"][0]["channel_expiry"], json!(hour));
}

#[test]
fn each_kind_of_bad_item_is_told_apart() {
    let long = "x".repeat(51);
    let table = [
        ("channel_id", json!("abc"), "INVALID_DATA", "$.watch[0].channel_id"),
        ("channel_id", json!(0), "INVALID_DATA", "$.watch[0].channel_id"),
        ("channel_id", json!("9223372036854775808"), "INVALID_DATA", "$.watch[0].channel_id"),
        ("events", Value::Null, "MANDATORY_NOT_FOUND", "$.watch[0].events"),
        ("events", json!([]), "INVALID_DATA", "$.watch[0].events"),
        ("events", json!(["Deals.all", "Meetings.edit"]), "INVALID_DATA", "$.watch[0].events[1]"),
        ("events", json!(["Deals.update"]), "INVALID_DATA", "$.watch[0].events[0]"),
        ("notify_url", Value::Null, "MANDATORY_NOT_FOUND", "$.watch[0].notify_url"),
        ("notify_url", json!("hooks.test"), "INVALID_DATA", "$.watch[0].notify_url"),
        ("token", json!(long), "INVALID_DATA", "$.watch[0].token"),
        ("token", json!(7), "INVALID_DATA", "$.watch[0].token"),
        ("channel_expiry", json!("tomorrow"), "INVALID_DATA", "$.watch[0].channel_expiry"),
        (
            "channel_expiry",
            json!("2026-11-24T01:00:00.000Z"),
            "INVALID_DATA",
            "$.watch[0].channel_expiry",
        ),
        (
            "notify_on_related_action",
            json!("yes"),
            "INVALID_DATA",
            "$.watch[0].notify_on_related_action",
        ),
        ("notification_condition", json!({}), "INVALID_DATA", "$.watch[0].notification_condition"),
    ];
    for (key, value, code, path) in table {
        let mut item = channel("1", &["Deals.all"]);
        item[key] = value.clone();
        let (status, items) = world().write("POST", &[item]);
        assert_eq!(
            (status, &items[0]["code"], &items[0]["details"]["json_path"]),
            (400, &json!(code), &json!(path)),
            "{key} {value}"
        );
    }
}

#[test]
fn what_is_wrong_with_the_whole_call_comes_bare() {
    let mut world = World::new(Knobs { batch_max: 2, ..Knobs::default() });
    let three: Vec<Value> = (1..=3).map(|n| channel(&n.to_string(), &["Deals.all"])).collect();
    let table = [
        (json!({"watch": three}), "INVALID_DATA"),
        (json!({"watch": []}), "INVALID_DATA"),
        (json!({"watch": "x"}), "INVALID_DATA"),
        (json!({}), "MANDATORY_NOT_FOUND"),
        (Value::Null, "INVALID_DATA"),
    ];
    for (sent, code) in table {
        let response = world.send("POST", &[], &sent);
        assert_eq!((response.status, &body(&response)["code"]), (400, &json!(code)), "{sent}");
    }
    assert!(world.rows().is_empty());
}

#[test]
fn an_id_may_be_a_number_and_keeps_all_nineteen_digits() {
    let mut world = world();
    let mut item = channel("", &["Deals.all"]);
    item["channel_id"] = json!(i64::MAX);
    let (_, items) = world.write("POST", &[item]);
    assert_eq!(items[0]["details"]["events"][0]["channel_id"], "9223372036854775807");
}

#[test]
fn keys_that_a_version_does_not_know_are_passed_over() {
    let mut world = world();
    world.version = "v2";
    let mut item = channel("1", &["Deals.all"]);
    item["return_affected_field_values"] = json!(true);
    item["notification_condition"] = json!("nonsense");
    assert_eq!(world.write("POST", &[item]).0, 201);
    assert_eq!(world.rows()[0]["return_affected_field_values"], false);
}

#[test]
fn post_of_a_live_id_renews_it() {
    let mut world = with_seven(Knobs::default());
    world.pass(3000);
    let mut again = channel("7", &["Deals.edit"]);
    again["channel_expiry"] = json!(world.ahead(DAY));
    assert_eq!(world.write("POST", &[again]).0, 201);
    assert_eq!(world.rows().len(), 1);
    let counters = world.zoho.counters("a").unwrap();
    assert_eq!((counters.channels_created, counters.channels_reenabled), (1, 1));
}

#[test]
fn post_of_a_live_id_can_merge_or_conflict() {
    let mut merging = with_seven(Knobs { post: PostLive::Merge, ..Knobs::default() });
    merging.write("POST", &[channel("7", &["Contacts.edit"])]);
    assert_eq!(merging.rows().len(), 3);
    let mut strict =
        with_seven(Knobs { post_conflict: PostConflict::DuplicateData, ..Knobs::default() });
    let (status, items) = strict.write("POST", &[channel("7", &["Contacts.edit"])]);
    assert_eq!((status, &items[0]["code"]), (400, &json!("DUPLICATE_DATA")));
}

#[test]
fn put_replaces_everything() {
    let mut world = with_seven(Knobs::default());
    let item = json!({"channel_id": "7", "events": ["Deals.create"], "notify_url": "https://hooks.test/2"});
    let (status, items) = world.write("PUT", &[item]);
    assert_eq!(
        (status, &items[0]["message"]),
        (200, &json!("Successfully subscribed for actions-watch of the given module"))
    );
    let rows = world.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!(
        (&rows[0]["token"], &rows[0]["events"], &rows[0]["channel_expiry"]),
        (&Value::Null, &json!(["Deals.create"]), &json!("2026-11-23T09:00:00-08:00"))
    );
}

#[test]
fn patch_keeps_what_it_does_not_name() {
    let mut world = with_seven(Knobs::default());
    let (status, items) =
        world.write("PATCH", &[json!({"channel_id": 7, "events": ["Deals.create"]})]);
    assert_eq!(
        (status, &items[0]["message"]),
        (200, &json!("Successfully updated the subscribe details"))
    );
    let rows = world.rows();
    assert_eq!(
        (rows.len(), &rows[0]["token"], &rows[0]["channel_expiry"]),
        (1, &json!("t0"), &json!("2026-11-24T08:00:00-08:00"))
    );
}

#[test]
fn patch_as_it_was_observed_nulls_the_token_adds_events_and_gives_an_hour() {
    let knobs = Knobs {
        patch: PatchToken::NullsToken,
        patch_events: PatchEvents::Add,
        patch_expiry: PatchExpiry::OneHour,
        ..Knobs::default()
    };
    let mut world = with_seven(knobs);
    world.write("PATCH", &[json!({"channel_id": "7", "events": ["Contacts.create"]})]);
    let rows = world.rows();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["token"], &rows[0]["channel_expiry"]),
        (&Value::Null, &json!("2026-11-23T09:00:00-08:00"))
    );
}

#[test]
fn patch_without_events_or_url_is_as_strict_as_the_knobs() {
    let item = json!({"channel_id": "7", "token": "new"});
    assert_eq!(with_seven(Knobs::default()).write("PATCH", std::slice::from_ref(&item)).0, 400);
    let lenient = Knobs { patch_needs_events: false, ..Knobs::default() };
    assert_eq!(with_seven(lenient.clone()).write("PATCH", std::slice::from_ref(&item)).0, 200);
    let strict = Knobs { patch_needs_notify_url: true, ..lenient };
    assert_eq!(with_seven(strict).write("PATCH", &[item]).0, 400);
}

#[test]
fn delete_events_takes_just_those_and_the_last_takes_the_channel() {
    let mut world = with_seven(Knobs::default());
    let (status, items) = world.write(
        "PATCH",
        &[json!({"_delete_events": true, "channel_id": "7", "events": ["Deals.edit"]})],
    );
    let entry = &items[0]["details"]["events"][0];
    assert_eq!(
        (status, &items[0]["message"]),
        (200, &json!("Successfully removed the subscribe details"))
    );
    assert_eq!((&entry["resource_name"], entry.get("channel_expiry")), (&json!("Deals"), None));
    let rows = world.rows();
    assert_eq!(row_of(&rows, "Deals")["events"], json!(["Deals.create", "Deals.delete"]));
    assert_eq!(row_of(&rows, "Leads")["token"], "t0");
    world
        .write("PATCH", &[json!({"_delete_events": true, "channel_id": "7", "events": ["Deals.all", "Leads.create"]})]);
    assert!(world.rows().is_empty());
}

#[test]
fn delete_events_of_what_is_not_subscribed_is_a_knob() {
    let item = json!({"_delete_events": true, "channel_id": "7", "events": ["Contacts.edit"]});
    assert_eq!(with_seven(Knobs::default()).write("PATCH", std::slice::from_ref(&item)).0, 200);
    let strict = Knobs { delete_missing_event: MissingEvent::InvalidData, ..Knobs::default() };
    assert_eq!(with_seven(strict).write("PATCH", &[item]).0, 400);
}

#[test]
fn an_expired_channel_is_not_subscribed_word_for_word() {
    let mut world = world();
    world.write("POST", &[channel("1", &["Deals.all"])]);
    world.pass(3599);
    assert_eq!(world.write("PATCH", &[channel("1", &["Deals.all"])]).0, 200);
    world
        .zoho
        .hand("a", &super::super::Hand::SetExpiry { channel: 1, expiry: world.now }, world.now)
        .unwrap();
    let response = world.send("PATCH", &[], &json!({"watch": [channel("1", &["Deals.all"])]}));
    let real = r#"{"watch":[{"code":"NOT_SUBSCRIBED","details":{},"message":"Not subscribed for actions-watch of the given channel","status":"error"}]}"#;
    assert_eq!((response.status, std::str::from_utf8(&response.body).unwrap()), (400, real));
    assert_eq!(world.write("PUT", &[channel("1", &["Deals.all"])]).0, 400);
    assert_eq!(world.write("POST", &[channel("1", &["Deals.all"])]).0, 201);
}

#[test]
fn delete_answers_for_each_channel_and_module() {
    let mut world = with_seven(Knobs::default());
    let response = world.send("DELETE", &[("channel_ids", "7,8")], &Value::Null);
    let items = body(&response)["watch"].clone();
    assert_eq!((response.status, items.as_array().unwrap().len()), (207, 3));
    assert_eq!(
        items[0],
        json!({
            "code": "SUCCESS",
            "details": {
                "resource_uri": "https://www.zohoapis.test/crm/v2/Deals",
                "resource_id": "3652397000000002181",
                "channel_id": "7",
            },
            "message": "Successfully un-subscribed from actions-watch",
            "status": "success",
        })
    );
    assert_eq!(items[2]["code"], "NOT_SUBSCRIBED");
    assert_eq!(body(&world.send("DELETE", &[], &Value::Null))["code"], "REQUIRED_PARAM_MISSING");
    assert_eq!(world.send("DELETE", &[("channel_ids", "7")], &Value::Null).status, 400);
}

#[test]
fn a_channel_or_a_module_can_be_refused_and_a_batch_as_a_whole() {
    let mut world = world();
    let details = json!({"api_name": "events"});
    world.fault(Fault::RefuseChannel {
        channel: "2".to_owned(),
        code: "LIMIT_REACHED".to_owned(),
        details: details.clone(),
    });
    let (status, items) =
        world.write("POST", &[channel("1", &["Deals.all"]), channel("2", &["Deals.all"])]);
    assert_eq!(
        (status, &items[1]["code"], &items[1]["details"]),
        (207, &json!("LIMIT_REACHED"), &details)
    );
    world.fault(Fault::RefuseModule {
        module: "Leads".to_owned(),
        code: "INVALID_DATA".to_owned(),
        details,
    });
    assert_eq!(world.write("POST", &[channel("3", &["Leads.all"])]).0, 400);
    world.fault(Fault::RefuseBatchWith { channel: "5".to_owned() });
    let response = world.send(
        "POST",
        &[],
        &json!({"watch": [channel("4", &["Deals.all"]), channel("5", &["Deals.all"])]}),
    );
    assert_eq!((response.status, &body(&response)["code"]), (400, &json!("INVALID_DATA")));
    assert_eq!(world.rows().len(), 1);
}

#[test]
fn a_short_grant_gives_one_hour_whatever_is_asked() {
    let mut world = world();
    world.fault(Fault::ShortGrant);
    let mut item = channel("1", &["Deals.all"]);
    item["channel_expiry"] = json!(world.ahead(DAY));
    let (status, items) = world.write("POST", &[item]);
    let entry = &items[0]["details"]["events"][0];
    assert_eq!((status, &entry["channel_expiry"]), (201, &json!("2026-11-23T09:00:00-08:00")));
}

#[test]
fn more_channels_than_the_knob_allows_reach_a_limit() {
    let mut world = World::new(Knobs { channels_max: Some(1), ..Knobs::default() });
    let (status, items) =
        world.write("POST", &[channel("1", &["Deals.all"]), channel("2", &["Deals.all"])]);
    assert_eq!((status, &items[1]["code"]), (207, &json!("LIMIT_REACHED")));
    assert_eq!(world.write("POST", &[channel("1", &["Deals.all"])]).0, 201);
}
