//! Renewals at twice the speed of the world, which is as close to its pace as a bench gets.
//!
//! Lives are a day long. So the clock leaps to shortly before the first renewal, and then shows two
//! minutes for each that passes. Audits and a storm of edits come meanwhile, and calls take as long
//! as `--rtt` says: lateness is what an operator would see, who has half as much to do.

use anyhow::Context;
use channelkeeper::model::time::span;

use super::super::daemon::elapsed;
use super::super::figures::Lateness;
use super::super::script::Call;
use super::{Bench, Duration, Mark};

impl Bench<'_> {
    /// Both, in their order. Whoever is measured next goes on from there.
    pub(super) async fn close(&mut self) -> anyhow::Result<()> {
        let first = self.lives_of_accounts().map(|(due, _)| due).min();
        let left = span(self.world.now(), first.context("no account has a channel")?);
        let (mut daemon, pace) = self.paced_after(left.saturating_sub(LEAD), SPEED).await?;
        daemon.process.forget_peak()?;
        let mark = Mark::now(&daemon, &self.world)?;
        self.wait(&mut daemon, "the end of the phase", |world, _| {
            elapsed(world) - mark.begun >= self.args.close
        })
        .await?;
        let calls = self.world.take_calls();
        let mut measured = self.measured("at twice the world's pace", &daemon, &mark, &calls)?;
        measured.lateness = Some(Lateness::of(&self.lives.renewals(&calls), pace.speed));
        let audits = audits(&calls, self.world.accounts);
        measured.note("audits of everything", &audits.len());
        let longest = audits.into_iter().max().unwrap_or_default();
        measured.note("the longest took", &(longest / pace.speed + self.args.rtt));
        measured.must("no channel lapsed", self.has_none_lapsed());
        self.phases.push(measured);
        self.storm(daemon, pace).await?.stop()
    }
}

/// The time from the first to the last answer of each audit, by the clock at its pace: looks at no
/// fewer accounts than these, with no pause between them.
fn audits(calls: &[Call], accounts: usize) -> Vec<Duration> {
    let looks = calls.iter().filter(|call| call.method == "GET");
    let mut runs: Vec<Vec<&Call>> = Vec::new();
    for look in looks {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| span(last.at, look.at) < PAUSE) => {
                run.push(look);
            }
            Some(_) | None => runs.push(vec![look]),
        }
    }
    let ends = |run: &Vec<&Call>| Some((run.len(), run.first()?.at, run.last()?.at));
    let whole = runs.iter().filter_map(ends).filter(|(looks, ..)| *looks >= accounts);
    whole.map(|(_, first, last)| span(first, last)).collect()
}

/// From one audit to the next it is longer.
const PAUSE: Duration = Duration::from_secs(5);
const SPEED: u32 = 2;
/// Before the first renewal, by that clock; a start takes some of it.
const LEAD: Duration = Duration::from_secs(120);
