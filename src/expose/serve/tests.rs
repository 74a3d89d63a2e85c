//! Over real loopback sockets, with clients that are slow, many or silent.

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Serves `GET /`, which answers at once, and `POST /wait`, which waits for its body; the address.
async fn serving(limits: ConnectionLimits) -> (std::net::SocketAddr, CancellationToken) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
    let router = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/wait", post(|body: String| async { body }));
    tokio::spawn(serve(listener, router, limits, |_| Some(()), shutdown.clone()));
    (address, shutdown)
}

async fn sent(address: std::net::SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything until the other side closes, which has to be within the bound of a test that fails.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let _reset =
        tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

const ASKS: &str = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const FEW: ConnectionLimits = ConnectionLimits { connections: 4, life: None };

#[tokio::test]
async fn clients_that_say_nothing_keep_nobody_out_and_the_oldest_go_first() {
    let (address, _running) = serving(FEW).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(sent(address, "GET / HTTP/1.1\r\nhost: lo").await);
    }
    for _ in 0..20 {
        assert!(rest(sent(address, ASKS).await).await.ends_with("ok"));
    }
    assert_eq!(rest(silent.remove(0)).await, "");
}

#[tokio::test]
async fn whoever_is_being_answered_is_not_closed_for_a_newcomer() {
    let (address, _running) = serving(FEW).await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let head = "POST /wait HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
        let mut stream = sent(address, head).await;
        // A handler at work asks for it.
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        waiting.push(stream);
    }
    assert_eq!(rest(sent(address, ASKS).await).await, "", "all four are being answered");
    for mut stream in waiting {
        stream.write_all(b"hi").await.unwrap();
        assert!(rest(stream).await.ends_with("hi"));
    }
    assert!(rest(sent(address, ASKS).await).await.ends_with("ok"));
}

#[tokio::test]
async fn a_connection_ends_with_its_life_however_often_it_is_used() {
    let (address, _running) =
        serving(ConnectionLimits { connections: 4, life: Some(Duration::from_millis(300)) }).await;
    let kept = sent(address, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(rest(kept).await.ends_with("ok"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (address, _running) = serving(FEW).await;
    let large =
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(2 * HEAD_MAX));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be cut off while it is sent.
    let _cut_off = stream.write_all(large.as_bytes()).await;
    let answer = rest(stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    for (length, ends) in [(HEAD_MAX - 1024, "HTTP/1.1 200 "), (HEAD_MAX + 1, "HTTP/1.1 431 ")] {
        let frame = "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: \r\n\r\n".len();
        let filled = "x".repeat(length - frame);
        let head = format!(
            "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx: {filled}\r\n\r\n"
        );
        let answer = rest(sent(address, &head).await).await;
        assert!(answer.starts_with(ends), "{length}: {answer}");
    }
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert!(rest(sent(address, &many).await).await.starts_with("HTTP/1.1 431 "));
    assert!(rest(sent(address, ASKS).await).await.ends_with("ok"));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_is_not_waited_for() {
    let (address, _running) = serving(FEW).await;
    for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: localhost\r\n"] {
        assert_eq!(rest(sent(address, begun).await).await, "", "{begun:?}");
    }
}
