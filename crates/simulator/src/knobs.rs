//! The questions that the sources leave open, one field each; the default is the likeliest answer.
//!
//! In JSON an unknown key is an error, lengths are written as people write them (`"1d"`, `"90s"`),
//! and what is left out keeps its default.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::model::credits::Edition;
use crate::model::product::Product;
use crate::model::version::{ApiVersion, FALLBACK_LIFETIME};

pub use super::length::Length;
use super::records::knobs::RecordKnobs;

/// How this Zoho behaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// The zone in which expiries are echoed: an IANA name, or a fixed offset such as `-08:00`.
    /// Replies carry an offset that is not the request's (v7 samples; amp-labs/connectors
    /// #1602).
    pub zone: String,
    /// The most channels in one POST, PUT or PATCH: 100 in the prose and the SDKs, 50 in the
    /// OpenAPI file of v8.
    pub batch_max: usize,
    /// The longest life by version, where it is not what [`Product::limits`] says: `{"v6":
    /// "1d"}`, or `{"recruit/v2": "23h"}` for one product.
    pub version_limits: BTreeMap<String, Length>,
    /// The life of a channel that asked for none or for too much.
    pub fallback_lifetime: Length,
    /// The same for Bigin: one hour in the documents, two in recorded traffic.
    pub bigin_fallback_lifetime: Length,
    /// The same for Recruit, of which no source says it.
    pub recruit_fallback_lifetime: Length,
    /// True when an expiry may carry a fraction of a second (one integrator says it may not).
    pub fractions: Fractions,
    /// The result of an expiry in the past: a default life, in a reply that Zoho's own Postman
    /// collection keeps (v2.1, asked for 2018).
    pub past_expiry: PastExpiry,
    /// The result of an expiry that is too far away: a default life, as documented.
    pub past_maximum: PastMaximum,
    /// The effect of a PATCH without a token.
    pub patch: PatchToken,
    /// The effect of a PATCH on the events that it gives.
    pub patch_events: PatchEvents,
    /// The effect of a PATCH without an expiry.
    pub patch_expiry: PatchExpiry,
    /// True when PATCH refuses a channel without `events` (v7 page; Pipedream's client).
    pub patch_needs_events: bool,
    /// True when PATCH refuses a channel without `notify_url` (v6 to v8 pages say mandatory,
    /// production v2 does not).
    pub patch_needs_notify_url: bool,
    /// The effect of a POST of a live id on the channel that exists.
    pub post: PostLive,
    /// True when POST of a live id is refused instead.
    pub post_conflict: PostConflict,
    /// The result of `_delete_events` for an event that is not subscribed.
    pub delete_missing_event: MissingEvent,
    /// How long a GET still shows an expired channel.
    pub expired_shown: Length,
    /// How long a GET does not show a channel yet. A recorded list of Bigin's, four seconds after a
    /// POST, lacked the channel.
    pub list_lag: Length,
    /// The treatment of a key that no source shows for the product or the version.
    pub undocumented_keys: UndocumentedKeys,
    /// The version named in `resource_uri`: v2 whatever was called, in real v7 traffic.
    pub resource_version: String,
    /// The same for Bigin: v1 on a v2 call, in recorded traffic.
    pub bigin_resource_version: String,
    /// The status of Bigin's DELETE whose items all failed: 202, in an integrator's note.
    pub bigin_delete_status: u16,
    /// The status of a write whose items all failed: 400 in production, 202 in the older OpenAPI
    /// file.
    pub all_bad_status: u16,
    /// The status of a write whose items failed in part.
    pub partly_bad_status: u16,
    /// The status of an empty list: 204 without a body, or 200 with an empty one.
    pub empty_list_status: u16,
    /// The status of a method that the watch path does not have.
    pub bad_method_status: u16,
    /// The code of a 429.
    pub throttled_code: ThrottledCode,
    /// The code of a 401 for a dead access token.
    pub dead_token_code: DeadTokenCode,
    /// Seconds in the `Retry-After` of a 429; `null` sends none.
    pub retry_after_secs: Option<u32>,
    /// Calls that one address may make in a second, whatever their orgs; a 429 answers each more.
    /// `null` is no limit (none is documented).
    pub calls_per_second_max: Option<usize>,
    /// Rows on one page of a GET.
    pub page_max: usize,
    /// Zoho's own modules that can be watched, by API name. `CustomModule…` always can.
    pub modules: Vec<String>,
    /// Which other modules can be watched: custom ones may have any API name (`BTEC_Teachers`).
    pub custom_modules: CustomModules,
    /// The treatment of a condition whose ids differ from those of the names beside them. A v6 run
    /// with another org's ids was granted; the OpenAPI file of v8 has an error for it.
    pub condition_ids: ConditionIds,
    /// Characters in a token: 50 in the documents, 256 in the newer OpenAPI file.
    pub token_max: usize,
    /// Characters in a `notify_url`.
    pub notify_url_max: usize,
    /// Characters in the `channel_ids` of a DELETE; `null` is no limit (the newer OpenAPI file
    /// says 512).
    pub channel_ids_max: Option<usize>,
    /// Channels in an org, beyond which POST answers LIMIT_REACHED; `null` is no limit (none is
    /// documented).
    pub channels_max: Option<usize>,
    /// The life of an access token.
    pub access_token_life: Length,
    /// Access tokens that one refresh token gives in ten minutes.
    pub tokens_in_ten_minutes: usize,
    /// True when a refused token request counts towards that as well, so that retrying prolongs the
    /// refusal.
    pub throttle_prolonged: bool,
    /// Live access tokens of one refresh token; one more kills the oldest.
    pub live_tokens_max: usize,
    /// Refresh tokens of one org; one more kills the oldest.
    pub refresh_tokens_max: usize,
    /// The API's base in the token reply.
    pub api_domain: ApiDomain,
    /// The same for Recruit: documented, and not where Recruit answers.
    pub recruit_api_domain: ApiDomain,
    /// True when there is a scope ZohoRecruit.notifications.ALL, about which two sources disagree.
    pub recruit_all_scope: bool,
    /// The operations as Recruit's deliveries write them, which nobody has recorded.
    pub recruit_operations: DeliveredWords,
    /// True when Recruit's answers name the credits that are left, past half: nobody has seen it.
    pub recruit_credits_header: bool,
    /// The edition of every org whose product has it, by the config's word; `null` leaves each its
    /// own.
    pub edition: Option<String>,
    /// User licences of every org, which raise the credits of a day; `null` leaves each its own.
    pub users: Option<u64>,
    /// The credits of a day in Vertical Solutions, for which no source gives any.
    pub vertical_credits: u64,
    /// Calls at once in the products for which no source gives a number: all but CRM.
    pub concurrency_elsewhere: usize,
    /// True when the token reply names the scope.
    pub token_scope: bool,
    /// True when every token may list the modules, beside what its scopes say.
    pub modules_scope: bool,
    /// Who answers for the person when a device asks for access.
    pub device_answer: DeviceAnswer,
    /// How often a device may ask for its tokens.
    pub device_interval: Length,
    /// How long a device code can be approved.
    pub device_code_life: Length,
    /// The unit of `interval` and `expires_in` in the reply to a device: clients have seen
    /// milliseconds, where RFC 8628 has seconds.
    pub device_units: DeviceUnits,
    /// The data centre of the person who approves, as `"eu"`. A device that asks another one is
    /// told `other_dc`. `null`: whichever was asked.
    pub device_location: Option<String>,
    /// Every how manieth delivery is lost; 0 for none.
    pub deliveries_drop_every: u64,
    /// Every how manieth delivery is made twice; 0 for none.
    pub deliveries_duplicate_every: u64,
    /// True when the deliveries of one change go out in reverse.
    pub deliveries_reversed: bool,
    /// The questions about records.
    pub records: RecordKnobs,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            zone: "America/Los_Angeles".to_owned(),
            batch_max: 100,
            version_limits: BTreeMap::new(),
            fallback_lifetime: Length(FALLBACK_LIFETIME),
            bigin_fallback_lifetime: Length(Product::Bigin.traits().default_lifetime),
            recruit_fallback_lifetime: Length(Product::Recruit.traits().default_lifetime),
            fractions: Fractions::Refused,
            past_expiry: PastExpiry::OneHour,
            past_maximum: PastMaximum::Cut,
            patch: PatchToken::Docs,
            patch_events: PatchEvents::Replace,
            patch_expiry: PatchExpiry::Keep,
            patch_needs_events: true,
            patch_needs_notify_url: false,
            post: PostLive::Replace,
            post_conflict: PostConflict::None,
            delete_missing_event: MissingEvent::Success,
            expired_shown: Length(Duration::ZERO),
            list_lag: Length(Duration::ZERO),
            undocumented_keys: UndocumentedKeys::Ignored,
            resource_version: "v2".to_owned(),
            bigin_resource_version: "v1".to_owned(),
            bigin_delete_status: 202,
            all_bad_status: 400,
            partly_bad_status: 207,
            empty_list_status: 204,
            bad_method_status: 405,
            throttled_code: ThrottledCode::TooManyRequests,
            dead_token_code: DeadTokenCode::InvalidToken,
            retry_after_secs: None,
            calls_per_second_max: None,
            page_max: 200,
            modules: MODULES.map(str::to_owned).to_vec(),
            custom_modules: CustomModules::Any,
            condition_ids: ConditionIds::Ignored,
            token_max: 50,
            notify_url_max: 255,
            channel_ids_max: None,
            channels_max: None,
            access_token_life: Length(Duration::from_secs(3600)),
            tokens_in_ten_minutes: 10,
            throttle_prolonged: false,
            live_tokens_max: 15,
            refresh_tokens_max: 20,
            api_domain: ApiDomain::Own,
            recruit_api_domain: ApiDomain::Fixed("https://www.zohoapis.com".to_owned()),
            recruit_all_scope: true,
            recruit_operations: DeliveredWords::InsertUpdate,
            recruit_credits_header: false,
            edition: None,
            users: None,
            vertical_credits: 50_000,
            concurrency_elsewhere: 10,
            token_scope: false,
            modules_scope: false,
            device_answer: DeviceAnswer::Page,
            device_interval: Length(Duration::from_secs(5)),
            device_code_life: Length(Duration::from_secs(300)),
            device_units: DeviceUnits::Milliseconds,
            device_location: None,
            deliveries_drop_every: 0,
            deliveries_duplicate_every: 0,
            deliveries_reversed: false,
            records: RecordKnobs::default(),
        }
    }
}

/// A knob stands at a value that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKnob {
    /// `zone` is neither known nor an offset.
    #[error(
        "zone: \"{0}\" is neither a time zone of this machine nor an offset such as \"-08:00\""
    )]
    Zone(String),
    /// `version_limits` has a key that is no version.
    #[error("version_limits: \"{0}\" is no API version")]
    Version(String),
    /// `edition` names none.
    #[error("edition: \"{0}\" is an edition of no product")]
    Edition(String),
}

impl Knobs {
    /// Checks that every value means something.
    pub fn check(&self) -> Result<(), BadKnob> {
        self.time_zone().ok_or_else(|| BadKnob::Zone(self.zone.clone()))?;
        if let Some(version) = self.version_limits.keys().find(|key| !is_version(key)) {
            return Err(BadKnob::Version(version.clone()));
        }
        match self.edition.as_ref().filter(|key| !Edition::keys().contains(&key.as_str())) {
            Some(edition) => Err(BadKnob::Edition(edition.clone())),
            None => Ok(()),
        }
    }

    /// The longest life that this version grants.
    pub fn lifetime_max(&self, product: Product, version: ApiVersion) -> Duration {
        self.version_limits
            .get(&format!("{product}/{version}"))
            .or_else(|| self.version_limits.get(version.as_str()))
            .map_or(product.limits(version).lifetime_max, |length| length.0)
    }

    /// The life of a channel of this product that asked for none or for too much.
    pub const fn fallback_lifetime_of(&self, product: Product) -> Length {
        match product {
            Product::Bigin => self.bigin_fallback_lifetime,
            Product::Recruit => self.recruit_fallback_lifetime,
            Product::Crm | Product::Vertical => self.fallback_lifetime,
        }
    }

    /// The status of a DELETE whose items all failed.
    pub const fn disable_all_bad_status(&self, product: Product) -> u16 {
        match product {
            Product::Bigin => self.bigin_delete_status,
            Product::Crm | Product::Recruit | Product::Vertical => self.all_bad_status,
        }
    }

    /// `instant` as replies write it: whole seconds, with the offset that the zone has then.
    pub fn echo(&self, instant: Timestamp) -> String {
        let zone = self.time_zone().unwrap_or(TimeZone::UTC);
        instant.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// Returns whether a module of this product can be watched.
    pub fn watches(&self, product: Product, module: &str) -> bool {
        match product {
            Product::Crm | Product::Vertical => self.watches_in_crm(module),
            Product::Bigin | Product::Recruit => {
                let is_added =
                    !MODULES.contains(&module) && self.modules.iter().any(|known| known == module);
                product.traits().modules.contains(&module) || is_added
            }
        }
    }

    fn watches_in_crm(&self, module: &str) -> bool {
        module.starts_with("CustomModule")
            || self.modules.iter().any(|known| known == module)
            || (self.custom_modules == CustomModules::Any && is_custom_name(module))
    }

    fn time_zone(&self) -> Option<TimeZone> {
        match offset_seconds(&self.zone) {
            Some(seconds) => Some(TimeZone::fixed(jiff::tz::Offset::from_seconds(seconds).ok()?)),
            None => TimeZone::get(&self.zone).ok(),
        }
    }
}

/// True when a custom module can have this API name. A name that is nearly one of Zoho's own
/// cannot, whatever its case, in the singular, or as people see it.
fn is_custom_name(module: &str) -> bool {
    let starts_well = module.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_name = module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let shown = ["Meetings", "Price Books", "Sales Orders", "Purchase Orders"];
    let mut zohos = MODULES.iter().chain(&shown).map(|known| bare_name(known));
    starts_well && is_name && !zohos.any(|known| known == bare_name(module))
}

fn bare_name(module: &str) -> String {
    let letters = module.trim_end_matches("__s").chars().filter(char::is_ascii_alphanumeric);
    let name = letters.collect::<String>().to_ascii_lowercase();
    name.trim_end_matches('s').to_owned()
}

/// The seconds of `+HH:MM` or `-HH:MM`.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60))
}

/// `v6`, or `vertical/v6` of a product that has it.
pub fn is_version(key: &str) -> bool {
    match key.split_once('/') {
        None => key.parse::<ApiVersion>().is_ok(),
        Some((product, version)) => product
            .parse::<Product>()
            .is_ok_and(|product| version.parse().is_ok_and(|version| product.has(version))),
    }
}

/// Fractions of a second in an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fractions {
    /// INVALID_DATA.
    Refused,
    /// Cut off.
    Accepted,
}

/// An expiry in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastExpiry {
    /// INVALID_DATA.
    Refused,
    /// One hour, as for an expiry too far away.
    OneHour,
}

/// An expiry that is further away than the longest life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PastMaximum {
    /// One hour.
    Cut,
    /// INVALID_DATA, for the channel whose expiry it is.
    Refused,
    /// INVALID_DATA for the whole call, bare and without a place.
    RefusedWhole,
}

/// A key that no source shows for the product or the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UndocumentedKeys {
    /// As if it were not there.
    Ignored,
    /// INVALID_DATA.
    Refused,
}

/// The operations in a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveredWords {
    /// `insert`, `update` and `delete`, as CRM's and Bigin's.
    InsertUpdate,
    /// `create`, `edit` and `delete`, as events are written.
    CreateEdit,
}

/// Modules that are not Zoho's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomModules {
    /// Every name that an API name can be, but for misspellings of Zoho's own.
    Any,
    /// `CustomModule…` and what `modules` lists.
    Listed,
}

/// Module and field ids in a condition, beside names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionIds {
    /// The names count.
    Ignored,
    /// AMBIGUITY_DURING_PROCESSING where they disagree.
    Checked,
}

/// A token left out of a PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchToken {
    /// It stays, as documented.
    Docs,
    /// It becomes null, as Pipedream saw on v2.
    NullsToken,
}

/// The events of a PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchEvents {
    /// They take the place of those before.
    Replace,
    /// They join those before.
    Add,
}

/// An expiry left out of a PATCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchExpiry {
    /// It stays.
    Keep,
    /// It becomes one hour from now.
    OneHour,
}

/// POST of a live id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostLive {
    /// The new channel takes the old one's place.
    Replace,
    /// Events join those before, and what is left out stays.
    Merge,
}

/// The answer to a POST of a live id: no conflict, or the code of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PostConflict {
    /// It is none: Kaizen #170 renews channels this way.
    #[serde(rename = "none")]
    None,
    /// `DUPLICATE_DATA`, a code of SDK 2.x.
    DuplicateData,
    /// `ALREADY_USED`, a code of SDK 5.0 and later.
    AlreadyUsed,
}

/// `_delete_events` of an event that is not subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingEvent {
    /// As if it had been.
    Success,
    /// INVALID_DATA.
    InvalidData,
}

/// The code of a 429.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ThrottledCode {
    /// Kaizen #203.
    TooManyRequests,
    /// The newer OpenAPI file.
    RateLimitExceeded,
}

impl ThrottledCode {
    /// The word for it in the reply.
    pub const fn as_str(self) -> &'static str {
        match self {
            ThrottledCode::TooManyRequests => "TOO_MANY_REQUESTS",
            ThrottledCode::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
        }
    }
}

/// The code of a 401 for a dead access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeadTokenCode {
    /// Zoho's SDKs.
    InvalidToken,
    /// The page on token validity.
    InvalidOauthtoken,
}

impl DeadTokenCode {
    /// The word for it in the reply.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeadTokenCode::InvalidToken => "INVALID_TOKEN",
            DeadTokenCode::InvalidOauthtoken => "INVALID_OAUTHTOKEN",
        }
    }
}

/// Who answers when a device asks for access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceAnswer {
    /// A person, on the page.
    Page,
    /// Every device is approved at once.
    Approve,
    /// Every device is denied at once.
    Deny,
}

/// The unit of the two lengths in the reply to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceUnits {
    /// As clients have seen them.
    Milliseconds,
    /// As RFC 8628 has them.
    Seconds,
}

/// `api_domain` in the token reply. Zoho's SDKs go where it points at their next call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiDomain {
    /// The base that the token request was sent to.
    Own,
    /// No such key.
    Omitted,
    /// This one.
    Fixed(String),
}

/// The modules of the v7 list by API name, and `Notes` and `users`, which are watched in practice.
const MODULES: [&str; 22] = [
    "Leads",
    "Accounts",
    "Contacts",
    "Deals",
    "Campaigns",
    "Tasks",
    "Cases",
    "Events",
    "Calls",
    "Solutions",
    "Products",
    "Vendors",
    "Price_Books",
    "Quotes",
    "Sales_Orders",
    "Purchase_Orders",
    "Invoices",
    "Appointments__s",
    "Appointments_Rescheduled_History__s",
    "Services__s",
    "Notes",
    "users",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_read_back_and_an_empty_object_is_the_default() {
        let knobs: Knobs = serde_json::from_str("{}").unwrap();
        assert_eq!(knobs, Knobs::default());
        let text = serde_json::to_string(&knobs).unwrap();
        assert_eq!(serde_json::from_str::<Knobs>(&text).unwrap(), knobs);
    }

    #[test]
    fn an_unknown_knob_is_an_error() {
        assert!(serde_json::from_str::<Knobs>(r#"{"batchmax": 3}"#).is_err());
    }

    #[test]
    fn a_value_without_a_meaning_is_named() {
        let zone = Knobs { zone: "Mars/Olympus".to_owned(), ..Knobs::default() };
        assert_eq!(zone.check(), Err(BadKnob::Zone("Mars/Olympus".to_owned())));
        let limits: Knobs = serde_json::from_str(r#"{"version_limits": {"v9": "1d"}}"#).unwrap();
        assert_eq!(limits.check(), Err(BadKnob::Version("v9".to_owned())));
    }

    #[test]
    fn the_echoed_offset_follows_daylight_saving_unless_it_is_fixed() {
        let july: Timestamp = "2025-07-01T00:00:00.9Z".parse().unwrap();
        let january: Timestamp = "2025-01-01T00:00:00Z".parse().unwrap();
        let zoned = Knobs::default();
        assert_eq!(zoned.echo(july), "2025-06-30T17:00:00-07:00");
        assert_eq!(zoned.echo(january), "2024-12-31T16:00:00-08:00");
        let fixed = Knobs { zone: "+05:30".to_owned(), ..Knobs::default() };
        assert_eq!(fixed.echo(july), "2025-07-01T05:30:00+05:30");
    }

    #[test]
    fn a_custom_module_may_have_any_name_that_is_not_nearly_one_of_zoho_s_own() {
        let knobs = Knobs::default();
        for module in ["BTEC_Teachers", "Students", "CustomModule7", "Price_Books", "users"] {
            assert!(knobs.watches_in_crm(module), "{module}");
        }
        for module in ["Meetings", "Deal", "deals", "Price Books", "Sales_Order", "", "7up", "a-b"]
        {
            assert!(!knobs.watches_in_crm(module), "{module}");
        }
        let listed = Knobs { custom_modules: CustomModules::Listed, ..Knobs::default() };
        assert!(!listed.watches_in_crm("BTEC_Teachers") && listed.watches_in_crm("CustomModule7"));
    }

    #[test]
    fn a_limit_may_be_for_one_product_and_an_edition_is_one_of_those_of_the_products() {
        let limits = r#"{"version_limits": {"v2": "12h", "recruit/v2": "23h"}}"#;
        let knobs: Knobs = serde_json::from_str(limits).unwrap();
        let hours = |product| knobs.lifetime_max(product, ApiVersion::V2).as_secs() / 3600;
        assert_eq!((hours(Product::Recruit), hours(Product::Bigin)), (23, 12));
        let wrong = |text: &str| serde_json::from_str::<Knobs>(text).unwrap().check().unwrap_err();
        let version = wrong(r#"{"version_limits": {"bigin/v8": "1d"}}"#);
        assert_eq!(version, BadKnob::Version("bigin/v8".to_owned()));
        let edition = wrong(r#"{"edition": "deluxe"}"#);
        assert_eq!(edition, BadKnob::Edition("deluxe".to_owned()));
    }

    #[test]
    fn a_version_limit_overrides_the_table() {
        let knobs: Knobs = serde_json::from_str(r#"{"version_limits": {"v6": "1d"}}"#).unwrap();
        assert_eq!(knobs.lifetime_max(Product::Crm, ApiVersion::V6), Duration::from_secs(86_400));
        assert_eq!(
            knobs.lifetime_max(Product::Crm, ApiVersion::V8),
            Duration::from_secs(7 * 86_400)
        );
    }
}
