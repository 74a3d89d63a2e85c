//! Hands: what somebody else does to channels, or with credits, behind the daemon's back. No call
//! is counted for it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::channel::Channel;
use super::knobs::Knobs;
use super::org::OrgState;
use super::state::Zoho;
use crate::model::events::{BadEvent, Events};

/// One thing that somebody else does. In JSON: `{"remove_event": {"channel": 7, "event":
/// "Deals.edit"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "`channel` is a channel's id everywhere, and the other fields say what their variant does"
)]
pub enum Hand {
    /// Takes one event away (`Module.all` takes three).
    RemoveEvent { channel: i64, event: String },
    /// Adds one event.
    AddEvent { channel: i64, event: String },
    /// Sets or clears the token.
    SetToken { channel: i64, token: Option<String> },
    /// Points it elsewhere.
    SetNotifyUrl { channel: i64, notify_url: String },
    /// Takes a whole module away.
    DropModule { channel: i64, module: String },
    /// Sets the expiry; in the past it kills the channel.
    SetExpiry { channel: i64, expiry: Timestamp },
    /// Deletes the channel.
    Delete { channel: i64 },
    /// Creates a channel, or puts another in its place.
    Create {
        channel: i64,
        events: Vec<String>,
        notify_url: String,
        token: Option<String>,
        expiry: Timestamp,
    },
    /// Deletes every channel.
    DeleteAll,
    /// Lets the same credentials lead to another org, whose ids begin with these digits. The
    /// channels of the one before run on.
    SwitchOrg { digits: String },
    /// Another program makes calls until no more than this many credits are left.
    LeaveCredits { credits: u64 },
}

/// The hand found nothing to take hold of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandError {
    /// No org of this name.
    #[error("no org \"{0}\"")]
    Org(String),
    /// No live channel of this id.
    #[error("no live channel {0}")]
    Channel(i64),
    /// The event is none.
    #[error("event \"{0}\"")]
    Event(String, #[source] BadEvent),
}

impl Zoho {
    /// Lets somebody else do something in an org.
    pub fn hand(&mut self, org: &str, hand: &Hand, now: Timestamp) -> Result<(), HandError> {
        let state = self.orgs.get_mut(org).ok_or_else(|| HandError::Org(org.to_owned()))?;
        match hand {
            Hand::RemoveEvent { channel, event } => {
                let events = parsed(std::slice::from_ref(event))?;
                change(state, *channel, now, |held| held.events = held.events.minus(&events))?;
            }
            Hand::AddEvent { channel, event } => {
                let events = parsed(std::slice::from_ref(event))?;
                let add = |held: &mut Channel| {
                    events.iter().for_each(|(name, which)| held.events.insert(name, which))
                };
                change(state, *channel, now, add)?;
            }
            Hand::SetToken { channel, token } => {
                change(state, *channel, now, |held| held.token.clone_from(token))?;
            }
            Hand::SetNotifyUrl { channel, notify_url } => {
                change(state, *channel, now, |held| held.notify_url.clone_from(notify_url))?;
            }
            Hand::DropModule { channel, module } => {
                let all = Events::from_iter([format!("{module}.all").as_str()]);
                change(state, *channel, now, |held| held.events = held.events.minus(&all))?;
            }
            Hand::SetExpiry { channel, expiry } => {
                change(state, *channel, now, |held| held.expiry = *expiry)?;
            }
            Hand::Delete { channel } => {
                state.live(*channel, now).ok_or(HandError::Channel(*channel))?;
                state.take(*channel, now);
            }
            Hand::Create { channel, events, notify_url, token, expiry } => {
                let made = Channel {
                    id: *channel,
                    events: parsed(events)?,
                    notify_url: notify_url.clone(),
                    token: token.clone(),
                    expiry: *expiry,
                    related: true,
                    affected_values: false,
                    condition: None,
                };
                state.put(made, now);
            }
            Hand::DeleteAll => state.take_all(now),
            Hand::SwitchOrg { digits } => state.switch(digits),
            Hand::LeaveCredits { credits } => state.leave_credits(*credits, &self.knobs, now),
        }
        Ok(())
    }
}

impl OrgState {
    fn take_all(&mut self, now: Timestamp) {
        let ids: Vec<i64> = self.channels.keys().copied().collect();
        ids.into_iter().for_each(|id| drop(self.take(id, now)));
    }

    fn leave_credits(&mut self, credits: u64, knobs: &Knobs, now: Timestamp) {
        let left = self.org.credits_per_day(knobs).saturating_sub(self.credits.used(now));
        self.credits.spend(left.saturating_sub(credits), now);
    }
}

/// Edits a live channel; one that is left without events is gone.
fn change(
    state: &mut OrgState,
    id: i64,
    now: Timestamp,
    edit: impl FnOnce(&mut Channel),
) -> Result<(), HandError> {
    let mut channel = state.live(id, now).cloned().ok_or(HandError::Channel(id))?;
    edit(&mut channel);
    if channel.events.is_empty() {
        state.take(id, now);
    } else {
        state.put(channel, now);
    }
    Ok(())
}

fn parsed(texts: &[String]) -> Result<Events, HandError> {
    let mut events = Events::default();
    for text in texts {
        let (module, operations) =
            Events::parse(text).map_err(|why| HandError::Event(text.clone(), why))?;
        events.insert(module, operations);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::super::Knobs;
    use super::super::testing::{World, channel};
    use super::*;

    fn world() -> World {
        let mut world = World::new(Knobs::default());
        world.write("POST", &[channel("7", &["Deals.all", "Leads.create"])]);
        world
    }

    #[test]
    fn each_hand_changes_its_thing_and_counts_no_call() {
        let mut world = world();
        let (now, calls) = (world.now, world.zoho.counters("a").unwrap().clone());
        let hands = [
            Hand::RemoveEvent { channel: 7, event: "Deals.edit".to_owned() },
            Hand::AddEvent { channel: 7, event: "Contacts.all".to_owned() },
            Hand::SetToken { channel: 7, token: None },
            Hand::SetNotifyUrl { channel: 7, notify_url: "https://evil.test".to_owned() },
            Hand::DropModule { channel: 7, module: "Leads".to_owned() },
        ];
        for hand in &hands {
            world.zoho.hand("a", hand, now).unwrap();
        }
        let held = world.zoho.channels("a", now)[0];
        assert_eq!(held.events.to_wire(), ["Contacts.all", "Deals.create", "Deals.delete"]);
        assert_eq!((held.token.as_deref(), held.notify_url.as_str()), (None, "https://evil.test"));
        assert_eq!(world.zoho.counters("a"), Some(&calls));
    }

    #[test]
    fn channels_come_and_go_by_hand_and_the_truth_follows() {
        let mut world = world();
        let start = world.now;
        world.pass(10);
        world
            .zoho
            .hand("a", &Hand::DropModule { channel: 7, module: "Deals".to_owned() }, world.now)
            .unwrap();
        let of_deals: Vec<_> =
            world.zoho.truth("a").into_iter().filter(|covered| covered.module == "Deals").collect();
        assert_eq!(of_deals.len(), 3);
        assert!(of_deals.iter().all(|covered| (covered.from, covered.to) == (start, world.now)));
        world.zoho.hand("a", &Hand::Delete { channel: 7 }, world.now).unwrap();
        assert_eq!(
            world.zoho.hand("a", &Hand::Delete { channel: 7 }, world.now),
            Err(HandError::Channel(7))
        );
        let foreign = Hand::Create {
            channel: 8,
            events: vec!["Calls.all".to_owned()],
            notify_url: "https://other.test".to_owned(),
            token: None,
            expiry: Timestamp::MAX,
        };
        world.zoho.hand("a", &foreign, world.now).unwrap();
        assert_eq!(world.rows().len(), 1);
        world
            .zoho
            .hand("a", &Hand::SetExpiry { channel: 8, expiry: world.now }, world.now)
            .unwrap();
        assert_eq!(world.rows().len(), 0);
    }
}
