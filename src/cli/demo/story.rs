//! The work of channelkeeper in the demo, in readable lines, from the reports of its passes.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::cli::narrate::{Narrator, stamp};
use crate::model::time::Timestamp;
use crate::reconcile::report::AccountReport;

use super::DemoStage;

/// Tells a story from reports.
pub(super) struct Story {
    begins: Timestamp,
    reports: mpsc::Receiver<Arc<AccountReport>>,
    waiting: VecDeque<String>,
    narrator: Narrator,
}

impl Story {
    pub(super) fn new(stage: &DemoStage, reports: mpsc::Receiver<Arc<AccountReport>>) -> Story {
        Story {
            begins: stage.begins,
            reports,
            waiting: VecDeque::new(),
            narrator: Narrator::default(),
        }
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
        for line in self.narrator.hear(report, |_, _| true) {
            self.waiting.push_back(format!("{when}    {account:<8} {line}"));
        }
    }
}
