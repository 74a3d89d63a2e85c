//! Tokens that rotate, in a world: no delivery that a receiver would not believe, and no call for
//! the sake of a token.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::rotation::Rotation;
use channelkeeper::model::secret::Secret;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::admin::AdminCall;
use channelkeeper::simulator::{Hand, Knobs};
use jiff::SignedDuration;
use serde_json::json;

use crate::world::{World, spec};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const NAMES: [&str; 4] = ["deals", "leads", "orders", "tasks"];

/// Four channels over one module, whose tokens rotate every week, or never.
async fn running(rotates: bool) -> World {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for name in NAMES {
        let rotation = rotates
            .then(|| Rotation::new(Secret::from("a key of thirty-two characters.."), 7 * DAY));
        let fixed = spec("acme", name, &["Deals.all"]);
        let token = if rotates { None } else { fixed.token.clone() };
        world.declare_spec("acme", Spec { token, rotation, ..fixed });
    }
    world.start();
    world.audit().await;
    world
}

/// The token that each channel's delivery carries at this time.
fn delivered(world: &World) -> BTreeMap<ChannelId, String> {
    let change = json!({"module": "Deals", "operation": "create", "ids": ["1"]}).to_string();
    let call = AdminCall { method: "POST", path: "/_sim/records", body: change.as_bytes() };
    let outcome = world.zoho().admin(call, &mut SignedDuration::ZERO.clone(), world.now());
    let carried = |body: &serde_json::Value| (body["channel_id"].clone(), body["token"].clone());
    let deliveries = outcome.deliveries.iter().map(|delivery| carried(&delivery.body));
    deliveries
        .map(|(id, token)| {
            (id.as_str().unwrap().parse().unwrap(), token.as_str().unwrap().to_owned())
        })
        .collect()
}

/// Every channel delivers, and a receiver whose clock is so many minutes wrong believes it.
fn assert_believed(world: &World, minutes: i64) -> BTreeMap<ChannelId, String> {
    let delivered = delivered(world);
    assert_eq!(delivered.len(), NAMES.len(), "at {}", world.now());
    let clock = world.now() + SignedDuration::from_mins(minutes);
    for (id, spec) in &world.desired.accounts.values().next().unwrap().specs {
        let accepted = spec.accepted_at(clock).iter().any(|own| own.is(&delivered[id]));
        assert!(
            accepted,
            "{} is not believed at {clock} by a clock that is {minutes} minutes off",
            spec.name
        );
    }
    delivered
}

#[tokio::test(start_paused = true)]
async fn in_sixty_days_every_delivery_is_believed_and_no_call_is_made_for_a_token() {
    let (rotating, fixed) = (running(true).await, running(false).await);
    let mut carried: BTreeMap<ChannelId, BTreeSet<String>> = BTreeMap::new();
    let mut changed = BTreeSet::new();
    for hour in 0..60 * 24 {
        rotating.pass_time(HOUR).await;
        for minutes in [-30, 0, 30] {
            for (id, token) in assert_believed(&rotating, minutes) {
                if carried.entry(id).or_default().insert(token) {
                    changed.insert((hour, id));
                }
            }
        }
    }
    let generations = carried.values().map(BTreeSet::len).collect::<BTreeSet<_>>();
    assert!(generations.iter().all(|count| (9..=10).contains(count)), "{generations:?}");
    let hours = changed.iter().map(|(hour, _)| hour).collect::<BTreeSet<_>>();
    assert!(hours.len() > 9 * 2, "they do not all change at once: {changed:?}");
    let calls = |world: &World| world.zoho().counters("acme").unwrap().calls.clone();
    assert_eq!(
        rotating.writes("acme"),
        calls(&rotating)["POST"],
        "nothing but renewals was written"
    );
    assert_eq!(calls(&rotating)["POST"], calls(&fixed)["POST"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_database_and_a_wrong_clock_change_no_token() {
    let mut world = running(true).await;
    world.pass_time(10 * DAY).await;
    let before = assert_believed(&world, 0);
    world.stop().await;
    for entry in std::fs::read_dir(world.state_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
    }
    world.start();
    world.audit().await;
    assert_eq!(assert_believed(&world, 0), before, "a database that is lost changes nothing");
    // Further than two generations: by the host's clock another token would be due.
    world.host_clock.step(-40 * 24 * 3600 * 1000);
    world.audit().await;
    assert_eq!(assert_believed(&world, 0), before, "it is Zoho's clock that counts");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_believes_any_more_is_mended_at_once_and_a_neighbour_is_left() {
    let world = running(true).await;
    world.pass_time(3 * DAY).await;
    let spec =
        world.desired.accounts.values().next().unwrap().specs.values().next().unwrap().clone();
    let channel = spec.id.number();
    let written = |at| spec.at(at).unwrap().token.unwrap().expose().to_owned();
    let writes = world.writes("acme");
    for (weeks, mended) in [(-1, false), (1, false), (-2, true), (2, true)] {
        let token = written(world.now() + SignedDuration::from_hours(weeks * 7 * 24));
        assert!(world.hand("acme", &Hand::SetToken { channel, token: Some(token.clone()) }));
        world.audit().await;
        let now = written(world.now());
        assert_eq!(
            delivered(&world)[&spec.id],
            if mended { now } else { token },
            "{weeks} weeks off"
        );
    }
    assert_eq!(world.writes("acme"), writes + 2);
}
