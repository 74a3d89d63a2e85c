//! The laws of every plan, for facts of every kind.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::worlds::{odd_worlds, worlds};
use super::*;
use crate::model::secret::Fingerprint;
use crate::plan::explain::explain;
use crate::plan::renewal::{Life, Phase};
use crate::plan::step::{Action, Ask, Cause, CauseKind, Reason, Step};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_facts_are_too_odd_for_a_plan(world in odd_worlds()) {
        let plan = world.plan();
        prop_assert!(plan.next_wake >= plan.at);
        prop_assert!(!PlanView::of(&plan).to_text().is_empty());
    }

    #[test]
    fn every_channel_can_be_explained_and_a_step_or_a_hold_stands_in_some_row(world in odd_worlds()) {
        let (facts, plan) = (world.facts(), world.plan());
        let ids = plan.steps.iter().map(|step| step.id).chain(plan.held.iter().map(|held| held.id));
        for id in ids.chain(plan.kept.iter().copied()).chain(plan.foreign.iter().copied()) {
            let explained = explain(&facts, &plan, id, SECOND);
            prop_assert!(explained.row.is_some() && !explained.to_text().is_empty(), "{explained:?}");
        }
    }

    #[test]
    fn the_same_facts_give_the_same_plan(world in worlds()) {
        prop_assert_eq!(world.plan(), world.plan());
    }

    #[test]
    fn only_what_is_declared_or_ours_is_written(world in worlds()) {
        for step in world.plan().steps.iter().filter(|step| step.action.is_remote()) {
            prop_assert!(world.may_write(step), "{step:?}");
        }
    }

    #[test]
    fn who_may_only_observe_writes_nothing(mut world in worlds()) {
        world.policy.mode = Mode::Observe;
        prop_assert!(world.plan().steps.iter().all(|step| step.action == Action::Forget));
    }

    #[test]
    fn an_empty_config_never_disables(mut world in worlds()) {
        world.specs.clear();
        world.wishes.removals.clear();
        prop_assert!(world.plan().steps.iter().all(|step| step.action == Action::Forget));
    }

    #[test]
    fn what_the_guard_holds_and_can_be_renewed_never_lapses(mut world in worlds()) {
        (world.former, world.specs) = (std::mem::take(&mut world.specs), BTreeMap::new());
        world.wishes.removals.clear();
        let plan = world.plan();
        let busy: BTreeSet<ChannelId> = plan.steps.iter().map(|step| step.id).collect();
        for held in plan.held.iter().filter(|held| matches!(held.cause, Cause::RemovalGuard { .. })) {
            let can_wait = world.state.writes.attempts > 0
                || world.records[&held.id].refusal.is_some()
                || world.former.get(&held.id).is_none_or(|spec| spec.mode == Mode::Observe);
            let Some((due, _)) = world.edges(held.id).filter(|_| !can_wait) else { continue };
            prop_assert!(due > plan.at || busy.contains(&held.id), "{}", world.text());
            prop_assert!(plan.next_wake <= due.max(after(plan.at, SECOND * 30)), "{}", world.text());
        }
        world.wishes.removals = world.records.keys().copied().collect();
        let allowed = world.plan();
        prop_assert!(allowed.steps.iter().all(|step| step.action.ask().is_none()), "{allowed:?}");
    }

    #[test]
    fn a_failed_look_leads_to_nothing_but_blind_emergencies(mut world in worlds()) {
        world.look = Look::Unknown("HTTP 503".to_owned());
        let Plan { steps, held, kept, foreign, .. } = world.plan();
        for step in steps {
            prop_assert_eq!(&step.reason, &Reason::EmergencyBlind);
            prop_assert!(matches!(step.action, Action::Enable(_)));
            prop_assert!(world.records[&step.id].grant.is_some());
        }
        for held in held {
            prop_assert!(["unknown", "rejected", "part-refused", "mode"].contains(&held.cause.word()), "{held:?}");
        }
        prop_assert!(kept.is_empty() && foreign.is_empty());
    }

    #[test]
    fn a_plan_after_a_fully_successful_pass_has_no_steps(mut world in worlds()) {
        world.state.writes = Trouble::default();
        let before = world.text();
        world.succeed();
        prop_assert!(world.plan().steps.is_empty(), "first:\n{before}then:\n{}", world.text());
    }

    #[test]
    fn nothing_that_was_held_is_disabled_because_other_steps_succeeded(mut world in worlds()) {
        let guarded = |plan: &Plan| -> BTreeSet<ChannelId> {
            let held = plan.held.iter().filter(|held| matches!(held.cause, Cause::RemovalGuard { .. }));
            held.map(|held| held.id).collect()
        };
        let held = guarded(&world.plan());
        world.succeed();
        prop_assert!(held.is_subset(&guarded(&world.plan())), "{}", world.text());
    }

    #[test]
    fn the_next_wake_is_not_past_and_not_later_than_anything_that_falls_due(world in worlds()) {
        let plan = world.plan();
        prop_assert!(plan.next_wake >= plan.at && plan.next_wake <= after(plan.at, DAY));
        for kept in &plan.kept {
            let (due, _) = world.edges(*kept).unwrap();
            prop_assert!(plan.next_wake <= due && due > plan.at, "{kept} is due at {due}: {plan:?}");
        }
        for id in world.records.keys() {
            if let Some((_, emergency)) = world.edges(*id).filter(|(_, emergency)| *emergency > plan.at) {
                prop_assert!(plan.next_wake <= emergency, "{id} is an emergency at {emergency}: {plan:?}");
            }
        }
    }

    #[test]
    fn a_channel_is_in_one_bucket(world in worlds()) {
        let plan = world.plan();
        let busy: BTreeSet<_> = plan.steps.iter().map(|step| step.id).chain(plan.held.iter().map(|held| held.id)).collect();
        let kept: BTreeSet<_> = plan.kept.iter().copied().collect();
        let foreign: BTreeSet<_> = plan.foreign.iter().copied().collect();
        prop_assert!(busy.is_disjoint(&kept) && busy.is_disjoint(&foreign) && kept.is_disjoint(&foreign));
        prop_assert!(world.specs.keys().all(|id| busy.contains(id) || kept.contains(id)));
    }

    #[test]
    fn the_steps_of_one_channel_stand_in_the_order_in_which_they_work(world in worlds()) {
        let mut last: BTreeMap<ChannelId, u8> = BTreeMap::new();
        for step in world.plan().steps {
            let place = match step.action {
                Action::TakeOver(_) => 1,
                Action::Enable(_) => 2,
                Action::RemoveEvents(..) => 3,
                Action::Update(_) | Action::Replace(_) | Action::Disable | Action::Forget => 4,
            };
            prop_assert!(last.insert(step.id, place).is_none_or(|before| before < place));
        }
    }

    #[test]
    fn every_expiry_asked_for_is_whole_and_within_what_zoho_gives(world in worlds()) {
        let latest = after(world.state.zoho_time(world.now), world.policy.lifetime_max - SECOND * 30);
        for step in world.plan().steps {
            if let Some(Ask { expiry, .. }) = step.action.ask() {
                prop_assert!(*expiry <= latest && expiry.subsec_nanosecond() == 0, "{step:?}");
            }
        }
    }

    #[test]
    fn text_and_json_tell_of_the_same_plan(world in worlds()) {
        let plan = world.plan();
        let view = PlanView::of(&plan);
        let lines = |prefix: &str| view.to_text().lines().filter(|line| line.starts_with(prefix)).count();
        let unseen = plan.held.iter().filter(|held| held.cause.kind() == CauseKind::Unknown).count();
        prop_assert_eq!(lines("  ! ") - lines("  ! unknown "), plan.held.len() - unseen);
        prop_assert!(lines("  ! unknown ") <= unseen && (unseen == 0) == (lines("  ! unknown ") == 0));
        prop_assert_eq!(lines("  + ") + lines("  ~ ") + lines("  - "), plan.steps.len());
        let head = view.to_text().lines().next().unwrap().to_owned();
        for (number, words) in [(plan.held.len(), "held back"), (plan.kept.len(), "as declared"), (plan.foreign.len(), "not ours")] {
            prop_assert_eq!(head.contains(words), number > 0, "{}", head);
            prop_assert!(number == 0 || head.contains(&format!(", {number} ")), "{}", head);
        }
        let json = serde_json::to_string(&view).unwrap();
        prop_assert_eq!(serde_json::from_str::<PlanView>(&json).unwrap(), view);
    }
}

impl World {
    /// As if every step of the plan had succeeded, with every reply giving what was asked.
    fn succeed(&mut self) {
        let at = self.state.zoho_time(self.now);
        for step in self.plan().steps {
            match &step.action {
                Action::TakeOver(spec) => {
                    let record =
                        Record::new(step.id, spec.name.clone(), spec.notify_url.fingerprint());
                    self.records.insert(step.id, record);
                }
                Action::Enable(ask) | Action::Update(ask) | Action::Replace(ask) => {
                    self.write(at, ask)
                }
                Action::RemoveEvents(_, extra) => {
                    let observed = self.seen().get_mut(&step.id).unwrap();
                    observed.events = observed.events.minus(extra);
                }
                Action::Disable => {
                    self.seen().remove(&step.id);
                    self.records.remove(&step.id);
                }
                Action::Forget => {
                    self.records.remove(&step.id);
                }
            }
        }
    }

    fn write(&mut self, at: Timestamp, ask: &Ask) {
        let Ask { spec, expiry, only: _, is_unsaid: _ } = ask;
        let earlier = self.records.get(&spec.id).and_then(|record| record.grant);
        let mut record = Record::new(spec.id, spec.name.clone(), spec.notify_url.fingerprint());
        record.grant = Some(Grant { at, asked: *expiry, expiry: *expiry }.following(earlier));
        self.records.insert(spec.id, record);
        if let Look::Seen { channels, .. } = &mut self.look {
            channels.insert(spec.id, Observed::as_declared(spec, Some(*expiry)));
        }
    }

    /// A channel that lives is written only when its record, or its URL, makes it ours.
    fn may_write(&self, step: &Step) -> bool {
        let record = self.records.get(&step.id);
        let live = match &self.look {
            Look::Seen { channels, .. } => channels.get(&step.id).filter(|seen| self.is_live(seen)),
            Look::Unknown(_) => return record.is_some_and(|record| record.grant.is_some()),
        };
        live.map_or(self.specs.contains_key(&step.id), |live| self.is_ours(step.id, live))
    }

    fn is_ours(&self, id: ChannelId, live: &Observed) -> bool {
        let (record, spec) = (self.records.get(&id), self.specs.get(&id));
        let urls: BTreeSet<Fingerprint> =
            live.notify_urls.iter().map(NotifyUrl::fingerprint).collect();
        record.is_some_and(|record| record.grant.is_some() || urls.contains(&record.notify_url))
            || spec.is_some_and(|spec| urls.contains(&spec.notify_url.fingerprint()))
    }

    fn is_live(&self, seen: &Observed) -> bool {
        seen.expiry.is_none_or(|expiry| expiry > self.state.zoho_time(self.now))
    }

    /// When a declared channel that is recorded is due, and when it is an emergency, by the local
    /// clock. None for one that is gone, a conflict or of unknown life.
    fn edges(&self, id: ChannelId) -> Option<(Timestamp, Timestamp)> {
        let spec = self.specs.get(&id).or_else(|| self.former.get(&id))?;
        let record = self.records.get(&id)?;
        let seen = match &self.look {
            Look::Seen { channels, .. } => {
                channels
                    .get(&id)
                    .filter(|seen| self.is_live(seen) && self.is_ours(id, seen))?
                    .expiry
            }
            Look::Unknown(_) => None,
        };
        let life = Life::of(spec, record.grant, seen)?;
        let due = life.due_at(spec.renew_before, Phase::of(&self.account));
        Some((self.state.local_time(due), self.state.local_time(life.emergency_at())))
    }
}
