//! Deterministic simulation: a month of several accounts, with everything going wrong that can,
//! from one seed.
//!
//! One of the orgs is of CRM, the others of any product: [`schedule::products`].
//!
//! A seed makes a schedule: faults of Zoho's, hands that edit channels behind the daemon's back,
//! crashes, stops of the host, steps of its clock, edits of the config, other programs that use an
//! org's API credits. The real scheduler, passes, client and store run through it on virtual
//! time. After every hour the invariants are checked, and at the end, when Zoho has worked for a
//! while, that everything is as declared. The same seed gives the same trace, request by request.
//! In two seeds of three, records change all the while, and what was missed of them is handed over:
//! [`records`].
//!
//! Only these channels may lapse: one that a hand took away, until the audit after it; one that
//! Zoho kept from being renewed for longer than a life; one that the host was down for too long to
//! renew; one that has events of a module that Zoho refused; and one that was not declared at the
//! time.

#![allow(
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    reason = "test code, which the soak example has too, and of which it uses another part"
)]

pub mod records;
pub mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::product::Product;
use channelkeeper::model::secret::Fingerprint;
use channelkeeper::model::time::{Timestamp, after, before};
use channelkeeper::model::version::ApiVersion;
use channelkeeper::plan::render::PlanView;
use channelkeeper::plan::step::{Action, Reason, Step};
use channelkeeper::reconcile::outcome::Outcome;
use channelkeeper::simulator::{Channel, Fault, Hand, Knobs, Rule};

use crate::world::truth::check_ledger;
use crate::world::{AUDIT, Cut, World, pause, spec};

use records::Records;
pub use schedule::Rng;
use schedule::{Act, Schedule};

/// The result of a seed.
#[derive(Debug, Default)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// The laws that were broken, in words; none when all went well.
    pub violations: Vec<String>,
    /// Faults that were applied, by kind, and what else was done to the daemon.
    pub faults: BTreeMap<String, u64>,
    /// The products of its orgs.
    pub products: [Product; 3],
    /// Calls made.
    pub calls: u64,
    /// Over every request with its time and outcome.
    pub trace: Option<Fingerprint>,
    /// Missed changes of records, and what became of them.
    pub records: BTreeMap<String, u64>,
    /// Requests and acts, one line each.
    pub log: Vec<String>,
}

/// The faults that have a law of their own; every large run must have had each of them.
pub const TOLD_APART: [&str; 5] = schedule::TOLD_APART;
/// The orgs, each with an account of its name.
pub const ORGS: [&str; 3] = ["acme", "globex", "initech"];
/// How long a world is watched.
pub const LENGTH: Duration = Duration::from_secs(30 * 24 * 3600);
const STEP: Duration = Duration::from_secs(3600);
const LIFE: Duration = Duration::from_secs(24 * 3600);
/// Credits come back a day after they were used, and what waited for them is done within an hour.
const DAY_AND_A_BIT: Duration = Duration::from_secs(26 * 3600);
/// The excuse of a channel that lapses while Zoho fails, or because it did.
const ZOHO: &str = "a fault of Zoho's";
/// The excuse of a channel with events of a module that Zoho refuses.
const MODULE: &str = "a refused module";
/// Events that were refused are asked for again within this time.
const REFUSED_AGAIN: Duration = Duration::from_secs(8 * 3600);
/// The last day is quiet, so that everything must have come right by its end.
const QUIET: Duration = Duration::from_secs(36 * 3600);

/// Plays one seed, on a runtime of its own whose time is paused.
pub fn play(seed: u64, length: Duration) -> Run {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap();
    runtime.block_on(async {
        // tokio's timers tick in milliseconds from an instant of the real clock. Clocks that are
        // made on a tick stay on ticks, and two runs of one seed agree to the last digit.
        pause(Duration::from_millis(1)).await;
        Simulation::new(seed).run(length).await
    })
}

/// One seed at work.
struct Simulation {
    world: World,
    rng: Rng,
    run: Run,
    records: Option<Records>,
    /// Stretches in which a gap may begin or go on, of a channel or of all.
    excuses: Vec<Excuse>,
    foreign: BTreeMap<(String, i64), Channel>,
    retired: BTreeSet<(String, ChannelId)>,
    /// When a channel was last declared otherwise; its gaps before that are not its own.
    declared_at: BTreeMap<ChannelId, Timestamp>,
    names: u32,
    /// Orgs whose credits others have used up, and until when.
    poor: Vec<(&'static str, Timestamp)>,
    /// The fault that is under way, and how often it was applied before.
    under_way: Option<Counted>,
    /// Until when lives may be short, because Zoho refused longer ones.
    short_until: Option<Timestamp>,
    /// Calls refused for want of credits, as last counted.
    out_of_credits: BTreeMap<&'static str, u64>,
    /// Something happened that a look cannot tell from nothing: somebody took something away and a
    /// write without a look put it back; a lost reply was to a write with a shorter grant; a
    /// list left a live channel out.
    blurred: bool,
}

/// A fault that is counted by more than its kind.
struct Counted {
    word: &'static str,
    kind: String,
    before: u64,
}

/// A stretch of time in which a gap is not the daemon's doing.
#[derive(Clone, Debug)]
struct Excuse {
    channel: Option<ChannelId>,
    /// Only channels that declare events of this module.
    module: Option<String>,
    from: Timestamp,
    to: Timestamp,
    why: &'static str,
}

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut rng = Rng::new(seed);
        let products = schedule::products(seed);
        let records = Records::of(seed, products);
        let of_records = records.as_ref().map(Records::knobs).unwrap_or_default();
        let knobs = Knobs { records: of_records, ..schedule::knobs(&mut rng) };
        let mut world = World::new(knobs, &[]);
        let in_crm = [ApiVersion::V8, ApiVersion::V2, ApiVersion::V7];
        for ((name, product), in_crm) in ORGS.into_iter().zip(products).zip(in_crm) {
            let version = schedule::version(&mut rng, product, in_crm);
            world.add_org_on(product, version, name);
        }
        for name in records.iter().flat_map(|records| records.readable()) {
            let org = world.zoho().orgs().find(|org| org.name == *name).cloned().unwrap();
            world.zoho().add_org(org.reading());
        }
        // The config gives the credits of one account's org.
        world.account_mut("globex").account.policy.credits_per_day = Some(1_000);
        world.allow_credits("globex", 1_000);
        let run = Run { seed, products, ..Run::default() };
        Simulation {
            world,
            rng,
            run,
            records,
            excuses: Vec::new(),
            foreign: BTreeMap::new(),
            retired: BTreeSet::new(),
            declared_at: BTreeMap::new(),
            names: 0,
            poor: Vec::new(),
            under_way: None,
            short_until: None,
            out_of_credits: BTreeMap::new(),
            blurred: false,
        }
    }

    async fn run(mut self, length: Duration) -> Run {
        self.declare_all();
        let begins = self.world.now();
        let ends = after(begins, length);
        if let Some(records) = &mut self.records {
            records.settle(&mut self.world, ends);
        }
        self.world.start();
        self.world.audit().await;
        let span = (begins, before(ends, QUIET));
        let modules: BTreeSet<&str> = self
            .run
            .products
            .into_iter()
            .flat_map(|product| schedule::modules(product).0.iter().copied())
            .collect();
        let modules: Vec<&str> = modules.into_iter().collect();
        let schedule = Schedule::new(&mut self.rng, span, &modules);
        let mut acts = schedule.acts.into_iter().peekable();
        let mut check_at = after(begins, STEP);
        while self.world.now() < ends && self.run.violations.is_empty() {
            let next = acts.peek().map_or(check_at, |(at, _)| (*at).min(check_at));
            self.pass_time(channelkeeper::model::time::span(self.world.now(), next)).await;
            if next == check_at {
                self.check();
                check_at = after(check_at, STEP);
            } else if let Some((_, act)) = acts.next() {
                self.act(act).await;
            }
        }
        self.finish().await
    }

    /// Lets time pass, and records change meanwhile.
    async fn pass_time(&mut self, length: Duration) {
        let ends = after(self.world.now(), length);
        while let Some(records) = &mut self.records
            && records.next() < ends
        {
            let wait = channelkeeper::model::time::span(self.world.now(), records.next());
            self.world.pass_time(wait).await;
            records.change(&self.world);
        }
        let rest = channelkeeper::model::time::span(self.world.now(), ends);
        self.world.pass_time(rest).await;
    }

    fn declare_all(&mut self) {
        for account in ORGS {
            for _ in 0..self.rng.between(1, 5) {
                self.declare_one(account);
            }
        }
    }

    fn declare_one(&mut self, account: &str) {
        self.names += 1;
        let product = self.product_of(account);
        let events = schedule::events(&mut self.rng, product);
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        let spec = spec(account, &format!("c{}", self.names), &events);
        self.declared_at.insert(spec.id, self.world.now());
        self.declare_spec(account, spec);
    }

    fn declare_spec(&mut self, account: &str, spec: Spec) {
        let now = self.world.now();
        let spec = match &mut self.records {
            Some(records) => records.ruled(spec, now),
            None => spec,
        };
        self.world.declare_spec(account, spec);
    }

    fn product_of(&self, account: &str) -> Product {
        self.world.desired.accounts[&account.parse().unwrap()].account.product
    }

    async fn act(&mut self, act: Act) {
        *self.run.faults.entry(act.word().to_owned()).or_default() += 1;
        let now = self.world.now();
        self.world.note(format!("** {act:?}"));
        match act {
            Act::Fault(rule, until) => {
                let lacking = schedule::provokes(&rule).then(|| rule.clone());
                self.fault(rule, until);
                if let Some(lacking) = lacking {
                    self.provoke(&lacking).await;
                }
            }
            Act::FaultsEnd => {
                self.world.zoho().clear_faults();
                self.count_fault();
            }
            Act::Hand => self.hand(),
            Act::DeleteAll(org) => self.delete_all(org),
            Act::Foreign => self.foreign_channel(),
            Act::Crash(down) => {
                self.excuse_down(now, down);
                self.world.crash().await;
                self.pass_time(down).await;
                self.world.start();
            }
            Act::CutAndCrash(method, when) => self.cut_and_crash(method, when).await,
            Act::Stop(down) => {
                self.excuse_down(now, down);
                self.world.stop().await;
                self.pass_time(down).await;
                self.world.start();
            }
            Act::ClockStep(milliseconds) => self.world.host_clock.step(milliseconds),
            Act::ConfigEdit => self.edit_config().await,
            Act::Credits(org, left) => self.use_credits(org, left),
        }
    }

    /// Others use an org's credits. As long as they leave enough, and Zoho says so, the daemon must
    /// make do with the rest.
    fn use_credits(&mut self, org: &'static str, left: u64) {
        let now = self.world.now();
        let credits = self.world.zoho().credits_left(org, now).unwrap_or_default();
        self.world.hand(org, &Hand::LeaveCredits { credits: left });
        let is_told = self.product_of(org) != Product::Recruit
            || self.world.zoho().knobs().recruit_credits_header;
        if left.min(credits) < schedule::CREDITS_ENOUGH || !is_told {
            // A channel that lapses meanwhile is enabled again within minutes of their return; a
            // look is tried once an hour.
            self.poor.push((org, after(now, DAY_AND_A_BIT)));
            self.excuse(None, now, after(now, DAY_AND_A_BIT), "others used all credits");
        }
    }

    /// Credits that others left suffice: no call is refused for want of them.
    fn check_credits(&mut self) {
        let now = self.world.now();
        for org in ORGS {
            let refused =
                self.world.zoho().counters(org).map_or(0, |counters| counters.out_of_credits);
            let before = self.out_of_credits.insert(org, refused).unwrap_or_default();
            let is_poor = self.poor.iter().any(|(poor, until)| *poor == org && now < *until);
            if refused > before && !is_poor {
                self.violation(&format!(
                    "{org} was refused {} calls for want of credits",
                    refused - before
                ));
            }
        }
    }

    /// A fault that keeps a channel from being renewed for longer than its slack excuses what
    /// lapses under it, and a minute more. So does one of any length while channels live for an
    /// hour only.
    fn fault(&mut self, rule: Rule, until: Timestamp) {
        let now = self.world.now();
        let kind = rule.kind.name();
        let before = self.applied(&kind);
        self.under_way = schedule::told_apart(&rule).map(|word| Counted { word, kind, before });
        self.blurred |= rule.method.as_deref() == Some("GET")
            || matches!(rule.kind, Fault::ShortGrant | Fault::ItemMissing);
        if matches!(rule.kind, Fault::RefuseExpiry { .. }) {
            // It lapses nothing, but the lives that are asked for instead have less slack.
            self.short_until = Some(after(until, LIFE * 8)).max(self.short_until);
            self.world.zoho().add_fault(Rule { from: Some(now), until: Some(until), ..rule });
            return;
        }
        let long = channelkeeper::model::time::span(now, until) > LIFE / 8;
        if let Some(module) = schedule::module_of(&rule.kind) {
            // However long it lasts, no channel without this module may lapse.
            let (module, to) = (Some(module.to_owned()), after(until, REFUSED_AGAIN));
            self.excuses.push(Excuse { channel: None, module, from: now, to, why: MODULE });
        } else if long || schedule::hides_or_shortens(&rule.kind) || self.lives_may_be_short() {
            self.excuse(None, now, after(until, AUDIT + Duration::from_secs(120)), ZOHO);
        }
        self.world.zoho().add_fault(Rule { from: Some(now), until: Some(until), ..rule });
    }

    /// Makes a call due that a rule is about: a channel's token changes, or a channel is retired.
    async fn provoke(&mut self, rule: &Rule) {
        let is_of = |account: &str| rule.org.as_deref().is_none_or(|org| org == account);
        let mut declared = self.world.declared();
        declared.retain(|(account, _)| is_of(account));
        let Some((account, id)) = self.rng.pick(&declared).cloned() else { return };
        if rule.method.as_deref() == Some("PATCH") {
            let token = Some("not-ours".to_owned());
            if self.world.hand(&account, &Hand::SetToken { channel: id.number(), token }) {
                let now = self.world.now();
                self.excuse(Some(id), now, after(now, LIFE), "a hand");
            }
        } else if declared.iter().filter(|(of, _)| *of == account).count() > 1 {
            self.world.undeclare(&account, id);
            self.retired.insert((account, id));
            self.world.reload().await;
        }
    }

    fn applied(&self, kind: &str) -> u64 {
        self.world.zoho().faults_applied().get(kind).copied().unwrap_or_default()
    }

    /// The fault that was under way is over: how often did it happen?
    fn count_fault(&mut self) {
        let Some(Counted { word, kind, before }) = self.under_way.take() else { return };
        let times = self.applied(&kind) - before;
        if times > 0 {
            *self.run.faults.entry(word.to_owned()).or_default() += times;
        }
    }

    fn hand(&mut self) {
        let declared = self.world.declared();
        let Some((account, id)) = self.rng.pick(&declared).cloned() else { return };
        let now = self.world.now();
        let account_name = account.parse().unwrap();
        let spec = self.world.desired.accounts[&account_name].specs[&id].clone();
        let product = self.product_of(&account);
        let hand = schedule::hand(&mut self.rng, product, (id, &spec), now);
        if self.world.hand(&account, &hand) {
            // Seen by the audit after it, or by the one after that when a fault is in the way, and
            // contested after some repeats of the same.
            self.excuse(Some(id), now, after(now, LIFE), "a hand");
        }
    }

    /// Somebody deletes all that an org has, others' channels too.
    fn delete_all(&mut self, org: &'static str) {
        let now = self.world.now();
        self.world.hand(org, &Hand::DeleteAll);
        self.foreign.retain(|(of, _), _| of != org);
        for (account, id) in self.world.declared() {
            if account == org {
                self.excuse(Some(id), now, after(now, LIFE), "a hand");
            }
        }
    }

    fn foreign_channel(&mut self) {
        let account = ORGS[self.rng.between(0, 2) as usize];
        let channel = 900_000 + i64::from(self.names) + self.rng.between(0, 50) as i64;
        let now = self.world.now();
        let hand = Hand::Create {
            channel,
            events: vec![format!("{}.all", schedule::modules(self.product_of(account)).0[0])],
            notify_url: "https://somebody-else.example.com/".to_owned(),
            token: None,
            expiry: after(now, LIFE * 6),
        };
        if self.world.hand(account, &hand) {
            let made = self
                .world
                .zoho()
                .channels(account, now)
                .into_iter()
                .find(|made| made.id == channel)
                .cloned();
            made.into_iter().for_each(|made| {
                self.foreign.insert((account.to_owned(), channel), made);
            });
        }
    }

    async fn cut_and_crash(&mut self, method: &'static str, when: Cut) {
        self.world.cut_next(method, when);
        let now = self.world.now();
        // A write may not come by itself within this time; then the crash falls at a random
        // instant.
        for _ in 0..schedule::CUT_MAX.as_secs() / 60 {
            if self.world.is_cut() {
                break;
            }
            self.pass_time(Duration::from_secs(60)).await;
        }
        self.excuse_down(now, schedule::CUT_MAX);
        self.world.crash().await;
        self.world.start();
    }

    async fn edit_config(&mut self) {
        let declared = self.world.declared();
        let now = self.world.now();
        let chosen = self.rng.pick(&declared).cloned();
        match (self.rng.between(0, 3), chosen) {
            (0, Some((account, id)))
                if declared.iter().filter(|(of, _)| *of == account).count() > 1 =>
            {
                self.world.undeclare(&account, id);
                if let Some(records) = &mut self.records {
                    records.undeclare(id, now);
                }
                self.retired.insert((account, id));
            }
            (1, Some((account, id))) => {
                let name = account.parse().unwrap();
                let old = self.world.desired.accounts[&name].specs[&id].clone();
                let product = self.product_of(&account);
                let events = schedule::events(&mut self.rng, product);
                let events: Vec<&str> = events.iter().map(String::as_str).collect();
                let new = spec(&account, old.name.as_str(), &events);
                self.declare_spec(&account, new);
                self.declared_at.insert(id, now);
                self.excuse(Some(id), now, after(now, AUDIT), "another declaration");
            }
            (_, _) => {
                let account = ORGS[self.rng.between(0, 2) as usize];
                self.declare_one(account);
            }
        }
        let declared_anew: Vec<ChannelId> =
            self.declared_at.iter().filter(|(_, at)| **at == now).map(|(id, _)| *id).collect();
        for id in declared_anew {
            self.excuse(Some(id), now, after(now, AUDIT), "just declared");
        }
        if self.world.is_running() {
            self.world.reload().await;
        }
    }

    /// A host that is down, or a clock that is wrong, for a while excuses what ends meanwhile.
    fn excuse_down(&mut self, now: Timestamp, down: Duration) {
        if down > LIFE / 8 || self.lives_may_be_short() {
            self.excuse(
                None,
                now,
                after(now, down + Duration::from_secs(120)),
                "the host was down",
            );
        }
    }

    /// A life that Zoho granted under a fault of its own may end before a good reply made it
    /// longer: an hour has half an hour of slack.
    fn lives_may_be_short(&self) -> bool {
        let now = self.world.now();
        let are_refused = self.short_until.is_some_and(|until| now < until);
        are_refused
            || self
                .excuses
                .iter()
                .any(|excuse| excuse.why == ZOHO && excuse.from <= now && now < excuse.to)
    }

    fn excuse(
        &mut self,
        channel: Option<ChannelId>,
        from: Timestamp,
        to: Timestamp,
        why: &'static str,
    ) {
        self.excuses.push(Excuse { channel, module: None, from, to, why });
    }

    fn violation(&mut self, text: &str) {
        let when = self.world.now();
        self.run.violations.push(format!("{when}: {text}"));
    }

    fn check(&mut self) {
        self.check_coverage(self.world.now());
        self.check_foreign();
        self.check_reports();
        self.check_tokens();
        self.check_credits();
        self.check_ledger();
        self.excuses.retain(|excuse| after(excuse.to, LIFE * 2) > self.world.now());
    }

    fn check_coverage(&mut self, now: Timestamp) {
        for (account, id) in self.world.declared() {
            let spec = &self.world.desired.accounts[&account.parse().unwrap()].specs[&id];
            let has = |module: &String| !spec.events.of(module).is_empty();
            let excused = self.excuses.iter().any(|excuse| {
                excuse.channel.is_none_or(|channel| channel == id)
                    && excuse.module.as_ref().is_none_or(has)
                    && excuse.from <= now
                    && now < excuse.to
            });
            if !excused && !self.world.is_covered(&account, id, now) {
                let recent: Vec<String> = self
                    .excuses
                    .iter()
                    .rev()
                    .take(4)
                    .map(|excuse| format!("{} {}..{}", excuse.why, excuse.from, excuse.to))
                    .collect();
                self.violation(&format!(
                    "{account} {id} is not covered (lately: {})",
                    recent.join("; ")
                ));
            }
        }
    }

    fn check_foreign(&mut self) {
        let now = self.world.now();
        let mut broken = Vec::new();
        for ((account, id), made) in &self.foreign {
            if made.expiry <= now {
                continue;
            }
            let seen = self
                .world
                .zoho()
                .channels(account, now)
                .into_iter()
                .find(|seen| seen.id == *id)
                .cloned();
            if seen.as_ref().map(|seen| format!("{seen:?}")) != Some(format!("{made:?}")) {
                broken.push(format!("foreign channel {id} of {account} was touched: {seen:?}"));
            }
        }
        broken.iter().for_each(|text| self.violation(text));
    }

    /// After a pass in which everything was done, nothing is left; and nothing that is said holds a
    /// secret.
    fn check_reports(&mut self) {
        if !self.world.is_running() {
            return;
        }
        let reports: Vec<_> = std::mem::take(&mut *self.world.daemon().reports.lock().unwrap());
        for report in &reports {
            let clean = report.look_failed.is_none()
                && report.outcomes.iter().all(|(_, outcome)| matches!(outcome, Outcome::Done(_)));
            // A grant that was shorter than asked is asked for again: its pass leaves that step.
            // The events that an update leaves over are removed by the pass after it.
            let was_updated = |id| {
                let mut done = report.outcomes.iter();
                done.any(|(step, _)| step.id == id && matches!(step.action, Action::Update(_)))
            };
            // A channel of which events are refused is written again with others of them.
            let is_part_refused = |id| {
                let mut held = report.after.held.iter();
                held.any(|held| held.id == id && held.cause.word() == "part-refused")
            };
            let is_left = |step: &&Step| {
                let removes = matches!(step.action, Action::RemoveEvents(..));
                let writes = step.action.ask().is_some();
                step.reason != Reason::ShortGrant
                    && !(removes && was_updated(step.id))
                    && !((removes || writes) && is_part_refused(step.id))
            };
            let left = report.after.steps.iter().filter(is_left).count();
            if clean && left > 0 {
                self.violation(&format!(
                    "after a clean pass this is left: {}",
                    PlanView::of(&report.after).to_text()
                ));
            }
            // Printing a whole report takes longer than the pass did: every failure is read, and a
            // part of the rest.
            if clean && report.at.as_second() % 16 != 0 {
                continue;
            }
            let said = format!("{:?} {}", report, PlanView::of(&report.after).to_text());
            for secret in ["channel-token-", "1000.refresh-", "secret-"] {
                if said.contains(secret) {
                    self.violation(&format!(
                        "a report of {} holds a secret ({secret})",
                        report.account
                    ));
                }
            }
        }
        self.world.daemon().reports.lock().unwrap().extend(reports.last().cloned());
    }

    /// The ledger against the truth, unless this schedule has something that leaves no trace in
    /// what the daemon can see.
    fn check_ledger(&mut self) {
        if self.world.is_running()
            && !self.blurred
            && self.world.now().as_second() % (24 * 3600) < 3600
        {
            let wrong = check_ledger(&self.world);
            wrong.into_iter().take(3).for_each(|text| self.violation(&format!("ledger: {text}")));
        }
    }

    fn check_tokens(&mut self) {
        for account in ORGS {
            let throttled =
                self.world.zoho().counters(account).map(|counters| counters.token_outcomes.clone());
            let throttled = throttled
                .unwrap_or_default()
                .iter()
                .any(|(outcome, _)| outcome.contains("throttled"));
            if throttled && !self.run.faults.contains_key("token-throttled") {
                self.violation(&format!("{account} asked for more tokens than Zoho allows"));
            }
        }
    }

    /// A quiet day is over: everything is as declared, and what was retired is gone.
    async fn finish(mut self) -> Run {
        self.count_fault();
        if self.run.violations.is_empty() {
            self.excuses.clear();
            self.check_coverage(self.world.now());
            self.check_converged().await;
            self.check_records();
        }
        let zoho_faults = self.world.zoho().faults_applied().clone();
        for (kind, count) in zoho_faults {
            *self.run.faults.entry(format!("zoho: {kind}")).or_default() += count;
        }
        let calls = |account| {
            self.world
                .zoho()
                .counters(account)
                .map_or(0, channelkeeper::simulator::Counters::calls_total)
        };
        self.run.calls = ORGS.into_iter().map(calls).sum();
        let trace = self.world.trace();
        let lines: Vec<&str> = trace.iter().map(String::as_str).collect();
        self.run.trace = Some(Fingerprint::of(&lines));
        self.run.log = trace;
        self.world.crash().await;
        self.run
    }

    fn check_records(&mut self) {
        let Some(records) = &self.records else { return };
        let verdict = records.judge(&self.world, self.blurred);
        self.run.records = verdict.counts;
        verdict.broken.iter().for_each(|text| self.violation(text));
    }

    async fn check_converged(&mut self) {
        let writes =
            |world: &World| -> u64 { ORGS.iter().map(|account| world.writes(account)).sum() };
        self.world.audit().await;
        let before = writes(&self.world);
        self.world.audit().await;
        if writes(&self.world) != before {
            self.violation("an audit of a quiet world writes");
        }
        let now = self.world.now();
        let declared: BTreeSet<(String, ChannelId)> = self.world.declared().into_iter().collect();
        let retired: Vec<(String, ChannelId)> =
            self.retired.difference(&declared).cloned().collect();
        for (account, id) in retired {
            if self
                .world
                .zoho()
                .channels(&account, now)
                .iter()
                .any(|channel| channel.id == id.number())
            {
                self.violation(&format!("{account} {id} was retired and is still there"));
            }
        }
        let mut held = String::new();
        for account in ORGS {
            let report = self.world.report(account);
            if !report.after.steps.is_empty() || !report.after.held.is_empty() {
                write!(held, "{}", PlanView::of(&report.after).to_text()).unwrap();
            }
        }
        // A drift that was contested on the last busy day may still be held.
        if !held.is_empty() && !held.contains("contested") {
            self.violation(&format!("a quiet world is not settled: {held}"));
        }
    }
}
