//! Who may read at the health listener.
//!
//! A page of another site, open in a browser on this host, can make a request here; it must not
//! read the answer. Nothing says that it may (no CORS), and a name of its own that leads here (DNS
//! rebinding) is not one of ours: a request has to name a host by which this daemon is known. With
//! a token it has to show that too. `/livez` needs none: it says nothing but whether the process
//! works, to whatever restarts it.

use std::net::{IpAddr, SocketAddr};

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap};
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version};

use crate::model::desired::Http;
use crate::model::secret::Secret;

/// The proofs that a request has to show.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// Names besides the loopback's, in lower case.
    hosts: Vec<String>,
    /// True when it is reached by addresses other than the loopback's.
    is_public: bool,
    token: Option<Secret>,
}

impl Door {
    /// The door of a listener at an address.
    pub(crate) fn new(listening: SocketAddr, http: &Http) -> Door {
        let is_public = !listening.ip().is_loopback();
        Door { hosts: http.hosts.clone(), is_public, token: http.token.clone() }
    }

    /// The reason why a request is not answered, if it is not.
    pub(super) fn refuses(&self, request: &Request) -> Option<(StatusCode, &'static str)> {
        self.refuses_host(request).or_else(|| {
            let needs_token = request.uri().path() != OPEN;
            let shows_token =
                || self.token.as_ref().is_none_or(|token| is_shown(token, request.headers()));
            if !request.body().is_end_stream() {
                Some((StatusCode::PAYLOAD_TOO_LARGE, "nothing is read here: send no body\n"))
            } else if needs_token && !shows_token() {
                Some((
                    StatusCode::UNAUTHORIZED,
                    "the token that [http] token names is needed: Authorization: Bearer TOKEN\n",
                ))
            } else {
                None
            }
        })
    }

    fn refuses_host(&self, request: &Request) -> Option<(StatusCode, &'static str)> {
        let mut named = request.headers().get_all(HOST).iter();
        let hosts = match (named.next(), named.next()) {
            // A client that speaks so old a version is no browser.
            (None, _) if request.version() <= Version::HTTP_10 => Vec::new(),
            (Some(host), None) => vec![Authority::try_from(host.as_bytes()).ok()],
            (None, _) | (Some(_), Some(_)) => vec![None],
        };
        let of_uri = request.uri().authority().cloned().map(Some);
        for host in hosts.into_iter().chain(of_uri) {
            match host {
                None => return Some((StatusCode::BAD_REQUEST, "a request has to name one host\n")),
                Some(host) if !self.knows(host.host()) => {
                    return Some((StatusCode::MISDIRECTED_REQUEST, UNKNOWN));
                }
                Some(_) => {}
            }
        }
        None
    }

    /// True when this daemon is known by a host. An address needs no lookup, so nobody can have
    /// made it lead here.
    fn knows(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let is_local = host == "localhost" || host.ends_with(".localhost");
        address.is_ok_and(|address| self.is_public || address.is_loopback())
            || is_local
            || self.hosts.contains(&host)
    }
}

fn is_shown(token: &Secret, headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(first), None) = (given.next(), given.next()) else { return false };
    let bearer = first.to_str().ok().and_then(|text| text.split_once(' '));
    bearer.is_some_and(|(scheme, shown)| {
        scheme.eq_ignore_ascii_case("bearer") && token.is(shown.trim())
    })
}

/// The path that is answered without a token.
const OPEN: &str = "/livez";
const UNKNOWN: &str = "this daemon is not known by the name in the request: add it to hosts under [http] of the config, or \
                       ask by address\n";

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn door(listening: &str, hosts: &[&str], token: Option<&str>) -> Door {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let http = Http { public: true, hosts, token: token.map(Secret::new) };
        Door::new(listening.parse().unwrap(), &http)
    }

    fn asked(door: &Door, path: &str, headers: &[(&str, &str)], body: &'static str) -> u16 {
        let request =
            headers.iter().fold(Request::builder().uri(path), |request, (name, value)| {
                request.header(*name, *value)
            });
        let request = request.body(Body::from(body)).unwrap();
        door.refuses(&request).map_or(200, |(status, _)| status.as_u16())
    }

    #[test]
    fn only_a_host_by_which_it_is_known_is_answered() {
        let (loopback, named, public) = (
            door("127.0.0.1:8470", &[], None),
            door("[::1]:8470", &["status.example.com"], None),
            door("0.0.0.0:8470", &["status.example.com"], None),
        );
        let table = [
            ("localhost", [200, 200, 200]),
            ("LOCALHOST.:8470", [200, 200, 200]),
            ("a.localhost:1", [200, 200, 200]),
            ("127.0.0.1:8470", [200, 200, 200]),
            ("127.9.9.9", [200, 200, 200]),
            ("[::1]:8470", [200, 200, 200]),
            ("192.0.2.1:8470", [421, 421, 200]),
            ("[2001:db8::1]", [421, 421, 200]),
            ("status.example.com", [421, 200, 200]),
            ("Status.Example.Com.:80", [421, 200, 200]),
            ("evil.example", [421, 421, 421]),
            ("localhost.evil.example", [421, 421, 421]),
            ("127.0.0.1.evil.example", [421, 421, 421]),
            ("status.example.com.evil.example", [421, 421, 421]),
            ("evillocalhost", [421, 421, 421]),
            ("0x7f000001", [421, 421, 421]),
            ("2130706433", [421, 421, 421]),
            ("localhost@evil.example", [421, 421, 421]),
            ("", [400, 400, 400]),
            ("local host", [400, 400, 400]),
            ("localhost, evil.example", [400, 400, 400]),
        ];
        for (host, expected) in table {
            let got =
                [&loopback, &named, &public].map(|door| asked(door, "/", &[("host", host)], ""));
            assert_eq!(got, expected, "{host:?}");
        }
    }

    #[test]
    fn a_request_names_one_host_wherever_it_does() {
        let door = door("127.0.0.1:8470", &[], None);
        assert_eq!(asked(&door, "/", &[], ""), 400);
        assert_eq!(asked(&door, "/", &[("host", "localhost"), ("host", "localhost")], ""), 400);
        assert_eq!(asked(&door, "http://evil.example/", &[("host", "localhost")], ""), 421);
        assert_eq!(asked(&door, "http://localhost/", &[("host", "localhost")], ""), 200);
        let old =
            Request::builder().uri("/").version(Version::HTTP_10).body(Body::empty()).unwrap();
        assert_eq!(door.refuses(&old), None);
    }

    #[test]
    fn a_token_has_to_be_shown_but_for_livez() {
        let door = door("127.0.0.1:8470", &[], Some("0123456789abcdef"));
        let shown = |path: &str, value: &str| {
            asked(&door, path, &[("host", "localhost"), ("authorization", value)], "")
        };
        for path in ["/", "/metrics", "/healthz", "/readyz", "/nothing", "/livez/"] {
            assert_eq!(asked(&door, path, &[("host", "localhost")], ""), 401, "{path}");
            assert_eq!(shown(path, "bearer 0123456789abcdef"), 200, "{path}");
        }
        assert_eq!(asked(&door, "/livez", &[("host", "localhost")], ""), 200);
        let wrong = [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "0123456789abcdef",
            "Basic 0123456789abcdef",
        ];
        for value in wrong {
            assert_eq!(shown("/", value), 401, "{value:?}");
        }
        let twice = [
            ("host", "localhost"),
            ("authorization", "Bearer 0123456789abcdef"),
            ("authorization", "Bearer x"),
        ];
        assert_eq!(asked(&door, "/", &twice, ""), 401);
    }

    #[test]
    fn a_body_is_not_read() {
        let door = door("127.0.0.1:8470", &[], None);
        assert_eq!(asked(&door, "/", &[("host", "localhost")], "x"), 413);
    }
}
