//! Moves over the simulated engine, with machines that are there, dead or about to start.

use tokio::task::JoinHandle;

use super::*;
use crate::clock::VirtualClock;
use crate::cluster::keys::{Card, Claim};
use crate::coverage::Ledger;
use crate::engine::Change;
use crate::engine::simulated::SimulatedEngine;
use crate::model::cluster::Layouts;
use crate::model::record::AccountState;
use crate::testing::{acme, hours, id, minutes, record, spec};

/// A store on a machine, and the engine.
struct World {
    engine: SimulatedEngine,
    clock: Arc<VirtualClock>,
    alone: Store,
}

impl World {
    fn new() -> World {
        let clock = Arc::new(VirtualClock::new(hours(0), 1));
        World { engine: SimulatedEngine::new(), clock, alone: Store::temporary().unwrap() }
    }

    /// Another machine, whose store has nothing.
    fn elsewhere(&self) -> World {
        let (engine, clock) = (self.engine.clone(), self.clock.clone());
        World { engine, clock, alone: Store::temporary().unwrap() }
    }

    fn moving(&self, direction: Direction, existing: Existing) -> Arc<Moving> {
        let engine: Arc<dyn Engine> = Arc::new(self.engine.handle(self.clock.clone()));
        let keys = Keys::new("prod");
        Arc::new(Moving {
            store: self.alone.clone().shared(engine.clone(), keys.prefix(), Layouts::OWN),
            engine,
            keys,
            clock: self.clock.clone(),
            noted: None,
            credentials: BTreeMap::new(),
            accounts: None,
            direction,
            existing,
        })
    }

    async fn moved(&self, direction: Direction, existing: Existing) -> Result<MovePlan, MoveError> {
        let moving = self.moving(direction, existing);
        moving.carry_out(moving.plan().await?).await
    }

    async fn import(&self) -> Result<MovePlan, MoveError> {
        self.moved(Direction::Import, Existing::Refused).await
    }

    async fn export(&self) -> Result<MovePlan, MoveError> {
        self.moved(Direction::Export, Existing::Refused).await
    }

    /// An account was looked at in this minute, with so many channels.
    async fn knows(&self, account: &AccountName, minute: u64, channels: i64) {
        let ledgers: Vec<Ledger> =
            (1..=channels).map(|number| Ledger::new(&spec(number), hours(0))).collect();
        let ledgers: Vec<_> = ledgers.iter().map(|ledger| (ledger.id, Some(ledger))).collect();
        let records = (1..=channels).map(|number| (id(number), Some(record(&spec(number)))));
        self.alone.set_channels(account, &ledgers, &records.collect()).unwrap();
        let looked_from = Some(minutes(minute));
        let state = AccountState { looked_from, ..AccountState::default() };
        self.alone.write_account_state(account, &state).await.unwrap();
    }

    /// Writes into the engine as somebody else.
    async fn writes(&self, changes: Vec<Change>) {
        let handle = self.engine.handle(self.clock.clone());
        handle.commit(Vec::new(), changes).await.unwrap();
    }

    fn revision(&self) -> i64 {
        self.engine.entries().iter().map(|entry| entry.modified.0).max().unwrap_or(0)
    }

    /// A machine that beats until it is aborted.
    async fn beats(&self) -> JoinHandle<()> {
        let (handle, clock) = (self.engine.handle(self.clock.clone()), self.clock.clone());
        let put = Change::Put(Keys::new("prod").member(&member()), Card::default().to_bytes());
        handle.commit(Vec::new(), vec![put.clone()]).await.unwrap();
        tokio::spawn(async move {
            loop {
                clock.sleep(Duration::from_secs(2)).await;
                handle.commit(Vec::new(), vec![put.clone()]).await.unwrap();
            }
        })
    }

    fn claims(&self, account: &AccountName) -> Change {
        let claim = Claim { member: member(), membership: 1 };
        let key = Keys::new("prod").claim(&Charge::Account(account.clone()));
        Change::Put(key, claim.to_bytes())
    }
}

fn member() -> MemberId {
    MemberId { node: "host-1".to_owned(), boot: "00ff".to_owned() }
}

fn fates(plan: &MovePlan) -> Vec<Fate> {
    plan.accounts.iter().map(|it| it.fate).collect()
}

fn other() -> AccountName {
    "other".parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn accounts_go_into_the_engine_and_come_back_elsewhere_as_they_were() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    here.knows(&other(), 7, 200).await;
    let done = here.import().await.unwrap();
    assert_eq!(fates(&done), [Fate::Moves, Fate::Moves]);
    expect_test::expect![[r#"
        acme   moved: 3 channels, 3 ledgers, 7 entries
        other  moved: 200 channels, 200 ledgers, 401 entries
        2 accounts brought into the engine: 203 channels, 203 ledgers, 408 entries in all; 0 there already; nothing is written at Zoho
    "#]].assert_eq(&done.to_text(true));

    let there = here.elsewhere();
    assert_eq!(fates(&there.export().await.unwrap()), [Fate::Moves, Fate::Moves]);
    for account in [acme(), other()] {
        let [one, another] = [&here, &there].map(|world| {
            let store = &world.alone;
            let state = store.account_state(&account).unwrap();
            (store.records(&account).unwrap(), store.ledgers(&account).unwrap(), state)
        });
        assert_eq!(one, another);
    }
    let revision = here.revision();
    assert_eq!(fates(&here.import().await.unwrap()), [Fate::IsThere, Fate::IsThere]);
    assert_eq!(fates(&there.export().await.unwrap()), [Fate::IsThere, Fate::IsThere]);
    assert_eq!(here.revision(), revision, "nothing was written again");
}

#[tokio::test(start_paused = true)]
async fn a_plan_changes_nothing() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    let plan = here.moving(Direction::Import, Existing::Refused).plan().await.unwrap();
    expect_test::expect![[r#"
        acme  would move: 3 channels, 3 ledgers, 7 entries
        1 account would be brought into the engine: 3 channels, 3 ledgers, 7 entries in all; 0 there already; nothing is written at Zoho
    "#]].assert_eq(&plan.to_text(false));
    let keys = here.engine.entries().into_iter().map(|entry| entry.key);
    assert_eq!(keys.collect::<Vec<_>>(), ["channelkeeper/prod/meta/schema"]);
}

#[tokio::test(start_paused = true)]
async fn one_account_that_is_in_the_engine_otherwise_is_refused_and_nothing_moves() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    here.import().await.unwrap();
    here.knows(&acme(), 9, 4).await;
    here.knows(&other(), 9, 1).await;
    let revision = here.revision();
    assert!(matches!(here.import().await, Err(MoveError::Refused(1))));
    assert_eq!(here.revision(), revision);
    let done = here.moved(Direction::Import, Existing::Replaced).await.unwrap();
    assert_eq!(fates(&done), [Fate::Replaces, Fate::Moves]);
    assert_eq!(fates(&here.import().await.unwrap()), [Fate::IsThere, Fate::IsThere]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_replaces_what_is_older_and_nothing_that_may_be_newer() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    here.import().await.unwrap();
    let older = here.elsewhere();
    older.knows(&acme(), 4, 9).await;
    assert_eq!(fates(&older.export().await.unwrap()), [Fate::Moves]);
    assert_eq!(older.alone.ids(&acme()).unwrap().len(), 3);
    for minute in [5, 6] {
        let newer = here.elsewhere();
        newer.knows(&acme(), minute, 9).await;
        assert!(matches!(newer.export().await, Err(MoveError::Refused(1))), "{minute}");
        assert_eq!(newer.alone.ids(&acme()).unwrap().len(), 9);
        newer.moved(Direction::Export, Existing::Replaced).await.unwrap();
        assert_eq!(newer.alone.ids(&acme()).unwrap().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_while_a_machine_beats_and_one_that_is_dead_does_not_count() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    let machine = here.beats().await;
    let error = here.import().await.unwrap_err();
    assert!(error.to_string().starts_with("host-1 still beats: stop the daemon"), "{error}");
    assert!(matches!(here.export().await, Err(MoveError::Living(_))));
    machine.abort();
    here.writes(vec![here.claims(&acme())]).await;
    assert_eq!(fates(&here.import().await.unwrap()), [Fate::Moves]);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_claims_an_account_meanwhile_ends_its_move() {
    for direction in [Direction::Import, Direction::Export] {
        let here = World::new();
        here.knows(&acme(), 5, 3).await;
        let there = match direction {
            Direction::Import => here.elsewhere(),
            Direction::Export => {
                here.import().await.unwrap();
                here.elsewhere()
            }
        };
        let world = if direction == Direction::Import { &here } else { &there };
        let moving = world.moving(direction, Existing::Refused);
        let plan = moving.plan().await.unwrap();
        world.writes(vec![world.claims(&acme())]).await;
        let moved = moving.carry_out(plan).await;
        assert!(matches!(moved, Err(MoveError::Claimed(name)) if name == acme()), "{direction}");
        assert_eq!(there.alone.ids(&acme()).unwrap(), []);
        let is_its = |key: &str| key.starts_with("channelkeeper/prod/records/");
        let there_are = world.engine.entries().iter().filter(|it| is_its(&it.key)).count();
        assert_eq!(there_are, usize::from(direction == Direction::Export));
    }
}

#[tokio::test(start_paused = true)]
async fn an_export_is_not_whole_if_a_machine_claims_what_is_there_already() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    here.import().await.unwrap();
    let moving = here.moving(Direction::Export, Existing::Refused);
    let plan = moving.plan().await.unwrap();
    assert_eq!(fates(&plan), [Fate::IsThere]);
    here.writes(vec![here.claims(&acme())]).await;
    let moved = moving.carry_out(plan).await;
    assert!(matches!(moved, Err(MoveError::Claimed(name)) if name == acme()));
}

#[tokio::test(start_paused = true)]
async fn an_account_that_has_arrived_in_part_is_replaced_by_the_whole() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    here.import().await.unwrap();
    let key = "channelkeeper/prod/accounts/acme";
    let found = here.engine.entries().into_iter().find(|entry| entry.key == key).unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&found.value).unwrap();
    value["arrives"] = true.into();
    here.writes(vec![Change::Put(key.to_owned(), value.to_string().into_bytes())]).await;
    here.knows(&acme(), 9, 4).await;
    assert_eq!(fates(&here.import().await.unwrap()), [Fate::Moves]);
    assert_eq!(fates(&here.import().await.unwrap()), [Fate::IsThere]);
}

#[tokio::test(start_paused = true)]
async fn a_store_of_another_cluster_of_the_same_name_stays_where_it_is() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    let keys = Keys::new("prod");
    here.writes(vec![Change::Put(keys.incarnation(), b"theirs".to_vec())]).await;
    for (noted, is_foreign) in [("ours", true), ("theirs", false)] {
        let moving = here.moving(Direction::Import, Existing::Refused);
        let moving = Arc::into_inner(moving).unwrap();
        let moving = Arc::new(Moving { noted: Some(noted.to_owned()), ..moving });
        let planned = moving.plan().await;
        assert_eq!(matches!(planned, Err(MoveError::Foreign)), is_foreign, "{noted}");
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_are_named_and_one_that_nobody_knows_is_a_mistake() {
    let here = World::new();
    here.knows(&acme(), 5, 3).await;
    here.knows(&other(), 5, 3).await;
    for (name, expected) in [("other", Some(vec![Fate::Moves])), ("nobody", None)] {
        let moving = Arc::into_inner(here.moving(Direction::Import, Existing::Refused)).unwrap();
        let accounts = Some([name.parse().unwrap()].into());
        let planned = Arc::new(Moving { accounts, ..moving }).plan().await;
        assert_eq!(planned.ok().map(|plan| fates(&plan)), expected);
    }
}
