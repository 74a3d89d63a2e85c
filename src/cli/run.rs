//! `run`: the daemon.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;

use crate::clock::SystemClock;
use crate::config::{self, Look, Surroundings};
use crate::daemon::run::{Options, RunError, start};

use super::way::state_dir;
use super::{Common, Exit, complain};

/// Hold the declared channels, until stopped.
///
/// TERM or INT stops after the call under way, a second one at once; HUP reads the config again.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RunArgs {
    /// Where the health endpoints listen, whatever the config says
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

pub(super) async fn run(args: RunArgs, common: &Common) -> anyhow::Result<Exit> {
    let loaded = config::load(&common.config, &Surroundings::of_process());
    let options = Options {
        config: common.config.clone(),
        state_dir: state_dir(common, &loaded),
        listen: args.listen,
        clock: Arc::new(SystemClock::new()),
        surroundings: Surroundings::of_process(),
        transport: None,
        owns_process: true,
        observer: None,
    };
    let started = start(options).await;
    let ended = match started {
        Ok(daemon) => daemon.run().await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => Ok(Exit::Done),
        Err(RunError::Config(problems)) => {
            complain(config::render(&problems, Look::Plain).trim_end());
            complain("error: the config cannot be used, and the store holds no earlier state to go on with");
            Ok(Exit::BadConfig)
        }
        Err(error) => Err(error.into()),
    }
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper -c config.toml --state-dir state run
  kill -HUP $(pidof channelkeeper)     # read the config again

Exit codes: 0 stopped when told to; 1 failed; 3 the config cannot be used and the store holds no earlier state.";
