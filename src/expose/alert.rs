//! The messages for the alert webhook, and the times when the heartbeat may go out: pure.
//!
//! [`AlertTeller`] is asked again and again how things are, and says what there is to tell.
//! It tells
//!
//! - once, that something turned bad, when it has been bad for `grace`;
//! - again, when it is bad still and nothing was told for `repeat`;
//! - once, that all is well, when nothing of what was told has been there for `grace`.
//!
//! So a trouble that comes and goes within `grace` is never told, and one that does so more slowly
//! is told at most once in twice that time. A message that could not be delivered is not queued: a
//! new one is made from the state at that time, after a wait that grows ([`RETRIES`]). A message
//! counts as told when it was delivered; [`AlertState`] keeps that over a restart.
//!
//! Where machines share the accounts, one of them tells of all accounts and of what concerns all,
//! and each of itself. When another one leads, it goes on where the former one ended
//! ([`AlertTeller::take_over`]), who lets go of those topics: they are not over.
//!
//! Not everything that health mentions is worth a message: see [`ReasonKind::is_told`].
//!
//! [`proof`] says if the passes prove that everything is covered. The heartbeat stands for that.
//!
//! Deliberately absent: the receivers, and the sending.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::alert_state::AlertState;
use crate::model::channel::AccountName;
use crate::model::desired::Alerts;
use crate::model::time::{Timestamp, after, brief, span};
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState};

use super::health::{
    Guarantee, Health, HealthReason, PASS_OVERDUE, ReasonKind, Status, counted, is_covered,
};
use super::one_line::line;
use super::overview::{ClusterState, Overview};

/// Remembers the last message, and decides on the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertTeller {
    topics: BTreeMap<String, Topic>,
    /// While something that was told is not over: since when, and when the last message was
    /// delivered.
    told: Option<(Timestamp, Timestamp)>,
    /// When the last message of all was delivered.
    told_at: Option<Timestamp>,
    retry: Retry,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Topic {
    since: Timestamp,
    told: bool,
    /// Since when it is there no more.
    gone_since: Option<Timestamp>,
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertMessage {
    /// Which news it is.
    pub news: News,
    /// In plain text, of several lines.
    pub text: String,
}

/// Which news a message brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Something turned bad.
    Bad,
    /// It is bad still.
    StillBad,
    /// All is well again.
    Good,
}

/// Attempts that failed in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retry {
    failures: usize,
    not_before: Option<Timestamp>,
}

impl AlertTeller {
    /// Goes on where an earlier process ended.
    pub(crate) fn restored(told: AlertState) -> AlertTeller {
        let AlertState { at, bad_since, topics } = told;
        let topic = |(name, since)| (name, Topic { since, told: true, gone_since: None });
        AlertTeller {
            topics: topics.into_iter().map(topic).collect(),
            told: Some((bad_since, at)),
            told_at: Some(at),
            retry: Retry::default(),
        }
    }

    /// The state that a restart has to know; `None` when no trouble was told.
    pub(crate) fn told(&self) -> Option<AlertState> {
        let (bad_since, at) = self.told?;
        let told = self.topics.iter().filter(|(_, topic)| topic.told);
        Some(AlertState {
            at,
            bad_since,
            topics: told.map(|(name, topic)| (name.clone(), topic.since)).collect(),
        })
    }

    /// Goes on where another machine ended: its topics are told.
    pub(crate) fn take_over(&mut self, told: AlertState) {
        let AlertState { at, bad_since, topics } = told;
        for (name, since) in topics {
            let topic = Topic { since, told: true, gone_since: None };
            self.topics.entry(name).or_insert(topic).told = true;
        }
        let known = self.told.unwrap_or((bad_since, at));
        self.told = Some((known.0.min(bad_since), known.1.max(at)));
        self.told_at = self.told_at.max(Some(at));
    }

    /// The topics that the machine tells of that leads: the next one has to know them. `None` when
    /// none of them was told.
    pub(crate) fn told_of_all(&self, overview: &Overview) -> Option<AlertState> {
        let mut told = self.told()?;
        let is_own = |name: &String| topic_parts(name).1.is_none();
        told.topics.retain(|name, _| is_told_of(overview, name) && !is_own(name));
        (!told.topics.is_empty()).then_some(told)
    }

    /// How things are at `now`, and what there is to tell of it. `who` is the daemon's name.
    pub(crate) fn look(
        &mut self,
        health: &Health,
        who: &str,
        pacing: &Alerts,
        now: Timestamp,
    ) -> Option<AlertMessage> {
        self.live_at(now);
        self.see(health, pacing.grace, now);
        let gap = pacing.grace * 2;
        if self.retry.waits(now) || self.told_at.is_some_and(|at| span(at, now) < gap) {
            return None;
        }
        let there = || self.topics.values().filter(|topic| topic.gone_since.is_none());
        let turned_bad = there().any(|topic| !topic.told && span(topic.since, now) >= pacing.grace);
        let news = match self.told {
            _ if turned_bad => News::Bad,
            Some(_) if self.topics.is_empty() => News::Good,
            Some((_, at)) if there().any(|topic| topic.told) && span(at, now) >= pacing.repeat => {
                News::StillBad
            }
            Some(_) | None => return None,
        };
        Some(AlertMessage { news, text: self.text(news, health, who, now) })
    }

    /// Lets go of what another machine tells of from here on: it is not over. A machine that
    /// joins, or does not reach the engine, does not know yet.
    pub(crate) fn hand_over(&mut self, overview: &Overview) {
        if overview.cluster.as_ref().is_some_and(|cluster| !cluster.is_active) {
            return;
        }
        let mut handed_over = false;
        self.topics.retain(|name, topic| {
            let stays = is_told_of(overview, name);
            handed_over |= topic.told && !stays;
            stays
        });
        if handed_over && !self.topics.values().any(|topic| topic.told) {
            self.told = None;
        }
    }

    /// A message was delivered.
    pub(crate) fn delivered(&mut self, message: &AlertMessage, now: Timestamp) {
        self.retry = Retry::default();
        self.told_at = Some(now);
        match message.news {
            News::Good => self.told = None,
            News::Bad | News::StillBad => {
                let listed = self.topics.values_mut().filter(|topic| topic.gone_since.is_none());
                listed.for_each(|topic| topic.told = true);
                let earliest = self.topics.values().map(|topic| topic.since).min().unwrap_or(now);
                self.told = Some((self.told.map_or(earliest, |(since, _)| since), now));
            }
        }
    }

    /// It was not.
    pub(crate) fn failed(&mut self, now: Timestamp) {
        self.retry.again(now);
    }

    /// The clock may have been set back: what lies ahead is taken to be now.
    fn live_at(&mut self, now: Timestamp) {
        let not_ahead = |at: Timestamp| at.min(now);
        self.told = self.told.map(|(since, at)| (not_ahead(since), not_ahead(at)));
        self.told_at = self.told_at.map(not_ahead);
        for topic in self.topics.values_mut() {
            topic.since = not_ahead(topic.since);
            topic.gone_since = topic.gone_since.map(not_ahead);
        }
    }

    fn see(&mut self, health: &Health, grace: Duration, now: Timestamp) {
        let there: BTreeMap<String, &HealthReason> =
            reasons(health).map(|reason| (name(reason), reason)).collect();
        for name in there.keys() {
            let topic = Topic { since: now, told: false, gone_since: None };
            let topic = self.topics.entry(name.clone()).or_insert(topic);
            topic.gone_since = None;
        }
        // An unlisted reason may hold all the same: its account has not been looked at yet, or the
        // list is full.
        let unseen = |reason: &HealthReason| {
            matches!(reason.kind, ReasonKind::FirstPass | ReasonKind::FirstPassOverdue)
        };
        let is_whole = health.reasons_left_out == 0 && !health.reasons.iter().any(unseen);
        self.topics.retain(|name, topic| {
            if !there.contains_key(name) {
                topic.gone_since = topic.gone_since.filter(|_| is_whole).or(Some(now));
            }
            topic.gone_since.is_none_or(|at| topic.told && (!is_whole || span(at, now) < grace))
        });
    }

    fn text(&self, news: News, health: &Health, who: &str, now: Timestamp) -> String {
        let since = self.told.map_or(now, |(since, _)| since);
        let lasted = brief(span(since, now));
        let covered = covered(health.guarantee);
        let shown: Vec<&HealthReason> = reasons(health).collect();
        let title = match news {
            News::Good => return format!("{who}: all is well again, after {lasted}.\n{covered}"),
            News::Bad => {
                format!("{who}: {}: {}.", health.status.word(), counted(shown.len(), "problem"))
            }
            News::StillBad => {
                format!(
                    "{who}: still {}, for {lasted}: {}.",
                    health.status.word(),
                    counted(shown.len(), "problem")
                )
            }
        };
        let mut lines = vec![title, covered];
        for reason in shown.iter().take(SHOWN_MAX) {
            let since = self.topics.get(&name(reason)).map_or(now, |topic| topic.since);
            lines.push(format!("- {}", line(&reason.to_string())));
            lines.push(format!("  since {}. Next: {}.", rounded(since), reason.remedy()));
        }
        let more = shown.len().saturating_sub(SHOWN_MAX) + health.reasons_left_out;
        if more > 0 {
            lines.push(format!("- and {more} more: see `channelkeeper status`"));
        }
        lines.join("\n")
    }
}

impl Retry {
    /// Returns whether the next attempt is not due at `now`.
    pub(crate) fn waits(&self, now: Timestamp) -> bool {
        // A wait that is longer than any was made while the clock was wrong.
        self.not_before.is_some_and(|at| at > now && span(now, at) <= RETRIES[RETRIES.len() - 1])
    }

    /// An attempt failed.
    pub(crate) fn again(&mut self, now: Timestamp) {
        self.not_before = Some(after(now, RETRIES[self.failures.min(RETRIES.len() - 1)]));
        self.failures += 1;
    }
}

/// The start of the latest pass, if the passes prove at `now` that everything declared is covered.
/// For that, each account's last pass saw it whole and failed in nothing, and the next is not
/// overdue. Every channel was also found to deliver, with its end beyond the emergency's edge.
/// Where machines share the accounts, one of them proves it for all, and none is without one. No
/// proof without a declared channel.
pub(crate) fn proof(overview: &Overview, now: Timestamp) -> Option<Timestamp> {
    let speaks = |it: &ClusterState| it.leads && it.is_active && it.unowned.is_empty();
    if !overview.cluster.as_ref().is_none_or(speaks)
        || !overview.unusable.is_empty()
        || overview.store_failed.is_some()
        || overview.stopping
    {
        return None;
    }
    let proving = overview.everywhere();
    let proving = proving.map(|(_, report)| report.filter(|report| proves(report, now)));
    let reports = proving.collect::<Option<Vec<&AccountReport>>>()?;
    let declared = reports.iter().any(|report| !report.channels.is_empty());
    reports.iter().map(|report| report.at).max().filter(|_| declared)
}

fn proves(report: &AccountReport, now: Timestamp) -> bool {
    let is_safe = |channel: &ChannelReport| {
        let seen = report.state_at(channel, now) != ChannelState::Unverified;
        seen && is_covered(report, channel, now) && channel.emergency_at.is_some_and(|at| at > now)
    };
    let failed =
        report.look_failed.is_some() || report.writes_failed.is_some() || report.needs_a_person;
    !failed && now <= after(report.next_wake, PASS_OVERDUE) && report.channels.values().all(is_safe)
}

/// The reasons worth a message, the most serious first.
fn reasons(health: &Health) -> impl Iterator<Item = &HealthReason> {
    health.reasons.iter().filter(|reason| reason.kind.is_told())
}

/// As `uncovered/acme/deal-sync`; names hold no slash.
fn name(reason: &HealthReason) -> String {
    let HealthReason { kind, account, channel, text: _ } = reason;
    let account = account.as_ref().map(|account| format!("/{account}"));
    let channel = channel.as_ref().map(|channel| format!("/{channel}"));
    format!("{}{}{}", kind.word(), account.unwrap_or_default(), channel.unwrap_or_default())
}

/// Returns whether this daemon tells of the topic of this name. A name of another release is kept.
fn is_told_of(overview: &Overview, name: &str) -> bool {
    let (kind, account) = topic_parts(name);
    kind.is_none_or(|kind| overview.tells_of(kind, account.as_ref()))
}

fn topic_parts(name: &str) -> (Option<ReasonKind>, Option<AccountName>) {
    let mut parts = name.split('/');
    let kind = parts.next().and_then(ReasonKind::of_word);
    (kind, parts.next().and_then(|account| account.parse().ok()))
}

/// The part of it that this daemon tells of.
pub(crate) fn of_this_machine(health: Health, overview: &Overview) -> Health {
    let mut health = health;
    health.reasons.retain(|reason| overview.tells_of(reason.kind, reason.account.as_ref()));
    let status = health.reasons.first().map_or(Status::Ok, |reason| reason.kind.status());
    Health { status, ..health }
}

fn covered(guarantee: Guarantee) -> String {
    match guarantee {
        Guarantee::Until(until) => {
            format!(
                "Everything stays covered until {} even if nothing succeeds any more.",
                rounded(until)
            )
        }
        Guarantee::Broken => "Not everything is covered.".to_owned(),
        Guarantee::Unknown => "Nobody knows yet what is covered.".to_owned(),
        Guarantee::Nothing => "No channel is declared.".to_owned(),
    }
}

fn rounded(instant: Timestamp) -> Timestamp {
    crate::model::time::whole_seconds(instant)
}

/// How long to wait after each failure in a row to deliver something; after the last, again and
/// again.
pub(crate) const RETRIES: [Duration; 4] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(3600),
];
/// The most problems that a message lists: a chat shows a few thousand characters.
const SHOWN_MAX: usize = 5;

#[cfg(test)]
mod tests;
