//! `demo`: days of renewals, a repair, an outage and a recovery in a minute.
//!
//! The real daemon, with its real store in a directory that is gone afterwards, against the
//! simulator over loopback HTTP, on a clock that runs thousands of times as fast as the world. A
//! script plays the world: somebody edits a channel, somebody deletes one, Zoho is down for hours
//! and loses a channel meanwhile, a channel is taken out of the config. Records change all the
//! time. Each event is told in a line, but for theirs. At the end the daemon's work is compared
//! with the simulator's truth.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock, VirtualClock};
use crate::config::{Commands, MissingCredentials, Surroundings};
use crate::daemon::assembly::Carriers;
use crate::daemon::run::{Daemon, Options, start};
use crate::model::desired::Settings;
use crate::model::time::{Timestamp, after, before, span, whole_seconds};
use crate::simulator::{Knobs, Zoho, http};

use super::Exit;
use super::records::{Bustle, PlayedReceiver};

mod script;
mod story;
mod summary;
mod world;

use script::Director;

/// Watch renewals, a repair, and an outage made good, in a minute.
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
    receiver: Arc<PlayedReceiver>,
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
    let (lines, told) = mpsc::channel(256);
    let stage = stage(dir.path(), args.speed, &closing, lines.clone()).await?;
    let (reports, heard) = mpsc::channel(256);
    let daemon = start(options(&stage, dir.path(), args.http, reports)?).await?;
    writeln!(stdout, "{}", world::introduction(&args_line(&args), daemon.listening()))?;
    let director = Director::new(&stage, daemon.reloads(), args.days).direct(lines);
    let story = story::Story::new(&stage, told, heard);
    let played = play(daemon, director, &stage, story, stdout).await;
    closing.cancel();
    let summary = played?;
    write!(stdout, "{}", summary.to_text())?;
    Ok(if summary.is_good() { Exit::Done } else { Exit::Failed })
}

/// The daemon, the script and the story, until the script ends or somebody interrupts.
async fn play(
    daemon: Daemon,
    script: impl Future<Output = ()> + Send + 'static,
    stage: &DemoStage,
    mut story: story::Story,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<summary::DemoSummary> {
    let mut signals = crate::daemon::signals::Incoming::listen()?;
    let stopper = daemon.stopper();
    let mut script = tokio::spawn(script);
    let changes = tokio::spawn(changes(stage.zoho.clone(), stage.clock.clone(), stage.begins));
    let running = tokio::spawn(daemon.run());
    loop {
        tokio::select! {
            biased;
            Some(line) = story.next() => writeln!(stdout, "{line}")?,
            _ = &mut script => break,
            _ = signals.next() => break,
        }
        stdout.flush()?;
    }
    let summary = summary::of(stage);
    script.abort();
    changes.abort();
    stopper.cancel();
    story.drain();
    running.await.context("the daemon died")??;
    Ok(summary)
}

/// Records change until somebody ends it, from the hour on by which every channel is there.
async fn changes(zoho: Arc<Mutex<Zoho>>, clock: Arc<dyn Clock>, begins: Timestamp) {
    let mut bustle = {
        let places = world::ACCOUNTS.iter().flat_map(|account| {
            let modules = account.modules().into_iter();
            modules.map(|module| (account.name.to_owned(), module.to_owned()))
        });
        Bustle::new(&mut held(&zoho), places, world::CHANGES_HOURLY, begins)
    };
    for tick in FIRST_TICK.. {
        let at = after(begins, Bustle::TICK * tick);
        clock.sleep(span(clock.now(), at)).await;
        bustle.change(&mut held(&zoho), clock.now());
    }
}

fn held(zoho: &Mutex<Zoho>) -> MutexGuard<'_, Zoho> {
    zoho.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn stage(
    dir: &Path,
    speed: u32,
    closing: &CancellationToken,
    lines: mpsc::Sender<String>,
) -> anyhow::Result<DemoStage> {
    let now = whole_seconds(SystemClock::new().now());
    // On the hour, as the audits are.
    let begins = before(now, Duration::from_secs(now.as_second().rem_euclid(3600).unsigned_abs()));
    let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(begins, speed));
    let mut zoho = Zoho::new(Knobs::default());
    for account in world::ACCOUNTS {
        zoho.add_org(account.org());
    }
    let zoho = Arc::new(Mutex::new(zoho));
    let listener = TcpListener::bind("127.0.0.1:0").await.context("the simulator cannot listen")?;
    let base = format!("http://{}", listener.local_addr()?);
    let (of_clock, stop) = (clock.clone(), closing.clone().cancelled_owned());
    let served = http::serve(listener, zoho.clone(), Arc::new(move || of_clock.now()), stop);
    // It ends with `closing`, at the latest with the process; its failure shows as failed looks.
    let _detached = tokio::spawn(served);
    let tell = move |handed| {
        // A line that finds no room is one of hundreds; the receiver counts all the same.
        let _told = lines.try_send(story::handed(begins, &handed));
    };
    let receiver = Arc::new(PlayedReceiver::new(clock.clone(), tell));
    let config = dir.join("config.toml");
    std::fs::write(&config, world::config(&base, true))
        .context("the demo's config cannot be written")?;
    Ok(DemoStage { zoho, receiver, clock, begins, speed, config, base })
}

fn options(
    stage: &DemoStage,
    dir: &Path,
    listen: SocketAddr,
    observer: mpsc::Sender<Arc<crate::reconcile::report::AccountReport>>,
) -> anyhow::Result<Options> {
    let env = Box::new(|_: &str| None);
    let network = Carriers::network(&Settings::default())?;
    Ok(Options {
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
        carriers: Some(Carriers { canaries: stage.receiver.clone(), ..network }),
        owns_process: false,
        observer: Some(observer),
    })
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

/// When records begin to change: two hours after the beginning.
const FIRST_TICK: u32 = 12;

const AFTER_HELP: &str = "\
Examples:
  channelkeeper demo --days 3

Exit codes: 0 no channel lapsed that should not have, and what was missed and can be recovered was; 1 otherwise, or it failed.";
