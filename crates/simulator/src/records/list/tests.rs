//! Lists of records, as documented and as the knobs have it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::knobs::{PageToken, RecordKnobs, ScopeCase, Since};
use crate::admin::AdminCall;
use crate::change::Change;
use crate::knobs::{Knobs, Length};
use crate::model::events::Operation;
use crate::model::exchange::Response;
use crate::model::product::Product;
use crate::org::Org;
use crate::records::bulk::Bulk;
use crate::testing::{REFRESH, World, body};

const LIST: &str = "Deals?fields=Created_Time,Modified_Time&sort_by=Modified_Time&sort_order=asc";

fn knobs(records: RecordKnobs) -> Knobs {
    Knobs { records, zone: "+00:00".to_owned(), ..Knobs::default() }
}

fn world(records: RecordKnobs) -> World {
    World::with_org(knobs(records), Org::new("a").reading())
}

fn tell(world: &mut World, module: &str, operation: Operation, ids: &[u64]) {
    world.zoho.record_changed("a", &Change::of(module, operation, ids), world.now);
}

/// A thousand deals of one second.
fn thousand(records: RecordKnobs) -> World {
    let mut world = world(records);
    fill(&mut world, 1_000, 0);
    world
}

fn fill(world: &mut World, count: u64, seconds: u64) {
    let to = world.now;
    let from = crate::model::time::before(to, Duration::from_secs(seconds));
    let values = BTreeMap::new();
    let (module, first) = ("Deals".to_owned(), Some(1));
    let bulk = Bulk { module, operation: Operation::Create, count, first, from, to, values };
    world.zoho.bulk("a", &bulk, world.now).unwrap();
}

fn ids(response: &Response) -> Vec<String> {
    if response.body.is_empty() {
        return Vec::new();
    }
    let rows = body(response)["data"].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| Some(row["id"].as_str()?.to_owned())).collect()
}

/// Every page behind the first, by token; what `between` does happens after each.
fn by_token(
    world: &mut World,
    path: &str,
    since: Option<&str>,
    mut between: impl FnMut(&mut World),
) -> Vec<String> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let response = world.read(&format!("{path}{token}"), since);
        all.extend(ids(&response));
        if response.status != 200 {
            return all;
        }
        between(world);
        match body(&response)["info"]["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return all,
        }
    }
}

#[test]
fn a_page_is_answered_as_documented() {
    let mut world = world(RecordKnobs::default());
    tell(&mut world, "Deals", Operation::Create, &[1, 2]);
    world.pass(60);
    let edit = Change::of("Deals", Operation::Edit, &[1]).with("Stage", "Closed Won");
    world.zoho.record_changed("a", &edit, world.now);
    let response = world.read("Deals?fields=Created_Time,Modified_Time,Stage,Deal_Name", None);
    assert_eq!(
        body(&response),
        json!({
            "data": [
                {
                    "Created_Time": "2026-11-23T16:00:00+00:00",
                    "Modified_Time": "2026-11-23T16:00:00+00:00",
                    "Stage": null,
                    "Deal_Name": "Deals 2",
                    "id": "2",
                },
                {
                    "Created_Time": "2026-11-23T16:00:00+00:00",
                    "Modified_Time": "2026-11-23T16:01:00+00:00",
                    "Stage": "Closed Won",
                    "Deal_Name": "Deals 1",
                    "id": "1",
                },
            ],
            "info": {
                "per_page": 200,
                "next_page_token": null,
                "count": 2,
                "sort_by": "id",
                "page": 1,
                "previous_page_token": null,
                "page_token_expiry": null,
                "sort_order": "desc",
                "more_records": false,
            },
        })
    );
}

#[test]
fn v2_needs_no_fields_and_has_no_tokens() {
    for version in ["v2", "v2.1"] {
        let mut world = thousand(RecordKnobs::default());
        world.version = version;
        let page = body(&world.read("Deals?page=2&per_page=3&sort_order=asc", None));
        let info = json!({"per_page": 3, "count": 3, "page": 2, "more_records": true});
        assert_eq!(page["info"], info, "{version}");
        assert_eq!(page["data"][0]["id"], "4");
        assert_eq!(page["data"][0]["Owner"]["name"], "Patricia Boyle");
        assert_eq!(world.read("Deals?page=5&sort_order=asc", None).status, 200);
    }
}

#[test]
fn the_header_keeps_what_changed_since_and_an_unchanged_list_has_no_body() {
    let table = [
        (RecordKnobs::default(), vec!["2", "3"], 304),
        (
            RecordKnobs { modified_since: Since::Exclusive, ..RecordKnobs::default() },
            vec!["3"],
            304,
        ),
        (RecordKnobs { unchanged_status: 204, ..RecordKnobs::default() }, vec!["2", "3"], 204),
    ];
    for (records, expected, unchanged) in table {
        let mut world = world(records);
        for id in [1, 2, 3] {
            tell(&mut world, "Deals", Operation::Create, &[id]);
            world.pass(1);
        }
        assert_eq!(ids(&world.read(LIST, Some("2026-11-23T21:30:01+05:30"))), expected);
        let none = world.read(LIST, Some("2026-11-23T16:00:04Z"));
        assert_eq!((none.status, none.body.len()), (unchanged, 0));
        assert_eq!(world.read("Leads?fields=Last_Name", None).status, 204);
    }
}

#[test]
fn the_header_is_iso_in_whole_seconds_and_http_dates_work_on_v2() {
    let mut world = world(RecordKnobs::default());
    tell(&mut world, "Deals", Operation::Create, &[1]);
    let http = "Mon, 23 Nov 2026 15:59:59 GMT";
    for bad in ["2026-11-23T16:00:00.5Z", "yesterday", http] {
        assert_eq!(world.read(LIST, Some(bad)).status, 400, "{bad}");
    }
    world.version = "v2";
    assert_eq!(world.read("Deals", Some(http)).status, 200);
    world.version = "v8";
    let lenient = RecordKnobs { header_fractions: true, ..RecordKnobs::default() };
    world.zoho.set_knobs(knobs(lenient)).unwrap();
    assert_eq!(world.read(LIST, Some("2026-11-23T15:59:59.5Z")).status, 200);
}

#[test]
fn what_is_wrong_with_a_call_is_named() {
    let mut world = thousand(RecordKnobs::default());
    let many: Vec<String> = (0..51).map(|n| format!("f{n}")).collect();
    let many = format!("Deals?fields={}", many.join(","));
    let table = [
        ("Deals", 400, "REQUIRED_PARAM_MISSING"),
        (&many, 400, "LIMIT_EXCEEDED"),
        ("Deals?fields=Stage&sort_by=Stage", 400, "INVALID_DATA"),
        ("Deals?fields=Stage&sort_order=up", 400, "INVALID_DATA"),
        ("Deals?fields=Stage&converted=maybe", 400, "INVALID_DATA"),
        ("Deals?fields=Stage&per_page=none", 400, "INVALID_DATA"),
        ("Deals?fields=Stage&page=11", 400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED"),
        ("Deals?fields=Stage&page_token=abc", 400, "INVALID_DATA"),
        ("Deals?fields=Stage&page=1&page_token=abc", 400, "AMBIGUITY_DURING_PROCESSING"),
        ("Meetings?fields=Subject", 400, "INVALID_MODULE"),
        ("users/deleted", 404, "INVALID_URL_PATTERN"),
        ("Deals/7/Notes?fields=Subject", 404, "INVALID_URL_PATTERN"),
    ];
    for (path, status, code) in table {
        let response = world.read(path, None);
        assert_eq!((response.status, &body(&response)["code"]), (status, &json!(code)), "{path}");
    }
    assert_eq!(world.read("Deals?fields=Stage&page=10", None).status, 204, "only a thousand");
}

#[test]
fn a_token_leads_on_through_all_and_only_for_its_own_call() {
    for page_token in [PageToken::Offset, PageToken::Key] {
        let mut world = thousand(RecordKnobs { page_token, ..RecordKnobs::default() });
        let since = Some("2026-11-23T16:00:00Z");
        let all = by_token(&mut world, LIST, since, |_| {});
        assert_eq!(all.len(), 1_000);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 1_000);
        let first = body(&world.read(LIST, since));
        let token = first["info"]["next_page_token"].as_str().unwrap();
        assert_eq!(first["info"]["page_token_expiry"], "2026-11-24T16:00:00+00:00");
        let second = body(&world.read(&format!("{LIST}&page_token={token}"), since));
        assert_eq!((&second["info"]["page"], &second["data"][0]["id"]), (&json!(2), &json!("201")));
        for (other, header) in [(format!("{LIST}&per_page=7"), since), (LIST.to_owned(), None)] {
            let response = world.read(&format!("{other}&page_token={token}"), header);
            assert_eq!(body(&response)["code"], "TOKEN_BOUND_DATA_MISMATCH", "{other}");
        }
        world.pass(86_400);
        let reply = world.token_call(REFRESH);
        world.access_token = body(&reply)["access_token"].as_str().unwrap().to_owned();
        let late = world.read(&format!("{LIST}&page_token={token}"), since);
        assert_eq!(body(&late)["code"], "EXPIRED_VALUE");
    }
}

#[test]
fn tokens_lead_through_so_many_records_and_no_further() {
    let records = RecordKnobs { page_token_reach: 600, ..RecordKnobs::default() };
    assert_eq!(RecordKnobs::default().page_token_reach, 100_000);
    let mut world = thousand(records);
    let (mut token, mut refused, mut pages) = (String::new(), Value::Null, 0);
    while refused.is_null() {
        let page = body(&world.read(&format!("{LIST}{token}"), None));
        pages += u32::from(page["code"].is_null());
        refused = page["code"].clone();
        let next = page["info"]["next_page_token"].as_str().unwrap_or_default();
        token = format!("&page_token={next}");
    }
    assert_eq!((pages, refused), (3, json!("PAGINATION_LIMIT_EXCEEDED")));
}

/// The experiment behind reading by key: an offset loses the row that moves up.
#[test]
fn an_edit_between_two_pages_hides_a_record_from_offsets_and_from_no_key() {
    for (page_token, lost) in [(PageToken::Offset, 4), (PageToken::Key, 0)] {
        let mut world = world(RecordKnobs { page_token, ..RecordKnobs::default() });
        fill(&mut world, 1_000, 1_000);
        let mut next = 1;
        let seen = by_token(&mut world, LIST, None, |world| {
            world.pass(1);
            tell(world, "Deals", Operation::Edit, &[next]);
            next += 1;
        });
        let seen: BTreeSet<String> = seen.into_iter().collect();
        assert_eq!(1_000 - seen.len(), lost, "{page_token:?}");
    }
}

#[test]
fn a_change_waits_for_the_next_page() {
    let mut world = thousand(RecordKnobs::default());
    world.zoho.after_next_page("a", Change::of("Deals", Operation::Delete, &[3]));
    assert!(world.zoho.holds("a", "Deals", 3));
    assert_eq!(ids(&world.read(LIST, None)).len(), 200);
    assert!(!world.zoho.holds("a", "Deals", 3));
}

#[test]
fn converted_leads_are_left_out_unless_they_are_asked_for() {
    let mut world = world(RecordKnobs::default());
    tell(&mut world, "Leads", Operation::Create, &[1, 2]);
    world.pass(60);
    world.zoho.convert("a", "Leads", &[2], world.now);
    for (converted, expected) in [
        ("", vec!["1"]),
        ("&converted=false", vec!["1"]),
        ("&converted=true", vec!["2"]),
        ("&converted=both", vec!["2", "1"]),
    ] {
        let response = world.read(&format!("Leads?fields=Last_Name{converted}"), None);
        assert_eq!(ids(&response), expected, "{converted}");
    }
    let since = Some("2026-11-23T16:01:00Z");
    assert_eq!(ids(&world.read("Leads?fields=Last_Name&converted=both", since)), ["2"]);
}

#[test]
fn single_records_are_read_by_path_and_by_ids() {
    let mut world = thousand(RecordKnobs::default());
    assert_eq!(ids(&world.read("Deals/7?fields=Stage", None)), ["7"]);
    assert_eq!(world.read("Deals/7000", None).status, 204);
    assert_eq!(ids(&world.read("Deals?fields=Stage&ids=3,2000,5", None)), ["5", "3"]);
}

#[test]
fn a_change_can_lag_behind_and_times_can_be_finer_than_they_show() {
    let lag = Length(Duration::from_secs(30));
    let mut world = world(RecordKnobs { lag, ..RecordKnobs::default() });
    tell(&mut world, "Deals", Operation::Create, &[1]);
    world.pass(29);
    assert_eq!(world.read(LIST, None).status, 204);
    world.pass(1);
    assert_eq!(world.read(LIST, None).status, 200);

    let resolution = Length(Duration::from_millis(1));
    for (records, found) in
        [(RecordKnobs::default(), 304), (RecordKnobs { resolution, ..RecordKnobs::default() }, 200)]
    {
        world
            .zoho
            .set_knobs(knobs(RecordKnobs { modified_since: Since::Exclusive, ..records }))
            .unwrap();
        let late = crate::model::time::after(world.now, Duration::from_millis(900));
        world.zoho.record_changed("a", &Change::of("Deals", Operation::Edit, &[1]), late);
        let shown = world.now.to_string();
        world.pass(1);
        assert_eq!(world.read(LIST, Some(&shown)).status, found);
        let row = body(&world.read(LIST, None))["data"][0]["Modified_Time"].clone();
        assert_eq!(row, shown.replace('Z', "+00:00"));
    }
}

#[test]
fn hidden_fields_and_forbidden_modules_are_not_told() {
    let hidden =
        BTreeMap::from([("Deals".to_owned(), BTreeSet::from(["Modified_Time".to_owned()]))]);
    let forbidden_modules = BTreeSet::from(["Leads".to_owned()]);
    let records =
        RecordKnobs { hidden_fields: hidden, forbidden_modules, ..RecordKnobs::default() };
    let mut world = thousand(records);
    let row = body(&world.read("Deals?fields=Created_Time,Modified_Time&per_page=1", None));
    assert_eq!(row["data"][0].as_object().unwrap().len(), 2);
    assert_eq!(body(&world.read(LIST, None))["code"], "INVALID_DATA");
    let forbidden = world.read("Leads?fields=Last_Name", None);
    assert_eq!((forbidden.status, &body(&forbidden)["code"]), (403, &json!("NO_PERMISSION")));
}

#[test]
fn the_scope_is_of_the_module_and_calls_cost_credits() {
    let scopes = ["ZohoCRM.modules.Deals.READ".to_owned()].to_vec();
    let mut world = World::with_org(Knobs::default(), Org { scopes, ..Org::new("a") });
    assert_eq!(world.read("Deals?fields=Stage", None).status, 204);
    let refused = world.read("Leads?fields=Last_Name", None);
    assert_eq!((refused.status, &body(&refused)["code"]), (401, &json!("OAUTH_SCOPE_MISMATCH")));
    world.read("Deals/deleted", None);
    assert_eq!(world.zoho.credits_left("a", world.now), Some(60_000 - 3));
    let counters = world.zoho.counters("a").unwrap();
    assert_eq!((counters.reads["list"], counters.read_credits), (2, 3));
    assert_eq!(
        counters.read_outcomes,
        BTreeMap::from([("204".to_owned(), 2), ("401".to_owned(), 1)])
    );
    assert_eq!(counters.calls_total(), 0, "none of them is a watch call");
    let lower = RecordKnobs { module_scopes: ScopeCase::Lower, ..RecordKnobs::default() };
    world.zoho.set_knobs(knobs(lower)).unwrap();
    assert_eq!(world.read("Deals?fields=Stage", None).status, 401);
}

#[test]
fn each_product_has_its_own_paths() {
    let table = [
        (Product::Bigin, "v2", "Pipelines?fields=Stage", 200),
        (Product::Bigin, "v1", "Pipelines", 200),
        (Product::Recruit, "v2", "Candidates", 200),
        (Product::Vertical, "v6", "Deals?fields=Stage", 200),
        (Product::Vertical, "v8", "Deals?fields=Stage", 404),
    ];
    for (product, version, path, status) in table {
        let mut world = World::with_org(Knobs::default(), Org::of(product, "a").reading());
        let module = path.split('?').next().unwrap_or_default();
        tell(&mut world, module, Operation::Create, &[1]);
        world.version = version;
        assert_eq!(world.read(path, None).status, status, "{product} {version}");
    }
}

#[test]
fn the_admin_api_keeps_what_it_is_told() {
    let mut world = world(RecordKnobs::default());
    let now = world.now;
    let mut say = |method: &str, path: &str, text: &Value| {
        let mut clock = jiff::SignedDuration::ZERO;
        let body = text.to_string();
        let call = AdminCall { method, path, body: body.as_bytes() };
        let outcome = world.zoho.admin(call, &mut clock, now);
        assert_eq!(outcome.status, 200, "{} {}", text, outcome.body);
        outcome.body
    };
    let records = "/_sim/records";
    let made = say("POST", records, &json!({"module": "Deals", "operation": "create"}));
    assert_eq!(made["ids"], json!(["3652397000100000001"]));
    say("POST", records, &json!({"module": "Deals", "operation": "create", "ids": ["1", "2"]}));
    say("PATCH", records, &json!({"module": "Deals", "ids": ["1"], "values": {"Stage": "Won"}}));
    say("DELETE", records, &json!({"module": "Deals", "ids": ["2"]}));
    for operation in ["restore", "convert", "purge"] {
        say("POST", records, &json!({"module": "Deals", "operation": operation, "ids": ["2"]}));
    }
    let bulk =
        json!({"module": "Leads", "operation": "create", "count": 9, "from": now, "to": now});
    assert_eq!(say("POST", "/_sim/records/bulk", &bulk)["missed"], 0);
    let counts = say("GET", records, &Value::Null);
    let deals = json!({"records": 2, "deleted": 1});
    assert_eq!(counts["a"], json!({"Deals": deals, "Leads": {"records": 9, "deleted": 0}}));
    say("PATCH", "/_sim/knobs", &json!({"records": {"unchanged_status": 204}}));
    let turned = say("PATCH", "/_sim/knobs", &json!({"records": {"modified_since": "exclusive"}}));
    assert_eq!(turned["records"]["unchanged_status"], 204);
}
