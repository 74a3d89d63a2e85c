//! Daemons that share accounts over a real etcd: one fails, and the others serve its accounts.
//!
//! `cargo test` plays most kinds of trials once, all at the same time, each at a site of its own.
//! More are played when the environment says so, and the figures are printed:
//!
//! ```sh
//! CHANNELKEEPER_SITES=10 CHANNELKEEPER_TRIALS=kill=10,freeze=10,random=200 \
//!     cargo test --test it process::sharing -- --nocapture
//! ```
//!
//! The judge is what Zoho heard: nothing is enabled twice, nobody writes for an account that
//! another owns, no channel lapses, and tokens are fetched at most ten times in ten minutes.

mod heard;
mod link;
mod release;
mod site;
mod trials;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

use self::site::Site;
use self::trials::{Kind, Outcomes, Trials};
use crate::etcd::server::installed;
use crate::simulation::Rng;

#[test]
fn whatever_befalls_a_machine_its_accounts_are_served_by_others_and_nothing_is_done_twice() {
    let Some(program) = installed() else { return };
    let asked = std::env::var("CHANNELKEEPER_TRIALS").unwrap_or(ONE_OF_EACH.to_owned());
    let trials = trials(&asked);
    let sites = std::env::var("CHANNELKEEPER_SITES").map(|sites| sites.parse().unwrap());
    let (outcomes, failed) = all_played(&program, &trials, sites.unwrap_or(trials.len()));
    println!("{outcomes}");
    assert_eq!(failed, 0, "sites failed, see above");
    let Outcomes { doubles, late, lapses, tokens_max, mended, bare, .. } = &outcomes;
    assert_eq!((doubles, late, lapses), (&vec![], &vec![], &vec![]));
    assert!(*tokens_max <= 10, "{tokens_max} token fetches within ten minutes");
    assert!(mended.iter().all(|length| length.as_secs() < 45), "{mended:?}");
    assert!(bare.values().all(|length| length.as_secs() < 5), "{bare:?}");
}

/// Plays trials at so many sites at once; with the number of sites that failed.
fn all_played(program: &Path, trials: &[Kind], sites: usize) -> (Outcomes, usize) {
    let share = |site: usize| trials.iter().skip(site).step_by(sites).copied().collect();
    let shares: Vec<Vec<Kind>> = (0..sites).map(share).collect();
    thread::scope(|scope| {
        let mut running = Vec::new();
        for (share, seed) in shares.iter().zip(SEED..) {
            running.push(scope.spawn(move || played(program, share, seed)));
        }
        let ended: Vec<_> = running.into_iter().map(|one| one.join().ok()).collect();
        let failed = ended.iter().filter(|one| !matches!(one, Some((_, true)))).count();
        let mut outcomes = Outcomes::default();
        ended.into_iter().flatten().for_each(|(of_it, _)| outcomes.add(of_it));
        (outcomes, failed)
    })
}

/// Plays trials at a site of their own, until one fails.
fn played(program: &Path, share: &[Kind], seed: u64) -> (Outcomes, bool) {
    let machines = if share.iter().any(|kind| matches!(kind, Kind::Leader)) { 3 } else { 1 };
    let mut rng = Rng::new(seed);
    let mut trials = Trials::at(Site::new(program, NODES, machines), &mut rng);
    let is_whole = share.iter().all(|kind| {
        // A failure is printed where it stands; all that was heard until then is judged all the
        // same.
        catch_unwind(AssertUnwindSafe(|| trials.play(*kind))).is_ok()
    });
    (trials.judged(), is_whole)
}

/// As in `kill=10,random=200`, mixed.
fn trials(asked: &str) -> Vec<Kind> {
    let mut left: Vec<(Kind, usize)> = asked
        .split(',')
        .map(|part| part.split_once('=').expect("KIND=COUNT"))
        .map(|(kind, count)| (kind.parse().unwrap(), count.parse().unwrap()))
        .collect();
    let mut trials = Vec::new();
    while left.iter().any(|(_, count)| *count > 0) {
        for (kind, count) in left.iter_mut().filter(|(_, count)| *count > 0) {
            trials.push(*kind);
            *count -= 1;
        }
    }
    trials
}

const ONE_OF_EACH: &str = "kill=1,late=1,cut=1,leader=1,stop=1,roll=1";
const NODES: usize = 3;
const SEED: u64 = 4711;
