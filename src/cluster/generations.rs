//! Generations: the config that is in force in the whole cluster.
//!
//! The generation in the engine is in force, and a machine's file is a proposal. A proposal is
//! judged by its content and its serial ([`judge`]); one that is good becomes the next generation
//! for all machines at once, however many accounts it declares: its parts are written first, and
//! then `desired/current` names them, under the guard that nobody else was faster.
//!
//! Below `channelkeeper/NAME/`:
//!
//! | key | value | written by |
//! | --- | --- | --- |
//! | `desired/current` | [`Generation`], deflated | who publishes |
//! | `desired/blob/HASH` | one declaration | who publishes |
//!
//! A part that the generation before has stays as it is. Every other one is written, also where it
//! is there already: so whatever a later publisher counts on is younger than the generation it saw.
//! The parts that no generation names and that are older than the one in force are swept.
//!
//! Deliberately absent: what a declaration says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

use crate::engine::{
    COMMIT_BYTES_MAX, Change, Committed, Engine, EngineError, Guard, OPERATIONS_MAX, Revision,
    Selection,
};
use crate::model::channel::AccountName;
use crate::model::time::Timestamp;

use super::keys::Keys;

/// The config that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Counts the generations.
    pub number: u64,
    /// The serial that its file had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// The name of its content.
    pub hash: String,
    /// The names of those before it, the latest first.
    pub former: Vec<String>,
    /// The node whose file it was.
    pub by: String,
    /// When it was published, by that node's clock.
    pub at: Timestamp,
    /// True when what it leaves out may go.
    #[serde(default)]
    pub allows_removals: bool,
    /// The name of the settings that are everybody's.
    pub settings: String,
    /// The name of each account's declaration.
    pub accounts: BTreeMap<AccountName, String>,
}

/// A config that is to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The serial of the file.
    pub serial: Option<u64>,
    /// The name of its content.
    pub hash: String,
    /// The name of its settings.
    pub settings: String,
    /// The name of each account's declaration.
    pub accounts: BTreeMap<AccountName, String>,
}

/// How a proposal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// A daemon starts, with the file that it finds.
    Start,
    /// Somebody asks that the file be in force.
    Asked,
    /// Somebody asks for it although it was in force before.
    Rollback,
}

/// The fate of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in force.
    Same,
    /// It follows.
    Publish,
    /// It does not.
    Keep(Kept),
}

/// The reason why a proposal does not follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Its serial is lower.
    OlderSerial(u64, u64),
    /// Its serial is the same, and its content is not.
    SameSerial(u64),
    /// It has no serial, and what is in force has one.
    NoSerial(u64),
    /// It was in force before, this many generations ago.
    Former(usize),
    /// It is new, and nobody has asked for it.
    Unasked,
}

/// The table of what becomes of a proposal.
///
/// | the file | then |
/// | --- | --- |
/// | has the same content | nothing |
/// | is the first, or has a higher serial | published |
/// | has a lower serial, or the same with other content, or none where there is one | kept out |
/// | has no serial, and was in force before | kept out, unless a rollback is asked for |
/// | has no serial, is new, and somebody asks | published |
/// | has no serial, is new, and a daemon starts | kept out |
#[must_use]
pub fn judge(proposal: &Proposal, in_force: Option<&Generation>, occasion: Occasion) -> Verdict {
    let Some(in_force) = in_force else { return Verdict::Publish };
    if proposal.hash == in_force.hash {
        return Verdict::Same;
    }
    match (proposal.serial, in_force.serial) {
        (Some(_), None) => Verdict::Publish,
        (Some(serial), Some(known)) if serial > known => Verdict::Publish,
        (Some(serial), Some(known)) if serial < known => {
            Verdict::Keep(Kept::OlderSerial(serial, known))
        }
        (Some(serial), Some(_)) => Verdict::Keep(Kept::SameSerial(serial)),
        (None, Some(known)) => Verdict::Keep(Kept::NoSerial(known)),
        (None, None) => {
            let before = in_force.former.iter().position(|hash| *hash == proposal.hash);
            match (before, occasion) {
                (Some(_), Occasion::Rollback) | (None, Occasion::Asked | Occasion::Rollback) => {
                    Verdict::Publish
                }
                (Some(before), Occasion::Start | Occasion::Asked) => {
                    Verdict::Keep(Kept::Former(before + 1))
                }
                (None, Occasion::Start) => Verdict::Keep(Kept::Unasked),
            }
        }
    }
}

impl Generation {
    /// The generation that follows another.
    #[must_use]
    pub fn following(
        before: Option<&Generation>,
        proposal: Proposal,
        by: &str,
        at: Timestamp,
    ) -> Generation {
        let Proposal { serial, hash, settings, accounts } = proposal;
        let former = before.iter().flat_map(|it| std::iter::once(&it.hash).chain(&it.former));
        let former = former.filter(|it| **it != hash).take(FORMER_MAX).cloned().collect();
        Generation {
            number: before.map_or(0, |it| it.number) + 1,
            serial,
            hash,
            former,
            by: by.to_owned(),
            at,
            allows_removals: false,
            settings,
            accounts,
        }
    }

    /// The names of all its parts.
    pub fn parts(&self) -> BTreeSet<&str> {
        self.accounts.values().chain([&self.settings]).map(String::as_str).collect()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut deflated = ZlibEncoder::new(Vec::new(), Compression::default());
        // To memory, which takes everything, of text keys, which serialise.
        let text = serde_json::to_vec(self).unwrap_or_default();
        deflated.write_all(&text).and_then(|()| deflated.finish()).unwrap_or_default()
    }

    fn of_bytes(bytes: &[u8]) -> Option<Generation> {
        let mut text = Vec::new();
        ZlibDecoder::new(bytes).take(TEXT_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// The generation that was seen, and when it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// `None` when there is none yet.
    pub generation: Option<Generation>,
    /// The revision of `desired/current`; 0 when there is none.
    pub revision: Revision,
}

/// The generation that is in force.
///
/// # Errors
/// When the engine does not answer, or what is there is of a later release.
pub async fn current(engine: &dyn Engine, keys: &Keys) -> Result<Seen, EngineError> {
    let found = engine.range(vec![Selection::Key(keys.current())]).await?;
    let Some(entry) = found.entries.into_iter().next() else { return Ok(Seen::default()) };
    let generation = Generation::of_bytes(&entry.value).ok_or_else(|| {
        EngineError::Unable(format!("{} cannot be read: is it of a later release?", entry.key))
    })?;
    Ok(Seen { generation: Some(generation), revision: entry.modified })
}

/// These parts; those that are gone are left out, since another generation has followed.
///
/// # Errors
/// When the engine does not answer.
pub async fn parts(
    engine: &dyn Engine,
    keys: &Keys,
    names: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Vec<u8>>, EngineError> {
    let mut parts = BTreeMap::new();
    let names: Vec<&str> = names.iter().copied().collect();
    for some in names.chunks(OPERATIONS_MAX) {
        let selections = some.iter().map(|name| Selection::Key(keys.part(name)));
        for entry in engine.range(selections.collect()).await?.entries {
            if let Some(name) = keys.part_of(&entry.key) {
                parts.insert(name.to_owned(), entry.value);
            }
        }
    }
    Ok(parts)
}

/// Publishes a generation, in place of the one that was seen. Refused: somebody was faster.
///
/// # Errors
/// When the engine does not answer: then it may be in force all the same. When a part is larger
/// than an engine takes.
pub async fn publish(
    engine: &dyn Engine,
    keys: &Keys,
    seen: &Seen,
    generation: &Generation,
    parts: &BTreeMap<&str, &[u8]>,
) -> Result<Committed, EngineError> {
    let known = seen.generation.as_ref().map(Generation::parts).unwrap_or_default();
    let fresh = parts.iter().filter(|(name, _)| !known.contains(*name));
    for changes in in_commits(fresh.map(|(name, part)| (keys.part(name), part.to_vec())))? {
        engine.commit(Vec::new(), changes).await?;
    }
    let (key, value) = (keys.current(), generation.to_bytes());
    if value.len() > COMMIT_BYTES_MAX {
        return Err(EngineError::Unable(format!(
            "the list of {} accounts is larger than an engine takes",
            generation.accounts.len()
        )));
    }
    let guard = Guard::ModifiedAt(key.clone(), seen.revision);
    engine.commit(vec![guard], vec![Change::Put(key, value)]).await
}

/// Removes the parts that nobody can count on: see the top.
///
/// # Errors
/// When the engine does not answer: the next generation sweeps again.
pub async fn sweep(engine: &dyn Engine, keys: &Keys, seen: &Seen) -> Result<usize, EngineError> {
    let Some(generation) = &seen.generation else { return Ok(0) };
    let named = generation.parts();
    let found = engine.range(vec![Selection::KeysOf(keys.parts())]).await?;
    let left: Vec<_> = found
        .entries
        .into_iter()
        .filter(|entry| entry.modified < seen.revision)
        .filter(|entry| keys.part_of(&entry.key).is_some_and(|name| !named.contains(name)))
        .collect();
    for some in left.chunks(OPERATIONS_MAX) {
        let guard =
            |entry: &crate::engine::Entry| Guard::ModifiedAt(entry.key.clone(), entry.modified);
        let guards = some.iter().map(guard).collect();
        let changes = some.iter().map(|entry| Change::Delete(entry.key.clone())).collect();
        engine.commit(guards, changes).await?;
    }
    Ok(left.len())
}

/// As many changes in each as an engine takes at once.
fn in_commits(
    entries: impl Iterator<Item = (String, Vec<u8>)>,
) -> Result<Vec<Vec<Change>>, EngineError> {
    let (mut commits, mut bytes) = (vec![Vec::new()], 0);
    for (key, value) in entries {
        let length = key.len() + value.len();
        if length > COMMIT_BYTES_MAX {
            return Err(EngineError::Unable(format!(
                "a declaration takes {length} bytes, and an engine takes {COMMIT_BYTES_MAX}"
            )));
        }
        let last = commits.last().map_or(0, Vec::len);
        if last == OPERATIONS_MAX || bytes + length > COMMIT_BYTES_MAX {
            commits.push(Vec::new());
            bytes = 0;
        }
        bytes += length;
        if let Some(commit) = commits.last_mut() {
            commit.push(Change::Put(key, value));
        }
    }
    commits.retain(|commit| !commit.is_empty());
    Ok(commits)
}

/// So many earlier generations are known again: a file that was left behind longer ago is taken for
/// a new one.
pub const FORMER_MAX: usize = 64;
/// No list of accounts that fits into an engine inflates to more.
const TEXT_MAX: u64 = 64 << 20;

#[cfg(test)]
mod tests;
