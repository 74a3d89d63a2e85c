//! The order of starting and of stopping.
//!
//! Starting: the config is read; the store is opened; a good config becomes the desired state and is kept in the store,
//! a broken one is told and the last good state is taken from the store; listeners are opened; the scheduler begins with
//! every account due. READY goes to systemd when every account has been looked at once, whether or not Zoho could be
//! reached: a daemon that waits for Zoho to come back is doing its work.
//!
//! A reload (HUP) reads the config afresh and either swaps all of it or none of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{self, Loaded, Problem, Surroundings};
use crate::expose::http::{self, Shown};
use crate::expose::memory::{AccountMemory, ChannelMemory, Memory, TokenFacts};
use crate::expose::overview::{ConfigState, Measured, Overview};
use crate::model::channel::{AccountName, ChannelId};
use crate::model::desired::{Desired, Settings};
use crate::reconcile::pass::Subject;
use crate::reconcile::report::AccountReport;
use crate::store::{Migrated, OpenError, Opened, SCHEMA, Store, StoreError};
use crate::zoho::timed::Timed;
use crate::zoho::transport::{Http, SetupError, Transport};

use super::alerts::{self, Alarm};
use super::canaries::{self, Canaries};
use super::control::{self, Desk};
use super::cron::{Audits, CronError};
use super::fleet::{Fleet, Means};
use super::notify;
use super::scheduler::{Links, Message, PassDied, Scheduler, Setup, chain};
use super::signals::{Asked, Incoming};
use super::status_file;

/// What a daemon is started with.
pub struct Options {
    /// The config file.
    pub config: PathBuf,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Listen here, whatever the config says.
    pub listen: Option<SocketAddr>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where environment variables and credentials come from.
    pub surroundings: Surroundings,
    /// Who carries requests; `None` for the network.
    pub transport: Option<Arc<dyn Transport>>,
    /// Whether this process's signals are the daemon's, and systemd is to be told.
    pub owns_process: bool,
    /// Told each report, for a narrator.
    pub observer: Option<mpsc::Sender<Arc<AccountReport>>>,
}

/// Why a daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The config is broken and there is no earlier state to go on with.
    #[error("the config cannot be used, and the store holds no earlier state to go on with")]
    Config(Vec<Problem>),
    /// There is no store.
    #[error("no store")]
    Open(#[from] OpenError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// There is no HTTP client.
    #[error("no HTTP client")]
    Transport(#[from] SetupError),
    /// The audit cannot be scheduled.
    #[error("no audit")]
    Cron(#[from] CronError),
    /// An address or the control socket cannot be listened on.
    #[error("{what} cannot be listened on")]
    Listen {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// Signals cannot be handled.
    #[error("signals cannot be handled")]
    Signals(#[source] std::io::Error),
    /// A pass died.
    #[error("the daemon cannot go on")]
    Died(#[from] PassDied),
    /// A listener or another task ended by itself.
    #[error("{0} ended by itself")]
    Ended(&'static str),
}

/// A daemon that has been started.
pub struct Daemon {
    links: Links,
    tasks: JoinSet<(&'static str, Result<(), RunError>)>,
    audits: Audits,
    reloader: Reloader,
    cancelled: CancellationToken,
    listening: Option<SocketAddr>,
    ask_reload: mpsc::Sender<ReloadRequest>,
    reloads: mpsc::Receiver<ReloadRequest>,
    incoming: Option<Incoming>,
    owns_process: bool,
}

/// Puts a config that was read again in force.
struct Reloader {
    reader: Arc<Reader>,
    links: Links,
    settings: Settings,
}

/// Reads the config file.
pub struct Reader {
    config: PathBuf,
    surroundings: Surroundings,
    means: Means,
}

/// A config that was read and is not in force yet.
pub struct Fresh {
    /// What it asks for.
    pub desired: Desired,
    /// The accounts, those that did not change as they are.
    pub fleet: Fleet,
    /// What is said of the file.
    pub config: ConfigState,
}

/// Asks the daemon to read its config again; answered with what is wrong with it.
pub type ReloadRequest = oneshot::Sender<Result<(), Vec<String>>>;

/// Starts a daemon.
///
/// # Errors
/// See [`RunError`]. A broken config is one only when there is no earlier state to go on with.
pub async fn start(options: Options) -> Result<Daemon, RunError> {
    let Options { config, state_dir, listen, clock, surroundings, transport, owns_process, observer } = options;
    // Before anything else: a signal that comes during the start waits for it to end, and kills nothing.
    let incoming = owns_process.then(Incoming::listen).transpose().map_err(RunError::Signals)?;
    let loaded = config::load(&config, &surroundings);
    let Opened { store, moved_aside, migrated } = Store::open(&state_dir, clock.now())?;
    let store = store.going_on();
    if let Some(Migrated { from, kept }) = &migrated {
        info!(from, to = SCHEMA, kept = %kept.display(), "the database of an earlier release was brought to this one's layout");
    }
    if let Some((aside, why)) = &moved_aside {
        error!(moved_to = %aside.display(), why, "the database could not be used and a new one was begun");
    }
    let wanted = wanted(loaded, &config, &store, &surroundings, clock.now())?;
    let settings = wanted.desired.settings.clone();
    let (transport, messenger, poster) = match transport {
        Some(transport) => (transport.clone(), transport.clone(), transport),
        None => (network(&settings)?, messenger(&settings)?, poster(&settings)?),
    };
    let timed = Arc::new(Timed::new(transport, clock.clone()));
    let means = Means { store: store.clone(), transport: timed.clone(), clock: clock.clone() };
    let fleet = Arc::new(Fleet::new(wanted.desired, wanted.unusable, &means, None)?);
    let store_moved_aside = moved_aside.map(|(aside, why)| format!("{}: {why}", aside.display()));
    let overview = Overview { store_moved_aside, ..Overview::starting(clock.now(), wanted.config) };
    let setup = Setup { fleet, store: store.clone(), clock: clock.clone(), overview, observer };
    let (scheduler, links) = Scheduler::new(setup);
    let cancelled = CancellationToken::new();
    let closing = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let alarm = Alarm::new(&links, clock.clone(), messenger, store.clone());
    let outbox = alarm.outbox();
    let stop = closing.clone();
    tasks.spawn(async move {
        alarm.run(stop).await;
        ("alerts", Ok(()))
    });
    let (canaries, stop) = (Canaries::new(&links, clock.clone(), poster, store.clone()), closing.clone());
    tasks.spawn(async move {
        canaries.run(stop).await;
        ("canaries", Ok(()))
    });
    let listening = match listen.or(settings.listen) {
        Some(address) => {
            let measured = move || Measured {
                latencies: timed.latencies(),
                messages: outbox.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            };
            let shown = shown(&links, &store, &clock, settings.request_timeout, Arc::new(measured));
            Some(serve_http(address, shown, &closing, &mut tasks).await?)
        }
        None => None,
    };
    let unheard = |source| RunError::Listen { what: "the control socket".to_owned(), source };
    let socket = control::bind(&state_dir).map_err(unheard)?;
    let reader = Arc::new(Reader { config, surroundings, means });
    let (ask_reload, reloads) = mpsc::channel(1);
    let (stop, of_file) = (closing.clone(), (links.clone(), clock.clone()));
    tasks.spawn(async move {
        status_file::keep(of_file.0, of_file.1, stop).await;
        ("status file", Ok(()))
    });
    let desk = Desk { links: links.clone(), store, clock, reader: reader.clone(), reloads: ask_reload.clone() };
    let stop = closing.clone();
    tasks.spawn(async move { ("control socket", control::serve(socket, desk, stop).await.map_err(unheard)) });
    let stop = cancelled.clone();
    tasks.spawn(async move {
        let ended = scheduler.run(stop).await;
        closing.cancel();
        ("scheduler", ended.map_err(RunError::from))
    });
    let audits = Audits::start(&settings.audit, links.wakes.clone()).await?;
    let reloader = Reloader { reader, links: links.clone(), settings };
    Ok(Daemon { links, tasks, audits, reloader, cancelled, listening, ask_reload, reloads, incoming, owns_process })
}

impl Daemon {
    /// What others may hold of it.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Where the health endpoints listen.
    pub fn listening(&self) -> Option<SocketAddr> {
        self.listening
    }

    /// Stops it when this is cancelled.
    pub fn stopper(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    /// Asks it to read its config again, as HUP does.
    pub fn reloads(&self) -> mpsc::Sender<ReloadRequest> {
        self.ask_reload.clone()
    }

    /// Reads the config again.
    async fn reload(&mut self) -> Result<(), Vec<String>> {
        let audit = self.reloader.settings.audit.clone();
        let reloaded = self.reloader.reload().await;
        if self.reloader.settings.audit != audit {
            self.restart_audits().await;
        }
        reloaded
    }

    /// Runs until it is stopped.
    ///
    /// # Errors
    /// When a part of it ended by itself.
    pub async fn run(mut self) -> Result<(), RunError> {
        let mut incoming = self.incoming.take();
        let mut first_passes = Some(self.links.overview.clone());
        let result = loop {
            tokio::select! {
                // Being stopped goes first: what ends because of it did not end by itself.
                biased;
                () = self.cancelled.cancelled() => break Ok(()),
                Some(ended) = self.tasks.join_next() => break Err(ended_early(ended)),
                Some(answer) = self.reloads.recv() => {
                    let reloaded = self.reload_for_systemd().await;
                    // Whoever asked may have gone.
                    let _heard = answer.send(reloaded);
                }
                asked = next_signal(incoming.as_mut()) => match asked {
                    Some(Asked::Reload) => {
                        // What is wrong with the config is logged, and shown by health and status.
                        let _told = self.reload_for_systemd().await;
                    }
                    Some(Asked::Stop) => {
                        info!("stopping; a second signal does not wait");
                        self.cancelled.cancel();
                    }
                    Some(Asked::Abort) | None => return Err(RunError::Ended("the wait for passes under way")),
                },
                () = all_looked_at(first_passes.as_mut()) => {
                    first_passes = None;
                    self.tell_ready();
                }
            }
        };
        self.stop(incoming, result).await
    }

    /// Lets passes under way come to an end; a second signal does not.
    async fn stop(self, mut incoming: Option<Incoming>, result: Result<(), RunError>) -> Result<(), RunError> {
        if self.owns_process {
            notify::stopping();
        }
        self.cancelled.cancel();
        self.audits.stop().await;
        let mut tasks = self.tasks;
        let mut result = result;
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => return result,
                    Some(Ok((_, ended))) => result = result.and(ended),
                    Some(Err(error)) => result = result.and(Err(RunError::Died(PassDied(error)))),
                },
                asked = next_signal(incoming.as_mut()) => if asked != Some(Asked::Reload) {
                    return Err(RunError::Ended("the wait for passes under way"));
                },
            }
        }
    }

    fn tell_ready(&self) {
        info!(accounts = self.links.overview.borrow().accounts.len(), "every account has been looked at");
        if self.owns_process {
            notify::ready();
            notify::status(&status_line(&self.links.overview.borrow()));
        }
    }

    async fn reload_for_systemd(&mut self) -> Result<(), Vec<String>> {
        if self.owns_process {
            notify::reloading();
        }
        let reloaded = self.reload().await;
        if self.owns_process {
            notify::ready();
            notify::status(&status_line(&self.links.overview.borrow()));
        }
        reloaded
    }

    async fn restart_audits(&mut self) {
        match Audits::start(&self.reloader.settings.audit, self.links.wakes.clone()).await {
            Ok(audits) => std::mem::replace(&mut self.audits, audits).stop().await,
            Err(error) => error!(error = chain(&error), "the audit goes on at its old times"),
        }
    }
}

impl Reloader {
    /// Reads the config again and swaps all of it, or, with the problems as the answer, none of it.
    async fn reload(&mut self) -> Result<(), Vec<String>> {
        let former = self.links.fleet.borrow().clone();
        let read = self.reader.read(&former).and_then(|fresh| {
            let kept = self.reader.means.store.keep_desired(&fresh.desired);
            kept.map(|_| fresh).map_err(|error| vec![format!("the store failed: {}", chain(&error))])
        });
        match read {
            Ok(Fresh { desired, fleet, config }) => {
                warn_of_restarts(&self.settings, &desired.settings);
                self.settings = desired.settings;
                info!(channels = channels(&fleet), "the config was read again and is in force");
                self.send(Message::Replace { fleet: Arc::new(fleet), config }).await;
                Ok(())
            }
            Err(problems) => {
                error!(problems = problems.len(), "the config is not used; the last good one stays in force");
                self.send(Message::ConfigRefused(problems.clone())).await;
                Err(problems)
            }
        }
    }

    async fn send(&self, message: Message) {
        if self.links.wakes.0.send(message).await.is_err() {
            warn!("a reload came while the daemon was stopping");
        }
    }
}

impl Reader {
    /// The config as it stands in the file now; nothing is put in force.
    ///
    /// # Errors
    /// What is wrong with it, one line each.
    pub fn read(&self, former: &Fleet) -> Result<Fresh, Vec<String>> {
        let loaded = config::load(&self.config, &self.surroundings);
        log_loaded(&loaded);
        let config = config_state(&self.config, &loaded, self.means.clock.now());
        let Some(desired) = loaded.desired else { return Err(config.problems) };
        let fleet = Fleet::new(desired.clone(), BTreeMap::new(), &self.means, Some(former));
        let fleet = fleet.map_err(|error| vec![format!("the store failed: {}", chain(&error))])?;
        Ok(Fresh { desired, fleet, config })
    }
}

/// What is wanted, and what is said of the config.
struct Wanted {
    desired: Desired,
    unusable: BTreeMap<AccountName, String>,
    config: ConfigState,
}

/// The desired state from a good config, kept in the store; else the last good one from there.
fn wanted(
    loaded: Loaded,
    file: &Path,
    store: &Store,
    surroundings: &Surroundings,
    now: crate::model::time::Timestamp,
) -> Result<Wanted, RunError> {
    log_loaded(&loaded);
    let mut config = config_state(file, &loaded, now);
    if let Some(desired) = loaded.desired {
        store.keep_desired(&desired)?;
        return Ok(Wanted { desired, unusable: BTreeMap::new(), config });
    }
    let fetch = |origin: &crate::model::secret::Origin| {
        config::secrets::fetch(origin, surroundings).map_err(|error| error.to_string())
    };
    let restored = store.restore_desired(&fetch)?.ok_or(RunError::Config(loaded.problems))?;
    (config.loaded_at, config.hash) = (None, None);
    for why in &restored.unalerted {
        error!(why, "nobody is told what goes wrong");
    }
    for (account, why) in &restored.unusable {
        error!(%account, why, "this account cannot go on");
    }
    error!("the config cannot be used; the last good state from the store is in force");
    Ok(Wanted { desired: restored.desired, unusable: restored.unusable, config })
}

fn config_state(file: &Path, loaded: &Loaded, now: crate::model::time::Timestamp) -> ConfigState {
    ConfigState {
        file: file.display().to_string(),
        loaded_at: Some(now),
        hash: Some(loaded.hash.clone()),
        problems: loaded.problems.iter().map(Problem::one_line).collect(),
        warnings: loaded.warnings.iter().map(Problem::one_line).collect(),
    }
}

fn log_loaded(loaded: &Loaded) {
    for problem in &loaded.problems {
        error!(problem = problem.one_line(), "a problem of the config");
    }
    for warning in &loaded.warnings {
        warn!(warning = warning.one_line(), "a warning of the config");
    }
}

/// The network, as the settings have it.
///
/// # Errors
/// When the CA file cannot be used.
pub fn network(settings: &Settings) -> Result<Arc<dyn Transport>, SetupError> {
    let http = Http::new(settings.connect_timeout, settings.request_timeout, settings.ca_file.as_deref())?;
    Ok(Arc::new(http))
}

/// The same for [`alerts`](super::alerts), with connections and limits of its own.
fn messenger(settings: &Settings) -> Result<Arc<dyn Transport>, SetupError> {
    let http = Http::new(alerts::CONNECT_TIMEOUT, alerts::REQUEST_TIMEOUT, settings.ca_file.as_deref())?;
    Ok(Arc::new(http))
}

/// The same for [`canaries`](super::canaries).
fn poster(settings: &Settings) -> Result<Arc<dyn Transport>, SetupError> {
    let http = Http::new(canaries::CONNECT_TIMEOUT, canaries::REQUEST_TIMEOUT, settings.ca_file.as_deref())?;
    Ok(Arc::new(http.reading_no_body()))
}

/// What the listener shows.
fn shown(
    links: &Links,
    store: &Store,
    clock: &Arc<dyn Clock>,
    request_timeout: Duration,
    measured: Arc<dyn Fn() -> Measured + Send + Sync>,
) -> Shown {
    let (pulse, of_pulse) = (links.pulse.clone(), clock.clone());
    let (fleet, of_accounts, of_channels) = (links.fleet.clone(), store.clone(), store.clone());
    let account = move |name: &AccountName| {
        let subject = fleet.borrow().subjects.get(name).cloned();
        subject.map(|subject| remembered_of(&subject, &of_accounts)).transpose().map_err(|error| chain(&error))
    };
    let channel = move |name: &AccountName, id: ChannelId| {
        let read = || {
            let (record, ledger) = (of_channels.record(name, id)?, of_channels.ledger(name, id)?);
            Ok(ChannelMemory { record, ledger, acks: of_channels.acks(name, id)? })
        };
        read().map_err(|error: StoreError| chain(&error))
    };
    Shown {
        overview: links.overview.clone(),
        loop_age: Arc::new(move || pulse.age(&*of_pulse)),
        measured,
        clock: clock.clone(),
        memory: Memory { account: Arc::new(account), channel: Arc::new(channel), request_timeout },
    }
}

fn remembered_of(subject: &Subject, store: &Store) -> Result<AccountMemory, StoreError> {
    let account = &subject.desired.account;
    let token = store.token(&account.name)?.map(|token| TokenFacts {
        until: token.access.map(|(_, until)| until),
        denied: token.denied.map(|denied| (denied.what, denied.until)),
    });
    Ok(AccountMemory {
        policy: account.policy.clone(),
        state: store.account_state(&account.name)?,
        api: account.api(),
        token: token.unwrap_or_default(),
    })
}

async fn serve_http(
    address: SocketAddr,
    shown: Shown,
    closing: &CancellationToken,
    tasks: &mut JoinSet<(&'static str, Result<(), RunError>)>,
) -> Result<SocketAddr, RunError> {
    let unheard = move |source| RunError::Listen { what: format!("http://{address}"), source };
    let listener = TcpListener::bind(address).await.map_err(unheard)?;
    let listening = listener.local_addr().map_err(unheard)?;
    let (router, stop) = (http::router(shown), closing.clone());
    tasks.spawn(async move { ("HTTP listener", http::serve(listener, router, stop).await.map_err(unheard)) });
    info!(address = %listening, "health endpoints are open");
    Ok(listening)
}

/// Settings that only a restart changes.
fn warn_of_restarts(old: &Settings, new: &Settings) {
    let changed = [
        ("http.listen", old.listen != new.listen),
        ("client.request_timeout", old.request_timeout != new.request_timeout),
        ("client.connect_timeout", old.connect_timeout != new.connect_timeout),
        ("client.ca_file", old.ca_file != new.ca_file),
    ];
    for (key, _) in changed.into_iter().filter(|(_, changed)| *changed) {
        warn!(key, "this key takes effect with the next restart");
    }
}

async fn next_signal(incoming: Option<&mut Incoming>) -> Option<Asked> {
    match incoming {
        Some(incoming) => incoming.next().await,
        None => std::future::pending().await,
    }
}

/// Returns once every account has had a pass; never again without an overview to watch.
async fn all_looked_at(overview: Option<&mut tokio::sync::watch::Receiver<Arc<Overview>>>) {
    let Some(overview) = overview else { return std::future::pending().await };
    let done = |overview: &Arc<Overview>| overview.accounts.values().all(Option::is_some);
    let gone = overview.wait_for(done).await.is_err();
    if gone {
        std::future::pending().await
    }
}

fn ended_early(ended: Result<(&'static str, Result<(), RunError>), tokio::task::JoinError>) -> RunError {
    match ended {
        Ok((_, Err(error))) => error,
        Ok((what, Ok(()))) => RunError::Ended(what),
        Err(error) => RunError::Died(PassDied(error)),
    }
}

fn status_line(overview: &Overview) -> String {
    let reports = overview.accounts.values().flatten();
    let channels: usize = reports.clone().map(|report| report.channels.len()).sum();
    let ends = reports.map(|report| report.guaranteed_until).collect::<Option<Vec<_>>>();
    match ends.and_then(|ends| ends.into_iter().min()) {
        Some(until) => format!("{channels} channels, covered until {until} even if nothing succeeds any more"),
        None => format!("{channels} channels, not all of them covered: see `channelkeeper status`"),
    }
}

fn channels(fleet: &Fleet) -> usize {
    fleet.subjects.values().map(|subject| subject.desired.specs.len()).sum()
}
