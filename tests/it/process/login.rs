//! A grant code, or a code that a person approves, becomes a refresh token that works and is seen
//! by nobody; and its end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;

use super::declared::channel;
use super::http::{self, PATIENCE};
use super::place::{Place, Ran};
use super::simulator::Simulator;

fn login(place: &Place, args: &[&str], code: &str) -> Ran {
    let command = place.command(&[&["login", "--code", "-"], args].concat());
    let output = assert_cmd::Command::from_std(command)
        .write_stdin(code)
        .timeout(PATIENCE)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// The account of the simulator's config, with a refresh token that is not there yet.
fn without_token(zoho: &Simulator) -> String {
    let lines = zoho.account().lines().filter(|line| !line.starts_with("refresh_token"));
    let account = lines.collect::<Vec<_>>().join("\n");
    account + "\nrefresh_token = { file = \"secrets/refresh\" }\n"
}

/// Logs in with the device flow, at a pace; `answer` is given on the simulator's page.
pub(super) fn approved(place: &Place, zoho: &Simulator, answer: &str) -> Ran {
    approved_for(place, zoho, answer, "ZohoCRM")
}

/// The same for an account whose scopes begin so.
pub(super) fn approved_for(place: &Place, zoho: &Simulator, answer: &str, scopes: &str) -> Ran {
    let knobs = json!({ "device_interval": "0s", "device_code_life": "30m" });
    zoho.tell("PATCH", "/_sim/knobs", &knobs);
    let mut command = place.command(&["login", "--json", "--pace", "50@2026-01-01T00:00:00Z"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut err = String::new();
    let code = loop {
        let from = err.len();
        assert_ne!(stderr.read_line(&mut err).unwrap(), 0, "no code in {err}");
        if let Some((_, code)) = err[from..].split_once("type the code ") {
            break code.trim().to_owned();
        }
    };
    let page = "/oauth/v3/device";
    let shown = http::get(&zoho.address, &format!("{page}?user_code={code}"));
    let scope = format!("{scopes}.notifications.ALL");
    assert!(shown.status == 200 && shown.body.contains(&scope), "{shown:?}");
    let given = format!("user_code={code}&answer={answer}");
    assert_eq!(http::call(&zoho.address, "POST", page, &given).status, 200);
    let (mut out, ended) = (String::new(), child.wait().unwrap());
    stderr.read_to_string(&mut err).unwrap();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    Ran { code: ended.code().unwrap_or(-1), out, err }
}

#[test]
fn a_code_that_was_approved_on_the_page_gives_a_token_and_logout_ends_it() {
    let zoho = Simulator::start();
    let place = Place::new(&(without_token(&zoho) + &channel("one", 101, &["Deals.all"])));
    let file = place.path().join("secrets/refresh");

    let denied = approved(&place, &zoho, "deny");
    assert!(denied.code == 1 && denied.err.contains("access was denied"), "{denied:#?}");
    assert!(!file.exists() && denied.out.is_empty(), "{denied:#?}");

    let done = approved(&place, &zoho, "approve");
    assert_eq!((done.code, &done.json()["account"]), (0, &json!("sim1")), "{done:#?}");
    let token = fs::read_to_string(&file).unwrap();
    assert!(token.starts_with("1000.") && !(done.out + &done.err).contains(&token));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.verb(&["plan"]).code, 2, "the token is good");

    let left = place.done(&["logout"]);
    assert!(left.out.contains("revoked at Zoho") && !file.exists(), "{left:#?}");
    assert!(!zoho.see("/_sim/state").to_string().contains(&token));
    let again = place.done(&["logout"]);
    assert!(again.out.contains("no refresh token to revoke"), "{again:#?}");
}

#[test]
fn a_logout_that_zoho_does_not_confirm_removes_nothing() {
    let zoho = Simulator::start();
    let place = Place::new(&without_token(&zoho));
    let file = place.path().join("secrets/refresh");
    fs::create_dir(place.path().join("secrets")).unwrap();
    fs::write(&file, "1000.refresh-sim1\n").unwrap();
    for fault in [json!("reset_after"), json!({ "oauth_error": { "error": "general_error" } })] {
        zoho.fault(&json!({ "kind": fault, "path": "token", "times": 1 }));
        let failed = place.verb(&["logout"]);
        assert!(failed.code == 1 && file.exists() && failed.out.is_empty(), "{failed:#?}");
    }
}

#[test]
fn every_verb_that_needs_the_refresh_token_names_login_while_it_is_not_there() {
    let zoho = Simulator::start();
    let place = Place::new(&(without_token(&zoho) + &channel("one", 101, &["Deals.all"])));
    for verb in ["check", "plan", "apply", "status", "gaps", "renew", "import", "run"] {
        let ran = place.verb(&[verb]);
        assert_eq!(ran.code, 3, "{verb}: {ran:#?}");
        assert!(
            ran.err.contains("`channelkeeper login` with the same --config gets it"),
            "{verb}: {ran:#?}"
        );
    }
    assert_eq!(zoho.requests(), 0);
}

#[test]
fn a_code_is_exchanged_once_and_the_token_is_for_its_owner_alone() {
    let zoho = Simulator::start();
    let code =
        || zoho.tell("POST", "/_sim/codes", &json!({}))["code"].as_str().unwrap().to_owned() + "\n";
    let account = without_token(&zoho);
    let place = Place::new(&(account.clone() + &channel("one", 101, &["Deals.all"])));
    assert_eq!(place.verb(&["plan"]).code, 3, "the refresh token is not there yet");

    let first = code();
    let done = login(&place, &[], &first);
    assert_eq!(done.code, 0, "{done:#?}");
    let file = place.path().join("secrets/refresh");
    let token = fs::read_to_string(&file).unwrap();
    assert!(
        token.starts_with("1000.") && !done.out.contains(&token) && !done.err.contains(&token),
        "{done:#?}"
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.verb(&["plan"]).code, 2, "the token is good");

    let again = login(&place, &[], &first);
    assert_eq!(again.code, 1, "{again:#?}");
    assert!(
        again.err.contains("invalid_code: ") && again.err.contains("make a new one"),
        "{again:#?}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), token, "what did not work changes nothing");
    assert_eq!(login(&place, &[], "\n").code, 1);
    assert_eq!(login(&place, &["--account", "nobody"], &code()).code, 1);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let out = place.path().join("elsewhere");
    let json = login(&place, &["--json", "--out", out.to_str().unwrap()], &code());
    assert_eq!((json.code, &json.json()["file"]), (0, &json!(out.to_str().unwrap())), "{json:#?}");
    assert_ne!(fs::read_to_string(&out).unwrap(), token);

    place.write(&(account.replace("secret-sim1", "secret-other")));
    let wrong = login(&place, &[], &code());
    assert!(
        wrong.code == 1 && wrong.err.contains("invalid_client_secret: check client_secret"),
        "{wrong:#?}"
    );
    place.write(&(account.replace("client_id = \"1000.", "client_id = \"1001.")));
    let wrong = login(&place, &[], &code());
    assert!(
        wrong.code == 1
            && wrong.err.contains("invalid_client: ")
            && wrong.err.contains("data_center"),
        "{wrong:#?}"
    );
}
