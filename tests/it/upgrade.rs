//! The stores that releases wrote, each in `tests/fixtures/store-VERSION`: this release opens all
//! of them and finds in them what `holds.txt` beside the database says. That of `store-layout-2` is
//! the one of 0.1.0 as it was brought to a layout that no release has.
//!
//! A release adds its own before its version is raised: some channels of `channelkeeper simulator`,
//! applied, one of them deleted behind its back and enabled again, its gap acknowledged, another
//! paused. Then
//!
//! ```sh
//! cp -r state/db tests/fixtures/store-VERSION/ && UPDATE_EXPECT=1 cargo test --test it upgrade::
//! ```

#![allow(clippy::unwrap_used, reason = "test code")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use channelkeeper::model::secret::{Origin, Secret};
use channelkeeper::model::time::{Timestamp, whole_seconds};
use channelkeeper::store::{OpenError, Opened, Store};
use expect_test::expect_file;

#[test]
fn the_store_of_every_release_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let releases: Vec<_> =
        fs::read_dir(&fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!releases.is_empty());
    for release in releases {
        let state = tempfile::tempdir().unwrap();
        copy(&release.join("db"), &state.path().join("db"));
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let Opened { store, moved_aside, .. } = Store::open(state.path(), now).unwrap();
        assert_eq!(moved_aside, None, "{}", release.display());
        expect_file![release.join("holds.txt")].assert_eq(&holds(&store));
    }
}

#[test]
fn a_migration_that_died_at_any_point_is_gone_through_again() {
    // The renamed paths at each death: the name in place, and the file that had it by then.
    let deaths: [&[(&str, &str)]; 4] = [
        &[],
        &[("db", "db.migrating"), (KEPT, "db")],
        &[("db", "db.migrated"), (KEPT, "db")],
        &[("db", "db.migrated")],
    ];
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let releases = [("store-0.1.0", 1), ("store-layout-2", 2)];
    let played = releases.iter().flat_map(|release| deaths.iter().map(move |it| (release, *it)));
    for (&(release, layout), moves) in played {
        let release = fixtures.join(release);
        let kept = kept(layout);
        let state = tempfile::tempdir().unwrap();
        copy(&release.join("db"), &state.path().join("db"));
        let now: Timestamp = NOW.parse().unwrap();
        let migrated = open(state.path(), now).migrated.expect("an older layout");
        assert_eq!((migrated.from, migrated.kept), (layout, state.path().join(&kept)));
        for (from, to) in moves {
            let from = if *from == KEPT { &kept } else { *from };
            fs::rename(state.path().join(from), state.path().join(to)).unwrap();
        }
        let Opened { store, moved_aside, .. } = open(state.path(), now);
        assert_eq!(moved_aside, None, "{moves:?}");
        expect_file![release.join("holds.txt")].assert_eq(&holds(&store));
        assert!(state.path().join(kept).is_dir(), "{moves:?}: the old one is kept");
    }
}

/// Opens a store whose last user has just gone: it holds its lock for a moment longer.
fn open(state_dir: &Path, now: Timestamp) -> Opened {
    for _ in 0..200 {
        match Store::open(state_dir, now) {
            Err(OpenError::Locked(_)) => std::thread::park_timeout(Duration::from_millis(10)),
            opened => return opened.unwrap(),
        }
    }
    panic!("{} stays locked", state_dir.display());
}

const NOW: &str = "2030-01-01T00:00:00Z";
/// Stands for the name of the old database, kept.
const KEPT: &str = "kept";

fn kept(layout: u32) -> String {
    format!("db.layout-{layout}-2030-01-01T00-00-00Z")
}

/// The content of a store, one line for each thing.
fn holds(store: &Store) -> String {
    let mut text = String::new();
    // Its secrets stood in the config itself, so they cannot be fetched again; that is said of each
    // account.
    let restored =
        store.restore_desired(&|_: &Origin| Ok(Secret::from("fetched"))).unwrap().unwrap();
    for (name, why) in &restored.unusable {
        writeln!(text, "declared {name}, without its secrets: {why}").unwrap();
    }
    for name in &store.ledger_accounts().unwrap() {
        let state = store.account_state(name).unwrap();
        let looked = state.looked_from.map(whole_seconds);
        let token = store.token(name).unwrap().and_then(|token| token.access).is_some();
        let pauses = store.wishes(name).unwrap().pauses;
        writeln!(text, "{name}: looked at {looked:?}, a token: {token}, pauses {pauses:?}")
            .unwrap();
        for record in store.records(name).unwrap().values() {
            let until = record.grant.map(|grant| whole_seconds(grant.expiry));
            writeln!(text, "  ours {} {}, until {until:?}", record.id, record.name).unwrap();
        }
        for (id, ledger) in store.ledgers(name).unwrap() {
            for gap in ledger.gaps(state.looked_from.unwrap_or_default()) {
                let to = gap.to.map(whole_seconds);
                let (kind, cause, from) =
                    (gap.kind.word(), gap.cause.word(), whole_seconds(gap.from));
                writeln!(
                    text,
                    "  gap {id} {}.{}: {kind} ({cause}) {from} to {to:?}",
                    gap.module,
                    gap.operation.as_str()
                )
                .unwrap();
            }
            let acknowledged = format!("{:?}", store.acks(name, id).unwrap());
            if acknowledged.contains("fetched") {
                writeln!(text, "  acknowledged {id}").unwrap();
            }
        }
    }
    text
}

/// A directory with everything below it. Git keeps no empty ones; sled makes those anew.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let there = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            copy(&entry, &there);
        } else {
            fs::copy(&entry, &there).unwrap();
        }
    }
}
