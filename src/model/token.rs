//! What is known of an account's access token. How it is come by is `zoho::auth`'s business.

use super::secret::{Fingerprint, Secret};
use super::time::Timestamp;

/// What is known of the token, and kept over restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenState {
    /// The credentials it belongs to: with others, it is worth nothing.
    pub credentials: Fingerprint,
    /// The token, and when it ends.
    pub access: Option<(Secret, Timestamp)>,
    /// When tokens were asked for lately.
    pub fetches: Vec<Timestamp>,
    /// The OAuth server's last no, until a token is given.
    pub denied: Option<Denied>,
}

/// The OAuth server's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// How often in a row.
    pub attempts: u32,
    /// Not asked again before this.
    pub until: Timestamp,
    /// Its words.
    pub what: String,
    /// Whether it only asked to wait, and did not refuse the credentials.
    pub throttled: bool,
}
