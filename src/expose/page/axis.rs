//! One time axis for the fleet: on the left how many channels lost events in the last day, on the
//! right how many are renewed within the next.

use maud::{Markup, html};

use crate::coverage::GapKind;
use crate::model::time::{Timestamp, before, brief, span};

use super::super::health::counted;
use super::frame::{from_now, sample};
use super::mark::Mark;
use super::query::{Period, channel_href};
use super::select::Hit;
use super::wall::ended_since;

/// The axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// The middle.
    pub now: Timestamp,
    /// Channels with a gap, by the worst in it, in each half hour before now.
    pub lost: [[usize; 3]; BINS],
    /// Channels that are renewed, in each half hour from now on.
    pub due: [usize; BINS],
    /// The channels whose renewal is late, at most `NAMED`, and how many there are.
    pub late: (Vec<RenewalAhead>, usize),
    /// The next renewal.
    pub next: Option<RenewalAhead>,
    /// How many are renewed after the axis ends.
    pub later: usize,
    /// The end of the first life.
    pub first_end: Option<Timestamp>,
    /// How many channels there are.
    pub channels: usize,
}

/// When a channel is renewed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RenewalAhead {
    /// Then.
    pub at: Timestamp,
    /// The account.
    pub account: String,
    /// The channel.
    pub channel: String,
}

impl Axis {
    /// The axis of the channels that are searched for.
    pub(crate) fn of(fleet: &[Hit<'_>], first_end: Option<Timestamp>, now: Timestamp) -> Axis {
        let mut axis = Axis {
            now,
            lost: [[0; 3]; BINS],
            due: [0; BINS],
            late: (Vec::new(), 0),
            next: None,
            later: 0,
            first_end,
            channels: fleet.len(),
        };
        let mut late: Vec<RenewalAhead> = Vec::new();
        for hit in fleet {
            axis.add_losses(hit);
            // A renewal that is paused or only observed does not come.
            let comes = !hit.marks.iter().any(|mark| matches!(mark, Mark::Paused | Mark::Observed))
                && hit.channel.expiry > Some(now);
            let Some(due_at) = hit.channel.due_at.filter(|_| comes) else { continue };
            if due_at <= before(now, LATE_AFTER) {
                late.push(RenewalAhead::of(hit, due_at));
                continue;
            }
            if axis.next.as_ref().is_none_or(|next| due_at < next.at) {
                axis.next = Some(RenewalAhead::of(hit, due_at));
            }
            match axis.due.get_mut(bin(now, due_at)) {
                Some(count) => *count += 1,
                None => axis.later += 1,
            }
        }
        late.sort();
        let count = late.len();
        late.truncate(NAMED);
        axis.late = (late, count);
        axis
    }

    /// Each half hour that a gap of the channel touches counts it once, as its worst.
    fn add_losses(&mut self, hit: &Hit<'_>) {
        let start = before(self.now, Period::Day.length());
        let zoho_start = hit.report.zoho_time(start);
        let mut worst: [Option<GapKind>; BINS] = [None; BINS];
        let mut add = |from: usize, to: usize, kind: GapKind| {
            for one in worst.iter_mut().take(to.min(BINS)).skip(from) {
                *one = Some(one.map_or(kind, |held| held.min(kind)));
            }
        };
        for missed in &hit.channel.last_day.missed {
            let from = bin(zoho_start, missed.from);
            let to = missed.to.map_or(BINS, |to| bin(zoho_start, to) + 1);
            if missed.to.is_none_or(|to| to > zoho_start) {
                add(from, to, missed.kind);
            }
        }
        if let Some(ended) = ended_since(hit, self.now) {
            add(bin(start, ended), BINS, GapKind::Uncovered);
        }
        for (kind, bin) in worst.into_iter().zip(&mut self.lost) {
            if let Some(place) = GapKind::ALL.iter().position(|one| Some(*one) == kind) {
                bin[place] += 1;
            }
        }
    }

    /// Renders it as HTML.
    pub(crate) fn html(&self) -> Markup {
        html! {
            figure.axis {
                (self.svg())
                p.ends {
                    span { "24h ago" } span { "12h ago" } span { "now" } span { "in 12h" } span { "in 24h" }
                }
                figcaption { (self.renewals()) }
                (self.legend())
            }
        }
    }

    fn svg(&self) -> Markup {
        let most = self.due.iter().copied().max().unwrap_or_default().max(1);
        html! {
            svg.time viewBox=(format!("0 0 {} {HEIGHT}", 2 * BINS * WIDE)) preserveAspectRatio="none" role="img" aria-label=(self.sentence()) {
                rect.track y=(HEIGHT - 1) width=(2 * BINS * WIDE) height="1" {}
                @for hours in (0..=48).step_by(6) { rect.tick x=(hours * 2 * WIDE) width="1" height=(HEIGHT) {} }
                @for (place, bin) in self.lost.iter().enumerate() { (self.losses(place, bin)) }
                @for (place, count) in self.due.iter().enumerate().filter(|(_, count)| **count > 0) {
                    @let height = bar(*count, most);
                    rect.renewal x=((BINS + place) * WIDE + 1) y=(HEIGHT - height) width=(WIDE - 2) height=(height) {
                        title { (counted(*count, "renewal")) " in " (self.hours(place)) }
                    }
                }
                @if self.late.1 > 0 {
                    rect.late x=(BINS * WIDE - WIDE / 2) width=(WIDE) height=(HEIGHT) { title { (counted(self.late.1, "renewal")) " late" } }
                }
                @if let Some(place) = self.end() {
                    rect.end x=(place * WIDE) width="2" height=(HEIGHT) { title { "the first life ends" } }
                }
                rect.mark x=(BINS * WIDE - 1) width="2" height=(HEIGHT) {}
            }
        }
    }

    fn losses(&self, place: usize, bin: &[usize; 3]) -> Markup {
        let total: usize = bin.iter().sum();
        let worst = GapKind::ALL.iter().zip(bin).find(|(_, count)| **count > 0);
        let height = bar(total, self.channels);
        html! {
            @if let Some((kind, _)) = worst {
                rect class=(kind.word()) x=(place * WIDE) y=(HEIGHT - height) width=(WIDE) height=(height) {
                    title { (counted(total, "channel")) " " (kind.word()) ", " (self.hours(BINS - place)) " ago" }
                }
            }
        }
    }

    fn hours(&self, bins: usize) -> String {
        brief(BIN * u32::try_from(bins).unwrap_or(u32::MAX))
    }

    fn sentence(&self) -> String {
        let worst = self.lost.iter().map(|bin| bin.iter().sum::<usize>()).max().unwrap_or_default();
        let lost = match worst {
            0 => "no channel lost events in the last 24 hours".to_owned(),
            some => format!(
                "at most {} at once lost events in the last 24 hours",
                counted(some, "channel")
            ),
        };
        let due: usize = self.due.iter().sum();
        format!(
            "{lost}; {} within the next 24 hours, {} late",
            counted(due, "renewal"),
            self.late.1
        )
    }

    /// The marks that are drawn, each with its greatest number: that is the scale.
    fn legend(&self) -> Markup {
        let lost = |bin: &[usize; 3]| bin.iter().sum::<usize>();
        let kinds = GapKind::ALL.iter().enumerate();
        let drawn = kinds.filter(|(place, _)| self.lost.iter().any(|bin| bin[*place] > 0));
        let most_lost = self.lost.iter().map(lost).max().unwrap_or_default();
        let most_due = self.due.iter().copied().max().unwrap_or_default();
        html! {
            p.legend {
                @if most_lost == 0 { span { "no channel missed events in the last 24 hours" } }
                @for (_, kind) in drawn { span { (sample(kind.word(), "0", "12")) " " (kind.word()) } }
                @if most_lost > 0 {
                    span { "at most " (most_lost) " of " (counted(self.channels, "channel")) " at once" }
                }
                @if most_due > 0 {
                    span { (sample("renewal", "0", "12")) " renewals, at most " (most_due) " in half an hour" }
                }
                @if self.late.1 > 0 { span { (sample("late", "0", "12")) " late renewals" } }
                @if self.end().is_some() { span { (sample("end", "0", "12")) " the first life ends" } }
            }
        }
    }

    /// The bin in which the first life ends, if it is on the axis.
    fn end(&self) -> Option<usize> {
        let end = self.first_end.filter(|end| *end > self.now)?;
        Some(BINS + bin(self.now, end)).filter(|place| *place < 2 * BINS)
    }

    /// The next renewal and the late ones, by name.
    fn renewals(&self) -> Markup {
        let (late, count) = &self.late;
        html! {
            @if *count > 0 {
                span { b { (counted(*count, "renewal")) " late: " }
                    @for (place, one) in late.iter().enumerate() {
                        @if place > 0 { ", " } (one.link()) " " span.quiet { (brief(span(one.at, self.now))) }
                    }
                    @if *count > late.len() { " and " (count - late.len()) " more" }
                }
            }
            @if let Some(next) = &self.next {
                span { "Next renewal: " (next.link()) " " @if next.at > self.now { (from_now(next.at, self.now)) } @else { "now" } }
            }
            @if self.later > 0 { span { (counted(self.later, "renewal")) " after the next 24 hours" } }
            @if let Some(end) = self.first_end { span { "The first life ends " (from_now(end, self.now)) } }
        }
    }
}

impl RenewalAhead {
    fn of(hit: &Hit<'_>, at: Timestamp) -> RenewalAhead {
        RenewalAhead { at, account: hit.account().to_owned(), channel: hit.name().to_owned() }
    }

    fn link(&self) -> Markup {
        html! { a href=(channel_href(&self.account, &self.channel)) { (self.channel) } }
    }
}

/// The half hour that an instant lies in, counted from `start`.
fn bin(start: Timestamp, instant: Timestamp) -> usize {
    let begun = span(start, instant).as_millis() / BIN.as_millis();
    usize::try_from(begun).unwrap_or(usize::MAX)
}

/// The height of a bar: whatever is there is seen.
fn bar(count: usize, most: usize) -> usize {
    if count == 0 { 0 } else { (6 + (HEIGHT - 6) * count / most.max(1)).min(HEIGHT) }
}

/// Bins on each side.
const BINS: usize = 48;
/// A renewal is late when it has been due for this long: a pass that is under way takes its time.
const LATE_AFTER: std::time::Duration = std::time::Duration::from_secs(60);
/// The length of a bin.
const BIN: std::time::Duration = std::time::Duration::from_secs(1800);
/// The width of a bin in the drawing.
const WIDE: usize = 10;
/// The height of the drawing.
const HEIGHT: usize = 56;
/// Late renewals that are named.
const NAMED: usize = 5;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::testing::{change_channel, converged, hours, minutes};
    use super::super::query::Query;
    use super::super::select::select;
    use super::*;
    use crate::reconcile::report::GapSpan;

    #[test]
    fn gaps_stand_before_now_and_renewals_after_it() {
        let mut overview = converged(3);
        change_channel(&mut overview, 1, |channel| {
            let (from, to) = (hours(24), Some(minutes(24 * 60 + 20)));
            Arc::make_mut(&mut channel.last_day).missed =
                vec![GapSpan { from, to, kind: GapKind::Unknown }];
            (channel.expiry, channel.due_at) = (Some(hours(60)), Some(hours(31)));
        });
        change_channel(&mut overview, 2, |channel| {
            (channel.expiry, channel.due_at) = (Some(hours(31)), Some(hours(29)));
        });
        let query = Query::parse("");
        let axis = Axis::of(&select(&overview, &query, hours(30)).fleet, None, hours(30));
        // Six hours ago, and since the third one ended after the pass.
        assert_eq!(
            (axis.lost[36], axis.lost[40], axis.lost[47]),
            ([1, 0, 1], [1, 0, 0], [1, 0, 0])
        );
        assert_eq!((axis.lost[35], axis.due[2], axis.due.iter().sum::<usize>()), ([0; 3], 1, 1));
        assert_eq!((axis.late.1, axis.late.0[0].channel.as_str()), (1, "c2"));
        assert_eq!(axis.next.map(|next| next.channel), Some("c1".to_owned()));
    }
}
