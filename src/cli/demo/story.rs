//! What channelkeeper does in the demo, in readable lines, from the reports of its passes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::model::time::{Timestamp, brief, span};
use crate::plan::drift::Drift;
use crate::plan::step::{Reason, Step};
use crate::reconcile::execute::Outcome;
use crate::reconcile::report::AccountReport;

use super::Stage;
use super::script::stamp;

/// Tells a story from reports.
pub(super) struct Story {
    begins: Timestamp,
    reports: mpsc::Receiver<Arc<AccountReport>>,
    waiting: VecDeque<String>,
    failing: BTreeMap<String, u32>,
}

impl Story {
    pub(super) fn new(stage: &Stage, reports: mpsc::Receiver<Arc<AccountReport>>) -> Story {
        Story { begins: stage.begins, reports, waiting: VecDeque::new(), failing: BTreeMap::new() }
    }

    /// The next line; `None` when the daemon has ended.
    pub(super) async fn next(&mut self) -> Option<String> {
        while self.waiting.is_empty() {
            let report = self.reports.recv().await?;
            self.hear(&report);
        }
        self.waiting.pop_front()
    }

    /// Hears no more, so that no pass waits for somebody to listen.
    pub(super) fn drain(mut self) {
        self.reports.close();
    }

    fn hear(&mut self, report: &AccountReport) {
        let when = stamp(self.begins, report.at);
        let account = report.account.as_str();
        for line in self.look(report).into_iter().chain(steps(report)) {
            self.waiting.push_back(format!("{when}    {account:<8} {line}"));
        }
    }

    /// Failed looks are told once, and once more when they end.
    fn look(&mut self, report: &AccountReport) -> Option<String> {
        let account = report.account.to_string();
        match (&report.look_failed, self.failing.get_mut(&account)) {
            (Some(why), None) => {
                self.failing.insert(account, 1);
                let covered = report.guaranteed_until.map_or("something is uncovered".to_owned(), |until| {
                    format!("everything stays covered for {}", brief(span(report.at, until)))
                });
                Some(format!("cannot look at Zoho ({why}); {covered}"))
            }
            (Some(_), Some(times)) => {
                *times += 1;
                None
            }
            (None, Some(times)) => {
                let line = format!("can look at Zoho again, after {times} failed passes");
                self.failing.remove(&account);
                Some(line)
            }
            (None, None) => None,
        }
    }
}

/// Steps told together where they are of one kind: `renews 3 channels (...)`.
fn steps(report: &AccountReport) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>, Option<Timestamp>)> = Vec::new();
    for (step, outcome) in &report.outcomes {
        let (what, granted) = phrase(step, outcome);
        match groups.iter_mut().find(|(known, _, _)| *known == what) {
            Some((_, names, _)) => names.push(step.name.to_string()),
            None => groups.push((what, vec![step.name.to_string()], granted)),
        }
    }
    let line = |(what, names, granted): (String, Vec<String>, Option<Timestamp>)| {
        let until = granted.map(|granted| format!(", for {}", brief(span(report.at, granted)))).unwrap_or_default();
        format!("{what} {}{until}", names.join(", "))
    };
    groups.into_iter().map(line).collect()
}

fn phrase(step: &Step, outcome: &Outcome) -> (String, Option<Timestamp>) {
    let verb = match &step.reason {
        Reason::Missing => "enables".to_owned(),
        Reason::NotSubscribed => "enables anew".to_owned(),
        Reason::Renew | Reason::Together | Reason::Asked => "renews".to_owned(),
        Reason::ShortGrant => "asks for a longer life of".to_owned(),
        Reason::Emergency | Reason::EmergencyBlind => "renews in the last moment".to_owned(),
        Reason::Drift(drift) => {
            let drift: Vec<String> = drift.iter().map(Drift::to_string).collect();
            format!("repairs ({})", drift.join("; "))
        }
        Reason::TakenOver => "takes over".to_owned(),
        Reason::Retired => "disables, as it is not declared any more,".to_owned(),
        Reason::Gone => "forgets, as it is gone,".to_owned(),
    };
    match outcome {
        Outcome::Done(granted) => (verb, *granted),
        Outcome::Refused(refused) => (format!("{verb} in vain, refused with {}:", refused.code), None),
        Outcome::Unsure(_) => (format!("{verb}, with no answer, and will look again:"), None),
        Outcome::Deferred(_) => (format!("{verb} later:"), None),
    }
}
