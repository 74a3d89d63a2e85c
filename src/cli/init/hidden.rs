//! A terminal that does not show what is typed.
//!
//! Whoever interrupts the question gets a terminal back that shows again: a signal that ends the
//! process ends it only after that. The thread that sees to it stays, because a signal that was
//! once caught is not left to the system again.

use std::io::stdin;
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// While this lives, the terminal shows nothing.
pub(super) struct Hidden;

impl Hidden {
    /// Nothing where stdin is no terminal, or one that cannot be silenced.
    pub(super) fn begin() -> Option<Hidden> {
        let before = tcgetattr(stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        if !WATCHED.get_or_init(watch) {
            return None;
        }
        *lock() = Some(before);
        match tcsetattr(stdin(), OptionalActions::Now, &silent) {
            Ok(()) => Some(Hidden),
            Err(_) => {
                *lock() = None;
                None
            }
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        show();
    }
}

/// The terminal is as it was, if it is not.
fn show() {
    if let Some(before) = lock().take() {
        // There is nothing to be done about a terminal that has gone.
        let _shown = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Returns whether somebody waits for signals.
fn watch() -> bool {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT]) else { return false };
    let watching = std::thread::Builder::new().name("terminal".to_owned()).spawn(move || {
        for signal in &mut signals {
            show();
            // A signal that cannot be left to the system ends nothing, and the question goes on.
            let _ended = emulate_default_handler(signal);
        }
    });
    watching.is_ok()
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// There is one terminal: how it was, while it shows nothing.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static WATCHED: OnceLock<bool> = OnceLock::new();
