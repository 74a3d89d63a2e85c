//! The part of a look that is kept between two passes.
//!
//! A channel that is as declared keeps only its expiry: its spec says the rest. Whole looks would
//! take most of the memory of a daemon that holds many channels. No decision is made from this: a
//! pass looks for itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::channel::{ChannelId, Spec};
use crate::model::observed::{Beside, Look, Observed, TokenSeen};
use crate::model::secret::{Fingerprint, Secret};
use crate::model::time::Timestamp;

/// A look at the declared channels of an account, in few words.
#[derive(Clone, Debug)]
pub enum LookKept {
    /// The list was read.
    Seen {
        /// Channels that are as declared, with their expiry.
        as_declared: BTreeMap<ChannelId, Option<Timestamp>>,
        /// The channels that differ from their declaration.
        otherwise: BTreeMap<ChannelId, Observed>,
        /// The time of the look.
        at: Timestamp,
    },
    /// It could not be read, and why.
    Unknown(String),
}

impl LookKept {
    /// The part to keep of a look. Channels that are not declared are left out.
    pub fn of(look: Look, specs: &BTreeMap<ChannelId, Arc<Spec>>) -> LookKept {
        let (channels, at) = match look {
            Look::Seen { channels, at, beside: _ } => (channels, at),
            Look::Unknown(why) => return LookKept::Unknown(why),
        };
        let (mut as_declared, mut otherwise) = (Vec::new(), BTreeMap::new());
        for (id, observed) in channels {
            match specs.get(&id) {
                Some(spec) if observed.is_as_declared(spec) => {
                    as_declared.push((id, observed.expiry));
                }
                Some(_) => {
                    otherwise.insert(id, observed);
                }
                None => {}
            }
        }
        // Made at once, a map has no room that it does not use.
        LookKept::Seen { as_declared: as_declared.into_iter().collect(), otherwise, at }
    }

    /// The token that deliveries of a declared channel carry at Zoho: `None` inside where they
    /// carry none, and outside where the look does not tell, or tells of several.
    pub fn token(&self, spec: &Spec) -> Option<Option<Fingerprint>> {
        let LookKept::Seen { as_declared, otherwise, at: _ } = self else { return None };
        if as_declared.contains_key(&spec.id) {
            return Some(spec.token.as_ref().map(Secret::fingerprint));
        }
        let mut tokens = otherwise.get(&spec.id)?.tokens.iter();
        match (tokens.next()?, tokens.next()) {
            (TokenSeen::Set(token), None) => Some(Some(*token)),
            (TokenSeen::Null, None) => Some(None),
            (TokenSeen::Set(_) | TokenSeen::Null | TokenSeen::Unsaid, _) => None,
        }
    }

    /// The look as far as it is about one declared channel.
    pub fn at(&self, spec: &Spec) -> Look {
        match self {
            LookKept::Unknown(why) => Look::Unknown(why.clone()),
            LookKept::Seen { as_declared, otherwise, at } => {
                let declared =
                    as_declared.get(&spec.id).map(|expiry| Observed::as_declared(spec, *expiry));
                let seen = declared.or_else(|| otherwise.get(&spec.id).cloned());
                Look::Seen {
                    channels: seen.map(|observed| (spec.id, observed)).into_iter().collect(),
                    at: *at,
                    beside: Beside::default(),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spec;

    #[test]
    fn of_a_declared_channel_it_says_what_the_look_said() {
        let at = Timestamp::UNIX_EPOCH;
        let as_declared = |id| (spec(id).id, Observed::as_declared(&spec(id), Some(at)));
        let edited = Observed { events: ["Leads.edit"].into_iter().collect(), ..as_declared(2).1 };
        let channels = BTreeMap::from([as_declared(1), (spec(2).id, edited), as_declared(9)]);
        let look = Look::Seen { channels: channels.clone(), at, beside: Beside::default() };
        let specs = [1, 2, 3].map(|id| (spec(id).id, Arc::new(spec(id)))).into();
        let gist = LookKept::of(look, &specs);
        for id in [1, 2, 3] {
            let seen = channels.get(&spec(id).id).map(|observed| (spec(id).id, observed.clone()));
            assert_eq!(
                gist.at(&spec(id)),
                Look::Seen { channels: seen.into_iter().collect(), at, beside: Beside::default() },
                "{id}"
            );
        }
        assert!(
            matches!(&gist, LookKept::Seen { otherwise, .. } if otherwise.len() == 1),
            "only what differs is kept whole"
        );
        assert_eq!(
            LookKept::of(Look::Unknown("HTTP 503".into()), &specs).at(&spec(1)),
            Look::Unknown("HTTP 503".into())
        );
    }

    #[test]
    fn the_token_is_the_declared_one_or_the_one_that_was_seen() {
        let at = Timestamp::UNIX_EPOCH;
        let declared = |id| Spec { token: Some(Secret::new("declared")), ..spec(id) };
        let (other, of_spec) = (Secret::new("other").fingerprint(), declared(1).token);
        let seen = |id, tokens: &[TokenSeen]| {
            let tokens = tokens.iter().copied().collect();
            (spec(id).id, Observed { tokens, ..Observed::as_declared(&declared(id), Some(at)) })
        };
        let channels = BTreeMap::from([
            (spec(1).id, Observed::as_declared(&declared(1), Some(at))),
            seen(2, &[TokenSeen::Set(other)]),
            seen(3, &[TokenSeen::Null]),
            seen(4, &[TokenSeen::Null, TokenSeen::Set(other)]),
        ]);
        let specs = (1..=5).map(|id| (spec(id).id, Arc::new(declared(id)))).collect();
        let kept = LookKept::of(Look::Seen { channels, at, beside: Beside::default() }, &specs);
        let expected = [
            Some(of_spec.as_ref().map(Secret::fingerprint)),
            Some(Some(other)),
            Some(None),
            None,
            None,
        ];
        let found = [1, 2, 3, 4, 5].map(|id| kept.token(&declared(id)));
        assert_eq!(found, expected);
    }
}
