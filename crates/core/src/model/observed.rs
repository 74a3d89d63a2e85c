//! Channels as Zoho shows them.
//!
//! A row of Zoho's list is one (channel, module) pair, and a channel's rows may stand on two pages
//! (v7 *Get Notification Details*). Merged, they are one [`Observed`]. Rows of one channel that
//! disagree, about the URL say, are kept as they are: a set with two members equals no spec, so
//! disagreement is drift by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::channel::{ChannelId, NotifyUrl, Spec};
use super::condition;
use super::events::{Events, Operations};
use super::oddity::Oddity;
use super::org::OrgShown;
use super::secret::Fingerprint;
use super::small_set::SmallSet;
use super::time::Timestamp;
use super::version::Limits;

/// One row of Zoho's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The channel.
    pub id: ChannelId,
    /// The module's API name, shared by the rows of a page.
    pub module: Arc<str>,
    /// The operations that the row covers.
    pub operations: Operations,
    /// The URL that its deliveries go to.
    pub notify_url: Option<NotifyUrl>,
    /// Its token.
    pub token: TokenSeen,
    /// When it ends.
    pub expiry: Option<Timestamp>,
    /// True when related changes notify; `None` when the row does not say.
    pub notify_on_related_action: Option<bool>,
    /// True when deliveries carry values; `None` when the row does not say.
    pub return_affected_field_values: Option<bool>,
    /// Its conditions.
    pub conditions: condition::Seen,
    /// The parts of the row that no declaration can express.
    pub odd: Vec<Oddity>,
}

impl Row {
    /// The row without what it says of keys that are never sent: nothing could repair them.
    #[must_use]
    pub fn within(self, limits: Limits) -> Row {
        let Limits { related_actions, affected_values, conditions, .. } = limits;
        Row {
            notify_on_related_action: self.notify_on_related_action.filter(|_| related_actions),
            return_affected_field_values: self
                .return_affected_field_values
                .filter(|_| affected_values),
            conditions: if conditions { self.conditions } else { condition::Seen::Unsaid },
            ..self
        }
    }
}

/// The token as a row shows it. The value itself is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenSeen {
    /// The row has no such key.
    Unsaid,
    /// It is null or empty.
    Null,
    /// It is set, and this is its fingerprint.
    Set(Fingerprint),
}

impl TokenSeen {
    /// The token of a channel that is as declared.
    fn of(spec: &Spec) -> TokenSeen {
        let token = spec.token.as_ref();
        token.map_or(TokenSeen::Null, |token| TokenSeen::Set(token.fingerprint()))
    }
}

/// One channel, its rows merged.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Observed {
    /// The events covered, over all rows.
    pub events: Events,
    /// The URLs that deliveries go to: one, unless the rows disagree.
    pub notify_urls: SmallSet<NotifyUrl>,
    /// The tokens: one, unless the rows disagree.
    pub tokens: SmallSet<TokenSeen>,
    /// The earliest end of its rows.
    pub expiry: Option<Timestamp>,
    /// The flag for related changes, over all rows.
    pub notify_on_related_action: SmallSet<bool>,
    /// The flag for values, over all rows.
    pub return_affected_field_values: SmallSet<bool>,
    /// The conditions, over all rows.
    pub conditions: SmallSet<condition::Seen>,
    /// The parts of its rows that no declaration can express.
    pub odd: SmallSet<Oddity>,
}

impl Observed {
    /// Merges one more row in.
    pub fn add(&mut self, row: Row) {
        let Row {
            id: _,
            module,
            operations,
            notify_url,
            token,
            expiry,
            notify_on_related_action,
            return_affected_field_values,
            conditions,
            odd,
        } = row;
        self.events.insert(module, operations);
        self.notify_urls.extend(notify_url);
        self.tokens.insert(token);
        self.expiry = match (self.expiry, expiry) {
            (Some(held), Some(new)) => Some(held.min(new)),
            (held, new) => held.or(new),
        };
        self.notify_on_related_action.extend(notify_on_related_action);
        self.return_affected_field_values.extend(return_affected_field_values);
        self.conditions.insert(conditions);
        self.odd.extend(odd);
    }

    /// A channel exactly as declared, ending at `expiry`: what the next look should find after an
    /// accepted write.
    pub fn as_declared(spec: &Spec, expiry: Option<Timestamp>) -> Observed {
        Observed {
            events: spec.events.clone(),
            notify_urls: [spec.notify_url.clone()].into(),
            tokens: [TokenSeen::of(spec)].into(),
            expiry,
            notify_on_related_action: [spec.notify_on_related_action].into(),
            return_affected_field_values: [spec.return_affected_field_values].into(),
            conditions: [condition::Seen::Known(spec.conditions.clone())].into(),
            odd: SmallSet::default(),
        }
    }

    /// True when it is [as declared](Observed::as_declared), whenever it ends.
    pub fn is_as_declared(&self, spec: &Spec) -> bool {
        let Observed {
            events,
            notify_urls,
            tokens,
            expiry: _,
            notify_on_related_action,
            return_affected_field_values,
            conditions,
            odd,
        } = self;
        let is_declared = |seen: &condition::Seen| match seen {
            condition::Seen::Known(known) => *known == spec.conditions,
            condition::Seen::Unsaid | condition::Seen::Opaque => false,
        };
        *events == spec.events
            && notify_urls.only() == Some(&spec.notify_url)
            && tokens.only() == Some(&TokenSeen::of(spec))
            && notify_on_related_action.only() == Some(&spec.notify_on_related_action)
            && return_affected_field_values.only() == Some(&spec.return_affected_field_values)
            && conditions.only().is_some_and(is_declared)
            && odd.is_empty()
    }
}

/// Rows merged by channel.
pub fn merge(rows: impl IntoIterator<Item = Row>) -> BTreeMap<ChannelId, Observed> {
    let mut channels: BTreeMap<ChannelId, Observed> = BTreeMap::new();
    for row in rows {
        channels.entry(row.id).or_default().add(row);
    }
    channels
}

/// The rows of a list that are no channel that can be declared, and the ids of its modules.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Beside {
    /// Rows whose channel ids cannot be declared: they are somebody else's.
    pub strangers: Vec<Stranger>,
    /// The org that answered.
    pub org: OrgShown,
}

/// A row whose channel id is none that can be declared: a UUID, a word, a negative number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The id as Zoho has it.
    pub id: String,
    /// Its events, as Zoho has them.
    pub events: Vec<String>,
}

/// The result of a look at one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// The whole list was read. A channel that is not in it is absent.
    Seen {
        /// The channels by id.
        channels: BTreeMap<ChannelId, Observed>,
        /// When, by the local clock.
        at: Timestamp,
        /// The rest of what the list showed.
        beside: Beside,
    },
    /// The look failed, and why. Nothing is absent.
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(module: &str, url: &str, expiry: &str) -> Row {
        Row {
            id: ChannelId::new(1).unwrap(),
            module: module.into(),
            operations: Operations::ALL,
            notify_url: Some(NotifyUrl::new(url)),
            token: TokenSeen::Null,
            expiry: Some(expiry.parse().unwrap()),
            notify_on_related_action: Some(true),
            return_affected_field_values: None,
            conditions: condition::Seen::Known(Vec::new()),
            odd: Vec::new(),
        }
    }

    #[test]
    fn rows_of_one_channel_become_one_and_the_earliest_end_counts() {
        let rows = [
            row("Deals", "https://a.example", "2026-01-02T00:00:00Z"),
            row("Leads", "https://a.example", "2026-01-01T23:00:00Z"),
        ];
        let merged = merge(rows);
        let observed = &merged[&ChannelId::new(1).unwrap()];
        assert_eq!(observed.events.to_string(), "Deals.all, Leads.all");
        assert_eq!(observed.notify_urls.len(), 1);
        assert_eq!(observed.expiry, Some("2026-01-01T23:00:00Z".parse().unwrap()));
    }

    #[test]
    fn whatever_differs_from_the_declaration_is_not_as_declared() {
        let spec = crate::testing::spec(1);
        let declared = Observed::as_declared(&spec, Some(Timestamp::UNIX_EPOCH));
        assert!(declared.is_as_declared(&spec));
        assert!(Observed { expiry: None, ..declared.clone() }.is_as_declared(&spec));
        let seen = declared.clone();
        let elsewhere = NotifyUrl::new("https://elsewhere.example");
        let differing = [
            Observed { events: ["Leads.edit"].into_iter().collect(), ..seen.clone() },
            Observed { notify_urls: [elsewhere.clone()].into(), ..seen.clone() },
            Observed { notify_urls: [elsewhere, spec.notify_url.clone()].into(), ..seen.clone() },
            Observed { tokens: [TokenSeen::Unsaid].into(), ..seen.clone() },
            Observed { notify_on_related_action: SmallSet::default(), ..seen.clone() },
            Observed { return_affected_field_values: [true, false].into(), ..seen.clone() },
            Observed { conditions: [condition::Seen::Opaque].into(), ..seen.clone() },
            Observed { odd: [Oddity::Fields].into(), ..seen },
        ];
        for observed in differing {
            assert!(!observed.is_as_declared(&spec), "{observed:?}");
            assert_ne!(observed, declared);
        }
    }

    #[test]
    fn rows_that_disagree_stay_told_apart() {
        let rows = [
            row("Deals", "https://a.example", "2026-01-02T00:00:00Z"),
            row("Leads", "https://b.example", "2026-01-02T00:00:00Z"),
        ];
        assert_eq!(merge(rows)[&ChannelId::new(1).unwrap()].notify_urls.len(), 2);
    }
}
