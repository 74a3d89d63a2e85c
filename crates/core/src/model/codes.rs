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

/// True when a source of Zoho's lists a code among those of the watch API. Any other may mean
/// anything: it comes of a change at Zoho, or of whoever stands between.
pub fn is_documented(code: &str) -> bool {
    DOCUMENTED.contains(&code)
}

/// The codes that refuse a write, by the documentation, the OpenAPI files and the SDKs.
const DOCUMENTED: [&str; 25] = [
    "ALREADY_USED",
    "AMBIGUITY_DURING_PROCESSING",
    "API_NOT_SUPPORTED",
    "AUTHENTICATION_FAILURE",
    "AUTHORIZATION_FAILED",
    "BAD_REQUEST",
    "DEPENDENT_FIELD_MISSING",
    "DUPLICATE_DATA",
    "EXPECTED_FIELD_MISSING",
    "EXPECTED_PARAM_MISSING",
    "INVALID_DATA",
    "INVALID_MODULE",
    "INVALID_QUERY",
    "INVALID_REQUEST_METHOD",
    "INVALID_TOKEN",
    "INVALID_URL_PATTERN",
    "LIMIT_EXCEEDED",
    LIMIT_REACHED,
    "MANDATORY_NOT_FOUND",
    "NOT_ALLOWED",
    NOT_SUBSCRIBED,
    "NOT_SUPPORTED",
    "NO_PERMISSION",
    SCOPE_MISMATCH,
    "REQUIRED_PARAM_MISSING",
];
