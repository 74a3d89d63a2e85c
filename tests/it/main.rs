//! One integration binary: worlds on virtual time.

mod scenarios;
mod world;
