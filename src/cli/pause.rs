//! `pause` and `resume`: for a while nothing is written.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use crate::daemon::control::{PauseRequest, ResumeRequest};
use crate::daemon::verbs::{self, Applied, PauseView, Which};
use crate::model::time::{after, whole_seconds};
use crate::reconcile::report;

use super::connect::{self, Use, Way};
use super::{Common, Exit, apply};

/// Write nothing at Zoho for a while.
///
/// Neither renewals nor repairs, however urgent, for an account, a channel, or everything; looking
/// and reporting go on. It survives a restart, shows in `plan`, `status` and health, and ends by
/// itself. While it lasts a channel may lapse: what is printed says until when everything stays
/// covered.
#[derive(Clone, Debug, Args)]
#[command(after_help = PAUSE_HELP)]
pub(super) struct PauseArgs {
    /// The account or the channel; without it, everything
    #[arg(value_name = "ACCOUNT|CHANNEL")]
    target: Option<String>,
    /// For how long, at most 7d
    #[arg(long = "for", value_name = "LENGTH", default_value = "1h", value_parser = length)]
    length: Duration,
    /// Until `resume`, however long that takes
    #[arg(long, conflicts_with = "length")]
    until_resumed: bool,
}

/// End a pause.
///
/// That of an account ends with those of its channels. What waited is done at once.
#[derive(Clone, Debug, Args)]
#[command(after_help = RESUME_HELP)]
pub(super) struct ResumeArgs {
    /// The account or the channel; without it, everything
    #[arg(value_name = "ACCOUNT|CHANNEL")]
    target: Option<String>,
}

pub(super) async fn pause(
    args: PauseArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let PauseArgs { target, length, until_resumed } = args;
    let length = (!until_resumed).then_some(length);
    let paused: Vec<PauseView> = match connect::find(common, Use::Change).await? {
        Way::Daemon(daemon) => {
            let request = PauseRequest { target, seconds: length.map(|length| length.as_secs()) };
            daemon.post("/pause", &request).await?
        }
        Way::Here(here) => {
            here.keep_desired()?;
            let target = verbs::target(&here.fleet, target.as_deref())?;
            let now = here.clock.now();
            let until = length.map(|length| whole_seconds(after(now, length)));
            verbs::pause(&here.store, &target, now, until)?;
            let reports = target
                .accounts
                .values()
                .map(|subject| report::remembered(subject, &here.store, now));
            reports
                .map(|report| Ok(PauseView::of(&report?, &target, until)))
                .collect::<anyhow::Result<_>>()?
        }
        Way::BadConfig => return Ok(Exit::BadConfig),
    };
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
    let applied: Vec<Applied> = match connect::find(common, Use::Change).await? {
        Way::Daemon(daemon) => {
            daemon.post("/resume", &ResumeRequest { target: args.target }).await?
        }
        Way::Here(here) => {
            here.keep_desired()?;
            let target = verbs::target(&here.fleet, args.target.as_deref())?;
            verbs::resume(&here.store, &target)?;
            let mut applied = Vec::new();
            for account in target.accounts.keys() {
                let which = Which { account: Some(account.to_string()), channel: None };
                applied.extend(apply::passes(&here, &which, "resume").await?);
            }
            applied
        }
        Way::BadConfig => return Ok(Exit::BadConfig),
    };
    apply::print(&applied, common, stdout)
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

Exit codes: 0 resumed, and everything is as declared; 1 failed, or something is left to do; 3 the config cannot be used.";
