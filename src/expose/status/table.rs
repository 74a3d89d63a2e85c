//! The channels of a status as a table: all of them, or of many those that are not well.

use std::cmp::Ordering;

use crate::expose::page::natural::natural;
use crate::model::time::{Timestamp, brief, span};
use crate::plan::cause::CauseKind;

use super::super::health::Status;
use super::layout::{Layout, Rows, Tone, ago, columns, cut, padded, until};
use super::{AccountView, ChannelView, StatusView, counted};

/// The channels of each account that have a line, in the order of the accounts.
pub(super) struct RowsShown<'v> {
    pub(super) accounts: Vec<Vec<&'v ChannelView>>,
    /// How many have none.
    pub(super) left_out: usize,
}

impl<'v> RowsShown<'v> {
    pub(super) fn of(view: &'v StatusView, rows: Rows) -> RowsShown<'v> {
        let all = || view.accounts.iter().map(|account| account.channels.iter());
        let total: usize = view.accounts.iter().map(|account| account.channels.len()).sum();
        if rows == Rows::All || total <= ROWS_MAX {
            let by_name = |channels: std::slice::Iter<'v, ChannelView>| {
                let mut channels: Vec<&ChannelView> = channels.collect();
                channels.sort_by(|one, other| natural(&one.name, &other.name));
                channels
            };
            return RowsShown { accounts: all().map(by_name).collect(), left_out: 0 };
        }
        let numbered = all().enumerate();
        let mut ranked: Vec<(usize, &ChannelView)> = numbered
            .flat_map(|(at, channels)| channels.map(move |channel| (at, channel)))
            .collect();
        ranked.sort_by(|(_, one), (_, other)| one.worse_than(other, view.now));
        let unwell = ranked.iter().filter(|(_, one)| one.trouble(view.now) < Badness::None).count();
        ranked.truncate(unwell.clamp(ROWS_LEAST, ROWS_MAX));
        let mut accounts = vec![Vec::new(); view.accounts.len()];
        for (at, channel) in &ranked {
            accounts[*at].push(*channel);
        }
        RowsShown { accounts, left_out: total - ranked.len() }
    }
}

/// How bad it is with a channel, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Badness {
    /// Events are lost.
    Lost,
    /// Events are about to be lost.
    Near,
    /// Something is not as it should be.
    Odd,
    /// Somebody may want to know something.
    Noted,
    /// All is well.
    None,
}

impl ChannelView {
    fn trouble(&self, now: Timestamp) -> Badness {
        let is_near = self.is_near_its_end(now) || self.undeliverable_since.is_some();
        match self.status {
            Status::Failing => Badness::Lost,
            Status::Degraded | Status::Ok if is_near => Badness::Near,
            Status::Degraded => Badness::Odd,
            Status::Ok if !self.note(now).is_empty() => Badness::Noted,
            Status::Ok => Badness::None,
        }
    }

    /// The worst first, and of the equally bad those that end first.
    fn worse_than(&self, other: &ChannelView, now: Timestamp) -> Ordering {
        let key = |channel: &ChannelView| (channel.trouble(now), channel.expiry);
        key(self).cmp(&key(other)).then_with(|| natural(&self.name, &other.name))
    }

    fn row(&self, now: Timestamp) -> [String; 6] {
        let ends = self.expiry.map_or("-".to_owned(), |expiry| until(expiry, now));
        let renews = self.due_at.map_or("-".to_owned(), |due_at| until(due_at, now));
        let last = self.last.as_ref().map_or("-".to_owned(), |last| {
            let step = format!("{} {} ago", last.step, ago(last.at, now));
            match last.outcome.starts_with("done") {
                true => step,
                false => format!("{step}: {}", last.outcome),
            }
        });
        [self.name.clone(), self.state.clone(), ends, renews, last, self.note(now)]
    }

    /// The note beside the state, if there is one.
    pub fn note(&self, now: Timestamp) -> String {
        let emergency =
            self.is_near_its_end(now).then(|| "near its end, and not renewed yet".to_owned());
        let short =
            self.short_grant.then(|| "Zoho gave far less life than was asked for".to_owned());
        // A look that failed is said once for the account.
        let held = self.held.iter().filter(|held| held.cause != CauseKind::Unknown.word());
        let held = held.map(|held| match held.until {
            Some(until) if until > now => {
                format!("{}: {} (again in {})", held.cause, held.detail, brief(span(now, until)))
            }
            Some(_) | None => format!("{}: {}", held.cause, held.detail),
        });
        let gaps = (self.gaps > 0)
            .then(|| format!("{} (`channelkeeper gaps {}`)", counted(self.gaps, "gap"), self.name));
        let refused = self
            .undeliverable_since
            .map(|since| format!("its receiver has refused deliveries for {}", ago(since, now)));
        let notes = emergency.into_iter().chain(refused).chain(short).chain(gaps).chain(held);
        notes.chain(self.drift.iter().cloned()).collect::<Vec<_>>().join("; ")
    }

    fn is_near_its_end(&self, now: Timestamp) -> bool {
        self.covered && self.emergency_at.is_some_and(|at| at <= now)
    }
}

/// A header and a line a channel, in columns as wide as they need to be. Where that is wider than
/// the terminal, a note stands below its channel.
pub(super) fn table(channels: &[&ChannelView], now: Timestamp, layout: &Layout) -> Vec<String> {
    if channels.is_empty() {
        return Vec::new();
    }
    let rows: Vec<[String; 6]> = channels.iter().map(|channel| channel.row(now)).collect();
    let widths: Vec<usize> = (0..HEADER.len())
        .map(|column| {
            let cells = rows.iter().map(|row| columns(&row[column]));
            cells.chain([HEADER[column].len()]).max().unwrap_or_default()
        })
        .collect();
    let needed: usize = widths.iter().map(|width| width + GUTTER).sum();
    let is_wide = layout.width.is_none_or(|width| needed <= width);
    let mut header = HEADER.map(ToOwned::to_owned);
    if rows.iter().all(|row| row[NOTE].is_empty()) {
        header[NOTE].clear();
    }
    let header = line(&header, &widths, is_wide, layout);
    let mut lines = vec![layout.ink(Tone::Aside, &header)];
    for (channel, row) in channels.iter().zip(&rows) {
        let text = line(row, &widths, is_wide, layout);
        lines.push(coloured(&text, channel, &widths, layout));
        if !is_wide && !row[NOTE].is_empty() {
            lines.extend(layout.prose("      ", Tone::Aside, &row[NOTE]));
        }
    }
    lines
}

fn line(row: &[String; 6], widths: &[usize], is_wide: bool, layout: &Layout) -> String {
    let shown = if is_wide { row.len() } else { NOTE };
    let cells = row.iter().zip(widths).take(shown);
    let cells: Vec<String> = cells.map(|(cell, width)| padded(cell, *width)).collect();
    let text = format!("  {}", cells.join("  ")).trim_end().to_owned();
    layout.width.map_or(text.clone(), |width| cut(&text, width))
}

/// The line with its state in the colour of that.
fn coloured(text: &str, channel: &ChannelView, widths: &[usize], layout: &Layout) -> String {
    let before = format!("  {}  ", padded(&channel.name, widths[0]));
    match text.strip_prefix(&before).and_then(|rest| rest.strip_prefix(&channel.state)) {
        Some(rest) => {
            format!("{before}{}{rest}", layout.ink(Tone::of(channel.status), &channel.state))
        }
        None => text.to_owned(),
    }
}

impl AccountView {
    /// The channels without a line, in words.
    pub(super) fn left_out(&self, shown: &[&ChannelView], now: Timestamp) -> Option<String> {
        let more = self.channels.len() - shown.len();
        if more == 0 {
            return None;
        }
        let is_unwell = |channel: &ChannelView| channel.trouble(now) < Badness::None;
        let unwell = self.channels.iter().filter(|channel| is_unwell(channel)).count()
            - shown.iter().filter(|channel| is_unwell(channel)).count();
        let words = match unwell {
            0 => "all of them well".to_owned(),
            unwell => format!("{unwell} of them not well"),
        };
        Some(format!("and {more} more, {words}"))
    }
}

const HEADER: [&str; 6] = ["CHANNEL", "STATE", "ENDS", "RENEWS", "LAST STEP", "NOTE"];
/// The place of the note in a row.
const NOTE: usize = 5;
/// The columns between two cells.
const GUTTER: usize = 2;
/// With more channels than this, those that are well have no line.
const ROWS_MAX: usize = 50;
/// So many have a line even when all are well: those that end first.
const ROWS_LEAST: usize = 10;
