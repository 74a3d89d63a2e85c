//! Everything that is wanted, as one value: what a config says once it has been read, checked and
//! resolved.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::channel::{AccountName, ChannelId, Spec};
use super::cluster::ClusterSettings;
use super::hooks::Hooks;
use super::secret::Secret;
use super::time::Timestamp;

/// The desired state. It is replaced as a whole, never edited.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Desired {
    /// The settings that belong to no single account.
    pub settings: Settings,
    /// By account.
    pub accounts: BTreeMap<AccountName, AccountDesired>,
}

/// One account with its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountDesired {
    /// The account.
    pub account: Account,
    /// Its channels by id.
    pub specs: BTreeMap<ChannelId, Arc<Spec>>,
    /// The channels that it declares no longer and that are still ours, as they were declared last:
    /// while the removal guard holds them they go on being renewed.
    pub former: BTreeMap<ChannelId, Arc<Spec>>,
}

impl AccountDesired {
    /// An account that declares these channels.
    pub fn new(account: Account, specs: BTreeMap<ChannelId, Arc<Spec>>) -> AccountDesired {
        AccountDesired { account, specs, former: BTreeMap::new() }
    }

    /// Its channels as they are to be written at an instant of Zoho's clock: tokens that rotate are
    /// those of then.
    pub fn specs_at(&self, zoho_now: Timestamp) -> Cow<'_, BTreeMap<ChannelId, Arc<Spec>>> {
        at(&self.specs, zoho_now)
    }

    /// The channels that it declares no longer, in the same way.
    pub fn former_at(&self, zoho_now: Timestamp) -> Cow<'_, BTreeMap<ChannelId, Arc<Spec>>> {
        at(&self.former, zoho_now)
    }

    /// The scopes that handing over missed events needs: reading of each watched module; none where
    /// nothing is handed over.
    pub fn read_scopes(&self) -> BTreeSet<String> {
        let specs = self.specs.values().filter(|spec| spec.backfill.is_some());
        let modules = specs.flat_map(|spec| spec.events.iter()).map(|(module, _)| module);
        let of_records = modules.filter(|module| !module.eq_ignore_ascii_case("users"));
        of_records.map(|module| self.account.product.read_scope(module)).collect()
    }

    /// Takes over from an earlier declaration the channels that this one has no more and that are
    /// still ours.
    pub fn remember_former(
        &mut self,
        earlier: &AccountDesired,
        is_ours: impl Fn(ChannelId) -> bool,
    ) {
        for (id, spec) in earlier.former.iter().chain(&earlier.specs) {
            if !self.specs.contains_key(id) && is_ours(*id) {
                // Its lines in the config are gone.
                let spec = Spec { declared: Default::default(), ..Spec::clone(spec) };
                self.former.insert(*id, Arc::new(spec));
            }
        }
    }
}

fn at(
    specs: &BTreeMap<ChannelId, Arc<Spec>>,
    zoho_now: Timestamp,
) -> Cow<'_, BTreeMap<ChannelId, Arc<Spec>>> {
    if specs.values().all(|spec| spec.rotation.is_none()) {
        return Cow::Borrowed(specs);
    }
    let then = |spec: &Arc<Spec>| spec.at(zoho_now).map_or_else(|| spec.clone(), Arc::new);
    Cow::Owned(specs.iter().map(|(id, spec)| (*id, then(spec))).collect())
}

/// The settings that belong to no single account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Part of every derived channel id: two daemons that share an org are told apart by it.
    pub owner: String,
    /// Where the health endpoints listen; none when they are off.
    pub listen: Option<SocketAddr>,
    /// Who may read there.
    pub http: Http,
    /// When to look for drift: a cron expression of six fields, in UTC.
    pub audit: String,
    /// The most passes in flight, beside those of emergencies.
    pub passes_max: usize,
    /// How long one HTTP call may take, from connect to the last byte.
    pub request_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// A file of PEM certificates to trust beside the system's.
    pub ca_file: Option<std::path::PathBuf>,
    /// Where the summary for other hosts is written, if anywhere.
    pub status_file: Option<std::path::PathBuf>,
    /// Whom to tell what goes wrong.
    pub alerts: Alerts,
    /// How often a canary is sent to each `notify_url`; none are when there is nothing.
    pub canary_every: Option<Duration>,
    /// Whom to tell of single events.
    pub hooks: Hooks,
    /// How accounts are shared with other machines; `None` where there are none.
    pub cluster: Option<ClusterSettings>,
}

/// Who may read at the health endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Http {
    /// True when they may listen where other hosts can reach them.
    pub public: bool,
    /// The names by which they are reached besides the loopback's, in lower case.
    pub hosts: Vec<String>,
    /// The token that a request must show, if one is required.
    pub token: Option<Secret>,
}

/// Whom to tell what goes wrong, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// A URL that takes messages. Whoever knows it can write there, so it is a secret.
    pub webhook: Option<Secret>,
    /// How long something has to be bad before it is told, and good before that is.
    pub grace: Duration,
    /// The time between two messages about a trouble that lasts.
    pub repeat: Duration,
    /// A URL that is called while everything is covered.
    pub heartbeat: Option<Secret>,
    /// The least time between two such calls.
    pub heartbeat_interval: Duration,
}

impl Default for Alerts {
    fn default() -> Alerts {
        Alerts {
            webhook: None,
            grace: Duration::from_secs(10 * 60),
            repeat: Duration::from_secs(6 * 3600),
            heartbeat: None,
            heartbeat_interval: Duration::from_secs(5 * 60),
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            owner: "channelkeeper".to_owned(),
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8470))),
            http: Http::default(),
            audit: "0 */15 * * * *".to_owned(),
            passes_max: 1024,
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            ca_file: None,
            status_file: None,
            alerts: Alerts::default(),
            canary_every: None,
            hooks: Hooks::default(),
            cluster: None,
        }
    }
}
