//! `status`: every channel, and until when it is covered.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;

use crate::expose::health::Status;
use crate::expose::overview::{ConfigState, LoopAge, Overview};
use crate::expose::status::StatusView;
use crate::reconcile::report;

use super::connect::{self, Here, Use, Way};
use super::{Common, Exit};

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
    let status: StatusView = match connect::find(common, Use::Look).await? {
        Way::Daemon(daemon) => daemon.get("/status").await?,
        Way::Here(here) => remembered(&here, common)?,
        Way::BadConfig => return Ok(Exit::BadConfig),
    };
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        write!(stdout, "{}", status.to_text(None))?;
    }
    Ok(if status.health.status == Status::Failing { Exit::Failed } else { Exit::Done })
}

/// What the store remembers, while no daemon looks at anything.
fn remembered(here: &Here, common: &Common) -> anyhow::Result<StatusView> {
    let now = here.clock.now();
    let mut accounts = BTreeMap::new();
    for (name, subject) in &here.fleet.subjects {
        let report = report::remembered(subject, &here.store, now)?;
        accounts.insert(name.clone(), Some(std::sync::Arc::new(report)));
    }
    let config =
        ConfigState { file: common.config.display().to_string(), ..ConfigState::default() };
    let overview = Overview { accounts, ..Overview::starting(now, config) };
    Ok(StatusView::of(&overview, LoopAge::NO_LOOP, now))
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper status
  channelkeeper status --json | jq .health

Exit codes: 0 health is ok or degraded; 1 it is failing, or the verb failed; 3 the config cannot be used.";
