//! The fate of files, and generations over a simulated engine.

use std::sync::Arc;

use super::*;
use crate::clock::VirtualClock;
use crate::engine::simulated::{Fault, SimulatedEngine, SimulatedHandle};

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

/// A file with these parts, by account.
fn file(serial: Option<u64>, accounts: &[(&str, &str)]) -> Proposal {
    let accounts: BTreeMap<AccountName, String> =
        accounts.iter().map(|(account, part)| (name(account), (*part).to_owned())).collect();
    let hash = format!("{:?}", accounts.values().collect::<Vec<_>>());
    Proposal { serial, hash, settings: "settings".to_owned(), accounts }
}

fn at() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn following(before: Option<&Generation>, proposal: Proposal) -> Generation {
    Generation::following(before, proposal, "one", at())
}

#[test]
fn a_file_follows_or_is_kept_out_by_its_content_and_its_serial() {
    let one = |serial| file(serial, &[("acme", "a1")]);
    let two = |serial| file(serial, &[("acme", "a2")]);
    let three = |serial| file(serial, &[("acme", "a3")]);
    let of = |serial| following(Some(&following(None, one(serial))), two(serial));
    let (plain, numbered) = (of(None), of(Some(42)));
    use Occasion::{Asked, Rollback, Start};
    use Verdict::{Keep, Publish, Same};
    let rows = [
        (one(None), None, Start, Publish),
        (two(None), Some(&plain), Start, Same),
        (two(Some(7)), Some(&numbered), Asked, Same),
        (three(Some(43)), Some(&numbered), Start, Publish),
        (three(Some(1)), Some(&plain), Start, Publish),
        (three(Some(41)), Some(&numbered), Asked, Keep(Kept::OlderSerial(41, 42))),
        (one(Some(41)), Some(&numbered), Rollback, Keep(Kept::OlderSerial(41, 42))),
        (three(Some(42)), Some(&numbered), Asked, Keep(Kept::SameSerial(42))),
        (three(None), Some(&numbered), Asked, Keep(Kept::NoSerial(42))),
        (one(None), Some(&plain), Start, Keep(Kept::Former(1))),
        (one(None), Some(&plain), Asked, Keep(Kept::Former(1))),
        (one(None), Some(&plain), Rollback, Publish),
        (three(None), Some(&plain), Asked, Publish),
        (three(None), Some(&plain), Rollback, Publish),
        (three(None), Some(&plain), Start, Keep(Kept::Unasked)),
    ];
    for (proposal, in_force, occasion, verdict) in rows {
        assert_eq!(judge(&proposal, in_force, occasion), verdict, "{proposal:?} {occasion:?}");
    }
}

#[test]
fn sixty_four_generations_are_known_again_and_each_content_once() {
    let mut generation = following(None, file(None, &[("acme", "0")]));
    for number in 1..=100 {
        let part = number.to_string();
        generation = following(Some(&generation), file(None, &[("acme", &part)]));
    }
    assert_eq!((generation.number, generation.former.len()), (101, FORMER_MAX));
    let before =
        |part: &str| judge(&file(None, &[("acme", part)]), Some(&generation), Occasion::Asked);
    assert_eq!(before("99"), Verdict::Keep(Kept::Former(1)));
    assert_eq!(before("36"), Verdict::Keep(Kept::Former(64)));
    assert_eq!(before("35"), Verdict::Publish);
    let back = following(Some(&generation), file(None, &[("acme", "99")]));
    assert_eq!(back.former.iter().filter(|hash| **hash == back.hash).count(), 0);
}

/// A cluster with the ways of two machines to its engine.
struct World {
    engine: SimulatedEngine,
    handles: [SimulatedHandle; 2],
    keys: Keys,
}

impl World {
    fn new() -> World {
        let clock = Arc::new(VirtualClock::new(at(), 1));
        let engine = SimulatedEngine::new();
        let handles = [engine.handle(clock.clone()), engine.handle(clock)];
        World { engine, handles, keys: Keys::new("t") }
    }

    async fn current(&self) -> Seen {
        current(&self.handles[0], &self.keys).await.unwrap()
    }

    async fn publish(&self, seen: &Seen, proposal: Proposal) -> Committed {
        let generation = following(seen.generation.as_ref(), proposal);
        let names = generation.parts();
        let parts = names.iter().map(|name| (*name, name.as_bytes())).collect();
        publish(&self.handles[1], &self.keys, seen, &generation, &parts).await.unwrap()
    }

    fn parts(&self) -> Vec<String> {
        let entries = self.engine.entries();
        let names = entries.iter().filter_map(|entry| self.keys.part_of(&entry.key));
        names.map(str::to_owned).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_publishes_the_others_read_whole() {
    let world = World::new();
    assert_eq!(world.current().await, Seen::default());
    let first = file(Some(3), &[("acme", "a1"), ("beta", "b1")]);
    assert!(matches!(world.publish(&Seen::default(), first).await, Committed::Done(_)));
    let seen = world.current().await;
    let generation = seen.generation.clone().unwrap();
    assert_eq!((generation.number, generation.serial), (1, Some(3)));
    let names = generation.parts();
    let read = parts(&world.handles[0], &world.keys, &names).await.unwrap();
    assert!(names.iter().all(|name| read[*name] == name.as_bytes()), "{read:?}");
}

#[tokio::test(start_paused = true)]
async fn of_two_that_saw_the_same_one_publishes_and_the_other_is_refused() {
    let world = World::new();
    let seen = world.current().await;
    let (one, two) = (file(None, &[("acme", "a1")]), file(None, &[("acme", "a2")]));
    assert!(matches!(world.publish(&seen, one).await, Committed::Done(_)));
    assert_eq!(world.publish(&seen, two).await, Committed::Refused);
    assert_eq!(world.current().await.generation.unwrap().accounts[&name("acme")], "a1");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_a_later_publisher_counts_on_is_not_swept() {
    let world = World::new();
    let publish = async |part: &str| {
        let seen = world.current().await;
        world.publish(&seen, file(None, &[("acme", part)])).await
    };
    publish("a1").await;
    publish("a2").await;
    let before = world.current().await;
    // One who goes back to the first writes its part anew, and has not named it yet.
    let key = world.keys.part("a1");
    let put = vec![Change::Put(key.clone(), b"a1".to_vec())];
    world.handles[1].commit(Vec::new(), put).await.unwrap();
    assert_eq!(sweep(&world.handles[0], &world.keys, &before).await.unwrap(), 0);
    publish("a3").await;
    let now = world.current().await;
    assert_eq!(sweep(&world.handles[0], &world.keys, &now).await.unwrap(), 2);
    assert_eq!(world.parts(), ["a3", "settings"]);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_written_anew_while_a_sweep_is_on_its_way_stays() {
    let world = World::new();
    for part in ["a1", "a2"] {
        let seen = world.current().await;
        world.publish(&seen, file(None, &[("acme", part)])).await;
    }
    let seen = world.current().await;
    world.handles[0].fault(Fault::Held);
    assert!(sweep(&world.handles[0], &world.keys, &seen).await.is_err(), "it waits in vain");
    let put = vec![Change::Put(world.keys.part("a1"), b"a1".to_vec())];
    world.handles[1].commit(Vec::new(), put).await.unwrap();
    world.engine.land();
    assert_eq!(world.parts(), ["a1", "a2", "settings"]);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_accounts_follow_at_once() {
    let world = World::new();
    let accounts: Vec<(String, String)> =
        (0..10_000).map(|number| (format!("org-{number}"), format!("{number:032x}"))).collect();
    let named: Vec<(&str, &str)> =
        accounts.iter().map(|(account, part)| (account.as_str(), part.as_str())).collect();
    let seen = world.current().await;
    assert!(matches!(world.publish(&seen, file(None, &named)).await, Committed::Done(_)));
    let generation = world.current().await.generation.unwrap();
    let read = parts(&world.handles[0], &world.keys, &generation.parts()).await.unwrap();
    assert_eq!(read.len(), 10_001);
}

#[tokio::test(start_paused = true)]
async fn a_part_that_no_engine_takes_is_named_and_nothing_is_published() {
    let world = World::new();
    let generation = following(None, file(None, &[("acme", "a1")]));
    let large = vec![0; COMMIT_BYTES_MAX];
    let parts = BTreeMap::from([("a1", large.as_slice())]);
    let seen = Seen::default();
    let refused = publish(&world.handles[0], &world.keys, &seen, &generation, &parts).await;
    assert!(refused.unwrap_err().to_string().contains("a declaration takes"));
    assert_eq!(world.current().await, Seen::default());
}
