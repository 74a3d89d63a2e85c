//! The gateway before all orgs: how many calls of one address it lets through in a second.
//!
//! All calls come from one address here. No source says that Zoho has such a bound, or which: see
//! the knob.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::time::before;

/// The calls that were let through in the last second, by when.
#[derive(Debug, Default)]
pub(crate) struct Gateway(VecDeque<Timestamp>);

impl Gateway {
    /// A call comes; returns whether it is let through. `None` is no bound.
    pub(crate) fn lets_through(&mut self, most: Option<usize>, now: Timestamp) -> bool {
        let Some(most) = most else { return true };
        let begins = before(now, SECOND);
        while self.0.front().is_some_and(|at| *at <= begins) {
            self.0.pop_front();
        }
        let is_let = self.0.len() < most;
        if is_let {
            self.0.push_back(now);
        }
        is_let
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_calls_are_let_through_in_any_second_and_those_that_are_not_cost_nothing() {
        let mut gateway = Gateway::default();
        let mut at = |millis: i64| {
            gateway.lets_through(Some(2), Timestamp::from_millisecond(millis).unwrap())
        };
        assert_eq!([0, 600, 900, 999].map(&mut at), [true, true, false, false]);
        assert_eq!([1000, 1100, 1599, 1600].map(&mut at), [true, false, false, true]);
    }

    #[test]
    fn without_a_bound_all_are() {
        let mut gateway = Gateway::default();
        assert!((0..1000).all(|_| gateway.lets_through(None, Timestamp::UNIX_EPOCH)));
    }
}
