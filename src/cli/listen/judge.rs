//! One delivery, held against the declared channels: pure, and what anybody may have sent.
//!
//! A receiver believes the token and nothing else. So what a delivery says of itself is judged in
//! this order: whose channel, whose token, and only then whether the channel is declared for it.
//! Nothing of its values is kept, and of its words only what could be a name or an id.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::backfill::freeze::MARK as RECOVERED;
use crate::daemon::canaries::MARK;
use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::desired::Desired;
use crate::model::events::Operation;
use crate::model::time::Timestamp;

/// The worth of a delivery; the first of two is worth more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// A declared channel, its token, and an event that it covers.
    Verified,
    /// A declared channel and an event that it covers; there is no token here to verify it by.
    ByIdOnly,
    /// A declared channel, its token, and a test of the daemon's own: nothing happened.
    Canary,
    /// A declared channel that does not cover this operation of this module.
    NotDeclared,
    /// A declared channel with another token.
    TokenWrong,
    /// A declared channel that has a token, and a delivery that has none.
    NoToken,
    /// No declared channel has this id.
    UnknownChannel,
}

impl Worth {
    /// Returns whether a channel of ours delivered, as far as can be told.
    pub(super) fn counts(self) -> bool {
        self <= Worth::ByIdOnly
    }

    /// Returns whether a receiver answers it with 200.
    pub(super) fn is_taken(self) -> bool {
        matches!(self, Worth::Verified | Worth::Canary)
    }
}

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Worth::Verified => "verified",
            Worth::Canary => "canary",
            Worth::ByIdOnly => "matched by channel_id only",
            Worth::NotDeclared => "not declared for this module",
            Worth::TokenWrong => "token wrong",
            Worth::NoToken => "no token",
            Worth::UnknownChannel => "unknown channel",
        })
    }
}

impl Serialize for Worth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One delivery, judged: one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct JudgedDelivery {
    /// When it came.
    pub(super) at: Timestamp,
    /// `account/name` of the channel; none when it is unknown.
    pub(super) channel: Option<String>,
    /// As it was sent, made plain.
    pub(super) channel_id: String,
    /// As it was sent, made plain.
    pub(super) module: String,
    /// As it was sent, made plain: `insert`, `update`, `delete`.
    pub(super) operation: String,
    /// The declared event that it matches, as in `Deals.edit`.
    pub(super) event: Option<String>,
    /// The first [`IDS_MAX`] records.
    pub(super) ids: Vec<String>,
    /// How many records there are besides.
    pub(super) more_ids: usize,
    /// The name of a recovered delivery, as it says itself; none when it is live.
    pub(super) recovered: Option<String>,
    /// The verdict on it.
    pub(super) verdict: Worth,
}

/// The declared channels by id. Two accounts may use the same.
#[derive(Debug, Default)]
pub(super) struct Expected {
    by_id: BTreeMap<ChannelId, Vec<ExpectedChannel>>,
}

/// One declared channel.
#[derive(Clone, Debug)]
pub(super) struct ExpectedChannel {
    /// Whose it is.
    pub(super) account: AccountName,
    /// As it is declared.
    pub(super) spec: Arc<Spec>,
}

/// The event that a delivery reports.
#[derive(Clone, Copy)]
enum Reported<'a> {
    /// Nothing: it is a test.
    Canary,
    /// This operation of this module.
    Event(&'a str, &'a str),
}

/// The body is no delivery: no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoDelivery;

impl Expected {
    /// Every channel of every account.
    pub(super) fn of(desired: &Desired) -> Expected {
        let mut declared = Expected::default();
        for (account, held) in &desired.accounts {
            for (id, spec) in &held.specs {
                let channel = ExpectedChannel { account: account.clone(), spec: spec.clone() };
                declared.by_id.entry(*id).or_default().push(channel);
            }
        }
        declared
    }

    /// Every channel, by account and name.
    pub(super) fn channels(&self) -> Vec<&ExpectedChannel> {
        let mut channels: Vec<&ExpectedChannel> = self.by_id.values().flatten().collect();
        channels.sort_by_key(|channel| (&channel.account, &channel.spec.name));
        channels
    }

    /// Judges the body of a delivery that came at `at`.
    pub(super) fn judge(&self, body: &[u8], at: Timestamp) -> Result<JudgedDelivery, NoDelivery> {
        let Ok(Value::Object(said)) = serde_json::from_slice(body) else { return Err(NoDelivery) };
        let text = |key: &str| said.get(key).map(text_of).unwrap_or_default();
        let (channel_id, module, operation) =
            (text("channel_id"), text("module"), text("operation"));
        let token = said.get("token").and_then(Value::as_str).filter(|token| !token.is_empty());
        let event = match said.get(MARK) {
            Some(Value::Bool(true)) => Reported::Canary,
            Some(_) | None => Reported::Event(&module, &operation),
        };
        let id = channel_id.parse().ok();
        let candidates =
            id.and_then(|id: ChannelId| self.by_id.get(&id)).map_or(&[][..], Vec::as_slice);
        let found = candidates
            .iter()
            .map(|channel| (channel.verdict(token, event, at), channel))
            .min_by_key(|(verdict, _)| *verdict);
        let params = said.get("query_params");
        let recovered = params.and_then(|params| params.get(RECOVERED)).map(text_of);
        let ids = said.get("ids").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        Ok(JudgedDelivery {
            at,
            channel: found.map(|(_, channel)| channel.to_string()),
            channel_id: plain(&channel_id),
            event: found.and_then(|(_, channel)| channel.event(&module, &operation)),
            module: plain(&module),
            operation: plain(&operation),
            ids: ids.iter().take(IDS_MAX).map(|id| plain(&text_of(id))).collect(),
            more_ids: ids.len().saturating_sub(IDS_MAX),
            recovered: recovered.map(|name| plain(&name)),
            verdict: found.map_or(Worth::UnknownChannel, |(verdict, _)| verdict),
        })
    }
}

impl ExpectedChannel {
    /// True when its deliveries can be verified here: it has a token, or the key of one, and that
    /// could be fetched.
    pub(super) fn has_usable_token(&self) -> bool {
        let key = self.spec.rotation.as_ref().map(|rotation| &rotation.key);
        self.spec.token.as_ref().or(key).is_some_and(|secret| !secret.expose().is_empty())
    }

    fn verdict(&self, given: Option<&str>, said: Reported<'_>, at: Timestamp) -> Worth {
        let proved = match given {
            _ if !self.has_usable_token() => Worth::ByIdOnly,
            None => return Worth::NoToken,
            // Every one is compared, whichever fits.
            Some(given) => {
                match self.spec.accepted_at(at).iter().filter(|own| own.is(given)).count() {
                    0 => return Worth::TokenWrong,
                    _ => Worth::Verified,
                }
            }
        };
        match said {
            Reported::Canary if proved == Worth::Verified => Worth::Canary,
            Reported::Canary => proved,
            Reported::Event(module, operation) if self.event(module, operation).is_some() => proved,
            Reported::Event(..) => Worth::NotDeclared,
        }
    }

    /// The declared event behind an operation as a delivery names it.
    fn event(&self, module: &str, operation: &str) -> Option<String> {
        let operation = Operation::delivered(operation)?;
        let covered = self.spec.events.of(module).contains(operation);
        covered.then(|| format!("{module}.{}", operation.as_str()))
    }
}

impl fmt::Display for ExpectedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.spec.name)
    }
}

impl fmt::Display for JudgedDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JudgedDelivery {
            at, channel, channel_id, module, operation, event, ids, more_ids, ..
        } = self;
        let JudgedDelivery { recovered, verdict, .. } = self;
        write!(f, "{at:.0}  ")?;
        match channel {
            Some(channel) => write!(f, "{channel}")?,
            None => write!(f, "channel_id {}", or_none(channel_id))?,
        }
        write!(f, "  {}  {}", or_none(module), or_none(operation))?;
        if let Some(event) = event {
            write!(f, " ({event})")?;
        }
        write!(f, "  ids {}", or_none(&ids.join(" ")))?;
        if *more_ids > 0 {
            write!(f, " and {more_ids} more")?;
        }
        write!(f, "  {verdict}")?;
        match recovered {
            Some(name) => write!(f, ", recovered ({})", or_none(name)),
            None => Ok(()),
        }
    }
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// A string or a number as text; nothing else can be a name or an id.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

/// The part of a text from anybody that may be shown: one word, as names and ids are.
fn plain(text: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '?' };
    text.chars().take(WORD_MAX).map(word).collect()
}

/// Records that a line names.
const IDS_MAX: usize = 10;
/// Characters of one name or id; no event is longer.
const WORD_MAX: usize = 128;

#[cfg(test)]
pub(super) mod tests;
