//! A rehearsal as one value, and as text.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::cli::narrate::stamp;
use crate::cli::records::MissedCounts;
use crate::config::audits_per_day;
use crate::coverage::GapKind;
use crate::coverage::render::GapView;
use crate::daemon::recoveries::RecoveryView;
use crate::model::desired::{AccountDesired, Desired};
use crate::model::time::{Timestamp, brief, whole_seconds};
use crate::plan::calls;
use crate::plan::render::counted;

use super::BEGINS;
use super::log::{Line, Voice};
use super::stage::{AccountPlayed, Played, Took, is_observed};
use super::trouble::Trouble;

/// The rehearsal and its outcome. Instants are the simulation's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rehearsal {
    begins: Timestamp,
    days: u32,
    seed: u64,
    channels: usize,
    /// Records of each watched module that change in an hour.
    changes: u64,
    trouble: Vec<String>,
    /// Channels that are only looked at (mode "observe"), so that nobody enabled them here. They
    /// are in no number.
    observed: Vec<String>,
    timeline: Vec<Line>,
    accounts: BTreeMap<String, AccountFate>,
}

/// The fate of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct AccountFate {
    /// By method, token requests as `token`, and calls for records as `read`.
    calls: BTreeMap<&'static str, u64>,
    calls_failed: u64,
    /// The calls that `plan` expects in so many days when all is well: looks, renewals, tokens.
    calls_expected: [u64; 3],
    renewals: u64,
    /// The least life that was left at a renewal.
    slack_seconds: Option<u64>,
    /// From the coverage ledger.
    gaps: Vec<GapView>,
    /// Events that were missed as records changed.
    missed: MissedCounts,
    /// Those that stay lost because `[backfill]` is off for their channels.
    backfill_off: u64,
    /// The cost of recovering the others.
    backfill_took: Took,
    recoveries: Vec<RecoveryView>,
}

impl Rehearsal {
    /// Before anything has happened.
    pub(super) fn beginning(
        desired: &Desired,
        days: u32,
        seed: u64,
        changes: u64,
        trouble: &Trouble,
    ) -> Rehearsal {
        let specs = || {
            desired
                .accounts
                .values()
                .flat_map(|held| held.specs.values().map(|spec| (&held.account, spec)))
        };
        let observed = specs().filter(|(account, spec)| is_observed(account, spec));
        Rehearsal {
            begins: BEGINS,
            days,
            seed,
            channels: specs().count(),
            changes,
            trouble: trouble.lines(),
            observed: observed.map(|(_, spec)| spec.name.to_string()).collect(),
            timeline: Vec::new(),
            accounts: desired
                .accounts
                .iter()
                .map(|(name, held)| (name.to_string(), expected(desired, held, days)))
                .collect(),
        }
    }

    /// Once it is over.
    pub(super) fn with(self, played: Played) -> Rehearsal {
        let Played { lines, accounts } = played;
        let mut views = self.accounts;
        for (name, played) in accounts {
            let AccountPlayed { tally, gaps, missed, unasked, took, recoveries } = played;
            let view = views.entry(name.to_string()).or_default();
            view.slack_seconds = tally.tightest.map(|left| left.as_secs());
            (view.calls, view.calls_failed, view.renewals) =
                (tally.calls, tally.failed, tally.renewals);
            (view.gaps, view.missed, view.backfill_off) = (gaps, missed, unasked);
            (view.backfill_took, view.recoveries) = (took, recoveries);
        }
        // Finer instants than these are of tokio's timers, and say nothing.
        let timeline =
            lines.into_iter().map(|line| Line { at: whole_seconds(line.at), ..line }).collect();
        Rehearsal { timeline, accounts: views, ..self }
    }

    /// Returns whether everything was covered, and known to be.
    pub(super) fn is_covered(&self) -> bool {
        self.gaps().next().is_none()
    }

    fn gaps(&self) -> impl Iterator<Item = &GapView> {
        self.accounts.values().flat_map(|account| &account.gaps)
    }

    /// As text.
    pub(super) fn to_text(&self) -> String {
        let mut lines = self.head();
        lines.push(String::new());
        lines.extend(self.timeline.iter().flat_map(timeline));
        lines.push(String::new());
        for (name, account) in &self.accounts {
            lines.push(account.line(name));
            let gaps = account.gaps.iter().take(GAPS_SHOWN_MAX).map(gap);
            lines.extend(gaps);
            let more = account.gaps.len().saturating_sub(GAPS_SHOWN_MAX);
            lines.extend((more > 0).then(|| format!("  and {more} more: --json has all")));
            lines.extend(account.missed_lines(self.changes));
        }
        lines.push(self.verdict());
        lines.join("\n") + "\n"
    }

    fn head(&self) -> Vec<String> {
        let Rehearsal { begins, days, seed, channels, trouble, observed, accounts, .. } = self;
        let (accounts, channels) =
            (counted(accounts.len(), "account"), counted(*channels, "channel"));
        let days = counted(*days as usize, "day");
        let mut lines = vec![format!(
            "rehearsal: {accounts}, {channels}, {days} from {begins} (day 1, simulated), seed \
             {seed}"
        )];
        lines.extend(trouble.iter().map(|trouble| format!("  {trouble}")));
        if !observed.is_empty() {
            lines.push(format!(
                "  only observed, so not enabled here, and not counted: {}",
                observed.join(", ")
            ));
        }
        lines.push(
            "[lines with ** are the world's doing, !! is what the alert webhook would be sent, \
             reminders left out]"
                .to_owned(),
        );
        lines
    }

    fn verdict(&self) -> String {
        let of = |kind: GapKind| -> Vec<&GapView> {
            self.gaps().filter(|gap| gap.kind == kind.word()).collect()
        };
        let said = |gaps: &[&GapView], what: &str| {
            let channels: BTreeSet<(&str, &str)> =
                gaps.iter().map(|gap| (gap.account.as_str(), gap.channel.as_str())).collect();
            let longest = gaps.iter().map(|gap| gap.seconds).max()?;
            let longest = brief(Duration::from_secs(longest));
            Some(format!(
                "{} {what} for {longest} at a stretch",
                counted(channels.len(), "channel")
            ))
        };
        let uncovered = said(&of(GapKind::Uncovered), "would have been uncovered");
        let unknown = said(&of(GapKind::Unknown), "may have been uncovered");
        let parts: Vec<String> =
            uncovered.into_iter().chain(unknown).chain(self.events()).collect();
        if parts.is_empty() { "nothing would have lapsed".to_owned() } else { parts.join("; ") }
    }
}

impl Rehearsal {
    /// How many events were missed, and came back.
    fn events(&self) -> Option<String> {
        let all = |count: fn(&AccountFate) -> u64| self.accounts.values().map(count).sum::<u64>();
        let (missed, recovered) =
            (all(|account| account.missed.missed), all(|account| account.missed.recovered));
        (missed > 0).then(|| format!("missed {missed}, recovered {recovered}"))
    }
}

impl AccountFate {
    /// The missed events, their fates, the cost, and the recoveries that still wait.
    fn missed_lines(&self, changes: u64) -> Vec<String> {
        let MissedCounts { missed, recovered, gone, open, lost } = self.missed;
        if missed == 0 {
            return Vec::new();
        }
        let why = |count: u64, why: &str| (count > 0).then(|| format!("{count} {why}"));
        let Took { deliveries, calls, credits } = self.backfill_took;
        let parts = [
            why(recovered, &format!("recovered in {}", counted(deliveries, "POST"))),
            why(gone, "not recoverable, as their records were deleted before they could be read"),
            why(open, "not over yet"),
            why(self.backfill_off, "lost: [backfill] is off, and could have recovered them"),
            why(lost - self.backfill_off, "not recovered yet"),
            (calls > 0).then(|| {
                let calls = counted(calls as usize, "call");
                format!("{calls} for it, which cost {}", counted(credits as usize, "API credit"))
            }),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        let events = counted(missed as usize, "event");
        let whole = format!(
            "  missed {events}, if {changes} records of each module change in an hour: {}",
            parts.join("; ")
        );
        let waiting = self.recoveries.iter().filter(|recovery| !recovery.is_over());
        let waiting = waiting.take(GAPS_SHOWN_MAX).map(|waiting| {
            let RecoveryView { channel, .. } = waiting;
            format!("  waits     {channel}  {}", waiting.fate())
        });
        std::iter::once(whole).chain(waiting).collect()
    }

    fn line(&self, name: &str) -> String {
        let AccountFate {
            calls,
            calls_failed,
            calls_expected: [looks, posts, tokens],
            renewals,
            slack_seconds,
            gaps,
            missed: _,
            backfill_off: _,
            backfill_took: _,
            recoveries: _,
        } = self;
        let calls: Vec<String> =
            calls.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let calls = if calls.is_empty() { "no calls".to_owned() } else { calls.join(", ") };
        let failed =
            if *calls_failed > 0 { format!(" ({calls_failed} failed)") } else { String::new() };
        let slack = slack_seconds.map(|left| {
            format!(", at the least {} before the end", brief(Duration::from_secs(left)))
        });
        let gaps = if gaps.is_empty() { "no gaps".to_owned() } else { counted(gaps.len(), "gap") };
        let renewals = counted(*renewals as usize, "renewal");
        format!(
            "account {name}: {calls}{failed}; expected were {looks} looks, {posts} renewal calls, \
             {tokens} tokens; {renewals}{}; {gaps}",
            slack.unwrap_or_default()
        )
    }
}

/// The view of an account that nothing has happened to.
fn expected(desired: &Desired, held: &AccountDesired, days: u32) -> AccountFate {
    let audits = f64::from(audits_per_day(&desired.settings.audit));
    let daily = calls::expected(&held.account.name, &held.account.policy, &held.specs, audits);
    let calls_expected = [daily.looks, daily.renewals, daily.tokens]
        .map(|calls| (calls * f64::from(days)).round() as u64);
    AccountFate { calls_expected, ..AccountFate::default() }
}

/// A line, and what belongs below it.
fn timeline(line: &Line) -> Vec<String> {
    let Line { at, from, account, text } = line;
    let when = if *at < BEGINS { "before".to_owned() } else { stamp(BEGINS, *at) };
    let mark = match from {
        Voice::World => "**",
        Voice::Channelkeeper => "  ",
        Voice::Alarm => "!!",
    };
    let whose = account.as_ref().map(|account| format!("{account}: ")).unwrap_or_default();
    let mut texts = text.lines();
    let first = format!("{when:<12} {mark} {whose}{}", texts.next().unwrap_or_default());
    std::iter::once(first).chain(texts.map(|more| format!("{:<16}{more}", ""))).collect()
}

/// As `gaps` prints it, counted in days.
fn gap(gap: &GapView) -> String {
    let GapView { account: _, channel, events, from, to, seconds, kind, cause, acknowledged: _ } =
        gap;
    let from = if *from < BEGINS { "before day 1".to_owned() } else { stamp(BEGINS, *from) };
    let to = to.map_or("the end".to_owned(), |to| stamp(BEGINS, to));
    let length = brief(Duration::from_secs(*seconds));
    format!("  {kind:<9} {channel}  {from} to {to} ({length}, {cause}): {}", events.join(", "))
}

/// The most gaps of an account in the text.
const GAPS_SHOWN_MAX: usize = 20;
