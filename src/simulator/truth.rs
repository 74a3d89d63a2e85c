//! The truth: when a change would have been delivered, and where to.
//!
//! For each channel, module, operation and notify URL there are half-open intervals `[from, to)`. The last one ends at the
//! channel's current expiry, so nothing has to run when a channel expires. A renewal of a live channel makes its interval
//! longer; an edit, a deletion or a new URL ends it at that instant. Intervals that touch are one.
//!
//! Conditions are not looked at: an interval says that the channel listens, not that every edit passes its filter.

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
    /// Where the deliveries went.
    pub notify_url: String,
    /// From this instant on.
    pub from: Timestamp,
    /// Up to but not including this instant; may lie ahead, when nothing else happens.
    pub to: Timestamp,
}

impl Covered {
    /// Whether a change at this instant was delivered.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    channel: i64,
    module: String,
    operation: Operation,
    notify_url: String,
}

/// All intervals of one org.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    spans: BTreeMap<Key, Vec<(Timestamp, Timestamp)>>,
}

impl Ledger {
    /// Takes note that at `now` one state of a channel gave way to another.
    pub(crate) fn turn(&mut self, before: Option<&Channel>, after: Option<&Channel>, now: Timestamp) {
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
        let of_key = |(key, spans): (&Key, &Vec<(Timestamp, Timestamp)>)| {
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

    fn cut(&mut self, key: &Key, now: Timestamp) {
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

    fn open(&mut self, key: Key, now: Timestamp, expiry: Timestamp) {
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

fn keys(channel: &Channel) -> Vec<Key> {
    let of_module = |(module, operations): (&str, crate::model::events::Operations)| {
        let module = module.to_owned();
        operations.iter().map(move |operation| (module.clone(), operation)).collect::<Vec<_>>()
    };
    let key =
        |(module, operation)| Key { channel: channel.id, module, operation, notify_url: channel.notify_url.clone() };
    channel.events.iter().flat_map(of_module).map(key).collect()
}

/// Intervals kept of one channel, module, operation and URL; the oldest go first.
const SPANS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

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

    fn brief(ledger: &Ledger) -> Vec<(String, i64, i64)> {
        ledger
            .all()
            .into_iter()
            .map(|covered| {
                let what = format!("{}.{} {}", covered.module, covered.operation, covered.notify_url);
                (what, covered.from.as_second(), covered.to.as_second())
            })
            .collect()
    }

    #[test]
    fn a_renewal_extends_and_a_late_one_leaves_a_gap() {
        let mut ledger = Ledger::default();
        let (first, second, third) =
            (channel(&["Deals.edit"], "u", 10), channel(&["Deals.edit"], "u", 20), channel(&["Deals.edit"], "u", 40));
        ledger.turn(None, Some(&first), at(0));
        ledger.turn(Some(&first), Some(&second), at(9));
        assert_eq!(brief(&ledger), [("Deals.edit u".to_owned(), 0, 20)]);
        let covered = &ledger.all()[0];
        assert!(covered.contains(at(0)) && covered.contains(at(19)) && !covered.contains(at(20)));
        ledger.turn(Some(&second), Some(&third), at(30));
        assert_eq!(brief(&ledger), [("Deals.edit u".to_owned(), 0, 20), ("Deals.edit u".to_owned(), 30, 40)]);
    }

    #[test]
    fn an_edit_cuts_what_it_takes_away_and_a_deletion_cuts_all() {
        let mut ledger = Ledger::default();
        let both = channel(&["Deals.edit", "Leads.create"], "u", 100);
        let one = channel(&["Deals.edit"], "u", 100);
        ledger.turn(None, Some(&both), at(0));
        ledger.turn(Some(&both), Some(&one), at(5));
        ledger.turn(Some(&one), None, at(7));
        assert_eq!(brief(&ledger), [("Deals.edit u".to_owned(), 0, 7), ("Leads.create u".to_owned(), 0, 5)]);
    }

    #[test]
    fn another_url_is_another_interval() {
        let mut ledger = Ledger::default();
        let (old, new) = (channel(&["Deals.edit"], "a", 100), channel(&["Deals.edit"], "b", 100));
        ledger.turn(None, Some(&old), at(0));
        ledger.turn(Some(&old), Some(&new), at(5));
        assert_eq!(brief(&ledger), [("Deals.edit a".to_owned(), 0, 5), ("Deals.edit b".to_owned(), 5, 100)]);
    }

    #[test]
    fn what_lasted_no_time_was_not() {
        let mut ledger = Ledger::default();
        let short = channel(&["Deals.edit"], "u", 100);
        ledger.turn(None, Some(&short), at(5));
        ledger.turn(Some(&short), None, at(5));
        assert_eq!(brief(&ledger), []);
    }
}
