//! The state of an account's access token, and the time when another may be asked for. `zoho::auth`
//! does the asking.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::secret::{Fingerprint, Secret};
use super::time::{Timestamp, after, before};

/// The facts about the token that are kept over restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenState {
    /// The credentials it belongs to: with others, it is worth nothing.
    pub credentials: Fingerprint,
    /// The token, and when it ends.
    pub access: Option<(Secret, Timestamp)>,
    /// When tokens were asked for lately.
    pub fetches: Vec<Timestamp>,
    /// The OAuth server's last no, until a token is given.
    pub denied: Option<Denied>,
}

/// The OAuth server's no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// How often in a row.
    pub attempts: u32,
    /// Not asked again before this.
    pub until: Timestamp,
    /// Its words.
    pub what: String,
    /// True when it only asked to wait, and did not refuse the credentials.
    pub throttled: bool,
}

/// The kinds of the OAuth server's no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// The credentials are no good.
    Refused,
    /// Too many calls came, from whomever: a gateway's word about an address, or the server's own.
    Busy,
    /// Too many tokens were asked for with these credentials. To ask again prolongs it.
    Throttled,
}

impl TokenState {
    /// A state for credentials that nothing is known of.
    pub fn new(credentials: Fingerprint) -> TokenState {
        TokenState { credentials, access: None, fetches: Vec::new(), denied: None }
    }

    /// The token, if it will still be good for a while.
    pub fn fresh(&self, now: Timestamp) -> Option<Secret> {
        let (secret, ends) = self.access.as_ref()?;
        (before(*ends, EARLY) > now).then(|| secret.clone())
    }

    /// The reason why no token may be asked for at `now`, of which `fetches_max` may be within
    /// Zoho's window, and when that ends.
    pub fn wait(&self, now: Timestamp, fetches_max: usize) -> Option<(Timestamp, String)> {
        if let Some(denied) = self.denied.as_ref().filter(|denied| denied.holds(now)) {
            return Some((denied.until, denied.what.clone()));
        }
        let recent =
            self.fetches.iter().filter(|at| **at > before(now, FETCH_WINDOW) && **at <= now);
        let mut recent: Vec<Timestamp> = recent.copied().collect();
        recent.sort();
        let oldest_counted = recent.len().checked_sub(fetches_max).map(|index| recent[index])?;
        let why = format!(
            "{} tokens were asked for in {} minutes",
            recent.len(),
            FETCH_WINDOW.as_secs() / 60
        );
        Some((after(oldest_counted, FETCH_WINDOW), why))
    }

    /// The number of tokens that were asked for within Zoho's window.
    pub fn fetched_lately(&self, now: Timestamp) -> usize {
        let is_recent = |at: &&Timestamp| **at > before(now, FETCH_WINDOW) && **at <= now;
        self.fetches.iter().filter(is_recent).count()
    }

    /// A token is about to be asked for at `now`.
    pub fn note_fetch(&mut self, now: Timestamp) {
        self.fetches.retain(|at| *at > before(now, FETCH_WINDOW) && *at <= now);
        self.fetches.push(now);
    }

    /// The OAuth server said no at `now`.
    pub fn deny(&mut self, now: Timestamp, what: String, denial: Denial) {
        let attempts = self.denied.as_ref().map_or(0, |denied| denied.attempts).saturating_add(1);
        let index = (attempts as usize - 1).min(DENIED_WAITS.len() - 1);
        let wait = match denial {
            Denial::Throttled => FETCH_WINDOW.max(DENIED_WAITS[index]),
            Denial::Refused | Denial::Busy => DENIED_WAITS[index],
        };
        let throttled = denial != Denial::Refused;
        self.access = None;
        self.denied = Some(Denied { attempts, until: after(now, wait), what, throttled });
    }
}

impl Denied {
    /// True while it keeps a token from being asked for. A denial that ends later than the longest
    /// wait was written while the clock was wrong, and holds nothing.
    fn holds(&self, now: Timestamp) -> bool {
        self.until > now && self.until <= after(now, DENIED_WAIT_MAX)
    }
}

/// A token is replaced this long before it ends.
const EARLY: Duration = Duration::from_secs(60);
/// Zoho counts ten tokens in this window; two are left for people and other programs.
pub const FETCHES_MAX: usize = 8;
/// The same where machines share the account. Each machine that lost the engine while it served the
/// account may ask for one more: four of them leave nothing for people.
pub const FETCHES_MAX_SHARED: usize = 6;
/// The window in which Zoho counts.
pub const FETCH_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Between two attempts with credentials that were refused.
const DENIED_WAITS: [Duration; 4] = [
    Duration::from_secs(120),
    Duration::from_secs(600),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];
const DENIED_WAIT_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hours;

    #[test]
    fn the_ninth_fetch_in_ten_minutes_waits() {
        let mut state = TokenState::new(Fingerprint(1));
        for second in 0..FETCHES_MAX as u64 {
            assert_eq!(state.wait(after(hours(0), Duration::from_secs(second)), FETCHES_MAX), None);
            state.note_fetch(after(hours(0), Duration::from_secs(second)));
        }
        let (until, _) = state.wait(after(hours(0), Duration::from_secs(60)), FETCHES_MAX).unwrap();
        assert_eq!(until, after(hours(0), Duration::from_secs(600)));
        assert_eq!(state.wait(until, FETCHES_MAX), None);
    }

    #[test]
    fn a_clock_that_went_back_does_not_lock_itself_out() {
        let mut state = TokenState::new(Fingerprint(1));
        for _ in 0..20 {
            state.fetches.push(after(hours(0), Duration::from_secs(86_400)));
        }
        assert_eq!(state.wait(hours(0), FETCHES_MAX), None);
        let later = after(hours(0), Duration::from_secs(86_400));
        state.deny(later, "invalid_code".to_owned(), Denial::Refused);
        assert_eq!(state.wait(hours(0), FETCHES_MAX), None);
    }

    #[test]
    fn whoever_asked_for_too_many_tokens_waits_longer_than_one_of_many_callers() {
        for (denial, expected) in [(Denial::Busy, [120, 600]), (Denial::Throttled, [600, 600])] {
            let mut state = TokenState::new(Fingerprint(1));
            for seconds in expected {
                state.deny(hours(0), "HTTP 429".to_owned(), denial);
                let denied = state.denied.as_ref().unwrap();
                let until = after(hours(0), Duration::from_secs(seconds));
                assert_eq!((denied.until, denied.throttled), (until, true), "{denial:?}");
            }
        }
    }

    #[test]
    fn the_longest_wait_after_a_refusal_holds() {
        let mut state = TokenState::new(Fingerprint(1));
        for _ in 0..5 {
            state.deny(hours(0), "invalid_code".to_owned(), Denial::Refused);
        }
        assert_eq!(
            state.wait(hours(0), FETCHES_MAX).map(|(until, _)| until),
            Some(after(hours(0), DENIED_WAIT_MAX))
        );
    }
}
