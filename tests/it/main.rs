//! One integration binary: worlds on virtual time.

mod ledger;
mod scenarios;
mod world;
