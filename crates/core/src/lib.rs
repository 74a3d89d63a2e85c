//! What channelkeeper decides, without doing it.
//!
//! - [`model`]: the nouns, as plain values;
//! - [`plan`]: what to do for one account at one instant;
//! - [`coverage`]: the ledger of what was covered and what was not.
//!
//! What is deliberately not here: anything that touches the world. The crate depends on no runtime,
//! no store, no clock and no HTTP; time is an argument.

pub mod coverage;
pub mod model;
pub mod plan;
