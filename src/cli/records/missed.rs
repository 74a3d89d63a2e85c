//! The fate of each event that a channel missed.
//!
//! | an event that a channel missed | is |
//! | --- | --- |
//! | and that its receiver took afterwards | recovered |
//! | of an event that is not covered again, or was a moment ago | open |
//! | of a record that was deleted before anybody could read it | gone: its deletion is all that is left |
//! | any other | lost |

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use serde::Serialize;

use crate::model::events::Operation;
use crate::model::time::{Timestamp, after};
use crate::simulator::{Covered, Missed, Zoho};

use super::receiver::{PlayedReceiver, Taken};

/// Missed events, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct MissedCounts {
    /// All of them.
    pub(in crate::cli) missed: u64,
    /// The receiver took them afterwards.
    pub(in crate::cli) recovered: u64,
    /// Their records were deleted before anybody could read them.
    pub(in crate::cli) gone: u64,
    /// Their gaps are open, or were until a moment ago.
    pub(in crate::cli) open: u64,
    /// They could have been recovered, and were not.
    pub(in crate::cli) lost: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EventFate {
    Recovered,
    Gone,
    Open,
    Lost,
}

/// The facts of one missed event.
#[derive(Clone, Copy, Debug)]
struct MissedFacts {
    operation: Operation,
    was_taken: bool,
    /// When the event was covered again.
    mended: Option<Timestamp>,
    /// When the record was deleted.
    deleted: Option<Timestamp>,
}

/// The missed events of an org that `is_meant` picks, by channel. Within `soon` after an event is
/// covered again nothing has to be recovered yet.
pub(in crate::cli) fn counted(
    (zoho, org): (&Zoho, &str),
    receiver: &PlayedReceiver,
    is_meant: impl Fn(&Missed) -> bool,
    (now, soon): (Timestamp, Duration),
) -> BTreeMap<i64, MissedCounts> {
    let (truth, taken) = (zoho.truth(org), receiver.held().clone());
    let mut counts: BTreeMap<i64, MissedCounts> = BTreeMap::new();
    for line in zoho.missed(org).iter().filter(|line| is_meant(line)) {
        let facts = MissedFacts {
            operation: line.operation,
            was_taken: was_taken(line, &taken),
            mended: mended(line, &truth),
            deleted: zoho.times(org, &line.module, line.id).and_then(|times| times.deleted),
        };
        counts.entry(line.channel).or_default().add(facts.fate(now, soon));
    }
    counts
}

fn was_taken(line: &Missed, taken: &Taken) -> bool {
    let key = (line.channel, line.module.to_string(), line.operation, line.id);
    taken.events.get(&key).is_some_and(|at| *at >= line.at)
}

fn mended(line: &Missed, truth: &[Covered]) -> Option<Timestamp> {
    let channel = line.channel.to_string();
    let is_of = |covered: &&Covered| {
        covered.channel == channel
            && covered.module == *line.module
            && covered.operation == line.operation.as_str()
    };
    truth.iter().filter(is_of).map(|covered| covered.from).filter(|from| *from >= line.at).min()
}

impl MissedFacts {
    fn fate(self, now: Timestamp, soon: Duration) -> EventFate {
        let MissedFacts { operation, was_taken, mended, deleted } = self;
        if was_taken {
            return EventFate::Recovered;
        }
        let Some(due) = mended.map(|at| after(at, soon)).filter(|due| *due <= now) else {
            return EventFate::Open;
        };
        let is_gone = operation != Operation::Delete && deleted.is_some_and(|at| at <= due);
        if is_gone { EventFate::Gone } else { EventFate::Lost }
    }
}

impl MissedCounts {
    fn add(&mut self, fate: EventFate) {
        self.missed += 1;
        *match fate {
            EventFate::Recovered => &mut self.recovered,
            EventFate::Gone => &mut self.gone,
            EventFate::Open => &mut self.open,
            EventFate::Lost => &mut self.lost,
        } += 1;
    }
}

impl AddAssign for MissedCounts {
    fn add_assign(&mut self, other: MissedCounts) {
        let MissedCounts { missed, recovered, gone, open, lost } = other;
        self.missed += missed;
        self.recovered += recovered;
        self.gone += gone;
        self.open += open;
        self.lost += lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hours;

    #[test]
    fn each_missed_event_has_one_fate() {
        let edit = MissedFacts {
            operation: Operation::Edit,
            was_taken: false,
            mended: Some(hours(2)),
            deleted: None,
        };
        let deletion =
            MissedFacts { operation: Operation::Delete, deleted: Some(hours(1)), ..edit };
        let table = [
            (edit, EventFate::Lost),
            (MissedFacts { was_taken: true, mended: None, ..edit }, EventFate::Recovered),
            (MissedFacts { mended: None, ..edit }, EventFate::Open),
            (MissedFacts { mended: Some(hours(9)), ..edit }, EventFate::Open),
            (MissedFacts { deleted: Some(hours(1)), ..edit }, EventFate::Gone),
            (MissedFacts { deleted: Some(hours(8)), ..edit }, EventFate::Lost),
            (deletion, EventFate::Lost),
        ];
        let mut counts = MissedCounts::default();
        for (facts, expected) in table {
            let fate = facts.fate(hours(10), Duration::from_secs(3600 * 2));
            assert_eq!(fate, expected, "{facts:?}");
            counts.add(fate);
        }
        let all = MissedCounts { missed: 7, recovered: 1, gone: 1, open: 2, lost: 3 };
        assert_eq!(counts, all);
    }
}
