//! Commands beside a pass, on two real threads: what somebody asks for while a pass is under way
//! counts for the next one.
//!
//! A pass reads what is remembered at its beginning and writes at its end. Where a command writes
//! the same value in between, one of the two is lost. Nothing here waits on a clock. A test holds a
//! request to Zoho open until the command has been given; without such a point it repeats the
//! command at every moment of a pass.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use channelkeeper::carrier::{Carrier, Halt, Road};
use channelkeeper::clock::{Clock, SystemClock};
use channelkeeper::daemon::actions;
use channelkeeper::daemon::fleet::{Fleet, Means};
use channelkeeper::daemon::requests::Which;
use channelkeeper::model::channel::AccountName;
use channelkeeper::model::desired::{AccountDesired, Desired, Settings};
use channelkeeper::model::exchange::Request;
use channelkeeper::model::version::ApiVersion;

use channelkeeper::plan::step::{Cause, Step};
use channelkeeper::reconcile::pass::{pass, preview};
use channelkeeper::reconcile::subject::Subject;
use channelkeeper::simulator::{Hand, Knobs, Org, Zoho};
use channelkeeper::store::Store;
use channelkeeper::zoho::window::Window;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::world;

/// An account over the simulator's state, with a store as a daemon has it.
struct Bench {
    zoho: Arc<Straight>,
    store: Store,
    fleet: Fleet,
    passes: AtomicU64,
    stops: AtomicBool,
}

impl Bench {
    /// An account with this many channels declared, all of them enabled.
    async fn converged(channels: usize) -> Bench {
        let zoho = Arc::new(Straight::new());
        let store = Store::in_memory().unwrap().holding();
        let names = (0..channels).map(|number| format!("c{number}"));
        let specs = names.map(|name| world::spec("acme", &name, &["Deals.all"]));
        let specs = specs.map(|spec| (spec.id, Arc::new(spec))).collect();
        let account = world::account("acme", ApiVersion::V8, &Org::new("acme"));
        let fleet = fleet(&store, &zoho, AccountDesired::new(account, specs)).await;
        let bench =
            Bench { zoho, store, fleet, passes: AtomicU64::new(0), stops: AtomicBool::new(false) };
        bench.pass().await;
        assert!(preview(bench.subject(), &bench.store).await.unwrap().steps.is_empty());
        bench
    }

    /// The same with nothing declared.
    async fn undeclared(self) -> Bench {
        let account = self.subject().desired.account.clone();
        let desired = AccountDesired::new(account, BTreeMap::new());
        Bench { fleet: fleet(&self.store, &self.zoho, desired).await, ..self }
    }

    fn subject(&self) -> &Subject {
        self.fleet.subjects.values().next().unwrap()
    }

    async fn pass(&self) {
        let cancelled = CancellationToken::new();
        pass(self.subject(), &self.store, "test", &cancelled).await.unwrap();
        self.passes.fetch_add(1, Ordering::SeqCst);
    }

    /// One pass after the other until the test is over.
    async fn passes(&self) {
        while !self.stops.load(Ordering::SeqCst) {
            self.pass().await;
        }
    }

    /// Waits for the end of a pass that has begun after this.
    fn next_pass(&self) {
        let passes = self.passes.load(Ordering::SeqCst);
        while self.passes.load(Ordering::SeqCst) < passes + 2 {
            assert!(!self.stops.load(Ordering::SeqCst), "there are no more passes");
            std::hint::spin_loop();
        }
    }

    async fn titles(&self) -> Vec<String> {
        preview(self.subject(), &self.store).await.unwrap().steps.iter().map(Step::title).collect()
    }
}

async fn fleet(store: &Store, zoho: &Arc<Straight>, desired: AccountDesired) -> Fleet {
    let name: AccountName = desired.account.name.clone();
    let settings = Settings::default();
    let desired = Desired { settings, accounts: [(name, desired)].into() };
    store.keep_desired(&desired).await.unwrap();
    let means = Means {
        store: store.clone(),
        transport: zoho.carrier(),
        clock: Arc::new(SystemClock::new()),
        leash: None,
    };
    Fleet::new(desired, BTreeMap::new(), &means, None).unwrap()
}

/// Plays `commands` on a thread of its own while passes follow one another on another.
fn beside_passes(bench: Bench, commands: impl FnOnce(&Bench) + Send) -> Bench {
    std::thread::scope(|scope| {
        let passing = scope.spawn(|| {
            let _stops = StopsAtEnd(&bench.stops);
            runtime().block_on(bench.passes());
        });
        let commanding = scope.spawn(|| commands(&bench)).join();
        bench.stops.store(true, Ordering::SeqCst);
        passing.join().unwrap();
        commanding.unwrap();
    });
    bench.stops.store(false, Ordering::SeqCst);
    bench
}

/// So that nobody waits for the pass after one that panicked.
struct StopsAtEnd<'a>(&'a AtomicBool);

impl Drop for StopsAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_is_asked_for_while_its_channel_is_written_comes_with_the_next_pass() {
    let bench = Arc::new(Bench::converged(2).await);
    let id = *bench.subject().desired.specs.keys().next().unwrap();
    let added = Hand::AddEvent { channel: id.number(), event: "Leads.create".to_owned() };
    bench.zoho.hand(&added);
    let (under_way, go_on) = bench.zoho.hold_next_write();
    let passing = tokio::spawn({
        let bench = bench.clone();
        async move { bench.pass().await }
    });
    under_way.await.unwrap();
    let now = SystemClock::new().now();
    actions::ask_renewal(&bench.fleet, &bench.store, &Which::default(), now).await.unwrap();
    go_on.send(()).unwrap();
    passing.await.unwrap();
    assert_eq!(bench.titles().await, ["enable (asked)", "enable (asked)"]);
    bench.pass().await;
    assert_eq!(bench.titles().await, [""; 0], "it was renewed, once");
}

#[test]
fn a_pause_that_comes_under_a_pass_is_not_lost() {
    let bench = runtime().block_on(Bench::converged(CHANNELS));
    beside_passes(bench, |bench| {
        let target = bench.fleet.target(Some(&"c0".parse().unwrap())).unwrap();
        for round in 0..ROUNDS {
            let now = SystemClock::new().now();
            let pausing = actions::pause(&bench.store, &target, now, None);
            runtime().block_on(pausing).unwrap();
            bench.next_pass();
            assert!(is_paused(bench), "the pause of round {round} is lost");
            let resuming = actions::resume(&bench.store, &target, now);
            runtime().block_on(resuming).unwrap();
            bench.next_pass();
            assert!(!is_paused(bench), "the end of the pause of round {round} is lost");
        }
    });
}

fn is_paused(bench: &Bench) -> bool {
    let plan = runtime().block_on(preview(bench.subject(), &bench.store)).unwrap();
    plan.held.iter().any(|held| matches!(held.cause, Cause::Paused { .. }))
}

#[test]
fn removals_that_are_allowed_under_a_pass_are_done_by_the_next_one() {
    for round in 0..ROUNDS {
        let bench =
            runtime().block_on(async { Bench::converged(CHANNELS).await.undeclared().await });
        beside_passes(bench, |bench| {
            bench.next_pass();
            // So that each round begins at another moment of a pass.
            (0..round * 8_000).for_each(|_| std::hint::spin_loop());
            let (all, window) = (Which::default(), Window::default());
            let allowing = actions::allow_removals(&bench.fleet, &bench.store, &all, &window);
            runtime().block_on(allowing).unwrap();
            bench.next_pass();
            bench.next_pass();
            assert_eq!(bench.zoho.live(), 0, "the allowance of round {round} is lost");
        });
    }
}

/// Who is told that a write is under way, and who says that it may go on.
type Hold = (oneshot::Sender<()>, oneshot::Receiver<()>);

/// A road on which the next write can be held.
#[derive(Default)]
struct Held(Mutex<Option<Hold>>);

/// A Zoho to which requests go straight.
struct Straight {
    zoho: Arc<Mutex<Zoho>>,
    clock: Arc<SystemClock>,
    held: Arc<Held>,
}

impl Straight {
    fn new() -> Straight {
        let mut zoho = Zoho::new(Knobs::default());
        zoho.add_org(Org::new("acme"));
        let zoho = Arc::new(Mutex::new(zoho));
        Straight { zoho, clock: Arc::new(SystemClock::new()), held: Arc::default() }
    }

    fn carrier(&self) -> Arc<Carrier> {
        let timeout = Settings::default().request_timeout;
        let (zoho, clock) = (self.zoho.clone(), self.clock.clone());
        Arc::new(Carrier::new(zoho, clock, timeout, self.held.clone()))
    }

    fn hand(&self, hand: &Hand) {
        self.zoho.lock().unwrap().hand("acme", hand, self.clock.now()).unwrap();
    }

    fn live(&self) -> usize {
        self.zoho.lock().unwrap().channels("acme", self.clock.now()).len()
    }

    /// The first of the two says when the next write is under way; it is answered after the second
    /// was told to go on.
    fn hold_next_write(&self) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let ((under_way, seen), (go_on, released)) = (oneshot::channel(), oneshot::channel());
        *self.held.0.lock().unwrap() = Some((under_way, released));
        (seen, go_on)
    }
}

impl Road for Held {
    fn arrives<'a>(&'a self, request: &'a Request) -> Halt<'a> {
        Box::pin(async move {
            let is_write = request.path.contains("/watch") && request.method != "GET";
            let held = is_write.then(|| self.0.lock().unwrap().take()).flatten();
            if let Some((under_way, released)) = held {
                under_way.send(()).unwrap();
                released.await.unwrap();
            }
        })
    }
}

/// As many as make the planning of a pass take its time.
const CHANNELS: usize = 60;
const ROUNDS: u32 = 20;
