//! The troubles of a site, one after the other, and what came of each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use channelkeeper::model::time::{Timestamp, after, span};
use rustix::process::Signal;

use super::heard::Moves;
use super::site::Site;
use crate::simulation::Rng;

/// One thing that befalls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A daemon is killed while a write of it is on the way to Zoho.
    Kill,
    /// A daemon stands still for half a minute, from a write on.
    Freeze,
    /// The same, and the write arrives only after that, though another declaration is in force.
    Late,
    /// The link between a daemon and etcd is cut.
    Cut,
    /// A daemon is killed together with the machine that leads etcd.
    Leader,
    /// All of etcd stands still for a minute.
    Outage,
    /// A daemon is stopped as an operator does it.
    Stop,
    /// All daemons are stopped and started again, one after the other.
    Roll,
    /// Any of these, for any time, with a node or two.
    Random,
}

/// The outcome of all of them.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    /// How long it took until the accounts were served again, by what befell their node.
    pub(super) taken_over: BTreeMap<Kind, Vec<Duration>>,
    /// How long Zoho was as a late write had left it.
    pub(super) mended: Vec<Duration>,
    /// The longest time that each account was without an owner while daemons were restarted.
    pub(super) bare: BTreeMap<String, Duration>,
    pub(super) rounds: usize,
    pub(super) writes: usize,
    pub(super) doubles: Vec<String>,
    pub(super) late: Vec<String>,
    pub(super) lapses: Vec<String>,
    pub(super) tokens_max: usize,
}

/// Plays trials at one site.
pub(super) struct Trials<'a> {
    pub(super) site: Site,
    pub(super) rng: &'a mut Rng,
    pub(super) outcomes: Outcomes,
    generation: u32,
    /// Writes that are late because a test let them be.
    made_late: Vec<Timestamp>,
}

impl<'a> Trials<'a> {
    pub(super) fn at(site: Site, rng: &'a mut Rng) -> Trials<'a> {
        let outcomes = Outcomes::default();
        Trials { site, rng, outcomes, generation: 0, made_late: Vec::new() }
    }

    /// Plays one, and waits until everything is as before.
    pub(super) fn play(&mut self, kind: Kind) {
        let node = self.any();
        let taken_over = match kind {
            Kind::Kill => Some(self.kill(node)),
            Kind::Freeze => Some(self.freeze(node, Duration::from_secs(30))),
            Kind::Late => Some(self.late(node)),
            Kind::Cut => Some(self.cut(node, Duration::from_secs(20))),
            Kind::Leader => Some(self.leader(node)),
            Kind::Stop => Some(self.stop(node)),
            Kind::Outage => {
                self.outage(Duration::from_secs(60));
                None
            }
            Kind::Roll => {
                self.roll();
                None
            }
            Kind::Random => {
                self.random(node);
                None
            }
        };
        self.site.settle();
        if let Some(taken_over) = taken_over {
            self.outcomes.taken_over.entry(kind).or_default().push(taken_over);
        }
        self.outcomes.rounds += 1;
    }

    /// The verdict at the end.
    #[expect(clippy::print_stdout, reason = "the figures say nothing of what led to them")]
    pub(super) fn judged(mut self) -> Outcomes {
        let verdict = self.site.verdict();
        for node in 0..self.site.nodes.len() {
            // So that what it said last is among what is printed.
            let _log = self.site.log(node);
        }
        let was_let =
            |line: &&String| self.made_late.iter().any(|at| line.contains(&at.to_string()));
        self.outcomes.late = verdict.late.iter().filter(|line| !was_let(line)).cloned().collect();
        self.outcomes.writes = verdict.writes;
        self.outcomes.doubles = verdict.doubles;
        self.outcomes.lapses = verdict.lapses;
        self.outcomes.tokens_max = verdict.tokens_max;
        let Outcomes { doubles, late, lapses, .. } = &self.outcomes;
        if [doubles, late, lapses].into_iter().any(|found| !found.is_empty()) {
            println!("{doubles:#?} {late:#?} {lapses:#?}\n{}", self.site.told());
        }
        self.outcomes
    }

    fn any(&mut self) -> usize {
        self.rng.between(0, self.site.nodes.len() as u64 - 1) as usize
    }

    fn kill(&mut self, node: usize) -> Duration {
        let accounts = self.site.owned(node);
        let caught = self.site.catch(node, Signal::KILL, false);
        let taken_over = self.site.taken_over(node, &accounts, caught.since());
        self.site.reap(node);
        self.site.start(node);
        taken_over
    }

    fn freeze(&mut self, node: usize, length: Duration) -> Duration {
        let accounts = self.site.owned(node);
        let caught = self.site.catch(node, Signal::STOP, false);
        let taken_over = self.site.taken_over(node, &accounts, caught.since());
        self.site.pause_until(caught.at, length);
        self.site.signal(node, Signal::CONT);
        taken_over
    }

    fn late(&mut self, node: usize) -> Duration {
        let accounts = self.site.owned(node);
        let caught = self.site.catch(node, Signal::STOP, true);
        self.generation += 1;
        let (account, generation) = (caught.account.clone(), self.generation);
        self.site.declare(generation);
        let taken_over = self.site.taken_over(node, &accounts, caught.since());
        let is_in_force = |site: &Site| site.has_url(&account, generation).then_some(());
        self.site.until("the new declaration is in force", is_in_force);
        self.site.pause_until(caught.at, Duration::from_secs(30));
        let late = self.site.let_arrive(node);
        assert!(!self.site.has_url(&account, generation), "a late write has no effect");
        self.made_late.push(late);
        self.site.signal(node, Signal::CONT);
        self.site.until("what a late write did is mended", is_in_force);
        let mended = self.site.now();
        self.outcomes.mended.push(span(late, mended));
        self.site.excuse(&account, caught.at, after(mended, Duration::from_secs(60)));
        taken_over
    }

    fn cut(&mut self, node: usize, length: Duration) -> Duration {
        let accounts = self.site.owned(node);
        let since = self.site.now();
        self.site.cut(node);
        let taken_over = self.site.taken_over(node, &accounts, (since, None));
        self.site.pause_until(since, length);
        self.site.mend(node);
        taken_over
    }

    fn leader(&mut self, node: usize) -> Duration {
        let accounts = self.site.owned(node);
        let leader = self.site.leader();
        let since = self.site.now();
        self.site.etcd.kill(leader);
        self.site.kill(node);
        let taken_over = self.site.taken_over(node, &accounts, (since, None));
        self.site.etcd.start_again(leader);
        self.site.start(node);
        taken_over
    }

    fn stop(&mut self, node: usize) -> Duration {
        let accounts = self.site.owned(node);
        let since = self.site.now();
        self.site.stop(node);
        let taken_over = self.site.taken_over(node, &accounts, (since, None));
        self.site.start(node);
        taken_over
    }

    /// Each gives its accounts away, and takes them again.
    fn roll(&mut self) {
        let since = self.site.now();
        for node in 0..self.site.nodes.len() {
            self.site.stop(node);
            self.site.start(node);
            self.site.settle();
        }
        for (account, Moves { all, longest }) in self.site.moves(since) {
            assert!(all >= 2, "{account} came and went: {all}");
            let known = self.outcomes.bare.entry(account).or_default();
            *known = longest.max(*known);
        }
    }

    /// Nobody loses anything, and nobody moves.
    fn outage(&mut self, length: Duration) {
        let machines = 0..self.site.etcd.endpoints().len();
        let since = self.site.now();
        machines.clone().for_each(|machine| self.site.etcd.stop(machine));
        self.site.pause_until(since, length);
        machines.for_each(|machine| self.site.etcd.go_on(machine));
        for node in 0..self.site.nodes.len() {
            let is_lost = |line: &String| line.contains("was taken for dead");
            let log = self.site.log(node);
            assert!(!log.iter().any(is_lost), "{}", log.join("\n"));
        }
    }

    fn random(&mut self, node: usize) {
        let length = Duration::from_millis(self.rng.between(500, 25_000));
        let since = self.site.now();
        match self.rng.between(1, 9) {
            1 => drop(self.kill(node)),
            2 => {
                self.site.kill(node);
                self.site.pause_until(since, length);
                self.site.start(node);
            }
            3 => {
                let caught = self.site.catch(node, Signal::STOP, false);
                self.site.pause_until(caught.at, length);
                self.site.signal(node, Signal::CONT);
            }
            4 => {
                self.site.signal(node, Signal::STOP);
                self.site.pause_until(since, length);
                self.site.signal(node, Signal::CONT);
            }
            5 => {
                self.site.cut(node);
                self.site.pause_until(since, length);
                self.site.mend(node);
            }
            6 => self.outage_in_passing(length),
            7 => self.stop_and_start(node, length),
            8 => self.two(node, length),
            _ => self.one_of_etcd(length),
        }
    }

    fn stop_and_start(&mut self, node: usize, length: Duration) {
        let since = self.site.now();
        self.site.stop(node);
        self.site.pause_until(since, length);
        self.site.start(node);
    }

    /// All of etcd, without a look at what became of it.
    fn outage_in_passing(&mut self, length: Duration) {
        let machines = 0..self.site.etcd.endpoints().len();
        let since = self.site.now();
        machines.clone().for_each(|machine| self.site.etcd.stop(machine));
        self.site.pause_until(since, length);
        machines.for_each(|machine| self.site.etcd.go_on(machine));
    }

    /// One node is cut off while another stands still or is killed.
    fn two(&mut self, node: usize, length: Duration) {
        let other = (node + 1) % self.site.nodes.len();
        let since = self.site.now();
        self.site.cut(node);
        if self.rng.between(0, 1) == 0 {
            self.site.signal(other, Signal::STOP);
            self.site.pause_until(since, length / 2);
            self.site.mend(node);
            self.site.pause_until(since, length);
            self.site.signal(other, Signal::CONT);
        } else {
            self.site.kill(other);
            self.site.pause_until(since, length / 2);
            self.site.start(other);
            self.site.pause_until(since, length);
            self.site.mend(node);
        }
    }

    /// A machine of etcd is killed; of three it is the one that leads.
    fn one_of_etcd(&mut self, length: Duration) {
        let leader = self.site.leader();
        let since = self.site.now();
        self.site.etcd.kill(leader);
        self.site.pause_until(since, length);
        self.site.etcd.start_again(leader);
    }
}

impl Outcomes {
    /// Takes in what came of others.
    pub(super) fn add(&mut self, others: Outcomes) {
        let Outcomes { taken_over, mended, bare, rounds, writes, doubles, late, .. } = others;
        let Outcomes { lapses, tokens_max, .. } = others;
        for (kind, lengths) in taken_over {
            self.taken_over.entry(kind).or_default().extend(lengths);
        }
        self.mended.extend(mended);
        for (account, longest) in bare {
            let known = self.bare.entry(account).or_default();
            *known = longest.max(*known);
        }
        self.rounds += rounds;
        self.writes += writes;
        self.doubles.extend(doubles);
        self.late.extend(late);
        self.lapses.extend(lapses);
        self.tokens_max = self.tokens_max.max(tokens_max);
    }
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcomes { rounds, writes, doubles, late, lapses, tokens_max, .. } = self;
        for (kind, lengths) in &self.taken_over {
            writeln!(f, "{kind:?}: served again after {}", figures(lengths))?;
        }
        writeln!(f, "Late: as declared again after {}", figures(&self.mended))?;
        let bare = self.bare.iter().map(|(account, longest)| format!("{account} {longest:.1?}"));
        writeln!(f, "Roll: without an owner {}", bare.collect::<Vec<_>>().join(", "))?;
        write!(
            f,
            "{rounds} rounds, {writes} writes: {} doubles, {} late writes, {} lapses; \
             at most {tokens_max} token fetches for one account in ten minutes",
            doubles.len(),
            late.len(),
            lapses.len()
        )
    }
}

fn figures(lengths: &[Duration]) -> String {
    let mut lengths = lengths.to_vec();
    lengths.sort_unstable();
    let median = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
    let worst = lengths.last().copied().unwrap_or_default();
    format!("{median:.1?} (median), {worst:.1?} (worst) of {}", lengths.len())
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Kind, String> {
        Ok(match word {
            "kill" => Kind::Kill,
            "freeze" => Kind::Freeze,
            "late" => Kind::Late,
            "cut" => Kind::Cut,
            "leader" => Kind::Leader,
            "outage" => Kind::Outage,
            "stop" => Kind::Stop,
            "roll" => Kind::Roll,
            "random" => Kind::Random,
            _ => return Err(format!("{word:?} is no kind of trial")),
        })
    }
}
