//! The fate of the canaries to one `notify_url`: facts, in Zoho's time.
//!
//! A canary is a test body that the daemon posts there by itself. It says one thing about one
//! instant: that it was taken, or that it was refused. One refusal alone says little (a receiver
//! restarts); two in a row are a [`CanaryOutage`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::secret::Fingerprint;
use super::time::{Timestamp, span};

/// The canaries to one `notify_url` of one account, as far as they matter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canaries {
    /// The URL that they went to.
    pub notify_url: Fingerprint,
    /// When the last was sent.
    pub sent_at: Timestamp,
    /// When the last that was accepted was sent.
    pub accepted_at: Option<Timestamp>,
    /// The canaries refused since then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<CanaryRefused>,
    /// Outages that are over, oldest first; at most [`OUTAGES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outages: Vec<CanaryOutage>,
}

/// Canaries that were refused in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryRefused {
    /// When the first was sent.
    pub first: Timestamp,
    /// When the last was sent.
    pub last: Timestamp,
    /// How many there were.
    pub times: u32,
    /// The reason for the last refusal.
    pub why: String,
}

/// At least two refusals between two canaries that were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryOutage {
    /// The last that was accepted before, if any was.
    pub accepted: Option<Timestamp>,
    /// The first that was refused.
    pub first: Timestamp,
    /// The last that was refused.
    pub last: Timestamp,
    /// The first that was accepted again.
    pub over: Timestamp,
}

impl Canaries {
    /// None was sent yet; the first goes out at `at`.
    pub const fn new(notify_url: Fingerprint, at: Timestamp) -> Canaries {
        Canaries { notify_url, sent_at: at, accepted_at: None, refused: None, outages: Vec::new() }
    }

    /// One that was sent at `at` was accepted. Returns whether an outage is over with it.
    pub fn accepted(&mut self, at: Timestamp) -> bool {
        let over = self.refused.take().filter(CanaryRefused::is_outage);
        if let Some(CanaryRefused { first, last, times: _, why: _ }) = &over {
            self.outages.push(CanaryOutage {
                accepted: self.accepted_at,
                first: *first,
                last: *last,
                over: at,
            });
            let excess = self.outages.len().saturating_sub(OUTAGES_MAX);
            self.outages.drain(..excess);
        }
        (self.sent_at, self.accepted_at) = (at, Some(at));
        over.is_some()
    }

    /// One that was sent at `at` was refused. Returns whether an outage is known with it.
    pub fn refused(&mut self, at: Timestamp, why: String) -> bool {
        let was_outage = self.refusing().is_some();
        let (first, times) =
            self.refused.as_ref().map_or((at, 0), |refused| (refused.first, refused.times));
        self.refused = Some(CanaryRefused { first, last: at, times: times.saturating_add(1), why });
        self.sent_at = at;
        !was_outage && self.refusing().is_some()
    }

    /// The refusals, while they are an outage.
    pub fn refusing(&self) -> Option<&CanaryRefused> {
        self.refused.as_ref().filter(|refused| refused.is_outage())
    }

    /// Returns whether the next one is due at `now`. A first refusal is made sure of earlier.
    pub fn is_due(&self, every: Duration, now: Timestamp) -> bool {
        let doubtful = self.refused.as_ref().is_some_and(|refused| !refused.is_outage());
        let wait = if doubtful { every.min(MAKE_SURE_AFTER) } else { every };
        // One from the future was sent while the clock was wrong.
        self.sent_at > now || span(self.sent_at, now) >= wait
    }
}

impl CanaryRefused {
    const fn is_outage(&self) -> bool {
        self.times >= OUTAGE
    }
}

/// Refusals in a row that are an outage.
const OUTAGE: u32 = 2;
/// How long after a first refusal it is tried again, at the latest.
pub const MAKE_SURE_AFTER: Duration = Duration::from_secs(5 * 60);
/// Outages that are kept until a pass has taken them into the ledger: it does so within moments.
pub const OUTAGES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn two_refusals_in_a_row_are_an_outage_and_one_is_not() {
        let mut canaries = Canaries::new(Fingerprint(1), at(0));
        canaries.accepted(at(0));
        assert!(!canaries.refused(at(60), "HTTP 500".to_owned()) && canaries.refusing().is_none());
        assert!(!canaries.accepted(at(65)) && canaries.outages.is_empty());
        assert!(!canaries.refused(at(125), "HTTP 500".to_owned()));
        assert!(canaries.refused(at(130), "HTTP 500".to_owned()), "it is known now");
        assert!(!canaries.refused(at(190), "timed out".to_owned()), "it was known");
        assert!(canaries.accepted(at(250)));
        let outage =
            CanaryOutage { accepted: Some(at(65)), first: at(125), last: at(190), over: at(250) };
        assert_eq!((canaries.outages, canaries.refused), (vec![outage], None));
    }

    #[test]
    fn a_first_refusal_is_made_sure_of_soon_and_a_clock_that_was_wrong_holds_nothing_up() {
        let (hour, mut canaries) =
            (Duration::from_secs(3600), Canaries::new(Fingerprint(1), at(0)));
        canaries.accepted(at(0));
        assert!(!canaries.is_due(hour, at(59)) && canaries.is_due(hour, at(60)));
        canaries.refused(at(60), String::new());
        assert!(!canaries.is_due(hour, at(64)) && canaries.is_due(hour, at(65)));
        canaries.refused(at(65), String::new());
        assert!(!canaries.is_due(hour, at(124)) && canaries.is_due(hour, at(125)));
        assert!(canaries.is_due(hour, at(-1)));
    }

    #[test]
    fn outages_are_bounded() {
        let mut canaries = Canaries::new(Fingerprint(1), at(0));
        for n in 0..20 {
            canaries.refused(at(3 * n), String::new());
            canaries.refused(at(3 * n + 1), String::new());
            canaries.accepted(at(3 * n + 2));
        }
        assert_eq!((canaries.outages.len(), canaries.outages[0].first), (OUTAGES_MAX, at(36)));
    }
}
