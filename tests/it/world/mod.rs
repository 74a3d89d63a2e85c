//! A world to test in: the daemon's own assembly, against the simulator's state, with no socket in
//! between and on virtual time.
//!
//! Two clocks: Zoho's, which is the truth, and the host's, which may be wrong and may be stepped. A
//! request goes straight into [`Zoho::answer`] and takes a little virtual time in each direction,
//! so that a crash can fall before and after the instant at which Zoho applies it. A crash drops
//! the daemon where it stands, at whatever it is waiting for; what is in the store is all that a
//! restart knows.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "test code, which the soak example has too, and of which it uses another part"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use channelkeeper::carrier::{Carrier, Halt, Road};
use channelkeeper::clock::{Clock, VirtualClock};
use channelkeeper::config::Surroundings;
use channelkeeper::coverage::Ledger;
use channelkeeper::daemon::actions::plan_views;
use channelkeeper::daemon::assembly::{Carriers, PartsGiven, assemble};
use channelkeeper::daemon::desk::Host;
use channelkeeper::daemon::emptied::Emptied;
use channelkeeper::daemon::fleet::Means;
use channelkeeper::daemon::former;
use channelkeeper::daemon::reload::Fresh;
use channelkeeper::daemon::requests::Which;
use channelkeeper::daemon::scheduler::Links;
use channelkeeper::daemon::tasks::{Stop, Tasks};
use channelkeeper::daemon::watchdog::Watchdog;
use channelkeeper::expose::overview::ConfigState;
use channelkeeper::model::account::{Account, Credentials};
use channelkeeper::model::channel::{AccountName, ChannelId, ChannelName, NotifyUrl, Spec};
use channelkeeper::model::desired::{AccountDesired, Desired, Settings};
use channelkeeper::model::exchange::Request;
use channelkeeper::model::policy::Policy;
use channelkeeper::model::product::Product;
use channelkeeper::model::secret::Secret;
use channelkeeper::model::time::Timestamp;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::plan::render::PlansView;
use channelkeeper::reconcile::report::AccountReport;
use channelkeeper::simulator::{Hand, Knobs, Org, Reply, Zoho};
use channelkeeper::store::{OpenError, Opened, Store};
use channelkeeper::testing;
use channelkeeper::zoho::transport::Transport;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

mod fuse;
pub mod truth;

pub use fuse::Fuse;

/// When every world begins, by Zoho's clock.
pub const BEGINS: &str = "2026-03-01T00:00:00Z";
/// From one audit to the next.
pub const AUDIT: Duration = Duration::from_secs(3600);
/// How long a request travels, each way.
const TRAVEL: Duration = Duration::from_millis(40);
/// How long the client waits for an answer that does not come.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The world.
pub struct World {
    /// Zoho's clock: the truth.
    pub zoho_clock: Arc<VirtualClock>,
    /// The host's clock.
    pub host_clock: Arc<VirtualClock>,
    /// Zoho.
    pub zoho: Arc<Mutex<Zoho>>,
    /// The desired state.
    pub desired: Desired,
    /// The point at which the daemon dies.
    pub fuse: Arc<Fuse>,
    /// Who answers canaries; Zoho, where nobody sends any.
    pub receivers: Option<Arc<dyn Transport>>,
    /// Who takes messages; Zoho, where nobody sends any.
    pub mailbox: Option<Arc<dyn Transport>>,
    /// Makes the watchdog of each daemon that is started.
    pub watchdog: Option<Box<dyn Fn() -> Watchdog>>,
    carrier: Arc<dyn Transport>,
    track: Arc<Track>,
    dir: tempfile::TempDir,
    daemon: Option<Running>,
}

/// A daemon at work.
pub struct Running {
    /// The way to it.
    pub links: Links,
    /// The reports of its passes, oldest first.
    pub reports: Arc<Mutex<Vec<Arc<AccountReport>>>>,
    store: Store,
    means: Means,
    held: watch::Sender<bool>,
    stop: Stop,
    tasks: Tasks,
    listening: JoinHandle<()>,
}

impl World {
    /// A world with one org per account, and nothing declared.
    pub fn new(knobs: Knobs, accounts: &[(&str, ApiVersion)]) -> World {
        let begins: Timestamp = BEGINS.parse().unwrap();
        let mut zoho = Zoho::new(knobs);
        let settings = Settings { audit: "0 0 * * * *".to_owned(), ..Settings::default() };
        let mut desired = Desired { settings, accounts: BTreeMap::new() };
        for (name, version) in accounts {
            let org = Org::new(name);
            let account = account(name, *version, &org);
            desired
                .accounts
                .insert(account.name.clone(), AccountDesired::new(account, BTreeMap::new()));
            zoho.add_org(org);
        }
        let zoho = Arc::new(Mutex::new(zoho));
        let zoho_clock = Arc::new(VirtualClock::new(begins, 1));
        let fuse = Arc::new(Fuse::default());
        let track = Arc::new(Track { fuse: fuse.clone(), ..Track::default() });
        let carrier = Carrier::new(zoho.clone(), zoho_clock.clone(), TIMEOUT, track.clone());
        World {
            host_clock: Arc::new(VirtualClock::new(begins, 1)),
            zoho_clock,
            zoho,
            desired,
            fuse,
            watchdog: None,
            receivers: None,
            mailbox: None,
            carrier: Arc::new(carrier),
            track,
            dir: scratch(),
            daemon: None,
        }
    }

    /// Adds an org of a product, and an account for it.
    pub fn add_org(&mut self, product: Product, name: &str) {
        self.add_org_on(product, product.traits().version_default, name);
    }

    /// The same, on one of the product's versions.
    pub fn add_org_on(&mut self, product: Product, version: ApiVersion, name: &str) {
        let org = Org::of(product, name);
        let mut account = account(name, version, &org);
        let limits = product.limits(version);
        account.product = product;
        account.policy.batch_max = limits.batch_max;
        account.policy.lifetime_max = limits.lifetime_max;
        let added = AccountDesired::new(account, BTreeMap::new());
        self.desired.accounts.insert(added.account.name.clone(), added);
        self.zoho().add_org(org);
    }

    /// Declares a channel, or declares it otherwise. The daemon hears of it with [`World::reload`]
    /// or at its start.
    pub fn declare(&mut self, account: &str, name: &str, events: &[&str]) -> ChannelId {
        let spec = spec(account, name, events);
        let id = spec.id;
        self.declare_spec(account, spec);
        id
    }

    /// Declares exactly this.
    pub fn declare_spec(&mut self, account: &str, spec: Spec) {
        self.account_mut(account).specs.insert(spec.id, Arc::new(spec));
    }

    /// Takes a channel out of the declaration.
    pub fn undeclare(&mut self, account: &str, id: ChannelId) {
        self.account_mut(account).specs.remove(&id);
    }

    /// An account's declaration.
    pub fn account_mut(&mut self, account: &str) -> &mut AccountDesired {
        self.desired
            .accounts
            .get_mut(&account.parse::<AccountName>().unwrap())
            .expect("a declared account")
    }

    /// Starts the daemon on what the store remembers.
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "the daemon runs already");
        let clock: Arc<dyn Clock> = self.host_clock.clone();
        let opened = open(self.dir.path(), &*clock);
        assert!(
            opened.moved_aside.is_none(),
            "the database was moved aside: {:?}",
            opened.moved_aside
        );
        let gate = self.fuse.clone();
        let store = opened.store.gated(Arc::new(move || gate.write())).going_on().holding();
        at_once(store.keep_desired(&self.desired)).expect("the desired state is kept");
        let (observer, mut heard) = mpsc::channel(16);
        let mut carriers = Carriers::all(self.carrier.clone());
        carriers.canaries = self.receivers.clone().unwrap_or(carriers.canaries);
        carriers.messages = self.mailbox.clone().unwrap_or(carriers.messages);
        let given = PartsGiven::new(self.desired.clone(), store.clone(), clock, carriers);
        let given = PartsGiven { observer: Some(observer), ..given };
        let parts = assemble(given, Host::Daemon).expect("the parts of a daemon");
        let parts = match &self.watchdog {
            Some(watchdog) => parts.watched(watchdog()),
            None => parts,
        };
        let reports: Arc<Mutex<Vec<Arc<AccountReport>>>> = Arc::default();
        let (held, mut is_held) = watch::channel(false);
        let kept = reports.clone();
        let listening = tokio::spawn(async move {
            while let Some(report) = heard.recv().await {
                kept.lock().unwrap().push(report);
                if is_held.wait_for(|held| !held).await.is_err() {
                    return;
                }
            }
        });
        let (links, means, stop) = (parts.links.clone(), parts.means.clone(), Stop::default());
        let tasks = Tasks::spawn(parts.tasks(&stop));
        self.daemon = Some(Running { links, reports, store, means, held, stop, tasks, listening });
    }

    /// Drops the daemon where it stands.
    pub async fn crash(&mut self) {
        let Some(daemon) = self.daemon.take() else { return };
        daemon.tasks.dropped().await.expect("no task of the daemon panicked");
        daemon.listening.abort();
        let _aborted = daemon.listening.await;
        self.track.cut.lock().unwrap().take();
        give_turns().await;
    }

    /// Stops the daemon as TERM does.
    pub async fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        daemon.stop.asked.cancel();
        daemon.tasks.joined().await.expect("all tasks end cleanly");
        daemon.listening.abort();
        let _aborted = daemon.listening.await;
        give_turns().await;
    }

    /// Puts what is declared in force, as HUP does.
    pub async fn reload(&mut self) {
        self.reload_with(Emptied::Refused).await;
    }

    /// The same, where somebody may have allowed that an account is left out.
    pub async fn reload_with(&mut self, left_out: Emptied) {
        let daemon = self.daemon.as_ref().expect("a daemon");
        let replaced = daemon.links.fleet.borrow().clone();
        let (config, mut desired) = (ConfigState::default(), self.desired.clone());
        let surroundings = Surroundings::of_process();
        former::remember(
            &mut desired,
            Some(&replaced),
            &daemon.store,
            &surroundings,
            left_out,
            &BTreeMap::new(),
        )
        .expect("what is remembered of channels can be read");
        let fresh = Fresh::new(desired, config, &daemon.means, &replaced);
        let fresh = fresh.expect("what is remembered of tokens can be read");
        fresh.put_in_force(&daemon.store, &daemon.links).await.expect("the desired state is kept");
        assert!(!daemon.links.wakes.0.is_closed(), "the daemon has died");
    }

    /// Wakes everything and waits until everything has had a pass.
    pub async fn audit(&self) {
        assert!(self.daemon().links.wakes.wake_and_wait(None, "test").await, "the daemon has died");
    }

    /// Lets time pass. Fails when the daemon dies meanwhile.
    pub async fn pass_time(&self, length: Duration) {
        pause(length).await;
        if let Some(daemon) = &self.daemon {
            assert!(!daemon.links.wakes.0.is_closed(), "the daemon has died");
        }
    }

    /// Reports are taken from the loop no longer, or again. It stands still as soon as some wait.
    pub fn hold_reports(&self, held: bool) {
        self.daemon().held.send_replace(held);
    }

    /// The running daemon.
    pub fn daemon(&self) -> &Running {
        self.daemon.as_ref().expect("a running daemon")
    }

    /// True when a daemon runs.
    pub fn is_running(&self) -> bool {
        self.daemon.is_some()
    }

    /// Zoho.
    pub fn zoho(&self) -> MutexGuard<'_, Zoho> {
        self.zoho.lock().unwrap()
    }

    /// Zoho's time.
    pub fn now(&self) -> Timestamp {
        self.zoho_clock.now()
    }

    /// Somebody edits at Zoho, behind the daemon's back. `false` when there was nothing to take
    /// hold of.
    pub fn hand(&self, org: &str, hand: &Hand) -> bool {
        self.zoho().hand(org, hand, self.now()).is_ok()
    }

    /// The accounts' plans, as `plan` asks for them: beside whatever the daemon does.
    pub async fn preview(&self) -> PlansView {
        let daemon = self.daemon();
        let fleet = daemon.links.fleet.borrow().clone();
        let (all, window) = (Which::default(), &daemon.links.window);
        plan_views(&fleet, &daemon.store, &all, window).await.expect("plans")
    }

    /// Puts an org with these credits of a day, and nothing in it, in the place of the one that is
    /// there.
    pub fn allow_credits(&self, org: &str, per_day: u64) {
        let known = self.zoho().orgs().find(|known| known.name == org).cloned().expect("an org");
        self.zoho().add_org(Org { credits: Some(per_day), ..known });
    }

    /// Write calls that an org has had.
    pub fn writes(&self, org: &str) -> u64 {
        self.zoho().counters(org).map_or(0, |counters| counters.writes)
    }

    /// The coverage ledgers of an account, and up to where they are certain, both in Zoho's time.
    pub fn ledgers(&self, account: &str) -> (BTreeMap<ChannelId, Ledger>, Option<Timestamp>) {
        let (store, account) = (&self.daemon().store, account.parse().unwrap());
        let certain = store.account_state(&account).expect("an account's state").looked_from;
        (store.ledgers(&account).expect("ledgers"), certain)
    }

    /// The state directory, to be read once no daemon holds it.
    pub fn state_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The channels that are ours by the store.
    pub fn ours(&self, account: &str) -> Vec<ChannelId> {
        self.daemon()
            .store
            .records(&account.parse().unwrap())
            .expect("records")
            .into_keys()
            .collect()
    }

    /// The store of the running daemon.
    pub fn store(&self) -> &Store {
        &self.daemon().store
    }

    /// The last report of an account.
    pub fn report(&self, account: &str) -> Arc<AccountReport> {
        let reports = self.daemon().reports.lock().unwrap();
        reports
            .iter()
            .rev()
            .find(|report| report.account.as_str() == account)
            .cloned()
            .expect("a report")
    }

    /// Every request so far, one line each.
    pub fn trace(&self) -> Vec<String> {
        self.track.trace.lock().unwrap().clone()
    }

    /// Writes something into the trace.
    pub fn note(&self, line: String) {
        self.track.trace.lock().unwrap().push(line);
    }

    /// The next request of this method is cut off, before Zoho sees it or after: nothing ever comes
    /// back.
    pub fn cut_next(&self, method: &'static str, when: Cut) {
        *self.track.cut.lock().unwrap() = Some((method, when));
    }

    /// True when the cut that was asked for has happened.
    pub fn is_cut(&self) -> bool {
        self.track.cut.lock().unwrap().is_none()
    }

    /// True when an event is delivered to its declared URL at this instant, by Zoho's own truth.
    pub fn is_covered(&self, account: &str, id: ChannelId, at: Timestamp) -> bool {
        let account: AccountName = account.parse().unwrap();
        let spec = &self.desired.accounts[&account].specs[&id];
        let truth = self.zoho().truth(account.as_str());
        let text = id.to_string();
        spec.events.iter().all(|(module, operations)| {
            operations.iter().all(|operation| {
                truth.iter().any(|covered| {
                    covered.channel == text
                        && covered.module == module
                        && covered.operation == operation.as_str()
                        && covered.notify_url == spec.notify_url.full()
                        && covered.contains(at)
                })
            })
        })
    }

    /// Every declared channel, with its account.
    pub fn declared(&self) -> Vec<(String, ChannelId)> {
        let of = |(name, account): (&AccountName, &AccountDesired)| -> Vec<(String, ChannelId)> {
            account.specs.keys().map(|id| (name.to_string(), *id)).collect()
        };
        self.desired.accounts.iter().flat_map(of).collect()
    }
}

/// The point at which a request is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Zoho never sees it.
    Before,
    /// Zoho applies it, and the answer is lost.
    After,
}

/// The road on which the daemon dies, requests are cut off, and each leaves a line.
#[derive(Default)]
struct Track {
    fuse: Arc<Fuse>,
    trace: Mutex<Vec<String>>,
    cut: Mutex<Option<(&'static str, Cut)>>,
}

impl Road for Track {
    fn travel(&self) -> Duration {
        TRAVEL
    }

    fn arrives<'a>(&'a self, request: &'a Request) -> Halt<'a> {
        Box::pin(self.pass(request, Cut::Before))
    }

    fn answered<'a>(&'a self, request: &'a Request, reply: &'a Reply, at: Timestamp) -> Halt<'a> {
        self.note(request, reply, at);
        Box::pin(self.pass(request, Cut::After))
    }
}

impl Track {
    /// A point at which the request may be cut off, and at which the daemon may die.
    async fn pass(&self, request: &Request, point: Cut) {
        if self.is_cut(request, point) || self.fuse.burns() {
            std::future::pending().await
        }
    }

    fn is_cut(&self, request: &Request, point: Cut) -> bool {
        let mut cut = self.cut.lock().unwrap();
        cut.take_if(|(method, when)| {
            *when == point && *method == request.method && request.path.contains("/watch")
        })
        .is_some()
    }

    fn note(&self, request: &Request, reply: &Reply, now: Timestamp) {
        let outcome = match reply {
            Reply::Response(response) => response.status.to_string(),
            Reply::Reset => "reset".to_owned(),
            Reply::Refused => "refused".to_owned(),
            Reply::Truncated(..) => "truncated".to_owned(),
            Reply::Hang => "hang".to_owned(),
        };
        // tokio's timers tick in milliseconds, from an instant of the real clock: what is below
        // them is no part of the run.
        let now = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        let line = format!(
            "{now} {} {} {} -> {outcome}",
            request.method,
            request.path,
            request.body.len()
        );
        self.trace.lock().unwrap().push(line);
    }
}

/// sled makes nobody wait.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the store makes the world wait"),
    }
}

/// The passes are dropped by the runtime, which has to be given a turn for each.
async fn give_turns() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Virtual time: in a paused runtime this moves the clock, and waits for nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "the runtime's time is paused: nothing waits on the real clock"
)]
pub async fn pause(length: Duration) {
    tokio::time::sleep(length).await;
}

/// A spec of one day with a token, delivering to a URL of its own.
pub fn spec(account: &str, name: &str, events: &[&str]) -> Spec {
    let (account, name): (AccountName, ChannelName) =
        (account.parse().unwrap(), name.parse().unwrap());
    Spec {
        id: ChannelId::derived("channelkeeper", &account, &name),
        notify_url: NotifyUrl::new(&format!("https://hooks.example.com/{account}/{name}")),
        token: Some(Secret::new(format!("channel-token-{name}"))),
        name,
        events: testing::events(events),
        ..testing::spec(1)
    }
}

/// An account in force for everything that its org allows.
pub fn account(name: &str, version: ApiVersion, org: &Org) -> Account {
    let limits = version.limits();
    Account {
        name: name.parse().unwrap(),
        product: Product::Crm,
        version,
        api_url: "https://zoho.test".to_owned(),
        accounts_url: "https://accounts.zoho.test".to_owned(),
        credentials: Credentials {
            client_id: org.client_id.clone(),
            client_secret: Secret::new(org.client_secret.clone()),
            refresh_token: Secret::new(org.refresh_tokens[0].clone()),
        },
        policy: Policy {
            batch_max: limits.batch_max,
            lifetime_max: limits.lifetime_max,
            ..testing::policy()
        },
    }
}

/// Opens the store of a daemon that has just gone. A process that another test is starting holds
/// every open file of this one, and with it the lock, from its fork to its exec: it is given a
/// moment.
pub fn open(dir: &Path, clock: &dyn Clock) -> Opened {
    for _ in 0..200 {
        match Store::open(dir, clock.now()) {
            Err(OpenError::Locked(_)) => std::thread::park_timeout(Duration::from_millis(10)),
            opened => return opened.expect("the store opens"),
        }
    }
    panic!("{} stays locked", dir.display());
}

/// In memory where the machine has a place for that: a month of passes flushes the store some ten
/// thousand times.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a scratch directory")
}
