//! Account states that wait to be written: those that differ only in facts that every look brings.
//!
//! Only a daemon's store [holds](Store::holding) them, because only a daemon comes back to them.
//! Everybody who reads an account's state from that store reads the one that is held.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::channel::AccountName;
use crate::model::record::AccountState;
use crate::model::time::Timestamp;

use super::database::{PendingStates, Store};
use super::tree::StoreError;

/// How long a state is held at most: whoever makes a store hold calls [`Store::write_held`] as
/// often.
pub const HELD_MAX: Duration = Duration::from_secs(5 * 60);

impl Store {
    /// A store that holds account states until [`Store::write_held`].
    #[must_use]
    pub fn holding(mut self) -> Store {
        self.held = Some(PendingStates::default());
        self
    }

    /// The remembered state of an account.
    pub fn account_state(&self, account: &AccountName) -> Result<AccountState, StoreError> {
        let held = self.held.as_ref().and_then(|held| held.states().get(account).cloned());
        held.map_or_else(|| self.stored_state(account), Ok)
    }

    /// Remembers an account's state. It is on the disk when this returns, unless the store holds
    /// it: that is where nothing else changed than every look says anew.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write_account_state(
        &self,
        account: &AccountName,
        state: &AccountState,
    ) -> Result<(), StoreError> {
        if self.holds_back(account, state)? { Ok(()) } else { self.commit(account).await }
    }

    /// Sets that a write may be under way for an account, for the next commit to take along.
    ///
    /// # Errors
    /// When the store fails.
    pub fn begin_sending(&self, account: &AccountName, sent: Timestamp) -> Result<(), StoreError> {
        let state = self.account_state(account)?;
        if state.sending.is_none() {
            self.set_states([(account, &AccountState { sending: Some(sent), ..state })])?;
            self.held.iter().for_each(|held| drop(held.states().remove(account)));
        }
        Ok(())
    }

    /// Returns whether the state is held; otherwise it is set.
    fn holds_back(&self, account: &AccountName, state: &AccountState) -> Result<bool, StoreError> {
        let mut states = self.held.as_ref().map(PendingStates::states);
        if let Some(states) = &mut states
            && self.stored_state(account)?.says_as_much_as(state)
        {
            states.insert(account.clone(), state.clone());
            return Ok(true);
        }
        self.set_states([(account, state)])?;
        if let Some(states) = &mut states {
            states.remove(account);
        }
        Ok(false)
    }

    /// Sets what is held. An account that an engine gave to another machine is passed over.
    fn set_held_states(
        &self,
        states: &BTreeMap<AccountName, AccountState>,
    ) -> Result<(), StoreError> {
        if !self.is_shared() {
            return self.set_states(states);
        }
        for state in states {
            match self.set_states([state]) {
                Ok(()) | Err(StoreError::Fenced { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes what is held, and flushes. Where accounts live in an engine, whatever else is not
    /// written yet goes with it.
    ///
    /// # Errors
    /// When the store fails. Then it stays held.
    pub async fn write_held(&self) -> Result<(), StoreError> {
        let Some(held) = &self.held else { return Ok(()) };
        self.age_aside();
        let written = {
            let states = held.states();
            self.set_held_states(&states)?;
            states.clone()
        };
        match self.is_shared() {
            true => self.commit_every_account().await?,
            false => self.commit_all().await?,
        }
        held.states().retain(|account, state| written.get(account) != Some(state));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{acme, minutes, state};

    fn looked(minute: u64) -> AccountState {
        let at = Some(minutes(minute));
        AccountState { looked_at: at, looked_from: at, ..state() }
    }

    #[tokio::test]
    async fn a_look_that_says_nothing_new_is_held_and_read_and_written_when_asked() {
        let store = Store::temporary().unwrap().holding();
        store.write_account_state(&acme(), &looked(0)).await.unwrap();
        assert_eq!(store.stored_state(&acme()).unwrap(), looked(0), "the first one is news");
        store.write_account_state(&acme(), &looked(1)).await.unwrap();
        assert_eq!(store.stored_state(&acme()).unwrap(), looked(0));
        assert_eq!(store.account_state(&acme()).unwrap(), looked(1));
        store.write_held().await.unwrap();
        assert_eq!(store.stored_state(&acme()).unwrap(), looked(1));
    }

    #[tokio::test]
    async fn what_is_news_is_written_at_once_with_what_was_held_before_it() {
        let store = Store::temporary().unwrap().holding();
        store.write_account_state(&acme(), &looked(0)).await.unwrap();
        store.write_account_state(&acme(), &looked(1)).await.unwrap();
        let mut refused = looked(1);
        refused.learned.post_refused = looked(1).looked_at;
        store.write_account_state(&acme(), &refused).await.unwrap();
        assert_eq!(store.stored_state(&acme()).unwrap(), refused);
        store.write_held().await.unwrap();
        assert_eq!(store.account_state(&acme()).unwrap(), refused, "nothing older comes over it");
        let skewed = AccountState { skew_ms: Some(90_000), ..refused };
        store.write_account_state(&acme(), &skewed).await.unwrap();
        assert_eq!(store.stored_state(&acme()).unwrap(), skewed, "another time at Zoho is news");
    }
}
