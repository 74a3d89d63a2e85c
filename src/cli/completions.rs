//! `completions`: what a shell needs to complete a command line of ours.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;

use super::{Exit, complete};

/// Print the completions for a shell.
///
/// The script asks this program for what fits: commands, options, their values, and the names of
/// accounts and channels in the config.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, stdout: &mut (dyn Write + Send)) -> anyhow::Result<Exit> {
    let called = std::env::args().next().unwrap_or_default();
    let script = complete::script(&args.shell.to_string(), &completer(&called)?);
    let written = script.and_then(|script| stdout.write_all(&script));
    written.context("the completions cannot be written")?;
    Ok(Exit::Done)
}

/// The program as the script is to call it: by its name where the shell found it by that, else by
/// the path at which it was called.
fn completer(called: &str) -> std::io::Result<String> {
    match called.contains('/') {
        true => Ok(std::path::absolute(Path::new(called))?.display().to_string()),
        false => Ok(called.to_owned()),
    }
}

const AFTER_HELP: &str = "\
Examples:
  source <(channelkeeper completions bash)
  channelkeeper completions zsh > ~/.zfunc/_channelkeeper
  channelkeeper completions fish > ~/.config/fish/completions/channelkeeper.fish

Exit codes: 0 printed; 1 failed.";
