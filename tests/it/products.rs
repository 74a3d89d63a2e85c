//! The life of an account of each product, and all of them in one daemon.

use std::time::Duration;

use channelkeeper::model::product::Product;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::knobs::{Length, UndocumentedKeys};
use channelkeeper::simulator::{Hand, Knobs};

use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);

/// An account of each product, with channels of its modules.
fn four_products() -> World {
    let knobs = Knobs { undocumented_keys: UndocumentedKeys::Refused, ..Knobs::default() };
    let mut world = World::new(knobs, &[("crm", ApiVersion::V8)]);
    world.add_org(Product::Bigin, "bigin");
    world.add_org(Product::Recruit, "recruit");
    world.add_org(Product::Vertical, "vertical");
    world.declare("crm", "deals", &["Deals.all"]);
    world.declare("bigin", "pipelines", &["Pipelines.all", "Contacts.create"]);
    world.declare("bigin", "companies", &["Accounts.edit"]);
    world.declare("recruit", "candidates", &["Candidates.all", "Job_Openings.create"]);
    world.declare("vertical", "leads", &["Leads.all"]);
    world
}

fn assert_all_covered(world: &World) {
    for (account, id) in world.declared() {
        assert!(world.is_covered(&account, id, world.now()), "{account} {id} at {}", world.now());
    }
}

#[tokio::test(start_paused = true)]
async fn four_products_live_in_one_daemon_and_no_write_is_for_what_cannot_be_repaired() {
    let mut world = four_products();
    world.start();
    world.audit().await;
    for _ in 0..3 * 24 {
        assert_all_covered(&world);
        world.pass_time(HOUR).await;
    }
    for product in Product::ALL {
        let counters = world.zoho().counters(product.as_str()).cloned().unwrap();
        let writes = counters.calls["POST"];
        assert!((6..=8).contains(&writes), "{product}: {:?}", counters.calls);
        assert_eq!(world.writes(product.as_str()), writes, "{product}: nothing but renewals");
        assert!(counters.items_refused.is_empty(), "{product}: {:?}", counters.items_refused);
    }
}

#[tokio::test(start_paused = true)]
async fn drift_is_repaired_and_a_deleted_channel_is_back_whatever_the_product() {
    let mut world = four_products();
    world.start();
    world.audit().await;
    for (account, id) in world.declared() {
        let hand = Hand::SetNotifyUrl {
            channel: id.number(),
            notify_url: "https://elsewhere.test/".to_owned(),
        };
        assert!(world.hand(&account, &hand));
    }
    world.audit().await;
    world.audit().await;
    assert_all_covered(&world);
    for (account, id) in world.declared() {
        assert!(world.hand(&account, &Hand::Delete { channel: id.number() }));
        assert!(!world.is_covered(&account, id, world.now()));
    }
    world.audit().await;
    world.audit().await;
    assert_all_covered(&world);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_bigin_lost_and_nobody_declares_is_forgotten() {
    let mut world = four_products();
    world.start();
    world.audit().await;
    let (_, gone) = world.declared().into_iter().find(|(account, _)| account == "bigin").unwrap();
    world.undeclare("bigin", gone);
    assert!(world.hand("bigin", &Hand::Delete { channel: gone.number() }));
    world.reload().await;
    world.audit().await;
    assert!(!world.ours("bigin").contains(&gone));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_show_a_channel_yet_costs_a_write_a_look_and_no_coverage() {
    let list_lag = Length(Duration::from_secs(60));
    let mut world = World::new(Knobs { list_lag, ..Knobs::default() }, &[]);
    world.add_org(Product::Bigin, "bigin");
    world.declare("bigin", "pipelines", &["Pipelines.all"]);
    world.start();
    world.audit().await;
    assert_all_covered(&world);
    world.audit().await;
    assert_all_covered(&world);
    world.pass_time(2 * list_lag.0).await;
    let writes = world.writes("bigin");
    assert!(writes <= 3, "one at the start, and at most one for each look: {writes}");
    world.audit().await;
    assert_eq!(world.writes("bigin"), writes);
    assert_all_covered(&world);
}
