//! A verb at a terminal, by `script` of util-linux: what it writes there, and what is typed.

use std::io::{BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::place::Place;

/// A shell command at a terminal; it is killed with this value.
pub(super) struct AtTerminal {
    child: Child,
    keys: ChildStdin,
    out: BufReader<ChildStdout>,
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
        let out = BufReader::new(child.stdout.take().unwrap());
        AtTerminal { child, keys, out, seen: String::new() }
    }

    /// Reads until it has written this.
    #[track_caller]
    pub(super) fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let mut piece = [0; 4096];
            let length = self.out.read(&mut piece).unwrap();
            assert_ne!(length, 0, "it never wrote {text:?}: {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
    }

    /// Types.
    pub(super) fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Reads to its end: its exit code.
    #[track_caller]
    pub(super) fn ended(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        self.out.read_to_end(&mut rest).unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&rest));
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

/// Ctrl-C.
pub(super) const INTERRUPT: &str = "\u{3}";
