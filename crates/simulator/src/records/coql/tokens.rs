//! The words, texts and signs of a query.

/// A part of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CoqlToken {
    /// A name, a number, a bare value or a keyword.
    Word(String),
    /// A value between quotes.
    Text(String),
    /// A bracket, a comma or an operator.
    Sign(&'static str),
}

impl CoqlToken {
    /// The token as an error names it.
    pub(super) fn text(&self) -> &str {
        match self {
            CoqlToken::Word(text) | CoqlToken::Text(text) => text,
            CoqlToken::Sign(sign) => sign,
        }
    }

    /// True when it is this word, in any case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, CoqlToken::Word(text) if text.eq_ignore_ascii_case(word))
    }
}

/// The tokens of a query; what cannot begin one is the error.
pub(super) fn tokens(text: &str) -> Result<Vec<CoqlToken>, String> {
    let mut rest = text.trim_start();
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
        let (token, behind) = match (sign, first) {
            (Some(sign), _) => (CoqlToken::Sign(sign), &rest[sign.len()..]),
            (None, '\'' | '"') => quoted(rest, first).ok_or_else(|| rest.to_owned())?,
            (None, _) => {
                let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
                let (word, behind) = rest.split_at(end);
                if word.is_empty() {
                    return Err(first.to_string());
                }
                (CoqlToken::Word(word.to_owned()), behind)
            }
        };
        found.push(token);
        rest = behind.trim_start();
    }
    Ok(found)
}

/// A text between quotes, in which the quote is doubled (Kaizen #171).
fn quoted(text: &str, quote: char) -> Option<(CoqlToken, &str)> {
    let mut value = String::new();
    let mut rest = text.strip_prefix(quote)?;
    loop {
        let (part, behind) = rest.split_once(quote)?;
        value.push_str(part);
        match behind.strip_prefix(quote) {
            Some(behind) => {
                value.push(quote);
                rest = behind;
            }
            None => return Some((CoqlToken::Text(value), behind)),
        }
    }
}

/// Names with dots and arrows are words too: they are joins.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || "_.-+:#$!".contains(c)
}

/// Longer signs stand before those that they begin with.
const SIGNS: [&str; 10] = ["!=", "<>", ">=", "<=", "=", ">", "<", "(", ")", ","];
