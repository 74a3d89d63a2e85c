//! How a verb reaches the store: through the daemon that holds it, or in this process when none
//! does.
//!
//! The daemon's socket is tried first. Without a daemon the config is read here, and the store in
//! the state directory is opened if there is one. A `plan` needs none: before anything is installed
//! it works on an empty store that is gone when the command ends.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Loaded, Look, STATE_DIR_DEFAULT, Surroundings};
use crate::daemon::control::{self, ErrorReply};
use crate::daemon::fleet::{Fleet, Means};
use crate::daemon::run::network;
use crate::daemon::scheduler::chain;
use crate::model::desired::Desired;
use crate::model::secret::Secret;
use crate::store::{Migrated, Opened, Store};

use super::{Common, complain, complain_in_colour};

/// The way to the store.
pub enum Way {
    /// Through the daemon.
    Daemon(Box<Daemon>),
    /// In this process.
    Here(Box<Here>),
    /// Not at all: the config cannot be used, and it was said why.
    BadConfig,
}

/// A daemon's socket.
pub struct Daemon {
    client: reqwest::Client,
    /// The socket, for messages.
    pub socket: PathBuf,
}

/// The daemon cannot use the config: its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadConfig(String);

/// Everything a verb needs, in this process.
pub struct Here {
    /// What is declared.
    pub desired: Desired,
    /// The accounts.
    pub fleet: Fleet,
    /// The memory.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// What a verb does with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Reads it, if there is one.
    Look,
    /// Writes it, and begins one if need be.
    Change,
}

/// Finds the way.
///
/// # Errors
/// When the store cannot be opened.
pub async fn find(common: &Common, purpose: Use) -> anyhow::Result<Way> {
    let loaded = config::load(&common.config, &Surroundings::of_process());
    let state_dir = state_dir(common, &loaded);
    if let Some(daemon) = Daemon::connect(&state_dir).await? {
        return Ok(Way::Daemon(Box::new(daemon)));
    }
    print_problems(&loaded);
    let Some(desired) = loaded.desired else { return Ok(Way::BadConfig) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let store = match purpose {
        Use::Look if !Store::exists(&state_dir) => Store::temporary()?,
        Use::Look | Use::Change => open(&state_dir, &*clock)?,
    };
    Ok(Way::Here(Box::new(here(desired, store, clock)?)))
}

/// The running daemon, whatever the config is worth.
///
/// # Errors
/// When it may not be talked to.
pub async fn daemon(common: &Common) -> anyhow::Result<Option<Daemon>> {
    let loaded = config::load(&common.config, &Surroundings::of_process());
    Daemon::connect(&state_dir(common, &loaded)).await
}

/// What a URL answers, to whom it is shown a token, if there is one; `path` is asked for when the
/// URL names none. At most so long, and so many bytes.
///
/// # Errors
/// When it is no URL, does not answer in time, or answers anything but 200 or more than that.
pub async fn fetch(
    (url, token): (&str, Option<&Secret>),
    path: &str,
    (patience, size_max): (Duration, usize),
) -> anyhow::Result<Vec<u8>> {
    // The URL may hold a password.
    let mut url: reqwest::Url = url.parse().context("--url is no URL")?;
    if url.path() == "/" {
        url.set_path(path);
    }
    let client = crate::zoho::transport::client()?.timeout(patience).build()?;
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
        ensure!(body.len() <= size_max, "{named} answered more than {} KiB", size_max / 1024);
    }
    Ok(body)
}

/// In this process even beside a running daemon, for what concerns no store: then with an empty
/// one. `None` when the config cannot be used, and it was said why.
///
/// # Errors
/// When the store cannot be opened.
pub async fn beside(common: &Common) -> anyhow::Result<Option<Here>> {
    let loaded = config::load(&common.config, &Surroundings::of_process());
    let state_dir = state_dir(common, &loaded);
    print_problems(&loaded);
    let Some(desired) = loaded.desired else { return Ok(None) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let is_free = Store::exists(&state_dir) && Daemon::connect(&state_dir).await?.is_none();
    let store = if is_free { open(&state_dir, &*clock)? } else { Store::temporary()? };
    Ok(Some(here(desired, store, clock)?))
}

fn here(desired: Desired, store: Store, clock: Arc<dyn Clock>) -> anyhow::Result<Here> {
    let transport = network(&desired.settings)?;
    let means = Means { store: store.clone(), transport, clock: clock.clone() };
    let fleet = Fleet::new(desired.clone(), std::collections::BTreeMap::new(), &means, None)?;
    Ok(Here { desired, fleet, store, clock })
}

/// Where the store is: `--state-dir`, else `$STATE_DIRECTORY`, else `[daemon] state_dir`, else the
/// default. In this order a config that does not parse does not also hide the store with the last
/// good state.
pub fn state_dir(common: &Common, loaded: &Loaded) -> PathBuf {
    let of_systemd =
        || std::env::var_os("STATE_DIRECTORY").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let given = common.state_dir.clone().or_else(of_systemd).or_else(|| loaded.state_dir.clone());
    given.unwrap_or_else(|| PathBuf::from(STATE_DIR_DEFAULT))
}

/// Problems and warnings of a config, to stderr.
pub fn print_problems(loaded: &Loaded) {
    let look = match (std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR")) {
        (true, None) => Look::Colour,
        (true, Some(_)) => Look::Unicode,
        (false, _) => Look::Plain,
    };
    let all: Vec<_> = loaded.problems.iter().chain(&loaded.warnings).cloned().collect();
    if !all.is_empty() {
        complain_in_colour(config::render(&all, look).trim_end());
    }
}

fn open(state_dir: &Path, clock: &dyn Clock) -> anyhow::Result<Store> {
    let Opened { store, moved_aside, migrated } = Store::open(state_dir, clock.now())?;
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

    /// GET.
    ///
    /// # Errors
    /// The daemon's own words, when it refuses.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(self.client.get(format!("http://daemon{path}"))).await
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// The daemon's own words, when it refuses.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        self.read(self.client.post(format!("http://daemon{path}")).json(body)).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let silent = || format!("the daemon at {} does not answer", self.socket.display());
        let reply = request.send().await.with_context(silent)?;
        let status = reply.status();
        let body = reply.bytes().await.with_context(silent)?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .context("the daemon's answer cannot be read (is it another version?)");
        }
        match serde_json::from_slice::<ErrorReply>(&body) {
            Ok(ErrorReply { error }) if status == reqwest::StatusCode::UNPROCESSABLE_ENTITY => {
                bail!(BadConfig(error))
            }
            Ok(ErrorReply { error }) => bail!(error),
            Err(_) => bail!("the daemon answered HTTP {status}"),
        }
    }
}

impl Here {
    /// Makes the declaration the desired state: what is taken out of it later is then known to have
    /// been there.
    ///
    /// # Errors
    /// When the store fails.
    pub fn keep_desired(&self) -> anyhow::Result<()> {
        self.store.keep_desired(&self.desired).map_err(|error| anyhow::anyhow!(chain(&error)))?;
        Ok(())
    }
}
