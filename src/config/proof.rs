//! The proof of origin that a channel's deliveries carry: a token, or the key that makes them.

use super::check::Check;
use super::given::Given;
use super::source::At;
use super::values::Reference;
use crate::model::secret::Secret;

/// The proof of origin that deliveries carry.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    /// A token.
    Token(Secret),
    /// The key that tokens are derived from.
    Key(Secret),
}

impl Proof {
    /// The token or the key that is given; none when there is none, or when that was reported.
    pub(super) fn read(
        token_given: &Given<Reference>,
        key: &Given<Reference>,
        check: &mut Check<'_>,
    ) -> Option<Proof> {
        if let Some(at) = key.good().filter(|_| !token_given.is_absent()) {
            check.problem(at.place, "a token_key beside a token", "leave out one of them");
        }
        let token = token(token_given, check).map(Proof::Token);
        let Some(At { value: key, place }) = check.secret("token_key", key) else { return token };
        // One that was tolerated to be missing is empty.
        if !key.expose().is_empty() && key.expose().chars().count() < KEY_MIN {
            let message = format!("this key has fewer than {KEY_MIN} characters");
            check.problem(place, message, "make a random one: head -c 32 /dev/urandom | base64");
        }
        Some(token.unwrap_or(Proof::Key(key)))
    }

    pub(super) fn into_token(self) -> Option<Secret> {
        match self {
            Proof::Token(token) => Some(token),
            Proof::Key(_) => None,
        }
    }
}

/// A channel's token: 1 to 50 printable characters; none when there is none, or when that was
/// reported.
fn token(given: &Given<Reference>, check: &mut Check<'_>) -> Option<Secret> {
    let at = check.secret("token", given)?;
    let length = at.value.expose().chars().count();
    if length > TOKEN_MAX {
        let message = format!("this token has {length} characters, Zoho takes {TOKEN_MAX} at most");
        check.problem(at.place, message, "shorten it; 32 random letters and digits are plenty");
    }
    if at.value.expose().chars().any(char::is_control) {
        check.problem(
            at.place,
            "this token holds a character that cannot be printed",
            "use letters and digits",
        );
    }
    Some(at.value)
}

/// Zoho's limits (Kaizen #14 for tokens; zoho/crm-oas, v8.0, for events).
const TOKEN_MAX: usize = 50;
/// A key is guessed at leisure by whoever sees a delivery.
const KEY_MIN: usize = 32;
