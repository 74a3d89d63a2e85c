//! The log of a rehearsal: a timeline, and numbers by account. From the time before its first day,
//! it keeps only alarms.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::cli::narrate::Narrator;
use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, span};
use crate::plan::step::{Step, Urgency};
use crate::reconcile::outcome::Outcome;
use crate::reconcile::report::AccountReport;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) from: Voice,
    /// The account, where it is about one.
    pub(super) account: Option<String>,
    pub(super) text: String,
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Voice {
    /// The world's.
    World,
    /// Channelkeeper's.
    Channelkeeper,
    /// It is what the alert webhook is sent.
    Alarm,
}

/// The fate of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AccountTally {
    /// Calls by method, token requests as `token`, and calls for records as `read`.
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// How many of them failed.
    pub(super) failed: u64,
    pub(super) renewals: u64,
    /// The least life that was left at a renewal.
    pub(super) tightest: Option<Duration>,
}

/// All that is heard.
#[derive(Clone)]
pub(super) struct Log {
    begins: Timestamp,
    heard: Arc<Mutex<LogState>>,
}

#[derive(Default)]
struct LogState {
    narrator: Narrator,
    lines: Vec<Line>,
    /// The last line that was told about each account.
    told: BTreeMap<AccountName, String>,
    tallies: BTreeMap<String, AccountTally>,
}

impl Log {
    pub(super) fn new(begins: Timestamp) -> Log {
        Log { begins, heard: Arc::default() }
    }

    pub(super) fn world(&self, at: Timestamp, text: String) {
        self.line(Line { at, from: Voice::World, account: None, text });
    }

    pub(super) fn alarm(&self, at: Timestamp, text: String) {
        self.line(Line { at, from: Voice::Alarm, account: None, text });
    }

    /// A call was answered, or not.
    pub(super) fn call(&self, account: &str, kind: &'static str, is_good: bool, at: Timestamp) {
        self.tally(account, at, |tally| {
            *tally.calls.entry(kind).or_default() += 1;
            tally.failed += u64::from(!is_good);
        });
    }

    /// A pass ended.
    pub(super) fn report(&self, report: &AccountReport) {
        for text in
            self.with(|heard| heard.news(report)).into_iter().filter(|_| report.at >= self.begins)
        {
            let account = Some(report.account.to_string());
            self.line(Line { at: report.at, from: Voice::Channelkeeper, account, text });
        }
        for (step, _) in report.outcomes.iter().filter(|(step, outcome)| is_renewal(step, outcome))
        {
            let left = step.expiry.map(|expiry| span(report.zoho_time(report.at), expiry));
            self.tally(report.account.as_str(), report.at, |tally| {
                tally.renewals += 1;
                tally.tightest = tally.tightest.into_iter().chain(left).min();
            });
        }
    }

    /// The timeline, in order, and what became of an account each.
    pub(super) fn take(&self, accounts: &[AccountName]) -> (Vec<Line>, Vec<AccountTally>) {
        self.with(|heard| {
            let mut lines = std::mem::take(&mut heard.lines);
            lines.sort_by_key(|line| line.at);
            let tally =
                |account: &AccountName| heard.tallies.remove(account.as_str()).unwrap_or_default();
            (lines, accounts.iter().map(tally).collect())
        })
    }

    fn line(&self, line: Line) {
        self.with(|heard| heard.lines.push(line));
    }

    fn tally(&self, account: &str, at: Timestamp, count: impl FnOnce(&mut AccountTally)) {
        if at >= self.begins {
            self.with(|heard| count(heard.tallies.entry(account.to_owned()).or_default()));
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut LogState) -> T) -> T {
        act(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LogState {
    /// The lines to tell about a pass. A step that is tried again and again is told once.
    fn news(&mut self, report: &AccountReport) -> Vec<String> {
        let texts = self.narrator.hear(report, |step, outcome| !is_plain_renewal(step, outcome));
        let is_new = |text: &String| {
            self.told.insert(report.account.clone(), text.clone()).as_ref() != Some(text)
        };
        texts.into_iter().filter(is_new).collect()
    }
}

fn is_renewal(step: &Step, outcome: &Outcome) -> bool {
    step.reason.renews() && matches!(outcome, Outcome::Done(_))
}

/// One of the hundreds: it is counted, and has no line.
fn is_plain_renewal(step: &Step, outcome: &Outcome) -> bool {
    is_renewal(step, outcome) && step.reason.urgency() < Urgency::Emergency
}
