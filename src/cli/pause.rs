//! `pause` and `resume`: for a while nothing is written.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use crate::daemon::requests::{PauseRequest, ResumeRequest};
use crate::model::address::Address;

use super::{Common, Exit, apply, complete, connect};

/// Write nothing at Zoho for a while.
///
/// No renewal and no repair is sent, however urgent, for an account, a channel, or everything. The
/// daemon goes on looking and reporting. The pause survives a restart, shows in `plan`, `status`
/// and health, and ends by itself. While it lasts a channel may lapse: the output says until when
/// everything stays covered.
#[derive(Clone, Debug, Args)]
#[command(after_help = PAUSE_HELP)]
pub(super) struct PauseArgs {
    /// The account or the channel; without it, everything
    #[arg(value_name = "ACCOUNT|[ACCOUNT/]CHANNEL", add = complete::targets())]
    target: Option<Address>,
    /// For how long, at most 7d
    #[arg(long = "for", value_name = "LENGTH", default_value = "1h", value_parser = length)]
    length: Duration,
    /// Until `resume`, however long that takes
    #[arg(long, conflicts_with = "length")]
    until_resumed: bool,
}

/// End a pause.
///
/// The pause of an account ends together with those of its channels. The steps that waited are
/// taken at once.
#[derive(Clone, Debug, Args)]
#[command(after_help = RESUME_HELP)]
pub(super) struct ResumeArgs {
    /// The account or the channel; without it, everything
    #[arg(value_name = "ACCOUNT|[ACCOUNT/]CHANNEL", add = complete::targets())]
    target: Option<Address>,
}

pub(super) async fn pause(
    args: PauseArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let PauseArgs { target, length, until_resumed } = args;
    let seconds = (!until_resumed).then_some(length.as_secs());
    let paused = connect::ask(common, PauseRequest { target, seconds }).await?;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&paused)?)?;
    } else {
        for paused in &paused {
            write!(stdout, "{}", paused.to_text())?;
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn resume(
    args: ResumeArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let resumed = connect::ask(common, ResumeRequest { target: args.target }).await?;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&resumed)?)?;
    } else {
        write!(stdout, "{}", resumed.to_text())?;
    }
    Ok(apply::exit(&resumed.applied))
}

fn length(text: &str) -> Result<Duration, String> {
    let length = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    let bounds = Duration::from_secs(1)..=LENGTH_MAX;
    let help = "from 1s to 7d; for longer there is --until-resumed";
    if bounds.contains(&length) { Ok(length) } else { Err(help.to_owned()) }
}

/// A pause that ends by itself is forgotten by nobody for longer than this.
const LENGTH_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const PAUSE_HELP: &str = "\
Examples:
  channelkeeper pause acme --for 2h
  channelkeeper pause deal-sync --until-resumed

Exit codes: 0 paused; 1 failed, or there is nothing of that name; 3 the config cannot be used.";
const RESUME_HELP: &str = "\
Examples:
  channelkeeper resume acme

Exit codes: 0 resumed, and everything is as declared, or nothing was paused; 1 failed, or something is left to do; 3 the config cannot be used.";
