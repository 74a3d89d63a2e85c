//! One config for the whole cluster, and this machine's file beside it.
//!
//! The generation in the engine is in force ([`crate::cluster::generations`]). This machine's file
//! is a proposal: when the daemon starts, when somebody reloads, and with `apply`. One that another
//! machine has published is taken over like a file that was read again: all of it or none of it.
//! No account is taken before it is known which generation is in force, so that a machine that
//! comes back with an old file brings nothing old to Zoho.
//!
//! An engine whose data were set back, or are gone, is given what is in force here, as the next
//! generation.
//!
//! All that a file declares of this machine alone, `[http]`, `[cluster]` and the paths of files,
//! stays its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::cluster::generations::{
    self, Generation, Kept, Occasion, Proposal, Seen, Verdict, current, judge, publish, sweep,
};
use crate::cluster::{ClusterView, Keys};
use crate::config::Surroundings;
use crate::config::secrets::Fetcher;
use crate::engine::{Committed, Engine, EngineError};
use crate::leash::Leash;
use crate::model::desired::Desired;
use crate::model::secret::{Fingerprint, Origin, Secret};
use crate::plan::render::counted;
use crate::store::StoreError;
use crate::store::desired::published::{Declaration, DeclarationError, Published, plain_secrets};
use crate::store::desired::{Fetching, Restored};
use crate::zoho::leashed::DECLARED_MIN_TAKING;

use super::emptied::Emptied;
use super::fleet::Fleet;
use super::scheduler::chain;

/// This machine's file, as it was last read without a mistake.
#[derive(Clone, Debug)]
pub struct OwnFile {
    /// As it was read.
    pub desired: Desired,
    /// As it would be shared.
    pub published: Published,
}

/// How a file is proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposing {
    /// On which occasion.
    pub occasion: Occasion,
    /// How one is taken that leaves much behind.
    pub emptied: Emptied,
}

impl Proposing {
    /// As a reload does.
    pub const RELOAD: Proposing =
        Proposing { occasion: Occasion::Asked, emptied: Emptied::Refused };
}

/// The reason why the config of the cluster is not followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The engine does not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A part of it cannot be used.
    #[error("the config that is in force in the cluster cannot be used here")]
    Declaration(#[from] DeclarationError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// Another generation has followed meanwhile.
    #[error("another generation has followed already")]
    Overtaken,
}

/// A generation that another machine has published.
pub struct Followed {
    /// Which it is.
    pub in_force: InForce,
    /// This machine's file, for all that is its own.
    pub own: Desired,
    /// The notes about it.
    pub note: Note,
}

/// The notes about a generation beside this machine's file.
pub struct Note {
    /// The name of its content.
    pub hash: String,
    /// The reasons why the file is not in force, where somebody should mend it.
    pub problems: Vec<String>,
    /// The same, where the file may yet follow.
    pub warnings: Vec<String>,
}

/// A generation that is in force here.
pub struct InForce {
    seen: Seen,
    published: Published,
}

/// The config of the cluster.
pub struct Generations {
    engine: Arc<dyn Engine>,
    keys: Keys,
    node: String,
    clock: Arc<dyn Clock>,
    view: watch::Receiver<ClusterView>,
    leash: Leash,
    state: Mutex<State>,
    settled: watch::Sender<Option<u64>>,
}

#[derive(Default)]
struct State {
    own: Option<OwnFile>,
    in_force: Option<InForce>,
}

/// The parts that it works with.
pub struct GenerationsSetup {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// The cluster's name.
    pub cluster: String,
    /// This machine's name.
    pub node: String,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How the cluster looks.
    pub view: watch::Receiver<ClusterView>,
    /// It is told when another generation is about to be in force here.
    pub leash: Leash,
    /// This machine's file; nothing when it cannot be used.
    pub own: Option<OwnFile>,
}

impl OwnFile {
    /// A file that was read.
    pub fn new(desired: Desired) -> OwnFile {
        let published = Published::of(&desired);
        OwnFile { desired, published }
    }

    fn proposal(&self) -> Proposal {
        let serial = self.desired.settings.cluster.as_ref().and_then(|cluster| cluster.serial);
        proposal(&self.published, serial)
    }
}

impl Note {
    /// A generation beside a file, which is not in force for these reasons.
    fn of(generation: &Generation, own: Option<&OwnFile>, problems: Vec<String>) -> Note {
        let Generation { number, by, hash, .. } = generation;
        let is_other = own.is_some_and(|own| own.published.hash() != *hash);
        let warnings = if problems.is_empty() && is_other {
            vec![format!(
                "generation {number} of the config is in force, from {by}; the file here is \
                 another one"
            )]
        } else {
            Vec::new()
        };
        Note { hash: hash.clone(), problems, warnings }
    }
}

impl InForce {
    /// Its number; 0 for none.
    pub fn number(&self) -> u64 {
        self.seen.generation.as_ref().map_or(0, |generation| generation.number)
    }

    /// How it takes what it leaves out.
    pub fn removals(&self) -> Emptied {
        let generation = self.seen.generation.as_ref();
        let is_allowed = generation.is_some_and(|generation| generation.allows_removals);
        if is_allowed { Emptied::Allowed } else { Emptied::Refused }
    }

    /// The desired state of it, with all that is this machine's own. Its secrets are fetched.
    ///
    /// # Errors
    /// When a declaration is damaged, or is of a later release.
    pub fn restore(
        &self,
        own: &Desired,
        surroundings: &Surroundings,
    ) -> Result<Restored, DeclarationError> {
        restore(&self.published, own, surroundings)
    }
}

/// A desired state that is shared, with all that is this machine's own. Its secrets are fetched.
///
/// # Errors
/// When a declaration is damaged, or is of a later release.
pub fn restore(
    published: &Published,
    own: &Desired,
    surroundings: &Surroundings,
) -> Result<Restored, DeclarationError> {
    let fetcher = RefCell::new(Fetcher::new(surroundings));
    published.restore(own, &Secrets { fetcher, known: plain_secrets(own) })
}

impl Generations {
    /// Nothing is known yet of what is in force.
    pub fn new(setup: GenerationsSetup) -> Generations {
        let GenerationsSetup { engine, cluster, node, clock, view, leash, own } = setup;
        let state = Mutex::new(State { own, in_force: None });
        let (settled, _) = watch::channel(None);
        let keys = Keys::new(&cluster);
        Generations { engine, keys, node, clock, view, leash, state, settled }
    }

    /// The number of the generation that is in force here; `None` until it is known.
    pub fn settled(&self) -> watch::Receiver<Option<u64>> {
        self.settled.subscribe()
    }

    /// Proposes this machine's file, in place of what `former` holds, and gives the number of the
    /// generation that it is in force as.
    ///
    /// # Errors
    /// The reasons why it is not in force, one line each.
    pub async fn propose(
        &self,
        own: OwnFile,
        proposing: Proposing,
        former: &Fleet,
    ) -> Result<u64, Vec<String>> {
        let mut state = self.state.lock().await;
        let seen = self.published_as(&own, proposing, former).await?;
        let in_force = InForce { seen, published: own.published.clone() };
        let number = in_force.number();
        if state.in_force.as_ref().is_none_or(|known| known.number() != number) {
            self.leash.declare_anew();
        }
        *state = State { own: Some(own), in_force: Some(in_force) };
        Ok(number)
    }

    async fn published_as(
        &self,
        own: &OwnFile,
        proposing: Proposing,
        former: &Fleet,
    ) -> Result<Seen, Vec<String>> {
        let unasked = |error: EngineError| {
            vec![format!("{error}, so the file is put in force nowhere; try again when it answers")]
        };
        for _ in 0..TRIES_MAX {
            let seen = current(&*self.engine, &self.keys).await.map_err(unasked)?;
            match judge(&own.proposal(), seen.generation.as_ref(), proposing.occasion) {
                Verdict::Same => return Ok(seen),
                Verdict::Keep(kept) => return Err(vec![told(&kept, seen.generation.as_ref())]),
                Verdict::Publish => {}
            }
            if proposing.emptied == Emptied::Refused && seen.generation.is_some() {
                guard(&own.desired, former).map_err(|why| vec![why])?;
            }
            let before = seen.generation.as_ref();
            let follows =
                Generation::following(before, own.proposal(), &self.node, self.clock.now());
            let allows_removals = proposing.emptied == Emptied::Allowed;
            let generation = Generation { allows_removals, ..follows };
            let published = self.publish(&seen, generation, &own.published).await;
            if let Some(seen) = published.map_err(unasked)? {
                return Ok(seen);
            }
        }
        Err(vec!["other machines put their files in force at the same time; try again".to_owned()])
    }

    /// Publishes what follows; `None` when somebody was faster.
    async fn publish(
        &self,
        seen: &Seen,
        generation: Generation,
        published: &Published,
    ) -> Result<Option<Seen>, EngineError> {
        let parts = published.declarations().map(|it| (it.hash.as_str(), it.bytes.as_slice()));
        let done = publish(&*self.engine, &self.keys, seen, &generation, &parts.collect()).await;
        let seen = match done {
            Ok(Committed::Done(revision)) => Seen { generation: Some(generation), revision },
            Ok(Committed::Refused) => return Ok(None),
            // It may be in force all the same.
            Err(error) => {
                let found = current(&*self.engine, &self.keys).await?;
                if found.generation.as_ref() != Some(&generation) {
                    return Err(error);
                }
                found
            }
        };
        let number = seen.generation.as_ref().map_or(0, |generation| generation.number);
        info!(generation = number, "the config of this machine is in force in the whole cluster");
        if let Err(error) = sweep(&*self.engine, &self.keys, &seen).await {
            debug!(error = chain(&error), "what no generation names is swept later");
        }
        Ok(Some(seen))
    }

    /// Says that a generation is in force here, and lets the accounts be taken that it declares.
    pub fn is_in_force(&self, number: u64) {
        self.settled.send_replace(Some(number));
    }

    /// Waits until the config was in force here for so long that something may be taken away at
    /// Zoho. Returns whether it had to.
    pub async fn until_removals(&self) -> bool {
        let left = DECLARED_MIN_TAKING.saturating_sub(self.leash.declared_for());
        if left.is_zero() {
            return false;
        }
        self.clock.sleep(left).await;
        true
    }

    /// Waits a while until every machine has this generation in force, and tells which have not.
    pub async fn until_everywhere(&self, number: u64) {
        let mut view = self.view.clone();
        let mut late = self.clock.sleep(EVERYWHERE_WITHIN);
        loop {
            let behind: Vec<String> = {
                let view = view.borrow_and_update();
                let others = view.members.iter().filter(|(id, _)| Some(*id) != view.me.as_ref());
                let behind = others.filter(|(_, member)| member.generation < number);
                behind.map(|(id, _)| id.node.clone()).collect()
            };
            if behind.is_empty() {
                return;
            }
            tokio::select! {
                changed = view.changed() => if changed.is_err() { return },
                () = &mut late => {
                    warn!(generation = number, machines = behind.join(", "), "these machines have not put the config in force yet");
                    return;
                }
            }
        }
    }

    /// Waits a while until what has this name is in force here, and says whether it is.
    pub async fn until_in_force(&self, hash: &str) -> bool {
        let mut settled = self.settled.subscribe();
        let mut late = self.clock.sleep(FOLLOWED_WITHIN);
        loop {
            let number = *settled.borrow_and_update();
            let is_it = |it: &InForce| Some(it.number()) == number && it.published.hash() == hash;
            if self.state.lock().await.in_force.as_ref().is_some_and(is_it) {
                return true;
            }
            tokio::select! {
                changed = settled.changed() => if changed.is_err() { return false },
                () = &mut late => return false,
            }
        }
    }

    /// The name of this machine's file, as it would be shared.
    pub fn name_of(desired: &Desired) -> String {
        Published::of(desired).hash()
    }

    /// Looks at what is in force, and gives it when it is another one than here.
    ///
    /// # Errors
    /// See [`FollowError`]: what is in force here stays so.
    pub async fn follow(&self, former: &Fleet) -> Result<Option<Followed>, FollowError> {
        let mut state = self.state.lock().await;
        let seen = current(&*self.engine, &self.keys).await?;
        let number = seen.generation.as_ref().map_or(0, |generation| generation.number);
        match &state.in_force {
            Some(known) if known.seen == seen => return Ok(None),
            Some(known) if number < known.number() => {
                let put_back = self.put_back(known, &seen).await?;
                if let Some(put_back) = put_back {
                    self.is_in_force(put_back.number());
                    state.in_force = Some(put_back);
                }
                return Ok(None);
            }
            Some(_) | None => {}
        }
        let mut problems = Vec::new();
        if let (None, Some(own)) = (&state.in_force, state.own.clone()) {
            let proposing = Proposing { occasion: Occasion::Start, emptied: Emptied::Refused };
            match self.published_as(&own, proposing, former).await {
                Ok(seen) => {
                    let in_force = InForce { seen, published: own.published };
                    self.is_in_force(in_force.number());
                    state.in_force = Some(in_force);
                    return Ok(None);
                }
                Err(why) => problems = why,
            }
        }
        let Some(generation) = seen.generation.clone() else { return Ok(None) };
        let known = state.in_force.as_ref().map(|known| &known.published);
        let published = self.read(&generation, known).await?;
        let own = state.own.as_ref();
        let note = Note::of(&generation, own, problems);
        self.leash.declare_anew();
        // While the file cannot be used, what is this machine's own stays as it is.
        let as_it_is = || Desired { settings: former.settings.clone(), ..Desired::default() };
        let own = own.map_or_else(as_it_is, |own| own.desired.clone());
        Ok(Some(Followed { in_force: InForce { seen, published }, own, note }))
    }

    /// The generation that was followed is in force here.
    pub async fn has_followed(&self, in_force: InForce) {
        let number = in_force.number();
        self.state.lock().await.in_force = Some(in_force);
        self.is_in_force(number);
    }

    /// The engine was set back: it is given what is in force here. Nothing, when somebody else was
    /// faster.
    async fn put_back(&self, known: &InForce, seen: &Seen) -> Result<Option<InForce>, EngineError> {
        let Some(in_force) = &known.seen.generation else { return Ok(None) };
        warn!(
            generation = in_force.number,
            "the engine's data were set back: it is given the config that is in force here"
        );
        let proposal = proposal(&known.published, in_force.serial);
        let now = self.clock.now();
        let follows = Generation::following(Some(in_force), proposal, &self.node, now);
        let published = self.publish(seen, follows, &known.published).await?;
        Ok(published.map(|seen| InForce { seen, published: known.published.clone() }))
    }

    /// All parts of it that are not here already.
    async fn read(
        &self,
        generation: &Generation,
        known: Option<&Published>,
    ) -> Result<Published, FollowError> {
        let known: BTreeMap<&str, &Declaration> = known
            .into_iter()
            .flat_map(Published::declarations)
            .map(|declaration| (declaration.hash.as_str(), declaration))
            .collect();
        let missing = generation.parts().into_iter().filter(|hash| !known.contains_key(hash));
        let missing: BTreeSet<&str> = missing.collect();
        let mut read = generations::parts(&*self.engine, &self.keys, &missing).await?;
        let mut part = |hash: &str| match (known.get(hash), read.remove(hash)) {
            (Some(known), _) => Ok((*known).clone()),
            (None, Some(bytes)) => Ok(Declaration::read(hash, bytes)?),
            (None, None) => Err(FollowError::Overtaken),
        };
        let settings = part(&generation.settings)?;
        let accounts = generation.accounts.iter();
        let accounts = accounts.map(|(name, hash)| Ok((name.clone(), part(hash)?)));
        Ok(Published { settings, accounts: accounts.collect::<Result<_, FollowError>>()? })
    }

    /// Asks for a look at what is in force whenever it may be another one.
    pub async fn tick(self: Arc<Self>, ticks: mpsc::Sender<()>, closing: CancellationToken) {
        let mut hints = self.engine.watch(self.keys.current());
        let mut are_hints_heard = true;
        loop {
            // A look that is asked for already will do.
            let _asked = ticks.try_send(()).is_ok();
            let is_settled = self.settled.borrow().is_some();
            tokio::select! {
                hint = hints.recv(), if are_hints_heard => are_hints_heard = hint.is_some(),
                () = self.clock.sleep(if is_settled { LOOK_EVERY } else { SETTLES_EVERY }) => {}
                () = closing.cancelled() => return,
            }
        }
    }
}

/// Fetches secrets as a config's are, and finds those that stand in this machine's own.
struct Secrets<'a> {
    fetcher: RefCell<Fetcher<'a>>,
    known: BTreeMap<Fingerprint, Secret>,
}

impl Fetching for Secrets<'_> {
    fn fetch(&self, origin: &Origin) -> Result<Secret, String> {
        self.fetcher.borrow_mut().secret(origin).map_err(|error| chain(&error))
    }

    fn known(&self, fingerprint: Fingerprint) -> Option<Secret> {
        self.known.get(&fingerprint).cloned()
    }
}

fn proposal(published: &Published, serial: Option<u64>) -> Proposal {
    let accounts = published.accounts.iter();
    Proposal {
        serial,
        hash: published.hash(),
        settings: published.settings.hash.clone(),
        accounts: accounts.map(|(name, part)| (name.clone(), part.hash.clone())).collect(),
    }
}

/// A config that leaves out more than a third of all accounts or channels is an accident, until
/// somebody says that it is meant.
fn guard(desired: &Desired, former: &Fleet) -> Result<(), String> {
    let held = former.subjects.iter().map(|(name, subject)| (name, &subject.desired));
    let before: Vec<_> = held.chain(&former.elsewhere).collect();
    let gone = before.iter().filter(|(name, _)| !desired.accounts.contains_key(*name)).count();
    let channels: usize = before.iter().map(|(_, account)| account.specs.len()).sum();
    let lost = before.iter().flat_map(|(name, account)| {
        let declared = desired.accounts.get(*name);
        let is_lost = move |id: &&_| declared.is_none_or(|it| !it.specs.contains_key(*id));
        account.specs.keys().filter(is_lost)
    });
    let lost = lost.count();
    let is_much = |gone: usize, of: usize| of >= GUARDED_FROM && gone * 3 > of;
    if !is_much(gone, before.len()) && !is_much(lost, channels) {
        return Ok(());
    }
    Err(format!(
        "the file leaves out {gone} of {} and {lost} of {} (put them back; if they are to go on every machine, \
         `channelkeeper apply --allow-removals`)",
        counted(before.len(), "account"),
        counted(channels, "channel"),
    ))
}

/// The reason why a file is not in force, and the remedy.
fn told(kept: &Kept, in_force: Option<&Generation>) -> String {
    let named = in_force
        .map_or_else(String::new, |it| format!("generation {}, from {},", it.number, it.by));
    let (why, remedy) = match kept {
        Kept::OlderSerial(serial, known) => (
            format!("the serial of the file is {serial}, and {known} is in force"),
            "bring the newer file here, or give this one a higher serial",
        ),
        Kept::SameSerial(serial) => (
            format!("a file with other content and the same serial, {serial}, is in force"),
            "give the file that is to follow a higher serial",
        ),
        Kept::NoSerial(known) => (
            format!("the file has no serial, and the one in force has {known}"),
            "give the file a higher serial",
        ),
        Kept::Former(before) => (
            format!("the file was in force {} ago", counted(*before, "generation")),
            "bring the newer file here; if this one is to be in force again, `channelkeeper apply --rollback`",
        ),
        Kept::Unasked => (
            "the file differs from what is in force".to_owned(),
            "bring that file here, or put this one in force with `channelkeeper reload`",
        ),
    };
    format!("{why}: {named} stays in force ({remedy})")
}

/// Tries of a machine among others that put their files in force.
const TRIES_MAX: usize = 3;
/// From one look at what is in force to the next, when no hint comes.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The same while it is not known yet.
const SETTLES_EVERY: Duration = Duration::from_secs(1);
/// A machine that lives follows within this.
const EVERYWHERE_WITHIN: Duration = Duration::from_secs(5);
/// Whoever is asked for something by another file than is in force waits so long for it.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(15);
/// A config with fewer is guarded by its accounts alone.
const GUARDED_FROM: usize = 4;

#[cfg(test)]
mod tests;
