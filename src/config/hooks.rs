//! The checks of `[hooks]`: known events, a command that can be found without a shell or a search
//! path, and somebody to tell something to.

use std::collections::BTreeSet;
use std::path::Path;

use super::check::{Check, told_url};
use super::given::Given;
use super::raw;
use super::source::At;
use super::values;
use crate::model::hooks::{HookEvent, Hooks};

/// Whom to tell of which events.
pub(super) fn hooks(given: &raw::Hooks, check: &mut Check<'_>) -> Hooks {
    let raw::Hooks { on, run, timeout, url } = given;
    let usual = Hooks::default();
    if let (Some(at), Given::Absent, Given::Absent) = (on.good(), run, url) {
        let help = "set run, url, or both; docs/operations.md says what they are given";
        check.notes.warning(at.place, "events, and nobody to tell of them", help);
    }
    Hooks {
        on: on.good().map_or(usual.on, |at| events(at, check)),
        run: command(run, check),
        timeout: timeout.value().copied().unwrap_or(usual.timeout),
        url: told_url("url", url, check),
    }
}

fn events(on: &At<Vec<At<String>>>, check: &mut Check<'_>) -> BTreeSet<HookEvent> {
    let mut events = BTreeSet::new();
    for at in &on.value {
        match values::hook_event(&at.value) {
            Ok(event) => drop(events.insert(event)),
            Err(mistake) => check.problem(at.place, mistake.message, mistake.help),
        }
    }
    if on.value.is_empty() {
        check.notes.warning(on.place, "no event is told", "leave the key out for all of them");
    }
    events
}

fn command(run: &Given<Vec<At<String>>>, check: &mut Check<'_>) -> Vec<String> {
    let Some(at) = run.good() else { return Vec::new() };
    match at.value.first() {
        None => check.problem(at.place, "an empty command", "as in [\"/usr/local/bin/told\"]"),
        Some(program) if !Path::new(&program.value).is_absolute() => check.problem(
            program.place,
            "no whole path of a program",
            "no shell reads the command and no PATH is searched: as in \"/usr/local/bin/told\"",
        ),
        Some(program) if !Path::new(&program.value).is_file() => check.notes.warning(
            program.place,
            "there is no such program on this machine",
            "put it there; until then each event is a failure in the log",
        ),
        Some(_) => {}
    }
    if let Some(odd) = at.value.iter().find(|argument| argument.value.contains('\0')) {
        check.problem(odd.place, "a NUL character in a command", "leave it out");
    }
    at.value.iter().map(|argument| argument.value.clone()).collect()
}
