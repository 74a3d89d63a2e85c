//! Two machines with files of their own over one simulated engine.

use std::collections::BTreeMap;

use super::*;
use crate::clock::VirtualClock;
use crate::cluster::MemberId;
use crate::cluster::view::MemberView;
use crate::engine::simulated::{Fault, Kept as Snapshot, SimulatedEngine, SimulatedHandle};
use crate::model::cluster::{ClusterSettings, WithoutEngine};
use crate::model::desired::AccountDesired;
use crate::testing::spec;
use crate::zoho::testing::account;

const RELOAD: Proposing = Proposing::RELOAD;

/// A file of accounts with so many channels each, for a cluster.
fn file(accounts: &[(&str, i64)]) -> OwnFile {
    let mut desired = Desired::default();
    desired.settings.cluster = Some(ClusterSettings {
        name: "t".to_owned(),
        engine: Vec::new(),
        login: None,
        node: None,
        serial: None,
        without_engine: WithoutEngine::default(),
    });
    for (name, channels) in accounts {
        let mut account = account();
        account.name = name.parse().unwrap();
        let specs =
            (1..=*channels).map(|number| (crate::testing::id(number), Arc::new(spec(number))));
        let declared = AccountDesired::new(account, specs.collect());
        desired.accounts.insert(name.parse().unwrap(), declared);
    }
    OwnFile::new(desired)
}

fn with_serial(mut own: OwnFile, serial: u64) -> OwnFile {
    own.desired.settings.cluster.as_mut().unwrap().serial = Some(serial);
    own
}

fn fleet(own: &OwnFile) -> Fleet {
    Fleet::declared(own.desired.clone(), BTreeMap::new())
}

fn nothing() -> Fleet {
    Fleet::declared(Desired::default(), BTreeMap::new())
}

struct World {
    engine: SimulatedEngine,
    clock: Arc<VirtualClock>,
}

impl World {
    fn new() -> World {
        let begins = "2026-01-01T00:00:00Z".parse().unwrap();
        World { engine: SimulatedEngine::new(), clock: Arc::new(VirtualClock::new(begins, 1)) }
    }

    fn machine(&self, node: &str, own: OwnFile) -> (Generations, SimulatedHandle) {
        let handle = self.engine.handle(self.clock.clone());
        let (_, view) = watch::channel(ClusterView::default());
        let setup = GenerationsSetup {
            engine: Arc::new(handle.clone()),
            cluster: "t".to_owned(),
            node: node.to_owned(),
            clock: self.clock.clone(),
            view,
            leash: Leash::new(self.clock.clone()),
            own: Some(own),
        };
        (Generations::new(setup), handle)
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_reloaded_at_one_machine_is_in_force_at_the_other() {
    let world = World::new();
    let (one, _) = world.machine("one", file(&[("acme", 2)]));
    let (two, _) = world.machine("two", file(&[("acme", 2)]));
    assert_eq!(*one.settled().borrow(), None, "nothing is known yet");
    assert!(one.follow(&nothing()).await.unwrap().is_none());
    assert!(two.follow(&nothing()).await.unwrap().is_none(), "its file says the same");
    assert_eq!((*one.settled().borrow(), *two.settled().borrow()), (Some(1), Some(1)));

    let later = file(&[("acme", 2), ("beta", 3)]);
    assert_eq!(one.propose(later.clone(), RELOAD, &nothing()).await, Ok(2));
    let followed = two.follow(&nothing()).await.unwrap().unwrap();
    assert_eq!(followed.in_force.number(), 2);
    assert!(followed.note.problems.is_empty());
    assert!(followed.note.warnings[0].contains("from one; the file here is another one"));
    let surroundings = Surroundings::of_process();
    let restored = followed.in_force.restore(&later.desired, &surroundings).unwrap();
    assert_eq!(restored.desired.accounts, later.desired.accounts);
    two.has_followed(followed.in_force).await;
    assert_eq!(*two.settled().borrow(), Some(2));
    assert!(two.follow(&nothing()).await.unwrap().is_none());
    assert_eq!(
        two.propose(later, RELOAD, &nothing()).await,
        Ok(2),
        "the same file comes to it too"
    );
}

#[tokio::test(start_paused = true)]
async fn each_machine_counts_from_when_another_generation_comes_to_it() {
    let world = World::new();
    let minute = Duration::from_secs(60);
    let (one, _) = world.machine("one", file(&[("acme", 2)]));
    let (two, _) = world.machine("two", file(&[("acme", 2)]));
    one.follow(&nothing()).await.unwrap();
    two.follow(&nothing()).await.unwrap();
    world.clock.sleep(minute).await;
    let later = file(&[("acme", 1)]);
    one.propose(later.clone(), RELOAD, &nothing()).await.unwrap();
    assert_eq!(one.leash.declared_for(), Duration::ZERO);
    assert!(two.leash.declared_for() >= minute, "it has not heard of it");
    world.clock.sleep(minute).await;
    let followed = two.follow(&nothing()).await.unwrap().unwrap();
    assert_eq!(two.leash.declared_for(), Duration::ZERO);
    two.has_followed(followed.in_force).await;
    world.clock.sleep(minute).await;
    two.propose(later, RELOAD, &nothing()).await.unwrap();
    assert_eq!(two.leash.declared_for(), minute, "the same once more is nothing new");
    assert!(!two.until_removals().await);
    two.propose(file(&[("acme", 2)]), RELOAD, &nothing()).await.unwrap_err();
    two.propose(file(&[("acme", 3)]), RELOAD, &nothing()).await.unwrap();
    assert!(two.until_removals().await);
    assert_eq!(two.leash.declared_for(), DECLARED_MIN_TAKING);
}

#[tokio::test(start_paused = true)]
async fn an_old_file_changes_nothing_and_is_told_and_a_rollback_puts_it_in_force() {
    let world = World::new();
    let (old, new) = (file(&[("acme", 2)]), file(&[("acme", 3)]));
    let (one, _) = world.machine("one", old.clone());
    one.follow(&nothing()).await.unwrap();
    one.propose(new, RELOAD, &nothing()).await.unwrap();

    let (two, _) = world.machine("two", old.clone());
    let followed = two.follow(&nothing()).await.unwrap().unwrap();
    assert_eq!(followed.in_force.number(), 2);
    let [problem] = followed.note.problems.as_slice() else {
        panic!("{:?}", followed.note.problems)
    };
    assert!(problem.starts_with("the file was in force 1 generation ago"), "{problem}");
    two.has_followed(followed.in_force).await;
    let refused = two.propose(old.clone(), RELOAD, &nothing()).await.unwrap_err();
    assert!(refused[0].contains("apply --rollback"), "{refused:?}");
    assert!(one.follow(&nothing()).await.unwrap().is_none(), "nothing flaps");

    let rollback = Proposing { occasion: Occasion::Rollback, ..RELOAD };
    assert_eq!(two.propose(old, rollback, &nothing()).await, Ok(3));
    assert_eq!(one.follow(&nothing()).await.unwrap().unwrap().in_force.number(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_new_file_at_a_start_is_told_and_not_published_unless_its_serial_is_higher() {
    let world = World::new();
    let (one, _) = world.machine("one", with_serial(file(&[("acme", 2)]), 7));
    one.follow(&nothing()).await.unwrap();
    let (two, _) = world.machine("two", with_serial(file(&[("acme", 3)]), 6));
    let followed = two.follow(&nothing()).await.unwrap().unwrap();
    assert!(followed.note.problems[0].contains("the serial of the file is 6, and 7 is in force"));
    let (three, _) = world.machine("three", file(&[("acme", 4)]));
    let followed = three.follow(&nothing()).await.unwrap().unwrap();
    assert!(followed.note.problems[0].contains("has no serial"), "{:?}", followed.note.problems);
    let (four, _) = world.machine("four", with_serial(file(&[("acme", 5)]), 8));
    assert!(four.follow(&nothing()).await.unwrap().is_none());
    assert_eq!(*four.settled().borrow(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_leaves_much_out_waits_until_somebody_allows_it() {
    let world = World::new();
    let whole = file(&[("acme", 6), ("beta", 3)]);
    let (one, _) = world.machine("one", whole.clone());
    one.follow(&nothing()).await.unwrap();
    let less = file(&[("acme", 5)]);
    let refused = one.propose(less.clone(), RELOAD, &fleet(&whole)).await.unwrap_err();
    assert!(refused[0].contains("leaves out 1 of 2 accounts and 4 of 9 channels"), "{refused:?}");
    let a_third = file(&[("acme", 3), ("beta", 3)]);
    assert_eq!(one.propose(a_third, RELOAD, &fleet(&whole)).await, Ok(2));
    let allowed = Proposing { emptied: Emptied::Allowed, ..RELOAD };
    assert_eq!(one.propose(less, allowed, &fleet(&whole)).await, Ok(3));
    let (two, _) = world.machine("two", whole);
    let followed = two.follow(&nothing()).await.unwrap().unwrap();
    assert_eq!(
        followed.in_force.removals(),
        Emptied::Allowed,
        "the others need not allow it again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_generation_whose_answer_was_lost_is_looked_up() {
    let world = World::new();
    let both = file(&[("acme", 1), ("beta", 1)]);
    let (one, handle) = world.machine("one", both.clone());
    one.follow(&nothing()).await.unwrap();
    // No part of it is new, so the first commit is the one that names them.
    handle.fault(Fault::LostAfter);
    let allowed = Proposing { emptied: Emptied::Allowed, ..RELOAD };
    let smaller = file(&[("acme", 1)]);
    assert_eq!(one.propose(smaller.clone(), allowed, &fleet(&both)).await, Ok(2));
    handle.fault(Fault::LostBefore);
    let rollback = Proposing { occasion: Occasion::Rollback, ..allowed };
    let refused = one.propose(both, rollback, &fleet(&smaller)).await.unwrap_err();
    assert!(refused[0].contains("put in force nowhere"), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_engine_nothing_is_put_in_force() {
    let world = World::new();
    let (one, handle) = world.machine("one", file(&[("acme", 1)]));
    handle.set_cut(true);
    assert!(matches!(one.follow(&nothing()).await, Err(FollowError::Engine(_))));
    let refused = one.propose(file(&[("acme", 2)]), RELOAD, &nothing()).await.unwrap_err();
    assert!(refused[0].contains("put in force nowhere"), "{refused:?}");
    assert_eq!(*one.settled().borrow(), None);
    handle.set_cut(false);
    one.follow(&nothing()).await.unwrap();
    let (two, _) = world.machine("two", file(&[("acme", 1)]));
    assert!(two.follow(&nothing()).await.unwrap().is_none(), "what was refused is not published");
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_file_is_broken_follows_and_stays_in_its_cluster() {
    let world = World::new();
    let whole = file(&[("acme", 2)]);
    let (one, _) = world.machine("one", whole.clone());
    one.follow(&nothing()).await.unwrap();
    let (two, _) = world.machine("two", whole.clone());
    two.state.lock().await.own = None;
    let followed = two.follow(&fleet(&whole)).await.unwrap().unwrap();
    assert_eq!(followed.own.settings, whole.desired.settings);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_set_back_is_given_what_is_in_force() {
    let world = World::new();
    let (one, _) = world.machine("one", file(&[("acme", 1)]));
    one.follow(&nothing()).await.unwrap();
    let before = world.engine.keep();
    let number = one.propose(file(&[("acme", 2)]), RELOAD, &nothing()).await.unwrap();
    one.is_in_force(number);
    for kept in [before, Snapshot::default()] {
        let number = one.settled().borrow().unwrap();
        world.engine.restore(&kept);
        assert!(one.follow(&nothing()).await.unwrap().is_none());
        assert_eq!(*one.settled().borrow(), Some(number + 1));
        let (two, _) = world.machine("two", file(&[("acme", 2)]));
        assert!(two.follow(&nothing()).await.unwrap().is_none(), "it is whole");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_puts_a_file_in_force_waits_for_the_others_and_not_for_ever() {
    let world = World::new();
    let (mut one, _) = world.machine("one", file(&[("acme", 1)]));
    let member = |node: &str| MemberId { node: node.to_owned(), boot: "0".to_owned() };
    let of = |generation| MemberView {
        changed: Duration::ZERO,
        settled: true,
        draining: false,
        version: String::new(),
        generation,
        owns: 0,
    };
    let view = |two| ClusterView {
        me: Some(member("one")),
        members: [(member("one"), of(1)), (member("two"), of(two))].into(),
        ..ClusterView::default()
    };
    let (showing, shown) = watch::channel(view(1));
    one.view = shown;
    let begun = world.clock.elapsed();
    one.until_everywhere(1).await;
    assert_eq!(world.clock.elapsed(), begun);
    one.until_everywhere(2).await;
    assert!(world.clock.elapsed() - begun >= EVERYWHERE_WITHIN, "nobody followed");
    let waiting = one.until_everywhere(2);
    let following = async {
        tokio::task::yield_now().await;
        showing.send_replace(view(2));
    };
    tokio::join!(waiting, following);
    assert!(world.clock.elapsed() - begun < 2 * EVERYWHERE_WITHIN);
}
