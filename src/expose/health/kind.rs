//! The kinds of reasons, in the order of their seriousness.
use super::Status;

/// The kinds of reasons, the most serious first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonKind {
    /// The scheduler's loop does not turn.
    NotLive,
    /// The store failed: channels are held from memory while they can be, and a restart loses what
    /// was not written.
    StoreFailed,
    /// An account's trouble that only a person can mend: credentials, scopes.
    NeedsAPerson,
    /// An account that cannot be worked on.
    Unusable,
    /// All running channels of an account are gone, and another org may answer.
    Vanished,
    /// An account that declares channels, none of which is covered.
    NothingCovered,
    /// An account whose first pass does not end.
    FirstPassOverdue,
    /// No machine of the cluster serves an account.
    Unserved,
    /// The engine has been away for so long that channels come into their emergency.
    NoEngine,
    /// The engine has no room for writes, or soon none.
    EngineFull,
    /// A channel is not covered: its events, or some of them, are being lost.
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
    /// This machine may write nothing, or the engine that it shares with others does not answer.
    Cluster,
    /// This machine cannot work on an account, which another one serves.
    Unfit,
    /// Another machine of the cluster has troubles of its own.
    Machine,
    /// The engine fills up.
    EngineFills,
    /// The operator paused channels: they are not renewed.
    Paused,
    /// An account's next pass is long due.
    PassOverdue,
    /// The config cannot be used; the last good one is in force.
    Config,
    /// A renewal of channels in force could not fail twice.
    Slack,
    /// The status file cannot be written: a check on another host will take the daemon to be gone.
    StatusFile,
    /// A hook failed, or was not told of everything.
    Hooks,
    /// Log lines are lost, because stderr is broken or its reader is too slow.
    LogLost,
    /// Missed events are not handed over until a person says how.
    Recovery,
    /// Zoho gave far less life than was asked for.
    ShortGrant,
    /// An account was found to be smaller than the config says.
    Limits,
    /// Few API credits are left: only steps that cannot wait are taken.
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

impl ReasonKind {
    /// All of them, the most serious first.
    const ALL: [ReasonKind; 43] = [
        ReasonKind::NotLive,
        ReasonKind::StoreFailed,
        ReasonKind::NeedsAPerson,
        ReasonKind::Unusable,
        ReasonKind::Vanished,
        ReasonKind::NothingCovered,
        ReasonKind::FirstPassOverdue,
        ReasonKind::Unserved,
        ReasonKind::NoEngine,
        ReasonKind::EngineFull,
        ReasonKind::Uncovered,
        ReasonKind::Undeliverable,
        ReasonKind::Emergency,
        ReasonKind::Rejected,
        ReasonKind::Conflict,
        ReasonKind::Contested,
        ReasonKind::Drifted,
        ReasonKind::RemovalGuard,
        ReasonKind::LookFailed,
        ReasonKind::WritesFailed,
        ReasonKind::Cluster,
        ReasonKind::Unfit,
        ReasonKind::Machine,
        ReasonKind::EngineFills,
        ReasonKind::Paused,
        ReasonKind::PassOverdue,
        ReasonKind::Config,
        ReasonKind::Slack,
        ReasonKind::StatusFile,
        ReasonKind::Hooks,
        ReasonKind::LogLost,
        ReasonKind::Recovery,
        ReasonKind::ShortGrant,
        ReasonKind::Limits,
        ReasonKind::Credits,
        ReasonKind::Unknown,
        ReasonKind::BackOff,
        ReasonKind::Orphans,
        ReasonKind::StoreMovedAside,
        ReasonKind::ClockJump,
        ReasonKind::Skew,
        ReasonKind::FirstPass,
        ReasonKind::NothingDeclared,
    ];

    /// The kind of this word.
    pub(in crate::expose) fn of_word(word: &str) -> Option<ReasonKind> {
        ReasonKind::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// How serious it is. The kinds down to [`ReasonKind::Emergency`] lose events, are about to, or
    /// stop an account.
    pub fn status(self) -> Status {
        if self <= ReasonKind::Emergency { Status::Failing } else { Status::Degraded }
    }

    /// True when it is worth a message. A reason that passes by itself within minutes, or that goes
    /// with another reason, is not.
    pub const fn is_told(self) -> bool {
        !matches!(
            self,
            ReasonKind::FirstPass
                | ReasonKind::BackOff
                | ReasonKind::ClockJump
                | ReasonKind::Orphans
                | ReasonKind::Machine
        )
    }

    /// True when each machine that shares the accounts sees the same.
    pub(in crate::expose) const fn is_of_all_machines(self) -> bool {
        matches!(self, ReasonKind::Unserved | ReasonKind::EngineFull | ReasonKind::EngineFills)
    }

    /// The remedy, as part of a sentence; `NAME` stands for the channel.
    pub(super) const fn remedy(self) -> &'static str {
        self.row().remedy
    }

    /// One word, for programs.
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    const fn row(self) -> KindTexts {
        match self {
            ReasonKind::NotLive => KindTexts {
                word: "not-live",
                means: "the scheduler's loop does not turn",
                remedy: "restart the daemon, which costs nothing, and keep its log",
            },
            ReasonKind::StoreFailed => KindTexts {
                word: "store-failed",
                means: "the database cannot be written: channels are held from memory as long as they can be",
                remedy: "make room on the disk of the state directory, or make it writable; restart the daemon if the failure stays",
            },
            ReasonKind::NeedsAPerson => KindTexts {
                word: "needs-a-person",
                means: "Zoho refuses an account's credentials or scope",
                remedy: "check the account's client, refresh token and scopes; `channelkeeper login` gets a new refresh token, which the daemon takes up within the hour, or at once with `channelkeeper reload`",
            },
            ReasonKind::Unusable => KindTexts {
                word: "unusable",
                means: "the daemon cannot work on an account, most often because a secret cannot be read",
                remedy: "mend the config, or make the account's secrets readable, and reload",
            },
            ReasonKind::Vanished => KindTexts {
                word: "vanished",
                means: "all running channels of an account are gone at once, and another org may answer: nothing is written",
                remedy: "put the credentials of the right org back; or, if the channels are to be enabled here, `channelkeeper apply --accept-vanished`",
            },
            ReasonKind::NothingCovered => KindTexts {
                word: "nothing-covered",
                means: "an account declares channels, and none of them is covered",
                remedy: "see the account's other reasons; `channelkeeper gaps` lists what was missed",
            },
            ReasonKind::FirstPassOverdue => KindTexts {
                word: "first-pass-overdue",
                means: "the first pass of an account does not end",
                remedy: "look at the log, and try to reach Zoho from this host",
            },
            ReasonKind::Unserved => KindTexts {
                word: "unserved",
                means: "several machines share the accounts, and none of them serves this one",
                remedy: "start a machine that has the account's secrets, or mend the engine; `channelkeeper status` on each machine says how it stands",
            },
            ReasonKind::NoEngine => KindTexts {
                word: "no-engine",
                means: "the engine that several machines share has been away for so long that channels came into the last eighth of their life: each machine renews those that it served, or lets them end where without_engine is \"stop\"",
                remedy: "bring the engine back: whatever else waits for it, and a channel whose machine dies meanwhile is renewed by nobody",
            },
            ReasonKind::EngineFull => KindTexts {
                word: "engine-full",
                means: "the engine that several machines share has an alarm, or has filled four fifths of its quota: once it is full, no machine may write",
                remedy: "compact its history, defragment it, disarm its alarm and let it compact by itself: `--auto-compaction-retention`",
            },
            ReasonKind::Uncovered => KindTexts {
                word: "uncovered",
                means: "a channel loses events: it is not enabled, or not as declared",
                remedy: "`channelkeeper explain NAME` says why; `channelkeeper gaps` lists what was missed",
            },
            ReasonKind::Undeliverable => KindTexts {
                word: "undeliverable",
                means: "a notify_url refused two canaries in a row: its channels are covered, and their deliveries are taken to be lost",
                remedy: "see why the receiver refuses deliveries; `channelkeeper gaps` lists what was missed",
            },
            ReasonKind::Emergency => KindTexts {
                word: "emergency",
                means: "a channel is in the last eighth of its life and was not renewed; the daemon tries every thirty seconds, or as often as API credits allow",
                remedy: "`channelkeeper explain NAME` says why it was not renewed",
            },
            ReasonKind::Rejected => KindTexts {
                word: "rejected",
                means: "Zoho refuses a channel, in the words shown",
                remedy: "change the channel as Zoho asks; the daemon tries at once when it changes, and slowly until then",
            },
            ReasonKind::Conflict => KindTexts {
                word: "conflict",
                means: "the channel's id exists at Zoho with another notify_url, and was never ours",
                remedy: "`channelkeeper adopt NAME` if it is yours; otherwise choose another name or id",
            },
            ReasonKind::Contested => KindTexts {
                word: "contested",
                means: "the same difference came back after three repairs",
                remedy: "find out who else changes this channel at Zoho: often an old script that still runs",
            },
            ReasonKind::Drifted => KindTexts {
                word: "drifted",
                means: "a channel is not as declared and loses no events by it",
                remedy: "nothing, if the next pass mends it; otherwise `channelkeeper plan` says why it does not",
            },
            ReasonKind::RemovalGuard => KindTexts {
                word: "removal-guard",
                means: "so many channels vanished from the config that disabling them waits; meanwhile they are renewed",
                remedy: "`channelkeeper plan`, then `channelkeeper apply --allow-removals` if they are to go",
            },
            ReasonKind::LookFailed => KindTexts {
                word: "look-failed",
                means: "the last list could not be read; earlier grants still hold",
                remedy: "nothing within the guaranteed time, if Zoho is down; otherwise look at the reason",
            },
            ReasonKind::WritesFailed => KindTexts {
                word: "writes-failed",
                means: "the last writes failed for a reason that is no channel's own",
                remedy: "nothing within the guaranteed time, if Zoho is down; otherwise look at the reason",
            },
            ReasonKind::Cluster => KindTexts {
                word: "cluster",
                means: "the engine that several machines share does not answer this one, or this one may write nothing; the others take its accounts over",
                remedy: "see if the engine runs and this machine reaches it: nothing lapses for hours, and the machine goes on by itself",
            },
            ReasonKind::Unfit => KindTexts {
                word: "unfit",
                means: "this machine cannot work on an account, most often because it lacks a secret; another machine serves the account",
                remedy: "make the account's secrets readable on this machine too, and reload: until then one machine less can take the account over",
            },
            ReasonKind::Machine => KindTexts {
                word: "machine",
                means: "another machine that shares the accounts has troubles of its own, which are no account's",
                remedy: "look at that machine: its `channelkeeper status` and its log say more",
            },
            ReasonKind::EngineFills => KindTexts {
                word: "engine-fills",
                means: "the engine that several machines share has filled three fifths of its quota, or grows as if its history were not compacted",
                remedy: "let it compact its history (`--auto-compaction-retention`), and defragment it; or raise its quota",
            },
            ReasonKind::Paused => KindTexts {
                word: "paused",
                means: "somebody paused channels: they are neither renewed nor repaired",
                remedy: "`channelkeeper resume`, once the work is over",
            },
            ReasonKind::PassOverdue => KindTexts {
                word: "pass-overdue",
                means: "an account's next pass is long due",
                remedy: "look at the log: the host may be overloaded, or Zoho may hang; restart the daemon if it does not go on",
            },
            ReasonKind::Config => KindTexts {
                word: "config",
                means: "the config cannot be used; the last good one is in force",
                remedy: "`channelkeeper check` shows the place; mend it and reload",
            },
            ReasonKind::Slack => KindTexts {
                word: "slack",
                means: "a renewal of channels in force could not fail twice, so that one bad minute is a gap",
                remedy: "give them a longer lifetime or renew_before, and reload",
            },
            ReasonKind::StatusFile => KindTexts {
                word: "status-file",
                means: "[daemon] status_file cannot be written, so its readers will take the daemon to be gone",
                remedy: "make room in its directory, or let the daemon's user write there; the daemon tries again every minute",
            },
            ReasonKind::Hooks => KindTexts {
                word: "hooks",
                means: "the last hook failed, or events came faster than hooks took them; channels are kept all the same",
                remedy: "`a hook failed` in the log says why; mend what [hooks] names. The note goes with the next event that is told",
            },
            ReasonKind::LogLost => KindTexts {
                word: "log-lost",
                means: "log lines are lost: stderr is broken, or its reader is too slow",
                remedy: "see who reads the daemon's stderr, or log less; nothing else depends on it",
            },
            ReasonKind::Recovery => KindTexts {
                word: "recovery",
                means: "missed events cannot be read, or are more than the config lets pass, so they wait for a person",
                remedy: "`channelkeeper backfill` says what waits and why; `release` and `abandon` behind it say what becomes of it, and `channelkeeper login` asks for a scope that is missing",
            },
            ReasonKind::ShortGrant => KindTexts {
                word: "short-grant",
                means: "Zoho gave far less life than was asked for",
                remedy: "nothing, unless it stays; then set lifetime or lifetime_max to what the account grants",
            },
            ReasonKind::Limits => KindTexts {
                word: "limits",
                means: "Zoho takes smaller batches or shorter lives than configured, and the daemon has learned it",
                remedy: "nothing; or set lifetime_max and batch_max to what the account takes",
            },
            ReasonKind::Credits => KindTexts {
                word: "credits",
                means: "few API credits are left: audits, and repairs that lose no events, wait",
                remedy: "find out what uses the API credits; audit less often, or add credits",
            },
            ReasonKind::Unknown => KindTexts {
                word: "unknown",
                means: "a channel could not be looked at by itself",
                remedy: "nothing, if the next look succeeds",
            },
            ReasonKind::BackOff => KindTexts {
                word: "back-off",
                means: "a step waits because its account is in trouble",
                remedy: "nothing: the daemon tries again by itself",
            },
            ReasonKind::Orphans => KindTexts {
                word: "orphans",
                means: "channels of an account that is no longer declared are left to expire",
                remedy: "nothing, if the account was taken out on purpose",
            },
            ReasonKind::StoreMovedAside => KindTexts {
                word: "store-moved-aside",
                means: "the database was corrupt: a new one was begun, and channels were taken over from Zoho",
                remedy: "look at the disk; keep or delete `db.corrupt-TIME`, and restart",
            },
            ReasonKind::ClockJump => KindTexts {
                word: "clock-jump",
                means: "the wall clock jumped",
                remedy: "look at this machine's time service",
            },
            ReasonKind::Skew => KindTexts {
                word: "skew",
                means: "this machine's clock differs from Zoho's; nothing lapses by it, because lives count from Zoho's clock",
                remedy: "look at this machine's time service",
            },
            ReasonKind::FirstPass => KindTexts {
                word: "first-pass",
                means: "an account waits for its first pass",
                remedy: "wait some seconds",
            },
            ReasonKind::NothingDeclared => KindTexts {
                word: "nothing-declared",
                means: "no channel is declared at all",
                remedy: "declare channels, or check which config file is in use",
            },
        }
    }
}

/// The texts of a kind. The table in `docs/operations.md` is written from them.
struct KindTexts {
    /// One word, for programs.
    word: &'static str,
    /// The meaning, as part of a sentence.
    #[cfg_attr(not(test), expect(dead_code, reason = "the documentation is written from it"))]
    means: &'static str,
    /// The next thing to do, as part of a sentence.
    remedy: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document with its table of reasons written from the code.
    fn documented(text: &str) -> String {
        let header = "| reason | means | do |\n| --- | --- | --- |\n";
        let (before, after) = text.split_once(header).expect("the table has its header");
        let rest = after.split_once("\n\n").expect("the table ends").1;
        let row = |kind: &ReasonKind| {
            let KindTexts { word, means, remedy } = kind.row();
            format!("| `{word}` | {}: {means} | {remedy} |\n", kind.status().word())
        };
        let rows: String = ReasonKind::ALL.iter().map(row).collect();
        format!("{before}{header}{rows}\n{rest}")
    }

    #[test]
    fn the_table_in_operations_is_written_from_the_reasons() {
        assert!(ReasonKind::ALL.is_sorted());
        let text = include_str!("../../../docs/operations.md");
        expect_test::expect_file!["../../../docs/operations.md"].assert_eq(&documented(text));
    }
}
