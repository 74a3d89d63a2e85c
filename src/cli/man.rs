//! `man`: the manual pages, written from the same definition as the help.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{Cli, Exit};

/// Print the manual page, or write one for each verb.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ManArgs {
    /// Write all pages into this directory, which is made if need be: channelkeeper.1,
    /// channelkeeper-plan.1 and so on
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &ManArgs, stdout: &mut (dyn Write + Send)) -> anyhow::Result<Exit> {
    match &args.dir {
        None => stdout.write_all(&page(Cli::command())?).context("the page cannot be written")?,
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("{} cannot be made", dir.display()))?;
            for page in pages(dir)? {
                writeln!(stdout, "{}", page.display())?;
            }
        }
    }
    Ok(Exit::Done)
}

/// Writes every page and says where.
fn pages(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut main = Cli::command().disable_help_subcommand(true);
    main.build();
    let verbs: Vec<Command> = main.get_subcommands().flat_map(with_its_own).collect();
    let write = |command: Command| {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = dir.join(format!("{name}.1"));
        let written = std::fs::write(&path, page(command)?);
        written.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(path)
    };
    std::iter::once(main).chain(verbs).map(write).collect()
}

/// A verb, and those that it has.
fn with_its_own(verb: &Command) -> Vec<Command> {
    std::iter::once(verb).chain(verb.get_subcommands()).cloned().collect()
}

fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command.disable_help_subcommand(true))
        .render(&mut text)
        .context("the page cannot be rendered")?;
    Ok(text)
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper man | man -l -
  channelkeeper man --dir /usr/local/share/man/man1

Exit codes: 0 written; 1 failed.";
