//! The truth: when a change would have been delivered, and where to.
//!
//! For each channel, module, operation and notify URL there are half-open intervals `[from, to)`.
//! The last one ends at the channel's current expiry, so nothing has to run when a channel expires.
//! A renewal of a live channel makes its interval longer; an edit, a deletion or a new URL ends it
//! at that instant. Intervals that touch are one.
//!
//! Conditions are not looked at: an interval says that the channel listens, not that every edit
//! passes its filter.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::channel::Channel;
use crate::model::events::Operation;

/// One stretch of time in which changes were delivered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Covered {
    /// The channel's id.
    pub channel: String,
    /// The module's API name.
    pub module: String,
    /// `create`, `edit` or `delete`.
    pub operation: &'static str,
    /// The URL that the deliveries went to.
    pub notify_url: String,
    /// From this instant on.
    pub from: Timestamp,
    /// Up to but not including this instant; may lie ahead, when nothing else happens.
    pub to: Timestamp,
}

impl Covered {
    /// Returns whether a change at this instant was delivered.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// From the first instant on, up to but not including the second.
pub(crate) type Span = (Timestamp, Timestamp);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct IntervalKey {
    channel: i64,
    module: String,
    operation: Operation,
    notify_url: String,
}

/// All intervals of one org.
#[derive(Debug, Default)]
pub(crate) struct IntervalLedger {
    spans: BTreeMap<IntervalKey, Vec<Span>>,
}

impl IntervalLedger {
    /// Takes note that at `now` one state of a channel gave way to another.
    pub(crate) fn turn(
        &mut self,
        before: Option<&Channel>,
        after: Option<&Channel>,
        now: Timestamp,
    ) {
        for key in before.into_iter().flat_map(keys) {
            self.cut(&key, now);
        }
        for channel in after.into_iter().filter(|channel| channel.expiry > now) {
            for key in keys(channel) {
                self.open(key, now, channel.expiry);
            }
        }
    }

    /// Everything, by channel, module, operation, URL and time.
    pub(crate) fn all(&self) -> Vec<Covered> {
        let of_key = |(key, spans): (&IntervalKey, &Vec<Span>)| {
            let key = key.clone();
            spans.clone().into_iter().map(move |(from, to)| Covered {
                channel: key.channel.to_string(),
                module: key.module.clone(),
                operation: key.operation.as_str(),
                notify_url: key.notify_url.clone(),
                from,
                to,
            })
        };
        self.spans.iter().flat_map(of_key).collect()
    }

    /// When a channel covered an event, whichever URL it had; by URL and time.
    pub(crate) fn spans_of(&self, channel: i64, module: &str, operation: Operation) -> Vec<Span> {
        let notify_url = String::new();
        let first = IntervalKey { channel, module: module.to_owned(), operation, notify_url };
        let is_same = |key: &IntervalKey| {
            (key.channel, key.module.as_str(), key.operation) == (channel, module, operation)
        };
        let keys = self.spans.range(first..).take_while(|(key, _)| is_same(key));
        keys.flat_map(|(_, spans)| spans.iter().copied()).collect()
    }

    fn cut(&mut self, key: &IntervalKey, now: Timestamp) {
        let Some(spans) = self.spans.get_mut(key) else { return };
        if let Some(last) = spans.last_mut() {
            last.1 = last.1.min(now);
        }
        if spans.last().is_some_and(|(from, to)| from >= to) {
            spans.pop();
        }
        if spans.is_empty() {
            self.spans.remove(key);
        }
    }

    fn open(&mut self, key: IntervalKey, now: Timestamp, expiry: Timestamp) {
        let spans = self.spans.entry(key).or_default();
        match spans.last_mut() {
            Some(last) if last.1 == now => last.1 = expiry,
            Some(_) | None => spans.push((now, expiry)),
        }
        if spans.len() > SPANS_MAX {
            spans.remove(0);
        }
    }
}

fn keys(channel: &Channel) -> Vec<IntervalKey> {
    let of_module = |(module, operations): (&str, crate::model::events::Operations)| {
        let module = module.to_owned();
        operations.iter().map(move |operation| (module.clone(), operation)).collect::<Vec<_>>()
    };
    let key = |(module, operation)| IntervalKey {
        channel: channel.id,
        module,
        operation,
        notify_url: channel.notify_url.clone(),
    };
    channel.events.iter().flat_map(of_module).map(key).collect()
}

/// Intervals kept of one channel, module, operation and URL; the oldest go first.
const SPANS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::knobs::Length;
    use super::super::testing::World;
    use super::super::{Change, Knobs};
    use super::*;
    use crate::model::secret::Fingerprint;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn channel(events: &[&str], url: &str, expiry: i64) -> Channel {
        Channel {
            id: 1,
            events: events.iter().copied().collect(),
            notify_url: url.to_owned(),
            token: None,
            expiry: at(expiry),
            related: true,
            affected_values: false,
            condition: None,
        }
    }

    fn brief(ledger: &IntervalLedger) -> Vec<(String, i64, i64)> {
        ledger
            .all()
            .into_iter()
            .map(|covered| {
                let what =
                    format!("{}.{} {}", covered.module, covered.operation, covered.notify_url);
                (what, covered.from.as_second(), covered.to.as_second())
            })
            .collect()
    }

    #[test]
    fn a_renewal_extends_and_a_late_one_leaves_a_gap() {
        let mut ledger = IntervalLedger::default();
        let (first, second, third) = (
            channel(&["Deals.edit"], "u", 10),
            channel(&["Deals.edit"], "u", 20),
            channel(&["Deals.edit"], "u", 40),
        );
        ledger.turn(None, Some(&first), at(0));
        ledger.turn(Some(&first), Some(&second), at(9));
        assert_eq!(brief(&ledger), [("Deals.edit u".to_owned(), 0, 20)]);
        let covered = &ledger.all()[0];
        assert!(covered.contains(at(0)) && covered.contains(at(19)) && !covered.contains(at(20)));
        ledger.turn(Some(&second), Some(&third), at(30));
        assert_eq!(
            brief(&ledger),
            [("Deals.edit u".to_owned(), 0, 20), ("Deals.edit u".to_owned(), 30, 40)]
        );
    }

    #[test]
    fn an_edit_cuts_what_it_takes_away_and_a_deletion_cuts_all() {
        let mut ledger = IntervalLedger::default();
        let both = channel(&["Deals.edit", "Leads.create"], "u", 100);
        let one = channel(&["Deals.edit"], "u", 100);
        ledger.turn(None, Some(&both), at(0));
        ledger.turn(Some(&both), Some(&one), at(5));
        ledger.turn(Some(&one), None, at(7));
        assert_eq!(
            brief(&ledger),
            [("Deals.edit u".to_owned(), 0, 7), ("Leads.create u".to_owned(), 0, 5)]
        );
    }

    #[test]
    fn another_url_is_another_interval() {
        let mut ledger = IntervalLedger::default();
        let (old, new) = (channel(&["Deals.edit"], "a", 100), channel(&["Deals.edit"], "b", 100));
        ledger.turn(None, Some(&old), at(0));
        ledger.turn(Some(&old), Some(&new), at(5));
        assert_eq!(
            brief(&ledger),
            [("Deals.edit a".to_owned(), 0, 5), ("Deals.edit b".to_owned(), 5, 100)]
        );
    }

    #[test]
    fn what_lasted_no_time_was_not() {
        let mut ledger = IntervalLedger::default();
        let short = channel(&["Deals.edit"], "u", 100);
        ledger.turn(None, Some(&short), at(5));
        ledger.turn(Some(&short), None, at(5));
        assert_eq!(brief(&ledger), []);
    }

    /// A step of a walk: what happens to one of three channels.
    fn step(world: &mut World, dice: u64) {
        let (what, id) = (dice % 7, (dice / 7 % 3 + 1).cast_signed());
        let url = ["https://a.test", "https://b.test"][usize::from(dice.is_multiple_of(5))];
        let events =
            ["Deals.all", "Deals.edit", "Leads.create"][usize::try_from(dice % 3).unwrap()];
        let item = json!({"channel_id": id, "events": [events], "notify_url": url});
        let dropped = json!({"channel_id": id, "events": [events], "_delete_events": true});
        match what {
            0 | 1 => drop(world.write("POST", &[item])),
            2 => drop(world.write("PATCH", &[item])),
            3 => drop(world.write("PATCH", &[dropped])),
            4 => drop(world.write("PUT", &[item])),
            5 => drop(world.send("DELETE", &[("channel_ids", &id.to_string())], &Value::Null)),
            _ => world.pass(dice % 5_000),
        }
    }

    /// Who would get a delivery at this instant, asked of the deliveries and of the truth.
    fn both_views(
        world: &mut World,
        module: &str,
        operation: Operation,
    ) -> [Vec<(String, String)>; 2] {
        let now = world.now;
        let records = BTreeMap::from([("1".to_owned(), BTreeMap::new())]);
        let change = Change { module: module.to_owned(), operation, records, related: false };
        let made = world.zoho.record_changed("a", &change, now);
        let made =
            made.into_iter().map(|delivery| (delivery.channel, delivery.notify_url)).collect();
        let truth = world.zoho.truth("a").into_iter();
        let known = truth
            .filter(|covered| covered.module == module && covered.operation == operation.as_str())
            .filter(|covered| covered.contains(now))
            .map(|covered| (covered.channel, covered.notify_url))
            .collect();
        [made, known]
    }

    #[test]
    fn the_truth_is_what_would_be_delivered_through_a_thousand_changes() {
        let mut world =
            World::new(Knobs { access_token_life: Length(Duration::MAX), ..Knobs::default() });
        for n in 0..1_000_u64 {
            step(&mut world, Fingerprint::of(&["walk", &n.to_string()]).0);
            for (module, operation) in [
                ("Deals", Operation::Edit),
                ("Deals", Operation::Delete),
                ("Leads", Operation::Create),
            ] {
                let [made, known] = both_views(&mut world, module, operation);
                assert_eq!(made, known, "step {n}, {module} {operation:?}");
            }
        }
        assert!(world.zoho.truth("a").len() > 100, "the walk covers something");
    }
}
