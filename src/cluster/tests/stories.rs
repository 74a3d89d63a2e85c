//! One thing happens, and everything is served again.

use std::time::Duration;

use crate::model::cluster::{Allowed, Layouts};

use super::super::view::{Assignment, Standing};
use super::link::Weather;
use super::world::World;

#[tokio::test(start_paused = true)]
async fn three_that_start_together_share_the_accounts_and_move_none() {
    let mut world = World::of(&NODES, 60).await;
    assert_eq!(world.shares().len(), 60);
    // Hints were lost: there were more than the watch holds. The claims are read again.
    world.passes(Duration::from_secs(5)).await;
    for (node, member) in &world.nodes {
        let log = member.log.lock().unwrap();
        assert!(log.iter().all(|it| matches!(it, Assignment::Gained(_))), "{node}: {log:?}");
        let view = member.view.borrow();
        assert_eq!((view.standing, view.members.len()), (Standing::Active, 3));
        assert_eq!((view.owners.len(), view.unowned.len()), (61, 0), "the fleet is one more");
        assert_eq!(view.members.values().map(|member| member.owns).sum::<usize>(), 61);
    }
    assert!(NODES.iter().all(|node| world.shares().values().any(|owner| owner == node)));
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_one_had_is_served_within_ten_seconds_and_nothing_else_moves() {
    let mut world = World::of(&NODES, 40).await;
    let before = world.shares();
    world.kill("b");
    let took = world.until_served(TAKEOVER).await;
    assert!(took > Duration::from_secs(8) && took < Duration::from_secs(10), "{took:?}");
    let after = world.shares();
    assert!(before.iter().all(|(account, owner)| *owner == "b" || after[account] == *owner));
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_stopped_one_may_not_write_when_it_goes_on_and_joins_anew() {
    let mut world = World::of(&NODES, 40).await;
    world.stop("b", true);
    world.until_served(TAKEOVER).await;
    world.passes(Duration::from_secs(20)).await;
    world.stop("b", false);
    world.passes(Duration::from_secs(1)).await;
    let lost = |it: &Assignment| matches!(it, Assignment::Lost(_));
    assert!(world.nodes["b"].log.lock().unwrap().iter().any(lost));
    world.passes(Duration::from_secs(20)).await;
    assert_eq!(world.nodes["b"].view.borrow().standing, Standing::Active);
    assert!(world.shares().values().any(|owner| *owner == "b"));
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_short_stop_costs_nobody_anything() {
    let mut world = World::of(&NODES, 20).await;
    let before = world.shares();
    for _ in 0..3 {
        world.stop("b", true);
        world.passes(Duration::from_secs(5)).await;
        world.stop("b", false);
        world.passes(Duration::from_secs(10)).await;
    }
    assert_eq!(world.shares(), before);
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_cut_off_may_not_write_when_the_others_begin() {
    let mut world = World::of(&NODES, 40).await;
    world.weather("b", Weather::Cut);
    world.passes(Duration::from_secs(7)).await;
    assert_eq!(world.nodes["b"].view.borrow().standing, Standing::Suspended);
    world.until_served(TAKEOVER).await;
    assert!(world.nodes["b"].view.borrow().unreachable.is_some());
    world.weather("b", Weather::Fair);
    world.passes(Duration::from_secs(25)).await;
    assert!(world.shares().values().any(|owner| *owner == "b"));
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_joiner_takes_for_itself_alone_and_at_a_bounded_rate() {
    let mut world = World::of(&["a", "b"], 450).await;
    let before = world.shares();
    world.start("c");
    world.passes(Duration::from_secs(8)).await;
    assert_eq!(world.shares(), before, "it waits");
    let mut most = 0;
    let mut there = 0;
    for _ in 0..30 {
        world.passes(Duration::from_secs(1)).await;
        let now = world.shares().values().filter(|owner| **owner == "c").count();
        (most, there) = (most.max(now - there), now);
    }
    assert!(there > 100, "{there}");
    // Two let go of a hundred a second each.
    assert!(most <= 2 * super::super::machine::LOSE_A_SECOND, "{most}");
    let after = world.shares();
    assert_eq!(after.len(), 450);
    assert!(
        before.iter().all(|(account, owner)| after[account] == "c" || after[account] == *owner)
    );
    assert!(world.longest_bare() < Duration::from_secs(2));
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn one_that_is_drained_hands_over_within_two_seconds() {
    let mut world = World::of(&NODES, 120).await;
    world.drain("b").await;
    let took = world.until_served(Duration::from_secs(2)).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let members = world.keys().into_iter().filter(|key| key.contains("/members/"));
    assert_eq!(members.count(), 2, "it took its key along");
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_minute_without_an_engine_costs_nobody_a_claim() {
    let mut world = World::of(&NODES, 40).await;
    let before = world.shares();
    for weather in [Weather::Cut, Weather::Unable] {
        world.weather_for_all(weather);
        world.passes(Duration::from_secs(60)).await;
        assert_eq!(world.shares().len(), 0, "nobody may write");
        world.weather_for_all(Weather::Fair);
        let took = world.until_served(Duration::from_secs(5)).await;
        assert!(took < Duration::from_secs(4), "{took:?}");
        world.passes(Duration::from_secs(20)).await;
        assert_eq!(world.shares(), before);
    }
    let lost = |it: &Assignment| matches!(it, Assignment::Lost(_) | Assignment::Lose(_));
    for member in world.nodes.values() {
        assert!(!member.log.lock().unwrap().iter().any(lost));
    }
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn requests_and_answers_that_are_lost_or_late_leave_one_owner_each() {
    for weather in
        [Weather::LosesRequests, Weather::LosesAnswers, Weather::Late, Weather::Slow(900)]
    {
        let mut world = World::new(40);
        for node in NODES {
            world.start(node);
            world.weather(node, weather);
        }
        world.passes(Duration::from_secs(40)).await;
        world.until_served(TAKEOVER).await;
        world.kill("b");
        // A beat may come long after its sender's end.
        world.until_served(Duration::from_secs(40)).await;
        world.start("b");
        world.passes(Duration::from_secs(60)).await;
        world.weather_for_all(Weather::Fair);
        world.passes(Duration::from_secs(30)).await;
        assert_eq!(world.shares().len(), 40, "{weather:?}");
        world.is_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn clocks_whose_rates_differ_by_five_percent_are_no_matter() {
    let mut world = World::new(30);
    world.start_at_rate("a", 103, None);
    world.start_at_rate("b", 98, None);
    world.passes(Duration::from_secs(25)).await;
    assert_eq!(world.shares().len(), 30);
    for node in ["b", "a"] {
        world.weather(node, Weather::Cut);
        world.until_served(TAKEOVER).await;
        world.weather(node, Weather::Fair);
        world.passes(Duration::from_secs(30)).await;
    }
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_set_back_is_noticed_and_everything_is_claimed_anew() {
    let mut world = World::of(&NODES, 40).await;
    let old = world.engine.keep();
    world.passes(Duration::from_secs(30)).await;
    world.restore(&old);
    world.passes(Duration::from_secs(3)).await;
    for (node, member) in &world.nodes {
        assert_eq!(member.view.borrow().restored, 1, "{node}");
    }
    world.until_served(TAKEOVER).await;
    world.passes(Duration::from_secs(10)).await;
    assert_eq!(world.shares().len(), 40);
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_emptied_is_named_anew_and_everything_is_claimed() {
    let mut world = World::of(&NODES, 40).await;
    let before = world.nodes["a"].view.borrow().incarnation.clone();
    world.empty().await;
    world.passes(Duration::from_secs(3)).await;
    world.until_served(TAKEOVER).await;
    let names: Vec<Option<String>> =
        world.nodes.values().map(|member| member.view.borrow().incarnation.clone()).collect();
    assert!(names[0].is_some() && names.iter().all(|name| *name == names[0]), "{names:?}");
    assert_ne!(names[0], before);
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_noted_another_cluster_s_data_does_not_join() {
    let mut world = World::of(&["a"], 10).await;
    world.start_at_rate("b", 100, Some("of-another"));
    world.passes(Duration::from_secs(20)).await;
    assert_eq!(world.nodes["b"].view.borrow().standing, Standing::Foreign);
    assert!(world.shares().values().all(|owner| *owner == "a"));
    let incarnation = world.nodes["a"].view.borrow().incarnation.clone();
    world.start_at_rate("b", 100, incarnation.as_deref());
    world.passes(Duration::from_secs(20)).await;
    assert_eq!(world.nodes["b"].view.borrow().standing, Standing::Active);
}

#[tokio::test(start_paused = true)]
async fn accounts_come_and_go_and_one_that_a_node_cannot_serve_goes_to_another() {
    let mut world = World::of(&["a", "b"], 10).await;
    world.declare(|declared| {
        declared.accounts.insert("late".parse().unwrap());
        declared.accounts.remove(&"org-3".parse().unwrap());
    });
    world.passes(Duration::from_secs(3)).await;
    assert_eq!(world.shares().len(), 10);
    assert!(!world.keys().iter().any(|key| key.ends_with("/claims/org-3")));
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_somebody_deletes_is_lost_and_made_again() {
    let mut world = World::of(&NODES, 12).await;
    let (account, owner) = world.shares().pop_first().unwrap();
    world.nodes[owner].log.lock().unwrap().clear();
    world.delete(&format!("channelkeeper/test/claims/{account}")).await;
    world.passes(Duration::from_secs(2)).await;
    let log = world.nodes[owner].log.lock().unwrap().clone();
    let Some([Assignment::Lost(lost), Assignment::Gained(gained)]) = log.first_chunk() else {
        panic!("{log:?}");
    };
    assert_eq!((lost.len(), gained.len()), (1, 1));
    assert_eq!(world.shares()[&account], owner);
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_process_that_follows_another_on_its_node_takes_its_place() {
    let mut world = World::of(&NODES, 40).await;
    let before = world.shares();
    // The former is killed.
    world.start("b");
    world.until_served(TAKEOVER).await;
    world.passes(Duration::from_secs(20)).await;
    assert_eq!(world.shares(), before);
    world.is_whole();
}

const NODES: [&str; 3] = ["a", "b", "c"];
const TAKEOVER: Duration = Duration::from_secs(15);

#[tokio::test(start_paused = true)]
async fn one_that_the_engine_does_not_answer_is_alone_after_a_minute_and_not_after_a_stop() {
    let mut world = World::of(&NODES, 12).await;
    let (account, owner) = world.shares().into_iter().next().unwrap();
    let allowed = |world: &World| {
        NODES.map(|node| (node == owner, world.nodes[node].leash.allowed_for(&account)))
    };
    let only_owner = |what| NODES.map(|node| (node == owner, what_of(node == owner, what)));
    world.engine.set_quorum(false);
    world.passes(Duration::from_secs(60)).await;
    assert_eq!(allowed(&world), only_owner(Allowed::Nothing), "it is suspended first");
    world.passes(Duration::from_secs(10)).await;
    assert_eq!(allowed(&world), only_owner(Allowed::Emergencies));
    assert_eq!(world.nodes[owner].view.borrow().standing, Standing::Alone);
    world.stop(owner, true);
    world.passes(Duration::from_secs(10)).await;
    world.stop(owner, false);
    world.passes(Duration::from_secs(50)).await;
    assert_eq!(allowed(&world), only_owner(Allowed::Nothing), "it counts anew");
    world.passes(Duration::from_secs(15)).await;
    assert_eq!(allowed(&world), only_owner(Allowed::Emergencies));
    world.engine.set_quorum(true);
    world.passes(Duration::from_secs(10)).await;
    assert_eq!(allowed(&world), only_owner(Allowed::Everything));
    world.is_whole();
}

fn what_of(is_owner: bool, what: Allowed) -> Allowed {
    if is_owner { what } else { Allowed::Nothing }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_put_out_hands_over_without_a_gap_and_takes_again_when_it_is_taken_back() {
    let mut world = World::of(&NODES, 40).await;
    let before = world.shares();
    world.put("channelkeeper/test/out/b", br#"{"by":"a","at":"2026-01-01T00:00:00Z"}"#).await;
    world.passes(Duration::from_secs(5)).await;
    let out = world.shares();
    assert!(out.values().all(|owner| *owner != "b") && out.len() == 40, "{out:?}");
    assert!(before.iter().all(|(account, owner)| *owner == "b" || out[account] == *owner));
    assert_eq!(world.nodes["b"].view.borrow().standing, Standing::Out);
    // Over a restart too.
    world.start("b");
    world.passes(Duration::from_secs(20)).await;
    assert_eq!(world.shares(), out);
    world.delete("channelkeeper/test/out/b").await;
    world.passes(Duration::from_secs(10)).await;
    assert_eq!(world.shares(), before);
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn one_that_sent_late_says_so_and_the_owner_looks_once() {
    let mut world = World::of(&NODES, 12).await;
    let (account, owner) = world.shares().into_iter().next().unwrap();
    world.stop(owner, true);
    world.passes(Duration::from_secs(20)).await;
    let heir = world.writers(&account)[0];
    world.stop(owner, false);
    // Its request went out as it went on.
    world.nodes[owner].leash.note_late(account.clone());
    world.passes(Duration::from_secs(3)).await;
    let log = world.nodes[heir].log.lock().unwrap().clone();
    let again = Assignment::LookAgain(vec![account]);
    let looks = log.iter().filter(|it| **it == again);
    assert_eq!(looks.count(), 1, "{log:?}");
    assert!(!world.keys().iter().any(|key| key.contains("/late/")), "{:?}", world.keys());
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_layout_is_raised_ten_minutes_after_the_last_machine_was_updated_and_never_falls() {
    let mut world = World::of(&NODES, 20).await;
    for node in NODES {
        world.passes(Duration::from_secs(900)).await;
        assert_eq!(world.nodes[node].view.borrow().layout, Some(1), "before {node}");
        world.drain(node).await;
        world.start_of_release(node, LATER);
        world.passes(Duration::from_secs(20)).await;
    }
    // One goes back to the former release, and is updated once more.
    world.passes(Duration::from_secs(500)).await;
    world.drain("b").await;
    world.start("b");
    world.passes(Duration::from_secs(900)).await;
    assert_eq!(world.nodes["a"].view.borrow().layout, Some(1));
    world.drain("b").await;
    world.start_of_release("b", LATER);
    world.passes(Duration::from_secs(590)).await;
    assert_eq!(world.nodes["a"].view.borrow().layout, Some(1));
    world.passes(Duration::from_secs(20)).await;
    for node in NODES {
        assert_eq!(world.nodes[node].view.borrow().layout, Some(2), "{node}");
    }
    assert!(world.longest_bare() < Duration::from_secs(1));

    // A machine of the former release stays out, and one of the later is served with the others.
    world.kill("c");
    world.start("c");
    world.passes(Duration::from_secs(60)).await;
    assert_eq!(world.nodes["c"].view.borrow().standing, Standing::Outdated);
    assert!(world.shares().values().all(|owner| *owner != "c") && world.shares().len() == 20);
    world.drain("c").await;
    world.start_of_release("c", LATER);
    world.passes(Duration::from_secs(30)).await;
    assert!(world.shares().values().any(|owner| *owner == "c"));
    assert_eq!(world.nodes["c"].view.borrow().layout, Some(2));
    world.is_whole();
}

#[tokio::test(start_paused = true)]
async fn a_member_over_which_the_gate_is_raised_leaves_and_the_others_take_its_accounts() {
    let mut world = World::new(20);
    world.start("a");
    for node in ["b", "c"] {
        world.start_of_release(node, LATER);
    }
    world.passes(Duration::from_secs(60)).await;
    assert!(world.shares().values().any(|owner| *owner == "a"));
    world.put("channelkeeper/test/meta/schema", b"2").await;
    world.passes(Duration::from_secs(2)).await;
    assert_eq!(world.nodes["a"].view.borrow().standing, Standing::Outdated);
    let took = world.until_served(TAKEOVER).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(world.shares().values().all(|owner| *owner != "a"));
    world.is_whole();
}

/// A release that reads one layout more.
const LATER: Layouts = Layouts { oldest: 1, newest: 2 };
