//! How many calls a day an account is expected to take, and what they cost.
//!
//! | call | how often |
//! | --- | --- |
//! | renewals | channels by how often they are renewed, in batches; a batch goes out as often as the first one in it |
//! | looks | one an audit and up to two a renewal, as many calls as the list has pages |
//! | tokens | one a look, but no more than one an hour; they are asked of the OAuth server, and no source says that they cost |
//!
//! These are the calls of an account where all is well: no drift, no failure, no operator. It is
//! rather too much than too little. Where channels are renewed at different intervals, a batch with
//! room takes along what would be due later. And a renewal needs a second look only where the first
//! came a moment early, because Zoho tells its time to the second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::observed::Look;
use crate::model::policy::{Mode, Policy};
use crate::model::version::{DAY, PAGE_ROWS};

use super::facts::Facts;
use super::renewal::{Life, Phase};

/// Calls a day, by kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DailyCalls {
    /// POST or PUT of batches that are due.
    pub renewals: f64,
    /// Pages of the list.
    pub looks: f64,
    /// Requests for an access token.
    pub tokens: f64,
}

impl DailyCalls {
    /// The credits that these calls cost: one for each call of the watch API.
    pub fn credits(&self) -> f64 {
        self.renewals + self.looks
    }
}

/// Calls a day as people and programs read them, beside the credits that there are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DailyCallsView {
    /// The account.
    pub account: String,
    /// POST or PUT of batches that are due, a day.
    pub renewals: f64,
    /// Pages of the list, a day.
    pub looks: f64,
    /// Requests for an access token, a day; no source says that they cost.
    pub tokens: f64,
    /// Credits that all of it costs, a day.
    pub credits: f64,
    /// Credits of a day, when the config says so.
    pub credits_per_day: Option<u64>,
}

impl DailyCallsView {
    /// The view of an account with these credits.
    pub fn of(
        account: &AccountName,
        calls: &DailyCalls,
        credits_per_day: Option<u64>,
    ) -> DailyCallsView {
        let hundredths = |number: f64| (number * 100.0).round() / 100.0;
        DailyCallsView {
            account: account.to_string(),
            renewals: hundredths(calls.renewals),
            looks: hundredths(calls.looks),
            tokens: hundredths(calls.tokens),
            credits: hundredths(calls.credits()),
            credits_per_day,
        }
    }

    /// Renders it in one line.
    pub fn line(&self) -> String {
        let DailyCallsView { account, renewals, looks, tokens, credits, credits_per_day } = self;
        let of = match (credits_per_day, self.share()) {
            (Some(all), Some(share)) => format!(" of {all}, {:.1} %", share * 100.0),
            (_, _) => String::new(),
        };
        let total = renewals + looks + tokens;
        format!(
            "{account}: about {total:.1} calls a day: {renewals:.1} renewals, {looks:.1} looks, {tokens:.1} tokens; \
             {credits:.1} credits{of}"
        )
    }

    /// A word of warning, when so much is taken that others may go short, or this account itself.
    pub fn warning(&self) -> Option<String> {
        let (share, all) = (self.share()?, self.credits_per_day?);
        (share > SHARE_MAX).then(|| {
            format!(
                "account {}: {:.0} of the {all} credits of a day are expected to be used, {:.0} %; audit less often, give \
                 longer lifetimes, or add credits",
                self.account,
                self.credits,
                share * 100.0
            )
        })
    }

    fn share(&self) -> Option<f64> {
        self.credits_per_day.map(|all| self.credits / all as f64)
    }
}

/// The calls expected when all channels of an account live as long as is asked for, with so many
/// audits a day.
pub fn expected(
    account: &AccountName,
    policy: &Policy,
    specs: &BTreeMap<ChannelId, Arc<Spec>>,
    audits: f64,
) -> DailyCalls {
    let length = |spec: &Spec| spec.lifetime.min(policy.lifetime_max);
    let intervals = intervals(account, policy, specs, length);
    calls(&intervals, rows(specs), policy.batch_max, audits)
}

/// The calls for renewals alone, from the lives that were granted and the list that was seen.
pub(super) fn of_renewals(facts: &Facts<'_>) -> DailyCalls {
    let Facts { account, policy, specs, records, state, look, now, .. } = *facts;
    let length = |spec: &Spec| {
        let granted =
            records.get(&spec.id).and_then(|record| record.grant).map(|grant| grant.length());
        granted.map_or(spec.lifetime, |granted| granted.min(spec.lifetime))
    };
    calls(
        &intervals(account, policy, specs, length),
        rows_seen(look, specs),
        state.learned.batch_max(policy, now),
        0.0,
    )
}

/// How long each channel that is renewed goes from one renewal to the next, the shortest first.
fn intervals(
    account: &AccountName,
    policy: &Policy,
    specs: &BTreeMap<ChannelId, Arc<Spec>>,
    length: impl Fn(&Spec) -> Duration,
) -> Vec<Duration> {
    let phase = Phase::of(account);
    let renewed = specs.values().filter(|spec| policy.mode.min(spec.mode) > Mode::Observe);
    let mut intervals: Vec<Duration> = renewed
        .map(|spec| Life::interval(length(spec), spec.renew_before, phase).max(INTERVAL_MIN))
        .collect();
    intervals.sort_unstable();
    intervals
}

/// The calls that one look takes: the pages of the list that was seen, or else of what is declared.
pub(super) fn pages(facts: &Facts<'_>) -> u64 {
    pages_of(rows_seen(facts.look, facts.specs)) as u64
}

fn calls(intervals: &[Duration], rows: usize, batch_max: usize, audits: f64) -> DailyCalls {
    let a_day = |interval: Duration| DAY.as_secs_f64() / interval.as_secs_f64();
    let mut batches: Vec<Duration> =
        intervals.chunks(batch_max.max(1)).map(|batch| batch[0]).collect();
    let renewals = batches.iter().copied().map(a_day).sum();
    // Batches of one interval go out in one pass.
    batches.dedup();
    let looks = audits + LOOKS_A_RENEWAL * batches.into_iter().map(a_day).sum::<f64>();
    let (looks, pages) = (looks.max(LOOKS_MIN), pages_of(rows) as f64);
    DailyCalls { renewals, looks: looks * pages, tokens: looks.min(TOKENS_MAX) }
}

fn pages_of(rows: usize) -> usize {
    rows.div_ceil(PAGE_ROWS).max(1)
}

fn rows_seen(look: &Look, specs: &BTreeMap<ChannelId, Arc<Spec>>) -> usize {
    match look {
        Look::Seen { channels, .. } => {
            channels.values().map(|seen| seen.events.iter().count()).sum()
        }
        Look::Unknown(_) => rows(specs),
    }
}

/// A list has a row for each module of a channel.
fn rows(specs: &BTreeMap<ChannelId, Arc<Spec>>) -> usize {
    specs.values().map(|spec| spec.events.iter().count()).sum()
}

/// More of a day's credits than this is worth a warning: when half of them are used, Zoho itself
/// begins to count.
const SHARE_MAX: f64 = 0.5;
/// An account is looked at once a day whatever happens.
const LOOKS_MIN: f64 = 1.0;
/// The first may come a moment early.
const LOOKS_A_RENEWAL: f64 = 2.0;
/// A token lives an hour and is fetched anew a minute before its end.
const TOKENS_MAX: f64 = 24.0 * 60.0 / 59.0;
/// No channel is renewed more often.
const INTERVAL_MIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{acme, policy, spec};

    const HOUR: Duration = Duration::from_secs(3600);

    /// So many channels of such lives. The phase makes each interval a little shorter than half of
    /// a life.
    fn of(groups: &[(i64, Duration)], audits: f64) -> DailyCalls {
        let mut specs = BTreeMap::new();
        for (channels, lifetime) in groups {
            for _ in 0..*channels {
                let number = specs.len() as i64 + 1;
                let renew_before = Some(*lifetime / 2);
                let spec = Spec { lifetime: *lifetime, renew_before, ..spec(number) };
                specs.insert(spec.id, Arc::new(spec));
            }
        }
        expected(&acme(), &policy(), &specs, audits)
    }

    fn assert_near(actual: f64, expected: f64) {
        assert!(
            actual >= expected && actual <= expected * 1.07,
            "{actual} is not about {expected}"
        );
    }

    #[test]
    fn a_day_of_life_is_two_batches_a_day_and_an_audit_a_look() {
        let calls = of(&[(50, DAY)], 96.0);
        assert_near(calls.renewals, 2.0);
        assert_near(calls.looks, 100.0);
        assert_near(calls.tokens, 24.0);
        assert_near(calls.credits(), 102.0);
        assert_near(of(&[(51, DAY)], 96.0).renewals, 4.0);
    }

    #[test]
    fn batches_of_one_interval_go_out_in_one_pass_and_a_long_list_has_pages() {
        let calls = of(&[(1000, DAY)], 0.0);
        assert_near(calls.renewals, 40.0);
        assert_near(calls.looks, 4.0 * 10.0);
        assert_near(calls.tokens, 4.0);
    }

    #[test]
    fn a_long_life_rides_along_with_a_short_one() {
        assert_near(of(&[(40, DAY), (10, DAY * 6)], 0.0).renewals, 2.0);
        assert_near(of(&[(50, DAY), (10, DAY * 6)], 0.0).renewals, 2.0 + 1.0 / 3.0);
    }

    #[test]
    fn half_of_the_credits_is_worth_a_warning_and_what_is_not_known_is_not() {
        let view = |all| DailyCallsView::of(&"acme".parse().unwrap(), &of(&[(50, DAY)], 96.0), all);
        assert_eq!(
            view(Some(5_000)).line(),
            "acme: about 126.5 calls a day: 2.0 renewals, 100.1 looks, 24.4 tokens; 102.1 credits of 5000, 2.0 %"
        );
        assert_eq!(
            view(None).line(),
            "acme: about 126.5 calls a day: 2.0 renewals, 100.1 looks, 24.4 tokens; 102.1 credits"
        );
        assert_eq!((view(Some(205)).warning(), view(None).warning()), (None, None));
        assert!(view(Some(203)).warning().is_some_and(|text| text.contains("50 %")));
    }

    #[test]
    fn nothing_to_renew_is_a_look_a_day() {
        let calls = of(&[], 0.0);
        assert_eq!((calls.renewals, calls.looks, calls.tokens), (0.0, 1.0, 1.0));
    }

    #[test]
    fn a_life_of_nothing_gives_a_number_all_the_same() {
        let calls = of(&[(1, Duration::ZERO), (1, HOUR)], 0.0);
        assert!(calls.credits().is_finite() && calls.renewals > 0.0, "{calls:?}");
    }
}
