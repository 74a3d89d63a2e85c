//! The network as it is: sockets that refuse, break off, stay silent, or speak something else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// The server's action once it has read the request.
enum Server {
    Says(&'static str),
    SaysMuch(usize),
    SaysBytes(Vec<u8>),
    IsSilent,
}

/// A server for one connection; its URL.
async fn serve(server: Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _read = socket.read(&mut request).await;
        match server {
            Server::Says(text) => drop(socket.write_all(text.as_bytes()).await),
            Server::SaysBytes(bytes) => drop(socket.write_all(&bytes).await),
            Server::SaysMuch(bytes) => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
                let _written = socket.write_all(head.as_bytes()).await;
                let _written = socket.write_all(&vec![b' '; bytes]).await;
            }
            Server::IsSilent => std::future::pending().await,
        }
    });
    url
}

async fn get(base: String) -> Result<Response, TransportError> {
    get_by(&http(None), base).await
}

fn http(ca_file: Option<&Path>) -> Http {
    Http::new(Duration::from_millis(500), Duration::from_millis(1500), ca_file).unwrap()
}

async fn get_by(http: &Http, base: String) -> Result<Response, TransportError> {
    let request = Request {
        method: "GET",
        base,
        path: "/crm/v8/actions/watch".to_owned(),
        query: vec![("channel_ids".to_owned(), "1,2".to_owned())],
        headers: vec![("authorization".to_owned(), "Zoho-oauthtoken 1000.secret".to_owned())],
        body: Vec::new(),
    };
    http.send(request).await
}

async fn said(text: &'static str) -> Result<Response, TransportError> {
    get(serve(Server::Says(text)).await).await
}

#[tokio::test]
async fn a_request_that_never_left_was_not_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let no_tls = serve(Server::Says("HTTP/1.1 400 Bad Request\r\n\r\n"))
        .await
        .replace("http://", "https://");
    let mute_tls = serve(Server::IsSilent).await.replace("http://", "https://");
    let places = [
        format!("http://{closed}"),
        no_tls,
        mute_tls,
        "http://no-such-host.invalid".to_owned(),
        "no url".to_owned(),
    ];
    for place in places {
        let error = get(place.clone()).await.unwrap_err();
        assert!(matches!(error, TransportError::NotSent(_)), "{place}: {error:?}");
        assert!(
            !error.to_string().contains("secret") && !error.to_string().contains("actions/watch"),
            "{error}"
        );
    }
}

/// A server that speaks no TLS, one that is silent, and one that breaks off the handshake with an
/// alert.
#[tokio::test]
async fn a_tls_handshake_that_fails_was_not_sent_and_says_why() {
    let alert = "\u{15}\u{3}\u{3}\u{0}\u{2}\u{2}\u{28}";
    let servers = [
        (Server::Says("HTTP/1.1 400 Bad Request\r\n\r\n"), "corrupt message"),
        (Server::Says(alert), "HandshakeFailure"),
        (Server::IsSilent, "timed out"),
    ];
    for (server, why) in servers {
        let error = get(serve(server).await.replace("http://", "https://")).await.unwrap_err();
        assert!(
            matches!(&error, TransportError::NotSent(said) if said.contains(why)),
            "{why}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_reply_that_does_not_arrive_whole_is_lost() {
    for text in [
        "",
        "HTTP/1.1 200 O",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"watch\":",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"wa",
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope",
        "SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        let error = said(text).await.unwrap_err();
        assert!(matches!(error, TransportError::Lost(_)), "{text:?}: {error:?}");
    }
    let silent = get(serve(Server::IsSilent).await).await.unwrap_err();
    assert!(
        matches!(&silent, TransportError::Lost(why) if why.starts_with("timed out")),
        "{silent:?}"
    );
    let large = get(serve(Server::SaysMuch(REPLY_MAX + 1)).await).await.unwrap_err();
    assert_eq!(large, TransportError::Lost("the reply is larger than 8388608 bytes".to_owned()));
}

#[tokio::test]
async fn where_only_the_status_counts_nothing_behind_it_is_read() {
    let http = http(None).reading_no_body();
    for server in [
        Server::SaysMuch(REPLY_MAX + 1),
        Server::Says("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx"),
    ] {
        let response = get_by(&http, serve(server).await).await.unwrap();
        assert_eq!((response.status, response.body.len()), (200, 0));
    }
}

#[tokio::test]
async fn a_redirect_is_a_response_and_not_followed() {
    let text =
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/elsewhere\r\ncontent-length: 0\r\n\r\n";
    let response = said(text).await.unwrap();
    assert_eq!(
        (response.status, response.header("location")),
        (302, Some("http://127.0.0.1:9/elsewhere"))
    );
}

#[tokio::test]
async fn any_content_type_is_read() {
    let text = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\nDate: Mon, 23 Nov 2026 16:00:00 GMT\r\ncontent-length: 2\r\n\r\n{}";
    let response = said(text).await.unwrap();
    assert_eq!(
        (response.body.as_slice(), response.header("date").is_some()),
        (b"{}".as_slice(), true)
    );
}

/// 64 MiB of blanks, packed into 64 KiB: counted as they are unpacked.
#[tokio::test]
async fn a_reply_that_unpacks_to_far_more_than_it_is_is_cut_off() {
    use std::io::Write;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        packer.write_all(&vec![b' '; 1 << 20]).unwrap();
    }
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 128 * 1024, "{}", bomb.len());
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        bomb.len()
    );
    let url = serve(Server::SaysBytes([head.into_bytes(), bomb].concat())).await;
    let error = get(url).await.unwrap_err();
    assert_eq!(error, TransportError::Lost("the reply is larger than 8388608 bytes".to_owned()));
}

/// A CA with a certificate that holds, one that is over, and one that vouches for itself.
#[tokio::test]
async fn only_a_certificate_that_holds_is_spoken_to() {
    use rcgen::{
        BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd,
    };
    install_crypto();
    let server = || CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(rcgen::DnType::CommonName, "a CA of this test");
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let ca = Issuer::new(ca, ca_key);
    let mut over = server();
    (over.not_before, over.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    let cases: [(Certificate, Option<&Path>, Option<&str>); 5] = [
        (server().signed_by(&key, &ca).unwrap(), Some(&trusted), None),
        (server().signed_by(&key, &ca).unwrap(), None, Some("UnknownIssuer")),
        (over.signed_by(&key, &ca).unwrap(), Some(&trusted), Some("certificate expired")),
        (server().self_signed(&key).unwrap(), Some(&trusted), Some("UnknownIssuer")),
        (server().self_signed(&key).unwrap(), None, Some("UnknownIssuer")),
    ];
    for (certificate, ca_file, refused) in cases {
        let config = rustls::ServerConfig::builder().with_no_client_auth();
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let served = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
            let Ok(mut tls) = acceptor.accept(socket).await else { return 0 };
            let read = tls.read(&mut [0; 4096]).await.unwrap_or(0);
            let _written = tls.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            read
        });
        let got = get_by(&http(ca_file), url).await;
        match refused {
            None => assert_eq!(got.unwrap().status, 204),
            Some(why) => {
                assert!(
                    matches!(&got, Err(TransportError::NotSent(said)) if said.contains(why)),
                    "{why}: {got:?}"
                );
                assert_eq!(served.await.unwrap(), 0, "{why}: something was sent");
            }
        }
    }
}

#[test]
fn credentials_are_marked_as_such() {
    assert!(header_value("authorization", "Zoho-oauthtoken x".to_owned()).unwrap().is_sensitive());
    assert!(!header_value("content-type", "x".to_owned()).unwrap().is_sensitive());
    let error = header_value("authorization", "hush\n".to_owned()).unwrap_err().to_string();
    assert!(error.contains("authorization") && !error.contains("hush"), "{error}");
}
