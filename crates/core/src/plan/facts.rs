//! The facts that a decision is made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::cluster::Allowed;
use crate::model::observed::Look;
use crate::model::policy::Policy;
use crate::model::record::{AccountState, Record};
use crate::model::time::Timestamp;
use crate::model::wishes::Wishes;

/// Everything a decision is made from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The account.
    pub account: &'a AccountName,
    /// Its rules.
    pub policy: &'a Policy,
    /// The declared channels.
    pub specs: &'a BTreeMap<ChannelId, Arc<Spec>>,
    /// The channels that are declared no longer and were ours, as they were declared last.
    pub former: &'a BTreeMap<ChannelId, Arc<Spec>>,
    /// The records of channels.
    pub records: &'a BTreeMap<ChannelId, Record>,
    /// The record of the account.
    pub state: &'a AccountState,
    /// The wishes of people.
    pub wishes: &'a Wishes,
    /// The requests that may be sent.
    pub allowed: Allowed,
    /// The result of the look.
    pub look: &'a Look,
    /// The local clock's time.
    pub now: Timestamp,
}
