//! Queries, as documented and as the knobs have it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::knobs::{Brackets, ConvertedLeads, RecordKnobs};
use crate::change::Change;
use crate::faults::{Endpoint, Fault, Rule};
use crate::knobs::Knobs;
use crate::model::events::Operation;
use crate::model::exchange::Response;
use crate::model::product::Product;
use crate::org::Org;
use crate::records::bulk::Bulk;
use crate::testing::{World, body};

fn world_with(records: RecordKnobs, org: Org) -> World {
    let knobs = Knobs { records, zone: "+00:00".to_owned(), ..Knobs::default() };
    World::with_org(knobs, org)
}

/// Deals 1 to 4, created and edited a minute apart.
fn four(records: RecordKnobs) -> World {
    let mut world = world_with(records, Org::new("a").reading());
    for (id, stage, amount) in
        [(1, "Open", json!(10)), (2, "Won", json!(5.5)), (3, "Won", json!(7)), (4, "", Value::Null)]
    {
        let mut change = Change::of("Deals", Operation::Create, &[id]).with("Stage", stage);
        change.records.values_mut().for_each(|values| {
            values.insert("Amount".to_owned(), amount.clone());
        });
        world.zoho.record_changed("a", &change, world.now);
        world.pass(60);
    }
    world
}

fn ids(response: &Response) -> Vec<String> {
    if response.body.is_empty() {
        return Vec::new();
    }
    let rows = body(response)["data"].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| Some(row["id"].as_str()?.to_owned())).collect()
}

fn found(world: &mut World, tail: &str) -> String {
    let response = world.query(&format!("select Stage from Deals where {tail}"));
    assert!(matches!(response.status, 200 | 204), "{tail}: {:?}", body(&response));
    ids(&response).concat()
}

fn refused(world: &mut World, query: &str) -> (u16, Value) {
    let response = world.query(query);
    (response.status, body(&response))
}

#[test]
fn rows_have_the_fields_asked_for_and_the_id() {
    let mut world = four(RecordKnobs::default());
    let response = world.query(
        "select Stage, Modified_Time, Owner from Deals where Stage = 'Won' order by id desc limit 1",
    );
    let row = json!({
        "Stage": "Won",
        "Modified_Time": "2026-11-23T16:02:00+00:00",
        "Owner": { "name": "Patricia Boyle", "id": "3652397000000186017" },
        "id": "3",
    });
    let page = json!({ "data": [row], "info": { "count": 1, "more_records": true } });
    assert_eq!((response.status, body(&response)), (200, page));
    world.version = "v6";
    let before = body(&world.query("select Owner from Deals where id = 3"));
    assert_eq!(before["data"][0]["Owner"], json!({ "id": "3652397000000186017" }));
    assert_eq!(world.query("select id from Deals where id = 9").status, 204);
}

#[test]
fn criteria_compare_times_ids_numbers_and_texts() {
    let mut world = four(RecordKnobs::default());
    let table = [
        ("Modified_Time > '2026-11-23T16:01:00+00:00'", "34"),
        ("Modified_Time >= '2026-11-23T08:01:00-08:00'", "234"),
        ("Modified_Time < '2026-11-23T16:01:00+00:00'", "1"),
        ("Created_Time between '2026-11-23T16:01:00Z' and '2026-11-23T16:02:00Z'", "23"),
        ("Created_Time not between '2026-11-23T16:01:00Z' and '2026-11-23T16:02:00Z'", "14"),
        ("id > 2", "34"),
        ("id in ('1', 4)", "14"),
        ("id not in (1,4)", "23"),
        ("Amount >= 7", "13"),
        ("Amount is null", "4"),
        ("Amount is not null", "123"),
        ("Amount != 7", "12"),
        ("Stage = 'Won'", "23"),
        ("STAGE = 'Won'", ""),
        ("Stage <> Won", "14"),
        ("Stage like 'W%'", "23"),
        ("Stage not like '%o%'", "14"),
        ("Owner = '3652397000000186017'", "1234"),
        ("(Stage = 'Won' and Amount > 6) or id = 1", "13"),
        ("Stage = 'Won' and (Amount > 6 or id = 1)", "3"),
        ("((id > 1 and id < 4) and Stage = 'Won')", "23"),
    ];
    for (tail, expected) in table {
        assert_eq!(found(&mut world, tail), expected, "{tail}");
    }
}

#[test]
fn rows_stand_in_the_order_asked_for_and_by_id_within_it() {
    let mut world = four(RecordKnobs::default());
    let table = [
        ("id > 0", "1234"),
        ("id > 0 order by Modified_Time desc", "4321"),
        ("id > 0 ORDER BY Stage DESC, Amount asc", "2314"),
        ("id > 0 order by Amount", "4231"),
        ("id > 0 limit 2", "12"),
        ("id > 0 limit 2 offset 1", "23"),
        ("id > 0 limit 1, 2", "23"),
        ("id > 0 limit 4 offset 4", ""),
    ];
    for (tail, expected) in table {
        assert_eq!(found(&mut world, tail), expected, "{tail}");
    }
}

/// The way in which a client reads on without losing rows that change between two pages.
#[test]
fn a_client_reads_on_by_time_and_id() {
    let mut world = world_with(RecordKnobs::default(), Org::new("a").reading());
    let (from, to) = (world.now, world.now);
    let bulk = Bulk {
        module: "Deals".to_owned(),
        operation: Operation::Create,
        count: 450,
        first: Some(1),
        from,
        to,
        values: BTreeMap::new(),
    };
    world.zoho.bulk("a", &bulk, world.now).unwrap();
    let (mut last, mut all) = (0, Vec::new());
    loop {
        let response = world.query(&format!(
            "select Modified_Time from Deals where Modified_Time between '{from}' and '{to}' and \
             (Modified_Time > '{to}' or id > {last}) order by Modified_Time asc, id asc limit 200"
        ));
        let page = ids(&response);
        let Some(end) = page.last() else { break };
        last = end.parse().unwrap();
        all.extend(page);
    }
    assert_eq!(all.len(), 450);
}

#[test]
fn errors_are_those_that_are_documented() {
    let mut world = four(RecordKnobs::default());
    let error = |code: &str, details: Value, message: &str| {
        let body =
            json!({ "code": code, "details": details, "message": message, "status": "error" });
        (400, body)
    };
    let near = |text: &str| {
        let message = "error occured while parsing the query";
        error("SYNTAX_ERROR", json!({ "near": text }), message)
    };
    let unsupported = error("SYNTAX_ERROR", json!({}), "given coql query not supported");
    let operator = |column: &str, operator: &str| {
        let details = json!({
            "reason": "invalid operator found", "column_name": column, "operator": operator,
        });
        error("INVALID_QUERY", details, "Invalid query formed")
    };
    let missing =
        |clause: &str| error("SYNTAX_ERROR", json!({ "clause": clause }), "missing clause");
    let table = [
        ("select id from Deals", missing("where")),
        ("select id from Deals limit 1", missing("where")),
        ("select id", missing("from")),
        ("update Deals", near("update")),
        ("select id from Deals where", near("")),
        ("select id from Deals where id = 1 limit 1 please", near("please")),
        ("select id from Deals where id = 'x", near("'x")),
        ("select id from Deals where (id = 1", near("")),
        ("select id from Deals where id = 1 and id = 2 and id = 3", near("where")),
        ("select COUNT(id) from Deals where id > 0", unsupported.clone()),
        ("select id as number from Deals where id > 0", unsupported.clone()),
        ("select Account_Name.Phone from Deals where id > 0", unsupported.clone()),
        ("select id from Deals where Account_Name.Phone = 1", unsupported.clone()),
        ("select id from Deals#7 where id > 0", unsupported.clone()),
        ("select Stage from Deals where id > 0 group by Stage", unsupported),
        ("select id from Deals where id contains 1", {
            error("SYNTAX_ERROR", json!({ "operator": "contains" }), "operator not supported")
        }),
        (
            "select id from Deals where Modified_Time like '2026%'",
            operator("Modified_Time", "like"),
        ),
        ("select id from Leads where Converted__s > true", operator("Converted__s", ">")),
        ("select id from Deals where id > 0 limit s", {
            error("INVALID_QUERY", json!({ "limit": "s" }), "limit given seems to be invalid")
        }),
        ("select id from Deals where id > 0 limit 0", {
            error("INVALID_DATA", json!({}), "limit should be greater than 0")
        }),
        ("select id from Meetings where id > 0", {
            error("INVALID_MODULE", json!({}), "the given module is not supported in api")
        }),
    ];
    for (query, expected) in table {
        assert_eq!(refused(&mut world, query), expected, "{query}");
    }
    let empty = world.post_query(&json!({}));
    let key = json!({ "api_name": "select_query" });
    assert_eq!(body(&empty), error("MANDATORY_NOT_FOUND", key, "mandatory key not found").1);
    let time = refused(&mut world, "select id from Deals where Created_Time > 'yesterday'");
    assert_eq!((time.0, &time.1["code"]), (400, &json!("INVALID_QUERY")));
}

#[test]
fn no_query_is_too_much_for_the_parser() {
    let mut world = four(RecordKnobs::default());
    let deep = format!("{}id = 1{}", "(".repeat(100_000), ")".repeat(100_000));
    for (tail, code) in [
        (deep, "SYNTAX_ERROR"),
        (vec!["id = 1"; 26].join(" or "), "SYNTAX_ERROR"),
        ("((((".to_owned(), "SYNTAX_ERROR"),
        ("id = 'é".to_owned(), "SYNTAX_ERROR"),
        ("é = 'é' ; --".to_owned(), "SYNTAX_ERROR"),
    ] {
        let (status, told) = refused(&mut world, &format!("select id from Deals where {tail}"));
        assert_eq!((status, told["code"].as_str()), (400, Some(code)), "{tail:.40}");
    }
}

#[test]
fn brackets_by_pairs_are_needed_unless_the_knob_says_otherwise() {
    let row = "Stage = 'Won' and id > 2 or id = 1";
    let mut world = four(RecordKnobs { coql_brackets: Brackets::Any, ..RecordKnobs::default() });
    assert_eq!(found(&mut world, row), "13");
    let many = vec!["id = 1"; 25].join(" or ");
    assert_eq!(found(&mut world, &many), "1");
    let query = format!("select id from Deals where {many} or id = 2");
    assert_eq!(refused(&mut world, &query).1["code"], "LIMIT_EXCEEDED");
    let mut world = four(RecordKnobs::default());
    let query = format!("select id from Deals where {row}");
    assert_eq!(refused(&mut world, &query).1["code"], "SYNTAX_ERROR");
}

#[test]
fn limits_are_those_of_the_version_unless_the_knob_says_otherwise() {
    let mut world = four(RecordKnobs::default());
    let code = |world: &mut World, tail: &str| {
        let response = world.query(&format!("select id from Deals where id > 0 {tail}"));
        if response.status == 400 { body(&response)["code"].clone() } else { json!(null) }
    };
    for (version, rows, reach) in [
        ("v2", 200, 10_000),
        ("v3", 200, 10_000),
        ("v4", 2_000, 10_000),
        ("v5", 2_000, 10_000),
        ("v7", 2_000, 100_000),
        ("v8", 2_000, 100_000),
    ] {
        world.version = version;
        assert_eq!(code(&mut world, &format!("limit {rows}")), json!(null), "{version}");
        assert_eq!(code(&mut world, &format!("limit {}", rows + 1)), "LIMIT_EXCEEDED", "{version}");
        let last = reach - 200;
        assert_eq!(code(&mut world, &format!("limit {last}, 200")), json!(null), "{version}");
        assert_eq!(code(&mut world, &format!("limit {}, 200", last + 1)), "LIMIT_EXCEEDED");
    }
    let records = RecordKnobs { coql_rows: Some(3), coql_reach: Some(5), ..RecordKnobs::default() };
    let mut world = four(records);
    assert_eq!(code(&mut world, "limit 4"), "LIMIT_EXCEEDED");
    assert_eq!(code(&mut world, "limit 3 offset 3"), "LIMIT_EXCEEDED");
}

#[test]
fn a_query_costs_by_its_limit() {
    let mut world = four(RecordKnobs::default());
    let mut cost = |tail: &str| {
        let before = world.zoho.counters("a").unwrap().read_credits;
        world.query(&format!("select id from Deals where id > 0 {tail}"));
        world.zoho.counters("a").unwrap().read_credits - before
    };
    let costs = ["", "limit 200", "limit 201", "limit 1000", "limit 1001", "limit nothing"];
    assert_eq!(costs.map(&mut cost), [1, 1, 2, 2, 3, 1]);
    assert_eq!(world.zoho.counters("a").unwrap().reads["coql"], 6);
}

#[test]
fn a_query_needs_its_own_scope_and_that_of_its_module() {
    let table = [
        (vec!["ZohoCRM.coql.READ", "ZohoCRM.modules.READ"], 200),
        (vec!["ZohoCRM.coql.READ", "ZohoCRM.modules.deals.READ"], 200),
        (vec!["ZohoCRM.coql.READ", "ZohoCRM.modules.leads.READ"], 401),
        (vec!["ZohoCRM.coql.READ"], 401),
        (vec!["ZohoCRM.modules.ALL"], 401),
    ];
    for (scopes, status) in table {
        let org = Org { scopes: scopes.iter().map(|s| (*s).to_owned()).collect(), ..Org::new("a") };
        let mut world = world_with(RecordKnobs::default(), org);
        world.zoho.record_changed("a", &Change::of("Deals", Operation::Edit, &[1]), world.now);
        let response = world.query("select id from Deals where id > 0");
        assert_eq!(response.status, status, "{scopes:?}");
        if status == 401 {
            assert_eq!(body(&response)["code"], "OAUTH_SCOPE_MISMATCH");
        }
    }
}

#[test]
fn converted_leads_come_only_to_those_who_ask_for_them() {
    let leads = |knob: ConvertedLeads| {
        let records = RecordKnobs { coql_converted: knob, ..RecordKnobs::default() };
        let mut world = world_with(records, Org::new("a").reading());
        world.zoho.record_changed("a", &Change::of("Leads", Operation::Create, &[1, 2]), world.now);
        world.zoho.convert("a", "Leads", &[2], world.now);
        world
    };
    let mut world = leads(ConvertedLeads::LeftOut);
    let of = |world: &mut World, and: &str| {
        ids(&world.query(&format!("select id from Leads where id > 0{and}"))).concat()
    };
    assert_eq!(of(&mut world, ""), "1");
    assert_eq!(of(&mut world, " and Converted__s = true"), "2");
    assert_eq!(of(&mut world, " and Converted__s = 'false'"), "1");
    assert_eq!(of(&mut leads(ConvertedLeads::Given), ""), "12");
}

#[test]
fn hidden_fields_forbidden_modules_and_faults_are_as_with_lists() {
    let mut records = RecordKnobs::default();
    records.hidden_fields.insert("Deals".to_owned(), ["Modified_Time".to_owned()].into());
    records.forbidden_modules.insert("Leads".to_owned());
    let mut world = four(records);
    for query in [
        "select Modified_Time from Deals where id > 0",
        "select id from Deals where Modified_Time is not null",
        "select id from Deals where id > 0 order by Modified_Time",
    ] {
        let (status, told) = refused(&mut world, query);
        let column = &told["details"]["column_name"];
        assert_eq!((status, column), (400, &json!("Modified_Time")), "{query}");
    }
    let forbidden = refused(&mut world, "select id from Leads where id > 0");
    assert_eq!((forbidden.0, &forbidden.1["code"]), (403, &json!("NO_PERMISSION")));
    let rule = Rule { path: Some(Endpoint::Records), ..Rule::once(Fault::TooManyRequests) };
    world.zoho.add_fault(rule);
    assert_eq!(world.query("select id from Deals where id > 0").status, 429);
    assert_eq!(world.query("select id from Deals where id > 0").status, 200);
}

#[test]
fn only_products_that_have_it_answer_queries() {
    let table = [
        (Product::Bigin, "v2", "Pipelines", 200),
        (Product::Vertical, "v6", "Deals", 200),
        (Product::Vertical, "v8", "Deals", 404),
        (Product::Recruit, "v2", "Candidates", 404),
    ];
    for (product, version, module, status) in table {
        let mut world = world_with(RecordKnobs::default(), Org::of(product, "a").reading());
        world.version = version;
        world.zoho.record_changed("a", &Change::of(module, Operation::Edit, &[1]), world.now);
        let response = world.query(&format!("select id from {module} where id > 0"));
        assert_eq!(response.status, status, "{product} {version}");
    }
}
