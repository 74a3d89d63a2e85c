//! Records for the verbs that play: how they change, who takes what is recovered of them, and what
//! became of each event that a channel missed.
//!
//! `missed` compares two accounts of the same days: the simulator's, of what it told nobody, and
//! the receiver's, of what it took. Neither of them asks the daemon.

mod bustle;
mod missed;
mod receiver;

pub(super) use bustle::Bustle;
pub(super) use missed::{MissedCounts, counted};
pub(super) use receiver::{Handed, PlayedReceiver};
