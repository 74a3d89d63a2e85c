//! How several machines share accounts: where their engine is, and who this one is.

use serde::{Deserialize, Serialize};

use super::secret::Secret;

/// The settings of a machine that shares accounts with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// The name that all of its machines have in common: part of every key.
    pub name: String,
    /// The machines of the engine: scheme, host and port of each, at least one.
    pub engine: Vec<String>,
    /// The user and the password, where the engine asks for one.
    pub login: Option<Login>,
    /// The name of this machine; the host's when there is none.
    pub node: Option<String>,
    /// The number of this config: a higher one is newer.
    pub serial: Option<u64>,
    /// The conduct while the engine cannot be reached.
    pub without_engine: WithoutEngine,
}

/// Who asks the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// The conduct while the engine cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutEngine {
    /// A channel in its emergency is enabled all the same.
    #[default]
    Emergency,
    /// Nothing is written at Zoho.
    Stop,
}

/// The requests that this process may send to Zoho and that change something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// Everything: it owns the account, or is alone with it.
    #[default]
    Everything,
    /// A renewal of what is ours and in its emergency: it owned the account when the engine was
    /// heard of last, and whether it still does nobody says.
    Emergencies,
    /// Nothing.
    Nothing,
}

impl WithoutEngine {
    /// The requests that an owner may send while nobody says that it is one.
    pub fn allows(self) -> Allowed {
        match self {
            WithoutEngine::Emergency => Allowed::Emergencies,
            WithoutEngine::Stop => Allowed::Nothing,
        }
    }

    /// All of them.
    pub const ALL: [WithoutEngine; 2] = [WithoutEngine::Emergency, WithoutEngine::Stop];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            WithoutEngine::Emergency => "emergency",
            WithoutEngine::Stop => "stop",
        }
    }
}

/// The layouts of accounts in an engine that a release reads. It writes each of them too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layouts {
    /// The oldest one.
    pub oldest: u32,
    /// The newest one.
    pub newest: u32,
}

impl Layouts {
    /// Those of this release.
    pub const OWN: Layouts = Layouts { oldest: 1, newest: 1 };
    /// Those of a release that did not say so yet.
    pub const UNSAID: Layouts = Layouts { oldest: 1, newest: 1 };

    /// True when it reads this one.
    pub fn read(self, layout: u32) -> bool {
        (self.oldest..=self.newest).contains(&layout)
    }
}

impl Default for Layouts {
    fn default() -> Layouts {
        Layouts::UNSAID
    }
}
