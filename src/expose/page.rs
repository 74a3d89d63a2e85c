//! The page for people: the headline, what is wrong, and each channel with its remaining life.
//!
//! Written from [`StatusView`] and nothing else. Every text goes through maud, which escapes it; there is no script in the
//! page and none is allowed to run. It loads itself anew once a minute.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::model::time::{Timestamp, brief, span, whole_seconds};

use super::status::{AccountView, ChannelView, HealthView, StatusView, until};

/// The page, as HTML.
pub fn page(view: &StatusView) -> String {
    let up = brief(span(view.started_at, view.now));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content="60";
                title { "channelkeeper: " (view.health.status.word()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header class=(view.health.status.word()) {
                    h1 { (view.headline) }
                    p { (view.health.status.word()) ", up " (up) ", version " (view.version) ", at " (whole_seconds(view.now)) }
                }
                main {
                    (reasons(&view.health))
                    @for account in &view.accounts { (account_section(account, view.now)) }
                }
                footer { a href="/api/v1/status" { "status" } " " a href="/healthz" { "health" } " " a href="/metrics" { "metrics" } }
            }
        }
    };
    page.into_string()
}

fn reasons(health: &HealthView) -> Markup {
    html! {
        @if !health.reasons.is_empty() {
            ul.reasons {
                @for reason in &health.reasons { li class=(reason.status.word()) { (reason.line()) } }
                @if health.reasons_left_out > 0 { li { "and " (health.reasons_left_out) " more" } }
            }
        }
    }
}

fn account_section(account: &AccountView, now: Timestamp) -> Markup {
    let left_out = account.channels.len().saturating_sub(CHANNELS_MAX);
    html! {
        section {
            h2 { (account.name) }
            p { (account.line(now)) }
            @if !account.channels.is_empty() {
                table {
                    thead { tr { th { "channel" } th { "state" } th { "life left" } th { "renews" } th { "last step" } th { "note" } } }
                    tbody { @for channel in account.channels.iter().take(CHANNELS_MAX) { (row(channel, now)) } }
                }
            }
            @if left_out > 0 { p { "and " (left_out) " more channels, in the status" } }
        }
    }
}

fn row(channel: &ChannelView, now: Timestamp) -> Markup {
    let left = channel.expiry.map(|expiry| until(expiry, now));
    let renews = channel.due_at.map(|due_at| until(due_at, now));
    html! {
        tr class=(channel.state) {
            td title=(channel.id) { (channel.name) }
            td { (channel.state) }
            td { span.bar { span style=(format!("width:{}%", percent_left(channel, now))) {} } " " (left.unwrap_or_default()) }
            td { (renews.unwrap_or_default()) }
            td { @if let Some(last) = &channel.last { (last.step) ", " (until(last.at, now)) ": " (last.outcome) } }
            td { (channel.note(now)) }
        }
    }
}

/// How much of the life asked for is left, in percent.
fn percent_left(channel: &ChannelView, now: Timestamp) -> u64 {
    let left = channel.expiry.map_or(0, |expiry| span(now, expiry).as_secs());
    (left.saturating_mul(100) / channel.lifetime_s.max(1)).min(100)
}

/// The most channels of one account in the page.
const CHANNELS_MAX: usize = 1000;

const STYLE: &str = "
:root { color-scheme: light dark; --ok: #1a7f37; --degraded: #9a6700; --failing: #cf222e; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --ok: #3fb950; --degraded: #d29922; --failing: #f85149; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 75rem; padding: 1rem; }
header { border-left: .4rem solid var(--line); padding-left: 1rem; }
header.ok { border-color: var(--ok); } header.degraded { border-color: var(--degraded); }
header.failing { border-color: var(--failing); }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 1.5rem 0 0; }
section { overflow-x: auto; } p { margin: .2rem 0; }
ul.reasons { padding-left: 1.2rem; } li.failing { color: var(--failing); } li.degraded { color: var(--degraded); }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; vertical-align: top; }
td:not(:last-child) { white-space: nowrap; }
.bar { display: inline-block; width: 7rem; height: .6rem; background: var(--line); border-radius: .3rem; overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--ok); }
tr.drifted .bar span, tr.unverified .bar span { background: var(--degraded); }
tr.uncovered td:nth-child(2) { color: var(--failing); }
footer { margin-top: 2rem; }
";

#[cfg(test)]
mod tests {
    use super::super::testing::{TURNING, change_channel, converged, hours, lose, minutes};
    use super::*;

    #[test]
    fn a_text_is_escaped_wherever_it_stands() {
        const FOUL: &str = "<script>alert(1)</script>\"'&";
        let mut overview = converged(1);
        overview.store_failed = Some(FOUL.to_owned());
        change_channel(&mut overview, 1, |channel| channel.last.as_mut().unwrap().outcome = FOUL.to_owned());
        let mut view = StatusView::of(&overview, TURNING, minutes(90));
        view.headline = FOUL.to_owned();
        view.accounts[0].channels[0].state = FOUL.to_owned();
        view.accounts[0].channels[0].id = FOUL.to_owned();
        let page = page(&view);
        assert!(!page.contains("<script") && page.matches("&lt;script").count() >= 6, "{page}");
        assert!(!page.contains("=\"<") && page.contains("&quot;"), "{page}");
    }

    #[test]
    fn a_bar_shows_the_life_that_is_left() {
        let mut overview = converged(2);
        lose(&mut overview, 2);
        let view = StatusView::of(&overview, TURNING, hours(6));
        let channels = &view.accounts[0].channels;
        assert_eq!(percent_left(&channels[0], hours(6)), 75);
        assert_eq!(percent_left(&channels[0], hours(30)), 0);
        assert_eq!(percent_left(&channels[1], hours(6)), 0);
        assert!(page(&view).contains("width:75%"));
    }
}
