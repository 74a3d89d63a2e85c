//! `run`: the daemon.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Loaded, ProblemStyle, Surroundings};
use crate::daemon::run::{Options, RunError, start};

use super::connect::state_dir;
use super::{Common, Exit, complain};

/// Keep the declared channels enabled, until stopped.
///
/// TERM or INT stops after the call under way, a second one at once; HUP reads the config again.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct RunArgs {
    /// Where the health endpoints listen, whatever the config says
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Run the clock faster, for measurements against a simulator on this machine: SPEED@INSTANT
    #[cfg(feature = "simulator")]
    #[arg(long, value_name = "PACE", hide = true)]
    pace: Option<crate::clock::Pace>,
}

impl RunArgs {
    /// The clock, and the config where that was read for it.
    #[cfg(feature = "simulator")]
    fn clock(
        &self,
        common: &Common,
        surroundings: &Surroundings,
    ) -> anyhow::Result<(Arc<dyn Clock>, Option<Loaded>)> {
        if self.pace.is_none() {
            return Ok((Arc::new(SystemClock::new()), None));
        }
        let loaded = config::load(&common.config, surroundings);
        Ok((paced(self.pace, &loaded)?, Some(loaded)))
    }

    #[cfg(not(feature = "simulator"))]
    fn clock(
        &self,
        _common: &Common,
        _surroundings: &Surroundings,
    ) -> anyhow::Result<(Arc<dyn Clock>, Option<Loaded>)> {
        Ok((Arc::new(SystemClock::new()), None))
    }
}

/// The machine's clock, or one at a pace, which is for simulators only.
#[cfg(feature = "simulator")]
pub(super) fn paced(
    pace: Option<crate::clock::Pace>,
    loaded: &Loaded,
) -> anyhow::Result<Arc<dyn Clock>> {
    let Some(pace) = pace else { return Ok(Arc::new(SystemClock::new())) };
    let accounts = loaded.desired.iter().flat_map(|desired| desired.accounts.values());
    let abroad = accounts
        .map(|account| account.account.api())
        .find(|api| !api.starts_with("http://127.0.0.1:"));
    match abroad.or(loaded.desired.is_none().then(String::new)) {
        None => Ok(Arc::new(crate::clock::PacedClock::new(pace))),
        Some(_) => {
            anyhow::bail!("--pace: every account has to lead to a simulator at http://127.0.0.1")
        }
    }
}

pub(super) async fn run(args: RunArgs, common: &Common) -> anyhow::Result<Exit> {
    let surroundings = Surroundings::of_process();
    let (clock, loaded) = args.clock(common, &surroundings)?;
    let state_dir = state_dir(common);
    let options = Options {
        config: common.config.clone(),
        loaded,
        state_dir,
        listen: args.listen,
        clock,
        surroundings,
        carriers: None,
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
            complain(config::render(&problems, ProblemStyle::Plain).trim_end());
            complain(
                "error: the config cannot be used, and the store holds no earlier state to go on \
                 with",
            );
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
