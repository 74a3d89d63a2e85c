//! A channel that nobody renews: it is enabled, a record changes, a day later it is gone.
//!
//! There is no socket and no clock in it: the simulator is a value, and time is an argument.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use channelkeeper_simulator::{Knobs, Org, Request, Zoho};
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut zoho = Zoho::new(Knobs::default());
    zoho.add_org(Org::new("acme"));
    let noon: Timestamp = "2026-01-05T12:00:00Z".parse()?;

    let form = "refresh_token=1000.refresh-acme&client_id=1000.SIMACME&client_secret=secret-acme\
                &grant_type=refresh_token";
    let token = call(&mut zoho, &request("POST", "/oauth/v2/token", form, None), noon)?;
    let token = token["access_token"].as_str().ok_or("the simulator refused the credentials")?;

    let item = json!({
        "channel_id": "1000000068001",
        "events": ["Deals.all"],
        "notify_url": "https://hooks.example.com/zoho",
        "channel_expiry": noon.checked_add(24.hours())?.to_string(),
    });
    let path = "/crm/v8/actions/watch";
    let body = json!({ "watch": [item] }).to_string();
    println!("{:#}", call(&mut zoho, &request("POST", path, &body, Some(token)), noon)?);

    for hours in [23, 25] {
        let later = noon.checked_add(hours.hours())?;
        println!("after {hours} hours: {} channels", zoho.channels("acme", later).len());
    }
    Ok(())
}

fn request(method: &'static str, path: &str, body: &str, token: Option<&str>) -> Request {
    let header = |token| ("authorization".to_owned(), format!("Zoho-oauthtoken {token}"));
    Request {
        method,
        base: "https://www.zohoapis.test".to_owned(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: token.map(header).into_iter().collect(),
        body: body.as_bytes().to_vec(),
    }
}

/// The body of the answer, which may be an error of Zoho's.
fn call(zoho: &mut Zoho, request: &Request, now: Timestamp) -> Result<Value, serde_json::Error> {
    let answer = zoho.answer(request, now);
    let body = answer.reply.response().map(|response| response.body.as_slice());
    serde_json::from_slice(body.unwrap_or(b"null"))
}
