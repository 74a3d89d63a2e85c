//! Ring 2: what Zoho refuses, and what the next write asks for instead.

use std::time::Duration;

use channelkeeper::model::channel::Spec;
use channelkeeper::model::time::after;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::knobs::{PastMaximum, PostLive};
use channelkeeper::simulator::{Fault, Hand, Knobs, Length, Rule};

use crate::world::{World, spec};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

fn declared(knobs: Knobs, channels: usize, lifetime: Duration) -> World {
    let mut world = World::new(knobs, &[("acme", ApiVersion::V8)]);
    for number in 0..channels {
        let spec = spec("acme", &format!("c{number}"), &["Deals.all"]);
        world.declare_spec("acme", Spec { lifetime, ..spec });
    }
    world
}

fn uncovered(world: &World) -> usize {
    let declared = world.declared();
    let now = world.now();
    declared.iter().filter(|(account, id)| !world.is_covered(account, *id, now)).count()
}

/// The lives that channels have left at Zoho, in whole hours, the shortest first.
fn lives(world: &World) -> Vec<u64> {
    let now = world.now();
    let zoho = world.zoho();
    let channels = zoho.channels("acme", now);
    let mut lives: Vec<u64> = channels
        .iter()
        .map(|channel| channel.expiry.duration_since(now).unsigned_abs().as_secs().div_ceil(3600))
        .collect();
    lives.sort_unstable();
    lives
}

#[tokio::test(start_paused = true)]
async fn an_expiry_over_the_maximum_that_is_refused_is_asked_shorter_at_once_and_remembered() {
    for past_maximum in [PastMaximum::Refused, PastMaximum::RefusedWhole] {
        let limits = [("v8".to_owned(), Length(HOUR * 15))].into();
        let knobs = Knobs { past_maximum, version_limits: limits, ..Knobs::default() };
        let mut world = declared(knobs, 5, DAY * 7);
        world.start();
        world.audit().await;
        world.pass_time(MINUTE).await;
        assert_eq!(lives(&world), [12; 5], "{past_maximum:?}");
        assert_eq!(world.writes("acme"), 3, "a week, a day, and twelve hours");
        let said = world.report("acme").limits.join("\n");
        assert!(said.contains("asked shorter for 5 channels: Zoho refused a life of 1d"), "{said}");
        assert!(world.preview().await.accounts[0].to_text().contains("asked shorter"));
        world.crash().await;
        world.start();
        for _ in 0..6 * 24 {
            world.pass_time(HOUR).await;
            assert_eq!(uncovered(&world), 0, "{past_maximum:?} at {}", world.now());
        }
        let writes = world.writes("acme");
        assert!(writes <= 3 + 2 * 4 * 6, "renewals ask right at once: {writes}");
        world.zoho().set_knobs(Knobs::default()).expect("good knobs");
        world.pass_time(DAY * 2).await;
        assert_eq!(lives(&world)[0] / 24, 6, "it is forgotten after a week");
        assert!(world.report("acme").limits.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn where_every_expiry_is_refused_none_is_asked_for_and_the_default_life_is_renewed() {
    for post in [PostLive::Replace, PostLive::Merge] {
        let mut world = declared(Knobs { post, ..Knobs::default() }, 2, DAY * 7);
        world.zoho().add_fault(Rule::always(Fault::RefuseExpiry { over: Length(MINUTE) }));
        world.start();
        world.audit().await;
        world.pass_time(MINUTE).await;
        assert_eq!(lives(&world), [1, 1]);
        for _ in 0..48 {
            world.pass_time(HOUR).await;
            assert_eq!(uncovered(&world), 0, "{post:?} at {}", world.now());
        }
        assert!(world.writes("acme") < 150, "{post:?}: {} writes", world.writes("acme"));
        assert!(world.report("acme").limits[0].contains("none is asked for instead"));
        world.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn another_life_in_the_config_is_asked_for_in_spite_of_what_was_refused() {
    let mut world = declared(Knobs::default(), 1, DAY * 7);
    let over = Length(DAY * 3);
    world.zoho().add_fault(Rule::always(Fault::RefuseExpiry { over }));
    world.start();
    world.audit().await;
    world.pass_time(MINUTE).await;
    assert_eq!(lives(&world), [24]);
    let (_, id) = world.declared()[0].clone();
    let spec = spec("acme", "c0", &["Deals.all"]);
    world.declare_spec("acme", Spec { lifetime: DAY * 2, ..spec });
    world.reload().await;
    world.pass_time(DAY).await;
    assert!(lives(&world)[0] > 24, "{id}: {:?}", lives(&world));
}

fn calls(world: &World, method: &str) -> u64 {
    let zoho = world.zoho();
    let calls = zoho.counters("acme").and_then(|counters| counters.calls.get(method));
    calls.copied().unwrap_or_default()
}

fn forbid_writes(world: &World) {
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let method = Some(method.to_owned());
        world.zoho().add_fault(Rule { method, ..Rule::always(Fault::Forbidden) });
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_forbidden_everything_is_asked_for_one_channel_at_each_try() {
    let mut world = declared(Knobs::default(), 10, DAY);
    world.start();
    world.audit().await;
    forbid_writes(&world);
    world.pass_time(DAY + HOUR).await;
    assert_eq!(uncovered(&world), 10, "nothing may be renewed");
    let before = world.writes("acme");
    world.pass_time(DAY).await;
    let writes = world.writes("acme") - before;
    assert!(
        (2_000..3_600).contains(&writes),
        "a try each half minute, and all once an hour: {writes}"
    );
    assert!(world.report("acme").needs_a_person);
    world.zoho().clear_faults();
    world.pass_time(MINUTE).await;
    assert_eq!(uncovered(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_allowed_again_is_asked_for_in_spite_of_a_module_that_stays_forbidden() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for number in 0..10 {
        let module = if number < 6 { "Leads.all" } else { "Deals.all" };
        world.declare("acme", &format!("c{number}"), &[module]);
    }
    world.start();
    world.audit().await;
    forbid_writes(&world);
    world.pass_time(DAY + HOUR).await;
    assert_eq!(uncovered(&world), 10);
    world.zoho().clear_faults();
    world.zoho().add_fault(Rule::always(Fault::ForbidModule { module: "Leads".to_owned() }));
    world.pass_time(10 * MINUTE).await;
    assert_eq!(uncovered(&world), 6, "each try asks for another channel first");
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_patch_lacks_is_known_for_every_channel_and_said() {
    let mut world = declared(Knobs::default(), 2, DAY);
    world.start();
    world.audit().await;
    let method = Some("PATCH".to_owned());
    world.zoho().add_fault(Rule { method, ..Rule::always(Fault::ScopeMismatch) });
    let patches = |world: &World| calls(world, "PATCH");
    for (number, expected) in [(0, 1), (1, 1)] {
        let (_, id) = world.declared()[number].clone();
        let token = Some("not-ours".to_owned());
        world.hand("acme", &Hand::SetToken { channel: id.number(), token });
        world.audit().await;
        world.pass_time(MINUTE).await;
        assert_eq!(patches(&world), expected, "the second channel goes by POST at once");
        assert!(world.preview().await.accounts[0].steps.is_empty());
    }
    let said = world.report("acme").limits.join("\n");
    assert!(said.contains("scope notifications.UPDATE") && said.contains("POST"), "{said}");
    assert!(!world.report("acme").needs_a_person);
}

#[tokio::test(start_paused = true)]
async fn a_repair_that_goes_by_post_leaves_nothing_to_ask_for_again() {
    for post in [PostLive::Replace, PostLive::Merge] {
        let mut world = declared(Knobs { post, ..Knobs::default() }, 2, DAY);
        world.start();
        world.audit().await;
        let method = Some("PATCH".to_owned());
        world.zoho().add_fault(Rule { method, ..Rule::always(Fault::ScopeMismatch) });
        for (number, looks) in [(0, 2), (1, 1)] {
            let (_, id) = world.declared()[number].clone();
            let token = Some("not-ours".to_owned());
            world.hand("acme", &Hand::SetToken { channel: id.number(), token });
            let (gets, posts) = (calls(&world, "GET"), calls(&world, "POST"));
            world.audit().await;
            world.pass_time(5 * MINUTE).await;
            assert_eq!(calls(&world, "POST") - posts, 1, "{post:?}");
            assert_eq!(calls(&world, "GET") - gets, looks, "{post:?}: the first is patched before");
            assert!(world.report("acme").after.steps.is_empty(), "{post:?}");
        }
        world.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_by_post_is_the_repair_as_well_where_the_scope_for_patch_is_missing() {
    for post in [PostLive::Replace, PostLive::Merge] {
        let mut world = declared(Knobs { post, ..Knobs::default() }, 1, DAY);
        let (_, id) = world.declared()[0].clone();
        world.start();
        world.audit().await;
        let method = Some("PATCH".to_owned());
        world.zoho().add_fault(Rule { method, ..Rule::always(Fault::ScopeMismatch) });
        let channel = id.number();
        let not_ours = Hand::SetToken { channel, token: Some("not-ours".to_owned()) };
        world.hand("acme", &not_ours);
        world.audit().await;
        world.pass_time(5 * MINUTE).await;
        for left in [10 * HOUR, MINUTE] {
            let expiry = after(world.now(), left);
            world.hand("acme", &not_ours);
            world.hand("acme", &Hand::SetExpiry { channel, expiry });
            let posts = calls(&world, "POST");
            world.audit().await;
            let report = world.report("acme");
            assert_eq!(report.outcomes.len(), 1, "{post:?}: {:?}", report.outcomes);
            assert!(report.after.steps.is_empty(), "{post:?}: {:?}", report.after);
            world.pass_time(5 * MINUTE).await;
            assert_eq!(calls(&world, "POST") - posts, 1, "{post:?}");
        }
        world.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_code_takes_away_no_event_that_zoho_delivers_however_long_it_comes() {
    for lifetime in [2 * HOUR, DAY] {
        let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
        let events = ["Contacts.all", "Deals.all", "Leads.create"];
        world.declare_spec("acme", Spec { lifetime, ..spec("acme", "c", &events) });
        world.start();
        world.audit().await;
        let code = "SOMETHING_NEW".to_owned();
        world.zoho().add_fault(Rule::always(Fault::UnknownItemCode { code }));
        for _ in 0..4 * 24 {
            world.pass_time(HOUR).await;
            assert_eq!(uncovered(&world), 0, "{lifetime:?} at {}", world.now());
        }
        world.zoho().clear_faults();
        world.pass_time(lifetime).await;
        assert_eq!(uncovered(&world), 0, "{lifetime:?}");
        world.crash().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_delete_lacks_is_asked_for_once_in_six_hours_for_all_channels() {
    let mut world = declared(Knobs::default(), 6, DAY * 7);
    world.start();
    world.audit().await;
    let method = Some("DELETE".to_owned());
    world.zoho().add_fault(Rule { method, ..Rule::always(Fault::ScopeMismatch) });
    let deletes = |world: &World| calls(world, "DELETE");
    for _ in 0..2 {
        let (account, id) = world.declared()[0].clone();
        world.undeclare(&account, id);
        world.reload().await;
        world.pass_time(HOUR).await;
    }
    assert_eq!(deletes(&world), 1, "the second channel is not even tried");
    let held = world.report("acme").after.held.clone();
    assert_eq!(held.len(), 2);
    assert!(held[1].cause.detail().contains("ends by itself at its expiry"), "{held:?}");
    world.zoho().clear_faults();
    world.pass_time(7 * HOUR).await;
    assert!(world.report("acme").after.held.is_empty());
}
