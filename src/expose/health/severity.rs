//! The one scale of severity. Everything that grades reads this table: `/healthz`, the exit code of
//! `status`, `probe`, the page and its filter, messages, metrics and the alert rules.
//!
//! | status | means | `/healthz` | `?strict` | `status` | `probe` | alert rules |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | ok | everything is covered, and nothing is wrong | 200 | 200 | 0 | OK | none |
//! | degraded | something is wrong, no event is lost yet: it can wait for the morning | 200 | 503 | 0 | WARNING | ticket |
//! | failing | events are lost or about to be, or nothing of an account works | 503 | 503 | 1 | CRITICAL | page |
//!
//! Each [`super::ReasonKind`] has one status, and so has each state of a channel.

use serde::{Deserialize, Serialize};

use crate::reconcile::report::ChannelState;

/// How bad something is: a row of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing is wrong.
    Ok,
    /// Something is wrong, and no event is lost by it yet.
    Degraded,
    /// Events are lost or about to be, or nothing of an account works.
    Failing,
}

/// The grade that a monitoring plugin ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Grade {
    /// Everything is covered, and nothing is wrong.
    Ok,
    /// It can wait for the morning.
    Warning,
    /// It cannot be said.
    Unknown,
    /// Somebody has to come.
    Critical,
}

/// The meaning of a status to each of those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Severity {
    /// The status as a word.
    pub word: &'static str,
    /// The HTTP code of `/healthz`.
    pub http: u16,
    /// The HTTP code of `/healthz?strict`.
    pub http_strict: u16,
    /// True when `status` exits with 0.
    pub exits_well: bool,
    /// The grade of `probe`.
    pub grade: Grade,
    /// The severity of an alert rule.
    pub alert: &'static str,
}

impl Status {
    /// Every status, the best first.
    pub const ALL: [Status; 3] = [Status::Ok, Status::Degraded, Status::Failing];

    /// Its row of the table.
    pub const fn severity(self) -> Severity {
        match self {
            Status::Ok => Severity {
                word: "ok",
                http: 200,
                http_strict: 200,
                exits_well: true,
                grade: Grade::Ok,
                alert: "none",
            },
            Status::Degraded => Severity {
                word: "degraded",
                http: 200,
                http_strict: 503,
                exits_well: true,
                grade: Grade::Warning,
                alert: "ticket",
            },
            Status::Failing => Severity {
                word: "failing",
                http: 503,
                http_strict: 503,
                exits_well: false,
                grade: Grade::Critical,
                alert: "page",
            },
        }
    }

    /// One word: `ok`, `degraded`, `failing`.
    pub const fn word(self) -> &'static str {
        self.severity().word
    }

    /// How bad the state of a channel is.
    pub const fn of_channel(state: ChannelState) -> Status {
        match state {
            ChannelState::Covered => Status::Ok,
            ChannelState::Unverified | ChannelState::Drifted => Status::Degraded,
            ChannelState::Uncovered => Status::Failing,
        }
    }
}
