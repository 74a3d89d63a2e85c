//! The decisions of channelkeeper, without carrying them out.
//!
//! - [`model`]: the nouns, as plain values;
//! - [`plan`]: what to do for one account at one instant;
//! - [`coverage`]: the ledger of what was covered and what was not;
//! - [`backfill`]: what was missed, from reading it to handing it over.
//!
//! Deliberately absent: anything that touches the world. The crate depends on no runtime, no store,
//! no clock and no HTTP; time is an argument.

pub mod backfill;
pub mod coverage;
pub mod model;
pub mod plan;
#[doc(hidden)]
pub mod testing;
