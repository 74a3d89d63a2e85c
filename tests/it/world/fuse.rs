//! Death at a chosen point.
//!
//! Whatever the daemon does to the world outside is a request or a write to the disk. Before each
//! write, and before and after the instant at which Zoho applies a request, it passes a point. At
//! the one that is chosen it dies: from then on nothing that it does has any effect, and whoever
//! waits for [`Fuse::burned`] lets go of it. After a write is before whatever comes next.
//!
//! The same place fails the disk alone: [`Fuse::fill_disk`].

use std::io;
use std::sync::Mutex;

use tokio::sync::Notify;

/// Counts points, and dies at one of them.
#[derive(Default)]
pub struct Fuse {
    state: Mutex<State>,
    told: Notify,
}

#[derive(Default)]
struct State {
    passed: usize,
    burns_at: Option<usize>,
    burned: bool,
    disk_full: bool,
}

impl Fuse {
    /// Counts from here; dies at this point, or at none. A burned fuse is whole again.
    pub fn lay(&self, burns_at: Option<usize>) {
        *self.state.lock().unwrap() = State { burns_at, ..State::default() };
    }

    /// Points passed since.
    pub fn passed(&self) -> usize {
        self.state.lock().unwrap().passed
    }

    /// True when the daemon is dead.
    pub fn is_burned(&self) -> bool {
        self.state.lock().unwrap().burned
    }

    /// Returns when the daemon dies.
    pub async fn burned(&self) {
        if !self.is_burned() {
            self.told.notified().await;
        }
    }

    /// From now on nothing can be written, or can again.
    pub fn fill_disk(&self, is_full: bool) {
        self.state.lock().unwrap().disk_full = is_full;
    }

    /// Passes a point. Returns true when the daemon is dead.
    pub(super) fn burns(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        if !state.burned {
            state.burned = state.burns_at == Some(state.passed);
            state.passed += usize::from(!state.burned);
            if state.burned {
                self.told.notify_one();
            }
        }
        state.burned
    }

    /// A batch is about to be written to the disk.
    pub(super) fn write(&self) -> io::Result<()> {
        if self.burns() || self.state.lock().unwrap().disk_full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}
