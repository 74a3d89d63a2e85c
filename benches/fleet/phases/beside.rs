//! Renewals beside a recovery of many records, and as long again without one.
//!
//! Somebody asks for a stretch of one channel in which so many records were created. The daemon
//! reads them page by page, and hands them over to a receiver in this process. Both lengths are
//! played in one run, on one store, and begin as long before the renewals of the fleet, so that
//! their lateness can be compared. The account that is read is the one whose renewal is due first.

use std::process::Command;

use anyhow::Context;
use channelkeeper::clock::{Clock, Pace};
use channelkeeper::model::channel::AccountName;
use channelkeeper::model::events::Operation;
use channelkeeper::model::time::{Timestamp, after, before, span};
use channelkeeper::plan::renewal::{Life, Phase};
use channelkeeper::simulator::Bulk;
use serde_json::Value;

use super::super::daemon::{Daemon, elapsed};
use super::super::figures::{Lateness, Measured, Shown};
use super::super::script::{Call, Renewals};
use super::{Bench, DAY, Duration, Mark, SETTLE};

impl Bench<'_> {
    /// Both, at a pace of their own: a receiver's time runs by the daemon's clock. Gives the daemon
    /// back as it came.
    pub(super) async fn beside(
        &mut self,
        daemon: Daemon,
        pace: Pace,
    ) -> anyhow::Result<(Daemon, Pace)> {
        let (mut daemon, slow) = self.close_to_renewals(daemon, pace).await?;
        let (org, due) = self.due_next().context("no account has a renewal to come")?;
        self.create_records(&org)?;
        let begun = elapsed(&self.world);
        let with = self.recovery(&mut daemon, slow, (&org, due)).await?;
        let length = elapsed(&self.world) - begun;
        daemon.stop()?;
        let (daemon, pace) = self.paced(self.args.speed).await?;
        let (mut daemon, slow) = self.close_to_renewals(daemon, pace).await?;
        let mut without = self.as_long_without(&mut daemon, slow, length).await?;
        daemon.stop()?;
        for (what, of) in COMPARED {
            let pair = (of(&with), of(&without));
            without.note(&format!("late by, beside it and without, {what}"), &pair);
        }
        self.phases.extend([with, without]);
        self.paced(self.args.speed).await
    }

    /// The same fleet at [`SPEED`], shortly before its renewals begin.
    async fn close_to_renewals(
        &mut self,
        mut daemon: Daemon,
        pace: Pace,
    ) -> anyhow::Result<(Daemon, Pace)> {
        loop {
            daemon.check()?;
            let first = self.lives_of_accounts().map(|(due, _)| due).min();
            let left = span(self.world.now(), first.context("no account has a channel")?);
            let is_before = left > LEAD;
            let wait = if is_before { left - LEAD } else { SOON };
            self.world.clock.sleep(wait / pace.speed).await;
            if is_before {
                break;
            }
        }
        daemon.stop()?;
        self.paced(SPEED).await
    }

    async fn recovery(
        &mut self,
        daemon: &mut Daemon,
        pace: Pace,
        (org, due): (&str, Timestamp),
    ) -> anyhow::Result<Measured> {
        daemon.process.forget_peak()?;
        let mark = Mark::now(daemon, &self.world)?;
        let since = before(self.world.now(), STRETCH).to_string();
        let channel = format!("{org}/{org}-c0");
        self.verb(&["backfill", "--channel", &channel, "--since", &since]).await?;
        let recovered = self.until_it_is_over(daemon).await?;
        let took = elapsed(&self.world) - mark.begun;
        // A small one is over before any renewal is due.
        let rest = span(self.world.now(), after(due, SOON));
        self.world.clock.sleep(rest / pace.speed).await;
        let calls = self.world.take_calls();
        let (records, calls): (Vec<Call>, Vec<Call>) = calls.into_iter().partition(is_of_records);
        let mut measured = self.measured(BESIDE, daemon, &mark, &calls)?;
        let (own, others): (Vec<Call>, Vec<Call>) =
            calls.into_iter().partition(|call| call.org == org);
        let own = self.lives.renewals(&own);
        let others = self.lives.renewals(&others);
        measured.lateness = Some(lateness([own.clone(), others], pace));
        let most = lateness([own], pace);
        measured.note("renewals of the account that is read", &most.due);
        measured.note("late by at most", &most.max);
        measured.note("everything handed over after", &took);
        measured.note("calls for records", &records.len());
        measured.note("posts to the receiver", &self.world.posts());
        let taken = recovered["taken"].as_u64();
        measured.must("every record is handed over", taken == Some(self.args.backfill));
        measured.must("no channel lapsed", self.has_none_lapsed());
        Ok(measured)
    }

    async fn as_long_without(
        &mut self,
        daemon: &mut Daemon,
        pace: Pace,
        length: Duration,
    ) -> anyhow::Result<Measured> {
        daemon.process.forget_peak()?;
        let mark = Mark::now(daemon, &self.world)?;
        self.world.clock.sleep(length).await;
        daemon.check()?;
        let calls = self.world.take_calls();
        let mut measured = self.measured(WITHOUT, daemon, &mark, &calls)?;
        measured.lateness = Some(lateness([self.lives.renewals(&calls)], pace));
        measured.must("no channel lapsed", self.has_none_lapsed());
        Ok(measured)
    }

    /// Waits until the recovery is over, which a person has to release when it is large.
    async fn until_it_is_over(&self, daemon: &mut Daemon) -> anyhow::Result<Value> {
        let begun = elapsed(&self.world);
        loop {
            daemon.check()?;
            anyhow::ensure!(elapsed(&self.world) - begun < super::PATIENCE, "it is never over");
            let listed = self.verb(&["backfill", "--json"]).await?;
            let recoveries: Value = serde_json::from_str(&listed)?;
            let recovery = recoveries[0].clone();
            match (recovery["state"].as_str(), recovery["id"].as_str()) {
                (Some("done"), _) => return Ok(recovery),
                (Some("held"), Some(id)) => {
                    self.verb(&["backfill", "release", id]).await?;
                }
                (Some("reading" | "handing-over"), _) | (None, _) => {}
                (Some(state), _) => anyhow::bail!("it is {state}: {recovery}"),
            }
            self.world.clock.sleep(SETTLE / 4).await;
        }
    }

    /// Runs a verb against the daemon, and gives what it prints.
    async fn verb(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.args.binary);
        command.arg("--config").arg(self.place.file("config.toml"));
        command.arg("--state-dir").arg(self.place.file("state")).args(args);
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "{said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    pub(super) fn has_none_lapsed(&self) -> bool {
        self.world.with_left(Duration::ZERO) == self.world.total()
    }

    /// The account whose renewal comes first, but not at once.
    fn due_next(&self) -> Option<(String, Timestamp)> {
        let from = after(self.world.now(), SOON);
        let to_come = self.lives_of_accounts().filter(|(due, _)| *due >= from);
        to_come.min().map(|(due, name)| (name, due))
    }

    /// When the first renewal of each account is due.
    pub(super) fn lives_of_accounts(&self) -> impl Iterator<Item = (Timestamp, String)> {
        let (now, zoho) = (self.world.now(), self.world.zoho());
        self.world.names().filter_map(move |name| {
            let phase = Phase::of(&name.parse::<AccountName>().ok()?);
            let lives = zoho.channels(&name, now).into_iter();
            let lives = lives.map(|channel| Life { length: DAY, expiry: channel.expiry });
            Some((lives.map(|life| life.due_at(None, phase)).min()?, name))
        })
    }

    fn create_records(&self, org: &str) -> anyhow::Result<()> {
        let now = self.world.now();
        let bulk = Bulk {
            module: "Deals".to_owned(),
            operation: Operation::Create,
            count: self.args.backfill,
            first: None,
            from: before(now, STRETCH / 2),
            to: now,
            values: Default::default(),
        };
        self.world.zoho().bulk(org, &bulk, now)?;
        Ok(())
    }
}

fn is_of_records(call: &Call) -> bool {
    !call.is_for_token() && !call.path.ends_with("/actions/watch")
}

/// The lateness of all of them. One that came a moment early was not late.
fn lateness<const N: usize>(all: [Renewals; N], pace: Pace) -> Lateness {
    let early = all.iter().map(|renewals| renewals.early).sum::<u64>();
    let on_time = (0..early).map(|_| Duration::ZERO);
    let mut late: Vec<Duration> = on_time.collect();
    late.extend(all.into_iter().flat_map(|renewals| renewals.late));
    late.sort_unstable();
    Lateness::of(&Renewals { late, early: 0 }, pace.speed)
}

/// A figure of a phase.
type Figure = fn(&Measured) -> Duration;

const COMPARED: [(&str, Figure); 3] = [
    ("p50", |measured| measured.lateness.unwrap_or_default().p50),
    ("p99", |measured| measured.lateness.unwrap_or_default().p99),
    ("max", |measured| measured.lateness.unwrap_or_default().max),
];

impl Shown for (Duration, Duration) {
    fn shown(&self) -> String {
        let (with, without) = self;
        let ratio = with.as_secs_f64() / without.as_secs_f64().max(f64::EPSILON);
        let ratio = if without.is_zero() { String::new() } else { format!(" = {ratio:.2} times") };
        format!("{} / {}{ratio}", with.shown(), without.shown())
    }
}

const BESIDE: &str = "renewals beside a recovery";
const WITHOUT: &str = "as long without a recovery";
/// How many times as fast as the world the clock runs: a receiver has ten seconds of it to answer.
const SPEED: u32 = 240;
/// The stretch that is asked for; records were created in its second half.
const STRETCH: Duration = Duration::from_secs(20 * 24 * 3600);
/// Before the first renewal; a restart takes some of it.
const LEAD: Duration = Duration::from_secs(1800);
/// Reading has begun by then.
const SOON: Duration = Duration::from_secs(300);
