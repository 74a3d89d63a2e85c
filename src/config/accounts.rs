//! The accounts: where each is reached, with which credentials, under which rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::backfill::Backfill;
use super::check::Check;
use super::given::Given;
use super::proof::Proof;
use super::raw::{self, Reconcile};
use super::source::{At, Place};
use super::values;
use crate::model::account::{Account, Credentials};
use crate::model::backfill;
use crate::model::channel::{AccountName, ChannelId, NotifyUrl};
use crate::model::data_center::{DataCenter, Environment};
use crate::model::desired::{AccountDesired, Desired, Settings};
use crate::model::events::Events;
use crate::model::policy::{Mode, Policy, Removed};
use crate::model::product::{Product, portal_url};
use crate::model::secret::Secret;
use crate::model::version::{ApiVersion, DAY, Limits};

/// The accounts while channels are being added to them.
#[derive(Debug)]
pub(super) struct Frames {
    /// By name, as it is written.
    pub(super) by_name: BTreeMap<String, AccountFrame>,
    /// True when every account that is declared is here; else one that is missed was reported.
    pub(super) are_all: bool,
    /// Where each channel name was declared.
    pub(super) names: HashMap<String, Place>,
}

/// The settings that hold for every account that says nothing else.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    pub(super) reconcile: &'a Reconcile,
    pub(super) backfill: Backfill,
}

/// An account with what its channels leave out.
#[derive(Debug)]
pub(super) struct AccountFrame {
    pub(super) name: AccountName,
    /// True when it is declared; else it stands in for one that is unknown.
    pub(super) is_declared: bool,
    pub(super) place: Place,
    pub(super) api: Api,
    pub(super) policy: Policy,
    pub(super) lifetime: Option<At<Duration>>,
    pub(super) renew_before: Option<At<Duration>>,
    pub(super) proof: Option<Proof>,
    pub(super) defaults: raw::Defaults,
    /// The settings of `[backfill]`, and those of the account in their place.
    pub(super) backfill: (Backfill, Option<Option<backfill::BackfillMode>>),
    /// True when a channel names it, a good one or not.
    pub(super) has_channels: bool,
    pub(super) desired: AccountDesired,
    pub(super) ids: BTreeMap<ChannelId, Place>,
    /// The last good one: most channels of an account have the same, and share it.
    pub(super) last_url: Option<NotifyUrl>,
    /// The events of its channels.
    pub(super) events: BTreeSet<Events>,
}

impl Frames {
    /// Checks every account.
    pub(super) fn check(
        accounts: Vec<(At<String>, raw::Account)>,
        shared: Shared<'_>,
        check: &mut Check<'_>,
    ) -> Frames {
        let mut frames = Frames::none();
        for (name, account) in accounts {
            if let Some(first) = frames.by_name.get(&name.value) {
                let other = check.locate(first.place);
                let message = format!("account \"{}\" is declared twice", name.value);
                check.problem(name.place, message, format!("the other one is at {other}"));
            } else if let Some(frame) = AccountFrame::check(&name, account, shared, check) {
                frames.by_name.insert(name.value, frame);
            } else {
                frames.are_all = false;
            }
        }
        frames
    }

    /// No account.
    pub(super) fn none() -> Frames {
        Frames { by_name: BTreeMap::new(), are_all: true, names: HashMap::new() }
    }

    /// The desired state, once all channels have been added.
    pub(super) fn into_desired(self, settings: Settings, check: &mut Check<'_>) -> Desired {
        if self.by_name.is_empty() && !check.notes.any_problem() {
            let help = "config.example.toml shows how an account and a channel are written";
            check.notes.warning(Place::default(), "this config declares no channels", help);
        }
        for frame in self.by_name.values().filter(|frame| !frame.has_channels) {
            let message = format!("account \"{}\" has no channels", frame.name);
            check.notes.warning(frame.place, message, "add [[channels]], or take the account out");
        }
        let accounts =
            self.by_name.into_values().map(|frame| (frame.name, frame.desired)).collect();
        Desired { settings, accounts }
    }
}

impl AccountFrame {
    /// In place of an account that is unknown, so that what else is wrong with its channels is
    /// told with it.
    pub(super) fn stand_in(place: Place) -> AccountFrame {
        let api = Api::default();
        let limits = api.limits();
        let policy = Policy {
            mode: Mode::default(),
            removed: Removed::default(),
            batch_max: limits.batch_max,
            lifetime_max: limits.lifetime_max,
            credits_per_day: None,
        };
        let name: AccountName = "unknown".parse().expect("letters are a name");
        let nobody = Credentials {
            client_id: String::new(),
            client_secret: Secret::new(""),
            refresh_token: Secret::new(""),
        };
        let account = Account {
            name: name.clone(),
            product: api.product,
            version: api.version,
            api_url: String::new(),
            accounts_url: String::new(),
            credentials: nobody,
            policy: policy.clone(),
        };
        AccountFrame {
            name,
            is_declared: false,
            place,
            api,
            policy,
            lifetime: None,
            renew_before: None,
            proof: None,
            defaults: raw::Defaults::default(),
            backfill: (Backfill::default(), None),
            has_channels: true,
            desired: AccountDesired::new(account, BTreeMap::new()),
            ids: BTreeMap::new(),
            last_url: None,
            events: BTreeSet::new(),
        }
    }

    fn check(
        name: &At<String>,
        account: raw::Account,
        shared: Shared<'_>,
        check: &mut Check<'_>,
    ) -> Option<AccountFrame> {
        let Shared { reconcile, backfill } = shared;
        let Ok(parsed) = name.value.parse::<AccountName>() else {
            let message = format!("\"{}\" is no name for an account", name.value.escape_debug());
            check.problem(name.place, message, crate::model::channel::BadName.to_string());
            return None;
        };
        let api = Api::check(&account, check);
        let (api_url, accounts_url) = servers(&account, api.product, check);
        let policy = policy(&account, api, reconcile, check);
        let credentials = credentials(&account, check);
        let model = Account {
            name: parsed.clone(),
            product: api.product,
            version: api.version,
            api_url,
            accounts_url,
            credentials,
            policy: policy.clone(),
        };
        let defaults = account.channel_defaults.value;
        Some(AccountFrame {
            name: parsed,
            is_declared: true,
            place: account.place,
            api,
            policy,
            lifetime: defaults.lifetime.good().or(reconcile.lifetime.good()).cloned(),
            renew_before: defaults.renew_before.good().or(reconcile.renew_before.good()).cloned(),
            proof: Proof::read(&defaults.token, &defaults.token_key, check),
            defaults,
            backfill: (backfill, account.backfill.value().copied()),
            has_channels: false,
            desired: AccountDesired::new(model, BTreeMap::new()),
            ids: BTreeMap::new(),
            last_url: None,
            events: BTreeSet::new(),
        })
    }
}

/// The API that an account asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Api {
    pub(super) product: Product,
    pub(super) version: ApiVersion,
}

impl Default for Api {
    fn default() -> Api {
        let product = Product::default();
        Api { product, version: product.traits().version_default }
    }
}

impl Api {
    fn check(account: &raw::Account, check: &mut Check<'_>) -> Api {
        let product = account.product.value().copied().unwrap_or_default();
        let traits = product.traits();
        let version = account.api_version.value().copied().unwrap_or(traits.version_default);
        if let Some(at) = account.api_version.good().filter(|_| !product.has(version)) {
            let all: Vec<&str> = traits.versions.iter().map(|version| version.as_str()).collect();
            let message = format!("{} has no API {version}", traits.title);
            check.problem(at.place, message, format!("one of {}", all.join(", ")));
            return Api { product, version: traits.version_default };
        }
        Api { product, version }
    }

    /// The remedy for a key that it does not know: in CRM a later version has it.
    pub(super) const fn without(self, in_crm: &'static str) -> &'static str {
        match self.product {
            Product::Crm => in_crm,
            Product::Bigin | Product::Recruit | Product::Vertical => "leave it out",
        }
    }

    pub(super) const fn limits(self) -> Limits {
        self.product.limits(self.version)
    }
}

impl std::fmt::Display for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.product {
            Product::Crm => write!(f, "API {}", self.version),
            Product::Bigin | Product::Recruit | Product::Vertical => {
                write!(f, "{} {}", self.product.traits().title, self.version)
            }
        }
    }
}

/// The API and the OAuth server: those of a data centre, or two URLs.
fn servers(account: &raw::Account, product: Product, check: &mut Check<'_>) -> (String, String) {
    let raw::Account { data_center, api_url, accounts_url, environment, portal, place, .. } =
        account;
    if let Some(at) = portal.good().filter(|_| product != Product::Vertical) {
        check.problem(at.place, "a portal", "portal goes with product = \"vertical\"");
    }
    let explicit = [api_url, accounts_url].into_iter().find_map(Given::good);
    if let Some(at) = explicit.filter(|_| !data_center.is_absent()) {
        check.problem(at.place, "a URL beside data_center", "leave out one of them");
    }
    if let Some(at) = environment.good().filter(|_| explicit.is_some() && data_center.is_absent()) {
        check.problem(
            at.place,
            "environment goes with data_center",
            "leave it out: api_url says which org it is",
        );
    }
    let at = portal.good().filter(|_| explicit.is_some() && product == Product::Vertical);
    if let Some(at) = at.filter(|_| data_center.is_absent()) {
        check.problem(
            at.place,
            "portal goes with data_center",
            "leave it out: api_url names the host",
        );
    }
    if let Some(center) = data_center.value() {
        let api_url = host(account, product, *center, check);
        return (api_url, center.accounts_url.to_owned());
    }
    let nowhere = [api_url, accounts_url].into_iter().all(Given::is_absent);
    if nowhere && data_center.is_absent() {
        check.problem(
            *place,
            "this account has no \"data_center\"",
            "add data_center = \"eu\", or api_url and accounts_url",
        );
        return (String::new(), String::new());
    }
    (
        server("api_url", api_url, values::api_url, account, check),
        server("accounts_url", accounts_url, values::server_url, account, check),
    )
}

/// Where the product answers in a data centre.
fn host(
    account: &raw::Account,
    product: Product,
    center: DataCenter,
    check: &mut Check<'_>,
) -> String {
    let raw::Account { environment, portal, place, .. } = account;
    let title = product.traits().title;
    if product == Product::Vertical {
        if let Some(at) = environment.good() {
            check.problem(at.place, format!("environment does not go with {title}"), TWO_URLS);
        }
        if portal.is_absent() {
            check.problem(
                *place,
                "this account has no \"portal\"",
                "add portal = \"acme\" for acme.zohoplatform.com, or api_url and accounts_url",
            );
        }
        return portal.value().map(|portal| portal_url(portal)).unwrap_or_default();
    }
    let wanted = environment.value().copied().unwrap_or(Environment::Production);
    product.api_url(center, wanted).unwrap_or_else(|| {
        let place = environment.good().map_or(*place, |at| at.place);
        let message = format!("no host is known for the {} orgs of {title}", wanted.as_str());
        check.problem(place, message, TWO_URLS);
        String::new()
    })
}

const TWO_URLS: &str = "give api_url and accounts_url in place of data_center";

fn server(
    key: &str,
    given: &Given<String>,
    read: fn(&str) -> Result<String, values::Mistake>,
    account: &raw::Account,
    check: &mut Check<'_>,
) -> String {
    if given.is_absent() && account.data_center.is_absent() {
        check.problem(
            account.place,
            format!("this account has no \"{key}\""),
            "api_url and accounts_url go together",
        );
    }
    let Some(at) = given.good() else { return String::new() };
    read(&at.value).unwrap_or_else(|mistake| {
        check.problem(at.place, mistake.message, mistake.help);
        String::new()
    })
}

fn policy(
    account: &raw::Account,
    api: Api,
    reconcile: &Reconcile,
    check: &mut Check<'_>,
) -> Policy {
    let limits = api.limits();
    let lifetime_max = account.lifetime_max.value().copied().unwrap_or(limits.lifetime_max);
    if let Some(at) = account.lifetime_max.good().filter(|at| at.value > limits.lifetime_max) {
        let granted = values::short(limits.lifetime_max);
        let message = format!("Zoho documents {granted} as the longest life on {api}");
        let fallback = values::short(api.product.traits().default_lifetime);
        let help = format!("asking for more than it grants silently gives {fallback}");
        check.notes.warning(at.place, message, help);
    }
    if let Some(at) =
        account.lifetime_max.good().filter(|at| !(LIFETIME_MIN..=YEAR).contains(&at.value))
    {
        check.problem(at.place, "a longest life out of range", "from \"5m\" to \"366d\"");
    }
    Policy {
        mode: account.mode.value().or(reconcile.mode.value()).copied().unwrap_or_default(),
        removed: account.removed.value().or(reconcile.removed.value()).copied().unwrap_or_default(),
        batch_max: account
            .batch_max
            .value()
            .map_or(limits.batch_max, |channels| *channels as usize),
        lifetime_max,
        credits_per_day: credits_per_day(account, api.product, check),
    }
}

/// The credits as written, else by edition and users; none when the config gives neither.
fn credits_per_day(account: &raw::Account, product: Product, check: &mut Check<'_>) -> Option<u64> {
    let raw::Account { edition, users, credits_per_day, .. } = account;
    if !credits_per_day.is_absent() {
        return credits_per_day.value().map(|credits| *credits as u64);
    }
    if let Some(at) = users.good().filter(|_| edition.is_absent()) {
        check.problem(
            at.place,
            "users without edition",
            "add edition, or write credits_per_day in place of both",
        );
    }
    let at = edition.good()?;
    let Some(edition) = product.edition(at.value) else {
        let traits = product.traits();
        let message =
            format!("no credits are known for edition \"{}\" of {}", at.value, traits.title);
        let keys: Vec<&str> = traits.editions.iter().map(|edition| edition.key).collect();
        let one_of = if keys.is_empty() {
            String::new()
        } else {
            format!("one of {}, or ", keys.join(", "))
        };
        check.problem(at.place, message, format!("{one_of}credits_per_day in its place"));
        return None;
    };
    if edition.counts_users() && users.is_absent() {
        let message = format!("the credits of edition \"{}\" depend on users", edition.key);
        check.problem(at.place, message, "add users, the number of user licences");
    }
    Some(edition.credits_per_day(users.value().map_or(0, |users| *users as u64)))
}

fn credentials(account: &raw::Account, check: &mut Check<'_>) -> Credentials {
    let client_id = account.client_id.good();
    if let Some(at) = client_id.filter(|at| at.value.is_empty() || at.value.chars().any(not_a_word))
    {
        check.problem(at.place, "this is no client id", "copy it from Zoho's API console");
    }
    Credentials {
        client_id: client_id.map(|at| at.value.clone()).unwrap_or_default(),
        client_secret: word("client_secret", &account.client_secret, check),
        refresh_token: word("refresh_token", &account.refresh_token, check),
    }
}

/// A secret that is one word, which those of OAuth are; an empty one in place of what was reported.
fn word(key: &str, given: &Given<super::values::Reference>, check: &mut Check<'_>) -> Secret {
    let Some(at) = check.secret(key, given) else { return Secret::new("") };
    if at.value.expose().chars().any(not_a_word) {
        let message = format!("\"{key}\" leads to more than one word");
        check.problem(at.place, message, "it must lead to the secret alone");
    }
    at.value
}

fn not_a_word(character: char) -> bool {
    character.is_whitespace() || character.is_control()
}

/// The life asked for where the config does not say: what every version grants.
pub(super) const LIFETIME: Duration = DAY;
/// A shorter life cannot be renewed in peace.
pub(super) const LIFETIME_MIN: Duration = Duration::from_secs(5 * 60);
/// No version grants anything near it.
const YEAR: Duration = Duration::from_secs(366 * 24 * 60 * 60);
