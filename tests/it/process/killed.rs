//! A daemon that is killed again and again, wherever it happens to stand.
//!
//! The real binary over the real simulator and a real database. While it is down more channels are
//! declared, one is taken out, hands edit and delete behind its back, and Zoho's clock moves on
//! until channels are due; then it is started, and killed after a random number of requests, of
//! lines of its log, or of looks at it: in the middle of its start, of enabling, of repairing, of
//! renewing. Every tenth round it may work to the end.
//!
//! The kills may have no effect. A channel is created once, and once more for each time that a hand
//! deleted it. Every declared channel is there as declared, and every foreign one is as it was,
//! byte for byte. A seed (`CHANNELKEEPER_SEED`) makes the same hands, moves and moments again;
//! where exactly the process then stands is up to the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::os::unix::net::UnixStream;

use channelkeeper::model::events::Events;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;
use crate::sample::times;
use crate::simulation::Rng;

#[test]
fn kills_at_random_moments_lose_nothing_double_nothing_and_touch_nothing_foreign() {
    let seed = seed();
    let _told = Told(seed);
    let mut trial = Trial::new(seed);
    for round in 1..=times(ROUNDS, 3) {
        trial.round(round);
    }
    trial.works_to_the_end();
    println!("seed {seed}, {}", trial.counts);
}

/// A beginning that was cut short has lost nothing, so it is no corruption, and nobody is told of
/// one.
#[test]
fn a_kill_in_the_middle_of_the_very_first_start_leaves_a_store_that_opens() {
    let seed = seed();
    let _told = Told(seed);
    let mut rng = Rng::new(seed);
    let zoho = Simulator::start();
    zoho.tell("PATCH", "/_sim/knobs", &json!({"tokens_in_ten_minutes": 1000}));
    for _ in 0..times(BEGINNINGS, 2) {
        let place = Place::new(&zoho.config);
        let daemon = Daemon::begin(&place);
        for _ in 0..rng.between(0, 60) {
            zoho.requests();
        }
        daemon.kill();
        Daemon::start(&place).kill();
        assert_eq!(moved_aside(&place), 0, "a database was moved aside");
    }
    assert_eq!(zoho.counters()["channels_created"], 4);
}

/// Says the seed when the test fails.
struct Told(u64);

impl Drop for Told {
    #[expect(clippy::print_stdout, reason = "shown with a test that fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("again: CHANNELKEEPER_SEED={} cargo test --test it killed", self.0);
        }
    }
}

/// A channel as it is declared.
struct Declared {
    org: String,
    id: String,
    toml: String,
    events: Value,
    notify_url: String,
    token: String,
}

struct Trial {
    rng: Rng,
    zoho: Simulator,
    place: Place,
    accounts: String,
    /// Declared later, the next one last.
    to_come: Vec<Declared>,
    declared: Vec<Declared>,
    retired: Vec<Declared>,
    /// The foreign channels, by org and id.
    foreign: BTreeMap<(String, String), Value>,
    /// Channels whose grant is surely in the store: only such a one is known as ours with another
    /// notify_url.
    granted: BTreeSet<String>,
    /// How often a channel was edited so: the third repair of one drift waits for hours.
    edited: BTreeMap<(String, &'static str), u32>,
    counts: Counts,
}

/// The counts of the trial.
#[derive(Debug, Default)]
struct Counts {
    kills: u32,
    /// Kills before the first pass was over.
    early: u32,
    /// Kills with a write of the round done, and more to come.
    between_writes: u32,
    hands: u32,
    deleted_by_hand: u64,
    created: u64,
    renewed: u64,
    writes: u64,
    retired: u64,
    channels: usize,
    foreign: usize,
    clock_moves: u32,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            kills,
            early,
            between_writes,
            hands,
            deleted_by_hand,
            created,
            renewed,
            writes,
            ..
        } = self;
        let Counts { retired, channels, foreign, clock_moves, .. } = self;
        write!(
            f,
            "{kills} kills ({early} before the first pass was over, {between_writes} between writes), {hands} hands, \
             {clock_moves} moves of the clock: {created} created of {channels} declared, {retired} retired and \
             {deleted_by_hand} deleted by hand; {renewed} enabled again, {writes} writes; {foreign} foreign untouched"
        )
    }
}

/// When a daemon is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// After so many requests of it.
    Requests(u64),
    /// After so many lines of its log.
    Lines(usize),
    /// After it was looked at so often: early, in the middle of its start.
    Looks(usize),
}

impl Trial {
    fn new(seed: u64) -> Trial {
        let zoho = Simulator::with(2, CHANNELS);
        let (accounts, mut to_come) = declarations(&zoho.config);
        to_come.reverse();
        zoho.tell("PATCH", "/_sim/knobs", &json!({"access_token_life": "1000d"}));
        // A kill is then likelier to fall between what Zoho applied and what the daemon heard of
        // it.
        zoho.fault(&json!({"kind": {"delay": {"by": "4ms"}}}));
        for org in ORGS {
            for id in 1..=3 {
                zoho.hand_in(org, &foreign(id, "2100-01-01T00:00:00Z"));
            }
            // Declared, but somebody else has it: a conflict.
            zoho.hand_in(org, &foreign(CONFLICT, "2100-01-01T00:00:00Z"));
        }
        let foreign: BTreeMap<(String, String), Value> = everything(&zoho);
        let conflicts = ORGS.map(conflict).concat();
        let counts = Counts { foreign: foreign.len(), ..Counts::default() };
        let place = Place::new("");
        Trial {
            rng: Rng::new(seed),
            accounts: accounts + &conflicts,
            declared: Vec::new(),
            retired: Vec::new(),
            granted: BTreeSet::new(),
            edited: BTreeMap::new(),
            zoho,
            place,
            to_come,
            foreign,
            counts,
        }
    }

    fn round(&mut self, round: u32) {
        if round.is_multiple_of(10) {
            self.works_to_the_end();
            self.retire_one();
        }
        for _ in 0..self.rng.between(0, 3) {
            self.declared.extend(self.to_come.pop());
        }
        self.write_config();
        self.hands();
        self.move_clock();
        let mut daemon = Daemon::begin(&self.place);
        if round > 10 && self.rng.between(1, 5) == 1 {
            daemon.hears(LOOKED);
            self.ask_for_renewals();
            let requests = self.rng.between(1, 9);
            self.kill_at(daemon, Moment::Requests(requests));
        } else {
            let moment = self.moment();
            self.kill_at(daemon, moment);
        }
        self.check();
    }

    fn moment(&mut self) -> Moment {
        match self.rng.between(1, 10) {
            1..=6 => Moment::Requests(self.rng.between(1, 12)),
            7..=8 => Moment::Lines(self.rng.between(1, 30) as usize),
            _ => Moment::Looks(self.rng.between(0, 60) as usize),
        }
    }

    fn kill_at(&mut self, mut daemon: Daemon, moment: Moment) {
        let (before, heard) = (self.zoho.requests(), daemon.log.len());
        let writes = self.writes();
        for look in 0..LOOKS_MAX {
            daemon.read_on();
            let requests = self.zoho.requests() - before;
            let is_over = daemon.log[heard..].iter().any(|line| line.contains(LOOKED));
            let is_it = match moment {
                Moment::Requests(wanted) => requests >= wanted,
                Moment::Lines(wanted) => daemon.log.len() >= wanted,
                Moment::Looks(wanted) => look >= wanted,
            };
            if is_it || is_over {
                break;
            }
        }
        for _ in 0..self.rng.between(0, 3000) {
            std::thread::yield_now();
        }
        daemon.read_on();
        self.counts.early += u32::from(!daemon.log.iter().any(|line| line.contains(LOOKED)));
        daemon.kill();
        self.counts.kills += 1;
        self.counts.between_writes += u32::from(self.writes() > writes);
    }

    /// Started once more and left alone until nothing is left to do; then everything is as
    /// declared.
    fn works_to_the_end(&mut self) {
        self.write_config();
        let daemon = Daemon::start(&self.place);
        // So that every grant is in the store.
        self.place.verb(&["renew"]);
        let left = |plan: &Value| -> usize { plan["steps"].as_array().unwrap().len() };
        let is_settled = (0..6).any(|_| {
            self.place.verb(&["apply"]);
            let plans = self.place.verb(&["plan", "--json"]).json();
            plans["accounts"].as_array().unwrap().iter().all(|plan| left(plan) == 0)
        });
        assert!(is_settled, "{}", self.place.verb(&["plan"]).out);
        self.granted.extend(self.declared.iter().map(|declared| declared.id.clone()));
        daemon.kill();
        self.check();
        self.judge();
    }

    /// Checks the laws that hold at every moment.
    fn check(&mut self) {
        let seen = everything(&self.zoho);
        for (place, before) in &self.foreign {
            assert_eq!(seen.get(place), Some(before), "{place:?} is not ours");
        }
        let known: BTreeSet<(String, String)> = self
            .declared
            .iter()
            .chain(&self.retired)
            .map(|declared| (declared.org.clone(), declared.id.clone()))
            .chain(self.foreign.keys().cloned())
            .collect();
        for place in seen.keys() {
            assert!(known.contains(place), "{place:?} is nobody's");
        }
        let once = self.declared.len() + self.retired.len();
        self.counts.created = self.sum("channels_created");
        let allowed = once as u64 + self.counts.deleted_by_hand;
        assert!(
            self.counts.created <= allowed,
            "{} channels created, {allowed} at most",
            self.counts.created
        );
        assert!(self.sum("channels_deleted") <= self.retired.len() as u64);
        for org in ORGS {
            let tokens = self.zoho.counters_by_org()[org]["tokens_issued"].as_u64().unwrap();
            assert!(tokens <= 8, "{tokens} tokens for {org}");
        }
        assert_eq!(moved_aside(&self.place), 0, "a database was moved aside");
    }

    /// Checks the laws that hold when nothing is left to do.
    fn judge(&mut self) {
        let seen = everything(&self.zoho);
        for Declared { org, id, events, notify_url, token, toml: _ } in &self.declared {
            let channel = seen.get(&(org.clone(), id.clone()));
            let channel = channel.unwrap_or_else(|| panic!("{id} of {org} is lost"));
            let is =
                (&channel["events"], channel["notify_url"].as_str(), channel["token"].as_str());
            assert_eq!(
                is,
                (events, Some(notify_url.as_str()), Some(token.as_str())),
                "{id} of {org}"
            );
        }
        assert_eq!(seen.len(), self.declared.len() + self.foreign.len());
        let once = (self.declared.len() + self.retired.len()) as u64;
        assert_eq!(self.sum("channels_created"), once + self.counts.deleted_by_hand);
        assert_eq!(self.sum("channels_deleted"), self.retired.len() as u64);
        self.counts.channels = self.declared.len();
        self.counts.retired = self.retired.len() as u64;
        self.counts.renewed = self.sum("channels_reenabled");
        self.counts.writes = self.writes();
    }

    /// Takes out the oldest, which is there: so it is one DELETE, and nothing else.
    fn retire_one(&mut self) {
        if self.declared.len() > 8 {
            self.retired.push(self.declared.remove(0));
        }
    }

    fn write_config(&self) {
        let channels: String =
            self.declared.iter().map(|declared| declared.toml.as_str()).collect();
        self.place.write(&(self.accounts.clone() + &channels));
    }

    fn hands(&mut self) {
        let seen = everything(&self.zoho);
        let there: Vec<usize> = (0..self.declared.len())
            .filter(|n| {
                seen.contains_key(&(self.declared[*n].org.clone(), self.declared[*n].id.clone()))
            })
            .collect();
        let mut chosen = BTreeSet::new();
        for _ in 0..self.rng.between(0, 4) {
            chosen.extend(self.rng.pick(&there).copied());
        }
        for index in chosen {
            self.hand(index);
        }
    }

    fn hand(&mut self, index: usize) {
        let Declared { org, id, .. } = &self.declared[index];
        let number: i64 = id.parse().unwrap();
        let (word, hand) = match self.rng.between(1, 5) {
            1 => ("delete", json!({"delete": {"channel": number}})),
            2 => ("token", json!({"set_token": {"channel": number, "token": "an intruder's"}})),
            3 => ("more", json!({"add_event": {"channel": number, "event": "Calls.delete"}})),
            4 => ("less", json!({"set_token": {"channel": number, "token": null}})),
            _ => (
                "url",
                json!({"set_notify_url": {"channel": number, "notify_url": "https://intruder.example.com/"}}),
            ),
        };
        let times = self.edited.entry((id.clone(), word)).or_default();
        let is_known = word != "url" || self.granted.contains(id);
        if is_known && (*times < 2 || word == "delete") {
            *times += 1;
            self.zoho.hand_in(org, &hand);
            self.counts.hands += 1;
            self.counts.deleted_by_hand += u64::from(word == "delete");
        }
    }

    /// Moves Zoho's clock on to some hours before the first end: much is due then, and nothing has
    /// lapsed.
    fn move_clock(&mut self) {
        let now: Timestamp = self.zoho.see("/_sim/clock")["now"].as_str().unwrap().parse().unwrap();
        let seen = everything(&self.zoho);
        let ours = seen
            .iter()
            .filter(|(place, _)| !self.foreign.contains_key(place))
            .map(|(_, channel)| channel);
        let ends = ours
            .map(|channel| {
                channel["channel_expiry"].as_str().unwrap().parse::<Timestamp>().unwrap()
            })
            .min();
        let left = SignedDuration::from_mins(self.rng.between(60, 660) as i64);
        let Some(by) =
            ends.map(|end| end.duration_since(now) - left).filter(SignedDuration::is_positive)
        else {
            return;
        };
        self.zoho.tell("POST", "/_sim/clock", &json!({"advance": format!("{}s", by.as_secs())}));
        self.counts.clock_moves += 1;
    }

    /// Over the control socket, and without waiting for the answer.
    fn ask_for_renewals(&self) {
        let mut socket = UnixStream::connect(self.place.state().join("control.sock")).unwrap();
        let request = "POST /renew HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        socket.write_all(request.as_bytes()).unwrap();
    }

    fn writes(&self) -> u64 {
        self.sum("writes")
    }

    fn sum(&self, counter: &str) -> u64 {
        let counters = self.zoho.counters_by_org();
        ORGS.iter().map(|org| counters[org][counter].as_u64().unwrap()).sum()
    }
}

fn seed() -> u64 {
    std::env::var("CHANNELKEEPER_SEED").ok().map_or(4711, |seed| seed.parse().unwrap())
}

/// Databases that could not be used.
fn moved_aside(place: &Place) -> usize {
    let entries = std::fs::read_dir(place.state());
    let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("corrupt")).count()
}

/// Every live channel, by org and id.
fn everything(zoho: &Simulator) -> BTreeMap<(String, String), Value> {
    let orgs = zoho.channels_by_org().into_iter();
    orgs.flat_map(|(org, channels)| {
        channels.into_iter().map(move |(id, channel)| ((org.clone(), id), channel))
    })
    .collect()
}

/// The accounts, in calls of four channels so that there is much to fall between, and the channels,
/// each with an id.
fn declarations(config: &str) -> (String, Vec<Declared>) {
    let mut parts = config.split("\n[[channels]]");
    let accounts = parts.next().unwrap().replace("client_id", "batch_max = 4\nclient_id");
    (accounts, parts.zip(5000..).map(|(part, id)| declared(part, id)).collect())
}

fn declared(part: &str, id: u64) -> Declared {
    let table: toml::Table = part.parse().unwrap();
    let text = |key: &str| table[key].as_str().unwrap().to_owned();
    let events = table["events"].as_array().unwrap().iter().map(|event| event.as_str().unwrap());
    Declared {
        org: text("account"),
        id: id.to_string(),
        toml: format!("\n[[channels]]\nid = \"{id}\"{part}"),
        events: json!(events.collect::<Events>().to_wire()),
        notify_url: text("notify_url"),
        token: text("token"),
    }
}

fn foreign(id: i64, expiry: &str) -> Value {
    json!({"create": {
        "channel": id, "events": ["Deals.all"], "notify_url": "https://other.example.com/", "token": "theirs",
        "expiry": expiry,
    }})
}

fn conflict(org: &str) -> String {
    format!(
        "\n[[channels]]\nname = \"conflict-{org}\"\nid = \"{CONFLICT}\"\naccount = \"{org}\"\nevents = [\"Leads.all\"]\n\
         notify_url = \"https://hooks.example.com/conflict\"\n"
    )
}

const ORGS: [&str; 2] = ["sim1", "sim2"];
const ROUNDS: u32 = 60;
const BEGINNINGS: u32 = 20;
const CHANNELS: usize = 60;
/// Declared in both orgs, and somebody else's.
const CONFLICT: i64 = 900;
const LOOKED: &str = "every account has been looked at";
/// A look takes some tenths of a millisecond. A daemon that has not reached its point by then is
/// killed anyway.
const LOOKS_MAX: usize = 4000;
