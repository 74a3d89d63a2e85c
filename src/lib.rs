//! channelkeeper keeps Zoho CRM notification channels alive.
//!
//! Start with ARCHITECTURE.md for the map and the invariants. The data flows one way: config,
//! desired, observe, plan, execute, record, report.

#[cfg(feature = "simulator")]
pub mod carrier;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod expose;
pub(crate) mod files;
pub(crate) mod https;
pub mod leash;
pub mod reconcile;
pub mod store;
pub mod telemetry;
pub mod zoho;

#[doc(hidden)]
pub use channelkeeper_core::testing;
pub use channelkeeper_core::{backfill, coverage, model, plan};
#[cfg(feature = "simulator")]
pub use channelkeeper_simulator as simulator;
