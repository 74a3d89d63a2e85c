//! The pages in a real browser, as people see them.

use super::chromium::{self, Chromium, Look, Rules};
use super::daemon::Daemon;
use super::place::Place;
use super::simulator::Simulator;

const LOOKS: [Look; 4] = [
    Look { width: 390, theme: "light" },
    Look { width: 390, theme: "dark" },
    Look { width: 768, theme: "light" },
    Look { width: 1280, theme: "dark" },
];

#[test]
fn the_pages_can_be_read_on_a_phone_and_on_a_desk_in_light_and_dark() {
    let Some(program) = chromium::installed() else {
        eprintln!(
            "NOT TESTED: chromium is not installed, so no page was looked at (apt-get install chromium)"
        );
        return;
    };
    let simulator = Simulator::with(2, 120);
    let place = Place::new(&simulator.config);
    let daemon = Daemon::start(&place);
    let (account, name) = first_channel(&daemon);
    let front = format!("http://{}/", daemon.listens());
    let channel = format!("{front}channels/{account}/{name}");
    let mut browser = Chromium::start(&program);
    for look in LOOKS {
        browser.open(&front, look);
        let h1 = browser.evaluate("document.querySelector('h1').innerText");
        assert!(
            h1.as_str().unwrap().to_lowercase().starts_with("everything is covered until"),
            "{h1}"
        );
        assert_eq!(
            browser.evaluate("document.querySelectorAll('.channels tbody tr').length"),
            50,
            "{look:?}"
        );
        fits(&mut browser, look, &front);
        browser.open(&channel, look);
        assert_eq!(browser.evaluate("document.querySelectorAll('figure svg.strip').length"), 1);
        browser.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)");
        fits(&mut browser, look, &channel);
    }
    searches(&mut browser, &front, &name);
    assert_eq!(browser.complaints, [""; 0]);
    // The same without the script, which no page needs.
    browser.allows_scripts(false);
    searches(&mut browser, &front, &name);
    browser.allows_scripts(true);
    browser.open(&format!("{front}channels/none/%3Cb%3E"), LOOKS[0]);
    assert_eq!(browser.evaluate("document.querySelectorAll('b').length"), 0);
    fits(&mut browser, LOOKS[0], "a page that is not there");
    daemon.stop();
}

#[test]
fn the_pages_are_accessible() {
    let Some(program) = chromium::installed() else {
        eprintln!("NOT TESTED: chromium is not installed, so no page was checked");
        return;
    };
    let simulator = Simulator::with(2, 12);
    let place = Place::new(&simulator.config);
    let daemon = Daemon::start(&place);
    let (account, name) = first_channel(&daemon);
    let front = format!("http://{}/", daemon.listens());
    let paths = [
        String::new(),
        "?follow=1".to_owned(),
        "?state=purple&sort=-name&account=none".to_owned(),
        format!("channels/{account}/{name}"),
        "channels/none/none".to_owned(),
        "nothing".to_owned(),
    ];
    let mut browser = Chromium::start(&program);
    // The second look is the first in other colours.
    let rules = [Rules::All, Rules::Colours, Rules::All, Rules::All];
    for (look, rules) in LOOKS.into_iter().zip(rules) {
        for path in &paths {
            browser.open(&format!("{front}{path}"), look);
            browser.brings_axe();
            let found = browser.violations(rules);
            assert_eq!(found, serde_json::json!([]), "/{path} {look:?}");
        }
    }
    daemon.stop();
}

fn first_channel(daemon: &Daemon) -> (String, String) {
    let status = daemon.get("/api/v1/status").json();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&status["accounts"][0]["name"]), text(&status["accounts"][0]["channels"][0]["name"]))
}

/// Nothing is wider than the window, the theme is the one that was asked for, the style sheet is in
/// force, and there is no script but the page's own, which ran.
#[track_caller]
fn fits(browser: &mut Chromium, look: Look, what: &str) {
    let widths =
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth, innerWidth]";
    let widths: Vec<u32> = serde_json::from_value(browser.evaluate(widths)).unwrap();
    assert_eq!((widths[0], widths[2]), (widths[1], look.width), "{what}: {look:?}");
    let ground = browser.evaluate("getComputedStyle(document.body).backgroundColor");
    let expected = if look.theme == "dark" { "rgb(20, 23, 27)" } else { "rgb(255, 255, 255)" };
    assert_eq!(ground, expected, "{what}: {look:?}");
    assert_eq!(browser.evaluate("document.scripts.length"), 1, "{what}");
    let title = browser.evaluate("document.querySelector('time').title");
    assert!(title.as_str().unwrap().contains(" = "), "{what}: {title}");
}

/// The form is filled in and sent, a page turned and a channel opened.
#[track_caller]
fn searches(browser: &mut Chromium, front: &str, name: &str) {
    browser.open(front, LOOKS[3]);
    browser.follow("document.querySelector('a[rel=next]').click()");
    assert_eq!(browser.evaluate("document.querySelector('.pages span').innerText"), "page 2 of 3");
    browser.follow(&format!(
        "document.forms[0].q.value = '{name}'; document.forms[0].requestSubmit()"
    ));
    assert_eq!(browser.evaluate("document.forms[0].q.value"), name);
    let first = browser.evaluate("document.querySelector('.channels tbody th a').innerText");
    assert!(first.as_str().unwrap().contains(name), "{first}");
    browser.follow("document.querySelector('.channels tbody th a').click()");
    let h1 = browser.evaluate("document.querySelector('h1').innerText");
    assert!(h1.as_str().unwrap().contains("is covered until"), "{h1}");
}
