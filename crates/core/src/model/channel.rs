//! A channel as it should be: where it delivers to, what it covers, how it lives.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::backfill::BackfillRule;
use super::condition::Condition;
use super::declared::Declared;
use super::events::Events;
pub use super::name::{AccountName, BadChannelId, BadName, ChannelId, ChannelName, is_name};
use super::policy::Mode;
use super::rotation::Rotation;
use super::same_url;
use super::sanitize::plain;
use super::secret::{Fingerprint, Secret};
use super::time::Timestamp;

/// The URL that Zoho sends deliveries to. Its query string may carry a secret, so only
/// [`NotifyUrl::full`] and [`NotifyUrl::encoded`] show it. URLs that are the same are equal,
/// however they are spelled.
#[derive(Clone)]
pub struct NotifyUrl {
    full: Arc<str>,
    /// The text that it is compared by.
    canonical: Arc<str>,
}

impl NotifyUrl {
    /// Takes a URL that the config has checked, or one that Zoho answered.
    pub fn new(url: &str) -> NotifyUrl {
        let canonical = same_url::canonical(url);
        let full: Arc<str> = Arc::from(url);
        let is_same = *canonical == *full;
        let canonical = if is_same { Arc::clone(&full) } else { Arc::from(canonical) };
        NotifyUrl { full, canonical }
    }

    /// All of it, as it is spelled, to be sent.
    pub fn full(&self) -> &str {
        &self.full
    }

    /// All of it, with everything encoded that may not stand in a URL, as a config can say it.
    pub fn encoded(&self) -> String {
        same_url::encoded(&self.full)
    }

    /// The owner whose mark its query carries: `channelkeeper=OWNER`.
    pub fn mark(&self) -> Option<&str> {
        let query = self.query()?;
        query.split('&').find_map(|pair| pair.strip_prefix(MARK))
    }

    /// True when a channel that delivers to `seen` is the one that is to deliver here. Either it
    /// does so already, or it carries the same owner's mark, or it differs in the mark alone.
    pub fn claims(&self, seen: &NotifyUrl) -> bool {
        let by_mark = self.mark().is_some_and(|mark| match seen.mark() {
            Some(of_seen) => of_seen == mark,
            None => self.without_mark() == seen.without_mark(),
        });
        self == seen || by_mark
    }

    fn query(&self) -> Option<&str> {
        let place = self.canonical.split('#').next()?;
        Some(place.split_once('?')?.1)
    }

    fn without_mark(&self) -> String {
        let pairs = self.query().unwrap_or_default().split('&');
        let others: Vec<&str> = pairs.filter(|pair| !pair.starts_with(MARK)).collect();
        let place = self.canonical.split(['?', '#']).next().unwrap_or_default();
        format!("{place}?{}", others.join("&"))
    }

    /// A fingerprint that may be stored and compared in place of the URL.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&["url", &self.canonical])
    }

    /// From which character on it differs from another one, counted from 1.
    pub fn differs_at(&self, other: &NotifyUrl) -> usize {
        let same = self.full.chars().zip(other.full.chars()).take_while(|(one, two)| one == two);
        same.count() + 1
    }
}

impl PartialEq for NotifyUrl {
    fn eq(&self, other: &NotifyUrl) -> bool {
        self.canonical == other.canonical
    }
}

impl Eq for NotifyUrl {}

impl PartialOrd for NotifyUrl {
    fn partial_cmp(&self, other: &NotifyUrl) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NotifyUrl {
    fn cmp(&self, other: &NotifyUrl) -> Ordering {
        self.canonical.cmp(&other.canonical)
    }
}

impl Hash for NotifyUrl {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical.hash(state);
    }
}

/// Before the owner, in the query of a `notify_url` that is marked.
const MARK: &str = "channelkeeper=";

impl fmt::Display for NotifyUrl {
    /// Without user name, password, query and fragment, and plain: what Zoho answered may be
    /// anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url: String = self.full.chars().map(plain).collect();
        let (shown, hidden) = match url.find(['?', '#']) {
            Some(at) => (&url[..at], "?..."),
            None => (&url[..], ""),
        };
        match (shown.find("://"), shown.rfind('@')) {
            (Some(scheme), Some(at)) if at > scheme => {
                write!(f, "{}...{}{hidden}", &shown[..scheme + 3], &shown[at..])
            }
            _ => write!(f, "{shown}{hidden}"),
        }
    }
}

impl fmt::Debug for NotifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One desired channel, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The id at Zoho: derived, or given in the config.
    pub id: ChannelId,
    /// The name in the config.
    pub name: ChannelName,
    /// Where the config declares it.
    pub declared: Declared,
    /// The events that it covers.
    pub events: Events,
    /// The URL that deliveries go to.
    pub notify_url: NotifyUrl,
    /// The token that Zoho echoes in each delivery: the only proof of its origin. A rotating token
    /// is filled in by [`Spec::at`].
    pub token: Option<Secret>,
    /// How the token is made, if it rotates.
    pub rotation: Option<Rotation>,
    /// The life to ask for.
    pub lifetime: Duration,
    /// Renew when this much of its life is left; without it, at half of a granted life.
    pub renew_before: Option<Duration>,
    /// True when a change of a related record notifies too (Zoho's default is yes).
    pub notify_on_related_action: bool,
    /// True when deliveries carry the new values of the changed fields.
    pub return_affected_field_values: bool,
    /// Notify only when these fields changed; sorted.
    pub conditions: Vec<Condition>,
    /// How far the daemon may go with this channel.
    pub mode: Mode,
    /// How the events that it missed are handed over; none when they are not.
    pub backfill: Option<BackfillRule>,
}

impl Spec {
    /// The spec to write at an instant of Zoho's clock; `None` when that is the declared one.
    pub fn at(&self, zoho_now: Timestamp) -> Option<Spec> {
        let declared = self.rotation.as_ref()?;
        let generation = declared.written(self.id, zoho_now);
        let neighbours =
            [generation - 1, generation + 1].map(|beside| declared.token(self.id, beside)).to_vec();
        let token = Some(declared.token(self.id, generation));
        Some(Spec {
            token,
            rotation: Some(Rotation { neighbours, ..declared.clone() }),
            ..self.clone()
        })
    }

    /// The tokens that a receiver should accept at an instant of its own clock, the newest first.
    pub fn accepted_at(&self, at: Timestamp) -> Vec<Secret> {
        let Some(rotation) = &self.rotation else { return self.token.iter().cloned().collect() };
        let generation = rotation.generation(self.id, at);
        [generation, generation - 1].map(|generation| rotation.token(self.id, generation)).to_vec()
    }

    /// Over everything that is sent to Zoho, the expiry aside: a refusal holds for as long as this
    /// stays the same. A rotating token counts by its key: its generation changes nothing about a
    /// refusal.
    pub fn fingerprint(&self) -> Fingerprint {
        let Spec {
            id,
            name: _,
            declared: _,
            events,
            notify_url,
            token,
            rotation,
            lifetime,
            renew_before: _,
            notify_on_related_action,
            return_affected_field_values,
            conditions,
            mode: _,
            backfill: _,
        } = self;
        let secret = match rotation {
            Some(Rotation { key, every, neighbours: _ }) => {
                format!("{} {}", key.fingerprint(), every.as_secs())
            }
            None => token.as_ref().map_or("", Secret::expose).to_owned(),
        };
        let has_token = token.is_some() || rotation.is_some();
        Fingerprint::of(&[
            "spec",
            &id.to_string(),
            &events.to_string(),
            notify_url.full(),
            &secret,
            &lifetime.as_secs().to_string(),
            &format!("{notify_on_related_action} {return_affected_field_values} {has_token}"),
            &format!("{conditions:?}"),
        ])
    }
}

/// The channel and the expiry that a write asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The channel as declared.
    pub spec: Arc<Spec>,
    /// The expiry to ask for, in Zoho's time and whole seconds.
    pub expiry: Timestamp,
    /// The events to write in place of the declared ones, while Zoho refuses some of those.
    pub only: Option<Events>,
    /// True when the expiry is not sent, because Zoho refuses any: it gives its default life then.
    pub is_unsaid: bool,
}

impl Ask {
    /// The channel as it is declared.
    pub fn new(spec: Arc<Spec>, expiry: Timestamp) -> Ask {
        Ask { spec, expiry, only: None, is_unsaid: false }
    }

    /// The events to write.
    pub fn events(&self) -> &Events {
        self.only.as_ref().unwrap_or(&self.spec.events)
    }

    /// Declared events that are not written.
    pub fn left_out(&self) -> Events {
        self.spec.events.minus(self.events())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        let shown = |url: &str| NotifyUrl::new(url).to_string();
        assert_eq!(shown("https://h.example/zoho"), "https://h.example/zoho");
        assert_eq!(shown("https://h.example/zoho?key=s3cret"), "https://h.example/zoho?...");
        assert_eq!(shown("https://me:s3cret@h.example/zoho"), "https://...@h.example/zoho");
        assert_eq!(shown("https://h.example/a#s3cret"), "https://h.example/a?...");
        assert_eq!(shown("https://h.example/a\u{1b}[2J\n\u{202e}b"), "https://h.example/a [2J  b");
    }

    #[test]
    fn a_marked_url_claims_what_carries_its_mark_or_is_the_same_without_it() {
        let claims =
            |wanted: &str, seen: &str| NotifyUrl::new(wanted).claims(&NotifyUrl::new(seen));
        let marked = "https://h.example/new?a=1&channelkeeper=me";
        assert!(claims(marked, marked));
        assert!(claims(marked, "https://h.example/old?channelkeeper=me"));
        assert!(claims(marked, "https://h.example/new?a=1"));
        assert!(claims("https://h.example/?channelkeeper=me#x", "https://h.example/"));
        assert!(!claims(marked, "https://h.example/new?a=1&channelkeeper=other"));
        assert!(!claims(marked, "https://h.example/new?a=2"));
        assert!(!claims("https://h.example/new", "https://h.example/old"));
        assert!(!claims("https://h.example/new", "https://h.example/new?channelkeeper=me"));
    }
}
