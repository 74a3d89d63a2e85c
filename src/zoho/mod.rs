//! The remote: the only place that knows Zoho's HTTP.
//!
//! `client::Client` has one method per operation of the watch resource and one token. It sends
//! each request once: retry has one home, the next pass. The one exception is a token that Zoho
//! calls invalid: it is fetched anew and the request is sent again, once.
//!
//! - `client`: the operations, for one account;
//! - [`auth`]: the access token: cached over restarts, one fetch at a time, never more fetches than
//!   Zoho allows;
//! - `device`: the flow in which a person approves a code elsewhere and a refresh token comes;
//! - [`wire`]: the bodies, in both directions;
//! - `records`: a page of a module's records, asked for and read;
//! - `replies`: what a reply says beside its items;
//! - [`veil`]: the one door by which foreign text comes in, without secrets;
//! - `oauth_words`: what each word of the OAuth server means;
//! - `error`: what went wrong, and the one match that says what it means;
//! - `spot`: a place in a request, named by what stands there;
//! - `bounds`: how much one look may take;
//! - `time`: Zoho's time, as its answers tell it;
//! - [`transport`]: who carries a request: reqwest, or in tests the simulator's state itself;
//! - [`leashed`]: which writes are not sent, because another machine may own the account;
//! - `timed`: how long that took, for the metrics;
//! - [`window`]: how many accounts may be served at once.
//!
//! Deliberately absent: any decision. `plan` decides if a channel should be written, and
//! `reconcile` decides the meaning of a failure for the account.

pub mod auth;
mod bounds;
pub(crate) mod client;
pub(crate) mod device;
pub(crate) mod error;
pub mod leashed;
mod oauth_words;
mod records;
mod replies;
mod spot;
mod time;
pub(crate) mod timed;
pub mod transport;
pub mod veil;
pub mod window;
pub mod wire;

#[cfg(test)]
#[cfg(feature = "simulator")]
pub(crate) mod testing;
#[cfg(test)]
#[cfg(feature = "simulator")]
mod tests;
