//! `listen` as a process, with deliveries of the simulator and with those that nobody should
//! believe.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::http;
use super::place::Place;
use super::simulator::Simulator;

/// A receiver that runs; it is killed with this value.
struct Listener {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    /// The lines it printed before it listened.
    said: Vec<String>,
    address: String,
}

impl Listener {
    fn start(place: &Place, args: &[&str]) -> Listener {
        let mut command = place.command(&[&["listen", "--listen", "127.0.0.1:0"], args].concat());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut listener = Listener { child, stderr, said: Vec::new(), address: String::new() };
        while listener.address.is_empty() {
            let mut line = String::new();
            assert_ne!(
                listener.stderr.read_line(&mut line).unwrap(),
                0,
                "it ended after {:?}",
                listener.said
            );
            match line.trim_end().strip_prefix("listening on http://") {
                Some(address) => listener.address = address.to_owned(),
                None => listener.said.push(line),
            }
        }
        listener
    }

    fn post(&self, body: &Value) -> u16 {
        http::call(&self.address, "POST", "/any/path?k=v", &body.to_string()).status
    }

    /// Ctrl-C, as a terminal sends it.
    fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    /// Waits for its end: stdout and stderr.
    fn ends(mut self) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.stderr.read_to_string(&mut err).unwrap();
        assert!(self.child.wait().unwrap().success(), "{out}\n{err}");
        (out, err)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn declared(name: &str, id: u64, events: &[&str], url: &str, token: &str) -> String {
    format!(
        "\n[[channels]]\nname = \"{name}\"\nid = \"{id}\"\nevents = {events:?}\nnotify_url = \"{url}\"\ntoken = {token}\n"
    )
}

const DEALS: [&str; 2] = ["Deals.create", "Deals.edit"];

/// A line without the instant at its beginning.
fn timeless(line: &str) -> &str {
    line.split_once("  ").unwrap().1
}

#[test]
fn what_the_simulator_delivers_is_verified_and_a_module_that_never_delivered_is_named() {
    let zoho = Simulator::start();
    let place = Place::new(zoho.account());
    let account = |address: &str| {
        let url = format!("http://{address}/zoho");
        let orders = declared("orders", 102, &["Invoices.all"], &url, "\"hush-orders\"");
        zoho.account().to_owned()
            + &declared("deals", 101, &DEALS, &url, "\"hush-deals\"")
            + &orders
    };
    // The port is known once it listens, and it reads of the config only what does not change then.
    place.write(&account("127.0.0.1:1"));
    let listener = Listener::start(&place, &["--count", "3"]);
    place.write(&account(&listener.address));
    place.done(&["apply"]);
    for (operation, ids) in [("create", json!(["11"])), ("edit", json!(["11", "12"]))] {
        let change = json!({"module": "Deals", "operation": operation, "ids": ids, "values": {"Stage": "hush-value"}});
        let posted = zoho.tell("POST", "/_sim/records", &change);
        assert_eq!(posted["deliveries"][0]["outcome"], 200, "{posted}");
    }
    zoho.hand(&json!({"set_token": {"channel": 102, "token": "hush-of-somebody-else"}}));
    let change = json!({"module": "Invoices", "operation": "delete", "ids": ["13"]});
    assert_eq!(zoho.tell("POST", "/_sim/records", &change)["deliveries"][0]["outcome"], 401);
    let (out, err) = listener.ends();
    let lines: Vec<&str> = out.lines().take(3).map(timeless).collect();
    assert_eq!(
        lines,
        [
            "sim1/deals  Deals  insert (Deals.create)  ids 11  verified",
            "sim1/deals  Deals  update (Deals.edit)  ids 11 12  verified",
            "sim1/orders  Invoices  delete (Invoices.delete)  ids 13  token wrong",
        ]
    );
    let table: Vec<&str> = out.lines().skip(4).collect();
    assert!(table[1].starts_with("sim1/deals   Deals              2  2"), "{out}");
    assert_eq!(table[2], "sim1/orders  Invoices           0  never delivered");
    assert_eq!(table[3], "3 deliveries, 1 of them not accepted; 0 requests besides, refused");
    assert!(!out.contains("hush") && !err.contains("hush"), "{out}{err}");
}

#[test]
fn a_daemon_s_canary_is_recognised_and_one_that_is_refused_is_said() {
    let zoho = Simulator::start();
    let place = Place::new(zoho.account());
    let good = |address: &str, token: &str| {
        let url = format!("http://{address}/zoho?key=hush-url");
        zoho.account().to_owned()
            + "\n[canary]\nevery = \"1h\"\n"
            + &declared("deals", 101, &DEALS, &url, token)
    };
    place.write(&good("127.0.0.1:1", "\"hush-deals\""));
    let listener = Listener::start(&place, &[]);
    place.write(&good(&listener.address, "\"hush-deals\""));
    let place = place.with_env("RUST_LOG", "debug");
    let mut daemon = Daemon::start(&place);
    daemon.until("a canary was accepted", |daemon| daemon.has_said("a canary was accepted"));
    // Another URL is asked at once; whoever listens there believes another token.
    place.write(&good(&format!("{}/other", listener.address), "\"hush-other\""));
    daemon.signal(Signal::HUP);
    let refused = daemon.hears("a canary was refused");
    assert_eq!((&refused["why"], &refused["account"]), (&json!("HTTP 401"), &json!("sim1")));
    let log = daemon.stop().join("\n");
    listener.interrupt();
    let (out, err) = listener.ends();
    let lines: Vec<&str> = out.lines().take(2).map(timeless).collect();
    assert_eq!(
        lines,
        [
            "sim1/deals  none  none  ids none  canary",
            "sim1/deals  none  none  ids none  token wrong"
        ]
    );
    assert!(
        out.ends_with(
            "1 delivery, 1 of them not accepted; 0 requests besides, refused; 1 canary\n"
        ),
        "{out}"
    );
    assert!(![out, err, log].concat().contains("hush"));
}

#[test]
fn each_request_has_its_answer_and_json_has_a_line_for_each_delivery() {
    let account = "[accounts.acme]\ndata_center = \"eu\"\nclient_id = \"c\"\nclient_secret = { env = \"NOT_HERE\" }\n\
                   refresh_token = { credential = \"not-here\" }\n";
    let url = "https://hooks.example.com/zoho";
    let channels = declared("deals", 101, &DEALS, url, "\"hush-deals\"")
        + &declared("locked", 102, &DEALS, url, "{ file = \"not-here\" }");
    let place = Place::new(&(account.to_owned() + &channels));
    let listener = Listener::start(&place, &["--json"]);
    assert_eq!(listener.said.len(), 1, "{:?}", listener.said);
    assert!(
        listener.said[0].starts_with("note: ") && listener.said[0].ends_with(": acme/locked\n")
    );
    let delivery = |id: &str, token: &str| json!({"channel_id": id, "token": token, "module": "Deals", "operation": "insert"});
    let answers = [
        ("101", "hush-deals", 200),
        ("101", "hush-deal", 401),
        ("102", "any", 401),
        ("103", "hush-deals", 401),
    ];
    for (id, token, answer) in answers {
        assert_eq!(listener.post(&delivery(id, token)), answer, "{id} {token}");
    }
    let short = delivery("101", "hush-deals").to_string();
    let whole_mib = short.clone() + &" ".repeat((1 << 20) - short.len());
    let raw = |method: &str, body: &str| http::call(&listener.address, method, "/", body).status;
    assert_eq!(raw("POST", &whole_mib), 200);
    assert_eq!((raw("POST", "{"), raw("POST", "[]"), raw("GET", "")), (400, 400, 405));
    assert_eq!(raw("POST", &(whole_mib + " ")), 413);
    listener.interrupt();
    let (out, err) = listener.ends();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<&str> = lines.iter().filter_map(|line| line["verdict"].as_str()).collect();
    let expected =
        ["verified", "token wrong", "matched by channel_id only", "unknown channel", "verified"];
    assert_eq!(verdicts, expected);
    assert_eq!(
        (&lines[0]["channel"], &lines[0]["event"]),
        (&json!("acme/deals"), &json!("Deals.create"))
    );
    let summary = &lines[5]["summary"];
    assert_eq!(
        (&summary["deliveries"], &summary["not_accepted"], &summary["refused"]),
        (&json!(5), &json!(2), &json!(4))
    );
    assert_eq!(
        err.lines().filter(|line| line.contains("no delivery: answered with ")).count(),
        4,
        "{err}"
    );
    assert!(!out.contains("hush"), "{out}");
}

#[test]
fn it_ends_in_its_time_and_opens_nothing_to_other_hosts_unasked() {
    let place = Place::new("");
    let ran = place.done(&["listen", "--listen", "127.0.0.1:0", "--for", "10ms"]);
    assert!(
        ran.out.ends_with("0 deliveries, 0 of them not accepted; 0 requests besides, refused\n"),
        "{ran:#?}"
    );
    let open = place.verb(&["listen", "--listen", "0.0.0.0:0", "--for", "10ms"]);
    assert_eq!(open.code, 1);
    assert!(
        open.err.contains("other hosts can reach 0.0.0.0:0") && open.err.contains("--public"),
        "{open:#?}"
    );
    place.done(&["listen", "--listen", "0.0.0.0:0", "--public", "--for", "10ms"]);
    place.write("[accounts.acme]\n");
    assert_eq!(place.verb(&["listen", "--for", "10ms"]).code, 3);
}
