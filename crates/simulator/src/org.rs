//! One Zoho org as the simulator keeps it: credentials, quotas, tokens, channels, and what happened
//! to them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::channel::{Channel, ORG_DIGITS};
use super::counters::Counters;
use super::knobs::Knobs;
use super::records::missed::MissedList;
use super::records::store::Records;
use super::records::subscribers::Subscribers;
use super::truth::IntervalLedger;
use crate::model::credits::Edition;
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
    /// Which quotas it has; none where no source names the editions of its product.
    pub edition: Option<Edition>,
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
            edition: product.edition(match product {
                Product::Bigin => "premier",
                Product::Crm | Product::Recruit | Product::Vertical => "enterprise",
            }),
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
    pub fn credits_per_day(&self, knobs: &Knobs) -> u64 {
        let users = knobs.users.unwrap_or(self.users);
        let by_edition = self.edition_by(knobs).map(|edition| edition.credits_per_day(users));
        self.credits.or(by_edition).unwrap_or(knobs.vertical_credits)
    }

    /// Calls that may be under way at once. Numbers are known for CRM alone (Kaizen #203).
    pub fn concurrency_max(&self, knobs: &Knobs) -> usize {
        let edition = self.edition_by(knobs).filter(|_| self.product.is_crm());
        let by_edition = edition.map(|edition| match edition.key {
            "free" => 5,
            "standard" | "starter" => 10,
            "professional" => 15,
            "enterprise" | "zoho-one" => 20,
            _ => 25,
        });
        self.concurrency.or(by_edition).unwrap_or(knobs.concurrency_elsewhere)
    }

    /// The edition that the knob names, where the product has it.
    fn edition_by(&self, knobs: &Knobs) -> Option<Edition> {
        let named = knobs.edition.as_deref().and_then(|key| self.product.edition(key));
        named.or(self.edition)
    }

    /// The scopes that its tokens have.
    pub(crate) fn scopes_by(&self, knobs: &Knobs) -> Vec<String> {
        let all = self.product.scope("ALL");
        let mut scopes = self.scopes.clone();
        if self.product == Product::Recruit && !knobs.recruit_all_scope && scopes.contains(&all) {
            scopes.retain(|scope| *scope != all);
            let single = self.product.traits().single_scopes;
            scopes.extend(single.iter().map(|suffix| self.product.scope(suffix)));
        }
        scopes
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
    /// When channels were made, for lists that lag.
    pub(crate) made_at: BTreeMap<i64, Timestamp>,
    /// The holdings of other orgs that the same credentials led to, by how the ids there begin.
    elsewhere: BTreeMap<String, Holdings>,
    pub(crate) ledger: IntervalLedger,
    pub(crate) subscribers: Subscribers,
    pub(crate) records: Records,
    pub(crate) missed: MissedList,
    pub(crate) counters: Counters,
    pub(crate) credits: OrgCredits,
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
            made_at: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            ledger: IntervalLedger::default(),
            subscribers: Subscribers::default(),
            records: Records::default(),
            missed: MissedList::default(),
            counters: Counters::default(),
            credits: OrgCredits::default(),
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
        if self.live(channel.id, now).is_none() {
            self.made_at.insert(channel.id, now);
        }
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
        self.made_at.retain(|id, _| self.channels.contains_key(id));
    }
}

/// Calls of the last 24 hours, counted by the minute.
#[derive(Debug, Default)]
pub(crate) struct OrgCredits {
    minutes: VecDeque<(i64, u64)>,
    used: u64,
}

impl OrgCredits {
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
        let quotas = |product, knobs: &Knobs| {
            let org = Org::of(product, "a");
            (org.credits_per_day(knobs), org.concurrency_max(knobs))
        };
        let knobs = Knobs::default();
        assert_eq!(quotas(Product::Crm, &knobs), (60_000, 20));
        assert_eq!(quotas(Product::Bigin, &knobs), (52_500, 10));
        assert_eq!(quotas(Product::Recruit, &knobs), (25_000, 10));
        assert_eq!(quotas(Product::Vertical, &knobs), (50_000, 10));
        let knobs = Knobs {
            edition: Some("professional".to_owned()),
            users: Some(20),
            vertical_credits: 7,
            ..knobs
        };
        assert_eq!(quotas(Product::Crm, &knobs), (60_000, 15));
        assert_eq!(quotas(Product::Bigin, &knobs), (55_000, 10), "Bigin has no such edition");
        assert_eq!(quotas(Product::Recruit, &knobs), (20_000, 10));
        assert_eq!(quotas(Product::Vertical, &knobs), (7, 10));
    }

    #[test]
    fn credits_come_back_after_a_day() {
        let start: Timestamp = "2026-01-01T00:00:30Z".parse().unwrap();
        let mut credits = OrgCredits::default();
        assert_eq!(credits.spend(1, start), 1);
        assert_eq!(credits.spend(1, start), 2);
        assert_eq!(credits.spend(1, time::after(start, Duration::from_secs(86_000))), 3);
        assert_eq!(credits.spend(1, time::after(start, Duration::from_secs(86_400))), 2);
    }
}
