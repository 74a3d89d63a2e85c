//! Overlaps: the same event to the same URL from two channels.

use super::super::overlap::overlaps;
use super::*;
use crate::model::channel::NotifyUrl;
use crate::model::events::{Events, Operation, Operations};
use expect_test::{Expect, expect};

fn events(module: &str, operations: &[Operation]) -> Events {
    let mut events = Events::default();
    let none = Operations::default();
    events.insert(module, operations.iter().fold(none, |all, one| all.with(*one)));
    events
}

fn url(world: &mut World, number: i64, url: &str) {
    world.spec(number).notify_url = NotifyUrl::new(url);
}

fn check(world: &World, expected: &Expect) {
    let overlaps = overlaps(&world.specs, &world.records, Some(&world.look));
    let lines: Vec<String> = overlaps.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// Channel 1 and 2 of different URLs.
fn apart() -> World {
    let mut world = World::converged(2);
    url(&mut world, 1, "https://h.example.com/a?key=s3cret");
    url(&mut world, 2, "https://h.example.com/b");
    world
}

#[test]
fn channels_of_different_urls_or_events_do_not_overlap() {
    check(&apart(), &expect![""]);
    let mut world = World::converged(2);
    world.spec(1).events = events("Deals", &[Operation::Edit]);
    world.spec(2).events = events("Deals", &[Operation::Create]);
    check(&world, &expect![""]);
}

#[test]
fn two_declared_channels_and_a_foreign_one_that_send_the_same_event_to_one_url_are_said() {
    let mut world = apart();
    url(&mut world, 2, "https://h.example.com/a?key=s3cret");
    world.spec(2).events = events("Deals", &[Operation::Edit]);
    check(&world, &expect!["Deals.edit goes 2 times to https://h.example.com/a?...: from c1, c2"]);
    let mut foreign = world.observed(1).clone();
    foreign.notify_urls =
        std::iter::once(NotifyUrl::new("https://h.example.com/a?key=s3cret")).collect();
    foreign.events = events("Deals", &[Operation::Edit, Operation::Create]);
    world.seen().insert(id(99), foreign);
    check(
        &world,
        &expect![[r#"
        Deals.edit goes 3 times to https://h.example.com/a?...: from c1, c2, the foreign channel 99
        Deals.create goes 2 times to https://h.example.com/a?...: from c1, the foreign channel 99"#]],
    );
    assert!(world.plan().steps.iter().all(|step| step.id != id(99)), "a note, and no step");
    assert_eq!(world.plan().overlaps.len(), 2);
}

#[test]
fn a_channel_of_ours_that_is_about_to_go_does_not_overlap() {
    let mut world = World::converged(2);
    world.retire(2);
    check(&world, &expect![""]);
}
