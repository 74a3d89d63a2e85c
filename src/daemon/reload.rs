//! A config that is read again: all of it is put in force, or none of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};

use crate::config::{self, Loaded, Problem, Surroundings};
use crate::expose::overview::ConfigState;
use crate::model::desired::{Desired, Settings};
use crate::model::time::Timestamp;
use crate::store::desired::Restored;
use crate::store::desired::published::{Declaration, Published};
use crate::store::{Store, StoreError};

use super::emptied::{self, Emptied};
use super::fleet::{self, Fleet, Means};
use super::former;
use super::generations::{
    FollowError, Followed, Generations, InForce, Note, OwnFile, Proposing, restore,
};
use super::requests::Proposal;
use super::scheduler::{Links, Message, chain};
use super::slack::{self, Judged};

/// Puts a config that was read again in force.
pub struct Reloader {
    /// Reads it.
    pub reader: Arc<Reader>,
    /// Whom it is handed to.
    pub links: Links,
    /// The config that several machines share; `None` where the file is in force.
    pub generations: Option<Arc<Generations>>,
}

/// Reads the config file.
pub struct Reader {
    /// The file.
    pub config: PathBuf,
    /// The source of environment variables and credentials.
    pub surroundings: Surroundings,
    /// The parts that fleets are made with.
    pub means: Means,
    /// The config that somebody has just read, so that it is not read twice.
    pub loaded: Mutex<Option<Loaded>>,
}

/// A config that was read and is not in force yet.
pub struct Fresh {
    /// The desired state of the config.
    pub desired: Desired,
    /// The accounts, those that did not change as they are.
    pub fleet: Fleet,
    /// The state of the file, as it is shown.
    pub config: ConfigState,
    /// The desired state as the file alone declares it, where several machines share one.
    pub own: Option<Desired>,
}

/// Asks the daemon to read its config again.
pub struct Reloading {
    /// How it is proposed, and how one that declares nothing is taken.
    pub proposing: Proposing,
    /// Told what is wrong with it.
    pub answer: oneshot::Sender<Result<(), Vec<String>>>,
}

impl Reloader {
    /// Reads the config again and swaps all of it, or, with the problems as the answer, none of it.
    ///
    /// # Errors
    /// The faults of the config, one line each.
    pub async fn reload(&self, proposing: Proposing) -> Result<(), Vec<String>> {
        let former = self.links.fleet.borrow().clone();
        match self.read_into_force(former.clone(), proposing).await {
            Ok((settings, channels)) => {
                warn_of_restarts(&former.settings, &settings);
                info!(channels, "the config was read again and is in force");
                Ok(())
            }
            Err(problems) => {
                error!(
                    problems = problems.len(),
                    "the config is not used; the last good one stays in force"
                );
                self.links.send(Message::ConfigRefused(problems.clone())).await;
                Err(problems)
            }
        }
    }

    async fn read_into_force(
        &self,
        former: Arc<Fleet>,
        proposing: Proposing,
    ) -> Result<(Settings, usize), Vec<String>> {
        let mut fresh = self.reader.clone().read(former.clone(), proposing.emptied).await?;
        let proposed = match (&self.generations, fresh.own.take()) {
            (Some(generations), Some(own)) => {
                let number = generations.propose(own_file(own).await, proposing, &former).await?;
                Some((generations, number))
            }
            (Some(_) | None, _) => None,
        };
        let in_force = (fresh.desired.settings.clone(), channels(&fresh.fleet));
        let kept = fresh.put_in_force(&self.reader.means.store, &self.links).await;
        kept.map_err(|error| vec![format!("the store failed: {}", chain(&error))])?;
        if let Some((generations, number)) = proposed {
            generations.is_in_force(number);
            generations.until_everywhere(number).await;
        }
        Ok(in_force)
    }

    /// Puts in force here what another machine has published, if it has.
    pub async fn follow(&self) {
        let Some(generations) = &self.generations else { return };
        let former = self.links.fleet.borrow().clone();
        match generations.follow(&former).await {
            Ok(None) => {}
            Ok(Some(followed)) => self.put_followed_in_force(generations, followed, former).await,
            Err(error) => self.not_followed(error).await,
        }
    }

    async fn put_followed_in_force(
        &self,
        generations: &Generations,
        followed: Followed,
        former: Arc<Fleet>,
    ) {
        let put = match self.reader.clone().followed(followed, former).await {
            Ok((fresh, in_force)) => {
                let put = fresh.put_in_force(&self.reader.means.store, &self.links).await;
                put.map(|()| in_force).map_err(FollowError::Store)
            }
            Err(error) => Err(error),
        };
        match put {
            Ok(in_force) => generations.has_followed(in_force).await,
            Err(error) => self.not_followed(error).await,
        }
    }

    async fn not_followed(&self, error: FollowError) {
        match error {
            FollowError::Engine(_) | FollowError::Overtaken => {
                debug!(error = chain(&error), "it is asked again which config is in force");
            }
            FollowError::Declaration(_) | FollowError::Store(_) => {
                error!(error = chain(&error), "the config of the cluster is not in force here");
                self.links.send(Message::ConfigRefused(vec![chain(&error)])).await;
            }
        }
    }
}

/// Deflates all of it.
async fn own_file(own: Desired) -> OwnFile {
    let known = own.clone();
    let made = tokio::task::spawn_blocking(move || OwnFile::new(own)).await;
    made.unwrap_or_else(|_| OwnFile::new(known))
}

impl Fresh {
    /// A desired state, from a config in this state.
    ///
    /// # Errors
    /// When what is remembered of a token cannot be read.
    pub fn new(
        desired: Desired,
        config: ConfigState,
        means: &Means,
        former: &Fleet,
    ) -> Result<Fresh, StoreError> {
        let fleet = former.followed_by(desired.clone(), means)?;
        Ok(Fresh { desired, fleet, config, own: None })
    }

    /// Keeps it in the store and hands it to the scheduler; returns when it is in force.
    ///
    /// # Errors
    /// When the store fails. Then nothing is changed.
    pub async fn put_in_force(self, store: &Store, links: &Links) -> Result<(), StoreError> {
        let Fresh { desired, fleet, config, own: _ } = self;
        store.keep_desired(&desired).await?;
        let (done, in_force) = oneshot::channel();
        links.send(Message::Replace { fleet: Arc::new(fleet), config, done }).await;
        // Over too when the scheduler has ended: the daemon is stopping then.
        let _stopping = in_force.await.is_err();
        Ok(())
    }
}

impl Links {
    async fn send(&self, message: Message) {
        if self.wakes.0.send(message).await.is_err() {
            warn!("a reload came while the daemon was stopping");
        }
    }
}

impl Reader {
    /// The config as it stands in the file now; nothing is put in force.
    ///
    /// A disk may never answer. Then the thread that reads is left behind, and the daemon goes on.
    ///
    /// # Errors
    /// The faults of the config, one line each.
    pub async fn read(
        self: Arc<Self>,
        former: Arc<Fleet>,
        emptied: Emptied,
    ) -> Result<Fresh, Vec<String>> {
        let clock = self.means.clock.clone();
        let file = self.config.display().to_string();
        let reading = tokio::task::spawn_blocking(move || self.read_now(&former, emptied));
        tokio::select! {
            biased;
            read = reading => read.unwrap_or_else(|error| Err(vec![format!("{file}: {error}")])),
            () = clock.sleep(READ_TIME_MAX) => Err(vec![format!(
                "{file}: it and the files that it names were not read within {} s",
                READ_TIME_MAX.as_secs()
            )]),
        }
    }

    fn read_now(&self, former: &Fleet, emptied: Emptied) -> Result<Fresh, Vec<String>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).take();
        let loaded = loaded.unwrap_or_else(|| config::load(&self.config, &self.surroundings));
        log_loaded(&loaded);
        let mut config = config_state(&self.config, &loaded, self.means.clock.now());
        let Some(mut desired) = loaded.desired else { return Err(config.problems) };
        let failed = |error| vec![format!("the store failed: {}", chain(&error))];
        let refusal = emptied::refusal(&self.config, &desired, &self.means.store, emptied);
        if let Some(why) = refusal.map_err(failed)? {
            return Err(vec![why]);
        }
        let judged = slack::judged_by_store(&desired, &self.means.store).map_err(failed)?;
        if !judged.refused.is_empty() {
            return Err(judged.refused);
        }
        config.thin = told_thin(judged.held);
        let own = desired.settings.cluster.is_some().then(|| desired.clone());
        let (store, surroundings) = (&self.means.store, &self.surroundings);
        let none = BTreeMap::new();
        let left =
            former::remember(&mut desired, Some(former), store, surroundings, emptied, &none);
        config.warnings.extend(told_left(left.map_err(failed)?));
        let fresh = Fresh::new(desired, config, &self.means, former).map_err(failed)?;
        Ok(Fresh { own, ..fresh })
    }

    /// The fleet in force, with accounts as a file of another machine declares them. Nothing is
    /// put in force.
    ///
    /// # Errors
    /// The faults, one line each.
    pub async fn proposed(
        self: Arc<Self>,
        in_force: Arc<Fleet>,
        proposal: Proposal,
    ) -> Result<Fleet, Vec<String>> {
        if proposal == Proposal::default() {
            return Ok(in_force.but_for(&BTreeMap::new(), &BTreeSet::new()));
        }
        let reading = tokio::task::spawn_blocking(move || self.proposed_now(&in_force, &proposal));
        reading.await.unwrap_or_else(|error| Err(vec![error.to_string()]))
    }

    fn proposed_now(&self, in_force: &Fleet, proposal: &Proposal) -> Result<Fleet, Vec<String>> {
        let Proposal { declared, left_out } = proposal;
        let known = in_force.declared_accounts();
        let known = known.map(|(name, desired)| (name.clone(), desired.clone())).collect();
        let own = Desired { settings: in_force.settings.clone(), accounts: known };
        let accounts = declared.iter();
        let accounts = accounts.map(|(name, text)| (name.clone(), Declaration::of_text(text)));
        let settings = Published::of(&Desired { accounts: BTreeMap::new(), ..own.clone() });
        let published = Published { accounts: accounts.collect(), ..settings };
        let restored = restore(&published, &own, &self.surroundings);
        let Restored { mut desired, unusable, .. } =
            restored.map_err(|error| vec![chain(&error)])?;
        if let Some((name, why)) = unusable.first_key_value() {
            return Err(vec![format!(
                "the machine that serves account {name} cannot use it: {why}"
            )]);
        }
        let (store, surroundings) = (&self.means.store, &self.surroundings);
        let failed = |error: StoreError| vec![format!("the store failed: {}", chain(&error))];
        let (former, allowed) = (Some(in_force), Emptied::Allowed);
        former::remember(&mut desired, former, store, surroundings, allowed, &unusable)
            .map_err(failed)?;
        let subjects = desired.accounts.into_iter();
        let subjects = subjects.map(|(name, desired)| {
            Ok((name, Arc::new(fleet::subject(desired, &self.means).map_err(failed)?)))
        });
        Ok(in_force.but_for(&subjects.collect::<Result<_, Vec<String>>>()?, left_out))
    }

    /// The generation that another machine has published, as it is put in force here.
    ///
    /// # Errors
    /// See [`FollowError`].
    async fn followed(
        self: Arc<Self>,
        followed: Followed,
        former: Arc<Fleet>,
    ) -> Result<(Fresh, InForce), FollowError> {
        let followed = tokio::task::spawn_blocking(move || self.followed_now(followed, &former));
        // Who is aborted asks no more.
        followed.await.unwrap_or(Err(FollowError::Overtaken))
    }

    fn followed_now(
        &self,
        followed: Followed,
        former: &Fleet,
    ) -> Result<(Fresh, InForce), FollowError> {
        let Followed { in_force, own, note: Note { hash, problems, mut warnings } } = followed;
        let Restored { mut desired, unusable, unalerted, .. } =
            in_force.restore(&own, &self.surroundings)?;
        warnings.extend(unalerted);
        let (store, clock) = (&self.means.store, &self.means.clock);
        let surroundings = &self.surroundings;
        let Judged { refused, held } = slack::judged_by_store(&desired, store)?;
        let thin = told_thin(refused.into_iter().chain(held).collect());
        let removals = in_force.removals();
        let left =
            former::remember(&mut desired, Some(former), store, surroundings, removals, &unusable)?;
        warnings.extend(told_left(left));
        let (file, loaded_at) = (self.config.display().to_string(), Some(clock.now()));
        let config = ConfigState { file, loaded_at, hash: Some(hash), problems, warnings, thin };
        let mut fresh = Fresh::new(desired, config, &self.means, former)?;
        for (account, why) in &unusable {
            error!(%account, why, "this machine cannot work on this account");
        }
        fresh.fleet.unusable = unusable;
        info!(generation = in_force.number(), "the config of another machine is put in force");
        Ok((fresh, in_force))
    }
}

/// The state of a config that was read at `now`, as it is shown.
pub(super) fn config_state(file: &Path, loaded: &Loaded, now: Timestamp) -> ConfigState {
    ConfigState {
        file: file.display().to_string(),
        loaded_at: Some(now),
        hash: Some(loaded.hash.clone()),
        problems: loaded.problems.iter().map(Problem::one_line).collect(),
        warnings: loaded.warnings.iter().map(Problem::one_line).collect(),
        thin: Vec::new(),
    }
}

/// Tells which channels have too little slack and are held all the same.
pub(super) fn told_thin(held: Vec<String>) -> Vec<String> {
    for line in &held {
        warn!(channels = line, "these lives are too short for a renewal to fail twice");
    }
    held
}

/// Tells which accounts a config leaves out that are kept all the same.
pub(super) fn told_left(warnings: Vec<String>) -> Vec<String> {
    for warning in &warnings {
        warn!(warning, "the config leaves an account out");
    }
    warnings
}

/// Tells what is wrong with a config.
pub(super) fn log_loaded(loaded: &Loaded) {
    for problem in &loaded.problems {
        error!(problem = problem.one_line(), "a problem of the config");
    }
    for warning in &loaded.warnings {
        warn!(warning = warning.one_line(), "a warning of the config");
    }
}

/// Settings that only a restart changes.
fn warn_of_restarts(old: &Settings, new: &Settings) {
    let changed = [
        ("http.listen", old.listen != new.listen),
        ("http.public", old.http.public != new.http.public),
        ("http.hosts", old.http.hosts != new.http.hosts),
        ("http.token", old.http.token != new.http.token),
        ("client.request_timeout", old.request_timeout != new.request_timeout),
        ("client.connect_timeout", old.connect_timeout != new.connect_timeout),
        ("client.ca_file", old.ca_file != new.ca_file),
        ("cluster", old.cluster != new.cluster),
    ];
    for (key, _) in changed.into_iter().filter(|(_, changed)| *changed) {
        warn!(key, "this key takes effect with the next restart");
    }
}

/// How long the config may take to be read: 50,000 channels take a few seconds.
const READ_TIME_MAX: Duration = Duration::from_secs(60);

/// How many are declared, whoever serves them.
fn channels(fleet: &Fleet) -> usize {
    fleet.declared_accounts().map(|(_, desired)| desired.specs.len()).sum()
}
