//! The store's memory, read for a page when somebody looks at it. Ten thousand channels cost
//! nothing while nobody looks.
//!
//! The overview says how everything is; the ledger, the record and the token say how it came to be.
//! They are read through functions that the daemon gives, so that nothing here knows a store. A
//! failure to read is a sentence that is shown.

use std::sync::Arc;
use std::time::Duration;

use crate::backfill::Recovery;
use crate::coverage::{Acks, Ledger};
use crate::model::account::ApiBase;
use crate::model::channel::{AccountName, ChannelId};
use crate::model::policy::Policy;
use crate::model::record::{AccountState, Record};
use crate::model::time::Timestamp;
use crate::model::wishes::Wishes;

/// Reads what is remembered.
#[derive(Clone)]
pub(crate) struct Lookups {
    /// Reads the memory of one account; nothing when it is not held.
    pub account: Arc<Reads<AccountMemory>>,
    /// Reads the memory of one channel.
    pub channel: Arc<ReadsChannel>,
    /// How long one call to Zoho may take, for what a renewal survives.
    pub request_timeout: Duration,
}

/// Reads something of an account; an error is a sentence.
pub(crate) type Reads<T> = dyn Fn(&AccountName) -> Result<Option<T>, String> + Send + Sync;
/// Reads what is remembered of a channel; an error is a sentence.
pub(crate) type ReadsChannel =
    dyn Fn(&AccountName, ChannelId) -> Result<ChannelMemory, String> + Send + Sync;

/// The declaration and the memory of one account.
#[derive(Clone, Debug)]
pub(crate) struct AccountMemory {
    /// The rules its plans are made under.
    pub policy: Policy,
    /// Its state.
    pub state: AccountState,
    /// The wishes for it.
    pub wishes: Wishes,
    /// Its API.
    pub api: ApiBase,
    /// Its access token.
    pub token: TokenFacts,
}

/// The facts about an access token that may be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenFacts {
    /// When the cached one ends; nothing when there is none.
    pub until: Option<Timestamp>,
    /// The OAuth server's last no, in its words, and when it is asked again.
    pub denied: Option<(String, Timestamp)>,
}

/// The memory of one channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelMemory {
    /// Its record.
    pub record: Option<Record>,
    /// Its ledger, in Zoho's time.
    pub ledger: Option<Ledger>,
    /// Which of its gaps somebody has seen to.
    pub acks: Acks,
    /// Its recoveries, by number.
    pub recoveries: Vec<Recovery>,
}
