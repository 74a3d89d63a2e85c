//! Rows of a module, as far as a recovery reads them: which record, and when.

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// One page to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsAsk {
    /// The module's API name.
    pub module: String,
    /// Which of its two lists.
    pub list: List,
    /// Nothing older than this.
    pub since: Timestamp,
    /// Which page.
    pub place: Place,
}

/// The lists that a module has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum List {
    /// Records that are there, ascending by `Modified_Time`.
    Changed,
    /// Records that were deleted, in no order that could be relied on.
    Deleted,
}

/// A place in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// A page by its number, from 1 on.
    Page(u32),
    /// The page that a token of Zoho's leads to.
    Token(String),
}

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsPage {
    /// Its rows, in Zoho's order.
    pub rows: Vec<RecordRow>,
    /// True when there are more.
    pub more: bool,
    /// Leads to the next page.
    pub token: Option<String>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RecordRow {
    /// Its id.
    pub id: String,
    /// `Modified_Time`, or `deleted_time` in the list of deleted ones.
    pub at: Timestamp,
    /// `Created_Time`, where it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

impl List {
    /// The API credits that one page costs (Kaizen #60; deletions by measurement).
    pub const fn credits(self) -> u64 {
        match self {
            List::Changed => 1,
            List::Deleted => 2,
        }
    }
}

/// The most rows that a page has.
pub const PAGE_MAX: usize = 200;
