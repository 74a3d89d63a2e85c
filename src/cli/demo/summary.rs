//! The end of the demo: what channelkeeper did, held against what the simulator knows to be true.
//!
//! A channel may be uncovered for two reasons that are the world's: a hand took something away, for
//! as long as the next audit takes to see it, or it is not declared. Anything else is a lapse.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::model::time::{Timestamp, brief, span};
use crate::plan::render::counted;
use crate::simulator::Covered;

use super::world::AUDIT;
use super::{DemoStage, world};

/// One account in numbers.
struct AccountCounts {
    name: &'static str,
    enabled: u64,
    renewed: u64,
    calls: BTreeMap<&'static str, u64>,
    channels: Vec<ChannelSummary>,
}

/// One channel and its gaps.
struct ChannelSummary {
    name: String,
    /// Somebody took something away, and it was seen and mended at the next audit.
    by_hand: Duration,
    /// Nobody took anything away.
    lapsed: Duration,
}

/// All of it.
pub(super) struct DemoSummary {
    accounts: Vec<AccountCounts>,
    simulated: Duration,
}

/// The summary of the simulator's truth.
pub(super) fn of(stage: &DemoStage) -> DemoSummary {
    let now = stage.clock.now();
    let by_hand_max = after_audit(stage.speed);
    let zoho = stage.zoho.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let names = channel_names(stage);
    let simulated = span(stage.begins, now);
    let account = |account: &world::DemoAccount| {
        let name = account.name;
        let counters = zoho.counters(name).cloned().unwrap_or_default();
        let truth = zoho.truth(name);
        let mut by_channel: BTreeMap<String, Vec<Covered>> = BTreeMap::new();
        for covered in truth {
            by_channel.entry(covered.channel.clone()).or_default().push(covered);
        }
        let channels: Vec<ChannelSummary> = by_channel
            .iter()
            .map(|(id, covered)| channel(names.get(id).unwrap_or(id), covered, now, by_hand_max))
            .collect();
        AccountCounts {
            name,
            enabled: counters.channels_created,
            renewed: counters.channels_reenabled,
            calls: counters.calls.clone(),
            channels,
        }
    };
    DemoSummary { accounts: world::ACCOUNTS.iter().map(account).collect(), simulated }
}

/// Gaps between the first and the last instant at which each event was covered. A channel that is
/// taken out and put back is not declared in between.
fn channel(
    name: &str,
    covered: &[Covered],
    now: Timestamp,
    by_hand_max: Duration,
) -> ChannelSummary {
    let mut events: BTreeMap<(&str, &str), Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
    for covered in covered {
        events
            .entry((&covered.module, covered.operation))
            .or_default()
            .push((covered.from, covered.to));
    }
    let (mut by_hand, mut lapsed) = (Duration::ZERO, Duration::ZERO);
    for spans in events.values_mut() {
        spans.sort();
        let starts = spans.iter().skip(1).map(|(from, _)| *from).chain([now]);
        for (gap_from, gap_to) in spans.iter().map(|(_, to)| *to).zip(starts) {
            let gap = span(gap_from, gap_to);
            if name == world::LEAVER {
                continue;
            }
            if gap <= by_hand_max { by_hand = by_hand.max(gap) } else { lapsed = lapsed.max(gap) }
        }
    }
    ChannelSummary { name: name.to_owned(), by_hand, lapsed }
}

/// Until the next audit, and the pass that it wakes: on a busy machine that takes up to a second of
/// real time.
fn after_audit(speed: u32) -> Duration {
    AUDIT + Duration::from_secs(15 * 60).max(Duration::from_secs(speed.into()))
}

impl DemoSummary {
    /// Returns whether nothing lapsed that should not have, and everything was done with few calls.
    pub(super) fn is_good(&self) -> bool {
        let channels = || self.accounts.iter().flat_map(|account| &account.channels);
        let enabled = self.accounts.iter().all(|account| account.enabled > 0);
        enabled && channels().count() > 0 && channels().all(|channel| channel.lapsed.is_zero())
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("\nafter {} simulated:\n", brief(self.simulated));
        for account in &self.accounts {
            account.append(&mut text);
        }
        let verdict =
            if self.is_good() { "nothing lapsed that should not have" } else { "something LAPSED" };
        append(&mut text, &format!("{verdict}\n"));
        text
    }
}

impl AccountCounts {
    fn append(&self, text: &mut String) {
        let calls: Vec<String> =
            self.calls.iter().map(|(method, count)| format!("{count} {method}")).collect();
        let AccountCounts { name, enabled, renewed, calls: _, channels } = self;
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
        let ChannelSummary { name, by_hand, lapsed } = self;
        match (by_hand.is_zero(), lapsed.is_zero()) {
            (true, true) => format!("{name:<14} uncovered 0s"),
            (false, true) => {
                format!(
                    "{name:<14} uncovered {}, from a hand at Zoho to the next audit",
                    brief(*by_hand)
                )
            }
            (_, false) => format!("{name:<14} LAPSED for {}", brief(*lapsed)),
        }
    }
}

fn append(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _infallible = text.write_str(line);
}

/// Names by id, from the config that was used.
fn channel_names(stage: &DemoStage) -> BTreeMap<String, String> {
    let text = world::config(&stage.base, true);
    let surroundings = crate::config::Surroundings {
        env: Box::new(|_| None),
        credentials_dir: None,
        missing: crate::config::MissingCredentials::Refuse,
        commands: crate::config::Commands::Refuse,
    };
    let path = stage.config.with_file_name("summary.toml");
    let loaded = std::fs::write(&path, text)
        .ok()
        .and_then(|()| crate::config::load(&path, &surroundings).desired);
    let specs = loaded.into_iter().flat_map(|desired| desired.accounts.into_values());
    let specs = specs.flat_map(|account| account.specs.into_values());
    specs.map(|spec| (spec.id.to_string(), spec.name.to_string())).collect()
}
