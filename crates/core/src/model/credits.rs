//! API credits: how many calls an org may make in a day, and how many are left.
//!
//! A call of the watch API costs one credit. The day is the last 24 hours, whenever one looks, so
//! that credits come back as the calls that they were spent on grow a day old. Zoho says what is
//! left only once half of the day's credits are used, and they are used by everything that calls
//! the org, not by this program alone.
//!
//! Source: *API limits*, zoho.com/crm/developer/docs/api/v4/api-limits.html, read 2026-11-23.

use serde::{Deserialize, Serialize};

use super::time::{Timestamp, after};
use super::version::DAY;

/// An edition of a product, or a bundle that it comes in, with its credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The word for it in the config.
    pub key: &'static str,
    base: u64,
    per_user: u64,
    max: u64,
}

impl Edition {
    /// CRM's: credits of a day, credits more for each user licence, and the most there can be.
    pub const CRM: [Edition; 8] = [
        row("free", 5_000, 0, 5_000),
        row("standard", 50_000, 250, 100_000),
        row("starter", 50_000, 250, 100_000),
        row("professional", 50_000, 500, 3_000_000),
        row("enterprise", 50_000, 1_000, 5_000_000),
        row("zoho-one", 50_000, 1_000, 5_000_000),
        row("ultimate", 50_000, 2_000, u64::MAX),
        row("crm-plus", 50_000, 2_000, u64::MAX),
    ];

    /// Bigin's (zoho.com/bigin/developer/docs/apis/api-limits.html).
    pub const BIGIN: [Edition; 4] = [
        row("free", 5_000, 0, 5_000),
        row("express", 50_000, 250, 100_000),
        row("premier", 50_000, 250, 100_000),
        row("zoho-one", 50_000, 250, 100_000),
    ];

    /// Recruit's (zoho.com/recruit/developer-guide/apiv2/limits.html).
    pub const RECRUIT: [Edition; 6] = [
        row("free", 5_000, 0, 5_000),
        row("standard", 5_000, 250, 100_000),
        row("professional", 10_000, 500, 500_000),
        row("enterprise", 15_000, 1_000, 1_000_000),
        row("zoho-one", 15_000, 1_000, 1_000_000),
        row("people-plus", 15_000, 1_000, 1_000_000),
    ];

    /// The words for all of them in the config, each once.
    pub fn keys() -> Vec<&'static str> {
        let mut keys = Vec::new();
        for edition in Edition::CRM.iter().chain(&Edition::BIGIN).chain(&Edition::RECRUIT) {
            if !keys.contains(&edition.key) {
                keys.push(edition.key);
            }
        }
        keys
    }

    /// Returns whether its credits depend on the number of user licences.
    pub const fn counts_users(self) -> bool {
        self.per_user > 0
    }

    /// Credits of a day with so many user licences, add-ons aside.
    pub fn credits_per_day(self, users: u64) -> u64 {
        self.per_user.saturating_mul(users).saturating_add(self.base).min(self.max)
    }
}

const fn row(key: &'static str, base: u64, per_user: u64, max: u64) -> Edition {
    Edition { key, base, per_user, max }
}

/// The number of credits left, as Zoho last said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditsLeft {
    /// The number of calls.
    pub remaining: u64,
    /// When it said so, by the local clock.
    pub at: Timestamp,
}

impl CreditsLeft {
    /// When it is out of date: all that was spent by then has come back.
    pub fn until(self) -> Timestamp {
        after(self.at, DAY)
    }

    /// True while it still counts. A count from the future was written down while the clock was
    /// wrong.
    pub fn holds(self, now: Timestamp) -> bool {
        self.at <= now && now < self.until()
    }
}

/// The news about credits in one of Zoho's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditsNews {
    /// It served a call and said nothing of them: half of the day's credits or more are left.
    Plenty,
    /// The number of credits left.
    Left(u64),
}

impl CreditsNews {
    /// The count known after this news, which came at `at`.
    pub const fn left(self, at: Timestamp) -> Option<CreditsLeft> {
        match self {
            CreditsNews::Plenty => None,
            CreditsNews::Left(remaining) => Some(CreditsLeft { remaining, at }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::product::Product;
    use super::*;
    use crate::model::time::before;

    #[test]
    fn credits_follow_from_edition_and_users() {
        let credits = |key, users| Product::Crm.edition(key).unwrap().credits_per_day(users);
        assert_eq!((credits("free", 0), credits("free", 1_000)), (5_000, 5_000));
        assert_eq!((credits("standard", 10), credits("starter", 1_000)), (52_500, 100_000));
        assert_eq!(
            (credits("professional", 10), credits("professional", 1_000_000)),
            (55_000, 3_000_000)
        );
        assert_eq!(
            (credits("enterprise", 10), credits("zoho-one", 1_000_000)),
            (60_000, 5_000_000)
        );
        assert_eq!(
            (credits("ultimate", 10), credits("crm-plus", 1_000_000)),
            (70_000, 2_000_050_000)
        );
        assert_eq!(credits("ultimate", u64::MAX), u64::MAX);
        assert_eq!(Product::Crm.edition("Enterprise"), None);
    }

    #[test]
    fn what_is_left_is_known_for_a_day_and_never_from_the_future() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let left = CreditsLeft { remaining: 7, at };
        let second = std::time::Duration::from_secs(1);
        assert!(left.holds(at) && left.holds(before(left.until(), second)));
        assert!(!left.holds(left.until()) && !left.holds(before(at, second)));
    }
}
