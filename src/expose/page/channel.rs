//! The page of one channel: its declaration, Zoho's grant, the reasons for its treatment, its
//! coverage, and the requests that fill its gaps.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};

use crate::coverage::backfill::{Backfill, backfill};
use crate::coverage::ledger::Ledger;
use crate::coverage::render::{GapView, views};
use crate::model::account::ApiBase;
use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::cluster::Allowed;
use crate::model::events::Events;
use crate::model::record::Grant;
use crate::model::time::{Timestamp, before, brief, span, whole_seconds};
use crate::model::version::Limits;
use crate::plan::explain::{Explanation, Renewal, Sighted, explain};
use crate::plan::facts::Facts;
use crate::reconcile::report::{AccountReport, ChannelReport};

use super::super::health::{LOOP_AGE_MAX, Status, counted, health_of_channel};
use super::super::lookups::{AccountMemory, ChannelMemory, Lookups};
use super::super::one_line::line;
use super::super::overview::{LoopAge, Overview};
use super::super::status::ChannelView;
use super::bar::{Bar, sentence};
use super::frame::{Frame, at, coded, from_now, legend, state, words};
use super::mark::{Mark, causes};
use super::query::{Period, Query};
use super::recovered::beside;
use super::strip::Strip;
use super::table::last_outcome;

/// The content of a channel's page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChannelPage {
    /// The instant that the page shows.
    pub now: Timestamp,
    /// Its account.
    pub account: String,
    /// The other machine that serves the account, and has the history of its channels.
    pub machine: Option<String>,
    /// How it is.
    pub channel: ChannelView,
    /// Its marks, which are seen at once beside its state.
    pub marks: Vec<Mark>,
    /// The remedy of the most serious reason that concerns it, or that nothing is to be done.
    pub to_do: String,
    /// The declaration, key by key; no secret.
    pub declared: Vec<(&'static str, String)>,
    /// Zoho's last grant.
    pub grant: Option<Grant>,
    /// When it was decided last, and why so.
    pub explanation: Option<Explanation>,
    /// Its coverage over every period.
    pub strips: Vec<Strip>,
    /// Its gaps with what to do about them, the latest first, at most [`GAPS_MAX`].
    pub gaps: Vec<GapShown>,
    /// How many more there are.
    pub gaps_left_out: usize,
    /// The events of its history, the latest first, at most [`HISTORY_MAX`].
    pub history: Vec<Happened>,
    /// The parts that could not be read, and other warnings to know before the rest is believed.
    pub warnings: Vec<String>,
}

/// One gap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GapShown {
    /// The gap.
    pub gap: GapView,
    /// The requests that find at Zoho what it missed.
    pub backfill: Backfill,
    /// The recoveries that fill it, in sentences.
    pub recovered: Vec<String>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    /// The time of the event.
    pub at: Timestamp,
    /// The event, in a sentence.
    pub what: String,
}

impl ChannelPage {
    /// The page of one declared channel; `None` when there is none, or its account has not had a
    /// pass.
    pub(crate) fn of(
        overview: &Overview,
        loop_age: LoopAge,
        memory: &Lookups,
        (account, channel): (&str, &str),
        now: Timestamp,
    ) -> Option<ChannelPage> {
        let name: AccountName = account.parse().ok()?;
        let (name, report) = (&name, overview.report(&name)?);
        let channel = report.channels.values().find(|one| one.spec.name.as_str() == channel)?;
        let id = channel.spec.id;
        let mut warnings = warnings(overview, loop_age);
        let remembered = or_warn((memory.channel)(name, id), &mut warnings);
        let of_account = or_warn((memory.account)(name), &mut warnings);
        let ChannelMemory { record, ledger, acks: _, recoveries: _ } = &remembered;
        let explanation = of_account.as_ref().map(|of_account| {
            explained((report, channel), of_account, &remembered, memory.request_timeout)
        });
        let zoho_now = report.zoho_time(now);
        let api = of_account.as_ref().map(|account| account.api.clone()).unwrap_or_default();
        let (gaps, gaps_left_out) = gaps(account, &remembered, zoho_now, &api);
        let grant = record.as_ref().and_then(|record| record.grant);
        let causes = causes(report).remove(&id).unwrap_or_default();
        let marks = Mark::of(report, channel, &causes, now);
        let is_paused = marks.contains(&Mark::Paused);
        let reason = health_of_channel(overview, (name, channel), is_paused, now);
        let to_do = match reason {
            Some(reason) => reason.remedy(),
            None if channel.gaps > 0 => "nothing now; see below what was missed".to_owned(),
            None => "nothing".to_owned(),
        };
        Some(ChannelPage {
            marks,
            to_do,
            now,
            account: account.to_owned(),
            machine: overview.machine(name).map(str::to_owned),
            channel: ChannelView::alone(report, channel, now),
            // The declaration of an account that cannot be worked on here is not known.
            declared: match channel.spec.events.is_empty() {
                true => Vec::new(),
                false => declared(&channel.spec, api.limits()),
            },
            grant,
            explanation,
            strips: strips(ledger.as_ref(), zoho_now),
            history: history(channel, grant, ledger.as_ref(), &gaps),
            gaps,
            gaps_left_out,
            warnings,
        })
    }

    /// Renders it as HTML.
    pub(crate) fn page(&self) -> String {
        let channel = &self.channel;
        let is_bad = self.marks.iter().any(|mark| mark.tone() == "bad");
        let status = if is_bad { Status::Failing } else { channel.status };
        let frame = Frame {
            title: format!("{} ({}) - channelkeeper", channel.name, channel.state),
            status: Some(status),
            follow: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: self.now,
        };
        let body = html! {
            header class=(status.word()) { (self.heading()) }
            main #main {
                (self.coverage())
                (self.gap_list())
                (self.decision())
                div.columns { (self.life()) (self.declaration()) }
                (self.happened())
            }
        };
        frame.around(&body)
    }

    fn heading(&self) -> Markup {
        let ChannelPage { now, account, channel, .. } = self;
        let of_account =
            Query::default().with(|query| query.account = Some(account.clone())).href();
        html! {
            nav.brand aria-label="Where this is" { a href="/" { "channelkeeper" } " / " a href=(of_account) { (account) } " / " (channel.name) }
            h1.named {
                @match channel.expiry.filter(|_| channel.covered) {
                    Some(_) if self.marks.contains(&Mark::Undeliverable) => { (channel.name) " is covered, and its receiver refuses deliveries" }
                    Some(expiry) => { (channel.name) " is covered until " (at(expiry)) " even if nothing succeeds any more" }
                    None => { (channel.name) " is not covered" }
                }
            }
            p.todo { b { "To do: " } (coded(&self.to_do)) }
            p.sub {
                span { (state(&channel.state)) @for mark in &self.marks { " " (mark.chip()) } }
                @if let Some(expiry) = channel.expiry.filter(|expiry| expiry > now) { span { "ends " (from_now(expiry, *now)) } }
                span { "as of " (at(*now)) }
                span { a href=(format!("{}", super::query::channel_href(account, &channel.name))) { "reload" } }
            }
            @for warning in &self.warnings { p.note { (state("warning")) " " (warning) } }
        }
    }

    fn decision(&self) -> Markup {
        let Some(explanation) = &self.explanation else { return html! {} };
        let Explanation { at: decided, row, verdict, steps, held, .. } = explanation;
        html! {
            section aria-labelledby="decision" {
                h2 #decision { "The last decision" }
                p.conclusion { (words(&line(verdict))) }
                p.quiet { "Decided by the pass of " (at(*decided)) ", from these facts:" }
                dl { @for (name, value) in facts(explanation) { dt { (name) } dd { (words(&line(&value))) } } }
                @if let Some(row) = row {
                    table.rule {
                        caption { "The row of the decision table for these facts" }
                        thead { tr {
                            th scope="col" { "Declared" } th scope="col" { "Ours" } th scope="col" { "Observed" } th scope="col" { "Then" }
                        } }
                        tbody { tr {
                            td data-label="Declared" { (row.spec) } td data-label="Ours" { (row.ours) }
                            td data-label="Observed" { (row.observed) } td data-label="Then" { (row.then) }
                        } }
                    }
                }
                @if !steps.is_empty() || !held.is_empty() {
                    ul {
                        @for step in steps {
                            li { b { (step.step) } " (" (step.reason) ")"
                                @if let Some(asks) = step.asks { ", asks for " (at(asks)) }
                                @for drift in &step.drift { "; " (line(drift)) } }
                        }
                        @for held in held {
                            li { b { "held" } " (" (held.cause) "): " (coded(&line(&held.detail)))
                                @if let Some(until) = held.until.filter(|until| *until > self.now) {
                                    ", until " (at(until))
                                } }
                        }
                    }
                }
            }
        }
    }

    fn coverage(&self) -> Markup {
        if let Some(machine) = &self.machine {
            return self.coverage_there(machine);
        }
        html! {
            section aria-labelledby="coverage" {
                h2 #coverage { "Coverage" }
                @if self.strips.is_empty() { p.quiet { "Nothing is known yet." } }
                @for strip in &self.strips {
                    figure {
                        figcaption { b { "last " (strip.period.title()) } " " (strip.share()) span.quiet { " " (strip.sentence()) } }
                        (strip.svg())
                        p.ends { (at(strip.from)) span { (at(strip.to)) } }
                    }
                }
                @if !self.strips.is_empty() { (legend()) }
            }
        }
    }

    fn coverage_there(&self, machine: &str) -> Markup {
        let name = format!("{}/{}", self.account, self.channel.name);
        html! {
            section aria-labelledby="coverage" {
                h2 #coverage { "Coverage" }
                p {
                    "Machine " b { (machine) } " serves the account, and its page draws the coverage. "
                    code { "channelkeeper gaps --channel " (name) } " lists the gaps, on any machine"
                    @if self.channel.gaps > 0 { ": " (counted(self.channel.gaps, "gap")) " that nobody has acknowledged" }
                    "."
                }
            }
        }
    }

    fn gap_list(&self) -> Markup {
        if self.machine.is_some() {
            return html! {};
        }
        html! {
            section aria-labelledby="gaps" {
                h2 #gaps { "Gaps" }
                @if self.gaps.is_empty() { p.quiet { "None since the channel was declared." } } @else {
                    @let scopes = self.gaps.first().map_or("", |shown| shown.backfill.scopes.as_str());
                    p.quiet.intro {
                        "Instants are in UTC by Zoho's clock. The requests need a token with the scopes " (scopes)
                        "; the daemon's own token has them only where " code { "[backfill]" } " asked for them."
                    }
                    @for (place, shown) in self.gaps.iter().enumerate() {
                        (one_gap(shown, place == 0 && self.gaps.len() == 1))
                    }
                    @if self.gaps_left_out > 0 {
                        p.quiet { "and " (self.gaps_left_out) " older: channelkeeper gaps --channel " (self.channel.name) }
                    }
                }
            }
        }
    }

    fn life(&self) -> Markup {
        let (channel, now) = (&self.channel, self.now);
        let slack = self.explanation.as_ref().and_then(|explanation| explanation.slack.as_ref());
        html! {
            section aria-labelledby="life" {
                h2 #life { "Life" }
                (Bar::of(channel, now).svg(channel, now))
                p.caption { (sentence(channel, now)) }
                dl {
                    dt { "ends" } dd { @match channel.expiry { Some(expiry) => { (at(expiry)) ", " (from_now(expiry, now)) } None => "not enabled" } }
                    dt { "next renewal" } dd { @match channel.due_at { Some(due) => { (at(due)) ", " (from_now(due, now)) } None => "-" } }
                    dt { "emergency from" } dd { @match channel.emergency_at { Some(edge) => { (at(edge)) ", " (from_now(edge, now)) } None => "-" } }
                    @if self.machine.is_none() {
                        dt { "granted" } dd {
                            @match self.grant {
                                Some(grant) => {
                                    (brief(grant.length())) " at " (at(grant.at)) ", until " (at(grant.expiry)) ", asked for " (brief(grant.asked_length()))
                                    @if grant.is_short() { " " (state("degraded")) " a short grant" }
                                }
                                None => "never",
                            }
                        }
                    }
                    @if let Some(slack) = slack {
                        dt { "survives" } dd {
                            (slack.failed_passes) " failed passes in a row, or an outage of "
                            (brief(Duration::from_secs(slack.outage_s))) ", from just before it is renewed"
                        }
                    }
                }
            }
        }
    }

    fn declaration(&self) -> Markup {
        html! {
            section aria-labelledby="declared" {
                h2 #declared { "As declared" }
                dl {
                    @for (key, value) in &self.declared { dt { (key) } dd { (value) } }
                    @for drift in &self.channel.drift { dt { (state("drifted")) } dd { (drift) } }
                }
            }
        }
    }

    fn happened(&self) -> Markup {
        html! {
            section aria-labelledby="history" {
                h2 #history { "History" }
                p { "Last outcome: " (last_outcome(&self.channel, self.now)) }
                ol.history { @for one in &self.history { li { (at(one.at)) " " span { (words(&one.what)) } } } }
            }
        }
    }
}

fn or_warn<T: Default>(read: Result<T, String>, warnings: &mut Vec<String>) -> T {
    read.unwrap_or_else(|why| {
        warnings.push(format!("part of the memory could not be read: {}", line(&why)));
        T::default()
    })
}

/// The page for a channel that is not there.
pub(crate) fn missing(account: &str, channel: &str, now: Timestamp) -> String {
    let frame = Frame {
        title: "no such channel - channelkeeper".to_owned(),
        status: None,
        follow: false,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now,
    };
    let search = Query::default().with(|query| query.q = line(channel)).href();
    let body = html! {
        header {
            nav.brand aria-label="Where this is" { a href="/" { "channelkeeper" } }
            h1 { "no channel of this name" }
        }
        main #main {
            p { "Account " q { (line(account)) } " declares no channel " q { (line(channel)) } ", or its first pass has not ended." }
            p { a href=(search) { "Search for it" } ". " code { "channelkeeper gaps --channel NAME" }
                " lists the gaps of a channel that is declared no longer." }
        }
    };
    frame.around(&body)
}

fn warnings(overview: &Overview, loop_age: LoopAge) -> Vec<String> {
    let still = (loop_age.0 > LOOP_AGE_MAX)
        .then(|| "the scheduler's loop does not turn: nothing is renewed".to_owned());
    let store =
        overview.store_failed.as_ref().map(|why| format!("the store failed: {}", line(why)));
    still.into_iter().chain(store).collect()
}

/// The decision as the account's last pass took it.
fn explained(
    (report, channel): (&AccountReport, &ChannelReport),
    account: &AccountMemory,
    memory: &ChannelMemory,
    request_timeout: Duration,
) -> Explanation {
    let id = channel.spec.id;
    let specs = [(id, channel.spec.clone())].into();
    let records: BTreeMap<ChannelId, _> =
        memory.record.clone().into_iter().map(|record| (id, record)).collect();
    let look = report.look.at(&channel.spec);
    let facts = Facts {
        account: &report.account,
        policy: &account.policy,
        specs: &specs,
        former: &BTreeMap::new(),
        records: &records,
        state: &account.state,
        wishes: &account.wishes,
        allowed: Allowed::Everything,
        look: &look,
        now: report.at,
    };
    explain(&facts, &report.after, id, request_timeout)
}

fn sighted(observed: &Sighted) -> String {
    match observed {
        Sighted::Seen { events, expiry, .. } => {
            let ends = expiry.map(|expiry| format!(", ends {}", whole_seconds(expiry)));
            format!("seen: {}{}", events.join(", "), ends.unwrap_or_default())
        }
        Sighted::Absent => "absent: Zoho does not list it".to_owned(),
        Sighted::Unknown { why } => format!("unknown: {why}"),
    }
}

/// The facts that a decision was made from, in the order of the table's columns.
fn facts(explanation: &Explanation) -> Vec<(&'static str, String)> {
    let Explanation { declared, observed, record, rules, drift, renewal, .. } = explanation;
    let length = |seconds: u64| brief(Duration::from_secs(seconds));
    let declared = declared
        .as_ref()
        .map(|it| format!("yes: {} for {}", it.events.join(", "), length(it.lifetime_s)));
    let grant = record.as_ref().map(|record| match &record.grant {
        Some(granted) => format!("yes: granted until {}", whole_seconds(granted.grant.expiry)),
        None => "recorded, and never granted: ours if it has the URL that was intended".to_owned(),
    });
    let life = renewal.as_ref().map(|it| {
        let Renewal { age, lead_s, rule, phase_s, .. } = it;
        format!(
            "{age}: renewed when {} are left ({rule}), {} of it this account's phase",
            length(lead_s + phase_s),
            length(*phase_s)
        )
    });
    let refusal = record.as_ref().and_then(|record| record.refusal.as_ref());
    let refusal = refusal.map(|it| {
        format!(
            "with {}, {} in a row: {}",
            it.code,
            counted(it.attempts as usize, "time"),
            it.message
        )
    });
    let differs =
        matches!(explanation.observed, Sighted::Seen { .. }).then(|| match drift.is_empty() {
            true => "in nothing".to_owned(),
            false => drift.join("; "),
        });
    [
        ("declared", Some(declared.unwrap_or_else(|| "no".to_owned()))),
        ("ours", Some(grant.unwrap_or_else(|| "no: the store has no record of it".to_owned()))),
        ("observed", Some(sighted(observed))),
        ("life", life),
        ("differs", differs),
        ("refused", refusal),
        ("looks failed", rules.looks_failed.clone()),
        ("writes failed", rules.writes_failed.clone()),
        ("mode", Some(rules.mode.clone())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

fn gaps(
    account: &str,
    ChannelMemory { record: _, ledger, acks, recoveries }: &ChannelMemory,
    now: Timestamp,
    api: &ApiBase,
) -> (Vec<GapShown>, usize) {
    let ledger = ledger.as_ref();
    let mut gaps = ledger.map(|ledger| views(account, ledger, acks, None, now)).unwrap_or_default();
    let left_out = gaps.len().saturating_sub(GAPS_MAX);
    gaps.reverse();
    gaps.truncate(GAPS_MAX);
    let with_backfill = gaps.into_iter().map(|gap| {
        let events: Events = gap.events.iter().map(String::as_str).collect();
        let backfill = backfill(&events, gap.from, gap.to, now, api);
        let recovered = beside(&gap, recoveries);
        GapShown { gap, backfill, recovered }
    });
    (with_backfill.collect(), left_out)
}

fn one_gap(GapShown { gap, backfill, recovered }: &GapShown, open: bool) -> Markup {
    html! {
        details.gap open[open] {
            summary {
                (state(&gap.kind)) " " (at(gap.from)) " to "
                @match gap.to { Some(to) => (at(to)), None => "now" }
                span.quiet { " " (brief(Duration::from_secs(gap.seconds))) ", " (gap.cause) ": " (gap.events.join(", ")) }
                @if gap.acknowledged.is_some() { span.quiet { ", acknowledged" } }
            }
            p { (why(&gap.cause)) }
            @if let Some(ack) = &gap.acknowledged { p { (line(&ack.line())) } }
            @for sentences in recovered { p { (coded(sentences)) } }
            h3 { "Requests that find the missed records" }
            @for request in &backfill.requests {
                p { b { (request.module) } ": " (words(&request.finds)) }
                pre.request { @for line in request.lines() { (line) "\n" } }
            }
            h3 { "Lost for good" }
            ul { @for lost in &backfill.lost { li { (lost) } } }
        }
    }
}

/// A cause as a sentence.
fn why(cause: &str) -> &'static str {
    match cause {
        "expired" => "The channel came to its end before it was renewed.",
        "absent" => "The channel was gone before its end: somebody deleted it at Zoho.",
        "event-missing" => "The channel was there, and did not cover these events.",
        "wrong-url" => "The channel delivered to another URL than the declared one.",
        "conflict" => "The id was somebody else's channel.",
        "not-enabled" => "It was declared, and not enabled yet.",
        "refused" => "It was declared, and Zoho refused it.",
        "unseen" => "It was declared, and nobody could look yet.",
        "restored" => "A look found it covered again, and nobody knows since when.",
        "unsure-write" => "A write may have been applied, and its answer was lost.",
        "canary-refused" => "The channel was covered, and its receiver refused canaries.",
        "merged" => "Older gaps, put together so that what is remembered stays bounded.",
        _ => "",
    }
}

/// Keys that the account's API does not have are left out: they are neither sent nor compared.
fn declared(spec: &Spec, limits: Limits) -> Vec<(&'static str, String)> {
    let Spec {
        id,
        name: _,
        declared: _,
        events,
        notify_url,
        token,
        rotation,
        lifetime,
        renew_before,
        notify_on_related_action,
        return_affected_field_values,
        conditions,
        mode,
        backfill,
    } = spec;
    let yes = |it: &bool| if *it { "yes" } else { "no" }.to_owned();
    let of_token = match rotation {
        Some(rotation) => {
            format!("set, another one every {}, and not shown", brief(rotation.every))
        }
        None => if token.is_some() { "set, and not shown" } else { "none" }.to_owned(),
    };
    let mut declared = vec![
        ("id", id.to_string()),
        ("events", events.to_string()),
        ("notify_url", line(&notify_url.to_string())),
        ("token", of_token),
        ("lifetime", brief(*lifetime)),
        ("renew_before", renew_before.map_or("half or a third of its life".to_owned(), brief)),
    ];
    if limits.related_actions {
        declared.push(("notify_on_related_action", yes(notify_on_related_action)));
    }
    if limits.affected_values {
        declared.push(("return_affected_field_values", yes(return_affected_field_values)));
    }
    declared.push(("mode", mode.to_string()));
    declared.push(("backfill", backfill.map_or("off", |rule| rule.mode.as_str()).to_owned()));
    declared.extend(conditions.iter().map(|condition| ("condition", line(&condition.describe()))));
    declared
}

/// The coverage over each period that says more than the one before it; none while nothing is
/// known.
fn strips(ledger: Option<&Ledger>, zoho_now: Timestamp) -> Vec<Strip> {
    let Some(ledger) = ledger else { return Vec::new() };
    let since = ledger.tracks.iter().map(|track| track.since).min().unwrap_or(zoho_now);
    let mut strips = Vec::new();
    for period in Period::ALL {
        strips.push(Strip::of(Some(ledger), period, zoho_now));
        if since >= before(zoho_now, period.length()) {
            break;
        }
    }
    strips
}

/// The history as far as it is remembered: gaps, the last grant, the declaration.
fn history(
    channel: &ChannelReport,
    grant: Option<Grant>,
    ledger: Option<&Ledger>,
    gaps: &[GapShown],
) -> Vec<Happened> {
    let happened = |at: Timestamp, what: String| Happened { at, what };
    let of_gap = |GapShown { gap, .. }: &GapShown| {
        let length = brief(Duration::from_secs(gap.seconds));
        let open = if gap.to.is_none() { ", and still is" } else { "" };
        happened(
            gap.from,
            format!("{} for {length}{open} ({}): {}", gap.kind, gap.cause, gap.events.join(", ")),
        )
    };
    let since = ledger.and_then(|ledger| ledger.tracks.iter().map(|track| track.since).min());
    let granted = grant.map(|grant| {
        happened(grant.at, format!("granted a life of {}", brief(span(grant.at, grant.expiry))))
    });
    let last = channel
        .last
        .as_ref()
        .map(|last| happened(last.at, line(&format!("{}: {}", last.step, last.outcome))));
    let declared = since.map(|since| happened(since, "declared".to_owned()));
    let mut history: Vec<Happened> = gaps.iter().map(of_gap).collect();
    history.extend(granted.into_iter().chain(last).chain(declared));
    history.sort_by_key(|one| std::cmp::Reverse(one.at));
    history.truncate(HISTORY_MAX);
    history
}

/// The most gaps in the page.
pub(crate) const GAPS_MAX: usize = 50;
/// The most entries of the history.
pub(crate) const HISTORY_MAX: usize = 40;
