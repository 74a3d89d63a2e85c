//! A gap, and what is said of it.

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
    /// From here on.
    pub from: Timestamp,
    /// Up to here; `None` while it is open.
    pub to: Option<Timestamp>,
    /// How sure that is.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
}

/// How sure a gap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Changes were not delivered.
    Uncovered,
    /// The channel was covered, and what it delivered was not taken where it goes.
    Undeliverable,
    /// They may have been, and may not.
    Unknown,
}

/// Why there is a gap. Of an unknown one: what ended the certainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
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

impl Kind {
    /// All of them, the worst first.
    pub const ALL: [Kind; 3] = [Kind::Uncovered, Kind::Undeliverable, Kind::Unknown];

    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Uncovered => "uncovered",
            Kind::Undeliverable => "undeliverable",
            Kind::Unknown => "unknown",
        }
    }
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 12] = [
        Cause::Expired,
        Cause::Absent,
        Cause::EventMissing,
        Cause::WrongUrl,
        Cause::Conflict,
        Cause::NotEnabled,
        Cause::Refused,
        Cause::Unseen,
        Cause::Restored,
        Cause::UnsureWrite,
        Cause::Merged,
        Cause::CanaryRefused,
    ];

    /// One word.
    pub const fn word(self) -> &'static str {
        match self {
            Cause::Expired => "expired",
            Cause::Absent => "absent",
            Cause::EventMissing => "event-missing",
            Cause::WrongUrl => "wrong-url",
            Cause::Conflict => "conflict",
            Cause::NotEnabled => "not-enabled",
            Cause::Refused => "refused",
            Cause::Unseen => "unseen",
            Cause::Restored => "restored",
            Cause::UnsureWrite => "unsure-write",
            Cause::Merged => "merged",
            Cause::CanaryRefused => "canary-refused",
        }
    }

    /// Whether it says no more than that what was declared is not there yet.
    pub(super) const fn is_of_a_beginning(self) -> bool {
        match self {
            Cause::NotEnabled | Cause::Unseen | Cause::EventMissing | Cause::Absent => true,
            Cause::Expired
            | Cause::WrongUrl
            | Cause::Conflict
            | Cause::Refused
            | Cause::Restored
            | Cause::UnsureWrite
            | Cause::Merged
            | Cause::CanaryRefused => false,
        }
    }

    /// Whether Zoho has the channel at all, for all that this cause says.
    pub(super) const fn has_channel(self) -> bool {
        match self {
            Cause::EventMissing | Cause::WrongUrl | Cause::Conflict => true,
            Cause::Expired
            | Cause::Absent
            | Cause::NotEnabled
            | Cause::Refused
            | Cause::Unseen
            | Cause::Restored
            | Cause::UnsureWrite
            | Cause::Merged
            | Cause::CanaryRefused => false,
        }
    }
}
