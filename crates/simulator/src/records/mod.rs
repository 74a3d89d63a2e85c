//! Records: what an org has of each module, what Zoho tells of them, and what it never told
//! anybody.
//!
//! A change of a record is kept by `store` and becomes deliveries to the channels that cover it
//! (`deliveries`); for a channel that should have heard of it and did not,
//! `missed` has a line. A client reads them back as from Zoho: `read` lets a call in,
//! `list`, `deleted` and `coql` answer it. `modules`, `fields`, `users` and `company` answer
//! what clients ask beside those; Zoho's own SDKs do so before the first record.
//!
//! A record is an id, two times, values and a mark that it was converted. Deliberately not here:
//! writes over Zoho's own API, sharing between users, related lists, timelines and Bulk Read.

pub mod bulk;
mod company;
mod coql;
pub(crate) mod deleted;
mod field_kind;
mod fields;
pub mod knobs;
pub(crate) mod list;
pub mod lives;
pub mod missed;
mod modules;
mod page_token;
pub(crate) mod read;
pub(crate) mod route;
mod row;
mod scopes;
pub(crate) mod store;
pub(crate) mod subscribers;
mod users;
pub(crate) mod verbs;
