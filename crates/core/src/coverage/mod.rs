//! The ledger of what was covered and what was not: promise 3, no lost knowledge.
//!
//! Per channel there is one [`ledger::Ledger`], and in it one [`track::Track`] per (module,
//! operation), from the declaration of the event to its end. A track holds **gaps only**; whatever
//! of its life is in no gap was covered. A gap is [`gap::GapKind::Uncovered`], when deliveries
//! certainly did not happen, or [`gap::GapKind::Unknown`], when nobody can say. All instants are in
//! **Zoho's time**.
//!
//! The ledger follows from few facts, and each of them holds at an instant only:
//!
//! | fact | what follows |
//! | --- | --- |
//! | an accepted write, sent at s, answered at r, granted until e | covered from r until e |
//! | a look that sees the event, after one that saw it | covered in between, if the end known at the first lies after the second; else Unknown from that end on |
//! | a look that does not see it, after one that did | the known end lies before the look: Unknown up to that end, Uncovered (expired) from it; it lies after: Unknown between the looks, Uncovered from the second |
//! | a look that sees it, after one that did not | Unknown since the earlier look |
//! | a write that may have been applied | in doubt from when it was sent, until the next fact: absent although the expiry that was asked for is still to come refutes it |
//! | the first accepted write, within a minute of the declaration and with nothing in its way | the event begins with it: that was no gap |
//! | a failed look | nothing; when the known end passes, the gap that begins there is shown without being stored |
//!
//! So a gap is never taken for covered: what is claimed since the last good look is claimed for as
//! long as the next look does not find otherwise. Three things leave no trace, and are assumed not
//! to happen between two looks: that what somebody takes away is put back, by them or by an
//! accepted write of ours that did not wait for a look; that somebody else prolongs a channel that
//! ends before the second look; and that a write in doubt works and is undone, by a hand or by a
//! grant shorter than what it asked for.
//!
//! Deliberately absent: the store, and the time of the last good look. That time is one per account
//! and not one per channel (see [`crate::model::record::AccountState::looked_from`]), so that a
//! channel that is kept costs no write.

pub mod ack;
pub mod backfill;
pub mod gap;
pub mod ledger;
mod look;
#[cfg(test)]
mod random_facts;
pub mod reception;
pub mod render;
#[cfg(test)]
mod rules;
pub mod track;

pub use ack::Acks;
pub use gap::{Gap, GapCause, GapKind};
pub use ledger::Ledger;
pub use track::Track;
