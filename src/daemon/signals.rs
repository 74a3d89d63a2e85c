//! TERM and INT drain, a second one of them aborts, HUP reloads.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio_stream::StreamExt;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Finish what is under way and stop.
    Stop,
    /// Stop at once.
    Abort,
    /// Read the config again.
    Reload,
}

/// The signals of this process, from now on.
pub struct Incoming {
    signals: Signals,
    stopping: bool,
}

impl Incoming {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn listen() -> std::io::Result<Incoming> {
        Ok(Incoming { signals: Signals::new([SIGTERM, SIGINT, SIGHUP])?, stopping: false })
    }

    /// The next one.
    pub async fn next(&mut self) -> Option<Asked> {
        let asked = match self.signals.next().await? {
            SIGHUP => Asked::Reload,
            _ if self.stopping => Asked::Abort,
            _ => {
                self.stopping = true;
                Asked::Stop
            }
        };
        Some(asked)
    }
}
