//! The questions about records that the sources leave open, one field each; the default is the
//! likeliest answer. They stand under `records` among the [`Knobs`](crate::Knobs).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::length::Length;
use crate::model::events::Operation;

/// How records are kept, told of and read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordKnobs {
    /// The finest difference between two times. `Created_Time` and `Modified_Time` are shown in
    /// whole seconds; a finer knob lets lists be sorted and filtered by more than they show.
    pub resolution: Length,
    /// Returns a list with `If-Modified-Since` the records of exactly that second? Airbyte adds a
    /// second to its cursor because it does.
    pub modified_since: Since,
    /// True when `If-Modified-Since` may have a fraction of a second: one client had trouble with
    /// it.
    pub header_fractions: bool,
    /// The status of a list in which nothing is changed since the header's time: 304 as
    /// documented, or 204, which clients handle too.
    pub unchanged_status: u16,
    /// The same for the list of the deleted.
    pub deleted_unchanged_status: u16,
    /// The place that a `page_token` stands for; no source says.
    pub page_token: PageToken,
    /// How long a `page_token` is good.
    pub page_token_life: Length,
    /// How many records page tokens lead through: 100,000 as documented.
    pub page_token_reach: usize,
    /// How long a change stays out of the lists.
    pub lag: Length,
    /// The order of the list of the deleted; it is undocumented, and samples mix times.
    pub deleted_order: DeletedOrder,
    /// How long a deleted record stays in the recycle bin.
    pub recycle_kept: Length,
    /// How long a record that was deleted for good is listed.
    pub permanent_kept: Length,
    /// The `deleted_time` of a record that was deleted for good.
    pub purge_time: PurgeTime,
    /// The operation that a conversion notifies of; `null` for none.
    pub convert_notifies: Option<Operation>,
    /// The operation that a restored record notifies of; `null` for none.
    pub restore_notifies: Option<Operation>,
    /// True when a restored record has a new `Modified_Time`.
    pub restore_modifies: bool,
    /// True when a change of a related record moves `Modified_Time`.
    pub related_modifies: bool,
    /// The spelling of a module in a scope; documents have lower case.
    pub module_scopes: ScopeCase,
    /// Modules that the token's user may not see: 403 NO_PERMISSION.
    pub forbidden_modules: BTreeSet<String>,
    /// Fields that field security hides, by module: rows come without them.
    pub hidden_fields: BTreeMap<String, BTreeSet<String>>,
    /// The most rows of one COQL query; `null` is the number of the version.
    pub coql_rows: Option<usize>,
    /// How far LIMIT and OFFSET of a COQL query lead; `null` is the number of the version.
    pub coql_reach: Option<usize>,
    /// Converted leads in the answer to a COQL query that does not ask for them.
    pub coql_converted: ConvertedLeads,
    /// How more than two criteria of a COQL query have to be written.
    pub coql_brackets: Brackets,
    /// True when the deletion of a user moves its `Modified_Time`, so that `If-Modified-Since`
    /// finds it.
    pub user_deletion_modifies: bool,
}

impl Default for RecordKnobs {
    fn default() -> RecordKnobs {
        RecordKnobs {
            resolution: Length(Duration::from_secs(1)),
            modified_since: Since::Inclusive,
            header_fractions: false,
            unchanged_status: 304,
            deleted_unchanged_status: 304,
            page_token: PageToken::Key,
            page_token_life: Length(DAY),
            page_token_reach: 100_000,
            lag: Length(Duration::ZERO),
            deleted_order: DeletedOrder::NewestId,
            recycle_kept: Length(60 * DAY),
            permanent_kept: Length(120 * DAY),
            purge_time: PurgeTime::Kept,
            convert_notifies: Some(Operation::Edit),
            restore_notifies: None,
            restore_modifies: false,
            related_modifies: false,
            module_scopes: ScopeCase::Any,
            forbidden_modules: BTreeSet::new(),
            hidden_fields: BTreeMap::new(),
            coql_rows: None,
            coql_reach: None,
            coql_converted: ConvertedLeads::LeftOut,
            coql_brackets: Brackets::Pairs,
            user_deletion_modifies: true,
        }
    }
}

impl RecordKnobs {
    /// An instant as a record keeps it.
    pub(crate) fn cut(&self, instant: Timestamp) -> Timestamp {
        let step = i128::try_from(self.resolution.0.as_nanos()).unwrap_or(1).max(1);
        let nanos = instant.as_nanosecond();
        Timestamp::from_nanosecond(nanos - nanos.rem_euclid(step)).unwrap_or(instant)
    }

    /// True when `at` is within what a header of `since` asks for.
    pub(crate) fn is_since(&self, at: Timestamp, since: Option<Timestamp>) -> bool {
        match (since, self.modified_since) {
            (None, _) => true,
            (Some(since), Since::Inclusive) => at >= since,
            (Some(since), Since::Exclusive) => at > since,
        }
    }

    /// True when field security hides this field of a module.
    pub(crate) fn hides(&self, module: &str, field: &str) -> bool {
        self.hidden_fields.get(module).is_some_and(|hidden| hidden.contains(field))
    }
}

/// `If-Modified-Since`, and a change of exactly that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// It is listed.
    Inclusive,
    /// It is not.
    Exclusive,
}

/// The place that a `page_token` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageToken {
    /// So many rows have been given: a row that leaves its place shifts those behind it.
    Offset,
    /// The last row that was given: the next page begins behind it.
    Key,
}

/// The order of the list of the deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletedOrder {
    /// By id, the highest first: as lists are sorted that nobody asked to be sorted.
    NewestId,
    /// By id, the lowest first.
    OldestId,
    /// By `deleted_time`, the latest first.
    Latest,
    /// By `deleted_time`, the earliest first.
    Earliest,
}

/// The `deleted_time` of a record that was deleted for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeTime {
    /// When it went to the bin.
    Kept,
    /// When it left it.
    Moved,
}

/// The spelling of a module in a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScopeCase {
    /// Any.
    Any,
    /// Lower case alone.
    Lower,
}

/// Converted leads in the answer to a query that does not ask for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvertedLeads {
    /// They are not there: 4,036 of 5,046 leads came, as one client measured.
    LeftOut,
    /// They are rows as all others.
    Given,
}

/// How more than two criteria have to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Brackets {
    /// In pairs, as documented: `((a and b) and c)`. Anything else is a SYNTAX_ERROR.
    Pairs,
    /// In any way, also in a row: `a and b and c`.
    Any,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
