//! Ring 3: a disk that cannot be written in mid-life.

use std::time::Duration;

use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::{Hand, Knobs};

use crate::world::World;
use crate::world::truth::check_ledger;

const HOUR: Duration = Duration::from_secs(3600);

async fn running() -> World {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    world.declare("acme", "deals", &["Deals.all", "Contacts.create"]);
    world.declare("acme", "leads", &["Leads.create"]);
    world.start();
    world.audit().await;
    world.pass_time(HOUR).await;
    world
}

fn assert_all_covered(world: &World) {
    for (account, id) in world.declared() {
        assert!(
            world.is_covered(&account, id, world.now()),
            "{account} {id} is not covered at {}",
            world.now()
        );
    }
}

fn store_failed(world: &World) -> Option<String> {
    world.daemon().links.overview.borrow().store_failed.clone()
}

#[tokio::test(start_paused = true)]
async fn days_of_a_full_disk_lapse_nothing_and_all_of_it_is_written_once_there_is_room() {
    let mut world = running().await;
    let (_, id) = world.declared()[0].clone();
    world.fuse.fill_disk(true);
    for hour in 0..3 * 24 {
        if hour == 30 {
            assert!(world.hand("acme", &Hand::Delete { channel: id.number() }));
            world.audit().await;
        }
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
    }
    let said = store_failed(&world).expect("it is said");
    assert!(said.contains("held from memory") && said.contains("make room"), "{said}");
    let tokens = world.zoho().counters("acme").expect("an org").tokens_issued;
    assert!((70..=80).contains(&tokens), "one an hour, as ever: {tokens}");
    assert_eq!(check_ledger(&world), Vec::<String>::new());

    world.fuse.fill_disk(false);
    world.pass_time(HOUR / 10).await;
    assert_eq!((store_failed(&world), world.store().trouble()), (None, None));
    let (writes, ledgers) = (world.writes("acme"), world.ledgers("acme"));
    world.crash().await;
    world.start();
    assert_eq!(
        world.ledgers("acme"),
        ledgers,
        "the gap that a hand made while the disk was full is known"
    );
    world.audit().await;
    assert_eq!(world.writes("acme"), writes);
    assert_eq!(
        world.zoho().counters("acme").expect("an org").tokens_issued,
        tokens,
        "nor is a token asked for"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_under_a_full_disk_lapses_nothing_and_hides_no_gap() {
    for hours in [5, 30] {
        let mut world = running().await;
        let gone = world.declared()[0].1;
        world.fuse.fill_disk(true);
        let new = world.declare("acme", "cases", &["Cases.all"]);
        world.undeclare("acme", gone);
        world.reload().await;
        world.pass_time(hours * HOUR).await;
        assert_all_covered(&world);
        world.crash().await;
        world.start();
        world.audit().await;
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
        assert!(store_failed(&world).is_some(), "it starts on a full disk, and says so");
        world.fuse.fill_disk(false);
        world.pass_time(HOUR).await;
        assert_all_covered(&world);
        assert_eq!(check_ledger(&world), Vec::<String>::new());
        let counters = world.zoho().counters("acme").expect("an org").clone();
        assert_eq!((counters.channels_created, counters.channels_deleted), (3, 1));
        let ours = world.ours("acme");
        assert!(ours.contains(&new) && !ours.contains(&gone), "{ours:?}");
    }
}
