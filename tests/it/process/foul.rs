//! Text from somebody else steers no terminal and breaks no line, wherever it comes out.

use channelkeeper::model::sanitize::is_foul;
use serde_json::json;

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel};
use super::place::{Place, Ran};
use super::simulator::Simulator;

/// Bells, colours, a title for the window, a line of its own, a second CSI, text that is read
/// backwards, markup.
const FOUL: &str = "a\u{7}\u{1b}[31m\u{1b}]0;title\u{7}\r\nERROR forged\u{9b}2J\u{85}\u{202e}evil\u{2066}\u{2028}<script>|";

#[test]
fn what_zoho_says_comes_out_plain_everywhere() {
    let zoho = Simulator::start();
    let alive = "2099-01-01T00:00:00Z";
    let url = format!("https://other.example.com/{FOUL}");
    let theirs = json!({"channel": 700, "events": ["Deals.all"], "notify_url": url, "token": FOUL, "expiry": alive});
    zoho.hand(&json!({ "create": theirs }));
    // And one that is declared here, so that it is in conflict.
    let conflict = json!({"channel": 102, "events": ["Deals.all"], "notify_url": url, "token": FOUL, "expiry": alive});
    zoho.hand(&json!({ "create": conflict }));
    let refused = json!({"channel": "101", "code": FOUL, "details": {"why": FOUL}});
    zoho.fault(&json!({"kind": {"refuse_channel": refused}}));
    let declared = channel("orders", 101, &["Deals.all"]) + &channel("taken", 102, &["Leads.all"]);
    let place = Place::new(&(zoho.account().to_owned() + &declared + AUDIT_ALWAYS));

    let mut daemon = Daemon::start(&place);
    for verb in VERBS {
        is_plain(verb, &place.verb(verb));
    }
    for path in [
        "/",
        "/channels/sim1/orders",
        "/channels/sim1/taken",
        "/metrics",
        "/api/v1/status",
        "/healthz",
    ] {
        let body = daemon.get(path).body;
        let foul = body.chars().find(|c| *c != '\n' && is_foul(*c));
        assert_eq!(foul, None, "{path}: {body}");
        assert!(!body.contains("<script>|") || body.starts_with('{'), "{path}: {body}");
    }
    daemon.read_on();
    for line in daemon.stop() {
        assert!(!line.contains(is_foul), "{line:?}");
    }
    // In this process the log is text.
    for verb in VERBS {
        is_plain(verb, &place.verb(verb));
    }
    zoho.fault(&json!({"path": "token", "kind": {"oauth_error": {"error": FOUL}}}));
    std::fs::remove_dir_all(place.state()).unwrap();
    for verb in VERBS {
        is_plain(verb, &place.verb(verb));
    }
}

#[test]
fn what_a_config_says_comes_out_plain_everywhere() {
    let zoho = Simulator::start();
    let escaped = "\\u0007\\u001B[31m\\r\\nERROR forged\\u009B2J\\u0085\\u202Eevil\\u2066\\u2028";
    let raw = "\u{202e}evil\u{2066}\u{9b}2J";
    let account = zoho.account();
    for broken in [
        format!(
            "{account}\n[[channels]]\nname = \"{escaped}\"\nevents = [\"{escaped}\"]\nnotify_url = \"{escaped}\"\n"
        ),
        format!(
            "{account}\n[[channels]]\nname = \"{raw}\"\nevents = [\"{raw}\"]\nnotify_url = \"{raw}\"\n"
        ),
        format!("{account}\n[daemon]\n\"{escaped}\" = \"{raw}\"\nowner = \"{escaped}\"\n"),
        format!(
            "{account}\n[http]\nlisten = \"{escaped}\"\nhosts = [\"{escaped}\"]\ntoken = {{ env = \"{escaped}\" }}\n"
        ),
        format!(
            "{account}\n[client]\nca_file = \"{escaped}\"\n[alerts]\nwebhook = {{ file = \"{escaped}\" }}\n"
        ),
        format!(
            "include = [\"{escaped}\"]\n{account}\n[reconcile]\naudit = \"{escaped}\"\nmode = \"{raw}\"\n"
        ),
        format!("{account}\n[accounts.\"{escaped}\"]\nclient_id = \"{raw}\"\n"),
        format!("# {raw}\n{account}\n{raw} = = 3\n"),
    ] {
        let place = Place::new(&broken);
        for verb in VERBS {
            let ran = place.verb(verb);
            is_plain(verb, &ran);
            assert_eq!(ran.code, 3, "{verb:?}: {ran:#?}");
        }
    }
}

#[track_caller]
fn is_plain(verb: &[&str], ran: &Ran) {
    for text in [&ran.out, &ran.err] {
        let foul = text.chars().find(|c| !matches!(c, '\n' | '\t') && is_foul(*c));
        assert_eq!(foul, None, "{verb:?}: {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("ERROR forged")), "{verb:?}: {text:?}");
    }
}

const VERBS: [&[&str]; 8] = [
    &["check"],
    &["plan"],
    &["plan", "--json"],
    &["explain", "orders"],
    &["explain", "taken"],
    &["import"],
    &["import", "--json"],
    &["apply"],
];
