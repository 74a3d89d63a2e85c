//! The order of starting and of stopping.
//!
//! Starting: the config is read; the store is opened; a good config becomes the desired state and
//! is kept in the store, a broken one is told and the last good state is taken from the store;
//! listeners are opened; the scheduler begins with every account due. READY goes to systemd when
//! every account has been looked at once, whether or not Zoho could be reached: a daemon that waits
//! for Zoho to come back is doing its work.
//!
//! A reload (HUP) reads the config afresh and either swaps all of it or none of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{self, Loaded, Problem, Surroundings};
use crate::expose::access::Door;
use crate::expose::health::health;
use crate::expose::http::{self, Shown};
use crate::expose::lookups::{AccountMemory, ChannelMemory, Lookups, TokenFacts};
use crate::expose::overview::{ConfigState, Measured, Overview};
use crate::model::channel::{AccountName, ChannelId};
use crate::model::desired::{self, Desired, Settings};
use crate::reconcile::report::AccountReport;
use crate::reconcile::subject::Subject;
use crate::store::{Migrated, OpenError, Opened, SCHEMA, Store, StoreError};
use crate::telemetry;
use crate::zoho::timed::Timed;
use crate::zoho::transport::{Http, SetupError, Transport};

use super::alerts::{self, Alarm};
use super::canaries::{self, Canaries};
use super::control;
use super::cron::{Audits, CronError};
use super::desk::{Desk, Host};
use super::emptied::{self, Emptied};
use super::fleet::{Fleet, Means};
use super::inherited;
use super::notify;
use super::reload::{Reader, Reloader, Reloading, config_state, log_loaded};
use super::scheduler::{Links, PassDied, Scheduler, Setup, chain};
use super::signals::{Asked, Incoming};
use super::status_file;
use super::watchdog::Watchdog;

/// The options that a daemon is started with.
pub struct Options {
    /// The config file.
    pub config: PathBuf,
    /// The config, when the caller has just read it; `None` to read it.
    pub loaded: Option<Loaded>,
    /// The state directory.
    pub state_dir: PathBuf,
    /// Listen here, whatever the config says.
    pub listen: Option<SocketAddr>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of environment variables and credentials.
    pub surroundings: Surroundings,
    /// Who carries requests; `None` for the network.
    pub transport: Option<Arc<dyn Transport>>,
    /// True when this process's signals are the daemon's, and systemd is to be told.
    pub owns_process: bool,
    /// Told each report, for a narrator.
    pub observer: Option<mpsc::Sender<Arc<AccountReport>>>,
}

/// The reason why a daemon did not start, or ended.
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
        /// The error of the system.
        source: std::io::Error,
    },
    /// `--listen` names an address that the config does not allow.
    #[error(
        "other hosts can reach {0}: listen on 127.0.0.1, or set public = true under [http] of the config"
    )]
    NotPublic(SocketAddr),
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
    ask_reload: mpsc::Sender<Reloading>,
    reloads: mpsc::Receiver<Reloading>,
    incoming: Option<Incoming>,
    owns_process: bool,
    /// True when every account has been looked at once.
    ready: bool,
    /// The last line that systemd was told.
    line: String,
}

/// Starts a daemon.
///
/// # Errors
/// See [`RunError`]. A broken config is one only when there is no earlier state to go on with.
pub async fn start(options: Options) -> Result<Daemon, RunError> {
    let Options {
        config,
        loaded,
        state_dir,
        listen,
        clock,
        surroundings,
        transport,
        owns_process,
        observer,
    } = options;
    // Before anything else: a signal that comes during the start waits for it to end, and kills
    // nothing.
    let incoming = owns_process.then(Incoming::listen).transpose().map_err(RunError::Signals)?;
    let unusable = |source| RunError::Listen {
        what: "the socket that systemd handed over".to_owned(),
        source,
    };
    let inherited = if owns_process { inherited::http().map_err(unusable)? } else { None };
    let loaded = loaded.unwrap_or_else(|| config::load(&config, &surroundings));
    let Opened { store, moved_aside, migrated, tightened } = Store::open(&state_dir, clock.now())?;
    if let Some(mode) = tightened {
        warn!(dir = %state_dir.display(), mode = format!("{mode:04o}"), "others could write into the state directory; only its owner can now");
    }
    let store = store.going_on().holding();
    if let Some(Migrated { from, kept }) = &migrated {
        info!(from, to = SCHEMA, kept = %kept.display(), "the database of an earlier release was brought to this one's layout");
    }
    if let Some((aside, why)) = &moved_aside {
        error!(moved_to = %aside.display(), why, "the database could not be used and a new one was begun");
    }
    let wanted = wanted(loaded, &config, &store, &surroundings, clock.now())?;
    let settings = wanted.desired.settings.clone();
    let asked_for = inherited.as_ref().map_or(listen, |socket| socket.local_addr().ok());
    if let Some(address) =
        asked_for.filter(|address| !address.ip().is_loopback() && !settings.http.public)
    {
        return Err(RunError::NotPublic(address));
    }
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
    let (mut scheduler, links) = Scheduler::new(setup);
    if owns_process {
        let overview = links.overview.clone();
        let alive =
            move || notify::alive(!overview.borrow().accounts.values().all(Option::is_some));
        scheduler = scheduler.watched(Watchdog::new(notify::within(), alive));
    }
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
    let (canaries, stop) =
        (Canaries::new(&links, clock.clone(), poster, store.clone()), closing.clone());
    tasks.spawn(async move {
        canaries.run(stop).await;
        ("canaries", Ok(()))
    });
    let listener = match inherited {
        _ if !wanted.opens => None,
        Some(socket) => Some(TcpListener::from_std(socket).map_err(unusable)?),
        None => listen_on(listen, settings.listen).await?,
    };
    let listening = match listener {
        Some(listener) => {
            let measured = move || Measured {
                latencies: timed.latencies(),
                messages: outbox.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                log_lines_lost: telemetry::lost().lines,
            };
            let shown = shown(&links, &store, &clock, settings.request_timeout, Arc::new(measured));
            Some(serve_http(listener, (shown, &settings.http), &closing, &mut tasks)?)
        }
        None => None,
    };
    let unheard = |source| RunError::Listen { what: "the control socket".to_owned(), source };
    let socket = control::bind(&state_dir).map_err(unheard)?;
    let door = control::socket_path(&state_dir);
    let reader = Arc::new(Reader { config, surroundings, means, loaded: Mutex::new(None) });
    let (ask_reload, reloads) = mpsc::channel(1);
    let (stop, of_file) = (closing.clone(), (links.clone(), clock.clone()));
    tasks.spawn(async move {
        status_file::keep(of_file.0, of_file.1, stop).await;
        ("status file", Ok(()))
    });
    let desk = Desk {
        links: links.clone(),
        store,
        clock,
        reader: reader.clone(),
        reloads: ask_reload.clone(),
        host: Host::Daemon,
    };
    let stop = closing.clone();
    tasks.spawn(async move {
        control::serve(socket, door, desk, stop).await;
        ("control socket", Ok(()))
    });
    let stop = cancelled.clone();
    tasks.spawn(async move {
        let ended = scheduler.run(stop).await;
        closing.cancel();
        ("scheduler", ended.map_err(RunError::from))
    });
    let audits = Audits::start(&settings.audit, links.wakes.clone()).await?;
    let reloader = Reloader { reader, links: links.clone(), settings };
    Ok(Daemon {
        links,
        tasks,
        audits,
        reloader,
        cancelled,
        listening,
        ask_reload,
        reloads,
        incoming,
        owns_process,
        ready: false,
        line: String::new(),
    })
}

impl Daemon {
    /// The links that others may hold to it.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// The address that the health endpoints listen at.
    pub fn listening(&self) -> Option<SocketAddr> {
        self.listening
    }

    /// Stops it when this is cancelled.
    pub fn stopper(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    /// Asks it to read its config again, as HUP does.
    pub fn reloads(&self) -> mpsc::Sender<Reloading> {
        self.ask_reload.clone()
    }

    /// Reads the config again.
    async fn reload(&mut self, emptied: Emptied) -> Result<(), Vec<String>> {
        let audit = self.reloader.settings.audit.clone();
        let reloaded = self.reloader.reload(emptied).await;
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
        let mut overview = self.links.overview.clone();
        overview.mark_changed();
        let clock = self.reloader.reader.means.clock.clone();
        // Over when systemd may be told something again.
        let mut rest = clock.sleep(Duration::ZERO);
        let (is_heard, mut is_stale) = (self.owns_process && notify::is_heard(), false);
        let result = loop {
            tokio::select! {
                // Being stopped goes first: what ends because of it did not end by itself.
                biased;
                () = self.cancelled.cancelled() => break Ok(()),
                Some(ended) = self.tasks.join_next() => break Err(ended_early(ended)),
                Some(Reloading { emptied, answer }) = self.reloads.recv() => {
                    match self.reload_listening(emptied, incoming.as_mut()).await {
                        // Whoever asked may have gone.
                        Ok(reloaded) => drop(answer.send(reloaded)),
                        Err(Asked::Abort) => return aborted(),
                        Err(Asked::Stop | Asked::Reload) => self.stop_gently(),
                    }
                }
                asked = next_signal(incoming.as_mut()) => match asked {
                    Some(Asked::Reload) => {
                        match self.reload_listening(Emptied::Refused, incoming.as_mut()).await {
                            // Faults of the config are logged, and shown by health.
                            Ok(_told) => {}
                            Err(Asked::Abort) => return aborted(),
                            Err(Asked::Stop | Asked::Reload) => self.stop_gently(),
                        }
                    }
                    Some(Asked::Stop) => self.stop_gently(),
                    Some(Asked::Abort) | None => return aborted(),
                },
                // Once it cannot change any more, the scheduler has ended, and that ends this too.
                Ok(()) = overview.changed() => {
                    self.tell_ready();
                    is_stale = is_heard;
                }
                () = &mut rest, if is_stale => {
                    self.tell_systemd();
                    (rest, is_stale) = (clock.sleep(BREATH), false);
                }
            }
        };
        self.stop(incoming, result).await
    }

    fn stop_gently(&self) {
        info!("stopping; a second signal does not wait");
        self.cancelled.cancel();
    }

    /// A reload, during which signals are heard: a file may be long in coming. One to stop ends it,
    /// and is the error.
    async fn reload_listening(
        &mut self,
        emptied: Emptied,
        mut incoming: Option<&mut Incoming>,
    ) -> Result<Result<(), Vec<String>>, Asked> {
        loop {
            let mut again = false;
            let reloaded = {
                let reload = self.reload_for_systemd(emptied);
                tokio::pin!(reload);
                loop {
                    tokio::select! {
                        reloaded = &mut reload => break reloaded,
                        asked = next_signal(incoming.as_deref_mut()) => match asked {
                            // The file may have changed since it was read.
                            Some(Asked::Reload) => again = true,
                            Some(Asked::Stop) => return Err(Asked::Stop),
                            Some(Asked::Abort) | None => return Err(Asked::Abort),
                        },
                    }
                }
            };
            if !again {
                return Ok(reloaded);
            }
        }
    }

    /// Lets passes under way come to an end; a second signal does not.
    async fn stop(
        self,
        mut incoming: Option<Incoming>,
        result: Result<(), RunError>,
    ) -> Result<(), RunError> {
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
                asked = next_signal(incoming.as_mut()) => match asked {
                    Some(Asked::Reload | Asked::Stop) => {}
                    Some(Asked::Abort) | None => return aborted(),
                },
            }
        }
    }

    /// Says it the first time that every account has been looked at. Accounts are begun in their
    /// order, so that the last ones tell soonest.
    fn tell_ready(&mut self) {
        let seen = |overview: &Overview| {
            let are_seen = overview.accounts.values().rev().all(Option::is_some);
            are_seen.then_some(overview.accounts.len())
        };
        if !self.ready
            && let Some(accounts) = seen(&self.links.overview.borrow())
        {
            self.ready = true;
            info!(accounts, "every account has been looked at");
            if self.owns_process {
                notify::ready();
            }
        }
    }

    /// Says what the overview is now, if it reads differently. All channels are looked over for it.
    fn tell_systemd(&mut self) {
        let overview = self.links.overview.borrow().clone();
        let clock = &*self.reloader.reader.means.clock;
        let line =
            notify::line(&overview, &health(&overview, self.links.pulse.age(clock), clock.now()));
        if self.line != line {
            notify::status(&line);
            self.line = line;
        }
    }

    /// A reload that is reported to systemd. It is not while the daemon starts: the end of a reload
    /// would be READY.
    async fn reload_for_systemd(&mut self, emptied: Emptied) -> Result<(), Vec<String>> {
        let is_told = self.owns_process && self.ready;
        if is_told {
            notify::reloading();
        }
        let reloaded = self.reload(emptied).await;
        if is_told {
            notify::ready();
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

/// The desired state, and the state of the config file.
struct Wanted {
    desired: Desired,
    unusable: BTreeMap<AccountName, String>,
    config: ConfigState,
    /// True when the health endpoints may open.
    opens: bool,
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
        let Some(why) = emptied::refusal(file, &desired, store, Emptied::Refused)? else {
            store.keep_desired(&desired)?;
            return Ok(Wanted { desired, unusable: BTreeMap::new(), config, opens: true });
        };
        error!(why, "a config without accounts is not used");
        config.problems.push(why);
    }
    let fetch = |origin: &crate::model::secret::Origin| {
        config::secrets::fetch(origin, surroundings).map_err(|error| error.to_string())
    };
    let restored = store.restore_desired(&fetch)?.ok_or(RunError::Config(loaded.problems))?;
    (config.loaded_at, config.hash) = (None, None);
    for why in &restored.unalerted {
        error!(why, "nobody is told what goes wrong");
    }
    if let Some(why) = &restored.unopened {
        error!(why, "the health endpoints stay closed");
    }
    for (account, why) in &restored.unusable {
        error!(%account, why, "this account cannot go on");
    }
    error!("the config cannot be used; the last good state from the store is in force");
    let opens = restored.unopened.is_none();
    Ok(Wanted { desired: restored.desired, unusable: restored.unusable, config, opens })
}

/// The network, as the settings have it.
///
/// # Errors
/// When the CA file cannot be used.
pub fn network(settings: &Settings) -> Result<Arc<dyn Transport>, SetupError> {
    let http =
        Http::new(settings.connect_timeout, settings.request_timeout, settings.ca_file.as_deref())?;
    Ok(Arc::new(http))
}

/// The same for [`alerts`](super::alerts), with connections and limits of its own.
fn messenger(settings: &Settings) -> Result<Arc<dyn Transport>, SetupError> {
    let http =
        Http::new(alerts::CONNECT_TIMEOUT, alerts::REQUEST_TIMEOUT, settings.ca_file.as_deref())?;
    Ok(Arc::new(http))
}

/// The same for [`canaries`](super::canaries).
fn poster(settings: &Settings) -> Result<Arc<dyn Transport>, SetupError> {
    let http = Http::new(
        canaries::CONNECT_TIMEOUT,
        canaries::REQUEST_TIMEOUT,
        settings.ca_file.as_deref(),
    )?;
    Ok(Arc::new(http.reading_no_body()))
}

/// The parts that the listener shows.
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
        subject
            .map(|subject| remembered_of(&subject, &of_accounts))
            .transpose()
            .map_err(|error| chain(&error))
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
        memory: Lookups { account: Arc::new(account), channel: Arc::new(channel), request_timeout },
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
        wishes: store.wishes(&account.name)?,
        api: account.api(),
        token: token.unwrap_or_default(),
    })
}

/// The address of the command line goes before that of the config.
async fn listen_on(
    given: Option<SocketAddr>,
    configured: Option<SocketAddr>,
) -> Result<Option<TcpListener>, RunError> {
    let Some(address) = given.or(configured) else { return Ok(None) };
    let key = if given.is_some() { "--listen" } else { "`[http] listen` of the config" };
    let what = format!("http://{address}, which {key} says,");
    let unheard = |source| RunError::Listen { what, source };
    TcpListener::bind(address).await.map(Some).map_err(unheard)
}

fn serve_http(
    listener: TcpListener,
    (shown, door): (Shown, &desired::Http),
    closing: &CancellationToken,
    tasks: &mut JoinSet<(&'static str, Result<(), RunError>)>,
) -> Result<SocketAddr, RunError> {
    let unheard = |source| RunError::Listen { what: "the HTTP socket".to_owned(), source };
    let listening = listener.local_addr().map_err(unheard)?;
    let (router, stop) = (http::router(shown, Door::new(listening, door)), closing.clone());
    tasks.spawn(async move {
        http::serve(listener, router, stop).await;
        ("HTTP listener", Ok(()))
    });
    info!(address = %listening, "health endpoints are open");
    Ok(listening)
}

async fn next_signal(incoming: Option<&mut Incoming>) -> Option<Asked> {
    match incoming {
        Some(incoming) => incoming.next().await,
        None => std::future::pending().await,
    }
}

/// A second signal is a wish too, and no failure: a supervisor would start again what was stopped.
fn aborted() -> Result<(), RunError> {
    warn!("stopped at once: what a call under way came to is found by the next start");
    Ok(())
}

fn ended_early(
    ended: Result<(&'static str, Result<(), RunError>), tokio::task::JoinError>,
) -> RunError {
    match ended {
        Ok((_, Err(error))) => error,
        Ok((what, Ok(()))) => RunError::Ended(what),
        Err(error) => RunError::Died(PassDied(error)),
    }
}

/// From one look over all channels for systemd's sake to the next.
const BREATH: Duration = Duration::from_secs(1);
