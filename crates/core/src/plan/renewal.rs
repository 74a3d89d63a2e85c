//! When a channel is renewed, and when in panic.
//!
//! | life | renewed when this much is left | emergency when this much is left |
//! | --- | --- | --- |
//! | under ten days | one half (a whole night fits in the slack) | one eighth |
//! | ten days or more | one third | one eighth |
//! | any, with `renew_before` | `renew_before`, unless it is more than three quarters of the life that was granted; at least one eighth | one eighth |
//!
//! The account's phase, up to 1/32 of the life, is added to the lead of all its channels. So
//! accounts do not all renew in one second, while the channels of one stay together and share their
//! calls.
//!
//! The life is that of the *grant*: what Zoho's reply gave, not what was asked. A channel seen with
//! another expiry than the one it was granted (somebody touched it, or the store was lost) is taken
//! to have been meant to live its spec's lifetime.

use std::time::Duration;

use crate::model::channel::{AccountName, Spec};
use crate::model::record::Grant;
use crate::model::secret::Fingerprint;
use crate::model::time::{Timestamp, before, is_same_second, span};

use super::backoff;

/// The life of a channel: how long it was given and when it ends, both in Zoho's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// How long it is from grant to end.
    pub length: Duration,
    /// Its end.
    pub expiry: Timestamp,
}

/// How much earlier than others an account renews: its share, in thousandths, of the room there is
/// for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase(u32);

impl Phase {
    /// Always the same for the same account.
    pub fn of(account: &AccountName) -> Phase {
        Phase((Fingerprint::of(&["phase", account.as_str()]).0 % 1000) as u32)
    }

    fn within(self, room: Duration) -> Duration {
        room / 1000 * self.0
    }
}

/// The part of its life that a channel is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Nothing to do.
    Fresh,
    /// A renewal is due.
    Due,
    /// A renewal that comes before everything else; only a pause, the mode, credits and a refusal
    /// by name hold it.
    Emergency,
}

impl Life {
    /// The life by the grant and by the end seen; `None` when neither is known.
    pub fn of(spec: &Spec, grant: Option<Grant>, seen: Option<Timestamp>) -> Option<Life> {
        let granted =
            grant.map(|grant| Life { length: span(grant.at, grant.expiry), expiry: grant.expiry });
        match (granted, seen) {
            (Some(granted), Some(seen)) if is_same_second(granted.expiry, seen) => Some(granted),
            (_, Some(seen)) => Some(Life { length: spec.lifetime, expiry: seen }),
            (granted, None) => granted,
        }
    }

    /// When it is to be renewed.
    pub fn due_at(self, renew_before: Option<Duration>, phase: Phase) -> Timestamp {
        before(self.expiry, self.lead(renew_before, phase).length())
    }

    /// The time from one renewal to the next for a life of this length.
    pub fn interval(length: Duration, renew_before: Option<Duration>, phase: Phase) -> Duration {
        let life = Life { length, expiry: Timestamp::UNIX_EPOCH };
        length.saturating_sub(life.lead(renew_before, phase).length())
    }

    /// When it is an emergency.
    pub fn emergency_at(self) -> Timestamp {
        before(self.expiry, self.length / 8)
    }

    /// The age at `zoho_now`.
    pub fn age(self, renew_before: Option<Duration>, phase: Phase, zoho_now: Timestamp) -> Age {
        if zoho_now >= self.emergency_at() {
            Age::Emergency
        } else if zoho_now >= self.due_at(renew_before, phase) {
            Age::Due
        } else {
            Age::Fresh
        }
    }

    /// When its age changes next, if it does.
    pub fn next_edge(
        self,
        renew_before: Option<Duration>,
        phase: Phase,
        zoho_now: Timestamp,
    ) -> Option<Timestamp> {
        match self.age(renew_before, phase, zoho_now) {
            Age::Fresh => Some(self.due_at(renew_before, phase)),
            Age::Due => Some(self.emergency_at()),
            Age::Emergency => None,
        }
    }

    /// How much of it is left when it is renewed, and by which rule.
    pub fn lead(self, renew_before: Option<Duration>, phase: Phase) -> Lead {
        let (rule, by_rule) = match renew_before
            .filter(|lead| *lead <= self.length.saturating_add(ASKED_LESS) / 4 * 3)
        {
            Some(lead) => (RenewalRule::RenewBefore, lead),
            None if self.length < LONG_LIFE => (RenewalRule::Half, self.length / 2),
            None => (RenewalRule::Third, self.length / 3),
        };
        // Whoever looks again at the due time must not find that the emergency has begun before it.
        let eighth = self.length / 8;
        let (rule, by_rule) =
            if by_rule < eighth { (RenewalRule::Eighth, eighth) } else { (rule, by_rule) };
        Lead { rule, by_rule, phase: phase.within(self.length / 32) }
    }
}

/// How much of a life is left when it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Which rule gave it.
    pub rule: RenewalRule,
    /// The margin that the rule gave.
    pub by_rule: Duration,
    /// The time that the account's phase adds.
    pub phase: Duration,
}

impl Lead {
    /// Both together.
    pub fn length(self) -> Duration {
        self.by_rule + self.phase
    }
}

/// A rule of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalRule {
    /// Half of a life of under ten days.
    Half,
    /// A third of a longer one.
    Third,
    /// `renew_before`.
    RenewBefore,
    /// One eighth, because `renew_before` is less.
    Eighth,
}

impl RenewalRule {
    /// A few words for it.
    pub const fn words(self) -> &'static str {
        match self {
            RenewalRule::Half => "half of a life of under ten days",
            RenewalRule::Third => "a third of a life of ten days or more",
            RenewalRule::RenewBefore => "renew_before",
            RenewalRule::Eighth => "one eighth, because renew_before is less",
        }
    }
}

/// The trouble that a channel's renewal survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slack {
    /// Between the first attempt to renew and the end.
    pub margin: Duration,
    /// How many passes in a row may fail.
    pub failed_passes: u32,
    /// How long an outage may last, from just before the renewal was due.
    pub outage: Duration,
}

impl Slack {
    /// True when one bad minute is a gap.
    pub const fn is_thin(self) -> bool {
        self.failed_passes < FAILED_PASSES_MIN
    }
}

/// The slack of a spec whose full lifetime is granted, with the loop's own period and one call's
/// time-out taken off.
pub fn slack(spec: &Spec, account: &AccountName, request_timeout: Duration) -> Slack {
    slack_of(spec.lifetime, spec.renew_before, account, request_timeout)
}

/// The same of a lifetime and its `renew_before`.
pub fn slack_of(
    lifetime: Duration,
    renew_before: Option<Duration>,
    account: &AccountName,
    request_timeout: Duration,
) -> Slack {
    let life = Life { length: lifetime, expiry: Timestamp::UNIX_EPOCH };
    slack_within(life, life.lead(renew_before, Phase::of(account)).length(), request_timeout)
}

/// The slack of a life that has `margin` left when its renewal is first tried.
pub fn slack_within(life: Life, margin: Duration, request_timeout: Duration) -> Slack {
    let outage = margin.saturating_sub(backoff::URGENT).saturating_sub(request_timeout);
    Slack { margin, failed_passes: failed_passes(margin, life.length / 8, request_timeout), outage }
}

/// Attempts that fit between the first one and the end, less the one that must succeed.
fn failed_passes(margin: Duration, emergency: Duration, request_timeout: Duration) -> u32 {
    let mut left = margin;
    let mut attempts = 0_u32;
    while left > request_timeout && attempts < FAILED_PASSES_SHOWN_MAX {
        attempts += 1;
        let wait = backoff::trouble_wait(attempts);
        let until_emergency = left.saturating_sub(emergency);
        let next =
            if until_emergency.is_zero() { backoff::URGENT } else { wait.min(until_emergency) };
        left = left.saturating_sub(next.max(request_timeout));
    }
    attempts.saturating_sub(1)
}

const LONG_LIFE: Duration = Duration::from_secs(10 * 24 * 60 * 60);
/// A life is a little under what was asked for: a guard is taken off the longest, expiries carry
/// whole seconds, and a call takes time.
const ASKED_LESS: Duration = Duration::from_secs(32);
/// With fewer, one bad minute is a gap.
const FAILED_PASSES_MIN: u32 = 2;
const FAILED_PASSES_SHOWN_MAX: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn phase() -> Phase {
        Phase::of(&"acme".parse().unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn renews_when_half_of_life_is_over() {
        let life = Life { length: 24 * HOUR, expiry: at("2026-01-02T00:00:00Z") };
        let due = life.due_at(None, phase());
        assert!(due <= at("2026-01-01T12:00:00Z") && due >= at("2026-01-01T11:15:00Z"), "{due}");
        assert_eq!(life.age(None, phase(), before(due, HOUR)), Age::Fresh);
        assert_eq!(life.age(None, phase(), due), Age::Due);
        assert_eq!(life.age(None, phase(), at("2026-01-01T20:59:59Z")), Age::Due);
        assert_eq!(life.age(None, phase(), at("2026-01-01T21:00:00Z")), Age::Emergency);
        assert_eq!(life.age(None, phase(), at("2026-01-03T00:00:00Z")), Age::Emergency);
    }

    #[test]
    fn ten_days_are_a_long_life_and_a_second_less_is_not() {
        let left = |length| {
            let life = Life { length, expiry: at("2026-01-31T00:00:00Z") };
            (span(life.due_at(None, Phase(0)), life.expiry), length)
        };
        let (ten, short) = (240 * HOUR, 240 * HOUR - Duration::from_secs(1));
        assert_eq!([left(ten), left(short)], [(ten / 3, ten), (short / 2, short)]);
    }

    /// `check` prints this, and fewer than two are refused. An attempt that can only end when the
    /// life does is none.
    #[test]
    fn how_many_passes_may_fail_in_a_row() {
        let secs = Duration::from_secs;
        let passes = |margin, emergency, timeout| {
            failed_passes(secs(margin), secs(emergency), secs(timeout))
        };
        assert_eq!(passes(0, 0, 30), 0);
        assert_eq!(passes(60, 60, 30), 0, "begun with exactly one time-out left");
        assert_eq!(passes(61, 61, 30), 1);
        assert_eq!(passes(300, 300, 0), 9, "every thirty seconds in an emergency");
        assert_eq!(passes(300, 300, 60), 3, "a call that times out lasts longer than that");
        // 30 s, 1, 2, 5 and 10 min, and every quarter of an hour from then on; the last waits are
        // cut to the emergency.
        assert_eq!(passes(3600, 0, 0), 7);
        assert_eq!(passes(3600, 1800, 0), 65);
        assert_eq!(passes(1_000_000, 1_000_000, 0), FAILED_PASSES_SHOWN_MAX - 1);
    }

    #[test]
    fn the_waits_of_the_slack_are_those_of_trouble() {
        let waits = [1, 2, 3, 4, 5, 6, 7].map(|attempt| backoff::trouble_wait(attempt).as_secs());
        assert_eq!(waits, [30, 60, 120, 300, 600, 900, 900]);
        assert_eq!(backoff::trouble_wait(0), Duration::ZERO);
    }

    #[test]
    fn a_long_life_is_renewed_when_two_thirds_are_over() {
        let life = Life { length: 30 * 24 * HOUR, expiry: at("2026-01-31T00:00:00Z") };
        let left = span(life.due_at(None, phase()), life.expiry);
        assert!(left >= 240 * HOUR && left <= 263 * HOUR, "{left:?}");
    }

    #[test]
    fn a_renew_before_that_does_not_fit_a_short_grant_is_set_aside() {
        let hour = Life { length: HOUR, expiry: at("2026-01-01T01:00:00Z") };
        let left = span(hour.due_at(Some(8 * HOUR), phase()), hour.expiry);
        assert!(left >= HOUR / 2 && left < HOUR / 4 * 3, "{left:?}");
        let day = Life { length: 24 * HOUR, expiry: at("2026-01-02T00:00:00Z") };
        let left = span(day.due_at(Some(8 * HOUR), phase()), day.expiry);
        assert!(left >= 8 * HOUR && left < 9 * HOUR, "{left:?}");
    }

    /// `check` accepts three quarters of the life that is asked for.
    #[test]
    fn a_renew_before_of_exactly_three_quarters_takes_effect_on_what_is_granted() {
        for (asked, granted) in [(300, 298), (86_400, 86_400 - 31)] {
            let secs = Duration::from_secs;
            let life = Life { length: secs(granted), expiry: at("2026-01-02T00:00:00Z") };
            let lead = life.lead(Some(secs(asked) / 4 * 3), Phase(0));
            assert_eq!((lead.rule, lead.by_rule), (RenewalRule::RenewBefore, secs(asked) / 4 * 3));
        }
    }

    #[test]
    fn a_renewal_is_due_before_it_is_an_emergency_whatever_renew_before_says() {
        let day = Life { length: 24 * HOUR, expiry: at("2026-01-02T00:00:00Z") };
        for renew_before in [Duration::ZERO, HOUR, 3 * HOUR] {
            assert!(
                day.due_at(Some(renew_before), phase()) <= day.emergency_at(),
                "{renew_before:?}"
            );
        }
    }

    #[test]
    fn a_life_beyond_the_calendar_does_not_overflow() {
        for length in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let life = Life { length, expiry: Timestamp::MAX };
            assert!(life.due_at(Some(Duration::MAX), Phase(999)) <= life.emergency_at());
        }
    }

    #[test]
    fn accounts_have_phases_of_their_own_and_channels_have_none() {
        let life = Life { length: 24 * HOUR, expiry: at("2026-01-02T00:00:00Z") };
        assert_eq!(life.due_at(None, phase()), life.due_at(None, phase()));
        assert_ne!(
            life.due_at(None, phase()),
            life.due_at(None, Phase::of(&"globex".parse().unwrap()))
        );
    }
}
