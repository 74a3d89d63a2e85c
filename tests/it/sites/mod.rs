//! Several machines that share accounts: the daemon's own assembly, once for each, over one
//! simulated engine and one simulated Zoho, on virtual time.
//!
//! Each machine has a clock with a rate of its own. One that is stopped is played at the edges: its
//! calls to the engine, to Zoho and of its clock wait as they come in and as they go out, so what
//! had passed its last check leaves when it goes on.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "test code, which the soak example has too, and of which it uses another part"
)]

pub mod judge;
pub mod play;
mod service;
mod trouble;
pub mod way;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use channelkeeper::clock::{Clock, VirtualClock};
use channelkeeper::config::Surroundings;
use channelkeeper::daemon::assembly::{Carriers, PartsGiven, assemble};
use channelkeeper::daemon::desk::Host;
use channelkeeper::daemon::emptied::Emptied;
use channelkeeper::daemon::fleet::Means;
use channelkeeper::daemon::former;
use channelkeeper::daemon::member::{self, Joining, Member};
use channelkeeper::daemon::reload::Fresh;
use channelkeeper::daemon::scheduler::Links;
use channelkeeper::daemon::tasks::{Stop, Tasks};
use channelkeeper::engine::Engine;
use channelkeeper::engine::simulated::{SimulatedEngine, SimulatedHandle};
use channelkeeper::expose::overview::ConfigState;
use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::cluster::{Layouts, WithoutEngine};
use channelkeeper::model::desired::{AccountDesired, Desired, Settings};
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::{Knobs, Org, Zoho};
use channelkeeper::zoho::transport::Transport;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::world::{BEGINS, account, open, pause, scratch, spec};

use judge::{CLUSTER, Judge};
use service::Weather;
use way::{Shared, SiteClock, Way};

/// Machines with what they share.
pub struct Sites {
    pub clock: Arc<VirtualClock>,
    pub zoho: Arc<Mutex<Zoho>>,
    pub engine: SimulatedEngine,
    pub desired: Desired,
    pub judge: Arc<Mutex<Judge>>,
    pub machines: BTreeMap<&'static str, Machine>,
    /// Who takes canaries and recovered deliveries; Zoho, where nobody sends any.
    pub receivers: Option<Arc<dyn Transport>>,
    /// The layouts that the release reads of which daemons are started.
    pub layouts: Layouts,
}

/// A machine, which runs a process or not.
pub struct Machine {
    dir: tempfile::TempDir,
    /// How fast its clock goes, in thousandths.
    rate: u32,
    /// How far its wall clock is off, in milliseconds.
    off: i64,
    pub process: Option<Process>,
    /// One that was told to end.
    leaving: Option<JoinHandle<()>>,
}

/// A daemon at work.
pub struct Process {
    pub number: usize,
    pub handle: Arc<SimulatedHandle>,
    pub way: Arc<Way>,
    pub links: Links,
    means: Means,
    stop: Stop,
    tasks: Tasks,
}

impl Sites {
    pub fn new(knobs: Knobs, life: Duration) -> Sites {
        let clock = Arc::new(VirtualClock::new(BEGINS.parse().unwrap(), 1));
        let zoho = Arc::new(Mutex::new(Zoho::new(knobs)));
        let (engine, judge) = (SimulatedEngine::new(), Judge::new(clock.clone(), life));
        let judge = Arc::new(Mutex::new(judge));
        let sees = judge.clone();
        engine.witness(move |applied| sees.lock().unwrap().applied(applied));
        let hears = judge.clone();
        zoho.lock().unwrap().listen(move |heard| hears.lock().unwrap().heard(&heard));
        let settings = Settings { audit: "0 0 * * * *".to_owned(), ..Settings::default() };
        Sites {
            clock,
            zoho,
            engine,
            desired: Desired { settings, accounts: BTreeMap::new() },
            judge,
            machines: BTreeMap::new(),
            receivers: None,
            layouts: Layouts::OWN,
        }
    }

    /// An account with an org of its own.
    pub fn add_account(&mut self, name: &str) {
        let org = Org::new(name);
        let account = account(name, ApiVersion::V8, &org);
        let added = AccountDesired::new(account, BTreeMap::new());
        self.desired.accounts.insert(added.account.name.clone(), added);
        self.zoho().add_org(org);
    }

    pub fn declare(&mut self, account: &str, channel: &str, events: &[&str], life: Duration) {
        self.declare_spec(account, Spec { lifetime: life, ..spec(account, channel, events) });
    }

    /// Declares exactly this.
    pub fn declare_spec(&mut self, account: &str, spec: Spec) {
        let desired = self.desired.accounts.get_mut(&account.parse().unwrap()).unwrap();
        desired.specs.insert(spec.id, Arc::new(spec));
    }

    pub fn add_machine(&mut self, name: &'static str, rate: u32, off: i64) {
        let (dir, process, leaving) = (scratch(), None, None);
        self.machines.insert(name, Machine { dir, rate, off, process, leaving });
    }

    /// Starts the daemon of a machine.
    pub fn start(&mut self, name: &'static str) {
        let machine = &self.machines[name];
        assert!(!machine.runs() && machine.leaving.is_none(), "{name} runs already");
        // Requests travel by the world's time, and the machine stops at its gate.
        let handle = Arc::new(self.engine.handle(self.clock.clone()));
        let (number, gate) = (handle.number(), handle.gate().clone());
        handle.set_delay(play::TRIP);
        let clock: Arc<dyn Clock> =
            Arc::new(SiteClock::new(self.clock.clone(), machine.rate, machine.off, gate.clone()));
        let engine: Arc<dyn Engine> = handle.clone();
        let dir = machine.dir.path();
        let store = open(dir, &*clock).store.going_on().holding();
        let store = member::shared(store, engine.clone(), CLUSTER, self.layouts);
        let notes = dir.join("cluster");
        let (cluster, node) = (CLUSTER.to_owned(), Some(name.to_owned()));
        let without_engine = WithoutEngine::Emergency;
        let layouts = self.layouts;
        let joining = Joining { cluster, node, without_engine, notes, layouts };
        let member = Member::new(joining, engine, clock.clone()).unwrap();
        let leash = member.leash();
        self.judge().begins(name, leash.clone());
        let (world, zoho, judge) = (self.clock.clone(), self.zoho.clone(), self.judge.clone());
        let way = Arc::new(Way::new((number, gate), world, leash.clone(), zoho, judge));
        let carriers = Carriers::all(Arc::new(Shared(way.clone())));
        let canaries = self.receivers.clone().unwrap_or(carriers.canaries);
        let carriers = Carriers { canaries, ..carriers };
        let given = PartsGiven::new(self.desired.clone(), store, clock, carriers);
        let parts = assemble(PartsGiven { leash: Some(leash), ..given }, Host::Daemon).unwrap();
        let (links, means, stop) = (parts.links.clone(), parts.means.clone(), Stop::default());
        let member = member.tasks(&links, &means, watch::channel(Some(1)).1, &stop);
        let tasks = Tasks::spawn(parts.tasks(&stop).into_iter().chain(member));
        let process = Process { number, handle, way, links, means, stop, tasks };
        self.machine(name).process = Some(process);
    }

    /// Drops the daemon where it stands.
    pub async fn kill(&mut self, name: &str) {
        let Some(process) = self.machine(name).process.take() else { return };
        self.ended(&process);
        dropped(process).await;
    }

    /// Tells the daemon to end, as a service manager does: after a minute and a half it is killed.
    pub fn terminate(&mut self, name: &str) {
        let Some(mut process) = self.machine(name).process.take() else { return };
        self.judge().processes[process.number].is_leaving = true;
        let judge = self.judge.clone();
        self.machine(name).leaving = Some(tokio::spawn(async move {
            process.stop.asked.cancel();
            let ended = tokio::select! {
                ended = process.tasks.joined() => Some(ended),
                () = pause(KILLED_AFTER) => None,
            };
            judge.lock().unwrap().left(process.number, ended);
            dropped(process).await;
        }));
    }

    /// Stops the process, or lets it go on.
    pub fn freeze(&self, name: &str, is_frozen: bool) {
        let Some(process) = &self.machines[name].process else { return };
        let is_other = self.judge().processes[process.number].is_frozen != is_frozen;
        if is_other {
            self.judge().frozen(process.number, is_frozen);
        }
        if is_frozen { process.way.gate.close() } else { process.way.gate.open() }
    }

    pub fn is_frozen(&self, name: &str) -> bool {
        let number = self.machines[name].process.as_ref().map(|process| process.number);
        number.is_some_and(|number| self.judge().processes[number].is_frozen)
    }

    /// Puts what is declared in force on a machine, as HUP does: on one that is stopped, when it
    /// goes on.
    pub async fn reload(&mut self, name: &'static str) {
        let is_frozen = self.is_frozen(name);
        let desired = self.desired.clone();
        let Some(process) = &mut self.machines.get_mut(name).unwrap().process else { return };
        self.judge.lock().unwrap().processes[process.number].is_behind = is_frozen;
        if !is_frozen {
            process.reload(desired).await;
        }
    }

    /// Does what was put off while it was stopped.
    pub async fn catch_up(&mut self, name: &'static str) {
        let number = self.process(name).map(|process| process.number);
        let is_behind = number.is_some_and(|number| self.judge().processes[number].is_behind);
        if is_behind {
            self.reload(name).await;
        }
    }

    /// Nothing goes between the machine and the engine, or Zoho.
    pub fn cut(&self, name: &str, (from_engine, from_zoho): (Option<bool>, Option<bool>)) {
        let Some(process) = self.process(name) else { return };
        let mut judge = self.judge();
        let known = &mut judge.processes[process.number];
        if let Some(is_cut) = from_engine {
            known.is_cut = is_cut;
            process.handle.set_cut(is_cut);
        }
        if let Some(is_cut) = from_zoho {
            known.is_mute = is_cut;
            process.way.is_cut.store(is_cut, Ordering::SeqCst);
        }
        judge.listen();
    }

    /// The engine's answers come so much later to the machine.
    pub fn slow(&self, name: &str, delay: Duration) {
        let Some(process) = self.process(name) else { return };
        let mut judge = self.judge();
        judge.processes[process.number].delay = delay;
        process.handle.set_delay(delay);
        judge.listen();
    }

    /// The engine and Zoho answer as they should, or not.
    fn tell(&self, weather: Weather) {
        let mut judge = self.judge();
        judge.engine_is_ill = !weather.engine_is_well;
        judge.listen();
        judge.zoho_is_ill = !weather.zoho_is_well;
    }

    fn ended(&self, process: &Process) {
        self.judge().processes[process.number].is_alive = false;
    }

    pub fn machine(&mut self, name: &str) -> &mut Machine {
        self.machines.get_mut(name).unwrap()
    }

    pub fn process(&self, name: &str) -> Option<&Process> {
        self.machines[name].process.as_ref()
    }

    pub fn zoho(&self) -> MutexGuard<'_, Zoho> {
        self.zoho.lock().unwrap()
    }

    pub fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap()
    }

    /// Every declared channel, with its account.
    pub fn declared(&self) -> Vec<(String, ChannelId)> {
        let of = |(name, account): (_, &AccountDesired)| -> Vec<(String, ChannelId)> {
            account.specs.keys().map(|id| (ToString::to_string(name), *id)).collect()
        };
        self.desired.accounts.iter().flat_map(of).collect()
    }

    /// True when Zoho has the channel as it is declared.
    pub fn is_as_declared(&self, account: &str, id: ChannelId) -> bool {
        let spec = &self.desired.accounts[&account.parse().unwrap()].specs[&id];
        let (zoho, now) = (self.zoho(), self.clock.now());
        let channel = zoho.channels(account, now).into_iter().find(|it| it.id == id.number());
        channel.is_some_and(|channel| {
            channel.notify_url == spec.notify_url.full()
                && spec.events.minus(&channel.events).is_empty()
        })
    }
}

impl Machine {
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// True when another process may be started.
    pub fn has_ended(&mut self) -> bool {
        let _gone = self.leaving.take_if(|leaving| leaving.is_finished());
        self.process.is_none() && self.leaving.is_none()
    }
}

impl Process {
    /// A task that ended by itself.
    pub fn failure(&mut self) -> Option<String> {
        let mut context = Context::from_waker(Waker::noop());
        match pin!(self.tasks.failed()).poll(&mut context) {
            Poll::Ready(error) => Some(error.to_string()),
            Poll::Pending => None,
        }
    }

    async fn reload(&mut self, mut desired: Desired) {
        let replaced = self.links.fleet.borrow().clone();
        let (store, surroundings) = (&self.means.store, Surroundings::of_process());
        former::remember(
            &mut desired,
            Some(&replaced),
            store,
            &surroundings,
            Emptied::Refused,
            &BTreeMap::new(),
        )
        .expect("what is remembered of channels can be read");
        let fresh = Fresh::new(desired, ConfigState::default(), &self.means, &replaced);
        let fresh = fresh.expect("what is remembered of tokens can be read");
        fresh.put_in_force(store, &self.links).await.expect("the desired state is kept");
    }
}

async fn dropped(process: Process) {
    process.way.dead.cancel();
    process.tasks.dropped().await.expect("no task of the daemon panicked");
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// A service manager's patience.
const KILLED_AFTER: Duration = Duration::from_secs(90);
