//! Nodes, their daemons, and a judge that looks every fifty milliseconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Clock, VirtualClock};
use crate::engine::simulated::{Applied, Kept, SimulatedEngine};
use crate::engine::{Change, Committed, Engine, Entry, Revision};
use crate::leash::Leash;
use crate::model::channel::AccountName;
use crate::model::cluster::Layouts;

use super::super::view::{Assignment, ClusterView, Released};
use super::super::{Charge, Declared, Fence, Node, NodeLinks, NodeSetup};
use super::link::{Link, NodeClock, Weather};

pub(super) struct World {
    pub(super) engine: SimulatedEngine,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) nodes: BTreeMap<&'static str, Member>,
    declared: watch::Sender<Declared>,
    /// Since when each account has nobody who may write.
    bare: BTreeMap<AccountName, Duration>,
    epochs: Arc<Mutex<Epochs>>,
    /// The findings of the judge.
    pub(super) broken: Vec<String>,
}

/// The greatest epoch in each account's commits, and those that fell.
#[derive(Default)]
struct Epochs {
    greatest: BTreeMap<String, i64>,
    fell: Vec<String>,
}

/// One process.
pub(super) struct Member {
    pub(super) clock: Arc<NodeClock>,
    pub(super) link: Arc<Link>,
    pub(super) leash: Leash,
    pub(super) view: watch::Receiver<ClusterView>,
    pub(super) log: Arc<Mutex<Vec<Assignment>>>,
    stopped: bool,
    drain: tokio_util::sync::CancellationToken,
    member: JoinHandle<()>,
    daemon: JoinHandle<()>,
}

impl World {
    pub(super) fn new(accounts: usize) -> World {
        let clock = Arc::new(VirtualClock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1));
        let accounts = (0..accounts).map(|number| format!("org-{number}").parse().unwrap());
        let declared = Declared { accounts: accounts.collect(), ..Declared::default() };
        let (engine, epochs) = (SimulatedEngine::new(), Arc::<Mutex<Epochs>>::default());
        let judge = epochs.clone();
        engine.witness(move |applied| judge.lock().unwrap().see(applied));
        World {
            engine,
            clock,
            nodes: BTreeMap::new(),
            declared: watch::channel(declared).0,
            bare: BTreeMap::new(),
            epochs,
            broken: Vec::new(),
        }
    }

    /// With these nodes, each of them settled.
    pub(super) async fn of(nodes: &[&'static str], accounts: usize) -> World {
        let mut world = World::new(accounts);
        for node in nodes {
            world.start(node);
        }
        world.passes(Duration::from_secs(20)).await;
        assert_eq!(world.broken, Vec::<String>::new());
        world
    }

    pub(super) fn start(&mut self, node: &'static str) {
        self.start_at_rate(node, 100, None);
    }

    /// One of a release that reads these layouts.
    pub(super) fn start_of_release(&mut self, node: &'static str, layouts: Layouts) {
        self.start_so(node, 100, None, layouts);
    }

    pub(super) fn start_at_rate(&mut self, node: &'static str, rate: u32, noted: Option<&str>) {
        self.start_so(node, rate, noted, Layouts::OWN);
    }

    fn start_so(&mut self, node: &'static str, rate: u32, noted: Option<&str>, layouts: Layouts) {
        let clock = Arc::new(NodeClock::new(self.clock.clone(), rate));
        let link = Arc::new(Link::new(self.engine.handle(self.clock.clone()), clock.clone()));
        let leash = Leash::new(clock.clone());
        let setup = NodeSetup {
            cluster: "test".to_owned(),
            node: node.to_owned(),
            version: "0.1.0".to_owned(),
            layouts,
            noted: noted.map(str::to_owned),
        };
        let declared = self.declared.subscribe();
        let (member, links) =
            Node::new(setup, link.clone(), clock.clone(), leash.clone(), declared).unwrap();
        let (view, drain) = (links.view.clone(), links.drain.clone());
        let log: Arc<Mutex<Vec<Assignment>>> = Arc::default();
        let daemon = tokio::spawn(daemon(links, link.clone(), clock.clone(), log.clone()));
        let member = tokio::spawn(async move { member.run().await.unwrap() });
        let started =
            Member { clock, link, leash, view, log, stopped: false, drain, member, daemon };
        if let Some(former) = self.nodes.insert(node, started) {
            former.end();
        }
    }

    pub(super) fn kill(&mut self, node: &str) {
        self.nodes.remove(node).unwrap().end();
    }

    pub(super) fn stop(&mut self, node: &str, stopped: bool) {
        let member = self.nodes.get_mut(node).unwrap();
        member.stopped = stopped;
        if stopped { member.clock.gate.close() } else { member.clock.gate.open() }
    }

    pub(super) fn weather(&self, node: &str, weather: Weather) {
        *self.nodes[node].link.weather.lock().unwrap() = weather;
    }

    pub(super) fn weather_for_all(&self, weather: Weather) {
        for node in self.nodes.keys() {
            self.weather(node, weather);
        }
    }

    /// Drains it and waits until its process has ended.
    pub(super) async fn drain(&mut self, node: &str) {
        self.nodes[node].drain.cancel();
        while !self.nodes[node].member.is_finished() {
            self.passes(LOOK_EVERY).await;
        }
        self.kill(node);
    }

    pub(super) fn declare(&self, change: impl FnOnce(&mut Declared)) {
        self.declared.send_modify(change);
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.engine.entries().into_iter().map(|Entry { key, .. }| key).collect()
    }

    /// The engine is set back: what was seen of later epochs is forgotten.
    pub(super) fn restore(&mut self, kept: &Kept) {
        self.engine.restore(kept);
        self.epochs.lock().unwrap().greatest.clear();
    }

    /// Somebody writes a key.
    pub(super) async fn put(&mut self, key: &str, value: &[u8]) {
        let engine = self.engine.handle(self.clock.clone());
        let put = Change::Put(key.to_owned(), value.to_vec());
        engine.commit(Vec::new(), vec![put]).await.unwrap();
    }

    /// Somebody deletes a key.
    pub(super) async fn delete(&mut self, key: &str) {
        let engine = self.engine.handle(self.clock.clone());
        engine.commit(Vec::new(), vec![Change::Delete(key.to_owned())]).await.unwrap();
    }

    /// Somebody deletes everything.
    pub(super) async fn empty(&mut self) {
        let engine = self.engine.handle(self.clock.clone());
        for keys in self.keys().chunks(50) {
            let delete = keys.iter().cloned().map(Change::Delete).collect();
            engine.commit(Vec::new(), delete).await.unwrap();
        }
    }

    /// Lets time pass, under the judge's eyes.
    pub(super) async fn passes(&mut self, time: Duration) {
        let end = self.clock.boot() + time;
        while self.clock.boot() < end {
            self.clock.sleep(LOOK_EVERY).await;
            self.judge();
        }
    }

    /// Lets time pass until every account may be written, and says how long it took.
    pub(super) async fn until_served(&mut self, at_most: Duration) -> Duration {
        let start = self.clock.boot();
        loop {
            self.passes(LOOK_EVERY).await;
            let took = self.clock.boot() - start;
            let bare: Vec<String> = self.bare.keys().map(ToString::to_string).collect();
            if bare.is_empty() {
                return took;
            }
            assert!(took < at_most, "not served after {took:?}: {}", bare.join(" "));
        }
    }

    /// Since when the account that waits longest has nobody.
    pub(super) fn longest_bare(&self) -> Duration {
        let now = self.clock.boot();
        self.bare.values().map(|since| now - *since).max().unwrap_or_default()
    }

    /// Who may write for an account, by leash.
    pub(super) fn writers(&self, account: &AccountName) -> Vec<&'static str> {
        let may = |member: &Member| !member.leash.left_for(account).is_zero();
        self.nodes.iter().filter(|(_, it)| may(it)).map(|(node, _)| *node).collect()
    }

    /// The accounts that each node may write.
    pub(super) fn shares(&self) -> BTreeMap<AccountName, &'static str> {
        let accounts = self.accounts();
        let of = |name: AccountName| Some((name.clone(), *self.writers(&name).first()?));
        accounts.into_iter().filter_map(of).collect()
    }

    pub(super) fn accounts(&self) -> BTreeSet<AccountName> {
        self.declared.borrow().accounts.clone()
    }

    fn judge(&mut self) {
        let now = self.clock.boot();
        for account in self.accounts() {
            let writers = self.writers(&account);
            if writers.len() > 1 {
                self.broken.push(format!("{now:?}: {account} may be written by {writers:?}"));
            }
            let serves = |node: &&&str| !self.nodes[**node].stopped;
            if writers.iter().any(|node| serves(&node)) {
                self.bare.remove(&account);
            } else {
                self.bare.entry(account).or_insert(now);
            }
        }
        self.broken.append(&mut self.epochs.lock().unwrap().fell);
    }

    /// The judge has found nothing.
    pub(super) fn is_whole(&self) {
        assert_eq!(self.broken, Vec::<String>::new());
    }
}

impl Epochs {
    fn see(&mut self, applied: &Applied) {
        for change in &applied.changes {
            let Change::Put(key, value) = change else { continue };
            let Some(account) = key.strip_prefix(ACCOUNTS) else { continue };
            let epoch = String::from_utf8_lossy(value).parse::<i64>().unwrap();
            let greatest = self.greatest.entry(account.to_owned()).or_default();
            if epoch < *greatest {
                self.fell.push(format!("{account}: epoch {epoch} after {greatest}"));
            }
            *greatest = epoch.max(*greatest);
        }
    }
}

impl Member {
    fn end(self) {
        self.member.abort();
        self.daemon.abort();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for member in std::mem::take(&mut self.nodes).into_values() {
            member.end();
        }
    }
}

/// The daemon's use of its assignments: a fenced commit for each account now and then, and a
/// pass that has to end before it lets go.
async fn daemon(
    mut links: NodeLinks,
    link: Arc<Link>,
    clock: Arc<NodeClock>,
    log: Arc<Mutex<Vec<Assignment>>>,
) {
    let mut held: BTreeMap<Charge, Fence> = BTreeMap::new();
    for round in 0.. {
        tokio::select! {
            assignment = links.assignments.recv() => {
                let Some(assignment) = assignment else { return };
                log.lock().unwrap().push(assignment.clone());
                take(assignment, &mut held, &links, &clock).await;
            }
            () = clock.sleep(WRITE_EVERY) => {
                for (charge, fence) in held.iter().skip(round % 5).step_by(5) {
                    write(link.clone(), charge, fence);
                }
            }
        }
    }
}

async fn take(
    assignment: Assignment,
    held: &mut BTreeMap<Charge, Fence>,
    links: &NodeLinks,
    clock: &NodeClock,
) {
    match assignment {
        Assignment::Gained(gained) => held.extend(gained),
        Assignment::Lost(lost) => held.retain(|charge, _| !lost.contains(charge)),
        Assignment::LookAgain(_) => {}
        Assignment::Lose(lose) => {
            clock.sleep(PASS).await;
            for charge in lose {
                let Some(fence) = held.remove(&charge) else { continue };
                let epoch = fence.epoch();
                // Nobody listens once the member has ended.
                let _ended = links.released.send(Released { charge, epoch }).await;
            }
        }
    }
}

/// Each commit is on its way by itself, so that some are under way when the process is stopped.
fn write(link: Arc<Link>, charge: &Charge, fence: &Fence) {
    let key = format!("{ACCOUNTS}{charge}");
    let Revision(epoch) = fence.epoch();
    let (guards, value) = (fence.guards(), epoch.to_string().into_bytes());
    tokio::spawn(async move {
        let committed = link.commit(guards, vec![Change::Put(key, value)]).await;
        drop::<Result<Committed, _>>(committed);
    });
}

const ACCOUNTS: &str = "channelkeeper/test/accounts/";
const LOOK_EVERY: Duration = Duration::from_millis(50);
const WRITE_EVERY: Duration = Duration::from_millis(350);
const PASS: Duration = Duration::from_millis(300);
