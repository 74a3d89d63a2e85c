//! The reports that machines tell each other, so that each of them shows everything.
//!
//! A machine tells the report of each account that it serves, as soon as it changes and at most
//! every [`TOLD_EVERY`], and the troubles that are its own. It reads those of the others, and hands
//! them to the scheduler for the overview. Nothing is decided from them: the account that is shown
//! is served by its owner, whatever anybody shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::backfill::Standing;
use crate::clock::Clock;
use crate::cluster::MemberId;
use crate::cluster::told::{News, Shelf, Told, tell};
use crate::engine::EngineError;
use crate::expose::health;
use crate::expose::overview::{MachineTroubles, OtherAccount, Others, Overview};
use crate::model::channel::AccountName;
use crate::model::desired::AccountDesired;
use crate::reconcile::report::{AccountReport, ToldReport};

use super::fleet::Fleet;
use super::machines::MachinesDoor;
use super::scheduler::{Links, Message, chain};

/// The task.
pub(super) struct Reports {
    links: Links,
    door: MachinesDoor,
    clock: Arc<dyn Clock>,
    /// The last words about accounts here, and when they were told.
    told: BTreeMap<AccountName, (Here, Duration)>,
    told_troubles: MachineTroubles,
    reports: Shelf,
    troubles: Shelf,
    /// The words of others.
    others: Others,
    /// The declarations by which that was read.
    fleet: Arc<Fleet>,
}

/// An account that is served here.
#[derive(Clone)]
struct Here {
    report: Arc<AccountReport>,
    recoveries: Option<Standing>,
}

/// The same, as it is told.
#[derive(Serialize, Deserialize)]
struct ToldAccount {
    #[serde(flatten)]
    report: ToldReport,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recoveries: Option<Standing>,
}

impl Here {
    fn told(&self) -> ToldAccount {
        let Here { report, recoveries } = self;
        ToldAccount { report: ToldReport::of(report), recoveries: recoveries.clone() }
    }
}

impl PartialEq for Here {
    /// A report that is another one may say the same, and is told all the same: a look was made.
    fn eq(&self, other: &Here) -> bool {
        Arc::ptr_eq(&self.report, &other.report) && self.recoveries == other.recoveries
    }
}

impl Reports {
    pub(super) fn new(links: &Links, door: MachinesDoor, clock: Arc<dyn Clock>) -> Reports {
        let shelf = |prefix| Shelf::new(door.engine.clone(), prefix);
        Reports {
            reports: shelf(door.keys.reports()),
            troubles: shelf(door.keys.all_troubles()),
            links: links.clone(),
            clock,
            told: BTreeMap::new(),
            told_troubles: MachineTroubles::default(),
            others: Others::default(),
            fleet: links.fleet.borrow().clone(),
            door,
        }
    }

    /// Tells and hears until `closing`.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        tokio::select! {
            () = closing.cancelled() => {}
            () = self.turns() => {}
        }
    }

    async fn turns(&mut self) {
        let prefix = self.door.keys.reports();
        let mut hints = self.door.engine.watch(prefix.clone());
        let (mut overview, mut fleet) = (self.links.overview.clone(), self.links.fleet.clone());
        let clock = self.clock.clone();
        let mut look = clock.sleep(Duration::ZERO);
        let mut heard = Heard::All;
        loop {
            let me = self.door.view.borrow().me.clone();
            if let Some(me) = me {
                match self.turn(&me, std::mem::take(&mut heard)).await {
                    Ok(()) => {}
                    Err(error) => {
                        debug!(error = chain(&error), "what machines tell each other waits");
                        heard = Heard::All;
                    }
                }
            }
            clock.sleep(BREATH).await;
            tokio::select! {
                Some(hint) = hints.recv() => heard.add(hint.key, &prefix),
                Ok(()) = overview.changed() => {}
                Ok(()) = fleet.changed() => heard = Heard::All,
                () = &mut look => (look, heard) = (clock.sleep(LOOK_EVERY), Heard::All),
            }
            while let Ok(hint) = hints.try_recv() {
                heard.add(hint.key, &prefix);
            }
        }
    }

    async fn turn(&mut self, me: &MemberId, heard: Heard) -> Result<(), EngineError> {
        let overview = self.links.overview.borrow().clone();
        self.tell_reports(me, &overview).await?;
        self.tell_troubles(me, &overview).await?;
        self.hear(me, heard, &overview).await
    }

    async fn tell_reports(
        &mut self,
        me: &MemberId,
        overview: &Overview,
    ) -> Result<(), EngineError> {
        let now = self.clock.boot();
        self.told.retain(|name, _| overview.accounts.contains_key(name));
        let is_due = |name: &AccountName, here: &Here| {
            self.told
                .get(name)
                .is_none_or(|(told, at)| told != here && now.saturating_sub(*at) >= TOLD_EVERY)
        };
        let due = overview.accounts.iter().filter_map(|(name, report)| {
            let recoveries = overview.recoveries.get(name).filter(|it| !it.is_empty()).cloned();
            let here = Here { report: report.clone()?, recoveries };
            is_due(name, &here).then(|| (name.clone(), here))
        });
        let due: BTreeMap<AccountName, Here> = due.collect();
        let values = due.iter().map(|(name, here)| (self.door.keys.report(name), here.told()));
        let (engine, keys) = (&*self.door.engine, &self.door.keys);
        let too_large = tell(engine, keys, me, values.collect()).await?;
        for name in too_large.iter().filter_map(|key| keys.report_of(key)) {
            warn!(account = %name, "the account has too many channels for other machines to show them");
        }
        self.told.extend(due.into_iter().map(|(name, here)| (name, (here, now))));
        Ok(())
    }

    async fn tell_troubles(
        &mut self,
        me: &MemberId,
        overview: &Overview,
    ) -> Result<(), EngineError> {
        let age = self.links.pulse.age(&*self.clock);
        let troubles = health::troubles_of_machine(overview, age, self.clock.now());
        if troubles == self.told_troubles {
            return Ok(());
        }
        let values = [(self.door.keys.troubles(me), troubles.clone())].into();
        tell(&*self.door.engine, &self.door.keys, me, values).await?;
        self.told_troubles = troubles;
        Ok(())
    }

    /// Takes in what the others tell, and hands it on when it is another than before.
    async fn hear(
        &mut self,
        me: &MemberId,
        heard: Heard,
        overview: &Overview,
    ) -> Result<(), EngineError> {
        let fleet = self.links.fleet.borrow().clone();
        let keys: Vec<String> = self.declared_anew(&fleet);
        self.reports.forget(keys.iter());
        let (news, troubles): (News<ToldAccount>, News<MachineTroubles>) = match heard {
            Heard::Some(keys) => (self.reports.news_of(keys).await?, News::new()),
            Heard::All => (self.reports.news().await?, self.troubles.news().await?),
        };
        let mut is_other = !news.is_empty() || !troubles.is_empty();
        for (key, told) in news {
            if let Some(name) = self.door.keys.report_of(&key) {
                self.heard(me, name, told, &fleet, overview);
            }
        }
        for (key, told) in troubles {
            let member = self.door.keys.troubles_of(&key).filter(|member| member != me);
            let Some(member) = member.map(|member| member.to_string()) else { continue };
            match told.filter(|told| !told.value.lines.is_empty()) {
                Some(Told { value, .. }) => self.others.troubles.insert(member, value),
                None => self.others.troubles.remove(&member),
            };
        }
        is_other |= self.keep_what_is_elsewhere(&fleet) | self.keep_who_is_there();
        self.fleet = fleet;
        if is_other {
            let others = Arc::new(self.others.clone());
            // Nobody is shown anything once the daemon stops.
            let _stopping = self.links.wakes.0.send(Message::Others(others)).await.is_err();
        }
        Ok(())
    }

    fn heard(
        &mut self,
        me: &MemberId,
        name: AccountName,
        told: Option<Told<ToldAccount>>,
        fleet: &Fleet,
        overview: &Overview,
    ) {
        if overview.accounts.contains_key(&name) {
            // A former owner's last word came after ours.
            if told.is_some_and(|told| told.by != *me) {
                self.told.remove(&name);
            }
            return;
        }
        let specs = match fleet.elsewhere.get(&name) {
            Some(declared) => Some(&declared.specs),
            // It cannot be worked on here, and its declaration is not known.
            None if fleet.unusable.contains_key(&name) => None,
            None => return,
        };
        let other = told.map(|Told { by, value }| OtherAccount {
            machine: by.node,
            report: Arc::new(value.report.into_report(&name, specs)),
            recoveries: value.recoveries,
        });
        self.others.accounts.insert(name, other);
    }

    /// The keys of the accounts elsewhere whose declaration is another than when they were heard
    /// of.
    fn declared_anew(&self, fleet: &Arc<Fleet>) -> Vec<String> {
        if Arc::ptr_eq(&self.fleet, fleet) {
            return Vec::new();
        }
        let is_new = |(name, declared): &(&AccountName, &AccountDesired)| {
            self.fleet.elsewhere.get(*name).is_none_or(|known| known.specs != declared.specs)
        };
        let anew = fleet.elsewhere.iter().filter(is_new);
        anew.map(|(name, _)| self.door.keys.report(name)).collect()
    }

    /// Nothing is shown of a machine that is gone. Says whether that changes anything.
    fn keep_who_is_there(&mut self) -> bool {
        let known = self.others.troubles.len();
        let view = self.door.view.borrow();
        let members: BTreeSet<String> = view.members.keys().map(ToString::to_string).collect();
        self.others.troubles.retain(|member, _| members.contains(member));
        known != self.others.troubles.len()
    }

    /// Every account elsewhere is there, and no other. Says whether that changes anything.
    fn keep_what_is_elsewhere(&mut self, fleet: &Arc<Fleet>) -> bool {
        if Arc::ptr_eq(&self.fleet, fleet) && !self.others.accounts.is_empty() {
            return false;
        }
        let known = self.others.accounts.len();
        let is_elsewhere = |name: &AccountName| {
            fleet.elsewhere.contains_key(name) || fleet.unusable.contains_key(name)
        };
        self.others.accounts.retain(|name, _| is_elsewhere(name));
        let kept = self.others.accounts.len();
        for name in fleet.elsewhere.keys().chain(fleet.unusable.keys()) {
            self.others.accounts.entry(name.clone()).or_default();
        }
        kept != known || kept != self.others.accounts.len()
    }
}

/// The reports of which it is known that they may be others.
enum Heard {
    /// Those with these keys.
    Some(BTreeSet<String>),
    /// Any of them.
    All,
}

impl Default for Heard {
    fn default() -> Heard {
        Heard::Some(BTreeSet::new())
    }
}

impl Heard {
    /// Takes in a hint. The prefix itself says that hints may have been lost.
    fn add(&mut self, key: String, prefix: &str) {
        match self {
            Heard::Some(_) if key == prefix => *self = Heard::All,
            Heard::Some(keys) => drop(keys.insert(key)),
            Heard::All => {}
        }
    }
}

/// A report that changes again is told so often.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// From one turn to the next at least: passes end by the hundred.
const BREATH: Duration = Duration::from_millis(500);
/// From one look at what others tell to the next, when no hint comes.
const LOOK_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::VirtualClock;
    use crate::daemon::alerts::tests::{door, links, member};
    use crate::engine::simulated::SimulatedEngine;
    use crate::engine::{Change, Engine};
    use crate::expose::testing::{converged, hours};
    use crate::model::desired::{Desired, Settings};
    use tokio::sync::watch;

    #[tokio::test(start_paused = true)]
    async fn another_s_word_about_one_s_own_account_is_followed_by_one_s_own() {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(hours(0), 1));
        let handle = SimulatedEngine::new().handle(clock.clone());
        let door = door(&handle, &clock);
        let (keys, overview) = (door.keys.clone(), converged(1));
        let name = overview.accounts.keys().next().unwrap().clone();
        let desired = Desired { settings: Settings::default(), accounts: BTreeMap::new() };
        let fleet = Arc::new(Fleet::declared(desired, BTreeMap::new()));
        let links = links(watch::channel(Arc::new(overview.clone())).1, watch::channel(fleet).1);
        let there = ["me", "two"].map(|node| Change::Put(keys.member(&member(node)), Vec::new()));
        handle.commit(Vec::new(), there.into()).await.unwrap();
        let mut reports = Reports::new(&links, door, clock.clone());
        reports.turn(&member("me"), Heard::All).await.unwrap();
        let report = overview.accounts[&name].clone().unwrap();
        let theirs = Here { report, recoveries: None }.told();
        let values = [(keys.report(&name), theirs)].into();
        tell(&handle, &keys, &member("two"), values).await.unwrap();
        let mut shelf = Shelf::new(Arc::new(handle.clone()), keys.reports());
        let mut by = Vec::new();
        for _ in 0..2 {
            clock.sleep(TOLD_EVERY).await;
            reports.turn(&member("me"), Heard::All).await.unwrap();
            let news: News<ToldAccount> = shelf.news().await.unwrap();
            by.extend(news.into_values().flatten().map(|told| told.by.node));
        }
        assert_eq!(by, ["two", "me"]);
    }
}
