//! Three daemons and a real etcd, operated as if they were one: any machine's socket will do, each
//! page says the same, and what is told is told once.

use std::sync::Arc;

use channelkeeper::clock::{Clock, SystemClock};
use channelkeeper::engine::etcd::{Etcd, EtcdSettings};
use channelkeeper::engine::{Engine, Selection};
use serde_json::{Value, json};

use super::alerts::Inbox;
use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;
use crate::etcd::server::{Server, installed};

#[test]
fn a_machine_that_serves_nothing_answers_for_all() {
    let Some(program) = installed() else { return };
    let etcd = Server::one(&program, &[]);
    let zoho = Simulator::with(ACCOUNTS, 2 * ACCOUNTS);
    let hook = Inbox::answering("200 OK");
    let [one, two, three] =
        ["one", "two", "three"].map(|node| Place::new(&config(&zoho, &etcd, &hook, node)));
    let mut daemons = [&one, &two, &three].map(Daemon::start);
    three.done(&["cluster", "evict", "three"]);
    daemons[2].until("the others serve everything", |_| serving(&three) == Some([0, ACCOUNTS]));

    let renewed = three.done(&["renew", "--account", "sim1", "--json"]).json();
    assert_eq!(renewed[0]["done"].as_array().unwrap().len(), 2, "{renewed}");
    let plan = three.done(&["plan", "--json"]).json();
    assert_eq!(names(&plan["accounts"], "account"), SIMS, "{plan}");
    let why = three.done(&["explain", "deals-2"]).out;
    assert!(why.contains("channel deals-2 of account sim2") && why.contains("observed"), "{why}");
    assert!(three.done(&["gaps"]).out.starts_with("no gaps"));
    let unknown = three.verb(&["renew", "deals-99"]);
    assert!(unknown.err.contains("no channel is named deals-99; did you mean"), "{unknown:?}");

    // A secret that stands in one file alone is known there, and its owner's plan has it.
    let status = three.done(&["status", "--json"]).json();
    let (node, owner) = match status["accounts"][0]["machine"].as_str() {
        Some("one") => ("one", &one),
        _ => ("two", &two),
    };
    let file = config(&zoho, &etcd, &hook, node);
    owner.write(&file.replace("\"token-deals-1\"", "\"another\""));
    for args in [["plan", "--account", "sim1"], ["explain", "deals-1", "--json"]] {
        let planned = owner.verb(&args);
        assert!(planned.out.contains("another one instead of the declared one"), "{planned:?}");
    }
    owner.write(&file);

    let later = config(&zoho, &etcd, &hook, "three")
        .replace("[cluster]", &(LATER.to_owned() + "[cluster]"));
    three.write(&later);
    let plan = three.verb(&["plan", "--json"]);
    assert_eq!(plan.code, 2, "there is something to do: {plan:?}");
    let plan = plan.json();
    let checksum = plan["checksum"].as_str().unwrap().to_owned();
    assert_eq!(plan["accounts"][0]["steps"][0]["channel"], "later", "{plan}");
    let other = three.verb(&["apply", "--plan", "0123456789ab"]);
    assert!(other.code == 1 && other.err.contains("the plan has changed"), "{other:?}");
    let applied = three.done(&["apply", "--plan", &checksum, "--json"]).json();
    assert_eq!(names(&applied, "account"), SIMS);
    assert_eq!(applied[0]["done"][0]["channel"], "later", "{applied}");
    assert_eq!(zoho.channels_by_org().values().map(|it| it.len()).sum::<usize>(), 9);

    let of = |place: &Place| place.done(&["status", "--json"]).json();
    daemons[2].until("each shows every channel", |_| {
        [&one, &two, &three].iter().all(|place| channels(&of(place)) == 2 * ACCOUNTS + 1)
    });
    let guarantees =
        [&one, &two, &three].map(|place| of(place)["health"]["guaranteed_until"].clone());
    assert!(guarantees.iter().all(|until| *until == guarantees[0] && until.is_string()));
    let headings = daemons.each_ref().map(|daemon| heading(&daemon.get("/").body));
    assert!(headings.iter().all(|heading| *heading == headings[0]), "{headings:?}");
    assert!(headings[0].starts_with("everything is covered until "), "{headings:?}");

    three.done(&["pause", "sim2", "--for", "8h"]);
    // The machine that is put out tells of itself.
    let of_all = || std::iter::repeat_with(|| hook.next().1).find(|it| !it.contains("put out"));
    let told = of_all().unwrap();
    assert!(told.contains("paused: account sim2: 2 channels paused"), "{told}");
    let [mut first, mut second, mut third] = daemons;
    // It is noted that it was told before the next turn, a second later.
    third.until("it is noted", |_| noted(&etcd).contains("paused/sim2"));
    first.read_on();
    second.read_on();
    let tells = first.has_said("the webhook was told");
    assert_ne!(tells, second.has_said("the webhook was told"), "one tells for all");
    let (mut killed, mut left) = if tells { (first, second) } else { (second, first) };
    // Killed while it renews, and while somebody elsewhere waits for that.
    let slow =
        json!({"kind": {"delay": {"by": "4s"}}, "method": "POST", "path": "watch", "times": 4});
    zoho.fault(&slow);
    let renewed = std::thread::scope(|scope| {
        let renewing = scope.spawn(|| three.verb(&["renew", "--json"]));
        killed.hears("a change was asked for at another machine");
        killed.kill();
        renewing.join().unwrap()
    });
    assert_eq!(names(&renewed.json(), "account"), SIMS, "{renewed:?}");
    left.until("another serves all", |_| {
        serving(&three) == Some([0, ACCOUNTS]) && is_whole(&three)
    });
    three.done(&["resume", "sim2"]);
    let told = of_all().unwrap();
    assert!(told.contains("all is well again, after "), "told once: {told}");
    left.stop();
    third.stop();
}

fn config(zoho: &Simulator, etcd: &Server, hook: &Inbox, node: &str) -> String {
    let engine = &etcd.endpoints()[0];
    let alerts = format!("[alerts]\nwebhook = \"{}\"\ngrace = \"0s\"\n", hook.url("/hook"));
    let cluster =
        format!("[cluster]\nname = \"test\"\nengine = [\"{engine}\"]\nnode = \"{node}\"\n");
    format!("{}\n{alerts}\n{cluster}", zoho.config)
}

/// The words that were told for all, as the engine has them.
fn noted(etcd: &Server) -> String {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let endpoints = etcd.endpoints();
    let settings = EtcdSettings { endpoints: &endpoints, login: None, ca_file: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = Etcd::new(settings, clock).unwrap();
        let told = Selection::Key("channelkeeper/test/told".to_owned());
        let found = engine.range(vec![told]).await.unwrap().entries.pop();
        found.map(|entry| String::from_utf8(entry.value).unwrap()).unwrap_or_default()
    })
}

/// How many accounts the machine `three` serves, and how many the others do.
fn serving(place: &Place) -> Option<[usize; 2]> {
    let ran = place.verb(&["cluster", "status", "--json"]);
    let status: Value = serde_json::from_str(&ran.out).ok()?;
    let mut shares = [0, 0];
    for machine in status["machines"].as_array()? {
        let is_other = machine["node"] != "three";
        shares[usize::from(is_other)] += machine["accounts"].as_u64()? as usize;
    }
    Some(shares)
}

/// True when every account has been told of, and none is without a machine.
fn is_whole(place: &Place) -> bool {
    let ran = place.verb(&["status", "--json"]);
    let Ok(status) = serde_json::from_str::<Value>(&ran.out) else { return false };
    status["cluster"]["unserved"] == 0 && status["health"]["guaranteed_until"].is_string()
}

fn names(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap().to_owned()).collect()
}

fn channels(status: &Value) -> usize {
    let accounts = status["accounts"].as_array().unwrap().iter();
    accounts.map(|account| account["channels"].as_array().unwrap().len()).sum()
}

/// The answer at the top of the front page, without its markup.
fn heading(page: &str) -> String {
    let heading = page.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap();
    let mut text = String::new();
    let mut is_text = true;
    for c in heading.chars() {
        match c {
            '<' => is_text = false,
            '>' => is_text = true,
            c if is_text => text.push(c),
            _ => {}
        }
    }
    text
}

const ACCOUNTS: usize = 4;
const SIMS: [&str; ACCOUNTS] = ["sim1", "sim2", "sim3", "sim4"];
const LATER: &str = "[[channels]]\nname = \"later\"\naccount = \"sim1\"\nevents = [\"Leads.create\"]\n\
                     notify_url = \"https://hooks.example.com/later\"\n\n";
