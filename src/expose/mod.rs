//! Everything that others see of the daemon: health, status, metrics and the page, over HTTP.
//!
//! Everything shown is computed from one [`overview::Overview`] and `now`, at the moment it is
//! asked for. Nothing here is set by hand and nothing is cached, so a page cannot say *fine* about
//! something that has since ended.
//!
//! - [`overview`]: the daemon's knowledge of itself and of its accounts: the one input;
//! - `health`: live, ready, ok, degraded or failing, and why: pure;
//! - `audit`: when all accounts are looked at next: pure;
//! - `alert`: which of that is told unasked, when, and how often: pure;
//! - `event`: single events for hooks, read off reports and ledgers: pure;
//! - `status`: the same facts as a value for `status --json`, `/api/v1/status` and the text of
//!   `status`: pure;
//! - `summary`: the same facts in few words, for the status file and another host, and `probe`,
//!   which judges them: pure;
//! - `metrics`: the same facts in OpenMetrics: pure;
//! - `page`: the same facts for a browser, with what `lookups` reads for the channels that are
//!   looked at: pure;
//! - `http`: the read-only listener, with its `access`, and `serve`, which bounds its
//!   connections and the control socket's;
//! - `one_line`: keeps a foreign text on one line and its secrets out of sight.
//!
//! Deliberately not here: any way to change something. The control socket and its verbs live in
//! `daemon`.

pub(crate) mod access;
pub(crate) mod alert;
pub(crate) mod audit;
pub(crate) mod event;
pub(crate) mod health;
pub(crate) mod http;
pub(crate) mod lookups;
pub(crate) mod metrics;
pub(crate) mod one_line;
pub mod overview;
pub(crate) mod page;
pub(crate) mod probe;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod summary;
#[cfg(test)]
pub(crate) mod testing;
