//! The accounts to hold, each with its way to Zoho. A reload makes a new fleet; accounts that did
//! not change are taken over from the old one as they are.
//!
//! Where several machines share the accounts, each declares all of them and holds some. Those that
//! it does not hold are [`Fleet::elsewhere`], as they are declared and without a way to Zoho.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::leash::Leash;
use crate::model::channel::AccountName;
use crate::model::cluster::Allowed;
use crate::model::desired::{AccountDesired, Desired, Settings};
use crate::model::time::Timestamp;
use crate::model::token::{FETCH_WINDOW, TokenState};
use crate::reconcile::subject::Subject;
use crate::store::{Store, StoreError};
use crate::zoho::auth::Remember;
use crate::zoho::client::Client;
use crate::zoho::leashed::Leashed;
use crate::zoho::transport::Transport;

/// Everything that is held to its declaration.
pub struct Fleet {
    /// The settings that belong to no single account.
    pub settings: Settings,
    /// By account.
    pub subjects: BTreeMap<AccountName, Arc<Subject>>,
    /// Declared accounts that cannot be worked on, and why.
    pub unusable: BTreeMap<AccountName, String>,
    /// Declared accounts that another machine holds, or nobody yet.
    pub elsewhere: BTreeMap<AccountName, AccountDesired>,
}

/// The parts that a fleet is made with.
#[derive(Clone)]
pub struct Means {
    /// The memory.
    pub store: Store,
    /// Who carries requests.
    pub transport: Arc<dyn Transport>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Until when this process may write at Zoho; `None` where it shares accounts with none.
    pub leash: Option<Leash>,
}

impl Fleet {
    /// For a desired state; `former` is the fleet it replaces. All of it is held.
    ///
    /// # Errors
    /// When what is remembered of a token cannot be read.
    pub fn new(
        desired: Desired,
        unusable: BTreeMap<AccountName, String>,
        means: &Means,
        former: Option<&Fleet>,
    ) -> Result<Fleet, StoreError> {
        let Desired { settings, accounts } = desired;
        let mut subjects = BTreeMap::new();
        for (name, desired) in accounts {
            let held = former.and_then(|former| former.subjects.get(&name));
            let subject = match held.filter(|held| held.desired == desired) {
                Some(held) => held.clone(),
                None => Arc::new(subject(desired, means)?),
            };
            subjects.insert(name, subject);
        }
        Ok(Fleet { settings, subjects, unusable, elsewhere: BTreeMap::new() })
    }

    /// The same, and nothing of it is held.
    pub fn declared(desired: Desired, unusable: BTreeMap<AccountName, String>) -> Fleet {
        let Desired { settings, accounts } = desired;
        Fleet { settings, subjects: BTreeMap::new(), unusable, elsewhere: accounts }
    }

    /// The same, of which exactly these accounts are held. Those that `former` holds by the same
    /// declaration stay as they are.
    ///
    /// # Errors
    /// When what is remembered of a token cannot be read.
    pub fn holding(
        &self,
        held: &BTreeSet<AccountName>,
        means: &Means,
        former: &Fleet,
    ) -> Result<Fleet, StoreError> {
        let declared = self.subjects.iter().map(|(name, subject)| (name, &subject.desired));
        let (mut subjects, mut elsewhere) = (BTreeMap::new(), BTreeMap::new());
        for (name, desired) in declared.chain(&self.elsewhere) {
            if !held.contains(name) {
                elsewhere.insert(name.clone(), desired.clone());
                continue;
            }
            let same = former.subjects.get(name).filter(|known| known.desired == *desired);
            let subject = match same {
                Some(known) => known.clone(),
                None => Arc::new(subject(desired.clone(), means)?),
            };
            subjects.insert(name.clone(), subject);
        }
        let (settings, unusable) = (self.settings.clone(), self.unusable.clone());
        Ok(Fleet { settings, subjects, unusable, elsewhere })
    }

    /// The fleet of another desired state, of which as much is held as of this one.
    ///
    /// # Errors
    /// When what is remembered of a token cannot be read.
    pub fn followed_by(&self, desired: Desired, means: &Means) -> Result<Fleet, StoreError> {
        if self.elsewhere.is_empty() {
            return Fleet::new(desired, BTreeMap::new(), means, Some(self));
        }
        let held = self.subjects.keys().cloned().collect();
        Fleet::declared(desired, BTreeMap::new()).holding(&held, means, self)
    }

    /// True when the config declares the account, whoever holds it.
    pub fn declares(&self, name: &AccountName) -> bool {
        self.subjects.contains_key(name)
            || self.unusable.contains_key(name)
            || self.elsewhere.contains_key(name)
    }

    /// The same with one account held otherwise.
    pub fn with(&self, subject: Arc<Subject>) -> Fleet {
        let Fleet { settings, subjects, unusable, elsewhere } = self;
        let mut subjects = subjects.clone();
        subjects.insert(subject.name().clone(), subject);
        Fleet {
            settings: settings.clone(),
            subjects,
            unusable: unusable.clone(),
            elsewhere: elsewhere.clone(),
        }
    }

    /// Everything that is declared and can be worked on, whoever holds it.
    pub fn declared_accounts(&self) -> impl Iterator<Item = (&AccountName, &AccountDesired)> {
        let here = self.subjects.iter().map(|(name, subject)| (name, &subject.desired));
        here.chain(&self.elsewhere)
    }

    /// The same with these accounts held otherwise, and without those.
    pub fn but_for(
        &self,
        held: &BTreeMap<AccountName, Arc<Subject>>,
        left_out: &BTreeSet<AccountName>,
    ) -> Fleet {
        let Fleet { settings, subjects, unusable, elsewhere } = self;
        let subjects = subjects.iter().filter(|(name, _)| !left_out.contains(*name));
        let subjects = subjects
            .map(|(name, subject)| (name.clone(), held.get(name).unwrap_or(subject).clone()));
        Fleet {
            settings: settings.clone(),
            subjects: subjects.collect(),
            unusable: unusable.clone(),
            elsewhere: elsewhere.clone(),
        }
    }
}

/// An account with its way to Zoho.
///
/// # Errors
/// When what is remembered of its token cannot be read.
pub(super) fn subject(desired: AccountDesired, means: &Means) -> Result<Subject, StoreError> {
    let account = desired.account.clone();
    let remembered = means.store.token(&account.name)?;
    let remember = remember(&account.name, means);
    let transport = means.transport.clone();
    let transport: Arc<dyn Transport> = match &means.leash {
        Some(leash) => Arc::new(Leashed::new(transport, leash.clone(), account.name.clone())),
        None => transport,
    };
    let client = Client::new(account, transport, means.clock.clone(), remembered, remember);
    let leash = means.leash.clone();
    let client = if leash.is_some() { client.sharing_tokens() } else { client };
    Ok(Subject { desired, client, leash })
}

/// The store keeps the token of an account. A process that is alone may make a fetch that it cannot
/// tell the engine of, and few of those.
fn remember(name: &AccountName, means: &Means) -> Remember {
    let (store, name) = (means.store.clone(), name.clone());
    let untold = means.leash.clone().map(|leash| Arc::new(Untold::new(leash, means.clock.clone())));
    Arc::new(move |state: TokenState| {
        let (store, name, untold) = (store.clone(), name.clone(), untold.clone());
        Box::pin(async move {
            let allows = || untold.is_some_and(|untold| untold.allows(&name, &state));
            match store.write_token(&name, &state).await {
                Err(StoreError::Unwritten { .. }) if allows() => Ok(()),
                written => written.map_err(|error| error.to_string()),
            }
        })
    })
}

/// The fetch of a token that the engine could not be told of before it was made.
struct Untold {
    leash: Leash,
    clock: Arc<dyn Clock>,
    /// Which it was, and when by [`Clock::boot`].
    last: Mutex<Option<(Timestamp, Duration)>>,
}

impl Untold {
    fn new(leash: Leash, clock: Arc<dyn Clock>) -> Untold {
        Untold { leash, clock, last: Mutex::default() }
    }

    /// True when what this state says was fetched may go untold: it is the fetch that went so
    /// before, or the first in Zoho's window.
    fn allows(&self, account: &AccountName, state: &TokenState) -> bool {
        if self.leash.allowed_for(account) != Allowed::Emergencies {
            return false;
        }
        let Some(fetched) = state.fetches.last().copied() else { return true };
        let now = self.clock.boot();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((known, _)) if known == fetched => true,
            Some((_, at)) if now < at + FETCH_WINDOW => false,
            Some(_) | None => {
                *last = Some((fetched, now));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::VirtualClock;
    use crate::model::secret::Fingerprint;
    use crate::testing::{acme, hours};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_is_alone_makes_one_fetch_in_a_window_that_the_engine_is_not_told_of() {
        let clock = Arc::new(VirtualClock::new(hours(0), 1));
        let leash = Leash::new(clock.clone());
        let untold = Untold::new(leash.clone(), clock.clone());
        let may = |hour| {
            let fetches = vec![hours(hour)];
            untold.allows(&acme(), &TokenState { fetches, ..TokenState::new(Fingerprint(7)) })
        };
        leash.hold(acme(), Duration::ZERO);
        leash.set(Duration::from_secs(60));
        assert!(!may(0), "it is not alone");
        clock.sleep(Duration::from_secs(61)).await;
        leash.keep_alone(Duration::from_secs(3600));
        assert_eq!([0, 0, 1].map(may), [true, true, false]);
        clock.sleep(FETCH_WINDOW).await;
        assert_eq!([1, 0].map(may), [true, false]);
    }
}
