//! The one door through which files that somebody else writes are read: the config and what it
//! includes, secrets, certificates, the store's lock.
//!
//! A path may lead to anything. Opening a pipe waits until somebody writes to it, a device may have
//! no end, and opening some devices does something. So only regular files are opened, opening waits
//! for nobody, and no more is read than was asked for.
//!
//! The files that a person's command writes, secrets and configs, go out by it too: all of a file
//! or nothing, and for its owner alone.
//!
//! The time that a disk takes is not bounded here: whoever may not wait reads in a thread that can
//! be left behind.

use std::fs::{DirBuilder, File, FileType, Metadata, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use secrecy::zeroize::Zeroizing;

/// The content of a file; wiped when it is let go of.
#[derive(Debug)]
pub(crate) struct Content {
    /// All of it.
    pub bytes: Zeroizing<Vec<u8>>,
    /// True when somebody can read it who need not.
    pub open_to_others: bool,
}

/// All of a file.
///
/// # Errors
/// When it cannot be opened or read, is no regular file, or is larger than that many KiB.
pub(crate) fn read(path: &Path, kib_max: u64) -> Result<Content> {
    let file = open(path, OpenOptions::new().read(true))?;
    let metadata = file.metadata()?;
    let size_max = kib_max * 1024;
    // With room for all of it from the start: growing would leave pieces of it behind.
    let room = metadata.len().min(size_max) as usize + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(size_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > size_max {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("larger than {kib_max} KiB")));
    }
    Ok(Content { bytes, open_to_others: is_open_to_others(&metadata) })
}

/// All of a file that is text.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub(crate) fn read_text(path: &Path, kib_max: u64) -> Result<String> {
    read(path, kib_max)?.text()
}

/// A regular file, opened without waiting for anybody.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> Result<File> {
    if let Ok(metadata) = std::fs::metadata(path) {
        refuse_oddities(metadata.file_type())?;
    }
    let file = options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)?;
    // It may have become another in between.
    refuse_oddities(file.metadata()?.file_type())?;
    Ok(file)
}

/// Puts a file in place, all of it or nothing: written beside, and renamed. One that is there keeps
/// its mode, and a link to it stays a link; a new one gets this mode, and its folder is made if
/// need be, for its owner alone.
///
/// # Errors
/// When it cannot be written. Then whatever was there still is.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let kept = std::fs::metadata(path).map(|metadata| metadata.mode() & 0o7777);
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(kept.unwrap_or(mode)))?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// Writes a file that is not there yet, in a folder that is made if need be, for its owner alone.
///
/// # Errors
/// When it cannot be written, [`ErrorKind::AlreadyExists`] above all: nothing is overwritten.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Content {
    /// Renders it as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub(crate) fn text(&self) -> Result<String> {
        let text = std::str::from_utf8(&self.bytes);
        text.map(str::to_owned).map_err(|_| Error::new(ErrorKind::InvalidData, "not UTF-8"))
    }
}

fn refuse_oddities(kind: FileType) -> Result<()> {
    let word = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(Error::new(ErrorKind::InvalidInput, format!("it is {word}, not a file")))
}

/// A group may be who a file of somebody else's is meant for. One of our own need not be open to
/// it.
fn is_open_to_others(metadata: &Metadata) -> bool {
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    metadata.mode() & 0o007 != 0 || (is_ours && metadata.mode() & 0o070 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read_and_nobody_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RUSR).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("pipe"), at("link")).unwrap();
        let table = [
            (at("pipe"), "it is a pipe, not a file"),
            (at("link"), "it is a pipe, not a file"),
            (at("socket"), "it is a socket, not a file"),
            (folder.path().to_owned(), "it is a directory, not a file"),
            ("/dev/zero".into(), "it is a device, not a file"),
        ];
        for (path, expected) in table {
            assert_eq!(read(&path, 1).unwrap_err().to_string(), expected, "{}", path.display());
            let mut options = OpenOptions::new();
            let written = open(&path, options.create(true).write(true));
            assert_eq!(written.unwrap_err().to_string(), expected, "{}", path.display());
        }
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_mode_and_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| std::fs::metadata(at(name)).unwrap().mode() & 0o777;
        replace(&at("new/secret"), b"one", 0o600).unwrap();
        assert_eq!((mode("new"), mode("new/secret")), (0o700, 0o600));
        std::fs::set_permissions(at("new/secret"), Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(at("new/secret"), at("link")).unwrap();
        replace(&at("link"), b"two", 0o600).unwrap();
        assert_eq!(
            (read_text(&at("new/secret"), 1).unwrap().as_str(), mode("link")),
            ("two", 0o640)
        );
        assert!(std::fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(at("new")).unwrap().count(), 1, "nothing lies beside it");
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config");
        create(&path, b"mine").unwrap();
        assert_eq!(create(&path, b"yours").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(read_text(&path, 1).unwrap(), "mine");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn no_more_is_read_than_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [b'x'; 1024]).unwrap();
        assert_eq!(read_text(&path, 1).unwrap().len(), 1024);
        std::fs::write(&path, [b'x'; 1025]).unwrap();
        assert_eq!(read(&path, 1).unwrap_err().to_string(), "larger than 1 KiB");
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_text(&path, 1).unwrap_err().to_string(), "not UTF-8");
    }
}
