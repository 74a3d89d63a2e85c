//! Secrets that cannot be printed, and fingerprints that can.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A secret value: a client secret, a refresh token, an access token, a channel token. `Debug` and
/// `Display` do not show it, it does not serialise, and its memory is zeroed when the last clone is
/// dropped: clones share it, so that the token of a hundred channels is there once. Two secrets are
/// equal when their values are, wherever they came from.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    value: SecretString,
    fingerprint: Fingerprint,
    origin: Origin,
}

/// Where a secret of the config came from: what the store keeps in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `{ env = "NAME" }`: an environment variable.
    Env(String),
    /// `{ file = "path" }`: the content of a file, less white space at its end.
    File(PathBuf),
    /// `{ credential = "name" }`: a file of this name in systemd's `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// `{ command = ["program", "argument"] }`: what a command prints. Its arguments are not shown.
    Command(Vec<String>),
    /// It stands in the config itself, or was never in one. It cannot be fetched again.
    Plain,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Env(name) => write!(f, "the environment variable {name}"),
            Origin::File(path) => write!(f, "the file {}", path.display()),
            Origin::Credential(name) => write!(f, "the systemd credential {name}"),
            Origin::Command(words) => {
                let program = words.first().map_or("", String::as_str);
                let name = program.rsplit('/').next().unwrap_or(program);
                write!(f, "the output of {name}")
            }
            Origin::Plain => f.write_str("a plain string"),
        }
    }
}

impl Secret {
    /// Takes in a value that stands for itself.
    pub fn new(value: impl Into<String>) -> Secret {
        Secret::from_origin(value, Origin::Plain)
    }

    /// Takes in a value that was fetched from somewhere.
    pub fn from_origin(value: impl Into<String>, origin: Origin) -> Secret {
        let value = SecretString::from(value.into());
        let fingerprint = Secret::fingerprint_of(value.expose_secret());
        Secret(Arc::new(Inner { value, fingerprint, origin }))
    }

    /// The fingerprint that a secret of this value has.
    pub fn fingerprint_of(value: &str) -> Fingerprint {
        Fingerprint::of(&["secret", value])
    }

    /// Where it came from.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// The value, for the one place that must send it.
    pub fn expose(&self) -> &str {
        self.0.value.expose_secret()
    }

    /// True when this is the value. The time it takes tells nothing of the value: the whole hashes
    /// are compared, wherever they differ.
    pub fn is(&self, given: &str) -> bool {
        let (own, other) = (Sha256::digest(self.expose()), Sha256::digest(given));
        own.iter().zip(&other).fold(0, |differing, (own, other)| differing | (own ^ other)) == 0
    }

    /// A fingerprint that may be stored, compared and printed in place of the secret.
    pub fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Secret {
        Secret::new(value)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The first 64 bits of a SHA-256 over named parts: enough to tell two values apart, not enough to
/// be one of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Over the parts, each with its length, so that no two lists of parts read the same.
    pub fn of(parts: &[&str]) -> Fingerprint {
        let mut all = FingerprintParts::default();
        parts.iter().for_each(|part| all.add(part));
        all.finish()
    }
}

/// A [`Fingerprint`] in the making, for parts that are not there all at once.
#[derive(Clone, Debug, Default)]
pub struct FingerprintParts(Sha256);

impl FingerprintParts {
    /// The next part.
    pub fn add(&mut self, part: &str) {
        self.add_pieces(&[part.as_bytes()]);
    }

    /// The next part, which is these pieces one after the other.
    pub fn add_pieces(&mut self, pieces: &[&[u8]]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.0.update((length as u64).to_be_bytes());
        pieces.iter().for_each(|piece| self.0.update(piece));
    }

    /// Over all of them.
    pub fn finish(self) -> Fingerprint {
        let digest = self.0.finalize();
        let mut first = [0_u8; 8];
        first.copy_from_slice(&digest[..8]);
        Fingerprint(u64::from_be_bytes(first))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[redacted]");
    }

    #[test]
    fn a_secret_is_its_value_and_nothing_else() {
        let secret = Secret::new("hunter2");
        assert!(secret.is("hunter2"));
        for other in ["", "hunter", "hunter22", "Hunter2", "hunter2\0"] {
            assert!(!secret.is(other), "{other:?}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(Fingerprint::of(&["ab", "c"]), Fingerprint::of(&["a", "bc"]));
        assert_eq!(Fingerprint::of(&["a"]), Fingerprint::of(&["a"]));
    }
}
