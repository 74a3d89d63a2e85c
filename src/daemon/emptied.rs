//! A config that declares nothing, in place of one that declared something, or that gives an
//! account with channels to another product.
//!
//! A deploy that fails leaves an empty file far more often than somebody lets every account go. So
//! such a config is not used, as a broken one is not, until `apply --allow-removals` says that it
//! is meant. In another product the ids that are remembered are nobody's, and those left behind
//! would deliver until they expire.

use std::path::Path;

use crate::model::desired::Desired;
use crate::plan::render::counted;
use crate::store::desired::DeclaredCounts;
use crate::store::{Store, StoreError};

/// How a config is taken that leaves channels behind.
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
pub(crate) fn refusal(
    file: &Path,
    desired: &Desired,
    store: &Store,
    emptied: Emptied,
) -> Result<Option<String>, StoreError> {
    if emptied == Emptied::Allowed {
        return Ok(None);
    }
    if !desired.accounts.is_empty() {
        return moved(file, desired, store);
    }
    let DeclaredCounts { accounts, channels } = store.declared()?;
    if accounts == 0 {
        return Ok(None);
    }
    let (accounts, channels) = (counted(accounts, "account"), counted(channels, "channel"));
    Ok(Some(format!(
        "{}: it declares no account, in place of {accounts} with {channels} (put the accounts \
         back; if all are to go, `channelkeeper apply --allow-removals`)",
        file.display()
    )))
}

/// The refusal of a config in which an account with channels is of another product.
fn moved(file: &Path, desired: &Desired, store: &Store) -> Result<Option<String>, StoreError> {
    let formerly = store.products()?;
    for (name, held) in &desired.accounts {
        let product = held.account.product;
        let Some(former) = formerly.get(name).copied().filter(|former| *former != product) else {
            continue;
        };
        let records = store.records(name)?.len();
        if records > 0 {
            let (title, former) = (product.traits().title, former.traits().title);
            let channels = counted(records, "channel");
            return Ok(Some(format!(
                "{}: account {name} is of {title}, with {channels} of {former} (declare the org of \
                 {title} as another account; if they are to be left behind, `channelkeeper apply \
                 --allow-removals`)",
                file.display()
            )));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::desired::AccountDesired;
    use crate::model::product::Product;
    use crate::model::record::Record;
    use crate::model::secret::Fingerprint;
    use crate::zoho::testing::{account, id};

    #[tokio::test]
    async fn an_account_changes_its_product_under_its_channels_only_when_that_is_meant() {
        let store = Store::temporary().unwrap();
        let of = |product| {
            let mut account = account();
            account.product = product;
            let held = AccountDesired::new(account, Default::default());
            let accounts = [(held.account.name.clone(), held)].into();
            Desired { accounts, ..Desired::default() }
        };
        let told =
            |product, emptied| refusal(Path::new("c.toml"), &of(product), &store, emptied).unwrap();
        store.keep_desired(&of(Product::Crm)).await.unwrap();
        assert_eq!(told(Product::Bigin, Emptied::Refused), None, "there are no channels yet");
        let record = Record::new(id(1), "c".parse().unwrap(), Fingerprint(0));
        store.write_records(&account().name, &[(record.id, Some(record))].into()).await.unwrap();
        assert_eq!(told(Product::Crm, Emptied::Refused), None);
        assert_eq!(told(Product::Bigin, Emptied::Allowed), None);
        let why = told(Product::Bigin, Emptied::Refused).unwrap();
        assert!(
            why.starts_with("c.toml: account acme is of Bigin, with 1 channel of Zoho CRM"),
            "{why}"
        );
    }
}
