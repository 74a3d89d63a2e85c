//! `check`: everything that is wrong with the config, what each channel's renewal survives, and how
//! many calls a day each account takes.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::config::{self, Surroundings, audits_per_day};
use crate::model::channel::AccountName;
use crate::model::desired::{AccountDesired, Desired};
use crate::model::time::brief;
use crate::plan::calls::{self, DailyCallsView};
use crate::plan::overlap;
use crate::plan::render::counted;
use crate::plan::renewal::{self, Slack};

use crate::daemon::slack::{self, Judged};

use super::connect::{beside_quietly, print_problems, thin_in_force};
use super::{Common, Exit, complain};

mod online;

use online::{Answers, OnlineVerdict};

/// Check the config, and say which outages its channels survive.
///
/// It says everything that is wrong, what each channel's renewal survives, and how many calls a day
/// each account takes. It asks Zoho only with --online. A running daemon is asked only where a
/// renewal could not fail twice: channels that it holds so already are a warning, others are an
/// error.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CheckArgs {
    /// Ask Zoho about each account too: credentials, scopes, channels, modules; nothing is changed
    /// there
    #[arg(long)]
    online: bool,
}

/// The trouble that channels of one account survive when they renew alike.
#[derive(Debug, Serialize)]
struct SlackView {
    account: String,
    channels: usize,
    lifetime_seconds: u64,
    margin_seconds: u64,
    failed_passes: u32,
    outage_seconds: u64,
}

/// The words of `check` about a good config.
#[derive(Debug, Serialize)]
struct Checked {
    renewals: Vec<SlackView>,
    calls: Vec<DailyCallsView>,
    /// Events that several channels of an account send to the same URL, one line each.
    overlaps: Vec<String>,
    /// Zoho's answers for each account, if it was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    online: Vec<Answers>,
}

pub(super) async fn run(
    args: CheckArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let loaded =
        config::load(&common.config, &Surroundings::of_process().tolerating_missing_credentials());
    print_problems(&loaded);
    let Some(desired) = loaded.desired else { return Ok(Exit::BadConfig) };
    let checked = Checked {
        renewals: slacks(&desired),
        calls: calls(&desired),
        overlaps: overlaps(&desired),
        online: if args.online { online(common).await? } else { Vec::new() },
    };
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&checked)?)?;
    } else {
        print(&desired, &checked, stdout)?;
    }
    for warning in checked.calls.iter().filter_map(DailyCallsView::warning) {
        complain(&format!("warning: {warning}"));
    }
    let Judged { refused, held } = judged(&desired, common).await?;
    for channels in &held {
        complain(&format!("warning: {channels}; they are held, and health is degraded"));
    }
    for channels in &refused {
        complain(&format!("error: {channels}"));
    }
    let is_bad = checked.online.iter().any(|answers| answers.verdict() == OnlineVerdict::Bad);
    Ok(match checked.online.iter().any(Answers::is_unheard) {
        _ if is_bad || !refused.is_empty() => Exit::BadConfig,
        true => Exit::Failed,
        false => Exit::Done,
    })
}

async fn online(common: &Common) -> anyhow::Result<Vec<Answers>> {
    let here = beside_quietly(common).await?;
    let mut answers = Vec::new();
    for subject in here.fleet.subjects.values() {
        let records = here.store.records(subject.name())?;
        answers.push(online::asked(subject, &records).await);
    }
    Ok(answers)
}

/// Where a renewal could not fail twice, it counts if the channel is held so already: only then is
/// the daemon or the store asked.
async fn judged(desired: &Desired, common: &Common) -> anyhow::Result<Judged> {
    let as_new = slack::judged(desired, &slack::Channels::new());
    if as_new.refused.is_empty() {
        return Ok(as_new);
    }
    Ok(slack::judged(desired, &thin_in_force(common).await?))
}

fn slacks(desired: &Desired) -> Vec<SlackView> {
    let mut alike: BTreeMap<(String, Duration, Option<Duration>), (Slack, usize)> = BTreeMap::new();
    for (account, held) in &desired.accounts {
        for spec in held.specs.values() {
            let slack = renewal::slack(spec, account, desired.settings.request_timeout);
            let key = (account.to_string(), spec.lifetime, spec.renew_before);
            alike.entry(key).or_insert((slack, 0)).1 += 1;
        }
    }
    let view = |((account, lifetime, _), (slack, channels)): (
        (String, Duration, Option<Duration>),
        (Slack, usize),
    )| {
        let Slack { margin, failed_passes, outage } = slack;
        SlackView {
            account,
            channels,
            lifetime_seconds: lifetime.as_secs(),
            margin_seconds: margin.as_secs(),
            failed_passes,
            outage_seconds: outage.as_secs(),
        }
    };
    alike.into_iter().map(view).collect()
}

fn calls(desired: &Desired) -> Vec<DailyCallsView> {
    let audits = f64::from(audits_per_day(&desired.settings.audit));
    let of = |(name, held): (&AccountName, &AccountDesired)| {
        let AccountDesired { account, specs, former: _ } = held;
        let calls = calls::expected(name, &account.policy, specs, audits);
        DailyCallsView::of(name, &calls, account.policy.credits_per_day)
    };
    desired.accounts.iter().map(of).collect()
}

fn overlaps(desired: &Desired) -> Vec<String> {
    let of = |(name, held): (&AccountName, &AccountDesired)| {
        let overlaps = overlap::overlaps(&held.specs, &BTreeMap::new(), None);
        overlaps.into_iter().map(|overlap| format!("account {name}: {overlap}")).collect::<Vec<_>>()
    };
    desired.accounts.iter().flat_map(of).collect()
}

fn print(
    desired: &Desired,
    checked: &Checked,
    stdout: &mut (dyn Write + Send),
) -> std::io::Result<()> {
    let channels: usize = desired.accounts.values().map(|account| account.specs.len()).sum();
    writeln!(
        stdout,
        "the config is good: {}, {}",
        counted(desired.accounts.len(), "account"),
        counted(channels, "channel")
    )?;
    for slack in &checked.renewals {
        let SlackView {
            account,
            channels,
            lifetime_seconds,
            margin_seconds,
            failed_passes,
            outage_seconds,
        } = slack;
        let seconds = |seconds: &u64| brief(Duration::from_secs(*seconds));
        writeln!(
            stdout,
            "  {account}: {} of {} life, renewed with {} left, which survives {failed_passes} \
             failed passes in a row and an outage of {}",
            counted(*channels, "channel"),
            seconds(lifetime_seconds),
            seconds(margin_seconds),
            seconds(outage_seconds)
        )?;
    }
    for calls in &checked.calls {
        writeln!(stdout, "  {}", calls.line())?;
    }
    for overlap in &checked.overlaps {
        writeln!(stdout, "  note: {overlap}")?;
    }
    for answers in &checked.online {
        answers.print(stdout)?;
    }
    Ok(())
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper -c config.toml check
  channelkeeper -c config.toml check --online

Exit codes: 0 the config is good; 1 Zoho could not be asked; 3 the config cannot be used, a renewal could not fail
twice, or Zoho says that something is wrong.";
