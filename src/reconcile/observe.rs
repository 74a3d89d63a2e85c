//! One look at everything an account has at Zoho.

use std::time::Duration;

use crate::model::observed::Look;
use crate::model::record::{AccountState, Trouble};
use crate::model::time::{Times, Timestamp};
use crate::zoho::auth::credentials_fingerprint;
use crate::zoho::client::{Client, Listing};
use crate::zoho::error::{Class, Error};

/// The result of a look, and the news about the account that came with it.
#[derive(Debug)]
pub(crate) struct Observation {
    /// The whole list, or why there is none.
    pub look: Look,
    /// The account's state with the look taken into it: clock skew, failures in a row.
    pub state: AccountState,
    /// True when the failure is one that only a person can mend: credentials, scope, URL.
    pub needs_a_person: bool,
    /// When the look was made, in Zoho's time.
    pub times: Times,
    /// True when Zoho's time is known from this look.
    pub measured: bool,
}

/// Looks, for no longer than `patience` and one page more. A failed look is an answer too, so this
/// does not fail.
pub(crate) async fn observe(
    client: &Client,
    state: AccountState,
    patience: Duration,
    now: Timestamp,
) -> Observation {
    client.assume_skew(state.skew_ms);
    let sent = client.clock().elapsed();
    let listed = client.list_within(patience).await;
    let measured = client.skew_ms().is_some();
    let state = AccountState { skew_ms: client.skew_ms().or(state.skew_ms), ..state }
        .with_credentials(credentials_fingerprint(client.account()))
        .told(client.take_credits_news(), now);
    match listed {
        Ok(Listing { channels, beside, times }) => {
            let (looks, looked_from) = (Trouble::default(), Some(times.sent));
            let state = AccountState { looks, looked_at: Some(now), looked_from, ..state };
            Observation {
                look: Look::Seen { channels, at: now, beside },
                state,
                needs_a_person: false,
                times,
                measured,
            }
        }
        Err(error) => {
            let took = client.clock().elapsed().saturating_sub(sent);
            failed(&error, state, client.times_since(sent), (now, took))
        }
    }
}

fn failed(
    error: &Error,
    state: AccountState,
    times: Times,
    (now, took): (Timestamp, Duration),
) -> Observation {
    let (retry_after, needs_a_person) = match error.class() {
        Class::Transient { retry_after } => (retry_after, false),
        Class::Account => (None, true),
        Class::Withheld
        | Class::Forbidden(_)
        | Class::Unscoped(_)
        | Class::Rejected { .. }
        | Class::Unsure => (None, false),
    };
    let why = error.to_string();
    // A wait that was asked for counts from the answer, and this from the beginning of the look.
    let looks = state.looks.again(now, why.clone(), retry_after.map(|wait| wait + took));
    let state = AccountState { looks, ..state };
    Observation { look: Look::Unknown(why), state, needs_a_person, times, measured: false }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::model::time::after;
    use crate::simulator::{Fault, Knobs};
    use crate::zoho::auth::Remember;
    use crate::zoho::client::{Client, PATIENCE_MAX};
    use crate::zoho::testing::{Sim, account};

    #[tokio::test(start_paused = true)]
    async fn a_look_without_an_answer_is_dated_by_the_skew_that_is_remembered() {
        let (sim, ahead) = (Sim::new(Knobs::default()), Duration::from_secs(90));
        sim.fault(Fault::Refused);
        let (now, skew_ms) = (sim.clock.now(), Some(ahead.as_millis() as i64));
        let state = AccountState { skew_ms, ..AccountState::default() };
        let observation = observe(&sim.client(), state, PATIENCE_MAX, now).await;
        assert!(matches!(observation.look, Look::Unknown(_)) && !observation.measured);
        assert_eq!(observation.state.skew_ms, skew_ms);
        assert_eq!(observation.times.received, after(sim.clock.now(), ahead));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_was_asked_for_counts_from_the_answer() {
        let (sim, slow) = (Sim::new(Knobs::default()), Duration::from_secs(5));
        let clock = sim.clock.clone();
        // The second look waits for the first one, whose token takes a while to be written down.
        let remember: Remember = Arc::new(move |_| {
            let clock = clock.clone();
            Box::pin(async move {
                clock.sleep(slow).await;
                Ok(())
            })
        });
        let (carrier, clock) = (sim.carrier.clone(), sim.clock.clone());
        let client = Client::new(account(), carrier, clock, None, remember);
        sim.fault(Fault::TokenThrottled);
        let now = sim.clock.now();
        let look = || observe(&client, AccountState::default(), PATIENCE_MAX, now);
        let (first, second) = tokio::join!(look(), look());
        let until = client.token_state().await.denied.expect("it is throttled").until;
        for Observation { state, .. } in [first, second] {
            assert!(state.looks.not_before.expect("a wait was asked for") >= until);
        }
    }
}
