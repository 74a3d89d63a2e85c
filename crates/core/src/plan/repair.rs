//! Which writes mend a drift.

use crate::model::channel::Spec;
use crate::model::observed::Observed;

use super::drift::Drift;
use super::step::{Action, Ask};

/// The writes that mend a drift.
///
/// Extra events go first and by name, which is exact whether Zoho's PATCH replaces the events or
/// adds to them (the API notes have evidence for neither). Where no declared event is left in the
/// channel that would drop the channel itself, so the whole of it is replaced, as it is for what
/// PATCH cannot say or has twice not achieved.
pub(super) fn repair_actions(
    ask: Ask,
    observed: &Observed,
    drift: &[Drift],
    writes: u32,
) -> Vec<Action> {
    let extra = drift.iter().find_map(|drift| match drift {
        Drift::Events { extra, missing: _ } => Some(extra.clone()),
        Drift::NotifyUrl { .. }
        | Drift::Token { .. }
        | Drift::NotifyOnRelatedAction { .. }
        | Drift::ReturnAffectedFieldValues { .. }
        | Drift::Conditions { .. } => None,
    });
    let extra = extra.filter(|extra| !extra.is_empty());
    let nothing_in_common = observed.events.minus(&ask.spec.events).len() == observed.events.len();
    if writes >= PATCHES_MAX
        || nothing_in_common
        || drift.iter().any(|drift| is_beyond_patch(drift, &ask.spec))
    {
        return vec![Action::Replace(ask)];
    }
    let only_extra =
        drift.len() == 1 && matches!(drift, [Drift::Events { missing, .. }] if missing.is_empty());
    let remove = extra.map(|extra| Action::RemoveEvents(ask.spec.clone(), extra));
    if only_extra {
        remove.into_iter().collect()
    } else {
        remove.into_iter().chain([Action::Update(ask)]).collect()
    }
}

/// PATCH keeps what it is not given, so it cannot clear a token or a condition.
fn is_beyond_patch(drift: &Drift, spec: &Spec) -> bool {
    match drift {
        Drift::Token { .. } => spec.token.is_none(),
        Drift::Conditions { .. } => spec.conditions.is_empty(),
        Drift::Events { .. }
        | Drift::NotifyUrl { .. }
        | Drift::NotifyOnRelatedAction { .. }
        | Drift::ReturnAffectedFieldValues { .. } => false,
    }
}

/// After this many writes that did not mend it, a drift is mended by PUT.
const PATCHES_MAX: u32 = 2;
