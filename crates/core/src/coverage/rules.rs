//! Each rule as a row: facts in, gaps out. Times are seconds; a channel is `Deals.edit` with
//! `Leads.create`.

use super::gap::GapKind;
use super::ledger::{ENDED_MAX, Ledger, Sight};
use super::track::{GAPS_MAX, Open, Stretch, Track};
use super::{Acks, GapCause, render};
use crate::model::channel::{NotifyUrl, Spec};
use crate::model::events::{Events, Operation};
use crate::model::observed::Observed;
use crate::model::time::{Times, Timestamp};
use crate::testing;

const DAY: i64 = 86_400;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a test value")
}

pub(super) fn spec(events: &[&str], url: &str) -> Spec {
    let (name, notify_url) = ("deals".parse().expect("a test value"), NotifyUrl::new(url));
    Spec { name, events: testing::events(events), notify_url, ..testing::spec(1) }
}

/// A channel and its facts, one a method. `looked` is what the account remembers.
pub(super) struct Told {
    pub(super) ledger: Ledger,
    looked: Option<Timestamp>,
}

impl Told {
    pub(super) fn new(events: &[&str]) -> Told {
        Told { ledger: Ledger::new(&spec(events, "u"), at(0)), looked: None }
    }

    /// A good look: the events and the end, or nothing.
    pub(super) fn look(&mut self, second: i64, found: Option<(&[&str], i64)>) -> bool {
        self.look_elsewhere(second, found, &["u"])
    }

    fn look_elsewhere(
        &mut self,
        second: i64,
        found: Option<(&[&str], i64)>,
        urls: &[&str],
    ) -> bool {
        let observed = found.map(|(events, expiry)| {
            let seen = Observed::as_declared(&spec(events, "u"), Some(at(expiry)));
            Observed { notify_urls: urls.iter().map(|url| NotifyUrl::new(url)).collect(), ..seen }
        });
        self.sees(second, observed.as_ref())
    }

    fn sees(&mut self, second: i64, observed: Option<&Observed>) -> bool {
        let times = Times { sent: at(second), received: at(second) };
        let sight = Sight { observed, ours: true, times, looked_from: self.looked };
        let changed = self.ledger.look(&sight);
        self.looked = Some(at(second));
        changed
    }

    pub(super) fn granted(&mut self, sent: i64, received: i64, expiry: i64) {
        self.ledger.intend(at(sent), at(expiry));
        self.ledger.granted(
            Times { sent: at(sent), received: at(received) },
            at(expiry),
            &Events::default(),
        );
    }

    /// Declared at 0, absent at 0, enabled at 0 until a day later.
    fn enabled() -> Told {
        let mut told = Told::new(&["Deals.edit"]);
        told.look(0, None);
        told.granted(0, 0, DAY);
        told
    }

    fn check(&self, now: i64, expected: &[&str]) {
        let line = |gap: super::Gap| {
            let to = gap.to.map_or("open".to_owned(), |to| to.as_second().to_string());
            format!("{}..{to} {} {}", gap.from.as_second(), gap.kind.word(), gap.cause.word())
        };
        let found: Vec<String> = self.ledger.gaps(at(now)).into_iter().map(line).collect();
        assert_eq!(found, expected);
    }
}

const SEEN: Option<(&[&str], i64)> = Some((&["Deals.edit"], DAY));

#[test]
fn an_event_is_uncovered_from_its_declaration_until_a_write_is_answered() {
    let mut told = Told::new(&["Deals.edit"]);
    told.check(5, &["0..open unknown unseen"]);
    told.look(0, None);
    told.check(5, &["0..open uncovered not-enabled"]);
    told.granted(100, 110, DAY);
    told.check(150, &["0..100 uncovered not-enabled", "100..110 unknown unsure-write"]);
}

#[test]
fn an_event_that_is_enabled_within_a_minute_of_its_declaration_begins_then() {
    let mut told = Told::new(&["Deals.edit"]);
    told.look(0, None);
    told.granted(10, 60, DAY);
    told.check(70, &[]);
    assert_eq!(told.ledger.tracks[0].since, at(60));
    told.ledger.declare(&spec(&["Deals.edit", "Leads.create"], "u"), at(100), None);
    told.look(100, SEEN);
    told.granted(101, 102, DAY);
    told.check(200, &[]);
}

#[test]
fn a_beginning_that_was_refused_or_delivered_elsewhere_is_a_gap_however_short() {
    let mut told = Told::new(&["Deals.edit"]);
    told.look(0, None);
    told.ledger.refused();
    told.granted(10, 10, DAY);
    told.check(20, &["0..10 uncovered refused"]);
    told.ledger.declare(&spec(&["Deals.edit"], "v"), at(100), None);
    told.look_elsewhere(100, SEEN, &["u"]);
    told.granted(110, 110, DAY);
    told.check(200, &["0..10 uncovered refused", "100..110 uncovered wrong-url"]);
}

#[test]
fn a_refusal_is_the_cause_from_the_beginning() {
    let mut told = Told::new(&["Deals.edit"]);
    told.look(0, None);
    told.ledger.refused();
    told.check(50, &["0..open uncovered refused"]);
}

#[test]
fn a_look_that_finds_all_as_it_was_changes_nothing() {
    let mut told = Told::enabled();
    assert!(!told.look(100, SEEN));
    assert!(!told.look(200, SEEN));
    told.check(300, &[]);
}

#[test]
fn a_known_end_that_passes_is_a_gap_without_any_fact() {
    let told = Told::enabled();
    told.check(DAY - 1, &[]);
    told.check(DAY, &["86400..open uncovered expired"]);
}

#[test]
fn a_channel_that_expired_is_unknown_since_the_last_look_and_uncovered_since_its_end() {
    let mut told = Told::enabled();
    told.look(DAY - 100, SEEN);
    told.look(DAY + 100, None);
    told.check(DAY + 200, &["86300..86400 unknown absent", "86400..open uncovered expired"]);
    told.granted(DAY + 300, DAY + 300, 2 * DAY);
    told.check(DAY + 400, &["86300..86400 unknown absent", "86400..86700 uncovered expired"]);
}

#[test]
fn what_is_gone_before_its_end_is_unknown_between_the_looks() {
    let mut told = Told::enabled();
    told.look(100, SEEN);
    told.look(200, None);
    told.check(300, &["100..200 unknown absent", "200..open uncovered absent"]);
}

#[test]
fn an_event_that_is_missing_leaves_the_others_covered() {
    let mut told = Told::new(&["Deals.edit", "Leads.create"]);
    told.look(0, None);
    told.granted(0, 0, DAY);
    told.look(100, Some((&["Leads.create"], DAY)));
    told.check(300, &["0..100 unknown event-missing", "100..open uncovered event-missing"]);
    assert_eq!(told.ledger.gaps(at(300))[0].operation, Operation::Edit);
}

#[test]
fn a_write_says_nothing_of_an_event_that_it_leaves_out() {
    let both: Option<(&[&str], i64)> = Some((&["Deals.edit", "Leads.create"], DAY));
    let mut told = Told::new(&["Deals.edit", "Leads.create"]);
    told.look(0, None);
    told.granted(0, 0, DAY);
    told.look(100, both);
    told.ledger.intend(at(200), at(2 * DAY));
    let times = Times { sent: at(200), received: at(200) };
    told.ledger.granted(times, at(2 * DAY), &testing::events(&["Deals.edit"]));
    told.look(300, Some((&["Leads.create"], 2 * DAY)));
    told.check(400, &["100..300 unknown event-missing", "300..open uncovered event-missing"]);
}

#[test]
fn another_url_is_a_gap_and_two_urls_are_unknown() {
    let mut told = Told::enabled();
    told.look_elsewhere(100, SEEN, &["elsewhere"]);
    told.check(200, &["0..100 unknown wrong-url", "100..open uncovered wrong-url"]);
    let mut told = Told::enabled();
    told.look_elsewhere(100, SEEN, &["elsewhere", "u"]);
    told.check(200, &["0..open unknown wrong-url"]);
}

#[test]
fn what_somebody_else_restored_is_unknown_since_the_look_before() {
    let mut told = Told::enabled();
    told.look(100, Some((&["Leads.create"], DAY)));
    told.look(200, Some((&["Leads.create"], DAY)));
    told.look(300, SEEN);
    told.check(
        400,
        &[
            "0..100 unknown event-missing",
            "100..200 uncovered event-missing",
            "200..300 unknown restored",
        ],
    );
}

#[test]
fn a_channel_that_comes_back_with_the_end_it_had_may_never_have_been_away() {
    let mut told = Told::enabled();
    told.look(100, None);
    told.look(200, None);
    told.look(300, SEEN);
    told.check(400, &["0..100 unknown absent", "100..300 unknown restored"]);
}

#[test]
fn a_write_in_doubt_that_would_still_be_there_is_refuted_by_its_absence() {
    let mut told = Told::new(&["Deals.edit"]);
    told.look(0, None);
    told.ledger.intend(at(10), at(DAY));
    told.check(50, &["0..10 uncovered not-enabled", "10..open unknown unsure-write"]);
    told.look(100, None);
    told.check(150, &["0..open uncovered not-enabled"]);
}

#[test]
fn a_write_in_doubt_that_worked_is_unknown_until_the_look_that_shows_it() {
    let mut told = Told::new(&["Deals.edit"]);
    told.look(0, None);
    told.look(10, None);
    told.ledger.intend(at(10), at(DAY));
    told.look(100, SEEN);
    told.check(150, &["0..10 uncovered not-enabled", "10..100 unknown unsure-write"]);
}

#[test]
fn a_renewal_in_doubt_may_have_lasted_as_long_as_it_asked_for() {
    let mut told = Told::enabled();
    told.ledger.intend(at(DAY / 2), at(DAY / 2 + DAY));
    told.check(DAY + 100, &["86400..open unknown unsure-write"]);
    let settled = [
        "0..86400 unknown absent",
        "86400..129600 unknown unsure-write",
        "129600..open uncovered expired",
    ];
    told.look(3 * DAY, None);
    told.check(3 * DAY, &settled);
}

#[test]
fn a_write_in_doubt_is_over_when_a_later_one_is_granted_or_a_look_shows_more() {
    let mut granted = Told::enabled();
    granted.ledger.intend(at(100), at(3 * DAY));
    granted.granted(200, 200, DAY + 200);
    assert_eq!(granted.ledger.doubt, None);
    granted.check(2 * DAY, &["86600..open uncovered expired"]);

    let mut seen = Told::enabled();
    seen.ledger.intend(at(100), at(3 * DAY));
    seen.look(300, SEEN);
    assert_eq!(seen.ledger.doubt, None);
    seen.check(2 * DAY, &["86400..open uncovered expired"]);
}

#[test]
fn a_write_in_doubt_lasts_to_the_very_instant_that_it_asked_for() {
    let mut told = Told::enabled();
    told.ledger.intend(at(DAY / 2), at(DAY / 2 + DAY));
    told.check(DAY / 2 + DAY - 1, &["86400..open unknown unsure-write"]);
    let over = ["86400..129600 unknown unsure-write", "129600..open uncovered expired"];
    told.check(DAY / 2 + DAY, &over);
}

#[test]
fn a_channel_that_is_alive_past_its_known_end_is_unknown_since_then() {
    let mut told = Told::enabled();
    told.look(DAY + 100, Some((&["Deals.edit"], 2 * DAY)));
    told.check(DAY + 200, &["86400..86500 unknown restored"]);
    told.check(2 * DAY, &["86400..86500 unknown restored", "172800..open uncovered expired"]);
}

#[test]
fn a_look_at_a_list_that_tells_no_expiry_keeps_the_known_end_until_it_has_passed() {
    let mut told = Told::enabled();
    let seen = |events: &[&str]| Observed::as_declared(&spec(events, "u"), None);
    told.sees(100, Some(&seen(&["Leads.create"])));
    assert_eq!(told.ledger.expiry, Some(at(DAY)));
    told.sees(DAY + 100, Some(&seen(&["Deals.edit"])));
    assert_eq!(told.ledger.expiry, None, "it lives on, until nobody knows when");
    told.check(9 * DAY, &["0..100 unknown event-missing", "100..86500 unknown restored"]);
}

#[test]
fn a_renewal_in_doubt_that_a_look_shows_is_the_cause_of_what_lies_between() {
    let mut told = Told::enabled();
    told.ledger.intend(at(DAY / 2), at(2 * DAY));
    told.look(DAY + 100, Some((&["Deals.edit"], 2 * DAY)));
    told.check(DAY + 200, &["86400..86500 unknown unsure-write"]);
}

#[test]
fn an_unknown_gap_that_ends_was_unknown_for_one_cause() {
    let mut told = Told::enabled();
    told.look_elsewhere(100, SEEN, &["elsewhere", "u"]);
    told.look(200, SEEN);
    told.check(300, &["0..200 unknown wrong-url"]);
}

#[test]
fn a_write_in_doubt_that_is_over_before_the_look_is_uncovered_from_the_end_it_asked_for() {
    let mut told = Told::new(&["Deals.edit"]);
    told.look(0, None);
    told.ledger.intend(at(10), at(50));
    told.look(100, None);
    let gaps = [
        "0..10 uncovered not-enabled",
        "10..50 unknown unsure-write",
        "50..open uncovered expired",
    ];
    told.check(150, &gaps);
}

#[test]
fn a_channel_that_comes_back_without_its_event_may_have_had_it_since_the_look_before() {
    let mut told = Told::enabled();
    told.look(100, None);
    told.look(200, None);
    told.look(300, Some((&["Leads.create"], DAY)));
    let gaps = [
        "0..100 unknown absent",
        "100..200 uncovered absent",
        "200..300 unknown unsure-write",
        "300..open uncovered event-missing",
    ];
    told.check(400, &gaps);
}

#[test]
fn events_that_are_declared_no_longer_are_kept_up_to_a_bound_and_the_oldest_go() {
    let mut told = Told::enabled();
    for second in 1..=2 * ENDED_MAX as i64 {
        let events: &[&str] = if second % 2 == 0 { &["Deals.edit"] } else { &["Leads.create"] };
        told.ledger.declare(&spec(events, "u"), at(second), None);
    }
    assert_eq!(told.ledger.tracks.len(), ENDED_MAX + 1);
    assert!(told.ledger.tracks.iter().all(|track| track.until > Some(at(1)) || track.is_live()));
}

#[test]
fn another_url_in_the_spec_begins_the_tracks_anew() {
    let mut told = Told::enabled();
    assert!(told.ledger.declare(&spec(&["Deals.edit"], "v"), at(100), None));
    told.check(200, &["100..open unknown unseen"]);
    assert!(!told.ledger.declare(&spec(&["Deals.edit"], "v"), at(150), None));
    told.look_elsewhere(100, SEEN, &["u"]);
    told.check(200, &["100..open uncovered wrong-url"]);
}

#[test]
fn what_is_retired_is_missed_no_longer_and_what_nobody_saw_before_is_unknown() {
    let mut told = Told::enabled();
    told.look(100, SEEN);
    let mut unseen = Told::enabled();
    assert!(told.ledger.retire(at(200), None) && unseen.ledger.retire(at(200), Some(at(100))));
    told.check(9 * DAY, &[]);
    unseen.check(9 * DAY, &["100..200 unknown unseen"]);
    assert_eq!(told.ledger.closed_at(), Some(at(200)));
    assert!(!told.ledger.retire(at(300), None));
}

#[test]
fn a_thousand_gaps_are_bounded_and_none_is_forgotten() {
    let mut track = Track::new("Deals".into(), Operation::Edit, at(0));
    track.end(at(0));
    for n in 0..1000 {
        let (from, to) = (at(n * 100), at(n * 100 + 50));
        track.add(Stretch { from, to, kind: GapKind::Uncovered, cause: GapCause::Expired });
    }
    assert_eq!(track.gaps.len(), GAPS_MAX);
    let oldest = track.gaps[0];
    assert_eq!(
        (oldest.from, oldest.kind, oldest.cause),
        (at(0), GapKind::Unknown, GapCause::Merged)
    );
    for n in 0..1000 {
        assert!(
            track.gaps.iter().any(|gap| gap.from <= at(n * 100) && at(n * 100 + 50) <= gap.to),
            "{n}"
        );
    }
}

#[test]
fn a_blink_goes_to_its_neighbour_and_equal_gaps_become_one() {
    let mut track = Track::new("Deals".into(), Operation::Edit, at(0));
    track.end(at(0));
    track.begin(Open { from: at(10), kind: GapKind::Uncovered, cause: GapCause::Absent });
    track.end(at(20));
    track.add(Stretch {
        from: at(20),
        to: at(21),
        kind: GapKind::Unknown,
        cause: GapCause::UnsureWrite,
    });
    track.add(Stretch {
        from: at(21),
        to: at(30),
        kind: GapKind::Uncovered,
        cause: GapCause::Absent,
    });
    let gap =
        Stretch { from: at(10), to: at(30), kind: GapKind::Uncovered, cause: GapCause::Absent };
    assert_eq!(track.gaps, [gap]);
}

#[test]
fn events_that_share_a_gap_share_a_line() {
    let mut told = Told::new(&["Deals.all", "Leads.create"]);
    told.look(0, None);
    told.granted(100, 100, DAY);
    let views = render::views("acme", &told.ledger, &Acks::default(), None, at(200));
    let lines: Vec<String> = views.iter().map(render::GapView::line).collect();
    let line = "uncovered deals  1970-01-01T00:00:00Z to 1970-01-01T00:01:40Z (1m 40s, not-enabled): Deals.all, Leads.create";
    assert_eq!(lines, [line]);
    assert_eq!(render::views("acme", &told.ledger, &Acks::default(), Some(at(150)), at(200)), []);
}
