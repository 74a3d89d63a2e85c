//! The limits that keep an account from what the config asks for, one sentence each.

use std::collections::BTreeMap;

use crate::model::learned::{BatchLearned, Scope};
use crate::model::time::brief;

use super::facts::Facts;
use super::render::counted;

/// The limits of the account that are smaller than the config says.
pub(super) fn limits(facts: &Facts<'_>) -> Vec<String> {
    let of_account = [lifetime(facts), batch(facts)].into_iter().flatten();
    of_account.chain(lives_refused(facts)).chain(scopes(facts)).collect()
}

fn lifetime(facts: &Facts<'_>) -> Option<String> {
    let Facts { policy, specs, state, now, .. } = facts;
    let lifetime = state.learned.lifetime_max(policy, *now);
    let wanted =
        specs.values().map(|spec| spec.lifetime).max().unwrap_or_default().min(policy.lifetime_max);
    let (max, wanted) = (wanted > lifetime).then(|| (brief(lifetime), brief(wanted)))?;
    Some(format!(
        "this account grants at most {max}; lifetime = \"{wanted}\" is not to be had: set lifetime \
             or lifetime_max"
    ))
}

fn batch(facts: &Facts<'_>) -> Option<String> {
    let Facts { policy, state, now, .. } = facts;
    let learned = state.learned.batch.filter(|batch| batch.holds(policy, *now))?;
    let BatchLearned { max, refused, .. } = learned;
    let (max, configured) = (counted(max, "channel"), policy.batch_max);
    Some(format!(
        "this account takes {max} in one write and refuses {refused}: the config says {configured}"
    ))
}

/// The scopes that the token lacks, and what follows.
fn scopes(facts: &Facts<'_>) -> Vec<String> {
    let Facts { state, now, .. } = facts;
    let lacks = |scope| state.learned.lacks(scope, *now).map(|unscoped| unscoped.said.clone());
    [Scope::Update, Scope::Delete].into_iter().filter_map(lacks).collect()
}

/// One sentence for all the channels to which Zoho said the same.
fn lives_refused(facts: &Facts<'_>) -> Vec<String> {
    let Facts { policy, specs, records, now, .. } = facts;
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    for spec in specs.values() {
        let refused = records.get(&spec.id).and_then(|record| record.life_refused.as_ref());
        let refused =
            refused.filter(|refused| refused.holds(spec.lifetime, policy.lifetime_max, *now));
        if let Some(refused) = refused {
            *said.entry(refused.words()).or_default() += 1;
        }
    }
    let sentence =
        |(words, number)| format!("asked shorter for {}: {words}", counted(number, "channel"));
    said.into_iter().map(sentence).collect()
}
