//! One integration binary: the whole daemon, as its operator and Zoho meet it. `process` runs the real binary, `scenarios`
//! run worlds on virtual time.

mod process;
mod scenarios;
mod world;
