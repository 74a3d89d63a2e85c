//! Keys: text, with `/` between names that cannot hold one.

use std::fmt::Write;

use crate::model::channel::{AccountName, ChannelId, is_name};
use crate::model::secret::Fingerprint;

/// `ACCOUNT/ID`, the id with all its 19 digits.
pub(super) fn record(account: &AccountName, id: ChannelId) -> String {
    let name = account.as_str();
    let mut key = String::with_capacity(name.len() + 1 + ID_DIGITS);
    key.push_str(name);
    // Text takes whatever is written to it.
    let _written = write!(key, "/{:0ID_DIGITS$}", id.number());
    key
}

/// Returns whether this is the key of a record of this channel, in whichever account.
pub(super) fn is_of(key: &str, id: ChannelId) -> bool {
    let Some((account, digits)) = key.split_once('/') else { return false };
    let is_id = digits.len() == ID_DIGITS && digits.parse() == Ok(id);
    is_id && is_name(account)
}

/// `ACCOUNT/`: before every record of an account and of no other.
pub(super) fn records_of(account: &AccountName) -> String {
    format!("{account}/")
}

/// `ACCOUNT/FINGERPRINT`: of what became of the canaries to one URL.
pub(super) fn canaries(account: &AccountName, url: Fingerprint) -> String {
    format!("{account}/{:020}", url.0)
}

/// `ACCOUNT/NUMBER`: of a recovery.
pub(super) fn recovery(account: &AccountName, number: u64) -> String {
    format!("{account}/{number:020}")
}

/// `ACCOUNT/NUMBER/PLACE`: of one of its deliveries.
pub(super) fn item(account: &AccountName, number: u64, place: u64) -> String {
    format!("{}/{place:010}", recovery(account, number))
}

/// `ACCOUNT/PAGE`: of the rows of one page that was read.
pub(super) fn rows(account: &AccountName, page: u32) -> String {
    format!("{account}/{page:010}")
}

/// The account of a record's key.
pub(super) fn account_of(key: &[u8]) -> Option<AccountName> {
    std::str::from_utf8(key).ok()?.split_once('/')?.0.parse().ok()
}

/// Returns whether a key is one of an account's records.
pub(super) fn is_below(key: &[u8], account: &AccountName) -> bool {
    key.strip_prefix(account.as_str().as_bytes()).is_some_and(|rest| rest.starts_with(b"/"))
}

/// The account of any key of an account: its name, or one below it.
pub(super) fn owner_of(key: &[u8]) -> Option<AccountName> {
    std::str::from_utf8(key).ok()?.split('/').next()?.parse().ok()
}

/// The channel of a record's key.
pub(super) fn id_of(key: &[u8]) -> Option<ChannelId> {
    let number = std::str::from_utf8(key).ok()?.split_once('/')?.1.parse().ok()?;
    ChannelId::new(number).ok()
}

/// After every record of the account of this key, and before those of any later one.
pub(super) fn after_account_of(key: &[u8]) -> Vec<u8> {
    let account = key.split(|byte| *byte == b'/').next().unwrap_or_default();
    [account, &[b'/' + 1]].concat()
}

/// `GENERATION/`: before everything of one desired state.
pub(super) fn generation(generation: u64) -> String {
    format!("{generation:020}/")
}

/// The digits of an id in a key: those of the largest one.
const ID_DIGITS: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_sort_by_id_and_name_their_account() {
        let acme: AccountName = "acme".parse().unwrap();
        let key = |id: i64| record(&acme, ChannelId::new(id).unwrap());
        assert!(key(9) < key(10) && key(10) < key(i64::MAX));
        assert_eq!(account_of(key(9).as_bytes()), Some(acme.clone()));
        assert_eq!(id_of(key(10).as_bytes()), ChannelId::new(10).ok());
        assert!(key(1).starts_with(&records_of(&acme)));
        assert!(
            is_of(&key(9), ChannelId::new(9).unwrap())
                && !is_of(&key(9), ChannelId::new(10).unwrap())
        );
        assert!(!is_of("0000000000000000009", ChannelId::new(9).unwrap()));
    }
}
