//! The lessons of one pass about its account.
//!
//! A short grant (Zoho gives one hour, in silence, to who asks for more than it allows) is taken as
//! news of the account's real maximum, unless the clock may be to blame:
//!
//! | asked | granted | then |
//! | --- | --- | --- |
//! | any, and Zoho's time was not measured in this pass | far less | ask again with measured skew, once |
//! | more than one day | one day or more | what was granted is the maximum |
//! | more than one day less a guard | under one day | one day is the maximum: every source agrees that it is granted |
//! | that or less | under that | nothing is learned: the day is asked for again and again, and the life is scheduled by its grant |
//!
//! A life of under a day is never believed to be the maximum. Zoho may grant a day again an hour
//! later; an account that had learned an hour would then live from hour to hour, with no slack, for
//! as long as it remembered.
//!
//! A POST of a live channel that is refused because the channel is live teaches that renewals go by
//! PUT.
//!
//! A PATCH or a DELETE for which the token has no scope teaches that for all channels, until one is
//! accepted. Where every single call of a pass was forbidden alike, the next tries ask for one
//! channel first, and for the others only when that one is not forbidden; each try for another one.
//! After an hour all are asked for again, so that no channel waits for the permission of another.
//!
//! When a batch is refused as a whole and both its halves are accepted whole, batches must be
//! smaller. The limit lies below that batch, and not below the largest that is accepted. The writes
//! that come up anyway halve the range between the two, until the limit is known to the channel.
//!
//! Asking again for a longer life is a step of the next plan (`short-grant`), at most
//! [`ATTEMPTS_MAX`] passes a day.

use std::time::Duration;

use crate::model::learned::{BatchLearned, Learned, LifetimeLearned, Refusing, Scope, Unscoped};
use crate::model::policy::Policy;
use crate::model::record::Grant;
use crate::model::time::Timestamp;
use crate::model::version::DAY;

use super::backoff;
use super::step::{Action, Reason, Step};
use crate::model::codes::{SCOPE_MISMATCH, is_taken};

/// Zoho's reply to a step.
#[derive(Clone, Copy, Debug)]
pub enum Said<'a> {
    /// Yes, until then.
    Granted(Grant),
    /// Yes, and it has no expiry.
    Done,
    /// No.
    Refused {
        /// Zoho's code.
        code: &'a str,
        /// Zoho's message.
        message: &'a str,
    },
}

/// The lessons known once these steps were answered so. `measured` is true when this pass saw
/// Zoho's time.
#[must_use]
pub fn learn(
    learned: &Learned,
    policy: &Policy,
    said: &[(&Step, Said<'_>)],
    measured: bool,
    now: Timestamp,
) -> Learned {
    let mut learned = learned.clone();
    if said.iter().any(|(step, said)| is_live_and_taken(step, *said)) {
        learned.post_refused = Some(now);
    }
    for (step, said) in said {
        learn_scope(&mut learned, step, *said, now);
    }
    if said.iter().any(|(step, _)| step.reason == Reason::ShortGrant) {
        learned.short_grants = learned.short_grants.again(now);
    }
    let attempts = learned.short_grants.today(now);
    let short = said.iter().filter_map(|(_, said)| said.grant()).filter(Grant::is_short);
    let Some(grant) = short.min_by_key(Grant::length) else { return learned };
    if let Some(max) = lifetime_max(grant, measured, attempts) {
        let (asked, granted, configured) =
            (grant.asked_length(), grant.length(), policy.lifetime_max);
        learned.lifetime = (max <= configured).then_some(LifetimeLearned {
            max,
            asked,
            granted,
            configured,
            at: now,
        });
    }
    learned
}

/// The scope that a step needs, where something else can be done without it.
const fn scope(action: &Action) -> Option<Scope> {
    match action {
        Action::Update(_) | Action::RemoveEvents(..) => Some(Scope::Update),
        Action::Disable => Some(Scope::Delete),
        Action::TakeOver(_) | Action::Enable(_) | Action::Replace(_) | Action::Forget => None,
    }
}

fn learn_scope(learned: &mut Learned, step: &Step, said: Said<'_>, now: Timestamp) {
    let Some(scope) = scope(&step.action) else { return };
    match said {
        Said::Granted(_) | Said::Done => {
            learned.unscoped.remove(&scope);
        }
        Said::Refused { code: SCOPE_MISMATCH, message } => {
            learned.unscoped.insert(scope, Unscoped { said: message.to_owned(), at: now });
        }
        Said::Refused { .. } => {}
    }
}

/// The fate of a pass's writes as whole calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFates {
    /// True when one was accepted.
    pub accepted: bool,
    /// The largest write that was accepted with all the channels in it.
    pub whole: usize,
    /// The smallest that was refused because of its size: both its halves were accepted.
    pub too_large: Option<usize>,
    /// The code with which one after the other was refused, until the pass gave up.
    pub refusing: Option<String>,
    /// The code with which every single call was forbidden, when all were made.
    pub forbidden: Option<String>,
    /// True when one was answered with anything but that it is forbidden.
    pub allowed: bool,
}

/// The lessons known once the calls of a pass went so.
#[must_use]
pub fn learn_calls(
    learned: Learned,
    policy: &Policy,
    calls: &CallFates,
    now: Timestamp,
) -> Learned {
    let refusing = match (&calls.refusing, &learned.refusing) {
        // Emergencies are sent in spite of the wait: they do not draw it out for the others.
        (Some(_), Some(known)) if backoff::after_refusing(known, now).is_some() => learned.refusing,
        (Some(code), _) => Some(Refusing { code: code.clone(), at: now }),
        (None, _) if calls.accepted => None,
        (None, _) => learned.refusing,
    };
    let forbidden = match &calls.forbidden {
        Some(code) => Some(Refusing { code: code.clone(), at: now }),
        None => learned.forbidden.filter(|_| !calls.allowed),
    };
    let known = learned.batch.filter(|batch| batch.holds(policy, now));
    let batch = batch_learned(known, policy, calls, now);
    Learned { batch, refusing, forbidden, ..learned }
}

/// A size that was refused although a larger one was accepted in the same pass says nothing of
/// sizes.
fn batch_learned(
    known: Option<BatchLearned>,
    policy: &Policy,
    calls: &CallFates,
    now: Timestamp,
) -> Option<BatchLearned> {
    let too_large = calls.too_large.filter(|size| *size > calls.whole);
    let refused = known.map(|known| known.refused).into_iter().chain(too_large).min()?;
    let max = known
        .map(|known| known.max)
        .into_iter()
        .chain([calls.whole])
        .filter(|max| *max < refused)
        .max()?;
    let unchanged = known.filter(|known| (known.max, known.refused) == (max, refused));
    Some(unchanged.unwrap_or(BatchLearned { max, refused, configured: policy.batch_max, at: now }))
}

impl Said<'_> {
    fn grant(self) -> Option<Grant> {
        match self {
            Said::Granted(grant) => Some(grant),
            Said::Done | Said::Refused { .. } => None,
        }
    }
}

/// POST of a channel that we know to be live, refused because it is. A missing one that is refused
/// so says nothing of the account: its id may be somebody else's.
fn is_live_and_taken(step: &Step, said: Said<'_>) -> bool {
    let of_live = matches!(step.action, Action::Enable(_)) && step.reason != Reason::Missing;
    of_live && matches!(said, Said::Refused { code, .. } if is_taken(code))
}

/// The table above.
fn lifetime_max(grant: Grant, measured: bool, attempts: u32) -> Option<Duration> {
    let (asked, granted) = (grant.asked_length(), grant.length());
    match (measured || attempts > 0, asked > DAY.saturating_sub(LIFETIME_GUARD)) {
        (false, _) => None,
        (true, true) => Some(granted.max(DAY)),
        (true, false) => None,
    }
}

/// True when a life this short is worth another call: more can be had by now, and the day's
/// attempts are not used up.
pub(super) fn can_do_better(
    grant: Grant,
    asks: Duration,
    learned: &Learned,
    now: Timestamp,
) -> bool {
    let much_more = asks > grant.length().saturating_add(grant.length() / 4);
    grant.is_short() && much_more && learned.short_grants.today(now) < ATTEMPTS_MAX
}

/// Taken off the longest lifetime: what a measured skew may be wrong by (the `Date` header carries
/// whole seconds) and what the clock may drift between the look and the write.
pub(super) const LIFETIME_GUARD: Duration = Duration::from_secs(30);
/// Passes a day in which a channel is enabled for nothing but a longer life.
pub const ATTEMPTS_MAX: u32 = 4;
