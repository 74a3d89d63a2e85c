//! Accounts on their way between the database on this machine and the engine.
//!
//! An account is [taken](Store::take) first, so what the engine has of it is known and fenced. Then
//! everything of it is [brought along](Store::bring_along) into the engine, or
//! [back](Store::bring_back) into the database. Both replace all that was there. A daemon that was
//! alone and becomes one of several does the first with each account that no machine has served,
//! and `cluster import` and `cluster export` do either with all of them.
//!
//! | a crash while an account is | leaves | and then |
//! | --- | --- | --- |
//! | brought along | parts of it, and `accounts/ACCOUNT` says that it *arrives* | whoever takes it finds it new, and whatever he brings along replaces them |
//! | brought back | parts of it, and no state: it was never looked at, as far as is known | it is brought back again |
//!
//! A token that the credentials at hand do not open stays where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::engine::Selection;
use crate::model::channel::AccountName;
use crate::model::record::AccountState;
use crate::model::time::Timestamp;

use super::super::database::Store;
use super::super::keys;
use super::super::tree::{EntryChange, StoreError, Tree, TreeEntries};
use super::{ACCOUNTS, PAGED, Reason, Shared, TOKENS};

/// The content of one of the two places of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many channels are ours.
    pub channels: usize,
    /// How many channels have a ledger.
    pub ledgers: usize,
    /// How many entries there are, with those.
    pub entries: usize,
    /// Up to when the ledgers are certain.
    pub looked_from: Option<Timestamp>,
}

/// Both places of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// The database on this machine.
    pub here: Contents,
    /// The engine.
    pub there: Contents,
    /// True when each has what the other has.
    pub are_alike: bool,
}

/// Everything of an account in one place, in the order of the trees.
type Content = Vec<(&'static str, TreeEntries)>;

impl Store {
    /// The accounts of which the database on this machine has something.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn accounts_here(&self) -> Result<BTreeSet<AccountName>, StoreError> {
        let mut accounts = BTreeSet::new();
        for tree in self.shared.iter().flat_map(|shared| &shared.former) {
            accounts.extend(tree.keys("")?.iter().filter_map(|key| keys::owner_of(key)));
        }
        Ok(accounts)
    }

    /// The accounts of which the engine has something.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn accounts_there(&self) -> Result<BTreeSet<AccountName>, StoreError> {
        let Some(shared) = &self.shared else { return Ok(BTreeSet::new()) };
        let trees = PAGED.into_iter().chain([ACCOUNTS, TOKENS]);
        let beginnings = trees.map(|tree| format!("{}{tree}/", shared.prefix));
        let beginnings: Vec<String> = beginnings.collect();
        let selections = beginnings.iter().cloned().map(Selection::KeysOf).collect();
        let failed = |source| StoreError::Engine { doing: "list its accounts", source };
        let found = shared.engine.range(selections).await.map_err(failed)?;
        let account = |key: &str| {
            let below = beginnings.iter().find_map(|beginning| key.strip_prefix(beginning))?;
            keys::owner_of(below.as_bytes())
        };
        Ok(found.entries.iter().filter_map(|entry| account(&entry.key)).collect())
    }

    /// Both places of an account that was taken.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it is not held.
    pub async fn compared(&self, account: &AccountName) -> Result<Compared, StoreError> {
        let Some(shared) = &self.shared else { return Ok(Compared::default()) };
        let trees = self.crossing_trees(shared, account).await?;
        let [here, there] = [|it: &Pair<'_>| it.former.clone(), |it: &Pair<'_>| it.held.clone()]
            .map(|side| content(&trees, account, side));
        let (here, there) = (here?, there?);
        let are_alike = parsed(&here)? == parsed(&there)?;
        Ok(Compared { here: Contents::of(&here)?, there: Contents::of(&there)?, are_alike })
    }

    /// Writes into the engine what the database on this machine has of an account, in the place of
    /// all that the engine has of it. The database keeps it as it was.
    ///
    /// # Errors
    /// As [`Store::commit`]. Nothing of it counts then.
    pub async fn bring_along(&self, account: &AccountName) -> Result<Contents, StoreError> {
        let Some(shared) = &self.shared else { return Ok(Contents::default()) };
        let trees = self.crossing_trees(shared, account).await?;
        let brought = content(&trees, account, |it| it.former.clone())?;
        for (pair, (_, entries)) in trees.iter().zip(&brought) {
            pair.held.put(&replacing(&pair.held.entries_of(account)?, entries))?;
        }
        self.commit_shared(shared, account, Reason::Arrival).await?;
        Contents::of(&brought)
    }

    /// Writes into the database on this machine what the engine has of an account, in the place of
    /// all that the database has of it. It is on the disk when this returns. The engine keeps it as
    /// it was.
    ///
    /// # Errors
    /// When the disk fails, or the account is not held.
    pub async fn bring_back(&self, account: &AccountName) -> Result<Contents, StoreError> {
        let Some(shared) = &self.shared else { return Ok(Contents::default()) };
        let trees = self.crossing_trees(shared, account).await?;
        let brought = content(&trees, account, |it| it.held.clone())?;
        if let Some(states) = trees.iter().find(|pair| pair.former.name() == ACCOUNTS) {
            states.former.remove(vec![account.as_str().as_bytes().to_vec()])?;
            states.former.flush()?;
        }
        let (states, others): (Vec<_>, Vec<_>) =
            trees.iter().zip(&brought).partition(|(pair, _)| pair.former.name() == ACCOUNTS);
        for (pair, (_, entries)) in others.into_iter().chain(states) {
            pair.former.put(&replacing(&pair.former.entries_of(account)?, entries))?;
        }
        trees.first().map_or(Ok(()), |pair| pair.former.flush())?;
        Contents::of(&brought)
    }

    /// The trees of an account that can cross.
    async fn crossing_trees<'a>(
        &'a self,
        shared: &'a Arc<Shared>,
        account: &AccountName,
    ) -> Result<Vec<Pair<'a>>, StoreError> {
        let hold = shared.hold_of(account)?;
        let opens = hold.written.lock().await.opens_tokens;
        let pairs = self.account_trees().into_iter().zip(&shared.former);
        let pairs = pairs.map(|(held, former)| Pair { held, former });
        Ok(pairs.filter(|pair| opens || pair.held.name() != TOKENS).collect())
    }
}

/// A tree in both places.
struct Pair<'a> {
    held: &'a Tree,
    former: &'a Tree,
}

impl Contents {
    fn of(content: &Content) -> Result<Contents, StoreError> {
        let count = |name| {
            let trees = content.iter().filter(|(tree, _)| *tree == name);
            trees.map(|(_, entries)| entries.len()).sum()
        };
        let state = content.iter().find(|(tree, _)| *tree == ACCOUNTS);
        let state = state.and_then(|(_, entries)| entries.iter().next());
        let looked_from = |(key, bytes): (&Vec<u8>, &Vec<u8>)| {
            let state: AccountState = parse(ACCOUNTS, key, bytes)?;
            Ok(state.looked_from)
        };
        Ok(Contents {
            channels: count("records"),
            ledgers: count("ledger"),
            entries: content.iter().map(|(_, entries)| entries.len()).sum(),
            looked_from: state.map(looked_from).transpose()?.flatten(),
        })
    }
}

fn content(
    trees: &[Pair<'_>],
    account: &AccountName,
    side: impl Fn(&Pair<'_>) -> Tree,
) -> Result<Content, StoreError> {
    let of = |pair: &Pair<'_>| Ok((pair.held.name(), side(pair).entries_of(account)?));
    trees.iter().map(of).collect()
}

/// The same as values: in an engine the parts of a state stand in another order.
fn parsed(
    content: &Content,
) -> Result<BTreeMap<&'static str, BTreeMap<Vec<u8>, Value>>, StoreError> {
    let value = |tree: &'static str, (key, bytes): (&Vec<u8>, &Vec<u8>)| {
        Ok((key.clone(), parse(tree, key, bytes)?))
    };
    let of = |(tree, entries): &(&'static str, TreeEntries)| {
        let values = entries.iter().map(|entry| value(tree, entry));
        Ok((*tree, values.collect::<Result<_, StoreError>>()?))
    };
    content.iter().map(of).collect()
}

fn parse<T: serde::de::DeserializeOwned>(
    tree: &'static str,
    key: &[u8],
    bytes: &[u8],
) -> Result<T, StoreError> {
    let key = || String::from_utf8_lossy(key);
    serde_json::from_slice(bytes).map_err(|error| super::damaged(tree, &key(), error.to_string()))
}

/// The changes after which these entries are there and no others.
fn replacing(there: &TreeEntries, entries: &TreeEntries) -> Vec<EntryChange> {
    let gone = there.keys().filter(|key| !entries.contains_key(*key));
    let gone = gone.map(|key| (key.clone(), None));
    let set = entries.iter().filter(|(key, value)| there.get(*key) != Some(*value));
    gone.chain(set.map(|(key, value)| (key.clone(), Some(value.clone())))).collect()
}
