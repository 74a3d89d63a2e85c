//! The state machine, minute by minute; and what counts as a proof.

use std::sync::Arc;

use expect_test::expect;

use super::super::health::health;
use super::super::overview::{ClusterState, LoopAge};
use super::super::testing::{
    TURNING, account, change, change_channel, change_elsewhere, converged, elsewhere, empty, hold,
    hours, lose, minutes, rejected, report,
};
use super::*;
use crate::plan::step::Cause;

/// A teller, and a world that changes around it.
struct Story {
    teller: AlertTeller,
    pacing: Alerts,
    said: String,
}

impl Story {
    fn new() -> Story {
        Story { teller: AlertTeller::default(), pacing: Alerts::default(), said: String::new() }
    }

    fn look(&mut self, overview: &Overview, minute: u64) -> Option<AlertMessage> {
        let now = minutes(minute);
        self.teller.look(&health(overview, TURNING, now), "channelkeeper", &self.pacing, now)
    }

    /// Looks once a minute; each message is delivered.
    fn goes_on(&mut self, overview: &Overview, from: u64, to: u64) {
        for minute in from..to {
            if let Some(message) = self.look(overview, minute) {
                let first = message.text.lines().next().unwrap();
                self.said.push_str(&format!("{minute}: {first}\n"));
                self.teller.delivered(&message, minutes(minute));
            }
        }
    }
}

/// An overview in which nothing is overdue while a test looks on for a day.
fn well() -> Overview {
    let mut overview = converged(3);
    change(&mut overview, |report| report.next_wake = hours(200));
    for number in 1..=3 {
        change_channel(&mut overview, number, |channel| {
            (channel.expiry, channel.due_at, channel.emergency_at) =
                (Some(hours(200)), Some(hours(200)), Some(hours(200)));
        });
    }
    overview
}

fn one_lost() -> Overview {
    let mut overview = well();
    lose(&mut overview, 2);
    overview
}

#[test]
fn bad_is_told_once_after_the_grace_then_every_six_hours_and_good_once() {
    let mut story = Story::new();
    story.goes_on(&well(), 0, 60);
    story.goes_on(&one_lost(), 60, 900);
    story.goes_on(&well(), 900, 2000);
    expect![[r#"
        70: channelkeeper: failing: 1 problem.
        430: channelkeeper: still failing, for 6h 10m: 1 problem.
        790: channelkeeper: still failing, for 12h 10m: 1 problem.
        910: channelkeeper: all is well again, after 14h 10m.
    "#]]
    .assert_eq(&story.said);
}

#[test]
fn what_comes_and_goes_within_the_grace_is_never_told() {
    let mut story = Story::new();
    for start in (0..1000).step_by(10) {
        story.goes_on(&one_lost(), start, start + 5);
        story.goes_on(&well(), start + 5, start + 10);
    }
    assert_eq!(story.said, "");
}

#[test]
fn what_comes_and_goes_more_slowly_is_told_at_most_once_in_twice_the_grace() {
    let mut story = Story::new();
    for start in (0..720).step_by(24) {
        story.goes_on(&one_lost(), start, start + 12);
        story.goes_on(&well(), start + 12, start + 24);
    }
    let at: Vec<u64> =
        story.said.lines().map(|line| line.split(':').next().unwrap().parse().unwrap()).collect();
    assert!(at.len() > 2 && at.windows(2).all(|pair| pair[1] - pair[0] >= 20), "{}", story.said);
}

#[test]
fn another_thing_that_turns_bad_is_told_too() {
    let mut story = Story::new();
    story.goes_on(&one_lost(), 0, 100);
    let mut worse = one_lost();
    hold(&mut worse, 3, rejected());
    story.goes_on(&worse, 100, 200);
    story.goes_on(&one_lost(), 200, 300);
    expect![[r#"
        10: channelkeeper: failing: 1 problem.
        110: channelkeeper: failing: 2 problems.
    "#]]
    .assert_eq(&story.said);
}

#[test]
fn a_message_says_what_since_when_until_when_and_what_next() {
    let mut story = Story::new();
    let mut overview = one_lost();
    change(&mut overview, |report| {
        report.look_failed = Some("list: HTTP 503 <!channel>\nhttps://h/?key=s3cret".into())
    });
    assert_eq!(story.look(&overview, 0), None);
    let message = story.look(&overview, 10).unwrap();
    expect![[r#"
        channelkeeper: failing: 2 problems.
        Not everything is covered.
        - uncovered: account acme: channel c2: not covered
          since 2026-01-01T00:00:00Z. Next: `channelkeeper explain acme/c2` says why; `channelkeeper gaps` lists what was missed.
        - look-failed: account acme: the look at Zoho failed: list: HTTP 503 <!channel> https://h/?...
          since 2026-01-01T00:00:00Z. Next: nothing within the guaranteed time, if Zoho is down; otherwise look at the reason."#]]
    .assert_eq(&message.text);
    story.teller.delivered(&message, minutes(10));
    for minute in [11, 20] {
        assert_eq!(story.look(&well(), minute), None);
    }
    let message = story.look(&well(), 30).unwrap();
    expect![[r#"
        channelkeeper: all is well again, after 30m.
        Everything stays covered until 2026-01-09T08:00:00Z even if nothing succeeds any more."#]]
    .assert_eq(&message.text);
}

#[test]
fn a_long_list_is_cut() {
    let mut overview = well();
    for number in 1..=3 {
        lose(&mut overview, number);
        hold(&mut overview, number, rejected());
    }
    let mut story = Story::new();
    story.look(&overview, 0);
    let text = story.look(&overview, 10).unwrap().text;
    assert_eq!(text.lines().filter(|line| line.starts_with("- ")).count(), 6, "{text}");
    assert!(text.ends_with("- and 2 more: see `channelkeeper status`"), "{text}");
}

#[test]
fn what_passes_by_itself_is_not_told() {
    let mut overview = well();
    overview.clock_jump = Some((minutes(0), 60_000));
    overview.orphans.insert(account("old"), 2);
    hold(
        &mut overview,
        1,
        Cause::BackOff { step: "update (drift)".into(), trouble: "HTTP 429".into() },
    );
    let mut story = Story::new();
    story.goes_on(&overview, 0, 1000);
    assert_eq!(story.said, "");
}

#[test]
fn a_message_that_is_not_delivered_is_made_anew_after_waits_that_grow() {
    let mut story = Story::new();
    let mut tried = Vec::new();
    for minute in 0..200 {
        if story.look(&one_lost(), minute).is_some() {
            tried.push(minute);
            story.teller.failed(minutes(minute));
        }
    }
    assert_eq!(tried, [10, 11, 16, 31, 91, 151]);
    assert_eq!(story.look(&well(), 260), None, "what was never told is not told to be over");
}

#[test]
fn a_restart_tells_neither_twice_nor_what_is_over_before_everything_was_looked_at() {
    let mut story = Story::new();
    story.goes_on(&one_lost(), 0, 11);
    story.teller = AlertTeller::restored(story.teller.told().unwrap());
    let mut starting = empty();
    starting.accounts.insert(account("acme"), None);
    story.goes_on(&starting, 11, 60);
    story.goes_on(&one_lost(), 60, 200);
    story.teller = AlertTeller::restored(story.teller.told().unwrap());
    story.goes_on(&well(), 200, 300);
    assert_eq!(story.teller.told(), None);
    expect![[r#"
        10: channelkeeper: failing: 1 problem.
        30: channelkeeper: failing: 1 problem.
        210: channelkeeper: all is well again, after 3h 30m.
    "#]]
    .assert_eq(&story.said);
}

#[test]
fn a_clock_that_was_set_back_silences_nothing() {
    let mut story = Story::new();
    story.goes_on(&one_lost(), 5000, 5011);
    story.goes_on(&one_lost(), 0, 400);
    expect![[r#"
        5010: channelkeeper: failing: 1 problem.
        360: channelkeeper: still failing, for 6h: 1 problem.
    "#]]
    .assert_eq(&story.said);
}

#[test]
fn coverage_is_proved_by_passes_that_saw_everything_with_life_to_spare() {
    let at = |overview: &Overview| proof(overview, hours(2));
    assert_eq!(at(&well()), Some(hours(1)));
    assert_eq!(at(&empty()), None, "nothing declared");
    let mut two = well();
    two.accounts.insert(account("other"), None);
    assert_eq!(at(&two), None, "an account without a pass");
    let mut other = report("other", 10..=10);
    other.at = minutes(90);
    two.accounts.insert(account("other"), Some(std::sync::Arc::new(other)));
    assert_eq!(at(&two), Some(minutes(90)));
    let refuted = |change_it: &dyn Fn(&mut Overview)| {
        let mut overview = well();
        change_it(&mut overview);
        at(&overview)
    };
    let changes: [&dyn Fn(&mut Overview); 10] = [
        &|overview| lose(overview, 1),
        &|overview| change_channel(overview, 1, |channel| channel.emergency_at = Some(hours(2))),
        &|overview| change_channel(overview, 1, |channel| channel.expiry = Some(hours(2))),
        &|overview| change_channel(overview, 1, |channel| channel.state = ChannelState::Unverified),
        &|overview| change(overview, |report| report.look_failed = Some("no".into())),
        &|overview| change(overview, |report| report.writes_failed = Some("no".into())),
        &|overview| change(overview, |report| report.needs_a_person = true),
        &|overview| change(overview, |report| report.next_wake = hours(1)),
        &|overview| overview.store_failed = Some("no".into()),
        &|overview| drop(overview.unusable.insert(account("other"), "no".into())),
    ];
    for (place, change_it) in changes.into_iter().enumerate() {
        assert_eq!(refuted(change_it), None, "change {place}");
    }
}

#[test]
fn a_loop_that_stands_still_is_told() {
    let mut teller = AlertTeller::default();
    let mut look = |minute| {
        let health = health(&well(), LoopAge(Duration::from_secs(1000)), minutes(minute));
        teller.look(&health, "channelkeeper (eu)", &Alerts::default(), minutes(minute))
    };
    look(0);
    let text = look(10).unwrap().text;
    assert!(text.starts_with("channelkeeper (eu): failing: 1 problem.\n"), "{text}");
}

fn shared(overview: Overview, leads: bool) -> Overview {
    let cluster = ClusterState { leads, is_active: true, is_well: true, ..Default::default() };
    Overview { cluster: Some(cluster), ..overview }
}

/// Another machine tells of all accounts from here on, and goes on where this one ended.
#[test]
fn whoever_tells_for_all_is_followed_by_another_that_tells_nothing_twice() {
    let mut first = Story::new();
    first.goes_on(&shared(one_lost(), true), 0, 30);
    let words = first.teller.told_of_all(&shared(one_lost(), true)).unwrap();
    assert_eq!(words.topics.len(), 1);
    for minute in 30..120 {
        let after = shared(well(), false);
        first.teller.hand_over(&after);
        first.goes_on(&after, minute, minute + 1);
    }
    expect![[r#"
        10: channelkeeper: failing: 1 problem.
    "#]]
    .assert_eq(&first.said);
    let mut second = Story::new();
    second.teller.take_over(words);
    second.goes_on(&shared(one_lost(), true), 30, 40);
    second.goes_on(&shared(well(), true), 40, 80);
    expect![[r#"
        50: channelkeeper: all is well again, after 50m.
    "#]]
    .assert_eq(&second.said);
    assert_eq!(second.teller.told_of_all(&shared(well(), true)), None);
}

#[test]
fn one_machine_tells_of_all_accounts_wherever_they_are_served() {
    for (leads, is_active, there, here) in
        [(true, true, 1, 1), (false, true, 0, 0), (false, false, 0, 1), (true, false, 0, 1)]
    {
        let told = |of: &Overview| {
            let mut overview = shared(of.clone(), leads);
            overview.cluster.as_mut().unwrap().is_active = is_active;
            of_this_machine(health(&overview, TURNING, minutes(9)), &overview).reasons.len()
        };
        let mut there_lost = well();
        elsewhere(&mut there_lost, "beta", 7..=8, "host-2");
        change_elsewhere(&mut there_lost, "beta", |report| {
            report.channels.values_mut().take(1).for_each(|channel| channel.expiry = None);
        });
        assert_eq!((told(&there_lost), told(&one_lost())), (there, here), "{leads} {is_active}");
    }
}

#[test]
fn what_concerns_all_machines_is_told_by_one_and_its_absence_by_none() {
    let unserved = |leads| {
        let mut overview = shared(well(), leads);
        let unowned = [("beta".parse().unwrap(), minutes(0))].into();
        overview.cluster.as_mut().unwrap().unowned = unowned;
        overview
    };
    for leads in [true, false] {
        let overview = unserved(leads);
        let told = of_this_machine(health(&overview, TURNING, minutes(9)), &overview);
        assert_eq!(told.reasons.len(), usize::from(leads), "{told:?}");
        assert_eq!(told.status == Status::Ok, !leads);
        assert_eq!(proof(&overview, minutes(9)), None, "an account is served by nobody");
        assert_eq!(proof(&shared(well(), leads), minutes(9)).is_some(), leads);
    }
    let mut unheard = shared(well(), true);
    Arc::make_mut(&mut unheard.others).accounts.insert(account("beta"), None);
    assert_eq!(proof(&unheard, minutes(9)), None, "nothing was told of an account");
}
