//! A plan as people and programs read it.
//!
//! [`PlanView`] is the one value behind both: `plan --json` prints it, and the text is written from
//! it. It holds no secret and no query of a URL, so it may travel over the control socket and into
//! a log.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::model::channel::ChannelId;
use crate::model::time::{Timestamp, brief, span};

use super::calls::DailyCallsView;
use super::cause::CauseKind;
use super::checksum;
use super::step::{Held, Plan, Step};

/// The plans of some accounts, and the short name of all they would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlansView {
    /// The checksum that `apply --plan` takes.
    pub checksum: String,
    /// By account.
    pub accounts: Vec<PlanView>,
}

impl PlansView {
    /// The view of plans, one for each account.
    pub fn of(plans: &[Plan]) -> PlansView {
        PlansView::joined(plans.iter().map(PlanView::of).collect())
    }

    /// The views of some accounts, of whichever machine, together.
    pub fn joined(mut accounts: Vec<PlanView>) -> PlansView {
        accounts.sort_by(|one, other| one.account.cmp(&other.account));
        accounts.dedup_by(|one, other| one.account == other.account);
        let checksum = checksum::of_all(accounts.iter().map(|plan| plan.checksum.as_str()));
        PlansView { checksum, accounts }
    }
}

/// A plan without anything that may not be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanView {
    /// The account.
    pub account: String,
    /// The checksum of this account's part.
    #[serde(default)]
    pub checksum: String,
    /// The instant, by the local clock.
    pub at: Timestamp,
    /// The steps to do, in order.
    pub steps: Vec<StepView>,
    /// The channels that are held back, and their causes.
    pub held: Vec<HeldView>,
    /// How many channels are as declared and have life enough.
    pub kept: usize,
    /// Channel ids at Zoho that are not ours.
    pub foreign: Vec<String>,
    /// Events that several channels send to the same URL, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overlaps: Vec<String>,
    /// The limits that keep the account from what the config asks for, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// When the account is looked at next.
    pub next_wake: Timestamp,
    /// How many calls a day the account is expected to take once all is well, where that was asked
    /// for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<DailyCallsView>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// The channel's name.
    pub channel: String,
    /// The channel's id.
    pub id: String,
    /// The step: `enable`, `update`, `remove-events`, `replace`, `disable`, `take-over`, `forget`.
    pub step: String,
    /// The reason: `missing`, `renew`, `emergency`, `drift` and so on.
    pub reason: String,
    /// The fields that differ, one line each, for a drift.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// When the channel ends as things are.
    pub expiry: Option<Timestamp>,
    /// The expiry that is asked for.
    pub asks: Option<Timestamp>,
}

/// One held channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldView {
    /// The channel's name.
    pub channel: String,
    /// The channel's id.
    pub id: String,
    /// The cause, in one word: `rejected`, `conflict`, `unknown` and so on.
    pub cause: String,
    /// The cause, in a sentence.
    pub detail: String,
    /// When this may change by itself.
    pub until: Option<Timestamp>,
}

impl PlanView {
    /// The view of a plan.
    pub fn of(plan: &Plan) -> PlanView {
        let Plan {
            account,
            at,
            steps,
            held,
            kept,
            foreign: _,
            strangers: _,
            overlaps,
            limits,
            probe: _,
            batch_max: _,
            next_wake,
        } = plan;
        PlanView {
            account: account.to_string(),
            checksum: checksum::of_account(plan),
            at: *at,
            steps: steps.iter().map(StepView::of).collect(),
            held: held.iter().map(HeldView::of).collect(),
            kept: kept.len(),
            foreign: plan.foreign_ids().collect(),
            overlaps: overlaps.iter().map(ToString::to_string).collect(),
            limits: limits.clone(),
            next_wake: *next_wake,
            calls: None,
        }
    }

    /// The view of an account that nobody may look at yet: everything of it is held. `declared`
    /// names its declaration, for the checksum.
    pub fn unseen(account: &str, declared: &str, at: Timestamp, held: Vec<HeldView>) -> PlanView {
        PlanView {
            account: account.to_owned(),
            checksum: checksum::of_all([account, "unseen", declared].into_iter()),
            at,
            steps: Vec::new(),
            held,
            kept: 0,
            foreign: Vec::new(),
            overlaps: Vec::new(),
            limits: Vec::new(),
            next_wake: at,
            calls: None,
        }
    }

    /// Renders it as text, one line a step.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let PlanView {
            account,
            checksum: _,
            at: _,
            steps,
            held,
            kept,
            foreign,
            overlaps: _,
            limits,
            next_wake: _,
            calls,
        } = self;
        let counts = counts(steps.len(), held.len(), *kept, foreign.len());
        write_line(&mut text, &format!("account {account}: {counts}"));
        for step in steps {
            write_line(&mut text, &step.line(self.at));
            for drift in &step.drift {
                write_line(&mut text, &format!("      {drift}"));
            }
        }
        for alike in held.chunk_by(HeldView::is_as_unseen_as) {
            let channels: Vec<&str> = alike.iter().map(|held| held.channel.as_str()).collect();
            write_line(&mut text, &alike[0].line(&names(&channels), self.at));
        }
        if let Some(note) = undeclarable(foreign) {
            write_line(&mut text, &format!("  * {note}"));
        }
        for limit in limits {
            write_line(&mut text, &format!("  * {limit}"));
        }
        if let Some(calls) = calls {
            write_line(&mut text, &format!("  {}", calls.line()));
        }
        text
    }
}

impl StepView {
    /// The view of a step.
    pub fn of(step: &Step) -> StepView {
        let Step { id, name, action, reason, expiry } = step;
        StepView {
            channel: name.to_string(),
            id: id.to_string(),
            step: action.word().to_owned(),
            reason: reason.word().to_owned(),
            drift: reason.drift().iter().map(ToString::to_string).collect(),
            expiry: *expiry,
            asks: action.ask().map(|ask| ask.expiry),
        }
    }

    /// Renders it as one line, without its end.
    pub(super) fn line(&self, at: Timestamp) -> String {
        let sign = match self.step.as_str() {
            "disable" | "remove-events" | "forget" => '-',
            "enable" if self.reason == "missing" => '+',
            _ => '~',
        };
        let left =
            self.expiry.map(|expiry| format!(", {}", life_left(at, expiry))).unwrap_or_default();
        let asks = self.asks.map(|asks| format!(", asks for {asks}")).unwrap_or_default();
        format!("  {sign} {:<13} {} ({}{left}{asks})", self.step, self.channel, self.reason)
    }
}

impl HeldView {
    /// The view of a held channel.
    pub fn of(held: &Held) -> HeldView {
        let Held { id, name, cause, until } = held;
        HeldView {
            channel: name.to_string(),
            id: id.to_string(),
            cause: cause.word().to_owned(),
            detail: cause.detail(),
            until: *until,
        }
    }

    /// Returns true when a failed look is the cause of both, so that it is said once.
    fn is_as_unseen_as(&self, other: &HeldView) -> bool {
        self.cause == CauseKind::Unknown.word()
            && (&self.cause, &self.detail, self.until) == (&other.cause, &other.detail, other.until)
    }

    fn line(&self, channels: &str, at: Timestamp) -> String {
        let until = match self.until {
            Some(until) => format!(" (again in {})", brief(span(at, until))),
            None => String::new(),
        };
        format!("  ! {:<13} {channels}: {}{until}", self.cause, self.detail)
    }
}

/// The numbers of a plan in words; nothing is said of what there is none of.
fn counts(steps: usize, held: usize, kept: usize, foreign: usize) -> String {
    let steps = match steps {
        0 => "nothing to do".to_owned(),
        steps => format!("{} to do", counted(steps, "step")),
    };
    let held = (held > 0).then(|| format!("{held} held back"));
    let kept = (kept > 0).then(|| as_declared(kept));
    let foreign = (foreign > 0).then(|| not_ours(foreign));
    [Some(steps), held, kept, foreign].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// `1 channel is as declared`, `2 channels are as declared`.
pub fn as_declared(channels: usize) -> String {
    let are = if channels == 1 { "is" } else { "are" };
    format!("{} {are} as declared", counted(channels, "channel"))
}

/// `1 channel is not ours`, `2 channels are not ours`.
pub fn not_ours(channels: usize) -> String {
    let are = if channels == 1 { "is" } else { "are" };
    format!("{} {are} not ours", counted(channels, "channel"))
}

/// A note of the ids that no declaration can have.
pub fn undeclarable(foreign: &[String]) -> Option<String> {
    let ids = foreign.iter().map(String::as_str).filter(|id| id.parse::<ChannelId>().is_err());
    let ids: Vec<&str> = ids.collect();
    let words = || format!("not ours, with ids that cannot be declared: {}", names(&ids));
    (!ids.is_empty()).then(words)
}

/// `a, b, c`, and how many more there are.
fn names(all: &[&str]) -> String {
    let shown = &all[..all.len().min(NAMES_MAX)];
    let more = all.len() - shown.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(", ") + &more
}

fn life_left(at: Timestamp, expiry: Timestamp) -> String {
    if expiry > at {
        format!("{} left", brief(span(at, expiry)))
    } else {
        format!("ended {} ago", brief(span(expiry, at)))
    }
}

/// The most channels named in one line.
const NAMES_MAX: usize = 10;

/// `1 channel`, `2 channels`.
pub fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn write_line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}
