//! Several members in one world, on paused time: what is killed, stopped, cut off, restored.
//!
//! Each node has its own clock, with a rate and an origin of its own, and its own link to the one
//! engine. A stop is played at the edges: calls to the engine and sleeps wait at entry and exit, so
//! that what had passed its check leaves after the stop: the worst case, always.

mod guards;
mod link;
mod schedules;
mod stories;
mod world;
