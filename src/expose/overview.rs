//! The overview: the daemon's knowledge of itself and of its accounts at one moment, and the one
//! input of everything shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backfill::Standing;
use crate::model::channel::AccountName;
use crate::model::cluster::WithoutEngine;
use crate::model::latency::Latencies;
use crate::model::time::Timestamp;
use crate::reconcile::outcome::Outcome;
use crate::reconcile::report::AccountReport;

use super::audit::Ticks;
use super::health::ReasonKind;

/// A snapshot. The scheduler publishes a new one after each pass and each reload.
#[derive(Clone, Debug)]
pub struct Overview {
    /// When the daemon started.
    pub started_at: Timestamp,
    /// Every declared account; `None` until its first pass has ended.
    pub accounts: BTreeMap<AccountName, Option<Arc<AccountReport>>>,
    /// The totals of the passes of this process, by account.
    pub tallies: BTreeMap<AccountName, Tally>,
    /// Declared accounts that cannot be worked on, and why: their secrets could not be restored.
    /// Those that another machine serves are [`ClusterState::unfit`].
    pub unusable: BTreeMap<AccountName, String>,
    /// How the recoveries of each account stand, if it has any or may have.
    pub recoveries: BTreeMap<AccountName, Standing>,
    /// Accounts that are no longer declared, with the number of their channels that are still
    /// remembered. These channels expire, since there are no credentials to disable them with.
    pub orphans: BTreeMap<AccountName, usize>,
    /// How many declared accounts another machine holds, or nobody yet.
    pub elsewhere: usize,
    /// The word of other machines about those accounts, and about themselves.
    pub others: Arc<Others>,
    /// The machines that share the accounts; `None` where this one is alone.
    pub cluster: Option<ClusterState>,
    /// The state of the config.
    pub config: ConfigState,
    /// When all accounts are looked at: a cron expression.
    pub audit: String,
    /// The consequence and the cause of a store that fails, while it does.
    pub store_failed: Option<String>,
    /// Where a database that could not be used was moved to at the start, and why.
    pub store_moved_aside: Option<String>,
    /// The reason why the status file is not written, while it is not.
    pub status_file_failed: Option<String>,
    /// The reason why hooks are not told of everything, while they are not.
    pub hooks_failed: Option<String>,
    /// The last jump of the wall clock: when it was noticed, and by how many milliseconds it went
    /// ahead (negative: back).
    pub clock_jump: Option<(Timestamp, i64)>,
    /// Log lines that stderr did not get, if there were any.
    pub log_lost: Option<LogLost>,
    /// True when the daemon is stopping.
    pub stopping: bool,
}

/// The word of other machines.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// Every declared account that is not held here; `None` while nothing was told of it.
    pub accounts: BTreeMap<AccountName, Option<OtherAccount>>,
    /// Each machine that has troubles of its own, by the name of its process.
    pub troubles: BTreeMap<String, MachineTroubles>,
}

/// An account that another machine serves.
#[derive(Clone, Debug)]
pub struct OtherAccount {
    /// The machine that told of it.
    pub machine: String,
    /// Its word.
    pub report: Arc<AccountReport>,
    /// How its recoveries stand.
    pub recoveries: Option<Standing>,
}

/// The troubles of a machine that are no account's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineTroubles {
    /// Its name.
    pub node: String,
    /// The most serious ones, a line each.
    pub lines: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// The machines that share the accounts, as they look from this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// The cluster's name.
    pub name: String,
    /// This machine's name.
    pub node: String,
    /// True when this machine may be given accounts and may write.
    pub is_active: bool,
    /// True when it tells for all of them what concerns all.
    pub leads: bool,
    /// True when it is, or comes to be or goes as it should.
    pub is_well: bool,
    /// How this machine stands, in a few words.
    pub standing: &'static str,
    /// This machine's conduct once the engine has been away for long.
    pub without_engine: WithoutEngine,
    /// Since when a channel here has been in its emergency, or was, while the engine does not
    /// answer.
    pub emergency: Option<Timestamp>,
    /// True when the last answered beat is older than it should be.
    pub is_slow: bool,
    /// How the engine did when it was asked last.
    pub engine: Option<Arc<EngineRoom>>,
    /// When the engine's data last turned out to be older than what was seen of them, or others.
    pub restored_at: Option<Timestamp>,
    /// Since when the engine does not answer, and its last words.
    pub unreachable: Option<(Timestamp, String)>,
    /// All machines that are there, by the name of their process.
    pub members: BTreeMap<String, ClusterMember>,
    /// Accounts that no living machine serves, and since when.
    pub unowned: BTreeMap<AccountName, Timestamp>,
    /// Accounts that this machine cannot work on, and another one serves.
    pub unfit: BTreeMap<AccountName, Unfit>,
}

/// An account that a machine cannot work on, and another one serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The reason why this machine cannot.
    pub why: String,
    /// The machine that serves it.
    pub by: String,
}

impl ClusterState {
    /// How a machine stands that is no member yet.
    pub const JOINING: &str = "is joining";

    /// One of which nothing is known yet.
    pub fn joining() -> ClusterState {
        let standing = ClusterState::JOINING;
        ClusterState { is_well: true, standing, ..ClusterState::default() }
    }
}

/// How the engine does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineRoom {
    /// Its kind and release.
    pub version: String,
    /// Which of its machines answers, where it has several.
    pub endpoint: Option<String>,
    /// The size of its database.
    pub bytes: u64,
    /// The most that it may take, where it says so.
    pub quota: Option<u64>,
    /// The troubles with its room, the worst first.
    pub troubles: Vec<EngineTrouble>,
}

/// Something that is amiss with the engine's room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineTrouble {
    /// True when writes fail, or are about to.
    pub is_failing: bool,
    /// The trouble, and the remedy.
    pub why: String,
}

/// One machine in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMember {
    /// Its release.
    pub version: String,
    /// True when it gives everything away.
    pub is_draining: bool,
    /// True when somebody put it out: it is given nothing.
    pub is_out: bool,
    /// How many accounts it serves.
    pub accounts: usize,
}

/// Log lines that stderr did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLost {
    /// When the last of them was noticed.
    pub at: Timestamp,
    /// How many since the start.
    pub lines: u64,
    /// True when stderr takes nothing at all.
    pub is_broken: bool,
}

impl Overview {
    /// The overview of a daemon that starts: nothing has been looked at.
    pub fn starting(started_at: Timestamp, config: ConfigState) -> Overview {
        Overview {
            started_at,
            accounts: BTreeMap::new(),
            tallies: BTreeMap::new(),
            unusable: BTreeMap::new(),
            recoveries: BTreeMap::new(),
            orphans: BTreeMap::new(),
            elsewhere: 0,
            others: Arc::default(),
            cluster: None,
            config,
            audit: String::new(),
            store_failed: None,
            store_moved_aside: None,
            status_file_failed: None,
            hooks_failed: None,
            clock_jump: None,
            log_lost: None,
            stopping: false,
        }
    }

    /// True when this daemon tells of what concerns an account, or none. Where machines share the
    /// accounts, one tells of all of them and of what each machine sees alike, and each tells of
    /// itself. While the engine does not answer, each tells of the accounts that it served.
    pub fn tells_of(&self, kind: ReasonKind, account: Option<&AccountName>) -> bool {
        let Some(cluster) = &self.cluster else { return true };
        match account {
            Some(name) if !cluster.is_active => self.accounts.contains_key(name),
            Some(_) => cluster.leads,
            None => cluster.leads || !kind.is_of_all_machines(),
        }
    }

    /// Every account that can be worked on, by whichever machine, with what its last pass said.
    pub fn everywhere(&self) -> impl Iterator<Item = (&AccountName, Option<&AccountReport>)> {
        let here = self.accounts.iter().map(|(name, report)| (name, report.as_deref()));
        let there = self.others.accounts.iter();
        let there = there.filter(|(name, _)| !self.accounts.contains_key(*name));
        let there = there.map(|(name, told)| (name, told.as_ref().map(|told| &*told.report)));
        here.chain(there).filter(|(name, _)| !self.unusable.contains_key(*name))
    }

    /// The names of all declared accounts, whoever serves them.
    pub fn names(&self) -> BTreeSet<&AccountName> {
        let here = self.accounts.keys().chain(self.unusable.keys());
        here.chain(self.others.accounts.keys()).collect()
    }

    /// The last report about an account, of whichever machine.
    pub fn report(&self, name: &AccountName) -> Option<&AccountReport> {
        match self.accounts.get(name) {
            Some(report) => report.as_deref(),
            None => Some(&*self.others.accounts.get(name)?.as_ref()?.report),
        }
    }

    /// How the recoveries of an account stand, whichever machine serves it.
    pub fn standing(&self, name: &AccountName) -> Option<&Standing> {
        let there = || self.others.accounts.get(name)?.as_ref()?.recoveries.as_ref();
        self.recoveries.get(name).or_else(there)
    }

    /// The other machine that serves an account, as far as it has told of it.
    pub fn machine(&self, name: &AccountName) -> Option<&str> {
        let other = || Some(self.others.accounts.get(name)?.as_ref()?.machine.as_str());
        if self.accounts.contains_key(name) { None } else { other() }
    }

    /// The same without the word of other machines.
    pub fn of_this_machine(&self) -> Overview {
        Overview { others: Arc::default(), ..self.clone() }
    }

    /// When all accounts are looked at next.
    pub fn next_audit(&self, now: Timestamp) -> Option<Timestamp> {
        Ticks::new(&self.audit).ok()?.next_after(now)
    }
}

impl Overview {
    /// How many gaps of declared channels nobody has acknowledged.
    pub fn unacknowledged_gaps(&self) -> usize {
        let reports = self.everywhere().filter_map(|(_, report)| report);
        reports.flat_map(|report| report.channels.values()).map(|channel| channel.gaps).sum()
    }
}

/// The passes of one account in this process, added up: what only grows, for the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passes.
    pub passes: u64,
    /// The passes that saw the account and did everything that they tried.
    pub successes: u64,
    /// When the last of those began.
    pub succeeded_at: Option<Timestamp>,
    /// Steps by action and reason.
    pub steps: BTreeMap<(&'static str, &'static str), Steps>,
}

/// Steps of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Tried: done, refused, or in doubt.
    pub attempts: u64,
    /// Done.
    pub successes: u64,
}

impl Tally {
    /// Takes in one pass.
    pub fn add(&mut self, report: &AccountReport) {
        self.passes += 1;
        if report.succeeded() {
            self.successes += 1;
            self.succeeded_at = Some(report.at);
        }
        for (step, outcome) in &report.outcomes {
            let (tried, done) = match outcome {
                Outcome::Done(_) => (1, 1),
                Outcome::Refused(_) | Outcome::Unsure(_) => (1, 0),
                Outcome::Deferred(_) => continue,
            };
            let steps = self.steps.entry((step.action.word(), step.reason.word())).or_default();
            steps.attempts += tried;
            steps.successes += done;
        }
    }
}

/// The state of the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigState {
    /// The file it is read from.
    pub file: String,
    /// When the desired state in force was read from it; `None` while it comes from the store.
    pub loaded_at: Option<Timestamp>,
    /// The first 16 hexadecimal digits of the SHA-256 of that file and all it includes, in that
    /// order; `None` while the desired state comes from the store.
    pub hash: Option<String>,
    /// The faults of the file as it was last read, one line each with file, line and remedy. While
    /// there is anything, the last good desired state is in force.
    pub problems: Vec<String>,
    /// The warnings about the file.
    pub warnings: Vec<String>,
    /// Channels in force whose renewal could not fail twice.
    pub thin: Vec<String>,
}

/// The measurements taken beside the passes. It is kept in memory only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// How long calls to Zoho took.
    pub latencies: Latencies,
    /// The messages that `[alerts]` sent.
    pub messages: BTreeMap<Receiver, Sent>,
    /// The runs of hooks.
    pub hooks: HookRuns,
    /// Log lines that stderr did not get.
    pub log_lines_lost: u64,
}

/// The runs of hooks, and the events that were dropped before they came to one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookRuns {
    /// By way and result; a way has all results from its first run on.
    pub runs: BTreeMap<(HookWay, HookResult), u64>,
    /// By way.
    pub dropped: BTreeMap<HookWay, u64>,
}

impl HookRuns {
    /// Counts a run.
    pub fn ran(&mut self, way: HookWay, result: HookResult) {
        for each in HookResult::ALL {
            *self.runs.entry((way, each)).or_default() += u64::from(each == result);
        }
        self.dropped.entry(way).or_default();
    }

    /// Counts an event that was dropped.
    pub fn dropped(&mut self, way: HookWay) {
        *self.dropped.entry(way).or_default() += 1;
    }
}

/// A way to tell an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookWay {
    /// The command.
    Command,
    /// The URL.
    Webhook,
}

impl HookWay {
    /// One word, for logs and as a label.
    pub const fn word(self) -> &'static str {
        match self {
            HookWay::Command => "command",
            HookWay::Webhook => "webhook",
        }
    }
}

/// The result of telling an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookResult {
    /// It was taken.
    Done,
    /// The hook said that it failed.
    Failed,
    /// The hook took too long and was ended.
    TimedOut,
    /// There is no such program, or it may not be run.
    Absent,
}

impl HookResult {
    /// All of them.
    pub const ALL: [HookResult; 4] =
        [HookResult::Done, HookResult::Failed, HookResult::TimedOut, HookResult::Absent];

    /// One word, for logs and as a label.
    pub const fn word(self) -> &'static str {
        match self {
            HookResult::Done => "done",
            HookResult::Failed => "failed",
            HookResult::TimedOut => "timed-out",
            HookResult::Absent => "absent",
        }
    }
}

/// Who is told by `[alerts]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Receiver {
    /// The webhook.
    Webhook,
    /// The dead-man's switch.
    Heartbeat,
}

impl Receiver {
    /// One word, for logs and as a label.
    pub const fn word(self) -> &'static str {
        match self {
            Receiver::Webhook => "webhook",
            Receiver::Heartbeat => "heartbeat",
        }
    }
}

/// The messages that one receiver was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Requests that were answered with 2xx.
    pub delivered: u64,
    /// The others.
    pub failed: u64,
    /// When the last was delivered.
    pub delivered_at: Option<Timestamp>,
    /// True when the last attempt failed.
    pub is_failing: bool,
}

impl Sent {
    /// Takes in one attempt.
    pub fn add(&mut self, delivered: bool, now: Timestamp) {
        self.is_failing = !delivered;
        if delivered {
            self.delivered += 1;
            self.delivered_at = Some(now);
        } else {
            self.failed += 1;
        }
    }
}

/// How long ago the scheduler's loop last turned, by the monotonic clock. It turns at least every
/// [`LOOK_AT_CLOCK`](crate::clock::LOOK_AT_CLOCK).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopAge(pub Duration);

impl LoopAge {
    /// There is no loop: nobody runs a daemon.
    pub const NO_LOOP: LoopAge = LoopAge(Duration::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expose::testing::{id, now, report};
    use crate::plan::step::{Action, Reason, Step};

    #[test]
    fn a_pass_is_a_success_only_when_it_saw_the_account_and_did_all_that_it_tried() {
        let well = || report("acme", 1..=2);
        let step = Step {
            id: id(1),
            name: "c1".parse().unwrap(),
            action: Action::Disable,
            reason: Reason::Retired,
            expiry: None,
        };
        let tried = |outcome| AccountReport { outcomes: vec![(step.clone(), outcome)], ..well() };
        let why = || Some("HTTP 503".to_owned());
        let rows = [
            (well(), 1),
            (tried(Outcome::Done(None)), 1),
            (tried(Outcome::Unsure("HTTP 503".to_owned())), 0),
            (tried(Outcome::Deferred("HTTP 503".to_owned())), 0),
            (AccountReport { look_failed: why(), ..well() }, 0),
            (AccountReport { writes_failed: why(), ..well() }, 0),
            (AccountReport { look_failed: why(), writes_failed: why(), ..well() }, 0),
        ];
        for (report, successes) in rows {
            let mut tally = Tally::default();
            tally.add(&report);
            let succeeded_at = (successes > 0).then(now);
            let found = (tally.passes, tally.successes, tally.succeeded_at);
            assert_eq!(found, (1, successes, succeeded_at), "{report:?}");
        }
    }
}
