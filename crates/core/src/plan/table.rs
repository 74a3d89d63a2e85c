//! Ring-1 tests of the planner: a converged account, one thing changed, the plan as text.
//!
//! Channel n has id n and the name `c{n}`. All times are hours after [`START`], at which every
//! channel was granted one day. The text is that of `plan`, with the next wake as its last line.
//!
//! - [`rows`]: the decision table, row by row;
//! - [`refused`]: what becomes of refusals, and of drift that comes back;
//! - [`checksums`]: what the short name of a plan covers;
//! - [`drifts`]: what differs, and which write mends it;
//! - [`account`]: mode, removal guard, back-off;
//! - [`batches`]: full batches, order;
//! - [`time`]: clocks, skew, expiries and the next wake;
//! - [`learned`]: what an account taught, and what that changes;
//! - [`explained`]: the explanation of one channel's decision;
//! - [`laws`]: what holds of every plan, in every one of the [`worlds`].

mod account;
mod batches;
mod checksums;
mod drifts;
mod explained;
mod laws;
mod learned;
mod overlaps;
mod refused;
mod rows;
mod time;
mod worlds;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use expect_test::Expect;

use crate::model::channel::{AccountName, ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::observed::{Look, Observed};
use crate::model::policy::{Mode, Policy, Removed};
use crate::model::record::{AccountState, Grant, Record, Refusal, Trouble};
use crate::model::secret::Secret;
use crate::model::time::{Timestamp, after, before, brief, span};
use crate::model::version::{DAY, WEEK};
use crate::model::wishes::Wishes;

use super::facts::Facts;
use super::filter::plan;
use super::render::PlanView;
use super::step::{Plan, Step};

const START: &str = "2026-01-01T00:00:00Z";
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// The facts, owned. Seen channels are what a look that works would find.
#[derive(Clone, Debug)]
struct World {
    account: AccountName,
    policy: Policy,
    specs: BTreeMap<ChannelId, Arc<Spec>>,
    former: BTreeMap<ChannelId, Arc<Spec>>,
    records: BTreeMap<ChannelId, Record>,
    state: AccountState,
    wishes: Wishes,
    look: Look,
    now: Timestamp,
}

impl World {
    /// An account with this many channels, all as declared, granted a day at [`START`]; an hour
    /// later.
    fn converged(channels: i64) -> World {
        let mut world = World::empty();
        for number in 1..=channels {
            world.declare(number);
            world.enable(number);
        }
        world.now = hours(1);
        world
    }

    fn empty() -> World {
        let policy = Policy {
            mode: Mode::Sync,
            removed: Removed::Disable,
            batch_max: 50,
            lifetime_max: WEEK,
            credits_per_day: None,
        };
        World {
            account: "acme".parse().unwrap(),
            policy,
            specs: BTreeMap::new(),
            former: BTreeMap::new(),
            records: BTreeMap::new(),
            state: AccountState { skew_ms: Some(0), ..AccountState::default() },
            wishes: Wishes::default(),
            look: Look::Seen {
                channels: BTreeMap::new(),
                at: hours(0),
                beside: Default::default(),
            },
            now: hours(0),
        }
    }

    /// As if its spec had just been written into the config.
    fn declare(&mut self, number: i64) {
        self.specs.insert(id(number), Arc::new(spec(number)));
    }

    /// As if POST had been accepted at `now`: recorded with its grant, and seen.
    fn enable(&mut self, number: i64) {
        let spec = self.specs[&id(number)].clone();
        let expiry = after(self.now, spec.lifetime);
        let mut record = Record::new(spec.id, spec.name.clone(), spec.notify_url.fingerprint());
        record.grant = Some(Grant { at: self.now, asked: expiry, expiry });
        self.records.insert(spec.id, record);
        self.seen().insert(spec.id, Observed::as_declared(&spec, Some(expiry)));
    }

    fn seen(&mut self) -> &mut BTreeMap<ChannelId, Observed> {
        match &mut self.look {
            Look::Seen { channels, .. } => channels,
            Look::Unknown(_) => panic!("nothing is seen"),
        }
    }

    fn observed(&mut self, number: i64) -> &mut Observed {
        self.seen().get_mut(&id(number)).unwrap()
    }

    fn record(&mut self, number: i64) -> &mut Record {
        self.records.get_mut(&id(number)).unwrap()
    }

    fn spec(&mut self, number: i64) -> &mut Spec {
        Arc::make_mut(self.specs.get_mut(&id(number)).unwrap())
    }

    /// Zoho no longer has it.
    fn lose(&mut self, number: i64) {
        self.seen().remove(&id(number));
    }

    /// Its spec was taken out of the config.
    fn retire(&mut self, number: i64) {
        let spec = self.specs.remove(&id(number)).unwrap();
        self.former.insert(id(number), spec);
    }

    /// The store no longer knows it.
    fn disown(&mut self, number: i64) {
        self.records.remove(&id(number));
    }

    fn look_fails(&mut self) {
        self.look = Look::Unknown("HTTP 503".to_owned());
        self.state.looks = Trouble::default().again(self.now, "HTTP 503", None);
    }

    fn writes_fail(&mut self, retry_after: Option<Duration>) {
        self.state.writes = Trouble::default().again(self.now, "HTTP 429", retry_after);
    }

    /// Zoho said no to channel `number` as it is declared.
    fn refuse(&mut self, number: i64, code: &str, attempts: u32) {
        let spec = self.specs[&id(number)].fingerprint();
        let (code, message) = (code.to_owned(), "no".to_owned());
        let (json_path, events) = (None, Default::default());
        let refusal = Refusal { code, message, json_path, spec, attempts, at: self.now, events };
        self.record(number).refusal = Some(refusal);
    }

    fn facts(&self) -> Facts<'_> {
        let World { account, policy, specs, former, records, state, wishes, look, now } = self;
        Facts { account, policy, specs, former, records, state, wishes, look, now: *now }
    }

    fn plan(&self) -> Plan {
        plan(&self.facts())
    }

    /// How long the plan sleeps.
    fn sleep(&self) -> Duration {
        span(self.now, self.plan().next_wake)
    }

    /// The steps in a few words each.
    fn titles(&self) -> Vec<String> {
        self.plan().steps.iter().map(Step::title).collect()
    }

    fn text(&self) -> String {
        let view = PlanView::of(&self.plan());
        format!("{}  next wake in {}\n", view.to_text(), brief(span(self.now, view.next_wake)))
    }

    #[track_caller]
    fn check(&self, expected: &Expect) {
        expected.assert_eq(&self.text());
    }
}

fn id(number: i64) -> ChannelId {
    ChannelId::new(number).unwrap()
}

fn spec(number: i64) -> Spec {
    Spec {
        id: id(number),
        name: name(number),
        declared: Default::default(),
        events: ["Deals.all", "Contacts.create"].into_iter().collect(),
        notify_url: NotifyUrl::new("https://hooks.example.com/zoho"),
        token: Some(Secret::from("s3cret")),
        rotation: None,
        lifetime: DAY,
        renew_before: None,
        notify_on_related_action: true,
        return_affected_field_values: false,
        conditions: Vec::new(),
        mode: Mode::Sync,
    }
}

fn name(number: i64) -> ChannelName {
    format!("c{number}").parse().unwrap()
}

/// So many hours after [`START`].
fn hours(hours: u64) -> Timestamp {
    after(START.parse().unwrap(), HOUR * hours as u32)
}

fn seconds_before(instant: Timestamp, seconds: u64) -> Timestamp {
    before(instant, SECOND * seconds as u32)
}
