//! Machines of the release before beside those of this one. `tests/release/run` builds its binary
//! and names it in the environment; without that nothing is played.

use std::path::{Path, PathBuf};
use std::time::Duration;

use channelkeeper::model::time::Timestamp;

use super::heard::{Moves, Verdict};
use super::site::Site;
use crate::etcd::server::installed;

#[test]
fn machines_are_updated_one_by_one_from_the_release_before_and_one_is_put_back() {
    let Some((program, before)) = installed().zip(release_before()) else { return };
    let this = Path::new(env!("CARGO_BIN_EXE_channelkeeper"));
    let mut site = Site::of(&program, 3, 1, &before);
    let since = site.now();
    for node in 0..3 {
        site.becomes(node, this);
        site.settle();
        // The first one long enough that each account is renewed beside the other release.
        site.pause_until(site.now(), if node == 0 { RENEWED } else { A_WHILE });
    }
    site.becomes(1, &before);
    site.settle();
    site.pause_until(site.now(), RENEWED);
    let verdict = site.verdict();
    told(&site, &verdict, since);
    judged(&site, &verdict, since);
}

#[expect(clippy::print_stderr, reason = "a test that could not run says so")]
fn release_before() -> Option<PathBuf> {
    let before = std::env::var_os("CHANNELKEEPER_RELEASE_BEFORE").map(PathBuf::from);
    if before.is_none() {
        eprintln!("NOT TESTED: there is no release before (tests/release/run builds it)");
    }
    before
}

fn judged(site: &Site, verdict: &Verdict, since: Timestamp) {
    let Verdict { doubles, late, lapses, tokens_max, writes } = verdict;
    let none: [String; 0] = [];
    assert_eq!((&doubles[..], &late[..], &lapses[..]), (&none[..], &none[..], &none[..]));
    // Each account was enabled, and renewed in both of the long stretches.
    assert!(*tokens_max <= 10 && *writes >= 3 * 12, "{tokens_max} tokens, {writes} writes");
    for (account, Moves { all, longest }) in site.moves(since) {
        assert!(all > 0 && longest < Duration::from_secs(5), "{account}: {all}, {longest:?}");
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what somebody plays it for")]
fn told(site: &Site, verdict: &Verdict, since: Timestamp) {
    println!("account  moves  longest without an owner");
    for (account, Moves { all, longest }) in site.moves(since) {
        println!("{account:<7}  {all:>5}  {longest:.1?}");
    }
    println!(
        "{} writes: {} doubles, {} late, {} lapses; at most {} token fetches in ten minutes",
        verdict.writes,
        verdict.doubles.len(),
        verdict.late.len(),
        verdict.lapses.len(),
        verdict.tokens_max
    );
}

/// Longer than half of a life of five minutes.
const RENEWED: Duration = Duration::from_secs(160);
const A_WHILE: Duration = Duration::from_secs(20);
