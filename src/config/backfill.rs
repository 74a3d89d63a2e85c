//! The checks of `[backfill]`, and the rule that each channel has by it.

use super::check::Check;
use super::raw;
use super::values::{self, CreditsPart};
use crate::model::backfill::{
    BackfillMode, BackfillRule, CREDITS_PERCENT, CREDITS_UNKNOWN_EDITION, Kinds, MOST, RATE,
};

/// The settings of `[backfill]`, for every channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backfill {
    mode: Option<BackfillMode>,
    kinds: Kinds,
    rate: u32,
    most: u64,
    credits: Option<CreditsPart>,
}

impl Default for Backfill {
    fn default() -> Backfill {
        Backfill { mode: None, kinds: Kinds::ALL, rate: RATE, most: MOST, credits: None }
    }
}

impl Backfill {
    /// As it is written.
    pub(super) fn check(given: &raw::Backfill, check: &mut Check<'_>) -> Backfill {
        let raw::Backfill { mode, kinds: _, rate, most, credits } = given;
        let usual = Backfill::default();
        Backfill {
            mode: mode.value().copied().flatten(),
            kinds: kinds(given, check),
            rate: rate.value().and_then(|rate| u32::try_from(*rate).ok()).unwrap_or(usual.rate),
            most: most.value().and_then(|most| u64::try_from(*most).ok()).unwrap_or(usual.most),
            credits: credits.value().copied(),
        }
    }

    /// The rule of a channel; `mode` is what it, or its account, says for itself.
    pub(super) fn rule(
        &self,
        mode: Option<Option<BackfillMode>>,
        credits_per_day: Option<u64>,
    ) -> Option<BackfillRule> {
        let Backfill { mode: of_all, kinds, rate, most, credits } = *self;
        let mode = mode.unwrap_or(of_all)?;
        let part = |percent: u64| credits_per_day.map(|all| all.saturating_mul(percent) / 100);
        let credits = match credits {
            Some(CreditsPart::Number(number)) => Some(number),
            Some(CreditsPart::Percent(percent)) => part(percent),
            None => part(CREDITS_PERCENT),
        };
        let credits = credits.unwrap_or(CREDITS_UNKNOWN_EDITION);
        Some(BackfillRule { mode, kinds, rate, most, credits })
    }
}

fn kinds(given: &raw::Backfill, check: &mut Check<'_>) -> Kinds {
    let Some(list) = given.kinds.good() else { return Kinds::ALL };
    let mut kinds = Kinds::NONE;
    for at in &list.value {
        match at.value.as_str() {
            "uncovered" => kinds.uncovered = true,
            "undeliverable" => kinds.undeliverable = true,
            "unknown" => kinds.unknown = true,
            other => {
                let mistake = values::gap_kind(other);
                check.problem(at.place, mistake.message, mistake.help);
            }
        }
    }
    if list.value.is_empty() {
        check.notes.warning(list.place, "no gap is recovered", "leave the key out for all kinds");
    }
    kinds
}
