//! Records that change all through the month, and a receiver that takes what is recovered of them,
//! most of the time.
//!
//! A part of the seeds has them, and with them `[backfill]` for every channel. Every question that
//! the simulator's knobs leave open has an answer of the seed's. At the end these laws hold:
//!
//! - each notification that nobody got is handed over, unless one of the reasons of
//!   [`Judge::reason`] keeps it from that;
//! - nothing is handed over of an event that the channel does not declare, and no creation or
//!   deletion of a time at which it was covered for certain;
//! - nothing comes twice but under the same name, with the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use channelkeeper::backfill::read::Doubt;
use channelkeeper::backfill::{HeldFor, Lost, Recovery, State};
use channelkeeper::clock::{Clock, VirtualClock};
use channelkeeper::coverage::{GapKind, Ledger};
use channelkeeper::model::backfill::{BackfillMode, BackfillRule};
use channelkeeper::model::channel::{AccountName, ChannelId, Spec};
use channelkeeper::model::events::Operation;
use channelkeeper::model::exchange::{Request, Response};
use channelkeeper::model::product::Product;
use channelkeeper::model::secret::Fingerprint;
use channelkeeper::model::time::{Timestamp, after, before, span};
use channelkeeper::simulator::{Change, Covered, Missed, RecordKnobs};
use channelkeeper::zoho::transport::{Exchange, Transport};
use serde_json::{Value, json};

use super::schedule::{Rng, modules};
use super::{ORGS, QUIET};
use crate::world::truth::TOLERANCE;
use crate::world::{World, pause};

/// The records of a seed.
pub struct Records {
    rng: Rng,
    /// The rule of every channel.
    rule: BackfillRule,
    knobs: RecordKnobs,
    /// False when one of the orgs lets nothing be read.
    all_readable: bool,
    receiver: Arc<Receiver>,
    /// When records change next.
    next: Timestamp,
    places: Vec<Place>,
    /// The records that are there, and those in the bin.
    there: BTreeMap<Place, Vec<u64>>,
    in_bin: BTreeMap<Place, Vec<u64>>,
    /// Records that came back from the bin, or left it for good: their times tell another story.
    moved: BTreeSet<(Place, u64)>,
    /// Changes that moved no time.
    silent: BTreeSet<(Place, u64, Timestamp)>,
    /// When records changed.
    changed: BTreeMap<(Place, u64), Vec<(Operation, Timestamp)>>,
    /// Since when an event is declared, and up to when it was.
    declared: BTreeMap<Event, Timestamp>,
    undeclared: BTreeMap<Event, Timestamp>,
    made: u64,
}

type Place = (&'static str, &'static str);
type Event = (i64, String, Operation);

impl Records {
    /// Those of a seed, if it has any.
    pub fn of(seed: u64, products: [Product; 3]) -> Option<Records> {
        if seed.is_multiple_of(3) {
            return None;
        }
        let mut rng = Rng::new(seed ^ 0x5EC0_4D5E_EDED_0001);
        let places = ORGS.into_iter().zip(products).flat_map(|(org, product)| {
            modules(product).0.iter().map(move |module| (org, *module)).collect::<Vec<_>>()
        });
        let credits = if rng.chance(30) { 60 } else { 2_000 };
        let mode = if rng.chance(10) { BackfillMode::Plan } else { BackfillMode::On };
        let rule =
            BackfillRule { credits, rate: rng.between(1, 20) as u32, ..BackfillRule::new(mode) };
        let knobs = knobs(&mut rng);
        Some(Records {
            rule,
            knobs,
            all_readable: !rng.chance(15),
            receiver: Arc::new(Receiver::new(Rng::new(seed ^ 0x7EAC))),
            next: Timestamp::MIN,
            places: places.collect(),
            there: BTreeMap::new(),
            in_bin: BTreeMap::new(),
            moved: BTreeSet::new(),
            silent: BTreeSet::new(),
            changed: BTreeMap::new(),
            declared: BTreeMap::new(),
            undeclared: BTreeMap::new(),
            made: 0,
            rng,
        })
    }

    /// How Zoho keeps them and shows them.
    pub fn knobs(&self) -> RecordKnobs {
        self.knobs.clone()
    }

    /// The orgs that let the daemon read them.
    pub fn readable(&self) -> &'static [&'static str] {
        if self.all_readable { &ORGS } else { &ORGS[..2] }
    }

    /// Puts the first of them, and their receiver, into the world.
    pub fn settle(&mut self, world: &mut World, ends: Timestamp) {
        let quiet = before(ends, QUIET);
        self.receiver.held().watch = Some((world.zoho_clock.clone(), quiet));
        world.receivers = Some(self.receiver.clone());
        self.next = after(world.now(), self.rng.seconds(20, 700));
        for place in self.places.clone() {
            self.create(world, place, 30);
        }
    }

    /// The same channel with the rule; from here on its events are declared.
    pub fn ruled(&mut self, spec: Spec, now: Timestamp) -> Spec {
        self.undeclare(spec.id, now);
        for (module, operations) in spec.events.iter() {
            for operation in operations.iter() {
                let event = (spec.id.number(), module.to_owned(), operation);
                // One that was declared all the time is declared since the beginning.
                let was_until_here = self.undeclared.get(&event) == Some(&now);
                let since = self.declared.entry(event.clone()).or_insert(now);
                if !was_until_here {
                    *since = now;
                }
                self.undeclared.remove(&event);
            }
        }
        Spec { backfill: Some(self.rule), ..spec }
    }

    /// A channel's events are declared no longer.
    pub fn undeclare(&mut self, id: ChannelId, now: Timestamp) {
        for event in self.declared.keys().filter(|(channel, ..)| *channel == id.number()) {
            self.undeclared.entry(event.clone()).or_insert(now);
        }
    }

    /// When records change next.
    pub fn next(&self) -> Timestamp {
        self.next
    }

    /// Records change.
    pub fn change(&mut self, world: &World) {
        let now = world.now();
        self.next = after(now, self.rng.seconds(20, 700));
        self.note_edits_between_pages(world);
        let Some(place) = self.rng.pick(&self.places).copied() else { return };
        let (org, module) = place;
        match self.rng.between(1, 100) {
            1..=28 => {
                let count = self.rng.between(1, 6);
                self.create(world, place, count);
            }
            29..=76 => {
                let count = self.rng.between(1, 8);
                self.edit(world, place, count);
            }
            77..=85 => self.delete(world, place),
            86..=88 => self.restore_or_purge(world, place),
            89..=92 if module == "Leads" => {
                let ids = self.some_of(place, 3);
                world.zoho().convert(org, module, &ids, now);
                self.note(place, &ids, Operation::Edit, now);
            }
            93 => self.create(world, place, 230),
            94 => self.edit(world, place, 230),
            95..=97 => {
                // The first records of a module are never deleted, so that they can be edited.
                let first = self.there[&place][0];
                let edit = Change::of(module, Operation::Edit, &[first]);
                world.zoho().after_next_page(org, edit);
            }
            _ => {
                let ids = self.some_of(place, 3);
                let edit = Change::of(module, Operation::Edit, &ids);
                let edit = Change { related: true, ..edit };
                world.zoho().record_changed(org, &edit, now);
                self.note(place, &ids, Operation::Edit, now);
                if !self.knobs.related_modifies {
                    self.silent.extend(ids.into_iter().map(|id| (place, id, now)));
                }
            }
        }
    }

    fn create(&mut self, world: &World, place: Place, count: u64) {
        let ids: Vec<u64> = (self.made + 1..=self.made + count).collect();
        self.made += count;
        self.there.entry(place).or_default().extend(&ids);
        self.happens(world, place, Operation::Create, &ids);
    }

    fn edit(&mut self, world: &World, place: Place, count: u64) {
        let ids = self.some_of(place, count);
        self.happens(world, place, Operation::Edit, &ids);
    }

    fn delete(&mut self, world: &World, place: Place) {
        let there = self.there.entry(place).or_default();
        let mut ids = Vec::new();
        for _ in 0..self.rng.between(1, 4) {
            if there.len() > NEVER_DELETED {
                let at = self.rng.between(NEVER_DELETED as u64, there.len() as u64 - 1);
                ids.push(there.swap_remove(at as usize));
            }
        }
        self.in_bin.entry(place).or_default().extend(&ids);
        self.happens(world, place, Operation::Delete, &ids);
    }

    fn restore_or_purge(&mut self, world: &World, place: Place) {
        let (org, module) = place;
        let Some(id) = self.in_bin.get_mut(&place).and_then(Vec::pop) else { return };
        self.moved.insert((place, id));
        if self.rng.chance(50) {
            world.zoho().purge(org, module, &[id], world.now());
        } else {
            world.zoho().restore(org, module, &[id], world.now());
            self.there.entry(place).or_default().push(id);
        }
    }

    fn happens(&mut self, world: &World, place: Place, operation: Operation, ids: &[u64]) {
        if !ids.is_empty() {
            let (org, module) = place;
            world.zoho().record_changed(org, &Change::of(module, operation, ids), world.now());
            self.note(place, ids, operation, world.now());
        }
    }

    /// The edits that came right after a page, which nobody here has made.
    fn note_edits_between_pages(&mut self, world: &World) {
        let made = world.zoho().take_deliveries();
        for delivery in made {
            let is_place =
                |(org, module): &&Place| *org == delivery.org && *module == delivery.module;
            let Some(place) = self.places.iter().find(is_place).copied() else { continue };
            let ids: Vec<u64> = delivery.ids.iter().filter_map(|id| id.parse().ok()).collect();
            self.note(place, &ids, delivery.operation, delivery.at);
        }
    }

    fn note(&mut self, place: Place, ids: &[u64], operation: Operation, now: Timestamp) {
        for id in ids {
            self.changed.entry((place, *id)).or_default().push((operation, now));
        }
    }

    /// Up to so many of the records that are there, of which none comes twice.
    fn some_of(&mut self, place: Place, count: u64) -> Vec<u64> {
        let there = self.there.entry(place).or_default();
        let picked: BTreeSet<u64> =
            (0..count).filter_map(|_| self.rng.pick(there).copied()).collect();
        picked.into_iter().collect()
    }
}

/// Records of a module that stay.
const NEVER_DELETED: usize = 5;

/// One answer to each question that the sources leave open.
fn knobs(rng: &mut Rng) -> RecordKnobs {
    let mut either = |one: Value, other: Value| if rng.chance(50) { one } else { other };
    let answers = json!({
        "resolution": either(json!("1s"), json!("1ms")),
        "modified_since": either(json!("inclusive"), json!("exclusive")),
        "unchanged_status": either(json!(304), json!(204)),
        "deleted_unchanged_status": either(json!(304), json!(204)),
        "page_token": either(json!("key"), json!("offset")),
        "lag": either(json!("0s"), json!("20s")),
        "purge_time": either(json!("kept"), json!("moved")),
        "convert_notifies": either(json!("edit"), Value::Null),
        "restore_notifies": either(json!("create"), Value::Null),
        "restore_modifies": either(json!(true), json!(false)),
        "related_modifies": either(json!(true), json!(false)),
        "module_scopes": either(json!("any"), json!("lower")),
    });
    let mut knobs: RecordKnobs = serde_json::from_value(answers).unwrap();
    let orders = ["newest_id", "oldest_id", "latest", "earliest"];
    let order = json!({ "deleted_order": rng.pick(&orders).unwrap() });
    let order: RecordKnobs = serde_json::from_value(order).unwrap();
    knobs.deleted_order = order.deleted_order;
    if rng.chance(25) {
        let hidden = BTreeSet::from(["Created_Time".to_owned()]);
        knobs.hidden_fields.insert("Contacts".to_owned(), hidden);
    }
    if rng.chance(15) {
        knobs.forbidden_modules.insert("Accounts".to_owned());
    }
    knobs
}

/// Takes what is recovered, but for bad hours, bad moments and records that it does not like.
struct Receiver(Mutex<Taken>);

struct Taken {
    rng: Rng,
    /// Its clock, and from when on it takes everything that it likes.
    watch: Option<(Arc<VirtualClock>, Timestamp)>,
    /// The bytes of each delivery by name.
    bytes: BTreeMap<String, Fingerprint>,
    /// Under which names, and when, each change was taken.
    taken: BTreeMap<Key, Vec<(Timestamp, String)>>,
    again: u64,
    deliveries: u64,
    broken: Vec<String>,
}

/// Channel, module, operation and record.
type Key = (i64, String, &'static str, u64);

impl Receiver {
    fn new(rng: Rng) -> Receiver {
        let (bytes, taken) = (BTreeMap::new(), BTreeMap::new());
        let (again, deliveries, broken) = (0, 0, Vec::new());
        let watch = None;
        Receiver(Mutex::new(Taken { rng, watch, bytes, taken, again, deliveries, broken }))
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.0.lock().unwrap()
    }
}

impl Transport for Receiver {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            pause(Duration::from_millis(40)).await;
            let status = self.held().answer(&request);
            match status {
                Some(status) => Ok(Response::empty(status)),
                None => std::future::pending().await,
            }
        })
    }
}

impl Taken {
    /// The status of the answer; none for no answer at all.
    fn answer(&mut self, request: &Request) -> Option<u16> {
        let (clock, quiet) = self.watch.clone().unwrap();
        let now = clock.now();
        let name = request.header("x-channelkeeper-recovered").unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let bytes = Fingerprint::of(&[&String::from_utf8_lossy(&request.body)]);
        self.deliveries += 1;
        match self.bytes.insert(name.clone(), bytes) {
            Some(first) if first != bytes => {
                self.broken.push(format!("delivery {name} came again with other bytes"));
            }
            Some(_) => self.again += 1,
            None => {}
        }
        let keys = keys(&body);
        let status = self.mood(now, quiet, &keys)?;
        if status == 200 {
            for key in keys {
                self.taken.entry(key).or_default().push((now, name.clone()));
            }
            // The answer is lost: a daemon that hears nothing sends it again.
            if now < quiet && self.rng.chance(3) {
                return None;
            }
        }
        Some(status)
    }

    fn mood(&mut self, now: Timestamp, quiet: Timestamp, keys: &[Key]) -> Option<u16> {
        if keys.iter().any(|(.., id)| id.is_multiple_of(311)) {
            return Some(422);
        }
        if now >= quiet {
            return Some(200);
        }
        // One hour of eight is bad.
        let hour = now.as_second() / 3600;
        let is_bad = (hour * 2_654_435_761 % 1000) < 125;
        match self.rng.between(1, 1000) {
            1 => Some(410),
            2..=40 => None,
            41..=200 => Some(503),
            201..=240 => Some(422),
            _ if is_bad => Some(500),
            _ => Some(200),
        }
    }
}

fn keys(body: &Value) -> Vec<Key> {
    let channel = body["channel_id"].as_str().unwrap().parse().unwrap();
    let module = body["module"].as_str().unwrap();
    let word = body["operation"].as_str().unwrap();
    let operation = Operation::ALL.into_iter().find(|known| known.delivered_as() == word).unwrap();
    let ids = body["ids"].as_array().unwrap().iter();
    let key = |id: &Value| {
        let id = id.as_str().unwrap().parse().unwrap();
        (channel, module.to_owned(), operation.delivered_as(), id)
    };
    ids.map(key).collect()
}

/// Everything that is known of one org when the month is over.
struct Judge<'a> {
    records: &'a Records,
    org: &'static str,
    world: &'a World,
    recoveries: Vec<Recovery>,
    /// Since when missed events of a channel are handed over.
    since: BTreeMap<ChannelId, Timestamp>,
    ledgers: BTreeMap<ChannelId, Ledger>,
    truth: Vec<Covered>,
    /// The ledger may lack a gap that left no trace.
    blurred: bool,
}

/// The result of the comparison.
#[derive(Default)]
pub struct Verdict {
    /// Counts, in words.
    pub counts: BTreeMap<String, u64>,
    /// Broken laws.
    pub broken: Vec<String>,
}

impl Verdict {
    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }
}

/// The fate of the missed changes of many seeds, in one line.
pub fn summary(counts: &BTreeMap<String, u64>) -> String {
    let of = |word: &str| counts.get(word).copied().unwrap_or(0);
    let named = counts.iter().filter(|(word, _)| word.starts_with(NOT_RECOVERABLE));
    let not_recoverable: u64 = named.map(|(_, count)| count).sum();
    let [missed, recovered, again, doubled] = [MISSED, RECOVERED, AGAIN, DOUBLED].map(of);
    format!(
        "{missed} changes missed: {recovered} recovered, {not_recoverable} not recoverable and said; \
         {again} taken again under the same key, {doubled} without"
    )
}

/// Notifications that nobody got, by the simulator's truth.
const MISSED: &str = "missed";
/// Those of them that were handed over.
const RECOVERED: &str = "recovered";
/// Before the reason why one was not.
const NOT_RECOVERABLE: &str = "not recoverable: ";
/// Changes that a receiver took once more, in the same delivery.
const AGAIN: &str = "taken again under the same key";
/// Changes that it took in two deliveries that it cannot tell for the same.
const DOUBLED: &str = "doubled without a key";

impl Records {
    /// Compares what was handed over with what nobody got.
    pub fn judge(&self, world: &World, blurred: bool) -> Verdict {
        let mut verdict = Verdict::default();
        let words = [MISSED, RECOVERED, AGAIN, DOUBLED];
        for word in words {
            verdict.counts.insert(word.to_owned(), 0);
        }
        for org in ORGS {
            let account: AccountName = org.parse().unwrap();
            let (ledgers, _) = world.ledgers(org);
            let judge = Judge {
                records: self,
                org,
                world,
                recoveries: world.store().recoveries(&account).unwrap(),
                since: world.store().backfilled_since(&account).unwrap(),
                ledgers,
                truth: world.zoho().truth(org),
                blurred,
            };
            judge.missed(&mut verdict);
            judge.unfinished(&mut verdict);
        }
        let taken = self.receiver.held();
        verdict.broken.extend(taken.broken.iter().cloned());
        verdict.counts.insert("deliveries".to_owned(), taken.deliveries);
        verdict.counts.insert("deliveries that came again".to_owned(), taken.again);
        verdict.broken.truncate(BROKEN_MAX);
        verdict
    }
}

const BROKEN_MAX: usize = 12;

impl Judge<'_> {
    fn missed(&self, verdict: &mut Verdict) {
        let lines = self.world.zoho().missed(self.org).to_vec();
        let taken = self.records.receiver.held().taken.clone();
        for line in lines {
            if !self.is_declared(&line) {
                continue;
            }
            verdict.count(MISSED);
            let key =
                (line.channel, line.module.to_string(), line.operation.delivered_as(), line.id);
            let came = taken.get(&key);
            if came.is_some_and(|came| came.iter().any(|(at, _)| *at >= line.at)) {
                verdict.count(RECOVERED);
                continue;
            }
            match self.reason(&line) {
                Ok(reason) => verdict.count(&format!("{NOT_RECOVERABLE}{reason}")),
                Err(broken) => verdict.broken.push(broken),
            }
        }
        for (key, came) in &taken {
            self.taken(key, came, verdict);
        }
    }

    /// Returns whether its event was declared then, and ever since. Nobody misses another.
    fn is_declared(&self, line: &Missed) -> bool {
        let event = (line.channel, line.module.to_string(), line.operation);
        let since = self.records.declared.get(&event);
        !self.records.undeclared.contains_key(&event) && since.is_some_and(|at| *at <= line.at)
    }

    /// The reason why a missed change need not be handed over.
    fn reason(&self, line: &Missed) -> Result<&'static str, String> {
        let id = self.id_of(line.channel);
        if id.and_then(|id| self.since.get(&id)).is_none_or(|since| *since > line.at) {
            return Ok("before the rule was in force");
        }
        if !self.is_shown(line) {
            return Ok("no time of the record shows it");
        }
        let holds = |gap: &Lost| {
            gap.operation == line.operation
                && gap.from.as_second() <= line.at.as_second()
                && line.at.as_second() <= gap.to.as_second()
        };
        let of_module = self.recoveries.iter().filter(|one| {
            one.channel.number() == line.channel && one.module.as_str() == &*line.module
        });
        let holding: Vec<&Recovery> = of_module.filter(|one| one.gaps.iter().any(holds)).collect();
        let reasons = holding.iter().filter_map(|recovery| self.reason_of(recovery, line));
        if let Some(reason) = reasons.min() {
            return Ok(reason);
        }
        if holding.is_empty()
            && let Some(reason) = self.reason_without(line)
        {
            return Ok(reason);
        }
        let states: Vec<String> = holding.iter().map(|one| format!("{one:?}")).collect();
        let account = self.org;
        let times = self.world.zoho().times(account, &line.module, line.id);
        let changes: Vec<_> = self.changes(&(account, line.module.to_string()), line.id).collect();
        Err(format!(
            "{account} {line:?} was never handed over: {times:?}, changed {changes:?}; its \
             recoveries: {states:?}"
        ))
    }

    /// The reason why a recovery that has its gap did not hand it over.
    fn reason_of(&self, recovery: &Recovery, line: &Missed) -> Option<&'static str> {
        let has = |doubt| recovery.doubts.contains(&doubt);
        let word = format!("{} {}", line.operation.delivered_as(), line.id);
        let place = (self.org, line.module.to_string());
        let is_lagging = recovery.frozen.is_some_and(|frozen| {
            let from = before(frozen.at, self.records.knobs.lag.0 + Duration::from_secs(60));
            let lags = !self.records.knobs.lag.0.is_zero();
            lags && self.changes(&place, line.id).any(|(_, at)| from <= at && at <= frozen.at)
        });
        match &recovery.state {
            State::Abandoned { .. } => Some("given up"),
            State::Held(HeldFor::Plan) => Some("planned only"),
            State::Held(HeldFor::Most) => Some("more than a person has to look at first"),
            State::Unreadable { .. } => Some("may not be read"),
            State::Done { .. } if recovery.progress.aside_ids.contains(&word) => {
                Some("set aside: the receiver refuses it")
            }
            State::Done { .. } if has(Doubt::Undated) && line.operation == Operation::Create => {
                Some("creation times are hidden")
            }
            State::Done { .. } if has(Doubt::Crowded) => Some("doubtful, and said: crowded"),
            State::Done { .. } if is_lagging => Some("changed again while it was read"),
            State::Done { .. } | State::Reading | State::Handing => None,
        }
    }

    /// The reason why no recovery has its gap.
    fn reason_without(&self, line: &Missed) -> Option<&'static str> {
        let ledger = self.id_of(line.channel).and_then(|id| self.ledgers.get(&id))?;
        let now = self.world.now();
        let of_event = |gap: &channelkeeper::coverage::Gap| {
            gap.module.as_str() == &*line.module && gap.operation == line.operation
        };
        let is_open = |gap: &channelkeeper::coverage::Gap| of_event(gap) && gap.to.is_none();
        if ledger.gaps(now).iter().any(is_open) {
            return Some("the gap is open");
        }
        let is_edge = self.spans(line).any(|(from, to)| {
            span(from.min(line.at), from.max(line.at)) <= TOLERANCE
                || span(to.min(line.at), to.max(line.at)) <= TOLERANCE
        });
        if is_edge {
            return Some("within two seconds of an edge");
        }
        self.blurred.then_some("the gap left no trace")
    }

    /// Does a time of the record show that it happened?
    fn is_shown(&self, line: &Missed) -> bool {
        let Some(place) = self.place(&line.module) else { return false };
        let is_silent = self.records.silent.contains(&(place, line.id, line.at));
        if is_silent || self.records.moved.contains(&(place, line.id)) {
            return false;
        }
        let Some(times) = self.world.zoho().times(self.org, &line.module, line.id) else {
            return false;
        };
        let second = line.at.as_second();
        let is_there = times.deleted.is_none();
        match line.operation {
            Operation::Create => is_there && times.created.as_second() == second,
            Operation::Edit => {
                is_there
                    && times.created.as_second() < times.modified.as_second()
                    && second <= times.modified.as_second()
            }
            Operation::Delete => times.deleted.is_some_and(|at| at.as_second() == second),
        }
    }

    fn taken(&self, key: &Key, came: &[(Timestamp, String)], verdict: &mut Verdict) {
        let (channel, module, word, id) = key;
        if self.id_of(*channel).is_none() {
            return;
        }
        let Some(operation) =
            Operation::ALL.into_iter().find(|known| known.delivered_as() == *word)
        else {
            return;
        };
        let event = (*channel, module.clone(), operation);
        let ended = self.records.undeclared.get(&event).copied().unwrap_or(Timestamp::MAX);
        let grace = Duration::from_secs(60);
        let is_declared = |at: &Timestamp| span(ended.min(*at), *at) <= grace;
        if !self.records.declared.contains_key(&event)
            || came.iter().any(|(at, _)| !is_declared(at))
        {
            verdict.broken.push(format!("{key:?} is not declared, and was handed over"));
        }
        let names: BTreeSet<&str> = came.iter().map(|(_, name)| name.as_str()).collect();
        *verdict.counts.entry(AGAIN.to_owned()).or_default() += (came.len() - names.len()) as u64;
        let by_recovery: BTreeSet<&str> =
            names.iter().map(|name| name.split('-').next().unwrap_or_default()).collect();
        let is_once = operation != Operation::Edit;
        if by_recovery.len() < names.len() || (is_once && names.len() > 1) {
            verdict.count(DOUBLED);
            verdict.broken.push(format!("{key:?} was taken under several names: {names:?}"));
        }
        if is_once && !self.blurred && !self.may_be_lost(&event, *id) {
            verdict.broken.push(format!("{key:?} was covered, and was handed over"));
        }
    }

    /// Did it happen outside what was covered, or at a time of which nobody can be certain?
    fn may_be_lost(&self, (channel, module, operation): &Event, id: u64) -> bool {
        let place = (self.org, module.clone());
        let mut changes = self.changes(&place, id).filter(|(kind, _)| kind == operation);
        changes.any(|(_, at)| {
            let is_certain = |gap: &Lost| gap.kind == Some(GapKind::Uncovered);
            let line = Missed {
                channel: *channel,
                module: module.as_str().into(),
                operation: *operation,
                id,
                at,
                why: channelkeeper::simulator::Why::Lapsed,
            };
            let is_covered = self
                .spans(&line)
                .any(|(from, to)| after(from, TOLERANCE) < at && at < before(to, TOLERANCE));
            let mut holding = self.recoveries.iter().filter(|one| {
                one.channel.number() == *channel
                    && one.module == *module
                    && one.gaps.iter().any(|gap| {
                        gap.operation == *operation
                            && gap.from.as_second() <= at.as_second()
                            && at.as_second() <= gap.to.as_second()
                            && is_certain(gap)
                    })
            });
            !is_covered || holding.next().is_none()
        })
    }

    fn spans(&self, line: &Missed) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let channel = line.channel.to_string();
        let of_event = self.truth.iter().filter(move |covered| {
            covered.channel == channel
                && covered.module == *line.module
                && covered.operation == line.operation.as_str()
        });
        of_event.map(|covered| (covered.from, covered.to))
    }

    fn changes(
        &self,
        (_, module): &(&str, String),
        id: u64,
    ) -> impl Iterator<Item = (Operation, Timestamp)> {
        let place = self.place(module);
        let changed = place.and_then(|place| self.records.changed.get(&(place, id)));
        changed.into_iter().flatten().copied()
    }

    /// In the end every recovery is over, but for those that wait for a person.
    fn unfinished(&self, verdict: &mut Verdict) {
        for recovery in self.recoveries.iter().filter(|one| !one.is_over()) {
            let is_forbidden = || self.records.knobs.forbidden_modules.contains(&recovery.module);
            let is_readable = self.records.readable().contains(&self.org);
            let waits = match recovery.state {
                State::Unreadable { .. } => is_forbidden() || !is_readable,
                State::Held(_) => true,
                State::Reading | State::Handing | State::Done { .. } | State::Abandoned { .. } => {
                    false
                }
            };
            if !waits {
                let org = self.org;
                verdict.broken.push(format!("{org}: a recovery is not over: {recovery:?}"));
            }
        }
    }

    fn id_of(&self, channel: i64) -> Option<ChannelId> {
        let account: AccountName = self.org.parse().unwrap();
        let specs = &self.world.desired.accounts[&account].specs;
        specs.keys().find(|id| id.number() == channel).copied()
    }

    fn place(&self, module: &str) -> Option<Place> {
        self.records.places.iter().find(|(org, name)| *org == self.org && *name == module).copied()
    }
}
