//! The one assembly: a desired state, a store, a clock and who carries requests become the parts of
//! a daemon.
//!
//! The daemon, a command without a daemon, a rehearsal and the tests' world are all made here, so
//! what one of them shows holds for the others. [`assemble`] starts nothing. [`Parts::tasks`] is
//! the table of everything that runs; who spawns it, stops it ([`Stop`]) and joins it is the host.
//!
//! Deliberately not here: reading a config or opening a store ([`super::run`] and the command line
//! each tell of it in their own way), and listening (`super::doors`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::config::{Loaded, Surroundings};
use crate::expose::overview::{ClusterState, ConfigState, Measured, Overview};
use crate::leash::Leash;
use crate::model::channel::AccountName;
use crate::model::desired::{Desired, Settings};
use crate::reconcile::report::AccountReport;
use crate::store::{Store, StoreError};
use crate::telemetry;
use crate::zoho::leashed::TCP_USER_TIMEOUT;
use crate::zoho::timed::Timed;
use crate::zoho::transport::{Http, SetupError, Transport};

use super::alerts::{self, Alarm, Outbox};
use super::backfill::Backfill;
use super::canaries::{self, CanaryTask};
use super::cron;
use super::desk::{Desk, Host};
use super::fleet::{Fleet, Means};
use super::hooks::{HookBoard, Teller};
use super::machines::MachinesDoor;
use super::reload::{Reader, Reloader, Reloading};
use super::scheduler::{Links, Scheduler, Setup};
use super::status_file;
use super::tasks::{Stop, Task, TaskError};
use super::watchdog::Watchdog;

/// The things that parts are made from.
pub struct PartsGiven {
    /// The desired state.
    pub desired: Desired,
    /// Declared accounts that cannot be worked on, and why.
    pub unusable: BTreeMap<AccountName, String>,
    /// The config that it was read from.
    pub config: ConfigState,
    /// The place to which a database that could not be used was moved, and why.
    pub store_moved_aside: Option<String>,
    /// The memory.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who carries requests.
    pub carriers: Carriers,
    /// Told each report, for a narrator; passes wait for it.
    pub observer: Option<mpsc::Sender<Arc<AccountReport>>>,
    /// Until when this process may write at Zoho, where other machines hold accounts of the
    /// desired state too: it begins with none.
    pub leash: Option<Leash>,
}

/// Who carries requests: each has connections and limits of its own.
#[derive(Clone)]
pub struct Carriers {
    /// To Zoho.
    pub zoho: Arc<dyn Transport>,
    /// To the webhook, the heartbeat and the URL of hooks.
    pub messages: Arc<dyn Transport>,
    /// To receivers, for canaries and recovered deliveries.
    pub canaries: Arc<dyn Transport>,
}

/// The parts of a daemon, none of which runs yet.
pub struct Parts {
    /// The links that others hold to the scheduler.
    pub links: Links,
    /// The parts that another fleet is made with.
    pub means: Means,
    host: Host,
    scheduler: Scheduler,
    carriers: Carriers,
    timed: Arc<Timed>,
    outbox: Outbox,
    hook_board: HookBoard,
    /// The machines that share the accounts, where there are others.
    pub machines: Option<MachinesDoor>,
}

/// Makes the parts. Those of a command hold nothing: its scheduler makes a pass when it is asked
/// to.
///
/// # Errors
/// When what is remembered of a token cannot be read.
pub fn assemble(given: PartsGiven, host: Host) -> Result<Parts, StoreError> {
    let PartsGiven {
        desired,
        unusable,
        config,
        store_moved_aside,
        store,
        clock,
        carriers,
        observer,
        leash,
    } = given;
    let timed = Arc::new(Timed::new(carriers.zoho.clone(), clock.clone()));
    let now = clock.now();
    let means = Means { store, transport: timed.clone(), clock, leash };
    let fleet = if means.leash.is_some() {
        Fleet::declared(desired, unusable)
    } else {
        Fleet::new(desired, unusable, &means, None)?
    };
    let fleet = Arc::new(fleet);
    let cluster = means.leash.is_some().then(ClusterState::joining);
    let starting = Overview::starting(now, config);
    let overview = Overview { store_moved_aside, cluster, ..starting };
    let window = timed.window().clone();
    let setup = Setup { fleet, means: means.clone(), overview, window, observer };
    let (scheduler, links) = match host {
        Host::Daemon => Scheduler::new(setup),
        Host::Command => Scheduler::on_demand(setup),
    };
    let (outbox, hook_board) = (Outbox::default(), HookBoard::default());
    let machines = None;
    Ok(Parts { links, means, host, scheduler, carriers, timed, outbox, hook_board, machines })
}

impl PartsGiven {
    /// The rest as it mostly is: every account usable, a config without a file, nobody who listens.
    pub fn new(
        desired: Desired,
        store: Store,
        clock: Arc<dyn Clock>,
        carriers: Carriers,
    ) -> PartsGiven {
        PartsGiven {
            desired,
            unusable: BTreeMap::new(),
            config: ConfigState::default(),
            store_moved_aside: None,
            store,
            clock,
            carriers,
            observer: None,
            leash: None,
        }
    }
}

impl Carriers {
    /// One for everything.
    pub fn all(one: Arc<dyn Transport>) -> Carriers {
        Carriers { zoho: one.clone(), messages: one.clone(), canaries: one }
    }

    /// The network, as the settings have it.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn network(settings: &Settings) -> Result<Carriers, SetupError> {
        let ca_file = settings.ca_file.as_deref();
        let messages = Http::new(alerts::CONNECT_TIMEOUT, alerts::REQUEST_TIMEOUT, ca_file)?;
        let canaries = Http::new(canaries::CONNECT_TIMEOUT, canaries::REQUEST_TIMEOUT, ca_file)?;
        Ok(Carriers {
            zoho: network(settings)?,
            messages: Arc::new(messages),
            canaries: Arc::new(canaries.reading_no_body()),
        })
    }
}

/// The way to Zoho over the network, as the settings have it.
///
/// # Errors
/// When the CA file cannot be used.
pub fn network(settings: &Settings) -> Result<Arc<dyn Transport>, SetupError> {
    let Settings { connect_timeout: connect, request_timeout: total, .. } = *settings;
    let ca_file = settings.ca_file.as_deref();
    Ok(Arc::new(match &settings.cluster {
        Some(_) => Http::impatient(connect, total, ca_file, TCP_USER_TIMEOUT)?,
        None => Http::new(connect, total, ca_file)?,
    }))
}

impl Parts {
    /// The same, with somebody who is told that the loop turns.
    #[must_use]
    pub fn watched(self, watchdog: Watchdog) -> Parts {
        Parts { scheduler: self.scheduler.watched(watchdog), ..self }
    }

    /// Everything that was counted since the start.
    pub fn measured(&self) -> Arc<dyn Fn() -> Measured + Send + Sync> {
        let (timed, outbox, hooks) =
            (self.timed.clone(), self.outbox.clone(), self.hook_board.clone());
        Arc::new(move || Measured {
            latencies: timed.latencies(),
            messages: outbox.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            hooks: hooks.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            log_lines_lost: telemetry::lost().lines,
        })
    }

    /// Where verbs are answered, and who reads the config again. `loaded` is the config, when it
    /// has just been read.
    pub fn desk(
        &self,
        config: PathBuf,
        surroundings: Surroundings,
        loaded: Option<Loaded>,
    ) -> (Desk, Reloader, mpsc::Receiver<Reloading>) {
        let loaded = Mutex::new(loaded);
        let reader = Arc::new(Reader { config, surroundings, means: self.means.clone(), loaded });
        let links = self.links.clone();
        let (reloads, asked) = mpsc::channel(1);
        let Means { store, transport: _, clock, leash: _ } = self.means.clone();
        let desk = Desk {
            links: links.clone(),
            store,
            clock,
            reader: reader.clone(),
            reloads,
            host: self.host,
            machines: self.machines.clone(),
        };
        (desk, Reloader { reader, links, generations: None }, asked)
    }

    /// The table of everything that runs. A command runs its scheduler and nothing else.
    pub fn tasks(self, stop: &Stop) -> Vec<Task> {
        let Parts { links, means, host, scheduler, carriers, outbox, hook_board, machines, .. } =
            self;
        let Means { store, transport: _, clock, leash: _ } = means;
        let scheduler = Task::fallible("scheduler", turn(scheduler, stop.clone()));
        if host == Host::Command {
            return vec![scheduler];
        }
        let messages = carriers.messages;
        let hooks = Teller::new(&links, clock.clone(), messages.clone(), store.clone(), hook_board);
        let alarm = Alarm::new(&links, clock.clone(), messages, store.clone(), outbox);
        let alarm = alarm.of_several(machines);
        let receivers = carriers.canaries;
        let backfill = Backfill::new(&links, clock.clone(), receivers.clone(), store.clone());
        let canaries = CanaryTask::new(&links, clock.clone(), receivers, store);
        let audit = cron::run(links.clone(), clock.clone(), stop.asked.clone());
        vec![
            scheduler,
            Task::fallible("audit", async { Ok(audit.await?) }),
            Task::new("alerts", alarm.run(stop.closing.clone())),
            Task::new("hooks", hooks.run(stop.closing.clone())),
            Task::new("canaries", canaries.run(stop.closing.clone())),
            Task::new("backfill", backfill.run(stop.closing.clone())),
            Task::new("status file", status_file::keep(links, clock, stop.closing.clone())),
        ]
    }
}

/// Everybody else goes on until the last pass has ended.
async fn turn(scheduler: Scheduler, stop: Stop) -> Result<(), TaskError> {
    let _closes = stop.closing.drop_guard();
    Ok(scheduler.run(stop.asked).await?)
}
