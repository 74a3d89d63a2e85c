//! Ring 2: what calls cost. How many an account takes, and what becomes of it when credits run low.

use std::collections::BTreeMap;
use std::time::Duration;

use channelkeeper::model::version::ApiVersion;
use channelkeeper::plan::calls::{Calls, expected};
use channelkeeper::simulator::Knobs;

use crate::world::{AUDIT, World, spec};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An account with so many channels of such lives.
fn declared(groups: &[(usize, Duration)]) -> World {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for (group, (channels, lifetime)) in groups.iter().enumerate() {
        for number in 0..*channels {
            let spec = spec("acme", &format!("c{group}-{number}"), &["Deals.all", "Leads.create"]);
            world.declare_spec("acme", channelkeeper::model::channel::Spec { lifetime: *lifetime, ..spec });
        }
    }
    world
}

/// What it is expected to take in so many days.
fn estimate(world: &World, days: f64) -> BTreeMap<&'static str, f64> {
    let account = &world.desired.accounts[&"acme".parse().unwrap()];
    let audits = DAY.as_secs_f64() / AUDIT.as_secs_f64();
    let Calls { renewals, looks, tokens } =
        expected(&account.account.name, &account.account.policy, &account.specs, audits);
    BTreeMap::from([("renewals", renewals * days), ("looks", looks * days), ("tokens", tokens * days)])
}

/// What the simulator counted.
fn counted(world: &World) -> BTreeMap<&'static str, f64> {
    let counters = world.zoho().counters("acme").unwrap().clone();
    let calls = |method| counters.calls.get(method).copied().unwrap_or_default() as f64;
    assert_eq!(counters.writes as f64, calls("POST"), "nothing but renewals is written");
    BTreeMap::from([("renewals", calls("POST")), ("looks", calls("GET")), ("tokens", counters.tokens_issued as f64)])
}

#[tokio::test(start_paused = true)]
async fn a_converged_account_takes_as_many_calls_as_were_estimated() {
    // The channels, and how far below the estimate the count may be: riders are not in it, and looks that a clock known to
    // the second makes too early are, whether they come or not.
    let accounts: [(&[(usize, Duration)], f64); 5] = [
        (&[(3, DAY)], 0.9),
        (&[(26, DAY)], 0.9),
        (&[(4, 6 * HOUR)], 0.8),
        (&[(4, DAY), (4, 6 * DAY)], 0.9),
        (&[(14, DAY), (18, 6 * DAY)], 0.6),
    ];
    for (groups, least) in accounts {
        let days = 6;
        let mut world = declared(groups);
        world.account_mut("acme").account.policy.batch_max = 10;
        world.start();
        world.pass_time(HOUR / 2).await;
        let before = counted(&world);
        world.pass_time(DAY * days).await;
        let (after, expected) = (counted(&world), estimate(&world, f64::from(days)));
        for (kind, expected) in expected {
            let made = after[kind] - before[kind];
            // One more or less of each batch falls into the time that was watched.
            let slack = if kind == "renewals" { 4.0 } else { 2.0 };
            assert!(
                made <= expected * 1.05 + slack && made >= expected * least - slack,
                "{groups:?}: {made} {kind}, estimated {expected:.1}"
            );
        }
    }
}
