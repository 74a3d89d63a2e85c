//! The nouns of a plan.
//!
//! A plan sorts every channel of its account into disjoint buckets: it has steps, or it is held, or
//! it is kept, or it is foreign. Each step says why.

use std::sync::Arc;

pub use crate::model::channel::Ask;
use crate::model::channel::{AccountName, ChannelId, ChannelName, Spec};
use crate::model::events::Events;
use crate::model::time::Timestamp;

use super::overlap::Overlap;

pub use super::cause::{Cause, CauseKind};
pub use super::reason::{Reason, Urgency};

/// The decision for one account at one instant.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The account.
    pub account: AccountName,
    /// The instant, by the local clock.
    pub at: Timestamp,
    /// The steps, in the order to do them.
    pub steps: Vec<Step>,
    /// The steps and decisions that are held back.
    pub held: Vec<Held>,
    /// Channels that are as declared and have life enough.
    pub kept: Vec<ChannelId>,
    /// Channels at Zoho that are not ours: listed, never touched.
    pub foreign: Vec<ChannelId>,
    /// Channels at Zoho whose ids cannot be declared: foreign as well.
    pub strangers: Vec<String>,
    /// Events that several channels send to the same URL: said, and nothing is done.
    pub overlaps: Vec<Overlap>,
    /// The limits that keep the account from what the config asks for, one sentence each.
    pub limits: Vec<String>,
    /// The channel that is asked for first and alone: while every one is forbidden, the others wait
    /// for the answer.
    pub probe: Option<ChannelId>,
    /// The most channels in one write.
    pub batch_max: usize,
    /// When to look again if nothing wakes the account before: never later than the first renewal.
    pub next_wake: Timestamp,
}

impl Plan {
    /// A channel that waits because all running ones vanished.
    pub fn vanished(&self) -> Option<&Held> {
        self.held.iter().find(|held| matches!(held.cause, Cause::Vanished { .. }))
    }

    /// True when a channel is in its emergency: it is renewed, or that waits for the engine.
    pub fn has_emergency(&self) -> bool {
        let waits = |held: &Held| matches!(held.cause, Cause::NoEngine { is_emergency: true, .. });
        self.steps.iter().any(|step| step.reason.is_emergency()) || self.held.iter().any(waits)
    }

    /// The number of channels at Zoho that are not ours.
    pub fn foreign_count(&self) -> usize {
        self.foreign.len() + self.strangers.len()
    }

    /// The ids of the channels at Zoho that are not ours. Those that cannot be declared come first,
    /// so that a list of bounded length has them.
    pub fn foreign_ids(&self) -> impl Iterator<Item = String> + '_ {
        self.strangers.iter().cloned().chain(self.foreign.iter().map(ToString::to_string))
    }

    /// How many channels wait for an operator's word: with any, a plan without steps is not
    /// "nothing to do".
    pub fn awaiting_a_word(&self) -> usize {
        self.held.iter().filter(|held| held.cause.kind().awaits_a_word()).count()
    }
}

/// One thing to do for one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The channel.
    pub id: ChannelId,
    /// Its name; the id where no name is known.
    pub name: ChannelName,
    /// The action of the step.
    pub action: Action,
    /// The reason for the step.
    pub reason: Reason,
    /// When the channel ends if nothing is done, in Zoho's time.
    pub expiry: Option<Timestamp>,
}

impl Step {
    /// In a few words: `enable (renew)`.
    pub fn title(&self) -> String {
        [self.action.word(), " (", self.reason.word(), ")"].concat()
    }

    /// Its place in its pass.
    pub const fn rank(&self) -> u8 {
        match &self.action {
            Action::TakeOver(_) => 0,
            Action::RemoveEvents(..) => 3,
            Action::Enable(_)
            | Action::Update(_)
            | Action::Replace(_)
            | Action::Disable
            | Action::Forget => self.reason.row().rank,
        }
    }
}

/// The action of a step.
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

    /// The channel and expiry it asks for, if it writes a whole channel.
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

    /// Returns whether it changes something at Zoho.
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

/// A channel that no step is taken for, or not the step that would be, and the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The channel.
    pub id: ChannelId,
    /// Its name; the id where no name is known.
    pub name: ChannelName,
    /// The cause that holds it.
    pub cause: Cause,
    /// When this may change by itself, by the local clock.
    pub until: Option<Timestamp>,
}
