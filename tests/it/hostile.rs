//! Ring 2: a Zoho that is smaller, slower or odder than its documents, one story a test.

use std::collections::BTreeMap;
use std::time::Duration;

use channelkeeper::model::channel::Spec;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::reconcile::execute::REFUSALS_MAX;
use channelkeeper::simulator::knobs::PatchEvents;
use channelkeeper::simulator::{Fault, Hand, Knobs, Length, PostConflict, Rule};

use crate::sample::sample;
use crate::world::{World, spec};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
const SECONDS: Duration = Duration::from_secs(5);

/// One account with this many channels of this life; not started.
fn declared(knobs: Knobs, channels: usize, lifetime: Duration) -> World {
    let mut world = World::new(knobs, &[("acme", ApiVersion::V8)]);
    for number in 0..channels {
        world.declare_spec(
            "acme",
            Spec { lifetime, ..spec("acme", &format!("c{number}"), &["Deals.all"]) },
        );
    }
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

/// The shortest life that is left at Zoho.
fn shortest(world: &World) -> Duration {
    let now = world.now();
    let lives = world
        .zoho()
        .channels("acme", now)
        .iter()
        .map(|channel| channel.expiry.duration_since(now))
        .min();
    lives.expect("a channel").unsigned_abs()
}

fn one_day_at_most() -> Knobs {
    Knobs { version_limits: BTreeMap::from([("v8".to_owned(), Length(DAY))]), ..Knobs::default() }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_grants_a_day_at_most_is_learned_within_seconds_and_said() {
    let mut world = declared(one_day_at_most(), 3, 7 * DAY);
    world.start();
    world.audit().await;
    world.pass_time(SECONDS).await;
    assert!(shortest(&world) > 23 * HOUR, "{:?}", shortest(&world));
    assert_eq!(world.writes("acme"), 2, "one that was given an hour, and one for a day");
    let limits = world.report("acme").limits.clone();
    assert!(
        limits.iter().any(|text| text.contains("grants at most 1d; lifetime = \"7d\"")),
        "{limits:?}"
    );
    assert!(!world.report("acme").channels.values().any(|channel| channel.short_grant));
    world.crash().await;
    world.start();
    for _ in 0..6 * 24 {
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
    assert!(
        world.writes("acme") <= 2 + 13,
        "two renewals a day, and nothing else: {}",
        world.writes("acme")
    );
}

#[tokio::test(start_paused = true)]
async fn an_account_that_was_mended_has_its_week_again_a_week_later() {
    let mut world = declared(one_day_at_most(), 1, 7 * DAY);
    world.start();
    world.audit().await;
    world.zoho().set_knobs(Knobs::default()).expect("good knobs");
    world.pass_time(6 * DAY).await;
    assert!(shortest(&world) < DAY);
    world.pass_time(2 * DAY).await;
    assert!(shortest(&world) > 5 * DAY, "{:?}", shortest(&world));
    assert!(world.report("acme").limits.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_maximum_that_the_config_names_is_tried_at_once() {
    let mut world = declared(one_day_at_most(), 1, 7 * DAY);
    world.start();
    world.audit().await;
    world.zoho().set_knobs(Knobs::default()).expect("good knobs");
    world.account_mut("acme").account.policy.lifetime_max = 6 * DAY;
    world.reload().await;
    world.pass_time(DAY).await;
    assert!(shortest(&world) > 4 * DAY, "{:?}", shortest(&world));
}

#[tokio::test(start_paused = true)]
async fn a_zoho_that_grants_an_hour_whatever_is_asked_is_not_asked_for_ever() {
    let mut world = declared(Knobs::default(), 3, DAY);
    world.zoho().add_fault(Rule::always(Fault::ShortGrant));
    world.start();
    world.audit().await;
    world.pass_time(10 * Duration::from_secs(60)).await;
    assert!((3..=5).contains(&world.writes("acme")), "{} writes", world.writes("acme"));
    for _ in 0..3 * 24 {
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
    // An hour's life is renewed each half hour, less the phase; and each day is doubted anew.
    assert!(world.writes("acme") < 3 * 65, "{} writes", world.writes("acme"));
}

#[tokio::test(start_paused = true)]
async fn one_short_grant_is_mended_within_a_minute() {
    let mut world = declared(Knobs::default(), 3, DAY);
    world.zoho().add_fault(Rule::once(Fault::ShortGrant));
    world.start();
    world.audit().await;
    world.pass_time(Duration::from_secs(60)).await;
    assert!(shortest(&world) > 23 * HOUR);
    assert_eq!(world.writes("acme"), 2);
    assert!(world.report("acme").limits.is_empty(), "a day is what is declared");
}

#[tokio::test(start_paused = true)]
async fn a_short_grant_of_a_wrong_clock_is_mended_with_the_measured_skew_and_nothing_is_learned() {
    let mut world = declared(Knobs::default(), 1, 7 * DAY);
    world.start();
    world.audit().await;
    // Blind, with a clock that goes two hours ahead meanwhile: what is asked for is two hours too
    // much.
    world.pass_time(HOUR).await;
    world
        .zoho()
        .add_fault(Rule { method: Some("GET".to_owned()), ..Rule::always(Fault::ResetBefore) });
    world.pass_time(6 * DAY + HOUR).await;
    world.host_clock.step(7_200_000);
    let before = world.writes("acme");
    while world.writes("acme") == before {
        world.pass_time(SECONDS).await;
    }
    assert!(shortest(&world) <= HOUR, "{:?}", shortest(&world));
    world.zoho().clear_faults();
    world.pass_time(Duration::from_secs(60)).await;
    assert!(shortest(&world) > 6 * DAY, "{:?}", shortest(&world));
    assert!(world.report("acme").limits.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_that_refuses_to_post_a_live_channel_is_renewed_by_put() {
    for post_conflict in [PostConflict::DuplicateData, PostConflict::AlreadyUsed] {
        let mut world = declared(Knobs { post_conflict, ..Knobs::default() }, 3, DAY);
        world.start();
        world.audit().await;
        for _ in 0..3 * 24 {
            world.pass_time(HOUR).await;
            assert_all_covered(&world);
        }
        world.crash().await;
        world.start();
        for _ in 0..24 {
            world.pass_time(HOUR).await;
            assert_all_covered(&world);
        }
        let calls = world.zoho().counters("acme").unwrap().calls.clone();
        assert_eq!(
            calls["POST"], 2,
            "{post_conflict:?}: one to begin with, and the one that was refused"
        );
        assert!((7..=9).contains(&calls["PUT"]), "{post_conflict:?}: {calls:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_gone_is_posted_although_its_account_renews_by_put() {
    let mut world =
        declared(Knobs { post_conflict: PostConflict::DuplicateData, ..Knobs::default() }, 3, DAY);
    world.start();
    world.pass_time(DAY).await;
    let (_, id) = world.declared()[0].clone();
    assert!(world.hand("acme", &Hand::Delete { channel: id.number() }));
    world.audit().await;
    world.pass_time(SECONDS).await;
    assert_all_covered(&world);
}

#[tokio::test(start_paused = true)]
async fn a_live_channel_that_the_list_leaves_out_is_put_where_it_may_not_be_posted() {
    let mut world =
        declared(Knobs { post_conflict: PostConflict::AlreadyUsed, ..Knobs::default() }, 2, DAY);
    world.start();
    world.audit().await;
    let (_, id) = world.declared()[0].clone();
    world.zoho().add_fault(Rule::always(Fault::ListOmits { channel: id.to_string() }));
    for _ in 0..48 {
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_smaller_batch_limit_is_learned_to_the_channel_and_kept_to() {
    let mut world = declared(Knobs { batch_max: 10, ..Knobs::default() }, 60, DAY);
    world.start();
    world.audit().await;
    assert_all_covered(&world);
    assert!(
        world.writes("acme") <= 3 + 9,
        "50, 25 and 12 are refused, twice six go, then nine: {}",
        world.writes("acme")
    );
    world.crash().await;
    world.start();
    for _ in 0..2 * 24 {
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
    let limits = world.report("acme").limits.clone();
    assert!(
        limits.iter().any(|text| text.contains("takes 10 channels in one write and refuses 11")),
        "{limits:?}"
    );
    let before = world.writes("acme");
    for _ in 0..24 {
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
    assert_eq!(world.writes("acme") - before, 2 * 6, "twice a day at the floor of sixty by ten");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_refuses_every_batch_alike_is_not_bisected_to_the_last_channel() {
    let mut world = declared(Knobs { batch_max: 0, ..Knobs::default() }, 50, DAY);
    world.start();
    world.audit().await;
    assert_eq!(world.writes("acme"), u64::from(REFUSALS_MAX));
    let why = world.report("acme").writes_failed.clone();
    assert!(
        why.as_ref().is_some_and(|why| why.contains("every batch is refused with INVALID_DATA")),
        "{why:?}"
    );
    world.pass_time(HOUR).await;
    assert!(
        world.writes("acme") <= 14 * u64::from(REFUSALS_MAX),
        "{} writes in an hour",
        world.writes("acme")
    );
    world.zoho().set_knobs(Knobs::default()).expect("good knobs");
    world.pass_time(HOUR / 4).await;
    assert_all_covered(&world);
    assert!(world.report("acme").writes_failed.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_emergency_goes_on_alone_where_every_batch_is_refused_and_does_not_storm() {
    let mut world = declared(Knobs::default(), 50, DAY);
    world.start();
    world.pass_time(11 * HOUR).await;
    world.zoho().set_knobs(Knobs { batch_max: 0, ..Knobs::default() }).expect("good knobs");
    world.pass_time(11 * HOUR).await;
    let before = world.writes("acme");
    world.pass_time(HOUR).await;
    let writes = world.writes("acme") - before;
    let (each, halving) = (50 * 12, 50 * 12);
    assert!(
        (each..=each + halving).contains(&writes),
        "each channel every five minutes, and to find that out: {writes}"
    );
    world.zoho().set_knobs(Knobs::default()).expect("good knobs");
    world.pass_time(6 * MINUTE).await;
    assert!(shortest(&world) > 23 * HOUR, "{:?}", shortest(&world));
}

#[tokio::test(start_paused = true)]
async fn six_hours_of_any_one_trouble_lapse_nothing() {
    let troubles = [
        Fault::Refused,
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::HangBefore,
        Fault::HangAfter,
        Fault::Truncated { keep: 20 },
        Fault::ContentType { value: "text/html".to_owned() },
        Fault::ItemMissing,
        Fault::ItemsReordered,
        Fault::UnknownItemCode { code: "SOMETHING_NEW".to_owned() },
        Fault::ServerErrorJson,
        Fault::ServerErrorHtml,
        Fault::Unavailable,
        Fault::TooManyRequests,
        Fault::InvalidToken,
        Fault::ScopeMismatch,
        Fault::Forbidden,
        Fault::NotFound,
        Fault::ListShowsExpired,
        Fault::TokenThrottled,
        Fault::OauthError { error: "invalid_code".to_owned() },
    ];
    for trouble in sample(troubles, 3) {
        let mut world = declared(Knobs::default(), 3, DAY);
        world.start();
        world.pass_time(11 * HOUR).await;
        world.zoho().add_fault(Rule::always(trouble.clone()));
        for _ in 0..6 {
            world.pass_time(HOUR).await;
            let now = world.now();
            let lapsed = world
                .declared()
                .into_iter()
                .find(|(account, id)| !world.is_covered(account, *id, now));
            assert!(lapsed.is_none(), "{trouble:?}: {lapsed:?} at {now}");
        }
        world.zoho().clear_faults();
        world.pass_time(HOUR).await;
        assert!(shortest(&world) > 6 * HOUR, "{trouble:?}: {:?}", shortest(&world));
    }
}

#[tokio::test(start_paused = true)]
async fn every_reading_of_patch_and_post_converges() {
    let readings = [
        r#"{"patch": "nulls_token"}"#,
        r#"{"patch_events": "add"}"#,
        r#"{"patch_expiry": "one_hour"}"#,
        r#"{"post": "merge"}"#,
        r#"{"all_bad_status": 202, "partly_bad_status": 202, "empty_list_status": 200}"#,
        r#"{"expired_shown": "2days"}"#,
    ];
    for reading in sample(readings, 2) {
        let mut world = declared(serde_json::from_str(reading).expect("knobs"), 3, DAY);
        world.start();
        world.audit().await;
        let (_, id) = world.declared()[0].clone();
        let channel = id.number();
        for hand in [
            Hand::AddEvent { channel, event: "Cases.edit".to_owned() },
            Hand::SetToken { channel, token: None },
            Hand::Delete { channel },
        ] {
            assert!(world.hand("acme", &hand), "{reading}: {hand:?} takes hold");
            world.audit().await;
            world.audit().await;
            let report = world.report("acme");
            assert!(
                report.after.steps.is_empty() && report.outcomes.is_empty(),
                "{reading}: {hand:?} {report:?}"
            );
            world.pass_time(DAY + HOUR).await;
            assert_all_covered(&world);
        }
    }
}

/// From before the first write, and from the last moment of a life on.
#[tokio::test(start_paused = true)]
async fn a_module_that_is_forbidden_lapses_no_channel_of_another() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for (number, module) in
        ["Accounts", "Contacts", "Deals", "Leads", "Quotes", "Tasks"].iter().enumerate()
    {
        world.declare("acme", &format!("c{number}"), &[&format!("{module}.all")]);
    }
    world.start();
    world.audit().await;
    assert_all_covered(&world);
    world.pass_time(6 * HOUR).await;
    world.zoho().add_fault(Rule::always(Fault::ForbidModule { module: "Leads".to_owned() }));
    for _ in 0..2 * 24 {
        world.pass_time(HOUR).await;
        let covered = world
            .declared()
            .into_iter()
            .filter(|(account, id)| world.is_covered(account, *id, world.now()));
        assert!(covered.count() >= 5, "at {}", world.now());
    }
    assert!(!world.report("acme").needs_a_person);
    world.zoho().clear_faults();
    world.pass_time(7 * MINUTE).await;
    assert_all_covered(&world);
}

/// The modules that Zoho delivers of the account.
fn delivered(world: &World) -> Vec<String> {
    let now = world.now();
    let channels: Vec<_> = world.zoho().channels("acme", now).iter().copied().cloned().collect();
    let events = channels.iter().flat_map(|channel| channel.events.iter());
    events.map(|(module, _)| module.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_bad_event_takes_no_good_one_down() {
    let events =
        ["Accounts.all", "Contacts.all", "Deals.all", "Leads.all", "Quotes.all", "Tasks.all"];
    let said = [(true, "INVALID_MODULE"), (false, "INVALID_MODULE"), (false, "SOLAR_FLARE")];
    for (named, code) in said {
        let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
        let id = world.declare("acme", "all", &events);
        let details = match named {
            true => serde_json::json!({ "json_path": "$.watch[0].events[3]" }),
            false => serde_json::json!({}),
        };
        let (module, code) = ("Leads".to_owned(), code.to_owned());
        world.start();
        world.audit().await;
        world.pass_time(HOUR).await;
        world.zoho().add_fault(Rule::always(Fault::RefuseModule { module, code, details }));
        for _ in 0..3 * 24 {
            world.pass_time(HOUR).await;
            assert!(delivered(&world).len() >= 5, "{named}: {:?}", delivered(&world));
        }
        let gone: Vec<String> = world.ledgers("acme").0[&id]
            .gaps(world.now())
            .into_iter()
            .map(|gap| gap.module)
            .collect();
        assert!(!gone.is_empty() && gone.iter().all(|module| module == "Leads"), "{gone:?}");
        let held = &world.report("acme").after.held;
        assert!(held.iter().any(|held| held.cause.word() == "part-refused"), "{held:?}");
        world.zoho().clear_faults();
        world.pass_time(6 * HOUR + 5 * MINUTE).await;
        assert_all_covered(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_mistyped_event_removes_nothing_that_works() {
    for patch_events in [PatchEvents::Replace, PatchEvents::Add] {
        let knobs = Knobs { patch_events, ..Knobs::default() };
        let mut world = World::new(knobs, &[("acme", ApiVersion::V8)]);
        world.declare("acme", "deals", &["Deals.all", "Contacts.create"]);
        world.start();
        world.audit().await;
        world.declare("acme", "deals", &["Deal.create", "Contacts.create"]);
        world.reload().await;
        for _ in 0..2 * 24 {
            world.pass_time(HOUR).await;
            assert_eq!(delivered(&world), ["Contacts", "Deals"], "at {}", world.now());
        }
        world.declare("acme", "deals", &["Deals.create", "Contacts.create"]);
        world.reload().await;
        world.pass_time(MINUTE).await;
        assert_all_covered(&world);
        assert!(world.preview().await.accounts[0].steps.is_empty());
    }
}
