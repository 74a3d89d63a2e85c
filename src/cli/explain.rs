//! `explain`: why a channel is treated as it is.

use std::io::Write;

use clap::Args;

use crate::daemon::requests::ExplainRequest;
use crate::model::address::Address;

use super::{Common, Exit, complete, connect};

/// Show why a channel is treated as it is.
///
/// It shows the declaration, Zoho's answer, the memory and the rules in force. Then come the row of
/// the decision table, the steps that follow, the time of the renewal and the trouble that it
/// survives. It looks at Zoho as `plan` does, and changes nothing.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ExplainArgs {
    /// The channel: its name, declared or remembered, or its id
    #[arg(value_name = "[ACCOUNT/]CHANNEL", add = complete::channels())]
    channel: Address,
}

pub(super) async fn run(
    args: ExplainArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let request = ExplainRequest { channel: args.channel };
    let explanation = connect::ask(common, request).await?;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&explanation)?)?;
    } else {
        write!(stdout, "{}", explanation.to_text())?;
    }
    Ok(Exit::Done)
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper explain deal-sync
  channelkeeper explain acme/1234567890123456 --json

Exit codes: 0 explained; 1 failed, or there is no such channel; 3 the config cannot be used.";
