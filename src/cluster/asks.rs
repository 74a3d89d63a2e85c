//! Asks and answers: what one machine wants of another goes through the engine, so that no machine
//! has to reach another.
//!
//! | key | value | written by |
//! | --- | --- | --- |
//! | `asks/MEMBER/ID` | the [`Question`], deflated | whoever asks, while the member is there |
//! | `answers/MEMBER/ID` | how many parts the answer has | the one that was asked |
//! | `answers/MEMBER/ID/PART` | a part of the [`Answer`], deflated | the same |
//!
//! `MEMBER` is in the first the one that is asked, and in the others the one that asks.
//!
//! An answer is committed only while its ask is there, and takes it away. So nobody is answered
//! twice, and an ask that was taken back is not answered. Whoever asks reads the answer and deletes
//! it. An ask whose member is gone ends at once, with [`AskError::Gone`]: nobody knows how far it
//! came. What a dead process has left is swept by whoever looks ([`Asks::sweep`]).
//!
//! Deliberately absent: what may be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Clock;
use crate::engine::{
    COMMIT_BYTES_MAX, Change, Committed, Engine, EngineError, Guard, OPERATIONS_MAX, Revision,
    Selection,
};

use super::deflate::{deflated, inflated};
use super::keys::{Keys, MemberId};

/// One thing that is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// The verb, by its path.
    pub verb: String,
    /// The body of the request.
    pub body: Value,
    /// The member at which somebody asked.
    pub from: MemberId,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// As of HTTP: 200, or how it was refused.
    pub status: u16,
    /// The body of the reply.
    pub body: Value,
}

/// A question that waits to be answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Its key.
    pub key: String,
    /// When it was put there.
    pub created: Revision,
    /// The question; `None` when it cannot be read.
    pub question: Option<Question>,
}

/// The reason why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The member is not there, or not any more.
    #[error("the machine is gone")]
    Gone,
    /// It is there and has not answered.
    #[error("the machine has not answered in time")]
    Late,
    /// The engine does not answer, or not as it should.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The question or the answer is of a later release, or damaged.
    #[error("the machines do not understand each other: bring them to the same release")]
    Unreadable,
    /// It is too much for one commit.
    #[error("the question is larger than an engine takes")]
    TooLarge,
}

/// The way to ask others, and to hear what others ask.
#[derive(Clone, Debug)]
pub struct Asks {
    engine: Arc<dyn Engine>,
    keys: Keys,
    clock: Arc<dyn Clock>,
}

impl Asks {
    /// Those of a cluster.
    pub fn new(engine: Arc<dyn Engine>, keys: Keys, clock: Arc<dyn Clock>) -> Asks {
        Asks { engine, keys, clock }
    }

    /// Asks a member, and waits for its answer for at most so long. `id` is a name that the one who
    /// asks gives to no other question.
    ///
    /// # Errors
    /// See [`AskError`]. Only [`AskError::TooLarge`] says that nothing was done.
    pub async fn ask(
        &self,
        to: &MemberId,
        id: &str,
        question: &Question,
        patience: Duration,
    ) -> Result<Answer, AskError> {
        let (ask, answer) = (self.keys.ask(to, id), self.keys.answer(&question.from, id));
        let mut late = self.clock.sleep(patience);
        let mut hints = self.engine.watch(answer.clone());
        let mut are_hints_heard = true;
        self.put(to, &ask, question).await?;
        loop {
            let last = match self.answered(to, &ask, &answer).await {
                Ok(Some(found)) => return found,
                Ok(None) => None,
                Err(error) => Some(error),
            };
            let is_late = tokio::select! {
                hint = hints.recv(), if are_hints_heard => {
                    are_hints_heard = hint.is_some();
                    false
                }
                () = self.clock.sleep(LOOK_EVERY) => false,
                () = &mut late => true,
            };
            if is_late {
                // One that cannot be taken back is answered, and its answer is swept.
                let _taken_back = self.engine.commit(Vec::new(), vec![Change::Delete(ask)]).await;
                return Err(last.map_or(AskError::Late, AskError::Engine));
            }
        }
    }

    async fn put(&self, to: &MemberId, ask: &str, question: &Question) -> Result<(), AskError> {
        let value = deflated(question);
        if value.len() > QUESTION_MAX {
            return Err(AskError::TooLarge);
        }
        let is_there = Guard::NotCreatedAt(self.keys.member(to), Revision::default());
        let put = Change::Put(ask.to_owned(), value);
        match self.engine.commit(vec![is_there], vec![put]).await {
            Ok(Committed::Done(_)) => Ok(()),
            Ok(Committed::Refused) => Err(AskError::Gone),
            Err(error) => {
                // It may be there all the same.
                let taken = Change::Delete(ask.to_owned());
                let _taken_back = self.engine.commit(Vec::new(), vec![taken]).await;
                Err(error.into())
            }
        }
    }

    /// The outcome of an ask, if there is one by now.
    async fn answered(
        &self,
        to: &MemberId,
        ask: &str,
        answer: &str,
    ) -> Result<Option<Result<Answer, AskError>>, EngineError> {
        let member = self.keys.member(to);
        let keys = [answer, ask, &member].map(|key| Selection::Key(key.to_owned()));
        let found = self.engine.range(keys.into()).await?.entries;
        let has = |key: &str| found.iter().any(|entry| entry.key == key);
        if has(answer) {
            return self.taken(answer).await.map(Some);
        }
        match (has(&member), has(ask)) {
            (true, true) => Ok(None),
            // Nobody takes an ask away but who answers it.
            (true, false) => Ok(Some(Err(AskError::Unreadable))),
            (false, _) => {
                self.engine.commit(Vec::new(), vec![Change::Delete(ask.to_owned())]).await?;
                Ok(Some(Err(AskError::Gone)))
            }
        }
    }

    /// Reads an answer and takes it away.
    async fn taken(&self, answer: &str) -> Result<Result<Answer, AskError>, EngineError> {
        let found = self.engine.range(vec![Selection::Prefix(answer.to_owned())]).await?.entries;
        let is_of_it = |key: &str| key == answer || key[answer.len()..].starts_with('/');
        let mut found: BTreeMap<String, Vec<u8>> =
            found.into_iter().map(|entry| (entry.key, entry.value)).collect();
        found.retain(|key, _| is_of_it(key));
        let keys: Vec<String> = found.keys().cloned().collect();
        let parts =
            found.remove(answer).and_then(|head| String::from_utf8(head).ok()?.parse().ok());
        let parts: usize = parts.unwrap_or_default();
        let bytes = (0..parts).map(|part| found.remove(&part_key(answer, part)));
        let bytes = bytes.collect::<Option<Vec<_>>>().map(|parts| parts.concat());
        self.delete(keys).await?;
        let read = bytes.and_then(|bytes| inflated(&bytes));
        Ok(read.ok_or(AskError::Unreadable))
    }

    /// All that wait for this member's answer.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn of(&self, me: &MemberId) -> Result<Vec<Asked>, EngineError> {
        let found = self.engine.range(vec![Selection::Prefix(self.keys.asks(me))]).await?;
        let asked = found.entries.into_iter().map(|entry| Asked {
            question: inflated(&entry.value),
            key: entry.key,
            created: entry.created,
        });
        Ok(asked.collect())
    }

    /// Hints at what is asked of this member.
    pub fn hints(&self, me: &MemberId) -> tokio::sync::mpsc::Receiver<crate::engine::Hint> {
        self.engine.watch(self.keys.asks(me))
    }

    /// Answers a question, unless it was taken back. One that cannot be read has no answer.
    ///
    /// # Errors
    /// When the engine does not answer: it may be answered all the same, and may be answered again.
    pub async fn answer(&self, asked: &Asked, answer: &Answer) -> Result<(), EngineError> {
        let is_open = || vec![Guard::CreatedAt(asked.key.clone(), asked.created)];
        let from = asked.question.as_ref().map(|question| &question.from);
        let Some((from, (_, id))) = from.zip(asked.key.rsplit_once('/')) else {
            let taken = Change::Delete(asked.key.clone());
            return self.engine.commit(is_open(), vec![taken]).await.map(drop);
        };
        let key = self.keys.answer(from, id);
        let bytes = deflated(answer);
        let parts: Vec<&[u8]> = bytes.chunks(PART_MAX).collect();
        let put =
            |(part, bytes): (usize, &&[u8])| Change::Put(part_key(&key, part), bytes.to_vec());
        let (last, first) = parts
            .split_last()
            .map_or((None, &[][..]), |(last, first)| (Some(put((first.len(), last))), first));
        for part in first.iter().enumerate() {
            if self.engine.commit(is_open(), vec![put(part)]).await? == Committed::Refused {
                return Ok(());
            }
        }
        let head = Change::Put(key.clone(), parts.len().to_string().into_bytes());
        let changes = last.into_iter().chain([head, Change::Delete(asked.key.clone())]);
        // One that was taken back, or is answered already, takes no more.
        let _done = self.engine.commit(is_open(), changes.collect()).await?;
        Ok(())
    }

    /// Deletes what belongs to members that are not there, and the answers to `me` that it had seen
    /// the last time: nobody waits for them. Gives the answers that it sees now.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn sweep(
        &self,
        me: &MemberId,
        seen: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, EngineError> {
        let prefixes = [
            self.keys.all_asks(),
            self.keys.all_answers(),
            self.keys.all_troubles(),
            self.keys.members(),
        ];
        let found = self.engine.range(prefixes.map(Selection::KeysOf).into()).await?.entries;
        let keys = || found.iter().map(|entry| entry.key.as_str());
        let members: BTreeSet<MemberId> =
            keys().filter_map(|key| self.keys.member_of(key)).collect();
        let mine: BTreeSet<String> = keys()
            .filter(|key| key.starts_with(&self.keys.answers(me)))
            .map(str::to_owned)
            .collect();
        let is_left = |key: &&str| {
            let of = self.keys.letter_of(key).or_else(|| self.keys.troubles_of(key));
            of.is_some_and(|of| !members.contains(&of))
                || (mine.contains(*key) && seen.contains(*key))
        };
        self.delete(keys().filter(is_left).map(str::to_owned).collect()).await?;
        Ok(mine)
    }

    async fn delete(&self, keys: Vec<String>) -> Result<(), EngineError> {
        for some in keys.chunks(OPERATIONS_MAX) {
            let changes = some.iter().cloned().map(Change::Delete).collect();
            self.engine.commit(Vec::new(), changes).await?;
        }
        Ok(())
    }
}

fn part_key(answer: &str, part: usize) -> String {
    format!("{answer}/{part:06}")
}

/// From one look for an answer to the next, when no hint comes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The most bytes of a question, as it lies in the engine.
const QUESTION_MAX: usize = COMMIT_BYTES_MAX * 9 / 10;
/// The most bytes of a part of an answer.
const PART_MAX: usize = COMMIT_BYTES_MAX * 9 / 10;

#[cfg(test)]
mod tests;
