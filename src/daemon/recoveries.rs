//! The requests about recoveries, and their answers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::backfill::{HeldFor, Recovery, State};
use crate::coverage::render::GapView;
use crate::model::address::Address;
use crate::model::channel::AccountName;
use crate::model::events::Events;
use crate::model::secret::Fingerprint;
use crate::model::time::{Timestamp, brief, span};
use crate::plan::render::counted;
use crate::store::{Store, StoreError};

use super::fleet::Fleet;

/// The recoveries.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RecoveriesRequest {}

/// A stretch of a channel is to be recovered as if it were a gap.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoverRequest {
    /// The channel.
    pub channel: Address,
    /// The beginning.
    pub since: Timestamp,
    /// Up to here; now when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// True when it is read and counted, and then waits for a person.
    #[serde(default)]
    pub plan: bool,
}

/// The fate that somebody chooses for a recovery.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettleRequest {
    /// Its id: `ACCOUNT/NUMBER`.
    pub id: String,
    /// The fate that is chosen for it.
    pub fate: Fate,
}

/// The fate that somebody chooses for a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fate {
    /// It is handed over although it is held.
    Release,
    /// It is given up.
    Abandon,
}

/// One recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryView {
    /// `ACCOUNT/NUMBER`.
    pub id: String,
    /// The account.
    pub account: String,
    /// The channel's name.
    pub channel: String,
    /// The events that were missed, as in the config: `Deals.edit`.
    pub events: Vec<String>,
    /// The beginning of the first gap.
    pub from: Timestamp,
    /// The end of the last one.
    pub to: Timestamp,
    /// `reading`, `unreadable`, `held`, `handing-over`, `done` or `abandoned`.
    pub state: String,
    /// The reason why it waits, or ended.
    pub why: Option<String>,
    /// How many records were missed; nothing while they are not counted.
    pub records: Option<Counts>,
    /// Records that the receiver has taken.
    pub taken: u64,
    /// Records that the receiver refused by themselves.
    pub set_aside: u64,
    /// Which, the first of them.
    pub set_aside_ids: Vec<String>,
    /// API credits that reading took.
    pub credits: u64,
    /// The doubts about it, a sentence each.
    pub doubts: Vec<String>,
}

/// Missed records, by operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Creations.
    pub inserts: u64,
    /// Edits.
    pub updates: u64,
    /// Deletions.
    pub deletes: u64,
}

/// The recoveries of every account, by account and number.
///
/// # Errors
/// When the store fails.
pub(crate) fn recoveries(fleet: &Fleet, store: &Store) -> Result<Vec<RecoveryView>, StoreError> {
    let mut accounts = store.recovery_accounts()?;
    accounts.extend(fleet.subjects.keys().cloned());
    let mut views = Vec::new();
    for account in accounts {
        let canaries = store.canaries(&account)?;
        let refused = canaries.into_iter().filter(|(_, facts)| facts.refused.is_some());
        let refused: BTreeSet<Fingerprint> = refused.map(|(url, _)| url).collect();
        for recovery in store.recoveries(&account)? {
            let view = RecoveryView::of(&account, &recovery);
            let waits = recovery.state == State::Handing && refused.contains(&recovery.notify_url);
            let why = waits.then(|| "the receiver refuses canaries".to_owned()).or(view.why);
            views.push(RecoveryView { why, ..view });
        }
    }
    Ok(views)
}

impl RecoveryView {
    /// The view of one recovery.
    pub fn of(account: &AccountName, recovery: &Recovery) -> RecoveryView {
        let mut events = Events::default();
        events.insert(recovery.module.as_str(), recovery.operations());
        let why = match &recovery.state {
            State::Unreadable { why, .. } | State::Abandoned { why, .. } => Some(why.clone()),
            State::Held(HeldFor::Plan) => Some("the mode is plan".to_owned()),
            State::Held(HeldFor::Most) => Some("more records than the config lets pass".to_owned()),
            State::Handing => recovery.progress.trouble.clone(),
            State::Reading | State::Done { .. } => None,
        };
        let counts = |frozen: crate::backfill::recovery::Frozen| Counts {
            inserts: frozen.inserts,
            updates: frozen.updates,
            deletes: frozen.deletes,
        };
        RecoveryView {
            id: format!("{account}/{}", recovery.number),
            account: account.to_string(),
            channel: recovery.name.to_string(),
            events: events.to_wire(),
            from: recovery.from(),
            to: recovery.to(),
            state: recovery.state.word().to_owned(),
            why,
            records: recovery.frozen.map(counts),
            taken: recovery.progress.taken,
            set_aside: recovery.progress.aside,
            set_aside_ids: recovery.progress.aside_ids.clone(),
            credits: recovery.credits,
            doubts: recovery.doubts.iter().map(|doubt| doubt.words().to_owned()).collect(),
        }
    }

    /// Returns whether a gap is among those that it fills.
    pub fn fills(&self, gap: &GapView) -> bool {
        let mine: Events = self.events.iter().map(String::as_str).collect();
        let theirs: Events = gap.events.iter().map(String::as_str).collect();
        let shared = theirs.minus(&theirs.minus(&mine));
        let overlaps = gap.from < self.to && gap.to.is_none_or(|to| to > self.from);
        self.account == gap.account && self.channel == gap.channel && overlaps && !shared.is_empty()
    }

    /// One line.
    pub fn line(&self) -> String {
        let RecoveryView { id, channel, events, from, to, .. } = self;
        let length = brief(span(*from, *to));
        format!(
            "{id}  {channel}  {}  {from:.0} to {to:.0} ({length}): {}",
            events.join(", "),
            self.fate()
        )
    }

    /// How far it has come, in words.
    pub fn fate(&self) -> String {
        let RecoveryView { state, why, records, taken, set_aside, .. } = self;
        let counted = records.map(|Counts { inserts, updates, deletes }| {
            let all = counted((inserts + updates + deletes) as usize, "record");
            format!(", {all} ({inserts} created, {updates} edited, {deletes} deleted)")
        });
        let taken = if *taken > 0 { format!(", {taken} taken") } else { String::new() };
        let aside = if *set_aside > 0 { format!(", {set_aside} set aside") } else { String::new() };
        let why = why.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
        format!("{state}{}{taken}{aside}{why}", counted.unwrap_or_default())
    }

    /// Returns whether it is over.
    pub fn is_over(&self) -> bool {
        ["done", "abandoned"].contains(&self.state.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> RecoveryView {
        let at = |text: &str| text.parse().unwrap();
        RecoveryView {
            id: "acme/7".to_owned(),
            account: "acme".to_owned(),
            channel: "deals".to_owned(),
            events: vec!["Deals.create".to_owned(), "Deals.edit".to_owned()],
            from: at("2026-03-01T00:00:00Z"),
            to: at("2026-03-01T01:00:00Z"),
            state: "held".to_owned(),
            why: Some("the mode is plan".to_owned()),
            records: Some(Counts { inserts: 1, updates: 40, deletes: 0 }),
            taken: 0,
            set_aside: 0,
            set_aside_ids: Vec::new(),
            credits: 3,
            doubts: Vec::new(),
        }
    }

    fn gap(channel: &str, events: &[&str], from: &str, to: Option<&str>) -> GapView {
        GapView {
            account: "acme".to_owned(),
            channel: channel.to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            from: from.parse().unwrap(),
            to: to.map(|to| to.parse().unwrap()),
            seconds: 0,
            kind: "uncovered".to_owned(),
            cause: "expired".to_owned(),
            acknowledged: None,
        }
    }

    #[test]
    fn a_line_says_what_was_missed_and_what_it_waits_for() {
        let at = |text: &str| text.parse().unwrap();
        let (from, to) = (at("2026-03-01T00:00:00.043014898Z"), at("2026-03-01T01:00:00.05Z"));
        assert_eq!(
            RecoveryView { from, to, ..view() }.line(),
            "acme/7  deals  Deals.create, Deals.edit  2026-03-01T00:00:00Z to 2026-03-01T01:00:00Z (1h): held, 41 records \
             (1 created, 40 edited, 0 deleted); the mode is plan"
        );
    }

    #[test]
    fn a_recovery_stands_beside_the_gaps_that_it_fills_and_beside_no_other() {
        let (from, to) = ("2026-03-01T00:30:00Z", Some("2026-03-01T02:00:00Z"));
        assert!(view().fills(&gap("deals", &["Deals.all"], from, to)));
        assert!(!view().fills(&gap("other", &["Deals.all"], from, to)));
        assert!(!view().fills(&gap("deals", &["Deals.delete"], from, to)));
        assert!(!view().fills(&gap("deals", &["Deals.all"], "2026-03-01T01:00:00Z", None)));
    }
}
