//! The decision table: what becomes of one channel.
//!
//! | spec | ours | observed | then |
//! | --- | --- | --- | --- |
//! | yes | any | Absent | Enable (Missing) |
//! | yes | yes | Seen, same, fresh | keep; look again at its renewal time |
//! | yes | yes | Seen, same, due | Enable (Renew, or Emergency); by PUT where Zoho refuses to POST a live channel |
//! | yes | yes | Seen, same, given far less life than can be had | Enable (ShortGrant) |
//! | yes | yes | Seen, same, a renewal was asked for | Enable (Asked) |
//! | yes | yes | Seen, and NOT_SUBSCRIBED when it was changed | Enable (NotSubscribed) |
//! | yes | yes | Seen, differs | repair: PATCH the whole channel, extra events by `_delete_events`, PUT for what PATCH cannot do; due as well: Enable first |
//! | yes | no | Seen, the spec's notify_url | take over, then as ours |
//! | yes | no | Seen, another notify_url | held: Conflict |
//! | yes | yes | Unknown, not yet in emergency | held: Unknown |
//! | yes | yes | Unknown, in emergency | Enable (EmergencyBlind) |
//! | yes | no | Unknown | held: Unknown |
//! | yes | any | refused before, same spec | held: Rejected, retried on a slow cadence or when the spec changes |
//! | no | yes | Seen | Disable (Retired), or left to expire, by policy |
//! | no | yes | Absent | Forget |
//! | no | yes | Unknown | held: Unknown |
//! | no | no | Seen | foreign: listed, never touched |
//!
//! *Ours* is what the store has a record of. A record without a grant (the first write was intended
//! and its reply never came) makes a channel ours only when it has the notify_url of that write:
//! until then the id may be somebody else's. The record stays for as long as that channel does.
//! An expired channel that Zoho still lists is Absent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::channel::{AccountName, ChannelId, ChannelName, Spec};
use crate::model::observed::{Look, Observed};
use crate::model::policy::{Mode, Policy, Removed};
use crate::model::record::{AccountState, Record, Refusal};
use crate::model::time::{Timestamp, after, is_same_second, span, whole_seconds};

use super::backoff;
use super::drift::{self, Drift};
use super::filter;
use super::limits_learned;
use super::renewal::{Age, Life, Phase};
use super::step::{Action, Ask, Cause, Held, Plan, Reason, Step};

/// Everything a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The account.
    pub account: &'a AccountName,
    /// Its rules.
    pub policy: &'a Policy,
    /// What is wanted.
    pub specs: &'a BTreeMap<ChannelId, Arc<Spec>>,
    /// What is remembered of channels.
    pub records: &'a BTreeMap<ChannelId, Record>,
    /// What is remembered of the account.
    pub state: &'a AccountState,
    /// What was seen.
    pub look: &'a Look,
    /// The local clock's time.
    pub now: Timestamp,
}

/// The plan for one account at one instant.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let table = Table::of(facts);
    let decisions = every_id(facts).into_iter().map(|id| table.decide(id)).collect();
    filter::settle(facts, decisions)
}

/// What becomes of one channel, before the account as a whole is looked at.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) id: ChannelId,
    /// The row of the table above that it was made by.
    pub(super) row: Row,
    pub(super) verdict: Verdict,
    /// Its life as far as it is known.
    pub(super) life: Option<Life>,
    /// The next instant at which its decision may change by itself, by the local clock.
    pub(super) again: Option<Timestamp>,
}

/// The bucket a channel falls into.
#[derive(Debug)]
pub(super) enum Verdict {
    Keep,
    /// Steps to take, and perhaps a further one that is held.
    Act(Vec<Step>, Option<Held>),
    Hold(Held),
    Foreign,
    /// No spec, no record, not seen: a record's id that is nobody's.
    Nothing,
}

/// A row of the table above, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Missing,
    Fresh,
    Due,
    ShortGrant,
    Asked,
    NotSubscribed,
    Differs,
    Found,
    Conflict,
    Unseen,
    UnseenEmergency,
    UnseenNew,
    Rejected,
    Retired,
    Gone,
    UnseenRetired,
    Foreign,
    Nothing,
}

impl Row {
    /// Its cells: spec, ours, observed, then. `None` for what is in no row, because there is
    /// nothing to decide.
    pub(super) const fn cells(self) -> Option<[&'static str; 4]> {
        Some(match self {
            Row::Missing => ["yes", "any", "Absent", "Enable (Missing)"],
            Row::Fresh => {
                ["yes", "yes", "Seen, same, fresh", "keep; look again at its renewal time"]
            }
            Row::Due => [
                "yes",
                "yes",
                "Seen, same, due",
                "Enable (Renew, or Emergency); by PUT where Zoho refuses to POST a live channel",
            ],
            Row::ShortGrant => [
                "yes",
                "yes",
                "Seen, same, given far less life than can be had",
                "Enable (ShortGrant)",
            ],
            Row::Asked => ["yes", "yes", "Seen, same, a renewal was asked for", "Enable (Asked)"],
            Row::NotSubscribed => [
                "yes",
                "yes",
                "Seen, and NOT_SUBSCRIBED when it was changed",
                "Enable (NotSubscribed)",
            ],
            Row::Differs => [
                "yes",
                "yes",
                "Seen, differs",
                "repair: PATCH the whole channel, extra events by `_delete_events`, PUT for what PATCH cannot do; due as \
                 well: Enable first",
            ],
            Row::Found => ["yes", "no", "Seen, the spec's notify_url", "take over, then as ours"],
            Row::Conflict => ["yes", "no", "Seen, another notify_url", "held: Conflict"],
            Row::Unseen => ["yes", "yes", "Unknown, not yet in emergency", "held: Unknown"],
            Row::UnseenEmergency => {
                ["yes", "yes", "Unknown, in emergency", "Enable (EmergencyBlind)"]
            }
            Row::UnseenNew => ["yes", "no", "Unknown", "held: Unknown"],
            Row::Rejected => [
                "yes",
                "any",
                "refused before, same spec",
                "held: Rejected, retried on a slow cadence or when the spec changes",
            ],
            Row::Retired => {
                ["no", "yes", "Seen", "Disable (Retired), or left to expire, by policy"]
            }
            Row::Gone => ["no", "yes", "Absent", "Forget"],
            Row::UnseenRetired => ["no", "yes", "Unknown", "held: Unknown"],
            Row::Foreign => ["no", "no", "Seen", "foreign: listed, never touched"],
            Row::Nothing => return None,
        })
    }
}

/// The decision for one channel, as [`plan`] takes it.
pub(super) fn decide(facts: &Facts<'_>, id: ChannelId) -> Decision {
    Table::of(facts).decide(id)
}

/// What is known of a channel at Zoho.
enum Sight<'a> {
    Seen(&'a Observed),
    Absent,
    Unknown(&'a str),
}

/// What a new life is given to.
#[derive(Clone, Copy)]
enum At {
    /// A channel of ours that Zoho has, as far as is known.
    Live,
    /// A channel that is not in Zoho's list.
    Absent,
}

struct Table<'a> {
    facts: &'a Facts<'a>,
    phase: Phase,
    zoho_now: Timestamp,
}

impl<'a> Table<'a> {
    fn of(facts: &'a Facts<'a>) -> Table<'a> {
        Table { facts, phase: Phase::of(facts.account), zoho_now: facts.state.zoho_time(facts.now) }
    }
}

impl Table<'_> {
    /// One channel: the table above.
    fn decide(&self, id: ChannelId) -> Decision {
        let spec = self.facts.specs.get(&id);
        let record = self.facts.records.get(&id);
        match (spec, record, self.seen(id)) {
            (None, Some(record), Sight::Seen(observed)) if is_ours(record, observed) => {
                self.retire(record, observed)
            }
            (None, Some(record), Sight::Unknown(why)) => {
                self.unknown(id, Row::UnseenRetired, &record.name, why)
            }
            (None, Some(record), Sight::Absent) => forget(record),
            (None, _, Sight::Seen(_)) => plain(id, Row::Foreign, Verdict::Foreign),
            (None, None, Sight::Absent | Sight::Unknown(_)) => {
                plain(id, Row::Nothing, Verdict::Nothing)
            }
            (Some(spec), record, Sight::Absent) => self.missing(spec, record),
            (Some(spec), Some(record), Sight::Seen(observed)) if is_ours(record, observed) => {
                self.ours(spec, Some(record), observed, Vec::new())
            }
            (Some(spec), _, Sight::Seen(observed)) => self.found(spec, observed),
            (Some(spec), Some(record), Sight::Unknown(why)) => self.blind(spec, record, why),
            (Some(spec), None, Sight::Unknown(why)) => {
                self.unknown(id, Row::UnseenNew, &spec.name, why)
            }
        }
    }

    fn seen(&self, id: ChannelId) -> Sight<'_> {
        match self.facts.look {
            Look::Unknown(why) => Sight::Unknown(why),
            Look::Seen { channels, at: _ } => match channels.get(&id) {
                Some(observed) if observed.expiry.is_none_or(|expiry| expiry > self.zoho_now) => {
                    Sight::Seen(observed)
                }
                Some(_) | None => Sight::Absent,
            },
        }
    }

    /// Declared, and Zoho does not have it.
    fn missing(&self, spec: &Arc<Spec>, record: Option<&Record>) -> Decision {
        if let Some(held) = self.refused(spec, record, true) {
            let again = held.until;
            return Decision {
                id: spec.id,
                row: Row::Rejected,
                verdict: Verdict::Hold(held),
                life: None,
                again,
            };
        }
        let expiry = record.and_then(|record| record.grant).map(|grant| grant.expiry);
        let step = step(spec, self.new_life(spec, record, At::Absent), Reason::Missing, expiry);
        Decision {
            id: spec.id,
            row: Row::Missing,
            verdict: Verdict::Act(vec![step], None),
            life: None,
            again: None,
        }
    }

    /// Declared and seen, but not known as ours.
    fn found(&self, spec: &Arc<Spec>, observed: &Observed) -> Decision {
        if observed.notify_urls.iter().any(|url| *url == spec.notify_url) {
            let step =
                step(spec, Action::TakeOver(spec.clone()), Reason::TakenOver, observed.expiry);
            let as_ours = self.ours(spec, None, observed, vec![step]);
            return Decision { row: Row::Found, ..as_ours };
        }
        let seen: Vec<String> = observed.notify_urls.iter().map(ToString::to_string).collect();
        let seen =
            if seen.is_empty() { "a URL that is not said".to_owned() } else { seen.join(" and ") };
        let held = held(spec, Cause::Conflict { seen }, None);
        Decision {
            id: spec.id,
            row: Row::Conflict,
            verdict: Verdict::Hold(held),
            life: None,
            again: None,
        }
    }

    /// Declared, seen and ours: renew what is due, repair what differs.
    fn ours(
        &self,
        spec: &Arc<Spec>,
        record: Option<&Record>,
        observed: &Observed,
        mut steps: Vec<Step>,
    ) -> Decision {
        let life = Life::of(spec, record.and_then(|record| record.grant), observed.expiry);
        let age =
            life.map_or(Age::Due, |life| life.age(spec.renew_before, self.phase, self.zoho_now));
        let not_subscribed = is_not_subscribed(record);
        let drift = drift::drift(spec, observed);
        let asked = record.is_some_and(|record| record.renewal_asked.is_some());
        let short = self.can_do_better(spec, record, observed);
        let wants_renewal = age > Age::Fresh || not_subscribed || asked || short;
        let edge =
            life.and_then(|life| life.next_edge(spec.renew_before, self.phase, self.zoho_now));
        let edge = edge.map(|edge| self.facts.state.local_time(edge));
        if !wants_renewal && drift.is_empty() {
            let verdict = if steps.is_empty() { Verdict::Keep } else { Verdict::Act(steps, None) };
            return Decision { id: spec.id, row: Row::Fresh, verdict, life, again: edge };
        }
        if let Some(refused) = self.refused(spec, record, age == Age::Emergency) {
            let again = earliest([refused.until, edge]);
            let verdict = act_or_hold(steps, Some(refused));
            return Decision { id: spec.id, row: Row::Rejected, verdict, life, again };
        }
        let mut row = Row::Differs;
        if wants_renewal {
            let (reason, renewal) = match age {
                Age::Emergency => (Reason::Emergency, Row::Due),
                Age::Due | Age::Fresh if not_subscribed => {
                    (Reason::NotSubscribed, Row::NotSubscribed)
                }
                Age::Due => (Reason::Renew, Row::Due),
                Age::Fresh if asked => (Reason::Asked, Row::Asked),
                Age::Fresh => (Reason::ShortGrant, Row::ShortGrant),
            };
            row = if drift.is_empty() { renewal } else { Row::Differs };
            let action = self.new_life(spec, record, At::Live);
            let mends_drift = matches!(action, Action::Replace(_));
            steps.push(step(spec, action, reason, observed.expiry));
            if mends_drift {
                return Decision {
                    id: spec.id,
                    row,
                    verdict: Verdict::Act(steps, None),
                    life,
                    again: edge,
                };
            }
        }
        let kept = if wants_renewal { None } else { self.kept_expiry(record, observed) };
        let (repairs, contested) = self.repair(spec, record, observed, drift, kept);
        steps.extend(repairs);
        let again = earliest([contested.as_ref().and_then(|held| held.until), edge]);
        Decision { id: spec.id, row, verdict: act_or_hold(steps, contested), life, again }
    }

    /// Whether Zoho gave it far less than it would get if it was asked for now.
    fn can_do_better(
        &self,
        spec: &Arc<Spec>,
        record: Option<&Record>,
        observed: &Observed,
    ) -> bool {
        let grant = record.and_then(|record| record.grant);
        let grant = grant
            .filter(|grant| observed.expiry.is_none_or(|seen| is_same_second(seen, grant.expiry)));
        let asks = span(self.zoho_now, self.ask(spec).expiry);
        grant.is_some_and(|grant| {
            limits_learned::can_do_better(grant, asks, &self.facts.state.learned, self.facts.now)
        })
    }

    /// The expiry that a repair leaves as it is, so that the channel stays in step with its
    /// neighbours: only one that was granted to us, that is still worth having, and that may be
    /// asked for.
    fn kept_expiry(&self, record: Option<&Record>, observed: &Observed) -> Option<Timestamp> {
        let (grant, seen) = (record?.grant?, observed.expiry?);
        let worth_having = seen > after(self.zoho_now, KEPT_EXPIRY_MIN);
        (is_same_second(grant.expiry, seen) && worth_having && seen <= self.ends_at_most())
            .then_some(seen)
    }

    /// The steps that mend a drift, or the word that it is contested.
    fn repair(
        &self,
        spec: &Arc<Spec>,
        record: Option<&Record>,
        observed: &Observed,
        drift: Vec<Drift>,
        kept: Option<Timestamp>,
    ) -> (Vec<Step>, Option<Held>) {
        if drift.is_empty() {
            return (Vec::new(), None);
        }
        let writes = self.writes_so_far(spec, record, &drift);
        if let Some(until) = writes.1.filter(|until| *until > self.facts.now) {
            let cause = Cause::Contested { writes: writes.0, drift };
            return (Vec::new(), Some(held(spec, cause, Some(until))));
        }
        let ask = kept.map_or_else(|| self.ask(spec), |expiry| Ask { spec: spec.clone(), expiry });
        let actions = repair_actions(ask, observed, &drift, writes.0);
        let reason = Reason::Drift(drift);
        let steps = actions
            .into_iter()
            .map(|action| step(spec, action, reason.clone(), observed.expiry))
            .collect();
        (steps, None)
    }

    /// How often this very drift was mended lately, and until when that makes it contested.
    fn writes_so_far(
        &self,
        spec: &Spec,
        record: Option<&Record>,
        drift: &[Drift],
    ) -> (u32, Option<Timestamp>) {
        record
            .and_then(|record| record.repairs)
            .filter(|repairs| backoff::is_remembered(repairs, self.facts.now))
            .filter(|repairs| repairs.drift == drift::fingerprint(spec, drift))
            .map_or((0, None), |repairs| (repairs.writes, backoff::after_repairs(&repairs)))
    }

    /// Declared and ours, and the look failed.
    fn blind(&self, spec: &Arc<Spec>, record: &Record, why: &str) -> Decision {
        let life = Life::of(spec, record.grant, None);
        match life {
            Some(known)
                if known.age(spec.renew_before, self.phase, self.zoho_now) == Age::Emergency =>
            {
                if let Some(refused) = self.refused(spec, Some(record), true) {
                    let again = refused.until;
                    return Decision {
                        id: spec.id,
                        row: Row::Rejected,
                        verdict: Verdict::Hold(refused),
                        life,
                        again,
                    };
                }
                let expiry = Some(known.expiry);
                let action = self.new_life(spec, Some(record), At::Live);
                let step = step(spec, action, Reason::EmergencyBlind, expiry);
                let verdict = Verdict::Act(vec![step], None);
                Decision { id: spec.id, row: Row::UnseenEmergency, verdict, life, again: None }
            }
            Some(_) | None => {
                let emergency = life.map(|life| self.facts.state.local_time(life.emergency_at()));
                Decision {
                    again: emergency,
                    life,
                    ..self.unknown(spec.id, Row::Unseen, &spec.name, why)
                }
            }
        }
    }

    fn unknown(&self, id: ChannelId, row: Row, name: &ChannelName, why: &str) -> Decision {
        let held =
            Held { id, name: name.clone(), cause: Cause::Unknown(why.to_owned()), until: None };
        plain(id, row, Verdict::Hold(held))
    }

    /// Not declared any more, seen and ours.
    fn retire(&self, record: &Record, observed: &Observed) -> Decision {
        let (id, name) = (record.id, record.name.clone());
        let refusal = record.refusal.as_ref().filter(|refusal| self.still_refused(refusal, false));
        let verdict = match (self.facts.policy.removed, refusal) {
            (Removed::Expire, _) => {
                Verdict::Hold(Held { id, name, cause: Cause::LeftToExpire, until: None })
            }
            (Removed::Disable, Some(refusal)) => {
                Verdict::Hold(self.rejected(id, name, refusal, false))
            }
            (Removed::Disable, None) => {
                let step = Step {
                    id,
                    name,
                    action: Action::Disable,
                    reason: Reason::Retired,
                    expiry: observed.expiry,
                };
                Verdict::Act(vec![step], None)
            }
        };
        let again =
            observed.expiry.map(|expiry| after(self.facts.state.local_time(expiry), AFTER_EXPIRY));
        Decision { id, row: Row::Retired, verdict, life: None, again }
    }

    /// The hold of a spec that Zoho refused, while its wait lasts. The first NOT_SUBSCRIBED holds
    /// nothing: its answer is POST. When POST is told the same, waiting is. Likewise the first
    /// time that POST of a live channel of ours is refused because it is live: its answer is
    /// PUT. An operator who asks for a renewal does not wait.
    fn refused(&self, spec: &Spec, record: Option<&Record>, urgent: bool) -> Option<Held> {
        let refusal = record?
            .refusal
            .as_ref()
            .filter(|_| record.is_some_and(|record| record.renewal_asked.is_none()))?;
        let not_subscribed = refusal.code == NOT_SUBSCRIBED;
        let urgent = urgent || not_subscribed;
        let answered_by_put = is_taken(&refusal.code) && self.is_alive(record);
        let answered = (not_subscribed || answered_by_put) && refusal.attempts <= 1;
        let holds =
            !answered && refusal.spec == spec.fingerprint() && self.still_refused(refusal, urgent);
        holds.then(|| self.rejected(spec.id, spec.name.clone(), refusal, urgent))
    }

    fn still_refused(&self, refusal: &Refusal, urgent: bool) -> bool {
        backoff::after_refusal(refusal, urgent, self.facts.now) > self.facts.now
    }

    fn rejected(&self, id: ChannelId, name: ChannelName, refusal: &Refusal, urgent: bool) -> Held {
        let Refusal { code, message, json_path, spec: _, attempts: _, at: _ } = refusal.clone();
        let until = Some(backoff::after_refusal(refusal, urgent, self.facts.now));
        Held { id, name, cause: Cause::Rejected { code, message, json_path }, until }
    }

    /// The write that gives a channel a new life: POST; or PUT for a live one, where Zoho refuses
    /// to POST it.
    fn new_life(&self, spec: &Arc<Spec>, record: Option<&Record>, at: At) -> Action {
        let code =
            record.and_then(|record| record.refusal.as_ref()).map(|refusal| refusal.code.as_str());
        let puts = match (code, at) {
            (Some(NOT_SUBSCRIBED), _) => false,
            (Some(code), At::Live) if is_taken(code) => true,
            (Some(code), At::Absent) if is_taken(code) => self.is_alive(record),
            (_, At::Absent) => false,
            (_, At::Live) => self.facts.state.learned.renews_by_put(self.facts.now),
        };
        if puts { Action::Replace(self.ask(spec)) } else { Action::Enable(self.ask(spec)) }
    }

    /// Whether a life that was granted to us is not over: then it is ours, whatever the list says.
    fn is_alive(&self, record: Option<&Record>) -> bool {
        record.and_then(|record| record.grant).is_some_and(|grant| grant.expiry > self.zoho_now)
    }

    /// The whole life from now on.
    fn ask(&self, spec: &Arc<Spec>) -> Ask {
        let expiry = after(self.zoho_now, spec.lifetime).min(self.ends_at_most());
        Ask { spec: spec.clone(), expiry: whole_seconds(expiry) }
    }

    /// The latest expiry that may be asked for: one second more than Zoho's maximum is not an
    /// error, it silently gives one hour.
    fn ends_at_most(&self) -> Timestamp {
        let Facts { policy, state, now, .. } = self.facts;
        after(
            self.zoho_now,
            state.learned.lifetime_max(policy, *now).saturating_sub(LIFETIME_GUARD),
        )
    }
}

/// The step that renews a fresh channel along with others; none for a channel that may not be
/// written, or that Zoho refused before: it would spoil the batch of its neighbours.
pub(super) fn fill_step(facts: &Facts<'_>, id: ChannelId, life: Option<Life>) -> Option<Step> {
    let spec = facts.specs.get(&id)?;
    let mode = facts.policy.mode.min(spec.mode);
    let table = Table::of(facts);
    let expiry = life.map(|life| life.expiry);
    let record = facts.records.get(&id);
    let refused = record.is_some_and(|record| record.refusal.is_some());
    let action = || table.new_life(spec, record, At::Live);
    (mode > Mode::Observe && !refused).then(|| step(spec, action(), Reason::Together, expiry))
}

/// Which writes mend a drift.
///
/// Extra events go first and by name, which is exact whether Zoho's PATCH replaces the events or
/// adds to them (the API notes have evidence for neither). Where no declared event is left in the
/// channel that would drop the channel itself, so the whole of it is replaced, as it is for what
/// PATCH cannot say or has twice not achieved.
fn repair_actions(ask: Ask, observed: &Observed, drift: &[Drift], writes: u32) -> Vec<Action> {
    let extra = drift.iter().find_map(|drift| match drift {
        Drift::Events { extra, missing: _ } => Some(extra.clone()),
        Drift::NotifyUrl { .. }
        | Drift::Token { .. }
        | Drift::NotifyOnRelatedAction { .. }
        | Drift::ReturnAffectedFieldValues { .. }
        | Drift::Conditions { .. } => None,
    });
    let extra = extra.filter(|extra| !extra.is_empty());
    let nothing_in_common = observed.events.minus(&ask.spec.events).len() == observed.events.len();
    if writes >= PATCHES_MAX
        || nothing_in_common
        || drift.iter().any(|drift| is_beyond_patch(drift, &ask.spec))
    {
        return vec![Action::Replace(ask)];
    }
    let only_extra =
        drift.len() == 1 && matches!(drift, [Drift::Events { missing, .. }] if missing.is_empty());
    let remove = extra.map(|extra| Action::RemoveEvents(ask.spec.clone(), extra));
    if only_extra {
        remove.into_iter().collect()
    } else {
        remove.into_iter().chain([Action::Update(ask)]).collect()
    }
}

/// PATCH keeps what it is not given, so it cannot clear a token or a condition.
fn is_beyond_patch(drift: &Drift, spec: &Spec) -> bool {
    match drift {
        Drift::Token { .. } => spec.token.is_none(),
        Drift::Conditions { .. } => spec.conditions.is_empty(),
        Drift::Events { .. }
        | Drift::NotifyUrl { .. }
        | Drift::NotifyOnRelatedAction { .. }
        | Drift::ReturnAffectedFieldValues { .. } => false,
    }
}

fn is_ours(record: &Record, observed: &Observed) -> bool {
    record.grant.is_some()
        || observed.notify_urls.iter().any(|url| url.fingerprint() == record.notify_url)
}

/// It is the channel that Zoho does not know, so a change of the spec changes nothing about it.
fn is_not_subscribed(record: Option<&Record>) -> bool {
    let refusal = record.and_then(|record| record.refusal.as_ref());
    refusal.is_some_and(|refusal| refusal.code == NOT_SUBSCRIBED)
}

fn forget(record: &Record) -> Decision {
    let step = Step {
        id: record.id,
        name: record.name.clone(),
        action: Action::Forget,
        reason: Reason::Gone,
        expiry: None,
    };
    plain(record.id, Row::Gone, Verdict::Act(vec![step], None))
}

fn plain(id: ChannelId, row: Row, verdict: Verdict) -> Decision {
    Decision { id, row, verdict, life: None, again: None }
}

fn act_or_hold(steps: Vec<Step>, held: Option<Held>) -> Verdict {
    match (steps.is_empty(), held) {
        (true, Some(held)) => Verdict::Hold(held),
        (_, held) => Verdict::Act(steps, held),
    }
}

fn step(spec: &Spec, action: Action, reason: Reason, expiry: Option<Timestamp>) -> Step {
    Step { id: spec.id, name: spec.name.clone(), action, reason, expiry }
}

fn held(spec: &Spec, cause: Cause, until: Option<Timestamp>) -> Held {
    Held { id: spec.id, name: spec.name.clone(), cause, until }
}

fn every_id(facts: &Facts<'_>) -> BTreeSet<ChannelId> {
    let seen = match facts.look {
        Look::Seen { channels, at: _ } => Some(channels.keys()),
        Look::Unknown(_) => None,
    };
    facts
        .specs
        .keys()
        .chain(facts.records.keys())
        .chain(seen.into_iter().flatten())
        .copied()
        .collect()
}

pub(super) fn earliest(instants: impl IntoIterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    instants.into_iter().flatten().min()
}

/// Whether Zoho refuses to POST an id because it has it. No source explains these codes (SDK 2.x
/// has the one, SDK 5.0 the other); Kaizen #170 renews by POST, so they should not come up.
pub fn is_taken(code: &str) -> bool {
    ["DUPLICATE_DATA", "ALREADY_USED"].contains(&code)
}

/// Zoho's code for a change of a channel that it does not have (seen verbatim in v8 traffic, see
/// the API notes).
pub const NOT_SUBSCRIBED: &str = "NOT_SUBSCRIBED";
/// Taken off the longest lifetime: what a measured skew may be wrong by (the `Date` header carries
/// whole seconds) and what the clock may drift between the look and the write.
pub(super) const LIFETIME_GUARD: Duration = Duration::from_secs(30);
/// With less than this left, an expiry is not worth keeping.
const KEPT_EXPIRY_MIN: Duration = Duration::from_secs(5 * 60);
/// A look for a channel that is left to expire comes this long after its end.
const AFTER_EXPIRY: Duration = Duration::from_secs(60);
/// After this many writes that did not mend it, a drift is mended by PUT.
const PATCHES_MAX: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_above_and_the_rows_that_decisions_name_are_the_same() {
        let table =
            include_str!("decide.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
        let table: Vec<&str> = table.skip(2).collect();
        let rows =
            ROWS.map(|row| row.cells().map(|cells| cells.join(" | ") + " |").unwrap_or_default());
        assert_eq!(table, rows);
    }

    const ROWS: [Row; 17] = [
        Row::Missing,
        Row::Fresh,
        Row::Due,
        Row::ShortGrant,
        Row::Asked,
        Row::NotSubscribed,
        Row::Differs,
        Row::Found,
        Row::Conflict,
        Row::Unseen,
        Row::UnseenEmergency,
        Row::UnseenNew,
        Row::Rejected,
        Row::Retired,
        Row::Gone,
        Row::UnseenRetired,
        Row::Foreign,
    ];
}
