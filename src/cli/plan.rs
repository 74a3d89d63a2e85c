//! `plan`: what would be done now.

use std::io::Write;

use clap::Args;

use crate::daemon::verbs::{self, Which};
use crate::plan::render::PlanView;

use super::way::{self, Use, Way};
use super::{Common, Exit};

/// Show what would be done now. Looks at Zoho and changes nothing, there or here.
///
/// Exits 0 when there is nothing to do, 2 when there is. With a running daemon, the daemon's config file is read afresh: the
/// plan is what `apply` or a reload would do.
#[derive(Clone, Debug, Args)]
pub(super) struct PlanArgs {
    /// Only this account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
}

pub(super) async fn run(args: PlanArgs, common: &Common, stdout: &mut (dyn Write + Send)) -> anyhow::Result<Exit> {
    let which = Which { account: args.account, channel: None };
    let plans: Vec<PlanView> = match way::find(common, Use::Look).await? {
        Way::Daemon(daemon) => daemon.post("/plan", &which).await?,
        Way::Here(here) => verbs::plan_views(&here.fleet, &here.store, &which).await?,
        Way::BadConfig => return Ok(Exit::BadConfig),
    };
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&plans)?)?;
    } else {
        print(&plans, stdout)?;
    }
    let unknown = plans.iter().any(is_unknown);
    Ok(match plans.iter().any(|plan| !plan.steps.is_empty()) {
        true => Exit::Pending,
        false if unknown => Exit::Failed,
        false => Exit::Done,
    })
}

fn is_unknown(plan: &PlanView) -> bool {
    plan.held.iter().any(|held| held.cause == "unknown")
}

fn print(plans: &[PlanView], stdout: &mut (dyn Write + Send)) -> std::io::Result<()> {
    for plan in plans {
        write!(stdout, "{}", plan.to_text())?;
    }
    let steps: usize = plans.iter().map(|plan| plan.steps.len()).sum();
    match steps {
        0 if plans.iter().any(is_unknown) => {
            writeln!(stdout, "what there is to do is not known: Zoho could not be looked at")
        }
        0 => writeln!(stdout, "nothing to do"),
        1 => writeln!(stdout, "1 step to do; `channelkeeper apply` does it"),
        steps => writeln!(stdout, "{steps} steps to do; `channelkeeper apply` does them"),
    }
}
