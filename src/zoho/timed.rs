//! A transport that times what it carries, and learns from it how much the way bears.
//!
//! It stands at the seam and not in the client, so that one histogram holds the calls of all
//! accounts and outlives a reload. A call counts when it ends, whatever came of it; one that is
//! dropped half-way does not.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Clock;
use crate::model::exchange::Request;
use crate::model::latency::{Latencies, Server};

use super::auth::TOKEN_PATH;
use super::transport::{Exchange, Transport};
use super::window::Window;

/// Another transport, timed.
pub(crate) struct Timed {
    inner: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    latencies: Mutex<Latencies>,
    window: Arc<Window>,
}

impl Timed {
    /// Times this one.
    pub(crate) fn new(inner: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Timed {
        Timed { inner, clock, latencies: Mutex::default(), window: Arc::default() }
    }

    /// How many accounts may be served at once, as the calls so far went.
    pub(crate) fn window(&self) -> &Arc<Window> {
        &self.window
    }

    /// How long calls took so far.
    pub(crate) fn latencies(&self) -> Latencies {
        self.latencies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Transport for Timed {
    fn send(&self, request: Request) -> Exchange<'_> {
        let server = if request.path == TOKEN_PATH { Server::Accounts } else { Server::Api };
        let (method, started) = (request.method, self.clock.elapsed());
        Box::pin(async move {
            let result = self.inner.send(request).await;
            self.window.ended(&result);
            let took = self.clock.elapsed().saturating_sub(started);
            let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
            latencies.entry((server, method)).or_default().add(took);
            result
        })
    }
}

impl fmt::Debug for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").finish_non_exhaustive()
    }
}
