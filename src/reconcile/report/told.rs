//! A report as machines that share accounts tell it each other.
//!
//! It has all that health, status and the page show, and no secret: a channel is named by its id,
//! and whoever reads it knows the declaration. Calls and single steps stay with the machine that
//! made them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AccountReport, ChannelReport, ChannelState, LastDay};
use crate::coverage::GapKind;
use crate::model::channel::{AccountName, ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::declared::Declared;
use crate::model::events::Events;
use crate::model::policy::Mode;
use crate::model::record::LastStep;
use crate::model::time::Timestamp;
use crate::plan::credits::Credits;
use crate::plan::drift::Drift;
use crate::plan::overlap::Overlap;
use crate::plan::step::{Cause, Held, Plan};
use crate::reconcile::look_kept::LookKept;
use crate::zoho::client::Traffic;

/// One account after a pass, as it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToldReport {
    at: Timestamp,
    wake: String,
    took_ms: u64,
    look_failed: Option<String>,
    writes_failed: Option<String>,
    needs_a_person: bool,
    skew_ms: Option<i64>,
    looked_at: Option<Timestamp>,
    limits: Vec<String>,
    credits: Option<Credits>,
    next_wake: Timestamp,
    lost_s: BTreeMap<GapKind, u64>,
    held: Vec<ToldHeld>,
    foreign: Vec<ChannelId>,
    strangers: Vec<String>,
    overlaps: Vec<Overlap>,
    channels: BTreeMap<ChannelId, ToldChannel>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ToldHeld {
    id: ChannelId,
    name: String,
    cause: Cause,
    until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ToldChannel {
    name: String,
    state: ChannelState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiry: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    emergency_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    short_grant: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    drift: Vec<Drift>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<LastStep>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    undeliverable: Option<Box<(Timestamp, String)>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    gaps: usize,
    #[serde(default)]
    last_day: LastDay,
}

impl Default for ToldReport {
    /// The report of a pass that is not known.
    fn default() -> ToldReport {
        ToldReport {
            at: Timestamp::UNIX_EPOCH,
            wake: String::new(),
            took_ms: 0,
            look_failed: None,
            writes_failed: None,
            needs_a_person: false,
            skew_ms: None,
            looked_at: None,
            limits: Vec::new(),
            credits: None,
            next_wake: Timestamp::UNIX_EPOCH,
            lost_s: BTreeMap::new(),
            held: Vec::new(),
            foreign: Vec::new(),
            strangers: Vec::new(),
            overlaps: Vec::new(),
            channels: BTreeMap::new(),
        }
    }
}

impl ToldReport {
    /// A report as it is told.
    pub fn of(report: &AccountReport) -> ToldReport {
        let Plan { held, foreign, strangers, overlaps, .. } = &report.after;
        let held = held.iter().map(|Held { id, name, cause, until }| ToldHeld {
            id: *id,
            name: name.to_string(),
            cause: cause.clone(),
            until: *until,
        });
        let channels = report.channels.iter();
        ToldReport {
            at: report.at,
            wake: report.wake.clone(),
            took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            look_failed: report.look_failed.clone(),
            writes_failed: report.writes_failed.clone(),
            needs_a_person: report.needs_a_person,
            skew_ms: report.skew_ms,
            looked_at: report.looked_at,
            limits: report.limits.clone(),
            credits: report.credits,
            next_wake: report.next_wake,
            lost_s: report.lost.iter().map(|(kind, length)| (*kind, length.as_secs())).collect(),
            held: held.collect(),
            foreign: foreign.iter().take(FOREIGN_MAX).copied().collect(),
            strangers: strangers.iter().take(FOREIGN_MAX).cloned().collect(),
            overlaps: overlaps.clone(),
            channels: channels.map(|(id, channel)| (*id, ToldChannel::of(channel))).collect(),
        }
    }

    /// The report again, of channels that are declared here. A channel that is declared by one of
    /// the two machines only is left out. Where the account cannot be worked on, its declaration is
    /// not known (`None`): its channels have names, and nothing else that is declared.
    pub fn into_report(
        self,
        account: &AccountName,
        specs: Option<&BTreeMap<ChannelId, Arc<Spec>>>,
    ) -> AccountReport {
        let spec = |id: ChannelId, name: &str| match specs {
            Some(specs) => specs.get(&id).cloned(),
            None => Some(Arc::new(unknown(id, name))),
        };
        let channels = self.channels.into_iter();
        let channels: BTreeMap<ChannelId, ChannelReport> = channels
            .filter_map(|(id, told)| Some((id, told.clone().into_report(spec(id, &told.name)?))))
            .collect();
        let held = self.held.into_iter().map(|ToldHeld { id, name, cause, until }| {
            let name = name.parse().unwrap_or_else(|_| ChannelName::of_id(id));
            Held { id, name, cause, until }
        });
        AccountReport {
            account: account.clone(),
            at: self.at,
            wake: self.wake,
            took: Duration::from_millis(self.took_ms),
            look_failed: self.look_failed,
            writes_failed: self.writes_failed,
            needs_a_person: self.needs_a_person,
            skew_ms: self.skew_ms,
            looked_at: self.looked_at,
            limits: self.limits.clone(),
            credits: self.credits,
            outcomes: Vec::new(),
            emergency_alone: false,
            after: Plan {
                account: account.clone(),
                at: self.at,
                steps: Vec::new(),
                held: held.collect(),
                kept: Vec::new(),
                foreign: self.foreign,
                strangers: self.strangers,
                overlaps: self.overlaps,
                limits: self.limits,
                probe: None,
                batch_max: 0,
                next_wake: self.next_wake,
            },
            look: LookKept::Unknown("the machine that serves the account looks at it".to_owned()),
            guaranteed_until: super::guaranteed_until(&channels),
            channels,
            lost: self.lost_s.iter().map(|(kind, s)| (*kind, Duration::from_secs(*s))).collect(),
            traffic: Traffic::default(),
            next_wake: self.next_wake,
        }
    }
}

impl ToldChannel {
    fn of(channel: &ChannelReport) -> ToldChannel {
        ToldChannel {
            name: channel.spec.name.to_string(),
            state: channel.state,
            expiry: channel.expiry,
            due_at: channel.due_at,
            emergency_at: channel.emergency_at,
            short_grant: channel.short_grant,
            drift: channel.drift.clone(),
            last: channel.last.as_deref().cloned(),
            undeliverable: channel.undeliverable.clone(),
            gaps: channel.gaps,
            last_day: LastDay::clone(&channel.last_day),
        }
    }

    fn into_report(self, spec: Arc<Spec>) -> ChannelReport {
        ChannelReport {
            spec,
            state: self.state,
            expiry: self.expiry,
            due_at: self.due_at,
            emergency_at: self.emergency_at,
            short_grant: self.short_grant,
            drift: self.drift,
            last: self.last.map(Arc::new),
            undeliverable: self.undeliverable,
            gaps: self.gaps,
            last_day: Arc::new(self.last_day),
        }
    }
}

/// The stand-in for a declaration that this machine does not know.
fn unknown(id: ChannelId, name: &str) -> Spec {
    Spec {
        id,
        name: name.parse().unwrap_or_else(|_| ChannelName::of_id(id)),
        declared: Declared::default(),
        events: Events::default(),
        notify_url: NotifyUrl::new(""),
        token: None,
        rotation: None,
        lifetime: Duration::ZERO,
        renew_before: None,
        notify_on_related_action: true,
        return_affected_field_values: false,
        conditions: Vec::new(),
        mode: Mode::default(),
        backfill: None,
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Channels of others that are named: an account may have thousands.
const FOREIGN_MAX: usize = 1000;
