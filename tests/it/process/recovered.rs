//! A process that dies on the way hands over what was missed, to a receiver that fails.
//!
//! Daemon and simulator run on one clock at a pace, so that waits of minutes are seconds. During an
//! outage of three days records are created, edited and deleted. Then the daemon is killed five
//! times: once among the pages of the reading, once right after an answer, and three times while
//! the receiver has taken a delivery and not answered yet. One delivery in three fails besides, and
//! one of those was taken all the same.
//!
//! Each change has to come, and whatever comes twice has to be the same, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use channelkeeper::clock::{Clock, Pace, SystemClock};
use channelkeeper::model::time::{Timestamp, before, span};
use serde_json::{Value, json};

use super::daemon::{Daemon, run};
use super::http::PATIENCE;
use super::place::Place;
use super::simulator::Simulator;
use crate::sample::times;

#[test]
fn each_change_of_an_outage_comes_and_a_double_is_the_same_though_the_daemon_is_killed_five_times()
{
    let changes = u64::from(times(10_000, 20));
    let mut life = Life::new(changes);
    life.outage(changes);
    let begins = life.zoho_now();
    for death in 0..KILLS {
        let mut daemon = life.daemon();
        match death {
            0 => daemon.until("records are read", |_| life.calls("list") > 0),
            _ => life.receiver.comes_to_a_death(),
        }
        daemon.kill();
        life.receiver.is_told_of_it(death);
    }
    let mut daemon = life.daemon();
    let over = daemon.hears("missed events are recovered");
    let took = Duration::from_secs(span(begins, life.zoho_now()).as_secs());
    assert_eq!((&over["taken"], &over["aside"]), (&json!(changes), &json!(0)), "{over}");
    daemon.stop();
    println!(
        "{changes} changes, {KILLS} kills, {}: {}",
        humantime::format_duration(took),
        life.counts()
    );
    life.judge(changes);
}

/// Everything that a daemon's lives have in common.
struct Life {
    zoho: Simulator,
    receiver: Receiver,
    place: Place,
    pace: Pace,
}

impl Life {
    /// Records are there, and a channel over them.
    fn new(changes: u64) -> Life {
        let pace = Pace { speed: SPEED, since: SystemClock::new().now() };
        let zoho = Simulator::at_a_pace(pace);
        zoho.tell("PATCH", "/_sim/knobs", &json!({"tokens_in_ten_minutes": 1000}));
        let deliveries = deliveries_of(changes);
        let receiver = Receiver::start([1, deliveries / 4, deliveries / 2, deliveries * 3 / 4]);
        let config = format!(
            "{}\n[backfill]\nmode = \"on\"\n\n[[channels]]\nname = \"deals\"\nevents = [\"Deals.all\"]\n\
             notify_url = \"http://{}/zoho\"\ntoken = \"t\"\n",
            zoho.account(),
            receiver.address
        );
        let place = Place::new(&config);
        let life = Life { zoho, receiver, place, pace };
        let now = life.zoho_now();
        life.happens("create", (1, edited(changes) + deleted(changes)), (before(now, HOUR), now));
        life
    }

    /// The channel is covered, and then nobody renews it for three days.
    fn outage(&mut self, changes: u64) {
        let mut daemon = self.daemon();
        daemon.hears("every account has been looked at");
        daemon.kill();
        // The same clock for both: that of a daemon begins earlier by what its pace makes of it.
        self.zoho.tell("POST", "/_sim/clock", &json!({"advance": "3d"}));
        self.pace.since = before(self.pace.since, OUTAGE / (SPEED - 1));
        // Each call for records takes a moment, so that a kill may fall between two.
        let rule = json!({"path": "records", "kind": {"delay": {"by": "20ms"}}});
        self.zoho.fault(&rule);
        let now = self.zoho_now();
        let last_day = (before(now, 24 * HOUR), now);
        let (edited, deleted) = (edited(changes), deleted(changes));
        self.happens("edit", (1, edited), last_day);
        self.happens("delete", (edited + 1, deleted), last_day);
        self.happens("create", (edited + deleted + 1, changes - edited - deleted), last_day);
    }

    fn happens(
        &self,
        operation: &str,
        (first, count): (u64, u64),
        (from, to): (Timestamp, Timestamp),
    ) {
        let bulk = json!({
            "module": "Deals", "operation": operation, "first": first, "count": count,
            "from": from, "to": to,
        });
        self.zoho.tell("POST", "/_sim/records/bulk", &bulk);
    }

    fn daemon(&self) -> Daemon {
        let mut command = run(&self.place);
        command.args(["--pace", &self.pace.to_string()]);
        Daemon::spawn_by(command)
    }

    fn zoho_now(&self) -> Timestamp {
        self.zoho.see("/_sim/clock")["now"].as_str().unwrap().parse().unwrap()
    }

    /// How often this list was asked for.
    fn calls(&self, list: &str) -> u64 {
        self.zoho.counters()["reads"][list].as_u64().unwrap_or(0)
    }

    fn counts(&self) -> String {
        let counters = self.zoho.counters();
        let desk = self.receiver.desk();
        let doubles = desk.came.len() - desk.names().len();
        format!(
            "{} calls to Zoho for records ({} credits); {} posts of {} deliveries, {} failed, {doubles} taken again under \
             the same key",
            counters["reads"],
            counters["read_credits"],
            desk.posts,
            desk.names().len(),
            desk.failed,
        )
    }

    fn judge(&self, changes: u64) {
        let missed: BTreeSet<(String, String)> = self.missed();
        assert_eq!(missed.len() as u64, changes, "the simulator misses what happened");
        let desk = self.receiver.desk();
        let mut keys: BTreeMap<(String, String), &str> = BTreeMap::new();
        for (name, bytes) in &desk.came {
            assert_eq!(desk.names()[name.as_str()], bytes, "{name} came again with other bytes");
            for key in changes_in(bytes) {
                let first = *keys.entry(key.clone()).or_insert(name);
                assert_eq!(first, name, "{key:?} came under two names");
            }
        }
        assert_eq!(keys.into_keys().collect::<BTreeSet<_>>(), missed);
        assert!(desk.came.len() - desk.names().len() >= 3, "three deaths each make a double");
        assert!(desk.failed * 4 > desk.posts, "one in three is to fail");
        let rows = changes - deleted(changes);
        let pages = (rows / ROWS_NEW + 2, 2 * (deleted(changes) / PAGE + 1));
        let read = (self.calls("list"), self.calls("deleted"));
        assert!(
            read.0 <= pages.0 + 1 && read.1 <= pages.1 + 1,
            "{read:?} pages, {pages:?} would do"
        );
    }

    /// The notifications that nobody got, by the simulator's truth.
    fn missed(&self) -> BTreeSet<(String, String)> {
        let all = self.zoho.see("/_sim/missed")["sim1"].take();
        let lines = all.as_array().unwrap().iter();
        lines.map(|line| (delivered_as(&line["operation"]), word(&line["id"]))).collect()
    }
}

fn delivered_as(operation: &Value) -> String {
    match operation.as_str().unwrap() {
        "create" => "insert".to_owned(),
        "edit" => "update".to_owned(),
        other => other.to_owned(),
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The changes that a delivery tells of.
fn changes_in(body: &[u8]) -> Vec<(String, String)> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let operation = word(&body["operation"]);
    body["ids"].as_array().unwrap().iter().map(|id| (operation.clone(), word(id))).collect()
}

/// How many of so many changes are edits, and how many deletions; the others are creations.
const fn edited(changes: u64) -> u64 {
    changes * 6 / 10
}

const fn deleted(changes: u64) -> u64 {
    changes / 10
}

/// The fewest deliveries of so many changes.
fn deliveries_of(changes: u64) -> u64 {
    let created = changes - edited(changes) - deleted(changes);
    [created, edited(changes), deleted(changes)].map(|count| count.div_ceil(50)).iter().sum()
}

/// Takes deliveries, on a thread of its own, one at a time.
struct Receiver {
    address: String,
    desk: Arc<Mutex<Desk>>,
    /// A delivery has come at which the daemon is to die.
    deaths: mpsc::Receiver<()>,
    /// It is dead.
    dead: mpsc::Sender<()>,
}

/// Everything that came.
struct Desk {
    posts: u64,
    failed: u64,
    /// The posts at which the daemon dies, the last of them after the answer.
    deadly: [u64; 4],
    /// The deliveries that were taken: name and body.
    came: Vec<(String, Vec<u8>)>,
}

/// The answer that the daemon gets for a post.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Taken,
    Refused,
    /// It is taken, and the answer is lost.
    Unanswered,
    /// It is taken, and the daemon dies before the answer.
    DeadBefore,
    DeadAfter,
}

impl Desk {
    fn take(&mut self, name: String, body: Vec<u8>) -> Fate {
        self.posts += 1;
        let fate = match (self.deadly.iter().position(|post| *post == self.posts), self.posts % 9) {
            (Some(3), _) => Fate::DeadAfter,
            (Some(_), _) => Fate::DeadBefore,
            (None, 2 | 8) => Fate::Refused,
            (None, 5) => Fate::Unanswered,
            (None, _) => Fate::Taken,
        };
        self.failed += u64::from(!matches!(fate, Fate::Taken | Fate::DeadAfter));
        if fate != Fate::Refused {
            self.came.push((name, body));
        }
        fate
    }

    /// The body under which each name came first.
    fn names(&self) -> BTreeMap<&str, &Vec<u8>> {
        self.came.iter().rev().map(|(name, body)| (name.as_str(), body)).collect()
    }
}

impl Receiver {
    fn start(deadly: [u64; 4]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let desk = Arc::new(Mutex::new(Desk { posts: 0, failed: 0, deadly, came: Vec::new() }));
        let (tell, deaths) = mpsc::channel();
        let (dead, is_dead) = mpsc::channel();
        let at_desk = desk.clone();
        // It ends with the tests.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Some((name, body)) = read(&stream) else { continue };
                let fate = at_desk.lock().unwrap().take(name, body);
                match fate {
                    Fate::Taken | Fate::DeadAfter => answer(&stream, "204 No Content"),
                    Fate::Refused => answer(&stream, "503 Service Unavailable"),
                    Fate::Unanswered | Fate::DeadBefore => {}
                }
                let is_deadly = matches!(fate, Fate::DeadBefore | Fate::DeadAfter);
                if is_deadly && (tell.send(()).is_err() || is_dead.recv().is_err()) {
                    return;
                }
            }
        });
        Receiver { address, desk, deaths, dead }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap()
    }

    /// Waits for the post at which the daemon dies, for as long as others come.
    fn comes_to_a_death(&self) {
        let mut posts = self.desk().posts;
        while let Err(why) = self.deaths.recv_timeout(PATIENCE) {
            let more = self.desk().posts;
            assert!(why == RecvTimeoutError::Timeout && more > posts, "nothing is posted any more");
            posts = more;
        }
    }

    /// Lets the receiver go on, which waits for every death but the first.
    fn is_told_of_it(&self, death: u32) {
        if death > 0 {
            self.dead.send(()).unwrap();
        }
    }
}

/// One request: the name of the delivery, and its body.
fn read(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(stream);
    let (mut name, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((key, value)) = line.trim_end().split_once(": ") else {
            if line == "\r\n" {
                break;
            }
            continue;
        };
        match key.to_ascii_lowercase().as_str() {
            "x-channelkeeper-recovered" => value.clone_into(&mut name),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    (!name.is_empty()).then_some((name, body))
}

fn answer(mut stream: &TcpStream, status: &str) {
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    // Whoever was killed does not hear it.
    let _heard = stream.write_all(text.as_bytes());
}

const KILLS: u32 = 5;
/// How many times as fast as the world the clock runs.
const SPEED: u32 = 30;
const HOUR: Duration = Duration::from_secs(3600);
const OUTAGE: Duration = Duration::from_secs(3 * 24 * 3600);
/// Rows on a page, and those of them that the page before did not have.
const PAGE: u64 = 200;
const ROWS_NEW: u64 = 198;
