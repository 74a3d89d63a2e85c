//! `completions`: what a shell needs to complete a command line of ours.

use std::io::Write;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit};

/// Print the completions for a shell.
///
/// They are written from the same definition as this help, so they know every verb and option of
/// this very version.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs, stdout: &mut (dyn Write + Send)) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    stdout.write_all(&script).context("the completions cannot be written")?;
    Ok(Exit::Done)
}

const NAME: &str = "channelkeeper";
const AFTER_HELP: &str = "\
Examples:
  source <(channelkeeper completions bash)
  channelkeeper completions zsh > ~/.zfunc/_channelkeeper
  channelkeeper completions fish > ~/.config/fish/completions/channelkeeper.fish

Exit codes: 0 printed; 1 failed.";
