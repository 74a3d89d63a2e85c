//! The front page: the verdict and what to do, a picture of the fleet, the channels that the query
//! selects, and the accounts.

use maud::{Markup, html};

use crate::coverage::Ledger;
use crate::model::time::{Timestamp, brief, span};
use crate::reconcile::report::ChannelState;

use super::super::health::{Health, counted, gaps_note, health};
use super::super::lookups::Lookups;
use super::super::one_line::line;
use super::super::overview::{LoopAge, Overview};
use super::super::status::{
    ChannelView, ConfigView, HealthView, InClusterView, ReasonView, headline,
};
use super::accounts::{AccountRow, all_accounts, shown_accounts};
use super::axis::Axis;
use super::frame::{Frame, at, coded, from_now, legend, state};
use super::mark::Mark;
use super::query::{Period, Query, Sort, StateFilter, channel_href};
use super::select::{Hit, PageSelection, select};
use super::strip::Strip;
use super::table::{ChannelRow, Columns, header};
use super::wall::Wall;

/// The content of the front page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FrontView {
    /// The query that was asked for.
    pub query: Query,
    /// The instant that the page shows.
    pub now: Timestamp,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// The answer in one sentence.
    pub headline: String,
    /// The remedy of the most serious reason, or that nothing is to be done.
    pub to_do: String,
    /// How everything is.
    pub health: HealthView,
    /// The state of the config.
    pub config: ConfigView,
    /// The losses of the last day and the renewals of the next.
    pub axis: Axis,
    /// The channels as cells.
    pub wall: Wall,
    /// The accounts, the worst first, at most [`super::accounts::ACCOUNTS_MAX`].
    pub accounts: Vec<AccountRow>,
    /// The names of all accounts.
    pub account_names: Vec<String>,
    /// The channels of this page.
    pub channels: Vec<ChannelRow>,
    /// How many channels there are on all pages.
    pub found: usize,
    /// Which page this is.
    pub page: usize,
    /// How many pages there are.
    pub pages: usize,
    /// How many channels are in each state, in the order of [`ChannelState::ALL`].
    pub by_state: [usize; 4],
    /// How many channels have each mark, in the order of [`Mark::ALL`].
    pub by_mark: [usize; Mark::ALL.len()],
    /// How this machine stands among those that share the accounts, if there are others.
    pub cluster: Option<InClusterView>,
    /// The reason why part of the memory could not be read, if so.
    pub unread: Option<String>,
}

impl FrontView {
    /// The front page at `now`.
    pub(crate) fn of(
        overview: &Overview,
        loop_age: LoopAge,
        memory: &Lookups,
        query: Query,
        now: Timestamp,
    ) -> FrontView {
        let health = health(overview, loop_age, now);
        let PageSelection { fleet, hits, found, page, pages, by_state } =
            select(overview, &query, now);
        let mut unread = None;
        let channels = hits.iter().map(|hit| {
            let read = (memory.channel)(&hit.report.account, hit.channel.spec.id);
            let read = read.map_err(|why| unread = Some(line(&why)));
            row(hit, read.unwrap_or_default().ledger.as_ref(), query.period, now)
        });
        let channels = channels.collect();
        let names = all_accounts(overview);
        let accounts = shown_accounts(overview, &names, &query, now).into_iter().map(|name| {
            let read = (memory.account)(name).map_err(|why| unread = Some(line(&why)));
            let token = read.unwrap_or_default().map(|account| account.token);
            AccountRow::of(overview, name, token.unwrap_or_default(), now)
        });
        let accounts = accounts.collect();
        FrontView {
            now,
            started_at: overview.started_at,
            headline: headline(health.guarantee, overview, now),
            to_do: to_do(&health),
            health: HealthView::of(&health),
            config: ConfigView::of(&overview.config),
            axis: Axis::of(&fleet, health.guaranteed_until(), now),
            wall: Wall::of(&fleet, &query),
            by_mark: Mark::ALL.map(|mark| count(&fleet, mark)),
            accounts,
            account_names: names.iter().map(ToString::to_string).collect(),
            channels,
            found,
            page,
            pages,
            by_state,
            cluster: InClusterView::of(overview),
            unread,
            query,
        }
    }

    /// Renders it as HTML.
    pub(crate) fn page(&self) -> String {
        let status = self.health.status;
        let frame = Frame {
            title: format!("channelkeeper: {}", status.word()),
            status: Some(status),
            follow: self.query.follow,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: self.now,
        };
        let body = html! {
            header class=(status.word()) { (self.heading()) }
            main #main {
                (self.reasons())
                (self.fleet())
                (self.channels())
                (self.accounts())
            }
        };
        frame.around(&body)
    }

    fn heading(&self) -> Markup {
        let health = &self.health;
        html! {
            p.brand { a href="/" { "channelkeeper" } }
            @if let Some(until) = health.guaranteed_until {
                h1 {
                    "everything is covered until " (at(until)) " even if nothing succeeds any more"
                }
            } @else {
                h1 { (self.headline) }
            }
            p.todo { b { "To do: " } (coded(&self.to_do)) }
            p.sub {
                (state(health.status.word()))
                @if let Some(until) = health.guaranteed_until { span { "ends " (from_now(until, self.now)) } }
                @if let Some(why) = &health.not_ready { span { "not ready: " (why) } }
                @if let Some(cluster) = &self.cluster { span { (cluster.to_string()) } }
                span { "up " (brief(span(self.started_at, self.now))) }
                span { (self.following()) }
            }
        }
    }

    fn following(&self) -> Markup {
        let follow = !self.query.follow;
        let other = Query { follow, ..self.query.clone() }.href();
        html! {
            "as of " (at(self.now)) " "
            @if follow { a href=(other) { "keep it up to date" } }
            @else { "and again every minute " a href=(other) { "stop" } }
        }
    }

    fn reasons(&self) -> Markup {
        let HealthView { reasons, reasons_left_out, .. } = &self.health;
        let ConfigView { warnings, .. } = &self.config;
        let (first, rest) = reasons.split_at(reasons.len().min(REASONS_SHOWN));
        let unread = self.unread.as_ref();
        let unread = unread.map(|why| format!("part of the memory could not be read: {why}"));
        let mut notes: Vec<String> =
            unread.into_iter().chain(gaps_note(self.health.gaps)).collect();
        notes.extend(warnings.iter().map(|warning| format!("config: {warning}")));
        let (shown, others) = notes.split_at(notes.len().min(NOTES_SHOWN));
        let more = rest.len() + others.len() + reasons_left_out;
        html! {
            @if !reasons.is_empty() || !notes.is_empty() {
                section.reasons aria-label="Problems" {
                    ul {
                        @for reason in first { (reason_item(reason)) }
                        @for note in shown { (note_item(note)) }
                    }
                    @if more > 0 {
                        details {
                            summary { (more) " more" }
                            ul {
                                @for reason in rest { (reason_item(reason)) }
                                @for note in others { (note_item(note)) }
                            }
                            @if *reasons_left_out > 0 { p { "and " (reasons_left_out) " that are not listed" } }
                        }
                    }
                }
            }
        }
    }

    fn fleet(&self) -> Markup {
        html! {
            @if self.axis.channels > 0 {
                section aria-labelledby="fleet" {
                    h2 #fleet { "The fleet, a day back and a day ahead" }
                    (self.axis.html())
                    a.skip href="#channels" { "Skip the cells" }
                    (self.wall.html())
                }
            }
        }
    }

    fn channels(&self) -> Markup {
        let from = (self.page - 1) * super::select::PAGE;
        let columns = self.columns();
        html! {
            section aria-labelledby="channels" {
                h2 #channels { "Channels" }
                (self.unknown())
                @if !self.is_bare() { (self.states()) (self.form()) }
                @if self.channels.is_empty() { p.quiet { (self.nothing()) } } @else {
                    (self.turning("Pages, above the table"))
                    table.channels {
                        caption {
                            "Channels " (from + 1) " to " (from + self.channels.len()) " of " (self.found) ", " (self.query.sort.title())
                            @if self.query.reversed { ", turned round" }
                        }
                        thead { (header(&self.query, columns)) }
                        tbody { @for row in &self.channels { (row.row(columns, self.now)) } }
                    }
                    (self.turning("Pages, below the table"))
                    @if columns.coverage { (legend()) }
                }
            }
        }
    }

    /// A column that would be empty, or say the same in every row, is left out.
    fn columns(&self) -> Columns {
        Columns {
            account: self.account_names.len() > 1,
            coverage: self.channels.iter().any(|row| row.strip.declared.is_some()),
        }
    }

    /// True when there is no channel, whatever the filter: nothing can be searched or sorted.
    fn is_bare(&self) -> bool {
        let Query { q, state, account, .. } = &self.query;
        self.by_state.iter().sum::<usize>() == 0
            && q.is_empty()
            && state.is_none()
            && account.is_none()
    }

    fn nothing(&self) -> Markup {
        let waits = self.accounts.iter().any(|account| account.pass.is_none());
        html! {
            @if self.account_names.is_empty() {
                "No account and no channel is declared in " code { (self.config.file) } ". Declare them there, then run "
                code { "channelkeeper apply" } "; " code { "channelkeeper init" } " asks for all it needs and writes a first config."
            } @else if self.is_bare() && waits {
                "The channels appear here as soon as the daemon has looked at Zoho for the first time."
            } @else if self.is_bare() {
                "No channel is declared in " code { (self.config.file) } "."
            } @else { "No channel matches this filter." }
        }
    }

    /// The choices in the URL that are not known, and those that are.
    fn unknown(&self) -> Markup {
        let account = self.query.account.as_ref().filter(|name| !self.account_names.contains(name));
        html! {
            @for choice in &self.query.unknown {
                p.note { (state("warning")) " The address asks for " code { (choice) } ", which is not known here and was left out." }
            }
            @if let Some(name) = account {
                p.note { (state("warning")) " No account " q { (name) } " is declared." }
            }
        }
    }

    /// How many are in each state and have each mark, as links.
    fn states(&self) -> Markup {
        let link =
            |filter: Option<StateFilter>| self.query.with(|query| query.state = filter).href();
        let current = |filter: Option<StateFilter>| (self.query.state == filter).then_some("page");
        let all: usize = self.by_state.iter().sum();
        let marks = Mark::ALL.into_iter().zip(self.by_mark);
        let states = ChannelState::ALL.into_iter().zip(self.by_state);
        html! {
            nav.states aria-label="By state" {
                a href=(link(None)) aria-current=[current(None)] { "all " b { (all) } }
                @for (of_state, count) in states.filter(|(of_state, count)| *count > 0 || self.query.state == Some(StateFilter::Is(*of_state))) {
                    @let filter = Some(StateFilter::Is(of_state));
                    a href=(link(filter)) aria-current=[current(filter)] { (state(of_state.word())) " " b { (count) } }
                }
                @for (mark, count) in marks.filter(|(mark, count)| *count > 0 || self.query.state == Some(StateFilter::Marked(*mark))) {
                    @let filter = Some(StateFilter::Marked(mark));
                    a href=(link(filter)) aria-current=[current(filter)] { (mark.chip()) " " b { (count) } }
                }
            }
        }
    }

    fn form(&self) -> Markup {
        if self.query.follow {
            return html! { p.quiet.intro { "Stop the updates to search and filter: they would take away the text that you type." } };
        }
        let Query { q, state, account, sort, reversed, period, page: _, follow: _, unknown: _ } =
            &self.query;
        let names = self.account_names.iter().take(NAMES_MAX);
        html! {
            form method="get" action="/" role="search" {
                label { "Search" input type="search" name="q" value=(q) placeholder="name, id, module" maxlength="100"; }
                label { "Show" select name="state" {
                    option value="" selected[state.is_none()] { "all" }
                    @for one in StateFilter::all() { option selected[*state == Some(one)] { (one.word()) } }
                } }
                @if self.account_names.len() > 1 {
                    label { "Account" select name="account" {
                        option value="" selected[account.is_none()] { "any" }
                        @for name in names { option selected[account.as_ref() == Some(name)] { (name) } }
                    } }
                }
                label { "Order" select name="sort" {
                    @for one in Sort::ALL {
                        @let is_it = *sort == one;
                        @let word = self.query.sort_word(one, is_it && *reversed).unwrap_or(one.word().to_owned());
                        option value=(word) selected[is_it] { (one.title()) }
                    }
                } }
                label { "Coverage" select name="period" {
                    @for one in Period::ALL { option value=(one.word()) selected[*period == one] { (one.title()) } }
                } }
                button type="submit" { "Show" }
                @if self.query.with(|_| {}).href() != "/" { a href="/" { "clear" } }
            }
        }
    }

    fn turning(&self, label: &str) -> Markup {
        let link = |page: usize| Query { page, ..self.query.clone() }.href();
        let (page, pages) = (self.page, self.pages);
        html! {
            @if pages > 1 {
                nav.pages aria-label=(label) {
                    @if page > 1 { a href=(link(1)) { "first" } a href=(link(page - 1)) rel="prev" { "previous" } }
                    span { "page " (page) " of " (pages) }
                    @if page < pages { a href=(link(page + 1)) rel="next" { "next" } a href=(link(pages)) { "last" } }
                }
            }
        }
    }

    fn accounts(&self) -> Markup {
        let left_out = if self.query.account.is_some() {
            0
        } else {
            self.account_names.len().saturating_sub(self.accounts.len())
        };
        html! {
            @if !self.accounts.is_empty() {
                section aria-labelledby="accounts" {
                    h2 #accounts { "Accounts" }
                    table {
                        caption { "Each account with its token, its clock and its last pass" }
                        thead { tr {
                            th scope="col" { "Account" } th scope="col" { "Channels" } th scope="col" { "Covered until" }
                            th scope="col" { "Token" } th scope="col" { "Skew" } th scope="col" { "Calls" } th scope="col" { "Last pass" }
                        } }
                        tbody { @for account in &self.accounts { (account.row(&self.query, self.started_at, self.now)) } }
                    }
                    @if left_out > 0 { p.quiet { "and " (counted(left_out, "account")) " in no worse state; choose one above" } }
                }
            }
        }
    }
}

fn row(hit: &Hit<'_>, ledger: Option<&Ledger>, period: Period, now: Timestamp) -> ChannelRow {
    ChannelRow {
        account: hit.account().to_owned(),
        channel: ChannelView::alone(hit.report, hit.channel, now),
        marks: hit.marks.clone(),
        strip: Strip::of(ledger, period, hit.report.zoho_time(now)),
    }
}

fn count(fleet: &[Hit<'_>], mark: Mark) -> usize {
    fleet.iter().filter(|hit| hit.marks.contains(&mark)).count()
}

/// The remedy of the most serious reason.
fn to_do(health: &Health) -> String {
    match health.reasons.first() {
        Some(reason) => reason.remedy(),
        None if health.gaps > 0 => {
            "nothing now; `channelkeeper gaps` lists what was missed".to_owned()
        }
        None => "nothing".to_owned(),
    }
}

fn note_item(note: &str) -> Markup {
    html! { li.note { (state("warning")) " " (coded(note)) } }
}

fn reason_item(reason: &ReasonView) -> Markup {
    let ReasonView { status, word, account, channel, text } = reason;
    html! {
        li class=(status.word()) {
            (state(status.word())) " " b { (word) }
            @if let Some(account) = account {
                " "
                @if let Some(channel) = channel { a href=(channel_href(account, channel)) { (account) "/" (channel) } }
                @else { (account) }
            }
            ": " (coded(text))
        }
    }
}

/// The most account names to choose from.
const NAMES_MAX: usize = 500;
/// Reasons that are shown at once.
const REASONS_SHOWN: usize = 5;
/// Notes that are shown at once.
const NOTES_SHOWN: usize = 3;
