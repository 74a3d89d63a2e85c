//! Two members over a simulated engine: what is asked, answered, taken back and left behind.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::clock::SystemClock;
use crate::engine::simulated::{Fault, SimulatedEngine, SimulatedHandle};

struct Two {
    engine: SimulatedEngine,
    handle: SimulatedHandle,
    keys: Keys,
    asking: Asks,
    answering: Asks,
}

fn member(node: &str) -> MemberId {
    MemberId { node: node.to_owned(), boot: "0".to_owned() }
}

/// Two members, on a paused clock.
async fn two() -> Two {
    let (engine, keys) = (SimulatedEngine::new(), Keys::new("prod"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (handle, other) = (engine.handle(clock.clone()), engine.handle(clock.clone()));
    let there = ["one", "two"].map(|node| Change::Put(keys.member(&member(node)), Vec::new()));
    handle.commit(Vec::new(), there.into()).await.unwrap();
    Two {
        asking: Asks::new(Arc::new(handle.clone()), keys.clone(), clock.clone()),
        answering: Asks::new(Arc::new(other), keys.clone(), clock),
        engine,
        handle,
        keys,
    }
}

fn question(verb: &str) -> Question {
    Question { verb: verb.to_owned(), body: json!({ "account": "acme" }), from: member("one") }
}

impl Two {
    async fn asks(&self, verb: &str) -> Result<Answer, AskError> {
        self.asking.ask(&member("two"), "7", &question(verb), PATIENCE).await
    }

    /// The first that is asked of the second member.
    async fn asked(&self) -> Asked {
        let mut hints = self.answering.hints(&member("two"));
        loop {
            if let Some(asked) = self.answering.of(&member("two")).await.unwrap().pop() {
                return asked;
            }
            hints.recv().await;
        }
    }

    /// The keys of everything that was asked and answered.
    async fn letters(&self) -> Vec<String> {
        let prefixes = [self.keys.all_asks(), self.keys.all_answers(), self.keys.all_troubles()];
        let selections = prefixes.map(Selection::KeysOf).into();
        let found = self.handle.range(selections).await.unwrap().entries;
        found.into_iter().map(|entry| entry.key).collect()
    }
}

/// It does not deflate: an answer with it has several parts.
fn noise() -> Vec<u64> {
    let mut number = 1_u64;
    let mut next = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        number
    };
    (0..300_000).map(|_| next()).collect()
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(start_paused = true)]
async fn an_answer_comes_back_whole_however_long_it_is_and_leaves_nothing() {
    let two = two().await;
    for body in [json!("done"), json!(noise())] {
        let reply = Answer { status: 200, body };
        let answering = async {
            let asked = two.asked().await;
            assert_eq!(asked.question, Some(question("/renew")));
            two.answering.answer(&asked, &reply).await.unwrap();
            // The same once more, as after a reply that was lost: nobody is answered twice.
            two.answering.answer(&asked, &reply).await.unwrap();
        };
        let (answer, ()) = tokio::join!(two.asks("/renew"), answering);
        assert_eq!(answer.as_ref(), Ok(&reply));
        assert_eq!(two.letters().await, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_there_or_goes_does_not_answer_and_nothing_is_left() {
    let two = two().await;
    let gone = || Change::Delete(two.keys.member(&member("two")));
    let going = async {
        two.asked().await;
        two.handle.commit(Vec::new(), vec![gone()]).await.unwrap();
    };
    let (answer, ()) = tokio::join!(two.asks("/renew"), going);
    assert_eq!(answer, Err(AskError::Gone));
    assert_eq!(two.asks("/renew").await, Err(AskError::Gone));
    assert_eq!(two.letters().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_not_there_is_not_asked() {
    let two = two().await;
    let gone = Change::Delete(two.keys.member(&member("two")));
    two.handle.commit(Vec::new(), vec![gone]).await.unwrap();
    two.engine.witness(|applied| panic!("{:?}", applied.changes));
    assert_eq!(two.asks("/renew").await, Err(AskError::Gone));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_waits_for_is_not_begun_however_long_it_is() {
    let two = two().await;
    let (_, asked) = tokio::join!(two.asks("/renew"), two.asked());
    let reply = Answer { status: 200, body: json!(noise()) };
    two.answering.answer(&asked, &reply).await.unwrap();
    assert_eq!(two.letters().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_is_late_is_taken_back_and_answered_no_more() {
    let two = two().await;
    let (answer, asked) = tokio::join!(two.asks("/renew"), two.asked());
    assert_eq!(answer, Err(AskError::Late));
    let reply = Answer { status: 200, body: json!(null) };
    two.answering.answer(&asked, &reply).await.unwrap();
    assert_eq!(two.letters().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_is_away_for_a_while_is_waited_for() {
    let two = two().await;
    let reply = Answer { status: 409, body: json!({ "error": "another plan" }) };
    let answering = async {
        let asked = two.asked().await;
        two.engine.set_quorum(false);
        SystemClock::new().sleep(Duration::from_secs(5)).await;
        two.engine.set_quorum(true);
        two.answering.answer(&asked, &reply).await.unwrap();
    };
    let (answer, ()) = tokio::join!(two.asks("/apply"), answering);
    assert_eq!(answer, Ok(reply));
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_can_read_is_said_to_be_one() {
    let two = two().await;
    let answering = async {
        let asked = two.asked().await;
        let unread = Asked { question: None, ..asked };
        let reply = Answer { status: 200, body: json!(null) };
        two.answering.answer(&unread, &reply).await.unwrap();
    };
    let (answer, ()) = tokio::join!(two.asks("/later"), answering);
    assert_eq!(answer, Err(AskError::Unreadable));
    assert_eq!(two.letters().await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_swept() {
    let two = two().await;
    let (one, dead) = (member("one"), member("dead"));
    let left = [
        two.keys.ask(&dead, "1"),
        two.keys.answer(&dead, "1"),
        two.keys.answer(&one, "1"),
        format!("{}/000000", two.keys.answer(&one, "1")),
        two.keys.ask(&one, "2"),
        two.keys.troubles(&dead),
        two.keys.troubles(&one),
    ];
    let puts = left.iter().map(|key| Change::Put(key.clone(), Vec::new())).collect();
    two.handle.commit(Vec::new(), puts).await.unwrap();
    let seen = two.asking.sweep(&one, &BTreeSet::new()).await.unwrap();
    assert_eq!(two.letters().await.len(), 4, "an answer is left for a while");
    two.asking.sweep(&one, &seen).await.unwrap();
    let left = [two.keys.ask(&one, "2"), two.keys.troubles(&one)];
    assert_eq!(two.letters().await, left, "an ask is answered in its time");
}

#[tokio::test(start_paused = true)]
async fn a_question_of_which_nobody_knows_that_it_was_put_is_taken_back() {
    let two = two().await;
    two.handle.fault(Fault::LostAfter);
    assert!(matches!(two.asks("/renew").await, Err(AskError::Engine(_))));
    assert_eq!(two.letters().await, Vec::<String>::new());
}
