//! The one integration binary.
//!
//! - `arbitrary`: whatever comes in over sockets or out of the database;
//! - `crashes`: death at every point of a pass;
//! - `disk`: a disk that cannot be written in mid-life;
//! - `hints`: the requests that `gaps` prints, sent to the simulator;
//! - `hostile`: a Zoho that is smaller, slower or odder than its documents;
//! - `ledger`: the coverage ledger against the simulator's truth;
//! - `one_writer`: commands beside a pass, on two threads;
//! - `process`: the real binary, against the real simulator, with real signals;
//! - `products`: CRM, Bigin, Recruit and Vertical Solutions in one daemon;
//! - `quota`: what calls cost, and what becomes of it when credits run low;
//! - `room`: emergencies while every place is taken;
//! - `rotation`: tokens that rotate, over two months;
//! - `sample`: how much of a long list is played;
//! - `scenarios`: the loop in a world on virtual time, one story a test;
//! - `seeds`, `simulation`: a month in which everything goes wrong, from a seed;
//! - `tidy`: house style as tests;
//! - `units`: what is held in `systemd/`;
//! - `watchdog`: who is told that the loop turns, and when not;
//! - `world`: the world that scenarios and seeds play in.

mod arbitrary;
mod backfill;
mod canaries;
mod crashes;
mod disk;
mod hints;
mod hooks;
mod hostile;
mod ledger;
mod one_writer;
mod process;
mod products;
mod quota;
mod refusals;
mod room;
mod rotation;
mod sample;
mod scenarios;
mod seeds;
mod simulation;
mod tidy;
mod units;
mod upgrade;
mod vanished;
mod watchdog;
mod world;
