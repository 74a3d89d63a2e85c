//! The read-only listener: health, metrics, status and the page.
//!
//! Each answer is computed from the overview as it is at that moment. Nothing can be changed here,
//! and every path knows GET and HEAD only. Probes read the status code: 200 is yes, 503 is no. Who
//! is answered at all is [`Door`]'s, and how many at once [`super::serve`]'s.
//!
//! `/livez` is for what restarts the daemon, `/readyz` for what waits for it, `/healthz` for what
//! calls a person: degraded is 200 there and says so, `?strict` makes it 503.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::time::Timestamp;

use super::access::Door;
use super::health::{self, Health};
use super::lookups::Lookups;
use super::metrics;
use super::overview::{LoopAge, Measured, Overview};
use super::page::{ChannelPage, FrontView, Query, missing, not_found, policy};
use super::serve::{self, BRISK};
use super::status::{ChannelView, HealthView, StatusView};
use super::summary::Summary;

/// The parts that are shown.
#[derive(Clone)]
pub(crate) struct Shown {
    /// The latest overview.
    pub overview: watch::Receiver<Arc<Overview>>,
    /// How long ago the loop last turned.
    pub loop_age: Arc<dyn Fn() -> LoopAge + Send + Sync>,
    /// The measurements taken beside the passes.
    pub measured: Arc<dyn Fn() -> Measured + Send + Sync>,
    /// For `now`.
    pub clock: Arc<dyn Clock>,
    /// The store's memory, for the pages.
    pub memory: Lookups,
}

/// Every path, behind a door.
pub(crate) fn router(shown: Shown, door: Door) -> Router {
    Router::new()
        .route("/", get(front))
        .route("/channels/{account}/{name}", get(channel_page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .route("/healthz/channels/{name}", get(channel))
        .route("/metrics", get(scrape))
        .route("/api/v1/status", get(status))
        .route("/api/v1/summary", get(summary))
        .route("/status", get(front))
        .fallback(nowhere)
        .layer(from_fn_with_state(Arc::new(door), guarded))
        .with_state(shown)
}

/// Serves until `shutdown`, then lets what is under way end.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    serve::serve(listener, router, BRISK, |_| Some(()), shutdown).await;
}

/// One channel, as `/healthz/channels/{name}` answers it.
#[derive(Debug, Serialize)]
struct ChannelHealth {
    account: String,
    #[serde(flatten)]
    channel: ChannelView,
}

impl Shown {
    fn overview(&self) -> Arc<Overview> {
        self.overview.borrow().clone()
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn health(&self) -> Health {
        health::health(&self.overview(), (self.loop_age)(), self.now())
    }

    fn view(&self) -> StatusView {
        StatusView::of(&self.overview(), (self.loop_age)(), self.now())
    }
}

async fn livez(State(shown): State<Shown>) -> Response {
    let age = (shown.loop_age)();
    probe((!shown.health().live).then(|| format!("the loop last turned {} s ago", age.0.as_secs())))
}

async fn readyz(State(shown): State<Shown>) -> Response {
    probe(shown.health().not_ready)
}

fn probe(trouble: Option<String>) -> Response {
    match trouble {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

async fn healthz(State(shown): State<Shown>, RawQuery(query): RawQuery) -> Response {
    let strict = query
        .unwrap_or_default()
        .split('&')
        .any(|key| key == "strict" || key.starts_with("strict="));
    let health = shown.health();
    let severity = health.status.severity();
    let code = if strict { severity.http_strict } else { severity.http };
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (code, Json(HealthView::of(&health))).into_response()
}

async fn channel(State(shown): State<Shown>, Path(name): Path<String>) -> Response {
    let mut all = shown.view().accounts.into_iter().flat_map(|account| {
        let name = account.name;
        account
            .channels
            .into_iter()
            .map(move |channel| ChannelHealth { account: name.clone(), channel })
    });
    match all.find(|one| one.channel.name == name) {
        Some(found) => (yes_unless(!found.channel.covered), Json(found)).into_response(),
        None => (StatusCode::NOT_FOUND, "no such channel\n").into_response(),
    }
}

async fn scrape(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let accept =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    let format = metrics::Format::asked(&accept.join(","));
    let body =
        metrics::encode(&shown.overview(), &(shown.measured)(), (shown.loop_age)(), shown.now());
    ([(CONTENT_TYPE, format.content_type()), (VARY, "accept")], format.of(body)).into_response()
}

async fn status(State(shown): State<Shown>) -> Json<StatusView> {
    Json(shown.view())
}

async fn summary(State(shown): State<Shown>) -> Json<Summary> {
    Json(Summary::of(&shown.overview(), (shown.loop_age)(), shown.now()))
}

async fn front(State(shown): State<Shown>, RawQuery(query): RawQuery) -> Html<String> {
    let query = Query::parse(&query.unwrap_or_default());
    let age = (shown.loop_age)();
    Html(FrontView::of(&shown.overview(), age, &shown.memory, query, shown.now()).page())
}

async fn channel_page(
    State(shown): State<Shown>,
    Path((account, name)): Path<(String, String)>,
) -> Response {
    let (age, now) = ((shown.loop_age)(), shown.now());
    match ChannelPage::of(&shown.overview(), age, &shown.memory, (&account, &name), now) {
        Some(page) => Html(page.page()).into_response(),
        None => (StatusCode::NOT_FOUND, Html(missing(&account, &name, now))).into_response(),
    }
}

/// A path that is none: a page for a browser, a line for a program.
async fn nowhere(State(shown): State<Shown>, request: Request) -> Response {
    let is_browser = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let answer = match is_browser {
        true => Html(not_found(request.uri().path(), shown.now())).into_response(),
        false => "no such path\n".into_response(),
    };
    (StatusCode::NOT_FOUND, answer).into_response()
}

fn yes_unless(no: bool) -> StatusCode {
    if no { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

/// Who is not let in gets no answer of a path; and no answer is kept, guessed at, framed, read by
/// another site, or allowed to load or run anything.
async fn guarded(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let mut response = match door.refuses(&request) {
        None => next.run(request).await,
        Some(refused) => refused.into_response(),
    };
    let is_unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    if is_unauthorized {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy()));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

#[cfg(test)]
mod tests;
