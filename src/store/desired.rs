//! The last good desired state: what the daemon goes on with when its config no longer reads.
//!
//! Secrets are kept as where they came from and as fingerprints. A secret that stood in the config
//! as a plain string cannot be fetched again, so its account cannot be restored, and says exactly
//! that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::account::{Account, Credentials};
use crate::model::backfill::BackfillRule;
use crate::model::channel::{AccountName, ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::cluster::{ClusterSettings, Login, WithoutEngine};
use crate::model::condition::{Condition, Match, Selection};
use crate::model::desired::{AccountDesired, Alerts, Desired, Http, Settings};
use crate::model::events::Events;
use crate::model::hooks::{HookEvent, Hooks};
use crate::model::policy::{Mode, Policy, Removed};
use crate::model::product::Product;
use crate::model::rotation::Rotation;
use crate::model::secret::{Fingerprint, FingerprintParts, Origin, Secret};
use crate::model::version::ApiVersion;

use super::database::Store;
use super::keys;
use super::tree::{EntryChange, StoreError};
use super::value::as_text;

pub(crate) mod published;

/// A desired state that was read back.
#[derive(Debug, Default)]
pub struct Restored {
    /// Everything whose secrets could be fetched.
    pub desired: Desired,
    /// Accounts that cannot go on, and why.
    pub unusable: BTreeMap<AccountName, String>,
    /// The reasons why some receivers of alerts cannot be told.
    pub unalerted: Vec<String>,
    /// The reason why the health endpoints stay closed: their token cannot be fetched.
    pub unopened: Option<String>,
    /// The reason why the engine of a cluster cannot be asked: its password cannot be fetched.
    pub unjoined: Option<String>,
}

/// How much the last good desired state declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeclaredCounts {
    /// Accounts, with or without channels.
    pub accounts: usize,
    /// Channels, over all accounts.
    pub channels: usize,
}

/// Fetches a secret again from where it came from.
pub trait Fetching {
    /// From there.
    ///
    /// # Errors
    /// In words.
    fn fetch(&self, origin: &Origin) -> Result<Secret, String>;

    /// One that stood in a config itself, if it is known all the same.
    fn known(&self, _fingerprint: Fingerprint) -> Option<Secret> {
        None
    }
}

impl<F: Fn(&Origin) -> Result<Secret, String>> Fetching for F {
    fn fetch(&self, origin: &Origin) -> Result<Secret, String> {
        self(origin)
    }
}

/// Whoever fetches.
pub(crate) type Fetch<'a> = &'a dyn Fetching;

/// The lives that a desired state asks for.
#[derive(Debug, Default)]
pub struct Lives {
    /// How long one call may take.
    pub request_timeout: Duration,
    /// Each channel's.
    pub channels: Vec<ChannelLife>,
}

/// The life that a channel asks for.
#[derive(Debug)]
pub struct ChannelLife {
    /// Its account.
    pub account: AccountName,
    /// Its id.
    pub id: ChannelId,
    /// How long it is.
    pub lifetime: Duration,
    /// How much of it is left when it is renewed.
    pub renew_before: Option<Duration>,
}

impl Store {
    /// Keeps a desired state as the last good one, unless it is that already. Returns whether
    /// anything was written.
    pub async fn keep_desired(&self, desired: &Desired) -> Result<bool, StoreError> {
        let is_new = self.replace_desired(desired)?;
        // After what is declared is in force: whoever asks for something from here on sees it.
        self.declare_wishes(desired).await?;
        Ok(is_new)
    }

    fn replace_desired(&self, desired: &Desired) -> Result<bool, StoreError> {
        let below = |generation| {
            let prefix = keys::generation(generation);
            entries_of(desired).map(move |(key, entry)| (format!("{prefix}{key}"), entry))
        };
        let current: Option<Current> = self.meta.read(CURRENT)?;
        if let Some(current) = &current
            && self.is_kept(current, || below(current.generation))?
        {
            return Ok(false);
        }
        let generation = current.map_or(1, |current| current.generation + 1);
        self.drop_generations_but(generation.checked_sub(1))?;
        let mut over = Over::default();
        let entries = below(generation).map(|(key, entry)| self.desired.change(key, Some(entry)));
        self.desired.set_changes(entries.inspect(|change| over.add_change(change)))?;
        self.desired.flush()?;
        let over = over.finish();
        self.meta.write([(CURRENT.to_owned(), Some(Current { generation, over }))])?;
        self.know_over(Some(over));
        self.drop_generations_but(Some(generation))?;
        Ok(true)
    }

    /// True when the stored desired state is these entries. One that this process knows to be whole
    /// is told by its number; else the two are read side by side.
    fn is_kept<I: Iterator<Item = (String, DesiredEntry)>>(
        &self,
        current: &Current,
        entries: impl Fn() -> I,
    ) -> Result<bool, StoreError> {
        let known = *self.over.lock().unwrap_or_else(PoisonError::into_inner);
        if known != Some(current.over) {
            return self.desired.is(&keys::generation(current.generation), entries());
        }
        let mut over = Over::default();
        for (key, entry) in entries() {
            over.add_change(&self.desired.change(key, Some(entry)));
        }
        Ok(over.finish() == current.over)
    }

    fn know_over(&self, over: Option<u64>) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = over;
    }

    /// True when a channel is declared in the last good desired state.
    pub(super) fn is_declared(
        &self,
        account: &AccountName,
        id: ChannelId,
    ) -> Result<bool, StoreError> {
        let Some(current) = self.meta.read::<Current>(CURRENT)? else { return Ok(false) };
        let key = channel_key(account, id);
        self.desired.has(&format!("{}{key}", keys::generation(current.generation)))
    }

    /// The products of the accounts of the last good desired state.
    pub fn products(&self) -> Result<BTreeMap<AccountName, Product>, StoreError> {
        let Some(current) = self.meta.read::<Current>(CURRENT)? else { return Ok(BTreeMap::new()) };
        let (generation, mut products) = (keys::generation(current.generation), BTreeMap::new());
        self.desired.each(&format!("{generation}account/"), |_, entry| match entry {
            DesiredEntry::Account(value) => drop(products.insert(value.name, value.product)),
            DesiredEntry::Settings(_) | DesiredEntry::Channel(_) | DesiredEntry::Former(_) => {}
        })?;
        Ok(products)
    }

    /// How much is declared in the last good desired state; nothing when there never was one.
    pub fn declared(&self) -> Result<DeclaredCounts, StoreError> {
        let Some(current) = self.meta.read::<Current>(CURRENT)? else {
            return Ok(DeclaredCounts::default());
        };
        let below = |kind: &str| {
            let prefix = format!("{}{kind}/", keys::generation(current.generation));
            self.desired.keys_that(&prefix, |_| true).map(|keys| keys.len())
        };
        Ok(DeclaredCounts { accounts: below("account")?, channels: below("channel")? })
    }

    /// The accounts of the last good desired state; none when there never was one.
    pub fn declared_accounts(&self) -> Result<Vec<AccountName>, StoreError> {
        let Some(current) = self.meta.read::<Current>(CURRENT)? else { return Ok(Vec::new()) };
        let prefix = format!("{}account/", keys::generation(current.generation));
        let keys = self.desired.keys_that(&prefix, |_| true)?;
        let name = |key: &Vec<u8>| std::str::from_utf8(key.get(prefix.len()..)?).ok()?.parse().ok();
        Ok(keys.iter().filter_map(name).collect())
    }

    /// The lives of the channels of the last good desired state; none when there never was one.
    pub fn lives(&self) -> Result<Lives, StoreError> {
        let Some(current) = self.meta.read::<Current>(CURRENT)? else {
            return Ok(Lives::default());
        };
        let mut lives = Lives::default();
        self.desired.each(&keys::generation(current.generation), |_, entry| match entry {
            DesiredEntry::Settings(settings) => lives.request_timeout = settings.request_timeout,
            DesiredEntry::Account(_) | DesiredEntry::Former(_) => {}
            DesiredEntry::Channel(channel) => {
                let ChannelValue { account, id, lifetime, renew_before, .. } = channel;
                lives.channels.push(ChannelLife { account, id, lifetime, renew_before });
            }
        })?;
        Ok(lives)
    }

    /// The last good desired state, its secrets fetched; `None` when there never was one.
    pub fn restore_desired(&self, fetch: Fetch<'_>) -> Result<Option<Restored>, StoreError> {
        let Some(current) = self.meta.read::<Current>(CURRENT)? else { return Ok(None) };
        if !self.is_whole(&current)? {
            self.know_over(None);
            return Err(StoreError::Value {
                tree: "desired",
                key: keys::generation(current.generation),
                why: "it is not what was written (its fingerprint is another); with a config that can be used it is \
                      written anew"
                    .to_owned(),
            });
        }
        let mut restored = Restored::default();
        // In the order of their keys: an account comes before its channels.
        self.desired.each(&keys::generation(current.generation), |_, entry| match entry {
            DesiredEntry::Settings(settings) => {
                restored.desired.settings = settings.into_settings(fetch, &mut restored)
            }
            DesiredEntry::Account(account) => restored.add_account(account, fetch),
            DesiredEntry::Channel(channel) => restored.add_channel(channel, fetch),
            DesiredEntry::Former(channel) => restored.add_former(channel, fetch),
        })?;
        let unusable = &restored.unusable;
        restored.desired.accounts.retain(|name, _| !unusable.contains_key(name));
        Ok(Some(restored))
    }

    /// True when the stored desired state is complete. A channel that got lost would look like one
    /// that was taken out.
    fn is_whole(&self, current: &Current) -> Result<bool, StoreError> {
        let mut over = Over::default();
        self.desired.visit(&keys::generation(current.generation), |key, bytes| {
            over.add(key, bytes);
            Ok(())
        })?;
        Ok(over.finish() == current.over)
    }

    /// Adds to a desired state that was just read the channels that the stored one has, that it
    /// declares no longer, and that are still ours. One whose secrets cannot be fetched stays out,
    /// and so does one whose stored value is damaged: neither may stop a good config.
    ///
    /// # Errors
    /// When the store fails.
    pub fn remember_former(
        &self,
        desired: &mut Desired,
        fetch: Fetch<'_>,
    ) -> Result<(), StoreError> {
        let Some(current) = self.meta.read::<Current>(CURRENT)? else { return Ok(()) };
        let generation = keys::generation(current.generation);
        for (name, account) in &mut desired.accounts {
            let is_known =
                |id: &ChannelId| account.specs.contains_key(id) || account.former.contains_key(id);
            let left: Vec<ChannelId> =
                self.ids(name)?.into_iter().filter(|id| !is_known(id)).collect();
            for id in left {
                let key = keys::record(name, id);
                let read = |kind| match self.desired.read(&format!("{generation}{kind}/{key}")) {
                    Err(StoreError::Value { .. }) => Ok(None),
                    read => read,
                };
                let entry = match read(CHANNEL)? {
                    Some(entry) => Some(entry),
                    None => read(FORMER)?,
                };
                if let Some(DesiredEntry::Channel(value) | DesiredEntry::Former(value)) = entry
                    && let Ok(spec) = value.into_spec(fetch)
                {
                    account.former.insert(id, Arc::new(spec));
                }
            }
        }
        Ok(())
    }

    fn drop_generations_but(&self, kept: Option<u64>) -> Result<(), StoreError> {
        let kept = kept.map(keys::generation);
        let is_left =
            |key: &[u8]| kept.as_ref().is_none_or(|kept| !key.starts_with(kept.as_bytes()));
        let gone = self.desired.keys_that("", is_left)?;
        if gone.is_empty() {
            return Ok(());
        }
        self.desired.remove(gone)?;
        self.desired.flush()
    }
}

/// Reads all of it once. What is byte for byte as it was written is not taken apart.
pub(super) fn verify(store: &Store) -> Result<(), StoreError> {
    let current: Option<Current> = store.meta.read(CURRENT)?;
    if let Some(current) = current
        && store.is_whole(&current)?
    {
        store.know_over(Some(current.over));
        return Ok(());
    }
    store.desired.check::<DesiredEntry>(|entry, key| {
        key.split_once('/').is_some_and(|(_, rest)| rest == entry.key())
    })
}

impl Restored {
    fn add_account(&mut self, value: AccountValue, fetch: Fetch<'_>) {
        let name = value.name.clone();
        match value.into_account(fetch) {
            Ok(account) => {
                let empty = AccountDesired::new(account, BTreeMap::new());
                self.desired.accounts.insert(name, empty);
            }
            Err(why) => {
                self.unusable.insert(name, why);
            }
        }
    }

    /// It is wanted no longer, so nothing is amiss when its secrets cannot be fetched.
    fn add_former(&mut self, value: ChannelValue, fetch: Fetch<'_>) {
        let account = self.desired.accounts.get_mut(&value.account);
        if let (Some(account), Ok(spec)) = (account, value.into_spec(fetch)) {
            account.former.insert(spec.id, Arc::new(spec));
        }
    }

    fn add_channel(&mut self, value: ChannelValue, fetch: Fetch<'_>) {
        let name = value.account.clone();
        match value.into_spec(fetch) {
            Ok(spec) => {
                if let Some(account) = self.desired.accounts.get_mut(&name) {
                    account.specs.insert(spec.id, Arc::new(spec));
                }
            }
            Err(why) => {
                self.unusable.entry(name).or_insert(why);
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Current {
    generation: u64,
    over: u64,
}

#[derive(Serialize, Deserialize)]
enum DesiredEntry {
    Settings(Box<SettingsValue>),
    Account(AccountValue),
    Channel(ChannelValue),
    /// A channel that is declared no longer and is still ours.
    Former(ChannelValue),
}

impl DesiredEntry {
    /// Below its generation.
    fn key(&self) -> String {
        match self {
            DesiredEntry::Settings(_) => "settings".to_owned(),
            DesiredEntry::Account(account) => format!("account/{}", account.name),
            DesiredEntry::Channel(channel) => channel_key(&channel.account, channel.id),
            DesiredEntry::Former(channel) => {
                format!("{FORMER}/{}", keys::record(&channel.account, channel.id))
            }
        }
    }
}

fn channel_key(account: &AccountName, id: ChannelId) -> String {
    format!("{CHANNEL}/{}", keys::record(account, id))
}

#[derive(Serialize, Deserialize)]
struct SettingsValue {
    owner: String,
    listen: Option<SocketAddr>,
    audit: String,
    passes_max: usize,
    request_timeout: Duration,
    connect_timeout: Duration,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    alerts: Option<AlertsValue>,
    #[serde(default)]
    status_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary_every: Option<Duration>,
    #[serde(default)]
    http: HttpValue,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hooks: Option<HooksValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterValue>,
}

#[derive(Default, Serialize, Deserialize)]
struct HttpValue {
    public: bool,
    hosts: Vec<String>,
    token: Option<SecretValue>,
}

#[derive(Serialize, Deserialize)]
struct AlertsValue {
    webhook: Option<SecretValue>,
    grace: Duration,
    repeat: Duration,
    heartbeat: Option<SecretValue>,
    heartbeat_interval: Duration,
}

#[derive(Serialize, Deserialize)]
struct HooksValue {
    on: BTreeSet<HookEvent>,
    run: Vec<String>,
    timeout: Duration,
    url: Option<SecretValue>,
}

#[derive(Serialize, Deserialize)]
struct ClusterValue {
    name: String,
    engine: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<LoginValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    serial: Option<u64>,
    /// True when nothing is written while the engine cannot be reached.
    #[serde(default)]
    stops: bool,
}

#[derive(Serialize, Deserialize)]
struct LoginValue {
    user: String,
    password: SecretValue,
}

#[derive(Serialize, Deserialize)]
struct AccountValue {
    name: AccountName,
    #[serde(default, with = "as_text", skip_serializing_if = "Product::is_crm")]
    product: Product,
    #[serde(with = "as_text")]
    version: ApiVersion,
    api_url: String,
    accounts_url: String,
    client_id: String,
    client_secret: SecretValue,
    refresh_token: SecretValue,
    mode: String,
    removed_expire: bool,
    batch_max: usize,
    lifetime_max: Duration,
    #[serde(default)]
    credits_per_day: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct ChannelValue {
    account: AccountName,
    id: ChannelId,
    name: ChannelName,
    events: Vec<String>,
    notify_url: String,
    token: Option<SecretValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotation: Option<RotationValue>,
    lifetime: Duration,
    renew_before: Option<Duration>,
    notify_on_related_action: bool,
    return_affected_field_values: bool,
    conditions: Vec<ConditionValue>,
    mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backfill: Option<BackfillRule>,
}

/// How tokens are made, without the key.
#[derive(Serialize, Deserialize)]
struct RotationValue {
    key: SecretValue,
    every: Duration,
}

#[derive(Serialize, Deserialize)]
struct ConditionValue {
    module: String,
    #[serde(flatten)]
    group: GroupValue,
}

/// Fields that go together, and groups of them.
#[derive(Default, Serialize, Deserialize)]
struct GroupValue {
    all: bool,
    fields: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<GroupValue>,
}

/// A secret without its value.
#[derive(Serialize, Deserialize)]
struct SecretValue {
    origin: OriginValue,
    fingerprint: u64,
}

#[derive(Serialize, Deserialize)]
enum OriginValue {
    Env(String),
    File(PathBuf),
    Credential(String),
    Command(Vec<String>),
    Plain,
}

impl SecretValue {
    fn of(secret: &Secret) -> SecretValue {
        let origin = match secret.origin() {
            Origin::Env(name) => OriginValue::Env(name.clone()),
            Origin::File(path) => OriginValue::File(path.clone()),
            Origin::Credential(name) => OriginValue::Credential(name.clone()),
            Origin::Command(words) => OriginValue::Command(words.clone()),
            Origin::Plain => OriginValue::Plain,
        };
        SecretValue { origin, fingerprint: secret.fingerprint().0 }
    }

    fn fetch(self, what: &str, fetch: Fetch<'_>) -> Result<Secret, String> {
        let origin = match self.origin {
            OriginValue::Env(name) => Origin::Env(name),
            OriginValue::File(path) => Origin::File(path),
            OriginValue::Credential(name) => Origin::Credential(name),
            OriginValue::Command(words) => Origin::Command(words),
            OriginValue::Plain => {
                return fetch.known(Fingerprint(self.fingerprint)).ok_or_else(|| format!(
                    "{what} was a plain string in the config, which is never stored: mend the config, or give the \
                     secret by reference ({{ file = .. }}, {{ env = .. }}, {{ credential = .. }}, {{ command = .. }})"
                ));
            }
        };
        fetch.fetch(&origin).map_err(|why| format!("{what}: {why}"))
    }
}

/// In the order of their keys, each made when it is asked for: together they are far larger than
/// what they are made of.
fn entries_of(desired: &Desired) -> impl Iterator<Item = (String, DesiredEntry)> {
    let Desired { settings, accounts } = desired;
    // In a key a name is followed by what comes after other characters that a name may hold.
    let by_key: BTreeMap<String, &AccountDesired> =
        accounts.iter().map(|(name, account)| (keys::records_of(name), account)).collect();
    let values = |AccountDesired { account, .. }: &AccountDesired, spec: &Arc<Spec>| {
        ChannelValue::of(&account.name, spec)
    };
    let former = by_key.clone().into_values().flat_map(move |account| {
        account.former.values().map(move |spec| DesiredEntry::Former(values(account, spec)))
    });
    let channels = by_key.into_values().flat_map(move |account| {
        account.specs.values().map(move |spec| DesiredEntry::Channel(values(account, spec)))
    });
    let accounts =
        accounts.values().map(|desired| DesiredEntry::Account(AccountValue::of(&desired.account)));
    let settings =
        std::iter::once_with(|| DesiredEntry::Settings(Box::new(SettingsValue::of(settings))));
    accounts.chain(channels).chain(former).chain(settings).map(|entry| (entry.key(), entry))
}

/// The fingerprint of the entries as they are in the store, in the order of their keys, whatever a
/// later version makes of them.
#[derive(Default)]
struct Over(FingerprintParts);

impl Over {
    /// `key` with its generation, which is left out.
    fn add(&mut self, key: &[u8], bytes: &[u8]) {
        let generation = key.iter().position(|byte| *byte == b'/').map_or(0, |at| at + 1);
        self.0.add_pieces(&[&key[generation..], b" ", bytes]);
    }

    fn add_change(&mut self, change: &Result<EntryChange, StoreError>) {
        if let Ok((key, Some(bytes))) = change {
            self.add(key, bytes);
        }
    }

    fn finish(self) -> u64 {
        self.0.finish().0
    }
}

impl SettingsValue {
    fn of(settings: &Settings) -> SettingsValue {
        let Settings {
            owner,
            listen,
            audit,
            passes_max,
            request_timeout,
            connect_timeout,
            ca_file,
            alerts,
            status_file,
            http,
            canary_every,
            hooks,
            cluster,
        } = settings.clone();
        let http = HttpValue {
            public: http.public,
            hosts: http.hosts,
            token: http.token.as_ref().map(SecretValue::of),
        };
        let alerts = Some(AlertsValue::of(&alerts));
        SettingsValue {
            owner,
            listen,
            audit,
            passes_max,
            request_timeout,
            connect_timeout,
            ca_file,
            alerts,
            status_file,
            http,
            canary_every,
            hooks: hooks.is_on().then(|| HooksValue::of(hooks)),
            cluster: cluster.map(ClusterValue::of),
        }
    }

    fn into_settings(self, fetch: Fetch<'_>, restored: &mut Restored) -> Settings {
        let SettingsValue {
            owner,
            listen,
            audit,
            passes_max,
            request_timeout,
            connect_timeout,
            ca_file,
            alerts,
            status_file,
            canary_every,
            http: HttpValue { public, hosts, token },
            hooks,
            cluster,
        } = self;
        let alerts = alerts
            .map(|alerts| alerts.into_alerts(fetch, &mut restored.unalerted))
            .unwrap_or_default();
        let hooks = hooks.map(|hooks| hooks.into_hooks(fetch, &mut restored.unalerted));
        let cluster = cluster.map(|cluster| cluster.into_settings(fetch, &mut restored.unjoined));
        let token = token.map(|token| token.fetch("the token of [http]", fetch)).transpose();
        let token = token.unwrap_or_else(|why| {
            restored.unopened = Some(why);
            None
        });
        Settings {
            owner,
            listen,
            http: Http { public, hosts, token },
            audit,
            passes_max,
            request_timeout,
            connect_timeout,
            ca_file,
            alerts,
            status_file,
            canary_every,
            hooks: hooks.unwrap_or_default(),
            cluster,
        }
    }
}

impl ClusterValue {
    fn of(cluster: ClusterSettings) -> ClusterValue {
        let ClusterSettings { name, engine, login, node, serial, without_engine } = cluster;
        let login = login.map(|Login { user, password }| LoginValue {
            user,
            password: SecretValue::of(&password),
        });
        let stops = without_engine == WithoutEngine::Stop;
        ClusterValue { name, engine, login, node, serial, stops }
    }

    /// A password that cannot be fetched is empty: without it the engine refuses this machine, so
    /// it keeps nothing; alone it would write what another one writes.
    fn into_settings(self, fetch: Fetch<'_>, unjoined: &mut Option<String>) -> ClusterSettings {
        let ClusterValue { name, engine, login, node, serial, stops } = self;
        let login = login.map(|LoginValue { user, password }| {
            let password = password.fetch("the password of [cluster]", fetch);
            let password = password.unwrap_or_else(|why| {
                *unjoined = Some(why);
                Secret::new("")
            });
            Login { user, password }
        });
        let without_engine = if stops { WithoutEngine::Stop } else { WithoutEngine::Emergency };
        ClusterSettings { name, engine, login, node, serial, without_engine }
    }
}

impl HooksValue {
    fn of(hooks: Hooks) -> HooksValue {
        let Hooks { on, run, timeout, url } = hooks;
        HooksValue { on, run, timeout, url: url.as_ref().map(SecretValue::of) }
    }

    /// A URL that cannot be fetched is left out, as one of alerts is.
    fn into_hooks(self, fetch: Fetch<'_>, unalerted: &mut Vec<String>) -> Hooks {
        let HooksValue { on, run, timeout, url } = self;
        let fetched = url.map(|url| url.fetch("the URL of [hooks]", fetch)).transpose();
        let url = fetched.unwrap_or_else(|why| {
            unalerted.push(why);
            None
        });
        Hooks { on, run, timeout, url }
    }
}

impl AlertsValue {
    fn of(alerts: &Alerts) -> AlertsValue {
        let Alerts { webhook, grace, repeat, heartbeat, heartbeat_interval } = alerts;
        AlertsValue {
            webhook: webhook.as_ref().map(SecretValue::of),
            grace: *grace,
            repeat: *repeat,
            heartbeat: heartbeat.as_ref().map(SecretValue::of),
            heartbeat_interval: *heartbeat_interval,
        }
    }

    /// A URL that cannot be fetched is left out: channels are kept all the same.
    fn into_alerts(self, fetch: Fetch<'_>, unalerted: &mut Vec<String>) -> Alerts {
        let AlertsValue { webhook, grace, repeat, heartbeat, heartbeat_interval } = self;
        let mut fetched = |what: &str, secret: Option<SecretValue>| {
            secret?.fetch(what, fetch).map_err(|why| unalerted.push(why)).ok()
        };
        Alerts {
            webhook: fetched("the webhook of [alerts]", webhook),
            grace,
            repeat,
            heartbeat: fetched("the heartbeat of [alerts]", heartbeat),
            heartbeat_interval,
        }
    }
}

impl AccountValue {
    fn of(account: &Account) -> AccountValue {
        let Account { name, product, version, api_url, accounts_url, credentials, policy } =
            account;
        let Credentials { client_id, client_secret, refresh_token } = credentials;
        let Policy { mode, removed, batch_max, lifetime_max, credits_per_day } = policy;
        AccountValue {
            name: name.clone(),
            product: *product,
            version: *version,
            api_url: api_url.clone(),
            accounts_url: accounts_url.clone(),
            client_id: client_id.clone(),
            client_secret: SecretValue::of(client_secret),
            refresh_token: SecretValue::of(refresh_token),
            mode: mode.to_string(),
            removed_expire: *removed == Removed::Expire,
            batch_max: *batch_max,
            lifetime_max: *lifetime_max,
            credits_per_day: *credits_per_day,
        }
    }

    fn into_account(self, fetch: Fetch<'_>) -> Result<Account, String> {
        let AccountValue {
            name,
            product,
            version,
            api_url,
            accounts_url,
            client_id,
            client_secret,
            refresh_token,
            mode,
            removed_expire,
            batch_max,
            lifetime_max,
            credits_per_day,
        } = self;
        let credentials = Credentials {
            client_id,
            client_secret: client_secret.fetch("client_secret", fetch)?,
            refresh_token: refresh_token.fetch("refresh_token", fetch)?,
        };
        let policy = Policy {
            mode: read_mode(&mode),
            removed: if removed_expire { Removed::Expire } else { Removed::Disable },
            batch_max,
            lifetime_max,
            credits_per_day,
        };
        Ok(Account { name, product, version, api_url, accounts_url, credentials, policy })
    }
}

impl ChannelValue {
    fn of(account: &AccountName, spec: &Spec) -> ChannelValue {
        let Spec {
            id,
            name,
            declared: _,
            events,
            notify_url,
            token,
            rotation,
            lifetime,
            renew_before,
            notify_on_related_action,
            return_affected_field_values,
            conditions,
            mode,
            backfill,
        } = spec;
        ChannelValue {
            account: account.clone(),
            id: *id,
            name: name.clone(),
            events: events.to_wire(),
            notify_url: notify_url.full().to_owned(),
            token: token.as_ref().map(SecretValue::of),
            rotation: rotation.as_ref().map(RotationValue::of),
            lifetime: *lifetime,
            renew_before: *renew_before,
            notify_on_related_action: *notify_on_related_action,
            return_affected_field_values: *return_affected_field_values,
            conditions: conditions.iter().map(ConditionValue::of).collect(),
            mode: mode.to_string(),
            backfill: *backfill,
        }
    }

    fn into_spec(self, fetch: Fetch<'_>) -> Result<Spec, String> {
        let ChannelValue {
            account: _,
            id,
            name,
            events,
            notify_url,
            token,
            rotation,
            lifetime,
            renew_before,
            notify_on_related_action,
            return_affected_field_values,
            conditions,
            mode,
            backfill,
        } = self;
        let (what, of_key) =
            (format!("the token of channel {name}"), format!("the token_key of channel {name}"));
        Ok(Spec {
            id,
            name,
            declared: Default::default(),
            events: events.iter().map(String::as_str).collect::<Events>(),
            notify_url: NotifyUrl::new(&notify_url),
            token: token.map(|token| token.fetch(&what, fetch)).transpose()?,
            rotation: rotation
                .map(|rotation| rotation.into_rotation(&of_key, fetch))
                .transpose()?,
            lifetime,
            renew_before,
            notify_on_related_action,
            return_affected_field_values,
            conditions: conditions.into_iter().filter_map(ConditionValue::into_condition).collect(),
            mode: read_mode(&mode),
            backfill,
        })
    }
}

impl RotationValue {
    fn of(rotation: &Rotation) -> RotationValue {
        let Rotation { key, every, neighbours: _ } = rotation;
        RotationValue { key: SecretValue::of(key), every: *every }
    }

    fn into_rotation(self, what: &str, fetch: Fetch<'_>) -> Result<Rotation, String> {
        let RotationValue { key, every } = self;
        Ok(Rotation::new(key.fetch(what, fetch)?, every))
    }
}

impl ConditionValue {
    fn of(condition: &Condition) -> ConditionValue {
        let Condition { module, selection } = condition;
        ConditionValue { module: module.clone(), group: GroupValue::of(selection) }
    }

    fn into_condition(self) -> Option<Condition> {
        let ConditionValue { module, group } = self;
        Some(Condition { module, selection: group.into_selection()? })
    }
}

impl GroupValue {
    fn of(selection: &Selection) -> GroupValue {
        let group = match selection {
            Selection::Field(field) => {
                return GroupValue { fields: vec![field.clone()], ..GroupValue::default() };
            }
            Selection::Group(group) => group,
        };
        let all = group.matching() == Match::All;
        let mut value = GroupValue { all, ..GroupValue::default() };
        for entry in group.entries() {
            match entry {
                Selection::Field(field) => value.fields.push(field.clone()),
                Selection::Group(_) => value.groups.push(GroupValue::of(entry)),
            }
        }
        value
    }

    fn into_selection(self) -> Option<Selection> {
        let GroupValue { all, fields, groups } = self;
        let matching = if all { Match::All } else { Match::Any };
        let groups = groups.into_iter().filter_map(GroupValue::into_selection);
        let fields = fields.into_iter().map(Selection::Field);
        Selection::group(matching, fields.chain(groups))
    }
}

/// A mode that cannot be read is the tightest.
fn read_mode(text: &str) -> Mode {
    text.parse().unwrap_or(Mode::Observe)
}

const CURRENT: &str = "desired";
const CHANNEL: &str = "channel";
const FORMER: &str = "former";

#[cfg(test)]
mod tests;
