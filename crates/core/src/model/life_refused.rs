//! A life that Zoho refused to grant a channel, and the life to ask for instead.
//!
//! Zoho's documents say that a life over the maximum is cut to an hour in silence. Where it is
//! refused instead, the refusal names `channel_expiry`, and nobody says what would be granted:
//!
//! | refused | the next write asks for |
//! | --- | --- |
//! | more than a day | a day: every version and every product grants one |
//! | a day, or less | half of it |
//! | less than two hours | nothing: it leaves the expiry out, and Zoho gives its default life; by PUT, which keeps no expiry from before |
//!
//! A refusal may be one channel's, so that each channel's record has its own. It is forgotten after
//! a week, and when the channel's `lifetime` or the account's `lifetime_max` changes, as it does
//! with another API version that grants another maximum.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::{Timestamp, brief, is_recent};
use super::version::{DAY, FALLBACK_LIFETIME, WEEK};

/// The shortest life that Zoho refused to grant a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeRefused {
    /// The life that was asked for.
    pub asked: Duration,
    /// Zoho's code and words.
    pub said: String,
    /// The channel's `lifetime` then.
    pub lifetime: Duration,
    /// The account's `lifetime_max` then, as the config gave it.
    pub lifetime_max: Duration,
    /// The time of the refusal.
    pub at: Timestamp,
}

/// The life that a write asks for after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeAsked {
    /// No longer than this.
    AtMost(Duration),
    /// None: the write has no expiry, and Zoho gives its default life.
    None,
}

impl LifeRefused {
    /// Returns whether it still counts.
    pub fn holds(&self, lifetime: Duration, lifetime_max: Duration, now: Timestamp) -> bool {
        (self.lifetime, self.lifetime_max) == (lifetime, lifetime_max)
            && is_recent(self.at, WEEK, now)
    }

    /// The life to ask for instead: the table above.
    pub fn instead(&self) -> LifeAsked {
        let half = self.meant() / 2;
        match half {
            _ if self.asked > DAY => LifeAsked::AtMost(DAY),
            _ if half < FALLBACK_LIFETIME => LifeAsked::None,
            _ => LifeAsked::AtMost(half),
        }
    }

    /// The life that was meant, in whole minutes. What is asked is a little less.
    fn meant(&self) -> Duration {
        Duration::from_secs(60 * self.asked.as_secs().div_ceil(60))
    }

    /// A sentence about it.
    pub fn words(&self) -> String {
        let asked = brief(self.meant());
        let instead = match self.instead() {
            LifeAsked::AtMost(life) => format!("{} is asked for", brief(life)),
            LifeAsked::None => "none is asked for".to_owned(),
        };
        format!("Zoho refused a life of {asked} with {}; {instead} instead", self.said)
    }
}

/// Returns whether a refusal names the expiry that was asked for.
pub fn names_expiry(message: &str, json_path: Option<&str>) -> bool {
    let is_last = |path: &str| path.rsplit('.').next() == Some("channel_expiry");
    json_path.map_or_else(|| message.contains(NAMED), is_last)
}

/// The details of a refusal that is about the expiry. A channel that is quoted whole has the key
/// too.
const NAMED: &str = r#""api_name":"channel_expiry""#;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(asked: Duration) -> LifeRefused {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        LifeRefused { asked, said: String::new(), lifetime: WEEK, lifetime_max: WEEK, at }
    }

    #[test]
    fn the_next_life_is_a_day_then_half_as_long_and_then_none_is_asked_for() {
        let mut asked = vec![WEEK - SECOND * 30];
        while let LifeAsked::AtMost(life) = refused(*asked.last().unwrap()).instead() {
            asked.push(life - SECOND * 30);
        }
        let minutes: Vec<u64> = asked.iter().map(|life| life.as_secs() / 60).collect();
        assert_eq!(minutes, [10_079, 1_439, 719, 359, 179, 89]);
        assert_eq!(refused(Duration::ZERO).instead(), LifeAsked::None);
    }

    #[test]
    fn it_is_forgotten_after_a_week_and_when_what_was_asked_for_is_another() {
        let (said, at) = (refused(WEEK), refused(WEEK).at);
        assert!(said.holds(WEEK, WEEK, super::super::time::after(at, WEEK - SECOND)));
        assert!(!said.holds(WEEK, WEEK, super::super::time::after(at, WEEK)));
        assert!(!said.holds(DAY, WEEK, at));
        assert!(!said.holds(WEEK, DAY, at));
        assert!(!said.holds(WEEK, WEEK, super::super::time::before(at, SECOND)));
    }

    #[test]
    fn a_refusal_names_the_expiry_by_path_or_where_there_is_none_in_its_details() {
        assert!(names_expiry("invalid data", Some("$.watch[3].channel_expiry")));
        assert!(names_expiry(r#"invalid data {"api_name":"channel_expiry"}"#, None));
        assert!(!names_expiry(r#"{"api_name":"channel_expiry"}"#, Some("$.watch[0].events[0]")));
        assert!(!names_expiry("invalid data", None));
        let quoted = r#"odd {"events":[{"channel_expiry":"2026-03-18T10:32:14Z"}]}"#;
        assert!(!names_expiry(quoted, None));
    }
}
