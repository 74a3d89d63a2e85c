//! The base of every HTTP client of this process.
//!
//! No redirects: one would carry the token elsewhere. Certificates are always verified against the
//! system's roots and, if configured, a private CA: there is no way not to.
//!
//! An `https` request of [`client`] goes through the proxy that `HTTPS_PROXY`, or else `ALL_PROXY`,
//! names, unless `NO_PROXY` excepts its host. An `http` request is for the loopback and goes through
//! no proxy, whatever `HTTP_PROXY` says: a proxy would read the secrets in it.

use std::path::Path;

use crate::files;

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

/// The base of every HTTP client of this process: the crypto, and the proxy of the environment.
///
/// # Errors
/// When the environment names a proxy that is none.
pub fn client() -> Result<reqwest::ClientBuilder, SetupError> {
    let builder = direct();
    Ok(match proxy(|name| std::env::var(name).ok())? {
        Some(proxy) => builder.proxy(proxy),
        None => builder,
    })
}

/// The base of one that goes through no proxy.
pub(crate) fn direct() -> reqwest::ClientBuilder {
    install_crypto();
    reqwest::Client::builder().no_proxy()
}

/// Finishes a client for other machines. The certificates of the file are trusted beside the
/// system's.
///
/// # Errors
/// When the file holds none, or TLS cannot be set up.
pub(crate) fn build(
    builder: reqwest::ClientBuilder,
    ca_file: Option<&Path>,
) -> Result<reqwest::Client, SetupError> {
    let builder = builder
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("channelkeeper/", env!("CARGO_PKG_VERSION")));
    let Some(path) = ca_file else { return builder.build().map_err(SetupError::Client) };
    let unreadable = |source| SetupError::CaUnreadable { path: path.display().to_string(), source };
    let pem = files::read(path, CA_KIB_MAX).map_err(unreadable)?.bytes;
    let bad = |source| SetupError::BadCa { path: path.display().to_string(), source };
    let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(bad)?;
    builder.tls_certs_merge(roots).build().map_err(bad)
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

/// Makes ring the process's TLS provider, once; a second call changes nothing.
pub fn install_crypto() {
    // An error only says that a provider is installed already.
    let _already = rustls::crypto::ring::default_provider().install_default();
}

/// The innermost causes, which say more than "error sending request"; the URL is left out.
pub(crate) fn words(error: &reqwest::Error) -> String {
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

/// No bundle of certificates is larger.
const CA_KIB_MAX: u64 = 8 * 1024;

/// The variables that name a proxy for https, the first that is set.
const PROXIES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// How rustls says that nobody vouches for a certificate.
const UNTRUSTED: &str = "UnknownIssuer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_for_https_and_is_a_url() {
        let with = |name: &'static str, value: &'static str| {
            proxy(move |asked| (asked == name).then(|| value.to_owned()))
        };
        for name in PROXIES {
            assert!(with(name, "http://proxy.example.com:3128").unwrap().is_some(), "{name}");
            assert!(with(name, "").unwrap().is_none(), "{name}");
            let error = with(name, "http://hush@:3128").unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("hush"), "{error}");
        }
        for name in ["HTTP_PROXY", "http_proxy"] {
            assert!(with(name, "http://proxy.example.com:3128").unwrap().is_none(), "{name}");
        }
    }
}
