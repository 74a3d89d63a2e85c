//! `gaps`: what was not covered, from when to when, and what to ask Zoho for after it; `gaps ack`:
//! somebody has seen to it.
//!
//! With few gaps the requests stand below them, because whoever looks for a gap wants to fill it;
//! with many they are one option away. Acknowledged gaps are counted, and shown with `--all`. JSON
//! has everything always.

use std::io::Write;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::coverage::backfill::Backfill;
use crate::daemon::requests::{AckRequest, GapsRequest};
use crate::daemon::views::{Acked, GapReport};
use crate::model::address::Address;
use crate::model::time::{Timestamp, before};
use crate::plan::render::counted;

use super::{Common, Exit, complete, connect};

/// Show which events were not covered, from when to when and why.
///
/// It also shows events that may not have been covered, and says so. All instants are in UTC by
/// Zoho's clock. The requests that find the missed records, and the losses that no request brings
/// back, stand below a few gaps, and with --hints below each.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(super) struct GapsArgs {
    #[command(subcommand)]
    action: Option<GapsAction>,
    /// Only this channel, also when it is declared no longer
    #[arg(value_name = "[ACCOUNT/]CHANNEL", add = complete::channels())]
    channel: Option<Address>,
    /// The same, for a channel whose name is `ack`
    #[arg(long = "channel", value_name = "[ACCOUNT/]CHANNEL", conflicts_with = "channel", add = complete::channels())]
    named: Option<Address>,
    /// Only gaps that had not ended then: an instant (2026-03-01T00:00:00Z) or how long ago (7d)
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Also gaps that are acknowledged
    #[arg(long)]
    all: bool,
    /// The requests that find what was missed, below each gap
    #[arg(long)]
    hints: bool,
    /// Exit with 2 when there is a gap that nobody has acknowledged
    #[arg(long)]
    exit_code: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum GapsAction {
    Ack(AckArgs),
}

/// Acknowledge gaps: somebody has seen to them.
///
/// It acknowledges the gaps that have ended by now. One that is open, or found later, is shown
/// until it is acknowledged itself. Nothing else changes: metrics go on counting what was not
/// covered.
#[derive(Clone, Debug, Args)]
#[command(after_help = ACK_AFTER_HELP)]
struct AckArgs {
    /// The channel, also when it is declared no longer
    #[arg(
        value_name = "[ACCOUNT/]CHANNEL", required_unless_present = "all",
        add = complete::channels()
    )]
    channel: Option<Address>,
    /// Those of every channel
    #[arg(long, conflicts_with = "channel")]
    all: bool,
    /// Only gaps that had ended then: an instant (2026-03-01T00:00:00Z) or how long ago (7d)
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// A note about them, in one line
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub(super) async fn run(
    args: GapsArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let GapsArgs { action, channel, named, since, all, hints, exit_code } = args;
    if let Some(GapsAction::Ack(args)) = action {
        return ack(args, common, stdout).await;
    }
    let now = crate::clock::Clock::now(&crate::clock::SystemClock::new());
    let request =
        GapsRequest { channel: channel.or(named), since: since.map(|since| since.at(now)) };
    let missed = connect::ask(common, request).await?;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&missed)?)?;
    } else {
        write!(stdout, "{}", text(&missed, all, hints))?;
    }
    let is_pending = exit_code && missed.iter().any(|missed| missed.gap.acknowledged.is_none());
    Ok(if is_pending { Exit::Pending } else { Exit::Done })
}

async fn ack(
    args: AckArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let AckArgs { channel, all: _, until, note } = args;
    let now = crate::clock::Clock::now(&crate::clock::SystemClock::new());
    let until = until.map(|until| until.at(now));
    let acked = connect::ask(common, AckRequest { channel, until, note }).await?;
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&acked)?)?;
        return Ok(Exit::Done);
    }
    if acked.is_empty() {
        writeln!(stdout, "there is no gap left to acknowledge")?;
    }
    for Acked { account, channel, acknowledged, left } in &acked {
        let left = match left {
            0 => String::new(),
            left => format!("; {left} more are still open, or ended too late"),
        };
        writeln!(
            stdout,
            "{account}/{channel}: {} acknowledged{left}",
            counted(*acknowledged, "gap")
        )?;
    }
    Ok(Exit::Done)
}

fn text(missed: &[GapReport], all: bool, hints: bool) -> String {
    let shown: Vec<&GapReport> =
        missed.iter().filter(|missed| all || missed.gap.acknowledged.is_none()).collect();
    let hints = hints || shown.len() <= HINTED_MAX;
    let mut lines = vec![headline(&shown, missed.len() - shown.len())];
    for (place, GapReport { gap, recoveries, backfill }) in shown.iter().enumerate() {
        if place == 0 || shown[place - 1].gap.account != gap.account {
            lines.push(format!("account {}", gap.account));
        }
        lines.push(format!("  {}", gap.line()));
        let recovered =
            recoveries.iter().map(|one| format!("    recovery {}: {}", one.id, one.fate()));
        lines.extend(recovered);
        if hints {
            lines.extend(hint_lines(backfill));
        }
    }
    if !hints {
        lines.push(
            "the requests that find what was missed: channelkeeper gaps --hints, or with the name \
             of a channel"
                .to_owned(),
        );
    }
    lines.join("\n") + "\n"
}

fn headline(shown: &[&GapReport], left_out: usize) -> String {
    let open = shown.iter().filter(|missed| missed.gap.to.is_none()).count();
    let gaps = if shown.is_empty() { "no gaps".to_owned() } else { counted(shown.len(), "gap") };
    let open = if open > 0 { format!(", {open} still open") } else { String::new() };
    let left_out = if left_out > 0 {
        format!(", and {left_out} acknowledged, shown with --all")
    } else {
        String::new()
    };
    format!("{gaps}{open}{left_out}")
}

fn hint_lines(backfill: &Backfill) -> Vec<String> {
    let Backfill { requests, lost, scopes } = backfill;
    let mut lines = vec![format!("    finds what was missed, with a token for {scopes}:")];
    for request in requests {
        lines.push(format!("      {}: {}", request.module, request.finds));
        lines.extend(request.lines().into_iter().map(|line| format!("        {line}")));
    }
    lines.push("    stays lost:".to_owned());
    lines.extend(lost.iter().map(|lost| format!("      {lost}")));
    lines
}

/// An instant, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Instant(Timestamp),
    Ago(std::time::Duration),
}

impl When {
    pub(super) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            When::Instant(instant) => instant,
            When::Ago(length) => before(now, length),
        }
    }
}

impl std::str::FromStr for When {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<When> {
        if let Ok(instant) = text.parse() {
            return Ok(When::Instant(instant));
        }
        let length = humantime::parse_duration(text);
        length
            .map(When::Ago)
            .context("neither an instant (2026-03-01T00:00:00Z) nor a length of time (7d)")
    }
}

/// With no more gaps than this their requests stand below them unasked.
const HINTED_MAX: usize = 3;

const AFTER_HELP: &str = "\
Examples:
  channelkeeper gaps
  channelkeeper gaps deal-sync --since 7d
  channelkeeper gaps --hints | less
  channelkeeper gaps ack acme/deal-sync --note 'fetched by hand'
  channelkeeper gaps --exit-code >/dev/null || echo 'somebody has to look'

Exit codes: 0 printed, gaps or none; 1 failed; 2 with --exit-code: a gap that nobody has acknowledged; 3 the config cannot
be used.";
const ACK_AFTER_HELP: &str = "\
Examples:
  channelkeeper gaps ack deal-sync --note 'fetched by hand'
  channelkeeper gaps ack --all --until 2026-03-01T00:00:00Z

Exit codes: 0 acknowledged, or nothing to acknowledge; 1 failed; 3 the config cannot be used.";

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::coverage::backfill::backfill;
    use crate::coverage::render::{AckView, GapView};
    use crate::model::account::ApiBase;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn missed(channel: &str, open: bool, acknowledged: bool) -> GapReport {
        let (from, to) = (at("2026-03-01T00:00:00Z"), (!open).then(|| at("2026-03-01T01:00:00Z")));
        let events = vec!["Leads.delete".to_owned()];
        let url = "https://www.zohoapis.eu/crm/v8".to_owned();
        let backfill = backfill(
            &["Leads.delete"].into_iter().collect(),
            from,
            to,
            at("2026-03-01T02:00:00Z"),
            &ApiBase { url, ..ApiBase::default() },
        );
        let acknowledged = acknowledged
            .then(|| AckView { at: at("2026-03-01T02:00:00Z"), note: Some("done".to_owned()) });
        let gap = GapView {
            account: "acme".to_owned(),
            channel: channel.to_owned(),
            events,
            from,
            to,
            seconds: if open { 7200 } else { 3600 },
            kind: "uncovered".to_owned(),
            cause: "expired".to_owned(),
            acknowledged,
        };
        GapReport { gap, recoveries: Vec::new(), backfill }
    }

    #[test]
    fn an_instant_or_how_long_ago() {
        let now = at("2026-03-08T00:00:00Z");
        let at = |text: &str| text.parse::<When>().unwrap().at(now).to_string();
        assert_eq!(at("7d"), "2026-03-01T00:00:00Z");
        assert_eq!(at("2026-02-01T00:00:00+01:00"), "2026-01-31T23:00:00Z");
        assert!("yesterday".parse::<When>().is_err());
    }

    #[test]
    fn a_few_gaps_come_with_their_requests_and_acknowledged_ones_are_counted() {
        let missed =
            [missed("a", false, false), missed("b", true, false), missed("c", false, true)];
        expect![[r#"
            2 gaps, 1 still open, and 1 acknowledged, shown with --all
            account acme
              uncovered a  2026-03-01T00:00:00Z to 2026-03-01T01:00:00Z (1h, expired): Leads.delete
                finds what was missed, with a token for ZohoCRM.modules.READ, ZohoCRM.coql.READ for COQL, and ZohoCRM.users.READ for users:
                  Leads: every record deleted since the gap began, by id: those with a deleted_time before 2026-03-01T01:00:00+00:00 were deleted in it; then again with &page=2 and so on
                    GET https://www.zohoapis.eu/crm/v8/Leads/deleted?type=all&per_page=200
                    If-Modified-Since: 2026-02-28T23:59:59+00:00
                stays lost:
                  the values of a deleted record, once it has left the recycle bin (after 60 days, or earlier by hand)
                  deletions of long ago: Zoho lists a record for 60 days in the recycle bin, and for 120 days once it is deleted for good
                  the notifications themselves: their number, their order and their notification_condition
              uncovered b  2026-03-01T00:00:00Z, still open (2h, expired): Leads.delete
                finds what was missed, with a token for ZohoCRM.modules.READ, ZohoCRM.coql.READ for COQL, and ZohoCRM.users.READ for users:
                  Leads: every record deleted since the gap began, by id: those with a deleted_time before 2026-03-01T02:00:00+00:00 were deleted in it; then again with &page=2 and so on
                    GET https://www.zohoapis.eu/crm/v8/Leads/deleted?type=all&per_page=200
                    If-Modified-Since: 2026-02-28T23:59:59+00:00
                stays lost:
                  the values of a deleted record, once it has left the recycle bin (after 60 days, or earlier by hand)
                  deletions of long ago: Zoho lists a record for 60 days in the recycle bin, and for 120 days once it is deleted for good
                  the notifications themselves: their number, their order and their notification_condition
        "#]]
        .assert_eq(&text(&missed, false, false));
    }

    #[test]
    fn many_gaps_come_without_their_requests() {
        let missed: Vec<GapReport> =
            ["a", "b", "c", "d"].map(|name| missed(name, false, name == "d")).into();
        expect![[r#"
            4 gaps
            account acme
              uncovered a  2026-03-01T00:00:00Z to 2026-03-01T01:00:00Z (1h, expired): Leads.delete
              uncovered b  2026-03-01T00:00:00Z to 2026-03-01T01:00:00Z (1h, expired): Leads.delete
              uncovered c  2026-03-01T00:00:00Z to 2026-03-01T01:00:00Z (1h, expired): Leads.delete
              uncovered d  2026-03-01T00:00:00Z to 2026-03-01T01:00:00Z (1h, expired): Leads.delete; acknowledged 2026-03-01T02:00:00Z: done
            the requests that find what was missed: channelkeeper gaps --hints, or with the name of a channel
        "#]].assert_eq(&text(&missed, true, false));
        assert!(text(&missed, true, true).contains("GET https://"));
        assert_eq!(text(&[], false, false), "no gaps\n");
    }
}
