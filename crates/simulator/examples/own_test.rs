//! A test of somebody's own program against the simulator, over HTTP: a record is queried, a
//! channel is enabled, time passes, and what Zoho would have delivered is compared with what it
//! really has.
//!
//! `cargo run -p channelkeeper-simulator --example own_test`

#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::sync::{Arc, Mutex};

use channelkeeper_simulator::http::{ClockFn, serve};
use channelkeeper_simulator::{Fault, Knobs, Org, Rule, Zoho};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut zoho = Zoho::new(Knobs::default());
    zoho.add_org(Org::new("acme").reading());
    let zoho = Arc::new(Mutex::new(zoho));
    let clock: ClockFn = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let server = tokio::spawn(serve(listener, Arc::clone(&zoho), clock, std::future::pending()));

    // The program under test comes here. It is given `base` as its API and as its OAuth server.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::new();
    let token = access_token(&http, &base).await?;
    let watch = format!("{base}/crm/v8/actions/watch");
    let authorization = format!("Zoho-oauthtoken {token}");
    let found = queried(&http, &base, &authorization).await?;
    assert_eq!(found["data"][0]["Stage"], "Open");
    let channel = json!({
        "channel_id": "1000000068001",
        "events": ["Deals.all"],
        "notify_url": "https://hooks.example.com/zoho",
    });
    let body = json!({ "watch": [channel] });
    let post = http.post(&watch).header("Authorization", &authorization).json(&body);
    assert_eq!(post.send().await?.status(), 201);

    // Nothing was asked for, so that the channel ends after an hour.
    let by_hand = http.post(format!("{base}/_sim/clock")).json(&json!({ "advance": "61m" }));
    by_hand.send().await?;
    let list = http.get(&watch).header("Authorization", &authorization).send().await?;
    assert_eq!(list.status(), 401, "the access token is over, too");

    // Trouble on request: the next call is refused as Zoho refuses it.
    let rule = Rule::once(Fault::TooManyRequests);
    zoho.lock().map_err(|_| "a call of the simulator panicked")?.add_fault(rule);
    let throttled = http.get(&watch).header("Authorization", &authorization).send().await?;
    assert_eq!(throttled.status(), 429);

    let truth: Value = http.get(format!("{base}/_sim/truth")).send().await?.json().await?;
    println!("what was covered, and when: {truth}");
    server.abort();
    Ok(())
}

/// A record comes into being, and a query finds it.
async fn queried(
    http: &reqwest::Client,
    base: &str,
    authorization: &str,
) -> Result<Value, Box<dyn Error>> {
    let values = json!({ "Stage": "Open" });
    let change =
        json!({ "module": "Deals", "operation": "create", "ids": ["7"], "values": values });
    http.post(format!("{base}/_sim/records")).json(&change).send().await?;
    let query = json!({ "select_query": "select Stage from Deals where id = 7" });
    let ask = http.post(format!("{base}/crm/v8/coql")).header("Authorization", authorization);
    Ok(ask.json(&query).send().await?.json().await?)
}

async fn access_token(http: &reqwest::Client, base: &str) -> Result<String, Box<dyn Error>> {
    let form = [
        ("refresh_token", "1000.refresh-acme"),
        ("client_id", "1000.SIMACME"),
        ("client_secret", "secret-acme"),
        ("grant_type", "refresh_token"),
    ];
    let reply = http.post(format!("{base}/oauth/v2/token")).form(&form).send().await?;
    let reply: Value = reply.json().await?;
    Ok(reply["access_token"].as_str().ok_or("no token")?.to_owned())
}
