//! What the command line can ask for, the same with a running daemon and without one.
//!
//! `plan`, `explain` and `gaps` look and change nothing. The others write a fact into the store
//! (this removal is allowed, this channel is ours, this one is to be renewed, this gap was seen to)
//! and leave it to the next pass to act on it, if there is anything to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::config::audits_per_day;
use crate::coverage::ack::{BadNote, Note};
use crate::coverage::backfill::{BASE_UNKNOWN, Backfill, backfill};
use crate::coverage::render::{GapView, views};
use crate::coverage::{Acks, Ledger};
use crate::model::channel::{AccountName, ChannelId, ChannelName};
use crate::model::desired::AccountDesired;
use crate::model::pause::{Pause, Pauses};
use crate::model::time::Timestamp;
use crate::plan::calls::{self, CallsView};
use crate::plan::checksum::checksum;
use crate::plan::explain::Explanation;
use crate::plan::render::{PlanView, PlansView, counted};
use crate::plan::step::{Cause, CauseKind, Plan};
use crate::reconcile::execute::Outcome;
use crate::reconcile::pass::{Subject, explained, preview};
use crate::reconcile::report::AccountReport;
use crate::store::{Store, StoreError};
use crate::zoho::error::Error as ZohoError;

use super::fleet::Fleet;

/// A verb that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// No such account.
    #[error("no account is named {0} (accounts: {1})")]
    NoAccount(String, String),
    /// No such channel.
    #[error("no channel is named {0}")]
    NoChannel(String),
    /// An account that cannot be worked on.
    #[error("account {0} cannot be used: {1}")]
    Unusable(AccountName, String),
    /// No such account or channel.
    #[error("no account and no channel is named {0}")]
    NeitherNor(String),
    /// A name that is an account's and a channel's.
    #[error(
        "{0} is an account and a channel: write ACCOUNT/{0} for the channel, or give one of them another name"
    )]
    Ambiguous(String),
    /// The channel to adopt is not there.
    #[error(
        "channel {name} ({id}) is not at Zoho, so there is nothing to adopt; `apply` enables it"
    )]
    NotThere {
        /// Its name.
        name: ChannelName,
        /// Its id.
        id: ChannelId,
    },
    /// The plan is not the one that was looked at.
    #[error(
        "the plan is another one by now, so nothing was written: {wanted} was asked for, and {made} is what would be done; \
         look again with `channelkeeper plan`"
    )]
    OtherPlan {
        /// The checksum that was given.
        wanted: String,
        /// That of the plan made now.
        made: String,
    },
    /// Words that cannot be kept.
    #[error(transparent)]
    BadNote(#[from] BadNote),
    /// Zoho could not be asked.
    #[error("Zoho could not be asked")]
    Zoho(#[from] ZohoError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A preview died.
    #[error("the plan could not be made")]
    Died(#[from] tokio::task::JoinError),
}

/// Which accounts a verb is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// This one; all of them when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The account of this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// Which gaps are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapsRequest {
    /// Those of this channel, `[ACCOUNT/]CHANNEL`, declared or not; all of them when it is left
    /// out.
    #[serde(default)]
    pub channel: Option<String>,
    /// Those that had not ended then.
    #[serde(default)]
    pub since: Option<Timestamp>,
}

impl GapsRequest {
    /// As a path with its query. Names and instants hold nothing that would have to be escaped.
    pub fn path(&self) -> String {
        let channel = self.channel.as_ref().map(|channel| format!("channel={channel}"));
        let since = self.since.map(|since| format!("since={since}"));
        format!("/gaps?{}", channel.into_iter().chain(since).collect::<Vec<_>>().join("&"))
    }
}

/// A gap, with what to ask Zoho for after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The gap.
    #[serde(flatten)]
    pub gap: GapView,
    /// What finds what was missed, and what does not.
    pub backfill: Backfill,
}

/// Which gaps somebody has seen to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckRequest {
    /// Those of this channel, `[ACCOUNT/]CHANNEL`, declared or not; all of them when it is left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Those that had ended by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// One line, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What came of it for one channel that had gaps nobody had seen to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// The account.
    pub account: String,
    /// The channel's name.
    pub channel: String,
    /// How many gaps are acknowledged with this.
    pub acknowledged: usize,
    /// How many are not: they are open, or ended too late.
    pub left: usize,
}

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The account.
    pub account: String,
    /// What was done, in order.
    pub done: Vec<DoneView>,
    /// Why the look failed, if it did.
    pub look_failed: Option<String>,
    /// Why writes failed, if they did for a reason that is no channel's own.
    pub writes_failed: Option<String>,
    /// What is left to do: no step, when all went well.
    pub left: PlanView,
}

/// One step with what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneView {
    /// The channel's name.
    pub channel: String,
    /// The step: `enable`, `update` and so on.
    pub step: String,
    /// Why.
    pub reason: String,
    /// `done`, `refused`, `unsure`, `deferred`.
    pub outcome: String,
    /// Zoho's words, or why not.
    pub detail: Option<String>,
    /// The expiry that was granted.
    pub granted: Option<Timestamp>,
}

impl Fleet {
    /// The accounts that a verb is about.
    ///
    /// # Errors
    /// When there is no such account or channel, or it cannot be worked on.
    pub fn chosen(&self, which: &Which) -> Result<BTreeMap<AccountName, Arc<Subject>>, VerbError> {
        if let Some(channel) = &which.channel {
            let (subject, _) = self.channel(channel)?;
            return Ok([(subject.name().clone(), subject.clone())].into());
        }
        let Some(wanted) = &which.account else {
            return match self.unusable.iter().next().filter(|_| self.subjects.is_empty()) {
                Some((name, why)) => Err(VerbError::Unusable(name.clone(), why.clone())),
                None => Ok(self.subjects.clone()),
            };
        };
        if let Some((name, why)) = self.unusable.iter().find(|(name, _)| name.as_str() == wanted) {
            return Err(VerbError::Unusable(name.clone(), why.clone()));
        }
        let found = self.subjects.iter().find(|(name, _)| name.as_str() == wanted);
        let names = || self.subjects.keys().map(AccountName::as_str).collect::<Vec<_>>().join(", ");
        let (name, subject) = found.ok_or_else(|| VerbError::NoAccount(wanted.clone(), names()))?;
        Ok([(name.clone(), subject.clone())].into())
    }

    /// A declared channel by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn channel(
        &self,
        name: &str,
    ) -> Result<(&Arc<Subject>, &Arc<crate::model::channel::Spec>), VerbError> {
        let parsed = name.parse().ok();
        let found = parsed.and_then(|name| self.find(&name));
        found.ok_or_else(|| VerbError::NoChannel(name.to_owned()))
    }
}

/// What passes would do now, by account.
///
/// # Errors
/// When the accounts cannot be chosen, or the store fails.
pub async fn plans(fleet: &Fleet, store: &Store, which: &Which) -> Result<Vec<Plan>, VerbError> {
    let mut waiting = fleet.chosen(which)?.into_values();
    let mut looking: JoinSet<Result<Plan, StoreError>> = JoinSet::new();
    let mut plans = Vec::new();
    loop {
        while looking.len() < fleet.settings.passes_max {
            let Some(subject) = waiting.next() else { break };
            let store = store.clone();
            looking.spawn(async move { preview(&subject, &store).await });
        }
        let Some(looked) = looking.join_next().await else { break };
        plans.push(looked??);
    }
    plans.sort_by(|one, other| one.account.cmp(&other.account));
    Ok(plans)
}

/// What passes would do now, for people and programs, with what each account is expected to take.
///
/// # Errors
/// As [`plans`].
pub async fn plan_views(
    fleet: &Fleet,
    store: &Store,
    which: &Which,
) -> Result<PlansView, VerbError> {
    let audits = f64::from(audits_per_day(&fleet.settings.audit));
    let plans = plans(fleet, store, which).await?;
    let mut shown = PlansView::of(&plans);
    for (view, plan) in shown.accounts.iter_mut().zip(&plans) {
        let Some(subject) = fleet.subjects.get(&plan.account) else { continue };
        let AccountDesired { account, specs } = &subject.desired;
        let learned = store.account_state(&plan.account)?.learned;
        let calls = calls::expected(
            &account.name,
            &learned.within(&account.policy, plan.at),
            specs,
            audits,
        );
        view.calls = Some(CallsView::of(&account.name, &calls, account.policy.credits_per_day));
    }
    Ok(shown)
}

/// Makes the plan anew and compares its checksum. The pass that follows looks once more: what
/// changes at Zoho in the moments between is met as in any pass.
///
/// # Errors
/// When it is another one, and as [`plans`].
pub async fn expect_plan(
    fleet: &Fleet,
    store: &Store,
    which: &Which,
    wanted: &str,
) -> Result<(), VerbError> {
    let made = checksum(&plans(fleet, store, which).await?);
    if made == wanted {
        Ok(())
    } else {
        Err(VerbError::OtherPlan { wanted: wanted.to_owned(), made })
    }
}

/// One channel of the plan that would be made now, with everything its decision is made from.
/// `asked` is `[ACCOUNT/]CHANNEL`: a name that is declared or remembered, or an id.
///
/// # Errors
/// When there is no such account or channel, or the store fails.
pub async fn explain(fleet: &Fleet, store: &Store, asked: &str) -> Result<Explanation, VerbError> {
    let (account, channel) =
        asked.split_once('/').map_or((None, asked), |(account, name)| (Some(account), name));
    let which = Which { account: account.map(str::to_owned), channel: None };
    let chosen = fleet.chosen(&which)?;
    let id = channel.parse().ok();
    let mut found = None;
    for subject in chosen.values() {
        let declared = subject
            .desired
            .specs
            .values()
            .find(|spec| spec.name.as_str() == channel)
            .map(|spec| spec.id);
        let records = store.records(subject.name())?;
        let remembered =
            records.values().find(|record| record.name.as_str() == channel).map(|record| record.id);
        let by_id =
            id.filter(|id| subject.desired.specs.contains_key(id) || records.contains_key(id));
        // A channel that is not ours is known by its id alone, so its account has to be clear.
        let foreign = id.filter(|_| chosen.len() == 1);
        let rank = |place: u8, id: Option<ChannelId>| id.map(|id| (place, id, subject.clone()));
        let here =
            rank(0, declared).or(rank(1, remembered)).or(rank(2, by_id)).or(rank(3, foreign));
        let is_nearer = |best: &Option<(u8, ChannelId, Arc<Subject>)>, place| {
            best.as_ref().is_none_or(|(held, ..)| place < *held)
        };
        if let Some(here) = here.filter(|(place, ..)| is_nearer(&found, *place)) {
            found = Some(here);
        }
    }
    let (_, id, subject) = found.ok_or_else(|| VerbError::NoChannel(asked.to_owned()))?;
    Ok(explained(&subject, store, id, fleet.settings.request_timeout).await?)
}

/// The gaps of every account, by account, channel and time; also of accounts and channels that are
/// declared no longer.
///
/// # Errors
/// When no channel has that name, or the store fails.
pub fn gaps(
    fleet: &Fleet,
    store: &Store,
    request: &GapsRequest,
    now: Timestamp,
) -> Result<Vec<Missed>, VerbError> {
    let mut missed = Vec::new();
    for kept in ledgers(fleet, store, request.channel.as_deref(), now)? {
        let api = fleet.subjects.get(&kept.account).map(|subject| subject.desired.account.api());
        for gap in kept.views(request.since) {
            let events = gap.events.iter().map(String::as_str).collect();
            let backfill = backfill(
                &events,
                gap.from,
                gap.to,
                kept.zoho_now,
                api.as_deref().unwrap_or(BASE_UNKNOWN),
            );
            missed.push(Missed { gap, backfill });
        }
    }
    Ok(missed)
}

/// Acknowledges gaps that have ended. What is open, and what comes later, is not acknowledged with
/// them.
///
/// # Errors
/// When no channel has that name, the note cannot be kept, or the store fails.
pub fn ack(
    fleet: &Fleet,
    store: &Store,
    request: &AckRequest,
    now: Timestamp,
) -> Result<Vec<Acked>, VerbError> {
    let note = request.note.as_deref().map(str::parse::<Note>).transpose()?;
    let mut acked = Vec::new();
    for mut kept in ledgers(fleet, store, request.channel.as_deref(), now)? {
        let before = kept.unacknowledged();
        if kept.acks.acknowledge(&kept.ledger, request.until, kept.zoho_now, note.clone()) {
            store.write_acks(&kept.account, &[(kept.ledger.id, kept.acks.clone())].into())?;
        }
        let left = kept.unacknowledged();
        if before > 0 {
            let (account, channel) = (kept.account.to_string(), kept.ledger.name.to_string());
            acked.push(Acked { account, channel, acknowledged: before.saturating_sub(left), left });
        }
    }
    Ok(acked)
}

/// One channel's ledger with what was said of it.
struct Kept {
    account: AccountName,
    ledger: Ledger,
    acks: Acks,
    /// Now, by Zoho's clock.
    zoho_now: Timestamp,
}

impl Kept {
    fn views(&self, since: Option<Timestamp>) -> Vec<GapView> {
        views(self.account.as_str(), (&self.ledger, &self.acks), since, self.zoho_now)
    }

    fn unacknowledged(&self) -> usize {
        self.views(None).iter().filter(|gap| gap.acknowledged.is_none()).count()
    }
}

/// The ledgers of every account, declared or not, or those of one channel, `[ACCOUNT/]CHANNEL`.
fn ledgers(
    fleet: &Fleet,
    store: &Store,
    asked: Option<&str>,
    now: Timestamp,
) -> Result<Vec<Kept>, VerbError> {
    let parts = asked.map(|asked| {
        asked.split_once('/').map_or((None, asked), |(account, name)| (Some(account), name))
    });
    let (only, channel) = parts.map_or((None, None), |(account, name)| (account, Some(name)));
    let (mut all, mut found) = (Vec::new(), asked.is_none());
    let mut accounts = store.ledger_accounts()?;
    accounts.extend(fleet.subjects.keys().chain(fleet.unusable.keys()).cloned());
    for account in
        accounts.iter().filter(|account| only.is_none_or(|only| only == account.as_str()))
    {
        let subject = fleet.subjects.get(account);
        let mut declared = subject.into_iter().flat_map(|subject| subject.desired.specs.values());
        found |= declared.any(|spec| Some(spec.name.as_str()) == channel);
        let zoho_now = store.account_state(account)?.zoho_time(now);
        let mut ledgers: Vec<_> = store.ledgers(account)?.into_values().collect();
        ledgers.retain(|ledger| channel.is_none_or(|name| ledger.name.as_str() == name));
        ledgers.sort_by(|one, other| one.name.cmp(&other.name));
        found |= !ledgers.is_empty();
        for ledger in ledgers {
            let acks = store.acks(account, ledger.id)?;
            all.push(Kept { account: account.clone(), ledger, acks, zoho_now });
        }
    }
    match asked.filter(|_| !found) {
        Some(asked) => Err(VerbError::NoChannel(asked.to_owned())),
        None => Ok(all),
    }
}

/// Allows the removals that are held now, and no others.
///
/// # Errors
/// As [`plans`].
pub async fn allow_removals(fleet: &Fleet, store: &Store, which: &Which) -> Result<(), VerbError> {
    for plan in plans(fleet, store, which).await? {
        let guarded =
            plan.held.iter().filter(|held| matches!(held.cause, Cause::RemovalGuard { .. }));
        let removals: BTreeSet<ChannelId> = guarded.map(|held| held.id).collect();
        if !removals.is_empty() {
            store.allow_removals(&plan.account, removals)?;
        }
    }
    Ok(())
}

/// Makes a channel that exists at Zoho ours: what holds it as a conflict is gone, and the next pass
/// repairs what differs.
///
/// # Errors
/// When there is no such channel, here or at Zoho.
pub async fn adopt(fleet: &Fleet, store: &Store, channel: &str) -> Result<AccountName, VerbError> {
    let (subject, spec) = fleet.channel(channel)?;
    let account = subject.name().clone();
    let observed = subject.client.look_at(spec.id).await?;
    let missing = || VerbError::NotThere { name: spec.name.clone(), id: spec.id };
    let url = observed
        .and_then(|observed| observed.notify_urls.iter().next().cloned())
        .ok_or_else(missing)?;
    store.adopt(&account, spec.id, url.fingerprint())?;
    Ok(account)
}

/// Asks for a renewal of a channel, or of every channel of the chosen accounts, and lifts the wait
/// after a refusal.
///
/// # Errors
/// When there is no such account or channel.
pub fn ask_renewal(
    fleet: &Fleet,
    store: &Store,
    which: &Which,
    now: Timestamp,
) -> Result<(), VerbError> {
    let only = which
        .channel
        .as_deref()
        .map(|name| fleet.channel(name))
        .transpose()?
        .map(|(_, spec)| spec.id);
    for account in fleet.chosen(which)?.keys() {
        store.ask_renewal(account, only, now)?;
    }
    Ok(())
}

/// What a pause is about: some accounts, or one channel of one.
pub struct Target {
    /// The accounts.
    pub accounts: BTreeMap<AccountName, Arc<Subject>>,
    /// The one channel, if it is about one.
    pub channel: Option<ChannelId>,
}

/// The account or channel of this name, `ACCOUNT/CHANNEL`, or without a name everything.
///
/// # Errors
/// When there is none of that name, or two.
pub fn target(fleet: &Fleet, name: Option<&str>) -> Result<Target, VerbError> {
    let Some(name) = name else {
        return Ok(Target { accounts: fleet.chosen(&Which::default())?, channel: None });
    };
    let (account, channel) =
        name.split_once('/').map_or((None, name), |(account, name)| (Some(account), name));
    let found = fleet
        .channel(channel)
        .ok()
        .filter(|(subject, _)| account.is_none_or(|account| subject.name().as_str() == account));
    let is_account = account.is_none() && fleet.subjects.keys().any(|known| known.as_str() == name);
    match (found, is_account) {
        (Some(_), true) => Err(VerbError::Ambiguous(name.to_owned())),
        (Some((subject, spec)), false) => Ok(Target {
            accounts: [(subject.name().clone(), subject.clone())].into(),
            channel: Some(spec.id),
        }),
        (None, true) => {
            let which = Which { account: Some(name.to_owned()), channel: None };
            Ok(Target { accounts: fleet.chosen(&which)?, channel: None })
        }
        (None, false) => Err(VerbError::NeitherNor(name.to_owned())),
    }
}

/// Pauses a target; without `until`, for as long as nobody resumes it. A pause of the same thing
/// replaces an earlier one.
///
/// # Errors
/// When the store fails.
pub fn pause(
    store: &Store,
    target: &Target,
    now: Timestamp,
    until: Option<Timestamp>,
) -> Result<(), VerbError> {
    change_pauses(store, target, |pauses| {
        *pauses = std::mem::take(pauses).still_held(now);
        match target.channel {
            Some(id) => drop(pauses.channels.insert(id, Pause { at: now, until })),
            None => pauses.account = Some(Pause { at: now, until }),
        }
    })
}

/// Ends the pause of a target; that of an account with those of all its channels.
///
/// # Errors
/// When the store fails.
pub fn resume(store: &Store, target: &Target) -> Result<(), VerbError> {
    change_pauses(store, target, |pauses| match target.channel {
        Some(id) => drop(pauses.channels.remove(&id)),
        None => *pauses = Pauses::default(),
    })
}

fn change_pauses(
    store: &Store,
    target: &Target,
    change: impl Fn(&mut Pauses),
) -> Result<(), VerbError> {
    for account in target.accounts.keys() {
        store.ask(account, |wishes| change(&mut wishes.pauses))?;
    }
    Ok(())
}

/// An account, or one channel of it, that is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// The account.
    pub account: String,
    /// The one channel, if it is about one.
    pub channel: Option<String>,
    /// When the pause ends; nothing when it lasts until it is resumed.
    pub until: Option<Timestamp>,
    /// Up to when all that is paused stays covered; nothing when something is uncovered already,
    /// or not known.
    pub covered_until: Option<Timestamp>,
    /// Channels that end before the pause does, the first to end first.
    pub lapse: Vec<String>,
}

impl PauseView {
    /// Of what is known of an account.
    pub fn of(report: &AccountReport, target: &Target, until: Option<Timestamp>) -> PauseView {
        let paused = report
            .channels
            .values()
            .filter(|channel| target.channel.is_none_or(|id| id == channel.spec.id));
        let mut ends: Vec<(Option<Timestamp>, String)> =
            paused.map(|channel| (channel.expiry, channel.spec.name.to_string())).collect();
        ends.sort();
        let lapses =
            |end: &Option<Timestamp>| end.is_none_or(|end| until.is_none_or(|until| end < until));
        PauseView {
            account: report.account.to_string(),
            channel: target
                .channel
                .and_then(|id| Some(report.channels.get(&id)?.spec.name.to_string())),
            until,
            covered_until: ends.first().and_then(|(end, _)| *end),
            lapse: ends
                .iter()
                .filter(|(end, _)| lapses(end))
                .map(|(_, name)| name.clone())
                .collect(),
        }
    }

    /// As text.
    pub fn to_text(&self) -> String {
        let PauseView { account, channel, until, covered_until, lapse } = self;
        let what = channel
            .as_ref()
            .map_or_else(|| format!("account {account}"), |channel| format!("channel {channel}"));
        let until = until.map_or_else(|| "it is resumed".to_owned(), |until| until.to_string());
        let covered = match covered_until {
            Some(end) => format!("everything of it stays covered until {end}"),
            None => "something of it is not covered".to_owned(),
        };
        let mut text = format!("{what} is paused until {until}; {covered}\n");
        if !lapse.is_empty() {
            let more = if lapse.len() > LAPSES_SHOWN_MAX { ", ..." } else { "" };
            let names = lapse
                .iter()
                .take(LAPSES_SHOWN_MAX)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            text += &format!(
                "  {} may lapse before that: {names}{more}\n",
                counted(lapse.len(), "channel")
            );
        }
        text
    }
}

const LAPSES_SHOWN_MAX: usize = 10;

impl Applied {
    /// Of a report.
    pub fn of(report: &AccountReport) -> Applied {
        Applied {
            account: report.account.to_string(),
            done: report
                .outcomes
                .iter()
                .map(|(step, outcome)| DoneView::of(step, outcome))
                .collect(),
            look_failed: report.look_failed.clone(),
            writes_failed: report.writes_failed.clone(),
            left: PlanView::of(&report.after),
        }
    }

    /// Whether everything is as declared, or held for a reason that somebody chose.
    pub fn is_settled(&self) -> bool {
        let refused = self.done.iter().any(|done| done.outcome == "refused");
        let chosen = ["mode", "left-to-expire", "paused"];
        let held = self.left.held.iter().any(|held| !chosen.contains(&held.cause.as_str()));
        self.look_failed.is_none()
            && self.writes_failed.is_none()
            && !refused
            && !held
            && self.left.steps.is_empty()
    }

    /// As text, one line a step.
    pub fn to_text(&self) -> String {
        let mut lines = vec![format!("account {}: {}", self.account, self.headline())];
        lines.extend(self.done.iter().map(DoneView::line));
        let left = self.left_but_for_the_look().to_text();
        let left: Vec<&str> = left.lines().skip(1).collect();
        if !left.is_empty() {
            lines.push("  left:".to_owned());
            lines.extend(left.into_iter().map(str::to_owned));
        }
        lines.join("\n") + "\n"
    }

    /// What is left. Why the look failed is in the headline, and is not said of each channel again.
    fn left_but_for_the_look(&self) -> PlanView {
        let mut left = self.left.clone();
        if self.look_failed.is_some() {
            let unseen =
                left.held.iter_mut().filter(|held| held.cause == CauseKind::Unknown.word());
            unseen.for_each(|held| held.detail = "not seen".to_owned());
        }
        left
    }

    fn headline(&self) -> String {
        match (&self.look_failed, &self.writes_failed) {
            (Some(why), _) => format!("the look at Zoho failed: {why}"),
            (None, Some(why)) => format!("writes failed: {why}"),
            (None, None) if self.done.is_empty() => {
                format!("nothing to do, {} kept", self.left.kept)
            }
            (None, None) => {
                format!("{} done", self.done.iter().filter(|done| done.outcome == "done").count())
            }
        }
    }
}

impl DoneView {
    fn of(step: &crate::plan::step::Step, outcome: &Outcome) -> DoneView {
        let (detail, granted) = match outcome {
            Outcome::Done(granted) => (None, *granted),
            Outcome::Refused(refused) => {
                let path = refused
                    .json_path
                    .as_ref()
                    .map(|path| format!(" at {path}"))
                    .unwrap_or_default();
                (Some(format!("{}{path}: {}", refused.code, refused.message)), None)
            }
            Outcome::Unsure(why) | Outcome::Deferred(why) => (Some(why.clone()), None),
        };
        DoneView {
            channel: step.name.to_string(),
            step: step.action.word().to_owned(),
            reason: step.reason.word().to_owned(),
            outcome: outcome.word().to_owned(),
            detail,
            granted,
        }
    }

    fn line(&self) -> String {
        let granted =
            self.granted.map(|granted| format!(", granted until {granted}")).unwrap_or_default();
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let DoneView { channel, step, reason, outcome, .. } = self;
        format!("  {outcome:<8} {step} {channel} ({reason}{granted}){detail}")
    }
}
