//! Ring 3: death at every point of a story.
//!
//! Each story is played once to its end, which counts the points at which the daemon touches
//! anything outside of itself (see [`crate::world::Fuse`]). Then it is played again for each of
//! them: the daemon dies there, is started on what the store holds, and works until nothing is left
//! to do. Nothing may come of the death: Zoho holds what it holds without one, created and deleted
//! as often; what is not ours is as it was; the plan is empty; what is declared is known as ours,
//! and nothing else; and the ledger hides no gap and invents none.

use std::future::Future;
use std::time::Duration;

use channelkeeper::daemon::actions;
use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::{Hand, Knobs};

use crate::sample::sample;
use crate::world::truth::check_ledger;
use crate::world::{World, spec};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const FOREIGN: i64 = 424_242;

/// The end of a story.
#[derive(Debug, PartialEq)]
struct End {
    /// Zoho's channels, all but the expiries.
    channels: Vec<String>,
    created: u64,
    deleted: u64,
}

/// Plays a story at every point of it. `prepare` makes the world and is not cut; `act` is; then the
/// host is `down`, and `again` is what an operator does who finds the daemon started again.
#[expect(clippy::print_stdout, reason = "how many points a story has is worth knowing")]
async fn everywhere<P, A, G>(
    (name, down): (&str, Duration),
    prepare: impl Fn() -> P,
    act: impl AsyncFn(&mut World) -> A,
    again: impl AsyncFn(&mut World) -> G,
) where
    P: Future<Output = World>,
{
    let mut world = prepare().await;
    world.fuse.lay(None);
    act(&mut world).await;
    let (points, undisturbed) =
        (world.fuse.passed(), end(&mut world, &format!("{name}, not cut")).await);
    assert!(points >= 6, "{name}: only {points} points, so this tests nothing");
    for point in sample(0..points, 3) {
        let mut world = prepare().await;
        let fuse = world.fuse.clone();
        fuse.lay(Some(point));
        tokio::select! {
            biased;
            () = fuse.burned() => {}
            _ = act(&mut world) => {}
        }
        let what = format!("{name}, dead at point {point} of {points}");
        assert!(fuse.is_burned(), "{what}: it was not reached");
        world.crash().await;
        fuse.lay(None);
        world.pass_time(down).await;
        world.start();
        world.audit().await;
        again(&mut world).await;
        let came_to = end(&mut world, &what).await;
        assert_eq!(came_to.channels, undisturbed.channels, "{what}");
        // A channel that lapsed while the host was down is created anew.
        if down.is_zero() {
            assert_eq!(came_to, undisturbed, "{what}");
        }
    }
    println!("{name}: {points} points");
}

/// Lets the world come to rest, and checks what holds of every world that did.
async fn end(world: &mut World, what: &str) -> End {
    world.pass_time(2 * HOUR).await;
    world.audit().await;
    let report = world.report("acme");
    let left = (&report.look_failed, &report.outcomes, &report.after.steps, &report.after.held);
    assert!(
        report.look_failed.is_none()
            && report.outcomes.is_empty()
            && report.after.steps.is_empty()
            && report.after.held.is_empty(),
        "{what}: something is left: {left:?}"
    );
    for (account, id) in world.declared() {
        assert!(world.is_covered(&account, id, world.now()), "{what}: {id} is not covered");
    }
    let declared: Vec<ChannelId> = world.declared().into_iter().map(|(_, id)| id).collect();
    assert_eq!(world.ours("acme"), declared, "{what}: what is ours");
    assert_eq!(check_ledger(world), Vec::<String>::new(), "{what}");
    let now = world.now();
    let zoho = world.zoho();
    let mut channels = zoho.channels("acme", now);
    channels.sort_by_key(|channel| channel.id);
    let foreign =
        channels.iter().find(|channel| channel.id == FOREIGN).expect("what is not ours is there");
    assert_eq!((foreign.notify_url.as_str(), foreign.expiry), (THEIRS, foreign_expiry()), "{what}");
    let channels = channels.into_iter().map(|channel| {
        let (id, events) = (channel.id, channel.events.to_wire());
        format!(
            "{id} {events:?} {} {:?} {:?}",
            channel.notify_url, channel.token, channel.condition
        )
    });
    let counters = zoho.counters("acme").expect("an org");
    End {
        channels: channels.collect(),
        created: counters.channels_created,
        deleted: counters.channels_deleted,
    }
}

/// One account and somebody else's channel in it; nothing is declared.
fn empty(knobs: Knobs) -> World {
    let world = World::new(knobs, &[("acme", ApiVersion::V8)]);
    let theirs = Hand::Create {
        channel: FOREIGN,
        events: vec!["Deals.all".to_owned()],
        notify_url: THEIRS.to_owned(),
        token: None,
        expiry: foreign_expiry(),
    };
    assert!(world.hand("acme", &theirs));
    world
}

fn declared(knobs: Knobs) -> World {
    let mut world = empty(knobs);
    world.declare("acme", "deals", &["Deals.all", "Contacts.create"]);
    world.declare("acme", "leads", &["Leads.create"]);
    world.declare("acme", "orders", &["Sales_Orders.edit"]);
    world
}

/// Three channels, enabled an hour ago.
async fn running() -> World {
    let mut world = declared(Knobs::default());
    world.start();
    world.audit().await;
    world.pass_time(HOUR).await;
    world
}

fn deals(world: &World) -> Spec {
    let specs = &world.desired.accounts[&"acme".parse().expect("a name")].specs;
    let spec = specs.values().find(|spec| spec.name.as_str() == "deals").expect("it is declared");
    Spec::clone(spec)
}

async fn audit(world: &mut World) {
    world.audit().await;
    world.pass_time(2 * SECOND).await;
    world.audit().await;
}

async fn start(world: &mut World) {
    world.start();
    audit(world).await;
}

async fn nothing(_: &mut World) {}

#[tokio::test(start_paused = true)]
async fn in_the_first_start() {
    everywhere(
        ("first start", Duration::ZERO),
        async || declared(Knobs::default()),
        start,
        nothing,
    )
    .await;
}

/// An hour or two before it is renewed.
async fn soon_due() -> World {
    let world = running().await;
    world.pass_time(9 * HOUR).await;
    world
}

async fn renewal(world: &mut World) {
    let before = world.writes("acme");
    while world.writes("acme") == before {
        world.pass_time(10 * SECOND).await;
    }
    world.pass_time(10 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_renewal() {
    everywhere(("renewal", Duration::ZERO), soon_due, renewal, nothing).await;
}

/// Down until the life before the renewal is over, and the renewed one is not.
#[tokio::test(start_paused = true)]
async fn in_a_renewal_and_down_until_the_life_before_it_is_over() {
    everywhere(("renewal, then down", 18 * HOUR), soon_due, renewal, nothing).await;
}

#[tokio::test(start_paused = true)]
async fn in_the_repair_of_drift() {
    let prepare = async || {
        let world = running().await;
        let channel = deals(&world).id.number();
        assert!(world.hand("acme", &Hand::AddEvent { channel, event: "Cases.edit".to_owned() }));
        assert!(world.hand("acme", &Hand::SetToken { channel, token: Some("theirs".to_owned()) }));
        world
    };
    everywhere(("drift repair", Duration::ZERO), prepare, audit, nothing).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_repair_by_put_because_patch_did_not_last() {
    let prepare = async || {
        let world = running().await;
        let edit =
            Hand::SetToken { channel: deals(&world).id.number(), token: Some("theirs".to_owned()) };
        for _ in 0..2 {
            assert!(world.hand("acme", &edit));
            world.audit().await;
            world.pass_time(60 * SECOND).await;
        }
        assert!(world.hand("acme", &edit));
        world
    };
    let put = async |world: &mut World| {
        audit(world).await;
        assert_eq!(world.zoho().counters("acme").expect("an org").calls.get("PUT"), Some(&1));
    };
    everywhere(("PUT escalation", Duration::ZERO), prepare, put, nothing).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_retirement_by_config() {
    let retire = async |world: &mut World| {
        let id = deals(world).id;
        world.undeclare("acme", id);
        world.reload().await;
        audit(world).await;
        audit(world).await;
    };
    everywhere(("retirement", Duration::ZERO), running, retire, nothing).await;
}

#[tokio::test(start_paused = true)]
async fn in_a_take_over() {
    let prepare = async || {
        let mut world = running().await;
        world.crash().await;
        std::fs::remove_dir_all(world.state_dir().join("db")).expect("the database goes");
        world
    };
    everywhere(("take over", Duration::ZERO), prepare, start, nothing).await;
}

#[tokio::test(start_paused = true)]
async fn in_an_adoption() {
    let prepare = async || {
        let mut world = running().await;
        let spec = spec("acme", "cases", &["Cases.all"]);
        let theirs = Hand::Create {
            channel: spec.id.number(),
            events: vec!["Cases.create".to_owned()],
            notify_url: "https://elsewhere.example.com/".to_owned(),
            token: None,
            expiry: channelkeeper::model::time::after(world.now(), DAY),
        };
        assert!(world.hand("acme", &theirs));
        world.declare_spec("acme", spec);
        world.reload().await;
        audit(&mut world).await;
        assert_eq!(world.report("acme").after.held.len(), 1, "it is a conflict");
        world
    };
    let adopt = async |world: &mut World| {
        let fleet = world.daemon().links.fleet.borrow().clone();
        actions::adopt(&fleet, world.store(), &"cases".parse().unwrap())
            .await
            .expect("it is there");
        audit(world).await;
    };
    everywhere(("adoption", Duration::ZERO), prepare, adopt, adopt).await;
}

#[tokio::test(start_paused = true)]
async fn in_the_look_that_finds_a_channel_gone() {
    let prepare = async || {
        let world = running().await;
        assert!(world.hand("acme", &Hand::Delete { channel: deals(&world).id.number() }));
        world.pass_time(60 * SECOND).await;
        world
    };
    everywhere(("gap by a hand", Duration::ZERO), prepare, audit, nothing).await;
}

#[tokio::test(start_paused = true)]
async fn in_the_start_after_everything_had_lapsed() {
    let prepare = async || {
        let mut world = running().await;
        world.crash().await;
        world.pass_time(30 * HOUR).await;
        world
    };
    everywhere(("gap by a lapse", Duration::ZERO), prepare, start, nothing).await;
}

#[tokio::test(start_paused = true)]
async fn in_learning_that_batches_must_be_small() {
    let prepare = async || {
        let mut world = declared(Knobs { batch_max: 2, ..Knobs::default() });
        world.declare("acme", "cases", &["Cases.all"]);
        world.declare("acme", "calls", &["Calls.all"]);
        world
    };
    let learned = async |world: &mut World| {
        start(world).await;
        assert!(!world.report("acme").limits.is_empty(), "the limit is known");
    };
    everywhere(("learned batch size", Duration::ZERO), prepare, learned, nothing).await;
}

#[tokio::test(start_paused = true)]
async fn in_learning_that_a_day_is_all_there_is() {
    let prepare = async || {
        let mut world =
            empty(serde_json::from_str(r#"{"version_limits": {"v8": "1d"}}"#).expect("knobs"));
        world.declare_spec(
            "acme",
            Spec { lifetime: 7 * DAY, ..spec("acme", "deals", &["Deals.all"]) },
        );
        world
    };
    everywhere(("learned lifetime", Duration::ZERO), prepare, start, nothing).await;
}

/// A channel whose first reply was lost is ours by its `notify_url` alone. With another URL it may
/// be somebody else's.
#[tokio::test(start_paused = true)]
async fn a_channel_redirected_before_its_first_grant_was_stored_is_held_until_it_is_adopted() {
    let mut world = declared(Knobs::default());
    let id = deals(&world).id;
    world.cut_next("POST", crate::world::Cut::After);
    world.start();
    while !world.is_cut() {
        world.pass_time(SECOND).await;
    }
    world.crash().await;
    let elsewhere = "https://elsewhere.example.com/".to_owned();
    assert!(
        world.hand("acme", &Hand::SetNotifyUrl { channel: id.number(), notify_url: elsewhere })
    );
    let before = world.writes("acme");
    start(&mut world).await;
    world.pass_time(HOUR).await;
    let held: Vec<ChannelId> = world.report("acme").after.held.iter().map(|held| held.id).collect();
    assert_eq!(
        (held, world.writes("acme")),
        (vec![id], before),
        "it is held, and nothing is written"
    );
    assert_eq!(check_ledger(&world), Vec::<String>::new());
    let fleet = world.daemon().links.fleet.borrow().clone();
    actions::adopt(&fleet, world.store(), &"deals".parse().unwrap()).await.expect("it is there");
    end(&mut world, "adopted").await;
}

const THEIRS: &str = "https://somebody.example.com/";

fn foreign_expiry() -> channelkeeper::model::time::Timestamp {
    "2026-03-31T00:00:00Z".parse().expect("an instant")
}
