//! The problems of a config, and the way they are shown.

use std::collections::HashSet;
use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer};

use super::source::{Place, Snippet, Source};
use crate::model::sanitize::plain;

/// One thing that is wrong, at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named.
    pub file: String,
    /// Counted from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Counted from 1, in characters; 0 when the file as a whole is meant.
    pub column: usize,
    /// The problem, in words.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// The severity says if the config can be used all the same.
    pub severity: ProblemSeverity,
    snippet: Option<Snippet>,
}

/// The severity says if a config can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemSeverity {
    /// It cannot.
    Error,
    /// It can, but a person should look.
    Warning,
}

/// How problems are shown to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemStyle {
    /// ASCII without colours: for anything that is no terminal.
    Plain,
    /// Box drawing without colours: for a terminal under `NO_COLOR`.
    Unicode,
    /// Box drawing in colours.
    Colour,
}

/// All of them, each with its line and the text underlined.
pub fn render(problems: &[Problem], look: ProblemStyle) -> String {
    let renderer = match look {
        ProblemStyle::Plain => Renderer::plain().decor_style(DecorStyle::Ascii),
        ProblemStyle::Unicode => Renderer::plain().decor_style(DecorStyle::Unicode),
        ProblemStyle::Colour => Renderer::styled().decor_style(DecorStyle::Unicode),
    };
    let renderer = renderer.term_width(WIDTH);
    let shown = problems.iter().map(|problem| renderer.render(&[problem.group()]) + "\n");
    shown.collect::<Vec<_>>().join("\n")
}

impl Problem {
    /// About a file as a whole.
    pub(super) fn of_file(file: &str, message: &str, help: &str) -> Problem {
        Problem {
            file: shown(file),
            line: 0,
            column: 0,
            message: shown(message),
            help: Some(help.to_owned()),
            severity: ProblemSeverity::Error,
            snippet: None,
        }
    }

    /// `config.toml:12:8: message (help)`: for the log, the status and the health page.
    pub fn one_line(&self) -> String {
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}{help}", self.title())
    }

    /// Its place and what is wrong. The snippet cannot say the place: it was cut and masked, so it
    /// has other columns than the file.
    fn title(&self) -> String {
        let Problem { file, line, column, message, .. } = self;
        match line {
            0 => format!("{file}: {message}"),
            line => format!("{file}:{line}:{column}: {message}"),
        }
    }

    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            ProblemSeverity::Error => Level::ERROR,
            ProblemSeverity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(self.title()));
        if let Some(Snippet { text, first_line, underlined: (start, length) }) = &self.snippet {
            let underlined = AnnotationKind::Primary.span(*start..start + length);
            let snippet = annotate_snippets::Snippet::source(text);
            group = group.element(snippet.line_start(first_line + 1).annotation(underlined));
        }
        match &self.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// The problems found so far, without their lines.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<ProblemNote>,
    seen: HashSet<(Place, String)>,
    left_out: usize,
}

#[derive(Debug)]
struct ProblemNote {
    place: Place,
    message: String,
    help: Option<String>,
    severity: ProblemSeverity,
}

impl Notes {
    /// Something that makes the config unusable.
    pub(super) fn problem(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(place, message.into(), help.into(), ProblemSeverity::Error);
    }

    /// Something that a person should look at.
    pub(super) fn warning(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(place, message.into(), help.into(), ProblemSeverity::Warning);
    }

    /// Those of another file, behind these.
    pub(super) fn append(&mut self, other: Notes) {
        for ProblemNote { place, message, help, severity } in other.list {
            self.add(place, message, help.unwrap_or_default(), severity);
        }
        self.left_out += other.left_out;
    }

    /// Returns whether anything makes the config unusable.
    pub(super) fn any_problem(&self) -> bool {
        self.left_out > 0 || self.list.iter().any(|note| note.severity == ProblemSeverity::Error)
    }

    /// Problems and warnings, in the order of the files.
    pub(super) fn sort_out(mut self, sources: &[Source]) -> (Vec<Problem>, Vec<Problem>) {
        self.list.sort_by_key(|note| note.place);
        let found: Vec<Problem> = self.list.into_iter().map(|note| note.shown(sources)).collect();
        let (mut problems, warnings): (Vec<Problem>, Vec<Problem>) =
            found.into_iter().partition(|problem| problem.severity == ProblemSeverity::Error);
        if let (true, Some(source)) = (self.left_out > 0, sources.first()) {
            let message = format!("{} more problems are not listed", self.left_out);
            problems.push(Problem::of_file(&source.name, &message, "mend these first"));
        }
        (problems, warnings)
    }

    fn add(&mut self, place: Place, message: String, help: String, severity: ProblemSeverity) {
        if self.list.len() >= LISTED_MAX {
            self.left_out += usize::from(severity == ProblemSeverity::Error);
        } else if self.seen.insert((place, message.clone())) {
            let help = (!help.is_empty()).then_some(help);
            self.list.push(ProblemNote { place, message, help, severity });
        }
    }
}

impl ProblemNote {
    fn shown(self, sources: &[Source]) -> Problem {
        let ProblemNote { place, message, help, severity } = self;
        let source = &sources[place.file as usize];
        let (line, column) = source.position(place);
        let snippet = Some(source.snippet(place));
        let (file, message, help) =
            (shown(&source.name), shown(&message), help.as_deref().map(shown));
        Problem { file, line, column, message, help, severity, snippet }
    }
}

/// Names of files, of variables and of whatever else stands in it are anybody's: it stays on one
/// line, and of a long one its begin and its end are shown.
fn shown(text: &str) -> String {
    let (begin, end) = (TEXT_MAX / 2, TEXT_MAX / 10);
    match text.char_indices().nth(TEXT_MAX) {
        None => text.chars().map(plain).collect(),
        Some(_) => {
            let mut tail: Vec<char> = text.chars().rev().take(end).map(plain).collect();
            tail.reverse();
            let head = text.chars().take(begin).map(plain);
            head.chain(" ... ".chars()).chain(tail).collect()
        }
    }
}

/// The most characters of one text: no path of a file is longer than 4096.
const TEXT_MAX: usize = 5000;
/// The most that is listed; the rest is counted.
const LISTED_MAX: usize = 1000;
/// Columns that a shown problem may take.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_five_megabytes_is_cut() {
        let problem = Problem::of_file("config.toml", &"x".repeat(5_000_000), "write less");
        assert!(problem.message.len() < TEXT_MAX, "{}", problem.message.len());
    }
}
