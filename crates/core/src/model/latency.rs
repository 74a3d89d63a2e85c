//! How long calls take, as a histogram.
//!
//! It is per HTTP method and server, over all accounts: how fast Zoho answers is no property of an
//! account, and so the number of series does not grow with them.

use std::collections::BTreeMap;
use std::time::Duration;

/// The lengths of calls, by server and method.
pub type Latencies = BTreeMap<(Server, &'static str), Histogram>;

/// Who is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Server {
    /// The CRM API.
    Api,
    /// The OAuth server.
    Accounts,
}

impl Server {
    /// One word, as a label.
    pub const fn word(self) -> &'static str {
        match self {
            Server::Api => "api",
            Server::Accounts => "accounts",
        }
    }
}

/// How many lengths fell between two bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// Up to and with each of [`BOUNDS`], and above the last: not cumulated.
    counts: [u64; BOUNDS.len() + 1],
    /// The sum of all lengths.
    pub sum: Duration,
}

impl Histogram {
    /// Takes in one length.
    pub fn add(&mut self, length: Duration) {
        let place = BOUNDS.iter().position(|bound| length <= *bound).unwrap_or(BOUNDS.len());
        self.counts[place] += 1;
        self.sum += length;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Each bound in seconds, the last of which is infinite, with how many lie between it and the
    /// one before.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }
}

/// From what a healthy API takes to the longest that a call may take by default.
const BOUNDS: [Duration; 9] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_falls_into_the_first_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        for millis in [0, 50, 51, 30_000, 30_001, 600_000] {
            histogram.add(Duration::from_millis(millis));
        }
        let filled: Vec<(f64, u64)> =
            histogram.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.05, 2), (0.1, 1), (30.0, 1), (f64::INFINITY, 2)]);
        assert_eq!((histogram.count(), histogram.sum), (6, Duration::from_millis(660_102)));
    }
}
