//! The control socket.

use proptest::prelude::*;

use super::besieged::{Besieged, SECRET};
use super::cases;
use super::requests::requests;

/// Only a renewal that was asked for in good form writes; whatever is HTTP is answered, which a
/// panic would not be.
#[test]
fn no_request_makes_the_control_socket_panic_or_write_what_was_not_asked_for() {
    let besieged = Besieged::new();
    let paths = &[
        "/status",
        "/gaps",
        "/plan",
        "/explain",
        "/apply",
        "/renew",
        "/adopt",
        "/resume",
        "/gaps/ack",
        "/backfill/recover",
        "/backfill/settle",
    ];
    cases(768)
        .run(&requests(paths), |sent| {
            let before = besieged.writes();
            let answered = besieged.control(&sent.bytes());
            prop_assert!(answered.is_some() || !sent.is_sound(), "no answer");
            let status = answered.as_ref().map_or(0, |(status, _)| *status);
            prop_assert!(status < 500, "{answered:?}");
            let answer = answered.map(|(_, answer)| answer).unwrap_or_default();
            prop_assert!(!answer.contains(SECRET));
            let is_worded = answer.ends_with('}') && answer.contains("\r\n\r\n{\"error\":\"");
            let is_ours = sent.method == "POST"
                && paths[2..].contains(&sent.path.as_str())
                && sent.is_sound();
            prop_assert!(is_worded || !is_ours || status == 200, "{}", answer);
            prop_assert!(sent.is_renewal() || besieged.writes() == before, "it wrote");
            prop_assert!(besieged.leaves_the_foreign_alone());
            Ok(())
        })
        .unwrap();
    besieged.ends_well();
}

#[test]
fn no_bytes_make_the_control_socket_panic_or_write() {
    let besieged = Besieged::new();
    let start = prop::sample::select(vec![
        "",
        "POST ",
        "POST /renew HTTP/1.1\r\n",
        "GET /status HTTP/1.1\r\nhost: ",
    ]);
    cases(512)
        .run(&(start, prop::collection::vec(any::<u8>(), 0..300)), |(start, rest)| {
            besieged.control(&[start.as_bytes(), &rest].concat());
            prop_assert_eq!(besieged.writes(), 1);
            Ok(())
        })
        .unwrap();
    besieged.ends_well();
}
