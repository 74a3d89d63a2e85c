//! The notifications that were never made, or that nobody took, record by record.
//!
//! A channel that covered an event once is expected to go on: while it does not, each change of a
//! record that it would have told of is a line here. A channel that never covered the event misses
//! nothing.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::model::events::Operation;

/// One notification that a channel's receiver did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The channel's id.
    pub channel: i64,
    /// The module's API name.
    pub module: Arc<str>,
    /// The operation that happened.
    pub operation: Operation,
    /// The record.
    pub id: u64,
    /// When, by the simulator's clock.
    pub at: Timestamp,
    /// The reason.
    pub why: Why,
}

/// The reason why a notification was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The channel was over.
    Lapsed,
    /// The event, or the whole channel, was taken away.
    Removed,
    /// The channel's condition held the edit back: nothing went wrong.
    Filtered,
    /// Zoho lost it, as the knob for that says.
    Lost,
    /// It was posted, and the receiver did not take it.
    Undeliverable,
}

impl Missed {
    /// It as the admin API shows it.
    pub fn to_json(&self) -> Value {
        let Missed { channel, module, operation, id, at, why } = self;
        json!({
            "channel_id": channel.to_string(),
            "module": **module,
            "operation": operation.as_str(),
            "id": id.to_string(),
            "at": at,
            "why": why,
        })
    }
}

/// The lines of one org.
#[derive(Debug, Default)]
pub(crate) struct MissedList {
    lines: Vec<Missed>,
    /// Lines beyond [`LINES_MAX`].
    pub(crate) untold: u64,
}

impl MissedList {
    /// The lines, oldest first.
    pub(crate) fn lines(&self) -> &[Missed] {
        &self.lines
    }

    /// A line for each of the records.
    pub(crate) fn note_all(
        &mut self,
        channel: i64,
        (module, operation): (&str, Operation),
        ids: impl Iterator<Item = u64>,
        (at, why): (Timestamp, Why),
    ) {
        let module: Arc<str> = self.named(module);
        for id in ids {
            self.note(Missed { channel, module: Arc::clone(&module), operation, id, at, why });
        }
    }

    /// One line more.
    pub(crate) fn note(&mut self, line: Missed) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(line);
        } else {
            self.untold += 1;
        }
    }

    /// A module's name, shared with the line before where that has the same.
    pub(crate) fn named(&self, module: &str) -> Arc<str> {
        match self.lines.last() {
            Some(line) if *line.module == *module => Arc::clone(&line.module),
            Some(_) | None => Arc::from(module),
        }
    }
}

/// Lines kept of one org.
const LINES_MAX: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::change::Change;
    use crate::hands::Hand;
    use crate::knobs::Knobs;
    use crate::model::time;
    use crate::records::bulk::{Bulk, Done};
    use crate::testing::{World, channel};

    fn world(knobs: Knobs) -> World {
        let mut world = World::new(knobs);
        let channels =
            [channel("1", &["Deals.all"]), channel("2", &["Deals.edit", "Leads.create"])];
        assert_eq!(world.write("POST", &channels).0, 201);
        world
    }

    fn edited(world: &mut World, id: u64) -> usize {
        let edit = Change::of("Deals", Operation::Edit, &[id]);
        world.zoho.record_changed("a", &edit, world.now).len()
    }

    fn brief(world: &World) -> Vec<(i64, u64, Why)> {
        world.zoho.missed("a").iter().map(|line| (line.channel, line.id, line.why)).collect()
    }

    #[test]
    fn an_event_that_is_covered_or_never_was_is_not_missed() {
        let mut world = world(Knobs::default());
        assert_eq!(edited(&mut world, 7), 2);
        let leads = Change::of("Leads", Operation::Edit, &[1]);
        assert_eq!(world.zoho.record_changed("a", &leads, world.now), []);
        assert_eq!(world.zoho.missed("a"), []);
    }

    #[test]
    fn a_lapse_and_a_removal_are_told_apart_until_the_event_is_covered_again() {
        let mut world = world(Knobs::default());
        let drop_deals = Hand::DropModule { channel: 2, module: "Deals".to_owned() };
        world.zoho.hand("a", &drop_deals, world.now).unwrap();
        assert_eq!(edited(&mut world, 7), 1);
        world.pass(3_600);
        assert_eq!(edited(&mut world, 8), 0);
        let expected = [(2, 7, Why::Removed), (1, 8, Why::Lapsed), (2, 8, Why::Removed)];
        assert_eq!(brief(&world), expected);
        world.pass(8 * 86_400);
        edited(&mut world, 9);
        assert_eq!(brief(&world)[3], (1, 9, Why::Lapsed), "long over, and never taken away");
        let shown = world.zoho.missed("a")[0].to_json();
        let expected = json!({
            "channel_id": "2",
            "module": "Deals",
            "operation": "edit",
            "id": "7",
            "at": "2026-11-23T16:00:00Z",
            "why": "removed",
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_delivery_that_is_lost_or_refused_was_missed() {
        let mut world = world(Knobs { deliveries_drop_every: 2, ..Knobs::default() });
        let edit = Change::of("Deals", Operation::Edit, &[7]);
        let made = world.zoho.record_changed("a", &edit, world.now);
        world.zoho.undelivered(&made[0]);
        assert_eq!(brief(&world), [(2, 7, Why::Lost), (1, 7, Why::Undeliverable)]);
    }

    #[test]
    fn what_a_condition_holds_back_is_no_loss_and_named_all_the_same() {
        let mut world = World::new(Knobs::default());
        let mut item = channel("1", &["Deals.all"]);
        let selection = json!({"field": {"api_name": "Stage"}});
        let module = json!({"api_name": "Deals"});
        item["notification_condition"] =
            json!([{"type": "field_selection", "module": module, "field_selection": selection}]);
        world.write("POST", &[item]);
        assert_eq!(edited(&mut world, 7), 0);
        assert_eq!(brief(&world), [(1, 7, Why::Filtered)]);
    }

    #[test]
    fn a_bulk_in_the_past_is_judged_by_what_was_covered_then() {
        let mut world = world(Knobs::default());
        let born = world.now;
        world.pass(7_200);
        let bulk = Bulk {
            module: "Deals".to_owned(),
            operation: Operation::Create,
            count: 300,
            first: Some(1),
            from: time::before(born, Duration::from_secs(3_600)),
            to: world.now,
            values: BTreeMap::new(),
        };
        let done = world.zoho.bulk("a", &bulk, world.now).unwrap();
        assert_eq!(done, Done { first: 1, made: 100, missed: 100 });
        let lines = world.zoho.missed("a");
        assert_eq!((lines[0].id, lines[99].id), (201, 300));
        assert!(lines.iter().all(|line| line.channel == 1 && line.why == Why::Lapsed));
        assert_eq!(lines[0].at, time::after(born, Duration::from_secs(3_600)));
    }

    #[test]
    fn two_hundred_thousand_records_are_cheap() {
        let mut world = world(Knobs::default());
        world.pass(7_200);
        let bulk = Bulk {
            module: "Deals".to_owned(),
            operation: Operation::Edit,
            count: 200_000,
            first: None,
            from: time::before(world.now, Duration::from_secs(3_600)),
            to: world.now,
            values: BTreeMap::new(),
        };
        let done = world.zoho.bulk("a", &bulk, world.now).unwrap();
        assert_eq!((done.made, done.missed), (0, 400_000));
        let wrong = Bulk { to: time::after(world.now, Duration::from_secs(1)), ..bulk };
        assert!(world.zoho.bulk("a", &wrong, world.now).is_err(), "it has not happened yet");
    }
}
