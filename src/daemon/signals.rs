//! TERM and INT drain, a second one of them aborts, HUP reloads.
//!
//! Whoever stops a service may signal it twice at once (a supervisor and a shell, a process and its
//! group): signals that come together are one.

use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio_stream::StreamExt;

use crate::clock::{Clock, SystemClock};

/// The request that a signal makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalAsked {
    /// Finish what is under way and stop.
    Stop,
    /// Stop at once.
    Abort,
    /// Read the config again.
    Reload,
}

/// The signals of this process, from now on.
pub(crate) struct Incoming {
    signals: Signals,
    clock: SystemClock,
    /// When the first one came that stops, by the monotonic clock.
    stopping: Option<Duration>,
}

impl Incoming {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub(crate) fn listen() -> std::io::Result<Incoming> {
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        Ok(Incoming { signals, clock: SystemClock::new(), stopping: None })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> Option<SignalAsked> {
        loop {
            let signal = self.signals.next().await?;
            if signal == SIGHUP {
                return Some(SignalAsked::Reload);
            }
            let now = self.clock.elapsed();
            match self.stopping {
                None => {
                    self.stopping = Some(now);
                    return Some(SignalAsked::Stop);
                }
                Some(first) if now.saturating_sub(first) < TOGETHER => {}
                Some(_) => return Some(SignalAsked::Abort),
            }
        }
    }
}

/// Signals that come within this time of the first are the same wish.
const TOGETHER: Duration = Duration::from_millis(500);
