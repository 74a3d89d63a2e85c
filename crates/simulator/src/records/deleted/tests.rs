//! The list of the deleted, as documented and as the knobs have it.

use std::time::Duration;

use serde_json::json;

use super::super::knobs::{DeletedOrder, PurgeTime, RecordKnobs};
use crate::change::Change;
use crate::knobs::{Knobs, Length};
use crate::model::events::Operation;
use crate::org::Org;
use crate::testing::{World, body};

fn world(records: RecordKnobs) -> World {
    let access_token_life = Length(Duration::from_secs(400 * 86_400));
    let knobs = Knobs { records, zone: "+00:00".to_owned(), access_token_life, ..Knobs::default() };
    World::with_org(knobs, Org::new("a").reading())
}

/// Deals 2, 1 and 3 are deleted, a minute apart, and 1 is purged a minute later.
fn three_deleted(records: RecordKnobs) -> World {
    let mut world = world(records);
    for id in [2, 1, 3] {
        world.zoho.record_changed("a", &Change::of("Deals", Operation::Delete, &[id]), world.now);
        world.pass(60);
    }
    world.zoho.purge("a", "Deals", &[1], world.now);
    world
}

fn ids(world: &mut World, path: &str, since: Option<&str>) -> String {
    let response = world.read(path, since);
    if response.body.is_empty() {
        return response.status.to_string();
    }
    let rows = body(&response)["data"].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["id"].as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_page_of_the_deleted_is_answered_as_documented() {
    let mut world = three_deleted(RecordKnobs::default());
    let user = json!({"name": "Patricia Boyle", "id": "3652397000000186017"});
    let row = json!({
        "deleted_by": user,
        "id": "2",
        "display_name": "Deals 2",
        "type": "recycle",
        "created_by": user,
        "deleted_time": "2026-11-23T16:00:00+00:00",
    });
    let info = json!({"per_page": 1, "count": 1, "page": 2, "more_records": true});
    assert_eq!(
        body(&world.read("Deals/deleted?per_page=1&page=2", None)),
        json!({"data": [row], "info": info})
    );
}

#[test]
fn of_what_is_gone_for_good_only_id_and_time_are_told() {
    let mut world = three_deleted(RecordKnobs::default());
    let page = body(&world.read("Deals/deleted?type=permanent", None));
    let row = json!({
        "deleted_by": null,
        "id": "1",
        "display_name": null,
        "type": "permanent",
        "created_by": null,
        "deleted_time": "2026-11-23T16:01:00+00:00",
    });
    assert_eq!(page["data"], json!([row]));
}

#[test]
fn kinds_and_times_narrow_the_list() {
    let mut world = three_deleted(RecordKnobs::default());
    let table = [
        ("Deals/deleted", None, "3 2 1"),
        ("Deals/deleted?type=all", None, "3 2 1"),
        ("Deals/deleted?type=recycle", None, "3 2"),
        ("Deals/deleted", Some("2026-11-23T16:01:00Z"), "3 1"),
        ("Deals/deleted", Some("2026-11-23T16:03:00Z"), "304"),
        ("Leads/deleted", None, "204"),
    ];
    for (path, since, expected) in table {
        assert_eq!(ids(&mut world, path, since), expected, "{path} {since:?}");
    }
    let wrong = world.read("Deals/deleted?type=some", None);
    assert_eq!((wrong.status, &body(&wrong)["code"]), (400, &json!("PATTERN_NOT_MATCHED")));
}

#[test]
fn the_order_is_a_knob() {
    let table = [
        (DeletedOrder::NewestId, "3 2 1"),
        (DeletedOrder::OldestId, "1 2 3"),
        (DeletedOrder::Latest, "3 1 2"),
        (DeletedOrder::Earliest, "2 1 3"),
    ];
    for (deleted_order, expected) in table {
        let mut world = three_deleted(RecordKnobs { deleted_order, ..RecordKnobs::default() });
        assert_eq!(ids(&mut world, "Deals/deleted", None), expected);
    }
}

#[test]
fn the_list_forgets_and_a_restored_record_leaves_it() {
    let mut world = three_deleted(RecordKnobs::default());
    world.zoho.restore("a", "Deals", &[2, 1], world.now);
    assert_eq!(ids(&mut world, "Deals/deleted", None), "3 1", "what is purged stays gone");
    assert!(world.zoho.holds("a", "Deals", 2));
    world.pass(60 * 86_400);
    assert_eq!(ids(&mut world, "Deals/deleted?type=recycle", None), "204");
    assert_eq!(ids(&mut world, "Deals/deleted?type=permanent", None), "3 1");
    world.pass(60 * 86_400);
    assert_eq!(ids(&mut world, "Deals/deleted", None), "3");
    world.pass(61 * 86_400);
    assert_eq!(ids(&mut world, "Deals/deleted", None), "204");
}

#[test]
fn a_purge_may_move_the_time_of_the_deletion() {
    let records = RecordKnobs { purge_time: PurgeTime::Moved, ..RecordKnobs::default() };
    let mut world = three_deleted(records);
    let page = body(&world.read("Deals/deleted?type=permanent", Some("2026-11-23T16:03:00Z")));
    assert_eq!(page["data"][0]["deleted_time"], "2026-11-23T16:03:00+00:00");
}
