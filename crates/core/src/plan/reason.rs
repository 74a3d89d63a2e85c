//! The reasons for a step, and the rules that follow from each.

use super::drift::Drift;

/// The reason for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Zoho does not have it.
    Missing,
    /// Zoho lists it and yet says NOT_SUBSCRIBED when it is changed.
    NotSubscribed,
    /// Enough of its life is over.
    Renew,
    /// It rides along in a call that is made anyway, so that it need not have one of its own later.
    Together,
    /// The operator asked for it.
    Asked,
    /// Zoho gave far less life than was asked for, and more can be had.
    ShortGrant,
    /// Little of its life is left.
    Emergency,
    /// Little of its life is left and Zoho's list cannot be read: POST of an id of ours is safe
    /// without looking.
    EmergencyBlind,
    /// It differs from its spec.
    Drift(Vec<Drift>),
    /// It is declared, has the declared notify_url, and no record: the store was lost.
    TakenOver,
    /// Its spec was taken out of the config.
    Retired,
    /// Its spec was taken out of the config, and Zoho no longer has it.
    Gone,
}

/// The rules that follow from a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonRow {
    /// One word, for logs and as a label.
    pub word: &'static str,
    /// The place of its steps in their pass.
    pub rank: u8,
    /// The causes that may delay its steps.
    pub urgency: Urgency,
    /// The phrase for it in a story, before the names of its channels.
    pub phrase: &'static str,
}

/// The causes that may delay a step, beside an operator's word and credits that would not last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It waits while credits are low, and while the account is in trouble.
    Postponable,
    /// It waits while the account is in trouble.
    Routine,
    /// Something is uncovered: it waits only for an account that refuses whatever it is sent.
    Uncovered,
    /// Something soon will be: nothing delays it.
    Emergency,
}

impl Reason {
    /// The table of reasons.
    pub const fn row(&self) -> ReasonRow {
        use Urgency::{Emergency, Postponable, Routine, Uncovered};
        match self {
            Reason::Missing => row("missing", NEW, Uncovered, "enables"),
            Reason::NotSubscribed => row("not-subscribed", NEW, Uncovered, "enables anew"),
            Reason::Renew => row("renew", ROUTINE, Routine, "renews"),
            Reason::Together => row("together", ROUTINE, Routine, "renews"),
            Reason::Asked => row("asked", ROUTINE, Routine, "renews"),
            Reason::ShortGrant => row("short-grant", ROUTINE, Routine, "asks for a longer life of"),
            Reason::Emergency => row("emergency", 1, Emergency, "renews in the last moment"),
            Reason::EmergencyBlind => {
                row("emergency-blind", 1, Emergency, "renews in the last moment")
            }
            Reason::Drift(_) => row("drift", 4, Routine, "repairs"),
            Reason::TakenOver => row("taken-over", 7, Routine, "takes over"),
            Reason::Retired => {
                row("retired", 6, Postponable, "disables, as it is not declared any more,")
            }
            Reason::Gone => row("gone", 7, Routine, "forgets, as it is gone,"),
        }
    }

    /// One word, for logs and as a label.
    pub const fn word(&self) -> &'static str {
        self.row().word
    }

    /// The fields that differ; none unless it is a drift.
    pub fn drift(&self) -> &[Drift] {
        if let Reason::Drift(drift) = self { drift } else { &[] }
    }

    /// Returns whether it is that little of a life is left.
    pub const fn is_emergency(&self) -> bool {
        matches!(self, Reason::Emergency | Reason::EmergencyBlind)
    }

    /// Returns whether a channel that Zoho has is given a new life.
    pub const fn renews(&self) -> bool {
        let ReasonRow { rank, urgency, .. } = self.row();
        rank == ROUTINE || matches!(urgency, Urgency::Emergency)
    }

    /// The causes that may delay it: a drift that loses no deliveries waits longer than one that
    /// does.
    pub fn urgency(&self) -> Urgency {
        let is_drift = !self.drift().is_empty();
        if is_drift && !self.drift().iter().any(Drift::loses_deliveries) {
            return Urgency::Postponable;
        }
        self.row().urgency
    }
}

const fn row(word: &'static str, rank: u8, urgency: Urgency, phrase: &'static str) -> ReasonRow {
    ReasonRow { word, rank, urgency, phrase }
}

/// The rank of what is not covered.
pub(super) const NEW: u8 = 2;
/// The rank of what is renewed in time.
pub(super) const ROUTINE: u8 = 5;
