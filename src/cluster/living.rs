//! The members that live, as whoever is none of them sees it.
//!
//! A member beats every two seconds. One whose key changes while it is watched lives; one whose key
//! does not change for as long as the others would wait is dead, and has left its key behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::engine::{Engine, EngineError, Revision, Selection};

use super::keys::{Keys, MemberId};
use super::members::{LOOK_EVERY, UNCHANGED_MAX};

/// The members that are there and live. Where there are keys of members it takes until one of them
/// changes, and at most ten seconds.
///
/// # Errors
/// When the engine does not answer.
pub async fn living(
    engine: &Arc<dyn Engine>,
    keys: &Keys,
    clock: &dyn Clock,
) -> Result<Vec<MemberId>, EngineError> {
    let first = members(engine, keys).await?;
    let begun = clock.boot();
    while !first.is_empty() && clock.boot().saturating_sub(begun) < UNCHANGED_MAX + MARGIN {
        clock.sleep(LOOK_EVERY).await;
        let found = members(engine, keys).await?;
        let changed = found.into_iter().filter(|(id, at)| first.get(id) != Some(at));
        let changed: Vec<MemberId> = changed.map(|(id, _)| id).collect();
        if !changed.is_empty() {
            return Ok(changed);
        }
    }
    Ok(Vec::new())
}

/// Every member that has a key, with when that was written.
async fn members(
    engine: &Arc<dyn Engine>,
    keys: &Keys,
) -> Result<BTreeMap<MemberId, Revision>, EngineError> {
    let found = engine.range(vec![Selection::KeysOf(keys.members())]).await?;
    let member = |entry: crate::engine::Entry| Some((keys.member_of(&entry.key)?, entry.modified));
    Ok(found.entries.into_iter().filter_map(member).collect())
}

/// A beat may be under way for a while.
const MARGIN: Duration = Duration::from_millis(750);
