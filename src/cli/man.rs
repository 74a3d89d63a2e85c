//! `man`: the manual pages, written from the same definition as the help.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;

use super::Exit;
use super::grammar::{self, Text};

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
        None => stdout.write_all(&page(whole())?).context("the page cannot be written")?,
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
    let main = whole();
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

/// The grammar as the pages show it.
fn whole() -> Command {
    let mut main = grammar::plain().disable_help_subcommand(true);
    main.build();
    main
}

fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let below = below(&Text::of(&command));
    let has_verbs = command.has_subcommands();
    let man = Man::new(command.disable_help_subcommand(true))
        .source(concat!("channelkeeper ", env!("CARGO_PKG_VERSION")))
        .manual("channelkeeper");
    let mut text = Vec::new();
    let rendered = man
        .render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text));
    let rendered = match has_verbs {
        true => rendered.and_then(|()| man.render_subcommands_section(&mut text)),
        false => rendered,
    };
    rendered.context("the page cannot be rendered")?;
    text.extend_from_slice(below.as_bytes());
    Ok(text)
}

/// The exit codes, and the examples on lines of their own.
fn below(text: &Text) -> String {
    let Text { examples, codes, rest } = text;
    let mut page = ".SH \"EXIT STATUS\"\n".to_owned();
    for (code, meaning) in codes.iter().filter_map(|code| code.split_once(' ')) {
        page.push_str(&format!(".TP\n{code}\n{}\n", escaped(meaning)));
    }
    if let Some(rest) = rest {
        page.push_str(&format!(".PP\n{}\n", escaped(&rest.replace('\n', " "))));
    }
    page.push_str(".SH EXAMPLES\n.nf\n");
    for line in examples.lines() {
        page.push_str(&format!("{}\n", escaped(line)));
    }
    page + ".fi\n"
}

/// A line as groff prints it: nothing in it commands, and each dash can be pasted.
fn escaped(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if line.starts_with('.') { format!("\\&{line}") } else { line }
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper man | man -l -
  channelkeeper man --dir /usr/local/share/man/man1

Exit codes: 0 written; 1 failed.";
