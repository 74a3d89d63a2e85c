//! Drift is a difference between a spec and Zoho's copy of it, field by field.
//!
//! The expiry is never drift: it is the business of renewal. A field that Zoho's list leaves out
//! (an older version, a missing key) is taken to be as declared. A field in which the rows of one
//! channel disagree has drifted. Tokens are compared by fingerprint and shown as set or not set
//! only.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::channel::{NotifyUrl, Spec};
use crate::model::condition::{Condition, Seen};
use crate::model::events::Events;
use crate::model::observed::{Observed, TokenSeen};
use crate::model::secret::{Fingerprint, Secret};
use crate::model::small_set::SmallSet;

/// The difference of one field. Written down, it says what [`Drift`]'s text says: of URLs without
/// their queries, and of tokens in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drift {
    /// Events are covered that should not be, or the other way round.
    Events {
        /// Declared and not covered.
        missing: Events,
        /// Covered and not declared.
        extra: Events,
    },
    /// Deliveries go elsewhere.
    NotifyUrl {
        /// The URLs that they go to.
        #[serde(serialize_with = "shown_all", deserialize_with = "read_all")]
        seen: SmallSet<NotifyUrl>,
        /// The URL that they should go to.
        #[serde(serialize_with = "shown", deserialize_with = "read")]
        wanted: NotifyUrl,
    },
    /// Deliveries carry another token, or none, or one where none is declared.
    Token {
        /// In words, without the value.
        seen: Cow<'static, str>,
        /// In words, without the value.
        wanted: Cow<'static, str>,
    },
    /// Related changes notify, or do not.
    NotifyOnRelatedAction {
        /// The declared value.
        wanted: bool,
    },
    /// Deliveries carry values, or do not.
    ReturnAffectedFieldValues {
        /// The declared value.
        wanted: bool,
    },
    /// The conditions are others.
    Conditions {
        /// As one line each.
        seen: Vec<String>,
        /// As one line each.
        wanted: Vec<String>,
    },
}

/// A URL as it may be shown.
pub(super) fn shown<S: Serializer>(url: &NotifyUrl, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(url)
}

/// The same, read.
pub(super) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NotifyUrl, D::Error> {
    Ok(NotifyUrl::new(&String::deserialize(deserializer)?))
}

fn shown_all<S: Serializer>(urls: &SmallSet<NotifyUrl>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(urls.iter().map(ToString::to_string))
}

fn read_all<'de, D: Deserializer<'de>>(from: D) -> Result<SmallSet<NotifyUrl>, D::Error> {
    let urls = Vec::<String>::deserialize(from)?;
    Ok(urls.iter().map(|url| NotifyUrl::new(url)).collect())
}

/// Every field that differs, in a fixed order; empty when there is no drift.
pub fn drift(spec: &Spec, observed: &Observed) -> Vec<Drift> {
    let Observed {
        events,
        notify_urls,
        tokens,
        expiry: _,
        notify_on_related_action,
        return_affected_field_values,
        conditions,
        odd: _,
    } = observed;
    [
        events_drift(&spec.events, events),
        url_drift(&spec.notify_url, notify_urls),
        token_drift(spec, tokens),
        differs(notify_on_related_action, &spec.notify_on_related_action)
            .then_some(Drift::NotifyOnRelatedAction { wanted: spec.notify_on_related_action }),
        differs(return_affected_field_values, &spec.return_affected_field_values).then_some(
            Drift::ReturnAffectedFieldValues { wanted: spec.return_affected_field_values },
        ),
        conditions_drift(&spec.conditions, conditions),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Over the fields that differ and what is wanted of the spec: the same drift has the same
/// fingerprint.
pub fn fingerprint(spec: &Spec, drifts: &[Drift]) -> Fingerprint {
    let fields: Vec<&str> = drifts.iter().map(Drift::field).collect();
    Fingerprint::of(&["drift", &spec.fingerprint().to_string(), &fields.join(" ")])
}

impl Drift {
    /// The key of the field, as in the config and on the wire.
    pub const fn field(&self) -> &'static str {
        match self {
            Drift::Events { .. } => "events",
            Drift::NotifyUrl { .. } => "notify_url",
            Drift::Token { .. } => "token",
            Drift::NotifyOnRelatedAction { .. } => "notify_on_related_action",
            Drift::ReturnAffectedFieldValues { .. } => "return_affected_field_values",
            Drift::Conditions { .. } => "notification_condition",
        }
    }
}

impl Drift {
    /// True when declared deliveries do not arrive, or not as a receiver expects them. An extra
    /// event costs nothing; a wrong token makes a receiver throw everything away.
    pub fn loses_deliveries(&self) -> bool {
        match self {
            Drift::Events { missing, extra: _ } => !missing.is_empty(),
            Drift::NotifyUrl { .. } | Drift::Token { .. } | Drift::Conditions { .. } => true,
            Drift::NotifyOnRelatedAction { .. } | Drift::ReturnAffectedFieldValues { .. } => false,
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.field())?;
        match self {
            Drift::Events { missing, extra } => match (missing.is_empty(), extra.is_empty()) {
                (false, false) => write!(f, "missing {missing}; extra {extra}"),
                (false, true) => write!(f, "missing {missing}"),
                (true, _) => write!(f, "extra {extra}"),
            },
            Drift::NotifyUrl { seen, wanted } => {
                let shown: Vec<String> = seen.iter().map(NotifyUrl::to_string).collect();
                let hidden = seen.iter().find(|url| looks_like(url, wanted));
                write!(f, "{} instead of {wanted}", none_or(shown.join(" and ")))?;
                match hidden {
                    Some(url) => write!(
                        f,
                        " (they differ from character {} on, in what is not shown)",
                        url.differs_at(wanted)
                    ),
                    None => Ok(()),
                }
            }
            Drift::Token { seen, wanted } => write!(f, "{seen} instead of {wanted}"),
            Drift::NotifyOnRelatedAction { wanted }
            | Drift::ReturnAffectedFieldValues { wanted } => {
                write!(f, "{} instead of {wanted}", !wanted)
            }
            Drift::Conditions { seen, wanted } => {
                write!(f, "{} instead of {}", none_or(seen.join("; ")), none_or(wanted.join("; ")))
            }
        }
    }
}

/// True when another URL reads the same once its secrets are hidden.
fn looks_like(url: &NotifyUrl, wanted: &NotifyUrl) -> bool {
    url != wanted && url.to_string() == wanted.to_string()
}

fn none_or(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn events_drift(wanted: &Events, seen: &Events) -> Option<Drift> {
    if wanted == seen {
        return None;
    }
    let (missing, extra) = (wanted.minus(seen), seen.minus(wanted));
    Some(Drift::Events { missing, extra })
}

fn url_drift(wanted: &NotifyUrl, seen: &SmallSet<NotifyUrl>) -> Option<Drift> {
    differs(seen, wanted).then(|| Drift::NotifyUrl { seen: seen.clone(), wanted: wanted.clone() })
}

fn token_drift(spec: &Spec, seen: &SmallSet<TokenSeen>) -> Option<Drift> {
    let wanted = spec.token.as_ref();
    let set = |secret: &Secret| TokenSeen::Set(secret.fingerprint());
    let declared = wanted.map_or(TokenSeen::Null, set);
    // A token of the previous or next generation is not drift; the next renewal replaces it.
    let neighbours = spec.rotation.as_ref().map_or(&[][..], |rotation| &rotation.neighbours);
    let is_fine = |token: &TokenSeen| {
        *token == TokenSeen::Unsaid
            || *token == declared
            || neighbours.iter().any(|beside| set(beside) == *token)
    };
    let as_declared = seen.iter().all(is_fine);
    (!as_declared).then(|| Drift::Token {
        seen: token_words(seen, wanted.is_some()).into(),
        wanted: if wanted.is_some() { "the declared one" } else { "none" }.into(),
    })
}

fn token_words(seen: &SmallSet<TokenSeen>, one_is_declared: bool) -> &'static str {
    let said: Vec<TokenSeen> =
        seen.iter().copied().filter(|token| *token != TokenSeen::Unsaid).collect();
    match said.as_slice() {
        [TokenSeen::Null] => "none",
        [_] if one_is_declared => "another one",
        [_] => "one",
        _ => "different ones on its modules",
    }
}

fn conditions_drift(wanted: &[Condition], seen: &SmallSet<Seen>) -> Option<Drift> {
    let as_declared = seen.iter().all(|seen| match seen {
        Seen::Unsaid => true,
        Seen::Known(conditions) => conditions == wanted,
        Seen::Opaque => false,
    });
    (!as_declared).then(|| Drift::Conditions {
        seen: seen.iter().flat_map(describe).collect(),
        wanted: wanted.iter().map(Condition::describe).collect(),
    })
}

fn describe(seen: &Seen) -> Vec<String> {
    match seen {
        Seen::Unsaid => Vec::new(),
        Seen::Known(conditions) if conditions.is_empty() => vec!["none".to_owned()],
        Seen::Known(conditions) => conditions.iter().map(Condition::describe).collect(),
        Seen::Opaque => vec!["one that cannot be declared here".to_owned()],
    }
}

/// True when the rows say something else than exactly this. A row that says nothing does not
/// differ.
fn differs<T: Ord>(seen: &SmallSet<T>, wanted: &T) -> bool {
    seen.iter().any(|said| said != wanted)
}
