//! The cost of the daemon as a whole: `cargo bench --bench fleet -- --accounts 1000 --channels 100`.
//!
//! The real binary, as a process, holds made-up channels against the simulator, which runs in this
//! process, over loopback HTTP. One after the other: a cold start, a while of idleness, a restart
//! with a full store, days of steady state on a clock at a pace, with `--backfill` a recovery of so
//! many records, an edit of a tenth of the channels, and an outage of ten hours. It says of each
//! phase how long it took, the daemon's CPU and memory, its calls beside the fewest that could do,
//! how late renewals were, and what went to the disk.
//!
//! The *raw baseline* is this program again, as a process that sends the very requests that the
//! daemon sent, all accounts at once, to a fresh simulator, and does nothing else with the
//! answers than to read them. Ratios against it say what the daemon costs beyond its calls;
//! absolute times only say how fast the machine was.
//!
//! The parts: [`world`] is the simulator, its clock and the config; [`daemon`] is the binary;
//! [`process`] reads what a process took; [`script`] is the log of requests; [`baseline`] sends it
//! again; [`phases`] is the order of things; [`nodes`] is several daemons over an etcd;
//! [`figures`] is the result; [`plot`] draws a sweep. The method and the targets are in
//! `docs/performance.md`.

#![expect(clippy::print_stdout, reason = "the figures are its output")]

mod baseline;
mod daemon;
mod figures;
mod nodes;
mod phases;
mod plot;
mod process;
mod script;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Measures the daemon as a process.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Accounts
    #[arg(long, default_value_t = 20)]
    accounts: usize,
    /// Channels of each account, one to three modules each
    #[arg(long, default_value_t = 50)]
    channels: usize,
    /// The most accounts at once
    #[arg(long, default_value_t = 1024)]
    passes_max: usize,
    /// How far away Zoho is: each answer comes so much later
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    rtt: Duration,
    /// How long nothing is asked of the daemon, in real time
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    idle: Duration,
    /// Days of steady state; none of the phases on a clock at a pace when 0
    #[arg(long, default_value_t = 2)]
    days: u32,
    /// How many times as fast as the world the clock runs in them
    #[arg(long, default_value_t = 1800)]
    speed: u32,
    /// From one audit to the next, by that clock
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    audit: Duration,
    /// How long renewals are watched at twice the speed of the world, in real time; that phase is
    /// left out when 0
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    close: Duration,
    /// How long Zoho is down, by the clock at its pace
    #[arg(long, default_value = "10h", value_parser = humantime::parse_duration)]
    outage: Duration,
    /// Calls in a second, of all accounts together, beyond which Zoho answers 429
    #[arg(long)]
    calls_per_second_max: Option<usize>,
    /// Records that are recovered beside renewals; that phase is left out when 0
    #[arg(long, default_value_t = 0)]
    backfill: u64,
    /// Nodes that share the accounts over an etcd of PATH, instead of every other phase
    #[arg(long, default_value_t = 0)]
    nodes: usize,
    /// A size at which every phase is over within a minute or two, for CI
    #[arg(long)]
    small: bool,
    /// One account of 1 to 10,000 channels, 1 to 1,000 accounts of 10, and 10 to 1,000 at three
    /// distances, with plots into this directory
    #[arg(long, value_name = "DIR")]
    sweep: Option<PathBuf>,
    /// The figures as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The binary that is measured
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_channelkeeper"))]
    binary: PathBuf,
    /// Said by `cargo bench` to every bench
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the raw baseline: send this script
    #[arg(long, hide = true, requires = "base")]
    replay: Option<PathBuf>,
    /// Where to
    #[arg(long, hide = true)]
    base: Option<String>,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if args.small {
        args = Args {
            accounts: 10,
            channels: 20,
            idle: Duration::from_secs(3),
            days: 1,
            speed: 7200,
            backfill: 2000,
            ..args
        };
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let done = match (&args.replay, &args.base, &args.sweep) {
        (Some(script), Some(base), _) => {
            runtime.block_on(baseline::send(script, base, args.accounts))
        }
        (_, _, Some(into)) => runtime.block_on(plot::sweep(&args, into)),
        _ if args.nodes > 0 => runtime.block_on(nodes::measure(&args)),
        _ => runtime.block_on(one(&args)),
    };
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn one(args: &Args) -> anyhow::Result<()> {
    let figures = phases::measure(args).await?;
    println!("{}", figures.to_text());
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)?)?;
    }
    figures.check()
}
