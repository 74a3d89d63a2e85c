//! The memory of the machine that tells for all, so that the next one tells nothing twice.
//!
//! It lies in the engine beside the claim of the fleet's work, and is written only while that claim
//! is this machine's: the commit is guarded by the claim as it was just read.

use serde::{Deserialize, Serialize};

use crate::cluster::keys::Claim;
use crate::cluster::{Charge, Keys};
use crate::engine::{Change, Committed, Engine, EngineError, Guard, Selection};
use crate::model::alert_state::AlertState;
use crate::model::time::Timestamp;

use super::super::machines::MachinesDoor;

/// The last words of whoever tells for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastWords {
    /// The troubles that were told and are not over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) told: Option<AlertState>,
    /// The pass that the last heartbeat stood for, and when it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) beat: Option<(Timestamp, Timestamp)>,
}

/// The place where they lie.
pub(super) struct Leading {
    door: MachinesDoor,
    /// As they were read or written last; `None` while this machine does not tell for all.
    pub(super) known: Option<LastWords>,
}

impl Leading {
    pub(super) fn new(door: MachinesDoor) -> Leading {
        Leading { door, known: None }
    }

    /// The words of whoever told before.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(super) async fn read(&self) -> Result<LastWords, EngineError> {
        let MachinesDoor { engine, keys, .. } = &self.door;
        let found = engine.range(vec![Selection::Key(keys.told())]).await?.entries.pop();
        let words = found.and_then(|entry| serde_json::from_slice(&entry.value).ok());
        Ok(words.unwrap_or_default())
    }

    /// Writes them, if they are others than before. Returns whether they are written.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub(super) async fn keep(&mut self, words: LastWords) -> Result<bool, EngineError> {
        if self.known.as_ref() == Some(&words) {
            return Ok(true);
        }
        let MachinesDoor { engine, keys, view, .. } = &self.door;
        let me = view.borrow().me.clone();
        let Some(mine) = guard(&**engine, keys, me.as_ref()).await? else { return Ok(false) };
        let put = Change::Put(keys.told(), serde_json::to_vec(&words).unwrap_or_default());
        let is_kept = engine.commit(vec![mine], vec![put]).await? != Committed::Refused;
        if is_kept {
            self.known = Some(words);
        }
        Ok(is_kept)
    }
}

/// Holds as long as this member has the claim of the fleet's work.
async fn guard(
    engine: &dyn Engine,
    keys: &Keys,
    me: Option<&crate::cluster::MemberId>,
) -> Result<Option<Guard>, EngineError> {
    let claim = keys.claim(&Charge::Fleet);
    let found = engine.range(vec![Selection::Key(claim.clone())]).await?.entries.pop();
    Ok(found.and_then(|entry| {
        let Claim { member, membership: _ } = serde_json::from_slice(&entry.value).ok()?;
        (Some(&member) == me).then_some(Guard::ModifiedAt(claim, entry.modified))
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::clock::{Clock, VirtualClock};
    use crate::engine::simulated::{Fault, SimulatedEngine, SimulatedHandle};
    use crate::testing::hours;

    use super::super::tests::{door, member};
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_noted_by_whoever_claims_the_work_of_the_fleet_alone() {
        let engine = SimulatedEngine::new();
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(hours(0), 1));
        let handle = engine.handle(clock.clone());
        let mut leading = Leading::new(door(&handle, &clock));
        let words = |hour| LastWords { told: None, beat: Some((hours(hour), hours(hour))) };
        assert_eq!(leading.keep(words(1)).await, Ok(false), "nobody claims it");
        claims(&handle, "other").await;
        assert_eq!(leading.keep(words(1)).await, Ok(false));
        claims(&handle, "me").await;
        assert_eq!(leading.keep(words(1)).await, Ok(true));
        assert_eq!(leading.read().await, Ok(words(1)));
        // It is another's while the note is on its way.
        handle.fault(Fault::Held);
        assert!(leading.keep(words(2)).await.is_err());
        claims(&handle, "other").await;
        engine.land();
        assert_eq!(leading.read().await, Ok(words(1)));
    }

    async fn claims(handle: &SimulatedHandle, node: &str) {
        let claim = Claim { member: member(node), membership: 1 };
        let put = Change::Put(Keys::new("t").claim(&Charge::Fleet), claim.to_bytes());
        handle.commit(Vec::new(), vec![put]).await.unwrap();
    }
}
