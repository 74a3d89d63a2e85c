//! Accounts moved between the store on this machine and the engine, while no daemon serves them:
//! from one machine to many, and back.
//!
//! A [`Moving`] makes a plan first, which changes nothing, and then carries it out. Each account is
//! taken under a fence: its claim is as it was when the plan was made. A machine that starts
//! meanwhile and claims an account ends the move of that one, and nothing of it is written.
//!
//! | an account is | in the engine | into the engine | into the store |
//! | --- | --- | --- | --- |
//! | in the store alone | no, or not to its end | moves | stays as it is |
//! | in the engine alone | yes | stays as it is | moves |
//! | in both | the same | is there already | is there already |
//! | in both | looked at later | refused | moves |
//! | in both | otherwise | refused | refused |
//!
//! Whoever is refused may be told to be replaced. A single refusal refuses all, so that nobody ends
//! with half of the accounts here and half of them there. To begin again after a crash is always
//! right: what was moved is there already.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::cluster::{Charge, Keys, MemberId, living};
use crate::engine::{Engine, EngineError, Guard, Revision, Selection};
use crate::model::account::Credentials;
use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, whole_seconds};
use crate::plan::render::counted;
use crate::store::{Compared, Contents, Sealer, Store, StoreError};

/// The direction of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the store on this machine into the engine.
    Import,
    /// From the engine into the store on this machine.
    Export,
}

/// The conduct where both places have something of an account, and the target's may be newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is moved at all.
    Refused,
    /// It is replaced.
    Replaced,
}

/// The accounts to be moved, and the ways to both places.
pub struct Moving {
    /// The store on this machine, which shares its accounts by the engine.
    pub store: Store,
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// The keys in it.
    pub keys: Keys,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The name of the engine's data, as this machine noted it when it was a member.
    pub noted: Option<String>,
    /// The credentials that are known, by which tokens are opened and sealed.
    pub credentials: BTreeMap<AccountName, Credentials>,
    /// The accounts to be moved; nothing for all of them.
    pub accounts: Option<BTreeSet<AccountName>>,
    /// The direction.
    pub direction: Direction,
    /// The conduct with what is there.
    pub existing: Existing,
}

/// The fate of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is moved to where nothing of it is, or something older.
    Moves,
    /// It is moved to where something else of it is.
    Replaces,
    /// Both places have the same.
    IsThere,
    /// There is nothing to move.
    Stays,
    /// Both places have something of it, and the target's may be newer.
    Refused,
}

/// One account in a plan, or after it was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovedAccount {
    /// Its name.
    pub account: AccountName,
    /// Its fate.
    pub fate: Fate,
    /// How many channels are ours where it comes from.
    pub channels: usize,
    /// How many channels have a ledger there.
    pub ledgers: usize,
    /// How many entries there are, with those.
    pub entries: usize,
    /// Up to when its ledgers are certain there.
    pub looked_from: Option<Timestamp>,
    /// The same at the target.
    pub target_looked_from: Option<Timestamp>,
    #[serde(skip)]
    fence: Vec<Guard>,
}

/// All accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MovePlan {
    /// The direction.
    pub direction: Direction,
    /// Each account of either place that was asked for.
    pub accounts: Vec<MovedAccount>,
}

/// The reason why accounts are not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Machines serve the accounts.
    #[error(
        "{} still beats: stop the daemon on each machine that shares these accounts first",
        nodes(.0)
    )]
    Living(Vec<MemberId>),
    /// It is another cluster.
    #[error(
        "the engine holds another cluster of the same name than the one that this machine was a \
         member of; give this one another name in [cluster], or another state directory"
    )]
    Foreign,
    /// Both places have something, and the target's may be newer.
    #[error(
        "nothing was moved: {0} of the accounts are in both places, and differ; --replace takes \
         those of the source"
    )]
    Refused(usize),
    /// A machine has started meanwhile.
    #[error(
        "account {0} was claimed by a machine that has started meanwhile; stop it and begin again"
    )]
    Claimed(AccountName),
    /// A name that nobody knows.
    #[error("nothing is known of account {0}, here or in the engine")]
    Unknown(AccountName),
    /// The engine does not answer.
    #[error("the engine could not be asked")]
    Engine(#[from] EngineError),
    /// An account could not be read or written.
    #[error("account {account} could not be moved; those before it are")]
    Account {
        /// Which.
        account: AccountName,
        /// The reason.
        source: StoreError,
    },
    /// The accounts could not be listed.
    #[error("the accounts could not be listed")]
    Store(#[from] StoreError),
}

impl Moving {
    /// Everything that would be done. It changes nothing.
    ///
    /// # Errors
    /// See [`MoveError`].
    pub async fn plan(self: &Arc<Self>) -> Result<MovePlan, MoveError> {
        self.is_ours().await?;
        let living = living(&self.engine, &self.keys, &*self.clock).await?;
        if !living.is_empty() {
            return Err(MoveError::Living(living));
        }
        let claims = self.claims().await?;
        let mut all = self.store.accounts_here()?;
        all.extend(self.store.accounts_there().await?);
        if let Some(wanted) = &self.accounts {
            if let Some(unknown) = wanted.difference(&all).next() {
                return Err(MoveError::Unknown(unknown.clone()));
            }
            all.clone_from(wanted);
        }
        let fence = |account: &AccountName| {
            let charge = Charge::Account(account.clone());
            let claimed = claims.get(&charge).copied().unwrap_or_default();
            vec![Guard::ModifiedAt(self.keys.claim(&charge), claimed)]
        };
        let fenced = all.into_iter().map(|account| (fence(&account), account)).collect();
        let accounts = self.each(fenced, Moving::weighed).await?;
        Ok(MovePlan { direction: self.direction, accounts })
    }

    /// Moves what the plan says. Returns what was done.
    ///
    /// # Errors
    /// [`MoveError::Refused`] when an account was refused: then nothing is moved. Otherwise the
    /// accounts before the one that failed are, and it is right to begin again.
    pub async fn carry_out(self: &Arc<Self>, plan: MovePlan) -> Result<MovePlan, MoveError> {
        if plan.refused() > 0 {
            return Err(MoveError::Refused(plan.refused()));
        }
        let (moving, mut others): (Vec<_>, Vec<_>) = plan
            .accounts
            .into_iter()
            .partition(|it| matches!(it.fate, Fate::Moves | Fate::Replaces));
        let moving = moving.into_iter().map(|it| (it.fence, it.account)).collect();
        let mut accounts = self.each(moving, Moving::moved).await?;
        accounts.append(&mut others);
        accounts.sort_by(|one, other| one.account.cmp(&other.account));
        if self.direction == Direction::Export {
            self.nobody_came(&accounts).await?;
        }
        Ok(MovePlan { direction: plan.direction, accounts })
    }

    /// A machine that was a member of other data of the same name brings none of its own there.
    async fn is_ours(&self) -> Result<(), MoveError> {
        let Some(noted) = &self.noted else { return Ok(()) };
        let found = self.engine.range(vec![Selection::Key(self.keys.incarnation())]).await?;
        let is_other = |value: &Vec<u8>| value != noted.as_bytes();
        match found.entries.iter().any(|entry| is_other(&entry.value)) {
            true => Err(MoveError::Foreign),
            false => Ok(()),
        }
    }

    async fn claims(&self) -> Result<BTreeMap<Charge, Revision>, MoveError> {
        let claims = self.engine.range(vec![Selection::KeysOf(self.keys.claims())]).await?;
        let claim =
            |entry: &crate::engine::Entry| Some((self.keys.charge_of(&entry.key)?, entry.modified));
        Ok(claims.entries.iter().filter_map(claim).collect())
    }

    /// Whatever was read out of the engine is all of it only if no machine has begun to serve.
    async fn nobody_came(&self, accounts: &[MovedAccount]) -> Result<(), MoveError> {
        let claims = self.claims().await?;
        let is_as_it_was = |it: &&MovedAccount| {
            let charge = Charge::Account(it.account.clone());
            let claimed = claims.get(&charge).copied().unwrap_or_default();
            it.fence == [Guard::ModifiedAt(self.keys.claim(&charge), claimed)]
        };
        match accounts.iter().find(|it| !is_as_it_was(it)) {
            Some(it) => Err(MoveError::Claimed(it.account.clone())),
            None => Ok(()),
        }
    }

    /// Some accounts at a time, each by a task of its own.
    async fn each<F>(
        self: &Arc<Self>,
        accounts: Vec<(Vec<Guard>, AccountName)>,
        work: impl Fn(Arc<Moving>, AccountName, Vec<Guard>) -> F,
    ) -> Result<Vec<MovedAccount>, MoveError>
    where
        F: Future<Output = Result<MovedAccount, StoreError>> + Send + 'static,
    {
        let mut done = Vec::with_capacity(accounts.len());
        for some in accounts.chunks(AT_ONCE) {
            let mut working = JoinSet::new();
            for (fence, account) in some {
                let work = work(self.clone(), account.clone(), fence.clone());
                let account = account.clone();
                working.spawn(async move { work.await.map_err(|error| (account, error)) });
            }
            while let Some(ended) = working.join_next().await {
                match ended {
                    Ok(Ok(account)) => done.push(account),
                    Ok(Err((account, StoreError::Fenced { .. }))) => {
                        return Err(MoveError::Claimed(account));
                    }
                    Ok(Err((account, source))) => {
                        return Err(MoveError::Account { account, source });
                    }
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                }
            }
        }
        done.sort_by(|one, other| one.account.cmp(&other.account));
        Ok(done)
    }

    /// The fate of an account, as both places are.
    async fn weighed(
        moving: Arc<Moving>,
        account: AccountName,
        fence: Vec<Guard>,
    ) -> Result<MovedAccount, StoreError> {
        let weighed = moving.patiently(&account, &fence, None).await;
        moving.store.let_go(&account);
        weighed
    }

    /// Moves an account, if that is still its fate.
    async fn moved(
        moving: Arc<Moving>,
        account: AccountName,
        fence: Vec<Guard>,
    ) -> Result<MovedAccount, StoreError> {
        let moved = moving.patiently(&account, &fence, Some(moving.direction)).await;
        moving.store.let_go(&account);
        moved
    }

    /// An engine that is silent once is asked again.
    async fn patiently(
        &self,
        account: &AccountName,
        fence: &[Guard],
        going: Option<Direction>,
    ) -> Result<MovedAccount, StoreError> {
        for _ in 1..TRIES_MAX {
            match self.once(account, fence, going).await {
                Err(StoreError::Engine { .. } | StoreError::Unwritten { .. }) => {
                    self.clock.sleep(AGAIN).await;
                }
                result => return result,
            }
        }
        self.once(account, fence, going).await
    }

    async fn once(
        &self,
        account: &AccountName,
        fence: &[Guard],
        going: Option<Direction>,
    ) -> Result<MovedAccount, StoreError> {
        let sealer = self.credentials.get(account);
        let sealer = sealer.map_or_else(Sealer::without_credentials, Sealer::of);
        let taken = self.store.take(account, fence.to_vec(), sealer).await?;
        let mut compared = self.store.compared(account).await?;
        if taken.is_new {
            // An account that was not brought along to its end does not count.
            (compared.there, compared.are_alike) = (Contents::default(), false);
        }
        let fate = fate(self.direction, self.existing, &compared);
        let goes = matches!(fate, Fate::Moves | Fate::Replaces);
        match going.filter(|_| goes) {
            Some(Direction::Import) => self.store.bring_along(account).await.map(drop)?,
            Some(Direction::Export) => self.store.bring_back(account).await.map(drop)?,
            None => {}
        }
        let (source, target) = match self.direction {
            Direction::Import => (compared.here, compared.there),
            Direction::Export => (compared.there, compared.here),
        };
        let Contents { channels, ledgers, entries, looked_from } = source;
        Ok(MovedAccount {
            account: account.clone(),
            fate,
            channels,
            ledgers,
            entries,
            looked_from,
            target_looked_from: target.looked_from,
            fence: fence.to_vec(),
        })
    }
}

/// The table at the top.
fn fate(direction: Direction, existing: Existing, compared: &Compared) -> Fate {
    let Compared { here, there, are_alike } = compared;
    let (source, target) = match direction {
        Direction::Import => (here, there),
        Direction::Export => (there, here),
    };
    let is_older = direction == Direction::Export && target.looked_from < source.looked_from;
    match () {
        () if source.entries == 0 => Fate::Stays,
        () if target.entries == 0 => Fate::Moves,
        () if *are_alike => Fate::IsThere,
        () if is_older => Fate::Moves,
        () => match existing {
            Existing::Refused => Fate::Refused,
            Existing::Replaced => Fate::Replaces,
        },
    }
}

impl MovePlan {
    /// How many accounts were refused.
    pub fn refused(&self) -> usize {
        self.accounts.iter().filter(|it| it.fate == Fate::Refused).count()
    }

    /// As it is printed, after it was carried out or not.
    pub fn to_text(&self, is_done: bool) -> String {
        let of = |fate: Fate| self.accounts.iter().filter(move |it| it.fate == fate);
        let width = self.accounts.iter().map(|it| it.account.as_str().len()).max().unwrap_or(0);
        let lines = self.accounts.iter().map(|it| {
            let fate = it.in_words(self.direction, is_done);
            format!("{:<width$}  {fate}\n", it.account.as_str())
        });
        let goes = || of(Fate::Moves).chain(of(Fate::Replaces));
        let [channels, ledgers, entries] = [
            |it: &MovedAccount| it.channels,
            |it: &MovedAccount| it.ledgers,
            |it: &MovedAccount| it.entries,
        ]
        .map(|count| goes().map(count).sum::<usize>());
        let done = match (self.direction, is_done) {
            (Direction::Import, true) => "brought into the engine",
            (Direction::Import, false) => "would be brought into the engine",
            (Direction::Export, true) => "brought into this state directory",
            (Direction::Export, false) => "would be brought into this state directory",
        };
        let mut text: String = lines.collect();
        text.push_str(&format!(
            "{} {done}: {}, {}, {entries} entries in all; {} there already; nothing is written at \
             Zoho\n",
            counted(goes().count(), "account"),
            counted(channels, "channel"),
            counted(ledgers, "ledger"),
            of(Fate::IsThere).count(),
        ));
        text
    }
}

impl MovedAccount {
    fn in_words(&self, direction: Direction, is_done: bool) -> String {
        let counts = format!(
            "{}, {}, {} entries",
            counted(self.channels, "channel"),
            counted(self.ledgers, "ledger"),
            self.entries
        );
        let moved = if is_done { "moved" } else { "would move" };
        let (source, target) = match direction {
            Direction::Import => ("in this state directory", "in the engine"),
            Direction::Export => ("in the engine", "in this state directory"),
        };
        let looked = |at: Option<Timestamp>| match at {
            Some(at) => format!("looked at until {}", whole_seconds(at)),
            None => "never looked at".to_owned(),
        };
        match self.fate {
            Fate::Moves => format!("{moved}: {counts}"),
            Fate::Replaces => format!("{moved}, over what is {target}: {counts}"),
            Fate::IsThere => "is there already".to_owned(),
            Fate::Stays => format!("nothing of it is {source}"),
            Fate::Refused => format!(
                "is {target} as well, with something else: {} there, {} {source}",
                looked(self.target_looked_from),
                looked(self.looked_from)
            ),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Import => "import",
            Direction::Export => "export",
        })
    }
}

fn nodes(members: &[MemberId]) -> String {
    let nodes: BTreeSet<&str> = members.iter().map(|id| id.node.as_str()).collect();
    nodes.into_iter().collect::<Vec<_>>().join(", ")
}

/// Accounts that are moved at once: each is a read of some kilobytes, and a commit.
const AT_ONCE: usize = 32;
/// So often an account is tried while the engine is silent.
const TRIES_MAX: usize = 5;
/// From one try to the next.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
