//! Random facts against a model that knows every second.

use proptest::prelude::*;

use super::gap::GapKind;
use super::rules::{Told, at};

const EVENTS: [&str; 2] = ["Deals.edit", "Leads.create"];
/// A life, in seconds of the walk.
const LIFE: i64 = 5000;

/// The next thing that happens.
#[derive(Clone, Debug)]
enum RandomAct {
    Wait(i64),
    Look,
    /// Answered and applied.
    Grant,
    /// Not answered; applied or not.
    Unsure(bool),
    Delete,
    RemoveEvent,
}

fn act() -> impl Strategy<Value = RandomAct> {
    prop_oneof![
        4 => (1..1500_i64).prop_map(RandomAct::Wait),
        1 => (1500..12_000_i64).prop_map(RandomAct::Wait),
        4 => Just(RandomAct::Look),
        2 => Just(RandomAct::Grant),
        2 => any::<bool>().prop_map(RandomAct::Unsure),
        1 => Just(RandomAct::Delete),
        1 => Just(RandomAct::RemoveEvent),
    ]
}

/// The truth, second by second, of the two events.
struct Model {
    told: Told,
    now: i64,
    /// The events that the channel has, and when it ends.
    channel: Option<(Vec<&'static str>, i64)>,
    covered: Vec<[bool; 2]>,
    /// True when a hand took something away since the last look.
    touched: bool,
    looked: i64,
}

impl Model {
    fn wait(&mut self, seconds: i64) {
        for _ in 0..seconds {
            let now = self.now;
            self.channel.take_if(|(_, end)| *end <= now);
            let has = |event: &str| {
                self.channel.as_ref().is_some_and(|(events, _)| events.contains(&event))
            };
            self.covered.push(EVENTS.map(has));
            self.now += 1;
        }
        let now = self.now;
        self.channel.take_if(|(_, end)| *end <= now);
    }

    fn act(&mut self, act: &RandomAct) {
        let all = || EVENTS.to_vec();
        match act {
            RandomAct::Wait(seconds) => self.wait(*seconds),
            RandomAct::Look => {
                self.told.look(
                    self.now,
                    self.channel.as_ref().map(|(events, end)| (events.as_slice(), *end)),
                );
                (self.touched, self.looked) = (false, self.now);
            }
            // A write after a hand that nobody saw heals it without a trace, and a hand after a
            // write in doubt takes away what nobody saw.
            RandomAct::Grant | RandomAct::Unsure(_) if self.touched => self.act(&RandomAct::Look),
            RandomAct::Delete | RandomAct::RemoveEvent if self.told.ledger.doubt.is_some() => {
                self.act(&RandomAct::Look)
            }
            RandomAct::Grant => {
                self.told.granted(self.now, self.now, self.now + LIFE);
                self.channel = Some((all(), self.now + LIFE));
            }
            RandomAct::Unsure(applied) => {
                self.told.ledger.intend(at(self.now), at(self.now + LIFE));
                if *applied {
                    self.channel = Some((all(), self.now + LIFE));
                }
            }
            RandomAct::Delete => {
                self.touched |= self.channel.take().is_some();
            }
            RandomAct::RemoveEvent => {
                if let Some((events, _)) = &mut self.channel {
                    events.retain(|event| *event != EVENTS[0]);
                    self.touched = true;
                }
            }
        }
    }

    fn check(&self) {
        for (index, event) in EVENTS.iter().enumerate() {
            let gaps: Vec<_> = self.told.ledger.gaps(at(self.looked)).into_iter().collect();
            let begins = self.told.ledger.tracks[index].since.as_second();
            for second in begins..self.looked {
                let here = |gap: &&super::Gap| {
                    format!("{}.{}", gap.module, gap.operation.as_str()) == *event
                        && gap.from <= at(second)
                        && gap.to.is_none_or(|to| at(second) < to)
                };
                let near = (second - 1..=second + 1).map(|second| {
                    self.covered
                        .get(usize::try_from(second).unwrap_or(0))
                        .is_none_or(|covered| covered[index])
                });
                let near: Vec<bool> = near.collect();
                match gaps.iter().find(here) {
                    None => assert!(
                        near.contains(&true),
                        "{event} at {second}: a gap is taken for covered"
                    ),
                    Some(gap) if gap.kind == GapKind::Uncovered => {
                        assert!(
                            near.contains(&false),
                            "{event} at {second}: covered, and said not to be: {gap:?}"
                        );
                    }
                    Some(_) => {}
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_gap_is_taken_for_covered_and_no_covered_second_for_uncovered(acts in prop::collection::vec(act(), 1..40)) {
        let told = Told::new(&EVENTS);
        let (channel, covered) = (None, Vec::new());
        let mut model = Model { told, now: 0, channel, covered, touched: false, looked: 0 };
        acts.iter().for_each(|act| model.act(act));
        model.act(&RandomAct::Look);
        model.check();
    }
}
