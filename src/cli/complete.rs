//! Completions of words that only the config knows: the names of accounts and channels.
//!
//! The shell's script asks the program, which reads the config that stands on the command line and
//! nothing else: no secret, no store, no daemon. A config that cannot be used completes nothing,
//! and says nothing.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap_complete::CompleteEnv;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;

use crate::config::{self, Surroundings};
use crate::model::desired::Desired;

use super::{CONFIG_DEFAULT, grammar};

/// Answers the shell, if it is the shell that asks.
pub fn completed() -> bool {
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(grammar::command).var(VARIABLE);
    // A shell that asks for something odd gets no candidates, and no words in its prompt.
    asked.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

/// The script by which a shell asks the program `completer`.
pub(super) fn script(shell: &str, completer: &str) -> std::io::Result<Vec<u8>> {
    let mut script = Vec::new();
    if let Some(shell) = Shells::builtins().completer(shell) {
        shell.write_registration(VARIABLE, NAME, NAME, completer, &mut script)?;
    }
    Ok(script)
}

/// For the name of an account.
pub(super) fn accounts() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, account_names))
}

/// For `[ACCOUNT/]CHANNEL`.
pub(super) fn channels() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| candidates(current, channel_names))
}

/// For an account or a channel.
pub(super) fn targets() -> ArgValueCompleter {
    ArgValueCompleter::new(|current: &OsStr| {
        candidates(current, |desired| {
            let mut names = account_names(desired);
            names.extend(channel_names(desired));
            names
        })
    })
}

/// A name, and a word on it.
type NamedWord = (String, String);

fn account_names(desired: &Desired) -> Vec<NamedWord> {
    let names = desired.accounts.keys().map(|name| (name.to_string(), "account".to_owned()));
    names.collect()
}

/// Each channel by its name, and by its account and its name.
fn channel_names(desired: &Desired) -> Vec<NamedWord> {
    let (mut bare, mut whole) = (Vec::new(), Vec::new());
    for (account, held) in &desired.accounts {
        for spec in held.specs.values() {
            bare.push((spec.name.to_string(), format!("channel of {account}")));
            whole.push((format!("{account}/{}", spec.name), "channel".to_owned()));
        }
    }
    bare.sort();
    bare.extend(whole);
    bare
}

fn candidates(
    current: &OsStr,
    names: impl Fn(&Desired) -> Vec<NamedWord>,
) -> Vec<CompletionCandidate> {
    let Some(current) = current.to_str() else { return Vec::new() };
    let path = config_of(std::env::args_os().skip_while(|word| word != "--"));
    let loaded = config::load(&path, &Surroundings::of_process().fetching_no_secrets());
    let Some(desired) = loaded.desired else { return Vec::new() };
    matching(current, names(&desired))
        .into_iter()
        .map(|(name, word)| CompletionCandidate::new(name).help(Some(word.into())))
        .collect()
}

/// Names that begin so. Whoever has not typed an account and its slash is shown bare names.
fn matching(current: &str, names: Vec<NamedWord>) -> Vec<NamedWord> {
    let has_slash = current.contains('/');
    let begins =
        |(name, _): &NamedWord| name.starts_with(current) && name.contains('/') == has_slash;
    names.into_iter().filter(begins).take(NAMES_MAX).collect()
}

/// The config that a command line names.
fn config_of(words: impl Iterator<Item = OsString>) -> PathBuf {
    let (mut named, mut is_next) = (None, false);
    for word in words {
        let Some(word) = word.to_str() else { continue };
        if is_next {
            named = Some(word.to_owned());
        }
        is_next = ["-c", "--config"].contains(&word);
        let joined = word.strip_prefix("--config=").or_else(|| word.strip_prefix("-c"));
        named = joined.filter(|path| !path.is_empty()).map(ToOwned::to_owned).or(named);
    }
    let named = named.unwrap_or_else(|| CONFIG_DEFAULT.to_owned());
    // The shell has not expanded what is being typed.
    match (named.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(below), Some(home)) => PathBuf::from(home).join(below),
        (Some(_), None) | (None, _) => PathBuf::from(named),
    }
}

/// The variable by which a shell asks.
const VARIABLE: &str = "CHANNELKEEPER_COMPLETE";
const NAME: &str = "channelkeeper";
/// Nobody reads more candidates than this.
const NAMES_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_is_the_one_that_the_command_line_names() {
        let of = |line: &str| {
            let words = line.split(' ').map(OsString::from);
            config_of(words).display().to_string()
        };
        for line in [
            "-- x -c a.toml status",
            "-- x --config a.toml status",
            "-- x --config=a.toml",
            "-- x -ca.toml",
        ] {
            assert_eq!(of(line), "a.toml", "{line}");
        }
        assert_eq!(of("-- x status"), CONFIG_DEFAULT);
        assert_eq!(of("-- x status -c"), CONFIG_DEFAULT);
    }

    #[test]
    fn names_come_bare_until_an_account_is_typed_and_never_without_end() {
        let names = |list: &[&str]| {
            list.iter().map(|name| ((*name).to_owned(), String::new())).collect::<Vec<_>>()
        };
        let all = names(&["deals", "leads", "acme/deals", "acme/leads"]);
        assert_eq!(matching("", all.clone()), names(&["deals", "leads"]));
        assert_eq!(matching("acme/d", all.clone()), names(&["acme/deals"]));
        assert_eq!(matching("x", all), names(&[]));
        let many = (0..10_000).map(|n| (format!("c{n}"), String::new())).collect();
        assert_eq!(matching("c", many).len(), NAMES_MAX);
    }
}
