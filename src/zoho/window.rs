//! How many accounts may be served at once, as the network between here and Zoho bears it.
//!
//! Zoho's own limits are an org's, and one account is never asked two things at once. So only what
//! all accounts share bounds how many of them are served side by side: addresses, connections,
//! memory. The window begins at `START` and doubles each time a quarter of it has come through, so
//! that it grows to what the world allows within two or three answers. When a tenth of those calls
//! come to nothing on the way (no connection, no reply, 429), it is halved, and grows by a little
//! with each whole window from then on. It does not grow while less than half of it is used, since
//! nobody knows then if the way bears more. Refusals and failures that an account is answered with
//! say nothing about the way, and an account in trouble of its own is less than a tenth.
//!
//! Passes go first. A plan that somebody asks for looks at accounts too, and has the room that they
//! leave, but for one account at a time, which it always has.
//!
//! Deliberately not here: the greatest number, which is the operator's (`passes_max`), and which
//! account is served next.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tracing::debug;

use crate::model::exchange::Response;

use super::transport::TransportError;

/// The window, shared by whoever sends and whoever decides how many may.
#[derive(Debug, Default)]
pub struct Window {
    state: Mutex<WindowState>,
    grew: Notify,
    /// Passes that are under way, as the scheduler says.
    passes: AtomicUsize,
}

#[derive(Debug)]
struct WindowState {
    size: usize,
    /// Calls that have ended since the size was last judged, and how many of them got no answer.
    ended: usize,
    troubled: usize,
    has_met_trouble: bool,
}

impl Window {
    /// How many accounts may be served at once.
    pub(crate) fn size(&self) -> usize {
        self.state().size
    }

    /// So many passes are under way.
    pub(crate) fn has_passes(&self, passes: usize) {
        self.passes.store(passes, Ordering::Relaxed);
    }

    /// How many accounts may be looked at beside the passes, when `most` is the greatest number of
    /// all together.
    pub(crate) fn left(&self, most: usize) -> usize {
        let passes = self.passes.load(Ordering::Relaxed);
        self.size().min(most).saturating_sub(passes).max(1)
    }

    /// A call has ended.
    pub(crate) fn ended(&self, result: &Result<Response, TransportError>) {
        let is_trouble = match result {
            Ok(response) => response.status == TOO_MANY,
            Err(TransportError::NotSent(_) | TransportError::Lost(_)) => true,
            Err(TransportError::Withheld(_)) => false,
        };
        let mut state = self.state();
        let before = state.size;
        let is_used = self.passes.load(Ordering::Relaxed) >= before / 2;
        state.add(is_trouble, is_used);
        let size = state.size;
        drop(state);
        if size != before {
            debug!(size, "so many accounts may be served at once");
        }
        if size > before {
            self.grew.notify_one();
        }
    }

    /// Waits until it has grown since this was asked last. For one who waits.
    pub(crate) async fn grown(&self) {
        self.grew.notified().await;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, WindowState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for WindowState {
    fn default() -> WindowState {
        WindowState { size: START, ended: 0, troubled: 0, has_met_trouble: false }
    }
}

impl WindowState {
    /// `is_used` is true when the size bounds how many accounts are served.
    fn add(&mut self, is_trouble: bool, is_used: bool) {
        self.ended += 1;
        self.troubled += usize::from(is_trouble);
        // Until trouble is met a quarter of it is enough to judge by.
        let judged_after = if self.has_met_trouble { self.size } else { self.size / 4 };
        if self.ended < judged_after {
            return;
        }
        if self.troubled * TROUBLED_MAX >= self.ended {
            self.has_met_trouble = true;
            self.size = (self.size / 2).max(MIN);
        } else if !is_used {
            // Nobody knows if the way bears more.
        } else if self.has_met_trouble {
            self.size = (self.size + self.size.div_ceil(STEPS)).min(MAX);
        } else {
            self.size = (self.size * 2).min(MAX);
        }
        (self.ended, self.troubled) = (0, 0);
    }
}

/// The size at the start.
const START: usize = 256;
/// The least: so many are served in any trouble, which is no load for anybody.
const MIN: usize = 8;
/// Once it has met trouble it grows by one part of so many.
const STEPS: usize = 8;
/// No window is larger.
const MAX: usize = 4096;
/// It is halved when one call in so many gets no answer.
const TROUBLED_MAX: usize = 10;
const TOO_MANY: u16 = 429;

#[cfg(test)]
mod tests {
    use super::*;

    /// A window that is used, however large it becomes.
    fn used() -> Window {
        let window = Window::default();
        window.has_passes(MAX);
        window
    }

    fn answered(window: &Window, status: u16, times: usize) {
        for _ in 0..times {
            let response = Response { status, headers: Vec::new(), body: Vec::new() };
            window.ended(&Ok(response));
        }
    }

    fn lost(window: &Window, times: usize) {
        for _ in 0..times {
            window.ended(&Err(TransportError::Lost("reset".to_owned())));
        }
    }

    #[test]
    fn it_doubles_with_each_quarter_of_calls_that_come_through_up_to_the_most() {
        let window = used();
        answered(&window, 200, START / 4 - 1);
        assert_eq!(window.size(), START);
        answered(&window, 503, 1);
        assert_eq!(window.size(), 2 * START);
        answered(&window, 200, 100 * MAX);
        assert_eq!(window.size(), MAX);
    }

    #[test]
    fn a_tenth_of_calls_without_an_answer_halve_it_and_then_it_grows_by_a_little() {
        let window = used();
        lost(&window, (START / 4).div_ceil(10));
        answered(&window, 200, START / 4 - (START / 4).div_ceil(10));
        assert_eq!(window.size(), START / 2);
        answered(&window, 200, START / 2);
        assert_eq!(window.size(), START / 2 + START / 16);
        answered(&window, 429, 1000);
        assert_eq!(window.size(), MIN);
    }

    #[test]
    fn it_does_not_grow_while_less_than_half_of_it_is_used() {
        let window = Window::default();
        window.has_passes(START / 2 - 1);
        answered(&window, 200, 10 * START);
        assert_eq!(window.size(), START);
        window.has_passes(START / 2);
        answered(&window, 200, START / 4);
        assert_eq!(window.size(), 2 * START);
    }

    #[test]
    fn passes_go_first_and_whoever_looks_beside_them_has_the_rest_or_one() {
        let window = Window::default();
        assert_eq!((window.left(1000), window.left(10)), (START, 10));
        window.has_passes(START - 2);
        assert_eq!((window.left(1000), window.left(10)), (2, 1));
        window.has_passes(2 * START);
        assert_eq!(window.left(1000), 1);
    }

    #[test]
    fn one_account_in_trouble_of_its_own_does_not_hold_up_the_others() {
        let window = used();
        for _ in 0..1000 {
            answered(&window, 429, 1);
            answered(&window, 200, 30);
        }
        assert_eq!(window.size(), MAX);
    }
}
