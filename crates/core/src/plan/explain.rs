//! One channel's decision with everything it was made from: what `explain` prints and the channel's
//! page shows.
//!
//! The decision is not made again here. The row is the one that `decide` names when it decides, the
//! steps and what holds them are those of the account's plan, and the arithmetic is that of
//! `renewal`: what is explained is what is done.
//!
//! An [`Explanation`] holds no secret and no query of a URL. Lengths are whole seconds (`_s`), skew
//! is milliseconds (`_ms`), instants are UTC by the local clock, those of grants by Zoho's.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::channel::{ChannelId, Spec};
use crate::model::condition::{Condition, Seen};
use crate::model::life_refused::LifeRefused;
use crate::model::observed::{Look, Observed, TokenSeen};
use crate::model::policy::Mode;
use crate::model::record::{Grant, LastStep, Record, Trouble};
use crate::model::time::{Timestamp, span, whole_seconds};
use crate::model::wishes::Wishes;

use super::decide::{Decision, Row, decide};
use super::drift::drift;
use super::facts::Facts;
use super::render::{HeldView, StepView};
use super::renewal::{Age, Life, Phase, slack, slack_within};
use super::step::Plan;

mod text;

/// One channel, its facts, and what they lead to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The account.
    pub account: String,
    /// The channel's name; its id where no name is known.
    pub channel: String,
    /// Its id.
    pub id: String,
    /// The instant of the explanation.
    pub at: Timestamp,
    /// The declaration, if there is one.
    pub declared: Option<DeclaredView>,
    /// The channel as Zoho shows it.
    pub observed: Sighted,
    /// The store's record of the channel; the channel is ours when there is one.
    pub record: Option<Recorded>,
    /// The rules of its account.
    pub rules: Rules,
    /// The fields in which the declaration and Zoho differ, one line each.
    pub drift: Vec<String>,
    /// The row of the decision table.
    pub row: Option<TableRow>,
    /// The action that follows, in a sentence.
    pub verdict: String,
    /// The steps of the account's plan that are about it.
    pub steps: Vec<StepView>,
    /// The steps that are held, and their causes.
    pub held: Vec<HeldView>,
    /// When its decision may change by itself.
    pub again: Option<Timestamp>,
    /// How its renewal is reckoned, when it has a life.
    pub renewal: Option<Renewal>,
    /// The trouble that this renewal survives.
    pub slack: Option<Survives>,
}

/// A channel as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredView {
    /// The events that it covers.
    pub events: Vec<String>,
    /// The URL that deliveries go to, without query.
    pub notify_url: String,
    /// True when a token is declared.
    pub token: bool,
    /// The life to ask for.
    pub lifetime_s: u64,
    /// `renew_before`, if it is set.
    pub renew_before_s: Option<u64>,
    /// True when a change of a related record notifies too.
    pub notify_on_related_action: bool,
    /// True when deliveries carry the new values.
    pub return_affected_field_values: bool,
    /// Its conditions, one line each.
    pub conditions: Vec<String>,
    /// How far the daemon may go with it.
    pub mode: String,
}

/// One channel as Zoho shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "look", rename_all = "kebab-case")]
pub enum Sighted {
    /// It is in Zoho's list.
    Seen {
        /// The events covered.
        events: Vec<String>,
        /// The URLs that deliveries go to, without query: one, unless its rows disagree.
        notify_urls: Vec<String>,
        /// `none`, `set`, `not said`; several when its rows disagree.
        token: Vec<String>,
        /// Its conditions, one line each.
        conditions: Vec<String>,
        /// When it ends, by Zoho's clock.
        expiry: Option<Timestamp>,
    },
    /// It is not in Zoho's list.
    Absent,
    /// The look failed.
    Unknown {
        /// The reason why it is unknown.
        why: String,
    },
}

/// The store's record of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The last expiry that Zoho gave.
    pub grant: Option<Granted>,
    /// Zoho's last no.
    pub refusal: Option<RefusedView>,
    /// The life that Zoho refused to grant, and its words, while a shorter one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_refused: Option<String>,
    /// How often the same drift was mended lately.
    pub repairs: u32,
    /// When the operator asked for a renewal.
    pub renewal_asked: Option<Timestamp>,
    /// The last step and its outcome.
    pub last: Option<LastStep>,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Granted {
    /// The grant, to the second.
    #[serde(flatten)]
    pub grant: Grant,
    /// True when far less was given than was asked for.
    pub short: bool,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedView {
    /// Zoho's code.
    pub code: String,
    /// Zoho's words.
    pub message: String,
    /// How often in a row.
    pub attempts: u32,
    /// The last time.
    pub at: Timestamp,
}

/// The rules of an account, as they are now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The tighter of the account's mode and the channel's.
    pub mode: String,
    /// The fate of a channel that is no longer declared.
    pub removed: String,
    /// The most channels in one write, as configured or as learned.
    pub batch_max: usize,
    /// The longest life that is asked for, as configured or as learned.
    pub lifetime_max_s: u64,
    /// How far Zoho's clock is ahead of ours.
    pub skew_ms: Option<i64>,
    /// Looks that failed in a row, and the last failure.
    pub looks_failed: Option<String>,
    /// Passes in a row in which writes failed, and the last failure.
    pub writes_failed: Option<String>,
}

/// A row of the decision table: its cells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRow {
    /// The column that says if the channel is declared.
    pub spec: String,
    /// The column that says if the channel is ours.
    pub ours: String,
    /// The column that says what Zoho shows.
    pub observed: String,
    /// The column that says what is done then.
    pub then: String,
}

/// How a renewal is reckoned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// `fresh`, `due` or `emergency`.
    pub age: String,
    /// How long its life is from grant to end.
    pub life_s: u64,
    /// How much of it is left.
    pub left_s: u64,
    /// How much is left when it is renewed, by the rule.
    pub lead_s: u64,
    /// The rule.
    pub rule: String,
    /// The time that the account's phase adds to that.
    pub phase_s: u64,
    /// When it is renewed.
    pub due_at: Timestamp,
    /// When that becomes an emergency.
    pub emergency_at: Timestamp,
    /// When it ends.
    pub expiry: Timestamp,
}

/// The trouble that a renewal survives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survives {
    /// Between the first attempt to renew and the end.
    pub margin_s: u64,
    /// How many passes in a row may fail.
    pub failed_passes: u32,
    /// How long an outage may last that begins with the first attempt.
    pub outage_s: u64,
}

/// Explains one channel. `plan` is the plan of the same facts.
pub fn explain(
    facts: &Facts<'_>,
    plan: &Plan,
    id: ChannelId,
    request_timeout: Duration,
) -> Explanation {
    let decision = decide(facts, id);
    let spec = facts.specs.get(&id);
    let record = facts.records.get(&id);
    let steps: Vec<StepView> =
        plan.steps.iter().filter(|step| step.id == id).map(StepView::of).collect();
    let held: Vec<HeldView> =
        plan.held.iter().filter(|held| held.id == id).map(HeldView::of).collect();
    let name = spec.map(|spec| &spec.name).or(record.map(|record| &record.name));
    Explanation {
        account: facts.account.to_string(),
        channel: name.map_or_else(|| id.to_string(), ToString::to_string),
        id: id.to_string(),
        at: whole_seconds(facts.now),
        declared: spec.map(|spec| declared(spec)),
        observed: sighted(facts, id),
        record: record.map(|record| recorded(record, facts.wishes)),
        rules: rules(facts, id),
        drift: drifts(facts, id),
        row: table_row(decision.row),
        verdict: verdict(&decision, &steps, &held),
        renewal: decision.life.map(|life| renewal(facts, id, life)),
        slack: spec.map(|spec| survives(facts, spec, decision.life, request_timeout)),
        again: decision.again.map(whole_seconds),
        steps,
        held,
    }
}

fn declared(spec: &Spec) -> DeclaredView {
    let Spec {
        id: _,
        name: _,
        declared: _,
        events,
        notify_url,
        token,
        rotation: _,
        lifetime,
        renew_before,
        notify_on_related_action,
        return_affected_field_values,
        conditions,
        mode,
        backfill: _,
    } = spec;
    DeclaredView {
        events: events.to_wire(),
        notify_url: notify_url.to_string(),
        token: token.is_some(),
        lifetime_s: lifetime.as_secs(),
        renew_before_s: renew_before.map(|lead| lead.as_secs()),
        notify_on_related_action: *notify_on_related_action,
        return_affected_field_values: *return_affected_field_values,
        conditions: conditions.iter().map(Condition::describe).collect(),
        mode: mode.to_string(),
    }
}

fn sighted(facts: &Facts<'_>, id: ChannelId) -> Sighted {
    match facts.look {
        Look::Unknown(why) => Sighted::Unknown { why: why.clone() },
        Look::Seen { channels, .. } => channels.get(&id).map_or(Sighted::Absent, seen),
    }
}

fn seen(observed: &Observed) -> Sighted {
    let Observed {
        events,
        notify_urls,
        tokens,
        expiry,
        notify_on_related_action: _,
        return_affected_field_values: _,
        conditions,
        odd: _,
    } = observed;
    let token = |token: &TokenSeen| match token {
        TokenSeen::Unsaid => "not said".to_owned(),
        TokenSeen::Null => "none".to_owned(),
        TokenSeen::Set(_) => "set".to_owned(),
    };
    let condition = |seen: &Seen| match seen {
        Seen::Unsaid => Vec::new(),
        Seen::Known(conditions) => conditions.iter().map(Condition::describe).collect(),
        Seen::Opaque => vec!["one that cannot be declared here".to_owned()],
    };
    Sighted::Seen {
        events: events.to_wire(),
        notify_urls: notify_urls.iter().map(ToString::to_string).collect(),
        token: tokens.iter().map(token).collect(),
        conditions: conditions.iter().flat_map(condition).collect(),
        expiry: *expiry,
    }
}

fn recorded(record: &Record, wishes: &Wishes) -> Recorded {
    let Record {
        id: _,
        name: _,
        notify_url: _,
        grant,
        refusal,
        life_refused,
        repairs,
        renewal_answered: _,
        last,
    } = record;
    Recorded {
        grant: grant.map(|grant| Granted {
            grant: Grant { at: whole_seconds(grant.at), ..grant },
            short: grant.is_short(),
        }),
        refusal: refusal.as_ref().map(|refusal| RefusedView {
            code: refusal.code.clone(),
            message: refusal.message.clone(),
            attempts: refusal.attempts,
            at: whole_seconds(refusal.at),
        }),
        life_refused: life_refused.as_ref().map(LifeRefused::words),
        repairs: repairs.map_or(0, |repairs| repairs.writes),
        renewal_asked: wishes.renewal(record),
        last: last.as_ref().map(|last| LastStep {
            at: whole_seconds(last.at),
            step: last.step.clone(),
            outcome: last.outcome.clone(),
        }),
    }
}

fn rules(facts: &Facts<'_>, id: ChannelId) -> Rules {
    let Facts { policy, specs, state, now, .. } = facts;
    let of_channel = specs.get(&id).map_or(Mode::Sync, |spec| spec.mode);
    let failed = |trouble: &Trouble| {
        (trouble.attempts > 0).then(|| format!("{} in a row: {}", trouble.attempts, trouble.what))
    };
    Rules {
        mode: policy.mode.min(of_channel).to_string(),
        removed: policy.removed.as_str().to_owned(),
        batch_max: state.learned.batch_max(policy, *now),
        lifetime_max_s: state.learned.lifetime_max(policy, *now).as_secs(),
        skew_ms: state.skew_ms,
        looks_failed: failed(&state.looks),
        writes_failed: failed(&state.writes),
    }
}

fn drifts(facts: &Facts<'_>, id: ChannelId) -> Vec<String> {
    match (facts.specs.get(&id), facts.look) {
        (Some(spec), Look::Seen { channels, .. }) => {
            let observed = channels.get(&id).into_iter();
            observed
                .flat_map(|observed| drift(spec, observed))
                .map(|drift| drift.to_string())
                .collect()
        }
        (Some(_), Look::Unknown(_)) | (None, _) => Vec::new(),
    }
}

fn table_row(row: Row) -> Option<TableRow> {
    let [spec, ours, observed, then] = row.cells()?.map(str::to_owned);
    Some(TableRow { spec, ours, observed, then })
}

fn verdict(decision: &Decision, steps: &[StepView], held: &[HeldView]) -> String {
    let steps: Vec<String> =
        steps.iter().map(|step| format!("{} ({})", step.step, step.reason)).collect();
    match (steps.is_empty(), held.first(), decision.row) {
        (false, _, _) => steps.join(", then "),
        (true, Some(held), _) => format!("held back: {}", held.cause),
        (true, None, Row::Foreign) => "nothing is done: it is not ours".to_owned(),
        (true, None, Row::Nothing) => {
            "nothing is done: it is not declared, not remembered and not seen".to_owned()
        }
        (true, None, _) => "nothing is done: it is as declared and has life enough".to_owned(),
    }
}

fn renewal(facts: &Facts<'_>, id: ChannelId, life: Life) -> Renewal {
    let (phase, zoho_now) = (Phase::of(facts.account), facts.state.zoho_time(facts.now));
    let renew_before = facts.specs.get(&id).and_then(|spec| spec.renew_before);
    let lead = life.lead(renew_before, phase);
    let local = |instant: Timestamp| whole_seconds(facts.state.local_time(instant));
    let age = match life.age(renew_before, phase, zoho_now) {
        Age::Fresh => "fresh",
        Age::Due => "due",
        Age::Emergency => "emergency",
    };
    Renewal {
        age: age.to_owned(),
        life_s: life.length.as_secs(),
        left_s: span(zoho_now, life.expiry).as_secs(),
        lead_s: lead.by_rule.as_secs(),
        rule: lead.rule.words().to_owned(),
        phase_s: lead.phase.as_secs(),
        due_at: local(life.due_at(renew_before, phase)),
        emergency_at: local(life.emergency_at()),
        expiry: local(life.expiry),
    }
}

/// The trouble that the renewal survives. It is reckoned from the rest of the channel's life, or,
/// when it has none, from the life that it will ask for.
fn survives(
    facts: &Facts<'_>,
    spec: &Spec,
    life: Option<Life>,
    request_timeout: Duration,
) -> Survives {
    let zoho_now = facts.state.zoho_time(facts.now);
    let slack = match life {
        Some(life) => {
            let lead = life.lead(spec.renew_before, Phase::of(facts.account)).length();
            slack_within(life, lead.min(span(zoho_now, life.expiry)), request_timeout)
        }
        None => slack(spec, facts.account, request_timeout),
    };
    Survives {
        margin_s: slack.margin.as_secs(),
        failed_passes: slack.failed_passes,
        outage_s: slack.outage.as_secs(),
    }
}
