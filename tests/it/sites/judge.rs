//! The judge of several machines: it sees every commit as the engine applies it, and every request
//! as Zoho answers it, and knows what none of the machines does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use channelkeeper::clock::{Clock, VirtualClock};
use channelkeeper::cluster::keys::{Card, Claim, Keys, MemberId};
use channelkeeper::daemon::tasks::TaskError;
use channelkeeper::engine::simulated::Applied;
use channelkeeper::engine::{Change, Entry, Revision};
use channelkeeper::leash::Leash;
use channelkeeper::model::channel::AccountName;
use channelkeeper::model::cluster::Allowed;
use channelkeeper::model::exchange::Request;
use channelkeeper::simulator::Heard;
use channelkeeper::zoho::leashed::{HELD_MIN_TAKING, LEFT_MIN, LEFT_MIN_TAKING};

/// Everything that is known from outside.
pub struct Judge {
    clock: Arc<VirtualClock>,
    keys: Keys,
    /// By the number of its way to the engine.
    pub processes: Vec<Process>,
    members: BTreeMap<MemberId, Membership>,
    claims: BTreeMap<AccountName, Owned>,
    /// Whose request is about to be answered.
    pub current: Option<Caller>,
    tokens: BTreeMap<String, VecDeque<Duration>>,
    late: BTreeSet<(usize, u32, String)>,
    /// Calls that came too late, and were not looked at yet.
    pub unmended: Vec<Unmended>,
    /// The engine was set back: claims say nothing for some seconds.
    restored: Option<Duration>,
    /// No machine is answered by the engine as it should be.
    pub engine_is_ill: bool,
    pub zoho_is_ill: bool,
    life: Duration,
    pub log: Vec<String>,
    /// Laws that were broken.
    pub broken: Vec<String>,
    pub counts: BTreeMap<String, u64>,
}

/// One process of a machine.
pub struct Process {
    pub name: &'static str,
    pub leash: Leash,
    pub is_alive: bool,
    pub is_frozen: bool,
    /// It was told to end.
    pub is_leaving: bool,
    /// Nothing comes from the engine.
    pub is_cut: bool,
    /// The engine's answers come so much later.
    pub delay: Duration,
    /// The last time in which it may have thought that the engine does not answer.
    silence: Option<Silence>,
    /// Nothing comes from Zoho.
    pub is_mute: bool,
    /// The config was edited while it was stopped.
    pub is_behind: bool,
    /// How often it was stopped.
    freezes: u32,
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub struct Caller {
    pub number: usize,
    /// The channels at Zoho as the request came, and how much of the life of each was left.
    pub lives: BTreeMap<i64, Duration>,
    /// How often its process had been stopped when it left.
    pub freezes: u32,
    /// How much of the leash was left when it left.
    pub left: Duration,
}

/// A call that came too late.
pub struct Unmended {
    pub account: String,
    pub what: String,
    /// Since when the account is served well again.
    pub since: Duration,
}

struct Membership {
    by: usize,
    created: Revision,
    began: Duration,
    is_draining: bool,
}

struct Owned {
    claim: Claim,
    is_there: bool,
    at: Duration,
}

/// A time in which nothing comes from the engine, or too late.
#[derive(Clone, Copy)]
struct Silence {
    since: Duration,
    ended: Option<Duration>,
}

impl Silence {
    /// The silence after it is quiet, or not, from now on. One that goes on before a machine can
    /// have noticed its end is the same.
    fn after(known: Option<Silence>, is_quiet: bool, now: Duration) -> Option<Silence> {
        match known {
            Some(known) if is_quiet && known.is_unnoticed(now) => {
                Some(Silence { ended: None, ..known })
            }
            Some(known) if !is_quiet => {
                Some(Silence { ended: Some(known.ended.unwrap_or(now)), ..known })
            }
            _ => is_quiet.then_some(Silence { since: now, ended: None }),
        }
    }

    /// It lasts, or a machine may not know yet that it has ended.
    fn is_unnoticed(self, now: Duration) -> bool {
        self.ended.is_none_or(|ended| now <= ended + NOTICED_WITHIN)
    }
}

impl Process {
    /// True when it may be expected to own something.
    pub fn is_fit(&self) -> bool {
        self.is_alive && !self.is_frozen && !self.is_leaving && !self.is_cut
    }
}

impl Judge {
    pub fn new(clock: Arc<VirtualClock>, life: Duration) -> Judge {
        Judge {
            clock,
            keys: Keys::new(CLUSTER),
            processes: Vec::new(),
            members: BTreeMap::new(),
            claims: BTreeMap::new(),
            current: None,
            tokens: BTreeMap::new(),
            late: BTreeSet::new(),
            unmended: Vec::new(),
            restored: None,
            engine_is_ill: false,
            zoho_is_ill: false,
            life,
            log: Vec::new(),
            broken: Vec::new(),
            counts: BTreeMap::new(),
        }
    }

    pub fn begins(&mut self, name: &'static str, leash: Leash) {
        self.processes.push(Process {
            name,
            leash,
            is_alive: true,
            is_frozen: false,
            is_leaving: false,
            is_cut: false,
            delay: Duration::ZERO,
            silence: None,
            is_mute: false,
            is_behind: false,
            freezes: 0,
        });
        self.listen();
    }

    pub fn frozen(&mut self, number: usize, is_frozen: bool) {
        let process = &mut self.processes[number];
        process.is_frozen = is_frozen;
        process.freezes += u32::from(is_frozen);
        let name = process.name;
        self.note(&format!("** {name} {}", if is_frozen { "is stopped" } else { "goes on" }));
    }

    /// A process that was told to end has ended, or not.
    pub fn left(&mut self, number: usize, ended: Option<Result<(), TaskError>>) {
        let process = &mut self.processes[number];
        process.is_alive = false;
        let name = process.name;
        match ended {
            Some(Ok(())) => self.note(&format!("** {name} has ended")),
            Some(Err(error)) => self.violation(&format!("{name} ended with {error}")),
            None => self.violation(&format!("{name} was told to end, and does not")),
        }
    }

    /// Something has changed on the ways to the engine, or in it.
    pub fn listen(&mut self) {
        let now = self.clock.boot();
        for process in &mut self.processes {
            let is_quiet = self.engine_is_ill || process.is_cut || process.delay >= TOO_LATE;
            process.silence = Silence::after(process.silence, is_quiet, now);
        }
    }

    pub fn freezes(&self, number: usize) -> u32 {
        self.processes[number].freezes
    }

    pub fn note(&mut self, line: &str) {
        self.log.push(format!("{} {line}", at(self.clock.boot())));
    }

    pub fn violation(&mut self, text: &str) {
        self.note(&format!("!! {text}"));
        self.broken.push(format!("{} {text}", at(self.clock.boot())));
    }

    pub fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    /// The engine has these data, which are older.
    pub fn restored(&mut self, entries: &[Entry]) {
        let now = self.clock.boot();
        self.restored = Some(now);
        let former = std::mem::take(&mut self.members);
        self.claims.clear();
        for entry in entries {
            if let Some(id) = self.keys.member_of(&entry.key) {
                let by = former.get(&id).map(|former| former.by);
                let by = by.or_else(|| self.processes.iter().position(|it| it.name == id.node));
                let card: Card = serde_json::from_slice(&entry.value).unwrap_or_default();
                let member = Membership {
                    by: by.unwrap_or_default(),
                    created: entry.created,
                    began: now,
                    is_draining: card.draining,
                };
                self.members.insert(id, member);
            }
            self.claimed(&entry.key, &entry.value);
        }
    }

    /// True when a machine is there that had settled by then.
    pub fn is_anyone_settled(&self, by: Duration) -> bool {
        let settled = self.members.values().filter(|member| member.began + CALM <= by);
        settled.map(|member| member.by).any(|number| self.processes[number].is_fit())
    }

    fn is_restoring(&self) -> bool {
        self.restored.is_some_and(|at| self.clock.boot() < at + AFTER_RESTORE)
    }
}

/// The commits that the engine applies.
impl Judge {
    pub fn applied(&mut self, applied: &Applied) {
        for change in &applied.changes {
            match change {
                Change::Put(key, value) => self.put(applied, key, value),
                Change::Delete(key) => self.deleted(applied, key),
            }
        }
    }

    fn put(&mut self, Applied { by, revision, .. }: &Applied, key: &str, value: &[u8]) {
        let name = self.processes[*by].name;
        if let Some(id) = self.keys.member_of(key) {
            let card: Card = serde_json::from_slice(value).unwrap_or_default();
            let (began, by, is_draining) = (self.clock.boot(), *by, card.draining);
            if let Some(known) = self.members.get_mut(&id) {
                known.is_draining = is_draining;
                return;
            }
            let member = Membership { by, created: *revision, began, is_draining };
            self.note(&format!("engine: {name} joins as {id} ({})", revision.0));
            self.members.insert(id, member);
        }
        if self.keys.charge_of(key).is_some() {
            self.note(&format!("engine: {name} claims {key} ({})", revision.0));
            self.claimed(key, value);
        }
        if let Some(account) = self.account_of(key) {
            self.committed(*by, &account);
        }
    }

    fn deleted(&mut self, Applied { by, .. }: &Applied, key: &str) {
        let name = self.processes[*by].name;
        if let Some(id) = self.keys.member_of(key)
            && self.members.remove(&id).is_some()
        {
            self.note(&format!("engine: {name} deletes the member {id}"));
        }
        if let Some(charge) = self.keys.charge_of(key) {
            self.note(&format!("engine: {name} deletes {key}"));
            let owned = charge.account().and_then(|account| self.claims.get_mut(account));
            owned.into_iter().for_each(|owned| owned.is_there = false);
        }
    }

    fn account_of(&self, key: &str) -> Option<AccountName> {
        key.strip_prefix(self.keys.prefix())?.strip_prefix("accounts/")?.parse().ok()
    }

    /// Whoever gets an account that nobody lost has to have come after it was claimed.
    fn claimed(&mut self, key: &str, value: &[u8]) {
        let Some(account) = self.keys.charge_of(key).and_then(|it| it.account().cloned()) else {
            return;
        };
        let claim: Claim = serde_json::from_slice(value).unwrap();
        let now = self.clock.boot();
        if let Some(former) = self.claims.get(&account)
            && former.claim != claim
            && !self.is_restoring()
            && let Some(owner) = self.living(&former.claim).filter(|owner| !owner.is_draining)
            && let Some(next) = self.living(&claim)
            && owner.by != next.by
            && next.began + SETTLES < former.at
        {
            let text = format!("{account} moves to {}, which was there", claim.member);
            self.violation(&text);
        }
        self.claims.insert(account, Owned { claim, is_there: true, at: now });
    }

    fn living(&self, claim: &Claim) -> Option<&Membership> {
        let member = self.members.get(&claim.member)?;
        (member.created == Revision(claim.membership)).then_some(member)
    }

    /// Nobody but the owner writes for an account.
    fn committed(&mut self, by: usize, account: &AccountName) {
        let name = self.processes[by].name;
        if self.owner(account) != Some(by) && !self.is_restoring() {
            self.violation(&format!("{name} commits for {account}, which it does not own"));
        }
        self.count("commits");
    }

    /// The process that the engine says owns the account.
    fn owner(&self, account: &AccountName) -> Option<usize> {
        let owned = self.claims.get(account).filter(|owned| owned.is_there)?;
        Some(self.living(&owned.claim)?.by)
    }
}

/// Zoho's answers.
impl Judge {
    pub fn heard(&mut self, heard: &Heard<'_>) {
        let Some(caller) = self.current.take() else { return };
        let (Some(account), request) = (heard.org, heard.request) else { return };
        let is_fetch = request.path.contains("/oauth/");
        let name = self.processes[caller.number].name;
        self.note(&format!(
            "zoho: {name} {account} {} {} -> {:.60}",
            request.method,
            if is_fetch { "token" } else { "watch" },
            format!("{:?}", heard.reply).split_whitespace().take(3).collect::<String>(),
        ));
        if is_fetch {
            self.fetched(account);
        }
        if request.method != "GET" {
            self.wrote(&caller, account, request);
        }
    }

    fn fetched(&mut self, account: &str) {
        let now = self.clock.boot();
        let fetches = self.tokens.entry(account.to_owned()).or_default();
        fetches.retain(|at| *at + TOKENS_WITHIN > now);
        fetches.push_back(now);
        let many = fetches.len();
        if many > TOKENS_MAX {
            self.violation(&format!("{account}: {many} tokens within ten minutes"));
        }
        self.count("token fetches");
    }

    fn wrote(&mut self, caller: &Caller, account: &str, request: &Request) {
        let name_of_account: AccountName = account.parse().unwrap();
        if self.is_of_one_alone(caller, &name_of_account, request) {
            return;
        }
        let Caller { number, freezes, left, .. } = *caller;
        let process = &self.processes[number];
        let name = process.name;
        let took_away = takes_away(request);
        let was_stopped = process.freezes > freezes;
        let least = if took_away { LEFT_MIN_TAKING } else { LEFT_MIN };
        // One that was alone had nothing left as it sent.
        if left < least && !(left.is_zero() && was_stopped) {
            self.violation(&format!("{name} writes for {account} with {left:?} left"));
        }
        let process = &self.processes[number];
        let is_late = process.leash.left_for(&name_of_account).is_zero();
        if took_away && !is_late && process.leash.held_for(&name_of_account) < HELD_MIN_TAKING {
            self.violation(&format!("{name} takes away from {account}, held for too short"));
        }
        let owner = self.owner(&name_of_account);
        let is_foreign = owner != Some(number) && !self.is_restoring();
        self.count("writes");
        if !is_late && !is_foreign {
            return;
        }
        let what = format!(
            "{name} writes for {account} {}: {}",
            if is_late { "past its deadline" } else { "within its deadline" },
            owner.map_or("nobody owns it".to_owned(), |it| format!(
                "owner {}",
                self.processes[it].name
            )),
        );
        if !was_stopped || !self.late.insert((number, freezes, account.to_owned())) {
            self.violation(&what);
            return;
        }
        self.note(&format!("late: {what}"));
        self.count(if is_foreign { "late calls, to an account of another" } else { "late calls" });
        if request.path.contains("/oauth/") {
            return;
        }
        let (account, since) = (account.to_owned(), self.clock.boot());
        self.unmended.push(Unmended { account, what, since });
    }
}

/// Whoever gets no answer from the engine renews what would end soon.
impl Judge {
    fn is_of_one_alone(&mut self, caller: &Caller, account: &AccountName, sent: &Request) -> bool {
        let process = &self.processes[caller.number];
        let now = self.clock.boot();
        let silence = process.silence.filter(|silence| silence.is_unnoticed(now));
        let is_alone = process.leash.allowed_for(account) == Allowed::Emergencies
            && silence.is_some_and(|silence| now > silence.since + ALONE_AFTER);
        if !is_alone || takes_away(sent) {
            return false;
        }
        let name = process.name;
        let fresh = written(sent).into_iter().filter(|id| {
            caller.lives.get(id).is_some_and(|left| *left > self.life / 8 + Duration::from_secs(60))
        });
        let fresh: Vec<i64> = fresh.collect();
        // Where the list cannot be read, the record decides, which may be older.
        if !fresh.is_empty() && !self.zoho_is_ill && !self.processes[caller.number].is_mute {
            self.violation(&format!("{name} is alone, and writes for {account}: {fresh:?}"));
        }
        self.count("calls of a machine that was alone");
        true
    }
}

/// The channels that a request is about.
fn written(request: &Request) -> Vec<i64> {
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let items = body["watch"].as_array().cloned().unwrap_or_default();
    let id = |item: &serde_json::Value| item["channel_id"].as_str()?.parse().ok();
    items.iter().filter_map(id).collect()
}

fn takes_away(request: &Request) -> bool {
    request.method == "DELETE" || String::from_utf8_lossy(&request.body).contains("_delete_events")
}

/// Since the world began.
pub fn at(boot: Duration) -> String {
    let seconds = boot.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, boot.subsec_millis())
}

pub const CLUSTER: &str = "test";
/// With the time in which an answer still counts.
const ALONE_AFTER: Duration = Duration::from_secs(60);
/// An answer that comes so late may not count.
const TOO_LATE: Duration = Duration::from_secs(1);
/// A beat finds that the engine answers again.
const NOTICED_WITHIN: Duration = Duration::from_secs(5);
/// A joiner waits for so long.
const CALM: Duration = Duration::from_secs(10);
/// A joiner waits for ten seconds, and others look every second.
const SETTLES: Duration = Duration::from_secs(20);
/// By then every machine has noticed that the engine was set back, and no deadline of before is
/// left.
const AFTER_RESTORE: Duration = Duration::from_secs(10);
const TOKENS_WITHIN: Duration = Duration::from_secs(600);
const TOKENS_MAX: usize = 10;
