//! A rehearsal as one value, and as text.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use crate::cli::narrate::stamp;
use crate::coverage::Kind;
use crate::coverage::render::GapView;
use crate::model::desired::Desired;
use crate::model::time::{Timestamp, brief, whole_seconds};
use crate::plan::render::counted;

use super::log::{Line, Voice};
use super::stage::{BEGINS, Played, is_observed};
use super::trouble::Trouble;

/// What was rehearsed, and what came of it. Instants are the simulation's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Rehearsal {
    begins: Timestamp,
    days: u32,
    seed: u64,
    channels: usize,
    trouble: Vec<String>,
    /// Channels that are only looked at (mode "observe"), so that nobody enabled them here. They are in no number.
    observed: Vec<String>,
    timeline: Vec<Line>,
    accounts: BTreeMap<String, AccountView>,
}

/// What became of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct AccountView {
    /// By method, and token requests as `token`.
    calls: BTreeMap<&'static str, u64>,
    calls_failed: u64,
    renewals: u64,
    /// The least life that was left at a renewal.
    slack_seconds: Option<u64>,
    /// From the coverage ledger.
    gaps: Vec<GapView>,
}

impl Rehearsal {
    /// Before anything has happened.
    pub(super) fn beginning(desired: &Desired, days: u32, seed: u64, trouble: &Trouble) -> Rehearsal {
        let specs = || desired.accounts.values().flat_map(|held| held.specs.values().map(|spec| (&held.account, spec)));
        let observed = specs().filter(|(account, spec)| is_observed(account, spec));
        Rehearsal {
            begins: BEGINS,
            days,
            seed,
            channels: specs().count(),
            trouble: trouble.lines(),
            observed: observed.map(|(_, spec)| spec.name.to_string()).collect(),
            timeline: Vec::new(),
            accounts: BTreeMap::new(),
        }
    }

    /// Once it is over.
    pub(super) fn with(self, played: Played) -> Rehearsal {
        let Played { lines, accounts } = played;
        let view = |(name, (tally, gaps)): (_, (super::log::Tally, _))| {
            let slack_seconds = tally.tightest.map(|left| left.as_secs());
            let (calls, calls_failed, renewals) = (tally.calls, tally.failed, tally.renewals);
            (name, AccountView { calls, calls_failed, renewals, slack_seconds, gaps })
        };
        let named = accounts.into_iter().map(|(name, account)| (name.to_string(), account));
        // Finer instants than these are of tokio's timers, and say nothing.
        let timeline = lines.into_iter().map(|line| Line { at: whole_seconds(line.at), ..line }).collect();
        Rehearsal { timeline, accounts: named.map(view).collect(), ..self }
    }

    /// Whether everything was covered, and known to be.
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
        }
        lines.push(self.verdict());
        lines.join("\n") + "\n"
    }

    fn head(&self) -> Vec<String> {
        let Rehearsal { begins, days, seed, channels, trouble, observed, accounts, .. } = self;
        let (accounts, channels) = (counted(accounts.len(), "account"), counted(*channels, "channel"));
        let days = counted(*days as usize, "day");
        let mut lines =
            vec![format!("rehearsal: {accounts}, {channels}, {days} from {begins} (day 1, simulated), seed {seed}")];
        lines.extend(trouble.iter().map(|trouble| format!("  {trouble}")));
        if !observed.is_empty() {
            lines.push(format!("  only observed, so not enabled here, and not counted: {}", observed.join(", ")));
        }
        lines.push(
            "[lines with ** are the world's doing, !! is what the alert webhook would be sent, reminders left out]"
                .to_owned(),
        );
        lines
    }

    fn verdict(&self) -> String {
        let of = |kind: Kind| -> Vec<&GapView> { self.gaps().filter(|gap| gap.kind == kind.word()).collect() };
        let said = |gaps: &[&GapView], what: &str| {
            let channels: BTreeSet<(&str, &str)> =
                gaps.iter().map(|gap| (gap.account.as_str(), gap.channel.as_str())).collect();
            let longest = gaps.iter().map(|gap| gap.seconds).max()?;
            let longest = brief(Duration::from_secs(longest));
            Some(format!("{} {what} for {longest} at a stretch", counted(channels.len(), "channel")))
        };
        let uncovered = said(&of(Kind::Uncovered), "would have been uncovered");
        let unknown = said(&of(Kind::Unknown), "may have been uncovered");
        let parts: Vec<String> = uncovered.into_iter().chain(unknown).collect();
        if parts.is_empty() { "nothing would have lapsed".to_owned() } else { parts.join("; ") }
    }
}

impl AccountView {
    fn line(&self, name: &str) -> String {
        let AccountView { calls, calls_failed, renewals, slack_seconds, gaps } = self;
        let calls: Vec<String> = calls.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let calls = if calls.is_empty() { "no calls".to_owned() } else { calls.join(", ") };
        let failed = if *calls_failed > 0 { format!(" ({calls_failed} failed)") } else { String::new() };
        let slack =
            slack_seconds.map(|left| format!(", at the least {} before the end", brief(Duration::from_secs(left))));
        let gaps = if gaps.is_empty() { "no gaps".to_owned() } else { counted(gaps.len(), "gap") };
        let renewals = counted(*renewals as usize, "renewal");
        format!("account {name}: {calls}{failed}; {renewals}{}; {gaps}", slack.unwrap_or_default())
    }
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
    let GapView { account: _, channel, events, from, to, seconds, kind, cause } = gap;
    let from = if *from < BEGINS { "before day 1".to_owned() } else { stamp(BEGINS, *from) };
    let to = to.map_or("the end".to_owned(), |to| stamp(BEGINS, to));
    let length = brief(Duration::from_secs(*seconds));
    format!("  {kind:<9} {channel}  {from} to {to} ({length}, {cause}): {}", events.join(", "))
}

/// The most gaps of an account in the text.
const GAPS_SHOWN_MAX: usize = 20;
