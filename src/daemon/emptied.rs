//! A config that declares nothing, in place of one that declared something.
//!
//! A deploy that fails leaves an empty file far more often than somebody lets every account go. So
//! such a config is not used, as a broken one is not, until `apply --allow-removals` says that it
//! is meant.

use std::path::Path;

use crate::model::desired::Desired;
use crate::plan::render::counted;
use crate::store::desired::Declared;
use crate::store::{Store, StoreError};

/// How a config without accounts is taken where there were some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emptied {
    /// An accident.
    Refused,
    /// Somebody said that it is meant.
    Allowed,
}

/// The reason why a config that reads well is not used all the same.
///
/// # Errors
/// When the store fails.
pub fn refusal(
    file: &Path,
    desired: &Desired,
    store: &Store,
    emptied: Emptied,
) -> Result<Option<String>, StoreError> {
    if emptied == Emptied::Allowed || !desired.accounts.is_empty() {
        return Ok(None);
    }
    let Declared { accounts, channels } = store.declared()?;
    if accounts == 0 {
        return Ok(None);
    }
    let (accounts, channels) = (counted(accounts, "account"), counted(channels, "channel"));
    Ok(Some(format!(
        "{}: it declares no account, in place of {accounts} with {channels} (put the accounts back; if all are to \
         go, `channelkeeper apply --allow-removals`)",
        file.display()
    )))
}
