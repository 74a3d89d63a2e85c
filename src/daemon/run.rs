//! The order of starting and of stopping.
//!
//! Starting ([`start`]): signals are taken, and the socket that systemd handed over; the config is
//! read while the store is opened; a good config becomes the desired state and is kept in the
//! store, a broken one is told and the last good state is taken from the store; listeners are
//! opened; the parts are assembled and all tasks are spawned. READY goes to systemd when every
//! account has been looked at once, whether or not Zoho could be reached: a daemon that waits for
//! Zoho to come back is doing its work.
//!
//! A reload (HUP) reads the config afresh and either swaps all of it or none of it.
//!
//! Stopping (TERM, or a task that ended by itself): no new pass is begun; passes under way end
//! after the call they are in, and the steps they have left are found again by the next start; then
//! everybody else ends, and listeners close; the store is flushed with the last write and closes
//! with the process. A second signal does not wait for any of it.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::cluster::node::NodeError;
use crate::config::{self, Loaded, Problem, Surroundings};
use crate::engine::Engine;
use crate::engine::etcd::{Etcd, EtcdSettings};
use crate::model::cluster::{Layouts, Login};
use crate::model::desired::Settings;
use crate::reconcile::report::AccountReport;
use crate::store::{Migrated, OpenError, Opened, SCHEMA, Store, StoreError};
use crate::zoho::transport::SetupError;

use super::asks::Answering;
use super::assembly::{Carriers, PartsGiven, assemble};
use super::desk::Host;
use super::doors::{AddressesTold, Doors, INHERITED, ListenError, unheard};
use super::generations::{Generations, GenerationsSetup, OwnFile, Proposing};
use super::inherited;
use super::member::{self, Joining, Member};
use super::notify::{self, Service};
use super::refetch;
use super::reload::{Reloader, Reloading};
use super::reports::Reports;
use super::scheduler::Links;
use super::signals::{Incoming, SignalAsked};
use super::tasks::{Stop, Task, TaskError, Tasks};
use super::wanted::{Wanted, wanted};
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
    pub carriers: Option<Carriers>,
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
    #[error("the store cannot be opened")]
    Open(#[from] OpenError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// There is no HTTP client.
    #[error("the HTTP client cannot be made")]
    Transport(#[from] SetupError),
    /// An address or the control socket cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Signals cannot be handled.
    #[error("signals cannot be handled")]
    Signals(#[source] std::io::Error),
    /// This process cannot be a member of its cluster.
    #[error("this machine cannot join its cluster")]
    Member(#[from] NodeError),
    /// A task ended.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// A daemon that has been started.
pub struct Daemon {
    links: Links,
    tasks: Tasks,
    stop: Stop,
    reloader: Reloader,
    ask_reload: mpsc::Sender<Reloading>,
    reloads: mpsc::Receiver<Reloading>,
    /// The config that several machines share may be another one.
    ticks: mpsc::Receiver<()>,
    incoming: Option<Incoming>,
    service: Service,
    listening: Option<SocketAddr>,
}

/// Starts a daemon.
///
/// # Errors
/// See [`RunError`]. A broken config is one only when there is no earlier state to go on with.
pub async fn start(mut options: Options) -> Result<Daemon, RunError> {
    // Before anything else: a signal that comes during the start waits for it to end, and kills
    // nothing.
    let incoming = options.owns_process.then(Incoming::listen).transpose();
    let incoming = incoming.map_err(RunError::Signals)?;
    let (given, doors, member) = prepare(&mut options).await?;
    let (member, generations) = member.unzip();
    let parts = assemble(given, Host::Daemon)?;
    let (links, listening, stop) = (parts.links.clone(), doors.listening(), Stop::default());
    let parts = if options.owns_process { parts.watched(watchdog(&links)) } else { parts };
    let clock = parts.means.clock.clone();
    let door = member.as_ref().zip(generations.clone());
    let machines = door.map(|(member, generations)| member.door(generations, clock));
    let mut parts = parts;
    parts.machines = machines;
    let (desk, mut reloader, reloads) = parts.desk(options.config, options.surroundings, None);
    reloader.generations = generations.clone();
    let answering =
        Answering::of(&desk).map(|it| Task::new("answering", it.run(stop.closing.clone())));
    let reports = desk.machines.clone().map(|door| {
        let reports = Reports::new(&links, door, desk.clock.clone());
        Task::new("reports", reports.run(stop.closing.clone()))
    });
    let (ask_reload, service) = (desk.reloads.clone(), Service::new(options.owns_process));
    let ways_in = doors.tasks(&parts, desk, &stop);
    let settled = generations.as_ref().map(|generations| generations.settled());
    let member = member.zip(settled);
    let member = member.map(|(member, it)| member.tasks(&links, &parts.means, it, &stop));
    let (ticking, ticks) = mpsc::channel(1);
    let following = generations.map(|generations| {
        Task::new("generations", generations.tick(ticking, stop.closing.clone()))
    });
    let refetching = refetch::keep(links.clone(), reloader.reader.clone(), stop.closing.clone());
    let refetching = Task::new("refetching", refetching);
    let tasks = Tasks::spawn(
        parts
            .tasks(&stop)
            .into_iter()
            .chain(ways_in)
            .chain([refetching])
            .chain(following)
            .chain(answering)
            .chain(reports)
            .chain(member.into_iter().flatten()),
    );
    Ok(Daemon {
        links,
        tasks,
        stop,
        reloader,
        ask_reload,
        reloads,
        ticks,
        incoming,
        service,
        listening,
    })
}

/// Everything that can fail and that nothing runs for yet.
async fn prepare(options: &mut Options) -> Result<Prepared, RunError> {
    let Options { config, loaded, state_dir, listen, clock, surroundings, .. } = options;
    let mut addresses = AddressesTold { address: *listen, ..AddressesTold::default() };
    if options.owns_process {
        addresses.inherited = inherited::http().map_err(unheard(INHERITED))?;
    }
    let now = clock.now();
    // Both read much, and neither waits for the other.
    let (opened, mut loaded) = std::thread::scope(|scope| {
        let opening = scope.spawn(|| Store::open(state_dir, now));
        let loaded = loaded.take().unwrap_or_else(|| config::load(config, surroundings));
        (opening.join().unwrap_or_else(|panic| resume_unwind(panic)), loaded)
    });
    let (store, store_moved_aside) = told(state_dir, opened?);
    let wanted = wanted(&mut loaded, config, &store, surroundings, clock.now()).await?;
    let Wanted { desired, unusable, config, own, opens } =
        wanted.ok_or(RunError::Config(loaded.problems))?;
    let doors = Doors::open(addresses, &desired.settings, opens, state_dir).await?;
    let carriers = match options.carriers.take() {
        Some(carriers) => carriers,
        None => Carriers::network(&desired.settings)?,
    };
    let clock = clock.clone();
    let sharing = share(&desired.settings, state_dir, &clock)?;
    let (store, member) = match sharing {
        Some(Joined { engine, cluster, member }) => {
            let store = member::shared(store, engine.clone(), &cluster, Layouts::OWN);
            let setup = GenerationsSetup {
                engine,
                cluster,
                node: member.node().to_owned(),
                clock: clock.clone(),
                view: member.view(),
                leash: member.leash(),
                own: own.map(OwnFile::new),
            };
            (store, Some((member, Arc::new(Generations::new(setup)))))
        }
        None => (store, None),
    };
    let observer = options.observer.take();
    let given = PartsGiven {
        desired,
        unusable,
        config,
        store_moved_aside,
        store,
        clock,
        carriers,
        observer,
        leash: member.as_ref().map(|(member, _)| member.leash()),
    };
    Ok((given, doors, member))
}

type Prepared = (PartsGiven, Doors, Option<(Member, Arc<Generations>)>);

/// A member of a cluster, and its engine.
struct Joined {
    engine: Arc<dyn Engine>,
    cluster: String,
    member: Member,
}

/// Where other machines share the accounts, this process is a member.
fn share(
    settings: &Settings,
    state_dir: &Path,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Joined>, RunError> {
    let Some((cluster, engine)) = settings.cluster.as_ref().zip(engine(settings, clock)?) else {
        return Ok(None);
    };
    let (name, node) = (cluster.name.clone(), cluster.node.clone());
    let (without_engine, notes) = (cluster.without_engine, state_dir.join(NOTES));
    let layouts = Layouts::OWN;
    let joining = Joining { cluster: name.clone(), node, without_engine, notes, layouts };
    let member = Member::new(joining, engine.clone(), clock.clone())?;
    Ok(Some(Joined { engine, cluster: name, member }))
}

/// The engine that the settings name.
pub(crate) fn engine(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<dyn Engine>>, SetupError> {
    let Some(cluster) = &settings.cluster else { return Ok(None) };
    let login = cluster.login.clone().map(|Login { user, password }| (user, password));
    let (endpoints, ca_file) = (&cluster.engine, settings.ca_file.as_deref());
    let etcd = Etcd::new(EtcdSettings { endpoints, login, ca_file }, clock.clone())?;
    Ok(Some(Arc::new(etcd)))
}

/// The store of a daemon, once it was said what had to be done for it. Tells where a database that
/// could not be used went.
fn told(state_dir: &Path, opened: Opened) -> (Store, Option<String>) {
    let Opened { store, moved_aside, migrated, tightened } = opened;
    if let Some(mode) = tightened {
        warn!(dir = %state_dir.display(), mode = format!("{mode:04o}"), "others could write into the state directory; only its owner can now");
    }
    if let Some(Migrated { from, kept }) = &migrated {
        info!(from, to = SCHEMA, kept = %kept.display(), "the database of an earlier release was brought to this one's layout");
    }
    if let Some((aside, why)) = &moved_aside {
        error!(moved_to = %aside.display(), why, "the database could not be used, so a new one was begun");
    }
    let moved_aside = moved_aside.map(|(aside, why)| format!("{}: {why}", aside.display()));
    (store.going_on().holding(), moved_aside)
}

/// The loop tells systemd that it turns, and while the daemon starts that it is starting.
fn watchdog(links: &Links) -> Watchdog {
    let overview = links.overview.clone();
    let is_ready = move || overview.borrow().accounts.values().all(Option::is_some);
    Watchdog::new(notify::within(), move || notify::alive(!is_ready()))
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
        self.stop.asked.clone()
    }

    /// Asks it to read its config again, as HUP does.
    pub fn reloads(&self) -> mpsc::Sender<Reloading> {
        self.ask_reload.clone()
    }

    /// Runs until it is stopped.
    ///
    /// # Errors
    /// When a part of it ended by itself.
    pub async fn run(mut self) -> Result<(), RunError> {
        let mut overview = self.links.overview.clone();
        overview.mark_changed();
        let clock = self.reloader.reader.means.clock.clone();
        // Over when systemd may be told something again.
        let mut rest = clock.sleep(Duration::ZERO);
        let mut is_stale = false;
        let result = loop {
            let asked = tokio::select! {
                // Being stopped goes first: what ends because of it did not end by itself.
                biased;
                () = self.stop.asked.cancelled() => break Ok(()),
                error = self.tasks.failed() => break Err(error),
                Some(()) = self.ticks.recv() => self.follow().await,
                Some(Reloading { proposing, answer }) = self.reloads.recv() => {
                    self.reload(proposing).await.map(|reloaded| {
                        // Whoever asked may have gone.
                        drop(answer.send(reloaded));
                    })
                }
                asked = next_signal(&mut self.incoming) => match asked {
                    // Faults of the config are logged, and shown by health.
                    SignalAsked::Reload => self.reload(Proposing::RELOAD).await.map(drop),
                    SignalAsked::Stop | SignalAsked::Abort => Err(asked),
                },
                // Once it cannot change any more, the scheduler has ended, and that ends this too.
                Ok(()) = overview.changed() => {
                    self.service.tell_ready(&self.links.overview.borrow(), clock.now());
                    is_stale = self.service.is_heard();
                    Ok(())
                }
                () = &mut rest, if is_stale => {
                    self.service.tell_line(&self.links, &*clock);
                    (rest, is_stale) = (clock.sleep(BREATH), false);
                    Ok(())
                }
            };
            match asked {
                Ok(()) => {}
                Err(SignalAsked::Abort) => return aborted(),
                Err(SignalAsked::Stop | SignalAsked::Reload) => {
                    info!("stopping; a second signal does not wait");
                    self.stop.asked.cancel();
                }
            }
        };
        self.stop(result).await
    }

    /// A reload, during which signals are heard: a file may be long in coming. One to stop ends it,
    /// and is the error.
    async fn reload(
        &mut self,
        proposing: Proposing,
    ) -> Result<Result<(), Vec<String>>, SignalAsked> {
        loop {
            let mut again = false;
            let reload = self.service.reloading(self.reloader.reload(proposing));
            tokio::pin!(reload);
            let reloaded = loop {
                tokio::select! {
                    reloaded = &mut reload => break reloaded,
                    asked = next_signal(&mut self.incoming) => match asked {
                        // The file may have changed since it was read.
                        SignalAsked::Reload => again = true,
                        SignalAsked::Stop | SignalAsked::Abort => return Err(asked),
                    },
                }
            };
            if !again {
                return Ok(reloaded);
            }
        }
    }

    /// Puts in force what other machines have published, and hears signals meanwhile.
    async fn follow(&mut self) -> Result<(), SignalAsked> {
        let mut again = false;
        {
            let follow = self.reloader.follow();
            tokio::pin!(follow);
            loop {
                tokio::select! {
                    () = &mut follow => break,
                    asked = next_signal(&mut self.incoming) => match asked {
                        SignalAsked::Reload => again = true,
                        SignalAsked::Stop | SignalAsked::Abort => return Err(asked),
                    },
                }
            }
        }
        if again { self.reload(Proposing::RELOAD).await.map(drop) } else { Ok(()) }
    }

    /// Lets passes under way come to an end; a second signal does not.
    async fn stop(mut self, result: Result<(), TaskError>) -> Result<(), RunError> {
        self.service.tell_stopping();
        self.stop.asked.cancel();
        let joined = self.tasks.joined();
        tokio::pin!(joined);
        loop {
            tokio::select! {
                ended = &mut joined => return Ok(result.and(ended)?),
                asked = next_signal(&mut self.incoming) => match asked {
                    SignalAsked::Reload | SignalAsked::Stop => {}
                    SignalAsked::Abort => return aborted(),
                },
            }
        }
    }
}

/// No more signals to come is as bad as one to stop at once.
async fn next_signal(incoming: &mut Option<Incoming>) -> SignalAsked {
    match incoming {
        Some(incoming) => incoming.next().await.unwrap_or(SignalAsked::Abort),
        None => std::future::pending().await,
    }
}

/// A second signal is a wish too, and no failure: a supervisor would start again what was stopped.
fn aborted() -> Result<(), RunError> {
    warn!("stopped at once: the next start finds out how the call under way ended");
    Ok(())
}

/// The file in the state directory that names the data of the cluster which this machine joined.
pub(crate) const NOTES: &str = "cluster";
/// From one look over all channels for systemd's sake to the next.
const BREATH: Duration = Duration::from_secs(1);
