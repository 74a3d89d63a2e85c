//! The webhook and the heartbeat, with a receiver on loopback that does as it is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel as declared};
use super::http::PATIENCE;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn bad_is_told_once_and_good_once_also_over_a_restart() {
    let zoho = Simulator::start();
    let (hook, beat) = (Inbox::answering("200 OK"), Inbox::answering("200 OK"));
    let (place, good) = place(&zoho, &hook, &beat, "");
    let mut daemon = Daemon::start(&place);
    let (head, _) = beat.next();
    assert!(head.starts_with("GET /beat?key=s3cret HTTP/1.1\r\n"), "{head}");

    place.write(&(good.clone() + "evnts = []\n"));
    daemon.signal(Signal::HUP);
    let (head, body) = hook.next();
    assert!(head.starts_with("POST /hook?key=s3cret HTTP/1.1\r\n"), "{head}");
    let text = serde_json::from_str::<Value>(&body).unwrap()["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("channelkeeper: degraded: 1 problem.\nEverything stays covered until "),
        "{text}"
    );
    assert!(
        text.contains("evnts")
            && text.contains("Next: `channelkeeper check` shows the place; mend it"),
        "{text}"
    );
    daemon.hears("the webhook was told");
    let scrape = daemon.get("/metrics").body;
    for line in [
        "messages_total{to=\"webhook\",outcome=\"delivered\"} 1.0",
        "messages_ok{to=\"heartbeat\"} 1.0",
    ] {
        assert!(scrape.contains(line), "no {line} in\n{scrape}");
    }
    daemon.kill();

    // Bad as it was: had it been told again, that would be the next message.
    let mut daemon = Daemon::start(&place);
    place.write(&good);
    daemon.signal(Signal::HUP);
    let (_, body) = hook.next();
    assert!(body.contains("channelkeeper: all is well again, after "), "{body}");
    daemon.hears("the webhook was told");
    let log = daemon.stop().join("\n");
    assert!(!log.contains("s3cret"), "{log}");
}

#[test]
fn a_receiver_that_hangs_delays_neither_a_repair_nor_the_end() {
    let zoho = Simulator::start();
    let hook = Inbox::answering("");
    let (place, good) = place(&zoho, &hook, &hook, AUDIT_ALWAYS);
    let mut daemon = Daemon::start(&place);
    place.write(&(good + "evnts = []\n"));
    daemon.signal(Signal::HUP);
    hook.next();
    zoho.hand(&json!({"remove_event": {"channel": 101, "event": "Deals.edit"}}));
    daemon.hears_that("repair", |line| line["step"] == "update (drift)");
    daemon.stop();
}

#[test]
fn no_redirect_is_followed_and_a_failure_is_said() {
    let zoho = Simulator::start();
    let elsewhere = Inbox::answering("200 OK");
    let hook = Inbox::answering(&format!("302 Found\r\nlocation: {}", elsewhere.url("/")));
    let (place, good) = place(&zoho, &hook, &elsewhere, "");
    let mut daemon = Daemon::start(&place);
    let (head, _) = elsewhere.next();
    assert!(head.starts_with("GET /beat?"), "{head}");
    place.write(&(good + "evnts = []\n"));
    daemon.signal(Signal::HUP);
    let failed = daemon.hears("a message of [alerts] was not delivered");
    assert_eq!((&failed["to"], &failed["why"]), (&json!("webhook"), &json!("HTTP 302")));
    assert!(daemon.get("/metrics").body.contains("channelkeeper_messages_ok{to=\"webhook\"} 0.0"));
    daemon.stop();
    assert!(elsewhere.requests.try_recv().is_err(), "the redirect was followed");
}

/// One channel, secrets by reference, and everything told at once.
fn place(zoho: &Simulator, hook: &Inbox, beat: &Inbox, more: &str) -> (Place, String) {
    let account = zoho
        .account()
        .replace("\"secret-sim1\"", "{ env = \"A\" }")
        .replace("\"1000.refresh-sim1\"", "{ env = \"B\" }");
    let alerts = "\n[alerts]\nwebhook = { env = \"HOOK\" }\nheartbeat = { env = \"BEAT\" }\ngrace = \"0s\"\n";
    let declared =
        declared("orders", 101, &["Deals.all"]).replace("\"token-orders\"", "{ env = \"C\" }");
    let good = account + alerts + more + &declared;
    let place = Place::new(&good)
        .with_env("A", "secret-sim1")
        .with_env("B", "1000.refresh-sim1")
        .with_env("C", "t");
    let place = place
        .with_env("HOOK", hook.url("/hook?key=s3cret"))
        .with_env("BEAT", beat.url("/beat?key=s3cret"))
        .with_env("RUST_LOG", "trace");
    (place, good)
}

/// Takes requests and answers each alike.
pub(super) struct Inbox {
    address: String,
    /// Heads and bodies.
    requests: Receiver<(String, String)>,
}

impl Inbox {
    /// With this status, and headers if they stand behind it; with nothing, ever, if it is empty.
    pub(super) fn answering(status: &str) -> Inbox {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (tell, requests) = channel();
        let status = status.to_owned();
        // It ends with the process of the tests, or when nobody listens to it any more.
        thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                if tell.send(request(&mut stream)).is_err() {
                    return;
                }
                if status.is_empty() {
                    held.push(stream);
                } else {
                    // Whoever asked may have gone.
                    let _gone = write!(
                        stream,
                        "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    );
                }
            }
        });
        Inbox { address, requests }
    }

    /// Its address, with this path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request: its head and its body.
    #[track_caller]
    pub(super) fn next(&self) -> (String, String) {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }
}

fn request(stream: &mut TcpStream) -> (String, String) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return (format!("{head}\r\n"), body.to_owned());
            }
        }
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "the request ended early: {text}");
        bytes.extend(&chunk[..read]);
    }
}
