//! Recoveries of one account: made of the gaps that are due and of what people asked for, and given
//! up where nothing can come of them.

use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use super::{Backfill, rule_of};
use crate::backfill::due::{due, is_settling};
use crate::backfill::{Lost, Recovery, State};
use crate::model::channel::{ChannelId, Spec};
use crate::model::secret::Fingerprint;
use crate::model::time::{Timestamp, span};
use crate::model::version::DAY;
use crate::model::wishes::{AskedStretch, Recoveries, Wishes};
use crate::reconcile::subject::Subject;
use crate::store::{Store, StoreError};
use crate::zoho::auth::credentials_fingerprint;

/// The work of one account.
pub(super) struct Open {
    /// The recoveries that are not over.
    pub(super) recoveries: Vec<Recovery>,
    /// True while a gap ended so lately that it is not due yet.
    pub(super) is_settling: bool,
}

impl Backfill {
    /// The recoveries of an account that are not over, brought up to date.
    pub(super) async fn open(&self, subject: &Subject) -> Result<Open, StoreError> {
        let (account, now) = (subject.name(), self.clock.now());
        let zoho_now = self.store.account_state(account)?.zoho_time(now);
        let wishes = self.store.wishes(account)?.recoveries;
        let mut known = self.store.recoveries(account)?;
        let (mut made, is_settling) = due_ones(&self.store, subject, &known, zoho_now).await?;
        made.extend(asked_ones(subject, &wishes, &known));
        let first = known.iter().map(|one| one.number).max().unwrap_or(0) + 1;
        for (number, recovery) in (first..).zip(&mut made) {
            recovery.number = number;
            let (channel, module) = (&recovery.name, &recovery.module);
            info!(%account, %channel, module, number, "missed events are to be recovered");
        }
        if !made.is_empty() {
            self.store.write_recoveries(account, &made).await?;
        }
        known.extend(made);
        self.judge(subject, &mut known, &wishes, zoho_now).await?;
        self.publish(subject, &known).await;
        let all = known.iter().filter(|recovery| recovery.is_over());
        let excess = all.clone().count().saturating_sub(OVER_MAX);
        let is_asked =
            |one: &&Recovery| wishes.asked.iter().any(|asked| Some(asked.at) == one.asked);
        let old: Vec<u64> =
            all.filter(|one| !is_asked(one)).map(|one| one.number).take(excess).collect();
        if !old.is_empty() {
            self.store.forget_recoveries(account, old.into_iter()).await?;
        }
        known.retain(|recovery| !recovery.is_over());
        Ok(Open { recoveries: known, is_settling })
    }

    /// Lets go on what may, and gives up what cannot.
    async fn judge(
        &self,
        subject: &Subject,
        known: &mut [Recovery],
        wishes: &Recoveries,
        zoho_now: Timestamp,
    ) -> Result<(), StoreError> {
        let (account, mut news) = (subject.name(), Vec::new());
        let credentials = credentials_fingerprint(&subject.desired.account);
        for recovery in known.iter_mut().filter(|recovery| !recovery.is_over()) {
            let spec = subject.desired.specs.get(&recovery.channel);
            let Some(state) = judged(recovery, spec, (wishes, credentials), zoho_now) else {
                continue;
            };
            if let State::Abandoned { why, .. } = &state {
                self.store.drop_deliveries(account, recovery.number).await?;
                let (channel, number) = (&recovery.name, recovery.number);
                info!(%account, %channel, number, why, "a recovery is given up");
            }
            recovery.state = state;
            news.push(recovery.clone());
        }
        self.news(account, &news).await
    }
}

/// The state that a recovery goes over to; none when it stays as it is.
fn judged(
    recovery: &Recovery,
    spec: Option<&Arc<Spec>>,
    (wishes, credentials): (&Recoveries, Fingerprint),
    at: Timestamp,
) -> Option<State> {
    let given_up = |why: &str| Some(State::Abandoned { why: why.to_owned(), at });
    if wishes.abandoned.contains(&recovery.number) {
        return given_up("somebody gave it up");
    }
    let Some(spec) = spec else { return given_up("the channel is declared no longer") };
    if spec.notify_url.fingerprint() != recovery.notify_url {
        return given_up("the channel delivers to another URL");
    }
    let declared = spec.events.of(&recovery.module);
    if recovery.gaps.iter().any(|gap| !declared.contains(gap.operation)) {
        return given_up("the channel does not declare all of its events any more");
    }
    match &recovery.state {
        State::Held(_) if wishes.released.contains(&recovery.number) => Some(State::Handing),
        State::Unreadable { at: refused, credentials: by, .. }
            if *by != credentials || span(*refused, at) >= AGAIN =>
        {
            Some(State::Reading)
        }
        State::Reading
        | State::Unreadable { .. }
        | State::Held(_)
        | State::Handing
        | State::Done { .. }
        | State::Abandoned { .. } => None,
    }
}

/// The gaps that are due, as recoveries without a number, and if others are about to be.
async fn due_ones(
    store: &Store,
    subject: &Subject,
    known: &[Recovery],
    zoho_now: Timestamp,
) -> Result<(Vec<Recovery>, bool), StoreError> {
    let account = subject.name();
    let specs = &subject.desired.specs;
    let before = store.backfilled_since(account)?;
    let mut since = before.clone();
    since.retain(|id, _| specs.contains_key(id));
    let (mut made, mut settling) = (Vec::new(), false);
    for spec in specs.values() {
        let Some(rule) = &spec.backfill else { continue };
        let since = *since.entry(spec.id).or_insert(zoho_now);
        let Some(ledger) = store.ledger(account, spec.id)? else { continue };
        let of_channel: Vec<Recovery> =
            known.iter().filter(|one| one.channel == spec.id).cloned().collect();
        settling |= is_settling(&ledger, zoho_now);
        for (module, gaps) in due(&ledger, (spec, rule), &of_channel, since, zoho_now) {
            made.push(recovery(spec, module, gaps, None));
        }
    }
    if since != before {
        store.write_backfilled_since(account, &since).await?;
    }
    Ok((made, settling))
}

/// The stretches that somebody asked for and that are not made yet.
fn asked_ones(subject: &Subject, wishes: &Recoveries, known: &[Recovery]) -> Vec<Recovery> {
    let is_made = |asked: &&AskedStretch| {
        known.iter().any(|one| one.channel == asked.channel && one.asked == Some(asked.at))
    };
    let mut made = Vec::new();
    for asked in wishes.asked.iter().filter(|asked| !is_made(asked)) {
        let Some(spec) = subject.desired.specs.get(&asked.channel) else { continue };
        for (module, operations) in spec.events.iter() {
            if module.eq_ignore_ascii_case("users") {
                continue;
            }
            let (from, to) = (asked.from, asked.to);
            let gap = |operation| Lost { operation, from, to, kind: None, cause: None };
            let gaps = operations.iter().map(gap).collect();
            let asked_for = recovery(spec, module.to_owned(), gaps, Some(asked.at));
            made.push(Recovery { planned: asked.plan, ..asked_for });
        }
    }
    made
}

fn recovery(spec: &Spec, module: String, gaps: Vec<Lost>, asked: Option<Timestamp>) -> Recovery {
    Recovery {
        number: 0,
        channel: spec.id,
        name: spec.name.clone(),
        module,
        notify_url: spec.notify_url.fingerprint(),
        gaps,
        asked,
        planned: false,
        state: State::Reading,
        frozen: None,
        progress: Default::default(),
        credits: 0,
        doubts: Default::default(),
    }
}

/// Returns whether a recovery goes on by itself: its channel's events are handed over, and nothing
/// is paused or given up.
pub(super) fn goes_on(recovery: &Recovery, spec: &Spec, wishes: &Wishes, now: Timestamp) -> bool {
    let id: ChannelId = recovery.channel;
    let is_given_up = wishes.recoveries.abandoned.contains(&recovery.number);
    rule_of(spec, recovery).is_some() && wishes.pauses.of(id, now).is_none() && !is_given_up
}

/// Recoveries that are over and are remembered, of each account.
const OVER_MAX: usize = 1000;
/// How long after a refusal reading is tried again.
const AGAIN: Duration = DAY;
