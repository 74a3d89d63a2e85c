//! The binary's words about itself: helps, completions and manual pages.

use std::fs;
use std::process::Command;

use super::place::{Place, ran};

/// The verbs, from the help itself.
fn verbs(place: &Place) -> Vec<String> {
    let help = place.done(&["--help"]).out;
    let listed = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// Verbs below verbs.
const NESTED: [&str; 1] = ["gaps ack"];

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
            help.out.contains("\nExit codes: 0 "),
            "{verb} does not say its exit codes:\n{}",
            help.out
        );
    }
}

#[test]
fn bash_loads_the_completions_and_completes_a_verb_and_an_option_with_them() {
    let place = Place::new("");
    let file = place.path().join("completions.bash");
    fs::write(&file, place.done(&["completions", "bash"]).out).unwrap();
    let bash = |script: &str| {
        let mut command = Command::new("bash");
        command
            .args(["--norc", "--noprofile", "-c", &format!("source \"$1\" && {script}"), "bash"])
            .arg(&file);
        ran(command)
    };
    let loaded = bash("complete -p channelkeeper");
    assert_eq!(loaded.code, 0, "{loaded:#?}");
    assert!(loaded.out.contains("-F _channelkeeper channelkeeper"), "{loaded:#?}");
    let complete = |words: &str, place: usize, current: &str| {
        let before = "channelkeeper";
        let ran = bash(&format!(
            "COMP_WORDS=({words}) COMP_CWORD={place}; _channelkeeper channelkeeper '{current}' {before}; \
             echo \"${{COMPREPLY[@]}}\""
        ));
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.out.trim().to_owned()
    };
    assert_eq!(complete("channelkeeper ado", 1, "ado"), "adopt");
    assert_eq!(complete("channelkeeper apply --allow", 2, "--allow"), "--allow-removals");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(place.done(&["completions", shell]).out.contains("channelkeeper"), "{shell}");
    }
    assert_eq!(place.verb(&["completions", "dos"]).code, 1);
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

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new("");
    let mut command = place.command(&["man"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!((ended.status.code(), err.as_str()), (Some(0), ""));
}
