//! A channel: its names, its id, and what it should be.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::condition::Condition;
use super::declared::Declared;
use super::events::Events;
use super::policy::Mode;
use super::rotation::Rotation;
use super::same_url;
use super::sanitize::plain;
use super::secret::{Fingerprint, Secret};
use super::time::Timestamp;

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
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A name that stands in the config, in logs and as a label: 1 to 64 letters, digits, `-`, `_` and
/// `.`, beginning with a letter or digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name is 1 to 64 letters, digits, \"-\", \"_\" and \".\", beginning with a letter or digit, as in \"deal-sync\""
)]
pub struct BadName;

fn checked(text: &str) -> Result<Arc<str>, BadName> {
    let first_ok = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest_ok = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if first_ok && rest_ok && text.len() <= 64 { Ok(Arc::from(text)) } else { Err(BadName) }
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
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
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
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

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

    #[test]
    fn names_are_plain() {
        assert!("deal-sync.2".parse::<ChannelName>().is_ok());
        for bad in ["", "-a", "a b", "a/b", "\u{e9}", &"x".repeat(65)] {
            assert!(bad.parse::<ChannelName>().is_err(), "{bad:?}");
        }
    }
}
