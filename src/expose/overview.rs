//! What the daemon knows of itself and of its accounts at one moment: the one input of everything that is shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::channel::AccountName;
use crate::model::time::Timestamp;
use crate::reconcile::report::AccountReport;

/// A snapshot. The scheduler publishes a new one after each pass and each reload.
#[derive(Clone, Debug)]
pub struct Overview {
    /// When the daemon started.
    pub started_at: Timestamp,
    /// Every declared account; `None` until its first pass has ended.
    pub accounts: BTreeMap<AccountName, Option<Arc<AccountReport>>>,
    /// Declared accounts that cannot be worked on, and why: their secrets could not be restored.
    pub unusable: BTreeMap<AccountName, String>,
    /// Accounts that are declared no longer and of which channels are still remembered, with how many: they are left to
    /// expire, since there are no credentials to disable them with.
    pub orphans: BTreeMap<AccountName, usize>,
    /// The state of the config.
    pub config: ConfigState,
    /// What a failing store means and why it fails, while it does.
    pub store_failed: Option<String>,
    /// Where a database that could not be used was moved to at the start, and why.
    pub store_moved_aside: Option<String>,
    /// The last jump of the wall clock: when it was noticed, and by how many milliseconds it went ahead (negative: back).
    pub clock_jump: Option<(Timestamp, i64)>,
    /// Whether the daemon is stopping.
    pub stopping: bool,
}

impl Overview {
    /// Of a daemon that starts: nothing has been looked at.
    pub fn starting(started_at: Timestamp, config: ConfigState) -> Overview {
        Overview {
            started_at,
            accounts: BTreeMap::new(),
            unusable: BTreeMap::new(),
            orphans: BTreeMap::new(),
            config,
            store_failed: None,
            store_moved_aside: None,
            clock_jump: None,
            stopping: false,
        }
    }
}

/// The state of the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigState {
    /// The file it is read from.
    pub file: String,
    /// When the desired state in force was read from it; `None` while it comes from the store.
    pub loaded_at: Option<Timestamp>,
    /// What is wrong with the file as it was last read, one line each with file, line and remedy. While there is
    /// anything, the last good desired state is in force.
    pub problems: Vec<String>,
    /// What is not wrong but worth a word.
    pub warnings: Vec<String>,
}

/// How long ago the scheduler's loop last turned, by the monotonic clock. It turns at least every
/// [`LOOK_AT_CLOCK`](crate::clock::LOOK_AT_CLOCK).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopAge(pub Duration);

impl LoopAge {
    /// There is no loop: nobody runs a daemon.
    pub const NO_LOOP: LoopAge = LoopAge(Duration::MAX);
}
