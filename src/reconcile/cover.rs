//! Facts of a pass into the coverage ledgers.
//!
//! [`Ledgers`] holds an account's ledgers during a pass and names those to be written, with the
//! records of the same channels. The look's findings are written before anything is sent, a write
//! in doubt before it is sent, and its verdict when it came. A channel about which nothing changed
//! is not written, and one that a look and then a write changed is written once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::coverage::Ledger;
use crate::coverage::ledger::Sight;
use crate::coverage::track::UnsureWrites;
use crate::model::canary::Canaries;
use crate::model::channel::{AccountName, Ask, ChannelId, Spec};
use crate::model::observed::Look;
use crate::model::record::Record;
use crate::model::secret::Fingerprint;
use crate::model::time::{Times, Timestamp};
use crate::plan::step::Step;
use crate::store::ledger::outdated;
use crate::store::{Store, StoreError};

use super::outcome::Outcome;

/// An account's ledgers during a pass.
pub(crate) struct Ledgers<'a> {
    pub(super) store: &'a Store,
    pub(super) account: &'a AccountName,
    ledgers: BTreeMap<ChannelId, Ledger>,
    /// The doubt that each channel had before the write that is under way.
    before: BTreeMap<ChannelId, Option<UnsureWrites>>,
    /// The ledgers that differ from the store.
    unwritten: BTreeSet<ChannelId>,
}

/// The look of a pass, as the ledgers need it.
pub(crate) struct Sighting<'a> {
    /// The declared channels.
    pub specs: &'a BTreeMap<ChannelId, Arc<Spec>>,
    /// The records; a channel is ours when it has one.
    pub records: &'a BTreeMap<ChannelId, Record>,
    /// The result of the look.
    pub look: &'a Look,
    /// When it was made, in Zoho's time.
    pub times: Times,
    /// The last good look before it.
    pub looked_from: Option<Timestamp>,
    /// The fate of the account's canaries, by the URL they went to.
    pub canaries: &'a BTreeMap<Fingerprint, Canaries>,
}

impl<'a> Ledgers<'a> {
    /// Reads an account's ledgers.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) fn read(
        store: &'a Store,
        account: &'a AccountName,
    ) -> Result<Ledgers<'a>, StoreError> {
        Ok(Ledgers {
            store,
            account,
            ledgers: store.ledgers(account)?,
            before: BTreeMap::new(),
            unwritten: BTreeSet::new(),
        })
    }

    /// As they are now.
    pub(super) fn all(&self) -> &BTreeMap<ChannelId, Ledger> {
        &self.ledgers
    }

    /// Takes in what a look found and what is declared: the look is judged by what was declared
    /// until then.
    pub(super) fn look(&mut self, sighting: &Sighting<'_>) {
        let mut changed: Vec<ChannelId> = Vec::new();
        for ledger in self.ledgers.values_mut() {
            let seen = sighting.apply(ledger);
            let declared = sighting.declare(ledger);
            let heard = sighting.hear(ledger);
            if seen | declared | heard {
                changed.push(ledger.id);
            }
        }
        for (id, spec) in sighting.specs {
            if !self.ledgers.contains_key(id) {
                let mut ledger = Ledger::new(spec, sighting.times.received);
                sighting.apply(&mut ledger);
                sighting.hear(&mut ledger);
                self.ledgers.insert(*id, ledger);
                changed.push(*id);
            }
        }
        let closed = changed
            .iter()
            .any(|id| self.ledgers.get(id).is_some_and(|ledger| ledger.closed_at().is_some()));
        if closed {
            changed.extend(self.forget_outdated(sighting.times.received));
        }
        self.unwritten.extend(changed);
    }

    /// Drops what is closed for too long, or too much. Returns which.
    fn forget_outdated(&mut self, at: Timestamp) -> Vec<ChannelId> {
        let gone = outdated(&self.ledgers, at);
        gone.iter().for_each(|id| drop(self.ledgers.remove(id)));
        gone
    }

    /// These steps are about to be sent.
    pub(super) fn intend(&mut self, steps: &[Step], sent: Timestamp) {
        self.before.clear();
        for (step, ask) in steps.iter().filter_map(|step| Some((step, step.action.ask()?))) {
            if let Some(ledger) = self.ledgers.get_mut(&step.id) {
                self.before.insert(step.id, ledger.doubt);
                ledger.intend(sent, ask.expiry);
                self.unwritten.insert(step.id);
            }
        }
    }

    /// They were refused as a whole, and nothing came of them.
    pub(super) fn withdraw(&mut self, steps: &[Step]) {
        for step in steps {
            if self.restore(step.id) {
                self.unwritten.insert(step.id);
            }
        }
    }

    /// Takes in the outcomes of the steps.
    pub(super) fn outcomes(&mut self, steps: &[Step], outcomes: &[Outcome], times: Times) {
        for (step, outcome) in
            steps.iter().zip(outcomes).filter(|(step, _)| step.action.ask().is_some())
        {
            match outcome {
                Outcome::Unsure(_) => continue,
                Outcome::Refused(refused) if !DOCUMENTED.contains(&refused.code.as_str()) => {
                    continue;
                }
                Outcome::Refused(_) | Outcome::Deferred(_) | Outcome::Done(None) => {
                    self.restore(step.id);
                }
                Outcome::Done(Some(_)) => {}
            }
            let Some(ledger) = self.ledgers.get_mut(&step.id) else { continue };
            match outcome {
                Outcome::Done(Some(expiry)) => {
                    let left_out = step.action.ask().map(Ask::left_out).unwrap_or_default();
                    ledger.granted(times, *expiry, &left_out);
                }
                Outcome::Refused(_) => ledger.refused(),
                Outcome::Done(None) | Outcome::Deferred(_) | Outcome::Unsure(_) => {}
            }
            self.unwritten.insert(step.id);
        }
    }

    fn restore(&mut self, id: ChannelId) -> bool {
        let before = self.before.remove(&id);
        match (before, self.ledgers.get_mut(&id)) {
            (Some(before), Some(ledger)) => {
                ledger.doubt = before;
                true
            }
            (Some(_) | None, _) => false,
        }
    }

    /// Hands over the ledgers to be written; the caller has to write them.
    pub(super) fn take_unwritten(&mut self) -> Vec<(ChannelId, Option<&Ledger>)> {
        std::mem::take(&mut self.unwritten)
            .into_iter()
            .map(|id| (id, self.ledgers.get(&id)))
            .collect()
    }
}

/// Ends the ledgers of an account that is declared no longer, as of `now` of the local clock, and
/// forgets the outdated. There are no credentials for a last look: from the last one on, nobody
/// knows.
///
/// # Errors
/// When the store fails.
pub(crate) async fn retire(
    store: &Store,
    account: &AccountName,
    now: Timestamp,
) -> Result<(), StoreError> {
    let state = store.account_state(account)?;
    let (at, unseen_from) = (state.zoho_time(now), state.looked_from.or(Some(Timestamp::MIN)));
    let mut ledgers = Ledgers::read(store, account)?;
    let retired = ledgers
        .ledgers
        .values_mut()
        .filter_map(|ledger| ledger.retire(at, unseen_from).then_some(ledger.id));
    let mut changed: Vec<ChannelId> = retired.collect();
    changed.extend(ledgers.forget_outdated(at));
    ledgers.unwritten.extend(changed);
    store.write_ledgers(account, &ledgers.take_unwritten()).await
}

impl Sighting<'_> {
    /// The look, if it saw anything.
    fn apply(&self, ledger: &mut Ledger) -> bool {
        let Look::Seen { channels, .. } = self.look else { return false };
        let ours = self.records.contains_key(&ledger.id);
        let Sighting { times, looked_from, .. } = *self;
        ledger.look(&Sight { observed: channels.get(&ledger.id), ours, times, looked_from })
    }

    /// Takes in the canaries' news, even when Zoho could not be looked at.
    fn hear(&self, ledger: &mut Ledger) -> bool {
        ledger.hear(self.canaries.get(&ledger.notify_url), self.times.received)
    }

    /// Declares or retires the channel's events as of this look. When that changed anything, the
    /// ledger takes in the same look again.
    fn declare(&self, ledger: &mut Ledger) -> bool {
        let at = self.times.received;
        let unseen_from = match self.look {
            Look::Seen { .. } => None,
            Look::Unknown(_) => self.looked_from.or(Some(Timestamp::MIN)),
        };
        let changed = match self.specs.get(&ledger.id) {
            Some(spec) => ledger.declare(spec, at, unseen_from),
            None => ledger.retire(at, unseen_from),
        };
        if changed {
            self.apply(ledger);
        }
        changed
    }
}

/// Codes with which an item is certainly not applied. Any other code is a word nobody has
/// explained: the write stays in doubt until a look.
const DOCUMENTED: [&str; 12] = [
    "INVALID_DATA",
    "MANDATORY_NOT_FOUND",
    "NOT_SUBSCRIBED",
    "INVALID_MODULE",
    "NOT_SUPPORTED",
    "LIMIT_REACHED",
    "EXPECTED_FIELD_MISSING",
    "DEPENDENT_FIELD_MISSING",
    "EXPECTED_PARAM_MISSING",
    "AMBIGUITY_DURING_PROCESSING",
    "NO_PERMISSION",
    "HTTP_400",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::after;
    use crate::plan::step::{Action, Reason};
    use crate::zoho::testing::{account, ask, id, spec};
    use crate::zoho::wire::Refused;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: u32) -> Timestamp {
        after("2026-01-01T00:00:00Z".parse().unwrap(), HOUR * hours)
    }

    fn refused(code: &str) -> Outcome {
        let (code, message) = (code.to_owned(), String::new());
        Outcome::Refused(Refused { code, message, json_path: None })
    }

    /// A channel whose ledger has this doubt, and a renewal of it.
    async fn world(doubt: Option<UnsureWrites>) -> (Store, AccountName, Vec<Step>) {
        let (store, spec) = (Store::temporary().unwrap(), spec(1, &["Deals.all"]));
        let mut ledger = Ledger::new(&spec, at(0));
        ledger.doubt = doubt;
        store.write_ledgers(&account().name, &[(id(1), Some(&ledger))]).await.unwrap();
        let action = Action::Enable(ask(spec, at(1)));
        let name = "c1".parse().unwrap();
        let step = Step { id: id(1), name, action, reason: Reason::Renew, expiry: None };
        (store, account().name, vec![step])
    }

    #[tokio::test]
    async fn a_write_leaves_a_doubt_only_where_it_may_have_been_applied() {
        let earlier = UnsureWrites { since: at(0), first: at(5), last: at(5) };
        for before in [None, Some(earlier)] {
            let (store, account, steps) = world(before).await;
            let doubt_after = |outcome: Outcome| {
                let mut ledgers = Ledgers::read(&store, &account).unwrap();
                ledgers.intend(&steps, at(1));
                ledgers.outcomes(&steps, &[outcome], Times { sent: at(1), received: at(1) });
                ledgers.all()[&id(1)].doubt
            };
            assert_eq!(doubt_after(Outcome::Done(Some(at(25)))), None);
            for outcome in
                [Outcome::Done(None), Outcome::Deferred(String::new()), refused("INVALID_DATA")]
            {
                assert_eq!(doubt_after(outcome.clone()), before, "{outcome:?}");
            }
            for outcome in [Outcome::Unsure(String::new()), refused("SOMETHING_NEW")] {
                let since = before.map_or(at(1), |doubt| doubt.since);
                assert_eq!(doubt_after(outcome).map(|doubt| doubt.since), Some(since));
            }
            let mut ledgers = Ledgers::read(&store, &account).unwrap();
            ledgers.intend(&steps, at(1));
            ledgers.withdraw(&steps);
            assert_eq!(ledgers.all()[&id(1)].doubt, before);
        }
    }

    #[tokio::test]
    async fn what_is_declared_with_a_look_is_judged_by_that_look() {
        let (store, account, _) = world(None).await;
        let wider = spec(1, &["Deals.all", "Leads.create"]);
        let observed = crate::model::observed::Observed::as_declared(&wider, Some(at(24)));
        let channels = [(id(1), observed)].into();
        let look = Look::Seen { channels, at: at(1), beside: Default::default() };
        let specs = [(id(1), Arc::new(wider))].into();
        let records = [(id(1), Record::new(id(1), "c1".parse().unwrap(), Fingerprint(0)))].into();
        let mut ledgers = Ledgers::read(&store, &account).unwrap();
        ledgers.look(&Sighting {
            specs: &specs,
            records: &records,
            look: &look,
            times: Times { sent: at(1), received: at(1) },
            looked_from: Some(at(0)),
            canaries: &BTreeMap::new(),
        });
        let ledger = &ledgers.all()[&id(1)];
        let leads = ledger.tracks.iter().find(|track| track.module == "Leads").unwrap();
        assert_eq!(leads.open, None, "the same look shows it");
    }
}
