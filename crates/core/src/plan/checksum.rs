//! A short name for a plan: the same as long as the plan would write the same.
//!
//! It covers every step of every account, in their order: the account, the channel, the action, the
//! reason, and every field that differs (so also the events that are dropped). It also covers the
//! whole declaration that would be written (as a fingerprint, the token in it). It covers no
//! instant: not when the plan was made, nor when a channel ends, nor the expiry that is asked for,
//! which is another in each second. Channels that are held or kept are not in it either: nothing is
//! done to them.

use crate::model::channel::Spec;
use crate::model::secret::Fingerprint;

use super::step::{Plan, Reason, Step};

/// Over the plans of some accounts, which are given by name.
pub fn checksum(plans: &[Plan]) -> String {
    let names: Vec<String> = plans.iter().map(of_account).collect();
    of_all(names.iter().map(String::as_str))
}

/// Over the plan of one account.
pub fn of_account(plan: &Plan) -> String {
    let steps = plan.steps.iter().flat_map(of_step);
    let account = [plan.account.to_string(), plan.steps.len().to_string()];
    let parts: Vec<String> = account.into_iter().chain(steps).collect();
    of_all(parts.iter().map(String::as_str))
}

/// Over the checksums of accounts, which are given by name.
pub fn of_all<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let parts: Vec<&str> = parts.collect();
    let mut text = Fingerprint::of(&parts).to_string();
    text.truncate(LENGTH);
    text
}

fn of_step(step: &Step) -> [String; 5] {
    let Step { id, name, action, reason, expiry: _ } = step;
    let only = action.ask().and_then(|ask| ask.only.as_ref()).map(ToString::to_string);
    let written =
        action.spec().map(|spec| written(spec)).unwrap_or_default() + &only.unwrap_or_default();
    [id.to_string(), name.to_string(), action.word().to_owned(), because(reason), written]
}

/// A spec as text, for the checksum. A rotating token adds its generation, which the declaration
/// does not contain.
fn written(spec: &Spec) -> String {
    let token = spec.token.as_ref().filter(|_| spec.rotation.is_some());
    format!(
        "{}{}",
        spec.fingerprint(),
        token.map(|token| token.fingerprint().to_string()).unwrap_or_default()
    )
}

/// The reason with what it was drawn from.
fn because(reason: &Reason) -> String {
    let drift: Vec<String> = reason.drift().iter().map(ToString::to_string).collect();
    format!("{} {}", reason.word(), drift.join("; "))
}

/// So many hexadecimal digits: enough that no two plans of a day are taken for each other, few
/// enough to be typed.
const LENGTH: usize = 12;
