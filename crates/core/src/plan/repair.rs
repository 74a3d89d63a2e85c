//! Which writes mend a drift.

use crate::model::channel::Spec;
use crate::model::observed::Observed;

use super::drift::Drift;
use super::step::{Action, Ask};

/// The writes that mend a drift.
///
/// Missing events are added before extra ones are removed: a write that is refused must have taken
/// nothing away. Extra events go by name, once a look finds nothing else amiss; that is exact
/// whether Zoho's PATCH replaces the events or adds to them (the API notes have evidence for
/// neither). When the channel has none of the events to be written, removing the others would drop
/// the channel itself, so the whole channel is replaced. It is also replaced for a change that
/// PATCH cannot express or has twice not achieved.
pub(super) fn repair_action(ask: Ask, observed: &Observed, drift: &[Drift], writes: u32) -> Action {
    let nothing_in_common = observed.events.minus(ask.events()).len() == observed.events.len();
    let is_beyond = |drift: &Drift| is_beyond_patch(drift, &ask.spec);
    if writes >= PATCHES_MAX || nothing_in_common || drift.iter().any(is_beyond) {
        return Action::Replace(ask);
    }
    match drift {
        [Drift::Events { missing, extra }] if missing.is_empty() => {
            Action::RemoveEvents(ask.spec, extra.clone())
        }
        _ => Action::Update(ask),
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
