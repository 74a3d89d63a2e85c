//! The nouns of a plan.
//!
//! A plan sorts every channel of its account into disjoint buckets: it has steps, or it is held, or
//! it is kept, or it is foreign. Each step says why.

use std::sync::Arc;

pub use crate::model::channel::Ask;
use crate::model::channel::{AccountName, ChannelId, ChannelName, Spec};
use crate::model::events::Events;
use crate::model::policy::Mode;
use crate::model::time::Timestamp;

use super::drift::Drift;

/// The decision for one account at one instant.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The account.
    pub account: AccountName,
    /// The instant, by the local clock.
    pub at: Timestamp,
    /// What to do, in the order to do it.
    pub steps: Vec<Step>,
    /// What would be done, or decided, but for something.
    pub held: Vec<Held>,
    /// Channels that are as declared and have life enough.
    pub kept: Vec<ChannelId>,
    /// Channels at Zoho that are not ours: listed, never touched.
    pub foreign: Vec<ChannelId>,
    /// The most channels in one write.
    pub batch_max: usize,
    /// When to look again if nothing wakes the account before: never later than the first renewal.
    pub next_wake: Timestamp,
}

/// One thing to do for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The channel.
    pub id: ChannelId,
    /// Its name; the id where no name is known.
    pub name: ChannelName,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// When the channel ends if nothing is done, in Zoho's time.
    pub expiry: Option<Timestamp>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Remember that a channel found at Zoho is ours. Sends nothing.
    TakeOver(Arc<Spec>),
    /// POST: creates the channel, or gives a live one a new life.
    Enable(Ask),
    /// PATCH with the whole channel: it mends what PATCH can.
    Update(Ask),
    /// PATCH with `_delete_events`: drops just these from the declared channel.
    RemoveEvents(Arc<Spec>, Events),
    /// PUT: replaces the whole channel.
    Replace(Ask),
    /// DELETE.
    Disable,
    /// Forget a channel that is gone and not wanted. Sends nothing but a second look.
    Forget,
}

/// Why a step is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Zoho does not have it.
    Missing,
    /// Zoho lists it and yet says NOT_SUBSCRIBED when it is changed.
    NotSubscribed,
    /// Enough of its life is over.
    Renew,
    /// It rides along in a call that is made anyway, so that it need not have one of its own later.
    Together,
    /// The operator asked for it.
    Asked,
    /// Zoho gave far less life than was asked for, and more can be had.
    ShortGrant,
    /// Little of its life is left.
    Emergency,
    /// Little of its life is left and Zoho's list cannot be read: POST of an id of ours is safe
    /// without looking.
    EmergencyBlind,
    /// It differs from its spec.
    Drift(Vec<Drift>),
    /// It is declared, has the declared notify_url, and no record: the store was lost.
    TakenOver,
    /// Its spec was taken out of the config.
    Retired,
    /// Its spec was taken out of the config, and Zoho no longer has it.
    Gone,
}

impl Reason {
    /// One word, for logs and as a label.
    pub const fn word(&self) -> &'static str {
        match self {
            Reason::Missing => "missing",
            Reason::NotSubscribed => "not-subscribed",
            Reason::Renew => "renew",
            Reason::Together => "together",
            Reason::Asked => "asked",
            Reason::ShortGrant => "short-grant",
            Reason::Emergency => "emergency",
            Reason::EmergencyBlind => "emergency-blind",
            Reason::Drift(_) => "drift",
            Reason::TakenOver => "taken-over",
            Reason::Retired => "retired",
            Reason::Gone => "gone",
        }
    }

    /// What differs; nothing unless it is a drift.
    pub fn drift(&self) -> &[Drift] {
        match self {
            Reason::Drift(drift) => drift,
            Reason::Missing
            | Reason::NotSubscribed
            | Reason::Renew
            | Reason::Together
            | Reason::Asked
            | Reason::ShortGrant
            | Reason::Emergency
            | Reason::EmergencyBlind
            | Reason::TakenOver
            | Reason::Retired
            | Reason::Gone => &[],
        }
    }

    /// Whether little of a life is left: nothing but credits that would not last delays such a
    /// step.
    pub const fn is_emergency(&self) -> bool {
        matches!(self, Reason::Emergency | Reason::EmergencyBlind)
    }

    /// Whether something is uncovered, or soon will be: nothing but credits that would not last
    /// delays such a step, when an earlier one failed.
    pub const fn is_urgent(&self) -> bool {
        match self {
            Reason::Missing
            | Reason::NotSubscribed
            | Reason::Emergency
            | Reason::EmergencyBlind => true,
            Reason::Renew
            | Reason::Together
            | Reason::Asked
            | Reason::ShortGrant
            | Reason::Drift(_)
            | Reason::TakenOver
            | Reason::Retired
            | Reason::Gone => false,
        }
    }
}

impl Action {
    /// One word, for logs and as a label.
    pub const fn word(&self) -> &'static str {
        match self {
            Action::TakeOver(_) => "take-over",
            Action::Enable(_) => "enable",
            Action::Update(_) => "update",
            Action::RemoveEvents(..) => "remove-events",
            Action::Replace(_) => "replace",
            Action::Disable => "disable",
            Action::Forget => "forget",
        }
    }

    /// What it asks for, if it writes a whole channel.
    pub const fn ask(&self) -> Option<&Ask> {
        match self {
            Action::Enable(ask) | Action::Update(ask) | Action::Replace(ask) => Some(ask),
            Action::TakeOver(_) | Action::RemoveEvents(..) | Action::Disable | Action::Forget => {
                None
            }
        }
    }

    /// The declared channel it is about, if it is about one.
    pub const fn spec(&self) -> Option<&Arc<Spec>> {
        match self {
            Action::Enable(ask) | Action::Update(ask) | Action::Replace(ask) => Some(&ask.spec),
            Action::TakeOver(spec) | Action::RemoveEvents(spec, _) => Some(spec),
            Action::Disable | Action::Forget => None,
        }
    }

    /// The events it drops by name.
    pub const fn removed_events(&self) -> Option<&Events> {
        match self {
            Action::RemoveEvents(_, events) => Some(events),
            Action::TakeOver(_)
            | Action::Enable(_)
            | Action::Update(_)
            | Action::Replace(_)
            | Action::Disable
            | Action::Forget => None,
        }
    }

    /// Whether it changes something at Zoho.
    pub const fn is_remote(&self) -> bool {
        match self {
            Action::TakeOver(_) | Action::Forget => false,
            Action::Enable(_)
            | Action::Update(_)
            | Action::RemoveEvents(..)
            | Action::Replace(_)
            | Action::Disable => true,
        }
    }
}

/// A channel for which nothing is done, or not what would be, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The channel.
    pub id: ChannelId,
    /// Its name; the id where no name is known.
    pub name: ChannelName,
    /// Why.
    pub cause: Cause,
    /// When this may change by itself, by the local clock.
    pub until: Option<Timestamp>,
}

/// Why a channel is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The look failed, so nothing is known of it.
    Unknown(String),
    /// Zoho has this id with another notify_url, and we have no record of it: somebody else's,
    /// until `adopt`.
    Conflict {
        /// Where its deliveries go, without queries.
        seen: String,
    },
    /// Zoho refused it, and it has not changed since.
    Rejected {
        /// Zoho's code.
        code: String,
        /// Zoho's message and details.
        message: String,
        /// Where in the request, if Zoho said so.
        json_path: Option<String>,
    },
    /// The same drift came back after this many accepted writes.
    Contested {
        /// How many.
        writes: u32,
        /// What differs.
        drift: Vec<Drift>,
    },
    /// The account is in trouble, and the step can wait.
    BackOff {
        /// The step, as `enable (renew)`.
        step: String,
        /// The trouble.
        trouble: String,
    },
    /// Credits are low, and the step can wait.
    Credits {
        /// The step, as `update (drift)`.
        step: String,
        /// So many credits are left.
        remaining: u64,
        /// So many are kept for renewals.
        reserve: u64,
    },
    /// Too many channels would be disabled in one go, or all of them.
    RemovalGuard {
        /// How many.
        removals: usize,
        /// Of how many.
        channels: usize,
    },
    /// The mode does not allow it.
    Mode {
        /// The mode.
        mode: Mode,
        /// The step, as `disable (retired)`.
        step: String,
    },
    /// Its spec was taken out of the config and the policy is to let it expire.
    LeftToExpire,
    /// The operator paused it, or its account.
    Paused {
        /// The step that waits, as `enable (renew)`, if one does.
        step: Option<String>,
    },
}

impl Cause {
    /// Every word there is.
    pub const WORDS: [&'static str; 8] = [
        "unknown",
        "conflict",
        "rejected",
        "contested",
        "back-off",
        "removal-guard",
        "mode",
        "left-to-expire",
    ];

    /// One word, for logs and as a label.
    pub const fn word(&self) -> &'static str {
        match self {
            Cause::Unknown(_) => "unknown",
            Cause::Conflict { .. } => "conflict",
            Cause::Rejected { .. } => "rejected",
            Cause::Contested { .. } => "contested",
            Cause::BackOff { .. } => "back-off",
            Cause::Credits { .. } => "credits",
            Cause::RemovalGuard { .. } => "removal-guard",
            Cause::Mode { .. } => "mode",
            Cause::LeftToExpire => "left-to-expire",
            Cause::Paused { .. } => "paused",
        }
    }
}
