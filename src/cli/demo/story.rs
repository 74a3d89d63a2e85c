//! The work of channelkeeper in the demo, in readable lines: from the reports of its passes, and
//! from what the receiver took. The world's lines come with them.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::cli::narrate::{Narrator, stamp};
use crate::model::time::Timestamp;
use crate::reconcile::report::AccountReport;

use super::{DemoStage, world};
use crate::cli::records::Handed;

/// Tells a story from reports, and from lines that are told elsewhere.
pub(super) struct Story {
    begins: Timestamp,
    told: mpsc::Receiver<String>,
    reports: mpsc::Receiver<Arc<AccountReport>>,
    waiting: VecDeque<String>,
    narrator: Narrator,
}

impl Story {
    pub(super) fn new(
        stage: &DemoStage,
        told: mpsc::Receiver<String>,
        reports: mpsc::Receiver<Arc<AccountReport>>,
    ) -> Story {
        Story {
            begins: stage.begins,
            told,
            reports,
            waiting: VecDeque::new(),
            narrator: Narrator::default(),
        }
    }

    /// The next line; `None` when the daemon has ended.
    pub(super) async fn next(&mut self) -> Option<String> {
        loop {
            tokio::select! {
                biased;
                Some(line) = self.told.recv() => return Some(line),
                () = std::future::ready(()), if !self.waiting.is_empty() => {
                    return self.waiting.pop_front();
                }
                report = self.reports.recv() => {
                    let report = report?;
                    self.hear(&report);
                }
            }
        }
    }

    /// Hears no more, so that no pass waits for somebody to listen.
    pub(super) fn drain(mut self) {
        self.reports.close();
    }

    fn hear(&mut self, report: &AccountReport) {
        let when = stamp(self.begins, report.at);
        let account = report.account.as_str();
        for line in self.narrator.hear(report, |_, _| true) {
            self.waiting.push_back(format!("{when}    {account:<8} {line}"));
        }
    }
}

/// The line about a delivery that a receiver took.
pub(super) fn handed(begins: Timestamp, handed: &Handed) -> String {
    let Handed { at, channel, module, operation, records } = handed;
    let (account, name) = world::named(*channel).unwrap_or_default();
    let (when, operation) = (stamp(begins, *at), operation.as_str());
    format!(
        "{when}    {account:<8} hands over what {name} may have missed: {records} of {module}.{operation}"
    )
}
