//! Ring 2: all running channels of an account are gone at once. Somebody deleted them, or another
//! org answers.

use std::time::Duration;

use channelkeeper::model::version::ApiVersion;
use channelkeeper::plan::vanished::to_accept;
use channelkeeper::simulator::{Fault, Hand, Knobs, Org, Rule};

use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

/// Three channels that were seen running.
async fn running() -> World {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    let refresh_tokens = ["1000.refresh-acme", "1000.refresh-other"].map(str::to_owned).to_vec();
    world.zoho().add_org(Org { refresh_tokens, ..Org::new("acme") });
    for number in 0..3 {
        world.declare("acme", &format!("c{number}"), &["Deals.all"]);
    }
    world.start();
    world.audit().await;
    world.audit().await;
    assert_eq!(covered(&world), 3);
    world
}

fn covered(world: &World) -> usize {
    let now = world.now();
    world.zoho().channels("acme", now).len()
}

fn somebody_else_s(world: &World) {
    let expiry = channelkeeper::model::time::after(world.now(), HOUR * 100);
    let (events, notify_url) = (vec!["Deals.all".to_owned()], "https://x.example.com/".to_owned());
    let hand = Hand::Create { channel: 77, events, notify_url, token: None, expiry };
    assert!(world.hand("acme", &hand));
}

fn switch(world: &World, digits: &str) {
    assert!(world.hand("acme", &Hand::SwitchOrg { digits: digits.to_owned() }));
}

async fn with_another_refresh_token(world: &mut World) {
    let credentials = &mut world.account_mut("acme").account.credentials;
    credentials.refresh_token = "1000.refresh-other".into();
    world.reload().await;
    world.audit().await;
}

fn causes(world: &World) -> Vec<&'static str> {
    world.report("acme").after.held.iter().map(|held| held.cause.word()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_somebody_deleted_all_at_once_is_enabled_at_once() {
    for is_seen_to_be_the_same in [true, false] {
        let world = running().await;
        if is_seen_to_be_the_same {
            somebody_else_s(&world);
        }
        world.hand("acme", &Hand::DeleteAll);
        if is_seen_to_be_the_same {
            somebody_else_s(&world);
        }
        world.audit().await;
        assert_eq!(covered(&world), 3 + usize::from(is_seen_to_be_the_same));
        assert!(causes(&world).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn in_another_org_nothing_is_enabled_until_the_right_one_is_back_or_somebody_says_so() {
    for says_so in [false, true] {
        let mut world = running().await;
        switch(&world, "4876876");
        somebody_else_s(&world);
        let writes = world.writes("acme");
        world.audit().await;
        assert_eq!(causes(&world), ["vanished"; 3]);
        let text = world.preview().await.accounts[0].to_text();
        assert!(text.contains("another org answers"), "{text}");
        // Not in the emergency either, and not when the list cannot be read.
        let method = Some("GET".to_owned());
        world.zoho().add_fault(Rule { method, ..Rule::always(Fault::ServerErrorJson) });
        world.pass_time(22 * HOUR).await;
        assert_eq!(world.writes("acme"), writes, "nothing is written");
        world.zoho().clear_faults();
        if says_so {
            let account = "acme".parse().expect("a name");
            let records = world.store().records(&account).expect("records");
            let accepted = to_accept(records.into_values(), world.now()).collect();
            world.store().ask(&account, |wishes| wishes.vanished = accepted).await.expect("a wish");
            world.audit().await;
            assert_eq!(covered(&world), 1 + 3, "they are enabled here");
        } else {
            switch(&world, "3652397");
            world.audit().await;
            assert_eq!(covered(&world), 3, "they ran on, and are renewed");
        }
        world.pass_time(2 * MINUTE).await;
        assert!(causes(&world).is_empty());
        world.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn other_credentials_without_a_sign_of_the_org_are_doubted_until_an_emergency() {
    let mut world = running().await;
    switch(&world, "4876876");
    let writes = world.writes("acme");
    with_another_refresh_token(&mut world).await;
    world.pass_time(18 * HOUR).await;
    assert_eq!((causes(&world), world.writes("acme")), (vec!["vanished"; 3], writes));
    assert!(world.report("acme").guaranteed_until.is_none(), "nobody is told that all is well");
    world.pass_time(3 * HOUR).await;
    assert_eq!(covered(&world), 3, "near their end, coverage outranks the doubt");
    assert!(causes(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_org_is_known_by_what_it_granted_before_any_look_has_shown_it() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    let refresh_tokens = ["1000.refresh-acme", "1000.refresh-other"].map(str::to_owned).to_vec();
    world.zoho().add_org(Org { refresh_tokens, ..Org::new("acme") });
    world.declare("acme", "c0", &["Deals.all"]);
    world.start();
    while covered(&world) == 0 {
        world.pass_time(Duration::from_secs(1)).await;
    }
    switch(&world, "4876876");
    with_another_refresh_token(&mut world).await;
    assert_eq!((causes(&world), covered(&world)), (vec!["vanished"], 0));
}

#[tokio::test(start_paused = true)]
async fn other_credentials_of_the_same_org_change_nothing() {
    let mut world = running().await;
    let writes = world.writes("acme");
    with_another_refresh_token(&mut world).await;
    assert_eq!((causes(&world), world.writes("acme")), (vec![], writes));
    assert_eq!(covered(&world), 3);
}
