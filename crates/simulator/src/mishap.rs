//! The effect of a fault on a reply.
//!
//! A fault that takes the whole call answers in Zoho's place; the others let Zoho answer first and
//! then spoil it: another body, a late one, half of one, or none.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::faults::Fault;
use super::knobs::Knobs;
use super::oauth;
use super::reply::{Reply, TimedReply, bare, http_date, json_response, throttled, url_pattern};
use crate::model::exchange::Response;

/// The reply of a fault that has the call for itself: nothing was applied.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only faults that take the whole call come here"
)]
pub(crate) fn instead(fault: &Fault, knobs: &Knobs) -> Reply {
    let none = json!({});
    let response = match fault {
        Fault::ServerErrorHtml => html_error(),
        Fault::Unavailable => bare(503, "SERVICE_UNAVAILABLE", "Service unavailable.", &none),
        Fault::TooManyRequests => throttled(knobs),
        Fault::InvalidToken => oauth::invalid_token(knobs),
        Fault::ScopeMismatch => oauth::scope_mismatch(),
        Fault::Forbidden | Fault::ForbidModule { .. } => {
            let details = json!({ "permissions": ["Crm_Implied_Api_Access"] });
            bare(403, "NO_PERMISSION", "permission denied", &details)
        }
        Fault::NotFound => url_pattern(),
        Fault::Refused => return Reply::Refused,
        Fault::ResetBefore => return Reply::Reset,
        Fault::HangBefore => return Reply::Hang,
        Fault::RefuseBatchWith { .. } => {
            bare(400, "INVALID_DATA", "invalid data", &json!({ "api_name": "watch" }))
        }
        Fault::OauthError { error } => json_response(200, &json!({ "error": error })),
        Fault::TokenThrottled => oauth::access_denied(),
        _ => bare(500, "INTERNAL_ERROR", "Internal server error occurred.", &none),
    };
    Reply::Response(response)
}

/// The answer that a reply becomes under all other faults, and its `Date`.
pub(crate) fn laid_over(reply: Reply, faults: &[Fault], now: Timestamp) -> TimedReply {
    let mut answer = TimedReply { reply, delay: Duration::ZERO };
    if let Reply::Response(response) = &mut answer.reply {
        for fault in faults {
            spoil(response, fault);
        }
        response.headers.push(("date".to_owned(), http_date(now)));
    }
    for fault in faults {
        match (fault, &answer.reply) {
            (Fault::Delay { by }, _) => answer.delay += by.0,
            (Fault::ResetAfter, _) => answer.reply = Reply::Reset,
            (Fault::HangAfter, _) => answer.reply = Reply::Hang,
            (Fault::Truncated { keep }, Reply::Response(response)) => {
                answer.reply = Reply::Truncated(response.clone(), *keep);
            }
            _ => {}
        }
    }
    answer
}

/// Changes a response as a fault says that leaves it a response.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others leave the response as it is")]
fn spoil(response: &mut Response, fault: &Fault) {
    match fault {
        Fault::ContentType { value } => {
            response.headers.retain(|(name, _)| name != "content-type");
            response.headers.push(("content-type".to_owned(), value.clone()));
        }
        Fault::Oversized { mib } => {
            response.body = vec![b' '; (*mib).min(OVERSIZED_MIB_MAX) * 1024 * 1024]
        }
        Fault::ItemMissing => edit_items(response, |items| {
            items.pop();
        }),
        Fault::ItemsReordered => edit_items(response, |items| items.reverse()),
        Fault::UnknownItemCode { code } => edit_items(response, |items| {
            if let Some(first) = items.first_mut() {
                first["code"] = json!(code);
                first["status"] = json!("error");
            }
        }),
        _ => {}
    }
}

fn edit_items(response: &mut Response, edit: impl FnOnce(&mut Vec<Value>)) {
    let Ok(mut body) = serde_json::from_slice::<Value>(&response.body) else { return };
    let Some(items) = body.get_mut("watch").and_then(Value::as_array_mut) else { return };
    edit(items);
    response.body = body.to_string().into_bytes();
}

fn html_error() -> Response {
    let body =
        "<html><head><title>Zoho</title></head><body><h1>Internal Server Error</h1></body></html>";
    let headers = vec![("content-type".to_owned(), "text/html;charset=UTF-8".to_owned())];
    Response { status: 500, headers, body: body.as_bytes().to_vec() }
}

/// The largest body that a fault makes.
const OVERSIZED_MIB_MAX: usize = 256;
