//! Ring 2: what calls cost. How many an account takes, and what becomes of it when credits run low.

use std::collections::BTreeMap;
use std::time::Duration;

use channelkeeper::model::version::ApiVersion;
use channelkeeper::plan::calls::{DailyCalls, expected};
use channelkeeper::simulator::knobs::{PostLive, ThrottledCode};
use channelkeeper::simulator::{Hand, Knobs};

use crate::sample::sample;
use crate::world::{AUDIT, World, spec};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An account with so many channels of such lives.
fn declared(groups: &[(usize, Duration)]) -> World {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for (group, (channels, lifetime)) in groups.iter().enumerate() {
        for number in 0..*channels {
            let spec = spec("acme", &format!("c{group}-{number}"), &["Deals.all", "Leads.create"]);
            world.declare_spec(
                "acme",
                channelkeeper::model::channel::Spec { lifetime: *lifetime, ..spec },
            );
        }
    }
    world
}

/// The calls that it is expected to take in so many days.
fn estimate(world: &World, days: f64) -> BTreeMap<&'static str, f64> {
    let account = &world.desired.accounts[&"acme".parse().expect("a name")];
    let audits = DAY.as_secs_f64() / AUDIT.as_secs_f64();
    let DailyCalls { renewals, looks, tokens } =
        expected(&account.account.name, &account.account.policy, &account.specs, audits);
    BTreeMap::from([
        ("renewals", renewals * days),
        ("looks", looks * days),
        ("tokens", tokens * days),
    ])
}

/// The calls that the simulator counted.
fn counted(world: &World) -> BTreeMap<&'static str, f64> {
    let counters = world.zoho().counters("acme").expect("an org").clone();
    let calls = |method| counters.calls.get(method).copied().unwrap_or_default() as f64;
    assert_eq!(counters.writes as f64, calls("POST"), "nothing but renewals is written");
    BTreeMap::from([
        ("renewals", calls("POST")),
        ("looks", calls("GET")),
        ("tokens", counters.tokens_issued as f64),
    ])
}

#[tokio::test(start_paused = true)]
async fn a_converged_account_takes_as_many_calls_as_were_estimated() {
    // The channels, and how far below the estimate the count may be: riders are not in it, and
    // looks that a clock known to the second makes too early are, whether they come or not.
    let accounts: [(&[(usize, Duration)], f64); 5] = [
        (&[(3, DAY)], 0.9),
        (&[(26, DAY)], 0.9),
        (&[(4, 6 * HOUR)], 0.8),
        (&[(4, DAY), (4, 6 * DAY)], 0.9),
        (&[(14, DAY), (18, 6 * DAY)], 0.6),
    ];
    for (groups, least) in sample(accounts, 2) {
        let days = 6;
        let mut world = declared(groups);
        world.account_mut("acme").account.policy.batch_max = 10;
        world.start();
        world.pass_time(HOUR / 2).await;
        let before = counted(&world);
        world.pass_time(DAY * days).await;
        let (after, expected) = (counted(&world), estimate(&world, f64::from(days)));
        for (kind, expected) in expected {
            let made = after[kind] - before[kind];
            // One more or less of each batch falls into the time that was watched.
            let slack = if kind == "renewals" { 4.0 } else { 2.0 };
            assert!(
                made <= expected * 1.05 + slack && made >= expected * least - slack,
                "{groups:?}: {made} {kind}, estimated {expected:.1}"
            );
        }
    }
}

/// Three enabled channels of an org with a hundred credits a day, which the config names.
async fn with_a_hundred_credits() -> World {
    let mut world = declared(&[(3, DAY)]);
    world.allow_credits("acme", 100);
    world.account_mut("acme").account.policy.credits_per_day = Some(100);
    world.start();
    world.audit().await;
    world
}

fn leave(world: &World, credits: u64) {
    assert!(world.hand("acme", &Hand::LeaveCredits { credits }), "there is such an org");
}

fn calls(world: &World) -> u64 {
    world.zoho().counters("acme").expect("an org").calls_total()
}

fn refused(world: &World) -> u64 {
    world.zoho().counters("acme").expect("an org").out_of_credits
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

async fn hours_covered(world: &World, hours: u32) {
    for _ in 0..hours {
        world.pass_time(HOUR).await;
        assert_all_covered(world);
    }
}

#[tokio::test(start_paused = true)]
async fn while_credits_are_low_nothing_lapses_audits_stop_and_what_loses_nothing_waits_until_they_are_back()
 {
    let world = with_a_hundred_credits().await;
    // A renewal does not happen to mend the drift.
    world
        .zoho()
        .set_knobs(Knobs { post: PostLive::Merge, ..Knobs::default() })
        .expect("good knobs");
    let (_, id) = world.declared()[0].clone();
    world.pass_time(HOUR + HOUR / 2).await;
    leave(&world, 18);
    // The next audit is told, and is the last one.
    hours_covered(&world, 1).await;
    let before = calls(&world);
    let report = world.report("acme");
    let credits = report.credits.expect("what is left is known");
    assert_eq!((credits.remaining, credits.reserve), (17, 100));
    assert!(credits.are_tight(world.now()));
    assert!(
        world
            .hand("acme", &Hand::AddEvent { channel: id.number(), event: "Cases.edit".to_owned() })
    );
    hours_covered(&world, 20).await;
    // One renewal in that time: a look or two, and a batch.
    let made = calls(&world) - before;
    assert!((2..=3).contains(&made), "{made} calls in twenty hours");
    let report = world.report("acme");
    let held: Vec<&str> = report.after.held.iter().map(|held| held.cause.word()).collect();
    assert_eq!(held, ["credits"], "the drift is seen, and waits");
    // The burst is a day old; the next answer, or the end of the day, says so.
    hours_covered(&world, 16).await;
    let before = calls(&world);
    hours_covered(&world, 4).await;
    assert!(calls(&world) - before >= 4, "audits are made again");
    let report = world.report("acme");
    assert!(
        report.credits.is_none() && report.after.held.is_empty() && report.after.steps.is_empty()
    );
    let patches = world.zoho().counters("acme").expect("an org").calls["PATCH"];
    assert_eq!((patches, refused(&world)), (1, 0), "the drift is mended, and no call was refused");
}

#[tokio::test(start_paused = true)]
async fn low_credits_hold_neither_a_missing_channel_nor_a_drift_that_loses_deliveries() {
    let world = with_a_hundred_credits().await;
    let declared = world.declared();
    leave(&world, 15);
    world.audit().await;
    assert!(world.report("acme").credits.expect("known").are_tight(world.now()));
    let (deleted, moved) = (declared[0].1.number(), declared[1].1.number());
    assert!(world.hand("acme", &Hand::Delete { channel: deleted }));
    let notify_url = "https://elsewhere.example.com/".to_owned();
    assert!(world.hand("acme", &Hand::SetNotifyUrl { channel: moved, notify_url }));
    // An operator who asks for a look gets one.
    world.audit().await;
    assert_all_covered(&world);
}

#[tokio::test(start_paused = true)]
async fn when_all_credits_are_gone_a_429_of_either_code_is_waited_out_and_everything_catches_up() {
    for code in [ThrottledCode::TooManyRequests, ThrottledCode::RateLimitExceeded] {
        let world = with_a_hundred_credits().await;
        let knobs = Knobs { throttled_code: code, ..world.zoho().knobs().clone() };
        world.zoho().set_knobs(knobs).expect("good knobs");
        world.pass_time(HOUR + HOUR / 2).await;
        leave(&world, 3);
        hours_covered(&world, 1).await;
        leave(&world, 0);
        hours_covered(&world, 9).await;
        let before = refused(&world);
        // A renewal is due from the twelfth hour on; a look that fails is made once an hour until
        // it is an emergency.
        hours_covered(&world, 7).await;
        let tries = refused(&world) - before;
        assert!((4..=9).contains(&tries), "{tries} looks in seven hours");
        assert!(world.report("acme").look_failed.as_deref().is_some_and(|why| why.contains("429")));
        // The credits that others used come back a day after: by then the life is over, and nobody
        // could have kept it.
        world.pass_time(8 * HOUR).await;
        hours_covered(&world, 24).await;
        let report = world.report("acme");
        assert!(
            report.look_failed.is_none()
                && report.credits.is_none()
                && report.after.steps.is_empty()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn credits_that_nobody_told_of_change_nothing() {
    let mut world = declared(&[(3, DAY)]);
    world.allow_credits("acme", 1000);
    world.start();
    world.audit().await;
    let before = calls(&world);
    leave(&world, 400);
    hours_covered(&world, 10).await;
    assert!(calls(&world) - before >= 10, "audits go on");
    let credits = world.report("acme").credits.expect("less than half is left");
    assert!(!credits.are_tight(world.now()) && credits.per_day.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_account_has_one_call_at_a_time_whoever_asks() {
    let mut world = declared(&[(12, DAY)]);
    world.account_mut("acme").account.policy.batch_max = 3;
    world.start();
    let asked = || async { world.preview().await };
    tokio::join!(world.audit(), asked(), asked(), asked(), world.audit(), asked());
    let counters = world.zoho().counters("acme").expect("an org").clone();
    assert!(counters.calls["GET"] >= 5 && counters.calls["POST"] == 4, "{:?}", counters.calls);
    assert_eq!((counters.in_flight_max, counters.throttled), (1, 0));
}
