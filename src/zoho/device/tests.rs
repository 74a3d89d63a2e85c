//! The device flow against the simulator, on paused time.

use std::sync::Arc;

use super::super::testing::{Sim, account};
use super::*;
use crate::simulator::faults::Endpoint;
use crate::simulator::knobs::{DeviceAnswer, DeviceUnits};
use crate::simulator::{Fault, Knobs, Length, Rule};

const SCOPE: &str = "ZohoCRM.notifications.ALL";

async fn invited(sim: &Arc<Sim>) -> Invitation {
    invite(&account(), SCOPE, &*sim.carrier, &*sim.clock).await.unwrap()
}

async fn waited(sim: &Arc<Sim>, invitation: &Invitation) -> Result<Exchanged, DeviceError> {
    wait(&account(), invitation, &*sim.carrier, &*sim.clock).await
}

fn approving() -> Knobs {
    Knobs { device_answer: DeviceAnswer::Approve, ..Knobs::default() }
}

/// How long the whole wait took.
async fn time_of(
    sim: &Arc<Sim>,
    wait: impl Future<Output = Result<Exchanged, DeviceError>>,
) -> u64 {
    let before = sim.clock.elapsed();
    wait.await.unwrap();
    (sim.clock.elapsed() - before).as_secs()
}

/// A rule about the polls alone: the first call asks for the code.
fn polls(fault: Fault, times: u32) -> Rule {
    Rule { path: Some(Endpoint::Token), after: 1, times: Some(times), ..Rule::always(fault) }
}

fn says(error: &str) -> Fault {
    Fault::OauthError { error: error.to_owned() }
}

#[tokio::test(start_paused = true)]
async fn a_person_approves_and_the_refresh_token_comes_at_the_pace_of_either_unit() {
    for units in [DeviceUnits::Milliseconds, DeviceUnits::Seconds] {
        let knobs = Knobs {
            device_units: units,
            device_interval: Length(Duration::from_secs(7)),
            ..approving()
        };
        let sim = Sim::new(knobs);
        let invitation = invited(&sim).await;
        assert_eq!(invitation.lives, Duration::from_secs(300), "{units:?}");
        assert!(invitation.url.starts_with("https://accounts.zoho.test/"), "{invitation:?}");
        assert_eq!(time_of(&sim, waited(&sim, &invitation)).await, 7, "{units:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_poll_is_faster_than_five_seconds_and_slow_down_is_obeyed() {
    let sim = Sim::new(Knobs { device_interval: Length(Duration::from_secs(1)), ..approving() });
    let invitation = invited(&sim).await;
    assert_eq!(time_of(&sim, waited(&sim, &invitation)).await, 5);
    let sim = Sim::new(approving());
    sim.zoho().add_fault(polls(says("slow_down"), 2));
    let invitation = invited(&sim).await;
    assert_eq!(time_of(&sim, waited(&sim, &invitation)).await, 5 + 10 + 15);
}

#[tokio::test(start_paused = true)]
async fn polls_without_an_answer_are_waited_out() {
    for fault in [Fault::ServerErrorHtml, Fault::Refused, Fault::ServerErrorJson] {
        let sim = Sim::new(approving());
        sim.zoho().add_fault(polls(fault, 1));
        let invitation = invited(&sim).await;
        assert_eq!(time_of(&sim, waited(&sim, &invitation)).await, 5 + 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_who_denies_and_one_who_never_comes_end_the_wait() {
    let sim = Sim::new(Knobs { device_answer: DeviceAnswer::Deny, ..Knobs::default() });
    let invitation = invited(&sim).await;
    assert!(matches!(waited(&sim, &invitation).await, Err(DeviceError::Denied)));
    let sim = Sim::new(Knobs::default());
    let invitation = invited(&sim).await;
    let before = sim.clock.elapsed();
    assert!(matches!(waited(&sim, &invitation).await, Err(DeviceError::Ended)));
    assert_eq!((sim.clock.elapsed() - before).as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn the_other_data_centre_is_named_and_has_the_tokens() {
    let knobs = Knobs { device_location: Some("eu".to_owned()), ..approving() };
    let sim = Sim::new(knobs);
    let invitation = invited(&sim).await;
    let Err(DeviceError::OtherCenter(location)) = waited(&sim, &invitation).await else {
        panic!("it is not named")
    };
    let center = location.center.unwrap();
    assert_eq!((center.key, location.to_string()), ("eu", "eu".to_owned()));
    let account = Account { accounts_url: center.accounts_url.to_owned(), ..account() };
    let given = wait(&account, &invitation, &*sim.carrier, &*sim.clock).await.unwrap();
    assert!(given.refresh_token.expose().starts_with("1000."));
}

#[test]
fn a_data_centre_is_known_by_its_key_and_by_its_host() {
    for (named, key) in [
        ("EU", "eu"),
        ("us", "us"),
        ("com", "us"),
        ("com.au", "au"),
        ("https://accounts.zoho.in", "in"),
        ("zohocloud.ca", "ca"),
    ] {
        assert_eq!(center_of(named).map(|center| center.key), Some(key), "{named}");
    }
    assert_eq!(center_of("uk"), None);
    let location = Location { named: "uk".to_owned(), center: None };
    assert_eq!(location.to_string(), "uk");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_what_to_do() {
    for (word, help) in [
        ("invalid_client", "Non-browser"),
        ("invalid_client_type", "Non-browser"),
        ("general_error", "again in some minutes"),
    ] {
        let sim = Sim::new(Knobs::default());
        sim.zoho().add_fault(Rule { after: 0, ..polls(says(word), 1) });
        let error = invite(&account(), SCOPE, &*sim.carrier, &*sim.clock).await.unwrap_err();
        assert!(error.to_string().starts_with(word) && error.to_string().contains(help), "{error}");
    }
    let sim = Sim::new(Knobs::default());
    sim.zoho().add_fault(polls(says("invalid_client_secret"), 1));
    let invitation = invited(&sim).await;
    let error = waited(&sim, &invitation).await.unwrap_err();
    assert!(error.to_string().contains("check client_secret"), "{error}");
}

#[test]
fn a_page_has_an_address_of_at_most_so_many_bytes() {
    let page = |length: usize| format!("https://{}", "x".repeat(length - "https://".len()));
    assert!(is_page(&page(URL_MAX)) && !is_page(&page(URL_MAX + 1)));
}

#[test]
fn nothing_odd_is_shown_to_a_person() {
    let reply = |body: Value| Response {
        status: 200,
        headers: Vec::new(),
        body: body.to_string().into_bytes(),
    };
    let good = serde_json::json!({
        "user_code": "ABCD-1234",
        "device_code": "1000.d",
        "verification_url": "https://accounts.zoho.eu/device",
        "interval": u64::MAX,
        "expires_in": u64::MAX,
    });
    let read = |body: Value| read_invitation(&account(), "", &reply(body), Duration::ZERO);
    let invitation = read(good.clone()).unwrap();
    assert_eq!((invitation.interval, invitation.lives), (INTERVAL_MAX, LIFE_MAX));
    for (key, value) in [
        ("verification_url", "javascript:alert(1)"),
        ("verification_url", "http://accounts.zoho.eu/device"),
        ("verification_url", "https://accounts.zoho.eu/\u{1b}[2J"),
        ("user_code", "A\u{202e}B"),
        ("user_code", " "),
        ("device_code", ""),
    ] {
        let mut bad = good.clone();
        bad[key] = value.into();
        assert!(matches!(read(bad), Err(DeviceError::NoInvitation(200))), "{key}: {value}");
    }
    let mut silent = good;
    silent
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !["interval", "expires_in"].contains(&key.as_str()));
    let invitation = read(silent).unwrap();
    assert_eq!((invitation.interval, invitation.lives), (INTERVAL_MIN, LIFE));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(256))]

    #[test]
    fn no_reply_makes_a_reader_panic_or_gives_an_empty_token(
        status in 100_u16..600,
        bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200),
        word in "[a-z_]{0,12}",
        number in proptest::arbitrary::any::<u64>(),
    ) {
        let json = serde_json::json!({
            "error": word, "refresh_token": word, "device_code": word, "user_code": word,
            "verification_url": "https://a", "interval": number, "expires_in": number,
        });
        for body in [bytes, json.to_string().into_bytes()] {
            let response = Response { status, headers: Vec::new(), body };
            if let Ok(invitation) = read_invitation(&account(), "", &response, Duration::ZERO) {
                proptest::prop_assert!(invitation.interval >= INTERVAL_MIN && invitation.ends <= LIFE_MAX);
            }
            if let Ok(Polled::Given(given)) = read_poll(&account(), &response, &Veil::default()) {
                proptest::prop_assert!(!given.refresh_token.expose().is_empty());
            }
        }
    }
}
