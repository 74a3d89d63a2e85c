//! Many records at once, spread over a stretch of time that is past.
//!
//! The records are kept, and each notification that a channel did not make at its time is noted as
//! missed. Those that were made are counted and not given back: nobody wants to post them.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::condition;
use super::super::org::OrgState;
use super::super::state::Zoho;
use super::super::truth::Span;
use super::missed::{Missed, Why};
use super::store::{Id, Values};
use crate::model::events::Operation;

/// So many records of one module, and what happened to each of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bulk {
    /// The module's API name.
    pub module: String,
    /// The operation that happened to each.
    pub operation: Operation,
    /// How many.
    pub count: u64,
    /// The first id; the others follow it one by one. Left out: ids that no record had.
    #[serde(default)]
    pub first: Option<u64>,
    /// When it happened to the first.
    pub from: Timestamp,
    /// Before this instant it happened to the last; the others are spread evenly between. The same
    /// as `from`: all at once.
    pub to: Timestamp,
    /// The fields that each of them got.
    #[serde(default)]
    pub values: Values,
}

/// The outcome of a bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Done {
    /// The first id.
    pub first: u64,
    /// Notifications that were made, of all channels.
    pub made: u64,
    /// Notifications that were not.
    pub missed: u64,
}

/// A bulk that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBulk {
    /// No org of this name.
    #[error("no org \"{0}\"")]
    Org(String),
    /// The stretch ends before it begins, or has not ended yet.
    #[error("from and to: a stretch of time that is past")]
    Stretch,
    /// None, or too many.
    #[error("count: between 1 and {COUNT_MAX}")]
    Count,
}

impl Zoho {
    /// Lets this happen to many records in the past.
    pub fn bulk(&mut self, org: &str, bulk: &Bulk, now: Timestamp) -> Result<Done, BadBulk> {
        let knobs = &self.knobs.records;
        let state = self.orgs.get_mut(org).ok_or_else(|| BadBulk::Org(org.to_owned()))?;
        if bulk.from > bulk.to || bulk.to > now {
            return Err(BadBulk::Stretch);
        }
        if !(1..=COUNT_MAX).contains(&bulk.count) {
            return Err(BadBulk::Count);
        }
        let first =
            bulk.first.unwrap_or_else(|| state.records.fresh_ids(&state.digits, bulk.count));
        let module = state.records.module_mut(&bulk.module);
        for (id, at) in bulk.each(first) {
            let at = knobs.cut(at);
            match bulk.operation {
                Operation::Create => module.create(id, bulk.values.clone(), at),
                Operation::Edit => module.edit(id, bulk.values.clone(), at),
                Operation::Delete => module.delete(id, at),
            }
        }
        Ok(told(state, bulk, first))
    }
}

impl Bulk {
    /// The records, each with its time.
    fn each(&self, first: Id) -> impl Iterator<Item = (Id, Timestamp)> {
        let (from, count) = (self.from.as_nanosecond(), i128::from(self.count));
        let whole = self.to.as_nanosecond() - from;
        (0..self.count).map(move |n| {
            let at = from + whole * i128::from(n) / count;
            (first.saturating_add(n), Timestamp::from_nanosecond(at).unwrap_or(self.from))
        })
    }
}

/// Who was told of it, and who was not.
fn told(state: &mut OrgState, bulk: &Bulk, first: Id) -> Done {
    let mut done = Done { first, made: 0, missed: 0 };
    let module: Arc<str> = state.missed.named(&bulk.module);
    let event = (bulk.module.as_str(), bulk.operation);
    for (channel, taken) in state.subscribers.of(event.0, event.1) {
        let spans: Vec<Span> = state.ledger.spans_of(channel, event.0, event.1);
        let away = if taken { Why::Removed } else { Why::Lapsed };
        let filtered = bulk.operation == Operation::Edit
            && !state.channels.get(&channel).is_none_or(|channel| {
                let fields = bulk.values.keys().map(String::as_str).collect();
                condition::passes(channel.condition.as_ref(), &bulk.module, &fields)
            });
        let born = spans.iter().map(|(from, _)| *from).min();
        for (id, at) in bulk.each(first).filter(|(_, at)| born.is_some_and(|born| born <= *at)) {
            let covered = spans.iter().any(|(from, to)| *from <= at && at < *to);
            let why = match (covered, filtered) {
                (true, false) => {
                    done.made += 1;
                    continue;
                }
                (_, true) => Why::Filtered,
                (false, false) => away,
            };
            done.missed += 1;
            let module = Arc::clone(&module);
            let operation = bulk.operation;
            state.missed.note(Missed { channel, module, operation, id, at, why });
        }
    }
    done
}

/// Records in one bulk.
const COUNT_MAX: u64 = 1_000_000;
