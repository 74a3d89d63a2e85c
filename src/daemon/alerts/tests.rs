//! The parts that touch the world; the whole is in `tests/it/process/alerts.rs`.

use super::super::generations::{Generations, GenerationsSetup};
use super::super::scheduler::Wakes;
use super::leading::LastWords;
use super::*;
use crate::clock::VirtualClock;
use crate::cluster::asks::Asks;
use crate::cluster::{ClusterView, Keys, MemberId};
use crate::engine::simulated::{SimulatedEngine, SimulatedHandle};
use crate::engine::{Change, Engine};
use crate::expose::overview::ClusterState;
use crate::expose::testing::{START, converged};
use crate::leash::Leash;
use crate::model::desired::Desired;
use crate::model::exchange::Response;
use crate::zoho::transport::Exchange;

#[test]
fn a_url_is_sent_as_it_is_written() {
    for (url, base, path) in [
        ("https://h.example/a/b?c=%20d", "https://h.example", "/a/b?c=%20d"),
        ("http://127.0.0.1:80", "http://127.0.0.1:80", ""),
        ("https://h.example?x", "https://h.example", "?x"),
    ] {
        let request = request("POST", url, "{}".to_owned());
        assert_eq!((request.base.as_str(), request.path.as_str()), (base, path));
    }
}

#[test]
fn a_foreign_text_mentions_nobody() {
    assert_eq!(escaped("a <!channel> & b"), "a &lt;!channel&gt; &amp; b");
}

#[test]
fn the_heartbeat_stands_for_one_pass_and_keeps_its_interval() {
    let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
    let interval = Duration::from_secs(300);
    let mut beat = Beat::default();
    assert!(beat.is_due(at(0), interval, at(0)));
    beat = Beat { of: Some(at(0)), at: Some(at(0)), retry: Retry::default() };
    assert!(!beat.is_due(at(0), interval, at(10)), "the same pass");
    assert!(!beat.is_due(at(4), interval, at(4)), "too soon");
    assert!(!beat.is_due(at(4), interval, at(0)), "at the same instant");
    assert!(beat.is_due(at(4), interval, at(5)));
    assert!(beat.is_due(at(-9), interval, at(-9)), "the clock was set back");
    beat.retry.again(at(5));
    assert!(!beat.is_due(at(4), interval, at(5)), "it failed just now");
    assert!(beat.is_due(at(4), interval, at(6)));
}

/// Answers every request with this status, and notes when.
struct Recorder {
    clock: Arc<dyn Clock>,
    sent: Mutex<Vec<String>>,
    status: u16,
}

impl Recorder {
    fn new(clock: &Arc<dyn Clock>, status: u16) -> Arc<Recorder> {
        Arc::new(Recorder { clock: clock.clone(), sent: Mutex::default(), status })
    }
}

impl Transport for Recorder {
    fn send(&self, request: Request) -> Exchange<'_> {
        let hours = self.clock.elapsed().as_secs() / 3600;
        let body = String::from_utf8(request.body).unwrap();
        let first = body.split(['.', '\n']).next().unwrap().to_owned();
        self.sent
            .lock()
            .unwrap()
            .push(format!("{hours} h: {} {} {first}", request.method, request.path));
        let response = Response::empty(self.status);
        Box::pin(async { Ok(response) })
    }
}

/// The links of a scheduler that nobody can wake.
pub(in crate::daemon) fn links(
    overview: watch::Receiver<Arc<Overview>>,
    fleet: watch::Receiver<Arc<Fleet>>,
) -> Links {
    Links {
        wakes: Wakes(tokio::sync::mpsc::channel(1).0),
        overview,
        fleet,
        asked: Arc::default(),
        pulse: Pulse::default(),
        window: Arc::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_stands_still_is_told_every_six_hours_and_beats_once() {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(START.parse().unwrap(), 1));
    let store = Store::open(dir.path(), clock.now()).unwrap().store;
    let url = |path: &str| Some(Secret::new(format!("https://h.example{path}")));
    let alerts = Alerts { webhook: url("/hook"), heartbeat: url("/beat"), ..Alerts::default() };
    let settings = Settings { alerts, ..Settings::default() };
    let fleet = Fleet::declared(Desired { settings, accounts: BTreeMap::new() }, BTreeMap::new());
    let (_overviews, overview) = watch::channel(Arc::new(converged(1)));
    let (_fleets, fleet) = watch::channel(Arc::new(fleet));
    let links = links(overview, fleet);
    let recorder = Recorder::new(&clock, 204);
    let closing = CancellationToken::new();
    let outbox = Outbox::default();
    let alarm = Alarm::new(&links, clock.clone(), recorder.clone(), store.clone(), outbox.clone());
    let task = tokio::spawn(alarm.run(closing.clone()));
    clock.sleep(Duration::from_secs(20 * 3600)).await;
    closing.cancel();
    task.await.unwrap();
    let sent = recorder.sent.lock().unwrap().clone();
    let told = |hour: u64, title: &str| {
        format!("{hour} h: POST /hook {{\"text\":\"channelkeeper: {title}")
    };
    assert_eq!(sent.len(), 5, "{sent:#?}");
    assert_eq!(sent[0], "0 h: GET /beat ");
    assert!(sent[1].starts_with(&told(0, "failing: 1 problem")), "{sent:#?}");
    for (place, hour) in [(2, 6), (3, 12), (4, 18)] {
        assert!(sent[place].starts_with(&told(hour, "still failing")), "{sent:#?}");
    }
    assert_eq!(outbox.lock().unwrap()[&Receiver::Webhook].delivered, 4);
    let topics = store.told().unwrap().unwrap().topics;
    assert!(topics.contains_key("not-live"), "{topics:?}");
}

#[tokio::test(start_paused = true)]
async fn with_the_webhook_goes_what_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(START.parse().unwrap(), 1));
    let store = Store::open(dir.path(), clock.now()).unwrap().store;
    let with = |alerts| {
        let settings = Settings { alerts, ..Settings::default() };
        Arc::new(Fleet::declared(Desired { settings, accounts: BTreeMap::new() }, BTreeMap::new()))
    };
    let webhook = Some(Secret::new("https://h.example/hook"));
    let (fleets, fleet) = watch::channel(with(Alerts { webhook, ..Alerts::default() }));
    let (_overviews, overview) = watch::channel(Arc::new(converged(1)));
    let links = links(overview, fleet);
    let recorder = Recorder::new(&clock, 204);
    let closing = CancellationToken::new();
    let alarm =
        Alarm::new(&links, clock.clone(), recorder.clone(), store.clone(), Outbox::default());
    let task = tokio::spawn(alarm.run(closing.clone()));
    clock.sleep(Duration::from_secs(3600)).await;
    assert!(store.told().unwrap().is_some());
    fleets.send_replace(with(Alerts::default()));
    clock.sleep(2 * BREATH).await;
    assert_eq!(store.told().unwrap(), None, "a webhook that comes later is told all of it");
    closing.cancel();
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_is_not_taken_waits_before_it_is_sent_again() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(START.parse().unwrap(), 1));
    let heartbeat = Secret::new("https://h.example/beat");
    let fleet = Fleet::declared(Desired::default(), BTreeMap::new());
    let (_overviews, overview) = watch::channel(Arc::new(converged(1)));
    let (_fleets, fleet) = watch::channel(Arc::new(fleet));
    let links = links(overview, fleet);
    let (store, recorder) = (Store::temporary().unwrap(), Recorder::new(&clock, 503));
    let mut alarm = Alarm::new(&links, clock.clone(), recorder.clone(), store, Outbox::default());
    let sent = || recorder.sent.lock().unwrap().len();
    for _ in 0..3 {
        alarm.beat(&heartbeat, &converged(1), Duration::from_secs(60)).await;
    }
    assert_eq!(sent(), 1);
    clock.sleep(Duration::from_secs(3600)).await;
    alarm.beat(&heartbeat, &converged(1), Duration::from_secs(60)).await;
    assert_eq!(sent(), 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_tells_for_all_begins_with_what_was_told_and_not_before_it_knows_that() {
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(START.parse().unwrap(), 1));
    let handle = SimulatedEngine::new().handle(clock.clone());
    let words = LastWords { told: None, beat: Some((clock.now(), clock.now())) };
    let put = Change::Put(Keys::new("t").told(), serde_json::to_vec(&words).unwrap());
    handle.commit(Vec::new(), vec![put]).await.unwrap();
    let fleet = Fleet::declared(Desired::default(), BTreeMap::new());
    let (_overviews, overview) = watch::channel(Arc::new(converged(1)));
    let (_fleets, fleet) = watch::channel(Arc::new(fleet));
    let (links, store) = (links(overview, fleet), Store::temporary().unwrap());
    let alarm =
        Alarm::new(&links, clock.clone(), Recorder::new(&clock, 204), store, Outbox::default());
    let mut alarm = alarm.of_several(Some(door(&handle, &clock)));
    let stands = |leads, is_active| {
        let cluster = ClusterState { leads, is_active, ..ClusterState::joining() };
        Overview { cluster: Some(cluster), ..converged(1) }
    };
    let known = |alarm: &Alarm| alarm.leading.as_ref().unwrap().known.clone();
    assert!(alarm.leads_or_follows(&stands(true, false)).await);
    assert_eq!(known(&alarm), None, "it tells of what it serves");
    handle.set_cut(true);
    assert!(!alarm.leads_or_follows(&stands(true, true)).await, "what was told is not known yet");
    handle.set_cut(false);
    assert!(alarm.leads_or_follows(&stands(true, true)).await);
    assert_eq!(known(&alarm), Some(words.clone()));
    assert!(alarm.leads_or_follows(&stands(false, true)).await);
    assert_eq!(known(&alarm), None, "another one tells");
    // Its note is refused, for it has no claim.
    assert!(alarm.leads_or_follows(&stands(true, true)).await);
    clock.sleep(Duration::from_secs(60)).await;
    alarm.beat.at = Some(clock.now());
    alarm.keep_last_words(&stands(true, true)).await;
    assert_eq!(known(&alarm), None, "it reads what the other one has told since");
}

pub(in crate::daemon) fn member(node: &str) -> MemberId {
    MemberId { node: node.to_owned(), boot: "0".to_owned() }
}

/// The way of a machine `me` of the cluster `t`.
pub(in crate::daemon) fn door(handle: &SimulatedHandle, clock: &Arc<dyn Clock>) -> MachinesDoor {
    let (engine, keys) = (Arc::new(handle.clone()), Keys::new("t"));
    let me = Some(member("me"));
    let (_, view) = watch::channel(ClusterView { me, ..ClusterView::default() });
    let asks = Asks::new(engine.clone(), keys.clone(), clock.clone());
    let generations = Generations::new(GenerationsSetup {
        engine: engine.clone(),
        cluster: "t".to_owned(),
        node: "me".to_owned(),
        clock: clock.clone(),
        view: view.clone(),
        leash: Leash::new(clock.clone()),
        own: None,
    });
    MachinesDoor { engine, keys, view, asks, generations: Arc::new(generations) }
}
