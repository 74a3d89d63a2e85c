//! The health listener.

use proptest::prelude::*;

use super::besieged::{Besieged, SECRET};
use super::cases;
use super::requests::requests;

#[test]
fn no_request_makes_the_health_listener_panic_write_or_tell_a_secret() {
    let besieged = Besieged::new();
    let paths = &[
        "/",
        "/livez",
        "/readyz",
        "/healthz",
        "/healthz/channels/c1",
        "/metrics",
        "/api/v1/status",
        "/api/v1/summary",
        "/renew",
    ];
    cases(768)
        .run(&requests(paths), |sent| {
            let answered = besieged.http(&sent.bytes());
            prop_assert!(answered.is_some() || !sent.is_sound(), "no answer");
            let (status, answer) = answered.unwrap_or_default();
            prop_assert!(status < 500, "{}", answer);
            let may_answer = ["GET", "HEAD"].contains(&sent.method);
            prop_assert!(may_answer || status != 200, "{}", answer);
            prop_assert!(!answer.contains(SECRET));
            prop_assert_eq!(besieged.writes(), 1);
            Ok(())
        })
        .unwrap();
    besieged.ends_well();
}

#[test]
fn no_bytes_make_the_health_listener_panic_or_write() {
    let besieged = Besieged::new();
    let start = prop::sample::select(vec![
        "",
        "GET ",
        "GET /metrics HTTP/1.1\r\n",
        "GET /healthz/channels/",
    ]);
    cases(512)
        .run(&(start, prop::collection::vec(any::<u8>(), 0..300)), |(start, rest)| {
            besieged.http(&[start.as_bytes(), &rest].concat());
            prop_assert_eq!(besieged.writes(), 1);
            Ok(())
        })
        .unwrap();
    besieged.ends_well();
}
