//! Over a real loopback socket, with the client that the daemon uses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::knobs::Length;
use super::super::{Fault, Knobs, Org, Rule, Zoho};
use super::{ClockFn, poster, serve};

struct Running {
    base: String,
    zoho: Arc<Mutex<Zoho>>,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    server: JoinHandle<std::io::Result<()>>,
    token: String,
}

impl Running {
    async fn start(org: Org) -> Running {
        let mut zoho = Zoho::new(Knobs::default());
        zoho.add_org(org);
        let zoho = Arc::new(Mutex::new(zoho));
        let clock: ClockFn =
            Arc::new(|| "2026-11-23T16:00:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _dropped_counts_as_well = stopped.await;
        };
        let server = tokio::spawn(serve(listener, Arc::clone(&zoho), clock, shutdown));
        let mut running =
            Running { base, zoho, client: poster(), stop, server, token: String::new() };
        running.token = running.access_token().await;
        running
    }

    async fn access_token(&self) -> String {
        let form = [
            ("refresh_token", "1000.refresh-a"),
            ("client_id", "1000.SIMA"),
            ("client_secret", "secret-a"),
            ("grant_type", "refresh_token"),
        ];
        let response = self
            .client
            .post(format!("{}/oauth/v2/token", self.base))
            .form(&form)
            .send()
            .await
            .unwrap();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["api_domain"], self.base);
        body["access_token"].as_str().unwrap().to_owned()
    }

    fn call(&self, method: reqwest::Method, query: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/crm/v8/actions/watch{query}", self.base);
        self.client
            .request(method, url)
            .header("Authorization", format!("Zoho-oauthtoken {}", self.token))
    }

    fn enable(&self, id: &str, notify_url: &str) -> reqwest::RequestBuilder {
        let item = json!({ "channel_id": id, "events": ["Deals.all"], "notify_url": notify_url });
        self.call(reqwest::Method::POST, "").body(json!({ "watch": [item] }).to_string())
    }

    async fn sim(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let call = self.client.request(method, format!("{}/_sim/{path}", self.base)).json(&body);
        call.send().await.unwrap().json().await.unwrap()
    }

    fn fault(&self, kind: Fault) {
        self.zoho.lock().unwrap().add_fault(Rule::once(kind));
    }

    fn live(&self) -> usize {
        self.zoho.lock().unwrap().channels("a", "2026-11-23T16:00:00Z".parse().unwrap()).len()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_channel_is_enabled_listed_and_disabled_over_http() {
    let running = Running::start(Org::new("a")).await;
    let enabled = running.enable("1", "https://hooks.test").send().await.unwrap();
    assert_eq!(enabled.status(), 201);
    assert_eq!(enabled.headers()["content-type"], "application/json;charset=UTF-8");
    assert_eq!(enabled.headers()["date"], "Mon, 23 Nov 2026 16:00:00 GMT");
    assert_eq!(enabled.headers().get_all("date").iter().count(), 1);
    let listed: Value =
        running.call(reqwest::Method::GET, "?page=1").send().await.unwrap().json().await.unwrap();
    assert_eq!(listed["info"]["count"], 1);
    let gone = running.call(reqwest::Method::DELETE, "?channel_ids=1%2C2").send().await.unwrap();
    assert_eq!(gone.status(), 207);
    let empty = running.call(reqwest::Method::GET, "").send().await.unwrap();
    assert_eq!((empty.status().as_u16(), empty.bytes().await.unwrap().len()), (204, 0));
    running.stop().await;
}

#[tokio::test]
async fn a_reset_is_a_lost_connection_before_or_after_the_call_was_applied() {
    let running = Running::start(Org::new("a")).await;
    for (fault, live) in [(Fault::ResetBefore, 0), (Fault::Refused, 0), (Fault::ResetAfter, 1)] {
        running.fault(fault);
        let error = running.enable("1", "https://hooks.test").send().await.unwrap_err();
        assert!(error.is_request(), "{error:?}");
        assert_eq!(running.live(), live);
    }
    assert_eq!(running.call(reqwest::Method::GET, "").send().await.unwrap().status(), 200);
    running.stop().await;
}

#[tokio::test]
async fn a_truncated_body_has_its_status_and_then_breaks_off() {
    let running = Running::start(Org::new("a")).await;
    running.fault(Fault::Truncated { keep: 12 });
    let response = running.enable("1", "https://hooks.test").send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert!(response.bytes().await.is_err());
    running.stop().await;
}

#[tokio::test]
async fn a_hang_is_never_answered_and_does_not_hold_up_the_end() {
    let running = Running::start(Org::new("a")).await;
    running.fault(Fault::HangAfter);
    let call = running.enable("1", "https://hooks.test").timeout(Duration::from_millis(100));
    assert!(call.send().await.unwrap_err().is_timeout());
    assert_eq!(running.live(), 1);
    running.fault(Fault::HangBefore);
    let hanging = tokio::spawn(running.enable("2", "https://hooks.test").send());
    while running.zoho.lock().unwrap().faults_applied().get("hang_before").is_none() {
        tokio::task::yield_now().await;
    }
    running.stop().await;
    assert!(hanging.await.unwrap().is_err());
}

#[tokio::test]
async fn calls_at_once_are_counted_while_they_are_delayed() {
    let running = Running::start(Org { concurrency: Some(1), ..Org::new("a") }).await;
    running.fault(Fault::Delay { by: Length(Duration::from_millis(300)) });
    let slow = tokio::spawn(running.call(reqwest::Method::GET, "").send());
    while running.zoho.lock().unwrap().faults_applied().get("delay").is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(running.call(reqwest::Method::GET, "").send().await.unwrap().status(), 429);
    assert_eq!(slow.await.unwrap().unwrap().status(), 204);
    assert_eq!(running.call(reqwest::Method::GET, "").send().await.unwrap().status(), 204);
    running.stop().await;
}

#[tokio::test]
async fn a_changed_record_is_posted_to_the_notify_url() {
    let running = Running::start(Org::new("a")).await;
    let (heard, mut hears) = tokio::sync::mpsc::channel::<Value>(1);
    let hook =
        axum::Router::new().fallback(move |axum::Json(body): axum::Json<Value>| async move {
            heard.send(body).await.unwrap();
        });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?from=zoho", listener.local_addr().unwrap());
    let hooked = tokio::spawn(axum::serve(listener, hook).into_future());
    running.enable("1", &url).send().await.unwrap();
    let change =
        json!({"module": "Deals", "operation": "edit", "ids": ["77"], "values": {"Stage": "Won"}});
    let reply = running.sim(reqwest::Method::POST, "records", change).await;
    assert_eq!(reply["deliveries"][0]["outcome"], 200);
    let body = hears.recv().await.unwrap();
    assert_eq!(
        (&body["operation"], &body["query_params"]),
        (&json!("update"), &json!({"from": "zoho"}))
    );
    hooked.abort();
    running.stop().await;
}

#[tokio::test]
async fn the_clock_can_be_moved_and_channels_expire() {
    let running = Running::start(Org::new("a")).await;
    running.enable("1", "https://hooks.test").send().await.unwrap();
    let clock = running.sim(reqwest::Method::POST, "clock", json!({"advance": "59m"})).await;
    assert_eq!(clock["now"], "2026-11-23T16:59:00Z");
    let listed = running.call(reqwest::Method::GET, "").send().await.unwrap();
    assert_eq!(
        (listed.status().as_u16(), &listed.headers()["date"]),
        (200, &"Mon, 23 Nov 2026 16:59:00 GMT".parse().unwrap())
    );
    running.sim(reqwest::Method::POST, "clock", json!({"advance": "1m"})).await;
    assert_eq!(running.call(reqwest::Method::GET, "").send().await.unwrap().status(), 401);
    let state = running.sim(reqwest::Method::GET, "state", Value::Null).await;
    assert_eq!(state["orgs"]["a"]["channels"][0]["live"], false);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_zoho_is_refused_politely() {
    let running = Running::start(Org::new("a")).await;
    let response =
        running.client.get(format!("{}/desk/v8/Leads", running.base)).send().await.unwrap();
    assert_eq!(response.status(), 404);
    let nothing = running.sim(reqwest::Method::GET, "nothing", Value::Null).await;
    assert_eq!(nothing["error"], "no GET /_sim/nothing");
    let long = vec![b' '; 9 * 1024 * 1024];
    let refused = running.call(reqwest::Method::POST, "").body(long).send().await;
    assert!(refused.is_err() || refused.is_ok_and(|response| response.status() == 413));
    running.stop().await;
}
