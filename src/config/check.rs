//! The parts that every check of the config needs: its problems, its places, and where its secrets
//! come from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::command;
use super::given::Given;
use super::problem::Notes;
use super::secrets::{Fetched, Fetcher, MissingCredentials, SecretError, Surroundings};
use super::source::{At, Place, Source};
use super::values::{self, Reference};
use crate::model::declared::Declared;
use crate::model::events::Events;
use crate::model::secret::{Origin, Secret};

/// The parts that every check needs.
#[derive(Debug)]
pub(super) struct Check<'c> {
    /// The files, for their folders and names.
    pub(super) sources: &'c [Source],
    /// Where references lead.
    pub(super) surroundings: &'c Surroundings,
    /// The problems found so far.
    pub(super) notes: &'c mut Notes,
    fetcher: Fetcher<'c>,
    /// The names of the files.
    names: Vec<Arc<str>>,
    /// The files with secrets that others can read; each is reported once.
    open_files: BTreeSet<PathBuf>,
}

impl<'c> Check<'c> {
    pub(super) fn new(
        sources: &'c [Source],
        surroundings: &'c Surroundings,
        notes: &'c mut Notes,
    ) -> Check<'c> {
        let fetcher = Fetcher::new(surroundings);
        let names = sources.iter().map(|source| Arc::from(source.name.as_str())).collect();
        Check { sources, surroundings, notes, fetcher, names, open_files: BTreeSet::new() }
    }
}

impl Check<'_> {
    /// Reports what makes the config unusable.
    pub(super) fn problem(
        &mut self,
        place: Place,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.notes.problem(place, message, help);
    }

    /// Where a place is, for a person: `conf.d/acme.toml:12`.
    pub(super) fn locate(&self, place: Place) -> String {
        let source = &self.sources[place.file as usize];
        format!("{}:{}", source.name, source.position(place).0)
    }

    /// The lines of a channel and its events.
    pub(super) fn declared(
        &self,
        channel: Place,
        written: &[At<String>],
        events: &Events,
    ) -> Declared {
        let source = &self.sources[channel.file as usize];
        let line = |place: Place| source.position(place).0 as u32;
        let written = written.iter().map(|at| (at.value.as_str(), line(at.place)));
        Declared::at(self.names[channel.file as usize].clone(), line(channel), written, events)
    }

    /// A path in a config file, which is relative to the file's folder.
    pub(super) fn path(&self, at: &At<String>) -> PathBuf {
        self.sources[at.place.file as usize].folder.join(&at.value)
    }

    /// The secret that is written or referred to somewhere; none when that was reported.
    pub(super) fn secret(&mut self, key: &str, given: &Given<Reference>) -> Option<At<Secret>> {
        let at = given.good()?;
        let origin = match &at.value {
            Reference::Plain(secret) => {
                self.warn_of_open_file(key, at.place);
                return Some(at.with(secret.clone()));
            }
            Reference::Env(name) => Origin::Env(name.clone()),
            Reference::File(path) => Origin::File(self.path(&at.with(path.clone()))),
            Reference::Credential(name) => Origin::Credential(name.clone()),
            Reference::Command(words) => {
                let folder = &self.sources[at.place.file as usize].folder;
                Origin::Command(command::located(words, folder))
            }
        };
        if self.surroundings.missing == MissingCredentials::FetchNone {
            return Some(at.with(Secret::from_origin("", origin)));
        }
        match self.fetcher.fetch(&origin) {
            Ok(Fetched { secret, open_to_others }) => {
                if let (true, Origin::File(path)) = (open_to_others, origin) {
                    self.warn_of_secret_file(key, at.place, &path);
                }
                Some(at.with(secret))
            }
            Err(error) => self.unfetched(key, at, origin, &error),
        }
    }

    fn unfetched(
        &mut self,
        key: &str,
        at: &At<Reference>,
        origin: Origin,
        error: &SecretError,
    ) -> Option<At<Secret>> {
        let is_outside = matches!(error, SecretError::NoCredentials(_));
        let is_absent = match error {
            SecretError::NoCredentials(_) | SecretError::NotSet(_) | SecretError::Empty(_) => true,
            SecretError::Unreadable { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            // It may print one when there is one.
            SecretError::Command { .. } => key == "refresh_token",
            SecretError::BadCredentialName(_) | SecretError::NotText(_) | SecretError::Plain => {
                false
            }
        };
        let tolerated = match self.surroundings.missing {
            MissingCredentials::Refuse | MissingCredentials::FetchNone => false,
            MissingCredentials::Tolerate => is_outside,
            MissingCredentials::TolerateAll => is_absent,
            MissingCredentials::DoWithout => true,
        };
        let help = match (key, &origin) {
            ("refresh_token", Origin::File(_)) if is_absent => {
                "`channelkeeper login` with the same --config gets it".to_owned()
            }
            ("refresh_token", _) if is_absent => {
                format!("{}; `channelkeeper login --out FILE` gets one", error.help())
            }
            _ => error.help(),
        };
        if tolerated && !is_outside {
            self.notes.warning(at.place, error.to_string(), help);
            return Some(at.with(Secret::from_origin("", origin)));
        }
        if tolerated {
            self.notes.warning(
                at.place,
                error.to_string(),
                "it was not checked; the unit gets it from systemd",
            );
            return Some(at.with(Secret::from_origin("", origin)));
        }
        self.problem(at.place, error.to_string(), help);
        None
    }

    fn warn_of_secret_file(&mut self, key: &str, place: Place, path: &Path) {
        let message = format!("others can read {}, where \"{key}\" is", path.display());
        if self.is_untold(path) {
            self.notes.warning(place, message, format!("chmod 600 {}", path.display()));
        }
    }

    fn warn_of_open_file(&mut self, key: &str, place: Place) {
        let source = &self.sources[place.file as usize];
        if source.open_to_others && self.is_untold(Path::new(&source.name)) {
            let message = format!("\"{key}\" stands in a file that others can read");
            self.notes.warning(place, message, format!("chmod 600 {}", source.name));
        }
    }

    /// Returns whether nothing was said of this file so far.
    fn is_untold(&mut self, path: &Path) -> bool {
        self.open_files.len() < OPEN_FILES_MAX && self.open_files.insert(path.to_owned())
    }
}

/// A URL that is a secret; one that was tolerated to be missing is empty.
pub(super) fn told_url(
    key: &str,
    given: &Given<Reference>,
    check: &mut Check<'_>,
) -> Option<Secret> {
    let at = check.secret(key, given)?;
    if at.value.expose().is_empty() {
        return None;
    }
    if let Err(mistake) = values::told_url(at.value.expose()) {
        check.problem(at.place, format!("\"{key}\": {}", mistake.message), mistake.help);
    }
    Some(at.value)
}

/// More are not listed: they have one cause.
const OPEN_FILES_MAX: usize = 16;
