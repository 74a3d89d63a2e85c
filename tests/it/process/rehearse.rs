//! A config played ahead of time, as a user would: the example as it is, without a secret, a
//! network or a store.

use super::place::Place;
use super::pty::AtTerminal;

const EXAMPLE: &str = include_str!("../../../config.example.toml");

#[test]
fn the_example_is_rehearsed_without_secrets_and_the_exit_code_says_what_would_lapse() {
    let place = Place::new(EXAMPLE);
    let covered = place.done(&["rehearse", "--days", "1"]);
    assert_eq!(covered.out.lines().last(), Some("nothing would have lapsed"), "{}", covered.out);
    assert_eq!(covered.err, "");
    let lapsed =
        place.verb(&["rehearse", "--days", "1", "--edit", "day 1 12:05 of acme", "--json"]);
    assert_eq!(lapsed.code, 1, "{lapsed:#?}");
    let gap = &lapsed.json()["accounts"]["acme"]["gaps"][0];
    assert_eq!(
        (&gap["channel"], &gap["cause"]),
        (&"deal-sync".into(), &"event-missing".into()),
        "{}",
        lapsed.out
    );
    assert!(!place.state().exists(), "a rehearsal leaves nothing behind");
    assert_eq!(place.verb(&["rehearse", "--edit", "day 15 00:00"]).code, 1);
    place.write("no config");
    assert_eq!(place.verb(&["rehearse"]).code, 3);
}

#[test]
fn at_a_terminal_it_says_how_far_it_is_and_nowhere_else() {
    let place = Place::new(EXAMPLE);
    let mut waited = AtTerminal::run(&place, 80, "$CK rehearse --days 60 >/dev/null");
    waited.until("playing day 1 of 60");
    let quiet = AtTerminal::run(&place, 80, "$CK rehearse -q --days 1").ended();
    assert!(quiet.0 == 0 && !quiet.1.contains("playing"), "{quiet:?}");
}
