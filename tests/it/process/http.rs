//! As much of HTTP as the tests need: one request a connection, JSON or text back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// The answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status code.
    pub(super) status: u16,
    /// The body.
    pub(super) body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }
}

/// GET.
pub(super) fn get(address: &str, path: &str) -> Answer {
    call(address, "GET", path, "")
}

/// Any method, with a body.
pub(super) fn call(address: &str, method: &str, path: &str, body: &str) -> Answer {
    authorized(address, method, path, "", body)
}

/// A request in HTTP/1.0, so that the answer is neither chunked nor kept alive.
pub(super) fn authorized(
    address: &str,
    method: &str,
    path: &str,
    authorization: &str,
    body: &str,
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: {authorization}\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, body: body.to_owned() }
}

/// Long enough for a loaded machine; only a test that fails waits this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
