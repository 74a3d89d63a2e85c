//! The criteria of a query: comparisons of a field, joined in pairs or in rows.

use std::cmp::Ordering;

use super::cell::{CoqlValue, Literal};

/// The criteria behind `where`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Criteria {
    /// Each of them holds.
    All(Vec<Criteria>),
    /// One of them holds.
    Any(Vec<Criteria>),
    /// A comparison.
    Test(Test),
}

/// A comparison of one field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Test {
    pub(super) field: String,
    pub(super) comparison: Comparison,
    /// True when the opposite is asked for: `!=`, `not in` and the like.
    pub(super) negated: bool,
}

/// The values that a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Comparison {
    Equal(Literal),
    Less(Literal),
    Greater(Literal),
    Between(Literal, Literal),
    In(Vec<Literal>),
    Like(String),
    Null,
}

impl Criteria {
    /// True when they hold for a record whose fields `cell` gives.
    pub(super) fn hold(&self, cell: &dyn Fn(&str) -> CoqlValue) -> bool {
        match self {
            Criteria::All(parts) => parts.iter().all(|part| part.hold(cell)),
            Criteria::Any(parts) => parts.iter().any(|part| part.hold(cell)),
            Criteria::Test(test) => test.holds(&cell(&test.field)),
        }
    }

    /// True when a field is compared in them.
    pub(super) fn names(&self, field: &str) -> bool {
        self.fields().contains(&field)
    }

    /// The fields that are compared.
    pub(super) fn fields(&self) -> Vec<&str> {
        match self {
            Criteria::All(parts) | Criteria::Any(parts) => {
                parts.iter().flat_map(Criteria::fields).collect()
            }
            Criteria::Test(test) => vec![&test.field],
        }
    }
}

impl Test {
    fn holds(&self, cell: &CoqlValue) -> bool {
        self.comparison.holds(cell).is_some_and(|held| held != self.negated)
    }
}

impl Comparison {
    /// None for a field without a value, and for one that cannot be compared: neither this nor its
    /// opposite holds then.
    fn holds(&self, cell: &CoqlValue) -> Option<bool> {
        match self {
            Comparison::Equal(value) => cell.compare(value).map(Ordering::is_eq),
            Comparison::Less(value) => cell.compare(value).map(Ordering::is_lt),
            Comparison::Greater(value) => cell.compare(value).map(Ordering::is_gt),
            Comparison::Between(from, to) => {
                Some(cell.compare(from)?.is_ge() && cell.compare(to)?.is_le())
            }
            Comparison::In(values) => {
                let is_it = |value: &Literal| cell.compare(value) == Some(Ordering::Equal);
                (*cell != CoqlValue::Null).then(|| values.iter().any(is_it))
            }
            Comparison::Like(pattern) => cell.is_like(pattern),
            Comparison::Null => Some(*cell == CoqlValue::Null),
        }
    }
}
