//! Opening the state directory, and what is done when it cannot be opened.
//!
//! | what is found | what is done |
//! | --- | --- |
//! | nothing | a new database |
//! | another process holds it | [`OpenError::Locked`]: somebody is at work |
//! | a layout newer than this program | [`OpenError::Newer`]: nothing is touched |
//! | a layout of an earlier release | brought to this one's, the old database kept, and a word in [`Opened::migrated`] |
//! | sled reports corruption, or panics | moved aside as `db.corrupt-TIME`, a new database, and a word in [`Opened::moved_aside`] |
//! | a database without its layout | the same: sled takes a log that it cannot read for an empty one |
//! | the same, and its beginning was cut short (`db.begun` is still there) | begun again: nothing else was in it yet |
//! | a value that cannot be read, or that belongs under another key | moved aside: a record that cannot be read may be the one that says *ours* |
//! | a directory of ours into which others may write | tightened, and its mode in [`Opened::tightened`] |
//! | one of somebody else's, or shared as `/tmp` is, into which everybody may write | [`OpenError::Public`] |
//! | no permission, no space, no directory | [`OpenError::Io`] |
//!
//! While a database is being opened, `db.lock` is locked, so that nobody opens one that is being
//! moved.
//!
//! Once it is open, a write may fail at any time. For a command that is an error. A daemon [goes
//! on](Store::going_on): all of the store is then in memory, and a new database is opened for it as
//! soon as the disk works ([`Store::mend`]).

use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use crate::files;
use crate::model::record::AccountState;
use crate::model::time::Timestamp;

use super::database::{DATABASE, Store, open_database};
use super::migrate::{self, MigrateError, Migrated, MigrationStep, STEPS};
use super::tree::{StoreError, Tree};
use super::value::TokenValue;
use super::{acks, alert_state, canaries, desired, ledger, recoveries, wishes};

/// An open store and what had to be done for it.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Where a database that could not be used was moved to, and why.
    pub moved_aside: Option<(PathBuf, String)>,
    /// The database of an earlier release that was brought to this one's layout.
    pub migrated: Option<Migrated>,
    /// The mode that the directory had, when others than its owner could write into it.
    pub tightened: Option<u32>,
}

/// The reason why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock.
    #[error(
        "{}: another channelkeeper is using this state directory; stop it, or give another --state-dir",
        .0.display()
    )]
    Locked(PathBuf),
    /// A newer version of this program has written it.
    #[error(
        "{}: written by a newer channelkeeper (layout {found}, this one reads up to {SCHEMA}); \
         install that version, or give another --state-dir",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// Anybody may put another database into its place.
    #[error(
        "{}: everybody may write into this state directory (mode {mode:04o}), and it is not this \
         user's to tighten; give another --state-dir",
        path.display()
    )]
    Public {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file system says no.
    #[error(
        "{}: the state directory cannot be used; it has to be on a disk with room and writable by \
         this user (or give another --state-dir)",
        path.display()
    )]
    Io {
        /// The directory.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Even a new database cannot be used.
    #[error(
        "{}: even a new database cannot be used (is its disk failing? give another --state-dir): \
         {why}",
        path.display()
    )]
    Broken {
        /// The directory.
        path: PathBuf,
        /// The reason, in words.
        why: String,
    },
}

impl Store {
    /// Opens, or begins, the store in `state_dir`. `now` names a database that has to be moved
    /// aside.
    pub fn open(state_dir: &Path, now: Timestamp) -> Result<Opened, OpenError> {
        Store::open_with(state_dir, now, STEPS)
    }

    /// As if these were all the steps from layout to layout.
    fn open_with(
        state_dir: &Path,
        now: Timestamp,
        steps: &[MigrationStep],
    ) -> Result<Opened, OpenError> {
        let tightened = make_private(state_dir)?;
        let path = state_dir.join(DATABASE);
        let opened = |store: Store| Opened {
            store: store.of_dir(state_dir),
            moved_aside: None,
            migrated: None,
            tightened,
        };
        match open_or_migrate(&path, now, steps) {
            Ok((store, migrated)) => Ok(Opened { migrated, ..opened(store) }),
            Err(OpenTrouble::Final(error)) => Err(error),
            Err(OpenTrouble::Corrupt(why)) => {
                let aside = move_aside(&path, now)
                    .map_err(|source| OpenError::Io { path: path.clone(), source })?;
                let (store, _) = open_or_migrate(&path, now, steps)
                    .map_err(|trouble| trouble.after_moving(&path))?;
                Ok(Opened { moved_aside: Some((aside, why)), ..opened(store) })
            }
        }
    }

    /// Brings what is in memory back to the disk. The database has to be opened anew for that: sled
    /// writes nothing any more once a write has failed (seen with 0.34.7).
    ///
    /// # Errors
    /// When the disk still fails. Then everything stays in memory.
    pub async fn mend(&self, now: Timestamp) -> Result<(), OpenError> {
        let Some(state_dir) = self.state_dir.as_ref().filter(|_| self.trouble().is_some()) else {
            return Ok(());
        };
        let failed = |error| value_trouble(state_dir, error).after_moving(state_dir);
        let mut db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        for tree in self.trees() {
            tree.leave_disk().map_err(failed)?;
        }
        *db = None;
        let Opened { store: fresh, .. } = Store::open(state_dir, now)?;
        // Before the trees move: a write that fails from here on is trouble anew.
        let trouble = self.keeper.trouble();
        self.keeper.set_trouble(None);
        for (tree, fresh) in self.trees().into_iter().zip(fresh.trees()) {
            if let Err(error) = tree.move_to(fresh) {
                self.keeper.set_trouble(trouble);
                return Err(failed(error));
            }
        }
        *db = fresh.db.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    /// Returns whether there is a database in `state_dir`.
    pub fn exists(state_dir: &Path) -> bool {
        state_dir.join(DATABASE).exists()
    }

    /// Reads everything once, so that a value that cannot be read is found before anything relies
    /// on it. A record of one channel under the key of another would make ours what is not.
    ///
    /// Threads of their own read the large trees, because people wait for a daemon that starts.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        std::thread::scope(|scope| {
            let records = scope.spawn(|| self.check_records());
            let ledgers = scope.spawn(|| ledger::verify(self));
            self.accounts.check::<AccountState>(|_, _| true)?;
            self.tokens.check::<TokenValue>(|_, _| true)?;
            wishes::verify(self)?;
            acks::verify(self)?;
            canaries::verify(self)?;
            recoveries::verify(self)?;
            alert_state::verify(self)?;
            desired::verify(self)?;
            // sled may panic on what is corrupt: that panic is handed on.
            let ended = |result: std::thread::Result<_>| {
                result.unwrap_or_else(|panic| resume_unwind(panic))
            };
            ended(records.join())?;
            ended(ledgers.join())
        })
    }
}

enum OpenTrouble {
    Final(OpenError),
    Corrupt(String),
}

impl OpenTrouble {
    fn after_moving(self, path: &Path) -> OpenError {
        match self {
            OpenTrouble::Final(error) => error,
            OpenTrouble::Corrupt(why) => OpenError::Broken { path: path.to_owned(), why },
        }
    }
}

/// Opens the database, after it was brought to the layout to which these steps lead.
fn open_or_migrate(
    path: &Path,
    now: Timestamp,
    steps: &[MigrationStep],
) -> Result<(Store, Option<Migrated>), OpenTrouble> {
    let state_dir = path.parent().unwrap_or(path);
    let layout = layout_after(steps);
    let _opening = when_free(|| lock(path))?;
    migrate::finish(state_dir).map_err(|source| file_trouble(path, source))?;
    let from = match when_free(|| open_and_verify(path, layout))? {
        FoundDatabase::This(store) => return Ok((*store, None)),
        FoundDatabase::Older(from) => from,
    };
    let steps = steps.get(from as usize - 1..).unwrap_or_default();
    let migrated = when_free(|| {
        migrate::migrate(state_dir, from, steps, now, |db| write_layout(db, layout)).map_err(
            |error| match error {
                MigrateError::Store(error) => value_trouble(path, error),
                MigrateError::Value(why) => {
                    OpenTrouble::Corrupt(format!("its layout {from} cannot be migrated: {why}"))
                }
                MigrateError::File(source) => file_trouble(path, source),
            },
        )
    })?;
    match when_free(|| open_and_verify(path, layout))? {
        FoundDatabase::This(store) => Ok((*store, Some(migrated))),
        FoundDatabase::Older(from) => {
            Err(OpenTrouble::Corrupt(format!("it has layout {from} after it was migrated")))
        }
    }
}

/// A database that was just dropped, in this process or by one that is ending, holds its lock for a
/// moment longer: sled's own threads let go of it last (seen with 0.34.7 on 2026-11-23). So a lock
/// is believed only when it lasts.
///
/// sled may panic instead of returning an error on some corruptions (measured with 0.34.7), so it
/// is opened, and read once from end to end, where a panic can be caught.
fn when_free<T>(mut attempt: impl FnMut() -> Result<T, OpenTrouble>) -> Result<T, OpenTrouble> {
    let mut once = || {
        let result = catch_unwind(AssertUnwindSafe(&mut attempt));
        result.unwrap_or_else(|_| {
            Err(OpenTrouble::Corrupt("the database panicked while it was opened".to_owned()))
        })
    };
    for _ in 1..LOCK_TRIES {
        match once() {
            Err(OpenTrouble::Final(OpenError::Locked(_))) => std::thread::park_timeout(LOCK_WAIT),
            result @ (Ok(_) | Err(OpenTrouble::Final(_) | OpenTrouble::Corrupt(_))) => {
                return result;
            }
        }
    }
    once()
}

/// Held while the database is opened, and maybe moved.
fn lock(path: &Path) -> Result<std::fs::File, OpenTrouble> {
    let (lock, mut options) = (path.with_extension(LOCK), std::fs::OpenOptions::new());
    let options = options.create(true).truncate(false).write(true).mode(0o600);
    let file = files::open(&lock, options).map_err(|source| file_trouble(&lock, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(OpenTrouble::Final(OpenError::Locked(path.to_owned())))
        }
        Err(TryLockError::Error(source)) => Err(file_trouble(path, source)),
    }
}

/// The database that was found when it was opened.
enum FoundDatabase {
    This(Box<Store>),
    Older(u32),
}

fn open_and_verify(path: &Path, layout: u32) -> Result<FoundDatabase, OpenTrouble> {
    let begun = path.with_extension(BEGUN);
    if !path.join(SLED_LOG).exists() {
        std::fs::File::create(&begun).map_err(|source| file_trouble(path, source))?;
    }
    let db = open_database(path).map_err(|error| sled_trouble(path, error))?;
    restrict_files(path).map_err(|source| file_trouble(path, source))?;
    let found = layout_of(&db).map_err(|error| value_trouble(path, error))?;
    match found {
        Some(found) if found > layout => {
            return Err(OpenTrouble::Final(OpenError::Newer { path: path.to_owned(), found }));
        }
        Some(0) => return Err(OpenTrouble::Corrupt("no release has written layout 0".to_owned())),
        Some(found) if found < layout => return Ok(FoundDatabase::Older(found)),
        None if !begun.exists() => {
            return Err(OpenTrouble::Corrupt(
                "the database was there, but nothing of what was kept in it".to_owned(),
            ));
        }
        Some(_) | None => {}
    }
    let checked = Store::of(db.clone()).and_then(|store| {
        store.verify()?;
        if found.is_none() {
            write_layout(&db, layout)?;
        }
        Ok(store)
    });
    let store = checked.map_err(|error| value_trouble(path, error))?;
    match std::fs::remove_file(&begun) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(file_trouble(path, source)),
        Ok(()) | Err(_) => Ok(FoundDatabase::This(Box::new(store))),
    }
}

fn file_trouble(path: &Path, source: io::Error) -> OpenTrouble {
    OpenTrouble::Final(OpenError::Io { path: path.to_owned(), source })
}

/// The layout that the database was written in, if it was written at all. Opening a tree makes it,
/// so this comes before any other: a newer layout is left as it is.
fn layout_of(db: &sled::Db) -> Result<Option<u32>, StoreError> {
    Tree::open(db, "meta")?.read(SCHEMA_KEY)
}

fn write_layout(db: &sled::Db, layout: u32) -> Result<(), StoreError> {
    Tree::open(db, "meta")?.write([(SCHEMA_KEY.to_owned(), Some(layout))])
}

fn sled_trouble(path: &Path, error: sled::Error) -> OpenTrouble {
    let path = path.to_owned();
    match error {
        sled::Error::Io(source) if source.kind() == io::ErrorKind::WouldBlock => {
            OpenTrouble::Final(OpenError::Locked(path))
        }
        // sled wraps the lock's error in one of kind Other and keeps its text.
        sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
            OpenTrouble::Final(OpenError::Locked(path))
        }
        sled::Error::Io(source) if is_of_content(&source) => {
            OpenTrouble::Corrupt(source.to_string())
        }
        sled::Error::Io(source) => OpenTrouble::Final(OpenError::Io { path, source }),
        other @ (sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. }) => OpenTrouble::Corrupt(other.to_string()),
    }
}

/// Errors of the bytes in the files, as opposed to those of the file system around them.
fn is_of_content(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
}

fn value_trouble(path: &Path, error: StoreError) -> OpenTrouble {
    match error {
        StoreError::Sled { source, doing: _ } => sled_trouble(path, source),
        value @ StoreError::Value { .. } => OpenTrouble::Corrupt(value.to_string()),
        // These concern accounts that live elsewhere: no database is opened or read for them.
        other @ (StoreError::Fenced { .. }
        | StoreError::Unwritten { .. }
        | StoreError::Engine { .. }
        | StoreError::Layout { .. }) => file_trouble(path, io::Error::other(other)),
    }
}

/// Made for its owner alone. Who may read a directory that is there already is its owner's
/// business: the database in it is a directory of its own, and that one is always private. Who may
/// write into it could put another database there, so nobody else may. Returns the mode that it
/// had, if that was changed.
fn make_private(state_dir: &Path) -> Result<Option<u32>, OpenError> {
    let failed = |source| OpenError::Io { path: state_dir.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(failed)?;
    let found = std::fs::metadata(state_dir).map_err(failed)?;
    let mode = found.permissions().mode() & 0o7777;
    let is_own = found.uid() == rustix::process::geteuid().as_raw();
    // One that everybody shares by design, as `/tmp`, is not for one program to close.
    if mode & OTHERS_WRITE != 0 && is_own && mode & STICKY == 0 {
        let tight = PermissionsExt::from_mode(mode & !OTHERS_WRITE);
        std::fs::set_permissions(state_dir, tight).map_err(failed)?;
        return Ok(Some(mode));
    }
    // A group that writes into a directory of somebody else's was put there by that somebody.
    if mode & EVERYBODY_WRITES != 0 {
        return Err(OpenError::Public { path: state_dir.to_owned(), mode });
    }
    Ok(None)
}

const EVERYBODY_WRITES: u32 = 0o002;
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// sled makes its files by the umask; a token is in them.
fn restrict_files(path: &Path) -> io::Result<()> {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let mode = if entry.file_type()?.is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(mode))?;
    }
    Ok(())
}

fn move_aside(path: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let stamp = now.to_string().replace([':', '.'], "-");
    let aside = path.with_file_name(format!("{DATABASE}.corrupt-{stamp}"));
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

/// The file in its directory in which sled keeps everything.
const SLED_LOG: &str = "db";
/// `db.begun` is there from before the database until its layout is in it, and nothing else is
/// written before that.
const BEGUN: &str = "begun";
const SCHEMA_KEY: &str = "schema";
/// The layout that this program writes.
pub const SCHEMA: u32 = layout_after(STEPS);
/// `db.lock` is locked while the database is being opened.
const LOCK: &str = "lock";

/// The layout to which these steps lead from the first one.
const fn layout_after(steps: &[MigrationStep]) -> u32 {
    1 + steps.len() as u32
}

const LOCK_TRIES: u32 = 10;
const LOCK_WAIT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
