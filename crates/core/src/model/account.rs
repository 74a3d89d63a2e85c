//! An account: one Zoho org, reached with one OAuth client and refresh token, in one data centre,
//! at one API version.

use std::fmt;

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

    /// Its API, for requests that somebody else sends.
    pub fn api_base(&self) -> ApiBase {
        ApiBase { product: self.product, version: self.version, url: self.api() }
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

/// The API of an account: the URL alone does not say whose it is, because Vertical Solutions has
/// CRM's paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiBase {
    /// The product.
    pub product: Product,
    /// Its version.
    pub version: ApiVersion,
    /// The API with its version, as `https://www.zohoapis.eu/crm/v8`.
    pub url: String,
}

impl ApiBase {
    /// The keys and numbers that the product has in this version.
    pub const fn limits(&self) -> Limits {
        self.product.limits(self.version)
    }
}

impl fmt::Display for ApiBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// CRM's newest, for an account whose secrets could not be restored.
impl Default for ApiBase {
    fn default() -> ApiBase {
        let (product, version) = (Product::Crm, ApiVersion::V8);
        let url = format!("https://www.zohoapis.com{}", product.api_path(version));
        ApiBase { product, version, url }
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
