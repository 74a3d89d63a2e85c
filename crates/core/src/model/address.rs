//! `[ACCOUNT/]CHANNEL`: a channel as people name it, on the command line and over the socket.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::channel::{AccountName, BadName, ChannelId, ChannelName};

/// A channel by its name, or by its id where an id will do; with its account, or without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// The account, if it is said.
    pub account: Option<AccountName>,
    /// The channel.
    pub channel: ChannelName,
}

impl Address {
    /// Returns whether a channel of this account may be meant.
    pub fn is_of(&self, account: &AccountName) -> bool {
        self.account.as_ref().is_none_or(|wanted| wanted == account)
    }

    /// The channel as an id, if it is written so.
    pub fn id(&self) -> Option<ChannelId> {
        self.channel.as_str().parse().ok()
    }
}

impl FromStr for Address {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Address, BadName> {
        let Some((account, channel)) = text.split_once('/') else {
            return Ok(Address { account: None, channel: text.parse()? });
        };
        Ok(Address { account: Some(account.parse()?), channel: channel.parse()? })
    }
}

impl TryFrom<String> for Address {
    type Error = BadName;

    fn try_from(text: String) -> Result<Address, BadName> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { account, channel } = self;
        match account {
            Some(account) => write!(f, "{account}/{channel}"),
            None => write!(f, "{channel}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in ["orders", "acme/orders", "acme/1234567890123456"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "/", "acme/", "/orders", "a/b/c", "or ders", "acme/or\u{202e}ders"] {
            assert_eq!(text.parse::<Address>(), Err(BadName), "{text:?}");
        }
    }
}
