//! The overview as metrics, in OpenMetrics or in Prometheus's older text, as the scraper asks.
//!
//! A registry is filled for each scrape and thrown away, so that nothing is kept in two places and
//! a series of a channel that is declared no longer is gone at once. Families and their samples
//! come in a fixed order.
//!
//! Instants are timestamps and not countdowns: `guaranteed_until - time()` stays right when scrapes
//! fail. Zero stands for *it is over already*, because a series that vanishes fires no alert; a
//! series is left out only where there is nothing to say (nothing declared, no pass yet).
//! `docs/monitoring.md` describes every metric, and a test holds it to that.
//!
//! Labels are names from the config and words from the code: nothing from Zoho becomes a label.
//! The metrics that an alert needs are there by account; series of single channels are for looking
//! at, and bounded by [`CHANNEL_SERIES_MAX`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::backfill::Standing;
use crate::coverage::GapKind;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::latency::Server;
use crate::model::time::Timestamp;
use crate::plan::step::{Cause, CauseKind, Held};
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState};

use super::health::{Guarantee, Health, Status, account_guarantee, health, usable};
use super::overview::{
    ClusterState, HookRuns, HookWay, LoopAge, Measured, Overview, Receiver, Sent, Steps, Tally,
};

mod family;
mod format;

use family::{Families, Family, Labels, Sample, counter, gauge, histograms, info, seconds};
pub(crate) use format::Format;

/// Everything, at `now`, in OpenMetrics.
pub(crate) fn encode(
    overview: &Overview,
    measured: &Measured,
    loop_age: LoopAge,
    now: Timestamp,
) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Families(families(overview, measured, loop_age, now))));
    let mut body = String::new();
    text::encode(&mut body, &registry).expect("writing to a String cannot fail");
    body
}

fn families(
    overview: &Overview,
    measured: &Measured,
    loop_age: LoopAge,
    now: Timestamp,
) -> Vec<Family> {
    let here = health(&overview.of_this_machine(), loop_age, now);
    let mut families = daemon(overview, &here, loop_age);
    let reports: Vec<&AccountReport> = usable(overview).filter_map(|(_, report)| report).collect();
    families.extend(accounts(&reports, now));
    families.extend(recoveries(overview));
    families.extend(cluster(overview.cluster.as_ref()));
    families.extend(fleet(overview, loop_age, now));
    families.extend(tallies(&overview.tallies));
    families.extend(calls(&reports));
    families.push(latencies(measured));
    families.extend(messages(measured));
    families.extend(hooks(measured));
    families.push(log(measured));
    families.extend(channels(&reports));
    families.extend(orphans(overview));
    families
}

fn daemon(overview: &Overview, health: &Health, loop_age: LoopAge) -> Vec<Family> {
    let mut families = vec![
        info("build", "The program's version.", "version", Some(env!("CARGO_PKG_VERSION"))),
        seconds("start_timestamp", "When the daemon started.").one(seconds_of(overview.started_at)),
    ];
    families.extend(daemon_health(health, loop_age));
    families.extend(store_and_config(overview));
    let accounts: BTreeSet<_> = overview.accounts.keys().chain(overview.unusable.keys()).collect();
    families.extend([
        seconds("clock_jump_timestamp", "When the wall clock last jumped, if it did.")
            .maybe(overview.clock_jump.map(|(at, _)| seconds_of(at))),
        gauge("accounts", "Accounts declared.").one(accounts.len() as f64),
        gauge("accounts_unusable", "Those that cannot be worked on. Alert above 0.")
            .one(overview.unusable.len() as f64),
        gauge("stopping", "1 while the daemon is stopping.").one(truth(overview.stopping)),
    ]);
    families
}

fn daemon_health(health: &Health, loop_age: LoopAge) -> Vec<Family> {
    let status = |status: Status| {
        (vec![("status", status.word().to_owned())], truth(health.status == status))
    };
    vec![
        gauge("live", "1 while the scheduler's loop turns. Alert on 0.").one(truth(health.live)),
        gauge("ready", "1 while `/readyz` says yes. Alert on 0 for 10 minutes.")
            .one(truth(health.ready())),
        gauge(
            "status",
            "1 for the status that `/healthz` gives: ok, degraded or failing. Alert on failing; \
             look at degraded within a day.",
        )
        .with(Status::ALL.map(status)),
        gauge("health_reasons", "How many things are not as they should be.")
            .one((health.reasons.len() + health.reasons_left_out) as f64),
        seconds(
            "loop_age",
            "How long ago the loop last turned; 30 at most while it is well. Alert above 90.",
        )
        .one(loop_age.0.as_secs_f64()),
        seconds(
            "guaranteed_until_timestamp",
            "Up to when everything declared stays covered if nothing succeeds any more; 0 when \
             something is not covered already.",
        )
        .maybe(guarantee(health.guarantee)),
    ]
}

fn store_and_config(overview: &Overview) -> Vec<Family> {
    let config = &overview.config;
    vec![
        gauge("store_ok", "1 while the store works. Alert on 0.")
            .one(truth(overview.store_failed.is_none())),
        gauge(
            "store_moved_aside",
            "1 when the database could not be used at the start. Look at it.",
        )
        .one(truth(overview.store_moved_aside.is_some())),
        gauge(
            "config_ok",
            "1 when the config as last read can be used. Alert on 0 for 15 minutes.",
        )
        .one(truth(config.problems.is_empty())),
        seconds(
            "config_last_load_timestamp",
            "When the config in force was read; 0 while the desired state is that of the store, \
             because the config cannot be used.",
        )
        .one(config.loaded_at.map_or(0.0, seconds_of)),
        info(
            "config",
            "The config in force: the first 16 digits of `cat FILES | sha256sum`, the named file \
             first, then what it includes; absent while the desired state is that of the store.",
            "hash",
            config.hash.as_deref(),
        ),
    ]
}

/// The machines that share the accounts, as this one sees them. Nothing where it is alone.
fn cluster(state: Option<&ClusterState>) -> Vec<Family> {
    let room = state.and_then(|state| state.engine.as_deref());
    let of = |value: fn(&ClusterState) -> f64| state.map(value);
    vec![
        gauge("cluster_machines", "Machines that share the accounts. Alert when one is missing.")
            .maybe(of(|state| state.members.len() as f64)),
        gauge("cluster_active", "1 while this machine may be given accounts and may write.")
            .maybe(of(|state| truth(state.is_active))),
        gauge(
            "cluster_unserved_accounts",
            "Accounts that no machine serves, as this one sees it. Alert above 0 for a minute.",
        )
        .maybe(of(|state| state.unowned.len() as f64)),
        gauge("cluster_engine_ok", "1 while the engine answers. Alert on 0 for 10 minutes.")
            .maybe(of(|state| truth(state.unreachable.is_none()))),
        gauge("cluster_engine_bytes", "What the engine's database took when it was asked last.")
            .maybe(room.map(|room| room.bytes as f64)),
        gauge(
            "cluster_engine_quota_bytes",
            "The most that it may take, where it says so. Alert when four fifths of it are taken.",
        )
        .maybe(room.and_then(|room| room.quota).map(|quota| quota as f64)),
    ]
}

/// Everything that the machines share, as this one sees it. Nothing where it is alone.
fn fleet(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> Vec<Family> {
    let shared = overview.cluster.as_ref().map(|_| overview);
    let all = shared.map(|overview| health(overview, loop_age, now));
    let reports = shared.into_iter().flat_map(Overview::everywhere);
    let reports: Vec<&AccountReport> = reports.filter_map(|(_, report)| report).collect();
    let status = |all: &Health| {
        Status::ALL
            .map(|status| (vec![("status", status.word().to_owned())], truth(all.status == status)))
    };
    let in_state = |state: ChannelState| {
        let channels = reports.iter().flat_map(|report| {
            report.channels.values().map(|channel| report.state_at(channel, now))
        });
        let count = channels.filter(|it| *it == state).count();
        (vec![("state", state.word().to_owned())], count as f64)
    };
    let states = shared.map(|_| ChannelState::ALL.map(in_state));
    vec![
        gauge(
            "fleet_status",
            "1 for the status of everything that the machines share: ok, degraded or failing. \
             Every machine says the same; take the maximum.",
        )
        .with(all.iter().flat_map(status)),
        seconds(
            "fleet_guaranteed_until_timestamp",
            "Up to when everything that the machines share stays covered if nothing succeeds any \
             more; 0 when something is not covered already. Take the minimum.",
        )
        .maybe(all.as_ref().and_then(|all| guarantee(all.guarantee))),
        gauge("fleet_accounts", "Accounts that the machines share. Take the maximum.")
            .maybe(shared.map(|overview| overview.names().len() as f64)),
        gauge("fleet_channels", "Their declared channels. Take the maximum.")
            .with(states.into_iter().flatten()),
    ]
}

fn accounts(reports: &[&AccountReport], now: Timestamp) -> Vec<Family> {
    let mut families = accounts_now(reports, now);
    families.extend(account_times(reports));
    families.extend(account_gaps(reports));
    families.extend(account_credits(reports, now));
    families
}

/// One sample for each account that has a value.
fn each(reports: &[&AccountReport], value: impl Fn(&AccountReport) -> Option<f64>) -> Vec<Sample> {
    reports.iter().filter_map(|report| Some((account(report), value(report)?))).collect()
}

fn accounts_now(reports: &[&AccountReport], now: Timestamp) -> Vec<Family> {
    vec![
        seconds("account_guaranteed_until_timestamp", "The same guarantee for one account.")
            .with(each(reports, |report| guarantee(account_guarantee(report, now)))),
        gauge(
            "channels",
            "Declared channels. Alert on uncovered above 0 for 5 minutes, on drifted for an hour.",
        )
        .with(states(reports, now)),
        gauge(
            "held_channels",
            "Channels for which something is not done: conflict, contested, rejected and so on.",
        )
        .with(held(reports)),
        gauge("foreign_channels", "Channels at Zoho that are not ours; they are never touched.")
            .with(each(reports, |report| Some(report.after.foreign_count() as f64))),
        gauge("needs_a_person", "1 when only a person can mend the account's failure. Alert on 1.")
            .with(each(reports, |report| Some(truth(report.needs_a_person)))),
        gauge("look_ok", "1 when the last look at Zoho succeeded. Alert on 0 for an hour.")
            .with(each(reports, |report| Some(truth(report.look_failed.is_none())))),
        gauge(
            "writes_ok",
            "1 unless the last writes failed for a reason that is no channel's own. Alert on 0 for \
             an hour.",
        )
        .with(each(reports, |report| Some(truth(report.writes_failed.is_none())))),
    ]
}

fn account_times(reports: &[&AccountReport]) -> Vec<Family> {
    vec![
        seconds(
            "last_successful_look_timestamp",
            "When Zoho's whole list was last seen. Alert on 2 hours ago.",
        )
        .with(each(reports, |report| report.looked_at.map(seconds_of))),
        seconds("last_pass_timestamp", "When the last pass began.")
            .with(each(reports, |report| Some(seconds_of(report.at)))),
        seconds("last_pass_duration", "How long it took.")
            .with(each(reports, |report| Some(report.took.as_secs_f64()))),
        seconds("next_pass_timestamp", "When the next pass is due. Alert on 10 minutes ago.")
            .with(each(reports, |report| Some(seconds_of(report.next_wake)))),
        seconds(
            "account_nearest_expiry_timestamp",
            "The earliest end of its channels that Zoho has.",
        )
        .with(each(reports, |report| earliest(report, |_, channel| channel.expiry))),
        seconds(
            "account_renewal_due_timestamp",
            "The earliest renewal due; channels that the mode leaves to others do not count. Alert \
             on an hour ago.",
        )
        .with(each(reports, |report| {
            earliest(report, |mine, channel| channel.due_at.filter(|_| mine))
        })),
        seconds(
            "account_emergency_timestamp",
            "From when such a renewal is an emergency. Alert when it is past.",
        )
        .with(each(reports, |report| {
            earliest(report, |mine, channel| channel.emergency_at.filter(|_| mine))
        })),
    ]
}

fn account_gaps(reports: &[&AccountReport]) -> Vec<Family> {
    vec![
        gauge(
            "short_grants",
            "Channels to which Zoho gave far less life than was asked for. Alert above 0 for an \
             hour.",
        )
        .with(each(reports, |report| Some(short_grants(report)))),
        seconds(
            "uncovered",
            "How long declared events were certainly not covered, summed over events, for all that \
             `gaps` still knows: a gauge, since old gaps are dropped with their channels.",
        )
        .with(each(reports, |report| lost(report, GapKind::Uncovered))),
        seconds("coverage_unknown", "The same for events of which nobody can say.")
            .with(each(reports, |report| lost(report, GapKind::Unknown))),
        seconds(
            "undeliverable",
            "The same for events that were covered while their receiver refused canaries.",
        )
        .with(each(reports, |report| lost(report, GapKind::Undeliverable))),
        gauge(
            "unacknowledged_gaps",
            "Gaps that nobody has acknowledged: `channelkeeper gaps` lists them.",
        )
        .with(each(reports, |report| {
            Some(report.channels.values().map(|channel| channel.gaps).sum::<usize>() as f64)
        })),
        gauge(
            "undeliverable_channels",
            "Channels whose receiver refuses canaries now. Alert above 0.",
        )
        .with(each(reports, |report| Some(undeliverable(report)))),
        seconds(
            "clock_skew",
            "How far Zoho's clock is ahead of ours. Alert beyond 60 on either side.",
        )
        .with(each(reports, |report| report.skew_ms.map(|skew_ms| skew_ms as f64 / 1000.0))),
    ]
}

fn account_credits(reports: &[&AccountReport], now: Timestamp) -> Vec<Family> {
    let known = |report: &AccountReport| report.credits.filter(|credits| now < credits.until);
    vec![
        gauge(
            "credits_remaining",
            "API credits left when Zoho last said so; absent while half of the day's or more are \
             left. Alert below credits_reserve.",
        )
        .with(each(reports, |report| Some(known(report)?.remaining as f64))),
        seconds("credits_remaining_timestamp", "When Zoho said so.")
            .with(each(reports, |report| Some(seconds_of(known(report)?.told_at)))),
        gauge(
            "credits_reserve",
            "API credits kept for renewals: with fewer left, audits and repairs that lose no \
             deliveries wait.",
        )
        .with(each(reports, |report| Some(known(report)?.reserve as f64))),
    ]
}

fn states(reports: &[&AccountReport], now: Timestamp) -> Vec<Sample> {
    let mut samples = Vec::new();
    for report in reports {
        for state in ChannelState::ALL {
            let channels =
                report.channels.values().filter(|channel| report.state_at(channel, now) == state);
            samples.push((with(account(report), "state", state.word()), channels.count() as f64));
        }
    }
    samples
}

fn held(reports: &[&AccountReport]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for report in reports {
        let mut causes: BTreeMap<&str, usize> =
            CauseKind::ALL.into_iter().map(|kind| (kind.word(), 0)).collect();
        for held in &report.after.held {
            *causes.entry(held.cause.word()).or_default() += 1;
        }
        samples.extend(
            causes
                .into_iter()
                .map(|(cause, number)| (with(account(report), "cause", cause), number as f64)),
        );
    }
    samples
}

/// The earliest of some instant over an account's channels; `mine` says whether the mode lets the
/// daemon write the channel.
fn earliest(
    report: &AccountReport,
    instant: impl Fn(bool, &ChannelReport) -> Option<Timestamp>,
) -> Option<f64> {
    let by_mode = |held: &&Held| matches!(held.cause, Cause::Mode { .. });
    let watched: BTreeSet<ChannelId> =
        report.after.held.iter().filter(by_mode).map(|held| held.id).collect();
    let instants =
        report.channels.iter().filter_map(|(id, channel)| instant(!watched.contains(id), channel));
    instants.min().map(seconds_of)
}

fn short_grants(report: &AccountReport) -> f64 {
    report.channels.values().filter(|channel| channel.short_grant).count() as f64
}

fn undeliverable(report: &AccountReport) -> f64 {
    report.channels.values().filter(|channel| channel.undeliverable.is_some()).count() as f64
}

fn lost(report: &AccountReport, kind: GapKind) -> Option<f64> {
    report.lost.get(&kind).map(Duration::as_secs_f64)
}

/// Missed events that are handed over, of accounts that have a rule for it, or had.
fn recoveries(overview: &Overview) -> Vec<Family> {
    let is_held = |(name, _): &(&AccountName, &Standing)| overview.accounts.contains_key(*name);
    let standings: Vec<_> = overview.recoveries.iter().filter(is_held).collect();
    let name = |account: &AccountName| vec![("account", account.to_string())];
    let each = |value: fn(&Standing) -> u64| -> Vec<Sample> {
        standings
            .iter()
            .map(|(account, standing)| (name(account), value(standing) as f64))
            .collect()
    };
    let states = standings.iter().flat_map(|(account, standing)| {
        let of = move |(state, number): (&Cow<'static, str>, &usize)| {
            (with(name(account), "state", state), *number as f64)
        };
        standing.states.iter().map(of)
    });
    vec![
        gauge(
            "recoveries",
            "Recoveries of missed events by state, for all that `backfill --all` still knows. Look \
             at unreadable and held above 0.",
        )
        .with(states.collect::<Vec<_>>()),
        gauge(
            "recovered_records",
            "Missed records that receivers took, for the same recoveries: a gauge, since old ones \
             are dropped.",
        )
        .with(each(|standing| standing.taken)),
        gauge("records_to_recover", "Those that are counted and may still be taken.")
            .with(each(|standing| standing.waiting)),
        gauge(
            "unrecovered_records",
            "Those that no receiver will get: it refused them, or the recovery was given up.",
        )
        .with(each(|standing| standing.lost)),
    ]
}

/// The totals of the passes of this process.
fn tallies(tallies: &BTreeMap<AccountName, Tally>) -> Vec<Family> {
    let name = |account: &AccountName| vec![("account", account.to_string())];
    let each = |value: fn(&Tally) -> u64| -> Vec<Sample> {
        tallies.iter().map(|(account, tally)| (name(account), value(tally) as f64)).collect()
    };
    let steps = |value: fn(&Steps) -> u64| -> Vec<Sample> {
        let of = |(account, tally): (&AccountName, &Tally)| -> Vec<Sample> {
            let labels = |step, reason| with(with(name(account), "step", step), "reason", reason);
            let steps = tally.steps.iter();
            steps
                .map(|((step, reason), steps)| (labels(step, reason), value(steps) as f64))
                .collect()
        };
        tallies.iter().flat_map(of).collect()
    };
    vec![
        counter("passes", "Passes that ended.").with(each(|tally| tally.passes)),
        counter("successful_passes", "Those that saw the account and did everything they tried.")
            .with(each(|tally| tally.successes)),
        seconds(
            "last_successful_pass_timestamp",
            "When the last pass began that saw the account and did everything it tried; 0 when \
             this process had none. Alert on 2 hours ago.",
        )
        .with(
            tallies.iter().map(|(account, tally)| {
                (name(account), tally.succeeded_at.map_or(0.0, seconds_of))
            }),
        ),
        counter("step_attempts", "Steps that were tried: done, refused, or in doubt.")
            .with(steps(|it| it.attempts)),
        counter("step_successes", "Those of them that were done.").with(steps(|it| it.successes)),
    ]
}

fn calls(reports: &[&AccountReport]) -> Vec<Family> {
    let (mut made, mut tokens) = (Vec::new(), Vec::new());
    for report in reports {
        for ((operation, outcome), number) in &report.traffic.calls {
            let labels = with(with(account(report), "operation", operation), "outcome", outcome);
            made.push((labels, *number as f64));
        }
        let asked = report.traffic.tokens.iter();
        tokens.extend(
            asked.map(|(outcome, number)| {
                (with(account(report), "outcome", outcome), *number as f64)
            }),
        );
    }
    vec![
        counter("calls", "Calls of the watch API.").with(made),
        counter(
            "token_requests",
            "Access tokens asked for: Zoho gives ten to a refresh token in ten minutes.",
        )
        .with(tokens),
    ]
}

/// How long calls took, over all accounts.
fn latencies(measured: &Measured) -> Family {
    let labels = |server: Server, method: &str| {
        with(vec![("server", server.word().to_owned())], "method", method)
    };
    let taken = measured
        .latencies
        .iter()
        .map(|((server, method), taken)| (labels(*server, method), taken.clone()));
    histograms(
        "call_duration",
        "A histogram of how long calls took, whatever came of them, over all accounts; `server` is \
         api or accounts.",
        taken,
    )
}

/// The runs of hooks.
fn hooks(measured: &Measured) -> Vec<Family> {
    let HookRuns { runs, dropped } = &measured.hooks;
    let by = |way: &HookWay| vec![("way", way.word().to_owned())];
    let runs = runs
        .iter()
        .map(|((way, result), number)| (with(by(way), "result", result.word()), *number as f64));
    let dropped = dropped.iter().map(|(way, number)| (by(way), *number as f64));
    vec![
        counter(
            "hook_runs",
            "Events that hooks were told: `way` is command or webhook, `result` done, failed, \
             timed-out or absent. Look at it when anything but done grows.",
        )
        .with(runs),
        counter(
            "hook_events_dropped",
            "Events that were dropped, because a hook took fewer than there were.",
        )
        .with(dropped),
    ]
}

/// The messages that `[alerts]` sent.
fn messages(measured: &Measured) -> Vec<Family> {
    let to = |receiver: &Receiver| vec![("to", receiver.word().to_owned())];
    let outcomes = |(receiver, sent): (&Receiver, &Sent)| {
        let outcome =
            |outcome, number: u64| (with(to(receiver), "outcome", outcome), number as f64);
        [outcome("delivered", sent.delivered), outcome("failed", sent.failed)]
    };
    let each = |value: fn(&Sent) -> f64| -> Vec<Sample> {
        measured.messages.iter().map(|(receiver, sent)| (to(receiver), value(sent))).collect()
    };
    vec![
        counter(
            "messages",
            "Messages and heartbeats that `[alerts]` sent: `to` is webhook or heartbeat, `outcome` \
             delivered or failed.",
        )
        .with(measured.messages.iter().flat_map(outcomes)),
        gauge(
            "messages_ok",
            "1 unless the last of them was not delivered. Alert on 0 for 30 minutes.",
        )
        .with(each(|sent| truth(!sent.is_failing))),
        seconds("last_message_timestamp", "When the last of them was delivered; 0 when none was.")
            .with(each(|sent| sent.delivered_at.map_or(0.0, seconds_of))),
    ]
}

fn log(measured: &Measured) -> Family {
    counter("log_lines_lost", "Log lines that stderr did not get. Look at it when it grows.")
        .one(measured.log_lines_lost as f64)
}

/// Series of single channels, unless there are too many.
fn channels(reports: &[&AccountReport]) -> Vec<Family> {
    let all = || {
        reports.iter().flat_map(|report| report.channels.values().map(|channel| (*report, channel)))
    };
    let is_left_out = all().count() > CHANNEL_SERIES_MAX;
    let each = |value: fn(&ChannelReport) -> f64| -> Vec<Sample> {
        let shown = all().take(if is_left_out { 0 } else { CHANNEL_SERIES_MAX });
        let labels = |report, channel: &ChannelReport| {
            with(account(report), "channel", channel.spec.name.as_str())
        };
        shown.map(|(report, channel)| (labels(report, channel), value(channel))).collect()
    };
    vec![
        gauge(
            "channel_series_left_out",
            "1 when there are more than 1000 channels, so that none has series of its own.",
        )
        .one(truth(is_left_out)),
        seconds(
            "channel_expiry_timestamp",
            "When the channel ends, or ended; 0 when Zoho does not have it.",
        )
        .with(each(|channel| channel.expiry.map_or(0.0, seconds_of))),
        seconds(
            "channel_renewal_due_timestamp",
            "When it is renewed; 0 when Zoho does not have it.",
        )
        .with(each(|channel| channel.due_at.map_or(0.0, seconds_of))),
        seconds(
            "channel_emergency_timestamp",
            "When its renewal becomes an emergency; 0 when Zoho does not have it.",
        )
        .with(each(|channel| channel.emergency_at.map_or(0.0, seconds_of))),
    ]
}

fn orphans(overview: &Overview) -> Vec<Family> {
    let samples = overview
        .orphans
        .iter()
        .map(|(name, channels)| (vec![("account", name.to_string())], *channels as f64));
    vec![
        gauge("orphaned_channels", "Channels of an account declared no longer, left to expire.")
            .with(samples),
    ]
}

fn account(report: &AccountReport) -> Labels {
    vec![("account", report.account.to_string())]
}

fn with(mut labels: Labels, name: &'static str, value: &str) -> Labels {
    labels.push((name, value.to_owned()));
    labels
}

fn guarantee(guarantee: Guarantee) -> Option<f64> {
    match guarantee {
        Guarantee::Until(until) => Some(seconds_of(until)),
        Guarantee::Broken => Some(0.0),
        Guarantee::Nothing | Guarantee::Unknown => None,
    }
}

fn seconds_of(instant: Timestamp) -> f64 {
    instant.as_millisecond() as f64 / 1000.0
}

fn truth(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// Every name begins with it.
const PREFIX: &str = "channelkeeper";
/// Up to so many channels, each has series of its own; beyond, only sums are shown, and a gauge
/// says so.
pub(crate) const CHANNEL_SERIES_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use expect_test::expect;

    use super::super::overview::HookResult;
    use super::super::testing::{
        TURNING, account, change, converged, empty, hold, hours, id, lose, minutes, now, rejected,
    };
    use super::*;
    use crate::expose::status::StatusView;
    use crate::plan::credits::Credits;

    fn scrape(overview: &Overview, now: Timestamp) -> String {
        encode(overview, &measured(), TURNING, now)
    }

    fn measured() -> Measured {
        let mut measured = Measured::default();
        for millis in [40, 200, 45_000] {
            measured
                .latencies
                .entry((Server::Api, "GET"))
                .or_default()
                .add(Duration::from_millis(millis));
        }
        measured.messages.entry(Receiver::Webhook).or_default().add(false, now());
        measured.hooks.ran(HookWay::Command, HookResult::TimedOut);
        measured
    }

    fn samples<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
        let of = |line: &&str| line.starts_with(&format!("channelkeeper_{name}"));
        text.lines().filter(of).map(|line| line.trim_start_matches("channelkeeper_")).collect()
    }

    #[test]
    fn a_small_overview_is_this_text() {
        let mut overview = converged(2);
        lose(&mut overview, 2);
        hold(&mut overview, 2, rejected());
        change(&mut overview, |report| report.after.foreign = vec![id(77)]);
        overview.orphans.insert(account("old"), 3);
        let standing = Standing { taken: 41, waiting: 7, lost: 2, ..Standing::default() };
        overview.recoveries.insert(account("acme"), standing.clone());
        overview.recoveries.insert(account("declared-no-longer"), standing);
        let steps = Steps { attempts: 3, successes: 2 };
        overview
            .tallies
            .get_mut(&account("acme"))
            .unwrap()
            .steps
            .insert(("enable", "renew"), steps);
        let text = scrape(&overview, minutes(90));
        expect![[r##"
            # HELP channelkeeper_build The program's version.
            # TYPE channelkeeper_build info
            channelkeeper_build_info{version="0.1.0"} 1
            # HELP channelkeeper_start_timestamp_seconds When the daemon started.
            # TYPE channelkeeper_start_timestamp_seconds gauge
            # UNIT channelkeeper_start_timestamp_seconds seconds
            channelkeeper_start_timestamp_seconds 1767225600.0
            # HELP channelkeeper_live 1 while the scheduler's loop turns. Alert on 0.
            # TYPE channelkeeper_live gauge
            channelkeeper_live 1.0
            # HELP channelkeeper_ready 1 while `/readyz` says yes. Alert on 0 for 10 minutes.
            # TYPE channelkeeper_ready gauge
            channelkeeper_ready 1.0
            # HELP channelkeeper_status 1 for the status that `/healthz` gives: ok, degraded or failing. Alert on failing; look at degraded within a day.
            # TYPE channelkeeper_status gauge
            channelkeeper_status{status="ok"} 0.0
            channelkeeper_status{status="degraded"} 0.0
            channelkeeper_status{status="failing"} 1.0
            # HELP channelkeeper_health_reasons How many things are not as they should be.
            # TYPE channelkeeper_health_reasons gauge
            channelkeeper_health_reasons 3.0
            # HELP channelkeeper_loop_age_seconds How long ago the loop last turned; 30 at most while it is well. Alert above 90.
            # TYPE channelkeeper_loop_age_seconds gauge
            # UNIT channelkeeper_loop_age_seconds seconds
            channelkeeper_loop_age_seconds 5.0
            # HELP channelkeeper_guaranteed_until_timestamp_seconds Up to when everything declared stays covered if nothing succeeds any more; 0 when something is not covered already.
            # TYPE channelkeeper_guaranteed_until_timestamp_seconds gauge
            # UNIT channelkeeper_guaranteed_until_timestamp_seconds seconds
            channelkeeper_guaranteed_until_timestamp_seconds 0.0
            # HELP channelkeeper_store_ok 1 while the store works. Alert on 0.
            # TYPE channelkeeper_store_ok gauge
            channelkeeper_store_ok 1.0
            # HELP channelkeeper_store_moved_aside 1 when the database could not be used at the start. Look at it.
            # TYPE channelkeeper_store_moved_aside gauge
            channelkeeper_store_moved_aside 0.0
            # HELP channelkeeper_config_ok 1 when the config as last read can be used. Alert on 0 for 15 minutes.
            # TYPE channelkeeper_config_ok gauge
            channelkeeper_config_ok 1.0
            # HELP channelkeeper_config_last_load_timestamp_seconds When the config in force was read; 0 while the desired state is that of the store, because the config cannot be used.
            # TYPE channelkeeper_config_last_load_timestamp_seconds gauge
            # UNIT channelkeeper_config_last_load_timestamp_seconds seconds
            channelkeeper_config_last_load_timestamp_seconds 1767225600.0
            # HELP channelkeeper_config The config in force: the first 16 digits of `cat FILES | sha256sum`, the named file first, then what it includes; absent while the desired state is that of the store.
            # TYPE channelkeeper_config info
            channelkeeper_config_info{hash="0123456789abcdef"} 1
            # HELP channelkeeper_accounts Accounts declared.
            # TYPE channelkeeper_accounts gauge
            channelkeeper_accounts 1.0
            # HELP channelkeeper_accounts_unusable Those that cannot be worked on. Alert above 0.
            # TYPE channelkeeper_accounts_unusable gauge
            channelkeeper_accounts_unusable 0.0
            # HELP channelkeeper_stopping 1 while the daemon is stopping.
            # TYPE channelkeeper_stopping gauge
            channelkeeper_stopping 0.0
            # HELP channelkeeper_account_guaranteed_until_timestamp_seconds The same guarantee for one account.
            # TYPE channelkeeper_account_guaranteed_until_timestamp_seconds gauge
            # UNIT channelkeeper_account_guaranteed_until_timestamp_seconds seconds
            channelkeeper_account_guaranteed_until_timestamp_seconds{account="acme"} 0.0
            # HELP channelkeeper_channels Declared channels. Alert on uncovered above 0 for 5 minutes, on drifted for an hour.
            # TYPE channelkeeper_channels gauge
            channelkeeper_channels{account="acme",state="covered"} 1.0
            channelkeeper_channels{account="acme",state="unverified"} 0.0
            channelkeeper_channels{account="acme",state="drifted"} 0.0
            channelkeeper_channels{account="acme",state="uncovered"} 1.0
            # HELP channelkeeper_held_channels Channels for which something is not done: conflict, contested, rejected and so on.
            # TYPE channelkeeper_held_channels gauge
            channelkeeper_held_channels{account="acme",cause="back-off"} 0.0
            channelkeeper_held_channels{account="acme",cause="conflict"} 0.0
            channelkeeper_held_channels{account="acme",cause="contested"} 0.0
            channelkeeper_held_channels{account="acme",cause="credits"} 0.0
            channelkeeper_held_channels{account="acme",cause="left-to-expire"} 0.0
            channelkeeper_held_channels{account="acme",cause="mode"} 0.0
            channelkeeper_held_channels{account="acme",cause="no-engine"} 0.0
            channelkeeper_held_channels{account="acme",cause="opaque"} 0.0
            channelkeeper_held_channels{account="acme",cause="part-refused"} 0.0
            channelkeeper_held_channels{account="acme",cause="paused"} 0.0
            channelkeeper_held_channels{account="acme",cause="rejected"} 1.0
            channelkeeper_held_channels{account="acme",cause="removal-guard"} 0.0
            channelkeeper_held_channels{account="acme",cause="unknown"} 0.0
            channelkeeper_held_channels{account="acme",cause="vanished"} 0.0
            # HELP channelkeeper_foreign_channels Channels at Zoho that are not ours; they are never touched.
            # TYPE channelkeeper_foreign_channels gauge
            channelkeeper_foreign_channels{account="acme"} 1.0
            # HELP channelkeeper_needs_a_person 1 when only a person can mend the account's failure. Alert on 1.
            # TYPE channelkeeper_needs_a_person gauge
            channelkeeper_needs_a_person{account="acme"} 0.0
            # HELP channelkeeper_look_ok 1 when the last look at Zoho succeeded. Alert on 0 for an hour.
            # TYPE channelkeeper_look_ok gauge
            channelkeeper_look_ok{account="acme"} 1.0
            # HELP channelkeeper_writes_ok 1 unless the last writes failed for a reason that is no channel's own. Alert on 0 for an hour.
            # TYPE channelkeeper_writes_ok gauge
            channelkeeper_writes_ok{account="acme"} 1.0
            # HELP channelkeeper_last_successful_look_timestamp_seconds When Zoho's whole list was last seen. Alert on 2 hours ago.
            # TYPE channelkeeper_last_successful_look_timestamp_seconds gauge
            # UNIT channelkeeper_last_successful_look_timestamp_seconds seconds
            channelkeeper_last_successful_look_timestamp_seconds{account="acme"} 1767229200.0
            # HELP channelkeeper_last_pass_timestamp_seconds When the last pass began.
            # TYPE channelkeeper_last_pass_timestamp_seconds gauge
            # UNIT channelkeeper_last_pass_timestamp_seconds seconds
            channelkeeper_last_pass_timestamp_seconds{account="acme"} 1767229200.0
            # HELP channelkeeper_last_pass_duration_seconds How long it took.
            # TYPE channelkeeper_last_pass_duration_seconds gauge
            # UNIT channelkeeper_last_pass_duration_seconds seconds
            channelkeeper_last_pass_duration_seconds{account="acme"} 0.25
            # HELP channelkeeper_next_pass_timestamp_seconds When the next pass is due. Alert on 10 minutes ago.
            # TYPE channelkeeper_next_pass_timestamp_seconds gauge
            # UNIT channelkeeper_next_pass_timestamp_seconds seconds
            channelkeeper_next_pass_timestamp_seconds{account="acme"} 1767268800.0
            # HELP channelkeeper_account_nearest_expiry_timestamp_seconds The earliest end of its channels that Zoho has.
            # TYPE channelkeeper_account_nearest_expiry_timestamp_seconds gauge
            # UNIT channelkeeper_account_nearest_expiry_timestamp_seconds seconds
            channelkeeper_account_nearest_expiry_timestamp_seconds{account="acme"} 1767312000.0
            # HELP channelkeeper_account_renewal_due_timestamp_seconds The earliest renewal due; channels that the mode leaves to others do not count. Alert on an hour ago.
            # TYPE channelkeeper_account_renewal_due_timestamp_seconds gauge
            # UNIT channelkeeper_account_renewal_due_timestamp_seconds seconds
            channelkeeper_account_renewal_due_timestamp_seconds{account="acme"} 1767268800.0
            # HELP channelkeeper_account_emergency_timestamp_seconds From when such a renewal is an emergency. Alert when it is past.
            # TYPE channelkeeper_account_emergency_timestamp_seconds gauge
            # UNIT channelkeeper_account_emergency_timestamp_seconds seconds
            channelkeeper_account_emergency_timestamp_seconds{account="acme"} 1767301200.0
            # HELP channelkeeper_short_grants Channels to which Zoho gave far less life than was asked for. Alert above 0 for an hour.
            # TYPE channelkeeper_short_grants gauge
            channelkeeper_short_grants{account="acme"} 0.0
            # HELP channelkeeper_uncovered_seconds How long declared events were certainly not covered, summed over events, for all that `gaps` still knows: a gauge, since old gaps are dropped with their channels.
            # TYPE channelkeeper_uncovered_seconds gauge
            # UNIT channelkeeper_uncovered_seconds seconds
            channelkeeper_uncovered_seconds{account="acme"} 2.0
            # HELP channelkeeper_coverage_unknown_seconds The same for events of which nobody can say.
            # TYPE channelkeeper_coverage_unknown_seconds gauge
            # UNIT channelkeeper_coverage_unknown_seconds seconds
            channelkeeper_coverage_unknown_seconds{account="acme"} 600.0
            # HELP channelkeeper_undeliverable_seconds The same for events that were covered while their receiver refused canaries.
            # TYPE channelkeeper_undeliverable_seconds gauge
            # UNIT channelkeeper_undeliverable_seconds seconds
            channelkeeper_undeliverable_seconds{account="acme"} 60.0
            # HELP channelkeeper_unacknowledged_gaps Gaps that nobody has acknowledged: `channelkeeper gaps` lists them.
            # TYPE channelkeeper_unacknowledged_gaps gauge
            channelkeeper_unacknowledged_gaps{account="acme"} 0.0
            # HELP channelkeeper_undeliverable_channels Channels whose receiver refuses canaries now. Alert above 0.
            # TYPE channelkeeper_undeliverable_channels gauge
            channelkeeper_undeliverable_channels{account="acme"} 0.0
            # HELP channelkeeper_clock_skew_seconds How far Zoho's clock is ahead of ours. Alert beyond 60 on either side.
            # TYPE channelkeeper_clock_skew_seconds gauge
            # UNIT channelkeeper_clock_skew_seconds seconds
            channelkeeper_clock_skew_seconds{account="acme"} 0.0
            # HELP channelkeeper_recoveries Recoveries of missed events by state, for all that `backfill --all` still knows. Look at unreadable and held above 0.
            # TYPE channelkeeper_recoveries gauge
            channelkeeper_recoveries{account="acme",state="abandoned"} 0.0
            channelkeeper_recoveries{account="acme",state="done"} 0.0
            channelkeeper_recoveries{account="acme",state="handing-over"} 0.0
            channelkeeper_recoveries{account="acme",state="held"} 0.0
            channelkeeper_recoveries{account="acme",state="reading"} 0.0
            channelkeeper_recoveries{account="acme",state="unreadable"} 0.0
            # HELP channelkeeper_recovered_records Missed records that receivers took, for the same recoveries: a gauge, since old ones are dropped.
            # TYPE channelkeeper_recovered_records gauge
            channelkeeper_recovered_records{account="acme"} 41.0
            # HELP channelkeeper_records_to_recover Those that are counted and may still be taken.
            # TYPE channelkeeper_records_to_recover gauge
            channelkeeper_records_to_recover{account="acme"} 7.0
            # HELP channelkeeper_unrecovered_records Those that no receiver will get: it refused them, or the recovery was given up.
            # TYPE channelkeeper_unrecovered_records gauge
            channelkeeper_unrecovered_records{account="acme"} 2.0
            # HELP channelkeeper_passes Passes that ended.
            # TYPE channelkeeper_passes counter
            channelkeeper_passes_total{account="acme"} 1.0
            # HELP channelkeeper_successful_passes Those that saw the account and did everything they tried.
            # TYPE channelkeeper_successful_passes counter
            channelkeeper_successful_passes_total{account="acme"} 1.0
            # HELP channelkeeper_last_successful_pass_timestamp_seconds When the last pass began that saw the account and did everything it tried; 0 when this process had none. Alert on 2 hours ago.
            # TYPE channelkeeper_last_successful_pass_timestamp_seconds gauge
            # UNIT channelkeeper_last_successful_pass_timestamp_seconds seconds
            channelkeeper_last_successful_pass_timestamp_seconds{account="acme"} 1767229200.0
            # HELP channelkeeper_step_attempts Steps that were tried: done, refused, or in doubt.
            # TYPE channelkeeper_step_attempts counter
            channelkeeper_step_attempts_total{account="acme",step="enable",reason="renew"} 3.0
            # HELP channelkeeper_step_successes Those of them that were done.
            # TYPE channelkeeper_step_successes counter
            channelkeeper_step_successes_total{account="acme",step="enable",reason="renew"} 2.0
            # HELP channelkeeper_calls Calls of the watch API.
            # TYPE channelkeeper_calls counter
            channelkeeper_calls_total{account="acme",operation="enable",outcome="ok"} 1.0
            channelkeeper_calls_total{account="acme",operation="list",outcome="ok"} 3.0
            # HELP channelkeeper_token_requests Access tokens asked for: Zoho gives ten to a refresh token in ten minutes.
            # TYPE channelkeeper_token_requests counter
            channelkeeper_token_requests_total{account="acme",outcome="ok"} 1.0
            # HELP channelkeeper_call_duration_seconds A histogram of how long calls took, whatever came of them, over all accounts; `server` is api or accounts.
            # TYPE channelkeeper_call_duration_seconds histogram
            # UNIT channelkeeper_call_duration_seconds seconds
            channelkeeper_call_duration_seconds_sum{server="api",method="GET"} 45.24
            channelkeeper_call_duration_seconds_count{server="api",method="GET"} 3
            channelkeeper_call_duration_seconds_bucket{le="0.05",server="api",method="GET"} 1
            channelkeeper_call_duration_seconds_bucket{le="0.1",server="api",method="GET"} 1
            channelkeeper_call_duration_seconds_bucket{le="0.25",server="api",method="GET"} 2
            channelkeeper_call_duration_seconds_bucket{le="0.5",server="api",method="GET"} 2
            channelkeeper_call_duration_seconds_bucket{le="1.0",server="api",method="GET"} 2
            channelkeeper_call_duration_seconds_bucket{le="2.5",server="api",method="GET"} 2
            channelkeeper_call_duration_seconds_bucket{le="5.0",server="api",method="GET"} 2
            channelkeeper_call_duration_seconds_bucket{le="10.0",server="api",method="GET"} 2
            channelkeeper_call_duration_seconds_bucket{le="30.0",server="api",method="GET"} 2
            channelkeeper_call_duration_seconds_bucket{le="+Inf",server="api",method="GET"} 3
            # HELP channelkeeper_messages Messages and heartbeats that `[alerts]` sent: `to` is webhook or heartbeat, `outcome` delivered or failed.
            # TYPE channelkeeper_messages counter
            channelkeeper_messages_total{to="webhook",outcome="delivered"} 0.0
            channelkeeper_messages_total{to="webhook",outcome="failed"} 1.0
            # HELP channelkeeper_messages_ok 1 unless the last of them was not delivered. Alert on 0 for 30 minutes.
            # TYPE channelkeeper_messages_ok gauge
            channelkeeper_messages_ok{to="webhook"} 0.0
            # HELP channelkeeper_last_message_timestamp_seconds When the last of them was delivered; 0 when none was.
            # TYPE channelkeeper_last_message_timestamp_seconds gauge
            # UNIT channelkeeper_last_message_timestamp_seconds seconds
            channelkeeper_last_message_timestamp_seconds{to="webhook"} 0.0
            # HELP channelkeeper_hook_runs Events that hooks were told: `way` is command or webhook, `result` done, failed, timed-out or absent. Look at it when anything but done grows.
            # TYPE channelkeeper_hook_runs counter
            channelkeeper_hook_runs_total{way="command",result="done"} 0.0
            channelkeeper_hook_runs_total{way="command",result="failed"} 0.0
            channelkeeper_hook_runs_total{way="command",result="timed-out"} 1.0
            channelkeeper_hook_runs_total{way="command",result="absent"} 0.0
            # HELP channelkeeper_hook_events_dropped Events that were dropped, because a hook took fewer than there were.
            # TYPE channelkeeper_hook_events_dropped counter
            channelkeeper_hook_events_dropped_total{way="command"} 0.0
            # HELP channelkeeper_log_lines_lost Log lines that stderr did not get. Look at it when it grows.
            # TYPE channelkeeper_log_lines_lost counter
            channelkeeper_log_lines_lost_total 0.0
            # HELP channelkeeper_channel_series_left_out 1 when there are more than 1000 channels, so that none has series of its own.
            # TYPE channelkeeper_channel_series_left_out gauge
            channelkeeper_channel_series_left_out 0.0
            # HELP channelkeeper_channel_expiry_timestamp_seconds When the channel ends, or ended; 0 when Zoho does not have it.
            # TYPE channelkeeper_channel_expiry_timestamp_seconds gauge
            # UNIT channelkeeper_channel_expiry_timestamp_seconds seconds
            channelkeeper_channel_expiry_timestamp_seconds{account="acme",channel="c1"} 1767312000.0
            channelkeeper_channel_expiry_timestamp_seconds{account="acme",channel="c2"} 0.0
            # HELP channelkeeper_channel_renewal_due_timestamp_seconds When it is renewed; 0 when Zoho does not have it.
            # TYPE channelkeeper_channel_renewal_due_timestamp_seconds gauge
            # UNIT channelkeeper_channel_renewal_due_timestamp_seconds seconds
            channelkeeper_channel_renewal_due_timestamp_seconds{account="acme",channel="c1"} 1767268800.0
            channelkeeper_channel_renewal_due_timestamp_seconds{account="acme",channel="c2"} 0.0
            # HELP channelkeeper_channel_emergency_timestamp_seconds When its renewal becomes an emergency; 0 when Zoho does not have it.
            # TYPE channelkeeper_channel_emergency_timestamp_seconds gauge
            # UNIT channelkeeper_channel_emergency_timestamp_seconds seconds
            channelkeeper_channel_emergency_timestamp_seconds{account="acme",channel="c1"} 1767301200.0
            channelkeeper_channel_emergency_timestamp_seconds{account="acme",channel="c2"} 0.0
            # HELP channelkeeper_orphaned_channels Channels of an account declared no longer, left to expire.
            # TYPE channelkeeper_orphaned_channels gauge
            channelkeeper_orphaned_channels{account="old"} 3.0
            # EOF
        "##]].assert_eq(&text);
    }

    #[test]
    fn every_scrape_ends_as_open_metrics_does_and_is_the_same_twice() {
        for overview in [empty(), converged(1), converged(50)] {
            let text = scrape(&overview, now());
            assert!(text.ends_with("# EOF\n"), "{text}");
            assert_eq!(text, scrape(&overview, now()));
        }
    }

    #[test]
    fn what_is_over_is_zero_and_what_is_not_known_is_left_out() {
        let until = |overview: &Overview, now| {
            samples(&scrape(overview, now), "guaranteed_until_timestamp_seconds").join("")
        };
        assert_eq!(until(&converged(1), now()), "guaranteed_until_timestamp_seconds 1767312000.0");
        assert_eq!(until(&converged(1), hours(24)), "guaranteed_until_timestamp_seconds 0.0");
        assert_eq!(until(&empty(), now()), "");
    }

    #[test]
    fn what_is_left_of_credits_is_there_while_it_is_known_and_health_says_when_it_is_little() {
        let mut overview = converged(1);
        assert!(samples(&scrape(&overview, now()), "credits").is_empty());
        let credits = Credits {
            remaining: 40,
            told_at: now(),
            until: hours(25),
            reserve: 50,
            per_day: Some(500),
        };
        change(&mut overview, |report| report.credits = Some(credits));
        expect![[r#"
            credits_remaining{account="acme"} 40.0
            credits_remaining_timestamp_seconds{account="acme"} 1767229200.0
            credits_reserve{account="acme"} 50.0"#]]
        .assert_eq(&samples(&scrape(&overview, hours(2)), "credits").join("\n"));
        assert!(samples(&scrape(&overview, hours(25)), "credits").is_empty());
        let reasons = |now| {
            health(&overview, TURNING, now)
                .reasons
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        expect!["credits: account acme: 40 of 500 API credits were left 1h ago, and 50 are kept for renewals: audits, and repairs that lose no deliveries, wait for 23h at most"]
            .assert_eq(&reasons(hours(2)).join("\n"));
        let text = StatusView::of(&overview, TURNING, hours(2))
            .to_text(&crate::expose::status::Layout::PLAIN);
        assert!(
            text.contains(", 40 of 500 API credits left 1h ago (kept for renewals: 50)"),
            "{text}"
        );
    }

    #[test]
    fn too_many_channels_have_no_series_of_their_own() {
        let many = scrape(&converged(1_001), now());
        assert!(samples(&many, "channel_expiry").is_empty());
        assert_eq!(samples(&many, "channel_series_left_out"), ["channel_series_left_out 1.0"]);
        let earliest = "account_nearest_expiry_timestamp_seconds{account=\"acme\"} 1767312000.0";
        assert_eq!(samples(&many, "account_nearest_expiry"), [earliest]);
        let few = scrape(&converged(1_000), now());
        assert_eq!(samples(&few, "channel_expiry").len(), 1_000);
    }

    /// The document with its table of metrics written from the code. The labels stay as they are.
    fn documented(document: &str) -> String {
        let header = "| metric | labels | says |\n| --- | --- | --- |\n";
        let (before, after) = document.split_once(header).expect("the table has its header");
        let (table, rest) = after.split_once("\n\n").expect("the table ends");
        let labels = |name: &str| {
            let row = table.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            row.and_then(|row| row.split('|').nth(2)).unwrap_or(" account ").to_owned()
        };
        let row = |family: &Family| {
            let name = family.full_name(PREFIX);
            format!("| `{name}` |{}| {} |\n", labels(&name), family.help().replace('|', "\\|"))
        };
        let families = families(&empty(), &measured(), TURNING, now());
        let rows: String = families.iter().map(row).collect();
        format!("{before}{header}{rows}\n{rest}")
    }

    #[test]
    fn every_metric_is_described_in_monitoring_by_its_own_help_and_no_other_is() {
        let document = include_str!("../../docs/monitoring.md");
        expect_test::expect_file!["../../docs/monitoring.md"].assert_eq(&documented(document));
    }

    #[test]
    fn the_labels_in_monitoring_are_those_of_the_samples() {
        let mut overview = converged(2);
        lose(&mut overview, 2);
        hold(&mut overview, 2, rejected());
        overview.cluster = Some(ClusterState::joining());
        overview.orphans.insert(account("old"), 3);
        let document = include_str!("../../docs/monitoring.md");
        let mut seen = 0;
        for family in families(&overview, &measured(), TURNING, now()) {
            let Some(labels) = family.labels() else { continue };
            let name = family.full_name(PREFIX);
            let row = document.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let said = row.unwrap().split('|').nth(2).unwrap().trim().to_owned();
            assert_eq!(said, labels.join(", "), "{name}");
            seen += 1;
        }
        assert!(seen > 50, "{seen} have samples");
    }

    #[test]
    fn what_the_mode_leaves_to_others_is_not_overdue() {
        let due = |overview: &Overview| {
            samples(&scrape(overview, now()), "account_renewal_due").join(" ")
        };
        let mut overview = converged(1);
        assert_ne!(due(&overview), "");
        let step = "enable (renew)".to_owned();
        hold(&mut overview, 1, Cause::Mode { mode: crate::model::policy::Mode::Observe, step });
        assert_eq!(due(&overview), "");
    }
}
