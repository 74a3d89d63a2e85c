//! From a path to a desired state: files, includes, and the stages in their order.
//!
//! A file whose syntax is broken hides what it declares, and every reference to that would be
//! reported too. So while the syntax of any file is broken, the syntax of all files and the shape
//! of the sound ones is reported, and what lies between keys waits.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::check::Check;
use super::fields::Fields;
use super::given::{FieldReader, Given};
use super::problem::{Notes, Problem};
use super::raw::{Document, Role};
use super::secrets::Surroundings;
use super::settings;
use super::source::{At, Place, Source};
use crate::files;
use crate::model::desired::Desired;

/// The result of loading a config.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Everything that is wanted; none when there are problems.
    pub desired: Option<Desired>,
    /// `[daemon] state_dir`, absolute, if it could be read at all, whatever else is wrong.
    pub state_dir: Option<PathBuf>,
    /// The problems that make the config unusable, in the order of the files.
    pub problems: Vec<Problem>,
    /// The warnings that a person should look at.
    pub warnings: Vec<Problem>,
    /// Every file that was read, the named one first.
    pub files: Vec<PathBuf>,
    /// The first 16 hexadecimal digits of the SHA-256 over the content of those files: `cat FILES
    /// | sha256sum`.
    pub hash: String,
}

/// Reads, checks and resolves a config with all it includes.
pub fn load(path: &Path, surroundings: &Surroundings) -> Loaded {
    match Loading::begin(path) {
        Ok(loading) => loading.finish(surroundings),
        Err(problem) => Loaded { problems: vec![*problem], ..Loaded::default() },
    }
}

/// The same of a text that need not stand in a file; what it includes is read from files.
pub fn load_text(path: &Path, text: String, surroundings: &Surroundings) -> Loaded {
    let name = path.display().to_string();
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let main = Source { name, folder, text, ..Source::default() };
    Loading::of(path, main).finish(surroundings)
}

/// The same with declarations appended, each of them with whatever would be wrong with it first.
pub fn load_beside(
    path: &Path,
    surroundings: &Surroundings,
    declarations: Vec<String>,
) -> (Loaded, Vec<Option<String>>) {
    let mut loading = match Loading::begin(path) {
        Ok(loading) => loading,
        Err(problem) => {
            let why = Some(problem.to_string());
            let loaded = Loaded { problems: vec![*problem], ..Loaded::default() };
            return (loaded, vec![why; declarations.len()]);
        }
    };
    let name = |number: usize| format!("declaration {number}");
    let (count, folder) = (declarations.len(), loading.sources[0].folder.clone());
    for (number, text) in declarations.into_iter().enumerate() {
        let source =
            Source { name: name(number), folder: folder.clone(), text, ..Source::default() };
        loading.take(source, Role::Included);
    }
    let loaded = loading.finish(surroundings);
    let mut first: HashMap<&str, &Problem> = HashMap::new();
    for problem in &loaded.problems {
        first.entry(&problem.file).or_insert(problem);
    }
    let wrong = (0..count).map(|number| first.get(name(number).as_str()));
    let wrong = wrong.map(|problem| problem.map(ToString::to_string)).collect();
    (loaded, wrong)
}

/// `[daemon] state_dir` of a config, absolute, whatever else is wrong with it. Nothing that it
/// includes is read, and no secret is fetched.
pub fn state_dir(path: &Path) -> Option<PathBuf> {
    let main = Source::open(path, path.display().to_string()).ok()?;
    let mut loading = Loading::default();
    loading.take(main, Role::Main);
    loading.state_dir()
}

/// Writes another data centre into a config, where the account has one: nothing else of the file
/// changes, comments least of all. Gives the file.
///
/// # Errors
/// In words, when the account has no `data_center` or the file cannot be written.
pub fn set_data_center(path: &Path, account: &str, center: &str) -> Result<PathBuf, String> {
    let loading = Loading::begin(path).map_err(|problem| problem.to_string())?;
    let accounts = loading.documents.iter().flat_map(|document| &document.accounts);
    let found = accounts
        .filter(|(name, _)| name.value == account)
        .find_map(|(_, account)| account.data_center.good());
    let Some(At { place, .. }) = found else {
        return Err(format!("account {account} has no data_center"));
    };
    let (file, text) =
        (&loading.files[place.file as usize], &loading.sources[place.file as usize].text);
    let (before, after) = (&text[..place.start as usize], &text[place.end as usize..]);
    let edited = format!("{before}\"{center}\"{after}");
    files::replace(file, edited.as_bytes(), 0o600)
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file.clone())
}

/// The files read so far.
#[derive(Debug, Default)]
pub(super) struct Loading {
    sources: Vec<Source>,
    documents: Vec<Document>,
    notes: Notes,
    files: Vec<PathBuf>,
    broken: bool,
}

impl Loading {
    /// Reads a file and what it includes.
    fn begin(path: &Path) -> Result<Loading, Box<Problem>> {
        let name = path.display().to_string();
        let main = Source::open(path, name.clone())
            .map_err(|why| Problem::of_file(&name, &why, "name another with --config FILE"))
            .map_err(Box::new)?;
        Ok(Loading::of(path, main))
    }

    /// The first file, and what it includes.
    fn of(path: &Path, main: Source) -> Loading {
        let mut loading = Loading::default();
        loading.files.push(path.to_owned());
        loading.take(main, Role::Main);
        loading.follow_includes(path);
        loading
    }

    /// Reads one file's text.
    pub(super) fn take(&mut self, source: Source, role: Role) {
        let file = self.sources.len() as u32;
        self.add(FileRead::of(file, source, role));
    }

    /// Reads the texts of many files, on as many threads as there are cores for it.
    fn take_all(&mut self, sources: Vec<Source>) {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = cores.min(THREADS_MAX).min(sources.len());
        let first = self.sources.len() as u32;
        let left = Mutex::new((first..).zip(sources));
        let read = || -> Vec<(u32, FileRead)> {
            let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let read = |(file, source)| (file, FileRead::of(file, source, Role::Included));
            std::iter::from_fn(next).map(read).collect()
        };
        let mut all = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(read)).collect();
            let mut all = read();
            for other in others {
                all.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            all
        });
        all.sort_by_key(|(file, _)| *file);
        all.into_iter().for_each(|(_, read)| self.add(read));
    }

    fn add(&mut self, read: FileRead) {
        let FileRead { source, document, notes, is_broken } = read;
        self.notes.append(notes);
        self.broken |= is_broken;
        self.sources.push(source);
        self.documents.push(document);
    }

    /// Reads what the first file includes.
    fn follow_includes(&mut self, main: &Path) {
        let include =
            self.documents.first_mut().map(|document| std::mem::take(&mut document.include));
        let Some(Given::Is(At { value: patterns, .. })) = include else { return };
        let mut seen: BTreeSet<PathBuf> = [identity(main)].into();
        let mut sources = Vec::new();
        for pattern in patterns {
            let full = self.sources[0].folder.join(&pattern.value);
            for path in self.matches(&full, &pattern) {
                if seen.insert(identity(&path)) {
                    sources.extend(self.included(&path, &pattern));
                }
            }
        }
        self.take_all(sources);
    }

    fn included(&mut self, path: &Path, pattern: &At<String>) -> Option<Source> {
        if self.files.len() >= FILES_MAX {
            let message = format!("more than {FILES_MAX} files are included");
            self.notes.problem(pattern.place, message, "put more channels in one file");
            return None;
        }
        match Source::open(path, path.display().to_string()) {
            Ok(source) => {
                self.files.push(path.to_owned());
                Some(source)
            }
            Err(why) => {
                let message = format!("{}: {why}", path.display());
                self.notes.problem(pattern.place, message, "every included file must be readable");
                None
            }
        }
    }

    /// The files that a pattern means, sorted.
    fn matches(&mut self, full: &Path, pattern: &At<String>) -> Vec<PathBuf> {
        let name =
            full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let folder = full.parent().unwrap_or(Path::new("."));
        if folder.to_string_lossy().contains('*') || name.is_empty() {
            self.notes.problem(
                pattern.place,
                "\"*\" may stand in the last part of a path only",
                "as in \"conf.d/*.toml\"",
            );
            return Vec::new();
        }
        if !name.contains('*') {
            return vec![full.to_owned()];
        }
        let mut found: Vec<PathBuf> = match std::fs::read_dir(folder) {
            Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.notes.problem(
                    pattern.place,
                    format!("{}: {error}", folder.display()),
                    "let the daemon's user read the folder",
                );
                Vec::new()
            }
        };
        found.retain(|path| {
            path.file_name().is_some_and(|file| matches(&name, &file.to_string_lossy()))
                && path.is_file()
        });
        found.sort();
        found
    }

    fn state_dir(&self) -> Option<PathBuf> {
        let given = self.documents.first()?.daemon.value.state_dir.good()?;
        let is_there = !given.value.is_empty();
        is_there.then(|| self.sources[0].folder.join(&given.value))
    }

    /// Checks the files read so far and sorts the problems.
    pub(super) fn finish(self, surroundings: &Surroundings) -> Loaded {
        let state_dir = self.state_dir();
        let Loading { sources, documents, mut notes, files, broken } = self;
        let desired = (!broken).then(|| {
            settings::desired(documents, &mut Check::new(&sources, surroundings, &mut notes))
        });
        let desired = desired.filter(|_| !notes.any_problem());
        let (problems, warnings) = notes.sort_out(&sources);
        Loaded { desired, state_dir, problems, warnings, files, hash: hash(&sources) }
    }
}

/// A file whose text was read.
struct FileRead {
    source: Source,
    document: Document,
    notes: Notes,
    is_broken: bool,
}

impl FileRead {
    fn of(file: u32, mut source: Source, role: Role) -> FileRead {
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        let (mut notes, mut unheard) = (Notes::default(), Notes::default());
        // A recovered tree is good for state_dir; what else it seems to say is not to be trusted.
        let heard = if errors.is_empty() { &mut notes } else { &mut unheard };
        let mut reader = FieldReader { file, text: &source.text, safe: Vec::new(), notes: heard };
        let place = Place { file, start: 0, end: 0 };
        let document =
            Fields::read(&mut reader, String::new(), place, table.into_inner(), |fields| {
                Document::read(fields, role)
            });
        let mut safe = reader.safe;
        safe.sort_unstable();
        for error in &errors {
            let span = error.span().unwrap_or_default();
            let place = Place { file, start: span.start as u32, end: span.end as u32 };
            let message = format!("TOML syntax: {}", error.message().replace('\n', ", "));
            notes.problem(place, message, syntax_help(error.message()));
        }
        source.safe = if errors.is_empty() { safe } else { Vec::new() };
        FileRead { source, document, notes, is_broken: !errors.is_empty() }
    }
}

impl Source {
    /// Opens a file of the config.
    fn open(path: &Path, name: String) -> Result<Source, String> {
        let content = files::read(path, SIZE_KIB_MAX).map_err(|error| error.to_string())?;
        let text = content.text().map_err(|error| error.to_string())?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Source {
            name,
            folder,
            text,
            open_to_others: content.open_to_others,
            ..Source::default()
        })
    }
}

/// True when a name fits a pattern in which "*" stands for any text. A pattern never matches hidden
/// files.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last) && (!name.starts_with('.') || pattern.starts_with('.'))
}

fn syntax_help(message: &str) -> &'static str {
    if message.contains("duplicate") {
        "write each key and each [table] once"
    } else if message.contains("unclosed") || message.contains("missing") {
        "close it on the line it begins"
    } else {
        "one key = value to a line; text stands in quotes"
    }
}

fn hash(sources: &[Source]) -> String {
    let mut hash = Sha256::new();
    sources.iter().for_each(|source| hash.update(&source.text));
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// No config file is larger: 8 MiB hold some 50,000 channels.
const SIZE_KIB_MAX: u64 = 8 * 1024;
/// Files are read by so many threads at most: the store is checked meanwhile.
const THREADS_MAX: usize = 4;
/// No config has more files.
const FILES_MAX: usize = 1024;
