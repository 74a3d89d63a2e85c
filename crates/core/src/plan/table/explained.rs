//! An explanation agrees with the plan.

use expect_test::expect;

use super::super::explain::{Explanation, explain};
use super::*;
use crate::model::record::Repairs;
use crate::model::secret::Fingerprint;

impl World {
    fn explained(&self, number: i64) -> Explanation {
        let facts = self.facts();
        explain(&facts, &plan(&facts), id(number), 30 * SECOND)
    }
}

#[test]
fn a_fresh_channel_is_explained_with_its_renewal_and_its_slack() {
    let world = World::converged(2);
    expect![[r#"
        channel c1 of account acme, id 1, at 2026-01-01T01:00:00Z
          declared  Contacts.create, Deals.all to https://hooks.example.com/zoho with a token, for 1d, mode sync
          observed  Contacts.create, Deals.all to https://hooks.example.com/zoho, token set, until 2026-01-02T00:00:00Z
          record    granted at 2026-01-01T00:00:00Z until 2026-01-02T00:00:00Z
          rules     mode sync, removed disable, 50 in one write, lives of up to 7d, Zoho's clock is 0 ms ahead
          row       it is declared, and ours; at Zoho: there as declared, with life enough; so: keep it, and look again at its renewal time
          decision  nothing is done: it is as declared and has life enough
          again     2026-01-01T11:45:30Z, in 10h 45m
          renewal   fresh: a life of 1d until 2026-01-02T00:00:00Z, 23h left; renewed with 12h left (half of a life of under ten days) and 14m 29s of the account's phase, at 2026-01-01T11:45:30Z, in 10h 45m; emergency from 2026-01-01T21:00:00Z, in 20h
          slack     12h 14m from the first attempt to the end: survives 399 failed passes in a row, or an outage of 12h 13m
    "#]].assert_eq(&world.explained(1).to_text());
}

#[test]
fn a_channel_that_drifted_in_an_account_that_only_observes() {
    let mut world = World::converged(1);
    world.policy.mode = Mode::Observe;
    world.observed(1).events = ["Deals.create"].into_iter().collect();
    expect![[r#"
        channel c1 of account acme, id 1, at 2026-01-01T01:00:00Z
          declared  Contacts.create, Deals.all to https://hooks.example.com/zoho with a token, for 1d, mode sync
          observed  Deals.create to https://hooks.example.com/zoho, token set, until 2026-01-02T00:00:00Z
          record    granted at 2026-01-01T00:00:00Z until 2026-01-02T00:00:00Z
          rules     mode observe, removed disable, 50 in one write, lives of up to 7d, Zoho's clock is 0 ms ahead
          drift     events: missing Contacts.create, Deals.edit, Deals.delete
          row       it is declared, and ours; at Zoho: there, and differs; so: repair: PATCH the whole channel, extra events by `_delete_events`, PUT for what PATCH cannot do; due as well: Enable first
          decision  held back: mode
          held      mode: update (drift) is not allowed by mode observe
          again     2026-01-01T11:45:30Z, in 10h 45m
          renewal   fresh: a life of 1d until 2026-01-02T00:00:00Z, 23h left; renewed with 12h left (half of a life of under ten days) and 14m 29s of the account's phase, at 2026-01-01T11:45:30Z, in 10h 45m; emergency from 2026-01-01T21:00:00Z, in 20h
          slack     12h 14m from the first attempt to the end: survives 399 failed passes in a row, or an outage of 12h 13m
    "#]].assert_eq(&world.explained(1).to_text());
}

#[test]
fn a_channel_that_rides_along_is_said_to_be_renewed() {
    let mut world = World::converged(2);
    world.record(2).grant = Some(Grant { at: hours(5), asked: hours(29), expiry: hours(29) });
    world.observed(2).expiry = Some(hours(29));
    world.now = hours(13);
    let rider = world.explained(2);
    assert_eq!((rider.verdict.as_str(), rider.steps.len()), ("enable (together)", 1), "{rider:#?}");
    assert_eq!(
        rider.row.map(|row| row.observed),
        Some("there as declared, with life enough".to_owned())
    );
}

#[test]
fn a_late_renewal_survives_less() {
    let mut world = World::converged(1);
    let early = world.explained(1).slack.unwrap();
    world.now = hours(22);
    let late = world.explained(1);
    assert_eq!(late.renewal.map(|renewal| renewal.age).as_deref(), Some("emergency"));
    let late = late.slack.unwrap();
    assert!(
        late.margin_s == 2 * 3600 && late.failed_passes < early.failed_passes,
        "{late:?} {early:?}"
    );
}

#[test]
fn a_channel_that_is_nobody_s_is_explained_too() {
    let mut world = World::converged(1);
    let seen = world.observed(1).clone();
    world.seen().insert(id(9), seen);
    assert_eq!(world.explained(9).verdict, "nothing is done: it is not ours");
    let nothing = world.explained(8);
    assert_eq!((nothing.row, nothing.renewal, nothing.slack), (None, None, None));
}

#[test]
fn a_channel_that_cannot_be_seen_is_explained_by_its_grant() {
    let mut world = World::converged(1);
    let seen = world.explained(1).renewal;
    world.look_fails();
    assert!(seen.is_some());
    assert_eq!(world.explained(1).renewal, seen);
}

#[test]
fn failures_and_repairs_are_counted_where_there_were_any() {
    let mut world = World::converged(1);
    let quiet = world.explained(1).to_text();
    assert!(!quiet.contains("in a row:") && !quiet.contains("was mended"), "{quiet}");
    let drift = Fingerprint::of(&["events"]);
    world.record(1).repairs = Some(Repairs { drift, writes: 2, at: hours(0) });
    world.look_fails();
    let told = world.explained(1).to_text();
    assert!(
        told.contains("1 in a row: HTTP 503") && told.contains("the same drift was mended 2 times"),
        "{told}"
    );
}
