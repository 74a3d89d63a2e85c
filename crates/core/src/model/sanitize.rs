//! Characters that do something to what shows them, in place of standing there.

/// True when a character breaks a line, steers a terminal, or turns the direction of a text.
pub fn is_foul(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    character.is_control() || turns
}

/// The character, or a space in place of one that is foul.
pub fn plain(character: char) -> char {
    if is_foul(character) { ' ' } else { character }
}

/// A text of several lines, its line breaks and tabs kept.
pub fn plain_lines(text: &str) -> String {
    text.chars()
        .map(
            |character| if matches!(character, '\n' | '\t') { character } else { plain(character) },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_turns_a_text_is_foul_and_letters_are_not() {
        for foul in "\0\u{7}\u{8}\t\n\r\u{1b}\u{7f}\u{85}\u{9b}\u{61c}\u{200f}\u{2028}\u{202e}\u{2066}\u{2069}".chars()
        {
            assert!(is_foul(foul), "{foul:?}");
        }
        for letter in "aZ 0~\u{a0}\u{e9}\u{5e9}\u{4e2d}\u{200d}\u{1f600}".chars() {
            assert!(!is_foul(letter), "{letter:?}");
        }
        assert_eq!(plain_lines("a\r\n\tb\u{1b}[31m\u{202e}c"), "a \n\tb [31m c");
    }
}
