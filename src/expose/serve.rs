//! Connections within bounds: what the health listener, the control socket and `listen` share.
//!
//! Whoever can connect can be slow, or many. So the head of a request has a size and a time, and
//! there are only so many connections. When one more comes, the one that has been open longest
//! without an answer being made for it is closed: a thousand clients that say nothing keep nobody
//! out, and `/livez` goes on answering. Only when an answer is being made for every single one is
//! the newcomer turned away.
//!
//! Deliberately absent: limits on the size and the time of a body, which its reader sets. A body
//! that a handler does not read is left unread: its connection is closed after the answer.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// How many connections there may be, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// The most at once.
    pub connections: usize,
    /// How long one may be used, however many requests it carries; without it, as long as its
    /// requests take.
    pub life: Option<Duration>,
}

/// The limits of a listener whose answers are made at once.
pub(crate) const BRISK: ConnectionLimits =
    ConnectionLimits { connections: 64, life: Some(Duration::from_secs(30)) };

/// Serves until `shutdown`, then lets what is under way end, for two seconds at most. `admit` says
/// of each connection who it is, which handlers find among the request's extensions, or that it is
/// closed unheard.
pub(crate) async fn serve<L, P>(
    mut listener: L,
    router: Router,
    limits: ConnectionLimits,
    admit: impl Fn(&L::Io) -> Option<P>,
    shutdown: CancellationToken,
) where
    L: Listener,
    P: Clone + Send + Sync + 'static,
{
    let mut tasks = JoinSet::new();
    let mut held: Vec<OpenConnection> = Vec::new();
    loop {
        let (io, _) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_ended) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Some(peer) = admit(&io) else { continue };
        held.retain(|one| !one.task.is_finished());
        if held.len() >= limits.connections {
            let Some(waiting) =
                held.iter().position(|one| !one.is_answered.load(Ordering::Relaxed))
            else {
                continue;
            };
            held.remove(waiting).task.abort();
        }
        let is_answered = Arc::new(AtomicBool::new(false));
        let service = Answering {
            service: TowerToHyperService::new(router.clone()),
            is_answered: is_answered.clone(),
        };
        let connection = connection(
            io,
            move |request| service.call(request, &peer),
            limits.life,
            shutdown.clone(),
        );
        held.push(OpenConnection { is_answered, task: tasks.spawn(connection) });
        // However many wait to be accepted, whoever asks at once is heard before the rest of them
        // comes.
        tokio::task::yield_now().await;
    }
    drop(listener);
    let ended = async { while tasks.join_next().await.is_some() {} };
    let _cut_off = tokio::time::timeout(GRACE, ended).await;
}

/// A connection that is open, in the order they came.
struct OpenConnection {
    is_answered: Arc<AtomicBool>,
    task: AbortHandle,
}

/// The router, and whether it is at work for this connection.
struct Answering {
    service: TowerToHyperService<Router>,
    is_answered: Arc<AtomicBool>,
}

impl Answering {
    fn call<P: Clone + Send + Sync + 'static>(
        &self,
        mut request: hyper::Request<Incoming>,
        peer: &P,
    ) -> impl Future<Output = Result<axum::response::Response, Infallible>> + use<P> {
        request.extensions_mut().insert(peer.clone());
        let is_too_large = head_length(&request) > HEAD_MAX;
        let (answer, is_answered) = (self.service.call(request), self.is_answered.clone());
        is_answered.store(true, Ordering::Relaxed);
        async move {
            let answer = match is_too_large {
                true => Ok(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response()),
                false => answer.await,
            };
            is_answered.store(false, Ordering::Relaxed);
            answer
        }
    }
}

async fn connection<I, F, A>(io: I, call: F, life: Option<Duration>, shutdown: CancellationToken)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    F: Fn(hyper::Request<Incoming>) -> A,
    A: Future<Output = Result<axum::response::Response, Infallible>>,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(io), service_fn(call)));
    tokio::select! {
        // An error is the other side's: it went away, or spoke no HTTP.
        _ended = served.as_mut() => return,
        () = shutdown.cancelled() => {}
        () = elapsed(life) => {}
    }
    served.as_mut().graceful_shutdown();
    match life {
        Some(_) => drop(tokio::time::timeout(GRACE, served).await),
        None => drop(served.await),
    }
}

/// How long a head is, as it came. The buffer's bound is not exact: it holds what was read at once.
fn head_length<B>(request: &hyper::Request<B>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter();
    let length = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let line = request.method().as_str().len() + target + " HTTP/1.1\r\n ".len();
    line + headers.map(length).sum::<usize>() + "\r\n".len()
}

async fn elapsed(life: Option<Duration>) {
    let never = std::future::pending::<()>();
    match life {
        Some(life) => drop(tokio::time::timeout(life, never).await),
        None => never.await,
    }
}

/// How long the head of a request may take, and how long a connection may be kept without one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// No head is longer, with the cookies that a browser has of other programs on this host.
const HEAD_MAX: usize = 64 * 1024;
/// How long what is under way may take at the end.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
