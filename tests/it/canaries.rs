//! Ring 3: canaries to receivers that fail, hang, and come back, and the ledger that says so.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use channelkeeper::clock::{Clock, VirtualClock};
use channelkeeper::coverage::render::GapView;
use channelkeeper::daemon::actions;
use channelkeeper::daemon::requests::GapsRequest;
use channelkeeper::model::channel::NotifyUrl;
use channelkeeper::model::exchange::{Request, Response};
use channelkeeper::model::pause::{Pause, Pauses};
use channelkeeper::model::time::{Timestamp, after, span};
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::Knobs;
use channelkeeper::zoho::transport::{Exchange, Transport, TransportError};
use serde_json::Value;

use crate::world::truth::check_ledger;
use crate::world::{World, pause, spec};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The action of every receiver at this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Answer(u16),
    Hang,
    Refuse,
}

/// Takes what is posted, whoever it is posted to.
struct Receivers {
    clock: Arc<VirtualClock>,
    does: Mutex<Does>,
    /// When something came, where, and what.
    came: Mutex<Vec<(Timestamp, String, Value)>>,
    /// Under way, and the most that ever were.
    at_once: Mutex<(usize, usize)>,
}

impl Receivers {
    fn do_from_now(&self, does: Does) {
        *held(&self.does) = does;
    }

    fn instants(&self, path: &str) -> Vec<Timestamp> {
        let came = held(&self.came);
        came.iter().filter(|(_, to, _)| to == path).map(|(at, ..)| *at).collect()
    }

    fn count(&self) -> usize {
        held(&self.came).len()
    }

    async fn take(&self, request: Request) -> Result<Response, TransportError> {
        let _under_way = UnderWay::enter(&self.at_once);
        let body = serde_json::from_slice(&request.body).expect("a JSON body");
        held(&self.came).push((self.clock.now(), request.path.clone(), body));
        pause(Duration::from_millis(40)).await;
        let does = *held(&self.does);
        match does {
            Does::Answer(status) => Ok(Response::empty(status)),
            Does::Hang => std::future::pending().await,
            Does::Refuse => Err(TransportError::NotSent("connection refused".to_owned())),
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with it")
}

struct UnderWay<'a>(&'a Mutex<(usize, usize)>);

impl UnderWay<'_> {
    fn enter(counts: &Mutex<(usize, usize)>) -> UnderWay<'_> {
        let mut both = held(counts);
        *both = (both.0 + 1, both.1.max(both.0 + 1));
        UnderWay(counts)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        held(self.0).0 -= 1;
    }
}

impl Transport for Receivers {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.take(request))
    }
}

/// Those of a world that has not been started yet.
fn receivers(world: &mut World) -> Arc<Receivers> {
    let receivers = Arc::new(Receivers {
        clock: world.zoho_clock.clone(),
        does: Mutex::new(Does::Answer(200)),
        came: Mutex::default(),
        at_once: Mutex::default(),
    });
    world.receivers = Some(receivers.clone());
    receivers
}

/// Three channels; two of them deliver to one URL.
fn world(every: Option<Duration>) -> World {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for (name, place) in [("deals", "shared"), ("leads", "shared"), ("orders", "own")] {
        let notify_url = NotifyUrl::new(&format!("https://hooks.example.com/{place}"));
        world.declare_spec(
            "acme",
            channelkeeper::model::channel::Spec {
                notify_url,
                ..spec("acme", name, &["Deals.edit"])
            },
        );
    }
    world.desired.settings.canary_every = every;
    world
}

fn gaps(world: &World) -> Vec<GapView> {
    let fleet = world.daemon().links.fleet.borrow().clone();
    let gaps =
        actions::gaps(&fleet, world.store(), &GapsRequest::default(), world.now()).expect("gaps");
    gaps.into_iter().map(|missed| missed.gap).collect()
}

fn near(one: Timestamp, other: Timestamp) -> bool {
    span(one, other).max(span(other, one)) < 2 * SECOND
}

fn undeliverable(world: &World) -> usize {
    world.report("acme").channels.values().filter(|channel| channel.undeliverable.is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_fails_hangs_and_comes_back_is_known_from_when_to_when_also_over_a_restart()
{
    let mut world = world(Some(HOUR));
    let receivers = receivers(&mut world);
    world.start();
    world.audit().await;
    world.pass_time(3 * HOUR + 30 * MINUTE).await;
    assert_eq!(
        (receivers.instants("/shared").len(), receivers.instants("/own").len()),
        (4, 4),
        "one for each URL"
    );
    assert_eq!(gaps(&world), []);

    receivers.do_from_now(Does::Answer(500));
    world.pass_time(31 * MINUTE).await;
    assert_eq!((undeliverable(&world), gaps(&world)), (0, vec![]), "one refusal alone says little");
    world.pass_time(6 * MINUTE).await;
    assert_eq!(undeliverable(&world), 3, "the pass that it woke says so at once");
    let open = gaps(&world);
    assert!(open.iter().any(|gap| gap.kind == "undeliverable" && gap.to.is_none()), "{open:?}");

    receivers.do_from_now(Does::Hang);
    let before = receivers.count();
    world.stop().await;
    world.start();
    world.audit().await;
    assert_eq!(undeliverable(&world), 3, "what is known outlives a restart");
    world.pass_time(MINUTE).await;
    assert_eq!(receivers.count(), before, "a restart sends nothing that is not due");
    world.pass_time(2 * HOUR).await;
    assert_eq!(receivers.count(), before + 4, "one that hangs is given up");

    receivers.do_from_now(Does::Answer(204));
    world.pass_time(HOUR + MINUTE).await;
    assert_eq!(undeliverable(&world), 0);
    let (came, known) = (receivers.instants("/shared"), gaps(&world));
    let edges = [
        ("unknown", came[3], came[4]),
        ("undeliverable", came[4], came[7]),
        ("unknown", came[7], came[8]),
    ];
    for channel in ["deals", "leads", "orders"] {
        let of: Vec<&GapView> = known.iter().filter(|gap| gap.channel == channel).collect();
        assert_eq!(of.len(), 3, "{of:?}");
        for (gap, (kind, from, to)) in of.iter().zip(edges) {
            assert_eq!((gap.kind.as_str(), gap.cause.as_str()), (kind, "canary-refused"));
            assert!(
                near(gap.from, from) && gap.to.is_some_and(|end| near(end, to)),
                "{gap:?}: {from} to {to}"
            );
        }
    }
    world.pass_time(30 * HOUR).await;
    assert_eq!(gaps(&world), known, "and nothing is added to it");
    assert!(check_ledger(&world).is_empty());
}

#[tokio::test(start_paused = true)]
async fn receivers_that_hang_stand_in_no_renewal_s_way_and_are_asked_few_at_once() {
    for does in [Does::Hang, Does::Refuse] {
        let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
        for n in 0..12 {
            world.declare("acme", &format!("c{n}"), &["Deals.edit"]);
        }
        world.desired.settings.canary_every = Some(10 * MINUTE);
        let receivers = receivers(&mut world);
        receivers.do_from_now(does);
        world.start();
        world.audit().await;
        let enabled = span(crate::world::BEGINS.parse().unwrap(), world.now());
        assert!(enabled < 5 * SECOND, "{does:?}: {enabled:?}");
        world.pass_time(26 * HOUR).await;
        let gaps = gaps(&world);
        assert_eq!(gaps.len(), 12, "{does:?}");
        assert!(gaps.iter().all(|gap| gap.kind == "undeliverable" && gap.to.is_none()), "{gaps:?}");
        assert!(check_ledger(&world).is_empty());
        assert!(receivers.at_once.lock().unwrap().1 <= 4);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_is_not_asked_and_what_is_turned_off_leaves_nothing_open() {
    let mut world = world(None);
    let receivers = receivers(&mut world);
    world.start();
    world.audit().await;
    let acme = "acme".parse().unwrap();
    let hold = async |world: &World, paused: Pauses| {
        world.store().ask(&acme, |wishes| wishes.pauses = paused).await.unwrap();
    };
    let held = Pause { at: world.now(), until: None };
    receivers.do_from_now(Does::Answer(302));
    hold(&world, Pauses { account: Some(held), ..Pauses::default() }).await;
    world.desired.settings.canary_every = Some(HOUR);
    world.reload().await;
    world.pass_time(2 * HOUR).await;
    assert_eq!(receivers.count(), 0);

    // In the name of the first channel that is not paused.
    let shared: Vec<_> = world.desired.accounts[&acme]
        .specs
        .values()
        .filter(|spec| spec.name.as_str() != "orders")
        .cloned()
        .collect();
    hold(&world, Pauses { account: None, channels: [(shared[0].id, held)].into() }).await;
    world.pass_time(10 * MINUTE).await;
    let came = receivers.came.lock().unwrap().clone();
    let (_, _, body) = came.iter().find(|(_, path, _)| path == "/shared").expect("one came");
    assert_eq!(body["channel_id"], shared[1].id.to_string());
    assert_eq!(body["token"], shared[1].token.as_ref().unwrap().expose());
    assert_eq!(undeliverable(&world), 3, "a redirect is no acceptance");

    let off_at = world.now();
    world.desired.settings.canary_every = None;
    world.reload().await;
    world.pass_time(2 * HOUR).await;
    assert!(world.store().canaries(&acme).unwrap().is_empty());
    let (ended, sent) = (gaps(&world), receivers.count());
    assert!(
        ended.iter().all(|gap| gap.to.is_some_and(|to| to < after(off_at, 2 * HOUR))),
        "{ended:?}"
    );
    assert_eq!((ended.len(), undeliverable(&world), sent), (3, 0, 4));
}
