//! Requests as nobody's client sends them.

use std::io::{Read, Write};

use proptest::prelude::*;
use serde_json::json;

use super::any_json;

/// One request, as bytes to be written.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) method: &'static str,
    pub(super) path: String,
    headers: Vec<(String, String)>,
    body: Body,
}

/// A body, with the truth about its length or without.
#[derive(Clone, Debug)]
enum Body {
    Bytes(Vec<u8>),
    /// So many bytes of this one.
    Huge(u8, usize),
    /// Announced longer, or shorter, than it is.
    Liar(Vec<u8>, usize),
}

impl Sent {
    /// On the wire.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (body, length) = match &self.body {
            Body::Bytes(bytes) => (bytes.clone(), bytes.len()),
            Body::Huge(byte, length) => (vec![*byte; *length], *length),
            Body::Liar(bytes, length) => (bytes.clone(), *length),
        };
        let mut text =
            format!("{} {} HTTP/1.1\r\nhost: localhost\r\n{CLOSES}", self.method, self.path);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        let mut bytes = format!("{text}content-length: {length}\r\n\r\n").into_bytes();
        bytes.extend(body);
        bytes
    }

    /// A request without headers and without a body.
    pub(super) fn plain(method: &'static str, path: &str) -> Sent {
        Sent { method, path: path.to_owned(), headers: Vec::new(), body: Body::Bytes(Vec::new()) }
    }

    /// True when it asks for a renewal, in good form: an object, and no key that means nothing.
    pub(super) fn is_renewal(&self) -> bool {
        let bytes = match &self.body {
            Body::Bytes(bytes) => bytes.as_slice(),
            Body::Liar(bytes, length) => bytes.get(..*length).unwrap_or_default(),
            Body::Huge(..) => return false,
        };
        let body: Option<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_slice(bytes).ok();
        let known = |body: serde_json::Map<String, _>| {
            body.keys().all(|key| ["account", "channel"].contains(&&**key))
        };
        self.method == "POST"
            && self.path.split('?').next() == Some("/renew")
            && body.is_some_and(known)
    }

    /// True when it is HTTP, so that it has to be answered.
    pub(super) fn is_sound(&self) -> bool {
        matches!(self.body, Body::Bytes(_))
    }
}

/// Sends bytes; the status and the whole answer, if there is one.
pub(super) fn asked(
    mut stream: impl Read + Write,
    bytes: &[u8],
    hang_up: impl FnOnce(),
) -> Option<(u16, String)> {
    // Whoever does not want the rest of it closes, and that is an answer too.
    let _cut_off = stream.write_all(bytes);
    // Who hangs up is not answered, so that is only for what would be waited for for ever.
    if !is_whole(bytes) {
        hang_up();
    }
    let mut answer = Vec::new();
    let _cut_off = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer))
}

/// True when it is a request of ours that says the truth about its length.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    let Some(announced) =
        head.rsplit_once(CLOSES).and_then(|(_, head)| head.rsplit_once("content-length: "))
    else {
        return false;
    };
    announced.1.parse() == Ok(bytes.len() - head.len() - 4)
}

/// Any request, mostly to these paths.
pub(super) fn requests(paths: &'static [&'static str]) -> impl Strategy<Value = Sent> {
    let methods = &[
        "GET", "POST", "POST", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW",
    ];
    let known = prop::sample::select(paths).prop_map(str::to_owned);
    let path = prop_oneof![
        6 => known.clone(),
        1 => (known, "[?/%#][!-~]{0,30}").prop_map(|(path, more)| path + &more),
        1 => "/[!-~]{0,60}",
        1 => "(/\\.\\.|//|/%2e%2e|/%00|/%ff){1,4}",
    ];
    let headers = prop::collection::vec(
        prop_oneof![
            8 => Just(("content-type".to_owned(), "application/json".to_owned())),
            1 => "[ -~]{0,30}".prop_map(|value| ("content-type".to_owned(), value)),
            1 => ("x-[a-z]{1,10}", "[ -~]{0,200}"),
            1 => "[ -~]{0,60}".prop_map(|value| ("authorization".to_owned(), value)),
            1 => "[ -~]{0,60}".prop_map(|value| ("accept-encoding".to_owned(), value)),
        ],
        0..4,
    );
    (prop::sample::select(&methods[..]), path, headers, bodies())
        .prop_map(|(method, path, headers, body)| Sent { method, path, headers, body })
}

fn bodies() -> impl Strategy<Value = Body> {
    let words = &["which", "account", "channel", "allow_removals", "acme", "c1", "c2", "nobody"];
    let json = prop_oneof![
        any_json(words),
        (any_json(words), any_json(words))
            .prop_map(|(which, removals)| json!({"which": which, "allow_removals": removals})),
        prop::sample::select(&words[..]).prop_map(|word| json!({"account": word})),
        prop::sample::select(&words[..]).prop_map(|word| json!({"channel": word})),
        Just(json!({})),
    ];
    prop_oneof![
        8 => json.prop_map(|value| Body::Bytes(value.to_string().into_bytes())),
        3 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Body::Bytes),
        1 => (prop::sample::select(vec![b' ', b'[', b'0', b'{']), 1_000_usize..300_000)
            .prop_map(|(byte, length)| Body::Huge(byte, length)),
        1 => (prop::collection::vec(any::<u8>(), 0..50), 0_usize..100_000)
            .prop_map(|(bytes, length)| Body::Liar(bytes, length)),
    ]
}

const CLOSES: &str = "connection: close\r\n";
