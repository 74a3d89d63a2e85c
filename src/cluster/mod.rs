//! Several machines that share the accounts: who owns what, and until when.
//!
//! Each process is a member: it beats in the engine, and the others evict it when they see it
//! beat no more. What it owns is a claim in the engine. Nobody coordinates: every member computes
//! the same owners from the same members.
//!
//! - [`node`]: the member as a task, with what it promises and the numbers that it rests on;
//! - [`view`]: what it says to its own process;
//! - [`keys`]: the keys and values in the engine, and the fence of an owner;
//! - [`generations`]: the config that is in force in the whole cluster;
//! - [`asks`]: what one machine asks another;
//! - [`told`]: what machines tell each other of what is theirs;
//! - [`charge`]: what is owned: an account, or the work of the whole fleet;
//! - `deflate`: values as machines hand them to each other;
//! - `assign`: who is to own what;
//! - `gate`: which layout of accounts everybody may write;
//! - `living`: who lives, as whoever is no member sees it;
//! - `members`: who is there, and who may be evicted;
//! - `pulse`: our own beats, and until when we may write;
//! - `claims`: who owns what, and what may be claimed;
//! - `machine`: the decisions, without a wait.
//!
//! Deliberately absent: what is served, and how. The daemon does that with what it is told here.

pub mod asks;
mod assign;
pub mod charge;
mod claims;
mod deflate;
mod gate;
pub mod generations;
pub mod keys;
mod living;
mod machine;
mod members;
pub mod node;
mod pulse;
#[cfg(test)]
mod tests;
pub mod told;
pub mod view;

pub use charge::Charge;
pub use keys::{Fence, Keys, MemberId, Out};
pub use living::living;
pub use node::{Declared, Node, NodeLinks, NodeSetup};
pub use pulse::Rhythm;
pub use view::{Assignment, ClusterView, Released, Standing};
