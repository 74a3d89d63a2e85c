//! A small world for the tests of this folder: one org, one access token, one clock.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Fault, Knobs, Org, Rule, TimedReply, Zoho};
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;
use crate::model::time;

pub(crate) const BASE: &str = "https://www.zohoapis.test";

pub(crate) struct World {
    pub(crate) zoho: Zoho,
    pub(crate) now: Timestamp,
    pub(crate) access_token: String,
    pub(crate) version: &'static str,
}

impl World {
    pub(crate) fn new(knobs: Knobs) -> World {
        World::with_org(knobs, Org::new("a"))
    }

    pub(crate) fn with_org(knobs: Knobs, org: Org) -> World {
        let mut zoho = Zoho::new(knobs);
        zoho.add_org(org);
        let now = "2026-11-23T16:00:00Z".parse().unwrap();
        let mut world = World { zoho, now, access_token: String::new(), version: "v8" };
        let body = body(&world.token_call(REFRESH));
        world.access_token = body["access_token"].as_str().unwrap().to_owned();
        world
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = time::after(self.now, std::time::Duration::from_secs(seconds));
    }

    /// How `seconds` from now are written in a request.
    pub(crate) fn ahead(&self, seconds: i64) -> String {
        Timestamp::from_second(self.now.as_second() + seconds).unwrap().to_string()
    }

    pub(crate) fn fault(&mut self, kind: Fault) {
        self.zoho.add_fault(Rule::once(kind));
    }

    pub(crate) fn request(
        &self,
        method: &'static str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Request {
        let product = self.zoho.orgs().next().map_or(Product::Crm, |org| org.product);
        Request {
            method,
            base: BASE.to_owned(),
            path: format!("/{}/{}/actions/watch", product.traits().path, self.version),
            query: query
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            headers: vec![(
                "authorization".to_owned(),
                format!("Zoho-oauthtoken {}", self.access_token),
            )],
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        }
    }

    pub(crate) fn answer(&mut self, request: &Request) -> TimedReply {
        self.zoho.answer(request, self.now)
    }

    pub(crate) fn send(
        &mut self,
        method: &'static str,
        query: &[(&str, &str)],
        body: &Value,
    ) -> Response {
        let request = self.request(method, query, body);
        self.answer(&request).reply.response().cloned().expect("a response")
    }

    /// A GET of this path below the version: `Deals?fields=id`. The header is `If-Modified-Since`.
    pub(crate) fn read(&mut self, path: &str, since: Option<&str>) -> Response {
        let mut request = self.request("GET", &[], &Value::Null);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        request.path = request.path.replace("actions/watch", path);
        request.query = super::form::pairs(query);
        request.headers.extend(since.map(|at| ("if-modified-since".to_owned(), at.to_owned())));
        self.answer(&request).reply.response().cloned().expect("a response")
    }

    /// The answer to a COQL query.
    pub(crate) fn query(&mut self, text: &str) -> Response {
        self.post_query(&json!({ "select_query": text }))
    }

    /// The answer to this body of a COQL call.
    pub(crate) fn post_query(&mut self, body: &Value) -> Response {
        let mut request = self.request("POST", &[], body);
        request.path = request.path.replace("actions/watch", "coql");
        self.answer(&request).reply.response().cloned().expect("a response")
    }

    /// A write of these items: status and items of the reply.
    pub(crate) fn write(&mut self, method: &'static str, items: &[Value]) -> (u16, Vec<Value>) {
        let response = self.send(method, &[], &json!({ "watch": items }));
        (response.status, body(&response)["watch"].as_array().cloned().unwrap_or_default())
    }

    /// The rows of a GET.
    pub(crate) fn rows(&mut self) -> Vec<Value> {
        let response = self.send("GET", &[], &Value::Null);
        if response.status == 204 {
            return Vec::new();
        }
        body(&response)["watch"].as_array().cloned().unwrap()
    }

    pub(crate) fn token_call(&mut self, form: &str) -> Response {
        let request = Request {
            method: "POST",
            base: BASE.to_owned(),
            path: "/oauth/v2/token".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: form.as_bytes().to_vec(),
        };
        self.answer(&request).reply.response().cloned().expect("a response")
    }
}

pub(crate) const REFRESH: &str = "refresh_token=1000.refresh-a&client_id=1000.SIMA&client_secret=secret-a&grant_type=refresh_token";

pub(crate) fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("a JSON body")
}

/// A channel as a client sends it.
pub(crate) fn channel(id: &str, events: &[&str]) -> Value {
    json!({ "channel_id": id, "events": events, "notify_url": "https://hooks.test/zoho?k=v", "token": "t0" })
}
