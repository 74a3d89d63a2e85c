//! Seeds of a simulated month; `examples/soak.rs` plays as many as one wants.

use std::collections::BTreeSet;
use std::time::Duration;

use channelkeeper::model::product::Product;

use crate::sample::times;
use crate::simulation::schedule::products;
use crate::simulation::{LENGTH, play};
use crate::sites::play as machines;

fn all_hold(seeds: std::ops::Range<u64>, length: Duration) {
    for seed in seeds {
        let run = play(seed, length);
        assert!(
            run.violations.is_empty(),
            "seed {seed}: {:#?}\nagain: cargo run --release --example soak -- --seeds 1 --first {seed}",
            run.violations
        );
    }
}

#[test]
fn sixteen_seeds_have_every_pair_of_products_and_the_first_three_have_each() {
    let pairs: BTreeSet<_> =
        (100..116).map(products).map(|[_, second, third]| (second, third)).collect();
    assert_eq!(pairs.len(), 16);
    let played: BTreeSet<Product> = (1..4).flat_map(products).collect();
    assert_eq!(played, Product::ALL.into_iter().collect());
    assert!(products(1).contains(&Product::Bigin) && products(1).contains(&Product::Recruit));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let week = LENGTH / 4;
    let (one, other) = (play(4711, week), play(4711, week));
    let differ = one.log.iter().zip(&other.log).find(|(one, other)| one != other);
    assert_eq!(differ, None);
    assert_eq!(one.trace, other.trace);
    assert_eq!(one.faults, other.faults);
}

#[test]
fn invariants_hold_in_a_month_of_trouble() {
    all_hold(1..1 + u64::from(times(3, 3)), LENGTH);
}

#[test]
fn invariants_hold_where_three_machines_share_the_accounts() {
    for seed in 1..1 + u64::from(times(6, 3)) {
        let run = machines::play(seed, machines::LENGTH / 24);
        let log =
            run.log.iter().rev().take(60).rev().fold(String::new(), |all, line| all + line + "\n");
        assert!(
            run.violations.is_empty(),
            "seed {seed}: {:#?}\n{log}again: cargo run --release --example soak -- --machines --seeds 1 --first {seed}",
            run.violations
        );
        assert!(run.counts["writes"] > 0 && run.counts["commits"] > 0, "{:?}", run.counts);
    }
}
