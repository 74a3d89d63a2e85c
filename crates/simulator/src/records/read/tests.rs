//! The calls that Zoho's own SDKs for Python made to read from the simulator, and the parts of the
//! answers that they took: 2.0, 2.1, 5.0, 6.0, 7.0 and 8.0, whose versions of the API are below.
//!
//! They ask for the fields of a module first and give a value the type that is told there. They
//! send no content type, and `If-Modified-Since` with the offset of their machine. Ids are read as
//! numbers, times as date-times, and 204 and 304 as "no object".

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::super::knobs::Knobs;
use super::super::super::org::Org;
use super::super::super::testing::{World, body};
use crate::change::Change;
use crate::model::events::Operation;
use crate::model::exchange::Response;

/// Each with: has it page tokens, and does it ask for user and org before the first call?
const SDKS: [(&str, bool, bool); 6] = [
    ("v2", false, false),
    ("v2.1", false, false),
    ("v5", true, false),
    ("v6", true, true),
    ("v7", true, true),
    ("v8", true, true),
];

const LIST: &str = "Deals?fields=Deal_Name%2CAmount%2CCreated_Time%2CModified_Time%2COwner\
                    &per_page=1&sort_by=Modified_Time&sort_order=asc";

fn world(version: &'static str) -> World {
    let mut world = World::with_org(Knobs::default(), Org::new("a").reading());
    world.version = version;
    let mut change = Change::of("Deals", Operation::Create, &[1, 2, 3]).with("Deal_Name", "Zylker");
    change.records.values_mut().for_each(|values| {
        values.insert("Amount".to_owned(), json!(1250.5));
    });
    world.zoho.record_changed("a", &change, world.now);
    world.zoho.record_changed("a", &Change::of("Deals", Operation::Delete, &[3]), world.now);
    world.zoho.record_changed("a", &Change::of("Leads", Operation::Create, &[4]), world.now);
    world.zoho.convert("a", "Leads", &[4], world.now);
    world
}

fn rows(response: &Response, key: &str) -> Vec<Value> {
    assert_eq!(response.status, 200);
    body(response)[key].as_array().cloned().unwrap()
}

fn is_number(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<i64>().is_ok())
}

fn is_time(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<Timestamp>().is_ok())
}

#[test]
fn an_sdk_learns_the_fields_and_reads_records_page_by_page() {
    for (version, has_tokens, asks_who) in SDKS {
        let mut world = world(version);
        if asks_who {
            let own = rows(&world.read("users?type=CurrentUser", None), "users");
            assert!(own[0]["email"].is_string(), "{version}");
            let org = rows(&world.read("org", None), "org");
            assert!(is_number(&org[0]["zgid"]), "{version}");
        }
        let fields = rows(&world.read("settings/fields?module=Deals", None), "fields");
        let kind_of = |name: &str| {
            let field = fields.iter().find(|field| field["api_name"] == name).unwrap();
            field["data_type"].as_str().unwrap().to_owned()
        };
        let kinds = ["Deal_Name", "Amount", "Created_Time", "Owner"].map(kind_of);
        assert_eq!(kinds, ["text", "double", "datetime", "ownerlookup"], "{version}");

        let first = world.read(LIST, None);
        let row = rows(&first, "data")[0].clone();
        assert!(is_number(&row["id"]) && is_number(&row["Owner"]["id"]), "{version}");
        assert!(is_time(&row["Created_Time"]) && is_time(&row["Modified_Time"]), "{version}");
        assert_eq!((&row["Deal_Name"], &row["Amount"]), (&json!("Zylker"), &json!(1250.5)));
        let info = body(&first)["info"].clone();
        assert_eq!((&info["count"], &info["more_records"]), (&json!(1), &json!(true)));
        let next = match info["next_page_token"].as_str() {
            Some(token) if has_tokens => format!("{LIST}&page_token={token}"),
            _ => format!("{LIST}&page=2"),
        };
        assert_eq!(has_tokens, is_time(&info["page_token_expiry"]), "{version}");
        let last = world.read(&next, None);
        assert_eq!(rows(&last, "data")[0]["id"], "2", "{version}");
        assert_eq!(body(&last)["info"]["more_records"], false, "{version}");
        assert_eq!(rows(&world.read("Deals/1", None), "data")[0]["id"], "1", "{version}");
        let leads = "Leads?fields=Last_Name%2CModified_Time&converted=both";
        assert_eq!(rows(&world.read(leads, None), "data")[0]["id"], "4", "{version}");
    }
}

#[test]
fn an_sdk_reads_what_changed_and_what_was_deleted_since_a_time() {
    let (before, after) = ("2026-11-23T21:29:59+05:30", "2026-11-23T17:30:01+01:30");
    for (version, _, _) in SDKS {
        let mut world = world(version);
        assert_eq!(rows(&world.read(LIST, Some(before)), "data")[0]["id"], "1", "{version}");
        for path in [LIST, "Deals/deleted?type=all"] {
            let none = world.read(path, Some(after));
            assert_eq!((none.status, none.body.len()), (304, 0), "{version} {path}");
        }
        for since in [None, Some(before)] {
            let gone = rows(&world.read("Deals/deleted?type=all", since), "data");
            let [row] = gone.as_slice() else { panic!("{version}: {gone:?}") };
            assert!(is_number(&row["id"]) && is_time(&row["deleted_time"]), "{version}");
            assert_eq!(row["type"], "recycle", "{version}");
        }
        let users = rows(&world.read("users?type=AllUsers", None), "users");
        assert!(is_number(&users[0]["id"]) && is_time(&users[0]["created_time"]), "{version}");
    }
}

#[test]
fn an_sdk_reads_a_query() {
    for (version, _, _) in SDKS {
        let mut world = world(version);
        let page = world.query(
            "select Deal_Name, Amount, Owner, Modified_Time from Deals where Modified_Time between \
             '2026-11-23T16:00:00+00:00' and '2026-11-23T17:00:00+00:00' \
             order by Modified_Time asc, id asc limit 1",
        );
        let row = rows(&page, "data")[0].clone();
        assert!(is_number(&row["id"]) && is_time(&row["Modified_Time"]), "{version}");
        assert!(is_number(&row["Owner"]["id"]), "{version}");
        assert_eq!(body(&page)["info"], json!({ "count": 1, "more_records": true }), "{version}");
        let none = world.query("select Deal_Name from Deals where id = 9");
        assert_eq!((none.status, none.body.len()), (204, 0), "{version}");
        let wrong = world.query("select Deal_Name from Deals");
        assert_eq!((wrong.status, &body(&wrong)["code"]), (400, &json!("SYNTAX_ERROR")));
    }
}

/// An SDK that refreshes its fields by itself asks for every module first, then for what changed.
#[test]
fn an_sdk_that_refreshes_fields_asks_for_those_of_each_module() {
    for (version, _, _) in SDKS {
        let knobs = Knobs { modules_scope: true, ..Knobs::default() };
        let mut world = World::with_org(knobs, Org::new("a").reading());
        world.version = version;
        for module in rows(&world.read("settings/modules", None), "modules") {
            assert_eq!(module["api_supported"], true);
            assert_eq!(module["generated_type"], "default");
            let name = module["api_name"].as_str().unwrap();
            let fields = world.read(&format!("settings/fields?module={name}"), None);
            assert!(!rows(&fields, "fields").is_empty(), "{version} {name}");
        }
        let again = world.read("settings/modules", Some("2026-11-23T16:00:00+00:00"));
        assert_eq!(again.status, 304, "{version}");
    }
}
