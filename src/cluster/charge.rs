//! The things that one member owns at a time: an account, or the work that is done once for the
//! whole fleet.

use std::fmt;
use std::str::FromStr;

use crate::model::channel::{AccountName, BadName};

/// A thing that has one owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Charge {
    /// The alerts, the heartbeat and the sweeping, which are nobody's account.
    Fleet,
    /// An account.
    Account(AccountName),
}

impl Charge {
    /// The account, if it is one.
    pub fn account(&self) -> Option<&AccountName> {
        match self {
            Charge::Fleet => None,
            Charge::Account(name) => Some(name),
        }
    }

    /// As it stands in keys.
    pub fn as_str(&self) -> &str {
        match self {
            Charge::Fleet => FLEET,
            Charge::Account(name) => name.as_str(),
        }
    }
}

impl fmt::Display for Charge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Charge {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Charge, BadName> {
        if text == FLEET { Ok(Charge::Fleet) } else { text.parse().map(Charge::Account) }
    }
}

/// No account can be called so: its name begins with a letter or a digit.
const FLEET: &str = "@fleet";
