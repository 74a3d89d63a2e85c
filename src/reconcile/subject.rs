//! The account that a pass is about.

use std::borrow::Cow;
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

    /// Its channels as they are to be written at an instant of Zoho's clock.
    pub(super) fn channels_at(&self, zoho_now: Timestamp) -> ChannelsThen<'_> {
        let (specs, former) = (self.desired.specs_at(zoho_now), self.desired.former_at(zoho_now));
        ChannelsThen { specs, former }
    }

    /// The facts that a decision is made from, with the records and the look.
    pub(super) fn facts<'a>(
        &'a self,
        channels: &'a ChannelsThen<'_>,
        known: Known<'a>,
        look: &'a Look,
        now: Timestamp,
    ) -> Facts<'a> {
        let Known { records, state, wishes } = known;
        let (account, policy) = (&self.desired.account.name, &self.desired.account.policy);
        let (specs, former) = (&*channels.specs, &*channels.former);
        Facts { account, policy, specs, former, records, state, wishes, look, now }
    }
}

/// The store's memory of an account, as a decision is made from it.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) records: &'a BTreeMap<ChannelId, Record>,
    pub(super) state: &'a AccountState,
    pub(super) wishes: &'a Wishes,
}

/// The channels of an account as they are to be written at one instant.
pub(super) struct ChannelsThen<'a> {
    /// The declared ones.
    pub(super) specs: Cow<'a, BTreeMap<ChannelId, Arc<Spec>>>,
    /// Those that are declared no longer: [`AccountDesired::former`].
    former: Cow<'a, BTreeMap<ChannelId, Arc<Spec>>>,
}
