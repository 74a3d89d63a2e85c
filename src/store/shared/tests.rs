//! Accounts in the simulated engine, over a wire on which commits get lost and come late.

use std::collections::VecDeque;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::backfill::delivery::Delivery;
use crate::backfill::{Recovery, State};
use crate::clock::VirtualClock;
use crate::coverage::Acks;
use crate::coverage::Ledger;
use crate::coverage::ack::Ack;
use crate::engine::simulated::SimulatedEngine;
use crate::engine::{Asked, EngineStatus, Hint};
use crate::model::account::Credentials;
use crate::model::canary::Canaries;
use crate::model::channel::ChannelId;
use crate::model::cluster::Layouts;
use crate::model::desired::{AccountDesired, Desired};
use crate::model::events::Operation;
use crate::model::pause::Pause;
use crate::model::record::{AccountState, Grant, Record};
use crate::model::records::List;
use crate::model::secret::{Fingerprint, Secret};
use crate::model::time::{Timestamp, after};
use crate::model::token::TokenState;
use crate::store::recoveries::{Reading, RowsKept};
use crate::testing::{self, acme, hours, id, minutes, record, spec};

/// The fate of a commit on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It never arrives.
    LostBefore,
    /// It is applied, and its reply is lost.
    LostAfter,
    /// It stands still on the way, for [`Wire::deliver`].
    Late,
    /// All that stood still arrives just before it.
    AfterTheLate,
    /// The engine is full.
    Full,
    /// No reply ever comes, and it is applied.
    Hangs,
}

/// The way to an engine.
#[derive(Debug)]
struct Wire {
    engine: Arc<dyn Engine>,
    fates: Mutex<VecDeque<Fate>>,
    late: Mutex<Vec<(Vec<Guard>, Vec<Change>)>>,
    /// The keys of each commit that was sent.
    sent: Mutex<Vec<Vec<String>>>,
    bytes: Mutex<usize>,
}

impl Wire {
    fn next(&self, fates: &[Fate]) {
        self.fates.lock().unwrap().extend(fates);
    }

    /// All that stood still on the way arrives. Returns whether any of it was applied.
    async fn deliver(&self) -> bool {
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        let mut applied = false;
        for (guards, changes) in late {
            let committed = self.engine.commit(guards, changes).await.unwrap();
            applied |= committed != Committed::Refused;
        }
        applied
    }

    fn sent(&self) -> Vec<Vec<String>> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    async fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let all = self.engine.range(vec![Selection::Prefix(String::new())]).await.unwrap();
        all.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    fn note(&self, changes: &[Change]) {
        let key = |change: &Change| match change {
            Change::Put(key, _) => key.clone(),
            Change::Delete(key) => format!("-{key}"),
        };
        self.sent.lock().unwrap().push(changes.iter().map(key).collect());
        *self.bytes.lock().unwrap() += changes.iter().map(bytes_of).sum::<usize>();
    }
}

impl Engine for Wire {
    fn range(&self, selections: Vec<Selection>) -> Asked<'_, Snapshot> {
        self.engine.range(selections)
    }

    fn commit(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Asked<'_, Committed> {
        let lost = || Err(EngineError::Unreachable("no reply".to_owned()));
        Box::pin(async move {
            self.note(&changes);
            assert!(guards.len() <= OPERATIONS_MAX && changes.len() <= OPERATIONS_MAX);
            assert!(changes.iter().map(bytes_of).sum::<usize>() <= COMMIT_BYTES_MAX);
            let fate = self.fates.lock().unwrap().pop_front();
            match fate {
                None => self.engine.commit(guards, changes).await,
                Some(Fate::LostBefore) => lost(),
                Some(Fate::LostAfter) => {
                    self.engine.commit(guards, changes).await?;
                    lost()
                }
                Some(Fate::Late) => {
                    self.late.lock().unwrap().push((guards, changes));
                    lost()
                }
                Some(Fate::AfterTheLate) => {
                    self.deliver().await;
                    self.engine.commit(guards, changes).await
                }
                Some(Fate::Full) => Err(EngineError::Unable("NOSPACE".to_owned())),
                Some(Fate::Hangs) => {
                    self.engine.commit(guards, changes).await?;
                    std::future::pending().await
                }
            }
        })
    }

    fn watch(&self, prefix: String) -> mpsc::Receiver<Hint> {
        self.engine.watch(prefix)
    }

    fn status(&self) -> Asked<'_, EngineStatus> {
        self.engine.status()
    }
}

fn wire() -> Arc<Wire> {
    wire_over(&SimulatedEngine::new())
}

fn wire_over(simulated: &SimulatedEngine) -> Arc<Wire> {
    let engine: Arc<dyn Engine> =
        Arc::new(simulated.handle(Arc::new(VirtualClock::new(hours(0), 1))));
    Arc::new(Wire {
        engine,
        fates: Mutex::default(),
        late: Mutex::default(),
        sent: Mutex::default(),
        bytes: Mutex::default(),
    })
}

/// A store on one of the machines.
fn machine(wire: &Arc<Wire>) -> Store {
    Store::in_memory().unwrap().shared(wire.clone(), PREFIX, Layouts::OWN)
}

/// Claims the account for a machine, as its owner does. Returns the fence.
async fn claim(wire: &Wire, account: &AccountName, machine: &str) -> Vec<Guard> {
    let (member, claim) =
        (format!("{PREFIX}members/{machine}"), format!("{PREFIX}claims/{account}"));
    let put =
        vec![Change::Put(member.clone(), b"x".to_vec()), Change::Put(claim.clone(), b"x".to_vec())];
    let Committed::Done(_) = wire.engine.commit(vec![], put).await.unwrap() else {
        panic!("refused")
    };
    let keys = [&member, &claim].map(|key| Selection::Key(key.clone()));
    let read = wire.engine.range(keys.to_vec()).await.unwrap();
    let found = |key: &String| read.entries.iter().find(|entry| entry.key == *key).unwrap();
    vec![
        Guard::CreatedAt(member.clone(), found(&member).created),
        Guard::ModifiedAt(claim.clone(), found(&claim).modified),
    ]
}

fn sealer() -> Sealer {
    sealer_of("refresh")
}

fn sealer_of(refresh: &str) -> Sealer {
    Sealer::of(&Credentials {
        client_id: "id".to_owned(),
        client_secret: Secret::new("client"),
        refresh_token: Secret::new(refresh),
    })
}

/// A machine that has claimed the account and taken it.
async fn owner(wire: &Arc<Wire>, name: &str) -> Store {
    let store = machine(wire);
    let fence = claim(wire, &acme(), name).await;
    store.take(&acme(), fence, sealer()).await.unwrap();
    store
}

type Records = BTreeMap<ChannelId, Option<Record>>;

fn records(numbers: impl IntoIterator<Item = i64>) -> Records {
    numbers.into_iter().map(|number| (id(number), Some(record(&spec(number))))).collect()
}

fn looked(minute: u64) -> AccountState {
    let at = Some(minutes(minute));
    AccountState { looked_at: at, looked_from: at, ..AccountState::default() }
}

fn ledger(number: i64) -> Ledger {
    Ledger::new(&spec(number), hours(0))
}

fn token() -> TokenState {
    TokenState {
        access: Some((Secret::new("1000.very-secret"), hours(1))),
        fetches: vec![hours(0)],
        ..TokenState::new(Fingerprint(7))
    }
}

/// Everything of the account, as its trees hold it.
type Everything = Vec<(&'static str, Vec<(Vec<u8>, serde_json::Value)>)>;

fn everything(store: &Store) -> Everything {
    let of = |tree: &Tree| (tree.name(), tree.scan(acme().as_str()).unwrap());
    store.account_trees().into_iter().map(of).collect()
}

/// The findings of another machine that takes the account.
async fn found_by_another(wire: &Arc<Wire>) -> Store {
    owner(wire, "another").await
}

fn is_fenced<T>(result: Result<T, StoreError>) -> bool {
    result.is_err_and(|error| matches!(error, StoreError::Fenced { .. }))
}

fn is_unwritten(result: Result<(), StoreError>) -> bool {
    result.is_err_and(|error| matches!(error, StoreError::Unwritten { .. }))
}

/// Writes something into every tree.
async fn fill(store: &Store) {
    let account = &acme();
    let pause = Pause { at: Timestamp::UNIX_EPOCH, until: None };
    store.ask(account, |wishes| wishes.pauses.account = Some(pause)).await.unwrap();
    let ledgers: Vec<Ledger> = (1..=3).map(ledger).collect();
    let ledgers: Vec<_> = ledgers.iter().map(|ledger| (ledger.id, Some(ledger))).collect();
    store.set_channels(account, &ledgers, &records(1..=3)).unwrap();
    store.write_account_state(account, &looked(1)).await.unwrap();
    let ack = Ack { at: hours(0), note: None, ends: BTreeMap::new(), reception: None };
    store.write_acks(account, &[(id(1), Acks(vec![ack]))].into()).await.unwrap();
    let url = Fingerprint(u64::MAX);
    let canaries = [(url, Some(Canaries::new(url, hours(0))))].into();
    store.write_canaries(account, &canaries).await.unwrap();
    store.write_token(account, &token()).await.unwrap();
    let rows = RowsKept { list: List::Changed, rows: Vec::new() };
    let reading = Reading { credits: 3, ..Reading::default() };
    store.write_reading(account, &reading, Some((1, rows))).await.unwrap();
    store.write_backfilled_since(account, &[(id(1), hours(0))].into()).await.unwrap();
    let recovery = a_recovery(7);
    store.keep_deliveries(account, 7, 0, &deliveries(3)).unwrap();
    store.write_recoveries(account, &[recovery]).await.unwrap();
}

#[tokio::test]
async fn every_tree_comes_back_on_another_machine_and_nothing_is_secret_in_the_engine() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    fill(&store).await;
    let mine = everything(&store);
    assert!(mine.iter().all(|(_, entries)| !entries.is_empty()), "{mine:?}");
    let other = found_by_another(&wire).await;
    assert_eq!(everything(&other), mine);
    assert_eq!(other.account_state(&acme()).unwrap(), looked(1));
    assert_eq!(other.token(&acme()).unwrap(), Some(token()));
    for (key, value) in wire.all().await {
        let shows = |text: &[u8]| text.windows(11).any(|window| window == b"very-secret");
        assert!(!shows(&value) && !pages::inflated(&value).is_ok_and(|text| shows(&text)), "{key}");
    }
}

#[tokio::test]
async fn accounts_of_any_size_come_back_and_a_change_of_one_channel_writes_one_page() {
    for (channels, pages) in [(1, 1), (128, 1), (129, 2), (10_000, 79)] {
        let wire = wire();
        let store = owner(&wire, "one").await;
        store.write_records(&acme(), &records(1..=channels)).await.unwrap();
        let keys = wire.all().await;
        let lie = keys.keys().filter(|key| key.starts_with(&format!("{PREFIX}records/")));
        assert_eq!(lie.count(), pages, "{channels}");
        wire.sent();
        store.write_records(&acme(), &records([channels])).await.unwrap();
        let sent = wire.sent();
        let page = format!("{PREFIX}records/acme/{:05}", pages - 1);
        assert_eq!(sent, [[page, format!("{PREFIX}accounts/acme")]], "{channels}");
        let other = found_by_another(&wire).await;
        assert_eq!(other.records(&acme()).unwrap(), store.records(&acme()).unwrap());
        let none = (1..=channels).map(|number| (id(number), None)).collect();
        other.write_records(&acme(), &none).await.unwrap();
        assert!(wire.all().await.keys().all(|key| !key.contains("records/")), "{channels}");
    }
}

#[tokio::test]
async fn one_change_of_many_trees_is_one_transaction_and_no_change_is_none() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    wire.sent();
    let ledger = ledger(1);
    store.set_channels(&acme(), &[(id(1), Some(&ledger))], &records([1])).unwrap();
    store.write_account_state(&acme(), &looked(1)).await.unwrap();
    let keys = ["ledger/acme/00000", "records/acme/00000", "accounts/acme"];
    assert_eq!(wire.sent(), [keys.map(|key| format!("{PREFIX}{key}"))]);
    store.commit(&acme()).await.unwrap();
    assert_eq!(wire.sent(), [[""; 0]; 0]);
    store.prove(&acme()).await.unwrap();
    assert_eq!(wire.sent(), [[format!("{PREFIX}accounts/acme")]], "to prove it is a commit");
}

/// Each way in which a commit can get lost, and a change that comes after it or does not.
#[tokio::test]
async fn whatever_is_lost_the_engine_ends_with_what_was_set_last() {
    use Fate::{AfterTheLate, Full, Late, LostAfter, LostBefore};
    let table: [&[Fate]; 10] = [
        &[LostBefore],
        &[LostAfter],
        &[Late],
        &[Full],
        &[Late, AfterTheLate],
        &[Late, Late, AfterTheLate],
        &[LostAfter, LostAfter, LostBefore],
        &[LostBefore, LostAfter, Full],
        &[Late, Full, AfterTheLate],
        &[Late, LostAfter, LostBefore, Late, AfterTheLate],
    ];
    for fates in table {
        for changes_between in [false, true] {
            let wire = wire();
            let store = owner(&wire, "one").await;
            store.write_records(&acme(), &records(1..=200)).await.unwrap();
            wire.next(fates);
            let removed = [(id(7), None)].into();
            store.set_channels(&acme(), &[], &removed).unwrap();
            let mut result = store.write_account_state(&acme(), &looked(0)).await;
            let mut minute = 0;
            while result.is_err() {
                assert!(is_unwritten(result), "{fates:?}");
                assert!(minute < 20, "{fates:?} never ends");
                minute += 1;
                if changes_between {
                    store.set_states([(&acme(), &looked(minute))]).unwrap();
                    store.set_channels(&acme(), &[], &records([1000 + minute as i64])).unwrap();
                }
                result = store.commit(&acme()).await;
            }
            assert!(!wire.deliver().await, "{fates:?}: what was late landed over what is newer");
            let other = found_by_another(&wire).await;
            assert_eq!(other.records(&acme()).unwrap(), store.records(&acme()).unwrap());
            let state = store.account_state(&acme()).unwrap();
            assert_eq!(other.account_state(&acme()).unwrap(), state, "{fates:?}");
        }
    }
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_is_done_and_is_not_sent_again() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    wire.next(&[Fate::LostAfter]);
    assert!(is_unwritten(store.write_records(&acme(), &records([1])).await));
    wire.sent();
    store.commit(&acme()).await.unwrap();
    assert_eq!(wire.sent(), [[""; 0]; 0]);
}

#[tokio::test]
async fn a_commit_that_nobody_waited_for_to_its_end_is_looked_for() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    wire.next(&[Fate::Hangs]);
    {
        let changes = records([1]);
        let account = acme();
        let commit = pin!(store.write_records(&account, &changes));
        let mut context = Context::from_waker(Waker::noop());
        assert!(commit.poll(&mut context).is_pending());
    }
    store.write_records(&acme(), &records([2])).await.unwrap();
    assert_eq!(found_by_another(&wire).await.records(&acme()).unwrap().len(), 2);
}

#[tokio::test]
async fn an_owner_of_before_is_refused_however_late_it_comes() {
    let wire = wire();
    let before = owner(&wire, "one").await;
    before.write_records(&acme(), &records([1])).await.unwrap();
    wire.next(&[Fate::Late]);
    assert!(is_unwritten(before.write_records(&acme(), &records([2])).await));
    let after = owner(&wire, "two").await;
    assert!(!wire.deliver().await, "it was on its way when the account went");
    after.write_records(&acme(), &records([3])).await.unwrap();
    let there = wire.all().await;
    before.set_channels(&acme(), &[], &records([4])).unwrap();
    assert!(is_fenced(before.commit(&acme()).await));
    assert_eq!(wire.all().await, there);
    let ids = |store: &Store| store.ids(&acme()).unwrap();
    assert_eq!((ids(&before), ids(&after)), (vec![], vec![id(1), id(3)]), "it is forgotten");
}

/// It learns so although it has nothing more to write.
#[tokio::test]
async fn whoever_looks_for_a_commit_learns_that_the_account_is_another_s_by_now() {
    let wire = wire();
    let before = owner(&wire, "one").await;
    wire.next(&[Fate::LostAfter]);
    assert!(is_unwritten(before.write_records(&acme(), &records([1])).await));
    claim(&wire, &acme(), "two").await;
    assert!(is_fenced(before.commit(&acme()).await));
    assert!(!before.holds(&acme()));
}

#[tokio::test]
async fn of_two_that_took_an_account_under_one_claim_the_later_is_not_written_over() {
    let wire = wire();
    let (before, after) = (machine(&wire), machine(&wire));
    let fence = claim(&wire, &acme(), "one").await;
    before.take(&acme(), fence.clone(), sealer()).await.unwrap();
    wire.next(&[Fate::LostBefore]);
    assert!(is_unwritten(before.write_records(&acme(), &records([1])).await));
    after.take(&acme(), fence, sealer()).await.unwrap();
    after.write_records(&acme(), &records([2])).await.unwrap();
    assert!(is_fenced(before.commit(&acme()).await));
    assert_eq!(found_by_another(&wire).await.ids(&acme()).unwrap(), [id(2)]);
}

#[tokio::test]
async fn what_is_not_held_is_written_by_no_door_until_it_is_taken() {
    let wire = wire();
    let (store, account, url) = (machine(&wire), acme(), Fingerprint(1));
    let canaries = [(url, Some(Canaries::new(url, hours(0))))].into();
    assert!(is_fenced(store.write_records(&account, &records([1])).await));
    assert!(is_fenced(store.write_ledgers(&account, &[(id(1), Some(&ledger(1)))]).await));
    assert!(is_fenced(store.write_account_state(&account, &looked(0)).await));
    assert!(is_fenced(store.write_token(&account, &token()).await));
    assert!(is_fenced(store.write_acks(&account, &[(id(1), Acks::default())].into()).await));
    assert!(is_fenced(store.write_canaries(&account, &canaries).await));
    assert!(is_fenced(store.ask_renewal(&account, None, hours(0)).await));
    assert!(is_fenced(store.write_recoveries(&account, &[a_recovery(1)]).await));
    assert!(is_fenced(store.write_reading(&account, &Reading::default(), None).await));
    assert!(is_fenced(store.write_backfilled_since(&account, &BTreeMap::new()).await));
    assert!(is_fenced(store.prove(&account).await) && is_fenced(store.commit(&account).await));
    assert!(wire.all().await.is_empty() && !store.holds(&account));
    store.take(&account, claim(&wire, &account, "one").await, sealer()).await.unwrap();
    store.write_records(&account, &records([1])).await.unwrap();
    assert!(store.holds(&account));
    store.let_go(&account);
    assert!(is_fenced(store.commit(&account).await));
    assert!(store.ids(&account).unwrap().is_empty());
}

#[tokio::test]
async fn a_config_is_kept_though_an_account_is_lost_at_that_moment_or_the_engine_is_away() {
    let wire = wire();
    for fate in [None, Some(Fate::LostBefore)] {
        let store = owner(&wire, "one").await;
        store.write_records(&acme(), &records([1, 2])).await.unwrap();
        store.allow_removals(&acme(), [id(1)].into()).await.unwrap();
        match fate {
            Some(fate) => wire.next(&[fate]),
            None => drop(claim(&wire, &acme(), "two").await),
        }
        let mut account = crate::zoho::testing::account();
        account.name = acme();
        let specs = [(id(1), Arc::new(spec(1)))].into();
        let desired = AccountDesired::new(account, specs);
        let desired = Desired { accounts: [(acme(), desired)].into(), ..Desired::default() };
        store.keep_desired(&desired).await.unwrap();
    }
}

#[tokio::test]
async fn an_account_is_not_taken_under_a_fence_that_does_not_hold() {
    let wire = wire();
    let old = claim(&wire, &acme(), "one").await;
    claim(&wire, &acme(), "two").await;
    let store = machine(&wire);
    assert!(is_fenced(store.take(&acme(), old, sealer()).await));
    assert!(!store.holds(&acme()));
}

/// A claim that is gone is noticed before something is sent, although there is nothing to write.
#[tokio::test]
async fn to_prove_an_account_that_was_lost_fails_with_nothing_to_write() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    store.prove(&acme()).await.unwrap();
    claim(&wire, &acme(), "two").await;
    store.commit(&acme()).await.unwrap();
    assert!(is_fenced(store.prove(&acme()).await));
}

#[tokio::test]
async fn neighbours_with_names_that_begin_alike_are_kept_apart() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    let neighbour: AccountName = "acme-2".parse().unwrap();
    let fence = claim(&wire, &neighbour, "one").await;
    store.take(&neighbour, fence, sealer()).await.unwrap();
    store.write_records(&acme(), &records([1])).await.unwrap();
    store.write_records(&neighbour, &records([2, 3])).await.unwrap();
    store.let_go(&acme());
    assert_eq!(store.ids(&neighbour).unwrap(), [id(2), id(3)]);
    assert_eq!(found_by_another(&wire).await.ids(&acme()).unwrap(), [id(1)]);
}

/// Whatever one transaction does not hold is divided in the order of the promises, and the state,
/// which says up to where ledgers are certain, comes with the last part.
#[tokio::test]
async fn what_is_divided_leaves_ledgers_before_records_and_both_before_the_state() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    store.write_account_state(&acme(), &looked(0)).await.unwrap();
    wire.sent();
    let ledgers: Vec<Ledger> = (1..=10_000).map(ledger).collect();
    let ledgers: Vec<_> = ledgers.iter().map(|ledger| (ledger.id, Some(ledger))).collect();
    store.set_channels(&acme(), &ledgers, &records(1..=10_000)).unwrap();
    store.set_states([(&acme(), &looked(1))]).unwrap();
    // The second part is lost.
    wire.fates.lock().unwrap().extend([Fate::AfterTheLate, Fate::LostBefore]);
    assert!(is_unwritten(store.commit(&acme()).await));
    let sent = wire.sent();
    assert_eq!(sent.len(), 2);
    let first = |tree: &str| sent[0].iter().filter(|key| key.contains(tree)).count();
    assert_eq!((first("ledger/"), first("records/"), first("accounts/")), (79, 20, 1));
    let other = found_by_another(&wire).await;
    assert_eq!(other.account_state(&acme()).unwrap(), looked(0), "it is not ahead of its ledgers");
    let counts = (other.ledgers(&acme()).unwrap().len(), other.ids(&acme()).unwrap().len());
    assert_eq!(counts, (10_000, 20 * 128));
    assert!(is_fenced(store.commit(&acme()).await));
}

#[tokio::test]
async fn each_part_of_what_is_divided_is_fenced_and_the_rest_follows_when_the_engine_is_back() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    let ledgers: Vec<Ledger> = (1..=10_000).map(ledger).collect();
    let ledgers: Vec<_> = ledgers.iter().map(|ledger| (ledger.id, Some(ledger))).collect();
    store.set_channels(&acme(), &ledgers, &records(1..=10_000)).unwrap();
    store.set_states([(&acme(), &looked(1))]).unwrap();
    wire.fates.lock().unwrap().extend([Fate::LostAfter, Fate::AfterTheLate, Fate::LostBefore]);
    assert!(is_unwritten(store.commit(&acme()).await));
    wire.fates.lock().unwrap().clear();
    store.commit(&acme()).await.unwrap();
    let other = found_by_another(&wire).await;
    assert_eq!(other.records(&acme()).unwrap().len(), 10_000);
    assert_eq!(other.ledgers(&acme()).unwrap().len(), 10_000);
    assert_eq!(other.account_state(&acme()).unwrap(), looked(1));
}

#[tokio::test]
async fn other_credentials_lose_the_token_and_nothing_else_unless_it_is_sealed_by_them() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    store.write_token(&acme(), &token()).await.unwrap();
    store.write_records(&acme(), &records([1])).await.unwrap();
    let take = async |refresh: &str| {
        let (store, fence) = (machine(&wire), claim(&wire, &acme(), refresh).await);
        let taken = store.take(&acme(), fence, sealer_of(refresh)).await.unwrap();
        (store, taken)
    };
    let (other, taken) = take("other").await;
    assert_eq!(taken, Taken { is_token_lost: true, ..Taken::default() });
    assert_eq!(other.token(&acme()).unwrap(), None);
    assert_eq!(other.ids(&acme()).unwrap(), [id(1)]);
    let (first, taken) = take("refresh").await;
    assert_eq!((first.token(&acme()).unwrap(), taken), (Some(token()), Taken::default()));
    first.reseal(&acme(), sealer_of("other")).await.unwrap();
    first.commit(&acme()).await.unwrap();
    assert_eq!(take("other").await.0.token(&acme()).unwrap(), Some(token()));
}

#[tokio::test]
async fn what_is_damaged_in_the_engine_is_named_and_not_held() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    fill(&store).await;
    let whole = wire.all().await;
    let keys = whole.keys().filter(|key| {
        let is_of_fence = key.contains("/members/") || key.contains("/claims/");
        !is_of_fence && !key.contains("/tokens/")
    });
    for key in keys {
        let damages: [Vec<u8>; 2] = [b"{}".to_vec(), pages::deflated(b"0000000000000000009 {}\n")];
        for damage in damages {
            let put = vec![Change::Put(key.clone(), damage)];
            wire.engine.commit(vec![], put).await.unwrap();
            let (store, fence) = (machine(&wire), claim(&wire, &acme(), "two").await);
            let error = store.take(&acme(), fence, sealer()).await.unwrap_err();
            assert!(matches!(error, StoreError::Value { .. }), "{key}: {error:?}");
            assert!(!store.holds(&acme()), "{key}");
        }
        let mend = vec![Change::Put(key.clone(), whole[key].clone())];
        wire.engine.commit(vec![], mend).await.unwrap();
    }
    found_by_another(&wire).await;
}

/// A release that reads the layouts up to this one.
fn release(wire: &Arc<Wire>, newest: u32) -> Store {
    let layouts = Layouts { oldest: 1, newest };
    Store::in_memory().unwrap().shared(wire.clone(), PREFIX, layouts)
}

#[tokio::test]
async fn a_layout_of_a_later_version_is_left_as_it_is() {
    let wire = wire();
    let schema = format!("{PREFIX}meta/schema");
    let store = release(&wire, 2);
    let fence = claim(&wire, &acme(), "one").await;
    store.take(&acme(), fence.clone(), sealer()).await.unwrap();
    assert_eq!(wire.all().await[&schema], b"1", "the oldest that it writes");
    for (layout, is_read) in [("1", true), ("2", true), ("3", false), ("x", false), ("0", false)] {
        let put = vec![Change::Put(schema.clone(), layout.as_bytes().to_vec())];
        wire.engine.commit(vec![], put).await.unwrap();
        let taken = store.take(&acme(), fence.clone(), sealer()).await;
        assert_eq!(taken.is_ok(), is_read, "{layout}");
        assert_eq!(wire.all().await[&schema], layout.as_bytes());
    }
}

#[tokio::test]
async fn a_layout_that_somebody_else_begins_at_the_same_time_stays() {
    let wire = wire();
    let schema = format!("{PREFIX}meta/schema");
    let fence = claim(&wire, &acme(), "one").await;
    wire.next(&[Fate::Late, Fate::AfterTheLate]);
    let put = vec![Change::Put(schema.clone(), b"2".to_vec())];
    assert!(wire.commit(Vec::new(), put).await.is_err(), "it is on its way");
    assert!(release(&wire, 1).take(&acme(), fence, sealer()).await.is_err());
    assert_eq!(wire.all().await[&schema], b"2");
}

#[tokio::test]
async fn a_newer_layout_is_written_once_it_may_be_and_refused_by_who_does_not_read_it() {
    let wire = wire();
    let named = async || {
        let all = wire.all().await;
        let value = &all[&format!("{PREFIX}accounts/acme")];
        serde_json::from_slice::<serde_json::Value>(value).unwrap()["layout"].clone()
    };
    let later = release(&wire, 2);
    later.take(&acme(), claim(&wire, &acme(), "later").await, sealer()).await.unwrap();
    later.write_records(&acme(), &records([1])).await.unwrap();
    assert_eq!(named().await, serde_json::Value::Null, "as the first releases wrote it");
    later.may_write(3);
    later.write_records(&acme(), &records([2])).await.unwrap();
    assert_eq!(named().await, 2, "as far as it knows it");
    later.may_write(1);
    later.write_records(&acme(), &records([3])).await.unwrap();
    assert_eq!(named().await, 2, "what was written in it is there still");

    let earlier = release(&wire, 1);
    let fence = claim(&wire, &acme(), "earlier").await;
    let refused = earlier.take(&acme(), fence.clone(), sealer()).await.unwrap_err();
    assert!(refused.to_string().ends_with("reads up to 1: update it"), "{refused}");
    assert!(!earlier.holds(&acme()));
    assert_eq!(found_by(&release(&wire, 3), fence).await, [id(1), id(2), id(3)]);
}

async fn found_by(store: &Store, fence: Vec<Guard>) -> Vec<ChannelId> {
    store.take(&acme(), fence, sealer()).await.unwrap();
    store.ids(&acme()).unwrap()
}

#[tokio::test]
async fn states_that_are_held_are_committed_together_and_of_lost_accounts_they_are_dropped() {
    let wire = wire();
    let store = machine(&wire).holding();
    let names: Vec<AccountName> = (0..50).map(|n| format!("a{n}").parse().unwrap()).collect();
    for name in &names {
        let fence = claim(&wire, name, "one").await;
        store.take(name, fence, sealer()).await.unwrap();
        store.write_account_state(name, &looked(0)).await.unwrap();
        store.write_account_state(name, &looked(1)).await.unwrap();
    }
    let (lost, kept) = names.split_at(1);
    claim(&wire, &lost[0], "two").await;
    wire.sent();
    store.write_held().await.unwrap();
    assert_eq!(wire.sent().len(), 50);
    assert!(!store.holds(&lost[0]) && kept.iter().all(|name| store.holds(name)));
    let (other, fence) = (machine(&wire), claim(&wire, &kept[0], "two").await);
    other.take(&kept[0], fence, sealer()).await.unwrap();
    assert_eq!(other.account_state(&kept[0]).unwrap(), looked(1));
    assert_eq!(store.account_state(&lost[0]).unwrap(), AccountState::default());
    wire.sent();
    store.write_held().await.unwrap();
    assert_eq!(wire.sent(), [[""; 0]; 0], "nothing is held any more");
}

#[tokio::test]
async fn what_an_engine_did_not_take_is_told_of_and_comes_with_the_next_round() {
    let wire = wire();
    let store = owner(&wire, "one").await.holding();
    assert_eq!(store.behind(), [].into());
    wire.next(&[Fate::LostBefore]);
    assert!(is_unwritten(store.write_records(&acme(), &records([1])).await));
    assert_eq!(store.behind(), [acme()].into());
    wire.next(&[Fate::Full]);
    assert!(is_unwritten(store.write_held().await));
    store.write_held().await.unwrap();
    assert_eq!(store.behind(), [].into());
    assert_eq!(found_by_another(&wire).await.ids(&acme()).unwrap(), [id(1)]);
}

#[tokio::test]
async fn a_daemon_that_was_alone_brings_its_accounts_along_where_the_engine_has_nothing_of_them() {
    let wire = wire();
    let alone = Store::temporary().unwrap();
    fill(&alone).await;
    let neighbour: AccountName = "acme-2".parse().unwrap();
    alone.write_records(&neighbour, &records([9])).await.unwrap();
    let had = everything(&alone);
    let store = alone.shared(wire.clone(), PREFIX, Layouts::OWN);
    assert!(is_fenced(store.bring_along(&acme()).await));
    let fence = claim(&wire, &acme(), "one").await;
    assert!(store.take(&acme(), fence, sealer()).await.unwrap().is_new);
    let brought = store.bring_along(&acme()).await.unwrap();
    assert_eq!((brought.channels, brought.ledgers, brought.entries), (3, 3, 18));
    assert_eq!(brought.looked_from, Some(minutes(1)));
    let is_ours = |(key, _): &(Vec<u8>, serde_json::Value)| !key.starts_with(b"acme-2");
    let had = had.into_iter().map(|(name, all)| (name, all.into_iter().filter(is_ours).collect()));
    assert_eq!(everything(&found_by_another(&wire).await), had.collect::<Everything>());
    let fence = claim(&wire, &acme(), "one").await;
    assert!(!store.take(&acme(), fence, sealer()).await.unwrap().is_new);
    assert!(store.compared(&acme()).await.unwrap().are_alike, "the engine has it by now");
}

/// A store with more of the account than one transaction holds, which has taken it.
async fn with_many(wire: &Arc<Wire>) -> Store {
    let alone = Store::temporary().unwrap();
    fill(&alone).await;
    alone.write_records(&acme(), &records(1..=13_000)).await.unwrap();
    let store = alone.shared(wire.clone(), PREFIX, Layouts::OWN);
    let fence = claim(wire, &acme(), "one").await;
    assert!(store.take(&acme(), fence, sealer()).await.unwrap().is_new);
    store
}

#[tokio::test]
async fn an_account_that_is_brought_along_in_parts_counts_once_all_of_them_are_there() {
    let wire = wire();
    let store = with_many(&wire).await;
    wire.next(&[Fate::AfterTheLate, Fate::LostBefore]);
    assert!(store.bring_along(&acme()).await.is_err());
    let other = machine(&wire);
    let fence = claim(&wire, &acme(), "other").await;
    assert!(other.take(&acme(), fence.clone(), sealer()).await.unwrap().is_new, "a part is there");
    assert!(is_fenced(store.bring_along(&acme()).await), "it was claimed by another");

    let again = claim(&wire, &acme(), "one").await;
    assert!(store.take(&acme(), again, sealer()).await.unwrap().is_new);
    let brought = store.bring_along(&acme()).await.unwrap();
    assert_eq!((brought.channels, brought.entries), (13_000, 13_015));
    let found = found_by_another(&wire).await;
    assert_eq!(found.ids(&acme()).unwrap().len(), 13_000);
    assert_eq!(found.account_state(&acme()).unwrap(), looked(1));
}

#[tokio::test]
async fn parts_that_arrived_are_replaced_by_what_its_owner_brings_along_if_it_is_nothing() {
    let wire = wire();
    let store = with_many(&wire).await;
    wire.next(&[Fate::AfterTheLate, Fate::LostBefore]);
    assert!(store.bring_along(&acme()).await.is_err());
    let other = machine(&wire);
    let fence = claim(&wire, &acme(), "other").await;
    assert!(other.take(&acme(), fence, sealer()).await.unwrap().is_new);
    assert_eq!(other.bring_along(&acme()).await.unwrap(), Contents::default());
    let fence = claim(&wire, &acme(), "third").await;
    let third = machine(&wire);
    assert!(!third.take(&acme(), fence, sealer()).await.unwrap().is_new, "it is served");
    assert_eq!(third.ids(&acme()).unwrap(), []);
}

#[tokio::test]
async fn what_an_engine_has_comes_back_into_the_database_in_the_place_of_what_is_older() {
    let wire = wire();
    let served = owner(&wire, "one").await;
    fill(&served).await;
    served.write_account_state(&acme(), &looked(9)).await.unwrap();
    let neighbour: AccountName = "acme-2".parse().unwrap();
    let alone = Store::temporary().unwrap();
    alone.write_records(&acme(), &records([5])).await.unwrap();
    alone.write_records(&neighbour, &records([9])).await.unwrap();
    alone.write_account_state(&acme(), &looked(3)).await.unwrap();
    let store = alone.clone().shared(wire.clone(), PREFIX, Layouts::OWN);
    let fence = claim(&wire, &acme(), "back").await;
    store.take(&acme(), fence, sealer()).await.unwrap();
    let Compared { here, there, are_alike } = store.compared(&acme()).await.unwrap();
    assert_eq!((here.channels, there.channels, are_alike), (1, 3, false));
    assert_eq!((here.looked_from, there.looked_from), (Some(minutes(3)), Some(minutes(9))));
    assert_eq!(store.bring_back(&acme()).await.unwrap(), there);
    assert!(store.compared(&acme()).await.unwrap().are_alike);
    let of_acme = |all: Everything| -> Everything {
        let is_its = |(key, _): &(Vec<u8>, serde_json::Value)| !key.starts_with(b"acme-2");
        let of = |(name, all): (_, Vec<_>)| (name, all.into_iter().filter(is_its).collect());
        all.into_iter().map(of).collect()
    };
    assert_eq!(of_acme(everything(&alone)), everything(&found_by_another(&wire).await));
    assert_eq!(alone.token(&acme()).unwrap(), Some(token()));
    assert_eq!(alone.ids(&neighbour).unwrap(), [id(9)], "it is another's");
}

#[tokio::test]
async fn an_account_that_came_back_in_part_was_never_looked_at_as_far_as_is_known() {
    let wire = wire();
    fill(&owner(&wire, "one").await).await;
    for batches in 0..13 {
        let alone = Store::temporary().unwrap();
        alone.write_records(&acme(), &records([5])).await.unwrap();
        alone.write_account_state(&acme(), &looked(3)).await.unwrap();
        let left = Mutex::new(batches);
        let alone = alone.gated(Arc::new(move || {
            let mut left = left.lock().unwrap();
            *left = i32::checked_sub(*left, 1).filter(|left| *left >= 0).unwrap_or(-1);
            if *left < 0 { Err(std::io::Error::other("full")) } else { Ok(()) }
        }));
        let store = alone.clone().shared(wire.clone(), PREFIX, Layouts::OWN);
        let fence = claim(&wire, &acme(), "back").await;
        store.take(&acme(), fence, sealer()).await.unwrap();
        let came = store.bring_back(&acme()).await;
        let looked_from = alone.account_state(&acme()).unwrap().looked_from;
        match (batches, came.is_ok()) {
            (0, false) => assert_eq!(looked_from, Some(minutes(3)), "nothing was begun"),
            (_, false) => assert_eq!(looked_from, None, "after {batches}"),
            (_, true) => assert_eq!(looked_from, Some(minutes(1))),
        }
    }
}

#[tokio::test]
async fn a_token_that_nobody_can_open_stays_where_it_is() {
    let wire = wire();
    fill(&owner(&wire, "one").await).await;
    let alone = Store::temporary().unwrap();
    let own = TokenState { fetches: vec![hours(5)], ..TokenState::new(Fingerprint(9)) };
    alone.write_token(&acme(), &own).await.unwrap();
    let store = alone.clone().shared(wire.clone(), PREFIX, Layouts::OWN);
    let fence = claim(&wire, &acme(), "back").await;
    store.take(&acme(), fence, Sealer::without_credentials()).await.unwrap();
    store.bring_back(&acme()).await.unwrap();
    assert_eq!(alone.token(&acme()).unwrap(), Some(own.clone()));
    assert!(store.compared(&acme()).await.unwrap().are_alike, "all but the token");
    store.bring_along(&acme()).await.unwrap();
    assert_eq!(found_by_another(&wire).await.token(&acme()).unwrap(), Some(token()));
}

#[tokio::test]
async fn an_account_at_rest_is_read_and_written_as_one_that_is_awake() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    let neighbour: AccountName = "acme-2".parse().unwrap();
    store.take(&neighbour, claim(&wire, &neighbour, "one").await, sealer()).await.unwrap();
    fill(&store).await;
    store.write_records(&neighbour, &records([9])).await.unwrap();
    store.write_ledgers(&neighbour, &[(id(9), Some(&ledger(9)))]).await.unwrap();
    let rests = || [acme(), neighbour.clone()].iter().for_each(|account| store.rest(account));
    rests();
    assert_eq!(store.record(&acme(), id(2)).unwrap(), Some(record(&spec(2))));
    rests();
    assert_eq!(store.ids(&acme()).unwrap(), [id(1), id(2), id(3)]);
    rests();
    assert_eq!(store.ledger_accounts().unwrap(), [acme(), neighbour.clone()].into());
    let mut seen = BTreeMap::<_, usize>::new();
    store.visit_grants(|account, _| *seen.entry(account.clone()).or_default() += 1).unwrap();
    assert_eq!(seen, [(acme(), 3), (neighbour.clone(), 1)].into());
    rests();
    wire.sent();
    store.write_account_state(&acme(), &looked(5)).await.unwrap();
    store.prove(&acme()).await.unwrap();
    assert_eq!(
        wire.sent(),
        [[format!("{PREFIX}accounts/acme")], [format!("{PREFIX}accounts/acme")]]
    );
    rests();
    store.write_records(&acme(), &[(id(2), None)].into()).await.unwrap();
    rests();
    // All that is not written yet goes through a rest, and so does what the engine did not take.
    wire.next(&[Fate::Full]);
    store.set_channels(&acme(), &[], &records([4])).unwrap();
    rests();
    assert!(is_unwritten(store.commit(&acme()).await));
    rests();
    store.commit(&acme()).await.unwrap();
    rests();
    assert_eq!(found_by_another(&wire).await.ids(&acme()).unwrap(), [id(1), id(3), id(4)]);
    store.let_go(&acme());
    assert!(store.ids(&acme()).unwrap().is_empty());
    assert_eq!(store.ids(&neighbour).unwrap(), [id(9)]);
}

#[tokio::test]
async fn who_reads_while_an_account_is_put_to_rest_misses_nothing() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    store.write_records(&acme(), &records(1..=50)).await.unwrap();
    std::thread::scope(|scope| {
        let resting = scope.spawn(|| (0..300).for_each(|_| store.rest(&acme())));
        while !resting.is_finished() {
            assert_eq!(store.ids(&acme()).unwrap().len(), 50);
            assert!(store.record(&acme(), id(7)).unwrap().is_some());
        }
    });
}

/// Prints what an account of a hundred channels takes, whose ids and times are as scattered as real
/// ones.
#[tokio::test]
async fn a_hundred_channels_take_few_bytes() {
    let wire = wire();
    let store = owner(&wire, "one").await;
    let scattered =
        |n: i64| 1_000_000_000_000_000 + n.wrapping_mul(7_919_000_003_777) % 8_000_000_000_000_000;
    let numbers: Vec<i64> = (1..=100).map(scattered).collect();
    let at = |n: i64| after(hours(0), Duration::from_millis((n % 86_400_000).unsigned_abs()));
    let ledgers: Vec<Ledger> = numbers.iter().map(|n| Ledger::new(&spec(*n), at(*n))).collect();
    let ledgers: Vec<_> = ledgers.iter().map(|ledger| (ledger.id, Some(ledger))).collect();
    let granted = |n: &i64| {
        let grant = Grant { at: at(*n), asked: at(n * 3), expiry: at(n * 3 + 86_400_000) };
        (id(*n), Some(Record { grant: Some(grant), ..record(&spec(*n)) }))
    };
    store.set_channels(&acme(), &ledgers, &numbers.iter().map(granted).collect()).unwrap();
    store.write_account_state(&acme(), &looked(0)).await.unwrap();
    store.write_token(&acme(), &token()).await.unwrap();
    let raw = everything(&store).into_iter().flat_map(|(_, all)| all);
    let raw: usize = raw.map(|(key, value)| key.len() + value.to_string().len()).sum();
    let mut total = 0;
    for (key, value) in wire.all().await.iter().filter(|(key, _)| key.contains("acme")) {
        println!("{key}: {} bytes", value.len());
        total += key.len() + value.len();
    }
    println!("{total} bytes in the engine, {raw} as JSON");
    assert!(total < 16_000, "{total} bytes");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever is changed and lost, what a machine takes is what was committed last.
    #[test]
    fn what_is_taken_is_what_was_committed_last(
        acts in proptest::collection::vec((0..6_u8, 1..400_i64, 0..7_u8), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(play(&acts));
    }
}

async fn play(acts: &[(u8, i64, u8)]) {
    let wire = wire();
    let mut store = owner(&wire, "m").await;
    // The states that the engine may hold: what was committed last, and what was sent since and not
    // answered.
    let mut candidates = vec![everything(&store)];
    for (turn, (act, number, fate)) in acts.iter().enumerate() {
        let fates = [Fate::LostBefore, Fate::LostAfter, Fate::Late, Fate::AfterTheLate, Fate::Full];
        wire.fates.lock().unwrap().clear();
        wire.fates.lock().unwrap().extend(fates.get(usize::from(*fate)));
        let many = *number..*number + 40;
        match act {
            0 => store.set_channels(&acme(), &[], &records(many)).unwrap(),
            1 => {
                let gone = many.map(|number| (id(number), None)).collect();
                store.set_channels(&acme(), &[], &gone).unwrap();
            }
            2 => {
                let ledger = ledger(*number);
                let changes = [(ledger.id, Some(&ledger))];
                store.set_channels(&acme(), &changes, &BTreeMap::new()).unwrap();
            }
            3 => store.keep_deliveries(&acme(), 1, *number as u64, &deliveries(5)).unwrap(),
            4 => store.set_states([(&acme(), &looked(*number as u64))]).unwrap(),
            _ => {
                wire.fates.lock().unwrap().clear();
                let other = owner(&wire, &format!("m{turn}")).await;
                let found = everything(&other);
                assert!(candidates.contains(&found), "the engine holds what nobody sent");
                assert!(!wire.deliver().await, "an owner of before has written");
                assert!(is_fenced(store.prove(&acme()).await));
                (store, candidates) = (other, vec![found]);
                continue;
            }
        }
        let now = everything(&store);
        match store.commit(&acme()).await {
            Ok(()) => candidates = vec![now],
            Err(_) => candidates.push(now),
        }
    }
    wire.fates.lock().unwrap().clear();
    store.commit(&acme()).await.unwrap();
    assert!(!wire.deliver().await, "what was late has come over what is newer");
    let committed = everything(&store);
    assert_eq!(everything(&owner(&wire, "last").await), committed);
}

fn deliveries(number: usize) -> Vec<Delivery> {
    let ids = vec!["1000000000000000001".to_owned()];
    vec![Delivery { operation: Operation::Edit, ids }; number]
}

fn a_recovery(number: u64) -> Recovery {
    Recovery {
        number,
        channel: id(1),
        name: testing::name(1),
        module: "Deals".to_owned(),
        notify_url: Fingerprint(9),
        gaps: Vec::new(),
        asked: None,
        planned: false,
        state: State::Reading,
        frozen: None,
        progress: Default::default(),
        credits: 3,
        doubts: Default::default(),
    }
}

const PREFIX: &str = "channelkeeper/test/";

/// A machine over an engine that can be set back, which has written these since it was kept.
async fn set_back(numbers: [i64; 2]) -> (Arc<Wire>, Store) {
    let simulated = SimulatedEngine::new();
    let wire = wire_over(&simulated);
    let earlier = owner(&wire, "earlier").await;
    earlier.write_records(&acme(), &records([7])).await.unwrap();
    let kept = simulated.keep();
    let store = owner(&wire, "one").await;
    for number in numbers {
        store.write_records(&acme(), &records([number])).await.unwrap();
    }
    store.write_records(&acme(), &[(id(7), None)].into()).await.unwrap();
    simulated.restore(&kept);
    store.lose(&acme());
    (wire, store)
}

#[tokio::test]
async fn an_engine_that_was_set_back_is_told_again_what_its_owner_knew() {
    let (wire, store) = set_back([1, 2]).await;
    assert!(!store.holds(&acme()), "it may be another machine's");
    assert_eq!(found_by_another(&wire).await.ids(&acme()).unwrap(), [id(7)]);
    let fence = claim(&wire, &acme(), "one").await;
    let taken = store.take(&acme(), fence, sealer()).await.unwrap();
    assert_eq!(taken, Taken { written_back: 3, ..Taken::default() });
    assert_eq!(store.ids(&acme()).unwrap(), [id(1), id(2)]);
    assert_eq!(found_by_another(&wire).await.ids(&acme()).unwrap(), [id(1), id(2)]);
}

#[tokio::test]
async fn nothing_is_written_back_over_somebody_else_or_after_a_while() {
    let (wire, store) = set_back([1, 2]).await;
    let other = owner(&wire, "two").await;
    other.write_records(&acme(), &records([8])).await.unwrap();
    let fence = claim(&wire, &acme(), "one").await;
    let taken = store.take(&acme(), fence, sealer()).await.unwrap();
    assert_eq!((taken, store.ids(&acme()).unwrap()), (Taken::default(), vec![id(7), id(8)]));
    let (wire, store) = set_back([1, 2]).await;
    [(); 2].iter().for_each(|()| store.age_aside());
    let fence = claim(&wire, &acme(), "one").await;
    store.take(&acme(), fence, sealer()).await.unwrap();
    assert_eq!(store.ids(&acme()).unwrap(), [id(7)]);
}

#[tokio::test]
async fn an_engine_that_was_emptied_is_told_all_of_it_and_an_old_database_nothing() {
    let simulated = SimulatedEngine::new();
    let empty = simulated.keep();
    let wire = wire_over(&simulated);
    let store = owner(&wire, "one").await;
    store.write_records(&acme(), &records([1, 2])).await.unwrap();
    simulated.restore(&empty);
    store.lose(&acme());
    let fence = claim(&wire, &acme(), "one").await;
    let taken = store.take(&acme(), fence, sealer()).await.unwrap();
    assert!(!taken.is_new && taken.written_back >= 2, "{taken:?}");
    assert_eq!(found_by_another(&wire).await.ids(&acme()).unwrap(), [id(1), id(2)]);
}
