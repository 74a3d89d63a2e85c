//! Tells hooks what happened: a command, a URL, or both, as `[hooks]` says.
//!
//! A task of its own, which hears the reports of passes and reads ledgers; passes neither wait for
//! it nor know of it. Events come from reports alone (`crate::expose::event`): nothing that is
//! done at Zoho depends on a hook, and no hook is run while a step is made.
//!
//! The command and the URL are two ways. On each, events go one at a time and in order, each once:
//! a failure is told (in the log, in the metrics, in health) and not tried again. At most
//! [`QUEUE_MAX`] events wait on a way; then the oldest goes, and is counted. A stop waits for no
//! hook, and what has not been told by then is not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::expose::event::{Event, EventsSeen, of_steps};
use crate::expose::overview::{HookResult, HookRuns, HookWay, Overview};
use crate::model::channel::AccountName;
use crate::model::hooks::{HookEvent, Hooks};
use crate::model::time::Timestamp;
use crate::reconcile::report::AccountReport;
use crate::store::{Store, StoreError};
use crate::zoho::transport::Transport;

use super::alerts::request;
use super::fleet::Fleet;
use super::scheduler::{Links, Message, PassReports, chain};

mod command;

use command::run as run_command;

/// The runs of hooks, for the metrics.
pub type HookBoard = Arc<Mutex<HookRuns>>;

/// The task.
pub struct Teller {
    links: Links,
    overview: watch::Receiver<Arc<Overview>>,
    fleet: watch::Receiver<Arc<Fleet>>,
    clock: Arc<dyn Clock>,
    transport: Arc<dyn Transport>,
    store: Store,
    board: HookBoard,
    hooks: Hooks,
    /// The reports of passes, while somebody is told of anything.
    heard: Option<Arc<PassReports>>,
    seen: EventsSeen,
    ways: BTreeMap<HookWay, Lane>,
    running: JoinSet<(HookWay, Told)>,
    /// The note for health that was given last.
    note: Option<String>,
}

/// The events that wait on one way.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Event>,
    is_busy: bool,
    /// Events that went untold since the last that was told with none left waiting.
    dropped: u64,
    /// The failure of the last event.
    failure: Option<String>,
}

/// An event that was told, or not.
struct Told {
    event: HookEvent,
    result: HookResult,
    /// The reason against it.
    why: Option<String>,
}

impl Teller {
    /// A teller of the daemon that `links` leads to. `transport` must bound its requests.
    pub fn new(
        links: &Links,
        clock: Arc<dyn Clock>,
        transport: Arc<dyn Transport>,
        store: Store,
        board: HookBoard,
    ) -> Teller {
        Teller {
            links: links.clone(),
            overview: links.overview.clone(),
            fleet: links.fleet.clone(),
            clock,
            transport,
            store,
            board,
            hooks: Hooks::default(),
            heard: None,
            seen: EventsSeen::default(),
            ways: BTreeMap::new(),
            running: JoinSet::new(),
            note: None,
        }
    }

    /// Tells until `closing`.
    pub async fn run(mut self, closing: CancellationToken) {
        loop {
            self.settle().await;
            self.look();
            self.begin();
            self.tell_health().await;
            tokio::select! {
                () = closing.cancelled() => return,
                Some(ended) = self.running.join_next() => match ended {
                    Ok((way, told)) => self.ended(way, told),
                    Err(panic) => std::panic::resume_unwind(panic.into_panic()),
                },
                // Once these cannot change any more, the daemon is stopping.
                Ok(()) = self.overview.changed() => {}
                Ok(()) = self.fleet.changed() => {}
            }
        }
    }

    /// Takes in other settings. What is known when hooks are turned on is not told.
    async fn settle(&mut self) {
        let fleet = self.fleet.borrow_and_update().clone();
        let (told_gaps, told_recoveries) = (self.tells_gaps(), self.tells_recoveries());
        self.seen.keep(|account| fleet.subjects.contains_key(account));
        let former = std::mem::replace(&mut self.hooks, fleet.settings.hooks.clone());
        let is_left = [self.way_of_command(), self.way_of_webhook()];
        for (_, lane) in self.ways.iter_mut().filter(|(way, _)| !is_left.contains(&Some(**way))) {
            *lane = Lane { is_busy: lane.is_busy, ..Lane::default() };
        }
        if !self.hooks.is_on() {
            (self.seen, self.heard) = (EventsSeen::default(), None);
        } else if !former.is_on() {
            self.heard = self.links.wakes.listen().await;
        }
        if self.tells_gaps() && !told_gaps {
            for name in fleet.subjects.keys() {
                let known = self.begin_with_gaps(name);
                self.warn_of(known);
            }
        }
        if self.tells_recoveries() && !told_recoveries {
            for name in fleet.subjects.keys() {
                let _known = self.recoveries(name, self.clock.now());
            }
        }
    }

    fn begin_with_gaps(&mut self, account: &AccountName) -> Result<(), StoreError> {
        let state = self.store.account_state(account)?;
        let ledgers = self.store.ledgers(account)?;
        self.seen.begin(account, &ledgers, state.zoho_time(self.clock.now()));
        Ok(())
    }

    fn way_of_command(&self) -> Option<HookWay> {
        (self.hooks.is_on() && !self.hooks.run.is_empty()).then_some(HookWay::Command)
    }

    fn way_of_webhook(&self) -> Option<HookWay> {
        (self.hooks.is_on() && self.hooks.url.is_some()).then_some(HookWay::Webhook)
    }

    /// Makes events of everything that happened since the last look.
    fn look(&mut self) {
        let Some(heard) = self.heard.clone() else { return };
        let overview = self.overview.borrow_and_update().clone();
        let now = self.clock.now();
        let (file, hash) = (&overview.config.file, overview.config.hash.as_deref());
        let mut events: Vec<Event> = self.seen.config(file, hash, now).into_iter().collect();
        for (account, reports) in heard.take() {
            for report in &reports {
                events.extend(of_steps(report, now));
                if self.hooks.tells(HookEvent::TokenChanged) {
                    events.extend(self.seen.tokens(report, now));
                }
            }
            if let Some(last) = reports.last().filter(|_| self.tells_gaps()) {
                events.extend(self.gaps(&account, last, now));
            }
            if self.tells_recoveries() {
                events.extend(self.recoveries(&account, now));
            }
        }
        events.retain(|event| self.hooks.tells(event.event));
        events.into_iter().for_each(|event| self.queue(&event));
    }

    fn gaps(
        &mut self,
        account: &AccountName,
        report: &AccountReport,
        now: Timestamp,
    ) -> Vec<Event> {
        match self.store.ledgers(account) {
            Ok(ledgers) => self.seen.gaps(account, &ledgers, report.zoho_time(now), now),
            Err(error) => {
                self.warn_of(Err(error));
                Vec::new()
            }
        }
    }

    /// The recoveries that ended since the last look.
    fn recoveries(&mut self, account: &AccountName, now: Timestamp) -> Vec<Event> {
        match self.store.recoveries(account) {
            Ok(recoveries) => self.seen.recoveries(account, &recoveries, now),
            Err(error) => {
                warn!(error = chain(&error), "recoveries cannot be read, so hooks hear of none");
                Vec::new()
            }
        }
    }

    fn tells_recoveries(&self) -> bool {
        self.hooks.tells(HookEvent::Recovered)
    }

    fn tells_gaps(&self) -> bool {
        self.hooks.tells(HookEvent::GapBegun) || self.hooks.tells(HookEvent::GapEnded)
    }

    fn warn_of(&self, read: Result<(), StoreError>) {
        if let Err(error) = read {
            warn!(error = chain(&error), "the ledgers cannot be read, so hooks hear of no gaps");
        }
    }

    /// On each way that there is; the oldest makes room.
    fn queue(&mut self, event: &Event) {
        for way in self.way_of_command().into_iter().chain(self.way_of_webhook()) {
            let lane = self.ways.entry(way).or_default();
            lane.waiting.push_back(event.clone());
            if lane.waiting.len() > QUEUE_MAX {
                lane.waiting.pop_front();
                lane.dropped += 1;
                board(&self.board).dropped(way);
                if lane.dropped == 1 {
                    warn!(
                        way = way.word(),
                        "events come faster than the hook takes them, so the oldest are dropped"
                    );
                }
            }
        }
    }

    /// Begins with the next event of each way that is free.
    fn begin(&mut self) {
        let (clock, transport) = (self.clock.clone(), self.transport.clone());
        for (way, lane) in self.ways.iter_mut().filter(|(_, lane)| !lane.is_busy) {
            let Some(event) = lane.waiting.pop_front() else { continue };
            lane.is_busy = true;
            let (way, hooks) = (*way, self.hooks.clone());
            let (clock, transport) = (clock.clone(), transport.clone());
            self.running.spawn(async move {
                let told = match way {
                    HookWay::Command => by_command(&event, &hooks, &*clock).await,
                    HookWay::Webhook => by_webhook(&event, &hooks, &*transport).await,
                };
                (way, told)
            });
        }
    }

    fn ended(&mut self, way: HookWay, told: Told) {
        let Told { event, result, why } = told;
        board(&self.board).ran(way, result);
        let lane = self.ways.entry(way).or_default();
        lane.is_busy = false;
        match why {
            Some(why) => {
                warn!(way = way.word(), %event, result = result.word(), why, "a hook failed");
                lane.failure = Some(why);
            }
            None => {
                debug!(way = way.word(), %event, "a hook was told");
                lane.failure = None;
                if lane.waiting.is_empty() {
                    lane.dropped = 0;
                }
            }
        }
    }

    /// Health knows of the last failure of each way, and of events that went untold.
    async fn tell_health(&mut self) {
        let notes: Vec<String> =
            self.ways.iter().filter_map(|(way, lane)| lane.note(*way)).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        if note != self.note {
            self.note.clone_from(&note);
            // The scheduler has ended when it cannot be told.
            let _stopping = self.links.wakes.0.send(Message::Hooks(note)).await.is_err();
        }
    }
}

impl Lane {
    fn note(&self, way: HookWay) -> Option<String> {
        let failed = self.failure.as_ref().map(|why| format!("failed: {why}"));
        let dropped =
            (self.dropped > 0).then(|| format!("was not told of {} events", self.dropped));
        let both: Vec<String> = failed.into_iter().chain(dropped).collect();
        (!both.is_empty()).then(|| format!("the {} of [hooks] {}", way.word(), both.join(", and ")))
    }
}

async fn by_command(event: &Event, hooks: &Hooks, clock: &dyn Clock) -> Told {
    let ended = run_command(&hooks.run, event.event, &body(event), hooks.timeout, clock).await;
    let (result, why) = match ended {
        Ok(()) => (HookResult::Done, None),
        Err(failure) => (failure.result(), Some(failure.to_string())),
    };
    Told { event: event.event, result, why }
}

async fn by_webhook(event: &Event, hooks: &Hooks, transport: &dyn Transport) -> Told {
    let url = hooks.url.as_ref().map_or("", |url| url.expose());
    let (result, why) = match transport.send(request("POST", url, body(event))).await {
        Ok(response) if response.status / 100 == 2 => (HookResult::Done, None),
        Ok(response) => (HookResult::Failed, Some(format!("HTTP {}", response.status))),
        Err(error) => (HookResult::Failed, Some(error.to_string())),
    };
    Told { event: event.event, result, why }
}

/// One line of JSON.
fn body(event: &Event) -> String {
    let mut body = serde_json::to_string(event).unwrap_or_default();
    body.push('\n');
    body
}

fn board(board: &HookBoard) -> std::sync::MutexGuard<'_, HookRuns> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The most events that wait on a way.
pub const QUEUE_MAX: usize = 256;
