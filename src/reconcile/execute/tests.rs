//! Plans carried out over the simulator's state, with a real store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::clock::Clock;
use crate::coverage::Ledger;
use crate::model::channel::AccountName;
use crate::model::cluster::Allowed;
use crate::model::observed::{Beside, Look, Observed, TokenSeen};
use crate::model::record::Record;
use crate::model::time::{Timestamp, after};
use crate::model::version::WEEK;
use crate::model::wishes::Wishes;
use crate::plan::drift::{Drift, drift};
use crate::plan::step::Reason;
use crate::simulator::{Fault, Knobs, PostConflict, Rule};
use crate::store::Store;
use crate::testing::record;
use crate::zoho::testing::{Sim, account, ask, id, spec};

/// The simulator, a client, a store, and one pass's memory at a time.
struct Desk {
    sim: Arc<Sim>,
    client: Client,
    store: Store,
    cancelled: CancellationToken,
}

impl Desk {
    fn new() -> Desk {
        let sim = Sim::new(Knobs::default());
        let client = sim.client();
        Desk {
            sim,
            client,
            store: Store::temporary().unwrap(),
            cancelled: CancellationToken::new(),
        }
    }

    async fn run(&self, steps: Vec<Step>) -> (Execution, BTreeMap<ChannelId, Record>) {
        let (execution, stored, _) = self.run_over(BTreeMap::new(), steps).await;
        (execution, stored)
    }

    /// After a look that saw these channels; also what the next one should see.
    async fn run_over(
        &self,
        channels: BTreeMap<ChannelId, Observed>,
        steps: Vec<Step>,
    ) -> (Execution, BTreeMap<ChannelId, Record>, BTreeMap<ChannelId, Observed>) {
        let account: AccountName = account().name;
        let mut memory = self.memory(&account, channels);
        let plan = plan(steps, memory.now);
        let execution = execute(&self.client, &plan, &mut memory, &self.cancelled).await.unwrap();
        let stored = self.store.records(&account).unwrap();
        assert_eq!(memory.records, stored);
        let Look::Seen { channels, .. } = memory.predicted else { panic!("it was seen") };
        (execution, stored, channels)
    }

    fn memory<'a>(
        &'a self,
        account: &'a AccountName,
        channels: BTreeMap<ChannelId, Observed>,
    ) -> PassMemory<'a> {
        let now = self.sim.clock.now();
        PassMemory {
            ledgers: crate::reconcile::cover::Ledgers::read(&self.store, account).unwrap(),
            records: self.store.records(account).unwrap(),
            predicted: Look::Seen { channels, at: now, beside: Beside::default() },
            wishes: Wishes::default(),
            allowed: Allowed::Everything,
            lifetime_max: WEEK,
            lacks_patch: false,
            is_unflushed: false,
            now,
            zoho_now: self.sim.now(),
        }
    }

    fn enable(&self, number: i64) -> Step {
        step(
            number,
            Action::Enable(ask(spec(number, &["Deals.all"]), self.sim.now())),
            Reason::Missing,
        )
    }

    fn enables(&self, numbers: impl IntoIterator<Item = i64>) -> Vec<Step> {
        numbers.into_iter().map(|number| self.enable(number)).collect()
    }

    /// Calls since the last time, the token's left out.
    fn calls(&self) -> Vec<String> {
        self.sim.calls().into_iter().filter(|call| !call.ends_with("token")).collect()
    }
}

fn plan(steps: Vec<Step>, now: Timestamp) -> Plan {
    Plan {
        account: account().name,
        at: now,
        steps,
        held: Vec::new(),
        kept: Vec::new(),
        foreign: Vec::new(),
        strangers: Vec::new(),
        overlaps: Vec::new(),
        limits: Vec::new(),
        probe: None,
        batch_max: 50,
        next_wake: now,
    }
}

fn step(number: i64, action: Action, reason: Reason) -> Step {
    Step {
        id: id(number),
        name: format!("c{number}").parse().unwrap(),
        action,
        reason,
        expiry: None,
    }
}

fn words(execution: &Execution) -> Vec<String> {
    execution
        .outcomes
        .iter()
        .map(|(step, outcome)| format!("{} {}", step.id, outcome.word()))
        .collect()
}

fn of(execution: &Execution, number: i64) -> &Outcome {
    &execution.outcomes.iter().find(|(step, _)| step.id == id(number)).unwrap().1
}

#[tokio::test(start_paused = true)]
async fn a_batch_refused_as_a_whole_is_cut_down_to_the_channel_it_is_about() {
    for (bad, size, calls_max) in
        [(1, 50, 13), (37, 50, 13), (50, 50, 13), (2, 2, 3), (1, 1, 1), (4, 7, 7)]
    {
        let desk = Desk::new();
        desk.sim.fault(Fault::RefuseBatchWith { channel: bad.to_string() });
        let (execution, records) = desk.run(desk.enables(1..=size)).await;
        let calls = desk.calls();
        assert!(calls.len() <= calls_max, "{bad} of {size}: {} calls", calls.len());
        let refused: Vec<i64> =
            (1..=size).filter(|n| matches!(of(&execution, *n), Outcome::Refused(_))).collect();
        assert_eq!(refused, [bad]);
        assert!(execution.trouble.is_none());
        assert_eq!(desk.sim.live().len() as i64, size - 1);
        assert_eq!(records[&id(bad)].refusal.as_ref().unwrap().code, "INVALID_DATA");
        let order: Vec<i64> = execution.outcomes.iter().map(|(step, _)| step.id.number()).collect();
        assert_eq!(order, (1..=size).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_predicts_the_life_that_was_granted_and_what_was_seen_of_the_rest() {
    let desk = Desk::new();
    desk.run(desk.enables(1..=1)).await;
    let soon = after(desk.sim.now(), Duration::from_secs(60));
    let declared = spec(1, &["Deals.all"]);
    let seen = Observed {
        events: spec(1, &["Deals.create"]).events,
        ..Observed::as_declared(&declared, Some(soon))
    };
    let (_, records, predicted) =
        desk.run_over([(id(1), seen.clone())].into(), desk.enables(1..=2)).await;
    let granted = |number| records[&id(number)].grant.unwrap().expiry;
    assert!(granted(1) > soon);
    assert_eq!(predicted[&id(1)], Observed { expiry: Some(granted(1)), ..seen });
    let created = Observed::as_declared(&spec(2, &["Deals.all"]), Some(granted(2)));
    assert_eq!(predicted[&id(2)], created);

    let renew = Action::Enable(ask(declared, desk.sim.now()));
    let ended = Observed { expiry: Some(desk.sim.now()), ..predicted[&id(1)].clone() };
    let over = [(id(1), ended)].into();
    let (_, records, predicted) = desk.run_over(over, vec![step(1, renew, Reason::Renew)]).await;
    let granted = records[&id(1)].grant.unwrap().expiry;
    let whole = Observed::as_declared(&spec(1, &["Deals.all"]), Some(granted));
    assert_eq!(predicted[&id(1)], whole, "a channel that has ended is made anew");
}

#[tokio::test(start_paused = true)]
async fn a_post_that_mends_a_drift_predicts_the_channel_as_it_was_declared() {
    let desk = Desk::new();
    desk.run(desk.enables(1..=1)).await;
    let declared = spec(1, &["Deals.all"]);
    let soon = after(desk.sim.now(), Duration::from_secs(60));
    let seen = Observed {
        events: spec(1, &["Deals.create", "Leads.edit"]).events,
        tokens: [TokenSeen::Null].into(),
        ..Observed::as_declared(&declared, Some(soon))
    };
    let mend = Action::Enable(ask(declared.clone(), desk.sim.now()));
    let reason = Reason::Drift(drift(&declared, &seen));
    let (_, records, predicted) =
        desk.run_over([(id(1), seen)].into(), vec![step(1, mend, reason)]).await;
    let granted = records[&id(1)].grant.unwrap().expiry;
    assert_eq!(predicted[&id(1)], Observed::as_declared(&declared, Some(granted)));
}

#[tokio::test(start_paused = true)]
async fn a_removal_of_events_predicts_the_channel_without_them() {
    let desk = Desk::new();
    desk.run(desk.enables(1..=1)).await;
    let (declared, whole) = (spec(1, &["Deals.all"]), spec(1, &["Deals.all", "Leads.edit"]));
    let removal =
        Action::RemoveEvents(Arc::new(declared.clone()), ["Leads.edit"].into_iter().collect());
    let seen = [(id(1), Observed::as_declared(&whole, None))].into();
    let (_, _, predicted) = desk.run_over(seen, vec![step(1, removal, Reason::Missing)]).await;
    assert_eq!(predicted[&id(1)].events, declared.events);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_account_is_forbidden_leaves_no_write_in_doubt() {
    for (probe, size) in [(Some(id(2)), 3), (None, 3), (None, 60)] {
        let (desk, name) = (Desk::new(), account().name);
        let ledgers: Vec<Ledger> =
            (1..=size).map(|n| Ledger::new(&spec(n, &["Deals.all"]), desk.sim.now())).collect();
        let stored: Vec<_> = ledgers.iter().map(|ledger| (ledger.id, Some(ledger))).collect();
        desk.store.set_channels(&name, &stored, &BTreeMap::new()).unwrap();
        desk.sim.fault(Fault::Forbidden);
        let mut memory = desk.memory(&name, BTreeMap::new());
        let plan = Plan { probe, ..plan(desk.enables(1..=size), memory.now) };
        let execution = execute(&desk.client, &plan, &mut memory, &desk.cancelled).await.unwrap();
        assert_eq!(execution.outcomes.len() as i64, size, "no step is lost");
        memory.finish().unwrap();
        memory.commit().await.unwrap();
        let kept = desk.store.ledgers(&name).unwrap();
        let doubted: Vec<_> = kept.values().filter(|ledger| ledger.doubt.is_some()).collect();
        assert!(doubted.is_empty(), "{probe:?} of {size}: {doubted:?}");
    }
}

#[test]
fn a_probe_goes_first_and_alone_and_the_rest_of_its_call_follows() {
    let now = Timestamp::UNIX_EPOCH;
    let enable = |number| {
        step(number, Action::Enable(ask(spec(number, &["Deals.all"]), now)), Reason::Missing)
    };
    let calls_after = |numbers: &[i64], probe: i64| {
        let plan = plan(numbers.iter().copied().map(enable).collect(), now);
        let mut calls: VecDeque<Batch> = batches(&plan, 2).into();
        let is_found = put_first(&mut calls, id(probe));
        let numbers = |batch: &Batch| batch.steps.iter().map(|step| step.id.number()).collect();
        (is_found, calls.iter().map(numbers).collect::<Vec<Vec<i64>>>())
    };
    assert_eq!(calls_after(&[1, 2, 3], 2), (true, vec![vec![2], vec![1], vec![3]]));
    assert_eq!(calls_after(&[1, 2, 3], 3), (true, vec![vec![3], vec![1, 2]]));
    assert_eq!(calls_after(&[1, 2], 9), (false, vec![vec![1, 2]]));
}

#[test]
fn a_refused_expiry_is_that_of_the_channel_it_names_and_else_of_all() {
    let now = Timestamp::UNIX_EPOCH;
    let enable = |number| {
        step(number, Action::Enable(ask(spec(number, &["Deals.all"]), now)), Reason::Missing)
    };
    let batch = Batch { steps: (1..=3).map(enable).collect(), half: Half::None };
    let words = |path: Option<&str>| {
        let (code, message) = ("INVALID_DATA".to_owned(), "the expiry is invalid".to_owned());
        let refused = Refused { code, message, json_path: path.map(str::to_owned) };
        let outcomes = expiry_refused(&batch, &refused);
        outcomes.iter().map(Outcome::word).collect::<Vec<_>>()
    };
    let named = words(Some("$.watch[1].channel_expiry"));
    assert_eq!(named, ["deferred", "refused", "deferred"]);
    assert_eq!(words(Some("$.watch")), ["refused"; 3]);
    assert_eq!(words(None), ["refused"; 3]);
}

#[tokio::test(start_paused = true)]
async fn only_a_write_of_whole_channels_that_all_went_well_tells_how_many_fit() {
    let desk = Desk::new();
    let (enabled, _) = desk.run(desk.enables(1..=3)).await;
    assert_eq!((enabled.calls.whole, enabled.calls.accepted), (3, true));
    let disable = |number| step(number, Action::Disable, Reason::Retired);
    let (disabled, _) = desk.run(vec![disable(1), disable(2), disable(3)]).await;
    assert_eq!((disabled.calls.whole, disabled.calls.accepted), (0, true));
    desk.sim.fault(Fault::RefuseChannel {
        channel: "2".to_owned(),
        code: "INVALID_DATA".to_owned(),
        details: serde_json::json!({}),
    });
    let (mixed, _) = desk.run(desk.enables(1..=3)).await;
    assert_eq!((mixed.calls.whole, mixed.calls.accepted), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_changed_is_flushed_even_where_no_ledger_did() {
    let (desk, name) = (Desk::new(), account().name);
    let mut memory = desk.memory(&name, BTreeMap::new());
    memory.finish().unwrap();
    memory.commit().await.unwrap();
    assert!(!memory.is_unflushed, "nothing was written");
    let taken = step(1, Action::TakeOver(Arc::new(spec(1, &["Deals.all"]))), Reason::TakenOver);
    let times = desk.client.times_since(desk.client.clock().elapsed());
    memory.outcomes(&[taken], &[Outcome::Done(None)], times).unwrap();
    assert!(memory.is_unflushed);
    memory.finish().unwrap();
    memory.commit().await.unwrap();
    assert!(!memory.is_unflushed);
}

#[tokio::test(start_paused = true)]
async fn a_refused_item_costs_its_neighbours_nothing() {
    let desk = Desk::new();
    let details = serde_json::json!({ "api_name": "events", "json_path": "$.watch[1].events[0]" });
    desk.sim.fault(Fault::RefuseChannel {
        channel: "2".to_owned(),
        code: "INVALID_DATA".to_owned(),
        details,
    });
    let (execution, records) = desk.run(desk.enables(1..=4)).await;
    assert_eq!(words(&execution), ["1 done", "2 refused", "3 done", "4 done"]);
    assert_eq!(desk.calls().len(), 1);
    assert_eq!(
        records[&id(2)].refusal.as_ref().unwrap().json_path.as_deref(),
        Some("$.watch[1].events[0]")
    );
    assert!(records[&id(1)].grant.is_some() && records[&id(2)].grant.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_unsure_is_not_assumed() {
    let desk = Desk::new();
    desk.sim.fault_once(Fault::ResetAfter);
    let (execution, records) = desk.run(desk.enables([1])).await;
    assert_eq!(words(&execution), ["1 unsure"]);
    assert!(desk.sim.live().contains(&1));
    let record = &records[&id(1)];
    assert!(record.grant.is_none() && record.refusal.is_none());
    assert!(execution.trouble.is_some_and(|trouble| !trouble.needs_a_person));
}

#[tokio::test(start_paused = true)]
async fn after_three_failures_in_a_row_the_rest_waits() {
    let desk = Desk::new();
    desk.sim.fault(Fault::ServerErrorHtml);
    let (execution, _) = desk.run(desk.enables(1..=300)).await;
    assert_eq!(desk.calls().len(), 3);
    assert!(matches!(of(&execution, 150), Outcome::Unsure(_)));
    assert!(matches!(of(&execution, 151), Outcome::Deferred(_)));
}

#[tokio::test(start_paused = true)]
async fn failures_that_are_not_in_a_row_do_not_stop_the_pass() {
    let desk = Desk::new();
    let (sim, calls) = (Arc::downgrade(&desk.sim), Mutex::new(0));
    desk.sim.on_request(move |request| {
        let mut calls = calls.lock().unwrap();
        *calls += usize::from(!request.path.contains("oauth"));
        if *calls % 3 != 0 {
            sim.upgrade().unwrap().fault_once(Fault::ServerErrorJson);
        }
    });
    let (execution, _) = desk.run(desk.enables(1..=400)).await;
    let done = execution
        .outcomes
        .iter()
        .filter(|(_, outcome)| matches!(outcome, Outcome::Done(_)))
        .count();
    assert_eq!((desk.calls().len(), done), (8, 100));
}

#[tokio::test(start_paused = true)]
async fn a_429_stops_at_once_even_behind_another_failure() {
    let desk = Desk::new();
    desk.sim.fault_once(Fault::ResetBefore);
    desk.sim.zoho().set_knobs(Knobs { retry_after_secs: Some(40), ..Knobs::default() }).unwrap();
    desk.sim.fault(Fault::TooManyRequests);
    let (execution, _) = desk.run(desk.enables(1..=200)).await;
    assert_eq!(desk.calls().len(), 2);
    let trouble = execution.trouble.unwrap();
    assert_eq!(
        (trouble.retry_after, trouble.needs_a_person),
        (Some(Duration::from_secs(40)), false)
    );
    assert!(trouble.what.contains("429"), "{}", trouble.what);
}

#[tokio::test(start_paused = true)]
async fn a_404_or_a_missing_scope_ends_the_pass_at_its_first_call_and_needs_a_person() {
    for (fault, said) in
        [(Fault::NotFound, "HTTP 404"), (Fault::ScopeMismatch, "HTTP 401 OAUTH_SCOPE_MISMATCH")]
    {
        let desk = Desk::new();
        desk.sim.fault(fault);
        let (execution, _) = desk.run(desk.enables(1..=200)).await;
        assert_eq!(desk.calls().len(), 1, "{said}");
        let trouble = execution.trouble.clone().unwrap();
        assert!(trouble.needs_a_person && trouble.what.contains(said), "{said}: {}", trouble.what);
        assert!(matches!(of(&execution, 200), Outcome::Deferred(_)), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_one_method_lacks_is_no_verdict_on_the_credentials() {
    let desk = Desk::new();
    desk.run(desk.enables(1..=3)).await;
    let lacks = |method: &str| Rule {
        method: Some(method.to_owned()),
        ..Rule::always(Fault::ScopeMismatch)
    };
    desk.sim.zoho().add_fault(lacks("DELETE"));
    desk.sim.zoho().add_fault(lacks("PATCH"));
    let update = Action::Update(ask(spec(3, &["Deals.all"]), desk.sim.now()));
    let steps = vec![step(1, Action::Disable, Reason::Retired), step(3, update, Reason::Asked)];
    let (execution, records) = desk.run([steps, vec![desk.enable(2)]].concat()).await;
    assert_eq!(words(&execution), ["1 refused", "3 refused", "2 done"]);
    assert_eq!(execution.trouble, None);
    let said = |number| records[&id(number)].refusal.clone().unwrap().message;
    assert_eq!(
        said(1),
        "the token lacks the scope notifications.DELETE (or ALL); a channel that is not to be any more ends by itself at its expiry"
    );
    assert_eq!(
        said(3),
        "the token lacks the scope notifications.UPDATE (or ALL); what differs is sent by POST"
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_that_fail_behind_another_failure_need_a_person() {
    let desk = Desk::new();
    desk.sim.fault_once(Fault::ResetBefore);
    desk.sim.fault(Fault::ScopeMismatch);
    let (execution, _) = desk.run(desk.enables(1..=200)).await;
    assert_eq!(desk.calls().len(), 2);
    assert!(execution.trouble.unwrap().needs_a_person);
}

#[tokio::test(start_paused = true)]
async fn channels_refused_by_name_are_no_failure_of_the_account() {
    let desk = Desk::new();
    desk.sim.fault_once(Fault::ResetBefore);
    for bad in 51..=56 {
        desk.sim.fault(Fault::RefuseBatchWith { channel: bad.to_string() });
    }
    let (execution, _) = desk.run(desk.enables(1..=200)).await;
    assert_eq!(desk.sim.live().len(), 144);
    assert!(matches!(of(&execution, 200), Outcome::Done(_)));
}

#[tokio::test(start_paused = true)]
async fn the_intent_is_in_the_store_before_the_post_leaves() {
    let desk = Desk::new();
    let store = desk.store.clone();
    let recorded: Arc<Mutex<Vec<usize>>> = Arc::default();
    let noted = recorded.clone();
    desk.sim.on_request(move |request| {
        if request.method == "POST" && !request.path.contains("oauth") {
            noted.lock().unwrap().push(store.records(&account().name).unwrap().len());
        }
    });
    desk.run(desk.enables(1..=60)).await;
    assert_eq!(*recorded.lock().unwrap(), [50, 60]);
}

#[tokio::test(start_paused = true)]
async fn what_was_to_be_disabled_and_is_gone_is_done() {
    let desk = Desk::new();
    desk.run(desk.enables(1..=3)).await;
    let disable = |number| step(number, Action::Disable, Reason::Retired);
    let (_, records) = desk.run(vec![disable(2)]).await;
    assert_eq!(records.len(), 2);
    desk.store
        .write_records(&account().name, &[(id(2), Some(record(&spec(2, &["Deals.all"]))))].into())
        .await
        .unwrap();
    let (execution, records) = desk.run(vec![disable(1), disable(2), disable(3)]).await;
    assert_eq!(words(&execution), ["1 done", "2 done", "3 done"]);
    assert!(records.is_empty() && desk.sim.live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_zoho_says_is_gone_and_still_lists_is_not_forgotten() {
    let desk = Desk::new();
    desk.run(desk.enables(1..=2)).await;
    let disable = |number| step(number, Action::Disable, Reason::Retired);
    for together in [vec![disable(1)], vec![disable(1), disable(2)]] {
        for step in &together {
            desk.sim.fault_once(Fault::RefuseChannel {
                channel: step.id.to_string(),
                code: NOT_SUBSCRIBED.to_owned(),
                details: serde_json::json!({}),
            });
        }
        let (execution, records) = desk.run(together).await;
        assert!(
            execution.outcomes.iter().all(|(_, outcome)| {
                matches!(outcome, Outcome::Refused(refused) if refused.code == NOT_DISABLED)
            }),
            "{:?}",
            execution.outcomes
        );
        assert_eq!((records.len(), desk.sim.live().len()), (2, 2), "they are ours as before");
    }
    let (execution, records) = desk.run(vec![disable(1), disable(2)]).await;
    assert_eq!(words(&execution), ["1 done", "2 done"]);
    assert!(records.is_empty() && desk.sim.live().is_empty());
}

#[test]
fn a_delete_refused_as_a_whole_because_the_channel_is_gone_is_done() {
    let refused = |code: &str| {
        Outcome::Refused(Refused { code: code.to_owned(), message: String::new(), json_path: None })
    };
    let disable = step(1, Action::Disable, Reason::Retired);
    assert_eq!(gone_is_done(&disable, refused(NOT_SUBSCRIBED)), Outcome::Done(None));
    assert_eq!(gone_is_done(&disable, refused("INVALID_DATA")), refused("INVALID_DATA"));
    let update = step(
        1,
        Action::Update(ask(spec(1, &["Deals.all"]), Timestamp::UNIX_EPOCH)),
        Reason::Missing,
    );
    assert_eq!(gone_is_done(&update, refused(NOT_SUBSCRIBED)), refused(NOT_SUBSCRIBED));
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_is_refused_for_another_reason_keeps_the_record() {
    let desk = Desk::new();
    desk.run(desk.enables(1..=2)).await;
    let code = "NOT_ALLOWED".to_owned();
    desk.sim.fault(Fault::RefuseChannel {
        channel: "2".to_owned(),
        code,
        details: serde_json::json!({}),
    });
    desk.store
        .write_records(&account().name, &[(id(3), Some(record(&spec(3, &["Deals.all"]))))].into())
        .await
        .unwrap();
    let disable = |number| step(number, Action::Disable, Reason::Retired);
    let (execution, records) = desk.run(vec![disable(1), disable(3), disable(2)]).await;
    assert_eq!(words(&execution), ["1 done", "3 done", "2 refused"]);
    assert_eq!(records.keys().copied().collect::<Vec<_>>(), [id(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_forgotten_only_after_a_second_look() {
    let desk = Desk::new();
    desk.run(desk.enables([1])).await;
    desk.store
        .write_records(&account().name, &[(id(2), Some(record(&spec(2, &["Deals.all"]))))].into())
        .await
        .unwrap();
    desk.calls();
    let forget = |number| step(number, Action::Forget, Reason::Gone);
    let (execution, records) = desk.run(vec![forget(1), forget(2)]).await;
    assert_eq!(words(&execution), ["1 deferred", "2 done"]);
    assert_eq!(desk.calls(), ["GET watch", "GET watch"]);
    assert_eq!(records.keys().copied().collect::<Vec<_>>(), [id(1)]);
    desk.sim.fault(Fault::HangBefore);
    let (execution, records) = desk.run(vec![forget(1)]).await;
    assert_eq!((words(&execution), records.len()), (vec!["1 deferred".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn a_repair_is_counted_once_a_pass_and_a_kept_expiry_keeps_the_life() {
    let desk = Desk::new();
    let (_, records) = desk.run(desk.enables([1])).await;
    let enabled = records[&id(1)].grant.unwrap();
    desk.sim.clock.sleep(Duration::from_secs(3600)).await;
    let drift = || Reason::Drift(vec![Drift::NotifyOnRelatedAction { wanted: true }]);
    let mut kept = ask(spec(1, &["Deals.all"]), desk.sim.now());
    kept.expiry = enabled.expiry;
    let extra: Events = ["Leads.edit"].into_iter().collect();
    let steps = || {
        let removal = Action::RemoveEvents(kept.spec.clone(), extra.clone());
        vec![step(1, Action::Update(kept.clone()), drift()), step(1, removal, drift())]
    };
    let (execution, records) = desk.run(steps()).await;
    assert_eq!(words(&execution), ["1 done", "1 done"]);
    let record = &records[&id(1)];
    assert_eq!(
        (record.grant.unwrap().at, record.grant.unwrap().expiry),
        (enabled.at, enabled.expiry)
    );
    assert_eq!(record.repairs.unwrap().writes, 1);
    desk.sim.clock.sleep(Duration::from_secs(60)).await;
    let (_, records) = desk.run(steps().split_off(1)).await;
    assert_eq!(records[&id(1)].repairs.unwrap().writes, 1, "the removal is of the same repair");
    let (_, records) = desk.run(steps()).await;
    assert_eq!(records[&id(1)].repairs.unwrap().writes, 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_grant_is_what_is_believed() {
    let desk = Desk::new();
    desk.sim.fault(Fault::ShortGrant);
    let (execution, records) = desk.run(desk.enables([1])).await;
    let hour = after(desk.sim.now(), Duration::from_secs(3600));
    assert_eq!(of(&execution, 1), &Outcome::Done(Some(hour)));
    assert!(records[&id(1)].grant.unwrap().is_short());
}

#[tokio::test(start_paused = true)]
async fn cancellation_defers_the_rest() {
    let desk = Desk::new();
    let token = desk.cancelled.clone();
    desk.sim.on_request(move |request| {
        if request.method == "POST" && !request.path.contains("oauth") {
            token.cancel();
        }
    });
    let (execution, records) = desk.run(desk.enables(1..=120)).await;
    assert_eq!(desk.calls().len(), 1);
    assert!(matches!(of(&execution, 50), Outcome::Done(_)));
    assert_eq!(of(&execution, 51), &Outcome::Deferred("the daemon is stopping".to_owned()));
    assert_eq!((execution.outcomes.len(), records.len()), (120, 50));
}

#[tokio::test(start_paused = true)]
async fn a_taken_over_channel_is_recorded_and_nothing_is_sent() {
    let desk = Desk::new();
    let taken = step(1, Action::TakeOver(Arc::new(spec(1, &["Deals.all"]))), Reason::TakenOver);
    let (execution, records) = desk.run(vec![taken]).await;
    assert_eq!((words(&execution), records.len()), (vec!["1 done".to_owned()], 1));
    assert!(desk.sim.calls().is_empty());
    assert!(!execution.calls.accepted && !execution.calls.allowed, "Zoho accepted nothing");
}

#[test]
fn a_later_step_of_a_channel_never_goes_before_its_earlier_one() {
    let now = Timestamp::UNIX_EPOCH;
    let enable = |number| {
        step(number, Action::Enable(ask(spec(number, &["Deals.all"]), now)), Reason::Renew)
    };
    let update = |number| {
        step(number, Action::Update(ask(spec(number, &["Deals.all"]), now)), Reason::Missing)
    };
    let plan = plan(vec![update(1), enable(2), enable(3), enable(4), update(4)], now);
    let calls: Vec<String> = batches(&plan, 2)
        .iter()
        .map(|batch| {
            batch
                .steps
                .iter()
                .map(|step| format!("{} {}", step.action.word(), step.id))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    assert_eq!(calls, ["enable 2 enable 3", "enable 4", "update 1 update 4"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_step_is_in_one_call_of_its_kind_and_no_call_is_too_large(
        kinds in prop::collection::vec((1..20_i64, 0..3_u8), 0..60),
        batch_max in 1..8_usize,
    ) {
        let now = Timestamp::UNIX_EPOCH;
        let mut steps: Vec<Step> = Vec::new();
        for (number, kind) in kinds {
            let asked = || ask(spec(number, &["Deals.all"]), now);
            let action = match kind {
                0 => Action::Enable(asked()),
                1 => Action::Update(asked()),
                _ => Action::Disable,
            };
            if !steps.iter().any(|known| known.id == id(number) && known.action.word() == action.word()) {
                steps.push(step(number, action, Reason::Missing));
            }
        }
        let plan = plan(steps.clone(), now);
        let batches = batches(&plan, batch_max);
        let mut sent: Vec<Step> = Vec::new();
        for batch in batches {
            let word = batch.steps[0].action.word();
            prop_assert!(batch.steps.iter().all(|step| step.action.word() == word));
            prop_assert!(batch.steps.len() <= call_max(&batch.steps[0].action, batch_max));
            sent.extend(batch.steps);
        }
        prop_assert_eq!(sent.len(), steps.len());
        prop_assert!(steps.iter().all(|step| sent.contains(step)));
    }
}

/// A code that may be about one channel is not taken for the account's, and costs no neighbour.
#[tokio::test(start_paused = true)]
async fn a_module_that_is_forbidden_costs_its_channel_only_and_the_account_is_not_blamed() {
    let desk = Desk::new();
    desk.sim.fault(Fault::ForbidModule { module: "Leads".to_owned() });
    let mut steps = desk.enables(1..=6);
    let leads = ask(spec(4, &["Leads.all"]), desk.sim.now());
    steps[3] = step(4, Action::Enable(leads), Reason::Emergency);
    let (execution, records) = desk.run(steps).await;
    let all = ["1 done", "2 done", "3 done", "5 done", "6 done", "4 refused"];
    assert_eq!(words(&execution), all);
    assert_eq!(execution.trouble, None);
    assert_eq!(records[&id(4)].refusal.as_ref().unwrap().code, "NO_PERMISSION");
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_to_every_single_call_is_the_account_s() {
    for size in [1, 3, 50] {
        let desk = Desk::new();
        desk.sim.fault(Fault::Forbidden);
        let (execution, _) = desk.run(desk.enables(1..=size)).await;
        let trouble = execution.trouble.unwrap();
        assert!(trouble.needs_a_person && trouble.what.contains("NO_PERMISSION"), "{trouble:?}");
        assert!(desk.calls().len() as u32 <= REFUSALS_MAX, "{size}: {:?}", desk.calls());
    }
}

/// A code means inside an item what it means bare.
#[tokio::test(start_paused = true)]
async fn a_code_inside_an_item_means_what_it_means_bare() {
    let rows = [
        ("INVALID_DATA", "refused", None),
        ("INTERNAL_ERROR", "unsure", Some(false)),
        ("SERVICE_UNAVAILABLE", "unsure", Some(false)),
        ("TOO_MANY_REQUESTS", "deferred", Some(false)),
        ("RATE_LIMIT_EXCEEDED", "deferred", Some(false)),
        ("INVALID_TOKEN", "deferred", Some(true)),
        ("OAUTH_SCOPE_MISMATCH", "deferred", Some(true)),
        ("NO_PERMISSION", "refused", None),
    ];
    for (code, word, needs_a_person) in rows {
        let desk = Desk::new();
        let (channel, details) = ("2".to_owned(), serde_json::json!({}));
        desk.sim.fault(Fault::RefuseChannel { channel, code: code.to_owned(), details });
        let (execution, records) = desk.run(desk.enables(1..=3)).await;
        assert_eq!(words(&execution)[1], format!("2 {word}"), "{code}");
        let trouble = execution.trouble.map(|trouble| trouble.needs_a_person);
        assert_eq!(trouble, needs_a_person, "{code}");
        assert_eq!(records[&id(2)].refusal.is_some(), word == "refused", "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_refused_because_the_channel_is_there_goes_by_put_in_the_same_pass() {
    for post_conflict in [PostConflict::DuplicateData, PostConflict::AlreadyUsed] {
        let desk = Desk::new();
        desk.run(desk.enables(1..=3)).await;
        desk.sim.zoho().set_knobs(Knobs { post_conflict, ..Knobs::default() }).unwrap();
        desk.calls();
        let steps =
            desk.enables(1..=3).into_iter().map(|step| Step { reason: Reason::Renew, ..step });
        let (execution, records) = desk.run(steps.collect()).await;
        assert_eq!(desk.calls(), ["POST watch", "PUT watch"]);
        assert_eq!(words(&execution)[3..], ["1 done", "2 done", "3 done"]);
        assert!(records.values().all(|record| record.refusal.is_none()));
    }
}
