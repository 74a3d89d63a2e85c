//! The one door through which files that somebody else writes are read: the config and what it
//! includes, secrets, certificates, the store's lock.
//!
//! A path may lead to anything. Opening a pipe waits until somebody writes to it, a device may have
//! no end, and opening some devices does something. So only regular files are opened, opening waits
//! for nobody, and no more is read than was asked for.
//!
//! The time that a disk takes is not bounded here: whoever may not wait reads in a thread that can
//! be left behind.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use secrecy::zeroize::Zeroizing;

/// The content of a file; wiped when it is let go of.
#[derive(Debug)]
pub struct Content {
    /// All of it.
    pub bytes: Zeroizing<Vec<u8>>,
    /// True when somebody can read it who need not.
    pub open_to_others: bool,
}

/// All of a file.
///
/// # Errors
/// When it cannot be opened or read, is no regular file, or is larger than that many KiB.
pub fn read(path: &Path, kib_max: u64) -> Result<Content> {
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
pub fn read_text(path: &Path, kib_max: u64) -> Result<String> {
    read(path, kib_max)?.text()
}

/// A regular file, opened without waiting for anybody.
///
/// # Errors
/// When it cannot be opened, or is no regular file.
pub fn open(path: &Path, options: &mut OpenOptions) -> Result<File> {
    if let Ok(metadata) = std::fs::metadata(path) {
        refuse_oddities(metadata.file_type())?;
    }
    let file = options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)?;
    // It may have become another in between.
    refuse_oddities(file.metadata()?.file_type())?;
    Ok(file)
}

impl Content {
    /// Renders it as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<String> {
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
