//! The words of a member to its own process: what it owns, and how the cluster looks from here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::Revision;
use crate::model::channel::AccountName;

use super::charge::Charge;
use super::keys::{Fence, MemberId, Out};
use super::pulse::Rhythm;

/// The fate of this member's charges, in the order in which it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// These are ours: whatever is written for them goes with the fence.
    Gained(Vec<(Charge, Fence)>),
    /// These are to be let go of: the pass ends, the store flushes, and a [`Released`] is answered.
    /// Until then they are ours.
    Lose(Vec<Charge>),
    /// A former owner of these, which are ours, sent a request late: they are to be looked at.
    LookAgain(Vec<AccountName>),
    /// These are not ours any more: nothing of them is written, and nothing is answered.
    Lost(Vec<Charge>),
}

/// The daemon has let go of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    /// Which.
    pub charge: Charge,
    /// The epoch of the fence with which it was gained: an answer that comes late says nothing of a
    /// later claim.
    pub epoch: Revision,
}

/// How this member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is not a member yet.
    #[default]
    Joining,
    /// It is one, and waits a while before it is given anything.
    Calm,
    /// It owns, and writes.
    Active,
    /// Its last answered beat is too old to begin a write.
    Suspended,
    /// That has lasted for a while: whatever the others took over they have looked at by now.
    Alone,
    /// The others took it for dead; it joins anew.
    Evicted,
    /// Somebody put its node out: it is given nothing.
    Out,
    /// It gives everything away, because the process ends.
    Draining,
    /// It has given everything away and left.
    Left,
    /// It does not join: the data in the engine is of another cluster than its own notes say.
    Foreign,
    /// It does not join: what the others may write is of a later layout than it reads.
    Outdated,
}

/// The cluster, as it looks from here. Times are of the clock that goes on while the machine
/// sleeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// This member; `None` before its first look.
    pub me: Option<MemberId>,
    /// How it stands.
    pub standing: Standing,
    /// How old its last answered beat is for a member. `None` while it is none.
    pub rhythm: Option<Rhythm>,
    /// Until when it may write.
    pub deadline: Duration,
    /// Since when the engine does not answer, and its last words.
    pub unreachable: Option<(Duration, String)>,
    /// All members, as they were last read.
    pub members: BTreeMap<MemberId, MemberView>,
    /// Who owns what is declared here.
    pub owners: Arc<BTreeMap<Charge, MemberId>>,
    /// The charges that are declared here and have no living owner, and since when.
    pub unowned: BTreeMap<Charge, Duration>,
    /// The nodes that somebody put out.
    pub outs: BTreeMap<String, Out>,
    /// The name of the data in the engine. Whoever keeps it hands it in at the next start.
    pub incarnation: Option<String>,
    /// The layout of accounts that everybody may write.
    pub layout: Option<u32>,
    /// How often the engine's data turned out to be older than what was seen of it, or another.
    pub restored: u64,
}

/// One member in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// When it was last seen to beat.
    pub changed: Duration,
    /// It may be given something.
    pub settled: bool,
    /// It gives everything away.
    pub draining: bool,
    /// Its release.
    pub version: String,
    /// The generation of the config that it has in force; 0 for none.
    pub generation: u64,
    /// How many of what is declared here it owns.
    pub owns: usize,
}
