//! The decision for one channel: [`row`] names the row of the table, and [`act`] does what its last
//! column says.
//!
#![doc = include_str!("decision_table.md")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::channel::{ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::observed::{Look, Observed};
use crate::model::oddity::Oddity;
use crate::model::policy::{Mode, Removed};
use crate::model::record::{Record, Refusal};
use crate::model::time::{Timestamp, after, earliest, is_same_second, span, whole_seconds};
use crate::model::version::FALLBACK_LIFETIME;

use super::backoff;
use super::drift::{self, Drift};
use super::facts::Facts;
use super::limits_learned::{self, LIFETIME_GUARD};
use super::renewal::{Age, Life, Phase};
use super::repair::repair_action;
use super::step::{Action, Ask, Cause, Held, Reason, Step};
use crate::model::codes::{NOT_SUBSCRIBED, SCOPE_MISMATCH, is_taken, may_be_of_one_channel};
use crate::model::events::Events;
use crate::model::learned::{Scope, Unscoped};
use crate::model::life_refused::{LifeAsked, LifeRefused, names_expiry};

/// The decision for one channel, before the account as a whole is looked at.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) id: ChannelId,
    /// The row of the table above that it was made by.
    pub(super) row: Row,
    pub(super) verdict: Bucket,
    /// Its life as far as it is known.
    pub(super) life: Option<Life>,
    /// The next instant at which its decision may change by itself, by the local clock.
    pub(super) again: Option<Timestamp>,
}

/// The bucket a channel falls into.
#[derive(Debug)]
pub(super) enum Bucket {
    Keep,
    /// Steps to take, and perhaps a further one that is held.
    Act(Vec<Step>, Option<Held>),
    Hold(Held),
    Foreign,
    /// Unknown id: not declared, not recorded, not seen.
    Nothing,
}

/// A row of the table above, in its order; the last one stands for what is in no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Rejected,
    Missing,
    Differs,
    Fresh,
    Due,
    NotSubscribed,
    Asked,
    ShortGrant,
    Found,
    Conflict,
    UnseenEmergency,
    Unseen,
    UnseenNew,
    Retired,
    Gone,
    UnseenRetired,
    Foreign,
    Nothing,
}

impl Row {
    /// Its cells: spec, ours, observed, then. `None` for what is in no row, because there is
    /// nothing to decide.
    pub(super) fn cells(self) -> Option<[&'static str; 4]> {
        let line = table().nth(self as usize)?;
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        Some([cells.next()?, cells.next()?, cells.next()?, cells.next()?])
    }
}

/// The lines of the table, its head aside.
fn table() -> impl Iterator<Item = &'static str> {
    include_str!("decision_table.md").lines().filter(|line| line.starts_with('|')).skip(2)
}

/// The decisions for everything that is declared, recorded or seen.
pub(super) fn decide_all(facts: &Facts<'_>) -> Vec<Decision> {
    every_id(facts).into_iter().map(|id| decide(facts, id)).collect()
}

/// The decision for one channel.
pub(super) fn decide(facts: &Facts<'_>, id: ChannelId) -> Decision {
    let case = Case::of(facts, id);
    act(row(&case), &case)
}

/// The row of the table that a channel is in.
fn row(case: &Case<'_>) -> Row {
    let (is_declared, differs) = (case.spec.is_some(), !case.drift.is_empty());
    match (is_declared, case.is_ours, &case.sight, case.renewal) {
        (true, _, _, _) if case.refused.is_some() => Row::Rejected,
        (true, _, ChannelSight::Absent, _) => Row::Missing,
        (true, true, ChannelSight::Seen(_), _) if differs => Row::Differs,
        (true, true, ChannelSight::Seen(_), None) => Row::Fresh,
        (true, true, ChannelSight::Seen(_), Some(RenewalCause::Emergency | RenewalCause::Due)) => {
            Row::Due
        }
        (true, true, ChannelSight::Seen(_), Some(RenewalCause::NotSubscribed)) => {
            Row::NotSubscribed
        }
        (true, true, ChannelSight::Seen(_), Some(RenewalCause::Asked)) => Row::Asked,
        (true, true, ChannelSight::Seen(_), Some(RenewalCause::ShortGrant)) => Row::ShortGrant,
        (true, false, ChannelSight::Seen(_), _) if case.is_to_be_ours() => Row::Found,
        (true, false, ChannelSight::Seen(_), _) => Row::Conflict,
        (true, true, ChannelSight::Unknown(_), _) if case.age == Age::Emergency => {
            Row::UnseenEmergency
        }
        (true, true, ChannelSight::Unknown(_), _) => Row::Unseen,
        (true, false, ChannelSight::Unknown(_), _) => Row::UnseenNew,
        (false, true, ChannelSight::Seen(_), _) => Row::Retired,
        (false, true, ChannelSight::Absent, _) => Row::Gone,
        (false, true, ChannelSight::Unknown(_), _) => Row::UnseenRetired,
        (false, false, ChannelSight::Seen(_), _) => Row::Foreign,
        (false, false, ChannelSight::Absent | ChannelSight::Unknown(_), _) => Row::Nothing,
    }
}

/// The last column of the table.
fn act(row: Row, case: &Case<'_>) -> Decision {
    let (verdict, again) = match row {
        Row::Rejected => case.hold_refused(),
        Row::Missing => case.give_life(Reason::Missing),
        Row::Fresh => (Bucket::Keep, case.edge),
        Row::Differs | Row::Due | Row::NotSubscribed | Row::Asked | Row::ShortGrant => case.mend(),
        Row::Found => case.take_over(),
        Row::Conflict => (case.conflict(), None),
        Row::UnseenEmergency => case.give_life(Reason::EmergencyBlind),
        Row::Unseen | Row::UnseenNew | Row::UnseenRetired => (case.unknown(), case.edge),
        Row::Retired => case.retire(),
        Row::Gone => (case.forget(), None),
        Row::Foreign => (Bucket::Foreign, None),
        Row::Nothing => (Bucket::Nothing, None),
    };
    let (verdict, again) = case.with_partly(verdict, again);
    let verdict = case.with_opaque(verdict);
    Decision { id: case.id, row, verdict, life: case.life, again }
}

/// One channel with everything its row depends on.
struct Case<'a> {
    facts: &'a Facts<'a>,
    phase: Phase,
    zoho_now: Timestamp,
    id: ChannelId,
    spec: Option<&'a Arc<Spec>>,
    record: Option<&'a Record>,
    sight: ChannelSight<'a>,
    is_ours: bool,
    /// The life of a declared channel of ours that is not absent.
    life: Option<Life>,
    age: Age,
    /// When its age changes next, by the local clock.
    edge: Option<Timestamp>,
    /// The reason why it needs a new life.
    renewal: Option<RenewalCause>,
    drift: Vec<Drift>,
    /// The hold of what would be written, when Zoho refused it.
    refused: Option<Held>,
    /// How it goes on while Zoho refuses some of its events.
    partly: Option<Partly>,
}

/// The part of a channel that is written while Zoho refuses some of its events.
struct Partly {
    events: Events,
    held: Held,
}

/// One channel at Zoho, as far as it is known.
#[derive(Clone, Copy)]
enum ChannelSight<'a> {
    Seen(&'a Observed),
    Absent,
    Unknown(&'a str),
}

/// The reason why a channel that Zoho has needs a new life; the first that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RenewalCause {
    Emergency,
    NotSubscribed,
    Due,
    Asked,
    ShortGrant,
}

impl RenewalCause {
    const fn reason(self) -> Reason {
        match self {
            RenewalCause::Emergency => Reason::Emergency,
            RenewalCause::NotSubscribed => Reason::NotSubscribed,
            RenewalCause::Due => Reason::Renew,
            RenewalCause::Asked => Reason::Asked,
            RenewalCause::ShortGrant => Reason::ShortGrant,
        }
    }
}

impl<'a> Case<'a> {
    fn of(facts: &'a Facts<'a>, id: ChannelId) -> Case<'a> {
        let mut case = Case::bare(facts, id);
        case.is_ours = match (case.record, case.sight) {
            (Some(record), ChannelSight::Seen(observed)) => {
                is_ours(record, observed) && (case.spec.is_some() || is_as_left(record, observed))
            }
            (record, ChannelSight::Absent | ChannelSight::Unknown(_)) => record.is_some(),
            (None, ChannelSight::Seen(_)) => false,
        };
        case.judged()
    }

    /// The same channel, once it is taken over: no record says anything of it yet.
    fn as_ours(&self) -> Case<'a> {
        Case { record: None, is_ours: true, ..Case::bare(self.facts, self.id) }.judged()
    }

    fn bare(facts: &'a Facts<'a>, id: ChannelId) -> Case<'a> {
        let zoho_now = facts.state.zoho_time(facts.now);
        Case {
            facts,
            phase: Phase::of(facts.account),
            zoho_now,
            id,
            spec: facts.specs.get(&id),
            record: facts.records.get(&id),
            sight: sight(facts.look, id, zoho_now),
            is_ours: false,
            life: None,
            age: Age::Fresh,
            edge: None,
            renewal: None,
            drift: Vec::new(),
            refused: None,
            partly: None,
        }
    }

    /// The case with all that follows from its spec, its record and its sight.
    fn judged(mut self) -> Case<'a> {
        let Some(spec) = self.spec else { return self };
        let grant = self.record.and_then(|record| record.grant);
        match self.sight {
            ChannelSight::Seen(_) if !self.is_ours => return self,
            ChannelSight::Seen(observed) => {
                self.life = Life::of(spec, grant, observed.expiry);
                self.age = self.life.map_or(Age::Due, |life| self.age_of(spec, life));
                self.partly = self.partly(spec, &observed.events);
                self.drift = self.drift(spec, observed);
                self.renewal = self.renewal(spec, observed);
            }
            ChannelSight::Unknown(_) => {
                self.life = Life::of(spec, grant, None);
                self.age = self.life.map_or(Age::Fresh, |life| self.age_of(spec, life));
                self.partly = self.partly(spec, &Events::default());
            }
            ChannelSight::Absent => self.partly = self.partly(spec, &Events::default()),
        }
        self.edge = self.edge(spec);
        self.refused = self.refused(spec);
        self
    }

    fn age_of(&self, spec: &Spec, life: Life) -> Age {
        life.age(spec.renew_before, self.phase, self.zoho_now)
    }

    fn edge(&self, spec: &Spec) -> Option<Timestamp> {
        let life = self.life?;
        let edge = match self.sight {
            ChannelSight::Seen(_) => {
                life.next_edge(spec.renew_before, self.phase, self.zoho_now)?
            }
            // Blind, nothing is done before the emergency.
            ChannelSight::Unknown(_) if self.age < Age::Emergency => life.emergency_at(),
            ChannelSight::Unknown(_) | ChannelSight::Absent => return None,
        };
        Some(self.facts.state.local_time(edge))
    }

    fn renewal(&self, spec: &Arc<Spec>, observed: &Observed) -> Option<RenewalCause> {
        match self.age {
            Age::Emergency => Some(RenewalCause::Emergency),
            Age::Due | Age::Fresh if self.is_not_subscribed() => Some(RenewalCause::NotSubscribed),
            Age::Due => Some(RenewalCause::Due),
            Age::Fresh if self.is_asked() => Some(RenewalCause::Asked),
            Age::Fresh => self.can_do_better(spec, observed).then_some(RenewalCause::ShortGrant),
        }
    }

    /// Returns whether a write would be made, but for a refusal.
    fn would_write(&self) -> bool {
        match self.sight {
            ChannelSight::Absent => true,
            ChannelSight::Seen(_) => self.renewal.is_some() || !self.drift.is_empty(),
            ChannelSight::Unknown(_) => self.age == Age::Emergency,
        }
    }

    /// The hold of a spec that Zoho refused, while its wait lasts. The first NOT_SUBSCRIBED holds
    /// nothing: its answer is POST. When POST is told the same, waiting is. Likewise the first time
    /// that the token has no scope for PATCH, and the first
    /// time that POST of a live channel of ours is refused because it is live: its answer is
    /// PUT. The answer to a refused expiry is a shorter one. An operator who asks for a renewal
    /// does not wait.
    fn refused(&self, spec: &Spec) -> Option<Held> {
        let refusal = self.unasked_refusal().filter(|_| self.partly.is_none())?;
        let not_subscribed = refusal.code == NOT_SUBSCRIBED;
        let urgent = self.is_urgent() || not_subscribed;
        let answered_by_put = is_taken(&refusal.code) && self.is_alive();
        let answered_by_post = refusal.code == SCOPE_MISMATCH;
        let answered =
            (not_subscribed || answered_by_put || answered_by_post) && refusal.attempts <= 1;
        let answered = answered || self.is_answered_by_a_shorter_life(spec, refusal);
        let holds =
            !answered && refusal.spec == spec.fingerprint() && self.still_refused(refusal, urgent);
        (holds && self.would_write()).then(|| self.rejected(Some(spec), refusal, urgent))
    }

    /// Returns whether the next write asks for less than was refused. A refusal that came of a
    /// write without an expiry taught nothing.
    fn is_answered_by_a_shorter_life(&self, spec: &Spec, refusal: &Refusal) -> bool {
        names_expiry(&refusal.message, refusal.json_path.as_deref())
            && self.life_refused(spec).is_some_and(|refused| refused.at == refusal.at)
    }

    /// The life that Zoho refused, while that counts.
    fn life_refused(&self, spec: &Spec) -> Option<&LifeRefused> {
        let refused = self.record?.life_refused.as_ref()?;
        let Facts { policy, now, .. } = self.facts;
        refused.holds(spec.lifetime, policy.lifetime_max, *now).then_some(refused)
    }

    /// The refusal, unless an operator asked for a renewal since.
    fn unasked_refusal(&self) -> Option<&Refusal> {
        self.record.filter(|_| !self.is_asked())?.refusal.as_ref()
    }

    fn is_urgent(&self) -> bool {
        matches!(self.sight, ChannelSight::Absent) || self.age == Age::Emergency
    }

    /// The events that are written while the refusal of some lasts: the declared events without the
    /// refused ones, and the events that the channel already has. A refused write never removes an
    /// event. While everything is refused for want of a permission, no event is to blame.
    fn partly(&self, spec: &Spec, seen: &Events) -> Option<Partly> {
        let refusal = self.unasked_refusal().filter(|refusal| !refusal.events.is_empty())?;
        let urgent = self.is_urgent();
        let of_account =
            may_be_of_one_channel(&refusal.code) && self.facts.state.learned.forbidden.is_some();
        let holds = refusal.spec == spec.fingerprint() && self.still_refused(refusal, urgent);
        if of_account || !holds {
            return None;
        }
        let Refusal { code, message, .. } = refusal.clone();
        let events = refusal.events.clone();
        let declared = spec.declared.events(&events);
        let cause = Cause::PartlyRefused { events, code, message, declared };
        let until = backoff::after_refusal(refusal, urgent, self.facts.now);
        let events = spec.events.minus(&refusal.events).plus(&seen.minus(&spec.events));
        Some(Partly { events, held: self.held(cause, Some(until)) })
    }

    /// The fields that differ from those to be written.
    fn drift(&self, spec: &Spec, observed: &Observed) -> Vec<Drift> {
        match &self.partly {
            Some(Partly { events, .. }) => {
                let events = events.clone();
                let seen = observed.events.minus(&spec.events.minus(&events));
                let observed = Observed { events: seen, ..observed.clone() };
                drift::drift(&Spec { events, ..spec.clone() }, &observed)
            }
            None => drift::drift(spec, observed),
        }
    }

    fn still_refused(&self, refusal: &Refusal, urgent: bool) -> bool {
        backoff::after_refusal(refusal, urgent, self.facts.now) > self.facts.now
    }

    fn rejected(&self, spec: Option<&Spec>, refusal: &Refusal, urgent: bool) -> Held {
        let Refusal { code, message, json_path, .. } = refusal.clone();
        let name = spec.map_or_else(|| self.name(), |spec| spec.name.clone());
        let declared = spec.and_then(|spec| spec.declared.named_in(&message));
        let cause = Cause::Rejected { code, message, json_path, declared };
        let until = Some(backoff::after_refusal(refusal, urgent, self.facts.now));
        Held { id: self.id, name, cause, until }
    }

    /// It is the channel that Zoho does not know, so a change of the spec changes nothing about it.
    fn is_not_subscribed(&self) -> bool {
        self.refusal_code() == Some(NOT_SUBSCRIBED)
    }

    fn refusal_code(&self) -> Option<&str> {
        self.record?.refusal.as_ref().map(|refusal| refusal.code.as_str())
    }

    /// True while a life granted to us is not over: then the channel is ours, whatever the list
    /// says.
    fn is_alive(&self) -> bool {
        let grant = self.record.and_then(|record| record.grant);
        grant.is_some_and(|grant| grant.expiry > self.zoho_now)
    }

    /// Returns whether a renewal was asked for that it has not had.
    fn is_asked(&self) -> bool {
        self.record.is_some_and(|record| self.facts.wishes.renewal(record).is_some())
    }

    /// Returns whether it delivers where it is declared to, or where it did when it was adopted.
    fn is_to_be_ours(&self) -> bool {
        let (Some(spec), ChannelSight::Seen(observed)) = (self.spec, self.sight) else {
            return false;
        };
        let adopted = self.facts.wishes.adoptions.get(&self.id).copied();
        let is_left_alone = observed.odd.iter().any(|odd| odd.is_left_alone());
        observed.notify_urls.iter().any(|url| {
            (spec.notify_url.claims(url) && !is_left_alone) || adopted == Some(url.fingerprint())
        })
    }

    /// Returns whether Zoho gave it far less than it would get if it was asked for now.
    fn can_do_better(&self, spec: &Arc<Spec>, observed: &Observed) -> bool {
        let grant = self.record.and_then(|record| record.grant);
        let grant = grant
            .filter(|grant| observed.expiry.is_none_or(|seen| is_same_second(seen, grant.expiry)));
        let asks = span(self.zoho_now, self.ask(spec).expiry);
        grant.is_some_and(|grant| {
            limits_learned::can_do_better(grant, asks, &self.facts.state.learned, self.facts.now)
        })
    }

    /// When the channel ends, as far as anybody said so.
    fn expiry(&self) -> Option<Timestamp> {
        match self.sight {
            ChannelSight::Seen(observed) => observed.expiry,
            ChannelSight::Absent | ChannelSight::Unknown(_) => {
                self.record?.grant.map(|grant| grant.expiry)
            }
        }
    }

    fn name(&self) -> ChannelName {
        let name = self.spec.map(|spec| &spec.name).or(self.record.map(|record| &record.name));
        name.cloned().unwrap_or_else(|| ChannelName::of_id(self.id))
    }

    fn step(&self, action: Action, reason: Reason) -> Step {
        Step { id: self.id, name: self.name(), action, reason, expiry: self.expiry() }
    }

    fn held(&self, cause: Cause, until: Option<Timestamp>) -> Held {
        Held { id: self.id, name: self.name(), cause, until }
    }
}

/// The action of each row.
impl Case<'_> {
    /// Adds the note that it goes on without some of its events.
    fn with_partly(
        &self,
        verdict: Bucket,
        again: Option<Timestamp>,
    ) -> (Bucket, Option<Timestamp>) {
        let Some(Partly { held, .. }) = &self.partly else { return (verdict, again) };
        let verdict = match verdict {
            Bucket::Keep => Bucket::Hold(held.clone()),
            Bucket::Act(steps, None) => Bucket::Act(steps, Some(held.clone())),
            said @ (Bucket::Act(_, Some(_))
            | Bucket::Hold(_)
            | Bucket::Foreign
            | Bucket::Nothing) => said,
        };
        (verdict, earliest([again, held.until]))
    }

    /// Adds the note that it is kept alive and not rewritten.
    fn with_opaque(&self, verdict: Bucket) -> Bucket {
        let Some(why) = self.opaque() else { return verdict };
        let held = self.held(Cause::Opaque { why: why.into() }, None);
        match verdict {
            Bucket::Keep => Bucket::Hold(held),
            Bucket::Act(steps, None) => Bucket::Act(steps, Some(held)),
            said @ (Bucket::Act(_, Some(_))
            | Bucket::Hold(_)
            | Bucket::Foreign
            | Bucket::Nothing) => said,
        }
    }

    fn hold_refused(&self) -> (Bucket, Option<Timestamp>) {
        let again = earliest([self.refused.as_ref().and_then(|held| held.until), self.edge]);
        (act_or_hold(Vec::new(), self.refused.clone()), again)
    }

    fn give_life(&self, reason: Reason) -> (Bucket, Option<Timestamp>) {
        let steps = self.spec.map(|spec| self.step(self.new_life(spec), reason));
        (Bucket::Act(steps.into_iter().collect(), None), None)
    }

    /// Renews a channel that is due, then repairs its drift.
    fn mend(&self) -> (Bucket, Option<Timestamp>) {
        let (Some(spec), ChannelSight::Seen(observed)) = (self.spec, self.sight) else {
            return (Bucket::Nothing, None);
        };
        let mut steps = Vec::new();
        if let Some(renewal) = self.renewal {
            let action = self.new_life(spec);
            let mends = self.mends(&action);
            steps.push(self.step(action, renewal.reason()));
            if mends {
                return (Bucket::Act(steps, None), self.edge);
            }
        }
        let (repairs, contested) = self.repair(spec, observed);
        steps.extend(repairs);
        let again = earliest([contested.as_ref().and_then(|held| held.until), self.edge]);
        (act_or_hold(steps, contested), again)
    }

    /// Returns whether a renewal writes what a repair would, by the method that the repair would go
    /// by: then no repair stands beside it.
    fn mends(&self, renewal: &Action) -> bool {
        match renewal {
            Action::Replace(_) | Action::Update(_) => true,
            Action::Enable(_) => self.repairs_by_post(),
            Action::TakeOver(_) | Action::RemoveEvents(..) | Action::Disable | Action::Forget => {
                false
            }
        }
    }

    /// Returns whether the token has no scope for PATCH.
    fn repairs_by_post(&self) -> bool {
        self.refusal_code() == Some(SCOPE_MISMATCH) || self.lacks(Scope::Update).is_some()
    }

    fn take_over(&self) -> (Bucket, Option<Timestamp>) {
        let Some(spec) = self.spec else { return (Bucket::Nothing, None) };
        let mut steps = vec![self.step(Action::TakeOver(spec.clone()), Reason::TakenOver)];
        let ours = self.as_ours();
        let Decision { verdict, again, .. } = act(row(&ours), &ours);
        let held = match verdict {
            Bucket::Act(more, held) => {
                steps.extend(more);
                held
            }
            Bucket::Hold(held) => Some(held),
            Bucket::Keep | Bucket::Foreign | Bucket::Nothing => None,
        };
        (Bucket::Act(steps, held), again)
    }

    fn conflict(&self) -> Bucket {
        let (urls, odd) = match self.sight {
            ChannelSight::Seen(observed) => (
                observed.notify_urls.iter().map(ToString::to_string).collect(),
                observed.odd.iter().find(|odd| odd.is_left_alone()),
            ),
            ChannelSight::Absent | ChannelSight::Unknown(_) => (Vec::new(), None),
        };
        let urls =
            if urls.is_empty() { "a URL that is not said".to_owned() } else { urls.join(" and ") };
        let seen = match odd {
            Some(odd) => format!("{urls} ({})", odd.why()),
            None => urls,
        };
        Bucket::Hold(self.held(Cause::Conflict { seen }, None))
    }

    fn unknown(&self) -> Bucket {
        let why = match self.sight {
            ChannelSight::Unknown(why) => why.to_owned(),
            ChannelSight::Seen(_) | ChannelSight::Absent => String::new(),
        };
        Bucket::Hold(self.held(Cause::Unknown(why), None))
    }

    fn retire(&self) -> (Bucket, Option<Timestamp>) {
        let refusal = self.record.and_then(|record| record.refusal.as_ref());
        let refusal = refusal.filter(|refusal| self.still_refused(refusal, false));
        let verdict = match (self.facts.policy.removed, refusal, self.lacks(Scope::Delete)) {
            (Removed::Expire, _, _) => Bucket::Hold(self.held(Cause::LeftToExpire, None)),
            (Removed::Disable, _, Some(unscoped)) => {
                let (code, message) = (SCOPE_MISMATCH.to_owned(), unscoped.said.clone());
                let cause = Cause::Rejected { code, message, json_path: None, declared: None };
                Bucket::Hold(self.held(cause, Some(unscoped.until())))
            }
            (Removed::Disable, Some(refusal), None) => {
                Bucket::Hold(self.rejected(None, refusal, false))
            }
            (Removed::Disable, None, None) => {
                Bucket::Act(vec![self.step(Action::Disable, Reason::Retired)], None)
            }
        };
        let end = self.expiry().map(|expiry| self.facts.state.local_time(expiry));
        (verdict, end.map(|end| after(end, AFTER_EXPIRY)))
    }

    fn forget(&self) -> Bucket {
        let step = Step { expiry: None, ..self.step(Action::Forget, Reason::Gone) };
        Bucket::Act(vec![step], None)
    }

    /// The scope, where the account's token is known to lack it.
    fn lacks(&self, scope: Scope) -> Option<&Unscoped> {
        self.facts.state.learned.lacks(scope, self.facts.now)
    }

    /// The steps that mend a drift, or the word that it is contested.
    fn repair(&self, spec: &Arc<Spec>, observed: &Observed) -> (Vec<Step>, Option<Held>) {
        if self.drift.is_empty() {
            return (Vec::new(), None);
        }
        let (writes, contested_until) = self.writes_so_far(spec);
        if let Some(until) = contested_until.filter(|until| *until > self.facts.now) {
            let cause = Cause::Contested { writes, drift: self.drift.clone() };
            return (Vec::new(), Some(self.held(cause, Some(until))));
        }
        let ask = self.ask(spec);
        let ask = Ask { expiry: self.kept_expiry(spec, observed).unwrap_or(ask.expiry), ..ask };
        let reason = Reason::Drift(self.drift.clone());
        if self.repairs_by_post() {
            return (vec![self.step(self.new_life(spec), reason)], None);
        }
        let action = repair_action(ask, observed, &self.drift, writes);
        // A PUT would take away what nobody here can say.
        if matches!(action, Action::Replace(_)) && self.opaque().is_some() {
            return (Vec::new(), None);
        }
        (vec![self.step(action, reason)], None)
    }

    /// How often this very drift was mended lately, and until when that makes it contested.
    fn writes_so_far(&self, spec: &Spec) -> (u32, Option<Timestamp>) {
        self.record
            .and_then(|record| record.repairs)
            .filter(|repairs| backoff::is_remembered(repairs, self.facts.now))
            .filter(|repairs| repairs.drift == drift::fingerprint(spec, &self.drift))
            .map_or((0, None), |repairs| (repairs.writes, backoff::after_repairs(&repairs)))
    }

    /// The expiry that a repair leaves as it is, so that the channel stays in step with its
    /// neighbours: only one that was granted to us, that is still worth having, and that may be
    /// asked for. A channel that is renewed as well is given a new one.
    fn kept_expiry(&self, spec: &Spec, observed: &Observed) -> Option<Timestamp> {
        if self.renewal.is_some() {
            return None;
        }
        let (grant, seen) = (self.record?.grant?, observed.expiry?);
        let worth_having = seen > after(self.zoho_now, KEPT_EXPIRY_MIN);
        (is_same_second(grant.expiry, seen) && worth_having && seen <= self.ends_at_most(spec))
            .then_some(seen)
    }

    /// The reason not to rewrite a declared channel of ours as a whole: it has something that no
    /// declaration can express, and nobody has adopted it as it is.
    fn opaque(&self) -> Option<&'static str> {
        let (Some(_), true, ChannelSight::Seen(observed)) = (self.spec, self.is_ours, self.sight)
        else {
            return None;
        };
        let adopted = self.facts.wishes.adoptions.get(&self.id).copied();
        let mut urls = observed.notify_urls.iter();
        let is_adopted = urls.any(|url| adopted == Some(url.fingerprint()));
        let odd = observed.odd.iter().find(|odd| **odd == Oddity::Fields);
        odd.filter(|_| !is_adopted).map(|odd| odd.why())
    }

    /// The write that gives a channel a new life: by PATCH where a part of it is not to be touched;
    /// POST; or PUT for a live one, where Zoho refuses
    /// to POST it.
    fn new_life(&self, spec: &Arc<Spec>) -> Action {
        let is_absent = matches!(self.sight, ChannelSight::Absent);
        let is_last_resort = self.age == Age::Emergency && self.refusal_code().is_some();
        if self.opaque().is_some() && !is_last_resort && self.refusal_code() != Some(NOT_SUBSCRIBED)
        {
            return Action::Update(self.ask(spec));
        }
        let puts = match self.refusal_code() {
            Some(NOT_SUBSCRIBED) => false,
            Some(code) if is_taken(code) => !is_absent || self.is_alive(),
            Some(_) | None => !is_absent && self.facts.state.learned.renews_by_put(self.facts.now),
        };
        // A POST without an expiry may leave the channel with the one that it has.
        let keeps_end = !is_absent && self.instead(spec) == Some(LifeAsked::None);
        if puts || keeps_end {
            Action::Replace(self.ask(spec))
        } else {
            Action::Enable(self.ask(spec))
        }
    }

    /// The whole life from now on.
    fn ask(&self, spec: &Arc<Spec>) -> Ask {
        let expiry = after(self.zoho_now, spec.lifetime).min(self.ends_at_most(spec));
        let is_unsaid = self.instead(spec) == Some(LifeAsked::None);
        let only = self.partly.as_ref().map(|partly| partly.events.clone());
        Ask { only, is_unsaid, ..Ask::new(spec.clone(), whole_seconds(expiry)) }
    }

    /// The latest expiry that may be asked for: one second more than Zoho's maximum is not an
    /// error, it silently gives one hour. Where it is an error, a life that was refused is not
    /// asked for again.
    fn ends_at_most(&self, spec: &Spec) -> Timestamp {
        let Facts { policy, state, now, .. } = self.facts;
        let lifetime_max = state.learned.lifetime_max(policy, *now);
        let lifetime_max = match self.instead(spec) {
            Some(LifeAsked::AtMost(life)) => lifetime_max.min(life),
            Some(LifeAsked::None) => lifetime_max.min(FALLBACK_LIFETIME),
            None => lifetime_max,
        };
        after(self.zoho_now, lifetime_max.saturating_sub(LIFETIME_GUARD))
    }

    /// The life to ask for in place of one that Zoho refused.
    fn instead(&self, spec: &Spec) -> Option<LifeAsked> {
        self.life_refused(spec).map(LifeRefused::instead)
    }
}

/// The step that renews a fresh channel along with others; none for a channel that may not be
/// written, or that Zoho refused before: it would spoil the batch of its neighbours.
pub(super) fn fill_step(facts: &Facts<'_>, id: ChannelId) -> Option<Step> {
    let case = Case::of(facts, id);
    let spec = case.spec?;
    let mode = facts.policy.mode.min(spec.mode);
    let refused = case.record.is_some_and(|record| record.refusal.is_some());
    let step = || Step {
        expiry: case.life.map(|life| life.expiry),
        ..case.step(case.new_life(spec), Reason::Together)
    };
    (mode > Mode::Observe && !refused).then(step)
}

/// How a channel was declared last that is declared no longer, if it may be renewed so.
pub(super) fn former<'a>(facts: &Facts<'a>, id: ChannelId) -> Option<&'a Arc<Spec>> {
    facts.former.get(&id).filter(|spec| spec.mode > Mode::Observe)
}

/// The renewal of a channel that is declared no longer, as it was declared last, if it is due; and
/// when that is decided again. `None` when nobody knows how it was declared.
pub(super) fn renewal_of_former(
    facts: &Facts<'_>,
    id: ChannelId,
) -> Option<(Option<Step>, Option<Timestamp>)> {
    let spec = former(facts, id)?;
    let case = Case { spec: Some(spec), is_ours: true, ..Case::bare(facts, id) }.judged();
    let is_due =
        |renewal: &RenewalCause| matches!(renewal, RenewalCause::Emergency | RenewalCause::Due);
    let renewal = case.renewal.filter(is_due).filter(|_| case.refused.is_none());
    let step = renewal.map(|renewal| case.step(case.new_life(spec), renewal.reason()));
    Some((step, case.edge))
}

fn sight<'a>(look: &'a Look, id: ChannelId, zoho_now: Timestamp) -> ChannelSight<'a> {
    match look {
        Look::Unknown(why) => ChannelSight::Unknown(why),
        Look::Seen { channels, .. } => match channels.get(&id) {
            Some(observed) if observed.expiry.is_none_or(|expiry| expiry > zoho_now) => {
                ChannelSight::Seen(observed)
            }
            Some(_) | None => ChannelSight::Absent,
        },
    }
}

fn is_ours(record: &Record, observed: &Observed) -> bool {
    record.grant.is_some()
        || observed.notify_urls.iter().any(|url| url.fingerprint() == record.notify_url)
}

/// True when a channel that is no longer declared still delivers where we last had it deliver.
/// Somebody else may have taken its id since, and no declaration says that we should take it back.
fn is_as_left(record: &Record, observed: &Observed) -> bool {
    let mut urls = observed.notify_urls.iter().map(NotifyUrl::fingerprint).peekable();
    urls.peek().is_none() || urls.any(|url| url == record.notify_url)
}

fn act_or_hold(steps: Vec<Step>, held: Option<Held>) -> Bucket {
    match (steps.is_empty(), held) {
        (true, Some(held)) => Bucket::Hold(held),
        (_, held) => Bucket::Act(steps, held),
    }
}

fn every_id(facts: &Facts<'_>) -> BTreeSet<ChannelId> {
    let seen = match facts.look {
        Look::Seen { channels, .. } => Some(channels.keys()),
        Look::Unknown(_) => None,
    };
    let known = facts.specs.keys().chain(facts.records.keys());
    known.chain(seen.into_iter().flatten()).copied().collect()
}

/// With less than this left, an expiry is not worth keeping.
const KEPT_EXPIRY_MIN: Duration = Duration::from_secs(5 * 60);
/// A look for a channel that is left to expire comes this long after its end.
const AFTER_EXPIRY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_row_and_no_other() {
        assert_eq!(table().count(), Row::Nothing as usize);
        assert_eq!(Row::Nothing.cells(), None);
        let observed = |row: Row| row.cells().unwrap()[2];
        assert_eq!(observed(Row::Rejected), "refused before, and declared the same since");
        assert_eq!(
            observed(Row::ShortGrant),
            "there as declared, with far less life than can be had"
        );
        assert_eq!(observed(Row::UnseenEmergency), "not known, and in its emergency");
        assert_eq!(Row::Foreign.cells().unwrap()[3], "never touch it, only list it as foreign");
    }
}
