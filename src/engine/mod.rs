//! The engine: what several machines share.
//!
//! [`Engine`] asks little of it, so that a well-kept one of others can stand behind it: values by
//! key, revisions that only grow, one transaction that is applied whole or not at all, and a watch
//! that may lose things. Time is not its matter: no lease, no expiry, no clock of another machine.
//!
//! A *revision* counts what was committed. Each key tells the revision at which it was created and
//! the one at which it was last written. A key that is deleted and written again is created anew.
//!
//! Only an answer counts. [`Committed::Refused`] is one: a guard did not hold and nothing was
//! applied. Every [`EngineError`] says that nothing is known to have happened, and that no guard
//! is known to have failed: whoever gets one has lost nothing yet.
//!
//! - `etcd`: etcd 3.4 or later, over its JSON face;
//! - `simulated`: in memory, with the faults that a test asks for;
//! - `room`: when an engine fills up;
//! - `conformance`: the suite that holds each engine to this page;
//! - `limits`: requests that no engine takes, and selections that overlap.
//!
//! Deliberately absent: who owns what, and what the values mean.

#[doc(hidden)]
pub mod conformance;
pub mod etcd;
mod limits;
pub mod room;
pub mod simulated;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::mpsc;

/// A point in what was committed. Each commit that changes something has a higher one; 0 is before
/// all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// When the key was created.
    pub created: Revision,
    /// When it was last written.
    pub modified: Revision,
}

/// The keys to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// One key.
    Key(String),
    /// All keys that begin with this.
    Prefix(String),
    /// The keys that begin with this, without their values, which are empty.
    KeysOf(String),
}

/// The entries that were read at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// In the order of their keys, each once.
    pub entries: Vec<Entry>,
    /// The revision.
    pub revision: Revision,
}

/// A condition of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key was last written at this revision. Revision 0: there is no such key.
    ModifiedAt(String, Revision),
    /// The key was created at this revision. Revision 0: there is no such key.
    CreatedAt(String, Revision),
    /// The key was not created at this revision: it is gone, or another one.
    NotCreatedAt(String, Revision),
}

/// The change of a key by a commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Sets its value.
    Put(String, Vec<u8>),
    /// Removes it. A key that is not there stays so.
    Delete(String),
}

/// How a commit was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Every guard held, and all changes were applied, at this revision. Where nothing changed, it
    /// is the latest one.
    Done(Revision),
    /// A guard did not hold, and nothing was applied.
    Refused,
}

/// Nobody knows what became of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No answer came, or none that can be read: a commit may have been applied.
    #[error("the engine cannot be reached: {0}")]
    Unreachable(String),
    /// The engine says that it cannot: it is full, or knows us not. Nothing was applied.
    #[error("the engine refuses: {0}")]
    Unable(String),
}

/// A key was written or removed. Hints may come late, twice, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The key. The watched prefix itself says that hints may have been lost.
    pub key: String,
    /// The revision of the change.
    pub revision: Revision,
}

/// How the engine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Its kind and release, as in `etcd 3.5.16`.
    pub version: String,
    /// Which of its machines says so, as it is written in the config; `None` when there is but one.
    pub endpoint: Option<String>,
    /// Its latest revision.
    pub revision: Revision,
    /// The size of its database, in bytes.
    pub bytes: u64,
    /// The most that it may take, in bytes; `None` when the engine does not say.
    pub quota: Option<u64>,
    /// The alarms that it raises, as `NOSPACE`.
    pub alarms: Vec<String>,
}

/// The future of one request to the engine.
pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, EngineError>> + Send + 'a>>;

/// Keeps what several machines share.
pub trait Engine: fmt::Debug + Send + Sync {
    /// Reads, all at one revision, however much it is. At least one selection, and at most
    /// [`OPERATIONS_MAX`].
    fn range(&self, selections: Vec<Selection>) -> Asked<'_, Snapshot>;

    /// Applies all changes if every guard holds; without a change it tells whether they do. At most
    /// [`OPERATIONS_MAX`] guards, and as many changes; together at most [`COMMIT_BYTES_MAX`] bytes.
    /// A key is named by one change at most.
    fn commit(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Asked<'_, Committed>;

    /// Hints at changes of the keys that begin with this, from about now on. It ends with its
    /// receiver, and goes on by itself after a loss. It is called within a runtime.
    fn watch(&self, prefix: String) -> mpsc::Receiver<Hint>;

    /// How the engine does.
    fn status(&self) -> Asked<'_, EngineStatus>;
}

/// How long one request may take. A read may be asked of each of the engine's machines in turn.
pub const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// The most operations of one request. etcd's own limit is 128
/// (<https://etcd.io/docs/v3.5/op-guide/configuration/>, `max-txn-ops`).
pub const OPERATIONS_MAX: usize = 100;
/// The most bytes of one commit. etcd's own limit is 1.5 MiB (`max-request-bytes`), as it is sent.
pub const COMMIT_BYTES_MAX: usize = 1_000_000;

impl Guard {
    /// The key that it is about.
    pub fn key(&self) -> &str {
        match self {
            Guard::ModifiedAt(key, _) | Guard::CreatedAt(key, _) | Guard::NotCreatedAt(key, _) => {
                key
            }
        }
    }

    /// True when it holds where this is found under its key.
    pub fn holds(&self, found: Option<&Entry>) -> bool {
        let created = found.map_or(Revision::default(), |entry| entry.created);
        let modified = found.map_or(Revision::default(), |entry| entry.modified);
        match self {
            Guard::ModifiedAt(_, at) => modified == *at,
            Guard::CreatedAt(_, at) => created == *at,
            Guard::NotCreatedAt(_, at) => created != *at,
        }
    }
}

impl fmt::Debug for Change {
    /// The value may be a sealed secret, and is long: only its length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Put(key, value) => write!(f, "Put({key:?}, {} bytes)", value.len()),
            Change::Delete(key) => write!(f, "Delete({key:?})"),
        }
    }
}
