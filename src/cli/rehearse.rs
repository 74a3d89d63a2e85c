//! `rehearse`: what the config in hand would do, and what it would survive.
//!
//! The real daemon's parts, from the scheduler to the alarm, with the declared accounts and
//! channels, against the simulator on virtual time, with trouble as asked for. It says what
//! happened, what was called, and what was not covered, which it has from the coverage ledger, as
//! `gaps` does. Records change meanwhile, and it says what became of each event that was missed.
//! The same config, arguments and seed print the same.
//!
//! A rehearsal deliberately does not ask Zoho or a running daemon, read the store, listen, or use a
//! secret. A simulated org knows nothing of what else is in the real one.

use std::io::Write;

use clap::Args;

use crate::config::{self, Surroundings};
use crate::model::desired::Desired;
use crate::model::time::Timestamp;

use super::connect::print_problems;
use super::{Common, Exit};

mod dice;
mod log;
mod outcome;
mod progress;
mod stage;
#[cfg(test)]
mod tests;
mod trouble;

use outcome::Rehearsal;
use progress::RehearsalProgress;
use stage::Script;
use trouble::{Blow, Outage, Trouble};

/// Play days of the config, with outages, at a simulated Zoho.
///
/// It says what would be covered and what would not, which calls that takes and which alarms come.
/// It runs the real planner and loop on a virtual clock, so fourteen days take seconds. It asks
/// neither Zoho nor a running daemon, and needs no secrets. Without an option for trouble, Zoho is
/// down for seven hours of the third night. Moments are counted from the beginning, day 1 00:00.
/// Records change all the time, so it says how many events would be missed. With [backfill] it says
/// how many of them would be recovered, and what that costs, if the token may read the modules.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RehearseArgs {
    /// How many days
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// The seed of chance: where in their lives the channels are, how long calls take, how Zoho is
    /// down
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Zoho is down, as in "day 3 01:00 for 7h"; may be repeated
    #[arg(long, value_name = "WHEN")]
    outage: Vec<Outage>,
    /// The refresh token is revoked, as in "day 5 00:00" (of every account) or "day 5 00:00 of
    /// acme"; may be repeated
    #[arg(long, value_name = "WHEN")]
    revoke_token: Vec<Blow>,
    /// Somebody puts a new refresh token in place; may be repeated
    #[arg(long, value_name = "WHEN")]
    restore_token: Vec<Blow>,
    /// Somebody takes an event from a channel at Zoho; may be repeated
    #[arg(long, value_name = "WHEN")]
    edit: Vec<Blow>,
    /// How many records of each watched module change in an hour
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u64).range(..=10_000))]
    changes: u64,
}

pub(super) async fn run(
    args: RehearseArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let loaded = config::load(&common.config, &Surroundings::of_process().fetching_no_secrets());
    print_problems(&loaded);
    let Some(desired) = loaded.desired else { return Ok(Exit::BadConfig) };
    // A runtime cannot wait for another one.
    let (days, progress) = (args.days, RehearsalProgress::default());
    let watched = progress.clone();
    let playing = tokio::task::spawn_blocking(move || args.rehearse(desired, watched));
    let rehearsal = progress.shown_until(playing, days, common).await??;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&rehearsal)?)?;
    } else {
        write!(stdout, "{}", rehearsal.to_text())?;
    }
    Ok(if rehearsal.is_covered() { Exit::Done } else { Exit::Failed })
}

impl RehearseArgs {
    fn rehearse(self, desired: Desired, progress: RehearsalProgress) -> anyhow::Result<Rehearsal> {
        let RehearseArgs { days, seed, outage, revoke_token, restore_token, edit, changes } = self;
        let asked = Trouble {
            outages: outage,
            revocations: revoke_token,
            restorations: restore_token,
            edits: edit,
        };
        let trouble = if asked.is_empty() { Trouble::usual(days) } else { asked };
        trouble.check(days, &desired.accounts.keys().collect::<Vec<_>>())?;
        let head = Rehearsal::beginning(&desired, days, seed, changes, &trouble);
        Ok(head.with(stage::play(Script { desired, days, seed, trouble, changes, progress })?))
    }
}

/// When the first day begins: a Monday.
const BEGINS: Timestamp = Timestamp::constant(1_767_571_200, 0);

const AFTER_HELP: &str = "\
Examples:
  channelkeeper -c config.toml rehearse
  channelkeeper -c config.toml rehearse --outage \"day 3 01:00 for 20h\" --seed 7
  channelkeeper -c config.toml rehearse --revoke-token \"day 5 00:00 of acme\" \\
    --restore-token \"day 6 09:00 of acme\"

Exit codes: 0 nothing would have lapsed; 1 something would not have been covered, or it failed; 3 the config cannot be used.";
