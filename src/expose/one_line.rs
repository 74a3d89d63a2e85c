//! Texts that somebody else wrote, made fit to be shown: one line, bounded, and no query of a URL.
//!
//! Zoho's words are cleaned where they are read; a path, a system error or a line of the config is
//! not. Everything that is shown passes here, so that no view has to know where a text came from.

use crate::model::sanitize::plain;

/// `text` on one line: what would break it, or turn its direction, is a space; what follows the `?`
/// or `#` of a URL is `?...`; what is longer than [`LENGTH_MAX`] is cut.
pub(crate) fn line(text: &str) -> String {
    let mut shown = String::new();
    let mut length = 0;
    let mut place = TextPart::Outside;
    for character in text.chars().map(plain) {
        place = place.then(character, &shown);
        let piece = match place {
            TextPart::Query => continue,
            TextPart::QueryBegins => "?...".to_owned(),
            TextPart::Outside | TextPart::Url => character.to_string(),
        };
        shown.push_str(&piece);
        length += 1;
        if length == LENGTH_MAX {
            shown.push_str("...");
            break;
        }
    }
    shown
}

/// The part of a text in which a character stands.
#[derive(Clone, Copy)]
enum TextPart {
    Outside,
    Url,
    QueryBegins,
    Query,
}

impl TextPart {
    fn then(self, next: char, before: &str) -> TextPart {
        let ends = next.is_whitespace() || matches!(next, '"' | '\'' | '<' | '>' | '`');
        match self {
            TextPart::Url | TextPart::QueryBegins | TextPart::Query if ends => TextPart::Outside,
            TextPart::Url if matches!(next, '?' | '#') => TextPart::QueryBegins,
            TextPart::QueryBegins | TextPart::Query => TextPart::Query,
            TextPart::Url => TextPart::Url,
            TextPart::Outside if before.ends_with("://") => TextPart::Url,
            TextPart::Outside => TextPart::Outside,
        }
    }
}

/// The most characters of one text.
const LENGTH_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_on_its_line() {
        assert_eq!(line("a\nb\r\nc\u{1b}[31md\u{2028}e\u{202e}f\0"), "a b  c [31md e f ");
    }

    #[test]
    fn the_query_of_a_url_is_not_shown() {
        assert_eq!(
            line("POST https://h.example/a?key=s3cret failed"),
            "POST https://h.example/a?... failed"
        );
        assert_eq!(
            line("(\"https://h.example/#s3cret\") what?"),
            "(\"https://h.example/?...\") what?"
        );
        assert_eq!(line("https://h.example?a=?b#c"), "https://h.example?...");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(line(&"x".repeat(1000)), format!("{}...", "x".repeat(500)));
        assert_eq!(line(&"x".repeat(499)), "x".repeat(499));
    }
}
