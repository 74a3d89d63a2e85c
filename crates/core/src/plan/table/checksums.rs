//! The differences that change a plan's checksum, and those that do not.

use super::super::checksum::checksum;
use super::*;
use crate::model::rotation::Rotation;

impl World {
    fn checksum(&self) -> String {
        checksum(&[self.plan()])
    }
}

#[test]
fn a_second_later_the_same_plan_has_the_same_checksum() {
    let mut world = World::empty();
    world.declare(1);
    let earlier = world.checksum();
    let asked = world.plan().steps[0].action.ask().unwrap().expiry;
    world.now = after(world.now, SECOND);
    assert_ne!(world.plan().steps[0].action.ask().unwrap().expiry, asked);
    assert_eq!(world.checksum(), earlier);
    assert_eq!(earlier.len(), 12);
}

#[test]
fn whatever_would_be_written_or_is_its_reason_is_in_the_checksum() {
    let mut world = World::converged(2);
    world.now = hours(13);
    let renewals = world.checksum();
    let changed = |change: &dyn Fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        world.checksum()
    };
    let others = [
        changed(&|world| world.account = "globex".parse().unwrap()),
        changed(&|world| world.declare(3)),
        changed(&|world| world.spec(1).token = Some(Secret::from("other"))),
        changed(&|world| {
            world.spec(1).notify_url = NotifyUrl::new("https://hooks.example.com/zoho?key=1")
        }),
        changed(&|world| world.lose(1)),
        changed(&|world| world.observed(1).events = ["Deals.create"].into_iter().collect()),
        changed(&|world| world.observed(1).events = ["Deals.edit"].into_iter().collect()),
        changed(&|world| world.retire(1)),
        changed(&|world| world.policy.mode = Mode::Observe),
        changed(&|world| world.now = hours(23)),
    ];
    for (place, other) in others.iter().enumerate() {
        assert_ne!(*other, renewals, "{place}");
        assert!(!others[..place].contains(other), "{place} is as one before it");
    }
}

#[test]
fn the_whole_of_what_a_missing_channel_would_be_given_is_in_the_checksum() {
    let mut world = World::converged(1);
    world.lose(1);
    let missing = world.checksum();
    let changed = |change: &dyn Fn(&mut Spec)| {
        let mut world = world.clone();
        change(world.spec(1));
        world.checksum()
    };
    let token = |token: &str| Some(Secret::from(token));
    let rotation = || Some(Rotation::new(Secret::from("a key of thirty-two characters.."), WEEK));
    let others = [
        changed(&|spec| spec.events = ["Deals.create"].into_iter().collect()),
        changed(&|spec| spec.lifetime = 2 * HOUR),
        changed(&|spec| spec.token = token("other")),
        changed(&|spec| (spec.token, spec.rotation) = (token("one generation"), rotation())),
        changed(&|spec| (spec.token, spec.rotation) = (token("the next one"), rotation())),
    ];
    for (place, other) in others.iter().enumerate() {
        assert_ne!(*other, missing, "{place}");
        assert!(!others[..place].contains(other), "{place} is as one before it");
    }
}

#[test]
fn what_is_held_or_kept_or_foreign_is_not_in_the_checksum() {
    let mut world = World::converged(1);
    let nothing = world.checksum();
    world.declare(2);
    world.enable(2);
    world.declare(3);
    world.spec(3).mode = Mode::Observe;
    assert_eq!((world.checksum(), world.plan().held.len()), (nothing, 1));
}
