//! The nouns: what channelkeeper talks about, as plain values.
//!
//! Nothing here does anything to the world. There is no clock, no network, no store, no `async` and
//! no log line in this folder; a value is built from other values and cannot fail later than its
//! constructor. `plan` is built on these types alone, which is why a decision can be tested as a
//! table.
//!
//! Deliberately absent: the shape of a value in TOML (`config`), on the wire (`zoho`) and in the
//! store (`store`). Each of those has types of its own and converts at its edge.

pub mod account;
pub mod address;
pub mod alert_state;
pub mod backfill;
pub mod canary;
pub mod channel;
pub mod cluster;
pub mod codes;
pub mod condition;
pub mod credits;
pub mod data_center;
pub mod declared;
pub mod desired;
pub mod events;
pub mod exchange;
pub mod hooks;
pub mod latency;
pub mod learned;
pub mod life_refused;
pub mod name;
pub mod observed;
pub mod oddity;
pub mod org;
pub mod pause;
pub mod policy;
pub mod product;
pub mod record;
pub mod records;
pub mod rotation;
mod same_url;
pub mod sanitize;
pub mod secret;
pub mod small_set;
pub mod time;
pub mod token;
pub mod version;
pub mod wishes;
