//! The messages to systemd: READY, RELOADING, STOPPING, that the loop turns, and one line for
//! `systemctl status`. Without `$NOTIFY_SOCKET` nobody is told anything.
//!
//! READY is told once every account has been looked at and, where accounts are shared, this machine
//! may serve some; and again at the end of each reload. The
//! line is told whenever it reads differently; it holds no time that passes ("2 h left"), because
//! nobody would take it back.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, info};

use crate::clock::{Clock, LOOK_AT_CLOCK};
use crate::expose::health::{Guarantee, Health, UNSERVED_MAX, health};
use crate::expose::overview::Overview;
use crate::expose::status::nothing;
use crate::model::time::{Timestamp, span, whole_seconds};

use super::scheduler::Links;

/// The service that this process is, if it is one, and what was told of it.
pub(crate) struct Service {
    is_ours: bool,
    /// True when every account has been looked at once.
    is_ready: bool,
    /// The last line.
    line: String,
}

impl Service {
    /// The state of a daemon that has just started. Nobody is told of one whose process is somebody
    /// else's.
    pub(crate) fn new(owns_process: bool) -> Service {
        Service { is_ours: owns_process, is_ready: false, line: String::new() }
    }

    /// Returns whether anybody is told anything.
    pub(crate) fn is_heard(&self) -> bool {
        self.is_ours && std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
    }

    /// Says it the first time that every account has been looked at. Accounts are begun in their
    /// order, so that the last ones tell soonest.
    ///
    /// Where accounts are shared, a machine that holds none waits until those that nobody serves
    /// yet have their machine: some of them may be for this one.
    pub(crate) fn tell_ready(&mut self, overview: &Overview, now: Timestamp) {
        let is_member = overview.cluster.as_ref().is_none_or(|cluster| cluster.is_active);
        let all_looked_at = overview.accounts.values().rev().all(Option::is_some);
        if self.is_ready || !is_member || !all_looked_at || is_to_be_given_some(overview, now) {
            return;
        }
        self.is_ready = true;
        let (accounts, elsewhere) = (overview.accounts.len(), overview.elsewhere);
        let elsewhere = (elsewhere > 0).then_some(elsewhere);
        info!(accounts, elsewhere, "every account has been looked at");
        if self.is_ours {
            tell(&[NotifyState::Ready]);
        }
    }

    /// Says what the overview is now, if it reads differently. All channels are looked over for it.
    pub(crate) fn tell_line(&mut self, links: &Links, clock: &dyn Clock) {
        let overview = links.overview.borrow().clone();
        let line = line(&overview, &health(&overview, links.pulse.age(clock), clock.now()));
        if self.line != line {
            tell(&[NotifyState::Status(&line)]);
            self.line = line;
        }
    }

    /// A reload that is told of. It is not while the daemon starts: the end of a reload would be
    /// READY.
    pub(crate) async fn reloading<T>(&self, reload: impl Future<Output = T>) -> T {
        let is_told = self.is_ours && self.is_ready;
        if is_told {
            // Later versions of systemd want to know that this was not said before they asked.
            let asked = NotifyState::monotonic_usec_now().ok();
            let states: Vec<_> = [NotifyState::Reloading].into_iter().chain(asked).collect();
            tell(&states);
        }
        let reloaded = reload.await;
        if is_told {
            tell(&[NotifyState::Ready]);
        }
        reloaded
    }

    /// The daemon is stopping.
    pub(crate) fn tell_stopping(&self) {
        let status = NotifyState::Status("stopping: calls under way come to their end");
        if self.is_ours {
            tell(&[NotifyState::Stopping, status]);
        }
    }
}

/// True for a machine that holds no account, while somebody is about to take some.
fn is_to_be_given_some(overview: &Overview, now: Timestamp) -> bool {
    let Some(cluster) = overview.cluster.as_ref().filter(|_| overview.accounts.is_empty()) else {
        return false;
    };
    let mut since = cluster.unowned.values();
    cluster.members.is_empty() || since.any(|since| span(*since, now) <= UNSERVED_MAX)
}

/// The loop turns: the watchdog is put off and, while the daemon is `starting`, so is the end of
/// the start's patience.
pub(crate) fn alive(starting: bool) {
    let watchdog = sd_notify::watchdog_enabled().map(|_| NotifyState::Watchdog);
    let patience = starting.then_some(NotifyState::ExtendTimeoutUsec(PATIENCE_US));
    let states: Vec<NotifyState<'_>> = watchdog.into_iter().chain(patience).collect();
    if !states.is_empty() {
        tell(&states);
    }
}

/// How long [`alive`] may stay away: half of what the watchdog waits, as its protocol has it.
pub(crate) fn within() -> Duration {
    sd_notify::watchdog_enabled().map_or(LOOK_AT_CLOCK, |limit| limit / 2)
}

/// How everything is, in one line that stays true until it is told again: of what is wrong it names
/// the kinds, since their texts say for how long.
fn line(overview: &Overview, health: &Health) -> String {
    let channels: usize =
        overview.accounts.values().flatten().map(|report| report.channels.len()).sum();
    let mut line = match health.guarantee {
        Guarantee::Nothing => nothing(overview),
        Guarantee::Unknown => {
            let (looked_at, all) =
                (overview.accounts.values().flatten().count(), overview.accounts.len());
            format!("{looked_at} of {all} accounts have been looked at")
        }
        Guarantee::Until(until) => {
            format!(
                "{channels} channels, covered until {} even if nothing succeeds any more",
                whole_seconds(until)
            )
        }
        Guarantee::Broken => {
            format!("{channels} channels, not all of them covered: see `channelkeeper status`")
        }
    };
    let mut kinds: Vec<&str> = health.reasons.iter().map(|reason| reason.kind.word()).collect();
    kinds.dedup();
    if !kinds.is_empty() {
        line.push_str(&format!("; {}: {}", health.status.word(), kinds.join(", ")));
    }
    line
}

fn tell(states: &[NotifyState<'_>]) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text: String = states.iter().map(|state| format!("{state}\n")).collect();
    if let Err(error) = send(&socket, &text) {
        debug!(%error, "systemd could not be told");
    }
}

/// As `sd_notify::notify`, which would wait as long as nobody reads: a manager that hangs must hold
/// up no renewal.
fn send(socket: &OsStr, text: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.set_write_timeout(Some(SEND_MAX))?;
    sender.send_to(text.as_bytes(), socket).map(drop)
}

/// A manager that takes longer hangs, and is not told.
const SEND_MAX: Duration = Duration::from_millis(200);
/// How long the start may go on after each turn of the loop: some turns.
const PATIENCE_US: u32 = 5 * 60 * 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_that_reads_nothing_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _unread = UnixDatagram::bind(&path).unwrap();
        let sent = (0..100_000).find_map(|_| send(path.as_os_str(), "WATCHDOG=1\n").err());
        assert_eq!(sent.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
    }
}
