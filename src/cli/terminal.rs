//! The terminal that stdout may be.

use std::io::IsTerminal;

use rustix::termios::tcgetwinsize;

use crate::expose::status::{Ink, Layout, Rows};
use crate::telemetry::takes_colour;

/// How text is laid out on stdout: as wide as the terminal, and as long as it is for a pipe.
pub(super) fn layout() -> Layout {
    let ink = if takes_colour(std::io::stdout().is_terminal()) { Ink::Colour } else { Ink::Plain };
    Layout { width: size().map(|(width, _)| width), ink, rows: Rows::All }
}

/// How many lines the terminal has.
pub(super) fn height() -> Option<usize> {
    size().map(|(_, height)| height)
}

/// Columns and lines; nothing where stdout is no terminal, or one that does not say.
fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    let known = size.ws_col > 0 && size.ws_row > 0;
    known.then(|| (usize::from(size.ws_col), usize::from(size.ws_row)))
}
