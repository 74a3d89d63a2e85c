//! The report of a pass about its account: the one value that health, status, metrics and the page
//! are computed from.
//!
//! The headline is [`AccountReport::guaranteed_until`]: the instant up to which everything declared
//! stays covered if nothing succeeds any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::coverage::render::unacknowledged;
use crate::coverage::{GapKind, Ledger};
use crate::model::canary::Canaries;
use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::observed::{Beside, Look, Observed};
use crate::model::record::{AccountState, LastStep, Record};
use crate::model::secret::Fingerprint;
use crate::model::time::{Timestamp, after, before, whole_seconds};
use crate::plan::credits::{Credits, credits};
use crate::plan::drift::{self, Drift};
use crate::plan::facts::Facts;
use crate::plan::filter;
use crate::plan::renewal::{Life, Phase};
use crate::plan::step::{Plan, Step};
use crate::store::{Store, StoreError};
use crate::zoho::client::Traffic;

use super::look_kept::LookKept;
use super::outcome::Outcome;
use super::subject::{Known, Subject};

mod told;

pub use told::ToldReport;

/// One account after a pass.
#[derive(Clone, Debug)]
pub struct AccountReport {
    /// The account.
    pub account: AccountName,
    /// When the pass began, by the local clock.
    pub at: Timestamp,
    /// The reason why it began.
    pub wake: String,
    /// How long it took.
    pub took: Duration,
    /// The reason why the look failed, if it did.
    pub look_failed: Option<String>,
    /// The reason why writes failed, if that was no single channel's fault.
    pub writes_failed: Option<String>,
    /// True when only a person can mend the failure.
    pub needs_a_person: bool,
    /// How far Zoho's clock is ahead of ours, in milliseconds.
    pub skew_ms: Option<i64>,
    /// The last look that saw the whole list.
    pub looked_at: Option<Timestamp>,
    /// The limits that keep the account from what the config asks for, one sentence each.
    pub limits: Vec<String>,
    /// The day's credits that are left; none when Zoho has not said that half of them are used.
    pub credits: Option<Credits>,
    /// The steps that were done, with their outcomes. A daemon keeps them only for passes that
    /// somebody waited for.
    pub outcomes: Vec<(Step, Outcome)>,
    /// True when a channel was in its emergency while nobody could say whose the account is.
    pub emergency_alone: bool,
    /// The plan that is left after the pass: empty when all went well.
    pub after: Plan,
    /// The look that `after` was planned from: the channels that the next look should find.
    pub look: LookKept,
    /// Every declared channel.
    pub channels: BTreeMap<ChannelId, ChannelReport>,
    /// The instant up to which everything declared stays covered if nothing succeeds any more;
    /// `None` when something is uncovered already, or nothing is declared.
    pub guaranteed_until: Option<Timestamp>,
    /// How long declared events were in gaps of each kind, each event for itself, for all that the
    /// ledgers still know.
    pub lost: BTreeMap<GapKind, Duration>,
    /// Calls made by this process.
    pub traffic: Traffic,
    /// When the next pass is due.
    pub next_wake: Timestamp,
}

/// The failure of a look that no daemon has made.
pub const NOBODY_LOOKED: &str = "no daemon is running, so nobody has looked";

/// One declared channel after a pass.
#[derive(Clone, Debug)]
pub struct ChannelReport {
    /// As declared.
    pub spec: Arc<Spec>,
    /// The state of the delivery of its events.
    pub state: ChannelState,
    /// When it ends, by the local clock.
    pub expiry: Option<Timestamp>,
    /// When it is renewed, by the local clock.
    pub due_at: Option<Timestamp>,
    /// When that becomes an emergency, by the local clock.
    pub emergency_at: Option<Timestamp>,
    /// True when Zoho gave far less than was asked for.
    pub short_grant: bool,
    /// The fields that differ and were not mended yet.
    pub drift: Vec<Drift>,
    /// The last step taken and its outcome, shared by the channels of one call.
    pub last: Option<Arc<LastStep>>,
    /// Since when its `notify_url` refuses canaries, by the local clock, and why; nothing while it
    /// does not.
    pub undeliverable: Option<Box<(Timestamp, String)>>,
    /// How many of its gaps nobody has acknowledged.
    pub gaps: usize,
    /// Its last day, as the ledger has it, shared by channels with the same.
    pub last_day: Arc<LastDay>,
}

/// The day before a pass, in Zoho's time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDay {
    /// Since when something of the channel is declared; nothing when there is no ledger.
    pub declared_at: Option<Timestamp>,
    /// The gaps that touch the day, whatever their event, at most [`MISSED_MAX`] and the latest.
    pub missed: Vec<GapSpan>,
}

/// One gap, without its event and its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GapSpan {
    /// The beginning.
    pub from: Timestamp,
    /// The end; nothing while the gap is open.
    pub to: Option<Timestamp>,
    /// How sure the gap is.
    pub kind: GapKind,
}

/// The state of the delivery of a channel's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelState {
    /// Zoho has it as declared, and it has not ended.
    Covered,
    /// It was granted, and has not ended, but the last look failed.
    Unverified,
    /// Zoho has it, but not as declared.
    Drifted,
    /// Zoho does not have it, or it has ended, or the id is somebody else's.
    Uncovered,
}

impl ChannelState {
    /// Every state, the best first.
    pub const ALL: [ChannelState; 4] = [
        ChannelState::Covered,
        ChannelState::Unverified,
        ChannelState::Drifted,
        ChannelState::Uncovered,
    ];

    /// One word, for status and as a label.
    pub const fn word(self) -> &'static str {
        match self {
            ChannelState::Covered => "covered",
            ChannelState::Unverified => "unverified",
            ChannelState::Drifted => "drifted",
            ChannelState::Uncovered => "uncovered",
        }
    }
}

/// Every declared channel, as the facts after a pass have it, and as canaries told of where it
/// delivers to.
pub fn channels(
    facts: &Facts<'_>,
    conflicts: &[ChannelId],
    canaries: &BTreeMap<Fingerprint, Canaries>,
) -> BTreeMap<ChannelId, ChannelReport> {
    let phase = Phase::of(facts.account);
    let undeliverable = |spec: &Spec| {
        let refused = canaries.get(&spec.notify_url.fingerprint())?.refusing()?;
        Some(Box::new((whole_seconds(facts.state.local_time(refused.first)), refused.why.clone())))
    };
    let (mut steps, no_day) = (Vec::new(), Arc::<LastDay>::default());
    let report = |(id, spec): (&ChannelId, &Arc<Spec>)| {
        let record = facts.records.get(id);
        let last = record.and_then(|record| record.last.as_ref());
        let last = last.map(|last| shared(&mut steps, last));
        let common = (undeliverable(spec), last, no_day.clone());
        (*id, channel(facts, spec, record, phase, conflicts.contains(id), common))
    };
    facts.specs.iter().map(report).collect()
}

/// The same value as one of those that were made last, or a new one.
fn shared<T: PartialEq + Clone>(made: &mut Vec<Arc<T>>, value: &T) -> Arc<T> {
    if let Some(same) = made.iter().rev().take(SHARED_MAX).find(|it| ***it == *value) {
        return same.clone();
    }
    made.push(Arc::new(value.clone()));
    made[made.len() - 1].clone()
}

/// The earliest end of all, if all have one to come.
pub fn guaranteed_until(channels: &BTreeMap<ChannelId, ChannelReport>) -> Option<Timestamp> {
    let ends = channels.values().map(|channel| channel.expiry.filter(|_| channel.delivers()));
    ends.collect::<Option<Vec<Timestamp>>>()?.into_iter().min()
}

/// How long events were in gaps of each kind, up to `zoho_now`; every kind is there.
pub fn lost(
    ledgers: &BTreeMap<ChannelId, Ledger>,
    zoho_now: Timestamp,
) -> BTreeMap<GapKind, Duration> {
    let mut lost: BTreeMap<GapKind, Duration> =
        GapKind::ALL.map(|kind| (kind, Duration::ZERO)).into();
    for (kind, length) in ledgers.values().flat_map(|ledger| ledger.lost(zoho_now)) {
        *lost.entry(kind).or_default() += length;
    }
    lost
}

/// Counts the gaps of each channel that nobody has acknowledged, and keeps those of the last day.
///
/// # Errors
/// When the store fails.
pub fn count_gaps(
    channels: &mut BTreeMap<ChannelId, ChannelReport>,
    ledgers: &BTreeMap<ChannelId, Ledger>,
    store: &Store,
    account: &AccountName,
    zoho_now: Timestamp,
) -> Result<(), StoreError> {
    let mut days = Vec::new();
    for (id, channel) in channels {
        let Some(ledger) = ledgers.get(id) else { continue };
        let declared_at = ledger.tracks.iter().map(|track| track.since).min();
        let mut day = LastDay { declared_at, missed: Vec::new() };
        // Most channels have no gap, and their acknowledgements are not read.
        if ledger.spans(zoho_now).next().is_some() {
            channel.gaps = unacknowledged(ledger, &store.acks(account, *id)?, zoho_now);
            day.missed = missed(ledger, zoho_now);
        }
        channel.last_day = shared(&mut days, &day);
    }
    Ok(())
}

/// The gaps that touch the last day before `zoho_now`.
fn missed(ledger: &Ledger, zoho_now: Timestamp) -> Vec<GapSpan> {
    let from = before(zoho_now, DAY);
    let gaps = ledger.spans(zoho_now).map(|(_, (from, to, kind, _))| GapSpan { from, to, kind });
    let missed: BTreeSet<GapSpan> = gaps.filter(|gap| gap.to.is_none_or(|to| to > from)).collect();
    let older = missed.len().saturating_sub(MISSED_MAX);
    let mut latest: Vec<GapSpan> = missed.into_iter().skip(older).collect();
    // Most channels have one, and it is kept for each.
    latest.shrink_to_fit();
    latest
}

impl ChannelReport {
    /// True when declared deliveries arrived at the time of this report. A drift that loses no
    /// deliveries is no gap.
    pub fn delivers(&self) -> bool {
        match self.state {
            ChannelState::Covered | ChannelState::Unverified => true,
            ChannelState::Drifted => !self.drift.iter().any(Drift::loses_deliveries),
            ChannelState::Uncovered => false,
        }
    }
}

impl AccountReport {
    /// Returns whether the pass saw the account and everything that it tried was done.
    pub fn succeeded(&self) -> bool {
        let done = |(_, outcome): &(Step, Outcome)| matches!(outcome, Outcome::Done(_));
        self.look_failed.is_none() && self.writes_failed.is_none() && self.outcomes.iter().all(done)
    }

    /// Zoho's time at `now` of the local clock.
    pub fn zoho_time(&self, now: Timestamp) -> Timestamp {
        AccountState { skew_ms: self.skew_ms, ..AccountState::default() }.zoho_time(now)
    }

    /// The state of a channel at `now`: a report grows old, and a channel that was covered may have
    /// ended since. A channel whose drift loses deliveries is not covered.
    pub fn state_at(&self, channel: &ChannelReport, now: Timestamp) -> ChannelState {
        let ended = channel.expiry.is_none_or(|expiry| expiry <= now);
        if ended || !channel.delivers() { ChannelState::Uncovered } else { channel.state }
    }
}

/// The store's memory of an account, as a report, while nobody looks at Zoho.
///
/// # Errors
/// When the store fails.
pub fn remembered(
    subject: &Subject,
    store: &Store,
    now: Timestamp,
) -> Result<AccountReport, StoreError> {
    from_memory(subject, store, Look::Unknown(NOBODY_LOOKED.to_owned()), now)
}

/// The report of an account that another machine's pass left [at rest](AccountState::at_rest), and
/// where nothing is to be done now either; `None` for every other. It says what that pass said, and
/// when the next one is due.
///
/// # Errors
/// When the store fails.
pub fn at_rest(
    subject: &Subject,
    store: &Store,
    now: Timestamp,
) -> Result<Option<AccountReport>, StoreError> {
    let state = store.account_state(subject.name())?;
    let is_at_rest = state.at_rest == Some(subject.declaration()) && state.sending.is_none();
    let Some(at) = state.looked_at.filter(|at| is_at_rest && *at <= now) else { return Ok(None) };
    let (records, zoho_now) = (store.records(subject.name())?, state.zoho_time(now));
    let specs = subject.desired.specs_at(zoho_now);
    let channels = specs.iter().filter_map(|(id, spec)| {
        let expiry = records.get(id)?.grant?.expiry;
        Some((*id, Observed::as_declared(spec, Some(expiry))))
    });
    let look = Look::Seen { channels: channels.collect(), at, beside: Beside::default() };
    let report = from_memory(subject, store, look, now)?;
    let is_left_alone = report.after.steps.is_empty() && report.after.held.is_empty();
    let next_wake = report.next_wake.min(after(at, LOOK_MAX));
    let report = AccountReport { at, look_failed: None, next_wake, ..report };
    Ok(Some(report).filter(|_| is_left_alone && next_wake > now))
}

fn from_memory(
    subject: &Subject,
    store: &Store,
    look: Look,
    now: Timestamp,
) -> Result<AccountReport, StoreError> {
    let account = subject.name();
    let (records, state) = (store.records(account)?, store.account_state(account)?);
    let declared = subject.channels_at(state.zoho_time(now));
    let wishes = store.wishes(account)?;
    let facts = subject.facts(
        &declared,
        Known { records: &records, state: &state, wishes: &wishes, allowed: subject.allowed() },
        &look,
        now,
    );
    let after = filter::plan(&facts);
    let mut channels = channels(&facts, &[], &store.canaries(account)?);
    let (ledgers, zoho_now) = (store.ledgers(account)?, state.zoho_time(now));
    count_gaps(&mut channels, &ledgers, store, account, zoho_now)?;
    let lost = lost(&ledgers, zoho_now);
    Ok(AccountReport {
        account: account.clone(),
        at: now,
        wake: "none".to_owned(),
        took: Duration::ZERO,
        look_failed: Some(NOBODY_LOOKED.to_owned()),
        writes_failed: None,
        needs_a_person: false,
        skew_ms: state.skew_ms,
        looked_at: state.looked_at,
        limits: after.limits.clone(),
        credits: credits(&facts),
        outcomes: Vec::new(),
        emergency_alone: false,
        guaranteed_until: guaranteed_until(&channels),
        channels,
        lost,
        next_wake: after.next_wake,
        after,
        look: LookKept::of(look, &declared.specs),
        traffic: Traffic::default(),
    })
}

fn channel(
    facts: &Facts<'_>,
    spec: &Arc<Spec>,
    record: Option<&Record>,
    phase: Phase,
    conflict: bool,
    (undeliverable, last, last_day): Common,
) -> ChannelReport {
    let state: &AccountState = facts.state;
    let zoho_now = state.zoho_time(facts.now);
    let observed = match facts.look {
        Look::Seen { channels, .. } => Some(channels.get(&spec.id)),
        Look::Unknown(_) => None,
    };
    let grant = record.and_then(|record| record.grant);
    let seen_expiry = observed.flatten().and_then(|observed| observed.expiry);
    let life = match observed {
        Some(None) => None,
        Some(Some(_)) | None => {
            Life::of(spec, grant, seen_expiry).filter(|life| life.expiry > zoho_now)
        }
    };
    let drift = observed.flatten().map(|observed| drift::drift(spec, observed)).unwrap_or_default();
    let channel_state = match (life, observed) {
        (None, _) => ChannelState::Uncovered,
        (Some(_), _) if conflict => ChannelState::Uncovered,
        (Some(_), None) => ChannelState::Unverified,
        (Some(_), Some(_)) if drift.is_empty() => ChannelState::Covered,
        (Some(_), Some(_)) => ChannelState::Drifted,
    };
    let local = |instant: Timestamp| whole_seconds(state.local_time(instant));
    ChannelReport {
        spec: spec.clone(),
        state: channel_state,
        expiry: life.map(|life| local(life.expiry)),
        due_at: life.map(|life| local(life.due_at(spec.renew_before, phase))),
        emergency_at: life.map(|life| local(life.emergency_at())),
        short_grant: grant.is_some_and(|grant| grant.is_short()),
        drift,
        last,
        undeliverable,
        gaps: 0,
        last_day,
    }
}

/// The parts of a channel's report that other channels share.
type Common = (Option<Box<(Timestamp, String)>>, Option<Arc<LastStep>>, Arc<LastDay>);

/// The stretch of time that a report keeps gaps of.
/// An account that was taken over is looked at this long after its last look at the latest.
const LOOK_MAX: Duration = DAY;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Among so many of the values made last, an equal one is looked for.
const SHARED_MAX: usize = 8;
/// The most gaps that a report keeps of one channel.
pub const MISSED_MAX: usize = 32;
