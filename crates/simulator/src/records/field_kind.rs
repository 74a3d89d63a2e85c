//! The kinds of fields: as a value shows them, and as Zoho names them.

use serde_json::Value;

/// The kind of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Text,
    Integer,
    Decimal,
    Truth,
    Time,
    Choices,
    Lookup,
    User,
}

impl FieldKind {
    /// The kind that a value is of; null is of none.
    pub(crate) fn of(value: &Value) -> Option<FieldKind> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(_) => FieldKind::Truth,
            Value::Number(number) if number.is_f64() => FieldKind::Decimal,
            Value::Number(_) => FieldKind::Integer,
            Value::String(_) => FieldKind::Text,
            Value::Array(_) => FieldKind::Choices,
            Value::Object(_) => FieldKind::Lookup,
        })
    }

    /// As `data_type` and `json_type` name it.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            FieldKind::Text => ("text", "string"),
            FieldKind::Integer => ("bigint", "long"),
            FieldKind::Decimal => ("double", "double"),
            FieldKind::Truth => ("boolean", "boolean"),
            FieldKind::Time => ("datetime", "string"),
            FieldKind::Choices => ("multiselectpicklist", "jsonarray"),
            FieldKind::Lookup => ("lookup", "jsonobject"),
            FieldKind::User => ("ownerlookup", "jsonobject"),
        }
    }
}
