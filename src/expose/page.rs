//! The pages for people: the front page with every channel, and a page for each channel.
//!
//! Written from the overview and from what is remembered of the channels that are looked at
//! ([`super::lookups`]), as values first ([`FrontView`], [`ChannelPage`]) and from these as HTML.
//! Every text goes through maud, which escapes it, and what somebody else wrote through `line`
//! before that.
//!
//! There is no script in a page and none is allowed to run; there is one style sheet, in the page,
//! allowed by its hash. The reader's choices stand in the URL ([`query`]), so that a page can be
//! sent to somebody. A page reloads itself only when it is told to follow, and then it has no form,
//! so that typed text is never lost.
//!
//! - [`query`]: what is asked for;
//! - [`select`]: which channels that selects, and in which order;
//! - [`strip`] and [`bar`]: coverage over time, and the life that is left, as inline SVG;
//! - [`front`] and [`channel`]: the two pages;
//! - `frame`: what they share.

pub mod bar;
pub mod channel;
mod frame;
pub mod front;
pub mod query;
pub mod select;
pub mod strip;

pub use channel::{ChannelPage, missing};
pub use frame::policy;
pub use front::FrontView;
pub use query::Query;

#[cfg(test)]
mod tests;
