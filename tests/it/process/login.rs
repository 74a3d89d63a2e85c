//! A grant code becomes a refresh token that works, and is seen by nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::declared::channel;
use super::http::PATIENCE;
use super::place::{Place, Ran};
use super::simulator::Simulator;

fn login(place: &Place, args: &[&str], code: &str) -> Ran {
    let command = place.command(&[&["login"], args].concat());
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

#[test]
fn a_code_is_exchanged_once_and_the_token_is_for_its_owner_alone() {
    let zoho = Simulator::start();
    let code =
        || zoho.tell("POST", "/_sim/codes", &json!({}))["code"].as_str().unwrap().to_owned() + "\n";
    let account: String = zoho
        .account()
        .lines()
        .filter(|line| !line.starts_with("refresh_token"))
        .collect::<Vec<_>>()
        .join("\n");
    let account = account + "\nrefresh_token = { file = \"secrets/refresh\" }\n";
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
