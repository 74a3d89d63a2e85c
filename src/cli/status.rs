//! `status`: every channel, and until when it is covered.

use std::io::Write;

use clap::Args;

use crate::daemon::requests::StatusRequest;

use super::{Common, Exit, connect};

/// Show every channel and until when it is covered.
///
/// Without a running daemon it shows what the store remembers, and that is failing: nothing is
/// renewed.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct StatusArgs {}

pub(super) async fn run(
    args: StatusArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let StatusArgs {} = args;
    let status = connect::ask(common, StatusRequest {}).await?;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        write!(stdout, "{}", status.to_text(None))?;
    }
    Ok(if status.health.status.severity().exits_well { Exit::Done } else { Exit::Failed })
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper status
  channelkeeper status --json | jq .health

Exit codes: 0 health is ok or degraded; 1 it is failing (events are being lost, for instance), or the verb failed; 3 the config cannot be used.";
