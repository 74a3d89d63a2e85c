//! One event of one channel: its gaps, in order, from its declaration to its end.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::events::Operation;
use crate::model::time::{Timestamp, span};

use super::gap::{GapCause, GapKind};

/// Writes that may have been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsureWrites {
    /// When the first was sent.
    pub since: Timestamp,
    /// The earliest expiry that was asked for.
    pub first: Timestamp,
    /// The latest.
    pub last: Timestamp,
}

/// One event of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// The module's API name.
    pub module: String,
    /// The operation.
    pub operation: Operation,
    /// When it was declared, or covered for the first time if that was at once
    /// ([`Track::begin_life`]).
    pub since: Timestamp,
    /// When it was declared no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The gaps that have ended, oldest first; they do not overlap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Stretch>,
    /// The gap that has not; `None` while the event is covered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
}

/// A gap with both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The beginning.
    pub from: Timestamp,
    /// Up to here.
    pub to: Timestamp,
    /// How sure it is.
    pub kind: GapKind,
    /// The cause of the gap.
    pub cause: GapCause,
}

/// A gap that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// The beginning.
    pub from: Timestamp,
    /// How sure it is.
    pub kind: GapKind,
    /// The cause of the gap.
    pub cause: GapCause,
}

impl Open {
    /// The same, ended.
    pub const fn until(self, to: Timestamp) -> Stretch {
        let Open { from, kind, cause } = self;
        Stretch { from, to, kind, cause }
    }
}

impl Track {
    /// An event declared at `since` that nothing is known of.
    pub fn new(module: String, operation: Operation, since: Timestamp) -> Track {
        let open = Open { from: since, kind: GapKind::Unknown, cause: GapCause::Unseen };
        Track { module, operation, since, until: None, gaps: Vec::new(), open: Some(open) }
    }

    /// Returns whether it is still declared.
    pub const fn is_live(&self) -> bool {
        self.until.is_none()
    }

    /// Adds a gap that has ended. The part it shares with earlier gaps stays theirs. A gap that
    /// touches the last one and has the same kind and cause makes it longer. So does one that is
    /// too short to be told apart ([`BLINK`]).
    pub fn add(&mut self, gap: Stretch) {
        let floor = self.gaps.last().map_or(self.since, |last| last.to);
        let gap = Stretch { from: gap.from.max(floor), ..gap };
        if gap.from >= gap.to {
            return;
        }
        match self.gaps.last_mut().filter(|last| last.to == gap.from) {
            Some(last) if (last.kind, last.cause) == (gap.kind, gap.cause) || is_blink(gap) => {
                last.to = gap.to
            }
            Some(last) if is_blink(*last) => *last = Stretch { from: last.from, ..gap },
            Some(_) | None => self.gaps.push(gap),
        }
        if self.gaps.len() > GAPS_MAX {
            self.merge_oldest();
        }
    }

    /// Puts the two oldest gaps and what lies between them into one. Nothing uncovered is lost, and
    /// what was covered in between becomes unknown.
    fn merge_oldest(&mut self) {
        let first = self.gaps.remove(0);
        if let Some(second) = self.gaps.first_mut() {
            *second = Stretch {
                from: first.from,
                to: second.to,
                kind: GapKind::Unknown,
                cause: GapCause::Merged,
            };
        }
    }

    /// Ends the open gap at `to`, if there is one: the event is covered from then on.
    pub fn end(&mut self, to: Timestamp) {
        if let Some(open) = self.open.take() {
            self.add(open.until(to));
        }
    }

    /// It is covered for the first time. If that was soon after its declaration, and nothing stood
    /// in the way, it begins with it: nobody could have had anything before, and a gap would
    /// say that something was lost.
    pub fn begin_life(&mut self, covered_from: Timestamp) {
        let is_first = |open: &mut Open| open.from <= self.since && open.cause.is_of_a_beginning();
        let is_soon = self.gaps.is_empty() && span(self.since, covered_from) <= BEGINNING_MAX;
        if self.until.is_none() && is_soon && self.open.take_if(is_first).is_some() {
            self.since = self.since.max(covered_from);
        }
    }

    /// Begins a gap; one that was open ends where it begins.
    pub fn begin(&mut self, open: Open) {
        self.end(open.from);
        let floor = self.gaps.last().map_or(self.since, |last| last.to);
        self.open = Some(Open { from: open.from.max(floor), ..open });
    }
}

fn is_blink(gap: Stretch) -> bool {
    span(gap.from, gap.to) <= BLINK
}

/// Gaps kept of one event. When there are more, the oldest become one unknown gap.
pub const GAPS_MAX: usize = 128;
/// Zoho's `Date` has whole seconds, so no edge but an expiry is known better. A gap no longer than
/// this that touches another one (the way of a request there and back) is taken into it.
pub const BLINK: Duration = Duration::from_secs(1);
/// How long the first enabling of an event may take without being a gap: a look and some writes.
pub const BEGINNING_MAX: Duration = Duration::from_secs(60);
