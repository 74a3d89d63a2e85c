//! Waiting for a condition, with a bound.

use std::thread;
use std::time::Duration;

/// Looks until it is so.
#[track_caller]
pub(super) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if is_so() {
            return;
        }
        thread::park_timeout(BETWEEN_LOOKS);
    }
    panic!("it never came about that {what}");
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Long enough for a loaded machine; only a test that fails waits this long.
const LOOKS_MAX: usize = 3000;
