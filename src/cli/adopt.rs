//! `adopt`: a declared channel that already exists at Zoho becomes ours.

use std::io::Write;

use clap::Args;

use crate::daemon::requests::AdoptRequest;
use crate::model::address::Address;

use super::{Common, Exit, apply, complete, connect};

/// Make a declared channel that already exists at Zoho ours.
///
/// Such a channel has another notify_url than the declared one, so it is held as a conflict. Once
/// it is adopted, it is repaired to what is declared.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct AdoptArgs {
    /// The channel
    #[arg(value_name = "[ACCOUNT/]CHANNEL", add = complete::channels())]
    channel: Address,
}

pub(super) async fn run(
    args: AdoptArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let applied = connect::ask(common, AdoptRequest { channel: args.channel }).await?;
    apply::print(&applied, common, stdout)
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper adopt deal-sync

Exit codes: 0 it is ours and as declared; 1 failed, or something is left to do; 3 the config cannot be used.";
