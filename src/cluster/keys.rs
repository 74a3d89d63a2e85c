//! The keys that membership and claims have in the engine, and their values.
//!
//! Below `channelkeeper/NAME/`:
//!
//! | key | value | written by |
//! | --- | --- | --- |
//! | `meta/schema` | the layout of accounts that everybody may write: `1` | the first member, and whoever owns `@fleet` |
//! | `meta/incarnation` | a random text that names this data | the first member |
//! | `members/NODE-BOOT` | [`Card`] | the member; whoever evicts it deletes it |
//! | `claims/CHARGE` | [`Claim`] | the owner |
//! | `late/ACCOUNT` | who sent a request for it late | whoever did; the owner deletes it once it looks |
//! | `out/NODE` | [`Out`] | whoever puts a node out by hand, and deletes it |
//! | `reports/ACCOUNT`, `troubles/MEMBER` | see [`super::told`] | the machine that serves it; itself |
//! | `told` | what the alert webhook was told of accounts, and the last heartbeat | who claims the work of the fleet |
//! | `asks/MEMBER/ID`, `answers/MEMBER/ID` | see [`super::asks`] | who asks; who is asked |
//!
//! A *membership* is the revision at which a member's key was created, and an *epoch* the one at
//! which a claim was last written. Neither ever comes twice.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::{Guard, Revision};
use crate::model::channel::AccountName;
use crate::model::cluster::Layouts;
use crate::model::time::Timestamp;

use super::charge::Charge;

/// Makes keys, and reads them.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: String,
}

/// One process of one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    /// The node's name: a process that follows another on it gets the same accounts.
    pub node: String,
    /// A random text of the process, without a `-`.
    pub boot: String,
}

/// The words of a member about itself, with each beat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Counts the beats.
    pub beat: u64,
    /// The member has been there for a while, and may be given accounts.
    #[serde(default)]
    pub settled: bool,
    /// The member gives its accounts away.
    #[serde(default)]
    pub draining: bool,
    /// Its release.
    #[serde(default)]
    pub version: String,
    /// The accounts that it cannot serve.
    #[serde(default)]
    pub unfit: Unfit,
    /// The generation of the config that it has in force; 0 for none.
    #[serde(default)]
    pub generation: u64,
    /// The layouts that it reads.
    #[serde(default)]
    pub layouts: Layouts,
}

/// The accounts that a member cannot serve, for instance because it lacks their secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfit {
    /// So many that they are not listed: it is given nothing.
    #[serde(default)]
    all: bool,
    #[serde(default)]
    accounts: BTreeSet<AccountName>,
}

/// Who owns a charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The member.
    pub member: MemberId,
    /// When its key was created.
    pub membership: i64,
}

/// A node that is given nothing until somebody takes this back, whichever process runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Out {
    /// The node at which it was asked for.
    pub by: String,
    /// When that was, by its clock.
    pub at: Timestamp,
}

/// The proof of an owner: whoever commits with its guards writes as the owner, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    member: String,
    membership: Revision,
    claim: String,
    epoch: Revision,
}

impl Keys {
    /// Those of a cluster.
    pub fn new(cluster: &str) -> Keys {
        Keys { prefix: format!("channelkeeper/{cluster}/") }
    }

    /// The beginning of every key of the cluster.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The beginning of all members' keys.
    pub fn members(&self) -> String {
        format!("{}members/", self.prefix)
    }

    /// A member's key.
    pub fn member(&self, id: &MemberId) -> String {
        format!("{}members/{id}", self.prefix)
    }

    /// The beginning of all claims' keys.
    pub fn claims(&self) -> String {
        format!("{}claims/", self.prefix)
    }

    /// A claim's key.
    pub fn claim(&self, charge: &Charge) -> String {
        format!("{}claims/{charge}", self.prefix)
    }

    /// The beginning of the keys of accounts for which somebody sent late.
    pub fn lates(&self) -> String {
        format!("{}late/", self.prefix)
    }

    /// The key that says so of an account.
    pub fn late(&self, account: &AccountName) -> String {
        format!("{}late/{account}", self.prefix)
    }

    /// Whose it is, if it is one.
    pub fn late_of(&self, key: &str) -> Option<AccountName> {
        key.strip_prefix(&self.prefix)?.strip_prefix("late/")?.parse().ok()
    }

    /// The beginning of the keys of all nodes that are put out.
    pub fn outs(&self) -> String {
        format!("{}out/", self.prefix)
    }

    /// The key of a node that is put out.
    pub fn out(&self, node: &str) -> String {
        format!("{}out/{node}", self.prefix)
    }

    /// Which node this puts out, if it does.
    pub fn out_of(&self, key: &str) -> Option<String> {
        key.strip_prefix(&self.prefix)?.strip_prefix("out/").map(str::to_owned)
    }

    /// The beginning of the keys of all reports.
    pub fn reports(&self) -> String {
        format!("{}reports/", self.prefix)
    }

    /// The key of an account's report.
    pub fn report(&self, account: &AccountName) -> String {
        format!("{}reports/{account}", self.prefix)
    }

    /// Whose report this is, if it is one.
    pub fn report_of(&self, key: &str) -> Option<AccountName> {
        key.strip_prefix(&self.prefix)?.strip_prefix("reports/")?.parse().ok()
    }

    /// The beginning of the keys of all machines' own troubles.
    pub fn all_troubles(&self) -> String {
        format!("{}troubles/", self.prefix)
    }

    /// The key of a machine's own troubles.
    pub fn troubles(&self, of: &MemberId) -> String {
        format!("{}troubles/{of}", self.prefix)
    }

    /// Whose troubles these are, if they are.
    pub fn troubles_of(&self, key: &str) -> Option<MemberId> {
        key.strip_prefix(&self.prefix)?.strip_prefix("troubles/")?.parse().ok()
    }

    /// The key under which whoever tells for all notes what was told.
    pub fn told(&self) -> String {
        format!("{}told", self.prefix)
    }

    /// The beginning of the keys of all that is asked.
    pub fn all_asks(&self) -> String {
        format!("{}asks/", self.prefix)
    }

    /// The beginning of the keys of all that is asked of a member.
    pub fn asks(&self, of: &MemberId) -> String {
        format!("{}asks/{of}/", self.prefix)
    }

    /// The key of one question.
    pub fn ask(&self, of: &MemberId, id: &str) -> String {
        format!("{}asks/{of}/{id}", self.prefix)
    }

    /// The beginning of the keys of all answers.
    pub fn all_answers(&self) -> String {
        format!("{}answers/", self.prefix)
    }

    /// The beginning of the keys of all answers to a member.
    pub fn answers(&self, to: &MemberId) -> String {
        format!("{}answers/{to}/", self.prefix)
    }

    /// The key of one answer.
    pub fn answer(&self, to: &MemberId, id: &str) -> String {
        format!("{}answers/{to}/{id}", self.prefix)
    }

    /// The member that this is asked of, or that is answered with it.
    pub fn letter_of(&self, key: &str) -> Option<MemberId> {
        let key = key.strip_prefix(&self.prefix)?;
        let rest = key.strip_prefix("asks/").or_else(|| key.strip_prefix("answers/"))?;
        rest.split_once('/')?.0.parse().ok()
    }

    /// Where the layout is named.
    pub fn schema(&self) -> String {
        format!("{}meta/schema", self.prefix)
    }

    /// Where this data is named.
    pub fn incarnation(&self) -> String {
        format!("{}meta/incarnation", self.prefix)
    }

    /// Where the generation in force is named.
    pub fn current(&self) -> String {
        format!("{}desired/current", self.prefix)
    }

    /// The beginning of all keys of a generation's parts.
    pub fn parts(&self) -> String {
        format!("{}desired/blob/", self.prefix)
    }

    /// The key of a part of a generation.
    pub fn part(&self, name: &str) -> String {
        format!("{}desired/blob/{name}", self.prefix)
    }

    /// The name of the part, if this is the key of one.
    pub fn part_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.prefix)?.strip_prefix("desired/blob/")
    }

    /// Whose key this is, if it is a member's.
    pub fn member_of(&self, key: &str) -> Option<MemberId> {
        key.strip_prefix(&self.prefix)?.strip_prefix("members/")?.parse().ok()
    }

    /// Whose claim this is, if it is one.
    pub fn charge_of(&self, key: &str) -> Option<Charge> {
        key.strip_prefix(&self.prefix)?.strip_prefix("claims/")?.parse().ok()
    }

    /// The proof that this claim of this membership is still there.
    pub fn fence(
        &self,
        member: &MemberId,
        membership: Revision,
        charge: &Charge,
        epoch: Revision,
    ) -> Fence {
        let (member, claim) = (self.member(member), self.claim(charge));
        Fence { member, membership, claim, epoch }
    }
}

impl Fence {
    /// The guards of each commit of the owner.
    pub fn guards(&self) -> Vec<Guard> {
        vec![
            Guard::CreatedAt(self.member.clone(), self.membership),
            Guard::ModifiedAt(self.claim.clone(), self.epoch),
        ]
    }

    /// When the claim was written. Each later owner has a greater one.
    pub fn epoch(&self) -> Revision {
        self.epoch
    }
}

impl Unfit {
    /// Those accounts; all, when they are more than [`UNFIT_MAX`].
    pub fn of(accounts: BTreeSet<AccountName>) -> Unfit {
        if accounts.len() > UNFIT_MAX {
            Unfit { all: true, accounts: BTreeSet::new() }
        } else {
            Unfit { all: false, accounts }
        }
    }

    /// True when the member can serve this.
    pub fn leaves(&self, charge: &Charge) -> bool {
        !self.all && charge.account().is_none_or(|name| !self.accounts.contains(name))
    }
}

impl Card {
    /// The value of a member's key.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }
}

impl Claim {
    /// The value of a claim's key.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }
}

impl Out {
    /// The value of its key.
    pub fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.node, self.boot))
    }
}

impl FromStr for MemberId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<MemberId, &'static str> {
        let (node, boot) = text.rsplit_once('-').ok_or("a member is written NODE-BOOT")?;
        Ok(MemberId { node: node.to_owned(), boot: boot.to_owned() })
    }
}

impl Serialize for MemberId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemberId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<MemberId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// These values have text keys and no floats, so nothing in them can fail.
fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// A member that lacks more than so many accounts is given none, so that its beats stay small.
pub const UNFIT_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_made_and_values_as_they_are_written() {
        let keys = Keys::new("prod");
        let id = MemberId { node: "host-1.example".to_owned(), boot: "00ff".to_owned() };
        assert_eq!(keys.member(&id), "channelkeeper/prod/members/host-1.example-00ff");
        assert_eq!(keys.member_of(&keys.member(&id)).as_ref(), Some(&id));
        for charge in [Charge::Fleet, "acme".parse().unwrap()] {
            assert_eq!(keys.charge_of(&keys.claim(&charge)), Some(charge));
        }
        assert_eq!(keys.charge_of("channelkeeper/test/claims/acme"), None);
        let claim = Claim { member: id, membership: 7 };
        let text = String::from_utf8(claim.to_bytes()).unwrap();
        assert_eq!(text, r#"{"member":"host-1.example-00ff","membership":7}"#);
        assert_eq!(serde_json::from_str::<Claim>(&text).unwrap(), claim);
        let later = serde_json::from_str::<Card>(r#"{"beat":1,"of_a_later_release":true}"#);
        assert_eq!(later.unwrap(), Card { beat: 1, ..Card::default() });
    }

    #[test]
    fn a_member_that_lacks_too_many_accounts_is_given_none() {
        let name = |number: usize| format!("a{number}").parse::<AccountName>().unwrap();
        let few = Unfit::of((0..UNFIT_MAX).map(name).collect());
        assert!(few.leaves(&Charge::Account(name(UNFIT_MAX))) && few.leaves(&Charge::Fleet));
        assert!(!few.leaves(&Charge::Account(name(0))));
        let many = Unfit::of((0..=UNFIT_MAX).map(name).collect());
        assert!(!many.leaves(&Charge::Fleet) && many.accounts.is_empty());
    }
}
