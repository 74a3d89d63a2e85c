//! From single channels to their account: mode, removal guard, back-off.

use std::collections::BTreeSet;

use expect_test::expect;

use crate::model::credits::CreditsLeft;

use super::*;
use crate::model::org::{OrgKnown, OrgShown};
use crate::model::pause::Pause;
use crate::model::secret::Fingerprint;
use crate::plan::step::{Cause, Reason};

#[test]
fn an_account_that_is_only_observed_is_not_written() {
    let mut world = World::converged(5);
    world.policy.mode = Mode::Observe;
    world.now = hours(12);
    world.lose(1);
    world.retire(2);
    world.observed(3).tokens = [].into();
    world.observed(3).notify_on_related_action = [false].into();
    world.disown(4);
    world.check(&expect![[r#"
        account acme: nothing to do, 7 held back
          ! mode          c1: enable (missing) is not allowed by mode observe
          ! mode          c2: disable (retired) is not allowed by mode observe
          ! mode          c3: enable (renew) is not allowed by mode observe
          ! mode          c3: update (drift) is not allowed by mode observe
          ! mode          c4: take-over (taken-over) is not allowed by mode observe
          ! mode          c4: enable (renew) is not allowed by mode observe
          ! mode          c5: enable (renew) is not allowed by mode observe
          next wake in 9h
    "#]]);
}

#[test]
fn who_only_observes_may_forget_and_takes_nothing_over() {
    let mut world = World::converged(3);
    world.policy.mode = Mode::Observe;
    world.retire(1);
    world.lose(1);
    world.disown(2);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 held back, 1 channel is as declared
          - forget        c1 (gone)
          ! mode          c2: take-over (taken-over) is not allowed by mode observe
          next wake in 10h 45m
    "#]]);
}

#[test]
fn a_channel_that_is_only_observed_is_not_written_and_its_neighbours_are() {
    let mut world = World::converged(2);
    world.spec(1).mode = Mode::Observe;
    world.now = hours(22);
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 held back
          ~ enable        c2 (emergency, 2h left, asks for 2026-01-02T22:00:00Z)
          ! mode          c1: enable (emergency) is not allowed by mode observe
          next wake in 30s
    "#]]);
}

#[test]
fn an_observed_channel_is_not_renewed_blind() {
    let mut world = World::converged(1);
    world.spec(1).mode = Mode::Observe;
    world.now = hours(22);
    world.look_fails();
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! mode          c1: enable (emergency-blind) is not allowed by mode observe
          next wake in 30s
    "#]]);
}

#[test]
fn no_disable_renews_and_repairs_and_does_not_disable() {
    let mut world = World::converged(3);
    world.policy.mode = Mode::NoDisable;
    world.retire(1);
    world.lose(2);
    world.observed(3).events = ["Deals.all", "Contacts.all"].into_iter().collect();
    world.check(&expect![[r#"
        account acme: 2 steps to do, 1 held back
          + enable        c2 (missing, 23h left, asks for 2026-01-02T01:00:00Z)
          - remove-events c3 (drift, 23h left)
              events: extra Contacts.edit, Contacts.delete
          ! mode          c1: disable (retired) is not allowed by mode no-disable
          next wake in 30s
    "#]]);
}

#[test]
fn an_empty_config_disables_nothing() {
    let mut world = World::converged(1);
    world.retire(1);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! removal-guard c1: disabling 1 of 1 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then)
          next wake in 10h 45m
    "#]]);
    assert_eq!(
        world.plan().awaiting_a_word(),
        1,
        "there is something to do, but not without a word"
    );
    assert_eq!(World::converged(1).plan().awaiting_a_word(), 0);
}

#[test]
fn a_third_of_the_channels_may_be_disabled_and_more_may_not() {
    let mut world = World::converged(6);
    world.retire(1);
    world.retire(2);
    assert_eq!(world.titles(), ["disable (retired)", "disable (retired)"]);
    world.retire(3);
    world.check(&expect![[r#"
        account acme: nothing to do, 3 held back, 3 channels are as declared
          ! removal-guard c1: disabling 3 of 6 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then)
          ! removal-guard c2: disabling 3 of 6 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then)
          ! removal-guard c3: disabling 3 of 6 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then)
          next wake in 10h 45m
    "#]]);
}

#[test]
fn what_is_held_and_no_removal_does_not_count_for_the_guard() {
    let mut world = World::converged(6);
    world.retire(1);
    world.retire(2);
    world.observed(3).notify_on_related_action = [false].into();
    world.refuse(3, "INVALID_DATA", 1);
    world.check(&expect![[r#"
        account acme: 2 steps to do, 1 held back, 3 channels are as declared
          - disable       c1 (retired, 23h left)
          - disable       c2 (retired, 23h left)
          ! rejected      c3: Zoho refused it with INVALID_DATA: no (again in 15m)
          next wake in 30s
    "#]]);
}

#[test]
fn with_three_channels_two_may_be_disabled() {
    let mut world = World::converged(3);
    world.retire(1);
    world.retire(2);
    assert_eq!(world.titles(), ["disable (retired)", "disable (retired)"]);
}

#[test]
fn removals_that_were_allowed_are_done_and_no_others() {
    let mut world = World::converged(4);
    world.retire(1);
    world.retire(2);
    world.wishes.removals = [id(1), id(2)].into();
    assert_eq!(world.titles(), ["disable (retired)", "disable (retired)"]);
    world.wishes.removals = [id(1), id(3)].into();
    assert!(world.titles().is_empty());
    world.wishes.removals = BTreeSet::new();
    assert!(world.titles().is_empty());
}

#[test]
fn what_is_left_of_the_removals_that_were_allowed_is_allowed() {
    let mut world = World::converged(6);
    for number in 1..=4 {
        world.retire(number);
    }
    world.wishes.removals = [1, 2, 3, 4].map(id).into();
    assert_eq!(world.titles().len(), 4);
    world.lose(1);
    world.disown(1);
    assert_eq!(
        world.titles(),
        ["disable (retired)"; 3],
        "one is done, and the call for the others was lost"
    );
    world.retire(5);
    assert!(world.titles().is_empty(), "nobody said so of the fifth");
}

#[test]
fn removals_that_zoho_refused_count_for_the_guard() {
    let mut world = World::converged(6);
    world.refuse(1, "INTERNAL_ERROR", 1);
    for number in 1..=3 {
        world.retire(number);
    }
    world.check(&expect![[r#"
        account acme: nothing to do, 3 held back, 3 channels are as declared
          ! rejected      c1: Zoho refused it with INTERNAL_ERROR: no (again in 15m)
          ! removal-guard c2: disabling 3 of 6 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then)
          ! removal-guard c3: disabling 3 of 6 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then)
          next wake in 15m
    "#]]);
}

#[test]
fn the_guard_holds_no_repair_and_no_forgetting() {
    let mut world = World::converged(5);
    for number in 1..=3 {
        world.retire(number);
    }
    world.lose(3);
    world.now = hours(12);
    world.check(&expect![[r#"
        account acme: 5 steps to do, 2 held back
          ~ enable        c1 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ~ enable        c2 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ~ enable        c4 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          ~ enable        c5 (renew, 12h left, asks for 2026-01-02T12:00:00Z)
          - forget        c3 (gone)
          ! removal-guard c1: disabling 2 of 4 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then)
          ! removal-guard c2: disabling 2 of 4 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then)
          next wake in 30s
    "#]]);
}

#[test]
fn the_guard_does_not_lift_itself_when_channels_are_added_or_forgotten() {
    let mut world = World::converged(4);
    world.retire(1);
    world.retire(2);
    let held = world.plan().held;
    assert_eq!(held.len(), 2);
    for number in 11..=20 {
        let mut added =
            Record::new(id(number), name(number), spec(number).notify_url.fingerprint());
        added.grant = world.record(3).grant;
        world.records.insert(id(number), added);
        assert!(world.plan().held.starts_with(&held), "{}", world.text());
    }
}

#[test]
fn in_trouble_what_can_wait_waits() {
    let mut world = World::converged(6);
    world.now = hours(12);
    world.observed(1).notify_on_related_action = [false].into();
    world.retire(2);
    world.disown(3);
    world.lose(4);
    world.refuse(5, crate::model::codes::NOT_SUBSCRIBED, 1);
    world.writes_fail(None);
    world.check(&expect![[r#"
        account acme: 3 steps to do, 5 held back
          ~ take-over     c3 (taken-over, 12h left)
          + enable        c4 (missing, 12h left, asks for 2026-01-02T12:00:00Z)
          ~ enable        c5 (not-subscribed, 12h left, asks for 2026-01-02T12:00:00Z)
          ! back-off      c1: enable (renew) waits: HTTP 429 (again in 30s)
          ! back-off      c1: update (drift) waits: HTTP 429 (again in 30s)
          ! back-off      c2: disable (retired) waits: HTTP 429 (again in 30s)
          ! back-off      c3: enable (renew) waits: HTTP 429 (again in 30s)
          ! back-off      c6: enable (renew) waits: HTTP 429 (again in 30s)
          next wake in 30s
    "#]]);
}

#[test]
fn trouble_that_is_over_holds_nothing() {
    let mut world = World::converged(1);
    world.now = hours(12);
    world.writes_fail(None);
    world.now = after(world.now, SECOND * 30);
    assert_eq!(world.titles(), ["enable (renew)"]);
}

#[test]
fn trouble_that_lies_in_the_future_holds_nothing() {
    let mut world = World::converged(1);
    world.now = hours(13);
    world.writes_fail(Some(DAY));
    world.now = hours(12);
    assert_eq!(world.titles(), ["enable (renew)"]);
}

#[test]
fn trouble_never_sleeps_past_the_emergency_and_never_delays_it() {
    let mut world = World::converged(1);
    world.now = seconds_before(hours(21), 600);
    world.writes_fail(Some(DAY));
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back
          ! back-off      c1: enable (renew) waits: HTTP 429 (again in 1h)
          next wake in 10m
    "#]]);
    world.now = hours(21);
    assert_eq!(world.titles(), ["enable (emergency)"]);
}

#[test]
fn a_plan_with_steps_is_followed_by_another_soon() {
    let mut world = World::converged(2);
    world.lose(1);
    assert_eq!(world.sleep(), SECOND * 30);
    world.writes_fail(None);
    assert_eq!(world.titles(), ["enable (missing)"]);
    assert_eq!(world.sleep(), SECOND * 30);
}

#[test]
fn a_failed_look_is_repeated_by_the_table_and_soon_when_it_is_not_known_to_have_failed() {
    let mut world = World::converged(1);
    world.look_fails();
    world.state.looks = world.state.looks.again(world.now, "", None).again(world.now, "", None);
    assert_eq!(world.sleep(), MINUTE * 2);
    world.state.looks = Trouble::default();
    assert_eq!(world.sleep(), SECOND * 30);
    for failed_at in [hours(0), seconds_before(world.now, 30)] {
        world.state.looks = Trouble::default().again(failed_at, "its wait is over", None);
        assert_eq!(world.sleep(), SECOND * 30, "{failed_at}");
    }
}

#[test]
fn a_failed_look_never_sleeps_past_the_emergency() {
    let mut world = World::converged(1);
    world.now = seconds_before(hours(21), 600);
    world.look_fails();
    world.state.looks = Trouble::default().again(world.now, "", Some(DAY));
    assert_eq!(world.sleep(), MINUTE * 10);
}

#[test]
fn every_cause_and_every_reason_has_a_word_of_its_own() {
    let reasons = [
        Reason::Missing,
        Reason::NotSubscribed,
        Reason::Renew,
        Reason::Together,
        Reason::ShortGrant,
        Reason::Emergency,
        Reason::EmergencyBlind,
        Reason::Drift(Vec::new()),
        Reason::TakenOver,
        Reason::Retired,
        Reason::Gone,
    ];
    let words: BTreeSet<&str> = reasons.iter().map(Reason::word).collect();
    assert_eq!(words.len(), reasons.len());
    let text = String::new;
    let causes = [
        Cause::Unknown(text()),
        Cause::Conflict { seen: text() },
        Cause::Rejected { code: text(), message: text(), json_path: None, declared: None },
        Cause::Contested { writes: 3, drift: Vec::new() },
        Cause::Opaque { why: "".into() },
        Cause::Vanished { channels: 2, is_other_org: true },
        Cause::BackOff { step: text(), trouble: text() },
        Cause::RemovalGuard { removals: 1, channels: 1, is_renewed: true },
        Cause::Mode { mode: Mode::Observe, step: text() },
        Cause::LeftToExpire,
    ];
    let words: BTreeSet<&str> = causes.iter().map(Cause::word).collect();
    assert_eq!(words.len(), causes.len());
}

/// Two channels that are gone, and the org that answers.
fn gone(known: &[(&str, &str)], shown: &[(&str, &str)], credentials: u64) -> World {
    let ids = |ids: &[(&str, &str)]| {
        ids.iter().map(|(module, id)| ((*module).to_owned(), (*id).to_owned())).collect()
    };
    let mut world = World::converged(2);
    let known = OrgShown { ids: ids(known), credentials: Some(Fingerprint(1)) };
    world.state.org = OrgKnown::default().seen(&known);
    world.lose(1);
    world.lose(2);
    if let Look::Seen { beside, .. } = &mut world.look {
        beside.org = OrgShown { ids: ids(shown), credentials: Some(Fingerprint(credentials)) };
    }
    world
}

#[test]
fn when_every_running_channel_is_gone_another_org_is_not_written() {
    let world = gone(&[("Deals", "1")], &[("Deals", "9")], 1);
    assert!(world.titles().is_empty());
    assert!(world.text().contains("! vanished      c1"), "{}", world.text());
    assert_eq!(world.plan().awaiting_a_word(), 2);
    assert_eq!(gone(&[("Deals", "1")], &[], 2).titles().len(), 0, "other credentials");
    assert_eq!(gone(&[("Deals", "1")], &[], 1).titles().len(), 2, "the same credentials");
    assert_eq!(gone(&[("Deals", "1")], &[("Deals", "1")], 2).titles().len(), 2, "the same org");
}

#[test]
fn one_channel_that_is_still_there_or_an_operator_s_word_ends_the_doubt() {
    let mut world = gone(&[("Deals", "1")], &[("Deals", "9")], 1);
    let grant = |world: &World, number| world.records[&id(number)].grant.unwrap().expiry;
    world.wishes.vanished = [1, 2].map(|number| (id(number), grant(&world, number))).into();
    assert_eq!(world.titles().len(), 2);
    let mut world = gone(&[("Deals", "1")], &[("Deals", "9")], 1);
    world.enable(2);
    assert_eq!(world.titles(), ["enable (missing)"]);
}

#[test]
fn a_paused_account_is_looked_at_and_not_written_until_the_pause_is_over() {
    let mut world = World::converged(2);
    world.now = hours(22);
    world.lose(2);
    world.wishes.pauses.account = Some(Pause { at: hours(21), until: Some(hours(23)) });
    world.check(&expect![[r#"
        account acme: nothing to do, 2 held back
          ! paused        c1: enable (emergency) waits: it is paused; `channelkeeper resume` ends that (again in 1h)
          ! paused        c2: enable (missing) waits: it is paused; `channelkeeper resume` ends that (again in 1h)
          next wake in 1h
    "#]]);
    world.now = hours(23);
    assert_eq!(world.titles(), ["enable (emergency)", "enable (missing)"]);
}

#[test]
fn a_paused_channel_is_no_rider_and_leaves_its_neighbours_alone() {
    let mut world = World::converged(2);
    world.record(2).grant = Some(Grant { at: hours(5), asked: hours(29), expiry: hours(29) });
    world.observed(2).expiry = Some(hours(29));
    world.now = hours(13);
    world.wishes.pauses.channels = [(id(2), Pause { at: hours(12), until: None })].into();
    world.check(&expect![[r#"
        account acme: 1 step to do, 1 held back
          ~ enable        c1 (renew, 11h left, asks for 2026-01-02T13:00:00Z)
          ! paused        c2: it is paused; `channelkeeper resume` ends that
          next wake in 30s
    "#]]);
}

#[test]
fn when_credits_are_low_what_loses_nothing_waits() {
    let mut world = World::converged(5);
    world.observed(1).notify_on_related_action = [false].into();
    world.observed(2).events = ["Deals.all"].into_iter().collect();
    world.retire(3);
    world.lose(4);
    world.state.credits = Some(CreditsLeft { remaining: 99, at: hours(0) });
    world.check(&expect![[r#"
        account acme: 2 steps to do, 2 held back, 1 channel is as declared
          + enable        c4 (missing, 23h left, asks for 2026-01-02T01:00:00Z)
          ~ update        c2 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              events: missing Contacts.create
          ! credits       c1: update (drift) waits: 99 API credits are left, and 100 are kept for renewals (again in 23h)
          ! credits       c3: disable (retired) waits: 99 API credits are left, and 100 are kept for renewals (again in 23h)
          next wake in 30s
    "#]]);
    world.state.credits = Some(CreditsLeft { remaining: 100, at: hours(0) });
    assert_eq!(world.plan().held, []);
    world.policy.credits_per_day = Some(5_000);
    assert_eq!(world.plan().held.len(), 2, "a tenth of the day's credits is kept");
    world.now = hours(24);
    let held = world.plan().held;
    assert!(
        held.iter().all(|held| held.cause.word() != "credits"),
        "all of them are back: {held:?}"
    );
}

#[test]
fn what_fails_is_tried_at_the_pace_that_the_credits_left_allow_even_an_emergency() {
    let mut world = World::converged(1);
    world.now = hours(22);
    world.state.writes = Trouble::default().again(hours(22), "HTTP 500".to_owned(), None);
    let waits = |world: &mut World, remaining: Option<u64>| {
        world.state.credits = remaining.map(|remaining| CreditsLeft { remaining, at: hours(22) });
        world.now = after(hours(22), SECOND * 30);
        (world.titles().is_empty(), world.sleep().as_secs())
    };
    assert_eq!(waits(&mut world, None), (false, 30));
    assert_eq!(waits(&mut world, Some(100_000)), (false, 30));
    assert_eq!(waits(&mut world, Some(2_500)), (true, 177), "416 tries in what is left of a day");
    assert_eq!(waits(&mut world, Some(0)), (true, 3570), "once an hour at the slowest");
    world.now = hours(23);
    assert_eq!(world.titles(), ["enable (emergency)"]);
    world.policy.credits_per_day = Some(5_000);
    assert_eq!(
        waits(&mut world, None),
        (true, 73),
        "half of a free edition's last a day at one try in 104 seconds"
    );
}

#[test]
fn when_credits_are_low_a_look_that_failed_is_made_again_in_an_hour_unless_it_is_an_emergency() {
    let mut world = World::converged(1);
    world.state.credits = Some(CreditsLeft { remaining: 0, at: hours(1) });
    world.look_fails();
    assert_eq!(world.sleep(), HOUR);
    world.now = hours(20);
    world.look_fails();
    assert_eq!(world.sleep(), HOUR, "to the edge of the emergency");
    world.now = hours(22);
    assert_eq!(world.titles(), ["enable (emergency-blind)"]);
    assert_eq!(world.sleep(), SECOND * 30);
}
