//! The value of a field as queries compare and sort it, and the value that it is compared with.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value;

use super::super::row::View;
use super::super::store::{Id, Record};

/// The value of a field of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CoqlValue {
    Null,
    Truth(bool),
    Number(f64),
    Id(u64),
    Time(Timestamp),
    Text(String),
}

/// A value in a query, read in each way that it can be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Literal {
    pub(super) text: String,
    pub(super) time: Option<Timestamp>,
    pub(super) id: Option<u64>,
    pub(super) number: Option<f64>,
}

impl CoqlValue {
    /// A field of a record. Its two times are compared as exactly as they are kept.
    pub(super) fn of(module: &str, row: (Id, &Record), field: &str, view: &View<'_>) -> CoqlValue {
        match field {
            "id" => CoqlValue::Id(row.0),
            "Created_Time" => CoqlValue::Time(row.1.created),
            "Modified_Time" => CoqlValue::Time(row.1.modified),
            _ => CoqlValue::of_value(&view.value(module, row, field)),
        }
    }

    /// A lookup is compared by its id, and several choices as they stand with a semicolon between.
    fn of_value(value: &Value) -> CoqlValue {
        match value {
            Value::Null => CoqlValue::Null,
            Value::Bool(truth) => CoqlValue::Truth(*truth),
            Value::Number(number) => number.as_f64().map_or(CoqlValue::Null, CoqlValue::Number),
            Value::String(text) => CoqlValue::Text(text.clone()),
            Value::Array(parts) => {
                let parts: Vec<&str> = parts.iter().filter_map(Value::as_str).collect();
                CoqlValue::Text(parts.join(";"))
            }
            Value::Object(lookup) => {
                let id = lookup.get("id").and_then(Value::as_str).unwrap_or_default();
                id.parse().map_or_else(|_| CoqlValue::Text(id.to_owned()), CoqlValue::Id)
            }
        }
    }

    /// How it stands to a value of the query; none when the two cannot be compared.
    pub(super) fn compare(&self, literal: &Literal) -> Option<Ordering> {
        match self {
            CoqlValue::Null => None,
            CoqlValue::Truth(truth) => Some(truth.cmp(&literal.text.parse().ok()?)),
            CoqlValue::Number(number) => number.partial_cmp(&literal.number?),
            CoqlValue::Id(id) => Some(id.cmp(&literal.id?)),
            CoqlValue::Time(time) => Some(time.cmp(&literal.time?)),
            CoqlValue::Text(text) => match (literal.time, text.parse::<Timestamp>()) {
                (Some(asked), Ok(own)) => Some(own.cmp(&asked)),
                (Some(_), Err(_)) | (None, _) => Some(text.as_str().cmp(&literal.text)),
            },
        }
    }

    /// `like`: `%` at an end stands for any characters there. Only texts can be compared so.
    pub(super) fn is_like(&self, pattern: &str) -> Option<bool> {
        let CoqlValue::Text(text) = self else { return None };
        let (from, pattern) = pattern.strip_prefix('%').map_or((false, pattern), |p| (true, p));
        let (to, wanted) = pattern.strip_suffix('%').map_or((false, pattern), |p| (true, p));
        Some(match (from, to) {
            (true, true) => text.contains(wanted),
            (true, false) => text.ends_with(wanted),
            (false, true) => text.starts_with(wanted),
            (false, false) => text == wanted,
        })
    }

    /// The order of two values of one field; records without a value come first.
    pub(super) fn order(&self, other: &CoqlValue) -> Ordering {
        match (self, other) {
            (CoqlValue::Truth(one), CoqlValue::Truth(other)) => one.cmp(other),
            (CoqlValue::Number(one), CoqlValue::Number(other)) => one.total_cmp(other),
            (CoqlValue::Id(one), CoqlValue::Id(other)) => one.cmp(other),
            (CoqlValue::Time(one), CoqlValue::Time(other)) => one.cmp(other),
            (CoqlValue::Text(one), CoqlValue::Text(other)) => one.cmp(other),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            CoqlValue::Null => 0,
            CoqlValue::Truth(_) => 1,
            CoqlValue::Number(_) => 2,
            CoqlValue::Id(_) => 3,
            CoqlValue::Time(_) => 4,
            CoqlValue::Text(_) => 5,
        }
    }
}

impl Literal {
    /// A value as it stands in the query.
    pub(super) fn of(text: &str) -> Literal {
        Literal {
            text: text.to_owned(),
            time: text.parse().ok(),
            id: text.parse().ok(),
            number: text.parse().ok(),
        }
    }
}
