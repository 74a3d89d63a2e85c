//! Events that two channels of one account send to the same URL: a receiver gets each of them as
//! often as there are channels.
//!
//! A channel counts when it is declared, or when Zoho has it and it is foreign. One that is ours
//! and no longer declared is about to go. Two channels that both have conditions may be meant to
//! share an event between them, so that is no overlap. An overlap is a note: no step follows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::channel::{ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::condition;
use crate::model::events::{Events, Operation, Operations};
use crate::model::observed::Look;
use crate::model::record::Record;

use super::drift;

/// Events that several channels send to one URL. Written down, it has the URL without its query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The events.
    pub events: Events,
    /// The URL.
    #[serde(serialize_with = "drift::shown", deserialize_with = "drift::read")]
    pub notify_url: NotifyUrl,
    /// The channels, the declared ones first; at least two.
    pub channels: Vec<Sender>,
}

/// One of the channels of an overlap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Sender {
    /// A declared one, by its name.
    Declared(ChannelName),
    /// One that is not ours.
    Foreign(ChannelId),
}

/// The overlaps of one account, at most [`OVERLAPS_MAX`].
pub fn overlaps(
    specs: &BTreeMap<ChannelId, Arc<Spec>>,
    records: &BTreeMap<ChannelId, Record>,
    look: Option<&Look>,
) -> Vec<Overlap> {
    let mut by_url: BTreeMap<&NotifyUrl, Vec<Emitter<'_>>> = BTreeMap::new();
    for spec in specs.values() {
        by_url.entry(&spec.notify_url).or_default().push(Emitter {
            by: Emitting::Declared(&spec.name),
            events: &spec.events,
            has_conditions: !spec.conditions.is_empty(),
        });
    }
    if let Some(Look::Seen { channels, .. }) = look {
        for (id, seen) in channels {
            if specs.contains_key(id) || records.contains_key(id) {
                continue;
            }
            let has_conditions = seen.conditions.iter().any(has_some);
            for url in seen.notify_urls.iter() {
                let (by, events) = (Emitting::Foreign(*id), &seen.events);
                by_url.entry(url).or_default().push(Emitter { by, events, has_conditions });
            }
        }
    }
    let shared = by_url.into_iter().filter(|(_, channels)| channels.len() > 1);
    shared.flat_map(|(url, channels)| at_one_url(url, &channels)).take(OVERLAPS_MAX).collect()
}

struct Emitter<'a> {
    by: Emitting<'a>,
    events: &'a Events,
    has_conditions: bool,
}

/// As [`Sender`], and in its order, before anything is said of it: most channels share no event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Emitting<'a> {
    Declared(&'a ChannelName),
    Foreign(ChannelId),
}

impl Emitting<'_> {
    fn sender(&self) -> Sender {
        match self {
            Emitting::Declared(name) => Sender::Declared((*name).clone()),
            Emitting::Foreign(id) => Sender::Foreign(*id),
        }
    }
}

fn has_some(seen: &condition::Seen) -> bool {
    match seen {
        condition::Seen::Unsaid => false,
        condition::Seen::Known(conditions) => !conditions.is_empty(),
        condition::Seen::Opaque => true,
    }
}

/// The overlaps at one URL: events that the same channels send are one.
fn at_one_url(url: &NotifyUrl, channels: &[Emitter<'_>]) -> Vec<Overlap> {
    let count = channels.iter().map(|channel| channel.events.len()).sum();
    let mut sent: Vec<(&str, Operation, &Emitter<'_>)> = Vec::with_capacity(count);
    for channel in channels {
        for (module, operations) in channel.events.iter() {
            sent.extend(operations.iter().map(|operation| (module, operation, channel)));
        }
    }
    sent.sort_by_key(|(module, operation, _)| (*module, *operation));
    let mut overlaps: BTreeMap<Vec<Emitting<'_>>, Events> = BTreeMap::new();
    for of_event in sent.chunk_by(|one, next| (one.0, one.1) == (next.0, next.1)) {
        let divided = of_event.iter().all(|(.., channel)| channel.has_conditions);
        if of_event.len() > 1 && !divided {
            let (module, operation, _) = of_event[0];
            let mut by: Vec<Emitting<'_>> =
                of_event.iter().map(|(.., channel)| channel.by).collect();
            by.sort();
            let events = overlaps.entry(by).or_default();
            events.insert(module, Operations::default().with(operation));
        }
    }
    let overlap = |(by, events): (Vec<Emitting<'_>>, Events)| {
        let channels = by.iter().map(Emitting::sender).collect();
        Overlap { events, notify_url: url.clone(), channels }
    };
    overlaps.into_iter().map(overlap).collect()
}

impl fmt::Display for Overlap {
    /// As `Deals.edit goes 2 times to https://h.example.com/a: from a, b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overlap { events, notify_url, channels } = self;
        let mut names: Vec<String> =
            channels.iter().take(NAMES_MAX).map(ToString::to_string).collect();
        if channels.len() > NAMES_MAX {
            names.push(format!("{} more", channels.len() - NAMES_MAX));
        }
        let (events, times) = (events.to_wire(), channels.len());
        let go = if events.len() == 1 && !events[0].ends_with(".all") { "goes" } else { "go" };
        let (events, names) = (events.join(", "), names.join(", "));
        write!(f, "{events} {go} {times} times to {notify_url}: from {names}")
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sender::Declared(name) => f.write_str(name.as_str()),
            Sender::Foreign(id) => write!(f, "the foreign channel {id}"),
        }
    }
}

/// The most overlaps of one account that are said.
pub const OVERLAPS_MAX: usize = 20;
/// The most channels of one overlap that are named.
const NAMES_MAX: usize = 10;
