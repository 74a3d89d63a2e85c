//! The events of the demo's world, and their times. The script has three days and is then played
//! again.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::cli::narrate::stamp;
use crate::clock::Clock;
use crate::daemon::emptied::Emptied;
use crate::daemon::reload::Reloading;
use crate::model::channel::{AccountName, ChannelId, ChannelName};
use crate::model::time::{Timestamp, after, span};
use crate::simulator::{Fault, Hand, Rule, Zoho};

use super::{DemoStage, world};

const HOUR: Duration = Duration::from_secs(3600);
const LENGTH: Duration = Duration::from_secs(72 * 3600);
/// How long Zoho is down.
const OUTAGE: Duration = Duration::from_secs(7 * 3600);

/// One thing that happens.
#[derive(Clone, Copy)]
enum Scene {
    RemoveEvent,
    DeleteChannel,
    Outage,
    OutageEnds,
    TakeOut,
    PutBack,
}

/// Hours after the beginning, and what happens then.
const SCENES: [(u64, Scene); 6] = [
    (7, Scene::RemoveEvent),
    (20, Scene::DeleteChannel),
    (34, Scene::Outage),
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
            Scene::OutageEnds => {
                self.zoho().clear_faults();
                "Zoho is back".to_owned()
            }
            Scene::TakeOut => self.rewrite(false).await,
            Scene::PutBack => self.rewrite(true).await,
        }
    }

    async fn rewrite(&self, with_leaver: bool) -> String {
        if let Err(error) = std::fs::write(&self.config, world::config(&self.base, with_leaver)) {
            return format!("the config cannot be written: {error}");
        }
        let (answer, answered) = oneshot::channel();
        let asked =
            self.reloads.send(Reloading { emptied: Emptied::Refused, answer }).await.is_ok();
        let reloaded = asked && matches!(answered.await, Ok(Ok(())));
        let what = if with_leaver { "put back into" } else { "taken out of" };
        let how = if reloaded { "and the config is reloaded" } else { "and the reload fails" };
        format!("{} is {what} the config, {how}", world::LEAVER)
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
    // Audits are on the hour, so what a hand does stays for a while.
    let scene =
        |(hours, scene): &(u64, Scene)| (after(begins, HOUR * *hours as u32 + HOUR / 2), *scene);
    SCENES.iter().map(scene).collect()
}

fn derived(account: &str, channel: &str) -> i64 {
    let names: Option<(AccountName, ChannelName)> = account.parse().ok().zip(channel.parse().ok());
    names.map_or(0, |(account, channel)| {
        ChannelId::derived("channelkeeper", &account, &channel).number()
    })
}
