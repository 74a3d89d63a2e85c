//! One recovery: what it is about, how far it has come, and what became of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::coverage::gap::{GapCause, GapKind};
use crate::model::channel::{ChannelId, ChannelName};
use crate::model::events::{Events, Operation, Operations};
use crate::model::secret::Fingerprint;
use crate::model::time::Timestamp;

use super::pace::HandingProgress;
use super::read::Doubt;

/// The gaps of one module of one channel, which are filled together. All instants are in Zoho's
/// time but those of [`HandingProgress`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovery {
    /// Its number in its account; none is given twice.
    pub number: u64,
    /// The channel.
    pub channel: ChannelId,
    /// The channel's name when it was made.
    pub name: ChannelName,
    /// The module's API name.
    pub module: String,
    /// The URL that the deliveries belong to.
    pub notify_url: Fingerprint,
    /// The gaps, by operation and time.
    pub gaps: Vec<Lost>,
    /// When somebody asked for it; none when the ledger did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Timestamp>,
    /// True when it is to be counted only, and then waits.
    #[serde(default)]
    pub planned: bool,
    /// How far it has come.
    pub state: State,
    /// The deliveries, once they are frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Frozen>,
    /// Which of them were taken.
    #[serde(default)]
    pub progress: HandingProgress,
    /// The API credits that reading for it took.
    #[serde(default)]
    pub credits: u64,
    /// The doubts that are left.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub doubts: BTreeSet<Doubt>,
}

/// A gap of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The operation.
    pub operation: Operation,
    /// The beginning.
    pub from: Timestamp,
    /// Up to here.
    pub to: Timestamp,
    /// How sure the gap is; none when somebody asked for the stretch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<GapKind>,
    /// The gap's cause, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<GapCause>,
}

/// How far a recovery has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It waits to be read, or is being read.
    Reading,
    /// Zoho does not let it be read; it is tried again when the credentials change, or daily.
    Unreadable {
        /// Zoho's words.
        why: String,
        /// When it said so.
        at: Timestamp,
        /// The credentials that were refused.
        credentials: Fingerprint,
    },
    /// It is read and counted, and waits for a person.
    Held(HeldFor),
    /// Its deliveries are handed over.
    Handing,
    /// It is over.
    Done {
        /// When that was.
        at: Timestamp,
    },
    /// It was given up.
    Abandoned {
        /// The reason.
        why: String,
        /// When that was.
        at: Timestamp,
    },
}

/// The reason why a recovery waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeldFor {
    /// The mode is `plan`.
    Plan,
    /// It has more records than the config lets pass.
    Most,
}

/// Deliveries that do not change any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// When they were frozen, which is the `server_time` of each.
    pub at: Timestamp,
    /// How many there are.
    pub deliveries: u32,
    /// Missed creations.
    pub inserts: u64,
    /// Missed edits.
    pub updates: u64,
    /// Missed deletions.
    pub deletes: u64,
}

impl Recovery {
    /// The first instant of all its gaps.
    pub fn from(&self) -> Timestamp {
        self.gaps.iter().map(|gap| gap.from).min().unwrap_or(Timestamp::MAX)
    }

    /// The last instant of all its gaps.
    pub fn to(&self) -> Timestamp {
        self.gaps.iter().map(|gap| gap.to).max().unwrap_or(Timestamp::MIN)
    }

    /// The operations that it is about.
    pub fn operations(&self) -> Operations {
        let operations = self.gaps.iter().map(|gap| gap.operation);
        operations.fold(Operations::default(), Operations::with)
    }

    /// Returns whether it fills a gap of these events of its channel, whole or in part.
    pub fn fills(&self, events: &Events, from: Timestamp, to: Option<Timestamp>) -> bool {
        let of_module = events.of(&self.module);
        let overlaps = from < self.to() && to.is_none_or(|to| to > self.from());
        overlaps && self.operations().iter().any(|operation| of_module.contains(operation))
    }

    /// Returns whether nothing will come of it any more.
    pub const fn is_over(&self) -> bool {
        match self.state {
            State::Done { .. } | State::Abandoned { .. } => true,
            State::Reading | State::Unreadable { .. } | State::Held(_) | State::Handing => false,
        }
    }
}

impl Frozen {
    /// The records of all operations.
    pub const fn records(&self) -> u64 {
        self.inserts + self.updates + self.deletes
    }
}

impl State {
    /// The words of all states, in the order of a recovery's life.
    pub const WORDS: [&str; 6] =
        ["reading", "unreadable", "held", "handing-over", "done", "abandoned"];

    /// One word.
    pub const fn word(&self) -> &'static str {
        match self {
            State::Reading => "reading",
            State::Unreadable { .. } => "unreadable",
            State::Held(_) => "held",
            State::Handing => "handing-over",
            State::Done { .. } => "done",
            State::Abandoned { .. } => "abandoned",
        }
    }
}
