//! Fields and modules: the calls that Zoho's SDKs make before the first record.

use serde_json::{Value, json};

use super::super::knobs::RecordKnobs;
use crate::change::Change;
use crate::knobs::Knobs;
use crate::model::events::Operation;
use crate::model::product::Product;
use crate::org::Org;
use crate::testing::{World, body};

fn world(records: RecordKnobs) -> World {
    World::with_org(Knobs { records, ..Knobs::default() }, Org::new("a").reading())
}

fn types(told: &Value) -> Vec<(String, String)> {
    let text = |field: &Value, key: &str| field[key].as_str().unwrap().to_owned();
    let fields = told["fields"].as_array().unwrap();
    fields.iter().map(|field| (text(field, "api_name"), text(field, "data_type"))).collect()
}

#[test]
fn a_module_has_the_fields_of_every_record_and_those_that_were_given_values() {
    let mut world = world(RecordKnobs::default());
    let mut change = Change::of("Leads", Operation::Create, &[1]).with("Company", "Zylker");
    for (field, value) in [
        ("Annual_Revenue", json!(1.5)),
        ("Employees", json!(7)),
        ("Email_Opt_Out", json!(true)),
        ("Languages", json!(["English"])),
        ("Nothing", json!(null)),
    ] {
        change.records.values_mut().for_each(|values| {
            values.insert(field.to_owned(), value.clone());
        });
    }
    world.zoho.record_changed("a", &change, world.now);
    let told = body(&world.read("settings/fields?module=Leads", None));
    let expected = [
        ("Owner", "ownerlookup"),
        ("Last_Name", "text"),
        ("Created_By", "ownerlookup"),
        ("Modified_By", "ownerlookup"),
        ("Created_Time", "datetime"),
        ("Modified_Time", "datetime"),
        ("Converted__s", "boolean"),
        ("Annual_Revenue", "double"),
        ("Company", "text"),
        ("Email_Opt_Out", "boolean"),
        ("Employees", "bigint"),
        ("Languages", "multiselectpicklist"),
    ];
    assert_eq!(types(&told), expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    let ids: std::collections::BTreeSet<&str> =
        told["fields"].as_array().unwrap().iter().filter_map(|f| f["id"].as_str()).collect();
    assert_eq!(ids.len(), expected.len(), "each has an id of its own");
}

#[test]
fn fields_are_refused_as_records_are() {
    let mut records = RecordKnobs::default();
    records.forbidden_modules.insert("Deals".to_owned());
    records.hidden_fields.insert("Tasks".to_owned(), ["Modified_Time".to_owned()].into());
    let mut world = world(records);
    let mut code = |path: &str| {
        let response = world.read(path, None);
        (response.status, body(&response)["code"].clone())
    };
    assert_eq!(code("settings/fields"), (400, json!("REQUIRED_PARAM_MISSING")));
    assert_eq!(code("settings/fields?module=Meetings"), (400, json!("INVALID_MODULE")));
    assert_eq!(code("settings/fields?module=Deals"), (403, json!("NO_PERMISSION")));
    let told = body(&world.read("settings/fields?module=Tasks", None));
    assert!(types(&told).iter().all(|(name, _)| name != "Modified_Time"));
}

#[test]
fn each_call_has_a_scope_of_its_own_and_costs_a_credit() {
    let table = [
        ("settings/fields?module=Leads", "ZohoCRM.settings.fields.READ"),
        ("settings/modules", "ZohoCRM.settings.modules.READ"),
        ("users", "ZohoCRM.users.READ"),
        ("org", "ZohoCRM.org.READ"),
    ];
    for (path, scope) in table {
        for (held, status) in [(scope, 200), ("ZohoCRM.modules.ALL", 401)] {
            let org = Org { scopes: vec![held.to_owned()], ..Org::new("a") };
            let mut world = World::with_org(Knobs::default(), org);
            assert_eq!(world.read(path, None).status, status, "{path} {held}");
            let credits = world.zoho.counters("a").unwrap().read_credits;
            assert_eq!(credits, u64::from(status == 200), "{path}");
        }
    }
    let org = Org { scopes: vec!["ZohoCRM.settings.ALL".to_owned()], ..Org::new("a") };
    let mut world = World::with_org(Knobs::default(), org);
    assert_eq!(world.read("settings/fields?module=Leads", None).status, 200);
}

#[test]
fn modules_are_those_of_the_product_and_those_that_have_records() {
    let knobs = Knobs { modules_scope: true, ..Knobs::default() };
    let mut world = World::with_org(knobs.clone(), Org::new("a"));
    world.zoho.record_changed("a", &Change::of("BTEC_Teachers", Operation::Edit, &[1]), world.now);
    let told = body(&world.read("settings/modules", None));
    let modules = told["modules"].as_array().unwrap();
    let kind = |name: &str| {
        let module = modules.iter().find(|module| module["api_name"] == name);
        module.map(|module| module["generated_type"].as_str().unwrap().to_owned())
    };
    assert_eq!(kind("Deals").as_deref(), Some("default"));
    assert_eq!(kind("BTEC_Teachers").as_deref(), Some("custom"));
    assert_eq!(kind("CustomModule7"), None);
    assert_eq!(world.read("settings/modules", Some("2026-11-01T00:00:00+00:00")).status, 304);
    let mut bigin = World::with_org(knobs, Org::of(Product::Bigin, "a"));
    bigin.version = "v2";
    let told = body(&bigin.read("settings/modules", None));
    assert_eq!(told["modules"].as_array().unwrap().len(), 7);
}
