//! The accounts to hold, each with its way to Zoho. A reload makes a new fleet; accounts that did
//! not change are taken over from the old one as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::Clock;
use crate::model::channel::AccountName;
use crate::model::desired::{AccountDesired, Desired, Settings};
use crate::reconcile::subject::Subject;
use crate::store::{Store, StoreError};
use crate::zoho::auth::Remember;
use crate::zoho::client::Client;
use crate::zoho::transport::Transport;

/// Everything that is held to its declaration.
pub struct Fleet {
    /// The settings that belong to no single account.
    pub settings: Settings,
    /// By account.
    pub subjects: BTreeMap<AccountName, Arc<Subject>>,
    /// Declared accounts that cannot be worked on, and why.
    pub unusable: BTreeMap<AccountName, String>,
}

/// The parts that a fleet is made with.
#[derive(Clone)]
pub struct Means {
    /// The memory.
    pub store: Store,
    /// Who carries requests.
    pub transport: Arc<dyn Transport>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Fleet {
    /// For a desired state; `former` is the fleet it replaces.
    ///
    /// # Errors
    /// When what is remembered of a token cannot be read.
    pub fn new(
        desired: Desired,
        unusable: BTreeMap<AccountName, String>,
        means: &Means,
        former: Option<&Fleet>,
    ) -> Result<Fleet, StoreError> {
        let Desired { settings, accounts } = desired;
        let mut subjects = BTreeMap::new();
        for (name, desired) in accounts {
            let held = former.and_then(|former| former.subjects.get(&name));
            let subject = match held.filter(|held| held.desired == desired) {
                Some(held) => held.clone(),
                None => Arc::new(subject(desired, means)?),
            };
            subjects.insert(name, subject);
        }
        Ok(Fleet { settings, subjects, unusable })
    }

    /// The same with one account held otherwise.
    pub fn with(&self, subject: Arc<Subject>) -> Fleet {
        let Fleet { settings, subjects, unusable } = self;
        let mut subjects = subjects.clone();
        subjects.insert(subject.name().clone(), subject);
        Fleet { settings: settings.clone(), subjects, unusable: unusable.clone() }
    }
}

/// An account with its way to Zoho.
///
/// # Errors
/// When what is remembered of its token cannot be read.
pub(super) fn subject(desired: AccountDesired, means: &Means) -> Result<Subject, StoreError> {
    let account = desired.account.clone();
    let remembered = means.store.token(&account.name)?;
    let (store, name) = (means.store.clone(), account.name.clone());
    let remember: Remember = Arc::new(move |state| {
        let (store, name) = (store.clone(), name.clone());
        let written = async move { store.write_token(&name, &state).await };
        Box::pin(async { written.await.map_err(|error| error.to_string()) })
    });
    let client =
        Client::new(account, means.transport.clone(), means.clock.clone(), remembered, remember);
    Ok(Subject { desired, client })
}
