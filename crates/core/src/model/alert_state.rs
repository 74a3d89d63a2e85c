//! The last message to the alert webhook. A restart reads it, so that it does not send the same
//! message again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// The troubles that were told and are not over yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertState {
    /// When the last message was delivered.
    pub at: Timestamp,
    /// Since when something has been bad.
    pub bad_since: Timestamp,
    /// The troubles that were told, as `uncovered/acme/deal-sync`, and since when each lasts.
    pub topics: BTreeMap<String, Timestamp>,
}
