//! What was last told to the alert webhook: what a restart must know so as not to tell it again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// What was told and is not over yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertState {
    /// When the last message was delivered.
    pub at: Timestamp,
    /// Since when something has been bad.
    pub bad_since: Timestamp,
    /// What was told to be bad, as `uncovered/acme/deal-sync`, and since when.
    pub topics: BTreeMap<String, Timestamp>,
}
