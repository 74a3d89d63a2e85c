//! Counts of the simulator's calls. Edits behind the daemon's back are not calls and are not
//! counted.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts for one org since it was added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Watch calls by method.
    pub calls: BTreeMap<&'static str, u64>,
    /// Watch calls by outcome: the status, or `reset`, `hang`, `refused`, `truncated`.
    pub outcomes: BTreeMap<String, u64>,
    /// Token requests by outcome.
    pub token_outcomes: BTreeMap<String, u64>,
    /// Calls for records and what stands beside them by name: `list`, `record`, `deleted`, `coql`,
    /// `users`, `user`, `org`, `modules`, `fields`.
    pub reads: BTreeMap<&'static str, u64>,
    /// Calls for records by outcome.
    pub read_outcomes: BTreeMap<String, u64>,
    /// The credits that they cost.
    pub read_credits: u64,
    /// POST, PUT, PATCH and DELETE calls.
    pub writes: u64,
    /// Access tokens given out.
    pub tokens_issued: u64,
    /// POSTed channels whose id was not live.
    pub channels_created: u64,
    /// POSTed channels whose id was live.
    pub channels_reenabled: u64,
    /// Channels that a DELETE took away.
    pub channels_deleted: u64,
    /// Items answered with SUCCESS.
    pub items_ok: u64,
    /// Items answered with an error, by code.
    pub items_refused: BTreeMap<String, u64>,
    /// Calls refused for being too many at once or in a day.
    pub throttled: u64,
    /// The calls among them that were refused because the day's credits were used up.
    pub out_of_credits: u64,
    /// The most calls that were ever under way at once.
    pub in_flight_max: usize,
}

impl Counters {
    /// Watch calls of every method.
    pub fn calls_total(&self) -> u64 {
        self.calls.values().sum()
    }

    pub(crate) fn called(&mut self, method: &'static str) {
        *self.calls.entry(method).or_default() += 1;
        if method != "GET" {
            self.writes += 1;
        }
    }
}
