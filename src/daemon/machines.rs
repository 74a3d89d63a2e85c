//! The machines that share the accounts, as `cluster status` shows them and `cluster evict` changes
//! them.
//!
//! Whoever is put out is named by a key in the engine, which every member reads with its looks: the
//! node counts no more when each computes who is to own what. Its member lets go of its accounts as
//! for a joiner, and goes on beating. So nothing is taken from a machine that serves, and one that
//! is dead, or comes back, gets nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::cluster::asks::Asks;
use crate::cluster::{ClusterView, Keys, MemberId, Out};
use crate::engine::room::{self, Earlier, RoomTrouble};
use crate::engine::{Change, Committed, Engine, EngineError, EngineStatus};
use crate::expose::overview::{ClusterState, EngineRoom, EngineTrouble};
use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, brief, span, whole_seconds};

use super::actions::VerbError;
use super::desk::{Desk, Use, Verb, WaitsFor};
use super::generations::Generations;

/// The machines as they are.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct MachinesRequest {}

/// A machine is to serve nothing, or may serve again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvictRequest {
    /// Its name.
    pub node: String,
    /// True when it may serve again.
    #[serde(default)]
    pub undo: bool,
}

/// The machines that share the accounts, as this one sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachinesView {
    /// The cluster's name.
    pub cluster: String,
    /// The machine that says so.
    pub node: String,
    /// How it stands.
    pub standing: String,
    /// The engine.
    pub engine: EngineView,
    /// All that are there.
    pub machines: Vec<MachineView>,
    /// Those that somebody put out, whether they are there or not.
    pub out: Vec<OutView>,
    /// The accounts that none of them serves.
    pub unserved: Vec<UnservedView>,
}

/// The engine, as it was asked last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineView {
    /// Since when it does not answer.
    pub unreachable_since: Option<Timestamp>,
    /// Its last words then.
    pub why: Option<String>,
    /// Its kind and release.
    pub version: Option<String>,
    /// Which of its machines answers.
    pub endpoint: Option<String>,
    /// The size of its database.
    pub bytes: Option<u64>,
    /// The most that it may take, where it says so.
    pub quota: Option<u64>,
    /// The troubles with its room, the worst first.
    pub troubles: Vec<String>,
}

/// One machine that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineView {
    /// Its name.
    pub node: String,
    /// The name of its process.
    pub process: String,
    /// How it stands, in a few words.
    pub standing: String,
    /// Its release.
    pub version: String,
    /// How many accounts it serves.
    pub accounts: usize,
    /// The generation of the config that it has in force; 0 for none.
    #[serde(default)]
    pub generation: u64,
    /// Seconds since it was last seen to beat.
    pub beat_age_seconds: u64,
}

/// A machine that was put out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutView {
    /// Its name.
    pub node: String,
    /// The machine at which that was asked for.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// An account that no machine serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnservedView {
    /// Its name.
    pub account: AccountName,
    /// Since when.
    pub since: Timestamp,
}

/// The outcome of an eviction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    /// The machine.
    pub node: String,
    /// True when it serves nothing from here on.
    pub is_out: bool,
    /// How many accounts it serves still.
    pub accounts: usize,
    /// The machines that they go to.
    pub others: Vec<String>,
}

/// The way to the machines.
#[derive(Clone)]
pub struct MachinesDoor {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) keys: Keys,
    pub(super) view: watch::Receiver<ClusterView>,
    /// The questions of machines to each other.
    pub(super) asks: Asks,
    /// The config that is everybody's.
    pub(super) generations: Arc<Generations>,
}

impl Verb for MachinesRequest {
    type Answer = MachinesView;
    const PATH: &'static str = "/cluster";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<MachinesView, VerbError> {
        let (door, state) = desk.machines()?;
        Ok(MachinesView::of(&state, &door.view.borrow(), desk.clock.boot()))
    }
}

impl Verb for EvictRequest {
    type Answer = Evicted;
    const PATH: &'static str = "/cluster/evict";
    const USE: Use = Use::Write;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<Evicted, VerbError> {
        let (door, state) = desk.machines()?;
        door.evict(self, &state, &*desk.clock).await
    }
}

impl Desk {
    fn machines(&self) -> Result<(&MachinesDoor, ClusterState), VerbError> {
        let state = self.links.overview.borrow().cluster.clone();
        self.machines.as_ref().zip(state).ok_or(VerbError::NoCluster)
    }
}

impl MachinesDoor {
    /// This machine's name.
    pub(super) fn node(&self) -> String {
        self.view.borrow().me.as_ref().map_or_else(String::new, |me| me.node.clone())
    }

    async fn evict(
        &self,
        request: EvictRequest,
        state: &ClusterState,
        clock: &dyn Clock,
    ) -> Result<Evicted, VerbError> {
        let EvictRequest { node, undo } = request;
        let view = self.view.borrow().clone();
        let nodes = |is_wanted: &dyn Fn(&str) -> bool| {
            let nodes = view.members.keys().map(|id| id.node.as_str()).filter(|it| is_wanted(it));
            let mut nodes: Vec<String> = nodes.map(str::to_owned).collect();
            nodes.dedup();
            nodes
        };
        let is_known =
            view.outs.contains_key(&node) || view.members.keys().any(|it| it.node == node);
        if !is_known {
            return Err(VerbError::NoMachine { node, others: nodes(&|_| true).join(", ") });
        }
        let others = nodes(&|other| other != node && !view.outs.contains_key(other));
        if !undo && others.is_empty() {
            return Err(VerbError::LastMachine(node));
        }
        let out = Out { by: state.node.clone(), at: whole_seconds(clock.now()) };
        let key = self.keys.out(&node);
        let change = if undo { Change::Delete(key) } else { Change::Put(key, out.to_bytes()) };
        let committing = self.engine.commit(Vec::new(), vec![change]);
        let committed = tokio::select! {
            committed = committing => committed,
            () = clock.sleep(PATIENCE) => Err(EngineError::Unreachable("no answer".to_owned())),
        };
        match committed.map_err(VerbError::Engine)? {
            Committed::Done(_) => {}
            Committed::Refused => return Err(VerbError::Stopping),
        }
        let of_it = state.members.iter().filter(|(id, _)| is_of(id, &node));
        let accounts = of_it.map(|(_, member)| member.accounts).sum();
        Ok(Evicted { node, is_out: !undo, accounts, others })
    }
}

impl MachinesView {
    fn of(state: &ClusterState, view: &ClusterView, boot: Duration) -> MachinesView {
        let machines = view.members.iter().map(|(id, member)| {
            let silent = boot.saturating_sub(member.changed);
            let standing = match () {
                () if silent > SILENT_AFTER => "is silent",
                () if view.outs.contains_key(&id.node) => "is put out",
                () if member.draining => "gives its accounts away",
                () if !member.settled => "has joined",
                () => "serves",
            };
            let known = state.members.get(&id.to_string());
            MachineView {
                node: id.node.clone(),
                process: id.boot.clone(),
                standing: standing.to_owned(),
                version: member.version.clone(),
                accounts: known.map_or(0, |known| known.accounts),
                generation: member.generation,
                beat_age_seconds: silent.as_secs(),
            }
        });
        let out = view.outs.iter().map(|(node, Out { by, at })| OutView {
            node: node.clone(),
            by: by.clone(),
            at: *at,
        });
        let unserved = state.unowned.iter();
        let unserved = unserved
            .map(|(account, since)| UnservedView { account: account.clone(), since: *since });
        MachinesView {
            cluster: state.name.clone(),
            node: state.node.clone(),
            standing: state.standing.to_owned(),
            engine: EngineView::of(state),
            machines: machines.collect(),
            out: out.collect(),
            unserved: unserved.collect(),
        }
    }

    /// As it is printed.
    pub fn to_text(&self, now: Timestamp) -> String {
        let MachinesView { cluster, node, standing, engine, machines, out, unserved } = self;
        let mut lines = vec![format!("cluster {cluster}: {node} {standing}"), engine.to_string()];
        lines.extend(engine.troubles.iter().map(|trouble| format!("  {trouble}")));
        lines.push(String::new());
        let width = machines.iter().map(|one| one.node.len()).max().unwrap_or(0).max(7);
        lines.push(format!(
            "{:<width$}  {:<23}  {:<9}  {:>8}  {:>6}  last beat",
            "machine", "standing", "version", "accounts", "config"
        ));
        for one in machines {
            let MachineView { node, process: _, standing, version, accounts, .. } = one;
            let (generation, age) = (one.generation, one.beat_age_seconds);
            lines.push(format!(
                "{node:<width$}  {standing:<23}  {version:<9}  {accounts:>8}  {generation:>6}  \
                 {age} s ago"
            ));
        }
        for OutView { node, by, at } in out {
            lines.push(format!(
                "{node} was put out at {at}, by {by}; `channelkeeper cluster evict --undo {node}` takes it back"
            ));
        }
        for UnservedView { account, since } in unserved.iter().take(SHOWN_MAX) {
            let waits = brief(span(*since, now));
            lines.push(format!("account {account} is served by no machine, for {waits}"));
        }
        let more = unserved.len().saturating_sub(SHOWN_MAX);
        lines.extend((more > 0).then(|| format!("and {more} more accounts")));
        lines.join("\n") + "\n"
    }
}

impl EngineView {
    fn of(state: &ClusterState) -> EngineView {
        let (unreachable_since, why) = state.unreachable.clone().unzip();
        let room = state.engine.as_deref();
        let troubles = room.iter().flat_map(|room| &room.troubles);
        EngineView {
            unreachable_since,
            why,
            version: room.map(|room| room.version.clone()),
            endpoint: room.and_then(|room| room.endpoint.clone()),
            bytes: room.map(|room| room.bytes),
            quota: room.and_then(|room| room.quota),
            troubles: troubles.map(|trouble| trouble.why.clone()).collect(),
        }
    }
}

impl fmt::Display for EngineView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EngineView { unreachable_since, why, version, endpoint, bytes, quota, .. } = self;
        match version {
            Some(version) => write!(f, "engine: {version}")?,
            None => f.write_str("engine: not asked yet")?,
        }
        if let Some(endpoint) = endpoint {
            write!(f, " at {endpoint}")?;
        }
        if let Some(bytes) = bytes {
            write!(f, ", {} MiB", bytes.div_ceil(MIB))?;
        }
        if let Some((bytes, quota)) = bytes.zip(*quota) {
            let percent = bytes.saturating_mul(100) / quota.max(1);
            write!(f, " of {} MiB, {percent} %", quota.div_ceil(MIB))?;
        }
        if let Some((since, why)) = unreachable_since.as_ref().zip(why.as_ref()) {
            write!(f, "; it has not answered since {}: {why}", whole_seconds(*since))?;
        }
        Ok(())
    }
}

impl fmt::Display for Evicted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evicted { node, is_out, accounts, others } = self;
        if *is_out {
            let others = others.join(", ");
            write!(
                f,
                "{node} is put out, and serves nothing until `channelkeeper cluster evict --undo \
                 {node}`; its {accounts} accounts go to {others}, at most 100 a second: \
                 `channelkeeper cluster status` shows how far"
            )
        } else {
            write!(f, "{node} may serve again; its accounts come back to it, at most 100 a second")
        }
    }
}

/// Measures the engine now and then.
pub(super) struct Surveyor {
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    /// When, and its bytes then.
    measures: Vec<(Duration, u64)>,
}

impl Surveyor {
    pub(super) fn new(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>) -> Surveyor {
        Surveyor { engine, clock, measures: Vec::new() }
    }

    /// The engine's room at this instant; nothing while it does not say.
    pub(super) async fn survey(&mut self) -> Option<Arc<EngineRoom>> {
        let status = tokio::select! {
            status = self.engine.status() => status.ok()?,
            () = self.clock.sleep(PATIENCE) => return None,
        };
        let now = self.clock.boot();
        let old = |at: &Duration| now.saturating_sub(*at);
        let earlier = self.measures.iter().rev().find(|(at, _)| old(at) >= room::SPAN_MIN);
        let earlier = earlier.map(|(at, bytes)| Earlier { bytes: *bytes, ago: old(at) });
        let troubles = room::troubles(&status, earlier);
        if self.measures.last().is_none_or(|(at, _)| old(at) >= MEASURE_EVERY) {
            self.measures.push((now, status.bytes));
        }
        self.measures.retain(|(at, _)| now.saturating_sub(*at) <= 4 * room::SPAN_MIN);
        let EngineStatus { version, endpoint, revision: _, bytes, quota, alarms: _ } = status;
        let trouble = |RoomTrouble { is_failing, why }| EngineTrouble { is_failing, why };
        let troubles = troubles.into_iter().map(trouble).collect();
        Some(Arc::new(EngineRoom { version, endpoint, bytes, quota, troubles }))
    }
}

/// True when a member of this name is a process of that node.
fn is_of(member: &str, node: &str) -> bool {
    member.parse::<MemberId>().is_ok_and(|id| id.node == node)
}

/// A machine that was last seen to beat longer ago is silent.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// A request to the engine is given up after this.
const PATIENCE: Duration = Duration::from_secs(4);
/// The engine is measured so often.
pub(super) const SURVEY_EVERY: Duration = Duration::from_secs(30);
/// A measure that growth is seen by is kept so often.
const MEASURE_EVERY: Duration = Duration::from_secs(3600);
/// Accounts that are named.
const SHOWN_MAX: usize = 20;
const MIB: u64 = 1024 * 1024;
