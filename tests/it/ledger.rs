//! Ring 2: the coverage ledger against the simulator's truth.

use std::time::Duration;

use channelkeeper::coverage::render::GapView;
use channelkeeper::coverage::{Gap, GapCause, GapKind, Ledger};
use channelkeeper::daemon::actions;
use channelkeeper::daemon::emptied::Emptied;
use channelkeeper::daemon::requests::{AckRequest, GapsRequest};
use channelkeeper::model::channel::ChannelId;
use channelkeeper::model::time::{Timestamp, after, span};
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::{Covered, Fault, Hand, Knobs, Rule};

use crate::sample::sample;
use crate::world::truth::{self, check_ledger};
use crate::world::{Cut, World};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Three channels of one account, enabled.
async fn running() -> World {
    let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
    world.declare("acme", "deals", &["Deals.all", "Contacts.create"]);
    world.declare("acme", "leads", &["Leads.create"]);
    world.declare("acme", "orders", &["Sales_Orders.edit"]);
    world.start();
    world.audit().await;
    world.pass_time(10 * SECOND).await;
    world
}

fn deals(world: &World) -> ChannelId {
    let specs = &world.desired.accounts[&"acme".parse().expect("a name")].specs;
    specs.values().find(|spec| spec.name.as_str() == "deals").expect("it is declared").id
}

fn assert_true(world: &World) {
    let wrong = check_ledger(world);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The gaps of a channel that began after the first minute: before that it was being enabled.
fn later_gaps(world: &World, id: ChannelId) -> Vec<Gap> {
    let began: Timestamp = crate::world::BEGINS.parse().expect("an instant");
    let (ledgers, _) = world.ledgers("acme");
    let gaps = ledgers[&id].gaps(world.now());
    gaps.into_iter().filter(|gap| span(began, gap.from) > 60 * SECOND).collect()
}

fn brief(gap: &Gap) -> String {
    let to = gap.to.map_or("open".to_owned(), |to| format!("{to:.0}"));
    format!(
        "{}.{} {:.0} {to} {} {}",
        gap.module,
        gap.operation.as_str(),
        gap.from,
        gap.kind.word(),
        gap.cause.word()
    )
}

/// The gaps of the truth since the world began, of one event.
fn true_gaps(world: &World, id: ChannelId, event: usize) -> Vec<(Timestamp, Timestamp)> {
    let (ledgers, _) = world.ledgers("acme");
    let (track, now) = (&ledgers[&id].tracks[event], world.now());
    let url =
        world.desired.accounts[&"acme".parse().expect("a name")].specs[&id].notify_url.clone();
    let covered = truth::covered(&world.zoho().truth("acme"), id, track, url.full());
    truth::minus(&[(track.since, now)], &covered)
}

#[tokio::test(start_paused = true)]
async fn weeks_of_health_are_one_line() {
    let world = running().await;
    world.pass_time(21 * 24 * HOUR).await;
    world.audit().await;
    assert_true(&world);
    for (_, id) in world.declared() {
        let (ledgers, _) = world.ledgers("acme");
        assert_eq!(later_gaps(&world, id), []);
        assert!(
            ledgers[&id].tracks.iter().all(|track| track.gaps.len() <= 1 && track.open.is_none())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_lapse_of_a_long_outage_is_known_to_the_second() {
    let faults = [Fault::Unavailable, Fault::Refused, Fault::HangBefore, Fault::TooManyRequests];
    for fault in sample(faults, 2) {
        let world = running().await;
        world.pass_time(7 * HOUR + 1234 * SECOND).await;
        world.zoho().add_fault(Rule::always(fault.clone()));
        world.pass_time(30 * HOUR).await;
        world.zoho().clear_faults();
        world.pass_time(2 * HOUR).await;
        assert_true(&world);
        for (_, id) in world.declared() {
            let (gaps, truth) = (later_gaps(&world, id), true_gaps(&world, id, 0));
            let uncovered: Vec<&Gap> =
                gaps.iter().filter(|gap| gap.kind == GapKind::Uncovered).collect();
            let lapse = truth.last().expect("a lapse");
            assert!(span(lapse.0, lapse.1) > HOUR, "{fault:?}: {truth:?} {gaps:?}");
            for gap in uncovered {
                assert_eq!(gap.cause, GapCause::Expired);
                assert!(
                    span(gap.from, lapse.0).max(span(lapse.0, gap.from)) < SECOND,
                    "{fault:?}: {}",
                    brief(gap)
                );
                let to = gap.to.expect("it ended");
                assert!(
                    span(to, lapse.1).max(span(lapse.1, to)) < 2 * SECOND,
                    "{fault:?}: {} {}",
                    brief(gap),
                    lapse.1
                );
            }
            // A hanging look that is followed by an accepted blind write leaves the earlier ones in
            // doubt.
            let in_doubt = fault == Fault::HangBefore;
            assert!(in_doubt || gaps.iter().any(|gap| gap.kind == GapKind::Uncovered), "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lapse_shows_while_it_lasts() {
    let world = running().await;
    world.zoho().add_fault(Rule::always(Fault::Refused));
    world.pass_time(25 * HOUR).await;
    for (_, id) in world.declared() {
        let gaps = later_gaps(&world, id);
        assert!(
            gaps.iter().all(|gap| gap.to.is_none() && gap.cause == GapCause::Expired),
            "{gaps:?}"
        );
        assert!(!gaps.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_hands_did_between_two_audits_is_an_unknown_interval_with_the_true_edge_in_it() {
    let world = running().await;
    let id = deals(&world);
    let channel = id.number();
    let module = "Contacts".to_owned();
    let hands = [
        (
            Hand::SetNotifyUrl { channel, notify_url: "https://elsewhere.example.com/".to_owned() },
            GapCause::WrongUrl,
        ),
        (
            Hand::RemoveEvent { channel, event: "Contacts.create".to_owned() },
            GapCause::EventMissing,
        ),
        (Hand::DropModule { channel, module }, GapCause::EventMissing),
        (Hand::Delete { channel }, GapCause::Absent),
    ];
    for (hand, cause) in hands {
        world.pass_time(3 * HOUR + 777 * SECOND).await;
        let edge = world.now();
        assert!(world.hand("acme", &hand), "{hand:?}");
        world.pass_time(2 * HOUR).await;
        assert_true(&world);
        let gaps = later_gaps(&world, id);
        let holds = |gap: &&Gap| {
            gap.from <= edge && gap.to.is_some_and(|to| edge < to) && gap.cause == cause
        };
        let contacts: Vec<&Gap> = gaps.iter().filter(|gap| gap.module == "Contacts").collect();
        let found = contacts.iter().copied().find(holds);
        let found = found.unwrap_or_else(|| panic!("{hand:?} at {edge}: {contacts:#?}"));
        assert_eq!(found.kind, GapKind::Unknown);
        assert!(
            span(found.from, edge) <= HOUR + SECOND,
            "no longer than the time between two looks"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_down_past_the_end_knows_when_the_end_was() {
    for down in [10, 30, 60] {
        let mut world = running().await;
        world.pass_time(5 * HOUR).await;
        world.crash().await;
        world.pass_time(down * HOUR).await;
        world.start();
        world.audit().await;
        assert_true(&world);
        let uncovered =
            |gap: &Gap| gap.kind == GapKind::Uncovered && gap.cause == GapCause::Expired;
        for (_, id) in world.declared() {
            let expected = if down > 20 { 1 } else { 0 };
            let tracks = world.ledgers("acme").0[&id].tracks.len();
            let gaps = later_gaps(&world, id);
            assert_eq!(
                gaps.iter().filter(|gap| uncovered(gap)).count(),
                expected * tracks,
                "{down}: {gaps:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_around_a_write_hides_no_gap_and_invents_none() {
    for when in [Cut::Before, Cut::After] {
        for down in sample([1, 20, 40, 60], 2) {
            let mut world = running().await;
            world.pass_time(5 * HOUR).await;
            world.cut_next("POST", when);
            while !world.is_cut() {
                world.pass_time(60 * SECOND).await;
            }
            world.crash().await;
            world.pass_time(down * HOUR).await;
            world.start();
            world.audit().await;
            assert_true(&world);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_the_first_write_is_judged_likewise() {
    for when in [Cut::Before, Cut::After] {
        for down in [1, 40] {
            let mut world = World::new(Knobs::default(), &[("acme", ApiVersion::V8)]);
            world.declare("acme", "deals", &["Deals.all"]);
            world.cut_next("POST", when);
            world.start();
            world.pass_time(SECOND).await;
            world.crash().await;
            world.pass_time(down * HOUR).await;
            world.start();
            world.audit().await;
            assert_true(&world);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_may_have_been_applied_is_settled_by_the_next_look() {
    let faults = [
        Fault::ResetAfter,
        Fault::HangAfter,
        Fault::ResetBefore,
        Fault::HangBefore,
        Fault::ItemMissing,
    ];
    let cases = faults.into_iter().flat_map(|fault| [(fault.clone(), false), (fault, true)]);
    for (fault, is_blind) in sample(cases, 3) {
        let world = running().await;
        world.pass_time(3 * HOUR).await;
        let of_method =
            |method: &str, fault| Rule { method: Some(method.to_owned()), ..Rule::always(fault) };
        if is_blind {
            world.zoho().add_fault(of_method("GET", Fault::ServerErrorHtml));
        }
        world.zoho().add_fault(of_method("POST", fault));
        world.pass_time(33 * HOUR).await;
        world.zoho().clear_faults();
        world.audit().await;
        world.audit().await;
        assert_true(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_grant_is_covered_for_as_long_as_it_lasts() {
    let world = running().await;
    world.zoho().add_fault(Rule::always(Fault::ShortGrant));
    world.pass_time(30 * HOUR).await;
    world.zoho().add_fault(Rule::always(Fault::Refused));
    world.pass_time(5 * HOUR).await;
    world.zoho().clear_faults();
    world.pass_time(HOUR).await;
    assert_true(&world);
    let (_, id) = world.declared()[0].clone();
    assert!(
        later_gaps(&world, id)
            .iter()
            .any(|gap| gap.kind == GapKind::Uncovered && gap.cause == GapCause::Expired)
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_channel_is_uncovered_from_its_declaration_on() {
    let mut world = running().await;
    let bad = world.declare("acme", "bad", &["Meetings.create"]);
    world.reload().await;
    world.pass_time(3 * HOUR).await;
    assert_true(&world);
    let gaps = world.ledgers("acme").0[&bad].gaps(world.now());
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(
        (gaps[0].kind, gaps[0].cause, gaps[0].to),
        (GapKind::Uncovered, GapCause::Refused, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_or_steps_moves_no_edge() {
    let hour = 3_600_000;
    for step in sample([-30 * 24 * hour, 60 * 24 * hour, 300_000, -5 * hour], 2) {
        let world = running().await;
        world.pass_time(3 * HOUR).await;
        world.host_clock.step(step);
        world.zoho().add_fault(Rule::always(Fault::HangAfter));
        world.pass_time(3 * HOUR).await;
        world.host_clock.step(-step / 2);
        world.pass_time(30 * HOUR).await;
        world.zoho().clear_faults();
        world.pass_time(2 * HOUR).await;
        assert_true(&world);
        let (_, id) = world.declared()[0].clone();
        assert!(world.hand("acme", &Hand::Delete { channel: id.number() }));
        world.host_clock.step(step);
        world.pass_time(2 * HOUR).await;
        assert_true(&world);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_otherwise_begins_and_ends_its_tracks() {
    let mut world = running().await;
    world.pass_time(2 * HOUR).await;
    let id = world.declare("acme", "deals", &["Deals.edit", "Cases.create"]);
    world.reload().await;
    world.pass_time(2 * HOUR).await;
    assert_true(&world);
    let ledger = world.ledgers("acme").0[&id].clone();
    let live: Vec<String> = ledger
        .tracks
        .iter()
        .filter(|track| track.is_live())
        .map(|track| format!("{}.{}", track.module, track.operation.as_str()))
        .collect();
    assert_eq!(live, ["Deals.edit", "Cases.create"]);
    assert_eq!(ledger.tracks.len(), 5, "those that have ended are kept");
    world.undeclare("acme", id);
    world.reload().await;
    world.pass_time(50 * HOUR).await;
    let ledger = world.ledgers("acme").0[&id].clone();
    assert!(ledger.closed_at().is_some());
    assert!(
        ledger.gaps(world.now()).iter().all(|gap| gap.to.is_some()),
        "what is not declared is not missed"
    );
    world.declare("acme", "deals", &["Deals.edit"]);
    world.reload().await;
    world.pass_time(2 * HOUR).await;
    assert_true(&world);
    assert!(world.ledgers("acme").0[&id].closed_at().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_lost_store_claims_nothing_of_what_it_has_not_seen() {
    let mut world = running().await;
    world.pass_time(5 * HOUR).await;
    world.crash().await;
    std::fs::remove_dir_all(world.state_dir().join("db")).unwrap();
    world.zoho().add_fault(Rule::always(Fault::Unavailable));
    world.start();
    world.pass_time(30 * HOUR).await;
    world.zoho().clear_faults();
    world.pass_time(HOUR).await;
    assert_true(&world);
}

/// The gaps that `gaps` lists and nobody has acknowledged.
fn left(world: &World) -> Vec<GapView> {
    let fleet = world.daemon().links.fleet.borrow().clone();
    let gaps =
        actions::gaps(&fleet, world.store(), &GapsRequest::default(), world.now()).expect("gaps");
    gaps.into_iter()
        .filter(|missed| missed.gap.acknowledged.is_none())
        .map(|missed| missed.gap)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_enabled_at_once_when_it_is_declared_has_no_gap_and_one_that_has_to_wait_has()
 {
    let mut world = running().await;
    assert_eq!(left(&world), []);
    world.zoho().add_fault(Rule::always(Fault::Refused));
    world.declare("acme", "late", &["Cases.create"]);
    world.reload().await;
    world.pass_time(HOUR).await;
    world.zoho().clear_faults();
    world.pass_time(HOUR).await;
    assert!(
        left(&world).iter().all(|gap| gap.channel == "late") && !left(&world).is_empty(),
        "{:?}",
        left(&world)
    );
    assert_true(&world);
}

#[tokio::test(start_paused = true)]
async fn the_ledgers_of_an_account_that_is_taken_out_end_with_it_and_are_listed_until_they_are_too_old()
 {
    let mut world =
        World::new(Knobs::default(), &[("acme", ApiVersion::V8), ("globex", ApiVersion::V8)]);
    world.declare("acme", "deals", &["Deals.all"]);
    let gone = world.declare("globex", "orders", &["Sales_Orders.edit"]);
    world.start();
    world.audit().await;
    world.pass_time(7 * HOUR).await;
    assert!(world.hand("globex", &Hand::Delete { channel: gone.number() }));
    world.pass_time(2 * HOUR).await;
    let lapse = left(&world);
    assert!(
        !lapse.is_empty() && lapse.iter().all(|gap| gap.account == "globex" && gap.to.is_some()),
        "{lapse:?}"
    );
    // The pass that is under way when the config changes writes its ledgers back.
    world.daemon().links.wakes.wake(Some("globex".parse().unwrap()), "test").await;
    world.pass_time(Duration::from_millis(50)).await;
    world.desired.accounts.remove(&"globex".parse().unwrap());
    world.reload_with(Emptied::Allowed).await;
    world.pass_time(50 * HOUR).await;
    let listed = left(&world);
    assert!(lapse.iter().all(|gap| listed.contains(gap)), "{listed:?}");
    let ended_by = |hours: u32| Some(after(crate::world::BEGINS.parse().unwrap(), hours * HOUR));
    assert!(
        listed.iter().all(|gap| gap.to.is_some() && gap.to < ended_by(10)),
        "none is open for ever: {listed:?}"
    );
    let fleet = world.daemon().links.fleet.borrow().clone();
    let request =
        AckRequest { channel: Some("globex/orders".parse().unwrap()), ..AckRequest::default() };
    actions::ack(&fleet, world.store(), &request, world.now()).await.expect("it is kept");
    assert_eq!(left(&world), []);
    assert!(world.ledgers("globex").0[&gone].closed_at().is_some());
    world.host_clock.step(401 * 24 * 3_600_000);
    world.reload().await;
    world.pass_time(SECOND).await;
    assert_eq!(world.ledgers("globex").0.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_acknowledged_stays_so_through_passes_and_crashes_and_a_lapse_is_not_until_it_is_over_and_said()
 {
    let mut world = running().await;
    let seen_to = async |world: &World| {
        let fleet = world.daemon().links.fleet.borrow().clone();
        let request = AckRequest { note: Some("fetched".to_owned()), ..AckRequest::default() };
        actions::ack(&fleet, world.store(), &request, world.now()).await.expect("it is kept");
    };
    assert_eq!(left(&world), [], "to be enabled for the first time is no gap");
    world.pass_time(7 * HOUR).await;
    world.zoho().add_fault(Rule::always(Fault::Refused));
    world.pass_time(25 * HOUR).await;
    seen_to(&world).await;
    assert!(
        left(&world).len() >= 3 && left(&world).iter().all(|gap| gap.to.is_none()),
        "{:?}",
        left(&world)
    );
    world.zoho().clear_faults();
    world.pass_time(2 * HOUR).await;
    let over = left(&world);
    assert!(over.len() >= 3 && over.iter().all(|gap| gap.to.is_some()), "{over:?}");
    seen_to(&world).await;
    world.crash().await;
    world.start();
    world.pass_time(30 * HOUR).await;
    assert_eq!(left(&world), []);
    assert_true(&world);
}

/// A ledger that claims to have been covered throughout, judged when Zoho delivered between these
/// seconds and the last good look was at second 100.
fn judged(from: i64, to: i64) -> Vec<String> {
    let at = |second| Timestamp::from_second(second).expect("an instant");
    let spec = crate::world::spec("acme", "deals", &["Deals.edit"]);
    let mut ledger = Ledger::new(&spec, at(0));
    ledger.tracks[0].open = None;
    let covered = Covered {
        channel: spec.id.to_string(),
        module: "Deals".to_owned(),
        operation: "edit",
        notify_url: spec.notify_url.full().to_owned(),
        from: at(from),
        to: at(to),
    };
    let mut wrong = Vec::new();
    truth::check_channel(&ledger, &spec, &[covered], at(100), &mut wrong);
    wrong
}

#[test]
fn the_judge_forgives_its_tolerance_at_both_ends_of_a_life_and_nothing_between() {
    for (from, to) in [(0, 100), (2, 98), (1, 99), (2, 1_000)] {
        assert_eq!(judged(from, to), Vec::<String>::new(), "{from} to {to}");
    }
    for (from, to) in [(3, 100), (0, 97), (0, 50)] {
        let wrong = judged(from, to);
        assert!(wrong.len() == 1 && wrong[0].contains("taken for covered"), "{from} to {to}");
    }
}
