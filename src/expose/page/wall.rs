//! The fleet as a wall: a cell for each channel, and where they are too many, a cell for some of an
//! account's channels that follow each other by name. The worst of them gives it its colour.
//!
//! Colour is not the only sign: a cell that is not as it should be has a sign or a number in it,
//! and one that lost events within the last day has a notch.

use maud::{Markup, html};

use crate::model::time::Timestamp;
use crate::reconcile::report::ChannelState;

use super::super::health::counted;
use super::mark::Mark;
use super::query::{Query, Sort, channel_href};
use super::select::{Hit, PAGE};

/// The cells of every account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wall {
    /// The accounts, by name, at most [`CELLS_MAX`].
    pub groups: Vec<WallGroup>,
    /// How many accounts are left out.
    pub left_out: usize,
    /// How many channels a cell stands for at most.
    pub each: usize,
}

/// The cells of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WallGroup {
    /// Its name.
    pub account: String,
    /// How many channels it has.
    pub channels: usize,
    /// Its cells, by name.
    pub cells: Vec<Cell>,
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// The worst of its channels.
    pub look: CellLook,
    /// The sign in it, or how many of its channels are not as they should be.
    pub sign: String,
    /// True when a channel of it lost events, or may have, within the last day.
    pub missed: bool,
    /// All of that in words.
    pub words: String,
    /// Where it leads.
    pub href: String,
}

/// How a cell looks, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CellLook {
    /// Events are lost.
    Bad,
    /// Something is not as it should be.
    Warn,
    /// It is covered, and nobody renews it.
    Calm,
    /// It is as it should be.
    Fine,
}

impl Wall {
    /// The wall of the channels that are searched for, which stand by account and name.
    pub(crate) fn of(fleet: &[Hit<'_>], query: &Query) -> Wall {
        let each = nice(fleet.len().div_ceil(CELLS_MAX));
        let accounts = fleet.chunk_by(|one, other| one.account() == other.account());
        let mut groups: Vec<WallGroup> =
            accounts.map(|of| WallGroup::of(of, each, query)).collect();
        let left_out = groups.len().saturating_sub(CELLS_MAX);
        if left_out > 0 {
            let worst =
                |group: &WallGroup| group.cells.iter().map(|cell| (cell.look, !cell.missed)).min();
            groups.sort_by_key(worst);
            groups.truncate(CELLS_MAX);
        }
        Wall { groups, left_out, each }
    }

    /// Renders it as HTML.
    pub(crate) fn html(&self) -> Markup {
        let has_titles = (2..=TITLES_MAX).contains(&self.groups.len());
        let cells = || self.groups.iter().flat_map(|group| &group.cells);
        let is_there = |look: &CellLook| cells().any(|cell| cell.look == *look);
        let looks = CellLook::ALL.into_iter().filter(is_there);
        html! {
            nav.wall aria-label="Every channel as a cell" {
                @if has_titles {
                    @for group in &self.groups {
                        div.group {
                            h3 { (group.account) " " span.quiet { (group.channels) } }
                            ul { @for cell in &group.cells { (cell.html()) } }
                        }
                    }
                } @else {
                    ul { @for cell in cells() { (cell.html()) } }
                }
            }
            p.legend {
                @for look in looks {
                    span { span class=(format!("cell {}", look.word())) aria-hidden="true" {} " " (look.means()) }
                }
                @if cells().any(|cell| cell.missed) {
                    span { span.cell.fine.notch aria-hidden="true" {} " missed events, or may have, within the last 24 hours" }
                }
                @if self.each > 1 { span { "A cell stands for up to " (self.each) " channels; its number counts those with a problem." } }
                @if self.left_out > 0 { span { (counted(self.left_out, "account")) " in no worse state left out" } }
            }
        }
    }
}

impl WallGroup {
    fn of(hits: &[Hit<'_>], each: usize, query: &Query) -> WallGroup {
        let account = hits.first().map_or("", Hit::account);
        let cell = |(place, hits): (usize, &[Hit<'_>])| match hits {
            [hit] => Cell::one(hit),
            _ => Cell::some(hits, place * each, account, query),
        };
        WallGroup {
            account: account.to_owned(),
            channels: hits.len(),
            cells: hits.chunks(each).enumerate().map(cell).collect(),
        }
    }
}

impl Cell {
    fn one(hit: &Hit<'_>) -> Cell {
        let marks: Vec<&str> = hit.marks.iter().map(|mark| mark.word()).collect();
        let sign = match hit.state {
            ChannelState::Covered => hit.marks.iter().find(|mark| **mark != Mark::Missed),
            ChannelState::Unverified | ChannelState::Drifted | ChannelState::Uncovered => None,
        };
        let sign = sign.map_or(sign_of(hit.state), |mark| mark.sign());
        let words = [hit.state.word()].into_iter().chain(marks).collect::<Vec<_>>().join(", ");
        Cell {
            look: CellLook::of(hit),
            sign: sign.to_owned(),
            missed: has_missed(hit),
            words: format!("{} of {}: {words}", hit.name(), hit.account()),
            href: channel_href(hit.account(), hit.name()),
        }
    }

    fn some(hits: &[Hit<'_>], first: usize, account: &str, query: &Query) -> Cell {
        let ill = hits.iter().filter(|hit| CellLook::of(hit) < CellLook::Calm).count();
        let missed = hits.iter().filter(|hit| has_missed(hit)).count();
        let name = |hit: Option<&Hit<'_>>| hit.map_or("", |hit| hit.name()).to_owned();
        let told =
            if ill > 0 { format!("{ill} not as they should be") } else { "all well".to_owned() };
        let lost = if missed > 0 { format!(", {missed} with a gap today") } else { String::new() };
        let listed = query.with(|query| {
            query.account = Some(account.to_owned());
            query.state = None;
            (query.sort, query.reversed, query.page) = (Sort::Name, false, first / PAGE + 1);
        });
        let (from, to) = (name(hits.first()), name(hits.last()));
        Cell {
            look: hits.iter().map(CellLook::of).min().unwrap_or(CellLook::Fine),
            sign: if ill > 0 { ill.to_string() } else { String::new() },
            missed: missed > 0,
            words: format!("{account}: {from} to {to}: {told}{lost}"),
            href: listed.href(),
        }
    }

    fn html(&self) -> Markup {
        let Cell { look, sign, missed, words, href } = self;
        let class = format!("cell {}{}", look.word(), if *missed { " notch" } else { "" });
        html! {
            li { a class=(class) href=(href) title=(words) aria-label=(words) { (sign) } }
        }
    }
}

impl CellLook {
    /// The look of one channel.
    pub(crate) fn of(hit: &Hit<'_>) -> CellLook {
        let has = |marks: &[Mark]| hit.marks.iter().any(|mark| marks.contains(mark));
        if hit.state == ChannelState::Uncovered || has(&[Mark::Undeliverable, Mark::Late]) {
            return CellLook::Bad;
        }
        let ill = [Mark::Refused, Mark::Conflict, Mark::Contested, Mark::Held, Mark::ShortGrant];
        if hit.state != ChannelState::Covered || has(&ill) {
            return CellLook::Warn;
        }
        if has(&[Mark::Paused, Mark::Observed]) { CellLook::Calm } else { CellLook::Fine }
    }

    /// Every look, the best first.
    const ALL: [CellLook; 4] = [CellLook::Fine, CellLook::Calm, CellLook::Warn, CellLook::Bad];

    /// Its meaning in the legend.
    const fn means(self) -> &'static str {
        match self {
            CellLook::Bad => "loses events, or is late",
            CellLook::Warn => "held, or not as declared",
            CellLook::Calm => "paused or observe-only: not renewed",
            CellLook::Fine => "covered",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            CellLook::Bad => "bad",
            CellLook::Warn => "warn",
            CellLook::Calm => "calm",
            CellLook::Fine => "fine",
        }
    }
}

/// The sign of a state in a cell.
const fn sign_of(state: ChannelState) -> &'static str {
    match state {
        ChannelState::Covered => "",
        ChannelState::Unverified => "\u{25d0}",
        ChannelState::Drifted => "\u{25b2}",
        ChannelState::Uncovered => "\u{2716}",
    }
}

fn has_missed(hit: &Hit<'_>) -> bool {
    !hit.channel.last_day.missed.is_empty()
}

/// The next number that is easy to count by.
fn nice(number: usize) -> usize {
    [1, 2, 5, 10, 20, 50, 100, 200, 500].into_iter().find(|nice| *nice >= number).unwrap_or(number)
}

/// A channel that ended after the pass was not covered since then.
pub(super) fn ended_since(hit: &Hit<'_>, now: Timestamp) -> Option<Timestamp> {
    let is_open = hit.channel.last_day.missed.iter().any(|missed| missed.to.is_none());
    hit.channel.expiry.filter(|expiry| *expiry <= now && !is_open)
}

/// The most cells, and the most accounts.
pub(crate) const CELLS_MAX: usize = 240;
/// The most accounts with a title of their own.
const TITLES_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::super::super::testing::{change_channel, converged, hold, lose, now, rejected};
    use super::super::select::select;
    use super::*;
    use crate::plan::step::Cause;

    fn wall(overview: &super::super::super::overview::Overview) -> Wall {
        let query = Query::parse("");
        Wall::of(&select(overview, &query, now()).fleet, &query)
    }

    #[test]
    fn each_channel_is_a_cell_that_tells_its_trouble_without_colour() {
        let mut overview = converged(11);
        lose(&mut overview, 2);
        hold(&mut overview, 3, rejected());
        hold(&mut overview, 4, Cause::Paused { step: None });
        change_channel(&mut overview, 5, |channel| {
            channel.undeliverable = Some(Box::new((now(), "HTTP 500".to_owned())));
        });
        let wall = wall(&overview);
        let cells = &wall.groups[0].cells;
        let told: Vec<_> =
            cells.iter().take(5).map(|cell| (cell.look, cell.words.as_str())).collect();
        assert_eq!(
            told,
            [
                (CellLook::Fine, "c1 of acme: covered"),
                (CellLook::Bad, "c2 of acme: uncovered"),
                (CellLook::Warn, "c3 of acme: covered, refused"),
                (CellLook::Calm, "c4 of acme: covered, paused"),
                (CellLook::Bad, "c5 of acme: covered, undeliverable"),
            ]
        );
        let signs: std::collections::BTreeSet<&str> =
            cells.iter().map(|cell| cell.sign.as_str()).collect();
        assert_eq!(signs.len(), 5, "{signs:?}");
        assert!(cells[9].words.starts_with("c10 "), "by number");
    }

    #[test]
    fn one_lost_channel_is_seen_among_ten_thousand() {
        let mut overview = converged(10_000);
        lose(&mut overview, 7_777);
        let wall = wall(&overview);
        let cells = &wall.groups[0].cells;
        assert_eq!((wall.each, cells.len()), (50, 200));
        let bad: Vec<&Cell> = cells.iter().filter(|cell| cell.look == CellLook::Bad).collect();
        assert_eq!((bad.len(), bad[0].sign.as_str()), (1, "1"));
        assert_eq!(bad[0].words, "acme: c7751 to c7800: 1 not as they should be");
        assert_eq!(bad[0].href, "/?account=acme&sort=name&page=156");
    }
}
