//! The pages as HTML.

use std::sync::Arc;

use expect_test::expect;
use proptest::prelude::*;

use super::super::lookups::Lookups;
use super::super::overview::{ClusterState, Overview};
use super::super::testing::{
    TURNING, change, change_channel, converged, elsewhere, hold, hours, lose, minutes, rejected,
    remembering,
};
use super::*;
use crate::model::account::ApiBase;
use crate::model::policy::Mode;
use crate::model::product::Product;
use crate::model::time::Timestamp;
use crate::model::version::ApiVersion;
use crate::plan::credits::Credits;
use crate::plan::step::Cause;

#[path = "../../../tests/it/process/chromium.rs"]
#[expect(dead_code, reason = "the tests of processes do more with a browser")]
mod chromium;
mod gallery;

const FOUL: &str = "<script>alert(1)</script>\"'&\u{202e}";

fn front_of(overview: &Overview, query: &str, now: Timestamp) -> FrontView {
    FrontView::of(overview, TURNING, &remembering(), Query::parse(query), now)
}

fn front(overview: &Overview, query: &str) -> String {
    front_of(overview, query, minutes(90)).page()
}

fn channel_of(overview: &Overview, name: &str) -> ChannelPage {
    ChannelPage::of(overview, TURNING, &remembering(), ("acme", name), minutes(90)).unwrap()
}

fn troubled() -> Overview {
    let mut overview = converged(60);
    lose(&mut overview, 7);
    hold(&mut overview, 7, rejected());
    change(&mut overview, |report| report.look_failed = Some("HTTP 503".to_owned()));
    overview
}

/// The properties of every page.
#[track_caller]
fn is_sound(page: &str) {
    let script = format!("<script>{}</script>", super::frame::SCRIPT);
    assert_eq!(page.matches(&script).count(), 1, "{page}");
    let page = &page.replace(&script, "");
    for bad in ["<script", "javascript:", " style=", " onclick", "s3cret", "\u{202e}"] {
        assert!(!page.contains(bad), "{bad} in {page}");
    }
    let links = page
        .split(" href=\"")
        .skip(1)
        .chain(page.split(" src=\"").skip(1))
        .chain(page.split(" action=\"").skip(1));
    for link in links.map(|rest| rest.split('"').next().unwrap()) {
        assert!(
            link.starts_with('/') && !link.starts_with("//")
                || link.starts_with('#')
                || link.starts_with("data:image/svg+xml,"),
            "{link}"
        );
    }
}

fn without_tags(page: &str) -> String {
    page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect()
}

#[test]
fn a_gap_that_somebody_has_seen_to_says_so() {
    let mut memory = remembering();
    let before = memory.channel.clone();
    memory.channel = Arc::new(move |account, id| {
        let mut remembered = before(account, id)?;
        let ledger = remembered.ledger.clone().unwrap();
        remembered.acks.acknowledge(&ledger, None, minutes(80), "fetched <by hand>".parse().ok());
        Ok(remembered)
    });
    let page = ChannelPage::of(&converged(1), TURNING, &memory, ("acme", "c1"), minutes(90))
        .unwrap()
        .page();
    assert!(page.contains(", acknowledged") && page.contains("fetched &lt;by hand&gt;"), "{page}");
    assert!(!channel_of(&converged(1), "c1").page().contains("acknowledged"));
    is_sound(&page);
}

#[test]
fn a_key_that_the_product_does_not_have_is_not_shown() {
    let keys = ["notify_on_related_action", "return_affected_field_values"];
    let page_of = |product: Product, version: ApiVersion| {
        let mut memory = remembering();
        let before = memory.account.clone();
        memory.account = Arc::new(move |account| {
            let mut remembered = before(account)?.unwrap();
            remembered.api = ApiBase { product, version, ..remembered.api };
            Ok(Some(remembered))
        });
        ChannelPage::of(&converged(1), TURNING, &memory, ("acme", "c1"), minutes(90))
            .unwrap()
            .page()
    };
    let shown = |page: &str| keys.map(|key| page.contains(key));
    assert_eq!(shown(&page_of(Product::Crm, ApiVersion::V8)), [true, true]);
    assert_eq!(shown(&page_of(Product::Crm, ApiVersion::V2)), [true, false]);
    assert_eq!(shown(&page_of(Product::Vertical, ApiVersion::V6)), [false, false]);
}

#[test]
fn what_zoho_says_of_credits_stands_beside_the_calls_until_it_is_out_of_date() {
    let mut overview = converged(1);
    change(&mut overview, |report| {
        let (told_at, until) = (minutes(60), minutes(120));
        report.credits =
            Some(Credits { remaining: 1_234, told_at, until, reserve: 100, per_day: Some(5_000) });
    });
    let page = front_of(&overview, "", minutes(90)).page();
    assert!(page.contains("(1234 of 5000 credits left)"), "{page}");
    is_sound(&page);
    assert!(!front_of(&overview, "", minutes(120)).page().contains("credits left"));
}

#[test]
fn an_account_names_its_next_renewal_and_its_next_look() {
    let page = front_of(&converged(2), "", minutes(90)).page();
    let text = without_tags(&page);
    assert!(text.contains("next renewal of c1 in 10h 30mnext look in 15m"), "{text}");
    is_sound(&page);
}

#[test]
fn ids_that_cannot_be_declared_are_named_up_to_ten() {
    let mut overview = converged(1);
    change(&mut overview, |report| {
        report.after.strangers = (1..=12).map(|n| format!("<sítio>{n}")).collect();
    });
    let page = front_of(&overview, "", minutes(90)).page();
    assert!(page.contains("12 foreign"), "{page}");
    assert!(page.contains("ids that cannot be declared: &lt;sítio&gt;1, "), "{page}");
    assert!(page.contains("&lt;sítio&gt;10 and 2 more") && !page.contains("&gt;11"), "{page}");
    is_sound(&page);
}

#[test]
fn the_headline_comes_first() {
    let page = front(&converged(3), "");
    let h1 = page.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap();
    expect![[r#"everything is covered until <time datetime="2026-01-02T00:00:00Z" title="2026-01-02T00:00:00Z">2026-01-02 00:00:00 UTC</time> even if nothing succeeds any more"#]].assert_eq(h1);
    let lost = front(&troubled(), "");
    assert!(lost.contains("<h1>NOT covered: 1 of 60 channels: c7</h1>"), "{lost}");
    is_sound(&page);
}

#[test]
fn a_row_says_state_life_outcome_and_coverage() {
    let page = front(&converged(1), "");
    let table = page.split("<table class=\"channels\">").nth(1).unwrap();
    let row = table.split("<tbody>").nth(1).unwrap().split("</tbody>").next().unwrap();
    expect![[r#"
        <tr><th scope="row"><a href="/channels/acme/c1">c1</a></th>
        <td><span class="state covered"><span class="sign" aria-hidden="true">●</span> covered</span></td>
        <td><time datetime="2026-01-02T00:00:00Z" title="2026-01-02T00:00:00Z">in 22h 30m</time></td>
        <td><time datetime="2026-01-01T12:00:00Z" title="2026-01-01T12:00:00Z">in 10h 30m</time></td>
        <td class="wide">enable (missing) <span class="quiet"><time datetime="2026-01-01T00:00:00Z" title="2026-01-01T00:00:00Z">1h 30m ago</time></span></td>
        <td class="strips"><svg class="strip" viewBox="0 0 240 12" preserveAspectRatio="none" role="img"><title>unknown for 5m in the last 24 hours</title><rect class="covered" x="225" y="4" width="15" height="4"></rect><rect class="unknown" x="225" width="1" height="12"><title>unknown from 2026-01-01T00:00:00Z to 2026-01-01T00:05:00Z: unseen</title></rect></svg></td>
        <td>94.4%</td></tr>"#]].assert_eq(&row.replace("<td", "\n<td"));
}

#[test]
fn many_warnings_of_the_config_do_not_push_the_fleet_away() {
    let mut overview = converged(1);
    overview.config.warnings = (1..=9).map(|number| format!("warning {number}")).collect();
    let page = front(&overview, "");
    let (shown, folded) = page.split_once("<details>").unwrap();
    assert!(shown.contains("config: warning 3") && !shown.contains("config: warning 4"), "{page}");
    assert!(folded.contains("6 more") && folded.contains("config: warning 9"), "{page}");
    is_sound(&page);
}

#[test]
fn each_machine_shows_everything_and_says_who_serves_what() {
    let mut overview = converged(1);
    overview.cluster = Some(ClusterState::joining());
    elsewhere(&mut overview, "beta", 7..=8, "host-2");
    let page = front(&overview, "");
    let heading = page.split("<h1>").nth(1).unwrap().split(" until").next().unwrap();
    assert_eq!(heading, "everything is covered");
    for text in [">c8</a>", "at host-2", ">beta</a>"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let rows = page.split("<table class=\"channels\">").nth(1).unwrap();
    assert_eq!(rows.matches("<th scope=\"row\"").count(), 3 + 2, "channels, and accounts: {rows}");
    let one = ("beta", "c8");
    let page = ChannelPage::of(&overview, TURNING, &remembering(), one, hours(1)).unwrap().page();
    assert!(page.contains("Machine <b>host-2</b> serves the account"), "{page}");
    assert!(!page.contains("Nothing is known yet") && !page.contains("None since"), "{page}");
}

#[test]
fn the_verdict_says_what_to_do() {
    let to_do = |page: &str| {
        page.split("To do: </b>").nth(1).unwrap().split("</p>").next().unwrap().to_owned()
    };
    assert_eq!(to_do(&front(&converged(1), "")), "nothing");
    let lost = to_do(&front(&troubled(), ""));
    assert!(lost.starts_with("<code>channelkeeper explain acme/c7</code> says why"), "{lost}");
    let mut missed = converged(2);
    change_channel(&mut missed, 2, |channel| channel.gaps = 1);
    let page = front(&missed, "");
    assert!(to_do(&page).starts_with("nothing now; <code>channelkeeper gaps</code>"), "{page}");
    let rows = page.split("<table class=\"channels\">").nth(1).unwrap();
    assert!(rows.find(">c2</a>") < rows.find(">c1</a>"), "who lost events comes first: {rows}");
}

#[test]
fn marks_are_seen_and_can_be_asked_for() {
    let mut overview = converged(4);
    hold(&mut overview, 1, Cause::Paused { step: None });
    change_channel(&mut overview, 2, |channel| {
        let spec = Arc::make_mut(&mut channel.spec);
        spec.mode = Mode::Observe;
    });
    change_channel(&mut overview, 3, |channel| {
        channel.undeliverable = Some(Box::new((hours(1), "HTTP 500".to_owned())));
    });
    for (word, name) in [("paused", "c1"), ("observe-only", "c2"), ("undeliverable", "c3")] {
        let page = front(&overview, &format!("state={word}"));
        let rows = page.split("<table class=\"channels\">").nth(1).unwrap();
        assert_eq!(rows.matches("scope=\"row\"").count() - 1, 1, "{rows}");
        let row = rows.split("<tbody>").nth(1).unwrap();
        assert!(
            row.contains(&format!(">{name}</a>")) && row.contains(&format!("</span>{word}<")),
            "{row}"
        );
        is_sound(&page);
    }
}

#[test]
fn what_the_address_asks_for_and_nobody_knows_is_said() {
    let page = front(&converged(1), "state=purple&account=nobody");
    assert!(page.contains("asks for <code>state=purple</code>, which is not known"), "{page}");
    assert!(page.contains("No account <q>nobody</q> is declared."), "{page}");
    is_sound(&page);
    assert!(!front(&converged(1), "state=covered&account=acme").contains("The address asks"));
    let page = super::not_found("/stat<us>", hours(1));
    assert!(page.contains("Nothing is at <code>/stat&lt;us&gt;</code>"), "{page}");
    is_sound(&page);
}

#[test]
fn a_column_without_a_fact_is_left_out() {
    let mut memory = remembering();
    assert!(front(&converged(1), "").contains("Last 24 hours"));
    memory.channel = Arc::new(|_, _| Ok(Default::default()));
    let page = FrontView::of(&converged(1), TURNING, &memory, Query::parse(""), minutes(90)).page();
    assert!(
        !page.contains("Last 24 hours") && !page.contains(">Account</th><th scope=\"col\">State"),
        "{page}"
    );
}

#[test]
fn a_table_sorts_by_its_headers_and_back() {
    let page = front(&converged(3), "");
    assert!(page.contains("<th scope=\"col\"><a href=\"/?sort=name\">Channel<"), "{page}");
    let page = front(&converged(3), "sort=name");
    assert!(page.contains("aria-sort=\"ascending\"><a href=\"/?sort=-name\">Channel<"), "{page}");
    let rows = front(&converged(12), "sort=-name");
    let rows = rows.split("<table class=\"channels\">").nth(1).unwrap();
    assert!(rows.find(">c12</a>") < rows.find(">c2</a>"), "{rows}");
}

#[test]
fn what_is_wrong_links_to_its_channel_and_quotes_zoho() {
    let page = front(&troubled(), "");
    assert!(
        page.contains(
            "<a href=\"/channels/acme/c7\">acme/c7</a>: Zoho refused it with INVALID_DATA"
        ),
        "{page}"
    );
    let first_row =
        page.split("<table class=\"channels\">").nth(1).unwrap().split("<tr>").nth(2).unwrap();
    assert!(first_row.contains(">c7</a>"), "the worst is first: {first_row}");
    assert_eq!(page.matches("invalid module").count(), 1, "a refusal is printed once");
    assert_eq!(page.matches("HTTP 503").count(), 1, "a failure is printed once");
}

#[test]
fn a_page_keeps_its_search_and_turns() {
    let page = front(&converged(120), "q=c1&state=covered&sort=name&period=7d&page=2");
    assert!(
        page.contains("value=\"c1\"") && page.contains("<option selected>covered</option>"),
        "{page}"
    );
    assert!(
        page.contains("href=\"/?q=c1&amp;state=covered&amp;sort=name&amp;period=7d\">clear")
            || page.contains(">clear</a>")
    );
    let page = front(&converged(120), "page=2&sort=name");
    assert!(page.contains("Channels 51 to 100 of 120, by name"), "{page}");
    assert!(page.contains("href=\"/?sort=name&amp;page=3\" rel=\"next\""), "{page}");
    assert!(page.contains("href=\"/?sort=name\" rel=\"prev\""), "{page}");
}

#[test]
fn a_page_loads_itself_anew_only_when_told_and_then_has_nothing_to_type_in() {
    let (still, following) = (front(&converged(2), "q=c1"), front(&converged(2), "q=c1&follow=1"));
    assert!(!still.contains("http-equiv") && still.contains("<form"));
    assert!(
        following.contains("http-equiv=\"refresh\" content=\"60\"") && !following.contains("<form")
    );
    assert!(
        still.contains("href=\"/?q=c1&amp;follow=1\"") && following.contains("href=\"/?q=c1\"")
    );
}

#[test]
fn a_period_can_be_chosen() {
    let strips = |query: &str| front(&converged(1), query).matches("<svg class=\"strip\"").count();
    assert_eq!((strips(""), strips("period=7d"), strips("period=nonsense")), (1, 1, 1));
}

#[test]
fn a_text_is_escaped_wherever_it_stands() {
    let mut overview = troubled();
    overview.store_failed = Some(FOUL.to_owned());
    overview.config.warnings = vec![FOUL.to_owned()];
    change(&mut overview, |report| {
        report.wake = FOUL.to_owned();
        report.writes_failed = Some(FOUL.to_owned());
    });
    change_channel(&mut overview, 7, |channel| {
        Arc::make_mut(channel.last.as_mut().unwrap()).outcome = FOUL.to_owned()
    });
    let page = front(&overview, "q=%3Cscript%3E%22%27");
    is_sound(&page);
    assert!(page.contains("value=\"&lt;script&gt;&quot;'\""), "{page}");
    is_sound(&front(&overview, "account=%3Cscript%3E"));
    is_sound(&channel_of(&overview, "c7").page());
    is_sound(&missing(FOUL, FOUL, hours(1)));
}

#[test]
fn a_hostile_name_stays_a_name() {
    let long = "x".repeat(5000);
    for name in
        [FOUL.replace('\u{202e}', "").as_str(), "../../etc", "\u{5e9}\u{5dc}\u{5d5}\u{5dd}", &long]
    {
        let mut view = front_of(&converged(1), "", hours(1));
        view.channels[0].channel.name = name.to_owned();
        view.channels[0].account = name.to_owned();
        view.accounts[0].name = name.to_owned();
        view.wall.groups[0].account = name.to_owned();
        view.wall.groups[0].cells[0].words = name.to_owned();
        view.axis.next.as_mut().unwrap().channel = name.to_owned();
        view.account_names = vec![name.to_owned()];
        is_sound(&view.page());
        let mut page = channel_of(&converged(1), "c1");
        (page.account, page.channel.name) = (name.to_owned(), name.to_owned());
        is_sound(&page.page());
    }
}

#[test]
fn what_cannot_be_read_is_said_and_hides_nothing_else() {
    let memory = Lookups {
        account: Arc::new(|_| Err("no space left".to_owned())),
        channel: Arc::new(|_, _| Err("no space left".to_owned())),
        ..remembering()
    };
    let page = FrontView::of(&converged(1), TURNING, &memory, Query::parse(""), hours(1)).page();
    assert!(
        page.contains("could not be read: no space left") && page.contains("everything is covered"),
        "{page}"
    );
    let page =
        ChannelPage::of(&converged(1), TURNING, &memory, ("acme", "c1"), hours(1)).unwrap().page();
    assert!(
        page.contains("could not be read: no space left") && page.contains("is covered until"),
        "{page}"
    );
}

#[test]
fn ten_thousand_channels_are_a_small_page() {
    let mut overview = converged(10_000);
    (1..=400).for_each(|number| lose(&mut overview, number * 25));
    let page = front(&overview, "");
    assert!(page.len() < 200_000, "{}", page.len());
    assert!(page.contains("page 1 of 200") && page.contains("NOT covered: 400 of 10000 channels"));
}

#[test]
fn a_channel_s_page_explains_the_decision_and_what_to_ask_after_a_gap() {
    let page = channel_of(&converged(1), "c1").page();
    is_sound(&page);
    for part in [
        "c1 is covered until",
        "nothing is done: it is as declared and has life enough",
        "keep it, and look again at its renewal time",
        "failed passes in a row",
        "https://hooks.example.com/zoho?...",
        "set, and not shown",
        "If-Modified-Since: 2025-12-31T23:59:59+00:00",
        "https://www.zohoapis.eu/crm/v8/Deals/deleted?type=all",
        "Lost for good",
        "enable (missing): done until <time datetime=\"2026-01-02T00:00:00Z\"",
        "granted a life of 1d",
    ] {
        assert!(page.contains(part), "no {part:?} in {page}");
    }
    assert_eq!(page.matches("<svg class=\"strip\"").count(), 1, "a week says no more than a day");
    let page = ChannelPage::of(&converged(1), TURNING, &remembering(), ("acme", "c1"), hours(200));
    assert_eq!(page.unwrap().strips.len(), 3);
}

#[test]
fn a_lost_channel_s_page_says_so() {
    let page = channel_of(&troubled(), "c7").page();
    assert!(
        page.contains("c7 is not covered")
            && page.contains("To do: </b><code>channelkeeper explain acme/c7</code> says why")
            && page.contains("(rejected): Zoho refused it with INVALID_DATA"),
        "{page}"
    );
}

#[test]
fn there_is_no_page_for_what_is_not_declared() {
    let of = |account, channel| {
        ChannelPage::of(&converged(1), TURNING, &remembering(), (account, channel), hours(1))
    };
    assert!(of("acme", "c2").is_none() && of("none", "c1").is_none() && of("", "").is_none());
    let page = missing("acme", "c2", hours(1));
    assert!(page.contains("no channel of this name") && page.contains("href=\"/?q=c2\""), "{page}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_query_breaks_the_page(query in "(q|state|account|sort|period|page|follow|x)=\\PC{0,12}(&(q|page|period)=\\PC{0,12}){0,3}") {
        is_sound(&front(&converged(3), &query.replace('\u{202e}', "")));
    }
}
