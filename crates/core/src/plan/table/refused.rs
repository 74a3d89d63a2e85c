//! The course of refusals, and of drift that comes back.

use expect_test::expect;

use super::*;
use crate::model::codes::{NOT_SUBSCRIBED, SCOPE_MISMATCH};
use crate::model::declared::Declared;
use crate::model::learned::Refusing;
use crate::model::oddity::Oddity;
use crate::model::record::Repairs;
use crate::plan::drift;
use crate::plan::step::{Action, Cause, Reason};

#[test]
fn a_refused_spec_is_held_until_its_wait_is_over() {
    let mut world = World::converged(2);
    world.observed(1).notify_on_related_action = [false].into();
    world.refuse(1, "INVALID_DATA", 1);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back, 1 channel is as declared
          ! rejected      c1: Zoho refused it with INVALID_DATA: no (again in 15m)
          next wake in 15m
    "#]]);
    world.now = after(world.now, MINUTE * 15);
    assert_eq!(world.plan().steps.len(), 1);
}

#[test]
fn a_refused_event_is_told_with_its_line_while_it_is_declared() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    let events = [("Deals.all", 12), ("Leads.create", 13)];
    let all = events.iter().map(|(event, _)| *event).collect();
    world.spec(1).declared = Declared::at("config.toml".into(), 10, events, &all);
    world.refuse(1, "INVALID_DATA", 1);
    let refusal = world.record(1).refusal.as_mut().unwrap();
    refusal.message = "the event Leads.create: invalid data".to_owned();
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! rejected      c1: Zoho refused it with INVALID_DATA: the event Leads.create: invalid data; it stands at config.toml:13 (again in 15m)
          next wake in 15m
    "#]]);
    let refusal = world.record(1).refusal.as_mut().unwrap();
    refusal.events = ["Leads.create"].into_iter().collect();
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 held back
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notify_on_related_action: false instead of true
          ! part-refused  c1: Zoho refuses it with INVALID_DATA: the event Leads.create: invalid data; the daemon goes on without Leads.create (config.toml:13), and tries again (again in 15m)
          next wake in 30s
    "#]]);
}

#[test]
fn a_refused_spec_is_tried_again_at_once_when_it_was_changed() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    world.refuse(1, "INVALID_DATA", 3);
    world.spec(1).token = Some(Secret::from("another"));
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              token: another one instead of the declared one
              notify_on_related_action: false instead of true
          next wake in 30s
    "#]]);
}

#[test]
fn a_refusal_does_not_disturb_a_channel_as_declared_with_life_enough() {
    let mut world = World::converged(1);
    world.refuse(1, "INVALID_DATA", 1);
    assert_eq!(world.plan().kept, [id(1)]);
}

#[test]
fn a_refused_renewal_wakes_for_its_emergency() {
    let mut world = World::converged(1);
    world.now = seconds_before(hours(21), 600);
    world.refuse(1, "INVALID_DATA", 3);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! rejected      c1: Zoho refused it with INVALID_DATA: no (again in 6h)
          next wake in 10m
    "#]]);
}

#[test]
fn an_uncovered_channel_that_is_refused_is_tried_every_five_minutes() {
    let mut world = World::converged(1);
    world.lose(1);
    world.refuse(1, "INVALID_DATA", 9);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! rejected      c1: Zoho refused it with INVALID_DATA: no (again in 5m)
          next wake in 5m
    "#]]);
    world.now = after(world.now, MINUTE * 5);
    assert_eq!(world.plan().steps[0].reason, Reason::Missing);
}

#[test]
fn an_emergency_that_is_refused_is_tried_every_five_minutes_seen_or_blind() {
    let mut world = World::converged(1);
    world.now = hours(22);
    world.refuse(1, "INVALID_DATA", 9);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! rejected      c1: Zoho refused it with INVALID_DATA: no (again in 5m)
          next wake in 5m
    "#]]);
    world.look_fails();
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! rejected      c1: Zoho refused it with INVALID_DATA: no (again in 5m)
          next wake in 30s
    "#]]);
    world.now = after(world.now, MINUTE * 5);
    assert_eq!(world.plan().steps[0].reason, Reason::EmergencyBlind);
}

#[test]
fn a_drift_that_the_token_may_not_patch_is_mended_by_post() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    world.refuse(1, SCOPE_MISMATCH, 1);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (drift, 23h left, asks for 2026-01-02T01:00:00Z)
              notify_on_related_action: false instead of true
          next wake in 30s
    "#]]);
    world.refuse(1, SCOPE_MISMATCH, 2);
    assert_eq!(world.plan().held[0].cause.word(), "rejected");
}

#[test]
fn a_renewal_that_is_due_mends_what_goes_by_the_same_method() {
    let mut by_post = World::converged(1);
    by_post.now = hours(13);
    by_post.observed(1).notify_on_related_action = [false].into();
    by_post.refuse(1, SCOPE_MISMATCH, 1);
    by_post.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (renew, 11h left, asks for 2026-01-02T13:00:00Z)
          next wake in 30s
    "#]]);
    let mut by_patch = World::converged(1);
    by_patch.now = hours(13);
    by_patch.observed(1).notify_on_related_action = [false].into();
    by_patch.observed(1).odd = [Oddity::Fields].into();
    assert_eq!(by_patch.plan().steps.len(), 1, "{}", by_patch.text());
}

#[test]
fn not_subscribed_is_answered_by_enabling() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    world.refuse(1, NOT_SUBSCRIBED, 1);
    world.check(&expect![[r#"
        account acme: 2 steps to do
          ~ enable        c1 (not-subscribed, 23h left, asks for 2026-01-02T01:00:00Z)
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T01:00:00Z)
              notify_on_related_action: false instead of true
          next wake in 30s
    "#]]);
}

#[test]
fn not_subscribed_is_answered_by_enabling_whatever_the_spec_was() {
    let mut world = World::converged(1);
    world.refuse(1, NOT_SUBSCRIBED, 1);
    world.spec(1).lifetime = WEEK;
    assert_eq!(world.plan().steps[0].reason, Reason::NotSubscribed);
}

#[test]
fn not_subscribed_again_after_enabling_waits_like_any_refusal_of_the_uncovered() {
    let mut world = World::converged(1);
    world.refuse(1, NOT_SUBSCRIBED, 2);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! rejected      c1: Zoho refused it with NOT_SUBSCRIBED: no (again in 5m)
          next wake in 5m
    "#]]);
    world.now = after(world.now, MINUTE * 5);
    assert_eq!(world.plan().steps[0].reason, Reason::NotSubscribed);
}

#[test]
fn a_refused_disable_waits_too() {
    let mut world = World::converged(2);
    world.refuse(1, "INTERNAL_ERROR", 2);
    world.retire(1);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back, 1 channel is as declared
          ! rejected      c1: Zoho refused it with INTERNAL_ERROR: no (again in 1h)
          next wake in 1h
    "#]]);
}

#[test]
fn a_refusal_that_lies_in_the_future_holds_nothing() {
    let mut world = World::converged(1);
    world.lose(1);
    world.refuse(1, "INVALID_DATA", 1);
    world.now = seconds_before(world.now, 1);
    assert_eq!(world.plan().steps[0].reason, Reason::Missing);
}

#[test]
fn a_drift_that_came_back_after_two_patches_is_mended_by_put() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    repaired(&mut world, 1);
    assert!(matches!(world.plan().steps[0].action, Action::Update(_)));
    repaired(&mut world, 2);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ replace       c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notify_on_related_action: false instead of true
          next wake in 30s
    "#]]);
}

#[test]
fn a_drift_that_came_back_after_three_writes_is_contested() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    repaired(&mut world, 3);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! contested     c1: came back after 3 accepted repairs, so somebody else edits it, or Zoho stores it differently: notify_on_related_action: false instead of true (again in 1h)
          next wake in 1h
    "#]]);
    world.now = after(world.now, MINUTE * 60);
    assert!(matches!(world.plan().steps[0].action, Action::Replace(_)));
}

#[test]
fn another_drift_than_the_contested_one_is_mended_at_once() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    repaired(&mut world, 3);
    world.observed(1).tokens = [].into();
    world.observed(1).events = ["Deals.all"].into_iter().collect();
    assert!(matches!(world.plan().steps[0].action, Action::Update(_)));
}

#[test]
fn a_contested_channel_is_still_renewed() {
    let mut world = World::converged(1);
    world.now = hours(12);
    world.observed(1).notify_on_related_action = [false].into();
    repaired(&mut world, 4);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 held back
          ~ enable        c1 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ! contested     c1: came back after 4 accepted repairs, so somebody else edits it, or Zoho stores it differently: notify_on_related_action: false instead of true (again in 2h)
          next wake in 30s
    "#]]);
}

#[test]
fn a_contested_channel_wakes_for_its_renewal() {
    let mut world = World::converged(1);
    world.now = hours(11);
    world.observed(1).notify_on_related_action = [false].into();
    repaired(&mut world, 9);
    let plan = world.plan();
    assert!(matches!(plan.held[0].cause, Cause::Contested { writes: 9, .. }));
    assert!(plan.next_wake < hours(12), "{}", plan.next_wake);
}

#[test]
fn repairs_are_forgotten_after_a_day_and_when_they_lie_in_the_future() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [false].into();
    repaired(&mut world, 3);
    let now = world.now;
    world.now = seconds_before(now, 1);
    assert!(matches!(world.plan().steps[0].action, Action::Update(_)));
    world.record(1).repairs.as_mut().unwrap().at = before(now, DAY);
    world.now = now;
    assert!(matches!(world.plan().steps[0].action, Action::Update(_)));
}

/// As if channel `number` had been written so often for the drift it has.
fn repaired(world: &mut World, writes: u32) {
    let observed = world.observed(1).clone();
    let drift = drift::drift(&world.specs[&id(1)], &observed);
    let drift = drift::fingerprint(&world.specs[&id(1)], &drift);
    world.record(1).repairs = Some(Repairs { drift, writes, at: world.now });
}

impl World {
    /// Zoho refuses channel `number` because of these events.
    fn refuse_events(&mut self, number: i64, events: &[&str], attempts: u32) {
        self.refuse(number, "INVALID_MODULE", attempts);
        let refusal = self.record(number).refusal.as_mut().unwrap();
        refusal.events = events.iter().copied().collect();
    }

    fn written_events(&self) -> Vec<String> {
        let plan = self.plan();
        let asks = plan.steps.iter().filter_map(|step| step.action.ask());
        asks.map(|ask| ask.events().to_string()).collect()
    }
}

#[test]
fn a_channel_is_renewed_without_the_events_that_are_refused() {
    let mut world = World::converged(1);
    world.now = hours(12);
    world.refuse_events(1, &["Contacts.create"], 1);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 held back
          ~ enable        c1 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ! part-refused  c1: Zoho refuses it with INVALID_MODULE: no; the daemon goes on without Contacts.create, and tries again (again in 15m)
          next wake in 30s
    "#]]);
    assert_eq!(world.written_events(), ["Deals.all"]);
    world.now = after(world.now, MINUTE * 15);
    assert_eq!(
        world.written_events(),
        ["Contacts.create, Deals.all"],
        "the wanted set stays wanted"
    );
}

#[test]
fn a_blind_emergency_too_leaves_out_what_is_refused_and_says_so() {
    let mut world = World::converged(1);
    world.now = hours(23);
    world.refuse_events(1, &["Contacts.create"], 1);
    world.look_fails();
    let plan = world.plan();
    assert_eq!(world.written_events(), ["Deals.all"]);
    assert_eq!(
        plan.held.iter().map(|held| held.cause.word()).collect::<Vec<_>>(),
        ["part-refused"]
    );
}

#[test]
fn an_absent_channel_is_enabled_without_the_events_that_are_refused() {
    let mut world = World::converged(1);
    world.lose(1);
    world.refuse_events(1, &["Contacts.create"], 1);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 held back
          + enable        c1 (missing, 23h left, asks for 2026-01-02T01:00:00Z)
          ! part-refused  c1: Zoho refuses it with INVALID_MODULE: no; the daemon goes on without Contacts.create, and tries again (again in 5m)
          next wake in 30s
    "#]]);
    assert_eq!(world.written_events(), ["Deals.all"]);
}

#[test]
fn a_channel_that_has_all_but_the_refused_events_waits_for_these() {
    let mut world = World::converged(1);
    world.observed(1).events = ["Deals.all"].into_iter().collect();
    world.refuse_events(1, &["Contacts.create"], 2);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! part-refused  c1: Zoho refuses it with INVALID_MODULE: no; the daemon goes on without Contacts.create, and tries again (again in 1h)
          next wake in 1h
    "#]]);
}

#[test]
fn what_is_missing_is_added_before_anything_is_removed() {
    let mut world = World::converged(1);
    world.spec(1).events = ["Deal.create", "Contacts.create"].into_iter().collect();
    assert_eq!(world.titles(), ["update (drift)"]);
    world.observed(1).events =
        ["Contacts.create", "Deal.create", "Deals.all"].into_iter().collect();
    assert_eq!(world.titles(), ["remove-events (drift)"]);
}

#[test]
fn nothing_is_removed_on_behalf_of_a_write_that_was_refused() {
    let mut world = World::converged(1);
    world.spec(1).events = ["Deal.create", "Contacts.create"].into_iter().collect();
    world.refuse_events(1, &["Deal.create"], 1);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! part-refused  c1: Zoho refuses it with INVALID_MODULE: no; the daemon goes on without Deal.create, and tries again (again in 15m)
          next wake in 15m
    "#]]);
    world.now = hours(12);
    world.refuse_events(1, &["Deal.create"], 2);
    assert_eq!(world.written_events(), ["Contacts.create, Deals.all"]);
}

/// Then no event is to blame.
#[test]
fn a_permission_that_the_whole_account_lacks_leaves_no_event_out() {
    let mut world = World::converged(1);
    world.lose(1);
    world.refuse_events(1, &["Contacts.create"], 1);
    world.record(1).refusal.as_mut().unwrap().code = "NO_PERMISSION".to_owned();
    assert_eq!(world.written_events(), ["Deals.all"]);
    let forbidden = Refusing { code: "NO_PERMISSION".to_owned(), at: world.now };
    world.state.learned.forbidden = Some(forbidden);
    assert_eq!(world.plan().held[0].cause.word(), "rejected");
}
