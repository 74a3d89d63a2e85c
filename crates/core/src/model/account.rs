//! An account: one Zoho org, reached with one OAuth client and refresh token, in one data centre,
//! at one API version.

use super::name::AccountName;
use super::policy::Policy;
use super::product::Product;
use super::secret::Secret;
use super::version::{ApiVersion, Limits};

/// An account as declared, with its secrets resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name in the config.
    pub name: AccountName,
    /// The product that it is an org of.
    pub product: Product,
    /// The API version of every call.
    pub version: ApiVersion,
    /// Scheme and host of the API: `https://www.zohoapis.eu`.
    pub api_url: String,
    /// Scheme and host of the OAuth server: `https://accounts.zoho.eu`.
    pub accounts_url: String,
    /// The way to get a token.
    pub credentials: Credentials,
    /// The rules its plans are made under.
    pub policy: Policy,
}

impl Account {
    /// The API with its version, as `https://www.zohoapis.eu/crm/v8`.
    pub fn api(&self) -> String {
        format!("{}{}", self.api_url, self.product.api_path(self.version))
    }

    /// The path of the watch API.
    pub fn watch_path(&self) -> String {
        format!("{}/actions/watch", self.product.api_path(self.version))
    }

    /// The limits of its product's version.
    pub const fn limits(&self) -> Limits {
        self.product.limits(self.version)
    }
}

/// An OAuth client with what it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Names the client; no secret.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Secret,
    /// The grant: it does not expire, but can be revoked, and the 21st of a user kills the oldest.
    pub refresh_token: Secret,
}
