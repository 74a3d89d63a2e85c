//! Ring 2: the loop in a world, one story a test.

use std::time::Duration;

use channelkeeper::model::channel::Spec;
use channelkeeper::model::policy::Mode;
use channelkeeper::model::secret::Secret;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::plan::step::Cause;
use channelkeeper::reconcile::report::ChannelState;
use channelkeeper::simulator::knobs::Length;
use channelkeeper::simulator::{Fault, Hand, Knobs, Rule};

use crate::world::{self, Cut, World};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Three channels of one account, enabled.
async fn running(knobs: Knobs) -> World {
    let mut world = World::new(knobs, &[("acme", ApiVersion::V8)]);
    world.declare("acme", "deals", &["Deals.all", "Contacts.create"]);
    world.declare("acme", "leads", &["Leads.create"]);
    world.declare("acme", "orders", &["Sales_Orders.edit"]);
    world.start();
    world.audit().await;
    world
}

fn assert_all_covered(world: &World) {
    for (account, id) in world.declared() {
        assert!(
            world.is_covered(&account, id, world.now()),
            "{account} {id} is not covered at {}",
            world.now()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_week_passes_and_nothing_lapses_at_the_floor_of_calls() {
    let world = running(Knobs::default()).await;
    for _ in 0..7 * 24 {
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
    // One to begin with, and one each half day less the account's phase.
    let posts = world.zoho().counters("acme").unwrap().calls["POST"];
    assert!((14..=16).contains(&posts), "{posts} calls");
    assert_eq!(world.writes("acme"), posts, "nothing but renewals was written");
}

#[tokio::test(start_paused = true)]
async fn a_restart_with_the_store_writes_nothing() {
    let mut world = running(Knobs::default()).await;
    let before = world.writes("acme");
    for _ in 0..5 {
        world.crash().await;
        world.start();
        world.audit().await;
    }
    assert_eq!(world.writes("acme"), before);
    assert_eq!(
        world.zoho().counters("acme").unwrap().tokens_issued,
        1,
        "the token is cached over restarts"
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_was_enabled_as_the_daemon_died_is_known_afterwards() {
    for when in [Cut::Before, Cut::After] {
        let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
        let id = world.declare("acme", "deals", &["Deals.all"]);
        world.cut_next("POST", when);
        world.start();
        while !world.is_cut() {
            world.pass_time(Duration::from_secs(1)).await;
        }
        world.crash().await;
        world.start();
        world.audit().await;
        assert!(world.is_covered("acme", id, world.now()), "{when:?}");
        assert_eq!(world.zoho().counters("acme").unwrap().channels_created, 1, "{when:?}");
        world.undeclare("acme", id);
        let other = world.declare("acme", "leads", &["Leads.create"]);
        world.reload().await;
        world.audit().await;
        world.audit().await;
        let live: Vec<i64> =
            world.zoho().channels("acme", world.now()).iter().map(|channel| channel.id).collect();
        assert_eq!(live, [other.number()], "{when:?}: it was known as ours, and taken down");
    }
}

#[tokio::test(start_paused = true)]
async fn every_hand_is_seen_and_mended_by_the_next_audit() {
    let world = running(Knobs::default()).await;
    let (_, id) = world.declared()[0].clone();
    let channel = id.number();
    let spec = world.desired.accounts.values().next().unwrap().specs[&id].clone();
    let module = spec.events.iter().next().unwrap().0.to_owned();
    let hands = [
        Hand::AddEvent { channel, event: "Cases.edit".to_owned() },
        Hand::SetToken { channel, token: Some("somebody-elses".to_owned()) },
        Hand::SetToken { channel, token: None },
        Hand::SetNotifyUrl { channel, notify_url: "https://elsewhere.example.com/".to_owned() },
        Hand::AddEvent { channel, event: "Leads.delete".to_owned() },
        Hand::DropModule { channel, module },
        Hand::Delete { channel },
    ];
    for hand in hands {
        assert!(world.hand("acme", &hand), "{hand:?} takes hold");
        world.audit().await;
        world.audit().await;
        let report = world.report("acme");
        assert!(
            report.after.steps.is_empty() && report.after.held.is_empty(),
            "{hand:?}: {:?}",
            report.after
        );
        assert!(
            report.outcomes.is_empty(),
            "{hand:?}: the second audit finds nothing to do: {:?}",
            report.outcomes
        );
        assert_all_covered(&world);
        // Long enough for an earlier repair of the same kind to be forgotten.
        world.pass_time(DAY + HOUR).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_ten_hours_lapses_nothing() {
    let world = running(Knobs::default()).await;
    world.pass_time(11 * HOUR).await;
    world.zoho().add_fault(Rule::always(Fault::Unavailable));
    for _ in 0..10 {
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
    world.zoho().clear_faults();
    world.pass_time(HOUR).await;
    assert_all_covered(&world);
    assert!(world.report("acme").look_failed.is_none());
}

#[tokio::test(start_paused = true)]
async fn after_a_long_outage_everything_is_covered_again_within_a_minute() {
    let world = running(Knobs::default()).await;
    world.zoho().add_fault(Rule::always(Fault::Unavailable));
    world.pass_time(30 * HOUR).await;
    for (account, id) in world.declared() {
        assert!(!world.is_covered(&account, id, world.now()), "nobody could have kept it");
    }
    world.zoho().clear_faults();
    world.pass_time(Duration::from_secs(60)).await;
    assert_all_covered(&world);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_while_writes_go_through_renews_blind_in_the_last_eighth() {
    let world = running(Knobs::default()).await;
    world
        .zoho()
        .add_fault(Rule { method: Some("GET".to_owned()), ..Rule::always(Fault::ServerErrorHtml) });
    world.pass_time(20 * HOUR).await;
    assert_eq!(world.writes("acme"), 1, "what cannot be seen is not written before it must be");
    for _ in 0..48 {
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_at_slow_pages_is_broken_off_before_an_emergency_of_ours_is_over() {
    let knobs = Knobs { page_max: 1, ..Knobs::default() };
    let mut world = World::new(knobs, &[("acme", ApiVersion::V8)]);
    for n in 0..200 {
        let spec = world::spec("acme", &format!("c{n}"), &["Deals.all"]);
        world.declare_spec("acme", Spec { lifetime: HOUR, ..spec });
    }
    world.start();
    world.audit().await;
    let by = Length(Duration::from_secs(20));
    world
        .zoho()
        .add_fault(Rule { method: Some("GET".to_owned()), ..Rule::always(Fault::Delay { by }) });
    for _ in 0..12 {
        world.pass_time(HOUR / 4).await;
        assert_all_covered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_channels_one_of_them_refused_leaves_forty_nine_covered() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for n in 0..49 {
        world.declare("acme", &format!("c{n}"), &["Deals.create"]);
    }
    let bad = world.declare("acme", "bad", &["Meetings.create"]);
    world.start();
    world.audit().await;
    let report = world.report("acme");
    let covered =
        report.channels.values().filter(|channel| channel.state == ChannelState::Covered).count();
    assert_eq!(covered, 49);
    assert_eq!(report.channels[&bad].state, ChannelState::Uncovered);
    let last = report.channels[&bad].last.clone().expect("a last step");
    assert!(
        last.outcome.contains("INVALID_DATA") && last.outcome.contains("the event Meetings.create"),
        "{}",
        last.outcome
    );
    assert_eq!(world.writes("acme"), 1, "one call for all fifty");
}

#[tokio::test(start_paused = true)]
async fn a_batch_refused_as_a_whole_costs_the_neighbours_nothing() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for n in 0..49 {
        world.declare("acme", &format!("c{n}"), &["Deals.create"]);
    }
    let bad = world.declare("acme", "bad", &["Deals.create"]);
    let poison = Fault::RefuseBatchWith { channel: bad.to_string() };
    world.zoho().add_fault(Rule::always(poison));
    world.start();
    world.audit().await;
    let report = world.report("acme");
    let covered =
        report.channels.values().filter(|channel| channel.state == ChannelState::Covered).count();
    assert_eq!(covered, 49);
    assert!(
        world.writes("acme") <= 13,
        "halving takes two calls a level: {}",
        world.writes("acme")
    );
}

#[tokio::test(start_paused = true)]
async fn the_full_maximum_is_granted_although_the_local_clock_is_two_minutes_ahead() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V2)]);
    let id = world.declare("acme", "deals", &["Deals.all"]);
    world.host_clock.step(120_000);
    world.start();
    world.audit().await;
    let granted = world.zoho().channels("acme", world.now())[0].expiry.duration_since(world.now());
    assert!(granted.as_secs() > 86_400 - 60, "{granted:?}");
    assert!(world.is_covered("acme", id, world.now()));
    assert!(!world.report("acme").channels[&id].short_grant);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_in_either_direction_lapses_nothing() {
    let world = running(Knobs::default()).await;
    let hour = 3_600_000;
    for step in
        [-30 * 24 * hour, 60 * 24 * hour, -30 * 24 * hour, 300_000, -300_000, 5 * hour, -5 * hour]
    {
        world.host_clock.step(step);
        for _ in 0..30 {
            world.pass_time(HOUR).await;
            assert_all_covered(&world);
        }
    }
}

/// While a host sleeps, its monotonic clock stands still and the world goes on.
#[tokio::test(start_paused = true)]
async fn a_host_that_was_suspended_looks_at_once_when_it_wakes() {
    for (slept, lapsed) in [(10, false), (30, true)] {
        let world = running(Knobs::default()).await;
        world.pass_time(6 * HOUR).await;
        let writes = world.writes("acme");
        world.zoho_clock.step(slept * 3_600_000);
        world.host_clock.step(slept * 3_600_000);
        let (account, id) = world.declared()[0].clone();
        assert_eq!(world.is_covered(&account, id, world.now()), !lapsed);
        world.pass_time(Duration::from_secs(60)).await;
        assert_all_covered(&world);
        assert_eq!(
            world.writes("acme"),
            writes + 1,
            "what fell due meanwhile is renewed within a minute"
        );
        let overview = world.daemon().links.overview.borrow().clone();
        assert_eq!(
            overview.clock_jump.map(|(_, by_ms)| by_ms / 60_000),
            Some(slept * 60),
            "and the jump is said"
        );
        let wrong = crate::world::truth::check_ledger(&world);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_boots_in_1970_keeps_its_channels() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    world.declare("acme", "deals", &["Deals.all"]);
    let in_1970 = -world.now().as_millisecond();
    world.host_clock.step(in_1970);
    world.start();
    world.audit().await;
    assert_all_covered(&world);
    world.pass_time(30 * HOUR).await;
    assert_all_covered(&world);
}

#[tokio::test(start_paused = true)]
async fn channels_that_are_not_ours_are_left_alone() {
    let mut world = running(Knobs::default()).await;
    let now = world.now();
    let foreign = Hand::Create {
        channel: 424_242,
        events: vec!["Deals.all".to_owned()],
        notify_url: "https://somebody.example.com/".to_owned(),
        token: None,
        expiry: now.checked_add(7 * DAY).unwrap(),
    };
    assert!(world.hand("acme", &foreign));
    let before = world
        .zoho()
        .channels("acme", now)
        .into_iter()
        .find(|channel| channel.id == 424_242)
        .cloned();
    world.pass_time(2 * DAY).await;
    let gone = world.declared();
    gone.iter().skip(1).for_each(|(account, id)| world.undeclare(account, *id));
    world.reload().await;
    world.pass_time(2 * HOUR).await;
    let after = world
        .zoho()
        .channels("acme", world.now())
        .into_iter()
        .find(|channel| channel.id == 424_242)
        .cloned();
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_the_config_leaves_out_goes_on_being_renewed() {
    let accounts = [("acme", ApiVersion::V8), ("globex", ApiVersion::V8)];
    let mut world = World::new(Knobs::default(), &accounts);
    world.declare("acme", "a", &["Deals.all"]);
    let (moved, left) = ("b", "c");
    world.declare("globex", moved, &["Deals.all"]);
    world.declare("globex", left, &["Deals.all"]);
    world.start();
    world.audit().await;
    world.desired.accounts.remove(&"globex".parse().unwrap());
    world.reload().await;
    let live = |world: &World| world.zoho().channels("globex", world.now()).len();
    world.pass_time(3 * DAY).await;
    assert_eq!(live(&world), 2);
    let report = world.report("globex");
    let held: Vec<&str> = report.after.held.iter().map(|held| held.cause.word()).collect();
    assert_eq!(held, ["removal-guard"; 2]);
    world.reload().await;
    world.pass_time(3 * DAY).await;
    assert_eq!(live(&world), 2, "a second look at the same config changes nothing");
    world.crash().await;
}

#[tokio::test(start_paused = true)]
async fn an_observed_account_is_never_written() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    world.declare("acme", "deals", &["Deals.all"]);
    world.account_mut("acme").account.policy.mode = Mode::Observe;
    world.start();
    world.pass_time(2 * DAY).await;
    assert_eq!(world.writes("acme"), 0);
    assert_eq!(world.report("acme").after.held.len(), 1, "what it would do is shown");
}

#[tokio::test(start_paused = true)]
async fn a_drift_that_keeps_coming_back_is_contested_and_renewals_go_on() {
    let world = running(Knobs::default()).await;
    let (_, id) = world.declared()[0].clone();
    let edit = Hand::AddEvent { channel: id.number(), event: "Cases.edit".to_owned() };
    for _ in 0..48 {
        world.hand("acme", &edit);
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
    let calls = world.zoho().counters("acme").unwrap().calls.clone();
    let repairs = calls.get("PATCH").unwrap_or(&0) + calls.get("PUT").unwrap_or(&0);
    assert!((4..=24).contains(&repairs), "repairs back off: {repairs} in two days");
}

#[tokio::test(start_paused = true)]
async fn a_repair_of_which_the_answer_says_nothing_backs_off() {
    let world = running(Knobs::default()).await;
    world
        .zoho()
        .add_fault(Rule { method: Some("PATCH".to_owned()), ..Rule::always(Fault::ItemMissing) });
    let (_, id) = world.declared()[0].clone();
    for _ in 0..6 {
        // Somebody undoes what the repair did, so that there is always something to repair.
        for _ in 0..120 {
            world.hand(
                "acme",
                &Hand::SetToken { channel: id.number(), token: Some("not-ours".to_owned()) },
            );
            world.pass_time(Duration::from_secs(30)).await;
        }
        assert_all_covered(&world);
    }
    let patches =
        world.zoho().counters("acme").unwrap().calls.get("PATCH").copied().unwrap_or_default();
    assert!((1..=40).contains(&patches), "{patches} PATCH in six hours");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_fails_its_account_and_no_other() {
    let mut world =
        World::new(Knobs::default(), &[("acme", ApiVersion::V8), ("globex", ApiVersion::V8)]);
    world.declare("acme", "deals", &["Deals.all"]);
    let other = world.declare("globex", "leads", &["Leads.all"]);
    world.start();
    world.audit().await;
    let token =
        world.desired.accounts[&"acme".parse().unwrap()].account.credentials.refresh_token.clone();
    world.zoho().revoke("acme", token.expose());
    for _ in 0..40 {
        world.pass_time(HOUR).await;
        assert!(world.is_covered("globex", other, world.now()));
    }
    let report = world.report("acme");
    assert!(report.needs_a_person, "{:?}", report.look_failed);
    let asked: u64 = world.zoho().counters("acme").unwrap().token_outcomes.values().sum();
    assert!(asked < 60, "refused credentials are tried slowly: {asked} requests in 40 hours");
}

#[tokio::test(start_paused = true)]
async fn a_new_refresh_token_is_used_at_once_however_long_the_old_one_was_refused() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    world.declare("acme", "deals", &["Deals.all"]);
    let good = world.account_mut("acme").account.credentials.refresh_token.clone();
    world.account_mut("acme").account.credentials.refresh_token = Secret::new("1000.another");
    world.start();
    world.pass_time(30 * HOUR).await;
    assert!(world.report("acme").needs_a_person);
    world.account_mut("acme").account.credentials.refresh_token = good;
    world.reload().await;
    world.pass_time(Duration::from_secs(5)).await;
    assert_all_covered(&world);
    assert!(!world.report("acme").needs_a_person);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_patch_does_not_find_is_posted() {
    let world = running(Knobs::default()).await;
    let (_, id) = world.declared()[0].clone();
    let lost = Fault::RefuseChannel {
        channel: id.to_string(),
        code: "NOT_SUBSCRIBED".to_owned(),
        details: serde_json::json!({}),
    };
    world.zoho().add_fault(Rule { method: Some("PATCH".to_owned()), ..Rule::once(lost) });
    assert!(
        world.hand(
            "acme",
            &Hand::SetToken { channel: id.number(), token: Some("theirs".to_owned()) }
        )
    );
    let posts = world.zoho().counters("acme").unwrap().calls["POST"];
    world.audit().await;
    world.pass_time(Duration::from_secs(5)).await;
    assert_eq!(world.zoho().counters("acme").unwrap().calls["POST"], posts + 1);
    assert_all_covered(&world);
    assert!(world.report("acme").after.steps.is_empty());
}

#[tokio::test(start_paused = true)]
async fn channels_that_the_removal_guard_holds_go_on_being_renewed() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    let names = ["deals", "leads", "contacts", "tasks", "cases"];
    let ids = names.map(|name| world.declare("acme", name, &["Deals.all"]));
    world.start();
    world.audit().await;
    for id in &ids[1..] {
        world.undeclare("acme", *id);
    }
    world.reload().await;
    for _ in 0..3 * 24 {
        world.pass_time(Duration::from_secs(3600)).await;
        for id in ids {
            let zoho = world.zoho();
            let live = zoho.channels("acme", world.now());
            assert!(live.iter().any(|channel| channel.id == id.number()), "{id} lapsed");
        }
    }
    let report = world.report("acme");
    let held = report.after.held.iter().filter(|held| {
        matches!(held.cause, Cause::RemovalGuard { removals: 4, channels: 5, is_renewed: true })
    });
    assert_eq!(held.count(), 4, "{:?}", report.after);

    let allowed = ids[1..].iter().copied().collect();
    world.store().allow_removals(&"acme".parse().unwrap(), allowed).await.unwrap();
    world.audit().await;
    let live: Vec<i64> =
        world.zoho().channels("acme", world.now()).iter().map(|channel| channel.id).collect();
    assert_eq!(live, [ids[0].number()]);
    assert!(world.report("acme").after.held.is_empty());
}
