//! The names by which accounts and channels are known: those of the config, and a channel's id at
//! Zoho.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::secret::Fingerprint;

/// A channel's id at Zoho: a positive 64-bit integer, which travels as a string of digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(i64);

/// The text is no channel id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a channel id is a whole number from 1 to 9223372036854775807")]
pub struct BadChannelId;

impl ChannelId {
    /// A channel id from a number, which must be positive.
    pub fn new(id: i64) -> Result<ChannelId, BadChannelId> {
        if id > 0 { Ok(ChannelId(id)) } else { Err(BadChannelId) }
    }

    /// The id of a channel that was not given one: the same for the same owner, account and name,
    /// for ever.
    ///
    /// It has 16 digits and stays below 2^53, so that a receiver written in JavaScript reads it
    /// exactly; real ids of Zoho's go up to 19 digits and do not.
    pub fn derived(owner: &str, account: &AccountName, name: &ChannelName) -> ChannelId {
        const FIRST: u64 = 1_000_000_000_000_000;
        const END: u64 = 1 << 53;
        let hash = Fingerprint::of(&["channel-id", owner, account.as_str(), name.as_str()]).0;
        ChannelId((FIRST + hash % (END - FIRST)) as i64)
    }

    /// The number.
    pub const fn number(self) -> i64 {
        self.0
    }
}

impl FromStr for ChannelId {
    type Err = BadChannelId;

    fn from_str(text: &str) -> Result<ChannelId, BadChannelId> {
        let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let id = if digits_only {
            text.parse().map_err(|_| BadChannelId)?
        } else {
            return Err(BadChannelId);
        };
        ChannelId::new(id)
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As text, so that no reader of JSON takes it for a number that it rounds.
impl Serialize for ChannelId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChannelId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ChannelId, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

/// Reads a text into what it says, without a copy of it.
struct FromText<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// A name that stands in the config, in logs and as a label: 1 to 64 letters, digits, `-`, `_` and
/// `.`, beginning with a letter or digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name is 1 to 64 letters, digits, \"-\", \"_\" and \".\", beginning with a letter or digit, \
         as in \"deal-sync\""
)]
pub struct BadName;

fn checked(text: &str) -> Result<Arc<str>, BadName> {
    if is_name(text) { Ok(Arc::from(text)) } else { Err(BadName) }
}

/// Returns whether a text is a name of an account or a channel.
pub fn is_name(text: &str) -> bool {
    let first_ok = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest_ok = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    first_ok && rest_ok && text.len() <= 64
}

/// The name of an account, unique in the config.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(Arc<str>);

/// The name of a channel, unique in the config over all accounts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Arc<str>);

impl AccountName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ChannelName {
    /// A name for a channel whose own name is unknown: its id.
    pub fn of_id(id: ChannelId) -> ChannelName {
        ChannelName(Arc::from(id.to_string()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<AccountName, BadName> {
        checked(text).map(AccountName)
    }
}

impl FromStr for ChannelName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<ChannelName, BadName> {
        checked(text).map(ChannelName)
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for AccountName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AccountName, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for ChannelName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChannelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ChannelName, D::Error> {
        deserializer.deserialize_str(FromText(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positive_digits_of_64_bits() {
        assert_eq!("9223372036854775807".parse::<ChannelId>().unwrap().number(), i64::MAX);
        for bad in ["", "0", "-1", "+1", "1.0", " 1", "9223372036854775808", "abc"] {
            assert_eq!(bad.parse::<ChannelId>(), Err(BadChannelId), "{bad:?}");
        }
    }

    #[test]
    fn a_derived_id_is_stable_and_readable_by_javascript() {
        let account = "acme".parse().unwrap();
        let id = ChannelId::derived("channelkeeper", &account, &"deal-sync".parse().unwrap());
        assert_eq!(
            id,
            ChannelId::derived("channelkeeper", &account, &"deal-sync".parse().unwrap())
        );
        assert_ne!(id, ChannelId::derived("other", &account, &"deal-sync".parse().unwrap()));
        assert_eq!(id.to_string().len(), 16);
        assert!(id.number() < 1 << 53);
    }

    #[test]
    fn names_are_plain() {
        assert!("deal-sync.2".parse::<ChannelName>().is_ok());
        for bad in ["", "-a", "a b", "a/b", "\u{e9}", &"x".repeat(65)] {
            assert!(bad.parse::<ChannelName>().is_err(), "{bad:?}");
        }
    }
}
