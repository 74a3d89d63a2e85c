//! Secrets are in nothing that the daemon writes, prints or serves.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::read::ZlibDecoder;
use rustix::process::Signal;
use serde_json::json;

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel};
use super::place::{Place, Ran};
use super::simulator::Simulator;

#[test]
fn no_secret_is_in_logs_at_trace_level_nor_in_anything_served_printed_or_stored() {
    let zoho = Simulator::start();
    let place = place(&zoho);
    let mut seen = Vec::new();
    let mut daemon = Daemon::start(&place);
    zoho.hand(&json!({"set_token": {"channel": 101, "token": "hush-of-somebody-else"}}));
    seen.push(("plan", text(&place.verb(&["plan", "--json"]))));
    daemon.hears_that("repair", |line| line["step"] == "update (drift)");
    serve(&daemon, &place, &mut seen);

    let good = fs::read_to_string(place.config()).unwrap();
    place.write(&good.replace("token = \"hush-plain\"", "tokn = \"hush-plain\" hush-plain"));
    daemon.signal(Signal::HUP);
    daemon.hears("the config is not used; the last good one stays in force");
    seen.push(("check", text(&place.verb(&["check"]))));
    seen.push(("plan of a broken config", text(&place.verb(&["plan"]))));
    place.write(&good);

    zoho.tell("POST", "/_sim/revoke", &json!({"refresh_token": "1000.refresh-sim1"}));
    seen.push(("apply", text(&place.verb(&["apply"]))));
    serve(&daemon, &place, &mut seen);
    let stored = stored(&place.state());
    let stored = String::from_utf8_lossy(&[inflated(&stored), stored].concat()).into_owned();
    seen.push(("log", daemon.stop().join("\n")));
    seen.push((
        "plan without its variable",
        text(&place.with_env("CLIENT_SECRET", "").verb(&["plan"])),
    ));

    for (what, text) in seen.iter().map(|(what, text)| (*what, text)).chain([("store", &stored)]) {
        for secret in SECRETS {
            let lines: Vec<&str> =
                text.lines().filter(|line| line.contains(secret)).take(3).collect();
            assert!(lines.is_empty(), "{secret} is in {what}:\n{}", lines.join("\n"));
        }
        // The store holds the access token of the hour by design: a restart must not ask for
        // another one.
        assert!(what == "store" || !holds_access_token(text), "an access token is in {what}");
    }
    assert!(holds_access_token(&stored));
    // The search finds what is there to be found.
    assert!(
        seen.iter().any(|(what, text)| *what == "log" && text.contains("\"TRACE\"")),
        "no trace"
    );
    assert!(stored.contains("by-plain"));
}

#[test]
fn a_command_that_fails_is_told_with_its_last_words_and_its_arguments_are_shown_nowhere() {
    let zoho = Simulator::start();
    let script = "echo nothing of note >&2; echo the lease is over >&2; exit 2";
    let command = format!("{{ command = [\"sh\", \"-c\", \"{script}\"] }}");
    let account = zoho.account().replace("\"secret-sim1\"", &command);
    let place = Place::new(&(account + &channel("one", 101, &["Deals.all"])));
    let refused = place.verb(&["check"]);
    assert_eq!(refused.code, 3, "{refused:#?}");
    let said = "the command sh failed: exit status: 2: the lease is over";
    assert!(refused.err.contains(said), "{refused:#?}");
    let shown = text(&refused);
    assert!(!shown.contains("nothing of note") && !shown.contains("exit 2"), "{refused:#?}");
    assert_eq!(place.verb(&["run"]).code, 3);
    assert_eq!(zoho.requests(), 0);
}

#[test]
fn credentials_that_were_refused_are_asked_for_once_more_where_they_came_from() {
    let zoho = Simulator::start();
    for reference in ["{ command = [\"cat\", \"FILE\"] }", "{ file = \"FILE\" }"] {
        let place = Place::new("");
        let file = place.path().join("token");
        let reference = reference.replace("FILE", &file.display().to_string());
        let login = || {
            let code = zoho.tell("POST", "/_sim/codes", &json!({}))["code"].clone();
            let args = ["login", "--code", code.as_str().unwrap(), "--out", file.to_str().unwrap()];
            assert_eq!(place.verb(&args).code, 0);
            fs::read_to_string(&file).unwrap()
        };
        let account = zoho.account().replace("\"1000.refresh-sim1\"", &reference);
        place.write(&(account + &channel("one", 101, &["Deals.all"])));
        let first = login();
        let mut daemon = Daemon::start(&place);
        let second = login();
        assert_ne!(first, second);
        zoho.tell("POST", "/_sim/revoke", &json!({ "refresh_token": first }));
        // `apply` would read the config again.
        assert_eq!(place.verb(&["renew", "one"]).code, 1, "the token is revoked");
        daemon.hears("other credentials were found where the refused ones came from");
        daemon.until("they are used", |_| place.verb(&["renew", "one"]).code == 0);
        daemon.stop();

        let third = login();
        let daemon = Daemon::start(&place);
        zoho.tell("POST", "/_sim/revoke", &json!({ "refresh_token": third }));
        for _ in 0..2 {
            assert_eq!(place.verb(&["renew", "one"]).code, 1, "the same ones stay refused");
        }
        let log = daemon.stop().join("\n");
        assert!(!log.contains("other credentials were found"), "{log}");
    }
}

/// Every way in which a secret can be given.
fn place(zoho: &Simulator) -> Place {
    let account = zoho
        .account()
        .replace("\"secret-sim1\"", "{ env = \"CLIENT_SECRET\" }")
        .replace("\"1000.refresh-sim1\"", "{ file = \"refresh\" }");
    let tokens = [
        ("by-env", 101, "{ env = \"TOKEN\" }"),
        ("by-file", 102, "{ file = \"token\" }"),
        ("by-credential", 103, "{ credential = \"token\" }"),
        ("by-plain", 104, "\"hush-plain\""),
        ("by-command", 105, "{ command = [\"./print\", \"token\"] }"),
    ];
    let declared = tokens.map(|(name, id, token)| {
        channel(name, id, &["Deals.all"]).replace(&format!("\"token-{name}\""), token)
    });
    let place = Place::new(&(account + AUDIT_ALWAYS + &declared.concat()));
    let write = |name: &str, secret: &str| fs::write(place.path().join(name), secret).unwrap();
    fs::create_dir(place.path().join("credentials")).unwrap();
    write("refresh", "1000.refresh-sim1\n");
    write("token", "hush-file\n");
    write("print", "#!/bin/sh\ncat \"${0%/*}/credentials/printed\"\n");
    fs::set_permissions(place.path().join("print"), fs::Permissions::from_mode(0o700)).unwrap();
    write("credentials/printed", "hush-command\n");
    write("credentials/token", "hush-credential\n");
    let credentials = place.path().join("credentials").to_str().unwrap().to_owned();
    place
        .with_env("CLIENT_SECRET", "secret-sim1")
        .with_env("TOKEN", "hush-env")
        .with_env("CREDENTIALS_DIRECTORY", credentials)
        .with_env("RUST_LOG", "trace")
        .with_env("RUST_BACKTRACE", "1")
}

fn serve(daemon: &Daemon, place: &Place, seen: &mut Vec<(&'static str, String)>) {
    for path in [
        "/",
        "/livez",
        "/readyz",
        "/healthz",
        "/healthz/channels/by-env",
        "/metrics",
        "/api/v1/status",
        "/api/v1/summary",
    ] {
        seen.push((path, daemon.get(path).body));
    }
    for verb in
        [["status", "--json"], ["plan", "--json"], ["renew", "by-env"], ["adopt", "by-plain"]]
    {
        seen.push((verb[0], text(&place.verb(&verb))));
    }
}

fn text(ran: &Ran) -> String {
    format!("{}{}", ran.out, ran.err)
}

/// Every byte below a directory, except of sockets.
fn stored(dir: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            bytes.extend(stored(&entry.path()));
        } else if kind.is_file() {
            bytes.extend(fs::read(entry.path()).unwrap());
        }
    }
    bytes
}

/// All that is deflated among these bytes, wherever it begins.
fn inflated(bytes: &[u8]) -> Vec<u8> {
    let begins = |place: &usize| bytes[*place..].first() == Some(&ZLIB);
    let mut all = Vec::new();
    for place in (0..bytes.len()).filter(begins) {
        let mut text = Vec::new();
        // Most of these bytes begin nothing.
        if ZlibDecoder::new(&bytes[place..]).read_to_end(&mut text).is_ok() {
            all.extend(text);
        }
    }
    all
}

/// The first byte of what zlib deflates.
const ZLIB: u8 = 0x78;

/// `1000.` and sixteen hexadecimal digits: a client id has none.
fn holds_access_token(text: &str) -> bool {
    text.split("1000.").skip(1).any(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        digits >= 16
    })
}

const SECRETS: [&str; 8] = [
    "hush-command",
    "secret-sim1",
    "refresh-sim1",
    "hush-env",
    "hush-file",
    "hush-credential",
    "hush-plain",
    "hush-of-somebody-else",
];

#[test]
fn what_zoho_quotes_of_our_secrets_is_neither_shown_nor_stored() {
    let zoho = Simulator::start();
    let quoted = "of hush-orders, as 1000.refresh-sim1, 1000%2Erefresh%2Dsim1 and secret-sim1";
    let details = json!({"why": quoted, "token": "hush-orders"});
    let refused = json!({"channel": "101", "code": "INVALID_DATA", "details": details});
    zoho.fault(&json!({"kind": {"refuse_channel": refused}}));
    let orders = channel("orders", 101, &["Deals.all"]).replace("token-orders", "hush-orders");
    let place = Place::new(&(zoho.account().to_owned() + &orders + AUDIT_ALWAYS))
        .with_env("RUST_LOG", "trace");
    let daemon = Daemon::start(&place);
    let mut seen = Vec::new();
    let look = |seen: &mut Vec<(String, String)>| {
        for path in ["/", "/channels/sim1/orders", "/healthz", "/api/v1/status", "/metrics"] {
            seen.push((path.to_owned(), daemon.get(path).body));
        }
        for verb in [["status", "--json"], ["plan", "--json"], ["explain", "orders"]] {
            seen.push((verb.join(" "), text(&place.verb(&verb))));
        }
        seen.push(("apply".to_owned(), text(&place.verb(&["apply"]))));
    };
    look(&mut seen);
    zoho.fault(
        &json!({"path": "token", "kind": {"oauth_error": {"error": format!("bad {quoted}")}}}),
    );
    zoho.tell("POST", "/_sim/revoke", &json!({"refresh_token": "1000.refresh-sim1"}));
    look(&mut seen);
    seen.push(("log".to_owned(), daemon.stop().join("\n")));
    seen.push(("store".to_owned(), String::from_utf8_lossy(&stored(&place.state())).into_owned()));
    assert!(
        seen.iter()
            .any(|(what, text)| what == "apply" && text.contains("of [secret], as [secret]")),
        "nothing was quoted: {:?}",
        seen.iter().find(|(what, _)| what == "apply")
    );
    for (what, text) in &seen {
        for secret in ["hush-orders", "1000.refresh-sim1", "1000%2Erefresh", "secret-sim1"] {
            let lines: Vec<&str> =
                text.lines().filter(|line| line.contains(secret)).take(3).collect();
            assert!(lines.is_empty(), "{secret} is in {what}:\n{}", lines.join("\n"));
        }
    }
}
