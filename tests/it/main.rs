//! One integration binary: worlds on virtual time, and the house style.

mod scenarios;
mod tidy;
mod world;
