//! Plans of an account that machines share, while the engine does not say whose it is.

use expect_test::expect;

use super::*;
use crate::model::cluster::Allowed;

#[test]
fn while_the_engine_is_away_nothing_is_sent_but_the_renewal_of_an_emergency() {
    let mut world = several();
    world.allowed = Allowed::Emergencies;
    world.check(&expect![[r#"
        account acme: nothing to do, 5 held back
          ! no-engine     c1: enable (renew) waits: the engine does not answer, so another machine may serve the account
          ! no-engine     c2: enable (renew) waits: the engine does not answer, so another machine may serve the account
          ! no-engine     c2: replace (drift) waits: the engine does not answer, so another machine may serve the account
          ! no-engine     c3: disable (retired) waits: the engine does not answer, so another machine may serve the account
          ! no-engine     c4: enable (missing) waits: the engine does not answer, so another machine may serve the account
          next wake in 8h
    "#]]);
    world.now = hours(22);
    world.check(&expect![[r#"
        account acme: 2 steps to do, 3 held back
          ~ enable        c1 (emergency, 2h left, asks for 2026-01-02T22:00:00Z)
          ~ enable        c2 (emergency, 2h left, asks for 2026-01-02T22:00:00Z)
          ! no-engine     c2: replace (drift) waits: the engine does not answer, so another machine may serve the account
          ! no-engine     c3: disable (retired) waits: the engine does not answer, so another machine may serve the account
          ! no-engine     c4: enable (missing) waits: the engine does not answer, so another machine may serve the account
          next wake in 30s
    "#]]);
}

#[test]
fn where_the_operator_has_it_stop_an_emergency_waits_too_and_is_looked_at_often() {
    let mut world = several();
    world.allowed = Allowed::Nothing;
    world.now = hours(22);
    world.check(&expect![[r#"
        account acme: nothing to do, 5 held back
          ! no-engine     c1: enable (emergency) waits: the engine does not answer, so another machine may serve the account (again in 1m)
          ! no-engine     c2: enable (emergency) waits: the engine does not answer, so another machine may serve the account (again in 1m)
          ! no-engine     c2: replace (drift) waits: the engine does not answer, so another machine may serve the account
          ! no-engine     c3: disable (retired) waits: the engine does not answer, so another machine may serve the account
          ! no-engine     c4: enable (missing) waits: the engine does not answer, so another machine may serve the account
          next wake in 1m
    "#]]);
}

#[test]
fn a_channel_that_another_machine_renewed_or_disabled_is_not_renewed() {
    let mut world = World::converged(2);
    (world.allowed, world.now) = (Allowed::Emergencies, hours(22));
    world.observed(1).expiry = Some(hours(36));
    world.lose(2);
    world.check(&expect![[r#"
        account acme: nothing to do, 1 held back, 1 channel is as declared
          ! no-engine     c2: enable (missing) waits: the engine does not answer, so another machine may serve the account
          next wake in 1h 45m
    "#]]);
}

#[test]
fn an_emergency_is_renewed_though_the_list_cannot_be_read() {
    let mut world = World::converged(2);
    (world.allowed, world.now) = (Allowed::Emergencies, hours(22));
    world.look = Look::Unknown("HTTP 503".to_owned());
    world.check(&expect![[r#"
        account acme: 2 steps to do
          ~ enable        c1 (emergency-blind, 2h left, asks for 2026-01-02T22:00:00Z)
          ~ enable        c2 (emergency-blind, 2h left, asks for 2026-01-02T22:00:00Z)
          next wake in 30s
    "#]]);
}

/// One that is due, one that drifted, one that is declared no longer, and one that is new.
fn several() -> World {
    let mut world = World::converged(3);
    world.observed(2).events = crate::testing::events(&["Leads.create"]);
    world.retire(3);
    world.declare(4);
    world.now = hours(13);
    world
}
