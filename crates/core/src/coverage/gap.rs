//! A gap, with its kind and its cause.

use serde::{Deserialize, Serialize};

use crate::model::events::Operation;
use crate::model::time::Timestamp;

/// A stretch of time in which changes were not, or may not have been, delivered. Half open: `to` is
/// the first instant after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The module's API name.
    pub module: String,
    /// The operation.
    pub operation: Operation,
    /// The beginning.
    pub from: Timestamp,
    /// Up to here; `None` while it is open.
    pub to: Option<Timestamp>,
    /// How sure that is.
    pub kind: GapKind,
    /// The cause of the gap.
    pub cause: GapCause,
}

/// How sure a gap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapKind {
    /// Changes were not delivered.
    Uncovered,
    /// The channel was covered, and what it delivered was not taken where it goes.
    Undeliverable,
    /// They may have been, and may not.
    Unknown,
}

/// The cause of a gap. The cause of an unknown gap is the event that ended the certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapCause {
    /// The channel came to its end.
    Expired,
    /// The channel is gone before its end: somebody deleted it.
    Absent,
    /// The channel is there and does not cover the event.
    EventMissing,
    /// The channel delivers to another URL than the declared one.
    WrongUrl,
    /// The id is somebody else's channel.
    Conflict,
    /// Declared, and not enabled yet.
    NotEnabled,
    /// Declared, and Zoho refuses it.
    Refused,
    /// Declared, and nobody could look yet.
    Unseen,
    /// A look found it covered again, and nobody knows since when.
    Restored,
    /// A write may have been applied.
    UnsureWrite,
    /// Old gaps, put together so that the ledger stays bounded.
    Merged,
    /// The receiver refused canaries.
    CanaryRefused,
}

impl GapKind {
    /// All of them, the worst first.
    pub const ALL: [GapKind; 3] = [GapKind::Uncovered, GapKind::Undeliverable, GapKind::Unknown];

    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            GapKind::Uncovered => "uncovered",
            GapKind::Undeliverable => "undeliverable",
            GapKind::Unknown => "unknown",
        }
    }
}

impl GapCause {
    /// All of them.
    pub const ALL: [GapCause; 12] = [
        GapCause::Expired,
        GapCause::Absent,
        GapCause::EventMissing,
        GapCause::WrongUrl,
        GapCause::Conflict,
        GapCause::NotEnabled,
        GapCause::Refused,
        GapCause::Unseen,
        GapCause::Restored,
        GapCause::UnsureWrite,
        GapCause::Merged,
        GapCause::CanaryRefused,
    ];

    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            GapCause::Expired => "expired",
            GapCause::Absent => "absent",
            GapCause::EventMissing => "event-missing",
            GapCause::WrongUrl => "wrong-url",
            GapCause::Conflict => "conflict",
            GapCause::NotEnabled => "not-enabled",
            GapCause::Refused => "refused",
            GapCause::Unseen => "unseen",
            GapCause::Restored => "restored",
            GapCause::UnsureWrite => "unsure-write",
            GapCause::Merged => "merged",
            GapCause::CanaryRefused => "canary-refused",
        }
    }

    /// Returns whether it says no more than that what was declared is not there yet.
    pub(super) const fn is_of_a_beginning(self) -> bool {
        match self {
            GapCause::NotEnabled | GapCause::Unseen | GapCause::EventMissing | GapCause::Absent => {
                true
            }
            GapCause::Expired
            | GapCause::WrongUrl
            | GapCause::Conflict
            | GapCause::Refused
            | GapCause::Restored
            | GapCause::UnsureWrite
            | GapCause::Merged
            | GapCause::CanaryRefused => false,
        }
    }

    /// Returns whether Zoho has the channel at all, for all that this cause says.
    pub(super) const fn has_channel(self) -> bool {
        match self {
            GapCause::EventMissing | GapCause::WrongUrl | GapCause::Conflict => true,
            GapCause::Expired
            | GapCause::Absent
            | GapCause::NotEnabled
            | GapCause::Refused
            | GapCause::Unseen
            | GapCause::Restored
            | GapCause::UnsureWrite
            | GapCause::Merged
            | GapCause::CanaryRefused => false,
        }
    }
}
