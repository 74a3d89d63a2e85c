//! Hooks: whom to tell of single events, and of which.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// Whom to tell of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// The events that are told.
    pub on: BTreeSet<HookEvent>,
    /// The command that is run for each, its program first; none when it is empty.
    pub run: Vec<String>,
    /// How long that may take.
    pub timeout: Duration,
    /// Where each is posted. Whoever knows it can write there, so it is a secret.
    pub url: Option<Secret>,
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookEvent {
    /// Channels got a new life.
    Renewed,
    /// Zoho refused steps of channels.
    Refused,
    /// Events of channels are not delivered, or may not be.
    GapBegun,
    /// Such a gap is over.
    GapEnded,
    /// A recovery of missed events is over.
    Recovered,
    /// Deliveries of channels carry another token.
    TokenChanged,
    /// Another config is in force.
    ConfigChanged,
}

impl HookEvent {
    /// All of them.
    pub const ALL: [HookEvent; 7] = [
        HookEvent::Renewed,
        HookEvent::Refused,
        HookEvent::GapBegun,
        HookEvent::GapEnded,
        HookEvent::Recovered,
        HookEvent::TokenChanged,
        HookEvent::ConfigChanged,
    ];

    /// The word for it in the config and in the event.
    pub const fn word(self) -> &'static str {
        match self {
            HookEvent::Renewed => "renewed",
            HookEvent::Refused => "refused",
            HookEvent::GapBegun => "gap-begun",
            HookEvent::GapEnded => "gap-ended",
            HookEvent::Recovered => "recovered",
            HookEvent::TokenChanged => "token-changed",
            HookEvent::ConfigChanged => "config-changed",
        }
    }
}

impl fmt::Display for HookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for HookEvent {
    type Err = ();

    fn from_str(text: &str) -> Result<HookEvent, ()> {
        HookEvent::ALL.into_iter().find(|event| event.word() == text).ok_or(())
    }
}

impl Hooks {
    /// Returns whether anybody is told of this.
    pub fn tells(&self, event: HookEvent) -> bool {
        self.is_on() && self.on.contains(&event)
    }

    /// Returns whether anybody is told of anything.
    pub fn is_on(&self) -> bool {
        !self.on.is_empty() && (!self.run.is_empty() || self.url.is_some())
    }
}

impl Default for Hooks {
    fn default() -> Hooks {
        let on = HookEvent::ALL.into();
        Hooks { on, run: Vec::new(), timeout: Duration::from_secs(30), url: None }
    }
}
