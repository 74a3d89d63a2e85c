//! `status --watch`: the status on a screen of its own, drawn anew every two seconds.
//!
//! It asks the daemon and never the store: a command that opened the store again and again would
//! stand in the way of a daemon that starts. A daemon that goes is waited for. Ctrl-C is how it
//! ends, so that is exit code 0; a day later it ends by itself.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{bail, ensure};

use crate::cli::{Common, Exit, connect, terminal};
use crate::clock::{Clock, SystemClock};
use crate::daemon::requests::StatusRequest;
use crate::daemon::signals;
use crate::expose::status::{Layout, Rows};

use super::choice::Choice;

pub(super) async fn run(
    choice: &Choice,
    rows: Rows,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    ensure!(
        !common.json,
        "--watch draws on a terminal, and --json is for programs: give one of them"
    );
    ensure!(
        std::io::stdout().is_terminal(),
        "--watch draws on a terminal, and stdout is none; `channelkeeper status` prints once"
    );
    let Some(daemon) = connect::daemon(common).await? else {
        bail!(
            "no daemon is running in {}, so there is nothing to watch; `channelkeeper status` \
             shows what the store remembers",
            connect::state_dir(common).display()
        );
    };
    // A name that nothing has is told before the screen is taken.
    choice.of(daemon.ask(StatusRequest {}).await?)?;
    let (clock, mut signals) = (SystemClock::new(), signals::Incoming::listen()?);
    let mut screen = Screen::begin(stdout)?;
    for _ in 0..DRAWN_MAX {
        let text = text(choice, rows, common).await;
        screen.draw(&text)?;
        tokio::select! {
            () = clock.sleep(EVERY) => {}
            _ = signals.next() => break,
        }
    }
    Ok(Exit::Done)
}

/// The status, or why there is none.
async fn text(choice: &Choice, rows: Rows, common: &Common) -> String {
    let looked = async {
        let Some(daemon) = connect::daemon(common).await? else {
            bail!("no daemon is running; it is waited for")
        };
        let status = choice.of(daemon.ask(StatusRequest {}).await?)?;
        Ok(status.to_text(&Layout { rows, ..terminal::layout() }))
    };
    looked.await.unwrap_or_else(|error: anyhow::Error| format!("{error:#}\n"))
}

/// The terminal's other screen, until this is dropped.
struct Screen<'s> {
    to: &'s mut (dyn Write + Send),
}

impl Screen<'_> {
    fn begin(to: &mut (dyn Write + Send)) -> std::io::Result<Screen<'_>> {
        write!(to, "{OTHER_SCREEN}{CURSOR_HIDDEN}")?;
        Ok(Screen { to })
    }

    /// As many lines as there is room for, and one that says how it ends.
    fn draw(&mut self, text: &str) -> std::io::Result<()> {
        let room = terminal::height().unwrap_or(HEIGHT_USUAL).saturating_sub(2).max(1);
        let lines: Vec<&str> = text.lines().collect();
        let mut drawn = TOP_LEFT.to_owned();
        for line in lines.iter().take(room) {
            drawn += &format!("{line}{REST_OF_LINE}\r\n");
        }
        let hidden = match lines.len().saturating_sub(room) {
            0 => String::new(),
            more => format!("{more} more lines do not fit; "),
        };
        drawn += &format!(
            "{REST_OF_LINE}\r\n{hidden}every {}s, Ctrl-C ends{REST_OF_SCREEN}",
            EVERY.as_secs()
        );
        self.to.write_all(drawn.as_bytes())?;
        self.to.flush()
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // There is nothing to be done about a terminal that has gone.
        let _shown = write!(self.to, "{CURSOR_SHOWN}{FIRST_SCREEN}").and_then(|()| self.to.flush());
    }
}

const EVERY: Duration = Duration::from_secs(2);
/// A day of them.
const DRAWN_MAX: u32 = 24 * 60 * 60 / 2;
/// For a terminal that does not say how high it is.
const HEIGHT_USUAL: usize = 24;
const OTHER_SCREEN: &str = "\u{1b}[?1049h";
const FIRST_SCREEN: &str = "\u{1b}[?1049l";
const CURSOR_HIDDEN: &str = "\u{1b}[?25l";
const CURSOR_SHOWN: &str = "\u{1b}[?25h";
const TOP_LEFT: &str = "\u{1b}[H";
const REST_OF_LINE: &str = "\u{1b}[K";
const REST_OF_SCREEN: &str = "\u{1b}[J";
