//! Entries that passes have set and that wait to be handed to sled, of many accounts at once.
//!
//! sled begins every batch with a write of its own, and writes again what is around a change. So
//! the changes of many passes go in common batches, which whoever flushes hands over: one of each
//! tree, in the order of [`PassTree`], so that a ledger comes before its record and both before the
//! account's state. Whoever reads of an account in one of them hands over what waits of it there
//! before, and waits for nobody otherwise.
//!
//! No more than a batch of each tree waits. When a change would make it more, all of it is handed
//! over first, so that no change of a batch's length or less is divided.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::database::Store;
use super::shared::Reason;
use super::tree::{BATCH_MAX, EntryChange, StoreError, Tree};
use crate::model::channel::AccountName;

/// The trees that passes write, in the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PassTree {
    Ledgers,
    Records,
    Accounts,
    Tokens,
}

/// The entries that wait, shared by all clones of a store.
#[derive(Clone, Default)]
pub(super) struct Unwritten(Arc<Shared>);

#[derive(Default)]
struct Shared {
    entries: Mutex<Unwrittens>,
    /// Whoever hands over has it, so that nothing older comes over what is newer.
    handing: Mutex<()>,
    /// Whoever flushes for others has it.
    turn: tokio::sync::Mutex<()>,
    /// How many changes were set, and how many of them are on the disk for certain.
    set: AtomicU64,
    flushed: AtomicU64,
}

/// Entries that sled does not have yet.
#[derive(Default)]
struct Unwrittens {
    /// Values by key, as bytes; `None` is an entry to be removed.
    waiting: BTreeMap<PassTree, BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    /// Those that somebody is handing over, by their keys.
    leaving: Arc<Leaving>,
}

type Leaving = BTreeMap<PassTree, Vec<EntryChange>>;

impl Unwritten {
    /// How many changes were set so far.
    pub(super) fn set(&self) -> u64 {
        self.0.set.load(Ordering::SeqCst)
    }

    /// How many of them are on the disk for certain.
    pub(super) fn flushed(&self) -> u64 {
        self.0.flushed.load(Ordering::SeqCst)
    }

    /// Takes these in, unless there is no room for all of them.
    fn add(&self, tree: PassTree, changes: &mut Vec<EntryChange>) -> bool {
        let mut unwritten = self.entries();
        let entries = unwritten.waiting.entry(tree).or_default();
        if entries.len() + changes.len() > BATCH_MAX {
            return false;
        }
        entries.extend(changes.drain(..));
        self.0.set.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Takes everything that waits, which is still seen until it is handed over.
    fn leave(&self) -> Arc<Leaving> {
        let mut unwritten = self.entries();
        let taken = std::mem::take(&mut unwritten.waiting).into_iter();
        let taken = taken.map(|(tree, entries)| (tree, entries.into_iter().collect()));
        unwritten.leaving = Arc::new(taken.collect());
        unwritten.leaving.clone()
    }

    /// These wait for the next try, but where something newer does.
    fn stay(&self, tree: PassTree, changes: &[EntryChange]) {
        let mut unwritten = self.entries();
        let entries = unwritten.waiting.entry(tree).or_default();
        for (key, value) in changes {
            entries.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }

    /// True when sled lacks something of this account in this tree.
    fn has(&self, tree: PassTree, account: &AccountName) -> bool {
        let name = account.as_str().as_bytes();
        let is_of = |key: &[u8]| {
            let rest = key.strip_prefix(name);
            rest.is_some_and(|rest| rest.first().is_none_or(|next| *next == b'/'))
        };
        let any = |keys: &mut dyn Iterator<Item = &Vec<u8>>| {
            keys.take_while(|key| key.starts_with(name)).any(|key| is_of(key))
        };
        let unwritten = self.entries();
        let waiting = unwritten.waiting.get(&tree);
        let mut waiting = waiting.into_iter().flat_map(|entries| entries.range(name.to_vec()..));
        let leaving = unwritten.leaving.get(&tree).map(Vec::as_slice).unwrap_or_default();
        let from = leaving.partition_point(|(key, _)| key.as_slice() < name);
        any(&mut waiting.by_ref().map(|(key, _)| key))
            || any(&mut leaving.iter().skip(from).map(|(key, _)| key))
    }

    fn entries(&self) -> MutexGuard<'_, Unwrittens> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handing(&self) -> MutexGuard<'_, ()> {
        self.0.handing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Sets and removes (`None`) entries of a tree. They are on the disk once it is
    /// [flushed](Store::flush).
    pub(super) fn put_off<T: Serialize>(
        &self,
        tree: PassTree,
        entries: impl IntoIterator<Item = (String, Option<T>)>,
    ) -> Result<(), StoreError> {
        if tree == PassTree::Records {
            self.grants().take();
        }
        if self.is_shared() {
            return self.tree_of(tree).set(entries);
        }
        let mut entries = entries.into_iter();
        loop {
            let batch = entries.by_ref().take(BATCH_MAX);
            let batch = batch.map(|(key, value)| self.tree_of(tree).change(key, value));
            let mut batch = batch.collect::<Result<Vec<_>, _>>()?;
            if batch.is_empty() {
                return Ok(());
            }
            while !self.unwritten.add(tree, &mut batch) {
                self.hand_over_all(&self.unwritten.handing())?;
            }
        }
    }

    /// Hands over what waits of an account in a tree, before something of it is read there.
    pub(super) fn hand_over_of(&self, tree: PassTree, account: &AccountName) {
        if self.unwritten.has(tree, account) {
            // Whoever set it is told of the failure when it flushes. What is stored can be read.
            let _told = self.hand_over();
        }
    }

    /// Hands over all that waits. It is on the disk once it is [flushed](Store::flush).
    pub(super) fn hand_over(&self) -> Result<(), StoreError> {
        self.hand_over_all(&self.unwritten.handing())
    }

    /// Whoever fails leaves what is not handed over to those who try after it.
    fn hand_over_all(&self, _handing: &MutexGuard<'_, ()>) -> Result<(), StoreError> {
        let leaving = self.unwritten.leave();
        let mut result = Ok(());
        for (tree, changes) in &*leaving {
            if result.is_ok() {
                result = self.tree_of(*tree).put(changes);
            }
            if result.is_err() {
                self.unwritten.stay(*tree, changes);
            }
        }
        self.unwritten.entries().leaving = Arc::default();
        result
    }

    fn tree_of(&self, tree: PassTree) -> &Tree {
        match tree {
            PassTree::Ledgers => &self.ledgers,
            PassTree::Records => &self.records,
            PassTree::Accounts => &self.accounts,
            PassTree::Tokens => &self.tokens,
        }
    }

    /// Sees to it that everything that was set is on the disk. The thread waits for the disk.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let set = self.unwritten.set();
        self.hand_over()?;
        self.records.flush()?;
        self.unwritten.0.flushed.fetch_max(set, Ordering::SeqCst);
        Ok(())
    }

    /// Sees to it that what was set of an account is on the disk. One flush serves all who wait for
    /// one when it begins, of whichever accounts.
    ///
    /// # Errors
    /// When the store fails. Nobody is told of another's failure: each of them tries by itself.
    /// [`StoreError::Fenced`] and [`StoreError::Unwritten`] where accounts live in an engine: then
    /// it is one transaction of this account alone.
    pub async fn commit(&self, account: &AccountName) -> Result<(), StoreError> {
        match &self.shared {
            Some(shared) => self.commit_shared(shared, account, Reason::Change).await,
            None => self.commit_all().await,
        }
    }

    /// The same of all accounts: it returns when everything that was set before it was called is on
    /// the disk.
    pub(super) async fn commit_all(&self) -> Result<(), StoreError> {
        let wanted = self.unwritten.set();
        let _turn = self.unwritten.0.turn.lock().await;
        if self.unwritten.flushed() >= wanted {
            return Ok(());
        }
        self.others_come().await;
        waiting_for_the_disk(|| self.flush())
    }

    /// Sees to it that what was set of an account in a tree that no pass writes is on the disk.
    pub(super) async fn settle(&self, account: &AccountName) -> Result<(), StoreError> {
        match &self.shared {
            Some(_) => self.commit(account).await,
            None => self.records.flush(),
        }
    }

    /// Gives the runtime a turn, and another one for as long as each brings something to flush:
    /// whoever is about to wait for the disk as well shares this flush. One account alone gives one.
    async fn others_come(&self) {
        let mut set = self.unwritten.set();
        for _ in 0..TURNS_MAX {
            tokio::task::yield_now().await;
            let came = self.unwritten.set();
            if came == set {
                return;
            }
            set = came;
        }
    }
}

/// Waits on this thread. Where a runtime has several, the other tasks of this one go on.
fn waiting_for_the_disk<T>(wait: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        Ok(_) | Err(_) => wait(),
    }
}

/// The most turns that a flush waits for others.
const TURNS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use super::*;
    use crate::model::record::AccountState;
    use crate::testing::{acme, id, minutes, record, spec, state};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_commit_returns_when_what_was_set_before_it_is_flushed_whoever_flushed_it() {
        let store = Store::temporary().unwrap();
        let mut commits = tokio::task::JoinSet::new();
        for minute in 0..40 {
            let store = store.clone();
            commits.spawn(async move {
                let said = AccountState { looked_at: Some(minutes(minute)), ..state() };
                let name: AccountName = format!("a{minute}").parse().unwrap();
                store.set_states([(&name, &said)]).unwrap();
                let set = store.unwritten.set();
                store.commit(&name).await.unwrap();
                assert!(store.unwritten.flushed() >= set);
            });
        }
        commits.join_all().await;
        assert_eq!(store.unwritten.flushed(), store.unwritten.set());
    }

    #[tokio::test]
    async fn what_is_written_is_on_the_disk_when_the_write_returns() {
        let store = Store::temporary().unwrap();
        let record = record(&spec(1));
        let progress = || (store.unwritten.set(), store.unwritten.flushed());
        store.write_records(&acme(), &[(record.id, Some(record))].into()).await.unwrap();
        assert_eq!(progress(), (1, 1));
        store.write_account_state(&acme(), &state()).await.unwrap();
        assert_eq!(progress(), (2, 2));
    }

    #[tokio::test]
    async fn who_comes_while_another_has_the_turn_is_served_by_it() {
        let store = Store::temporary().unwrap();
        let name = acme();
        let turn = store.unwritten.0.turn.lock().await;
        store.set_states([(&acme(), &state())]).unwrap();
        let mut commit = Box::pin(store.commit(&name));
        assert!(polled(commit.as_mut()).is_pending());
        store.flush().unwrap();
        let flushed = store.unwritten.flushed();
        store.set_states([(&acme(), &state())]).unwrap();
        drop(turn);
        commit.await.unwrap();
        assert_eq!(store.unwritten.flushed(), flushed, "it flushed for what came after it");
    }

    fn polled<F: Future>(future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }

    #[tokio::test]
    async fn what_many_accounts_say_at_once_goes_in_one_batch_of_each_tree() {
        let (store, batches) = counted();
        let mut commits = Vec::new();
        for n in 0..20 {
            let name: AccountName = format!("a{n}").parse().unwrap();
            let store = store.clone();
            commits.push(tokio::spawn(async move {
                let changes = Map::from([(id(1), Some(record(&spec(1))))]);
                store.set_channels(&name, &[], &changes).unwrap();
                store.set_states([(&name, &state())]).unwrap();
                store.commit(&name).await.unwrap();
            }));
        }
        for commit in commits {
            commit.await.unwrap();
        }
        assert_eq!(batches.load(Ordering::SeqCst), 2, "records, and states");
    }

    #[test]
    fn what_waits_is_read_and_bounded_and_a_change_is_not_divided() {
        let (store, batches) = counted();
        let many = |from: i64, to: i64| -> Map<_, _> {
            (from..to).map(|n| (id(n), Some(record(&spec(n))))).collect()
        };
        store.set_channels(&acme(), &[], &many(1, 151)).unwrap();
        assert_eq!(batches.load(Ordering::SeqCst), 0, "it waits");
        let neighbour = "acme-two".parse().unwrap();
        store.set_channels(&neighbour, &[], &many(1, 101)).unwrap();
        assert_eq!(batches.load(Ordering::SeqCst), 1, "the first went before the second came");
        assert_eq!(store.records(&acme()).unwrap().len(), 150);
        assert_eq!(batches.load(Ordering::SeqCst), 1, "nothing waited of the one that was read");
        assert_eq!(store.records(&neighbour).unwrap().len(), 100);
        assert_eq!(batches.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn who_reads_of_an_account_hands_over_what_waits_of_it_in_that_tree_and_nothing_else() {
        let (store, batches) = counted();
        let changes = Map::from([(id(1), Some(record(&spec(1))))]);
        store.set_channels(&acme(), &[], &changes).unwrap();
        assert_eq!(store.stored_state(&acme()).unwrap(), AccountState::default());
        assert!(store.records(&"acm".parse().unwrap()).unwrap().is_empty());
        assert_eq!(batches.load(Ordering::SeqCst), 0);
        assert_eq!(store.records(&acme()).unwrap().len(), 1);
        assert_eq!(batches.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_somebody_is_handing_over_is_waited_for_until_sled_has_it() {
        let store = Store::temporary().unwrap();
        let (unwritten, seen) = (store.unwritten.clone(), Arc::new(AtomicU64::new(0)));
        let sees = seen.clone();
        let has = move || unwritten.has(PassTree::Records, &acme());
        let store = store.gated(Arc::new(move || {
            sees.fetch_add(u64::from(has()), Ordering::SeqCst);
            Ok(())
        }));
        let changes = Map::from([(id(1), Some(record(&spec(1))))]);
        store.set_channels(&acme(), &[], &changes).unwrap();
        store.flush().unwrap();
        assert_eq!(seen.load(Ordering::SeqCst), 1, "while it is handed over");
        assert!(!store.unwritten.has(PassTree::Records, &acme()));
    }

    #[test]
    fn a_disk_that_fails_leaves_what_waits_for_the_next_try() {
        let fails = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let is_failing = fails.clone();
        let store = Store::temporary().unwrap().gated(Arc::new(move || {
            let fails = is_failing.load(Ordering::SeqCst);
            if fails { Err(std::io::Error::other("full")) } else { Ok(()) }
        }));
        store.set_states([(&acme(), &state())]).unwrap();
        assert!(store.flush().is_err() && store.flush().is_err());
        assert_eq!(store.stored_state(&acme()).unwrap(), AccountState::default());
        assert_eq!(store.unwritten.flushed(), 0);
        fails.store(false, Ordering::SeqCst);
        store.flush().unwrap();
        assert_eq!(store.stored_state(&acme()).unwrap(), state());
        assert_eq!(store.unwritten.flushed(), store.unwritten.set());
    }

    fn counted() -> (Store, Arc<AtomicU64>) {
        let batches = Arc::new(AtomicU64::new(0));
        let counts = batches.clone();
        let store = Store::temporary().unwrap().gated(Arc::new(move || {
            counts.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }));
        (store, batches)
    }
}
