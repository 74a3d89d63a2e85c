//! Full batches, and the order of steps.

use expect_test::expect;

use super::*;
use crate::plan::step::Reason;

#[test]
fn a_batch_with_room_takes_the_channels_that_are_due_next() {
    let mut world = staggered(4);
    world.policy.batch_max = 3;
    world.check(&expect![[r#"
        account acme: 3 steps to do, 1 channel is as declared
          ~ enable        c1 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ~ enable        c2 (together, 13h left, asks for 2026-01-02T12:00:00Z)
          ~ enable        c3 (together, 14h left, asks for 2026-01-02T12:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn a_full_batch_takes_nobody_along() {
    let mut world = staggered(4);
    world.policy.batch_max = 1;
    assert_eq!(world.titles(), ["enable (renew)"]);
}

#[test]
fn a_batch_of_new_channels_takes_nobody_along() {
    let mut world = World::converged(2);
    world.declare(3);
    assert_eq!(world.titles(), ["enable (missing)"]);
}

#[test]
fn channels_that_are_observed_or_were_refused_do_not_ride_along_and_take_no_room() {
    let mut world = staggered(4);
    world.policy.batch_max = 2;
    world.spec(2).mode = Mode::Observe;
    world.refuse(3, "INVALID_DATA", 1);
    let plan = world.plan();
    assert_eq!(plan.steps.iter().map(|step| step.id).collect::<Vec<_>>(), [id(1), id(4)]);
    assert_eq!(plan.steps[1].reason, Reason::Together);
    assert_eq!(plan.kept, [id(2), id(3)]);
}

#[test]
fn a_batch_size_of_zero_is_taken_for_one() {
    let mut world = staggered(2);
    world.policy.batch_max = 0;
    assert_eq!(world.titles(), ["enable (renew)"]);
}

#[test]
fn steps_stand_in_the_order_in_which_they_matter() {
    let mut world = staggered(9);
    world.policy.batch_max = 5;
    world.now = hours(21);
    world.lose(2);
    world.retire(3);
    world.retire(4);
    world.lose(4);
    world.disown(5);
    world.observed(6).events = ["Deals.all", "Leads.all"].into_iter().collect();
    world.observed(7).notify_on_related_action = [false].into();
    world.check(&expect![[r#"
        account acme: 12 steps to do
          ~ take-over     c5 (taken-over, 7h left)
          ~ enable        c1 (emergency, 3h left, asks for 2026-01-02T21:00:00Z)
          + enable        c2 (missing, 4h left, asks for 2026-01-02T21:00:00Z)
          ~ enable        c6 (renew, 8h left, asks for 2026-01-02T21:00:00Z)
          ~ enable        c7 (renew, 9h left, asks for 2026-01-02T21:00:00Z)
          ~ update        c6 (drift, 8h left, asks for 2026-01-02T21:00:00Z)
              events: missing Contacts.create; extra Leads.all
          ~ update        c7 (drift, 9h left, asks for 2026-01-02T21:00:00Z)
              notify_on_related_action: false instead of true
          ~ enable        c5 (renew, 7h left, asks for 2026-01-02T21:00:00Z)
          ~ enable        c8 (renew, 10h left, asks for 2026-01-02T21:00:00Z)
          ~ enable        c9 (renew, 11h left, asks for 2026-01-02T21:00:00Z)
          - disable       c3 (retired, 5h left)
          - forget        c4 (gone)
          next wake in 30s
    "#]]);
}

#[test]
fn of_two_emergencies_the_nearer_expiry_comes_first() {
    let mut world = staggered(3);
    world.now = hours(23);
    world.observed(3).expiry = Some(after(world.now, SECOND));
    let order: Vec<_> = world.plan().steps.iter().map(|step| step.id).collect();
    assert_eq!(order, [id(3), id(1), id(2)]);
}

/// Channels granted an hour one after the other, when only the first is due.
fn staggered(channels: i64) -> World {
    let mut world = World::empty();
    for number in 1..=channels {
        world.now = hours(number as u64 - 1);
        world.declare(number);
        world.enable(number);
    }
    world.now = hours(12);
    world
}
