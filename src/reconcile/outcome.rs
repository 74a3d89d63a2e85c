//! The outcome of a step, as Zoho's answer and the next look leave it.

use crate::model::time::Timestamp;
use crate::zoho::wire::Refused;

/// The outcome of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done; for a write with the expiry that was granted.
    Done(Option<Timestamp>),
    /// Zoho said no to this channel.
    Refused(Refused),
    /// It may have been applied: the next look will tell.
    Unsure(String),
    /// It was not tried, or certainly not applied.
    Deferred(String),
}

impl Outcome {
    /// One word, for logs and as a label.
    pub const fn word(&self) -> &'static str {
        match self {
            Outcome::Done(_) => "done",
            Outcome::Refused(_) => "refused",
            Outcome::Unsure(_) => "unsure",
            Outcome::Deferred(_) => "deferred",
        }
    }
}
