//! The kinds of reasons, in the order of their seriousness.

use super::Status;

/// The kinds of reasons, the most serious first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The scheduler's loop does not turn.
    NotLive,
    /// The store failed: channels are held from memory while they can be, and a restart loses what
    /// was not written.
    StoreFailed,
    /// An account's trouble that only a person can mend: credentials, scopes.
    NeedsAPerson,
    /// An account that cannot be worked on.
    Unusable,
    /// An account that declares channels and of which none is covered now.
    NothingCovered,
    /// An account whose first pass does not end.
    FirstPassOverdue,
    /// A channel is not covered.
    Uncovered,
    /// Channels are covered, and what they deliver is refused where it goes.
    Undeliverable,
    /// A channel should have been renewed long ago and has little life left.
    Emergency,
    /// Zoho refused a channel.
    Rejected,
    /// A channel's id is taken by somebody else.
    Conflict,
    /// A channel's repairs do not last.
    Contested,
    /// A channel is not as declared.
    Drifted,
    /// Channels are not disabled because they are too many.
    RemovalGuard,
    /// The last look failed; what was granted is unverified.
    LookFailed,
    /// The last writes failed.
    WritesFailed,
    /// The operator paused channels: they are not renewed.
    Paused,
    /// An account's next pass is long due.
    PassOverdue,
    /// The config cannot be used; the last good one is in force.
    Config,
    /// The status file cannot be written: a check on another host will take the daemon to be gone.
    StatusFile,
    /// Log lines are lost, because stderr is broken or its reader is too slow.
    LogLost,
    /// Zoho gave far less life than was asked for.
    ShortGrant,
    /// An account was found to be smaller than the config says.
    Limits,
    /// Few API credits are left: only what cannot wait is done.
    Credits,
    /// One channel could not be looked at.
    Unknown,
    /// A step waits because its account is in trouble.
    BackOff,
    /// Channels of an account that is declared no longer are left to expire.
    Orphans,
    /// The database could not be used and was moved aside.
    StoreMovedAside,
    /// The wall clock jumped.
    ClockJump,
    /// Zoho's clock and ours differ.
    Skew,
    /// An account waits for its first pass.
    FirstPass,
    /// No channel is declared at all.
    NothingDeclared,
}

impl Kind {
    /// How serious it is.
    pub fn status(self) -> Status {
        if self <= Kind::FirstPassOverdue { Status::Failing } else { Status::Degraded }
    }

    /// Whether it is worth a message. What passes by itself within minutes, or goes with another
    /// reason, is not.
    pub const fn is_told(self) -> bool {
        !matches!(self, Kind::FirstPass | Kind::BackOff | Kind::ClockJump | Kind::Orphans)
    }

    /// What a person should do about it, as part of a sentence.
    pub const fn remedy(self) -> &'static str {
        match self {
            Kind::NotLive => "restart the daemon, and keep its log",
            Kind::StoreFailed => "make room on its disk, or make it writable",
            Kind::NeedsAPerson => "check the account's client, refresh token and scopes",
            Kind::Unusable => "mend the config, or make the account's secrets readable",
            Kind::NothingCovered | Kind::Uncovered => {
                "see the other reasons; what was missed is listed by `channelkeeper gaps`"
            }
            Kind::Undeliverable => {
                "see why the receiver refuses what is posted to it; what was missed is listed by `channelkeeper gaps`"
            }
            Kind::FirstPassOverdue => "look at the log, and whether Zoho can be reached from here",
            Kind::Emergency => {
                "see why it was not renewed: the other reasons, or `channelkeeper plan`"
            }
            Kind::Rejected => "change the channel as Zoho asks",
            Kind::Conflict => "choose another id, or `channelkeeper adopt` it",
            Kind::Contested => "find out who else changes this channel at Zoho",
            Kind::Drifted => {
                "nothing, if it is mended by the next pass; else `channelkeeper plan` says why not"
            }
            Kind::RemovalGuard => "`channelkeeper apply --allow-removals`, if they are to go",
            Kind::LookFailed | Kind::WritesFailed => {
                "nothing, if Zoho is down; else look at the reason"
            }
            Kind::Paused => "`channelkeeper resume`, once whatever it is paused for is over",
            Kind::PassOverdue => "look at the log; restart the daemon if it does not go on",
            Kind::Config => "`channelkeeper check` shows the place",
            Kind::StatusFile => "make room in its directory, or let the daemon's user write there",
            Kind::LogLost => {
                "see who reads the daemon's stderr, or log less; nothing else depends on it"
            }
            Kind::ShortGrant | Kind::Limits => {
                "set lifetime or lifetime_max to what the account grants"
            }
            Kind::Credits => "find out what uses the API credits; audit less often, or add credits",
            Kind::Unknown => "nothing, if the next look succeeds",
            Kind::BackOff => "nothing: it is tried again by itself",
            Kind::Orphans => "nothing, if the account was taken out on purpose",
            Kind::StoreMovedAside => {
                "keep or delete the database that was moved aside, and restart"
            }
            Kind::ClockJump | Kind::Skew => "look after the clock of this machine",
            Kind::FirstPass => "wait",
            Kind::NothingDeclared => "declare channels",
        }
    }

    /// One word, for programs.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::NotLive => "not-live",
            Kind::StoreFailed => "store-failed",
            Kind::NeedsAPerson => "needs-a-person",
            Kind::Unusable => "unusable",
            Kind::NothingCovered => "nothing-covered",
            Kind::FirstPassOverdue => "first-pass-overdue",
            Kind::Uncovered => "uncovered",
            Kind::Undeliverable => "undeliverable",
            Kind::Emergency => "emergency",
            Kind::Rejected => "rejected",
            Kind::Conflict => "conflict",
            Kind::Contested => "contested",
            Kind::Drifted => "drifted",
            Kind::RemovalGuard => "removal-guard",
            Kind::LookFailed => "look-failed",
            Kind::WritesFailed => "writes-failed",
            Kind::Paused => "paused",
            Kind::PassOverdue => "pass-overdue",
            Kind::Config => "config",
            Kind::StatusFile => "status-file",
            Kind::LogLost => "log-lost",
            Kind::ShortGrant => "short-grant",
            Kind::Limits => "limits",
            Kind::Credits => "credits",
            Kind::Unknown => "unknown",
            Kind::BackOff => "back-off",
            Kind::Orphans => "orphans",
            Kind::StoreMovedAside => "store-moved-aside",
            Kind::ClockJump => "clock-jump",
            Kind::Skew => "skew",
            Kind::FirstPass => "first-pass",
            Kind::NothingDeclared => "nothing-declared",
        }
    }
}
