//! Fetching what a secret refers to.
//!
//! Used when a config is loaded, and again when the desired state is restored from the store, which
//! keeps only where each secret came from. An error names the place of a secret, never the content.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use super::command::{self, CommandError};
use crate::files::{self, Content};
use crate::model::secret::{Origin, Secret};

/// Where references lead: the environment and systemd's credentials. A test gives its own.
pub struct Surroundings {
    /// Looks up an environment variable.
    pub env: Lookup,
    /// `$CREDENTIALS_DIRECTORY`, which systemd sets for the unit and for nobody else.
    pub credentials_dir: Option<PathBuf>,
    /// The meaning of a credential where there are no credentials.
    pub missing: MissingCredentials,
    /// The fate of commands that print a secret.
    pub commands: Commands,
}

/// The fate of a config's commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commands {
    /// They run.
    Run,
    /// None runs, and each has failed: where a config may be anything, as in a fuzzer.
    Refuse,
}

/// From the name of an environment variable to its value.
pub(crate) type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

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
    /// The surroundings of this process.
    pub fn of_process() -> Surroundings {
        Surroundings {
            env: Box::new(|name| std::env::var(name).ok()),
            credentials_dir: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            missing: MissingCredentials::Refuse,
            commands: Commands::Run,
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
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}

/// The reason why a secret could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
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
    /// The file is not UTF-8.
    #[error("{0} is not UTF-8 text")]
    NotText(Origin),
    /// The command did not give it.
    #[error("the command {program} {why}")]
    Command {
        /// The program, without its arguments.
        program: String,
        /// How it failed.
        why: CommandError,
    },
    /// There is nothing in it.
    #[error("{0} is empty")]
    Empty(Origin),
    /// The value stood in the config and nowhere else.
    #[error("a secret that stands in the config itself cannot be fetched again")]
    Plain,
}

impl SecretError {
    /// The remedy.
    pub(crate) fn help(&self) -> String {
        match self {
            SecretError::NotSet(name) => {
                format!(
                    "set {name} where the daemon starts: Environment= or EnvironmentFile= of its \
                     unit"
                )
            }
            SecretError::NoCredentials(name) => {
                format!(
                    "add LoadCredential={name}:/path/to/secret to the unit; only the unit itself \
                     can read it"
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
            SecretError::Unreadable { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                "let the daemon's user read it".to_owned()
            }
            SecretError::Unreadable { source, .. } => source.to_string(),
            SecretError::NotText(_) => "the file must hold the secret alone".to_owned(),
            SecretError::Command { why: CommandError::NotStarted(_), .. } => {
                "name a program that the daemon's user may run, with its whole path".to_owned()
            }
            SecretError::Command { .. } => {
                "run it as the daemon's user, with the daemon's environment, and see".to_owned()
            }
            SecretError::Empty(Origin::Command(_)) => {
                "it has to print the secret alone, on its standard output".to_owned()
            }
            SecretError::Empty(_) => "put the secret there".to_owned(),
            SecretError::Plain => {
                "write it as { env }, { file }, { credential } or { command }".to_owned()
            }
        }
    }
}

/// The secret that an origin leads to.
pub(crate) fn fetch(origin: &Origin, surroundings: &Surroundings) -> Result<Secret, SecretError> {
    Fetcher::new(surroundings).fetch(origin).map(|fetched| fetched.secret)
}

/// Fetches the secrets of one config. A command that several of them name runs once.
#[derive(Debug)]
pub(crate) struct Fetcher<'s> {
    surroundings: &'s Surroundings,
    ran: BTreeMap<Vec<String>, Result<Secret, CommandError>>,
}

/// A secret with the warning about its place.
#[derive(Debug)]
pub(super) struct Fetched {
    /// The secret.
    pub(super) secret: Secret,
    /// True when it was in a file that somebody can read who need not. Credentials are systemd's
    /// business.
    pub(super) open_to_others: bool,
}

impl<'s> Fetcher<'s> {
    /// With nothing fetched yet.
    pub(crate) fn new(surroundings: &'s Surroundings) -> Fetcher<'s> {
        Fetcher { surroundings, ran: BTreeMap::new() }
    }

    /// The secret of an origin.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub(crate) fn secret(&mut self, origin: &Origin) -> Result<Secret, SecretError> {
        self.fetch(origin).map(|fetched| fetched.secret)
    }

    /// The same, with the warning about its place.
    pub(super) fn fetch(&mut self, origin: &Origin) -> Result<Fetched, SecretError> {
        let mut open_to_others = false;
        let value = match origin {
            Origin::Env(name) => {
                let value = (self.surroundings.env)(name);
                Zeroizing::new(value.ok_or_else(|| SecretError::NotSet(name.clone()))?.into_bytes())
            }
            Origin::File(path) => {
                let content = content(path, origin)?;
                open_to_others = content.open_to_others;
                content.bytes
            }
            Origin::Credential(name) => {
                content(&credential(name, self.surroundings)?, origin)?.bytes
            }
            Origin::Command(words) => return self.printed(words, origin),
            Origin::Plain => return Err(SecretError::Plain),
        };
        Ok(Fetched { secret: secret(&value, origin)?, open_to_others })
    }

    fn printed(&mut self, words: &[String], origin: &Origin) -> Result<Fetched, SecretError> {
        let ran = match self.ran.get(words) {
            Some(ran) => ran.clone(),
            None => {
                let printed = match self.surroundings.commands {
                    Commands::Run => command::output(words, command::BOUNDS),
                    Commands::Refuse => {
                        Err(CommandError::NotStarted("no command is run here".to_owned()))
                    }
                };
                // An output that is no secret is no secret for any key, so it is told each time.
                let ran = match printed {
                    Ok(bytes) => Ok(secret(&bytes, origin)?),
                    Err(error) => Err(error),
                };
                self.ran.insert(words.to_vec(), ran.clone());
                ran
            }
        };
        let program = || {
            let program = words.first().map_or("", String::as_str);
            program.rsplit('/').next().unwrap_or(program).to_owned()
        };
        let secret = ran.map_err(|why| SecretError::Command { program: program(), why })?;
        Ok(Fetched { secret, open_to_others: false })
    }
}

/// The text that was fetched, as the secret that it is.
fn secret(value: &[u8], origin: &Origin) -> Result<Secret, SecretError> {
    let value = std::str::from_utf8(value).map_err(|_| SecretError::NotText(origin.clone()))?;
    let value = without_line_break(value);
    if value.trim().is_empty() {
        return Err(SecretError::Empty(origin.clone()));
    }
    Ok(Secret::from_origin(value, origin.clone()))
}

/// Editors and `echo` end a file with one line break. Whatever else is at its end is the secret's.
pub(crate) fn without_line_break(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
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

fn content(path: &Path, origin: &Origin) -> Result<Content, SecretError> {
    let unreadable = |source| SecretError::Unreadable { origin: origin.clone(), source };
    files::read(path, SIZE_KIB_MAX).map_err(unreadable)
}

/// No token is longer; a wrong path may lead to anything.
const SIZE_KIB_MAX: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(credentials_dir: Option<&Path>) -> Surroundings {
        Surroundings {
            env: Box::new(|name| (name == "GOOD").then(|| "value\n".to_owned())),
            credentials_dir: credentials_dir.map(Path::to_owned),
            missing: MissingCredentials::Refuse,
            commands: Commands::Run,
        }
    }

    #[test]
    fn each_origin_leads_to_its_value_without_the_line_break_at_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "from file \r\n").unwrap();
        assert_eq!(without_line_break("two\n\n"), "two\n");
        assert_eq!(without_line_break("tab\t"), "tab\t");
        let surroundings = surroundings(Some(folder.path()));
        let value = |origin: Origin| fetch(&origin, &surroundings).unwrap().expose().to_owned();
        assert_eq!(value(Origin::Env("GOOD".into())), "value");
        assert_eq!(value(Origin::File(path)), "from file ");
        assert_eq!(value(Origin::Credential("secret".into())), "from file ");
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
            (credential("large"), "the systemd credential large cannot be read"),
            (credential("binary"), "the systemd credential binary is not UTF-8 text"),
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
    fn what_a_command_prints_is_the_secret_and_it_runs_once_for_all_who_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let count = folder.path().join("count");
        let script = format!("echo x >> {}; printf 's3cret \\n'", count.display());
        let origin = Origin::Command(["sh", "-c", &script].map(str::to_owned).to_vec());
        let surroundings = surroundings(None);
        let mut fetcher = Fetcher::new(&surroundings);
        for _ in 0..3 {
            assert_eq!(fetcher.secret(&origin).unwrap().expose(), "s3cret ");
        }
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\n");
        let failing = Origin::Command(["sh", "-c", "exit 2", "s3cret"].map(str::to_owned).to_vec());
        for _ in 0..2 {
            let error = fetcher.secret(&failing).unwrap_err();
            assert_eq!(error.to_string(), "the command sh failed: exit status: 2");
            assert!(!error.help().is_empty());
        }
        let refusing = Surroundings { commands: Commands::Refuse, ..self::surroundings(None) };
        let refused = Fetcher::new(&refusing).secret(&origin).unwrap_err();
        assert!(refused.to_string().contains("no command is run here"), "{refused}");
        let silent = Origin::Command(vec!["true".to_owned()]);
        let error = fetcher.secret(&silent).unwrap_err();
        assert_eq!(error.to_string(), "the output of true is empty");
    }

    #[test]
    fn a_credential_outside_the_unit_is_told_apart() {
        let error = fetch(&Origin::Credential("acme".into()), &surroundings(None)).unwrap_err();
        assert!(matches!(error, SecretError::NoCredentials(name) if name == "acme"));
    }
}
