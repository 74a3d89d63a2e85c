//! Gaps as people read them: one line for all events of a channel that share one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::events::{Events, Operations};
use crate::model::time::{Timestamp, brief, span};

use super::gap::{Cause, Kind};
use super::ledger::Ledger;

/// One gap of one or more events of a channel, its instants in Zoho's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapView {
    /// The account.
    pub account: String,
    /// The channel's name.
    pub channel: String,
    /// What was not delivered, as in the config: `Deals.all`.
    pub events: Vec<String>,
    /// From here on.
    pub from: Timestamp,
    /// Up to here; `null` while it is open.
    pub to: Option<Timestamp>,
    /// Its length, up to now while it is open.
    pub seconds: u64,
    /// `uncovered` or `unknown`.
    pub kind: String,
    /// Why.
    pub cause: String,
}

/// A channel's gaps that had not ended at `since`, oldest first.
pub fn views(account: &str, ledger: &Ledger, since: Option<Timestamp>, now: Timestamp) -> Vec<GapView> {
    let mut shared: BTreeMap<(Timestamp, Option<Timestamp>, Kind, Cause), Events> = BTreeMap::new();
    for gap in ledger.gaps(now) {
        if since.is_none_or(|since| gap.to.is_none_or(|to| to > since)) {
            let events = shared.entry((gap.from, gap.to, gap.kind, gap.cause)).or_default();
            events.insert(gap.module, Operations::default().with(gap.operation));
        }
    }
    let view = |((from, to, kind, cause), events): ((Timestamp, Option<Timestamp>, Kind, Cause), Events)| GapView {
        account: account.to_owned(),
        channel: ledger.name.to_string(),
        events: events.to_wire(),
        from,
        to,
        seconds: span(from, to.unwrap_or(now)).as_secs(),
        kind: kind.word().to_owned(),
        cause: cause.word().to_owned(),
    };
    shared.into_iter().map(view).collect()
}

impl GapView {
    /// As one line.
    pub fn line(&self) -> String {
        let GapView { account: _, channel, events, from, to, seconds, kind, cause } = self;
        let to = to.map_or("still open".to_owned(), |to| format!("{to:.0}"));
        let length = brief(std::time::Duration::from_secs(*seconds));
        format!("{kind:<9} {channel}  {from:.0} to {to} ({length}, {cause}): {}", events.join(", "))
    }
}
