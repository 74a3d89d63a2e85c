//! The error of one exchange, and its meaning.
//!
//! [`Error::class`] is the one match from symptom to meaning:
//!
//! | symptom | reading (GET, token) | writing |
//! | --- | --- | --- |
//! | not sent: DNS, connect, TLS | Transient | Transient |
//! | withheld: the leash is too short, or the account is owned for too short a time | Withheld | Withheld |
//! | lost: time-out, reset, cut short, too large | Transient | Unsure |
//! | 429 | Transient, with its Retry-After | the same |
//! | 401, 403, 404, 405, other 4xx, 3xx, refused credentials | Account | Account |
//! | `NO_PERMISSION`, `AUTHORIZATION_FAILED` that come with another status than 401 | Account | Forbidden |
//! | `OAUTH_SCOPE_MISMATCH` for PATCH or DELETE | - | Unscoped |
//! | 400 or 413 without items | Account | Rejected (the batch as a whole) |
//! | 408, 5xx | Transient, with its Retry-After | Unsure |
//! | 2xx that cannot be read | Transient | Unsure |
//! | the token endpoint asks to wait | Transient, not before | the same |
//! | the store cannot remember that a token is asked for | Transient | the same |
//!
//! A code of Zoho's that says more than its status outranks it: Zoho's own sources disagree about
//! statuses (OAS-old has errors under 202), and an error may come with HTTP 200. A code inside an
//! item means what it means bare: [`Error::of_item`].

use std::time::Duration;

use crate::model::codes::{SCOPE_MISMATCH, may_be_of_one_channel};

use super::oauth_words::{HandedIn, hint};
use super::transport::TransportError;
use super::wire::Refused;

/// One exchange that did not do what it was for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {kind}")]
pub struct Error {
    /// The operation: `list`, `enable`, `update`, `replace`, `remove-events`, `disable`, `token`.
    pub operation: &'static str,
    /// True when the call could have changed something at Zoho.
    pub writing: bool,
    /// The symptom.
    pub kind: Kind,
}

/// The symptom.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// There is no response.
    #[error("{0}")]
    Transport(#[from] TransportError),
    /// A response that says no.
    #[error("HTTP {status}{}: {message}", code.as_ref().map(|code| format!(" {code}")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Zoho's code, if the body has one.
        code: Option<String>,
        /// Zoho's message, or the beginning of what came instead, bounded.
        message: String,
        /// The place in the request, if Zoho said so.
        json_path: Option<String>,
        /// How long Zoho asks to wait.
        retry_after: Option<Duration>,
    },
    /// A response that should have been readable and is not.
    #[error("HTTP {status}, and its body cannot be read: {why}")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// The fault, in words.
        why: String,
    },
    /// The list goes on for longer than a list of channels does.
    #[error("{0}")]
    Endless(String),
    /// The OAuth server says no to the credentials.
    #[error(
        "the OAuth server refuses the credentials: {}; it is tried again every hour, and at once when the config gives \
         others",
        with_hint(.0)
    )]
    Credentials(String),
    /// No token is asked for now, so that Zoho does not lock the refresh token out.
    #[error("no access token before {until}: {why}")]
    Waiting {
        /// When the next one may be asked for.
        until: crate::model::time::Timestamp,
        /// How long that is.
        wait: Duration,
        /// The reason, in words.
        why: String,
    },
    /// No token is asked for, because the store cannot remember it.
    #[error("no access token is requested, because the store cannot record the request: {0}")]
    Unremembered(String),
}

fn with_hint(said: &str) -> String {
    hint(said, HandedIn::RefreshToken)
        .map_or_else(|| said.to_owned(), |hint| format!("{said} ({hint})"))
}

/// The meaning of an error for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Nothing was changed, and it may work later.
    Transient {
        /// Not sooner than this, if Zoho said so.
        retry_after: Option<Duration>,
    },
    /// Nothing was sent, because another machine may own the account, or did until a moment ago.
    Withheld,
    /// Nothing was changed, and it will not work before somebody changes the account's credentials,
    /// scopes or URLs.
    Account,
    /// Nothing was changed, and it may be for one channel of the request or for the account: a user
    /// may lack one module, or all. Only single calls tell.
    Forbidden(Refused),
    /// Nothing was changed: the token has no scope for this one method, whatever the others do.
    Unscoped(Refused),
    /// Zoho refused this request as a whole, because of what is in it.
    Rejected {
        /// Zoho's code.
        code: String,
        /// Zoho's message.
        message: String,
        /// The place in the request, if Zoho said so.
        json_path: Option<String>,
    },
    /// It may have been applied. The answer is to look again, never to assume.
    Unsure,
}

impl Error {
    /// One refused item of an answer to a write: it is judged as if it had come alone and bare.
    pub fn of_item(operation: &'static str, refused: &Refused) -> Error {
        let Refused { code, message, json_path } = refused.clone();
        let kind =
            Kind::Refused { status: 400, code: Some(code), message, json_path, retry_after: None };
        Error { operation, writing: true, kind }
    }

    /// True when the token has no scope for what was asked.
    pub fn is_scope_mismatch(&self) -> bool {
        matches!(&self.kind, Kind::Refused { code: Some(code), .. } if code == SCOPE_MISMATCH)
    }

    /// True when there was no token to send the request with.
    pub fn is_of_token(&self) -> bool {
        self.operation == TOKEN
    }

    /// True when somebody has to change the account's credentials, scopes or URLs.
    pub fn is_of_account(&self) -> bool {
        self.class() == Class::Account
    }

    /// The meaning of this error, by the table above.
    pub fn class(&self) -> Class {
        match &self.kind {
            Kind::Transport(TransportError::NotSent(_)) => Class::Transient { retry_after: None },
            Kind::Transport(TransportError::Withheld(_)) => Class::Withheld,
            Kind::Transport(TransportError::Lost(_))
            | Kind::Unreadable { .. }
            | Kind::Endless(_) => self.lost(None),
            Kind::Credentials(_) => Class::Account,
            Kind::Waiting { wait, .. } => Class::Transient { retry_after: Some(*wait) },
            Kind::Unremembered(_) => Class::Transient { retry_after: None },
            Kind::Refused { code: Some(code), .. }
                if code == SCOPE_MISMATCH && scope_of(self.operation).is_some() =>
            {
                Class::Unscoped(self.unscoped())
            }
            Kind::Refused { status, code: Some(code), message, json_path, .. }
                if self.writing && *status != 401 && may_be_of_one_channel(code) =>
            {
                Class::Forbidden(Refused {
                    code: code.clone(),
                    message: message.clone(),
                    json_path: json_path.clone(),
                })
            }
            Kind::Refused { status, code, message, json_path, retry_after } => {
                match meant_status(*status, code.as_deref()) {
                    429 => Class::Transient { retry_after: *retry_after },
                    400 | 413 if self.writing => Class::Rejected {
                        code: code.clone().unwrap_or_else(|| format!("HTTP_{status}")),
                        message: message.clone(),
                        json_path: json_path.clone(),
                    },
                    408 => self.lost(*retry_after),
                    300..=499 => Class::Account,
                    _ => self.lost(*retry_after),
                }
            }
        }
    }

    fn unscoped(&self) -> Refused {
        let scope = scope_of(self.operation).unwrap_or("ALL");
        let follows = match scope {
            "DELETE" => "; a channel that is not to be any more ends by itself at its expiry",
            _ => "; what differs is sent by POST",
        };
        let message = format!("the token lacks the scope notifications.{scope} (or ALL){follows}");
        Refused { code: SCOPE_MISMATCH.to_owned(), message, json_path: None }
    }

    fn lost(&self, retry_after: Option<Duration>) -> Class {
        if self.writing { Class::Unsure } else { Class::Transient { retry_after } }
    }
}

/// The scope of an operation without which everything else can go on.
fn scope_of(operation: &str) -> Option<&'static str> {
    match operation {
        "disable" => Some("DELETE"),
        "update" | "remove-events" => Some("UPDATE"),
        _ => None,
    }
}

/// The status that a reply means: its code's, where the code says more.
fn meant_status(status: u16, code: Option<&str>) -> u16 {
    match (status, code) {
        (200..=499, Some("TOO_MANY_REQUESTS" | "RATE_LIMIT_EXCEEDED")) => 429,
        (200..=400, Some("INTERNAL_ERROR" | "INTERNAL_SERVER_ERROR" | "SERVICE_UNAVAILABLE")) => {
            500
        }
        (200..=400, Some(code)) if ACCOUNT_CODES.contains(&code) => 403,
        (200..=299, Some(_)) => 400,
        _ => status,
    }
}

/// The operation of a fetch of a token.
pub(super) const TOKEN: &str = "token";

/// Codes that say nothing of the channels in the request, whatever status they come with.
const ACCOUNT_CODES: [&str; 9] = [
    "INVALID_TOKEN",
    "INVALID_OAUTHTOKEN",
    "AUTHENTICATION_FAILURE",
    "AUTHORIZATION_FAILED",
    SCOPE_MISMATCH,
    "NO_PERMISSION",
    "INVALID_REQUEST_METHOD",
    "INVALID_URL_PATTERN",
    "API_NOT_SUPPORTED",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn class(writing: bool, kind: Kind) -> String {
        match (Error { operation: "test", writing, kind }).class() {
            Class::Transient { retry_after: None } => "transient".to_owned(),
            Class::Transient { retry_after: Some(wait) } => {
                format!("transient {}s", wait.as_secs())
            }
            Class::Withheld => "withheld".to_owned(),
            Class::Account => "account".to_owned(),
            Class::Forbidden(refused) => format!("forbidden {}", refused.code),
            Class::Unscoped(refused) => format!("unscoped {}", refused.code),
            Class::Rejected { code, .. } => format!("rejected {code}"),
            Class::Unsure => "unsure".to_owned(),
        }
    }

    fn refused(status: u16, code: &str) -> Kind {
        let code = Some(code.to_owned()).filter(|code| !code.is_empty());
        Kind::Refused { status, code, message: String::new(), json_path: None, retry_after: None }
    }

    #[test]
    fn only_the_code_of_a_missing_scope_says_that_a_scope_is_missing() {
        let lacks = |kind| Error { operation: "test", writing: false, kind }.is_scope_mismatch();
        assert!(lacks(refused(401, SCOPE_MISMATCH)));
        assert!(!lacks(refused(401, "INVALID_TOKEN")) && !lacks(refused(401, "")));
        assert!(!lacks(Kind::Unreadable { status: 200, why: String::new() }));
    }

    #[test]
    fn each_symptom_means_what_the_table_says() {
        let transport = |error| Kind::Transport(error);
        let rows: Vec<(Kind, &str, &str)> = vec![
            (transport(TransportError::NotSent("dns".into())), "transient", "transient"),
            (transport(TransportError::Withheld("leash".into())), "withheld", "withheld"),
            (transport(TransportError::Lost("timed out".into())), "transient", "unsure"),
            (Kind::Unreadable { status: 200, why: String::new() }, "transient", "unsure"),
            (Kind::Credentials("invalid_code".into()), "account", "account"),
            (Kind::Unremembered("disk full".into()), "transient", "transient"),
            (refused(301, ""), "account", "account"),
            (refused(400, ""), "account", "rejected HTTP_400"),
            (refused(400, "INVALID_DATA"), "account", "rejected INVALID_DATA"),
            (refused(401, "INVALID_TOKEN"), "account", "account"),
            (refused(401, "OAUTH_SCOPE_MISMATCH"), "account", "account"),
            (refused(401, "AUTHORIZATION_FAILED"), "account", "account"),
            (refused(403, ""), "account", "account"),
            (refused(403, "NO_PERMISSION"), "account", "forbidden NO_PERMISSION"),
            (refused(404, "INVALID_URL_PATTERN"), "account", "account"),
            (refused(405, ""), "account", "account"),
            (refused(408, ""), "transient", "unsure"),
            (refused(413, ""), "account", "rejected HTTP_413"),
            (refused(429, "TOO_MANY_REQUESTS"), "transient", "transient"),
            (refused(429, "RATE_LIMIT_EXCEEDED"), "transient", "transient"),
            (refused(500, "INTERNAL_ERROR"), "transient", "unsure"),
            (refused(500, ""), "transient", "unsure"),
            (refused(503, "TOO_MANY_REQUESTS"), "transient", "unsure"),
        ];
        for (kind, reading, writing) in rows {
            let (read, written) = (class(false, kind.clone()), class(true, kind.clone()));
            assert_eq!((read.as_str(), written.as_str()), (reading, writing), "{kind:?}");
        }
    }

    #[test]
    fn a_code_outranks_a_status_that_says_less() {
        let rows = [
            (200, "INVALID_DATA", "account", "rejected INVALID_DATA"),
            (202, "NOT_SUBSCRIBED", "account", "rejected NOT_SUBSCRIBED"),
            (400, "RATE_LIMIT_EXCEEDED", "transient", "transient"),
            (200, "TOO_MANY_REQUESTS", "transient", "transient"),
            (202, "INTERNAL_ERROR", "transient", "unsure"),
            (400, "INTERNAL_SERVER_ERROR", "transient", "unsure"),
            (400, "INVALID_TOKEN", "account", "account"),
            (200, "AUTHENTICATION_FAILURE", "account", "account"),
            (400, "NO_PERMISSION", "account", "forbidden NO_PERMISSION"),
            (200, "AUTHORIZATION_FAILED", "account", "forbidden AUTHORIZATION_FAILED"),
            (400, "API_NOT_SUPPORTED", "account", "account"),
        ];
        for (status, code, reading, writing) in rows {
            assert_eq!(class(false, refused(status, code)), reading, "{status} {code}");
            assert_eq!(class(true, refused(status, code)), writing, "{status} {code}");
        }
    }

    #[test]
    fn a_wait_that_zoho_asks_for_is_passed_on_where_nothing_was_changed() {
        for (status, reading, writing) in
            [(429, "transient 9s", "transient 9s"), (503, "transient 9s", "unsure")]
        {
            let wait = Some(Duration::from_secs(9));
            let kind = Kind::Refused {
                status,
                code: None,
                message: String::new(),
                json_path: None,
                retry_after: wait,
            };
            assert_eq!(class(false, kind.clone()), reading);
            assert_eq!(class(true, kind), writing);
        }
    }
}
