//! A real database in a directory of its own: opening, losing, finding.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::record::{Record, Trouble as Failures};
use crate::model::secret::{Fingerprint, Secret};
use crate::model::token::Denied;
use crate::model::token::TokenState;
use crate::store::Gate;
use crate::store::database::config;
use crate::testing::{acme, granted, hours, id, spec};

fn record(number: i64) -> Record {
    granted(&spec(number), hours(0))
}

fn changes(numbers: impl IntoIterator<Item = i64>) -> BTreeMap<ChannelId, Option<Record>> {
    numbers.into_iter().map(|number| (id(number), Some(record(number)))).collect()
}

fn open(dir: &TempDir) -> Store {
    let Opened { store, moved_aside, migrated, tightened } =
        Store::open(dir.path(), hours(0)).unwrap();
    assert_eq!((moved_aside, migrated, tightened), (None, None, None));
    store
}

fn why_not(dir: &Path) -> OpenError {
    Store::open(dir, hours(0)).map(|_| ()).unwrap_err()
}

/// Waits for what flushes.
fn waited<T>(flushes: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(flushes)
}

/// Waits for a write that does not fail.
fn done(write: impl Future<Output = Result<(), StoreError>>) {
    waited(write).unwrap();
}

/// A directory with a closed store of 300 records in it.
fn filled() -> TempDir {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    done(store.write_records(&acme(), &changes(1..=300)));
    done(store.write_account_state(&acme(), &AccountState::default()));
    done(store.write_token(&acme(), &token()));
    dir
}

/// The database behind the store's back.
#[expect(
    clippy::disallowed_methods,
    reason = "sled lets go of its lock a moment after it was dropped"
)]
fn raw(dir: &TempDir) -> sled::Db {
    for _ in 0..100 {
        match config().path(dir.path().join(DATABASE)).open() {
            Ok(db) => return db,
            Err(_) => std::thread::sleep(LOCK_WAIT),
        }
    }
    panic!("the database stays locked");
}

fn token() -> TokenState {
    TokenState {
        credentials: Fingerprint(u64::MAX),
        access: Some((Secret::new("1000.access"), hours(0))),
        fetches: vec![hours(0)],
        denied: Some(Denied {
            attempts: 2,
            until: hours(0),
            what: "invalid_code".into(),
            throttled: true,
        }),
    }
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let dir = filled();
    let state = AccountState {
        skew_ms: Some(-5),
        looks: Failures::default().again(hours(0), "HTTP 500", None),
        ..AccountState::default()
    };
    done(open(&dir).write_account_state(&acme(), &state));
    let store = open(&dir);
    let records: Vec<Record> = store.records(&acme()).unwrap().into_values().collect();
    assert_eq!(records, (1..=300).map(record).collect::<Vec<_>>());
    assert_eq!(store.account_state(&acme()).unwrap(), state);
    assert_eq!(store.token(&acme()).unwrap(), Some(token()));
    let mut granted = Vec::new();
    store.visit_grants(|account, grant| granted.push((account.clone(), grant))).unwrap();
    assert_eq!(granted, vec![(acme(), record(1).grant); 300]);
}

#[test]
fn what_the_check_read_of_records_is_told_until_one_is_written_and_once() {
    let dir = filled();
    let ids = |store: &Store| store.ids(&acme()).unwrap().len();
    let granted = |store: &Store| {
        let mut granted = 0;
        store.visit_grants(|account, _| granted += usize::from(*account == acme())).unwrap();
        granted
    };
    let store = open(&dir);
    assert!(store.grants().is_some());
    assert_eq!((ids(&store), granted(&store)), (300, 300));
    assert!(store.grants().is_none(), "it is told once");
    assert_eq!((ids(&store), granted(&store)), (300, 300));
    drop(store);
    let store = open(&dir);
    done(store.write_records(&acme(), &[(record(7).id, None)].into()));
    assert_eq!((ids(&store), granted(&store)), (299, 299));
}

#[test]
fn accounts_whose_names_begin_alike_are_kept_apart() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let other: AccountName = "acme-2".parse().unwrap();
    done(store.write_records(&acme(), &changes([1, 2])));
    done(store.write_records(&other, &changes([2, 3])));
    done(store.write_records(&acme(), &[(ChannelId::new(2).unwrap(), None)].into()));
    assert_eq!(store.records(&acme()).unwrap().len(), 1);
    assert_eq!(store.records(&other).unwrap().len(), 2);
    assert_eq!(store.account_state(&other).unwrap(), AccountState::default());
    assert_eq!(store.token(&other).unwrap(), None);
}

#[test]
fn a_second_opener_is_told_that_somebody_is_at_work() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let second = store.clone();
    drop(store);
    let error = why_not(dir.path());
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    assert!(second.records(&acme()).unwrap().is_empty());
    drop(second);
    open(&dir);
}

#[test]
fn a_newer_layout_is_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let db = raw(&dir);
    let meta = db.open_tree("meta").unwrap();
    meta.insert(SCHEMA_KEY, "4").unwrap();
    db.open_tree("records").unwrap().insert("whatever", "is new").unwrap();
    db.flush().unwrap();
    let trees =
        |db: &sled::Db| db.tree_names().into_iter().collect::<std::collections::BTreeSet<_>>();
    let before = trees(&db);
    drop((db, meta));
    let error = why_not(dir.path());
    assert!(matches!(error, OpenError::Newer { found: 4, .. }), "{error}");
    let db = raw(&dir);
    assert_eq!(trees(&db), before);
    assert_eq!(names(dir.path()), ["db", "db.lock"]);
}

#[test]
fn a_value_that_cannot_be_read_moves_the_database_aside() {
    let rows =
        [("records", "acme/"), ("accounts", "acme"), ("tokens", "acme"), ("meta", "desired")];
    for (tree, key) in rows {
        for schema_is_there in [true, false] {
            let dir = filled();
            let db = raw(&dir);
            db.open_tree(tree).unwrap().insert(key, "{\"v\":").unwrap();
            if !schema_is_there {
                db.open_tree("meta").unwrap().remove(SCHEMA_KEY).unwrap();
            }
            db.flush().unwrap();
            drop(db);
            let Opened { store, moved_aside, .. } = Store::open(dir.path(), hours(0)).unwrap();
            let (aside, why) = moved_aside.unwrap();
            let expected = if schema_is_there {
                format!("{tree}/{key}")
            } else {
                "nothing of what was kept".to_owned()
            };
            assert!(why.contains(&expected), "{why}");
            assert_eq!(aside.file_name().unwrap(), "db.corrupt-2026-01-01T00-00-00Z");
            assert!(aside.join("conf").exists());
            assert!(store.records(&acme()).unwrap().is_empty());
            done(store.write_records(&acme(), &changes([1])));
            drop(store);
            assert_eq!(open(&dir).records(&acme()).unwrap().len(), 1);
        }
    }
}

/// Otherwise the record of a retired channel, under another key, would have somebody else's channel
/// of that id disabled.
#[test]
fn a_record_under_another_channels_key_moves_the_database_aside() {
    let dir = filled();
    let db = raw(&dir);
    let records = Tree::open(&db, "records").unwrap();
    let other: Record = records.read("acme/0000000000000000002").unwrap().unwrap();
    records.write([("acme/0000000000000000001".to_owned(), Some(other))]).unwrap();
    drop((db, records));
    let (_, why) = Store::open(dir.path(), hours(0)).unwrap().moved_aside.unwrap();
    assert!(
        why.ends_with("records/acme/0000000000000000001: it belongs under another key"),
        "{why}"
    );
}

/// A disk that is full while this is `true`.
fn disk() -> (Arc<std::sync::atomic::AtomicBool>, Gate) {
    let full = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let of_gate = full.clone();
    let gate = move || match of_gate.load(std::sync::atomic::Ordering::Relaxed) {
        true => Err(io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    };
    (full, Arc::new(gate))
}

#[test]
fn a_write_to_a_full_disk_is_an_error_unless_the_store_goes_on() {
    let dir = filled();
    let (full, gate) = disk();
    let store = open(&dir).gated(gate);
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = waited(store.write_records(&acme(), &changes([301]))).unwrap_err();
    assert!(matches!(error, StoreError::Sled { doing: "write", .. }), "{error:?}");
    assert_eq!((store.records(&acme()).unwrap().len(), store.trouble()), (300, None));
}

#[test]
fn a_disk_that_has_failed_once_is_written_to_in_no_tree_until_it_is_mended() {
    let dir = filled();
    let (full, gate) = disk();
    let store = open(&dir).gated(gate).going_on();
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    done(store.write_records(&acme(), &changes([301])));
    full.store(false, std::sync::atomic::Ordering::Relaxed);
    let state = AccountState { looked_at: Some(hours(9)), ..AccountState::default() };
    done(store.write_account_state(&acme(), &state));
    assert_eq!(store.account_state(&acme()).unwrap(), state);
    drop(store);
    let store = open(&dir);
    let left = (store.records(&acme()).unwrap().len(), store.account_state(&acme()).unwrap());
    assert_eq!(left, (300, AccountState::default()), "the disk holds one time, an earlier one");
}

#[test]
fn a_mark_of_a_beginning_that_cannot_be_removed_is_an_error() {
    let dir = filled();
    let mark = dir.path().join(DATABASE).with_extension(BEGUN);
    fs::create_dir(&mark).unwrap();
    assert!(matches!(why_not(dir.path()), OpenError::Io { .. }));
    fs::remove_dir(&mark).unwrap();
    assert_eq!(open(&dir).records(&acme()).unwrap().len(), 300);
}

#[test]
fn a_store_that_goes_on_keeps_everything_in_memory_until_its_disk_has_room() {
    let dir = filled();
    let (full, gate) = disk();
    let store = open(&dir).gated(gate).going_on();
    let other_hand = store.clone();
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    let gone = id(7);
    done(store.write_records(&acme(), &changes(301..=700)));
    done(store.write_records(&acme(), &[(gone, None)].into()));
    assert!(
        store.trouble().unwrap().contains("the store could not write"),
        "{:?}",
        store.trouble()
    );
    assert_eq!(other_hand.records(&acme()).unwrap().len(), 699);
    assert_eq!(
        other_hand.token(&acme()).unwrap(),
        Some(token()),
        "what was not written since is there too"
    );
    assert!(waited(store.mend(hours(0))).is_err(), "it is still full");
    assert_eq!(store.records(&acme()).unwrap().len(), 699);

    full.store(false, std::sync::atomic::Ordering::Relaxed);
    waited(store.mend(hours(0))).unwrap();
    assert_eq!((store.trouble(), other_hand.trouble()), (None, None));
    done(other_hand.write_records(&acme(), &changes([701])));
    assert!(matches!(why_not(dir.path()), OpenError::Locked(_)), "it holds its database again");
    drop((store, other_hand));
    let records = open(&dir).records(&acme()).unwrap();
    assert_eq!((records.len(), records.contains_key(&gone)), (700, false));
}

#[test]
fn a_database_that_was_damaged_meanwhile_is_moved_aside_and_written_anew_from_memory() {
    let dir = filled();
    let (full, gate) = disk();
    let store = open(&dir).gated(gate).going_on();
    full.store(true, std::sync::atomic::Ordering::Relaxed);
    done(store.write_records(&acme(), &changes([301])));
    fs::write(dir.path().join(DATABASE).join(SLED_LOG), "").unwrap();
    full.store(false, std::sync::atomic::Ordering::Relaxed);
    waited(store.mend(hours(0))).unwrap();
    drop(store);
    assert_eq!(open(&dir).records(&acme()).unwrap().len(), 301);
}

/// Damages one file of a closed store.
type Damage = fn(Vec<u8>) -> Vec<u8>;

#[test]
fn a_beginning_that_was_cut_short_is_begun_again() {
    let dir = TempDir::new().unwrap();
    let begun = dir.path().join("db.begun");
    drop(raw(&dir));
    fs::write(&begun, "").unwrap();
    let store = open(&dir);
    assert!(!begun.exists());
    done(store.write_records(&acme(), &changes([1])));
    drop(store);
    assert_eq!(open(&dir).records(&acme()).unwrap().len(), 1);
}

#[test]
fn damaged_files_neither_stop_the_daemon_nor_go_unsaid() {
    let damages: [(&str, Damage); 6] = [
        ("emptied", |_| Vec::new()),
        ("garbage", |bytes| (0..bytes.len()).map(|at| (at * 7919 % 251) as u8).collect()),
        ("cut in half", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("cut by one", |bytes| bytes[..bytes.len().saturating_sub(1)].to_vec()),
        ("head gone", |mut bytes| {
            bytes.iter_mut().take(4096).for_each(|byte| *byte = 0xff);
            bytes
        }),
        ("bits flipped", |mut bytes| {
            bytes.iter_mut().step_by(977).for_each(|byte| *byte ^= 0x10);
            bytes
        }),
    ];
    for (what, damage) in damages {
        let names: Vec<_> =
            files(&filled().path().join(DATABASE)).into_iter().map(|path| kind_of(&path)).collect();
        for name in names {
            let dir = filled();
            let paths = files(&dir.path().join(DATABASE));
            for path in paths.iter().filter(|path| kind_of(path) == name) {
                fs::write(path, damage(fs::read(path).unwrap())).unwrap();
            }
            let Opened { store, moved_aside, .. } = Store::open(dir.path(), hours(0))
                .unwrap_or_else(|error| panic!("{name} {what}: {error:?}"));
            // sled takes a log that ends early for one whose last writes never came: what they held
            // is taken over again.
            let whole = store.records(&acme()).unwrap().len() == 300;
            assert!(
                whole != moved_aside.is_some() || what == "cut in half",
                "{name} {what}: {moved_aside:?}"
            );
            done(store.write_records(&acme(), &changes([1])));
            assert_eq!(store.records(&acme()).unwrap()[&id(1)], record(1), "{name} {what}");
        }
    }
}

/// The entries of a directory, by name.
fn names(dir: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

/// Every file below `path`.
fn files(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// `snap` of `snap.00000000000204D7`.
fn kind_of(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

#[test]
fn only_its_owner_reads_the_state_directory() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    drop(Store::open(&state, hours(0)).unwrap());
    drop(Store::open(&state, hours(0)).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&state), mode(&state.join(DATABASE))), (0o700, 0o700));
    for path in files(&state) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_state_directory_that_others_may_write_into_is_tightened_or_refused() {
    let dir = TempDir::new().unwrap();
    let mode_of = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for (found, left, said) in [
        (0o777, 0o755, Some(0o777)),
        (0o775, 0o755, Some(0o775)),
        (0o755, 0o755, None),
        (0o700, 0o700, None),
    ] {
        let state = dir.path().join(format!("state-{found:o}"));
        fs::create_dir(&state).unwrap();
        fs::set_permissions(&state, PermissionsExt::from_mode(found)).unwrap();
        let Opened { tightened, store: _store, .. } = Store::open(&state, hours(0)).unwrap();
        assert_eq!((mode_of(&state), tightened), (left, said), "{found:o}");
    }
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, PermissionsExt::from_mode(0o1777)).unwrap();
    let error = why_not(&shared);
    assert!(matches!(error, OpenError::Public { mode: 0o1777, .. }), "{error}");
    assert_eq!((mode_of(&shared), names(&shared)), (0o1777, Vec::new()), "nothing was made there");
}

#[test]
fn a_place_that_cannot_hold_a_directory_is_an_error_of_the_file_system() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for place in [file.clone(), file.join("below"), PathBuf::from("/proc/nowhere")] {
        let error = why_not(&place);
        assert!(matches!(error, OpenError::Io { .. }), "{}: {error:?}", place.display());
    }
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    fs::write(state.join(DATABASE), "a file where the database should be").unwrap();
    let error = why_not(&state);
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
}

/// To layouts 4 and 5: records move into a tree of another name, and back; a word is left in `meta`
/// each time.
const TO_5: &[MigrationStep] = &[
    STEPS[0],
    STEPS[1],
    |mut entries| {
        let records = entries.remove(b"records".as_slice()).ok_or("no records")?;
        entries.insert(b"channels".to_vec(), records);
        entries.entry(b"meta".to_vec()).or_default().insert(b"second".to_vec(), b"\"2\"".to_vec());
        Ok(entries)
    },
    |mut entries| {
        let records = entries.remove(b"channels".as_slice()).ok_or("no channels")?;
        entries.insert(b"records".to_vec(), records);
        entries.entry(b"meta".to_vec()).or_default().insert(b"third".to_vec(), b"\"3\"".to_vec());
        Ok(entries)
    },
];

fn open_as_layout_5(dir: &TempDir) -> Opened {
    Store::open_with(dir.path(), hours(0), TO_5).unwrap()
}

/// Everything of a database, and nothing left of a migration beside it.
fn assert_migrated(dir: &TempDir, store: &Store) {
    assert_eq!(
        store.records(&acme()).unwrap().into_values().collect::<Vec<_>>(),
        (1..=300).map(record).collect::<Vec<_>>()
    );
    assert_eq!(store.token(&acme()).unwrap(), Some(token()));
    let words = ["schema", "second", "third"]
        .map(|key| store.meta.read::<serde_json::Value>(key).unwrap().unwrap());
    assert_eq!(words, [serde_json::json!(5), "2".into(), "3".into()]);
    assert_eq!(names(dir.path()), ["db", "db.layout-3-2026-01-01T00-00-00Z", "db.lock"]);
}

#[test]
fn an_older_layout_is_brought_to_this_one_and_kept_as_it_was() {
    let dir = filled();
    let before = entries(&raw(&dir));
    let Opened { store, moved_aside, migrated, .. } = open_as_layout_5(&dir);
    assert_migrated(&dir, &store);
    let Migrated { from, kept } = migrated.unwrap();
    assert_eq!((from, moved_aside), (3, None));
    drop(store);

    let Opened { store, moved_aside: None, migrated: None, .. } = open_as_layout_5(&dir) else {
        panic!("migrated twice")
    };
    assert_migrated(&dir, &store);
    drop(store);
    let error = why_not(dir.path());
    assert!(matches!(error, OpenError::Newer { found: 5, .. }), "{error}");

    // Back to the release before, as its document says.
    fs::remove_dir_all(dir.path().join(DATABASE)).unwrap();
    fs::rename(kept, dir.path().join(DATABASE)).unwrap();
    assert_eq!(entries(&raw(&dir)), before);
    assert_eq!(open(&dir).records(&acme()).unwrap().len(), 300);
}

#[test]
fn a_migration_that_was_interrupted_is_finished_or_begun_again() {
    let moved: [(&str, &[(&str, &str)]); 3] = [
        ("half written", &[("db", "db.migrating"), ("db.layout-3-2026-01-01T00-00-00Z", "db")]),
        (
            "whole, the old one in place",
            &[("db", "db.migrated"), ("db.layout-3-2026-01-01T00-00-00Z", "db")],
        ),
        ("whole, the old one away", &[("db", "db.migrated")]),
    ];
    for (crash, moves) in moved {
        let dir = filled();
        drop(open_as_layout_5(&dir));
        drop(raw(&dir));
        for (from, to) in moves {
            fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
        }
        if crash == "half written" {
            fs::write(dir.path().join("db.migrating/db"), "cut short").unwrap();
        }
        let Opened { store, moved_aside, .. } = open_as_layout_5(&dir);
        assert_eq!(moved_aside, None, "{crash}");
        assert_migrated(&dir, &store);
    }
}

#[test]
fn what_cannot_be_migrated_is_moved_aside_and_said() {
    let dir = TempDir::new().unwrap();
    let db = raw(&dir);
    db.open_tree("meta").unwrap().insert(SCHEMA_KEY, "3").unwrap();
    db.flush().unwrap();
    drop(db);
    let Opened { moved_aside, migrated, .. } = open_as_layout_5(&dir);
    let (aside, why) = moved_aside.unwrap();
    assert!(aside.exists() && why.contains("layout 3 cannot be migrated: no records"), "{why}");
    assert_eq!(migrated, None);
}

#[test]
fn nobody_opens_a_database_while_another_does() {
    let dir = filled();
    let held = lock(&dir.path().join(DATABASE)).unwrap_or_else(|_| panic!("it is locked"));
    assert!(matches!(why_not(dir.path()), OpenError::Locked(_)));
    drop(held);
    open(&dir);
}

/// Every entry, tree by tree.
fn entries(db: &sled::Db) -> migrate::Entries {
    let pair = |entry: Result<(sled::IVec, sled::IVec), sled::Error>| {
        let (key, value) = entry.unwrap();
        (key.to_vec(), value.to_vec())
    };
    let names = db.tree_names().into_iter();
    names
        .map(|name| (name.to_vec(), db.open_tree(&name).unwrap().iter().map(pair).collect()))
        .collect()
}
