//! The decision: what to do for one account at one instant, as a value.
//!
//! [`filter::plan`] is pure and total. It takes what is wanted (specs), what is remembered
//! (records, account state), what was seen (a look) and `now`, and gives a [`step::Plan`]: steps
//! with their reasons, what is held back and why, and when to look again. It cannot fail: odd facts
//! become held channels, not errors. The same value is printed by `plan`, executed by a pass, and
//! folded into the report.
//!
//! In reading order:
//! - [`facts`]: what a decision is made from; [`step`]: the nouns of a plan;
//! - [`reason`] and [`cause`]: why a step is taken and why a channel is held, a row each;
//! - `decide`: the decision table (`decision_table.md`), one channel at a time;
//! - [`renewal`]: when a life is due, when it is an emergency, and how much slack that leaves;
//! - [`drift`]: what differs between a spec and what Zoho holds; `repair`: which writes mend that;
//! - [`filter`]: from all decisions to the plan: policy, removal guard, back-off, full batches,
//!   order;
//! - [`vanished`]: all running channels gone at once;
//! - [`refused_events`]: which events a channel goes on without;
//! - [`backoff`]: how long after the n-th failure;
//! - [`limits_learned`]: what a pass teaches of its account;
//! - `limits`: the sentences about what is smaller than the config says;
//! - [`calls`]: how many calls a day an account is expected to take;
//! - [`credits`]: what waits when Zoho's credits run low;
//! - [`overlap`]: events that two channels send to the same URL;
//! - [`checksum`]: a short name for what a plan would write;
//! - [`render`]: a plan for people and as JSON;
//! - [`explain`]: one channel's decision with everything it was made from.
//!
//! Deliberately absent: any way to do something. Nothing in this folder knows a network, a store, a
//! clock, randomness or `async`, and a test reads its imports to keep it so.

pub mod backoff;
pub mod calls;
pub mod cause;
pub mod checksum;
pub mod credits;
mod decide;
pub mod drift;
pub mod explain;
pub mod facts;
pub mod filter;
mod limits;
pub mod limits_learned;
pub mod overlap;
pub mod reason;
pub mod refused_events;
pub mod render;
pub mod renewal;
mod repair;
pub mod step;
pub mod vanished;

#[cfg(test)]
mod table;
