//! A verb at a terminal, by `script` of util-linux: what it writes there, and what is typed.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::http::PATIENCE;
use super::place::Place;

/// A shell command at a terminal; it is killed with this value.
pub(super) struct AtTerminal {
    child: Child,
    keys: ChildStdin,
    pieces: Receiver<Vec<u8>>,
    /// Everything that it has written so far.
    pub(super) seen: String,
}

impl AtTerminal {
    /// A shell command, in which "$CK" is the binary with the files of this place.
    pub(super) fn run(place: &Place, columns: usize, shell: &str) -> AtTerminal {
        let inner = place.command(&[]);
        let words = inner.get_args().map(|arg| format!("'{}'", arg.to_str().unwrap()));
        let words: Vec<String> = words.collect();
        let binary = format!("'{}' {}", env!("CARGO_BIN_EXE_channelkeeper"), words.join(" "));
        let line = format!("stty rows 40 cols {columns}; {}", shell.replace("$CK", &binary));
        let mut command = Command::new("script");
        command.env_clear().envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("SHELL", "/bin/bash").env("TERM", "xterm");
        command.args(["-qfec", &line, "/dev/null"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let keys = child.stdin.take().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (tell, pieces) = channel();
        // It ends with the pipe, which ends with the child.
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = out.read(&mut piece) {
                if tell.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        AtTerminal { child, keys, pieces, seen: String::new() }
    }

    /// Reads until it has written this.
    #[track_caller]
    pub(super) fn until(&mut self, text: &str) {
        self.until_within(PATIENCE, text);
    }

    /// A screen that is drawn on and on is given no more time than one that says nothing.
    #[track_caller]
    fn until_within(&mut self, patience: Duration, text: &str) {
        let ends = deadline(patience);
        while !self.seen.contains(text) {
            match self.piece(ends) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it did not write {text:?} in time: {:?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it never wrote {text:?}: {:?}", self.seen)
                }
            }
        }
    }

    /// Reads on, until then at most.
    fn piece(&mut self, ends: Instant) -> Result<(), RecvTimeoutError> {
        let left = ends.saturating_duration_since(deadline(Duration::ZERO));
        let piece = self.pieces.recv_timeout(left)?;
        self.seen.push_str(&String::from_utf8_lossy(&piece));
        if left.is_zero() { Err(RecvTimeoutError::Timeout) } else { Ok(()) }
    }

    /// Types.
    pub(super) fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Reads to its end: its exit code.
    #[track_caller]
    pub(super) fn ended(mut self) -> (i32, String) {
        let ends = deadline(PATIENCE);
        loop {
            match self.piece(ends) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:?}", self.seen),
            }
        }
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        (code, std::mem::take(&mut self.seen))
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The instant so long from now.
#[expect(clippy::disallowed_methods, reason = "a process is waited for on the real clock")]
fn deadline(patience: Duration) -> Instant {
    Instant::now() + patience
}

/// Ctrl-C.
pub(super) const INTERRUPT: &str = "\u{3}";

#[test]
#[should_panic(expected = "it did not write \"the end\" in time: \"on and on")]
fn a_terminal_that_is_drawn_on_and_on_is_not_read_for_ever() {
    let endless = "while echo on and on; do sleep 0.01; done";
    let mut drawn = AtTerminal::run(&Place::new(""), 80, endless);
    drawn.until_within(Duration::from_millis(300), "the end");
}
