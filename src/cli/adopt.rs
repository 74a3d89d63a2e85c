//! `adopt`: a declared channel that already exists at Zoho becomes ours.

use std::io::Write;

use clap::Args;

use crate::daemon::control::AdoptRequest;
use crate::daemon::verbs::{self, Which};

use super::connect::{self, Use, Way};
use super::{Common, Exit, apply};

/// Make a declared channel that already exists at Zoho ours.
///
/// It has another notify_url than the declared one, so it is held as a conflict until then. It is
/// then repaired to what is declared.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct AdoptArgs {
    /// The channel
    channel: String,
}

pub(super) async fn run(
    args: AdoptArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let applied = match connect::find(common, Use::Change).await? {
        Way::Daemon(daemon) => {
            daemon.post("/adopt", &AdoptRequest { channel: args.channel }).await?
        }
        Way::Here(here) => {
            here.keep_desired()?;
            verbs::adopt(&here.fleet, &here.store, &args.channel).await?;
            let which = Which { account: None, channel: Some(args.channel) };
            apply::passes(&here, &which, "adopt").await?
        }
        Way::BadConfig => return Ok(Exit::BadConfig),
    };
    apply::print(&applied, common, stdout)
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper adopt deal-sync

Exit codes: 0 it is ours and as declared; 1 failed, or something is left to do; 3 the config cannot be used.";
