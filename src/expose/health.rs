//! Health: computed from the overview and `now` whenever it is asked for, never set.
//!
//! **Live**: the scheduler's loop turned within [`LOOP_AGE_MAX`]. When it did not, only a restart helps.
//!
//! **Ready**: live, not stopping, the store works, every account that can be worked on has had its first pass, and the
//! credentials of at least one account are accepted (a look has succeeded with them, and nothing since needs a person);
//! or no account is declared.
//!
//! **Status** is that of the most serious reason, and each [`Kind`] of reason has one. [`Status::Failing`]: somebody has
//! to come now: nothing works, or nothing of an account does, or it will not mend itself. [`Status::Degraded`]: something is
//! not as it should be, and the rest works: of fifty channels with one refused, forty-nine are covered. [`Status::Ok`]: there
//! is no reason to say anything.
//!
//! A channel is *covered now* when it is granted, has not ended by `now`, and was as declared when it was last seen. A report
//! grows old, so everything here asks [`AccountReport::state_at`] and nobody trusts a state as it was reported. A channel
//! that is drifted does not count as covered: what it lacks may be all that matters.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::LOOK_AT_CLOCK;
use crate::model::channel::{AccountName, ChannelName};
use crate::model::time::{Timestamp, after, brief, span};
use crate::plan::render::detail;
use crate::plan::step::{Cause, Held};
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState};

use super::line::line;
use super::overview::{LoopAge, Overview};

/// How the daemon and its channels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether the scheduler's loop turns.
    pub live: bool,
    /// Why the daemon is not ready; `None` when it is.
    pub not_ready: Option<String>,
    /// The sum of the reasons.
    pub status: Status,
    /// The most serious first; at most [`REASONS_MAX`].
    pub reasons: Vec<HealthReason>,
    /// How many more there are.
    pub reasons_left_out: usize,
    /// Up to when everything declared stays covered if nothing succeeds any more.
    pub guarantee: Guarantee,
}

/// The sum of the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing to say.
    Ok,
    /// Something is not as it should be; the rest works.
    Degraded,
    /// Nothing works, or nothing of an account does, or a person is needed.
    Failing,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HealthReason {
    /// What kind of thing.
    pub kind: Kind,
    /// The account it is about, if it is about one.
    pub account: Option<AccountName>,
    /// The channel it is about, if it is about one.
    pub channel: Option<ChannelName>,
    /// In a sentence, on one line.
    pub text: String,
}

/// The kinds of reasons, the most serious first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The scheduler's loop does not turn.
    NotLive,
    /// The store failed: nothing is done, because what came of it could not be remembered.
    StoreFailed,
    /// An account's trouble that only a person can mend: credentials, scopes.
    NeedsAPerson,
    /// An account that cannot be worked on.
    Unusable,
    /// An account that declares channels and of which none is covered now.
    NothingCovered,
    /// An account whose first pass does not end.
    FirstPassOverdue,
    /// A channel is not covered.
    Uncovered,
    /// A channel should have been renewed long ago and has little life left.
    Emergency,
    /// Zoho refused a channel.
    Rejected,
    /// A channel's id is taken by somebody else.
    Conflict,
    /// A channel's repairs do not last.
    Contested,
    /// A channel is not as declared.
    Drifted,
    /// Channels are not disabled because they are too many.
    RemovalGuard,
    /// The last look failed; what was granted is unverified.
    LookFailed,
    /// The last writes failed.
    WritesFailed,
    /// An account's next pass is long due.
    PassOverdue,
    /// The config cannot be used; the last good one is in force.
    Config,
    /// Zoho gave far less life than was asked for.
    ShortGrant,
    /// One channel could not be looked at.
    Unknown,
    /// A step waits because its account is in trouble.
    BackOff,
    /// Channels of an account that is declared no longer are left to expire.
    Orphans,
    /// The database could not be used and was moved aside.
    StoreMovedAside,
    /// The wall clock jumped.
    ClockJump,
    /// Zoho's clock and ours differ.
    Skew,
    /// An account waits for its first pass.
    FirstPass,
    /// No channel is declared at all.
    NothingDeclared,
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

/// How everything is at `now`.
pub fn health(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> Health {
    let live = loop_age.0 <= LOOP_AGE_MAX;
    let mut reasons = daemon_reasons(overview, loop_age, now);
    for (name, report) in usable(overview) {
        match report {
            Some(report) => reasons.extend(account_reasons(report, now)),
            None => reasons.push(first_pass(overview, name, now)),
        }
    }
    reasons.sort();
    let status = reasons.first().map_or(Status::Ok, |reason| reason.kind.status());
    let reasons_left_out = reasons.len().saturating_sub(REASONS_MAX);
    reasons.truncate(REASONS_MAX);
    let guarantee = guarantee(overview, now);
    Health { live, not_ready: not_ready(overview, live), status, reasons, reasons_left_out, guarantee }
}

impl Health {
    /// Whether the daemon is ready.
    pub const fn ready(&self) -> bool {
        self.not_ready.is_none()
    }

    /// The instant up to which everything declared stays covered if nothing succeeds any more; `None` when something is
    /// uncovered already, nothing is declared, or it is not known yet.
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
    if let Some((name, _)) = usable(overview).find(|(_, report)| report.is_none()) {
        return Some(format!("account {name} has not had its first pass"));
    }
    let none_is_declared = overview.accounts.is_empty() && overview.unusable.is_empty();
    let accepted = |report: &AccountReport| report.looked_at.is_some() && !report.needs_a_person;
    let one_is_accepted = usable(overview).filter_map(|(_, report)| report).any(accepted);
    let ready = none_is_declared || one_is_accepted;
    (!ready).then(|| "no account's credentials are accepted".to_owned())
}

/// What holds of all accounts, or of what is no account any more.
fn daemon_reasons(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> Vec<HealthReason> {
    let Overview { unusable, orphans, config, store_failed, store_moved_aside, clock_jump, .. } = overview;
    let mut reasons = Vec::new();
    let mut add = |kind, account: Option<&AccountName>, text: String| {
        reasons.push(HealthReason { kind, account: account.cloned(), channel: None, text: line(&text) });
    };
    if loop_age.0 > LOOP_AGE_MAX {
        add(Kind::NotLive, None, format!("the loop last turned {} ago", brief(loop_age.0)));
    }
    if let Some(why) = store_failed {
        add(Kind::StoreFailed, None, format!("the store failed, so nothing is done: {why}"));
    }
    for (name, why) in unusable {
        add(Kind::Unusable, Some(name), format!("cannot be worked on: {why}"));
    }
    for problem in &config.problems {
        add(Kind::Config, None, format!("the last good desired state is in force: {problem}"));
    }
    for (name, channels) in orphans {
        let text = format!("declared no longer: {} left to expire", counted(*channels, "channel"));
        add(Kind::Orphans, Some(name), text);
    }
    if let Some(why) = store_moved_aside {
        add(Kind::StoreMovedAside, None, format!("the database could not be used and was moved aside: {why}"));
    }
    if let Some((at, by_ms)) = clock_jump.filter(|(at, _)| span(*at, now) <= JUMP_SHOWN) {
        add(Kind::ClockJump, None, format!("the wall clock jumped {} at {at}", ahead_or_back(by_ms)));
    }
    let declared = usable(overview).any(|(_, report)| report.is_none_or(|report| !report.channels.is_empty()));
    if !declared && unusable.is_empty() {
        add(Kind::NothingDeclared, None, "no channel is declared".to_owned());
    }
    reasons
}

fn first_pass(overview: &Overview, name: &AccountName, now: Timestamp) -> HealthReason {
    let since = overview.config.loaded_at.map_or(overview.started_at, |loaded| loaded.max(overview.started_at));
    let waits = span(since, now);
    let kind = if waits > PASS_OVERDUE { Kind::FirstPassOverdue } else { Kind::FirstPass };
    let text = format!("the first pass has not ended for {}", brief(waits));
    HealthReason { kind, account: Some(name.clone()), channel: None, text }
}

fn account_reasons(report: &AccountReport, now: Timestamp) -> Vec<HealthReason> {
    let mut reasons = trouble_reasons(report);
    let mut add = |kind, text: String| reasons.push(HealthReason::account(report, kind, &text));
    let uncovered = report.channels.values().filter(|channel| !is_covered(report, channel, now)).count();
    if uncovered > 0 && uncovered == report.channels.len() {
        add(Kind::NothingCovered, format!("none of {} is covered", counted(uncovered, "channel")));
    }
    if now > after(report.next_wake, PASS_OVERDUE) {
        add(Kind::PassOverdue, format!("the next pass is due for {}", brief(span(report.next_wake, now))));
    }
    if let Some(skew_ms) = report.skew_ms.filter(|skew_ms| skew_ms.unsigned_abs() > SKEW_MAX_MS) {
        add(Kind::Skew, format!("Zoho's clock is {} of ours", ahead_or_behind(skew_ms)));
    }
    reasons.extend(report.channels.values().flat_map(|channel| channel_reasons(report, channel, now)));
    reasons.extend(report.after.held.iter().filter_map(|held| held_reason(report, held)));
    reasons
}

/// What went wrong in the last pass. What needs a person is said once, whatever it hit.
fn trouble_reasons(report: &AccountReport) -> Vec<HealthReason> {
    let look = report.look_failed.as_ref().map(|why| format!("the look at Zoho failed: {why}"));
    let writes = report.writes_failed.as_ref().map(|why| format!("writes failed: {why}"));
    if report.needs_a_person {
        let texts: Vec<String> = look.into_iter().chain(writes).collect();
        return vec![HealthReason::account(
            report,
            Kind::NeedsAPerson,
            &format!("needs a person: {}", texts.join("; ")),
        )];
    }
    let look = look.map(|text| HealthReason::account(report, Kind::LookFailed, &text));
    let writes = writes.map(|text| HealthReason::account(report, Kind::WritesFailed, &text));
    look.into_iter().chain(writes).collect()
}

fn channel_reasons(report: &AccountReport, channel: &ChannelReport, now: Timestamp) -> Vec<HealthReason> {
    let mut reasons = Vec::new();
    let mut add = |kind, text: String| {
        reasons.push(HealthReason::channel(report, &channel.spec.name, kind, &text));
    };
    let state = report.state_at(channel, now);
    match (state, channel.expiry) {
        // The account says once that its look failed.
        (ChannelState::Covered | ChannelState::Unverified, _) => {}
        (ChannelState::Drifted, _) => add(Kind::Drifted, format!("not as declared: {}", drift_text(channel))),
        (ChannelState::Uncovered, Some(expiry)) if expiry <= now => {
            add(Kind::Uncovered, format!("not covered: ended {} ago", brief(span(expiry, now))));
        }
        (ChannelState::Uncovered, _) => add(Kind::Uncovered, "not covered".to_owned()),
    }
    let (is_alive, emergency) = (state != ChannelState::Uncovered, channel.emergency_at.is_some_and(|at| at <= now));
    if let Some(expiry) = channel.expiry.filter(|_| is_alive && emergency) {
        add(Kind::Emergency, format!("not renewed yet, and ends in {}", brief(span(now, expiry))));
    }
    if is_alive && channel.short_grant {
        add(Kind::ShortGrant, "Zoho gave far less life than was asked for".to_owned());
    }
    reasons
}

fn drift_text(channel: &ChannelReport) -> String {
    channel.drift.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn held_reason(report: &AccountReport, held: &Held) -> Option<HealthReason> {
    let kind = match held.cause {
        Cause::Rejected { .. } => Kind::Rejected,
        Cause::Conflict { .. } => Kind::Conflict,
        Cause::Contested { .. } => Kind::Contested,
        Cause::RemovalGuard { .. } => Kind::RemovalGuard,
        Cause::BackOff { .. } => Kind::BackOff,
        // The account says once that its look failed.
        Cause::Unknown(_) if report.look_failed.is_some() => return None,
        Cause::Unknown(_) => Kind::Unknown,
        Cause::Mode { .. } | Cause::LeftToExpire => return None,
    };
    Some(HealthReason::channel(report, &held.name, kind, &detail(&held.cause)))
}

/// Accounts that can be worked on, with what their last pass said.
pub(super) fn usable(overview: &Overview) -> impl Iterator<Item = (&AccountName, Option<&AccountReport>)> {
    let accounts = overview.accounts.iter().filter(|(name, _)| !overview.unusable.contains_key(name));
    accounts.map(|(name, report)| (name, report.as_deref()))
}

/// Whether a channel is covered at `now`.
pub(super) fn is_covered(report: &AccountReport, channel: &ChannelReport, now: Timestamp) -> bool {
    match report.state_at(channel, now) {
        ChannelState::Covered | ChannelState::Unverified => true,
        ChannelState::Drifted | ChannelState::Uncovered => false,
    }
}

/// Of one account, which has had a pass.
pub(super) fn account_guarantee(report: &AccountReport, now: Timestamp) -> Guarantee {
    let end = |channel: &ChannelReport| match channel.expiry {
        Some(expiry) if is_covered(report, channel, now) => Guarantee::Until(expiry),
        Some(_) | None => Guarantee::Broken,
    };
    report.channels.values().map(end).fold(Guarantee::Nothing, Guarantee::and)
}

/// Of everything.
fn guarantee(overview: &Overview, now: Timestamp) -> Guarantee {
    let unusable = if overview.unusable.is_empty() { Guarantee::Nothing } else { Guarantee::Broken };
    let of = |report: Option<&AccountReport>| report.map_or(Guarantee::Unknown, |it| account_guarantee(it, now));
    usable(overview).map(|(_, report)| of(report)).fold(unusable, Guarantee::and)
}

impl Guarantee {
    /// Of two things together.
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

impl Status {
    /// One word: `ok`, `degraded`, `failing`.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Degraded => "degraded",
            Status::Failing => "failing",
        }
    }
}

impl Kind {
    /// How serious it is.
    pub fn status(self) -> Status {
        if self <= Kind::FirstPassOverdue { Status::Failing } else { Status::Degraded }
    }

    /// One word, for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::NotLive => "not-live",
            Kind::StoreFailed => "store-failed",
            Kind::NeedsAPerson => "needs-a-person",
            Kind::Unusable => "unusable",
            Kind::NothingCovered => "nothing-covered",
            Kind::FirstPassOverdue => "first-pass-overdue",
            Kind::Uncovered => "uncovered",
            Kind::Emergency => "emergency",
            Kind::Rejected => "rejected",
            Kind::Conflict => "conflict",
            Kind::Contested => "contested",
            Kind::Drifted => "drifted",
            Kind::RemovalGuard => "removal-guard",
            Kind::LookFailed => "look-failed",
            Kind::WritesFailed => "writes-failed",
            Kind::PassOverdue => "pass-overdue",
            Kind::Config => "config",
            Kind::ShortGrant => "short-grant",
            Kind::Unknown => "unknown",
            Kind::BackOff => "back-off",
            Kind::Orphans => "orphans",
            Kind::StoreMovedAside => "store-moved-aside",
            Kind::ClockJump => "clock-jump",
            Kind::Skew => "skew",
            Kind::FirstPass => "first-pass",
            Kind::NothingDeclared => "nothing-declared",
        }
    }
}

impl HealthReason {
    fn account(report: &AccountReport, kind: Kind, text: &str) -> HealthReason {
        HealthReason { kind, account: Some(report.account.clone()), channel: None, text: line(text) }
    }

    fn channel(report: &AccountReport, name: &ChannelName, kind: Kind, text: &str) -> HealthReason {
        HealthReason { channel: Some(name.clone()), ..HealthReason::account(report, kind, text) }
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

/// `1 channel`, `2 channels`.
pub(super) fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn ahead_or_back(milliseconds: i64) -> String {
    let length = brief(Duration::from_millis(milliseconds.unsigned_abs()));
    if milliseconds < 0 { format!("back by {length}") } else { format!("ahead by {length}") }
}

fn ahead_or_behind(milliseconds: i64) -> String {
    let length = brief(Duration::from_millis(milliseconds.unsigned_abs()));
    if milliseconds < 0 { format!("{length} behind") } else { format!("{length} ahead") }
}

/// A loop that turned longer ago than this does not turn: it turns at least every [`LOOK_AT_CLOCK`].
pub const LOOP_AGE_MAX: Duration = Duration::from_secs(3 * LOOK_AT_CLOCK.as_secs());
/// A pass that is due for longer than this is stuck: one call takes half a minute at most, and few are in one pass.
pub const PASS_OVERDUE: Duration = Duration::from_secs(10 * 60);
/// The most reasons that are listed.
pub const REASONS_MAX: usize = 100;
/// For how long a jump of the clock is worth a word.
const JUMP_SHOWN: Duration = Duration::from_secs(3600);
/// More skew than this, in milliseconds, is a clock to be mended.
const SKEW_MAX_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
