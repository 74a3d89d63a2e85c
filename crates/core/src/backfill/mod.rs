//! Missed events, from the ledger to the receiver: a lapse costs delay, not data.
//!
//! A **recovery** is the gaps of one module of one channel that are filled together:
//!
//! ```text
//! ledger -> due -> read -> classify -> freeze -> hand over
//! ```
//!
//! - [`due`]: which gaps make a recovery, and when;
//! - [`read`]: which pages to ask Zoho for, as a state that takes one page at a time;
//! - [`classify`]: which operation of which record was missed, by its times;
//! - [`delivery`]: the unit that is frozen, sent and answered;
//! - [`freeze`]: the deliveries, each byte of which is settled before the first is sent;
//! - [`pace`]: what an answer of the receiver means, and when the next try is;
//! - [`recovery`]: the value that all of it is remembered in;
//! - [`standing`]: those of an account, counted for people and programs.
//!
//! Every record whose times show that it changed in the gap is handed over at least once. A record
//! that was changed again after the gap cannot be told from one that was not changed in it, and is
//! handed over: a recovered update means that the record should be fetched.
//!
//! Deliberately absent: Zoho's HTTP, the store, and the clock.

pub mod classify;
pub mod delivery;
pub mod due;
pub mod freeze;
pub mod pace;
pub mod read;
pub mod recovery;
pub mod standing;
#[cfg(test)]
mod whole;

pub use recovery::{HeldFor, Lost, Recovery, State};
pub use standing::Standing;
