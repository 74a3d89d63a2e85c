//! The service manager's side of its protocol: the socket that a daemon tells how it is.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::http::PATIENCE;

/// Hears what a daemon tells systemd.
pub(super) struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
    /// Every message so far.
    pub(super) heard: Vec<String>,
}

impl Systemd {
    /// A socket of this name in a folder.
    pub(super) fn in_folder(folder: &Path) -> Systemd {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Systemd { socket, path, heard: Vec::new() }
    }

    /// The command, told of the socket; with a watchdog of so many microseconds.
    pub(super) fn tells(&self, mut command: Command, watchdog_us: Option<u64>) -> Command {
        command.env("NOTIFY_SOCKET", &self.path);
        command.envs(watchdog_us.map(|limit| ("WATCHDOG_USEC", limit.to_string())));
        command
    }

    /// Its queue is full, and nobody reads it.
    pub(super) fn is_deaf(&self) {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        while sender.send_to(b"X_FULL=1\n", &self.path).is_ok() {}
    }

    /// The next message.
    #[track_caller]
    pub(super) fn next(&mut self) -> String {
        let mut bytes = [0; 4096];
        let length = self
            .socket
            .recv(&mut bytes)
            .unwrap_or_else(|why| panic!("{why} after {:#?}", self.heard));
        let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
        self.heard.push(message.clone());
        message
    }

    /// The next message that `is_it`.
    #[track_caller]
    pub(super) fn hears(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let message = self.next();
            if is_it(&message) {
                return message;
            }
        }
    }

    /// The next message that is no ping of the watchdog.
    #[track_caller]
    pub(super) fn told(&mut self) -> String {
        self.hears(|message| {
            !message.starts_with("WATCHDOG=1") && !message.starts_with("EXTEND_TIMEOUT_USEC=")
        })
    }

    /// Everything that was told and is not heard yet, once the daemon has ended.
    pub(super) fn rest(&mut self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        let mut rest = Vec::new();
        while let Ok(length) = self.socket.recv(&mut bytes) {
            rest.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        rest
    }
}
