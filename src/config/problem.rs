//! What is wrong with a config, and how it is shown.

use std::collections::HashSet;
use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};

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
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub help: Option<String>,
    /// Whether the config can be used all the same.
    pub severity: Severity,
    snippet: Option<Snippet>,
}

/// Whether a config can be used all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but a person should look.
    Warning,
}

/// How problems are shown to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// ASCII without colours: for anything that is no terminal.
    Plain,
    /// Box drawing without colours: for a terminal under `NO_COLOR`.
    Unicode,
    /// Box drawing in colours.
    Colour,
}

/// All of them, each with its line and the text underlined.
pub fn render(problems: &[Problem], look: Look) -> String {
    let theme = match look {
        Look::Plain => GraphicalTheme::none(),
        Look::Unicode => GraphicalTheme::unicode_nocolor(),
        Look::Colour => GraphicalTheme::unicode(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_context_lines(SHOWN_AROUND)
        .with_width(WIDTH)
        .with_links(false)
        .without_primary_span_start();
    let mut text = String::new();
    for problem in problems {
        if !text.is_empty() {
            text.push('\n');
        }
        if handler.render_report(&mut text, problem).is_err() {
            text.push_str(&problem.one_line());
            text.push('\n');
        }
    }
    text
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
            severity: Severity::Error,
            snippet: None,
        }
    }

    /// `config.toml:12:8: message (help)`: for the log, the status and the health page.
    pub fn one_line(&self) -> String {
        let help = self.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        let position =
            if self.line == 0 { String::new() } else { format!(":{}:{}", self.line, self.column) };
        format!("{}{position}: {}{help}", self.file, self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.snippet.as_ref().map(|_| self as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Snippet { underlined, .. } = self.snippet.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, underlined.0, underlined.1))))
    }
}

impl SourceCode for Problem {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let Some(snippet) = &self.snippet else { return Err(MietteError::OutOfBounds) };
        let read = snippet.text.as_str().read_span(span, before, after)?;
        // A snippet that was cut or masked has other columns than the file: so the heading is not
        // left to miette.
        Ok(Box::new(MietteSpanContents::new_named(
            format!("{}:{}:{}", self.file, self.line, self.column),
            read.data(),
            *read.span(),
            read.line() + snippet.first_line,
            read.column(),
            read.line_count(),
        )))
    }
}

/// What has been found so far, not yet with its lines.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<Note>,
    seen: HashSet<(Place, String)>,
    left_out: usize,
}

#[derive(Debug)]
struct Note {
    place: Place,
    message: String,
    help: Option<String>,
    severity: Severity,
}

impl Notes {
    /// Something that makes the config unusable.
    pub(super) fn problem(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(place, message.into(), help.into(), Severity::Error);
    }

    /// Something that a person should look at.
    pub(super) fn warning(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(place, message.into(), help.into(), Severity::Warning);
    }

    /// Whether anything makes the config unusable.
    pub(super) fn any_problem(&self) -> bool {
        self.left_out > 0 || self.list.iter().any(|note| note.severity == Severity::Error)
    }

    /// Problems and warnings, in the order of the files.
    pub(super) fn sort_out(mut self, sources: &[Source]) -> (Vec<Problem>, Vec<Problem>) {
        self.list.sort_by_key(|note| note.place);
        let found: Vec<Problem> = self.list.into_iter().map(|note| note.shown(sources)).collect();
        let (mut problems, warnings): (Vec<Problem>, Vec<Problem>) =
            found.into_iter().partition(|problem| problem.severity == Severity::Error);
        if let (true, Some(source)) = (self.left_out > 0, sources.first()) {
            let message = format!("{} more problems are not listed", self.left_out);
            problems.push(Problem::of_file(&source.name, &message, "mend these first"));
        }
        (problems, warnings)
    }

    fn add(&mut self, place: Place, message: String, help: String, severity: Severity) {
        if self.list.len() >= LISTED_MAX {
            self.left_out += usize::from(severity == Severity::Error);
        } else if self.seen.insert((place, message.clone())) {
            let help = (!help.is_empty()).then_some(help);
            self.list.push(Note { place, message, help, severity });
        }
    }
}

impl Note {
    fn shown(self, sources: &[Source]) -> Problem {
        let Note { place, message, help, severity } = self;
        let source = &sources[place.file as usize];
        let (line, column) = source.position(place);
        let snippet = Some(source.snippet(place));
        let (file, message, help) =
            (shown(&source.name), shown(&message), help.as_deref().map(shown));
        Problem { file, line, column, message, help, severity, snippet }
    }
}

/// Names of files, of variables and of whatever else stands in it are anybody's: it stays on one
/// line.
fn shown(text: &str) -> String {
    text.chars().map(plain).collect()
}

/// The most that is listed; the rest is counted.
const LISTED_MAX: usize = 1000;
/// A snippet is shown whole: it was cut to size when it was made.
const SHOWN_AROUND: usize = 8;
/// Columns that a shown problem may take.
const WIDTH: usize = 100;
