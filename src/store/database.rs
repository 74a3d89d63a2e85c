//! The open store: its trees, and the records, states and tokens in them.
//!
//! The other files of this folder add the values that they know: [`super::wishes`],
//! [`super::ledger`] and their neighbours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys;
use super::shared::Shared;
use super::tree::{Gate, Keeper, StoreError, Tree};
use super::unwritten::{PassTree, Unwritten};
use super::value::{GrantOnly, TokenValue};
use crate::coverage::ledger::Ledger;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::record::{AccountState, Grant, Record};
use crate::model::token::TokenState;

/// The open store. Cheap to clone; the lock goes with the last clone.
#[derive(Clone)]
pub struct Store {
    pub(super) meta: Tree,
    pub(super) desired: Tree,
    pub(super) records: Tree,
    pub(super) accounts: Tree,
    pub(super) tokens: Tree,
    pub(super) asked: Tree,
    pub(super) ledgers: Tree,
    pub(super) acks: Tree,
    pub(super) canaries: Tree,
    pub(super) recoveries: Tree,
    pub(super) items: Tree,
    pub(super) reads: Tree,
    pub(super) rows: Tree,
    pub(super) rules: Tree,
    pub(super) keeper: Keeper,
    pub(super) unwritten: Unwritten,
    /// `None` when nothing is held.
    pub(super) held: Option<PendingStates>,
    /// `None` where accounts live in the database.
    pub(super) shared: Option<Arc<Shared>>,
    /// `None` while everything is in memory.
    pub(super) db: Arc<Mutex<Option<sled::Db>>>,
    /// `None` when it is temporary.
    pub(super) state_dir: Option<PathBuf>,
    /// The number over the desired state, once this process has read or written all of it.
    pub(super) over: Arc<Mutex<Option<u64>>>,
    /// The grants that the check of a database read, until a record is written or all of them were
    /// told: a start asks for them, and would read all records twice more.
    pub(super) grants: Arc<Mutex<Option<GrantsRead>>>,
}

/// The remembered channels of each account, and their grants.
pub(super) type GrantsRead = BTreeMap<AccountName, Vec<(ChannelId, Option<Grant>)>>;

/// Account states that wait to be written.
#[derive(Clone, Default)]
pub(super) struct PendingStates(Arc<Mutex<BTreeMap<AccountName, AccountState>>>);

impl PendingStates {
    pub(super) fn states(&self) -> MutexGuard<'_, BTreeMap<AccountName, AccountState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// A store that goes on in memory when its disk fails, as a daemon needs it: channels are to be
    /// renewed whether or not there is room on a disk. [`Store::trouble`] says so, and
    /// [`Store::mend`] goes back to the disk.
    #[must_use]
    pub fn going_on(self) -> Store {
        let keeper = Keeper { goes_on: true, ..self.keeper.clone() };
        self.kept_by(keeper)
    }

    /// A store whose writes are let through by this.
    #[must_use]
    pub fn gated(self, gate: Gate) -> Store {
        let keeper = Keeper { gate: Some(gate), ..self.keeper.clone() };
        self.kept_by(keeper)
    }

    /// The reason why recent writes are in memory only, if they are.
    pub fn trouble(&self) -> Option<String> {
        self.keeper.trouble()
    }

    /// A store that is gone when it is dropped: for a `plan` before anything is installed.
    pub fn temporary() -> Result<Store, StoreError> {
        let db = config()
            .temporary(true)
            .open()
            .map_err(|source| StoreError::Sled { doing: "open a temporary database", source })?;
        Store::of(db)
    }

    /// A store that is in memory from the start, for a rehearsal: what is written there is gone
    /// with the process.
    ///
    /// # Errors
    /// As [`Store::temporary`].
    pub fn in_memory() -> Result<Store, StoreError> {
        let store = Store::temporary()?;
        store.trees().into_iter().try_for_each(Tree::leave_disk)?;
        store.db.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(store)
    }

    pub(super) fn of(db: sled::Db) -> Result<Store, StoreError> {
        let keeper = Keeper::default();
        let store = Store::with(|name| Ok(Tree::open(&db, name)?.kept_by(&keeper)))?;
        Ok(Store { keeper, db: Arc::new(Mutex::new(Some(db))), ..store })
    }

    /// A store with nothing in it and no disk.
    pub(super) fn blank() -> Result<Store, StoreError> {
        Store::with(|name| Ok(Tree::journaled(name)))
    }

    fn with(tree: impl Fn(&'static str) -> Result<Tree, StoreError>) -> Result<Store, StoreError> {
        Ok(Store {
            meta: tree("meta")?,
            desired: tree("desired")?,
            records: tree("records")?,
            accounts: tree("accounts")?,
            tokens: tree("tokens")?,
            asked: tree("asked")?,
            ledgers: tree("ledger")?,
            acks: tree("acks")?,
            canaries: tree("canaries")?,
            recoveries: tree("recoveries")?,
            items: tree("items")?,
            reads: tree("reads")?,
            rows: tree("rows")?,
            rules: tree("rules")?,
            keeper: Keeper::default(),
            unwritten: Unwritten::default(),
            held: None,
            shared: None,
            db: Arc::default(),
            state_dir: None,
            over: Arc::default(),
            grants: Arc::default(),
        })
    }

    pub(super) fn of_dir(self, state_dir: &Path) -> Store {
        Store { state_dir: Some(state_dir.to_owned()), ..self }
    }

    fn kept_by(self, keeper: Keeper) -> Store {
        let Store {
            meta,
            desired,
            records,
            accounts,
            tokens,
            asked,
            ledgers,
            acks,
            canaries,
            recoveries,
            items,
            reads,
            rows,
            rules,
            keeper: _,
            unwritten,
            held,
            shared,
            db,
            state_dir,
            over,
            grants,
        } = self;
        Store {
            meta: meta.kept_by(&keeper),
            desired: desired.kept_by(&keeper),
            records: records.kept_by(&keeper),
            accounts: accounts.kept_by(&keeper),
            tokens: tokens.kept_by(&keeper),
            asked: asked.kept_by(&keeper),
            ledgers: ledgers.kept_by(&keeper),
            acks: acks.kept_by(&keeper),
            canaries: canaries.kept_by(&keeper),
            recoveries: recoveries.kept_by(&keeper),
            items: items.kept_by(&keeper),
            reads: reads.kept_by(&keeper),
            rows: rows.kept_by(&keeper),
            rules: rules.kept_by(&keeper),
            keeper,
            unwritten,
            held,
            shared,
            db,
            state_dir,
            over,
            grants,
        }
    }

    /// The ledgers before the accounts, whose `looked_from` says how far the ledgers are certain.
    pub(super) fn trees(&self) -> [&Tree; 14] {
        let Store {
            meta,
            desired,
            records,
            accounts,
            tokens,
            asked,
            ledgers,
            acks,
            canaries,
            recoveries,
            items,
            reads,
            rows,
            rules,
            keeper: _,
            unwritten: _,
            held: _,
            shared: _,
            db: _,
            state_dir: _,
            over: _,
            grants: _,
        } = self;
        [
            meta, desired, asked, ledgers, acks, canaries, rules, rows, reads, items, recoveries,
            records, accounts, tokens,
        ]
    }

    /// The record of one channel.
    pub fn record(
        &self,
        account: &AccountName,
        id: ChannelId,
    ) -> Result<Option<Record>, StoreError> {
        self.hand_over_of(PassTree::Records, account);
        self.records.read(&keys::record(account, id))
    }

    /// True when a channel is ours.
    pub(super) fn is_recorded(
        &self,
        account: &AccountName,
        id: ChannelId,
    ) -> Result<bool, StoreError> {
        self.hand_over_of(PassTree::Records, account);
        self.records.has(&keys::record(account, id))
    }

    /// The records of one account.
    pub fn records(
        &self,
        account: &AccountName,
    ) -> Result<BTreeMap<ChannelId, Record>, StoreError> {
        self.hand_over_of(PassTree::Records, account);
        let entries: Vec<(Vec<u8>, Record)> = self.records.scan(&keys::records_of(account))?;
        Ok(entries.into_iter().map(|(_, record)| (record.id, record)).collect())
    }

    /// The remembered channels of an account.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ids(&self, account: &AccountName) -> Result<Vec<ChannelId>, StoreError> {
        if let Some(read) = &*self.grants() {
            let of_account = read.get(account).into_iter().flatten();
            return Ok(of_account.map(|(id, _)| *id).collect());
        }
        self.hand_over_of(PassTree::Records, account);
        let keys = self.records.keys_that(&keys::records_of(account), |_| true)?;
        Ok(keys.iter().filter_map(|key| keys::id_of(key)).collect())
    }

    /// Visits the grant of each remembered channel, with its account, including accounts that are
    /// no longer declared.
    pub fn visit_grants(
        &self,
        mut see: impl FnMut(&AccountName, Option<Grant>),
    ) -> Result<(), StoreError> {
        if let Some(read) = self.grants().take() {
            let all =
                read.iter().flat_map(|(name, channels)| channels.iter().map(move |it| (name, it)));
            all.for_each(|(account, (_, grant))| see(account, *grant));
            return Ok(());
        }
        self.hand_over()?;
        let mut last: Option<AccountName> = None;
        self.records.each("", |key, record: GrantOnly| {
            if !last.as_ref().is_some_and(|account| keys::is_below(key, account)) {
                last = keys::account_of(key);
            }
            if let Some(account) = &last {
                see(account, record.grant);
            }
        })
    }

    /// Reads every record once, as a check.
    pub(super) fn check_records(&self) -> Result<(), StoreError> {
        let mut read = GrantsRead::new();
        self.records.check(|record: &Record, key| {
            let Some((account, _)) = key.split_once('/') else { return false };
            let channel = (record.id, record.grant);
            match read.last_entry().filter(|last| last.key().as_str() == account) {
                Some(mut last) => last.get_mut().push(channel),
                None => {
                    let Ok(account) = account.parse() else { return false };
                    read.insert(account, vec![channel]);
                }
            }
            keys::is_of(key, record.id)
        })?;
        *self.grants() = Some(read);
        Ok(())
    }

    pub(super) fn grants(&self) -> MutexGuard<'_, Option<GrantsRead>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets and removes (`None`) records of one account, and flushes.
    pub async fn write_records(
        &self,
        account: &AccountName,
        changes: &BTreeMap<ChannelId, Option<Record>>,
    ) -> Result<(), StoreError> {
        self.set_records(account, changes)?;
        self.commit(account).await
    }

    fn set_records(
        &self,
        account: &AccountName,
        changes: &BTreeMap<ChannelId, Option<Record>>,
    ) -> Result<(), StoreError> {
        let changes = changes.iter();
        let entry =
            |(id, record): (&ChannelId, _)| (keys::record(account, *id), Option::as_ref(record));
        self.put_off(PassTree::Records, changes.map(entry))
    }

    /// Sets and removes (`None`) ledgers and records of one account, in this order. They are on the
    /// disk once it is [committed](Store::commit).
    pub fn set_channels(
        &self,
        account: &AccountName,
        ledgers: &[(ChannelId, Option<&Ledger>)],
        records: &BTreeMap<ChannelId, Option<Record>>,
    ) -> Result<(), StoreError> {
        self.set_ledgers(account, ledgers)?;
        self.set_records(account, records)
    }

    /// The stored state of an account.
    pub(super) fn stored_state(&self, account: &AccountName) -> Result<AccountState, StoreError> {
        self.hand_over_of(PassTree::Accounts, account);
        Ok(self.accounts.read(account.as_str())?.unwrap_or_default())
    }

    /// Sets accounts' states.
    pub(super) fn set_states<'a>(
        &self,
        states: impl IntoIterator<Item = (&'a AccountName, &'a AccountState)>,
    ) -> Result<(), StoreError> {
        let states = states.into_iter();
        let entry = |(account, state): (&AccountName, _)| (account.to_string(), Some(state));
        self.put_off(PassTree::Accounts, states.map(entry))
    }

    /// The remembered state of an account's token.
    pub fn token(&self, account: &AccountName) -> Result<Option<TokenState>, StoreError> {
        self.hand_over_of(PassTree::Tokens, account);
        let value: Option<TokenValue> = self.tokens.read(account.as_str())?;
        Ok(value.map(TokenValue::into_state))
    }

    /// Remembers an account's token. It is on the disk when this returns.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write_token(
        &self,
        account: &AccountName,
        state: &TokenState,
    ) -> Result<(), StoreError> {
        self.put_off(PassTree::Tokens, [(account.to_string(), Some(TokenValue::of(state)))])?;
        self.commit(account).await
    }
}

/// sled keeps to the length of segments that a database was begun with, and says so.
pub(super) fn open_database(path: &Path) -> sled::Result<sled::Db> {
    let mut opened = config().path(path).open();
    for bytes in SEGMENT_BYTES_ONCE {
        if let Err(sled::Error::Unsupported(_)) = opened {
            opened = config().segment_size(bytes).path(path).open();
        }
    }
    opened
}

pub(super) fn config() -> sled::Config {
    let config = sled::Config::default()
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    config.segment_size(SEGMENT_BYTES)
}

/// The bytes that sled reads and writes at once. Its own 512 KiB suit far larger stores than this
/// one: each of its buffers has that length, and a flush of a few bytes may leave as much empty.
/// A node that is longer than a quarter of them gets a file of its own, and one of leaves takes up
/// to a fifth.
const SEGMENT_BYTES: usize = 256 * 1024;
/// The segments of earlier databases; the first had sled's own size.
const SEGMENT_BYTES_ONCE: [usize; 2] = [64 * 1024, 512 * 1024];

pub(super) const DATABASE: &str = "db";
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
