//! The binary's words about itself: helps, completions and manual pages.

use std::fs;
use std::process::Command;

use super::place::{Place, ran};
use super::simulator::Simulator;

/// The verbs, from the help itself.
fn verbs(place: &Place) -> Vec<String> {
    let help = place.done(&["--help"]).out;
    let listed = help.split("Begin:\n").nth(1).unwrap().split("Global options:\n").next().unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// Verbs below verbs.
const NESTED: [&str; 7] = [
    "backfill abandon",
    "backfill release",
    "cluster evict",
    "cluster export",
    "cluster import",
    "cluster status",
    "gaps ack",
];

#[test]
fn every_verb_has_a_help_with_examples_and_exit_codes() {
    let place = Place::new("");
    let verbs = verbs(&place);
    assert!(verbs.len() > 10, "{verbs:?}");
    for verb in verbs.into_iter().chain(NESTED.map(str::to_owned)) {
        let help = place.done(&verb.split(' ').chain(["--help"]).collect::<Vec<_>>());
        assert_eq!(help.err, "");
        let usage = help
            .out
            .find(&format!("Usage: channelkeeper {verb}"))
            .unwrap_or_else(|| panic!("{}", help.out));
        let what = help.out[..usage].lines().next().unwrap_or_default();
        assert!(
            !what.is_empty() && what.len() <= 100,
            "{verb}: the first line says what it does: {what}"
        );
        let examples = help
            .out
            .split("Examples:\n")
            .nth(1)
            .unwrap_or_else(|| panic!("{verb} has no examples"));
        assert!(
            examples.contains(&format!("channelkeeper {verb}"))
                || examples.contains(&format!(" {verb}")),
            "{verb}"
        );
        assert!(
            help.out.contains("\nExit codes:\n  0  "),
            "{verb} does not say its exit codes:\n{}",
            help.out
        );
    }
}

/// A bash that has loaded the completions, and what it would offer for the last of these words.
fn offered(place: &Place, words: &[&str]) -> Vec<String> {
    let script = place.path().join("completions.bash");
    fs::write(&script, place.done(&["completions", "bash"]).out).unwrap();
    // As bash calls it: the function's name is the one that `complete -p` says.
    let ask = r#"
        source "$1" || exit 1
        registered=$(complete -p channelkeeper) || exit 1
        [[ $registered =~ -F\ ([^ ]+) ]] || exit 1
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
        "${BASH_REMATCH[1]}" channelkeeper "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", ask, "bash"]).arg(&script).args(words);
    let ran = ran(bash);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:#?}");
    ran.out.lines().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

const CHANNELS: &str = r#"
[accounts.acme]
data_center = "eu"
client_id = "a"
client_secret = { file = "nowhere" }
refresh_token = { command = ["touch", "asked"] }

[[channels]]
name = "deal-sync"
account = "acme"
events = ["Deals.all"]
notify_url = "https://hooks.example.com/deals"

[[channels]]
name = "deliveries"
account = "acme"
events = ["Contacts.all"]
notify_url = "https://hooks.example.com/contacts"
"#;

#[test]
fn bash_completes_verbs_options_values_and_the_names_in_the_config() {
    let place = Place::new(CHANNELS);
    let config = place.config().display().to_string();
    let offered = |line: &str| {
        let words: Vec<&str> =
            line.split(' ').map(|word| if word == "CONFIG" { &config } else { word }).collect();
        offered(&place, &words)
    };
    assert_eq!(offered("channelkeeper ado"), ["adopt"]);
    assert_eq!(offered("channelkeeper apply --allow"), ["--allow-removals"]);
    assert_eq!(offered("channelkeeper --log-format j"), ["json"]);
    assert_eq!(offered("channelkeeper -c CONFIG explain de"), ["deal-sync", "deliveries"]);
    assert_eq!(offered("channelkeeper -c CONFIG explain acme/del"), ["acme/deliveries"]);
    assert_eq!(offered("channelkeeper gaps -c CONFIG --channel dea"), ["deal-sync"]);
    assert_eq!(offered("channelkeeper -c CONFIG gaps ack dea"), ["deal-sync"]);
    assert_eq!(offered("channelkeeper -c CONFIG plan --account a"), ["acme"]);
    assert_eq!(offered("channelkeeper -c CONFIG pause a"), ["acme"]);
    assert!(!place.path().join("asked").exists(), "no secret is fetched for a completion");
}

#[test]
fn a_config_that_cannot_be_used_completes_nothing_and_says_nothing() {
    let place = Place::new("[accounts");
    let config = place.config().display().to_string();
    for verb in ["explain", "renew", "adopt", "token"] {
        assert!(offered(&place, &["channelkeeper", "-c", &config, verb, "d"]).is_empty(), "{verb}");
    }
    assert!(offered(&place, &["channelkeeper", "-c", "/nowhere", "explain", "d"]).is_empty());
}

#[test]
fn every_shell_has_a_script_that_asks_the_program() {
    let place = Place::new("");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.done(&["completions", shell]).out;
        assert!(script.contains(env!("CARGO_BIN_EXE_channelkeeper")), "{shell}: {script}");
    }
    assert_eq!(place.verb(&["completions", "dos"]).code, 1);
}

#[test]
fn v_and_q_say_how_much_is_logged_whatever_the_environment_says() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config).with_env("RUST_LOG", "error");
    assert_eq!(place.done(&["apply"]).err, "");
    let told = place.done(&["-v", "renew"]).err;
    assert!(told.contains(" INFO ") && !told.contains("DEBUG"), "{told}");
    let told = place.done(&["renew", "-vv"]).err;
    assert!(told.contains("DEBUG"), "{told}");
    assert_eq!(place.verb(&["-v", "-q", "plan"]).code, 1);
}

#[test]
fn there_is_a_manual_page_for_each_verb_and_it_renders_without_a_warning() {
    let place = Place::new("");
    let dir = place.path().join("man1");
    let written = place.done(&["man", "--dir", dir.to_str().unwrap()]).out;
    let names = verbs(&place).into_iter().chain(NESTED.map(|verb| verb.replace(' ', "-")));
    let mut expected: Vec<String> = names.map(|verb| format!("channelkeeper-{verb}.1")).collect();
    expected.push("channelkeeper.1".to_owned());
    expected.sort();
    let mut pages: Vec<&str> =
        written.lines().map(|path| path.rsplit('/').next().unwrap()).collect();
    pages.sort_unstable();
    assert_eq!(pages, expected);
    for page in written.lines() {
        let text = fs::read_to_string(page).unwrap();
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}: {text}");
        let (_, examples) = text.split_once(".SH EXAMPLES\n.nf\n").unwrap();
        let examples = examples.split_once(".fi\n").unwrap().0;
        assert!(
            examples.lines().any(|line| line.starts_with("  channelkeeper ")),
            "{page}: {text}"
        );
        renders(page);
    }
    let main = place.done(&["man"]).out;
    assert!(main.contains("channelkeeper\\-plan(1)"), "{main}");
}

/// Where groff is installed: it has nothing to complain of.
#[expect(clippy::print_stderr, reason = "a check that was left out is said")]
fn renders(page: &str) {
    let mut groff = Command::new("groff");
    groff.args(["-man", "-Tutf8", "-ww", "-z", page]);
    let output = match groff.output() {
        Ok(output) => output,
        Err(absent) if absent.kind() == std::io::ErrorKind::NotFound => {
            return eprintln!("groff is not installed, so {page} was not rendered");
        }
        Err(error) => panic!("groff: {error}"),
    };
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{page}: {complaints}");
}

/// Runs a verb whose stdout nobody reads.
fn unread(place: &Place, args: &[&str]) -> (Option<i32>, String) {
    let mut command = place.command(args);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.stdin(std::process::Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error_for_any_verb() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    for args in [
        &["--help"][..],
        &["plan", "--help"],
        &["man"],
        &["completions", "bash"],
        &["plan"],
        &["plan", "--json"],
        &["apply", "--dry-run"],
        &["apply", "--dry-run"],
        &["apply"],
        &["check"],
        &["status"],
        &["status", "--json"],
        &["explain", "deals-1"],
        &["gaps"],
        &["gaps", "ack", "--all"],
        &["renew"],
        &["pause"],
        &["resume"],
        &["import"],
        &["token", "deals-1"],
        &["rehearse", "--days", "1", "-q"],
        &["simulator", "--listen", "127.0.0.1:0", "--print-config"],
        &["demo", "--days", "1"],
    ] {
        assert_eq!(unread(&place, args), (Some(0), String::new()), "{args:?}");
    }
}
