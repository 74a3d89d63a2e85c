//! What was learned of an account, and what it changes in a plan.

use expect_test::expect;

use super::*;
use crate::model::learned::{Attempts, Learned, LifetimeLearned};
use crate::plan::decide::LIFETIME_GUARD;
use crate::plan::learn::{ATTEMPTS_MAX, learn};
use crate::plan::step::{Action, Ask, Reason, Step};

/// One channel that wants a week and was given an hour, two minutes ago.
fn short() -> World {
    let mut world = World::empty();
    world.declare(1);
    world.spec(1).lifetime = WEEK;
    world.enable(1);
    world.record(1).grant =
        Some(Grant { at: hours(0), asked: after(hours(0), WEEK - LIFETIME_GUARD), expiry: hours(1) });
    world.observed(1).expiry = Some(hours(1));
    world.now = after(hours(0), MINUTE * 2);
    world
}

/// What is learned when `asked` was asked for, and an hour granted.
fn lesson(world: &World, reason: Reason, asked: Duration, granted: Duration, measured: bool) -> Learned {
    let spec = world.specs[&id(1)].clone();
    let grant = Grant { at: world.now, asked: after(world.now, asked), expiry: after(world.now, granted) };
    let action = Action::Enable(Ask { spec, expiry: grant.asked });
    let step = Step { id: id(1), name: name(1), action, reason, expiry: None };
    learn(&world.state.learned, &world.policy, &[(&step, grant)], measured, world.now)
}

fn max(learned: &Learned) -> Option<Duration> {
    learned.lifetime.map(|learned| learned.max)
}

#[test]
fn a_short_grant_is_asked_for_again_with_what_can_be_had() {
    let mut world = short();
    world.state.learned = lesson(&world, Reason::Missing, WEEK - LIFETIME_GUARD, HOUR, true);
    world.check(&expect![[r#"
        account acme: 1 step, 0 held, 0 kept, 0 foreign
          ~ enable        c1 (short-grant, 58m left, asks for 2026-01-02T00:01:30Z)
          next wake in 30s
    "#]]);
}

#[test]
fn what_a_short_grant_teaches() {
    let world = short();
    let missing = || Reason::Missing;
    assert_eq!(max(&lesson(&world, missing(), WEEK, HOUR, true)), Some(DAY), "one day is granted by every source");
    assert_eq!(max(&lesson(&world, missing(), WEEK, DAY * 3, true)), Some(DAY * 3), "what was granted is to be had");
    assert_eq!(
        max(&lesson(&world, missing(), DAY, HOUR, true)),
        Some(DAY),
        "a second too much, perhaps: with the guard"
    );
    assert_eq!(max(&lesson(&world, missing(), DAY - LIFETIME_GUARD, HOUR, true)), None, "doubted once");
    assert_eq!(max(&lesson(&world, missing(), WEEK, HOUR, false)), None, "the clock may be to blame");
    assert_eq!(max(&lesson(&world, missing(), WEEK, WEEK - HOUR, true)), None, "that is not short");
}

#[test]
fn under_a_day_is_believed_at_the_second_attempt_and_a_clock_that_is_never_measured_at_the_first() {
    let mut world = short();
    world.state.learned = lesson(&world, Reason::ShortGrant, DAY - LIFETIME_GUARD, HOUR, true);
    assert_eq!(max(&world.state.learned), None);
    assert_eq!(max(&lesson(&world, Reason::ShortGrant, DAY - LIFETIME_GUARD, HOUR, true)), Some(HOUR));
    assert_eq!(max(&lesson(&world, Reason::ShortGrant, WEEK, HOUR, false)), Some(DAY));
}

#[test]
fn a_life_that_is_all_there_is_to_be_had_is_not_asked_for_again() {
    let mut world = short();
    let lifetime = LifetimeLearned { max: HOUR, asked: DAY, granted: HOUR, configured: WEEK, at: hours(0) };
    world.state.learned = Learned { lifetime: Some(lifetime), ..Learned::default() };
    assert!(world.titles().is_empty(), "{}", world.text());
}

#[test]
fn a_day_has_only_so_many_attempts_at_a_longer_life() {
    let mut world = short();
    assert_eq!(world.titles(), ["enable (short-grant)"]);
    world.state.learned.short_grants = Attempts { count: ATTEMPTS_MAX, since: Some(hours(0)) };
    assert!(world.titles().is_empty(), "{}", world.text());
    world.now = after(hours(0), MINUTE * 31);
    assert_eq!(world.titles(), ["enable (renew)"], "the renewal is as it ever was");
}

#[test]
fn what_was_learned_of_another_config_does_not_count() {
    let mut world = short();
    let lifetime = LifetimeLearned { max: HOUR, asked: DAY, granted: HOUR, configured: DAY * 2, at: hours(0) };
    world.state.learned = Learned { lifetime: Some(lifetime), ..Learned::default() };
    assert_eq!(world.titles(), ["enable (short-grant)"]);
}
