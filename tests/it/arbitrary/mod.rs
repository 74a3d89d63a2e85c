//! Whatever comes in: over the control socket, over the health listener, out of the database.
//!
//! The properties of the readers' bytes stand in `tests/fuzz`, which plays them guided by coverage.
//!
//! Cases are drawn from a fixed seed, a bounded number of them, so that a failure comes again. The
//! control socket and the health listener are those of a real daemon in this process, over the
//! simulator's state; a stored value is damaged under a world (`world/`) that is started on it.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

mod besieged;
mod control;
mod listener;
#[path = "../../fuzz/src/properties.rs"]
mod properties;
mod readers;
mod requests;
mod stored;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::sample::times;

/// The same cases every time, and a quarter of them unless everything is played.
fn cases(count: u32) -> TestRunner {
    let config = Config { cases: times(count, 4), failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Any JSON that is not deep, with these texts among its own.
fn any_json(words: &'static [&'static str]) -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(words).prop_map(Value::from),
    ];
    let key = prop_oneof!["[a-z_]{1,8}", prop::sample::select(words).prop_map(str::to_owned)];
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
