//! Guards are needed: each story is whole with its guard, and breaks without it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Change, Guard};

use super::super::view::Assignment;
use super::link::{Bend, Weather};
use super::world::World;

/// Which commits lose which guard.
#[derive(Clone, Copy)]
struct Without {
    of: fn(&Change) -> bool,
    guard: fn(&Guard) -> bool,
}

#[tokio::test(start_paused = true)]
async fn a_beat_at_the_last_moment_is_not_evicted() {
    let evicts = Without { of: is_deletion_of_a_member, guard: is_modified_at };
    assert_eq!(last_moment(None).await, Vec::<String>::new());
    assert!(!last_moment(Some(evicts)).await.is_empty(), "without the revision that was seen");
}

/// The eviction of `b` is under way for three seconds, in which `b` beats; then `b` hears nothing.
async fn last_moment(without: Option<Without>) -> Vec<String> {
    let mut world = World::of(&["a", "b"], 20).await;
    let b = world.nodes["b"].link.clone();
    let bend = without.map(bent);
    let mends: Bend = Arc::new(move |guards, changes| {
        if changes.iter().any(is_deletion_of_a_member) {
            *b.weather.lock().unwrap() = Weather::Fair;
        }
        if let Some(bend) = &bend {
            bend(guards, changes);
        }
    });
    *world.nodes["a"].link.bend.lock().unwrap() = Some(mends);
    *world.nodes["a"].link.holds.lock().unwrap() = Some(is_deletion_of_a_member);
    world.weather("b", Weather::Cut);
    while *world.nodes["b"].link.weather.lock().unwrap() == Weather::Cut {
        world.passes(Duration::from_millis(50)).await;
    }
    world.weather("a", Weather::Cut);
    world.passes(Duration::from_secs(3)).await;
    *world.nodes["a"].link.bend.lock().unwrap() = None;
    *world.nodes["a"].link.holds.lock().unwrap() = None;
    world.weather("b", Weather::Cut);
    world.weather("a", Weather::Fair);
    world.engine.land();
    world.passes(Duration::from_secs(20)).await;
    std::mem::take(&mut world.broken)
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_somebody_else_made_meanwhile_is_not_written_over() {
    let takes = Without { of: is_claim, guard: is_modified_at };
    assert_eq!(claimed_meanwhile(None).await, Vec::<String>::new());
    assert!(!claimed_meanwhile(Some(takes)).await.is_empty(), "without the claim's revision");
}

/// `a` does not see that `b` has come when there are more accounts, and its claims are slow.
async fn claimed_meanwhile(without: Option<Without>) -> Vec<String> {
    let mut world = World::of(&["a"], 1).await;
    bend(&world, "a", without);
    world.weather("a", Weather::Blind(500));
    world.start("b");
    world.passes(Duration::from_secs(13)).await;
    let more = (0..30).map(|number| format!("late-{number}").parse().unwrap());
    world.declare(|declared| declared.accounts.extend(more));
    world.passes(Duration::from_millis(200)).await;
    assert!(world.shares().values().any(|owner| *owner == "b"));
    world.weather("b", Weather::Cut);
    world.passes(Duration::from_secs(2)).await;
    world.weather_for_all(Weather::Fair);
    world.passes(Duration::from_secs(20)).await;
    assert_eq!(world.shares().len(), 31);
    std::mem::take(&mut world.broken)
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_comes_late_leaves_the_next_owner_s_claim_alone() {
    let deletes = Without { of: is_deletion_of_a_claim, guard: is_modified_at };
    assert_eq!(late_requests_of_a_former_owner(None).await.0, 0);
    let (lost, _) = late_requests_of_a_former_owner(Some(deletes)).await;
    assert!(lost > 0, "without the claim's revision");
}

#[tokio::test(start_paused = true)]
async fn what_a_former_owner_writes_late_is_refused() {
    let writes = Without { of: is_write_for_an_account, guard: is_modified_at };
    assert_eq!(late_requests_of_a_former_owner(None).await.1, Vec::<String>::new());
    let (_, broken) = late_requests_of_a_former_owner(Some(writes)).await;
    assert!(broken.iter().any(|it| it.contains("epoch")), "without the epoch: {broken:?}");
}

/// `a` hands over to `b`, and some of its requests are applied long after they were given up.
/// Returns how often `b` lost something, and what the judge found.
async fn late_requests_of_a_former_owner(without: Option<Without>) -> (usize, Vec<String>) {
    let mut world = World::of(&["a"], 60).await;
    bend(&world, "a", without);
    world.start("b");
    world.passes(Duration::from_secs(8)).await;
    world.weather("a", Weather::Late);
    world.passes(Duration::from_secs(40)).await;
    let log = world.nodes["b"].log.lock().unwrap().clone();
    let lost = log.iter().filter(|it| matches!(it, Assignment::Lost(_))).count();
    (lost, std::mem::take(&mut world.broken))
}

fn bend(world: &World, node: &str, without: Option<Without>) {
    *world.nodes[node].link.bend.lock().unwrap() = without.map(bent);
}

fn bent(Without { of, guard }: Without) -> Bend {
    Arc::new(move |guards, changes| {
        if changes.iter().any(of) {
            guards.retain(|it| !guard(it));
        }
    })
}

fn is_modified_at(guard: &Guard) -> bool {
    matches!(guard, Guard::ModifiedAt(..))
}

fn is_deletion_of_a_member(change: &Change) -> bool {
    matches!(change, Change::Delete(key) if key.contains("/members/"))
}

fn is_deletion_of_a_claim(change: &Change) -> bool {
    matches!(change, Change::Delete(key) if key.contains("/claims/"))
}

fn is_claim(change: &Change) -> bool {
    matches!(change, Change::Put(key, _) if key.contains("/claims/"))
}

fn is_write_for_an_account(change: &Change) -> bool {
    matches!(change, Change::Put(key, _) if key.contains("/accounts/"))
}
