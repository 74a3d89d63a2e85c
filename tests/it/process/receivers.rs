//! The receivers of `docs/receivers.md`, each by its own interpreter, where there is one.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::http;

/// A receiver that runs; it is killed with this value.
struct Receiver {
    child: Child,
    address: String,
}

impl Receiver {
    /// Starts one that says where it listens; nothing when the machine has no such interpreter.
    fn start(interpreter: &str, script: &str) -> Option<Receiver> {
        let mut command = Command::new(interpreter);
        command.arg(scripts().join(script)).env("LISTEN", "127.0.0.1:0");
        let mut receiver = Receiver::spawn(command, interpreter)?;
        let mut said = String::new();
        BufReader::new(receiver.child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        receiver.address = said.trim_end().strip_prefix("listening on http://").unwrap().to_owned();
        Some(receiver)
    }

    /// Starts one behind PHP's own server, which wants to be told a port: if another process is
    /// quicker, with the next one.
    fn start_php(queue: &Path) -> Option<Receiver> {
        for _ in 0..PORTS_MAX {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let mut command = Command::new("php");
            command.args(["-S", &free]).arg(scripts().join("receiver.php")).env("QUEUE", queue);
            let mut receiver = Receiver::spawn(command, "php")?;
            let lines = BufReader::new(receiver.child.stderr.take().unwrap()).lines();
            let started = lines.map_while(Result::ok).find(|line| line.contains(") started"));
            if started.is_some() && TcpStream::connect(&free).is_ok() {
                receiver.address = free;
                return Some(receiver);
            }
        }
        panic!("no port was free {PORTS_MAX} times");
    }

    fn spawn(mut command: Command, interpreter: &str) -> Option<Receiver> {
        command.env("CHANNEL_TOKENS", "old-token,new-token").stdin(Stdio::null());
        match command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(child) => Some(Receiver { child, address: String::new() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                absent(interpreter);
                None
            }
            Err(error) => panic!("{interpreter}: {error}"),
        }
    }

    fn post(&self, body: &str) -> u16 {
        http::call(&self.address, "POST", "/zoho", body).status
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[expect(clippy::print_stderr, reason = "a test that could not run says so")]
fn absent(interpreter: &str) {
    assert!(
        std::env::var_os("CHANNELKEEPER_REQUIRE_INTERPRETERS").is_none(),
        "{interpreter} is missing: .ci/run installs it"
    );
    eprintln!("not run: there is no {interpreter} on this machine");
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/receivers")
}

fn delivery(token: &str) -> String {
    format!(
        r#"{{"query_params":{{}},"module":"Deals","resource_uri":"https://www.zohoapis.eu/crm/v2/Deals","ids":["1","2"],
        "operation":"update","channel_id":"1000000068001","token":{token},"server_time":1763925600000,"affected_fields":[]}}"#
    )
}

/// Checks the duties of all three receivers.
#[track_caller]
fn does_what_the_guide_says(receiver: &Receiver) {
    assert_eq!(receiver.post(&delivery("\"new-token\"")), 200);
    assert_eq!(
        receiver.post(&delivery("\"old-token\"")),
        200,
        "a double, and the token of before the change"
    );
    for token in ["\"other\"", "\"\"", "null", "7", "[\"new-token\"]", "\"new-token,old-token\""] {
        assert_eq!(receiver.post(&delivery(token)), 401, "{token}");
    }
    for not_a_delivery in ["[]", "null", "3", "\"new-token\""] {
        assert_eq!(receiver.post(not_a_delivery), 401, "{not_a_delivery}");
    }
    let canary =
        |token: &str| delivery(token).replacen('{', "{\"channelkeeper_canary\": true, ", 1);
    assert_eq!(
        receiver.post(&canary("\"new-token\"").replace("1763925600000", "1763925600001")),
        200,
        "and not taken"
    );
    assert_eq!(receiver.post(&canary("\"other\"")), 401);
    assert_eq!(receiver.post("{"), 400);
    let recovered = delivery("\"new-token\"")
        .replace(
            r#""query_params":{}"#,
            r#""query_params":{"channelkeeper_recovered":"0a1b-3-0-50"}"#,
        )
        .replace("1763925600000", "1763925700000");
    for _ in 0..2 {
        assert_eq!(receiver.post(&recovered), 200, "a crash of the daemon doubles it");
    }
    assert_eq!(receiver.post(&delivery("\"new-token\"").replace("update", "delete")), 200);
}

/// The lines on stdout after it was stopped.
fn taken(mut receiver: Receiver) -> Vec<String> {
    let stdout = receiver.child.stdout.take().unwrap();
    drop(receiver);
    BufReader::new(stdout).lines().map(Result::unwrap).collect()
}

#[test]
fn the_one_in_python_takes_what_is_ours_and_once() {
    let Some(receiver) = Receiver::start("python3", "receiver.py") else { return };
    does_what_the_guide_says(&receiver);
    assert_eq!(taken(receiver), TAKEN);
}

#[test]
fn the_one_in_javascript_takes_what_is_ours_and_once() {
    let Some(receiver) = Receiver::start("node", "receiver.mjs") else { return };
    does_what_the_guide_says(&receiver);
    assert_eq!(taken(receiver), TAKEN);
}

#[test]
fn the_one_in_php_takes_what_is_ours_and_once() {
    let queue = tempfile::tempdir().unwrap();
    let Some(receiver) = Receiver::start_php(queue.path()) else { return };
    does_what_the_guide_says(&receiver);
    let files: Vec<String> = std::fs::read_dir(queue.path())
        .unwrap()
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    assert_eq!(files.len(), TAKEN.len(), "{files:?}");
    assert!(!files.concat().contains("token"), "the token is not kept: {files:?}");
}

/// The lines of a receiver that did what the guide says.
const TAKEN: [&str; 3] =
    ["take Deals update 1 2", "take recovered Deals update 1 2", "take Deals delete 1 2"];
const PORTS_MAX: usize = 5;
