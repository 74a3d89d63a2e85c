//! `status`: every channel, and until when it is covered.
//!
//! On a terminal lines are as wide as that and words are coloured by how bad something is; of many
//! channels those that are not well are shown. Module [`choice`] takes what somebody asks for out
//! of the whole; [`watch`] shows it again and again.

use std::io::Write;

use clap::Args;

use crate::daemon::requests::StatusRequest;
use crate::expose::status::{Layout, Rows, StatusView};
use crate::model::address::Address;

use super::{Common, Exit, complete, connect, terminal};

mod choice;
mod watch;

use choice::{Choice, StateWord};

/// Show every channel and until when it is covered.
///
/// With names or other choices it shows these channels alone, and their troubles. With more than 50
/// channels it shows those that are not well, the worst first, and counts the rest. Without a
/// running daemon it shows what the store remembers, and that is failing: nothing is renewed.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct StatusArgs {
    /// Only these: accounts, or channels by their name or id
    #[arg(value_name = "ACCOUNT|[ACCOUNT/]CHANNEL", add = complete::targets())]
    names: Vec<Address>,
    /// Only this account
    #[arg(long, value_name = "NAME", add = complete::accounts())]
    account: Option<String>,
    /// Only channels in this state; may be repeated, or several with commas between
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    state: Vec<StateWord>,
    /// Only channels of which events are lost now
    #[arg(long)]
    not_covered: bool,
    /// Every channel, however many there are
    #[arg(long)]
    all: bool,
    /// Show it again every two seconds, until Ctrl-C; needs a terminal and a running daemon
    #[arg(short, long)]
    watch: bool,
}

pub(super) async fn run(
    args: StatusArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let StatusArgs { names, account, state, not_covered, all, watch } = args;
    // Whoever names channels is shown them.
    let rows = if all || !names.is_empty() { Rows::All } else { Rows::Worst };
    let choice = Choice { names, account, states: state, not_covered };
    if watch {
        return watch::run(&choice, rows, common, stdout).await;
    }
    let status = choice.of(connect::ask(common, StatusRequest {}).await?)?;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        let layout = Layout { rows, ..terminal::layout() };
        write!(stdout, "{}", status.to_text(&layout))?;
        if choice.is_some() && status.accounts.is_empty() {
            writeln!(stdout, "\nno channel fits that choice")?;
        }
    }
    Ok(exit(&status))
}

fn exit(status: &StatusView) -> Exit {
    if status.health.status.severity().exits_well { Exit::Done } else { Exit::Failed }
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper status
  channelkeeper status deal-sync acme/lead-router
  channelkeeper status --account acme --state drifted,uncovered
  channelkeeper status --not-covered --json | jq -r '.accounts[].channels[].name'
  channelkeeper status --watch

Exit codes: 0 health is ok or degraded; 1 it is failing (events are being lost, for instance), or the verb failed; 3 the config cannot be used.

With a choice, health is that of what is chosen.";
