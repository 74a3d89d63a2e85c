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
