//! The account that a pass is about.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::leash::Leash;
use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::cluster::Allowed;
use crate::model::desired::AccountDesired;
use crate::model::observed::Look;
use crate::model::record::{AccountState, Record};
use crate::model::secret::{Fingerprint, FingerprintParts};
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
    /// Until when this process may write for it, where machines share it.
    pub leash: Option<Leash>,
}

impl Subject {
    /// The account's name.
    pub fn name(&self) -> &AccountName {
        &self.desired.account.name
    }

    /// Names all that is declared of it, as far as a pass acts by it.
    pub fn declaration(&self) -> Fingerprint {
        let AccountDesired { account, specs, former } = &self.desired;
        let mut all = FingerprintParts::default();
        all.add(&format!("{:?}", account.policy));
        for (id, spec) in specs.iter().chain(former) {
            let Spec { renew_before, mode, .. } = &**spec;
            let (id, fingerprint) = (id.number(), spec.fingerprint().0);
            all.add(&format!("{id} {fingerprint} {renew_before:?} {mode:?}"));
        }
        all.finish()
    }

    /// The requests that may be sent for it at this instant.
    pub fn allowed(&self) -> Allowed {
        let leash = self.leash.as_ref();
        leash.map_or(Allowed::Everything, |leash| leash.allowed_for(self.name()))
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
        let Known { records, state, wishes, allowed } = known;
        let (account, policy) = (&self.desired.account.name, &self.desired.account.policy);
        let (specs, former) = (&*channels.specs, &*channels.former);
        Facts { account, policy, specs, former, records, state, wishes, allowed, look, now }
    }
}

/// The store's memory of an account, as a decision is made from it, and what may be sent.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) records: &'a BTreeMap<ChannelId, Record>,
    pub(super) state: &'a AccountState,
    pub(super) wishes: &'a Wishes,
    pub(super) allowed: Allowed,
}

/// The channels of an account as they are to be written at one instant.
pub(super) struct ChannelsThen<'a> {
    /// The declared ones.
    pub(super) specs: Cow<'a, BTreeMap<ChannelId, Arc<Spec>>>,
    /// Those that are declared no longer: [`AccountDesired::former`].
    former: Cow<'a, BTreeMap<ChannelId, Arc<Spec>>>,
}
