//! The summary: how everything is, small enough to be copied to another host and judged there by
//! something dumb.
//!
//! It is the content of the status file, the body of `/api/v1/summary`, and what `probe` judges. It
//! says no more than `/healthz` does: no secret, and no query of a URL. Instants are UTC by the
//! local clock, and stand there twice: to be read, and in seconds since 1970 (`_epoch`) to be
//! compared.
//!
//! Keys are only ever added to a schema. One that changes its meaning is a new [`SCHEMA`].

use serde::{Deserialize, Serialize};

use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, whole_seconds};

use super::health::{self, Guarantee, Status, account_guarantee};
use super::overview::{LoopAge, Overview};
use super::status::{ReasonView, headline};

/// How everything is, at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The program's version.
    pub version: String,
    /// When it was written.
    pub written_at: Timestamp,
    /// The same instant, in seconds since 1970.
    pub written_at_epoch: i64,
    /// `ok`, `degraded` or `failing`.
    pub status: Status,
    /// The answer in one sentence.
    pub headline: String,
    /// Up to when everything declared stays covered if nothing succeeds any more; nothing when
    /// something is not covered already, nothing is declared, or it is not known yet.
    pub guaranteed_until: Option<Timestamp>,
    /// The same instant, in seconds since 1970. It is 0 when something is not covered already, so
    /// that a plain comparison finds it in the past.
    pub guaranteed_until_epoch: Option<i64>,
    /// True when the daemon is stopping: nobody renews until it is started again.
    pub stopping: bool,
    /// The troubles, the most serious first, at most [`REASONS_MAX`].
    pub reasons: Vec<ReasonView>,
    /// How many more there are.
    pub reasons_left_out: usize,
    /// How many gaps nobody has acknowledged: `channelkeeper gaps`.
    #[serde(default)]
    pub gaps: usize,
    /// Every declared account, at most [`ACCOUNTS_MAX`].
    pub accounts: Vec<AccountSummary>,
    /// How many more there are.
    pub accounts_left_out: usize,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountSummary {
    /// Its name.
    pub name: String,
    /// Up to when its channels stay covered, as for everything.
    pub guaranteed_until: Option<Timestamp>,
    /// The same instant, in seconds since 1970; 0 when a channel is not covered already.
    pub guaranteed_until_epoch: Option<i64>,
}

impl Summary {
    /// The summary at `now`.
    pub fn of(overview: &Overview, loop_age: LoopAge, now: Timestamp) -> Summary {
        let health = health::health(overview, loop_age, now);
        let reasons_left_out =
            health.reasons_left_out + health.reasons.len().saturating_sub(REASONS_MAX);
        let names = overview.names();
        let now = whole_seconds(now);
        Summary {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            written_at: now,
            written_at_epoch: now.as_second(),
            status: health.status,
            headline: headline(health.guarantee, overview, now),
            guaranteed_until: health.guarantee.until().map(whole_seconds),
            guaranteed_until_epoch: epoch(health.guarantee),
            stopping: overview.stopping,
            reasons: health.reasons.iter().take(REASONS_MAX).map(ReasonView::of).collect(),
            reasons_left_out,
            gaps: health.gaps,
            accounts_left_out: names.len().saturating_sub(ACCOUNTS_MAX),
            accounts: names
                .into_iter()
                .take(ACCOUNTS_MAX)
                .map(|name| AccountSummary::of(overview, name, now))
                .collect(),
        }
    }
}

impl AccountSummary {
    fn of(overview: &Overview, name: &AccountName, now: Timestamp) -> AccountSummary {
        let report = overview.report(name);
        let guarantee = match report {
            _ if overview.unusable.contains_key(name) => Guarantee::Broken,
            Some(report) => account_guarantee(report, now),
            None => Guarantee::Unknown,
        };
        AccountSummary {
            name: name.to_string(),
            guaranteed_until: guarantee.until().map(whole_seconds),
            guaranteed_until_epoch: epoch(guarantee),
        }
    }
}

fn epoch(guarantee: Guarantee) -> Option<i64> {
    match guarantee {
        Guarantee::Until(until) => Some(until.as_second()),
        Guarantee::Broken => Some(0),
        Guarantee::Nothing | Guarantee::Unknown => None,
    }
}

/// The meaning of the keys.
pub(crate) const SCHEMA: u32 = 1;
/// The most reasons that are listed.
pub(crate) const REASONS_MAX: usize = 20;
/// The most accounts that are listed.
pub(crate) const ACCOUNTS_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::testing::{TURNING, account, converged, lose, minutes, now, report};
    use super::*;

    fn told(overview: &Overview) -> String {
        serde_json::to_string_pretty(&Summary::of(overview, TURNING, now()))
            .unwrap()
            .replace(env!("CARGO_PKG_VERSION"), "V")
    }

    #[test]
    fn all_is_well() {
        expect![[r#"
            {
              "schema": 1,
              "version": "V",
              "written_at": "2026-01-01T01:00:00Z",
              "written_at_epoch": 1767229200,
              "status": "ok",
              "headline": "everything is covered until 2026-01-02T00:00:00Z (in 23h), even if nothing succeeds any more",
              "guaranteed_until": "2026-01-02T00:00:00Z",
              "guaranteed_until_epoch": 1767312000,
              "stopping": false,
              "reasons": [],
              "reasons_left_out": 0,
              "gaps": 0,
              "accounts": [
                {
                  "name": "acme",
                  "guaranteed_until": "2026-01-02T00:00:00Z",
                  "guaranteed_until_epoch": 1767312000
                }
              ],
              "accounts_left_out": 0
            }"#]].assert_eq(&told(&converged(2)));
    }

    #[test]
    fn what_is_not_covered_is_a_guarantee_in_the_past() {
        let mut overview = converged(2);
        lose(&mut overview, 1);
        overview.accounts.insert(account("beta"), None);
        overview.unusable.insert(account("gone"), "no secret".to_owned());
        let summary = Summary::of(&overview, TURNING, now());
        let accounts =
            summary.accounts.iter().map(|it| (it.name.as_str(), it.guaranteed_until_epoch));
        assert_eq!(
            accounts.collect::<Vec<_>>(),
            [("acme", Some(0)), ("beta", None), ("gone", Some(0))]
        );
        assert_eq!((summary.guaranteed_until, summary.guaranteed_until_epoch), (None, Some(0)));
        assert_eq!(summary.headline, "NOT covered: 1 of 2 channels: c1; cannot be worked on: gone");
    }

    #[test]
    fn it_is_bounded() {
        let mut overview = converged(50);
        (1..=50).for_each(|number| lose(&mut overview, number));
        for n in 0..1100 {
            let name = format!("a{n}");
            overview
                .accounts
                .insert(account(&name), Some(std::sync::Arc::new(report(&name, 1..=1))));
        }
        let summary = Summary::of(&overview, TURNING, minutes(60));
        assert_eq!((summary.reasons.len(), summary.reasons_left_out), (REASONS_MAX, 31));
        assert_eq!((summary.accounts.len(), summary.accounts_left_out), (ACCOUNTS_MAX, 101));
    }
}
