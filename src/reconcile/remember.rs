//! Outcomes into records.
//!
//! [`PassMemory`] holds an account's records during a pass and writes each batch's changes through
//! to the store: ownership before the first write of a channel leaves, results after its reply
//! came. It also keeps the *predicted* observation: what the next look should find, given what Zoho
//! said. The plan of that prediction is what a pass reports, and it is empty when everything went
//! well.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::coverage::Ledger;
use crate::model::channel::ChannelId;
use crate::model::cluster::Allowed;
use crate::model::codes::{SCOPE_MISMATCH, is_documented};
use crate::model::events::Events;
use crate::model::life_refused::{LifeRefused, names_expiry};
use crate::model::observed::{Look, Observed};
use crate::model::record::{Grant, LastStep, Record, Refusal, Repairs};
use crate::model::secret::Fingerprint;
use crate::model::time::{Times, Timestamp, span};
use crate::model::wishes::Wishes;
use crate::plan::backoff;
use crate::plan::cause::refused as refused_words;
use crate::plan::drift;
use crate::plan::refused_events::RefusedWrite;
use crate::plan::renewal::Life;
use crate::plan::step::{Action, Ask, Reason, Step};
use crate::store::StoreError;
use crate::zoho::wire::Refused;

use super::cover::Ledgers;
use super::outcome::Outcome;

/// All that an engine that does not answer could not be told stays in memory, and is told with the
/// next commit. That ends the pass of an owner, and not one that knows that nobody answers: it
/// sends what it may without a proof, or nothing. A refusal is an answer, and ends either.
pub(super) fn unless_alone(
    written: Result<(), StoreError>,
    allowed: Allowed,
) -> Result<(), StoreError> {
    match (written, allowed) {
        (Err(StoreError::Unwritten { .. }), Allowed::Emergencies | Allowed::Nothing) => Ok(()),
        (written, _) => written,
    }
}

/// An account's records during a pass, and what the next look should find.
pub struct PassMemory<'a> {
    /// The ledgers, as they are in the store.
    pub(super) ledgers: Ledgers<'a>,
    /// The records, as they are in the store.
    pub records: BTreeMap<ChannelId, Record>,
    /// The channels that the next look should find.
    pub predicted: Look,
    /// The wishes that the plan knew.
    pub(super) wishes: Wishes,
    /// The requests that may be sent in this pass.
    pub(super) allowed: Allowed,
    /// The longest life that may be asked for, as the config gives it.
    pub(super) lifetime_max: Duration,
    /// True when the token is known to have no scope for PATCH, so that POST repairs.
    pub(super) lacks_patch: bool,
    /// True when something is written that may not be on the disk yet.
    pub(super) is_unflushed: bool,
    pub(super) now: Timestamp,
    pub(super) zoho_now: Timestamp,
}

impl<'a> PassMemory<'a> {
    /// The ledgers as they are now.
    pub(super) fn ledgers(&self) -> &BTreeMap<ChannelId, Ledger> {
        self.ledgers.all()
    }

    /// True while a life granted to us is not over.
    pub(super) fn is_alive(&self, id: ChannelId) -> bool {
        let grant = self.records.get(&id).and_then(|record| record.grant);
        grant.is_some_and(|grant| grant.expiry > self.zoho_now)
    }

    /// True when the emergency of a channel has begun in this pass.
    pub(super) fn is_ending(&self, id: ChannelId, zoho_now: Timestamp) -> bool {
        self.records.get(&id).is_some_and(|record| self.ends(record, zoho_now))
    }

    /// True when an emergency has begun in this pass.
    pub(super) fn has_new_emergency(&self, zoho_now: Timestamp) -> bool {
        self.records.values().any(|record| self.ends(record, zoho_now))
    }

    fn ends(&self, record: &Record, zoho_now: Timestamp) -> bool {
        let begins = record.grant.map(|Grant { at, asked: _, expiry }| {
            Life { length: span(at, expiry), expiry }.emergency_at()
        });
        begins.is_some_and(|begins| begins > self.zoho_now && begins <= zoho_now)
    }

    /// Writes down, before anything is sent, that these channels are ours: a channel whose first
    /// reply is lost must not be one that nobody knows.
    pub async fn intend(&mut self, steps: &[Step], sent: Timestamp) -> Result<(), StoreError> {
        let mut changes = BTreeMap::new();
        for (step, ask) in steps.iter().filter_map(|step| Some((step, step.action.ask()?))) {
            let url = ask.spec.notify_url.fingerprint();
            let known = self.records.get(&step.id);
            if known.is_some_and(|record| record.grant.is_some() || record.notify_url == url) {
                continue;
            }
            let record =
                known.cloned().unwrap_or_else(|| Record::new(step.id, step.name.clone(), url));
            changes.insert(step.id, Some(Record { notify_url: url, ..record }));
        }
        self.ledgers.intend(steps, sent);
        self.apply(changes)?;
        let (store, account) = (self.ledgers.store, self.ledgers.account);
        if store.is_shared() {
            store.begin_sending(account, sent)?;
            self.is_unflushed = false;
            return unless_alone(store.prove(account).await, self.allowed);
        }
        self.commit().await
    }

    /// A batch was refused as a whole, and is sent in parts. That is flushed with the first of
    /// them.
    pub fn withdraw(&mut self, steps: &[Step]) -> Result<(), StoreError> {
        self.ledgers.withdraw(steps);
        self.apply(BTreeMap::new())
    }

    /// Writes down the outcomes of a batch. That is flushed with the next one, before it is sent,
    /// or with the end of the pass.
    pub fn outcomes(
        &mut self,
        steps: &[Step],
        outcomes: &[Outcome],
        times: Times,
    ) -> Result<(), StoreError> {
        self.ledgers.outcomes(steps, outcomes, times);
        let mut changes = BTreeMap::new();
        for (step, outcome) in steps.iter().zip(outcomes) {
            let record = self.after(step, outcome);
            self.predict(step, outcome);
            changes.insert(step.id, record);
        }
        self.apply(changes)
    }

    /// Writes down what a look said and no write has taken along. That is flushed with the end of
    /// the pass.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        self.apply(BTreeMap::new())
    }

    /// Sees to it that everything is on the disk.
    pub(super) async fn commit(&mut self) -> Result<(), StoreError> {
        let (store, account) = (self.ledgers.store, self.ledgers.account);
        if std::mem::take(&mut self.is_unflushed) || store.is_behind(account) {
            unless_alone(store.commit(account).await, self.allowed)
        } else {
            Ok(())
        }
    }

    /// Lets go of records, or keeps them, in memory and in the store, together with the ledgers
    /// that changed.
    fn apply(&mut self, changes: BTreeMap<ChannelId, Option<Record>>) -> Result<(), StoreError> {
        let (store, account) = (self.ledgers.store, self.ledgers.account);
        let ledgers = self.ledgers.take_unwritten();
        self.is_unflushed |= !ledgers.is_empty() || !changes.is_empty();
        store.set_channels(account, &ledgers, &changes)?;
        for (id, record) in changes {
            match record {
                Some(record) => self.records.insert(id, record),
                None => self.records.remove(&id),
            };
        }
        Ok(())
    }

    /// The record after a step; `None` when there is nothing left to remember.
    fn after(&self, step: &Step, outcome: &Outcome) -> Option<Record> {
        let known = self.records.get(&step.id).cloned();
        let gone = matches!(step.action, Action::Disable | Action::Forget)
            && matches!(outcome, Outcome::Done(_));
        if gone {
            return None;
        }
        let spec = step.action.spec();
        let new = || {
            spec.map(|spec| Record::new(step.id, step.name.clone(), spec.notify_url.fingerprint()))
        };
        let mut record = known.or_else(new)?;
        record.last = Some(LastStep { at: self.now, step: step.title(), outcome: words(outcome) });
        if let Some(spec) = spec {
            record.name = spec.name.clone();
        }
        match outcome {
            Outcome::Done(expiry) => self.accepted(&mut record, step, *expiry),
            Outcome::Refused(refused) => self.refused(&mut record, step, refused),
            Outcome::Unsure(_) | Outcome::Deferred(_) => {}
        }
        Some(record)
    }

    fn accepted(&self, record: &mut Record, step: &Step, expiry: Option<Timestamp>) {
        let is_whole = step.action.ask().is_none_or(|ask| ask.only.is_none());
        if is_whole {
            record.refusal = None;
        }
        self.answered(record);
        if let (Some(ask), Some(expiry)) = (step.action.ask(), expiry) {
            record.notify_url = ask.spec.notify_url.fingerprint();
            let grant = Grant { at: self.zoho_now, asked: ask.expiry, expiry };
            record.grant = Some(grant.following(record.grant));
        }
        self.count_repair(record, step);
    }

    fn refused(&self, record: &mut Record, step: &Step, refused: &Refused) {
        let spec = step.action.spec().map_or(Fingerprint(0), |spec| spec.fingerprint());
        let earlier = record.refusal.as_ref().filter(|earlier| earlier.spec == spec);
        let earlier = earlier.filter(|earlier| !self.is_disproved(record, earlier));
        let attempts = earlier.map_or(0, |earlier| earlier.attempts).saturating_add(1);
        let earlier = earlier.map(|earlier| earlier.events.clone()).unwrap_or_default();
        let events = self.left_out(step, refused, &earlier, attempts);
        let Refused { code, message, json_path } = refused.clone();
        self.answered(record);
        self.learn_life(record, step, refused);
        record.refusal =
            Some(Refusal { code, message, json_path, spec, attempts, at: self.now, events });
        self.count_repair(record, step);
    }

    /// Returns whether Zoho did what it was said to refuse, with a code that no source lists: the
    /// channel lives for longer than any accepted write gave it.
    fn is_disproved(&self, record: &Record, refusal: &Refusal) -> bool {
        let given = record.grant.map(|grant| grant.expiry);
        let seen = self.seen(record.id).and_then(|seen| seen.expiry);
        !is_documented(&refusal.code) && seen.is_some() && seen > given
    }

    /// The channel as the look found it.
    fn seen(&self, id: ChannelId) -> Option<&Observed> {
        match &self.predicted {
            Look::Seen { channels, .. } => channels.get(&id),
            Look::Unknown(_) => None,
        }
    }

    /// Remembers a life that was refused. The shortest one counts.
    fn learn_life(&self, record: &mut Record, step: &Step, refused: &Refused) {
        let Some(ask) = step.action.ask().filter(|ask| !ask.is_unsaid) else { return };
        let Refused { code, message, json_path } = refused;
        if !names_expiry(message, json_path.as_deref()) {
            return;
        }
        let (lifetime, lifetime_max) = (ask.spec.lifetime, self.lifetime_max);
        let known = record.life_refused.as_ref();
        let known = known.filter(|known| known.holds(lifetime, lifetime_max, self.now));
        let asked = span(self.zoho_now, ask.expiry);
        let asked = known.map_or(asked, |known| known.asked.min(asked));
        let said = format!("{code}: {message}");
        record.life_refused =
            Some(LifeRefused { asked, said, lifetime, lifetime_max, at: self.now });
    }

    /// The events that the next write of a refused channel leaves out.
    fn left_out(&self, step: &Step, refused: &Refused, earlier: &Events, attempts: u32) -> Events {
        let Some(ask) = step.action.ask() else { return Events::default() };
        let (seen, none) = (self.seen(step.id), Events::default());
        let write = RefusedWrite {
            spec: &ask.spec,
            written: ask.events(),
            seen: seen.map_or(&none, |seen| &seen.events),
            earlier,
            attempts,
            code: &refused.code,
            message: &refused.message,
            json_path: refused.json_path.as_deref(),
        };
        write.left_out()
    }

    /// Marks the wish for this channel as answered, as far as the plan knew it.
    fn answered(&self, record: &mut Record) {
        record.renewal_answered = self.wishes.renewal(record).or(record.renewal_answered);
    }

    /// Counts passes that were meant to mend the same drift, so that it can be seen to come back.
    fn count_repair(&self, record: &mut Record, step: &Step) {
        let (Reason::Drift(drifts), Some(spec)) = (&step.reason, step.action.spec()) else {
            return;
        };
        let drift = drift::fingerprint(spec, drifts);
        let earlier = record.repairs.filter(|earlier| earlier.drift == drift);
        let earlier = earlier.filter(|earlier| backoff::is_remembered(earlier, self.now));
        // One repair adds the missing events first and removes the extra ones in the next pass.
        let goes_on = matches!(step.action, Action::RemoveEvents(..))
            && earlier.is_some_and(|earlier| span(earlier.at, self.now) < ONE_REPAIR);
        if goes_on || earlier.is_some_and(|earlier| earlier.at == self.now) {
            return;
        }
        let writes = earlier.map_or(0, |earlier| earlier.writes).saturating_add(1);
        record.repairs = Some(Repairs { drift, writes, at: self.now });
    }

    /// Returns whether a POST was sent to mend what differs.
    fn repairs_by_post(&self, step: &Step) -> bool {
        let refusal = self.records.get(&step.id).and_then(|record| record.refusal.as_ref());
        matches!(step.reason, Reason::Drift(_))
            || self.lacks_patch
            || refusal.is_some_and(|refusal| refusal.code == SCOPE_MISMATCH)
    }

    /// Changes the predicted look by the outcome of one step.
    fn predict(&mut self, step: &Step, outcome: &Outcome) {
        let Outcome::Done(expiry) = outcome else { return };
        let repairs_by_post = self.repairs_by_post(step);
        let Look::Seen { channels, .. } = &mut self.predicted else { return };
        match &step.action {
            Action::TakeOver(_) | Action::Forget => {}
            // A repair counts as done until the next look, by POST as by PUT.
            Action::Enable(ask) if repairs_by_post => {
                channels.insert(step.id, written(ask, *expiry));
            }
            Action::Enable(ask) => predict_enabled(channels, ask, *expiry, self.zoho_now),
            Action::Update(ask) => {
                // PATCH replaces the events or adds to them: nobody says. The next look tells.
                let before = channels.get(&step.id).map(|seen| seen.events.clone());
                let written = written(ask, *expiry);
                let events =
                    before.map_or_else(|| ask.events().clone(), |before| before.plus(ask.events()));
                channels.insert(step.id, Observed { events, ..written });
            }
            Action::Replace(ask) => {
                channels.insert(step.id, written(ask, *expiry));
            }
            Action::RemoveEvents(_, events) => {
                if let Some(observed) = channels.get_mut(&step.id) {
                    observed.events = observed.events.minus(events);
                }
            }
            Action::Disable => {
                channels.remove(&step.id);
            }
        }
    }
}

/// No source says if POST of a live id replaces the channel or merges with it. After a renewal the
/// prediction keeps the channel as it was seen until the next look, and only its life is new.
fn predict_enabled(
    channels: &mut BTreeMap<ChannelId, Observed>,
    ask: &Ask,
    expiry: Option<Timestamp>,
    zoho_now: Timestamp,
) {
    match channels.get_mut(&ask.spec.id) {
        Some(observed) if observed.expiry.is_none_or(|seen| seen > zoho_now) => {
            observed.expiry = expiry
        }
        Some(_) | None => {
            channels.insert(ask.spec.id, written(ask, expiry));
        }
    }
}

/// A channel as it was written.
fn written(ask: &Ask, expiry: Option<Timestamp>) -> Observed {
    Observed { events: ask.events().clone(), ..Observed::as_declared(&ask.spec, expiry) }
}

/// A removal of events so soon after a repair of the same drift is a part of it.
const ONE_REPAIR: Duration = Duration::from_secs(5 * 60);

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(Some(expiry)) => format!("done, granted until {expiry}"),
        Outcome::Done(None) => "done".to_owned(),
        Outcome::Refused(refused) => {
            let Refused { code, message, json_path } = refused;
            format!("refused with {}", refused_words(code, json_path.as_deref(), message))
        }
        Outcome::Unsure(why) => format!("unsure: {why}"),
        Outcome::Deferred(why) => format!("deferred: {why}"),
    }
}
