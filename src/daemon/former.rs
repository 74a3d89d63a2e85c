//! The channels that a config declares no longer and that are still ours, as they were declared
//! last.
//!
//! The removal guard may hold their removal for days, and until somebody allows it they go on being
//! renewed. That takes the former declaration: from the fleet that the config replaces, which has
//! every secret, and after a restart from the store, which knows where secrets come from. A channel
//! whose token stood in the config itself is not known after a restart.
//!
//! An account that is declared no longer while others are is kept in the same way, without a
//! channel that it declares, until somebody allows removals. Then its channels are left to expire.
//! After a restart it is not kept where its credentials stood in the config itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::config::Surroundings;
use crate::config::secrets::Fetcher;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::desired::{AccountDesired, Desired};
use crate::model::secret::Origin;
use crate::plan::render::counted;
use crate::store::desired::Fetch;
use crate::store::{Store, StoreError};

use super::emptied::Emptied;
use super::fleet::Fleet;
use super::scheduler::chain;

/// Adds them to a desired state that was just read, and gives a warning for each account that it
/// leaves out and that is kept. `fleet` is the one that it replaces. What it declares and cannot be
/// worked on here is `unusable`, and not left out.
///
/// # Errors
/// When the store fails.
pub fn remember(
    desired: &mut Desired,
    fleet: Option<&Fleet>,
    store: &Store,
    surroundings: &Surroundings,
    left_out: Emptied,
    unusable: &BTreeMap<AccountName, String>,
) -> Result<Vec<String>, StoreError> {
    let fetcher = RefCell::new(Fetcher::new(surroundings));
    let fetch =
        |origin: &Origin| fetcher.borrow_mut().secret(origin).map_err(|error| chain(&error));
    let mut kept = match left_out {
        Emptied::Refused => left_out_accounts(desired, fleet, store, &fetch)?,
        Emptied::Allowed => BTreeMap::new(),
    };
    kept.retain(|name, _| !unusable.contains_key(name));
    let warnings = kept.iter().map(|(name, left)| left.warning(name)).collect();
    let declared: BTreeSet<ChannelId> = ids(desired);
    let names: Vec<AccountName> = kept.keys().cloned().collect();
    for (name, left) in kept {
        desired.accounts.insert(name, left.account);
    }
    for (name, account) in &mut desired.accounts {
        if let Some(held) = fleet.and_then(|fleet| fleet.subjects.get(name)) {
            let ours: BTreeSet<_> = store.ids(name)?.into_iter().collect();
            account.remember_former(&held.desired, |id| ours.contains(&id));
        }
    }
    store.remember_former(desired, &fetch)?;
    // An account under another name has its channels, which the old name may not write to.
    for name in names {
        let left = desired.accounts.get_mut(&name);
        left.into_iter().for_each(|left| left.former.retain(|id, _| !declared.contains(id)));
    }
    Ok(warnings)
}

/// An account that the config leaves out.
struct FormerAccount {
    /// Without a channel.
    account: AccountDesired,
    /// How many channels are still its own.
    channels: usize,
}

impl FormerAccount {
    fn warning(&self, name: &AccountName) -> String {
        format!(
            "account {name} is declared no longer and has {} (they go on being renewed; \
             `channelkeeper apply --allow-removals` leaves them to expire)",
            counted(self.channels, "channel")
        )
    }
}

/// The accounts that the last good desired state has, that this one leaves out, and that have
/// channels which no other account declares.
fn left_out_accounts(
    desired: &Desired,
    fleet: Option<&Fleet>,
    store: &Store,
    fetch: Fetch<'_>,
) -> Result<BTreeMap<AccountName, FormerAccount>, StoreError> {
    let declared = ids(desired);
    let mut found: BTreeMap<AccountName, usize> = BTreeMap::new();
    for name in store.declared_accounts()? {
        if !desired.accounts.contains_key(&name) {
            let own = store.ids(&name)?.into_iter().filter(|id| !declared.contains(id)).count();
            found.extend((own > 0).then_some((name, own)));
        }
    }
    let is_known = |name| fleet.is_some_and(|fleet| fleet.subjects.contains_key(name));
    let mut stored =
        if found.keys().all(is_known) { Desired::default() } else { restored(store, fetch)? };
    let left = found.into_iter().filter_map(|(name, channels)| {
        let held = fleet.and_then(|fleet| fleet.subjects.get(&name));
        let account = match held {
            Some(held) => held.desired.account.clone(),
            None => stored.accounts.remove(&name)?.account,
        };
        Some((
            name,
            FormerAccount { account: AccountDesired::new(account, BTreeMap::new()), channels },
        ))
    });
    Ok(left.collect())
}

/// The last good desired state; one that is damaged stops no good config.
fn restored(store: &Store, fetch: Fetch<'_>) -> Result<Desired, StoreError> {
    match store.restore_desired(fetch) {
        Ok(restored) => Ok(restored.map(|restored| restored.desired).unwrap_or_default()),
        Err(StoreError::Value { .. }) => Ok(Desired::default()),
        Err(error) => Err(error),
    }
}

/// Every declared channel.
fn ids(desired: &Desired) -> BTreeSet<ChannelId> {
    desired.accounts.values().flat_map(|account| account.specs.keys().copied()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::account::{Account, Credentials};
    use crate::model::channel::Spec;
    use crate::model::secret::Secret;
    use crate::testing::{record, spec};
    use crate::zoho::testing::account;

    #[tokio::test]
    async fn an_account_that_cannot_be_worked_on_is_not_left_out() {
        let store = Store::temporary().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [acme, beta] = ["acme", "beta"].map(|name| name.parse::<AccountName>().unwrap());
        let mut desired = Desired::default();
        for (name, number) in [(&acme, 1), (&beta, 2)] {
            let spec = Arc::new(Spec { token: None, ..spec(number) });
            let records = [(spec.id, Some(record(&spec)))].into();
            store.write_records(name, &records).await.unwrap();
            let file = folder.path().join(name.as_str());
            std::fs::write(&file, "s3cret").unwrap();
            let secret = || Secret::from_origin("s3cret", Origin::File(file.clone()));
            let credentials = Credentials {
                client_id: "1000.A".to_owned(),
                client_secret: secret(),
                refresh_token: secret(),
            };
            let of_it = Account { name: name.clone(), credentials, ..account() };
            let of_it = AccountDesired::new(of_it, [(spec.id, spec)].into());
            desired.accounts.insert(name.clone(), of_it);
        }
        store.keep_desired(&desired).await.unwrap();
        let fleet = Fleet::declared(desired.clone(), BTreeMap::new());
        desired.accounts.remove(&beta);
        let surroundings = Surroundings::of_process();
        let remembered = |unusable: BTreeMap<AccountName, String>| {
            let mut desired = desired.clone();
            let (fleet, refused) = (Some(&fleet), Emptied::Refused);
            let told = remember(&mut desired, fleet, &store, &surroundings, refused, &unusable);
            (told.unwrap().len(), desired.accounts.len())
        };
        assert_eq!(remembered(BTreeMap::new()), (1, 2), "it is kept, and told");
        assert_eq!(remembered([(beta.clone(), "no secret".to_owned())].into()), (0, 1));
    }
}
