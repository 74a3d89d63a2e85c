//! This process as one of several that share the accounts.
//!
//! [`Member`] is made before the parts of the daemon are, since they need its leash, and becomes
//! three tasks beside them:
//!
//! - *member* beats in the engine, and says which accounts are ours ([`crate::cluster::node`]);
//! - *sharing* takes them and lets them go (`sharing`);
//! - *cluster* tells the member what is declared, whenever the fleet changes, and the scheduler how
//!   the cluster looks.
//!
//! The data in the engine have a name of their own, the incarnation. It is noted in the state
//! directory, so that this machine does not join another cluster of the same name later.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::cluster::asks::Asks;
use crate::cluster::node::NodeError;
use crate::cluster::{
    Charge, ClusterView, Declared, Keys, MemberId, Node, NodeLinks, NodeSetup, Rhythm, Standing,
};
use crate::engine::Engine;
use crate::expose::health::UNSERVED_MAX;
use crate::expose::overview::{ClusterMember, ClusterState, EngineRoom, Unfit};
use crate::files;
use crate::leash::Leash;
use crate::model::channel::AccountName;
use crate::model::cluster::{Layouts, WithoutEngine};
use crate::model::time::{Timestamp, before, span};
use crate::store::Store;

use super::fleet::{Fleet, Means};
use super::generations::Generations;
use super::machines::{MachinesDoor, SURVEY_EVERY, Surveyor};
use super::scheduler::{Links, Message, chain};
use super::sharing::Sharing;
use super::tasks::{Stop, Task};

/// Who joins.
pub struct Joining {
    /// The cluster's name.
    pub cluster: String,
    /// This machine's name; the host's when there is none.
    pub node: Option<String>,
    /// The conduct while the engine does not answer.
    pub without_engine: WithoutEngine,
    /// The file in which the name of the engine's data is noted.
    pub notes: PathBuf,
    /// The layouts of accounts that this process reads and writes.
    pub layouts: Layouts,
}

/// A member that does not run yet.
pub struct Member {
    node: Node,
    links: NodeLinks,
    engine: Arc<dyn Engine>,
    leash: Leash,
    declared: watch::Sender<Declared>,
    me: ClusterState,
    notes: Notes,
}

impl Member {
    /// One that joins when its tasks run.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(
        joining: Joining,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
    ) -> Result<Member, NodeError> {
        let Joining { cluster, node, without_engine, notes, layouts } = joining;
        let notes = Notes::read(notes, &cluster);
        let node_name = node.unwrap_or_else(host);
        let setup = NodeSetup {
            cluster: cluster.clone(),
            node: node_name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            layouts,
            noted: notes.incarnation.clone(),
        };
        let (declared, told) = watch::channel(Declared::default());
        let leash = Leash::new(clock.clone()).without_engine(without_engine);
        let (node, links) = Node::new(setup, engine.clone(), clock, leash.clone(), told)?;
        let me = ClusterState {
            name: cluster,
            node: node_name,
            without_engine,
            ..ClusterState::joining()
        };
        Ok(Member { node, links, engine, leash, declared, me, notes })
    }

    /// How the cluster looks.
    pub fn view(&self) -> watch::Receiver<ClusterView> {
        self.links.view.clone()
    }

    /// This machine's name.
    pub fn node(&self) -> &str {
        &self.me.node
    }

    /// Until when this process may write at Zoho.
    pub fn leash(&self) -> Leash {
        self.leash.clone()
    }

    /// The way to all machines.
    pub fn door(&self, generations: Arc<Generations>, clock: Arc<dyn Clock>) -> MachinesDoor {
        let (engine, view) = (self.engine.clone(), self.links.view.clone());
        let keys = Keys::new(&self.me.name);
        let asks = Asks::new(engine.clone(), keys.clone(), clock);
        MachinesDoor { engine, keys, view, asks, generations }
    }

    /// Everything that runs for it. The member leaves once everything is given away.
    /// It counts and is given accounts once it is `settled` which config is in force.
    pub fn tasks(
        self,
        links: &Links,
        means: &Means,
        settled: watch::Receiver<Option<u64>>,
        stop: &Stop,
    ) -> [Task; 3] {
        let Member { node, links: of_node, engine, leash: _, declared, me, notes } = self;
        let Means { store, transport: _, clock, leash: _ } = means.clone();
        let showing = Showing {
            links: links.clone(),
            store: store.clone(),
            clock: clock.clone(),
            view: of_node.view.clone(),
            declared,
            settled,
            shown: me,
            restored: 0,
            surveyor: Surveyor::new(engine, clock.clone()),
            surveyed: None,
            notes,
        };
        let sharing = Sharing::new(links.clone(), store, clock, of_node);
        [
            Task::fallible("member", async { Ok(node.run().await?) }),
            Task::new("sharing", sharing.run(stop.closing.clone())),
            Task::new("cluster", showing.run(stop.closing.clone())),
        ]
    }
}

/// The store of a machine that shares accounts: they live in the engine.
pub fn shared(store: Store, engine: Arc<dyn Engine>, cluster: &str, layouts: Layouts) -> Store {
    store.shared(engine, Keys::new(cluster).prefix(), layouts)
}

/// The name of the engine's data that is noted in this file for a cluster of this name.
pub fn noted(notes: PathBuf, cluster: &str) -> Option<String> {
    Notes::read(notes, cluster).incarnation
}

/// Everything that is declared. What cannot be worked on here is another machine's to serve.
fn declared_by(fleet: &Fleet, generation: u64) -> Declared {
    let unfit = fleet.unusable.keys().cloned().collect();
    let held = fleet.subjects.keys().chain(fleet.elsewhere.keys());
    let accounts = held.chain(fleet.unusable.keys()).cloned().collect();
    Declared { accounts, unfit, generation }
}

/// Between the member and the scheduler, for what is no account's coming or going.
struct Showing {
    links: Links,
    store: Store,
    clock: Arc<dyn Clock>,
    view: watch::Receiver<ClusterView>,
    declared: watch::Sender<Declared>,
    settled: watch::Receiver<Option<u64>>,
    shown: ClusterState,
    /// How often the engine's data were older than what was seen of them, as it was told.
    restored: u64,
    surveyor: Surveyor,
    /// The last answer of the engine about itself.
    surveyed: Option<Arc<EngineRoom>>,
    notes: Notes,
}

impl Showing {
    async fn run(mut self, closing: CancellationToken) {
        let mut fleet = self.links.fleet.clone();
        let clock = self.clock.clone();
        let mut survey = clock.sleep(Duration::ZERO);
        loop {
            self.show().await;
            if let Some(generation) = *self.settled.borrow_and_update() {
                let declared = declared_by(&fleet.borrow_and_update(), generation);
                self.declared.send_if_modified(|known| {
                    let is_other = *known != declared;
                    *known = declared;
                    is_other
                });
            }
            tokio::select! {
                Ok(()) = fleet.changed() => {}
                Ok(()) = self.settled.changed() => {}
                Ok(()) = self.view.changed() => {}
                () = &mut survey => {
                    if let Some(room) = self.surveyor.survey().await {
                        self.surveyed = Some(room);
                    }
                    survey = clock.sleep(SURVEY_EVERY);
                }
                () = closing.cancelled() => return,
            }
        }
    }

    async fn show(&mut self) {
        let view = self.view.borrow_and_update().clone();
        if let Some(layout) = view.layout {
            self.store.may_write(layout);
        }
        if let Some(incarnation) = &view.incarnation {
            self.notes.note(incarnation).await;
        }
        let now = self.clock.now();
        let mut state = state(&self.shown, &view, (now, self.clock.boot()));
        state.engine.clone_from(&self.surveyed);
        state.unfit = self.unfit(&view, &state.unowned, now);
        if std::mem::replace(&mut self.restored, view.restored) < view.restored {
            error!(
                cluster = state.name,
                "the engine's data are older than what was seen of them, or others: it was restored or emptied, and everything is claimed anew"
            );
            state.restored_at = Some(now);
        }
        if state == self.shown {
            return;
        }
        match (&self.shown.unreachable, &state.unreachable) {
            (None, Some((_, why))) => warn!(why, "the engine does not answer"),
            (Some(_), None) => info!("the engine answers again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        if state.standing != self.shown.standing {
            let ClusterState { node, standing, is_well, .. } = &state;
            if *is_well {
                info!(node, standing, "how this machine stands in its cluster");
            } else {
                warn!(node, standing, "this machine does not serve accounts as it should");
            }
        }
        self.shown = state.clone();
        // Nobody is shown anything once the daemon stops.
        let _stopping = self.links.wakes.0.send(Message::Cluster(state)).await.is_err();
    }
}

impl Showing {
    /// The accounts that cannot be worked on here, and who serves them. Whoever served one until a
    /// moment ago still counts: others take it over meanwhile.
    fn unfit(
        &self,
        view: &ClusterView,
        unowned: &BTreeMap<AccountName, Timestamp>,
        now: Timestamp,
    ) -> BTreeMap<AccountName, Unfit> {
        let fleet = self.links.fleet.borrow().clone();
        let serves = |name: &AccountName| match unowned.get(name) {
            None => Some(view.owners.get(&Charge::Account(name.clone()))?.node.clone()),
            Some(since) => {
                let known = self.shown.unfit.get(name)?;
                (span(*since, now) <= UNSERVED_MAX).then(|| known.by.clone())
            }
        };
        let unfit = fleet.unusable.iter().filter_map(|(name, why)| {
            Some((name.clone(), Unfit { why: why.clone(), by: serves(name)? }))
        });
        unfit.collect()
    }
}

/// The cluster as it is shown. A time that was shown stays, since clocks are no ruler.
fn state(
    shown: &ClusterState,
    view: &ClusterView,
    (now, boot): (Timestamp, Duration),
) -> ClusterState {
    let at = |since: Duration| before(now, boot.saturating_sub(since));
    let unreachable = view.unreachable.as_ref().map(|(since, why)| {
        let known = shown.unreachable.as_ref().map(|(known, _)| *known);
        (known.unwrap_or_else(|| at(*since)), why.clone())
    });
    let unowned = view.unowned.iter().filter_map(|(charge, since)| {
        let name = charge.account()?;
        let known = shown.unowned.get(name).copied();
        Some((name.clone(), known.unwrap_or_else(|| at(*since))))
    });
    let mut accounts: BTreeMap<&MemberId, usize> = BTreeMap::new();
    for (charge, owner) in view.owners.iter() {
        *accounts.entry(owner).or_default() += usize::from(*charge != Charge::Fleet);
    }
    let members = view.members.iter().map(|(id, member)| {
        let accounts = accounts.get(id).copied().unwrap_or_default();
        let (version, is_draining) = (member.version.clone(), member.draining);
        let is_out = view.outs.contains_key(&id.node);
        (id.to_string(), ClusterMember { version, is_draining, is_out, accounts })
    });
    ClusterState {
        name: shown.name.clone(),
        node: shown.node.clone(),
        is_active: view.standing == Standing::Active,
        leads: view.me.is_some() && view.owners.get(&Charge::Fleet) == view.me.as_ref(),
        is_well: is_well(view.standing),
        standing: in_words(view.standing, shown.without_engine),
        without_engine: shown.without_engine,
        emergency: None,
        is_slow: view.rhythm == Some(Rhythm::Slow),
        engine: None,
        restored_at: shown.restored_at,
        unreachable,
        members: members.collect(),
        unowned: unowned.collect(),
        unfit: BTreeMap::new(),
    }
}

fn is_well(standing: Standing) -> bool {
    match standing {
        Standing::Joining
        | Standing::Calm
        | Standing::Active
        | Standing::Draining
        | Standing::Left => true,
        Standing::Out
        | Standing::Suspended
        | Standing::Alone
        | Standing::Evicted
        | Standing::Foreign
        | Standing::Outdated => false,
    }
}

fn in_words(standing: Standing, without_engine: WithoutEngine) -> &'static str {
    match standing {
        Standing::Joining => ClusterState::JOINING,
        Standing::Calm => "has joined, and waits some seconds before it takes accounts",
        Standing::Active => "serves accounts",
        Standing::Suspended => "begins no write: the engine has not answered in time",
        Standing::Alone => match without_engine {
            WithoutEngine::Emergency => "renews only what is in the last eighth of its life",
            WithoutEngine::Stop => "renews nothing, as without_engine = \"stop\" asks for",
        },
        Standing::Evicted => "was taken for dead by the others, and joins anew",
        Standing::Out => {
            "is put out, and serves nothing until `cluster evict --undo` takes that back"
        }
        Standing::Draining => "gives its accounts away",
        Standing::Left => "has left",
        Standing::Foreign => "does not join: the engine holds another cluster of the same name",
        Standing::Outdated => {
            "does not join: the other machines may write what this release does not read; update it"
        }
    }
}

/// The note of the engine's data: the name of the cluster, and that of its data.
struct Notes {
    file: PathBuf,
    cluster: String,
    incarnation: Option<String>,
}

impl Notes {
    fn read(file: PathBuf, cluster: &str) -> Notes {
        let text = files::read_text(&file, NOTE_KIB_MAX).unwrap_or_default();
        let noted = text.trim_end().split_once(' ').filter(|(name, _)| *name == cluster);
        let incarnation = noted.map(|(_, incarnation)| incarnation.to_owned());
        Notes { file, cluster: cluster.to_owned(), incarnation }
    }

    async fn note(&mut self, incarnation: &str) {
        if self.incarnation.as_deref() == Some(incarnation) {
            return;
        }
        self.incarnation = Some(incarnation.to_owned());
        let (file, text) = (self.file.clone(), format!("{} {incarnation}\n", self.cluster));
        let writing =
            tokio::task::spawn_blocking(move || files::replace(&file, text.as_bytes(), 0o600));
        let written = writing.await.map_err(std::io::Error::other).and_then(|written| written);
        if let Err(error) = written {
            warn!(error = chain(&error), "the name of the engine's data could not be noted");
        }
    }
}

/// The host's name, as a part of a key.
fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    name.chars().map(fits).collect()
}

const NOTE_KIB_MAX: u64 = 4;
