//! The events of the demo's world, and their times. The script has three days and is then played
//! again.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::cli::narrate::stamp;
use crate::clock::Clock;
use crate::daemon::generations::Proposing;
use crate::daemon::reload::Reloading;
use crate::model::time::{Timestamp, after, span};
use crate::plan::render::counted;
use crate::simulator::{Fault, Hand, Missed, Rule, Zoho};

use super::world::derived;
use super::{DemoStage, world};

const HOUR: Duration = Duration::from_secs(3600);
const LENGTH: Duration = Duration::from_secs(72 * 3600);
/// How often the daemon is asked to read its config until it has.
const RELOADS_MAX: usize = 20;
/// How long Zoho is down.
const OUTAGE: Duration = Duration::from_secs(7 * 3600);

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scene {
    RemoveEvent,
    DeleteChannel,
    Outage,
    LoseChannel,
    OutageEnds,
    TakeOut,
    PutBack,
}

/// Hours after the beginning, and what happens then.
const SCENES: [(u32, Scene); 7] = [
    (7, Scene::RemoveEvent),
    (20, Scene::DeleteChannel),
    (34, Scene::Outage),
    (36, Scene::LoseChannel),
    (41, Scene::OutageEnds),
    (55, Scene::TakeOut),
    (68, Scene::PutBack),
];

/// Plays the script.
pub(super) struct Director {
    zoho: Arc<Mutex<Zoho>>,
    clock: Arc<dyn Clock>,
    begins: Timestamp,
    config: std::path::PathBuf,
    base: String,
    reloads: mpsc::Sender<Reloading>,
    ends: Option<Timestamp>,
}

impl Director {
    pub(super) fn new(
        stage: &DemoStage,
        reloads: mpsc::Sender<Reloading>,
        days: Option<u32>,
    ) -> Director {
        Director {
            zoho: stage.zoho.clone(),
            clock: stage.clock.clone(),
            begins: stage.begins,
            config: stage.config.clone(),
            base: stage.base.clone(),
            reloads,
            ends: days.map(|days| after(stage.begins, HOUR * 24 * days)),
        }
    }

    /// Plays until the last day is over.
    pub(super) async fn direct(self, lines: mpsc::Sender<String>) {
        for scene in 0_u32.. {
            for (at, scene) in acts(after(self.begins, LENGTH * scene)) {
                if self.ends.is_some_and(|ends| at >= ends) {
                    return self.wait_until(self.ends.unwrap_or(at)).await;
                }
                self.wait_until(at).await;
                let line = format!("{} ** {}", stamp(self.begins, at), self.play(scene).await);
                if lines.send(line).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn wait_until(&self, at: Timestamp) {
        self.clock.sleep(span(self.clock.now(), at)).await;
    }

    async fn play(&self, scene: Scene) -> String {
        match scene {
            Scene::RemoveEvent => {
                let channel = derived("acme", "deal-sync");
                self.hand("acme", &Hand::RemoveEvent { channel, event: "Deals.edit".to_owned() });
                "somebody removes Deals.edit from deal-sync at Zoho".to_owned()
            }
            Scene::DeleteChannel => {
                self.hand("initech", &Hand::Delete { channel: derived("initech", "support") });
                "somebody deletes support at Zoho".to_owned()
            }
            Scene::Outage => {
                let rule = Rule { times: None, ..Rule::always(Fault::Unavailable) };
                self.zoho().add_fault(rule);
                format!(
                    "Zoho is down: every call is answered with 503, for {} hours",
                    OUTAGE.as_secs() / 3600
                )
            }
            Scene::LoseChannel => {
                let channel = derived("acme", world::LOST);
                self.hand("acme", &Hand::Delete { channel });
                format!("Zoho, still down, loses {} in silence", world::LOST)
            }
            Scene::OutageEnds => self.come_back(),
            Scene::TakeOut => self.rewrite(false).await,
            Scene::PutBack => self.rewrite(true).await,
        }
    }

    fn come_back(&self) -> String {
        let mut zoho = self.zoho();
        zoho.clear_faults();
        let channel = derived("acme", world::LOST);
        let (since, _) = while_lost(self.begins, self.clock.now());
        let is_of = |line: &&Missed| line.channel == channel && line.at >= since;
        let missed = zoho.missed("acme").iter().filter(is_of).count();
        let events = counted(missed, "event");
        format!("Zoho is back, and has told nobody of {events} of {} meanwhile", world::LOST)
    }

    async fn rewrite(&self, with_leaver: bool) -> String {
        if let Err(error) = std::fs::write(&self.config, world::config(&self.base, with_leaver)) {
            return format!("the config cannot be written: {error}");
        }
        let mut reloaded = false;
        // A minute, which reading may take at most, is few milliseconds here.
        for _ in 0..RELOADS_MAX {
            reloaded = reloaded || self.reload().await;
        }
        let what = if with_leaver { "put back into" } else { "taken out of" };
        let how = if reloaded { "and the config is reloaded" } else { "and the reload fails" };
        format!("{} is {what} the config, {how}", world::LEAVER)
    }

    async fn reload(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        let reloading = Reloading { proposing: Proposing::RELOAD, answer };
        self.reloads.send(reloading).await.is_ok() && matches!(answered.await, Ok(Ok(())))
    }

    fn hand(&self, org: &str, hand: &Hand) {
        let now = self.clock.now();
        // A channel that is not there (the demo was told to run at a speed it cannot hold) needs no
        // hand.
        let _done = self.zoho().hand(org, hand, now);
    }

    fn zoho(&self) -> std::sync::MutexGuard<'_, Zoho> {
        self.zoho.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The script of one round, in order.
fn acts(begins: Timestamp) -> Vec<(Timestamp, Scene)> {
    SCENES.iter().map(|(hours, scene)| (after(begins, into_round(*hours)), *scene)).collect()
}

/// Audits are on the hour, so what a hand does stays for a while.
fn into_round(hours: u32) -> Duration {
    HOUR * hours + HOUR / 2
}

/// From when to when Zoho has a channel lost, in the round that `at` is in.
pub(super) fn while_lost(begins: Timestamp, at: Timestamp) -> (Timestamp, Timestamp) {
    between([Scene::LoseChannel, Scene::OutageEnds], begins, at)
}

/// From when to when the config lacks the leaver, in the round that `at` is in.
pub(super) fn while_out(begins: Timestamp, at: Timestamp) -> (Timestamp, Timestamp) {
    between([Scene::TakeOut, Scene::PutBack], begins, at)
}

fn between(scenes: [Scene; 2], begins: Timestamp, at: Timestamp) -> (Timestamp, Timestamp) {
    let rounds = span(begins, at).as_secs() / LENGTH.as_secs();
    let acts = acts(after(begins, LENGTH * rounds as u32));
    let time = |scene| acts.iter().find(|(_, known)| *known == scene).map_or(at, |(time, _)| *time);
    let [first, last] = scenes;
    (time(first), time(last))
}
