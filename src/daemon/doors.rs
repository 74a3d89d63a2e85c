//! The ways in: the HTTP listener for the health endpoints, and the control socket.
//!
//! Both are opened before anything runs, so that a daemon that cannot be reached as it was asked to
//! does not start. A socket that systemd handed over goes before `--listen`, and that before the
//! config. An address that other hosts can reach needs `http.public`, whoever names it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tracing::info;

use crate::expose::access::Door;
use crate::expose::http::{self, Shown};
use crate::expose::lookups::{AccountMemory, ChannelMemory, Lookups, TokenFacts};
use crate::model::channel::{AccountName, ChannelId};
use crate::model::desired::Settings;
use crate::reconcile::subject::Subject;
use crate::store::{Store, StoreError};

use super::assembly::Parts;
use super::control;
use super::desk::Desk;
use super::scheduler::chain;
use super::tasks::{Stop, Task};

/// An address or a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system says no.
    #[error("{what} cannot be listened on")]
    Unheard {
        /// Which.
        what: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The config does not allow the address.
    #[error(
        "other hosts can reach {0}: listen on 127.0.0.1, or set public = true under [http] of the \
         config"
    )]
    NotPublic(SocketAddr),
}

/// The addresses that a daemon was told to listen at, besides that of its config.
#[derive(Default)]
pub(crate) struct AddressesTold {
    /// The socket of systemd.
    pub inherited: Option<std::net::TcpListener>,
    /// The address of the command line.
    pub address: Option<SocketAddr>,
}

/// Open listeners, at which nobody is answered yet.
pub(crate) struct Doors {
    http: Option<(TcpListener, SocketAddr)>,
    control: (UnixListener, PathBuf),
}

impl Doors {
    /// Opens them; that of the health endpoints only where `has_http`.
    ///
    /// # Errors
    /// When one cannot be listened on, or may not.
    pub(crate) async fn open(
        told: AddressesTold,
        settings: &Settings,
        has_http: bool,
        state_dir: &Path,
    ) -> Result<Doors, ListenError> {
        let AddressesTold { inherited, address } = told;
        let asked = inherited.as_ref().map_or(address, |socket| socket.local_addr().ok());
        let is_open = |address: &SocketAddr| !address.ip().is_loopback() && !settings.http.public;
        if let Some(address) = asked.filter(is_open) {
            return Err(ListenError::NotPublic(address));
        }
        let http = match inherited {
            _ if !has_http => None,
            Some(socket) => Some(TcpListener::from_std(socket).map_err(unheard(INHERITED))?),
            None => listen_on(address, settings.listen).await?,
        };
        let with_address = |listener: TcpListener| {
            let address = listener.local_addr().map_err(unheard("the HTTP socket"))?;
            Ok((listener, address))
        };
        let control = control::bind(state_dir).map_err(unheard("the control socket"))?;
        Ok(Doors {
            http: http.map(with_address).transpose()?,
            control: (control, control::socket_path(state_dir)),
        })
    }

    /// The address of the health endpoints.
    pub(crate) fn listening(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|(_, address)| *address)
    }

    /// Who answers at them.
    pub(crate) fn tasks(self, parts: &Parts, desk: Desk, stop: &Stop) -> Vec<Task> {
        let (socket, path) = self.control;
        let mut tasks = vec![Task::new(
            "control socket",
            control::serve(socket, path, desk, stop.closing.clone()),
        )];
        if let Some((listener, address)) = self.http {
            let settings = parts.links.fleet.borrow().settings.clone();
            let door = Door::new(address, &settings.http);
            let router = http::router(shown(parts, &settings), door);
            let serving = http::serve(listener, router, stop.closing.clone());
            tasks.push(Task::new("HTTP listener", serving));
            info!(%address, "health endpoints are open");
        }
        tasks
    }
}

/// The address of the command line goes before that of the config.
async fn listen_on(
    given: Option<SocketAddr>,
    configured: Option<SocketAddr>,
) -> Result<Option<TcpListener>, ListenError> {
    let Some(address) = given.or(configured) else { return Ok(None) };
    let key = if given.is_some() { "--listen" } else { "`[http] listen` of the config" };
    let what = format!("http://{address}, which {key} says,");
    TcpListener::bind(address).await.map(Some).map_err(unheard(&what))
}

/// An error of the system, at what.
pub(super) fn unheard(what: &str) -> impl FnOnce(std::io::Error) -> ListenError {
    let what = what.to_owned();
    move |source| ListenError::Unheard { what, source }
}

/// The parts that the listener shows.
fn shown(parts: &Parts, settings: &Settings) -> Shown {
    let (links, clock) = (&parts.links, parts.means.clock.clone());
    let (pulse, of_pulse) = (links.pulse.clone(), clock.clone());
    let (fleet, store) = (links.fleet.clone(), parts.means.store.clone());
    let of_channels = store.clone();
    let account = move |name: &AccountName| {
        let subject = fleet.borrow().subjects.get(name).cloned();
        let memory = subject.map(|subject| account_memory(&subject, &store)).transpose();
        memory.map_err(|error| chain(&error))
    };
    let channel = move |name: &AccountName, id: ChannelId| {
        channel_memory(&of_channels, name, id).map_err(|error| chain(&error))
    };
    let request_timeout = settings.request_timeout;
    Shown {
        overview: links.overview.clone(),
        loop_age: Arc::new(move || pulse.age(&*of_pulse)),
        measured: parts.measured(),
        clock,
        memory: Lookups { account: Arc::new(account), channel: Arc::new(channel), request_timeout },
    }
}

fn channel_memory(
    store: &Store,
    account: &AccountName,
    id: ChannelId,
) -> Result<ChannelMemory, StoreError> {
    let (record, ledger) = (store.record(account, id)?, store.ledger(account, id)?);
    let mut recoveries = store.recoveries(account)?;
    recoveries.retain(|recovery| recovery.channel == id);
    Ok(ChannelMemory { record, ledger, acks: store.acks(account, id)?, recoveries })
}

fn account_memory(subject: &Subject, store: &Store) -> Result<AccountMemory, StoreError> {
    let account = &subject.desired.account;
    let token = store.token(&account.name)?.map(|token| TokenFacts {
        until: token.access.map(|(_, until)| until),
        denied: token.denied.map(|denied| (denied.what, denied.until)),
    });
    Ok(AccountMemory {
        policy: account.policy.clone(),
        state: store.account_state(&account.name)?,
        wishes: store.wishes(&account.name)?,
        api: account.api_base(),
        token: token.unwrap_or_default(),
    })
}

/// The name of the socket in a message.
pub(super) const INHERITED: &str = "the socket that systemd handed over";
