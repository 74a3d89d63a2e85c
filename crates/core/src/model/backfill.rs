//! How far a channel's missed events are handed over, as declared.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How missed events of one channel are handed over. A channel without a rule is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRule {
    /// How far it goes.
    pub mode: BackfillMode,
    /// Which gaps it is about.
    pub kinds: Kinds,
    /// Deliveries a second to one `notify_url`.
    pub rate: u32,
    /// More records than this wait for a person.
    pub most: u64,
    /// The API credits of its account that reading may take in a day.
    pub credits: u64,
}

/// How far it goes. Off is the absence of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackfillMode {
    /// Reads and counts, and hands nothing over before a person says so.
    Plan,
    /// Hands over what it has read.
    On,
}

/// Which kinds of gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds {
    /// Those in which changes were not delivered.
    pub uncovered: bool,
    /// Those in which the receiver refused canaries.
    pub undeliverable: bool,
    /// Those of which nobody can say.
    pub unknown: bool,
}

impl Kinds {
    /// All of them.
    pub const ALL: Kinds = Kinds { uncovered: true, undeliverable: true, unknown: true };
    /// None of them.
    pub const NONE: Kinds = Kinds { uncovered: false, undeliverable: false, unknown: false };
}

impl BackfillMode {
    /// The word for it in the config.
    pub const fn as_str(self) -> &'static str {
        match self {
            BackfillMode::Plan => "plan",
            BackfillMode::On => "on",
        }
    }
}

impl BackfillRule {
    /// The defaults, where the config says nothing but a mode.
    pub const fn new(mode: BackfillMode) -> BackfillRule {
        BackfillRule {
            mode,
            kinds: Kinds::ALL,
            rate: RATE,
            most: MOST,
            credits: CREDITS_UNKNOWN_EDITION,
        }
    }

    /// The least time from one delivery to the next.
    pub fn between(&self) -> Duration {
        Duration::from_secs(1) / self.rate.max(1)
    }
}

/// Deliveries a second.
pub const RATE: u32 = 5;
/// Records of one recovery that nobody has to look at first.
pub const MOST: u64 = 10_000;
/// Credits a day for reading, where the edition is not known.
pub const CREDITS_UNKNOWN_EDITION: u64 = 2_000;
/// The part of a day's credits, in percent, where the edition is known.
pub const CREDITS_PERCENT: u64 = 10;
