//! One integration binary: worlds on virtual time, and seeds of a month in which everything goes wrong.

mod scenarios;
mod seeds;
mod simulation;
mod world;
