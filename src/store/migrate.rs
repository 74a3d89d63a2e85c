//! From the layout of an earlier release to this one's.
//!
//! A step is a pure function from every entry of one layout to every entry of the next; [`STEPS`]
//! are all of them, in order, so the layout that this program writes is one more than their number.
//! A release that changes the shape of what is stored adds a step here and a store written by the
//! release before to `tests/fixtures`.
//!
//! The migrated entries are a new database, which takes the place of the old one when it is whole.
//! The old one is kept, untouched, as `db.layout-N-TIME`: whoever goes back to the older release
//! moves it back.
//!
//! | a crash | leaves | and the next start |
//! | --- | --- | --- |
//! | while the new database is written | `db`, `db.migrating` | begins again |
//! | before the old one is moved away | `db`, `db.migrated` | begins again |
//! | before the new one is moved in | `db.migrated`, the kept one, no `db` | moves it in |
//!
//! Nobody else opens the database meanwhile: every opening holds the lock of `db.lock` (see
//! [`super::open`]).
//!
//! Deliberately absent: a way back. A newer layout is refused.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::time::Timestamp;

use super::database::{DATABASE, config, open_database};
use super::tree::{BATCH_MAX, StoreError};

/// Every entry: tree, key, value, as bytes, so that what a step does not touch stays as it was to
/// the last byte.
pub(super) type Entries = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

/// From one layout to the next; or what of it cannot be read.
pub(super) type MigrationStep = fn(Entries) -> Result<Entries, String>;

/// From layout 1 to 2, from 2 to 3, and so on.
pub(super) const STEPS: &[MigrationStep] = &[to_2::step, to_3::step];

mod to_2;
mod to_3;

/// An older database that was brought to this layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The layout that it had.
    pub from: u32,
    /// The place where it is kept unchanged.
    pub kept: PathBuf,
}

/// The reason why the older database is still in force.
pub(super) enum MigrateError {
    Store(StoreError),
    Value(String),
    File(io::Error),
}

/// Finishes what a crash interrupted. Before anything opens the database.
pub(super) fn finish(state_dir: &Path) -> io::Result<()> {
    let [old, migrating, migrated] =
        [DATABASE, MIGRATING, MIGRATED].map(|name| state_dir.join(name));
    remove(&migrating)?;
    if !migrated.exists() || old.exists() {
        return remove(&migrated);
    }
    std::fs::rename(&migrated, &old)?;
    sync(state_dir)
}

/// Brings the database in `state_dir`, which is not open and has layout `from`, through these
/// steps. `now` names the kept one. `seal` writes the new layout's number into the new database,
/// which makes it whole.
pub(super) fn migrate(
    state_dir: &Path,
    from: u32,
    steps: &[MigrationStep],
    now: Timestamp,
    seal: impl FnOnce(&sled::Db) -> Result<(), StoreError>,
) -> Result<Migrated, MigrateError> {
    let [old, migrating, migrated] =
        [DATABASE, MIGRATING, MIGRATED].map(|name| state_dir.join(name));
    let entries = steps
        .iter()
        .try_fold(read(&old)?, |entries, step| step(entries))
        .map_err(MigrateError::Value)?;
    write(&migrating, entries, seal)?;
    std::fs::rename(&migrating, &migrated)?;
    sync(state_dir)?;
    let stamp = now.to_string().replace([':', '.'], "-");
    let kept = state_dir.join(format!("{DATABASE}.layout-{from}-{stamp}"));
    std::fs::rename(&old, &kept)?;
    sync(state_dir)?;
    std::fs::rename(&migrated, &old)?;
    sync(state_dir)?;
    Ok(Migrated { from, kept })
}

fn read(path: &Path) -> Result<Entries, MigrateError> {
    let failed = |source| StoreError::Sled { doing: "read the older layout", source };
    let db = open_database(path).map_err(failed)?;
    let mut entries = Entries::new();
    for name in db.tree_names().into_iter().filter(|name| *name != SLEDS_OWN) {
        let tree = entries.entry(name.to_vec()).or_default();
        for entry in &db.open_tree(&name).map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            tree.insert(key.to_vec(), value.to_vec());
        }
    }
    Ok(entries)
}

fn write(
    path: &Path,
    entries: Entries,
    seal: impl FnOnce(&sled::Db) -> Result<(), StoreError>,
) -> Result<(), MigrateError> {
    let failed = |source| StoreError::Sled { doing: "write the new layout", source };
    let db = config().path(path).open().map_err(failed)?;
    for (name, entries) in entries {
        let tree = db.open_tree(name).map_err(failed)?;
        let entries: Vec<(Vec<u8>, Vec<u8>)> = entries.into_iter().collect();
        for chunk in entries.chunks(BATCH_MAX) {
            let mut batch = sled::Batch::default();
            chunk.iter().for_each(|(key, value)| batch.insert(key.as_slice(), value.as_slice()));
            tree.apply_batch(batch).map_err(failed)?;
            tree.flush().map_err(failed)?;
        }
    }
    Ok(seal(&db)?)
}

fn remove(path: &Path) -> io::Result<()> {
    if path.exists() { std::fs::remove_dir_all(path) } else { Ok(()) }
}

/// Syncs the directory, so that a power failure does not undo a rename that the next one relies on.
fn sync(dir: &Path) -> io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

impl From<StoreError> for MigrateError {
    fn from(error: StoreError) -> MigrateError {
        MigrateError::Store(error)
    }
}

impl From<io::Error> for MigrateError {
    fn from(error: io::Error) -> MigrateError {
        MigrateError::File(error)
    }
}

/// Not whole yet.
const MIGRATING: &str = "db.migrating";
/// Whole, and not in its place yet.
const MIGRATED: &str = "db.migrated";
/// The tree that sled makes in every database.
const SLEDS_OWN: &[u8] = b"__sled__default";
