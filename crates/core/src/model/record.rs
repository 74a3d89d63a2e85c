//! The memory of a channel and of an account between passes: ownership, grants, refusals, attempts.
//!
//! Facts that can be observed are not remembered. A record exists from just before the first write
//! of a channel until the channel is known to be gone, so that a crash between the two never leaves
//! a channel at Zoho that nobody knows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::channel::{ChannelId, ChannelName};
use super::credits::{CreditsLeft, CreditsNews};
use super::events::Events;
use super::learned::Learned;
use super::life_refused::LifeRefused;
use super::org::OrgKnown;
use super::secret::Fingerprint;
use super::time::{Timestamp, after, before, is_same_second, span};

/// The memory of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The channel.
    pub id: ChannelId,
    /// Its name in the config when it was last written.
    pub name: ChannelName,
    /// The URL of the last intended write: with it, a channel whose first reply was lost is known
    /// as ours.
    pub notify_url: Fingerprint,
    /// The last expiry that Zoho gave us.
    pub grant: Option<Grant>,
    /// The last refusal, until a write is accepted or the spec changes.
    pub refusal: Option<Refusal>,
    /// The life that Zoho refused to grant, until it is forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_refused: Option<LifeRefused>,
    /// Repairs of the same drift, until a look finds the channel as declared.
    pub repairs: Option<Repairs>,
    /// The last renewal that was asked for and that a write has answered.
    #[serde(default)]
    pub renewal_answered: Option<Timestamp>,
    /// The last step taken and its outcome.
    pub last: Option<LastStep>,
}

impl Record {
    /// A record of nothing but ownership.
    pub fn new(id: ChannelId, name: ChannelName, notify_url: Fingerprint) -> Record {
        Record {
            id,
            name,
            notify_url,
            grant: None,
            refusal: None,
            life_refused: None,
            repairs: None,
            renewal_answered: None,
            last: None,
        }
    }
}

/// An expiry that Zoho's reply really gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// When it was given, in Zoho's time.
    pub at: Timestamp,
    /// The expiry that was asked for.
    pub asked: Timestamp,
    /// The expiry that was given: the only one that is ever believed.
    pub expiry: Timestamp,
}

impl Grant {
    /// This grant as it is remembered after an earlier one: a write that leaves the expiry where it
    /// was (a repair does) gives no new life, so the life still counts from its beginning.
    /// Otherwise each repair would shorten it, and with it the margin of the next renewal.
    #[must_use]
    pub fn following(self, earlier: Option<Grant>) -> Grant {
        match earlier {
            Some(earlier) if is_same_second(earlier.expiry, self.expiry) => {
                Grant { at: earlier.at.min(self.at), asked: earlier.asked.max(self.asked), ..self }
            }
            Some(_) | None => self,
        }
    }

    /// True when Zoho gave far less than was asked: half of it or less. Zoho does so in silence,
    /// for instance one hour when more than the maximum is asked.
    pub fn is_short(&self) -> bool {
        self.length() <= self.asked_length() / 2
    }

    /// The life that was given.
    pub fn length(&self) -> Duration {
        span(self.at, self.expiry)
    }

    /// The life that was asked for.
    pub fn asked_length(&self) -> Duration {
        span(self.at, self.asked)
    }
}

/// Zoho's no to one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Zoho's code, as `INVALID_DATA`.
    pub code: String,
    /// Zoho's message and details, bounded.
    pub message: String,
    /// The place in the request, as `$.watch[0].events[1]`, if Zoho said so.
    pub json_path: Option<String>,
    /// The spec that was refused.
    pub spec: Fingerprint,
    /// How often in a row.
    pub attempts: u32,
    /// The last time.
    pub at: Timestamp,
    /// The declared events that writes leave out meanwhile, because they are at fault.
    #[serde(default, skip_serializing_if = "Events::is_empty")]
    pub events: Events,
}

/// Accepted writes that were meant to mend the same drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repairs {
    /// Over the drifted fields and what was wanted of them.
    pub drift: Fingerprint,
    /// How many.
    pub writes: u32,
    /// The last one.
    pub at: Timestamp,
}

/// The last step taken for a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastStep {
    /// The time of the step.
    pub at: Timestamp,
    /// The step and its reason, as `enable (renew)`.
    pub step: String,
    /// The outcome, in Zoho's words when they are known.
    pub outcome: String,
}

/// The memory of one account.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountState {
    /// How far Zoho's clock is ahead of ours, in milliseconds; negative when ours is ahead.
    pub skew_ms: Option<i64>,
    /// Looks that failed in a row.
    pub looks: Trouble,
    /// Passes in a row in which a write failed for a reason that is no channel's own.
    pub writes: Trouble,
    /// The last look that saw the whole list.
    pub looked_at: Option<Timestamp>,
    /// When that look was sent, in Zoho's time: up to here the coverage ledgers are certain.
    pub looked_from: Option<Timestamp>,
    /// The limits that its replies taught.
    pub learned: Learned,
    /// The org in which running channels of ours were last seen.
    pub org: OrgKnown,
    /// The credentials with which the lessons were learned.
    pub credentials: Option<Fingerprint>,
    /// The day's credits that are left; none when half of them or more are.
    pub credits: Option<CreditsLeft>,
    /// The declaration that the last pass found in force, when it left nothing to be done. Only
    /// where machines share accounts: whoever takes the account over need not look at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_rest: Option<Fingerprint>,
    /// Since when, in Zoho's time, a write may be under way. Only where machines share accounts:
    /// whoever takes the account over looks at once, and again when nothing can come any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sending: Option<Timestamp>,
}

impl AccountState {
    /// The state with these credentials. Others may allow what was forbidden.
    #[must_use]
    pub fn with_credentials(self, credentials: Fingerprint) -> AccountState {
        let learned = match self.credentials {
            Some(known) if known != credentials => self.learned.with_other_credentials(),
            Some(_) | None => self.learned,
        };
        AccountState { learned, credentials: Some(credentials), ..self }
    }

    /// Zoho's time at `now` of the local clock.
    pub fn zoho_time(&self, now: Timestamp) -> Timestamp {
        shifted(now, self.skew_ms.unwrap_or(0))
    }

    /// The state with Zoho's news about credits by `now`, if there are any.
    #[must_use]
    pub fn told(self, news: Option<CreditsNews>, now: Timestamp) -> AccountState {
        AccountState { credits: news.map_or(self.credits, |news| news.left(now)), ..self }
    }

    /// True when `later` adds only facts that every good look brings: its time, a clock that went
    /// on as it did, and another count of credits.
    pub fn says_as_much_as(&self, later: &AccountState) -> bool {
        let skew_ms = match (self.skew_ms, later.skew_ms) {
            (Some(known), Some(new)) if known.abs_diff(new) < SKEW_NEWS_MS => Some(known),
            (_, new) => new,
        };
        let AccountState { looked_at, looked_from, credits, .. } = *self;
        let both_or_neither = |known: bool, new: bool| known == new;
        both_or_neither(looked_from.is_some(), later.looked_from.is_some())
            && both_or_neither(credits.is_some(), later.credits.is_some())
            && *self == AccountState { skew_ms, looked_at, looked_from, credits, ..later.clone() }
    }

    /// The local clock's time at Zoho's `instant`.
    pub fn local_time(&self, instant: Timestamp) -> Timestamp {
        shifted(instant, self.skew_ms.unwrap_or(0).saturating_neg())
    }
}

/// Less than this is how a clock that is read to the second, over a network, differs from itself.
const SKEW_NEWS_MS: u64 = 5_000;

fn shifted(instant: Timestamp, milliseconds: i64) -> Timestamp {
    let length = Duration::from_millis(milliseconds.unsigned_abs());
    if milliseconds < 0 { before(instant, length) } else { after(instant, length) }
}

/// Failures in a row.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trouble {
    /// How many; zero when the last attempt went well.
    pub attempts: u32,
    /// The last of them.
    pub at: Option<Timestamp>,
    /// Not before this, because Zoho said so.
    pub not_before: Option<Timestamp>,
    /// The trouble, in words.
    pub what: String,
}

impl Trouble {
    /// One more failure.
    #[must_use]
    pub fn again(
        &self,
        at: Timestamp,
        what: impl Into<String>,
        retry_after: Option<Duration>,
    ) -> Trouble {
        Trouble {
            attempts: self.attempts.saturating_add(1),
            at: Some(at),
            not_before: retry_after.map(|length| after(at, length)),
            what: what.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_for_a_day_is_a_short_grant_and_a_guard_is_not() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hours = |hours: u64| after(at, Duration::from_secs(hours * 3600));
        let grant = |given| Grant { at, asked: hours(24), expiry: given };
        assert!(grant(hours(1)).is_short());
        assert!(!grant(before(hours(24), Duration::from_secs(60))).is_short());
        assert!(!grant(hours(24)).is_short());
    }

    #[test]
    fn a_repair_that_keeps_the_expiry_gives_no_new_life() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let hours = |hours: u64| after(at, Duration::from_secs(hours * 3600));
        let enabled = Grant { at, asked: hours(24), expiry: hours(24) };
        let repaired = Grant { at: hours(11), asked: hours(24), expiry: hours(24) };
        assert_eq!(repaired.following(Some(enabled)).at, at);
        assert_eq!(repaired.following(None), repaired);
        let renewed = Grant { at: hours(12), asked: hours(36), expiry: hours(36) };
        assert_eq!(renewed.following(Some(enabled)), renewed);
    }

    #[test]
    fn skew_goes_both_ways_and_back() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let state = AccountState { skew_ms: Some(-120_000), ..AccountState::default() };
        assert_eq!(state.zoho_time(now).to_string(), "2025-12-31T23:58:00Z");
        assert_eq!(state.local_time(state.zoho_time(now)), now);
    }
}
