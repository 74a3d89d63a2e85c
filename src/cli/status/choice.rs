//! The part of a status that somebody asks for.

use anyhow::bail;
use clap::ValueEnum;

use crate::config::near::did_you_mean;
use crate::expose::health::Status;
use crate::expose::status::{AccountView, ChannelView, ReasonView, StatusView};
use crate::model::address::Address;

/// The choice; without one, everything is meant.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    pub(super) names: Vec<Address>,
    pub(super) account: Option<String>,
    pub(super) states: Vec<StateWord>,
    pub(super) not_covered: bool,
}

/// The states of channels, as words of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StateWord {
    /// Zoho has it as declared
    Covered,
    /// It was granted, and the last look at Zoho failed
    Unverified,
    /// Zoho has it otherwise than declared
    Drifted,
    /// Zoho does not have it, or it has ended
    Uncovered,
}

impl Choice {
    pub(super) fn is_some(&self) -> bool {
        let Choice { names, account, states, not_covered } = self;
        !names.is_empty() || account.is_some() || !states.is_empty() || *not_covered
    }

    /// The chosen part of a status: its channels, their accounts, and what is wrong with these. A
    /// name that nothing has is a mistake.
    pub(super) fn of(&self, mut status: StatusView) -> anyhow::Result<StatusView> {
        if !self.is_some() {
            return Ok(status);
        }
        self.check(&status)?;
        let is_by_channel = !self.states.is_empty() || self.not_covered;
        for account in &mut status.accounts {
            let name = account.name.clone();
            account.channels.retain(|channel| self.takes(&name, channel));
        }
        let is_named = |account: &AccountView| {
            self.account.as_ref() == Some(&account.name)
                || self.names.iter().any(|name| is_account(name, &account.name))
        };
        status.accounts.retain(|account| {
            !account.channels.is_empty() || (is_named(account) && !is_by_channel)
        });
        let is_shown = |reason: &ReasonView| match (&reason.account, &reason.channel) {
            (None, None) => true,
            (account, Some(channel)) => status.accounts.iter().any(|held| {
                account.as_ref().is_none_or(|account| *account == held.name)
                    && held.channels.iter().any(|one| one.name == *channel)
            }),
            (Some(account), None) => status.accounts.iter().any(|held| held.name == *account),
        };
        let reasons: Vec<ReasonView> =
            status.health.reasons.iter().filter(|reason| is_shown(reason)).cloned().collect();
        let channels = || status.accounts.iter().flat_map(|account| &account.channels);
        let of_channels = channels().map(|channel| channel.status);
        let worst = reasons.iter().map(|reason| reason.status).chain(of_channels).max();
        status.health.status = worst.unwrap_or(Status::Ok);
        status.health.gaps = channels().map(|channel| channel.gaps).sum();
        status.health.reasons = reasons;
        status.health.reasons_left_out = 0;
        Ok(status)
    }

    fn takes(&self, account: &str, channel: &ChannelView) -> bool {
        let Choice { names, account: wanted, states, not_covered } = self;
        let is_named = names.is_empty()
            || names.iter().any(|name| is_account(name, account) || is_it(name, account, channel));
        is_named
            && wanted.as_ref().is_none_or(|wanted| wanted == account)
            && (states.is_empty() || states.iter().any(|state| state.word() == channel.state))
            && !(*not_covered && channel.covered)
    }

    /// Each name has to be somebody's.
    fn check(&self, status: &StatusView) -> anyhow::Result<()> {
        let accounts: Vec<&str> = status.accounts.iter().map(|held| held.name.as_str()).collect();
        if let Some(wanted) = self.account.as_deref().filter(|name| !accounts.contains(name)) {
            let hint = did_you_mean(wanted, &accounts)
                .unwrap_or_else(|| format!(" (accounts: {})", accounts.join(", ")));
            bail!("no account is named {}{hint}", wanted.escape_debug());
        }
        for name in &self.names {
            let mut held = status.accounts.iter();
            let is_known = held.any(|held| {
                is_account(name, &held.name)
                    || held.channels.iter().any(|channel| is_it(name, &held.name, channel))
            });
            if !is_known {
                return Err(unknown(name, status));
            }
        }
        Ok(())
    }
}

impl StateWord {
    fn word(self) -> &'static str {
        match self {
            StateWord::Covered => "covered",
            StateWord::Unverified => "unverified",
            StateWord::Drifted => "drifted",
            StateWord::Uncovered => "uncovered",
        }
    }
}

fn is_account(name: &Address, account: &str) -> bool {
    name.account.is_none() && name.channel.as_str() == account
}

fn is_it(name: &Address, account: &str, channel: &ChannelView) -> bool {
    name.account.as_ref().is_none_or(|wanted| wanted.as_str() == account)
        && [channel.name.as_str(), channel.id.as_str()].contains(&name.channel.as_str())
}

fn unknown(name: &Address, status: &StatusView) -> anyhow::Error {
    let mut names: Vec<&str> = Vec::new();
    for held in &status.accounts {
        if name.account.as_ref().is_none_or(|wanted| wanted.as_str() == held.name) {
            names.extend(held.channels.iter().map(|channel| channel.name.as_str()));
        }
    }
    let accounts = status.accounts.iter().map(|held| held.name.as_str());
    if name.account.is_none() {
        names.extend(accounts.clone());
    }
    if let Some(wanted) = name.account.as_ref().filter(|_| names.is_empty()) {
        let hint = did_you_mean(wanted.as_str(), &accounts.collect::<Vec<_>>()).unwrap_or_default();
        return anyhow::anyhow!("no account is named {wanted}{hint}");
    }
    let hint = did_you_mean(name.channel.as_str(), &names).unwrap_or_default();
    anyhow::anyhow!("no account and no channel is named {name}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::report::ChannelState;

    #[test]
    fn every_state_can_be_asked_for() {
        let words: Vec<&str> =
            StateWord::value_variants().iter().map(|state| state.word()).collect();
        assert_eq!(words, ChannelState::ALL.map(ChannelState::word));
    }
}
