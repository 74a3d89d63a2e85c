//! channelkeeper keeps Zoho CRM notification channels alive.
//!
//! Start with ARCHITECTURE.md for the map and the invariants. The data flows one way: config,
//! desired, observe, plan, execute, record, report.

pub mod cli;
pub mod clock;
pub mod config;
pub mod coverage;
pub mod daemon;
pub mod expose;
pub mod model;
pub mod plan;
pub mod reconcile;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod zoho;
