//! `apply`: do it now.

use std::io::Write;

use clap::Args;

use crate::daemon::requests::{ApplyRequest, Which};
use crate::daemon::views::Applied;

use super::plan::PlanArgs;
use super::{Common, Exit, complete, connect};

/// Do now what the config asks for.
///
/// A running daemon reloads its config and does it. With --plan, the plan is made anew and compared
/// first; where it is another one by now, nothing is written and the config is not reloaded.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ApplyArgs {
    /// Only this account
    #[arg(long, value_name = "NAME", add = complete::accounts())]
    account: Option<String>,
    /// Disable also what the removal guard holds: everything, or more than a third of an account's
    /// channels
    #[arg(long)]
    allow_removals: bool,
    /// Enable the declared channels also where all running ones are gone at once and another org
    /// may answer
    #[arg(long)]
    accept_vanished: bool,
    /// Where several machines share the config: put this file in force on all of them although a
    /// later one has followed it
    #[arg(long)]
    rollback: bool,
    /// Only show what would be done, as `plan` does, with its exit code; write nothing
    #[arg(long, conflicts_with_all = ["allow_removals", "accept_vanished", "rollback", "plan"])]
    dry_run: bool,
    /// Only if the plan made now has this checksum, which `plan` printed; else nothing is written
    #[arg(long, value_name = "CHECKSUM", conflicts_with_all = ["allow_removals", "accept_vanished"])]
    plan: Option<String>,
}

pub(super) async fn run(
    args: ApplyArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let ApplyArgs { account, allow_removals, accept_vanished, rollback, dry_run, plan } = args;
    if dry_run {
        return super::plan::run(PlanArgs { account }, common, stdout).await;
    }
    let which = Which { account, channel: None };
    let request = ApplyRequest { which, allow_removals, accept_vanished, rollback, plan };
    let applied = connect::ask(common, request).await?;
    print(&applied, common, stdout)
}

pub(super) fn print(
    applied: &[Applied],
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(applied)?)?;
    } else {
        for applied in applied {
            write!(stdout, "{}", applied.to_text())?;
        }
    }
    Ok(exit(applied))
}

/// The exit code: done when every account is settled.
pub(super) fn exit(applied: &[Applied]) -> Exit {
    if applied.iter().all(Applied::is_settled) { Exit::Done } else { Exit::Failed }
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper apply
  channelkeeper apply --dry-run               # the same as channelkeeper plan
  channelkeeper apply --account acme
  channelkeeper apply --allow-removals
  channelkeeper apply --accept-vanished --account acme
  channelkeeper apply --rollback              # with [cluster]: after the earlier file was put back
  channelkeeper apply --plan 3f2a91c07be4     # as `channelkeeper plan` said

Exit codes: 0 done, or nothing to do; 1 failed, or something is left to do; 2 with --dry-run: changes are pending; 3 the config cannot be used.";
