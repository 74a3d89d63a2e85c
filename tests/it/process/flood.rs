//! Clients that mean no good at the health listener, while channels come due.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::daemon::Daemon;
use super::declared::AUDIT_ALWAYS;
use super::http::PATIENCE;
use super::place::Place;
use super::simulator::Simulator;

/// Five lives of a day, each moved on by thirteen hours at once, so that half of it is over. The
/// daemon has to look and renew three hours before the last eighth begins, whatever goes on at its
/// listener.
#[test]
fn five_hundred_slow_clients_and_a_body_of_100_mb_delay_no_renewal_and_take_no_memory() {
    let zoho = Simulator::start();
    let place = Place::new(&(zoho.config.clone() + AUDIT_ALWAYS));
    let mut daemon = Daemon::start(&place);
    let address = daemon.listens().to_owned();
    let before = resident(&daemon);
    let over = AtomicBool::new(false);
    let (slow, bodies) = thread::scope(|scope| {
        let over_at_the_end = Over(&over);
        let slow = scope.spawn(|| slow_clients(&address, &over));
        let bodies = scope.spawn(|| bodies(&address, &over));
        for life in 1..=LIVES {
            zoho.tell("POST", "/_sim/clock", &json!({"advance": "13h"}));
            daemon.until("everything is renewed", |_| {
                zoho.counters()["channels_reenabled"] == life * 4
            });
            assert_eq!(daemon.get("/livez").status, 200, "whoever restarts it has to be answered");
        }
        drop(over_at_the_end);
        (slow.join().unwrap(), bodies.join().unwrap())
    });
    assert!(slow >= SLOW && bodies >= 1, "{slow} slow clients, {bodies} bodies");
    let grown = resident(&daemon).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} KiB more than before");

    let now: Timestamp = zoho.see("/_sim/clock")["now"].as_str().unwrap().parse().unwrap();
    let channels = zoho.channels();
    assert_eq!(channels.len(), 4, "nothing has lapsed");
    for channel in channels.values() {
        let expiry: Timestamp = channel["channel_expiry"].as_str().unwrap().parse().unwrap();
        assert!(expiry.duration_since(now).as_hours() >= 12, "{channel}");
    }
    assert_eq!(zoho.counters()["channels_created"], 4);
    let log = daemon.stop();
    assert!(!log.iter().any(|line| line.contains("emergency")), "{}", log.join("\n"));
}

/// Ends the flood, also when the test fails meanwhile.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Keeps as many connections with half a request as it can, and says how many it made in all.
fn slow_clients(address: &str, over: &AtomicBool) -> usize {
    let mut clients: Vec<TcpStream> = Vec::new();
    let mut made = 0;
    while !over.load(Ordering::Relaxed) {
        // Whoever was closed is replaced.
        clients.retain_mut(|client| client.write_all(b"x").is_ok());
        for _ in 0..BURST.min(SLOW - clients.len()) {
            let Ok(mut client) = TcpStream::connect(address) else { continue };
            if client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").is_ok() {
                clients.push(client);
                made += 1;
            }
        }
        thread::park_timeout(BREATH);
    }
    made
}

/// Sends a body of 100 MB as far as it is taken, again and again; says how many were refused.
fn bodies(address: &str, over: &AtomicBool) -> usize {
    let chunk = vec![b'x'; 1 << 20];
    let mut refused = 0;
    while !over.load(Ordering::Relaxed) {
        let Ok(mut client) = TcpStream::connect(address) else { continue };
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        let head =
            "POST /api/v1/status HTTP/1.1\r\nhost: localhost\r\ncontent-length: 104857600\r\n\r\n";
        let sent = client
            .write_all(head.as_bytes())
            .and_then(|()| (0..100).try_for_each(|_| client.write_all(&chunk)));
        let mut answer = String::new();
        let _reset = client.read_to_string(&mut answer);
        assert!(sent.is_err() || answer.starts_with("HTTP/1.1 413 "), "{answer}");
        refused += 1;
        thread::park_timeout(BREATH);
    }
    refused
}

/// The most memory that the daemon ever had, in KiB.
fn resident(daemon: &Daemon) -> u64 {
    let status =
        fs::read_to_string(format!("/proc/{}/status", daemon.pid().as_raw_nonzero())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

const SLOW: usize = 500;
/// How many come at once, and how soon the next: else they would take the processor from everybody.
const BURST: usize = 50;
const BREATH: Duration = Duration::from_millis(20);
const LIVES: u64 = 5;
/// In KiB. A body that is kept would take a hundred thousand; heads that are kept, 64 KiB for each
/// of 64 connections.
const GROWTH_MAX: u64 = 32 * 1024;
