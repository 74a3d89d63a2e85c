//! The status file: the [`Summary`] where another host can fetch it.
//!
//! `[daemon] status_file` names it; without that key there is none. It is written after what
//! changes the overview (a pass, a reload), at most every [`BETWEEN`], and every [`EVERY`] when
//! nothing changes, so that its age tells whether the daemon is alive. A reader sees the old one or
//! the new one, whole: it is written beside it and renamed. Everybody may read it, and
//! there is nothing in it that `/healthz` does not say. It is not synced to the disk, because after
//! a power cut it is out of date anyway.
//!
//! Nothing waits for it. It is written by a thread of its own, one at a time, and whatever goes
//! wrong (a full disk, a mount that hangs) is a warning, a reason of health, and tried again.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::expose::summary::Summary;

use super::scheduler::{Links, Message};

/// Keeps the file up to date until `closing`, and writes it once more then.
pub(crate) async fn keep(links: Links, clock: Arc<dyn Clock>, closing: CancellationToken) {
    let (mut overview, mut fleet) = (links.overview.clone(), links.fleet.clone());
    let mut keeper =
        StatusFileKeeper { links, clock: clock.clone(), under_way: None, trouble: None };
    while !closing.is_cancelled() {
        overview.mark_unchanged();
        fleet.mark_unchanged();
        let is_wanted = keeper.path().is_some();
        let result = keeper.write().await;
        keeper.tell(result).await;
        tokio::select! {
            () = closing.cancelled() => break,
            () = clock.sleep(BETWEEN), if is_wanted => {}
            Ok(()) = fleet.changed(), if !is_wanted => continue,
        }
        tokio::select! {
            () = closing.cancelled() => break,
            // The scheduler that publishes them has ended when they cannot be waited for, and the
            // rest is closing.
            Ok(()) = overview.changed() => {}
            Ok(()) = fleet.changed() => {}
            () = clock.sleep(EVERY) => {}
        }
    }
    if let Err(why) = keeper.write().await {
        warn!(why, "the status file could not be written at the stop");
    }
}

struct StatusFileKeeper {
    links: Links,
    clock: Arc<dyn Clock>,
    /// A write that has not come back.
    under_way: Option<JoinHandle<io::Result<()>>>,
    /// The trouble that was told last.
    trouble: Option<String>,
}

impl StatusFileKeeper {
    fn path(&self) -> Option<PathBuf> {
        self.links.fleet.borrow().settings.status_file.clone()
    }

    async fn write(&mut self) -> Result<(), String> {
        let Some(path) = self.path() else { return Ok(()) };
        let failed = |why: String| format!("{}: {why}", path.display());
        if self.under_way.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return Err(failed(HANGS.to_owned()));
        }
        let overview = self.links.overview.borrow().clone();
        let summary = Summary::of(&overview, self.links.pulse.age(&*self.clock), self.clock.now());
        let text = serde_json::to_string_pretty(&summary)
            .map_err(|error| failed(error.to_string()))?
            + "\n";
        let target = path.clone();
        let mut writing = tokio::task::spawn_blocking(move || replace(&target, &text));
        tokio::select! {
            ended = &mut writing => match ended {
                Ok(written) => written.map_err(|error| failed(error.to_string())),
                Err(died) => Err(failed(died.to_string())),
            },
            () = self.clock.sleep(WRITE_MAX) => {
                self.under_way = Some(writing);
                Err(failed(HANGS.to_owned()))
            }
        }
    }

    /// Says once that it fails, and once that it does not any more.
    async fn tell(&mut self, result: Result<(), String>) {
        let trouble = result.err();
        if trouble == self.trouble {
            return;
        }
        match &trouble {
            Some(why) => warn!(why, "the status file cannot be written"),
            None => info!("the status file is written again"),
        }
        self.trouble.clone_from(&trouble);
        // A scheduler that is gone has nobody left to tell.
        let _told = self.links.wakes.0.send(Message::StatusFile(trouble)).await;
    }
}

/// Puts `text` into the place of a file, at once.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    let beside = path.with_file_name(format!(".{}.new", name.to_string_lossy()));
    // A crash may have left this file, or somebody put it there to be written through. The new file
    // is therefore always a fresh one.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.set_permissions(Permissions::from_mode(0o644)))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // It may be what fills the disk; that it stays is told with the next try.
        let _removed = std::fs::remove_file(&beside);
    }
    written
}

/// The least time between two writes.
pub(crate) const BETWEEN: Duration = Duration::from_secs(5);
/// The most time between two writes.
pub(crate) const EVERY: Duration = Duration::from_secs(60);
/// A write that takes longer hangs.
const WRITE_MAX: Duration = Duration::from_secs(10);
const HANGS: &str = "a write takes longer than 10 s";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_everybody_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (dir.path().join("status.json"), dir.path().join("elsewhere"));
        std::fs::write(&elsewhere, "mine").unwrap();
        std::os::unix::fs::symlink(&elsewhere, dir.path().join(".status.json.new")).unwrap();
        for text in ["one", "two"] {
            replace(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(
            std::fs::read_to_string(&elsewhere).unwrap(),
            "mine",
            "nothing is written through a link"
        );
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_one_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        std::fs::create_dir(&path).unwrap();
        assert!(replace(&path, "one").is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("nowhere/status.json"), "one").is_err());
        assert!(replace(Path::new("/"), "one").is_err());
    }
}
