//! Reading and writing one tree: values as JSON, batches bounded, errors that name the key.
//!
//! A tree is on the disk, or, once a write to the disk has failed and its store [goes
//! on](super::Store::going_on), whole in memory. A tree of accounts that live in an engine is in
//! memory from the start, with a journal of what the engine does not have yet ([`super::shared`]);
//! the entries of an account [at rest](super::Store::rest) are deflated there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::Disk;
use super::{keys, pages};
use crate::engine::EngineError;
use crate::model::channel::AccountName;

/// The most entries in one batch (measured: sled's memory grows with the size of a batch, and not
/// with their number).
pub const BATCH_MAX: usize = 200;

/// The store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// sled says no: the disk is full, or broken, or read-only.
    #[error("the store could not {doing}")]
    Sled {
        /// The work under way.
        doing: &'static str,
        /// The error of sled.
        source: sled::Error,
    },
    /// A value is not what it should be.
    #[error("the store holds a value that cannot be read, {tree}/{key}: {why}")]
    Value {
        /// The tree.
        tree: &'static str,
        /// The key.
        key: String,
        /// The fault, in words.
        why: String,
    },
    /// The account is not this process's, or not any more: another one has it, or may have it.
    /// Nothing was written, and nothing of it can be until it is [taken](super::Store::take).
    #[error("account {account} is not held here: nothing of it is written")]
    Fenced {
        /// The account.
        account: AccountName,
    },
    /// The engine did not take what changed, or did not say that it did. It is kept in memory, and
    /// the next commit of the account brings it.
    #[error("what changed of account {account} is in memory only")]
    Unwritten {
        /// The account.
        account: AccountName,
        /// The engine's word.
        source: EngineError,
    },
    /// The engine could not be asked for what it has.
    #[error("the engine could not {doing}")]
    Engine {
        /// The work under way.
        doing: &'static str,
        /// The engine's word.
        source: EngineError,
    },
    /// Another version of this program has written what the engine has.
    #[error("the engine holds layout {found}, and this version reads up to {known}: update it")]
    Layout {
        /// The layout that is there.
        found: u32,
        /// The newest one that this program reads and writes.
        known: u32,
    },
}

impl StoreError {
    /// The error with its cause, in one line.
    fn chain(&self) -> String {
        match self {
            StoreError::Sled { doing: _, source } => format!("{self}: {source}"),
            StoreError::Unwritten { account: _, source }
            | StoreError::Engine { doing: _, source } => format!("{self}: {source}"),
            StoreError::Value { .. } | StoreError::Fenced { .. } | StoreError::Layout { .. } => {
                self.to_string()
            }
        }
    }
}

/// Asked before each batch that is written to the disk; an error is the disk's. It is how a disk
/// that is full, and a process that dies at this very point, are played; a daemon has none.
pub type Gate = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

/// One tree with its name.
#[derive(Clone)]
pub(super) struct Tree {
    name: &'static str,
    place: Arc<RwLock<Place>>,
    keeper: Keeper,
}

/// The facts that the trees of a store share.
#[derive(Clone, Default)]
pub(super) struct Keeper {
    /// True when to go on in memory when the disk fails.
    pub(super) goes_on: bool,
    pub(super) gate: Option<Gate>,
    /// The reason why something is in memory only.
    pub(super) trouble: Arc<Mutex<Option<String>>>,
}

/// The place of a tree's entries.
enum Place {
    Disk(Disk),
    Memory(InMemory),
}

/// The entries of a tree in memory.
#[derive(Default)]
struct InMemory {
    entries: TreeEntries,
    /// `None` where nobody has them but this memory.
    journal: Option<Journal>,
    /// Accounts at rest: their entries are here, deflated, and not in `entries`.
    packed: BTreeMap<AccountName, Vec<u8>>,
}

impl InMemory {
    fn of(entries: TreeEntries) -> InMemory {
        InMemory { entries, ..InMemory::default() }
    }

    fn is_packed(&self, key: &[u8]) -> bool {
        !self.packed.is_empty()
            && keys::owner_of(key).is_some_and(|account| self.packed.contains_key(&account))
    }

    fn unpack(&mut self, key: &[u8]) {
        if !self.is_packed(key) {
            return;
        }
        let Some(account) = keys::owner_of(key) else { return };
        if let Some(packed) = self.packed.remove(&account) {
            self.entries.extend(unpacked(&account, &packed));
        }
    }
}

/// The entries of an account at rest.
fn unpacked(account: &AccountName, packed: &[u8]) -> TreeEntries {
    let text = pages::inflated(packed);
    let entries = text.and_then(|text| pages::entries_in(account, &text));
    entries.expect("it was packed by this process")
}

/// By account that is held here: the keys that changed since they were last
/// [collected](Tree::collect).
type Journal = BTreeMap<AccountName, BTreeSet<Vec<u8>>>;

/// Values by key, as bytes.
pub(super) type TreeEntries = BTreeMap<Vec<u8>, Vec<u8>>;
/// An entry to be set, or removed (`None`).
pub(super) type EntryChange = (Vec<u8>, Option<Vec<u8>>);

impl Keeper {
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

impl Tree {
    pub(super) fn open(db: &sled::Db, name: &'static str) -> Result<Tree, StoreError> {
        let disk = Disk::open(db, name, IN_LEAVES.contains(&name))?;
        let place = Arc::new(RwLock::new(Place::Disk(disk)));
        Ok(Tree { name, place, keeper: Keeper::default() })
    }

    /// An empty tree in memory, for entries of accounts that live elsewhere.
    pub(super) fn journaled(name: &'static str) -> Tree {
        let journal = Some(Journal::default());
        let place = Place::Memory(InMemory { journal, ..InMemory::default() });
        Tree { name, place: Arc::new(RwLock::new(place)), keeper: Keeper::default() }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// Holds an account, with these entries. What was held of it is forgotten.
    pub(super) fn hold(&self, account: &AccountName, entries: TreeEntries) {
        self.let_go(account);
        if let Place::Memory(memory) = &mut *self.place_mut() {
            memory.entries.extend(entries);
            memory.journal.get_or_insert_default().insert(account.clone(), BTreeSet::new());
        }
    }

    /// Forgets an account.
    pub(super) fn let_go(&self, account: &AccountName) {
        if let Place::Memory(InMemory { entries, journal: Some(journal), packed }) =
            &mut *self.place_mut()
            && journal.remove(account).is_some()
        {
            packed.remove(account);
            let keys: Vec<Vec<u8>> =
                entries_of(entries, account).map(|(key, _)| key.clone()).collect();
            keys.iter().for_each(|key| drop(entries.remove(key)));
        }
    }

    /// The keys of an account that changed since this was last called, and all of its entries, with
    /// nobody's change in between. An account at rest has changed nothing; where `wants` is false,
    /// it stays at rest and its entries are not shown.
    pub(super) fn collect<T>(
        &self,
        account: &AccountName,
        wants: bool,
        see: impl FnOnce(BTreeSet<Vec<u8>>, &TreeEntries) -> T,
    ) -> Option<T> {
        let Place::Memory(memory) = &mut *self.place_mut() else { return None };
        if wants {
            memory.unpack(account.as_str().as_bytes());
        }
        let changed = std::mem::take(memory.journal.as_mut()?.get_mut(account)?);
        Some(see(changed, &memory.entries))
    }

    /// Puts an account to rest: its entries take a tenth of the memory until somebody asks for one
    /// of them.
    pub(super) fn pack(&self, account: &AccountName) {
        let mut place = self.place_mut();
        let Place::Memory(InMemory { entries, journal: Some(journal), packed }) = &mut *place
        else {
            return;
        };
        if journal.get(account).is_none_or(|changed| !changed.is_empty()) {
            return;
        }
        let keys: Vec<Vec<u8>> = entries_of(entries, account).map(|(key, _)| key.clone()).collect();
        if !keys.is_empty() {
            let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let text = pages::text_of(account, &slices, entries);
            packed.insert(account.clone(), pages::deflated(&text));
            keys.iter().for_each(|key| drop(entries.remove(key)));
        }
    }

    /// The tree, with the account of this key awake: nobody puts it to rest while this is held.
    fn place_of(&self, key: &[u8]) -> RwLockReadGuard<'_, Place> {
        let place = self.place.read().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*place, Place::Memory(memory) if memory.is_packed(key)) {
            drop(place);
            return RwLockWriteGuard::downgrade(self.place_mut_of(key));
        }
        place
    }

    fn place_mut_of(&self, key: &[u8]) -> RwLockWriteGuard<'_, Place> {
        let mut place = self.place_mut();
        if let Place::Memory(memory) = &mut *place {
            memory.unpack(key);
        }
        place
    }

    /// The entries of an account, as they are.
    pub(super) fn entries_of(&self, account: &AccountName) -> Result<TreeEntries, StoreError> {
        let mut found = TreeEntries::new();
        self.visit(account.as_str(), |key, value| {
            if keys::owner_of(key).as_ref() == Some(account) {
                found.insert(key.to_vec(), value.to_vec());
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// The accounts of which something changed since it was last collected.
    pub(super) fn changed_accounts(&self) -> BTreeSet<AccountName> {
        match &*self.place.read().unwrap_or_else(PoisonError::into_inner) {
            Place::Memory(InMemory { journal: Some(journal), .. }) => {
                let changed = journal.iter().filter(|(_, keys)| !keys.is_empty());
                changed.map(|(account, _)| account.clone()).collect()
            }
            Place::Memory(_) | Place::Disk(_) => BTreeSet::new(),
        }
    }

    fn place_mut(&self) -> RwLockWriteGuard<'_, Place> {
        self.place.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same tree under another keeper.
    pub(super) fn kept_by(self, keeper: &Keeper) -> Tree {
        Tree { keeper: keeper.clone(), ..self }
    }

    pub(super) fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let stored = stored(&self.place_of(key.as_bytes()), key)?;
        stored.map(|bytes| self.parse(key.as_bytes(), &bytes)).transpose()
    }

    /// True when there is an entry of this key.
    pub(super) fn has(&self, key: &str) -> Result<bool, StoreError> {
        Ok(stored(&self.place_of(key.as_bytes()), key)?.is_some())
    }

    /// Every entry whose key begins so, in the order of keys.
    pub(super) fn scan<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        let mut entries = Vec::new();
        self.each(prefix, |key, value| entries.push((key.to_vec(), value)))?;
        Ok(entries)
    }

    /// The same, one after the other.
    pub(super) fn each<T: DeserializeOwned>(
        &self,
        prefix: &str,
        mut see: impl FnMut(&[u8], T),
    ) -> Result<(), StoreError> {
        self.visit(prefix, |key, bytes| {
            see(key, self.parse(key, bytes)?);
            Ok(())
        })
    }

    /// Reads every entry, and keeps none; each has to belong where it is.
    pub(super) fn check<T: DeserializeOwned>(
        &self,
        mut belongs: impl FnMut(&T, &str) -> bool,
    ) -> Result<(), StoreError> {
        self.visit("", |key, bytes| {
            let value: T = self.parse(key, bytes)?;
            let key = String::from_utf8_lossy(key);
            if belongs(&value, &key) {
                Ok(())
            } else {
                Err(self.bad(&key, &"it belongs under another key"))
            }
        })
    }

    /// The keys that begin so.
    pub(super) fn keys(&self, prefix: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        self.keys_that(prefix, |_| true)
    }

    /// The keys that begin so and satisfy the condition.
    pub(super) fn keys_that(
        &self,
        prefix: &str,
        holds: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut keys = Vec::new();
        self.visit(prefix, |key, _| {
            if holds(key) {
                keys.push(key.to_vec());
            }
            Ok(())
        })?;
        Ok(keys)
    }

    /// The first key that is this one or comes after it; of an account at rest, what is before all
    /// of its keys.
    pub(super) fn first_key_from(&self, from: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match &*self.place.read().unwrap_or_else(PoisonError::into_inner) {
            Place::Disk(disk) => disk.first_key_from(from),
            Place::Memory(InMemory { entries, journal: _, packed }) => {
                let first = entries.range(from.to_vec()..).next().map(|(key, _)| key.clone());
                let at_rest = packed.keys().map(|account| keys::records_of(account).into_bytes());
                Ok(first.into_iter().chain(at_rest.filter(|key| key.as_slice() >= from)).min())
            }
        }
    }

    /// Sets and removes (`None`) entries, in batches, and flushes.
    pub(super) fn write<T: Serialize>(
        &self,
        entries: impl IntoIterator<Item = (String, Option<T>)>,
    ) -> Result<(), StoreError> {
        self.set(entries)?;
        self.flush()
    }

    /// The same without the flush. No more entries than a batch has are in memory at a time.
    pub(super) fn set<T: Serialize>(
        &self,
        entries: impl IntoIterator<Item = (String, Option<T>)>,
    ) -> Result<(), StoreError> {
        self.set_changes(entries.into_iter().map(|(key, value)| self.change(key, value)))
    }

    /// The same of entries as bytes.
    pub(super) fn set_changes(
        &self,
        mut changes: impl Iterator<Item = Result<EntryChange, StoreError>>,
    ) -> Result<(), StoreError> {
        loop {
            let batch = changes.by_ref().take(BATCH_MAX).collect::<Result<Vec<_>, _>>()?;
            if batch.is_empty() {
                return Ok(());
            }
            self.put(&batch)?;
        }
    }

    /// An entry to be set, or removed (`None`), as bytes.
    pub(super) fn change<T: Serialize>(
        &self,
        key: String,
        value: Option<T>,
    ) -> Result<EntryChange, StoreError> {
        let json = value.map(|value| self.json(&key, &value)).transpose()?;
        Ok((key.into_bytes(), json))
    }

    /// Changes one entry, with nobody else's change in between. `None` is an entry that is not
    /// there.
    pub(super) fn update<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        change: impl FnOnce(Option<T>) -> Result<Option<T>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut place = self.place_mut_of(key.as_bytes());
        let stored = stored(&place, key)?;
        let changed =
            change(stored.as_deref().map(|bytes| self.parse(key.as_bytes(), bytes)).transpose()?)?;
        let changed = changed.map(|value| self.json(key, &value)).transpose()?;
        if changed != stored {
            self.put_at(&mut place, &[(key.as_bytes().to_vec(), changed)])?;
        }
        Ok(())
    }

    /// Removes keys, in batches.
    pub(super) fn remove(&self, keys: Vec<Vec<u8>>) -> Result<(), StoreError> {
        self.put(&keys.into_iter().map(|key| (key, None)).collect::<Vec<_>>())
    }

    /// Sees to it that what was set is on the disk. sled has one log for all trees: this is for
    /// what was set in the others too.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        match &*self.place.read().unwrap_or_else(PoisonError::into_inner) {
            Place::Disk(disk) if self.keeper.trouble().is_none() => match disk.flush() {
                Ok(()) => Ok(()),
                Err(error) if self.keeper.goes_on => {
                    self.keeper.set_trouble(Some(error.chain()));
                    Ok(())
                }
                Err(error) => Err(error),
            },
            // The disk has failed; the next write moves this tree into memory.
            Place::Disk(_) | Place::Memory(_) => Ok(()),
        }
    }

    /// True when these entries, in the order of their keys, are exactly those below `prefix`, byte
    /// for byte. Both are read side by side, and none is kept.
    pub(super) fn is<T: Serialize>(
        &self,
        prefix: &str,
        entries: impl IntoIterator<Item = (String, T)>,
    ) -> Result<bool, StoreError> {
        let (mut entries, mut same) = (entries.into_iter(), true);
        self.visit(prefix, |key, bytes| {
            same &= match entries.next() {
                Some((expected, value)) => {
                    expected.as_bytes() == key && self.json(&expected, &value)?.as_slice() == bytes
                }
                None => false,
            };
            Ok(())
        })?;
        Ok(same && entries.next().is_none())
    }

    /// Takes the entries off the disk, so that nothing holds its files.
    pub(super) fn leave_disk(&self) -> Result<(), StoreError> {
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        if let Place::Disk(disk) = &*place {
            *place = Place::Memory(InMemory::of(disk.everything()?));
        }
        Ok(())
    }

    /// Writes what is in memory into a tree on the disk, and is that tree from then on.
    pub(super) fn move_to(&self, fresh: &Tree) -> Result<(), StoreError> {
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        let Place::Memory(InMemory { entries, journal: None, .. }) = &*place else {
            return Ok(());
        };
        let gone = fresh
            .keys("")?
            .into_iter()
            .filter(|key| !entries.contains_key(key))
            .map(|key| (key, None));
        let kept = entries.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
        let changes: Vec<EntryChange> = gone.chain(kept).collect();
        let mut there = fresh.place.write().unwrap_or_else(PoisonError::into_inner);
        let Place::Disk(disk) = &*there else { return Ok(()) };
        for chunk in changes.chunks(BATCH_MAX) {
            self.to_disk(disk, chunk)?;
        }
        disk.flush()?;
        std::mem::swap(&mut *place, &mut *there);
        Ok(())
    }

    /// Sets and removes entries, in batches, without a flush.
    pub(super) fn put(&self, changes: &[EntryChange]) -> Result<(), StoreError> {
        let mut place = self.place.write().unwrap_or_else(PoisonError::into_inner);
        self.put_at(&mut place, changes)
    }

    fn put_at(&self, place: &mut Place, changes: &[EntryChange]) -> Result<(), StoreError> {
        for chunk in changes.chunks(BATCH_MAX) {
            let unwritten = match place {
                // The other trees are not there any more: what is on the disk stays of one time.
                Place::Disk(disk) if self.keeper.trouble().is_some() => Some(disk.everything()?),
                Place::Disk(disk) => match self.to_disk(disk, chunk) {
                    Ok(()) => None,
                    Err(error @ StoreError::Sled { .. }) if self.keeper.goes_on => {
                        self.keeper.set_trouble(Some(error.chain()));
                        Some(disk.everything()?)
                    }
                    Err(error) => return Err(error),
                },
                Place::Memory(_) => None,
            };
            if let Some(entries) = unwritten {
                *place = Place::Memory(InMemory::of(entries));
            }
            if let Place::Memory(memory) = place {
                chunk.iter().for_each(|(key, _)| memory.unpack(key));
                if let Some(journal) = &mut memory.journal {
                    note(journal, chunk)?;
                }
                let entries = &mut memory.entries;
                for (key, value) in chunk.iter().cloned() {
                    match value {
                        Some(value) => entries.insert(key, value),
                        None => entries.remove(&key),
                    };
                }
            }
        }
        Ok(())
    }

    fn to_disk(&self, disk: &Disk, changes: &[EntryChange]) -> Result<(), StoreError> {
        let gate = self.keeper.gate.as_ref().map_or(Ok(()), |gate| gate());
        gate.map_err(|source| StoreError::Sled { doing: "write", source: source.into() })?;
        disk.apply(changes)
    }

    /// Every entry whose key begins so, as bytes.
    pub(super) fn visit(
        &self,
        prefix: &str,
        mut see: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match &*self.place_of(prefix.as_bytes()) {
            Place::Disk(disk) => disk.visit(prefix.as_bytes(), see)?,
            Place::Memory(InMemory { entries, journal: _, packed }) => {
                let from = entries.range(prefix.as_bytes().to_vec()..);
                for (key, bytes) in from.take_while(|(key, _)| key.starts_with(prefix.as_bytes())) {
                    see(key, bytes)?;
                }
                // Whoever reads of all accounts wakes none: they follow in an order of their own.
                for (account, packed) in packed.iter().filter(|_| prefix.is_empty()) {
                    let entries = unpacked(account, packed);
                    entries.iter().try_for_each(|(key, bytes)| see(key, bytes))?;
                }
            }
        }
        Ok(())
    }

    fn parse<T: DeserializeOwned>(&self, key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
        serde_json::from_slice(bytes)
            .map_err(|error| self.bad(&String::from_utf8_lossy(key), &error))
    }

    fn json<T: Serialize>(&self, key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
        JSON.with_borrow_mut(|bytes| {
            bytes.clear();
            serde_json::to_writer(&mut *bytes, value).map_err(|error| self.bad(key, &error))?;
            Ok(bytes.clone())
        })
    }

    fn bad(&self, key: &str, why: &dyn std::fmt::Display) -> StoreError {
        StoreError::Value { tree: self.name, key: key.to_owned(), why: why.to_string() }
    }
}

/// Notes what changes, of accounts that are held.
fn note(journal: &mut Journal, changes: &[EntryChange]) -> Result<(), StoreError> {
    for (key, _) in changes {
        let Some(account) = keys::owner_of(key) else { continue };
        let Some(changed) = journal.get_mut(&account) else {
            return Err(StoreError::Fenced { account });
        };
        changed.insert(key.clone());
    }
    Ok(())
}

/// The entries of an account: that of its name, and those below it.
pub(super) fn entries_of<'a>(
    entries: &'a TreeEntries,
    account: &AccountName,
) -> impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)> {
    let (own, below) = (account.as_str().as_bytes(), keys::records_of(account).into_bytes());
    let own = entries.get_key_value(own);
    let from = entries.range(below.clone()..);
    own.into_iter().chain(from.take_while(move |(key, _)| key.starts_with(&below)))
}

/// One value, as bytes.
fn stored(place: &Place, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    match place {
        Place::Disk(disk) => disk.get(key.as_bytes()),
        Place::Memory(memory) => Ok(memory.entries.get(key.as_bytes()).cloned()),
    }
}

thread_local! {
    /// Where a value is written before it is known how long it is.
    static JSON: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The trees whose entries lie in leaves: those that have one for each channel.
const IN_LEAVES: [&str; 3] = ["desired", "records", "ledger"];
