//! Overviews for tests: everything converged, then one thing changed.
//!
//! Account `acme`; channel n has id n and the name `c{n}`. Everything was granted one day at
//! [`START`], and the pass was an hour later, at [`now`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::coverage::{GapKind, Ledger};
use crate::model::account::ApiBase;
use crate::model::channel::{AccountName, ChannelId, NotifyUrl, Spec};
use crate::model::observed::{Beside, Look, Observed};
use crate::model::record::LastStep;
use crate::model::secret::Secret;
use crate::model::time::{Times, Timestamp};
use crate::model::wishes::Wishes;
use crate::plan::step::{Cause, Held, Plan};
use crate::reconcile::look_kept::LookKept;
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState, LastDay};
use crate::testing::{self, events, granted, name, policy, state};
pub(crate) use crate::testing::{START, account, hours, id, minutes};
use crate::zoho::client::Traffic;

use super::lookups::{AccountMemory, ChannelMemory, Lookups, TokenFacts};
use super::overview::{ConfigState, LoopAge, OtherAccount, Overview};

pub(crate) const TURNING: LoopAge = LoopAge(Duration::from_secs(5));

pub(crate) fn now() -> Timestamp {
    hours(1)
}

/// Nothing declared.
pub(crate) fn empty() -> Overview {
    Overview {
        started_at: hours(0),
        accounts: BTreeMap::new(),
        tallies: BTreeMap::new(),
        unusable: BTreeMap::new(),
        recoveries: BTreeMap::new(),
        orphans: BTreeMap::new(),
        elsewhere: 0,
        others: Arc::default(),
        cluster: None,
        config: ConfigState {
            file: "/etc/channelkeeper/config.toml".to_owned(),
            loaded_at: Some(hours(0)),
            hash: Some("0123456789abcdef".to_owned()),
            ..ConfigState::default()
        },
        audit: "0 */15 * * * *".to_owned(),
        store_failed: None,
        store_moved_aside: None,
        status_file_failed: None,
        hooks_failed: None,
        clock_jump: None,
        log_lost: None,
        stopping: false,
    }
}

/// One account with this many channels, all as declared.
pub(crate) fn converged(channels: i64) -> Overview {
    let mut overview = empty();
    let report = report("acme", 1..=channels);
    overview.tallies.entry(account("acme")).or_default().add(&report);
    overview.accounts.insert(account("acme"), Some(Arc::new(report)));
    overview
}

/// One more account with these channels, which another machine serves.
pub(crate) fn elsewhere(
    overview: &mut Overview,
    name: &str,
    channels: impl Iterator<Item = i64>,
    machine: &str,
) {
    let report = Arc::new(report(name, channels));
    let other = OtherAccount { machine: machine.to_owned(), report, recoveries: None };
    Arc::make_mut(&mut overview.others).accounts.insert(account(name), Some(other));
    overview.elsewhere += 1;
}

/// Changes the report of an account that another machine serves.
pub(crate) fn change_elsewhere(
    overview: &mut Overview,
    name: &str,
    change: impl FnOnce(&mut AccountReport),
) {
    let others = Arc::make_mut(&mut overview.others);
    let other = others.accounts.get_mut(&account(name)).unwrap().as_mut().unwrap();
    change(Arc::make_mut(&mut other.report));
}

pub(crate) fn report(name: &str, channels: impl Iterator<Item = i64>) -> AccountReport {
    let channels: BTreeMap<ChannelId, ChannelReport> =
        channels.map(|n| (id(n), channel(n))).collect();
    let kept = channels.keys().copied().collect();
    let seen = |(id, channel): (&ChannelId, &ChannelReport)| {
        (*id, Observed::as_declared(&channel.spec, channel.expiry))
    };
    let specs = channels.iter().map(|(id, channel)| (*id, channel.spec.clone())).collect();
    let look = LookKept::of(
        Look::Seen {
            channels: channels.iter().map(seen).collect(),
            at: now(),
            beside: Beside::default(),
        },
        &specs,
    );
    let plan = Plan {
        account: account(name),
        at: now(),
        steps: Vec::new(),
        held: Vec::new(),
        kept,
        foreign: Vec::new(),
        strangers: Vec::new(),
        overlaps: Vec::new(),
        limits: Vec::new(),
        probe: None,
        batch_max: 50,
        next_wake: hours(12),
    };
    AccountReport {
        account: account(name),
        at: now(),
        wake: "timer".to_owned(),
        took: Duration::from_millis(250),
        look_failed: None,
        writes_failed: None,
        needs_a_person: false,
        skew_ms: Some(0),
        looked_at: Some(now()),
        limits: Vec::new(),
        credits: None,
        outcomes: Vec::new(),
        emergency_alone: false,
        after: plan,
        look,
        guaranteed_until: (!channels.is_empty()).then(|| hours(24)),
        channels,
        lost: [(GapKind::Uncovered, 2), (GapKind::Undeliverable, 60), (GapKind::Unknown, 600)]
            .map(|(kind, seconds)| (kind, Duration::from_secs(seconds)))
            .into(),
        traffic: Traffic {
            calls: BTreeMap::from([(("list", "ok"), 3), (("enable", "ok"), 1)]),
            tokens: BTreeMap::from([("ok", 1)]),
        },
        next_wake: hours(12),
    }
}

fn channel(number: i64) -> ChannelReport {
    ChannelReport {
        spec: Arc::new(spec(number)),
        state: ChannelState::Covered,
        expiry: Some(hours(24)),
        due_at: Some(hours(12)),
        emergency_at: Some(hours(21)),
        short_grant: false,
        drift: Vec::new(),
        last: Some(Arc::new(LastStep {
            at: hours(0),
            step: "enable (missing)".to_owned(),
            outcome: "done until 2026-01-02T00:00:00Z".to_owned(),
        })),
        undeliverable: None,
        gaps: 0,
        last_day: Arc::new(LastDay { declared_at: Some(hours(0)), missed: Vec::new() }),
    }
}

pub(crate) fn spec(number: i64) -> Spec {
    Spec {
        events: events(&["Deals.all"]),
        notify_url: NotifyUrl::new("https://hooks.example.com/zoho?key=s3cret"),
        token: Some(Secret::new("s3cret-token")),
        ..testing::spec(number)
    }
}

/// A memory with a ledger of every channel, in which the first hour was not enabled, and a record
/// without trouble.
pub(crate) fn remembering() -> Lookups {
    let of_channel = |_: &AccountName, id: ChannelId| {
        let spec = spec(id.number());
        let mut ledger = Ledger::new(&spec, hours(0));
        ledger.granted(
            Times { sent: minutes(5), received: minutes(5) },
            hours(24),
            &Default::default(),
        );
        let record = granted(&spec, hours(0));
        Ok(ChannelMemory { record: Some(record), ledger: Some(ledger), ..ChannelMemory::default() })
    };
    let of_account = |_: &AccountName| {
        let token = TokenFacts { until: Some(hours(2)), denied: None };
        Ok(Some(AccountMemory {
            wishes: Wishes::default(),
            policy: policy(),
            state: state(),
            api: ApiBase { url: "https://www.zohoapis.eu/crm/v8".to_owned(), ..ApiBase::default() },
            token,
        }))
    };
    Lookups {
        account: Arc::new(of_account),
        channel: Arc::new(of_channel),
        request_timeout: Duration::from_secs(30),
    }
}

/// Changes the report of `acme`.
pub(crate) fn change(overview: &mut Overview, change: impl FnOnce(&mut AccountReport)) {
    let report = overview.accounts.get_mut(&account("acme")).unwrap().as_mut().unwrap();
    change(Arc::make_mut(report));
}

/// Changes the report of one channel of `acme`.
pub(crate) fn change_channel(
    overview: &mut Overview,
    number: i64,
    change_it: impl FnOnce(&mut ChannelReport),
) {
    change(overview, |report| change_it(report.channels.get_mut(&id(number)).unwrap()));
}

/// As if Zoho did not have it.
pub(crate) fn lose(overview: &mut Overview, number: i64) {
    change_channel(overview, number, |channel| {
        channel.state = ChannelState::Uncovered;
        (channel.expiry, channel.due_at, channel.emergency_at) = (None, None, None);
    });
}

/// Holds a channel of `acme`.
pub(crate) fn hold(overview: &mut Overview, number: i64, cause: Cause) {
    let held = Held { id: id(number), name: name(number), cause, until: Some(hours(2)) };
    change(overview, |report| report.after.held.push(held));
}

/// Zoho's no.
pub(crate) fn rejected() -> Cause {
    Cause::Rejected {
        code: "INVALID_DATA".to_owned(),
        message: "invalid module".to_owned(),
        json_path: Some("$.watch[0].events[0]".to_owned()),
        declared: None,
    }
}
