//! Daemons that share accounts: the daemon's own assembly, twice, over one simulated engine and one
//! simulated Zoho, on virtual time.
//!
//! Zoho's log and the engine's are the judges: who wrote for which account, and when.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use channelkeeper::carrier::{Carrier, Halt, Road};
use channelkeeper::clock::{Clock, VirtualClock};
use channelkeeper::daemon::assembly::{Carriers, PartsGiven, assemble};
use channelkeeper::daemon::desk::Host;
use channelkeeper::daemon::member::{self, Joining, Member};
use channelkeeper::daemon::scheduler::{Going, Links, Message};
use channelkeeper::daemon::tasks::{Stop, Tasks};
use channelkeeper::engine::simulated::{SimulatedEngine, SimulatedHandle};
use channelkeeper::engine::{Change, Engine};
use channelkeeper::expose::overview::{ClusterState, Unfit};
use channelkeeper::model::channel::Spec;
use channelkeeper::model::cluster::{Layouts, WithoutEngine};
use channelkeeper::model::desired::{AccountDesired, Desired, Settings};
use channelkeeper::model::exchange::Request;
use channelkeeper::model::time::{Timestamp, after, before, span};
use channelkeeper::model::version::ApiVersion;
use channelkeeper::reconcile::report::{AccountReport, ChannelState};
use channelkeeper::simulator::{Knobs, Org, Reply, Zoho};
use channelkeeper::store::Store;
use tokio::sync::{mpsc, watch};

use crate::world::{BEGINS, account, pause, spec};

#[tokio::test(start_paused = true)]
async fn each_account_is_served_by_one_and_those_of_a_killed_machine_by_the_other_within_15_s() {
    let mut sites = Sites::with(["one", "two"]).await;
    let of_one = sites.held("one");
    assert!(!of_one.is_empty() && of_one.len() < ACCOUNTS.len(), "{of_one:?}");
    sites.kill("one").await;
    let killed = sites.clock.now();
    sites.until_all_are_served_by("two", Duration::from_secs(15)).await;
    pause(LIFE + LIFE / 2).await;
    sites.nothing_lapsed();
    for name in ACCOUNTS {
        let writers = sites.writers(name);
        let wanted = if of_one.contains(name) { vec!["one", "two"] } else { vec!["two"] };
        assert_eq!(writers, wanted, "{name}");
        assert_eq!(sites.committers(name), wanted, "{name}");
    }
    let late = sites.writes().into_iter().filter(|write| write.by == "one" && write.at > killed);
    assert_eq!(late.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_stopped_gives_its_accounts_away_before_it_ends() {
    let mut sites = Sites::with(["one", "two"]).await;
    sites.stop("one").await;
    let members = sites.engine.entries().into_iter();
    let members = members.filter(|entry| entry.key.starts_with("channelkeeper/test/members/"));
    assert_eq!(members.count(), 1, "it has left");
    sites.until_all_are_served_by("two", Duration::from_secs(3)).await;
    sites.nothing_lapsed();
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_cut_from_the_engine_writes_nothing_and_serves_again_when_it_is_back() {
    let sites = Sites::with(["one", "two"]).await;
    let before = sites.held("one");
    sites.machine("one").handle.set_cut(true);
    let cut = sites.clock.now();
    sites.until_all_are_served_by("two", Duration::from_secs(15)).await;
    let state = sites.machine("one").links.overview.borrow().cluster.clone().unwrap();
    assert!(!state.is_active, "{state:?}");
    assert!(state.unreachable.is_some(), "{state:?}");
    pause(LIFE / 2 + LIFE / 8).await;
    let late = sites.writes().into_iter().filter(|write| write.by == "one");
    assert_eq!(late.filter(|write| write.at > after(cut, LEASH)).count(), 0);
    sites.machine("one").handle.set_cut(false);
    pause(Duration::from_secs(60)).await;
    assert_eq!(sites.held("one"), before);
    sites.each_is_held_by_one();
    sites.nothing_lapsed();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_for_an_hour_is_sat_out() {
    let sites = Sites::with(["one", "two"]).await;
    let held = ["one", "two"].map(|name| sites.held(name));
    pause(LIFE / 4).await;
    let away = sites.clock.now();
    sites.engine.set_quorum(false);
    pause(Duration::from_secs(3600)).await;
    assert_eq!(sites.writes_since(away), []);
    for name in ["one", "two"] {
        let state = sites.state(name);
        assert!(state.unreachable.is_some() && state.emergency.is_none(), "{state:?}");
    }
    sites.engine.set_quorum(true);
    pause(Duration::from_secs(60)).await;
    assert_eq!(["one", "two"].map(|name| sites.held(name)), held);
    assert_eq!(sites.writes_since(away).len(), ACCOUNTS.len(), "each was due");
    pause(LIFE).await;
    sites.nothing_lapsed();
    sites.each_was_written_by_one_since(away);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_for_longer_than_a_life_costs_nothing_but_late_renewals() {
    let sites = Sites::with(["one", "two"]).await;
    let held = ["one", "two"].map(|name| sites.held(name));
    let (away, tokens) = (sites.clock.now(), sites.tokens());
    sites.engine.set_quorum(false);
    let committed = sites.commits.lock().unwrap().len();
    pause(LIFE + LIFE / 2).await;
    let written = sites.writes_since(away);
    assert_eq!(written.len(), ACCOUNTS.len(), "{written:?}");
    let first = before(after(sites.begun, LIFE), LIFE / 8);
    assert!(written.iter().all(|write| write.at >= first), "{written:?}");
    sites.nothing_lapsed();
    sites.each_was_written_by_one_since(away);
    for name in ["one", "two"] {
        let state = sites.state(name);
        assert!(state.emergency.is_some(), "{state:?}");
    }
    assert!(sites.tokens() - tokens <= (ACCOUNTS.len() * 5) as u64, "one an hour");
    sites.engine.set_quorum(true);
    pause(Duration::from_secs(120)).await;
    assert_eq!(["one", "two"].map(|name| sites.held(name)), held, "the epochs stood");
    let told = sites.commits.lock().unwrap()[committed..].to_vec();
    let told: BTreeSet<&String> = told.iter().map(|(account, _)| account).collect();
    assert_eq!(told.len(), ACCOUNTS.len(), "what was done is written down");
    assert!(sites.state("one").emergency.is_none());
    pause(LIFE / 2).await;
    sites.nothing_lapsed();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_full_is_as_good_as_one_that_is_away() {
    let sites = Sites::with(["one", "two"]).await;
    let away = sites.clock.now();
    sites.engine.set_full(true);
    for _ in 0..6 {
        pause(LIFE / 6).await;
        let state = sites.state("one");
        assert!(!state.is_active && state.unreachable.is_some(), "{state:?}");
    }
    assert_eq!(sites.writes_since(away).len(), ACCOUNTS.len(), "each in its emergency");
    assert!(sites.state("one").emergency.is_some());
    let told = sites.state("one").engine.unwrap();
    assert!(told.troubles[0].is_failing, "{told:?}");
    sites.engine.set_full(false);
    pause(Duration::from_secs(120)).await;
    assert!(sites.state("one").is_active);
    sites.nothing_lapsed();
    sites.each_was_written_by_one_since(away);
}

#[tokio::test(start_paused = true)]
async fn machines_that_are_told_to_stop_send_nothing_while_the_engine_is_away() {
    let sites = Sites::that(["one", "two"], WithoutEngine::Stop).await;
    let away = sites.clock.now();
    sites.engine.set_quorum(false);
    pause(LIFE - Duration::from_secs(300)).await;
    assert_eq!(sites.writes_since(away), []);
    let overview = sites.machine("one").links.overview.borrow().clone();
    let state = overview.cluster.clone().unwrap();
    assert!(state.emergency.is_some() && state.standing.contains("renews nothing"), "{state:?}");
    for report in overview.accounts.values().flatten() {
        let ends = report.channels.values().map(|channel| channel.expiry.unwrap());
        assert!(ends.clone().all(|expiry| expiry > sites.clock.now()), "{ends:?}");
        assert_eq!(report.after.held.len(), 2, "{:?}", report.after.held);
    }
    sites.engine.set_quorum(true);
    pause(Duration::from_secs(30)).await;
    assert_eq!(sites.writes_since(away).len(), ACCOUNTS.len());
    sites.nothing_lapsed();
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_cut_off_for_longer_than_a_life_sees_that_the_other_renews() {
    let sites = Sites::with(["one", "two"]).await;
    let cut = sites.clock.now();
    sites.machine("one").handle.set_cut(true);
    pause(LIFE + LIFE / 2).await;
    let late = sites.writes_since(after(cut, LEASH)).into_iter().filter(|it| it.by == "one");
    assert_eq!(late.collect::<Vec<_>>(), []);
    assert!(sites.state("one").standing.contains("last eighth"), "{:?}", sites.state("one"));
    sites.nothing_lapsed();
}

#[tokio::test(start_paused = true)]
async fn what_a_machine_did_alone_is_dropped_when_another_has_the_account_by_then() {
    let sites = Sites::with(["one", "two"]).await;
    let (away, of_one) = (sites.clock.now(), sites.held("one"));
    sites.engine.set_quorum(false);
    pause(LIFE).await;
    assert_eq!(sites.writes_since(away).len(), ACCOUNTS.len(), "each renewed its own");
    // The engine is back for the other alone.
    sites.machine("one").handle.set_cut(true);
    sites.engine.set_quorum(true);
    sites.until_all_are_served_by("two", Duration::from_secs(60)).await;
    let taken = sites.clock.now();
    sites.machine("one").handle.set_cut(false);
    pause(Duration::from_secs(60)).await;
    assert_eq!(sites.held("one"), of_one);
    assert_eq!(sites.writes_since(taken), [], "all are renewed already");
    pause(LIFE).await;
    sites.nothing_lapsed();
    for name in &of_one {
        assert_eq!(sites.committers(name), ["one", "two", "one"], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn accounts_that_were_left_at_rest_keep_the_time_of_their_next_look() {
    let mut sites = Sites::with(["one", "two"]).await;
    let of_one = sites.held("one");
    sites.kill("one").await;
    let killed = sites.clock.now();
    sites.until_all_are_served_by("two", Duration::from_secs(15)).await;
    pause(Duration::from_secs(120)).await;
    for name in &of_one {
        let report = sites.report("two", name);
        assert!(report.at < killed && report.next_wake > sites.clock.now(), "{name}: {report:?}");
        assert!(report.channels.values().all(|it| it.state == ChannelState::Covered), "{name}");
    }
    pause(LIFE).await;
    sites.nothing_lapsed();
}

#[tokio::test(start_paused = true)]
async fn an_account_with_a_write_under_way_is_looked_at_at_once_and_once_more() {
    let mut sites = Sites::with(["one", "two"]).await;
    let of_one = sites.held("one");
    sites.writes_stick.send_replace(true);
    pause(LIFE / 2 - Duration::from_secs(55)).await;
    sites.kill("one").await;
    let killed = sites.clock.now();
    sites.until_all_are_served_by("two", Duration::from_secs(15)).await;
    let first: Vec<Timestamp> = of_one.iter().map(|name| sites.report("two", name).at).collect();
    assert!(first.iter().all(|at| *at > killed), "{first:?}");
    pause(Duration::from_secs(45)).await;
    for (name, first) in of_one.iter().zip(first) {
        let again = sites.report("two", name).at;
        let later = span(first, again).as_secs();
        assert!((30..45).contains(&later), "{name}: {first} {again}");
        assert_eq!(sites.writers(name), ["one", "two"], "{name}");
    }
    sites.nothing_lapsed();
}

#[tokio::test(start_paused = true)]
async fn an_account_at_rest_whose_audit_was_missed_is_looked_at_at_once() {
    let mut sites = Sites::new(["one", "two"], WithoutEngine::Emergency);
    sites.desired.settings.audit = "0 30 * * * *".to_owned();
    sites.begin().await;
    let of_one = sites.held("one");
    pause(Duration::from_secs(28 * 60 + 55)).await;
    sites.kill("one").await;
    let audit = after(sites.begun, Duration::from_secs(30 * 60));
    assert_eq!(span(sites.clock.now(), audit).as_secs(), 5, "nobody makes it");
    sites.until_all_are_served_by("two", Duration::from_secs(15)).await;
    for name in &of_one {
        let report = sites.report("two", name);
        assert!(report.at > audit, "{name}: {}", report.at);
    }
    assert_eq!(sites.writes_since(audit), [], "nothing was to be done");
}

#[tokio::test(start_paused = true)]
async fn an_account_for_which_somebody_sent_late_is_looked_at_at_once_and_once_more() {
    let sites = Sites::with(["one", "two"]).await;
    pause(LIFE / 8).await;
    let of_one = sites.held("one");
    let late = of_one.iter().map(|name| name.parse().unwrap()).collect();
    let told = sites.clock.now();
    sites.machine("one").links.wakes.0.send(Message::SentLate(late)).await.unwrap();
    for looks in [0..1, 30..45] {
        pause(Duration::from_secs(looks.end)).await;
        for name in &of_one {
            let at = sites.report("one", name).at;
            assert!(at >= told && looks.contains(&span(told, at).as_secs()), "{name}: {at}");
        }
    }
}

/// The member would refuse the rest of it: here it knows of nothing.
#[tokio::test(start_paused = true)]
async fn a_pass_of_an_account_that_is_lost_ends_after_the_call_that_it_is_in() {
    let mut sites = Sites::new(["one", "two"], WithoutEngine::Emergency);
    for declared in sites.desired.accounts.values_mut() {
        declared.account.policy.batch_max = 1;
    }
    sites.begin().await;
    let of_one = sites.held("one");
    sites.writes_stick.send_replace(true);
    let due = sites.clock.now();
    pause(LIFE / 2 - Duration::from_secs(55)).await;
    assert!(sites.writes_since(due).iter().all(|write| write.by == "two"), "they are under way");
    let (gone, mut told) = mpsc::unbounded_channel();
    let accounts = of_one.iter().map(|name| name.parse().unwrap()).collect();
    let going = Going { accounts, are_lost: true, gone };
    sites.machine("one").links.wakes.0.send(Message::LetGo(going)).await.unwrap();
    pause(Duration::from_secs(1)).await;
    let without_a_pass = told.len();
    sites.writes_stick.send_replace(false);
    let mut left = BTreeSet::new();
    while let Some(name) = told.recv().await {
        left.insert(name.to_string());
    }
    assert_eq!(left, of_one);
    let written = sites.writes_since(due).into_iter().filter(|write| write.by == "one");
    let written: Vec<String> = written.map(|write| write.account).collect();
    let accounts: BTreeSet<&String> = written.iter().collect();
    assert_eq!(accounts.len(), of_one.len() - without_a_pass);
    assert!(!written.is_empty() && written.len() == accounts.len(), "one of two: {written:?}");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_a_machine_cannot_serve_is_its_trouble_only_while_no_other_does() {
    let mut sites = Sites::new(["one", "two"], WithoutEngine::Emergency);
    sites.lacks = Some(("two", "ash"));
    sites.begin().await;
    let ash = || "ash".parse().unwrap();
    let overview = sites.machine("two").links.overview.borrow().clone();
    let Unfit { why, by } = overview.cluster.clone().unwrap().unfit[&ash()].clone();
    assert_eq!((why.as_str(), by.as_str()), (LACKS, "one"));
    assert_eq!((overview.unusable.len(), overview.accounts.contains_key(&ash())), (0, false));
    sites.kill("one").await;
    pause(Duration::from_secs(14)).await;
    assert!(sites.state("two").unfit.contains_key(&ash()), "another may take it over still");
    pause(Duration::from_secs(16)).await;
    let overview = sites.machine("two").links.overview.borrow().clone();
    assert!(overview.unusable.contains_key(&ash()), "{:?}", overview.cluster);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_set_back_is_told_what_its_machines_know() {
    let sites = Sites::with(["one", "two"]).await;
    let kept = sites.engine.keep();
    pause(LIFE * 3 / 4).await;
    let known = sites.records();
    sites.engine.restore(&kept);
    assert_ne!(sites.records(), known, "all were renewed since");
    pause(Duration::from_secs(60)).await;
    sites.each_is_held_by_one();
    assert_eq!(sites.records(), known);
    assert_eq!(known.len(), ACCOUNTS.len());
}

/// Two machines with what they share.
struct Sites {
    clock: Arc<VirtualClock>,
    begun: Timestamp,
    zoho: Arc<Mutex<Zoho>>,
    engine: SimulatedEngine,
    desired: Desired,
    writes: Arc<Mutex<Vec<Write>>>,
    /// Who committed for which account, by the number of its handle.
    commits: Arc<Mutex<Vec<(String, usize)>>>,
    machines: BTreeMap<&'static str, Machine>,
    without_engine: WithoutEngine,
    names: Vec<&'static str>,
    /// While this is so, writes of the first machine leave it and do not arrive.
    writes_stick: watch::Sender<bool>,
    /// A machine that lacks the secrets of an account.
    lacks: Option<(&'static str, &'static str)>,
}

struct Machine {
    handle: Arc<SimulatedHandle>,
    links: Links,
    stop: Stop,
    tasks: Tasks,
    _dir: tempfile::TempDir,
}

/// A request that changes something of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Write {
    by: &'static str,
    account: String,
    at: Timestamp,
}

impl Sites {
    /// They run, and each account has its machine.
    async fn with(names: [&'static str; 2]) -> Sites {
        Sites::that(names, WithoutEngine::Emergency).await
    }

    /// The same, which do that while the engine is away.
    async fn that(names: [&'static str; 2], without_engine: WithoutEngine) -> Sites {
        let mut sites = Sites::new(names, without_engine);
        sites.begin().await;
        sites
    }

    async fn begin(&mut self) {
        for name in self.names.clone() {
            self.start(name);
        }
        pause(Duration::from_secs(60)).await;
        self.each_is_held_by_one();
    }

    fn new(names: [&'static str; 2], without_engine: WithoutEngine) -> Sites {
        let begun: Timestamp = BEGINS.parse().unwrap();
        let mut zoho = Zoho::new(Knobs::default());
        let settings = Settings { audit: "0 0 * * * *".to_owned(), ..Settings::default() };
        let mut desired = Desired { settings, accounts: BTreeMap::new() };
        for name in ACCOUNTS {
            let org = Org::new(name);
            let account = account(name, ApiVersion::V8, &org);
            let of_a_life = |channel| Spec { lifetime: LIFE, ..spec(name, channel, EVENTS) };
            let specs = ["deals", "leads"].map(of_a_life);
            let specs = specs.into_iter().map(|spec| (spec.id, Arc::new(spec))).collect();
            let name = account.name.clone();
            desired.accounts.insert(name, AccountDesired::new(account, specs));
            zoho.add_org(org);
        }
        let engine = SimulatedEngine::new();
        let commits: Arc<Mutex<Vec<(String, usize)>>> = Arc::default();
        let seen = commits.clone();
        engine.witness(move |applied| {
            let keys = applied.changes.iter().map(|change| match change {
                Change::Put(key, _) | Change::Delete(key) => key,
            });
            let states = keys.filter_map(|key| key.strip_prefix("channelkeeper/test/accounts/"));
            seen.lock().unwrap().extend(states.map(|name| (name.to_owned(), applied.by)));
        });
        Sites {
            clock: Arc::new(VirtualClock::new(begun, 1)),
            begun,
            zoho: Arc::new(Mutex::new(zoho)),
            engine,
            desired,
            writes: Arc::default(),
            commits,
            machines: BTreeMap::new(),
            without_engine,
            names: names.to_vec(),
            writes_stick: watch::Sender::default(),
            lacks: None,
        }
    }

    fn start(&mut self, name: &'static str) {
        let dir = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = self.clock.clone();
        let handle = Arc::new(self.engine.handle(clock.clone()));
        let engine: Arc<dyn Engine> = handle.clone();
        let store = Store::open(dir.path(), clock.now()).unwrap().store.going_on().holding();
        let store = member::shared(store, engine.clone(), "test", Layouts::OWN);
        let notes = dir.path().join("cluster");
        let (cluster, node) = ("test".to_owned(), Some(name.to_owned()));
        let without_engine = self.without_engine;
        let layouts = Layouts::OWN;
        let joining = Joining { cluster, node, without_engine, notes, layouts };
        let member = Member::new(joining, engine, clock.clone()).unwrap();
        let sticks = self.writes_stick.clone();
        let sticks = if name == self.names[0] { sticks } else { watch::Sender::default() };
        let road = Track { by: name, writes: self.writes.clone(), sticks };
        let carrier = Carrier::new(self.zoho.clone(), clock.clone(), TIMEOUT, Arc::new(road));
        let carriers = Carriers::all(Arc::new(carrier));
        let (mut desired, mut unusable) = (self.desired.clone(), BTreeMap::new());
        if let Some((_, account)) = self.lacks.filter(|(machine, _)| *machine == name) {
            let account = account.parse().unwrap();
            desired.accounts.remove(&account);
            unusable.insert(account, LACKS.to_owned());
        }
        let given = PartsGiven::new(desired, store, clock, carriers);
        let given = PartsGiven { leash: Some(member.leash()), unusable, ..given };
        let parts = assemble(given, Host::Daemon).unwrap();
        let (links, stop) = (parts.links.clone(), Stop::default());
        let member = member.tasks(&links, &parts.means, watch::channel(Some(1)).1, &stop);
        let tasks = Tasks::spawn(parts.tasks(&stop).into_iter().chain(member));
        self.machines.insert(name, Machine { handle, links, stop, tasks, _dir: dir });
    }

    async fn kill(&mut self, name: &str) {
        let machine = self.machines.remove(name).unwrap();
        machine.tasks.dropped().await.unwrap();
    }

    async fn stop(&mut self, name: &str) {
        let mut machine = self.machines.remove(name).unwrap();
        machine.stop.asked.cancel();
        machine.tasks.joined().await.unwrap();
    }

    fn machine(&self, name: &str) -> &Machine {
        &self.machines[name]
    }

    /// The accounts that a machine serves.
    fn held(&self, name: &str) -> BTreeSet<String> {
        let fleet = self.machine(name).links.fleet.borrow().clone();
        fleet.subjects.keys().map(ToString::to_string).collect()
    }

    fn each_is_held_by_one(&self) {
        let held = self.machines.keys().flat_map(|name| self.held(name));
        let mut held: Vec<String> = held.collect();
        held.sort();
        assert_eq!(held, ACCOUNTS);
    }

    /// A machine has looked at each account.
    async fn until_all_are_served_by(&self, name: &str, within: Duration) {
        let overview = &self.machine(name).links.overview;
        let begun = self.clock.boot();
        loop {
            let looked_at = overview.borrow().accounts.values().flatten().count();
            if looked_at == ACCOUNTS.len() {
                return;
            }
            let waited = self.clock.boot().saturating_sub(begun);
            assert!(waited <= within, "{looked_at} accounts are served after {waited:?}");
            pause(Duration::from_millis(100)).await;
        }
    }

    fn writes(&self) -> Vec<Write> {
        self.writes.lock().unwrap().clone()
    }

    fn writes_since(&self, since: Timestamp) -> Vec<Write> {
        self.writes().into_iter().filter(|write| write.at >= since).collect()
    }

    fn each_was_written_by_one_since(&self, since: Timestamp) {
        for name in ACCOUNTS {
            let of_it = self.writes_since(since).into_iter().filter(|write| write.account == name);
            let writers: BTreeSet<&str> = of_it.map(|write| write.by).collect();
            assert_eq!(writers.len(), 1, "{name}: {writers:?}");
        }
    }

    fn report(&self, machine: &str, account: &str) -> Arc<AccountReport> {
        let overview = self.machine(machine).links.overview.borrow().clone();
        overview.accounts[&account.parse().unwrap()].clone().unwrap()
    }

    /// The records of all accounts, as the engine has them.
    fn records(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = self.engine.entries().into_iter();
        let records = entries.filter(|it| it.key.starts_with("channelkeeper/test/records/"));
        records.map(|entry| (entry.key, entry.value)).collect()
    }

    fn state(&self, name: &str) -> ClusterState {
        self.machine(name).links.overview.borrow().cluster.clone().unwrap()
    }

    /// How many tokens Zoho has given.
    fn tokens(&self) -> u64 {
        let zoho = self.zoho.lock().unwrap();
        ACCOUNTS.iter().map(|name| zoho.counters(name).unwrap().tokens_issued).sum()
    }

    /// Who wrote at Zoho for this account, in order.
    fn writers(&self, account: &str) -> Vec<&'static str> {
        let of_it = self.writes().into_iter().filter(|write| write.account == account);
        let mut writers: Vec<&'static str> = of_it.map(|write| write.by).collect();
        writers.dedup();
        writers
    }

    /// Who wrote into the engine for this account, in order.
    fn committers(&self, account: &str) -> Vec<&'static str> {
        let commits = self.commits.lock().unwrap();
        let of_it = commits.iter().filter(|(name, _)| name == account);
        let mut committers: Vec<&'static str> =
            of_it.map(|(_, number)| self.names[*number]).collect();
        committers.dedup();
        committers
    }

    /// Each channel was covered from its first minute on, by Zoho's own truth.
    fn nothing_lapsed(&self) {
        let mut at = after(self.begun, Duration::from_secs(60));
        let zoho = self.zoho.lock().unwrap();
        let truths = ACCOUNTS.map(|name| (name, zoho.truth(name)));
        while at < self.clock.now() {
            for (name, truth) in &truths {
                let covered: BTreeSet<&str> = truth
                    .iter()
                    .filter(|covered| covered.contains(at))
                    .map(|covered| covered.channel.as_str())
                    .collect();
                assert_eq!(covered.len(), 2, "{name} at {at}");
            }
            at = after(at, Duration::from_secs(60));
        }
    }
}

/// The road of one machine, which notes what it writes.
struct Track {
    by: &'static str,
    writes: Arc<Mutex<Vec<Write>>>,
    sticks: watch::Sender<bool>,
}

impl Road for Track {
    fn arrives<'a>(&'a self, request: &'a Request) -> Halt<'a> {
        let is_write = request.method != "GET" && request.path.ends_with("watch");
        let mut sticks = self.sticks.subscribe();
        Box::pin(async move {
            if is_write {
                // It cannot end while this road is there.
                let _goes = sticks.wait_for(|sticks| !sticks).await;
            }
        })
    }

    fn answered<'a>(&'a self, request: &'a Request, _: &'a Reply, at: Timestamp) -> Halt<'a> {
        let body = String::from_utf8_lossy(&request.body);
        let is_of = |name: &&str| body.contains(&format!("hooks.example.com/{name}/"));
        if let Some(account) = ACCOUNTS.into_iter().find(is_of) {
            let account = account.to_owned();
            self.writes.lock().unwrap().push(Write { by: self.by, account, at });
        }
        Box::pin(std::future::ready(()))
    }
}

const ACCOUNTS: [&str; 8] = ["ash", "birch", "cedar", "elm", "fir", "maple", "oak", "pine"];
const EVENTS: &[&str] = &["Deals.create"];
/// How long a channel lives that is not renewed.
const LIFE: Duration = Duration::from_secs(2 * 3600);
const LACKS: &str = "its secret cannot be read here";
const TIMEOUT: Duration = Duration::from_secs(30);
/// A beat lets a machine write for no longer.
const LEASH: Duration = Duration::from_secs(8);
