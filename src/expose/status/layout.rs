//! How text is laid out: for a terminal of some width, in colour, or for whoever reads a pipe.

use unicode_width::UnicodeWidthStr;

use super::super::health::Status;
use crate::model::time::{Timestamp, brief, span};

/// The layout of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The columns of the terminal; none when lines may be as long as they are.
    pub width: Option<usize>,
    /// True when words are coloured.
    pub ink: Ink,
    /// The channels that have a line.
    pub rows: Rows,
}

/// True when words are coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// No.
    Plain,
    /// By how bad something is.
    Colour,
}

/// The channels that have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Every one.
    All,
    /// Every one; where they are many, those that are not well, the worst first.
    Worst,
}

/// The part that a word plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Odd,
    Bad,
    Title,
    Aside,
}

impl Tone {
    pub(super) fn of(status: Status) -> Tone {
        match status {
            Status::Ok => Tone::Good,
            Status::Degraded => Tone::Odd,
            Status::Failing => Tone::Bad,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Tone::Good => "32",
            Tone::Odd => "33",
            Tone::Bad => "1;31",
            Tone::Title => "1",
            Tone::Aside => "2",
        }
    }
}

impl Layout {
    /// For a pipe.
    pub const PLAIN: Layout = Layout { width: None, ink: Ink::Plain, rows: Rows::All };

    /// A word in its colour.
    pub(super) fn ink(&self, tone: Tone, text: &str) -> String {
        match self.ink {
            Ink::Colour if !text.trim().is_empty() => {
                format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code())
            }
            Ink::Colour | Ink::Plain => text.to_owned(),
        }
    }

    /// Prose behind a mark: what does not fit goes on below its beginning.
    pub(super) fn prose(&self, mark: &str, tone: Tone, text: &str) -> Vec<String> {
        let indent = mark.width();
        let room = self.width.map(|width| width.saturating_sub(indent).max(ROOM_MIN));
        let lines = room.map_or_else(|| vec![text.to_owned()], |room| wrapped(text, room));
        let begin = |place: usize| match place {
            0 => self.ink(tone, mark),
            _ => " ".repeat(indent),
        };
        let lines = lines.iter().enumerate();
        lines.map(|(place, line)| format!("{}{line}", begin(place))).collect()
    }
}

/// A text in lines of at most so many columns, broken between words and not inside a command.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in words(text) {
        let line = lines.last_mut().expect("there is a first line");
        let is_first = line.is_empty();
        if is_first || line.width() + 1 + word.width() <= room {
            line.push_str(if is_first { "" } else { " " });
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

/// Words; what stands in backticks is one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_inside = false;
    for part in text.split(' ') {
        match words.last_mut().filter(|_| is_inside) {
            Some(last) => *last = format!("{last} {part}"),
            None => words.push(part.to_owned()),
        }
        is_inside ^= part.matches('`').count() % 2 == 1;
    }
    words
}

/// The text in at most so many columns, with an ellipsis where something is left out.
pub(super) fn cut(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for character in text.chars() {
        if kept.width() + character.to_string().width() + ELLIPSIS.len() > room {
            break;
        }
        kept.push(character);
    }
    kept.trim_end().to_owned() + ELLIPSIS
}

/// The text, and as many spaces as its column leaves.
pub(super) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

const ELLIPSIS: &str = "...";
/// A terminal that is narrower than this breaks the lines by itself.
const ROOM_MIN: usize = 20;

/// `in 11h 58m`, or `2m ago`.
pub(in crate::expose) fn until(instant: Timestamp, now: Timestamp) -> String {
    if instant > now {
        format!("in {}", brief(span(now, instant)))
    } else {
        format!("{} ago", ago(instant, now))
    }
}

/// `2m`, without a word.
pub(super) fn ago(instant: Timestamp, now: Timestamp) -> String {
    brief(span(instant, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_breaks_between_words_and_never_inside_a_command() {
        let text =
            "disabling 2 of 4 has to be allowed: `channelkeeper apply --allow-removals` (c9)";
        let layout = Layout { width: Some(44), ..Layout::PLAIN };
        let lines = layout.prose("  ! ", Tone::Bad, text);
        assert_eq!(
            lines,
            [
                "  ! disabling 2 of 4 has to be allowed:",
                "    `channelkeeper apply --allow-removals`",
                "    (c9)",
            ]
        );
        assert_eq!(Layout::PLAIN.prose("  ! ", Tone::Bad, text), [format!("  ! {text}")]);
    }

    #[test]
    fn a_cut_is_seen_and_counts_columns_and_not_characters() {
        assert_eq!(cut("orders", 6), "orders");
        assert_eq!(cut("orders-of-acme", 9), "orders...");
        assert_eq!(cut("注文の通知", 8), "注文...");
        assert_eq!(padded("注文", 6), "注文  ");
    }

    #[test]
    fn a_colour_ends_with_its_word() {
        let layout = Layout { ink: Ink::Colour, ..Layout::PLAIN };
        assert_eq!(layout.ink(Tone::Bad, "no"), "\u{1b}[1;31mno\u{1b}[0m");
        assert_eq!(Layout::PLAIN.ink(Tone::Bad, "no"), "no");
    }
}
