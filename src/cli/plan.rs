//! `plan`: what would be done now.

use std::io::Write;

use clap::Args;

use crate::daemon::requests::{PlanRequest, Which};
use crate::plan::cause::CauseKind;
use crate::plan::render::{PlanView, PlansView, StepView, counted};

use super::{Common, Exit, complete, connect};

/// Show what would be done now, and change nothing.
///
/// The last line names the plan by a checksum: `apply --plan` does only what has that name. `plan`
/// looks at Zoho. With a running daemon, the daemon's config file is read afresh: the plan is what
/// `apply` or a reload would do.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct PlanArgs {
    /// Only this account
    #[arg(long, value_name = "NAME", add = complete::accounts())]
    pub(super) account: Option<String>,
}

pub(super) async fn run(
    args: PlanArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let which = Which { account: args.account, channel: None };
    let plans = connect::ask(common, PlanRequest(which)).await?;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&plans)?)?;
    } else {
        print(&plans, stdout)?;
    }
    let unknown = plans.accounts.iter().any(is_unknown);
    let is_pending = |plan: &PlanView| {
        held_removals(plan) > 0
            || is_vanished(plan)
            || plan.steps.iter().any(|step| !is_bookkeeping(step))
    };
    Ok(match plans.accounts.iter().any(is_pending) {
        true => Exit::Pending,
        false if unknown => Exit::Failed,
        false => Exit::Done,
    })
}

/// A step that writes nothing at Zoho: a channel is as declared already and is remembered as ours,
/// or one that is gone is forgotten.
fn is_bookkeeping(step: &StepView) -> bool {
    ["take-over", "forget"].contains(&step.step.as_str())
}

/// The number of disables that the removal guard holds until an operator allows them.
fn held_removals(plan: &PlanView) -> usize {
    plan.held.iter().filter(|held| held.cause == CauseKind::RemovalGuard.word()).count()
}

/// Returns whether it waits for a word, because all running channels vanished.
fn is_vanished(plan: &PlanView) -> bool {
    plan.held.iter().any(|held| held.cause == CauseKind::Vanished.word())
}

fn is_unknown(plan: &PlanView) -> bool {
    plan.held.iter().any(|held| held.cause == "unknown")
}

fn print(plans: &PlansView, stdout: &mut (dyn Write + Send)) -> std::io::Result<()> {
    let PlansView { checksum, accounts: plans } = plans;
    for plan in plans {
        write!(stdout, "{}", plan.to_text())?;
        for overlap in &plan.overlaps {
            writeln!(stdout, "  note: {overlap}")?;
        }
    }
    let steps: Vec<&StepView> = plans.iter().flat_map(|plan| &plan.steps).collect();
    let all_bookkeeping = steps.iter().all(|step| is_bookkeeping(step));
    let removals: usize = plans.iter().map(held_removals).sum();
    if removals > 0 {
        let removals = counted(removals, "removal");
        writeln!(
            stdout,
            "{removals} held back; `channelkeeper apply --allow-removals` does that too"
        )?;
    }
    match steps.len() {
        0 if removals > 0 => writeln!(stdout, "nothing else to do"),
        0 if plans.iter().any(is_vanished) => writeln!(
            stdout,
            "nothing is done until the right org answers, or somebody gives the word: \
             `channelkeeper apply --accept-vanished`"
        ),
        0 if plans.iter().any(is_unknown) => {
            writeln!(stdout, "Zoho could not be looked at, so nobody knows what there is to do")
        }
        0 => writeln!(stdout, "nothing to do"),
        steps if all_bookkeeping => writeln!(
            stdout,
            "nothing to write at Zoho; `channelkeeper apply` takes {} that only the store \
             remembers",
            counted(steps, "step")
        ),
        1 => writeln!(
            stdout,
            "1 step to do; `channelkeeper apply --plan {checksum}` does it and nothing else"
        ),
        steps => {
            writeln!(
                stdout,
                "{steps} steps to do; `channelkeeper apply --plan {checksum}` does them and \
                 nothing else"
            )
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper plan
  channelkeeper -c config.toml --state-dir state plan --account acme --json

Exit codes: 0 nothing to write at Zoho; 1 failed, or Zoho could not be looked at; 2 changes are pending, or removals are held; 3 the config cannot be used.";
