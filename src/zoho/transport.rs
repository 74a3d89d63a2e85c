//! Who carries a request.
//!
//! [`Transport`] is the seam between the daemon and the network. [`Http`] is reqwest: no redirects
//! (a redirect would carry the token elsewhere), time-outs on connecting and on the whole exchange,
//! certificates always verified against the system's roots and, if configured, a private CA: there
//! is no way not to. Bodies are bounded as they are unpacked, before they are read.
//!
//! An `https` request goes through the proxy that `HTTPS_PROXY`, or else `ALL_PROXY`, names, unless
//! `NO_PROXY` excepts its host. An `http` request is for the loopback and goes through no proxy,
//! whatever `HTTP_PROXY` says: a proxy would read the secrets in it.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::sync::Semaphore;

use crate::files;
use crate::model::exchange::{Request, Response};

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

/// No bundle of certificates is larger.
const CA_KIB_MAX: u64 = 8 * 1024;

/// The network.
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    reads_body: bool,
    /// Room for replies that are read beyond [`REPLY_USUAL`] at once: however many accounts are
    /// served side by side, their answers together have a bound.
    large: Arc<Semaphore>,
}

/// The reason why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The CA file cannot be read.
    #[error("ca_file {path}: cannot be read")]
    CaUnreadable {
        /// The file.
        path: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The CA file is no PEM bundle.
    #[error("ca_file {path}: it holds no certificates that can be used, which have to be PEM")]
    BadCa {
        /// The file.
        path: String,
        /// The error of the HTTP client.
        source: reqwest::Error,
    },
    /// The variable is no URL. It may hold a password, so it is not shown.
    #[error(
        "the environment variable {0} names no proxy: write it as in http://proxy.example.com:3128"
    )]
    BadProxy(&'static str),
    /// The TLS set-up failed.
    #[error(
        "the HTTP client cannot be set up (are the system's certificates there, as of the package \
         ca-certificates?)"
    )]
    Client(#[source] reqwest::Error),
}

impl Http {
    /// A client for all accounts: they share its connections.
    pub fn new(
        connect: Duration,
        total: Duration,
        ca_file: Option<&Path>,
    ) -> Result<Http, SetupError> {
        let mut builder = client()?
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect)
            .timeout(total)
            .user_agent(concat!("channelkeeper/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca_file {
            let unreadable =
                |source| SetupError::CaUnreadable { path: path.display().to_string(), source };
            let pem = files::read(path, CA_KIB_MAX).map_err(unreadable)?.bytes;
            let bad = |source| SetupError::BadCa { path: path.display().to_string(), source };
            let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(bad)?;
            builder = builder.tls_certs_merge(roots);
            return Ok(Http::of(builder.build().map_err(bad)?));
        }
        Ok(Http::of(builder.build().map_err(SetupError::Client)?))
    }

    fn of(client: reqwest::Client) -> Http {
        Http { client, reads_body: true, large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
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

/// The base of every HTTP client of this process: the crypto, and the proxy of the environment.
///
/// # Errors
/// When the environment names a proxy that is none.
pub fn client() -> Result<reqwest::ClientBuilder, SetupError> {
    install_crypto();
    let builder = reqwest::Client::builder().no_proxy();
    Ok(match proxy(|name| std::env::var(name).ok())? {
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    })
}

/// The proxy for https, with those who need none.
fn proxy(env: impl Fn(&str) -> Option<String>) -> Result<Option<reqwest::Proxy>, SetupError> {
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let Some((name, url)) = PROXIES.into_iter().find_map(|name| Some((name, set(name)?))) else {
        return Ok(None);
    };
    let proxy = reqwest::Proxy::https(&url).map_err(|_| SetupError::BadProxy(name))?;
    let excepted = ["NO_PROXY", "no_proxy"].into_iter().find_map(set);
    Ok(Some(proxy.no_proxy(excepted.as_deref().and_then(reqwest::NoProxy::from_string))))
}

/// A credential is marked, so that no library shows it or keeps it in a table of headers.
fn header_value(name: &str, value: String) -> Result<HeaderValue, TransportError> {
    let bad = |_| TransportError::NotSent(format!("the header {name} holds what no header can"));
    let mut value = HeaderValue::try_from(value).map_err(bad)?;
    value.set_sensitive(name == "authorization");
    Ok(value)
}

/// Makes ring the process's TLS provider, once; a second call changes nothing.
pub fn install_crypto() {
    // An error only says that a provider is installed already.
    let _already = rustls::crypto::ring::default_provider().install_default();
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
    let words = chain(error);
    if error.is_connect() || error.is_builder() {
        TransportError::NotSent(words)
    } else {
        TransportError::Lost(words)
    }
}

/// The innermost causes, which say more than "error sending request"; the URL is left out.
fn chain(error: &reqwest::Error) -> String {
    let mut words = if error.is_timeout() { vec!["timed out".to_owned()] } else { Vec::new() };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    words.dedup();
    if words.iter().any(|word| word.contains(UNTRUSTED)) {
        words.push("if it is right, its CA belongs in ca_file under [client]".to_owned());
    }
    if words.is_empty() { "the exchange failed".to_owned() } else { words.join(": ") }
}

/// The variables that name a proxy for https, the first that is set.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// How rustls says that nobody vouches for a certificate.
const UNTRUSTED: &str = "UnknownIssuer";

#[cfg(test)]
mod tests;
