//! The troubles of a rehearsal and their times, as they are written on the command line.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, after, brief};
use crate::simulator::Fault;

use super::dice::Dice;

/// A minute of a rehearsal: `day 3 01:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(Duration);

/// Zoho is down: `day 3 01:00 for 7h`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    begins: Moment,
    length: Duration,
}

/// Something that happens to an account: `day 5 00:00`, of all of them; `day 5 00:00 of acme`, of
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blow {
    at: Moment,
    account: Option<AccountName>,
}

/// All of it, in no order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) outages: Vec<Outage>,
    pub(super) revocations: Vec<Blow>,
    pub(super) restorations: Vec<Blow>,
    pub(super) edits: Vec<Blow>,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// Zoho is down.
    Down { until: Timestamp, how: Fault },
    /// Zoho is back.
    Back,
    /// A refresh token is good no more.
    Revoke(Option<AccountName>),
    /// Somebody has got another one, and it is in force.
    Restore(Option<AccountName>),
    /// Somebody takes an event from a channel at Zoho.
    Edit(Option<AccountName>),
}

impl Trouble {
    /// When nothing was asked for: a night without Zoho, the third if there are so many.
    pub(super) fn usual(days: u32) -> Trouble {
        let begins = Moment(DAY * (days.min(3) - 1) + Duration::from_secs(3600));
        Trouble {
            outages: vec![Outage { begins, length: Duration::from_secs(7 * 3600) }],
            ..Trouble::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Trouble::default()
    }

    /// Refuses what would never come to pass: it is a slip, and a rehearsal without it would be
    /// believed.
    pub(super) fn check(&self, days: u32, accounts: &[&AccountName]) -> anyhow::Result<()> {
        let blows = || self.revocations.iter().chain(&self.restorations).chain(&self.edits);
        let moments =
            self.outages.iter().map(|outage| outage.begins).chain(blows().map(|blow| blow.at));
        if let Some(late) = moments.into_iter().find(|moment| moment.0 >= DAY * days) {
            bail!("{late} is after the last of {days} days: give more --days");
        }
        if let Some(unknown) =
            blows().filter_map(|blow| blow.account.as_ref()).find(|name| !accounts.contains(name))
        {
            let known: Vec<&str> = accounts.iter().map(|name| name.as_str()).collect();
            bail!("there is no account {unknown}: the config has {}", known.join(", "));
        }
        Ok(())
    }

    /// In the order in which it happens.
    pub(super) fn acts(&self, begins: Timestamp, dice: &mut Dice) -> Vec<(Timestamp, Act)> {
        let mut acts = Vec::new();
        for outage in &self.outages {
            let from = outage.begins.after(begins);
            let until = after(from, outage.length);
            acts.push((
                from,
                Act::Down { until, how: HOW[dice.below(HOW.len() as u64) as usize].0.clone() },
            ));
            acts.push((until, Act::Back));
        }
        let of = |blows: &[Blow], act: fn(Option<AccountName>) -> Act| -> Vec<(Timestamp, Act)> {
            blows.iter().map(|blow| (blow.at.after(begins), act(blow.account.clone()))).collect()
        };
        acts.extend(of(&self.revocations, Act::Revoke));
        acts.extend(of(&self.restorations, Act::Restore));
        acts.extend(of(&self.edits, Act::Edit));
        acts.sort_by_key(|(at, _)| *at);
        acts
    }

    /// One line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let outages = self
            .outages
            .iter()
            .map(|Outage { begins, length }| format!("{begins} for {}: an outage", brief(*length)));
        let of = |blows: &[Blow], what: &str| -> Vec<String> {
            let whose = |blow: &Blow| {
                blow.account.as_ref().map(|name| format!(" of {name}")).unwrap_or_default()
            };
            blows.iter().map(|blow| format!("{}{}: {what}", blow.at, whose(blow))).collect()
        };
        outages
            .chain(of(&self.revocations, "the refresh token is revoked"))
            .chain(of(&self.restorations, "a new refresh token is put in place"))
            .chain(of(&self.edits, "somebody takes an event from a channel"))
            .collect()
    }
}

/// How Zoho can be down, and what that looks like.
pub(super) const HOW: [(Fault, &str); 3] = [
    (Fault::Unavailable, "every call is answered with 503"),
    (Fault::Refused, "no connection is accepted"),
    (Fault::HangBefore, "no call is answered"),
];

impl Moment {
    fn after(self, begins: Timestamp) -> Timestamp {
        after(begins, self.0)
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minutes = self.0.as_secs() / 60;
        write!(f, "day {} {:02}:{:02}", minutes / 1440 + 1, minutes / 60 % 24, minutes % 60)
    }
}

impl FromStr for Moment {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Moment> {
        let parsed = || {
            let mut words = text.split_whitespace();
            let (day, time) =
                (words.next().filter(|word| *word == "day").and(words.next())?, words.next()?);
            let (hour, minute) = time.split_once(':')?;
            let (day, hour, minute): (u32, u32, u32) =
                (day.parse().ok()?, hour.parse().ok()?, minute.parse().ok()?);
            let fits = day >= 1 && hour < 24 && minute < 60 && words.next().is_none();
            fits.then(|| {
                Moment(DAY * (day - 1) + Duration::from_secs(u64::from(hour * 3600 + minute * 60)))
            })
        };
        parsed().context("not of the form \"day 3 01:00\"")
    }
}

impl FromStr for Outage {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Outage> {
        let (begins, length) =
            text.split_once(" for ").context("not of the form \"day 3 01:00 for 7h\"")?;
        let length = humantime::parse_duration(length.trim())
            .context("it must last so long as in \"for 7h\"")?;
        Ok(Outage { begins: begins.parse()?, length })
    }
}

impl FromStr for Blow {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Blow> {
        let (at, account) = text
            .split_once(" of ")
            .map_or((text, None), |(at, account)| (at, Some(account.trim())));
        let account = account
            .map(|name| name.parse().with_context(|| format!("\"{name}\" names no account")));
        Ok(Blow { at: at.parse()?, account: account.transpose()? })
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
