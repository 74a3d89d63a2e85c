//! Seeds: three machines, and everything that can happen to them.
//!
//! A seed makes a schedule of [`trouble`](super::trouble). The laws:
//!
//! - nobody but the owner that the engine names commits for an account, or writes for it at Zoho;
//! - no two machines may write for an account at one time, by their own leashes;
//! - what was sent without a stop arrives within its sender's deadline; a stop lets one call an
//!   account be late, and what that did is mended within 45 s;
//! - an account has an owner within 15 s while the engine is well and a machine is there;
//! - an account moves when its owner is lost, drains, or another came;
//! - at most ten tokens in ten minutes, whoever fetches them;
//! - a channel is as declared, unless nobody could see to it;
//! - no daemon ends by itself.
//!
//! Nearly everything in it is the same for the same seed. What remains is the order in which a
//! task takes what is ready at one instant, which tokio chooses.

use std::collections::BTreeMap;
use std::time::Duration;

use channelkeeper::clock::Clock;
use channelkeeper::engine::simulated::Kept;
use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::simulator::{Hand, Knobs};
use channelkeeper::testing;

use super::Sites;
use super::service::{AUDITED, JUST_DECLARED, Service, Weather};
use super::trouble::{self, Act};
use crate::simulation::Rng;
use crate::world::pause;

/// The result of a seed.
#[derive(Debug, Default)]
pub struct Run {
    pub seed: u64,
    /// The laws that were broken, in words.
    pub violations: Vec<String>,
    /// The troubles that happened, by kind.
    pub counts: BTreeMap<String, u64>,
    /// The longest time without an owner that nothing excused.
    pub longest: Duration,
    /// The troubles that happened, one line each.
    pub log: Vec<String>,
}

/// How long a seed is watched.
pub const LENGTH: Duration = Duration::from_secs(6 * 3600);

/// Plays one seed, on a runtime of its own whose time is paused.
pub fn play(seed: u64, length: Duration) -> Run {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        pause(Duration::from_millis(1)).await;
        Play::new(seed).run(length).await
    })
}

struct Play {
    seed: u64,
    rng: Rng,
    sites: Sites,
    service: Service,
    /// The troubles that end, and when.
    ends: Vec<(Duration, End)>,
    kept: Option<Kept>,
    /// How many troubles of each kind go on.
    troubled: BTreeMap<&'static str, u32>,
    hands: BTreeMap<ChannelId, u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Start(&'static str),
    Thaw(&'static str),
    Reach(&'static str),
    Hear(&'static str),
    Hasten(&'static str),
    Quorum,
    Room,
    Zoho,
    /// Commits of a machine may have been lost until here.
    Calm,
}

impl Play {
    fn new(seed: u64) -> Play {
        let mut rng = Rng::new(seed);
        let mut sites = Sites::new(Knobs::default(), LIFE);
        for name in ACCOUNTS {
            sites.add_account(name);
            for number in 0..rng.between(2, 5) {
                let events: &[&str] = rng.pick(&EVENTS).unwrap();
                sites.declare(name, &format!("c{number}"), events, LIFE);
            }
        }
        for name in MACHINES {
            let off = rng.between(0, 4000) as i64 - 2000;
            sites.add_machine(name, rng.between(985, 1015) as u32, off);
        }
        for name in MACHINES {
            sites.start(name);
        }
        let service = Service::new(&sites, LIFE);
        let (ends, kept) = (Vec::new(), None);
        let (troubled, hands) = (BTreeMap::new(), BTreeMap::new());
        Play { seed, rng, sites, service, ends, kept, troubled, hands }
    }

    async fn run(mut self, length: Duration) -> Run {
        self.passes(Duration::from_secs(40)).await;
        while self.sites.clock.boot() < length && self.is_whole() {
            let act = trouble::act(&mut self.rng, &MACHINES);
            self.act(act).await;
            let wait = trouble::pause(&mut self.rng);
            self.passes(wait).await;
        }
        self.finish().await
    }

    fn is_whole(&self) -> bool {
        self.sites.judge().broken.is_empty()
    }

    /// Lets time pass under the judge's eyes.
    async fn passes(&mut self, length: Duration) {
        let until = self.sites.clock.boot() + length;
        while self.sites.clock.boot() < until && self.is_whole() {
            let left = until.saturating_sub(self.sites.clock.boot());
            pause(left.min(LOOK_EVERY)).await;
            self.sprung();
            self.due().await;
            let weather = self.weather();
            self.sites.tell(weather);
            self.service.look(&self.sites, weather);
            self.see_the_daemons();
        }
    }

    fn weather(&self) -> Weather {
        let is_free = |of: &[&str]| !of.iter().any(|it| self.troubled.contains_key(it));
        Weather {
            engine_is_well: is_free(&["quorum", "room", "slow", "lost"]),
            zoho_is_well: is_free(&["zoho"]),
        }
    }

    /// Machines that stopped in a call.
    fn sprung(&mut self) {
        let now = self.sites.clock.boot();
        for name in MACHINES {
            let Some(process) = self.sites.process(name) else { continue };
            let sprung = process.way.sprung.lock().unwrap().take();
            if let Some(lasts) = sprung {
                self.ends.push((now + lasts, End::Thaw(name)));
                self.service.disturbed = now;
                self.sites.judge().count("froze in a call");
            }
        }
    }

    fn see_the_daemons(&mut self) {
        for name in MACHINES {
            let Some(process) = &mut self.sites.machine(name).process else { continue };
            if let Some(failure) = process.failure() {
                self.sites.judge().violation(&format!("{name} ended: {failure}"));
            }
        }
    }

    async fn due(&mut self) {
        let now = self.sites.clock.boot();
        let all = std::mem::take(&mut self.ends);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| *at <= now);
        self.ends = later;
        for (_, end) in due {
            self.end(end).await;
        }
    }

    async fn end(&mut self, end: End) {
        let now = self.sites.clock.boot();
        match end {
            End::Start(name) => {
                if self.sites.machine(name).has_ended() {
                    self.sites.start(name);
                } else if self.sites.process(name).is_none() {
                    self.ends.push((now + Duration::from_secs(1), end));
                    return;
                }
            }
            End::Thaw(name) => {
                self.sites.freeze(name, false);
                self.sites.catch_up(name).await;
            }
            End::Reach(name) => self.sites.cut(name, (Some(false), None)),
            End::Hear(name) => self.sites.cut(name, (None, Some(false))),
            End::Hasten(name) => {
                self.eased("slow");
                self.sites.slow(name, TRIP);
            }
            End::Quorum => {
                if self.eased("quorum") {
                    self.sites.engine.set_quorum(true);
                }
            }
            End::Room => {
                if self.eased("room") {
                    self.sites.engine.set_full(false);
                }
            }
            End::Zoho => {
                if self.eased("zoho") {
                    self.sites.zoho().clear_faults();
                }
            }
            End::Calm => drop(self.eased("lost")),
        }
        self.service.disturbed = now;
        self.sites.judge().note(&format!("** {end:?}"));
    }

    /// One of these is over. True when it was the last.
    fn eased(&mut self, what: &'static str) -> bool {
        let left = self.troubled.entry(what).or_default();
        *left = left.saturating_sub(1);
        let is_over = *left == 0;
        self.troubled.retain(|_, left| *left > 0);
        is_over
    }

    fn lasts(&mut self, length: Duration, what: Option<&'static str>, end: End) {
        if let Some(what) = what {
            *self.troubled.entry(what).or_default() += 1;
        }
        self.ends.push((self.sites.clock.boot() + length, end));
    }

    async fn act(&mut self, act: Act) {
        self.sites.judge().note(&format!("** {act:?}"));
        self.sites.judge().count(act.word());
        self.service.disturbed = self.sites.clock.boot();
        match act {
            Act::Kill(name, down) => {
                self.sites.kill(name).await;
                self.lasts(down, None, End::Start(name));
            }
            Act::Terminate(name, down) => {
                if !self.sites.is_frozen(name) {
                    self.sites.terminate(name);
                    self.lasts(down, None, End::Start(name));
                }
            }
            Act::Freeze(name, lasts) => {
                self.sites.freeze(name, true);
                self.lasts(lasts, None, End::Thaw(name));
            }
            Act::Trap(name, trap) => {
                if let Some(process) = self.sites.process(name) {
                    *process.way.trap.lock().unwrap() = Some(trap);
                }
            }
            Act::CutFromEngine(name, lasts) => {
                self.sites.cut(name, (Some(true), None));
                self.lasts(lasts, None, End::Reach(name));
            }
            Act::CutFromZoho(name, lasts) => {
                self.sites.cut(name, (None, Some(true)));
                self.lasts(lasts, None, End::Hear(name));
            }
            Act::Slow(name, delay, lasts) => {
                self.sites.slow(name, delay);
                self.lasts(lasts, Some("slow"), End::Hasten(name));
            }
            Act::Lost(name, fault, times) => {
                if let Some(process) = self.sites.process(name) {
                    (0..times).for_each(|_| process.handle.fault(fault));
                }
                self.lasts(LOST_FOR * times as u32, Some("lost"), End::Calm);
            }
            Act::Land => self.sites.engine.land(),
            Act::NoQuorum(lasts) => {
                self.sites.engine.set_quorum(false);
                self.lasts(lasts, Some("quorum"), End::Quorum);
            }
            Act::Full(lasts) => {
                self.sites.engine.set_full(true);
                self.lasts(lasts, Some("room"), End::Room);
            }
            Act::Compact => self.sites.engine.compact(),
            Act::Keep => self.kept = Some(self.sites.engine.keep()),
            Act::Restore => {
                if let Some(kept) = &self.kept {
                    self.sites.engine.restore(kept);
                    let entries = self.sites.engine.entries();
                    self.sites.judge().restored(&entries);
                }
            }
            Act::Zoho(rule, lasts) => {
                self.sites.zoho().add_fault(rule);
                self.lasts(lasts, Some("zoho"), End::Zoho);
            }
            Act::Hand => self.hand(),
            Act::Edit => self.edit().await,
        }
    }

    /// Somebody deletes a channel. After some repeats that is contested, so each is taken twice at
    /// most.
    fn hand(&mut self) {
        let declared = self.sites.declared();
        let (account, id) = self.rng.pick(&declared).unwrap().clone();
        let times = self.hands.entry(id).or_default();
        *times += 1;
        if *times > 2 {
            return;
        }
        let (now, boot) = (self.sites.clock.now(), self.sites.clock.boot());
        let hand = Hand::Delete { channel: id.number() };
        if self.sites.zoho().hand(&account, &hand, now).is_ok() {
            self.service.excuse((account, id), boot, AUDITED);
        }
    }

    async fn edit(&mut self) {
        let declared = self.sites.declared();
        let (account, id) = self.rng.pick(&declared).unwrap().clone();
        let events: &[&str] = self.rng.pick(&EVENTS).unwrap();
        let takes_out = self.rng.chance(25) && !self.service.has_stray(&account, &self.sites);
        let desired = self.sites.desired.accounts.get_mut(&account.parse().unwrap()).unwrap();
        let now = self.sites.clock.boot();
        if takes_out && desired.specs.len() > 3 {
            desired.specs.remove(&id);
            self.service.excuse((account, id), now, JUST_DECLARED);
        } else if takes_out || desired.specs.len() < 3 {
            let name = format!("c{}", self.rng.between(0, 6));
            self.sites.declare(&account, &name, events, LIFE);
            for channel in self.sites.declared().into_iter().filter(|it| it.0 == account) {
                self.service.excuse(channel, now, JUST_DECLARED);
            }
        } else {
            let spec = Spec { events: testing::events(events), ..(*desired.specs[&id]).clone() };
            desired.specs.insert(id, spec.into());
            self.service.excuse((account, id), now, JUST_DECLARED);
        }
        for name in MACHINES {
            self.sites.reload(name).await;
        }
    }

    /// Every trouble is over, and after a while everything is in order.
    async fn finish(mut self) -> Run {
        self.sites.judge().note("** everything is mended");
        if self.is_whole() {
            for name in MACHINES {
                if let Some(process) = self.sites.process(name) {
                    process.way.trap.lock().unwrap().take();
                }
            }
            for (_, end) in std::mem::take(&mut self.ends) {
                self.end(end).await;
            }
            self.passes(QUIET).await;
            self.is_settled();
        }
        for name in MACHINES {
            self.sites.freeze(name, false);
            self.sites.kill(name).await;
        }
        let mut judge = self.sites.judge();
        Run {
            seed: self.seed,
            violations: std::mem::take(&mut judge.broken),
            counts: std::mem::take(&mut judge.counts),
            longest: self.service.longest,
            log: std::mem::take(&mut judge.log),
        }
    }

    fn is_settled(&self) {
        let mut wrong = Vec::new();
        let mut held = Vec::new();
        for name in MACHINES {
            let Some(process) = self.sites.process(name) else {
                wrong.push(format!("{name} does not run"));
                continue;
            };
            let fleet = process.links.fleet.borrow().clone();
            held.extend(fleet.subjects.keys().map(ToString::to_string));
            let state = process.links.overview.borrow().cluster.clone();
            let is_active = state.as_ref().is_some_and(|state| {
                state.is_active && state.unreachable.is_none() && state.unowned.is_empty()
            });
            if !is_active {
                wrong.push(format!("{name} in a quiet world: {state:?}"));
            }
        }
        held.sort();
        if held != ACCOUNTS {
            wrong.push(format!("in a quiet world these are served: {held:?}"));
        }
        for (account, id) in self.sites.declared() {
            if !self.sites.is_as_declared(&account, id) {
                wrong.push(format!("in a quiet world {account} {id} is not as declared"));
            }
        }
        wrong.iter().for_each(|text| self.sites.judge().violation(text));
    }
}

pub const MACHINES: [&str; 3] = ["a", "b", "c"];
const ACCOUNTS: [&str; 6] = ["ash", "birch", "cedar", "elm", "fir", "maple"];
const EVENTS: [&[&str]; 4] = [
    &["Deals.create"],
    &["Deals.create", "Leads.edit"],
    &["Leads.all", "Contacts.create"],
    &["Contacts.delete", "Deals.create"],
];
/// How long a channel lives that is not renewed.
const LIFE: Duration = Duration::from_secs(2 * 3600);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A request to the engine, when nothing holds it up.
pub const TRIP: Duration = Duration::from_millis(3);
/// The time in which a lost commit is missed, and made up for.
const LOST_FOR: Duration = Duration::from_secs(6);
/// By then an audit has been and everything has come right.
const QUIET: Duration = Duration::from_secs(3600 + 300);
