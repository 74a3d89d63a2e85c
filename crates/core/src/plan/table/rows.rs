//! The decision table, row by row.

use expect_test::expect;

use super::*;
use crate::model::observed::Stranger;
use crate::model::oddity::Oddity;

#[test]
fn a_channel_as_declared_with_life_enough_is_kept() {
    World::converged(2).check(&expect![[r#"
        account acme: nothing to do, 2 channels are as declared
          next wake in 10h 45m
    "#]]);
}

#[test]
fn a_declared_channel_that_zoho_does_not_have_is_enabled() {
    let mut world = World::converged(1);
    world.declare(2);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 channel is as declared
          + enable        c2 (missing, asks for 2026-01-02T01:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_of_ours_that_is_gone_is_enabled_again() {
    let mut world = World::converged(2);
    world.lose(1);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 channel is as declared
          + enable        c1 (missing, 23h left, asks for 2026-01-02T01:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn an_expired_row_is_absent() {
    let mut world = World::converged(1);
    world.now = hours(25);
    world.check(&expect![[r#"
        account acme: 1 step to do
          + enable        c1 (missing, ended 1h ago, asks for 2026-01-03T01:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn at_the_very_second_of_its_expiry_a_channel_is_absent() {
    let mut world = World::converged(1);
    world.now = hours(24);
    world.check(&expect![[r#"
        account acme: 1 step to do
          + enable        c1 (missing, ended 0s ago, asks for 2026-01-03T00:00:00Z)
          next wake in 30s
    "#]]);
    world.now = before(hours(24), Duration::from_nanos(1));
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (emergency, 0s left, asks for 2026-01-02T23:59:59Z)
          next wake in 30s
    "#]]);
}

#[test]
fn renews_when_half_of_life_is_over() {
    let mut world = World::converged(1);
    world.now = hours(11);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 channel is as declared
          next wake in 45m 30s
    "#]]);
    world.now = hours(12);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn the_last_eighth_of_life_is_an_emergency() {
    let mut world = World::converged(1);
    world.now = seconds_before(hours(21), 1);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (renew, 3h left, asks for 2026-01-02T20:59:59Z)
          next wake in 1s
    "#]]);
    world.now = hours(21);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (emergency, 3h left, asks for 2026-01-02T21:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_that_differs_is_repaired_and_keeps_its_expiry() {
    let mut world = World::converged(2);
    world.observed(1).notify_urls =
        [NotifyUrl::new("https://elsewhere.example/x?key=s3cret")].into();
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 channel is as declared
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notify_url: https://elsewhere.example/x?... instead of https://hooks.example.com/zoho
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_that_differs_and_is_due_is_renewed_first() {
    let mut world = World::converged(2);
    world.now = hours(12);
    world.observed(1).events = ["Deals.all", "Leads.edit"].into_iter().collect();
    world.check(&expect![[r#"
        account acme: 3 steps to do
          ~ enable        c1 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ~ update        c1 (drift, 12h left, asks for 2026-01-02T12:00:00Z)
              events: missing Contacts.create; extra Leads.edit
          ~ enable        c2 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_that_differs_in_an_emergency_is_renewed_first() {
    let mut world = World::converged(1);
    world.now = hours(22);
    world.observed(1).tokens = [].into();
    world.observed(1).notify_on_related_action = [false].into();
    world.check(&expect![[r#"
        account acme: 2 steps to do
          ~ enable        c1 (emergency, 2h left, asks for 2026-01-02T22:00:00Z)
          ~ update        c1 (drift, 2h left, asks for 2026-01-02T22:00:00Z)
              notify_on_related_action: false instead of true
          next wake in 30s
    "#]]);
}

#[test]
fn a_declared_channel_with_the_declared_url_is_taken_over() {
    let mut world = World::converged(1);
    world.disown(1);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ take-over     c1 (taken-over, 23h left)
          next wake in 10h 45m
    "#]]);
}

#[test]
fn a_channel_taken_over_may_be_due_in_the_same_plan() {
    let mut world = World::converged(1);
    world.disown(1);
    world.now = hours(13);
    world.check(&expect![[r#"
        account acme: 2 steps to do
          ~ take-over     c1 (taken-over, 11h left)
          ~ enable        c1 (renew, 11h left, asks for 2026-01-02T13:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_taken_over_may_differ_in_the_same_plan_and_is_given_a_whole_life() {
    let mut world = World::converged(1);
    world.disown(1);
    world.observed(1).notify_on_related_action = [false].into();
    world.check(&expect![[r#"
        account acme: 2 steps to do
          ~ take-over     c1 (taken-over, 23h left)
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T01:00:00Z)
              notify_on_related_action: false instead of true
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_taken_over_without_an_expiry_is_renewed() {
    let mut world = World::converged(1);
    world.disown(1);
    world.observed(1).expiry = None;
    world.check(&expect![[r#"
        account acme: 2 steps to do
          ~ take-over     c1 (taken-over)
          ~ enable        c1 (renew, asks for 2026-01-02T01:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn a_declared_id_with_another_url_is_a_conflict() {
    let mut world = World::converged(1);
    world.disown(1);
    world.observed(1).notify_urls =
        [NotifyUrl::new("https://me:pw@theirs.example/in?key=s3cret")].into();
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! conflict      c1: Zoho has a channel with this id that delivers to https://...@theirs.example/in?..., and it is not known as ours; `channelkeeper adopt` makes it ours, another `id` in the config leaves it alone
          next wake in 1d
    "#]]);
}

#[test]
fn a_conflict_that_was_adopted_as_it_was_seen_is_taken_over_and_repaired() {
    let mut world = World::converged(2);
    world.disown(1);
    let theirs = NotifyUrl::new("https://theirs.example/in");
    world.observed(1).notify_urls = [theirs.clone()].into_iter().collect();
    world.wishes.adoptions = [(id(1), theirs.fingerprint())].into();
    assert_eq!(world.titles(), ["take-over (taken-over)", "update (drift)"]);
    world.observed(1).notify_urls =
        [NotifyUrl::new("https://another.example/in")].into_iter().collect();
    assert_eq!(world.titles(), [""; 0], "that is not the channel that was adopted");
}

#[test]
fn a_channel_that_holds_what_cannot_be_declared_is_a_conflict_until_it_is_adopted() {
    for odd in [Oddity::Fields, Oddity::Event] {
        let mut world = World::converged(1);
        world.disown(1);
        world.observed(1).odd = [odd].into();
        assert_eq!(world.titles(), [""; 0], "{odd:?}");
        assert!(world.text().contains(odd.why()), "{}", world.text());
        let url = world.specs[&id(1)].notify_url.fingerprint();
        world.wishes.adoptions = [(id(1), url)].into();
        assert_eq!(world.titles(), ["take-over (taken-over)"], "{odd:?}");
    }
}

#[test]
fn a_channel_of_ours_that_came_to_have_fields_is_renewed_by_patch_and_not_replaced() {
    let mut world = World::converged(1);
    world.observed(1).odd = [Oddity::Fields].into();
    assert!(world.text().contains("! opaque        c1"), "{}", world.text());
    assert!(world.text().contains(Oddity::Fields.why()), "{}", world.text());
    world.now = hours(12);
    assert_eq!(world.titles(), ["update (renew)"]);
    world.now = hours(22);
    assert_eq!(world.titles(), ["update (emergency)"]);
    world.refuse(1, "INVALID_DATA", 1);
    world.now = after(world.now, MINUTE * 15);
    assert_eq!(world.titles(), ["enable (emergency)"], "near its end, coverage outranks");
}

#[test]
fn a_channel_of_ours_that_came_to_have_fields_is_rewritten_once_it_is_adopted() {
    let mut world = World::converged(1);
    world.observed(1).odd = [Oddity::Fields].into();
    world.observed(1).events = ["Tasks.edit"].into_iter().collect();
    assert!(world.titles().is_empty(), "a PUT would take the fields away: {}", world.text());
    let url = world.specs[&id(1)].notify_url.fingerprint();
    world.wishes.adoptions = [(id(1), url)].into();
    assert_eq!(world.titles(), ["replace (drift)"]);
    assert!(world.plan().held.is_empty());
}

#[test]
fn foreign_ids_that_cannot_be_declared_are_counted_and_named() {
    let mut world = World::converged(1);
    if let Look::Seen { beside, .. } = &mut world.look {
        let stranger = |id: &str| Stranger { id: id.to_owned(), events: Vec::new() };
        beside.strangers = ["mysite", "-7", "mysite"].map(stranger).into();
    }
    world.check(&expect![[r#"
        account acme: nothing to do, 1 channel is as declared, 2 channels are not ours
          * not ours, with ids that cannot be declared: -7, mysite
          next wake in 10h 45m
    "#]]);
    assert_eq!(world.plan().foreign_count(), 2);
}

#[test]
fn a_declared_id_whose_url_is_not_said_is_a_conflict() {
    let mut world = World::converged(1);
    world.disown(1);
    world.observed(1).notify_urls = [].into();
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! conflict      c1: Zoho has a channel with this id that delivers to a URL that is not said, and it is not known as ours; `channelkeeper adopt` makes it ours, another `id` in the config leaves it alone
          next wake in 1d
    "#]]);
}

#[test]
fn a_channel_whose_first_reply_was_lost_is_ours_by_its_url() {
    let mut world = World::converged(1);
    world.record(1).grant = None;
    world.check(&expect![[r#"
        account acme: nothing to do, 1 channel is as declared
          next wake in 10h 45m
    "#]]);
    world.spec(1).notify_url = NotifyUrl::new("https://hooks.example.com/v2");
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T01:00:00Z)
              notify_url: https://hooks.example.com/zoho instead of https://hooks.example.com/v2
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_whose_first_reply_was_lost_is_a_conflict_with_another_url() {
    let mut world = World::converged(1);
    world.record(1).grant = None;
    world.observed(1).notify_urls = [NotifyUrl::new("https://theirs.example/in")].into();
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! conflict      c1: Zoho has a channel with this id that delivers to https://theirs.example/in, and it is not known as ours; `channelkeeper adopt` makes it ours, another `id` in the config leaves it alone
          next wake in 1d
    "#]]);
}

#[test]
fn a_record_of_a_lost_reply_with_another_url_disables_nothing() {
    let mut world = World::converged(2);
    world.record(1).grant = None;
    world.observed(1).notify_urls = [NotifyUrl::new("https://theirs.example/in")].into();
    world.retire(1);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 channel is as declared, 1 channel is not ours
          next wake in 10h 45m
    "#]]);
}

#[test]
fn nothing_is_decided_when_the_look_failed() {
    let mut world = World::converged(2);
    world.declare(3);
    world.disown(2);
    world.retire(1);
    world.look_fails();
    world.check(&expect![[r#"
        account acme: nothing to do, 3 held back
          ! unknown       c1, c2, c3: the look at Zoho failed: HTTP 503
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_of_ours_is_renewed_blind_in_its_emergency_only() {
    let mut world = World::converged(1);
    world.look_fails();
    world.now = seconds_before(hours(21), 1);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! unknown       c1: the look at Zoho failed: HTTP 503
          next wake in 1s
    "#]]);
    world.now = hours(21);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (emergency-blind, 3h left, asks for 2026-01-02T21:00:00Z)
          next wake in 30s
    "#]]);
    world.now = hours(100);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ enable        c1 (emergency-blind, ended 3d 4h ago, asks for 2026-01-06T04:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_whose_first_reply_was_lost_is_not_renewed_blind() {
    let mut world = World::converged(1);
    world.record(1).grant = None;
    world.look_fails();
    world.now = hours(23);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! unknown       c1: the look at Zoho failed: HTTP 503
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_taken_out_of_the_config_is_disabled() {
    let mut world = World::converged(2);
    world.retire(1);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 channel is as declared
          - disable       c1 (retired, 23h left)
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_taken_out_of_the_config_is_left_to_expire_by_policy() {
    let mut world = World::converged(2);
    world.policy.removed = Removed::Expire;
    world.retire(1);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back, 1 channel is as declared
          ! left-to-expire c1: not declared any more; left to expire (removed = "expire")
          next wake in 10h 45m
    "#]]);
    world.now = seconds_before(hours(24), 600);
    world.enable(2);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back, 1 channel is as declared
          ! left-to-expire c1: not declared any more; left to expire (removed = "expire")
          next wake in 11m
    "#]]);
}

#[test]
fn a_retired_channel_that_delivers_elsewhere_by_now_is_left_alone() {
    let mut world = World::converged(4);
    world.retire(1);
    assert_eq!(world.titles(), ["disable (retired)"]);
    world.observed(1).notify_urls =
        [NotifyUrl::new("https://theirs.example/in")].into_iter().collect();
    assert_eq!(world.titles(), [""; 0]);
    assert_eq!(world.plan().foreign, [id(1)]);
}

#[test]
fn a_renewal_that_was_asked_for_does_not_wait_until_it_is_due() {
    let mut world = World::converged(2);
    world.wishes.renewals.channels = [(id(1), world.now)].into();
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 channel is as declared
          ~ enable        c1 (asked, 23h left, asks for 2026-01-02T01:00:00Z)
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_neither_declared_nor_seen_is_forgotten() {
    let mut world = World::converged(2);
    world.retire(1);
    world.lose(1);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 channel is as declared
          - forget        c1 (gone)
          next wake in 10h 45m
    "#]]);
}

#[test]
fn foreign_channels_are_left_alone() {
    let mut world = World::converged(2);
    world.retire(1);
    world.disown(1);
    for hour in [0, 12, 23] {
        world.now = hours(hour);
        let plan = world.plan();
        assert_eq!(plan.foreign, [id(1)]);
        assert!(plan.steps.iter().all(|step| step.id == id(2)), "{plan:?}");
        assert!(plan.held.is_empty(), "{plan:?}");
    }
}

#[test]
fn an_account_with_nothing_has_an_empty_plan() {
    World::empty().check(&expect![[r#"
        account acme: nothing to do
          next wake in 1d
    "#]]);
}

#[test]
fn a_plan_after_a_fully_successful_pass_is_empty() {
    let mut world = World::converged(3);
    world.now = hours(12);
    for number in 1..=3 {
        world.enable(number);
    }
    world.check(&expect![[r#"
        account acme: nothing to do, 3 channels are as declared
          next wake in 11h 45m
    "#]]);
}

/// The store was lost, and the declared `notify_url` is another one by now.
#[test]
fn a_channel_that_carries_our_mark_is_taken_over_whatever_its_url_and_then_repaired() {
    let mut world = World::converged(1);
    world.disown(1);
    world.spec(1).notify_url = NotifyUrl::new("https://hooks.example.com/new?channelkeeper=us");
    for (seen, expected) in [
        (
            "https://old.example.com/?channelkeeper=us",
            vec!["take-over (taken-over)", "update (drift)"],
        ),
        ("https://hooks.example.com/new", vec!["take-over (taken-over)", "update (drift)"]),
        ("https://old.example.com/?channelkeeper=them", vec![]),
        ("https://old.example.com/", vec![]),
    ] {
        world.observed(1).notify_urls = [NotifyUrl::new(seen)].into();
        assert_eq!(world.titles(), expected, "{seen}");
    }
}
