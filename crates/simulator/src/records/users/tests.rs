//! Users, as documented and as the knobs have it.

use serde_json::{Value, json};

use super::super::knobs::RecordKnobs;
use crate::change::Change;
use crate::knobs::Knobs;
use crate::model::events::Operation;
use crate::model::exchange::Response;
use crate::org::Org;
use crate::testing::{World, body};

/// The owner of everything, 1 who came at the start, 2 who went a minute later, and 3 who is
/// asleep.
fn world(records: RecordKnobs) -> World {
    let knobs = Knobs { records, zone: "+00:00".to_owned(), ..Knobs::default() };
    let mut world = World::with_org(knobs, Org::new("a").reading());
    let tell = |world: &mut World, change: &Change| {
        world.zoho.record_changed("a", change, world.now);
    };
    tell(&mut world, &Change::of("users", Operation::Create, &[1, 2]).with("full_name", "Ann Bo"));
    tell(&mut world, &Change::of("users", Operation::Create, &[3]).with("status", "inactive"));
    world.pass(60);
    tell(&mut world, &Change::of("users", Operation::Delete, &[2]));
    world
}

fn ids(response: &Response) -> Vec<String> {
    if response.body.is_empty() {
        return Vec::new();
    }
    let rows = body(response)["users"].as_array().cloned().unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

const OWNER: &str = "3652397000000186017";

#[test]
fn a_user_is_shown_as_documented() {
    let mut world = world(RecordKnobs::default());
    let told = body(&world.read("users?type=AllUsers&per_page=2", None));
    let by = json!({ "name": "Patricia Boyle", "id": OWNER });
    let expected = json!({
        "id": "1",
        "full_name": "Ann Bo",
        "first_name": null,
        "last_name": "Ann Bo",
        "email": "user1@example.com",
        "status": "active",
        "confirm": true,
        "role": { "name": "CEO", "id": "3652397000000026005" },
        "profile": { "name": "Standard", "id": "3652397000000026011" },
        "created_time": "2026-11-23T16:00:00+00:00",
        "Modified_Time": "2026-11-23T16:00:00+00:00",
        "created_by": by,
        "Modified_By": by,
        "locale": "en_US",
        "zuid": null,
    });
    assert_eq!(told["users"][1], expected);
    let info = json!({ "per_page": 2, "count": 2, "page": 1, "more_records": true });
    assert_eq!(told["info"], info);
    assert_eq!(ids(&world.read("users?page=2&per_page=2", None)), ["3", "2"]);
    assert_eq!(ids(&world.read("users/1", None)), ["1"]);
    assert_eq!(world.read("users/9", None).status, 204);
}

#[test]
fn a_type_chooses_among_them() {
    let mut world = world(RecordKnobs::default());
    let table: [(&str, &[&str]); 7] = [
        ("AllUsers", &[OWNER, "1", "3", "2"]),
        ("ActiveUsers", &[OWNER, "1"]),
        ("DeactiveUsers", &["3"]),
        ("DeletedUsers", &["2"]),
        ("AdminUsers", &[OWNER]),
        ("CurrentUser", &[OWNER]),
        ("NotConfirmedUsers", &[]),
    ];
    for (kind, expected) in table {
        assert_eq!(ids(&world.read(&format!("users?type={kind}"), None)), expected, "{kind}");
    }
    let wrong = world.read("users?type=Everybody", None);
    assert_eq!((wrong.status, &body(&wrong)["code"]), (400, &json!("INVALID_DATA")));
}

#[test]
fn the_header_finds_those_that_changed_since() {
    let (start, later) = ("2026-11-23T16:00:00+00:00", "2026-11-23T16:01:00+00:00");
    let mut known = world(RecordKnobs::default());
    assert_eq!(ids(&known.read("users", Some(start))), ["1", "3", "2"]);
    assert_eq!(ids(&known.read("users", Some(later))), ["2"]);
    let gone = body(&known.read("users", Some(later)))["users"][0].clone();
    assert_eq!(gone["status"], Value::from("deleted"));
    let none = known.read("users", Some("2026-11-23T16:01:01+00:00"));
    assert_eq!(none.status, 304);
    let mut still = world(RecordKnobs { user_deletion_modifies: false, ..RecordKnobs::default() });
    assert_eq!(still.read("users", Some(later)).status, 304);
}
