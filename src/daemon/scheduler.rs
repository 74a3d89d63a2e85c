//! One slot per account: when it is looked at next.
//!
//! The scheduler runs at most one pass per account at a time and a bounded number at once. Whatever
//! wakes an account only moves its slot to *now*: wakes coalesce, and one that comes during a pass
//! leads to one more pass after it. When a pass ends, its report says when the next one is due.
//! Which of those that are due begins first says `queue`.
//!
//! It never sleeps longer than [`LOOK_AT_CLOCK`], or than its [`Watchdog`] wants, and reads wall
//! time anew each time, so that a suspended machine, a paused virtual machine or a step of the
//! clock is noticed. After a jump every account is looked at: a slot that was computed
//! under another time means nothing.
//!
//! A pass that panics ends the daemon, and systemd restarts it: a process that lives and does
//! nothing is worse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::backfill::Standing;
use crate::clock::{Clock, LOOK_AT_CLOCK};
use crate::expose::overview::{ClusterState, ConfigState, LogLost, LoopAge, Others, Overview};
use crate::model::channel::AccountName;
use crate::model::record::Grant;
use crate::model::time::{Timestamp, after, span};
use crate::plan::renewal::Life;
use crate::plan::step::Cause;
use crate::reconcile::cover;
use crate::reconcile::pass::pass;
use crate::reconcile::report::AccountReport;
use crate::reconcile::subject::Subject;
use crate::store::{HELD_MAX, Store, StoreError};
use crate::telemetry::{self, LostLines};
use crate::zoho::window::Window;

use super::fleet::{Fleet, Means};
use super::queue::{Queue, Wait};
use super::watchdog::Watchdog;

use sharing::Leaving;

/// A message to the scheduler.
pub enum Message {
    /// Look at some accounts now.
    Wake {
        /// Which; `None` for all.
        account: Option<AccountName>,
        /// The reason, for people.
        why: String,
        /// Told when each of them has had the passes that are waited for.
        done: Option<(oneshot::Sender<()>, Until)>,
    },
    /// Somebody hears the reports of all passes, for as long as this is held.
    Listen(Weak<PassReports>),
    /// Look for drift, at those accounts that have credits for it.
    Audit,
    /// Hold another fleet from now on.
    Replace {
        /// The fleet.
        fleet: Arc<Fleet>,
        /// The config it was read from.
        config: ConfigState,
        /// Told when it is in force.
        done: oneshot::Sender<()>,
    },
    /// Hold these accounts as well, which the store has.
    Gained(Vec<AccountName>),
    /// Hold these accounts no longer.
    LetGo(Going),
    /// A former owner of these may have sent something to Zoho since they were looked at.
    SentLate(Vec<AccountName>),
    /// The machines that share the accounts look so.
    Cluster(ClusterState),
    /// The other machines say so of what is theirs.
    Others(Arc<Others>),
    /// Hold an account by other credentials.
    Credentials {
        /// The account as it is held; when it is held otherwise meanwhile, nothing happens.
        former: Arc<Subject>,
        /// As it is to be held.
        subject: Arc<Subject>,
    },
    /// The config was read and is not used; this is what is wrong with it.
    ConfigRefused(Vec<String>),
    /// The reason why the status file cannot be written; `None` when it was.
    StatusFile(Option<String>),
    /// The reason why hooks are not told of everything; `None` when they are.
    Hooks(Option<String>),
    /// How the recoveries of an account stand.
    Recoveries(AccountName, Standing),
}

mod sharing;

pub use sharing::Going;

/// Up to when somebody waits for passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// One whole pass.
    OnePass,
    /// And those that a pass asks for at once, because it brought up new work: not for ever.
    Settled,
}

/// The reports of all passes that have ended since somebody began to listen.
#[derive(Debug, Default)]
pub struct PassReports(Mutex<BTreeMap<AccountName, Vec<Arc<AccountReport>>>>);

impl PassReports {
    fn hear(&self, report: &Arc<AccountReport>) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.entry(report.account.clone()).or_default().push(report.clone());
    }

    /// Those since this was asked last.
    pub fn take(&self) -> BTreeMap<AccountName, Vec<Arc<AccountReport>>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// By account, in their order.
    pub fn passes(&self) -> BTreeMap<AccountName, Vec<Arc<AccountReport>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The way to the scheduler.
#[derive(Clone)]
pub struct Wakes(pub mpsc::Sender<Message>);

impl Wakes {
    /// Wakes accounts. If the scheduler is gone the daemon is stopping, and there is nothing left
    /// to wake.
    pub async fn wake(&self, account: Option<AccountName>, why: impl Into<String>) {
        let message = Message::Wake { account, why: why.into(), done: None };
        if self.0.send(message).await.is_err() {
            debug!("a wake came after the scheduler had stopped");
        }
    }

    /// Wakes the accounts that have credits for a look that nothing asks for.
    pub async fn audit(&self) {
        if self.0.send(Message::Audit).await.is_err() {
            debug!("an audit came after the scheduler had stopped");
        }
    }

    /// Says how the recoveries of an account stand.
    pub async fn tell_recoveries(&self, account: AccountName, standing: Standing) {
        if self.0.send(Message::Recoveries(account, standing)).await.is_err() {
            debug!("a count of recoveries came after the scheduler had stopped");
        }
    }

    /// Wakes accounts and waits until each has had a whole pass. `false` when the daemon stopped
    /// before.
    pub async fn wake_and_wait(
        &self,
        account: Option<AccountName>,
        why: impl Into<String>,
    ) -> bool {
        self.wait(account, why.into(), Until::OnePass).await
    }

    /// The same, with the passes that ask for another one at once.
    pub async fn wake_until_settled(
        &self,
        account: Option<AccountName>,
        why: impl Into<String>,
    ) -> bool {
        self.wait(account, why.into(), Until::Settled).await
    }

    async fn wait(&self, account: Option<AccountName>, why: String, until: Until) -> bool {
        let (done, waiting) = oneshot::channel();
        let message = Message::Wake { account, why, done: Some((done, until)) };
        self.0.send(message).await.is_ok() && waiting.await.is_ok()
    }

    /// Begins to hear the reports of all passes; nothing when the daemon has stopped.
    pub async fn listen(&self) -> Option<Arc<PassReports>> {
        let heard = Arc::<PassReports>::default();
        self.0.send(Message::Listen(Arc::downgrade(&heard))).await.ok()?;
        Some(heard)
    }
}

/// When the loop last turned, by the monotonic clock. Shared with whoever answers `/livez`.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    fn beat(&self, clock: &dyn Clock) {
        self.0.store(millis(clock.elapsed()), Ordering::Relaxed);
    }

    /// How long ago the loop last turned.
    pub fn age(&self, clock: &dyn Clock) -> LoopAge {
        LoopAge(Duration::from_millis(
            millis(clock.elapsed()).saturating_sub(self.0.load(Ordering::Relaxed)),
        ))
    }
}

/// The parts that the scheduler starts with.
pub struct Setup {
    /// The accounts.
    pub fleet: Arc<Fleet>,
    /// The memory, the clock and the way to Zoho. With a leash, other machines hold accounts of the
    /// fleet too, and this one begins with none.
    pub means: Means,
    /// The overview at the start, with the state of the config and of the store.
    pub overview: Overview,
    /// How many accounts may be served at once, as the calls so far went.
    pub window: Arc<Window>,
    /// Told each report, for a narrator; passes wait for it.
    pub observer: Option<mpsc::Sender<Arc<AccountReport>>>,
}

/// The scheduler, and everything that hears from it.
pub struct Scheduler {
    fleet: watch::Sender<Arc<Fleet>>,
    /// The accounts that this machine holds; all, where it shares them with none.
    held: Option<BTreeSet<AccountName>>,
    means: Means,
    store: Store,
    clock: Arc<dyn Clock>,
    slots: BTreeMap<AccountName, Slot>,
    queue: Queue,
    passes: JoinSet<(AccountName, Result<AccountReport, StoreError>)>,
    /// How many channels the passes under way are about.
    channels: usize,
    overview: watch::Sender<Arc<Overview>>,
    inbox: mpsc::Receiver<Message>,
    pulse: Pulse,
    watchdog: Option<Watchdog>,
    window: Arc<Window>,
    observer: Option<mpsc::Sender<Arc<AccountReport>>>,
    listeners: Vec<Weak<PassReports>>,
    /// True when passes are made that nobody asked for.
    is_holding: bool,
    last_look: (Timestamp, Duration),
    /// When the store was last tried to be brought back to its disk.
    last_mend: Duration,
    /// When what the store holds was last written.
    last_written: Duration,
}

/// The links that others hold to a scheduler.
#[derive(Clone)]
pub struct Links {
    /// The way in.
    pub wakes: Wakes,
    /// The overview.
    pub overview: watch::Receiver<Arc<Overview>>,
    /// The fleet.
    pub fleet: watch::Receiver<Arc<Fleet>>,
    /// Rung when somebody asks for a recovery, or says what is to become of one.
    pub asked: Arc<Notify>,
    /// The pulse of the loop: it tells if the loop turns.
    pub pulse: Pulse,
    /// How many accounts may be served at once.
    pub window: Arc<Window>,
}

/// A pass died.
#[derive(Debug, thiserror::Error)]
#[error("a pass ended without a report")]
pub struct PassDied(#[source] pub tokio::task::JoinError);

#[derive(Default)]
struct Slot {
    /// When it is due; `None` while a pass runs.
    due: Option<Timestamp>,
    /// When the first emergency of its channels begins, as the last pass left them, or the store
    /// remembers them.
    emergency_at: Option<Timestamp>,
    /// When its plan asks for the next pass, whoever else does before.
    planned_at: Option<Timestamp>,
    why: String,
    running: bool,
    /// How many channels the pass that runs is about.
    channels: usize,
    /// A wake that came while a pass ran.
    again: Option<String>,
    /// Waiting for the end of the next pass to begin.
    waiting: Vec<Arc<Waiter>>,
    /// Waiting for the end of the pass that runs.
    served: Vec<Arc<Waiter>>,
    /// Passes in a row that asked for another one at once, while somebody waited.
    rounds: u8,
    /// It was taken over: it is looked at twice.
    looks_again: bool,
    /// Ends the pass that runs after the call that it is in.
    stop: CancellationToken,
    /// Held no longer, while a pass runs.
    leaving: Option<Leaving>,
}

impl Slot {
    /// A pass has ended: whoever waited for one is told, and whoever waits until the account is
    /// settled goes on waiting when the pass wants another one at once.
    fn serve(&mut self, wants_more: bool) {
        let served = std::mem::take(&mut self.served);
        if served.is_empty() || !wants_more || self.rounds >= ROUNDS_MAX {
            self.rounds = 0;
            return;
        }
        self.rounds += 1;
        self.waiting.extend(served.into_iter().filter(|waiter| waiter.until == Until::Settled));
    }

    fn wait(&self, due: Timestamp) -> Wait {
        Wait { due, emergency_at: self.emergency_at, planned_at: self.planned_at }
    }
}

/// Tells its sender when the last slot that holds it lets go of it.
struct Waiter {
    tell: Mutex<Option<oneshot::Sender<()>>>,
    until: Until,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let sender = self.tell.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // Nobody may be waiting any more, which is no failure.
        let _heard = sender.map(|sender| sender.send(()));
    }
}

impl Scheduler {
    /// A scheduler that holds its accounts: every one is due now.
    pub fn new(setup: Setup) -> (Scheduler, Links) {
        let (mut scheduler, sender) = Scheduler::at_rest(setup);
        scheduler.is_holding = true;
        scheduler.hold_fleet("start");
        let links = scheduler.links(sender);
        (scheduler, links)
    }

    /// A scheduler that makes a pass when it is asked to, and no other.
    pub fn on_demand(setup: Setup) -> (Scheduler, Links) {
        let (mut scheduler, sender) = Scheduler::at_rest(setup);
        scheduler.hold_fleet("start");
        let links = scheduler.links(sender);
        (scheduler, links)
    }

    fn at_rest(setup: Setup) -> (Scheduler, mpsc::Sender<Message>) {
        let Setup { fleet, means, overview, window, observer } = setup;
        let (store, clock) = (means.store.clone(), means.clock.clone());
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let last_look = (clock.now(), clock.elapsed());
        let last_mend = clock.elapsed();
        let scheduler = Scheduler {
            fleet: watch::Sender::new(fleet),
            held: means.leash.is_some().then(BTreeSet::new),
            means,
            store,
            clock,
            slots: BTreeMap::new(),
            queue: Queue::default(),
            passes: JoinSet::new(),
            channels: 0,
            overview: watch::Sender::new(Arc::new(overview)),
            inbox,
            pulse: Pulse::default(),
            watchdog: None,
            window,
            observer,
            listeners: Vec::new(),
            is_holding: false,
            last_look,
            last_mend,
            last_written: last_mend,
        };
        scheduler.pulse.beat(&*scheduler.clock);
        (scheduler, sender)
    }

    fn links(&self, sender: mpsc::Sender<Message>) -> Links {
        Links {
            wakes: Wakes(sender),
            overview: self.overview.subscribe(),
            fleet: self.fleet.subscribe(),
            asked: Arc::default(),
            pulse: self.pulse.clone(),
            window: self.window.clone(),
        }
    }

    /// The same, with somebody who is told that it turns.
    pub fn watched(self, watchdog: Watchdog) -> Scheduler {
        Scheduler { watchdog: Some(watchdog), ..self }
    }

    /// Turns until `cancelled`, then waits for the passes under way.
    ///
    /// # Errors
    /// When a pass panicked.
    pub async fn run(mut self, cancelled: CancellationToken) -> Result<(), PassDied> {
        if self.is_holding {
            self.retire_ledgers().await;
        }
        while !cancelled.is_cancelled() {
            self.beat();
            self.notice_jumps();
            self.notice_lost_lines();
            if self.clock.elapsed().saturating_sub(self.last_mend) >= MEND_EVERY {
                self.mend_store().await;
            }
            if self.clock.elapsed().saturating_sub(self.last_written) >= HELD_MAX {
                self.write_held().await;
            }
            self.start_due(&cancelled);
            let (clock, length) = (self.clock.clone(), self.sleep_length());
            let window = self.window.clone();
            tokio::select! {
                biased;
                () = cancelled.cancelled() => {}
                Some(ended) = self.passes.join_next(), if !self.passes.is_empty() => self.ended(ended).await?,
                Some(message) = self.inbox.recv() => self.told(message).await,
                () = window.grown() => {}
                () = clock.sleep(length) => {}
            }
        }
        self.publish(|overview| overview.stopping = true);
        while !self.passes.is_empty() {
            self.beat();
            let (clock, length) = (self.clock.clone(), self.rest());
            tokio::select! {
                Some(ended) = self.passes.join_next() => self.ended(ended).await?,
                () = clock.sleep(length) => {}
            }
        }
        self.let_go_of_the_rest();
        self.write_held().await;
        self.mend_store().await;
        if let Some(why) = self.store.trouble() {
            error!(
                error = why,
                "the store could not be written to the end, so its last changes are lost"
            );
        }
        info!("no pass is under way any more");
        Ok(())
    }

    /// The loop turns.
    fn beat(&mut self) {
        self.pulse.beat(&*self.clock);
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.turned(self.clock.elapsed());
        }
    }

    /// The longest sleep between two turns.
    fn rest(&self) -> Duration {
        self.watchdog.as_ref().map_or(LOOK_AT_CLOCK, |watchdog| watchdog.rest().min(LOOK_AT_CLOCK))
    }

    /// Until the next account is due that there is room for. Without any, the end of a pass wakes.
    fn sleep_length(&self) -> Duration {
        let next = if self.has_places() {
            self.queue.first_due()
        } else {
            let planned = self.has_spare_places().then(|| self.queue.next_planned());
            let may_begin = self.passes.len() < self.emergencies_max();
            let emergency = may_begin.then(|| self.queue.next_emergency());
            [planned, emergency].into_iter().flatten().flatten().min()
        };
        let length = next.map(|due| span(self.clock.now(), due));
        length.unwrap_or(LOOK_AT_CLOCK).min(self.rest())
    }

    /// How many accounts are served at once: as many as the way bears and the operator allows.
    fn at_once(&self) -> usize {
        self.passes_max().min(self.window.size())
    }

    fn passes_max(&self) -> usize {
        self.fleet.borrow().settings.passes_max.max(1)
    }

    /// True when the next account may have its pass. An emergency waits for no room, and a renewal
    /// for none that an audit takes.
    fn has_room(&mut self, now: Timestamp) -> bool {
        let under_way = self.passes.len();
        self.has_places()
            || self.has_spare_places() && self.queue.has_planned(now)
            || under_way < self.emergencies_max() && self.queue.has_emergency(now)
    }

    /// True when an account without an emergency may have its pass: a pass holds what was read of
    /// all channels of its account in memory.
    fn has_places(&self) -> bool {
        self.passes.len() < self.at_once() && self.channels < CHANNELS_AT_ONCE
    }

    /// The same for an account whose own plan asks for its pass.
    fn has_spare_places(&self) -> bool {
        self.passes.len() < self.at_once() && self.channels < CHANNELS_AT_ONCE + CHANNELS_SPARED
    }

    /// How many accounts are served at once, so that an emergency is begun beside them.
    fn emergencies_max(&self) -> usize {
        self.passes_max() + SPARED
    }

    fn start_due(&mut self, cancelled: &CancellationToken) {
        let now = self.clock.now();
        while self.has_room(now) {
            let Some(account) = self.queue.take(now) else { break };
            let subject = self.fleet.borrow().subjects.get(&account).cloned();
            let (Some(slot), Some(subject)) = (self.slots.get_mut(&account), subject) else {
                continue;
            };
            slot.due = None;
            slot.running = true;
            slot.channels = subject.desired.specs.len();
            self.channels += slot.channels;
            slot.served = std::mem::take(&mut slot.waiting);
            let why = std::mem::replace(&mut slot.why, "timer".to_owned());
            slot.stop = cancelled.child_token();
            let (store, cancelled) = (self.store.clone(), slot.stop.clone());
            self.passes.spawn(async move {
                let report = pass(&subject, &store, &why, &cancelled).await;
                (account, report)
            });
        }
        self.window.has_passes(self.passes.len());
    }

    async fn ended(
        &mut self,
        ended: Result<(AccountName, Result<AccountReport, StoreError>), tokio::task::JoinError>,
    ) -> Result<(), PassDied> {
        let (account, result) = ended.map_err(PassDied)?;
        if let Some(slot) = self.slots.get_mut(&account) {
            self.channels -= std::mem::take(&mut slot.channels);
        }
        let now = self.clock.now();
        let wants_more = result.as_ref().is_ok_and(wants_more);
        let next = match result {
            Ok(report) => self.reported(report).await,
            Err(error) if self.given_up(&account, &error) => {
                debug!(%account, error = chain(&error), "nothing can be written of the account, so its pass was given up");
                after(now, STORE_RETRY)
            }
            Err(error) => {
                let chain = chain(&error);
                error!(%account, error = chain, "the store failed, so this pass was given up");
                self.publish(|overview| {
                    overview.store_failed = Some(format!("nothing is done: {chain}"))
                });
                after(now, STORE_RETRY)
            }
        };
        if !self.fleet.borrow().subjects.contains_key(&account) {
            if let Some(slot) = self.slots.remove(&account) {
                self.left(&account, &slot);
            }
            self.retire_ledgers().await;
            return Ok(());
        }
        self.store.rest(&account);
        let Some(slot) = self.slots.get_mut(&account) else { return Ok(()) };
        slot.running = false;
        slot.serve(wants_more);
        let again = slot.again.take();
        let is_wanted = self.is_holding || again.is_some() || !slot.waiting.is_empty();
        let due = if again.is_some() { now } else { next };
        slot.why = again.unwrap_or_else(|| "timer".to_owned());
        slot.due = Some(due).filter(|_| is_wanted);
        slot.planned_at = Some(next);
        if is_wanted {
            self.queue.put(&account, slot.wait(due));
        }
        Ok(())
    }

    async fn reported(&mut self, report: AccountReport) -> Timestamp {
        let mut report = report;
        let (account, next_wake) = (report.account.clone(), self.next_look(&report));
        let mut tally = self.overview.borrow().tallies.get(&account).cloned().unwrap_or_default();
        tally.add(&report);
        if let Some(slot) = self.slots.get_mut(&account) {
            slot.emergency_at =
                report.channels.values().filter_map(|channel| channel.emergency_at).min();
        }
        self.listeners.retain(|listener| listener.strong_count() > 0);
        // Whoever listens is told what the pass did. Nobody else is, and of many channels it is a
        // lot.
        if self.listeners.is_empty() && self.observer.is_none() {
            report.outcomes = Vec::new();
        }
        self.warn_of_held_removals(&report);
        self.warn_of_vanished(&report);
        let report = Arc::new(report);
        self.listeners.iter().filter_map(Weak::upgrade).for_each(|heard| heard.hear(&report));
        let shown = report.clone();
        let store_failed = self.store_trouble();
        self.publish(|overview| {
            overview.store_failed = store_failed;
            if let Some(cluster) = overview.cluster.as_mut().filter(|_| shown.emergency_alone) {
                cluster.emergency.get_or_insert(shown.at);
            }
            if let Some(entry) = overview.accounts.get_mut(&account) {
                overview.tallies.insert(account, tally);
                *entry = Some(shown);
            }
        });
        if let Some(observer) = &self.observer
            && observer.send(report).await.is_err()
        {
            self.observer = None;
        }
        next_wake
    }

    /// Once, when all running channels are found gone and nothing is written for it.
    fn warn_of_vanished(&self, report: &AccountReport) {
        let overview = self.overview.borrow().clone();
        let before = overview.accounts.get(&report.account).and_then(Option::as_ref);
        let is_known = before.is_some_and(|before| before.after.vanished().is_some());
        if let Some(held) = report.after.vanished().filter(|_| !is_known) {
            let why = held.cause.detail();
            warn!(account = %report.account, why, "all running channels are gone at once, so nothing is written");
        }
    }

    /// Once, when they begin to be held, and again when they are others.
    fn warn_of_held_removals(&self, report: &AccountReport) {
        let overview = self.overview.borrow().clone();
        let before = overview.accounts.get(&report.account).and_then(Option::as_ref);
        let held = held_removals(report);
        if let Some((removals, channels)) = held
            && before.and_then(|before| held_removals(before)) != held
        {
            warn!(
                account = %report.account,
                removals,
                channels,
                "too many channels would be disabled at once, so none is: `channelkeeper apply --allow-removals` does it"
            );
        }
    }

    async fn told(&mut self, message: Message) {
        match message {
            Message::Wake { account, why, done } => {
                let waiter = |(tell, until)| Waiter { tell: Mutex::new(Some(tell)), until };
                let waiter = done.map(waiter).map(Arc::new);
                let all = account.is_none();
                let names: Vec<AccountName> = self.slots.keys().cloned().collect();
                for name in names.iter().filter(|name| all || account.as_ref() == Some(name)) {
                    self.wake(name, &why, waiter.as_ref());
                }
            }
            Message::Listen(listener) => self.listeners.push(listener),
            Message::Audit => self.audit(),
            Message::Replace { fleet, config, done } => {
                let (fleet, former) = (self.held_of(fleet), self.fleet.borrow().clone());
                sharing::reseal(&self.store, &former, &fleet).await;
                self.fleet.send_replace(fleet);
                self.publish(|overview| overview.config = config);
                self.hold_fleet("reload");
                if self.is_holding {
                    self.retire_ledgers().await;
                }
                // Whoever asked may have gone.
                let _heard = done.send(());
            }
            Message::Gained(accounts) => self.gain(accounts),
            Message::LetGo(going) => self.let_go(going),
            Message::SentLate(accounts) => self.sent_late(&accounts),
            Message::Cluster(state) => self.clustered(state),
            Message::Others(others) => self.publish(|overview| overview.others = others),
            Message::Credentials { former, subject } => self.take_over(&former, subject).await,
            Message::ConfigRefused(problems) => {
                self.publish(|overview| overview.config.problems = problems);
            }
            Message::StatusFile(failed) => {
                self.publish(|overview| overview.status_file_failed = failed)
            }
            Message::Hooks(failed) => self.publish(|overview| overview.hooks_failed = failed),
            Message::Recoveries(account, standing) => self.publish(|overview| {
                overview.recoveries.insert(account, standing);
            }),
        }
    }

    async fn take_over(&mut self, former: &Arc<Subject>, subject: Arc<Subject>) {
        let fleet = self.fleet.borrow().clone();
        let name = former.name().clone();
        if fleet.subjects.get(&name).is_some_and(|held| Arc::ptr_eq(held, former)) {
            let held = Arc::new(fleet.with(subject));
            sharing::reseal(&self.store, &fleet, &held).await;
            self.fleet.send_replace(held);
            self.wake(&name, "other credentials", None);
        }
    }

    /// An account whose credits are low is not looked at before its plan asks for it.
    fn audit(&mut self) {
        let (now, overview) = (self.clock.now(), self.overview.borrow().clone());
        let is_tight = |name: &AccountName| {
            let report = overview.accounts.get(name).and_then(Option::as_ref);
            report.and_then(|report| report.credits).is_some_and(|credits| credits.are_tight(now))
        };
        let names: Vec<AccountName> = self.slots.keys().cloned().collect();
        for name in names {
            if is_tight(&name) {
                debug!(account = %name, "an audit is left out, because credits are low");
            } else {
                self.wake(&name, "audit", None);
            }
        }
    }

    fn wake(&mut self, account: &AccountName, why: &str, waiter: Option<&Arc<Waiter>>) {
        let now = self.clock.now();
        let Some(slot) = self.slots.get_mut(account) else { return };
        slot.waiting.extend(waiter.cloned());
        if slot.running {
            slot.again = Some(why.to_owned());
            return;
        }
        if slot.due.is_none_or(|due| due > now) {
            slot.due = Some(now);
            slot.why = why.to_owned();
            self.queue.put(account, slot.wait(now));
        }
    }

    /// Slots for exactly the accounts of the fleet; all of them are looked at.
    fn hold_fleet(&mut self, why: &str) {
        let fleet = self.fleet.borrow().clone();
        self.slots.retain(|name, slot| slot.running || fleet.subjects.contains_key(name));
        self.queue.retain(|name| fleet.subjects.contains_key(name));
        let (counts, emergencies) = self.remembered();
        for name in fleet.subjects.keys() {
            let emergency_at = emergencies.get(name).copied();
            self.slots
                .entry(name.clone())
                .or_insert_with(|| Slot { emergency_at, ..Slot::default() });
            if self.is_holding {
                self.wake(name, why, None);
            }
        }
        let orphans = counts.into_iter().filter(|(name, _)| !fleet.declares(name)).collect();
        self.publish(|overview| {
            overview.accounts.retain(|name, _| fleet.subjects.contains_key(name));
            overview.tallies.retain(|name, _| fleet.subjects.contains_key(name));
            for name in fleet.subjects.keys() {
                overview.accounts.entry(name.clone()).or_default();
            }
            sharing::show_elsewhere(overview, &fleet);
            overview.orphans = orphans;
            overview.audit = fleet.settings.audit.clone();
        });
    }

    /// The ledgers of accounts that are declared no longer come to their end. A pass under way
    /// holds its account's ledgers and writes them back: they wait for it.
    async fn retire_ledgers(&mut self) {
        let fleet = self.fleet.borrow().clone();
        let is_held = |name: &AccountName| fleet.declares(name) || self.slots.contains_key(name);
        let retiring = async {
            for name in self.store.ledger_accounts()?.iter().filter(|name| !is_held(name)) {
                cover::retire(&self.store, name, self.clock.now()).await?;
            }
            Ok::<(), StoreError>(())
        };
        if let Err(error) = retiring.await {
            warn!(
                error = chain(&error),
                "the ledgers of accounts that are no longer declared could not be closed"
            );
        }
    }

    /// How many channels of each account are remembered, and when the first emergency of those
    /// begins, by Zoho's clock, which is near enough to say which account goes first.
    fn remembered(&self) -> (BTreeMap<AccountName, usize>, BTreeMap<AccountName, Timestamp>) {
        let (mut counts, mut emergencies) = (BTreeMap::<_, usize>::new(), BTreeMap::new());
        let read = self.store.visit_grants(|account, grant| {
            if let Some(begins) = first_emergency(grant) {
                let first = emergencies.entry(account.clone()).or_insert(begins);
                *first = begins.min(*first);
            }
            *counts.entry(account.clone()).or_default() += 1;
        });
        if let Err(error) = read {
            warn!(error = chain(&error), "the store could not be counted");
        }
        (counts, emergencies)
    }

    /// The trouble of a store that goes on in memory; a log line says so when it begins.
    fn store_trouble(&self) -> Option<String> {
        let why = self.store.trouble()?;
        if self.overview.borrow().store_failed.is_none() {
            error!(error = why, "the store cannot be written, so channels are held from memory");
        }
        Some(format!(
            "channels are held from memory, and what is learned since is lost with a restart; make room or mend the disk \
             of the state directory, it is tried again every {} minutes: {why}",
            MEND_EVERY.as_secs() / 60
        ))
    }

    /// A store that went on in memory is brought back to its disk as soon as that can be written
    /// again.
    async fn mend_store(&mut self) {
        if self.store.trouble().is_none() {
            return;
        }
        self.last_mend = self.clock.elapsed();
        match self.store.mend(self.clock.now()).await {
            Ok(()) => {
                info!("the store is written to its disk again");
                self.publish(|overview| overview.store_failed = None);
            }
            Err(error) => debug!(error = chain(&error), "the store still cannot be written"),
        }
    }

    /// Writes the pending states of the store to its disk.
    async fn write_held(&mut self) {
        self.last_written = self.clock.elapsed();
        if let Err(error) = self.store.write_held().await {
            warn!(error = chain(&error), "the times of the last looks could not be stored");
        }
    }

    /// Wall time and monotonic time since the last turn should agree. Where they do not, the clock
    /// was stepped, or the machine slept.
    fn notice_jumps(&mut self) {
        let (wall, elapsed) = (self.clock.now(), self.clock.elapsed());
        let (wall_before, elapsed_before) = std::mem::replace(&mut self.last_look, (wall, elapsed));
        let by_wall = wall.as_millisecond() - wall_before.as_millisecond();
        let by_elapsed =
            i64::try_from((elapsed.saturating_sub(elapsed_before)).as_millis()).unwrap_or(i64::MAX);
        let jump = by_wall.saturating_sub(by_elapsed);
        if jump.unsigned_abs() < JUMP_MIN_MS {
            return;
        }
        warn!(milliseconds = jump, "the wall clock jumped, so every account is looked at");
        self.publish(|overview| overview.clock_jump = Some((wall, jump)));
        if !self.is_holding {
            return;
        }
        let names: Vec<AccountName> = self.slots.keys().cloned().collect();
        for name in names {
            self.wake(&name, "clock jump", None);
        }
    }

    /// Health says that the log is lost, since the log cannot.
    fn notice_lost_lines(&self) {
        let (now, LostLines { lines, is_broken }) = (self.clock.now(), telemetry::lost());
        let known = self.overview.borrow().log_lost;
        let is_new = match known {
            None => lines > 0,
            Some(known) => {
                (known.lines, known.is_broken) != (lines, is_broken)
                    && span(known.at, now) >= LOSSES_TOLD_EVERY
            }
        };
        if is_new {
            self.publish(|overview| {
                overview.log_lost = Some(LogLost { at: now, lines, is_broken })
            });
        }
    }

    fn publish(&self, change: impl FnOnce(&mut Overview)) {
        self.overview.send_modify(|overview| change(Arc::make_mut(overview)));
    }
}

/// When the first emergency of these grants begins.
fn first_emergency(grants: impl IntoIterator<Item = Grant>) -> Option<Timestamp> {
    let begins =
        |Grant { at, asked: _, expiry }| Life { length: span(at, expiry), expiry }.emergency_at();
    grants.into_iter().map(begins).min()
}

/// The number of removals that the guard holds, and of how many channels.
fn held_removals(report: &AccountReport) -> Option<(usize, usize)> {
    report.after.held.iter().find_map(|held| {
        let Cause::RemovalGuard { removals, channels, .. } = held.cause else { return None };
        Some((removals, channels))
    })
}

/// Returns whether a pass brought up new work, which it wants done at once.
fn wants_more(report: &AccountReport) -> bool {
    report.next_wake <= after(report.at, SOON) && !report.after.steps.is_empty()
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Messages that may wait; more of them make their sender wait.
const INBOX_MAX: usize = 64;
/// A pass that wants another one this soon has brought up new work.
const SOON: Duration = Duration::from_secs(2);
/// Further passes that whoever waits until an account is settled waits for.
const ROUNDS_MAX: u8 = 3;
/// Channels of passes under way, beyond which none is begun but for an emergency: each of them
/// takes some kB until its pass has ended.
const CHANNELS_AT_ONCE: usize = 10_000;
/// Passes that a plan asks for may be about so many more.
const CHANNELS_SPARED: usize = CHANNELS_AT_ONCE / 5;
/// Passes beyond the operator's limit that only an account with an emergency gets.
const SPARED: usize = 8;
const STORE_RETRY: Duration = Duration::from_secs(30);
/// Between two attempts to bring the store back to its disk: each opens the database anew.
const MEND_EVERY: Duration = Duration::from_secs(5 * 60);
/// A storm of lost lines is one piece of news a minute.
const LOSSES_TOLD_EVERY: Duration = Duration::from_secs(60);
/// Less than this is how clocks and timers are.
const JUMP_MIN_MS: u64 = 5_000;
