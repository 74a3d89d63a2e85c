//! The end of the demo: what channelkeeper did, held against what the simulator knows to be true.
//!
//! A channel may be uncovered for three reasons that are the world's: a hand took something away,
//! for as long as the next audit takes to see it; Zoho lost it while it was down; or it is not
//! declared. Anything else is a lapse. What a channel missed has to be recovered, whatever the
//! reason, but for what nobody declared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::cli::records::{MissedCounts, counted as missed_by_channel};
use crate::model::time::{Timestamp, after, brief, span};
use crate::plan::render::counted;
use crate::simulator::{Covered, Missed};

use super::world::AUDIT;
use super::{DemoStage, held, script, world};

/// One account in numbers.
struct AccountCounts {
    name: &'static str,
    enabled: u64,
    renewed: u64,
    calls: BTreeMap<&'static str, u64>,
    /// Calls for records, and the credits that they cost.
    reads: (u64, u64),
    channels: Vec<ChannelSummary>,
    /// Events of channels that were not declared then.
    undeclared: u64,
}

/// One channel and its gaps.
struct ChannelSummary {
    name: String,
    gaps: Gaps,
    missed: MissedCounts,
}

/// The longest gap of each kind.
#[derive(Clone, Copy, Default)]
struct Gaps {
    /// Somebody took something away, and it was seen and mended at the next audit.
    by_hand: Duration,
    /// Zoho lost it while it was down, and it was mended once Zoho was back.
    lost: Duration,
    /// Nobody took anything away.
    lapsed: Duration,
}

/// All of it.
pub(super) struct DemoSummary {
    accounts: Vec<AccountCounts>,
    simulated: Duration,
    deliveries: usize,
}

/// The summary of the simulator's truth.
pub(super) fn of(stage: &DemoStage) -> DemoSummary {
    let now = stage.clock.now();
    let ids = world::ACCOUNTS.iter().flat_map(world::DemoAccount::channels);
    DemoSummary {
        accounts: world::ACCOUNTS.iter().map(|account| of_account(stage, account, now)).collect(),
        simulated: span(stage.begins, now),
        deliveries: ids.map(|(id, _)| stage.receiver.deliveries(id)).sum(),
    }
}

fn of_account(stage: &DemoStage, account: &world::DemoAccount, now: Timestamp) -> AccountCounts {
    let (zoho, name) = (held(&stage.zoho), account.name);
    let counters = zoho.counters(name).cloned().unwrap_or_default();
    let mut by_channel: BTreeMap<String, Vec<Covered>> = BTreeMap::new();
    for covered in zoho.truth(name) {
        by_channel.entry(covered.channel.clone()).or_default().push(covered);
    }
    let slack = busy(RECOVERED_WITHIN, 2 * stage.speed);
    let is_undeclared = |line: &Missed| is_undeclared(stage, line);
    let is_meant = |line: &Missed| !is_undeclared(line);
    let missed = missed_by_channel((&zoho, name), &stage.receiver, is_meant, (now, slack));
    let channel = |(id, covered): (&String, &Vec<Covered>)| {
        let id = id.parse().unwrap_or_default();
        let name = world::named(id).map_or(String::new(), |(_, name)| name.to_owned());
        let gaps = gaps(stage, &name, covered, now);
        ChannelSummary { name, gaps, missed: missed.get(&id).copied().unwrap_or_default() }
    };
    AccountCounts {
        name,
        enabled: counters.channels_created,
        renewed: counters.channels_reenabled,
        calls: counters.calls.clone(),
        reads: (counters.reads.values().sum(), counters.read_credits),
        channels: by_channel.iter().map(channel).collect(),
        undeclared: zoho.missed(name).iter().filter(|line| is_undeclared(line)).count() as u64,
    }
}

fn is_undeclared(stage: &DemoStage, line: &Missed) -> bool {
    let is_leaver = world::named(line.channel).is_some_and(|(_, name)| name == world::LEAVER);
    let (from, to) = script::while_out(stage.begins, line.at);
    is_leaver && from <= line.at && line.at <= after(to, busy(Duration::ZERO, stage.speed))
}

/// Gaps between the first and the last instant at which each event was covered. A channel that is
/// taken out and put back is not declared in between.
fn gaps(stage: &DemoStage, name: &str, covered: &[Covered], now: Timestamp) -> Gaps {
    let mut events: BTreeMap<(&str, &str), Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
    for covered in covered {
        events
            .entry((&covered.module, covered.operation))
            .or_default()
            .push((covered.from, covered.to));
    }
    let mut gaps = Gaps::default();
    for spans in events.values_mut().filter(|_| name != world::LEAVER) {
        spans.sort();
        let starts = spans.iter().skip(1).map(|(from, _)| *from).chain([now]);
        for (from, to) in spans.iter().map(|(_, to)| *to).zip(starts) {
            let longest = gaps.of(stage, name, (from, to));
            *longest = span(from, to).max(*longest);
        }
    }
    gaps
}

impl Gaps {
    /// The kind that a gap is of.
    fn of(
        &mut self,
        stage: &DemoStage,
        name: &str,
        (from, to): (Timestamp, Timestamp),
    ) -> &mut Duration {
        let by_hand_max = AUDIT + busy(MENDED_WITHIN, stage.speed);
        let (lost, back) = script::while_lost(stage.begins, from);
        let mended_by = after(back, busy(MENDED_WITHIN, stage.speed));
        if name == world::LOST && lost <= from && from < back && to <= mended_by {
            &mut self.lost
        } else if span(from, to) <= by_hand_max {
            &mut self.by_hand
        } else {
            &mut self.lapsed
        }
    }
}

/// So long, and on a busy machine up to a second of real time, which is `speed` seconds here.
fn busy(within: Duration, speed: u32) -> Duration {
    within.max(Duration::from_secs(speed.into()))
}

/// How long after an audit, or the end of an outage, a pass has mended what it found.
const MENDED_WITHIN: Duration = Duration::from_secs(15 * 60);
/// How long after an event is covered again what was missed of it is recovered.
const RECOVERED_WITHIN: Duration = Duration::from_secs(30 * 60);

impl DemoSummary {
    /// Returns whether nothing lapsed that should not have, and nothing stayed lost.
    pub(super) fn is_good(&self) -> bool {
        let enabled = self.accounts.iter().all(|account| account.enabled > 0);
        enabled && self.channels().count() > 0 && !self.has_lapse() && self.missed().lost == 0
    }

    fn has_lapse(&self) -> bool {
        self.channels().any(|channel| !channel.gaps.lapsed.is_zero())
    }

    fn channels(&self) -> impl Iterator<Item = &ChannelSummary> {
        self.accounts.iter().flat_map(|account| &account.channels)
    }

    fn missed(&self) -> MissedCounts {
        self.channels().fold(MissedCounts::default(), |mut all, channel| {
            all += channel.missed;
            all
        })
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("\nafter {} simulated:\n", brief(self.simulated));
        for account in &self.accounts {
            account.append(&mut text);
        }
        for line in self.recovery() {
            append(&mut text, &format!("{line}\n"));
        }
        let verdict = match (self.has_lapse(), self.is_good()) {
            (true, _) => "something LAPSED",
            (false, false) => "something that was missed STAYED LOST",
            (false, true) => "nothing lapsed that should not have",
        };
        append(&mut text, &format!("{verdict}\n"));
        text
    }

    /// The missed events, their fates, and the cost.
    fn recovery(&self) -> Vec<String> {
        let MissedCounts { missed, recovered, gone, open, lost } = self.missed();
        let reads = self.accounts.iter().map(|account| account.reads);
        let (calls, credits) = reads.fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1));
        let undeclared: u64 = self.accounts.iter().map(|account| account.undeclared).sum();
        let why = |count: u64, why: &str| (count > 0).then(|| format!("  {count} {why}"));
        let took = format!(
            "{} deliveries, {} for records, {credits} API credits",
            self.deliveries,
            counted(calls as usize, "call"),
        );
        let whole =
            format!("missed {missed}, recovered {recovered}, not recoverable {gone}: {took}");
        let parts = [
            Some(whole),
            why(gone, "not recoverable: the record was deleted before it could be read"),
            why(open, "not yet due: the gap is open, or was until a moment ago"),
            why(lost, "NOT RECOVERED, although Zoho shows them"),
            why(undeclared, "more while the config lacked the channel: nobody asked for those"),
        ];
        parts.into_iter().flatten().collect()
    }
}

impl AccountCounts {
    fn append(&self, text: &mut String) {
        let calls: Vec<String> =
            self.calls.iter().map(|(method, count)| format!("{count} {method}")).collect();
        let AccountCounts { name, enabled, renewed, channels, calls: _, reads: _, undeclared: _ } =
            self;
        let declared = counted(channels.len(), "channel");
        append(
            text,
            &format!(
                "  {name}: {declared}, {enabled} times enabled and {renewed} times renewed, in {}\n",
                calls.join(", ")
            ),
        );
        for channel in channels {
            append(text, &format!("    {}\n", channel.line()));
        }
    }
}

impl ChannelSummary {
    fn line(&self) -> String {
        let ChannelSummary { name, gaps: Gaps { by_hand, lost, lapsed }, missed } = self;
        let gap = if !lapsed.is_zero() {
            format!("LAPSED for {}", brief(*lapsed))
        } else if !lost.is_zero() {
            format!("uncovered {}, lost by Zoho until it was back", brief(*lost))
        } else if !by_hand.is_zero() {
            format!("uncovered {}, from a hand at Zoho to the next audit", brief(*by_hand))
        } else {
            "uncovered 0s".to_owned()
        };
        let MissedCounts { missed, recovered, .. } = missed;
        let missed = match missed {
            0 => String::new(),
            _ => format!("; missed {missed}, recovered {recovered}"),
        };
        format!("{name:<14} {gap}{missed}")
    }
}

fn append(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _infallible = text.write_str(line);
}
