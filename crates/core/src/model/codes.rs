//! Codes of Zoho's that decisions depend on.

/// Zoho's code for a change of a channel that it does not have (seen verbatim in v8 traffic, see
/// the API notes).
pub const NOT_SUBSCRIBED: &str = "NOT_SUBSCRIBED";

/// Zoho's code for a token that has no scope for this method. POST may be allowed where PATCH is
/// not.
pub const SCOPE_MISMATCH: &str = "OAUTH_SCOPE_MISMATCH";

/// True when Zoho refuses to POST an id because the id exists there. No source explains these codes
/// (SDK 2.x has the one, SDK 5.0 the other); Kaizen #170 renews by POST, so they should not come
/// up.
pub fn is_taken(code: &str) -> bool {
    ["DUPLICATE_DATA", "ALREADY_USED"].contains(&code)
}

/// Zoho's code for an org that is full.
pub const LIMIT_REACHED: &str = "LIMIT_REACHED";

/// True when a code speaks of a permission that may be missing for one module only.
pub fn may_be_of_one_channel(code: &str) -> bool {
    ["NO_PERMISSION", "AUTHORIZATION_FAILED"].contains(&code)
}
