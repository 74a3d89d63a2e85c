//! The pages for people: the front page with every channel, and a page for each channel.
//!
//! Written from the overview and from what is remembered of the channels that are looked at
//! ([`super::lookups`]), as values first ([`FrontView`], [`ChannelPage`]) and from these as HTML.
//! Every text goes through maud, which escapes it, and what somebody else wrote through `line`
//! before that.
//!
//! There is one style sheet and one short script in each page, each allowed by its hash. Nothing
//! needs the script: it tells instants in the reader's zone, copies requests, remembers the last view
//! and renews a page that follows. The reader's choices stand in the URL ([`query`]), so that a page
//! can be sent to somebody. A page that follows has no form, so that typed text is never lost.
//!
//! - [`query`]: what is asked for;
//! - [`select`]: which channels that selects, and in which order, which is that of [`natural`];
//! - [`mark`]: what of a channel is seen at once beside its state;
//! - [`wall`] and [`axis`]: the fleet as cells, and its losses and renewals on one time axis;
//! - [`strip`] and [`bar`]: coverage over time, and the life that is left, as inline SVG;
//! - [`front`] with [`table`] and [`accounts`], and [`channel`]: the two pages;
//! - `frame`: what they share.

pub(crate) mod accounts;
pub(crate) mod axis;
pub(crate) mod bar;
pub(crate) mod channel;
mod frame;
pub(crate) mod front;
pub(crate) mod mark;
pub(crate) mod natural;
pub(crate) mod query;
mod recovered;
pub(crate) mod select;
pub(crate) mod strip;
pub(crate) mod table;
pub(crate) mod wall;

pub(crate) use channel::{ChannelPage, missing};
pub(crate) use frame::{not_found, policy};
pub(crate) use front::FrontView;
pub(crate) use query::Query;

#[cfg(test)]
mod tests;
