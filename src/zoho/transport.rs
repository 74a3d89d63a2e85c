//! Who carries a request.
//!
//! [`Transport`] is the seam between the daemon and the network. [`Http`] is reqwest, set up as
//! `https.rs` says, with time-outs on connecting and on the whole exchange. Bodies are bounded as
//! they are unpacked, before they are read.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::sync::Semaphore;

use crate::https::{self, words};
use crate::model::exchange::{Request, Response};

pub use crate::https::{SetupError, client, install_crypto};

/// The future of one exchange.
pub type Exchange<'a> = Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send + 'a>>;

/// Carries one request there and one response back.
pub trait Transport: Send + Sync {
    /// Sends it, once.
    fn send(&self, request: Request) -> Exchange<'_>;
}

/// The reason why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The request never left: DNS, connect, TLS.
    #[error("could not connect: {0}")]
    NotSent(String),
    /// It was not sent, because this process may not write any more.
    #[error("not sent: {0}")]
    Withheld(String),
    /// It may have arrived: time-out, reset, a reply cut short.
    #[error("no usable reply: {0}")]
    Lost(String),
}

/// The most of a reply that is read. A full page of 200 rows is far below it.
pub const REPLY_MAX: usize = 8 * 1024 * 1024;

/// A reply up to this is read at once; a full page of 200 rows is smaller.
const REPLY_USUAL: usize = 256 * 1024;
/// So many larger ones are read at once, which is 64 MiB at most.
const LARGE_AT_ONCE: usize = 8;

/// The network.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    reads_body: bool,
    /// Room for replies that are read beyond [`REPLY_USUAL`] at once: however many accounts are
    /// served side by side, their answers together have a bound.
    large: Arc<Semaphore>,
}

impl Http {
    /// A client for all accounts: they share its connections.
    pub fn new(
        connect: Duration,
        total: Duration,
        ca_file: Option<&Path>,
    ) -> Result<Http, SetupError> {
        let builder = client()?.connect_timeout(connect).timeout(total);
        Http::of(builder, ca_file)
    }

    /// The same, for one who may lose the right to write: the kernel gives a connection up when an
    /// acknowledgement is so late.
    pub fn impatient(
        connect: Duration,
        total: Duration,
        ca_file: Option<&Path>,
        user_timeout: Duration,
    ) -> Result<Http, SetupError> {
        let builder = client()?.connect_timeout(connect).timeout(total);
        Http::of(builder.tcp_user_timeout(user_timeout), ca_file)
    }

    fn of(builder: reqwest::ClientBuilder, ca_file: Option<&Path>) -> Result<Http, SetupError> {
        let client = https::build(builder, ca_file)?;
        Ok(Http { client, reads_body: true, large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) })
    }

    /// The same, for replies whose status alone counts: nothing behind their head is read.
    #[must_use]
    pub fn reading_no_body(self) -> Http {
        Http { reads_body: false, ..self }
    }

    async fn exchange(&self, request: Request) -> Result<Response, TransportError> {
        let url = format!("{}{}", request.base, request.path);
        let method = reqwest::Method::from_bytes(request.method.as_bytes())
            .map_err(|error| TransportError::NotSent(error.to_string()))?;
        let mut builder = self.client.request(method, url).query(&request.query).body(request.body);
        for (name, value) in request.headers {
            builder = builder.header(&name, header_value(&name, value)?);
        }
        let reply = builder.send().await.map_err(|error| classify(&error))?;
        let status = reply.status().as_u16();
        let headers = reply.headers().iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let headers = headers.collect();
        let body =
            if self.reads_body { bounded_body(reply, &self.large).await? } else { Vec::new() };
        Ok(Response { status, headers, body })
    }
}

impl Transport for Http {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.exchange(request))
    }
}

/// A credential is marked, so that no library shows it or keeps it in a table of headers.
fn header_value(name: &str, value: String) -> Result<HeaderValue, TransportError> {
    let bad = |_| TransportError::NotSent(format!("the header {name} holds what no header can"));
    let mut value = HeaderValue::try_from(value).map_err(bad)?;
    value.set_sensitive(name == "authorization");
    Ok(value)
}

async fn bounded_body(
    mut reply: reqwest::Response,
    large: &Semaphore,
) -> Result<Vec<u8>, TransportError> {
    let (mut body, mut room) = (Vec::new(), None);
    while let Some(chunk) = reply.chunk().await.map_err(|error| classify(&error))? {
        if body.len() + chunk.len() > REPLY_MAX {
            return Err(TransportError::Lost(format!(
                "the reply is larger than {REPLY_MAX} bytes"
            )));
        }
        if body.len() + chunk.len() > REPLY_USUAL && room.is_none() {
            // It is never closed.
            room = large.acquire().await.ok();
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn classify(error: &reqwest::Error) -> TransportError {
    let words = words(error);
    if error.is_connect() || error.is_builder() {
        TransportError::NotSent(words)
    } else {
        TransportError::Lost(words)
    }
}

#[cfg(test)]
mod tests;
