//! Handing over: what the receiver's answer means, and when the next try is.
//!
//! | the receiver | then |
//! | --- | --- |
//! | 2xx | the next delivery |
//! | 410 | the recovery is given up |
//! | 400, 409, 411, 413, 414, 415, 422 and the like | tried [`REFUSALS_MAX`] times, then halved; a single record is set aside then |
//! | 401, 403, 404, 405, 408, 425, 429, 3xx, 5xx, no answer | tried again, for as long as it takes: the records are not at fault |
//!
//! Between two tries of the same: `Retry-After`, else [`WAIT_MIN`] doubling to [`WAIT_MAX`], or to
//! [`REFUSED_WAIT_MAX`] after a refusal. All of
//! it is remembered, so a restart makes nothing faster. One delivery is under way for each URL, and
//! its fate is on the disk before the next is sent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::{Timestamp, after};

use super::delivery::{Delivery, Part};

/// How far the deliveries of one recovery have come. Times are the host's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandingProgress {
    /// The delivery that is to be taken next, from 0 on.
    pub next: u32,
    /// The parts of it that are left, once it was halved: from, to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<(usize, usize)>,
    /// Records that were taken.
    pub taken: u64,
    /// Tries that failed since the last that did not.
    #[serde(default)]
    pub failures: u32,
    /// Those among them that were refused for what is in them.
    #[serde(default)]
    pub refusals: u32,
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The last failure, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How many records were set aside.
    #[serde(default)]
    pub aside: u64,
    /// Which, the first [`ASIDE_MAX`] of them: operation and id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside_ids: Vec<String>,
}

/// The answer of a receiver, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiverAnswer {
    /// It was taken.
    Taken,
    /// It was not, and may be later.
    Busy {
        /// The reason, in words.
        why: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It was refused for what is in it.
    Refused(String),
    /// Nobody is there any more.
    Gone,
}

impl ReceiverAnswer {
    /// The meaning of an HTTP status.
    pub fn of(status: u16, retry_after: Option<Duration>) -> ReceiverAnswer {
        match status {
            200..=299 => ReceiverAnswer::Taken,
            410 => ReceiverAnswer::Gone,
            401 | 403 | 404 | 405 | 408 | 425 | 429 => ReceiverAnswer::busy(status, retry_after),
            400..=499 => ReceiverAnswer::Refused(format!("HTTP {status}")),
            _ => ReceiverAnswer::busy(status, retry_after),
        }
    }

    fn busy(status: u16, retry_after: Option<Duration>) -> ReceiverAnswer {
        let retry_after = retry_after.map(|wait| wait.min(RETRY_AFTER_MAX));
        ReceiverAnswer::Busy { why: format!("HTTP {status}"), retry_after }
    }
}

impl HandingProgress {
    /// The part of `delivery`, which is the next one, that is to be sent now.
    pub fn part(&self, delivery: &Delivery) -> Part {
        let (from, to) = self.parts.first().copied().unwrap_or((0, delivery.ids.len()));
        Part { delivery: self.next, from, to }
    }

    /// Returns whether nothing may be sent yet.
    pub fn waits(&self, now: Timestamp) -> bool {
        // A wait from a time when the clock was ahead holds nothing up.
        self.not_before.is_some_and(|until| now < until && until <= after(now, RETRY_AFTER_MAX))
    }

    /// The progress once the part that [`HandingProgress::part`] names was answered.
    #[must_use]
    pub fn answered(
        self,
        delivery: &Delivery,
        answer: &ReceiverAnswer,
        now: Timestamp,
    ) -> HandingProgress {
        let part = self.part(delivery);
        let records = part.to.saturating_sub(part.from);
        match answer {
            ReceiverAnswer::Taken => {
                let taken = self.taken + records as u64;
                HandingProgress { taken, ..self }.past(part, delivery)
            }
            ReceiverAnswer::Busy { why, retry_after } => {
                self.failed(why.clone(), *retry_after, now)
            }
            ReceiverAnswer::Gone => self.failed("HTTP 410".to_owned(), None, now),
            ReceiverAnswer::Refused(why) => {
                let refusals = self.refusals + 1;
                let doubled = WAIT_MIN.saturating_mul(1 << self.refusals.min(10));
                let wait = Some(doubled.min(REFUSED_WAIT_MAX));
                let failed = HandingProgress { refusals, ..self }.failed(why.clone(), wait, now);
                match (refusals >= REFUSALS_MAX, records) {
                    (false, _) => failed,
                    (true, 0 | 1) => failed.set_aside(part, delivery),
                    (true, _) => failed.halved(part, delivery),
                }
            }
        }
    }

    fn failed(self, why: String, retry_after: Option<Duration>, now: Timestamp) -> HandingProgress {
        let doubled = WAIT_MIN.saturating_mul(1 << self.failures.min(10)).min(WAIT_MAX);
        let wait = retry_after.unwrap_or(doubled).max(WAIT_MIN);
        HandingProgress {
            failures: self.failures.saturating_add(1),
            not_before: Some(after(now, wait)),
            trouble: Some(why),
            ..self
        }
    }

    /// Behind this part, with a clean sheet.
    fn past(self, part: Part, delivery: &Delivery) -> HandingProgress {
        let mut parts = self.parts;
        if !parts.is_empty() {
            parts.remove(0);
        }
        let is_last = parts.is_empty() && part.to >= delivery.ids.len();
        HandingProgress {
            next: self.next + u32::from(is_last),
            parts,
            failures: 0,
            refusals: 0,
            not_before: None,
            trouble: None,
            ..self
        }
    }

    fn halved(self, part: Part, delivery: &Delivery) -> HandingProgress {
        let Part { from, to, .. } = part;
        let middle = from + (to - from) / 2;
        let mut parts =
            if self.parts.is_empty() { vec![(0, delivery.ids.len())] } else { self.parts };
        parts.splice(..1, [(from, middle), (middle, to)]);
        HandingProgress { parts, failures: 0, refusals: 0, not_before: None, ..self }
    }

    fn set_aside(mut self, part: Part, delivery: &Delivery) -> HandingProgress {
        let word = delivery.operation.delivered_as();
        for id in delivery.ids.get(part.from..part.to).unwrap_or_default() {
            self.aside += 1;
            if self.aside_ids.len() < ASIDE_MAX {
                self.aside_ids.push(format!("{word} {id}"));
            }
        }
        let trouble = self.trouble.clone();
        HandingProgress { trouble, ..self.past(part, delivery) }
    }
}

/// The first wait after a failure.
pub const WAIT_MIN: Duration = Duration::from_secs(5);
/// The longest wait that nobody asked for.
pub const WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest wait after a refusal for what is in a delivery: waiting does not mend that.
pub const REFUSED_WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest wait that a receiver may ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);
/// How often the same records are refused before they are told apart.
pub const REFUSALS_MAX: u32 = 8;
/// Records that are listed by their id among those that were set aside.
pub const ASIDE_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::events::Operation;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn delivery(count: u32) -> Delivery {
        let ids = (0..count).map(|id| id.to_string()).collect();
        Delivery { operation: Operation::Edit, ids }
    }

    fn wait(progress: &HandingProgress, now: i64) -> i64 {
        progress.not_before.map_or(0, |until| until.as_second() - now)
    }

    #[test]
    fn a_receiver_that_is_down_is_tried_for_ever_and_ever_more_slowly() {
        let (mut progress, delivery) = (HandingProgress::default(), delivery(2));
        let mut waits = Vec::new();
        for _ in 0..9 {
            progress = progress.answered(&delivery, &ReceiverAnswer::of(503, None), at(0));
            waits.push(wait(&progress, 0));
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        let asked = ReceiverAnswer::of(429, Some(Duration::from_secs(77)));
        assert_eq!(wait(&progress.clone().answered(&delivery, &asked, at(0)), 0), 77);
        let taken = progress.answered(&delivery, &ReceiverAnswer::Taken, at(0));
        assert_eq!(taken, HandingProgress { next: 1, taken: 2, ..HandingProgress::default() });
    }

    #[test]
    fn one_record_that_is_refused_is_found_and_set_aside_and_all_others_are_taken() {
        let (mut progress, delivery) = (HandingProgress::default(), delivery(50));
        let (mut taken, mut tries) = (Vec::new(), 0);
        while progress.next == 0 {
            let part = progress.part(&delivery);
            let ids = &delivery.ids[part.from..part.to];
            let answer = if ids.contains(&"17".to_owned()) { 422 } else { 200 };
            if answer == 200 {
                taken.extend(ids.iter().cloned());
            }
            tries += 1;
            progress = progress.answered(&delivery, &ReceiverAnswer::of(answer, None), at(0));
        }
        assert_eq!((progress.aside_ids, progress.aside), (vec!["update 17".to_owned()], 1));
        assert_eq!((taken.len(), progress.taken), (49, 49));
        assert!(tries < 70, "{tries} tries");
    }

    #[test]
    fn a_receiver_that_lets_nobody_in_loses_no_record() {
        let (mut progress, delivery) = (HandingProgress::default(), delivery(4));
        for status in [401, 403, 404, 302, 500].into_iter().cycle().take(100) {
            progress = progress.answered(&delivery, &ReceiverAnswer::of(status, None), at(0));
        }
        assert_eq!((progress.aside, progress.next, progress.parts), (0, 0, vec![]));
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nothing_up() {
        let progress =
            HandingProgress { not_before: Some(at(90_000)), ..HandingProgress::default() };
        assert!(
            !progress.waits(at(0)) && progress.waits(at(89_000)) && !progress.waits(at(90_000))
        );
    }

    proptest::proptest! {
        #[test]
        fn every_record_is_taken_or_set_aside_whatever_is_answered(
            count in 1_u32..50,
            statuses in proptest::collection::vec(
                proptest::sample::select(vec![200_u16, 200, 400, 422, 422, 500, 429]), 1..40,
            ),
        ) {
            let (mut progress, delivery) = (HandingProgress::default(), delivery(count));
            let mut answers = statuses.into_iter().chain([200]).cycle();
            for _ in 0..20_000 {
                if progress.next > 0 {
                    break;
                }
                let answer = ReceiverAnswer::of(answers.next().unwrap(), None);
                progress = progress.answered(&delivery, &answer, at(0));
                let expected = progress.parts.windows(2).all(|two| two[0].1 == two[1].0);
                proptest::prop_assert!(expected, "{:?}", progress.parts);
            }
            proptest::prop_assert_eq!(progress.next, 1);
            proptest::prop_assert_eq!(progress.taken + progress.aside, u64::from(count));
        }
    }
}
