//! A channel's remaining life as a bar: how much of the life that was asked for is left, where it
//! is renewed and where that becomes an emergency. The bar runs from the end of the life (left) to
//! its beginning, so it empties to the left.

use std::time::Duration;

use maud::{Markup, html};

use crate::model::time::{Timestamp, brief, span};

use super::super::status::ChannelView;

/// The content of a bar, in thousandths of the life that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    left: u64,
    renewal: Option<u64>,
    emergency: Option<u64>,
    mood: Mood,
}

/// How the life is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Fresh,
    Due,
    Emergency,
    Ended,
}

impl Bar {
    /// The bar of a channel at `now`.
    pub(crate) fn of(channel: &ChannelView, now: Timestamp) -> Bar {
        let left = channel.expiry.map_or(Duration::ZERO, |expiry| span(now, expiry));
        let whole = u128::from(channel.lifetime_s.max(left.as_secs()).max(1));
        let share = |length: Duration| {
            u64::try_from(u128::from(length.as_secs()) * SCALE / whole).unwrap_or(0)
        };
        let lead = |at: Option<Timestamp>| Some(share(span(at?, channel.expiry?)));
        let past = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let mood = match channel.expiry {
            Some(expiry) if expiry > now && past(channel.emergency_at) => Mood::Emergency,
            Some(expiry) if expiry > now && past(channel.due_at) => Mood::Due,
            Some(expiry) if expiry > now => Mood::Fresh,
            Some(_) | None => Mood::Ended,
        };
        Bar {
            left: share(left),
            renewal: lead(channel.due_at),
            emergency: lead(channel.emergency_at),
            mood,
        }
    }

    /// As an inline SVG, which stretches to its place.
    pub(crate) fn svg(&self, channel: &ChannelView, now: Timestamp) -> Markup {
        html! {
            svg.bar viewBox="0 0 1000 12" preserveAspectRatio="none" role="img" {
                title { (sentence(channel, now)) }
                rect.track width="1000" height="12" {}
                rect class=(self.mood.word()) width=(self.left) height="12" {}
                @if let Some(x) = self.emergency.filter(|_| self.mood == Mood::Emergency) { rect.panic width=(x) height="3" {} }
                @if let Some(x) = self.renewal { rect.mark x=(x.saturating_sub(4)) width="8" height="12" {} }
            }
        }
    }
}

impl Mood {
    const fn word(self) -> &'static str {
        match self {
            Mood::Fresh => "fresh",
            Mood::Due => "due",
            Mood::Emergency => "urgent",
            Mood::Ended => "ended",
        }
    }
}

/// The content of the bar, in a sentence.
pub(super) fn sentence(channel: &ChannelView, now: Timestamp) -> String {
    let Some(expiry) = channel.expiry.filter(|expiry| *expiry > now) else {
        return "no life left".to_owned();
    };
    let lead = |at: Option<Timestamp>| at.map(|at| brief(span(at, expiry)));
    let renewal = lead(channel.due_at)
        .map(|left| format!("; the mark: renewed when {left} are left"))
        .unwrap_or_default();
    let emergency =
        lead(channel.emergency_at).map(|left| format!(", emergency at {left}")).unwrap_or_default();
    let asked = brief(Duration::from_secs(channel.lifetime_s));
    format!("{} left of {asked}{renewal}{emergency}", brief(span(now, expiry)))
}

const SCALE: u128 = 1000;

#[cfg(test)]
mod tests {
    use super::super::super::testing::{change_channel, converged, hours, lose};
    use super::*;

    fn view(overview: &super::super::super::overview::Overview, now: Timestamp) -> ChannelView {
        let report = overview.accounts.values().next().unwrap().as_ref().unwrap();
        ChannelView::alone(report, report.channels.values().next().unwrap(), now)
    }

    #[test]
    fn a_bar_shows_what_is_left_and_where_it_is_renewed() {
        let overview = converged(1);
        let bar = |hour| Bar::of(&view(&overview, hours(hour)), hours(hour));
        assert_eq!(
            bar(6),
            Bar { left: 750, renewal: Some(500), emergency: Some(125), mood: Mood::Fresh }
        );
        assert_eq!(
            (bar(13).mood, bar(22).mood, bar(24).mood),
            (Mood::Due, Mood::Emergency, Mood::Ended)
        );
        assert_eq!((bar(24).left, bar(30).left), (0, 0));
        let said = sentence(&view(&overview, hours(6)), hours(6));
        assert_eq!(said, "18h left of 1d; the mark: renewed when 12h are left, emergency at 3h");
    }

    #[test]
    fn what_is_gone_or_lives_longer_than_asked_fits_the_bar() {
        let mut overview = converged(1);
        change_channel(&mut overview, 1, |channel| channel.expiry = Some(hours(48)));
        assert_eq!(Bar::of(&view(&overview, hours(0)), hours(0)).left, 1000);
        lose(&mut overview, 1);
        let gone = view(&overview, hours(0));
        assert_eq!(
            (Bar::of(&gone, hours(0)).left, sentence(&gone, hours(0)).as_str()),
            (0, "no life left")
        );
    }
}
