//! `GET /org`: the org as Zoho describes it (v2 to v8 *Get Organization*).
//!
//! Zoho's SDKs from 6.0 on ask for it, and for the user of the token, to name their stored tokens.

use serde_json::{Value, json};

use super::super::reply::json_response;
use super::row::{USER_EMAIL, View};
use crate::model::exchange::Response;

/// The one org that a token leads to.
pub(crate) fn show(view: &View<'_>) -> Response {
    let org = json!({
        "id": format!("{}{COMPANY_LOW:012}", view.digits),
        "zgid": view.digits,
        "company_name": view.org,
        "primary_email": USER_EMAIL,
        "primary_zuid": Value::Null,
        "time_zone": view.knobs.zone,
        "iso_code": "USD",
        "country_code": "US",
    });
    json_response(200, &json!({ "org": [org] }))
}

const COMPANY_LOW: u64 = 15_172;
