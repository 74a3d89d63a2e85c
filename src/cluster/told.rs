//! The words of machines to each other, for whoever is shown all of them: values by key,
//! deflated.
//!
//! A value is a hint for people and decides nothing, so it is written without the fence of an
//! owner. It says who wrote it. A machine that finds the word of another one about what is its own
//! by now writes its own again.
//!
//! Deliberately absent: what the values mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::engine::{
    COMMIT_BYTES_MAX, Change, Committed, Engine, EngineError, Guard, OPERATIONS_MAX, Revision,
    Selection,
};

use super::deflate::{deflated, inflated};
use super::keys::{Keys, MemberId};

/// A value with its writer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told<T> {
    /// Who says so.
    pub by: MemberId,
    /// The value.
    pub value: T,
}

/// Values under a prefix, of which only those are read that are new.
#[derive(Debug)]
pub struct Shelf {
    engine: Arc<dyn Engine>,
    prefix: String,
    /// The revisions at which values were read.
    seen: BTreeMap<String, Revision>,
}

/// The values that are new, by key; `None` where one is gone, or cannot be read.
pub type News<T> = BTreeMap<String, Option<Told<T>>>;

impl Shelf {
    /// The values below this prefix.
    pub fn new(engine: Arc<dyn Engine>, prefix: String) -> Shelf {
        Shelf { engine, prefix, seen: BTreeMap::new() }
    }

    /// Reads what has changed since the last time.
    ///
    /// # Errors
    /// When the engine does not answer. What was not read is read the next time.
    pub async fn news<T: DeserializeOwned>(&mut self) -> Result<News<T>, EngineError> {
        let keys = Selection::KeysOf(self.prefix.clone());
        let there = self.engine.range(vec![keys]).await?.entries;
        let mut news = News::new();
        let keys: BTreeSet<&str> = there.iter().map(|entry| entry.key.as_str()).collect();
        let gone = self.seen.keys().filter(|key| !keys.contains(key.as_str()));
        for key in gone.cloned().collect::<Vec<_>>() {
            self.seen.remove(&key);
            news.insert(key, None);
        }
        let new = there.into_iter().filter(|it| self.seen.get(&it.key) != Some(&it.modified));
        self.read(new.map(|entry| entry.key).collect(), &mut news).await?;
        Ok(news)
    }

    /// Reads those of these that have changed since the last time: hints name them.
    ///
    /// # Errors
    /// As [`Shelf::news`].
    pub async fn news_of<T: DeserializeOwned>(
        &mut self,
        keys: BTreeSet<String>,
    ) -> Result<News<T>, EngineError> {
        let mut news = News::new();
        self.read(keys.into_iter().collect(), &mut news).await?;
        Ok(news)
    }

    async fn read<T: DeserializeOwned>(
        &mut self,
        keys: Vec<String>,
        news: &mut News<T>,
    ) -> Result<(), EngineError> {
        for some in keys.chunks(READ_AT_ONCE) {
            let selections = some.iter().cloned().map(Selection::Key).collect();
            for entry in self.engine.range(selections).await?.entries {
                if self.seen.insert(entry.key.clone(), entry.modified) != Some(entry.modified) {
                    news.insert(entry.key, inflated(&entry.value));
                }
            }
        }
        Ok(())
    }

    /// Reads these again the next time.
    pub fn forget<'a>(&mut self, keys: impl Iterator<Item = &'a String>) {
        for key in keys {
            self.seen.remove(key);
        }
    }
}

/// Writes values, while the member is there. Gives the keys of those that no commit holds.
///
/// # Errors
/// When the engine does not answer, or the member is gone: some of them may be written.
pub async fn tell<T: Serialize>(
    engine: &dyn Engine,
    keys: &Keys,
    me: &MemberId,
    values: BTreeMap<String, T>,
) -> Result<Vec<String>, EngineError> {
    let (mut changes, mut bytes, mut too_large) = (Vec::new(), 0, Vec::new());
    for (key, value) in values {
        let value = deflated(&Told { by: me.clone(), value });
        let takes = value.len() + key.len();
        if takes > BYTES_MAX {
            too_large.push(key);
            continue;
        }
        if bytes + takes > BYTES_MAX || changes.len() == OPERATIONS_MAX {
            write(engine, keys, me, std::mem::take(&mut changes)).await?;
            bytes = 0;
        }
        bytes += takes;
        changes.push(Change::Put(key, value));
    }
    if !changes.is_empty() {
        write(engine, keys, me, changes).await?;
    }
    Ok(too_large)
}

async fn write(
    engine: &dyn Engine,
    keys: &Keys,
    me: &MemberId,
    changes: Vec<Change>,
) -> Result<(), EngineError> {
    let is_there = Guard::NotCreatedAt(keys.member(me), Revision::default());
    match engine.commit(vec![is_there], changes).await? {
        Committed::Done(_) => Ok(()),
        Committed::Refused => Err(EngineError::Unable("this machine is no member now".to_owned())),
    }
}

/// Values that are read by one request: together they may be some megabytes.
const READ_AT_ONCE: usize = 20;
/// The most bytes of one commit.
const BYTES_MAX: usize = COMMIT_BYTES_MAX * 9 / 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};
    use crate::engine::simulated::{SimulatedEngine, SimulatedHandle};

    fn member(node: &str) -> MemberId {
        MemberId { node: node.to_owned(), boot: "0".to_owned() }
    }

    fn engine() -> SimulatedHandle {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        SimulatedEngine::new().handle(clock)
    }

    #[tokio::test(start_paused = true)]
    async fn only_news_are_read_and_what_is_gone_is_news() {
        let (engine, keys, me) = (engine(), Keys::new("prod"), member("one"));
        let there = Change::Put(keys.member(&me), Vec::new());
        engine.commit(Vec::new(), vec![there]).await.unwrap();
        let key = |name: &str| keys.report(&name.parse().unwrap());
        let say = async |values: &[(&str, u32)]| {
            let values = values.iter().map(|(name, value)| (key(name), *value)).collect();
            tell(&engine, &keys, &me, values).await.unwrap()
        };
        let mut shelf = Shelf::new(Arc::new(engine.clone()), keys.reports());
        let told = |value| Some(Told { by: member("one"), value });
        // More than one commit, and one request, hold.
        let many: Vec<(String, u32)> = (0..250).map(|n| (format!("a{n}"), n)).collect();
        say(&many.iter().map(|(name, n)| (name.as_str(), *n)).collect::<Vec<_>>()).await;
        assert_eq!(shelf.news::<u32>().await.unwrap().len(), 250);
        assert_eq!(shelf.news::<u32>().await.unwrap(), News::new());
        say(&[("a7", 70)]).await;
        let gone = vec![Change::Delete(key("a8"))];
        engine.commit(Vec::new(), gone).await.unwrap();
        let news = [(key("a7"), told(70)), (key("a8"), None)].into();
        assert_eq!(shelf.news::<u32>().await.unwrap(), news);
        say(&[("a6", 60)]).await;
        let hinted = ["a5", "a6", "gone"].map(key).into();
        assert_eq!(shelf.news_of::<u32>(hinted).await.unwrap(), [(key("a6"), told(60))].into());
        shelf.forget([key("a9")].iter());
        assert_eq!(shelf.news::<u32>().await.unwrap(), [(key("a9"), told(9))].into());
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_is_put_out_of_the_cluster_tells_nothing() {
        let (engine, keys) = (engine(), Keys::new("prod"));
        let values = || [(keys.report(&"acme".parse().unwrap()), 1)].into();
        let told = tell(&engine, &keys, &member("one"), values()).await;
        assert!(matches!(told, Err(EngineError::Unable(_))));
        let mut shelf = Shelf::new(Arc::new(engine), keys.reports());
        assert_eq!(shelf.news::<u32>().await.unwrap(), News::new());
    }
}
