//! One HTTP exchange as two values.
//!
//! `zoho` builds a [`Request`] and reads a [`Response`]; who carries them is not its business. In
//! the daemon that is reqwest; in the tests it is the simulator's state itself, with no socket in
//! between, so that the client, the token cache and the error classification are under test
//! together with the loop.
//!
//! `Debug` shows neither headers nor bodies: both may hold secrets.

use std::fmt;

/// A request to Zoho.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, in capitals: `GET`, `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: &'static str,
    /// Scheme, host and port, with no slash at the end: `https://www.zohoapis.eu`.
    pub base: String,
    /// The path, beginning with a slash, without the query.
    pub path: String,
    /// The query, in order, not yet percent-encoded.
    pub query: Vec<(String, String)>,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// Zoho's response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, bounded by whoever carried it.
    pub body: Vec<u8>,
}

impl Request {
    /// The first query parameter of this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

impl Response {
    /// A response without headers or body.
    pub fn empty(status: u16) -> Response {
        Response { status, headers: Vec::new(), body: Vec::new() }
    }

    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{} ({} bytes)", self.method, self.base, self.path, self.body.len())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} ({} bytes)", self.status, self.body.len())
    }
}
