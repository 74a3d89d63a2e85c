//! How long to wait after the n-th failure in a row.
//!
//! Pure tables over stored facts, so that a restart neither forgets a back-off nor repeats it. None
//! of them delays what is urgent: a channel that is uncovered, or in its emergency window, is tried
//! again every [`URGENT`]; every five minutes where Zoho refuses it by name, or, outside of its
//! emergency window, where Zoho refuses whatever it is sent. Only credits that would not last make
//! it slower: see [`credits`](super::credits).
//!
//! A failure that lies in the future was stored while the clock was wrong. Nothing can be counted
//! from it, so it delays nothing: otherwise a clock that was ahead by a year for a minute would
//! hold a channel for a year.

use std::time::Duration;

use crate::model::learned::Refusing;
use crate::model::record::{Refusal, Repairs, Trouble};
use crate::model::time::{Timestamp, after, before};

/// Between two attempts at something urgent.
pub const URGENT: Duration = Duration::from_secs(30);
/// Between two attempts at an urgent channel that Zoho refuses by name: trying harder does not
/// help.
const URGENT_REFUSED: Duration = Duration::from_secs(5 * 60);
/// The longest wait that is granted to whoever asks for one. Zoho is said to ask for none: what
/// does is a proxy, or a value that was damaged, and a call an hour is no burden to either.
const ASKED_MAX: Duration = mins(60);
/// A drift counts as repaired before only for this long.
const REPAIRS_REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// From this many accepted writes on, a drift that is still there is contested.
pub const CONTESTED_AFTER: u32 = 3;

const TROUBLE: [Duration; 6] = [secs(30), mins(1), mins(2), mins(5), mins(10), mins(15)];
const REFUSED: [Duration; 3] = [mins(15), mins(60), mins(6 * 60)];
const CONTESTED: [Duration; 4] = [mins(60), mins(2 * 60), mins(4 * 60), mins(8 * 60)];

/// When something that failed for a reason of the network's, Zoho's or the account's is tried
/// again, if it failed.
pub fn after_trouble(trouble: &Trouble, now: Timestamp) -> Option<Timestamp> {
    let at = trouble.at.filter(|at| *at <= now)?;
    let wait = pick(&TROUBLE, trouble.attempts)?;
    let retry = after(at, wait);
    let asked = trouble.not_before.map(|not_before| not_before.min(after(at, ASKED_MAX)));
    Some(asked.map_or(retry, |asked| asked.max(retry)))
}

/// The n-th wait after trouble, counted from one; for the slack that `check` proves.
pub fn trouble_wait(attempt: u32) -> Duration {
    pick(&TROUBLE, attempt).unwrap_or(Duration::ZERO)
}

/// When a refused channel is tried again.
pub fn after_refusal(refusal: &Refusal, urgent: bool, now: Timestamp) -> Timestamp {
    if refusal.at > now {
        return now;
    }
    let slow = pick(&REFUSED, refusal.attempts).unwrap_or(Duration::ZERO);
    after(refusal.at, if urgent { slow.min(URGENT_REFUSED) } else { slow })
}

/// When an account that refused batch after batch is written again; an emergency does not wait for
/// it.
pub fn after_refusing(refusing: &Refusing, now: Timestamp) -> Option<Timestamp> {
    Some(after(refusing.at, URGENT_REFUSED)).filter(|until| refusing.at <= now && *until > now)
}

/// When a drift that keeps coming back is repaired again; `None` while it is not contested.
pub fn after_repairs(repairs: &Repairs) -> Option<Timestamp> {
    let over = repairs.writes.checked_sub(CONTESTED_AFTER)?;
    pick(&CONTESTED, over + 1).map(|wait| after(repairs.at, wait))
}

/// Returns whether earlier repairs still count at `now`.
pub fn is_remembered(repairs: &Repairs, now: Timestamp) -> bool {
    repairs.at <= now && repairs.at > before(now, REPAIRS_REMEMBERED)
}

/// The `attempt`-th entry, counted from one; the last one for ever after.
fn pick(table: &[Duration], attempt: u32) -> Option<Duration> {
    let index = (attempt as usize).checked_sub(1)?.min(table.len() - 1);
    table.get(index).copied()
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn mins(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Fingerprint;
    use crate::testing::hours;

    #[test]
    fn trouble_waits_longer_each_time_up_to_a_quarter_of_an_hour() {
        let mut trouble = Trouble::default();
        assert_eq!(after_trouble(&trouble, hours(0)), None);
        let mut waits = Vec::new();
        for _ in 0..8 {
            trouble = trouble.again(hours(0), "", None);
            waits.push(
                after_trouble(&trouble, hours(0)).unwrap().duration_since(hours(0)).as_secs(),
            );
        }
        assert_eq!(waits, [30, 60, 120, 300, 600, 900, 900, 900]);
    }

    #[test]
    fn a_time_given_by_zoho_is_honoured() {
        let trouble = Trouble::default().again(hours(0), "429", Some(Duration::from_secs(3600)));
        assert_eq!(
            after_trouble(&trouble, hours(0)),
            Some(after(hours(0), Duration::from_secs(3600)))
        );
    }

    #[test]
    fn no_wait_that_somebody_asks_for_is_longer_than_an_hour() {
        for asked in [Duration::from_secs(3601), Duration::from_secs(1_000_000_000), Duration::MAX]
        {
            let trouble = Trouble::default().again(hours(0), "429", Some(asked));
            assert_eq!(
                after_trouble(&trouble, hours(0)),
                Some(after(hours(0), mins(60))),
                "{asked:?}"
            );
        }
    }

    #[test]
    fn a_refused_channel_is_asked_for_slowly_and_a_little_faster_when_it_is_urgent() {
        let refusal = |attempts| Refusal {
            code: "INVALID_DATA".into(),
            message: String::new(),
            json_path: None,
            spec: Fingerprint(1),
            attempts,
            at: hours(0),
            events: Default::default(),
        };
        let waits = [1, 2, 3, 9].map(|n| {
            after_refusal(&refusal(n), false, hours(0)).duration_since(hours(0)).as_mins()
        });
        assert_eq!(waits, [15, 60, 360, 360]);
        assert_eq!(
            after_refusal(&refusal(9), true, hours(0)).duration_since(hours(0)).as_mins(),
            5
        );
    }

    #[test]
    fn the_fourth_write_of_the_same_drift_waits_an_hour() {
        let repairs = |writes| Repairs { drift: Fingerprint(1), writes, at: hours(0) };
        assert_eq!(after_repairs(&repairs(2)), None);
        let waits = [60, 120, 240, 480, 480].map(|minutes| Some(after(hours(0), mins(minutes))));
        assert_eq!([3, 4, 5, 6, 99].map(|writes| after_repairs(&repairs(writes))), waits);
        assert!(is_remembered(&repairs(3), after(hours(0), mins(24 * 60 - 1))));
        assert!(!is_remembered(&repairs(3), after(hours(0), mins(24 * 60))));
    }
}
