//! Where the config declares a channel and its events, so that a refusal can name the line.

use std::fmt;
use std::sync::Arc;

use super::events::{Events, Operations};

/// The lines of one channel. A channel that was read from the store has none.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Declared(Option<Arc<Lines>>);

#[derive(PartialEq, Eq)]
struct Lines {
    file: Arc<str>,
    channel: u32,
    events: Box<[(Arc<str>, Operations, u32)]>,
}

impl Declared {
    /// In a file, the channel and each of its events, as it is written, with its line; `all` are
    /// the good ones.
    pub fn at<'e>(
        file: Arc<str>,
        channel: u32,
        events: impl IntoIterator<Item = (&'e str, u32)>,
        all: &Events,
    ) -> Declared {
        let parsed = events.into_iter().filter_map(|(event, line)| {
            let (module, operations) = Events::parse(event).ok()?;
            Some((all.module(module)?, operations, line))
        });
        let events = parsed.collect();
        Declared(Some(Arc::new(Lines { file, channel, events })))
    }

    /// The place of the channel, as `config.toml:10`.
    pub fn channel(&self) -> Option<String> {
        let Lines { file, channel, events: _ } = self.0.as_deref()?;
        Some(format!("{file}:{channel}"))
    }

    /// The places of events, as `config.toml:13, config.toml:14`.
    pub fn events(&self, events: &Events) -> Option<String> {
        let Lines { file, channel: _, events: declared } = self.0.as_deref()?;
        let is_one = |(module, operations, _): &&(Arc<str>, Operations, u32)| {
            operations.iter().any(|operation| events.of(module).contains(operation))
        };
        let mut lines: Vec<u32> =
            declared.iter().filter(is_one).map(|(_, _, line)| *line).collect();
        lines.sort_unstable();
        lines.dedup();
        let places: Vec<String> = lines.iter().map(|line| format!("{file}:{line}")).collect();
        (!places.is_empty()).then(|| places.join(", "))
    }

    /// The place that the words of a refusal name: `the event Deals.all: invalid data` leads to the
    /// event, `the key token: invalid data` to the channel.
    pub fn named_in(&self, message: &str) -> Option<String> {
        if let Some(rest) = message.strip_prefix("the event ") {
            let event = rest.split([' ', ':']).next()?;
            return self.events(&[event].into_iter().collect());
        }
        message.strip_prefix("the key ")?;
        self.channel()
    }
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_deref() {
            Some(lines) => write!(f, "on line {}", lines.channel),
            None => f.write_str("on no line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_refusal_lead_to_the_line() {
        let events = [("Deals.all", 12), ("Meetings.create", 13)];
        let all = events.iter().map(|(event, _)| *event).collect();
        let declared = Declared::at("config.toml".into(), 10, events, &all);
        let rows = [
            (
                "the event Meetings.create (the API name of Meetings is Events): invalid data",
                "config.toml:13",
            ),
            ("the event Deals.edit: invalid data", "config.toml:12"),
            ("the key token: invalid data", "config.toml:10"),
        ];
        for (message, place) in rows {
            assert_eq!(declared.named_in(message).as_deref(), Some(place), "{message}");
        }
        for message in ["the event Leads.all: invalid data", "invalid data"] {
            assert_eq!(declared.named_in(message), None, "{message}");
        }
        let both = ["Deals.create", "Meetings.create"].into_iter().collect();
        assert_eq!(declared.events(&both).as_deref(), Some("config.toml:12, config.toml:13"));
        assert_eq!(Declared::default().events(&both), None);
    }
}
