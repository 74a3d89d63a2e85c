//! The channels that a config declares no longer and that are still ours, as they were declared
//! last.
//!
//! The removal guard may hold their removal for days, and until somebody allows it they go on being
//! renewed. That takes the former declaration: from the fleet that the config replaces, which has
//! every secret, and after a restart from the store, which knows where secrets come from. A channel
//! whose token stood in the config itself is not known after a restart.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::config::Surroundings;
use crate::config::secrets::Fetcher;
use crate::model::desired::Desired;
use crate::model::secret::Origin;
use crate::store::{Store, StoreError};

use super::fleet::Fleet;
use super::scheduler::chain;

/// Adds them to a desired state that was just read. `fleet` is the one that it replaces.
///
/// # Errors
/// When the store fails.
pub fn remember(
    desired: &mut Desired,
    fleet: Option<&Fleet>,
    store: &Store,
    surroundings: &Surroundings,
) -> Result<(), StoreError> {
    for (name, account) in &mut desired.accounts {
        if let Some(held) = fleet.and_then(|fleet| fleet.subjects.get(name)) {
            let ours: BTreeSet<_> = store.ids(name)?.into_iter().collect();
            account.remember_former(&held.desired, |id| ours.contains(&id));
        }
    }
    let fetcher = RefCell::new(Fetcher::new(surroundings));
    let fetch =
        |origin: &Origin| fetcher.borrow_mut().secret(origin).map_err(|error| chain(&error));
    store.remember_former(desired, &fetch)
}
