//! Several daemons over a real etcd, with a Zoho in this process that hears each of them at an
//! address of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use channelkeeper::clock::{Clock, SystemClock};
use channelkeeper::engine::etcd::{Etcd, EtcdSettings};
use channelkeeper::engine::{Engine, Selection};
use channelkeeper::model::time::{Timestamp, after, span};
use channelkeeper::simulator::http;
use channelkeeper::simulator::knobs::ApiDomain;
use channelkeeper::simulator::{Hand, Knobs, Org, Zoho};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::heard::{Call, Excused, Moves, Owners, Verdict, What};
use super::link::{Entry, Link, Trap};
use crate::etcd::server::Server;
use crate::process::daemon::Daemon;
use crate::process::http::call;
use crate::process::place::Place;

/// Everything. Its daemons and its etcd are killed with it.
pub(super) struct Site {
    pub(super) nodes: Vec<Node>,
    pub(super) etcd: Server,
    to_zoho: Entry,
    calls: Arc<Mutex<Vec<Call>>>,
    owners: Arc<Mutex<Owners>>,
    /// Whose each account is while every node is there.
    home: BTreeMap<String, String>,
    excused: Vec<Excused>,
    zoho: Arc<Mutex<Zoho>>,
    clock: Arc<SystemClock>,
    runtime: Runtime,
}

/// A machine.
pub(super) struct Node {
    pub(super) name: String,
    place: Place,
    daemon: Option<Daemon>,
    /// Where all nodes find Zoho.
    zoho: String,
    to_etcd: Vec<Link>,
}

/// A daemon that was stopped with a write at Zoho on its way.
pub(super) struct Caught {
    pub(super) account: String,
    pub(super) at: Timestamp,
    /// It has asked for a pass, and waits.
    asking: Child,
}

impl Site {
    /// So many nodes over an etcd of so many machines. They run, and each account is served.
    pub(super) fn new(program: &Path, nodes: usize, machines: usize) -> Site {
        Site::of(program, nodes, machines, Path::new(env!("CARGO_BIN_EXE_channelkeeper")))
    }

    /// The same of this release.
    pub(super) fn of(program: &Path, nodes: usize, machines: usize, release: &Path) -> Site {
        let etcd = if machines == 1 { Server::one(program, &[]) } else { Server::three(program) };
        let runtime = Runtime::new().unwrap();
        let clock = Arc::new(SystemClock::new());
        let face = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let to = face.local_addr().unwrap();
        let names: Vec<String> = (0..nodes).map(|node| format!("n{node}")).collect();
        let to_zoho = Entry::to(&runtime, to, &names);
        let node = |name: &String| Node::new(&runtime, name, &to_zoho.address, &etcd);
        let nodes: Vec<Node> = names.iter().map(node).collect();
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let zoho = Arc::new(Mutex::new(zoho(&clock, names, calls.clone())));
        let (of_zoho, of_face) = (clock.clone(), zoho.clone());
        let clock_fn = Arc::new(move || of_zoho.now());
        runtime.spawn(http::serve(face, of_face, clock_fn, std::future::pending()));
        let (home, excused) = (BTreeMap::new(), Vec::new());
        let owners: Arc<Mutex<Owners>> = Arc::default();
        let mut site =
            Site { nodes, to_zoho, etcd, calls, owners, home, excused, zoho, clock, runtime };
        site.watch_claims();
        for node in 0..site.nodes.len() {
            site.nodes[node].place.is_of(release);
            site.start(node);
        }
        site.until("each node serves accounts", |site| {
            let owners = site.owners().latest();
            let serves = |node: &Node| owners.values().any(|owner| *owner == node.name);
            let all = owners.len() == ACCOUNTS && site.nodes.iter().all(serves);
            all.then_some(()).filter(|()| site.are_covered())
        });
        site.home = site.at_rest();
        site
    }

    /// Who owns what once nothing moves any more.
    fn at_rest(&self) -> BTreeMap<String, String> {
        loop {
            let before = self.owners().latest();
            self.pause_until(self.now(), Duration::from_secs(3));
            if self.owners().latest() == before {
                return before;
            }
        }
    }

    fn watch_claims(&self) {
        let settings =
            EtcdSettings { endpoints: &self.etcd.endpoints(), login: None, ca_file: None };
        let clock = self.clock.clone();
        let inside = self.runtime.enter();
        let engine = Etcd::patient(settings, clock.clone(), PATIENCE).unwrap();
        drop(inside);
        let owners = self.owners.clone();
        self.runtime.spawn(async move {
            loop {
                let asked = clock.now();
                let claims = Selection::Prefix("channelkeeper/test/claims/".to_owned());
                match engine.range(vec![claims]).await {
                    Ok(claims) => owners.lock().unwrap().saw(&claims, asked, clock.now()),
                    Err(_) => owners.lock().unwrap().lost_sight(),
                }
                clock.sleep(OFTEN).await;
            }
        });
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap()
    }

    fn owners(&self) -> MutexGuard<'_, Owners> {
        self.owners.lock().unwrap()
    }

    fn pause(&self, length: Duration) {
        self.runtime.block_on(async { self.clock.sleep(length).await });
    }

    /// Waits until so long after an instant.
    pub(super) fn pause_until(&self, instant: Timestamp, later: Duration) {
        self.pause(span(self.now(), after(instant, later)));
    }

    /// Waits until something is so.
    #[track_caller]
    pub(super) fn until<T>(&self, what: &str, look: impl Fn(&Site) -> Option<T>) -> T {
        let begun = self.now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(
                span(begun, self.now()) < LIMIT,
                "it never came about that {what}\n{}",
                self.told()
            );
            self.pause(OFTEN);
        }
    }

    /// All nodes are there, and each account is with the one that it belongs to.
    pub(super) fn settle(&self) {
        self.until("each account is where it belongs", |site| {
            (site.owners().latest() == site.home).then_some(())
        });
    }

    /// The accounts that a node owns.
    pub(super) fn owned(&self, node: usize) -> Vec<String> {
        let owners = self.owners().latest().into_iter();
        let its = owners.filter(|(_, owner)| *owner == self.nodes[node].name);
        its.map(|(account, _)| account).collect()
    }

    /// How each account moved since then.
    pub(super) fn moves(&self, since: Timestamp) -> BTreeMap<String, Moves> {
        self.owners().moves(since)
    }

    /// How long it took until others held all of these accounts, and had looked at the one of
    /// which a write was under way.
    pub(super) fn taken_over(
        &self,
        node: usize,
        accounts: &[String],
        (since, caught): (Timestamp, Option<&str>),
    ) -> Duration {
        let others = self.nodes.iter().enumerate().filter(|(number, _)| *number != node);
        let others: Vec<&Node> = others.map(|(_, other)| other).collect();
        let all_held = |_: &Site| -> Option<()> {
            let held: Vec<String> = others.iter().flat_map(|other| other.held()).collect();
            accounts.iter().all(|account| held.contains(account)).then_some(())
        };
        let looked = |site: &Site| {
            let is_it = |call: &&Call| {
                call.at > since
                    && call.node != node
                    && Some(call.org.as_str()) == caught
                    && call.what == What::Look
            };
            site.calls().iter().find(is_it).map(|call| call.at)
        };
        self.until("others hold its accounts", all_held);
        let held_at = self.now();
        let looked = caught.map(|_| self.until("what was under way is looked at", looked));
        span(since, looked.map_or(held_at, |looked| looked.max(held_at)))
    }

    /// Every declared channel is there, as it is declared.
    fn are_covered(&self) -> bool {
        names().all(|name| self.has_url(&name, 0))
    }

    /// Every channel of an account leads where this generation of the declaration says.
    pub(super) fn has_url(&self, account: &str, generation: u32) -> bool {
        let (zoho, url) = (self.zoho.lock().unwrap(), url(account, generation));
        let channels = zoho.channels(account, self.now());
        let is_ours = |id: i64| id != FOREIGN;
        let ours = channels.iter().filter(|channel| is_ours(channel.id));
        ours.filter(|channel| channel.notify_url == url).count() == CHANNELS
    }

    /// Times at which this account may be enabled once more than is due.
    pub(super) fn excuse(&mut self, account: &str, from: Timestamp, to: Timestamp) {
        self.excused.push(Excused { org: account.to_owned(), from, to });
    }

    /// By what Zoho heard so far.
    pub(super) fn verdict(&self) -> Verdict {
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let mut verdict = Verdict::of(&self.calls(), &self.owners(), &names, &self.excused);
        let zoho = self.zoho.lock().unwrap();
        for name in self::names() {
            verdict.covers(&name, &zoho.truth(&name), self.now());
            let channels = zoho.channels(&name, self.now());
            let theirs = channels.iter().find(|channel| channel.id == FOREIGN);
            let is_theirs = theirs.is_some_and(|theirs| theirs.notify_url == THEIRS);
            assert!(is_theirs, "{name}: {theirs:?} is somebody else's");
        }
        verdict
    }
}

/// The troubles of a node.
impl Site {
    pub(super) fn start(&mut self, node: usize) {
        let daemon = Daemon::spawn(&self.nodes[node].place);
        self.to_zoho.gates[node].belongs_to(daemon.pid());
        self.nodes[node].daemon = Some(daemon);
    }

    pub(super) fn kill(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.daemon.take().unwrap().kill();
    }

    /// It was killed already.
    pub(super) fn reap(&mut self, node: usize) {
        assert_eq!(self.nodes[node].daemon.take().unwrap().ends().0, None);
    }

    /// As a package's upgrade does it: it is stopped, and started again as this release.
    pub(super) fn becomes(&mut self, node: usize, release: &Path) {
        self.stop(node);
        self.nodes[node].place.is_of(release);
        self.start(node);
    }

    /// As an operator stops it.
    pub(super) fn stop(&mut self, node: usize) {
        let node = &mut self.nodes[node];
        node.daemon.take().unwrap().stop();
    }

    pub(super) fn signal(&self, node: usize, signal: Signal) {
        self.nodes[node].daemon.as_ref().unwrap().signal(signal);
    }

    /// Its link to etcd stands still.
    pub(super) fn cut(&self, node: usize) {
        self.nodes[node].to_etcd.iter().for_each(Link::stand_still);
    }

    pub(super) fn mend(&self, node: usize) {
        self.nodes[node].to_etcd.iter().for_each(Link::go_on);
    }

    /// A node gets this signal when a write for one of its accounts is on the way to Zoho. The
    /// channels of that account become due for it. An account that moves meanwhile is written by
    /// another node, and a verb fails while etcd does not answer: then it is tried once more, with
    /// what the node has by then.
    pub(super) fn catch(&mut self, node: usize, signal: Signal, holds: bool) -> Caught {
        let pid: Pid = self.nodes[node].daemon.as_ref().unwrap().pid();
        let begun = self.now();
        while span(begun, self.now()) < LIMIT {
            let account = self.until("it serves an account", |site| site.owned(node).pop());
            let (tell, told) = mpsc::channel();
            let clock = self.clock.clone();
            let springs = Box::new(move || {
                kill_process(pid, signal).unwrap();
                tell.send(clock.now()).unwrap();
            });
            self.to_zoho.gates[node].lay(Trap { of: urls(&account), holds, springs });
            let from = self.now();
            let mut asking = self.asked_to_write(node, &account);
            let caught_at = loop {
                match told.recv_timeout(OFTEN) {
                    Ok(at) => break Some(at),
                    Err(_) if asking.try_wait().unwrap().is_some() => break told.try_recv().ok(),
                    Err(_) if span(from, self.now()) > PATIENCE => break None,
                    Err(_) => {}
                }
            };
            if let Some(at) = caught_at {
                self.excuse(&account, from, after(at, Duration::from_secs(1)));
                return Caught { account, at, asking };
            }
            self.excuse(&account, from, after(self.now(), PATIENCE));
        }
        panic!("{} writes nothing\n{}", self.nodes[node].name, self.told());
    }

    /// A verb that asks for a pass of an account, in which there is something to write.
    fn asked_to_write(&self, node: usize, account: &str) -> Child {
        self.make_due(account);
        let mut command = self.nodes[node].place.command(&["apply", "--account", account]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Somebody else left the channels of this account less than half of their life.
    fn make_due(&self, account: &str) {
        let mut zoho = self.zoho.lock().unwrap();
        let ids = zoho.channels(account, self.now()).into_iter().map(|channel| channel.id);
        let ours: Vec<i64> = ids.filter(|id| *id != FOREIGN).collect();
        let expiry = after(self.now(), LEFT);
        for channel in ours {
            zoho.hand(account, &Hand::SetExpiry { channel, expiry }, self.now()).unwrap();
        }
    }

    /// The request that was held on the way to Zoho arrives there.
    pub(super) fn let_arrive(&self, node: usize) -> Timestamp {
        let from = self.now();
        self.to_zoho.gates[node].go_on();
        self.until("the late write arrives", |site| {
            let calls = site.calls();
            let is_it = |call: &&Call| call.at >= from && call.node == node && call.is_write();
            calls.iter().find(is_it).map(|call| call.at)
        })
    }

    /// Every node is told another declaration, or hears of it when it goes on.
    pub(super) fn declare(&self, generation: u32) {
        for node in &self.nodes {
            node.write(generation);
            node.daemon.as_ref().unwrap().signal(Signal::HUP);
        }
    }

    /// The machine of etcd that leads.
    pub(super) fn leader(&self) -> usize {
        let leads = |url: &String| {
            let address = url.trim_start_matches("http://");
            let status: Value = call(address, "POST", "/v3/maintenance/status", "{}").json();
            status["leader"] == status["header"]["member_id"]
        };
        self.etcd.endpoints().iter().position(leads).unwrap()
    }

    /// The last words of all nodes.
    pub(super) fn told(&self) -> String {
        self.nodes.iter().map(Node::tail).collect()
    }

    /// The words of a node so far.
    pub(super) fn log(&mut self, node: usize) -> &[String] {
        let daemon = self.nodes[node].daemon.as_mut().unwrap();
        daemon.read_on();
        &daemon.log
    }
}

impl Node {
    fn new(runtime: &Runtime, name: &str, zoho: &str, etcd: &Server) -> Node {
        let to_etcd = etcd.endpoints().into_iter().map(|url| {
            let server = url.trim_start_matches("http://").parse().unwrap();
            Link::to(runtime, server)
        });
        let node = Node {
            name: name.to_owned(),
            place: Place::new(""),
            daemon: None,
            zoho: zoho.to_owned(),
            to_etcd: to_etcd.collect(),
        };
        node.write(0);
        node
    }

    fn write(&self, generation: u32) {
        let engine = self.to_etcd.iter().map(|link| format!("\"http://{}\"", link.address));
        let engine: Vec<String> = engine.collect();
        let (name, engine) = (&self.name, engine.join(", "));
        let mut text = format!(
            "[reconcile]\naudit = \"0 0 * * * *\"\nlifetime = \"5m\"\n\
             [cluster]\nname = \"test\"\nnode = \"{name}\"\nengine = [{engine}]\n"
        );
        for account in names() {
            declare(&mut text, &account, &self.zoho, generation);
        }
        self.place.write(&text);
    }

    /// The accounts that it holds, by its own word.
    fn held(&self) -> Vec<String> {
        let ran = self.place.verb(&["status", "--json"]);
        let status: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        let accounts = status["accounts"].as_array().cloned().unwrap_or_default();
        let is_its = |account: &&Value| account["machine"].is_null() && !account["pass"].is_null();
        let its = accounts.iter().filter(is_its);
        its.filter_map(|account| Some(account["name"].as_str()?.to_owned())).collect()
    }

    fn tail(&self) -> String {
        let log = self.daemon.as_ref().map_or(&[][..], |daemon| &daemon.log);
        let tail = log.len().saturating_sub(TOLD_MAX);
        format!("{}:\n{}\n", self.name, log[tail..].join("\n"))
    }
}

impl Caught {
    /// When, and the account of the write.
    pub(super) fn since(&self) -> (Timestamp, Option<&str>) {
        (self.at, Some(&self.account))
    }
}

impl Drop for Caught {
    fn drop(&mut self) {
        // Whoever it asked may have answered.
        let _gone = self.asking.kill();
        let _reaped = self.asking.wait();
    }
}

fn zoho(clock: &SystemClock, names: Vec<String>, calls: Arc<Mutex<Vec<Call>>>) -> Zoho {
    let mut zoho = Zoho::new(Knobs { api_domain: ApiDomain::Omitted, ..Knobs::default() });
    for name in self::names() {
        zoho.add_org(Org::new(&name));
        let theirs = Hand::Create {
            channel: FOREIGN,
            events: vec!["Deals.all".to_owned()],
            notify_url: THEIRS.to_owned(),
            token: None,
            expiry: after(clock.now(), Duration::from_secs(24 * 3600)),
        };
        zoho.hand(&name, &theirs, clock.now()).unwrap();
    }
    zoho.listen(move |heard| calls.lock().unwrap().push(Call::of(&heard, &names)));
    zoho
}

fn declare(text: &mut String, account: &str, zoho: &str, generation: u32) {
    let Org { client_id, client_secret, refresh_tokens, .. } = Org::new(account);
    let (refresh_token, url) = (&refresh_tokens[0], url(account, generation));
    write!(
        text,
        "\n[accounts.{account}]\napi_url = \"http://{zoho}\"\naccounts_url = \"http://{zoho}\"\n\
         api_version = \"v8\"\nclient_id = \"{client_id}\"\nclient_secret = \"{client_secret}\"\n\
         refresh_token = \"{refresh_token}\"\n\
         \n[accounts.{account}.channel_defaults]\nnotify_url = \"{url}\"\ntoken = \"t-{account}\"\n"
    )
    .unwrap();
    for channel in 0..CHANNELS {
        write!(
            text,
            "\n[[channels]]\nname = \"{account}-{channel}\"\naccount = \"{account}\"\n\
             events = [\"Deals.create\", \"Leads.edit\"]\n"
        )
        .unwrap();
    }
}

fn url(account: &str, generation: u32) -> String {
    format!("{}{generation}", urls(account))
}

/// They all begin like this.
fn urls(account: &str) -> String {
    format!("https://hooks.example.com/{account}/")
}

fn names() -> impl Iterator<Item = String> {
    (0..ACCOUNTS).map(|number| format!("org{number}"))
}

const ACCOUNTS: usize = 12;
const CHANNELS: usize = 4;
/// Somebody else's, in each org.
const FOREIGN: i64 = 900;
const THEIRS: &str = "https://other.example.com/";
/// Lines of the log that are printed when something fails.
const TOLD_MAX: usize = 100;
/// A part of a life of five minutes.
const LEFT: Duration = Duration::from_secs(100);
const OFTEN: Duration = Duration::from_millis(100);
/// Long enough for a loaded machine; only what fails waits this long.
const LIMIT: Duration = Duration::from_secs(90);
const PATIENCE: Duration = Duration::from_secs(30);
