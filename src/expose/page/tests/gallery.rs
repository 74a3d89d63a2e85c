//! Made-up fleets of every size and state, as pages: each is sound, small and accessible.
//!
//! `CHANNELKEEPER_GALLERY=DIR cargo test --lib gallery` writes them to a folder, to be looked at.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use super::super::super::lookups::{ChannelMemory, Lookups};
use super::super::super::overview::Overview;
use super::super::super::testing::{
    TURNING, account, change, change_channel, converged, empty, hold, hours, lose, minutes,
    rejected, remembering, report, spec,
};
use super::super::{ChannelPage, FrontView, Query, missing, not_found};
use super::chromium::{self, Chromium, Look, Rules};
use super::is_sound;
use crate::coverage::track::{Open, Stretch};
use crate::coverage::{GapCause, GapKind, Ledger};
use crate::model::channel::{AccountName, ChannelId};
use crate::model::policy::Mode;
use crate::model::record::LastStep;
use crate::model::time::{Timestamp, after};
use crate::plan::drift::Drift;
use crate::plan::step::Cause;
use crate::reconcile::report::{AccountReport, ChannelState, GapSpan};
use crate::testing::{events, granted};

/// Thirty hours after everything was declared.
fn now() -> Timestamp {
    hours(30)
}

/// Renewed through the day, a channel a minute, in two accounts if there are many.
fn fleet(channels: i64) -> Overview {
    let mut overview = converged(if channels > 100 { channels * 3 / 5 } else { channels });
    if channels > 100 {
        let beta = report("beta", channels * 3 / 5 + 1..=channels);
        overview.accounts.insert(account("beta"), Some(Arc::new(beta)));
    }
    overview.accounts.values_mut().flatten().for_each(renewed);
    overview
}

/// Every channel of an account renewed at a time of its own.
fn renewed(report: &mut Arc<AccountReport>) {
    let report = Arc::make_mut(report);
    (report.at, report.looked_at, report.next_wake) =
        (minutes(1795), Some(minutes(1795)), hours(31));
    for (id, channel) in &mut report.channels {
        let renewed = minutes(1080 + u64::try_from(id.number()).unwrap() * 97 % 700);
        channel.expiry = Some(after(renewed, channel.spec.lifetime));
        channel.due_at = Some(after(renewed, channel.spec.lifetime / 2));
        channel.emergency_at = Some(after(renewed, channel.spec.lifetime * 7 / 8));
        let ends = after(renewed, channel.spec.lifetime);
        let (step, outcome) = ("enable (renew)".to_owned(), format!("done until {ends}"));
        channel.last = Some(Arc::new(LastStep { at: renewed, step, outcome }));
    }
}

fn misses(overview: &mut Overview, number: i64, missed: GapSpan) {
    change_channel(overview, number, |channel| {
        Arc::make_mut(&mut channel.last_day).missed.push(missed);
        channel.gaps += 1;
    });
}

/// The memory that agrees with what the reports say of the last day.
fn memory(overview: &Overview) -> Lookups {
    let reports: Vec<_> = overview.accounts.values().flatten().cloned().collect();
    let of_channel = move |_: &AccountName, channel: ChannelId| {
        let spec = spec(channel.number());
        let mut ledger = Ledger::new(&spec, hours(0));
        ledger.expiry = Some(hours(60));
        let missed = reports.iter().find_map(|report| report.channels.get(&channel));
        for track in &mut ledger.tracks {
            track.open = None;
            for missed in missed.iter().flat_map(|channel| &channel.last_day.missed) {
                let cause = match missed.kind {
                    GapKind::Undeliverable => GapCause::CanaryRefused,
                    GapKind::Uncovered | GapKind::Unknown => GapCause::Absent,
                };
                let (from, kind) = (missed.from, missed.kind);
                match missed.to {
                    Some(to) => track.gaps.push(Stretch { from, to, kind, cause }),
                    None => track.open = Some(Open { from, kind, cause }),
                }
            }
        }
        let record = Some(granted(&spec, hours(20)));
        Ok(ChannelMemory { record, ledger: Some(ledger), ..ChannelMemory::default() })
    };
    Lookups { channel: Arc::new(of_channel), ..remembering() }
}

fn gap(from: u64, to: Option<u64>, kind: GapKind) -> GapSpan {
    GapSpan { from: minutes(from), to: to.map(minutes), kind }
}

fn loses(overview: &mut Overview, number: i64) {
    misses(overview, number, gap(1700, None, GapKind::Uncovered));
    lose(overview, number);
    hold(overview, number, rejected());
}

fn scenes(channels: i64) -> Vec<(&'static str, Overview)> {
    let all_well = fleet(channels);
    let mut uncovered = fleet(channels);
    loses(&mut uncovered, channels / 2);
    let mut gaps = fleet(channels);
    for (number, kind) in [(2, GapKind::Uncovered), (3, GapKind::Unknown), (5, GapKind::Uncovered)]
    {
        misses(&mut gaps, number, gap(900, Some(1000 + 30 * u64::try_from(number).unwrap()), kind));
    }
    loses(&mut gaps, channels / 2);
    misses(&mut gaps, 7, gap(1680, None, GapKind::Undeliverable));
    change_channel(&mut gaps, 7, |channel| {
        channel.undeliverable = Some(Box::new((hours(28), "HTTP 500".to_owned())));
    });
    change_channel(&mut gaps, 6, |channel| {
        (channel.due_at, channel.expiry) = (Some(hours(29)), Some(hours(32)));
        channel.emergency_at = Some(minutes(1790));
    });
    change_channel(&mut gaps, 1, |channel| Arc::make_mut(&mut channel.spec).mode = Mode::Observe);
    let drift = vec![Drift::NotifyOnRelatedAction { wanted: true }];
    hold(&mut gaps, 8, Cause::Contested { writes: 3, drift });
    let mut paused = fleet(channels);
    change(&mut paused, |report| {
        let specs = report.channels.values().map(|channel| channel.spec.clone());
        report.after.held.extend(specs.map(|spec| crate::plan::step::Held {
            id: spec.id,
            name: spec.name.clone(),
            cause: Cause::Paused { step: None },
            until: Some(hours(40)),
        }));
    });
    vec![("well", all_well), ("uncovered", uncovered), ("gaps", gaps), ("paused", paused)]
}

/// The states that the other scenes do not have.
fn troubled() -> Overview {
    let mut overview = fleet(8);
    hold(&mut overview, 1, Cause::Conflict { seen: "https://theirs.example.com/".to_owned() });
    change_channel(&mut overview, 2, |channel| channel.short_grant = true);
    let (code, message) = ("INVALID_DATA".to_owned(), "the event is not supported".to_owned());
    let (events, declared) = (events(&["Deals.delete"]), None);
    hold(&mut overview, 3, Cause::PartlyRefused { events, code, message, declared });
    let (step, trouble) = ("update (drift)".to_owned(), "HTTP 503".to_owned());
    hold(&mut overview, 4, Cause::BackOff { step, trouble });
    hold(&mut overview, 99, Cause::RemovalGuard { removals: 9, channels: 10, is_renewed: true });
    change_channel(&mut overview, 5, |channel| channel.state = ChannelState::Unverified);
    change_channel(&mut overview, 6, |channel| channel.state = ChannelState::Drifted);
    change(&mut overview, |report| {
        report.needs_a_person = true;
        let denied = "HTTP 401 INVALID_TOKEN: invalid oauth token".to_owned();
        (report.look_failed, report.writes_failed) = (Some(denied.clone()), Some(denied));
    });
    overview.unusable.insert(account("gamma"), "its refresh token cannot be read".to_owned());
    overview.store_failed = Some("no space left on device".to_owned());
    overview.config.warnings = vec!["channel c8 has a life of one hour".to_owned()];
    overview
}

/// A hundred accounts of a hundred channels, the last of which is lost.
fn many_accounts() -> Overview {
    let mut overview = fleet(100);
    for number in 2..=100 {
        let name = format!("customer-{number}");
        let channels = number * 100..number * 100 + 100;
        let mut report = Arc::new(report(&name, channels));
        renewed(&mut report);
        overview.accounts.insert(account(&name), Some(report));
    }
    loses(&mut overview, 77);
    overview
}

fn starting() -> Overview {
    let mut overview = empty();
    overview.started_at = minutes(1799);
    overview.config.loaded_at = Some(minutes(1799));
    overview.accounts.insert(account("acme"), None);
    overview
}

/// Every front page: its name, its overview and the most bytes that it may have.
fn fronts() -> Vec<(String, Overview, usize)> {
    let mut fronts = Vec::new();
    for (channels, most) in [(8, 40_000), (200, 120_000), (10_000, 140_000)] {
        let named = |(name, overview)| (format!("{channels}-{name}"), overview, most);
        fronts.extend(scenes(channels).into_iter().map(named));
    }
    let mut nothing = empty();
    nothing.started_at = hours(29);
    let others = [
        ("starting", starting(), 20_000),
        ("nothing", nothing, 20_000),
        ("8-troubled", troubled(), 40_000),
        ("100x100", many_accounts(), 140_000),
    ];
    fronts.extend(others.map(|(name, overview, most)| (name.to_owned(), overview, most)));
    fronts
}

/// A page of the gallery, with the most bytes that it may have.
struct Shown {
    name: String,
    page: String,
    most: usize,
}

/// Every page. Made once for all tests, for those of ten thousand channels take their time.
static GALLERY: LazyLock<Vec<Shown>> = LazyLock::new(|| {
    let mut gallery = odd_addresses();
    for (name, overview, most) in fronts() {
        let memory = memory(&overview);
        if name.starts_with("8-") {
            // In the other scenes each channel's page reads like that of the fourth.
            let differ = ["8-gaps", "8-troubled"].contains(&name.as_str());
            for number in if differ { 1..=8 } else { 4..=4 } {
                let channel = format!("c{number}");
                let page = ChannelPage::of(&overview, TURNING, &memory, ("acme", &channel), now());
                let (name, page) = (format!("{name}-{channel}"), page.unwrap().page());
                gallery.push(Shown { name, page, most: 30_000 });
            }
        }
        let page = FrontView::of(&overview, TURNING, &memory, Query::parse(""), now()).page();
        gallery.push(Shown { name, page, most });
    }
    gallery
});

fn odd_addresses() -> Vec<Shown> {
    let (well, odd) = (fleet(8), "state=purple&account=nobody");
    let asked = [("unknown-filter", odd), ("no-match", "q=zzz"), ("follow", "follow=1")];
    let fronts = asked.map(|(name, query)| {
        let query = Query::parse(query);
        (name, FrontView::of(&well, TURNING, &memory(&well), query, now()).page())
    });
    let absent =
        [("404", not_found("/nothing", now())), ("no-channel", missing("acme", "c9", now()))];
    let named = |(name, page): (&str, String)| Shown { name: name.to_owned(), page, most: 40_000 };
    fronts.into_iter().chain(absent).map(named).collect()
}

#[test]
fn every_page_of_the_gallery_is_sound_and_small() {
    for Shown { name, page, most } in GALLERY.iter() {
        is_sound(page);
        assert!(page.len() < *most, "{name}: {} bytes", page.len());
    }
    if let Some(folder) = std::env::var_os("CHANNELKEEPER_GALLERY") {
        write(Path::new(&folder));
    }
}

/// Each page in a real browser, a small one in every look. A width is held to all rules in one
/// theme and, because a theme changes colours alone, to those that read colours in the other. A
/// large page repeats what a small one has, so each width and each theme is seen once.
#[test]
fn every_page_of_the_gallery_is_accessible_on_a_phone_and_on_a_desk_in_light_and_dark() {
    let Some(program) = chromium::installed() else {
        eprintln!("NOT TESTED: chromium is not installed, so the gallery was not checked");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let mut browser = Chromium::start(&program);
    for Shown { name, page, .. } in GALLERY.iter() {
        let url = format!("file://{}/{name}.html", folder.path().display());
        browser.open(&url, LOOKS[0].0);
        browser.brings_axe();
        let looks = if page.len() < 60_000 { &LOOKS[..] } else { &LOOKS[..2] };
        for (look, rules) in looks.iter().copied() {
            browser.looks(look);
            assert_eq!(browser.violations(rules), serde_json::json!([]), "{name} {look:?}");
        }
    }
}

const LOOKS: [(Look, Rules); 4] = [
    (Look { width: 1280, theme: "light" }, Rules::All),
    (Look { width: 390, theme: "dark" }, Rules::All),
    (Look { width: 1280, theme: "dark" }, Rules::Colours),
    (Look { width: 390, theme: "light" }, Rules::Colours),
];

fn write(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for Shown { name, page, .. } in GALLERY.iter() {
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
}
