//! Made-up fleets of every size and state, as pages: each is sound, small and soon made.
//!
//! `CHANNELKEEPER_GALLERY=DIR cargo test --lib gallery` writes them to a folder, to be looked at.

use std::sync::Arc;

use super::super::super::lookups::{ChannelMemory, Lookups};
use super::super::super::overview::Overview;
use super::super::super::testing::{
    TURNING, account, change, change_channel, converged, empty, hold, hours, id, lose, minutes,
    rejected, remembering, report, spec,
};
use super::super::{ChannelPage, FrontView, Query};
use super::is_sound;
use crate::coverage::track::{Open, Stretch};
use crate::coverage::{GapCause, GapKind, Ledger};
use crate::model::policy::Mode;
use crate::model::record::LastStep;
use crate::model::time::{Timestamp, after};
use crate::plan::step::Cause;
use crate::reconcile::report::Missed;

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
    for report in overview.accounts.values_mut().flatten() {
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
            channel.last = Some(LastStep { at: renewed, step, outcome });
        }
    }
    overview
}

fn misses(overview: &mut Overview, number: i64, missed: Missed) {
    change_channel(overview, number, |channel| {
        channel.last_day.missed.push(missed);
        channel.gaps += 1;
    });
}

/// The memory that agrees with what the reports say of the last day.
fn memory(overview: &Overview) -> Lookups {
    let reports: Vec<_> = overview.accounts.values().flatten().cloned().collect();
    let of_channel = move |_: &_, channel| {
        let mut ledger = Ledger::new(&spec(1), hours(0));
        ledger.expiry = Some(hours(60));
        let missed = reports.iter().find_map(|report| report.channels.get(&channel));
        for track in &mut ledger.tracks {
            track.open = None;
            for missed in missed.iter().flat_map(|channel| &channel.last_day.missed) {
                let (from, kind, cause) = (missed.from, missed.kind, GapCause::Absent);
                match missed.to {
                    Some(to) => track.gaps.push(Stretch { from, to, kind, cause }),
                    None => track.open = Some(Open { from, kind, cause }),
                }
            }
        }
        Ok(ChannelMemory { ledger: Some(ledger), ..ChannelMemory::default() })
    };
    Lookups { channel: Arc::new(of_channel), ..remembering() }
}

fn gap(from: u64, to: Option<u64>, kind: GapKind) -> Missed {
    Missed { from: minutes(from), to: to.map(minutes), kind }
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
    change_channel(&mut gaps, 7, |channel| {
        channel.undeliverable = Some(Box::new((hours(28), "HTTP 500".to_owned())));
    });
    change_channel(&mut gaps, 6, |channel| {
        (channel.due_at, channel.expiry) = (Some(hours(29)), Some(hours(32)));
        channel.emergency_at = Some(minutes(1790));
    });
    change_channel(&mut gaps, 1, |channel| Arc::make_mut(&mut channel.spec).mode = Mode::Observe);
    hold(&mut gaps, 8, Cause::Contested { writes: 3, drift: Vec::new() });
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

fn starting() -> Overview {
    let mut overview = empty();
    overview.started_at = minutes(1799);
    overview.config.loaded_at = Some(minutes(1799));
    overview.accounts.insert(account("acme"), None);
    overview
}

#[test]
fn pages_of_every_fleet_are_sound_and_small() {
    let mut pages: Vec<(String, Overview, usize)> = Vec::new();
    for (channels, most) in [(8, 40_000), (200, 120_000), (10_000, 140_000)] {
        let named = |(name, overview)| (format!("{channels}-{name}"), overview, most);
        pages.extend(scenes(channels).into_iter().map(named));
    }
    pages.push(("starting".to_owned(), starting(), 20_000));
    let mut nothing = empty();
    nothing.started_at = hours(29);
    pages.push(("nothing".to_owned(), nothing, 20_000));
    for (name, overview, most) in pages {
        let memory = memory(&overview);
        let page = FrontView::of(&overview, TURNING, &memory, Query::parse(""), now()).page();
        is_sound(&page);
        keep(&name, &page);
        assert!(page.len() < most, "{name}: {} bytes", page.len());
        if name == "8-gaps" {
            let path = ("acme", "c4");
            let page = ChannelPage::of(&overview, TURNING, &memory, path, now()).unwrap().page();
            assert!(
                overview.accounts[&account("acme")].as_ref().unwrap().channels.contains_key(&id(4))
            );
            is_sound(&page);
            keep("channel", &page);
        }
    }
}

fn keep(name: &str, page: &str) {
    let Some(folder) = std::env::var_os("CHANNELKEEPER_GALLERY") else { return };
    let folder = std::path::PathBuf::from(folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
}
