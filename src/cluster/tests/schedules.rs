//! Random schedules: whatever happens to whom, and for how long.
//!
//! The same seed gives the same schedule. A run prints its seed when it fails.

use std::time::Duration;

use super::link::Weather;
use super::world::World;

#[tokio::test(start_paused = true)]
async fn no_schedule_gives_an_account_two_writers_or_leaves_it_without_one() {
    for seed in 1..=SEEDS {
        play(seed).await;
    }
}

async fn play(seed: u64) {
    let mut dice = Dice(seed);
    let mut world = World::new(12);
    for (node, rate) in [("a", 100), ("b", 99), ("c", 102)] {
        world.start_at_rate(node, rate, None);
    }
    world.passes(Duration::from_secs(20)).await;
    let mut story = Vec::new();
    for _ in 0..ROUNDS {
        let node = NODES[dice.below(3)];
        story.push(trouble(&mut world, &mut dice, node).await);
        world.until_served(Duration::from_secs(15)).await;
        mend(&mut world, node);
        let calm = Duration::from_millis(dice.millis(1, 14_000));
        world.passes(calm).await;
    }
    world.passes(Duration::from_secs(30)).await;
    assert_eq!(world.shares().len(), 12, "seed {seed}: {story:?}");
    assert!(world.broken.is_empty(), "seed {seed}: {story:?}\n{}", world.broken.join("\n"));
}

/// One thing happens to a node, and goes on for a while.
async fn trouble(world: &mut World, dice: &mut Dice, node: &'static str) -> String {
    let lasts = Duration::from_millis(dice.millis(10, 30_000));
    let what = dice.below(8);
    match what {
        0 => world.kill(node),
        1 => world.stop(node, true),
        2 => world.drain(node).await,
        3 => world.start(node),
        4 => {
            world.weather_for_all(Weather::Cut);
            world.passes(lasts).await;
            world.weather_for_all(Weather::Fair);
        }
        weather => world.weather(node, WEATHERS[weather - 5]),
    }
    if what != 4 {
        world.passes(lasts).await;
    }
    if what >= 5 {
        // A link that loses every third request may keep its node from being served and from
        // being evicted for longer than a takeover.
        world.weather(node, Weather::Cut);
    }
    format!("{what} {node} {lasts:?}")
}

fn mend(world: &mut World, node: &'static str) {
    if world.nodes.contains_key(node) {
        world.weather(node, Weather::Fair);
        world.stop(node, false);
    } else {
        world.start(node);
    }
}

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn millis(&mut self, from: u64, to: u64) -> u64 {
        from + self.next() % (to - from)
    }
}

const NODES: [&str; 3] = ["a", "b", "c"];
const WEATHERS: [Weather; 3] = [Weather::LosesRequests, Weather::LosesAnswers, Weather::Late];
const SEEDS: u64 = 8;
const ROUNDS: usize = 8;
