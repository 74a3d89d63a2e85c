//! While credits are low, passes postpone every step that can wait.
//!
//! Zoho says how many calls are left of the day's once half of them are used. Credits are *tight*
//! when fewer are left than are kept for renewals, which is the most of
//! - twice what the renewals until they have all come back are expected to take ([`calls`]);
//! - a tenth of the day's credits, where the config says how many those are;
//! - [`RESERVE_MIN`], for what goes wrong on the way.
//!
//! | while they are tight | |
//! | --- | --- |
//! | audits | are left out |
//! | a drift that loses no deliveries, a channel to disable | waits: held, `credits` |
//! | a look that failed | is tried again once an hour, if nothing is urgent |
//! | new channels, renewals, drifts that lose deliveries, what an operator asks for | go on as ever |
//!
//! A failed write is tried again no sooner than the credits allow (`pace`). The daily number comes
//! from the config, and the number left comes from Zoho. Not even an emergency goes faster: a try
//! every thirty seconds for a day would use up a small edition's credits, and with them the
//! renewals of all other channels.
//!
//! Each answer of Zoho's tells anew what is left, and renewals go on getting answers. A count holds
//! for a day at most, because all credits spent before it have come back by then.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::{Timestamp, span};
use crate::model::version::DAY;

use super::backoff::URGENT;
use super::calls;
use super::facts::Facts;
use super::step::{Step, Urgency};

/// The day's credits that are left, and the part of them that is kept for renewals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credits {
    /// The number of calls left.
    pub remaining: u64,
    /// When Zoho said so, by the local clock.
    pub told_at: Timestamp,
    /// When that is out of date, by the local clock.
    pub until: Timestamp,
    /// The number of credits kept.
    pub reserve: u64,
    /// The credits of a day, when the config says so.
    pub per_day: Option<u64>,
}

impl Credits {
    /// Returns whether only what cannot wait is done at `now`.
    pub fn are_tight(&self, now: Timestamp) -> bool {
        self.remaining < self.reserve && now < self.until
    }
}

/// The known credits of an account; none when Zoho has not said that half of them are used.
pub fn credits(facts: &Facts<'_>) -> Option<Credits> {
    let left = facts.state.credits.filter(|left| left.holds(facts.now))?;
    let until = left.until();
    let days = span(facts.now, until).as_secs_f64() / DAY.as_secs_f64();
    let renewals = (calls::of_renewals(facts).credits() * days * SAFETY).ceil() as u64;
    let per_day = facts.policy.credits_per_day;
    let reserve = renewals.max(per_day.unwrap_or(0) / 10).max(RESERVE_MIN);
    Some(Credits { remaining: left.remaining, told_at: left.at, until, reserve, per_day })
}

/// The shortest time between two tries of a failing write. With it the tries of a day take half of
/// the day's credits, and those until the spent credits have come back take half of the rest. The
/// other half is for the audits, renewals and repairs beside them. From [`URGENT`] to
/// [`LOOK_AGAIN`].
pub(super) fn pace(facts: &Facts<'_>) -> Duration {
    let batch_max = facts.state.learned.batch_max(facts.policy, facts.now).max(1);
    let per_try = LOOKS_A_TRY * calls::pages(facts) + facts.specs.len().div_ceil(batch_max) as u64;
    let spread = |time: Duration, calls: u64| {
        time / u32::try_from(calls / TRIES_SHARE / per_try).unwrap_or(u32::MAX).max(1)
    };
    let of_day = facts.policy.credits_per_day.map(|calls| spread(DAY, calls));
    let of_rest =
        credits(facts).map(|credits| spread(span(facts.now, credits.until), credits.remaining));
    of_day.max(of_rest).unwrap_or(URGENT).clamp(URGENT, LOOK_AGAIN)
}

/// Returns whether a step may be postponed while credits are low.
pub(super) fn can_wait(step: &Step) -> bool {
    step.reason.urgency() == Urgency::Postponable
}

/// Between two looks that fail, while credits are tight and nothing is urgent.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);
/// The credits kept for renewals are this many times those that they are expected to take.
const SAFETY: f64 = 2.0;
/// The looks counted for one try; the second settles an answer that was unsure.
const LOOKS_A_TRY: u64 = 2;
/// One part in so many of the credits is for tries of what fails.
const TRIES_SHARE: u64 = 2;
/// The credits that are always kept, for restarts and for calls that fail.
pub const RESERVE_MIN: u64 = 100;
