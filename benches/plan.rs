//! How long the pure plan takes: `cargo bench --bench plan`.
//!
//! One account with as many channels as the row says. *Converged*: nothing to do, as almost always.
//! *Due*: every channel is renewed. *Drifted*: somebody edited every channel. The aim is in
//! `docs/performance.md`: linear, and at most a microsecond a channel when converged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use channelkeeper::model::channel::{AccountName, ChannelId, NotifyUrl, Spec};
use channelkeeper::model::observed::{Look, Observed};
use channelkeeper::model::policy::{Mode, Policy, Removed};
use channelkeeper::model::record::{AccountState, Grant, Record};
use channelkeeper::model::secret::Secret;
use channelkeeper::model::time::{Timestamp, after};
use channelkeeper::model::version::{DAY, WEEK};
use channelkeeper::model::wishes::Wishes;
use channelkeeper::plan::facts::Facts;
use channelkeeper::plan::filter::plan;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const CHANNELS: [i64; 3] = [100, 10_000, 100_000];
const START: i64 = 1_767_225_600;

#[divan::bench(args = CHANNELS)]
fn converged(bencher: Bencher<'_, '_>, channels: i64) {
    run(bencher, &world(channels, Duration::from_secs(3600), &EVENTS), 0);
}

#[divan::bench(args = CHANNELS)]
fn due(bencher: Bencher<'_, '_>, channels: i64) {
    run(bencher, &world(channels, DAY / 2 + Duration::from_secs(3600), &EVENTS), channels);
}

#[divan::bench(args = CHANNELS)]
fn drifted(bencher: Bencher<'_, '_>, channels: i64) {
    run(bencher, &world(channels, Duration::from_secs(3600), &EVENTS[..1]), channels);
}

/// Plans again and again; `steps` is how many there must be.
fn run(bencher: Bencher<'_, '_>, world: &World, steps: i64) {
    let facts = world.facts();
    let planned = plan(&facts).steps.len();
    assert_eq!(i64::try_from(planned), Ok(steps), "this is not the world that was meant");
    bencher.counter(ItemsCount::new(world.specs.len())).bench(|| plan(black_box(&facts)));
}

/// The facts of one account, owned.
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
    fn facts(&self) -> Facts<'_> {
        let World { account, policy, specs, former, records, state, wishes, look, now } = self;
        Facts { account, policy, specs, former, records, state, wishes, look, now: *now }
    }
}

/// Channels that were granted a day, `age` ago, and are seen with `seen` of the events that are
/// declared.
fn world(channels: i64, age: Duration, seen: &[&str]) -> World {
    let start = Timestamp::from_second(START).expect("it is this century");
    let (mut specs, mut records, mut look) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for number in 1..=channels {
        let spec = Arc::new(spec(number));
        let expiry = after(start, spec.lifetime);
        let mut record = Record::new(spec.id, spec.name.clone(), spec.notify_url.fingerprint());
        record.grant = Some(Grant { at: start, asked: expiry, expiry });
        let observed = Observed::as_declared(&spec, Some(expiry));
        look.insert(spec.id, Observed { events: seen.iter().copied().collect(), ..observed });
        records.insert(spec.id, record);
        specs.insert(spec.id, spec);
    }
    let policy = Policy {
        mode: Mode::Sync,
        removed: Removed::Disable,
        batch_max: 50,
        lifetime_max: WEEK,
        credits_per_day: None,
    };
    World {
        account: "acme".parse().expect("it is a name"),
        policy,
        specs,
        former: BTreeMap::new(),
        records,
        state: AccountState { skew_ms: Some(0), ..AccountState::default() },
        wishes: Wishes::default(),
        look: Look::Seen { channels: look, at: start, beside: Default::default() },
        now: after(start, age),
    }
}

fn spec(number: i64) -> Spec {
    Spec {
        id: ChannelId::new(number).expect("it is above zero"),
        name: format!("channel-{number}").parse().expect("it is a name"),
        declared: Default::default(),
        events: EVENTS.into_iter().collect(),
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

const EVENTS: [&str; 2] = ["Deals.all", "Contacts.create"];
