//! Accounts that change their machine while something of them is under way: a canary, a rotation of
//! tokens, a recovery. On virtual time, over one simulated engine.
//!
//! A machine *dies* where it stands, or *leaves* as its operator stops it. What it had sent arrives
//! all the same.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use channelkeeper::clock::{Clock, VirtualClock};
use channelkeeper::model::backfill::{BackfillMode, BackfillRule};
use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::events::Operation;
use channelkeeper::model::exchange::{Request, Response};
use channelkeeper::model::rotation::Rotation;
use channelkeeper::model::secret::Secret;
use channelkeeper::model::time::{Timestamp, span};
use channelkeeper::simulator::admin::AdminCall;
use channelkeeper::simulator::{Change, Hand, Knobs, Org};
use channelkeeper::zoho::transport::{Exchange, Transport};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::sites::Sites;
use crate::world::{pause, spec};

/// The end of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Dies,
    Leaves,
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_under_way_is_sent_once_more_by_the_next_machine_and_no_other_is() {
    for end in [End::Dies, End::Leaves] {
        let (mut play, receiver) = with_receiver(Duration::from_secs(20));
        play.sites.desired.settings.canary_every = Some(HOUR / 4);
        for channel in ["deals", "leads"] {
            play.sites.declare("acme", channel, &["Deals.edit"], LIFE);
        }
        play.start().await;
        let owner = play.until(HOUR * 2, || receiver.posts().len() >= 2).await;
        let first = receiver.posts().len();
        play.ends(owner, end).await;
        play.passes(HOUR / 8).await;
        let posts = receiver.posts();
        let again = posts.len() - first;
        assert_eq!(again, 2, "{end:?}: once more of each that was under way");
        play.passes(HOUR / 4).await;
        let mut last: BTreeMap<String, Timestamp> = BTreeMap::new();
        for Post { at, path, .. } in &receiver.posts()[first + again..] {
            let before = last.insert(path.clone(), *at);
            assert!(before.is_none_or(|before| span(before, *at) >= HOUR / 8), "{end:?}: {path}");
        }
        assert_eq!(last.len(), 2, "{end:?}: they go on");
        play.is_whole();
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_rotate_while_their_machine_changes_are_believed_and_written_by_renewals_alone()
{
    let mut written = Vec::new();
    for end in [None, Some(End::Leaves), Some(End::Dies)] {
        let (mut play, _) = with_receiver(Duration::ZERO);
        let key = || Secret::from("a key of thirty-two characters..");
        for number in 0..8 {
            let fixed = spec("acme", &format!("c{number}"), &["Deals.all"]);
            let rotation = Some(Rotation::new(key(), EVERY));
            play.sites
                .declare_spec("acme", Spec { token: None, rotation, lifetime: LIFE, ..fixed });
        }
        play.start().await;
        play.believed();
        let begins = play.tokens();
        // Until some channels carry another token, and others do not yet.
        let changed = |play: &Play| {
            let tokens = play.tokens();
            begins.iter().filter(|(id, token)| tokens[*id] != **token).count()
        };
        while changed(&play) == 0 {
            play.passes(MINUTE).await;
            play.believed();
        }
        assert!(changed(&play) < 8, "the machine changes half-way");
        if let Some(end) = end {
            let owner = play.owner();
            play.ends(owner, end).await;
        }
        while changed(&play) < 8 {
            play.passes(MINUTE).await;
            play.believed();
        }
        play.is_whole();
        written.push(play.writes_by(play.begun + SignedDuration::from_hours(4)).await);
    }
    let [alone, left, died] = written[..] else { panic!("{written:?}") };
    assert_eq!(left, alone, "a machine that leaves costs no write");
    assert!(died <= alone + 1, "one that dies at most the one that was under way");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_is_ended_by_the_next_machine_and_repeats_at_most_one_delivery_byte_for_byte() {
    for (end, taken) in [(End::Dies, 0), (End::Dies, 3), (End::Leaves, 1)] {
        let (mut play, receiver) = with_receiver(Duration::from_secs(2));
        play.sites.zoho().add_org(Org::new("acme").reading());
        let rule = Some(BackfillRule::new(BackfillMode::On));
        let deals = spec("acme", "deals", &["Deals.all"]);
        let id = deals.id;
        play.sites.declare_spec("acme", Spec { backfill: rule, lifetime: LIFE, ..deals });
        play.start().await;
        play.lapses(id).await;
        let posted = || receiver.posts().len() > taken;
        let owner = play.until(HOUR, posted).await;
        play.ends(owner, end).await;
        play.passes(MINUTE * 15).await;
        let what = format!("{end:?} after {taken}");
        let posts = receiver.posts();
        let mut bodies: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
        for Post { name, body, .. } in &posts {
            bodies.entry(name.as_str()).or_default().push(body);
        }
        let repeated = bodies.values().filter(|bodies| bodies.len() > 1).count();
        let all_alike = |bodies: &Vec<&[u8]>| bodies.iter().all(|body| *body == bodies[0]);
        assert!(bodies.values().all(all_alike), "{what}: the same delivery, other bytes");
        assert!(posts.len() - bodies.len() <= 1 && repeated <= 1, "{what}: {}", posts.len());
        assert_eq!(received(&posts), play.missed(), "{what}");
        play.is_whole();
    }
}

/// Two machines that share one account.
struct Play {
    sites: Sites,
    begun: Timestamp,
}

fn with_receiver(takes: Duration) -> (Play, Arc<Receiver>) {
    let mut sites = Sites::new(Knobs::default(), LIFE);
    sites.add_account("acme");
    let receiver =
        Arc::new(Receiver { clock: sites.clock.clone(), takes, posts: Mutex::default() });
    sites.receivers = Some(receiver.clone());
    let begun = sites.clock.now();
    (Play { sites, begun }, receiver)
}

impl Play {
    async fn start(&mut self) {
        for name in MACHINES {
            self.sites.add_machine(name, 1000, 0);
            self.sites.start(name);
        }
        self.passes(MINUTE).await;
    }

    async fn passes(&self, length: Duration) {
        pause(length).await;
    }

    /// Waits for something, and says who serves the account then.
    async fn until(&self, at_most: Duration, is_so: impl Fn() -> bool) -> &'static str {
        let end = self.sites.clock.boot() + at_most;
        while !is_so() {
            assert!(self.sites.clock.boot() < end, "it did not come about");
            pause(Duration::from_millis(250)).await;
        }
        self.owner()
    }

    fn owner(&self) -> &'static str {
        let serves = |name: &&str| {
            let process = self.sites.process(name);
            process.is_some_and(|it| !it.links.fleet.borrow().subjects.is_empty())
        };
        MACHINES.into_iter().find(serves).unwrap()
    }

    async fn ends(&mut self, name: &'static str, end: End) {
        match end {
            End::Dies => self.sites.kill(name).await,
            End::Leaves => {
                self.sites.terminate(name);
                while !self.sites.machine(name).has_ended() {
                    pause(Duration::from_millis(250)).await;
                }
            }
        }
    }

    /// The token that each channel's delivery carries.
    fn tokens(&self) -> BTreeMap<ChannelId, String> {
        let change = json!({"module": "Deals", "operation": "create", "ids": ["1"]}).to_string();
        let call = AdminCall { method: "POST", path: "/_sim/records", body: change.as_bytes() };
        let now = self.sites.clock.now();
        let outcome = self.sites.zoho().admin(call, &mut SignedDuration::ZERO.clone(), now);
        let carried = outcome.deliveries.iter().map(|delivery| {
            let word = |key: &str| delivery.body[key].as_str().unwrap().to_owned();
            (word("channel_id").parse().unwrap(), word("token"))
        });
        carried.collect()
    }

    /// Every channel delivers, and a receiver whose clock is half an hour wrong believes it.
    fn believed(&self) {
        let tokens = self.tokens();
        let specs = &self.sites.desired.accounts.values().next().unwrap().specs;
        assert_eq!(tokens.len(), specs.len(), "at {}", self.sites.clock.now());
        for minutes in [-30, 0, 30] {
            let at = self.sites.clock.now() + SignedDuration::from_mins(minutes);
            for (id, spec) in specs {
                let accepted = spec.accepted_at(at);
                assert!(accepted.iter().any(|own| own.is(&tokens[id])), "{} at {at}", spec.name);
            }
        }
    }

    /// How many writes there were until then.
    async fn writes_by(&self, at: Timestamp) -> u64 {
        self.passes(span(self.sites.clock.now(), at)).await;
        self.believed();
        self.sites.zoho().counters("acme").unwrap().calls["POST"]
    }

    /// The channel is gone for some minutes, in which records change.
    async fn lapses(&self, id: ChannelId) {
        self.changes(Operation::Create, 1..=300);
        self.passes(HOUR).await;
        let now = self.sites.clock.now();
        let delete = Hand::Delete { channel: id.number() };
        self.sites.zoho().hand("acme", &delete, now).unwrap();
        self.passes(Duration::from_secs(10)).await;
        self.changes(Operation::Edit, 1..=230);
        self.passes(MINUTE).await;
        self.changes(Operation::Create, 301..=640);
        self.passes(MINUTE).await;
        self.changes(Operation::Delete, 635..=640);
    }

    fn changes(&self, operation: Operation, ids: std::ops::RangeInclusive<u64>) {
        let (ids, now): (Vec<u64>, _) = (ids.collect(), self.sites.clock.now());
        self.sites.zoho().record_changed("acme", &Change::of("Deals", operation, &ids), now);
    }

    /// The events that nobody got and that a record's times, or its deletion, can tell.
    fn missed(&self) -> BTreeSet<(String, String)> {
        let zoho = self.sites.zoho();
        let lines = zoho.missed("acme");
        let is_deletion = |operation: Operation| operation == Operation::Delete;
        let deleted = lines.iter().filter(|line| is_deletion(line.operation));
        let deleted: BTreeSet<u64> = deleted.map(|line| line.id).collect();
        let told =
            lines.iter().filter(|line| is_deletion(line.operation) || !deleted.contains(&line.id));
        told.map(|line| (line.operation.delivered_as().to_owned(), line.id.to_string())).collect()
    }

    /// Nobody wrote what is another's.
    fn is_whole(&self) {
        assert_eq!(self.sites.judge().broken, Vec::<String>::new());
    }
}

/// Takes what is posted, in its own time: also what a machine sent that is gone by then.
struct Receiver {
    clock: Arc<VirtualClock>,
    takes: Duration,
    posts: Mutex<Vec<Post>>,
}

#[derive(Clone, Debug)]
struct Post {
    at: Timestamp,
    path: String,
    /// The name of a recovered delivery.
    name: String,
    body: Vec<u8>,
}

impl Receiver {
    fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }
}

impl Transport for Receiver {
    fn send(&self, request: Request) -> Exchange<'_> {
        let name = request.header("x-channelkeeper-recovered").unwrap_or_default().to_owned();
        let (at, path) = (self.clock.now(), request.path.clone());
        self.posts.lock().unwrap().push(Post { at, path, name, body: request.body });
        Box::pin(async {
            pause(self.takes).await;
            Ok(Response::empty(200))
        })
    }
}

/// The records that were handed over, by operation.
fn received(posts: &[Post]) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    for post in posts {
        let body: Value = serde_json::from_slice(&post.body).unwrap();
        let operation = body["operation"].as_str().unwrap();
        let ids = body["ids"].as_array().unwrap().iter();
        all.extend(ids.map(|id| (operation.to_owned(), id.as_str().unwrap().to_owned())));
    }
    all
}

const MACHINES: [&str; 2] = ["one", "two"];
const LIFE: Duration = Duration::from_secs(75 * 60);
/// A generation of tokens.
const EVERY: Duration = Duration::from_secs(3 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
