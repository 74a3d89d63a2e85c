//! The lessons about an account, and the changes they make in a plan.

use expect_test::expect;

use super::*;
use crate::model::codes::NOT_SUBSCRIBED;
use crate::model::learned::{Attempts, BatchLearned, Learned, LifetimeLearned, Refusing};
use crate::plan::limits_learned::LIFETIME_GUARD;
use crate::plan::limits_learned::{
    ATTEMPTS_MAX, CallFates, Said, can_do_better, learn, learn_calls,
};
use crate::plan::step::{Action, Ask, Reason, Step};

/// One channel that wants a week and was given an hour, two minutes ago.
fn short() -> World {
    let mut world = World::empty();
    world.declare(1);
    world.spec(1).lifetime = WEEK;
    world.enable(1);
    world.record(1).grant = Some(Grant {
        at: hours(0),
        asked: after(hours(0), WEEK - LIFETIME_GUARD),
        expiry: hours(1),
    });
    world.observed(1).expiry = Some(hours(1));
    world.now = after(hours(0), MINUTE * 2);
    world
}

/// The lesson learned when `asked` was asked for and an hour was granted.
fn lesson(
    world: &World,
    reason: Reason,
    asked: Duration,
    granted: Duration,
    measured: bool,
) -> Learned {
    let spec = world.specs[&id(1)].clone();
    let grant =
        Grant { at: world.now, asked: after(world.now, asked), expiry: after(world.now, granted) };
    let action = Action::Enable(Ask::new(spec, grant.asked));
    let step = Step { id: id(1), name: name(1), action, reason, expiry: None };
    learn(
        &world.state.learned,
        &world.policy,
        &[(&step, Said::Granted(grant))],
        measured,
        world.now,
    )
}

fn max(learned: &Learned) -> Option<Duration> {
    learned.lifetime.map(|learned| learned.max)
}

#[test]
fn a_short_grant_is_asked_for_again_with_what_can_be_had() {
    let mut world = short();
    world.state.learned = lesson(&world, Reason::Missing, WEEK - LIFETIME_GUARD, HOUR, true);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (short-grant, 58m left, asks for 2026-01-02T00:01:30Z)
          * this account grants at most 1d; lifetime = "7d" is not to be had: set lifetime or lifetime_max
          next wake in 30s
    "#]]);
}

#[test]
fn what_a_short_grant_teaches() {
    let world = short();
    let missing = || Reason::Missing;
    assert_eq!(
        max(&lesson(&world, missing(), WEEK, HOUR, true)),
        Some(DAY),
        "one day is granted by every source"
    );
    assert_eq!(
        max(&lesson(&world, missing(), WEEK, DAY * 3, true)),
        Some(DAY * 3),
        "what was granted is to be had"
    );
    assert_eq!(
        max(&lesson(&world, missing(), DAY, HOUR, true)),
        Some(DAY),
        "a second too much, perhaps: with the guard"
    );
    assert_eq!(
        max(&lesson(&world, missing(), DAY - LIFETIME_GUARD, HOUR, true)),
        None,
        "not believed"
    );
    assert_eq!(
        max(&lesson(&world, missing(), WEEK, HOUR, false)),
        None,
        "the clock may be to blame"
    );
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
    let lifetime =
        LifetimeLearned { max: HOUR, asked: DAY, granted: HOUR, configured: WEEK, at: hours(0) };
    world.state.learned = Learned { lifetime: Some(lifetime), ..Learned::default() };
    assert!(world.titles().is_empty(), "{}", world.text());
}

#[test]
fn a_quarter_more_life_is_not_worth_a_call_and_a_second_more_than_that_is() {
    let world = short();
    let grant = world.records[&id(1)].grant.unwrap();
    let worth = |asks| can_do_better(grant, asks, &Learned::default(), world.now);
    assert_eq!([MINUTE * 75, MINUTE * 75 + SECOND].map(worth), [false, true]);
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
    let lifetime =
        LifetimeLearned { max: HOUR, asked: DAY, granted: HOUR, configured: DAY * 2, at: hours(0) };
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
        account acme: 2 steps to do
          ~ replace       c1 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ~ replace       c2 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          next wake in 30s
    "#]]);
    world.refuse(1, NOT_SUBSCRIBED, 1);
    assert_eq!(world.titles(), ["enable (not-subscribed)", "replace (renew)"]);
    world.state.learned.post_refused = Some(hours(13));
    assert_eq!(
        world.titles(),
        ["enable (not-subscribed)", "enable (renew)"],
        "what is in the future does not count"
    );
}

#[test]
fn only_a_refusal_that_says_taken_leads_to_put() {
    let mut world = World::converged(1);
    world.now = hours(12);
    for (code, live, gone) in [
        ("ALREADY_USED", "replace (renew)", "replace (missing)"),
        ("DUPLICATE_DATA", "replace (renew)", "replace (missing)"),
        ("INVALID_DATA", "enable (renew)", "enable (missing)"),
    ] {
        let mut world = world.clone();
        world.refuse(1, code, 1);
        world.now = after(world.now, HOUR);
        assert_eq!(world.titles(), [live], "{code}");
        world.lose(1);
        assert_eq!(world.titles(), [gone], "{code}");
    }
    world.lose(1);
    world.now = hours(24);
    world.refuse(1, "ALREADY_USED", 1);
    assert!(
        world.titles().is_empty(),
        "the grant is over, so it may be somebody else's: {}",
        world.text()
    );
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
        account acme: nothing to do, 1 held back
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
    let action = Action::Enable(Ask::new(spec, hours(24)));
    let mut step = Step { id: id(1), name: name(1), action, reason: Reason::Missing, expiry: None };
    let learned = |step: &Step| {
        let said = [(step, Said::Refused { code: "ALREADY_USED", message: "no" })];
        learn(&world.state.learned, &world.policy, &said, true, world.now).post_refused
    };
    assert_eq!(learned(&step), None);
    step.reason = Reason::Renew;
    assert_eq!(learned(&step), Some(world.now));
}

#[test]
fn an_account_that_refuses_whatever_it_is_sent_waits_even_with_what_is_missing() {
    let mut world = World::converged(2);
    world.now = hours(12);
    world.lose(1);
    world.state.learned.refusing =
        Some(Refusing { code: "INVALID_DATA".to_owned(), at: hours(12) });
    world.check(&expect![[r#"
        account acme: nothing to do, 2 held back
          ! back-off      c1: enable (missing) waits: every batch is refused with INVALID_DATA (again in 5m)
          ! back-off      c2: enable (renew) waits: every batch is refused with INVALID_DATA (again in 5m)
          next wake in 5m
    "#]]);
    world.now = after(hours(12), MINUTE * 5);
    assert_eq!(world.titles(), ["enable (missing)", "enable (renew)"]);
    world.state.learned.refusing =
        Some(Refusing { code: "INVALID_DATA".to_owned(), at: hours(13) });
    assert_eq!(world.titles().len(), 2, "what is in the future does not count");
}

#[test]
fn an_emergency_does_not_wait_for_an_account_that_refuses_and_goes_out_alone() {
    let mut world = World::converged(4);
    world.now = hours(21);
    world.state.learned.refusing =
        Some(Refusing { code: "INVALID_DATA".to_owned(), at: hours(21) });
    world.observed(3).expiry = Some(hours(40));
    world.lose(4);
    world.refuse(2, "INVALID_DATA", 1);
    world.check(&expect![[r#"
        account acme: 1 step to do, 2 held back, 1 channel is as declared
          ~ enable        c1 (emergency, 3h left, asks for 2026-01-02T21:00:00Z)
          ! rejected      c2: Zoho refused it with INVALID_DATA: no (again in 5m)
          ! back-off      c4: enable (missing) waits: every batch is refused with INVALID_DATA (again in 5m)
          next wake in 30s
    "#]]);
    assert_eq!(world.plan().batch_max, 1, "none may spoil the batch of another");
    world.look_fails();
    assert_eq!(world.titles(), ["enable (emergency-blind)"; 3]);
}

#[test]
fn the_wait_of_an_account_that_refuses_is_not_drawn_out_by_emergencies() {
    let world = World::converged(1);
    let refused = |learned: Learned, now| {
        let calls = CallFates { refusing: Some("INVALID_DATA".to_owned()), ..CallFates::default() };
        learn_calls(learned, &world.policy, &calls, now)
    };
    let since = |learned: &Learned| learned.refusing.as_ref().map(|refusing| refusing.at);
    let first = refused(Learned::default(), hours(1));
    assert_eq!(since(&refused(first.clone(), after(hours(1), MINUTE * 4))), Some(hours(1)));
    assert_eq!(
        since(&refused(first, after(hours(1), MINUTE * 5))),
        Some(after(hours(1), MINUTE * 5))
    );
}

#[test]
fn a_call_is_filled_up_to_the_size_that_was_learned() {
    let mut world = World::converged(9);
    world.spec(1).renew_before = Some(HOUR * 14);
    world.now = hours(11);
    assert_eq!(world.plan().batch_max, 50);
    assert_eq!(world.titles().len(), 9);
    world.state.learned.batch =
        Some(BatchLearned { max: 4, refused: 5, configured: 50, at: hours(0) });
    assert_eq!((world.plan().batch_max, world.titles().len()), (4, 4));
    world.policy.batch_max = 40;
    assert_eq!(world.plan().batch_max, 40, "the config says something new");
}

#[test]
fn what_calls_teach() {
    let world = World::converged(1);
    let refusing = CallFates { refusing: Some("INVALID_DATA".to_owned()), ..CallFates::default() };
    let learned = learn_calls(Learned::default(), &world.policy, &refusing, world.now);
    assert_eq!(learned.refusing.as_ref().map(|refusing| refusing.at), Some(world.now));
    let nothing = learn_calls(learned.clone(), &world.policy, &CallFates::default(), hours(2));
    assert_eq!(nothing, learned);
    let accepted = CallFates { accepted: true, ..CallFates::default() };
    let learned = learn_calls(learned, &world.policy, &accepted, hours(3));
    assert_eq!(learned, Learned::default());
}

/// The sizes learned after each pass of an account that takes `limit` channels in one write. Each
/// pass has one such write to make; a pass with more to write learns sooner.
fn sizes(limit: usize) -> Vec<(usize, usize)> {
    let (world, mut learned) = (World::empty(), Learned::default());
    let mut known = Vec::new();
    for hour in 0..100 {
        let (mut size, mut calls) =
            (learned.batch_max(&world.policy, hours(hour)), CallFates::default());
        while size > limit {
            calls.too_large = Some(size);
            size /= 2;
        }
        calls.whole = size;
        learned = learn_calls(learned, &world.policy, &calls, hours(hour));
        known.extend(learned.batch.map(|batch| (batch.max, batch.refused)));
        known.dedup();
    }
    known
}

#[test]
fn the_most_channels_of_a_write_are_found_by_halves_and_never_less_than_was_accepted() {
    assert_eq!(sizes(10), [(6, 12), (9, 12), (10, 12), (10, 11)]);
    assert_eq!(sizes(7), [(6, 12), (6, 9), (7, 9), (7, 8)]);
    assert_eq!(sizes(6), [(6, 12), (6, 9), (6, 7)]);
    assert_eq!(sizes(1), [(1, 3), (1, 2)]);
    assert_eq!(sizes(50), []);
    for limit in 1..50 {
        let sizes = sizes(limit);
        assert!(
            sizes.len() <= 6 && sizes.last() == Some(&(limit, limit + 1)),
            "{limit}: {sizes:?}"
        );
        assert!(sizes.is_sorted_by_key(|(accepted, _)| *accepted), "{limit}: {sizes:?}");
    }
}

#[test]
fn what_sizes_do_not_teach() {
    let world = World::converged(1);
    let learned = |known: Option<(usize, usize)>, whole, too_large, hour| {
        let batch =
            known.map(|(max, refused)| BatchLearned { max, refused, configured: 50, at: hours(1) });
        let calls = CallFates { whole, too_large, ..CallFates::default() };
        let learned = learn_calls(
            Learned { batch, ..Learned::default() },
            &world.policy,
            &calls,
            hours(hour),
        );
        learned.batch.map(|batch| (batch.max, batch.refused, batch.at))
    };
    assert_eq!(learned(None, 25, Some(12), 2), None, "more than was refused went through");
    assert_eq!(learned(None, 12, Some(12), 2), None);
    assert_eq!(
        learned(Some((14, 20)), 12, Some(12), 2),
        Some((14, 20, hours(1))),
        "as many went through as were refused"
    );
    assert_eq!(
        learned(Some((6, 12)), 3, None, 2),
        Some((6, 12, hours(1))),
        "less than is known to go through"
    );
    assert_eq!(
        learned(Some((6, 12)), 12, None, 2),
        Some((6, 12, hours(1))),
        "not in a write of this size"
    );
    assert_eq!(
        learned(Some((6, 12)), 2, Some(5), 2),
        Some((2, 5, hours(2))),
        "the account takes less than before"
    );
    assert_eq!(learned(Some((6, 12)), 9, None, 200), None, "too long ago");
}
