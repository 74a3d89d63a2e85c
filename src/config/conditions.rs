//! Conditions of a channel: notify only when some fields changed.

use std::collections::BTreeSet;

use super::accounts::Frame;
use super::check::Check;
use super::given::Given;
use super::raw::{self, Channel};
use super::source::At;
use crate::model::condition::{CONDITIONS_MAX, Condition, FIELDS_MAX, Match};
use crate::model::events::Events;

impl Frame {
    /// The conditions of a channel, sorted, each in its normal form.
    pub(super) fn conditions(
        &self,
        channel: &Channel,
        events: &Events,
        check: &mut Check<'_>,
    ) -> Vec<Condition> {
        let Some(list) = channel.conditions.good() else { return Vec::new() };
        if !list.value.is_empty() && !self.version.limits().conditions {
            let message = format!("API {} does not know conditions", self.version);
            check.problem(
                list.place,
                message,
                "they came with v6: raise api_version, or leave them out",
            );
        }
        if list.value.len() > CONDITIONS_MAX {
            let message =
                format!("{} conditions, Zoho takes {CONDITIONS_MAX} at most", list.value.len());
            check.problem(list.place, message, "make two channels of it");
        }
        let made = list.value.iter().filter_map(|at| condition(at, events, check));
        let conditions: BTreeSet<Condition> = made.collect();
        let fields: usize = conditions.iter().map(|condition| condition.fields.len()).sum();
        if fields > FIELDS_MAX {
            let message =
                format!("{fields} fields in all conditions, Zoho takes {FIELDS_MAX} at most");
            check.problem(list.place, message, "make two channels of it");
        }
        conditions.into_iter().collect()
    }
}

fn condition(at: &At<raw::Condition>, events: &Events, check: &mut Check<'_>) -> Option<Condition> {
    let raw::Condition { module, any_of, all_of } = &at.value;
    let (fields, matching) = match (any_of, all_of) {
        (Given::Absent, Given::Absent) => {
            check.problem(
                at.place,
                "a condition without fields",
                "add any_of = [\"Stage\"] or all_of = [...]",
            );
            return None;
        }
        (fields, Given::Absent) => (fields.good()?, Match::Any),
        (Given::Absent, fields) => (fields.good()?, Match::All),
        _ => {
            check.problem(
                at.place,
                "a condition with both any_of and all_of",
                "make two conditions of it",
            );
            return None;
        }
    };
    if fields.value.is_empty() {
        check.problem(
            fields.place,
            "a condition without fields",
            "name the fields that must have changed",
        );
    }
    for field in fields.value.iter().filter(|field| !is_api_name(&field.value)) {
        let message = format!("\"{}\" is no field API name", field.value.escape_debug());
        check.problem(
            field.place,
            message,
            "letters, digits and underscores, as in \"Closing_Date\"",
        );
    }
    let module = module.good()?;
    if !events.is_empty() && events.of(&module.value).is_empty() {
        let message =
            format!("no event of this channel is of module \"{}\"", module.value.escape_debug());
        check.problem(module.place, message, format!("its events: {events}"));
    }
    let fields = fields.value.iter().map(|field| field.value.clone()).collect();
    Some(Condition { module: module.value.clone(), matching, fields }.normal())
}

fn is_api_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
