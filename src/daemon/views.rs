//! The answers: values that are printed as text or as JSON, and travel over the socket.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::coverage::backfill::Backfill;
use crate::coverage::render::GapView;
use crate::model::time::Timestamp;
use crate::plan::cause::{refused as refused_words, standing};
use crate::plan::render::{PlanView, as_declared, counted};
use crate::plan::step::CauseKind;
use crate::reconcile::outcome::Outcome;
use crate::reconcile::report::AccountReport;
use crate::zoho::wire::Refused;

use super::choose::Chosen;
use super::recoveries::RecoveryView;

/// A gap, with what to ask Zoho for after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapReport {
    /// The gap.
    #[serde(flatten)]
    pub gap: GapView,
    /// The recoveries that fill it, whole or in part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<RecoveryView>,
    /// The requests that find the missed events, and the events that stay lost.
    pub backfill: Backfill,
}

/// The acknowledgement of one channel that had unacknowledged gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// The account.
    pub account: String,
    /// The channel's name.
    pub channel: String,
    /// How many gaps are acknowledged with this.
    pub acknowledged: usize,
    /// How many are not: they are open, or ended too late.
    pub left: usize,
}

/// The work of a pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Applied {
    /// The account.
    pub account: String,
    /// The steps that were done, in order.
    pub done: Vec<DoneView>,
    /// The reason why the look failed, if it did.
    pub look_failed: Option<String>,
    /// The reason why writes failed, if that was no single channel's fault.
    pub writes_failed: Option<String>,
    /// The plan that is left: no step, when all went well.
    pub left: PlanView,
}

/// One step with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoneView {
    /// The channel's name.
    pub channel: String,
    /// The step: `enable`, `update` and so on.
    pub step: String,
    /// The reason for the step.
    pub reason: String,
    /// `done`, `refused`, `unsure`, `deferred`.
    pub outcome: String,
    /// Zoho's words, or why not.
    pub detail: Option<String>,
    /// The expiry that was granted.
    pub granted: Option<Timestamp>,
}

/// An account, or one channel of it, that is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseView {
    /// The account.
    pub account: String,
    /// The one channel, if it is about one.
    pub channel: Option<String>,
    /// When the pause ends; nothing when it lasts until it is resumed.
    pub until: Option<Timestamp>,
    /// Up to when all that is paused stays covered; nothing when something is uncovered already,
    /// or not known.
    pub covered_until: Option<Timestamp>,
    /// Channels that end before the pause does, the first to end first.
    pub lapse: Vec<String>,
}

impl PauseView {
    /// The view of one account's report.
    pub fn of(report: &AccountReport, target: &Chosen, until: Option<Timestamp>) -> PauseView {
        let paused = report
            .channels
            .values()
            .filter(|channel| target.channel.is_none_or(|id| id == channel.spec.id));
        let mut ends: Vec<(Option<Timestamp>, String)> =
            paused.map(|channel| (channel.expiry, channel.spec.name.to_string())).collect();
        ends.sort();
        let lapses =
            |end: &Option<Timestamp>| end.is_none_or(|end| until.is_none_or(|until| end < until));
        PauseView {
            account: report.account.to_string(),
            channel: target
                .channel
                .and_then(|id| Some(report.channels.get(&id)?.spec.name.to_string())),
            until,
            covered_until: ends.first().and_then(|(end, _)| *end),
            lapse: ends
                .iter()
                .filter(|(end, _)| lapses(end))
                .map(|(_, name)| name.clone())
                .collect(),
        }
    }

    /// Renders it as text.
    pub fn to_text(&self) -> String {
        let PauseView { account, channel, until, covered_until, lapse } = self;
        let what = channel
            .as_ref()
            .map_or_else(|| format!("account {account}"), |channel| format!("channel {channel}"));
        let until = until.map_or_else(|| "it is resumed".to_owned(), |until| until.to_string());
        let covered = match covered_until {
            Some(end) => format!("everything of it stays covered until {end}"),
            None => "something of it is not covered".to_owned(),
        };
        let mut text = format!("{what} is paused until {until}; {covered}\n");
        if !lapse.is_empty() {
            let more = if lapse.len() > LAPSES_SHOWN_MAX { ", ..." } else { "" };
            let names = lapse
                .iter()
                .take(LAPSES_SHOWN_MAX)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            text += &format!(
                "  {} may lapse before that: {names}{more}\n",
                counted(lapse.len(), "channel")
            );
        }
        text
    }
}

const LAPSES_SHOWN_MAX: usize = 10;

impl Applied {
    /// The work of one account's passes, in their order: every step that was done, and the plan
    /// that the last pass left. `None` when there was no pass.
    pub fn of(passes: &[Arc<AccountReport>]) -> Option<Applied> {
        let last = passes.last()?;
        let outcomes = passes.iter().flat_map(|report| &report.outcomes);
        Some(Applied {
            account: last.account.to_string(),
            done: outcomes.map(|(step, outcome)| DoneView::of(step, outcome)).collect(),
            look_failed: last.look_failed.clone(),
            writes_failed: last.writes_failed.clone(),
            left: PlanView::of(&last.after),
        })
    }

    /// Returns whether everything is as declared, or held for a reason that somebody chose.
    pub fn is_settled(&self) -> bool {
        let chosen = ["mode", "left-to-expire", "paused"];
        let held = self.left.held.iter().any(|held| !chosen.contains(&held.cause.as_str()));
        self.look_failed.is_none()
            && self.writes_failed.is_none()
            && !self.is_refused()
            && !held
            && self.left.steps.is_empty()
    }

    /// Returns whether something is still to be taken away from Zoho.
    pub fn has_removals_left(&self) -> bool {
        self.left.steps.iter().any(|step| TAKES_AWAY.contains(&step.step.as_str()))
    }

    /// Returns whether the last step of some channel was refused.
    fn is_refused(&self) -> bool {
        let last: BTreeMap<&str, &DoneView> =
            self.done.iter().map(|done| (done.channel.as_str(), done)).collect();
        last.values().any(|done| done.outcome == "refused")
    }

    /// Renders it as text, one line a step.
    pub fn to_text(&self) -> String {
        let mut lines = vec![format!("account {}: {}", self.account, self.headline())];
        lines.extend(self.done.iter().map(DoneView::line));
        let left = self.left_but_for_the_look().to_text();
        let left: Vec<&str> = left.lines().skip(1).collect();
        if !left.is_empty() {
            lines.push("  left to do, or held back:".to_owned());
            lines.extend(left.into_iter().map(str::to_owned));
        }
        lines.join("\n") + "\n"
    }

    /// The plan that is left, without a failed look as each channel's cause: the headline says it
    /// once.
    fn left_but_for_the_look(&self) -> PlanView {
        let mut left = self.left.clone();
        if self.look_failed.is_some() {
            let unseen =
                left.held.iter_mut().filter(|held| held.cause == CauseKind::Unknown.word());
            unseen.for_each(|held| held.detail = "not seen".to_owned());
        }
        left
    }

    fn headline(&self) -> String {
        match (&self.look_failed, &self.writes_failed) {
            (Some(why), _) => format!("the look at Zoho failed: {why}"),
            (None, Some(why)) => format!("writes failed: {why}"),
            (None, None) if self.done.is_empty() => {
                format!("nothing to do, {}", as_declared(self.left.kept))
            }
            (None, None) => {
                let done = self.done.iter().filter(|done| done.outcome == "done").count();
                format!("{} done", counted(done, "step"))
            }
        }
    }
}

/// The outcome of a resume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// The accounts and channels that were paused: accounts by their names, channels as
    /// `ACCOUNT/CHANNEL`.
    pub resumed: Vec<String>,
    /// The steps that were done then, by account.
    pub applied: Vec<Applied>,
}

impl Resumed {
    /// Renders it as text.
    pub fn to_text(&self) -> String {
        let Resumed { resumed, applied } = self;
        if resumed.is_empty() {
            return "nothing was paused\n".to_owned();
        }
        let kind = |name: &str| if name.contains('/') { "channel" } else { "account" };
        let lines = resumed.iter().map(|name| format!("{} {name} is resumed\n", kind(name)));
        lines.chain(applied.iter().map(Applied::to_text)).collect()
    }
}

impl DoneView {
    fn of(step: &crate::plan::step::Step, outcome: &Outcome) -> DoneView {
        let (detail, granted) = match outcome {
            Outcome::Done(granted) => (None, *granted),
            Outcome::Refused(refused) => {
                let Refused { code, message, json_path } = refused;
                let words = refused_words(code, json_path.as_deref(), message);
                let place = step.action.spec().and_then(|spec| spec.declared.named_in(message));
                (Some(format!("{words}{}", standing(place.as_deref()))), None)
            }
            Outcome::Unsure(why) | Outcome::Deferred(why) => (Some(why.clone()), None),
        };
        DoneView {
            channel: step.name.to_string(),
            step: step.action.word().to_owned(),
            reason: step.reason.word().to_owned(),
            outcome: outcome.word().to_owned(),
            detail,
            granted,
        }
    }

    fn line(&self) -> String {
        let granted =
            self.granted.map(|granted| format!(", granted until {granted}")).unwrap_or_default();
        let detail = self.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
        let DoneView { channel, step, reason, outcome, .. } = self;
        format!("  {outcome:<8} {step} {channel} ({reason}{granted}){detail}")
    }
}

/// The steps after which something is not covered.
const TAKES_AWAY: [&str; 2] = ["disable", "remove-events"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expose::testing::{id, report};
    use crate::plan::cause::Cause;
    use crate::plan::step::{Action, Held, Reason, Step};

    #[test]
    fn what_may_lapse_in_a_pause_is_named_up_to_a_number() {
        let text = |lapse: usize| {
            let view = PauseView {
                account: "acme".to_owned(),
                channel: None,
                until: None,
                covered_until: None,
                lapse: (0..lapse).map(|number| format!("c{number}")).collect(),
            };
            view.to_text()
        };
        let first = "account acme is paused until it is resumed; something of it is not covered\n";
        assert_eq!(text(0), first);
        assert_eq!(text(1), format!("{first}  1 channel may lapse before that: c0\n"));
        assert!(text(LAPSES_SHOWN_MAX).ends_with("c8, c9\n"), "{}", text(LAPSES_SHOWN_MAX));
        assert!(text(LAPSES_SHOWN_MAX + 1).ends_with("c9, ...\n"));
    }

    #[test]
    fn an_account_is_settled_when_nothing_failed_and_nothing_is_left_but_by_choice() {
        let name = || "c1".parse().unwrap();
        let is_settled = |change: &dyn Fn(&mut AccountReport)| {
            let mut report = report("acme", 1..=1);
            change(&mut report);
            Applied::of(&[Arc::new(report)]).unwrap().is_settled()
        };
        let step = || Step {
            id: id(1),
            name: name(),
            action: Action::Disable,
            reason: Reason::Retired,
            expiry: None,
        };
        let held = |cause| Held { id: id(1), name: name(), cause, until: None };
        let why = || "HTTP 503".to_owned();
        assert!(is_settled(&|_| {}));
        let paused = || Cause::Paused { step: None };
        assert!(is_settled(&|report| report.after.held.push(held(paused()))));
        assert!(!is_settled(&|report| report.after.held.push(held(Cause::Unknown(why())))));
        assert!(!is_settled(&|report| report.after.steps.push(step())));
        assert!(!is_settled(&|report| report.look_failed = Some(why())));
        assert!(!is_settled(&|report| report.writes_failed = Some(why())));
    }
}
