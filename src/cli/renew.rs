//! `renew`: a new life now, due or not.

use std::io::Write;

use clap::Args;

use crate::daemon::verbs::{self, Which};

use super::connect::{self, Use, Way};
use super::{Common, Exit, apply};

/// Renew channels now, due or not.
///
/// It also tries again at once what Zoho had refused.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RenewArgs {
    /// The channel; without it, or --account, every channel
    channel: Option<String>,
    /// Every channel of this account
    #[arg(long, value_name = "NAME", conflicts_with = "channel")]
    account: Option<String>,
}

pub(super) async fn run(
    args: RenewArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let which = Which { account: args.account, channel: args.channel };
    let applied = match connect::find(common, Use::Change).await? {
        Way::Daemon(daemon) => daemon.post("/renew", &which).await?,
        Way::Here(here) => {
            here.keep_desired()?;
            verbs::ask_renewal(&here.fleet, &here.store, &which, here.clock.now())?;
            apply::passes(&here, &which, "renew").await?
        }
        Way::BadConfig => return Ok(Exit::BadConfig),
    };
    apply::print(&applied, common, stdout)
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper renew deal-sync
  channelkeeper renew --account acme

Exit codes: 0 renewed; 1 failed, or something is left to do; 3 the config cannot be used.";
