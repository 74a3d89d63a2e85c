//! A channel's coverage over one period, as a strip: from its ledger to a value, and from that to
//! an inline SVG.
//!
//! A strip has [`CELLS`] cells. A gap colours every cell that it touches, so that none is too short
//! to be seen; where more than [`RUNS_MAX`] stretches would have to be drawn, cells are put
//! together until they fit. The worst in a cell wins: uncovered, then undeliverable, then unknown.
//! The sums ([`LostTime`]) are exact.
//!
//! Colour is not the only sign: covered time is a thin band, uncovered and undeliverable full
//! blocks, unknown a striped one, and time before the declaration is empty. Each gap says what it
//! is when it is pointed at.

use std::collections::BTreeSet;
use std::time::Duration;

use maud::{Markup, html};

use crate::coverage::gap::{Gap, GapCause, GapKind};
use crate::coverage::ledger::Ledger;
use crate::model::time::{Timestamp, before, brief, span, whole_seconds};

use super::query::Period;

/// The coverage of one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Strip {
    /// Which.
    pub period: Period,
    /// Its beginning, in Zoho's time.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// The cell in which the first event was declared; nothing when there is no ledger.
    pub declared: Option<u32>,
    /// The cells that are not covered, in order.
    pub runs: Vec<Run>,
    /// The time that was lost.
    pub lost: LostTime,
}

/// A stretch of cells with a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first cell.
    pub cell: u32,
    /// How many.
    pub cells: u32,
    /// The worst in it.
    pub kind: GapKind,
    /// The beginning of its first gap.
    pub from: Timestamp,
    /// The end of its last gap; nothing when it is open.
    pub to: Option<Timestamp>,
    /// The causes of the gaps in it.
    pub causes: BTreeSet<GapCause>,
}

/// How much of a period was lost, whatever the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LostTime {
    /// Something was not covered for so long.
    pub uncovered: Duration,
    /// Beside that, something was covered and not deliverable for so long.
    pub undeliverable: Duration,
    /// Beside both, nobody knows of something for so long.
    pub unknown: Duration,
    /// How long something was declared.
    pub declared: Duration,
}

impl Strip {
    /// The strip of a ledger, up to `now` in Zoho's time.
    pub(crate) fn of(ledger: Option<&Ledger>, period: Period, now: Timestamp) -> Strip {
        let from = before(now, period.length());
        let window = StripWindow { from, to: now };
        let Some(ledger) = ledger else {
            return Strip {
                period,
                from,
                to: now,
                declared: None,
                runs: Vec::new(),
                lost: LostTime::default(),
            };
        };
        let gaps: Vec<Gap> =
            ledger.gaps(now).into_iter().filter(|gap| window.touches(gap)).collect();
        let since = ledger.tracks.iter().map(|track| track.since).min().unwrap_or(now);
        let mut cells = CELLS;
        let mut runs = window.runs(&gaps, cells);
        while runs.len() > RUNS_MAX {
            cells /= 2;
            runs = window.runs(&gaps, cells);
        }
        let declared = Some(window.cell(since, CELLS));
        Strip { period, from, to: now, declared, runs, lost: window.lost(&gaps, since) }
    }

    /// The share that was covered, in words: never 100 % while anything was lost.
    pub(crate) fn share(&self) -> String {
        let LostTime { uncovered, undeliverable, unknown, declared } = self.lost;
        let lost = uncovered + undeliverable + unknown;
        if declared.is_zero() {
            return "-".to_owned();
        }
        if lost.is_zero() {
            return "100%".to_owned();
        }
        let covered = declared.saturating_sub(lost).as_secs_f64() / declared.as_secs_f64();
        format!("{:.1}%", ((covered * 1000.0).floor() / 10.0).min(99.9))
    }

    /// The content of the strip, in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let LostTime { uncovered, undeliverable, unknown, declared } = self.lost;
        let period = self.period.title();
        match (declared.is_zero(), (uncovered + undeliverable + unknown).is_zero()) {
            (true, _) => format!("nothing known of the last {period}"),
            (false, true) => format!("covered without a gap in the last {period}"),
            (false, false) => {
                let part = |length: Duration, word: &str| {
                    (!length.is_zero()).then(|| format!("{word} for {}", brief(length)))
                };
                let parts = [
                    part(uncovered, "uncovered"),
                    part(undeliverable, "undeliverable"),
                    part(unknown, "unknown"),
                ];
                format!(
                    "{} in the last {period}",
                    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
                )
            }
        }
    }

    /// As an inline SVG, which stretches to its place.
    pub(crate) fn svg(&self) -> Markup {
        let covered = self.declared.map(|cell| (cell, CELLS.saturating_sub(cell).max(1)));
        html! {
            svg.strip viewBox=(format!("0 0 {CELLS} 12")) preserveAspectRatio="none" role="img" {
                title { (self.sentence()) }
                @if let Some((x, width)) = covered { rect.covered x=(x) y="4" width=(width) height="4" {} }
                @for run in &self.runs {
                    rect class=(run.kind.word()) x=(run.cell) width=(run.cells) height="12" { title { (run.sentence()) } }
                }
            }
        }
    }
}

impl Run {
    /// The content of the run, in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let Run { cell: _, cells: _, kind, from, to, causes } = self;
        let from = whole_seconds(*from);
        let to = to.map_or("now".to_owned(), |to| whole_seconds(to).to_string());
        let causes: Vec<&str> = causes.iter().map(|cause| cause.word()).collect();
        format!("{} from {from} to {to}: {}", kind.word(), causes.join(", "))
    }
}

#[derive(Clone, Copy)]
struct StripWindow {
    from: Timestamp,
    to: Timestamp,
}

impl StripWindow {
    fn touches(self, gap: &Gap) -> bool {
        gap.from < self.to && gap.to.is_none_or(|to| to > self.from)
    }

    /// The stretches that are coloured when there are so many cells, in units of [`CELLS`].
    fn runs(self, gaps: &[Gap], cells: u32) -> Vec<Run> {
        let wide = CELLS / cells;
        let mut touched: Vec<Option<Run>> = vec![None; cells as usize];
        for gap in gaps {
            let first = self.cell(gap.from, cells);
            let last = gap.to.map_or(cells, |to| self.cell_after(to, cells)).max(first + 1);
            for cell in first..last.min(cells) {
                add(&mut touched[cell as usize], gap, Run::of(gap, cell * wide, wide));
            }
        }
        touched.into_iter().fold(Vec::new(), joined)
    }

    /// The cell that an instant lies in; the last one for what lies behind it.
    fn cell(self, instant: Timestamp, cells: u32) -> u32 {
        let place = self.place(instant, cells);
        u32::try_from(place).unwrap_or(u32::MAX).min(cells - 1)
    }

    /// The first cell that begins at an instant or later.
    fn cell_after(self, instant: Timestamp, cells: u32) -> u32 {
        let whole = self.place(instant, cells);
        let begins = self.cell_begins(whole, cells) >= span(self.from, instant).as_millis();
        u32::try_from(if begins { whole } else { whole + 1 }).unwrap_or(u32::MAX).min(cells)
    }

    fn place(self, instant: Timestamp, cells: u32) -> u128 {
        span(self.from, instant).as_millis() * u128::from(cells) / self.millis()
    }

    fn cell_begins(self, cell: u128, cells: u32) -> u128 {
        (cell * self.millis()).div_ceil(u128::from(cells))
    }

    fn millis(self) -> u128 {
        span(self.from, self.to).as_millis().max(1)
    }

    fn lost(self, gaps: &[Gap], since: Timestamp) -> LostTime {
        let all = self.union(gaps.iter());
        let uncovered = self.union(gaps.iter().filter(|gap| gap.kind == GapKind::Uncovered));
        let certain = self.union(gaps.iter().filter(|gap| gap.kind != GapKind::Unknown));
        LostTime {
            uncovered,
            undeliverable: certain.saturating_sub(uncovered),
            unknown: all.saturating_sub(certain),
            declared: span(since.max(self.from), self.to),
        }
    }

    /// How much of the window the gaps take together.
    fn union<'a>(self, gaps: impl Iterator<Item = &'a Gap>) -> Duration {
        let mut bounds: Vec<(Timestamp, Timestamp)> = gaps
            .map(|gap| (gap.from.max(self.from), gap.to.unwrap_or(self.to).min(self.to)))
            .collect();
        bounds.sort_unstable();
        let (mut end, mut total) = (self.from, Duration::ZERO);
        for (from, to) in bounds {
            total += span(from.max(end), to);
            end = end.max(to);
        }
        total
    }
}

impl Run {
    fn of(gap: &Gap, cell: u32, cells: u32) -> Run {
        Run { cell, cells, kind: gap.kind, from: gap.from, to: gap.to, causes: [gap.cause].into() }
    }

    fn take_in(&mut self, other: Run) {
        self.from = self.from.min(other.from);
        self.to = later(self.to, other.to);
        self.causes.extend(other.causes);
    }
}

/// Adds a gap to a cell, which shows only its worst kind.
fn add(cell: &mut Option<Run>, gap: &Gap, run: Run) {
    match cell {
        Some(held) if held.kind < gap.kind => {}
        Some(held) if held.kind == gap.kind => held.take_in(run),
        Some(_) | None => *cell = Some(run),
    }
}

/// Puts a cell behind what is there: neighbours of one kind are one run.
fn joined(mut runs: Vec<Run>, cell: Option<Run>) -> Vec<Run> {
    let Some(next) = cell else { return runs };
    match runs.last_mut() {
        Some(last) if last.cell + last.cells == next.cell && last.kind == next.kind => {
            last.cells += next.cells;
            last.take_in(next);
        }
        Some(_) | None => runs.push(next),
    }
    runs
}

/// The later of two ends; no end is later than any.
fn later(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.zip(other).map(|(one, other)| one.max(other))
}

/// Cells of a strip; halved some times it stays whole.
pub(crate) const CELLS: u32 = 240;
/// The most stretches that are drawn in one strip.
pub(crate) const RUNS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::testing::{hours, minutes, spec};
    use super::*;
    use crate::coverage::track::{Open, Stretch};

    /// With these ended gaps, in minutes, declared at hour 0.
    fn ledger(gaps: &[(u64, u64, GapKind)]) -> Ledger {
        let mut ledger = Ledger::new(&spec(1), hours(0));
        for track in &mut ledger.tracks {
            track.open = None;
            let stretch = |(from, to, kind): &(u64, u64, GapKind)| Stretch {
                from: minutes(*from),
                to: minutes(*to),
                kind: *kind,
                cause: GapCause::Expired,
            };
            track.gaps = gaps.iter().map(stretch).collect();
        }
        ledger
    }

    fn strip(ledger: &Ledger, now: Timestamp) -> Strip {
        Strip::of(Some(ledger), Period::Day, now)
    }

    #[test]
    fn a_gap_is_drawn_where_it_was_and_summed_exactly() {
        let strip =
            strip(&ledger(&[(60, 75, GapKind::Uncovered), (75, 80, GapKind::Unknown)]), hours(24));
        let cells: Vec<(u32, u32, GapKind)> =
            strip.runs.iter().map(|run| (run.cell, run.cells, run.kind)).collect();
        assert_eq!(cells, [(10, 3, GapKind::Uncovered), (13, 1, GapKind::Unknown)]);
        assert_eq!(strip.sentence(), "uncovered for 15m, unknown for 5m in the last 24 hours");
        assert_eq!(strip.share(), "98.6%");
        assert_eq!(
            strip.runs[0].sentence(),
            "uncovered from 2026-01-01T01:00:00Z to 2026-01-01T01:15:00Z: expired"
        );
    }

    #[test]
    fn a_second_is_seen_and_never_rounds_to_all() {
        let mut ledger = ledger(&[]);
        ledger.tracks[0].gaps.push(Stretch {
            from: minutes(600),
            to: crate::model::time::after(minutes(600), Duration::from_secs(1)),
            kind: GapKind::Uncovered,
            cause: GapCause::Absent,
        });
        let strip = strip(&ledger, hours(24));
        assert_eq!((strip.runs.len(), strip.share().as_str()), (1, "99.9%"));
    }

    #[test]
    fn before_the_declaration_there_is_nothing() {
        let strip = strip(&ledger(&[]), hours(6));
        assert_eq!((strip.declared, strip.share().as_str()), (Some(180), "100%"));
        assert_eq!(Strip::of(None, Period::Day, hours(6)).share(), "-");
    }

    #[test]
    fn an_open_gap_reaches_the_end() {
        let mut ledger = ledger(&[]);
        ledger.tracks[0].open =
            Some(Open { from: hours(23), kind: GapKind::Uncovered, cause: GapCause::Absent });
        let strip = strip(&ledger, hours(24));
        assert_eq!((strip.runs[0].cell + strip.runs[0].cells, strip.runs[0].to), (CELLS, None));
        let svg = strip.svg().into_string();
        assert!(svg.contains("class=\"uncovered\"") && svg.contains("to now: absent"), "{svg}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_gap_is_drawn_and_a_strip_stays_small(edges in prop::collection::btree_set(0..43_200_u64, 0..120)) {
            let edges: Vec<u64> = edges.into_iter().collect();
            let gaps: Vec<(u64, u64, GapKind)> = edges.chunks_exact(2).map(|pair| (pair[0], pair[1], GapKind::Uncovered)).collect();
            let ledger = ledger(&gaps);
            for period in Period::ALL {
                let strip = Strip::of(Some(&ledger), period, hours(30 * 24));
                prop_assert!(strip.runs.len() <= RUNS_MAX);
                let window = StripWindow { from: strip.from, to: strip.to };
                for gap in ledger.gaps(strip.to).iter().filter(|gap| window.touches(gap)) {
                    let cell = window.cell(gap.from.max(strip.from), CELLS);
                    let drawn = strip.runs.iter().any(|run| (run.cell..run.cell + run.cells).contains(&cell));
                    prop_assert!(drawn, "{gap:?} in {strip:?}");
                }
                prop_assert!(strip.runs.iter().all(|run| run.cell + run.cells <= CELLS));
                prop_assert!(strip.svg().into_string().len() < 4000);
            }
        }
    }
}
