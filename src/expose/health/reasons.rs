//! The reasons why not everything is well: one sentence each, about the daemon, an account, or a
//! channel.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::backfill::standing::{Stuck, StuckWhy};
use crate::coverage::GapKind;
use crate::model::channel::{AccountName, ChannelId, ChannelName, NotifyUrl};
use crate::model::time::{Timestamp, after, brief, span, whole_seconds};
use crate::plan::credits::Credits;
use crate::plan::step::{Cause, Held};
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState, GapSpan};

use super::super::one_line::line;
use super::super::overview::{
    ClusterState, EngineTrouble, LogLost, LoopAge, MachineTroubles, Overview, Unfit,
};
use super::{HealthReason, LOOP_AGE_MAX, ReasonKind, UNSERVED_MAX, counted, is_covered};

/// Every reason at `now`, the most serious first.
pub(super) fn reasons(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> Vec<HealthReason> {
    let mut reasons = daemon_reasons(overview, loop_age, now);
    reasons.extend(overview.others.troubles.values().map(troubles_of_another));
    for (name, report) in overview.everywhere() {
        match report {
            Some(report) => reasons.extend(account_reasons(report, now)),
            None => reasons.push(first_pass(overview, name, now)),
        }
        if let Some(standing) = overview.standing(name) {
            reasons.extend(standing.stuck.iter().map(|stuck| stuck_reason(name, stuck)));
        }
    }
    reasons.sort();
    reasons
}

/// The troubles of this machine that are no account's, for the others to show: the most serious
/// ones. Those that each machine sees alike are left out.
pub(crate) fn troubles_of_machine(
    overview: &Overview,
    loop_age: LoopAge,
    now: Timestamp,
) -> MachineTroubles {
    let mut reasons = daemon_reasons(overview, loop_age, now);
    let is_own = |it: &HealthReason| it.account.is_none() && !it.kind.is_of_all_machines();
    reasons.retain(|it| is_own(it) && it.kind != ReasonKind::NothingDeclared);
    reasons.sort();
    let node = overview.cluster.as_ref().map(|cluster| cluster.node.clone());
    let lines = reasons.iter().take(TROUBLES_MAX).map(ToString::to_string);
    MachineTroubles {
        node: node.unwrap_or_default(),
        lines: lines.collect(),
        more: reasons.len().saturating_sub(TROUBLES_MAX),
    }
}

fn troubles_of_another(troubles: &MachineTroubles) -> HealthReason {
    let MachineTroubles { node, lines, more } = troubles;
    let more = if *more > 0 { format!("; and {more} more") } else { String::new() };
    let text = line(&format!("{node}: {}{more}", lines.join("; ")));
    HealthReason { kind: ReasonKind::Machine, account: None, channel: None, text }
}

/// The most of a machine's troubles that the others show.
const TROUBLES_MAX: usize = 3;

/// A recovery that waits for a person, with the verb to type.
fn stuck_reason(account: &AccountName, stuck: &Stuck) -> HealthReason {
    let Stuck { number, name, why } = stuck;
    let text = match why {
        StuckWhy::Most(records) => format!(
            "recovery {account}/{number} is held: {} are more than [backfill] most lets pass; \
             `channelkeeper backfill release {account}/{number}` hands them over",
            counted(usize::try_from(*records).unwrap_or(usize::MAX), "record")
        ),
        StuckWhy::Unreadable(why) => format!(
            "recovery {account}/{number} cannot be read: {why}; `channelkeeper gaps {name}` says \
             what to ask Zoho for by hand"
        ),
    };
    let (account, channel) = (Some(account.clone()), Some(name.clone()));
    HealthReason { kind: ReasonKind::Recovery, account, channel, text: line(&text) }
}

/// The reasons that hold for all accounts, or for the remains of a removed account.
fn daemon_reasons(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> Vec<HealthReason> {
    let mut reasons = DaemonReasons::default();
    reasons.of_work(overview, loop_age);
    if let Some(cluster) = &overview.cluster {
        reasons.of_cluster(cluster, now);
        reasons.of_unfit(cluster);
    }
    reasons.of_outlets(overview, now);
    reasons.of_the_rest(overview, now);
    reasons.0
}

/// The reasons that are no account's own pass.
#[derive(Default)]
struct DaemonReasons(Vec<HealthReason>);

impl DaemonReasons {
    fn add(&mut self, kind: ReasonKind, account: Option<&AccountName>, text: &str) {
        let (account, text) = (account.cloned(), line(text));
        self.0.push(HealthReason { kind, account, channel: None, text });
    }

    /// The loop, the store, the accounts and the config.
    fn of_work(&mut self, overview: &Overview, loop_age: LoopAge) {
        if loop_age == LoopAge::NO_LOOP {
            self.add(ReasonKind::NotLive, None, NO_DAEMON_RUNS);
        } else if loop_age.0 > LOOP_AGE_MAX {
            self.add(
                ReasonKind::NotLive,
                None,
                &format!("the loop last turned {} ago", brief(loop_age.0)),
            );
        }
        if let Some(why) = &overview.store_failed {
            self.add(ReasonKind::StoreFailed, None, &format!("the store failed: {why}"));
        }
        for (name, why) in &overview.unusable {
            self.add(ReasonKind::Unusable, Some(name), &format!("cannot be worked on: {why}"));
        }
        for problem in &overview.config.problems {
            self.add(
                ReasonKind::Config,
                None,
                &format!("the last good desired state is in force: {problem}"),
            );
        }
        for channels in &overview.config.thin {
            self.add(ReasonKind::Slack, None, channels);
        }
    }

    /// The machines that share the accounts. Who serves what is not known while the engine does not
    /// answer.
    fn of_cluster(&mut self, cluster: &ClusterState, now: Timestamp) {
        let ClusterState { name, node, standing, .. } = cluster;
        self.of_engine(cluster, now);
        if let Some((since, why)) = &cluster.unreachable {
            let waits = brief(span(*since, now));
            let text = format!(
                "the engine of cluster {name} has not answered for {waits}, and {node} {standing}: {why}"
            );
            let is_late = cluster.emergency.is_some();
            let kind = if is_late { ReasonKind::NoEngine } else { ReasonKind::Cluster };
            return self.add(kind, None, &text);
        }
        if !cluster.is_well {
            self.add(ReasonKind::Cluster, None, &format!("{node} {standing}"));
        }
        for (account, since) in &cluster.unowned {
            let waits = span(*since, now);
            if waits > UNSERVED_MAX {
                let text = format!("no machine has served it for {}", brief(waits));
                self.add(ReasonKind::Unserved, Some(account), &text);
            }
        }
    }

    /// The accounts that only other machines can serve.
    fn of_unfit(&mut self, cluster: &ClusterState) {
        for (account, Unfit { why, by }) in &cluster.unfit {
            let text =
                format!("account {account} cannot be worked on here, and {by} serves it: {why}");
            self.add(ReasonKind::Unfit, None, &text);
        }
    }

    /// The engine that machines share, while it answers or when it did last.
    fn of_engine(&mut self, cluster: &ClusterState, now: Timestamp) {
        for EngineTrouble { is_failing, why } in
            cluster.engine.iter().flat_map(|room| &room.troubles)
        {
            let kind = if *is_failing { ReasonKind::EngineFull } else { ReasonKind::EngineFills };
            self.add(kind, None, why);
        }
        if let Some(at) = cluster.restored_at.filter(|at| span(*at, now) <= RESTORED_SHOWN) {
            let text = format!(
                "the engine's data turned out at {} to be older than what was seen of them, or \
                 others: everything was claimed and is looked at anew",
                whole_seconds(at)
            );
            self.add(ReasonKind::Cluster, None, &text);
        }
        if cluster.is_slow && cluster.unreachable.is_none() {
            let text =
                format!("the engine is slow: it has confirmed no beat of {} for 4 s", cluster.node);
            self.add(ReasonKind::Cluster, None, &text);
        }
    }

    /// The status file, the hooks and the log.
    fn of_outlets(&mut self, overview: &Overview, now: Timestamp) {
        if let Some(why) = &overview.status_file_failed {
            let text = format!(
                "the status file cannot be written, so whoever reads it will take the daemon to be \
                 gone: {why}"
            );
            self.add(ReasonKind::StatusFile, None, &text);
        }
        if let Some(why) = &overview.hooks_failed {
            self.add(ReasonKind::Hooks, None, why);
        }
        if let Some(lost) =
            overview.log_lost.filter(|lost| lost.is_broken || span(lost.at, now) <= LOSS_SHOWN)
        {
            self.add(ReasonKind::LogLost, None, &log_lost_text(lost));
        }
    }

    fn of_the_rest(&mut self, overview: &Overview, now: Timestamp) {
        for (name, channels) in &overview.orphans {
            let text =
                format!("declared no longer: {} left to expire", counted(*channels, "channel"));
            self.add(ReasonKind::Orphans, Some(name), &text);
        }
        if let Some(why) = &overview.store_moved_aside {
            self.add(
                ReasonKind::StoreMovedAside,
                None,
                &format!("the database could not be used and was moved aside: {why}"),
            );
        }
        if let Some((at, by_ms)) =
            overview.clock_jump.filter(|(at, _)| span(*at, now) <= JUMP_SHOWN)
        {
            self.add(
                ReasonKind::ClockJump,
                None,
                &format!("the wall clock jumped {} at {at}", ahead_or_back(by_ms)),
            );
        }
        let declared = overview
            .everywhere()
            .any(|(_, report)| report.is_none_or(|report| !report.channels.is_empty()));
        if !declared && overview.unusable.is_empty() && overview.elsewhere == 0 {
            self.add(ReasonKind::NothingDeclared, None, "no channel is declared");
        }
    }
}

fn log_lost_text(lost: LogLost) -> String {
    let LogLost { at, lines, is_broken } = lost;
    let why = if is_broken { "stderr takes nothing" } else { "whoever reads stderr is too slow" };
    let lines = counted(usize::try_from(lines).unwrap_or(usize::MAX), "log line");
    format!("{why}: {lines} lost since the start, the last at {at}")
}

fn first_pass(overview: &Overview, name: &AccountName, now: Timestamp) -> HealthReason {
    let since = overview
        .config
        .loaded_at
        .map_or(overview.started_at, |loaded| loaded.max(overview.started_at));
    let waits = span(since, now);
    let kind =
        if waits > PASS_OVERDUE { ReasonKind::FirstPassOverdue } else { ReasonKind::FirstPass };
    let text = if overview.accounts.contains_key(name) {
        format!("the first pass has not ended for {}", brief(waits))
    } else {
        "no machine has told of it yet".to_owned()
    };
    HealthReason { kind, account: Some(name.clone()), channel: None, text }
}

fn account_reasons(report: &AccountReport, now: Timestamp) -> Vec<HealthReason> {
    let mut reasons = trouble_reasons(report);
    let mut add = |kind, text: String| reasons.push(HealthReason::account(report, kind, &text));
    let uncovered =
        report.channels.values().filter(|channel| !is_covered(report, channel, now)).count();
    if uncovered > 0 && uncovered == report.channels.len() {
        add(
            ReasonKind::NothingCovered,
            format!("none of {} is covered", counted(uncovered, "channel")),
        );
    }
    if now > after(report.next_wake, PASS_OVERDUE) {
        add(
            ReasonKind::PassOverdue,
            format!("the next pass is due for {}", brief(span(report.next_wake, now))),
        );
    }
    if let Some(skew_ms) = report.skew_ms.filter(|skew_ms| skew_ms.unsigned_abs() > SKEW_MAX_MS) {
        add(ReasonKind::Skew, format!("Zoho's clock is {} of ours", ahead_or_behind(skew_ms)));
    }
    if let Some(held) = report.after.vanished() {
        add(ReasonKind::Vanished, held.cause.detail());
    }
    if let Some(text) = held_removals(report) {
        add(ReasonKind::RemovalGuard, text);
    }
    if let Some(text) = paused(report) {
        add(ReasonKind::Paused, text);
    }
    if let Some(credits) = report.credits.filter(|credits| credits.are_tight(now)) {
        add(ReasonKind::Credits, credits_text(&credits, now));
    }
    for text in undeliverable(report) {
        add(ReasonKind::Undeliverable, text);
    }
    report.limits.iter().for_each(|text| add(ReasonKind::Limits, text.clone()));
    reasons
        .extend(report.channels.values().flat_map(|channel| channel_reasons(report, channel, now)));
    reasons.extend(report.after.held.iter().filter_map(|held| held_reason(report, held)));
    reasons
}

/// One sentence for all the removals that wait for a word.
fn held_removals(report: &AccountReport) -> Option<String> {
    let held = report.after.held.iter();
    let held = held.filter(|held| matches!(held.cause, Cause::RemovalGuard { .. }));
    let held: Vec<&Held> = held.collect();
    let shown: Vec<&str> =
        held.iter().take(REMOVALS_SHOWN_MAX).map(|held| held.name.as_str()).collect();
    let more = if held.len() > shown.len() { ", ..." } else { "" };
    let detail = held.first()?.cause.detail();
    Some(format!("{detail} ({}{more})", shown.join(", ")))
}

fn paused(report: &AccountReport) -> Option<String> {
    let held = report.after.held.iter().filter(|held| matches!(held.cause, Cause::Paused { .. }));
    let held: BTreeMap<ChannelId, &Held> = held.map(|held| (held.id, held)).collect();
    let last = held.values().map(|held| held.until.unwrap_or(Timestamp::MAX)).max()?;
    let until = if last == Timestamp::MAX { "resumed".to_owned() } else { last.to_string() };
    Some(format!(
        "{} paused until {until}: neither renewed nor repaired",
        counted(held.len(), "channel")
    ))
}

/// One sentence for each URL that refuses canaries: a receiver that is down says so once, however
/// many channels it has.
fn undeliverable(report: &AccountReport) -> Vec<String> {
    let mut urls: BTreeMap<&NotifyUrl, (&(Timestamp, String), usize)> = BTreeMap::new();
    for channel in report.channels.values() {
        if let Some(refused) = &channel.undeliverable {
            urls.entry(&channel.spec.notify_url).or_insert((refused, 0)).1 += 1;
        }
    }
    let text = |(url, ((since, why), channels)): (&NotifyUrl, (&(Timestamp, String), usize))| {
        let channels = counted(channels, "channel");
        format!(
            "{url} refuses canaries since {since} ({why}), so what {channels} would deliver is \
             taken to be lost"
        )
    };
    urls.into_iter().map(text).collect()
}

fn credits_text(credits: &Credits, now: Timestamp) -> String {
    let Credits { remaining, told_at, until, reserve, per_day } = credits;
    let of = per_day.map(|all| format!(" of {all}")).unwrap_or_default();
    format!(
        "{remaining}{of} API credits were left {} ago, and {reserve} are kept for renewals: \
         audits, and repairs that lose no deliveries, wait for {} at most",
        brief(span(*told_at, now)),
        brief(span(now, *until))
    )
}

/// The troubles of the last pass. A trouble that needs a person is said once, whatever it hit.
fn trouble_reasons(report: &AccountReport) -> Vec<HealthReason> {
    let look = report.look_failed.as_ref().map(|why| format!("the look at Zoho failed: {why}"));
    let writes = report.writes_failed.as_ref().map(|why| format!("writes failed: {why}"));
    if report.needs_a_person {
        let texts: Vec<String> = look.into_iter().chain(writes).collect();
        return vec![HealthReason::account(
            report,
            ReasonKind::NeedsAPerson,
            &format!("needs a person: {}", texts.join("; ")),
        )];
    }
    let look = look.map(|text| HealthReason::account(report, ReasonKind::LookFailed, &text));
    let writes = writes.map(|text| HealthReason::account(report, ReasonKind::WritesFailed, &text));
    look.into_iter().chain(writes).collect()
}

fn channel_reasons(
    report: &AccountReport,
    channel: &ChannelReport,
    now: Timestamp,
) -> Vec<HealthReason> {
    let mut reasons = Vec::new();
    let mut add = |kind, text: String| {
        reasons.push(HealthReason::channel(report, &channel.spec.name, kind, &text));
    };
    let state = report.state_at(channel, now);
    match (state, channel.expiry) {
        // The account says once that its look failed.
        (ChannelState::Covered | ChannelState::Unverified, _) => {}
        (ChannelState::Drifted, _) => {
            add(ReasonKind::Drifted, format!("not as declared: {}", drift_text(channel)))
        }
        (ChannelState::Uncovered, Some(expiry)) if expiry <= now => {
            add(
                ReasonKind::Uncovered,
                format!("not covered: ended {} ago", brief(span(expiry, now))),
            );
        }
        (ChannelState::Uncovered, Some(_)) if !channel.drift.is_empty() => {
            add(ReasonKind::Uncovered, format!("loses events: {}", drift_text(channel)));
        }
        (ChannelState::Uncovered, _) => add(ReasonKind::Uncovered, not_covered(channel)),
    }
    let (is_alive, emergency) =
        (state != ChannelState::Uncovered, channel.emergency_at.is_some_and(|at| at <= now));
    if let Some(expiry) = channel.expiry.filter(|_| is_alive && emergency) {
        add(
            ReasonKind::Emergency,
            format!("not renewed yet, and ends in {}", brief(span(now, expiry))),
        );
    }
    if is_alive && channel.short_grant {
        add(ReasonKind::ShortGrant, "Zoho gave far less life than was asked for".to_owned());
    }
    reasons
}

fn not_covered(channel: &ChannelReport) -> String {
    match uncovered_since(&channel.last_day.missed) {
        Some(since) => format!("not covered since {}", whole_seconds(since)),
        None => "not covered".to_owned(),
    }
}

/// The beginning of the open gap. Each try whose answer is lost opens another one, so that the gaps
/// that it follows without a pause count with it, as far back as they are certain.
fn uncovered_since(missed: &[GapSpan]) -> Option<Timestamp> {
    let mut begins = missed.iter().filter(|one| one.to.is_none()).map(|one| one.from).min()?;
    let mut since = begins;
    let before = |begins| missed.iter().find(|one| one.to == Some(begins) && one.from < begins);
    while let Some(earlier) = before(begins) {
        begins = earlier.from;
        if earlier.kind == GapKind::Uncovered {
            since = begins;
        }
    }
    Some(since)
}

fn drift_text(channel: &ChannelReport) -> String {
    channel.drift.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn held_reason(report: &AccountReport, held: &Held) -> Option<HealthReason> {
    let kind = match held.cause {
        Cause::Rejected { .. } | Cause::PartlyRefused { .. } => ReasonKind::Rejected,
        Cause::Conflict { .. } => ReasonKind::Conflict,
        Cause::Contested { .. } | Cause::Opaque { .. } => ReasonKind::Contested,
        Cause::BackOff { .. } => ReasonKind::BackOff,
        // The account says once that its look failed.
        Cause::Unknown(_) if report.look_failed.is_some() => return None,
        Cause::Unknown(_) => ReasonKind::Unknown,
        // The account says once which removals wait, what is paused of it, that its channels
        // vanished, and that its credits are low; the daemon, that the engine does not answer.
        Cause::RemovalGuard { .. }
        | Cause::Vanished { .. }
        | Cause::Credits { .. }
        | Cause::Mode { .. }
        | Cause::LeftToExpire
        | Cause::NoEngine { .. }
        | Cause::Paused { .. } => {
            return None;
        }
    };
    Some(HealthReason::channel(report, &held.name, kind, &held.cause.detail()))
}

impl HealthReason {
    fn account(report: &AccountReport, kind: ReasonKind, text: &str) -> HealthReason {
        HealthReason {
            kind,
            account: Some(report.account.clone()),
            channel: None,
            text: line(text),
        }
    }

    fn channel(
        report: &AccountReport,
        name: &ChannelName,
        kind: ReasonKind,
        text: &str,
    ) -> HealthReason {
        HealthReason { channel: Some(name.clone()), ..HealthReason::account(report, kind, text) }
    }
}

fn ahead_or_back(milliseconds: i64) -> String {
    let length = brief(Duration::from_millis(milliseconds.unsigned_abs()));
    if milliseconds < 0 { format!("back by {length}") } else { format!("ahead by {length}") }
}

fn ahead_or_behind(milliseconds: i64) -> String {
    let length = brief(Duration::from_millis(milliseconds.unsigned_abs()));
    if milliseconds < 0 { format!("{length} behind") } else { format!("{length} ahead") }
}

/// The words for a command that answers for itself.
pub(in crate::expose) const NO_DAEMON_RUNS: &str = "no daemon is running, so nothing is renewed";
/// A pass that is due for longer than this is stuck: one call takes half a minute at most, and few
/// are in one pass.
pub(crate) const PASS_OVERDUE: Duration = Duration::from_secs(10 * 60);
/// For how long a jump of the clock is worth a word.
const JUMP_SHOWN: Duration = Duration::from_secs(3600);
/// For how long it is worth a word that the engine's data were others.
const RESTORED_SHOWN: Duration = Duration::from_secs(24 * 3600);
/// For how long lost log lines are worth a word.
const LOSS_SHOWN: Duration = Duration::from_secs(3600);
/// More skew than this, in milliseconds, is a clock to be mended.
const SKEW_MAX_MS: u64 = 60_000;

/// Names of held removals in one sentence.
const REMOVALS_SHOWN_MAX: usize = 10;
