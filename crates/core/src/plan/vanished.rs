//! All running channels of an account are gone at once: deleted, or another org answers.
//!
//! A channel that was granted runs to its end. Where a look shows none of them, either somebody
//! deleted all, which is to be repaired at once, or the look was at another org, where nothing may
//! be enabled:
//!
//! | the look, beside the last one that showed a running channel of ours | then |
//! | --- | --- |
//! | a module has the same id | somebody deleted them: repaired at once |
//! | a module has another id | another org: everything is held until an operator says otherwise |
//! | no module to compare, other credentials | held until an operator says otherwise, or until the first of them would be in its emergency |
//! | no module to compare, the same credentials | repaired at once: an org does not change under its credentials |
//!
//! The hold costs nothing that could be had: the channels of the org that the old credentials led
//! to run on, and near the end of the first of them coverage outranks the doubt. The one that is
//! held for ever is known to be another org. Decision 0020 has the reasons.

use crate::model::channel::ChannelId;
use crate::model::observed::Look;
use crate::model::org::{OrgKnown, WhichOrg};
use crate::model::record::{Grant, Record};
use crate::model::time::{Timestamp, after, earliest, span};

use super::facts::Facts;
use super::renewal::Life;
use super::step::{Cause, Held, Step};

/// The hold of an account whose running channels are gone, and until when it lasts.
pub(super) fn vanished(facts: &Facts<'_>) -> Option<(Cause, Option<Timestamp>)> {
    let gone: Vec<Grant> = running(facts)
        .filter(|(record, grant)| !is_accepted(facts, record, *grant))
        .map(|(_, grant)| grant)
        .collect();
    let channels = gone.len();
    let (is_known, until) = match facts.look {
        _ if gone.is_empty() || sees_one(facts) => return None,
        Look::Unknown(_) if facts.state.org.is_other => (true, None),
        Look::Unknown(_) => return None,
        Look::Seen { beside, .. } => match facts.state.org.compare(&beside.org) {
            WhichOrg::Other => (true, None),
            WhichOrg::OtherCredentials => (false, Some(first_emergency(facts, &gone)?)),
            WhichOrg::Same | WhichOrg::Unknown => return None,
        },
    };
    Some((Cause::Vanished { channels, is_other_org: is_known }, until))
}

/// The knowledge of the org after a look, or after a pass by what its next look should show: a
/// channel that was just granted runs in the org that granted it.
#[must_use]
pub fn org_after(facts: &Facts<'_>) -> OrgKnown {
    let known = &facts.state.org;
    let Look::Seen { beside, .. } = facts.look else { return known.clone() };
    if sees_one(facts) {
        return known.seen(&beside.org);
    }
    let is_other = known.compare(&beside.org) == WhichOrg::Other && running(facts).next().is_some();
    OrgKnown { is_other, ..known.clone() }
}

/// The running grants that an operator allows to be enabled anew.
pub fn to_accept(
    records: impl IntoIterator<Item = Record>,
    zoho_now: Timestamp,
) -> impl Iterator<Item = (ChannelId, Timestamp)> {
    let grant = move |record: Record| Some((record.id, record.grant?.expiry));
    records.into_iter().filter_map(grant).filter(move |(_, expiry)| *expiry > zoho_now)
}

/// Holds whatever would be done, with one cause.
pub(super) fn hold_vanished(
    facts: &Facts<'_>,
    steps: &mut Vec<Step>,
    held: &mut Vec<Held>,
) -> Option<Timestamp> {
    let (cause, until) = vanished(facts)?;
    for step in steps.drain(..) {
        held.push(Held { id: step.id, name: step.name, cause: cause.clone(), until });
    }
    held.dedup_by(|one, other| one.id == other.id && one.cause == other.cause);
    Some(after(facts.now, LOOK_AGAIN))
}

/// The records whose granted life is not over.
fn running<'a>(facts: &'a Facts<'_>) -> impl Iterator<Item = (&'a Record, Grant)> {
    let zoho_now = facts.state.zoho_time(facts.now);
    let running = move |record: &'a Record| {
        let grant = record.grant.filter(|grant| grant.expiry > zoho_now)?;
        Some((record, grant))
    };
    facts.records.values().filter_map(running)
}

fn sees_one(facts: &Facts<'_>) -> bool {
    let Look::Seen { channels, .. } = facts.look else { return false };
    let zoho_now = facts.state.zoho_time(facts.now);
    running(facts).any(|(record, _)| {
        let seen = channels.get(&record.id).filter(|seen| {
            seen.expiry.is_none_or(|expiry| expiry > zoho_now)
                && (seen.notify_urls.is_empty()
                    || seen.notify_urls.iter().any(|url| url.fingerprint() == record.notify_url))
        });
        seen.is_some()
    })
}

fn is_accepted(facts: &Facts<'_>, record: &Record, grant: Grant) -> bool {
    facts.wishes.vanished.get(&record.id) == Some(&grant.expiry)
}

/// When the first of these lives is in its emergency, if that is to come.
fn first_emergency(facts: &Facts<'_>, gone: &[Grant]) -> Option<Timestamp> {
    let life = |grant: &Grant| Life { length: span(grant.at, grant.expiry), expiry: grant.expiry };
    let first = earliest(gone.iter().map(|grant| Some(life(grant).emergency_at())))?;
    let first = facts.state.local_time(first);
    (first > facts.now).then_some(first)
}

/// While all is held, the account is looked at this often: the right credentials may be back.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_secs(15 * 60);
