//! Records that change all the time, by a pattern: the same changes in every run.
//!
//! As in most orgs, people work on the younger records and delete the oldest ones.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::events::Operation;
use crate::model::time::Timestamp;
use crate::simulator::{Change, Zoho};

/// The records of some modules.
pub(in crate::cli) struct Bustle {
    places: Vec<BusyModule>,
    /// Changes of each module in an hour.
    hourly: u64,
    /// How many times records have changed.
    ticks: u64,
    /// How many records there have been. No two have the same id, in whichever org.
    made: u64,
}

/// A module of an org.
struct BusyModule {
    org: String,
    module: String,
    /// The records that are there, the oldest first.
    there: VecDeque<u64>,
}

impl Bustle {
    /// From one change to the next.
    pub(in crate::cli) const TICK: Duration = Duration::from_secs(600);

    /// These modules, each with its org, of which so many records change in an hour. Some records
    /// are there from the beginning.
    pub(in crate::cli) fn new(
        zoho: &mut Zoho,
        places: impl IntoIterator<Item = (String, String)>,
        hourly: u64,
        now: Timestamp,
    ) -> Bustle {
        let place = |(org, module)| BusyModule { org, module, there: VecDeque::new() };
        let places = places.into_iter().map(place).collect();
        let mut bustle = Bustle { places, hourly, ticks: 0, made: 0 };
        let first = FIRST_MIN + bustle.at_most() * 4;
        for place in &mut bustle.places {
            let ids = place.created(first, &mut bustle.made);
            place.happens(zoho, Operation::Create, &ids, now);
        }
        bustle
    }

    /// Records of each module change.
    pub(in crate::cli) fn change(&mut self, zoho: &mut Zoho, now: Timestamp) {
        let many = self.at_this_tick();
        for (place, nth) in self.places.iter_mut().zip(0..) {
            let operation = PATTERN[((self.ticks + 3 * nth) % PATTERN.len() as u64) as usize];
            let ids = match operation {
                Operation::Create => place.created(many, &mut self.made),
                Operation::Edit => place.edited(many, self.ticks),
                Operation::Delete => place.deleted(many),
            };
            place.happens(zoho, operation, &ids, now);
        }
        self.ticks += 1;
    }

    /// As many as have become due since the tick before.
    fn at_this_tick(&self) -> u64 {
        let due = |ticks: u64| ticks * self.hourly / TICKS_PER_HOUR;
        due(self.ticks + 1) - due(self.ticks)
    }

    fn at_most(&self) -> u64 {
        self.hourly.div_ceil(TICKS_PER_HOUR)
    }
}

impl BusyModule {
    fn happens(&self, zoho: &mut Zoho, operation: Operation, ids: &[u64], now: Timestamp) {
        if !ids.is_empty() {
            zoho.record_changed(&self.org, &Change::of(&self.module, operation, ids), now);
        }
    }

    fn created(&mut self, many: u64, made: &mut u64) -> Vec<u64> {
        let ids: Vec<u64> = (*made + 1..=*made + many).collect();
        *made += many;
        self.there.extend(&ids);
        ids
    }

    /// Some of the younger half, others at each tick.
    fn edited(&self, many: u64, tick: u64) -> Vec<u64> {
        let younger = (self.there.len() / 2) as u64;
        let nth = |nth: u64| (tick * 7 * many.max(1) + nth) % younger.max(1);
        let at = |back: u64| self.there.iter().rev().nth(back as usize).copied();
        (0..younger.min(many)).map(nth).filter_map(at).collect()
    }

    fn deleted(&mut self, many: u64) -> Vec<u64> {
        let older = self.there.len() / 4;
        self.there.drain(..older.min(many as usize)).collect()
    }
}

const TICKS_PER_HOUR: u64 = 6;
/// Records of each module at the beginning, at the least.
const FIRST_MIN: u64 = 40;

/// The changes of a module, again and again.
const PATTERN: [Operation; 8] = [
    Operation::Create,
    Operation::Edit,
    Operation::Edit,
    Operation::Edit,
    Operation::Create,
    Operation::Edit,
    Operation::Delete,
    Operation::Edit,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{Knobs, Org};

    #[test]
    fn as_many_records_change_in_an_hour_as_was_said() {
        for hourly in [0, 1, 6, 100] {
            let mut zoho = Zoho::new(Knobs::default());
            zoho.add_org(Org::new("acme"));
            let place = ("acme".to_owned(), "Deals".to_owned());
            let mut bustle = Bustle::new(&mut zoho, [place], hourly, Timestamp::UNIX_EPOCH);
            let mut changed = 0;
            for _ in 0..TICKS_PER_HOUR * 24 {
                changed += bustle.at_this_tick();
                bustle.change(&mut zoho, Timestamp::UNIX_EPOCH);
            }
            assert_eq!(changed, hourly * 24);
        }
    }
}
