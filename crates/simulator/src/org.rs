//! One Zoho org as the simulator keeps it: credentials, quotas, tokens, channels, and what happened
//! to them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::channel::{Channel, ORG_DIGITS};
use super::counters::Counters;
use super::records::missed::MissedList;
use super::records::store::Records;
use super::records::subscribers::Subscribers;
use super::truth::Ledger;
use crate::model::product::Product;
use crate::model::time;

/// An org: who may come in, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Org {
    /// Its name in the simulator.
    pub name: String,
    /// The product that it is an org of.
    pub product: Product,
    /// The org's id, as in `soid=ZohoCRM.{org id}`.
    pub org_id: String,
    /// The OAuth client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Refresh tokens that are good from the start.
    pub refresh_tokens: Vec<String>,
    /// The scopes of its tokens.
    pub scopes: Vec<String>,
    /// Which quotas it has.
    pub edition: Edition,
    /// User licences, which raise the day's credits.
    pub users: u64,
    /// Credits in 24 hours, when not those of the edition.
    pub credits: Option<u64>,
    /// Calls at once, when not those of the edition.
    pub concurrency: Option<usize>,
}

impl Org {
    /// An org whose credentials follow from its name: client `1000.SIM{NAME}`, secret
    /// `secret-{name}`, refresh token `1000.refresh-{name}`.
    pub fn new(name: &str) -> Org {
        Org::of(Product::Crm, name)
    }

    /// The same for an org of another product.
    pub fn of(product: Product, name: &str) -> Org {
        Org {
            name: name.to_owned(),
            product,
            org_id: format!("org-{name}"),
            client_id: format!("1000.SIM{}", name.to_uppercase()),
            client_secret: format!("secret-{name}"),
            refresh_tokens: vec![format!("1000.refresh-{name}")],
            scopes: vec![product.scope("ALL")],
            edition: Edition::Enterprise,
            users: 10,
            credits: None,
            concurrency: None,
        }
    }

    /// Its portal, if it is an app of Vertical Solutions: it is called as the org is.
    pub fn portal(&self) -> Option<&str> {
        (self.product == Product::Vertical).then_some(self.name.as_str())
    }

    /// Credits in a rolling day.
    pub fn credits_per_day(&self) -> u64 {
        self.credits.unwrap_or_else(|| self.edition.credits(self.users))
    }

    /// Calls that may be under way at once.
    pub fn concurrency_max(&self) -> usize {
        self.concurrency.unwrap_or(self.edition.concurrency())
    }
}

/// A CRM edition, for its quotas (zoho.com/crm/developer/docs/api/v4/api-limits.html; Kaizen #203).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Edition {
    /// 5,000 credits, 5 calls at once.
    Free,
    /// 50,000 credits and 250 a user, at most 100,000; 10 calls at once.
    Standard,
    /// 50,000 credits and 500 a user, at most 3,000,000; 15 calls at once.
    Professional,
    /// 50,000 credits and 1,000 a user, at most 5,000,000; 20 calls at once.
    Enterprise,
    /// 50,000 credits and 2,000 a user; 25 calls at once.
    Ultimate,
}

impl Edition {
    /// Credits in a rolling day for so many users.
    pub fn credits(self, users: u64) -> u64 {
        match self {
            Edition::Free => 5_000,
            Edition::Standard => (50_000 + 250 * users).min(100_000),
            Edition::Professional => (50_000 + 500 * users).min(3_000_000),
            Edition::Enterprise => (50_000 + 1_000 * users).min(5_000_000),
            Edition::Ultimate => 50_000 + 2_000 * users,
        }
    }

    /// Calls that may be under way at once.
    pub const fn concurrency(self) -> usize {
        match self {
            Edition::Free => 5,
            Edition::Standard => 10,
            Edition::Professional => 15,
            Edition::Enterprise => 20,
            Edition::Ultimate => 25,
        }
    }
}

/// An access token that was given out.
#[derive(Clone, Debug)]
pub(crate) struct AccessToken {
    /// The token itself.
    pub(crate) value: String,
    /// The refresh token (or grant) that it came from.
    pub(crate) source: String,
    /// When it ends.
    pub(crate) expires: Timestamp,
    /// The scopes of the token.
    pub(crate) scopes: Vec<String>,
}

/// A device that waits for a person.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) user_code: String,
    pub(crate) scopes: String,
    pub(crate) ends: Timestamp,
    /// None until the person has answered.
    pub(crate) approved: Option<bool>,
    pub(crate) polled: Option<Timestamp>,
}

/// An org with everything that happened to it.
#[derive(Debug)]
pub(crate) struct OrgState {
    pub(crate) org: Org,
    pub(crate) channels: BTreeMap<i64, Channel>,
    /// How the ids of its modules begin.
    pub(crate) digits: String,
    /// What other orgs hold that the same credentials led to, by how the ids there begin.
    elsewhere: BTreeMap<String, Holdings>,
    pub(crate) ledger: Ledger,
    pub(crate) subscribers: Subscribers,
    pub(crate) records: Records,
    pub(crate) missed: MissedList,
    pub(crate) counters: Counters,
    pub(crate) credits: Credits,
    pub(crate) in_flight: usize,
    /// Oldest first; dead ones are kept until the next is given out, so that a late call still
    /// names its org.
    pub(crate) tokens: VecDeque<AccessToken>,
    /// When tokens were asked for, by refresh token; ten minutes of them.
    pub(crate) asked: BTreeMap<String, VecDeque<Timestamp>>,
    /// Grant codes not yet used, with their end.
    pub(crate) codes: BTreeMap<String, Timestamp>,
    /// Devices that wait for a person, by device code.
    pub(crate) devices: BTreeMap<String, Device>,
    /// Refresh tokens, oldest first.
    pub(crate) refresh_tokens: VecDeque<String>,
    /// How many tokens and codes were ever made here; makes the next one different.
    pub(crate) made: u64,
}

/// The things of an org that stay there when the credentials lead to another.
#[derive(Debug, Default)]
struct Holdings {
    channels: BTreeMap<i64, Channel>,
    subscribers: Subscribers,
    records: Records,
}

impl OrgState {
    pub(crate) fn new(org: Org) -> OrgState {
        OrgState {
            refresh_tokens: org.refresh_tokens.iter().cloned().collect(),
            org,
            channels: BTreeMap::new(),
            digits: ORG_DIGITS.to_owned(),
            elsewhere: BTreeMap::new(),
            ledger: Ledger::default(),
            subscribers: Subscribers::default(),
            records: Records::default(),
            missed: MissedList::default(),
            counters: Counters::default(),
            credits: Credits::default(),
            in_flight: 0,
            tokens: VecDeque::new(),
            asked: BTreeMap::new(),
            codes: BTreeMap::new(),
            devices: BTreeMap::new(),
            made: 0,
        }
    }

    /// The channel of this id, if it is live.
    pub(crate) fn live(&self, id: i64, now: Timestamp) -> Option<&Channel> {
        self.channels.get(&id).filter(|channel| channel.expiry > now)
    }

    /// Puts a channel in the place of what was there, and tells the ledger.
    pub(crate) fn put(&mut self, channel: Channel, now: Timestamp) {
        let before = self.channels.get(&channel.id);
        self.ledger.turn(before, Some(&channel), now);
        self.subscribers.turn(before, Some(&channel));
        self.channels.insert(channel.id, channel);
    }

    /// Takes a channel away, and tells the ledger.
    pub(crate) fn take(&mut self, id: i64, now: Timestamp) -> Option<Channel> {
        let channel = self.channels.remove(&id)?;
        self.ledger.turn(Some(&channel), None, now);
        self.subscribers.turn(Some(&channel), None);
        Some(channel)
    }

    /// Lets the credentials lead to another org, whose ids begin with these digits.
    pub(crate) fn switch(&mut self, digits: &str) {
        let Holdings { channels, subscribers, records } =
            self.elsewhere.remove(digits).unwrap_or_default();
        let left = Holdings {
            channels: std::mem::replace(&mut self.channels, channels),
            subscribers: std::mem::replace(&mut self.subscribers, subscribers),
            records: std::mem::replace(&mut self.records, records),
        };
        let former = std::mem::replace(&mut self.digits, digits.to_owned());
        self.elsewhere.insert(former, left);
    }

    /// Forgets channels that ended so long ago that no knob and no fault shows them any more.
    pub(crate) fn forget_expired(&mut self, now: Timestamp) {
        let horizon = time::before(now, EXPIRED_KEPT);
        self.channels.retain(|_, channel| channel.expiry > horizon);
    }
}

/// Calls of the last 24 hours, counted by the minute.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    minutes: VecDeque<(i64, u64)>,
    used: u64,
}

impl Credits {
    /// The credits used in the last 24 hours.
    pub(crate) fn used(&mut self, now: Timestamp) -> u64 {
        let minute = minute_of(now);
        while let Some((oldest, calls)) = self.minutes.front().copied() {
            if oldest > minute - MINUTES_PER_DAY {
                break;
            }
            self.minutes.pop_front();
            self.used -= calls;
        }
        self.used
    }

    /// Counts so many calls; gives what is used with them.
    pub(crate) fn spend(&mut self, calls: u64, now: Timestamp) -> u64 {
        self.used(now);
        let minute = minute_of(now);
        match self.minutes.back_mut() {
            Some((newest, made)) if *newest == minute => *made += calls,
            Some(_) | None => self.minutes.push_back((minute, calls)),
        }
        self.used += calls;
        self.used
    }
}

fn minute_of(now: Timestamp) -> i64 {
    now.as_second().div_euclid(60)
}

/// How long an expired channel is remembered, for GETs that show it by knob or by fault.
const EXPIRED_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const MINUTES_PER_DAY: i64 = 24 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_follow_from_the_name() {
        let org = Org::new("acme");
        assert_eq!(org.client_id, "1000.SIMACME");
        assert_eq!(org.client_secret, "secret-acme");
        assert_eq!(org.refresh_tokens, ["1000.refresh-acme"]);
    }

    #[test]
    fn quotas_are_those_of_the_edition() {
        assert_eq!(Edition::Free.credits(100), 5_000);
        assert_eq!(Edition::Standard.credits(1_000), 100_000);
        assert_eq!(Org::new("a").credits_per_day(), 60_000);
        assert_eq!(Org::new("a").concurrency_max(), 20);
    }

    #[test]
    fn credits_come_back_after_a_day() {
        let start: Timestamp = "2026-01-01T00:00:30Z".parse().unwrap();
        let mut credits = Credits::default();
        assert_eq!(credits.spend(1, start), 1);
        assert_eq!(credits.spend(1, start), 2);
        assert_eq!(credits.spend(1, time::after(start, Duration::from_secs(86_000))), 3);
        assert_eq!(credits.spend(1, time::after(start, Duration::from_secs(86_400))), 2);
    }
}
