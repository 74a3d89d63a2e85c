//! The phases of a measurement, in their order.

mod beside;
mod close;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use channelkeeper::clock::{Clock, Pace};
use channelkeeper::model::time::{Timestamp, after, span};
use channelkeeper::simulator::{Fault, Hand, Rule};

use super::Args;
use super::baseline;
use super::daemon::{Daemon, elapsed};
use super::figures::{Figures, Lateness, Measured};
use super::process::Taken;
use super::script::{Call, Lives, by_method};
use super::world::{NEVER, NOTIFY_URL, Place, World};

/// Measures all phases at one size.
pub(crate) async fn measure(args: &Args) -> anyhow::Result<Figures> {
    let place = Place::new()?;
    let world = World::new(args, None).await?;
    let mut bench = Bench {
        args,
        place,
        world,
        lives: Lives::default(),
        phases: Vec::new(),
        scripts: Vec::new(),
    };
    bench.write_config(None)?;
    let daemon = bench.cold().await?;
    let daemon = bench.idle(daemon).await?;
    daemon.stop()?;
    bench.restart().await?.stop()?;
    if !args.close.is_zero() {
        bench.close().await?;
    }
    if args.days > 0 {
        let (mut daemon, mut pace) = bench.paced(args.speed).await?;
        daemon = bench.steady(daemon, pace).await?;
        if args.backfill > 0 {
            (daemon, pace) = bench.beside(daemon, pace).await?;
        }
        let daemon = bench.storm(daemon, pace).await?;
        bench.outage(daemon, pace).await?.stop()?;
    }
    bench.figures().await
}

struct Bench<'a> {
    args: &'a Args,
    place: Place,
    world: World,
    lives: Lives,
    phases: Vec<Measured>,
    /// The calls that the baseline sends.
    scripts: Vec<(&'static str, Vec<Call>)>,
}

/// The beginning of a phase.
struct Mark {
    begun: Duration,
    shown: Timestamp,
    taken: Taken,
    log: u64,
    jumps: u64,
}

impl Bench<'_> {
    /// From nothing to everything covered.
    async fn cold(&mut self) -> anyhow::Result<Daemon> {
        let mut daemon = Daemon::start(self.args, &self.world, &self.place, None)?;
        let mark = Mark::at_start(&daemon, &self.world);
        let total = self.world.total() as u64;
        self.wait(&mut daemon, "every channel to be created", |world, _| world.created() >= total)
            .await?;
        self.wait(&mut daemon, "every account to be looked at", |_, daemon| daemon.is_ready())
            .await?;
        let calls = self.world.take_calls();
        let mut measured = self.measured("cold start", &daemon, &mark, &calls)?;
        measured.floor_writes = Some(self.world.writes_once() as f64);
        measured.floor_reads = Some(self.world.accounts as f64);
        measured.must("every channel is created once", self.world.created() == total);
        measured.must("no write more than needed", measured.writes() == self.world.writes_once());
        self.keep("cold start", measured, calls);
        Ok(daemon)
    }

    /// Nothing is due, and nobody asks.
    async fn idle(&mut self, mut daemon: Daemon) -> anyhow::Result<Daemon> {
        self.world.clock.sleep(SETTLE).await;
        self.world.take_calls();
        daemon.process.forget_peak()?;
        let mark = Mark::now(&daemon, &self.world)?;
        self.world.clock.sleep(self.args.idle).await;
        daemon.check()?;
        let calls = self.world.take_calls();
        let mut measured = self.measured("idle", &daemon, &mark, &calls)?;
        measured.must("no call", calls.is_empty());
        self.keep("idle", measured, Vec::new());
        Ok(daemon)
    }

    /// With a full store.
    async fn restart(&mut self) -> anyhow::Result<Daemon> {
        let mut daemon = Daemon::start(self.args, &self.world, &self.place, None)?;
        let mark = Mark::at_start(&daemon, &self.world);
        self.wait(&mut daemon, "the first pass after the restart", |_, daemon| daemon.is_ready())
            .await?;
        let calls = self.world.take_calls();
        let mut measured = self.measured("restart", &daemon, &mark, &calls)?;
        let first = calls.iter().map(|call| call.at).min().unwrap_or(mark.shown);
        measured.note("first call after", &span(mark.shown, first));
        measured.floor_writes = Some(0.0);
        measured.floor_reads = Some(self.world.reads_once() as f64);
        measured.must("no write", measured.writes() == 0);
        measured.must("one look at each account", measured.reads() == self.world.reads_once());
        self.keep("restart", measured, calls);
        Ok(daemon)
    }

    /// Once more, on a clock at a pace; that is not measured.
    async fn paced(&mut self, speed: u32) -> anyhow::Result<(Daemon, Pace)> {
        self.paced_after(Duration::ZERO, speed).await
    }

    /// The same, with a clock that leaps ahead by this first.
    async fn paced_after(&mut self, leap: Duration, speed: u32) -> anyhow::Result<(Daemon, Pace)> {
        let pace = self.world.run_at(leap, speed);
        self.write_config(Some(pace))?;
        let mut daemon = Daemon::start(self.args, &self.world, &self.place, Some(pace))?;
        self.wait(&mut daemon, "the first pass at a pace", |_, daemon| daemon.is_ready()).await?;
        self.world.clock.sleep(SETTLE).await;
        let calls = self.world.take_calls();
        self.lives.renewals(&calls);
        Ok((daemon, pace))
    }

    /// Days in which nobody does anything.
    async fn steady(&mut self, mut daemon: Daemon, pace: Pace) -> anyhow::Result<Daemon> {
        daemon.process.forget_peak()?;
        let mark = Mark::now(&daemon, &self.world)?;
        let store = self.place.store_size();
        let length = DAY * self.args.days;
        self.world.clock.sleep(length / pace.speed).await;
        daemon.check()?;
        let calls = self.world.take_calls();
        let mut measured = self.measured("steady state", &daemon, &mark, &calls)?;
        let shown = measured.shown;
        let audits = shown.as_secs_f64()
            / audit_of(self.args.audit, pace).1.as_secs_f64()
            / f64::from(pace.speed);
        measured.floor_writes = Some(self.world.writes_for(shown));
        measured.floor_reads = Some(self.world.reads_once() as f64 * audits);
        measured.floor_tokens = Some(self.world.accounts as f64 * shown.as_secs_f64() / 3600.0);
        measured.lateness = Some(Lateness::of(&self.lives.renewals(&calls), pace.speed));
        measured.store_grown =
            Some(i64::try_from(self.place.store_size())? - i64::try_from(store)?);
        // At either end a renewal may or may not be within.
        let most = 1.05 * self.world.writes_for(shown) + self.world.writes_once() as f64;
        measured.must("writes at the floor", measured.writes() as f64 <= most);
        measured
            .must("no channel lapsed", self.world.with_left(Duration::ZERO) == self.world.total());
        self.keep("steady state", measured, calls);
        Ok(daemon)
    }

    /// A tenth of the channels are edited at once, and some others are about to end.
    async fn storm(&mut self, mut daemon: Daemon, pace: Pace) -> anyhow::Result<Daemon> {
        daemon.process.forget_peak()?;
        let (edited, ending) = self.edit();
        // A look that was answered before the edit has not seen it.
        let earlier = self.world.take_calls();
        self.lives.renewals(&earlier);
        let mark = Mark::now(&daemon, &self.world)?;
        let mut seen: Vec<Call> = Vec::new();
        let mut open: BTreeSet<i64> = edited.iter().chain(&ending).copied().collect();
        self.wait(&mut daemon, "the storm to be mended", |world, _| {
            let calls = world.take_calls();
            for (id, _) in calls.iter().filter(|call| call.is_good()).flat_map(Call::channels) {
                open.remove(&id);
            }
            seen.extend(calls);
            open.is_empty()
        })
        .await?;
        let mut measured = self.measured("drift storm", &daemon, &mark, &seen)?;
        let tenth = self.world.channels.div_ceil(EDITED_EVERY);
        let updates = tenth.div_ceil(BATCH) * self.world.accounts;
        measured.floor_writes = Some((updates + ending.len()) as f64);
        let patches = measured.calls.get("PATCH").copied().unwrap_or_default();
        // At a pace some of the edited channels fall due meanwhile, and are renewed and mended in
        // calls of their own.
        measured.must("drift is mended in batches", patches <= 2 * updates as u64);
        let broken = led_by_others(&seen, &ending);
        measured.must("an emergency is the first write after a look", broken.is_empty());
        broken.iter().for_each(|story| measured.note("another write came first at", story));
        measured.note(
            "the last emergency, after its account was looked at",
            &(waits(&seen, &ending) / pace.speed),
        );
        measured.note(
            "the last repair, after its account was looked at",
            &(waits(&seen, &edited) / pace.speed),
        );
        measured.lateness = Some(Lateness::of(&self.lives.renewals(&seen), pace.speed));
        self.keep("drift storm", measured, seen);
        Ok(daemon)
    }

    /// Points every tenth channel elsewhere, and shortens the life of one channel in every tenth
    /// account.
    fn edit(&self) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let (now, mut edited, mut ending) = (self.world.now(), BTreeSet::new(), BTreeSet::new());
        let mut zoho = self.world.zoho();
        for (place, name) in self.world.names().enumerate() {
            let ids: Vec<i64> =
                zoho.channels(&name, now).iter().map(|channel| channel.id).collect();
            let mut hand = |hand: Hand| zoho.hand(&name, &hand, now).expect("the channel is there");
            for channel in ids.iter().copied().step_by(EDITED_EVERY) {
                let notify_url = format!("{NOTIFY_URL}/elsewhere");
                hand(Hand::SetNotifyUrl { channel, notify_url });
                edited.insert(channel);
            }
            if place % ENDING_EVERY == 0
                && let Some(channel) = ids.get(1).copied()
            {
                hand(Hand::SetExpiry { channel, expiry: after(now, HOUR) });
                ending.insert(channel);
            }
        }
        (edited, ending)
    }

    /// Zoho is down for `--outage`, until everything has half a life again.
    async fn outage(&mut self, mut daemon: Daemon, pace: Pace) -> anyhow::Result<Daemon> {
        daemon.process.forget_peak()?;
        self.world.take_calls();
        let mark = Mark::now(&daemon, &self.world)?;
        self.world.zoho().add_fault(Rule::always(Fault::Unavailable));
        self.world.clock.sleep(self.args.outage / pace.speed).await;
        self.world.end_faults();
        let during = self.world.take_calls();
        let (back, back_at) = (elapsed(&self.world), self.world.now());
        let urgent = self.world.total() - self.world.with_left(DAY / 8);
        let lapsed = self.world.total() - self.world.with_left(Duration::ZERO);
        let mut last = None;
        self.wait(&mut daemon, "everything to be as before the outage", |world, _| {
            if last.is_none() && world.with_left(DAY / 8) == world.total() {
                last = Some(elapsed(world));
            }
            world.with_left(DAY / 2 - HOUR) == world.total()
        })
        .await?;
        let recovered = elapsed(&self.world);
        let calls = self.world.take_calls();
        let mut measured = self.measured("outage", &daemon, &mark, &calls)?;
        measured.note(
            "calls of each account in an hour of the outage",
            &(during.len() as f64 / self.world.accounts as f64 / hours(self.args.outage)),
        );
        measured.note("channels in their emergency when it ended", &urgent);
        measured.note("emergencies over after", &last.map(|last| last - back).unwrap_or_default());
        measured.note("everything renewed after", &(recovered - back));
        measured.note("by the clock at its pace", &span(back_at, self.world.now()));
        measured.must("no channel lapsed", lapsed == 0);
        self.lives.renewals(&calls);
        self.keep("outage", measured, Vec::new());
        Ok(daemon)
    }

    /// The figures, with those of the baseline.
    async fn figures(self) -> anyhow::Result<Figures> {
        let Bench { args, place, world, lives: _, mut phases, scripts } = self;
        let (accounts, channels) = (world.accounts, world.channels);
        drop(world);
        for raw in baseline::play(args, &scripts, &place.file("script")).await? {
            if let Some(measured) = phases.iter_mut().find(|measured| measured.phase == raw.phase) {
                measured.baseline = Some(raw);
            }
        }
        Ok(Figures { accounts, channels, phases })
    }

    fn write_config(&self, pace: Option<Pace>) -> anyhow::Result<()> {
        let audit = pace.map_or_else(|| NEVER.to_owned(), |pace| audit_of(self.args.audit, pace).0);
        self.world.write_config(&self.place, (&audit, self.args.passes_max))
    }

    /// Looks often enough to say when it came to pass.
    async fn wait(
        &self,
        daemon: &mut Daemon,
        what: &str,
        mut is_so: impl FnMut(&World, &Daemon) -> bool,
    ) -> anyhow::Result<()> {
        let begun = elapsed(&self.world);
        while !is_so(&self.world, daemon) {
            daemon.check()?;
            anyhow::ensure!(elapsed(&self.world) - begun < PATIENCE, "waited in vain for {what}");
            self.world.clock.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn measured(
        &self,
        phase: &str,
        daemon: &Daemon,
        mark: &Mark,
        calls: &[Call],
    ) -> anyhow::Result<Measured> {
        let process = daemon.process;
        Ok(Measured {
            phase: phase.to_owned(),
            real: elapsed(&self.world) - mark.begun,
            shown: span(mark.shown, self.world.now()),
            taken: process.taken()?.since(mark.taken),
            peak: process.peak()?,
            resident: process.resident()?,
            descriptors: daemon.descriptors,
            store: self.place.store_size(),
            log: daemon.said.bytes.load(Ordering::Relaxed) - mark.log,
            jumps: daemon.said.jumps.load(Ordering::Relaxed) - mark.jumps,
            calls: by_method(calls),
            ..Measured::default()
        })
    }

    fn keep(&mut self, phase: &'static str, measured: Measured, calls: Vec<Call>) {
        self.lives.renewals(&calls);
        self.phases.push(measured);
        if !calls.is_empty() {
            self.scripts.push((phase, calls));
        }
    }
}

impl Mark {
    /// Everything that a process took since it was started.
    fn at_start(daemon: &Daemon, world: &World) -> Mark {
        let shown = world.now();
        Mark { begun: daemon.begun, shown, taken: Taken::default(), log: 0, jumps: 0 }
    }

    fn now(daemon: &Daemon, world: &World) -> anyhow::Result<Mark> {
        Ok(Mark {
            begun: elapsed(world),
            shown: world.now(),
            taken: daemon.process.taken()?,
            log: daemon.said.bytes.load(Ordering::Relaxed),
            jumps: daemon.said.jumps.load(Ordering::Relaxed),
        })
    }
}

/// The cron expression of an audit by a clock at a pace, and what is from one to the next in real
/// time. The cron crate knows the world's clock only, by the second.
fn audit_of(every: Duration, pace: Pace) -> (String, Duration) {
    let seconds = (every.as_secs() / u64::from(pace.speed)).max(1);
    match seconds {
        1..60 => {
            // A divisor of a minute comes at even distances.
            let seconds = (seconds..=60).find(|seconds| 60 % seconds == 0).unwrap_or(60);
            (format!("*/{} * * * * *", seconds.min(59)), Duration::from_secs(seconds))
        }
        _ => {
            let minutes = (seconds / 60).min(30);
            let minutes = (minutes..=30).find(|minutes| 60 % minutes == 0).unwrap_or(30);
            (format!("0 */{minutes} * * * *"), Duration::from_secs(60 * minutes))
        }
    }
}

/// Accounts with one of these channels whose first write after a look was another one's, each with
/// its calls. A write that comes before the first look was planned before the edit, by a pass that
/// was under way: it is the pass's own, or has ended the emergency already.
fn led_by_others(calls: &[Call], ending: &BTreeSet<i64>) -> Vec<String> {
    let has = |call: &Call| call.channels().iter().any(|(id, _)| ending.contains(id));
    let mut by_org: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls.iter().filter(|call| !call.is_for_token()) {
        by_org.entry(&call.org).or_default().push(call);
    }
    by_org.retain(|_, calls| calls.iter().any(|call| has(call)));
    let is_led_by_another = |calls: &[&Call]| {
        let looked = calls.iter().position(|call| call.begins_look()).unwrap_or(calls.len());
        let (earlier, since) = calls.split_at(looked);
        let first = since.iter().find(|call| call.is_write());
        !earlier.iter().any(|call| has(call)) && !first.is_some_and(|first| has(first))
    };
    let broken = by_org.iter().filter(|(_, calls)| is_led_by_another(calls));
    broken.map(|(org, calls)| format!("{org}: {}", story(calls, ending))).collect()
}

/// Calls in a few words, those that are about one of these channels with a star.
fn story(calls: &[&Call], of: &BTreeSet<i64>) -> String {
    let word = |call: &&Call| {
        let channels = call.channels();
        let star = if channels.iter().any(|(id, _)| of.contains(id)) { "*" } else { "" };
        format!("{} {} of {}{star}", call.at, call.method, channels.len())
    };
    calls.iter().map(word).collect::<Vec<_>>().join(", ")
}

/// The longest from the first look at an account to the last write of these channels, by the clock
/// at its pace.
fn waits(calls: &[Call], of: &BTreeSet<i64>) -> Duration {
    let mut looked = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for call in calls.iter().filter(|call| !call.is_for_token()) {
        if call.method == "GET" {
            looked.entry(&call.org).or_insert(call.at);
        } else if call.channels().iter().any(|(id, _)| of.contains(id)) {
            longest = longest
                .max(looked.get(&call.org).map_or(Duration::ZERO, |looked| span(*looked, call.at)));
        }
    }
    longest
}

fn hours(length: Duration) -> f64 {
    length.as_secs_f64() / HOUR.as_secs_f64()
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A call that is under way when a phase ends is over after this.
const SETTLE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A phase that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(1800);
const EDITED_EVERY: usize = 10;
const ENDING_EVERY: usize = 10;
/// Channels in one write of v8.
const BATCH: usize = 50;
