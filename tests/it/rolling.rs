//! Machines that are restarted, updated and set back one by one while they renew: on virtual time,
//! over one simulated engine.
//!
//! A later release is played by daemons that read one layout more. What differs between the two
//! layouts is that the later one is named in each account's value.

#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use channelkeeper::clock::Clock;
use channelkeeper::expose::overview::ClusterState;
use channelkeeper::model::channel::AccountName;
use channelkeeper::model::cluster::Layouts;
use channelkeeper::model::time::{Timestamp, after};
use channelkeeper::simulator::Knobs;
use serde_json::Value;

use crate::sites::Sites;
use crate::world::pause;

#[tokio::test(start_paused = true)]
async fn machines_are_updated_one_by_one_under_renewals_and_the_layout_follows_in_ten_minutes() {
    let mut play = Play::of_release(EARLIER).await;
    for name in MACHINES {
        play.passes(LIFE / 3).await;
        play.restarts(name, LATER).await;
    }
    play.passes(MINUTE * 9).await;
    assert_eq!((play.gate(), play.layouts()), ("1".to_owned(), BTreeSet::from([1])));
    play.passes(MINUTE * 2).await;
    assert_eq!(play.gate(), "2");
    play.passes(LIFE).await;
    assert_eq!(play.layouts(), BTreeSet::from([2]), "each was renewed since");

    // Somebody puts the former release back on one of them.
    play.restarts("three", EARLIER).await;
    play.passes(LIFE).await;
    let state = play.state("three");
    assert!(!state.is_well && state.standing.ends_with("update it"), "{state:?}");
    assert_eq!(play.held("three"), BTreeSet::new());
    play.restarts("three", LATER).await;
    play.passes(MINUTE).await;
    assert!(!play.held("three").is_empty());
    play.judged(Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_release_beside_the_one_before_it_works_for_as_long_as_somebody_wants() {
    let mut play = Play::of_release(EARLIER).await;
    play.restarts("one", LATER).await;
    for _ in 0..2 {
        play.passes(LIFE).await;
        assert_eq!((play.gate(), play.layouts()), ("1".to_owned(), BTreeSet::from([1])));
        for name in MACHINES {
            assert!(!play.held(name).is_empty(), "{name}");
        }
    }
    // Accounts come to and fro between the two releases.
    play.restarts("two", LATER).await;
    play.passes(LIFE / 3).await;
    play.restarts("one", EARLIER).await;
    play.passes(LIFE).await;
    assert_eq!((play.gate(), play.layouts()), ("1".to_owned(), BTreeSet::from([1])));
    play.judged(Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_killed_while_others_are_updated_begins_no_ten_minutes_early() {
    let mut play = Play::of_release(EARLIER).await;
    play.restarts("one", LATER).await;
    play.restarts("two", LATER).await;
    play.sites.kill("three").await;
    play.passes(MINUTE * 9).await;
    play.sites.layouts = EARLIER;
    play.sites.start("three");
    play.passes(LIFE / 2).await;
    assert_eq!(play.gate(), "1");
    assert!(!play.held("three").is_empty());
    play.judged(Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn all_machines_are_restarted_one_after_the_other_and_no_account_is_without_one() {
    let mut play = Play::of_release(EARLIER).await;
    for name in MACHINES {
        play.restarts(name, EARLIER).await;
        play.passes(MINUTE).await;
    }
    play.passes(LIFE).await;
    play.judged(Duration::from_secs(3));
}

/// Three machines, and who may write for each account.
struct Play {
    sites: Sites,
    begun: Timestamp,
    /// Since when nobody may, and the longest that was so.
    bare: BTreeMap<AccountName, Duration>,
    longest: BTreeMap<AccountName, Duration>,
}

impl Play {
    async fn of_release(layouts: Layouts) -> Play {
        let mut sites = Sites::new(Knobs::default(), LIFE);
        sites.layouts = layouts;
        for name in ACCOUNTS {
            sites.add_account(name);
            for channel in ["deals", "leads"] {
                sites.declare(name, channel, &["Deals.create"], LIFE);
            }
        }
        for (number, name) in MACHINES.into_iter().enumerate() {
            sites.add_machine(name, 995 + 5 * number as u32, 0);
            sites.start(name);
        }
        pause(MINUTE).await;
        let begun = sites.clock.now();
        let mut play = Play { sites, begun, bare: BTreeMap::new(), longest: BTreeMap::new() };
        play.passes(Duration::from_secs(1)).await;
        for name in MACHINES {
            assert!(!play.held(name).is_empty(), "{name}");
        }
        play
    }

    /// Lets time pass, and looks who may write.
    async fn passes(&mut self, length: Duration) {
        let end = self.sites.clock.boot() + length;
        while self.sites.clock.boot() < end {
            pause(OFTEN).await;
            let now = self.sites.clock.boot();
            let judge = self.sites.judge.lock().unwrap();
            for name in self.sites.desired.accounts.keys() {
                let may = judge.processes.iter().filter(|it| it.is_alive);
                if may.filter(|it| !it.leash.left_for(name).is_zero()).count() == 1 {
                    self.bare.remove(name);
                    continue;
                }
                let since = *self.bare.entry(name.clone()).or_insert(now);
                let longest = self.longest.entry(name.clone()).or_default();
                *longest = (*longest).max(now - since);
            }
        }
    }

    /// As a package's upgrade does.
    async fn restarts(&mut self, name: &'static str, layouts: Layouts) {
        self.sites.terminate(name);
        while !self.sites.machine(name).has_ended() {
            self.passes(OFTEN).await;
        }
        self.sites.layouts = layouts;
        self.sites.start(name);
        self.passes(MINUTE).await;
    }

    /// The layout that everybody may write.
    fn gate(&self) -> String {
        let schema = self.entry(|key| key.ends_with("/meta/schema"));
        String::from_utf8(schema[0].clone()).unwrap()
    }

    /// The layouts that accounts name.
    fn layouts(&self) -> BTreeSet<u64> {
        let values = self.entry(|key| key.starts_with("channelkeeper/test/accounts/"));
        let layout = |value: &Vec<u8>| {
            let value: Value = serde_json::from_slice(value).unwrap();
            value.get("layout").map_or(1, |layout| layout.as_u64().unwrap())
        };
        values.iter().map(layout).collect()
    }

    fn entry(&self, is_it: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
        let entries = self.sites.engine.entries().into_iter();
        entries.filter(|entry| is_it(&entry.key)).map(|entry| entry.value).collect()
    }

    fn held(&self, name: &str) -> BTreeSet<AccountName> {
        let fleet = self.sites.process(name).unwrap().links.fleet.borrow().clone();
        fleet.subjects.keys().cloned().collect()
    }

    fn state(&self, name: &str) -> ClusterState {
        self.sites.process(name).unwrap().links.overview.borrow().cluster.clone().unwrap()
    }

    /// Nothing lapsed, nobody wrote what is another's, and no account was without a machine for
    /// longer than this.
    fn judged(&self, bare_max: Duration) {
        assert_eq!(self.sites.judge().broken, Vec::<String>::new());
        let longest = self.longest.iter().filter(|(_, bare)| **bare > bare_max);
        assert_eq!(longest.collect::<Vec<_>>(), []);
        let zoho = self.sites.zoho.lock().unwrap();
        for name in ACCOUNTS {
            let truth = zoho.truth(name);
            let mut at = self.begun;
            while at < self.sites.clock.now() {
                let covered = truth.iter().filter(|covered| covered.contains(at));
                let covered: BTreeSet<&str> = covered.map(|it| it.channel.as_str()).collect();
                assert_eq!(covered.len(), 2, "{name} at {at}");
                at = after(at, MINUTE);
            }
        }
    }
}

const ACCOUNTS: [&str; 10] =
    ["ash", "birch", "cedar", "elm", "fir", "hazel", "lime", "maple", "oak", "pine"];
const MACHINES: [&str; 3] = ["one", "two", "three"];
const EARLIER: Layouts = Layouts { oldest: 1, newest: 1 };
const LATER: Layouts = Layouts { oldest: 1, newest: 2 };
const LIFE: Duration = Duration::from_secs(25 * 60);
const MINUTE: Duration = Duration::from_secs(60);
const OFTEN: Duration = Duration::from_millis(250);
