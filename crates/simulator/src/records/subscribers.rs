//! Which channels ever covered an event, and which of them had it taken away.

use std::collections::BTreeMap;

use super::super::channel::Channel;
use crate::model::events::Operation;

/// The channels of one org by event.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    /// By module, operation and channel: true while the event is taken away from the channel. An
    /// expiry takes nothing away.
    by_event: BTreeMap<String, BTreeMap<Operation, BTreeMap<i64, bool>>>,
}

impl Subscribers {
    /// Takes note that one state of a channel gave way to another.
    pub(crate) fn turn(&mut self, before: Option<&Channel>, after: Option<&Channel>) {
        if let Some(channel) = before {
            self.mark(channel, true);
        }
        if let Some(channel) = after {
            self.mark(channel, false);
        }
    }

    /// The channels that ever covered this event, each with whether it was taken away.
    pub(crate) fn of(
        &self,
        module: &str,
        operation: Operation,
    ) -> impl Iterator<Item = (i64, bool)> {
        let channels = self.by_event.get(module).and_then(|events| events.get(&operation));
        channels.into_iter().flatten().map(|(id, taken)| (*id, *taken))
    }

    fn mark(&mut self, channel: &Channel, taken: bool) {
        for (module, operations) in channel.events.iter() {
            let events = self.by_event.entry(module.to_owned()).or_default();
            for operation in operations.iter() {
                events.entry(operation).or_default().insert(channel.id, taken);
            }
        }
    }
}
