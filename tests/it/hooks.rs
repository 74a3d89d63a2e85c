//! Hooks beside a daemon at work, on virtual time: which events there are, each once, and that
//! nothing that a hook does holds up a renewal.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use channelkeeper::daemon::actions;
use channelkeeper::daemon::hooks::QUEUE_MAX;
use channelkeeper::daemon::requests::Which;
use channelkeeper::model::exchange::{Request, Response};
use channelkeeper::model::hooks::{HookEvent, Hooks};
use channelkeeper::model::rotation::Rotation;
use channelkeeper::model::secret::Secret;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::{Fault, Hand, Knobs, Rule};
use channelkeeper::zoho::transport::{Exchange, Transport};
use serde_json::{Value, json};

use crate::world::{AUDIT, World, spec};

const HOUR: Duration = Duration::from_secs(3600);

/// Takes events, or never answers.
#[derive(Default)]
struct Mailbox {
    came: Mutex<Vec<Value>>,
    hangs: bool,
}

impl Transport for Mailbox {
    fn send(&self, request: Request) -> Exchange<'_> {
        assert_eq!((request.method, request.path.as_str()), ("POST", "/told?key=s3cret"));
        self.came.lock().unwrap().push(serde_json::from_slice(&request.body).unwrap());
        match self.hangs {
            true => Box::pin(std::future::pending()),
            false => Box::pin(std::future::ready(Ok(Response::empty(200)))),
        }
    }
}

impl Mailbox {
    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.came.lock().unwrap())
    }
}

/// A daemon with two channels whose every event is told.
fn world(hangs: bool) -> (World, Arc<Mailbox>) {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    for name in ["deals", "leads"] {
        world.declare("acme", name, &["Deals.edit", "Contacts.create"]);
    }
    let mailbox = Arc::new(Mailbox { hangs, ..Mailbox::default() });
    world.mailbox = Some(mailbox.clone());
    world.desired.settings.hooks = Hooks {
        on: HookEvent::ALL.into(),
        url: Some(Secret::new("https://hooks.example.com/told?key=s3cret")),
        ..Hooks::default()
    };
    (world, mailbox)
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

fn edit(world: &World) {
    let channel = world.declared()[0].1.number();
    assert!(world.hand("acme", &Hand::RemoveEvent { channel, event: "Deals.edit".to_owned() }));
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_one_gap_and_a_renewal_one_event_for_the_channels_of_a_pass() {
    let (mut world, mailbox) = world(false);
    world.start();
    world.audit().await;
    world.pass_time(Duration::from_secs(60)).await;
    assert_eq!(
        mailbox.take(),
        [json!(null); 0],
        "what is enabled for the first time is no renewal"
    );
    edit(&world);
    world.pass_time(AUDIT + Duration::from_secs(60)).await;
    let events = mailbox.take();
    assert_eq!(kinds(&events), ["gap-begun", "gap-ended"]);
    for event in &events {
        let gap = &event["gaps"][0];
        assert_eq!((&event["account"], &gap["events"]), (&json!("acme"), &json!(["Deals.edit"])));
        assert!(gap["cause"] == "event-missing" && gap["to"].is_string(), "{event}");
    }
    world.pass_time(13 * HOUR).await;
    let events = mailbox.take();
    assert_eq!(kinds(&events), ["renewed"]);
    let names: Vec<_> =
        events[0]["channels"].as_array().unwrap().iter().map(|told| &told["name"]).collect();
    assert_eq!(names.len(), 2, "{events:?}");
    assert!(events[0]["channels"][0]["expiry"].is_string(), "{events:?}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_has_zoho_s_code_and_no_event_has_a_secret() {
    let (mut world, mailbox) = world(false);
    let key = "a-key-that-nobody-may-see";
    let rotation = Some(Rotation::new(Secret::new(key), 48 * HOUR));
    world.declare_spec(
        "acme",
        channelkeeper::model::channel::Spec {
            rotation,
            token: None,
            ..spec("acme", "turning", &["Deals.edit"])
        },
    );
    let odd = world.declare("acme", "odd", &["Deals.edit"]);
    let refusal = Fault::RefuseChannel {
        channel: odd.to_string(),
        code: "INVALID_DATA".to_owned(),
        details: json!({}),
    };
    world.zoho().add_fault(Rule::always(refusal));
    world.start();
    world.audit().await;
    world.pass_time(Duration::from_secs(60)).await;
    let events = mailbox.take();
    let refused = events.iter().find(|event| event["event"] == "refused").expect("a refusal");
    assert_eq!(refused["channels"][0]["name"], "odd");
    assert_eq!(refused["channels"][0]["code"], "INVALID_DATA");
    world.pass_time(96 * HOUR).await;
    let events = mailbox.take();
    let changes = events.iter().filter(|event| event["event"] == "token-changed");
    let changed: Vec<_> =
        changes.map(|event| event["channels"][0]["name"].as_str().unwrap()).collect();
    assert_eq!(changed, ["turning"; 2], "one for each generation");
    let all = serde_json::to_string(&events).unwrap();
    for secret in ["s3cret", key, "channel-token", "hooks.example.com"] {
        assert!(!all.contains(secret), "{secret}: {all}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_known_at_the_start_is_not_told_again() {
    let (mut world, mailbox) = world(false);
    world.start();
    world.audit().await;
    edit(&world);
    world.pass_time(AUDIT + Duration::from_secs(60)).await;
    assert_eq!(kinds(&mailbox.take()), ["gap-begun", "gap-ended"]);
    world.stop().await;
    world.start();
    world.audit().await;
    world.pass_time(AUDIT).await;
    assert_eq!(mailbox.take(), [json!(null); 0]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_ends_holds_up_no_renewal_and_the_oldest_events_go() {
    let (mut world, mailbox) = world(true);
    world.start();
    world.audit().await;
    for _ in 0..QUEUE_MAX + 10 {
        let fleet = world.daemon().links.fleet.borrow().clone();
        actions::ask_renewal(&fleet, world.store(), &Which::default(), world.now()).await.unwrap();
        world.audit().await;
    }
    world.pass_time(30 * HOUR).await;
    assert_eq!(mailbox.take().len(), 1, "one at a time");
    let now = world.now();
    for (account, id) in world.declared() {
        assert!(world.is_covered(&account, id, now));
    }
    let overview = world.daemon().links.overview.borrow().clone();
    let note = overview.hooks_failed.clone().expect("health knows");
    assert!(note.starts_with("the webhook of [hooks] was not told of "), "{note}");
    world.stop().await;
}
