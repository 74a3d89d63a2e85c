//! What systemd is told: READY, RELOADING, STATUS and STOPPING. Without `$NOTIFY_SOCKET` nobody is told anything.

use sd_notify::NotifyState;
use tracing::debug;

/// The daemon does its work: every account has been looked at once.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The config is being read again; [`ready`] ends it.
pub fn reloading() {
    tell(&[NotifyState::Reloading]);
}

/// The daemon is stopping.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// One line for `systemctl status`.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd could not be told");
    }
}
