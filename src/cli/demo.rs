//! `demo`: days of renewals, a repair and an outage in a minute.
//!
//! The real daemon, with its real store in a directory that is gone afterwards, against the
//! simulator over loopback HTTP, on a clock that runs thousands of times as fast as the world. A
//! script plays the world: somebody edits a channel, somebody deletes one, Zoho is down for a
//! night, a channel is taken out of the config. Each event is told in a line. At the end the
//! daemon's work is compared with the simulator's truth.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock, VirtualClock};
use crate::config::{Commands, MissingCredentials, Surroundings};
use crate::daemon::run::{Daemon, Options, start};
use crate::model::time::{Timestamp, before, whole_seconds};
use crate::simulator::{Knobs, Org, Zoho, http};

use super::Exit;

mod script;
mod story;
mod summary;
mod world;

use script::Director;

/// Watch days of renewals, a repair and an outage in a minute.
///
/// The real daemon runs against the simulator on a fast clock; it needs no Zoho account.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct DemoArgs {
    /// Stop after so many simulated days; without it, go on until interrupted
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// How many times as fast as the world the clock runs
    #[arg(long, value_name = "X", default_value_t = 7200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    speed: u32,
    /// Where the health endpoints listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    http: SocketAddr,
}

/// The parts that the demo runs on.
struct DemoStage {
    zoho: Arc<Mutex<Zoho>>,
    clock: Arc<dyn Clock>,
    begins: Timestamp,
    /// How many times as fast as the world the clock runs.
    speed: u32,
    config: PathBuf,
    base: String,
}

pub(super) async fn run(args: DemoArgs, stdout: &mut (dyn Write + Send)) -> anyhow::Result<Exit> {
    let dir = ScratchDir::new()?;
    let closing = CancellationToken::new();
    let stage = stage(dir.path(), args.speed, &closing).await?;
    let (reports, heard) = mpsc::channel(256);
    let daemon = start(options(&stage, dir.path(), args.http, reports)).await?;
    writeln!(stdout, "{}", world::introduction(&args_line(&args), daemon.listening()))?;
    let director = Director::new(&stage, daemon.reloads(), args.days);
    let played = play(daemon, director, &stage, story::Story::new(&stage, heard), stdout).await;
    closing.cancel();
    let summary = played?;
    write!(stdout, "{}", summary.to_text())?;
    Ok(if summary.is_good() { Exit::Done } else { Exit::Failed })
}

/// The daemon, the script and the story, until the script ends or somebody interrupts.
async fn play(
    daemon: Daemon,
    director: Director,
    stage: &DemoStage,
    mut story: story::Story,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<summary::DemoSummary> {
    let mut signals = crate::daemon::signals::Incoming::listen()?;
    let (lines, mut told) = mpsc::channel(256);
    let stopper = daemon.stopper();
    let script = tokio::spawn(director.direct(lines));
    let running = tokio::spawn(daemon.run());
    loop {
        tokio::select! {
            biased;
            Some(line) = told.recv() => writeln!(stdout, "{line}")?,
            Some(line) = story.next() => writeln!(stdout, "{line}")?,
            _ = signals.next() => break,
            else => break,
        }
        stdout.flush()?;
        if script.is_finished() && told.is_empty() {
            break;
        }
    }
    let summary = summary::of(stage);
    script.abort();
    stopper.cancel();
    story.drain();
    running.await.context("the daemon died")??;
    Ok(summary)
}

async fn stage(dir: &Path, speed: u32, closing: &CancellationToken) -> anyhow::Result<DemoStage> {
    let now = whole_seconds(SystemClock::new().now());
    // On the hour, as the audits are.
    let begins = before(now, Duration::from_secs(now.as_second().rem_euclid(3600).unsigned_abs()));
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(begins, speed));
    let mut zoho = Zoho::new(Knobs::default());
    for account in world::ACCOUNTS {
        zoho.add_org(Org::of(account.product, account.name));
    }
    let zoho = Arc::new(Mutex::new(zoho));
    let listener = TcpListener::bind("127.0.0.1:0").await.context("the simulator cannot listen")?;
    let base = format!("http://{}", listener.local_addr()?);
    let (of_clock, stop) = (clock.clone(), closing.clone().cancelled_owned());
    let served = http::serve(listener, zoho.clone(), Arc::new(move || of_clock.now()), stop);
    // It ends with `closing`, at the latest with the process; its failure shows as failed looks.
    let _detached = tokio::spawn(served);
    let config = dir.join("config.toml");
    std::fs::write(&config, world::config(&base, true))
        .context("the demo's config cannot be written")?;
    Ok(DemoStage { zoho, clock, begins, speed, config, base })
}

fn options(
    stage: &DemoStage,
    dir: &Path,
    listen: SocketAddr,
    observer: mpsc::Sender<Arc<crate::reconcile::report::AccountReport>>,
) -> Options {
    let env = Box::new(|_: &str| None);
    Options {
        config: stage.config.clone(),
        loaded: None,
        state_dir: dir.join("state"),
        listen: Some(listen),
        clock: stage.clock.clone(),
        surroundings: Surroundings {
            env,
            credentials_dir: None,
            missing: MissingCredentials::Refuse,
            commands: Commands::Run,
        },
        transport: None,
        owns_process: false,
        observer: Some(observer),
    }
}

fn args_line(args: &DemoArgs) -> String {
    let days = args
        .days
        .map_or("until interrupted".to_owned(), |days| format!("for {days} simulated days"));
    format!("{days}, {} times as fast as the world", args.speed)
}

/// A directory that goes away with this value.
struct ScratchDir(PathBuf);

impl ScratchDir {
    fn new() -> anyhow::Result<ScratchDir> {
        let now = SystemClock::new().now().as_nanosecond();
        let path =
            std::env::temp_dir().join(format!("channelkeeper-demo-{}-{now}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(ScratchDir(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // Files that cannot be removed stay in the directory for temporary files.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper demo --days 3

Exit codes: 0 no channel lapsed that should not have; 1 one did, or it failed.";
