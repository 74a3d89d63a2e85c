//! Fetching what a secret refers to.
//!
//! Used when a config is loaded, and again when the desired state is restored from the store, which
//! keeps only where each secret came from. An error names the place of a secret, never the content.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use crate::model::secret::{Origin, Secret};

/// Where references lead: the environment and systemd's credentials. A test gives its own.
pub struct Surroundings {
    /// Looks up an environment variable.
    pub env: Lookup,
    /// `$CREDENTIALS_DIRECTORY`, which systemd sets for the unit and for nobody else.
    pub credentials_dir: Option<PathBuf>,
    /// The meaning of a credential where there are no credentials.
    pub missing: MissingCredentials,
}

/// From the name of an environment variable to its value.
pub type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The meaning of a secret that is missing, above all in a process that systemd has handed no
/// credentials to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MissingCredentials {
    /// The config cannot be used.
    #[default]
    Refuse,
    /// A warning; the secret is empty. For `check` in an administrator's shell.
    Tolerate,
    /// A secret that is not there, wherever it should be, is empty, with a warning. For `login`,
    /// which makes one.
    TolerateAll,
    /// Whatever cannot be fetched, for whatever reason, is empty, with a warning. For `listen` and
    /// `token`, which use what they can read.
    DoWithout,
    /// None is fetched, and each is empty, without a word: for `rehearse`, which uses none.
    FetchNone,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Surroundings {
        Surroundings {
            env: Box::new(|name| std::env::var(name).ok()),
            credentials_dir: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            missing: MissingCredentials::Refuse,
        }
    }

    /// The same, for what makes a secret that is not there yet.
    #[must_use]
    pub fn tolerating_missing_secrets(self) -> Surroundings {
        Surroundings { missing: MissingCredentials::TolerateAll, ..self }
    }

    /// The same, for what uses no secret.
    #[must_use]
    pub fn fetching_no_secrets(self) -> Surroundings {
        Surroundings { missing: MissingCredentials::FetchNone, ..self }
    }

    /// The same, for a process that is not the unit.
    #[must_use]
    pub fn tolerating_missing_credentials(self) -> Surroundings {
        Surroundings { missing: MissingCredentials::Tolerate, ..self }
    }

    /// The same, for a process that can do with the secrets there are.
    #[must_use]
    pub fn doing_without_secrets(self) -> Surroundings {
        Surroundings { missing: MissingCredentials::DoWithout, ..self }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("credentials_dir", &self.credentials_dir)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

/// The reason why a secret could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable does not exist, or is no UTF-8.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// This process was not started by systemd, or its unit loads no credentials.
    #[error("the systemd credential {0} is not here: $CREDENTIALS_DIRECTORY is not set")]
    NoCredentials(String),
    /// The name of a credential is a file name, not a path.
    #[error("\"{0}\" is no name of a systemd credential")]
    BadCredentialName(String),
    /// The file cannot be read.
    #[error("{origin} cannot be read")]
    Unreadable {
        /// Which secret.
        origin: Origin,
        /// The error of the system.
        #[source]
        source: std::io::Error,
    },
    /// The file is no secret.
    #[error("{0} is larger than 64 KiB")]
    TooLarge(Origin),
    /// The file is not UTF-8.
    #[error("{0} is no text")]
    NotText(Origin),
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(Origin),
    /// The value stood in the config and nowhere else.
    #[error("a secret that stands in the config itself cannot be fetched again")]
    Plain,
}

impl SecretError {
    /// The remedy.
    pub fn help(&self) -> String {
        match self {
            SecretError::NotSet(name) => {
                format!(
                    "set {name} where the daemon starts: Environment= or EnvironmentFile= of its unit"
                )
            }
            SecretError::NoCredentials(name) => {
                format!(
                    "add LoadCredential={name}:/path/to/secret to the unit; only the unit itself can read it"
                )
            }
            SecretError::BadCredentialName(_) => {
                "write the name alone, as in LoadCredential=".to_owned()
            }
            SecretError::Unreadable { source, .. }
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                "there is no such file".to_owned()
            }
            SecretError::Unreadable { source, .. } => {
                format!("let the daemon's user read it: {source}")
            }
            SecretError::TooLarge(_) | SecretError::NotText(_) => {
                "the file must hold the secret alone".to_owned()
            }
            SecretError::Empty(_) => "put the secret there".to_owned(),
            SecretError::Plain => "write it as { env }, { file } or { credential }".to_owned(),
        }
    }
}

/// The secret that an origin leads to.
pub fn fetch(origin: &Origin, surroundings: &Surroundings) -> Result<Secret, SecretError> {
    let value = Zeroizing::new(match origin {
        Origin::Env(name) => {
            (surroundings.env)(name).ok_or_else(|| SecretError::NotSet(name.clone()))?
        }
        Origin::File(path) => content(path, origin)?,
        Origin::Credential(name) => content(&credential(name, surroundings)?, origin)?,
        Origin::Plain => return Err(SecretError::Plain),
    });
    let value = value.trim_end();
    if value.is_empty() {
        return Err(SecretError::Empty(origin.clone()));
    }
    Ok(Secret::from_origin(value, origin.clone()))
}

fn credential(name: &str, surroundings: &Surroundings) -> Result<PathBuf, SecretError> {
    if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
        return Err(SecretError::BadCredentialName(name.escape_debug().to_string()));
    }
    match &surroundings.credentials_dir {
        Some(folder) => Ok(folder.join(name)),
        None => Err(SecretError::NoCredentials(name.to_owned())),
    }
}

fn content(path: &Path, origin: &Origin) -> Result<String, SecretError> {
    let unreadable = |source| SecretError::Unreadable { origin: origin.clone(), source };
    // With room for all of it from the start: growing would leave pieces of it behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * SIZE_MAX as usize));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SIZE_MAX {
        return Err(SecretError::TooLarge(origin.clone()));
    }
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| SecretError::NotText(origin.clone()))
}

/// No token is longer; a wrong path may lead to anything.
const SIZE_MAX: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(credentials_dir: Option<&Path>) -> Surroundings {
        Surroundings {
            env: Box::new(|name| (name == "GOOD").then(|| "value\n".to_owned())),
            credentials_dir: credentials_dir.map(Path::to_owned),
            missing: MissingCredentials::Refuse,
        }
    }

    #[test]
    fn each_origin_leads_to_its_value_without_the_white_space_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "from file \r\n").unwrap();
        let surroundings = surroundings(Some(folder.path()));
        let value = |origin: Origin| fetch(&origin, &surroundings).unwrap().expose().to_owned();
        assert_eq!(value(Origin::Env("GOOD".into())), "value");
        assert_eq!(value(Origin::File(path)), "from file");
        assert_eq!(value(Origin::Credential("secret".into())), "from file");
    }

    #[test]
    fn what_leads_nowhere_says_so_and_how_to_mend_it() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
        write("empty", b" \n");
        write("large", &vec![b'x'; 64 * 1024 + 1]);
        write("binary", &[0xff, 0xfe]);
        let surroundings = surroundings(Some(folder.path()));
        let credential = |name: &str| Origin::Credential(name.into());
        let table = [
            (Origin::Env("NONE".into()), "the environment variable NONE is not set"),
            (credential("empty"), "the systemd credential empty is empty"),
            (credential("large"), "the systemd credential large is larger than 64 KiB"),
            (credential("binary"), "the systemd credential binary is no text"),
            (credential("none"), "the systemd credential none cannot be read"),
            (credential("../large"), "\"../large\" is no name of a systemd credential"),
            (Origin::Plain, "a secret that stands in the config itself cannot be fetched again"),
        ];
        for (origin, expected) in table {
            let error = fetch(&origin, &surroundings).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(!error.help().is_empty());
        }
    }

    #[test]
    fn a_credential_outside_the_unit_is_told_apart() {
        let error = fetch(&Origin::Credential("acme".into()), &surroundings(None)).unwrap_err();
        assert!(matches!(error, SecretError::NoCredentials(name) if name == "acme"));
    }
}
