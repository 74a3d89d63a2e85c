//! The troubles of a month, from a seed.

use std::time::Duration;

use channelkeeper::model::channel::{ChannelId, Spec};
use channelkeeper::model::product::Product;
use channelkeeper::model::time::{Timestamp, after};
use channelkeeper::model::version::ApiVersion;
use channelkeeper::simulator::faults::Endpoint;
use channelkeeper::simulator::knobs::{
    ApiDomain, Length, MissingEvent, PatchEvents, PatchToken, PostLive, UndocumentedKeys,
};
use channelkeeper::simulator::{Fault, Hand, Knobs, Rule};

use super::ORGS;
use crate::world::{AUDIT, Cut};

/// SplitMix64: the same numbers for the same seed, on every machine.
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            None
        } else {
            from.get(self.between(0, from.len() as u64 - 1) as usize)
        }
    }

    /// True so often in a hundred.
    pub fn chance(&mut self, in_hundred: u64) -> bool {
        self.between(1, 100) <= in_hundred
    }

    /// A length of so many seconds.
    pub fn seconds(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_secs(self.between(low, high))
    }
}

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Act {
    /// Zoho misbehaves, until then.
    Fault(Rule, Timestamp),
    /// It behaves again.
    FaultsEnd,
    /// Somebody edits or deletes a channel of ours.
    Hand,
    /// Somebody deletes every channel of an org.
    DeleteAll(&'static str),
    /// Somebody makes a channel that is not ours.
    Foreign,
    /// The daemon dies, and is down for so long.
    Crash(Duration),
    /// The daemon dies as this call is on its way.
    CutAndCrash(&'static str, Cut),
    /// The daemon is stopped, and is down for so long.
    Stop(Duration),
    /// The host's clock is stepped by so many milliseconds.
    ClockStep(i64),
    /// The config is edited and reloaded.
    ConfigEdit,
    /// Other programs use the credits of an org until so many are left; they come back a day after.
    Credits(&'static str, u64),
}

impl Act {
    /// One word, for the count.
    pub const fn word(&self) -> &'static str {
        match self {
            Act::Fault(..) => "fault",
            Act::FaultsEnd => "faults-end",
            Act::Hand => "hand",
            Act::DeleteAll(_) => "delete-all",
            Act::Foreign => "foreign-channel",
            Act::Crash(_) => "crash",
            Act::CutAndCrash(..) => "crash-in-a-call",
            Act::Stop(_) => "stop",
            Act::ClockStep(_) => "clock-step",
            Act::ConfigEdit => "config-edit",
            Act::Credits(..) => "credits-used",
        }
    }
}

/// The acts, in order.
pub struct Schedule {
    /// When, and what.
    pub acts: Vec<(Timestamp, Act)>,
}

impl Schedule {
    /// Between the two instants, with faults of these modules among the others.
    pub fn new(
        rng: &mut Rng,
        (begins, ends): (Timestamp, Timestamp),
        modules: &[&str],
    ) -> Schedule {
        let mut acts = Vec::new();
        let mut at = after(begins, rng.seconds(600, 40_000));
        while at < ends {
            let act = act(rng, at, ends, modules);
            if let Act::Fault(_, until) = &act {
                acts.push((*until, Act::FaultsEnd));
            }
            // A daemon that was down has some minutes to work before the next thing happens.
            let next = match &act {
                Act::Fault(_, until) => *until,
                Act::Crash(down) | Act::Stop(down) => after(at, *down + UP_MIN),
                Act::CutAndCrash(..) => after(at, CUT_MAX + UP_MIN),
                Act::FaultsEnd
                | Act::Hand
                | Act::DeleteAll(_)
                | Act::Foreign
                | Act::ClockStep(_)
                | Act::ConfigEdit
                | Act::Credits(..) => at,
            };
            acts.push((at, act));
            at = after(next, rng.seconds(60, 90_000));
        }
        acts.sort_by_key(|(at, _)| *at);
        Schedule { acts }
    }
}

fn act(rng: &mut Rng, at: Timestamp, ends: Timestamp, modules: &[&str]) -> Act {
    match rng.between(1, 100) {
        1..=40 => {
            let kind = fault(rng, modules);
            let length =
                if rng.chance(8) { rng.seconds(20_000, 130_000) } else { rng.seconds(30, 10_000) };
            let rule = rule(rng, kind);
            // A call of that method is provoked, and comes with the next audit.
            let least = if provokes(&rule) { AUDIT * 2 } else { Duration::ZERO };
            Act::Fault(rule, after(at, length.max(least)).min(ends))
        }
        41..=60 => Act::Hand,
        61 | 62 => Act::DeleteAll(rng.pick(&ORGS).unwrap()),
        63..=68 => Act::Foreign,
        69..=76 => Act::Crash(if rng.chance(15) {
            rng.seconds(10_000, 100_000)
        } else {
            rng.seconds(1, 5_000)
        }),
        77..=84 => {
            let method = *rng.pick(&["POST", "PATCH", "PUT", "DELETE", "GET"]).unwrap();
            Act::CutAndCrash(method, *rng.pick(&[Cut::Before, Cut::After]).unwrap())
        }
        85..=87 => Act::Stop(rng.seconds(1, 9_000)),
        88..=91 => Act::ClockStep(clock_step(rng)),
        92..=95 => {
            let left = if rng.chance(25) {
                rng.between(0, 5)
            } else {
                rng.between(CREDITS_ENOUGH, 4 * CREDITS_ENOUGH)
            };
            Act::Credits(rng.pick(&ORGS).unwrap(), left)
        }
        _ => Act::ConfigEdit,
    }
}

/// With so many credits left for a day nothing may lapse, and no call may be refused for want of
/// them.
pub const CREDITS_ENOUGH: u64 = 150;
/// A call that is to be cut off is waited for no longer than this.
pub const CUT_MAX: Duration = Duration::from_secs(2 * 3600);
const UP_MIN: Duration = Duration::from_secs(300);

fn clock_step(rng: &mut Rng) -> i64 {
    let size = match rng.between(0, 2) {
        0 => rng.between(1_000, 300_000),
        1 => rng.between(300_000, 20_000_000),
        _ => rng.between(20_000_000, 4_000_000_000),
    } as i64;
    if rng.chance(50) { size } else { -size }
}

fn rule(rng: &mut Rng, kind: Fault) -> Rule {
    let about_tokens = matches!(kind, Fault::OauthError { .. } | Fault::TokenThrottled);
    let org = rng.chance(50).then(|| (*rng.pick(&ORGS).unwrap()).to_owned());
    let times = rng.chance(30).then(|| rng.between(1, 4) as u32);
    let of_module = module_of(&kind).is_some();
    let of_one_method = matches!(kind, Fault::ScopeMismatch) && rng.chance(60);
    let method = if of_one_method {
        Some((*rng.pick(&["PATCH", "DELETE"]).unwrap()).to_owned())
    } else {
        let method = *rng.pick(&["GET", "POST", "PATCH", "PUT", "DELETE"]).unwrap();
        (!about_tokens && !of_module && rng.chance(30)).then(|| method.to_owned())
    };
    let path = about_tokens.then_some(Endpoint::Token);
    Rule { org, times, method, path, ..Rule::always(kind) }
}

fn fault(rng: &mut Rng, modules: &[&str]) -> Fault {
    match rng.between(0, 31) {
        0 => Fault::ServerErrorJson,
        1 => Fault::ServerErrorHtml,
        2 => Fault::Unavailable,
        3 => Fault::TooManyRequests,
        4 => Fault::InvalidToken,
        5 => Fault::ScopeMismatch,
        6 => Fault::Forbidden,
        7 => Fault::NotFound,
        8 => Fault::Refused,
        9 => Fault::ResetBefore,
        10 => Fault::ResetAfter,
        11 => Fault::HangBefore,
        12 => Fault::HangAfter,
        13 => Fault::Delay { by: Length(rng.seconds(1, 25)) },
        14 => Fault::Truncated { keep: rng.between(0, 60) as usize },
        15 => Fault::ContentType { value: "text/html".to_owned() },
        16 => Fault::ItemMissing,
        17 => Fault::ItemsReordered,
        18 => Fault::UnknownItemCode { code: "SOMETHING_NEW".to_owned() },
        19 => Fault::ListShowsExpired,
        20 => Fault::ShortGrant,
        21 => Fault::OauthError { error: "general_error".to_owned() },
        22 => Fault::TokenThrottled,
        29 | 30 => Fault::ScopeMismatch,
        31 => Fault::RefuseExpiry { over: Length(rng.seconds(6 * 3600, 20 * 3600)) },
        23 | 24 => Fault::ForbidModule { module: module(rng, modules) },
        code => {
            let code = match code {
                25 | 26 => "INVALID_MODULE",
                27 => "INTERNAL_ERROR",
                _ => "TOO_MANY_REQUESTS",
            };
            let details = serde_json::json!({});
            Fault::RefuseModule { module: module(rng, modules), code: code.to_owned(), details }
        }
    }
}

/// The only module that a fault can cost anything.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are about no module")]
pub fn module_of(kind: &Fault) -> Option<&str> {
    match kind {
        Fault::ForbidModule { module } | Fault::RefuseModule { module, .. } => Some(module),
        _ => None,
    }
}

/// See [`super::TOLD_APART`].
pub const TOLD_APART: [&str; 5] = [
    "module-forbidden-by-403",
    "scope-of-one-method",
    "events-refused",
    "expiry-refused",
    "item-with-a-transient-code",
];

/// Which of them a rule is.
#[expect(clippy::wildcard_enum_match_arm, reason = "all others are counted by their kind")]
pub fn told_apart(rule: &Rule) -> Option<&'static str> {
    let [forbidden, scope, events, expiry, transient] = TOLD_APART;
    match &rule.kind {
        Fault::ForbidModule { .. } => Some(forbidden),
        Fault::ScopeMismatch => rule.method.as_ref().map(|_| scope),
        Fault::RefuseModule { code, .. } if code == "INVALID_MODULE" => Some(events),
        Fault::RefuseModule { .. } => Some(transient),
        Fault::RefuseExpiry { .. } => Some(expiry),
        _ => None,
    }
}

/// True for a scope that a rare method lacks: it says nothing unless a call of that method is due.
pub fn provokes(rule: &Rule) -> bool {
    matches!(rule.kind, Fault::ScopeMismatch)
        && matches!(rule.method.as_deref(), Some("PATCH" | "DELETE"))
}

fn module(rng: &mut Rng, modules: &[&str]) -> String {
    (*rng.pick(modules).unwrap()).to_owned()
}

/// Faults under which a channel may be lost although calls go through.
pub fn hides_or_shortens(kind: &Fault) -> bool {
    matches!(
        kind,
        Fault::ShortGrant
            | Fault::UnknownItemCode { .. }
            | Fault::ItemMissing
            | Fault::OauthError { .. }
            | Fault::TokenThrottled
            | Fault::ListShowsExpired
    )
}

/// A Zoho of one of the kinds that the sources allow for.
pub fn knobs(rng: &mut Rng) -> Knobs {
    let zones = ["America/Los_Angeles", "Asia/Kolkata", "Europe/Berlin", "+05:30", "UTC"];
    let pick = |rng: &mut Rng| rng.chance(50);
    Knobs {
        zone: (*rng.pick(&zones).unwrap()).to_owned(),
        patch: if pick(rng) { PatchToken::Docs } else { PatchToken::NullsToken },
        patch_events: if pick(rng) { PatchEvents::Replace } else { PatchEvents::Add },
        post: if pick(rng) { PostLive::Replace } else { PostLive::Merge },
        delete_missing_event: if pick(rng) {
            MissingEvent::Success
        } else {
            MissingEvent::InvalidData
        },
        expired_shown: Length(Duration::from_secs(if pick(rng) { 0 } else { 3600 })),
        all_bad_status: if pick(rng) { 400 } else { 202 },
        partly_bad_status: if pick(rng) { 207 } else { 202 },
        empty_list_status: if pick(rng) { 204 } else { 200 },
        retry_after_secs: pick(rng).then_some(120),
        page_max: if pick(rng) { 200 } else { 3 },
        bigin_fallback_lifetime: Length(Duration::from_secs(if pick(rng) { 7200 } else { 3600 })),
        bigin_delete_status: if pick(rng) { 202 } else { 400 },
        undocumented_keys: if pick(rng) {
            UndocumentedKeys::Ignored
        } else {
            UndocumentedKeys::Refused
        },
        recruit_credits_header: pick(rng),
        recruit_api_domain: if pick(rng) {
            ApiDomain::Own
        } else {
            ApiDomain::Fixed("https://www.zohoapis.com".to_owned())
        },
        ..Knobs::default()
    }
}

/// The products of the three orgs. The first org is of CRM; sixteen seeds in a row have every pair
/// of products for the other two.
pub fn products(seed: u64) -> [Product; 3] {
    let of = |at: u64| Product::ALL[(at % 4) as usize];
    [Product::Crm, of(seed), of(seed + 1 + seed / 4)]
}

/// One of a product's versions; CRM's are given, so that two of them are played.
pub fn version(rng: &mut Rng, product: Product, in_crm: ApiVersion) -> ApiVersion {
    match product {
        Product::Crm => in_crm,
        Product::Bigin | Product::Recruit | Product::Vertical => {
            *rng.pick(product.traits().versions).unwrap()
        }
    }
}

/// The modules that are declared in a product, and one that only hands use.
pub const fn modules(product: Product) -> (&'static [&'static str], &'static str) {
    match product {
        Product::Crm | Product::Vertical => {
            (&["Deals", "Contacts", "Leads", "Accounts", "Sales_Orders", "Cases"], "Campaigns")
        }
        Product::Bigin => {
            (&["Pipelines", "Contacts", "Accounts", "Products", "Tasks", "Events"], "Calls")
        }
        Product::Recruit => {
            (&["Candidates", "Job_Openings", "Applications", "Clients", "Contacts"], "Interviews")
        }
    }
}

/// One to three modules, each with one to three operations.
pub fn events(rng: &mut Rng, product: Product) -> Vec<String> {
    let mut events = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let module = rng.pick(modules(product).0).unwrap();
        let operation = rng.pick(&["all", "create", "edit", "delete"]).unwrap();
        events.push(format!("{module}.{operation}"));
    }
    events
}

/// An edit of a channel behind the daemon's back.
pub fn hand(
    rng: &mut Rng,
    product: Product,
    (id, spec): (ChannelId, &Spec),
    now: Timestamp,
) -> Hand {
    let channel = id.number();
    let events = spec.events.to_wire();
    let module = spec.events.iter().next().map_or(String::new(), |(module, _)| module.to_owned());
    match rng.between(0, 7) {
        0 => Hand::RemoveEvent { channel, event: rng.pick(&events).unwrap().clone() },
        1 => Hand::AddEvent { channel, event: format!("{}.edit", modules(product).1) },
        2 => Hand::SetToken { channel, token: Some("not-ours".to_owned()) },
        3 => Hand::SetToken { channel, token: None },
        4 => {
            Hand::SetNotifyUrl { channel, notify_url: "https://elsewhere.example.com/".to_owned() }
        }
        5 => Hand::DropModule { channel, module },
        6 => Hand::SetExpiry { channel, expiry: after(now, rng.seconds(60, 40_000)) },
        _ => Hand::Delete { channel },
    }
}
