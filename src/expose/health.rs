//! Health: computed from the overview and `now` whenever it is asked for, never set.
//!
//! **Live**: the scheduler's loop turned within [`LOOP_AGE_MAX`]. When it did not, only a restart
//! helps.
//!
//! **Ready**: live, not stopping, the store works, every account that can be worked on has had its
//! first pass, and the credentials of at least one account are accepted (a look has succeeded with
//! them, and nothing since needs a person); or no account is declared. Where machines share the
//! accounts, this one may serve some.
//!
//! **Status** is that of the most serious reason, and each [`ReasonKind`] has one. The scale is the
//! table at the top of `health/severity.rs`: [`Status::Failing`] as soon as events of one channel
//! are lost, [`Status::Degraded`] when something is wrong that loses none yet.
//!
//! A channel is *covered now* when it is granted, has not ended by `now`, and delivered everything
//! it declares when it was last seen. A report grows old, so everything here asks
//! [`AccountReport::state_at`] and nobody trusts a state as it was reported.

use std::fmt;
use std::time::Duration;

use crate::clock::LOOK_AT_CLOCK;
use crate::model::channel::{AccountName, ChannelName};
use crate::model::time::Timestamp;
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState};

use super::overview::{LoopAge, Overview};

mod kind;
mod reasons;
mod severity;

pub(crate) use kind::ReasonKind;
pub(super) use reasons::NO_DAEMON_RUNS;
pub(crate) use reasons::{PASS_OVERDUE, troubles_of_machine};
pub(crate) use severity::{Grade, Status};

/// How the daemon and its channels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// True when the scheduler's loop turns.
    pub live: bool,
    /// The reason why the daemon is not ready; `None` when it is.
    pub not_ready: Option<String>,
    /// The sum of the reasons.
    pub status: Status,
    /// The most serious first; at most [`REASONS_MAX`].
    pub reasons: Vec<HealthReason>,
    /// How many more there are.
    pub reasons_left_out: usize,
    /// Up to when everything declared stays covered if nothing succeeds any more.
    pub guarantee: Guarantee,
    /// How many gaps nobody has acknowledged. They are no reason: what was missed is over.
    pub gaps: usize,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HealthReason {
    /// The kind of reason.
    pub kind: ReasonKind,
    /// The account it is about, if it is about one.
    pub account: Option<AccountName>,
    /// The channel it is about, if it is about one.
    pub channel: Option<ChannelName>,
    /// In a sentence, on one line.
    pub text: String,
}

/// Up to when everything declared stays covered if nothing succeeds any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Nothing is declared.
    Nothing,
    /// An account has not had its first pass.
    Unknown,
    /// Everything is covered until then.
    Until(Timestamp),
    /// Something is not covered already, or cannot be worked on.
    Broken,
}

impl HealthReason {
    /// The remedy, as part of a sentence; it names the channel.
    pub fn remedy(&self) -> String {
        let remedy = self.kind.remedy();
        match (&self.account, &self.channel) {
            (Some(account), Some(channel)) => {
                remedy.replace("NAME", &format!("{account}/{channel}"))
            }
            _ => remedy.to_owned(),
        }
    }
}

/// The most serious reason that concerns one channel: its own, or one of its account.
pub(crate) fn health_of_channel(
    overview: &Overview,
    (account, channel): (&AccountName, &ChannelReport),
    is_paused: bool,
    now: Timestamp,
) -> Option<HealthReason> {
    let turning = LoopAge(Duration::ZERO);
    let concerns = |reason: &HealthReason| match (&reason.channel, reason.kind) {
        (Some(name), _) => *name == channel.spec.name,
        (None, ReasonKind::Undeliverable) => channel.undeliverable.is_some(),
        (None, ReasonKind::Paused) => is_paused,
        (None, _) => true,
    };
    let of_account = |reason: &HealthReason| reason.account.as_ref() == Some(account);
    let reasons = reasons::reasons(overview, turning, now);
    reasons.into_iter().find(|reason| of_account(reason) && concerns(reason))
}

/// How everything is at `now`.
pub(crate) fn health(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> Health {
    let live = loop_age.0 <= LOOP_AGE_MAX;
    let mut reasons = reasons::reasons(overview, loop_age, now);
    let status = reasons.first().map_or(Status::Ok, |reason| reason.kind.status());
    let reasons_left_out = reasons.len().saturating_sub(REASONS_MAX);
    reasons.truncate(REASONS_MAX);
    let guarantee = guarantee(overview, now);
    Health {
        live,
        not_ready: not_ready(overview, live),
        status,
        reasons,
        reasons_left_out,
        guarantee,
        gaps: overview.unacknowledged_gaps(),
    }
}

impl Health {
    /// Returns whether the daemon is ready.
    pub const fn ready(&self) -> bool {
        self.not_ready.is_none()
    }

    /// The instant up to which everything declared stays covered if nothing succeeds any more;
    /// `None` when something is uncovered already, nothing is declared, or it is not known yet.
    pub const fn guaranteed_until(&self) -> Option<Timestamp> {
        self.guarantee.until()
    }
}

fn not_ready(overview: &Overview, live: bool) -> Option<String> {
    if !live {
        return Some("the loop does not turn".to_owned());
    }
    if overview.stopping {
        return Some("the daemon is stopping".to_owned());
    }
    if overview.store_failed.is_some() {
        return Some("the store failed".to_owned());
    }
    let waiting = usable(overview).find(|(_, report)| report.is_none());
    match (&overview.cluster, waiting) {
        (Some(cluster), _) if !cluster.is_active => {
            return Some(format!("{} {}", cluster.node, cluster.standing));
        }
        // An account that is taken over meanwhile makes nobody less ready.
        (Some(_), _) | (None, None) => {}
        (None, Some((name, _))) => {
            return Some(format!("account {name} has not had its first pass"));
        }
    }
    let is_known = |(_, report): (_, Option<&AccountReport>)| report.is_some();
    let none_is_declared = if overview.cluster.is_some() {
        !usable(overview).any(is_known)
    } else {
        overview.accounts.is_empty() && overview.unusable.is_empty()
    };
    let accepted = |report: &AccountReport| report.looked_at.is_some() && !report.needs_a_person;
    let one_is_accepted = usable(overview).filter_map(|(_, report)| report).any(accepted);
    if none_is_declared || one_is_accepted {
        return None;
    }
    let are_refused = usable(overview).filter_map(|(_, report)| report).any(|it| it.needs_a_person);
    let why = if are_refused {
        "no account's credentials are accepted"
    } else {
        "no account could be looked at yet"
    };
    Some(why.to_owned())
}

/// Accounts that can be worked on, with what their last pass said.
pub(super) fn usable(
    overview: &Overview,
) -> impl Iterator<Item = (&AccountName, Option<&AccountReport>)> {
    let accounts =
        overview.accounts.iter().filter(|(name, _)| !overview.unusable.contains_key(name));
    accounts.map(|(name, report)| (name, report.as_deref()))
}

/// Returns whether a channel is covered at `now`.
pub(super) fn is_covered(report: &AccountReport, channel: &ChannelReport, now: Timestamp) -> bool {
    report.state_at(channel, now) != ChannelState::Uncovered
}

/// The guarantee of one account, which has had a pass.
pub(super) fn account_guarantee(report: &AccountReport, now: Timestamp) -> Guarantee {
    let end = |channel: &ChannelReport| match channel.expiry {
        Some(expiry) if is_covered(report, channel, now) => Guarantee::Until(expiry),
        Some(_) | None => Guarantee::Broken,
    };
    report.channels.values().map(end).fold(Guarantee::Nothing, Guarantee::and)
}

/// The guarantee of all accounts.
fn guarantee(overview: &Overview, now: Timestamp) -> Guarantee {
    let unusable =
        if overview.unusable.is_empty() { Guarantee::Nothing } else { Guarantee::Broken };
    let of = |report: Option<&AccountReport>| {
        report.map_or(Guarantee::Unknown, |it| account_guarantee(it, now))
    };
    overview.everywhere().map(|(_, report)| of(report)).fold(unusable, Guarantee::and)
}

impl Guarantee {
    /// The guarantee of two things together.
    fn and(self, other: Guarantee) -> Guarantee {
        match (self, other) {
            (Guarantee::Broken, _) | (_, Guarantee::Broken) => Guarantee::Broken,
            (Guarantee::Unknown, _) | (_, Guarantee::Unknown) => Guarantee::Unknown,
            (Guarantee::Until(one), Guarantee::Until(other)) => Guarantee::Until(one.min(other)),
            (Guarantee::Nothing, one) | (one, Guarantee::Nothing) => one,
        }
    }

    /// The instant, if there is one.
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Guarantee::Until(instant) => Some(instant),
            Guarantee::Nothing | Guarantee::Unknown | Guarantee::Broken => None,
        }
    }
}

impl fmt::Display for HealthReason {
    /// As `rejected: account acme: channel deal-sync: ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HealthReason { kind, account, channel, text } = self;
        write!(f, "{}: ", kind.word())?;
        if let Some(account) = account {
            write!(f, "account {account}: ")?;
        }
        if let Some(channel) = channel {
            write!(f, "channel {channel}: ")?;
        }
        f.write_str(text)
    }
}

/// The note about gaps that nobody has acknowledged, with the verbs to type; `None` when there are
/// none.
pub(super) fn gaps_note(gaps: usize) -> Option<String> {
    let gaps = (gaps > 0).then(|| counted(gaps, "gap"))?;
    Some(format!(
        "{gaps} that nobody has acknowledged: `channelkeeper gaps` lists what was missed, `channelkeeper gaps ack --all` \
         acknowledges them"
    ))
}

/// `1 channel`, `2 channels`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// A loop that turned longer ago than this does not turn: it turns at least every
/// [`LOOK_AT_CLOCK`].
pub(crate) const LOOP_AGE_MAX: Duration = Duration::from_secs(3 * LOOK_AT_CLOCK.as_secs());
/// An account of a machine that died is taken over within this.
pub(crate) const UNSERVED_MAX: Duration = Duration::from_secs(15);
/// The most reasons that are listed.
pub(crate) const REASONS_MAX: usize = 100;
#[cfg(test)]
mod tests;
