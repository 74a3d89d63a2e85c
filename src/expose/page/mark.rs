//! The marks of a channel: everything beside its state that a person should see at once.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::model::channel::ChannelId;
use crate::model::policy::Mode;
use crate::model::time::Timestamp;
use crate::plan::cause::CauseKind;
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState};

/// One of them, the most serious first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Its receiver refuses canaries.
    Undeliverable,
    /// It should have been renewed long ago.
    Late,
    /// Zoho refuses it, or some of its events.
    Refused,
    /// Its id is somebody else's channel.
    Conflict,
    /// Its repairs do not last.
    Contested,
    /// A step of it waits.
    Held,
    /// The operator paused it.
    Paused,
    /// It is looked at and never written.
    Observed,
    /// Zoho gave far less life than was asked for.
    ShortGrant,
    /// Nobody has acknowledged a gap of it.
    Missed,
}

/// The kinds of causes that hold the channels of one account.
pub(crate) type Causes = BTreeMap<ChannelId, Vec<CauseKind>>;

/// The causes of one account.
pub(crate) fn causes(report: &AccountReport) -> Causes {
    let mut causes = Causes::new();
    for held in &report.after.held {
        causes.entry(held.id).or_default().push(held.cause.kind());
    }
    causes
}

impl Mark {
    /// Every mark.
    pub(crate) const ALL: [Mark; 10] = [
        Mark::Undeliverable,
        Mark::Late,
        Mark::Refused,
        Mark::Conflict,
        Mark::Contested,
        Mark::Held,
        Mark::Paused,
        Mark::Observed,
        Mark::ShortGrant,
        Mark::Missed,
    ];

    /// The word, for people and in a URL.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Mark::Undeliverable => "undeliverable",
            Mark::Late => "late",
            Mark::Refused => "refused",
            Mark::Conflict => "conflict",
            Mark::Contested => "contested",
            Mark::Held => "held",
            Mark::Paused => "paused",
            Mark::Observed => "observe-only",
            Mark::ShortGrant => "short-grant",
            Mark::Missed => "missed",
        }
    }

    /// The sign, told apart without colour.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Mark::Undeliverable => "\u{21af}",
            Mark::Late => "!",
            Mark::Refused => "\u{2298}",
            Mark::Conflict => "\u{2260}",
            Mark::Contested => "\u{21c4}",
            Mark::Held => "\u{22ef}",
            Mark::Paused => "\u{2016}",
            Mark::Observed => "\u{25ce}",
            Mark::ShortGrant => "\u{00bd}",
            Mark::Missed => "\u{25bd}",
        }
    }

    /// The colour: `bad`, `warn` or `calm`.
    pub(crate) const fn tone(self) -> &'static str {
        match self {
            Mark::Undeliverable | Mark::Late => "bad",
            Mark::Refused
            | Mark::Conflict
            | Mark::Contested
            | Mark::Held
            | Mark::Paused
            | Mark::ShortGrant
            | Mark::Missed => "warn",
            Mark::Observed => "calm",
        }
    }

    /// The marks of a channel at `now`.
    pub(crate) fn of(
        report: &AccountReport,
        channel: &ChannelReport,
        causes: &[CauseKind],
        now: Timestamp,
    ) -> Vec<Mark> {
        let is_alive = report.state_at(channel, now) != ChannelState::Uncovered;
        let is_late = is_alive && channel.emergency_at.is_some_and(|at| at <= now);
        let mut marks: Vec<Mark> =
            causes.iter().filter_map(|cause| Mark::of_cause(*cause)).collect();
        let facts = [
            (channel.undeliverable.is_some(), Mark::Undeliverable),
            (is_late, Mark::Late),
            (channel.spec.mode == Mode::Observe, Mark::Observed),
            (is_alive && channel.short_grant, Mark::ShortGrant),
            (channel.gaps > 0, Mark::Missed),
        ];
        marks.extend(facts.into_iter().filter(|(holds, _)| *holds).map(|(_, mark)| mark));
        marks.sort_unstable();
        marks.dedup();
        marks
    }

    const fn of_cause(cause: CauseKind) -> Option<Mark> {
        match cause {
            CauseKind::Rejected | CauseKind::PartlyRefused => Some(Mark::Refused),
            CauseKind::Conflict => Some(Mark::Conflict),
            CauseKind::Contested => Some(Mark::Contested),
            CauseKind::Paused => Some(Mark::Paused),
            CauseKind::BackOff
            | CauseKind::Credits
            | CauseKind::RemovalGuard
            | CauseKind::Opaque
            | CauseKind::Vanished
            | CauseKind::Mode
            | CauseKind::LeftToExpire
            | CauseKind::NoEngine => Some(Mark::Held),
            // The state says so already.
            CauseKind::Unknown => None,
        }
    }

    /// As a sign with its word.
    pub(crate) fn chip(self) -> Markup {
        html! {
            span class=(format!("mark {}", self.tone())) {
                span.sign aria-hidden="true" { (self.sign()) } (self.word())
            }
        }
    }
}
