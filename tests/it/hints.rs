//! The requests that `gaps` prints, sent to the simulator word for word: each is understood, finds
//! what a gap missed, and can be read on from as it says.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use channelkeeper::coverage::backfill::{HintRequest, backfill};
use channelkeeper::model::account::ApiBase;
use channelkeeper::model::events::{Events, Operation};
use channelkeeper::model::product::Product;
use channelkeeper::model::time::Timestamp;
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::{Change, Knobs, Org, Request, Response, Zoho};
use serde_json::Value;

const BEFORE: &str = "2026-01-01T09:00:00Z";
const FROM: &str = "2026-01-01T10:00:00.5Z";
const WITHIN: &str = "2026-01-01T11:00:00Z";
const TO: &str = "2026-01-01T12:00:00Z";
const NOW: &str = "2026-01-01T12:00:30Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// Somebody who sends what is printed.
struct Reader {
    zoho: Zoho,
    token: String,
}

impl Reader {
    fn new(product: Product) -> Reader {
        let mut zoho = Zoho::new(Knobs::default());
        zoho.add_org(Org::of(product, "a").reading());
        let form = "grant_type=refresh_token&refresh_token=1000.refresh-a&client_id=1000.SIMA\
                    &client_secret=secret-a";
        let mut reader = Reader { zoho, token: String::new() };
        let reply = reader.call(request("POST", "https://z.test/oauth/v2/token", form));
        reader.token = body(&reply)["access_token"].as_str().expect("a token").to_owned();
        reader
    }

    fn call(&mut self, mut request: Request) -> Response {
        let token = format!("Zoho-oauthtoken {}", self.token);
        request.headers.push(("authorization".to_owned(), token));
        let reply = self.zoho.answer(&request, at(NOW)).reply;
        reply.response().cloned().expect("a response")
    }

    fn send(&mut self, hint: &HintRequest, body: Option<&str>) -> Response {
        let method = if hint.method == "POST" { "POST" } else { "GET" };
        let text = body.or(hint.body.as_deref()).unwrap_or_default();
        let mut request = request(method, &hint.url, text);
        if let Some((name, value)) = hint.header.as_deref().and_then(|line| line.split_once(": ")) {
            request.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        self.call(request)
    }

    fn tell(&mut self, module: &str, operation: Operation, ids: &[u64], when: &str) {
        self.zoho.record_changed("a", &Change::of(module, operation, ids), at(when));
    }
}

fn request(method: &'static str, url: &str, body: &str) -> Request {
    let (base, path) = url.split_at(url.find(".test").expect("a test host") + ".test".len());
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Request {
        method,
        base: base.to_owned(),
        path: path.to_owned(),
        query: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    }
}

fn body(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_default()
}

fn ids(response: &Response) -> BTreeSet<u64> {
    let told = body(response);
    let rows = told["data"].as_array().or_else(|| told["users"].as_array()).into_iter().flatten();
    rows.filter_map(|row| row["id"].as_str()?.parse().ok()).collect()
}

/// One module of each product, and each version.
fn apis() -> Vec<(Product, ApiVersion, &'static str)> {
    let module = |product| match product {
        Product::Crm | Product::Vertical => "Leads",
        Product::Bigin => "Pipelines",
        Product::Recruit => "Candidates",
    };
    let versions = |product: Product| {
        product.traits().versions.iter().map(move |version| (product, *version, module(product)))
    };
    Product::ALL.into_iter().flat_map(versions).collect()
}

fn hints(product: Product, version: ApiVersion, events: &[String]) -> Vec<HintRequest> {
    let url = format!("https://z.test{}", product.api_path(version));
    let events: Events = events.iter().map(String::as_str).collect();
    backfill(&events, at(FROM), Some(at(TO)), at(NOW), &ApiBase { product, version, url }).requests
}

#[test]
fn every_request_that_gaps_prints_is_understood_and_finds_what_was_missed() {
    for (product, version, module) in apis() {
        let mut reader = Reader::new(product);
        reader.tell(module, Operation::Create, &[1, 2, 3], BEFORE);
        reader.tell(module, Operation::Edit, &[2], WITHIN);
        reader.tell(module, Operation::Delete, &[3], WITHIN);
        reader.tell(module, Operation::Create, &[4, 5], WITHIN);
        reader.zoho.convert("a", module, &[5], at(WITHIN));
        let mut found = BTreeSet::new();
        for hint in hints(product, version, &[format!("{module}.all")]) {
            let response = reader.send(&hint, None);
            assert_eq!(response.status, 200, "{hint:#?}: {}", body(&response));
            found.extend(ids(&response));
        }
        assert!([2, 3, 4].iter().all(|id| found.contains(id)), "{product} {version}: {found:?}");
        assert!(!found.contains(&1), "{product} {version}: 1 did not change");
        let is_crm = product.traits().path == Product::Crm.traits().path;
        assert_eq!(found.contains(&5), is_crm, "{product} {version}: converted leads are CRM's");
    }
}

#[test]
fn users_are_found_with_those_deleted() {
    for (product, version, _) in apis() {
        let mut reader = Reader::new(product);
        reader.tell("users", Operation::Create, &[1, 2], BEFORE);
        reader.tell("users", Operation::Delete, &[2], WITHIN);
        reader.tell("users", Operation::Create, &[3], WITHIN);
        let [hint] = hints(product, version, &["users.all".to_owned()]).try_into().expect("one");
        assert_eq!(ids(&reader.send(&hint, None)), [2, 3].into(), "{product} {version}");
    }
}

/// As each query says of itself: from the last time of the page on, with one more criterion.
fn read_on(hint: &HintRequest, (time, id): (&str, u64)) -> String {
    let text = hint.body.clone().expect("a query");
    let field =
        if text.contains("(Created_Time between") { "Created_Time" } else { "Modified_Time" };
    let (head, tail) = text.split_once("between '").expect("bounds");
    let (_, tail) = tail.split_once('\'').expect("a bound");
    let mut read_on = format!("{head}between '{time}'");
    let order = tail.find(" order by").expect("an order");
    let more = format!(" and ({field} > '{time}' or id > {id})");
    write!(read_on, "{}{more}{}", &tail[..order], &tail[order..]).expect("a string takes all");
    read_on
}

#[test]
fn each_query_can_be_read_on_as_it_says() {
    let all: Vec<u64> = (1..=450).collect();
    for (product, version, module) in apis() {
        let mut reader = Reader::new(product);
        reader.tell(module, Operation::Create, &all, WITHIN);
        let is_query = |hint: &HintRequest| hint.method == "POST";
        for hint in hints(product, version, &[format!("{module}.all")]).into_iter().filter(is_query)
        {
            if hint.finds.contains("converted") {
                reader.zoho.convert("a", module, &all, at(WITHIN));
            }
            let mut response = reader.send(&hint, None);
            let mut found = ids(&response);
            while response.status == 200 {
                let page = body(&response)["data"].as_array().cloned().unwrap_or_default();
                let last = page.last().expect("a page has rows");
                let (time, id) = (&last["Modified_Time"], &last["id"]);
                let id: u64 = id.as_str().and_then(|id| id.parse().ok()).expect("an id");
                let query = read_on(&hint, (time.as_str().expect("a time"), id));
                response = reader.send(&hint, Some(&query));
                let (status, told) = (response.status, body(&response));
                assert!(matches!(status, 200 | 204), "{query}: {told}");
                found.extend(ids(&response));
            }
            assert_eq!(found.len(), all.len(), "{product} {version}: {hint:#?}");
        }
    }
}
