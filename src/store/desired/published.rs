//! A desired state as the machines of a cluster share it: a declaration of each account with its
//! channels, and one of the settings that are everybody's.
//!
//! A declaration is text, a line of JSON for each entry. It is named by a hash of that text, so
//! that two machines name the same thing alike. It says where secrets come from and holds none:
//! each machine fetches them by itself. The fingerprint of a secret is left out, since a secret
//! that changes where it comes from is no other declaration. One that stands in the config itself
//! is told by its fingerprint, and each machine looks for it in its own config.
//!
//! `[http]`, `[cluster]` and the paths of files stay each machine's own.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::model::channel::AccountName;
use crate::model::desired::{Desired, Http, Settings};
use crate::model::secret::{Fingerprint, Origin, Secret};

use super::{AccountValue, ChannelValue, DesiredEntry, Fetch, Restored, SettingsValue};

/// A desired state as it is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The settings that are everybody's.
    pub settings: Declaration,
    /// Each account with its channels.
    pub accounts: BTreeMap<AccountName, Declaration>,
}

/// A part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// Its name: 32 hexadecimal digits of the SHA-256 of its text.
    pub hash: String,
    /// Its text, deflated.
    pub bytes: Vec<u8>,
}

/// A declaration that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    /// It is not what was published.
    #[error("the declaration in the engine is damaged")]
    Damaged,
    /// It has an entry that this release does not know.
    #[error("the declaration in the engine is of a later release, or damaged")]
    Unknown,
}

impl Published {
    /// A desired state as it is shared. Channels that are declared no longer are left out: whoever
    /// owns an account knows which were its own.
    pub fn of(desired: &Desired) -> Published {
        let Desired { settings, accounts } = desired;
        let own = Settings {
            listen: None,
            http: Http::default(),
            ca_file: None,
            status_file: None,
            cluster: None,
            ..settings.clone()
        };
        let settings = DesiredEntry::Settings(Box::new(SettingsValue::of(&own)));
        let accounts = accounts.iter().map(|(name, desired)| {
            let account = DesiredEntry::Account(AccountValue::of(&desired.account));
            let channels = desired.specs.values();
            let channels = channels.map(|spec| DesiredEntry::Channel(ChannelValue::of(name, spec)));
            (name.clone(), Declaration::of(std::iter::once(account).chain(channels)))
        });
        let accounts = accounts.collect();
        Published { settings: Declaration::of(std::iter::once(settings)), accounts }
    }

    /// The name of all of it: 16 hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut all = Sha256::new();
        all.update(&self.settings.hash);
        for (name, declaration) in &self.accounts {
            all.update(format!(" {name} {}", declaration.hash));
        }
        hexadecimal(&all.finalize()[..8])
    }

    /// All declarations.
    pub fn declarations(&self) -> impl Iterator<Item = &Declaration> {
        std::iter::once(&self.settings).chain(self.accounts.values())
    }

    /// The desired state of this machine, whose own settings and secrets are those of `own`. An
    /// account whose secrets this machine cannot fetch is among the unusable.
    ///
    /// # Errors
    /// When a declaration is damaged, or is of a later release.
    pub fn restore(&self, own: &Desired, fetch: Fetch<'_>) -> Result<Restored, DeclarationError> {
        let mut restored = Restored::default();
        for declaration in self.declarations() {
            for entry in declaration.entries()? {
                match entry {
                    DesiredEntry::Settings(settings) => {
                        let Settings { listen, http, ca_file, status_file, cluster, .. } =
                            own.settings.clone();
                        let everybody_s = settings.into_settings(fetch, &mut restored);
                        restored.desired.settings =
                            Settings { listen, http, ca_file, status_file, cluster, ..everybody_s };
                    }
                    DesiredEntry::Account(account) => restored.add_account(account, fetch),
                    DesiredEntry::Channel(channel) => restored.add_channel(channel, fetch),
                    DesiredEntry::Former(channel) => restored.add_former(channel, fetch),
                }
            }
        }
        let unusable = &restored.unusable;
        restored.desired.accounts.retain(|name, _| !unusable.contains_key(name));
        Ok(restored)
    }
}

impl Declaration {
    fn of(entries: impl Iterator<Item = DesiredEntry>) -> Declaration {
        let mut text = String::new();
        for entry in entries {
            let mut value = serde_json::to_value(&entry).unwrap_or_default();
            forget_fingerprints(&mut value);
            text += &format!("{value}\n");
        }
        Declaration::of_text(&text)
    }

    /// One of this text, which somebody hands over as it is.
    pub fn of_text(text: &str) -> Declaration {
        Declaration { hash: name_of(text), bytes: deflated(text) }
    }

    /// One that was read under this name.
    ///
    /// # Errors
    /// When it is not what was published.
    pub fn read(hash: &str, bytes: Vec<u8>) -> Result<Declaration, DeclarationError> {
        let declaration = Declaration { hash: hash.to_owned(), bytes };
        if name_of(&declaration.text()?) == hash {
            Ok(declaration)
        } else {
            Err(DeclarationError::Damaged)
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn text(&self) -> Result<String, DeclarationError> {
        let mut text = String::new();
        let mut inflated = ZlibDecoder::new(self.bytes.as_slice()).take(TEXT_MAX);
        inflated.read_to_string(&mut text).map_err(|_| DeclarationError::Damaged)?;
        Ok(text)
    }

    fn entries(&self) -> Result<Vec<DesiredEntry>, DeclarationError> {
        let text = self.text()?;
        let entries = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        entries.map_err(|_| DeclarationError::Unknown)
    }
}

/// The secrets that stand in a config itself, by which a declaration of another machine is
/// completed.
pub(crate) fn plain_secrets(desired: &Desired) -> BTreeMap<Fingerprint, Secret> {
    let Settings { alerts, hooks, .. } = &desired.settings;
    let of_settings = [&alerts.webhook, &alerts.heartbeat, &hooks.url];
    let of_settings = of_settings.into_iter().flatten();
    let of_accounts = desired.accounts.values().flat_map(|desired| {
        let credentials = &desired.account.credentials;
        let keys = desired.specs.values().flat_map(|spec| {
            let key = spec.rotation.as_ref().map(|rotation| &rotation.key);
            spec.token.iter().chain(key)
        });
        [&credentials.client_secret, &credentials.refresh_token].into_iter().chain(keys)
    });
    let plain = of_settings.chain(of_accounts).filter(|it| *it.origin() == Origin::Plain);
    plain.map(|secret| (secret.fingerprint(), secret.clone())).collect()
}

/// Those of secrets that are fetched from somewhere.
fn forget_fingerprints(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("origin").is_some_and(|origin| origin != "Plain") {
                fields.insert("fingerprint".to_owned(), Value::from(0));
            }
            fields.values_mut().for_each(forget_fingerprints);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_fingerprints),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn deflated(text: &str) -> Vec<u8> {
    let mut deflated = ZlibEncoder::new(Vec::new(), Compression::default());
    // To memory, which takes everything.
    deflated.write_all(text.as_bytes()).and_then(|()| deflated.finish()).unwrap_or_default()
}

fn name_of(text: &str) -> String {
    hexadecimal(&Sha256::digest(text)[..16])
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// No declaration that fits into an engine inflates to more.
const TEXT_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests;
