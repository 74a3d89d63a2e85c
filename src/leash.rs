//! The leash: until when a process may write at Zoho.
//!
//! Where several machines share accounts, a process that was stopped and goes on may belong to
//! nobody any more. Before each write it looks at its leash, and what is under way when the leash
//! ends is dropped. A daemon on one machine has no leash.
//!
//! The leash is the process's. An account is on it while this process owns the account: for any
//! other, nothing is left of it.
//!
//! An engine that does not answer ends the leash and nothing else: an account that was on it stays
//! there until an answer says that it is another's. Once that has lasted long enough for another
//! machine to have taken over and renewed, the process is *alone* ([`Leash::keep_alone`]), and may
//! renew what is in its emergency, unless its operator has it stop ([`Leash::allowed_for`]).
//!
//! Times are of the clock that goes on while the machine sleeps ([`Clock::boot`]), so neither a
//! suspended machine nor a step of the wall clock makes a leash longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::model::channel::AccountName;
use crate::model::cluster::{Allowed, WithoutEngine};

/// Shared by whoever sets it and whoever looks at it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leash {
    clock: Arc<dyn Clock>,
    /// Milliseconds of [`Clock::boot`].
    ends: Arc<AtomicU64>,
    /// Until when this process is alone, in the same.
    alone: Arc<AtomicU64>,
    /// Since when the accounts are declared as they are, in the same.
    declared: Arc<AtomicU64>,
    without_engine: WithoutEngine,
    /// The accounts on it, and since when.
    accounts: Arc<Mutex<BTreeMap<AccountName, Duration>>>,
    /// The accounts for which a request may have left after its end.
    late: Arc<Mutex<BTreeSet<AccountName>>>,
}

impl Leash {
    /// One that has ended.
    pub fn new(clock: Arc<dyn Clock>) -> Leash {
        let (ends, alone, declared, accounts, late) = Default::default();
        let without_engine = WithoutEngine::default();
        Leash { clock, ends, alone, declared, without_engine, accounts, late }
    }

    /// The same, with what is done while the engine does not answer.
    #[must_use]
    pub fn without_engine(self, without_engine: WithoutEngine) -> Leash {
        Leash { without_engine, ..self }
    }

    /// Sets its end, by [`Clock::boot`].
    pub fn set(&self, ends: Duration) {
        self.ends.store(millis(ends), Ordering::SeqCst);
    }

    /// How much is left of it; nothing when it has ended.
    pub fn left(&self) -> Duration {
        let ends = Duration::from_millis(self.ends.load(Ordering::SeqCst));
        ends.saturating_sub(self.clock.boot())
    }

    /// The engine has not answered for so long that this process is alone until then, by
    /// [`Clock::boot`]. Whoever finds that it still does not answer says so again.
    pub fn keep_alone(&self, until: Duration) {
        self.alone.store(millis(until), Ordering::SeqCst);
    }

    /// The requests that may be sent for this account. Nothing, when it is not on the leash.
    pub fn allowed_for(&self, account: &AccountName) -> Allowed {
        if !self.accounts().contains_key(account) {
            return Allowed::Nothing;
        }
        let alone_until = Duration::from_millis(self.alone.load(Ordering::SeqCst));
        if !self.left().is_zero() {
            Allowed::Everything
        } else if alone_until > self.clock.boot() {
            self.without_engine.allows()
        } else {
            Allowed::Nothing
        }
    }

    /// This process owns the account since then.
    pub fn hold(&self, account: AccountName, since: Duration) {
        self.accounts().insert(account, since);
    }

    /// This process does not own the account any more.
    pub fn let_go(&self, account: &AccountName) {
        self.accounts().remove(account);
    }

    /// A request for this account was under way when the leash ended: it may have left after that.
    pub fn note_late(&self, account: AccountName) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).insert(account);
    }

    /// The accounts of such requests, since this was asked last.
    pub fn take_late(&self) -> BTreeSet<AccountName> {
        std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How much is left of it for this account.
    pub fn left_for(&self, account: &AccountName) -> Duration {
        if self.accounts().contains_key(account) { self.left() } else { Duration::ZERO }
    }

    /// For how long this process has owned the account.
    pub fn held_for(&self, account: &AccountName) -> Duration {
        let since = self.accounts().get(account).copied();
        since.map_or(Duration::ZERO, |since| self.clock.boot().saturating_sub(since))
    }

    /// The accounts are declared in another way from now on.
    pub fn declare_anew(&self) {
        self.declared.store(millis(self.clock.boot()), Ordering::SeqCst);
    }

    /// For how long they have been declared as they are.
    pub fn declared_for(&self) -> Duration {
        let since = Duration::from_millis(self.declared.load(Ordering::SeqCst));
        self.clock.boot().saturating_sub(since)
    }

    /// Waits until nothing may be sent for this account.
    pub async fn ended_for(&self, account: &AccountName) {
        while self.allowed_for(account) != Allowed::Nothing {
            let left = self.left_for(account);
            let rest = if left.is_zero() { LOOK_EVERY } else { left.min(LOOK_EVERY) };
            self.clock.sleep(rest).await;
        }
    }

    fn accounts(&self) -> MutexGuard<'_, BTreeMap<AccountName, Duration>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The leash may be cut short, and timers stand still while the machine sleeps.
const LOOK_EVERY: Duration = Duration::from_millis(250);

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use crate::clock::VirtualClock;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_for_an_account_that_is_not_held_or_when_the_end_has_come() {
        let clock = Arc::new(VirtualClock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1));
        let leash = Leash::new(clock.clone());
        let account: AccountName = "acme".parse().unwrap();
        leash.set(Duration::from_secs(8));
        assert_eq!(leash.left_for(&account), Duration::ZERO);
        leash.hold(account.clone(), Duration::from_secs(1));
        clock.sleep(Duration::from_secs(3)).await;
        assert_eq!(leash.left_for(&account), Duration::from_secs(5));
        assert_eq!(leash.held_for(&account), Duration::from_secs(2));
        clock.step(-3_600_000);
        clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(leash.left_for(&account), Duration::ZERO);
        leash.set(Duration::from_secs(20));
        leash.let_go(&account);
        assert_eq!((leash.left_for(&account), leash.held_for(&account)), Default::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_alone_may_renew_emergencies_of_what_it_owned_or_nothing() {
        let clock = Arc::new(VirtualClock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1));
        let account: AccountName = "acme".parse().unwrap();
        for (without_engine, alone) in [
            (WithoutEngine::Emergency, Allowed::Emergencies),
            (WithoutEngine::Stop, Allowed::Nothing),
        ] {
            let leash = Leash::new(clock.clone()).without_engine(without_engine);
            let now = clock.boot();
            let after = |seconds| now + Duration::from_secs(seconds);
            leash.set(after(8));
            leash.keep_alone(after(20));
            assert_eq!(leash.allowed_for(&account), Allowed::Nothing, "it is not ours");
            leash.hold(account.clone(), now);
            assert_eq!(leash.allowed_for(&account), Allowed::Everything);
            clock.sleep(Duration::from_secs(8)).await;
            assert_eq!(leash.allowed_for(&account), alone);
            clock.sleep(Duration::from_secs(12)).await;
            assert_eq!(leash.allowed_for(&account), Allowed::Nothing, "nobody said so again");
            leash.keep_alone(after(60));
            assert_eq!(leash.allowed_for(&account), alone);
            leash.let_go(&account);
            assert_eq!(leash.allowed_for(&account), Allowed::Nothing);
        }
    }
}
