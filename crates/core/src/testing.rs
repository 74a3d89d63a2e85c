//! Values for tests and benches, of this crate and of its neighbours: nobody else calls this.
//!
//! A test names what it is about and takes the rest from here: `Spec { lifetime, ..spec(1) }`.
//! Channel n has id n and the name `c{n}`, the account is `acme`, and the time begins at [`START`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::channel::{AccountName, ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::cluster::Allowed;
use crate::model::events::Events;
use crate::model::observed::{Look, Observed};
use crate::model::policy::{Mode, Policy, Removed};
use crate::model::record::{AccountState, Grant, Record};
use crate::model::secret::Secret;
use crate::model::time::{Timestamp, after};
use crate::model::version::{DAY, WEEK};
use crate::model::wishes::Wishes;
use crate::plan::facts::Facts;

/// The beginning of time.
pub const START: &str = "2026-01-01T00:00:00Z";

/// So many hours after [`START`].
pub fn hours(hours: u64) -> Timestamp {
    minutes(hours * 60)
}

/// So many minutes after [`START`].
pub fn minutes(minutes: u64) -> Timestamp {
    after(at(START), Duration::from_secs(minutes * 60))
}

/// An instant from its text.
pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a test's instant")
}

/// The id of channel `number`.
pub fn id(number: i64) -> ChannelId {
    ChannelId::new(number).expect("a test's id is above zero")
}

/// The name of channel `number`.
pub fn name(number: i64) -> ChannelName {
    format!("c{number}").parse().expect("it is a name")
}

/// The account `acme`.
pub fn acme() -> AccountName {
    account("acme")
}

/// An account's name from its text.
pub fn account(name: &str) -> AccountName {
    name.parse().expect("a test's account has a name")
}

/// Events from their texts, as `Deals.all`.
pub fn events(texts: &[&str]) -> Events {
    texts.iter().copied().collect()
}

/// Channel `number` with nothing special about it: two modules, one day, a token.
pub fn spec(number: i64) -> Spec {
    Spec {
        id: id(number),
        name: name(number),
        declared: Default::default(),
        events: events(&["Deals.all", "Contacts.create"]),
        notify_url: NotifyUrl::new("https://hooks.example.com/zoho"),
        token: Some(Secret::from("s3cret")),
        rotation: None,
        lifetime: DAY,
        renew_before: None,
        notify_on_related_action: true,
        return_affected_field_values: false,
        conditions: Vec::new(),
        mode: Mode::Sync,
        backfill: None,
    }
}

/// A record that says no more than that the channel is ours.
pub fn record(spec: &Spec) -> Record {
    Record::new(spec.id, spec.name.clone(), spec.notify_url.fingerprint())
}

/// The record of a channel that was granted at `at` what it declares.
pub fn granted(spec: &Spec, at: Timestamp) -> Record {
    let expiry = after(at, spec.lifetime);
    Record { grant: Some(Grant { at, asked: expiry, expiry }), ..record(spec) }
}

/// The rules of an account that may do everything.
pub fn policy() -> Policy {
    Policy {
        mode: Mode::Sync,
        removed: Removed::Disable,
        batch_max: 50,
        lifetime_max: WEEK,
        credits_per_day: None,
    }
}

/// The state of an account whose clock agrees with Zoho's.
pub fn state() -> AccountState {
    AccountState { skew_ms: Some(0), ..AccountState::default() }
}

/// The facts that a plan is made from, owned.
#[derive(Clone, Debug)]
pub struct World {
    /// The account.
    pub account: AccountName,
    /// Its rules.
    pub policy: Policy,
    /// Its declared channels.
    pub specs: BTreeMap<ChannelId, Arc<Spec>>,
    /// The channels that are declared no longer, as they were declared last.
    pub former: BTreeMap<ChannelId, Arc<Spec>>,
    /// Its memory of them.
    pub records: BTreeMap<ChannelId, Record>,
    /// Its own memory.
    pub state: AccountState,
    /// The requests of people.
    pub wishes: Wishes,
    /// The requests that may be sent.
    pub allowed: Allowed,
    /// The last look at Zoho.
    pub look: Look,
    /// The time.
    pub now: Timestamp,
}

impl World {
    /// An account of no channels at [`START`], which Zoho shows as empty.
    pub fn empty() -> World {
        World {
            account: acme(),
            policy: policy(),
            specs: BTreeMap::new(),
            former: BTreeMap::new(),
            records: BTreeMap::new(),
            state: state(),
            wishes: Wishes::default(),
            allowed: Allowed::Everything,
            look: Look::Seen {
                channels: BTreeMap::new(),
                at: hours(0),
                beside: Default::default(),
            },
            now: hours(0),
        }
    }

    /// An account with this many channels, all as declared, granted a day at [`START`]; an hour
    /// later.
    pub fn converged(channels: i64) -> World {
        let mut world = World::empty();
        for number in 1..=channels {
            world.declare(number);
            world.enable(number);
        }
        world.now = hours(1);
        world
    }

    /// As if its spec had just been written into the config.
    pub fn declare(&mut self, number: i64) {
        self.specs.insert(id(number), Arc::new(spec(number)));
    }

    /// As if POST had been accepted at `now`: recorded with its grant, and seen.
    pub fn enable(&mut self, number: i64) {
        let spec = self.specs[&id(number)].clone();
        let record = granted(&spec, self.now);
        let expiry = record.grant.map(|grant| grant.expiry);
        self.records.insert(spec.id, record);
        self.seen().insert(spec.id, Observed::as_declared(&spec, expiry));
    }

    /// The channels that Zoho shows.
    pub fn seen(&mut self) -> &mut BTreeMap<ChannelId, Observed> {
        match &mut self.look {
            Look::Seen { channels, .. } => channels,
            Look::Unknown(_) => panic!("nothing is seen"),
        }
    }

    /// The facts, lent.
    pub fn facts(&self) -> Facts<'_> {
        let World { account, policy, specs, former, records, .. } = self;
        let World { state, wishes, allowed, look, now, .. } = self;
        let (allowed, now) = (*allowed, *now);
        Facts { account, policy, specs, former, records, state, wishes, allowed, look, now }
    }
}
