//! `renew`: a new life now, due or not.

use std::io::Write;

use clap::Args;

use crate::daemon::requests::{RenewRequest, Which};
use crate::model::address::Address;

use super::{Common, Exit, apply, complete, connect};

/// Renew channels now, due or not.
///
/// It also tries at once the channels that Zoho had refused.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RenewArgs {
    /// The channel; without it, or --account, every channel
    #[arg(value_name = "[ACCOUNT/]CHANNEL", add = complete::channels())]
    channel: Option<Address>,
    /// Every channel of this account
    #[arg(long, value_name = "NAME", conflicts_with = "channel", add = complete::accounts())]
    account: Option<String>,
}

pub(super) async fn run(
    args: RenewArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let which = Which { account: args.account, channel: args.channel };
    let applied = connect::ask(common, RenewRequest(which)).await?;
    apply::print(&applied, common, stdout)
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper renew deal-sync
  channelkeeper renew --account acme

Exit codes: 0 renewed; 1 failed, or something is left to do; 3 the config cannot be used.";
