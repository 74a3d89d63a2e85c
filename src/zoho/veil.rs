//! The one door by which foreign text comes in.
//!
//! Whatever Zoho, or who stands between, says in words goes through [`Veil::words`] before anybody
//! shows, logs or stores it: this account's secrets are taken out first, in plain, JSON-escaped and
//! percent-encoded form; then what could steer a terminal; then it is cut to length. A secret that
//! was cut first would be half there.
//!
//! The veil knows every secret that this process has sent to Zoho for the account: the credentials
//! from the beginning, each access token when it is given, each channel token before it is sent. A
//! secret of fewer than [`SECRET_MIN`] characters is not taken out: it would be found in any text.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use crate::model::account::Account;
use crate::model::sanitize::plain;
use crate::model::secret::{Fingerprint, Secret};

/// One account's secrets, as they may be quoted.
#[derive(Debug, Default)]
pub struct Veil(Mutex<HiddenText>);

#[derive(Debug, Default)]
struct HiddenText {
    credentials: Vec<Secret>,
    access: VecDeque<Secret>,
    channels: BTreeMap<Fingerprint, Secret>,
}

impl Veil {
    /// A veil over the credentials of an account.
    pub fn of(account: &Account) -> Veil {
        let credentials = &account.credentials;
        let credentials =
            vec![credentials.client_secret.clone(), credentials.refresh_token.clone()];
        Veil(Mutex::new(HiddenText { credentials, ..HiddenText::default() }))
    }

    /// Hides another secret too: a grant code, or one that goes with the credentials.
    pub fn hide(&self, secret: &Secret) {
        self.known(|known| known.credentials.push(secret.clone()));
    }

    /// Hides an access token too. The last few are remembered: an old one is worth nothing.
    pub fn hide_access(&self, token: &Secret) {
        self.known(|known| {
            known.access.retain(|held| held != token);
            known.access.push_back(token.clone());
            while known.access.len() > ACCESS_MAX {
                known.access.pop_front();
            }
        });
    }

    /// Hides the tokens of channels too.
    pub fn hide_channels<'a>(&self, tokens: impl Iterator<Item = &'a Secret>) {
        self.known(|known| {
            if known.channels.len() >= CHANNELS_MAX {
                known.channels.clear();
            }
            known.channels.extend(tokens.map(|token| (token.fingerprint(), token.clone())));
        });
    }

    /// A foreign text as it may be shown: without secrets, without what steers a terminal, and
    /// short enough for a line of the log.
    pub fn words(&self, text: &str) -> String {
        cut(&self.without_secrets(text))
    }

    /// The beginning of a body that is no error of Zoho's. JSON is not shown: it may be a list,
    /// with tokens that this process has never sent.
    pub fn beginning(&self, body: &[u8]) -> String {
        if body.trim_ascii_start().starts_with(b"{") {
            return "JSON without a code".to_owned();
        }
        let read = &body[..body.len().min(BODY_READ_MAX)];
        let words = self.words(String::from_utf8_lossy(read).trim());
        if words.is_empty() { "no body".to_owned() } else { words }
    }

    fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        self.known(|known| {
            let all = known.credentials.iter().chain(&known.access).chain(known.channels.values());
            for form in all.flat_map(forms) {
                if text.contains(&form) {
                    text = text.replace(&form, TAKEN_OUT);
                }
            }
        });
        text
    }

    fn known<T>(&self, act: impl FnOnce(&mut HiddenText) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a secret may stand in somebody's words.
fn forms(secret: &Secret) -> Vec<String> {
    let value = secret.expose();
    if value.chars().count() < SECRET_MIN {
        return Vec::new();
    }
    let json = serde_json::Value::from(value).to_string();
    let json = json.trim_matches('"').to_owned();
    let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let mut forms = vec![value.to_owned(), json.replace('/', "\\/"), json, form];
    for unreserved in [UNRESERVED, ""] {
        let encoded = encoded_but(value, unreserved);
        forms.extend([lower_hex(&encoded), encoded]);
    }
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms
}

/// Every byte but letters, digits and `left` as `%XX`.
fn encoded_but(value: &str, left: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || left.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn lower_hex(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (hex, rest) = part.split_at(part.len().min(2));
        lower.push('%');
        lower.push_str(&hex.to_ascii_lowercase());
        lower.push_str(rest);
    }
    lower
}

fn cut(text: &str) -> String {
    let clean = text.chars().map(plain);
    let mut cut: String = clean.clone().take(WORDS_MAX).collect();
    if clean.count() > WORDS_MAX {
        cut.push_str("...");
    }
    cut
}

/// The characters that percent-encoding leaves alone, beside letters and digits.
const UNRESERVED: &str = "-._~";
/// The text that stands in the place of a secret.
const TAKEN_OUT: &str = "[secret]";
/// A shorter secret is not looked for.
pub const SECRET_MIN: usize = 4;
/// The most characters that are shown of a foreign text.
const WORDS_MAX: usize = 300;
/// The most bytes that are read of a body that is no JSON.
const BODY_READ_MAX: usize = 64 * 1024;
/// Access tokens that are remembered.
const ACCESS_MAX: usize = 4;
/// Channel tokens that are remembered; at more, those of earlier writes are forgotten.
const CHANNELS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn veil(secret: &str) -> Veil {
        let veil = Veil::default();
        veil.hide(&Secret::new(secret));
        veil
    }

    #[test]
    fn a_secret_is_taken_out_in_each_form_in_which_it_may_be_quoted() {
        let secret = "1000.a/b+c\"d e\u{e9}";
        for quoted in [
            "1000.a/b+c\"d e\u{e9}",
            "1000.a/b+c\\\"d e\u{e9}",
            "1000.a\\/b+c\\\"d e\u{e9}",
            "1000.a%2Fb%2Bc%22d%20e%C3%A9",
            "1000.a%2fb%2bc%22d%20e%c3%a9",
            "1000.a%2Fb%2Bc%22d+e%C3%A9",
            "1000%2Ea%2Fb%2Bc%22d%20e%C3%A9",
        ] {
            let said = veil(secret).words(&format!("bad token <{quoted}>, twice {quoted}"));
            assert_eq!(said, "bad token <[secret]>, twice [secret]");
        }
    }

    #[test]
    fn a_secret_goes_before_the_text_is_cut() {
        let text = format!("{}{} and more", "x".repeat(WORDS_MAX - 5), "secret-value");
        assert_eq!(veil("secret-value").words(&text), format!("{}[secr...", "x".repeat(295)));
        let body = format!("{}secret-value", " y".repeat(200));
        assert!(!veil("secret-value").beginning(body.as_bytes()).contains("secr"));
    }

    #[test]
    fn access_tokens_and_channel_tokens_are_remembered_within_bounds() {
        let veil = Veil::default();
        for token in 0..10 {
            veil.hide_access(&Secret::new(format!("access-{token}")));
        }
        assert_eq!(veil.words("access-9 access-6 access-5"), "[secret] [secret] access-5");
        let tokens: Vec<Secret> =
            (0..CHANNELS_MAX).map(|token| Secret::new(format!("token-{token:05}"))).collect();
        veil.hide_channels(tokens.iter());
        assert_eq!(veil.words("token-00000"), "[secret]");
        veil.hide_channels(std::iter::once(&Secret::new("the-newest")));
        assert_eq!(veil.words("the-newest"), "[secret]");
        assert_eq!(veil.known(|known| known.channels.len()), 1);
    }

    #[test]
    fn a_secret_that_is_in_every_text_is_left() {
        assert_eq!(veil("abc").words("abc is the alphabet"), "abc is the alphabet");
        assert_eq!(veil("").words("nothing"), "nothing");
    }
}
