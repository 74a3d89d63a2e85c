//! Renewals beside a recovery of many records, and as long again without one.
//!
//! Somebody asks for a stretch of one channel in which so many records were created. The daemon
//! reads them page by page, and hands them over to a receiver in this process. Both lengths are
//! played one after the other, by one daemon, so that their lateness can be compared. The account
//! that is read is the one whose renewal is due next, so that it falls into the reading.

use std::process::Command;

use anyhow::Context;
use channelkeeper::clock::{Clock, Pace};
use channelkeeper::model::channel::AccountName;
use channelkeeper::model::events::Operation;
use channelkeeper::model::time::{Timestamp, after, before};
use channelkeeper::plan::renewal::{Life, Phase};
use channelkeeper::simulator::Bulk;
use serde_json::Value;

use super::super::daemon::{Daemon, elapsed};
use super::super::figures::{Lateness, Measured, Shown};
use super::super::script::{Call, Renewals};
use super::{Bench, DAY, Duration, Mark, SETTLE};

impl Bench<'_> {
    /// Both, at a pace of their own: a receiver's time runs by the daemon's clock.
    pub(super) async fn beside(&mut self) -> anyhow::Result<()> {
        let (mut daemon, pace) = self.paced(SPEED).await?;
        let org = self.due_next().context("no account has a renewal to come")?;
        self.create_records(&org)?;
        let begun = elapsed(&self.world);
        let with = self.recovery(&mut daemon, pace, &org).await?;
        let length = elapsed(&self.world) - begun;
        let without = self.as_long_without(&mut daemon, pace, length).await?;
        for mut measured in [with.clone(), without.clone()] {
            measured.must(
                "no channel lapsed",
                self.world.with_left(Duration::ZERO) == self.world.total(),
            );
            if measured.phase == WITHOUT {
                for (what, of) in COMPARED {
                    let pair = (of(&with), of(&without));
                    measured.note(&format!("late by, beside it and without, {what}"), &pair);
                }
            }
            self.phases.push(measured);
        }
        daemon.stop()
    }

    async fn recovery(
        &mut self,
        daemon: &mut Daemon,
        pace: Pace,
        org: &str,
    ) -> anyhow::Result<Measured> {
        daemon.process.forget_peak()?;
        let mark = Mark::now(daemon, &self.world)?;
        let since = before(self.world.now(), STRETCH).to_string();
        let channel = format!("{org}/{org}-c0");
        self.verb(&["backfill", "--channel", &channel, "--since", &since]).await?;
        let recovered = self.until_it_is_over(daemon).await?;
        let calls = self.world.take_calls();
        let (records, calls): (Vec<Call>, Vec<Call>) = calls.into_iter().partition(is_of_records);
        let mut measured = self.measured(BESIDE, daemon, &mark, &calls)?;
        let (own, others): (Vec<Call>, Vec<Call>) =
            calls.into_iter().partition(|call| call.org == org);
        let own = self.lives.renewals(&own);
        let both = together(own.clone(), self.lives.renewals(&others));
        measured.lateness = Some(Lateness::of(&both, pace.speed));
        let most = Lateness::of(&own, pace.speed);
        measured.note("renewals of the account that is read", &most.due);
        measured.note("late by at most", &most.max);
        measured.note("calls for records", &records.len());
        measured.note("posts to the receiver", &self.world.posts());
        let taken = recovered["taken"].as_u64();
        measured.must("every record is handed over", taken == Some(self.args.backfill));
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
        measured.lateness = Some(Lateness::of(&self.lives.renewals(&calls), pace.speed));
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

    /// The account whose renewal comes first, but not at once.
    fn due_next(&self) -> Option<String> {
        let (now, zoho) = (self.world.now(), self.world.zoho());
        let due_of = |name: String| -> Option<(Timestamp, String)> {
            let phase = Phase::of(&name.parse::<AccountName>().ok()?);
            let lives = zoho.channels(&name, now).into_iter();
            let lives = lives.map(|channel| Life { length: DAY, expiry: channel.expiry });
            let due = lives.map(|life| life.due_at(None, phase)).min()?;
            (due >= after(now, SOON)).then_some((due, name))
        };
        self.world.names().filter_map(due_of).min().map(|(_, name)| name)
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

fn together(mut one: Renewals, other: Renewals) -> Renewals {
    one.late.extend(other.late);
    one.late.sort_unstable();
    Renewals { late: one.late, early: one.early + other.early }
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
/// Reading has begun by then.
const SOON: Duration = Duration::from_secs(600);
