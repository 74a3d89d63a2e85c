//! The accounts on the front page: each with its token, its clock, its calls and its last pass.
//!
//! A trouble stands among the reasons, in whole; here it has a word only.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::model::channel::{AccountName, ChannelId};
use crate::model::time::{Timestamp, brief, span};
use crate::plan::cause::CauseKind;
use crate::plan::credits::Credits;
use crate::plan::render::undeclarable;
use crate::reconcile::report::AccountReport;

use super::super::health::account_guarantee;
use super::super::lookups::TokenFacts;
use super::super::one_line::line;
use super::super::overview::Overview;
use super::super::status::{CreditsView, PassView, counts, overlap_lines};
use super::frame::{from_now, state};
use super::mark::{Mark, causes};
use super::query::Query;

/// One account.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AccountRow {
    /// Its name.
    pub name: String,
    /// The reason why the account cannot be worked on.
    pub unusable: Option<String>,
    /// The other machine that serves it.
    pub machine: Option<String>,
    /// Its last pass.
    pub pass: Option<PassView>,
    /// How many channels are in each state.
    pub counts: BTreeMap<String, usize>,
    /// How many of its channels are paused.
    pub paused: usize,
    /// Channels at Zoho that are not ours.
    pub foreign: usize,
    /// A note of those that no declaration can have.
    pub undeclarable: Option<String>,
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

/// Declared accounts; one that cannot be worked on is among them wherever it is listed.
pub(super) fn all_accounts(overview: &Overview) -> Vec<&AccountName> {
    overview.names().into_iter().collect()
}

/// The one that is asked for, or the worst.
pub(super) fn shown_accounts<'a>(
    overview: &Overview,
    names: &[&'a AccountName],
    query: &Query,
    now: Timestamp,
) -> Vec<&'a AccountName> {
    let is_asked =
        |name: &&AccountName| query.account.as_ref().is_none_or(|account| account == name.as_str());
    let mut names: Vec<&AccountName> = names.iter().copied().filter(is_asked).collect();
    names.sort_by_cached_key(|name| {
        let report = overview.report(name);
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
    pub(super) fn of(
        overview: &Overview,
        name: &AccountName,
        token: TokenFacts,
        now: Timestamp,
    ) -> AccountRow {
        let report = overview.report(name);
        let calls = |report: &AccountReport| report.traffic.calls.values().sum();
        AccountRow {
            name: name.to_string(),
            unusable: overview.unusable.get(name).map(|why| line(why)),
            machine: overview.machine(name).map(str::to_owned),
            pass: report.map(|report| PassView::of(report, overview.next_audit(now), now)),
            counts: report.map(|report| counts(report, now)).unwrap_or_default(),
            paused: report.map_or(0, paused),
            foreign: report.map_or(0, |report| report.after.foreign_count()),
            undeclarable: report.and_then(|report| undeclarable(&report.after.strangers)),
            until: report.and_then(|report| account_guarantee(report, now).until()),
            token,
            calls: report.map_or(0, calls),
            credits: report.and_then(|report| CreditsView::of(report, now)),
            overlaps: report.map(overlap_lines).unwrap_or_default(),
        }
    }

    /// Its row; `up` is since when calls are counted.
    pub(super) fn row(&self, query: &Query, up: Timestamp, now: Timestamp) -> Markup {
        let here = query.with(|query| query.account = Some(self.name.clone())).href();
        let counts = self.counts.iter().filter(|(_, count)| **count > 0);
        html! {
            tr {
                th scope="row" {
                    a href=(here) { (self.name) }
                    @if let Some(machine) = &self.machine { br; span.quiet { "at " (machine) } }
                }
                td data-label="Channels" {
                    @for (word, count) in counts { span.count { (count) " " (state(word)) } " " }
                    @if self.paused > 0 { span.count { (self.paused) " " (Mark::Paused.chip()) } " " }
                    @if self.foreign > 0 { span.quiet { (self.foreign) " foreign, not ours" } }
                    @if let Some(note) = &self.undeclarable { br; span.quiet { (note) } }
                    @for overlap in &self.overlaps { br; span.quiet { (overlap) } }
                }
                td data-label="Covered until" {
                    @match (self.until, &self.unusable) {
                        (_, Some(_)) => { (state("failing")) " cannot be worked on" }
                        (Some(until), None) => (from_now(until, now)),
                        (None, None) => "-",
                    }
                }
                td data-label="Token" {
                    @if self.machine.is_some() { "-" } @else { (token(&self.token, now)) }
                }
                td data-label="Skew" { (self.pass.as_ref().and_then(|pass| pass.skew_ms).map_or("-".to_owned(), skew)) }
                td data-label="Calls" {
                    @if self.machine.is_some() { "-" } @else {
                        (self.calls) " " span.quiet { "in " (brief(span(up, now))) }
                    }
                    @if let Some(Credits { remaining, per_day, .. }) = self.credits.as_ref().map(|view| &view.credits) {
                        " " span.quiet { "(" (remaining) @if let Some(all) = per_day { " of " (all) } " credits left)" }
                    }
                }
                td data-label="Last pass" { (last_pass(self.pass.as_ref(), now)) }
            }
        }
    }
}

/// How many declared channels are paused.
fn paused(report: &AccountReport) -> usize {
    let causes = causes(report);
    let is_paused =
        |id: &&ChannelId| causes.get(id).is_some_and(|causes| causes.contains(&CauseKind::Paused));
    report.channels.keys().filter(is_paused).count()
}

/// The words about a token.
fn token(token: &TokenFacts, now: Timestamp) -> Markup {
    let TokenFacts { until, denied } = token;
    let valid = until.filter(|until| *until > now);
    html! {
        @match (denied, valid) {
            (Some((_, again)), _) => { (state("failing")) " denied, asked again " (from_now(*again, now)) }
            (None, Some(until)) => { "ends " (from_now(until, now)) }
            (None, None) => "fetched when it is needed",
        }
    }
}

fn last_pass(pass: Option<&PassView>, now: Timestamp) -> Markup {
    let Some(pass) = pass else { return html! { "none has ended yet" } };
    html! {
        (from_now(pass.at, now)) " (" (pass.wake) ")"
        @if let Some(renewal) = &pass.next_renewal {
            br; "next renewal of " (renewal.channel) " " (due(renewal.at, now))
        }
        @if let Some(look) = pass.next_look { br; "next look " (due(look, now)) }
        @for (what, why) in [("look", &pass.look_failed), ("writes", &pass.writes_failed)] {
            @if why.is_some() { br; (state("degraded")) " " (what) " failed" }
        }
        @if pass.needs_a_person { br; (state("failing")) " needs a person" }
    }
}

/// An instant that is ahead, or `is due`.
fn due(instant: Timestamp, now: Timestamp) -> Markup {
    html! { @if instant > now { (from_now(instant, now)) } @else { "is due" } }
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

/// Less than this is shown as none.
const SKEW_SHOWN_MS: i64 = 50;
/// The most accounts in the page.
pub(crate) const ACCOUNTS_MAX: usize = 10;
