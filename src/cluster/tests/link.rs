//! A node's own way to the engine, and its own clock: both stop when the process is stopped.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::{Clock, Sleep, VirtualClock};
use crate::engine::simulated::{Fault, Gate, SimulatedHandle};
use crate::engine::{
    Asked, Change, Committed, Engine, EngineError, EngineStatus, Guard, Hint, Selection, Snapshot,
};
use crate::model::time::Timestamp;

/// Picks commits by what they change.
pub(super) type Which = fn(&Change) -> bool;

/// Whoever breaks a guard in a test puts this between a member and the engine.
pub(super) type Bend = Arc<dyn Fn(&mut Vec<Guard>, &[Change]) + Send + Sync>;

/// The fate of a request on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Weather {
    #[default]
    Fair,
    /// Nothing gets through, in either direction.
    Cut,
    /// Every third request does not arrive.
    LosesRequests,
    /// Every third one is applied, and its answer does not arrive.
    LosesAnswers,
    /// Every third one is applied long after it was given up.
    Late,
    /// Each takes so long, in milliseconds.
    Slow(u64),
    /// No look at the members gets through, and a commit takes so long, in milliseconds.
    Blind(u64),
    /// The engine answers that it cannot.
    Unable,
}

pub(super) struct Link {
    engine: SimulatedHandle,
    clock: Arc<NodeClock>,
    pub(super) weather: Mutex<Weather>,
    pub(super) bend: Mutex<Option<Bend>>,
    /// Commits of these are held up until the engine lands them.
    pub(super) holds: Mutex<Option<Which>>,
    count: AtomicU64,
}

/// The time of one machine.
#[derive(Debug)]
pub(super) struct NodeClock {
    world: Arc<VirtualClock>,
    /// How fast it goes, in percent.
    rate: u32,
    pub(super) gate: Gate,
}

impl NodeClock {
    pub(super) fn new(world: Arc<VirtualClock>, rate: u32) -> NodeClock {
        NodeClock { world, rate, gate: Gate::default() }
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    fn elapsed(&self) -> Duration {
        self.boot()
    }

    fn boot(&self) -> Duration {
        ORIGIN * self.rate + self.world.boot() * self.rate / 100
    }

    fn sleep(&self, length: Duration) -> Sleep<'_> {
        Box::pin(async move {
            self.world.sleep(length * 100 / self.rate).await;
            self.gate.passed().await;
        })
    }
}

impl Link {
    pub(super) fn new(engine: SimulatedHandle, clock: Arc<NodeClock>) -> Link {
        let (weather, bend, holds, count) = Default::default();
        Link { engine, clock, weather, bend, holds, count }
    }

    /// The request on its way. `apply` is done at the engine.
    async fn carry<T: Send + 'static>(
        &self,
        reads: bool,
        apply: impl FnOnce(SimulatedHandle) -> Asked<'static, T> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.clock.gate.passed().await;
        let third = self.count.fetch_add(1, Ordering::SeqCst).is_multiple_of(3);
        let (engine, world) = (self.engine.clone(), self.clock.world.clone());
        let weather = *self.weather.lock().unwrap();
        world.sleep(TRIP).await;
        match weather {
            Weather::Cut => return self.nothing(weather).await,
            Weather::LosesRequests if third => return self.nothing(weather).await,
            Weather::LosesAnswers if third => {
                let _lost = apply(engine).await;
                return self.nothing(weather).await;
            }
            Weather::Late if third => {
                tokio::spawn(async move {
                    world.sleep(LATE).await;
                    apply(engine).await
                });
                return self.nothing(weather).await;
            }
            Weather::Unable => {
                self.clock.gate.passed().await;
                return Err(EngineError::Unable("NOSPACE".to_owned()));
            }
            Weather::Blind(_) if reads => return self.nothing(weather).await,
            Weather::Slow(millis) | Weather::Blind(millis) => {
                world.sleep(Duration::from_millis(millis)).await
            }
            Weather::Fair | Weather::LosesRequests | Weather::LosesAnswers | Weather::Late => {}
        }
        let answer = apply(engine).await;
        world.sleep(TRIP).await;
        if *self.weather.lock().unwrap() == Weather::Cut {
            return self.nothing(weather).await;
        }
        self.clock.gate.passed().await;
        answer
    }

    async fn nothing<T>(&self, weather: Weather) -> Result<T, EngineError> {
        self.clock.sleep(TIME_OUT).await;
        Err(EngineError::Unreachable(format!("{weather:?}")))
    }
}

impl Engine for Link {
    fn range(&self, selections: Vec<Selection>) -> Asked<'_, Snapshot> {
        let is_look =
            |it: &Selection| matches!(it, Selection::Prefix(at) if at.ends_with("/members/"));
        let reads = selections.iter().any(is_look);
        Box::pin(
            self.carry(reads, |engine| Box::pin(async move { engine.range(selections).await })),
        )
    }

    fn commit(&self, mut guards: Vec<Guard>, changes: Vec<Change>) -> Asked<'_, Committed> {
        if let Some(bend) = &*self.bend.lock().unwrap() {
            bend(&mut guards, &changes);
        }
        let is_held = self.holds.lock().unwrap().is_some_and(|holds| changes.iter().any(holds));
        Box::pin(self.carry(false, move |engine| {
            Box::pin(async move {
                if is_held {
                    engine.fault(Fault::Held);
                }
                engine.commit(guards, changes).await
            })
        }))
    }

    fn watch(&self, prefix: String) -> mpsc::Receiver<Hint> {
        self.engine.watch(prefix)
    }

    fn status(&self) -> Asked<'_, EngineStatus> {
        self.engine.status()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// A request's way there, and an answer's way back.
const TRIP: Duration = Duration::from_millis(2);
/// A request of its own is given up by an engine's client after this.
const TIME_OUT: Duration = Duration::from_millis(1500);
const LATE: Duration = Duration::from_secs(7);
/// No two machines were started at the same time.
const ORIGIN: Duration = Duration::from_secs(977);
