//! The wishes of people about recoveries.
//!
//! A command writes a wish and wakes the task that recovers, which writes the recoveries
//! ([`super::backfill`]). Without a daemon the wish waits for one.

use std::collections::BTreeSet;

use crate::backfill::{Recovery, State};
use crate::model::channel::AccountName;
use crate::model::time::Timestamp;
use crate::model::wishes::{AskedStretch, Recoveries, Wishes};
use crate::store::Store;

use super::actions::VerbError;
use super::fleet::Fleet;
use super::recoveries::{Fate, RecoverRequest, SettleRequest};

/// Asks for a stretch of a declared channel.
///
/// # Errors
/// When there is no such channel, the stretch is none, or the store fails.
pub(crate) async fn recover(
    fleet: &Fleet,
    store: &Store,
    request: &RecoverRequest,
    now: Timestamp,
) -> Result<(), VerbError> {
    let RecoverRequest { channel, since, until, plan } = request;
    let (subject, spec) = fleet.channel(channel)?;
    let account = subject.name();
    let zoho_now = store.account_state(account)?.zoho_time(now);
    let to = until.unwrap_or(zoho_now).min(zoho_now);
    if *since >= to {
        return Err(VerbError::NoStretch);
    }
    let open = store.recoveries(account)?;
    let asked = AskedStretch { channel: spec.id, from: *since, to, at: now, plan: *plan };
    let ask = |wishes: &mut Wishes| {
        let known = &mut wishes.recoveries;
        forget_what_is_over(known, &open);
        known.asked.push(asked);
        let excess = known.asked.len().saturating_sub(ASKED_MAX);
        known.asked.drain(..excess);
    };
    store.ask(account, ask).await?;
    Ok(())
}

/// Says what is to become of a recovery.
///
/// # Errors
/// When there is none of that id, or it does not wait for a person, or the store fails.
pub(crate) async fn settle(store: &Store, request: &SettleRequest) -> Result<(), VerbError> {
    let unknown = || VerbError::NoRecovery(request.id.clone());
    let (account, number) = request.id.split_once('/').ok_or_else(unknown)?;
    let account: AccountName = account.parse().map_err(|_| unknown())?;
    let number: u64 = number.parse().map_err(|_| unknown())?;
    let known = store.recoveries(&account)?;
    let recovery = known.iter().find(|one| one.number == number).ok_or_else(unknown)?;
    let is_open = match request.fate {
        Fate::Release => matches!(recovery.state, State::Held(_)),
        Fate::Abandon => !recovery.is_over(),
    };
    if !is_open {
        let state = recovery.state.word();
        return Err(VerbError::NotHeld { id: request.id.clone(), state });
    }
    let ask = |wishes: &mut Wishes| {
        forget_what_is_over(&mut wishes.recoveries, &known);
        let _is_new = match request.fate {
            Fate::Release => wishes.recoveries.released.insert(number),
            Fate::Abandon => wishes.recoveries.abandoned.insert(number),
        };
    };
    store.ask(&account, ask).await?;
    Ok(())
}

/// Whoever asks for something takes away what is over.
fn forget_what_is_over(wishes: &mut Recoveries, known: &[Recovery]) {
    let open: BTreeSet<u64> =
        known.iter().filter(|one| !one.is_over()).map(|one| one.number).collect();
    wishes.released.retain(|number| open.contains(number));
    wishes.abandoned.retain(|number| open.contains(number));
    let is_made = |asked: &AskedStretch| known.iter().any(|one| one.asked == Some(asked.at));
    wishes.asked.retain(|asked| !is_made(asked));
}

/// Stretches that are asked for and not made yet, of each account.
const ASKED_MAX: usize = 100;
