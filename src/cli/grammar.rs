//! The grammar of the command line: the derived one, with a help that a terminal of any width can
//! show.
//!
//! A verb's own options stand first and those of every verb below them, without the ones that the
//! verb does not read. Examples are printed as they are, so that no line breaks inside a quote;
//! exit codes are a list. The manual pages are written from the same parts.

use clap::builder::Styles;
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::Cli;

/// The grammar, with its help as it is read on a terminal.
pub(super) fn command() -> Command {
    let plain = plain();
    let text = Text::of(&plain);
    let globals = format!("{}\n{}\n{{options}}", groups(&plain), heading(GLOBAL));
    let names = names(&plain);
    let command = plain.help_template(text.template(&globals)).after_help(text.exit_codes());
    names.iter().fold(command, |command, name| command.mut_subcommand(name, dressed))
}

/// The grammar, with its texts as the verbs write them.
pub(super) fn plain() -> Command {
    let bare = Cli::command().disable_help_flag(true).disable_version_flag(true);
    let globals = bare.get_arguments().filter(|arg| arg.is_global_set());
    let globals: Vec<Arg> =
        globals.cloned().zip(LAST..).map(|(arg, place)| arg.display_order(place)).collect();
    let bare =
        globals.iter().fold(bare, |command, arg| command.mut_arg(arg.get_id(), |_| arg.clone()));
    let own = UNREAD.iter().fold(bare, |command, (verb, unread)| {
        let hidden = globals.iter().filter(|arg| unread.contains(&arg.get_id().as_str()));
        let hidden: Vec<Arg> = hidden.cloned().map(|arg| arg.hide(true)).collect();
        command.mut_subcommand(verb, |verb| verb.args(hidden))
    });
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help(HELP);
    let version = Arg::new("version").short('V').long("version").action(ArgAction::Version);
    let version = version.help("Print the version");
    own.args(
        [help, version].map(|arg| arg.global(true).help_heading(GLOBAL).display_order(2 * LAST)),
    )
}

/// The text below the options of a help.
pub(super) struct Text {
    /// Command lines, each with two spaces in front.
    pub(super) examples: String,
    /// Each code with its meaning.
    pub(super) codes: Vec<String>,
    /// The sentence after the codes, if there is one.
    pub(super) rest: Option<String>,
}

impl Text {
    /// Reads it from the text that a verb has below its help.
    pub(super) fn of(command: &Command) -> Text {
        let written = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let (examples, below) = written.split_once("\n\n").unwrap_or((&written, ""));
        let examples = examples.strip_prefix("Examples:\n").unwrap_or_default().to_owned();
        let mut paragraphs = below.split("\n\n");
        let codes = paragraphs.next().unwrap_or_default();
        let codes = codes.strip_prefix("Exit codes: ").unwrap_or_default().replace('\n', " ");
        let mut listed: Vec<String> = Vec::new();
        for part in codes.trim_end_matches('.').split("; ").filter(|part| !part.is_empty()) {
            match listed.last_mut() {
                Some(last) if !part.starts_with(|c: char| c.is_ascii_digit()) => {
                    last.push_str(&format!("; {part}"));
                }
                Some(_) | None => listed.push(part.to_owned()),
            }
        }
        Text { examples, codes: listed, rest: paragraphs.next().map(ToOwned::to_owned) }
    }

    fn template(&self, args: &str) -> String {
        let Text { examples, codes: _, rest: _ } = self;
        format!(
            "{{about-with-newline}}\n{{usage-heading}} \
             {{usage}}\n\n{args}\n\n{}\n{examples}{{after-help}}",
            heading("Examples")
        )
    }

    fn exit_codes(&self) -> String {
        let Text { examples: _, codes, rest } = self;
        let codes: Vec<String> =
            codes.iter().map(|code| format!("  {}", code.replacen(' ', "  ", 1))).collect();
        let rest = rest.as_ref().map(|rest| format!("\n\n{rest}")).unwrap_or_default();
        format!("{}\n{}{rest}", heading("Exit codes"), codes.join("\n"))
    }
}

/// A verb, and those that it has.
fn dressed(verb: Command) -> Command {
    let text = Text::of(&verb);
    let names = names(&verb);
    let verb = verb.help_template(text.template("{all-args}")).after_help(text.exit_codes());
    names.iter().fold(verb, |verb, name| verb.mut_subcommand(name, dressed))
}

/// The verbs, in the groups by which somebody looks for one.
fn groups(command: &Command) -> String {
    let about = |name: &str| match command.find_subcommand(name) {
        Some(verb) => verb.get_about().map(ToString::to_string),
        None => (name == "help").then(|| "Print the help of a command".to_owned()),
    };
    let lines = |names: &[&str]| {
        let lines =
            names.iter().filter_map(|name| Some(format!("  {name:<12} {}\n", about(name)?)));
        lines.collect::<String>()
    };
    let group = |(title, names): &(&str, &[&str])| format!("{}\n{}", heading(title), lines(names));
    GROUPS.iter().map(group).collect::<Vec<_>>().join("\n")
}

fn names(command: &Command) -> Vec<String> {
    command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

fn heading(title: &str) -> String {
    let style = Styles::styled();
    let style = style.get_header();
    format!("{}{title}:{}", style.render(), style.render_reset())
}

/// The heading of the options that every verb takes.
pub(super) const GLOBAL: &str = "Global options";
/// Places behind all of a verb's own options.
const LAST: usize = 100;
const HELP: &str = "Print help: -h in short, --help at length";
/// The options for all verbs that a verb does not read; they are taken, and not shown.
const UNREAD: &[(&str, &[&str])] = &[
    ("init", &["state_dir"]),
    ("run", &["json"]),
    ("token", &["state_dir"]),
    ("listen", &["state_dir"]),
    ("login", &["state_dir"]),
    ("logout", &["state_dir"]),
    #[cfg(feature = "simulator")]
    ("simulator", &["config", "state_dir", "json"]),
    #[cfg(feature = "simulator")]
    ("demo", &["config", "state_dir", "json"]),
    #[cfg(feature = "simulator")]
    ("rehearse", &["state_dir"]),
    ("completions", &["config", "state_dir", "json"]),
    ("man", &["config", "state_dir", "json"]),
];
/// The verbs in groups.
const GROUPS: &[(&str, &[&str])] = &[
    ("Begin", &["init", "login", "check", "plan", "run"]),
    ("Look", &["status", "explain", "gaps", "probe"]),
    (
        "Act",
        &[
            "apply", "renew", "backfill", "pause", "resume", "reload", "adopt", "cluster",
            "import", "token", "logout",
        ],
    ),
    ("Try out", &["demo", "simulator", "rehearse", "listen"]),
    ("About the program", &["completions", "man", "help"]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn help(path: &[&str], width: usize) -> String {
        let mut verb = command().term_width(width);
        verb.build();
        let found =
            path.iter().fold(&mut verb, |verb, name| verb.find_subcommand_mut(name).unwrap());
        found.clone().term_width(width).render_long_help().to_string()
    }

    #[test]
    fn the_grammar_has_no_contradictions_and_each_verb_stands_in_one_group() {
        command().debug_assert();
        let grouped: Vec<&str> =
            GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let grammar = command();
        let verbs = grammar.get_subcommands().map(Command::get_name).chain(["help"]);
        let verbs: BTreeSet<&str> = verbs.collect();
        assert_eq!(grouped.len(), verbs.len());
        assert_eq!(grouped.into_iter().collect::<BTreeSet<_>>(), verbs);
    }

    #[test]
    fn what_a_verb_does_is_said_in_a_line() {
        for verb in command().get_subcommands() {
            let about = verb.get_about().unwrap().to_string();
            assert!(about.len() <= 64, "{}: {about}", verb.get_name());
        }
    }

    #[test]
    fn own_options_stand_before_those_of_every_verb() {
        let help = help(&["gaps", "ack"], 80);
        let at = |text: &str| help.find(text).unwrap_or_else(|| panic!("no {text} in {help}"));
        assert!(at("--note") < at(GLOBAL) && at(GLOBAL) < at("--config"), "{help}");
        assert!(at("--config") < at("--help") && at("--help") < at("Examples:"), "{help}");
    }

    #[test]
    fn options_that_a_verb_does_not_read_are_not_shown() {
        for verb in ["completions", "man"] {
            let help = help(&[verb], 80);
            for option in ["--config", "--state-dir", "--json"] {
                assert!(!help.contains(option), "{option} in {help}");
            }
        }
        assert!(
            help(&["init"], 80).contains("--config")
                && !help(&["init"], 80).contains("--state-dir")
        );
        assert!(help(&["status"], 80).contains("--state-dir"));
    }

    #[test]
    fn no_example_is_broken_however_narrow_the_terminal_is() {
        let grammar = command();
        let nested = |verb: &Command| {
            let below = verb
                .get_subcommands()
                .map(|sub| vec![verb.get_name().to_owned(), sub.get_name().to_owned()]);
            below.chain([vec![verb.get_name().to_owned()]]).collect::<Vec<_>>()
        };
        for path in grammar.get_subcommands().flat_map(nested) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let (narrow, wide) = (help(&path, 30), help(&path, 200));
            let examples = |help: &str| {
                let below = help.split_once("Examples:\n").unwrap().1;
                below.split_once("\n\n").unwrap().0.to_owned()
            };
            assert_eq!(examples(&narrow), examples(&wide), "{path:?}");
            assert!(examples(&wide).lines().all(|line| line.len() <= 100), "{wide}");
        }
    }
}
