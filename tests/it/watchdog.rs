//! The watchdog hears of the loop that renews and of nothing else: while that stands still, it
//! hears nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use channelkeeper::clock::Clock;
use channelkeeper::daemon::watchdog::Watchdog;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::Knobs;

use crate::world::{AUDIT, World, pause};

/// Half of what a watchdog of a minute waits.
const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn the_watchdog_hears_of_the_loop_at_its_pace_and_not_while_the_loop_stands_still() {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    world.declare("acme", "orders", &["Deals.all"]);
    let told: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (kept, clock) = (told.clone(), world.host_clock.clone());
    world.watchdog = Some(Box::new(move || {
        let (kept, clock) = (kept.clone(), clock.clone());
        Watchdog::new(WITHIN, move || kept.lock().unwrap().push(clock.elapsed()))
    }));
    world.start();
    world.pass_time(AUDIT * 30).await;
    let heard = std::mem::take(&mut *told.lock().unwrap());
    let gaps: Vec<Duration> = heard.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= WITHIN), "the longest was {:?}", gaps.iter().max());
    assert!(gaps.iter().all(|gap| *gap >= WITHIN / 2), "the shortest was {:?}", gaps.iter().min());
    assert!(world.writes("acme") >= 2, "it renewed meanwhile");

    // The loop hands each report over and waits for that: with nobody to take them it stands still,
    // and so does renewing.
    world.hold_reports(true);
    world.pass_time(AUDIT * 40).await;
    let (stalled_at, writes) = (*told.lock().unwrap().last().unwrap(), world.writes("acme"));
    assert!(
        world.host_clock.elapsed() - stalled_at > AUDIT,
        "it went on telling while nothing turned"
    );
    told.lock().unwrap().clear();
    world.pass_time(AUDIT * 24).await;
    assert!(told.lock().unwrap().is_empty(), "it told of a loop that stands still");
    assert_eq!(world.writes("acme"), writes);

    world.hold_reports(false);
    pause(WITHIN).await;
    assert!(!told.lock().unwrap().is_empty(), "it turns again, and tells");
    world.stop().await;
}
