//! Accounts that live in an engine which several machines share: see the layout and the crash story
//! in [`super`].
//!
//! The accounts that are held here are in memory, with a journal of what the engine does not have
//! yet. A commit is one fenced transaction. It has three guards: those of the one who took the
//! account, its *fence*, and the revision of `accounts/ACCOUNT`, which each commit writes. So no
//! commit lands over a newer one, however late it arrives.
//!
//! | what the engine says | what is done |
//! | --- | --- |
//! | done | the journal forgets what was in it |
//! | refused | the account is forgotten here: [`StoreError::Fenced`] |
//! | refused, and an earlier commit was not answered | that one is looked for first: see below |
//! | unable | nothing landed; the journal keeps all of it: [`StoreError::Unwritten`] |
//! | nothing that can be read, or whoever asked went away | the commit is *in doubt* |
//!
//! A commit in doubt may have landed, and may land later. Each has a number, and the name of the
//! one who sent it, in the value of `accounts/ACCOUNT`. Before the next commit that key is read:
//!
//! | `accounts/ACCOUNT` | then |
//! | --- | --- |
//! | of the last commit in doubt | it is done |
//! | of an earlier one in doubt | that one landed, so none after it will; all is sent again |
//! | as it was before them | all is sent again, and whichever comes second is refused |
//! | of somebody else, or the fence does not hold | the account is forgotten here |
//!
//! The memory of an account that is lost is kept aside for some minutes. Who sent the commits
//! before the last one stands in `accounts/ACCOUNT` too, so that whoever takes the account again
//! knows whether the engine has anything that this memory is not newer than:
//!
//! | the last commit in the engine, as the account is taken again | then |
//! | --- | --- |
//! | is one that this memory was built on, or there is none | the memory is written back |
//! | is somebody else's | the memory is dropped |
//!
//! So nothing is lost where the engine is restored from a backup, or emptied, and its machines
//! live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::engine::{
    COMMIT_BYTES_MAX, Change, Committed, Engine, EngineError, Entry, Guard, OPERATIONS_MAX,
    Revision, Selection, Snapshot,
};
use crate::model::channel::AccountName;
use crate::model::cluster::Layouts;

use super::database::Store;
use super::pages::{self, Pages};
use super::sealer::Sealer;
use super::tree::{StoreError, Tree, TreeEntries};

mod crossing;

pub use crossing::{Compared, Contents};

/// The findings about an account that was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// True when the engine had nothing of it, or parts of it that somebody did not bring along to
    /// the end.
    pub is_new: bool,
    /// True when there was a token that these credentials do not open.
    pub is_token_lost: bool,
    /// How many entries this process knew better than the engine.
    pub written_back: usize,
}

/// The engine, and who is held here.
pub(super) struct Shared {
    engine: Arc<dyn Engine>,
    prefix: String,
    /// The layouts that are read here, and the one that everybody may write.
    layouts: Layouts,
    gate: AtomicU32,
    held: Mutex<BTreeMap<AccountName, Arc<Hold>>>,
    /// The memory of accounts that were lost.
    aside: Mutex<BTreeMap<AccountName, Aside>>,
    /// The accounts' trees of the database on this machine, as it was when it was alone.
    former: Vec<Tree>,
}

/// The memory of an account that was lost.
struct Aside {
    /// By tree, in the order of [`Store::account_trees`].
    entries: Vec<TreeEntries>,
    /// Who sent the commits that it was built on, the last first.
    senders: Vec<String>,
    /// How often [`Store::age_aside`] has seen it.
    age: u8,
}

/// An account that is held here.
struct Hold {
    written: tokio::sync::Mutex<Written>,
    /// Who sent its commits, the last first.
    senders: Vec<String>,
    /// Set when it is not held any more, for whoever still has it.
    is_over: AtomicBool,
    /// Set while the last commit did not come to a good end.
    is_behind: AtomicBool,
}

/// The engine's state of an account, as far as is known here.
struct Written {
    account: AccountName,
    fence: Vec<Guard>,
    sealer: Sealer,
    /// Who sends its commits, and sent those before, the last first.
    senders: Vec<String>,
    /// The number of the last one.
    number: u64,
    /// When `accounts/ACCOUNT` was last written, and the state in it.
    last: Revision,
    state: Option<Vec<u8>>,
    /// The newest layout in which something of it was written.
    layout: u32,
    /// By the place of a tree among the [paged](Store::paged_trees) ones.
    pages: Vec<Pages>,
    /// False when there is a token that the sealer does not open.
    opens_tokens: bool,
    /// The parts that the engine does not have as they are here.
    unwritten: BTreeSet<Part>,
    doubt: Option<Doubt>,
}

/// Commits that were not answered. All of them have the same revision among their guards, so one of
/// them lands at most.
struct Doubt {
    /// The number of the first.
    since: u64,
    /// The parts of the last one.
    parts: BTreeSet<Part>,
    state: Option<Vec<u8>>,
}

/// A value of an account, in the order in which they are written where one transaction does not
/// hold them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Before the fetch that it counts.
    Token,
    /// A page of a tree, by its place among the paged ones.
    Page(usize, u32),
    /// After everything that it is certain of.
    State,
}

impl Store {
    /// A store whose accounts live in this engine, below this prefix, as `channelkeeper/prod/`. All
    /// that is declared and was told stays in the database on this machine. No account is held
    /// until it is [taken](Store::take). It reads these layouts, and writes the oldest of them
    /// until it is told [what it may write](Store::may_write).
    #[must_use]
    pub fn shared(self, engine: Arc<dyn Engine>, prefix: &str, layouts: Layouts) -> Store {
        let (prefix, keeper) = (prefix.to_owned(), self.keeper.clone());
        let former = self.account_trees().into_iter().cloned().collect();
        let tree = |tree: &Tree| Tree::journaled(tree.name()).kept_by(&keeper);
        let gate = AtomicU32::new(layouts.oldest);
        let shared = Shared {
            engine,
            prefix,
            layouts,
            gate,
            held: Mutex::default(),
            aside: Mutex::default(),
            former,
        };
        Store {
            records: tree(&self.records),
            accounts: tree(&self.accounts),
            tokens: tree(&self.tokens),
            asked: tree(&self.asked),
            ledgers: tree(&self.ledgers),
            acks: tree(&self.acks),
            canaries: tree(&self.canaries),
            recoveries: tree(&self.recoveries),
            items: tree(&self.items),
            reads: tree(&self.reads),
            rows: tree(&self.rows),
            rules: tree(&self.rules),
            shared: Some(Arc::new(shared)),
            grants: Arc::default(),
            ..self
        }
    }

    /// Everybody reads this layout: what is written of accounts from here on is written in it, as
    /// far as this release knows it.
    pub fn may_write(&self, layout: u32) {
        if let Some(shared) = &self.shared {
            let Layouts { oldest, newest } = shared.layouts;
            shared.gate.store(layout.clamp(oldest, newest), Ordering::SeqCst);
        }
    }

    /// True when its accounts live in an engine.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// Takes an account: reads what the engine has of it. The guards are its fence, which the
    /// engine checks at each commit from here on. `sealer` is of the account's credentials. What
    /// was held of the account before, and was not written, is dropped; what was
    /// [lost](Store::lose) is written back, unless somebody else has written since.
    ///
    /// Whoever calls this has the account: what an earlier owner may still commit has to be refused
    /// by then, because one of these guards was written after that owner's.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when a guard does not hold; [`StoreError::Value`] when something that
    /// was read is damaged. The account is not held then. Nothing happens where accounts live in a
    /// database.
    pub async fn take(
        &self,
        account: &AccountName,
        guards: Vec<Guard>,
        sealer: Sealer,
    ) -> Result<Taken, StoreError> {
        let Some(shared) = &self.shared else { return Ok(Taken::default()) };
        self.let_go(account);
        let found = shared.read(account, &guards).await?;
        let (written, entries, taken) = self.unpack(shared, account, guards, sealer, &found)?;
        self.check(account, &entries)?;
        self.hold(shared, account, written, entries);
        // An account of which parts are on their way is brought along once more.
        if found.state.as_ref().is_some_and(|found| found.arrives) {
            drop(shared.aside().remove(account));
            return Ok(taken);
        }
        let last = found.state.map(|found| found.commit.by);
        let written_back = self.write_back(shared, account, last.as_deref()).await?;
        Ok(Taken { written_back, is_new: taken.is_new && written_back == 0, ..taken })
    }

    fn hold(
        &self,
        shared: &Shared,
        account: &AccountName,
        written: Written,
        entries: Vec<TreeEntries>,
    ) {
        let mut held = shared.held();
        for (tree, entries) in self.account_trees().into_iter().zip(entries) {
            tree.hold(account, entries);
        }
        let senders = written.senders.clone();
        let written = tokio::sync::Mutex::new(written);
        let (is_over, is_behind) = (AtomicBool::new(false), AtomicBool::new(false));
        let hold = Hold { written, senders, is_over, is_behind };
        let other = held.insert(account.clone(), Arc::new(hold));
        other.iter().for_each(|hold| hold.is_over.store(true, Ordering::SeqCst));
    }

    /// Writes back what was known of an account when it was lost, if the last commit in the engine
    /// is one that this was built on. Returns how many entries that are.
    async fn write_back(
        &self,
        shared: &Shared,
        account: &AccountName,
        last: Option<&str>,
    ) -> Result<usize, StoreError> {
        let Some(aside) = shared.aside().remove(account) else { return Ok(0) };
        if last.is_some_and(|last| !aside.senders.iter().any(|sender| sender == last)) {
            return Ok(0);
        }
        let mut written_back = 0;
        for (tree, known) in self.account_trees().into_iter().zip(&aside.entries) {
            let found = tree.entries_of(account)?;
            let gone = found.keys().filter(|key| !known.contains_key(*key));
            let gone = gone.map(|key| (key.clone(), None));
            let other = known.iter().filter(|(key, value)| found.get(*key) != Some(*value));
            let other = other.map(|(key, value)| (key.clone(), Some(value.clone())));
            let changes: Vec<_> = gone.chain(other).collect();
            written_back += changes.len();
            tree.put(&changes)?;
        }
        if let Err(error) = self.commit(account).await {
            shared.aside().insert(account.clone(), aside);
            return Err(error);
        }
        Ok(written_back)
    }

    /// Forgets an account, and what of it is not written.
    pub fn let_go(&self, account: &AccountName) {
        if let Some(shared) = &self.shared {
            self.forget(&mut shared.held(), account);
        }
    }

    /// Holds an account no longer that may be another one's, or that an engine which was set back
    /// does not know to be ours. Its memory is kept aside for a while.
    pub fn lose(&self, account: &AccountName) {
        if let Some(shared) = &self.shared {
            let mut held = shared.held();
            self.set_aside(shared, &held, account);
            self.forget(&mut held, account);
        }
    }

    fn set_aside(
        &self,
        shared: &Shared,
        held: &BTreeMap<AccountName, Arc<Hold>>,
        account: &AccountName,
    ) {
        let Some(hold) = held.get(account) else { return };
        let pending = self.held.as_ref().and_then(|held| held.states().get(account).cloned());
        let entries = pending.map_or(Ok(()), |state| self.set_states([(account, &state)]));
        let all = || self.account_trees().into_iter().map(|tree| tree.entries_of(account));
        // A memory that cannot be read is worth nothing.
        if let Ok(entries) = entries.and_then(|()| all().collect()) {
            let senders = hold.senders.clone();
            shared.aside().insert(account.clone(), Aside { entries, senders, age: 0 });
        }
    }

    /// Drops the memory of accounts that were lost before this was called last: they are with
    /// another machine by now.
    pub(super) fn age_aside(&self) {
        if let Some(shared) = &self.shared {
            let mut aside = shared.aside();
            aside.values_mut().for_each(|one| one.age += 1);
            aside.retain(|_, one| one.age < 2);
        }
    }

    fn forget(&self, held: &mut BTreeMap<AccountName, Arc<Hold>>, account: &AccountName) {
        if let Some(hold) = held.remove(account) {
            hold.is_over.store(true, Ordering::SeqCst);
        }
        self.account_trees().into_iter().for_each(|tree| tree.let_go(account));
        if let Some(states) = &self.held {
            states.states().remove(account);
        }
    }

    /// True when this account's changes can be written here. Every account's can where they live in
    /// a database.
    pub fn holds(&self, account: &AccountName) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.held().contains_key(account))
    }

    /// Puts an account to rest until somebody reads or writes of it: its records and ledgers then
    /// take a tenth of the memory. That is for the end of a pass. Nothing happens where accounts
    /// live in a database.
    pub fn rest(&self, account: &AccountName) {
        if self.is_shared() {
            self.records.pack(account);
            self.ledgers.pack(account);
        }
    }

    /// The accounts whose last commit failed, or was not answered: what changed of them may be in
    /// memory only.
    pub fn behind(&self) -> BTreeSet<AccountName> {
        let Some(shared) = &self.shared else { return BTreeSet::new() };
        let held = shared.held();
        let behind = held.iter().filter(|(_, hold)| hold.is_behind.load(Ordering::SeqCst));
        behind.map(|(account, _)| account.clone()).collect()
    }

    /// True when this account's last commit failed, or was not answered.
    pub fn is_behind(&self, account: &AccountName) -> bool {
        let held = |shared: &Arc<Shared>| shared.held().get(account).cloned();
        let hold = self.shared.as_ref().and_then(held);
        hold.is_some_and(|hold| hold.is_behind.load(Ordering::SeqCst))
    }

    /// Seals what is secret of an account by other credentials, from its next commit on.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the account is not held.
    pub async fn reseal(&self, account: &AccountName, sealer: Sealer) -> Result<(), StoreError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let hold = shared.hold_of(account)?;
        let mut written = hold.written.lock().await;
        written.sealer = sealer;
        written.unwritten.insert(Part::Token);
        Ok(())
    }

    /// Sees to it that what was set of an account is written, and that the account is still held:
    /// before something is sent to Zoho. Where accounts live in an engine that is a commit, even
    /// when nothing has changed.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn prove(&self, account: &AccountName) -> Result<(), StoreError> {
        match &self.shared {
            Some(shared) => self.commit_shared(shared, account, Reason::Proof).await,
            None => self.commit_all().await,
        }
    }

    /// One fenced transaction of all that changed of an account.
    pub(super) async fn commit_shared(
        &self,
        shared: &Shared,
        account: &AccountName,
        reason: Reason,
    ) -> Result<(), StoreError> {
        let hold = shared.hold_of(account)?;
        let mut written = hold.written.lock().await;
        let result = match hold.is_over.load(Ordering::SeqCst) {
            true => Err(StoreError::Fenced { account: account.clone() }),
            false => {
                hold.is_behind.store(true, Ordering::SeqCst);
                self.bring(shared, &mut written, reason).await
            }
        };
        if result.is_ok() {
            hold.is_behind.store(false, Ordering::SeqCst);
        }
        if matches!(result, Err(StoreError::Fenced { .. })) {
            let mut held = shared.held();
            if !hold.is_over.load(Ordering::SeqCst) {
                self.set_aside(shared, &held, account);
                self.forget(&mut held, account);
            }
        }
        result
    }

    async fn bring(
        &self,
        shared: &Shared,
        written: &mut Written,
        reason: Reason,
    ) -> Result<(), StoreError> {
        written.settle(shared).await?;
        let mut values = self.collect(written)?;
        if values.is_empty() && reason == Reason::Change {
            return Ok(());
        }
        let state = values.remove(&Part::State).unwrap_or_else(|| written.state.clone());
        let mut left = written.changes(shared, values)?.into_iter().peekable();
        let room = written.room(shared, &state);
        loop {
            let mut some = Vec::new();
            let mut bytes = 0;
            while let Some((_, change)) = left.peek()
                && some.len() < OPERATIONS_MAX - 1
                && (some.is_empty() || bytes + bytes_of(change) <= room)
            {
                bytes += bytes_of(change);
                some.extend(left.next());
            }
            let is_last = left.peek().is_none();
            let state = if is_last { state.clone() } else { written.state.clone() };
            let step = match (is_last, reason) {
                (true, _) => Step::Last,
                (false, Reason::Arrival) => Step::Arrival,
                (false, Reason::Change | Reason::Proof) => Step::Part,
            };
            written.send(shared, some, state, step).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// The parts that the engine does not have yet, as they are at this moment. The trees are read
    /// against the order in which they are written, so that nothing is seen without what was set
    /// before it.
    fn collect(
        &self,
        written: &mut Written,
    ) -> Result<BTreeMap<Part, Option<Vec<u8>>>, StoreError> {
        let account = written.account.clone();
        let fenced = || StoreError::Fenced { account: account.clone() };
        let own = account.as_str().as_bytes();
        let mut values = BTreeMap::new();
        let unwritten = &mut written.unwritten;
        for (tree, part) in [(&self.accounts, Part::State), (&self.tokens, Part::Token)] {
            let value = tree.collect(&account, true, |changed, entries| {
                unwritten.extend((!changed.is_empty()).then_some(part));
                unwritten.contains(&part).then(|| entries.get(own).cloned())
            });
            values.extend(value.ok_or_else(fenced)?.map(|value| (part, value)));
        }
        for (place, tree) in self.paged_trees().into_iter().enumerate().rev() {
            let pages = written.pages.get_mut(place).ok_or_else(fenced)?;
            let is_wanted = !pages_of(unwritten, place).is_empty();
            let texts = tree.collect(&account, is_wanted, |changed, entries| {
                for key in changed {
                    let page = pages.place(&key, entries.get(&key).map(Vec::len));
                    unwritten.extend(page.map(|page| Part::Page(place, page)));
                }
                texts(&account, pages, &pages_of(unwritten, place), entries)
            });
            let texts = texts.ok_or_else(fenced)?.into_iter();
            values.extend(texts.map(|(page, text)| (Part::Page(place, page), text)));
        }
        Ok(values)
    }

    /// Makes of what was read what is held.
    fn unpack(
        &self,
        shared: &Shared,
        account: &AccountName,
        fence: Vec<Guard>,
        sealer: Sealer,
        found: &Found,
    ) -> Result<(Written, Vec<TreeEntries>, Taken), StoreError> {
        let own = account.as_str().as_bytes().to_vec();
        let (mut all, mut pages) = (Vec::new(), Vec::new());
        for tree in self.paged_trees() {
            let (entries, index) = shared.unpack_tree(account, tree.name(), found)?;
            all.push(entries);
            pages.push(index);
        }
        let state = found.state.as_ref().and_then(|value| value.state.clone());
        all.push(state.iter().map(|state| (own.clone(), state.clone())).collect());
        let sealed = found.get(&shared.key(TOKENS, account));
        let token = sealed.and_then(|entry| sealer.open(account, &entry.value));
        let taken = Taken {
            is_new: found
                .state
                .as_ref()
                .map_or(all.iter().all(TreeEntries::is_empty), |it| it.arrives),
            is_token_lost: sealed.is_some() && token.is_none(),
            written_back: 0,
        };
        let opens_tokens = sealer.is_able() && !taken.is_token_lost;
        all.push(token.into_iter().map(|token| (own.clone(), token)).collect());
        let last = found.state.as_ref().map_or(Revision::default(), |value| value.modified);
        let layout = found.state.as_ref().map_or(FIRST, |value| value.layout);
        shared.reads(layout)?;
        let (account, number) = (account.clone(), 0);
        let former = found.state.iter().flat_map(|value| value.senders());
        let senders = std::iter::once(name_of_sender()?).chain(former.cloned());
        let senders = senders.take(SENDERS_MAX).collect();
        let (unwritten, doubt) = (BTreeSet::new(), None);
        let written = Written {
            account,
            fence,
            sealer,
            senders,
            number,
            last,
            state,
            layout,
            pages,
            opens_tokens,
            unwritten,
            doubt,
        };
        Ok((written, all, taken))
    }

    /// Each value is what it should be, and belongs where it is.
    fn check(&self, account: &AccountName, all: &[TreeEntries]) -> Result<(), StoreError> {
        let scratch = Store::blank()?;
        for (tree, entries) in scratch.account_trees().into_iter().zip(all) {
            tree.hold(account, entries.clone());
        }
        scratch.verify()
    }

    /// The trees whose entries lie in pages, in the order in which they are written where one
    /// transaction does not hold them all. What tells of something comes after it: a record after
    /// its ledger, a reading after its rows, a recovery after its deliveries.
    fn paged_trees(&self) -> [&Tree; 10] {
        [
            &self.asked,
            &self.acks,
            &self.ledgers,
            &self.canaries,
            &self.rules,
            &self.rows,
            &self.reads,
            &self.items,
            &self.recoveries,
            &self.records,
        ]
    }

    /// All trees of accounts.
    pub(super) fn account_trees(&self) -> Vec<&Tree> {
        let own = [&self.accounts, &self.tokens];
        self.paged_trees().into_iter().chain(own).collect()
    }

    /// Commits everything that is not written, of all accounts. Those that are not held any more
    /// are passed over.
    pub(super) async fn commit_every_account(&self) -> Result<(), StoreError> {
        let changed = self.account_trees().into_iter().flat_map(Tree::changed_accounts);
        let mut changed: BTreeSet<AccountName> = changed.chain(self.behind()).collect();
        while !changed.is_empty() {
            let mut commits = tokio::task::JoinSet::new();
            for account in std::iter::from_fn(|| changed.pop_first()).take(AT_ONCE_MAX) {
                let store = self.clone();
                commits.spawn(async move { store.commit(&account).await });
            }
            // Where the engine is out of reach, the others wait for the next time.
            while let Some(committed) = commits.join_next().await {
                match committed {
                    Ok(Ok(()) | Err(StoreError::Fenced { .. })) => {}
                    Ok(Err(error)) => return Err(error),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                }
            }
        }
        Ok(())
    }
}

/// The reason for a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Something changed.
    Change,
    /// The account has to be ours still.
    Proof,
    /// Everything of it arrives, and counts once all of it is there.
    Arrival,
}

/// One transaction of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Another one follows.
    Part,
    /// Another one follows, and until the last nothing of the account counts.
    Arrival,
    /// With the state.
    Last,
}

/// The entries that were read of an account, by key.
struct Found {
    entries: BTreeMap<String, Entry>,
    state: Option<StateFound>,
}

/// The content of `accounts/ACCOUNT`.
struct StateFound {
    modified: Revision,
    commit: CommitId,
    before: Vec<String>,
    state: Option<Vec<u8>>,
    arrives: bool,
    layout: u32,
}

/// The value of `accounts/ACCOUNT`.
#[derive(Serialize, Deserialize)]
struct StateValue {
    commit: CommitId,
    /// Who sent the commits before those of its sender, the last first.
    #[serde(default)]
    before: Vec<String>,
    state: Option<serde_json::Value>,
    /// True while parts of the account are there and others on their way.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    arrives: bool,
    /// The newest layout in which something of the account was written.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    layout: u32,
}

/// Which commit wrote a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CommitId {
    by: String,
    number: u64,
}

impl Found {
    fn of(snapshot: Snapshot, state_key: &str) -> Result<Found, StoreError> {
        let entries = snapshot.entries.into_iter().map(|entry| (entry.key.clone(), entry));
        let entries: BTreeMap<String, Entry> = entries.collect();
        let state = entries.get(state_key).map(StateFound::of).transpose()?;
        Ok(Found { entries, state })
    }

    fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    fn holds(&self, fence: &[Guard]) -> bool {
        fence.iter().all(|guard| guard.holds(self.get(guard.key())))
    }
}

impl StateFound {
    fn of(entry: &Entry) -> Result<StateFound, StoreError> {
        let bad = |error: serde_json::Error| damaged(ACCOUNTS, &entry.key, error.to_string());
        let value = serde_json::from_slice(&entry.value);
        let StateValue { commit, before, state, arrives, layout } = value.map_err(bad)?;
        let state = state.map(|state| serde_json::to_vec(&state)).transpose().map_err(bad)?;
        Ok(StateFound { modified: entry.modified, commit, before, state, arrives, layout })
    }

    /// Everybody who is known to have sent a commit, the last first.
    fn senders(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.commit.by).chain(&self.before)
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, BTreeMap<AccountName, Arc<Hold>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aside(&self) -> MutexGuard<'_, BTreeMap<AccountName, Aside>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold_of(&self, account: &AccountName) -> Result<Arc<Hold>, StoreError> {
        let hold = self.held().get(account).cloned();
        hold.ok_or_else(|| StoreError::Fenced { account: account.clone() })
    }

    /// `PREFIX TREE/ACCOUNT`.
    fn key(&self, tree: &str, account: &AccountName) -> String {
        format!("{}{tree}/{account}", self.prefix)
    }

    fn page_key(&self, tree: &str, account: &AccountName, page: u32) -> String {
        format!("{}/{page:05}", self.key(tree, account))
    }

    /// Everything of an account, with its fence, at one revision.
    async fn read(&self, account: &AccountName, fence: &[Guard]) -> Result<Found, StoreError> {
        let state_key = self.key(ACCOUNTS, account);
        let schema = format!("{}{SCHEMA_KEY}", self.prefix);
        let mut selections = vec![
            Selection::Key(schema.clone()),
            Selection::Key(state_key.clone()),
            Selection::Key(self.key(TOKENS, account)),
        ];
        let trees = PAGED.iter().map(|tree| format!("{}/", self.key(tree, account)));
        selections.extend(trees.map(Selection::Prefix));
        selections.extend(fence.iter().map(|guard| Selection::Key(guard.key().to_owned())));
        let failed = |source| StoreError::Engine { doing: "read an account", source };
        let snapshot = self.engine.range(selections).await.map_err(failed)?;
        let found = Found::of(snapshot, &state_key)?;
        if !found.holds(fence) {
            return Err(StoreError::Fenced { account: account.clone() });
        }
        match found.get(&schema) {
            Some(entry) => self.check_layout(entry)?,
            None => self.begin(schema).await?,
        }
        Ok(found)
    }

    /// A layout that is not read here was written by another release.
    fn reads(&self, found: u32) -> Result<(), StoreError> {
        match self.layouts.read(found) {
            true => Ok(()),
            false => Err(StoreError::Layout { found, known: self.layouts.newest }),
        }
    }

    fn check_layout(&self, entry: &Entry) -> Result<(), StoreError> {
        let text = String::from_utf8_lossy(&entry.value);
        let bad = |_| damaged("meta", &entry.key, format!("no layout is {text}"));
        self.reads(text.parse::<u32>().map_err(bad)?)
    }

    /// Writes the layout into an engine that has none yet.
    async fn begin(&self, schema: String) -> Result<(), StoreError> {
        let guards = vec![Guard::CreatedAt(schema.clone(), Revision::default())];
        let changes =
            vec![Change::Put(schema.clone(), self.layouts.oldest.to_string().into_bytes())];
        let failed = |source| StoreError::Engine { doing: "begin its layout", source };
        match self.engine.commit(guards, changes).await.map_err(failed)? {
            Committed::Done(_) => Ok(()),
            Committed::Refused => {
                let read = self.engine.range(vec![Selection::Key(schema)]).await.map_err(failed)?;
                read.entries.iter().try_for_each(|entry| self.check_layout(entry))
            }
        }
    }

    /// The entries of a tree, and where they lie.
    fn unpack_tree(
        &self,
        account: &AccountName,
        tree: &'static str,
        found: &Found,
    ) -> Result<(TreeEntries, Pages), StoreError> {
        let prefix = format!("{}/", self.key(tree, account));
        let (mut entries, mut index) = (TreeEntries::new(), Pages::default());
        let from = found.entries.range(prefix.clone()..);
        for (key, entry) in from.take_while(|(key, _)| key.starts_with(&prefix)) {
            let bad = |why: String| damaged(tree, key, why);
            let page = key[prefix.len()..].parse().map_err(|_| bad("it is no page".to_owned()))?;
            let text = pages::inflated(&entry.value).map_err(bad)?;
            for (key, value) in pages::entries_in(account, &text).map_err(bad)? {
                if index.found(&key, value.len(), page) {
                    return Err(bad("an entry of it is on another page too".to_owned()));
                }
                entries.insert(key, value);
            }
        }
        Ok((entries, index))
    }
}

impl Written {
    fn fenced(&self) -> StoreError {
        StoreError::Fenced { account: self.account.clone() }
    }

    fn unsaid(&self, source: EngineError) -> StoreError {
        StoreError::Unwritten { account: self.account.clone(), source }
    }

    /// Finds out what became of commits that were not answered.
    async fn settle(&mut self, shared: &Shared) -> Result<(), StoreError> {
        let Some(since) = self.doubt.as_ref().map(|doubt| doubt.since) else { return Ok(()) };
        let found = self.look(shared).await?;
        let Doubt { since: _, parts, state } =
            self.doubt.take().unwrap_or(Doubt { since, parts: BTreeSet::new(), state: None });
        match self.landed(found, since)? {
            Some(number) if number == self.number => self.state = state,
            Some(_) => self.unwritten.extend(parts),
            // It may still land, until another commit has.
            None => {
                self.unwritten.extend(parts);
                self.doubt = Some(Doubt { since, parts: BTreeSet::new(), state: None });
            }
        }
        Ok(())
    }

    /// Reads who wrote the account last.
    async fn look(&self, shared: &Shared) -> Result<Found, StoreError> {
        let state_key = shared.key(ACCOUNTS, &self.account);
        let fence = self.fence.iter().map(|guard| Selection::Key(guard.key().to_owned()));
        let selections = [Selection::Key(state_key.clone())].into_iter().chain(fence);
        let read = shared.engine.range(selections.collect()).await;
        let found = Found::of(read.map_err(|source| self.unsaid(source))?, &state_key)?;
        if found.holds(&self.fence) { Ok(found) } else { Err(self.fenced()) }
    }

    /// The number of our commit that landed, from `since` on; none when the last one is the one
    /// that was known.
    fn landed(&mut self, found: Found, since: u64) -> Result<Option<u64>, StoreError> {
        let Some(StateFound { modified, commit, state, .. }) = found.state else {
            return if self.last == Revision::default() { Ok(None) } else { Err(self.fenced()) };
        };
        if modified == self.last {
            return Ok(None);
        }
        if Some(&commit.by) != self.senders.first() || commit.number < since {
            return Err(self.fenced());
        }
        (self.last, self.state) = (modified, state);
        Ok(Some(commit.number))
    }

    /// The values as changes of the engine.
    fn changes(
        &self,
        shared: &Shared,
        values: BTreeMap<Part, Option<Vec<u8>>>,
    ) -> Result<Vec<(Part, Change)>, StoreError> {
        let change = |(part, value): (Part, Option<Vec<u8>>)| {
            let key = match part {
                Part::Page(place, page) => shared.page_key(PAGED[place], &self.account, page),
                Part::Token | Part::State => shared.key(TOKENS, &self.account),
            };
            let change = match value {
                Some(value) => Change::Put(key, self.packed(part, &value)?),
                None => Change::Delete(key),
            };
            Ok((part, change))
        };
        values.into_iter().map(change).collect()
    }

    fn packed(&self, part: Part, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        match part {
            Part::Page(..) => Ok(pages::deflated(value)),
            Part::Token | Part::State => {
                let sealed = self.sealer.seal(&self.account, value);
                let failed = || "it cannot be sealed: the system gives no random numbers";
                sealed.ok_or_else(|| damaged(TOKENS, self.account.as_str(), failed().to_owned()))
            }
        }
    }

    /// How many bytes of changes go into a commit beside its guards and the state.
    fn room(&self, shared: &Shared, state: &Option<Vec<u8>>) -> usize {
        let fence: usize = self.fence.iter().map(|guard| guard.key().len()).sum();
        let states = [state, &self.state].map(|state| state.as_ref().map_or(0, Vec::len));
        let state_key = shared.key(ACCOUNTS, &self.account).len();
        let taken = fence + 2 * state_key + states.into_iter().max().unwrap_or(0) + FRAME_BYTES;
        COMMIT_BYTES_MAX.saturating_sub(taken)
    }

    /// One transaction.
    async fn send(
        &mut self,
        shared: &Shared,
        some: Vec<(Part, Change)>,
        state: Option<Vec<u8>>,
        step: Step,
    ) -> Result<(), StoreError> {
        let (mut parts, changes): (BTreeSet<Part>, Vec<Change>) = some.into_iter().unzip();
        parts.extend((step == Step::Last).then_some(Part::State));
        loop {
            self.number += 1;
            let since = self.doubt.as_ref().map_or(self.number, |doubt| doubt.since);
            self.unwritten.retain(|part| !parts.contains(part));
            // From here on: whoever asked for this commit may go away while it is under way.
            self.doubt = Some(Doubt { since, parts: parts.clone(), state: state.clone() });
            let (guards, changes) = self.transaction(shared, changes.clone(), &state, step)?;
            match shared.engine.commit(guards, changes).await {
                Ok(Committed::Done(revision)) => {
                    (self.last, self.state, self.doubt) = (revision, state, None);
                    return Ok(());
                }
                Ok(Committed::Refused) if since == self.number => return Err(self.fenced()),
                Ok(Committed::Refused) => {
                    let found = self.look(shared).await?;
                    self.doubt = None;
                    self.unwritten.extend(&parts);
                    self.landed(found, since)?.ok_or_else(|| self.fenced())?;
                }
                Err(source @ EngineError::Unreachable(_)) => return Err(self.unsaid(source)),
                Err(source @ EngineError::Unable(_)) => {
                    self.unwritten.extend(parts);
                    let none = BTreeSet::new();
                    let earlier = Doubt { since, parts: none, state: None };
                    self.doubt = (since < self.number).then_some(earlier);
                    return Err(self.unsaid(source));
                }
            }
        }
    }

    fn transaction(
        &mut self,
        shared: &Shared,
        mut changes: Vec<Change>,
        state: &Option<Vec<u8>>,
        step: Step,
    ) -> Result<(Vec<Guard>, Vec<Change>), StoreError> {
        let key = shared.key(ACCOUNTS, &self.account);
        let bad = |error: serde_json::Error| damaged(ACCOUNTS, &key, error.to_string());
        let parse = |state: &Vec<u8>| serde_json::from_slice(state);
        let state = state.as_ref().map(parse).transpose().map_err(bad)?;
        let (by, before) = self.senders.split_first().ok_or_else(|| self.fenced())?;
        let commit = CommitId { by: by.clone(), number: self.number };
        let arrives = step == Step::Arrival;
        self.layout = self.layout.max(shared.gate.load(Ordering::SeqCst));
        let value =
            StateValue { commit, before: before.to_vec(), state, arrives, layout: self.layout };
        let value = serde_json::to_vec(&value).map_err(bad)?;
        changes.push(Change::Put(key.clone(), value));
        let mut guards = self.fence.clone();
        guards.push(Guard::ModifiedAt(key, self.last));
        Ok((guards, changes))
    }
}

/// The pages of one tree among those that are to be written.
fn pages_of(unwritten: &BTreeSet<Part>, place: usize) -> BTreeSet<u32> {
    let of_tree = unwritten.range(Part::Page(place, 0)..=Part::Page(place, u32::MAX));
    let page = |part: &Part| match part {
        Part::Page(_, page) => Some(*page),
        Part::Token | Part::State => None,
    };
    of_tree.filter_map(page).collect()
}

/// These pages of a tree; `None` for one that holds nothing any more.
fn texts(
    account: &AccountName,
    index: &Pages,
    wanted: &BTreeSet<u32>,
    entries: &TreeEntries,
) -> Vec<(u32, Option<Vec<u8>>)> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let text = |keys: &Vec<&[u8]>| pages::text_of(account, keys, entries);
    let keys = index.keys_on(wanted).into_iter();
    keys.map(|(page, keys)| (page, (!keys.is_empty()).then(|| text(&keys)))).collect()
}

fn bytes_of(change: &Change) -> usize {
    match change {
        Change::Put(key, value) => key.len() + value.len(),
        Change::Delete(key) => key.len(),
    }
}

fn first() -> u32 {
    FIRST
}

fn is_first(layout: &u32) -> bool {
    *layout == FIRST
}

fn damaged(tree: &'static str, key: &str, why: String) -> StoreError {
    StoreError::Value { tree, key: key.to_owned(), why }
}

/// A name that nobody else has, and nobody had before.
fn name_of_sender() -> Result<String, StoreError> {
    let number =
        getrandom::u64().map_err(|error| damaged(ACCOUNTS, "commit", error.to_string()))?;
    Ok(format!("{number:016x}"))
}

/// The names of the paged trees, in their order.
const PAGED: [&str; 10] = [
    "asked",
    "acks",
    "ledger",
    "canaries",
    "rules",
    "rows",
    "reads",
    "items",
    "recoveries",
    "records",
];
const ACCOUNTS: &str = "accounts";
const TOKENS: &str = "tokens";
const SCHEMA_KEY: &str = "meta/schema";
/// The layout of the first releases, which did not say it of an account.
const FIRST: u32 = 1;
/// The frame of the state in the value of `accounts/ACCOUNT`, with who sent what.
const FRAME_BYTES: usize = 200 + 20 * SENDERS_MAX;
/// So many who sent commits are remembered: an account that moved more often since a backup was
/// made is not written back.
const SENDERS_MAX: usize = 16;
/// How many accounts are committed at once where all of them are.
const AT_ONCE_MAX: usize = 32;

#[cfg(test)]
mod tests;
