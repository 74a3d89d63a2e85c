//! The account that a pass is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::desired::AccountDesired;
use crate::model::observed::Look;
use crate::model::record::{AccountState, Record};
use crate::model::time::Timestamp;
use crate::model::wishes::Wishes;
use crate::plan::facts::Facts;
use crate::zoho::client::Client;

/// One account, as a pass needs it.
pub struct Subject {
    /// The account's part of the desired state.
    pub desired: AccountDesired,
    /// The way to it.
    pub client: Client,
}

impl Subject {
    /// The account's name.
    pub fn name(&self) -> &AccountName {
        &self.desired.account.name
    }

    /// The facts that a decision is made from, with the records and the look. `specs` are those of
    /// the pass's instant: [`AccountDesired::specs_at`].
    pub(super) fn facts<'a>(
        &'a self,
        specs: &'a BTreeMap<ChannelId, Arc<Spec>>,
        records: &'a BTreeMap<ChannelId, Record>,
        (state, wishes): (&'a AccountState, &'a Wishes),
        look: &'a Look,
        now: Timestamp,
    ) -> Facts<'a> {
        let (account, policy) = (&self.desired.account.name, &self.desired.account.policy);
        Facts { account, policy, specs, records, state, wishes, look, now }
    }
}
