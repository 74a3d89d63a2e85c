//! How a verb reaches the store: through the daemon that holds it, or in this process when none
//! does.
//!
//! The daemon's socket is tried first; it is found from the state directory alone, so that whoever
//! may use it needs no secret and no config that can be used. Without a daemon the config is read
//! here, the store in the state directory is opened if there is one, and a desk of this process
//! answers: the same as the daemon's, with a scheduler that makes no pass unasked. A `plan` needs
//! no store: before anything is installed it works on an empty one in the user's cache, for the
//! sake of the access token.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Loaded, ProblemStyle, STATE_DIR_DEFAULT, Surroundings};
use crate::daemon::actions::VerbError;
use crate::daemon::assembly::{Carriers, Parts, PartsGiven, assemble, network};
use crate::daemon::control::{self, ErrorReply};
use crate::daemon::desk::{Desk, Host, Use, Verb, WaitsFor};
use crate::daemon::emptied::{self, Emptied};
use crate::daemon::fleet::{Fleet, Means};
use crate::daemon::former;
use crate::daemon::reload::{Reloader, Reloading};
use crate::daemon::requests::SlackRequest;
use crate::daemon::scheduler::chain;
use crate::daemon::slack;
use crate::daemon::tasks::{Stop, Tasks};
use crate::expose::overview::ConfigState;
use crate::model::desired::Desired;
use crate::model::secret::{Fingerprint, Secret};
use crate::store::{Migrated, Opened, Store};
use crate::telemetry;

use super::{Common, complain, complain_in_colour};

/// Asks the daemon, or answers in this process.
///
/// # Errors
/// When the answer is no; [`BadConfig`] when the config cannot be used.
pub(crate) async fn ask<V: Verb>(common: &Common, verb: V) -> anyhow::Result<V::Answer> {
    let state_dir = state_dir(common);
    match Daemon::connect(&state_dir).await? {
        Some(daemon) => daemon.ask(verb).await,
        None => {
            let is_from_memory = V::WAITS_FOR == WaitsFor::Nothing;
            Here::open(common, &state_dir, V::USE, is_from_memory).await?.answer(verb).await
        }
    }
}

/// The running daemon, if there is one.
///
/// # Errors
/// When it may not be talked to.
pub(crate) async fn daemon(common: &Common) -> anyhow::Result<Option<Daemon>> {
    Daemon::connect(&state_dir(common)).await
}

/// The config cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadConfig {
    /// By what the daemon says.
    #[error("{0}")]
    Daemon(String),
    /// It was read here, and it was said why.
    #[error("the config cannot be used")]
    Said,
}

/// A daemon's socket.
pub(crate) struct Daemon {
    client: reqwest::Client,
    /// The socket, for messages.
    pub socket: PathBuf,
}

/// A desk in this process.
struct Here {
    desk: Desk,
    parts: Parts,
    reloader: Reloader,
    asked: mpsc::Receiver<Reloading>,
}

/// The parts that a verb works with when it goes to Zoho by itself.
pub(crate) struct DirectParts {
    /// The accounts.
    pub fleet: Fleet,
    /// The memory.
    pub store: Store,
}

/// The bounds of an answer.
#[derive(Clone, Copy)]
pub(crate) struct ReplyBounds {
    pub(crate) patience: Duration,
    pub(crate) size_max: usize,
}

/// The answer of a URL, which is shown a token if there is one. `path` is asked for when the URL
/// names none. Time and bytes are bounded.
///
/// # Errors
/// When it is no URL, does not answer in time, or answers anything but 200 or more than that.
pub(crate) async fn fetch(
    url: &str,
    token: Option<&Secret>,
    path: &str,
    bounds: ReplyBounds,
) -> anyhow::Result<Vec<u8>> {
    // The URL may hold a password.
    let mut url: reqwest::Url = url.parse().context("--url is no URL")?;
    if url.path() == "/" {
        url.set_path(path);
    }
    let client = crate::zoho::transport::client()?.timeout(bounds.patience).build()?;
    // reqwest's errors name the URL, which may hold a password.
    let silent = |error: reqwest::Error| anyhow::Error::from(error.without_url());
    let named = url.host_str().unwrap_or("it").to_owned();
    let request = client.get(url);
    let request =
        token.into_iter().fold(request, |request, token| request.bearer_auth(token.expose()));
    let mut reply =
        request.send().await.map_err(silent).with_context(|| format!("{named} does not answer"))?;
    ensure!(reply.status() == reqwest::StatusCode::OK, "{named} answered HTTP {}", reply.status());
    let mut body = Vec::new();
    while let Some(chunk) =
        reply.chunk().await.map_err(silent).with_context(|| format!("{named} broke off"))?
    {
        body.extend_from_slice(&chunk);
        let most = bounds.size_max;
        ensure!(body.len() <= most, "{named} answered more than {} KiB", most / 1024);
    }
    Ok(body)
}

/// In this process even beside a running daemon, for what concerns no store: then with an empty
/// one.
///
/// # Errors
/// When the config cannot be used, or the store cannot be opened.
pub(crate) async fn beside(common: &Common) -> anyhow::Result<DirectParts> {
    let loaded = config::load(&common.config, &Surroundings::of_process());
    print_problems(&loaded);
    beside_of(common, loaded).await
}

/// The same after the problems of the config have been told, those of credentials that only the
/// unit has aside.
///
/// # Errors
/// When the config cannot be used, or the store cannot be opened.
pub(crate) async fn beside_quietly(common: &Common) -> anyhow::Result<DirectParts> {
    let loaded = config::load(&common.config, &Surroundings::of_process());
    if loaded.desired.is_none() {
        print_problems(&loaded);
    }
    beside_of(common, loaded).await
}

async fn beside_of(common: &Common, loaded: Loaded) -> anyhow::Result<DirectParts> {
    let state_dir = state_dir(common);
    let desired = loaded.desired.ok_or(BadConfig::Said)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let is_free = Store::exists(&state_dir) && Daemon::connect(&state_dir).await?.is_none();
    let store = match is_free {
        true => open(&state_dir, &*clock)?,
        false => for_a_look(&common.config, &*clock)?,
    };
    let transport = network(&desired.settings)?;
    let means = Means { store: store.clone(), transport, clock, leash: None };
    Ok(DirectParts { fleet: Fleet::new(desired, BTreeMap::new(), &means, None)?, store })
}

/// Where the store is: `--state-dir`, else `$STATE_DIRECTORY`, else `[daemon] state_dir`, else the
/// default. Nothing else of the config is looked at.
pub(crate) fn state_dir(common: &Common) -> PathBuf {
    let of_systemd = || std::env::var_os("STATE_DIRECTORY").and_then(|dirs| first_of(&dirs));
    let given = common.state_dir.clone().or_else(of_systemd);
    let given = given.or_else(|| config::state_dir(&common.config));
    given.unwrap_or_else(|| PathBuf::from(STATE_DIR_DEFAULT))
}

/// systemd names every directory of a unit's `StateDirectory=`, with colons between.
fn first_of(dirs: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(dirs).next().filter(|dir| !dir.as_os_str().is_empty())
}

/// Problems and warnings of a config, to stderr.
pub(crate) fn print_problems(loaded: &Loaded) {
    let is_terminal = std::io::stderr().is_terminal();
    let look = match (telemetry::takes_colour(is_terminal), is_terminal) {
        (true, _) => ProblemStyle::Colour,
        (false, true) => ProblemStyle::Unicode,
        (false, false) => ProblemStyle::Plain,
    };
    let all: Vec<_> = loaded.problems.iter().chain(&loaded.warnings).cloned().collect();
    if !all.is_empty() {
        complain_in_colour(config::render(&all, look).trim_end());
    }
}

/// Refuses channels that may not begin for want of slack.
fn keeps_slack(desired: &Desired, store: &Store) -> anyhow::Result<()> {
    let judged = slack::judged_by_store(desired, store);
    let refused = judged.map_err(|error| anyhow::anyhow!(chain(&error)))?.refused;
    ensure!(refused.is_empty(), BadConfig::Daemon(refused.join("\n")));
    Ok(())
}

/// The channels in force that have too little slack: those of the daemon, else of the store, if
/// there is one.
///
/// # Errors
/// When the daemon may not be talked to, or the store cannot be read.
pub(crate) async fn thin_in_force(common: &Common) -> anyhow::Result<slack::Channels> {
    let state_dir = state_dir(common);
    match Daemon::connect(&state_dir).await? {
        Some(daemon) => daemon.ask(SlackRequest {}).await,
        None if Store::exists(&state_dir) => {
            Ok(slack::held(&open(&state_dir, &SystemClock::new())?)?)
        }
        None => Ok(slack::Channels::new()),
    }
}

/// The store of a command that looks and has none: in the user's cache, so that an access token is
/// used again, and with it the memory of how many were fetched. Zoho gives ten in ten minutes. It
/// is gone with the command where there is no cache, or another command has it.
fn for_a_look(config: &Path, clock: &dyn Clock) -> anyhow::Result<Store> {
    let config = std::path::absolute(config)?.display().to_string();
    let folder = format!("{:016x}", Fingerprint::of(&["config", &config]).0);
    let cached = cache_dir().map(|cache| cache.join("channelkeeper").join(folder));
    let opened = cached.and_then(|dir| Store::open(&dir, clock.now()).ok());
    Ok(opened.map_or_else(Store::temporary, |opened| Ok(opened.store))?)
}

/// Where this user keeps what can be had again.
fn cache_dir() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))
}

/// Opens the store in this state directory, and says what was done for it.
///
/// # Errors
/// When it cannot be opened, as when a daemon has it.
pub(crate) fn open(state_dir: &Path, clock: &dyn Clock) -> anyhow::Result<Store> {
    let Opened { store, moved_aside, migrated, tightened } = Store::open(state_dir, clock.now())?;
    if let Some(mode) = tightened {
        complain(&format!(
            "warning: others could write into {} (mode {mode:04o}); only its owner can now",
            state_dir.display()
        ));
    }
    if let Some(Migrated { from: _, kept }) = migrated {
        complain(&format!(
            "the database of an earlier release was migrated; it is kept as it was in {}",
            kept.display()
        ));
    }
    if let Some((aside, why)) = moved_aside {
        complain(&format!(
            "warning: the database could not be used ({why}); it was moved to {}",
            aside.display()
        ));
    }
    Ok(store)
}

impl Daemon {
    /// The daemon of a state directory, if one answers there.
    async fn connect(state_dir: &Path) -> anyhow::Result<Option<Daemon>> {
        let socket = control::socket_path(state_dir);
        match tokio::net::UnixStream::connect(&socket).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                bail!(
                    "{}: no permission to talk to the daemon (its user and group may)",
                    socket.display()
                )
            }
            Err(_) => return Ok(None),
        }
        crate::zoho::transport::install_crypto();
        let client = reqwest::Client::builder().unix_socket(socket.clone()).build()?;
        Ok(Some(Daemon { client, socket }))
    }

    /// Asks it. A daemon that does not answer is not waited for; one that looks at Zoho is, and
    /// that is said.
    ///
    /// # Errors
    /// The daemon's own words, when it refuses.
    pub(crate) async fn ask<V: Verb>(&self, verb: V) -> anyhow::Result<V::Answer> {
        let url = |path: &str| format!("http://daemon{path}");
        let request = match control::is_get::<V>() {
            true => self.client.get(url(V::PATH)).query(&verb),
            false => self.client.post(url(V::PATH)).json(&verb),
        };
        match V::WAITS_FOR {
            WaitsFor::Nothing => self.read(request, PATIENCE).await,
            WaitsFor::Zoho => {
                self.send(self.client.get(url(control::ALIVE)), PATIENCE).await?;
                let clock = SystemClock::new();
                let mut answer = std::pin::pin!(self.read(request, LOOK_PATIENCE));
                tokio::select! {
                    answer = &mut answer => return answer,
                    () = clock.sleep(UNSAID) => complain(&format!(
                        "note: the daemon is waiting for Zoho; the answer is waited for at most {} \
                         minutes",
                        LOOK_PATIENCE.as_secs() / 60
                    )),
                }
                answer.await
            }
        }
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        patience: Duration,
    ) -> anyhow::Result<(reqwest::StatusCode, Vec<u8>)> {
        let silent = |error: reqwest::Error| {
            let socket = self.socket.display();
            let why = match error.is_timeout() {
                true => format!(
                    "the daemon at {socket} did not answer within {} seconds; it is stopped or \
                     overloaded",
                    patience.as_secs()
                ),
                false => format!("the daemon at {socket} does not answer"),
            };
            anyhow::Error::from(error.without_url()).context(why)
        };
        let reply = request.timeout(patience).send().await.map_err(silent)?;
        let status = reply.status();
        Ok((status, reply.bytes().await.map_err(silent)?.to_vec()))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        patience: Duration,
    ) -> anyhow::Result<T> {
        let (status, body) = self.send(request, patience).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .context("the daemon's answer cannot be read (is it another version?)");
        }
        match serde_json::from_slice::<ErrorReply>(&body) {
            Ok(ErrorReply { error }) if status == reqwest::StatusCode::UNPROCESSABLE_ENTITY => {
                bail!(BadConfig::Daemon(error))
            }
            Ok(ErrorReply { error }) => bail!(error),
            Err(_) => bail!("the daemon answered HTTP {status}"),
        }
    }
}

impl Here {
    async fn open(
        common: &Common,
        state_dir: &Path,
        purpose: Use,
        is_from_memory: bool,
    ) -> anyhow::Result<Here> {
        let surroundings = Surroundings::of_process();
        let loaded = config::load(&common.config, &surroundings);
        print_problems(&loaded);
        let mut desired = loaded.desired.clone().ok_or(BadConfig::Said)?;
        // The store on this machine knows nothing of what the machines share.
        let is_theirs = purpose != Use::Look || is_from_memory;
        if is_theirs && desired.settings.cluster.is_some() {
            bail!(ALONE);
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = match purpose {
            Use::Look if !Store::exists(state_dir) => for_a_look(&common.config, &*clock)?,
            Use::Look | Use::Write | Use::Change => open(state_dir, &*clock)?,
        };
        if purpose == Use::Change {
            let refusal = emptied::refusal(&common.config, &desired, &store, Emptied::Refused);
            if let Some(why) = refusal.map_err(|error| anyhow::anyhow!(chain(&error)))? {
                bail!(BadConfig::Daemon(why));
            }
        }
        let warnings = former::remember(
            &mut desired,
            None,
            &store,
            &surroundings,
            Emptied::Refused,
            &BTreeMap::new(),
        )
        .map_err(|error| anyhow::anyhow!(chain(&error)))?;
        if purpose == Use::Change {
            keeps_slack(&desired, &store)?;
            store.keep_desired(&desired).await.map_err(|error| anyhow::anyhow!(chain(&error)))?;
        }
        let carriers = Carriers::all(network(&desired.settings)?);
        let file = common.config.display().to_string();
        let config = ConfigState { file, warnings, ..ConfigState::default() };
        let given = PartsGiven { config, ..PartsGiven::new(desired, store, clock, carriers) };
        let parts = assemble(given, Host::Command)?;
        let (desk, reloader, asked) = parts.desk(common.config.clone(), surroundings, Some(loaded));
        Ok(Here { desk, parts, reloader, asked })
    }

    /// The scheduler turns for as long as the answer is made.
    async fn answer<V: Verb>(self, verb: V) -> anyhow::Result<V::Answer> {
        let Here { desk, parts, reloader, mut asked } = self;
        let stop = Stop::default();
        let mut tasks = Tasks::spawn(parts.tasks(&stop));
        let answering = async move {
            let answer = verb.answer(&desk).await;
            // `reloading` ends with the desk, which holds the way to it.
            drop(desk);
            stop.asked.cancel();
            answer
        };
        let reloading = async {
            while let Some(Reloading { proposing, answer }) = asked.recv().await {
                // Whoever asked may have gone.
                let _heard = answer.send(reloader.reload(proposing).await);
            }
        };
        let (answer, turned, ()) = tokio::join!(answering, tasks.joined(), reloading);
        turned?;
        answer.map_err(|error| {
            let is_config = matches!(error, VerbError::BadConfig(_));
            if is_config { BadConfig::Daemon(error.to_string()).into() } else { error.into() }
        })
    }
}

/// How long a daemon may take for what it has in memory.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a daemon may take for what it asks Zoho.
const LOOK_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// From this on somebody at a terminal wonders.
const UNSAID: Duration = Duration::from_secs(3);

/// A command has no claim to any account, and no memory of one.
const ALONE: &str = "several machines share the accounts, and no daemon runs here: start it, or \
                     ask the daemon of another machine";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_state_directories_the_first_is_taken() {
        let first = |dirs: &str| first_of(OsStr::new(dirs));
        assert_eq!(first("/var/lib/a"), Some(PathBuf::from("/var/lib/a")));
        assert_eq!(first("/var/lib/a:/var/lib/b"), Some(PathBuf::from("/var/lib/a")));
        assert_eq!(first(""), None);
    }
}
