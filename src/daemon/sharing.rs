//! Accounts that this machine shares with others.
//!
//! The member of the cluster says which accounts are ours ([`Assignment`]). The store takes each,
//! and then the scheduler holds it. The other way round, the scheduler ends the pass that runs, the
//! store writes what is left and forgets the account, and the member gives the claim back.
//!
//! An account that is lost is forgotten at once: the pass that still runs can write nothing more,
//! here or at Zoho. It is taken again only when that pass has ended, since the pass knows the
//! account as it was.
//!
//! When the daemon stops, everything is given away before the member leaves, for at most
//! [`DRAIN_MAX`]. What is not given away by then is the others' after an eviction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::cluster::view::{Assignment, Released};
use crate::cluster::{Charge, Fence, NodeLinks};
use crate::model::channel::AccountName;
use crate::store::{Contents, Sealer, Store, StoreError, Taken};

use super::fleet::Fleet;
use super::scheduler::{Going, Links, Message, chain};

/// Takes accounts and lets them go.
pub(super) struct Sharing {
    links: Links,
    store: Store,
    clock: Arc<dyn Clock>,
    node: NodeLinks,
    accounts: BTreeMap<AccountName, Share>,
    /// The fence of the work that is done once for the whole fleet, when it is ours.
    fleet: Option<Fence>,
    /// Those that are being taken, and those whose last changes are being written.
    work: JoinSet<Done>,
    at_once: Arc<Semaphore>,
    gone: mpsc::UnboundedSender<AccountName>,
}

/// How far an account is.
struct Share {
    fence: Fence,
    state: ShareState,
}

enum ShareState {
    /// The store is taking it.
    Taking(AbortHandle),
    /// The scheduler holds it.
    Held,
    /// Its pass is to end, and then it is given back.
    Ending,
    /// It is lost, and its pass has not ended. With the fence under which it is ours again.
    Lost(Option<Fence>),
}

/// Something that was to be done with the store is.
enum Done {
    Taken(AccountName),
    /// Everything of it is written, or somebody else's.
    Written(AccountName),
}

impl Sharing {
    pub(super) fn new(
        links: Links,
        store: Store,
        clock: Arc<dyn Clock>,
        node: NodeLinks,
    ) -> Sharing {
        Sharing {
            links,
            store,
            clock,
            node,
            accounts: BTreeMap::new(),
            fleet: None,
            work: JoinSet::new(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            gone: mpsc::unbounded_channel().0,
        }
    }

    /// Until the member has left, which it is told to when this closes.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        let (telling, mut gone) = mpsc::unbounded_channel();
        self.gone = telling;
        let clock = self.clock.clone();
        let mut is_closing = false;
        let mut late = clock.sleep(Duration::ZERO);
        loop {
            tokio::select! {
                assignment = self.node.assignments.recv() => match assignment {
                    Some(assignment) => self.assigned(assignment).await,
                    None => return,
                },
                Some(name) = gone.recv() => self.has_gone(name),
                Some(done) = self.work.join_next() => {
                    match done {
                        Ok(done) => self.done(done).await,
                        // One that was taken away has no answer.
                        Err(error) => assert!(error.is_cancelled(), "{error}"),
                    }
                }
                () = closing.cancelled(), if !is_closing => {
                    is_closing = true;
                    self.node.drain.cancel();
                    late = clock.sleep(DRAIN_MAX);
                }
                () = &mut late, if is_closing => {
                    warn!("not every account could be given away in time: the others take them over");
                    return;
                }
            }
        }
    }

    async fn assigned(&mut self, assignment: Assignment) {
        match assignment {
            Assignment::Gained(charges) => {
                for (charge, fence) in charges {
                    match charge {
                        Charge::Fleet => self.fleet = Some(fence),
                        Charge::Account(name) => self.gained(name, fence),
                    }
                }
            }
            Assignment::Lose(charges) => {
                if charges.contains(&Charge::Fleet)
                    && let Some(fence) = self.fleet.take()
                {
                    self.give_back(Charge::Fleet, &fence).await;
                }
                self.lose(accounts(&charges)).await;
            }
            Assignment::LookAgain(accounts) => {
                if self.links.wakes.0.send(Message::SentLate(accounts)).await.is_err() {
                    debug!("a request was late while the daemon was stopping");
                }
            }
            Assignment::Lost(charges) => {
                if charges.contains(&Charge::Fleet) {
                    self.fleet = None;
                }
                self.lost(accounts(&charges)).await;
            }
        }
    }

    fn gained(&mut self, name: AccountName, fence: Fence) {
        match self.accounts.get_mut(&name) {
            Some(Share { state: ShareState::Lost(again), .. }) => *again = Some(fence),
            Some(_) | None => self.take(name, fence),
        }
    }

    fn take(&mut self, name: AccountName, fence: Fence) {
        let taking = Taking {
            store: self.store.clone(),
            clock: self.clock.clone(),
            at_once: self.at_once.clone(),
            fleet: self.links.fleet.clone(),
            name: name.clone(),
            fence: fence.clone(),
        };
        let taking = self.work.spawn(taking.run());
        self.accounts.insert(name, Share { fence, state: ShareState::Taking(taking) });
    }

    /// The pass of each ends, its last changes are written, and its claim is given back.
    async fn lose(&mut self, names: Vec<AccountName>) {
        let (mut held, mut untaken) = (Vec::new(), Vec::new());
        for name in names {
            let Some(share) = self.accounts.get_mut(&name) else { continue };
            match std::mem::replace(&mut share.state, ShareState::Ending) {
                ShareState::Taking(taking) => {
                    taking.abort();
                    self.has_gone(name);
                }
                ShareState::Held => held.push(name),
                ShareState::Ending => {}
                ShareState::Lost(again) => {
                    share.state = ShareState::Lost(None);
                    untaken.extend(again.map(|fence| (name, fence)));
                }
            }
        }
        for (name, fence) in untaken {
            self.give_back(Charge::Account(name), &fence).await;
        }
        self.let_go(held, false).await;
    }

    /// Nothing of these can be written any more.
    async fn lost(&mut self, names: Vec<AccountName>) {
        if !names.is_empty() {
            warn!(accounts = names.len(), "accounts are lost: others may serve them by now");
        }
        let mut running = Vec::new();
        for name in names {
            self.store.lose(&name);
            let Some(share) = self.accounts.get_mut(&name) else { continue };
            match std::mem::replace(&mut share.state, ShareState::Lost(None)) {
                ShareState::Taking(taking) => {
                    taking.abort();
                    self.accounts.remove(&name);
                }
                ShareState::Held | ShareState::Ending | ShareState::Lost(_) => running.push(name),
            }
        }
        self.let_go(running, true).await;
    }

    async fn let_go(&mut self, accounts: Vec<AccountName>, are_lost: bool) {
        if accounts.is_empty() {
            return;
        }
        let going = Going { accounts: accounts.clone(), are_lost, gone: self.gone.clone() };
        if self.links.wakes.0.send(Message::LetGo(going)).await.is_err() {
            // The scheduler has ended, and with it every pass.
            accounts.into_iter().for_each(|name| self.has_gone(name));
        }
    }

    /// Nothing of this account runs.
    fn has_gone(&mut self, name: AccountName) {
        let Some(share) = self.accounts.get_mut(&name) else { return };
        match &mut share.state {
            ShareState::Ending => {
                let (store, clock) = (self.store.clone(), self.clock.clone());
                self.work.spawn(write_the_rest(store, clock, name));
            }
            ShareState::Lost(again) => match again.take() {
                Some(fence) => self.take(name, fence),
                None => drop(self.accounts.remove(&name)),
            },
            ShareState::Taking(_) | ShareState::Held => {}
        }
    }

    async fn done(&mut self, first: Done) {
        let (mut taken, mut given) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(done) = next {
            match done {
                Done::Taken(name) => {
                    if let Some(share) = self.accounts.get_mut(&name)
                        && matches!(share.state, ShareState::Taking(_))
                    {
                        share.state = ShareState::Held;
                        taken.push(name);
                    }
                }
                Done::Written(name) => {
                    self.store.let_go(&name);
                    if let Some(Share { fence, .. }) = self.accounts.remove(&name) {
                        given += 1;
                        self.give_back(Charge::Account(name), &fence).await;
                    }
                }
            }
            next = self.work.try_join_next().and_then(Result::ok);
        }
        if given > 0 {
            info!(accounts = given, "accounts are given away");
        }
        if !taken.is_empty() {
            info!(accounts = taken.len(), "accounts are taken over");
            if self.links.wakes.0.send(Message::Gained(taken)).await.is_err() {
                debug!("accounts were taken over while the daemon was stopping");
            }
        }
    }

    async fn give_back(&self, charge: Charge, fence: &Fence) {
        let released = Released { charge, epoch: fence.epoch() };
        if self.node.released.send(released).await.is_err() {
            debug!("an account was given back after the member had left");
        }
    }
}

/// The store takes an account.
struct Taking {
    store: Store,
    clock: Arc<dyn Clock>,
    at_once: Arc<Semaphore>,
    fleet: watch::Receiver<Arc<Fleet>>,
    name: AccountName,
    fence: Fence,
}

impl Taking {
    /// Until it has it. Whoever loses the account meanwhile takes this away.
    async fn run(self) -> Done {
        let Taking { store, clock, at_once, fleet, name, fence } = self;
        loop {
            let turn = at_once.acquire().await;
            let declared = fleet.borrow().elsewhere.get(&name).cloned();
            // One that is declared no longer is let go of soon, or declared again.
            if let Some(declared) = declared {
                let sealer = Sealer::of(&declared.account.credentials);
                match take(&store, &name, &fence, sealer).await {
                    Ok(()) => return Done::Taken(name),
                    Err(error) => {
                        warn!(account = %name, error = chain(&error), "an account cannot be taken over yet");
                    }
                }
            }
            drop(turn);
            clock.sleep(AGAIN).await;
        }
    }
}

/// With all that a daemon knew of it that was alone, where no machine has served it yet.
async fn take(
    store: &Store,
    name: &AccountName,
    fence: &Fence,
    sealer: Sealer,
) -> Result<(), StoreError> {
    let taken = store.take(name, fence.guards(), sealer).await?;
    let Taken { is_new, is_token_lost, written_back } = taken;
    if written_back > 0 {
        info!(account = %name, entries = written_back, "what this machine knew of an account that was lost is written back");
    }
    if is_token_lost {
        debug!(account = %name, "the account's token was sealed by other credentials");
    }
    if is_new {
        let brought = store.bring_along(name).await?;
        let Contents { channels, entries, .. } = brought;
        info!(account = %name, channels, entries, "no machine has served this account before");
    }
    Ok(())
}

/// Writes what a pass has left, until it is written or somebody else's.
async fn write_the_rest(store: Store, clock: Arc<dyn Clock>, name: AccountName) -> Done {
    loop {
        match store.commit(&name).await {
            Ok(()) | Err(StoreError::Fenced { .. }) => return Done::Written(name),
            Err(error) => {
                debug!(account = %name, error = chain(&error), "the last changes of an account cannot be written yet");
            }
        }
        clock.sleep(AGAIN).await;
    }
}

fn accounts(charges: &[Charge]) -> Vec<AccountName> {
    charges.iter().filter_map(Charge::account).cloned().collect()
}

/// Accounts that are taken at once: each is one request of some kilobytes.
const AT_ONCE: usize = 32;
/// From a failure of the engine to the next try.
const AGAIN: Duration = Duration::from_secs(1);
/// A service manager gives a stop a minute and a half.
const DRAIN_MAX: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::clock::VirtualClock;
    use crate::cluster::view::ClusterView;
    use crate::cluster::{Keys, MemberId};
    use crate::engine::simulated::{SimulatedEngine, SimulatedHandle};
    use crate::engine::{Change, Committed, Engine, Revision};
    use crate::expose::testing::converged;
    use crate::model::cluster::Layouts;
    use crate::model::desired::{AccountDesired, Desired, Settings};
    use crate::testing::{acme, hours};
    use crate::zoho::testing::account;

    use super::super::scheduler::{Pulse, Wakes};

    /// The member and the scheduler, for one account.
    struct Around {
        clock: Arc<VirtualClock>,
        engine: SimulatedEngine,
        handle: SimulatedHandle,
        store: Store,
        member: mpsc::Sender<Assignment>,
        released: mpsc::Receiver<Released>,
        scheduler: mpsc::Receiver<Message>,
        _view: watch::Sender<ClusterView>,
    }

    impl Around {
        fn new() -> Around {
            let (clock, engine) =
                (Arc::new(VirtualClock::new(hours(0), 1)), SimulatedEngine::new());
            let handle = engine.handle(clock.clone());
            let way = Arc::new(handle.clone());
            let store = Store::in_memory().unwrap();
            let store = store.shared(way, Keys::new("test").prefix(), Layouts::OWN).holding();
            let (member, assignments) = mpsc::channel(8);
            let (telling, released) = mpsc::channel(8);
            let (wakes, scheduler) = mpsc::channel(8);
            let (_view, view) = watch::channel(ClusterView::default());
            let drain = CancellationToken::new();
            let node = NodeLinks { assignments, released: telling, view, drain };
            let accounts = [(acme(), AccountDesired::new(account(), BTreeMap::new()))].into();
            let desired = Desired { settings: Settings::default(), accounts };
            let fleet = Arc::new(Fleet::declared(desired, BTreeMap::new()));
            let links = Links {
                wakes: Wakes(wakes),
                overview: watch::channel(Arc::new(converged(1))).1,
                fleet: watch::channel(fleet).1,
                asked: Arc::default(),
                pulse: Pulse::default(),
                window: Arc::default(),
            };
            let sharing = Sharing::new(links, store.clone(), clock.clone(), node);
            tokio::spawn(sharing.run(CancellationToken::new()));
            Around { clock, engine, handle, store, member, released, scheduler, _view }
        }

        async fn put(&self, key: String) -> Revision {
            match self.handle.commit(Vec::new(), vec![Change::Put(key, Vec::new())]).await {
                Ok(Committed::Done(revision)) => revision,
                other => panic!("{other:?}"),
            }
        }

        /// The account is ours, by a claim that is written now. Returns its epoch.
        async fn gains(&self) -> Revision {
            let keys = Keys::new("test");
            let me = MemberId { node: "one".to_owned(), boot: "0".to_owned() };
            let known = self.engine.entries().into_iter().find(|it| it.key == keys.member(&me));
            let membership = match known {
                Some(entry) => entry.created,
                None => self.put(keys.member(&me)).await,
            };
            let charge = Charge::Account(acme());
            let epoch = self.put(keys.claim(&charge)).await;
            let fence = keys.fence(&me, membership, &charge, epoch);
            self.member.send(Assignment::Gained(vec![(charge, fence)])).await.unwrap();
            epoch
        }

        /// The scheduler is told that it holds the account.
        async fn is_held(&mut self) {
            match self.scheduler.recv().await {
                Some(Message::Gained(accounts)) => assert_eq!(accounts, [acme()]),
                _ => panic!("another message"),
            }
        }

        /// The scheduler is told to let go of it.
        async fn goes(&mut self) -> Going {
            match self.scheduler.recv().await {
                Some(Message::LetGo(going)) => going,
                _ => panic!("another message"),
            }
        }

        fn is_sending_by_the_engine(&self) -> bool {
            let mut entries = self.engine.entries().into_iter();
            let found = entries.find(|it| it.key == "channelkeeper/test/accounts/acme");
            let state = |value: &[u8]| serde_json::from_slice::<Value>(value).unwrap();
            found.is_some_and(|it| !state(&it.value)["state"]["sending"].is_null())
        }
    }

    /// The pass knows the account as it was.
    #[tokio::test(start_paused = true)]
    async fn an_account_that_comes_back_is_taken_once_its_last_pass_has_ended() {
        let mut around = Around::new();
        around.gains().await;
        around.is_held().await;
        let lost = vec![Charge::Account(acme())];
        around.member.send(Assignment::Lost(lost)).await.unwrap();
        let going = around.goes().await;
        assert!(going.are_lost && !around.store.holds(&acme()));
        around.gains().await;
        around.clock.sleep(Duration::from_secs(60)).await;
        assert!(around.scheduler.is_empty() && !around.store.holds(&acme()), "its pass runs");
        going.gone.send(acme()).unwrap();
        around.is_held().await;
        assert!(around.store.holds(&acme()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_is_given_back_once_the_rest_of_it_is_written() {
        let mut around = Around::new();
        let epoch = around.gains().await;
        around.is_held().await;
        around.store.begin_sending(&acme(), around.clock.now()).unwrap();
        around.engine.set_full(true);
        let charge = Charge::Account(acme());
        around.member.send(Assignment::Lose(vec![charge.clone()])).await.unwrap();
        let going = around.goes().await;
        assert!(!going.are_lost);
        going.gone.send(acme()).unwrap();
        around.clock.sleep(Duration::from_secs(60)).await;
        assert!(around.released.is_empty() && around.store.holds(&acme()), "it is not written");
        around.engine.set_full(false);
        assert_eq!(around.released.recv().await, Some(Released { charge, epoch }));
        assert!(around.is_sending_by_the_engine() && !around.store.holds(&acme()));
    }
}
