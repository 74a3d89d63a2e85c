//! The meaning of each word of the OAuth server, and its remedy.
//!
//! | word | hint |
//! | --- | --- |
//! | `invalid_code` | the refresh token, or the grant code, is worth nothing |
//! | `invalid_client` | the client is not known in this data centre |
//! | `invalid_client_secret` | the secret is not that of this client |
//! | anything else | none: a guess would send people to mend what is right |

/// The credential that is handed in beside the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandedIn {
    /// The refresh token of the config.
    RefreshToken,
    /// A grant code of the API console.
    GrantCode,
    /// Nothing but the client: it asks for a code that a person can approve.
    DeviceRequest,
    /// The device code that goes with the one that a person approves.
    DeviceCode,
}

/// The hint for a word, which may be followed by a colon and a description.
pub(super) fn hint(said: &str, handed_in: HandedIn) -> Option<&'static str> {
    let word = said.split(':').next().unwrap_or(said).trim();
    match (word, handed_in) {
        ("invalid_code" | "invalid_grant", HandedIn::RefreshToken) => Some(
            "the refresh token was revoked, or belongs to another client: `channelkeeper login` \
             gets a new one",
        ),
        ("invalid_code" | "invalid_grant", HandedIn::GrantCode) => Some(
            "the code is mistyped, was used before, or is older than the minutes it was made for: \
             make a new one and use it at once",
        ),
        ("invalid_code" | "invalid_grant", HandedIn::DeviceCode) => {
            Some("the code has ended or was used: run `channelkeeper login` again")
        }
        ("invalid_client" | "invalid_client_type", HandedIn::DeviceRequest) => Some(
            "this flow needs a client of the kind Non-browser Application in this data centre; a \
             Self Client's code is handed in with `channelkeeper login --code -`",
        ),
        ("invalid_scope", HandedIn::DeviceRequest | HandedIn::DeviceCode) => Some(
            "this client or this edition may not have one of the scopes asked for; ask an \
             administrator of the org",
        ),
        ("invalid_client", _) => Some(
            "check client_id and data_center (a client of another data centre is unknown here)",
        ),
        ("invalid_client_secret", _) => Some(
            "check client_secret: it is not that of this client; copy it anew from Zoho's API \
             console",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_its_own_hint_and_an_unknown_word_has_none() {
        let starts = |said| hint(said, HandedIn::RefreshToken).map(|hint| &hint[..15]);
        assert_eq!(starts("invalid_code"), Some("the refresh tok"));
        assert_eq!(starts("invalid_client: of whom?"), Some("check client_id"));
        assert_eq!(starts("invalid_client_secret"), Some("check client_se"));
        assert_eq!(starts("general_error"), None);
        assert_eq!(starts("something_new: invalid_code"), None);
        let of_code = hint("invalid_code", HandedIn::GrantCode).map(|hint| &hint[..8]);
        assert_eq!(of_code, Some("the code"));
    }
}
