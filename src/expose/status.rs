//! Status: everything an operator may want to know, as one value.
//!
//! [`StatusView`] travels over the control socket, is the body of `/api/v1/status` and what `status
//! --json` prints, and the text and the page are written from it. It holds no secret and no query
//! of a URL, and no text in it breaks a line. It is made when it is asked for: a channel that ended
//! since its last pass is uncovered in it.
//!
//! Lengths are whole seconds (`_s`), skew is milliseconds (`_ms`), instants are UTC by the local
//! clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::backfill::Standing;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::record::LastStep;
use crate::model::time::Timestamp;
use crate::plan::credits::Credits;
use crate::plan::render::HeldView;
use crate::plan::step::Held;
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState};

use super::health::{self, Guarantee, Health, HealthReason, Status, account_guarantee, counted};
use super::one_line::line;
use super::overview::{ConfigState, LoopAge, Overview};

mod layout;
mod table;
mod text;

pub(crate) use layout::{Ink, Layout, Rows};
pub(super) use text::headline;
pub(crate) use text::nothing;

/// Everything, at one instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// The program's version.
    pub version: String,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// The instant of the status.
    pub now: Timestamp,
    /// The answer in one sentence.
    pub headline: String,
    /// How it is.
    pub health: HealthView,
    /// The state of the config.
    pub config: ConfigView,
    /// When all accounts are looked at next, unless their API credits are low; nothing where no
    /// daemon runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_audit: Option<Timestamp>,
    /// How this machine stands among those that share the accounts; nothing where it is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<InClusterView>,
    /// Every declared account, whichever machine serves it.
    pub accounts: Vec<AccountView>,
}

/// This machine among those that share the accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InClusterView {
    /// The cluster's name.
    pub name: String,
    /// This machine's name.
    pub node: String,
    /// How it stands.
    pub standing: String,
    /// How many machines there are, with this one.
    pub machines: usize,
    /// How many accounts this machine serves.
    pub accounts: usize,
    /// How many others serve.
    pub elsewhere: usize,
    /// How many no machine serves.
    pub unserved: usize,
}

/// How the daemon and its channels are: the body of `/healthz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthView {
    /// `ok`, `degraded` or `failing`.
    pub status: Status,
    /// True when the scheduler's loop turns.
    pub live: bool,
    /// True when the daemon is ready.
    pub ready: bool,
    /// The reason why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// Up to when everything declared stays covered if nothing succeeds any more; nothing when
    /// something is uncovered, nothing is declared, or it is not known yet.
    pub guaranteed_until: Option<Timestamp>,
    /// The troubles, the most serious first.
    pub reasons: Vec<ReasonView>,
    /// How many reasons are not listed.
    pub reasons_left_out: usize,
    /// How many gaps nobody has acknowledged: `channelkeeper gaps`.
    #[serde(default)]
    pub gaps: usize,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonView {
    /// How serious it is: `degraded` or `failing`.
    pub status: Status,
    /// The reason, in one word.
    pub word: String,
    /// The account it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The channel it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The reason, in a sentence.
    pub text: String,
}

/// The state of the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigView {
    /// The file it is read from.
    pub file: String,
    /// When the desired state in force was read from it; nothing while it comes from the store.
    pub loaded_at: Option<Timestamp>,
    /// The faults of the file; while there are any, the last good desired state is in force.
    pub problems: Vec<String>,
    /// The warnings about the file.
    pub warnings: Vec<String>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountView {
    /// Its name.
    pub name: String,
    /// The reason why the account cannot be worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusable: Option<String>,
    /// The other machine that serves it, where machines share the accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Its last pass; nothing before the first one has ended.
    pub pass: Option<PassView>,
    /// Up to when its channels stay covered if nothing succeeds any more.
    pub guaranteed_until: Option<Timestamp>,
    /// How many channels are in each state; every state is there.
    pub counts: BTreeMap<String, usize>,
    /// Its channels, by name.
    pub channels: Vec<ChannelView>,
    /// Held channels that are not declared: they should be gone, and are not.
    pub held: Vec<HeldView>,
    /// How many channels there are at Zoho that are not ours.
    pub foreign: usize,
    /// Their ids, at most [`FOREIGN_MAX`].
    pub foreign_ids: Vec<String>,
    /// Events that several channels send to the same URL, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<String>,
    /// Calls made by this process.
    pub calls: Vec<CallsView>,
    /// The day's API credits that are left; none when Zoho has not said that half of them are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<CreditsView>,
    /// How its recoveries stand; none while there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recoveries: Option<RecoveriesView>,
}

/// How the recoveries of missed events stand: `channelkeeper backfill --all`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveriesView {
    /// How many recoveries are in each state; every state is there.
    pub states: BTreeMap<String, usize>,
    /// Records that receivers took.
    pub recovered: u64,
    /// Records that are counted and may still be taken.
    pub waiting: u64,
    /// Records that no receiver will get: it refused them, or the recovery was given up.
    pub not_recovered: u64,
}

/// The day's API credits that are left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditsView {
    /// How many, and the part that is kept.
    #[serde(flatten)]
    pub credits: Credits,
    /// True when audits, and repairs that lose no deliveries, wait.
    pub tight: bool,
}

/// The last pass of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassView {
    /// When it began.
    pub at: Timestamp,
    /// The reason why the pass began.
    pub wake: String,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// The last look that saw the whole list.
    pub looked_at: Option<Timestamp>,
    /// The reason why the look failed, if it did.
    pub look_failed: Option<String>,
    /// The reason why writes failed, if that was no single channel's fault.
    pub writes_failed: Option<String>,
    /// True when only a person can mend the failure.
    pub needs_a_person: bool,
    /// How far Zoho's clock is ahead of ours, in milliseconds.
    pub skew_ms: Option<i64>,
    /// When the next pass is due, unless an audit or somebody comes before.
    pub next_wake: Timestamp,
    /// The first of its channels to be renewed; none while all of them wait for something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_renewal: Option<RenewalView>,
    /// When the account is looked at next, by an audit or by a pass; nothing where no daemon runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_look: Option<Timestamp>,
}

/// A renewal that is ahead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewalView {
    /// The channel's name.
    pub channel: String,
    /// When it is due.
    pub at: Timestamp,
}

/// Calls of one operation with one outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsView {
    /// `list`, `enable` and so on.
    pub operation: String,
    /// `ok`, `refused`, `lost` or `not-sent`.
    pub outcome: String,
    /// How many.
    pub count: u64,
}

/// One declared channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelView {
    /// Its name.
    pub name: String,
    /// Its id at Zoho.
    pub id: String,
    /// `covered`, `unverified`, `drifted` or `uncovered`.
    pub state: String,
    /// How serious that is.
    pub status: Status,
    /// True when it is covered now: it is unless its state is `uncovered`.
    pub covered: bool,
    /// When it ends, or ended.
    pub expiry: Option<Timestamp>,
    /// When it is renewed.
    pub due_at: Option<Timestamp>,
    /// When that becomes an emergency.
    pub emergency_at: Option<Timestamp>,
    /// The life that is asked for, in seconds.
    pub lifetime_s: u64,
    /// True when Zoho gave far less than was asked for.
    pub short_grant: bool,
    /// The fields that differ and were not mended yet, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// The steps that are held, and their causes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldView>,
    /// The last step taken.
    pub last: Option<LastStep>,
    /// Since when its `notify_url` refuses canaries; absent while it does not, and while none are
    /// sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undeliverable_since: Option<Timestamp>,
    /// How many of its gaps nobody has acknowledged.
    #[serde(default)]
    pub gaps: usize,
}

impl StatusView {
    /// The status at `now`.
    pub fn of(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> StatusView {
        let health = health::health(overview, loop_age, now);
        let next_audit = overview.next_audit(now).filter(|_| loop_age != LoopAge::NO_LOOP);
        let accounts = accounts(overview, next_audit, now);
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: overview.started_at,
            now,
            headline: text::headline(health.guarantee, overview, now),
            health: HealthView::of(&health),
            config: ConfigView::of(&overview.config),
            next_audit,
            cluster: InClusterView::of(overview),
            accounts,
        }
    }
}

impl InClusterView {
    /// As the overview has it.
    pub(super) fn of(overview: &Overview) -> Option<InClusterView> {
        let cluster = overview.cluster.as_ref()?;
        let unserved = cluster.unowned.len();
        Some(InClusterView {
            name: cluster.name.clone(),
            node: cluster.node.clone(),
            standing: cluster.standing.to_owned(),
            machines: cluster.members.len(),
            accounts: overview.accounts.len(),
            elsewhere: overview.elsewhere.saturating_sub(unserved),
            unserved,
        })
    }
}

impl fmt::Display for InClusterView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InClusterView { name, node, standing, machines, accounts, elsewhere, unserved } = self;
        let (machines, accounts) = (counted(*machines, "machine"), counted(*accounts, "account"));
        write!(f, "{node}, one of {machines} of cluster {name}, {standing}: {accounts} here")?;
        write!(f, ", {elsewhere} elsewhere")?;
        if *unserved > 0 {
            write!(f, ", {unserved} served by none")?;
        }
        Ok(())
    }
}

impl HealthView {
    /// The view of a health.
    pub fn of(health: &Health) -> HealthView {
        let Health { live, not_ready, status, reasons, reasons_left_out, guarantee, gaps } = health;
        HealthView {
            status: *status,
            live: *live,
            ready: not_ready.is_none(),
            not_ready: not_ready.clone(),
            guaranteed_until: guarantee.until(),
            reasons: reasons.iter().map(ReasonView::of).collect(),
            reasons_left_out: *reasons_left_out,
            gaps: *gaps,
        }
    }
}

impl ReasonView {
    pub(super) fn of(reason: &HealthReason) -> ReasonView {
        let HealthReason { kind, account, channel, text } = reason;
        ReasonView {
            status: kind.status(),
            word: kind.word().to_owned(),
            account: account.as_ref().map(ToString::to_string),
            channel: channel.as_ref().map(ToString::to_string),
            text: text.clone(),
        }
    }
}

impl ConfigView {
    pub(super) fn of(config: &ConfigState) -> ConfigView {
        let ConfigState { file, loaded_at, hash: _, problems, warnings, thin: _ } = config;
        let lines =
            |texts: &[String]| texts.iter().take(LINES_MAX).map(|text| line(text)).collect();
        ConfigView {
            file: line(file),
            loaded_at: *loaded_at,
            problems: lines(problems),
            warnings: lines(warnings),
        }
    }
}

/// Declared accounts; one that cannot be worked on is among them wherever it is listed.
fn accounts(
    overview: &Overview,
    next_audit: Option<Timestamp>,
    now: Timestamp,
) -> Vec<AccountView> {
    let names = overview.names();
    let view = |name: &AccountName| {
        let unusable = overview.unusable.get(name).map(|why| line(why));
        let recoveries = overview.standing(name).and_then(RecoveriesView::of);
        let view = match overview.report(name) {
            Some(report) => AccountView::of(report, next_audit, now),
            None => AccountView::unseen(name),
        };
        let machine = overview.machine(name).map(str::to_owned);
        AccountView { unusable, recoveries, machine, ..view }
    };
    names.into_iter().map(view).collect()
}

impl AccountView {
    /// Before its first pass.
    fn unseen(name: &AccountName) -> AccountView {
        AccountView {
            name: name.to_string(),
            unusable: None,
            machine: None,
            pass: None,
            guaranteed_until: None,
            counts: BTreeMap::new(),
            channels: Vec::new(),
            held: Vec::new(),
            foreign: 0,
            foreign_ids: Vec::new(),
            overlaps: Vec::new(),
            calls: Vec::new(),
            credits: None,
            recoveries: None,
        }
    }

    fn of(report: &AccountReport, next_audit: Option<Timestamp>, now: Timestamp) -> AccountView {
        let mut held: BTreeMap<ChannelId, Vec<HeldView>> = BTreeMap::new();
        for one in &report.after.held {
            held.entry(one.id).or_default().push(held_view(one));
        }
        let view = |channel: &ChannelReport| {
            let held = held.remove(&channel.spec.id).unwrap_or_default();
            ChannelView { held, ..ChannelView::of(report, channel, now) }
        };
        let mut channels: Vec<ChannelView> = report.channels.values().map(view).collect();
        channels.sort_by(|one, other| one.name.cmp(&other.name));
        let calls = report.traffic.calls.iter().map(|((operation, outcome), count)| CallsView {
            operation: (*operation).to_owned(),
            outcome: (*outcome).to_owned(),
            count: *count,
        });
        AccountView {
            pass: Some(PassView::of(report, next_audit, now)),
            guaranteed_until: account_guarantee(report, now).until(),
            counts: counts(report, now),
            channels,
            held: held.into_values().flatten().collect(),
            foreign: report.after.foreign_count(),
            foreign_ids: report.after.foreign_ids().take(FOREIGN_MAX).collect(),
            overlaps: overlap_lines(report),
            calls: calls.collect(),
            credits: CreditsView::of(report, now),
            ..AccountView::unseen(&report.account)
        }
    }
}

/// How many channels are in each state at `now`.
pub(super) fn counts(report: &AccountReport, now: Timestamp) -> BTreeMap<String, usize> {
    let of = |state: ChannelState| {
        let channels =
            report.channels.values().filter(|channel| report.state_at(channel, now) == state);
        (state.word().to_owned(), channels.count())
    };
    ChannelState::ALL.into_iter().map(of).collect()
}

/// The overlaps of an account, one line each.
pub(super) fn overlap_lines(report: &AccountReport) -> Vec<String> {
    report.after.overlaps.iter().map(|overlap| line(&overlap.to_string())).collect()
}

fn held_view(held: &Held) -> HeldView {
    let Held { id, name, cause, until } = held;
    HeldView {
        channel: name.to_string(),
        id: id.to_string(),
        cause: cause.word().to_owned(),
        detail: line(&cause.detail()),
        until: *until,
    }
}

impl CreditsView {
    /// The view of an account's credits, unless Zoho's count is out of date.
    pub(super) fn of(report: &AccountReport, now: Timestamp) -> Option<CreditsView> {
        let credits = report.credits.filter(|credits| now < credits.until)?;
        Some(CreditsView { credits, tight: credits.are_tight(now) })
    }
}

impl RecoveriesView {
    /// The view of an account's recoveries, if there are any.
    fn of(standing: &Standing) -> Option<RecoveriesView> {
        let Standing { states, taken, waiting, lost, stuck: _ } = standing;
        let states = states.iter().map(|(state, number)| (state.to_string(), *number));
        (!standing.is_empty()).then(|| RecoveriesView {
            states: states.collect(),
            recovered: *taken,
            waiting: *waiting,
            not_recovered: *lost,
        })
    }
}

impl PassView {
    /// The view of an account's last pass, where the next audit is known if one comes.
    pub(super) fn of(
        report: &AccountReport,
        next_audit: Option<Timestamp>,
        now: Timestamp,
    ) -> PassView {
        let audit = next_audit.filter(|_| !report.credits.is_some_and(|left| left.are_tight(now)));
        let is_kept_up = report.wake != NO_DAEMON;
        PassView {
            at: report.at,
            wake: line(&report.wake),
            took_s: report.took.as_secs_f64(),
            looked_at: report.looked_at,
            look_failed: report.look_failed.as_deref().map(line),
            writes_failed: report.writes_failed.as_deref().map(line),
            needs_a_person: report.needs_a_person,
            skew_ms: report.skew_ms,
            next_wake: report.next_wake,
            next_renewal: RenewalView::first(report),
            next_look: audit.into_iter().chain([report.next_wake]).min().filter(|_| is_kept_up),
        }
    }
}

impl RenewalView {
    /// The first renewal of an account; a channel that is held from being renewed has none.
    fn first(report: &AccountReport) -> Option<RenewalView> {
        let held = report.after.held.iter().filter(|held| !held.cause.kind().lets_renew());
        let held: BTreeSet<ChannelId> = held.map(|held| held.id).collect();
        let ahead = report.channels.iter().filter(|(id, _)| !held.contains(id));
        let renewals = ahead.filter_map(|(_, channel)| Some((channel.due_at?, &channel.spec.name)));
        renewals.min().map(|(at, name)| RenewalView { channel: name.to_string(), at })
    }
}

impl ChannelView {
    /// One channel by itself.
    pub(super) fn alone(
        report: &AccountReport,
        channel: &ChannelReport,
        now: Timestamp,
    ) -> ChannelView {
        let held = report.after.held.iter().filter(|held| held.id == channel.spec.id);
        ChannelView { held: held.map(held_view).collect(), ..ChannelView::of(report, channel, now) }
    }

    /// Without what is held.
    fn of(report: &AccountReport, channel: &ChannelReport, now: Timestamp) -> ChannelView {
        let ChannelReport {
            spec,
            state: _,
            expiry,
            due_at,
            emergency_at,
            short_grant,
            drift,
            last,
            undeliverable,
            gaps,
            last_day: _,
        } = channel;
        let state = report.state_at(channel, now);
        let last = last.as_deref().map(|LastStep { at, step, outcome }| LastStep {
            at: *at,
            step: line(step),
            outcome: line(outcome),
        });
        ChannelView {
            name: spec.name.to_string(),
            id: spec.id.to_string(),
            state: state.word().to_owned(),
            status: Status::of_channel(state),
            covered: health::is_covered(report, channel, now),
            expiry: *expiry,
            due_at: *due_at,
            emergency_at: *emergency_at,
            lifetime_s: spec.lifetime.as_secs(),
            short_grant: *short_grant,
            drift: drift.iter().map(|drift| line(&drift.to_string())).collect(),
            held: Vec::new(),
            last,
            undeliverable_since: undeliverable.as_ref().map(|refused| refused.0),
            gaps: *gaps,
        }
    }
}

/// The wake of a report that no daemon's pass made.
pub(super) const NO_DAEMON: &str = "none";
/// The most foreign ids that are listed.
pub(crate) const FOREIGN_MAX: usize = 100;
/// The most problems or warnings of the config that are listed.
const LINES_MAX: usize = 100;
