//! What was learned of an account, and what it changes in a plan.

use expect_test::expect;

use super::*;
use crate::model::learned::{Attempts, BatchLearned, Learned, LifetimeLearned, Refusing};
use crate::plan::decide::{LIFETIME_GUARD, NOT_SUBSCRIBED};
use crate::plan::learn::{ATTEMPTS_MAX, Calls, Said, learn, learn_calls};
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
    learn(&world.state.learned, &world.policy, &[(&step, Said::Granted(grant))], measured, world.now)
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
    assert_eq!(max(&lesson(&world, missing(), DAY - LIFETIME_GUARD, HOUR, true)), None, "not believed");
    assert_eq!(max(&lesson(&world, missing(), WEEK, HOUR, false)), None, "the clock may be to blame");
    assert_eq!(max(&lesson(&world, missing(), WEEK, WEEK - HOUR, true)), None, "that is not short");
}

#[test]
fn under_a_day_is_never_believed_and_a_clock_that_is_never_measured_at_the_first_attempt() {
    let mut world = short();
    for _ in 0..ATTEMPTS_MAX {
        world.state.learned = lesson(&world, Reason::ShortGrant, DAY - LIFETIME_GUARD, HOUR, true);
        assert_eq!(max(&world.state.learned), None, "a day may be had again in an hour");
    }
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

#[test]
fn a_live_channel_that_may_not_be_posted_is_put_and_so_are_its_neighbours_from_then_on() {
    let mut world = World::converged(2);
    world.now = hours(12);
    world.refuse(1, "DUPLICATE_DATA", 1);
    world.state.learned.post_refused = Some(world.now);
    world.check(&expect![[r#"
        account acme: 2 steps, 0 held, 0 kept, 0 foreign
          ~ replace       c1 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ~ replace       c2 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          next wake in 30s
    "#]]);
    world.refuse(1, NOT_SUBSCRIBED, 1);
    assert_eq!(world.titles(), ["enable (not-subscribed)", "replace (renew)"]);
    world.state.learned.post_refused = Some(hours(13));
    assert_eq!(world.titles(), ["enable (not-subscribed)", "enable (renew)"], "what is in the future does not count");
}

#[test]
fn an_id_that_is_taken_is_replaced_only_while_our_own_grant_runs() {
    let mut world = World::converged(1);
    world.lose(1);
    world.refuse(1, "ALREADY_USED", 1);
    assert_eq!(world.titles(), ["replace (missing)"], "the list left it out");
    world.refuse(1, "ALREADY_USED", 2);
    assert!(world.titles().is_empty(), "{}", world.text());
    world.refuse(1, "ALREADY_USED", 1);
    world.record(1).grant = None;
    world.check(&expect![[r#"
        account acme: 0 steps, 1 held, 0 kept, 0 foreign
          ! rejected      c1: Zoho refused it with ALREADY_USED: no (again in 5m)
          next wake in 5m
    "#]]);
}

#[test]
fn a_blind_renewal_goes_by_put_where_post_is_refused() {
    let mut world = World::converged(1);
    world.now = hours(22);
    world.look_fails();
    world.state.learned.post_refused = Some(hours(0));
    assert_eq!(world.titles(), ["replace (emergency-blind)"]);
}

#[test]
fn a_missing_channel_whose_id_is_taken_teaches_nothing_of_the_account() {
    let world = short();
    let spec = world.specs[&id(1)].clone();
    let action = Action::Enable(Ask { spec, expiry: hours(24) });
    let mut step = Step { id: id(1), name: name(1), action, reason: Reason::Missing, expiry: None };
    let learned = |step: &Step| {
        let said = [(step, Said::Refused("ALREADY_USED"))];
        learn(&world.state.learned, &world.policy, &said, true, world.now).post_refused
    };
    assert_eq!(learned(&step), None);
    step.reason = Reason::Renew;
    assert_eq!(learned(&step), Some(world.now));
}

#[test]
fn an_account_that_refuses_whatever_it_is_sent_waits_even_with_what_is_urgent() {
    let mut world = World::converged(2);
    world.now = hours(12);
    world.lose(1);
    world.state.learned.refusing = Some(Refusing { code: "INVALID_DATA".to_owned(), at: hours(12) });
    world.check(&expect![[r#"
        account acme: 0 steps, 2 held, 0 kept, 0 foreign
          ! back-off      c1: enable (missing) waits: every batch is refused with INVALID_DATA (again in 5m)
          ! back-off      c2: enable (renew) waits: every batch is refused with INVALID_DATA (again in 5m)
          next wake in 5m
    "#]]);
    world.now = after(hours(12), MINUTE * 5);
    assert_eq!(world.titles(), ["enable (missing)", "enable (renew)"]);
    world.state.learned.refusing = Some(Refusing { code: "INVALID_DATA".to_owned(), at: hours(13) });
    assert_eq!(world.titles().len(), 2, "what is in the future does not count");
}

#[test]
fn a_call_is_filled_up_to_the_size_that_was_learned() {
    let mut world = World::converged(9);
    world.spec(1).renew_before = Some(HOUR * 14);
    world.now = hours(11);
    assert_eq!(world.plan().batch_max, 50);
    assert_eq!(world.titles().len(), 9);
    world.state.learned.batch = Some(BatchLearned { max: 4, configured: 50, at: hours(0) });
    assert_eq!((world.plan().batch_max, world.titles().len()), (4, 4));
    world.policy.batch_max = 40;
    assert_eq!(world.plan().batch_max, 40, "the config says something new");
}

#[test]
fn what_calls_teach() {
    let world = World::converged(1);
    let refusing = Calls { refusing: Some("INVALID_DATA".to_owned()), ..Calls::default() };
    let learned = learn_calls(Learned::default(), &world.policy, &refusing, world.now);
    assert_eq!(learned.refusing.as_ref().map(|refusing| refusing.at), Some(world.now));
    let nothing = learn_calls(learned.clone(), &world.policy, &Calls::default(), hours(2));
    assert_eq!(nothing, learned);
    let accepted = Calls { accepted: true, size: Some(6), refusing: None };
    let learned = learn_calls(learned, &world.policy, &accepted, hours(3));
    assert_eq!((learned.refusing, learned.batch.map(|batch| batch.max)), (None, Some(6)));
}
