//! The work of channelkeeper, in readable lines, from the reports of its passes: for the verbs that
//! show it at work.

use std::collections::BTreeMap;

use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, brief, span};
use crate::plan::drift::Drift;
use crate::plan::step::Step;
use crate::reconcile::outcome::Outcome;
use crate::reconcile::report::AccountReport;

/// Remembers which accounts cannot be looked at.
#[derive(Debug, Default)]
pub(super) struct Narrator {
    failing: BTreeMap<AccountName, u32>,
}

impl Narrator {
    /// The lines to tell about a pass, but for steps that are not worth one.
    pub(super) fn hear(
        &mut self,
        report: &AccountReport,
        is_worth: impl Fn(&Step, &Outcome) -> bool,
    ) -> Vec<String> {
        self.look(report).into_iter().chain(steps(report, is_worth)).collect()
    }

    /// Failed looks are told once, and once more when they end.
    fn look(&mut self, report: &AccountReport) -> Option<String> {
        let account = &report.account;
        match (&report.look_failed, self.failing.get_mut(account)) {
            (Some(why), None) => {
                self.failing.insert(account.clone(), 1);
                let covered =
                    report.guaranteed_until.map_or("something is uncovered".to_owned(), |until| {
                        format!("everything stays covered for {}", brief(span(report.at, until)))
                    });
                Some(format!("cannot look at Zoho ({why}); {covered}"))
            }
            (Some(_), Some(times)) => {
                *times += 1;
                None
            }
            (None, Some(times)) => {
                let plural = if *times == 1 { "" } else { "es" };
                let line = format!("can look at Zoho again, after {times} failed pass{plural}");
                self.failing.remove(account);
                Some(line)
            }
            (None, None) => None,
        }
    }
}

/// `day 2 07:30`, counted from `begins`.
pub(super) fn stamp(begins: Timestamp, at: Timestamp) -> String {
    let minutes = span(begins, at).as_secs() / 60;
    format!("day {} {:02}:{:02}", minutes / 1440 + 1, minutes / 60 % 24, minutes % 60)
}

/// Steps told together where they are of one kind: `renews 3 channels (...)`.
fn steps(report: &AccountReport, is_worth: impl Fn(&Step, &Outcome) -> bool) -> Vec<String> {
    let mut groups: Vec<(String, Vec<String>, Option<Timestamp>)> = Vec::new();
    for (step, outcome) in report.outcomes.iter().filter(|(step, outcome)| is_worth(step, outcome))
    {
        let (what, granted) = phrase(step, outcome);
        match groups.iter_mut().find(|(known, _, _)| *known == what) {
            Some((_, names, _)) => names.push(step.name.to_string()),
            None => groups.push((what, vec![step.name.to_string()], granted)),
        }
    }
    let line = |(what, names, granted): (String, Vec<String>, Option<Timestamp>)| {
        let until = granted
            .map(|granted| format!(", for {}", brief(span(report.at, granted))))
            .unwrap_or_default();
        format!("{what} {}{until}", names.join(", "))
    };
    groups.into_iter().map(line).collect()
}

fn phrase(step: &Step, outcome: &Outcome) -> (String, Option<Timestamp>) {
    let drift: Vec<String> = step.reason.drift().iter().map(Drift::to_string).collect();
    let phrase = step.reason.row().phrase;
    let verb = match drift.as_slice() {
        [] => phrase.to_owned(),
        drift => format!("{phrase} ({})", drift.join("; ")),
    };
    match outcome {
        Outcome::Done(granted) => (verb, *granted),
        Outcome::Refused(refused) => {
            (format!("{verb} in vain, refused with {}:", refused.code), None)
        }
        Outcome::Unsure(_) => (format!("{verb}, with no answer, and will look again:"), None),
        Outcome::Deferred(_) => (format!("{verb} later:"), None),
    }
}
