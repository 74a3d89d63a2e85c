//! Conditions of a channel: notify only when some fields changed.

use std::collections::BTreeSet;

use super::accounts::AccountFrame;
use super::check::Check;
use super::given::Given;
use super::raw::{self, Channel, Entry};
use super::source::{At, Place};
use crate::model::condition::{CONDITIONS_MAX, Condition, FIELDS_MAX, Match, Selection};
use crate::model::events::Events;

impl AccountFrame {
    /// The conditions of a channel, sorted.
    pub(super) fn conditions(
        &self,
        channel: &Channel,
        events: &Events,
        check: &mut Check<'_>,
    ) -> Vec<Condition> {
        let Some(list) = channel.conditions.good() else { return Vec::new() };
        if !list.value.is_empty() && !self.api.limits().conditions {
            let message = format!("{} does not know conditions", self.api);
            let help = self.api.without("they came with v6: raise api_version, or leave them out");
            check.problem(list.place, message, help);
        }
        if list.value.len() > CONDITIONS_MAX {
            let message =
                format!("{} conditions, Zoho takes {CONDITIONS_MAX} at most", list.value.len());
            check.problem(list.place, message, "make two channels of it");
        }
        let made = list.value.iter().filter_map(|at| condition(at, events, check));
        let conditions: BTreeSet<Condition> = made.collect();
        let fields: usize = conditions.iter().map(|condition| condition.selection.fields()).sum();
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
    let selection = selection(any_of, all_of, at.place, check)?;
    let module = module.good()?;
    if !events.is_empty() && events.of(&module.value).is_empty() {
        let message =
            format!("no event of this channel is of module \"{}\"", module.value.escape_debug());
        check.problem(module.place, message, format!("its events: {events}"));
    }
    Some(Condition { module: module.value.clone(), selection })
}

/// One condition or group, of which one of the two keys says the operator.
fn selection(
    any_of: &Given<Vec<At<Entry>>>,
    all_of: &Given<Vec<At<Entry>>>,
    place: Place,
    check: &mut Check<'_>,
) -> Option<Selection> {
    let (entries, matching) = match (any_of, all_of) {
        (Given::Absent, Given::Absent) => {
            let help = "add any_of = [\"Stage\"] or all_of = [...]";
            check.problem(place, "a condition without fields", help);
            return None;
        }
        (entries, Given::Absent) => (entries.good()?, Match::Any),
        (Given::Absent, entries) => (entries.good()?, Match::All),
        _ => {
            let help = "put one into the other, as in any_of = [\"Stage\", { all_of = [\"Amount\", \"Owner\"] }]";
            check.problem(place, "a condition with both any_of and all_of", help);
            return None;
        }
    };
    if entries.value.is_empty() {
        let help = "name the fields that must have changed";
        check.problem(entries.place, "a condition without fields", help);
    }
    let made: Vec<Selection> = entries.value.iter().filter_map(|at| entry(at, check)).collect();
    Selection::group(matching, made)
}

fn entry(at: &At<Entry>, check: &mut Check<'_>) -> Option<Selection> {
    match &at.value {
        Entry::Group(raw::Group { any_of, all_of }) => selection(any_of, all_of, at.place, check),
        Entry::Field(field) => {
            if !is_api_name(field) {
                let message = format!("\"{}\" is no field API name", field.escape_debug());
                let help = "letters, digits and underscores, as in \"Closing_Date\"";
                check.problem(at.place, message, help);
            }
            Some(Selection::Field(field.clone()))
        }
    }
}

fn is_api_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
