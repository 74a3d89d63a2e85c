//! `backfill`: what was missed and how far it is handed over; a stretch asked for by hand; a held
//! recovery released or given up.

use std::io::Write;

use clap::{Args, Subcommand};

use crate::clock::{Clock, SystemClock};
use crate::daemon::recoveries::{
    Fate, RecoverRequest, RecoveriesRequest, RecoveryView, SettleRequest,
};
use crate::model::address::Address;
use crate::model::time::{Timestamp, whole_seconds};
use crate::plan::render::counted;

use super::gaps::When;
use super::{Common, Exit, complete, connect};

/// Show how far missed events are handed over, or ask for some.
///
/// Once a gap is covered again, the daemon reads which records changed in it, and posts them to the
/// receiver as Zoho would have, marked as recovered. That is off unless [backfill] says otherwise.
/// With --channel and --since a stretch is recovered as if it were a gap, whatever the config says.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(super) struct BackfillArgs {
    #[command(subcommand)]
    action: Option<BackfillAction>,
    /// Recover a stretch of this channel
    #[arg(long, value_name = "[ACCOUNT/]CHANNEL", requires = "since", add = complete::channels())]
    channel: Option<Address>,
    /// From here on: an instant (2026-03-01T00:00:00Z) or how long ago (7d)
    #[arg(long, value_name = "TIME", requires = "channel")]
    since: Option<When>,
    /// Up to here; without it, up to now
    #[arg(long, value_name = "TIME", requires = "channel")]
    until: Option<When>,
    /// Read and count only; `release` hands over what was counted
    #[arg(long, requires = "channel")]
    plan: bool,
    /// Also recoveries that are over
    #[arg(long, conflicts_with = "channel")]
    all: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum BackfillAction {
    Release(ReleaseArgs),
    Abandon(AbandonArgs),
}

/// Hand over a recovery that is held.
///
/// It is held because the mode is plan, or because it has more records than the config lets pass.
#[derive(Clone, Debug, Args)]
#[command(after_help = RELEASE_AFTER_HELP)]
struct ReleaseArgs {
    /// The recovery, as the list names it
    #[arg(value_name = "ACCOUNT/NUMBER")]
    id: String,
}

/// Give up a recovery.
///
/// The records that it has not handed over stay missed; `gaps` goes on listing the gap.
#[derive(Clone, Debug, Args)]
#[command(after_help = ABANDON_AFTER_HELP)]
struct AbandonArgs {
    /// The recovery, as the list names it
    #[arg(value_name = "ACCOUNT/NUMBER")]
    id: String,
}

pub(super) async fn run(
    args: BackfillArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let BackfillArgs { action, channel, since, until, plan, all } = args;
    let now = SystemClock::new().now();
    match (action, channel, since) {
        (Some(BackfillAction::Release(ReleaseArgs { id })), ..) => {
            connect::ask(common, SettleRequest { id: id.clone(), fate: Fate::Release }).await?;
            said(common, stdout, &format!("recovery {id} is released"))
        }
        (Some(BackfillAction::Abandon(AbandonArgs { id })), ..) => {
            connect::ask(common, SettleRequest { id: id.clone(), fate: Fate::Abandon }).await?;
            said(common, stdout, &format!("recovery {id} is given up"))
        }
        (None, Some(channel), Some(since)) => {
            let (since, until) = (since.at(now), until.map(|until| until.at(now)));
            let what = wanted(&channel, since);
            connect::ask(common, RecoverRequest { channel, since, until, plan }).await?;
            said(common, stdout, &what)
        }
        (None, ..) => {
            let recoveries = connect::ask(common, RecoveriesRequest {}).await?;
            if common.json {
                writeln!(stdout, "{}", serde_json::to_string_pretty(&recoveries)?)?;
            } else {
                write!(stdout, "{}", text(&recoveries, all))?;
            }
            Ok(Exit::Done)
        }
    }
}

fn wanted(channel: &Address, since: Timestamp) -> String {
    format!("missed events of {channel} from {} on are recovered", whole_seconds(since))
}

fn said(common: &Common, stdout: &mut (dyn Write + Send), what: &str) -> anyhow::Result<Exit> {
    if !common.json {
        writeln!(stdout, "{what}; the daemon does it within half a minute")?;
    }
    Ok(Exit::Done)
}

fn text(recoveries: &[RecoveryView], all: bool) -> String {
    let shown: Vec<&RecoveryView> =
        recoveries.iter().filter(|recovery| all || !recovery.is_over()).collect();
    let over = recoveries.len() - shown.len();
    let mut headline = match shown.len() {
        0 => "no recovery is open".to_owned(),
        1 => "1 recovery".to_owned(),
        many => format!("{many} recoveries"),
    };
    if over > 0 {
        headline.push_str(&format!(", and {over} that are over, shown with --all"));
    }
    let mut lines = vec![headline];
    for recovery in shown {
        lines.push(format!("  {}", recovery.line()));
        let credits = counted(recovery.credits as usize, "API credit");
        lines.push(format!("    read for {credits}"));
        lines.extend(recovery.doubts.iter().map(|doubt| format!("    in doubt: {doubt}")));
        if !recovery.set_aside_ids.is_empty() {
            lines.push(format!("    set aside: {}", recovery.set_aside_ids.join(", ")));
        }
        if recovery.state == "held" {
            lines.push(format!("    hand it over: channelkeeper backfill release {}", recovery.id));
        }
    }
    lines.join("\n") + "\n"
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper backfill
  channelkeeper backfill --all
  channelkeeper backfill --channel deal-sync --since 2d --plan
  channelkeeper backfill release acme/7

Exit codes: 0 done; 1 failed; 3 the config cannot be used.";
const RELEASE_AFTER_HELP: &str = "\
Examples:
  channelkeeper backfill release acme/7

Exit codes: 0 done; 1 failed, or it is not held; 3 the config cannot be used.";
const ABANDON_AFTER_HELP: &str = "\
Examples:
  channelkeeper backfill abandon acme/7

Exit codes: 0 done; 1 failed, or it is over; 3 the config cannot be used.";

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::daemon::recoveries::Counts;

    fn recovery(number: u64, state: &str) -> RecoveryView {
        RecoveryView {
            id: format!("acme/{number}"),
            account: "acme".to_owned(),
            channel: "deals".to_owned(),
            events: vec!["Deals.all".to_owned()],
            from: "2026-03-01T00:00:00Z".parse().expect("an instant"),
            to: "2026-03-01T01:00:00Z".parse().expect("an instant"),
            state: state.to_owned(),
            why: (state == "held").then(|| "the mode is plan".to_owned()),
            records: Some(Counts { inserts: 1, updates: 2, deletes: 0 }),
            taken: 0,
            set_aside: 0,
            set_aside_ids: Vec::new(),
            credits: 1,
            doubts: vec!["something".to_owned()],
        }
    }

    #[test]
    fn what_waits_comes_with_the_verb_to_type_and_what_is_over_is_counted() {
        let all = [recovery(1, "done"), recovery(2, "held")];
        expect![[r#"
            1 recovery, and 1 that are over, shown with --all
              acme/2  deals  Deals.all  2026-03-01T00:00:00Z to 2026-03-01T01:00:00Z (1h): held, 3 records (1 created, 2 edited, 0 deleted); the mode is plan
                read for 1 API credit
                in doubt: something
                hand it over: channelkeeper backfill release acme/2
        "#]]
        .assert_eq(&text(&all, false));
        assert!(text(&all, true).starts_with("2 recoveries\n"));
        assert_eq!(text(&[], false), "no recovery is open\n");
    }

    #[test]
    fn a_stretch_is_told_to_the_second() {
        let since = "2026-03-01T00:00:00.118887521Z".parse().expect("an instant");
        expect!["missed events of acme/deals from 2026-03-01T00:00:00Z on are recovered"]
            .assert_eq(&wanted(&"acme/deals".parse().expect("a channel"), since));
    }
}
