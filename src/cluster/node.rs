//! A member of the cluster, as a task.
//!
//! # What it promises
//!
//! 1. **The engine is never written by two owners of one charge.** Each owner has a [`Fence`]: its
//!    membership and its epoch are guards of every commit that it makes. The engine refuses
//!    whoever is not a member any more, and whoever's claim was written by another since.
//! 2. **Nothing is written at Zoho by two.** A member writes while its [`Leash`] lasts. It ends
//!    7.75 s after the last answered beat was *sent*; the others evict 8.25 s after they *saw* that
//!    beat, which was later. Nobody claims what belongs to a member before that member was evicted
//!    or has let go.
//! 3. **A charge has an owner again within 15 s**: 8.25 s of watching, up to a second until the
//!    look that ends it, a commit that evicts and a commit that claims. A joiner waits 10 s.
//! 4. **Nothing is lost for want of an answer.** An error says that nobody knows. Only an answered
//!    refusal, or an answered look that shows it, ends a membership or a claim. So all of an
//!    engine may stop for an hour, and everybody owns the same afterwards. A member that got no
//!    answer for a minute after its leash is *alone*: it may renew what is in its emergency, as long
//!    as no answer ends its membership ([`Leash::allowed_for`]).
//!
//! # The numbers
//!
//! | what | value | why |
//! | --- | --- | --- |
//! | beat | 2 s | three fit into a deadline: one may be lost |
//! | deadline | 7.75 s after it was sent | two lost beats and an engine's election |
//! | eviction | 8.25 s unchanged | the deadline and 6 %, by which two clocks' rates may differ |
//! | left for a write | 2.5 s | mostly enough for an exchange with Zoho |
//! | patience with a request | 5 s | a beat that is answered then leaves 2.75 s, enough to write |
//! | look at the members | 1 s | small, and a part of the 15 s |
//! | look at the claims | 10 s | a watch's hints come sooner; this is for those that are lost |
//! | stood still | 1.5 s | looks are a second apart, turns a quarter of one |
//! | calm of a joiner | 10 s | longer than an eviction, so that a restart moves things once |
//! | alone | 60 s suspended | four takeovers: another owner has looked and renewed by then |
//! | let go of | 100 a second | each ends a pass here and begins one elsewhere |
//!
//! Times are those of [`Clock::boot`], which goes on while a machine sleeps.
//!
//! The decisions are in `machine`; here is what waits. Each request is a task of its own,
//! so that none holds up a beat.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::{Engine, EngineError, Hint};
use crate::leash::Leash;
use crate::model::channel::AccountName;
use crate::model::cluster::Layouts;

use super::keys::{Keys, MemberId, Unfit};
use super::machine::{Answer, Ask, Identity, Machine, What};
use super::view::{Assignment, ClusterView, Released};

#[cfg(doc)]
use super::keys::Fence;

/// The parts of a member.
#[derive(Clone, Debug)]
pub struct NodeSetup {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name.
    pub node: String,
    /// The release, for the others to see.
    pub version: String,
    /// The layouts of accounts that it reads and writes.
    pub layouts: Layouts,
    /// The incarnation that this node noted when it ran last: with the data of another cluster it
    /// does not join.
    pub noted: Option<String>,
}

/// The accounts to be served, by this node or another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Everything.
    pub accounts: BTreeSet<AccountName>,
    /// Those of them that this node cannot serve.
    pub unfit: BTreeSet<AccountName>,
    /// The generation of the config that says so; 0 where configs are not shared.
    pub generation: u64,
}

/// The daemon's side of it.
#[derive(Debug)]
pub struct NodeLinks {
    /// The charges that become ours and that do not stay so, in order.
    pub assignments: mpsc::Receiver<Assignment>,
    /// The answers to [`Assignment::Lose`].
    pub released: mpsc::Sender<Released>,
    /// How the cluster looks.
    pub view: watch::Receiver<ClusterView>,
    /// Cancelled: everything is given away. The task ends when that is done.
    pub drain: CancellationToken,
}

/// The reason why a member ended.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The system gives no random bytes for the process's name.
    #[error("the system gives no random bytes")]
    NoRandomness(#[source] getrandom::Error),
    /// The daemon does not take what it is told.
    #[error("{OUTBOX_MAX} changes of what is owned were not taken")]
    NotTaken,
    /// One of its requests panicked.
    #[error("a request to the engine broke off")]
    Broken(#[source] JoinError),
}

/// A member, not yet running.
#[derive(Debug)]
pub struct Node {
    machine: Machine,
    keys: Keys,
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    declared: watch::Receiver<Declared>,
    assignments: mpsc::Sender<Assignment>,
    released: mpsc::Receiver<Released>,
    view: watch::Sender<ClusterView>,
    drain: CancellationToken,
}

impl Node {
    /// A member that joins when it is run. It alone sets the leash.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(
        setup: NodeSetup,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        leash: Leash,
        declared: watch::Receiver<Declared>,
    ) -> Result<(Node, NodeLinks), NodeError> {
        let NodeSetup { cluster, node, version, layouts, noted } = setup;
        let keys = Keys::new(&cluster);
        let id = MemberId { node, boot: random()? };
        let identity = Identity { id, version, layouts, noted, random: random()? };
        let machine = Machine::new(keys.clone(), identity, leash);
        let (assigning, assignments) = mpsc::channel(QUEUE);
        let (releasing, released) = mpsc::channel(QUEUE);
        let (showing, view) = watch::channel(ClusterView::default());
        let drain = CancellationToken::new();
        let links = NodeLinks { assignments, released: releasing, view, drain: drain.clone() };
        let node = Node {
            machine,
            keys,
            engine,
            clock,
            declared,
            assignments: assigning,
            released,
            view: showing,
            drain,
        };
        Ok((node, links))
    }

    /// Runs until it was drained, or nobody takes what it says.
    ///
    /// # Errors
    /// See [`NodeError`]: the process is to end, and the others take over.
    pub async fn run(self) -> Result<(), NodeError> {
        let Node { mut machine, keys, engine, clock, mut declared, .. } = self;
        let Node { assignments, mut released, view: showing, drain, .. } = self;
        let mut under_way: JoinSet<(Ask, Answer)> = JoinSet::new();
        let mut hints = engine.watch(keys.claims());
        let (mut watching, mut draining) = (true, false);
        declare(&mut machine, &mut declared);
        loop {
            let now = clock.boot();
            for ask in machine.turn(now) {
                under_way.spawn(carry(engine.clone(), clock.clone(), ask));
            }
            if let Some(view) = machine.view(now) {
                showing.send_replace(view);
            }
            if machine.untold() > OUTBOX_MAX {
                return Err(NodeError::NotTaken);
            }
            let untold = machine.untold() > 0;
            if machine.has_left() && !untold {
                return Ok(());
            }
            tokio::select! {
                Some(ended) = under_way.join_next() => {
                    let (ask, answer) = ended.map_err(NodeError::Broken)?;
                    machine.answered(&ask, answer, clock.boot());
                }
                permit = assignments.reserve(), if untold => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(assignment) = machine.take_assignment() {
                        permit.send(assignment);
                    }
                }
                answer = released.recv() => match answer {
                    Some(answer) => machine.released(&answer),
                    None => return Ok(()),
                },
                hint = hints.recv(), if watching => match hint {
                    Some(Hint { key, revision }) => machine.hint(&key, revision),
                    None => watching = false,
                },
                Ok(()) = declared.changed() => declare(&mut machine, &mut declared),
                () = drain.cancelled(), if !draining => {
                    draining = true;
                    machine.drain();
                }
                () = clock.sleep(TURN) => {}
            }
        }
    }
}

fn declare(machine: &mut Machine, declared: &mut watch::Receiver<Declared>) {
    let Declared { accounts, unfit, generation } = declared.borrow_and_update().clone();
    machine.declare(&accounts, Unfit::of(unfit), generation);
}

/// One request. Its answer comes after [`PATIENCE`] at the latest, whatever the engine does.
async fn carry(engine: Arc<dyn Engine>, clock: Arc<dyn Clock>, mut ask: Ask) -> (Ask, Answer) {
    let late = || EngineError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()));
    let answer = match ask.take_what() {
        What::Read(selections) => tokio::select! {
            read = engine.range(selections) => Answer::Read(read),
            () = clock.sleep(PATIENCE) => Answer::Read(Err(late())),
        },
        What::Commit(guards, changes) => tokio::select! {
            committed = engine.commit(guards, changes) => Answer::Committed(committed),
            () = clock.sleep(PATIENCE) => Answer::Committed(Err(late())),
        },
    };
    (ask, answer)
}

fn random() -> Result<String, NodeError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(NodeError::NoRandomness)?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

/// The member looks around so often, if nothing wakes it.
const TURN: Duration = Duration::from_millis(250);
/// A request is given up after this. One that is answered at the last moment leaves the
/// beat 2.75 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// So much may be said before it is heard.
const QUEUE: usize = 64;
/// So much may wait to be said. A daemon that takes none of it does nothing else either.
const OUTBOX_MAX: usize = 1000;
