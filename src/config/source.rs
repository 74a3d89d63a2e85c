//! A config file's text, the positions in it, and the parts that may be shown.
//!
//! A shown line is an allow list. It shows keys, and the values of keys that are no secrets, as the
//! reader took them; the rest is `***`. A file with a syntax error has not been read, so there the
//! words before `=` and in table headers are all that is shown: enough to find the line, too little
//! to hold a token.

use std::cell::OnceCell;
use std::path::PathBuf;

use crate::model::sanitize::plain;

/// A stretch of one of the files, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Place {
    /// Which file, in the order they were read.
    pub(super) file: u32,
    /// The first byte.
    pub(super) start: u32,
    /// The byte after the last.
    pub(super) end: u32,
}

/// A value with the place it was written at.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

impl<T> At<T> {
    /// The same place with another value.
    pub(super) fn with<U>(&self, value: U) -> At<U> {
        At { value, place: self.place }
    }
}

/// One file.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The file's name in problems: the path that was asked for.
    pub(super) name: String,
    /// The folder that relative paths in it start from.
    pub(super) folder: PathBuf,
    /// Its content.
    pub(super) text: String,
    /// True when somebody can read it who need not.
    pub(super) open_to_others: bool,
    /// The stretches that may be shown, sorted once the file has been read.
    pub(super) safe: Vec<(u32, u32)>,
    pub(super) lines: OnceCell<Vec<LineStart>>,
}

/// The piece of a file that a problem shows, masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    /// One line or a few.
    pub(super) text: String,
    /// The number of its first line, counted from 0.
    pub(super) first_line: usize,
    /// The bytes of `text` to underline.
    pub(super) underlined: (usize, usize),
}

#[derive(Debug)]
pub(super) struct LineStart {
    start: usize,
    /// True when it begins within a multi-line string.
    in_string: bool,
}

impl Source {
    /// Line and column of a place's begin, counted from 1, columns in characters.
    pub(super) fn position(&self, place: Place) -> (usize, usize) {
        let at = self.boundary(place.start as usize);
        let line = self.line_of(at);
        let column = self.text[self.lines()[line].start..at].chars().count();
        (line + 1, column + 1)
    }

    /// The lines around a place, masked.
    pub(super) fn snippet(&self, place: Place) -> Snippet {
        let start = self.boundary(place.start as usize);
        let end = self.boundary((place.end as usize).max(start));
        let first_line = self.line_of(start);
        let last_line =
            self.line_of(end.saturating_sub(1).max(start)).min(first_line + LINES_MAX - 1);
        let mut text = String::new();
        let mut underlined = (None, None);
        for line in first_line..=last_line {
            let (from, until) = self.window(line, start);
            let keys_until = self.keys_until(line);
            let mut masked = false;
            for (offset, character) in self.text[from..until].char_indices() {
                let at = from + offset;
                if at >= end && underlined.1.is_none() {
                    underlined.1 = Some(text.len());
                }
                if at >= start && underlined.0.is_none() {
                    underlined.0 = Some(text.len());
                    masked = false;
                }
                if at < keys_until || PUNCTUATION.contains(character) || self.is_safe(at) {
                    text.push(plain(character));
                    masked = false;
                } else if !masked {
                    text.push_str(MASK);
                    masked = true;
                }
            }
            text.push('\n');
        }
        text.pop();
        let shown = text.len();
        let from = underlined.0.unwrap_or(shown).min(shown);
        let to = underlined.1.unwrap_or(shown).clamp(from, shown);
        Snippet { text, first_line, underlined: (from, to - from) }
    }

    /// The part of a long line that is shown: a window with the place in it.
    fn window(&self, line: usize, start: usize) -> (usize, usize) {
        let begin = self.lines()[line].start;
        let end = self.lines().get(line + 1).map_or(self.text.len(), |next| next.start);
        let end = begin + self.text[begin..end].trim_end_matches(['\n', '\r']).len();
        let from = if start > begin + WIDTH_MAX { start - WIDTH_MAX / 2 } else { begin };
        (self.boundary(from.min(end)), self.boundary((from + 2 * WIDTH_MAX).min(end)))
    }

    fn is_safe(&self, at: usize) -> bool {
        let at = at as u32;
        let next = self.safe.partition_point(|(start, _)| *start <= at);
        // Stretches are short and few overlap: one may lie within another only as an element of an
        // array.
        self.safe[..next].iter().rev().take(2).any(|(_, end)| at < *end)
    }

    /// Up to where a line holds nothing but words that name: `lower_case =` or `[table.header]`.
    fn keys_until(&self, line: usize) -> usize {
        let LineStart { start, in_string } = self.lines()[line];
        let rest = &self.text[start..];
        let rest = rest.lines().next().unwrap_or_default();
        let indent = rest.len() - rest.trim_start().len();
        let words = rest.trim_start();
        if in_string {
            return start;
        }
        let header = words.trim_start_matches('[');
        let is_header =
            words.starts_with('[') && header.starts_with(|c: char| c.is_ascii_lowercase());
        if is_header {
            // A header that is not closed at once may be the rest of a string that a line break cut
            // in two.
            let name = header.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)));
            let name = name.filter(|end| header[*end..].starts_with(']')).unwrap_or_default();
            return start + indent + (words.len() - header.len()) + name;
        }
        let key =
            words.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(words.len());
        let is_key = (1..=KEY_MAX).contains(&key) && words[key..].trim_start().starts_with('=');
        if is_key { start + indent + key } else { start }
    }

    fn line_of(&self, at: usize) -> usize {
        self.lines().partition_point(|line| line.start <= at).saturating_sub(1)
    }

    fn lines(&self) -> &[LineStart] {
        self.lines.get_or_init(|| lines_of(&self.text))
    }

    /// The nearest place at or before a byte where a character begins.
    fn boundary(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        (0..=at).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }
}

/// Where each line begins, and whether it does so within a multi-line string.
fn lines_of(text: &str) -> Vec<LineStart> {
    let mut lines = vec![LineStart { start: 0, in_string: false }];
    let mut inside = Inside::Plain;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let triple = |quote: u8| bytes[at..].starts_with(&[quote; 3]);
        let (next, width) = match (inside, bytes[at]) {
            (Inside::Many(quote), byte) if byte == quote && triple(quote) => (Inside::Plain, 3),
            (Inside::Many(b'"') | Inside::One(b'"'), b'\\') => (inside, 2),
            (Inside::Many(_), _) => (inside, 1),
            (_, b'\n') => (Inside::Plain, 1),
            (Inside::One(quote), byte) if byte == quote => (Inside::Plain, 1),
            (Inside::Plain, quote @ (b'"' | b'\'')) if triple(quote) => (Inside::Many(quote), 3),
            (Inside::Plain, quote @ (b'"' | b'\'')) => (Inside::One(quote), 1),
            (Inside::Plain, b'#') => (Inside::Comment, 1),
            (Inside::Plain | Inside::One(_) | Inside::Comment, _) => (inside, 1),
        };
        let end = (at + width).min(bytes.len());
        let breaks = (at..end).filter(|at| bytes[*at] == b'\n');
        lines.extend(
            breaks
                .map(|at| LineStart { start: at + 1, in_string: matches!(next, Inside::Many(_)) }),
        );
        // An escaped line break ends a string of one line all the same.
        inside =
            if width == 2 && bytes[at..end].contains(&b'\n') && !matches!(next, Inside::Many(_)) {
                Inside::Plain
            } else {
                next
            };
        at = end;
    }
    lines
}

#[derive(Clone, Copy)]
enum Inside {
    Plain,
    Comment,
    One(u8),
    Many(u8),
}

/// Shown wherever it stands: it gives a line its shape and says nothing.
const PUNCTUATION: &str = " \t\"'[]{},=";
/// The text that stands in place of the rest.
const MASK: &str = "***";
/// The most lines shown of one place.
const LINES_MAX: usize = 3;
/// Half the most bytes shown of one line.
const WIDTH_MAX: usize = 120;
/// No key is longer.
const KEY_MAX: usize = 32;
