//! An engine in memory, with the faults that a test asks for.
//!
//! [`SimulatedEngine`] is the data and what can befall all of it: no quorum, no space, a
//! compaction, a return to an older snapshot. [`SimulatedHandle`] is the way of one machine there,
//! and what can befall that: a cut, a delay, a reply that is lost. Handles share the data.
//!
//! Nothing here is random and nothing has a time of its own. The test chooses each fault, and waits
//! pass on the handle's clock; so one seed of a test gives one run.
//!
//! A machine that is frozen is played at the edges ([`Gate`]): its calls wait as they come in and
//! as they go out. A request that was checked before the freeze leaves after it, which is the worst
//! that a real one can do.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::limits::{check_commit, check_range};
use super::{
    Asked, Change, Committed, Engine, EngineError, EngineStatus, Entry, Guard, Hint,
    REQUEST_TIMEOUT, Revision, Selection, Snapshot,
};
use crate::clock::Clock;

/// The data that all handles share.
#[derive(Clone, Debug, Default)]
pub struct SimulatedEngine(Arc<Mutex<State>>);

/// The way of one machine to the engine. Clones are the same way.
#[derive(Clone, Debug)]
pub struct SimulatedHandle {
    engine: SimulatedEngine,
    number: usize,
    clock: Arc<dyn Clock>,
    gate: Gate,
}

/// The fate of one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not leave, and that shows at once.
    NotSent,
    /// It does not arrive. The sender waits in vain.
    LostBefore,
    /// It is applied and the reply is lost. The sender waits in vain.
    LostAfter,
    /// It is under way until [`SimulatedEngine::land`]. The sender waits in vain.
    Held,
}

/// Data as it was once, for [`SimulatedEngine::restore`]. The default is an empty engine.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    entries: BTreeMap<String, Entry>,
    revision: Revision,
}

/// A commit that was applied.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The handle by which it came.
    pub by: usize,
    /// The guards that held.
    pub guards: Vec<Guard>,
    /// The changes that were done.
    pub changes: Vec<Change>,
    /// When.
    pub revision: Revision,
}

impl SimulatedEngine {
    /// An empty one.
    pub fn new() -> SimulatedEngine {
        SimulatedEngine::default()
    }

    /// The way of one more machine, which waits by this clock.
    pub fn handle(&self, clock: Arc<dyn Clock>) -> SimulatedHandle {
        let number = self.with(|state| {
            state.links.push(Link::default());
            state.links.len() - 1
        });
        SimulatedHandle { engine: self.clone(), number, clock, gate: Gate::default() }
    }

    /// Without a quorum every request waits in vain.
    pub fn set_quorum(&self, there: bool) {
        self.with(|state| {
            state.no_quorum = !there;
            state.deliver();
        });
    }

    /// While it is full, a commit that puts something is refused by an error.
    pub fn set_full(&self, full: bool) {
        self.with(|state| state.full = full);
    }

    /// Forgets what happened: hints that were not delivered yet are lost.
    pub fn compact(&self) {
        self.with(State::compact);
    }

    /// The data as they are, for [`SimulatedEngine::restore`].
    pub fn keep(&self) -> Kept {
        self.with(|state| Kept { entries: state.entries.clone(), revision: state.revision })
    }

    /// Goes back to older data: revisions fall, and those of since then are given again.
    pub fn restore(&self, kept: &Kept) {
        self.with(|state| {
            state.entries.clone_from(&kept.entries);
            state.revision = kept.revision;
            state.compact();
            state.deliver();
        });
    }

    /// Commits that were held arrive, in the order in which they were sent. Nobody hears how they
    /// are answered.
    pub fn land(&self) {
        self.with(|state| {
            for commit in std::mem::take(&mut state.held) {
                // Its sender has given up.
                let _unheard = state.commit(commit);
            }
        });
    }

    /// All there is, past every fault: for whoever judges.
    pub fn entries(&self) -> Vec<Entry> {
        self.with(|state| state.entries.values().cloned().collect())
    }

    /// Shows each commit as it is applied to whoever judges. It must not call the engine.
    pub fn witness(&self, see: impl Fn(&Applied) + Send + 'static) {
        self.with(|state| state.witnesses.0.push(Box::new(see)));
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SimulatedHandle {
    /// Its number, from 0 on.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The gate of its machine, which may be used for its other calls too.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// While it is cut, every request waits in vain, and hints wait.
    pub fn set_cut(&self, cut: bool) {
        self.engine.with(|state| {
            state.links[self.number].cut = cut;
            state.deliver();
        });
    }

    /// Requests take so long to arrive. One that takes longer than its sender waits arrives all the
    /// same.
    pub fn set_delay(&self, delay: Duration) {
        self.engine.with(|state| state.links[self.number].delay = delay);
    }

    /// One more fault: of the next commit, or of the one after those that have one.
    pub fn fault(&self, fault: Fault) {
        self.engine.with(|state| state.links[self.number].faults.push_back(fault));
    }

    async fn asks<T: Send + 'static>(
        &self,
        way: Way,
        act: impl FnOnce(&mut State) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        match way {
            Way::Open(delay) if delay.is_zero() => self.engine.with(act),
            Way::Open(delay) => self.asks_from_afar(delay, act).await,
            Way::Silent => self.timed_out().await,
            Way::Shut => Err(EngineError::Unreachable("connection refused".to_owned())),
            Way::Deaf => {
                // The answer is what gets lost.
                let _lost = self.engine.with(act);
                self.timed_out().await
            }
        }
    }

    /// Everything under way arrives, whether or not its sender still waits.
    async fn asks_from_afar<T: Send + 'static>(
        &self,
        delay: Duration,
        act: impl FnOnce(&mut State) -> Result<T, EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (engine, clock) = (self.engine.clone(), self.clock.clone());
        let arrives = tokio::spawn(async move {
            clock.sleep(delay).await;
            engine.with(act)
        });
        tokio::select! {
            biased;
            answer = arrives => match answer {
                Ok(answer) => answer,
                Err(ended) => Err(EngineError::Unreachable(ended.to_string())),
            },
            lost = self.timed_out() => lost,
        }
    }

    async fn timed_out<T>(&self) -> Result<T, EngineError> {
        self.clock.sleep(REQUEST_TIMEOUT).await;
        Err(EngineError::Unreachable("timed out".to_owned()))
    }

    async fn commits(
        &self,
        guards: Vec<Guard>,
        changes: Vec<Change>,
    ) -> Result<Committed, EngineError> {
        check_commit(&guards, &changes)?;
        let commit = Commit { by: self.number, guards, changes };
        let way = self.engine.with(|state| match state.links[self.number].next_fault() {
            None => state.way(self.number),
            Some(Fault::NotSent) => Way::Shut,
            Some(Fault::LostBefore) => Way::Silent,
            Some(Fault::LostAfter) if state.no_quorum => Way::Silent,
            Some(Fault::LostAfter) => Way::Deaf,
            Some(Fault::Held) => {
                state.held.push(commit.clone());
                Way::Silent
            }
        });
        self.asks(way, |state| state.commit(commit)).await
    }

    async fn reads<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let way = self.engine.with(|state| state.way(self.number));
        self.asks(way, |state| Ok(act(state))).await
    }

    async fn behind_the_gate<T>(&self, call: impl Future<Output = T>) -> T {
        self.gate.passed().await;
        let answer = call.await;
        self.gate.passed().await;
        answer
    }
}

impl Engine for SimulatedHandle {
    fn range(&self, selections: Vec<Selection>) -> Asked<'_, Snapshot> {
        Box::pin(self.behind_the_gate(async move {
            check_range(&selections)?;
            self.reads(move |state| state.read(&selections)).await
        }))
    }

    fn commit(&self, guards: Vec<Guard>, changes: Vec<Change>) -> Asked<'_, Committed> {
        Box::pin(self.behind_the_gate(self.commits(guards, changes)))
    }

    fn watch(&self, prefix: String) -> mpsc::Receiver<Hint> {
        let (tell, hints) = mpsc::channel(HINTS_MAX);
        self.engine.with(|state| {
            let seen = state.revision;
            state.watchers.push(Watcher { number: self.number, prefix, seen, tell });
        });
        hints
    }

    fn status(&self) -> Asked<'_, EngineStatus> {
        Box::pin(self.behind_the_gate(self.reads(|state| state.status())))
    }
}

/// A gate before everything that a machine does. A frozen machine's is closed.
#[derive(Clone, Debug, Default)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// Whoever comes waits.
    pub fn close(&self) {
        self.0.send_replace(true);
    }

    /// Whoever waits goes on.
    pub fn open(&self) {
        self.0.send_replace(false);
    }

    /// Waits until it is open.
    pub async fn passed(&self) {
        let mut gate = self.0.subscribe();
        // It cannot end while this value is there.
        let _open = gate.wait_for(|closed| !closed).await;
    }
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    revision: Revision,
    links: Vec<Link>,
    no_quorum: bool,
    full: bool,
    held: Vec<Commit>,
    watchers: Vec<Watcher>,
    /// The changes that watchers may not have seen, the oldest first.
    history: VecDeque<Hint>,
    /// All that happened up to here is forgotten.
    forgotten: Revision,
    witnesses: Witnesses,
}

#[derive(Debug, Default)]
struct Link {
    cut: bool,
    delay: Duration,
    faults: VecDeque<Fault>,
}

/// How a request fares.
enum Way {
    /// It arrives after so long, and so does its answer.
    Open(Duration),
    /// It does not arrive.
    Silent,
    /// It does not leave.
    Shut,
    /// It arrives, and its answer does not.
    Deaf,
}

#[derive(Clone, Debug)]
struct Commit {
    by: usize,
    guards: Vec<Guard>,
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Watcher {
    number: usize,
    prefix: String,
    /// The last revision that it was told of.
    seen: Revision,
    tell: mpsc::Sender<Hint>,
}

/// Who sees each commit.
#[derive(Default)]
struct Witnesses(Vec<Witness>);

type Witness = Box<dyn Fn(&Applied) + Send>;

impl fmt::Debug for Witnesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} witnesses", self.0.len())
    }
}

impl Link {
    /// A commit of a cut link leaves its fault to one that gets further.
    fn next_fault(&mut self) -> Option<Fault> {
        if self.cut { None } else { self.faults.pop_front() }
    }
}

impl State {
    fn way(&self, number: usize) -> Way {
        let link = &self.links[number];
        if link.cut || self.no_quorum { Way::Silent } else { Way::Open(link.delay) }
    }

    fn read(&self, selections: &[Selection]) -> Snapshot {
        let mut found: BTreeMap<&str, Entry> = BTreeMap::new();
        for selection in selections {
            let (from, is_prefix) = match selection {
                Selection::Key(key) => (key, false),
                Selection::Prefix(prefix) | Selection::KeysOf(prefix) => (prefix, true),
            };
            let begins = (Bound::Included(from.as_str()), Bound::Unbounded);
            let entries = self.entries.range::<str, _>(begins);
            let is_meant = |key: &str| if is_prefix { key.starts_with(from) } else { key == from };
            for (key, entry) in entries.take_while(|(key, _)| is_meant(key)) {
                let mut entry = entry.clone();
                if matches!(selection, Selection::KeysOf(_)) {
                    entry.value.clear();
                }
                super::limits::put_once(&mut found, key.as_str(), entry);
            }
        }
        Snapshot { entries: found.into_values().collect(), revision: self.revision }
    }

    fn commit(&mut self, commit: Commit) -> Result<Committed, EngineError> {
        let Commit { by, guards, changes } = commit;
        if self.full && changes.iter().any(|change| matches!(change, Change::Put(..))) {
            return Err(EngineError::Unable("it is full".to_owned()));
        }
        if !guards.iter().all(|guard| guard.holds(self.entries.get(guard.key()))) {
            return Ok(Committed::Refused);
        }
        let revision = Revision(self.revision.0 + 1);
        for change in &changes {
            if self.change(change, revision) {
                self.revision = revision;
                let (Change::Put(key, _) | Change::Delete(key)) = change;
                self.history.push_back(Hint { key: key.clone(), revision });
            }
        }
        while self.history.len() > HISTORY_MAX {
            self.forgotten = self.history.pop_front().map_or(self.forgotten, |hint| hint.revision);
        }
        let applied = Applied { by, guards, changes, revision: self.revision };
        self.witnesses.0.iter().for_each(|see| see(&applied));
        self.deliver();
        Ok(Committed::Done(self.revision))
    }

    /// False when the key was not there to be removed.
    fn change(&mut self, change: &Change, revision: Revision) -> bool {
        match change {
            Change::Put(key, value) => {
                let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry {
                    key: key.clone(),
                    value: Vec::new(),
                    created: revision,
                    modified: revision,
                });
                entry.value.clone_from(value);
                entry.modified = revision;
                true
            }
            Change::Delete(key) => self.entries.remove(key).is_some(),
        }
    }

    fn compact(&mut self) {
        self.history.clear();
        self.forgotten = self.revision;
        // After a return to older data a watcher may be ahead of them.
        for watcher in &mut self.watchers {
            if watcher.seen > self.revision {
                watcher.seen = Revision(self.revision.0 - 1);
            }
        }
    }

    /// Tells watchers what they have not seen. A hint for which there is no room is lost.
    fn deliver(&mut self) {
        self.watchers.retain(|watcher| !watcher.tell.is_closed());
        for watcher in &mut self.watchers {
            if self.no_quorum || self.links[watcher.number].cut {
                continue;
            }
            if watcher.seen < self.forgotten {
                let key = watcher.prefix.clone();
                let _lost = watcher.tell.try_send(Hint { key, revision: self.forgotten });
                watcher.seen = self.forgotten;
            }
            for hint in self.history.iter().filter(|hint| hint.revision > watcher.seen) {
                if hint.key.starts_with(&watcher.prefix) {
                    let _lost = watcher.tell.try_send(hint.clone());
                }
            }
            watcher.seen = self.revision;
        }
    }

    fn status(&self) -> EngineStatus {
        let size = |entry: &Entry| (entry.key.len() + entry.value.len()) as u64;
        EngineStatus {
            version: "simulated".to_owned(),
            endpoint: None,
            revision: self.revision,
            bytes: self.entries.values().map(size).sum(),
            quota: None,
            alarms: if self.full { vec!["NOSPACE".to_owned()] } else { Vec::new() },
        }
    }
}

/// Hints that wait for one watcher.
const HINTS_MAX: usize = 1024;
/// Hints that are kept for watchers that are cut off.
const HISTORY_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::super::conformance::{self, SUITE};
    use super::*;
    use crate::clock::VirtualClock;

    fn clock() -> Arc<dyn Clock> {
        Arc::new(VirtualClock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1))
    }

    fn put(key: &str, value: &str) -> Vec<Change> {
        vec![Change::Put(key.to_owned(), value.as_bytes().to_vec())]
    }

    fn absent(key: &str) -> Vec<Guard> {
        vec![Guard::ModifiedAt(key.to_owned(), Revision(0))]
    }

    fn value(engine: &SimulatedEngine, key: &str) -> Option<String> {
        let found = engine.entries().into_iter().find(|entry| entry.key == key)?;
        Some(String::from_utf8(found.value).unwrap())
    }

    async fn reads(handle: &SimulatedHandle) -> Result<Snapshot, EngineError> {
        handle.range(vec![Selection::Key("a".to_owned())]).await
    }

    fn unreachable<T>(answer: &Result<T, EngineError>) -> bool {
        matches!(answer, Err(EngineError::Unreachable(_)))
    }

    #[tokio::test(start_paused = true)]
    async fn it_conforms() {
        let handle = SimulatedEngine::new().handle(clock());
        for (name, check) in SUITE {
            check(&handle, &format!("{name}/")).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_conforms_at_a_distance() {
        let handle = SimulatedEngine::new().handle(clock());
        handle.set_delay(Duration::from_millis(20));
        for (name, check) in SUITE {
            check(&handle, &format!("{name}/")).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hints_go_on_after_a_cut_a_compaction_and_a_return_to_older_data() {
        let engine = SimulatedEngine::new();
        let (watching, writing) = (engine.handle(clock()), engine.handle(clock()));
        let cut = async {
            watching.set_cut(true);
            writing.commit(Vec::new(), put("cut/while", "")).await.unwrap();
            watching.set_cut(false);
        };
        conformance::hints_go_on_after(&watching, "cut/", cut).await;
        let compaction = async {
            watching.set_cut(true);
            writing.commit(Vec::new(), put("compacted/while", "")).await.unwrap();
            engine.compact();
            watching.set_cut(false);
        };
        conformance::hints_go_on_after(&watching, "compacted/", compaction).await;
        let older = async { engine.restore(&Kept::default()) };
        conformance::hints_go_on_after(&watching, "older/", older).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_is_told_what_it_missed_or_that_it_missed_something() {
        let engine = SimulatedEngine::new();
        let (watching, writing) = (engine.handle(clock()), engine.handle(clock()));
        let mut hints = watching.watch("a/".to_owned());
        watching.set_cut(true);
        writing.commit(Vec::new(), put("a/1", "")).await.unwrap();
        assert!(hints.try_recv().is_err());
        watching.set_cut(false);
        assert_eq!(hints.try_recv().unwrap().key, "a/1");
        watching.set_cut(true);
        writing.commit(Vec::new(), put("a/2", "")).await.unwrap();
        engine.compact();
        watching.set_cut(false);
        assert_eq!(hints.try_recv().unwrap().key, "a/");
        assert!(hints.try_recv().is_err());
        engine.restore(&Kept::default());
        assert_eq!(hints.try_recv().unwrap().key, "a/");
        assert!(hints.try_recv().is_err(), "what was taken back is not told");
    }

    #[tokio::test(start_paused = true)]
    async fn each_fault_does_what_it_says_and_takes_as_long_as_a_time_out() {
        for (fault, waited, applied) in [
            (Fault::NotSent, Duration::ZERO, false),
            (Fault::LostBefore, REQUEST_TIMEOUT, false),
            (Fault::LostAfter, REQUEST_TIMEOUT, true),
            (Fault::Held, REQUEST_TIMEOUT, false),
        ] {
            let (engine, clock) = (SimulatedEngine::new(), clock());
            let handle = engine.handle(clock.clone());
            handle.fault(fault);
            assert!(unreachable(&handle.commit(absent("a"), put("a", "1")).await), "{fault:?}");
            assert_eq!(clock.elapsed(), waited, "{fault:?}");
            assert_eq!(value(&engine, "a").is_some(), applied, "{fault:?}");
            let next = handle.commit(Vec::new(), put("b", "1")).await;
            assert!(matches!(next, Ok(Committed::Done(_))), "{fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_commit_lands_later_if_its_guards_still_hold() {
        let engine = SimulatedEngine::new();
        let handle = engine.handle(clock());
        for key in ["a", "b"] {
            handle.fault(Fault::Held);
            assert!(unreachable(&handle.commit(absent(key), put(key, "held")).await));
        }
        handle.commit(absent("a"), put("a", "newer")).await.unwrap();
        engine.land();
        assert_eq!(value(&engine, "a").as_deref(), Some("newer"));
        assert_eq!(value(&engine, "b").as_deref(), Some("held"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_is_slower_than_its_sender_s_patience_arrives_all_the_same() {
        let (engine, clock) = (SimulatedEngine::new(), clock());
        let handle = engine.handle(clock.clone());
        handle.set_delay(REQUEST_TIMEOUT * 2);
        assert!(unreachable(&handle.commit(Vec::new(), put("a", "1")).await));
        assert_eq!(value(&engine, "a"), None);
        clock.sleep(REQUEST_TIMEOUT * 2).await;
        assert_eq!(value(&engine, "a").as_deref(), Some("1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_is_one_machine_s_and_a_lost_quorum_is_everybody_s() {
        let engine = SimulatedEngine::new();
        let (one, other) = (engine.handle(clock()), engine.handle(clock()));
        one.set_cut(true);
        assert!(unreachable(&one.status().await));
        assert!(unreachable(&reads(&one).await));
        assert!(unreachable(&one.commit(absent("a"), Vec::new()).await));
        assert!(other.status().await.is_ok());
        engine.set_quorum(false);
        assert!(unreachable(&reads(&other).await));
        engine.set_quorum(true);
        one.set_cut(false);
        assert!(reads(&one).await.is_ok() && reads(&other).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_engine_takes_no_values_gives_them_and_lets_them_be_removed() {
        let engine = SimulatedEngine::new();
        let handle = engine.handle(clock());
        handle.commit(Vec::new(), put("a", "1")).await.unwrap();
        engine.set_full(true);
        let refused = handle.commit(absent("a"), put("a", "2")).await;
        assert!(matches!(refused, Err(EngineError::Unable(_))), "{refused:?}");
        assert_eq!(handle.status().await.unwrap().alarms, ["NOSPACE"]);
        handle.commit(Vec::new(), vec![Change::Delete("a".to_owned())]).await.unwrap();
        assert_eq!(engine.entries(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn older_data_come_back_with_their_revision() {
        let engine = SimulatedEngine::new();
        let handle = engine.handle(clock());
        handle.commit(Vec::new(), put("a", "1")).await.unwrap();
        let kept = engine.keep();
        let newer = handle.commit(Vec::new(), put("a", "2")).await.unwrap();
        engine.restore(&kept);
        assert_eq!(value(&engine, "a").as_deref(), Some("1"));
        assert_eq!(handle.commit(Vec::new(), put("b", "1")).await.unwrap(), newer);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frozen_machine_s_calls_wait_at_both_edges() {
        let (engine, clock) = (SimulatedEngine::new(), clock());
        let handle = engine.handle(clock.clone());
        handle.set_delay(Duration::from_millis(100));
        let sent = tokio::spawn({
            let handle = handle.clone();
            async move { handle.commit(Vec::new(), put("sent", "")).await }
        });
        clock.sleep(Duration::from_millis(50)).await;
        handle.gate().close();
        let checked = tokio::spawn({
            let handle = handle.clone();
            async move { handle.commit(Vec::new(), put("checked", "")).await }
        });
        clock.sleep(Duration::from_secs(30)).await;
        assert!(value(&engine, "sent").is_some() && !sent.is_finished());
        assert!(value(&engine, "checked").is_none() && !checked.is_finished());
        handle.gate().open();
        assert!(matches!(sent.await.unwrap(), Ok(Committed::Done(_))));
        assert!(matches!(checked.await.unwrap(), Ok(Committed::Done(_))));
        assert!(value(&engine, "checked").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_judges_sees_each_commit_with_the_machine_it_came_from() {
        let engine = SimulatedEngine::new();
        let (_one, other) = (engine.handle(clock()), engine.handle(clock()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        engine.witness({
            let seen = seen.clone();
            move |applied| seen.lock().unwrap().push((applied.by, applied.changes.len()))
        });
        other.commit(absent("a"), put("a", "1")).await.unwrap();
        assert_eq!(other.commit(absent("a"), put("a", "2")).await, Ok(Committed::Refused));
        assert_eq!(*seen.lock().unwrap(), [(other.number(), 1)]);
    }
}
