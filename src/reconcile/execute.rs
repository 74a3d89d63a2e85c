//! The steps of a plan, carried out.
//!
//! Steps of one kind share calls, up to the account's batch size; calls go out in the order of
//! their first step, so that what is urgent leads and routine rides along. A batch that Zoho
//! refuses as a whole is cut in half and sent again, down to the one channel it is about: its
//! neighbours lose nothing. Where both halves go through it was the size, and what is left is cut
//! to it; where [`REFUSALS_MAX`] calls in a row are refused with one code it is the account, and
//! the rest is deferred. A permission that is missing may be one module's or the account's: such a
//! call is halved too, and only where every single call fails alike it is the account's. After a
//! failure that concerns the account (no connection, 429, credentials), or after [`FAILURES_MAX`]
//! calls in a row that failed in other ways, the rest of the plan is deferred to the next pass.
//!
//! A pass over a large account may take longer than a short life leaves. When an emergency begins
//! in it, of a channel that the next call is not about, the rest of the plan is left to the next
//! pass, which begins at once with the emergency. One call is made in any case, so that each pass
//! comes on.
//!
//! Nothing is decided here: every call is a step of the plan. The one answer that is given at once
//! is PUT, where POST of a live channel of ours is refused because Zoho has it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::model::channel::{Ask, ChannelId};
use crate::model::codes::{NOT_SUBSCRIBED, is_taken, may_be_of_one_channel};
use crate::model::events::Events;
use crate::model::learned::half_way;
use crate::model::life_refused::names_expiry;
use crate::model::observed::Observed;
use crate::model::time::{Times, Timestamp};
use crate::plan::limits_learned::CallFates;
use crate::plan::step::{Action, Plan, Step, Urgency};
use crate::store::StoreError;
use crate::zoho::client::{Client, DELETE_MAX, ItemVerdict};
use crate::zoho::error::{Class, Error};
use crate::zoho::wire::Refused;

use super::outcome::Outcome;
use super::remember::PassMemory;

/// The outcome of a plan.
#[derive(Debug, Default)]
pub struct Execution {
    /// Each step with its outcome.
    pub outcomes: Vec<(Step, Outcome)>,
    /// The failure that concerns the account, if there was one.
    pub trouble: Option<AccountTrouble>,
    /// The fate of the writes as whole calls.
    pub calls: CallFates,
    /// True when the rest of the plan waits for the next pass, because an emergency began.
    pub gave_way: bool,
    /// True when a call was not sent, because another machine may own the account, or did until a
    /// moment ago. It waits for the next pass, and is nobody's failure.
    pub withheld: bool,
}

/// A failure that is no channel's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountTrouble {
    /// The trouble, in words.
    pub what: String,
    /// How long Zoho asks to wait.
    pub retry_after: Option<Duration>,
    /// True when only a person can mend it.
    pub needs_a_person: bool,
    /// True when there was no token to send it with.
    pub lacks_token: bool,
}

/// Carries out a plan, and remembers each batch before and after.
pub async fn execute(
    client: &Client,
    plan: &Plan,
    memory: &mut PassMemory<'_>,
    cancelled: &CancellationToken,
) -> Result<Execution, StoreError> {
    let mut sending =
        Sending { batches: batches(plan, plan.batch_max).into(), ..Sending::default() };
    let mut is_probe = plan.probe.is_some_and(|id| put_first(&mut sending.batches, id));
    while let Some(batch) = sending.batches.pop_front() {
        if let Some(why) = stop_reason(&sending.execution, sending.failures, cancelled) {
            sending.execution.defer(batch, &why);
            continue;
        }
        let zoho_now = client.zoho_now();
        if sending.gives_way(&batch, memory, zoho_now) {
            sending.execution.gave_way = true;
            sending.execution.defer(batch, "an emergency goes first");
            continue;
        }
        memory.intend(&batch.steps, zoho_now).await?;
        let sent = client.clock().elapsed();
        let result = send(client, &batch).await;
        let times = client.times_since(sent);
        let was_probe = std::mem::take(&mut is_probe);
        match result {
            Ok(answers) => sending.accepted(batch, answers, times, memory)?,
            Err(error) => {
                let class = error.class();
                if was_probe && let Class::Forbidden(refused) = &class {
                    sending.defer(batch, AccountTrouble::of_forbidden(refused), memory)?;
                } else {
                    sending.failed(Failed { batch, class, error, times }, memory)?;
                }
            }
        }
    }
    sending.finish(plan, memory)
}

/// A plan while its calls are being sent.
#[derive(Default)]
struct Sending {
    execution: Execution,
    batches: VecDeque<Batch>,
    failures: u32,
    refusals: Refusals,
    /// Single calls that were forbidden: whose they are is known when the pass is over.
    forbidden: Vec<Forbidden>,
}

/// A call that failed as a whole.
struct Failed {
    batch: Batch,
    class: Class,
    error: Error,
    times: Times,
}

impl Sending {
    /// True when an emergency has begun since the plan was made, which this call does nothing
    /// about.
    fn gives_way(&self, batch: &Batch, memory: &PassMemory<'_>, zoho_now: Timestamp) -> bool {
        let is_urgent = |step: &Step| {
            step.reason.urgency() == Urgency::Emergency || memory.is_ending(step.id, zoho_now)
        };
        let has_called = !self.execution.outcomes.is_empty();
        let goes_on = !has_called || batch.steps.iter().any(is_urgent);
        self.execution.gave_way || !goes_on && memory.has_new_emergency(zoho_now)
    }

    fn accepted(
        &mut self,
        batch: Batch,
        answers: Vec<StepAnswer>,
        times: Times,
        memory: &mut PassMemory<'_>,
    ) -> Result<(), StoreError> {
        self.failures = 0;
        self.refusals = Refusals::default();
        let (outcomes, troubles): (Vec<Outcome>, Vec<_>) = answers.into_iter().unzip();
        troubles.into_iter().for_each(|trouble| self.execution.meet(trouble));
        let calls = &mut self.execution.calls;
        calls.accepted |= batch.is_remote();
        calls.allowed |= batch.is_remote();
        learn_size(calls, &batch, &outcomes, &mut self.batches);
        memory.outcomes(&batch.steps, &outcomes, times)?;
        let by_put = by_put(&batch.steps, &outcomes, memory);
        self.execution.outcomes.extend(batch.steps.into_iter().zip(outcomes));
        if !by_put.is_empty() {
            self.batches.push_front(Batch { steps: by_put, half: Half::None });
        }
        Ok(())
    }

    fn failed(&mut self, failed: Failed, memory: &mut PassMemory<'_>) -> Result<(), StoreError> {
        let Failed { batch, class, error, times } = failed;
        match class {
            Class::Rejected { code, message, json_path }
                if batch.steps.len() > 1 && names_expiry(&message, json_path.as_deref()) =>
            {
                self.failures = 0;
                let refused = Refused { code, message, json_path };
                let outcomes = expiry_refused(&batch, &refused);
                self.settle(batch, outcomes, times, memory)
            }
            Class::Rejected { code, message, .. }
            | Class::Forbidden(Refused { code, message, .. })
                if self.refusals.again(&code) && !self.batches.is_empty() =>
            {
                let what = format!("every batch is refused with {code}: {message}");
                self.execution.calls.refusing = Some(code);
                self.defer(batch, AccountTrouble::of_all(what), memory)
            }
            Class::Rejected { .. } | Class::Forbidden(_) if batch.steps.len() > 1 => {
                memory.withdraw(&batch.steps)?;
                batch.halve(&mut self.batches);
                Ok(())
            }
            Class::Forbidden(refused) => {
                self.failures = 0;
                memory.withdraw(&batch.steps)?;
                self.forbidden.push(Forbidden { batch, refused, times });
                Ok(())
            }
            Class::Withheld => {
                memory.withdraw(&batch.steps)?;
                self.execution.withheld = true;
                self.execution.defer(batch, &error.to_string());
                Ok(())
            }
            class @ (Class::Rejected { .. }
            | Class::Unscoped(_)
            | Class::Transient { .. }
            | Class::Account
            | Class::Unsure) => {
                let (outcome, trouble) = verdict_of(class, &error);
                self.failures = if trouble.is_some() { self.failures + 1 } else { 0 };
                self.execution.calls.allowed |= matches!(outcome, Outcome::Refused(_));
                let outcomes = vec![outcome; batch.steps.len()];
                self.settle(batch, outcomes, times, memory)?;
                self.execution.meet(trouble);
                Ok(())
            }
        }
    }

    /// Leaves a call that was not applied to the next pass, for a trouble of the account.
    fn defer(
        &mut self,
        batch: Batch,
        trouble: AccountTrouble,
        memory: &mut PassMemory<'_>,
    ) -> Result<(), StoreError> {
        memory.withdraw(&batch.steps)?;
        self.execution.defer(batch, &trouble.what);
        self.execution.meet(Some(trouble));
        Ok(())
    }

    fn settle(
        &mut self,
        batch: Batch,
        outcomes: Vec<Outcome>,
        times: Times,
        memory: &mut PassMemory<'_>,
    ) -> Result<(), StoreError> {
        memory.outcomes(&batch.steps, &outcomes, times)?;
        self.execution.outcomes.extend(batch.steps.into_iter().zip(outcomes));
        Ok(())
    }

    /// Settles the single calls that were forbidden, once all the others are known.
    fn finish(mut self, plan: &Plan, memory: &mut PassMemory<'_>) -> Result<Execution, StoreError> {
        let forbidden = std::mem::take(&mut self.forbidden);
        let of_all = forbidden_to_all(plan, &self.execution, &forbidden);
        let code = forbidden.last().map(|last| last.refused.code.clone());
        for Forbidden { batch, refused, times } in forbidden {
            if let Some(trouble) = &of_all {
                self.execution.defer(batch, &trouble.what);
            } else {
                let outcomes = vec![Outcome::Refused(refused); batch.steps.len()];
                self.settle(batch, outcomes, times, memory)?;
            }
        }
        if of_all.is_some() {
            self.execution.calls.forbidden = code;
        }
        self.execution.meet(of_all);
        Ok(self.execution)
    }
}

/// A call for one channel that was forbidden: the channel's refusal, or the account's.
struct Forbidden {
    batch: Batch,
    refused: Refused,
    times: Times,
}

impl Execution {
    /// The first trouble is told, unless a later one ends the pass.
    fn meet(&mut self, trouble: Option<AccountTrouble>) {
        let outranks = trouble.as_ref().is_some_and(AccountTrouble::ends_pass);
        if outranks || self.trouble.is_none() {
            self.trouble = trouble.or(self.trouble.take());
        }
    }

    fn defer(&mut self, batch: Batch, why: &str) {
        let deferred =
            batch.steps.into_iter().map(|step| (step, Outcome::Deferred(why.to_owned())));
        self.outcomes.extend(deferred);
    }
}

/// Where Zoho forbids whatever it was sent, the account's credentials lack the permission. One
/// refusal alone says so only where no other channel is known to be well. Then no channel is
/// refused: all of them wait for the account.
fn forbidden_to_all(
    plan: &Plan,
    execution: &Execution,
    forbidden: &[Forbidden],
) -> Option<AccountTrouble> {
    let refused = &forbidden.last()?.refused;
    let is_answered = execution.outcomes.iter().any(|(step, outcome)| match outcome {
        Outcome::Refused(refused) if may_be_of_one_channel(&refused.code) => false,
        Outcome::Done(_) | Outcome::Refused(_) => step.action.is_remote(),
        Outcome::Unsure(_) | Outcome::Deferred(_) => false,
    });
    let is_all = !is_answered && (forbidden.len() > 1 || plan.kept.is_empty());
    is_all.then(|| AccountTrouble::of_forbidden(refused))
}

/// Puts the first call of a channel before all others, and it alone in it.
fn put_first(batches: &mut VecDeque<Batch>, id: ChannelId) -> bool {
    let has =
        |batch: &&mut Batch| batch.is_remote() && batch.steps.iter().any(|step| step.id == id);
    let Some(batch) = batches.iter_mut().find(has) else { return false };
    let place = batch.steps.iter().position(|step| step.id == id);
    let steps = place.map(|place| vec![batch.steps.remove(place)]).unwrap_or_default();
    batches.retain(|batch| !batch.steps.is_empty());
    batches.push_front(Batch { steps, half: Half::None });
    true
}

/// A call that was refused as a whole for an expiry: of the channel that the refusal names, or of
/// any. The next pass asks for shorter lives, so that nothing is halved.
fn expiry_refused(batch: &Batch, refused: &Refused) -> Vec<Outcome> {
    let path = refused.json_path.as_deref().unwrap_or_default();
    let place = path.split_once('[').and_then(|(_, rest)| rest.split(']').next());
    let named: Option<usize> = place.and_then(|place| place.parse().ok());
    let of_neighbour = "the expiry of another channel of its call was refused".to_owned();
    let outcome = |place| match named {
        Some(named) if named != place => Outcome::Deferred(of_neighbour.clone()),
        Some(_) | None => Outcome::Refused(refused.clone()),
    };
    (0..batch.steps.len()).map(outcome).collect()
}

/// The steps again, by PUT, whose POST Zoho refused because it has the channel: of those that live
/// on a grant of ours.
fn by_put(steps: &[Step], outcomes: &[Outcome], memory: &PassMemory<'_>) -> Vec<Step> {
    let again = |(step, outcome): (&Step, &Outcome)| match (&step.action, outcome) {
        (Action::Enable(ask), Outcome::Refused(refused))
            if is_taken(&refused.code) && memory.is_alive(step.id) =>
        {
            Some(Step { action: Action::Replace(ask.clone()), ..step.clone() })
        }
        (_, _) => None,
    };
    steps.iter().zip(outcomes).filter_map(again).collect()
}

/// The reason to leave the rest to the next pass.
fn stop_reason(
    execution: &Execution,
    failures: u32,
    cancelled: &CancellationToken,
) -> Option<String> {
    if cancelled.is_cancelled() {
        return Some("the daemon is stopping".to_owned());
    }
    let trouble = execution.trouble.as_ref()?;
    let is_over = trouble.ends_pass() || failures >= FAILURES_MAX;
    is_over.then(|| trouble.what.clone())
}

/// Calls in a row that were refused as a whole with one and the same code.
#[derive(Debug, Default)]
struct Refusals {
    code: String,
    count: u32,
}

impl Refusals {
    /// One more; `true` when it is not for a channel of the batch.
    fn again(&mut self, code: &str) -> bool {
        let count = if self.code == code { self.count + 1 } else { 1 };
        *self = Refusals { code: code.to_owned(), count };
        count >= REFUSALS_MAX
    }
}

/// Takes in a call that was accepted. When both halves of a refused batch went through whole, its
/// size was the fault. The batches still to be sent are then cut to a size that is not known to be
/// too large.
fn learn_size(
    calls: &mut CallFates,
    batch: &Batch,
    outcomes: &[Outcome],
    batches: &mut VecDeque<Batch>,
) {
    if !batch.has_ask() || outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Done(_))) {
        return;
    }
    calls.whole = calls.whole.max(batch.steps.len());
    match batch.half {
        Half::First => {
            if let Some(Batch { half: Half::Second { first_accepted, .. }, .. }) =
                batches.front_mut()
            {
                *first_accepted = true;
            }
        }
        Half::Second { of, first_accepted: true } => {
            calls.too_large = Some(calls.too_large.map_or(of, |size| size.min(of)));
            let size = half_way(calls.whole, of);
            *batches =
                std::mem::take(batches).into_iter().flat_map(|batch| batch.cut_to(size)).collect();
        }
        Half::None | Half::Second { first_accepted: false, .. } => {}
    }
}

impl AccountTrouble {
    /// The credentials lack the permission for whatever is sent.
    fn of_forbidden(refused: &Refused) -> AccountTrouble {
        let Refused { code, message, .. } = refused;
        let what = format!("every call is refused with {code}: {message}");
        AccountTrouble { what, retry_after: None, needs_a_person: true, lacks_token: false }
    }

    /// Everything is refused, so that the rest of the pass would be.
    fn of_all(what: String) -> AccountTrouble {
        let retry_after = Some(Duration::ZERO);
        AccountTrouble { what, retry_after, needs_a_person: false, lacks_token: false }
    }

    /// Returns whether further calls of this pass would meet the same.
    fn ends_pass(&self) -> bool {
        self.needs_a_person || self.retry_after.is_some()
    }
}

/// The outcome of a failed call for its steps, and the trouble it means for the account.
fn verdict_of(class: Class, error: &Error) -> (Outcome, Option<AccountTrouble>) {
    let what = error.to_string();
    let is_transient = matches!(class, Class::Transient { .. });
    let lacks_token = is_transient && error.is_of_token();
    let trouble = |retry_after, needs_a_person| {
        Some(AccountTrouble { what: what.clone(), retry_after, needs_a_person, lacks_token })
    };
    match class {
        Class::Transient { retry_after } => {
            let wait = Some(retry_after.unwrap_or(Duration::ZERO));
            (Outcome::Deferred(what.clone()), trouble(wait, false))
        }
        Class::Withheld => (Outcome::Deferred(what.clone()), None),
        Class::Account => (Outcome::Deferred(what.clone()), trouble(None, true)),
        Class::Unsure => (Outcome::Unsure(what.clone()), trouble(None, false)),
        Class::Rejected { code, message, json_path } => {
            (Outcome::Refused(Refused { code, message, json_path }), None)
        }
        Class::Forbidden(refused) | Class::Unscoped(refused) => (Outcome::Refused(refused), None),
    }
}

/// Steps that go out in one call, or in none.
#[derive(Debug)]
struct Batch {
    steps: Vec<Step>,
    half: Half,
}

/// The part of a split batch that a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    /// A whole batch, as the plan has it.
    None,
    /// The first one of a batch that was refused as a whole; the second one is the next call.
    First,
    /// The second one.
    Second {
        /// How many channels were in the whole.
        of: usize,
        /// True when the first went through with all that was in it.
        first_accepted: bool,
    },
}

impl Batch {
    /// Both halves go to the front, so that the order of the plan is kept.
    fn halve(self, batches: &mut VecDeque<Batch>) {
        let mut first = self.steps;
        let of = first.len();
        let second = first.split_off(first.len() / 2);
        batches
            .push_front(Batch { steps: second, half: Half::Second { of, first_accepted: false } });
        batches.push_front(Batch { steps: first, half: Half::First });
    }

    /// In calls of at most `size`, if it is of a kind that has a size.
    fn cut_to(self, size: usize) -> Vec<Batch> {
        if !self.has_ask() || self.steps.len() <= size {
            return vec![self];
        }
        self.steps
            .chunks(size)
            .map(|steps| Batch { steps: steps.to_vec(), half: Half::None })
            .collect()
    }

    /// Returns whether it writes whole channels: only their number has a limit that can be learned.
    fn has_ask(&self) -> bool {
        self.steps.iter().all(|step| step.action.ask().is_some())
    }

    fn is_remote(&self) -> bool {
        self.steps.iter().any(|step| step.action.is_remote())
    }
}

/// Steps of one kind together, in calls of at most `batch_max`, ordered by the place of their first
/// step in the plan; but never a step before an earlier one of its channel, which may stand in a
/// later call.
fn batches(plan: &Plan, batch_max: usize) -> Vec<Batch> {
    let mut kinds: Vec<(&'static str, Vec<(usize, &Step)>)> = Vec::new();
    for (place, step) in plan.steps.iter().enumerate() {
        let word = step.action.word();
        match kinds.iter_mut().find(|(kind, _)| *kind == word) {
            Some((_, steps)) => steps.push((place, step)),
            None => kinds.push((word, vec![(place, step)])),
        }
    }
    let mut batches: Vec<(usize, Batch)> = Vec::new();
    for (_, steps) in kinds {
        for chunk in steps.chunks(call_max(&steps[0].1.action, batch_max)) {
            let steps = chunk.iter().map(|(_, step)| (*step).clone()).collect();
            batches.push((chunk[0].0, Batch { steps, half: Half::None }));
        }
    }
    batches.sort_by_key(|(place, _)| *place);
    in_steps_order(plan, batches.into_iter().map(|(_, batch)| batch).collect())
}

/// Puts off a call until the earlier steps of its channels are in the calls before it.
fn in_steps_order(plan: &Plan, mut waiting: Vec<Batch>) -> Vec<Batch> {
    let mut to_come: BTreeMap<ChannelId, VecDeque<&'static str>> = BTreeMap::new();
    for step in &plan.steps {
        to_come.entry(step.id).or_default().push_back(step.action.word());
    }
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let is_next = |step: &Step| to_come[&step.id].front() == Some(&step.action.word());
        // Two calls may wait for each other: then the plan's own order of calls decides.
        let index = waiting.iter().position(|batch| batch.steps.iter().all(is_next)).unwrap_or(0);
        let batch = waiting.remove(index);
        for step in &batch.steps {
            if let Some(words) = to_come.get_mut(&step.id) {
                words.retain(|word| *word != step.action.word());
            }
        }
        ordered.push(batch);
    }
    ordered
}

fn call_max(action: &Action, batch_max: usize) -> usize {
    match action {
        Action::Disable => DELETE_MAX,
        Action::Forget => 1,
        Action::TakeOver(_)
        | Action::Enable(_)
        | Action::Update(_)
        | Action::RemoveEvents(..)
        | Action::Replace(_) => batch_max.max(1),
    }
}

/// The outcome of a step, and the account's trouble that it shows.
type StepAnswer = (Outcome, Option<AccountTrouble>);

/// One batch, all of whose steps are of one kind.
async fn send(client: &Client, batch: &Batch) -> Result<Vec<StepAnswer>, Error> {
    let steps = &batch.steps;
    let Some(first) = steps.first() else { return Ok(Vec::new()) };
    let verdicts = match &first.action {
        Action::TakeOver(_) => return Ok(vec![(Outcome::Done(None), None); steps.len()]),
        Action::Forget => return forget(client, first.id).await,
        Action::Enable(_) => client.enable(&asks(steps)).await?,
        Action::Update(_) => client.update(&asks(steps)).await?,
        Action::Replace(_) => client.replace(&asks(steps)).await?,
        Action::RemoveEvents(..) => client.remove_events(&removals(steps)).await?,
        Action::Disable => return disable(client, steps).await,
    };
    Ok(verdicts.into_iter().zip(steps).map(|(verdict, step)| answer(verdict, step)).collect())
}

/// A channel counts as disabled, or as absent, once a look does not show it. Otherwise its record
/// would be dropped while it still delivers, and no record would own it.
async fn disable(client: &Client, steps: &[Step]) -> Result<Vec<StepAnswer>, Error> {
    let ids: Vec<ChannelId> = steps.iter().map(|step| step.id).collect();
    let said: Vec<StepAnswer> = match client.disable(&ids).await {
        Ok(verdicts) => {
            verdicts.into_iter().zip(steps).map(|(verdict, step)| answer(verdict, step)).collect()
        }
        Err(error) => match (steps, error.class()) {
            ([step], class @ Class::Rejected { .. }) => {
                let (outcome, trouble) = verdict_of(class, &error);
                vec![(gone_is_done(step, outcome), trouble)]
            }
            (_, _) => return Err(error),
        },
    };
    let is_done = |answer: &StepAnswer| matches!(answer.0, Outcome::Done(_));
    let done = steps.iter().zip(&said).filter(|(_, answer)| is_done(answer));
    let done: Vec<ChannelId> = done.map(|(step, _)| step.id).collect();
    if done.is_empty() {
        return Ok(said);
    }
    let left = still_there(client, &done).await;
    let checked = |(step, answer): (&Step, StepAnswer)| match &left {
        Ok(left) if left.contains(&step.id) && is_done(&answer) => (still_shown(), None),
        Err(error) if is_done(&answer) => {
            (Outcome::Unsure(format!("the look after it was disabled failed: {error}")), None)
        }
        Ok(_) | Err(_) => answer,
    };
    Ok(steps.iter().zip(said).map(checked).collect())
}

/// The channels among these that Zoho still has.
async fn still_there(client: &Client, ids: &[ChannelId]) -> Result<BTreeSet<ChannelId>, Error> {
    let shown = match ids {
        [id] => client.look_at(*id).await?.map(|observed| (*id, observed)).into_iter().collect(),
        _ => client.list().await?.channels,
    };
    let now = client.zoho_now();
    let is_live = |observed: &Observed| observed.expiry.is_none_or(|expiry| expiry > now);
    Ok(ids.iter().filter(|id| shown.get(id).is_some_and(is_live)).copied().collect())
}

fn still_shown() -> Outcome {
    Outcome::Refused(Refused {
        code: NOT_DISABLED.to_owned(),
        message: "Zoho said that the channel is disabled or not there, and still lists it"
            .to_owned(),
        json_path: None,
    })
}

/// A channel is forgotten only after a second look, by its id, that does not find it either.
async fn forget(client: &Client, id: ChannelId) -> Result<Vec<StepAnswer>, Error> {
    let outcome = match client.look_at(id).await? {
        None => Outcome::Done(None),
        Some(_) => Outcome::Deferred("the second look found it".to_owned()),
    };
    Ok(vec![(outcome, None)])
}

fn asks(steps: &[Step]) -> Vec<&Ask> {
    steps.iter().filter_map(|step| step.action.ask()).collect()
}

fn removals(steps: &[Step]) -> Vec<(ChannelId, &Events)> {
    steps.iter().filter_map(|step| Some((step.id, step.action.removed_events()?))).collect()
}

/// A channel that was to be disabled and does not exist counts as disabled. Zoho may say so for the
/// channel or for the whole call.
fn gone_is_done(step: &Step, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Refused(refused)
            if refused.code == NOT_SUBSCRIBED && step.action == Action::Disable =>
        {
            Outcome::Done(None)
        }
        Outcome::Done(_) | Outcome::Refused(_) | Outcome::Unsure(_) | Outcome::Deferred(_) => {
            outcome
        }
    }
}

/// An item of an answer. One that leaves its channel open is no failed call, but what can wait must
/// not be sent again at once and for ever.
fn answer(verdict: ItemVerdict, step: &Step) -> StepAnswer {
    match verdict {
        ItemVerdict::Accepted(expiry) => (Outcome::Done(expiry), None),
        ItemVerdict::Unsure(why) => {
            let what = format!("an answer was unsure: {why}");
            let trouble = AccountTrouble {
                what,
                retry_after: None,
                needs_a_person: false,
                lacks_token: false,
            };
            (Outcome::Unsure(why), Some(trouble))
        }
        ItemVerdict::Refused(refused) => {
            let error = Error::of_item(step.action.word(), &refused);
            let (outcome, trouble) = verdict_of(error.class(), &error);
            (gone_is_done(step, outcome), trouble)
        }
    }
}

/// Our own code for a DELETE that did nothing.
const NOT_DISABLED: &str = "NOT_DISABLED";
/// After so many calls in a row that were refused as a whole with one and the same code, the rest
/// waits. One bad channel in a batch of a hundred is found in eight, six side by side in fourteen.
pub const REFUSALS_MAX: u32 = 16;
/// After so many calls in a row that failed, the rest waits for the next pass.
pub const FAILURES_MAX: u32 = 3;

#[cfg(test)]
#[cfg(feature = "simulator")]
mod tests;
