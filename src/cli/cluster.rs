//! `cluster`: the machines that share the accounts, which of them serves none, and the way from one
//! machine to many and back.

use std::io::Write;

use anyhow::bail;
use clap::{Args, Subcommand};

use crate::clock::{Clock, SystemClock};
use crate::daemon::machines::{EvictRequest, MachinesRequest};

use super::{Common, Exit, connect};

mod moving;

/// Show the machines that share the accounts, and more about them.
///
/// The daemon on this machine answers `status` and `evict`: machines share accounts only while it
/// runs, with [cluster] in its config. `import` and `export` want no daemon to run: they bring the
/// accounts of one machine to where several share them, and back.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(super) struct ClusterArgs {
    #[command(subcommand)]
    action: ClusterAction,
}

#[derive(Clone, Debug, Subcommand)]
enum ClusterAction {
    Status(StatusArgs),
    Evict(EvictArgs),
    Import(moving::ImportArgs),
    Export(moving::ExportArgs),
}

/// Show each machine, what it serves and when it last beat, and how the engine does.
///
/// Below them stand the machines that somebody put out, and the accounts that no machine serves. It
/// is the cluster as the machine sees it that is asked.
#[derive(Clone, Debug, Args)]
#[command(after_help = STATUS_AFTER_HELP)]
struct StatusArgs {}

/// Let a machine serve no account: the others take its accounts over.
///
/// The machine gives its accounts away as it would to one that joins: passes under way end, at most
/// 100 accounts a second move, and nothing is left unserved. It stays out, over restarts too, until
/// --undo. A machine that is dead is out as well when it comes back; its accounts have moved by
/// themselves, within 15 seconds. If no other machine is left, one that is out serves all the same.
/// It is no lock: a machine that beats and hangs otherwise keeps its accounts until its process
/// is stopped.
#[derive(Clone, Debug, Args)]
#[command(after_help = EVICT_AFTER_HELP)]
struct EvictArgs {
    /// The machine, as `cluster status` names it
    #[arg(value_name = "NODE")]
    node: String,
    /// Let it serve again
    #[arg(long)]
    undo: bool,
}

pub(super) async fn run(
    args: ClusterArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    match args.action {
        ClusterAction::Import(args) => moving::import(args, common, stdout).await,
        ClusterAction::Export(args) => moving::export(args, common, stdout).await,
        ClusterAction::Status(StatusArgs {}) => {
            let machines = daemon(common).await?.ask(MachinesRequest {}).await?;
            if common.json {
                writeln!(stdout, "{}", serde_json::to_string_pretty(&machines)?)?;
            } else {
                write!(stdout, "{}", machines.to_text(SystemClock::new().now()))?;
            }
            let is_well =
                machines.engine.unreachable_since.is_none() && machines.unserved.is_empty();
            Ok(if is_well { Exit::Done } else { Exit::Failed })
        }
        ClusterAction::Evict(EvictArgs { node, undo }) => {
            let evicted = daemon(common).await?.ask(EvictRequest { node, undo }).await?;
            if common.json {
                writeln!(stdout, "{}", serde_json::to_string_pretty(&evicted)?)?;
            } else {
                writeln!(stdout, "{evicted}")?;
            }
            Ok(Exit::Done)
        }
    }
}

/// The daemon on this machine.
async fn daemon(common: &Common) -> anyhow::Result<connect::Daemon> {
    let Some(daemon) = connect::daemon(common).await? else {
        bail!(
            "no daemon is running in {}, so this machine shares nothing; start it, or ask another \
             machine",
            connect::state_dir(common).display()
        );
    };
    Ok(daemon)
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper cluster status
  channelkeeper cluster evict host-2
  channelkeeper cluster import --dry-run

Exit codes: 0 done; 1 failed, or something is amiss.";
const STATUS_AFTER_HELP: &str = "\
Examples:
  channelkeeper cluster status
  channelkeeper cluster status --json | jq -r '.unserved[].account'

Exit codes: 0 the engine answers and each account is served; 1 not so, no daemon is running, or it shares no accounts.";
const EVICT_AFTER_HELP: &str = "\
Examples:
  channelkeeper cluster evict host-2
  channelkeeper cluster evict --undo host-2

Exit codes: 0 the machine is out, or may serve again; 1 failed, there is no such machine, or it is the last one.";
