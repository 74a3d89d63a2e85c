//! `token`: which tokens a receiver should accept for a channel now.
//!
//! Tokens that rotate follow from the config and the time alone, so neither Zoho nor a daemon is
//! asked. A token is printed with `--show` only; what is printed otherwise is its fingerprint.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::config::near::did_you_mean;
use crate::config::{self, Loaded, Surroundings};
use crate::model::address::Address;
use crate::model::channel::Spec;
use crate::model::desired::Desired;
use crate::model::secret::Secret;
use crate::model::time::Timestamp;

use super::connect::print_problems;
use super::{Common, Exit, complete, login};

/// Tell which tokens a receiver should accept for a channel now.
///
/// A token that rotates has two: the current generation and the previous one, by this machine's
/// clock. The tokens themselves go to a file, or to stdout with --show. It asks neither Zoho nor a
/// daemon.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct TokenArgs {
    /// The channel: its declared name, or its id
    #[arg(value_name = "[ACCOUNT/]CHANNEL", add = complete::channels())]
    channel: Address,
    /// Only this generation
    #[arg(long, value_enum, value_name = "WHICH")]
    generation: Option<Generation>,
    /// Write the tokens into this file, one a line, for its owner alone; one that is there is
    /// replaced
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the tokens themselves
    #[arg(long)]
    show: bool,
}

/// One of the generations around now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Generation {
    Current,
    Previous,
    Next,
}

/// One token.
#[derive(Debug, Serialize)]
struct TokenView {
    which: Generation,
    /// Its number, and when it is the current one; none when the token does not rotate.
    number: Option<i64>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

pub(super) fn run(
    args: &TokenArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let loaded = config::load(&common.config, &Surroundings::of_process().doing_without_secrets());
    // Only the warning about this channel's secret matters here, and that is told below.
    let loaded = Loaded { warnings: Vec::new(), ..loaded };
    print_problems(&loaded);
    let Some(desired) = loaded.desired else { return Ok(Exit::BadConfig) };
    let spec = find(&desired, &args.channel)?;
    let tokens = tokens(spec, args.generation, SystemClock::new().now())?;
    if let Some(file) = &args.out {
        write(file, &tokens).with_context(|| format!("{} cannot be written", file.display()))?;
    }
    let views: Vec<TokenView> = tokens.iter().map(|token| token.view(spec, args.show)).collect();
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&views)?)?;
    } else {
        views.iter().try_for_each(|view| writeln!(stdout, "{}", view.line()))?;
    }
    Ok(Exit::Done)
}

fn find<'d>(desired: &'d Desired, asked: &Address) -> anyhow::Result<&'d Spec> {
    let held = desired.accounts.iter().filter(|(name, _)| asked.is_of(name));
    let specs: Vec<&Spec> =
        held.flat_map(|(_, held)| held.specs.values()).map(|spec| &**spec).collect();
    let is_it = |spec: &&&Spec| spec.name == asked.channel || Some(spec.id) == asked.id();
    match specs.iter().filter(is_it).collect::<Vec<_>>()[..] {
        [spec] => Ok(spec),
        [] if !desired.accounts.keys().any(|name| asked.is_of(name)) => {
            Err(login::no_account(desired, asked.account.as_ref().map_or("", |name| name.as_str())))
        }
        [] => {
            let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
            let hint = did_you_mean(asked.channel.as_str(), &names).unwrap_or_default();
            bail!("no channel is named {asked}{hint}")
        }
        _ => bail!("several accounts have a channel {asked}: write ACCOUNT/CHANNEL"),
    }
}

/// One generation's token.
struct Token {
    which: Generation,
    number: Option<i64>,
    value: Secret,
}

/// Those that are asked for: without a word, what a receiver accepts.
fn tokens(spec: &Spec, asked: Option<Generation>, now: Timestamp) -> anyhow::Result<Vec<Token>> {
    let Some(rotation) = &spec.rotation else {
        let Some(value) = spec.token.clone() else { bail!("channel {} has no token", spec.name) };
        if value.expose().is_empty() {
            bail!("the token of channel {} cannot be read here: {}", spec.name, value.origin());
        }
        return match asked {
            None | Some(Generation::Current) => {
                Ok(vec![Token { which: Generation::Current, number: None, value }])
            }
            Some(Generation::Previous | Generation::Next) => {
                bail!("the token of channel {} does not rotate: it has no token_key", spec.name)
            }
        };
    };
    if rotation.key.expose().is_empty() {
        bail!(
            "the token_key of channel {} cannot be read here: {}",
            spec.name,
            rotation.key.origin()
        );
    }
    let current = rotation.generation(spec.id, now);
    let token = |which| {
        let number = match which {
            Generation::Current => current,
            Generation::Previous => current - 1,
            Generation::Next => current + 1,
        };
        Token { which, number: Some(number), value: rotation.token(spec.id, number) }
    };
    Ok(match asked {
        Some(which) => vec![token(which)],
        None => vec![token(Generation::Current), token(Generation::Previous)],
    })
}

impl Token {
    fn view(&self, spec: &Spec, show: bool) -> TokenView {
        let Token { which, number, value } = self;
        let begins =
            |beyond: i64| Some(spec.rotation.as_ref()?.begins(spec.id, (*number)? + beyond));
        TokenView {
            which: *which,
            number: *number,
            from: begins(0),
            until: begins(1),
            fingerprint: value.fingerprint().to_string(),
            token: show.then(|| value.expose().to_owned()),
        }
    }
}

impl TokenView {
    fn line(&self) -> String {
        let TokenView { which, number, from, until, fingerprint, token } = self;
        let which = match which {
            Generation::Current => "current",
            Generation::Previous => "previous",
            Generation::Next => "next",
        };
        let when = match (number, from, until) {
            (Some(number), Some(from), Some(until)) => {
                format!("generation {number}, from {from} to {until}")
            }
            _ => "does not rotate".to_owned(),
        };
        let token = token.as_ref().map(|token| format!("  {token}")).unwrap_or_default();
        format!("{which:<8}  {when}  fingerprint {fingerprint}{token}")
    }
}

/// Whole or not at all, and never readable by others: beside the file first, then in its place.
fn write(file: &Path, tokens: &[Token]) -> anyhow::Result<()> {
    let mut name = file.file_name().context("it has no file name")?.to_owned();
    name.push(".new");
    let beside = file.with_file_name(name);
    if let Err(error) = std::fs::remove_file(&beside)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    tokens.iter().try_for_each(|token| writeln!(new, "{}", token.value.expose()))?;
    new.sync_all()?;
    std::fs::rename(&beside, file)?;
    Ok(())
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper token deal-sync
  channelkeeper -c config.toml token acme/deal-sync --out /run/receiver/tokens
  channelkeeper -c config.toml token deal-sync --generation next --show

Exit codes: 0 told; 1 failed, or there is no such channel or token; 3 the config cannot be used.";
