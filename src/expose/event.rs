//! Events for hooks, read off what passes did and found: pure.
//!
//! One value is one kind of event of one account in one pass, with up to `HELD_MAX` of the channels
//! it is about, so that a pass over a thousand channels is ten things to tell.
//! [`EventsSeen`] remembers the gaps and tokens that were told; each gap begins once and ends once.
//! This memory is of one process: the ledger alone has a gap that began and ended while no daemon
//! ran, and nobody is told of it.
//!
//! No secret is in an event: neither a token nor a `notify_url`. Deliberately absent: an event for
//! a step that was only deferred, which the next pass makes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::backfill::{Recovery, Standing};
use crate::coverage::render::GapView;
use crate::coverage::{Gap, GapCause, Ledger};
use crate::model::channel::{AccountName, ChannelId, ChannelName};
use crate::model::events::{Events, Operations};
use crate::model::hooks::HookEvent;
use crate::model::secret::Fingerprint;
use crate::model::time::{Timestamp, span};
use crate::plan::step::Step;
use crate::reconcile::outcome::Outcome;
use crate::reconcile::report::AccountReport;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Event {
    /// Its kind.
    pub event: HookEvent,
    /// When it was told, by the local clock.
    pub at: Timestamp,
    /// The account, unless it is about the daemon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountName>,
    /// The rest.
    #[serde(flatten)]
    pub about: About,
}

/// The subject of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum About {
    /// Channels, by id.
    Channels(Vec<ChannelTold>),
    /// Gaps, as `gaps --json` has them.
    Gaps(Vec<GapView>),
    /// Recoveries that are over, by number.
    Recoveries(Vec<RecoveryTold>),
    /// The config in force.
    Config {
        /// The main file.
        file: String,
        /// The hash of the files that it was read from.
        hash: Option<String>,
    },
}

/// One channel in an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ChannelTold {
    /// Its name.
    pub name: ChannelName,
    /// Its id.
    pub id: ChannelId,
    /// The step: `enable (renew)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The end of the life that was granted, as Zoho said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Timestamp>,
    /// Zoho's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Zoho's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// One recovery in an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RecoveryTold {
    /// `ACCOUNT/NUMBER`.
    pub id: String,
    /// The channel's name.
    pub channel: ChannelName,
    /// The events that were missed, as in the config: `Deals.edit`.
    pub events: Vec<String>,
    /// The beginning of the first gap.
    pub from: Timestamp,
    /// The end of the last one.
    pub to: Timestamp,
    /// `done` or `abandoned`.
    pub state: &'static str,
    /// Records that the receiver took.
    pub recovered: u64,
    /// Records that it will not get.
    pub not_recovered: u64,
}

/// The facts that were seen so far, by account.
#[derive(Debug, Default)]
pub(crate) struct EventsSeen {
    gaps: BTreeMap<AccountName, BTreeMap<ChannelId, Vec<Gap>>>,
    tokens: BTreeMap<AccountName, BTreeMap<ChannelId, Option<Fingerprint>>>,
    /// The recoveries that were over.
    recoveries: BTreeMap<AccountName, BTreeSet<u64>>,
    config: Option<String>,
}

/// The events of a pass's steps: channels that were renewed, and those that were refused.
pub(crate) fn of_steps(report: &AccountReport, now: Timestamp) -> Vec<Event> {
    let (mut renewed, mut refused) = (Vec::new(), Vec::new());
    for (step, outcome) in &report.outcomes {
        match outcome {
            Outcome::Done(expiry) if step.reason.renews() => {
                renewed.push(ChannelTold { expiry: *expiry, ..ChannelTold::of(step) });
            }
            Outcome::Refused(why) => refused.push(ChannelTold {
                code: Some(why.code.clone()),
                said: Some(why.message.clone()),
                ..ChannelTold::of(step)
            }),
            Outcome::Done(_) | Outcome::Unsure(_) | Outcome::Deferred(_) => {}
        }
    }
    let told = |kind, channels: &[ChannelTold]| {
        events(kind, &report.account, now, channels, About::Channels)
    };
    let mut all = told(HookEvent::Renewed, &renewed);
    all.extend(told(HookEvent::Refused, &refused));
    all
}

/// As few as hold them all, each within [`HELD_MAX`].
fn events<T: Clone>(
    event: HookEvent,
    account: &AccountName,
    now: Timestamp,
    things: &[T],
    about: fn(Vec<T>) -> About,
) -> Vec<Event> {
    let one = |things: &[T]| Event {
        event,
        at: now,
        account: Some(account.clone()),
        about: about(things.to_vec()),
    };
    things.chunks(HELD_MAX).map(one).collect()
}

impl EventsSeen {
    /// The gaps that are known before anything happens: none of them is told.
    pub(crate) fn begin(
        &mut self,
        account: &AccountName,
        ledgers: &BTreeMap<ChannelId, Ledger>,
        zoho_now: Timestamp,
    ) {
        self.gaps.insert(account.clone(), gaps_of(ledgers, zoho_now));
    }

    /// The gaps that began and those that ended, since the ledgers were seen last.
    pub(crate) fn gaps(
        &mut self,
        account: &AccountName,
        ledgers: &BTreeMap<ChannelId, Ledger>,
        zoho_now: Timestamp,
        now: Timestamp,
    ) -> Vec<Event> {
        let found = gaps_of(ledgers, zoho_now);
        let before = self.gaps.insert(account.clone(), found.clone()).unwrap_or_default();
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for (id, ledger) in ledgers {
            let none = Vec::new();
            let (former, latter) =
                (before.get(id).unwrap_or(&none), found.get(id).unwrap_or(&none));
            let views = |gaps| views(account, &ledger.name, gaps, zoho_now);
            begun.extend(views(begun_of(former, latter)));
            ended.extend(views(ended_of(former, latter)));
        }
        let told = |kind, gaps: &[GapView]| events(kind, account, now, gaps, About::Gaps);
        let mut all = told(HookEvent::GapBegun, &begun);
        all.extend(told(HookEvent::GapEnded, &ended));
        all
    }

    /// The recoveries that ended since they were seen last; the first time, none is told.
    pub(crate) fn recoveries(
        &mut self,
        account: &AccountName,
        recoveries: &[Recovery],
        now: Timestamp,
    ) -> Vec<Event> {
        let over = recoveries.iter().filter(|recovery| recovery.is_over());
        let numbers = over.clone().map(|recovery| recovery.number).collect();
        let Some(before) = self.recoveries.insert(account.clone(), numbers) else {
            return Vec::new();
        };
        let ended: Vec<RecoveryTold> = over
            .filter(|recovery| !before.contains(&recovery.number))
            .map(|recovery| RecoveryTold::of(account, recovery))
            .collect();
        events(HookEvent::Recovered, account, now, &ended, About::Recoveries)
    }

    /// The channels whose deliveries carry another token than when they were seen last.
    pub(crate) fn tokens(&mut self, report: &AccountReport, now: Timestamp) -> Vec<Event> {
        let known = self.tokens.entry(report.account.clone()).or_default();
        known.retain(|id, _| report.channels.contains_key(id));
        let mut changed = Vec::new();
        for (id, channel) in &report.channels {
            let Some(token) = report.look.token(&channel.spec) else { continue };
            let before = known.insert(*id, token);
            if before.is_some_and(|before| before != token) {
                changed.push(ChannelTold::new(*id, &channel.spec.name));
            }
        }
        events(HookEvent::TokenChanged, &report.account, now, &changed, About::Channels)
    }

    /// Forgets accounts that are declared no longer.
    pub(crate) fn keep(&mut self, is_declared: impl Fn(&AccountName) -> bool) {
        self.gaps.retain(|account, _| is_declared(account));
        self.tokens.retain(|account, _| is_declared(account));
        self.recoveries.retain(|account, _| is_declared(account));
    }

    /// The config, when it is another one than was seen last. The first is none, nor is one from
    /// the store.
    pub(crate) fn config(
        &mut self,
        file: &str,
        hash: Option<&str>,
        now: Timestamp,
    ) -> Option<Event> {
        let hash = hash?;
        let before = self.config.replace(hash.to_owned())?;
        (before != hash).then(|| Event {
            event: HookEvent::ConfigChanged,
            at: now,
            account: None,
            about: About::Config { file: file.to_owned(), hash: Some(hash.to_owned()) },
        })
    }
}

impl ChannelTold {
    fn new(id: ChannelId, name: &ChannelName) -> ChannelTold {
        ChannelTold { name: name.clone(), id, step: None, expiry: None, code: None, said: None }
    }

    fn of(step: &Step) -> ChannelTold {
        ChannelTold { step: Some(step.title()), ..ChannelTold::new(step.id, &step.name) }
    }
}

impl RecoveryTold {
    fn of(account: &AccountName, recovery: &Recovery) -> RecoveryTold {
        let mut events = Events::default();
        events.insert(recovery.module.as_str(), recovery.operations());
        let standing = Standing::of(std::slice::from_ref(recovery));
        RecoveryTold {
            id: format!("{account}/{}", recovery.number),
            channel: recovery.name.clone(),
            events: events.to_wire(),
            from: recovery.from(),
            to: recovery.to(),
            state: recovery.state.word(),
            recovered: standing.taken,
            not_recovered: standing.lost,
        }
    }
}

/// By channel; channels without gaps are left out.
fn gaps_of(
    ledgers: &BTreeMap<ChannelId, Ledger>,
    zoho_now: Timestamp,
) -> BTreeMap<ChannelId, Vec<Gap>> {
    let gaps = ledgers.iter().map(|(id, ledger)| (*id, ledger.gaps(zoho_now)));
    gaps.filter(|(_, gaps)| !gaps.is_empty()).collect()
}

/// One gap, whatever else becomes known of it: an event's gaps do not begin twice at one instant.
fn is_same(one: &Gap, other: &Gap) -> bool {
    (one.from, one.operation, &one.module) == (other.from, other.operation, &other.module)
}

/// Old gaps that the ledger puts together were told one by one.
fn begun_of(former: &[Gap], latter: &[Gap]) -> Vec<Gap> {
    let is_new = |gap: &&Gap| {
        gap.cause != GapCause::Merged && !former.iter().any(|known| is_same(known, gap))
    };
    latter.iter().filter(is_new).cloned().collect()
}

/// Those with an end that had none, and those that turn out to have been none, which end where they
/// began.
fn ended_of(former: &[Gap], latter: &[Gap]) -> Vec<Gap> {
    let was_told = |gap: &Gap| former.iter().any(|known| is_same(known, gap) && known.to.is_some());
    let is_over = |gap: &&Gap| gap.to.is_some() && gap.cause != GapCause::Merged && !was_told(gap);
    let over = latter.iter().filter(is_over).cloned();
    let is_gone = |gap: &&Gap| gap.to.is_none() && !latter.iter().any(|left| is_same(left, gap));
    let gone = former.iter().filter(is_gone);
    over.chain(gone.map(|gap| Gap { to: Some(gap.from), ..gap.clone() })).collect()
}

/// One line for all events that share a gap.
fn views(
    account: &AccountName,
    channel: &ChannelName,
    gaps: Vec<Gap>,
    zoho_now: Timestamp,
) -> Vec<GapView> {
    let mut shared: BTreeMap<_, Events> = BTreeMap::new();
    for Gap { module, operation, from, to, kind, cause } in gaps {
        let events = shared.entry((from, to, kind, cause)).or_default();
        events.insert(module.as_str(), Operations::default().with(operation));
    }
    let view =
        |((from, to, kind, cause), events): ((Timestamp, Option<Timestamp>, _, _), Events)| {
            GapView {
                account: account.to_string(),
                channel: channel.to_string(),
                events: events.to_wire(),
                from,
                to,
                seconds: span(from, to.unwrap_or(zoho_now)).as_secs(),
                kind: crate::coverage::GapKind::word(kind).to_owned(),
                cause: GapCause::word(cause).to_owned(),
                acknowledged: None,
            }
        };
    shared.into_iter().map(view).collect()
}

/// The most channels, or gaps, of one event.
const HELD_MAX: usize = 100;

#[cfg(test)]
mod tests;
