//! The channels of a page as a table: one line each, which sorts by its headers.

use maud::{Markup, html};

use crate::model::time::{Timestamp, brief, span};

use super::super::health::counted;
use super::super::status::ChannelView;
use super::frame::{from_now, state, words};
use super::mark::Mark;
use super::query::{Query, Sort, channel_href};
use super::strip::Strip;

/// One channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChannelRow {
    /// Its account.
    pub account: String,
    /// The channel.
    pub channel: ChannelView,
    /// Its marks.
    pub marks: Vec<Mark>,
    /// Its coverage.
    pub strip: Strip,
}

/// The columns that not every page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// More than one account is declared.
    pub(super) account: bool,
    /// Something is known of the coverage of a channel here.
    pub(super) coverage: bool,
}

/// The row of headers; those that sort are links.
pub(super) fn header(query: &Query, columns: Columns) -> Markup {
    let sorts = |sort: Sort, title: &str| {
        let is_it = query.sort == sort;
        let reversed = is_it && !query.reversed;
        let href = query.with(|query| (query.sort, query.reversed) = (sort, reversed)).href();
        // The best first is the other way round, so that the arrow points where the worst is.
        let order = is_it.then_some(if query.reversed { "descending" } else { "ascending" });
        let arrow = match order {
            Some("ascending") => " \u{2191}",
            Some(_) => " \u{2193}",
            None => "",
        };
        html! {
            th scope="col" aria-sort=[order] { a href=(href) { (title) span aria-hidden="true" { (arrow) } } }
        }
    };
    html! {
        tr {
            (sorts(Sort::Name, "Channel"))
            @if columns.account { th scope="col" { "Account" } }
            (sorts(Sort::Worst, "State"))
            (sorts(Sort::Life, "Ends"))
            (sorts(Sort::Renewal, "Renews"))
            th.wide scope="col" { "Last step" }
            @if columns.coverage {
                th.strips scope="col" { "Last " (query.period.title()) }
                (sorts(Sort::Gaps, "Covered"))
            }
        }
    }
}

impl ChannelRow {
    pub(super) fn row(&self, columns: Columns, now: Timestamp) -> Markup {
        let ChannelRow { account, channel, marks, strip } = self;
        let here = channel_href(account, &channel.name);
        html! {
            tr {
                th scope="row" { a href=(here) { (channel.name) } }
                @if columns.account { td.account title=(account) { (account) } }
                td { (state(&channel.state)) @for mark in marks { " " (mark.chip()) } }
                td { (ends(channel, now)) }
                td { (renews(channel, marks, now)) }
                td.wide { (step(channel, now)) }
                @if columns.coverage {
                    td.strips { (strip.svg()) }
                    td {
                        (strip.share())
                        @if channel.gaps > 0 { " " a href=(format!("{here}#gaps")) { (counted(channel.gaps, "gap")) } }
                    }
                }
            }
        }
    }
}

fn ends(channel: &ChannelView, now: Timestamp) -> Markup {
    html! {
        @match channel.expiry { Some(expiry) => (from_now(expiry, now)), None => span.quiet { "not enabled" } }
    }
}

fn renews(channel: &ChannelView, marks: &[Mark], now: Timestamp) -> Markup {
    html! {
        @match channel.due_at {
            _ if marks.contains(&Mark::Paused) => span.quiet { "paused" },
            _ if marks.contains(&Mark::Observed) => span.quiet { "not by us" },
            Some(due_at) if due_at > now => (from_now(due_at, now)),
            Some(due_at) if marks.contains(&Mark::Late) => span.late { (brief(span(due_at, now))) " late" },
            Some(_) => "now",
            None => span.quiet { "-" },
        }
    }
}

/// The last step, and its outcome in a word unless it was done: the reasons and the channel's page
/// have it in whole.
fn step(channel: &ChannelView, now: Timestamp) -> Markup {
    html! {
        @match &channel.last {
            Some(last) => {
                @let outcome = last.outcome.split([':', ',', ' ']).next().unwrap_or_default();
                (last.step) @if outcome != "done" { ": " (outcome) } " " span.quiet { (from_now(last.at, now)) }
            }
            None => span.quiet { "none yet" },
        }
    }
}

/// The last step and its outcome in whole.
pub(super) fn last_outcome(channel: &ChannelView, now: Timestamp) -> Markup {
    html! {
        @match &channel.last {
            Some(last) => { span.words { (words(&last.outcome)) } " " span.quiet { (last.step) ", " (from_now(last.at, now)) } }
            None => span.quiet { "nothing was done yet" },
        }
    }
}
