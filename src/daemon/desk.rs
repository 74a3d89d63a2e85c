//! Where verbs are answered: by a running daemon for whoever asks over its socket, and by the
//! command itself while no daemon holds the store. Both have a scheduler behind the desk, which
//! makes the passes; that of a command makes those only that the command asks for.
//!
//! A verb that changes something writes a fact into the store, or puts the config in force, and
//! asks for passes. Its answer holds everything that passes did since it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};

use crate::backfill::Standing;
use crate::clock::Clock;
use crate::expose::overview::{LoopAge, Overview};
use crate::expose::status::StatusView;
use crate::expose::summary::Summary;
use crate::model::channel::AccountName;
use crate::model::time::{after, whole_seconds};
use crate::plan::explain::Explanation;
use crate::plan::render::PlansView;
use crate::reconcile::report;
use crate::store::{Store, StoreError};

use super::actions::{self, VerbError};
use super::choose::Chosen;
use super::emptied::Emptied;
use super::fleet::Fleet;
use super::generations::Proposing;
use super::machines::MachinesDoor;
use super::recover;
use super::recoveries::{self, RecoverRequest, RecoveriesRequest, RecoveryView, SettleRequest};
use super::reload::{Fresh, Reader, Reloading};
use super::requests::{
    AckRequest, AdoptRequest, ApplyRequest, ExplainRequest, GapsRequest, PauseRequest, PlanRequest,
    ReloadRequest, RenewRequest, ResumeRequest, SlackRequest, StatusRequest, SummaryRequest, Which,
};
use super::scheduler::{Links, PassReports};
use super::slack;
use super::spread;
use super::views::{Acked, Applied, GapReport, PauseView, Resumed};

/// The parts that verbs are answered from.
#[derive(Clone)]
pub struct Desk {
    /// The scheduler.
    pub links: Links,
    /// The memory.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The config file.
    pub reader: Arc<Reader>,
    /// Puts it in force.
    pub reloads: mpsc::Sender<Reloading>,
    /// Whose it is.
    pub host: Host,
    /// The machines that share the accounts, where there are others.
    pub machines: Option<MachinesDoor>,
}

/// Whose a desk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// A daemon's, which holds the channels.
    Daemon,
    /// A command's: nobody holds them.
    Command,
}

/// The use that a verb makes of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Reads it, if there is one.
    Look,
    /// Writes it, and begins one if need be.
    Write,
    /// The same, of what is declared: where no daemon has put the config in force, the command
    /// does first.
    Change,
}

/// The event that an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// Nothing: it is made from memory.
    Nothing,
    /// Looks and writes at Zoho.
    Zoho,
}

/// Something that can be asked: the type is the body of the request.
pub trait Verb: Serialize + DeserializeOwned + Send + 'static {
    /// The answer.
    type Answer: Serialize + DeserializeOwned + Send;
    /// Where the socket takes it: with GET what is made from memory, unless it changes something.
    const PATH: &'static str;
    /// The use that it makes of the store.
    const USE: Use;
    /// The event that its answer waits for.
    const WAITS_FOR: WaitsFor;

    /// The answer of this machine.
    fn answer(self, desk: &Desk) -> impl Future<Output = Result<Self::Answer, VerbError>> + Send;

    /// The answer to a person: that of all machines together, where several share the accounts.
    fn asked(self, desk: &Desk) -> impl Future<Output = Result<Self::Answer, VerbError>> + Send {
        self.answer(desk)
    }
}

impl Verb for StatusRequest {
    type Answer = StatusView;
    const PATH: &'static str = "/status";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<StatusView, VerbError> {
        Ok(StatusView::of(&*desk.overview()?, desk.loop_age(), desk.clock.now()))
    }
}

impl Verb for SummaryRequest {
    type Answer = Summary;
    const PATH: &'static str = "/summary";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<Summary, VerbError> {
        Ok(Summary::of(&*desk.overview()?, desk.loop_age(), desk.clock.now()))
    }
}

impl Verb for SlackRequest {
    type Answer = slack::Channels;
    const PATH: &'static str = "/slack";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<slack::Channels, VerbError> {
        Ok(slack::held(&desk.store)?)
    }
}

impl Verb for GapsRequest {
    type Answer = Vec<GapReport>;
    const PATH: &'static str = "/gaps";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<Vec<GapReport>, VerbError> {
        actions::gaps(&desk.fleet(), &desk.store, &self, desk.clock.now())
    }

    async fn asked(self, desk: &Desk) -> Result<Vec<GapReport>, VerbError> {
        spread::answered(self, desk).await
    }
}

impl Verb for AckRequest {
    type Answer = Vec<Acked>;
    const PATH: &'static str = "/gaps/ack";
    const USE: Use = Use::Write;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<Vec<Acked>, VerbError> {
        let fleet = desk.fleet();
        let acked = actions::ack(&fleet, &desk.store, &self, desk.clock.now()).await?;
        // A daemon's pass counts the gaps that are left; until then `status` shows the old count.
        let accounts: BTreeSet<&str> = match desk.host {
            Host::Daemon => acked.iter().map(|one| one.account.as_str()).collect(),
            Host::Command => BTreeSet::new(),
        };
        for account in fleet.subjects.keys().filter(|name| accounts.contains(name.as_str())) {
            desk.links.wakes.wake(Some(account.clone()), "gaps ack").await;
        }
        Ok(acked)
    }

    async fn asked(self, desk: &Desk) -> Result<Vec<Acked>, VerbError> {
        spread::answered(self, desk).await
    }
}

impl Verb for RecoveriesRequest {
    type Answer = Vec<RecoveryView>;
    const PATH: &'static str = "/backfill";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<Vec<RecoveryView>, VerbError> {
        Ok(recoveries::recoveries(&desk.fleet(), &desk.store)?)
    }

    async fn asked(self, desk: &Desk) -> Result<Vec<RecoveryView>, VerbError> {
        spread::answered(self, desk).await
    }
}

impl Verb for RecoverRequest {
    type Answer = ();
    const PATH: &'static str = "/backfill/recover";
    const USE: Use = Use::Change;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<(), VerbError> {
        recover::recover(&desk.fleet(), &desk.store, &self, desk.clock.now()).await?;
        desk.links.asked.notify_one();
        Ok(())
    }

    async fn asked(self, desk: &Desk) -> Result<(), VerbError> {
        spread::answered(self, desk).await
    }
}

impl Verb for SettleRequest {
    type Answer = ();
    const PATH: &'static str = "/backfill/settle";
    const USE: Use = Use::Write;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<(), VerbError> {
        recover::settle(&desk.store, &self).await?;
        desk.links.asked.notify_one();
        Ok(())
    }

    async fn asked(self, desk: &Desk) -> Result<(), VerbError> {
        spread::answered(self, desk).await
    }
}

/// The steps that `apply` would take. The config file is read afresh and not put in force.
impl Verb for PlanRequest {
    type Answer = PlansView;
    const PATH: &'static str = "/plan";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<PlansView, VerbError> {
        let window = &desk.links.window;
        actions::plan_views(&desk.read().await?, &desk.store, &self.0, window).await
    }

    async fn asked(self, desk: &Desk) -> Result<PlansView, VerbError> {
        spread::answered(self, desk).await
    }
}

/// The explanation of one channel of that same plan.
impl Verb for ExplainRequest {
    type Answer = Explanation;
    const PATH: &'static str = "/explain";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<Explanation, VerbError> {
        actions::explain(&desk.read().await?, &desk.store, &self.channel).await
    }

    async fn asked(self, desk: &Desk) -> Result<Explanation, VerbError> {
        spread::answered(self, desk).await
    }
}

impl Verb for ApplyRequest {
    type Answer = Vec<Applied>;
    const PATH: &'static str = "/apply";
    const USE: Use = Use::Write;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<Vec<Applied>, VerbError> {
        if let Some(wanted) = &self.plan {
            let made = PlanRequest(self.which.clone()).answer(desk).await?.checksum;
            actions::expect_plan(&made, wanted)?;
        }
        // The passes that a reload leads to are heard as well.
        let heard = desk.listen().await?;
        desk.reload(self.proposing()).await?;
        desk.carry_out(&self, &heard).await
    }

    async fn asked(self, desk: &Desk) -> Result<Vec<Applied>, VerbError> {
        spread::applied(self, desk).await
    }
}

impl Verb for ReloadRequest {
    type Answer = ();
    const PATH: &'static str = "/reload";
    const USE: Use = Use::Write;
    const WAITS_FOR: WaitsFor = WaitsFor::Nothing;

    async fn answer(self, desk: &Desk) -> Result<(), VerbError> {
        desk.reload(Proposing::RELOAD).await
    }
}

impl Verb for RenewRequest {
    type Answer = Vec<Applied>;
    const PATH: &'static str = "/renew";
    const USE: Use = Use::Change;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<Vec<Applied>, VerbError> {
        let heard = desk.listen().await?;
        actions::ask_renewal(&desk.fleet(), &desk.store, &self.0, desk.clock.now()).await?;
        desk.passes("renew", &self.0, &heard).await
    }

    async fn asked(self, desk: &Desk) -> Result<Vec<Applied>, VerbError> {
        spread::answered(self, desk).await
    }
}

impl Verb for AdoptRequest {
    type Answer = Vec<Applied>;
    const PATH: &'static str = "/adopt";
    const USE: Use = Use::Change;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<Vec<Applied>, VerbError> {
        let heard = desk.listen().await?;
        actions::adopt(&desk.fleet(), &desk.store, &self.channel).await?;
        let which = Which { account: None, channel: Some(self.channel) };
        desk.passes("adopt", &which, &heard).await
    }

    async fn asked(self, desk: &Desk) -> Result<Vec<Applied>, VerbError> {
        spread::answered(self, desk).await
    }
}

impl Verb for PauseRequest {
    type Answer = Vec<PauseView>;
    const PATH: &'static str = "/pause";
    const USE: Use = Use::Change;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<Vec<PauseView>, VerbError> {
        let target = desk.fleet().target(self.target.as_ref())?;
        let now = desk.clock.now();
        let length = self.seconds.map(Duration::from_secs);
        let until = length.map(|length| whole_seconds(after(now, length)));
        actions::pause(&desk.store, &target, now, until).await?;
        // Where nobody holds the channels there is nobody to be told, and nothing to look at.
        if desk.host == Host::Daemon {
            let heard = desk.listen().await?;
            desk.passes("pause", &Which::of(&target), &heard).await?;
        }
        let overview = desk.overview()?;
        let names = target.accounts.keys();
        let reports = names.filter_map(|name| overview.accounts.get(name)?.as_deref());
        Ok(reports.map(|report| PauseView::of(report, &target, until)).collect())
    }

    async fn asked(self, desk: &Desk) -> Result<Vec<PauseView>, VerbError> {
        spread::answered(self, desk).await
    }
}

impl Verb for ResumeRequest {
    type Answer = Resumed;
    const PATH: &'static str = "/resume";
    const USE: Use = Use::Change;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<Resumed, VerbError> {
        let target = desk.fleet().target(self.target.as_ref())?;
        let heard = desk.listen().await?;
        let resumed = actions::resume(&desk.store, &target, desk.clock.now()).await?;
        if resumed.is_empty() {
            return Ok(Resumed { resumed, applied: Vec::new() });
        }
        let applied = desk.passes("resume", &Which::of(&target), &heard).await?;
        Ok(Resumed { resumed, applied })
    }

    async fn asked(self, desk: &Desk) -> Result<Resumed, VerbError> {
        spread::answered(self, desk).await
    }
}

impl Which {
    /// The accounts of a target: one, or all.
    fn of(target: &Chosen) -> Which {
        let only = target.accounts.keys().next().filter(|_| target.accounts.len() == 1);
        Which { account: only.map(ToString::to_string), channel: None }
    }
}

impl Desk {
    /// The fleet in force.
    pub(super) fn fleet(&self) -> Arc<Fleet> {
        self.links.fleet.borrow().clone()
    }

    /// The fleet of the file as it stands now, which is not put in force.
    pub(super) async fn read(&self) -> Result<Fleet, VerbError> {
        Ok(self.read_fresh(Emptied::Refused).await?.fleet)
    }

    /// The file as it stands now, which is not put in force.
    pub(super) async fn read_fresh(&self, emptied: Emptied) -> Result<Fresh, VerbError> {
        let read = self.reader.clone().read(self.fleet(), emptied).await;
        read.map_err(VerbError::BadConfig)
    }

    /// Does what follows from the config in force, and says what passes did since `heard` began.
    /// Where machines share it, removals wait until it was in force for some seconds, and so does
    /// this.
    pub(super) async fn carry_out(
        &self,
        request: &ApplyRequest,
        heard: &PassReports,
    ) -> Result<Vec<Applied>, VerbError> {
        let (store, window, which) = (&self.store, &self.links.window, &request.which);
        if request.allow_removals {
            actions::allow_removals(&self.fleet(), store, which, window).await?;
        }
        if request.accept_vanished {
            actions::accept_vanished(&self.fleet(), store, which, window).await?;
        }
        let applied = self.passes("apply", which, heard).await?;
        if let Some(door) = &self.machines
            && applied.iter().any(Applied::has_removals_left)
            && door.generations.until_removals().await
        {
            return self.passes("apply", which, heard).await;
        }
        Ok(applied)
    }

    /// Puts the file in force.
    pub(super) async fn reload(&self, proposing: Proposing) -> Result<(), VerbError> {
        let (answer, answered) = oneshot::channel();
        self.reloads
            .send(Reloading { proposing, answer })
            .await
            .map_err(|_| VerbError::Stopping)?;
        answered.await.map_err(|_| VerbError::Stopping)?.map_err(VerbError::BadConfig)
    }

    /// Begins to hear what passes do.
    pub(super) async fn listen(&self) -> Result<Arc<PassReports>, VerbError> {
        self.links.wakes.listen().await.ok_or(VerbError::Stopping)
    }

    /// Wakes the chosen accounts, waits until they are settled, and says what passes did since
    /// `heard` began.
    async fn passes(
        &self,
        why: &str,
        which: &Which,
        heard: &PassReports,
    ) -> Result<Vec<Applied>, VerbError> {
        let chosen = self.fleet().chosen(which)?;
        let all = which.account.is_none() && which.channel.is_none();
        let account = chosen.keys().next().filter(|_| !all).cloned();
        if !self.links.wakes.wake_until_settled(account, why).await {
            return Err(VerbError::Stopping);
        }
        if let Some(why) = &self.links.overview.borrow().store_failed {
            return Err(VerbError::StoreFails(why.clone()));
        }
        let passes = heard.passes();
        let of_account = |name: &AccountName| passes.get(name).and_then(|all| Applied::of(all));
        Ok(chosen.keys().filter_map(of_account).collect())
    }

    /// The overview. A command shows accounts as they are remembered: it looks at none for this.
    fn overview(&self) -> Result<Arc<Overview>, StoreError> {
        let mut overview = self.links.overview.borrow().clone();
        if self.host == Host::Daemon {
            return Ok(overview);
        }
        let now = self.clock.now();
        let mut remembered = BTreeMap::new();
        let mut recoveries = BTreeMap::new();
        for (name, subject) in &self.fleet().subjects {
            let report = report::remembered(subject, &self.store, now)?;
            remembered.insert(name.clone(), Some(Arc::new(report)));
            let standing = Standing::of(&self.store.recoveries(name)?);
            recoveries.insert(name.clone(), standing);
        }
        let shown = Arc::make_mut(&mut overview);
        (shown.accounts, shown.recoveries) = (remembered, recoveries);
        Ok(overview)
    }

    fn loop_age(&self) -> LoopAge {
        match self.host {
            Host::Daemon => self.links.pulse.age(&*self.clock),
            Host::Command => LoopAge::NO_LOOP,
        }
    }
}
