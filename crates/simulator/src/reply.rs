//! The simulator's answers, and the bodies that every operation shares.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::knobs::Knobs;
use crate::model::exchange::Response;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedReply {
    /// The reply.
    pub reply: Reply,
    /// How long it takes to arrive.
    pub delay: Duration,
}

/// The reply that arrives at the client, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A response.
    Response(Response),
    /// The connection is reset; the request may have been applied all the same.
    Reset,
    /// Nothing, ever; the request may have been applied all the same.
    Hang,
    /// The connection is refused: nothing was applied. Over HTTP it is a reset, for the connection
    /// was accepted before.
    Refused,
    /// A response whose body breaks off after so many bytes.
    Truncated(Response, usize),
}

impl Reply {
    /// The response, when one arrives in full.
    pub fn response(&self) -> Option<&Response> {
        match self {
            Reply::Response(response) => Some(response),
            Reply::Reset | Reply::Hang | Reply::Refused | Reply::Truncated(..) => None,
        }
    }

    /// Under which name it is counted: its status, or what went wrong.
    pub(crate) fn outcome(&self) -> String {
        match self {
            Reply::Response(response) => response.status.to_string(),
            Reply::Reset => "reset".to_owned(),
            Reply::Hang => "hang".to_owned(),
            Reply::Refused => "refused".to_owned(),
            Reply::Truncated(..) => "truncated".to_owned(),
        }
    }
}

/// A JSON response.
pub(crate) fn json_response(status: u16, body: &Value) -> Response {
    let headers = vec![("content-type".to_owned(), JSON_TYPE.to_owned())];
    Response { status, headers, body: body.to_string().into_bytes() }
}

/// An error that stands alone, not inside `watch`.
pub(crate) fn bare(status: u16, code: &str, message: &str, details: &Value) -> Response {
    json_response(status, &error(code, message, details))
}

/// An error object: a whole body, or one item of `watch`.
pub(crate) fn error(code: &str, message: &str, details: &Value) -> Value {
    json!({ "code": code, "details": details, "message": message, "status": "error" })
}

/// `details` of an error about one key.
pub(crate) fn about(api_name: &str, json_path: &str) -> Value {
    json!({ "api_name": api_name, "json_path": json_path })
}

/// INVALID_DATA about one key, with one more fact.
pub(crate) fn invalid(api_name: &str, json_path: &str, fact: &str, value: &Value) -> Value {
    let mut details = about(api_name, json_path);
    details[fact] = value.clone();
    error("INVALID_DATA", INVALID, &details)
}

/// 404 for a path that is not there.
pub(crate) fn url_pattern() -> Response {
    let message = "Please check if the URL trying to access is a correct one";
    bare(404, "INVALID_URL_PATTERN", message, &json!({}))
}

/// 429, in the words that the knobs choose.
pub(crate) fn throttled(knobs: &Knobs) -> Response {
    let message = "Too many requests. Please try again later.";
    let mut response = bare(429, knobs.throttled_code.as_str(), message, &json!({}));
    if let Some(seconds) = knobs.retry_after_secs {
        response.headers.push(("retry-after".to_owned(), seconds.to_string()));
    }
    response
}

/// `instant` as an HTTP date: `Mon, 23 Nov 2026 16:00:00 GMT` (RFC 9110, IMF-fixdate).
pub fn http_date(instant: Timestamp) -> String {
    instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// The content type of real replies (captured v7 traffic).
pub(crate) const JSON_TYPE: &str = "application/json;charset=UTF-8";
/// The message of MANDATORY_NOT_FOUND.
pub(crate) const MISSING: &str = "required field not found";
/// The message of INVALID_DATA.
pub(crate) const INVALID: &str = "invalid data";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_an_imf_fixdate() {
        assert_eq!(
            http_date("2026-11-23T16:00:00.7Z".parse().unwrap()),
            "Mon, 23 Nov 2026 16:00:00 GMT"
        );
        assert_eq!(
            http_date("2026-02-01T06:05:09Z".parse().unwrap()),
            "Sun, 01 Feb 2026 06:05:09 GMT"
        );
    }
}
