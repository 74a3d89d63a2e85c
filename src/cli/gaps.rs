//! `gaps`: what was not covered, and from when to when.

use std::io::Write;

use anyhow::Context;
use clap::Args;

use crate::coverage::render::GapView;
use crate::daemon::verbs::{self, GapsRequest};
use crate::model::channel::ChannelName;
use crate::model::time::{Timestamp, before};

use super::way::{self, Use, Way};
use super::{Common, Exit};

/// Show which events were not covered, from when to when and why.
///
/// Or may not have been, which is said. All instants are in UTC by Zoho's clock.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct GapsArgs {
    /// Only gaps that had not ended then: an instant (2026-03-01T00:00:00Z) or how long ago (7d)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Only this channel, also when it is declared no longer
    #[arg(long, value_name = "NAME")]
    channel: Option<ChannelName>,
}

pub(super) async fn run(args: GapsArgs, common: &Common, stdout: &mut (dyn Write + Send)) -> anyhow::Result<Exit> {
    let GapsArgs { since, channel } = args;
    let channel = channel.map(|channel| channel.to_string());
    let now = crate::clock::Clock::now(&crate::clock::SystemClock::new());
    let request = GapsRequest { channel, since: since.map(|since| since.at(now)) };
    let gaps: Vec<GapView> = match way::find(common, Use::Look).await? {
        Way::Daemon(daemon) => daemon.get(&request.path()).await?,
        Way::Here(here) => verbs::gaps(&here.fleet, &here.store, &request, now)?,
        Way::BadConfig => return Ok(Exit::BadConfig),
    };
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&gaps)?)?;
    } else {
        print(&gaps, stdout)?;
    }
    Ok(Exit::Done)
}

fn print(gaps: &[GapView], stdout: &mut (dyn Write + Send)) -> std::io::Result<()> {
    if gaps.is_empty() {
        return writeln!(stdout, "no gaps");
    }
    for (place, gap) in gaps.iter().enumerate() {
        if place == 0 || gaps[place - 1].account != gap.account {
            writeln!(stdout, "account {}", gap.account)?;
        }
        writeln!(stdout, "  {}", gap.line())?;
    }
    Ok(())
}

/// An instant, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Instant(Timestamp),
    Ago(std::time::Duration),
}

impl Since {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Since::Instant(instant) => instant,
            Since::Ago(length) => before(now, length),
        }
    }
}

impl std::str::FromStr for Since {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Since> {
        if let Ok(instant) = text.parse() {
            return Ok(Since::Instant(instant));
        }
        let length = humantime::parse_duration(text);
        length.map(Since::Ago).context("neither an instant (2026-03-01T00:00:00Z) nor a length of time (7d)")
    }
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper gaps
  channelkeeper gaps --since 7d --channel deal-sync

Exit codes: 0 printed, gaps or none; 1 failed; 3 the config cannot be used.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_an_instant_or_how_long_ago() {
        let now: Timestamp = "2026-03-08T00:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Since>().unwrap().at(now).to_string();
        assert_eq!(at("7d"), "2026-03-01T00:00:00Z");
        assert_eq!(at("2026-02-01T00:00:00+01:00"), "2026-01-31T23:00:00Z");
        assert!("yesterday".parse::<Since>().is_err());
    }
}
