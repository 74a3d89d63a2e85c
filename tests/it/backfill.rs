//! Ring 3: what was missed is read and handed over, against the simulator's truth of what nobody
//! got.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use channelkeeper::backfill::standing::StuckWhy;
use channelkeeper::backfill::{HeldFor, Recovery, Standing, State};
use channelkeeper::daemon::actions;
use channelkeeper::daemon::requests::GapsRequest;
use channelkeeper::model::backfill::{BackfillMode, BackfillRule};
use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::events::Operation;
use channelkeeper::model::exchange::{Request, Response};
use channelkeeper::model::hooks::{HookEvent, Hooks};
use channelkeeper::model::pause::{Pause, Pauses};
use channelkeeper::model::product::Product;
use channelkeeper::model::secret::Secret;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::model::wishes::AskedStretch;
use channelkeeper::simulator::{Change, Hand, Knobs, Org, RecordKnobs};
use channelkeeper::zoho::transport::{Exchange, Transport};
use serde_json::Value;

use crate::sample::sample;
use crate::world::{World, pause, spec};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Takes what is posted, as it is told to.
struct Receiver {
    came: Mutex<Vec<Came>>,
    /// The status of an answer, by the ids of the delivery.
    answers: Mutex<Answers>,
    /// The status of the answer to a canary, and how many deliveries had come at the last of each.
    canaries: Mutex<(u16, BTreeMap<u16, usize>)>,
}

type Answers = Box<dyn FnMut(&[String]) -> u16 + Send>;

/// One delivery that came.
#[derive(Clone, Debug)]
struct Came {
    name: String,
    bytes: Vec<u8>,
    status: u16,
}

impl Came {
    fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("a JSON body")
    }

    fn ids(&self) -> Vec<String> {
        let body = self.body();
        let ids = body["ids"].as_array().expect("ids");
        ids.iter().map(|id| id.as_str().expect("a string").to_owned()).collect()
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

impl Transport for Receiver {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            pause(Duration::from_millis(40)).await;
            if request.header("x-channelkeeper-canary").is_some() {
                return Ok(Response::empty(self.canary()));
            }
            let name = request.header("x-channelkeeper-recovered").expect("marked").to_owned();
            let mut came = Came { name, bytes: request.body.clone(), status: 0 };
            came.status = (held(&self.answers))(&came.ids());
            held(&self.came).push(came.clone());
            Ok(Response::empty(came.status))
        })
    }
}

impl Receiver {
    fn answer(&self, how: impl FnMut(&[String]) -> u16 + Send + 'static) {
        *held(&self.answers) = Box::new(how);
    }

    fn came(&self) -> Vec<Came> {
        held(&self.came).clone()
    }

    fn canary(&self) -> u16 {
        let (status, at) = &mut *held(&self.canaries);
        at.insert(*status, held(&self.came).len());
        *status
    }

    /// The records that were taken, by operation.
    fn taken(&self) -> BTreeSet<(String, String)> {
        let taken = self.came().into_iter().filter(|came| came.status == 200);
        taken
            .flat_map(|came| {
                let operation = came.body()["operation"].as_str().expect("a word").to_owned();
                came.ids().into_iter().map(move |id| (operation.clone(), id))
            })
            .collect()
    }
}

/// One channel over everything of Deals, whose missed events are handed over by this rule; its org
/// lets records be read.
fn world(rule: Option<BackfillRule>, knobs: RecordKnobs) -> (World, Arc<Receiver>, ChannelId) {
    let knobs = Knobs { records: knobs, ..Knobs::default() };
    let mut world = World::new(knobs, &[("acme", ApiVersion::V8)]);
    world.zoho().add_org(Org::new("acme").reading());
    let receiver = Arc::new(Receiver {
        came: Mutex::default(),
        answers: Mutex::new(Box::new(|_| 200)),
        canaries: Mutex::new((200, BTreeMap::new())),
    });
    world.receivers = Some(receiver.clone());
    let deals = Spec { backfill: rule, ..spec("acme", "deals", &["Deals.all"]) };
    let id = deals.id;
    world.declare_spec("acme", deals);
    (world, receiver, id)
}

fn on() -> Option<BackfillRule> {
    Some(BackfillRule::new(BackfillMode::On))
}

fn change(world: &World, operation: Operation, ids: impl IntoIterator<Item = u64>) {
    let ids: Vec<u64> = ids.into_iter().collect();
    let now = world.now();
    world.zoho().record_changed("acme", &Change::of("Deals", operation, &ids), now);
}

/// Records 1 to 300 are there, and covered; then the channel is gone for half an hour, in which
/// records are created, edited and deleted. Ends with the audit that finds it.
async fn lapse(world: &mut World, id: ChannelId) {
    world.start();
    world.audit().await;
    world.pass_time(5 * MINUTE).await;
    change(world, Operation::Create, 1..=300);
    world.pass_time(20 * MINUTE).await;
    // The last look before a channel is gone: nobody knows since when it is.
    world.audit().await;
    assert!(world.hand("acme", &Hand::Delete { channel: id.number() }));
    changes_of_a_gap(world).await;
    world.audit().await;
}

async fn changes_of_a_gap(world: &World) {
    world.pass_time(10 * SECOND).await;
    change(world, Operation::Edit, 1..=230);
    world.pass_time(MINUTE).await;
    change(world, Operation::Create, 301..=340);
    world.pass_time(MINUTE).await;
    change(world, Operation::Edit, 301..=310);
    change(world, Operation::Edit, (1..=20).chain(231..=233));
    world.pass_time(MINUTE).await;
    change(world, Operation::Delete, [5, 6, 340]);
    world.pass_time(MINUTE).await;
}

/// The events that nobody got and that a record's times, or its deletion, can tell.
fn missed(world: &World) -> BTreeSet<(String, String)> {
    let zoho = world.zoho();
    let lines = zoho.missed("acme");
    let deleted: BTreeSet<u64> = lines
        .iter()
        .filter(|line| line.operation == Operation::Delete)
        .map(|line| line.id)
        .collect();
    let told = lines
        .iter()
        .filter(|line| line.operation == Operation::Delete || !deleted.contains(&line.id));
    told.map(|line| (line.operation.delivered_as().to_owned(), line.id.to_string())).collect()
}

fn recoveries(world: &World) -> Vec<Recovery> {
    world.store().recoveries(&"acme".parse().expect("a name")).expect("recoveries")
}

/// Takes what hooks tell.
#[derive(Default)]
struct Mailbox(Mutex<Vec<Value>>);

impl Transport for Mailbox {
    fn send(&self, request: Request) -> Exchange<'_> {
        held(&self.0).push(serde_json::from_slice(&request.body).expect("an event"));
        Box::pin(std::future::ready(Ok(Response::empty(200))))
    }
}

/// The recoveries that hooks were told of: state, and records recovered.
fn told(mailbox: &Mailbox) -> Vec<(String, u64)> {
    let told = |event: &Value| {
        assert_eq!(event["event"], "recovered");
        let recovery = &event["recoveries"][0];
        let state = recovery["state"].as_str().expect("a word");
        (state.to_owned(), recovery["recovered"].as_u64().expect("a number"))
    };
    held(&mailbox.0).iter().map(told).collect()
}

/// How they stand, for status, metrics and health.
fn standing(world: &World) -> Standing {
    let overview = world.daemon().links.overview.borrow().clone();
    overview.recoveries.get(&"acme".parse().expect("a name")).cloned().expect("counted")
}

/// Everything that was missed was taken, nothing else, and what came twice is the same, byte for
/// byte.
fn check(world: &World, receiver: &Receiver, what: &str) {
    let (missed, taken) = (missed(world), receiver.taken());
    assert!(missed.len() > 250, "{what}: only {} missed, so this tests nothing", missed.len());
    let never: Vec<_> = missed.difference(&taken).collect();
    assert!(never.is_empty(), "{what}: never handed over: {never:?}");
    let beside: Vec<_> = taken.difference(&missed).collect();
    assert!(beside.is_empty(), "{what}: covered, and handed over: {beside:?}");
    let mut by_name: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut keys: BTreeMap<String, String> = BTreeMap::new();
    for came in receiver.came() {
        let body = came.body();
        assert_eq!(body["query_params"]["channelkeeper_recovered"], came.name, "{what}");
        let first = by_name.entry(came.name.clone()).or_insert_with(|| came.bytes.clone());
        assert_eq!(*first, came.bytes, "{what}: the same delivery, and other bytes");
        if came.status == 200 {
            for id in came.ids() {
                let key = format!("{} {id}", body["operation"]);
                let name = keys.entry(key.clone()).or_insert_with(|| came.name.clone());
                assert_eq!(*name, came.name, "{what}: {key} twice under two keys");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_handed_over_and_nothing_else_whatever_zoho_leaves_open() {
    let knobs = [
        serde_json::json!({}),
        serde_json::json!({"modified_since": "exclusive", "unchanged_status": 204}),
        serde_json::json!({"page_token": "offset", "deleted_order": "latest"}),
        serde_json::json!({"lag": "20s", "deleted_order": "oldest_id"}),
    ];
    for knobs in knobs {
        let what = knobs.to_string();
        let knobs: RecordKnobs = serde_json::from_value(knobs).expect("knobs");
        let (mut world, receiver, id) = world(on(), knobs);
        lapse(&mut world, id).await;
        assert!(receiver.came().is_empty(), "{what}: not before a minute is over");
        world.pass_time(5 * MINUTE).await;
        check(&world, &receiver, &what);
        let recoveries = recoveries(&world);
        assert_eq!(recoveries.len(), 1, "{what}: {recoveries:?}");
        let frozen = recoveries[0].frozen.expect("frozen");
        assert!(matches!(recoveries[0].state, State::Done { .. }), "{what}: {recoveries:?}");
        assert_eq!((frozen.inserts, frozen.deletes), (39, 3), "{what}");
        assert_eq!(recoveries[0].progress.taken, frozen.records(), "{what}");
        let came = receiver.came().len();
        world.pass_time(3 * HOUR).await;
        assert_eq!(receiver.came().len(), came, "{what}: once is enough");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_point_repeats_at_most_the_same_bytes() {
    let prepared = async || {
        let (mut world, receiver, id) = world(on(), RecordKnobs::default());
        lapse(&mut world, id).await;
        (world, receiver)
    };
    let recovered = async |world: &World| world.pass_time(4 * MINUTE).await;
    let (world, receiver) = prepared().await;
    world.fuse.lay(None);
    recovered(&world).await;
    check(&world, &receiver, "not cut");
    let points = world.fuse.passed();
    assert!(points > 20, "only {points} points, so this tests nothing");
    for point in sample(0..points, 4) {
        let (mut world, receiver) = prepared().await;
        let fuse = world.fuse.clone();
        fuse.lay(Some(point));
        tokio::select! {
            biased;
            () = fuse.burned() => {}
            () = recovered(&world) => {}
        }
        let what = format!("dead at point {point} of {points}");
        world.crash().await;
        fuse.lay(None);
        world.start();
        world.pass_time(10 * MINUTE).await;
        check(&world, &receiver, &what);
        let all = recoveries(&world);
        assert!(all.iter().all(Recovery::is_over) && !all.is_empty(), "{what}: {all:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_and_hates_one_record_gets_all_others() {
    let (mut world, receiver, id) = world(on(), RecordKnobs::default());
    let mut count = 0;
    receiver.answer(move |ids| {
        count += 1;
        match (count % 3, ids.contains(&"17".to_owned())) {
            (0, _) => 503,
            (_, true) => 422,
            (_, false) => 200,
        }
    });
    lapse(&mut world, id).await;
    world.pass_time(6 * HOUR).await;
    let all = recoveries(&world);
    assert!(matches!(all[0].state, State::Done { .. }), "{all:?}");
    assert_eq!(all[0].progress.aside_ids, ["update 17"]);
    let mut missed = missed(&world);
    assert!(missed.remove(&("update".to_owned(), "17".to_owned())));
    assert_eq!(receiver.taken(), missed);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_down_gets_the_oldest_recovery_alone_and_a_gap_meanwhile_is_another() {
    let (mut world, receiver, id) = world(on(), RecordKnobs::default());
    receiver.answer(|_| 503);
    lapse(&mut world, id).await;
    world.pass_time(HOUR).await;
    assert!(world.hand("acme", &Hand::Delete { channel: id.number() }));
    world.pass_time(10 * SECOND).await;
    change(&world, Operation::Create, 401..=410);
    world.pass_time(MINUTE).await;
    world.audit().await;
    world.pass_time(6 * HOUR).await;
    let states: Vec<State> = recoveries(&world).into_iter().map(|one| one.state).collect();
    assert_eq!(states, [State::Handing, State::Handing]);
    let names: BTreeSet<String> = receiver.came().into_iter().map(|came| came.name).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    receiver.answer(|_| 200);
    world.pass_time(HOUR).await;
    assert!(recoveries(&world).iter().all(Recovery::is_over));
    assert!(missed(&world).is_subset(&receiver.taken()));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_a_canary_gets_nothing_until_it_takes_one_again() {
    let slow = BackfillRule { rate: 1, ..BackfillRule::new(BackfillMode::On) };
    let (mut world, receiver, id) = world(Some(slow), RecordKnobs::default());
    world.desired.settings.canary_every = Some(30 * SECOND);
    world.start();
    world.audit().await;
    world.pass_time(20 * MINUTE).await;
    world.audit().await;
    assert!(world.hand("acme", &Hand::Delete { channel: id.number() }));
    world.pass_time(10 * SECOND).await;
    change(&world, Operation::Create, 1..=6000);
    world.pass_time(MINUTE).await;
    world.audit().await;
    while receiver.came().is_empty() {
        world.pass_time(SECOND).await;
    }
    held(&receiver.canaries).0 = 503;
    world.pass_time(HOUR).await;
    let came = receiver.came().len();
    let at_the_last_taken = held(&receiver.canaries).1[&200];
    assert!(came >= 1 && came <= at_the_last_taken + 31, "{came}, {at_the_last_taken} at the last");
    assert_eq!(held(&receiver.canaries).1[&503], came, "one is refused, and nothing comes");
    let all = self::recoveries(&world);
    assert_eq!((all.len(), &all[0].state), (1, &State::Handing), "{all:?}");
    let fleet = world.daemon().links.fleet.borrow().clone();
    let gaps = actions::gaps(&fleet, world.store(), &GapsRequest::default(), world.now());
    let why: BTreeSet<_> = gaps
        .expect("gaps")
        .iter()
        .flat_map(|gap| &gap.recoveries)
        .map(|one| one.why.clone())
        .collect();
    assert_eq!(why, BTreeSet::from([Some("the receiver refuses canaries".to_owned())]));

    held(&receiver.canaries).0 = 200;
    world.pass_time(HOUR).await;
    assert_eq!(receiver.taken(), missed(&world));
    assert_eq!(receiver.came().len(), 120, "none of them twice");
    assert!(recoveries(&world).iter().all(Recovery::is_over));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_gone_ends_it() {
    let (mut world, receiver, id) = world(on(), RecordKnobs::default());
    receiver.answer(|_| 410);
    lapse(&mut world, id).await;
    world.pass_time(HOUR).await;
    assert!(
        matches!(&recoveries(&world)[0].state, State::Abandoned { why, .. } if why.contains("410"))
    );
    assert_eq!(receiver.came().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_planned_or_too_much_waits_for_a_person() {
    let rules = [
        (BackfillRule::new(BackfillMode::Plan), HeldFor::Plan),
        (BackfillRule { most: 10, ..BackfillRule::new(BackfillMode::On) }, HeldFor::Most),
    ];
    for (rule, why) in rules {
        let (mut world, receiver, id) = world(Some(rule), RecordKnobs::default());
        let mailbox = Arc::new(Mailbox::default());
        world.mailbox = Some(mailbox.clone());
        world.desired.settings.hooks = Hooks {
            on: [HookEvent::Recovered].into(),
            url: Some(Secret::new("https://hooks.example.com/told")),
            ..Hooks::default()
        };
        lapse(&mut world, id).await;
        world.pass_time(HOUR).await;
        assert!(told(&mailbox).is_empty(), "it is not over");
        let all = recoveries(&world);
        assert_eq!(all[0].state, State::Held(why), "{all:?}");
        assert!(all[0].frozen.is_some_and(|frozen| frozen.records() > 250));
        let standing = standing(&world);
        assert_eq!(standing.states["held"], 1, "{standing:?}");
        assert!(standing.waiting > 250, "{standing:?}");
        let is_a_reason = !standing.stuck.is_empty();
        assert_eq!(is_a_reason, why == HeldFor::Most, "a plan waits because it was asked to");
        assert!(receiver.came().is_empty());
        let acme = "acme".parse().expect("a name");
        let number = all[0].number;
        world
            .store()
            .ask(&acme, |wishes| wishes.recoveries.released = [number].into())
            .await
            .expect("asked");
        world.pass_time(5 * MINUTE).await;
        check(&world, &receiver, &format!("{why:?}"));
        let standing = self::standing(&world);
        assert_eq!(told(&mailbox), [("done".to_owned(), standing.taken)], "each is told once");
        assert_eq!((standing.states["done"], standing.waiting, standing.lost), (1, 0, 0));
        assert_eq!(standing.taken, recoveries(&world)[0].progress.taken);
        assert!(standing.stuck.is_empty(), "{standing:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_rule_or_a_scope_nothing_is_handed_over_and_channels_are_kept_as_ever() {
    let (mut off, receiver, id) = world(None, RecordKnobs::default());
    lapse(&mut off, id).await;
    off.pass_time(HOUR).await;
    assert!(receiver.came().is_empty() && recoveries(&off).is_empty());

    let (mut world, receiver, id) = world(on(), RecordKnobs::default());
    world.zoho().add_org(Org::new("acme"));
    lapse(&mut world, id).await;
    world.pass_time(26 * HOUR).await;
    let all = recoveries(&world);
    let State::Unreadable { why, .. } = &all[0].state else { panic!("{all:?}") };
    assert_eq!(why, "the token lacks the scope ZohoCRM.modules.deals.READ");
    let standing = standing(&world);
    assert_eq!(standing.stuck[0].why, StuckWhy::Unreadable(why.clone()), "{standing:?}");
    assert!(receiver.came().is_empty());
    assert!(world.is_covered("acme", id, world.now()), "renewed as ever");
}

#[tokio::test(start_paused = true)]
async fn reading_stays_within_its_credits_and_goes_on_the_next_day() {
    let rule = BackfillRule { credits: 2, ..BackfillRule::new(BackfillMode::On) };
    let (mut world, receiver, id) = world(Some(rule), RecordKnobs::default());
    lapse(&mut world, id).await;
    world.pass_time(20 * HOUR).await;
    assert!(receiver.came().is_empty(), "two pages are not all");
    world.pass_time(60 * HOUR).await;
    check(&world, &receiver, "in the end");
}

#[tokio::test(start_paused = true)]
async fn reading_stops_for_a_pause_and_goes_on_from_its_place() {
    let rule = BackfillRule { credits: 2, ..BackfillRule::new(BackfillMode::On) };
    let (mut world, receiver, id) = world(Some(rule), RecordKnobs::default());
    lapse(&mut world, id).await;
    world.pass_time(HOUR).await;
    let hold = async |world: &World, pauses: Pauses| {
        let acme = "acme".parse().expect("a name");
        world.store().ask(&acme, |wishes| wishes.pauses = pauses).await.expect("asked");
    };
    let held = Pause { at: world.now(), until: None };
    hold(&world, Pauses { account: Some(held), ..Pauses::default() }).await;
    let read = |world: &World| world.trace().iter().filter(|line| line.contains("/Deals")).count();
    let before = read(&world);
    assert_eq!(before, 2, "a day's part of it");
    world.pass_time(26 * HOUR).await;
    assert_eq!(read(&world), before);
    hold(&world, Pauses::default()).await;
    world.pass_time(50 * HOUR).await;
    check(&world, &receiver, "after the pause");
    let credits = recoveries(&world)[0].credits;
    assert!(credits <= 6, "it went on from its place: {credits} credits");
}

#[tokio::test(start_paused = true)]
async fn an_edit_between_two_pages_hides_no_record() {
    let (mut world, receiver, id) = world(on(), RecordKnobs::default());
    lapse(&mut world, id).await;
    for which in [10, 1, 231] {
        let change = Change::of("Deals", Operation::Edit, &[which]);
        world.zoho().after_next_page("acme", change);
    }
    world.pass_time(5 * MINUTE).await;
    check(&world, &receiver, "edited meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_page_token_that_zoho_keeps_refusing_ends_in_a_person_and_costs_few_credits() {
    let knobs = serde_json::json!({"page_token_life": "0s"});
    let knobs: RecordKnobs = serde_json::from_value(knobs).expect("knobs");
    let (mut world, receiver, id) = world(on(), knobs);
    lapse(&mut world, id).await;
    world.pass_time(HOUR).await;
    let all = recoveries(&world);
    let State::Unreadable { why, .. } = &all[0].state else { panic!("{all:?}") };
    assert!(why.starts_with("Zoho refused 8 page tokens in a row: "), "{why}");
    assert!(all[0].credits < 20, "{all:?}");
    assert!(receiver.came().is_empty());
    assert_eq!(standing(&world).stuck[0].why, StuckWhy::Unreadable(why.clone()));
    let after_an_hour = all[0].credits;
    world.pass_time(20 * HOUR).await;
    assert_eq!(recoveries(&world)[0].credits, after_an_hour, "not before a day is over");
}

/// Asks for everything of a channel from `from` on, as `backfill --channel --since` does.
async fn ask_for(
    world: &World,
    account: &str,
    id: ChannelId,
    from: channelkeeper::model::time::Timestamp,
) {
    let asked = AskedStretch { channel: id, from, to: world.now(), at: world.now(), plan: false };
    let account = account.parse().expect("a name");
    world.store().ask(&account, |wishes| wishes.recoveries.asked.push(asked)).await.expect("asked");
}

#[tokio::test(start_paused = true)]
async fn without_a_rule_the_task_sleeps_until_somebody_asks_for_a_stretch() {
    let (mut world, receiver, id) = world(None, RecordKnobs::default());
    let begins = world.now();
    lapse(&mut world, id).await;
    ask_for(&world, "acme", id, begins).await;
    world.pass_time(6 * HOUR).await;
    assert!(recoveries(&world).is_empty(), "nobody was woken, so nobody reads wishes");
    world.daemon().links.asked.notify_one();
    world.pass_time(5 * MINUTE).await;
    let missed = missed(&world);
    assert!(missed.len() > 250 && missed.is_subset(&receiver.taken()), "asked for by hand");
    let all = recoveries(&world);
    assert!(matches!(all[0].state, State::Done { .. }) && all[0].asked.is_some(), "{all:?}");
    ask_for(&world, "acme", id, begins).await;
    world.pass_time(HOUR).await;
    assert_eq!(recoveries(&world).len(), 1, "it sleeps again");
}

#[tokio::test(start_paused = true)]
async fn with_a_rule_the_task_sleeps_from_one_pass_to_the_next() {
    let (mut world, _receiver, id) = world(on(), RecordKnobs::default());
    let begins = world.now();
    lapse(&mut world, id).await;
    world.pass_time(10 * MINUTE).await;
    let known = recoveries(&world).len();
    ask_for(&world, "acme", id, begins).await;
    world.pass_time(10 * MINUTE).await;
    assert_eq!(recoveries(&world).len(), known, "no pass has ended, so nobody reads the store");
    world.audit().await;
    world.pass_time(MINUTE).await;
    assert_eq!(recoveries(&world).len(), known + 1);
}

#[tokio::test(start_paused = true)]
async fn two_channels_of_one_module_are_filled_by_one_reading_each_at_its_own_url() {
    let (mut world, receiver, id) = world(on(), RecordKnobs::default());
    let second = Spec { backfill: on(), ..spec("acme", "edits", &["Deals.edit"]) };
    let other = second.id;
    world.declare_spec("acme", second);
    world.start();
    world.audit().await;
    change(&world, Operation::Create, 1..=300);
    world.pass_time(20 * MINUTE).await;
    world.audit().await;
    for id in [id, other] {
        assert!(world.hand("acme", &Hand::Delete { channel: id.number() }));
    }
    changes_of_a_gap(&world).await;
    world.audit().await;
    world.pass_time(10 * MINUTE).await;
    let of = |id: ChannelId| -> BTreeSet<(String, String)> {
        let number = id.number().to_string();
        let came = receiver.came().into_iter().filter(|came| came.body()["channel_id"] == *number);
        came.flat_map(|came| {
            let operation = came.body()["operation"].as_str().expect("a word").to_owned();
            came.ids().into_iter().map(move |id| (operation.clone(), id))
        })
        .collect()
    };
    let mut expected = missed(&world);
    assert_eq!(of(id), expected);
    expected.retain(|(operation, _)| operation == "update");
    assert_eq!(of(other), expected);
    let all = recoveries(&world);
    assert_eq!(all.len(), 2, "{all:?}");
    let reads = world.trace().iter().filter(|line| line.contains("/Deals")).count();
    assert!(reads <= 4, "two pages of changes and one of deletions: {reads} calls");
}

#[tokio::test(start_paused = true)]
async fn records_of_bigin_and_recruit_are_recovered_too() {
    for (product, module) in [(Product::Bigin, "Pipelines"), (Product::Recruit, "Candidates")] {
        let (mut world, receiver, _) = world(None, RecordKnobs::default());
        world.add_org(product, "other");
        world.zoho().add_org(Org::of(product, "other").reading());
        let declared = spec("other", "all", &[&format!("{module}.all")]);
        let id = declared.id;
        world.declare_spec("other", Spec { backfill: on(), ..declared });
        world.start();
        world.audit().await;
        let happens = |world: &World, operation, ids: std::ops::RangeInclusive<u64>| {
            let ids: Vec<u64> = ids.collect();
            let change = Change::of(module, operation, &ids);
            world.zoho().record_changed("other", &change, world.now());
        };
        happens(&world, Operation::Create, 1..=60);
        world.pass_time(20 * MINUTE).await;
        world.audit().await;
        assert!(world.hand("other", &Hand::Delete { channel: id.number() }));
        world.pass_time(10 * SECOND).await;
        // More of one second than a page holds.
        happens(&world, Operation::Create, 61..=300);
        world.pass_time(10 * SECOND).await;
        happens(&world, Operation::Edit, 1..=40);
        happens(&world, Operation::Delete, 50..=55);
        world.pass_time(MINUTE).await;
        world.audit().await;
        world.pass_time(10 * MINUTE).await;
        let (taken, product) = (receiver.taken(), product.as_str());
        let expected = world.zoho().missed("other").to_vec();
        assert_eq!(expected.len(), 286, "{product}");
        for line in expected {
            let key = (line.operation.delivered_as().to_owned(), line.id.to_string());
            assert!(taken.contains(&key), "{product}: {key:?} was never handed over");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_that_begins_during_the_hand_over_is_another_recovery() {
    let slow = BackfillRule { rate: 1, ..BackfillRule::new(BackfillMode::On) };
    let (mut world, receiver, id) = world(Some(slow), RecordKnobs::default());
    lapse(&mut world, id).await;
    while receiver.came().is_empty() {
        world.pass_time(SECOND).await;
    }
    assert!(!recoveries(&world)[0].is_over(), "it is under way");
    assert!(world.hand("acme", &Hand::Delete { channel: id.number() }));
    change(&world, Operation::Create, 401..=430);
    world.pass_time(MINUTE).await;
    world.audit().await;
    world.pass_time(20 * MINUTE).await;
    let all = recoveries(&world);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().all(Recovery::is_over), "{all:?}");
    assert!(missed(&world).is_subset(&receiver.taken()));
}
