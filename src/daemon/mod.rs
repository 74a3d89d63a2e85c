//! Wiring and lifetime: what runs, what wakes it, and in what order it stops.
//!
//! - [`fleet`]: the accounts to hold, each with its way to Zoho;
//! - [`scheduler`]: one slot per account, bounded passes in flight, wall time polled;
//! - `queue`: which account's turn it is;
//! - [`cron`]: the audit, which only ever says "look for drift now";
//! - [`alerts`]: the webhook and the heartbeat;
//! - [`canaries`]: whether receivers take what is posted to them;
//! - [`verbs`]: what the command line can ask for, with or without a running daemon;
//! - [`status_file`]: how everything is, where another host can fetch it;
//! - [`control`]: the same verbs over a Unix socket;
//! - [`signals`] and [`notify`]: TERM, INT and HUP; READY, RELOADING and STOPPING;
//! - [`watchdog`]: that the loop turns, told by the loop itself;
//! - [`inherited`]: the HTTP socket that systemd opened;
//! - [`run`]: the order of starting and of stopping.
//!
//! The order of stopping: no new pass is begun; passes under way end after the call they are in,
//! and the steps they have left are found again by the next start; listeners close; the store is
//! flushed with the last write and closes with the process. A second signal does not wait for any
//! of it.
//!
//! Architecture invariant: a wake carries no instruction. What an operator allows or asks for is
//! written into the store, as a fact that the next pass reads, and then an account is woken like by
//! anything else.

pub mod alerts;
pub mod canaries;
pub mod control;
pub mod cron;
pub mod fleet;
pub mod inherited;
pub mod notify;
mod queue;
pub mod run;
pub mod scheduler;
pub mod signals;
pub mod status_file;
pub mod verbs;
pub mod watchdog;
