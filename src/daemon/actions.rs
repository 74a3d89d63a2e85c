//! The actions that the command line can ask for, the same with a running daemon and without one.
//!
//! `plan`, `explain` and `gaps` look and change nothing. The others write a fact into the store (an
//! allowed removal, an adopted channel, a renewal, an acknowledged gap). The next pass acts on it
//! if there is anything to do.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::cluster::asks::AskError;
use crate::config::audits_per_day;
use crate::coverage::ack::{BadNote, Note};
use crate::coverage::backfill::backfill;
use crate::coverage::render::{GapView, unacknowledged, views};
use crate::coverage::{Acks, Ledger};
use crate::engine::EngineError;
use crate::model::address::Address;
use crate::model::channel::{AccountName, ChannelId, ChannelName};
use crate::model::desired::AccountDesired;
use crate::model::pause::{Pause, Pauses};
use crate::model::time::Timestamp;
use crate::plan::calls::{self, DailyCallsView};
use crate::plan::explain::Explanation;
use crate::plan::render::PlansView;
use crate::plan::step::{Cause, Plan};
use crate::plan::vanished::to_accept;
use crate::reconcile::pass::{explained, preview};
use crate::reconcile::subject::Subject;
use crate::store::{Store, StoreError};
use crate::zoho::error::Error as ZohoError;
use crate::zoho::window::Window;

use super::choose::{Chosen, UnknownName};
use super::fleet::Fleet;
use super::recoveries::recoveries;
use super::requests::{AckRequest, GapsRequest, Which};
use super::views::{Acked, GapReport};

/// The reason why an action cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// A name that means nothing, or two things.
    #[error(transparent)]
    Name(#[from] UnknownName),
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
        "the plan has changed, so nothing was written: {wanted} was asked for, and {made} is the plan now; \
         look again with `channelkeeper plan`"
    )]
    OtherPlan {
        /// The checksum that was given.
        wanted: String,
        /// The checksum of the plan made at this instant.
        made: String,
    },
    /// Words that cannot be kept.
    #[error(transparent)]
    BadNote(#[from] BadNote),
    /// The config cannot be used; what is wrong with it, one line each.
    #[error("the config cannot be used:\n  {}", .0.join("\n  "))]
    BadConfig(Vec<String>),
    /// Zoho could not be asked.
    #[error("Zoho could not be asked")]
    Zoho(#[from] ZohoError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The store of the daemon fails, in the daemon's words.
    #[error("{0}")]
    StoreFails(String),
    /// A preview died.
    #[error("the plan could not be made")]
    Died(#[from] tokio::task::JoinError),
    /// A stretch that ends before it begins.
    #[error("--since has to lie before --until, and before now")]
    NoStretch,
    /// No recovery of that id.
    #[error("there is no recovery {0}; `channelkeeper backfill` lists them")]
    NoRecovery(String),
    /// A recovery that nothing of the kind can become of.
    #[error("recovery {id} is {state}, so there is nothing to settle")]
    NotHeld {
        /// The id.
        id: String,
        /// How far it has come.
        state: &'static str,
    },
    /// There are no other machines.
    #[error(
        "this machine shares its accounts with no other: its config has no [cluster], or had none \
         when the daemon was started"
    )]
    NoCluster,
    /// No machine of that name.
    #[error("there is no machine {node}; those of the cluster are {others}")]
    NoMachine {
        /// The name.
        node: String,
        /// Those that there are.
        others: String,
    },
    /// No other machine would serve.
    #[error("{0} is the last machine: no other would serve its accounts, so it is not put out")]
    LastMachine(String),
    /// The engine does not answer.
    #[error("the engine was not told")]
    Engine(#[source] EngineError),
    /// An account that nobody serves at this time.
    #[error(
        "account {0} is served by no machine at this time, so nothing was done for it; \
         `channelkeeper cluster status` shows since when"
    )]
    Unserved(AccountName),
    /// So many of them.
    #[error(
        "{0} accounts are served by no machine at this time, so nothing was done; \
         `channelkeeper cluster status` shows the machines"
    )]
    ManyUnserved(usize),
    /// A machine that was asked, and is gone.
    #[error("machine {0} is gone")]
    Gone(String),
    /// A machine that was asked, and gave no answer.
    #[error("no answer came from machine {node}")]
    Asked {
        /// Its name.
        node: String,
        /// The fate of the question.
        #[source]
        error: AskError,
    },
    /// The refusal of another machine, in its words.
    #[error("{why}")]
    Told {
        /// Its name.
        node: String,
        /// As of HTTP.
        status: u16,
        /// Its words.
        why: String,
    },
    /// One part failed.
    #[error("not everything was done: {done} of the machines' parts were, and that of {} was not",
        .machine.as_deref().unwrap_or("this one"))]
    InPart {
        /// How many parts were done.
        done: usize,
        /// The machine whose part was not, if it is another.
        machine: Option<String>,
        /// Its error.
        #[source]
        error: Box<VerbError>,
    },
    /// The config that is to be in force is not, here.
    #[error(
        "the config that was put in force has not reached {0}; look at `channelkeeper cluster status`"
    )]
    NotFollowed(String),
    /// This machine is no member yet.
    #[error("this machine is joining its cluster; try again in a moment")]
    NoMemberYet,
    /// Nobody makes passes any more.
    #[error("the daemon is stopping")]
    Stopping,
}

impl VerbError {
    /// True when another machine may be able to: the account is not, or not yet, the one's that was
    /// asked.
    pub fn is_for_another_machine(&self) -> bool {
        let is_elsewhere = matches!(
            self,
            VerbError::Name(
                UnknownName::Elsewhere(_) | UnknownName::NoneHere(_) | UnknownName::Unusable(..)
            ) | VerbError::Unserved(_)
                | VerbError::Gone(_)
        );
        is_elsewhere || matches!(self, VerbError::Told { status, .. } if *status == ELSEWHERE)
    }

    /// The other machine that it comes from.
    pub fn machine(&self) -> Option<&str> {
        if let VerbError::Told { node, .. } | VerbError::Asked { node, .. } = self {
            Some(node)
        } else if let VerbError::Gone(node) = self {
            Some(node)
        } else {
            None
        }
    }

    /// True when a name means nothing where it was looked for.
    pub fn is_unknown_name(&self) -> bool {
        let is_told =
            matches!(self, VerbError::Told { status, .. } if [UNKNOWN, ELSEWHERE].contains(status));
        is_told || matches!(self, VerbError::Name(_) | VerbError::NoRecovery(_))
    }
}

/// The status by which a machine says that the account is another's.
pub(crate) const ELSEWHERE: u16 = 421;
/// The status by which a machine says that it knows no such name.
pub(crate) const UNKNOWN: u16 = 404;

/// The plans that passes would carry out at this instant, by account. As many accounts are looked
/// at as the window has room for beside passes.
///
/// # Errors
/// When the accounts cannot be chosen, or the store fails.
pub async fn plans(
    fleet: &Fleet,
    store: &Store,
    which: &Which,
    window: &Window,
) -> Result<Vec<Plan>, VerbError> {
    let mut waiting = fleet.chosen(which)?.into_values();
    let mut looking: JoinSet<Result<Plan, StoreError>> = JoinSet::new();
    let mut plans = Vec::new();
    loop {
        while looking.len() < window.left(fleet.settings.passes_max) {
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

/// The plans that passes would carry out at this instant, for people and programs, with the calls
/// that each account is expected to take.
///
/// # Errors
/// As [`plans`].
pub async fn plan_views(
    fleet: &Fleet,
    store: &Store,
    which: &Which,
    window: &Window,
) -> Result<PlansView, VerbError> {
    let audits = f64::from(audits_per_day(&fleet.settings.audit));
    let plans = plans(fleet, store, which, window).await?;
    let mut shown = PlansView::of(&plans);
    for (view, plan) in shown.accounts.iter_mut().zip(&plans) {
        let Some(subject) = fleet.subjects.get(&plan.account) else { continue };
        let AccountDesired { account, specs, former: _ } = &subject.desired;
        let learned = store.account_state(&plan.account)?.learned;
        let calls = calls::expected(
            &account.name,
            &learned.within(&account.policy, plan.at),
            specs,
            audits,
        );
        view.calls =
            Some(DailyCallsView::of(&account.name, &calls, account.policy.credits_per_day));
    }
    Ok(shown)
}

/// Compares the checksum of a plan that was just made. The pass that follows looks once more: what
/// changes at Zoho in the moments between is met as in any pass.
///
/// # Errors
/// When it is another one.
pub fn expect_plan(made: &str, wanted: &str) -> Result<(), VerbError> {
    if made == wanted {
        Ok(())
    } else {
        Err(VerbError::OtherPlan { wanted: wanted.to_owned(), made: made.to_owned() })
    }
}

/// One channel of the plan that would be made now, with everything its decision is made from: a
/// name that is declared or remembered, or an id.
///
/// # Errors
/// When there is no such account or channel, or the store fails.
pub async fn explain(
    fleet: &Fleet,
    store: &Store,
    asked: &Address,
) -> Result<Explanation, VerbError> {
    let account = asked.account.as_ref().map(ToString::to_string);
    let chosen = fleet.chosen(&Which { account, channel: None })?;
    let is_only = chosen.len() == 1 && (asked.account.is_some() || fleet.elsewhere.is_empty());
    let mut found: Option<(Nearness, ChannelId, &Arc<Subject>)> = None;
    for subject in chosen.values() {
        let here = meant(subject, store, asked, is_only)?;
        let Some((nearness, id)) = here else { continue };
        if found.as_ref().is_none_or(|(best, ..)| nearness < *best) {
            found = Some((nearness, id, subject));
        }
    }
    let (_, id, subject) = found.ok_or_else(|| fleet.no_channel(asked, &[]))?;
    Ok(explained(subject, store, id, fleet.settings.request_timeout).await?)
}

/// By which of its names a channel was found, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Nearness {
    Declared,
    Remembered,
    ById,
    Foreign,
}

/// The channel of this account that is meant, if one is. One that is not ours is known by its id
/// alone, so that its account has to be clear.
fn meant(
    subject: &Subject,
    store: &Store,
    asked: &Address,
    is_only_account: bool,
) -> Result<Option<(Nearness, ChannelId)>, StoreError> {
    let specs = &subject.desired.specs;
    if let Some(spec) = specs.values().find(|spec| spec.name == asked.channel) {
        return Ok(Some((Nearness::Declared, spec.id)));
    }
    let records = store.records(subject.name())?;
    if let Some(record) = records.values().find(|record| record.name == asked.channel) {
        return Ok(Some((Nearness::Remembered, record.id)));
    }
    let Some(id) = asked.id() else { return Ok(None) };
    if specs.contains_key(&id) || records.contains_key(&id) {
        return Ok(Some((Nearness::ById, id)));
    }
    Ok(is_only_account.then_some((Nearness::Foreign, id)))
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
) -> Result<Vec<GapReport>, VerbError> {
    let mut missed = Vec::new();
    let known = recoveries(fleet, store)?;
    for kept in ledgers(fleet, store, request.channel.as_ref(), now)? {
        let subject = fleet.subjects.get(&kept.account);
        let api = subject.map(|subject| subject.desired.account.api_base()).unwrap_or_default();
        for gap in kept.views(request.since) {
            let events = gap.events.iter().map(String::as_str).collect();
            let backfill = backfill(&events, gap.from, gap.to, kept.zoho_now, &api);
            let known = known.iter().filter(|recovery| recovery.fills(&gap));
            let recoveries = known.cloned().collect();
            missed.push(GapReport { gap, recoveries, backfill });
        }
    }
    Ok(missed)
}

/// Acknowledges gaps that have ended. Open gaps and later gaps are not acknowledged with them.
///
/// # Errors
/// When no channel has that name, the note cannot be kept, or the store fails.
pub async fn ack(
    fleet: &Fleet,
    store: &Store,
    request: &AckRequest,
    now: Timestamp,
) -> Result<Vec<Acked>, VerbError> {
    let note = request.note.as_deref().map(str::parse::<Note>).transpose()?;
    let mut acked = Vec::new();
    for mut kept in ledgers(fleet, store, request.channel.as_ref(), now)? {
        let before = kept.unacknowledged();
        if kept.acks.acknowledge(&kept.ledger, request.until, kept.zoho_now, note.clone()) {
            let changed = [(kept.ledger.id, kept.acks.clone())].into();
            store.write_acks(&kept.account, &changed).await?;
        }
        let left = kept.unacknowledged();
        if before > 0 {
            let (account, channel) = (kept.account.to_string(), kept.ledger.name.to_string());
            acked.push(Acked { account, channel, acknowledged: before.saturating_sub(left), left });
        }
    }
    Ok(acked)
}

/// One channel's ledger with its acknowledgements.
struct LedgerKept {
    account: AccountName,
    ledger: Ledger,
    acks: Acks,
    /// Now, by Zoho's clock.
    zoho_now: Timestamp,
}

impl LedgerKept {
    fn views(&self, since: Option<Timestamp>) -> Vec<GapView> {
        views(self.account.as_str(), &self.ledger, &self.acks, since, self.zoho_now)
    }

    fn unacknowledged(&self) -> usize {
        unacknowledged(&self.ledger, &self.acks, self.zoho_now)
    }
}

/// The ledgers of every account, declared or not, or those of one channel.
fn ledgers(
    fleet: &Fleet,
    store: &Store,
    asked: Option<&Address>,
    now: Timestamp,
) -> Result<Vec<LedgerKept>, VerbError> {
    let is_asked = |name: &ChannelName| asked.is_none_or(|asked| asked.channel == *name);
    let (mut all, mut names, mut found) = (Vec::new(), Vec::new(), asked.is_none());
    let mut accounts = store.ledger_accounts()?;
    accounts.extend(fleet.subjects.keys().chain(fleet.unusable.keys()).cloned());
    accounts.retain(|account| asked.is_none_or(|asked| asked.is_of(account)));
    for account in accounts {
        let subject = fleet.subjects.get(&account);
        let mut declared = subject.into_iter().flat_map(|subject| subject.desired.specs.values());
        found |= declared.any(|spec| is_asked(&spec.name));
        let zoho_now = store.account_state(&account)?.zoho_time(now);
        let mut ledgers: Vec<_> = store.ledgers(&account)?.into_values().collect();
        names.extend(ledgers.iter().map(|ledger| ledger.name.clone()));
        ledgers.retain(|ledger| is_asked(&ledger.name));
        ledgers.sort_by(|one, other| one.name.cmp(&other.name));
        found |= !ledgers.is_empty();
        for ledger in ledgers {
            let acks = store.acks(&account, ledger.id)?;
            all.push(LedgerKept { account: account.clone(), ledger, acks, zoho_now });
        }
    }
    match asked.filter(|_| !found) {
        Some(asked) => {
            let names: Vec<&str> = names.iter().map(ChannelName::as_str).collect();
            Err(fleet.no_channel(asked, &names).into())
        }
        None => Ok(all),
    }
}

/// Allows the removals that are held now, and no others.
///
/// # Errors
/// As [`plans`].
pub async fn allow_removals(
    fleet: &Fleet,
    store: &Store,
    which: &Which,
    window: &Window,
) -> Result<(), VerbError> {
    for plan in plans(fleet, store, which, window).await? {
        let guarded =
            plan.held.iter().filter(|held| matches!(held.cause, Cause::RemovalGuard { .. }));
        let removals: BTreeSet<ChannelId> = guarded.map(|held| held.id).collect();
        if !removals.is_empty() {
            store.allow_removals(&plan.account, removals).await?;
        }
    }
    Ok(())
}

/// Lets the channels be enabled anew that are held because all running ones are gone.
///
/// # Errors
/// As [`plans`].
pub async fn accept_vanished(
    fleet: &Fleet,
    store: &Store,
    which: &Which,
    window: &Window,
) -> Result<(), VerbError> {
    for plan in plans(fleet, store, which, window).await? {
        if plan.vanished().is_none() {
            continue;
        }
        let zoho_now = store.account_state(&plan.account)?.zoho_time(plan.at);
        let records = store.records(&plan.account)?;
        let accepted = to_accept(records.into_values(), zoho_now).collect();
        store.ask(&plan.account, |wishes| wishes.vanished = accepted).await?;
    }
    Ok(())
}

/// Makes a channel that exists at Zoho ours: what holds it as a conflict is gone, and the next pass
/// repairs what differs.
///
/// # Errors
/// When there is no such channel, here or at Zoho.
pub async fn adopt(
    fleet: &Fleet,
    store: &Store,
    channel: &Address,
) -> Result<AccountName, VerbError> {
    let (subject, spec) = fleet.channel(channel)?;
    let account = subject.name().clone();
    let observed = subject.client.look_at(spec.id).await?;
    let missing = || VerbError::NotThere { name: spec.name.clone(), id: spec.id };
    let url = observed
        .and_then(|observed| observed.notify_urls.iter().next().cloned())
        .ok_or_else(missing)?;
    store.adopt(&account, spec.id, url.fingerprint()).await?;
    Ok(account)
}

/// Asks for a renewal of a channel, or of every channel of the chosen accounts, and lifts the wait
/// after a refusal.
///
/// # Errors
/// When there is no such account or channel.
pub async fn ask_renewal(
    fleet: &Fleet,
    store: &Store,
    which: &Which,
    now: Timestamp,
) -> Result<(), VerbError> {
    let only = which.channel.as_ref().map(|address| fleet.channel(address)).transpose()?;
    let only = only.map(|(_, spec)| spec.id);
    for account in fleet.chosen(which)?.keys() {
        store.ask_renewal(account, only, now).await?;
    }
    Ok(())
}

/// Pauses a target; without `until`, for as long as nobody resumes it. A pause of the same thing
/// replaces an earlier one.
///
/// # Errors
/// When the store fails.
pub async fn pause(
    store: &Store,
    target: &Chosen,
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
    .await
}

/// Ends the pause of a target; that of an account with those of all its channels. Says what was
/// paused: accounts by their names, channels as `ACCOUNT/CHANNEL`.
///
/// # Errors
/// When the store fails.
pub async fn resume(
    store: &Store,
    target: &Chosen,
    now: Timestamp,
) -> Result<Vec<String>, VerbError> {
    let mut resumed = Vec::new();
    for (account, subject) in &target.accounts {
        let paused = store.wishes(account)?.pauses.still_held(now);
        let of_account = paused.account.filter(|_| target.channel.is_none());
        resumed.extend(of_account.map(|_| account.to_string()));
        let is_meant = |id: &ChannelId| target.channel.is_none_or(|only| only == *id);
        for id in paused.channels.keys().copied().filter(is_meant) {
            let spec = subject.desired.specs.get(&id);
            let name = spec.map_or_else(|| ChannelName::of_id(id), |spec| spec.name.clone());
            resumed.push(format!("{account}/{name}"));
        }
    }
    change_pauses(store, target, |pauses| match target.channel {
        Some(id) => drop(pauses.channels.remove(&id)),
        None => *pauses = Pauses::default(),
    })
    .await?;
    Ok(resumed)
}

async fn change_pauses(
    store: &Store,
    target: &Chosen,
    change: impl Fn(&mut Pauses),
) -> Result<(), VerbError> {
    for account in target.accounts.keys() {
        store.ask(account, |wishes| change(&mut wishes.pauses)).await?;
    }
    Ok(())
}
