//! TLS, and a proxy: the daemon reaches the simulator through what stands between in a company's
//! network.
//!
//! The front is a TLS server before the simulator, with a certificate of a CA that this test makes;
//! the proxy is one that knows CONNECT and nothing else, and takes every name to the front. All of
//! it is on the loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;

/// The network before a simulator.
struct Network {
    zoho: Simulator,
    /// The CA of the front, in PEM.
    ca: String,
    front: SocketAddr,
    proxy: SocketAddr,
    /// The first lines of the requests that the proxy got.
    asked: Arc<Mutex<Vec<String>>>,
    _runs: Runtime,
}

impl Network {
    fn new() -> Network {
        let zoho = Simulator::start();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (ca, config) = certificates();
        let listen = || runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let (front, proxy) = (listen(), listen());
        let (front_at, proxy_at) = (front.local_addr().unwrap(), proxy.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        runtime.spawn(serve_front(
            front,
            TlsAcceptor::from(Arc::new(config)),
            zoho.address.parse().unwrap(),
        ));
        runtime.spawn(serve_proxy(proxy, front_at, asked.clone()));
        Network { zoho, ca, front: front_at, proxy: proxy_at, asked, _runs: runtime }
    }

    /// A place whose account is reached by this URL.
    fn place(&self, url: &str, more: &str) -> Place {
        let plain = format!("http://{}", self.zoho.address);
        assert!(self.zoho.config.contains(&plain));
        let place = Place::new(&(self.zoho.config.replace(&plain, url) + more));
        std::fs::write(place.path().join("ca.pem"), &self.ca).unwrap();
        place
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_in_clear_words_until_its_ca_is_named() {
    let network = Network::new();
    let url = format!("https://localhost:{}", network.front.port());
    let refused = network.place(&url, "").verb(&["plan"]);
    let words = format!("{}{}", refused.out, refused.err);
    assert!(
        words.contains("invalid peer certificate: UnknownIssuer")
            && words.contains("ca_file under [client]"),
        "{words}"
    );
    assert_eq!(network.zoho.requests(), 0, "nothing was sent, no secret above all");

    let place = network.place(&url, CA);
    let daemon = Daemon::start(&place);
    assert_eq!(network.zoho.channels().len(), 4);
    daemon.stop();

    std::fs::write(
        place.path().join("ca.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let bad = place.verb(&["apply"]);
    assert!(
        bad.code == 1 && bad.err.contains("ca.pem: it holds no certificates that can be used"),
        "{bad:#?}"
    );
}

#[test]
fn a_certificate_of_another_name_is_refused_whoever_vouches_for_it() {
    let network = Network::new();
    let refused =
        network.place(&format!("https://127.0.0.1:{}", network.front.port()), CA).verb(&["plan"]);
    let words = format!("{}{}", refused.out, refused.err);
    assert!(words.contains("invalid peer certificate: certificate not valid for name"), "{words}");
    assert_eq!(network.zoho.requests(), 0);
}

/// The name means nothing here: only the proxy knows where it leads.
#[test]
fn what_is_https_goes_through_the_proxy_of_the_environment_and_what_is_http_never_does() {
    let network = Network::new();
    let proxy = format!("http://user:hush-proxy@{}", network.proxy);
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let place = network.place("https://zoho.test", CA).with_env(variable, &proxy);
        let before = network.asked().len();
        place.done(&["apply"]);
        let asked = network.asked().split_off(before);
        assert!(
            !asked.is_empty()
                && asked.iter().all(|line| line.starts_with("CONNECT zoho.test:443 ")),
            "{asked:?}"
        );
    }
    let before = network.asked().len();
    let excepted = network
        .place("https://zoho.test", CA)
        .with_env("HTTPS_PROXY", &proxy)
        .with_env("NO_PROXY", ".test");
    assert!(excepted.verb(&["plan"]).out.contains("could not connect"));
    // The simulator's own URL is http, and the refresh token in it would be the proxy's to read.
    let plain = network.place(&format!("http://{}", network.zoho.address), "");
    let plain = plain
        .with_env("HTTP_PROXY", &proxy)
        .with_env("http_proxy", &proxy)
        .with_env("ALL_PROXY", &proxy);
    plain.done(&["plan", "--json"]);
    assert_eq!(network.asked().len(), before);

    let wrong = network
        .place("https://zoho.test", CA)
        .with_env("HTTPS_PROXY", "http://hush-proxy@:x")
        .verb(&["apply"]);
    assert!(wrong.code == 1 && wrong.err.contains("HTTPS_PROXY names no proxy"), "{wrong:#?}");
    assert!(!wrong.err.contains("hush"), "{wrong:#?}");
}

/// A CA, and a server's certificate of it for two names, neither of which is an address.
fn certificates() -> (String, ServerConfig) {
    channelkeeper::zoho::transport::install_crypto();
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let server =
        CertificateParams::new(vec!["localhost".to_owned(), "zoho.test".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    (pem, config.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

async fn serve_front(listener: TcpListener, acceptor: TlsAcceptor, zoho: SocketAddr) {
    while let Ok((socket, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let (Ok(mut inside), Ok(mut outside)) =
                (acceptor.accept(socket).await, TcpStream::connect(zoho).await)
            else {
                return;
            };
            let _broken_off = copy_bidirectional(&mut inside, &mut outside).await;
        });
    }
}

async fn serve_proxy(listener: TcpListener, front: SocketAddr, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((socket, _)) = listener.accept().await {
        let asked = asked.clone();
        tokio::spawn(async move {
            let mut client = BufReader::new(socket);
            let mut line = String::new();
            let _read = client.read_line(&mut line).await;
            asked.lock().unwrap().push(line.trim_end().to_owned());
            while line != "\r\n" {
                line.clear();
                if client.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            let _written = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let Ok(mut server) = TcpStream::connect(front).await else { return };
            let _broken_off = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

const CA: &str = "\n[client]\nca_file = \"ca.pem\"\n";
