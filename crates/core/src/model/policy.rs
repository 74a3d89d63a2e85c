//! The limits of what the daemon may do.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How far the daemon may go with an account or a channel. A filter on the plan: what it takes out
/// is still shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Look and report; write nothing at Zoho.
    Observe,
    /// Enable, renew and repair; never disable.
    NoDisable,
    /// Everything the declaration asks for.
    #[default]
    Sync,
}

impl Mode {
    /// Every mode, the tightest first.
    pub const ALL: [Mode; 3] = [Mode::Observe, Mode::NoDisable, Mode::Sync];

    /// The word for it in the config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Observe => "observe",
            Mode::NoDisable => "no-disable",
            Mode::Sync => "sync",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = ();

    fn from_str(text: &str) -> Result<Mode, ()> {
        Mode::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or(())
    }
}

/// The fate of a channel of ours whose spec was taken out of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Removed {
    /// DELETE it, under the removal guard.
    #[default]
    Disable,
    /// Stop renewing it and let Zoho drop it.
    Expire,
}

impl Removed {
    /// The word for it in the config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Removed::Disable => "disable",
            Removed::Expire => "expire",
        }
    }
}

/// The rules one account's plan is made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How far the daemon may go.
    pub mode: Mode,
    /// The fate of channels that were taken out of the config.
    pub removed: Removed,
    /// The most channels in one write.
    pub batch_max: usize,
    /// The longest life Zoho grants; a lifetime of exactly this much is asked for less a guard.
    pub lifetime_max: Duration,
    /// The account's credits of a day; none when that is not known, and then nothing is assumed.
    pub credits_per_day: Option<u64>,
}
