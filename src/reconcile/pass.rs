//! The pass.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::model::canary::Canaries;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::cluster::Allowed;
use crate::model::learned::Scope;
use crate::model::observed::Look;
use crate::model::record::{AccountState, Grant, Record, Trouble};
use crate::model::secret::Fingerprint;
use crate::model::time::{Timestamp, after, span};
use crate::model::wishes::Wishes;
use crate::plan::backoff;
use crate::plan::credits::credits;
use crate::plan::explain::{Explanation, explain};
use crate::plan::facts::Facts;
use crate::plan::filter;
use crate::plan::limits_learned::{Said, learn, learn_calls};
use crate::plan::renewal::Life;
use crate::plan::step::{Cause, Plan, Reason, Step};
use crate::plan::vanished::org_after;
use crate::store::{Store, StoreError};
use crate::zoho::client::PATIENCE_MAX;
use crate::zoho::wire::Refused;

use super::cover::{Ledgers, Sighting};
use super::execute::{self, AccountTrouble, Execution};
use super::look_kept::LookKept;
use super::observe::{Observation, observe};
use super::outcome::Outcome;
use super::remember::{PassMemory, unless_alone};
use super::report::{self, AccountReport};
use super::subject::{ChannelsThen, Known, Subject};

/// The plan that a pass would carry out at this instant. Looks, and changes nothing.
pub async fn preview(subject: &Subject, store: &Store) -> Result<Plan, StoreError> {
    looked(subject, store, filter::plan).await
}

/// One channel of what a pass would do now. Looks, and changes nothing.
pub async fn explained(
    subject: &Subject,
    store: &Store,
    id: ChannelId,
    request_timeout: Duration,
) -> Result<Explanation, StoreError> {
    looked(subject, store, |facts| explain(facts, &filter::plan(facts), id, request_timeout)).await
}

/// Decides something from a look at this instant.
async fn looked<T>(
    subject: &Subject,
    store: &Store,
    decide: impl FnOnce(&Facts<'_>) -> T,
) -> Result<T, StoreError> {
    let now = subject.client.clock().now();
    let records = store.records(subject.name())?;
    let observation =
        observe(&subject.client, store.account_state(subject.name())?, PATIENCE_MAX, now).await;
    let (state, wishes) = (&observation.state, &store.wishes(subject.name())?);
    let channels = subject.channels_at(state.zoho_time(now));
    let known = Known { records: &records, state, wishes, allowed: subject.allowed() };
    Ok(decide(&subject.facts(&channels, known, &observation.look, now)))
}

/// Observe, plan, execute, record, report. `wake` says why, to people.
///
/// # Errors
/// Only when the store fails. Then nothing more is sent, because its outcome could not be
/// remembered. A failing Zoho is no error here but a report.
pub async fn pass(
    subject: &Subject,
    store: &Store,
    wake: &str,
    cancelled: &CancellationToken,
) -> Result<AccountReport, StoreError> {
    let clock = subject.client.clock();
    let (started, now) = (clock.elapsed(), clock.now());
    let mut begun = begin(subject, store, now).await?;
    let plan = filter::plan(&begun.facts(subject));
    log_plan(subject.name(), wake, &plan, &begun.observation.look);
    let execution = execute::execute(&subject.client, &plan, &mut begun.memory, cancelled).await?;
    begun.memory.finish()?;
    log_outcomes(subject.name(), &execution);
    let took = clock.elapsed().saturating_sub(started);
    let state = after_execution(subject, &begun, (&execution, took), &plan);
    // The plan after the pass includes the wishes that came while it was under way.
    let wishes = store.wishes(subject.name())?;
    // The org that granted a channel is the org where it runs, before any look has shown it.
    let org = org_after(&begun.facts_after(subject, &state, &wishes));
    let state = AccountState { org, sending: None, ..state };
    let after_plan = filter::plan(&begun.facts_after(subject, &state, &wishes));
    let is_at_rest = store.is_shared() && leaves_nothing(&after_plan, &state, &begun);
    let at_rest = is_at_rest.then(|| subject.declaration());
    let state = AccountState { at_rest, ..state };
    if state != store.account_state(subject.name())? {
        let written = store.write_account_state(subject.name(), &state).await;
        unless_alone(written, begun.memory.allowed)?;
    }
    begun.memory.commit().await?;
    let ended = CarriedOut { wake, started, begun, plan, after_plan, execution, state, wishes };
    report_of(subject, store, ended)
}

/// True when the account is as declared, by a look and what was done since, and nothing of it is in
/// trouble or waits.
fn leaves_nothing(after_plan: &Plan, state: &AccountState, begun: &Begun<'_>) -> bool {
    let is_seen = matches!(begun.observation.look, Look::Seen { .. });
    let has_trouble = [&state.looks, &state.writes].iter().any(|trouble| trouble.attempts > 0);
    is_seen && !has_trouble && after_plan.steps.is_empty() && after_plan.held.is_empty()
}

/// An account at the beginning of its pass: remembered, and looked at.
struct Begun<'a> {
    observation: Observation,
    declared: ChannelsThen<'a>,
    canaries: BTreeMap<Fingerprint, Canaries>,
    memory: PassMemory<'a>,
}

/// Looks, and tells the ledgers what was seen.
async fn begin<'a>(
    subject: &'a Subject,
    store: &'a Store,
    now: Timestamp,
) -> Result<Begun<'a>, StoreError> {
    let allowed = subject.allowed();
    let remembered = store.account_state(subject.name())?;
    let records = store.records(subject.name())?;
    let patience = patience(&records, remembered.zoho_time(now));
    let observation = observe(&subject.client, remembered.clone(), patience, now).await;
    let zoho_now = observation.state.zoho_time(now);
    let declared = subject.channels_at(zoho_now);
    let canaries = store.canaries(subject.name())?;
    let mut ledgers = Ledgers::read(store, subject.name())?;
    ledgers.look(&Sighting {
        specs: &declared.specs,
        records: &records,
        look: &observation.look,
        times: observation.times,
        looked_from: remembered.looked_from,
        canaries: &canaries,
    });
    let memory = PassMemory {
        ledgers,
        records,
        predicted: observation.look.clone(),
        wishes: store.wishes(subject.name())?,
        allowed,
        lifetime_max: subject.desired.account.policy.lifetime_max,
        lacks_patch: observation.state.learned.lacks(Scope::Update, now).is_some(),
        is_unflushed: false,
        now,
        zoho_now,
    };
    Ok(Begun { observation, declared, canaries, memory })
}

impl Begun<'_> {
    /// The facts that the look has shown.
    fn facts<'a>(&'a self, subject: &'a Subject) -> Facts<'a> {
        let (memory, Observation { look, state, .. }) = (&self.memory, &self.observation);
        let (records, wishes, allowed) = (&memory.records, &memory.wishes, memory.allowed);
        let known = Known { records, state, wishes, allowed };
        subject.facts(&self.declared, known, look, memory.now)
    }

    /// The facts that the next look should show.
    fn facts_after<'a>(
        &'a self,
        subject: &'a Subject,
        state: &'a AccountState,
        wishes: &'a Wishes,
    ) -> Facts<'a> {
        let (records, allowed) = (&self.memory.records, self.memory.allowed);
        let known = Known { records, state, wishes, allowed };
        subject.facts(&self.declared, known, &self.memory.predicted, self.memory.now)
    }
}

/// An account at the end of its pass.
struct CarriedOut<'a> {
    wake: &'a str,
    /// When it began, by the monotonic clock.
    started: Duration,
    begun: Begun<'a>,
    plan: Plan,
    /// The plan that is left.
    after_plan: Plan,
    execution: Execution,
    state: AccountState,
    wishes: Wishes,
}

fn report_of(
    subject: &Subject,
    store: &Store,
    ended: CarriedOut<'_>,
) -> Result<AccountReport, StoreError> {
    let CarriedOut { wake, started, begun, plan, after_plan, execution, state, wishes } = ended;
    let facts = begun.facts_after(subject, &state, &wishes);
    let mut channels = report::channels(&facts, &conflicts(&after_plan), &begun.canaries);
    let credits = credits(&facts);
    let Begun { observation, declared, canaries: _, memory } = begun;
    let (now, zoho_now) = (memory.now, memory.zoho_now);
    report::count_gaps(&mut channels, memory.ledgers(), store, subject.name(), zoho_now)?;
    let trouble = execution.trouble.as_ref();
    let is_new_work = execution.gave_way || has_learned_a_life(&memory, now);
    let needs_a_person =
        observation.needs_a_person || trouble.is_some_and(|trouble| trouble.needs_a_person);
    Ok(AccountReport {
        account: subject.name().clone(),
        at: now,
        wake: wake.to_owned(),
        took: subject.client.clock().elapsed().saturating_sub(started),
        look_failed: match observation.look {
            Look::Seen { .. } => None,
            Look::Unknown(why) => Some(why),
        },
        writes_failed: (state.writes.attempts > 0).then(|| state.writes.what.clone()),
        needs_a_person,
        skew_ms: state.skew_ms,
        looked_at: state.looked_at,
        limits: after_plan.limits.clone(),
        credits,
        next_wake: next_wake(&plan, &after_plan, is_new_work, now),
        outcomes: execution.outcomes,
        emergency_alone: memory.allowed != Allowed::Everything && plan.has_emergency(),
        guaranteed_until: report::guaranteed_until(&channels),
        channels,
        lost: report::lost(memory.ledgers(), zoho_now),
        after: after_plan,
        look: LookKept::of(memory.predicted, &declared.specs),
        traffic: subject.client.traffic(),
    })
}

/// How long a look may keep renewals waiting: until the first emergency of a channel of ours, and
/// in an emergency for a quarter of the life that is left. One page is always read.
fn patience(records: &BTreeMap<ChannelId, Record>, zoho_now: Timestamp) -> Duration {
    let of = |record: &Record| {
        let grant = record.grant?;
        let life = Life { length: span(grant.at, grant.expiry), expiry: grant.expiry };
        let left = span(zoho_now, grant.expiry);
        Some(span(zoho_now, life.emergency_at()).max(left / 4)).filter(|_| !left.is_zero())
    };
    records.values().filter_map(of).min().unwrap_or(PATIENCE_MAX).min(PATIENCE_MAX)
}

/// The account's state once the plan was carried out: writes that went well end their trouble, and
/// Zoho's answers teach limits.
fn after_execution(
    subject: &Subject,
    begun: &Begun<'_>,
    (execution, took): (&Execution, Duration),
    plan: &Plan,
) -> AccountState {
    let (state, now) = (&begun.observation.state, begun.memory.now);
    let still_waiting = plan.held.iter().any(|held| matches!(held.cause, Cause::BackOff { .. }));
    let writes = match &execution.trouble {
        Some(AccountTrouble { what, retry_after, needs_a_person: _, lacks_token }) => {
            // It counts from the answer, and `now` is when the pass began.
            let wait = retry_after.filter(|wait| !wait.is_zero()).map(|wait| wait + took);
            // Looks wait for the next token, longer each time. Once one has it, writes have it too.
            let none = Trouble::default();
            let before = if *lacks_token { &none } else { &state.writes };
            before.again(now, what.clone(), wait)
        }
        None if still_waiting || execution.withheld => state.writes.clone(),
        None => Trouble::default(),
    };
    let policy = &subject.desired.account.policy;
    let said = answers(execution, begun.memory.zoho_now);
    let learned = learn(&state.learned, policy, &said, begun.observation.measured, now);
    let learned = learn_calls(learned, policy, &execution.calls, now);
    AccountState { writes, learned, ..state.clone() }.told(subject.client.take_credits_news(), now)
}

/// Zoho's answers in this pass, as far as limits can be learned from them.
fn answers(execution: &Execution, zoho_now: Timestamp) -> Vec<(&Step, Said<'_>)> {
    let mut said = Vec::new();
    for (step, outcome) in &execution.outcomes {
        match (outcome, step.action.ask()) {
            (Outcome::Done(Some(expiry)), Some(ask)) => {
                said.push((
                    step,
                    Said::Granted(Grant { at: zoho_now, asked: ask.expiry, expiry: *expiry }),
                ));
            }
            (Outcome::Refused(Refused { code, message, .. }), _) => {
                said.push((step, Said::Refused { code, message }));
            }
            (Outcome::Done(_), _) => said.push((step, Said::Done)),
            (Outcome::Unsure(_) | Outcome::Deferred(_), _) => {}
        }
    }
    said
}

/// The time to look again. Work that the pass itself brought up is done at once, and a step that
/// failed is tried again soon. The plan knows the time for the rest.
fn next_wake(before: &Plan, after_plan: &Plan, is_new_work: bool, now: Timestamp) -> Timestamp {
    // A short-grant retry is a different step from the enable that got the short grant.
    let is_new = |step: &Step| {
        let is_cut = step.action.ask().is_some_and(|ask| ask.only.is_some());
        is_cut || step.reason == Reason::ShortGrant
    };
    let key = |plan: &Plan| -> BTreeSet<(ChannelId, &'static str, bool)> {
        plan.steps.iter().map(|step| (step.id, step.action.word(), is_new(step))).collect()
    };
    let (tried, left) = (key(before), key(after_plan));
    let soon = if left.is_empty() {
        return after_plan.next_wake;
    } else if left.is_subset(&tried) && !is_new_work {
        backoff::URGENT
    } else {
        AT_ONCE
    };
    after_plan.next_wake.min(after(now, soon))
}

/// Returns whether this pass taught a channel to ask for a shorter life.
fn has_learned_a_life(memory: &PassMemory<'_>, now: Timestamp) -> bool {
    let mut refused = memory.records.values().filter_map(|record| record.life_refused.as_ref());
    refused.any(|refused| refused.at == now)
}

fn conflicts(plan: &Plan) -> Vec<ChannelId> {
    let is_conflict = |cause: &Cause| matches!(cause, Cause::Conflict { .. });
    plan.held.iter().filter(|held| is_conflict(&held.cause)).map(|held| held.id).collect()
}

fn log_plan(account: &AccountName, wake: &str, plan: &Plan, look: &Look) {
    if let Look::Unknown(why) = look {
        warn!(%account, wake, %why, "the look at Zoho failed");
    }
    let (steps, held, kept) = (plan.steps.len(), plan.held.len(), plan.kept.len());
    debug!(%account, wake, steps, held, kept, foreign = plan.foreign.len(), "planned");
}

fn log_outcomes(account: &AccountName, execution: &Execution) {
    for (step, outcome) in &execution.outcomes {
        let (channel, title) = (&step.name, step.title());
        match outcome {
            Outcome::Done(Some(expiry)) => {
                info!(%account, %channel, step = title, %expiry, "step done, granted")
            }
            Outcome::Done(None) => info!(%account, %channel, step = title, "step done"),
            Outcome::Refused(refused) => {
                let path = refused.json_path.as_deref().unwrap_or("");
                let place =
                    step.action.spec().and_then(|spec| spec.declared.named_in(&refused.message));
                let declared = place.as_deref().unwrap_or("");
                warn!(%account, %channel, step = title, code = refused.code, path, said = refused.message, declared, "step refused");
            }
            Outcome::Unsure(why) => warn!(%account, %channel, step = title, why, "step unsure"),
            Outcome::Deferred(why) => {
                debug!(%account, %channel, step = title, why, "step deferred")
            }
        }
    }
    if let Some(trouble) = &execution.trouble {
        warn!(%account, what = trouble.what, needs_a_person = trouble.needs_a_person, "writes failed");
    }
}

const AT_ONCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::clock::Clock;
    use crate::engine::simulated::{SimulatedEngine, SimulatedHandle};
    use crate::engine::{Change, Committed, Engine, Guard, Revision, Selection};
    use crate::leash::Leash;
    use crate::model::channel::{NotifyUrl, Spec};
    use crate::model::cluster::Layouts;
    use crate::model::desired::AccountDesired;
    use crate::reconcile::report::ChannelState;
    use crate::simulator::{Fault, Knobs};
    use crate::store::Sealer;
    use crate::zoho::auth::Remember;
    use crate::zoho::client::Client;
    use crate::zoho::leashed::Leashed;
    use crate::zoho::testing::{Sim, account, ask, id, spec};

    #[tokio::test(start_paused = true)]
    async fn a_declared_id_that_somebody_else_has_is_reported_as_uncovered() {
        let sim = Sim::new(Knobs::default());
        let theirs = Spec {
            notify_url: NotifyUrl::new("https://theirs.test/zoho"),
            ..spec(1, &["Deals.all"])
        };
        sim.client().enable(&[&ask(theirs, sim.now())]).await.unwrap();
        let specs = [1, 2].map(|number| (id(number), Arc::new(spec(number, &["Deals.all"]))));
        let subject = Subject {
            desired: AccountDesired::new(account(), specs.into()),
            client: sim.client(),
            leash: None,
        };
        let store = Store::temporary().unwrap();
        let report = pass(&subject, &store, "test", &CancellationToken::new()).await.unwrap();
        let states = report.channels.values().map(|channel| channel.state);
        assert_eq!(
            states.collect::<Vec<_>>(),
            [ChannelState::Uncovered, ChannelState::Covered],
            "{:?}",
            report.after.held
        );
    }

    /// An account with these channels, and its store on an engine that machines share.
    async fn shared(sim: &Arc<Sim>, channels: &[i64]) -> (SimulatedHandle, Store, Subject) {
        let engine = SimulatedEngine::new().handle(sim.clock.clone());
        let store =
            Store::in_memory().unwrap().shared(Arc::new(engine.clone()), "ck/", Layouts::OWN);
        let (fence, sealer) = (vec![claim(&engine)], Sealer::of(&account().credentials));
        store.take(&account().name, fence, sealer).await.unwrap();
        (engine, store.holding(), declaring(sim, channels))
    }

    /// Gives the account to whoever calls this.
    fn claim(engine: &SimulatedHandle) -> Guard {
        let put = vec![Change::Put(CLAIM.to_owned(), b"me".to_vec())];
        match at_once(engine.commit(Vec::new(), put)) {
            Ok(Committed::Done(revision)) => Guard::ModifiedAt(CLAIM.to_owned(), revision),
            other => panic!("{other:?}"),
        }
    }

    fn revision(engine: &SimulatedHandle) -> Revision {
        at_once(engine.status()).unwrap().revision
    }

    fn at_once<F: Future>(future: F) -> F::Output {
        let future = tokio::task::unconstrained(future);
        match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("the engine is not at rest"),
        }
    }

    fn declaring(sim: &Arc<Sim>, channels: &[i64]) -> Subject {
        let spec = |number: &i64| (id(*number), Arc::new(spec(*number, &["Deals.all"])));
        let specs = channels.iter().map(spec).collect();
        Subject {
            desired: AccountDesired::new(account(), specs),
            client: sim.client(),
            leash: None,
        }
    }

    fn writes(sim: &Sim) -> Vec<String> {
        let calls = sim.calls().into_iter();
        calls.filter(|call| call.ends_with("watch") && !call.starts_with("GET")).collect()
    }

    /// Another machine may have it, and whatever it sends is right: it looked last.
    #[tokio::test(start_paused = true)]
    async fn a_pass_of_an_account_that_was_lost_ends_without_a_word_to_zoho() {
        // A step that records something first, and one that records nothing.
        for (declared, expected) in [(&[1, 2, 3, 4][..], "POST watch"), (&[1, 2], "DELETE watch")] {
            for lost in [None, Some("before it"), Some("while it looks")] {
                let sim = Sim::new(Knobs::default());
                let (engine, store, subject) = shared(&sim, &[1, 2, 3]).await;
                let cancelled = CancellationToken::new();
                pass(&subject, &store, "test", &cancelled).await.unwrap();
                let subject = declaring(&sim, declared);
                // The look is written by a pass that sends nothing.
                let stopped = CancellationToken::new();
                stopped.cancel();
                pass(&subject, &store, "test", &stopped).await.unwrap();
                sim.calls();
                match lost {
                    Some("before it") => drop(claim(&engine)),
                    Some(_) => sim.on_request(move |_| drop(claim(&engine))),
                    None => {}
                }
                let result = pass(&subject, &store, "test", &cancelled).await;
                let (sent, kept) = (writes(&sim), store.holds(&account().name));
                match lost {
                    None => assert!(result.is_ok() && sent == [expected] && kept, "{sent:?}"),
                    Some(when) => {
                        assert!(matches!(result, Err(StoreError::Fenced { .. })), "{when}");
                        assert_eq!((sent, kept), (Vec::new(), false), "{when}");
                    }
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pass_on_an_engine_is_two_commits_and_one_that_finds_nothing_is_none() {
        let sim = Sim::new(Knobs::default());
        let (engine, store, subject) = shared(&sim, &[1, 2, 3]).await;
        let mut commits = Vec::new();
        for _ in 0..3 {
            let before = revision(&engine);
            pass(&subject, &store, "test", &CancellationToken::new()).await.unwrap();
            commits.push(revision(&engine).0 - before.0);
        }
        assert_eq!(commits, [2, 1, 0], "enabled; seen for the first time; seen again");
    }

    #[tokio::test(start_paused = true)]
    async fn while_something_is_sent_the_engine_says_so() {
        let sim = Sim::new(Knobs::default());
        let (engine, store, subject) = shared(&sim, &[1, 2, 3]).await;
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let says = move || {
            let key = Selection::Key("ck/accounts/acme".to_owned());
            let found = at_once(engine.range(vec![key])).unwrap().entries.pop()?;
            let value: serde_json::Value = serde_json::from_slice(&found.value).unwrap();
            Some(!value["state"]["sending"].is_null())
        };
        let (noted, says_then) = (seen.clone(), says.clone());
        sim.on_request(move |request| noted.lock().unwrap().push((request.method, says_then())));
        pass(&subject, &store, "test", &CancellationToken::new()).await.unwrap();
        let posted: Vec<_> =
            seen.lock().unwrap().iter().filter(|(method, _)| *method == "POST").copied().collect();
        assert_eq!(posted.last(), Some(&("POST", Some(true))), "{posted:?}");
        assert_eq!(says(), Some(false), "the pass is over");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_at_rest_is_left_alone_while_it_is_as_that_pass_left_it() {
        let sim = Sim::new(Knobs::default());
        let (_, store, subject) = shared(&sim, &[1, 2, 3]).await;
        let is_left = |subject: &Subject| {
            report::at_rest(subject, &store, sim.clock.now()).unwrap().is_some()
        };
        assert!(!is_left(&subject), "nobody has looked");
        let cancelled = CancellationToken::new();
        for _ in 0..2 {
            pass(&subject, &store, "test", &cancelled).await.unwrap();
        }
        assert!(is_left(&subject));
        store.begin_sending(&account().name, sim.clock.now()).unwrap();
        assert!(!is_left(&subject), "something was sent since");
        pass(&subject, &store, "test", &cancelled).await.unwrap();
        assert!(is_left(&subject));
        // There is nothing to do under this one either.
        let Subject { mut desired, .. } = declaring(&sim, &[1, 2, 3]);
        desired.account.policy.batch_max = 1;
        let otherwise = Subject { desired, client: sim.client(), leash: None };
        assert!(!is_left(&otherwise), "it is declared otherwise");
        sim.clock.sleep(Duration::from_secs(23 * 3600)).await;
        assert!(!is_left(&subject), "its renewal is due");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_is_at_rest_without_trouble_and_with_nothing_to_do_and_nothing_held() {
        let sim = Sim::new(Knobs::default());
        let (_, store, subject) = shared(&sim, &[1, 2, 3]).await;
        for _ in 0..2 {
            pass(&subject, &store, "test", &CancellationToken::new()).await.unwrap();
        }
        let theirs = Spec {
            notify_url: NotifyUrl::new("https://theirs.test/zoho"),
            ..spec(4, &["Deals.all"])
        };
        sim.client().enable(&[&ask(theirs, sim.now())]).await.unwrap();
        let seen = async |subject: &Subject| {
            let begun = begin(subject, &store, sim.clock.now()).await.unwrap();
            let (plan, state) =
                (filter::plan(&begun.facts(subject)), begun.observation.state.clone());
            let trouble = Trouble::default().again(sim.clock.now(), "no connection", None);
            let states = [
                state.clone(),
                AccountState { looks: trouble.clone(), ..state.clone() },
                AccountState { writes: trouble, ..state },
            ];
            let leaves = states.map(|state| leaves_nothing(&plan, &state, &begun));
            (plan.steps.len(), plan.held.len(), leaves)
        };
        assert_eq!(seen(&subject).await, (0, 0, [true, false, false]));
        let (to_do, held) = (declaring(&sim, &[1, 2, 3, 5]), declaring(&sim, &[1, 2, 3, 4]));
        assert_eq!(seen(&to_do).await, (1, 0, [false; 3]));
        assert_eq!(seen(&held).await, (0, 1, [false; 3]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_removal_of_an_account_that_is_owned_for_too_short_waits_and_is_no_failure() {
        let sim = Sim::new(Knobs::default());
        let (_, store, subject) = shared(&sim, &[1, 2, 3]).await;
        let cancelled = CancellationToken::new();
        pass(&subject, &store, "test", &cancelled).await.unwrap();
        let leash = Leash::new(sim.clock.clone());
        leash.hold(account().name, sim.clock.boot());
        leash.set(sim.clock.boot() + Duration::from_secs(3600));
        let transport = Leashed::new(sim.carrier.clone(), leash.clone(), account().name);
        let remember: Remember = Arc::new(|_| Box::pin(std::future::ready(Ok(()))));
        let client = Client::new(account(), Arc::new(transport), sim.clock.clone(), None, remember);
        let Subject { desired, .. } = declaring(&sim, &[2, 3, 4]);
        let subject = Subject { desired, client, leash: Some(leash) };
        let report = pass(&subject, &store, "test", &cancelled).await.unwrap();
        assert_eq!(writes(&sim), ["POST watch", "POST watch"], "the others do not wait");
        let state = store.account_state(&account().name).unwrap();
        assert_eq!((report.writes_failed, state.writes), (None, Trouble::default()));
        sim.clock.sleep(span(sim.clock.now(), report.next_wake)).await;
        let report = pass(&subject, &store, "test", &cancelled).await.unwrap();
        assert_eq!((writes(&sim), report.after.steps), (vec!["DELETE watch".to_owned()], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_was_not_to_be_had_holds_no_write_up_once_there_is_one() {
        let sim = Sim::new(Knobs::default());
        let (store, subject) = (Store::temporary().unwrap(), declaring(&sim, &[1, 2]));
        let cancelled = CancellationToken::new();
        pass(&subject, &store, "test", &cancelled).await.unwrap();
        let sleep = async |length| {
            sim.clock.sleep(length).await;
            sim.zoho_clock.sleep(length).await;
        };
        sleep(Duration::from_secs(23 * 3600)).await;
        sim.fault(Fault::TokenThrottled);
        for _ in 0..8 {
            let report = pass(&subject, &store, "test", &cancelled).await.unwrap();
            assert!(report.writes_failed.is_some(), "each was in its emergency");
            let state = store.account_state(&account().name).unwrap();
            assert_eq!(state.writes.attempts, 1, "it is the looks that wait longer each time");
            sleep(Duration::from_secs(60)).await;
        }
        sim.zoho().clear_faults();
        sleep(Duration::from_secs(600)).await;
        sim.calls();
        let report = pass(&subject, &store, "test", &cancelled).await.unwrap();
        assert_eq!((report.writes_failed, report.after.held), (None, vec![]));
        assert_eq!(writes(&sim), ["POST watch"]);
    }

    const CLAIM: &str = "ck/claims/acme";
}
