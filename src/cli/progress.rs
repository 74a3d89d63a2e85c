//! How far work of many parts has come, for whoever waits at a terminal: one line of stderr, drawn
//! over itself and gone at the end. In a pipe, in a file, and on a terminal that cannot draw over a
//! line, there is nothing of it.

use std::io::{IsTerminal, Write};

/// A line that grows until it is dropped.
pub(super) struct Progress {
    what: &'static str,
    total: usize,
    done: usize,
    is_shown: bool,
}

impl Progress {
    /// Of so many of these ("accounts"). One alone is not shown.
    pub(super) fn new(total: usize, what: &'static str) -> Progress {
        let can_draw = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let progress = Progress { what, total, done: 0, is_shown: can_draw && total > 1 };
        progress.draw(&progress.line());
        progress
    }

    /// One more is done.
    pub(super) fn step(&mut self) {
        self.done += 1;
        self.draw(&self.line());
    }

    fn line(&self) -> String {
        let Progress { what, total, done, is_shown: _ } = self;
        let full = done * WIDTH / (*total).max(1);
        format!(
            "[{}{}] {done} of {total} {what}",
            "#".repeat(full),
            ".".repeat(WIDTH.saturating_sub(full))
        )
    }

    /// The cursor goes back to the beginning, so that a log line overwrites it.
    fn draw(&self, line: &str) {
        if self.is_shown {
            let mut stderr = std::io::stderr();
            // There is nowhere to say that stderr is closed.
            let _drawn = write!(stderr, "{ERASE}{line}\r").and_then(|()| stderr.flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.draw("");
    }
}

/// To the end of the line.
const ERASE: &str = "\u{1b}[K";
const WIDTH: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_empty_at_first_and_full_at_the_end() {
        let mut progress = Progress { what: "accounts", total: 3, done: 0, is_shown: false };
        assert_eq!(progress.line(), format!("[{}] 0 of 3 accounts", ".".repeat(30)));
        progress.step();
        assert_eq!(
            progress.line(),
            format!("[{}{}] 1 of 3 accounts", "#".repeat(10), ".".repeat(20))
        );
        progress.step();
        progress.step();
        assert_eq!(progress.line(), format!("[{}] 3 of 3 accounts", "#".repeat(30)));
    }
}
