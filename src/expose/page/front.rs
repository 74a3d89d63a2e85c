//! The front page: the headline, what is wrong, the accounts, and the channels that the query
//! selects.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, brief, span};
use crate::reconcile::report::{AccountReport, ChannelState};

use super::super::health::{account_guarantee, counted, gaps_note, health};
use super::super::lookups::{Lookups, TokenFacts};
use super::super::one_line::line;
use super::super::overview::{LoopAge, Overview};
use super::super::status::{
    ChannelView, ConfigView, CreditsView, HealthView, PassView, ReasonView, counts, headline,
    overlap_lines,
};
use super::bar::Bar;
use super::frame::{Frame, at, from_now, legend, state};
use super::query::{Query, Shows, Sort, StateFilter, channel_href};
use super::select::{Selection, select};
use super::strip::Strip;

/// The content of the front page.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontView {
    /// The query that was asked for.
    pub query: Query,
    /// The instant that the page shows.
    pub now: Timestamp,
    /// When the daemon started.
    pub started_at: Timestamp,
    /// The answer in one sentence.
    pub headline: String,
    /// How everything is.
    pub health: HealthView,
    /// The state of the config.
    pub config: ConfigView,
    /// The accounts, the worst first, at most [`ACCOUNTS_MAX`].
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
    /// The reason why part of the memory could not be read, if so.
    pub unread: Option<String>,
}

/// One account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// The reason why the account cannot be worked on.
    pub unusable: Option<String>,
    /// Its last pass.
    pub pass: Option<PassView>,
    /// How many channels are in each state.
    pub counts: BTreeMap<String, usize>,
    /// Channels at Zoho that are not ours.
    pub foreign: usize,
    /// Up to when its channels stay covered if nothing succeeds any more.
    pub until: Option<Timestamp>,
    /// Its access token.
    pub token: TokenFacts,
    /// Calls made by this process.
    pub calls: u64,
    /// The day's API credits that are left, when Zoho says it.
    pub credits: Option<CreditsView>,
    /// Events that several channels send to the same URL, one line each.
    pub overlaps: Vec<String>,
}

/// One channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelRow {
    /// Its account.
    pub account: String,
    /// The channel.
    pub channel: ChannelView,
    /// Its coverage.
    pub strips: Vec<Strip>,
}

impl FrontView {
    /// The front page at `now`.
    pub fn of(
        overview: &Overview,
        loop_age: LoopAge,
        memory: &Lookups,
        query: Query,
        now: Timestamp,
    ) -> FrontView {
        let health = health(overview, loop_age, now);
        let Selection { hits, found, page, pages, by_state } = select(overview, &query, now);
        let mut unread = None;
        let channels = hits.iter().map(|hit| {
            let (account, id) = (&hit.report.account, hit.channel.spec.id);
            let read = (memory.channel)(account, id).map_err(|why| unread = Some(line(&why)));
            let ledger = read.unwrap_or_default().ledger;
            let zoho_now = hit.report.zoho_time(now);
            let strip = |period| Strip::of(ledger.as_ref(), period, zoho_now);
            ChannelRow {
                account: account.to_string(),
                channel: ChannelView::alone(hit.report, hit.channel, now),
                strips: query.period.periods().into_iter().map(strip).collect(),
            }
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
            health: HealthView::of(&health),
            config: ConfigView::of(&overview.config),
            accounts,
            account_names: names.iter().map(ToString::to_string).collect(),
            channels,
            found,
            page,
            pages,
            by_state,
            unread,
            query,
        }
    }

    /// Renders it as HTML.
    pub fn page(&self) -> String {
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
            main {
                (self.reasons())
                (self.accounts())
                (self.channels())
            }
        };
        frame.around(&body)
    }

    fn heading(&self) -> Markup {
        let health = &self.health;
        let ready =
            health.not_ready.as_ref().map_or("ready".to_owned(), |why| format!("not ready: {why}"));
        html! {
            p.brand { a href="/" { "channelkeeper" } }
            @if let Some(until) = health.guaranteed_until {
                h1 { "everything is covered until " (at(until)) " even if nothing succeeds any more" }
            } @else {
                h1 { (self.headline) }
            }
            p.sub {
                (state(health.status.word()))
                @if let Some(until) = health.guaranteed_until { span { "ends " (from_now(until, self.now)) } }
                span { (ready) }
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
            @if follow { a href=(other) title="loads itself anew every minute" { "follow" } }
            @else { "(every minute) " a href=(other) { "stop" } }
        }
    }

    fn reasons(&self) -> Markup {
        let HealthView { reasons, reasons_left_out, .. } = &self.health;
        let ConfigView { warnings, .. } = &self.config;
        let (first, rest) = reasons.split_at(reasons.len().min(REASONS_SHOWN));
        let more = rest.len() + reasons_left_out;
        let gaps = gaps_note(self.health.gaps);
        let none =
            reasons.is_empty() && gaps.is_none() && warnings.is_empty() && self.unread.is_none();
        html! {
            @if !none {
                section.reasons aria-label="What is not as it should be" {
                    ul {
                        @for reason in first { (reason_item(reason)) }
                        @if let Some(note) = &gaps { li.note { (state("warning")) " " (note) } }
                        @for warning in warnings { li.note { (state("warning")) " config: " (warning) } }
                        @if let Some(why) = &self.unread { li.note { (state("warning")) " what is remembered could not be read: " (why) } }
                    }
                    @if more > 0 {
                        details {
                            summary { (more) " more" }
                            ul { @for reason in rest { (reason_item(reason)) } }
                            @if *reasons_left_out > 0 { p { "and " (reasons_left_out) " that are not listed" } }
                        }
                    }
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
            section aria-labelledby="accounts" {
                h2 #accounts { "Accounts" }
                @if self.accounts.is_empty() { p.quiet { "No such account is declared." } } @else {
                    table {
                        caption { "Each account with its token, its clock and its last pass" }
                        thead { tr {
                            th scope="col" { "Account" } th scope="col" { "Channels" } th scope="col" { "Covered until" }
                            th scope="col" { "Token" } th scope="col" { "Skew" } th scope="col" { "Calls" } th scope="col" { "Last pass" }
                        } }
                        tbody { @for account in &self.accounts { (account.row(&self.query, self.now)) } }
                    }
                }
                @if left_out > 0 { p.quiet { "and " (counted(left_out, "account")) " in no worse state; choose one below" } }
            }
        }
    }

    fn channels(&self) -> Markup {
        let from = (self.page - 1) * super::select::PAGE;
        html! {
            section aria-labelledby="channels" {
                h2 #channels { "Channels" }
                (self.states())
                @if self.query.follow {
                    p.quiet { "Search and filter rest while the page follows, so that nothing typed is lost." }
                } @else { (self.form()) }
                @if self.channels.is_empty() { p.quiet { "No channels match this filter." } } @else {
                    table.channels {
                        caption {
                            "Channels " (from + 1) " to " (from + self.channels.len()) " of " (self.found) ", " (self.query.sort.title())
                        }
                        thead { tr {
                            th scope="col" { "Channel" } th scope="col" { "State" } th scope="col" { "Life left" }
                            th scope="col" { "Last outcome" } th scope="col" { "Coverage" }
                        } }
                        tbody { @for row in &self.channels { (row.row(self.now)) } }
                    }
                    (self.turning())
                    (legend())
                }
            }
        }
    }

    /// How many are in each state, as links.
    fn states(&self) -> Markup {
        let link =
            |filter: Option<StateFilter>| self.query.with(|query| query.state = filter).href();
        let current = |filter: Option<StateFilter>| (self.query.state == filter).then_some("page");
        let all: usize = self.by_state.iter().sum();
        html! {
            nav.states aria-label="By state" {
                a href=(link(None)) aria-current=[current(None)] { "all " b { (all) } }
                @for (index, of_state) in ChannelState::ALL.into_iter().enumerate() {
                    @let filter = Some(StateFilter::Is(of_state));
                    a href=(link(filter)) aria-current=[current(filter)] { (state(of_state.word())) " " b { (self.by_state[index]) } }
                }
            }
        }
    }

    fn form(&self) -> Markup {
        let Query { q, state, account, sort, period, page: _, follow: _ } = &self.query;
        let names = self.account_names.iter().take(NAMES_MAX);
        let periods = [Shows::All].into_iter().chain(super::query::Period::ALL.map(Shows::One));
        html! {
            form method="get" action="/" role="search" {
                label { "Search" input type="search" name="q" value=(q) placeholder="name, id, module" maxlength="100"; }
                label { "State" select name="state" {
                    option value="" selected[state.is_none()] { "any" }
                    @for one in StateFilter::ALL { option selected[*state == Some(one)] { (one.word()) } }
                } }
                label { "Account" select name="account" {
                    option value="" selected[account.is_none()] { "any" }
                    @for name in names { option selected[account.as_ref() == Some(name)] { (name) } }
                } }
                label { "Order" select name="sort" {
                    @for one in Sort::ALL { option value=(one.word()) selected[*sort == one] { (one.title()) } }
                } }
                label { "Coverage" select name="period" {
                    @for one in periods { option selected[*period == one] { (one.word()) } }
                } }
                button type="submit" { "Show" }
                @if self.query.with(|_| {}).href() != "/" { a href="/" { "clear" } }
            }
        }
    }

    fn turning(&self) -> Markup {
        let link = |page: usize| Query { page, ..self.query.clone() }.href();
        let (page, pages) = (self.page, self.pages);
        html! {
            @if pages > 1 {
                nav.pages aria-label="Pages" {
                    @if page > 1 { a href=(link(1)) { "first" } a href=(link(page - 1)) rel="prev" { "previous" } }
                    span { "page " (page) " of " (pages) }
                    @if page < pages { a href=(link(page + 1)) rel="next" { "next" } a href=(link(pages)) { "last" } }
                }
            }
        }
    }
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
            ": " (text)
        }
    }
}

/// Declared accounts; one that cannot be worked on is among them wherever it is listed.
fn all_accounts(overview: &Overview) -> Vec<&AccountName> {
    let mut names: Vec<&AccountName> =
        overview.accounts.keys().chain(overview.unusable.keys()).collect();
    names.sort();
    names.dedup();
    names
}

/// The one that is asked for, or the worst.
fn shown_accounts<'a>(
    overview: &Overview,
    names: &[&'a AccountName],
    query: &Query,
    now: Timestamp,
) -> Vec<&'a AccountName> {
    let is_asked =
        |name: &&AccountName| query.account.as_ref().is_none_or(|account| account == name.as_str());
    let mut names: Vec<&AccountName> = names.iter().copied().filter(is_asked).collect();
    names.sort_by_cached_key(|name| {
        let report = overview.accounts.get(*name).and_then(Option::as_deref);
        let until = report.and_then(|report| account_guarantee(report, now).until());
        let troubled = report
            .is_some_and(|report| report.look_failed.is_some() || report.writes_failed.is_some());
        (
            !overview.unusable.contains_key(*name),
            report.is_some(),
            !troubled,
            until.is_some(),
            (*name).clone(),
        )
    });
    names.truncate(ACCOUNTS_MAX);
    names
}

impl AccountRow {
    fn of(
        overview: &Overview,
        name: &AccountName,
        token: TokenFacts,
        now: Timestamp,
    ) -> AccountRow {
        let report = overview.accounts.get(name).and_then(Option::as_deref);
        let calls = |report: &AccountReport| report.traffic.calls.values().sum();
        AccountRow {
            name: name.to_string(),
            unusable: overview.unusable.get(name).map(|why| line(why)),
            pass: report.map(PassView::of),
            counts: report.map(|report| counts(report, now)).unwrap_or_default(),
            foreign: report.map_or(0, |report| report.after.foreign.len()),
            until: report.and_then(|report| account_guarantee(report, now).until()),
            token,
            calls: report.map_or(0, calls),
            credits: report.and_then(|report| CreditsView::of(report, now)),
            overlaps: report.map(overlap_lines).unwrap_or_default(),
        }
    }

    fn row(&self, query: &Query, now: Timestamp) -> Markup {
        let here = query.with(|query| query.account = Some(self.name.clone())).href();
        let counts = self.counts.iter().filter(|(_, count)| **count > 0);
        html! {
            tr {
                th scope="row" { a href=(here) { (self.name) } }
                td data-label="Channels" {
                    @for (word, count) in counts { span.count { (count) " " (state(word)) } " " }
                    @if self.foreign > 0 { span.quiet { (self.foreign) " foreign" } }
                    @for overlap in &self.overlaps { br; span.quiet { (overlap) } }
                }
                td data-label="Covered until" {
                    @match (self.until, &self.unusable) {
                        (_, Some(why)) => { (state("failing")) " cannot be worked on: " (why) }
                        (Some(until), None) => (from_now(until, now)),
                        (None, None) => "-",
                    }
                }
                td data-label="Token" { (token(&self.token, now)) }
                td data-label="Skew" { (self.pass.as_ref().and_then(|pass| pass.skew_ms).map_or("-".to_owned(), skew)) }
                td data-label="Calls" {
                    (self.calls)
                    @if let Some(CreditsView { remaining, per_day, .. }) = &self.credits {
                        " " span.quiet { "(" (remaining) @if let Some(all) = per_day { " of " (all) } " credits left)" }
                    }
                }
                td data-label="Last pass" { (last_pass(self.pass.as_ref(), now)) }
            }
        }
    }
}

/// The words about a token.
fn token(token: &TokenFacts, now: Timestamp) -> Markup {
    let TokenFacts { until, denied } = token;
    let valid = until.filter(|until| *until > now);
    html! {
        @match (denied, valid) {
            (Some((what, again)), _) => { (state("failing")) " " q { (what) } ", asked again " (from_now(*again, now)) }
            (None, Some(until)) => { "ends " (from_now(until, now)) }
            (None, None) => "fetched when it is needed",
        }
    }
}

fn last_pass(pass: Option<&PassView>, now: Timestamp) -> Markup {
    let Some(pass) = pass else { return html! { "none has ended yet" } };
    html! {
        (from_now(pass.at, now)) " (" (pass.wake) "), next "
        @if pass.next_wake > now { (from_now(pass.next_wake, now)) } @else { "is due" }
        @for (what, why) in [("look", &pass.look_failed), ("writes", &pass.writes_failed)] {
            @if let Some(why) = why { br; (state("degraded")) " " (what) " failed: " q { (why) } }
        }
        @if pass.needs_a_person { br; (state("failing")) " needs a person" }
    }
}

/// As `+0.3 s`: ahead of ours is plus.
fn skew(milliseconds: i64) -> String {
    let length = std::time::Duration::from_millis(milliseconds.unsigned_abs());
    let sign = if milliseconds < -SKEW_SHOWN_MS {
        "-"
    } else if milliseconds > SKEW_SHOWN_MS {
        "+"
    } else {
        ""
    };
    if length.as_secs() < 60 {
        format!("{sign}{:.1}\u{a0}s", length.as_secs_f64())
    } else {
        format!("{sign}{}", brief(length))
    }
}

impl ChannelRow {
    fn row(&self, now: Timestamp) -> Markup {
        let ChannelRow { account, channel, strips } = self;
        let note = channel.note(now);
        html! {
            tr {
                th scope="row" { a href=(channel_href(account, &channel.name)) { (channel.name) } " " span.quiet { (account) } }
                td data-label="State" { (state(&channel.state)) }
                td data-label="Life left" {
                    (Bar::of(channel, now).svg(channel, now))
                    span.quiet {
                        @match channel.expiry.filter(|expiry| *expiry > now) {
                            Some(expiry) => { "ends " (from_now(expiry, now)) }
                            None => "none",
                        }
                        @if let Some(due_at) = channel.due_at.filter(|due_at| *due_at > now) { ", renewed " (from_now(due_at, now)) }
                    }
                }
                td data-label="Last outcome" {
                    (last_outcome(channel, now))
                    @if !note.is_empty() { p.note { (note) } }
                }
                td data-label="Coverage" { (coverage(strips)) }
            }
        }
    }
}

/// The last step and its outcome.
pub(super) fn last_outcome(channel: &ChannelView, now: Timestamp) -> Markup {
    html! {
        @match &channel.last {
            Some(last) => { span.words { (last.outcome) } " " span.quiet { (last.step) ", " (from_now(last.at, now)) } }
            None => span.quiet { "nothing was done yet" },
        }
    }
}

/// Strips, one below the other.
pub(super) fn coverage(strips: &[Strip]) -> Markup {
    html! {
        @for strip in strips {
            div.cover { span { (strip.period.word()) } (strip.svg()) span { (strip.share()) } }
        }
    }
}

/// Less than this is shown as none.
const SKEW_SHOWN_MS: i64 = 50;
/// The most accounts in the page.
pub const ACCOUNTS_MAX: usize = 10;
/// The most account names to choose from.
const NAMES_MAX: usize = 500;
/// Reasons that are shown at once.
const REASONS_SHOWN: usize = 5;
