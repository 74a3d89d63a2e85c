//! `token`, and receivers that compute what it tells.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::place::Place;

const KEY: &str = "hush: a key of more than thirty-two characters";

fn place() -> Place {
    let channel = |name: &str, token: &str| {
        format!(
            "[[channels]]\nname = \"{name}\"\nevents = [\"Deals.all\"]\nnotify_url = \"https://h.example/\"\n{token}\n"
        )
    };
    let account = "[accounts.acme]\ndata_center = \"eu\"\nclient_id = \"c\"\nclient_secret = { env = \"NOT_HERE\" }\n\
                   refresh_token = { env = \"NOT_HERE\" }\n";
    let channels = [
        channel("rotating", "token_key = { file = \"key\" }\ntoken_rotate = \"7d\""),
        channel("fixed", "token = \"hush-fixed\""),
        channel("bare", ""),
        channel("locked", "token_key = { file = \"not-here\" }"),
    ];
    let place = Place::new(&(account.to_owned() + &channels.concat()));
    fs::write(place.path().join("key"), format!("{KEY}\n")).unwrap();
    place
}

#[test]
fn the_two_generations_go_to_a_file_for_its_owner_alone_and_are_printed_on_request_only() {
    let place = place();
    let file = place.path().join("tokens");
    fs::write(&file, "older").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let told = place.done(&["token", "acme/rotating", "--out", file.to_str().unwrap()]);
    let shown = place.done(&["token", "rotating", "--show", "--json"]).json();
    let tokens: Vec<&str> =
        shown.as_array().unwrap().iter().map(|one| one["token"].as_str().unwrap()).collect();
    assert_eq!(fs::read_to_string(&file).unwrap(), format!("{}\n{}\n", tokens[0], tokens[1]));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(tokens.iter().all(|token| token.len() == 48 && !told.out.contains(token)), "{told:#?}");
    assert!(
        told.out.starts_with("current   generation ")
            && told.out.contains("\nprevious  generation "),
        "{told:#?}"
    );
    assert_eq!(shown[1]["until"], shown[0]["from"]);
    let next = place.done(&["token", "rotating", "--generation", "next", "--json"]).json();
    assert_eq!((&next[0]["from"], &next[0]["token"]), (&shown[0]["until"], &Value::Null));
    assert_eq!(
        place.done(&["token", "fixed", "--show", "--json"]).json()[0]["token"],
        "hush-fixed"
    );
}

#[test]
fn what_cannot_be_told_says_why() {
    let place = place();
    let table: [(&[&str], &str); 5] = [
        (&["none"], "no channel is named none"),
        (&["other/rotating"], "no account is named other"),
        (&["bare"], "channel bare has no token"),
        (&["fixed", "--generation", "previous"], "the token of channel fixed does not rotate"),
        (&["locked"], "the token_key of channel locked cannot be read here: the file "),
    ];
    for (args, why) in table {
        let ran = place.verb(&[&["token"], args].concat());
        assert!(
            ran.code == 1 && ran.err.contains(why) && !ran.err.contains("hush"),
            "{args:?}: {ran:#?}"
        );
    }
}

/// The receivers' guide is right: its code makes the tokens that `token` tells.
#[test]
fn the_python_of_the_guide_computes_the_same() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/receivers.md"))
        .unwrap();
    let code = guide.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let place = place();
    let shown = place.done(&["token", "rotating", "--show", "--json"]).json();
    // The first instant of the current generation, so that the one in which the test runs does not
    // matter.
    let begins: jiff::Timestamp = shown[0]["from"].as_str().unwrap().parse().unwrap();
    let id = channelkeeper::model::channel::ChannelId::derived(
        "channelkeeper",
        &"acme".parse().unwrap(),
        &"rotating".parse().unwrap(),
    );
    let script =
        format!("{code}\nprint(*tokens({KEY:?}, {id}, 7 * 86400, {}))\n", begins.as_second());
    let spawned =
        Command::new("python3").arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut python = match spawned {
        Ok(python) => python,
        Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => {
            assert!(
                std::env::var_os("CI_HAS_ALL").is_none(),
                "python3 is missing: .ci/run installs it"
            );
            return eprintln!("not run: there is no python3 on this machine");
        }
        Err(error) => panic!("python3: {error}"),
    };
    python.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let printed = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
    let tokens: Vec<&str> =
        shown.as_array().unwrap().iter().map(|one| one["token"].as_str().unwrap()).collect();
    assert_eq!(printed.trim(), tokens.join(" "));
}
