//! The causes that hold a channel back, and the words for them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::events::Events;
use crate::model::policy::Mode;

use super::drift::Drift;

/// The cause that holds a channel back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The look failed, so nothing is known of it.
    Unknown(String),
    /// Zoho has this id with another notify_url, and we have no record of it: somebody else's,
    /// until `adopt`.
    Conflict {
        /// The URLs that its deliveries go to, without queries.
        seen: String,
    },
    /// Zoho refused it, and it has not changed since.
    Rejected {
        /// Zoho's code.
        code: String,
        /// Zoho's message and details.
        message: String,
        /// The place in the request, if Zoho said so.
        json_path: Option<String>,
        /// The place in the config of what Zoho names.
        declared: Option<String>,
    },
    /// Zoho refuses it because of some of its events, and the others go on without these.
    PartlyRefused {
        /// The events that are left out.
        events: Events,
        /// Zoho's code.
        code: String,
        /// Zoho's message and details.
        message: String,
        /// Where the config has these events.
        declared: Option<String>,
    },
    /// The same drift came back after this many accepted writes.
    Contested {
        /// How many.
        writes: u32,
        /// The fields that differ.
        drift: Vec<Drift>,
    },
    /// The account is in trouble, and the step can wait.
    BackOff {
        /// The step, as `enable (renew)`.
        step: String,
        /// The trouble.
        trouble: String,
    },
    /// Credits are low, and the step can wait.
    Credits {
        /// The step, as `update (drift)`.
        step: String,
        /// The number of credits left.
        remaining: u64,
        /// The number of credits kept for renewals.
        reserve: u64,
    },
    /// Too many channels would be disabled in one go, or all of them.
    RemovalGuard {
        /// How many.
        removals: usize,
        /// The number of channels that they are among.
        channels: usize,
        /// True when this channel goes on being renewed until then.
        is_renewed: bool,
    },
    /// It has something that no declaration can express: it is kept alive, and not rewritten
    /// unasked.
    Opaque {
        /// A sentence about it.
        why: Cow<'static, str>,
    },
    /// None of the account's running channels is there any more, and another org may have answered.
    Vanished {
        /// How many.
        channels: usize,
        /// True when another org is known to have answered, and not only other credentials.
        is_other_org: bool,
    },
    /// The mode does not allow it.
    Mode {
        /// The mode.
        mode: Mode,
        /// The step, as `disable (retired)`.
        step: String,
    },
    /// Its spec was taken out of the config and the policy is to let it expire.
    LeftToExpire,
    /// The engine that machines share does not answer, so that nobody says whose the account is.
    NoEngine {
        /// The step that waits, as `enable (renew)`.
        step: String,
        /// True when it is the renewal of a channel in its emergency.
        is_emergency: bool,
    },
    /// The operator paused it, or its account.
    Paused {
        /// The step that waits, as `enable (renew)`, if one does.
        step: Option<String>,
    },
}

/// A cause without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the cause of the same name")]
pub enum CauseKind {
    Unknown,
    Conflict,
    Rejected,
    PartlyRefused,
    Contested,
    Opaque,
    BackOff,
    Credits,
    RemovalGuard,
    Vanished,
    Mode,
    LeftToExpire,
    NoEngine,
    Paused,
}

impl CauseKind {
    /// Every kind.
    pub const ALL: [CauseKind; 14] = [
        CauseKind::Unknown,
        CauseKind::Conflict,
        CauseKind::Rejected,
        CauseKind::PartlyRefused,
        CauseKind::Contested,
        CauseKind::Opaque,
        CauseKind::BackOff,
        CauseKind::Credits,
        CauseKind::RemovalGuard,
        CauseKind::Vanished,
        CauseKind::Mode,
        CauseKind::LeftToExpire,
        CauseKind::NoEngine,
        CauseKind::Paused,
    ];

    /// True when only an operator's word ends it: work is left, and no pass will do it.
    pub const fn awaits_a_word(self) -> bool {
        matches!(self, CauseKind::RemovalGuard | CauseKind::Vanished)
    }

    /// False when it keeps a channel from being renewed, for as long as it lasts.
    pub const fn lets_renew(self) -> bool {
        match self {
            CauseKind::Unknown
            | CauseKind::PartlyRefused
            | CauseKind::Contested
            | CauseKind::Opaque
            | CauseKind::BackOff
            | CauseKind::Credits
            | CauseKind::RemovalGuard => true,
            CauseKind::Conflict
            | CauseKind::Rejected
            | CauseKind::Vanished
            | CauseKind::Mode
            | CauseKind::LeftToExpire
            | CauseKind::NoEngine
            | CauseKind::Paused => false,
        }
    }

    /// One word, for logs and as a label.
    pub const fn word(self) -> &'static str {
        match self {
            CauseKind::Unknown => "unknown",
            CauseKind::Conflict => "conflict",
            CauseKind::Rejected => "rejected",
            CauseKind::PartlyRefused => "part-refused",
            CauseKind::Contested => "contested",
            CauseKind::Opaque => "opaque",
            CauseKind::BackOff => "back-off",
            CauseKind::Credits => "credits",
            CauseKind::RemovalGuard => "removal-guard",
            CauseKind::Vanished => "vanished",
            CauseKind::Mode => "mode",
            CauseKind::LeftToExpire => "left-to-expire",
            CauseKind::NoEngine => "no-engine",
            CauseKind::Paused => "paused",
        }
    }
}

impl Cause {
    /// Without its particulars.
    pub const fn kind(&self) -> CauseKind {
        match self {
            Cause::Unknown(_) => CauseKind::Unknown,
            Cause::Conflict { .. } => CauseKind::Conflict,
            Cause::Rejected { .. } => CauseKind::Rejected,
            Cause::PartlyRefused { .. } => CauseKind::PartlyRefused,
            Cause::Contested { .. } => CauseKind::Contested,
            Cause::Opaque { .. } => CauseKind::Opaque,
            Cause::BackOff { .. } => CauseKind::BackOff,
            Cause::Credits { .. } => CauseKind::Credits,
            Cause::RemovalGuard { .. } => CauseKind::RemovalGuard,
            Cause::Vanished { .. } => CauseKind::Vanished,
            Cause::Mode { .. } => CauseKind::Mode,
            Cause::LeftToExpire => CauseKind::LeftToExpire,
            Cause::NoEngine { .. } => CauseKind::NoEngine,
            Cause::Paused { .. } => CauseKind::Paused,
        }
    }

    /// One word, for logs and as a label.
    pub const fn word(&self) -> &'static str {
        self.kind().word()
    }

    /// A sentence that says what to do where there is something to do.
    pub fn detail(&self) -> String {
        match self {
            Cause::Unknown(why) => format!("the look at Zoho failed: {why}"),
            Cause::Conflict { seen } => format!(
                "Zoho has a channel with this id that delivers to {seen}, and it is not known as \
                 ours; `channelkeeper adopt` makes it ours, another `id` in the config leaves it \
                 alone"
            ),
            Cause::Rejected { code, message, json_path, declared } => {
                let refused = refused(code, json_path.as_deref(), message);
                format!("Zoho refused it with {refused}{}", standing(declared.as_deref()))
            }
            Cause::PartlyRefused { events, code, message, declared } => format!(
                "Zoho refuses it with {code}: {message}; the daemon goes on without {events}{}, \
                 and tries again",
                declared.as_ref().map(|place| format!(" ({place})")).unwrap_or_default()
            ),
            Cause::Contested { writes, drift } => {
                format!(
                    "came back after {writes} accepted repairs, so somebody else edits it, or Zoho \
                     stores it differently: {}",
                    lines(drift)
                )
            }
            Cause::BackOff { step, trouble } => format!("{step} waits: {trouble}"),
            Cause::Credits { step, remaining, reserve } => {
                format!(
                    "{step} waits: {remaining} API credits are left, and {reserve} are kept for \
                     renewals"
                )
            }
            Cause::RemovalGuard { removals, channels, is_renewed } => {
                let meanwhile = if *is_renewed {
                    "renewed until then"
                } else {
                    "not renewed: how it was declared is not known"
                };
                format!(
                    "disabling {removals} of {channels} channels in one go has to be allowed: \
                     `channelkeeper apply --allow-removals` ({meanwhile})"
                )
            }
            Cause::Opaque { why } => format!(
                "{why}, and somebody else gave it that; it is kept alive by PATCH, which leaves \
                 that as it is; `channelkeeper adopt` lets it be rewritten as declared"
            ),
            Cause::Vanished { channels, is_other_org } => {
                let why = if *is_other_org {
                    "another org answers: its modules have other ids"
                } else {
                    "the credentials are others, so that another org may answer"
                };
                format!(
                    "none of the {channels} running channels is there any more, and {why}; put the \
                     right credentials back, or enable them here: `channelkeeper apply \
                     --accept-vanished`"
                )
            }
            Cause::Mode { mode, step } => format!("{step} is not allowed by mode {mode}"),
            Cause::NoEngine { step, is_emergency: _ } => format!(
                "{step} waits: the engine does not answer, so another machine may serve the account"
            ),
            Cause::Paused { step: Some(step) } => {
                format!("{step} waits: it is paused; `channelkeeper resume` ends that")
            }
            Cause::Paused { step: None } => {
                "it is paused; `channelkeeper resume` ends that".to_owned()
            }
            Cause::LeftToExpire => {
                "not declared any more; left to expire (removed = \"expire\")".to_owned()
            }
        }
    }
}

/// A refusal in words. The path is of a request that nobody sees: it is told only where the message
/// does not name what stands there.
pub fn refused(code: &str, json_path: Option<&str>, message: &str) -> String {
    let is_named = ["the event ", "the key "].iter().any(|named| message.starts_with(named));
    match json_path.filter(|_| !is_named) {
        Some(path) => format!("{code} at {path}: {message}"),
        None => format!("{code}: {message}"),
    }
}

/// `; it stands at config.toml:13`, for what follows a refusal.
pub fn standing(declared: Option<&str>) -> String {
    declared.map(|place| format!("; it stands at {place}")).unwrap_or_default()
}

fn lines(drift: &[Drift]) -> String {
    drift.iter().map(ToString::to_string).collect::<Vec<String>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once_in_its_order() {
        let places: Vec<usize> = CauseKind::ALL.iter().map(|kind| *kind as usize).collect();
        assert_eq!(places, (0..=CauseKind::Paused as usize).collect::<Vec<usize>>());
    }
}
