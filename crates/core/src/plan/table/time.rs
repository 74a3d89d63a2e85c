//! Clocks, skew, expiries and the next wake.

use expect_test::expect;

use super::*;
use crate::model::learned::Attempts;
use crate::plan::limits_learned::ATTEMPTS_MAX;
use crate::plan::renewal::{Life, Phase, slack};
use crate::plan::step::{Action, Reason};

#[test]
fn what_is_asked_for_counts_from_zohos_clock_when_ours_is_ahead() {
    let mut world = skewed(-2 * 3_600_000);
    world.lose(1);
    world.check(&expect![[r#"
        account acme: 1 step to do
          + enable        c1 (missing, 21h left, asks for 2026-01-02T01:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn what_is_asked_for_counts_from_zohos_clock_when_ours_is_behind() {
    let mut world = skewed(2 * 3_600_000);
    world.lose(1);
    world.check(&expect![[r#"
        account acme: 1 step to do
          + enable        c1 (missing, 1d 1h left, asks for 2026-01-02T01:00:00Z)
          next wake in 30s
    "#]]);
}

/// The outage that `check` promises to survive is the margin without the loop's own period and one
/// call that times out.
#[test]
fn slack_is_the_margin_without_the_loops_period_and_one_time_out() {
    let (spec, account) = (spec(1), "acme".parse().unwrap());
    for request_timeout in [Duration::ZERO, Duration::from_secs(30)] {
        let slack = slack(&spec, &account, request_timeout);
        assert_eq!(slack.margin - slack.outage, Duration::from_secs(30) + request_timeout);
        let life = Life { length: spec.lifetime, expiry: Timestamp::UNIX_EPOCH };
        let due = life.due_at(spec.renew_before, Phase::of(&account));
        assert_eq!(slack.margin, crate::model::time::span(due, life.expiry));
        let emergencies = (DAY / 8).as_secs() / 30;
        assert!((emergencies as u32..999).contains(&slack.failed_passes), "{slack:?}");
    }
}

#[test]
fn the_next_wake_is_by_the_local_clock() {
    for skew_hours in [-30, -2, 0, 2, 30] {
        let world = skewed(skew_hours * 3_600_000);
        assert_eq!(world.plan().kept, [id(1)], "{skew_hours}");
        assert_eq!(brief(world.sleep()), "10h 45m", "{skew_hours}");
    }
}

#[test]
fn a_clock_that_is_wrong_by_years_changes_nothing_once_the_skew_is_measured() {
    let years = 50 * 365 * 24 * 3_600_000;
    for skew in [-years, years] {
        let mut world = skewed(skew);
        assert_eq!(brief(world.sleep()), "10h 45m");
        world.now = after(world.now, HOUR * 11);
        assert_eq!(asks(&world), [hours(36)]);
    }
}

#[test]
fn a_clock_in_1970_renews_nothing_early_and_sleeps_no_longer_than_a_day() {
    let mut world = World::converged(1);
    world.state.skew_ms = None;
    world.now = Timestamp::UNIX_EPOCH;
    world.check(&expect![[r#"
        account acme: nothing to do, 1 channel is as declared
          next wake in 1d
    "#]]);
}

#[test]
fn the_expiry_asked_for_has_whole_seconds() {
    let mut world = World::converged(1);
    world.now = after(hours(12), Duration::from_millis(999));
    assert_eq!(asks(&world), [hours(36)]);
}

#[test]
fn the_longest_lifetime_is_asked_for_less_a_guard() {
    let asked = |lifetime: Duration| {
        let mut world = World::empty();
        world.declare(1);
        world.spec(1).lifetime = lifetime;
        span(world.now, asks(&world)[0])
    };
    let guard = SECOND * 30;
    assert_eq!(asked(WEEK), WEEK - guard);
    assert_eq!(asked(WEEK + DAY), WEEK - guard);
    assert_eq!(asked(WEEK - SECOND), WEEK - guard);
    assert_eq!(asked(WEEK - guard), WEEK - guard);
    assert_eq!(asked(WEEK - guard - SECOND), WEEK - guard - SECOND);
    assert_eq!(asked(DAY), DAY);
}

#[test]
fn a_short_grant_is_scheduled_by_the_grant() {
    let mut world = World::converged(1);
    world.record(1).grant = Some(Grant { at: hours(0), asked: hours(24), expiry: hours(1) });
    world.observed(1).expiry = Some(hours(1));
    world.now = after(hours(0), MINUTE * 20);
    world.state.learned.short_grants = Attempts { count: ATTEMPTS_MAX, since: Some(hours(0)) };
    world.check(&expect![[r#"
        account acme: nothing to do, 1 channel is as declared
          next wake in 9m 23s
    "#]]);
    world.now = after(hours(0), MINUTE * 30);
    assert_eq!(reasons(&world), [Reason::Renew]);
    world.now = after(hours(0), MINUTE * 53);
    assert_eq!(reasons(&world), [Reason::Emergency]);
}

#[test]
fn an_expiry_that_is_not_the_granted_one_is_believed_and_the_declared_lifetime_with_it() {
    let mut world = World::converged(1);
    world.observed(1).expiry = Some(hours(20));
    world.check(&expect![[r#"
        account acme: nothing to do, 1 channel is as declared
          next wake in 6h 45m
    "#]]);
    world.observed(1).expiry = Some(hours(4));
    assert_eq!(reasons(&world), [Reason::Emergency]);
    world.observed(1).expiry = Some(after(hours(24), SECOND));
    assert_eq!(brief(world.sleep()), "10h 45m");
}

#[test]
fn without_an_expiry_in_the_list_the_grant_counts() {
    let mut world = World::converged(1);
    world.observed(1).expiry = None;
    assert_eq!(brief(world.sleep()), "10h 45m");
    world.now = hours(30);
    assert_eq!(reasons(&world), [Reason::Emergency]);
}

#[test]
fn without_any_expiry_a_channel_is_renewed() {
    let mut world = World::converged(1);
    world.observed(1).expiry = None;
    world.record(1).grant = None;
    assert_eq!(reasons(&world), [Reason::Renew]);
}

#[test]
fn an_expiry_in_the_far_future_is_kept_and_looked_at_daily() {
    let mut world = World::converged(1);
    world.observed(1).expiry = Some("9999-12-01T00:00:00Z".parse().unwrap());
    world.check(&expect![[r#"
        account acme: nothing to do, 1 channel is as declared
          next wake in 1d
    "#]]);
    world.observed(1).expiry = Some(Timestamp::MAX);
    assert_eq!(world.sleep(), DAY);
}

#[test]
fn a_renew_before_is_honoured_and_wakes_for_it() {
    let mut world = World::converged(1);
    world.spec(1).renew_before = Some(HOUR * 18);
    assert_eq!(brief(world.sleep()), "4h 45m");
    world.spec(1).renew_before = Some(HOUR);
    assert_eq!(brief(world.sleep()), "19h 45m");
}

#[test]
fn a_repair_keeps_the_granted_expiry() {
    let mut world = drifted(hours(24));
    assert_eq!(asks(&world), [hours(24)]);
    world.record(1).grant =
        Some(Grant { at: hours(0), asked: hours(24), expiry: before(hours(24), SECOND) });
    assert_eq!(asks(&world), [hours(24)]);
}

#[test]
fn a_repair_asks_for_a_whole_life_when_the_expiry_is_not_the_granted_one() {
    assert_eq!(asks(&drifted(hours(20))), [hours(25)]);
    assert_eq!(asks(&drifted(hours(100))), [hours(25)]);
}

#[test]
fn a_repair_never_asks_for_more_than_zoho_gives() {
    let mut world = World::converged(1);
    world.spec(1).lifetime = WEEK;
    world.enable(1);
    assert_eq!(world.record(1).grant.unwrap().expiry, hours(169));
    world.observed(1).notify_on_related_action = [false].into();
    world.now = hours(2);
    assert_eq!(asks(&world), [hours(169)]);
    world.policy.lifetime_max = DAY;
    assert_eq!(asks(&world), [seconds_before(hours(26), 30)]);
}

#[test]
fn a_repair_does_not_keep_an_expiry_that_is_minutes_away() {
    let mut world = drifted(hours(24));
    let soon = |minutes: u32| after(hours(1), MINUTE * minutes);
    for (left, asked) in [(6, soon(6)), (5, hours(25))] {
        world.record(1).grant = Some(Grant { at: hours(1), asked: soon(left), expiry: soon(left) });
        world.observed(1).expiry = Some(soon(left));
        assert_eq!(asks(&world), [asked], "{left}");
    }
}

#[test]
fn a_wake_is_never_in_the_past() {
    let mut world = World::converged(1);
    for minutes in 0..=26 * 60 {
        world.now = after(hours(0), MINUTE * minutes);
        let plan = world.plan();
        assert!(plan.next_wake > plan.at, "{minutes}");
        assert!(plan.next_wake <= after(plan.at, DAY), "{minutes}");
    }
}

#[test]
fn a_pass_that_comes_when_it_was_asked_for_finds_something_to_do() {
    let mut world = World::converged(1);
    world.now = world.plan().next_wake;
    assert_eq!(reasons(&world), [Reason::Renew]);
    world.policy.mode = Mode::Observe;
    world.now = world.plan().next_wake;
    world.policy.mode = Mode::Sync;
    assert_eq!(reasons(&world), [Reason::Emergency]);
}

/// One hour into a converged account, by a local clock that Zoho's is so far ahead of.
fn skewed(skew_ms: i64) -> World {
    let mut world = World::converged(1);
    world.state.skew_ms = Some(skew_ms);
    world.now = world.state.local_time(world.now);
    world
}

/// One hour into a converged account whose channel has drifted and ends at `expiry`.
fn drifted(expiry: Timestamp) -> World {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    world.observed(1).expiry = Some(expiry);
    world
}

fn asks(world: &World) -> Vec<Timestamp> {
    let asked = |action| match action {
        Action::Enable(ask) | Action::Update(ask) | Action::Replace(ask) => Some(ask.expiry),
        Action::TakeOver(_) | Action::RemoveEvents(..) | Action::Disable | Action::Forget => None,
    };
    world.plan().steps.into_iter().filter_map(|step| asked(step.action)).collect()
}

fn reasons(world: &World) -> Vec<Reason> {
    world.plan().steps.into_iter().map(|step| step.reason).collect()
}
