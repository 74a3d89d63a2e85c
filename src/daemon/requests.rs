//! The requests: a type for each verb, which is also the body of its request over the socket.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::address::Address;
use crate::model::channel::AccountName;
use crate::model::time::Timestamp;

/// Which accounts a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// This one; all of them when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The account of this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Address>,
}

/// Everything as it stands.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct StatusRequest {}

/// How everything is, in few words.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct SummaryRequest {}

/// The channels in force whose renewal could not fail twice.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct SlackRequest {}

/// The plan at this instant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanRequest(pub Which);

/// The reasons why a channel is treated as it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// The channel: a name that is declared or remembered, or an id.
    pub channel: Address,
}

/// Which gaps are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapsRequest {
    /// Only the gaps of this channel, declared or not; all gaps when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Address>,
    /// Only gaps that had not ended then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Which gaps somebody has seen to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckRequest {
    /// Only the gaps of this channel, declared or not; all gaps when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Address>,
    /// Only gaps that had ended by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// One line, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The config file is put in force, and what follows from it is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Which accounts.
    #[serde(default)]
    pub which: Which,
    /// True when the removals that are held now are allowed.
    #[serde(default)]
    pub allow_removals: bool,
    /// True when channels that are all gone at once are to be enabled anew.
    #[serde(default)]
    pub accept_vanished: bool,
    /// True when a file is to be in force again that was before, on all machines that share it.
    #[serde(default)]
    pub rollback: bool,
    /// The checksum of the only plan that is to be carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// A new life now, due or not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RenewRequest(pub Which);

/// A declared channel that exists at Zoho becomes ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptRequest {
    /// The channel.
    pub channel: Address,
}

/// Nothing is written for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// An account or a channel; everything when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Address>,
    /// For how many seconds; until it is resumed when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// A pause ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// An account or a channel; everything when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Address>,
}

/// The config file is put in force.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReloadRequest {}

/// The plan of the accounts that a machine serves, by what is in force, or by a file of another
/// machine that is not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PlanPartRequest {
    /// Which accounts.
    #[serde(default)]
    pub which: Which,
    /// How that file declares them otherwise.
    #[serde(default)]
    pub proposal: Proposal,
}

/// The explanation of one channel of that same plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExplainPartRequest {
    /// The channel.
    pub channel: Address,
    /// How that file declares it otherwise.
    #[serde(default)]
    pub proposal: Proposal,
}

/// A file of another machine is to be in force, and what follows from it is done here.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ApplyPartRequest {
    /// The request as it was asked there, about this machine's portion.
    pub apply: ApplyRequest,
    /// The name of the content that is to be in force before.
    pub hash: String,
}

/// How a file that is not in force declares accounts otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The accounts that it declares otherwise, as they are shared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub declared: BTreeMap<AccountName, String>,
    /// The accounts that it leaves out.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<AccountName>,
}
