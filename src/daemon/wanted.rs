//! The desired state to start with: that of a good config, which is kept in the store; else the
//! last good one, from there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use tracing::error;

use crate::config::secrets::Fetcher;
use crate::config::{Loaded, Surroundings};
use crate::expose::overview::ConfigState;
use crate::model::channel::AccountName;
use crate::model::desired::Desired;
use crate::model::secret::Origin;
use crate::model::time::Timestamp;
use crate::store::desired::Restored;
use crate::store::{Store, StoreError};

use super::emptied::{self, Emptied};
use super::former;
use super::reload::{config_state, log_loaded, told_left, told_thin};
use super::scheduler::chain;
use super::slack::{self, Judged};

/// The desired state, and the state of the config file.
pub(super) struct Wanted {
    pub(super) desired: Desired,
    pub(super) unusable: BTreeMap<AccountName, String>,
    pub(super) config: ConfigState,
    /// The desired state as the file alone declares it, where several machines share one.
    pub(super) own: Option<Desired>,
    /// True when the health endpoints may open.
    pub(super) opens: bool,
}

/// Finds it; `None` when the config cannot be used and the store holds no earlier state.
pub(super) async fn wanted(
    loaded: &mut Loaded,
    file: &Path,
    store: &Store,
    surroundings: &Surroundings,
    now: Timestamp,
) -> Result<Option<Wanted>, StoreError> {
    log_loaded(loaded);
    let mut config = config_state(file, loaded, now);
    if let Some(mut desired) = loaded.desired.take() {
        let emptied = emptied::refusal(file, &desired, store, Emptied::Refused)?;
        let Judged { refused, held } = slack::judged_by_store(&desired, store)?;
        let refused: Vec<String> = emptied.into_iter().chain(refused).collect();
        if refused.is_empty() {
            let own = desired.settings.cluster.is_some().then(|| desired.clone());
            let (refused, unusable) = (Emptied::Refused, BTreeMap::new());
            let left =
                former::remember(&mut desired, None, store, surroundings, refused, &unusable)?;
            config.warnings.extend(told_left(left));
            store.keep_desired(&desired).await?;
            config.thin = told_thin(held);
            return Ok(Some(Wanted { desired, unusable, config, own, opens: true }));
        }
        for why in &refused {
            error!(why, "the config has no mistake, and still cannot be used");
        }
        config.problems.extend(refused);
    }
    let fetcher = RefCell::new(Fetcher::new(surroundings));
    let fetch =
        |origin: &Origin| fetcher.borrow_mut().secret(origin).map_err(|error| chain(&error));
    let Some(restored) = store.restore_desired(&fetch)? else { return Ok(None) };
    (config.loaded_at, config.hash) = (None, None);
    for why in &restored.unalerted {
        error!(why, "[alerts] cannot be used, so no message is sent");
    }
    if let Some(why) = &restored.unjoined {
        error!(why, "the engine of [cluster] cannot be asked");
    }
    if let Some(why) = &restored.unopened {
        error!(why, "the health endpoints stay closed");
    }
    for (account, why) in &restored.unusable {
        error!(%account, why, "the daemon cannot work on this account");
    }
    error!("the config cannot be used; the last good state from the store is in force");
    let opens = restored.unopened.is_none();
    config.thin = told_thin(slack::judged_by_store(&restored.desired, store)?.held);
    let Restored { desired, unusable, .. } = restored;
    Ok(Some(Wanted { desired, unusable, config, own: None, opens }))
}
