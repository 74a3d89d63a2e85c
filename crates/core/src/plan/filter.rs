//! From the decisions for single channels to the plan for their account.
//!
//! Where all running channels are gone and another org may answer, nothing is done at all. Else, in
//! this order, each a plain function from steps to steps:
//! 1. the mode takes out what is not allowed;
//! 2. a pause takes out whatever would be written;
//! 3. the removal guard takes out disabling too much at once;
//! 4. back-off takes out what can wait while the account is in trouble;
//! 5. where credits run low, what can wait is taken out;
//! 6. where machines share the account and nobody says whose it is, all is taken out but the
//!    renewal of a channel in its emergency, or that too;
//! 7. a call that is made anyway is filled with the channels that are due next;
//! 8. the steps are put in order: what we already own, emergency, new, drift, routine, retired,
//!    forgotten; the nearest expiry first.
//!
//! A step that is taken out is held, with its cause, and shown. Nothing is dropped in silence.
//!
//! Filling (7) keeps the calls at their floor of `ceil(channels / batch)` a period. A channel that
//! would be renewed alone later rides along in a batch that has room, and stays in step with it
//! from then on. A batch that only enables new channels is not filled: an operator who adds one
//! channel reads a plan of one step.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::channel::ChannelId;
use crate::model::cluster::Allowed;
use crate::model::observed::Look;
use crate::model::policy::Mode;
use crate::model::time::{Timestamp, after, earliest};

use super::backoff;
use super::credits::{Credits, LOOK_AGAIN, can_wait, credits, pace};
use super::decide::{Bucket, Decision, decide_all, fill_step, former, renewal_of_former};
use super::facts::Facts;
use super::limits::limits;
use super::overlap::overlaps;
use super::reason::{NEW, ROUTINE};
use super::step::{Action, Cause, Held, Plan, Reason, Step, Urgency};
use super::vanished::hold_vanished;

/// The plan for one account at one instant.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let mut sorted = Sorted::default();
    for decision in decide_all(facts) {
        sorted.add(decision);
    }
    let Sorted { mut steps, mut held, mut kept, foreign, mut again } = sorted;
    again.push(hold_vanished(facts, &mut steps, &mut held));
    hold_by_mode(facts, &mut steps, &mut held);
    hold_paused(facts, &mut steps, &mut kept, &mut held);
    again.push(hold_removals(facts, &mut steps, &mut held));
    hold_in_trouble(facts, &mut steps, &mut held);
    let tight = credits(facts).filter(|credits| credits.are_tight(facts.now));
    hold_for_credits(tight, &mut steps, &mut held);
    match facts.allowed {
        Allowed::Everything => fill_batches(facts, &mut steps, &mut kept),
        Allowed::Emergencies | Allowed::Nothing => hold_unproved(facts, &mut steps, &mut held),
    }
    put_in_order(&mut steps);
    again.push(retry(facts, &steps, tight.is_some()));
    again.extend(held.iter().map(|held| held.until));
    let next_wake = earliest(again).unwrap_or(Timestamp::MAX).min(after(facts.now, WAKE_MAX));
    let probe = probe(facts, &steps);
    Plan {
        account: facts.account.clone(),
        at: facts.now,
        steps,
        held,
        // Through a reference: a vector that is consumed hands on its memory, which is several
        // times as much.
        kept: kept.iter().map(|kept| kept.id).collect(),
        foreign,
        strangers: strangers(facts.look),
        overlaps: overlaps(facts.specs, facts.records, Some(facts.look)),
        limits: limits(facts),
        probe,
        batch_max: batch_max(facts),
        next_wake: next_wake.max(facts.now),
    }
}

#[derive(Default)]
struct Sorted {
    steps: Vec<Step>,
    held: Vec<Held>,
    kept: Vec<KeptChannel>,
    foreign: Vec<ChannelId>,
    again: Vec<Option<Timestamp>>,
}

/// A kept channel with what filling needs to know of it.
struct KeptChannel {
    id: ChannelId,
    due: Option<Timestamp>,
}

impl Sorted {
    fn add(&mut self, decision: Decision) {
        let Decision { id, row: _, verdict, life: _, again } = decision;
        self.again.push(again);
        match verdict {
            Bucket::Keep => self.kept.push(KeptChannel { id, due: again }),
            Bucket::Act(steps, held) => {
                self.steps.extend(steps);
                self.held.extend(held);
            }
            Bucket::Hold(held) => self.held.push(held),
            Bucket::Foreign => self.foreign.push(id),
            Bucket::Nothing => {}
        }
    }
}

/// Holds the steps that the account's mode, or the tighter mode of the channel, does not allow. A
/// take-over is a claim to renew, repair and one day disable a channel, so a mode that only
/// observes does not make it.
fn hold_by_mode(facts: &Facts<'_>, steps: &mut Vec<Step>, held: &mut Vec<Held>) {
    hold(steps, held, None, |step| {
        let of_channel = facts.specs.get(&step.id).map_or(Mode::Sync, |spec| spec.mode);
        let mode = facts.policy.mode.min(of_channel);
        let allowed = match mode {
            Mode::Sync => true,
            Mode::NoDisable => step.action != Action::Disable,
            Mode::Observe => step.action == Action::Forget,
        };
        (!allowed).then(|| Cause::Mode { mode, step: step.title() })
    });
}

/// Holds every step of a paused channel, however urgent. A paused channel that needs nothing yet is
/// shown as paused too: it will not be renewed in time either.
fn hold_paused(
    facts: &Facts<'_>,
    steps: &mut Vec<Step>,
    kept: &mut Vec<KeptChannel>,
    held: &mut Vec<Held>,
) {
    let pause = |id| facts.wishes.pauses.of(id, facts.now);
    steps.retain(|step| match pause(step.id).filter(|_| step.action.is_remote()) {
        Some(pause) => {
            let cause = Cause::Paused { step: Some(step.title()) };
            held.push(Held { id: step.id, name: step.name.clone(), cause, until: pause.until });
            false
        }
        None => true,
    });
    kept.retain(|kept| match (pause(kept.id), facts.specs.get(&kept.id)) {
        (Some(pause), Some(spec)) => {
            let cause = Cause::Paused { step: None };
            held.push(Held { id: kept.id, name: spec.name.clone(), cause, until: pause.until });
            false
        }
        _ => true,
    });
}

/// An empty config disables nothing; more than a third of an account's channels, of four or more,
/// is held as well, unless the operator allowed each of these: some of them may be done by now.
///
/// The account's channels are those declared and those to be disabled. Records are not counted:
/// other steps of the same plan add and forget some, and a guard that counts them lifts itself in
/// the next pass.
///
/// A channel that is held so goes on being renewed, as it was declared last: the removal may have
/// been a mistake. Returns when that is decided again.
fn hold_removals(
    facts: &Facts<'_>,
    steps: &mut Vec<Step>,
    held: &mut Vec<Held>,
) -> Option<Timestamp> {
    let removals: BTreeSet<ChannelId> = disabled(steps);
    let refused = held.iter().filter(|held| is_refused_removal(facts, held)).count();
    let unwanted = removals.len() + refused;
    let channels = facts.specs.len() + unwanted;
    let too_many = channels >= GUARDED_FROM && unwanted * 3 > channels;
    let everything = facts.specs.is_empty();
    let allowed = removals.is_subset(&facts.wishes.removals);
    if removals.is_empty() || allowed || !(too_many || everything) {
        return None;
    }
    hold(steps, held, None, |step| {
        let is_renewed = former(facts, step.id).is_some();
        let cause = Cause::RemovalGuard { removals: unwanted, channels, is_renewed };
        (step.action == Action::Disable).then_some(cause)
    });
    let renewals = removals.iter().filter_map(|id| renewal_of_former(facts, *id));
    let (due, edges): (Vec<_>, Vec<_>) = renewals.unzip();
    steps.extend(due.into_iter().flatten());
    earliest(edges)
}

/// A removal that waits because Zoho refused it still counts as a removal.
fn is_refused_removal(facts: &Facts<'_>, held: &Held) -> bool {
    matches!(held.cause, Cause::Rejected { .. }) && !facts.specs.contains_key(&held.id)
}

/// The channels these steps disable.
fn disabled(steps: &[Step]) -> BTreeSet<ChannelId> {
    steps.iter().filter(|step| step.action == Action::Disable).map(|step| step.id).collect()
}

fn hold_in_trouble(facts: &Facts<'_>, steps: &mut Vec<Step>, held: &mut Vec<Held>) {
    hold_refused(facts, steps, held);
    hold_to_spare_credits(facts, steps, held);
    let trouble = &facts.state.writes;
    let Some(until) = backoff::after_trouble(trouble, facts.now).filter(|until| *until > facts.now)
    else {
        return;
    };
    hold(steps, held, Some(until), |step| {
        let can_wait = step.action.is_remote() && step.reason.urgency() < Urgency::Uncovered;
        can_wait.then(|| Cause::BackOff { step: step.title(), trouble: trouble.what.clone() })
    });
}

/// An account that refuses whatever it is sent is not sent more of it at once, not even what is
/// missing. That delays no emergency: see [`batch_max`] for what keeps it from becoming a storm.
fn hold_refused(facts: &Facts<'_>, steps: &mut Vec<Step>, held: &mut Vec<Held>) {
    let Some((code, until)) = refusing(facts) else { return };
    let trouble = format!("every batch is refused with {code}");
    hold(steps, held, Some(until), |step| {
        let can_wait = step.action.is_remote() && step.reason.urgency() < Urgency::Emergency;
        can_wait.then(|| Cause::BackOff { step: step.title(), trouble: trouble.clone() })
    });
}

/// Holds every step after a failure until the credits that are left allow another try. Only an
/// operator may ask for it sooner.
fn hold_to_spare_credits(facts: &Facts<'_>, steps: &mut Vec<Step>, held: &mut Vec<Held>) {
    let trouble = &facts.state.writes;
    let Some(at) = trouble.at.filter(|at| *at <= facts.now) else { return };
    let pace = pace(facts);
    let until = after(at, pace);
    if pace == backoff::URGENT || until <= facts.now {
        return;
    }
    hold(steps, held, Some(until), |step| {
        let waits = step.action.is_remote() && step.reason != Reason::Asked;
        waits.then(|| Cause::BackOff { step: step.title(), trouble: trouble.what.clone() })
    });
}

/// While credits are tight they are kept for renewals.
fn hold_for_credits(tight: Option<Credits>, steps: &mut Vec<Step>, held: &mut Vec<Held>) {
    let Some(Credits { remaining, reserve, until, .. }) = tight else { return };
    hold(steps, held, Some(until), |step| {
        can_wait(step).then(|| Cause::Credits { step: step.title(), remaining, reserve })
    });
}

/// Holds what may not be sent while nobody says whose the account is. A channel of ours that is in
/// its emergency was not renewed by another machine, which would have done it long before.
///
/// A channel that is not there is none of these: another machine may have disabled it.
fn hold_unproved(facts: &Facts<'_>, steps: &mut Vec<Step>, held: &mut Vec<Held>) {
    let is_renewal = |step: &Step| step.reason.is_emergency() && step.action.ask().is_some();
    let cause = |step: &Step, is_emergency| Cause::NoEngine { step: step.title(), is_emergency };
    if facts.allowed == Allowed::Nothing {
        let soon = Some(after(facts.now, UNPROVED_AGAIN));
        hold(steps, held, soon, |step| is_renewal(step).then(|| cause(step, true)));
    }
    hold(steps, held, None, |step| (!is_renewal(step)).then(|| cause(step, false)));
}

/// The code with which the account refuses whatever it is sent, and until when that is believed.
fn refusing<'a>(facts: &Facts<'a>) -> Option<(&'a str, Timestamp)> {
    let refusing = facts.state.learned.refusing.as_ref()?;
    Some((&refusing.code, backoff::after_refusing(refusing, facts.now)?))
}

/// The ids that cannot be declared, each once.
fn strangers(look: &Look) -> Vec<String> {
    let Look::Seen { beside, .. } = look else { return Vec::new() };
    let ids: BTreeSet<&String> = beside.strangers.iter().map(|stranger| &stranger.id).collect();
    ids.into_iter().cloned().collect()
}

/// The channel that is asked for first, at each try another one.
fn probe(facts: &Facts<'_>, steps: &[Step]) -> Option<ChannelId> {
    let asked: BTreeSet<ChannelId> =
        steps.iter().filter(|step| step.action.is_remote()).map(|step| step.id).collect();
    if asked.len() < 2 || !facts.state.learned.is_probed(facts.now) {
        return None;
    }
    asked.iter().nth(facts.state.writes.attempts as usize % asked.len()).copied()
}

/// The most channels in one write. Where every batch is refused, an emergency goes out alone: so
/// each channel is refused by its own name, and then waits for five minutes, or is accepted, and
/// none spoils the batch of another.
fn batch_max(facts: &Facts<'_>) -> usize {
    match refusing(facts) {
        Some(_) => 1,
        None => facts.state.learned.batch_max(facts.policy, facts.now),
    }
}

/// Moves the steps for which there is a cause from one list to the other.
fn hold(
    steps: &mut Vec<Step>,
    held: &mut Vec<Held>,
    until: Option<Timestamp>,
    cause: impl Fn(&Step) -> Option<Cause>,
) {
    steps.retain(|step| match cause(step) {
        Some(cause) => {
            held.push(Held { id: step.id, name: step.name.clone(), cause, until });
            false
        }
        None => true,
    });
}

/// Where routine renewals leave room in their last call, the channels that would be due next are
/// renewed with them.
fn fill_batches(facts: &Facts<'_>, steps: &mut Vec<Step>, kept: &mut Vec<KeptChannel>) {
    let renewal =
        steps.iter().find(|step| matches!(step.reason, Reason::Renew | Reason::Emergency));
    let Some(kind) = renewal.map(|step| step.action.word()) else { return };
    let enables = steps.iter().filter(|step| step.action.word() == kind).count();
    let batch = batch_max(facts);
    let room = (batch - enables % batch) % batch;
    kept.sort_by_key(|kept| (kept.due, kept.id));
    let mut riders = Vec::new();
    kept.retain(|kept| {
        let rider = if riders.len() < room { fill_step(facts, kept.id) } else { None };
        let stays = rider.is_none();
        riders.extend(rider);
        stays
    });
    steps.extend(riders);
    kept.sort_by_key(|kept| kept.id);
}

/// When to try again what may fail: a plan does not know how its steps will fare. After a pass in
/// which all went well the next plan has none of them, and sleeps for as long as it may.
fn retry(facts: &Facts<'_>, steps: &[Step], tight: bool) -> Option<Timestamp> {
    let soon = after(facts.now, backoff::URGENT);
    match facts.look {
        _ if steps.iter().any(|step| step.action.is_remote()) => Some(soon),
        Look::Seen { .. } => None,
        Look::Unknown(_) => {
            let by_table = backoff::after_trouble(&facts.state.looks, facts.now);
            let retry = by_table.filter(|at| *at > facts.now).unwrap_or(soon);
            Some(if tight { retry.max(after(facts.now, LOOK_AGAIN)) } else { retry })
        }
    }
}

/// Sorts the steps by rank, the nearest expiry first. A channel that is due and has drifted is
/// renewed before it is repaired.
fn put_in_order(steps: &mut [Step]) {
    let drifted = |step: &Step| matches!(step.reason, Reason::Drift(_));
    let drifting: BTreeSet<ChannelId> =
        steps.iter().filter(|step| drifted(step)).map(|step| step.id).collect();
    steps.sort_by_key(|step| {
        let rank = match step.rank() {
            ROUTINE if drifting.contains(&step.id) => NEW,
            rank => rank,
        };
        (rank, step.expiry, step.id)
    });
}

/// An emergency that may not be renewed is looked at again after this: that may change.
const UNPROVED_AGAIN: Duration = Duration::from_secs(60);
/// An account is looked at at least this often, whatever the facts say.
const WAKE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// With fewer channels than this, a third of them is one: no guard.
const GUARDED_FROM: usize = 4;
