//! Ring 2: how many accounts are served at once, and who waits for a place.
//!
//! An emergency waits for none: a call that hangs for ever holds the only one. The rest are served
//! as the window grows, and a plan that somebody asks for goes through the same window.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::policy::Mode;
use channelkeeper::model::time::{Timestamp, span};
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::{Fault, Hand, Knobs, Length, Rule};

use crate::world::{self, Cut, World};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const QUARTER: Duration = Duration::from_millis(250);

/// One account hangs, whose turn comes before that of `bell`; of `bell` a channel is enabled.
async fn one_place_and_it_is_taken() -> World {
    let mut world =
        World::new(Knobs::default(), &[("acme", ApiVersion::V8), ("bell", ApiVersion::V8)]);
    world.desired.settings.passes_max = 1;
    world.declare("acme", "deals", &["Deals.all"]);
    world.declare("bell", "deals", &["Deals.all"]);
    world.start();
    world.audit().await;
    // The instant of the emergency is on none of the half minutes at which the loop looks at the
    // clock in any case.
    world.pass_time(7 * SECOND).await;
    world.cut_next("GET", Cut::Before);
    world.daemon().links.wakes.wake(None, "test").await;
    world.pass_time(SECOND).await;
    assert!(world.is_cut());
    world
}

fn emergency_of_bell(world: &World) -> Timestamp {
    let report = world.report("bell");
    report.channels.values().find_map(|channel| channel.emergency_at).expect("a granted life")
}

/// When `bell` wrote, by the trace: the other account is in its first call, and writes no more.
fn writes(world: &World) -> Vec<Timestamp> {
    let trace = world.trace();
    let posts = trace.iter().filter(|line| line.contains(" POST /crm"));
    let at = |line: &String| line.split(' ').next()?.parse().ok();
    posts.map(|line| at(line).expect("an instant")).collect()
}

#[tokio::test(start_paused = true)]
async fn an_emergency_is_begun_when_it_begins_though_every_place_is_taken() {
    let world = one_place_and_it_is_taken().await;
    let (begins, before) = (emergency_of_bell(&world), writes(&world).len());
    while world.now() < begins {
        assert_eq!(writes(&world).len(), before, "routine has no place");
        until(&world, begins).await;
    }
    world.pass_time(SECOND).await;
    assert_eq!(writes(&world).len(), before + 1, "the emergency of {begins} waits for a place");
}

#[tokio::test(start_paused = true)]
async fn an_emergency_is_tried_again_when_its_plan_says_though_every_place_is_taken() {
    let world = one_place_and_it_is_taken().await;
    world.zoho().add_fault(Rule {
        method: Some("POST".to_owned()),
        times: Some(3),
        ..Rule::always(Fault::Unavailable)
    });
    let before = writes(&world).len();
    until(&world, emergency_of_bell(&world)).await;
    for tried in 1..=4 {
        let begun = world.now();
        while writes(&world).len() < before + tried {
            assert!(span(begun, world.now()) < SECOND, "try {tried} is late at {}", world.now());
            world.pass_time(QUARTER).await;
        }
        // The answer comes, and with it the next time.
        world.pass_time(QUARTER).await;
        until(&world, world.report("bell").next_wake).await;
    }
    assert!(emergency_of_bell(&world) > world.now() + HOUR, "the fourth try went well");
}

/// Waits for an instant, unless it is over: a pass may be under way since then.
async fn until(world: &World, instant: Timestamp) {
    world.pass_time(span(world.now(), instant)).await;
}

/// So many accounts, each with one channel.
fn accounts(count: usize) -> World {
    accounts_with(Knobs::default(), count)
}

fn accounts_with(knobs: Knobs, count: usize) -> World {
    let names: Vec<String> = (0..count).map(|number| format!("a{number}")).collect();
    let accounts: Vec<_> = names.iter().map(|name| (name.as_str(), ApiVersion::V8)).collect();
    let mut world = World::new(knobs, &accounts);
    for name in &names {
        world.declare(name, "deals", &["Deals.all"]);
    }
    world
}

/// How many calls of each millisecond the trace has that hold this.
fn at_once(trace: &[String], what: &str) -> Vec<usize> {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for line in trace.iter().filter(|line| line.contains(what)) {
        *counts.entry(line.split(' ').next().unwrap_or_default()).or_default() += 1;
    }
    counts.into_values().collect()
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_is_begun_as_soon_as_the_window_grows() {
    let mut world = accounts(300);
    // No pass ends: only the tokens' answers say that the way bears more.
    world.zoho().add_fault(Rule::always(Fault::HangBefore));
    world.start();
    world.pass_time(SECOND).await;
    assert_eq!(at_once(&world.trace(), " POST /oauth/"), [256, 44]);
}

#[tokio::test(start_paused = true)]
async fn passes_under_way_are_about_no_more_channels_than_fit_in_memory_and_one_account_more() {
    let mut world = accounts(4);
    for account in ["a0", "a1", "a2", "a3"] {
        for number in 0..5_000 {
            world.declare(account, &format!("deals-{number}"), &["Deals.all"]);
        }
    }
    world.zoho().add_fault(Rule::always(Fault::HangBefore));
    world.start();
    world.pass_time(SECOND).await;
    assert_eq!(at_once(&world.trace(), " POST /oauth/"), [2]);
}

/// An audit has begun passes of all the channels that fit, and none of them ends.
#[tokio::test(start_paused = true)]
async fn a_renewal_waits_for_no_room_that_an_audit_takes() {
    let mut world = accounts(3);
    for account in ["a0", "a1"] {
        for number in 0..5_000 {
            let spec = world::spec(account, &format!("deals-{number}"), &["Deals.all"]);
            world.declare_spec(account, Spec { mode: Mode::Observe, ..spec });
        }
    }
    world.start();
    world.audit().await;
    let due = world.report("a2").next_wake;
    until(&world, due - 10 * SECOND).await;
    let before = writes(&world).len();
    for _ in 0..2 {
        world.zoho().add_fault(Rule {
            method: Some("GET".to_owned()),
            times: Some(1),
            ..Rule::always(Fault::HangBefore)
        });
    }
    let wakes = &world.daemon().links.wakes;
    for account in ["a0", "a1"] {
        wakes.wake(Some(account.parse().unwrap()), "test").await;
    }
    world.pass_time(SECOND).await;
    until(&world, due).await;
    world.pass_time(SECOND).await;
    assert_eq!(writes(&world).len(), before + 1);
}

/// All of them begin at one instant, and so do audits.
#[tokio::test(start_paused = true)]
async fn under_a_host_that_answers_429_to_an_address_everything_is_enabled_and_nothing_lapses() {
    let knobs = Knobs { calls_per_second_max: Some(50), ..Knobs::default() };
    let mut world = accounts_with(knobs, 120);
    world.zoho().add_fault(Rule::always(Fault::Delay { by: Length(QUARTER) }));
    world.start();
    world.pass_time(HOUR).await;
    let declared = world.declared();
    // Two renewals of each, and the end of the life that it had at first.
    for _ in 0..26 {
        let is_open =
            |(account, id): &&(String, ChannelId)| !world.is_covered(account, *id, world.now());
        let open: Vec<_> = declared.iter().filter(is_open).collect();
        assert!(open.is_empty(), "{open:?} at {}", world.now());
        world.pass_time(HOUR).await;
    }
    let refused = world.trace().iter().filter(|line| line.contains(" 429")).count();
    assert!(refused > 60, "{refused} calls were refused");
}

#[tokio::test(start_paused = true)]
async fn a_plan_looks_at_as_many_accounts_at_once_as_the_window_allows() {
    let mut world = accounts(120);
    world.start();
    world.audit().await;
    world.zoho().add_fault(Rule::always(Fault::TooManyRequests));
    for _ in 0..20 {
        world.audit().await;
    }
    world.zoho().clear_faults();
    let known = world.trace().len();
    assert_eq!(world.preview().await.accounts.len(), 120);
    let looks = at_once(&world.trace()[known..], " GET /crm");
    assert_eq!(looks.first(), Some(&8), "{looks:?}");
    assert_eq!(looks.iter().sum::<usize>(), 120);
}

/// The writes of an account since a moment, each with the channels in it.
type Writes = Arc<Mutex<Vec<Vec<ChannelId>>>>;

fn hear_writes(world: &World) -> Writes {
    let heard = Writes::default();
    let hears = heard.clone();
    world.zoho().listen(move |call| {
        if call.request.method != "GET" && call.request.path.contains("/watch") {
            let body: serde_json::Value = serde_json::from_slice(&call.request.body).expect("JSON");
            let items = body["watch"].as_array().expect("channels").iter();
            let id = |item: &serde_json::Value| item["channel_id"].as_str()?.parse().ok();
            hears.lock().expect("nobody panics").push(items.filter_map(id).collect());
        }
    });
    heard
}

/// Three of thirty channels are pointed elsewhere, and one has an hour to live, a moment before
/// all of them are due. Zoho is a quarter of a second away.
#[tokio::test(start_paused = true)]
async fn an_emergency_is_in_the_first_write_after_a_look_and_rides_along_in_later_ones() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    let ids: Vec<ChannelId> =
        (0..30).map(|n| world.declare("acme", &format!("c{n}"), &["Deals.all"])).collect();
    world.start();
    world.audit().await;
    world.zoho().add_fault(Rule::always(Fault::Delay { by: Length(QUARTER) }));
    let due = world.report("acme").next_wake - 10 * SECOND;
    world.pass_time(due.duration_since(world.now()).try_into().unwrap()).await;
    let (ending, mut drifted) = (ids[1], [ids[0], ids[10], ids[20]]);
    drifted.sort_unstable();
    for id in drifted {
        let notify_url = "https://elsewhere.example.com/".to_owned();
        world.hand("acme", &Hand::SetNotifyUrl { channel: id.number(), notify_url });
    }
    let expiry = world.now() + HOUR;
    world.hand("acme", &Hand::SetExpiry { channel: ending.number(), expiry });
    let heard = hear_writes(&world);
    world.daemon().links.wakes.wake(None, "test").await;
    world.pass_time(20 * SECOND).await;
    let heard = heard.lock().unwrap().clone();
    assert!(heard[0].contains(&ending) && !heard[0].contains(&drifted[0]), "{heard:?}");
    assert_eq!(heard[1], drifted, "repairs come after it");
    let [renewal] = &heard[2..] else { panic!("{heard:?}") };
    let is_full = renewal.starts_with(&drifted) && renewal.contains(&ending);
    assert!(is_full, "what was repaired falls due by itself, and the others ride along: {heard:?}");
}

/// Two hundred new channels are enabled one by one, at 25 seconds each. A channel with a life of an
/// hour is in no plan when that begins.
#[tokio::test(start_paused = true)]
async fn an_emergency_that_begins_in_a_long_pass_goes_before_what_is_left_of_it() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    let spec = world::spec("acme", "short", &["Deals.all"]);
    let short = spec.id;
    world.declare_spec("acme", Spec { lifetime: HOUR, ..spec });
    world.account_mut("acme").account.policy.batch_max = 1;
    world.start();
    world.audit().await;
    world.pass_time(HOUR / 4).await;
    let by = Length(25 * SECOND);
    let method = Some("POST".to_owned());
    world.zoho().add_fault(Rule { method, ..Rule::always(Fault::Delay { by }) });
    for n in 0..200 {
        world.declare("acme", &format!("new-{n}"), &["Deals.all"]);
    }
    world.reload().await;
    for _ in 0..120 {
        world.pass_time(60 * SECOND).await;
        assert!(world.is_covered("acme", short, world.now()), "it lapsed before {}", world.now());
    }
    assert_eq!(world.report("acme").after.steps.len(), 0, "all of it is done in the end");
}
