//! How long the pure plan takes: `cargo bench --bench plan`.
//!
//! One account with as many channels as the row says. *Converged*: nothing to do, as almost always.
//! *Due*: every channel is renewed. *Drifted*: somebody edited every channel. The aim is in
//! `docs/performance.md`: linear, and at most a microsecond a channel when converged.

use std::time::Duration;

use channelkeeper::model::time::after;
use channelkeeper::model::version::DAY;
use channelkeeper::plan::filter::plan;
use channelkeeper::testing::{World, events, hours};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const CHANNELS: [i64; 3] = [100, 10_000, 100_000];

#[divan::bench(args = CHANNELS)]
fn converged(bencher: Bencher<'_, '_>, channels: i64) {
    run(bencher, &world(channels, Duration::from_secs(3600), &EVENTS), 0);
}

#[divan::bench(args = CHANNELS)]
fn due(bencher: Bencher<'_, '_>, channels: i64) {
    run(bencher, &world(channels, DAY / 2 + Duration::from_secs(3600), &EVENTS), channels);
}

#[divan::bench(args = CHANNELS)]
fn drifted(bencher: Bencher<'_, '_>, channels: i64) {
    run(bencher, &world(channels, Duration::from_secs(3600), &EVENTS[..1]), channels);
}

/// Plans again and again; `steps` is how many there must be.
fn run(bencher: Bencher<'_, '_>, world: &World, steps: i64) {
    let facts = world.facts();
    let planned = plan(&facts).steps.len();
    assert_eq!(i64::try_from(planned), Ok(steps), "this is not the world that was meant");
    bencher.counter(ItemsCount::new(world.specs.len())).bench(|| plan(black_box(&facts)));
}

/// Channels that were granted a day, `age` ago, and are seen with `seen` of the events that are
/// declared.
fn world(channels: i64, age: Duration, seen: &[&str]) -> World {
    let mut world = World::converged(channels);
    for observed in world.seen().values_mut() {
        observed.events = events(seen);
    }
    World { now: after(hours(0), age), ..world }
}

const EVENTS: [&str; 2] = ["Deals.all", "Contacts.create"];
