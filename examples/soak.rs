//! Plays as many seeds of a simulated month as one wants: `cargo run --release --example soak --
//! --seeds 1000 --first 1`.
//!
//! Exits 1 on a violation, and prints the seed and the command that plays it again.

#[path = "../tests/it/simulation/mod.rs"]
mod simulation;
#[path = "../tests/it/sites/mod.rs"]
mod sites;
#[path = "../tests/it/world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;

use sites::play;

/// Plays seeds of a simulated month.
#[derive(Parser)]
struct Args {
    /// How many seeds
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Days a world is watched
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// Seeds at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Three machines that share their accounts, for some hours, instead of a month of one
    #[arg(long)]
    machines: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.machines {
        return machines(&args);
    }
    let length = Duration::from_secs(args.days * 24 * 3600);
    let mut total: BTreeMap<String, u64> = BTreeMap::new();
    let mut orgs: BTreeMap<String, u64> = BTreeMap::new();
    let mut records: BTreeMap<String, u64> = BTreeMap::new();
    let (mut played, mut violations, mut calls) = (0_u64, 0_u64, 0_u64);
    let mut out = std::io::stdout();
    each(
        &args,
        |seed| simulation::play(seed, length),
        |run| {
            played += 1;
            calls += run.calls;
            for product in run.products {
                *orgs.entry(format!("org of {product}")).or_default() += 1;
            }
            run.faults
                .iter()
                .for_each(|(kind, count)| *total.entry(kind.clone()).or_default() += count);
            for (what, count) in run.records {
                *records.entry(what).or_default() += count;
            }
            for violation in &run.violations {
                violations += 1;
                say(&mut out, &format!("seed {}: {violation}", run.seed));
            }
            if args.seeds == 1 && !run.violations.is_empty() {
                run.log
                    .iter()
                    .rev()
                    .take(300_000)
                    .rev()
                    .for_each(|line| say(&mut out, &format!("  {line}")));
            }
            if !run.violations.is_empty() {
                let command =
                    format!("cargo run --release --example soak -- --seeds 1 --first {}", run.seed);
                say(&mut out, &format!("  again: {command} --days {}", args.days));
            }
        },
    );
    say(
        &mut out,
        &format!(
            "{played} seeds of {} simulated days, {calls} calls, {violations} violations",
            args.days
        ),
    );
    say(&mut out, &simulation::records::summary(&records));
    let records = records.iter().map(|(what, count)| (format!("records: {what}"), *count));
    let records: BTreeMap<String, u64> = records.collect();
    for (kind, count) in orgs.iter().chain(&total).chain(&records) {
        say(&mut out, &format!("  {count:>8} {kind}"));
    }
    // Laws about a fault that never happened say nothing.
    let never = simulation::TOLD_APART.into_iter().filter(|word| !total.contains_key(*word));
    let never: Vec<&str> = never.filter(|_| played >= MANY).collect();
    if !never.is_empty() {
        say(&mut out, &format!("these faults never happened: {}", never.join(", ")));
        return ExitCode::FAILURE;
    }
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Plays the seeds on as many threads as are asked for, and takes each run as it ends.
fn each<T: Send>(args: &Args, play: impl Fn(u64) -> T + Sync, take: impl FnMut(T)) {
    let next = AtomicU64::new(args.first);
    let ends = args.first + args.seeds;
    let (sender, runs) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            let (sender, next, play) = (sender.clone(), &next, &play);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= ends || sender.send(play(seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        runs.into_iter().for_each(take);
    });
}

/// Plays seeds of several machines.
fn machines(args: &Args) -> ExitCode {
    let mut out = std::io::stdout();
    let mut total: BTreeMap<String, u64> = BTreeMap::new();
    let (mut played, mut broken) = (0_u64, 0_u64);
    let mut longest = Duration::ZERO;
    each(
        args,
        |seed| play::play(seed, play::LENGTH),
        |run| {
            played += 1;
            longest = longest.max(run.longest);
            for (what, count) in run.counts {
                *total.entry(what).or_default() += count;
            }
            if run.violations.is_empty() {
                return;
            }
            broken += 1;
            for violation in &run.violations {
                say(&mut out, &format!("seed {}: {violation}", run.seed));
            }
            let lines = if args.seeds == 1 { usize::MAX } else { LINES };
            let skipped = run.log.len().saturating_sub(lines);
            run.log.iter().skip(skipped).for_each(|line| say(&mut out, &format!("  {line}")));
            let command = "cargo run --release --example soak -- --machines --seeds 1 --first";
            say(&mut out, &format!("  again: {command} {}", run.seed));
        },
    );
    let hours = play::LENGTH.as_secs() / 3600;
    say(
        &mut out,
        &format!(
            "{played} seeds of three machines and {hours} hours, {broken} with a violation; an \
             account had no owner for {longest:.2?} at most"
        ),
    );
    total.iter().for_each(|(what, count)| say(&mut out, &format!("  {count:>8} {what}")));
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// So many lines before a violation are shown.
const LINES: usize = 200;
/// So many seeds have every fault among them.
const MANY: u64 = 50;

fn say(out: &mut impl Write, line: &str) {
    writeln!(out, "{line}").expect("stdout is open");
}
