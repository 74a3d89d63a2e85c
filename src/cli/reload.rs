//! `reload`: the running daemon reads its config again, and says what it thinks of it.

use std::io::Write;

use anyhow::bail;
use clap::Args;

use crate::daemon::requests::ReloadRequest;

use super::{Common, Exit, connect};

/// Let the running daemon read its config again.
///
/// The daemon judges the config, with the secrets that it has: all of it is in force afterwards, or
/// none of it. HUP does the same and answers nobody.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ReloadArgs {}

pub(super) async fn run(
    args: ReloadArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let ReloadArgs {} = args;
    let Some(daemon) = connect::daemon(common).await? else {
        bail!("no daemon is running in {}", connect::state_dir(common).display());
    };
    daemon.ask(ReloadRequest {}).await?;
    if common.json {
        writeln!(stdout, "{}", serde_json::json!({ "reloaded": true }))?;
    } else {
        writeln!(stdout, "the config was read again and is in force")?;
    }
    Ok(Exit::Done)
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper reload

Exit codes: 0 the config is in force; 1 failed, or no daemon is running; 3 the config cannot be used, and the last good one stays in force.";
