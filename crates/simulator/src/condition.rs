//! `notification_condition` (v6 and later): which fields must change for an edit to be delivered.
//!
//! A group holds at most two entries, so more than two fields need nesting, and there are at most
//! ten fields in all (v7 *Enable Notifications*; amp-labs/connectors #1861).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::channel::{module_id, parse_id};
use super::knobs::ConditionIds;
use super::reply::{INVALID, about, error, invalid};

/// The condition of an item as it was sent, if it is one; `path` is where it stands.
pub(crate) fn checked(
    value: &Value,
    path: &str,
    ids: ConditionIds,
) -> Result<Option<Value>, Value> {
    let Some(list) = value.as_array() else {
        return Err(invalid(
            "notification_condition",
            path,
            "expected_data_type",
            &json!("jsonarray"),
        ));
    };
    for (at, condition) in list.iter().enumerate() {
        check(condition, &format!("{path}[{at}]"), ids)?;
    }
    Ok(Some(value.clone()).filter(|_| !list.is_empty()))
}

/// True when an edit of these fields of a module passes. A module without a condition passes.
pub(crate) fn passes(condition: Option<&Value>, module: &str, fields: &BTreeSet<&str>) -> bool {
    let conditions = condition.and_then(Value::as_array).into_iter().flatten();
    let mut of_module =
        conditions.filter(|condition| names(&condition["module"], module)).peekable();
    of_module.peek().is_none()
        || of_module.any(|condition| holds(&condition["field_selection"], fields))
}

/// The condition as a GET lists it: every leaf has `group_operator` and `group` as well, both null.
pub(crate) fn listed(condition: Option<&Value>) -> Value {
    let mut listed = condition.cloned().unwrap_or_default();
    for condition in listed.as_array_mut().into_iter().flatten() {
        fill(&mut condition["field_selection"]);
    }
    listed
}

fn check(condition: &Value, path: &str, ids: ConditionIds) -> Result<(), Value> {
    if !condition.is_object() {
        return Err(invalid(
            "notification_condition",
            path,
            "expected_data_type",
            &json!("jsonobject"),
        ));
    }
    if condition["type"].is_null() {
        let mut details = about("type", &format!("{path}.type"));
        details["dependee"] = about("field_selection", &format!("{path}.field_selection"));
        return Err(error("DEPENDENT_FIELD_MISSING", INVALID, &details));
    }
    if condition["type"] != "field_selection" {
        return Err(invalid(
            "type",
            &format!("{path}.type"),
            "supported_values",
            &json!(["field_selection"]),
        ));
    }
    check_module(&condition["module"], &format!("{path}.module"), ids)?;
    let selection = format!("{path}.field_selection");
    let fields = count(&condition["field_selection"], &selection)?;
    if fields > FIELDS_MAX {
        return Err(invalid("field_selection", &selection, "maximum_length", &json!(FIELDS_MAX)));
    }
    Ok(())
}

fn check_module(module: &Value, path: &str, ids: ConditionIds) -> Result<(), Value> {
    let (name, id) = (module["api_name"].as_str(), parse_id(&module["id"]));
    match (name, id) {
        (None, None) => {
            let expected = ["api_name", "id"].map(|key| about(key, &format!("{path}.{key}")));
            let details = json!({ "expected_fields": expected });
            Err(error("EXPECTED_FIELD_MISSING", "Specify atleast one field", &details))
        }
        (Some(name), Some(id))
            if ids == ConditionIds::Checked && module_id(name) != id.to_string() =>
        {
            let parts = ["api_name", "id"].map(|key| about(key, &format!("{path}.{key}")));
            let details = json!({ "ambiguity_due_to": parts });
            Err(error(
                "AMBIGUITY_DURING_PROCESSING",
                "ambiguity while processing the request",
                &details,
            ))
        }
        (Some(_), _) | (None, Some(_)) => Ok(()),
    }
}

/// How many fields a selection names.
fn count(selection: &Value, path: &str) -> Result<usize, Value> {
    let Some(group) = selection["group"].as_array() else {
        let field = &selection["field"];
        if field["api_name"].is_string() || parse_id(&field["id"]).is_some() {
            return Ok(1);
        }
        return Err(invalid("field_selection", path, "expected_data_type", &json!("jsonobject")));
    };
    if !matches!(selection["group_operator"].as_str(), Some("and" | "or" | "AND" | "OR")) {
        let path = format!("{path}.group_operator");
        return Err(invalid("group_operator", &path, "supported_values", &json!(["and", "or"])));
    }
    if group.is_empty() || group.len() > GROUP_MAX {
        return Err(invalid(
            "group",
            &format!("{path}.group"),
            "maximum_length",
            &json!(GROUP_MAX),
        ));
    }
    let counts =
        group.iter().enumerate().map(|(at, part)| count(part, &format!("{path}.group[{at}]")));
    counts.sum()
}

fn names(module: &Value, wanted: &str) -> bool {
    match module["api_name"].as_str() {
        Some(name) => name == wanted,
        None => parse_id(&module["id"]).is_some_and(|id| id.to_string() == module_id(wanted)),
    }
}

fn holds(selection: &Value, fields: &BTreeSet<&str>) -> bool {
    let Some(group) = selection["group"].as_array() else {
        return selection["field"]["api_name"].as_str().is_none_or(|name| fields.contains(name));
    };
    if selection["group_operator"]
        .as_str()
        .is_some_and(|operator| operator.eq_ignore_ascii_case("and"))
    {
        group.iter().all(|part| holds(part, fields))
    } else {
        group.iter().any(|part| holds(part, fields))
    }
}

fn fill(selection: &mut Value) {
    if let Some(group) = selection.get_mut("group").and_then(Value::as_array_mut) {
        group.iter_mut().for_each(fill);
    } else if selection.is_object() {
        selection["group_operator"] = Value::Null;
        selection["group"] = Value::Null;
    }
}

const GROUP_MAX: usize = 2;
const FIELDS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(name: &str) -> Value {
        json!({"field": {"api_name": name, "id": 3_652_397_000_000_002_593_i64}})
    }

    fn condition(group: &[Value]) -> Value {
        let selection = json!({"group_operator": "and", "group": group});
        let module = json!({"api_name": "Deals", "id": "3652397000000002181"});
        json!({"type": "field_selection", "module": module, "field_selection": selection})
    }

    #[test]
    fn a_condition_of_the_documents_is_taken_with_ids_as_strings_or_numbers() {
        assert_eq!(
            check(&condition(&[leaf("Stage"), leaf("Amount")]), "$", ConditionIds::Checked),
            Ok(())
        );
    }

    #[test]
    fn what_is_wrong_with_a_condition_is_named() {
        let three = condition(&[leaf("a"), leaf("b"), leaf("c")]);
        assert_eq!(
            check(&three, "$", ConditionIds::Checked).unwrap_err()["details"]["maximum_length"],
            2
        );
        let mut nameless = condition(&[leaf("a")]);
        nameless["module"] = json!({});
        assert_eq!(
            check(&nameless, "$", ConditionIds::Checked).unwrap_err()["code"],
            "EXPECTED_FIELD_MISSING"
        );
        let mut torn = condition(&[leaf("a")]);
        torn["module"]["id"] = json!(1);
        let ambiguous = check(&torn, "$", ConditionIds::Checked).unwrap_err();
        assert_eq!(ambiguous["code"], "AMBIGUITY_DURING_PROCESSING");
        assert_eq!(check(&torn, "$", ConditionIds::Ignored), Ok(()));
        let mut untyped = condition(&[leaf("a")]);
        untyped["type"] = Value::Null;
        assert_eq!(
            check(&untyped, "$", ConditionIds::Checked).unwrap_err()["code"],
            "DEPENDENT_FIELD_MISSING"
        );
    }

    #[test]
    fn eleven_fields_are_one_too_many() {
        let nested = |n: usize| {
            (1..n)
                .fold(leaf("f0"), |inner, n| json!({"group_operator": "or", "group": [inner, leaf(&format!("f{n}"))]}))
        };
        let with = |n: usize| {
            let mut value = condition(&[leaf("a")]);
            value["field_selection"] = nested(n);
            check(&value, "$", ConditionIds::Checked)
        };
        assert_eq!(with(10), Ok(()));
        assert_eq!(with(11).unwrap_err()["details"]["maximum_length"], 10);
    }

    #[test]
    fn an_edit_passes_by_its_fields() {
        let both = json!([condition(&[leaf("Stage"), leaf("Amount")])]);
        assert!(passes(Some(&both), "Deals", &BTreeSet::from(["Stage", "Amount", "Owner"])));
        assert!(!passes(Some(&both), "Deals", &BTreeSet::from(["Stage"])));
        assert!(passes(Some(&both), "Leads", &BTreeSet::new()));
        assert!(passes(None, "Deals", &BTreeSet::new()));
    }
}
