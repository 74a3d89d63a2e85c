//! The decisions of a member, without a wait: what to ask the engine next, and what an answer
//! means.
//!
//! [`Machine::turn`] says what to send at an instant, [`Machine::answered`] takes what came of it.
//! Whoever drives it may take as long as he likes for either: each request carries when it was
//! decided, and what it counts on is a guard of its commit.
//!
//! A *term* is one attempt at membership. Whatever is answered to a request of an earlier term is
//! passed over.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Change, Committed, EngineError, Entry, Guard, Revision, Selection, Snapshot};
use crate::leash::Leash;
use crate::model::channel::AccountName;
use crate::model::cluster::Layouts;
use crate::model::time::Timestamp;

use super::assign::{self, Candidate};
use super::charge::Charge;
use super::claims::{self, A_COMMIT, Claims, Known, Me, Owner};
use super::gate::Gate;
use super::keys::{Card, Keys, MemberId, Out, Unfit};
use super::members::{GAP_MAX, LOOK_EVERY, Members};
use super::pulse::{BEAT_EVERY, Pulse, Rhythm};
use super::view::{Assignment, ClusterView, MemberView, Released, Standing};

/// A joiner waits for so long before it counts: one that dies at once moves nothing, and members
/// that start together share instead of handing over.
pub(super) const CALM: Duration = Duration::from_secs(10);
/// All claims are read so often: a watch may lose things.
pub(super) const CLAIMS_EVERY: Duration = Duration::from_secs(10);
/// They are not read more often than this, whatever was refused.
const CLAIMS_AGAIN: Duration = Duration::from_millis(500);
/// A member that cannot say whether it is one still is alone after this. Whoever evicted it has
/// taken its accounts over by then, has looked at them and renewed what was late.
pub(super) const ALONE_AFTER: Duration = Duration::from_secs(60);
/// It stays so for this long unless it finds so again, so that a process that was stopped is not.
pub(super) const ALONE_LASTS: Duration = Duration::from_secs(5);
/// So many accounts are let go of in a second while the process goes on: each of them ends a pass
/// here, and begins with a look elsewhere.
pub(super) const LOSE_A_SECOND: usize = 100;
/// So many commits of claims are under way at once: at 100 ms each, 10,000 accounts take 4 s.
const COMMITS_AT_ONCE: usize = 8;
/// So many beats are under way at once.
const BEATS_AT_ONCE: usize = 3;
/// So many members are guarded when the gate is raised: its other guards have room beside them.
const NAMED_MAX: usize = 90;
/// The most claims that are read by name; for more, all are read.
const HINTED_MAX: usize = 100;

/// The things that the member is told about itself.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) id: MemberId,
    pub(super) version: String,
    /// The layouts of accounts that it reads and writes.
    pub(super) layouts: Layouts,
    /// The incarnation that this node noted when it ran last.
    pub(super) noted: Option<String>,
    /// Random: names the data in the engine if it has no name yet.
    pub(super) random: String,
}

/// One request to the engine.
#[derive(Debug)]
pub(super) struct Ask {
    errand: Errand,
    what: What,
    /// When it was decided.
    sent: Duration,
    term: u64,
    /// The greatest revision that was known then.
    floor: Revision,
}

/// The request itself.
#[derive(Debug)]
pub(super) enum What {
    Read(Vec<Selection>),
    Commit(Vec<Guard>, Vec<Change>),
}

/// The answer to it.
#[derive(Debug)]
pub(super) enum Answer {
    Read(Result<Snapshot, EngineError>),
    Committed(Result<Committed, EngineError>),
}

impl Ask {
    /// Takes the request itself, to be sent.
    pub(super) fn take_what(&mut self) -> What {
        std::mem::replace(&mut self.what, What::Read(Vec::new()))
    }
}

/// The purpose of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Errand {
    /// Read the members, and the name of the data.
    Look,
    /// Read these claims; all, when there are none.
    Claims(BTreeSet<Charge>),
    /// Name the data.
    Name,
    /// Delete our own key, which an earlier term left behind.
    Clear,
    Join,
    Beat,
    Leave,
    Evict(MemberId),
    /// Raise the gate.
    Raise,
    /// Tell the owners of these that we sent late.
    Confess(BTreeSet<AccountName>),
    /// The owner of these looks at them.
    Forgive,
    Take(Vec<Known>),
    Delete(Vec<Known>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    In {
        membership: Revision,
        joined: Duration,
    },
    Left,
    Foreign,
    /// The gate is higher than this release reads.
    Outdated,
}

/// Those parts of a card that do not change with each beat.
type Said = (bool, bool, Unfit, u64);

/// The requests that are under way in this term.
#[derive(Debug, Default)]
struct UnderWay {
    look: bool,
    claims: bool,
    entry: bool,
    beats: usize,
    commits: usize,
    evictions: BTreeSet<MemberId>,
    forgiving: bool,
    raising: bool,
}

#[derive(Debug)]
pub(super) struct Machine {
    keys: Keys,
    identity: Identity,
    leash: Leash,
    term: u64,
    phase: Phase,
    evicted: bool,
    draining: bool,
    high: Revision,
    incarnation: Option<String>,
    restored: u64,
    members: Members,
    gate: Gate,
    /// The nodes that somebody put out.
    outs: BTreeMap<String, Out>,
    /// The accounts for which somebody sent late, as they were read last.
    lates: Vec<(AccountName, Revision)>,
    claims: Claims,
    pulse: Pulse,
    /// Since when we could not write, as we went on without a stop.
    suspended: Option<Duration>,
    beat: u64,
    /// The words of the last beat: news do not wait for their turn.
    said: Option<Said>,
    /// The next step towards a membership.
    entry: Option<(Errand, What)>,
    declared: BTreeSet<Charge>,
    unfit: Unfit,
    generation: u64,
    candidates: Vec<Candidate>,
    mine: BTreeSet<Charge>,
    hinted: BTreeSet<Charge>,
    /// Something was refused or is unknown: nothing is claimed before the claims were read again.
    doubt: bool,
    /// Something has happened after which claims may have to be made or given up.
    restless: bool,
    under_way: UnderWay,
    next_look: Duration,
    next_beat: Duration,
    next_claims: Duration,
    claims_not_before: Duration,
    next_lose: Duration,
    next_leave: Duration,
    turned: Option<Duration>,
    unreachable: Option<(Duration, String)>,
    /// The last commit was not answered, whatever reads are: a full engine takes none.
    takes_no_writes: bool,
    owners: Arc<BTreeMap<Charge, MemberId>>,
    unowned: BTreeMap<Charge, Duration>,
    outbox: VecDeque<Assignment>,
    /// Others are to be shown something else than before.
    changed: bool,
    /// Owners have to be told anew from claims and members.
    moved: bool,
    shown: Option<(Standing, Option<Rhythm>)>,
}

impl Machine {
    pub(super) fn new(keys: Keys, identity: Identity, leash: Leash) -> Machine {
        Machine {
            keys,
            identity,
            leash,
            term: 0,
            phase: Phase::Out,
            evicted: false,
            draining: false,
            high: Revision(0),
            incarnation: None,
            restored: 0,
            members: Members::default(),
            gate: Gate::default(),
            outs: BTreeMap::new(),
            lates: Vec::new(),
            claims: Claims::default(),
            pulse: Pulse::default(),
            suspended: None,
            beat: 0,
            said: None,
            entry: None,
            declared: BTreeSet::new(),
            unfit: Unfit::default(),
            generation: 0,
            candidates: Vec::new(),
            mine: BTreeSet::new(),
            hinted: BTreeSet::new(),
            doubt: false,
            restless: true,
            under_way: UnderWay::default(),
            next_look: Duration::ZERO,
            next_beat: Duration::ZERO,
            next_claims: Duration::ZERO,
            claims_not_before: Duration::ZERO,
            next_lose: Duration::ZERO,
            next_leave: Duration::ZERO,
            turned: None,
            unreachable: None,
            takes_no_writes: false,
            owners: Arc::default(),
            unowned: BTreeMap::new(),
            outbox: VecDeque::new(),
            changed: true,
            moved: true,
            shown: None,
        }
    }

    /// The accounts to be served, by anybody, and those of them that this node cannot; in which
    /// generation of the config.
    pub(super) fn declare(
        &mut self,
        accounts: &BTreeSet<AccountName>,
        unfit: Unfit,
        generation: u64,
    ) {
        self.generation = generation;
        let accounts = accounts.iter().cloned().map(Charge::Account);
        self.declared = accounts.chain([Charge::Fleet]).collect();
        self.unfit = unfit;
        self.assign();
    }

    /// Gives everything away, and leaves.
    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.assign();
        let is_out = matches!(self.phase, Phase::Out | Phase::Foreign | Phase::Outdated);
        if is_out && !self.under_way.entry {
            self.phase = Phase::Left;
        }
    }

    /// A claim may have changed.
    pub(super) fn hint(&mut self, key: &str, revision: Revision) {
        if let Some(charge) = self.keys.charge_of(key)
            && self.claims.is_news(&charge, revision)
        {
            self.hinted.insert(charge);
        }
    }

    /// The daemon has let go of a charge.
    pub(super) fn released(&mut self, released: &Released) {
        if self.claims.released(&released.charge, released.epoch) {
            self.let_go(std::slice::from_ref(&released.charge));
            self.restless = true;
        }
    }

    /// True when it has left for good.
    pub(super) fn has_left(&self) -> bool {
        self.phase == Phase::Left
    }

    /// The next thing to tell the daemon.
    pub(super) fn take_assignment(&mut self) -> Option<Assignment> {
        self.outbox.pop_front()
    }

    /// How much there is to tell.
    pub(super) fn untold(&self) -> usize {
        self.outbox.len()
    }
}

/// The requests to send.
impl Machine {
    /// All that is to be sent at this instant.
    pub(super) fn turn(&mut self, now: Duration) -> Vec<Ask> {
        if self.turned.is_some_and(|turned| now.saturating_sub(turned) > GAP_MAX) {
            self.members.stood_still();
        }
        self.stand(now);
        self.turned = Some(now);
        let mut asks: Vec<Ask> = self.look(now).into_iter().collect();
        if let Some((errand, what)) = self.entry.take() {
            asks.push(self.ask(errand, what, now));
        }
        asks.extend(self.confess(now));
        asks.extend(self.forgive(now));
        if let Phase::In { membership, joined } = self.phase {
            let me = Me { id: self.identity.id.clone(), membership };
            asks.extend(self.beat(&me, joined, now));
            asks.extend(self.read_claims(now));
            if self.pulse.rhythm(now) != Rhythm::Suspended {
                asks.extend(self.evict(now));
                asks.extend(self.raise(&me, now));
            }
            if self.restless {
                asks.extend(self.settle(&me, now));
            }
            asks.extend(self.leave(&me, now));
        }
        asks
    }

    /// Finds out if we are alone. A process that was stopped meanwhile counts anew: the others had
    /// all that time, and it has seen none of it.
    fn stand(&mut self, now: Duration) {
        let stopped = self.turned.is_none_or(|turned| now.saturating_sub(turned) > ALONE_LASTS);
        let is_suspended = self.is_member() && self.pulse.rhythm(now) == Rhythm::Suspended;
        let since = self.suspended.filter(|_| !stopped).unwrap_or(now);
        self.suspended = is_suspended.then_some(since);
        if self.is_alone(now) {
            self.leash.keep_alone(now + ALONE_LASTS);
        }
    }

    fn is_member(&self) -> bool {
        matches!(self.phase, Phase::In { .. })
    }

    fn is_alone(&self, now: Duration) -> bool {
        self.suspended.is_some_and(|since| now.saturating_sub(since) >= ALONE_AFTER)
    }

    fn look(&mut self, now: Duration) -> Option<Ask> {
        if self.phase == Phase::Left || self.under_way.look || now < self.next_look {
            return None;
        }
        self.under_way.look = true;
        self.next_look = now + LOOK_EVERY;
        let members = Selection::Prefix(self.keys.members());
        let beside = [self.keys.outs(), self.keys.lates()].map(Selection::Prefix);
        let named = [self.keys.incarnation(), self.keys.schema()].map(Selection::Key);
        let named = [members].into_iter().chain(named);
        let selections = named.chain(beside).collect();
        Some(self.ask(Errand::Look, What::Read(selections), now))
    }

    /// Says for which accounts a request left after the leash had ended. It needs no fence: it says
    /// only that a look is due.
    fn confess(&mut self, now: Duration) -> Option<Ask> {
        let mut late = self.leash.take_late();
        let rest: Vec<AccountName> = late.iter().skip(A_COMMIT).cloned().collect();
        for account in rest {
            late.remove(&account);
            self.leash.note_late(account);
        }
        let by = self.identity.id.to_string().into_bytes();
        let put = |account: &AccountName| Change::Put(self.keys.late(account), by.clone());
        let changes: Vec<Change> = late.iter().map(put).collect();
        let what = What::Commit(Vec::new(), changes);
        (!late.is_empty()).then(|| self.ask(Errand::Confess(late), what, now))
    }

    /// Has those of ours looked at for which a former owner sent late, and deletes what says so.
    fn forgive(&mut self, now: Duration) -> Option<Ask> {
        if self.under_way.forgiving {
            return None;
        }
        let lates = std::mem::take(&mut self.lates);
        let ours = |(account, _): &(AccountName, Revision)| {
            self.claims.holds(&Charge::Account(account.clone()))
        };
        let ours: Vec<_> = lates.into_iter().filter(ours).take(A_COMMIT).collect();
        if ours.is_empty() {
            return None;
        }
        let key = |account: &AccountName| self.keys.late(account);
        let guards = ours.iter().map(|(account, seen)| Guard::ModifiedAt(key(account), *seen));
        let changes = ours.iter().map(|(account, _)| Change::Delete(key(account)));
        let what = What::Commit(guards.collect(), changes.collect());
        let accounts = ours.iter().map(|(account, _)| account.clone()).collect();
        self.outbox.push_back(Assignment::LookAgain(accounts));
        self.under_way.forgiving = true;
        Some(self.ask(Errand::Forgive, what, now))
    }

    /// Makes and gives up claims, until there is nothing more to make or to give up.
    fn settle(&mut self, me: &Me, now: Duration) -> Vec<Ask> {
        let is_suspended = self.pulse.rhythm(now) == Rhythm::Suspended;
        let asks = if is_suspended { Vec::new() } else { self.claim(me, now) };
        let all_asked = self.lose(now);
        self.restless = is_suspended || self.doubt || !asks.is_empty() || !all_asked;
        asks
    }

    fn ask(&self, errand: Errand, what: What, sent: Duration) -> Ask {
        Ask { errand, what, sent, term: self.term, floor: self.high }
    }

    fn beat(&mut self, me: &Me, joined: Duration, now: Duration) -> Option<Ask> {
        let settled = is_settled(joined, now);
        let says = (settled, self.draining, self.unfit.clone(), self.generation);
        let is_due = now >= self.next_beat || self.said.as_ref() != Some(&says);
        if !is_due || self.under_way.beats >= BEATS_AT_ONCE {
            return None;
        }
        self.said = Some(says);
        self.next_beat = now + BEAT_EVERY;
        self.under_way.beats += 1;
        let put = Change::Put(self.keys.member(&me.id), self.card(settled).to_bytes());
        let guard = Guard::CreatedAt(self.keys.member(&me.id), me.membership);
        Some(self.ask(Errand::Beat, What::Commit(vec![guard], vec![put]), now))
    }

    fn card(&mut self, settled: bool) -> Card {
        self.beat += 1;
        Card {
            beat: self.beat,
            settled,
            draining: self.draining,
            version: self.identity.version.clone(),
            unfit: self.unfit.clone(),
            generation: self.generation,
            layouts: self.identity.layouts,
        }
    }

    fn read_claims(&mut self, now: Duration) -> Option<Ask> {
        let all = now >= self.next_claims || self.hinted.len() > HINTED_MAX;
        let due = (all || !self.hinted.is_empty()) && now >= self.claims_not_before;
        if self.under_way.claims || !due {
            return None;
        }
        self.under_way.claims = true;
        let hinted = std::mem::take(&mut self.hinted);
        let (asked, selections) = if all {
            self.next_claims = now + CLAIMS_EVERY;
            self.claims_not_before = now + CLAIMS_AGAIN;
            (BTreeSet::new(), vec![Selection::Prefix(self.keys.claims())])
        } else {
            let key = |charge: &Charge| Selection::Key(self.keys.claim(charge));
            let selections = hinted.iter().map(key).collect();
            (hinted, selections)
        };
        Some(self.ask(Errand::Claims(asked), What::Read(selections), now))
    }

    fn evict(&mut self, now: Duration) -> Vec<Ask> {
        let dead = self.members.evictable(&self.identity.id);
        let fresh = dead.into_iter().filter(|(id, _)| self.under_way.evictions.insert(id.clone()));
        let fresh: Vec<(MemberId, Revision)> = fresh.collect();
        let asks = fresh.into_iter().map(|(id, seen)| {
            let key = self.keys.member(&id);
            let guards = vec![Guard::ModifiedAt(key.clone(), seen)];
            let what = What::Commit(guards, vec![Change::Delete(key)]);
            self.ask(Errand::Evict(id), what, now)
        });
        asks.collect()
    }

    /// Raises the gate, where that is ours to do and its time has come.
    fn raise(&mut self, me: &Me, now: Duration) -> Option<Ask> {
        let epoch = self.claims.epoch(&Charge::Fleet).filter(|_| !self.under_way.raising)?;
        let layout = self.gate.due()?;
        self.under_way.raising = true;
        let named = self.members.iter().filter(|(id, _)| **id != me.id).take(NAMED_MAX);
        let named = named.map(|(id, it)| Guard::CreatedAt(self.keys.member(id), it.created));
        let fence = self.keys.fence(&me.id, me.membership, &Charge::Fleet, epoch).guards();
        let as_seen = Guard::ModifiedAt(self.keys.schema(), self.gate.modified);
        let guards = fence.into_iter().chain([as_seen]).chain(named).collect();
        let put = Change::Put(self.keys.schema(), layout.to_string().into_bytes());
        Some(self.ask(Errand::Raise, What::Commit(guards, vec![put]), now))
    }

    /// Claims what is to be ours, and deletes what is ours and is not to be.
    fn claim(&mut self, me: &Me, now: Duration) -> Vec<Ask> {
        let mut asks = Vec::new();
        let free = COMMITS_AT_ONCE.saturating_sub(self.under_way.commits);
        if self.doubt || free == 0 {
            return asks;
        }
        let take = self.claims.to_take(&self.mine, me, &self.members);
        let delete = self.claims.to_delete(&self.mine, me);
        let batches = take.chunks(A_COMMIT).map(|batch| (batch, true));
        let batches = batches.chain(delete.chunks(A_COMMIT).map(|batch| (batch, false)));
        for (batch, takes) in batches.take(free) {
            self.claims.begin(batch);
            self.under_way.commits += 1;
            let (guards, changes) = if takes {
                claims::taking(&self.keys, me, batch)
            } else {
                claims::deleting(&self.keys, batch)
            };
            let batch = batch.to_vec();
            let errand = if takes { Errand::Take(batch) } else { Errand::Delete(batch) };
            asks.push(self.ask(errand, What::Commit(guards, changes), now));
        }
        asks
    }

    /// Asks the daemon to let go of what others are to own. False: there is more of it.
    fn lose(&mut self, now: Duration) -> bool {
        if now < self.next_lose && !self.draining {
            return false;
        }
        let wanted_elsewhere = |charge: &Charge| {
            !self.declared.contains(charge) || assign::owner(charge, &self.candidates).is_some()
        };
        let mut lose = self.claims.to_lose(&self.mine);
        lose.retain(|charge| self.draining || wanted_elsewhere(charge));
        let all = self.draining || lose.len() <= LOSE_A_SECOND;
        lose.truncate(if all { lose.len() } else { LOSE_A_SECOND });
        if !lose.is_empty() {
            self.next_lose = now + Duration::from_secs(1);
            self.claims.ask(&lose);
            self.outbox.push_back(Assignment::Lose(lose));
        }
        all
    }

    fn leave(&mut self, me: &Me, now: Duration) -> Option<Ask> {
        let nothing_left = self.draining
            && self.claims.is_idle()
            && (self.doubt || self.claims.to_delete(&self.mine, me).is_empty());
        if self.under_way.entry || !nothing_left || now < self.next_leave {
            return None;
        }
        self.under_way.entry = true;
        self.next_leave = now + LOOK_EVERY;
        let key = self.keys.member(&me.id);
        let guards = vec![Guard::CreatedAt(key.clone(), me.membership)];
        Some(self.ask(Errand::Leave, What::Commit(guards, vec![Change::Delete(key)]), now))
    }
}

/// The meaning of an answer.
impl Machine {
    /// Takes an answer.
    pub(super) fn answered(&mut self, ask: &Ask, answer: Answer, now: Duration) {
        if let (Errand::Confess(late), Answer::Committed(Err(_))) = (&ask.errand, &answer) {
            late.iter().cloned().for_each(|account| self.leash.note_late(account));
        }
        if ask.term != self.term {
            return;
        }
        self.free(&ask.errand);
        let revision = match &answer {
            Answer::Read(Ok(snapshot)) => Some(snapshot.revision),
            Answer::Committed(Ok(Committed::Done(revision))) => Some(*revision),
            Answer::Committed(Ok(Committed::Refused)) => None,
            Answer::Read(Err(why)) => return self.unanswered(&ask.errand, why, now),
            Answer::Committed(Err(why)) => {
                self.takes_no_writes = true;
                return self.unanswered(&ask.errand, why, now);
            }
        };
        self.takes_no_writes &= matches!(answer, Answer::Read(_));
        if !self.takes_no_writes {
            self.changed |= self.unreachable.take().is_some();
        }
        if revision.is_some_and(|revision| revision < ask.floor) {
            self.restored();
            return;
        }
        self.high = self.high.max(revision.unwrap_or_default());
        match answer {
            Answer::Read(Ok(snapshot)) => self.has_read(&ask.errand, &snapshot, now),
            Answer::Committed(Ok(committed)) => self.has_committed(ask, committed, now),
            Answer::Read(Err(_)) | Answer::Committed(Err(_)) => {}
        }
    }

    fn free(&mut self, errand: &Errand) {
        let under_way = &mut self.under_way;
        match errand {
            Errand::Look => under_way.look = false,
            Errand::Claims(_) => under_way.claims = false,
            Errand::Name | Errand::Clear | Errand::Join | Errand::Leave => under_way.entry = false,
            Errand::Beat => under_way.beats = under_way.beats.saturating_sub(1),
            Errand::Evict(id) => {
                under_way.evictions.remove(id);
            }
            Errand::Confess(_) => {}
            Errand::Forgive => under_way.forgiving = false,
            Errand::Raise => under_way.raising = false,
            Errand::Take(batch) | Errand::Delete(batch) => {
                under_way.commits = under_way.commits.saturating_sub(1);
                self.claims.end(batch);
            }
        }
    }

    /// Nobody knows what became of it: nothing is lost, and what it was about is read again.
    fn unanswered(&mut self, errand: &Errand, why: &EngineError, now: Duration) {
        let since = self.unreachable.take().map_or(now, |(since, _)| since);
        self.unreachable = Some((since, why.to_string()));
        (self.changed, self.restless) = (true, true);
        match errand {
            Errand::Claims(_) | Errand::Take(_) | Errand::Delete(_) => self.doubt_claims(),
            Errand::Look
            | Errand::Name
            | Errand::Clear
            | Errand::Join
            | Errand::Beat
            | Errand::Leave
            | Errand::Confess(_)
            | Errand::Forgive
            | Errand::Raise
            | Errand::Evict(_) => {}
        }
    }

    fn doubt_claims(&mut self) {
        self.doubt = true;
        self.next_claims = Duration::ZERO;
    }

    fn has_read(&mut self, errand: &Errand, snapshot: &Snapshot, now: Duration) {
        let (entries, revision) = (&snapshot.entries, snapshot.revision);
        match errand {
            Errand::Look => self.has_looked(snapshot, now),
            Errand::Claims(asked) => {
                let lost = if asked.is_empty() {
                    self.doubt = false;
                    self.claims.read_all(&self.keys, entries, revision)
                } else {
                    self.claims.read_some(&self.keys, asked, entries, revision)
                };
                self.lost(lost);
                (self.moved, self.restless) = (true, true);
            }
            Errand::Name
            | Errand::Clear
            | Errand::Join
            | Errand::Beat
            | Errand::Leave
            | Errand::Evict(_)
            | Errand::Confess(_)
            | Errand::Forgive
            | Errand::Raise
            | Errand::Take(_)
            | Errand::Delete(_) => {}
        }
    }

    fn has_looked(&mut self, snapshot: &Snapshot, now: Duration) {
        let name = snapshot.entries.iter().find(|entry| entry.key == self.keys.incarnation());
        let name = name.map(|entry| String::from_utf8_lossy(&entry.value).into_owned());
        if self.incarnation.is_some() && self.incarnation != name {
            self.restored();
            return;
        }
        let others = self.members.look(&self.keys, &snapshot.entries, snapshot.revision, now);
        let gate = snapshot.entries.iter().find(|entry| entry.key == self.keys.schema());
        self.gate.look(gate, &self.members, now);
        self.changed = true;
        self.moved |= others;
        self.restless |= others;
        self.outs = self.outs_in(&snapshot.entries);
        let late = |entry: &Entry| Some((self.keys.late_of(&entry.key)?, entry.modified));
        self.lates = snapshot.entries.iter().filter_map(late).collect();
        let candidates = self.members.candidates(&self.outs, self.gate.layout());
        if candidates != self.candidates {
            self.candidates = candidates;
            self.assign();
        }
        match self.phase {
            Phase::In { .. } if !self.gate.is_open_to(self.identity.layouts) => self.outdated(),
            Phase::In { membership, .. } => {
                let ours = self.members.get(&self.identity.id);
                if ours.is_none_or(|ours| ours.created != membership)
                    && snapshot.revision >= membership
                {
                    self.evicted();
                }
            }
            Phase::Out | Phase::Foreign | Phase::Outdated => self.enter(name),
            Phase::Left => {}
        }
    }

    /// One that this release cannot read puts its node out all the same.
    fn outs_in(&self, entries: &[Entry]) -> BTreeMap<String, Out> {
        let unread = Out { by: "another release".to_owned(), at: Timestamp::UNIX_EPOCH };
        let out = |entry: &Entry| serde_json::from_slice(&entry.value).unwrap_or(unread.clone());
        let named = |entry: &Entry| Some((self.keys.out_of(&entry.key)?, out(entry)));
        entries.iter().filter_map(named).collect()
    }

    /// Not a member: the next step towards it.
    fn enter(&mut self, name: Option<String>) {
        let is_other = |noted: &String| name.as_ref().is_some_and(|name| name != noted);
        let foreign = self.restored == 0 && self.identity.noted.as_ref().is_some_and(is_other);
        let outdated = !self.gate.is_open_to(self.identity.layouts);
        self.phase = match self.under_way.entry {
            _ if foreign => Phase::Foreign,
            _ if outdated => Phase::Outdated,
            false if self.draining => Phase::Left,
            _ => Phase::Out,
        };
        if self.phase != Phase::Out || self.under_way.entry {
            return;
        }
        self.under_way.entry = true;
        let key = self.keys.member(&self.identity.id);
        let named = name.is_some();
        self.incarnation = name;
        let ours = self.members.get(&self.identity.id).map(|ours| ours.modified);
        let as_seen = Guard::ModifiedAt(self.keys.schema(), self.gate.modified);
        let (errand, guards, changes) = match ours {
            _ if !named => {
                let guard = Guard::ModifiedAt(self.keys.incarnation(), Revision(0));
                let name = format!("{}-{}", self.identity.random, self.term);
                let name = Change::Put(self.keys.incarnation(), name.into_bytes());
                let oldest = self.identity.layouts.oldest.to_string().into_bytes();
                let begins = self.gate.layout().is_none();
                let schema = begins.then(|| Change::Put(self.keys.schema(), oldest));
                let changes = [name].into_iter().chain(schema).collect();
                (Errand::Name, vec![guard, as_seen], changes)
            }
            Some(seen) => {
                let guard = Guard::ModifiedAt(key.clone(), seen);
                (Errand::Clear, vec![guard], vec![Change::Delete(key)])
            }
            None => {
                let put = Change::Put(key.clone(), self.card(false).to_bytes());
                (Errand::Join, vec![Guard::ModifiedAt(key, Revision(0)), as_seen], vec![put])
            }
        };
        self.entry = Some((errand, What::Commit(guards, changes)));
    }

    fn has_committed(&mut self, ask: &Ask, committed: Committed, now: Duration) {
        match (&ask.errand, committed) {
            (Errand::Join, Committed::Done(membership)) => self.joined(ask, membership, now),
            (Errand::Beat, Committed::Done(_)) => {
                self.pulse.answered(ask.sent);
                self.leash.set(self.pulse.deadline());
            }
            (Errand::Beat | Errand::Leave, Committed::Refused) => self.evicted(),
            (Errand::Leave, Committed::Done(_)) => self.left(),
            (Errand::Evict(id), Committed::Done(revision)) => {
                self.members.gone(id, revision);
                self.candidates = self.members.candidates(&self.outs, self.gate.layout());
                self.assign();
            }
            (Errand::Take(batch), Committed::Done(epoch)) => self.taken(batch, epoch, now),
            (Errand::Delete(batch), Committed::Done(revision)) => {
                self.claims.deleted(batch, revision);
            }
            (Errand::Take(_) | Errand::Delete(_), Committed::Refused) => {
                self.doubt_claims();
                self.next_look = now;
            }
            (Errand::Name | Errand::Clear | Errand::Join | Errand::Evict(_) | Errand::Raise, _) => {
                self.next_look = now;
            }
            (Errand::Look | Errand::Claims(_) | Errand::Confess(_) | Errand::Forgive, _) => {}
        }
        self.changed = true;
        let is_beat = ask.errand == Errand::Beat;
        self.moved |= !is_beat;
        self.restless |= !is_beat;
    }

    fn joined(&mut self, ask: &Ask, membership: Revision, now: Duration) {
        self.phase = Phase::In { membership, joined: now };
        self.evicted = false;
        self.pulse = Pulse::default();
        self.pulse.answered(ask.sent);
        self.leash.set(self.pulse.deadline());
        self.next_beat = now + BEAT_EVERY;
        self.said = None;
        (self.next_look, self.next_claims) = (now, now);
    }

    fn taken(&mut self, batch: &[Known], epoch: Revision, now: Duration) {
        let Phase::In { membership, .. } = self.phase else { return };
        let me = Me { id: self.identity.id.clone(), membership };
        self.claims.taken(batch, &me, epoch);
        let gained: Vec<_> = batch
            .iter()
            .map(|Known { charge, .. }| {
                if let Some(account) = charge.account() {
                    self.leash.hold(account.clone(), now);
                }
                (charge.clone(), self.keys.fence(&me.id, membership, charge, epoch))
            })
            .collect();
        match self.outbox.back_mut() {
            Some(Assignment::Gained(before)) => before.extend(gained),
            Some(Assignment::Lose(_) | Assignment::Lost(_) | Assignment::LookAgain(_)) | None => {
                self.outbox.push_back(Assignment::Gained(gained));
            }
        }
    }

    /// An answer says that our membership has ended.
    fn evicted(&mut self) {
        self.evicted = true;
        self.begin_anew();
        if self.draining {
            self.phase = Phase::Left;
        }
    }

    /// The gate was raised over us. Everything is given up at once: the others, who read what is
    /// written from here on, take it over.
    fn outdated(&mut self) {
        self.begin_anew();
        self.phase = if self.draining { Phase::Left } else { Phase::Outdated };
    }

    /// The engine's data is older than what was seen of it, or another.
    fn restored(&mut self) {
        self.restored += 1;
        self.high = Revision(0);
        self.incarnation = None;
        self.begin_anew();
        (self.members, self.gate) = (Members::default(), Gate::default());
        self.candidates = Vec::new();
        self.assign();
        if self.draining {
            self.phase = Phase::Left;
        }
    }

    fn left(&mut self) {
        self.begin_anew();
        self.phase = Phase::Left;
    }

    /// Everything that was ours is lost, and whatever is under way is of no account.
    fn begin_anew(&mut self) {
        self.leash.set(Duration::ZERO);
        self.leash.keep_alone(Duration::ZERO);
        (self.pulse, self.suspended) = (Pulse::default(), None);
        let held = self.claims.drop_all();
        self.lost(held);
        self.term += 1;
        self.phase = Phase::Out;
        self.under_way = UnderWay::default();
        self.entry = None;
        self.hinted.clear();
        self.doubt = false;
        self.next_look = Duration::ZERO;
        (self.changed, self.moved) = (true, true);
    }

    fn lost(&mut self, charges: Vec<Charge>) {
        if !charges.is_empty() {
            self.let_go(&charges);
            self.outbox.push_back(Assignment::Lost(charges));
        }
    }

    fn let_go(&self, charges: &[Charge]) {
        for account in charges.iter().filter_map(Charge::account) {
            self.leash.let_go(account);
        }
    }

    fn assign(&mut self) {
        let me = &self.identity.id;
        let is_mine = |charge: &&Charge| assign::owner(charge, &self.candidates) == Some(me);
        let mine = self.declared.iter().filter(|_| !self.draining).filter(is_mine);
        self.mine = mine.cloned().collect();
        (self.changed, self.moved, self.restless) = (true, true, true);
    }
}

fn is_settled(joined: Duration, now: Duration) -> bool {
    now >= joined + CALM
}

/// The view that others are shown.
impl Machine {
    /// The cluster as it looks, if that changed since this was last asked.
    pub(super) fn view(&mut self, now: Duration) -> Option<ClusterView> {
        let stands = (self.standing(now), self.is_member().then(|| self.pulse.rhythm(now)));
        let changed = std::mem::take(&mut self.changed) || self.shown != Some(stands);
        if !changed {
            return None;
        }
        self.shown = Some(stands);
        if std::mem::take(&mut self.moved) {
            self.tell_owners(now);
        }
        Some(ClusterView {
            me: Some(self.identity.id.clone()),
            standing: stands.0,
            rhythm: stands.1,
            deadline: self.pulse.deadline(),
            unreachable: self.unreachable.clone(),
            members: self.member_views(),
            owners: self.owners.clone(),
            unowned: self.unowned.clone(),
            outs: self.outs.clone(),
            incarnation: self.incarnation.clone(),
            layout: self.gate.layout(),
            restored: self.restored,
        })
    }

    fn standing(&self, now: Duration) -> Standing {
        match self.phase {
            Phase::Left => Standing::Left,
            Phase::Foreign => Standing::Foreign,
            Phase::Outdated => Standing::Outdated,
            Phase::Out if self.evicted => Standing::Evicted,
            Phase::Out => Standing::Joining,
            Phase::In { .. } if self.draining => Standing::Draining,
            Phase::In { .. } if self.is_alone(now) => Standing::Alone,
            Phase::In { .. } if self.pulse.rhythm(now) == Rhythm::Suspended => Standing::Suspended,
            Phase::In { .. } if self.outs.contains_key(&self.identity.id.node) => Standing::Out,
            Phase::In { joined, .. } if !is_settled(joined, now) => Standing::Calm,
            Phase::In { .. } => Standing::Active,
        }
    }

    /// Living owners of what is declared here, and what has none.
    fn tell_owners(&mut self, now: Duration) {
        let owned = self.declared.iter().filter_map(|charge| match self.claims.owner(charge) {
            Owner::Member(claim) if !self.members.ended(&claim.member, claim.began()) => {
                Some((charge.clone(), claim.member.clone()))
            }
            Owner::Member(_) | Owner::Nobody | Owner::Unreadable => None,
        });
        let owners: BTreeMap<Charge, MemberId> = owned.collect();
        let before = std::mem::take(&mut self.unowned);
        let unowned = self.declared.iter().filter(|charge| !owners.contains_key(charge));
        let since = |charge: &Charge| before.get(charge).copied().unwrap_or(now);
        self.unowned = unowned.map(|charge| (charge.clone(), since(charge))).collect();
        self.owners = Arc::new(owners);
    }

    fn member_views(&self) -> BTreeMap<MemberId, MemberView> {
        let mut counts: BTreeMap<&MemberId, usize> = BTreeMap::new();
        for owner in self.owners.values() {
            *counts.entry(owner).or_default() += 1;
        }
        let views = self.members.iter().map(|(id, member)| {
            let card = member.card.clone().unwrap_or_default();
            let view = MemberView {
                changed: member.changed,
                settled: card.settled,
                draining: card.draining,
                version: card.version,
                generation: card.generation,
                owns: counts.get(id).copied().unwrap_or_default(),
            };
            (id.clone(), view)
        });
        views.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::clock::VirtualClock;

    use super::super::keys::Claim;
    use super::*;

    /// A guard that is taken out is missed here.
    #[tokio::test(start_paused = true)]
    async fn every_commit_has_its_guards() {
        let mut play = Play::new();
        // Nothing there; then a key of ours that is left over; then no more.
        play.look(1, &[]);
        play.committed(Committed::Done(Revision(2)));
        let ours = play.member("me", 3, &Card::default());
        play.look(3, std::slice::from_ref(&ours));
        play.committed(Committed::Done(Revision(4)));
        play.look(4, &[]);
        play.committed(Committed::Done(Revision(5)));
        // A member that has accounts, and one that is dead.
        let settled = Card { settled: true, ..Card::default() };
        let ours = play.member("me", 5, &settled);
        let dead = play.member("x", 1, &settled);
        play.claims(6, &[("dead", 1, play.claim("x", 1)), ("stray", 2, play.claim("me", 5))]);
        for second in 0..12 {
            play.now = Duration::from_secs(20 + second);
            play.machine.pulse.answered(play.now);
            play.look(7, &[ours.clone(), dead.clone()]);
        }
        play.committed(Committed::Done(Revision(8)));
        play.machine.drain();
        play.turn();
        play.machine.released(&Released { charge: Charge::Fleet, epoch: Revision(8) });
        play.committed(Committed::Done(Revision(9)));
        play.machine.released(&Released { charge: "dead".parse().unwrap(), epoch: Revision(9) });
        play.committed(Committed::Done(Revision(10)));
        play.committed(Committed::Done(Revision(11)));
        let mut said: Vec<String> = play.said.clone();
        said.dedup();
        expect_test::expect![[r#"
            Name: [ModifiedAt("meta/incarnation", Revision(0)), ModifiedAt("meta/schema", Revision(0))] -> [Put("meta/incarnation", 3 bytes), Put("meta/schema"
            Clear: [ModifiedAt("members/me-0", Revision(3))] -> [Delete("members/me-0")]
            Join: [ModifiedAt("members/me-0", Revision(0)), ModifiedAt("meta/schema", Revision(0))] -> [Put("members/me-0"
            Beat: [CreatedAt("members/me-0", Revision(5))] -> [Put("members/me-0"
            Delete: [ModifiedAt("claims/stray", Revision(2))] -> [Delete("claims/stray")]
            Beat: [CreatedAt("members/me-0", Revision(5))] -> [Put("members/me-0"
            Take: [CreatedAt("members/me-0", Revision(5)), ModifiedAt("claims/@fleet", Revision(0))] -> [Put("claims/@fleet"
            Beat: [CreatedAt("members/me-0", Revision(5))] -> [Put("members/me-0"
            Evict: [ModifiedAt("members/x-0", Revision(1))] -> [Delete("members/x-0")]
            Beat: [CreatedAt("members/me-0", Revision(5))] -> [Put("members/me-0"
            Take: [CreatedAt("members/me-0", Revision(5)), ModifiedAt("claims/dead", Revision(1)), NotCreatedAt("members/x-0", Revision(1))] -> [Put("claims/dead"
            Beat: [CreatedAt("members/me-0", Revision(5))] -> [Put("members/me-0"
            Delete: [ModifiedAt("claims/@fleet", Revision(8))] -> [Delete("claims/@fleet")]
            Delete: [ModifiedAt("claims/dead", Revision(9))] -> [Delete("claims/dead")]
            Leave: [CreatedAt("members/me-0", Revision(5))] -> [Delete("members/me-0")]"#]].assert_eq(&said.join("\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_says_that_somebody_sent_late_is_deleted_as_it_was_seen() {
        let mut play = Play::new();
        play.look(2, &[]);
        play.committed(Committed::Done(Revision(3)));
        let account: AccountName = "dead".parse().unwrap();
        let charge = Charge::Account(account.clone());
        let held = Known { charge, modified: Revision(0), former: None };
        play.machine.taken(&[held], Revision(4), play.now);
        let (created, modified) = (Revision(5), Revision(7));
        let key = play.machine.keys.late(&account);
        let late = Entry { key, value: b"x-0".to_vec(), created, modified };
        let ours = play.member("me", 3, &Card::default());
        play.look(8, &[ours, late]);
        let last = play.said.iter().filter(|it| it.starts_with("Forgive"));
        let last: Vec<&String> = last.collect();
        let forgives =
            r#"Forgive: [ModifiedAt("late/dead", Revision(7))] -> [Delete("late/dead")]"#;
        assert_eq!(last, [forgives], "one that sent late meanwhile says so again");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_claimed_while_nobody_knows_what_became_of_the_last_claim() {
        let mut play = Play::in_charge();
        play.unanswered("Take");
        play.said.clear();
        play.turn();
        assert!(!play.says("Take"), "{:?}", play.said);
        play.now += Duration::from_secs(1);
        play.claims(6, &[]);
        assert!(play.says("Take"), "{:?}", play.said);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_suspended_claims_nothing_and_evicts_nobody() {
        let mut play = Play::in_charge();
        play.unanswered("Take");
        play.said.clear();
        let [ours, other] = ["me", "x"].map(|node| play.member(node, 3, &Card::default()));
        for second in 40..55 {
            play.now = Duration::from_secs(second);
            play.look(7, &[ours.clone(), other.clone()]);
            play.claims_if_asked(7);
        }
        assert!(!play.says("Take") && !play.says("Evict"), "{:?}", play.said);
        play.machine.pulse.answered(play.now);
        play.look(7, &[ours, other]);
        assert!(play.says("Evict"), "{:?}", play.said);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stood_still_evicts_nobody_for_what_it_saw_before() {
        let mut play = Play::in_charge();
        let [ours, other] = ["me", "x"].map(|node| play.member(node, 3, &Card::default()));
        for second in [21, 22, 23, 24, 25, 26, 27, 28, 29, 31] {
            play.now = Duration::from_secs(second);
            play.machine.pulse.answered(play.now);
            play.look(7, &[ours.clone(), other.clone()]);
        }
        assert!(!play.says("Evict"), "{:?}", play.said);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_that_nobody_else_can_serve_is_kept() {
        let mut play = Play::in_charge();
        play.answers(Committed::Done(Revision(6)));
        let account: AccountName = "dead".parse().unwrap();
        let unfit = Unfit::of(BTreeSet::from([account.clone()]));
        play.machine.declare(&BTreeSet::from([account]), unfit.clone(), 0);
        let ours = play.member("me", 3, &Card { settled: true, unfit, ..Card::default() });
        let ours = Entry { modified: Revision(6), ..ours };
        let other = play.member("x", 4, &Card { settled: true, ..Card::default() });
        let mut lost = |seen: &[Entry]| {
            play.now += Duration::from_secs(1);
            play.machine.pulse.answered(play.now);
            play.look(7, seen);
            let told = std::iter::from_fn(|| play.machine.take_assignment());
            told.filter_map(|it| if let Assignment::Lose(lost) = it { Some(lost) } else { None })
                .flatten()
                .any(|charge| charge != Charge::Fleet)
        };
        assert!(!lost(std::slice::from_ref(&ours)));
        assert!(lost(&[ours, other]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_accounts_are_let_go_of_in_a_second_and_all_at_once_before_a_stop() {
        let mut play = Play::in_charge();
        play.answers(Committed::Done(Revision(6)));
        let account = |number: usize| format!("org-{number}").parse::<AccountName>().unwrap();
        let known = |charge| Known { charge, modified: Revision(0), former: None };
        let many = (0..350).map(|number| known(Charge::Account(account(number))));
        play.machine.taken(&many.collect::<Vec<_>>(), Revision(7), play.now);
        let mut lost = |millis: u64, drains: bool| {
            play.now = Duration::from_secs(21) + Duration::from_millis(millis);
            if drains {
                play.machine.drain();
            }
            play.turn();
            let told = std::iter::from_fn(|| play.machine.take_assignment());
            let lost = told.map(|it| match it {
                Assignment::Lose(charges) => charges.len(),
                Assignment::Gained(_) | Assignment::Lost(_) | Assignment::LookAgain(_) => 0,
            });
            lost.sum::<usize>()
        };
        // Nobody declares them any more.
        assert_eq!([0, 500, 999, 1000].map(|at| lost(at, false)), [100, 0, 0, 100]);
        assert_eq!(lost(1001, true), 350 - 200 + 2, "with its own two");
    }

    #[tokio::test(start_paused = true)]
    async fn data_of_another_name_are_another_engine_s_however_new() {
        let mut play = Play::in_charge();
        play.machine.next_look = play.now;
        play.turn();
        let (created, modified) = (Revision(50), Revision(50));
        let key = play.machine.keys.incarnation();
        let other = Entry { key, value: b"other".to_vec(), created, modified };
        play.answer(&Errand::Look, Snapshot { entries: vec![other], revision: Revision(60) });
        assert_eq!(play.machine.restored, 1);
        assert_eq!(play.machine.leash.left(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn that_something_left_late_is_said_until_it_is_heard() {
        let mut play = Play::in_charge();
        play.machine.leash.note_late("dead".parse().unwrap());
        for _ in 0..2 {
            play.said.clear();
            play.turn();
            assert!(play.says("Confess"), "{:?}", play.said);
            play.unanswered("Confess");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_gate_is_raised_by_whoever_owns_the_fleet_under_what_it_saw() {
        let mut play = Play::new();
        play.look(4, &[play.schema("1", 2)]);
        play.committed(Committed::Done(Revision(5)));
        let layouts = Layouts { oldest: 1, newest: 2 };
        let card = Card { settled: true, layouts, ..Card::default() };
        let seen = |play: &Play, second: u64| {
            // It beats.
            let modified = Revision(second as i64);
            let other = Entry { modified, ..play.member("x", 4, &card) };
            [play.schema("1", 2), play.member("me", 5, &card), other]
        };
        play.claims(6, &[("@fleet", 3, play.claim("x", 4))]);
        for second in 10..700 {
            play.now = Duration::from_secs(second);
            play.machine.pulse.answered(play.now);
            let seen = seen(&play, second);
            play.look(8, &seen);
            play.answers(Committed::Done(Revision(8)));
        }
        let raises = |play: &Play| -> Vec<String> {
            play.said.iter().filter(|it| it.starts_with("Raise")).cloned().collect()
        };
        assert!(raises(&play).is_empty(), "the fleet is another's");
        let fleet = Known { charge: Charge::Fleet, modified: Revision(0), former: None };
        play.machine.taken(&[fleet], Revision(9), play.now);
        play.turn();
        expect_test::expect![[r#"
            Raise: [CreatedAt("members/me-0", Revision(5)), ModifiedAt("claims/@fleet", Revision(9)), ModifiedAt("meta/schema", Revision(2)), CreatedAt("members/x-0", Revision(4))] -> [Put("meta/schema""#]].assert_eq(&raises(&play).join("\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_whose_answer_comes_late_lets_nobody_write_for_longer() {
        let mut play = Play::new();
        play.look(2, &[]);
        play.committed(Committed::Done(Revision(3)));
        assert_eq!(play.machine.leash.left(), Duration::from_millis(8750), "sent after a second");
        play.now = Duration::from_secs(5);
        play.turn();
        // The process is stopped while the answer is on its way.
        play.now = Duration::from_secs(60);
        play.answers(Committed::Done(Revision(4)));
        assert_eq!(play.machine.leash.left(), Duration::from_millis(12_750));
        play.committed(Committed::Refused);
        assert_eq!(play.machine.leash.left(), Duration::ZERO);
    }

    struct Play {
        machine: Machine,
        now: Duration,
        open: Vec<Ask>,
        said: Vec<String>,
    }

    impl Play {
        fn new() -> Play {
            let clock = Arc::new(VirtualClock::new("2026-01-01T00:00:00Z".parse().unwrap(), 1));
            let id = MemberId { node: "me".to_owned(), boot: "0".to_owned() };
            let (version, random) = ("0.1.0".to_owned(), "r".to_owned());
            let layouts = Layouts::OWN;
            let identity = Identity { id, version, layouts, noted: None, random };
            let mut machine = Machine::new(Keys::new("t"), identity, Leash::new(clock));
            machine.declare(&BTreeSet::from(["dead".parse().unwrap()]), Unfit::default(), 0);
            let (now, open, said) = (Duration::from_secs(1), Vec::new(), Vec::new());
            Play { machine, now, open, said }
        }

        /// The only member, which has just claimed everything and was not answered yet.
        fn in_charge() -> Play {
            let mut play = Play::new();
            play.look(2, &[]);
            play.committed(Committed::Done(Revision(3)));
            play.claims(4, &[]);
            play.now = Duration::from_secs(20);
            play.machine.pulse.answered(play.now);
            let ours = play.member("me", 3, &Card { settled: true, ..Card::default() });
            play.look(5, &[ours]);
            play
        }

        fn says(&self, errand: &str) -> bool {
            self.said.iter().any(|said| said.starts_with(errand))
        }

        /// The engine does not answer what is under way of this kind.
        fn unanswered(&mut self, errand: &str) {
            let is_it = |ask: &mut Ask| format!("{:?}", ask.errand).starts_with(errand);
            let lost: Vec<Ask> = self.open.extract_if(.., is_it).collect();
            assert!(!lost.is_empty(), "{errand}");
            for ask in lost {
                let no_reply = EngineError::Unreachable("no reply".to_owned());
                self.machine.answered(&ask, Answer::Committed(Err(no_reply)), self.now);
            }
        }

        fn claims_if_asked(&mut self, revision: i64) {
            let all = Errand::Claims(BTreeSet::new());
            if self.open.iter().any(|ask| ask.errand == all) {
                self.claims(revision, &[]);
            }
        }

        fn turn(&mut self) {
            let asks = self.machine.turn(self.now);
            for ask in asks {
                if let What::Commit(guards, changes) = &ask.what {
                    let errand = format!("{:?}", ask.errand);
                    let errand = errand.split('(').next().unwrap_or_default();
                    let guards = format!("{guards:?}").replace("channelkeeper/t/", "");
                    let changes = format!("{changes:?}").replace("channelkeeper/t/", "");
                    let changes = changes.split(", ").filter(|it| !it.ends_with("bytes)]"));
                    let changes: Vec<&str> = changes.collect();
                    self.said.push(format!("{errand}: {guards} -> {}", changes.join(", ")));
                }
                self.open.push(ask);
            }
        }

        fn look(&mut self, revision: i64, entries: &[Entry]) {
            self.machine.next_look = self.now;
            let named = Entry {
                key: self.machine.keys.incarnation(),
                value: b"r-0".to_vec(),
                created: Revision(2),
                modified: Revision(2),
            };
            let named = (revision > 1).then_some(named);
            let entries = entries.iter().cloned().chain(named).collect();
            let snapshot = Snapshot { entries, revision: Revision(revision) };
            self.turn();
            self.answer(&Errand::Look, snapshot);
            self.turn();
        }

        fn claims(&mut self, revision: i64, claims: &[(&str, i64, Claim)]) {
            self.turn();
            let entries = claims.iter().map(|(name, at, claim)| Entry {
                key: self.machine.keys.claim(&name.parse().unwrap()),
                value: claim.to_bytes(),
                created: Revision(*at),
                modified: Revision(*at),
            });
            let snapshot = Snapshot { entries: entries.collect(), revision: Revision(revision) };
            self.answer(&Errand::Claims(BTreeSet::new()), snapshot);
            self.turn();
        }

        fn answer(&mut self, errand: &Errand, snapshot: Snapshot) {
            let at = self.open.iter().position(|ask| ask.errand == *errand).unwrap();
            let ask = self.open.remove(at);
            self.machine.answered(&ask, Answer::Read(Ok(snapshot)), self.now);
        }

        /// All commits that are under way are answered so.
        fn committed(&mut self, committed: Committed) {
            self.turn();
            self.answers(committed);
            self.turn();
        }

        fn answers(&mut self, committed: Committed) {
            let (commits, reads) = std::mem::take(&mut self.open)
                .into_iter()
                .partition(|ask| matches!(ask.what, What::Commit(..)));
            self.open = reads;
            for ask in commits {
                self.machine.answered(&ask, Answer::Committed(Ok(committed)), self.now);
            }
        }

        fn schema(&self, layout: &str, at: i64) -> Entry {
            let (created, modified) = (Revision(at), Revision(at));
            let (key, value) = (self.machine.keys.schema(), layout.as_bytes().to_vec());
            Entry { key, value, created, modified }
        }

        fn member(&self, node: &str, created: i64, card: &Card) -> Entry {
            let id = MemberId { node: node.to_owned(), boot: "0".to_owned() };
            let (created, modified) = (Revision(created), Revision(created));
            let key = self.machine.keys.member(&id);
            Entry { key, value: card.to_bytes(), created, modified }
        }

        fn claim(&self, node: &str, membership: i64) -> Claim {
            let id = MemberId { node: node.to_owned(), boot: "0".to_owned() };
            Claim { member: id, membership }
        }
    }
}
