//! The world of a rehearsal: the daemon's own assembly, from the scheduler to the audit and the
//! alarm, against the simulator's state, in a runtime whose time is paused. It goes on when
//! everybody waits, so days take seconds.
//!
//! The daemon has run for a while when the first day begins, for how long says the seed: what is
//! enabled by then is nothing to look at, and where in their lives trouble meets the channels is
//! different for each seed.
//!
//! Nothing leaves the process, and no secret of the config is used: each account has an org of its
//! own in the simulator, with its credentials.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::backfill::recovery::Frozen;
use crate::backfill::{Recovery, State};
use crate::carrier::{Carrier, Halt, Road};
use crate::cli::narrate::stamp;
use crate::cli::records::{Bustle, MissedCounts, PlayedReceiver, counted as missed_by_channel};
use crate::clock::{Clock, VirtualClock};
use crate::coverage::ack::Acks;
use crate::coverage::render::{GapView, views};
use crate::daemon::assembly::{Carriers, Parts, PartsGiven, assemble};
use crate::daemon::desk::Host;
use crate::daemon::fleet::Means;
use crate::daemon::recoveries::RecoveryView;
use crate::daemon::reload::Fresh;
use crate::daemon::scheduler::Links;
use crate::daemon::tasks::{Stop, Tasks};
use crate::expose::overview::ConfigState;
use crate::model::account::{Account, Credentials};
use crate::model::channel::{AccountName, Spec};
use crate::model::desired::{AccountDesired, Alerts, Desired};
use crate::model::exchange::{Request, Response};
use crate::model::hooks::Hooks;
use crate::model::policy::Mode;
use crate::model::product::Product;
use crate::model::secret::Secret;
use crate::model::time::{Timestamp, after, before, brief, span};
use crate::reconcile::report::AccountReport;
use crate::simulator::faults::Endpoint;
use crate::simulator::{Hand, Knobs, Missed, Org, Reply, Rule, Zoho};
use crate::store::Store;
use crate::zoho::transport::{Exchange, Transport};

use super::BEGINS;
use super::dice::Dice;
use super::log::{AccountTally, Line, Log, Voice};
use super::progress::RehearsalProgress;
use super::trouble::{Act, HOW, Trouble};

/// The script of a rehearsal.
pub(super) struct Script {
    pub(super) desired: Desired,
    pub(super) days: u32,
    pub(super) seed: u64,
    pub(super) trouble: Trouble,
    /// Records of each watched module that change in an hour.
    pub(super) changes: u64,
    pub(super) progress: RehearsalProgress,
}

/// The outcome of a rehearsal.
pub(super) struct Played {
    pub(super) lines: Vec<Line>,
    pub(super) accounts: BTreeMap<AccountName, AccountPlayed>,
}

/// The outcome of one account.
pub(super) struct AccountPlayed {
    pub(super) tally: AccountTally,
    /// The gaps.
    pub(super) gaps: Vec<GapView>,
    /// The events that were missed, as records changed.
    pub(super) missed: MissedCounts,
    /// Events that stay lost because their channels have no `[backfill]`.
    pub(super) unasked: u64,
    /// The cost of recovering the others.
    pub(super) took: Took,
    /// The recoveries, oldest first.
    pub(super) recoveries: Vec<RecoveryView>,
}

/// The cost of recovering missed events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Took {
    pub(super) deliveries: usize,
    /// Calls for records.
    pub(super) calls: u64,
    /// The API credits that these cost.
    pub(super) credits: u64,
}

/// Plays it, on this thread.
pub(super) fn play(script: Script) -> anyhow::Result<Played> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async move { Stage::new(script).await?.play().await })
}

/// Returns whether a channel is looked at and never written: nobody holds it.
pub(super) fn is_observed(account: &Account, spec: &Spec) -> bool {
    account.policy.mode.min(spec.mode) == Mode::Observe
}

struct Stage {
    desired: Desired,
    days: u32,
    acts: Vec<(Timestamp, Act)>,
    dice: Dice,
    clock: Arc<VirtualClock>,
    zoho: Arc<Mutex<Zoho>>,
    receiver: Arc<PlayedReceiver>,
    changes: u64,
    store: Store,
    log: Log,
    progress: RehearsalProgress,
}

impl Stage {
    async fn new(script: Script) -> anyhow::Result<Stage> {
        let Script { desired, days, seed, trouble, changes, progress } = script;
        let desired = without_secrets(desired);
        let mut dice = Dice::new(seed);
        let starts = before(BEGINS, Duration::from_secs(3600 + dice.below(LEAD_MAX.as_secs())));
        let acts = trouble.acts(BEGINS, &mut dice);
        let clock = Arc::new(VirtualClock::new(starts, 1));
        let zoho = Arc::new(Mutex::new(simulated(&desired, &acts)));
        let receiver = Arc::new(PlayedReceiver::new(clock.clone(), |_| {}));
        let log = Log::new(BEGINS);
        let store = Store::in_memory()?;
        store.keep_desired(&desired).await?;
        Ok(Stage {
            desired,
            days,
            acts,
            dice,
            clock,
            zoho,
            receiver,
            changes,
            store,
            log,
            progress,
        })
    }

    async fn play(mut self) -> anyhow::Result<Played> {
        let (observer, mut reports) = mpsc::channel(16);
        let parts = self.assembled(observer)?;
        let (links, means, stop) = (parts.links.clone(), parts.means.clone(), Stop::default());
        let mut tasks = Tasks::spawn(parts.tasks(&stop));
        let (log, progress) = (self.log.clone(), self.progress.clone());
        let listening = tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                progress.reached(report.at);
                log.report(&report);
            }
        });
        let changing = tokio::spawn(self.changing());
        for (at, act) in std::mem::take(&mut self.acts) {
            self.wait_until(at.min(self.ends())).await;
            if at < self.ends() {
                self.act(at, act, &links, &means).await?;
            }
        }
        self.wait_until(self.ends()).await;
        changing.abort();
        stop.asked.cancel();
        tasks.joined().await?;
        listening.await.context("nobody listened")?;
        self.played()
    }

    /// Records of every watched module change, from the first day on.
    fn changing(&self) -> impl Future<Output = ()> + Send + 'static {
        let (zoho, clock) = (self.zoho.clone(), self.clock.clone());
        let places = places(&self.desired);
        let mut bustle = Bustle::new(&mut lock(&zoho), places, self.changes, clock.now());
        async move {
            for tick in 1_u32.. {
                let at = after(BEGINS, Bustle::TICK * tick);
                clock.sleep(span(clock.now(), at)).await;
                bustle.change(&mut lock(&zoho), clock.now());
            }
        }
    }

    /// The daemon's own assembly, with requests into the simulator and messages into the log.
    fn assembled(&self, observer: mpsc::Sender<Arc<AccountReport>>) -> anyhow::Result<Parts> {
        let clock: Arc<dyn Clock> = self.clock.clone();
        let road = Travelled { dice: Mutex::new(self.dice.clone()), log: self.log.clone() };
        let timeout = self.desired.settings.request_timeout;
        let carrier = Carrier::new(self.zoho.clone(), clock.clone(), timeout, Arc::new(road));
        let mailbox = Arc::new(Mailbox { log: self.log.clone(), clock: clock.clone() });
        let zoho: Arc<dyn Transport> = Arc::new(carrier);
        let carriers = Carriers { zoho, messages: mailbox, canaries: self.receiver.clone() };
        let given = PartsGiven::new(self.desired.clone(), self.store.clone(), clock, carriers);
        Ok(assemble(PartsGiven { observer: Some(observer), ..given }, Host::Daemon)?)
    }

    fn ends(&self) -> Timestamp {
        after(BEGINS, DAY * self.days)
    }

    async fn wait_until(&self, at: Timestamp) {
        self.clock.sleep(span(self.clock.now(), at)).await;
    }

    async fn act(
        &mut self,
        at: Timestamp,
        act: Act,
        links: &Links,
        means: &Means,
    ) -> anyhow::Result<()> {
        match act {
            Act::Down { until, how } => {
                let looks =
                    HOW.iter().find(|(fault, _)| *fault == how).map_or("", |(_, looks)| looks);
                self.log.world(at, format!("Zoho is down for {}: {looks}", brief(span(at, until))));
            }
            Act::Back => self.log.world(at, "Zoho is back".to_owned()),
            Act::Revoke(account) => {
                self.chosen(account).iter().for_each(|account| self.revoke(account, at))
            }
            Act::Restore(account) => self.restore(&self.chosen(account), links, means, at).await?,
            Act::Edit(account) => self.edit(account, at),
        }
        Ok(())
    }

    fn chosen(&self, account: Option<AccountName>) -> Vec<AccountName> {
        account.map_or_else(
            || self.desired.accounts.keys().cloned().collect(),
            |account| vec![account],
        )
    }

    fn revoke(&self, account: &AccountName, at: Timestamp) {
        let Some(held) = self.desired.accounts.get(account) else { return };
        let name = account.as_str();
        let mut zoho = lock(&self.zoho);
        zoho.revoke(name, held.account.credentials.refresh_token.expose());
        let first = zoho.channels(name, at).iter().map(|channel| channel.expiry).min();
        let lost = match first {
            Some(first) => {
                format!("unless somebody acts, coverage is lost from {} on", stamp(BEGINS, first))
            }
            None => "nothing of it is live".to_owned(),
        };
        let remedy = format!("`channelkeeper login --account {name}` puts a new one in place");
        self.log.world(at, format!("the refresh token of {name} is revoked: {lost}; {remedy}"));
    }

    async fn restore(
        &mut self,
        accounts: &[AccountName],
        links: &Links,
        means: &Means,
        at: Timestamp,
    ) -> anyhow::Result<()> {
        for name in accounts {
            let Some(held) = self.desired.accounts.get_mut(name) else { continue };
            let token = format!("{}-next", held.account.credentials.refresh_token.expose());
            lock(&self.zoho).admit(name.as_str(), &token);
            held.account.credentials.refresh_token = Secret::new(token);
            self.log
                .world(at, format!("{name} has a new refresh token, and the config is read again"));
        }
        let former = links.fleet.borrow().clone();
        let fresh = Fresh::new(self.desired.clone(), ConfigState::default(), means, &former)?;
        fresh.put_in_force(&self.store, links).await?;
        Ok(())
    }

    fn edit(&mut self, account: Option<AccountName>, at: Timestamp) {
        let held =
            self.chosen(account).into_iter().filter_map(|name| self.desired.accounts.get(&name));
        let held: Vec<(String, Arc<Spec>)> = held
            .flat_map(|held| held.specs.values().map(move |spec| (&held.account, spec)))
            .filter(|(account, spec)| !is_observed(account, spec))
            .map(|(account, spec)| (account.name.to_string(), spec.clone()))
            .collect();
        let chosen = held.get(self.dice.below(held.len().max(1) as u64) as usize);
        let Some((org, spec, event)) = chosen
            .and_then(|(org, spec)| Some((org, spec, spec.events.to_wire().into_iter().next()?)))
        else {
            return self.log.world(
                at,
                "somebody looks for a channel to edit at Zoho, and finds none".to_owned(),
            );
        };
        let hand = Hand::RemoveEvent { channel: spec.id.number(), event: event.clone() };
        let done = lock(&self.zoho).hand(org, &hand, at);
        let what = if done.is_ok() { "takes" } else { "would take" };
        let why = done.err().map(|error| format!(" ({error})")).unwrap_or_default();
        self.log.world(at, format!("somebody {what} {event} from {} at Zoho{why}", spec.name));
    }

    fn played(self) -> anyhow::Result<Played> {
        let names: Vec<AccountName> = self.desired.accounts.keys().cloned().collect();
        let (mut lines, tallies) = self.log.take(&names);
        let mut accounts = BTreeMap::new();
        for (tally, (name, held)) in tallies.into_iter().zip(&self.desired.accounts) {
            let recoveries = self.store.recoveries(name)?;
            lines.extend(recoveries.iter().filter_map(|recovery| recovered(name, recovery)));
            let recoveries = recoveries.iter().filter(|recovery| recovery.to() >= BEGINS);
            let recoveries = recoveries.map(|recovery| RecoveryView::of(name, recovery)).collect();
            let gaps = self.gaps(name, held)?;
            let (missed, unasked, took) = self.missed(name, held);
            let played = AccountPlayed { tally, gaps, missed, unasked, took, recoveries };
            accounts.insert(name.clone(), played);
        }
        lines.sort_by_key(|line| line.at);
        Ok(Played { lines, accounts })
    }

    fn gaps(&self, name: &AccountName, held: &AccountDesired) -> anyhow::Result<Vec<GapView>> {
        let zoho_now = self.store.account_state(name)?.zoho_time(self.ends());
        let ledgers = self.store.ledgers(name)?;
        let is_held = |spec: &Arc<Spec>| !is_observed(&held.account, spec);
        let ledgers = ledgers.iter().filter(|(id, _)| held.specs.get(id).is_some_and(is_held));
        let gaps = ledgers.flat_map(|(_, ledger)| {
            views(name.as_str(), ledger, &Acks::default(), Some(BEGINS), zoho_now)
        });
        Ok(gaps.collect())
    }

    /// The events that the account missed by the simulator's truth, how many of them nobody asked
    /// to recover, and the cost of recovering the others.
    fn missed(&self, name: &AccountName, held: &AccountDesired) -> (MissedCounts, u64, Took) {
        let zoho = lock(&self.zoho);
        let is_meant = |line: &Missed| line.at >= BEGINS;
        let by_channel = missed_by_channel(
            (&zoho, name.as_str()),
            &self.receiver,
            is_meant,
            (self.ends(), RECOVERED_WITHIN),
        );
        let (mut missed, mut unasked) = (MissedCounts::default(), 0);
        for spec in held.specs.values() {
            let counts = by_channel.get(&spec.id.number()).copied().unwrap_or_default();
            unasked += if spec.backfill.is_none() { counts.lost } else { 0 };
            missed += counts;
        }
        let ids = held.specs.keys().map(|id| id.number());
        let counters = zoho.counters(name.as_str()).cloned().unwrap_or_default();
        let took = Took {
            deliveries: ids.map(|id| self.receiver.deliveries(id)).sum(),
            calls: counters.reads.values().sum(),
            credits: counters.read_credits,
        };
        (missed, unasked, took)
    }
}

/// The line about a recovery that is over and was about something.
fn recovered(account: &AccountName, recovery: &Recovery) -> Option<Line> {
    let (State::Done { at }, Some(frozen)) = (&recovery.state, recovery.frozen) else {
        return None;
    };
    let Frozen { inserts, updates, deletes, .. } = frozen;
    let text = format!(
        "has handed over what {} may have missed of {}: {inserts} created, {updates} edited, \
         {deletes} deleted",
        recovery.name, recovery.module
    );
    let is_told = *at >= BEGINS && frozen.records() > 0;
    let (at, from, account) = (*at, Voice::Channelkeeper, Some(account.to_string()));
    is_told.then_some(Line { at, from, account, text })
}

/// Every module that a channel watches, each with its org. Users are no records.
fn places(desired: &Desired) -> BTreeSet<(String, String)> {
    let of = |(name, held): (&AccountName, &AccountDesired)| {
        let specs = held.specs.values();
        let modules =
            specs.flat_map(|spec| spec.events.iter().map(|(module, _)| module.to_owned()));
        let records = modules.filter(|module| !module.eq_ignore_ascii_case("users"));
        records.map(|module| (name.to_string(), module)).collect::<Vec<_>>()
    };
    desired.accounts.iter().flat_map(of).collect()
}

/// The same declaration with credentials of the simulator's, every channel token another one, and
/// alarms that go nowhere. No file is written, no receiver asked and no hook run. Each account has
/// a host of its own, by which its calls are told apart. Alarms tell a trouble once, and do not
/// repeat it.
fn without_secrets(mut desired: Desired) -> Desired {
    desired.settings.alerts = Alerts {
        webhook: Some(Secret::new("https://webhook.invalid/")),
        repeat: Duration::MAX,
        heartbeat: None,
        ..desired.settings.alerts
    };
    (desired.settings.status_file, desired.settings.canary_every) = (None, None);
    desired.settings.hooks = Hooks::default();
    for (name, held) in &mut desired.accounts {
        let org = org(name, held.account.product);
        let Account { api_url, accounts_url, credentials, .. } = &mut held.account;
        *api_url = format!("{HOST}{name}");
        accounts_url.clone_from(api_url);
        let refresh_token = Secret::new(org.refresh_tokens.into_iter().next().unwrap_or_default());
        let client_secret = Secret::new(org.client_secret);
        *credentials = Credentials { client_id: org.client_id, client_secret, refresh_token };
        for spec in held.specs.values_mut() {
            let token = spec.token.as_ref().map(|_| Secret::new("rehearsal"));
            *spec = Arc::new(Spec { token, ..Spec::clone(spec) });
        }
    }
    desired
}

/// Names tell capitals and small letters apart; the client of a simulated org usually does not.
fn org(name: &AccountName, product: Product) -> Org {
    Org { client_id: format!("1000.{name}"), ..Org::of(product, name.as_str()).reading() }
}

/// A Zoho that has every module that is declared, and is down when the script says so.
fn simulated(desired: &Desired, acts: &[(Timestamp, Act)]) -> Zoho {
    let mut knobs = Knobs::default();
    let specs = desired.accounts.values().flat_map(|held| held.specs.values());
    knobs
        .modules
        .extend(specs.flat_map(|spec| spec.events.iter().map(|(module, _)| module.to_owned())));
    let mut zoho = Zoho::new(knobs);
    for (name, held) in &desired.accounts {
        zoho.add_org(org(name, held.account.product));
    }
    for (from, act) in acts {
        if let Act::Down { until, how } = act {
            for endpoint in [Endpoint::Token, Endpoint::Watch, Endpoint::Records] {
                let (from, until) = (Some(*from), Some(*until));
                zoho.add_fault(Rule {
                    path: Some(endpoint),
                    from,
                    until,
                    ..Rule::always(how.clone())
                });
            }
        }
    }
    zoho
}

/// Requests take a while, and each is counted.
struct Travelled {
    dice: Mutex<Dice>,
    log: Log,
}

impl Road for Travelled {
    fn travel(&self) -> Duration {
        TRAVEL_MIN + Duration::from_millis(lock(&self.dice).below(TRAVEL_JITTER_MS))
    }

    fn answered<'a>(&'a self, request: &'a Request, reply: &'a Reply, at: Timestamp) -> Halt<'a> {
        let account = request.base.strip_prefix(HOST).unwrap_or_default();
        let kind = match request.path.as_str() {
            path if path.starts_with("/oauth/") => "token",
            path if path.ends_with("/actions/watch") => request.method,
            _ => "read",
        };
        let is_good = matches!(reply, Reply::Response(response) if response.status < 300);
        self.log.call(account, kind, is_good, at);
        Box::pin(std::future::ready(()))
    }
}

/// Where alarms arrive.
struct Mailbox {
    log: Log,
    clock: Arc<dyn Clock>,
}

impl Transport for Mailbox {
    fn send(&self, request: Request) -> Exchange<'_> {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let text = body["text"].as_str().unwrap_or_default();
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        self.log.alarm(self.clock.now(), text);
        Box::pin(std::future::ready(Ok(Response::empty(200))))
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How much longer than an hour the daemon has run at most when the first day begins.
const LEAD_MAX: Duration = DAY;
/// The least time that a request travels, each way, and how much more it may be.
const TRAVEL_MIN: Duration = Duration::from_millis(20);
const TRAVEL_JITTER_MS: u64 = 280;
/// How long after an event is covered again what was missed of it is recovered, if it may be.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30 * 60);
const HOST: &str = "https://simulator.invalid/";
