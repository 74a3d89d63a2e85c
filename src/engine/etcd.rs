//! etcd, 3.4 or later, over its JSON face.
//!
//! That face is etcd's gRPC gateway (<https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/>): keys
//! and values in base64, 64-bit numbers as strings, and no field whose value is zero or false. It
//! asks for no crate that is not here.
//!
//! Every request has a time-out of its own. After a failure the next machine of etcd is asked, from
//! then on by all. A read is asked of each once. A commit that may have arrived is not sent again:
//! its guards would refuse what it did itself, and that would be told as a loss. It goes to the
//! next machine only if it did not leave.
//!
//! Only an answer with `succeeded: false` is [`Committed::Refused`]; as that is left out when false,
//! an answer has to have a header. An error text that is not known is
//! [`EngineError::Unreachable`]: a text that another release words otherwise must demote nobody.
//!
//! The way to etcd goes through no proxy.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch as latest};

use self::watch::follow_on;
use self::wire::{Alarms, Authenticated, Found, Header, Range, Status, Txn, TxnReply};
use super::limits::{check_commit, check_range, put_once};
use super::{
    Asked, Change, Committed, Engine, EngineError, EngineStatus, Entry, Guard, Hint,
    REQUEST_TIMEOUT, Revision, Selection, Snapshot,
};
use crate::clock::Clock;
use crate::https::{self, SetupError, words};
use crate::model::sanitize::plain;
use crate::model::secret::Secret;

mod watch;
mod wire;

/// An etcd.
#[derive(Debug)]
pub struct Etcd(Arc<Way>);

/// Where it is and who asks.
#[derive(Clone, Debug)]
pub struct EtcdSettings<'a> {
    /// Its machines: scheme, host and port of each, at least one.
    pub endpoints: &'a [String],
    /// The user and the password, where etcd asks for one.
    pub login: Option<(String, Secret)>,
    /// A file of certificates that are trusted beside the system's.
    pub ca_file: Option<&'a Path>,
}

impl Etcd {
    /// One that was not asked anything yet.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn new(settings: EtcdSettings<'_>, clock: Arc<dyn Clock>) -> Result<Etcd, SetupError> {
        Etcd::patient(settings, clock, REQUEST_TIMEOUT)
    }

    /// The same, whose requests may take so long: for a machine that is too busy to keep time.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn patient(
        settings: EtcdSettings<'_>,
        clock: Arc<dyn Clock>,
        timeout: Duration,
    ) -> Result<Etcd, SetupError> {
        let EtcdSettings { endpoints, login, ca_file } = settings;
        let builder = https::direct().connect_timeout(CONNECT_TIMEOUT).tcp_keepalive(KEEPALIVE);
        Ok(Etcd(Arc::new(Way {
            client: https::build(builder, ca_file)?,
            endpoints: endpoints.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            first: latest::Sender::new(0),
            login,
            token: Mutex::default(),
            timeout,
            clock,
        })))
    }

    async fn read(&self, selections: &[Selection]) -> Result<Snapshot, EngineError> {
        for _ in 0..READS_MAX {
            match self.pages(selections).await {
                // It was compacted between two pages: they are read anew.
                Err(Failure::Said(text)) if text == COMPACTED => {}
                read => return read.map_err(|failure| self.0.error(failure)),
            }
        }
        Err(EngineError::Unreachable("it is compacted faster than it can be read".to_owned()))
    }

    /// Reads all, page by page, at the revision of the first one.
    async fn pages(&self, selections: &[Selection]) -> Result<Snapshot, Failure> {
        let mut left: VecDeque<Range> = selections.iter().map(Range::of).collect();
        let (mut width, mut room, mut at) = (left.len(), PAGE_KEYS, None);
        let mut found: BTreeMap<String, Entry> = BTreeMap::new();
        while !left.is_empty() {
            let mut asked: Vec<Range> = left.drain(..width.min(left.len())).collect();
            let limit = (room / asked.len()).max(1);
            let page = self.page(&asked, limit, at).await;
            let Err(Failure::TooLarge) = page else {
                let (revision, pages) = page?;
                at = Some(revision);
                for (range, page) in asked.into_iter().zip(pages) {
                    left.extend(range.behind(&page));
                    let entries = page.kvs.into_iter().filter_map(|kv| kv.into_entry());
                    entries.for_each(|entry| put_once(&mut found, entry.key.clone(), entry));
                }
                continue;
            };
            match (asked.len(), limit) {
                (1, 1) => return Err(Failure::TooLarge),
                (1, _) => room = limit / 2,
                (many, _) => width = many / 2,
            }
            while let Some(range) = asked.pop() {
                left.push_front(range);
            }
        }
        let revision = at.unwrap_or_default();
        Ok(Snapshot { entries: found.into_values().collect(), revision })
    }

    async fn page(
        &self,
        asked: &[Range],
        limit: usize,
        at: Option<Revision>,
    ) -> Result<(Revision, Vec<Found>), Failure> {
        let txn = Txn::reads(asked, limit, at);
        let reply: TxnReply = self.0.call("/v3/kv/txn", &txn.into_body(), Repeat::IfLost).await?;
        let revision = reply.header.revision()?;
        let pages: Vec<Found> =
            reply.responses.into_iter().filter_map(|each| each.response_range).collect();
        if pages.len() != asked.len() {
            return Err(Failure::Lost("an answer to something else".to_owned()));
        }
        Ok((at.unwrap_or(revision), pages))
    }

    async fn write(&self, guards: &[Guard], changes: &[Change]) -> Result<Committed, Failure> {
        let txn = Txn::writes(guards, changes);
        let reply: TxnReply =
            self.0.call("/v3/kv/txn", &txn.into_body(), Repeat::IfNotSent).await?;
        let revision = reply.header.revision()?;
        Ok(if reply.succeeded { Committed::Done(revision) } else { Committed::Refused })
    }

    async fn state(&self) -> Result<EngineStatus, Failure> {
        let way = &self.0;
        let status: Status = way.call("/v3/maintenance/status", b"{}", Repeat::IfLost).await?;
        let alarms: Alarms =
            way.call("/v3/maintenance/alarm", br#"{"action":"GET"}"#, Repeat::IfLost).await?;
        let mut alarms: Vec<String> = alarms.alarms.into_iter().map(|alarm| alarm.alarm).collect();
        alarms.sort();
        alarms.dedup();
        Ok(EngineStatus {
            version: format!("etcd {}", way.shown(&status.version)),
            endpoint: way.endpoints.get(*way.first.borrow()).cloned(),
            revision: status.header.revision()?,
            bytes: status.db_size,
            quota: Some(status.db_size_quota).filter(|quota| *quota > 0),
            alarms: alarms.iter().map(|alarm| way.shown(alarm)).collect(),
        })
    }
}

impl Engine for Etcd {
    fn range(&self, selections: Vec<Selection>) -> Asked<'_, Snapshot> {
        Box::pin(async move {
            check_range(&selections)?;
            self.read(&selections).await
        })
    }

    fn commit(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Asked<'_, Committed> {
        Box::pin(async move {
            check_commit(&guards, &changes)?;
            self.write(&guards, &changes).await.map_err(|failure| self.0.error(failure))
        })
    }

    fn watch(&self, prefix: String) -> mpsc::Receiver<Hint> {
        let (tell, hints) = mpsc::channel(HINTS_MAX);
        // It ends with its receiver.
        tokio::spawn(follow_on(self.0.clone(), prefix, tell));
        hints
    }

    fn status(&self) -> Asked<'_, EngineStatus> {
        Box::pin(async move { self.state().await.map_err(|failure| self.0.error(failure)) })
    }
}

/// The way there.
struct Way {
    client: reqwest::Client,
    endpoints: Vec<String>,
    /// The endpoint that is asked first; watches follow it.
    first: latest::Sender<usize>,
    login: Option<(String, Secret)>,
    /// The token that etcd gave for the login.
    token: Mutex<Option<Secret>>,
    /// How long one request may take.
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

/// When a request is sent to the next machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// If it may have arrived and no answer came.
    IfLost,
    /// If it did not leave.
    IfNotSent,
}

/// The reason why there is no answer that can be used.
#[derive(Debug)]
enum Failure {
    /// It did not leave.
    NotSent(String),
    /// It may have arrived.
    Lost(String),
    /// The answer is larger than is read.
    TooLarge,
    /// etcd says why not.
    Said(String),
}

impl Way {
    /// Asks the machines in turn, from the one that answered last.
    async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &[u8],
        repeat: Repeat,
    ) -> Result<T, Failure> {
        let mut failure = Failure::NotSent("there is no endpoint".to_owned());
        for _ in &self.endpoints {
            let at = *self.first.borrow();
            failure = match self.ask_as_user(at, path, body).await {
                Err(failure) if failure.is_of_one_machine() => failure,
                answer => return answer,
            };
            self.turn_from(at);
            if repeat == Repeat::IfNotSent && !matches!(failure, Failure::NotSent(_)) {
                break;
            }
        }
        Err(failure)
    }

    /// Whoever failed there first turns everybody to the next one.
    fn turn_from(&self, at: usize) {
        let next = (at + 1) % self.endpoints.len().max(1);
        self.first.send_if_modified(|first| {
            let is_mine = *first == at && next != at;
            if is_mine {
                *first = next;
            }
            is_mine
        });
    }

    /// Asks with a token. One that etcd no longer knows is renewed, once.
    async fn ask_as_user<T: DeserializeOwned>(
        &self,
        at: usize,
        path: &str,
        body: &[u8],
    ) -> Result<T, Failure> {
        let token = self.token_at(at).await?;
        match self.ask(at, path, body.to_vec(), token.as_ref()).await {
            Err(Failure::Said(text)) if token.is_some() && is_of_the_token(&text) => {
                self.forget(token.as_ref());
                let token = self.token_at(at).await?;
                self.ask(at, path, body.to_vec(), token.as_ref()).await
            }
            answer => answer,
        }
    }

    async fn token_at(&self, at: usize) -> Result<Option<Secret>, Failure> {
        let Some((user, password)) = &self.login else { return Ok(None) };
        if let Some(token) = self.with_token(|held| held.clone()) {
            return Ok(Some(token));
        }
        let body = wire::login(user, password);
        let answer = self.ask::<Authenticated>(at, "/v3/auth/authenticate", body, None).await;
        let answer = answer.map_err(|failure| match failure {
            // The request for which the token is has not left.
            Failure::Lost(words) => Failure::NotSent(words),
            Failure::NotSent(_) | Failure::TooLarge | Failure::Said(_) => failure,
        })?;
        let token = Secret::new(answer.token);
        self.with_token(|held| *held = Some(token.clone()));
        Ok(Some(token))
    }

    /// Forgets a token, unless another request has renewed it.
    fn forget(&self, token: Option<&Secret>) {
        self.with_token(|held| {
            if held.as_ref() == token {
                *held = None;
            }
        });
    }

    fn with_token<T>(&self, act: impl FnOnce(&mut Option<Secret>) -> T) -> T {
        act(&mut self.token.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One request to one machine.
    async fn ask<T: DeserializeOwned>(
        &self,
        at: usize,
        path: &str,
        body: Vec<u8>,
        token: Option<&Secret>,
    ) -> Result<T, Failure> {
        let request = self.request(at, path, body, token)?.timeout(self.timeout);
        let reply = request.send().await.map_err(|error| self.failed(at, &error))?;
        let status = reply.status().as_u16();
        let body = self.body(at, reply).await?;
        if status != 200 {
            return Err(wire::said(&body).map_or_else(
                || self.lost(at, &format!("HTTP {status}, and no error of etcd's")),
                Failure::Said,
            ));
        }
        serde_json::from_slice(&body).map_err(|_| self.lost(at, "an answer that is not etcd's"))
    }

    fn request(
        &self,
        at: usize,
        path: &str,
        body: Vec<u8>,
        token: Option<&Secret>,
    ) -> Result<reqwest::RequestBuilder, Failure> {
        let endpoint = self.endpoint(at);
        let request = self.client.post(format!("{endpoint}{path}")).body(body);
        let Some(token) = token else { return Ok(request) };
        let mut value = HeaderValue::try_from(token.expose())
            .map_err(|_| Failure::NotSent(format!("{endpoint}: its token fits no header")))?;
        value.set_sensitive(true);
        Ok(request.header(AUTHORIZATION, value))
    }

    async fn body(&self, at: usize, mut reply: reqwest::Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(|error| self.failed(at, &error))? {
            if body.len() + chunk.len() > REPLY_MAX {
                return Err(Failure::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn failed(&self, at: usize, error: &reqwest::Error) -> Failure {
        let words = format!("{}: {}", self.endpoint(at), words(error));
        let has_left = !error.is_connect() && !error.is_builder();
        if has_left { Failure::Lost(words) } else { Failure::NotSent(words) }
    }

    fn lost(&self, at: usize, words: &str) -> Failure {
        Failure::Lost(format!("{}: {words}", self.endpoint(at)))
    }

    fn endpoint(&self, at: usize) -> &str {
        self.endpoints.get(at).map_or("", String::as_str)
    }

    fn error(&self, failure: Failure) -> EngineError {
        match failure {
            Failure::NotSent(words) | Failure::Lost(words) => {
                EngineError::Unreachable(self.shown(&words))
            }
            Failure::TooLarge => {
                EngineError::Unreachable(format!("an answer of more than {REPLY_MAX} bytes"))
            }
            Failure::Said(text) if is_of_etcd(&text) => EngineError::Unable(self.shown(&text)),
            Failure::Said(text) => EngineError::Unreachable(self.shown(&text)),
        }
    }

    /// A foreign text as it may be shown: without secrets, without what steers a terminal, and
    /// short.
    fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let password = self.login.as_ref().map(|(_, password)| password.clone());
        for secret in password.into_iter().chain(self.with_token(|held| held.clone())) {
            if !secret.expose().is_empty() {
                text = text.replace(secret.expose(), "[secret]");
            }
        }
        text.chars().map(plain).take(WORDS_MAX).collect()
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Failure {
    /// True when another machine of the same etcd may answer.
    fn is_of_one_machine(&self) -> bool {
        match self {
            Failure::NotSent(_) | Failure::Lost(_) => true,
            Failure::TooLarge => false,
            Failure::Said(text) => !is_of_etcd(text) && text != COMPACTED,
        }
    }
}

impl Header {
    fn revision(&self) -> Result<Revision, Failure> {
        match self.revision {
            0 => Err(Failure::Lost("an answer without a revision".to_owned())),
            revision => Ok(Revision(revision)),
        }
    }
}

/// True when all of etcd says that it cannot, and has done nothing.
fn is_of_etcd(text: &str) -> bool {
    UNABLE.iter().any(|known| text.starts_with(known))
}

/// True when a login brings a token that does.
fn is_of_the_token(text: &str) -> bool {
    TOKEN.iter().any(|known| text.starts_with(known))
}

/// How etcd says that it does nothing, with the same words from every machine
/// (<https://github.com/etcd-io/etcd/blob/v3.4.23/etcdserver/api/v3rpc/rpctypes/error.go>).
const UNABLE: [&str; 9] = [
    "etcdserver: mvcc: database space exceeded",
    "etcdserver: permission denied",
    "etcdserver: authentication failed",
    "etcdserver: authentication is not enabled",
    "etcdserver: user name is empty",
    "etcdserver: request is too large",
    "etcdserver: too many operations",
    "etcdserver: duplicate key given",
    "etcdserver: key is not provided",
];
/// How it says that a token is of no use: it has expired, etcd was started again, or its users have
/// changed.
const TOKEN: [&str; 2] =
    ["etcdserver: invalid auth token", "etcdserver: revision of auth store is old"];
/// How it says that a revision is read no more.
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often an idle connection is tried.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Keys of one page: of pages of 5 kB, some 2 MB as they are sent.
const PAGE_KEYS: usize = 256;
/// The most that is read of one answer; two of the largest values fit.
const REPLY_MAX: usize = 4 * 1024 * 1024;
/// How often all is read anew when it was compacted meanwhile.
const READS_MAX: usize = 3;
/// Hints that wait for one watcher.
const HINTS_MAX: usize = 1024;
/// The most characters that are shown of a foreign text.
const WORDS_MAX: usize = 300;

#[cfg(test)]
mod tests;
