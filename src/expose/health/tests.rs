//! From a converged overview, one thing changed: the status and the reasons.

use super::super::testing::{
    TURNING, account, change, change_channel, change_elsewhere, converged, elsewhere, empty, hold,
    hours, lose, minutes, now, rejected, report,
};
use super::*;
use crate::expose::overview::{ClusterState, EngineRoom, EngineTrouble, LogLost, Unfit};
use crate::model::time::after;
use crate::plan::drift::Drift;
use crate::plan::step::Cause;
use crate::reconcile::report::ToldReport;
use expect_test::{Expect, expect};
use std::collections::BTreeMap;
use std::sync::Arc;

fn text(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> String {
    let health = health(overview, loop_age, now);
    let ready =
        health.not_ready.as_ref().map_or("ready".to_owned(), |why| format!("not ready: {why}"));
    let live = if health.live { "live" } else { "not live" };
    let reasons: String = health.reasons.iter().map(|reason| format!("\n{reason}")).collect();
    format!("{}, {live}, {ready}{reasons}", health.status.word())
}

fn check_at(overview: &Overview, now: Timestamp, expected: &Expect) {
    expected.assert_eq(&text(overview, TURNING, now));
}

fn check(change_it: impl FnOnce(&mut Overview), expected: &Expect) {
    let mut overview = converged(3);
    change_it(&mut overview);
    check_at(&overview, now(), expected);
}

#[test]
fn all_is_well_when_everything_is_covered() {
    check(|_| {}, &expect!["ok, live, ready"]);
    assert_eq!(health(&converged(3), TURNING, now()).guaranteed_until(), Some(hours(24)));
}

#[test]
fn fifty_channels_with_one_refused_are_degraded_and_not_dead() {
    let mut overview = converged(50);
    lose(&mut overview, 7);
    hold(&mut overview, 7, rejected());
    check_at(
        &overview,
        now(),
        &expect![[r#"
            failing, live, ready
            uncovered: account acme: channel c7: not covered
            rejected: account acme: channel c7: Zoho refused it with INVALID_DATA at $.watch[0].events[0]: invalid module"#]],
    );
    assert_eq!(health(&overview, TURNING, now()).guarantee, Guarantee::Broken);
}

#[test]
fn a_receiver_that_refuses_canaries_is_told_once_for_all_its_channels_and_they_stay_covered() {
    let refuse = |overview: &mut Overview, number: i64, url: &str| {
        change_channel(overview, number, |channel| {
            let url = crate::model::channel::NotifyUrl::new(url);
            channel.spec = Arc::new(crate::model::channel::Spec {
                notify_url: url,
                ..(*channel.spec).clone()
            });
            channel.undeliverable = Some(Box::new((minutes(30), "HTTP 500".to_owned())));
        });
    };
    let mut overview = converged(4);
    refuse(&mut overview, 1, "https://hooks.example.com/zoho?key=s3cret");
    refuse(&mut overview, 2, "https://hooks.example.com/zoho?key=s3cret");
    refuse(&mut overview, 3, "https://other.example.com/");
    check_at(
        &overview,
        now(),
        &expect![[r#"
            failing, live, ready
            undeliverable: account acme: https://hooks.example.com/zoho?... refuses canaries since 2026-01-01T00:30:00Z (HTTP 500), so what 2 channels would deliver is taken to be lost
            undeliverable: account acme: https://other.example.com/ refuses canaries since 2026-01-01T00:30:00Z (HTTP 500), so what 1 channel would deliver is taken to be lost"#]],
    );
    assert_eq!(health(&overview, TURNING, now()).guaranteed_until(), Some(hours(24)));
}

#[test]
fn an_account_of_which_nothing_is_covered_fails() {
    check(
        |overview| (1..=3).for_each(|number| lose(overview, number)),
        &expect![[r#"
        failing, live, ready
        nothing-covered: account acme: none of 3 channels is covered
        uncovered: account acme: channel c1: not covered
        uncovered: account acme: channel c2: not covered
        uncovered: account acme: channel c3: not covered"#]],
    );
}

#[test]
fn one_dead_account_fails_beside_one_that_is_well() {
    let mut overview = converged(1);
    lose(&mut overview, 1);
    overview.accounts.insert(account("beta"), Some(Arc::new(report("beta", 10..=20))));
    assert_eq!(health(&overview, TURNING, now()).status, Status::Failing);
}

#[test]
fn a_report_grows_old_and_its_channels_end() {
    check_at(
        &converged(2),
        hours(25),
        &expect![[r#"
        failing, live, ready
        nothing-covered: account acme: none of 2 channels is covered
        uncovered: account acme: channel c1: not covered: ended 1h ago
        uncovered: account acme: channel c2: not covered: ended 1h ago
        pass-overdue: account acme: the next pass is due for 13h"#]],
    );
    let mut overview = converged(2);
    change_channel(&mut overview, 2, |channel| channel.expiry = Some(minutes(70)));
    change(&mut overview, |report| report.next_wake = minutes(75));
    check_at(
        &overview,
        minutes(80),
        &expect![[r#"
            failing, live, ready
            uncovered: account acme: channel c2: not covered: ended 10m ago"#]],
    );
}

#[test]
fn a_loop_that_stands_still_is_not_live() {
    expect![[r#"
        failing, not live, not ready: the loop does not turn
        not-live: the loop last turned 1m 31s ago"#]]
    .assert_eq(&text(&converged(1), LoopAge(Duration::from_secs(91)), now()));
    assert!(health(&converged(1), LoopAge(Duration::from_secs(90)), now()).live);
}

#[test]
fn a_store_that_failed_fails() {
    check(
        |overview| overview.store_failed = Some("no space left".to_owned()),
        &expect![[r#"
        failing, live, not ready: the store failed
        store-failed: the store failed: no space left"#]],
    );
}

#[test]
fn credentials_that_need_a_person_fail_while_everything_is_still_covered() {
    check(
        |overview| {
            change(overview, |report| {
                report.needs_a_person = true;
                report.look_failed = Some("invalid_code".to_owned());
                report
                    .channels
                    .values_mut()
                    .for_each(|channel| channel.state = ChannelState::Unverified);
            });
        },
        &expect![[r#"
            failing, live, not ready: no account's credentials are accepted
            needs-a-person: account acme: needs a person: the look at Zoho failed: invalid_code"#]],
    );
}

#[test]
fn an_account_that_cannot_be_worked_on_fails_and_waits_for_no_first_pass() {
    check(
        |overview| {
            overview.accounts.insert(account("beta"), None);
            overview
                .unusable
                .insert(account("beta"), "the environment variable X is not set".to_owned());
        },
        &expect![[r#"
            failing, live, ready
            unusable: account beta: cannot be worked on: the environment variable X is not set"#]],
    );
}

#[test]
fn an_account_that_only_another_machine_can_work_on_degrades_and_leaves_the_guarantee() {
    let unfit = Unfit { why: "no file secret".to_owned(), by: "host-2".to_owned() };
    let change_it = |overview: &mut Overview| {
        overview.cluster = Some(ClusterState {
            is_active: true,
            unfit: [(account("beta"), unfit.clone())].into(),
            ..ClusterState::joining()
        });
    };
    check(
        change_it,
        &expect![[r#"
            degraded, live, ready
            unfit: account beta cannot be worked on here, and host-2 serves it: no file secret"#]],
    );
    let mut overview = converged(3);
    change_it(&mut overview);
    assert_eq!(health(&overview, TURNING, now()).guaranteed_until(), Some(hours(24)));
    assert!(overview.tells_of(ReasonKind::Unfit, None), "and not only whoever tells for all");
}

#[test]
fn a_first_pass_that_is_awaited_is_not_ready_and_one_that_never_ends_fails() {
    let mut overview = converged(1);
    overview.accounts.insert(account("beta"), None);
    check_at(
        &overview,
        minutes(5),
        &expect![[r#"
        degraded, live, not ready: account beta has not had its first pass
        first-pass: account beta: the first pass has not ended for 5m"#]],
    );
    check_at(
        &overview,
        minutes(11),
        &expect![[r#"
        failing, live, not ready: account beta has not had its first pass
        first-pass-overdue: account beta: the first pass has not ended for 11m"#]],
    );
    overview.config.loaded_at = Some(minutes(9));
    assert_eq!(
        health(&overview, TURNING, minutes(11)).status,
        Status::Degraded,
        "added by a reload"
    );
}

#[test]
fn a_look_that_failed_is_said_once_and_what_was_granted_still_counts() {
    check(
        |overview| {
            change(overview, |report| {
                report.look_failed = Some("503 from Zoho".to_owned());
                report
                    .channels
                    .values_mut()
                    .for_each(|channel| channel.state = ChannelState::Unverified);
            });
            hold(overview, 1, Cause::Unknown("503 from Zoho".to_owned()));
        },
        &expect![[r#"
            degraded, live, ready
            look-failed: account acme: the look at Zoho failed: 503 from Zoho"#]],
    );
}

#[test]
fn no_look_that_ever_succeeded_is_not_ready() {
    check(
        |overview| change(overview, |report| report.looked_at = None),
        &expect!["ok, live, not ready: no account could be looked at yet"],
    );
}

#[test]
fn writes_that_failed_degrade() {
    check(
        |overview| change(overview, |report| report.writes_failed = Some("429".to_owned())),
        &expect![[r#"
        degraded, live, ready
        writes-failed: account acme: writes failed: 429"#]],
    );
}

#[test]
fn a_channel_that_drifted_degrades() {
    check(
        |overview| {
            change_channel(overview, 1, |channel| {
                channel.state = ChannelState::Drifted;
                channel.drift = vec![Drift::NotifyOnRelatedAction { wanted: true }];
            });
        },
        &expect![[r#"
            degraded, live, ready
            drifted: account acme: channel c1: not as declared: notify_on_related_action: false instead of true"#]],
    );
}

#[test]
fn an_emergency_and_an_overdue_pass_degrade() {
    check_at(
        &converged(1),
        hours(22),
        &expect![[r#"
            failing, live, ready
            emergency: account acme: channel c1: not renewed yet, and ends in 2h
            pass-overdue: account acme: the next pass is due for 10h"#]],
    );
}

#[test]
fn a_short_grant_degrades() {
    check(
        |overview| change_channel(overview, 1, |channel| channel.short_grant = true),
        &expect![[r#"
        degraded, live, ready
        short-grant: account acme: channel c1: Zoho gave far less life than was asked for"#]],
    );
}

#[test]
fn each_cause_that_holds_a_channel_degrades_but_for_those_that_are_wanted() {
    check(
        |overview| {
            hold(overview, 1, Cause::Conflict { seen: "https://other.example/x".to_owned() });
            hold(overview, 1, Cause::Contested { writes: 3, drift: Vec::new() });
            hold(overview, 2, Cause::RemovalGuard { removals: 2, channels: 4, is_renewed: true });
            hold(overview, 2, Cause::Unknown("the second look failed".to_owned()));
            hold(
                overview,
                3,
                Cause::BackOff { step: "enable (renew)".to_owned(), trouble: "429".to_owned() },
            );
            hold(overview, 3, Cause::LeftToExpire);
            hold(overview, 1, Cause::Paused { step: None });
            hold(
                overview,
                3,
                Cause::Mode {
                    mode: crate::model::policy::Mode::Observe,
                    step: "disable".to_owned(),
                },
            );
        },
        &expect![[r#"
            degraded, live, ready
            conflict: account acme: channel c1: Zoho has a channel with this id that delivers to https://other.example/x, and it is not known as ours; `channelkeeper adopt` makes it ours, another `id` in the config leaves it alone
            contested: account acme: channel c1: came back after 3 accepted repairs, so somebody else edits it, or Zoho stores it differently: 
            removal-guard: account acme: disabling 2 of 4 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then) (c2)
            paused: account acme: 1 channel paused until 2026-01-01T02:00:00Z: neither renewed nor repaired
            unknown: account acme: channel c2: the look at Zoho failed: the second look failed
            back-off: account acme: channel c3: enable (renew) waits: 429"#]],
    );
}

#[test]
fn what_concerns_the_daemon_degrades() {
    check(
        |overview| {
            overview.config.problems = vec!["config.toml:3: unknown key".to_owned()];
            overview.config.thin = vec!["config.toml:7: 2 channels of account acme".to_owned()];
            overview.orphans.insert(account("old"), 3);
            overview.store_moved_aside = Some("store.broken: checksum".to_owned());
            overview.clock_jump = Some((minutes(30), -90_000));
            overview.log_lost = Some(LogLost { at: minutes(30), lines: 1, is_broken: false });
            change(overview, |report| report.skew_ms = Some(-61_000));
        },
        &expect![[r#"
            degraded, live, ready
            config: the last good desired state is in force: config.toml:3: unknown key
            slack: config.toml:7: 2 channels of account acme
            log-lost: whoever reads stderr is too slow: 1 log line lost since the start, the last at 2026-01-01T00:30:00Z
            orphans: account old: declared no longer: 3 channels left to expire
            store-moved-aside: the database could not be used and was moved aside: store.broken: checksum
            clock-jump: the wall clock jumped back by 1m 30s at 2026-01-01T00:30:00Z
            skew: account acme: Zoho's clock is 1m 1s behind of ours"#]],
    );
}

#[test]
fn a_jump_of_the_clock_is_forgotten_after_an_hour_and_a_small_skew_is_none() {
    let mut overview = converged(1);
    overview.clock_jump = Some((hours(1), 5_000));
    change(&mut overview, |report| report.skew_ms = Some(60_000));
    assert_eq!(health(&overview, TURNING, hours(2)).status, Status::Degraded);
    assert_eq!(health(&overview, TURNING, minutes(121)).status, Status::Ok);
}

#[test]
fn lost_log_lines_are_forgotten_after_an_hour_unless_stderr_is_broken() {
    for (is_broken, by_then) in [(false, Status::Ok), (true, Status::Degraded)] {
        let mut overview = converged(1);
        overview.log_lost = Some(LogLost { at: hours(1), lines: 7, is_broken });
        assert_eq!(health(&overview, TURNING, hours(2)).status, Status::Degraded);
        assert_eq!(health(&overview, TURNING, minutes(121)).status, by_then);
    }
}

#[test]
fn nothing_declared_is_ready_and_not_quite_well() {
    check_at(
        &empty(),
        now(),
        &expect![[r#"
        degraded, live, ready
        nothing-declared: no channel is declared"#]],
    );
    assert_eq!(health(&empty(), TURNING, now()).guarantee, Guarantee::Nothing);
}

#[test]
fn a_machine_that_may_write_nothing_is_degraded_and_an_account_that_none_serves_is_failing() {
    let mut overview = converged(1);
    let beta = || "beta".parse().unwrap();
    let cluster = ClusterState {
        name: "prod".to_owned(),
        node: "host-1".to_owned(),
        is_active: true,
        is_well: true,
        standing: "serves accounts",
        unowned: [(beta(), hours(1))].into(),
        ..ClusterState::default()
    };
    overview.cluster = Some(cluster.clone());
    let after_15_s = after(hours(1), Duration::from_secs(15));
    assert_eq!(health(&overview, TURNING, after_15_s).status, Status::Ok);
    check_at(
        &overview,
        minutes(61),
        &expect![[r#"
            failing, live, ready
            unserved: account beta: no machine has served it for 1m"#]],
    );
    overview.cluster = Some(ClusterState {
        is_active: false,
        is_well: false,
        standing: "begins no write",
        unreachable: Some((minutes(59), "no answer".to_owned())),
        ..cluster.clone()
    });
    check_at(
        &overview,
        minutes(61),
        &expect![[r#"
            degraded, live, not ready: host-1 begins no write
            cluster: the engine of cluster prod has not answered for 2m, and host-1 begins no write: no answer"#]],
    );
    overview.cluster = Some(ClusterState {
        is_active: false,
        is_well: false,
        standing: "renews nothing",
        unreachable: Some((hours(0), "no answer".to_owned())),
        emergency: Some(minutes(60)),
        ..cluster
    });
    check_at(
        &overview,
        minutes(61),
        &expect![[r#"
        failing, live, not ready: host-1 renews nothing
        no-engine: the engine of cluster prod has not answered for 1h 1m, and host-1 renews nothing: no answer"#]],
    );
}

#[test]
fn an_engine_that_is_slow_or_fills_up_or_was_restored_is_told_of() {
    let mut overview = converged(1);
    let trouble = |is_failing, why: &str| EngineTrouble { is_failing, why: why.to_owned() };
    let with = |state: ClusterState| {
        let (name, node) = ("prod".to_owned(), "host-1".to_owned());
        Some(ClusterState { name, node, is_active: true, is_well: true, ..state })
    };
    let room = |troubles| Some(Arc::new(EngineRoom { troubles, ..EngineRoom::default() }));
    let well = ClusterState { engine: room(Vec::new()), ..ClusterState::default() };
    overview.cluster = with(well);
    assert_eq!(health(&overview, TURNING, minutes(61)).status, Status::Ok);
    let fills = vec![trouble(false, "it has filled 61 %")];
    overview.cluster =
        with(ClusterState { is_slow: true, engine: room(fills), ..ClusterState::default() });
    check_at(
        &overview,
        minutes(61),
        &expect![[r#"
        degraded, live, ready
        cluster: the engine is slow: it has confirmed no beat of host-1 for 4 s
        engine-fills: it has filled 61 %"#]],
    );
    let full = vec![trouble(true, "the engine says NOSPACE"), trouble(false, "and grows")];
    let restored_at = Some(minutes(60));
    overview.cluster =
        with(ClusterState { restored_at, engine: room(full), ..ClusterState::default() });
    check_at(
        &overview,
        minutes(61),
        &expect![[r#"
        failing, live, ready
        engine-full: the engine says NOSPACE
        cluster: the engine's data turned out at 2026-01-01T01:00:00Z to be older than what was seen of them, or others: everything was claimed and is looked at anew
        engine-fills: and grows"#]],
    );
}

#[test]
fn a_machine_that_holds_none_of_the_accounts_is_well() {
    let mut overview = empty();
    let joining = ClusterState::joining();
    (overview.elsewhere, overview.cluster) = (3, Some(joining.clone()));
    assert!(!health(&overview, TURNING, now()).ready());
    overview.cluster = Some(ClusterState { is_active: true, ..joining });
    let shown = health(&overview, TURNING, now());
    assert_eq!((shown.ready(), shown.status), (true, Status::Ok));
}

#[test]
fn a_daemon_that_stops_is_not_ready() {
    check(
        |overview| overview.stopping = true,
        &expect!["ok, live, not ready: the daemon is stopping"],
    );
}

#[test]
fn the_reasons_are_bounded_and_the_worst_come_first() {
    let mut overview = converged(300);
    (1..=300).for_each(|number| {
        change_channel(&mut overview, number, |channel| channel.short_grant = true)
    });
    lose(&mut overview, 299);
    let health = health(&overview, TURNING, now());
    assert_eq!((health.reasons.len(), health.reasons_left_out), (REASONS_MAX, 200));
    assert_eq!(health.reasons[0].kind, ReasonKind::Uncovered);
}

#[test]
fn a_foreign_text_breaks_no_line() {
    let mut overview = converged(1);
    overview.store_failed = Some("a\nb\u{1b}[2J".to_owned());
    overview.config.problems = vec!["x\r\ny https://h.example/?key=s3cret".to_owned()];
    hold(&mut overview, 1, Cause::Unknown("p\nq".to_owned()));
    for reason in health(&overview, TURNING, now()).reasons {
        let text = reason.to_string();
        assert!(!text.contains(|c: char| c.is_control()) && !text.contains("s3cret"), "{text:?}");
    }
}

#[test]
fn a_channel_is_not_covered_since_the_certain_loss_and_not_since_the_last_try() {
    let missed = |from, to: Option<u64>, kind| crate::reconcile::report::GapSpan {
        from: minutes(from),
        to: to.map(minutes),
        kind,
    };
    let (unknown, uncovered) =
        (crate::coverage::GapKind::Unknown, crate::coverage::GapKind::Uncovered);
    check(
        |overview| {
            lose(overview, 1);
            change_channel(overview, 1, |channel| {
                Arc::make_mut(&mut channel.last_day).missed = vec![
                    missed(5, Some(8), uncovered),
                    missed(20, Some(30), unknown),
                    missed(30, Some(40), uncovered),
                    missed(40, None, unknown),
                ];
            });
        },
        &expect![[r#"
            failing, live, ready
            uncovered: account acme: channel c1: not covered since 2026-01-01T00:30:00Z"#]],
    );
}

#[test]
fn the_headline_and_the_guarantee_are_of_all_machines() {
    let mut overview = converged(2);
    overview.cluster = Some(ClusterState { is_active: true, is_well: true, ..Default::default() });
    elsewhere(&mut overview, "beta", 7..=8, "host-2");
    let here = health(&overview.of_this_machine(), TURNING, minutes(9));
    change_elsewhere(&mut overview, "beta", |report| {
        for channel in report.channels.values_mut() {
            channel.expiry = Some(minutes(60));
        }
    });
    assert_eq!(health(&overview, TURNING, minutes(9)).guarantee, Guarantee::Until(minutes(60)));
    let all = health(&overview, TURNING, minutes(61));
    assert_eq!((all.guarantee, all.status), (Guarantee::Broken, Status::Failing));
    assert_eq!(health(&overview.of_this_machine(), TURNING, minutes(9)), here);
    Arc::make_mut(&mut overview.others).accounts.insert(account("gamma"), None);
    let unheard = health(&overview, TURNING, minutes(9));
    assert_eq!(unheard.guarantee, Guarantee::Unknown, "nothing was told of gamma");
    assert!(unheard.ready(), "that is no fault of this machine");
}

#[test]
fn the_troubles_of_a_machine_are_shown_by_the_others_and_make_nothing_fail_there() {
    let mut there = converged(1);
    let node = "host-2".to_owned();
    there.cluster = Some(ClusterState { node, is_well: true, ..Default::default() });
    assert_eq!(troubles_of_machine(&there, TURNING, minutes(9)).lines, Vec::<String>::new());
    there.store_failed = Some("no room".to_owned());
    there.config.problems = vec!["line 3".to_owned()];
    lose(&mut there, 1);
    let troubles = troubles_of_machine(&there, TURNING, minutes(9));
    assert_eq!((troubles.node.as_str(), troubles.lines.len(), troubles.more), ("host-2", 2, 0));
    let mut here = converged(1);
    Arc::make_mut(&mut here.others).troubles.insert("host-2-0".to_owned(), troubles);
    let health = health(&here, TURNING, minutes(9));
    let texts: Vec<String> = health.reasons.iter().map(ToString::to_string).collect();
    expect![[r#"
        [
            "machine: host-2: store-failed: the store failed: no room; config: the last good desired state is in force: line 3",
        ]
    "#]]
    .assert_debug_eq(&texts);
    assert_eq!(health.status, Status::Degraded);
}

#[test]
fn a_report_comes_back_as_another_machine_told_it() {
    let mut overview = converged(3);
    lose(&mut overview, 2);
    hold(&mut overview, 1, rejected());
    let (name, report) = overview.accounts.first_key_value().unwrap();
    let report = report.as_ref().unwrap();
    let told = ToldReport::of(report);
    let text = serde_json::to_string(&told).unwrap();
    let read: ToldReport = serde_json::from_str(&text).unwrap();
    assert_eq!(read, told);
    let specs = report.channels.iter().map(|(id, it)| (*id, it.spec.clone())).collect();
    let again = read.clone().into_report(name, Some(&specs));
    assert_eq!(ToldReport::of(&again), told);
    assert_eq!(again.guaranteed_until, None, "one of them is lost");
    let undeclared = read.clone().into_report(name, Some(&BTreeMap::new()));
    assert!(undeclared.channels.is_empty());
    let unknown = read.into_report(name, None);
    assert_eq!(ToldReport::of(&unknown), told, "the same is covered, whatever is known of it");
}
