//! "Did you mean": the nearest of some words.

use strsim::osa_distance;

/// The candidate that differs least from what was written, if it is near enough to have been meant.
pub(crate) fn nearest<'c>(written: &str, candidates: &[&'c str]) -> Option<&'c str> {
    if written.len() > WORD_MAX {
        return None;
    }
    // In a name of two characters, one wrong character is half of it: "uk" is no slip for "us".
    let far = written.chars().count().div_ceil(3).saturating_sub(usize::from(written.len() < 3));
    let near = candidates.iter().map(|candidate| (osa_distance(written, candidate), *candidate));
    near.filter(|(distance, _)| *distance <= far).min().map(|(_, candidate)| candidate)
}

/// As the end of a sentence that says that there is no such name.
pub(crate) fn did_you_mean(written: &str, names: &[&str]) -> Option<String> {
    nearest(written, names).map(|name| format!("; did you mean {name}?"))
}

/// As a help text, or what to say when nothing is near.
pub(super) fn suggestion(written: &str, candidates: &[&str]) -> String {
    match nearest(written, candidates) {
        Some(candidate) => format!("did you mean \"{candidate}\"?"),
        None => format!("one of {}", candidates.join(", ")),
    }
}

/// Longer words are not compared: no key is that long, and the comparison takes time by the square.
const WORD_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_another_word_is_not() {
        let keys = ["lifetime", "renew_before", "mode", "name"];
        assert_eq!(nearest("lifetme", &keys), Some("lifetime"));
        assert_eq!(nearest("renew-before", &keys), Some("renew_before"));
        assert_eq!(nearest("mdoe", &keys), Some("mode"));
        assert_eq!(nearest("expiry", &keys), None);
        assert_eq!(nearest(&"x".repeat(1000), &keys), None);
    }
}
