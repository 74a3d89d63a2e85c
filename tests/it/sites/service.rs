//! The service of each account: by one machine, with its channels as declared.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use channelkeeper::clock::Clock;
use channelkeeper::model::channel::{AccountName, ChannelId};

use super::Sites;
use super::judge::{Unmended, at};

/// The state of the world, beside its machines.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub engine_is_well: bool,
    pub zoho_is_well: bool,
}

pub struct Service {
    life: Duration,
    /// When something happened last.
    pub disturbed: Duration,
    accounts: BTreeMap<AccountName, Served>,
    channels: BTreeMap<(String, ChannelId), Shown>,
    next_look: Duration,
    /// The longest time without an owner that nothing excused.
    pub longest: Duration,
}

#[derive(Default)]
struct Served {
    /// Since when nobody may write for it.
    bare: Option<Duration>,
    /// Since when it is served, with everything in order.
    well: Option<Duration>,
    /// When its calls to Zoho may have failed last.
    failed: Duration,
    /// Stretches of time in which it was.
    stretches: VecDeque<(Duration, Duration)>,
}

#[derive(Default)]
struct Shown {
    /// Since when it is not as it should be.
    bad: Option<Duration>,
    excuse: Option<Excuse>,
}

/// The reason why a channel may be as it is.
#[derive(Clone, Copy)]
struct Excuse {
    since: Duration,
    /// It is mended within this time in which the account is well.
    takes: Duration,
    /// Somebody did it.
    is_done: bool,
}

impl Service {
    pub fn new(sites: &Sites, life: Duration) -> Service {
        let accounts = sites.desired.accounts.keys().map(|name| (name.clone(), Served::default()));
        let now = sites.clock.boot();
        let mut service = Service {
            life,
            disturbed: now,
            accounts: accounts.collect(),
            channels: BTreeMap::new(),
            next_look: now,
            longest: Duration::ZERO,
        };
        for (account, id) in sites.declared() {
            service.excuse((account, id), now, JUST_DECLARED);
        }
        service
    }

    /// The channel is not as declared from here on, and that is mended within this time in which
    /// the account is well.
    pub fn excuse(&mut self, channel: (String, ChannelId), now: Duration, takes: Duration) {
        let excuse = Excuse { since: now, takes, is_done: true };
        self.channels.entry(channel).or_default().excuse = Some(excuse);
    }

    /// True while a channel of the account that is declared no longer is still to go. With a second
    /// one somebody would have to allow it.
    pub fn has_stray(&self, account: &str, sites: &Sites) -> bool {
        let declared = sites.declared();
        let of_it = self.channels.iter().filter(|((name, _), _)| name == account);
        let mut strays = of_it.filter(|(channel, _)| !declared.contains(channel));
        strays.any(|(_, shown)| shown.excuse.is_some())
    }

    pub fn look(&mut self, sites: &Sites, weather: Weather) {
        let now = sites.clock.boot();
        self.look_at_owners(sites, weather, now);
        if now >= self.next_look {
            self.next_look = now + LOOK_EVERY;
            self.look_at_channels(sites, now);
            self.look_at_late_calls(sites, now);
        }
    }

    fn look_at_owners(&mut self, sites: &Sites, weather: Weather, now: Duration) {
        let mut judge = sites.judge();
        let someone_is_fit = judge.processes.iter().any(|it| it.is_fit());
        let mut wrong = Vec::new();
        for (name, served) in &mut self.accounts {
            let writers = judge.processes.iter().filter(|it| !it.leash.left_for(name).is_zero());
            let writers: Vec<_> = writers.filter(|it| it.is_alive).collect();
            if writers.len() > 1 {
                let names: Vec<&str> = writers.iter().map(|it| it.name).collect();
                wrong.push(format!("{name} may be written by {names:?}"));
            }
            let owner = writers.into_iter().find(|it| !it.is_frozen);
            let is_well = weather.engine_is_well
                && weather.zoho_is_well
                && owner.is_some_and(|owner| !owner.is_mute && !owner.is_behind);
            if !weather.zoho_is_well || owner.is_some_and(|owner| owner.is_mute) {
                served.failed = now;
            }
            served.take(is_well, now);
            if owner.is_some() {
                served.bare = None;
                continue;
            }
            let since = *served.bare.get_or_insert(now);
            if weather.engine_is_well && someone_is_fit {
                let from = since.max(self.disturbed);
                let waited = now - from;
                let is_takeover = judge.is_anyone_settled(from);
                if is_takeover {
                    self.longest = self.longest.max(waited);
                }
                if waited > if is_takeover { TAKEOVER_MAX } else { START_MAX } {
                    wrong.push(format!("{name} has had no owner since {}", at(since)));
                    served.bare = Some(now);
                }
            } else {
                self.disturbed = now;
            }
        }
        wrong.iter().for_each(|text| judge.violation(text));
    }

    fn look_at_channels(&mut self, sites: &Sites, now: Duration) {
        let declared: BTreeSet<(String, ChannelId)> = sites.declared().into_iter().collect();
        let strays: BTreeSet<(String, ChannelId)> =
            self.channels.keys().filter(|channel| !declared.contains(channel)).cloned().collect();
        for channel in declared.iter().chain(&strays) {
            let is_right = if declared.contains(channel) {
                sites.is_as_declared(&channel.0, channel.1)
            } else {
                !is_there(sites, channel)
            };
            let shown = self.channels.entry(channel.clone()).or_default();
            if is_right {
                *shown = Shown::default();
                continue;
            }
            let served = &self.accounts[&channel.0.parse::<AccountName>().unwrap()];
            shown.bad.get_or_insert(now);
            let (account, id) = channel;
            let of_itself = Excuse { since: now, takes: TRIED_AGAIN, is_done: false };
            let is_wrong = match shown.excuse {
                Some(Excuse { since, takes, .. }) => served.is_well_since(since, takes, now),
                None => {
                    shown.excuse = Some(of_itself);
                    let is_late = sites.judge().unmended.iter().any(|it| it.account == *account);
                    !is_late && served.was_well(now, self.life * 3 / 8)
                }
            };
            if is_wrong {
                shown.excuse = Some(of_itself);
                sites.judge().violation(&format!("{account} {id} is not as declared"));
            }
        }
    }

    /// The effect of a late call is mended soon.
    fn look_at_late_calls(&self, sites: &Sites, now: Duration) {
        let open = std::mem::take(&mut sites.judge().unmended);
        for mut late in open {
            let Unmended { account, what, since } = &mut late;
            let served = &self.accounts[&account.parse::<AccountName>().unwrap()];
            if !served.is_well_since(*since, MENDED_WITHIN, now) {
                sites.judge().unmended.push(late);
                continue;
            }
            let of_it = sites.declared().into_iter().filter(|(name, _)| name == account);
            let excused = |it: &(String, ChannelId)| {
                let excuse = self.channels.get(it).and_then(|shown| shown.excuse);
                excuse.is_some_and(|excuse| excuse.is_done)
            };
            let mut bad = of_it.filter(|it| !excused(it) && !sites.is_as_declared(&it.0, it.1));
            if let Some((_, id)) = bad.next() {
                let text = format!("{id} is as a late call left it: {what}");
                sites.judge().violation(&text);
            }
        }
    }
}

impl Served {
    fn take(&mut self, is_well: bool, now: Duration) {
        match (is_well, self.well) {
            (true, None) => self.well = Some(now),
            (false, Some(since)) => {
                self.well = None;
                self.stretches.push_back((since, now));
                if self.stretches.len() > STRETCHES_MAX {
                    self.stretches.pop_front();
                }
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn is_well_since(&self, since: Duration, takes: Duration, now: Duration) -> bool {
        let takes = if self.failed > since { takes.max(TRIED_AGAIN) } else { takes };
        self.well.is_some_and(|well| now >= well.max(since) + takes)
    }

    /// True when it was well for long enough, at once, within this time.
    fn was_well(&self, now: Duration, within: Duration) -> bool {
        let open = self.well.map(|since| (since, now));
        let begins = now.saturating_sub(within);
        let mut all = self.stretches.iter().copied().chain(open);
        all.any(|(from, to)| to.saturating_sub(from.max(begins)) >= TRIED_AGAIN)
    }
}

fn is_there(sites: &Sites, (account, id): &(String, ChannelId)) -> bool {
    let (zoho, now) = (sites.zoho(), sites.clock.now());
    zoho.channels(account, now).iter().any(|channel| channel.id == id.number())
}

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The promise.
const TAKEOVER_MAX: Duration = Duration::from_secs(15);
/// Where no machine is left that has settled, one has to join and to wait for ten seconds first.
const START_MAX: Duration = Duration::from_secs(25);
const MENDED_WITHIN: Duration = Duration::from_secs(45);
/// A step that failed at Zoho is tried again after a quarter of an hour at the latest.
const TRIED_AGAIN: Duration = Duration::from_secs(16 * 60);
/// A takeover with its looks, and a pass.
pub const JUST_DECLARED: Duration = Duration::from_secs(180);
/// From one audit to the next.
pub const AUDITED: Duration = Duration::from_secs(3600 + 180);
const STRETCHES_MAX: usize = 500;
