//! A faithful in-memory Zoho: OAuth, the watch API, deliveries, quotas and faults.
//!
//! A client that is right about Zoho's documents and the captured traffic cannot tell its watch API
//! from Zoho's: same statuses, same bodies, same odd cases (one hour for one second too much, rows
//! per channel and module, errors in a 200). Where the sources disagree or are silent there is a
//! [`Knobs`] field, whose default is the likeliest answer. Zoho's official SDKs work against it
//! unchanged.
//!
//! [`Zoho`] is a value: it is driven by requests and a given `now`, reads no clock, draws no random
//! number and opens no socket, so the same calls give the same answers. It also knows the truth
//! ([`truth`]): which events would have been delivered where and when, against which a client's own
//! belief can be checked. [`http`] is its face for programs that speak HTTP; [`admin`] is the part
//! of that face that Zoho does not have.
//!
//! It keeps the records that a test says have changed, and a client reads them back ([`records`]).
//! Deliberately not here: sharing rules (every channel and record of an org is listed to every
//! client of that org), writes of records over Zoho's own API, and TLS. A delivery that failed is
//! never posted again, and nothing is left on disk.

pub mod admin;
pub mod change;
pub mod channel;
mod condition;
mod consent;
pub mod counters;
pub mod deliveries;
mod device;
mod expiry;
pub mod faults;
mod form;
mod gateway;
pub mod hands;
pub mod http;
mod item;
pub mod knobs;
pub mod length;
mod mishap;
mod oauth;
mod operation;
pub mod org;
mod orgs;
pub mod records;
pub mod reply;
mod rows;
pub mod state;
#[cfg(test)]
mod testing;
pub mod truth;
mod watch;

use channelkeeper_core::model;

pub use change::{Change, Delivery};
pub use channel::Channel;
pub use channelkeeper_core::model::exchange::{Request, Response};
pub use counters::Counters;
pub use faults::{Endpoint, Fault, Rule};
pub use hands::Hand;
pub use knobs::{Knobs, Length, PostConflict};
pub use org::Org;
pub use records::bulk::Bulk;
pub use records::knobs::RecordKnobs;
pub use records::lives::Times;
pub use records::missed::{Missed, Why};
pub use reply::{Reply, TimedReply};
pub use state::{Heard, Zoho};
pub use truth::Covered;
