//! How far a rehearsal is, for whoever waits for it at a terminal. A log or a mail gets nothing of
//! it.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

use crate::cli::Common;
use crate::clock::{Clock, SystemClock};
use crate::model::time::Timestamp;

use super::BEGINS;

/// The instant that a rehearsal has reached, in seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct RehearsalProgress(Arc<AtomicI64>);

impl RehearsalProgress {
    pub(super) fn reached(&self, at: Timestamp) {
        self.0.store(at.as_second(), Ordering::Relaxed);
    }

    /// Waits for the rehearsal, and shows on a terminal how far it is.
    pub(super) async fn shown_until<T>(
        &self,
        mut playing: JoinHandle<T>,
        days: u32,
        common: &Common,
    ) -> Result<T, JoinError> {
        if common.quiet || !std::io::stderr().is_terminal() {
            return playing.await;
        }
        let clock = SystemClock::new();
        draw(&self.line(days));
        loop {
            tokio::select! {
                played = &mut playing => {
                    draw(CLEARED);
                    return played;
                }
                () = clock.sleep(EVERY) => draw(&format!("{CLEARED}{}", self.line(days))),
            }
        }
    }

    fn line(&self, days: u32) -> String {
        let seconds = self.0.load(Ordering::Relaxed) - BEGINS.as_second();
        let day = u32::try_from(seconds / DAY_SECONDS).unwrap_or_default() + 1;
        format!("playing day {} of {days}", day.min(days))
    }
}

fn draw(text: &str) {
    let mut stderr = std::io::stderr();
    // Nobody misses it on a terminal that has gone.
    let _drawn = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

const EVERY: Duration = Duration::from_millis(300);
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// The line is empty, and its beginning is where the next one begins.
const CLEARED: &str = "\r\u{1b}[K";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::after;

    #[test]
    fn the_day_is_counted_from_one_and_never_beyond_the_last() {
        let progress = RehearsalProgress::default();
        assert_eq!(progress.line(14), "playing day 1 of 14");
        for (hours, line) in [(0, "1"), (23, "1"), (24, "2"), (400, "14")] {
            progress.reached(after(BEGINS, Duration::from_secs(hours * 3600)));
            assert_eq!(progress.line(14), format!("playing day {line} of 14"));
        }
    }
}
