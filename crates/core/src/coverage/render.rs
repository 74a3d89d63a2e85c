//! Gaps as people read them: one line for all events of a channel that share one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::events::{Events, Operations};
use crate::model::time::{Timestamp, brief, span};

use super::ack::{Ack, Acks};
use super::gap::{GapCause, GapKind};
use super::ledger::Ledger;

/// One gap of one or more events of a channel, its instants in Zoho's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapView {
    /// The account.
    pub account: String,
    /// The channel's name.
    pub channel: String,
    /// The events that were not delivered, as in the config: `Deals.all`.
    pub events: Vec<String>,
    /// The beginning.
    pub from: Timestamp,
    /// Up to here; `null` while it is open.
    pub to: Option<Timestamp>,
    /// Its length, up to now while it is open.
    pub seconds: u64,
    /// `uncovered` or `unknown`.
    pub kind: String,
    /// The cause of the gap.
    pub cause: String,
    /// Who has seen to it, if somebody has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<AckView>,
}

/// The acknowledgement of a gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckView {
    /// When that was said.
    pub at: Timestamp,
    /// The words of the acknowledgement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The facts that all events of one line share; the last is the place of their acknowledgement.
type LineFacts = (Timestamp, Option<Timestamp>, GapKind, GapCause, Option<usize>);

/// A channel's gaps that had not ended at `since`, oldest first.
pub fn views(
    account: &str,
    ledger: &Ledger,
    acks: &Acks,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Vec<GapView> {
    let mut shared: BTreeMap<LineFacts, Events> = BTreeMap::new();
    for gap in ledger.gaps(now) {
        if since.is_none_or(|since| gap.to.is_none_or(|to| to > since)) {
            let ack = acks.place_of(&gap);
            let events = shared.entry((gap.from, gap.to, gap.kind, gap.cause, ack)).or_default();
            events.insert(gap.module, Operations::default().with(gap.operation));
        }
    }
    let view = |((from, to, kind, cause, ack), events): (LineFacts, Events)| GapView {
        account: account.to_owned(),
        channel: ledger.name.to_string(),
        events: events.to_wire(),
        from,
        to,
        seconds: span(from, to.unwrap_or(now)).as_secs(),
        kind: kind.word().to_owned(),
        cause: cause.word().to_owned(),
        acknowledged: ack.and_then(|place| acks.0.get(place)).map(AckView::of),
    };
    shared.into_iter().map(view).collect()
}

/// How many of those nobody has acknowledged. Gaps of several events that share their times, kind
/// and cause are one, as in [`views`].
pub fn unacknowledged(ledger: &Ledger, acks: &Acks, now: Timestamp) -> usize {
    let gaps = ledger.gaps(now);
    let open = gaps.iter().filter(|gap| acks.place_of(gap).is_none());
    open.map(|gap| (gap.from, gap.to, gap.kind, gap.cause)).collect::<BTreeSet<_>>().len()
}

impl GapView {
    /// Renders it as one line.
    pub fn line(&self) -> String {
        let GapView { account: _, channel, events, from, to, seconds, kind, cause, acknowledged } =
            self;
        let to = to.map_or(", still open".to_owned(), |to| format!(" to {to:.0}"));
        let length = brief(std::time::Duration::from_secs(*seconds));
        let seen_to =
            acknowledged.as_ref().map(|ack| format!("; {}", ack.line())).unwrap_or_default();
        format!(
            "{kind:<9} {channel}  {from:.0}{to} ({length}, {cause}): {}{seen_to}",
            events.join(", ")
        )
    }
}

impl AckView {
    fn of(ack: &Ack) -> AckView {
        let Ack { at, note, ends: _, reception: _ } = ack;
        AckView { at: *at, note: note.as_ref().map(ToString::to_string) }
    }

    /// As `acknowledged 2026-03-01T00:00:00Z: fetched by hand`.
    pub fn line(&self) -> String {
        let AckView { at, note } = self;
        let note = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        format!("acknowledged {at:.0}{note}")
    }
}
