//! The network as it is: sockets that refuse, break off, stay silent, or speak something else.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What the server does once it has read the request.
enum Server {
    Says(&'static str),
    SaysMuch(usize),
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
    get_by(&http(), base).await
}

fn http() -> Http {
    Http::new(Duration::from_millis(500), Duration::from_millis(1500), None).unwrap()
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
    let no_tls = serve(Server::Says("HTTP/1.1 400 Bad Request\r\n\r\n")).await.replace("http://", "https://");
    let mute_tls = serve(Server::IsSilent).await.replace("http://", "https://");
    let places =
        [format!("http://{closed}"), no_tls, mute_tls, "http://no-such-host.invalid".to_owned(), "no url".to_owned()];
    for place in places {
        let error = get(place.clone()).await.unwrap_err();
        assert!(matches!(error, TransportError::NotSent(_)), "{place}: {error:?}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("actions/watch"), "{error}");
    }
}

/// A server that speaks no TLS, one that is silent, and one that breaks off the handshake with an alert.
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
        assert!(matches!(&error, TransportError::NotSent(said) if said.contains(why)), "{why}: {error:?}");
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
    assert!(matches!(&silent, TransportError::Lost(why) if why.starts_with("timed out")), "{silent:?}");
    let large = get(serve(Server::SaysMuch(REPLY_MAX + 1)).await).await.unwrap_err();
    assert_eq!(large, TransportError::Lost("the reply is larger than 8388608 bytes".to_owned()));
}

#[tokio::test]
async fn where_only_the_status_counts_nothing_behind_it_is_read() {
    let http = http().reading_no_body();
    for server in [Server::SaysMuch(REPLY_MAX + 1), Server::Says("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nx")] {
        let response = get_by(&http, serve(server).await).await.unwrap();
        assert_eq!((response.status, response.body.len()), (200, 0));
    }
}

#[tokio::test]
async fn a_redirect_is_a_response_and_not_followed() {
    let text = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/elsewhere\r\ncontent-length: 0\r\n\r\n";
    let response = said(text).await.unwrap();
    assert_eq!((response.status, response.header("location")), (302, Some("http://127.0.0.1:9/elsewhere")));
}

#[tokio::test]
async fn any_content_type_is_read() {
    let text = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\nDate: Mon, 23 Nov 2026 16:00:00 GMT\r\ncontent-length: 2\r\n\r\n{}";
    let response = said(text).await.unwrap();
    assert_eq!((response.body.as_slice(), response.header("date").is_some()), (b"{}".as_slice(), true));
}
