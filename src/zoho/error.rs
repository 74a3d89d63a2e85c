//! What went wrong with one exchange, and what it means.
//!
//! [`Error::class`] is the one match from symptom to meaning:
//!
//! | symptom | reading (GET, token) | writing |
//! | --- | --- | --- |
//! | not sent: DNS, connect, TLS | Transient | Transient |
//! | lost: time-out, reset, cut short, too large | Transient | Unsure |
//! | 429 | Transient, with its Retry-After | the same |
//! | 401, 403, 404, 405, 3xx, refused credentials | Account | Account |
//! | 400 without items | Account | Rejected (the batch as a whole) |
//! | 5xx | Transient | Unsure |
//! | 2xx that cannot be read | Transient | Unsure |
//! | the token endpoint asks to wait | Transient, not before | the same |

use std::time::Duration;

use super::transport::TransportError;

/// One exchange that did not do what it was for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {kind}")]
pub struct Error {
    /// What was being done: `list`, `enable`, `update`, `replace`, `remove-events`, `disable`, `token`.
    pub operation: &'static str,
    /// Whether it could have changed something at Zoho.
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
        /// Where in the request, if Zoho said so.
        json_path: Option<String>,
        /// How long Zoho asks to wait.
        retry_after: Option<Duration>,
    },
    /// A response that should have been readable and is not.
    #[error("HTTP {status}, and its body cannot be read: {why}")]
    Unreadable {
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
    /// The OAuth server says no to the credentials.
    #[error("the OAuth server refuses the credentials: {0}")]
    Credentials(String),
    /// No token is asked for now, so that Zoho does not lock the refresh token out.
    #[error("no access token before {until}: {why}")]
    Waiting {
        /// When the next one may be asked for.
        until: crate::model::time::Timestamp,
        /// How long that is.
        wait: Duration,
        /// Why.
        why: String,
    },
}

/// What an error means for who made the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Nothing was changed, and it may work later.
    Transient {
        /// Not sooner than this, if Zoho said so.
        retry_after: Option<Duration>,
    },
    /// Nothing was changed, and it will not work before somebody changes the account's credentials, scopes or URLs.
    Account,
    /// Zoho refused this request as a whole, because of what is in it.
    Rejected {
        /// Zoho's code.
        code: String,
        /// Zoho's message.
        message: String,
        /// Where in the request, if Zoho said so.
        json_path: Option<String>,
    },
    /// It may have been applied. The answer is to look again, never to assume.
    Unsure,
}

impl Error {
    /// What it means: the table above.
    pub fn class(&self) -> Class {
        match &self.kind {
            Kind::Transport(TransportError::NotSent(_)) => Class::Transient { retry_after: None },
            Kind::Transport(TransportError::Lost(_)) | Kind::Unreadable { .. } => self.lost(),
            Kind::Credentials(_) => Class::Account,
            Kind::Waiting { wait, .. } => Class::Transient { retry_after: Some(*wait) },
            Kind::Refused { status, code, message, json_path, retry_after } => match status {
                429 => Class::Transient { retry_after: *retry_after },
                400 if self.writing && !is_about_the_account(code.as_deref()) => Class::Rejected {
                    code: code.clone().unwrap_or_else(|| "HTTP_400".to_owned()),
                    message: message.clone(),
                    json_path: json_path.clone(),
                },
                300..=499 => Class::Account,
                _ => self.lost(),
            },
        }
    }

    fn lost(&self) -> Class {
        if self.writing { Class::Unsure } else { Class::Transient { retry_after: None } }
    }
}

/// Codes that say nothing of the channels in the request, whatever status they come with.
fn is_about_the_account(code: Option<&str>) -> bool {
    let codes = ["INVALID_REQUEST_METHOD", "INVALID_URL_PATTERN", "API_NOT_SUPPORTED", "NO_PERMISSION"];
    code.is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, writing: bool) -> Class {
        let kind = Kind::Refused { status, code: None, message: String::new(), json_path: None, retry_after: None };
        Error { operation: "test", writing, kind }.class()
    }

    #[test]
    fn a_failed_read_changed_nothing_and_a_failed_write_may_have() {
        let lost = |writing| Error {
            operation: "test",
            writing,
            kind: Kind::Transport(TransportError::Lost("timed out".into())),
        };
        assert_eq!(lost(false).class(), Class::Transient { retry_after: None });
        assert_eq!(lost(true).class(), Class::Unsure);
        assert_eq!(refused(500, false), Class::Transient { retry_after: None });
        assert_eq!(refused(503, true), Class::Unsure);
    }

    #[test]
    fn statuses_that_concern_the_account_reject_no_channel() {
        for status in [301, 401, 403, 404, 405] {
            assert_eq!(refused(status, true), Class::Account, "{status}");
        }
        assert!(matches!(refused(400, true), Class::Rejected { .. }));
        assert_eq!(refused(400, false), Class::Account);
        assert_eq!(refused(429, true), Class::Transient { retry_after: None });
    }
}
