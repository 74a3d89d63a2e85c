//! The value at a key, and the problems gathered while a file is read.

use toml::de::DeValue;

use super::problem::Notes;
use super::source::{At, Place};

/// The value at a key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) enum Given<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something wrong, which has been reported.
    Bad,
    /// A value.
    Is(At<T>),
}

impl<T> Given<T> {
    /// The value with its place, if there is a good one.
    pub(super) fn good(&self) -> Option<&At<T>> {
        match self {
            Given::Is(at) => Some(at),
            Given::Absent | Given::Bad => None,
        }
    }

    /// The value, if there is a good one.
    pub(super) fn value(&self) -> Option<&T> {
        self.good().map(|at| &at.value)
    }

    /// Returns whether nothing was written.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Given::Absent)
    }

    /// Goes on with the value, if there is a good one.
    pub(super) fn then<U>(self, next: impl FnOnce(At<T>) -> Given<U>) -> Given<U> {
        match self {
            Given::Absent => Given::Absent,
            Given::Bad => Given::Bad,
            Given::Is(at) => next(at),
        }
    }
}

/// The reader of one file, with the problems it gathers.
#[derive(Debug)]
pub(super) struct FieldReader<'n> {
    /// Which file it is.
    pub(super) file: u32,
    /// Its text.
    pub(super) text: &'n str,
    /// The stretches that may be shown.
    pub(super) safe: Vec<(u32, u32)>,
    /// The problems found so far.
    pub(super) notes: &'n mut Notes,
}

impl FieldReader<'_> {
    /// A stretch of this file.
    pub(super) fn place(&self, span: std::ops::Range<usize>) -> Place {
        Place { file: self.file, start: span.start as u32, end: span.end as u32 }
    }

    /// Notes that a stretch may be shown.
    pub(super) fn show(&mut self, place: Place) {
        self.safe.push((place.start, place.end));
    }

    /// A URL is shown up to its query, and not at all when it may hold a password.
    pub(super) fn show_url(&mut self, place: Place) {
        let written = self.text.get(place.start as usize..place.end as usize).unwrap_or_default();
        let end = written.find(['?', '#']).unwrap_or(written.len());
        if !written.contains('@') {
            self.show(Place { end: place.start + end as u32, ..place });
        }
    }
}

/// The kind of value that a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueWanted {
    Text,
    Texts,
    Entries,
    Life,
    Whole,
    Flag,
    Id,
    Secret,
    Table,
    Tables,
}

impl ValueWanted {
    /// In words, and an example of it.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            ValueWanted::Text => ("a string", "put it in quotes"),
            ValueWanted::Texts => ("a list of strings", "write [\"...\", \"...\"]"),
            ValueWanted::Entries => {
                ("a list of fields and groups", "write [\"...\", { all_of = [\"...\", \"...\"] }]")
            }
            ValueWanted::Life => ("a duration", "write \"8h\": a number and a unit, in quotes"),
            ValueWanted::Whole => ("a whole number", "write digits, without quotes"),
            ValueWanted::Flag => ("true or false", "write true or false, without quotes"),
            ValueWanted::Id => ("a channel id", "write a string of digits"),
            ValueWanted::Secret => ("a secret", REFERENCE_HELP),
            ValueWanted::Table => ("a table", "write it as [header], or between { and }"),
            ValueWanted::Tables => {
                ("a list of tables", "write [[header]] above each, or [{ ... }, { ... }]")
            }
        }
    }
}

/// The number that is written, if it fits.
pub(super) fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// The kind of value that is written, in words.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// How a secret is written.
pub(super) const REFERENCE_HELP: &str = "write { env = \"NAME\" }, { file = \"path\" }, { credential = \"name\" } or { command = [\"program\", \"argument\"] }, or the secret itself in quotes";
