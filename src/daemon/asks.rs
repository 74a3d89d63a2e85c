//! The questions of other machines, answered as over this one's own socket.
//!
//! Each ask is answered by a task of its own: one may wait for Zoho, and the next is a look at what
//! is in memory. An answer that the engine did not take is handed in again until it does.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::cluster::MemberId;
use crate::cluster::asks::{Answer, Asked, Asks};

use super::control::{ErrorReply, status_of};
use super::desk::{Desk, Use, Verb};
use super::recoveries::{RecoverRequest, RecoveriesRequest, SettleRequest};
use super::requests::{
    AckRequest, AdoptRequest, ApplyPartRequest, ExplainPartRequest, GapsRequest, PauseRequest,
    PlanPartRequest, RenewRequest, ResumeRequest, StatusRequest,
};
use super::scheduler::chain;
use super::spread::own_is_held;

/// The task.
pub(super) struct Answering {
    desk: Desk,
    asks: Asks,
    /// Those that are being answered, by key.
    under_way: BTreeSet<String>,
    work: JoinSet<String>,
}

impl Answering {
    /// The one of a desk whose machine shares accounts.
    pub(super) fn of(desk: &Desk) -> Option<Answering> {
        let asks = desk.machines.as_ref()?.asks.clone();
        let (under_way, work) = (BTreeSet::new(), JoinSet::new());
        Some(Answering { desk: desk.clone(), asks, under_way, work })
    }

    /// Answers until `closing`.
    pub(super) async fn run(mut self, closing: CancellationToken) {
        tokio::select! {
            () = closing.cancelled() => {}
            () = self.answering() => {}
        }
    }

    async fn answering(&mut self) {
        let me = self.me().await;
        let clock = self.desk.clock.clone();
        let mut hints = self.asks.hints(&me);
        let mut are_hints_heard = true;
        let mut sweep = clock.sleep(SWEEP_EVERY);
        let mut left = BTreeSet::new();
        loop {
            match self.asks.of(&me).await {
                Ok(asked) => asked.into_iter().for_each(|one| self.begin(one)),
                Err(error) => debug!(error = chain(&error), "what is asked is not known now"),
            }
            tokio::select! {
                hint = hints.recv(), if are_hints_heard => are_hints_heard = hint.is_some(),
                Some(done) = self.work.join_next() => match done {
                    Ok(key) => drop(self.under_way.remove(&key)),
                    Err(error) => assert!(error.is_cancelled(), "{error}"),
                },
                () = clock.sleep(LOOK_EVERY) => {}
                () = &mut sweep => {
                    if let Ok(seen) = self.asks.sweep(&me, &left).await {
                        left = seen;
                    }
                    sweep = clock.sleep(SWEEP_EVERY);
                }
            }
        }
    }

    /// This member, once it knows its own name.
    async fn me(&self) -> MemberId {
        let Some(door) = &self.desk.machines else { return std::future::pending().await };
        let mut view = door.view.clone();
        loop {
            if let Some(me) = view.borrow_and_update().me.clone() {
                return me;
            }
            if view.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn begin(&mut self, asked: Asked) {
        if self.under_way.len() >= AT_ONCE || !self.under_way.insert(asked.key.clone()) {
            return;
        }
        let (desk, asks) = (self.desk.clone(), self.asks.clone());
        self.work.spawn(async move {
            let answer = answer(&asked, &desk).await;
            while let Err(error) = asks.answer(&asked, &answer).await {
                debug!(error = chain(&error), "an answer is handed in again");
                desk.clock.sleep(AGAIN).await;
            }
            asked.key
        });
    }
}

async fn answer(asked: &Asked, desk: &Desk) -> Answer {
    let table = VERBS.iter().copied().collect::<BTreeMap<_, _>>();
    let question = asked.question.clone();
    let verb = question.and_then(|it| Some((it.verb.clone(), *table.get(it.verb.as_str())?, it)));
    match verb {
        Some((verb, (is_change, answer), question)) => {
            let by = question.from.node;
            if is_change {
                info!(verb, by, "a change was asked for at another machine");
            } else {
                debug!(verb, by, "another machine asks");
            }
            own_is_held(desk).await;
            answer(desk.clone(), question.body).await
        }
        None => refused(400, "this machine does not know what is asked: it is another release"),
    }
}

fn here<V: Verb>(desk: Desk, body: Value) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
    Box::pin(async move {
        let verb = match serde_json::from_value::<V>(body) {
            Ok(verb) => verb,
            Err(error) => return refused(400, &error.to_string()),
        };
        let answer = match verb.answer(&desk).await {
            Ok(answer) => answer,
            Err(error) => return refused(status_of(&error).for_machines, &chain(&error)),
        };
        match serde_json::to_value(&answer) {
            Ok(body) => Answer { status: 200, body },
            Err(error) => refused(500, &error.to_string()),
        }
    })
}

fn refused(status: u16, why: &str) -> Answer {
    let body = serde_json::to_value(ErrorReply { error: why.to_owned() }).unwrap_or_default();
    Answer { status, body }
}

/// The verb's path, and whether it changes something, with its answer.
type Row = (&'static str, (bool, fn(Desk, Value) -> Pin<Box<dyn Future<Output = Answer> + Send>>));

const fn row<V: Verb>() -> Row {
    (V::PATH, (!matches!(V::USE, Use::Look), here::<V>))
}

/// All that a machine is asked by another.
const VERBS: [Row; 13] = [
    row::<StatusRequest>(),
    row::<GapsRequest>(),
    row::<AckRequest>(),
    row::<RecoveriesRequest>(),
    row::<RecoverRequest>(),
    row::<SettleRequest>(),
    row::<PlanPartRequest>(),
    row::<ExplainPartRequest>(),
    row::<ApplyPartRequest>(),
    row::<RenewRequest>(),
    row::<AdoptRequest>(),
    row::<PauseRequest>(),
    row::<ResumeRequest>(),
];

/// From one look for asks to the next, when no hint comes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// From one look for what was left behind to the next: longer than anybody waits for an answer.
const SWEEP_EVERY: Duration = Duration::from_secs(15 * 60);
/// From a failure of the engine to the next try.
const AGAIN: Duration = Duration::from_secs(1);
/// Asks that are answered at once.
const AT_ONCE: usize = 64;
