//! The simulator's face: plain HTTP over the state.
//!
//! The lock is held for one call of the state and never while waiting. A reset cuts the connection
//! under the server; a hang waits until the client or the server goes away; a truncated body
//! promises its whole length and breaks off.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Query, Request as HttpRequest, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response as HttpResponse;
use axum::serve::{IncomingStream, Listener};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::admin::AdminCall;
use super::change::Delivery;
use super::reply::{JSON_TYPE, Reply, TimedReply, http_date};
use super::state::Zoho;
use crate::model::exchange::{Request, Response};

/// Where the real time comes from; the simulator's own clock may be ahead of it (`/_sim/clock`).
pub type ClockFn = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Serves until `shutdown`, then cuts every connection: nothing that hangs can hold it up.
pub async fn serve(
    listener: TcpListener,
    zoho: Arc<Mutex<Zoho>>,
    clock: ClockFn,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let base = format!("http://{}", listener.local_addr()?);
    let over = CancellationToken::new();
    let face = Face { zoho, clock, ahead: Arc::default(), base, poster: poster() };
    let router = Router::new().fallback(handle).with_state(face);
    let listener = CuttableListener { inner: listener, over: over.clone() };
    let service = router.into_make_service_with_connect_info::<Cut>();
    let until = async move {
        shutdown.await;
        over.cancel();
    };
    axum::serve(listener, service).with_graceful_shutdown(until).await
}

#[derive(Clone)]
struct Face {
    zoho: Arc<Mutex<Zoho>>,
    clock: ClockFn,
    ahead: Arc<Mutex<SignedDuration>>,
    base: String,
    poster: reqwest::Client,
}

async fn handle(
    State(face): State<Face>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: HttpRequest,
) -> HttpResponse {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long or broke off");
    };
    let path = parts.uri.path().to_owned();
    if path.starts_with("/_sim/") {
        return face.admin(parts.method.as_str(), &path, &body).await;
    }
    let Some(method) = method_of(&parts.method) else {
        return plain(StatusCode::NOT_IMPLEMENTED, "no such method");
    };
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
        .map(|Query(pairs)| pairs)
        .unwrap_or_default();
    let base = face.base_for(&parts.headers);
    let headers = lower(&parts.headers);
    let request = Request { method, base, path, query, headers, body: body.to_vec() };
    let Some(under_way) = face.enter(&request) else {
        let answer = face.answer(&request);
        return realise(answer, &cut).await;
    };
    let answer = face.answer(&request);
    let due = lock(&face.zoho).take_deliveries();
    face.post_all(due).await;
    let response = realise(answer, &cut).await;
    drop(under_way);
    response
}

impl Face {
    fn now(&self) -> Timestamp {
        let ahead = *lock(&self.ahead);
        (self.clock)().checked_add(ahead).unwrap_or(Timestamp::MAX)
    }

    fn answer(&self, request: &Request) -> TimedReply {
        let now = self.now();
        lock(&self.zoho).answer(request, now)
    }

    fn enter(&self, request: &Request) -> Option<CallUnderWay> {
        let org = lock(&self.zoho).enter(request)?;
        Some(CallUnderWay { zoho: Arc::clone(&self.zoho), org })
    }

    /// The base under which the client reached us, so that `api_domain` leads back here.
    fn base_for(&self, headers: &HeaderMap) -> String {
        let host = headers.get("host").and_then(|host| host.to_str().ok());
        host.map_or_else(|| self.base.clone(), |host| format!("http://{host}"))
    }

    async fn admin(&self, method: &str, path: &str, body: &[u8]) -> HttpResponse {
        let now = self.now();
        let outcome = {
            let mut ahead = lock(&self.ahead);
            let call = AdminCall { method, path, body };
            lock(&self.zoho).admin(call, &mut ahead, now)
        };
        let mut body = outcome.body;
        if path == "/_sim/records" && method != "GET" && outcome.status == 200 {
            body["deliveries"] = json!(self.post_all(outcome.deliveries).await);
        }
        let headers = vec![
            ("content-type".to_owned(), JSON_TYPE.to_owned()),
            ("date".to_owned(), http_date(self.now())),
        ];
        respond(Response { status: outcome.status, headers, body: body.to_string().into_bytes() })
    }

    /// Posts one delivery after the other, each once, and says how it went.
    async fn post_all(&self, deliveries: Vec<Delivery>) -> Vec<Value> {
        let mut posted = Vec::new();
        for delivery in deliveries {
            let url = &delivery.notify_url;
            let (taken, outcome) = match self.poster.post(url).json(&delivery.body).send().await {
                Ok(response) => (response.status().is_success(), json!(response.status().as_u16())),
                Err(error) => (false, json!(error.without_url().to_string())),
            };
            if !taken {
                lock(&self.zoho).undelivered(&delivery);
            }
            posted.push(json!({ "org": delivery.org, "channel_id": delivery.channel, "notify_url": url, "outcome": outcome }));
        }
        posted
    }
}

/// One call under way; it is over when this is dropped, also when the client went away in the
/// middle.
struct CallUnderWay {
    zoho: Arc<Mutex<Zoho>>,
    org: String,
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        lock(&self.zoho).leave(&self.org);
    }
}

/// Makes an answer happen on the connection.
async fn realise(answer: TimedReply, cut: &Cut) -> HttpResponse {
    if !answer.delay.is_zero() {
        tokio::select! {
            () = wait(answer.delay) => {}
            () = cut.0.cancelled() => {}
        }
    }
    match answer.reply {
        Reply::Response(response) => respond(response),
        Reply::Truncated(response, keep) => truncate(response, keep),
        Reply::Reset | Reply::Refused => {
            cut.0.cancel();
            plain(StatusCode::OK, "")
        }
        Reply::Hang => {
            cut.0.cancelled().await;
            plain(StatusCode::OK, "")
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a simulated delay is real time on a real socket")]
async fn wait(length: Duration) {
    tokio::time::sleep(length).await;
}

fn respond(response: Response) -> HttpResponse {
    let Response { status, headers, body } = response;
    build(status, &headers, Body::from(body))
}

/// Promises the whole body, sends a part of it, and breaks off.
fn truncate(response: Response, keep: usize) -> HttpResponse {
    let Response { status, mut headers, mut body } = response;
    headers.push(("content-length".to_owned(), body.len().to_string()));
    body.truncate(keep);
    let stream = tokio_stream::iter([Some(body), None]).then(part_or_break);
    build(status, &headers, Body::from_stream(stream))
}

/// A part of a body; then, when there was time to send it, an error, on which the server drops the
/// connection.
async fn part_or_break(part: Option<Vec<u8>>) -> io::Result<Vec<u8>> {
    let Some(part) = part else {
        wait(BREAK_AFTER).await;
        return Err(io::ErrorKind::ConnectionReset.into());
    };
    Ok(part)
}

fn build(status: u16, headers: &[(String, String)], body: Body) -> HttpResponse {
    let builder = HttpResponse::builder().status(status);
    let builder =
        headers.iter().fold(builder, |builder, (name, value)| builder.header(name, value));
    builder.body(body).unwrap_or_else(|_| {
        plain(StatusCode::INTERNAL_SERVER_ERROR, "a header that cannot be sent")
    })
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    let mut response = HttpResponse::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn method_of(method: &Method) -> Option<&'static str> {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|name| *name == method.as_str())
}

fn lower(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(pair).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client that posts deliveries.
fn poster() -> reqwest::Client {
    // An error says that somebody installed a provider before, which is all that is wanted.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(DELIVERY_TIMEOUT).build().unwrap_or_default()
}

/// Cuts one connection: from then on its socket only gives errors.
#[derive(Clone)]
struct Cut(CancellationToken);

impl Connected<IncomingStream<'_, CuttableListener>> for Cut {
    fn connect_info(stream: IncomingStream<'_, CuttableListener>) -> Cut {
        Cut(stream.io().cut.clone())
    }
}

struct CuttableListener {
    inner: TcpListener,
    over: CancellationToken,
}

impl Listener for CuttableListener {
    type Io = Cuttable;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Cuttable, SocketAddr) {
        let (inner, address) = Listener::accept(&mut self.inner).await;
        (Cuttable { inner, cut: self.over.child_token() }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection that can be cut from within a call.
struct Cuttable {
    inner: TcpStream,
    cut: CancellationToken,
}

impl Cuttable {
    fn intact(&self) -> io::Result<()> {
        if self.cut.is_cancelled() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.intact()?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.intact()?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.intact()?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The longest request body that is read.
const BODY_MAX: usize = 8 * 1024 * 1024;
/// How long a truncated body holds its connection, so that its part arrives before the break.
const BREAK_AFTER: Duration = Duration::from_millis(20);
/// How long one delivery may take.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
