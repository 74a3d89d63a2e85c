//! One look at everything an account has at Zoho.

use crate::model::observed::Look;
use crate::model::record::{AccountState, Trouble};
use crate::model::time::Timestamp;
use crate::zoho::client::Client;
use crate::zoho::error::{Class, Error};

/// What a look found, and what it says of the account.
#[derive(Debug)]
pub struct Observation {
    /// The whole list, or why there is none.
    pub look: Look,
    /// The account's state with the look taken into it: clock skew, failures in a row.
    pub state: AccountState,
    /// Whether the failure is one that only a person can mend: credentials, scope, URL.
    pub needs_a_person: bool,
    /// Whether Zoho's time was read in this look.
    pub measured: bool,
}

/// Looks. A failed look is an answer too, so this does not fail.
pub async fn observe(client: &Client, state: AccountState, now: Timestamp) -> Observation {
    match client.list().await {
        Ok(listing) => {
            let measured = listing.skew_ms.is_some();
            let skew_ms = listing.skew_ms.or(state.skew_ms);
            let looks = Trouble::default();
            let state = AccountState { skew_ms, looks, looked_at: Some(now), ..state };
            Observation {
                look: Look::Seen { channels: listing.channels, at: now },
                state,
                needs_a_person: false,
                measured,
            }
        }
        Err(error) => failed(&error, state, now),
    }
}

fn failed(error: &Error, state: AccountState, now: Timestamp) -> Observation {
    let (retry_after, needs_a_person) = match error.class() {
        Class::Transient { retry_after } => (retry_after, false),
        Class::Account => (None, true),
        Class::Rejected { .. } | Class::Unsure => (None, false),
    };
    let why = error.to_string();
    let looks = state.looks.again(now, why.clone(), retry_after);
    Observation { look: Look::Unknown(why), state: AccountState { looks, ..state }, needs_a_person, measured: false }
}
