//! `apply`: do it now.

use std::io::Write;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::daemon::control::ApplyRequest;
use crate::daemon::verbs::{self, Applied, Which};
use crate::model::time::{after, span};
use crate::reconcile::pass::{Subject, pass};

use super::connect::{self, Here, Use, Way};
use super::progress::Progress;
use super::{Common, Exit};

/// Do now what the config asks for.
///
/// With a running daemon, the daemon reloads its config and does it. With --plan, the plan is made
/// anew and compared first; where it is another one by now, nothing is written and the config is
/// not reloaded.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ApplyArgs {
    /// Only this account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Disable also what the removal guard holds: everything, or more than a third of an account's
    /// channels
    #[arg(long)]
    allow_removals: bool,
    /// Only if the plan made now has this checksum, which `plan` printed; else nothing is written
    #[arg(long, value_name = "CHECKSUM", conflicts_with = "allow_removals")]
    plan: Option<String>,
}

pub(super) async fn run(
    args: ApplyArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let which = Which { account: args.account, channel: None };
    let applied: Vec<Applied> = match connect::find(common, Use::Change).await? {
        Way::Daemon(daemon) => {
            let request =
                ApplyRequest { which, allow_removals: args.allow_removals, plan: args.plan };
            daemon.post("/apply", &request).await?
        }
        Way::Here(here) => {
            if let Some(wanted) = &args.plan {
                verbs::expect_plan(&here.fleet, &here.store, &which, wanted).await?;
            }
            here.keep_desired()?;
            if args.allow_removals {
                verbs::allow_removals(&here.fleet, &here.store, &which).await?;
            }
            passes(&here, &which, "apply").await?
        }
        Way::BadConfig => return Ok(Exit::BadConfig),
    };
    print(&applied, common, stdout)
}

/// Passes over the chosen accounts, in this process.
pub(super) async fn passes(here: &Here, which: &Which, why: &str) -> anyhow::Result<Vec<Applied>> {
    let chosen = here.fleet.chosen(which)?;
    let (mut applied, mut progress) = (Vec::new(), Progress::new(chosen.len(), "accounts"));
    for subject in chosen.values() {
        applied.push(until_settled(here, subject, why).await?);
        progress.step();
    }
    Ok(applied)
}

/// A pass, and the further ones that it asks for at once.
async fn until_settled(here: &Here, subject: &Subject, why: &str) -> anyhow::Result<Applied> {
    const PASSES_MAX: usize = 4;
    let mut done = Vec::new();
    for round in 1.. {
        let report = pass(subject, &here.store, why, &CancellationToken::new()).await?;
        let mut applied = Applied::of(&report);
        done.append(&mut applied.done);
        let at_once = report.next_wake <= after(report.at, SOON);
        if !at_once || applied.left.steps.is_empty() || round == PASSES_MAX {
            return Ok(Applied { done, ..applied });
        }
        here.clock.sleep(span(here.clock.now(), report.next_wake)).await;
    }
    unreachable!("the loop returns in its last round")
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
    let settled = applied.iter().all(Applied::is_settled);
    Ok(if settled { Exit::Done } else { Exit::Failed })
}

/// A pass that wants another one this soon has brought up new work.
const SOON: std::time::Duration = std::time::Duration::from_secs(2);

const AFTER_HELP: &str = "\
Examples:
  channelkeeper apply
  channelkeeper apply --account acme
  channelkeeper apply --allow-removals
  channelkeeper apply --plan 3f2a91c07be4     # as `channelkeeper plan` said

Exit codes: 0 done, or nothing to do; 1 failed, or something is left to do; 3 the config cannot be used.";
