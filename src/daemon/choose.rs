//! Which accounts and channels a request means, by the names that people gave them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::near::did_you_mean;
use crate::model::address::Address;
use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::desired::AccountDesired;
use crate::reconcile::subject::Subject;

use super::fleet::Fleet;
use super::requests::Which;

/// A name that means nothing, or two things.
#[derive(Debug, thiserror::Error)]
pub enum UnknownName {
    /// No such account.
    #[error("no account is named {name}{hint}")]
    Account {
        /// The name as it was written.
        name: String,
        /// The names that may have been meant.
        hint: String,
    },
    /// No such channel.
    #[error("no channel is named {name}{hint}")]
    Channel {
        /// The name as it was written.
        name: Address,
        /// The names that may have been meant.
        hint: String,
    },
    /// No such account or channel.
    #[error("no account and no channel is named {name}{hint}")]
    Neither {
        /// The name as it was written.
        name: Address,
        /// The names that may have been meant.
        hint: String,
    },
    /// An account that cannot be worked on.
    #[error("account {0} cannot be used: {1}")]
    Unusable(AccountName, String),
    /// An account that another machine of the cluster holds, or nobody yet.
    #[error(
        "account {0} is not held by this machine: ask the daemon of the machine that holds it, \
         which `channelkeeper cluster status` names"
    )]
    Elsewhere(AccountName),
    /// All accounts, where this machine holds none of them.
    #[error(
        "this machine serves none of {0} accounts: ask the daemon of a machine that does, which \
         `channelkeeper cluster status` names"
    )]
    NoneHere(usize),
    /// A name that is an account's and a channel's.
    #[error(
        "{0} is an account and a channel: write ACCOUNT/{0} for the channel, or give one of them \
         another name"
    )]
    Ambiguous(Address),
}

/// Some accounts, or one channel of one.
pub struct Chosen {
    /// The accounts.
    pub accounts: BTreeMap<AccountName, Arc<Subject>>,
    /// The one channel, if it is about one.
    pub channel: Option<ChannelId>,
}

impl Fleet {
    /// The accounts that a request is about.
    ///
    /// # Errors
    /// When there is no such account or channel, or it cannot be worked on.
    pub fn chosen(
        &self,
        which: &Which,
    ) -> Result<BTreeMap<AccountName, Arc<Subject>>, UnknownName> {
        if let Some(channel) = &which.channel {
            let (subject, _) = self.channel(channel)?;
            return Ok([(subject.name().clone(), subject.clone())].into());
        }
        match &which.account {
            Some(wanted) => self.account(wanted),
            None => match self.unusable.iter().next().filter(|_| self.subjects.is_empty()) {
                Some((name, why)) => Err(UnknownName::Unusable(name.clone(), why.clone())),
                None if self.subjects.is_empty() && !self.elsewhere.is_empty() => {
                    Err(UnknownName::NoneHere(self.elsewhere.len()))
                }
                None => Ok(self.subjects.clone()),
            },
        }
    }

    fn account(&self, wanted: &str) -> Result<BTreeMap<AccountName, Arc<Subject>>, UnknownName> {
        if let Some((name, why)) = self.unusable.iter().find(|(name, _)| name.as_str() == wanted) {
            return Err(UnknownName::Unusable(name.clone(), why.clone()));
        }
        if let Some(name) = self.elsewhere.keys().find(|name| name.as_str() == wanted) {
            return Err(UnknownName::Elsewhere(name.clone()));
        }
        let found = self.subjects.iter().find(|(name, _)| name.as_str() == wanted);
        let (name, subject) = found.ok_or_else(|| self.no_account(wanted))?;
        Ok([(name.clone(), subject.clone())].into())
    }

    /// No account has this name; the near one may have been meant.
    fn no_account(&self, wanted: &str) -> UnknownName {
        let names = self.subjects.keys().chain(self.unusable.keys()).chain(self.elsewhere.keys());
        let names: Vec<&str> = names.map(AccountName::as_str).collect();
        let hint = did_you_mean(wanted, &names)
            .unwrap_or_else(|| format!(" (accounts: {})", names.join(", ")));
        UnknownName::Account { name: wanted.to_owned(), hint }
    }

    /// The account that an address names, if nobody has one of that name.
    fn unknown_account<'a>(&self, address: &'a Address) -> Option<&'a AccountName> {
        address.account.as_ref().filter(|name| !self.declares(name))
    }

    /// A declared channel.
    ///
    /// # Errors
    /// When there is none.
    pub fn channel(&self, address: &Address) -> Result<(&Arc<Subject>, &Arc<Spec>), UnknownName> {
        self.find(address).ok_or_else(|| self.no_channel(address, &[]))
    }

    /// The account of another machine that declares a channel of this name.
    fn channel_elsewhere(&self, address: &Address) -> Option<&AccountName> {
        let accounts = self.elsewhere.iter().filter(|(name, _)| address.is_of(name));
        let has = |desired: &AccountDesired| {
            desired.specs.values().any(|spec| spec.name == address.channel)
        };
        accounts.filter(|(_, desired)| has(desired)).map(|(name, _)| name).next()
    }

    /// The account that declares the channel of an address, whoever holds it.
    pub fn account_of(&self, address: &Address) -> Option<AccountName> {
        let here = self.find(address).map(|(subject, _)| subject.name());
        let there = here.or_else(|| self.channel_elsewhere(address));
        let named = there.or_else(|| address.account.as_ref().filter(|name| self.declares(name)));
        named.cloned()
    }

    /// True when an address is an account's name.
    ///
    /// # Errors
    /// When it is both.
    pub fn is_account(&self, address: &Address) -> Result<bool, UnknownName> {
        let names = self.subjects.keys().chain(self.elsewhere.keys());
        let mut names = names.filter(|name| name.as_str() == address.channel.as_str());
        let is_account = address.account.is_none() && names.next().is_some();
        let is_channel = self.find(address).is_some() || self.channel_elsewhere(address).is_some();
        if is_account && is_channel {
            return Err(UnknownName::Ambiguous(address.clone()));
        }
        Ok(is_account)
    }

    /// The declared channel of an address, if there is one.
    fn find(&self, address: &Address) -> Option<(&Arc<Subject>, &Arc<Spec>)> {
        let subjects = self.subjects.values().filter(|subject| address.is_of(subject.name()));
        let mut declared = subjects
            .flat_map(|subject| subject.desired.specs.values().map(move |spec| (subject, spec)));
        declared.find(|(_, spec)| spec.name == address.channel)
    }

    /// No channel has this name; the nearest of those that are declared, and of these others, may
    /// have been meant.
    pub(super) fn no_channel(&self, address: &Address, others: &[&str]) -> UnknownName {
        if let Some(account) = self.unknown_account(address).filter(|_| others.is_empty()) {
            return self.no_account(account.as_str());
        }
        if let Some(account) = self.channel_elsewhere(address) {
            return UnknownName::Elsewhere(account.clone());
        }
        let mut names = self.channel_names(address);
        names.extend(others);
        let hint = did_you_mean(address.channel.as_str(), &names).unwrap_or_default();
        UnknownName::Channel { name: address.clone(), hint }
    }

    /// The names that a slip in this address may have been meant for.
    fn channel_names(&self, address: &Address) -> Vec<&str> {
        let here = self.subjects.iter().map(|(name, subject)| (name, &subject.desired));
        let declared = here.chain(&self.elsewhere).filter(|(name, _)| address.is_of(name));
        let specs = declared.flat_map(|(_, desired)| desired.specs.values());
        specs.map(|spec| spec.name.as_str()).collect()
    }

    /// The account or channel of this name, `ACCOUNT/CHANNEL`, or without a name everything.
    ///
    /// # Errors
    /// When there is none of that name, or two.
    pub fn target(&self, address: Option<&Address>) -> Result<Chosen, UnknownName> {
        let Some(address) = address else {
            return Ok(Chosen { accounts: self.chosen(&Which::default())?, channel: None });
        };
        let name = address.channel.as_str();
        if self.is_account(address)? {
            return Ok(Chosen { accounts: self.account(name)?, channel: None });
        }
        if let Some((subject, spec)) = self.find(address) {
            let accounts = [(subject.name().clone(), subject.clone())].into();
            return Ok(Chosen { accounts, channel: Some(spec.id) });
        }
        if let Some(account) = self.unknown_account(address) {
            return Err(self.no_account(account.as_str()));
        }
        if let Some(account) = self.channel_elsewhere(address) {
            return Err(UnknownName::Elsewhere(account.clone()));
        }
        let mut names = self.channel_names(address);
        if address.account.is_none() {
            let accounts = self.subjects.keys().chain(self.elsewhere.keys());
            names.extend(accounts.map(AccountName::as_str));
        }
        let hint = did_you_mean(name, &names).unwrap_or_default();
        Err(UnknownName::Neither { name: address.clone(), hint })
    }
}
