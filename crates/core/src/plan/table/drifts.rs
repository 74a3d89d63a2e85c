//! The differences that count as drift, and the write that mends each.

use expect_test::expect;

use super::*;
use crate::model::condition::{Condition, Match, Seen, Selection};
use crate::model::events::Events;
use crate::model::observed::TokenSeen;
use crate::model::rotation::Rotation;
use crate::model::small_set::SmallSet;
use crate::plan::drift;
use crate::plan::step::{Action, Reason};

#[test]
fn what_drift_loses_deliveries() {
    let loses = |change: fn(&mut World)| {
        let mut world = World::converged(1);
        change(&mut world);
        let drift = drift::drift(&world.specs[&id(1)].clone(), world.observed(1));
        assert_eq!(drift.len(), 1);
        drift[0].loses_deliveries()
    };
    assert!(loses(|world| world.observed(1).events = events(&["Deals.create"])));
    assert!(
        !loses(|world| world.observed(1).events = events(&["Deals.all", "Contacts.all"])),
        "extra ones cost nothing"
    );
    assert!(loses(|world| world.observed(1).notify_urls =
        [NotifyUrl::new("https://elsewhere.example")].into()));
    assert!(loses(|world| world.observed(1).tokens = [TokenSeen::Null].into()));
    assert!(loses(|world| world.observed(1).conditions = [Seen::Opaque].into()));
    assert!(!loses(|world| world.observed(1).notify_on_related_action = [false].into()));
    assert!(!loses(|world| world.observed(1).return_affected_field_values = [true].into()));
}

#[test]
fn a_write_says_which_declared_channel_it_is_of() {
    let mut world = World::converged(3);
    world.now = hours(12);
    world.observed(1).events = events(&["Deals.all", "Leads.all"]);
    world.disown(2);
    world.retire(3);
    for step in world.plan().steps {
        let spec = step.action.spec().map(|spec| spec.id);
        assert_eq!(spec, (step.action != Action::Disable).then_some(step.id), "{step:?}");
    }
}

#[test]
fn missing_events_are_added_by_patch() {
    let mut world = World::converged(1);
    world.observed(1).events = events(&["Deals.create"]);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              events: missing Contacts.create, Deals.edit, Deals.delete
          next wake in 30s
    "#]]);
}

#[test]
fn extra_events_are_removed_by_name() {
    let mut world = World::converged(1);
    world.observed(1).events = events(&["Deals.all", "Contacts.create", "Leads.edit"]);
    let plan = world.plan();
    assert_eq!(plan.steps[0].action.removed_events(), Some(&events(&["Leads.edit"])));
    assert_eq!(plan.steps.len(), 1);
}

#[test]
fn extra_events_beside_another_drift_are_removed_and_the_rest_is_patched() {
    let mut world = World::converged(1);
    world.observed(1).events = events(&["Deals.all", "Contacts.create", "Leads.edit"]);
    world.observed(1).notify_on_related_action = [false].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              events: extra Leads.edit
              notify_on_related_action: false instead of true
          next wake in 30s
    "#]]);
}

#[test]
fn a_channel_with_nothing_in_common_is_replaced() {
    let mut world = World::converged(1);
    world.observed(1).events = events(&["Leads.all"]);
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ replace       c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              events: missing Contacts.create, Deals.all; extra Leads.all
          next wake in 30s
    "#]]);
    world.observed(1).events = Events::default();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ replace       c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              events: missing Contacts.create, Deals.all
          next wake in 30s
    "#]]);
}

#[test]
fn all_never_drifts_from_the_three_operations_it_stands_for() {
    let mut world = World::converged(1);
    world.observed(1).events =
        events(&["Deals.edit", "Deals.create", "Deals.delete", "Contacts.create"]);
    assert_kept(&world);
}

#[test]
fn another_url_is_patched_and_rows_that_disagree_on_it_too() {
    let mut world = World::converged(1);
    let (ours, theirs) =
        (world.specs[&id(1)].notify_url.clone(), NotifyUrl::new("https://theirs.example/in"));
    world.observed(1).notify_urls = [theirs.clone()].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notify_url: https://theirs.example/in instead of https://hooks.example.com/zoho
          next wake in 30s
    "#]]);
    world.observed(1).notify_urls = [ours, theirs].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notify_url: https://hooks.example.com/zoho and https://theirs.example/in instead of https://hooks.example.com/zoho
          next wake in 30s
    "#]]);
}

#[test]
fn another_token_is_patched_and_a_token_too_many_needs_put() {
    let mut world = World::converged(1);
    world.observed(1).tokens = [token("another")].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              token: another one instead of the declared one
          next wake in 30s
    "#]]);
    world.observed(1).tokens = [TokenSeen::Null].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              token: none instead of the declared one
          next wake in 30s
    "#]]);
    world.observed(1).tokens = [TokenSeen::Null, token("s3cret")].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              token: different ones on its modules instead of the declared one
          next wake in 30s
    "#]]);
    world.spec(1).token = None;
    world.observed(1).tokens = [token("another")].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ replace       c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              token: one instead of none
          next wake in 30s
    "#]]);
}

#[test]
fn the_flags_are_patched_and_rows_that_disagree_on_them_too() {
    let mut world = World::converged(1);
    world.observed(1).notify_on_related_action = [true, false].into();
    world.observed(1).return_affected_field_values = [true].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notify_on_related_action: false instead of true
              return_affected_field_values: true instead of false
          next wake in 30s
    "#]]);
}

#[test]
fn another_condition_is_patched_and_one_too_many_needs_put() {
    let mut world = World::converged(1);
    world.observed(1).conditions = [Seen::Opaque].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ replace       c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notification_condition: one that cannot be declared here instead of none
          next wake in 30s
    "#]]);
    world.spec(1).conditions = vec![condition(Match::Any, &["Stage"])];
    world.observed(1).conditions = [Seen::Known(Vec::new())].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notification_condition: none instead of Deals: any of Stage
          next wake in 30s
    "#]]);
    world.observed(1).conditions =
        [Seen::Known(Vec::new()), Seen::Known(vec![condition(Match::Any, &["Stage"])])].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notification_condition: none; Deals: any of Stage instead of Deals: any of Stage
          next wake in 30s
    "#]]);
}

#[test]
fn with_one_field_any_and_all_are_the_same_condition() {
    let mut world = World::converged(1);
    world.spec(1).conditions = vec![condition(Match::Any, &["Stage"])];
    world.observed(1).conditions = [Seen::Known(vec![condition(Match::All, &["Stage"])])].into();
    assert_kept(&world);
    world.spec(1).conditions = vec![condition(Match::Any, &["Amount", "Stage"])];
    world.observed(1).conditions =
        [Seen::Known(vec![condition(Match::All, &["Amount", "Stage"])])].into();
    world.check(&expect![[r#"
        account acme: 1 step to do
          ~ update        c1 (drift, 23h left, asks for 2026-01-02T00:00:00Z)
              notification_condition: Deals: all of Amount, Stage instead of Deals: any of Amount, Stage
          next wake in 30s
    "#]]);
}

#[test]
fn a_token_of_the_generation_beside_has_not_drifted_and_one_further_off_has() {
    let mut world = World::converged(1);
    let rotation = Rotation::new(Secret::from("a key of thirty-two characters.."), WEEK);
    let declared =
        Spec { token: None, rotation: Some(rotation), ..world.specs[&id(1)].as_ref().clone() };
    let written = |weeks: u64| declared.at(hours(weeks * 7 * 24)).unwrap();
    *world.spec(1) = written(3);
    for weeks in [2, 3, 4] {
        world.observed(1).tokens = written(weeks)
            .token
            .map(|token| TokenSeen::Set(token.fingerprint()))
            .into_iter()
            .collect();
        assert_kept(&world);
    }
    for weeks in [1, 5] {
        world.observed(1).tokens = written(weeks)
            .token
            .map(|token| TokenSeen::Set(token.fingerprint()))
            .into_iter()
            .collect();
        assert_eq!(
            drift::drift(&world.specs[&id(1)].clone(), world.observed(1)).len(),
            1,
            "{weeks}"
        );
    }
    assert_eq!(
        written(3).fingerprint(),
        written(4).fingerprint(),
        "a refusal holds over generations"
    );
}

#[test]
fn a_field_of_which_the_list_says_nothing_has_not_drifted() {
    let mut world = World::converged(1);
    world.spec(1).conditions = vec![condition(Match::Any, &["Stage"])];
    let observed = world.observed(1);
    observed.notify_urls = SmallSet::default();
    observed.tokens = [TokenSeen::Unsaid].into();
    observed.notify_on_related_action = SmallSet::default();
    observed.return_affected_field_values = SmallSet::default();
    observed.conditions = [Seen::Unsaid].into();
    assert_kept(&world);
    world.observed(1).tokens = [TokenSeen::Unsaid, token("s3cret")].into();
    world.observed(1).conditions = SmallSet::default();
    assert_kept(&world);
}

#[test]
fn the_expiry_and_the_mode_are_no_drift() {
    let mut world = World::converged(1);
    world.observed(1).expiry = Some(hours(40));
    world.spec(1).mode = Mode::NoDisable;
    world.spec(1).lifetime = WEEK;
    let observed = world.observed(1).clone();
    assert_eq!(drift::drift(&world.specs[&id(1)], &observed), []);
}

#[test]
fn the_same_drift_has_the_same_fingerprint_and_another_spec_another() {
    let mut world = World::converged(1);
    world.observed(1).events = events(&["Deals.create"]);
    let one = fingerprint(&mut world);
    world.observed(1).events = events(&["Deals.edit"]);
    assert_eq!(fingerprint(&mut world), one);
    world.observed(1).notify_on_related_action = [false].into();
    assert_ne!(fingerprint(&mut world), one);
    world.observed(1).notify_on_related_action = [true].into();
    world.spec(1).token = None;
    assert_ne!(fingerprint(&mut world), one);
}

#[test]
fn a_drift_shows_no_secret() {
    let mut world = World::converged(1);
    world.observed(1).tokens = [token("another-s3cret")].into();
    world.observed(1).notify_urls =
        [NotifyUrl::new("https://me:pw@theirs.example/in?key=s3cret")].into();
    let plan = world.plan();
    assert!(matches!(&plan.steps[0].reason, Reason::Drift(drift) if drift.len() == 2));
    for text in
        [world.text(), serde_json::to_string(&PlanView::of(&plan)).unwrap(), format!("{plan:?}")]
    {
        assert!(!text.contains("s3cret") && !text.contains("pw@"), "{text}");
    }
}

#[test]
fn a_url_that_is_only_spelled_otherwise_is_no_drift() {
    let mut world = World::converged(1);
    world.spec(1).notify_url = NotifyUrl::new("https://hooks.example/in?key=a%20b");
    for seen in ["https://hooks.example/in?key=a b", "https://Hooks.Example:443/in?key=%61%20b"] {
        world.observed(1).notify_urls = [NotifyUrl::new(seen)].into();
        assert_kept(&world);
    }
}

#[test]
fn urls_that_read_alike_without_their_secrets_say_where_they_differ() {
    let mut world = World::converged(1);
    world.spec(1).notify_url = NotifyUrl::new("https://hooks.example/in?key=one");
    world.observed(1).notify_urls = [NotifyUrl::new("https://hooks.example/in?key=two")].into();
    let said = "notify_url: https://hooks.example/in?... instead of https://hooks.example/in?... \
                (they differ from character 30 on, in what is not shown)";
    assert!(world.text().contains(said), "{}", world.text());
}

fn fingerprint(world: &mut World) -> crate::model::secret::Fingerprint {
    let observed = world.observed(1).clone();
    let spec = &world.specs[&id(1)];
    drift::fingerprint(spec, &drift::drift(spec, &observed))
}

#[track_caller]
fn assert_kept(world: &World) {
    assert_eq!(world.plan().kept, [id(1)], "{}", world.text());
}

fn events(texts: &[&'static str]) -> Events {
    texts.iter().copied().collect()
}

fn token(value: &str) -> TokenSeen {
    TokenSeen::Set(Secret::from(value).fingerprint())
}

/// As both the config and the wire make them.
fn condition(matching: Match, fields: &[&str]) -> Condition {
    let fields = fields.iter().map(ToString::to_string);
    let selection = Selection::of_fields(matching, fields).unwrap();
    Condition { module: "Deals".to_owned(), selection }
}
