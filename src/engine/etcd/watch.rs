//! A watch that goes on: one long answer of etcd's, a line for each change, and the next one when
//! it ends.
//!
//! It goes on behind the last revision that it told. Where etcd has forgotten that, or is older
//! than that, it begins anew; then, as at its very beginning, it hints at the prefix itself. An
//! answer in which nothing comes for long is given up: its machine may stand still.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::{Hint, Revision};
use super::wire::{Line, Range, Watched, said, said_in_watch};
use super::{REPLY_MAX, Way, is_of_the_token};
use crate::model::secret::Secret;

/// Hints until nobody listens.
pub(super) async fn follow_on(way: Arc<Way>, prefix: String, tell: mpsc::Sender<Hint>) {
    let closed = tell.clone();
    let hints = async {
        let mut watch = Watch { way: &way, prefix, tell, next: None };
        let mut first = way.first.subscribe();
        loop {
            let at = *first.borrow_and_update();
            let end = tokio::select! {
                end = watch.follow(at) => end,
                // A request failed there.
                _ = first.changed() => End::Anew,
            };
            match end {
                End::Anew => {}
                End::Failed => {
                    way.turn_from(at);
                    way.clock.sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = closed.closed() => {}
        () = hints => {}
    }
}

struct Watch<'a> {
    way: &'a Way,
    prefix: String,
    tell: mpsc::Sender<Hint>,
    /// The revision that was not told yet; `None` when it begins anew.
    next: Option<Revision>,
}

/// How an answer ended.
enum End {
    /// The next one may be asked for at once.
    Anew,
    /// Something went wrong there.
    Failed,
}

impl Watch<'_> {
    async fn follow(&mut self, at: usize) -> End {
        let Ok(token) = self.way.token_at(at).await else { return End::Failed };
        let body = Range::prefix(&self.prefix).watched(self.next);
        let Ok(request) = self.way.request(at, "/v3/watch", body, token.as_ref()) else {
            return End::Failed;
        };
        let Some(Ok(mut reply)) = self.within(self.way.timeout, request.send()).await else {
            return End::Failed;
        };
        if reply.status().as_u16() != 200 {
            let body = self.within(self.way.timeout, self.way.body(at, reply)).await;
            let text = body.and_then(Result::ok).and_then(|body| said(&body));
            return self.refused(&text.unwrap_or_default(), token.as_ref());
        }
        let mut line: Vec<u8> = Vec::new();
        loop {
            let Some(chunk) = self.within(SILENCE, reply.chunk()).await else { return End::Anew };
            let Ok(Some(chunk)) = chunk else { return End::Failed };
            let mut rest = chunk.as_ref();
            while let Some(length) = rest.iter().position(|byte| *byte == b'\n') {
                line.extend_from_slice(&rest[..length]);
                rest = &rest[length + 1..];
                let read = std::mem::take(&mut line);
                if let Some(end) = self.takes_line(&read, token.as_ref()).await {
                    return end;
                }
            }
            line.extend_from_slice(rest);
            if line.len() > REPLY_MAX {
                self.next = None;
                return End::Failed;
            }
        }
    }

    async fn takes_line(&mut self, line: &[u8], token: Option<&Secret>) -> Option<End> {
        match serde_json::from_slice(line) {
            Ok(Line { result: Some(watched), error: None }) => self.takes(watched).await,
            Ok(Line { error: Some(error), result: _ }) => {
                Some(self.refused(&said_in_watch(&error), token))
            }
            Ok(Line { result: None, error: None }) | Err(_) => Some(End::Failed),
        }
    }

    async fn takes(&mut self, watched: Watched) -> Option<End> {
        let revision = Revision(watched.header.revision);
        let behind = Revision(revision.0 + 1);
        if watched.canceled {
            // Compacted, or refused: either way it goes on from what is there then.
            self.next = None;
            return Some(if watched.compact_revision > 0 { End::Anew } else { End::Failed });
        }
        if watched.created {
            if self.next.is_some_and(|next| next > behind) {
                // The data went back, or this machine is behind: it would be silent until then.
                self.next = None;
                return Some(End::Anew);
            }
            if self.next.is_none() {
                self.next = Some(behind);
                self.tell(self.prefix.clone(), revision).await;
            }
            return None;
        }
        let last = watched.events.last().map(|event| Revision(event.kv.mod_revision));
        for event in watched.events {
            if let Ok(key) = String::from_utf8(event.kv.key) {
                self.tell(key, Revision(event.kv.mod_revision)).await;
            }
        }
        self.next = match last {
            Some(last) if watched.fragment => Some(last),
            Some(last) => Some(Revision(last.0 + 1)),
            None => Some(behind),
        };
        None
    }

    fn refused(&self, text: &str, token: Option<&Secret>) -> End {
        if token.is_some() && is_of_the_token(text) {
            self.way.forget(token);
        }
        End::Failed
    }

    async fn tell(&self, key: String, revision: Revision) {
        // Nobody listens: the watch is about to end.
        let _unheard = self.tell.send(Hint { key, revision }).await;
    }

    async fn within<T>(&self, time: Duration, it: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = it => Some(done),
            () = self.way.clock.sleep(time) => None,
        }
    }
}

/// How long it waits after something went wrong.
const PAUSE: Duration = Duration::from_millis(500);
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);
